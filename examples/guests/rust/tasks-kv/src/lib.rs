//! A task that uses a capability: what it exports is known before anything is granted.

wit_bindgen::generate!({ path: ["../../wit/stranger-kv", "../../wit/demo-tasks-kv"], world: "demo:tasks-kv/user", generate_all });

/// Counts how often it was asked for a key.
#[runner::task]
fn count(key: String) -> i64 {
    stranger::kv::store::add(&key, 1)
}
