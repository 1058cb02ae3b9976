//! Who may run now, who waits, who is turned away. It counts calls and knows nothing of guests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::error::{Error, Result};

/// Places for calls, and a bounded queue before them.
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    calls: u32,
    waiting: AtomicU32,
    queue: u32,
}

/// A place; given back when dropped.
pub(crate) type Place = OwnedSemaphorePermit;

impl Admission {
    pub(crate) fn new(calls: u32, queue: u32) -> Self {
        Admission { places: Arc::new(Semaphore::new(calls as usize)), calls, waiting: AtomicU32::new(0), queue }
    }

    /// Takes a place, or waits for one in the queue, `patience` at most.
    pub(crate) async fn enter(&self, patience: Duration) -> Result<Place> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => return Ok(place),
            Err(TryAcquireError::Closed) => return Err(shutting_down()),
            Err(TryAcquireError::NoPermits) => {}
        }
        let _waiting = Waiting::join(&self.waiting, self.queue).ok_or_else(|| {
            Error::unavailable(format!("all {} places are taken and {} calls wait", self.calls, self.queue))
        })?;
        match tokio::time::timeout(patience, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(shutting_down()),
            Err(_) => Err(Error::unavailable(format!("all {} places stayed taken for {patience:?}", self.calls))),
        }
    }

    /// Turns everyone away from now on, those that wait included.
    pub(crate) fn close(&self) {
        self.places.close();
    }
}

fn shutting_down() -> Error {
    Error::unavailable("the executor is shutting down")
}

struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn join(waiting: &'a AtomicU32, queue: u32) -> Option<Self> {
        let joined = waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < queue).then_some(n + 1));
        joined.is_ok().then_some(Waiting(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
