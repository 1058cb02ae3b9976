//! What a call cost, on a clock that is wound by hand: time in the host is measured once.

use std::time::Duration;

use runner_core::CapabilityUsage;
use serde_json::json;

use crate::support::mover;

const MUCH: u64 = 8 << 10;
const LITTLE: u64 = 4 << 10;

/// The clock of the runtime counts in whole milliseconds.
#[track_caller]
fn assert_time(what: &str, found: Duration, expected_ms: u64) {
    let expected = Duration::from_millis(expected_ms);
    assert!(found >= expected && found <= expected + Duration::from_millis(3), "{what}: {found:?}, not {expected:?}");
}

#[tokio::test]
async fn time_in_the_host_is_measured_once() {
    let (_executor, program) = mover().await;
    tokio::time::pause();
    // Calls, bytes in, milliseconds of work, milliseconds of waiting, bytes out: time of the host, of the guest.
    for (n, into, works, waits, out, host, guest) in [
        // What suspends is the host's, whether or not it moves much, before the wait or after it.
        (1, 0, 0, 1_000, 0, 1_000, 0),
        (1, MUCH, 0, 1_000, 0, 1_000, 0),
        (1, 0, 0, 1_000, MUCH, 1_000, 0),
        (1, MUCH, 0, 1_000, MUCH, 1_000, 0),
        // What moves much is measured from there on, and no time in it is counted twice.
        (1, MUCH, 1_000, 0, 0, 1_000, 0),
        (1, MUCH, 1_000, 1_000, MUCH, 2_000, 0),
        (3, MUCH, 1_000, 1_000, MUCH, 6_000, 0),
        // A call that neither waits nor moves much costs no clock reading.
        (3, LITTLE, 0, 0, 0, 0, 0),
    ] {
        let args = json!([n, into, works, waits, out]);
        let usage = program.call("move").args(args.clone()).run().await.expect("it runs").usage;
        assert_time(&format!("host of {args}"), usage.host, host);
        assert_time(&format!("guest of {args}"), usage.guest, guest);
        assert_time(&format!("wall of {args}"), usage.wall, host + guest);
        assert!(usage.host + usage.guest <= usage.wall, "{args}: {usage}");
        let moved = CapabilityUsage { calls: n, bytes_in: n * into, bytes_out: n * out, ..CapabilityUsage::default() };
        assert_eq!(usage.capabilities, [("mover".to_owned(), moved)]);
        assert_eq!(usage.host_calls, n);
    }
}

#[tokio::test]
async fn each_call_of_an_instance_has_a_bill_of_its_own() {
    let (_executor, program) = mover().await;
    let mut instance = program.instance().start().await.expect("it starts");
    tokio::time::pause();
    for (n, waits) in [(1, 1_000), (2, 100)] {
        let outcome = instance.call("move").args(json!([n, MUCH, 0, waits, 0])).run().await.expect("it runs");
        assert_time("host", outcome.usage.host, n * waits);
        assert_time("wall", outcome.usage.wall, n * waits);
        let moved = CapabilityUsage { calls: n, bytes_in: n * MUCH, ..CapabilityUsage::default() };
        assert_eq!(outcome.usage.capabilities, [("mover".to_owned(), moved)]);
        assert_eq!(outcome.usage.host_calls, n);
    }
}
