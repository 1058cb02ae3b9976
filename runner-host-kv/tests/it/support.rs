//! What every test with a guest needs: an executor that lends stores, a program, what it answered.

use std::sync::Arc;

use runner_core::{Bounds, Ending, Executor, Grants, Outcome, Program};
use runner_host_kv::{Kv, ManualClock, MemoryStore, SqliteStore, Store};
use serde_json::{Value, json};

/// A time to begin at.
pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// An executor that lends one store, or several.
pub(crate) fn executor(kv: Kv) -> Executor {
    let bounds = Bounds { calls: 64, queue: 1_000, ..Bounds::default() };
    Executor::builder().bounds(bounds).capability(kv).build().expect("it starts")
}

/// A grant of one store, `default`, with what else is said of it.
pub(crate) fn granted(mut store: Value) -> Grants {
    store.as_object_mut().expect("a grant is an object").entry("namespace").or_insert(json!("tests"));
    Grants::none().grant("kv", json!({ "stores": { "default": store } }))
}

pub(crate) async fn load(executor: &Executor, guest: &str, grants: &Grants) -> Program {
    executor.load(runner_guests::get(guest), grants).await.expect("the guest loads")
}

/// A guest over a store, with a grant of the store `default`.
pub(crate) struct Lent {
    /// It is there as long as its program is.
    pub(crate) executor: Executor,
    pub(crate) program: Program,
}

impl Lent {
    pub(crate) async fn new(store: impl Store, guest: &str, grant: Value) -> Self {
        let executor = executor(Kv::new(store));
        let program = load(&executor, guest, &granted(grant)).await;
        Lent { executor, program }
    }

    pub(crate) async fn outcome(&self, function: &str, args: Value) -> Outcome {
        self.program.call(function).args(args).run().await.expect("the host does its part")
    }

    /// What a function answers; where it says no, its words.
    pub(crate) async fn answer(&self, function: &str, args: Value) -> Result<Value, String> {
        answer(self.outcome(function, args).await)
    }

    /// What a function answers that does not say no.
    pub(crate) async fn value(&self, function: &str, args: Value) -> Value {
        self.answer(function, args).await.expect("the guest does not say no")
    }
}

pub(crate) fn answer(outcome: Outcome) -> Result<Value, String> {
    match outcome.ending {
        Ending::Returned(value) => Ok(value),
        Ending::Failed(failure) => Err(failure.message),
        other => panic!("{other:?}"),
    }
}

/// Both backends, each with what has to stay as long as it does.
pub(crate) fn backends() -> Vec<(&'static str, Arc<dyn Store>, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = SqliteStore::open(folder.path().join("kv.sqlite")).expect("a new file opens");
    vec![("memory", Arc::new(MemoryStore::new()), None), ("sqlite", Arc::new(file), Some(folder))]
}

/// A store on a clock that the test winds.
pub(crate) fn timed() -> (MemoryStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_ms(START_MS));
    (MemoryStore::with_clock(clock.clone()), clock)
}
