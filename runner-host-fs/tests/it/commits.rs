//! What becomes of what a guest wrote: published when it returns, gone when it does not, refused where somebody was faster.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use runner_core::{Ending, ErrorKind, HttpReply, Instance, Limits, Program};
use serde_json::json;
use std::time::Duration;

use crate::support::{Lent, RAW, STD, Tree, executor, granted};

#[tokio::test]
async fn what_a_guest_wrote_is_there_when_it_has_returned_and_not_before() {
    let tree = Tree::memory();
    tree.put("kept", "before").await;
    for guest in [STD, RAW] {
        let lent = Lent::at_data(guest, &tree).await;
        let write = json!(match guest {
            STD => json!([["put", "/data/f", guest], ["put", "/data/kept", "after"]]),
            _ => json!([["open", "f", "/data", "f", "", "ct", "w"], ["write", "f", guest, 0]]),
        });
        lent.came(&write).await;
        assert_eq!(tree.text("f").await.as_deref(), Some(guest));
    }
    assert_eq!(tree.text("kept").await.as_deref(), Some("after"));
    assert_eq!(tree.ends(), ["commit", "commit"]);
}

#[tokio::test]
async fn whoever_does_not_return_has_written_nothing() {
    let tree = Tree::memory();
    tree.put("f", "before").await;
    let lent = Lent::at_data(STD, &tree).await;
    let ends = [(json!(["panic"]), "trap"), (json!(["exit", 1]), "exit"), (json!(["spin"]), "limit")];
    for (last, how) in ends {
        let steps = json!([["put", "/data/f", "after"], ["get", "/data/f"], ["mkdir", "/data/d"], last]);
        let limits = Limits { deadline: Duration::from_millis(300), ..Limits::default() };
        let outcome = lent.run(&steps, limits).await.expect("the host does its part");
        let as_said = match &outcome.ending {
            Ending::Trapped(_) => how == "trap",
            Ending::Failed(failure) => how == "exit" && failure.exit_code == Some(1),
            Ending::Exhausted(_) => how == "limit",
            _ => false,
        };
        assert!(as_said, "{how}: {:?}", outcome.ending);
        assert_eq!(crate::support::lines(&outcome)[1], "after", "within the call it was there");
        assert_eq!(tree.text("f").await.as_deref(), Some("before"), "{how}");
    }
    assert_eq!(tree.ends(), ["discard", "discard", "discard"]);
}

#[tokio::test]
async fn whoever_comes_second_is_told() {
    let tree = Tree::memory();
    let lent = Lent::at_data(STD, &tree).await;
    tree.overtake();
    let steps = json!([["put", "/data/f", "mine"], ["exists", "/data/f"]]);
    let error = lent.run(&steps, Limits::default()).await.expect_err("somebody was faster");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.to_string(), "mount `/data`: somebody else changed `/`");
    let outcome = error.outcome().expect("what the guest did is not lost");
    assert!(outcome.ending.is_returned() && outcome.usage.host_calls > 0);
    assert_eq!(crate::support::lines(outcome), [json!("ok"), json!(true)]);
    assert_eq!((tree.text("f").await, tree.ends()), (None, vec!["conflict"]));
    // The natural answer is to run again.
    lent.came(&steps).await;
    assert_eq!(tree.text("f").await.as_deref(), Some("mine"));
}

#[tokio::test]
async fn what_one_mount_cannot_publish_the_others_do_not() {
    let (one, two) = (Tree::memory(), Tree::memory());
    let fs = runner_host_fs::HostFs::new().volume("one", Failing(one.clone())).volume("two", two.clone());
    let executor = runner_core::Executor::builder().capability(fs).build().expect("it starts");
    let lent = Lent::of(STD, executor, json!({ "/a": { "volume": "one" }, "/b": { "volume": "two" } })).await;
    let steps = json!([["put", "/a/f", "x"], ["put", "/b/f", "x"]]);
    let error = lent.run(&steps, Limits::default()).await.expect_err("the first one fails");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Unavailable, "mount `/a`: the disk is full"));
    assert_eq!(two.ends(), ["discard"]);
    assert_eq!(two.text("f").await, None);
    // Each mount is a commit of its own: what was published before stays.
    let lent = Lent::of(STD, lent.executor, json!({ "/a": { "volume": "two" }, "/b": { "volume": "one" } })).await;
    let error = lent.run(&steps, Limits::default()).await.expect_err("the second one fails");
    assert_eq!(error.to_string(), "mount `/b`: the disk is full");
    assert_eq!(two.text("f").await.as_deref(), Some("x"));
}

/// A volume that cannot publish.
struct Failing(Tree);

impl runner_host_fs::Volume for Failing {
    fn check(&self, view: &runner_host_fs::View) -> runner_host_fs::Result<()> {
        self.0.check(view)
    }

    fn open(&self, view: &runner_host_fs::View) -> runner_host_fs::Result<std::sync::Arc<dyn runner_host_fs::Session>> {
        Ok(std::sync::Arc::new(Failed(self.0.open(view)?)))
    }
}

struct Failed(std::sync::Arc<dyn runner_host_fs::Session>);

#[runner_host_fs::async_trait]
impl runner_host_fs::Session for Failed {
    fn files(&self) -> std::sync::Arc<dyn runner_host_fs::Vfs> {
        self.0.files()
    }
    async fn commit(&self) -> runner_host_fs::Result<()> {
        Err(runner_host_fs::Error::new(runner_host_fs::ErrorKind::NoSpace, "the disk is full"))
    }
    async fn discard(&self) -> runner_host_fs::Result<()> {
        self.0.discard().await
    }
    fn changes(&self) -> runner_host_fs::Changes {
        self.0.changes()
    }
    fn usage(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.0.usage()
    }
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::builder().uri(format!("http://localhost{path}")).body(Empty::new()).expect("a request")
}

async fn handler(tree: &Tree, grant: serde_json::Value) -> (runner_core::Executor, Program) {
    let executor = executor(tree.clone());
    let grants = runner_core::Grants::none().grant("fs", grant);
    let program = executor.load(runner_guests::get("http-files"), &grants).await.expect("it loads");
    (executor, program)
}

#[tokio::test]
async fn an_answer_waits_until_what_was_written_is_published() {
    let tree = Tree::memory();
    let (_executor, program) = handler(&tree, json!({ "mounts": { "/data": {} } })).await;
    for lines in 1..=3 {
        let reply = program.http(get("/append")).send().await.expect("the host does its part");
        let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
        // There is a head: what was written is there for others.
        assert_eq!(tree.text("log").await.expect("it is published").lines().count(), lines);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(body, lines.to_string());
        assert!(ended.outcome().await.expect("it ends").ending.is_returned());
    }
}

#[tokio::test]
async fn a_handler_that_traps_has_written_nothing() {
    let tree = Tree::memory();
    let (_executor, program) = handler(&tree, json!({ "mounts": { "/data": {} } })).await;
    let reply = program.http(get("/trap")).send().await.expect("the host does its part");
    let HttpReply::Unanswered(outcome) = reply else { panic!("expected no answer") };
    assert!(matches!(outcome.ending, Ending::Trapped(_)));
    assert_eq!(tree.text("log").await, None);
}

#[tokio::test]
async fn an_answer_that_is_a_conflict_is_none() {
    let tree = Tree::memory();
    let fs = runner_host_fs::HostFs::new().volume("tree", Failing(tree.clone()));
    let executor = runner_core::Executor::builder().capability(fs).build().expect("it starts");
    let grants = granted(json!({ "/data": {} }));
    let program = executor.load(runner_guests::get("http-files"), &grants).await.expect("it loads");
    let refused = program.http(get("/append")).send().await;
    assert_eq!(refused.err().map(|error| error.kind()), Some(ErrorKind::Unavailable));
    // A grant may say that nobody waits.
    let grants = runner_core::Grants::none().grant("fs", json!({ "mounts": { "/data": {} }, "stream": true }));
    let program = executor.load(runner_guests::get("http-files"), &grants).await.expect("it loads");
    let reply = program.http(get("/append")).send().await.expect("the answer is sent at once");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "1");
    assert_eq!(ended.outcome().await.err().map(|error| error.kind()), Some(ErrorKind::Unavailable));
}

async fn ask(instance: Instance, path: &str) -> (String, Instance) {
    let reply = instance.http(get(path)).send().await.expect("the host does its part");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer to {path}") };
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let (outcome, instance) = ended.reclaim().await.expect("it ends");
    assert!(outcome.ending.is_returned(), "{path}: {:?}", outcome.ending);
    (String::from_utf8_lossy(&body).into_owned(), instance.expect("it may go on"))
}

#[tokio::test]
async fn a_live_instance_sees_each_request_s_own_files_by_the_directories_it_has() {
    let tree = Tree::memory();
    let (_executor, program) = handler(&tree, json!({ "mounts": { "/data": {} } })).await;
    let instance = program.instance().start().await.expect("it starts");
    let (said, instance) = ask(instance, "/append").await;
    assert_eq!(said, "1");
    tree.put("log", "one\ntwo\n").await;
    let (said, instance) = ask(instance, "/append").await;
    assert_eq!(said, "3");
    // What is open over the end of its request is closed with it.
    let (said, instance) = ask(instance, "/keep").await;
    assert_eq!(said, "kept");
    assert_eq!(tree.text("kept").await.as_deref(), Some("in the first request"));
    let (said, instance) = ask(instance, "/kept").await;
    // A bad descriptor: the library in the guest has one word for whatever a stream says no with, EIO.
    assert_eq!(said, "no: Some(29)");
    let (said, instance) = ask(instance, "/drop").await;
    assert_eq!(said, "true");
    instance.close().await.expect("it closes");
    assert_eq!(tree.text("kept").await.as_deref(), Some("in the first request"));
}
