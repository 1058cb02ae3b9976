//! Hosts that are killed at every commit, stores that fail at every commit, a disk that is full, a file that somebody has locked:
//! an execution ends once, with the right output, and no transition is doubled or lost.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use runner_workflow::store::{
    Create, Created, Digest, Kept, Line, Page, Search, SqliteStore, Step, Store, Summary, Version, Workflow,
};
use runner_workflow::{
    Clock, Done, Ending, Envelope, Error, ErrorKind, ManualClock, Result, Settings, Start, Task, Tasks, Workflows,
};
use serde_json::{Value, json};

use super::BEGIN_MS;

/// What befalls a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The process is killed before the store hears of it.
    KillBefore,
    /// And when it is on disk, before anybody hears of that.
    KillAfter,
    /// The store fails, and has done nothing.
    FailBefore,
    /// The store says that it fails, and has done it.
    FailAfter,
}

/// A store, and what befalls one of its commits.
struct Faulty {
    store: SqliteStore,
    fault: Option<(u64, Fault)>,
    commits: Arc<AtomicU64>,
}

impl Faulty {
    async fn befall<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let index = self.commits.fetch_add(1, Ordering::SeqCst);
        let fault = self.fault.filter(|(at, _)| *at == index).map(|(_, fault)| fault);
        let failed = || Error::new(ErrorKind::Unavailable, "the store is away for a moment");
        match fault {
            Some(Fault::KillBefore) => kill(),
            Some(Fault::FailBefore) => return Err(failed()),
            _ => {}
        }
        let done = work.await;
        // A limit of the process is an I/O error for SQLite, and no full disk.
        let is_full = |error: &Error| ["full", "disk I/O error"].iter().any(|what| error.to_string().contains(what));
        if done.as_ref().is_err_and(is_full) {
            println!("@full");
        }
        let done = done?;
        match fault {
            Some(Fault::KillAfter) => kill(),
            Some(Fault::FailAfter) => Err(failed()),
            _ => Ok(done),
        }
    }
}

fn kill() -> ! {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .expect("one may kill oneself");
    unreachable!("nobody outlives that")
}

#[async_trait]
impl Store for Faulty {
    async fn put_workflow(&self, name: &str, text: &str, now_ms: i64) -> Result<u32> {
        self.store.put_workflow(name, text, now_ms).await
    }
    async fn workflow(&self, name: &str, version: Option<u32>) -> Result<Option<Workflow>> {
        self.store.workflow(name, version).await
    }
    async fn workflows(&self, after: Option<&str>, limit: NonZeroU32) -> Result<Page<Version>> {
        self.store.workflows(after, limit).await
    }
    async fn remove_workflow(&self, name: &str) -> Result<bool> {
        self.store.remove_workflow(name).await
    }
    async fn create(&self, new: Create) -> Result<Created> {
        self.befall(self.store.create(new)).await
    }
    async fn commit(&self, id: &str, revision: u64, step: Arc<Step>) -> Result<()> {
        self.befall(self.store.commit(id, revision, step)).await
    }
    async fn execution(&self, id: &str) -> Result<Option<Kept>> {
        self.store.execution(id).await
    }
    async fn executions(&self, search: Search, limit: NonZeroU32) -> Result<Page<Summary>> {
        self.store.executions(search, limit).await
    }
    async fn history(&self, id: &str, after: u64, limit: NonZeroU32) -> Result<Page<Line>> {
        self.store.history(id, after, limit).await
    }
    async fn values(&self, id: &str, digests: &[Digest]) -> Result<Vec<Option<String>>> {
        self.store.values(id, digests).await
    }
    async fn due(&self, now_ms: i64, limit: NonZeroU32) -> Result<Vec<String>> {
        self.store.due(now_ms, limit).await
    }
    async fn next_due(&self) -> Result<Option<i64>> {
        self.store.next_due().await
    }
    async fn owing(&self, after: Option<&str>, limit: NonZeroU32) -> Result<Page<String>> {
        self.store.owing(after, limit).await
    }
    async fn remove_ended(&self, before_ms: i64, rows: NonZeroU32) -> Result<bool> {
        self.store.remove_ended(before_ms, rows).await
    }
}

/// Does tasks; tokens are written down in a file, as somebody outside would have them.
struct Doer {
    tokens: std::path::PathBuf,
}

#[async_trait]
impl Tasks for Doer {
    async fn invoke(&self, task: Task) -> Done {
        let Task { resource, invocation, .. } = task;
        match resource.as_str() {
            "app:flaky" if invocation.attempt < 3 => Done::failed("App.Flaky", "not yet"),
            "app:ask.waitForTaskToken" => {
                use std::io::Write as _;
                let token = invocation.token.expect("it has one");
                let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.tokens);
                writeln!(file.expect("it opens"), "{token}").expect("it is written");
                Done::Succeeded(json!(null))
            }
            _ => Done::Succeeded(invocation.arguments),
        }
    }

    async fn check(&self, _resource: &str, _envelope: &Envelope) -> std::result::Result<(), String> {
        Ok(())
    }
}

/// Thirty states and more: Parallel, Map, Retry, Catch, Wait, a token, a child, a loop, a choice.
fn definition() -> Value {
    let echo = |next: &str| json!({ "Type": "Task", "Resource": "app:echo", "Next": next });
    let end = || json!({ "Type": "Task", "Resource": "app:echo", "End": true });
    let branch = |name: &str| {
        let names: Vec<_> = (1..=4).map(|number| format!("{name}{number}")).collect();
        json!({ "StartAt": names[0], "States": {
            &names[0]: echo(&names[1]),
            &names[1]: { "Type": "Wait", "Seconds": 5, "Next": names[2] },
            &names[2]: { "Type": "Pass", "Next": names[3] },
            &names[3]: end(),
        } })
    };
    let flaky = json!({
        "Type": "Task", "Resource": "app:flaky", "Next": "Token",
        "Retry": [{ "ErrorEquals": ["App.Flaky"], "IntervalSeconds": 2, "MaxAttempts": 5 }],
    });
    json!({ "StartAt": "First", "TimeoutSeconds": 100_000, "States": {
        "First": { "Type": "Pass", "Result": { "items": [1, 2, 3, 4], "n": 0 }, "Next": "Second" },
        "Second": echo("Both"),
        "Both": { "Type": "Parallel", "Branches": [branch("A"), branch("B"), branch("C")], "ResultPath": "$.both", "Next": "Each" },
        "Each": { "Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 2, "ResultPath": "$.items", "Next": "Flaky",
            "ItemProcessor": { "StartAt": "Item", "States": {
                "Item": echo("Pause"), "Pause": { "Type": "Wait", "Seconds": 1, "Next": "ItemEnd" }, "ItemEnd": end() } } },
        "Flaky": flaky,
        "Token": { "Type": "Task", "Resource": "app:ask.waitForTaskToken", "HeartbeatSeconds": 90_000,
            "Parameters": { "token.$": "$$.Task.Token" }, "ResultPath": "$.told", "Next": "Child" },
        "Child": { "Type": "Task", "Resource": "workflow:child.sync", "ResultPath": "$.child", "Next": "Wait" },
        "Wait": { "Type": "Wait", "Seconds": 3_600, "Next": "Add" },
        "Add": { "Type": "Pass", "Parameters": { "n.$": "States.MathAdd($.n, 1)", "items.$": "$.items" }, "Next": "Enough" },
        "Enough": { "Type": "Choice", "Default": "Again", "Choices": [
            { "Variable": "$.n", "NumericGreaterThanEquals": 3, "Next": "T1" }] },
        "Again": echo("Add"),
        "T1": echo("T2"), "T2": echo("T3"), "T3": echo("T4"), "T4": echo("T5"), "T5": echo("Last"),
        "Last": { "Type": "Succeed" },
    } })
}

/// What an execution has come to.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Outcome {
    output: Value,
    /// How often each entry is in the history.
    history: BTreeMap<String, u64>,
    children: usize,
    /// Commits that this host has made.
    commits: u64,
}

/// A host that carries the execution on to its end, whoever began it.
async fn carry(folder: &Path, fault: Option<(u64, Fault)>) -> Outcome {
    let commits = Arc::new(AtomicU64::new(0));
    let store = SqliteStore::open(folder.join("store")).expect("it opens");
    let store = Faulty { store, fault, commits: commits.clone() };
    // Each host's clock begins anew: for the execution it is set back.
    let clock = Arc::new(ManualClock::at_ms(BEGIN_MS));
    let doer = Doer { tokens: folder.join("tokens") };
    let workflows = Workflows::start_with_clock(Arc::new(store), Arc::new(doer), Settings::default(), clock.clone());
    for (name, definition) in [
        ("w", definition()),
        (
            "child",
            json!({ "StartAt": "K", "States": {
            "K": { "Type": "Task", "Resource": "app:echo", "Next": "Nap" },
            "Nap": { "Type": "Wait", "Seconds": 7, "End": true } } }),
        ),
    ] {
        if workflows.workflow(name, None).await.expect("it is read").is_none() {
            workflows.put(name, &json!({ "definition": definition }).to_string()).await.expect("it is put");
        }
    }
    let start = || Start { name: Some("once".to_owned()), ..Start::default() };
    let id = loop {
        match workflows.execute("w", start()).await {
            Ok(started) => break started.execution.id,
            // Whoever starts it by name may ask again.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    };
    let carried = async {
        loop {
            let described = workflows.describe(&id).await.expect("it is there");
            match described.ending {
                Some(Ending::Succeeded { output }) => return output,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            // Time passes where somebody waits for it, and nothing else.
            let all = workflows.executions(Search::default(), NonZeroU32::MAX).await.expect("they are listed");
            let mut next = None;
            for summary in all.found {
                let waiting = workflows.describe(&summary.id).await.expect("it is there").waiting;
                let timed = waiting.iter().filter(|one| one.on != runner_workflow::WaitingOn::Time).count() == 0;
                let soonest = waiting.iter().filter_map(|one| one.until_ms).min();
                let backoff = waiting.iter().any(|one| one.on == runner_workflow::WaitingOn::Retry);
                if timed || backoff {
                    next = next.into_iter().chain(soonest).min();
                }
            }
            if let Some(next) = next.filter(|next| *next > clock.now_ms()) {
                clock.wind(next - clock.now_ms());
            }
            let tokens = std::fs::read_to_string(folder.join("tokens")).unwrap_or_default();
            for token in tokens.lines() {
                match workflows.task_done(token, Done::Succeeded(json!("approved"))).await {
                    Ok(()) => {}
                    Err(error) => {
                        assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unavailable), "{error}")
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let minute = std::time::Duration::from_secs(60);
    let Ok(output) = tokio::time::timeout(minute, carried).await else {
        let described = workflows.describe(&id).await;
        panic!("it does not end: {described:?}");
    };
    let page = workflows.history(&id, 0, NonZeroU32::MAX).await.expect("it is there");
    assert!((1..).zip(&page.found).all(|(number, event)| event.id == number), "no entry is missing or twice");
    assert!(page.found.windows(2).all(|two| two[0].at_ms <= two[1].at_ms), "time does not go back");
    let mut history = BTreeMap::new();
    // That it was handed over may be known later than the answer, and is nothing then.
    for event in page.found.into_iter().filter(|event| event.entry.kind != "TaskSubmitted") {
        *history.entry(format!("{} {}", event.entry.kind, event.entry.name.unwrap_or_default())).or_default() += 1;
    }
    let all = workflows.executions(Search::default(), NonZeroU32::MAX).await.expect("they are listed");
    let children = all.found.len() - 1;
    // What the child has to say yet is said.
    workflows.shutdown().await;
    Outcome { output, history, children, commits: commits.load(Ordering::SeqCst) }
}

/// The host of another process, which does what its environment says.
#[tokio::test]
async fn a_host_of_its_own() {
    let Ok(folder) = std::env::var("RUNNER_WORKFLOW_FOLDER") else { return };
    let fault = std::env::var("RUNNER_WORKFLOW_FAULT").ok().map(|text| {
        let (index, after) = text.split_once(' ').expect("a number and a word");
        let fault = if after == "after" { Fault::KillAfter } else { Fault::KillBefore };
        (index.parse().expect("a number"), fault)
    });
    let outcome = carry(Path::new(&folder), fault).await;
    println!("@@{}", serde_json::to_string(&outcome).expect("it is JSON"));
}

fn host(folder: &Path, fault: Option<(u64, &str)>) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "durable::faults::a_host_of_its_own", "--nocapture"]);
    command.env("RUNNER_WORKFLOW_FOLDER", folder);
    if let Some((index, when)) = fault {
        command.env("RUNNER_WORKFLOW_FAULT", format!("{index} {when}"));
    }
    command.output().expect("it runs")
}

fn outcome(output: &Output) -> Outcome {
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| Some(line.split_once("@@")?.1));
    let line = line.unwrap_or_else(|| panic!("{said}\n{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(line).expect("it is JSON")
}

/// Nothing befalls it.
fn undisturbed() -> Outcome {
    let folder = super::folder();
    let outcome = outcome(&host(folder.path(), None));
    let states = outcome.history.keys().filter(|entry| entry.contains("StateEntered")).count();
    assert!(states >= 30, "{states} states: {:?}", outcome.history.keys());
    outcome
}

#[test]
fn a_host_that_is_killed_at_any_commit_is_carried_on_by_the_next_one() {
    use std::os::unix::process::ExitStatusExt as _;
    let expected = undisturbed();
    let (mut kills, mut index) = (0, 0);
    // A host may make some commits more or less: what happens at the same time is committed together.
    loop {
        let mut reached = false;
        for when in ["before", "after"] {
            let folder = super::folder();
            let killed = host(folder.path(), Some((index, when)));
            let found = match killed.status.signal() {
                Some(9) => {
                    (reached, kills) = (true, kills + 1);
                    outcome(&host(folder.path(), None))
                }
                _ => outcome(&killed),
            };
            let name = format!("{when} commit {index}");
            assert_eq!(found.output, expected.output, "{name}");
            assert_eq!(found.history, expected.history, "{name}: no transition is doubled or lost");
            assert_eq!(found.children, 1, "{name}: a child is started once");
        }
        if !reached {
            break;
        }
        index += 1;
    }
    println!("{kills} kills over {index} commits: each time it ended once, as without one");
    assert!(index >= 25, "{index} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_somebody_has_locked_is_waited_for() {
    let folder = super::folder();
    let host = super::Host::new(folder.path());
    host.put("w", "A", json!({ "A": super::task("app:echo") })).await;
    let other = rusqlite::Connection::open(&host.path).expect("it opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("it is locked");
    let workflows = host.workflows.clone();
    let started = tokio::spawn(async move { workflows.execute("w", Start::default()).await });
    for _ in 0..100 {
        assert!(!started.is_finished(), "nothing is answered that is not on disk");
        tokio::task::yield_now().await;
    }
    other.execute_batch("COMMIT").expect("it is free");
    let id = started.await.expect("it ends").expect("it starts").execution.id;
    assert_eq!(host.output(&id).await, json!(null));
}

/// A file that may not grow any more, as on a disk that is full: what has room again goes on.
#[test]
fn a_disk_that_is_full_loses_nothing() {
    use std::io::{BufRead as _, BufReader};
    let expected = undisturbed();
    let mut full = 0;
    for kibibytes in [120, 160, 200, 240] {
        let folder = super::folder();
        // A write beyond it is an error where nobody minds the signal.
        let script = format!("trap '' XFSZ; ulimit -Sf {kibibytes}; exec \"$0\" \"$@\"");
        let mut child = Command::new("bash")
            .args(["-c", &script])
            .arg(std::env::current_exe().expect("this program"))
            .args(["--exact", "durable::faults::a_host_of_its_own", "--nocapture"])
            .env("RUNNER_WORKFLOW_FOLDER", folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("bash is there");
        let (mut said, mut line) = (BufReader::new(child.stdout.take().expect("it is piped")), String::new());
        while !line.contains("@@") {
            line.clear();
            assert!(said.read_line(&mut line).expect("it is read") > 0, "{kibibytes}: it has not ended well");
            if line.contains("@full") {
                full += 1;
                let pid = child.id().to_string();
                let raised = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
                assert!(raised.expect("prlimit is there").success(), "there is room again");
            }
        }
        let found: Outcome = serde_json::from_str(line.split_once("@@").expect("it is there").1).expect("it is JSON");
        assert!(child.wait().expect("it ends").success());
        assert_eq!((found.output, found.history), (expected.output.clone(), expected.history.clone()), "{kibibytes}");
    }
    println!("the disk was full {full} times within 4 limits");
    assert!(full > 0, "the disk was full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_at_any_commit_is_tried_again() {
    let expected = undisturbed();
    let mut index = 0;
    loop {
        let mut reached = false;
        for fault in [Fault::FailBefore, Fault::FailAfter] {
            let folder = super::folder();
            let found = carry(folder.path(), Some((index, fault))).await;
            reached |= found.commits > index;
            assert_eq!(found.output, expected.output, "{fault:?} {index}");
            assert_eq!(found.history, expected.history, "{fault:?} {index}");
            assert_eq!(found.children, 1, "{fault:?} {index}");
        }
        if !reached {
            break;
        }
        index += 1;
    }
    println!("a failure before and after each of {index} commits");
    assert!(index >= 25, "{index} commits");
}
