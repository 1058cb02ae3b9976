//! Asks its stores in loops, to measure what one call costs.

wit_bindgen::generate!({
    path: [
        "../../../../runner-host-kv/wit/keyvalue-draft2",
        "../../../../runner-host-kv/wit/runner-kv",
        "../../wit/bench-kv-loop",
    ],
    world: "bench:kv-loop/kv-loop",
    generate_all,
});

use runner::kv::store as ours;
use wasi::keyvalue::store;

struct Loop;

export!(Loop);

impl Guest for Loop {
    fn get(key: String, times: u32) -> u64 {
        let bucket = store::open("default").expect("it is granted");
        let read = || bucket.get(&key).expect("it answers").map_or(0, |value| value.len() as u64);
        (0..times).map(|_| read()).sum()
    }

    fn get_ours(key: String, times: u32) -> u64 {
        let bucket = ours::open("default").expect("it is granted");
        let read = || bucket.get(&key).expect("it answers").map_or(0, |entry| entry.value.len() as u64);
        (0..times).map(|_| read()).sum()
    }

    fn set(key: String, bytes: u32, times: u32) {
        let bucket = store::open("default").expect("it is granted");
        let value = vec![b'v'; bytes as usize];
        (0..times).for_each(|_| bucket.set(&key, &value).expect("it answers"));
    }
}
