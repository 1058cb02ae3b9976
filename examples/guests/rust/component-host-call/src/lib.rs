//! Calls the host in loops, to measure what one call of a component costs.

wit_bindgen::generate!({ path: "../../wit/bench-host", world: "caller" });

use bench::host::calls;

struct Caller;

impl Guest for Caller {
    fn run_noop(n: u32) {
        (0..n).for_each(|_| calls::noop());
    }

    fn run_get(n: u32) -> u64 {
        (0..n).map(|_| calls::get("key").map_or(0, |value| value.len() as u64)).sum()
    }
}

export!(Caller);
