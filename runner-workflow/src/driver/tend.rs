//! What comes without anybody's asking: times that are due, what a process before this one has left, and what has been kept
//! long enough.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::oneshot;

use super::Inner;
use super::inbox::{News, What};
use super::turn::TOGETHER;
use crate::error::{Error, Result};

/// How often is looked for what has been kept long enough.
const SWEEP_MS: i64 = 60 * 60 * 1_000;

/// Rows that go at once: a commit that others wait for stays short.
const SWEEP_ROWS: NonZeroU32 = NonZeroU32::new(2_000).expect("it is not zero");

/// A pause behind what failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Inner {
    /// Begins to look after all of it.
    pub(super) fn tend(self: &Arc<Self>) {
        self.again(Self::fire_timers);
        self.again(Self::catch_up);
        self.again(Self::sweep);
    }

    /// Does something again and again until all ends. What fails is told, and done again a little later.
    fn again<F: Future<Output = Result<()>> + Send + 'static>(self: &Arc<Self>, work: fn(Arc<Self>) -> F) {
        let (inner, ending) = (self.clone(), self.ending.clone());
        self.under_way.spawn(async move {
            let again = async {
                loop {
                    if let Err(error) = work(inner.clone()).await {
                        tracing::warn!(%error, "executions are not looked after, and will be in a moment");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            };
            tokio::select! {
                () = again => {}
                () = ending.cancelled() => {}
            }
        });
    }

    /// Until when nobody has to look at the timers.
    pub(super) fn next_due(&self) -> i64 {
        self.next_due.load(Ordering::SeqCst)
    }

    /// Waits for the next time that is due, and fires all that is due then.
    async fn fire_timers(self: Arc<Self>) -> Result<()> {
        // Known before the store is asked: what is committed meanwhile is sooner than that.
        self.next_due.store(i64::MAX, Ordering::SeqCst);
        let next = self.store.next_due().await?;
        self.next_due.fetch_min(next.unwrap_or(i64::MAX), Ordering::SeqCst);
        if next.is_none_or(|next| next > self.clock.now_ms()) {
            tokio::select! {
                () = self.sooner.notified() => {}
                () = self.clock.sleep_until(next.unwrap_or(i64::MAX)) => {}
            }
            return Ok(());
        }
        let due = self.store.due(self.clock.now_ms(), TOGETHER).await?;
        self.ask_all(due, || What::Due).await
    }

    /// Gives out what executions owe that nobody has in hand, and waits until there is such again.
    async fn catch_up(self: Arc<Self>) -> Result<()> {
        let half = self.settings.waiting_max / 2;
        if !self.hand.behind.swap(false, Ordering::SeqCst) {
            self.room.notified().await;
            return Ok(());
        }
        let mut after = None;
        loop {
            while self.hand.len() > half {
                self.hand.behind.store(true, Ordering::SeqCst);
                self.room.notified().await;
            }
            let page = self.store.owing(after.as_deref(), TOGETHER).await?;
            after = page.found.last().cloned();
            self.ask_all(page.found, || What::Owed).await?;
            if !page.more {
                return Ok(());
            }
        }
    }

    /// There may be executions that owe something which nobody has in hand, or wait for a time that nobody knows.
    pub(super) fn look_again(&self) {
        self.sooner.notify_one();
        self.hand.behind.store(true, Ordering::SeqCst);
        self.room.notify_one();
    }

    /// Asks for a step of each of some executions, and waits for all.
    async fn ask_all(self: &Arc<Self>, ids: Vec<String>, what: impl Fn() -> What) -> Result<()> {
        let asked = ids.into_iter().map(|id| {
            let (reply, answer) = oneshot::channel();
            self.send(&id, News { what: what(), reply: Some(reply) });
            answer
        });
        let answers = join_all(asked.collect::<Vec<_>>()).await;
        let gone = |_| Err(Error::unavailable("the host is ending"));
        answers.into_iter().map(|answer| answer.unwrap_or_else(gone)).collect::<Result<Vec<()>>>().map(drop)
    }

    /// Removes what has been kept long enough, and waits for an hour.
    async fn sweep(self: Arc<Self>) -> Result<()> {
        let retention = i64::try_from(self.settings.retention.as_millis()).unwrap_or(i64::MAX);
        // Of one moment: the clock may be set while rows go.
        let now_ms = self.clock.now_ms();
        let (before, until) = (now_ms.saturating_sub(retention), now_ms.saturating_add(SWEEP_MS));
        while self.store.remove_ended(before, SWEEP_ROWS).await? {}
        while self.clock.now_ms() < until {
            self.clock.sleep_until(until).await;
        }
        Ok(())
    }

    /// A moment that is later than those of before, in parts of a millisecond: 4,096 of them.
    pub(super) fn moment(&self, now_ms: i64) -> u64 {
        let now = u64::try_from(now_ms).unwrap_or(0) << 12 & (u64::MAX >> 4);
        let later = |last: u64| Some(now.max(last + 1));
        let last = self.last_moment.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
        last.map_or(now, |last| now.max(last + 1))
    }
}
