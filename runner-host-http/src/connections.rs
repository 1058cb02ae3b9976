//! Connections: how many there are and whose, so that no grant has them all.
//!
//! They belong to reqwest, which tells of none when it closes. So each has a client to itself, in a seat of its grant's and of
//! the host's: whoever drops the client closes the connection. A client is in use for as long as its exchange is, and rests
//! between two; where all seats are taken, the one that rested longest is dropped for the next. Exchanges over HTTP/2 share
//! one.
//!
//! For a moment a client has two connections: one that is closing, or on its way back, and the one that is made meanwhile.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Version;
use reqwest::Client;
use reqwest::redirect::Policy as Redirects;
use reqwest::retry;
use rustls::ClientConfig;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};
use url::Url;

use crate::address::Range;
use crate::body::BoxError;
use crate::error::{Error, ErrorKind, Result};
use crate::grant::Caps;
use crate::resolve::Checked;
use crate::secrets::Redactor;

/// Bytes of a response that the other side may send before a guest reads them, over HTTP/2.
const STREAM_BYTES: u32 = 128 << 10;

/// The same for all responses of one connection.
const CONNECTION_BYTES: u32 = 4 << 20;

/// What HTTP/2 counts for each header beside what [`Caps::header_bytes`] does (RFC 9113, 6.5.2), for as many as there may be:
/// so that the number that is met is ours.
const LIST_BYTES: u64 = 32 * HEADERS_MAX as u64;

/// How long an unused connection stays open.
const IDLE: Duration = Duration::from_secs(90);

/// Ways to one origin that are kept: one for each set of ranges that rules grant there.
const LINES_MAX: usize = 16;

/// Lines of headers in one response: five times what is usual among servers, and 64 KiB while they are read.
pub(crate) const HEADERS_MAX: usize = 512;

/// Locks what no panic leaves half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn permits(count: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((count as usize).min(Semaphore::MAX_PERMITS)))
}

/// The seats of a host, for the connections of all grants.
pub(crate) struct Seats {
    free: Arc<Semaphore>,
    max: u32,
    /// Rings for one who waits when a client came to rest, or went.
    rested: Notify,
    /// Guards the clients that nobody uses.
    resting: Mutex<Resting>,
    /// Numbers shares and lines.
    count: AtomicU64,
}

#[derive(Default)]
struct Resting {
    /// In the order in which they came to rest.
    slots: BTreeMap<u64, Rested>,
    by_line: HashMap<u64, VecDeque<u64>>,
    count: u64,
}

struct Rested {
    slot: Slot,
    line: u64,
    share: u64,
}

impl Resting {
    fn put(&mut self, line: &Line, slot: Slot) {
        self.count += 1;
        self.slots.insert(self.count, Rested { slot, line: line.id, share: line.share.id });
        self.by_line.entry(line.id).or_default().push_back(self.count);
    }

    fn remove(&mut self, line: u64, take: impl FnOnce(&mut VecDeque<u64>) -> Option<u64>) -> Option<Slot> {
        let numbers = self.by_line.get_mut(&line)?;
        let number = take(numbers);
        if numbers.is_empty() {
            self.by_line.remove(&line);
        }
        self.slots.remove(&number?).map(|rested| rested.slot)
    }

    /// The one of a line that was used last.
    fn last_of(&mut self, line: u64) -> Option<Slot> {
        self.remove(line, VecDeque::pop_back)
    }

    /// The one that rested longest, of one share or of all.
    fn oldest(&mut self, share: Option<u64>) -> Option<Slot> {
        let line = self.slots.values().find(|rested| share.is_none_or(|share| rested.share == share))?.line;
        self.remove(line, VecDeque::pop_front)
    }
}

impl Seats {
    pub(crate) fn new(max: u32) -> Arc<Self> {
        let (rested, resting) = (Notify::new(), Mutex::default());
        Arc::new(Seats { free: permits(max), max, rested, resting, count: AtomicU64::new(0) })
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
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

/// Why there is no seat.
enum Full {
    Grant,
    Host,
}

impl Share {
    pub(crate) fn new(seats: &Arc<Seats>, max: u32) -> Arc<Self> {
        Arc::new(Share { id: seats.next(), seats: Arc::clone(seats), free: permits(max), max, rested: Notify::new() })
    }

    fn seat(&self) -> Result<Seat, Full> {
        let mine = Arc::clone(&self.free).try_acquire_owned().map_err(|_| Full::Grant)?;
        let all = Arc::clone(&self.seats.free).try_acquire_owned().map_err(|_| Full::Host)?;
        Ok(Seat { _mine: mine, _all: all })
    }

    /// Drops a client that nobody uses, for another of this share; whether there was one.
    fn make_room(&self, full: &Full) -> bool {
        let share = matches!(full, Full::Grant).then_some(self.id);
        let oldest = lock(&self.seats.resting).oldest(share);
        oldest.is_some()
    }

    fn busy(&self, full: &Full) -> Error {
        let (max, whose) = match full {
            Full::Grant => (self.max, "of the grant"),
            Full::Host => (self.seats.max, "of the host"),
        };
        let message = format!("{max} connections {whose} are open and in use, the most there may be");
        Error::new(ErrorKind::ConnectBusy, message)
    }
}

/// A connection's place among those of its grant, and of all.
struct Seat {
    _mine: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// A client, and the connection that it has or will have.
struct Slot {
    client: Client,
    /// Whether its last answer came over HTTP/2, so that others may use it at the same time.
    is_shared: AtomicBool,
    /// After the client, so that the connection is closed before its seat is given back.
    _seat: Seat,
}

/// What all exchanges with one origin have in common.
pub(crate) struct Place {
    /// Exchanges that may still be begun.
    pub(crate) turns: Arc<Semaphore>,
    /// Its URL, read and held against the origin once.
    pub(crate) base: Url,
    /// What is taken out of its answers: the secrets that may go there.
    pub(crate) redactor: Redactor,
    /// Guards the ways to it, those that were used last at the end.
    lines: Mutex<Vec<Arc<Line>>>,
}

impl Place {
    pub(crate) fn new(base: Url, exchanges: u32, redactor: Redactor) -> Arc<Self> {
        Arc::new(Place { turns: permits(exchanges), base, redactor, lines: Mutex::default() })
    }

    /// The way whose resolver gives public addresses and these.
    pub(crate) fn line(&self, granted: &[Range], share: &Arc<Share>) -> Arc<Line> {
        let mut lines = lock(&self.lines);
        let line = match lines.iter().position(|line| line.granted == granted) {
            Some(at) => lines.remove(at),
            None => Arc::new(Line {
                id: share.seats.next(),
                share: Arc::clone(share),
                granted: granted.to_vec(),
                shared: Mutex::default(),
            }),
        };
        let forgotten = (lines.len() >= LINES_MAX).then(|| lines.remove(0));
        lines.push(Arc::clone(&line));
        drop(lines);
        drop(forgotten);
        line
    }
}

/// A way to one origin, at addresses of one set of ranges. Once nobody knows it, its clients are dropped with their exchanges.
pub(crate) struct Line {
    id: u64,
    share: Arc<Share>,
    granted: Vec<Range>,
    /// Guards the client whose connection speaks HTTP/2, while somebody uses it.
    shared: Mutex<Weak<Slot>>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let resting = || lock(&self.share.seats.resting).last_of(self.id);
        while let Some(slot) = resting() {
            drop(slot);
        }
    }
}

impl Line {
    /// A client for an exchange, which waits for its seat for as long as it may.
    pub(crate) async fn client(self: Arc<Self>, dial: &Dial, until: Instant) -> Result<InUse> {
        let (share, seats) = (&self.share, &self.share.seats);
        // Most need not wait, and nobody to wake them.
        if let Some(slot) = self.known() {
            return Ok(InUse::new(&self, slot));
        }
        loop {
            // Before it is seen that there is none, so that nothing is missed.
            let (mut mine, mut all) = (pin!(share.rested.notified()), pin!(seats.rested.notified()));
            mine.as_mut().enable();
            all.as_mut().enable();
            if let Some(slot) = self.known() {
                return Ok(InUse::new(&self, slot));
            }
            let full = match share.seat() {
                Ok(seat) => {
                    let client = dial.client(&self.granted)?;
                    let slot = Arc::new(Slot { client, is_shared: AtomicBool::new(false), _seat: seat });
                    return Ok(InUse::new(&self, slot));
                }
                Err(full) => full,
            };
            if share.make_room(&full) {
                continue;
            }
            tokio::select! {
                () = mine => {}
                () = all => {}
                () = sleep_until(until) => return Err(share.busy(&full)),
            }
        }
    }

    /// One that may be used, if there is any.
    fn known(&self) -> Option<Arc<Slot>> {
        let mut shared = lock(&self.shared);
        if let Some(slot) = shared.upgrade() {
            return Some(slot);
        }
        let slot = Arc::new(lock(&self.share.seats.resting).last_of(self.id)?);
        if slot.is_shared.load(Ordering::Relaxed) {
            *shared = Arc::downgrade(&slot);
        }
        Some(slot)
    }
}

/// A client that an exchange uses.
pub(crate) struct InUse {
    pub(crate) client: Client,
    line: Arc<Line>,
    /// `None` while it is dropped.
    slot: Option<Arc<Slot>>,
}

impl InUse {
    fn new(line: &Arc<Line>, slot: Arc<Slot>) -> Self {
        InUse { client: slot.client.clone(), line: Arc::clone(line), slot: Some(slot) }
    }

    /// What its answer came by.
    pub(crate) fn answered(&self, version: Version) {
        let Some(slot) = &self.slot else { return };
        let is_shared = version == Version::HTTP_2;
        if slot.is_shared.swap(is_shared, Ordering::Relaxed) == is_shared {
            return;
        }
        *lock(&self.line.shared) = if is_shared { Arc::downgrade(slot) } else { Weak::new() };
        // Whoever waits for a seat may have this one.
        self.line.share.rested.notify_waiters();
        self.line.share.seats.rested.notify_waiters();
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        // Of those that share it, the last one.
        let Some(slot) = self.slot.take().and_then(Arc::into_inner) else { return };
        let share = &self.line.share;
        lock(&share.seats.resting).put(&self.line, slot);
        share.rested.notify_one();
        share.seats.rested.notify_one();
    }
}

/// What the connections of one grant are made with.
pub(crate) struct Dial {
    pub(crate) share: Arc<Share>,
    pub(crate) resolver: Checked,
    pub(crate) tls: ClientConfig,
    pub(crate) caps: Caps,
}

impl Dial {
    fn client(&self, granted: &[Range]) -> Result<Client> {
        Client::builder()
            .no_proxy()
            .redirect(Redirects::none())
            .referer(false)
            .retry(retry::never())
            // Bytes are counted as they travel, whatever other crates of the program ask of reqwest.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .dns_resolver(self.resolver.granting(granted))
            .connector_layer(InTime { turns: permits(1) })
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE)
            .http1_max_headers(HEADERS_MAX)
            // What may lie here unread, for one exchange and for all that share a connection.
            .http2_initial_stream_window_size(STREAM_BYTES)
            .http2_initial_connection_window_size(CONNECTION_BYTES)
            .http2_max_header_list_size(u32::try_from(self.caps.header_bytes + LIST_BYTES).unwrap_or(u32::MAX))
            .tls_backend_preconfigured(self.tls.clone())
            .build()
            .map_err(|error| Error::new(ErrorKind::Internal, format!("no client could be made: {error}")))
    }
}

tokio::task_local! {
    /// Of the request that is being sent.
    pub(crate) static WANTED: Wanted;
}

/// How a request wants its connection: a client knows one time for all its requests, and goes on with what nobody wants.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) until: Instant,
    /// Cancelled when it has its answer, or is given up.
    pub(crate) no_more: CancellationToken,
}

/// Makes connections in time, one after the other, for as long as somebody wants them.
#[derive(Clone)]
struct InTime {
    turns: Arc<Semaphore>,
}

impl<S> Layer<S> for InTime {
    type Service = Dialling<S>;

    fn layer(&self, inner: S) -> Dialling<S> {
        Dialling { inner, turns: Arc::clone(&self.turns) }
    }
}

#[derive(Clone)]
struct Dialling<S> {
    inner: S,
    turns: Arc<Semaphore>,
}

impl<S, R> Service<R> for Dialling<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // The client begins to connect within the request's own future, where this is set.
        let wanted = WANTED.try_with(Wanted::clone);
        let (turns, connecting) = (Arc::clone(&self.turns), self.inner.call(request));
        Box::pin(async move {
            let nobody = || Error::new(ErrorKind::Internal, "a connection that no request wants");
            let Wanted { until, no_more } = wanted.map_err(|_| nobody())?;
            let in_turn = async move {
                let _turn = turns.acquire_owned().await.map_err(|_| nobody())?;
                connecting.await
            };
            tokio::select! {
                biased;
                () = no_more.cancelled() => Err(nobody().into()),
                connected = timeout_at(until, in_turn) => {
                    connected.map_err(|_| Error::new(ErrorKind::ConnectTimeout, "no connection in time"))?
                }
            }
        })
    }
}
