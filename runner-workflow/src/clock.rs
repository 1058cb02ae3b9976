//! The one file of this crate that reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::sync::watch;

/// Tells what time it is, and waits, so that a test can wind it by hand.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970 began, UTC. It may jump, both ways.
    fn now_ms(&self) -> i64;

    /// Waits until a time, or for as long as it likes: who asks looks again.
    async fn sleep_until(&self, at_ms: i64);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// The machine's clock may be set while somebody waits by it: it is looked at again so often.
const LOOK: Duration = Duration::from_secs(1);

#[async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    async fn sleep_until(&self, at_ms: i64) {
        let left = u64::try_from(at_ms.saturating_sub(self.now_ms())).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(left).min(LOOK)).await;
    }
}

/// A clock for tests: it stands still until it is wound.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<i64>);

impl ManualClock {
    /// A clock that stands at a time, in milliseconds.
    #[must_use]
    pub fn at_ms(ms: i64) -> Self {
        Self(watch::Sender::new(ms))
    }

    /// Winds it on, or back.
    pub fn wind(&self, by_ms: i64) {
        self.0.send_modify(|now| *now += by_ms);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        *self.0.borrow()
    }

    async fn sleep_until(&self, at_ms: i64) {
        // The sender is ours: it lives as long as this call.
        drop(self.0.subscribe().wait_for(|now| *now >= at_ms).await);
    }
}
