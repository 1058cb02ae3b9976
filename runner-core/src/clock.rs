//! The one file of this crate that reads a clock, and the thread that makes spinning guests yield.
//!
//! Deadlines wait on tokio's clock, so tests can wind them by hand; the ticker runs on the machine's.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// A moment on tokio's clock.
pub(crate) type Instant = tokio::time::Instant;

/// How often a spinning guest yields to its neighbours, and so how exactly a deadline stops it.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// Ticks without a call after which the thread sleeps until the next one: about a tenth of a second.
const IDLE_TICKS: u32 = 50;

pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Advances the engine's epoch and a coarse count of ticks while calls are under way.
pub(crate) struct Ticker {
    ticks: AtomicU64,
    /// Calls under way; the thread parks while there are none.
    active: AtomicU32,
    engine: OnceLock<EngineWeak>,
    thread: OnceLock<Thread>,
}

impl Ticker {
    pub(crate) fn start() -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Ticker {
            ticks: AtomicU64::new(0),
            active: AtomicU32::new(0),
            engine: OnceLock::new(),
            thread: OnceLock::new(),
        });
        let weak = Arc::downgrade(&ticker);
        let spawned = thread::Builder::new().name("runner-ticker".to_owned()).spawn(move || {
            let mut idle = 0;
            // The thread ends with the executor, which holds the only lasting reference.
            while let Some(ticker) = weak.upgrade() {
                idle = if ticker.active.load(Ordering::Acquire) == 0 { idle + 1 } else { 0 };
                ticker.ticks.fetch_add(1, Ordering::Relaxed);
                if let Some(engine) = ticker.engine.get().and_then(EngineWeak::upgrade) {
                    engine.increment_epoch();
                }
                drop(ticker);
                if idle > IDLE_TICKS {
                    thread::park();
                } else {
                    thread::sleep(TICK);
                }
            }
        })?;
        let _ = ticker.thread.set(spawned.thread().clone());
        Ok(ticker)
    }

    /// Names the engine whose epoch advances. Once.
    pub(crate) fn drive(&self, engine: &Engine) {
        let _ = self.engine.set(engine.weak());
    }

    /// Marks a call as under way until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Active {
        if self.active.fetch_add(1, Ordering::AcqRel) == 0 {
            self.wake();
        }
        Active(Arc::clone(self))
    }

    /// The count of ticks so far.
    pub(crate) fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// The first tick at which a time from now has surely passed.
    pub(crate) fn tick_after(&self, time: Duration) -> u64 {
        let ticks = time.as_micros() / TICK.as_micros() + 2;
        self.ticks().saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX))
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.wake();
    }
}

/// A call under way.
pub(crate) struct Active(Arc<Ticker>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
    }
}
