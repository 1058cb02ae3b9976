//! The seam for strangers: linked where imported and granted, opened and closed once, whatever the ending.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner_core::{
    Bounds, CallContext, Capability, CapabilityUsage, Ending, Error, ErrorKind, Executor, Grants, HasView, Host,
    LimitKind, Limits, Outcome, Result, Service, View, async_trait, wasmtime,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::stranger::store;
use crate::support::{assert_exhausted, guest, short, small, value};

/// A store of text whose writes become visible when the call that made them returned.
#[derive(Clone, Default)]
struct Kv {
    kept: Arc<Mutex<Vec<(String, String)>>>,
    /// What happened, in order: the tests read it.
    log: Arc<Mutex<Vec<String>>>,
    fails: Option<Fails>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fails {
    Open,
    Get,
    Close,
    CloseForEver,
    CloseAfter(Duration),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = example())]
struct Grant {
    /// Put before every key. This host keeps none that begins with `theirs`.
    #[schemars(extend("x-program-name" = true))]
    prefix: String,
}

fn example() -> Value {
    json!({ "prefix": "mine/" })
}

struct Draft {
    prefix: String,
    entries: Vec<(String, String)>,
    fails: Option<Fails>,
}

#[async_trait]
impl Capability for Kv {
    type Grant = Grant;
    type State = Draft;

    fn id(&self) -> &str {
        "kv"
    }

    fn serves(&self) -> &[&str] {
        &["stranger:kv/store"]
    }

    fn check(&self, grant: &Grant) -> Result<()> {
        match grant.prefix.starts_with("theirs") {
            true => Err(Error::new(ErrorKind::Invalid, "this host keeps nothing of theirs")),
            false => Ok(()),
        }
    }

    fn link(linker: &mut wasmtime::component::Linker<Host>) -> wasmtime::Result<()> {
        store::add_to_linker::<_, HasView<Draft>>(linker, Host::view)
    }

    fn open(&self, grant: &Grant, call: &CallContext) -> Result<Draft> {
        if self.fails == Some(Fails::Open) {
            return Err(Error::unavailable("the store is away"));
        }
        let attempt = call.attempt;
        self.log.lock().unwrap().push(format!("open {attempt} {}", call.idempotency_key.as_deref().unwrap_or("-")));
        let entries = self.kept.lock().unwrap().clone();
        Ok(Draft { prefix: grant.prefix.clone(), entries, fails: self.fails })
    }

    async fn close(&self, draft: Draft, ending: &Ending<()>) -> Result<()> {
        let ended = match ending {
            Ending::Returned(()) => "returned".to_owned(),
            Ending::Failed(failure) => format!("failed {}", failure.code),
            Ending::Trapped(trap) => format!("trapped {}", trap.code),
            Ending::Exhausted(limit) => format!("exhausted {}", limit.kind),
            _ => "cancelled".to_owned(),
        };
        self.log.lock().unwrap().push(format!("close {ended}"));
        match self.fails {
            Some(Fails::Close) => return Err(Error::conflict("key `a` was changed by someone else")),
            Some(Fails::CloseForEver) => std::future::pending().await,
            Some(Fails::CloseAfter(time)) => tokio::time::sleep(time).await,
            _ => {}
        }
        if ending.is_returned() {
            *self.kept.lock().unwrap() = draft.entries;
        }
        Ok(())
    }
}

impl store::Host for View<'_, Draft> {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        if self.fails == Some(Fails::Get) {
            return Err(Error::unavailable("the store does not answer").into());
        }
        let key = format!("{}{key}", self.prefix);
        let found = self.entries.iter().rev().find(|(known, _)| *known == key).map(|(_, value)| value.clone());
        self.charge(found.as_ref().map_or(0, String::len) as u64, 0)?;
        Ok(found)
    }

    async fn set(&mut self, key: String, value: String) -> wasmtime::Result<()> {
        self.charge(0, value.len() as u64)?;
        let key = format!("{}{key}", self.prefix);
        self.entries.push((key, value));
        Ok(())
    }

    async fn add(&mut self, key: String, by: i64) -> wasmtime::Result<i64> {
        let sum = self.get(key.clone()).await?.and_then(|text| text.parse::<i64>().ok()).unwrap_or(0) + by;
        self.set(key, sum.to_string()).await?;
        Ok(sum)
    }

    async fn wait(&mut self, ms: u64) -> wasmtime::Result<()> {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(())
    }
}

fn granted() -> Grants {
    Grants::none().grant("kv", json!({ "prefix": "mine/" }))
}

async fn program(kv: &Kv) -> (Executor, runner_core::Program) {
    let executor = Executor::builder().bounds(small()).capability(kv.clone()).build().expect("it starts");
    let program = executor.load(guest("kv-user.wasm"), &granted()).await.expect("it loads");
    (executor, program)
}

impl Kv {
    fn failing(fails: Fails) -> Self {
        Kv { fails: Some(fails), ..Kv::default() }
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    fn kept(&self) -> Vec<(String, String)> {
        self.kept.lock().unwrap().clone()
    }
}

async fn run(kv: &Kv, function: &str, args: Value, limits: Limits) -> Result<runner_core::Outcome> {
    program(kv).await.1.call(function).args(args).limits(limits).run().await
}

#[tokio::test]
async fn a_guest_uses_what_it_was_granted_and_no_more() {
    let kv = Kv::default();
    let (_executor, program) = program(&kv).await;
    assert!(program.call("remember").args(json!(["a", "1"])).run().await.expect("it runs").ending.is_returned());
    assert_eq!(kv.kept(), [("mine/a".to_owned(), "1".to_owned())]);
    assert_eq!(value(program.call("recall").args(json!(["a"])).run().await.expect("it runs")), json!("1"));
    assert_eq!(value(program.call("recall").args(json!(["b"])).run().await.expect("it runs")), json!(null));
    assert_eq!(kv.log(), ["open 1 -", "close returned", "open 1 -", "close returned", "open 1 -", "close returned"]);
}

#[tokio::test]
async fn without_its_grant_a_program_does_not_load_and_the_error_says_what_to_grant() {
    let executor = Executor::builder().bounds(small()).capability(Kv::default()).build().expect("it starts");
    let error = executor.load(guest("kv-user.wasm"), &Grants::none()).await.expect_err("nothing is granted");
    assert_eq!(error.kind(), ErrorKind::Denied);
    for words in [
        "import `stranger:kv/store@0.1.0` (`",
        "is not granted: capability `kv` serves it: grant it with {\"kv\":{\"prefix\":\"mine/\"}}",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    // To a program with a name it is told in that name.
    let words = "grant it with {\"kv\":{\"prefix\":\"shop\"}}";
    let error =
        executor.load(guest("kv-user.wasm"), &Grants::none()).named("shop").await.expect_err("nothing is granted");
    assert!(error.to_string().contains(words), "{error}");
    let explained =
        executor.explain(guest("kv-user.wasm"), &Grants::none()).named("shop").await.expect("it is explained");
    let Service::Missing { advice, .. } = &explained.imports[0].service else { panic!("{explained:?}") };
    assert!(advice.contains(words), "{advice}");
    let explained = executor.explain(guest("kv-user.wasm"), &Grants::none()).await.expect("it is explained");
    assert!(matches!(&explained.imports[0].service, Service::Missing { capability: Some(id), .. } if id == "kv"));
    let explained = executor.explain(guest("kv-user.wasm"), &granted()).await.expect("it is explained");
    assert_eq!(explained.imports[0].service, Service::Granted { capability: "kv".to_owned() });
    for (grant, words) in [
        (json!({ "prefix": "theirs/" }), "this host keeps nothing of theirs"),
        (json!({ "prefx": "mine/" }), "grant for `kv` does not fit its schema: unknown field `prefx`"),
    ] {
        let stale = Grants::none().grant("kv", grant);
        let explained = executor.explain(guest("kv-user.wasm"), &stale).await.expect("it is explained");
        let Service::Broken { capability, reason } = &explained.imports[0].service else { panic!("{explained:?}") };
        assert!(capability == "kv" && reason.contains(words), "{reason}");
        assert!(explained.to_string().contains(words), "{explained}");
    }
    let wrong = Grants::none().grant("kv", json!({ "prefx": "mine/" }));
    let error = executor.load(guest("kv-user.wasm"), &wrong).await.expect_err("the grant is misspelt");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("grant for `kv` does not fit its schema: unknown field `prefx`"), "{error}");
}

#[tokio::test]
async fn what_a_host_lacks_for_a_grant_is_told_before_the_first_call_and_whoever_needs_it() {
    let executor = Executor::builder().bounds(small()).capability(Kv::default()).build().expect("it starts");
    for (id, grant, words) in [
        ("kv", json!({ "prefix": "theirs/" }), "this host keeps nothing of theirs"),
        ("kv", json!({ "prefix": 1 }), "grant for `kv` does not fit its schema: "),
        ("kw", json!({ "prefix": "mine/" }), "grant for `kw`: no such capability, this executor has `kv`"),
    ] {
        let grants = Grants::none().grant(id, grant);
        let checked = executor.check(&grants).expect_err(words);
        assert_eq!(checked.kind(), ErrorKind::Invalid);
        assert!(checked.to_string().starts_with(words), "{checked}");
        let loaded = executor.load(guest("kv-user.wasm"), &grants).await.expect_err(words);
        assert_eq!(loaded.to_string(), checked.to_string());
    }
    executor.check(&granted()).expect("it is a grant");
    executor.check(&Grants::none()).expect("nothing is no mistake");
}

#[tokio::test]
async fn a_capability_that_is_not_imported_is_not_opened() {
    let kv = Kv::default();
    let executor = Executor::builder().bounds(small()).capability(kv.clone()).build().expect("it starts");
    let program = executor.load(guest("greet.wasm"), &granted()).await.expect("it loads");
    assert!(program.call("greet").args(json!(["x"])).run().await.expect("it runs").ending.is_returned());
    assert!(kv.log().is_empty());
}

#[tokio::test]
async fn close_sees_every_ending_and_only_success_is_kept() {
    for (function, args, limits, seen) in [
        ("remember", json!(["a", "1"]), Limits::default(), "close returned"),
        ("remember-then-fail", json!(["a", "1"]), Limits::default(), "close failed error"),
        ("remember-then-trap", json!(["a", "1"]), Limits::default(), "close trapped unreachable"),
        ("remember-then-spin", json!(["a", "1"]), short(), "close exhausted deadline"),
    ] {
        let kv = Kv::default();
        run(&kv, function, args, limits).await.expect("the host does its part");
        assert_eq!(kv.log(), ["open 1 -", seen], "{function}");
        assert_eq!(kv.kept().len(), usize::from(function == "remember"), "{function}");
    }
}

#[tokio::test]
async fn close_sees_a_caller_that_went_away_and_shutdown_waits_for_it() {
    let kv = Kv::default();
    let (executor, program) = program(&kv).await;
    let call = program.call("wait").args(json!([60_000])).run();
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err(), "it waits");
    executor.shutdown().await;
    assert_eq!(kv.log(), ["open 1 -", "close cancelled"]);
    let error = program.call("count").args(json!(["a"])).run().await.expect_err("it is shut down");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "the executor is shutting down"));
    assert!(kv.log().is_empty());
}

#[tokio::test]
async fn shutdown_waits_for_calls_under_way() {
    let kv = Kv::default();
    let (executor, program) = program(&kv).await;
    let call = tokio::spawn(program.call("wait").args(json!([50])).run());
    while kv.log.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    executor.shutdown().await;
    assert_eq!(kv.log(), ["open 1 -", "close returned"]);
    assert!(call.await.expect("no panic").expect("it runs").ending.is_returned());
}

#[tokio::test]
async fn an_instance_opens_once_and_closes_once_with_its_last_ending() {
    let kv = Kv::default();
    let (executor, program) = program(&kv).await;
    let mut instance = program.instance().start().await.expect("it starts");
    for expected in 1..4 {
        assert_eq!(value(instance.call("count").args(json!(["a"])).run().await.expect("it runs")), json!(expected));
    }
    instance.close().await.expect("it closes");
    assert_eq!(kv.log(), ["open 1 -", "close returned"]);
    let mut instance = program.instance().start().await.expect("it starts");
    let trapped = instance.call("remember-then-trap").args(json!(["a", "9"])).run().await.expect("it runs");
    assert!(matches!(trapped.ending, Ending::Trapped(_)));
    drop(instance);
    executor.shutdown().await;
    assert_eq!(kv.log(), ["open 1 -", "close trapped unreachable"]);
}

#[tokio::test]
async fn a_close_that_fails_is_an_error_that_carries_the_outcome() {
    let kv = Kv::failing(Fails::Close);
    let error = run(&kv, "count", json!(["a"]), Limits::default()).await.expect_err("the commit fails");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let outcome = error.outcome().expect("neither value nor usage is lost");
    assert_eq!(outcome.ending, Ending::Returned(json!(1)));
    assert!(outcome.usage.host_calls > 0);
}

#[tokio::test]
async fn a_close_has_its_own_time_and_no_more() {
    let kv = Kv::failing(Fails::CloseForEver);
    let (_executor, program) = program(&kv).await;
    tokio::time::pause();
    let error = program.call("count").args(json!(["a"])).run().await.expect_err("the close never ends");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("capability `kv` did not close within 5s"), "{error}");
    assert!(error.outcome().is_some());
}

#[tokio::test]
async fn a_grace_may_be_endless() {
    let kv = Kv::default();
    let bounds = Bounds { close_grace: Duration::MAX, ..small() };
    let executor = Executor::builder().bounds(bounds).capability(kv.clone()).build().expect("it starts");
    let program = executor.load(guest("kv-user.wasm"), &granted()).await.expect("it loads");
    let ran = program.call("count").args(json!(["a"])).run().await.expect("it runs and closes");
    assert!(ran.ending.is_returned());
    assert_eq!(kv.log(), ["open 1 -", "close returned"]);
}

#[tokio::test]
async fn a_close_that_takes_no_longer_than_its_grace_succeeds_whatever_the_deadline() {
    for (close_ms, succeeds) in [(990, true), (1_010, false)] {
        let kv = Kv::failing(Fails::CloseAfter(Duration::from_millis(close_ms)));
        let bounds = Bounds { close_grace: Duration::from_secs(1), ..small() };
        let executor = Executor::builder().bounds(bounds).capability(kv.clone()).build().expect("it starts");
        let program = executor.load(guest("kv-user.wasm"), &granted()).await.expect("it loads");
        tokio::time::pause();
        let limits = Limits { deadline: Duration::from_millis(500), ..Limits::default() };
        let ran = program.call("count").args(json!(["a"])).limits(limits).run().await;
        tokio::time::resume();
        match (ran, succeeds) {
            (Ok(outcome), true) => assert_eq!(value(outcome), json!(1)),
            (Err(error), false) => assert_eq!(error.message(), "capability `kv` did not close within 1s"),
            (ran, _) => panic!("{close_ms}: {ran:?}"),
        }
        assert_eq!(kv.kept().len(), usize::from(succeeds), "a close that was given up on keeps nothing");
    }
}

#[tokio::test]
async fn what_a_capability_cannot_do_is_an_error_of_the_host() {
    let kv = Kv::failing(Fails::Open);
    let error = run(&kv, "count", json!(["a"]), Limits::default()).await.expect_err("it does not open");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "the store is away"));
    assert!(kv.log().is_empty(), "what did not open is not closed");
    let kv = Kv::failing(Fails::Get);
    let (executor, program) = program(&kv).await;
    let error = program.call("count").args(json!(["a"])).run().await.expect_err("it does not answer");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "the store does not answer"));
    executor.shutdown().await;
    assert_eq!(kv.log().len(), 2, "what opened is closed");
}

#[tokio::test]
async fn the_bill_counts_calls_and_bytes_per_capability() {
    let outcome = run(&Kv::default(), "remember", json!(["a", "12345"]), Limits::default()).await.expect("it runs");
    let expected = CapabilityUsage { calls: 1, bytes_out: 5, ..CapabilityUsage::default() };
    assert_eq!(outcome.usage.capabilities, [("kv".to_owned(), expected)]);
}

#[tokio::test]
async fn host_bytes_end_a_guest_that_moves_too_much() {
    let kv = Kv::default();
    let limits = Limits { host_bytes: 1_000, ..Limits::default() };
    let outcome = run(&kv, "remember", json!(["a", "x".repeat(2_000)]), limits).await.expect("it runs");
    assert_exhausted(&outcome.ending, LimitKind::HostBytes);
    assert_eq!(kv.log(), ["open 1 -", "close exhausted host_bytes"]);
}

#[tokio::test]
async fn a_sleeping_host_call_past_the_deadline_is_cancelled() {
    let kv = Kv::default();
    let limits = Limits { deadline: Duration::from_secs(2), ..Limits::default() };
    let (_executor, program) = program(&kv).await;
    tokio::time::pause();
    let outcome = program.call("wait").args(json!([3_600_000])).limits(limits).run().await.expect("it runs");
    assert_exhausted(&outcome.ending, LimitKind::Deadline);
    assert_eq!(kv.log(), ["open 1 -", "close exhausted deadline"]);
}

#[tokio::test]
async fn key_and_attempt_reach_the_capability() {
    let kv = Kv::default();
    let (_executor, program) = program(&kv).await;
    let call = program.call("count").args(json!(["a"])).idempotency_key("order-7").attempt(3);
    call.run().await.expect("it runs");
    assert_eq!(kv.log(), ["open 3 order-7", "close returned"]);
}

#[tokio::test]
async fn two_capabilities_that_could_be_confused_are_refused() {
    let error = Executor::builder().capability(Kv::default()).capability(Kv::default()).build().expect_err("twice");
    assert!(error.to_string().contains("have the same type of state"), "{error}");
}

#[tokio::test]
async fn a_host_function_is_lent_in_five_lines() {
    let executor = Executor::builder()
        .bounds(small())
        .host_fn("bench:host/calls", "noop", |(): ()| async { Ok(()) })
        .host_fn("bench:host/calls", "get", |(key,): (String,)| async move { Ok((Some(key.into_bytes()),)) })
        .core_fn("bench", "noop", |(): ()| async { Ok(()) })
        .core_fn("bench", "add", |(a, b): (i32, i32)| async move { Ok(a + b) })
        .build()
        .expect("it starts");
    let grants = Grants::none().grant("bench:host/calls", ()).grant("bench", ());
    let program = executor.load(guest("component-host-call.wasm"), &grants).await.expect("it loads");
    let outcome = program.call("run-noop").args(json!([10])).run().await.expect("it runs");
    assert!(outcome.ending.is_returned());
    let usage = &outcome.usage.capabilities;
    assert_eq!((usage[0].0.as_str(), usage[0].1.calls), ("bench:host/calls", 10));
    let program = executor.load(guest("host_call.wat"), &grants).await.expect("it loads");
    let outcome = program.call("run").args(json!([10])).run().await.expect("it runs");
    assert_eq!(outcome.usage.capabilities[0].1.calls, 10);
    let error = executor.load(guest("host_call.wat"), &Grants::none()).await.expect_err("nothing is granted");
    assert!(error.to_string().contains("capability `bench` serves it: grant it with {\"bench\":null}"), "{error}");
}

/// One of several capabilities of the same kind, told apart by a number.
#[derive(Clone)]
struct Numbered<const N: usize> {
    log: Arc<Mutex<Vec<String>>>,
    opens: Opens,
    closes: bool,
}

#[derive(Clone, Copy)]
enum Opens {
    Well,
    Not,
    Panicking,
}

struct Open<const N: usize>;

const SERVED: [&str; 2] = ["two:of/first", "two:of/second"];

#[async_trait]
impl<const N: usize> Capability for Numbered<N> {
    type Grant = ();
    type State = Open<N>;

    fn id(&self) -> &str {
        SERVED[N]
    }

    fn serves(&self) -> &[&str] {
        &SERVED[N..=N]
    }

    fn link(linker: &mut wasmtime::component::Linker<Host>) -> wasmtime::Result<()> {
        linker.instance(SERVED[N])?.func_wrap("touch", |_, (): ()| Ok(()))
    }

    fn open(&self, (): &(), _call: &CallContext) -> Result<Open<N>> {
        match self.opens {
            Opens::Well => Ok(Open),
            Opens::Not => Err(Error::unavailable(format!("{N} is away"))),
            Opens::Panicking => panic!("on purpose"),
        }
    }

    async fn close(&self, _state: Open<N>, ending: &Ending<()>) -> Result<()> {
        if !self.closes {
            std::future::pending::<()>().await;
        }
        self.log.lock().unwrap().push(format!("{N} closed, returned: {}", ending.is_returned()));
        Ok(())
    }
}

/// Runs a guest with two capabilities: what came of it, and what was closed when the executor had shut down.
async fn run_two(second_opens: Opens, second_closes: bool) -> (Result<Outcome>, Vec<String>) {
    let component = format!(
        r#"(component
            (import "{}" (instance (export "touch" (func))))
            (import "{}" (instance (export "touch" (func))))
            (core module $m (func (export "run")))
            (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))"#,
        SERVED[0], SERVED[1]
    );
    let log = Arc::<Mutex<Vec<String>>>::default();
    let first = Numbered::<0> { log: Arc::clone(&log), opens: Opens::Well, closes: true };
    let second = Numbered::<1> { log: Arc::clone(&log), opens: second_opens, closes: second_closes };
    let bounds = Bounds { close_grace: Duration::from_secs(4), ..small() };
    let executor = Executor::builder().bounds(bounds).capability(first).capability(second).build().expect("it starts");
    let grants = SERVED.into_iter().fold(Grants::none(), |grants, id| grants.grant(id, json!(null)));
    let program = executor.load(component.as_bytes(), &grants).await.expect("it loads");
    tokio::time::pause();
    let ran = program.call("run").run().await;
    executor.shutdown().await;
    tokio::time::resume();
    let log = log.lock().unwrap().clone();
    (ran, log)
}

#[tokio::test]
async fn capabilities_open_all_or_none() {
    let (ran, log) = run_two(Opens::Not, true).await;
    assert_eq!(ran.expect_err("the second does not open").message(), "1 is away");
    assert_eq!(log, ["0 closed, returned: false"], "the first is closed, of a call that never ran");
    let (ran, log) = run_two(Opens::Panicking, true).await;
    let error = ran.expect_err("the second panics");
    assert_eq!(error.message(), "capability `two:of/second` panicked when it was opened");
    assert_eq!(log, ["0 closed, returned: false"]);
}

#[tokio::test]
async fn a_close_that_hangs_leaves_the_others_their_share_of_the_grace() {
    let (ran, log) = run_two(Opens::Well, false).await;
    let error = ran.expect_err("the second does not close");
    assert_eq!(error.message(), "capability `two:of/second` did not close within 2s");
    assert!(error.outcome().expect("it ran").ending.is_returned());
    assert_eq!(log, ["0 closed, returned: true"], "what the first had to commit is committed");
    let (ran, log) = run_two(Opens::Well, true).await;
    assert!(ran.expect("it runs").ending.is_returned());
    assert_eq!(log, ["1 closed, returned: true", "0 closed, returned: true"], "in reverse order");
}
