//! A real server on this machine: it answers as a test says, goes wrong as a test says, and remembers what it was asked.
//!
//! Guests reach it over the network, by whatever carries their requests; it knows neither guests nor hosts.

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use runner_host_http::Rule;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::error::{Error, Result};

/// Requests that a server remembers; those after it are answered with 507.
const REQUESTS_MAX: usize = 10_000;

/// How long a listener waits after a connection that could not be taken: files may be closed meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Bytes of a request's body that a server takes; beyond it the connection ends.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A server on a port of its own on the loopback address, HTTP/1.1. Clones are the same server; it ends with the last of
/// them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> runner_test::Result<()> {
/// use runner_test::{Answer, Server};
///
/// let server = Server::start().await?;
/// // First it is busy, and from then on it answers.
/// server.answer("GET /rates", [Answer::status(503), Answer::text("1.08")]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server(Arc<Running>);

struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Ends the listener, and with it every connection.
    _listener: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<Vec<Script>>,
    seen: Mutex<Vec<Request>>,
}

/// What is answered to one method and path.
struct Script {
    route: Route,
    answers: VecDeque<Answer>,
}

#[derive(Clone, PartialEq, Eq)]
struct Route {
    method: Method,
    path: String,
}

impl Route {
    #[track_caller]
    fn parse(text: &str) -> Self {
        let parts = text.split_once(' ').filter(|(_, path)| path.starts_with('/'));
        let method = parts.and_then(|(method, _)| Method::from_bytes(method.as_bytes()).ok());
        match (method, parts) {
            (Some(method), Some((_, path))) => Route { method, path: path.to_owned() },
            _ => panic!("route `{text}` is none: expected a method and a path, as in `GET /rates`"),
        }
    }

    /// A route with a query is for that query; one without is for all.
    fn is_for(&self, request: &Request) -> bool {
        let asked = if self.path.contains('?') { request.path.as_str() } else { request.path_without_query() };
        self.method == request.method && self.path == asked
    }
}

impl Server {
    /// Starts a server, which answers everything with 404.
    ///
    /// # Errors
    /// Where this machine gives it no port.
    pub async fn start() -> Result<Self> {
        let refused = |error: io::Error| Error::host("the server has no port on 127.0.0.1").caused_by(error);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let shared = Arc::<Shared>::default();
        let (mut running, answering) = (JoinSet::new(), Arc::clone(&shared));
        running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&answering)))),
                        // Of one connection, or of the moment: the server is there for the next one.
                        Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Server(Arc::new(Running { address, shared, _listener: running })))
    }

    /// Says what is answered to a method and a path, in the place of what was said before: answers one after the other, of
    /// which the last one stays. A route without a query is for every query.
    ///
    /// # Panics
    /// Where the route is not one, such as `GET /rates`, and where there are no answers.
    #[track_caller]
    pub fn answer(&self, route: &str, answers: impl Into<Answers>) {
        let (route, Answers(answers)) = (Route::parse(route), answers.into());
        assert!(!answers.is_empty(), "`{} {}` has no answers: give one or more", route.method, route.path);
        let mut scripts = self.0.shared.scripts();
        scripts.retain(|script| script.route != route);
        scripts.push(Script { route, answers: answers.into() });
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.address)
    }

    /// The address of a path by a name that was given to the server, see
    /// [`HostBuilder::http_as`](crate::HostBuilder::http_as).
    pub fn url_as(&self, name: &str, path: &str) -> String {
        format!("http://{name}:{}{path}", self.0.address.port())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.0.address.port()
    }

    /// What a grant says to allow everything of this server, by its address.
    pub fn rule(&self) -> Rule {
        self.rule_as("127.0.0.1")
    }

    pub(crate) fn rule_as(&self, name: &str) -> Rule {
        let rule =
            Rule::host(name).and_then(|rule| rule.http().port(self.port()).methods(["*"])?.addresses(["127.0.0.1"]));
        rule.unwrap_or_else(|error| panic!("host `{name}` is none: {error}"))
    }

    /// All requests so far, in the order in which they were read to their end.
    pub fn requests(&self) -> Vec<Request> {
        self.0.shared.seen().clone()
    }

    /// The one request to a route.
    ///
    /// # Panics
    /// Where there were none, or more than one.
    #[track_caller]
    pub fn request(&self, route: &str) -> Request {
        let (parsed, seen) = (Route::parse(route), self.requests());
        let mut found = seen.iter().filter(|request| parsed.is_for(request));
        match (found.next(), found.next()) {
            (Some(request), None) => request.clone(),
            (first, _) => {
                let number = if first.is_some() { "several" } else { "none" };
                panic!("expected one request `{route}`, found {number}\n  the server saw:{}", listed(&seen))
            }
        }
    }

    /// Holds what the server was asked against what was expected: method, path and query of each request, in order.
    ///
    /// # Panics
    /// Where they differ, with both.
    #[track_caller]
    pub fn assert_requests<'a>(&self, expected: impl IntoIterator<Item = &'a str>) {
        let (expected, seen): (Vec<_>, _) = (expected.into_iter().collect(), self.requests());
        let found: Vec<_> = seen.iter().map(Request::line).collect();
        if found != expected {
            let expected: String = expected.iter().map(|line| format!("\n    {line}")).collect();
            panic!("the server was asked for something else\n  expected:{expected}\n  found:{}", listed(&seen));
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.0.address)
    }
}

fn listed(seen: &[Request]) -> String {
    match seen {
        [] => " nothing".to_owned(),
        seen => seen.iter().map(|request| format!("\n    {}", request.line())).collect(),
    }
}

/// A request as the server saw it, with its secrets filled in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as much as arrived.
    pub body: Bytes,
    /// Whether the body came to its end.
    pub is_whole: bool,
}

impl Request {
    /// Method, path and query: `GET /rates?from=eur`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn path_without_query(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// A header's value, where there is one of that name; of several the first.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    ///
    /// # Panics
    /// Where it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body)
            .unwrap_or_else(|_| panic!("{}: the body is no text: {:?}", self.line(), self.body))
    }

    /// The body, read from JSON.
    ///
    /// # Panics
    /// Where it is not JSON of that type.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        read(&self.line(), &self.body)
    }

    /// Holds a header against what was expected.
    ///
    /// # Panics
    /// Where it is absent, or another.
    #[track_caller]
    pub fn assert_header(&self, name: &str, expected: &str) -> &Self {
        let found = self.header(name);
        assert!(
            found == Some(expected),
            "{}: header `{name}`\n  expected: {expected:?}\n  found:    {found:?}\n  of:       {:?}",
            self.line(),
            self.headers
        );
        self
    }
}

/// Reads JSON, for an assertion.
#[track_caller]
pub(crate) fn read<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> T {
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{what}: the body is other JSON: {error}\n  found: {}", shown()))
}

/// What a server answers, and how.
#[derive(Clone)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    delay: Duration,
    /// So many bytes at a time, and the time between two of them.
    pace: Option<(usize, Duration)>,
    end: End,
    function: Option<Function>,
}

/// Makes an answer of a request.
type Function = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    /// The connection ends after so many bytes of the body; by a reset, or in an orderly way.
    Cut {
        after: usize,
        by_reset: bool,
    },
    /// There is no answer: the connection is reset.
    Reset,
    /// There is no answer: the connection stays as it is.
    Silent,
}

impl Answer {
    /// A status, such as 503, without a body.
    ///
    /// # Panics
    /// Where it is none: below 100, or above 999.
    #[track_caller]
    pub fn status(status: u16) -> Self {
        Answer {
            status: StatusCode::from_u16(status)
                .unwrap_or_else(|_| panic!("status {status} is none: expected 100 to 999")),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            delay: Duration::ZERO,
            pace: None,
            end: End::Whole,
            function: None,
        }
    }

    /// A text, with status 200.
    pub fn text(text: impl Into<String>) -> Self {
        Self::status(200).body(text.into()).header("content-type", "text/plain; charset=utf-8")
    }

    /// A value as JSON, with status 200.
    ///
    /// # Panics
    /// Where serde cannot write it.
    #[track_caller]
    pub fn json(value: impl Serialize) -> Self {
        let body =
            serde_json::to_vec(&value).unwrap_or_else(|error| panic!("the answer cannot be written as JSON: {error}"));
        Self::status(200).body(body).header("content-type", "application/json")
    }

    /// Whatever a function makes of the request.
    pub fn with(function: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Answer { function: Some(Arc::new(function)), ..Self::status(200) }
    }

    /// No answer: the connection is reset.
    pub fn reset() -> Self {
        Answer { end: End::Reset, ..Self::status(200) }
    }

    /// No answer, and no end of the connection either: the guest runs into a time-out.
    pub fn silent() -> Self {
        Answer { end: End::Silent, ..Self::status(200) }
    }

    /// With this body.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Answer { body: body.into(), ..self }
    }

    /// With another status.
    #[must_use]
    #[track_caller]
    pub fn and_status(self, status: u16) -> Self {
        Answer { status: Self::status(status).status, ..self }
    }

    /// With one more header.
    ///
    /// # Panics
    /// Where name or value are not what a header may have.
    #[must_use]
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let pair = header::HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let (name, value) = pair.unwrap_or_else(|| panic!("header `{name}: {value}` is none"));
        self.headers.append(name, value);
        self
    }

    /// Its head comes so much later.
    #[must_use]
    pub fn delayed(self, time: Duration) -> Self {
        Answer { delay: time, ..self }
    }

    /// Its body comes in pieces of so many bytes, with a pause before each but the first.
    #[must_use]
    pub fn slowly(self, bytes: usize, pause: Duration) -> Self {
        Answer { pace: Some((bytes.max(1), pause)), ..self }
    }

    /// The connection is closed after so many bytes of the body, which the guest receives.
    #[must_use]
    pub fn cut_after(self, bytes: usize) -> Self {
        Answer { end: End::Cut { after: bytes, by_reset: false }, ..self }
    }

    /// The connection is reset after so many bytes of the body, which the guest may or may not receive.
    #[must_use]
    pub fn reset_after(self, bytes: usize) -> Self {
        Answer { end: End::Cut { after: bytes, by_reset: true }, ..self }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes, {:?})", self.status, self.body.len(), self.end)
    }
}

/// Answers that are given one after the other: of one, an array, or a vector.
#[derive(Clone, Debug)]
pub struct Answers(Vec<Answer>);

impl From<Answer> for Answers {
    fn from(answer: Answer) -> Self {
        Answers(vec![answer])
    }
}

impl<const N: usize> From<[Answer; N]> for Answers {
    fn from(answers: [Answer; N]) -> Self {
        Answers(answers.into())
    }
}

impl From<Vec<Answer>> for Answers {
    fn from(answers: Vec<Answer>) -> Self {
        Answers(answers)
    }
}

impl Shared {
    fn scripts(&self) -> MutexGuard<'_, Vec<Script>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Request>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a request, and finds its answer.
    fn answer(&self, request: &Request) -> Answer {
        {
            let mut seen = self.seen();
            if seen.len() >= REQUESTS_MAX {
                return Answer::text(format!("the server remembers {REQUESTS_MAX} requests, and no more"))
                    .and_status(507);
            }
            seen.push(request.clone());
        }
        let mut scripts = self.scripts();
        // The more exact route first.
        let exact = scripts.iter().position(|script| script.route.path.contains('?') && script.route.is_for(request));
        let at = exact.or_else(|| scripts.iter().position(|script| script.route.is_for(request)));
        let answer = at.and_then(|at| {
            let answers = &mut scripts[at].answers;
            match answers.len() {
                0 | 1 => answers.front().cloned(),
                _ => answers.pop_front(),
            }
        });
        drop(scripts);
        match answer {
            Some(Answer { function: Some(function), .. }) => function(request),
            Some(answer) => answer,
            None => Answer::text(format!("no answer is given for `{}`", request.line())).and_status(404),
        }
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let by_reset = Arc::<AtomicBool>::default();
    let line = Line { stream, by_reset: Arc::clone(&by_reset) };
    let service = service_fn(move |request| respond(request, Arc::clone(&shared), Arc::clone(&by_reset)));
    // What goes wrong with a connection is the guest's to see.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(line), service).await;
}

async fn respond(
    request: http::Request<Incoming>,
    shared: Arc<Shared>,
    by_reset: Arc<AtomicBool>,
) -> io::Result<Response<Body>> {
    let request = received(request).await?;
    let Answer { status, mut headers, body, delay, pace, end, .. } = shared.answer(&request);
    if delay > Duration::ZERO {
        tokio::time::sleep(delay).await;
    }
    if end == End::Silent {
        return pending().await;
    }
    if end == End::Reset || matches!(end, End::Cut { by_reset: true, .. }) {
        by_reset.store(true, Ordering::SeqCst);
    }
    if end == End::Reset {
        return Err(io::Error::other("reset, as the test wants it"));
    }
    // Known from the beginning, so that a body that ends early is one that is missing something.
    if !headers.contains_key(header::CONTENT_LENGTH)
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let body = match (pace, end) {
        (None, End::Whole) => Full::new(body).map_err(|never| match never {}).boxed_unsync(),
        _ => in_pieces(body, pace, end),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Reads a request to its end, or as far as it comes.
async fn received(request: http::Request<Incoming>) -> io::Result<Request> {
    let (head, mut incoming) = request.into_parts();
    let (mut body, mut is_whole) = (Vec::new(), true);
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(_) => {
                is_whole = false;
                break;
            }
        }
        if body.len() > BODY_BYTES_MAX {
            return Err(io::Error::other("the body is larger than a test's server takes"));
        }
    }
    let path = head.uri.path_and_query().map_or_else(|| head.uri.to_string(), ToString::to_string);
    Ok(Request { method: head.method, path, headers: head.headers, body: body.into(), is_whole })
}

/// Time in which what was written before a cut is sent: a connection that breaks off drops what it has not sent.
const SENT_WITHIN: Duration = Duration::from_millis(20);

fn in_pieces(body: Bytes, pace: Option<(usize, Duration)>, end: End) -> Body {
    let (bytes, pause) = pace.unwrap_or((usize::MAX, Duration::ZERO));
    let (body, is_cut) = match end {
        End::Cut { after, .. } => (body.slice(..after.min(body.len())), true),
        _ => (body, false),
    };
    let pieces = futures::stream::unfold((body, true), move |(mut left, is_first)| async move {
        if left.is_empty() {
            if !is_cut {
                return None;
            }
            tokio::time::sleep(SENT_WITHIN).await;
            return Some((Err(io::Error::other("cut off, as the test wants it")), (left, false)));
        }
        if !is_first {
            tokio::time::sleep(pause).await;
        }
        let piece = left.split_to(bytes.min(left.len()));
        Some((Ok(Frame::data(piece)), (left, false)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// A connection that may end by a reset.
struct Line {
    stream: TcpStream,
    by_reset: Arc<AtomicBool>,
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.by_reset.load(Ordering::SeqCst) {
            // An orderly end would come before the reset.
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut self.stream).poll_shutdown(cx),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.by_reset.load(Ordering::SeqCst) {
            // Without it the connection ends in an orderly way, which the guest sees as an end that is too early.
            let _ = self.stream.set_zero_linger();
        }
    }
}
