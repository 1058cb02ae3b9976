//! Work that a guest has begun and may never ask for again. Others may wait for what it holds: a file's lock, a place among
//! the requests to a bucket, a block that is being fetched. So it goes on by itself.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use tokio::task::JoinHandle;

use super::open::OpenFiles;
use crate::error::{Error, ErrorKind, Result};

/// Work that is under way. It ends with its call, and where nobody has it any more.
pub(super) struct Driven<T> {
    id: u64,
    task: JoinHandle<Result<T>>,
    call: Weak<OpenFiles>,
}

/// Begins some work of a call, within a runtime of tokio. Much of it may be done when this returns, or all.
pub(super) fn begin<T: Send + 'static>(
    call: &Arc<OpenFiles>,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> std::result::Result<Result<T>, Driven<T>> {
    let mut work = Box::pin(work);
    // What is ready at once needs no task.
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => {
            let (id, task) = call.drive(work);
            Err(Driven { id, task, call: Arc::downgrade(call) })
        }
    }
}

impl<T> Driven<T> {
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T>> {
        Pin::new(&mut self.task).poll(context).map(|done| match done {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::new(ErrorKind::BadDescriptor, "it was closed with its call")),
        })
    }
}

impl<T> Drop for Driven<T> {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(call) = self.call.upgrade() {
            call.driven(self.id);
        }
    }
}
