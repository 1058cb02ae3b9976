//! What of a call is looked at from outside its store as well: by the future that watches it, by its streams and its HTTP
//! bodies. It counts and decides nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Context;
use std::time::Duration;

use futures::task::AtomicWaker;

use crate::limits::Limits;

/// The shared numbers of one call, one allocation for all of them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    in_host: AtomicBool,
    /// Nanoseconds suspended in host calls so far.
    slept: AtomicU64,
    /// What the guest may still be given, in all its streams.
    pub(crate) input: Allowance,
    /// What the guest may still put out, in all its streams.
    pub(crate) output: Allowance,
    /// What capabilities may still move for the guest.
    pub(crate) moved: Allowance,
    /// Whether the guest has returned from a request. What it has not sent by then it never will, though it may hold on to
    /// the other end.
    left: AtomicBool,
    /// Whoever waits for its answer.
    waiting: AtomicWaker,
}

impl Tally {
    /// Starts the account of a call.
    pub(crate) fn restart(&self, limits: &Limits) {
        self.in_host.store(false, Ordering::Relaxed);
        self.slept.store(0, Ordering::Relaxed);
        self.left.store(false, Ordering::Release);
        self.input.allow(limits.input_bytes);
        self.output.allow(limits.output_bytes);
        self.moved.allow(limits.host_bytes);
    }

    #[inline]
    pub(crate) fn in_host(&self) -> bool {
        self.in_host.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_in_host(&self, in_host: bool) {
        self.in_host.store(in_host, Ordering::Relaxed);
    }

    pub(crate) fn add_sleep(&self, time: Duration) {
        self.slept.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn set_left(&self) {
        self.left.store(true, Ordering::Release);
        self.waiting.wake();
    }

    /// Whether the guest has returned; who is told no is woken when it does.
    pub(crate) fn has_left(&self, cx: &Context<'_>) -> bool {
        self.waiting.register(cx.waker());
        self.left.load(Ordering::Acquire)
    }

    pub(crate) fn slept(&self) -> Duration {
        Duration::from_nanos(self.slept.load(Ordering::Relaxed))
    }
}

/// Bytes that may still flow one way, and whether more were wanted.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    left: AtomicU64,
    over: AtomicBool,
}

impl Allowance {
    fn allow(&self, bytes: u64) {
        self.left.store(bytes, Ordering::Release);
        self.over.store(false, Ordering::Release);
    }

    /// Takes up to `wanted` from what is left, and says how much that was.
    pub(crate) fn take(&self, wanted: u64) -> u64 {
        let before =
            self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| Some(left.saturating_sub(wanted)));
        let taken = before.unwrap_or(0).min(wanted);
        if taken < wanted {
            self.over.store(true, Ordering::Release);
        }
        taken
    }

    /// Takes all of `bytes`, or says that they are too many.
    pub(crate) fn spend(&self, bytes: u64) -> bool {
        self.take(bytes) == bytes
    }

    /// Whether more was wanted than was left.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}
