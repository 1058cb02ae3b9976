//! Executions that are kept: whole runs over a file, on a clock that is wound by hand, with hosts that come and go.

mod faults; // hosts that are killed, stores that fail
mod mapped; // what AWS calls a function or a state machine

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runner_workflow::store::{Search, SqliteStore, Status, Store};
use runner_workflow::{
    Clock, Described, Done, Ending, Envelope, ErrorKind, Failure, ManualClock, Settings, Start, Task, Tasks, Workflows,
};
use serde_json::{Value, json};

/// When all of it begins.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// Does tasks as their names say, and remembers what it was asked for.
#[derive(Clone, Default)]
struct Doer(Arc<Mutex<Asked>>);

#[derive(Default)]
struct Asked {
    tasks: Vec<(String, Value, u32, String)>,
    tokens: HashMap<String, String>,
    /// How often `app:flaky` still fails.
    fails: u32,
}

impl Doer {
    fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.0.lock().expect("no test panicked")
    }

    fn count(&self, resource: &str) -> usize {
        self.asked().tasks.iter().filter(|task| task.0 == resource).count()
    }

    fn token(&self, of: &str) -> String {
        self.asked().tokens.get(of).cloned().expect("it was handed over")
    }
}

#[async_trait]
impl Tasks for Doer {
    async fn invoke(&self, task: Task) -> Done {
        let arguments = task.invocation.arguments.clone();
        let asked =
            (task.resource.clone(), arguments.clone(), task.invocation.attempt, task.invocation.idempotency_key);
        self.asked().tasks.push(asked);
        match task.resource.as_str() {
            "app:echo" => Done::Succeeded(arguments),
            "app:fail" => Done::failed("App.Failed", "it does"),
            "app:panic" => panic!("as it was asked to"),
            "app:hang" => std::future::pending().await,
            "app:flaky" => {
                let mut asked = self.asked();
                match asked.fails.checked_sub(1) {
                    Some(left) => {
                        asked.fails = left;
                        Done::failed("App.Flaky", "not yet")
                    }
                    None => Done::Succeeded(arguments),
                }
            }
            "app:ask.waitForTaskToken" => {
                let token = task.invocation.token.expect("it has one");
                let of = arguments["of"].as_str().unwrap_or_default().to_owned();
                assert_eq!(arguments["token"], json!(token), "the state sees it, too");
                self.asked().tokens.insert(of, token);
                Done::Succeeded(json!({ "handed": "over" }))
            }
            other => panic!("nobody does `{other}`"),
        }
    }

    async fn check(&self, resource: &str, _envelope: &Envelope) -> Result<(), String> {
        if resource.starts_with("app:") { Ok(()) } else { Err("nobody does it".to_owned()) }
    }
}

/// A host over a file; the next one finds what it has left.
struct Host {
    path: PathBuf,
    clock: Arc<ManualClock>,
    doer: Doer,
    workflows: Workflows,
}

impl Host {
    fn new(folder: &Path) -> Self {
        let path = folder.join("store");
        Self::with(path, Arc::new(ManualClock::at_ms(BEGIN_MS)), Doer::default(), |store| store)
    }

    fn with(
        path: PathBuf,
        clock: Arc<ManualClock>,
        doer: Doer,
        around: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> Self {
        let store = around(Arc::new(SqliteStore::open(&path).expect("it opens")));
        let workflows = Workflows::start_with_clock(store, Arc::new(doer.clone()), Settings::default(), clock.clone());
        Host { path, clock, doer, workflows }
    }

    /// Ends, and begins again.
    async fn again(self) -> Self {
        let Host { path, clock, doer, workflows } = self;
        workflows.shutdown().await;
        drop(workflows);
        Self::with(path, clock, doer, |store| store)
    }

    async fn put(&self, name: &str, start_at: &str, states: Value) -> u32 {
        let definition = json!({ "StartAt": start_at, "States": states });
        self.workflows.put(name, &json!({ "definition": definition }).to_string()).await.expect("it is put")
    }

    /// Starts an execution; answers its id.
    async fn execute(&self, workflow: &str, input: Value) -> String {
        let start = Start { input, ..Start::default() };
        self.workflows.execute(workflow, start).await.expect("it starts").execution.id
    }

    async fn ended(&self, id: &str) -> Described {
        self.workflows.ended(id).await.expect("it is there")
    }

    async fn output(&self, id: &str) -> Value {
        match self.ended(id).await.ending {
            Some(Ending::Succeeded { output }) => output,
            other => panic!("{other:?}"),
        }
    }

    /// The kinds of a history's entries.
    async fn history(&self, id: &str) -> Vec<String> {
        let page = self.workflows.history(id, 0, NonZeroU32::MAX).await.expect("it is there");
        assert!(page.found.iter().zip(1..).all(|(event, number)| event.id == number), "numbered from 1 on");
        page.found.into_iter().map(|event| event.entry.kind.into_owned()).collect()
    }

    /// Waits until an execution waits in one state, until a time.
    async fn waits(&self, id: &str, state: &str, until_ms: Option<i64>) {
        let expected = vec![(state.to_owned(), until_ms)];
        until("it waits", async || {
            let described = self.workflows.describe(id).await.expect("it is there");
            assert_eq!(described.ending, None, "it waits for {expected:?}");
            described.waiting.into_iter().map(|one| (one.state, one.until_ms)).collect::<Vec<_>>() == expected
        })
        .await;
    }
}

/// Waits until something holds. No test waits so long unless it fails.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let holds = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), holds).await.unwrap_or_else(|_| panic!("{what}: never"));
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn task(resource: &str) -> Value {
    json!({ "Type": "Task", "Resource": resource, "End": true })
}

#[tokio::test]
async fn an_execution_goes_to_its_end_and_is_there_for_the_next_host() {
    let folder = folder();
    let host = Host::new(folder.path());
    host.put("w", "A", json!({ "A": { "Type": "Task", "Resource": "app:echo", "Next": "B" }, "B": task("app:echo") }))
        .await;
    let id = host.execute("w", json!({ "n": 1 })).await;
    assert_eq!(host.output(&id).await, json!({ "n": 1 }));
    let expected = [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ];
    assert_eq!(host.history(&id).await, expected);
    let host = host.again().await;
    assert_eq!(host.output(&id).await, json!({ "n": 1 }));
    assert_eq!(host.history(&id).await, expected);
    assert_eq!(host.doer.count("app:echo"), 2, "nothing is done again");
    let described = host.workflows.describe(&id).await.expect("it is there");
    assert_eq!((described.summary.status, described.input), (Status::Succeeded, json!({ "n": 1 })));
    for missing in [host.workflows.describe("none").await.map(drop), host.workflows.stop("none", None, None).await] {
        assert_eq!(missing.expect_err("it is not there").kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_name_starts_an_execution_once() {
    let folder = folder();
    let host = Host::new(folder.path());
    host.put("w", "A", json!({ "A": task("app:echo") })).await;
    let start = |input: Value| Start { input, name: Some("order-7".to_owned()), version: None };
    let first = host.workflows.execute("w", start(json!({ "a": 1, "b": 2 }))).await.expect("it starts");
    assert!(first.is_new);
    host.ended(&first.execution.id).await;
    let again = host.workflows.execute("w", start(json!({ "b": 2, "a": 1 }))).await.expect("it is the same");
    assert_eq!((again.is_new, &again.execution.id), (false, &first.execution.id));
    assert_eq!(host.doer.count("app:echo"), 1);
    let other = host.workflows.execute("w", start(json!({ "a": 2 }))).await.expect_err("it is another");
    assert_eq!(other.kind(), ErrorKind::Exists);
    assert!(other.to_string().contains(&first.execution.id), "{other}");
    for name in ["", "a b", "a/b", &"n".repeat(81)] {
        let start = Start { name: Some(name.to_owned()), ..Start::default() };
        let refused = host.workflows.execute("w", start).await.expect_err("it is no name");
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{name}");
    }
    let none = host.workflows.execute("none", Start::default()).await.expect_err("there is none");
    assert_eq!((none.kind(), none.to_string().as_str()), (ErrorKind::NotFound, "there is no workflow `none`"));
    let wide = Start { input: json!("x".repeat(9 << 20)), ..Start::default() };
    assert_eq!(host.workflows.execute("w", wide).await.expect_err("it is too large").kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_wait_outlives_its_host_and_a_clock_that_is_set() {
    let folder = folder();
    let mut host = Host::new(folder.path());
    host.put("w", "A", json!({ "A": { "Type": "Wait", "Seconds": 60, "End": true } })).await;
    let id = host.execute("w", json!("x")).await;
    let at = BEGIN_MS + 60_000;
    host.waits(&id, "A", Some(at)).await;
    host = host.again().await;
    host.clock.wind(59_999);
    host.waits(&id, "A", Some(at)).await;
    // Set back by a day, and on again.
    host.clock.wind(-86_400_000);
    host.waits(&id, "A", Some(at)).await;
    host.clock.wind(86_400_000);
    host.clock.wind(1);
    assert_eq!(host.output(&id).await, json!("x"));
    // One that became due while there was no host.
    let id = host.execute("w", json!("y")).await;
    host.waits(&id, "A", Some(host.clock.now_ms() + 60_000)).await;
    let Host { path, clock, doer, workflows } = host;
    workflows.shutdown().await;
    drop(workflows);
    clock.wind(1_000_000);
    let host = Host::with(path, clock, doer, |store| store);
    assert_eq!(host.output(&id).await, json!("y"));
    // A history does not go back.
    let id = host.execute("w", json!("z")).await;
    host.waits(&id, "A", Some(host.clock.now_ms() + 60_000)).await;
    host.clock.wind(-5_000);
    host.workflows.stop(&id, None, None).await.expect("it runs");
    let page = host.workflows.history(&id, 0, NonZeroU32::MAX).await.expect("it is there");
    assert!(page.found.windows(2).all(|two| two[0].at_ms <= two[1].at_ms), "{:?}", page.found);
}

#[tokio::test]
async fn a_token_is_taken_once_and_by_any_host() {
    let folder = folder();
    let mut host = Host::new(folder.path());
    let ask = json!({
        "Type": "Task", "Resource": "app:ask.waitForTaskToken", "End": true, "HeartbeatSeconds": 30,
        "Parameters": { "token.$": "$$.Task.Token", "of.$": "$" },
    });
    host.put("w", "A", json!({ "A": ask })).await;
    let ids = [host.execute("w", json!("one")).await, host.execute("w", json!("two")).await];
    for id in &ids {
        host.waits(id, "A", Some(BEGIN_MS + 30_000)).await;
    }
    until("both are handed over", async || host.doer.asked().tokens.len() == 2).await;
    let (one, two) = (host.doer.token("one"), host.doer.token("two"));
    assert_ne!(one, two);
    host = host.again().await;
    assert_eq!(host.doer.count("app:ask.waitForTaskToken"), 2, "what was handed over is not again");
    host.clock.wind(20_000);
    host.workflows.task_alive(&one).await.expect("it is waited for");
    host.waits(&ids[0], "A", Some(BEGIN_MS + 50_000)).await;
    host.clock.wind(10_000);
    let late = host.ended(&ids[1]).await;
    assert_eq!(late.summary.status, Status::Failed, "the other was silent");
    host.workflows.task_done(&one, Done::Succeeded(json!({ "approved": true }))).await.expect("it is waited for");
    assert_eq!(host.output(&ids[0]).await, json!({ "approved": true }));
    let forged = format!("{}{}", if one.starts_with('A') { "B" } else { "A" }, &one[1..]);
    for token in [one.as_str(), &two, &forged, "", "no token"] {
        for refused in
            [host.workflows.task_done(token, Done::Succeeded(json!(1))).await, host.workflows.task_alive(token).await]
        {
            let refused = refused.expect_err("nobody waits for it");
            assert_eq!(refused.kind(), ErrorKind::NotFound, "{token}");
            assert!(refused.to_string().contains("no task that is waited for"), "{refused}");
        }
    }
}

#[tokio::test]
async fn what_is_tried_again_waits_and_says_which_try_it_is() {
    let folder = folder();
    let mut host = Host::new(folder.path());
    host.doer.asked().fails = 2;
    let mut flaky = task("app:flaky");
    flaky["Retry"] = json!([{ "ErrorEquals": ["App.Flaky"], "IntervalSeconds": 10, "BackoffRate": 3 }]);
    host.put("w", "A", json!({ "A": flaky })).await;
    let id = host.execute("w", json!(1)).await;
    for seconds in [10, 30] {
        let now = host.clock.now_ms();
        host.waits(&id, "A", Some(now + seconds * 1_000)).await;
        host = host.again().await;
        host.clock.wind(seconds * 1_000);
    }
    assert_eq!(host.output(&id).await, json!(1));
    let asked = host.doer.asked();
    let attempts: Vec<_> = asked.tasks.iter().map(|task| task.2).collect();
    assert_eq!(attempts, [1, 2, 3]);
    let keys: std::collections::BTreeSet<_> = asked.tasks.iter().map(|task| task.3.clone()).collect();
    assert_eq!(keys.len(), 3, "each try has its own key");
}

#[tokio::test]
async fn a_task_that_was_under_way_is_done_again_by_the_same_key() {
    let folder = folder();
    let mut host = Host::new(folder.path());
    let branches = ["app:hang", "app:echo"].map(|does| json!({ "StartAt": does, "States": { does: task(does) } }));
    host.put("w", "P", json!({ "P": { "Type": "Parallel", "Branches": branches, "End": true } })).await;
    let id = host.execute("w", json!(7)).await;
    for hosts in 1..=3 {
        until("it is asked for", async || host.doer.count("app:hang") == hosts).await;
        // The other branch has ended.
        host.waits(&id, "app:hang", None).await;
        host = host.again().await;
    }
    until("it is asked for", async || host.doer.count("app:hang") == 4).await;
    assert_eq!(host.doer.count("app:echo"), 1, "what has answered is not asked again");
    let asked = host.doer.asked().tasks.clone();
    let hanging: Vec<_> = asked.iter().filter(|task| task.0 == "app:hang").collect();
    assert!(hanging.iter().all(|task| task == &hanging[0]), "the same task: {hanging:?}");
    host.workflows.stop(&id, Some("Enough".to_owned()), Some("of it".to_owned())).await.expect("it runs");
    let ended = host.ended(&id).await;
    let failure = Failure { error: Some("Enough".into()), cause: Some("of it".into()), location: None };
    assert_eq!(ended.ending, Some(Ending::Aborted(failure)));
    let refused = host.workflows.stop(&id, None, None).await.expect_err("it has ended");
    assert_eq!(refused.kind(), ErrorKind::State);
    // From where it was stopped.
    host.workflows.redrive(&id).await.expect("it was stopped");
    until("it is asked for", async || host.doer.count("app:hang") == 5).await;
    assert_eq!(host.doer.count("app:echo"), 1);
    assert_eq!(host.workflows.describe(&id).await.expect("it is there").redrives, 1);
    let refused = host.workflows.redrive(&id).await.expect_err("it runs");
    assert_eq!(refused.kind(), ErrorKind::State);
}

#[tokio::test]
async fn a_child_is_waited_for_or_not_and_stopped_with_who_waits() {
    let folder = folder();
    let mut host = Host::new(folder.path());
    host.put("child", "A", json!({ "A": task("app:echo") })).await;
    host.put("failing", "A", json!({ "A": task("app:fail") })).await;
    host.put("hanging", "A", json!({ "A": task("app:hang") })).await;
    let catching = |resource: &str| {
        let mut parent = task(resource);
        parent["Catch"] = json!([{ "ErrorEquals": ["States.ALL"], "Next": "Caught" }]);
        json!({ "A": parent, "Caught": { "Type": "Pass", "End": true } })
    };
    for (name, resource) in [
        ("waits", "workflow:child.sync"),
        ("does-not", "workflow:hanging"),
        ("catches", "workflow:failing.sync"),
        ("nobody", "workflow:none.sync"),
        ("itself", "workflow:itself.sync"),
        ("hangs", "workflow:hanging.sync"),
    ] {
        host.put(name, "A", catching(resource)).await;
    }
    let id = host.execute("waits", json!({ "n": 1 })).await;
    assert_eq!(host.output(&id).await, json!({ "n": 1 }));
    assert_eq!(host.history(&id).await[4], "TaskSubmitted");
    let id = host.execute("does-not", json!(1)).await;
    let child = host.output(&id).await["ExecutionArn"].as_str().expect("its id").to_owned();
    assert_eq!(host.workflows.describe(&child).await.expect("it is there").summary.status, Status::Running);
    let id = host.execute("catches", json!(1)).await;
    assert_eq!(host.output(&id).await, json!({ "Error": "App.Failed", "Cause": "it does" }));
    let id = host.execute("nobody", json!(1)).await;
    assert_eq!(host.output(&id).await["Error"], "Runner.NotFound");
    let id = host.execute("itself", json!(1)).await;
    assert_eq!(host.output(&id).await["Error"], "Runner.LimitExceeded");

    let id = host.execute("hangs", json!(2)).await;
    let children = Search { workflow: Some("hanging".into()), status: Some(Status::Running), ..Search::default() };
    let running = async |host: &Host| {
        let page = host.workflows.executions(children.clone(), NonZeroU32::MAX).await.expect("they are listed");
        page.found.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    until("it is started", async || running(&host).await.len() == 2).await;
    host = host.again().await;
    assert_eq!(running(&host).await.len(), 2, "a child is started once");
    host.workflows.stop(&id, None, None).await.expect("it runs");
    until("it is stopped", async || running(&host).await == [child.as_str()]).await;
}

#[tokio::test]
async fn large_values_lie_apart_and_come_back_as_they_were() {
    let folder = folder();
    let host = Host::new(folder.path());
    host.put(
        "w",
        "A",
        json!({
            "A": { "Type": "Task", "Resource": "app:echo", "Next": "B", "ResultPath": "$.copy" },
            "B": { "Type": "Wait", "Seconds": 9, "End": true },
        }),
    )
    .await;
    let large = json!({ "text": "ü\n\0".repeat(200_000), "small": 1, "\0elsewhere": "mine" });
    let id = host.execute("w", large.clone()).await;
    host.waits(&id, "B", Some(BEGIN_MS + 9_000)).await;
    let path = host.path.clone();
    let host = host.again().await;
    let state: i64 = {
        let connection = rusqlite::Connection::open(&path).expect("it opens");
        connection.query_row("SELECT max(length(text)) FROM state", [], |row| row.get(0)).expect("it is read")
    };
    assert!(state < 10_000, "{state} bytes");
    host.clock.wind(9_000);
    let output = host.output(&id).await;
    assert!(output["copy"] == large && output["text"] == large["text"], "it is whole");
    let page = host.workflows.history(&id, 0, NonZeroU32::MAX).await.expect("it is there");
    let inputs = page.found.iter().filter_map(|event| event.entry.input.as_ref()).filter(|input| **input == large);
    assert_eq!(inputs.count(), 2, "of the execution and the state");
    let described = host.workflows.describe(&id).await.expect("it is there");
    assert!(described.input == large);
}

#[tokio::test]
async fn a_run_keeps_the_version_that_it_began_with() {
    let folder = folder();
    let mut host = Host::new(folder.path());
    let wait = json!({ "Type": "Wait", "Seconds": 9, "Next": "B" });
    let pass = |result: &str| json!({ "Type": "Pass", "Result": result, "End": true });
    assert_eq!(host.put("w", "A", json!({ "A": wait, "B": pass("old") })).await, 1);
    let old = host.execute("w", json!(1)).await;
    assert_eq!(host.put("w", "C", json!({ "C": pass("new") })).await, 2);
    let new = host.execute("w", json!(1)).await;
    assert_eq!(host.output(&new).await, json!("new"));
    let first = Start { version: Some(1), ..Start::default() };
    let first = host.workflows.execute("w", first).await.expect("it is there").execution.id;
    assert!(host.workflows.remove("w").await.expect("it is removed"));
    host = host.again().await;
    assert_eq!(
        host.workflows.execute("w", Start::default()).await.expect_err("it is gone").kind(),
        ErrorKind::NotFound
    );
    host.clock.wind(9_000);
    assert_eq!(host.output(&old).await, json!("old"));
    assert_eq!(host.output(&first).await, json!("old"));
}

#[tokio::test]
async fn what_nobody_does_is_refused_before_it_is_kept() {
    let folder = folder();
    let host = Host::new(folder.path());
    let put = async |definition: Value| {
        let text = json!({ "definition": definition }).to_string();
        host.workflows.put("w", &text).await.map_err(|error| (error.kind(), error.to_string()))
    };
    let of = |resource: &str| json!({ "StartAt": "A", "States": { "A": task(resource) } });
    let (kind, says) = put(of("wasm:x@1#y")).await.expect_err("nobody does it");
    assert_eq!((kind, says.as_str()), (ErrorKind::Invalid, "resource `wasm:x@1#y`: nobody does it"));
    let (kind, says) = put(json!({ "StartAt": "A" })).await.expect_err("it has no states");
    assert!(kind == ErrorKind::Invalid && says.contains("States"), "{says}");
    assert_eq!(put(of("workflow:later")).await, Ok(1), "a workflow may come later");
    assert_eq!(host.workflows.put("a b", "{}").await.expect_err("it is no name").kind(), ErrorKind::Invalid);
    let refused = host.workflows.put("w", r#"{"definition": {}, "typo": 1}"#).await.expect_err("it is no field");
    assert!(refused.to_string().contains("typo"), "{refused}");
}

#[tokio::test]
async fn an_execution_is_kept_for_as_long_as_it_is_said() {
    let folder = folder();
    let host = Host::new(folder.path());
    host.put("w", "A", json!({ "A": task("app:echo"), })).await;
    host.put("waits", "A", json!({ "A": task("app:hang"), })).await;
    let (id, running) = (host.execute("w", json!(1)).await, host.execute("waits", json!(1)).await);
    host.ended(&id).await;
    let day = 86_400_000;
    host.clock.wind(89 * day);
    assert!(host.workflows.describe(&id).await.is_ok());
    host.clock.wind(2 * day);
    until("it is gone", async || host.workflows.describe(&id).await.is_err()).await;
    assert!(host.workflows.describe(&running).await.is_ok(), "one that runs stays");
}

#[tokio::test]
async fn many_items_and_a_long_loop_go_to_their_end() {
    let folder = folder();
    let host = Host::new(folder.path());
    let map =
        json!({ "Type": "Map", "End": true, "ItemProcessor": { "StartAt": "A", "States": { "A": task("app:echo") } } });
    host.put("map", "M", json!({ "M": map })).await;
    let items: Vec<_> = (0..500).collect();
    let id = host.execute("map", json!(items)).await;
    assert_eq!(host.output(&id).await, json!(items));
    assert_eq!(host.doer.count("app:echo"), 500, "each once");

    host.put(
        "loop",
        "Add",
        json!({
            "Add": { "Type": "Pass", "Parameters": { "n.$": "States.MathAdd($.n, 1)" }, "Next": "Enough" },
            "Enough": { "Type": "Choice", "Default": "Add", "Choices": [
                { "Variable": "$.n", "NumericGreaterThanEquals": 5_000, "Next": "Done" }] },
            "Done": { "Type": "Succeed" },
        }),
    )
    .await;
    let id = host.execute("loop", json!({ "n": 0 })).await;
    assert_eq!(host.output(&id).await, json!({ "n": 5_000 }));
    assert_eq!(host.history(&id).await.len(), 20_000 + 4);
}

#[tokio::test]
async fn more_tasks_than_memory_is_for_are_found_in_the_store() {
    let folder = folder();
    let store = Arc::new(SqliteStore::open(folder.path().join("store")).expect("it opens"));
    let settings = Settings { tasks_max: 1, waiting_max: 4, ..Settings::default() };
    let (doer, clock) = (Doer::default(), Arc::new(ManualClock::at_ms(BEGIN_MS)));
    let workflows = Workflows::start_with_clock(store, Arc::new(doer.clone()), settings, clock);
    let map =
        json!({ "Type": "Map", "End": true, "ItemProcessor": { "StartAt": "A", "States": { "A": task("app:echo") } } });
    let definition = json!({ "StartAt": "M", "States": { "M": map } });
    workflows.put("map", &json!({ "definition": definition }).to_string()).await.expect("it is put");
    let mut ids = Vec::new();
    for number in 0..20 {
        let start = Start { input: json!([number, number]), ..Start::default() };
        ids.push(workflows.execute("map", start).await.expect("it starts").execution.id);
    }
    for id in ids {
        let ended = workflows.ended(&id).await.expect("it is there");
        assert_eq!(ended.summary.status, Status::Succeeded, "{ended:?}");
    }
    assert_eq!(doer.count("app:echo"), 40, "each once");
}

#[tokio::test]
async fn who_is_dropped_ends_and_gives_the_file_back() {
    let folder = folder();
    let host = Host::new(folder.path());
    host.put("w", "A", json!({ "A": task("app:hang") })).await;
    host.execute("w", json!(1)).await;
    until("it is asked for", async || host.doer.count("app:hang") == 1).await;
    let Host { path, clock, doer, workflows } = host;
    drop(workflows);
    // What was dropped goes when the runtime comes to it.
    until("it is free", async || SqliteStore::open(&path).is_ok()).await;
    let host = Host::with(path, clock, doer, |store| store);
    until("it is asked for again", async || host.doer.count("app:hang") == 2).await;
}

#[tokio::test]
async fn whoever_watches_hears_of_each_entry_and_of_the_end() {
    let folder = folder();
    let host = Host::new(folder.path());
    host.put("w", "A", json!({ "A": { "Type": "Wait", "Seconds": 9, "Next": "B" }, "B": task("app:panic") })).await;
    let id = host.execute("w", json!(1)).await;
    let (workflows, watched) = (host.workflows.clone(), id.clone());
    let seen = tokio::spawn(async move {
        let mut seen: BTreeMap<u64, String> = BTreeMap::new();
        loop {
            let after = seen.keys().next_back().copied().unwrap_or(0);
            let ended = workflows.changed(&watched, after).await.expect("it is there");
            let page = workflows.history(&watched, after, NonZeroU32::MIN).await.expect("it is there");
            seen.extend(page.found.into_iter().map(|event| (event.id, event.entry.kind.into_owned())));
            if ended && !page.more {
                return seen;
            }
        }
    });
    host.waits(&id, "A", Some(BEGIN_MS + 9_000)).await;
    host.clock.wind(9_000);
    let seen: Vec<_> = seen.await.expect("it ends").into_values().collect();
    assert_eq!(seen, host.history(&id).await);
    assert_eq!(seen.last().map(String::as_str), Some("ExecutionFailed"));
    let ended = host.ended(&id).await;
    let Some(Ending::Failed(failure)) = ended.ending else { panic!("{ended:?}") };
    assert_eq!(failure.error.as_deref(), Some("Runner.Internal"), "who panics takes nobody with him");
}
