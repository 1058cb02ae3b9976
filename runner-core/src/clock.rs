//! The one file of this crate that reads a clock, and the thread that makes spinning guests yield.
//!
//! Deadlines wait on tokio's clock, so tests can wind them by hand; the ticker runs on the machine's.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::Notify;
use wasmtime::{Engine, EngineWeak};

use crate::error::{Error, Result};

/// A moment on tokio's clock.
pub(crate) type Instant = tokio::time::Instant;

/// How often a spinning guest yields to its neighbours, and so how exactly a deadline stops it.
pub(crate) const TICK: Duration = Duration::from_millis(TICK_MILLIS);
const TICK_MILLIS: u64 = 2;

/// Ticks without a call after which the thread sleeps until the next one: about a tenth of a second.
const IDLE_TICKS: u32 = 50;

pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Counts the calls under way, and while there are any advances the engine's epoch and a coarse count of ticks.
pub(crate) struct Ticker {
    ticks: AtomicU64,
    /// Calls under way; the thread parks while there are none.
    active: AtomicU32,
    parked: AtomicBool,
    /// No further calls: whoever waits for the last one is woken by it.
    closed: AtomicBool,
    idle: Notify,
    engine: OnceLock<EngineWeak>,
    thread: OnceLock<Thread>,
}

impl Ticker {
    pub(crate) fn start() -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Ticker {
            ticks: AtomicU64::new(0),
            active: AtomicU32::new(0),
            parked: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            idle: Notify::new(),
            engine: OnceLock::new(),
            thread: OnceLock::new(),
        });
        let weak = Arc::downgrade(&ticker);
        let spawned = thread::Builder::new().name("runner-ticker".to_owned()).spawn(move || {
            let mut idle = 0;
            // The thread ends with the executor, which holds the only lasting reference.
            while let Some(ticker) = weak.upgrade() {
                if ticker.parked.load(Ordering::Relaxed) {
                    ticker.parked.store(false, Ordering::SeqCst);
                }
                idle = if ticker.active.load(Ordering::Relaxed) == 0 { idle + 1 } else { 0 };
                ticker.ticks.fetch_add(1, Ordering::Relaxed);
                if let Some(engine) = ticker.engine.get().and_then(EngineWeak::upgrade) {
                    engine.increment_epoch();
                }
                if idle <= IDLE_TICKS {
                    drop(ticker);
                    thread::sleep(TICK);
                    continue;
                }
                ticker.parked.store(true, Ordering::SeqCst);
                // Looked at once more: a call that came before the mark did not see it.
                let is_idle = ticker.active.load(Ordering::SeqCst) == 0;
                drop(ticker);
                if is_idle {
                    thread::park();
                }
                idle = 0;
            }
        })?;
        let _ = ticker.thread.set(spawned.thread().clone());
        Ok(ticker)
    }

    /// Names the engine whose epoch advances. Once.
    pub(crate) fn drive(&self, engine: &Engine) {
        let _ = self.engine.set(engine.weak());
    }

    /// Marks a call as under way, until [`Ticker::leave`].
    ///
    /// # Errors
    /// `Unavailable` once the executor is shutting down.
    pub(crate) fn enter(&self) -> Result<()> {
        // Counted before it looks: either `close` waits for this call or this call sees that it is closed.
        self.active.fetch_add(1, Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) {
            self.leave();
            return Err(Error::unavailable("the executor is shutting down"));
        }
        if self.parked.load(Ordering::SeqCst) {
            self.wake();
        }
        Ok(())
    }

    /// Ends what [`Ticker::enter`] began.
    pub(crate) fn leave(&self) {
        if self.active.fetch_sub(1, Ordering::SeqCst) == 1 && self.closed.load(Ordering::SeqCst) {
            self.idle.notify_waiters();
        }
    }

    /// Lets no further call in.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Waits until no call is under way.
    pub(crate) async fn wait(&self) {
        loop {
            let mut left = pin!(self.idle.notified());
            left.as_mut().enable();
            if self.active.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }

    /// The count of ticks so far.
    #[inline]
    pub(crate) fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// The first tick at which a time from now has surely passed.
    pub(crate) fn tick_after(&self, time: Duration) -> u64 {
        // In whole milliseconds of 64 bits: this is done for every call, and 128 bits are slow to divide.
        let millis = time.as_secs().saturating_mul(1_000).saturating_add(u64::from(time.subsec_millis()));
        self.ticks().saturating_add(millis / TICK_MILLIS + 2)
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
