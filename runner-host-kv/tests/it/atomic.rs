//! Compare-and-swap by guests: a counter that many raise at once, and a rate limiter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runner_core::Program;
use runner_host_kv::{MemoryStore, SqliteStore};
use serde_json::{Value, json};

use crate::support::{Lent, START_MS, answer, backends};

/// Calls a function so many times, from so many callers at once; what was answered.
async fn at_once(program: &Program, callers: usize, times: usize, function: &'static str, args: Value) -> Vec<Value> {
    let left = Arc::new(AtomicUsize::new(times));
    let callers = (0..callers).map(|_| {
        let (program, args, left) = (program.clone(), args.clone(), Arc::clone(&left));
        tokio::spawn(async move {
            let mut answers = Vec::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                let outcome = program.call(function).args(args.clone()).run().await.expect("the host does its part");
                answers.push(answer(outcome).expect("the guest does not say no"));
            }
            answers
        })
    });
    let mut answers = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        answers.extend(caller.await.expect("no panic"));
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_increments_by_swap_from_64_guests_at_once_give_the_exact_sum() {
    for (backend, store, _folder) in backends() {
        let lent = Lent::new(store, "kv-counter", json!({})).await;
        let mut sums = at_once(&lent.program, 64, 1_000, "add-by-swap", json!(["default", "n", 1])).await;
        sums.sort_by_key(Value::as_i64);
        let expected: Vec<_> = (1..=1_000).map(|sum| json!(sum)).collect();
        assert_eq!(sums, expected, "each sum once, on {backend}");
        assert_eq!(lent.value("add", json!(["default", "n", 0])).await, json!(1_000), "on {backend}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_increments_by_the_host_from_64_guests_at_once_give_the_exact_sum() {
    for (backend, store, _folder) in backends() {
        let lent = Lent::new(store, "kv-counter", json!({})).await;
        let mut sums = at_once(&lent.program, 64, 1_000, "add", json!(["default", "n", 1])).await;
        sums.sort_by_key(Value::as_i64);
        let expected: Vec<_> = (1..=1_000).map(|sum| json!(sum)).collect();
        assert_eq!(sums, expected, "each sum once, on {backend}");
    }
}

#[tokio::test]
async fn a_swap_that_comes_too_late_is_refused_with_a_handle_that_wins() {
    for (backend, store, _folder) in backends() {
        let lent = Lent::new(store, "kv-counter", json!({})).await;
        for round in ["on a key that was absent", "on one that is there"] {
            let kept = lent.value("lose-then-win", json!(["default", "key"])).await;
            assert_eq!(kept, json!("mine"), "{round}, on {backend}");
        }
    }
}

#[tokio::test]
async fn a_counter_that_holds_something_else_says_so() {
    let lent = Lent::new(MemoryStore::new(), "kv-counter", json!({})).await;
    lent.value("lose-then-win", json!(["default", "n"])).await;
    let words = lent.answer("add-by-swap", json!(["default", "n", 1])).await.expect_err("it is no number");
    assert!(words.starts_with("expected a number, found"), "{words}");
    let words = lent.answer("add", json!(["default", "n", 1])).await.expect_err("it is no number");
    assert_eq!(words, "key `n` does not hold a whole number in decimal digits");
}

#[tokio::test]
async fn what_guests_have_counted_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kv.sqlite");
    for (function, expected) in [("add", 5), ("add-by-swap", 10), ("add", 15)] {
        let store = SqliteStore::open(&path).expect("the file opens");
        let lent = Lent::new(store, "kv-counter", json!({})).await;
        assert_eq!(lent.value(function, json!(["default", "n", 5])).await, json!(expected));
        lent.executor.shutdown().await;
    }
}

const POLICY: (u32, u64) = (5, 1_000);

fn take(who: &str, at_ms: u64) -> Value {
    json!([who, at_ms, { "burst": POLICY.0, "refill-ms": POLICY.1 }])
}

#[tokio::test]
async fn a_limiter_lets_through_as_many_as_there_are_tokens_and_they_come_back() {
    for (backend, store, _folder) in backends() {
        let lent = Lent::new(store, "kv-limiter", json!({})).await;
        let left = async |who: &str, after: u64| lent.value("take", take(who, START_MS + after)).await;
        for expected in [4, 3, 2, 1, 0] {
            assert_eq!(left("ann", 0).await, json!(expected), "on {backend}");
        }
        assert_eq!(left("ann", 0).await, json!(null), "the tokens are used up");
        assert_eq!(left("ben", 0).await, json!(4), "somebody else has his own");
        assert_eq!(left("ann", 999).await, json!(null), "a millisecond before the next one");
        assert_eq!(left("ann", 1_500).await, json!(0), "one came back");
        assert_eq!(left("ann", 1_999).await, json!(null));
        assert_eq!(left("ann", 2_000).await, json!(0), "the half second counted");
        let long = u64::try_from(Duration::from_secs(3_600).as_millis()).expect("it is short");
        assert_eq!(left("ann", long).await, json!(4), "no more than a full bucket comes back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limiter_gives_each_token_once_however_many_ask_at_once() {
    for (backend, store, _folder) in backends() {
        let lent = Lent::new(store, "kv-limiter", json!({})).await;
        let answers = at_once(&lent.program, 16, 64, "take", take("ann", START_MS)).await;
        let mut through: Vec<_> = answers.iter().filter_map(Value::as_u64).collect();
        through.sort_unstable();
        assert_eq!(through, [0, 1, 2, 3, 4], "on {backend}");
    }
}
