//! A request to a guest's `wasi:http/incoming-handler`, with bodies that stream both ways.
//!
//! The guest runs on a task of its own: its deadline holds although a slow reader may not poll the response.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use wasmtime_wasi_http::Error as HttpError;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::call::settings;
use crate::clock::now;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LimitKind;
use crate::outcome::{Ending, Failure, Outcome};
use crate::program::{Linked, Program};
use crate::session::{Session, Setting};
use crate::wasi::spend;

/// A request to be made up and sent.
#[must_use = "a request does nothing until `send`"]
pub struct HttpCall<B> {
    program: Program,
    request: Request<B>,
    setting: Setting,
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
pub struct HttpEnded(oneshot::Receiver<Result<Outcome<()>>>);

impl HttpEnded {
    /// Waits for the guest's end.
    ///
    /// # Errors
    /// What a capability says that does not close; `Unavailable` where the body was dropped before its end.
    pub async fn outcome(self) -> Result<Outcome<()>> {
        self.0.await.unwrap_or_else(|_| Err(Error::unavailable("the response was dropped before its end")))
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
    /// `NotFound` where the module has no handler; otherwise as [`Call::run`](crate::Call::run).
    pub async fn send(self) -> Result<HttpReply> {
        let HttpCall { program, request, setting } = self;
        let Linked::Component { http: Some(_), .. } = program.linked() else {
            let wanted = "`wasi:http/incoming-handler`";
            program.find_entry(wanted, |_| false)?;
            return Err(Error::new(ErrorKind::NotFound, "the module has no HTTP handler"));
        };
        let holds = program.loans().iter().any(|loan| loan.commits);
        let mut session = Session::open(&program, &setting).await?;
        session.begin(&setting.limits)?;
        let output = Spending::of(&session.output_left);
        let input =
            Spending::of(&Arc::new(AtomicU64::new(setting.limits.input_bytes.saturating_sub(setting.stdio.bytes()))));
        let (answer, answered) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let request = prepare(request, &input);
        let broken = Arc::<AtomicBool>::default();
        let watch = Watch { output: output.clone(), input, broken: Arc::clone(&broken) };
        let task = tokio::spawn(async move {
            let _ = end.send(run(session, program, request, answer, watch).await);
        });
        let mut stop = StopOnDrop(Some(task.abort_handle()));
        match answered.await {
            Ok(Ok(response)) if holds => {
                // Taken in whole while the guest writes it; the guest's end then decides.
                let (head, body) = response.into_parts();
                let body = Body::new(body, output, broken, None).collect().await;
                let outcome = end_of(ended.await)?;
                stop.disarm();
                match (outcome.ending.is_returned(), body) {
                    (true, Ok(body)) => {
                        let (trailers, bytes) = (body.trailers().cloned(), body.to_bytes());
                        let (end, ended) = oneshot::channel();
                        let _ = end.send(Ok(outcome));
                        let body = Body::whole(bytes, trailers);
                        Ok(HttpReply::Answered { response: Response::from_parts(head, body), ended: HttpEnded(ended) })
                    }
                    _ => Ok(HttpReply::Unanswered(outcome)),
                }
            }
            Ok(Ok(response)) => {
                let handle = stop.disarm();
                let response = response.map(|body| Body::new(body, output, broken, handle));
                Ok(HttpReply::Answered { response, ended: HttpEnded(ended) })
            }
            Ok(Err(code)) => {
                let outcome = end_of(ended.await)?;
                stop.disarm();
                // The guest said why it has no answer; a trap or limit after that says more.
                Ok(HttpReply::Unanswered(match outcome.ending {
                    Ending::Returned(()) => Outcome { ending: Ending::Failed(said(&code)), ..outcome },
                    _ => outcome,
                }))
            }
            Err(_) => {
                let outcome = end_of(ended.await)?;
                stop.disarm();
                Ok(HttpReply::Unanswered(match outcome.ending {
                    Ending::Returned(()) => Outcome { ending: Ending::Failed(silent()), ..outcome },
                    _ => outcome,
                }))
            }
        }
    }
}

fn end_of(ended: Result<Result<Outcome<()>>, oneshot::error::RecvError>) -> Result<Outcome<()>> {
    ended.map_err(|error| Error::internal("the guest's task panicked").source(error))?
}

type Answer = oneshot::Sender<Result<Response<HyperOutgoingBody>, ErrorCode>>;

/// The two flows that limits look at.
struct Watch {
    output: Spending,
    input: Spending,
    /// Set before the store goes, and the body with it: that end of the body is no end of the response.
    broken: Arc<AtomicBool>,
}

/// The guest's side of the exchange, from instance to close.
async fn run(
    mut session: Session,
    program: Program,
    request: Request<Counted>,
    answer: Answer,
    watch: Watch,
) -> Result<Outcome<()>> {
    let Linked::Component { http: Some(proxy), .. } = program.linked() else {
        return Err(Error::internal("the handler is gone"));
    };
    let mut took = Default::default();
    let ending = session
        .watch(async |store| {
            let from = now();
            let guest = proxy.instantiate_async(&mut *store).await?;
            took = now() - from;
            let mut http = store.data_mut().http_from_outside();
            let request = http.new_incoming_request(Scheme::Http, request)?;
            let out = http.new_response_outparam(answer)?;
            guest.wasi_http_incoming_handler().call_handle(&mut *store, request, out).await
        })
        .await?;
    session.instantiated(took);
    // A limit on a body shows as a broken stream to the guest, whatever it made of it.
    let ending = match (watch.output.over(), watch.input.over()) {
        (true, _) => session.exhausted(LimitKind::Output),
        (_, true) => session.exhausted(LimitKind::Input),
        _ => ending,
    };
    watch.broken.store(!ending.is_returned(), Ordering::Release);
    let finished = session.finish(ending).await;
    finished.map_err(|(error, outcome)| error.with_outcome(outcome.map(|()| serde_json::Value::Null)))
}

/// A guest needs an authority; a request without one is for this host.
fn prepare<B>(request: Request<B>, input: &Spending) -> Request<Counted>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut request = request.map(|body| Counted {
        body: Box::pin(body.map_err(|error| HttpError::InternalError(Some(error.into().to_string())))),
        spending: input.clone(),
    });
    if request.uri().authority().is_none() && !request.headers().contains_key(header::HOST) {
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    request
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

fn silent() -> Failure {
    Failure {
        code: "no_response".to_owned(),
        message: "the handler returned without setting a response".to_owned(),
        retryable: false,
        exit_code: None,
        value: None,
    }
}

struct StopOnDrop(Option<AbortHandle>);

impl StopOnDrop {
    fn disarm(&mut self) -> Option<AbortHandle> {
        self.0.take()
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }
}

/// What a body may still carry, and whether it wanted more.
#[derive(Clone)]
struct Spending {
    left: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Spending {
    fn of(left: &Arc<AtomicU64>) -> Self {
        Spending { left: Arc::clone(left), over: Arc::default() }
    }

    /// Whether so many bytes more are within the limit.
    fn spend(&self, bytes: usize) -> bool {
        let within = spend(&self.left, bytes as u64) == bytes as u64;
        if !within {
            self.over.store(true, Ordering::Release);
        }
        within
    }

    fn over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// A request body held to the input limit.
struct Counted {
    body: Pin<Box<dyn HttpBody<Data = Bytes, Error = HttpError> + Send>>,
    spending: Spending,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = ready!(self.body.as_mut().poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) if !self.spending.spend(frame.data_ref().map_or(0, Bytes::len)) => {
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

/// A guest's response body, held to the call's output limit. Dropping it before its end stops the guest.
pub struct Body {
    body: HyperOutgoingBody,
    output: Spending,
    broken: Arc<AtomicBool>,
    /// The guest's task, until the body has ended.
    guest: Option<AbortHandle>,
}

impl Body {
    fn new(body: HyperOutgoingBody, output: Spending, broken: Arc<AtomicBool>, guest: Option<AbortHandle>) -> Self {
        // A body without bytes is never polled to its end.
        let guest = guest.filter(|_| !body.is_end_stream());
        Body { body, output, broken, guest }
    }

    fn whole(bytes: Bytes, trailers: Option<http::HeaderMap>) -> Self {
        let left = Arc::new(AtomicU64::new(u64::MAX));
        let frames = [Some(Frame::data(bytes)), trailers.map(Frame::trailers)];
        let frames = frames.into_iter().flatten().map(Ok::<_, HttpError>);
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        Body { body, output: Spending::of(&left), broken: Arc::default(), guest: None }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) if self.output.spend(frame.data_ref().map_or(0, Bytes::len)) => {
                if self.body.is_end_stream() {
                    self.guest = None;
                }
                Some(Ok(frame))
            }
            Some(Ok(_)) => Some(Err(Error::exceeded("the response body is over the call's output limit"))),
            Some(Err(error)) => {
                // The guest broke off on its own; it needs no stopping.
                self.guest = None;
                Some(Err(Error::unavailable("the guest did not finish its response").source(error)))
            }
            None => {
                self.guest = None;
                let broken = self.broken.load(Ordering::Acquire);
                broken.then(|| Err(Error::unavailable("the guest did not finish its response")))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(guest) = self.guest.take().filter(|_| !self.output.over()) {
            guest.abort();
        }
    }
}
