//! The guests that keep things: `counter` and `limiter`, written with the SDK alone, over the stores that users run.

use std::sync::Arc;
use std::time::Duration;

use runner_core::{Bounds, Ending, ErrorKind, Executor, Failure, Grants, Program};
use runner_host_kv::{Key, Kv, ManualClock, MemoryStore, Namespace, SqliteStore, Store};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// A program over a store of its own. The executor is there as long as the program is.
struct Lent {
    program: Program,
    _executor: Executor,
}

impl Lent {
    async fn new(guest: &str, store: impl Store, limits: Value) -> Self {
        let bounds = Bounds { calls: 64, queue: 1_000, ..Bounds::default() };
        let executor = Executor::builder().bounds(bounds).capability(Kv::new(store)).build().expect("it starts");
        let grant = json!({ "stores": { "default": { "namespace": "tests", "limits": limits } } });
        let grants = Grants::none().grant("kv", grant);
        let program = executor.load(runner_guests::get(guest), &grants).await.expect("the guest loads");
        Lent { program, _executor: executor }
    }

    async fn call(&self, task: &str, args: Value) -> Result<Value, Failure> {
        match self.program.call(task).args(args).run().await.expect("the host does its part").ending {
            Ending::Returned(value) => Ok(value),
            Ending::Failed(failure) => Err(*failure),
            other => panic!("`{task}`: {other:?}"),
        }
    }
}

/// Both backends, each with what has to stay as long as it does.
fn backends() -> Vec<(&'static str, Arc<dyn Store>, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = SqliteStore::open(folder.path().join("kv.sqlite")).expect("a new file opens");
    vec![("memory", Arc::new(MemoryStore::new()), None), ("sqlite", Arc::new(file), Some(folder))]
}

/// As many calls as are asked for, 64 of them at a time.
async fn together(lent: &Arc<Lent>, calls: u64, task: &'static str, args: Value) -> Vec<Result<Value, Failure>> {
    let mut running = JoinSet::new();
    for _ in 0..calls {
        let (lent, args) = (Arc::clone(lent), args.clone());
        running.spawn(async move { lent.call(task, args).await });
    }
    running.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_additions_from_64_calls_at_once_none_is_lost() {
    for (backend, store, _folder) in backends() {
        let lent = Arc::new(Lent::new("counter.wasm", store, json!({})).await);
        let mut times: Vec<_> = together(&lent, 1_000, "add", json!(["visits", 3]))
            .await
            .into_iter()
            .map(|added| added.expect("nobody is turned away")["times"].as_u64().expect("a number"))
            .collect();
        times.sort_unstable();
        assert_eq!(times, Vec::from_iter(1..=1_000), "{backend}: each call saw another state");
        let count = lent.call("read", json!(["visits"])).await.expect("it is there");
        assert_eq!(count, json!({ "sum": 3_000, "times": 1_000 }), "{backend}");
    }
}

#[tokio::test]
async fn the_largest_counters_are_found_over_many_pages() {
    let lent = Lent::new("counter.wasm", MemoryStore::new(), json!({ "page_keys": 4 })).await;
    for number in 0..30 {
        lent.call("add", json!([format!("c{number}"), (number * 7) % 30])).await.expect("it is added");
    }
    let named = |sum: u64, name: &str| json!({ "name": name, "sum": sum, "times": 1 });
    let top = lent.call("top", json!([3])).await.expect("it is listed");
    assert_eq!(top, json!([named(29, "c17"), named(28, "c4"), named(27, "c21")]));
    let all = lent.call("top", json!([1_000])).await.expect("it is listed");
    assert_eq!(all.as_array().map(Vec::len), Some(30));
    assert_eq!(lent.call("read", json!(["nobody"])).await, Ok(Value::Null));
    assert_eq!(lent.call("add", json!({ "name": "one more" })).await, Ok(json!({ "sum": 1, "times": 1 })));
}

#[tokio::test]
async fn a_counter_that_is_full_stays_as_it_is() {
    let lent = Lent::new("counter.wasm", MemoryStore::new(), json!({})).await;
    let most = json!({ "sum": i64::MAX.to_string().parse::<i64>().expect("a number"), "times": 1 });
    assert_eq!(lent.call("add", json!(["sum", i64::MAX])).await, Ok(most.clone()));
    let failure = lent.call("add", json!(["sum", 1])).await.expect_err("it does not fit");
    assert_eq!((failure.code.as_str(), failure.retryable), ("too-many", false));
    assert_eq!(lent.call("read", json!(["sum"])).await, Ok(most));
}

#[tokio::test]
async fn a_store_s_limit_is_a_failure_that_says_so() {
    let limits = json!({ "keys": 1, "key_bytes": 16 });
    let lent = Lent::new("counter.wasm", MemoryStore::new(), limits).await;
    lent.call("add", json!({ "name": "a" })).await.expect("the first key has room");
    lent.call("add", json!({ "name": "a" })).await.expect("it is no other key");
    for (name, code, message) in [
        ("b", "kv-full", "the store would hold 2 keys, 1 are allowed"),
        ("123456789", "kv-too-large", "key has 17 bytes, 16 are allowed"),
    ] {
        let failure = lent.call("add", json!({ "name": name })).await.expect_err(code);
        assert_eq!((failure.code.as_str(), failure.message.as_str(), failure.retryable), (code, message, false));
    }
}

#[tokio::test]
async fn without_a_grant_they_do_not_load_and_the_error_says_what_to_grant() {
    let executor = Executor::builder().capability(Kv::new(MemoryStore::new())).build().expect("it starts");
    for guest in ["counter.wasm", "limiter.wasm"] {
        let error = executor.load(runner_guests::get(guest), &Grants::none()).await.expect_err("nothing is granted");
        assert_eq!(error.kind(), ErrorKind::Denied);
        for words in
            ["import `runner:kv/store@0.1.0`", "is not granted: capability `kv` serves it: grant it with {\"kv\""]
        {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

fn taking(burst: u32, refill_ms: u32) -> Value {
    json!(["ann", { "burst": burst, "refill_ms": refill_ms }])
}

#[tokio::test]
async fn a_token_that_was_taken_comes_back_after_its_time_and_not_before() {
    let clock = Arc::new(ManualClock::at_ms(1_700_000_000_000));
    let store = MemoryStore::with_clock(clock.clone());
    let lent = Lent::new("limiter.wasm", store.clone(), json!({})).await;
    for (wait_ms, expected) in [
        (0, Ok(2)),
        (0, Ok(1)),
        (0, Ok(0)),
        (0, Err("`ann` may try again in 1000 ms")),
        (400, Err("`ann` may try again in 600 ms")),
        (599, Err("`ann` may try again in 1 ms")),
        (1, Ok(0)),
        (2_500, Ok(1)),
        (500, Ok(1)),
        (600_000, Ok(2)),
    ] {
        clock.advance(Duration::from_millis(wait_ms));
        let taken = lent.call("take", taking(3, 1_000)).await.map_err(|failure| {
            assert_eq!((failure.code.as_str(), failure.retryable), ("rate-limited", true));
            failure.message
        });
        assert_eq!(taken, expected.map(|left| json!(left)).map_err(str::to_owned), "after {wait_ms} ms");
    }
    assert_eq!(
        lent.call("take", json!(["ben", { "burst": 3, "refill_ms": 1_000 }])).await,
        Ok(json!(2)),
        "another one"
    );
    clock.advance(Duration::from_secs(3));
    let (namespace, key) = (Namespace::new("tests").expect("a name"), Key::new("tokens/ann").expect("a key"));
    assert!(!store.exists(&namespace, &key).await.expect("it answers"), "who stays away leaves nothing behind");
}

#[tokio::test]
async fn tokens_can_be_given_back_and_a_policy_that_allows_nothing_is_refused() {
    let lent = Lent::new("limiter.wasm", MemoryStore::new(), json!({})).await;
    assert_eq!(lent.call("take", taking(1, 3_600_000)).await, Ok(json!(0)));
    assert_eq!(lent.call("take", taking(1, 3_600_000)).await.expect_err("none is left").code, "rate-limited");
    assert_eq!(lent.call("forgive", json!(["ann"])).await, Ok(json!(true)));
    assert_eq!(lent.call("take", taking(1, 3_600_000)).await, Ok(json!(0)));
    for policy in [taking(0, 1), taking(1, 0)] {
        assert_eq!(lent.call("take", policy).await.expect_err("it makes no sense").code, "invalid-policy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_come_at_once_as_many_are_let_in_as_there_are_tokens() {
    for (backend, store, _folder) in backends() {
        let lent = Arc::new(Lent::new("limiter.wasm", store, json!({})).await);
        let taken = together(&lent, 200, "take", taking(10, 3_600_000)).await;
        let refused: Vec<_> = taken.iter().filter_map(|taken| taken.as_ref().err()).collect();
        assert!(refused.iter().all(|failure| failure.code == "rate-limited"), "{backend}: {refused:?}");
        let mut left: Vec<_> = taken.iter().flatten().map(|left| left.as_u64().expect("a number")).collect();
        left.sort_unstable();
        assert_eq!(left, Vec::from_iter(0..10), "{backend}");
    }
}
