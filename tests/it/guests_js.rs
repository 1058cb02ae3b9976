//! A guest in JavaScript over the SDK's WIT packages: its tasks are listed and called like any, and its store is the grant's.

use runner_core::{Ending, ErrorKind, Executor, Grants};
use runner_host_kv::{Kv, MemoryStore};
use serde_json::{Value, json};

#[tokio::test]
async fn tasks_written_in_javascript_are_described_called_and_held_to_their_grant() {
    let executor = Executor::builder().capability(Kv::new(MemoryStore::new())).build().expect("it starts");
    let bytes = runner_guests::js("visits");
    let refused = executor.load(&bytes, &Grants::none()).await.expect_err("it has no store");
    assert_eq!(refused.kind(), ErrorKind::Denied, "{refused}");
    let grant = |mode: &str| json!({ "stores": { "default": { "namespace": "js", "mode": mode } } });
    let program = executor.load(&bytes, &Grants::none().grant("kv", grant("read-write"))).await.expect("it loads");

    let shown: Vec<_> = program.exports().iter().map(ToString::to_string).collect();
    assert!(shown.contains(&"visit: func(page: string) -> integer".to_owned()), "{shown:?}");
    let call = |task: &'static str, args: Value| {
        let call = program.call(task).args(args).idempotency_key("k").attempt(2);
        async { call.run().await.expect("the host does its part").ending }
    };
    let first = program.call("visit").args(json!(["home"])).run().await.expect("it runs");
    let said = String::from_utf8_lossy(&first.stderr);
    assert_eq!(first.ending, Ending::Returned(json!(1)), "{said}");
    assert_eq!(call("visit", json!(["home"])).await, Ending::Returned(json!(2)));
    assert_eq!(call("attempts", json!([])).await, Ending::Returned(json!("k, attempt 2")));
    let outcome = program.call("visit").args(json!([""])).run().await.expect("the host does its part");
    let said = String::from_utf8_lossy(&outcome.stderr);
    let Ending::Failed(no) = outcome.ending else { panic!("it says no, not {:?}: {said}", outcome.ending) };
    assert_eq!((no.code.as_str(), no.message.as_str(), no.retryable), ("no-page", "a page has a name", false));

    let program = executor.load(&bytes, &Grants::none().grant("kv", grant("read-only"))).await.expect("it loads");
    let Ending::Failed(no) = program.call("visit").args(json!(["home"])).run().await.expect("it runs").ending else {
        panic!("the store may only be read")
    };
    assert_eq!(no.code, "kv-access-denied");
}
