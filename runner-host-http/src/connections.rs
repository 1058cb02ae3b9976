//! Connections: how many there are and whose, so that no grant has them all.
//!
//! They belong to reqwest, which tells of none when it closes. So what is counted is the most that can be open: each line (a
//! client for one origin) holds a seat for each connection that it has made, and gives back those that it cannot need. Where
//! all seats are taken, the line that nobody has used for longest is dropped, and with it what it has open and unused.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy as Redirects;
use reqwest::retry;
use rustls::ClientConfig;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tower::{Layer, Service};
use url::Url;

use crate::address::Range;
use crate::body::BoxError;
use crate::clock::{after, is_past};
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

/// How long a connection may be on its way back from an exchange that has ended to those that are unused. It takes as long as
/// a task of the runtime's.
const RETURN: Duration = Duration::from_secs(1);

/// Ways to one origin that are kept: one for each set of ranges that rules grant there.
const LINES_MAX: usize = 16;

/// Lines of headers in one response: five times what is usual among servers, and 64 KiB while they are read.
pub(crate) const HEADERS_MAX: usize = 512;

/// Locks what no panic leaves half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn permits(count: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((count as usize).min(Semaphore::MAX_PERMITS)))
}

/// The seats of a client, for the connections of all grants.
pub(crate) struct Seats {
    free: Arc<Semaphore>,
    max: u32,
    /// Rings for one who waits when an exchange has ended: a connection may be closed then.
    rested: Notify,
    /// Guards the lines that hold seats: as many as there are seats at most.
    taken: Mutex<HashMap<u64, Arc<Uses>>>,
    /// Numbers shares, lines, and their uses in order.
    count: AtomicU64,
}

impl Seats {
    pub(crate) fn new(max: u32) -> Arc<Self> {
        let (rested, taken) = (Notify::new(), Mutex::default());
        Arc::new(Seats { free: permits(max), max, rested, taken, count: AtomicU64::new(0) })
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// Closes unused connections of one line: of the one that nobody has used for longest, those that are in use last.
    fn close_unused(&self, share: Option<u64>) {
        let taken: Vec<Arc<Uses>> = lock(&self.taken).values().cloned().collect();
        let unused = taken.iter().filter(|uses| share.is_none_or(|share| uses.share == share));
        let candidates = unused.filter_map(|uses| lock(&uses.state).rest().map(|rest| (rest, uses)));
        if let Some((_, uses)) = candidates.min_by_key(|(rest, _)| *rest) {
            uses.hang_up();
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
        Arc::new(Share { id: seats.next(), seats: Arc::clone(seats), free: permits(max), max, rested: Notify::new() })
    }

    async fn seat(&self, until: Instant) -> Result<Seat> {
        let busy = |max: u32, whose: &str| {
            let message = format!("{max} connections {whose} are open and in use, the most there may be");
            Error::new(ErrorKind::ConnectBusy, message)
        };
        let mine = self.seats.sit(&self.free, &self.rested, Some(self.id));
        let Ok(Some(mine)) = timeout_at(until, mine).await else { return Err(busy(self.max, "of the grant")) };
        let all = self.seats.sit(&self.seats.free, &self.seats.rested, None);
        let Ok(Some(all)) = timeout_at(until, all).await else { return Err(busy(self.seats.max, "of the host")) };
        Ok(Seat { _mine: mine, _all: all })
    }
}

/// A connection's place among those of its grant, and of all.
struct Seat {
    _mine: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// How much one line is used.
struct Uses {
    id: u64,
    share: u64,
    seats: Arc<Seats>,
    place: Weak<Place>,
    /// Those that may be under way.
    exchanges: usize,
    /// Guards what it counts.
    state: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    /// As many as connections can be open, beside those that are being made.
    seats: Vec<Seat>,
    /// Exchanges, and those of them that have no answer yet. The latter keep the client.
    under_way: usize,
    unanswered: usize,
    /// When the connections of the last that have ended are back, by number as many as there may be.
    back_by: VecDeque<Instant>,
    used_last: u64,
    /// That the line is dropped: what is not in use is closed.
    is_over: bool,
}

impl Counted {
    /// How well unused connections of it can be closed, if it has any: the less the better.
    fn rest(&self) -> Option<(bool, u64)> {
        let has_unused = self.seats.len() > self.under_way && self.unanswered == 0;
        (has_unused && !self.is_over).then_some((self.under_way > 0, self.used_last))
    }
}

impl Uses {
    /// Gives back the seats beyond what connections can be open.
    fn shrink(&self, counted: &mut Counted, most: usize) {
        let had = counted.seats.len();
        counted.seats.truncate(most);
        if had > 0 && counted.seats.is_empty() {
            lock(&self.seats.taken).remove(&self.id);
        }
    }

    /// The same once the line is dropped: unused connections go with the last that has the client.
    fn shrink_if_over(&self, counted: &mut Counted) {
        if counted.is_over && counted.unanswered == 0 {
            self.shrink(counted, counted.under_way);
        }
    }

    /// Before a connection is made for an exchange: none was unused. So there is one for each other exchange at most, and
    /// those on their way back.
    fn dialling(&self) {
        let counted = &mut *lock(&self.state);
        counted.back_by.retain(|back| !is_past(*back));
        let most = counted.under_way.saturating_sub(1) + counted.back_by.len();
        self.shrink(counted, most);
    }

    /// A connection was made. The client keeps as many unused as may be in use, so more than twice that are never open.
    fn dialled(self: &Arc<Self>, seat: Seat) {
        let counted = &mut *lock(&self.state);
        if counted.seats.len() < self.exchanges.saturating_mul(2) {
            if counted.seats.is_empty() {
                lock(&self.seats.taken).insert(self.id, Arc::clone(self));
            }
            counted.seats.push(seat);
        }
        self.shrink_if_over(counted);
    }

    /// Drops the line.
    fn hang_up(&self) {
        let Some(place) = self.place.upgrade() else { return };
        let mut lines = lock(&place.lines);
        let line = lines.iter().position(|line| line.uses.0.id == self.id).map(|at| lines.remove(at));
        drop(lines);
        drop(line);
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
    client: Client,
    /// After the client, so that what it has is closed before its seats are given back.
    uses: UsesOfLine,
}

struct UsesOfLine(Arc<Uses>);

impl Drop for UsesOfLine {
    fn drop(&mut self) {
        let counted = &mut *lock(&self.0.state);
        counted.is_over = true;
        self.0.shrink_if_over(counted);
    }
}

impl Place {
    pub(crate) fn new(base: Url, exchanges: u32, redactor: Redactor) -> Arc<Self> {
        Arc::new(Place { turns: permits(exchanges), base, redactor, lines: Mutex::default() })
    }

    /// The client whose resolver gives public addresses and these; one more exchange uses it.
    pub(crate) fn line(self: &Arc<Self>, granted: &[Range], dial: &Dial) -> Result<(Client, UseOfLine)> {
        let mut lines = lock(&self.lines);
        let at = match lines.iter().position(|line| line.granted == granted) {
            Some(at) => at,
            None => {
                let line = dial.line(self, granted)?;
                if lines.len() >= LINES_MAX {
                    lines.remove(0);
                }
                lines.push(line);
                lines.len() - 1
            }
        };
        let Line { client, uses: UsesOfLine(uses), .. } = &lines[at];
        let counted = &mut *lock(&uses.state);
        counted.under_way += 1;
        counted.unanswered += 1;
        let (uses, share) = (Arc::clone(uses), Arc::clone(&dial.share));
        Ok((client.clone(), UseOfLine { uses, share, is_answered: false, comes_back: true }))
    }
}

/// An exchange that uses a line.
pub(crate) struct UseOfLine {
    uses: Arc<Uses>,
    share: Arc<Share>,
    is_answered: bool,
    /// Whether its connection may be used again.
    comes_back: bool,
}

impl UseOfLine {
    /// It has its answer, and the client no more. A connection that the answer ends does not come back (RFC 9112, 9.3).
    pub(crate) fn answered(&mut self, comes_back: bool) {
        let counted = &mut *lock(&self.uses.state);
        counted.unanswered -= usize::from(!self.is_answered);
        (self.is_answered, self.comes_back) = (true, comes_back);
        self.uses.shrink_if_over(counted);
    }
}

impl Drop for UseOfLine {
    fn drop(&mut self) {
        let (uses, seats) = (&self.uses, &self.share.seats);
        let counted = &mut *lock(&uses.state);
        counted.unanswered -= usize::from(!self.is_answered);
        counted.under_way -= 1;
        counted.used_last = seats.next();
        if self.comes_back {
            if counted.back_by.len() >= uses.exchanges {
                counted.back_by.pop_front();
            }
            counted.back_by.push_back(after(RETURN));
        }
        uses.shrink_if_over(counted);
        self.share.rested.notify_one();
        seats.rested.notify_one();
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
    fn line(&self, place: &Arc<Place>, granted: &[Range]) -> Result<Line> {
        let exchanges = self.caps.connections_per_host as usize;
        let uses = Arc::new(Uses {
            id: self.share.seats.next(),
            share: self.share.id,
            seats: Arc::clone(&self.share.seats),
            place: Arc::downgrade(place),
            exchanges,
            state: Mutex::default(),
        });
        let client = Client::builder()
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
            .connector_layer(Seated { share: Arc::clone(&self.share), uses: Arc::clone(&uses) })
            .pool_max_idle_per_host(exchanges)
            .pool_idle_timeout(IDLE)
            .http1_max_headers(HEADERS_MAX)
            // What may lie here unread, for one exchange and for all that share a connection.
            .http2_initial_stream_window_size(STREAM_BYTES)
            .http2_initial_connection_window_size(CONNECTION_BYTES)
            .http2_max_header_list_size(u32::try_from(self.caps.header_bytes + LIST_BYTES).unwrap_or(u32::MAX))
            .tls_backend_preconfigured(self.tls.clone())
            .build()
            .map_err(|error| Error::new(ErrorKind::Internal, format!("no client could be made: {error}")))?;
        Ok(Line { granted: granted.to_vec(), client, uses: UsesOfLine(uses) })
    }
}

tokio::task_local! {
    /// When the request that is being sent must have its connection: a client knows one time for all its requests.
    pub(crate) static CONNECTED_BY: Instant;
}

/// Gives each connection of a line a seat, and the time that its request has.
#[derive(Clone)]
struct Seated {
    share: Arc<Share>,
    uses: Arc<Uses>,
}

impl<S> Layer<S> for Seated {
    type Service = Dialling<S>;

    fn layer(&self, inner: S) -> Dialling<S> {
        Dialling { inner, seated: self.clone() }
    }
}

#[derive(Clone)]
struct Dialling<S> {
    inner: S,
    seated: Seated,
}

impl<S, R> Service<R> for Dialling<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: Send,
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
        let until = CONNECTED_BY.try_with(|until| *until);
        let Seated { share, uses } = self.seated.clone();
        uses.dialling();
        let connecting = self.inner.call(request);
        Box::pin(async move {
            let until = until.map_err(|_| Error::new(ErrorKind::Internal, "a connection that no request is for"))?;
            let seat = share.seat(until).await?;
            let late = |_| Error::new(ErrorKind::ConnectTimeout, "no connection in time");
            let connected = timeout_at(until, connecting).await.map_err(late)??;
            uses.dialled(seat);
            Ok(connected)
        })
    }
}
