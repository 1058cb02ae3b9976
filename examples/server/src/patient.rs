//! A connection whose client must take what it is sent: one that does not, or takes a little now and then, holds an answer
//! in memory for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::clock;

/// How long a client may keep waiting what is there for it.
const PATIENCE_MAX: Duration = Duration::from_secs(60);
/// What a client must take in a second, or its patience runs out: 64 MiB in 5 minutes, as senders must.
const BYTES_PER_SECOND: f64 = (256 << 10) as f64;

pub(crate) struct Patient {
    stream: TcpStream,
    /// What is left of it: waiting takes from it, what is written gives it back.
    patience: Duration,
    /// While a write waits: since when, and what runs until the patience is over.
    waits: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patient {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Patient { stream, patience: PATIENCE_MAX, waits: None }
    }

    fn within(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.stream), cx) {
            let waited = self.waits.take().map(|(since, _)| since.elapsed()).unwrap_or_default();
            let earned = written.as_ref().map_or(0.0, |bytes| *bytes as f64 / BYTES_PER_SECOND);
            let left = self.patience.saturating_sub(waited) + Duration::from_secs_f64(earned);
            self.patience = left.min(PATIENCE_MAX);
            return Poll::Ready(written);
        }
        let patience = self.patience;
        let (_, over) = self.waits.get_or_insert_with(|| (clock::timer(), Box::pin(sleep(patience))));
        over.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.within(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.within(cx, |stream, cx| stream.poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within(cx, |stream, cx| stream.poll_flush(cx).map_ok(|()| 0)).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within(cx, |stream, cx| stream.poll_shutdown(cx).map_ok(|()| 0)).map_ok(drop)
    }
}
