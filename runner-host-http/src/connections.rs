//! Connections: how many there are and whose, so that no grant has them all; and one by one, from a name to TLS.
//!
//! A connection holds its seat for as long as it is open, whoever uses it. Where all seats are taken, the connections that
//! nobody has used for longest are closed for the one that is wanted.

use std::collections::HashMap;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::{Either as EitherBody, Empty};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tower::Service;
use url::Url;

use crate::address::Range;
use crate::body::{BoxError, Outgoing};
use crate::error::{Error, ErrorKind};
use crate::grant::Caps;
use crate::resolve::Checked;
use crate::secrets::Redactor;

/// Bytes of a response that the other side may send before a guest reads them, over HTTP/2.
const STREAM_BYTES: u32 = 128 << 10;

/// The same for all responses of one connection.
const CONNECTION_BYTES: u32 = 4 << 20;

/// What is read of a connection at once beside the headers: the first line, and the end of each.
const LINE_BYTES: usize = 8 << 10;

/// What HTTP/2 counts for each header beside what [`Caps::header_bytes`] does (RFC 9113, 6.5.2), for as many as there may be:
/// so that the number that is met is ours.
const LIST_BYTES: u64 = 32 * HEADERS_MAX as u64;

/// How long an unused connection stays open.
const IDLE: Duration = Duration::from_secs(90);

/// How often a connection that is silent is asked whether it is still there, and how often in vain.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVES_MAX: u32 = 3;

/// Ways to one origin that are kept: one for each set of ranges that rules grant there.
const LINES_MAX: usize = 16;

/// A request's body as it is sent.
pub(crate) type Sending = EitherBody<Outgoing, Empty<Bytes>>;

/// The seats of a client, for the connections of all grants.
pub(crate) struct Seats {
    free: Arc<Semaphore>,
    max: u32,
    /// Rings for one who waits when an exchange has ended: a connection may be closed then.
    rested: Notify,
    /// Guards the lines that have connections, with how many those are. As many as there are seats at most.
    taken: Mutex<HashMap<u64, (Arc<Uses>, usize)>>,
    /// Numbers shares, lines, and their uses in order.
    count: AtomicU64,
}

impl Seats {
    pub(crate) fn new(max: u32) -> Arc<Self> {
        let free = Arc::new(Semaphore::new((max as usize).min(Semaphore::MAX_PERMITS)));
        let (rested, taken) = (Notify::new(), Mutex::default());
        Arc::new(Seats { free, max, rested, taken, count: AtomicU64::new(0) })
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<u64, (Arc<Uses>, usize)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes unused connections of one line: of the one that nobody has used for longest, those that are in use last.
    fn close_unused(&self, share: Option<u64>) {
        let candidate = {
            let taken = self.taken();
            let unused = taken.values().filter(|(uses, open)| {
                share.is_none_or(|share| uses.share == share)
                    && *open > uses.under_way()
                    && !uses.is_closing.load(Ordering::Relaxed)
            });
            let longest = unused.min_by_key(|(uses, _)| (uses.under_way() > 0, uses.used_last.load(Ordering::Relaxed)));
            longest.map(|(uses, _)| Arc::clone(uses))
        };
        if let Some(uses) = candidate {
            uses.is_closing.store(true, Ordering::Relaxed);
            if let Some(place) = uses.place.upgrade() {
                place.hang_up(uses.id);
            }
        }
    }

    /// Waits for one of these seats, for as long as whoever asks has patience.
    async fn sit(&self, free: &Arc<Semaphore>, rested: &Notify, share: Option<u64>) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(free).try_acquire_owned() {
            return Some(permit);
        }
        let mut sitting = pin!(Arc::clone(free).acquire_owned());
        loop {
            self.close_unused(share);
            tokio::select! {
                biased;
                permit = &mut sitting => return permit.ok(),
                () = rested.notified() => {}
            }
        }
    }
}

/// The part of the seats that one grant may have.
pub(crate) struct Share {
    seats: Arc<Seats>,
    id: u64,
    free: Arc<Semaphore>,
    max: u32,
    rested: Notify,
}

impl Share {
    pub(crate) fn new(seats: &Arc<Seats>, max: u32) -> Arc<Self> {
        let free = Arc::new(Semaphore::new((max as usize).min(Semaphore::MAX_PERMITS)));
        Arc::new(Share { id: seats.next(), seats: Arc::clone(seats), free, max, rested: Notify::new() })
    }

    /// A seat for a connection of a line.
    async fn seat(&self, uses: &Arc<Uses>, until: Instant) -> Result<Seat, Error> {
        let busy = |max: u32, whose: &str| {
            let message = format!("{max} connections {whose} are open and in use, the most there may be");
            Error::new(ErrorKind::ConnectBusy, message)
        };
        let mine = self.seats.sit(&self.free, &self.rested, Some(self.id));
        let Ok(Some(mine)) = timeout_at(until, mine).await else { return Err(busy(self.max, "of the grant")) };
        let all = self.seats.sit(&self.seats.free, &self.seats.rested, None);
        let Ok(Some(all)) = timeout_at(until, all).await else { return Err(busy(self.seats.max, "of the host")) };
        self.seats.taken().entry(uses.id).or_insert_with(|| (Arc::clone(uses), 0)).1 += 1;
        Ok(Seat { seats: Arc::clone(&self.seats), line: uses.id, _permits: [mine, all] })
    }
}

/// Held by a connection until it is closed.
struct Seat {
    seats: Arc<Seats>,
    line: u64,
    _permits: [OwnedSemaphorePermit; 2],
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some((_, open)) = taken.get_mut(&self.line) {
            *open -= 1;
            if *open == 0 {
                taken.remove(&self.line);
            }
        }
    }
}

/// How much one line is used.
struct Uses {
    id: u64,
    share: u64,
    place: Weak<Place>,
    under_way: AtomicUsize,
    used_last: AtomicU64,
    is_closing: AtomicBool,
}

impl Uses {
    fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }
}

/// What all exchanges with one origin have in common.
pub(crate) struct Place {
    /// Exchanges that may still be begun.
    pub(crate) turns: Arc<Semaphore>,
    /// Its URL, read and held against the origin once.
    pub(crate) base: Url,
    /// What is taken out of its answers: the secrets that may go there.
    pub(crate) redactor: Redactor,
    /// Guards the connections to it.
    lines: Mutex<Vec<Line>>,
}

/// Connections to one origin, at addresses of one set of ranges. Dropped, the unused ones are closed; the others when they
/// have done their work.
struct Line {
    granted: Vec<Range>,
    pool: Pool<Connector, Sending>,
    uses: Arc<Uses>,
}

impl Place {
    pub(crate) fn new(base: Url, exchanges: u32, redactor: Redactor) -> Arc<Self> {
        let turns = Arc::new(Semaphore::new((exchanges as usize).min(Semaphore::MAX_PERMITS)));
        Arc::new(Place { turns, base, redactor, lines: Mutex::default() })
    }

    /// The connections whose resolver gives public addresses and these; one more exchange uses them.
    pub(crate) fn line(self: &Arc<Self>, granted: &[Range], dial: &Dial) -> (Pool<Connector, Sending>, UseOfLine) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let at = lines.iter().position(|line| line.granted == granted).unwrap_or_else(|| {
            if lines.len() >= LINES_MAX {
                lines.remove(0);
            }
            lines.push(dial.line(self, granted));
            lines.len() - 1
        });
        let Line { pool, uses, .. } = &lines[at];
        uses.under_way.fetch_add(1, Ordering::Relaxed);
        (pool.clone(), UseOfLine { uses: Arc::clone(uses), share: Arc::clone(&dial.share) })
    }

    fn hang_up(&self, id: u64) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| line.uses.id != id);
    }
}

/// An exchange that uses a line.
pub(crate) struct UseOfLine {
    uses: Arc<Uses>,
    share: Arc<Share>,
}

impl Drop for UseOfLine {
    fn drop(&mut self) {
        let seats = &self.share.seats;
        self.uses.used_last.store(seats.next(), Ordering::Relaxed);
        self.uses.under_way.fetch_sub(1, Ordering::Relaxed);
        self.share.rested.notify_one();
        seats.rested.notify_one();
    }
}

/// What the connections of one grant are made with.
pub(crate) struct Dial {
    pub(crate) share: Arc<Share>,
    pub(crate) resolver: Checked,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) caps: Caps,
}

impl Dial {
    fn line(&self, place: &Arc<Place>, granted: &[Range]) -> Line {
        let uses = Arc::new(Uses {
            id: self.share.seats.next(),
            share: self.share.id,
            place: Arc::downgrade(place),
            under_way: AtomicUsize::new(0),
            used_last: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
        });
        let mut tcp = HttpConnector::new_with_resolver(self.resolver.granting(granted));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVES_MAX));
        let tls = TlsConnector::from(Arc::clone(&self.tls));
        let connector = Connector { tcp, tls, share: Arc::clone(&self.share), uses: Arc::clone(&uses) };
        let header_bytes = usize::try_from(self.caps.header_bytes).unwrap_or(usize::MAX);
        let mut pool = Pool::builder(TokioExecutor::new());
        pool.timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(self.caps.connections_per_host as usize)
            .http1_max_headers(HEADERS_MAX)
            // As little lies here unread of a body as of the headers.
            .http1_max_buf_size(header_bytes.saturating_add(LINE_BYTES))
            // What may lie here unread, for one exchange and for all that share a connection.
            .http2_initial_stream_window_size(STREAM_BYTES)
            .http2_initial_connection_window_size(CONNECTION_BYTES)
            .http2_max_header_list_size(u32::try_from(self.caps.header_bytes + LIST_BYTES).unwrap_or(u32::MAX));
        Line { granted: granted.to_vec(), pool: pool.build(connector), uses }
    }
}

/// Lines of headers in one response: five times what is usual among servers, and 64 KiB while they are read.
pub(crate) const HEADERS_MAX: usize = 512;

tokio::task_local! {
    /// When the request that is being sent must have its connection: a pool knows one time for all its requests.
    pub(crate) static CONNECTED_BY: Instant;
}

/// Makes connections of one line.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector<Checked>,
    tls: TlsConnector,
    share: Arc<Share>,
    uses: Arc<Uses>,
}

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // The pool begins to connect within the request's own future, where this is set.
        let until = CONNECTED_BY.try_with(|until| *until);
        let (tls, share, uses) = (self.tls.clone(), Arc::clone(&self.share), Arc::clone(&self.uses));
        let connecting = self.tcp.call(uri.clone());
        Box::pin(async move {
            let until = until.map_err(|_| Error::new(ErrorKind::Internal, "a connection that no request is for"))?;
            let seat = share.seat(&uses, until).await?;
            let late = |_| Error::new(ErrorKind::ConnectTimeout, "no connection in time");
            let stream = timeout_at(until, connecting).await.map_err(late)??.into_inner();
            if uri.scheme_str() != Some("https") {
                return Ok(Wire { io: TokioIo::new(Either::Left(stream)), is_http2: false, _seat: seat });
            }
            let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(host.to_owned())?;
            let stream = timeout_at(until, tls.connect(name, stream)).await.map_err(late)??;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Wire { io: TokioIo::new(Either::Right(Box::new(stream))), is_http2, _seat: seat })
        })
    }
}

/// An open connection, in its seat.
pub(crate) struct Wire {
    io: TokioIo<Either<TcpStream, Box<TlsStream<TcpStream>>>>,
    is_http2: bool,
    _seat: Seat,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        match self.is_http2 {
            true => Connected::new().negotiated_h2(),
            false => Connected::new(),
        }
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }
}
