//! Runner beside the bare engine: the rows, the measurer, the table. `README.md` has the numbers and what they mean.
//!
//! A row is two [`Side`]s that do the same work, ours through runner-core and the other on wasmtime with its best settings.
//! Criterion runs each side alone; the table runs them in turns, so that a noisy machine is noisy for both.

pub mod bare;
pub mod calls;
pub mod child;
pub mod cold;
pub mod compute;
pub mod files;
pub mod guests;
pub mod host_calls;
pub mod http;
pub mod kv;
pub mod measure;
pub mod memory;
pub mod ours;
pub mod outgoing;
pub mod quiet;
pub mod report;
pub mod s3;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

/// Does something so many times and says how long that took, without what it made ready before and cleared up after.
pub type Side = Box<dyn FnMut(u64) -> Duration>;

/// A row of the table, not yet set up.
pub struct Row {
    /// What is measured.
    pub name: &'static str,
    /// The largest ratio of ours to bare that we are content with.
    pub goal: Option<f64>,
    /// Whether once takes seconds: too long for Criterion's ten samples.
    pub slow: bool,
    /// Sets both sides up: bare, ours.
    pub sides: fn() -> (Side, Side),
}

impl Row {
    const fn new(name: &'static str, sides: fn() -> (Side, Side)) -> Self {
        Row { name, goal: None, slow: false, sides }
    }

    const fn goal(mut self, at_most: f64) -> Self {
        self.goal = Some(at_most);
        self
    }

    const fn slow(mut self) -> Self {
        self.slow = true;
        self
    }
}

/// Every row that one process can measure by itself, in the order of the table.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    [calls::ROWS, host_calls::ROWS, cold::ROWS, http::ROWS, compute::ROWS, kv::ROWS, files::ROWS].into_iter().flatten()
}

/// One thread for all that is measured in this process: neither side pays for waking another.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime of one thread starts")
});

/// Waits for a future on the thread of the benches.
pub fn wait<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// Makes the runtime known to this thread: live instances close their capabilities on it when they are dropped.
pub fn enter() -> tokio::runtime::EnterGuard<'static> {
    RUNTIME.enter()
}

/// A side that repeats one async operation.
fn each(mut operation: impl AsyncFnMut() + 'static) -> Side {
    Box::new(move |times| {
        wait(async {
            let from = Instant::now();
            for _ in 0..times {
                operation().await;
            }
            from.elapsed()
        })
    })
}

/// A side that makes something ready before each operation, off the clock.
fn each_after<T>(mut ready: impl FnMut() -> T + 'static, mut operation: impl AsyncFnMut(T) + 'static) -> Side {
    Box::new(move |times| {
        wait(async {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                let made = ready();
                let from = Instant::now();
                operation(made).await;
                took += from.elapsed();
            }
            took
        })
    })
}
