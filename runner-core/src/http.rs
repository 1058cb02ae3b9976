//! A request to a guest's `wasi:http/incoming-handler`, with bodies that stream both ways.
//!
//! The guest runs on a task of its own: its deadline holds although a slow reader may not poll the response.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::oneshot;
use tracing::Instrument;
use wasmtime_wasi_http::Error as HttpError;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::call::{refused, settings};
use crate::clock::now;
use crate::error::{Error, ErrorKind, Result};
use crate::guest::Live;
use crate::instance::Instance;
use crate::limits::{Limit, LimitKind, Limits};
use crate::outcome::{Ending, Failure, Outcome};
use crate::program::{Linked, Program};
use crate::session::{Session, Setting};
use crate::tally::Tally;

/// A request to be made up and sent.
#[must_use = "a request does nothing until `send`"]
pub struct HttpCall<B> {
    program: Program,
    request: Request<B>,
    setting: Setting,
}

/// A request to a live instance, to be made up and sent.
#[must_use = "a request does nothing until `send`"]
pub struct InstanceHttp<B> {
    instance: Instance,
    request: Request<B>,
    limits: Limits,
    idempotency_key: Option<String>,
    attempt: Option<u32>,
}

/// What came of a request.
#[must_use = "the guest may still run"]
#[non_exhaustive]
pub enum HttpReply {
    /// The guest answered. It may still be writing the body, and go on after that.
    Answered {
        /// Its answer. Dropping the body before its end stops the guest.
        response: Response<Body>,
        /// How the call ends.
        ended: HttpEnded,
    },
    /// The guest ended without an answer.
    Unanswered(Outcome<()>),
}

/// How an answered call ends: awaited for its usage, or dropped by those who do not care.
pub struct HttpEnded {
    call_id: u64,
    ended: oneshot::Receiver<Ended>,
    tally: Arc<Tally>,
    /// Where no capability was told how the call ended.
    output: Option<Limit>,
    /// Closed once the body of a live instance's response was read or dropped.
    read: Option<oneshot::Receiver<()>>,
}

/// The end of the guest's task: what it did, and the instance where it was a live one that may go on.
type Ended = Result<(Outcome<()>, Option<Box<Instance>>)>;

impl HttpEnded {
    /// The call's id, before it has ended: see [`Outcome::call_id`].
    pub fn call_id(&self) -> u64 {
        self.call_id
    }

    /// Waits for the guest's end. Where the body was dropped before its end, that is [`Ending::Cancelled`].
    ///
    /// A body may turn out too long only when it is read, after the guest has ended: the reader has the error. The ending
    /// says so too, unless capabilities were closed with another by then.
    ///
    /// # Errors
    /// What a capability says that does not close.
    pub async fn outcome(self) -> Result<Outcome<()>> {
        let (outcome, _) = end_of(self.ended.await)?;
        Ok(judged(outcome, &self.tally, self.output))
    }

    /// Waits for the guest's end, and until the response was read, and gives the instance back for its next request: `None`
    /// where the guest did not return, or the request went to a fresh instance.
    ///
    /// # Errors
    /// As [`HttpEnded::outcome`].
    pub async fn reclaim(self) -> Result<(Outcome<()>, Option<Instance>)> {
        let (outcome, instance) = end_of(self.ended.await)?;
        if let Some(read) = self.read {
            // Nobody ever sends: it closes.
            let _ = read.await;
        }
        let outcome = judged(outcome, &self.tally, self.output);
        let instance = instance.filter(|_| outcome.ending.is_returned());
        Ok((outcome, instance.map(|instance| *instance)))
    }
}

fn judged(outcome: Outcome<()>, tally: &Tally, output: Option<Limit>) -> Outcome<()> {
    match output.filter(|_| tally.output.is_over() && outcome.ending.is_returned()) {
        Some(limit) => Outcome { ending: Ending::Exhausted(limit), ..outcome },
        None => outcome,
    }
}

impl<B> HttpCall<B>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(crate) fn new(program: Program, request: Request<B>) -> Self {
        let setting = Setting { limits: program.executor().limits().clone(), ..Setting::default() };
        HttpCall { program, request, setting }
    }

    settings!();

    /// Sends the request to a fresh instance and waits for the head of its response.
    ///
    /// Where a granted capability [commits](crate::Capability::commits) in its close, the whole response is held back, up
    /// to [`Limits::output_bytes`](crate::Limits::output_bytes), until it has: nobody is told of what did not happen.
    /// Dropping the future stops the guest. The deadline covers the whole exchange.
    ///
    /// # Errors
    /// `NotFound` where the module has no handler, `Invalid` for a `Host` that is none; otherwise as
    /// [`Call::run`](crate::Call::run).
    pub async fn send(self) -> Result<HttpReply> {
        let HttpCall { program, request, setting } = self;
        handles_http(&program)?;
        let request = with_authority(request)?;
        let input = weight_of_head(&request).saturating_add(setting.stdio.bytes());
        if input > setting.limits.input_bytes {
            return Ok(HttpReply::Unanswered(refused(&program, &setting.limits).map(|_| ())));
        }
        let session = Session::open(&program, &setting).await?;
        session.tally.input.spend(input);
        exchange(Guest::Fresh(Box::new(session)), request).await
    }
}

impl<B> InstanceHttp<B>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(crate) fn new(instance: Instance, request: Request<B>) -> Self {
        let limits = instance.limits().clone();
        InstanceHttp { instance, request, limits, idempotency_key: None, attempt: None }
    }

    /// What the request may use, apart from memory, tables, instances and handles. Default: the instance's limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The caller's key for work that must not be done twice; capabilities see it.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Which attempt at the same work this is, from 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// Sends the request, as [`HttpCall::send`] does. [`HttpEnded::reclaim`] gives the instance back; where the guest does
    /// not answer, it is gone.
    ///
    /// The capabilities are opened for this request and closed at its end; what the instance held open is closed before.
    ///
    /// # Errors
    /// As [`HttpCall::send`], and `Invalid` on an instance that has ended.
    pub async fn send(self) -> Result<HttpReply> {
        let InstanceHttp { mut instance, request, limits, idempotency_key, attempt } = self;
        handles_http(&instance.session().program)?;
        let request = with_authority(request)?;
        let input = weight_of_head(&request);
        if input > limits.input_bytes {
            return Ok(HttpReply::Unanswered(refused(&instance.session().program, &limits).map(|_| ())));
        }
        let session = instance.begin_http(&limits).await?;
        session.lend(idempotency_key.as_deref(), attempt)?;
        session.tally.input.spend(input);
        exchange(Guest::Live(Box::new(instance)), request).await
    }
}

fn handles_http(program: &Program) -> Result<()> {
    match program.linked() {
        Linked::Component { http: Some(_), .. } => Ok(()),
        _ => {
            program.find_entry("`wasi:http/incoming-handler`", |_| false)?;
            Err(Error::new(ErrorKind::NotFound, "the module has no HTTP handler"))
        }
    }
}

/// Who answers a request.
enum Guest {
    Fresh(Box<Session>),
    Live(Box<Instance>),
}

impl Guest {
    fn session(&mut self) -> &mut Session {
        match self {
            Guest::Fresh(session) => session,
            Guest::Live(instance) => instance.session(),
        }
    }
}

/// One request to its response's head, or to the end of a guest that does not answer.
async fn exchange<B>(mut guest: Guest, request: Request<B>) -> Result<HttpReply>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (reading, read) = match guest {
        Guest::Fresh(_) => (None, None),
        Guest::Live(_) => {
            let (reading, read) = oneshot::channel();
            (Some(reading), Some(read))
        }
    };
    let asked_for_head = request.method() == Method::HEAD;
    let session = guest.session();
    let holds = session.program.loans().iter().any(|loan| loan.commits);
    let (tally, call_id) = (Arc::clone(&session.tally), session.call_id());
    let output = session.limits.allowed(LimitKind::Output, session.program.executor().bounds());
    // Only capabilities are told how the call ended, and need to know what became of the answer.
    let is_lent = !session.program.loans().is_empty();
    let output = (!is_lent).then_some(output);
    let (judge, verdict) = is_lent.then(oneshot::channel).unzip();
    let judge = |verdict: Judged| {
        if let Some(judge) = judge {
            let _ = judge.send(verdict);
        }
    };
    let counted = Arc::clone(&tally);
    let request = request.map(|body| Counted {
        body: Box::pin(body.map_err(|error| HttpError::InternalError(Some(error.into().to_string())))),
        tally: counted,
    });
    let (answer, mut answered) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    // Boxed: spawning copies a future nine times.
    let guest = Box::pin(run(guest, request, answer, verdict, stopped));
    let task = async move {
        let _ = end.send(guest.await);
    };
    tokio::spawn(task.in_current_span());
    let mut stop = StopOnDrop(Some(stop));
    let answer = poll_fn(|cx| match Pin::new(&mut answered).poll(cx) {
        Poll::Ready(answer) => Poll::Ready(answer.ok()),
        Poll::Pending if tally.has_left(cx) => Poll::Ready(answered.try_recv().ok()),
        Poll::Pending => Poll::Pending,
    });
    let (head, body) = match answer.await {
        Some(Ok(response)) => response.into_parts(),
        unanswered => {
            // The guest said why it has no answer, or said nothing; a trap or limit after that says more.
            let why = unanswered.and_then(std::result::Result::err).map_or_else(silent, |code| said(&code));
            judge(Err(why.clone().into()));
            let (outcome, _) = end_of(ended.await)?;
            stop.disarm();
            return Ok(HttpReply::Unanswered(match outcome.ending {
                Ending::Returned(()) => Outcome { ending: Ending::Failed(why.into()), ..outcome },
                _ => outcome,
            }));
        }
    };
    if !holds {
        judge(Ok(()));
        let length = head.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        // A body without bytes is never polled to its end, nor is one that is not sent.
        let is_empty = body.is_end_stream() || length == Some(0);
        let is_sent = !asked_for_head && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let guest = stop.disarm().filter(|_| is_sent && !is_empty).map(|stop| StopOnDrop(Some(stop)));
        let reading = reading.filter(|_| !is_empty);
        let body = Body { body, tally: Some(Arc::clone(&tally)), left: length, guest, _reading: reading, broken: None };
        let response = Response::from_parts(head, body);
        return Ok(HttpReply::Answered { response, ended: HttpEnded { call_id, ended, tally, output, read } });
    }
    // Taken in whole while the guest writes it: only what is whole is committed.
    let tallied = Some(Arc::clone(&tally));
    let body = Body { body, tally: tallied, left: None, guest: None, _reading: reading, broken: None };
    let body = body.collect().await;
    judge(body.as_ref().map(|_| ()).map_err(|_| unfinished().into()));
    let (outcome, instance) = end_of(ended.await)?;
    stop.disarm();
    match (outcome.ending.is_returned(), body) {
        (true, Ok(body)) => {
            let (trailers, bytes) = (body.trailers().cloned(), body.to_bytes());
            let (end, ended) = oneshot::channel();
            let _ = end.send(Ok((outcome, instance)));
            let response = Response::from_parts(head, Body::whole(bytes, trailers));
            Ok(HttpReply::Answered { response, ended: HttpEnded { call_id, ended, tally, output, read: None } })
        }
        _ => Ok(HttpReply::Unanswered(outcome)),
    }
}

fn end_of(ended: Result<Ended, oneshot::error::RecvError>) -> Ended {
    ended.map_err(|error| Error::internal("the guest's task panicked, or its runtime ended").source(error))?
}

type Answer = oneshot::Sender<Result<Response<HyperOutgoingBody>, ErrorCode>>;

/// What became of the answer, for a guest that returned: the close is told of nothing else.
type Judged = std::result::Result<(), Box<Failure>>;

/// The guest's side of the exchange, from instance to close.
async fn run(
    mut guest: Guest,
    request: Request<Counted>,
    answer: Answer,
    verdict: Option<oneshot::Receiver<Judged>>,
    mut stop: oneshot::Receiver<()>,
) -> Ended {
    let live = match &guest {
        Guest::Fresh(_) => None,
        Guest::Live(instance) => Some(instance.live()),
    };
    let session = guest.session();
    let program = session.program.clone();
    let mut took = live.map(|_| Duration::ZERO);
    let handled = session.watch(async |store, started| {
        let proxy = match (program.linked(), live) {
            (Linked::Component { http: Some(proxy), .. }, None) => {
                let proxy = proxy.instantiate_async(&mut *store).await;
                took = Some(now() - started);
                proxy?
            }
            (_, Some(Live::Component(instance))) => Proxy::new(&mut *store, &instance)?,
            _ => return Err(wasmtime::Error::msg("the handler is gone")),
        };
        let mut http = store.data_mut().http_from_outside();
        let request = http.new_incoming_request(Scheme::Http, request)?;
        let out = http.new_response_outparam(answer)?;
        proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, out).await
    });
    let ran = tokio::select! {
        biased;
        // A host function's panic is no end of the response.
        ran = AssertUnwindSafe(handled).catch_unwind() => {
            ran.unwrap_or_else(|_| Err(Error::internal("the host panicked while it served the guest")))
        }
        () = stopped(&mut stop) => Ok(Ending::Cancelled),
    };
    session.instantiated(took);
    session.store().data_mut().abort_bodies();
    session.tally.set_left();
    let ran = match (ran, verdict) {
        (Ok(Ending::Returned(())), Some(mut verdict)) => {
            // A turn for the caller, who has mostly judged by then; one that stopped polling is not waited for longer than a
            // guest would be.
            tokio::task::yield_now().await;
            let judged = match verdict.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => {
                    tokio::time::timeout(session.time_left(), verdict).await.map(std::result::Result::ok)
                }
                judged => Ok(judged.ok()),
            };
            Ok(match judged {
                Ok(Some(Ok(()))) => Ending::Returned(()),
                Ok(Some(Err(failure))) => Ending::Failed(failure),
                // The caller went away before it had seen the answer.
                Ok(None) => Ending::Cancelled,
                Err(_) => session.exhausted(LimitKind::Deadline),
            })
        }
        (ran, _) => ran,
    };
    // A limit on a body shows as a broken stream to the guest, whatever it made of it.
    let ran = ran.map(|ending| match (session.tally.output.is_over(), session.tally.input.is_over()) {
        (true, _) => session.exhausted(LimitKind::Output),
        (_, true) => session.exhausted(LimitKind::Input),
        _ => ending,
    });
    match guest {
        Guest::Fresh(session) => session.finish(ran).await.map(|outcome| (outcome, None)),
        Guest::Live(instance) => instance.end_http(ran).await,
    }
}

/// Waits to be stopped; for ever, once nobody is left who might say so.
async fn stopped(stop: &mut oneshot::Receiver<()>) {
    if stop.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A guest needs an authority; a request without one is for this host.
fn with_authority<B>(mut request: Request<B>) -> Result<Request<B>> {
    if request.uri().authority().is_some() {
        return Ok(request);
    }
    match request.headers().get(header::HOST) {
        Some(host) if http::uri::Authority::try_from(host.as_bytes()).is_err() => {
            let host = String::from_utf8_lossy(host.as_bytes()).into_owned();
            return Err(Error::invalid(format!(
                "header `Host: {host}`: expected a name or an address, and a port or none"
            )));
        }
        Some(_) => {}
        None => {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
        }
    }
    Ok(request)
}

/// What the head of a request weighs against the input limit.
fn weight_of_head<B>(request: &Request<B>) -> u64 {
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    (request.method().as_str().len() + path + authority + headers) as u64
}

fn said(code: &ErrorCode) -> Failure {
    Failure {
        code: "http".to_owned(),
        message: format!("the handler answered with the error {code:?}"),
        retryable: false,
        exit_code: None,
        value: None,
    }
}

fn unfinished() -> Failure {
    Failure {
        code: "unfinished".to_owned(),
        message: "the handler did not finish its response".to_owned(),
        retryable: false,
        exit_code: None,
        value: None,
    }
}

fn silent() -> Failure {
    Failure {
        code: "no_response".to_owned(),
        message: "the handler returned without setting a response".to_owned(),
        retryable: false,
        exit_code: None,
        value: None,
    }
}

/// Stops the guest when it is dropped, unless that was disarmed.
struct StopOnDrop(Option<oneshot::Sender<()>>);

impl StopOnDrop {
    fn disarm(&mut self) -> Option<oneshot::Sender<()>> {
        self.0.take()
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(stop) = self.0.take() {
            let _ = stop.send(());
        }
    }
}

/// A request body held to the input limit.
struct Counted {
    body: Pin<Box<dyn HttpBody<Data = Bytes, Error = HttpError> + Send>>,
    tally: Arc<Tally>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = ready!(self.body.as_mut().poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) if !self.tally.input.spend(bytes_in(&frame)) => {
                Some(Err(HttpError::HttpRequestBodySize(None)))
            }
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn bytes_in(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, Bytes::len) as u64
}

/// A guest's response body, held to the call's output limit. Dropping it before its end stops the guest.
pub struct Body {
    body: HyperOutgoingBody,
    /// `None` for a body that was weighed already.
    tally: Option<Arc<Tally>>,
    /// Bytes that are still to come, where the head says so: who has them all drops the body.
    left: Option<u64>,
    /// The guest's task, until the body has ended.
    guest: Option<StopOnDrop>,
    /// Dropped with the body.
    _reading: Option<oneshot::Sender<()>>,
    /// An error to be told at the next poll: a server drops what it has not yet written when a body breaks off, and writes
    /// when it has to wait.
    broken: Option<Error>,
}

impl Body {
    fn whole(bytes: Bytes, trailers: Option<http::HeaderMap>) -> Self {
        let frames = [Some(Frame::data(bytes)), trailers.map(Frame::trailers)];
        let frames = frames.into_iter().flatten().map(Ok::<_, HttpError>);
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        Body { body, tally: None, left: None, guest: None, _reading: None, broken: None }
    }

    /// The body has ended: the guest needs no stopping any more, and may go on.
    fn let_go(&mut self) {
        if let Some(mut guest) = self.guest.take() {
            guest.disarm();
        }
        self._reading = None;
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let unfinished = "the guest did not finish its response";
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        let is_late = polled.is_pending() && self.tally.as_ref().is_some_and(|tally| tally.has_left(cx));
        if is_late {
            if !tokio::task::coop::has_budget_remaining() {
                // The channel has something, but this task has had its turn, and is woken again.
                return Poll::Pending;
            }
            // What the guest sent just before it left is there now.
            polled = Pin::new(&mut self.body).poll_frame(cx);
        }
        let polled = match polled {
            Poll::Ready(polled) => polled,
            Poll::Pending if is_late => Some(Err(HttpError::HttpProtocolError)),
            Poll::Pending => return Poll::Pending,
        };
        let error = match polled {
            Some(Ok(frame)) => {
                if self.tally.as_ref().is_none_or(|tally| tally.output.spend(bytes_in(&frame))) {
                    self.left = self.left.map(|left| left.saturating_sub(bytes_in(&frame)));
                    // Nothing comes after trailers, and whoever reads need not ask.
                    if self.left == Some(0) || frame.is_trailers() || self.body.is_end_stream() {
                        self.let_go();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                // A guest that is over its limit learns it from its broken stream, and ends with that.
                Error::exceeded("the response body is over the call's output limit")
            }
            Some(Err(error)) => Error::unavailable(unfinished).source(error),
            None => {
                self.let_go();
                return Poll::Ready(None);
            }
        };
        // It breaks off on its own; the guest needs no stopping.
        self.let_go();
        self.broken = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.broken.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
