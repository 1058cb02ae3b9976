//! The one file of this crate that reads a clock: the one on the wall, for when a file was changed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

/// Tells a backend what time it is, so that a test can wind it by hand.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since 1970 began, UTC. It should not run backwards; where it does, so do the times of files.
    fn now_ns(&self) -> u64;

    /// Waits for so long, within a runtime of tokio.
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A clock for tests: it stands still until it is wound, or somebody waits, which winds it and takes no time.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at a time, in nanoseconds.
    pub fn at_ns(ns: u64) -> Self {
        ManualClock(AtomicU64::new(ns))
    }

    /// Winds it on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    async fn sleep(&self, time: Duration) {
        self.advance(time);
        tokio::task::yield_now().await;
    }
}
