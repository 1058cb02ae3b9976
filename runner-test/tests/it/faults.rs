//! Each fault of a store, where a guest sees it; and the wrapper, which without faults is the store that it wraps.

use std::sync::Arc;
use std::time::Duration;

use runner_host_kv::{ManualClock, MemoryStore, Store, conformance};
use runner_test::{Fault, Faulty, Host, LimitKind, Limits, Operation, Program, json};

async fn counter() -> (Host, Program) {
    let host = Host::builder().kv("default").kv("other").build().expect("the host starts");
    let program = host.load(runner_guests::get("kv-counter")).await.expect("the guest loads");
    (host, program)
}

#[tokio::test]
async fn a_store_without_faults_is_the_store_that_it_wraps() {
    let clock = Arc::new(ManualClock::at_ms(1_000_000));
    conformance::all(Arc::new(Faulty::new(MemoryStore::with_clock(clock.clone()))), &clock).await;
    let boxed: Arc<dyn Store> = Arc::new(MemoryStore::with_clock(clock.clone()));
    let delayed = Faulty::new(boxed);
    // One that is slow, and one that never happens, change nothing either.
    delayed.fail(Fault::delay(Duration::from_micros(1)).every(100));
    delayed.fail(Fault::unavailable().key("no such key"));
    conformance::all(Arc::new(delayed.clone()), &clock).await;
    assert!(delayed.happened() > 0);
}

#[tokio::test]
async fn a_store_that_is_away_does_nothing_until_it_is_mended() {
    let (host, program) = counter().await;
    let store = host.kv("default");
    store.fail(Fault::unavailable());
    let done = program.call("add", json!(["default", "a", 1])).await.expect("the host does its part");
    assert!(done.assert_failed("error").message.contains("the store is away"), "{done}");
    store.assert_keys([]);
    assert_eq!(store.faults_happened(), 1);
    // The fault is this store's alone.
    program.call("add", json!(["other", "a", 1])).await.expect("it runs").assert_returned(json!(1));
    store.mend();
    program.call("add", json!(["default", "a", 1])).await.expect("it runs").assert_returned(json!(1));
    store.assert_holds("a", "1").assert_keys(["a"]);
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_the_work_done() {
    let (host, program) = counter().await;
    host.kv("default").fail(Fault::answer_lost().writes().times(1));
    program.call("add", json!(["default", "a", 1])).await.expect("it runs").assert_failed("error");
    host.kv("default").assert_holds("a", "1");
    // A guest that tries again without thought counts twice.
    program.call("add", json!(["default", "a", 1])).await.expect("it runs").assert_returned(json!(2));
}

#[tokio::test]
async fn somebody_who_is_faster_makes_a_swap_fail_and_nothing_else() {
    let (host, program) = counter().await;
    let store = host.kv("default");
    store.set("a", "41");
    store.fail(Fault::conflict());
    // An increment has no condition, and so no conflict.
    program.call("add", json!(["default", "a", 1])).await.expect("it runs").assert_returned(json!(42));
    assert_eq!(store.faults_happened(), 0);
    store.mend();
    // One that is there, and one that is not.
    for (key, sum) in [("a", 43), ("b", 1)] {
        let before = store.entry(key).map(|entry| entry.version);
        store.fail(Fault::conflict().key(key).times(3));
        let done = program.call("add-by-swap", json!(["default", key, 1])).await.expect("it runs");
        done.assert_returned(json!(sum));
        assert_eq!(store.faults_happened(), 3, "{key}: it tried until nobody was faster");
        assert_ne!(store.entry(key).map(|entry| entry.version), before);
        store.mend();
    }
    // Against somebody who is always faster there is no end but the guest's own.
    store.fail(Fault::conflict());
    let done = program.call("add-by-swap", json!(["default", "a", 1])).await.expect("it runs");
    assert!(done.assert_failed("error").message.contains("was changed by someone else 10000 times"), "{done}");
    store.assert_holds("a", "43");
}

#[tokio::test]
async fn a_fault_happens_with_the_operations_that_it_is_for() {
    let (host, program) = counter().await;
    let store = host.kv("default");
    let add = async |key: &str| {
        let done = program.call("add", json!(["default", key, 1])).await.expect("it runs");
        done.outcome.ending.is_returned()
    };
    for (fault, keys, expected) in [
        (Fault::unavailable().reads(), "aaa", [true, true, true]),
        (Fault::unavailable().on([Operation::Set]), "aaa", [true, true, true]),
        (Fault::unavailable().on([Operation::Increment]), "aaa", [false, false, false]),
        (Fault::unavailable().key("b"), "aba", [true, false, true]),
        (Fault::unavailable().every(2), "aaa", [true, false, true]),
        (Fault::unavailable().every(0), "aaa", [false, false, false]),
        (Fault::unavailable().after(1), "aaa", [true, false, false]),
        (Fault::unavailable().after(1).every(2), "aaa", [true, true, false]),
        (Fault::unavailable().times(2), "aaa", [false, false, true]),
        (Fault::unavailable().key("b").times(1), "abb", [true, false, true]),
    ] {
        let shown = format!("{fault:?} {keys}");
        store.fail(fault);
        let mut found = Vec::new();
        for key in keys.chars() {
            found.push(add(&key.to_string()).await);
        }
        assert_eq!(found, expected, "{shown}");
        store.mend();
    }
    // Reads are met, where something is read.
    store.fail(Fault::unavailable().reads());
    program.call("add-by-swap", json!(["default", "a", 1])).await.expect("it runs").assert_failed("error");
}

#[tokio::test]
async fn a_slow_store_takes_wound_time_and_its_guest_no_more_than_its_deadline() {
    let (host, program) = counter().await;
    let hour = Duration::from_secs(3_600);
    host.kv("default").fail(Fault::delay(hour));
    tokio::time::pause();
    let limits = Limits { deadline: 2 * hour, ..Limits::default() };
    let done = program.call("add", json!(["default", "a", 1])).limits(limits).await.expect("it runs");
    done.assert_returned(json!(1));
    assert!(done.outcome.usage.host >= hour, "{done}");
    let done = program.call("add", json!(["default", "a", 1])).await.expect("it runs");
    done.assert_exhausted(LimitKind::Deadline);
    host.kv("default").assert_holds("a", "1");
}

#[tokio::test]
async fn a_silent_store_keeps_its_guest_until_the_deadline() {
    let (host, program) = counter().await;
    host.kv("default").fail(Fault::silent().times(1));
    tokio::time::pause();
    program.call("add", json!(["default", "a", 1])).await.expect("it runs").assert_exhausted(LimitKind::Deadline);
    host.kv("default").assert_keys([]);
    program.call("add", json!(["default", "a", 1])).await.expect("it runs").assert_returned(json!(1));
}
