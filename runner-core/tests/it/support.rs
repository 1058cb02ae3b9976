//! What every test needs: an executor, a program, an ending.

use std::sync::OnceLock;
use std::time::Duration;

use runner_core::wasmtime::{self, Caller};
use runner_core::{
    Bounds, CallContext, Capability, Ending, Executor, Grants, Host, LimitKind, Limits, Metering, Outcome, Program,
    Result, async_trait,
};
use serde_json::Value;

/// The host's side of `stranger:kv/store`, which several guests import and several capabilities of the tests serve.
pub(crate) mod stranger {
    runner_core::wasmtime::component::bindgen!({
        path: "../examples/guests/wit/stranger-kv",
        world: "host",
        imports: { default: async | trappable },
    });
    pub(crate) use self::stranger::kv::store;
}

/// Bounds small enough that many executors fit beside each other.
pub(crate) fn small() -> Bounds {
    Bounds { calls: 16, queue: 64, ..Bounds::default() }
}

/// An executor of the test's own.
pub(crate) fn executor() -> Executor {
    Executor::builder().bounds(small()).build().expect("an executor with small bounds starts")
}

/// An executor that tests share where they only load and call: guests compile once for all of them.
///
/// Each test has a runtime of its own, and what is shared here outlives it: nothing with tasks of its own may be shared, so
/// tests with capabilities make their own executor.
pub(crate) fn shared() -> &'static Executor {
    static SHARED: OnceLock<Executor> = OnceLock::new();
    SHARED.get_or_init(|| {
        Executor::builder().bounds(Bounds { calls: 64, ..small() }).build().expect("an executor starts")
    })
}

pub(crate) fn guest(name: &str) -> &'static [u8] {
    match name.strip_suffix(".wat") {
        Some(text) => runner_guests::wat(text).as_bytes(),
        None => runner_guests::get(name),
    }
}

pub(crate) async fn program(name: &str) -> Program {
    shared().load(guest(name), &Grants::none()).await.expect("the guest loads")
}

pub(crate) async fn metered(name: &str, metering: Metering) -> Program {
    shared().load(guest(name), &Grants::none()).metering(metering).await.expect("the guest loads")
}

pub(crate) async fn call(name: &str, function: &str, args: Value) -> Outcome {
    program(name).await.call(function).args(args).run().await.expect("the host does its part")
}

pub(crate) fn value(outcome: Outcome) -> Value {
    match outcome.ending {
        Ending::Returned(value) => value,
        other => panic!("expected a value, found {other:?}"),
    }
}

/// A deadline for guests that must be stopped: short, and long enough for a busy machine to start them.
pub(crate) fn short() -> Limits {
    Limits { deadline: Duration::from_millis(100), ..Limits::default() }
}

#[track_caller]
pub(crate) fn assert_exhausted<T: std::fmt::Debug>(ending: &Ending<T>, kind: LimitKind) {
    match ending {
        Ending::Exhausted(limit) if limit.kind == kind => {}
        other => panic!("expected the limit on {kind}, found {other:?}"),
    }
}

/// Lends `mover.move` to core modules: bytes in, milliseconds of work, milliseconds of waiting, bytes out.
///
/// It works by winding tokio's clock, so the test must have stopped it; an executor of [`mover`] has this alone.
struct Mover;

struct Moving;

#[async_trait]
impl Capability for Mover {
    type Grant = ();
    type State = Moving;

    fn id(&self) -> &str {
        "mover"
    }

    fn serves(&self) -> &[&str] {
        &["mover"]
    }

    fn link_core(linker: &mut wasmtime::Linker<Host>) -> wasmtime::Result<()> {
        type Amounts = (i64, i64, i64, i64);
        linker.func_wrap_async(
            "mover",
            "move",
            |mut caller: Caller<'_, Host>, (into, works, waits, out): Amounts| {
                Box::new(async move {
                    let mut view = caller.data_mut().view::<Moving>();
                    let time = |ms| (ms > 0).then(|| Duration::from_millis(ms as u64));
                    view.charge(into as u64, 0)?;
                    if let Some(works) = time(works) {
                        tokio::time::advance(works).await;
                    }
                    if let Some(waits) = time(waits) {
                        tokio::time::sleep(waits).await;
                    }
                    view.charge(0, out as u64)
                })
            },
        )?;
        Ok(())
    }

    fn open(&self, _grant: &(), _call: &CallContext) -> Result<Moving> {
        Ok(Moving)
    }
}

/// A guest of [`Mover`], which calls it `n` times with the same amounts.
const MOVES: &[u8] = br#"(module
    (import "mover" "move" (func $move (param i64 i64 i64 i64)))
    (func (export "move") (param $n i32) (param $in i64) (param $works i64) (param $waits i64) (param $out i64)
        (loop $again
            (call $move (local.get $in) (local.get $works) (local.get $waits) (local.get $out))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;

/// A program that moves bytes and spends time in the host, with its executor.
pub(crate) async fn mover() -> (Executor, Program) {
    mover_within(small()).await
}

/// The same within bounds.
pub(crate) async fn mover_within(bounds: Bounds) -> (Executor, Program) {
    let executor = Executor::builder().bounds(bounds).capability(Mover).build().expect("it starts");
    let program = executor.load(MOVES, &Grants::none().grant("mover", ())).await.expect("it loads");
    (executor, program)
}

/// Gives everything that is ready to run its turn, several times over.
pub(crate) async fn turns() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
