//! The streams of a file, as `wasi:io` knows them. One read or write is under way at most, whether its guest asks for it or not, and
//! no more than its bytes are in memory.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use runner_core::{Account, async_trait, wasmtime};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::super::driven::Driven;
use super::super::open::{Opened, Turn, Write};
use crate::error::{Error, Result};
use crate::vfs::{File, Flush};

/// What a stream holds for its guest, and what it may write at once: half of what the host says it holds for a handle.
const CHUNK_BYTES: usize = 64 << 10;

/// What is given at once to who waits for it: nobody holds it, and a thread for each 64 KiB of a file would be a third of the
/// time.
const READ_BYTES: usize = 1 << 20;

/// What all streams of a call hold of writes beyond their chunk. Some libraries never look at how much they may write.
const OVERSIZE_BYTES_MAX: usize = 8 << 20;

/// Reads a file from a place on.
pub(super) struct Reader {
    /// There until it is dropped.
    opened: Option<Arc<Opened>>,
    account: Account,
    offset: u64,
    state: Reading,
}

enum Reading {
    Idle,
    Busy(Driven<Bytes>),
    /// What has been read; nothing is the end.
    Read(Bytes),
    Failed(Error),
}

impl Reader {
    pub(super) fn new(opened: Arc<Opened>, account: Account, offset: u64) -> Self {
        Reader { opened: Some(opened), account, offset, state: Reading::Idle }
    }

    fn file(&self) -> Result<Arc<dyn File>> {
        let opened = self.opened.as_ref().ok_or_else(|| Error::not_opened_for("reading"))?;
        opened.file().map(Arc::clone)
    }

    fn begin(&mut self, bytes_max: usize) {
        let offset = self.offset;
        let begun = self.file().and_then(|file| {
            let opened = self.opened.as_ref().ok_or_else(|| Error::not_opened_for("reading"))?;
            Ok(opened.begin(async move { file.read_at(offset, bytes_max).await }))
        });
        self.state = match begun {
            Ok(Ok(Ok(bytes))) => Reading::Read(bytes),
            Ok(Ok(Err(error))) | Err(error) => Reading::Failed(error),
            Ok(Err(read)) => Reading::Busy(read),
        };
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Reading::Busy(read) = &mut self.state else { return Poll::Ready(()) };
        match read.poll(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(bytes)) => self.state = Reading::Read(bytes),
            Poll::Ready(Err(error)) => self.state = Reading::Failed(error),
        }
        Poll::Ready(())
    }

    /// Gives what has been read. The end, and an error, are no end for ever: the file may grow, and be there again.
    fn take(&mut self, bytes_max: usize) -> StreamResult<Bytes> {
        match std::mem::replace(&mut self.state, Reading::Idle) {
            Reading::Idle => Ok(Bytes::new()),
            busy @ Reading::Busy(_) => {
                self.state = busy;
                Ok(Bytes::new())
            }
            Reading::Failed(error) => Err(failed(error)),
            Reading::Read(bytes) if bytes.is_empty() => Err(StreamError::Closed),
            Reading::Read(mut bytes) => {
                let taken = bytes.split_to(bytes.len().min(bytes_max));
                if !bytes.is_empty() {
                    self.state = Reading::Read(bytes);
                }
                self.offset += taken.len() as u64;
                self.account.charge(taken.len() as u64, 0).map_err(StreamError::Trap)?;
                Ok(taken)
            }
        }
    }
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, bytes_max: usize) -> StreamResult<Bytes> {
        self.account.operation();
        if bytes_max == 0 {
            return Ok(Bytes::new());
        }
        match &self.state {
            Reading::Idle => self.begin(bytes_max.min(CHUNK_BYTES)),
            _ => {
                let _ = self.poll(&mut Context::from_waker(Waker::noop()));
            }
        }
        self.take(bytes_max)
    }

    async fn blocking_read(&mut self, bytes_max: usize) -> StreamResult<Bytes> {
        self.account.operation();
        if bytes_max == 0 {
            return Ok(Bytes::new());
        }
        match self.state {
            Reading::Idle => {
                let file = self.file().map_err(failed)?;
                let read = file.read_at(self.offset, bytes_max.min(READ_BYTES)).await;
                self.state = read.map_or_else(Reading::Failed, Reading::Read);
            }
            _ => self.ready().await,
        }
        self.take(bytes_max)
    }

    async fn cancel(&mut self) {
        self.state = Reading::Idle;
        if let Some(opened) = self.opened.take() {
            opened.close_untold().await;
        }
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        if let Reading::Idle = self.state {
            self.begin(CHUNK_BYTES);
        }
        poll_fn(|context| self.poll(context)).await;
    }
}

/// Writes a file from a place on, or at its end.
pub(super) struct Writer {
    /// There until it is dropped.
    opened: Option<Arc<Opened>>,
    account: Account,
    place: Place,
    flush: Option<Flush>,
    write: Arc<Write>,
    oversize: Arc<Oversize>,
}

#[derive(Clone, Copy)]
pub(super) enum Place {
    At(u64),
    End,
}

impl Writer {
    pub(super) fn new(
        opened: Arc<Opened>,
        account: Account,
        place: Place,
        flush: Option<Flush>,
        oversize: &Arc<Oversize>,
    ) -> Self {
        let write = opened.write();
        Writer { opened: Some(opened), account, place, flush, write, oversize: Arc::clone(oversize) }
    }

    /// The write of some bytes, which are charged; from here on the place is behind them.
    fn work(&mut self, bytes: Bytes) -> StreamResult<impl Future<Output = Result<()>> + Send + use<>> {
        self.account.operation();
        self.account.charge(0, bytes.len() as u64).map_err(StreamError::Trap)?;
        let opened = self.opened.as_ref().ok_or(StreamError::Closed)?;
        let file = match opened.file() {
            Ok(file) => Arc::clone(file),
            Err(error) => {
                self.write.close();
                return Err(failed(error));
            }
        };
        let (place, flush) = (self.place, self.flush);
        if let Place::At(offset) = &mut self.place {
            *offset = offset.saturating_add(bytes.len() as u64);
        }
        Ok(async move {
            match place {
                Place::At(offset) => file.write_at(offset, bytes).await?,
                Place::End => file.append(bytes).await.map(drop)?,
            }
            match flush {
                Some(what) => file.sync(what).await,
                None => Ok(()),
            }
        })
    }

    fn turn(&self) -> StreamResult<bool> {
        match self.write.turn() {
            Turn::Yes => Ok(true),
            Turn::NotYet => Ok(false),
            Turn::Failed(error) => Err(failed(error)),
            Turn::Never => Err(StreamError::Closed),
        }
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if !self.turn()? {
            return Err(StreamError::trap("a file is written to before `check-write` allows it"));
        }
        let held = self.oversize.hold(bytes.len())?;
        let work = self.work(bytes)?;
        let opened = self.opened.as_ref().ok_or(StreamError::Closed)?;
        self.write.began(opened.begin(async move {
            let written = work.await;
            drop(held);
            written
        }));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.turn().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(if self.turn()? { CHUNK_BYTES } else { 0 })
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write.ready().await;
        self.turn()?;
        let written = self.work(bytes)?.await;
        written.map_err(|error| {
            self.write.close();
            failed(error)
        })
    }

    async fn cancel(&mut self) {
        if let Some(opened) = self.opened.take() {
            opened.end_write(&self.write).await;
            opened.close_untold().await;
        }
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        self.write.ready().await;
    }
}

/// What `filesystem-error-code` finds again.
fn failed(error: Error) -> StreamError {
    StreamError::LastOperationFailed(wasmtime::Error::new(error))
}

/// Bytes of a call's writes that are larger than a chunk.
#[derive(Default)]
pub(in crate::wasi) struct Oversize(AtomicUsize);

struct Held(Arc<Oversize>, usize);

impl Oversize {
    fn hold(self: &Arc<Self>, bytes: usize) -> StreamResult<Option<Held>> {
        if bytes <= CHUNK_BYTES {
            return Ok(None);
        }
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        let held = Held(Arc::clone(self), bytes);
        // One alone may be as large as the engine lets it through, as where a descriptor is written to.
        match before == 0 || before.saturating_add(bytes) <= OVERSIZE_BYTES_MAX {
            true => Ok(Some(held)),
            false => Err(StreamError::trap("more is written to a file at once than `check-write` allows")),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}
