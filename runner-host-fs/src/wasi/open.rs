//! What a call has open, by whichever face: nothing of it is lost where the guest ends without closing it, and nothing of it
//! is used once the call is over.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::task::TaskTracker;

use super::driven::{self, Driven};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::File;

/// Everything that one call has open. As many as the guest has handles, see [`Limits::handles`](runner_core::Limits::handles).
#[derive(Default)]
pub(super) struct OpenFiles {
    inner: Mutex<Inner>,
    over: AtomicBool,
    /// What goes on by itself.
    tasks: TaskTracker,
}

#[derive(Default)]
struct Inner {
    next: u64,
    files: HashMap<u64, (VPath, Arc<dyn File>)>,
    writes: HashMap<u64, (VPath, Arc<Write>)>,
    /// How to end what goes on by itself.
    driven: HashMap<u64, AbortHandle>,
    /// The first error that there was no guest for any more to be told.
    lost: Option<Error>,
}

impl Inner {
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl OpenFiles {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what could not be told: the call is an error then, and publishes nothing.
    pub(super) fn lose(&self, path: &VPath, error: Error) {
        let message = format!("what the guest did with `{path}` was lost");
        self.lock().lost.get_or_insert_with(|| Error::new(error.kind(), message).caused_by(error));
    }

    /// The call is over. A guest that came to its end is owed what it began: it is written, and every file is closed.
    ///
    /// # Errors
    ///
    /// The first that the guest was not told.
    pub(super) async fn end(&self, owed: bool) -> Result<()> {
        let (files, writes) = {
            let mut inner = self.lock();
            self.over.store(true, Ordering::Relaxed);
            (std::mem::take(&mut inner.files), std::mem::take(&mut inner.writes))
        };
        if !owed {
            self.abort().await;
            return Ok(());
        }
        for (path, write) in writes.into_values() {
            if let Err(error) = write.end().await {
                self.lose(&path, error);
            }
        }
        // What is read for nobody any more.
        self.abort().await;
        for (path, file) in files.into_values() {
            if let Err(error) = file.close().await {
                self.lose(&path, error);
            }
        }
        self.lock().lost.take().map_or(Ok(()), Err)
    }

    /// Ends what goes on by itself, and waits until it holds nothing any more.
    async fn abort(&self) {
        let driven = std::mem::take(&mut self.lock().driven);
        driven.into_values().for_each(|task| task.abort());
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Has something go on by itself until the call ends.
    pub(super) fn drive<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> (u64, JoinHandle<T>) {
        let task = self.tasks.spawn(work);
        let mut inner = self.lock();
        let id = inner.id();
        inner.driven.insert(id, task.abort_handle());
        (id, task)
    }

    /// It does no more.
    pub(super) fn driven(&self, id: u64) {
        self.lock().driven.remove(&id);
    }
}

/// An open file, shared by a descriptor and the streams that were made of it.
pub(super) struct Opened {
    id: u64,
    path: VPath,
    file: Arc<dyn File>,
    call: Arc<OpenFiles>,
}

impl Opened {
    pub(super) fn new(call: &Arc<OpenFiles>, path: VPath, file: Arc<dyn File>) -> Arc<Self> {
        let mut inner = call.lock();
        let id = inner.id();
        inner.files.insert(id, (path.clone(), Arc::clone(&file)));
        drop(inner);
        Arc::new(Opened { id, path, file, call: Arc::clone(call) })
    }

    /// The file; [`BadDescriptor`](ErrorKind::BadDescriptor) where it was opened in a call that is over, as the guest of a live
    /// instance may still have it.
    pub(super) fn file(&self) -> Result<&Arc<dyn File>> {
        match self.call.over.load(Ordering::Relaxed) {
            false => Ok(&self.file),
            true => Err(Error::new(ErrorKind::BadDescriptor, format!("`{}` was closed with its call", self.path))),
        }
    }

    /// Begins some work with the file.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> std::result::Result<Result<T>, Driven<T>> {
        driven::begin(&self.call, work)
    }

    /// One user less. The last one closes the file.
    pub(super) async fn close(self: Arc<Self>) -> Result<()> {
        let Some(Opened { id, file, call, .. }) = Arc::into_inner(self) else { return Ok(()) };
        let mine = call.lock().files.remove(&id);
        match mine {
            Some(_) => file.close().await,
            // It was closed with its call.
            None => Ok(()),
        }
    }

    /// The same where nobody can be told that it fails.
    pub(super) async fn close_untold(self: Arc<Self>) {
        let (path, call) = (self.path.clone(), Arc::clone(&self.call));
        if let Err(error) = self.close().await {
            call.lose(&path, error);
        }
    }

    /// Something to write with, that ends with its call at the latest.
    pub(super) fn write(&self) -> Arc<Write> {
        let mut inner = self.call.lock();
        let id = inner.id();
        let write = Arc::new(Write { id, state: Mutex::default() });
        inner.writes.insert(id, (self.path.clone(), Arc::clone(&write)));
        write
    }

    /// Waits for what is under way. What fails, nobody can be told.
    pub(super) async fn end_write(&self, write: &Write) {
        let ended = write.end().await;
        self.call.lock().writes.remove(&write.id);
        if let Err(error) = ended {
            self.call.lose(&self.path, error);
        }
    }
}

/// One write after another, of which one at most is under way.
pub(super) struct Write {
    id: u64,
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Ready,
    Busy(Driven<()>),
    /// It failed, and the guest is still to be told.
    Failed(Error),
    /// It failed, and the guest knows.
    Closed,
}

/// Whether there may be another write.
pub(super) enum Turn {
    Yes,
    NotYet,
    /// The last one failed: told once.
    Failed(Error),
    Never,
}

impl Write {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write has begun, where it was the turn for one.
    pub(super) fn began(&self, write: std::result::Result<Result<()>, Driven<()>>) {
        *self.lock() = match write {
            Ok(Ok(())) => State::Ready,
            Ok(Err(error)) => State::Failed(error),
            Err(driven) => State::Busy(driven),
        };
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let State::Busy(write) = &mut *state else { return Poll::Ready(()) };
        match write.poll(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => *state = State::Ready,
            Poll::Ready(Err(error)) => *state = State::Failed(error),
        }
        Poll::Ready(())
    }

    /// Waits until nothing is under way.
    pub(super) async fn ready(&self) {
        poll_fn(|context| self.poll(context)).await;
    }

    /// Whether it is the turn for a write.
    pub(super) fn turn(&self) -> Turn {
        let _ = self.poll(&mut Context::from_waker(Waker::noop()));
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Closed) {
            State::Closed => Turn::Never,
            State::Failed(error) => Turn::Failed(error),
            State::Ready => {
                *state = State::Ready;
                Turn::Yes
            }
            busy @ State::Busy(_) => {
                *state = busy;
                Turn::NotYet
            }
        }
    }

    /// The guest has been told of a failure.
    pub(super) fn close(&self) {
        *self.lock() = State::Closed;
    }

    /// Waits for what is under way; the error that the guest was not told.
    async fn end(&self) -> Result<()> {
        self.ready().await;
        match self.turn() {
            Turn::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }
}
