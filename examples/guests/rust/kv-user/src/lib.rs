//! Uses a capability that the host knows nothing of: a stranger's key-value store.
//!
//! It proves the capability seam: the grant, the state of one call, and what `close` sees when
//! the guest returns, fails, traps or never ends.

wit_bindgen::generate!({
    path: ["../../wit/stranger-kv", "../../wit/demo-kv-user"],
    world: "demo:kv-user/kv-user",
    generate_all,
});

use stranger::kv::store;

struct User;

impl Guest for User {
    fn remember(key: String, value: String) {
        store::set(&key, &value);
    }

    fn recall(key: String) -> Option<String> {
        store::get(&key)
    }

    fn count(key: String) -> i64 {
        store::add(&key, 1)
    }

    fn wait(ms: u64) {
        store::wait(ms);
    }

    fn remember_then_trap(key: String, value: String) {
        store::set(&key, &value);
        panic!("as told");
    }

    fn remember_then_spin(key: String, value: String) {
        store::set(&key, &value);
        loop {
            std::hint::black_box(0);
        }
    }

    fn remember_then_fail(key: String, value: String) -> Result<String, String> {
        store::set(&key, &value);
        Err(format!("`{key}` was written, and then this call failed"))
    }
}

export!(User);
