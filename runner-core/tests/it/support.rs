//! What every test needs: an executor, a program, an ending.

use std::sync::OnceLock;
use std::time::Duration;

use runner_core::{Bounds, Ending, Executor, Grants, LimitKind, Limits, Metering, Outcome, Program};
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
