//! Several capabilities beside each other: their order, and that no misfortune of one, or of the caller, is another's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner_core::wasmtime::{self, Caller};
use runner_core::{
    Account, CallContext, Capability, Ending, Error, ErrorKind, Executor, Grants, Host, LimitKind, Limits, Listener,
    Program, Result, Service, StandardStreams, async_trait,
};
use serde_json::json;

use crate::support::{assert_exhausted, small, value};

type Log = Arc<Mutex<Vec<String>>>;

/// A capability for core modules that import `touch` from `served`, told apart by a number.
struct Witness<const N: usize> {
    id: &'static str,
    served: &'static str,
    log: Log,
    panics: bool,
}

struct State<const N: usize>;

#[async_trait]
impl<const N: usize> Capability for Witness<N> {
    type Grant = ();
    type State = State<N>;

    fn id(&self) -> &str {
        self.id
    }

    fn serves(&self) -> &[&str] {
        std::slice::from_ref(&self.served)
    }

    fn link_core(linker: &mut wasmtime::Linker<Host>) -> wasmtime::Result<()> {
        for served in ["one", "two"] {
            linker.func_wrap_async(served, "touch", |mut caller: Caller<'_, Host>, (ms,): (i64,)| {
                drop(caller.data_mut().view::<State<N>>());
                Box::new(async move { tokio::time::sleep(Duration::from_millis(ms as u64)).await })
            })?;
        }
        Ok(())
    }

    fn open(&self, _grant: &(), _call: &CallContext) -> Result<State<N>> {
        self.log.lock().unwrap().push(format!("open {}", self.id));
        Ok(State)
    }

    async fn close(&self, _state: State<N>, ending: &Ending<()>) -> Result<()> {
        assert!(!self.panics, "on purpose");
        let ended = if ending.is_returned() { "returned" } else { "otherwise" };
        let ended = if *ending == Ending::Cancelled { "cancelled" } else { ended };
        self.log.lock().unwrap().push(format!("close {} {ended}", self.id));
        Ok(())
    }
}

const GUEST: &[u8] = br#"(module
    (import "one" "touch" (func $one (param i64)))
    (import "two" "touch" (func $two (param i64)))
    (func (export "both") (call $one (i64.const 0)) (call $two (i64.const 0)))
    (func (export "wait") (call $one (i64.const 60000))))"#;

fn log() -> Log {
    Log::default()
}

fn taken(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock().unwrap())
}

async fn both(log: &Log, panics: bool) -> (Executor, Program) {
    let executor = Executor::builder()
        .bounds(small())
        .capability(Witness::<1> { id: "first", served: "one", log: log.clone(), panics: false })
        .capability(Witness::<2> { id: "second", served: "two", log: log.clone(), panics })
        .build()
        .expect("it starts");
    let grants = Grants::none().grant("first", ()).grant("second", ());
    let program = executor.load(GUEST, &grants).await.expect("it loads");
    (executor, program)
}

#[tokio::test]
async fn capabilities_close_in_reverse_order() {
    let log = log();
    let (_executor, program) = both(&log, false).await;
    assert!(program.call("both").run().await.expect("it runs").ending.is_returned());
    assert_eq!(taken(&log), ["open first", "open second", "close second returned", "close first returned"]);
}

#[tokio::test]
async fn a_panic_in_one_close_is_an_error_and_the_others_close() {
    let log = log();
    let (_executor, program) = both(&log, true).await;
    let error = program.call("both").run().await.expect_err("it panics");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Internal, "capability `second` panicked in its close"));
    assert!(error.outcome().is_some());
    assert_eq!(taken(&log), ["open first", "open second", "close first returned"]);
}

#[tokio::test]
async fn a_dropped_call_on_an_instance_closes_as_cancelled_and_shutdown_does_not_wait_for_the_instance() {
    let log = log();
    let (executor, program) = both(&log, false).await;
    let mut instance = program.instance().start().await.expect("it starts");
    assert!(instance.call("both").run().await.expect("it runs").ending.is_returned());
    let wait = instance.call("wait").run();
    assert!(tokio::time::timeout(Duration::from_millis(20), wait).await.is_err(), "it waits");
    executor.shutdown().await;
    drop(instance);
    executor.shutdown().await;
    assert_eq!(taken(&log)[2..], ["close second cancelled", "close first cancelled"]);
}

#[tokio::test]
async fn an_instance_takes_no_call_after_a_shutdown() {
    let log = log();
    let (executor, program) = both(&log, false).await;
    let mut instance = program.instance().start().await.expect("it starts");
    executor.shutdown().await;
    let error = instance.call("both").run().await.expect_err("it is shut down");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "the executor is shutting down"));
}

#[test]
fn an_instance_dropped_outside_its_runtime_closes_inside_it() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let log = log();
    let (executor, instance) = runtime.block_on(async {
        let (executor, program) = both(&log, false).await;
        let mut instance = program.instance().start().await.expect("it starts");
        instance.call("both").run().await.expect("it runs");
        (executor, instance)
    });
    drop(instance);
    runtime.block_on(executor.shutdown());
    assert_eq!(taken(&log)[2..], ["close second returned", "close first returned"]);
}

#[tokio::test]
async fn of_two_that_serve_one_interface_the_granted_one_is_meant() {
    let log = log();
    let executor = Executor::builder()
        .bounds(small())
        .capability(Witness::<1> { id: "first", served: "one", log: log.clone(), panics: false })
        .capability(Witness::<2> { id: "second", served: "one", log: log.clone(), panics: false })
        .build()
        .expect("it starts");
    let guest = b"(module (import \"one\" \"touch\" (func (param i64))) (func (export \"f\") (call 0 (i64.const 0))))";
    let grants = Grants::none().grant("second", ());
    let program = executor.load(guest, &grants).await.expect("it loads");
    assert!(program.call("f").run().await.expect("it runs").ending.is_returned());
    assert_eq!(taken(&log), ["open second", "close second returned"]);
    let explained = executor.explain(guest, &grants).await.expect("it is explained");
    assert_eq!(explained.imports[0].service, Service::Granted { capability: "second".to_owned() });
}

#[tokio::test]
async fn an_error_of_the_host_is_not_blamed_on_a_growth_that_was_refused_before() {
    let executor = Executor::builder()
        .bounds(small())
        .core_fn("env", "fail", |(): ()| async { Err::<(), _>(Error::unavailable("away")) })
        .build()
        .expect("it starts");
    let guest = b"(module (import \"env\" \"fail\" (func)) (memory 1)
        (func (export \"f\") (drop (memory.grow (i32.const 10000))) (call 0)))";
    let program = executor.load(guest, &Grants::none().grant("env", ())).await.expect("it loads");
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let error = program.call("f").limits(limits).run().await.expect_err("the host is away");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "away"));
}

#[tokio::test]
async fn names_of_parameters_come_with_the_bytes_even_after_a_load_by_id() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let store = runner_core::LocalStore::open(directory.path().join("code")).expect("it opens");
    let guest = crate::support::guest("sum_of_2_ints.wat");
    let id = runner_core::ModuleId::of(guest);
    let fill = Executor::builder().bounds(small()).local_store(store.clone()).build().expect("it starts");
    fill.load(guest, &Grants::none()).await.expect("it loads");
    let executor = Executor::builder().bounds(small()).local_store(store).build().expect("it starts");
    let by_id = executor.load_compiled(&id, &Grants::none()).await.expect("it is there");
    assert_eq!(by_id.exports()[0].to_string(), "sum_of_2_ints: func(p0: s32, p1: s32) -> s32");
    let program = executor.load(guest, &Grants::none()).await.expect("it loads");
    let outcome = program.call("sum_of_2_ints").args(json!({ "a": 1, "b": 2 })).run().await.expect("by name");
    assert_eq!(value(outcome), json!(3));
}

/// Lends `pipe.pass`, which passes what is left of standard input on to standard output or standard error, and is charged
/// for it where no host call is. Counts and reports in its close as well, which may fail.
#[derive(Default)]
struct Pipe {
    does_not_close: bool,
}

struct Piping {
    streams: StandardStreams,
    account: Account,
    passed: u64,
}

#[async_trait]
impl Capability for Pipe {
    type Grant = ();
    type State = Piping;

    fn id(&self) -> &str {
        "pipe"
    }

    fn serves(&self) -> &[&str] {
        &["pipe"]
    }

    fn link_core(linker: &mut wasmtime::Linker<Host>) -> wasmtime::Result<()> {
        linker.func_wrap("pipe", "pass", |mut caller: Caller<'_, Host>, errors: i32| {
            let mut view = caller.data_mut().view::<Piping>();
            let Piping { streams, account, passed } = &mut *view;
            let bytes = streams.stdin.read(1 << 20);
            account.operation();
            account.count("passed_bytes", bytes.len() as u64);
            *passed += 1;
            // Nobody passes it on: the guest is stopped all the same.
            let _ = account.charge(0, bytes.len() as u64);
            let to = if errors == 1 { &streams.stderr } else { &streams.stdout };
            to.write(&bytes)
        })?;
        Ok(())
    }

    fn open(&self, _grant: &(), call: &CallContext) -> Result<Piping> {
        let streams = call.streams.clone().ok_or_else(|| Error::unavailable("the guest has no standard streams"))?;
        Ok(Piping { streams, account: call.account.clone(), passed: 0 })
    }

    async fn close(&self, piping: Piping, ending: &Ending<()>) -> Result<()> {
        piping.account.count("passed_bytes", 100);
        piping.account.count("closed", 1);
        piping.account.report(json!({ "passed": piping.passed, "returned": ending.is_returned() }));
        match self.does_not_close {
            true => Err(Error::unavailable("the pipe is stuck")),
            false => Ok(()),
        }
    }
}

/// Reads five bytes as WASI has it, writes them, and lets the capability do the rest.
const PIPED: &[u8] = br#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "pipe" "pass" (func $pass (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\05\00\00\00")
    (func $some
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func (export "_start") call $some (call $pass (i32.const 0)))
    (func (export "errors") call $some (call $pass (i32.const 1))))"#;

#[tokio::test]
async fn a_capability_shares_the_standard_streams_and_is_billed_outside_of_host_calls() {
    let executor = Executor::builder().bounds(small()).capability(Pipe::default()).build().expect("it starts");
    let program = executor.load(PIPED, &Grants::none().grant("pipe", ())).await.expect("it loads");
    let command = |limits| program.command().stdin("hello, world").limits(limits).run();
    let outcome = command(Limits::default()).await.expect("it runs");
    assert!(outcome.ending.is_returned());
    assert_eq!(outcome.stdout, b"hello, world");
    let used = &outcome.usage.capabilities[0].1;
    assert_eq!((used.calls, used.bytes_in, used.bytes_out), (2, 0, 7), "one host call, one operation");
    assert_eq!(used.counts, BTreeMap::from([("closed", 1), ("passed_bytes", 107)]), "in the call and in the close");
    assert_eq!(used.report.as_deref(), Some(&json!({ "passed": 1, "returned": true })));
    // Up to the limit, and beyond it.
    let ending = |limits| async { command(limits).await.expect("it runs").ending };
    assert!(ending(Limits { host_bytes: 7, ..Limits::default() }).await.is_returned());
    assert_exhausted(&ending(Limits { host_bytes: 6, ..Limits::default() }).await, LimitKind::HostBytes);
    assert!(ending(Limits { output_bytes: 12, ..Limits::default() }).await.is_returned());
    let outcome = command(Limits { output_bytes: 11, ..Limits::default() }).await.expect("it runs");
    assert_exhausted(&outcome.ending, LimitKind::Output);
    assert_eq!(outcome.stdout, b"hello, worl", "what fits is kept");
}

#[tokio::test]
async fn a_live_instance_is_billed_for_each_call_alone() {
    let executor = Executor::builder().bounds(small()).capability(Pipe::default()).build().expect("it starts");
    let program = executor.load(PIPED, &Grants::none().grant("pipe", ())).await.expect("it loads");
    let mut instance = program.instance().stdin("hello, world").start().await.expect("it starts");
    let limits = Limits { host_bytes: 7, ..Limits::default() };
    let outcome = instance.call("errors").limits(limits.clone()).run().await.expect("it runs");
    assert_eq!((outcome.stdout.as_slice(), outcome.stderr.as_slice()), (&b"hello"[..], &b", world"[..]));
    assert_eq!(outcome.usage.capabilities[0].1.bytes_out, 7);
    let outcome = instance.call("errors").limits(limits).run().await.expect("its account is its own");
    assert!(outcome.ending.is_returned());
    assert_eq!((outcome.stderr.len(), outcome.usage.capabilities[0].1.bytes_out), (0, 0));
}

/// Serves nothing, and hears what guests print.
struct Ear(Log);

struct Listening {
    _listeners: [Arc<Listener>; 2],
}

#[async_trait]
impl Capability for Ear {
    type Grant = ();
    type State = Listening;

    fn id(&self) -> &str {
        "ear"
    }

    fn serves(&self) -> &[&str] {
        &[]
    }

    fn listens(&self) -> bool {
        true
    }

    fn open(&self, _grant: &(), call: &CallContext) -> Result<Listening> {
        let listener = |stream: &'static str| -> Arc<Listener> {
            let log = Arc::clone(&self.0);
            Arc::new(move |bytes| log.lock().unwrap().push(format!("{stream} {}", String::from_utf8_lossy(bytes))))
        };
        let streams = call.streams.as_ref().ok_or_else(|| Error::unavailable("the guest has no standard streams"))?;
        let listeners = [listener("out"), listener("err")];
        streams.stdout.listen(&listeners[0]);
        streams.stderr.listen(&listeners[1]);
        self.0.lock().unwrap().push("open".to_owned());
        Ok(Listening { _listeners: listeners })
    }

    async fn close(&self, _state: Listening, _ending: &Ending<()>) -> Result<()> {
        self.0.lock().unwrap().push("close".to_owned());
        Ok(())
    }
}

#[tokio::test]
async fn a_capability_that_listens_hears_what_is_printed_though_nothing_of_it_is_imported() {
    let log = log();
    let executor = Executor::builder().bounds(small()).capability(Ear(Arc::clone(&log))).build().expect("it starts");
    let granted = Grants::none().grant("ear", ());
    for guest in ["command-p1", "command-p2"] {
        let program = executor.load(runner_guests::get(guest), &granted).await.expect("it loads");
        let outcome = program.command().args(["command", "echo", "hello"]).run().await.expect("it runs");
        assert_eq!(outcome.stdout, b"hello\n", "{guest}: the outcome still has it");
        assert_eq!(taken(&log), ["open", "out hello\n", "close"], "{guest}");
        let outcome = program.command().args(["command", "stderr", "oh"]).run().await.expect("it runs");
        assert_eq!(outcome.stderr, b"oh\n", "{guest}");
        let heard = taken(&log).concat().replace("err ", "");
        assert_eq!(heard, "openoh\nclose", "{guest}: in the pieces that the guest makes");
        // What is heard is what is kept.
        let limits = Limits { output_bytes: 3, ..Limits::default() };
        let outcome = program.command().args(["command", "echo", "hello"]).limits(limits).run().await.expect("it runs");
        assert_exhausted(&outcome.ending, LimitKind::Output);
        assert_eq!(taken(&log), ["open", "out hel", "close"], "{guest}");
    }
}

#[tokio::test]
async fn a_capability_that_listens_is_not_opened_without_a_grant_nor_for_what_cannot_print() {
    let log = log();
    let executor = Executor::builder().bounds(small()).capability(Ear(Arc::clone(&log))).build().expect("it starts");
    let program = executor.load(runner_guests::get("command-p2"), &Grants::none()).await.expect("it loads");
    let outcome = program.command().args(["command", "echo", "hello"]).run().await.expect("it runs");
    assert_eq!(outcome.stdout, b"hello\n");
    let granted = Grants::none().grant("ear", ());
    // No imports at all: no streams, and no error for the want of them.
    let program = executor.load(runner_guests::wat("gcd").as_bytes(), &granted).await.expect("it loads");
    let outcome = program.call("gcd").args(json!([12, 18])).run().await.expect("it runs");
    assert_eq!(outcome.ending, Ending::Returned(json!(6)));
    assert_eq!(taken(&log), [""; 0], "nobody listened");
}

#[tokio::test]
async fn what_a_close_used_is_billed_where_it_fails_and_for_live_instances_too() {
    let pipe = Pipe { does_not_close: true };
    let executor = Executor::builder().bounds(small()).capability(pipe).build().expect("it starts");
    let program = executor.load(PIPED, &Grants::none().grant("pipe", ())).await.expect("it loads");
    let error = program.command().stdin("hello, world").run().await.expect_err("it does not close");
    let used = &error.outcome().expect("it has run").usage.capabilities[0].1;
    assert_eq!(used.counts, BTreeMap::from([("closed", 1), ("passed_bytes", 107)]));

    let executor = Executor::builder().bounds(small()).capability(Pipe::default()).build().expect("it starts");
    let program = executor.load(PIPED, &Grants::none().grant("pipe", ())).await.expect("it loads");
    let mut instance = program.instance().stdin("hello, world").start().await.expect("it starts");
    let outcome = instance.call("errors").run().await.expect("it runs");
    assert_eq!(outcome.usage.capabilities[0].1.counts, BTreeMap::from([("passed_bytes", 7)]));
    let used = instance.close().await.expect("it closes");
    assert_eq!(used[0].0, "pipe");
    assert_eq!(used[0].1.counts, BTreeMap::from([("closed", 1), ("passed_bytes", 100)]));
    assert_eq!(used[0].1.report.as_deref(), Some(&json!({ "passed": 1, "returned": true })));
}
