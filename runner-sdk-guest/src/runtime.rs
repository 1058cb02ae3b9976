//! Runs futures in a guest, which is one thread: what they wait for is asked of the host together. It knows nothing of what
//! they do.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

#[cfg(feature = "http")]
pub(crate) use self::host::Wait;

/// Whether what is run was woken since it was last polled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs a future to its end: for a task that is no `async fn`, and for tests.
///
/// While it waits, the guest uses no time of its own. It may be called within itself.
///
/// ```
/// assert_eq!(runner::block_on(async { 6 * 7 }), 42);
/// ```
///
/// # Panics
///
/// Where the future waits for what nobody in the guest can give, such as a channel whose other end is held by itself.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    loop {
        if woken.0.swap(false, Ordering::AcqRel) {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            // One that wakes itself again and again takes no turn from the others.
            if woken.0.load(Ordering::Acquire) {
                look();
            }
        } else {
            assert!(wait(), "the guest waits for itself: its future is woken by nothing that the host does");
        }
    }
}

/// Waits until the host has something; false where nothing is waited for.
fn wait() -> bool {
    #[cfg(feature = "http")]
    return host::wait();
    #[cfg(not(feature = "http"))]
    false
}

/// Wakes what the host has by now.
fn look() {
    #[cfg(feature = "http")]
    host::look();
}

/// Waits for so long.
///
/// ```no_run
/// # async fn again() {
/// runner::sleep(std::time::Duration::from_millis(200)).await;
/// # }
/// ```
#[cfg(feature = "http")]
pub async fn sleep(duration: std::time::Duration) {
    Wait::until(duration).await;
}

#[cfg(feature = "http")]
mod host {
    use std::cell::RefCell;
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use wasip2::clocks::monotonic_clock::subscribe_duration;
    use wasip2::io::poll::{Pollable, poll};

    thread_local! {
        /// What somebody waits for.
        static WAITING: RefCell<Vec<Arc<Waiting>>> = const { RefCell::new(Vec::new()) };
    }

    struct Waiting {
        pollable: Pollable,
        is_ready: AtomicBool,
        waker: Mutex<Option<Waker>>,
    }

    impl Waiting {
        fn wake(&self) {
            self.is_ready.store(true, Ordering::Release);
            if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
                waker.wake();
            }
        }
    }

    /// Waits for one thing of the host's. Dropped before what it was asked of, as the host demands.
    pub(crate) struct Wait {
        waiting: Arc<Waiting>,
        is_listed: bool,
    }

    impl Wait {
        pub(crate) fn new(pollable: Pollable) -> Self {
            let waiting = Waiting { pollable, is_ready: AtomicBool::new(false), waker: Mutex::default() };
            Wait { waiting: Arc::new(waiting), is_listed: false }
        }

        pub(crate) fn until(duration: Duration) -> Self {
            Wait::new(subscribe_duration(nanoseconds(duration)))
        }

        /// Asks the host at once.
        pub(crate) fn is_over(&self) -> bool {
            self.waiting.is_ready.load(Ordering::Acquire) || self.waiting.pollable.ready()
        }
    }

    /// As many as the host can count.
    pub(crate) fn nanoseconds(duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    }

    impl Future for Wait {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if self.waiting.is_ready.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            *self.waiting.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
            if !self.is_listed {
                self.is_listed = true;
                WAITING.with_borrow_mut(|all| all.push(Arc::clone(&self.waiting)));
            }
            Poll::Pending
        }
    }

    impl Drop for Wait {
        fn drop(&mut self) {
            if self.is_listed {
                forget(&self.waiting);
            }
        }
    }

    fn forget(waiting: &Arc<Waiting>) {
        // At the thread's end the list is gone before what it lists.
        let _ = WAITING.try_with(|all| all.borrow_mut().retain(|one| !Arc::ptr_eq(one, waiting)));
    }

    pub(super) fn wait() -> bool {
        let all = WAITING.with_borrow(Clone::clone);
        if all.is_empty() {
            return false;
        }
        let pollables: Vec<&Pollable> = all.iter().map(|one| &one.pollable).collect();
        let ready = poll(&pollables);
        tell(ready.into_iter().filter_map(|at| all.get(at as usize)));
        true
    }

    pub(super) fn look() {
        let all = WAITING.with_borrow(Clone::clone);
        tell(all.iter().filter(|one| one.pollable.ready()));
    }

    fn tell<'a>(ready: impl Iterator<Item = &'a Arc<Waiting>>) {
        for one in ready {
            forget(one);
            one.wake();
        }
    }
}

#[cfg(feature = "http")]
pub(crate) use self::host::nanoseconds;

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};

    use futures::{SinkExt, StreamExt, channel::mpsc};

    use super::*;

    #[test]
    fn a_future_that_wakes_itself_comes_to_its_end() {
        let mut turns = 0;
        let counted = poll_fn(|context| {
            turns += 1;
            context.waker().wake_by_ref();
            if turns == 100 { Poll::Ready("done") } else { Poll::Pending }
        });
        assert_eq!(block_on(counted), "done");
        assert_eq!(turns, 100);
    }

    #[test]
    fn futures_that_wait_for_each_other_take_turns() {
        let (mut sender, receiver) = mpsc::channel(0);
        let send = async move {
            for number in 0..100 {
                sender.send(number).await.expect("somebody receives");
            }
        };
        let (sum, ()) = block_on(async { futures::join!(receiver.fold(0, |sum, number| ready(sum + number)), send) });
        assert_eq!(sum, 4_950);
    }

    #[test]
    fn one_may_run_within_another() {
        assert_eq!(block_on(async { block_on(async { 1 }) + block_on(ready(2)) }), 3);
    }

    #[test]
    #[should_panic(expected = "the guest waits for itself")]
    fn what_nobody_wakes_is_said_and_not_waited_for() {
        block_on(pending::<()>());
    }
}
