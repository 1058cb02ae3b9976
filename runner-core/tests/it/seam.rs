//! Several capabilities beside each other: their order, and that no misfortune of one, or of the caller, is another's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner_core::wasmtime::{self, Caller};
use runner_core::{
    CallContext, Capability, Ending, Error, ErrorKind, Executor, Grants, Host, Limits, Program, Result, Service,
    async_trait,
};
use serde_json::json;

use crate::support::{small, value};

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
