//! Bodies on their way, both ways: counted, timed, and cut off when the call that they belong to ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::client::{Turn, check_headers};
use crate::clock::{after, is_past};
use crate::error::{Error, ErrorKind, Result};
use crate::grant::Caps;
use crate::seats::lock;
use crate::secrets::Redactor;
use crate::target::Origin;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// Who pays for what is moved.
pub trait Meter: Send + Sync + 'static {
    /// Bytes of URLs, headers, bodies and trailers, from outside to the guest and from the guest outside. False where that
    /// was too much: the exchange ends.
    fn moved(&self, bytes_in: u64, bytes_out: u64) -> bool;

    /// A redirect that was followed: a request that nobody called for.
    fn followed(&self) {}
}

/// Nobody pays.
impl Meter for () {
    fn moved(&self, _bytes_in: u64, _bytes_out: u64) -> bool {
        true
    }
}

/// What one call's exchanges have in common: who pays for them, and that they end with it.
#[derive(Clone)]
pub struct Call {
    pub(crate) meter: Arc<dyn Meter>,
    pub(crate) ended: CancellationToken,
    /// Exchanges that it may still begin.
    turns: Arc<OnceLock<Arc<Semaphore>>>,
}

impl Call {
    /// A call that somebody pays for.
    pub fn new(meter: Arc<dyn Meter>) -> Self {
        Call { meter, ended: CancellationToken::new(), turns: Arc::default() }
    }

    /// As many as whoever asks first says.
    pub(crate) fn turns(&self, max: u32) -> &Arc<Semaphore> {
        self.turns.get_or_init(|| Arc::new(Semaphore::new((max as usize).min(Semaphore::MAX_PERMITS))))
    }

    /// A part of it, which can be ended by itself.
    pub(crate) fn of_hop(&self) -> Self {
        Call { meter: Arc::clone(&self.meter), ended: self.ended.child_token(), turns: Arc::clone(&self.turns) }
    }

    /// Ends it: everything under way is aborted, and nothing more is sent.
    pub fn end(&self) {
        self.ended.cancel();
    }
}

impl Default for Call {
    fn default() -> Self {
        Call::new(Arc::new(()))
    }
}

fn late_request() -> Error {
    Error::new(ErrorKind::ResponseTimeout, "the request's body did not end in time")
}

pub(crate) fn over_account() -> Error {
    Error::new(ErrorKind::Ended, "the call has met its limit on bytes that capabilities move")
}

/// The bytes of headers or trailers, as they are counted: names, values, and 4 for each line.
pub(crate) fn header_bytes(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum()
}

/// A request's body as the client polls it.
pub(crate) struct Outgoing {
    /// Shared with who may have to send it again, as long as nothing of it was.
    inner: Arc<Mutex<RequestBody>>,
    left: u64,
    allowed: u64,
    header_bytes: u64,
    call: Ended,
    /// When the whole exchange ends, and what waits for it where the guest lets the body wait.
    ends: Instant,
    late: Option<Pin<Box<Sleep>>>,
    meter: Arc<dyn Meter>,
    sent: Arc<Sent>,
    /// Whoever answers before all is sent has not ended the exchange.
    _turn: Arc<Turn>,
}

/// The body of a request that has none: it holds the turn for as long as the client has the request.
pub(crate) struct Held {
    _turn: Arc<Turn>,
}

impl Held {
    pub(crate) fn new(turn: &Arc<Turn>) -> Self {
        Held { _turn: Arc::clone(turn) }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

/// The end of a call, as a body looks out for it: waited for only where the body has to wait itself.
struct Ended {
    token: CancellationToken,
    waiting: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Ended {
    fn of(call: &Call) -> Self {
        Ended { token: call.ended.clone(), waiting: None }
    }

    fn is_now(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Whether it has come; if not, whoever polls is woken when it does.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let token = &self.token;
        self.waiting.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned())).as_mut().poll(cx)
    }
}

/// What became of a request's body.
#[derive(Default)]
pub(crate) struct Sent {
    /// Why it broke off: the client says only that it did.
    failed: OnceLock<Error>,
    begun: AtomicBool,
    ended: AtomicBool,
}

impl Sent {
    pub(crate) fn failed(&self) -> Option<Error> {
        self.failed.get().cloned()
    }

    /// Whether it can be left out of a second request: guests ask for a body and end it at once where they have none.
    pub(crate) fn is_nothing(&self) -> bool {
        self.ended.load(Ordering::Acquire) && !self.begun.load(Ordering::Acquire)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.sent.ended.store(true, Ordering::Release);
    }
}

impl Outgoing {
    pub(crate) fn new(
        inner: Arc<Mutex<RequestBody>>,
        caps: &Caps,
        (call, ends): (&Call, Instant),
        sent: Arc<Sent>,
        turn: &Arc<Turn>,
    ) -> Self {
        let Caps { request_bytes: allowed, header_bytes, .. } = *caps;
        let meter = Arc::clone(&call.meter);
        let (call, _turn) = (Ended::of(call), Arc::clone(turn));
        Outgoing { inner, left: allowed, allowed, header_bytes, call, ends, late: None, meter, sent, _turn }
    }

    /// Why it cannot go on, where it cannot; otherwise, whoever polls is woken when it is so.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.call.poll(cx).is_ready() {
            return Poll::Ready(Error::ended());
        }
        let ends = self.ends;
        ready!(self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(ends))).as_mut().poll(cx));
        Poll::Ready(late_request())
    }

    fn account(&mut self, frame: &Frame<Bytes>) -> Result<()> {
        self.sent.begun.store(true, Ordering::Release);
        let bytes = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => {
                let bytes = data.len() as u64;
                let Some(left) = self.left.checked_sub(bytes) else {
                    let message = format!("the request's body is over {} bytes", self.allowed);
                    return Err(Error::limited(ErrorKind::RequestBodyBytes, message, self.allowed));
                };
                self.left = left;
                bytes
            }
            (None, Some(trailers)) => {
                check_headers(trailers, self.header_bytes, ErrorKind::RequestHeaderBytes, &"the end of the request")?;
                header_bytes(trailers)
            }
            (None, None) => 0,
        };
        self.meter.moved(0, bytes).then_some(()).ok_or_else(over_account)
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let result = if this.call.is_now() {
            Err(Error::ended())
        } else if is_past(this.ends) {
            Err(late_request())
        } else {
            let polled = Pin::new(&mut *lock(&this.inner)).poll_frame(cx);
            match polled {
                Poll::Pending => Err(ready!(this.poll_over(cx))),
                Poll::Ready(None) => {
                    this.sent.ended.store(true, Ordering::Release);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(frame))) => this.account(&frame).map(|()| frame),
                Poll::Ready(Some(Err(error))) => {
                    Err(Error::new(ErrorKind::RequestInvalid, format!("the request's body broke off: {error}")))
                }
            }
        };
        Poll::Ready(Some(result.map_err(|error| {
            let _ = this.sent.failed.set(error.clone());
            error.into()
        })))
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.inner).size_hint()
    }
}

/// A response's body, piece by piece as it comes, its trailers at the end.
///
/// It reads no further than its reader; dropping it closes the connection, or the stream within one, unless the request's
/// body is still sent.
pub struct Body {
    /// `None` once it is over.
    open: Option<Arc<Mutex<Open>>>,
    left: u64,
    allowed: u64,
    header_bytes: u64,
    between: Duration,
    /// When the whole exchange ends.
    ends: Instant,
    /// Where the other side lets it wait: until the pause is too long, or the exchange ends.
    pause: Option<Pin<Box<Sleep>>>,
    call: Ended,
    meter: Arc<dyn Meter>,
    redactor: Redactor,
    origin: Origin,
}

/// What of it lasts until its last byte, or its time.
#[derive(Default)]
struct Open {
    /// `None` once its time is over.
    body: Option<reqwest::Body>,
    /// Given back after it.
    _turn: Option<Arc<Turn>>,
}

/// What a [`Body`] is made of, beside the client's own.
pub(crate) struct Terms {
    pub(crate) allowed: u64,
    pub(crate) header_bytes: u64,
    pub(crate) between: Duration,
    pub(crate) redactor: Redactor,
    pub(crate) origin: Origin,
    pub(crate) turn: Arc<Turn>,
}

impl Body {
    pub(crate) fn new(inner: reqwest::Body, terms: Terms, ends: Instant, call: &Call) -> Self {
        let is_open = !inner.is_end_stream();
        let open = is_open.then(|| Arc::new(Mutex::new(Open { body: Some(inner), _turn: Some(terms.turn) })));
        Body {
            open,
            left: terms.allowed,
            allowed: terms.allowed,
            header_bytes: terms.header_bytes,
            between: terms.between,
            ends,
            pause: None,
            call: Ended::of(call),
            meter: Arc::clone(&call.meter),
            redactor: terms.redactor,
            origin: terms.origin,
        }
    }

    /// Ends it when its time is over, also where nobody reads it. It holds nothing of it until then.
    pub fn watch(&self) -> impl Future<Output = ()> + use<> {
        let (open, ends) = (self.open.as_ref().map(Arc::downgrade), self.ends);
        async move {
            let Some(open) = open else { return };
            tokio::time::sleep_until(ends).await;
            let over = open.upgrade().map(|open| std::mem::take(&mut *lock(&open)));
            drop(over);
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>> {
        let frame = match frame.into_data() {
            Ok(bytes) => {
                let length = bytes.len() as u64;
                match self.left.checked_sub(length) {
                    Some(left) => self.left = left,
                    None => return Err(over_body(&self.origin, self.allowed)),
                }
                return match self.meter.moved(length, 0) {
                    true => Ok(Frame::data(bytes)),
                    false => Err(over_account()),
                };
            }
            Err(frame) => frame,
        };
        match frame.into_trailers() {
            Ok(mut trailers) => {
                if !self.meter.moved(header_bytes(&trailers), 0) {
                    return Err(over_account());
                }
                let whose = format_args!("{}: the end of the response", self.origin);
                check_headers(&trailers, self.header_bytes, ErrorKind::ResponseHeaderBytes, &whose)?;
                self.redactor.headers(&mut trailers);
                Ok(Frame::trailers(trailers))
            }
            Err(frame) => Ok(frame),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        if self.call.is_now() {
            return Poll::Ready(Some(Err(Error::ended())));
        }
        if is_past(self.ends) {
            return Poll::Ready(Some(Err(self.late())));
        }
        let Some(open) = &self.open else { return Poll::Ready(None) };
        let mut open = lock(open);
        let Some(body) = &mut open.body else { return Poll::Ready(Some(Err(self.late()))) };
        let polled = Pin::new(body).poll_frame(cx);
        drop(open);
        match polled {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => {
                self.pause = None;
                Poll::Ready(Some(self.take(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let error = Error::from_client(error, &self.origin);
                let error = error.map_message(|text| self.redactor.text(text));
                Poll::Ready(Some(Err(match error.kind() {
                    ErrorKind::Terminated => error.with_kind(ErrorKind::ResponseIncomplete),
                    _ => error,
                })))
            }
            Poll::Pending => {
                if self.call.poll(cx).is_ready() {
                    return Poll::Ready(Some(Err(Error::ended())));
                }
                let (between, ends) = (self.between, self.ends);
                let until = || tokio::time::sleep_until(after(between).min(ends));
                ready!(self.pause.get_or_insert_with(|| Box::pin(until())).as_mut().poll(cx));
                if is_past(ends) {
                    return Poll::Ready(Some(Err(self.late())));
                }
                let message = format!("{}: the response paused for over {between:?}", self.origin);
                Poll::Ready(Some(Err(Error::new(ErrorKind::ReadTimeout, message))))
            }
        }
    }

    fn late(&self) -> Error {
        Error::new(ErrorKind::ResponseTimeout, format!("{}: the response did not end in time", self.origin))
    }
}

/// A body that is over its bound, by its own account or by what came of it.
pub(crate) fn over_body(origin: &Origin, allowed: u64) -> Error {
    let message = format!("{origin}: the response's body is over {allowed} bytes");
    Error::limited(ErrorKind::ResponseBodyBytes, message, allowed)
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        if self.open.is_none() {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_next(cx));
        if !matches!(next, Some(Ok(_))) {
            // Whatever is left of it is of no use to anybody.
            self.open = None;
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        let Some(open) = &self.open else { return true };
        lock(open).body.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let Some(open) = &self.open else { return SizeHint::with_exact(0) };
        lock(open).body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("origin", &self.origin).field("left", &self.left).finish_non_exhaustive()
    }
}
