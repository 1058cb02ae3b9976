//! Connections: ways to origins, and the clients that dial.
//!
//! They belong to reqwest, which tells of none when it closes. So each has a client to itself, in a seat (`seats.rs`): whoever
//! drops the client has the connection closed. A client is in use for as long as its exchange is, and rests between two.
//! Exchanges over HTTP/2 share one, once its first answer says that it speaks it.
//!
//! For a moment there are two to a seat: one that is closing, or on its way back, and the one that is made meanwhile.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy as Redirects;
use reqwest::retry;
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tower::{Layer, Service};
use url::Url;

use crate::address::Range;
use crate::body::BoxError;
use crate::error::{Error, ErrorKind, Result};
use crate::grant::Caps;
use crate::resolve::Checked;
use crate::seats::{Dialler, Given, InUse, Share, Slot, lock};
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

/// How long one who shares a client waits for the connection that another makes, before it looks whether that has one for
/// itself.
const TURN: Duration = Duration::from_secs(1);

/// How long a connection lives whose other side takes nothing of what was sent (Linux's `TCP_USER_TIMEOUT`): one that is to be
/// closed writes first what it has.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const STALLED: Duration = Duration::from_secs(30);

/// Ways to one origin that are kept: one for each set of ranges that rules grant there.
const LINES_MAX: usize = 16;

/// Lines of headers in one response: five times what is usual among servers, and 64 KiB while they are read.
pub(crate) const HEADERS_MAX: usize = 512;

pub(crate) fn permits(count: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((count as usize).min(Semaphore::MAX_PERMITS)))
}

/// What all exchanges with one origin have in common.
pub(crate) struct Place {
    /// Exchanges that may still be begun.
    pub(crate) turns: Arc<Semaphore>,
    /// Its URL, read and held against the origin once.
    pub(crate) base: Url,
    /// What is taken out of its answers: the secrets that may go there.
    pub(crate) redactor: Redactor,
    /// Guards the ways to it, the one that was used last at the end.
    lines: Mutex<Vec<Arc<Line>>>,
}

impl Place {
    pub(crate) fn new(base: Url, exchanges: u32, redactor: Redactor) -> Arc<Self> {
        Arc::new(Place { turns: permits(exchanges), base, redactor, lines: Mutex::default() })
    }

    /// The way whose resolver gives public addresses and these.
    pub(crate) fn line(&self, granted: &[Range], share: &Arc<Share>) -> Arc<Line> {
        let mut lines = lock(&self.lines);
        if let Some(last) = lines.last().filter(|line| line.granted == granted) {
            return Arc::clone(last);
        }
        let line = match lines.iter().position(|line| line.granted == granted) {
            Some(at) => lines.remove(at),
            None => Arc::new(Line { id: share.seats.next(), share: Arc::clone(share), granted: granted.to_vec() }),
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
    pub(crate) id: u64,
    pub(crate) share: Arc<Share>,
    granted: Vec<Range>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.share.seats.forget(self.id);
    }
}

impl Line {
    /// A client for an exchange, which waits for its seat for as long as it may.
    pub(crate) async fn client(self: Arc<Self>, dial: &Dial, until: Instant) -> Result<InUse> {
        match self.share.given(&self, until).await? {
            Given::Client(in_use) => Ok(in_use),
            Given::Seat(seat) => Ok(InUse::of(&self, dial.client(&self.granted)?, seat)),
        }
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
            .connector_layer(InTime { turns: permits(1) })
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE)
            .http1_max_headers(HEADERS_MAX)
            // What may lie here unread, for one exchange and for all that share a connection.
            .http2_initial_stream_window_size(STREAM_BYTES)
            .http2_initial_connection_window_size(CONNECTION_BYTES)
            .http2_max_header_list_size(u32::try_from(self.caps.header_bytes + LIST_BYTES).unwrap_or(u32::MAX))
            .tls_backend_preconfigured(self.tls.clone());
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        let client = client.tcp_user_timeout(STALLED);
        client.build().map_err(|error| Error::new(ErrorKind::Internal, format!("no client could be made: {error}")))
    }
}

tokio::task_local! {
    /// Of the request that is being sent, while it is polled.
    pub(crate) static WANTED: Wanted;
}

/// How a request wants its connection: a client knows one time for all its requests.
pub(crate) struct Wanted {
    until: Instant,
    slot: Weak<Slot>,
    /// Once it is its turn to connect, until it is answered: the others find the connection meanwhile.
    turn: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Wanted {
    pub(crate) fn new(until: Instant, slot: &Arc<Slot>) -> Self {
        Wanted { until, slot: Arc::downgrade(slot), turn: Mutex::default() }
    }
}

/// Makes connections in time, one after the other, for as long as the request waits for them that began to.
///
/// A request that finds another connection meanwhile leaves its own to a task, so as to keep it for later: there it ends.
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
        let wanted = WANTED.try_with(|wanted| (wanted.until, Weak::clone(&wanted.slot)));
        let (turns, connecting) = (Arc::clone(&self.turns), self.inner.call(request));
        let nobody = || Error::new(ErrorKind::Internal, "a connection that no request wants");
        Box::pin(async move {
            let (until, slot) = wanted.map_err(|_| nobody())?;
            let in_turn = async move {
                let dialler = Dialler::new(slot);
                // One that dials again has it already.
                let has_turn = WANTED.try_with(|wanted| lock(&wanted.turn).is_some()).unwrap_or(false);
                if !has_turn {
                    let mut acquire = pin!(turns.acquire_owned());
                    let turn = loop {
                        match timeout(TURN, &mut acquire).await {
                            Ok(turn) => break turn.map_err(|_| nobody())?,
                            // Who has it may have a connection, and wait for an answer that does not come.
                            Err(_) => dialler.may()?,
                        }
                    };
                    WANTED.try_with(|wanted| *lock(&wanted.turn) = Some(turn)).map_err(|_| nobody())?;
                }
                dialler.may()?;
                connecting.await
            };
            let mut in_time = pin!(timeout_at(until, in_turn));
            poll_fn(|cx| match WANTED.try_with(|_| ()) {
                Ok(()) => in_time.as_mut().poll(cx),
                Err(_) => Poll::Ready(Ok(Err(nobody().into()))),
            })
            .await
            .map_err(|_| Error::new(ErrorKind::ConnectTimeout, "no connection in time"))?
        })
    }
}
