//! What the two faces share: heads and bodies between the `http` crate's types and the host's handles.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use wasip2::http::types::{self as wasi, Fields, FutureTrailers, HeaderError, IncomingBody, OutgoingBody};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use super::body::Body;
use super::error::{Error, ErrorKind, Result};
use crate::runtime::Wait;

/// Bytes asked for at once. The host gives what it has.
const PIECE_BYTES: u64 = 64 << 10;

pub(super) fn headers_in(fields: &Fields) -> HeaderMap {
    let entries = fields.entries().into_iter();
    // The host has parsed them: none is left out.
    let parsed = entries.filter_map(|(name, value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_maybe_shared(Bytes::from(value)).ok()?))
    });
    parsed.fold(HeaderMap::new(), |mut headers, (name, value)| {
        headers.append(name, value);
        headers
    })
}

/// What is the host's to set (`connection`, `transfer-encoding`, ..) is left out, or refused.
pub(super) fn headers_out(headers: &HeaderMap, is_strict: bool) -> Result<Fields> {
    let entries: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    if let Ok(fields) = Fields::from_list(&entries) {
        return Ok(fields);
    }
    let fields = Fields::new();
    for (name, value) in &entries {
        match fields.append(name, value) {
            Ok(()) => {}
            Err(HeaderError::Forbidden) if is_strict => {
                let message = format!("header `{name}` is the host's to set: leave it out");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            Err(HeaderError::Forbidden) => {}
            Err(_) => return Err(Error::new(ErrorKind::Invalid, format!("header `{name}` is refused by the host"))),
        }
    }
    Ok(fields)
}

pub(super) fn method_out(method: &Method) -> wasi::Method {
    match *method {
        Method::GET => wasi::Method::Get,
        Method::HEAD => wasi::Method::Head,
        Method::POST => wasi::Method::Post,
        Method::PUT => wasi::Method::Put,
        Method::DELETE => wasi::Method::Delete,
        Method::CONNECT => wasi::Method::Connect,
        Method::OPTIONS => wasi::Method::Options,
        Method::TRACE => wasi::Method::Trace,
        Method::PATCH => wasi::Method::Patch,
        _ => wasi::Method::Other(method.to_string()),
    }
}

pub(super) fn method_in(method: wasi::Method) -> Result<Method> {
    Ok(match method {
        wasi::Method::Get => Method::GET,
        wasi::Method::Head => Method::HEAD,
        wasi::Method::Post => Method::POST,
        wasi::Method::Put => Method::PUT,
        wasi::Method::Delete => Method::DELETE,
        wasi::Method::Connect => Method::CONNECT,
        wasi::Method::Options => Method::OPTIONS,
        wasi::Method::Trace => Method::TRACE,
        wasi::Method::Patch => Method::PATCH,
        wasi::Method::Other(other) => {
            let message = format!("method `{other}` is none");
            Method::from_bytes(other.as_bytes()).map_err(|_| Error::new(ErrorKind::Invalid, message))?
        }
    })
}

/// Writes all of a body and ends it; false where the other side takes no more of it. One that fails is left without its end,
/// which the other side sees.
pub(super) async fn write(out: OutgoingBody, mut body: Body) -> Result<bool> {
    let mut trailers = None;
    {
        let stream = out.write().expect("the stream of a body is asked for once");
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            match frame?.into_data() {
                Ok(piece) => {
                    if !put(&stream, &piece).await {
                        return Ok(false);
                    }
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
    }
    let trailers = trailers.map(|trailers| headers_out(&trailers, true)).transpose()?;
    OutgoingBody::finish(out, trailers).map_err(|code| Error::of_code(&code))?;
    Ok(true)
}

async fn put(stream: &OutputStream, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match stream.check_write() {
            Ok(0) => Wait::new(stream.subscribe()).await,
            Ok(room) => {
                let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
                if stream.write(now).is_err() {
                    return false;
                }
                bytes = later;
            }
            Err(_) => return false,
        }
    }
    true
}

/// What is still to be written of a request while its response is read.
pub(super) type Upload = Pin<Box<dyn Future<Output = Result<bool>> + Send>>;

/// A body that the host has, or is about to have.
pub(super) struct Incoming {
    // In the order that the host wants them dropped in: what waits for a thing before the thing.
    wait: Option<Wait>,
    trailers: Option<FutureTrailers>,
    stream: Option<InputStream>,
    body: Option<IncomingBody>,
    /// Bytes that are still to come, where the head says so.
    left: Option<u64>,
    upload: Option<Upload>,
    deadline: Option<Wait>,
}

impl Incoming {
    pub(super) fn new(body: IncomingBody, left: Option<u64>) -> Self {
        let stream = body.stream().expect("the stream of a body is asked for once");
        Incoming {
            wait: None,
            trailers: None,
            stream: Some(stream),
            body: Some(body),
            left,
            upload: None,
            deadline: None,
        }
    }

    /// The same, with what is under way beside it.
    pub(super) fn beside(mut self, upload: Option<Upload>, deadline: Option<Wait>) -> Self {
        (self.upload, self.deadline) = (upload, deadline);
        self
    }

    /// What the host has next.
    fn poll_host(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(Pin::new(wait).poll(context));
                self.wait = None;
            }
            if let Some(stream) = &self.stream {
                match stream.read(PIECE_BYTES) {
                    Ok(bytes) if bytes.is_empty() => self.wait = Some(Wait::new(stream.subscribe())),
                    Ok(bytes) => {
                        self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
                        return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
                    }
                    Err(StreamError::Closed) => {
                        self.stream = None;
                        self.trailers = self.body.take().map(IncomingBody::finish);
                    }
                    Err(error) => return Poll::Ready(Some(Err(Error::of_stream(&error)))),
                }
            } else if let Some(trailers) = &self.trailers {
                return Poll::Ready(match trailers.get() {
                    None => {
                        self.wait = Some(Wait::new(trailers.subscribe()));
                        continue;
                    }
                    Some(Ok(Ok(Some(trailers)))) => Some(Ok(Frame::trailers(headers_in(&trailers)))),
                    Some(Ok(Err(code))) => Some(Err(Error::of_code(&code))),
                    // None came, or they were taken already.
                    Some(Ok(Ok(None)) | Err(())) => None,
                });
            } else {
                return Poll::Ready(None);
            }
        }
    }

    /// Lets go of everything: what comes after the end is nothing.
    fn end(&mut self) {
        (self.wait, self.trailers, self.stream, self.body) = (None, None, None, None);
        (self.left, self.upload, self.deadline) = (None, None, None);
    }
}

pub(super) fn late() -> Error {
    Error::new(ErrorKind::Timeout, "the exchange was not over within its `timeout`")
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some(upload) = &mut this.upload
            && let Poll::Ready(ended) = upload.as_mut().poll(context)
        {
            this.upload = None;
            if let Err(error) = ended {
                this.end();
                return Poll::Ready(Some(Err(error)));
            }
        }
        if this.deadline.as_ref().is_some_and(Wait::is_over) {
            this.end();
            return Poll::Ready(Some(Err(late())));
        }
        let polled = this.poll_host(context);
        match polled {
            // So that somebody is told when time is up.
            Poll::Pending => {
                if let Some(deadline) = &mut this.deadline
                    && Pin::new(deadline).poll(context).is_ready()
                {
                    this.end();
                    return Poll::Ready(Some(Err(late())));
                }
            }
            Poll::Ready(None | Some(Err(_))) => this.end(),
            Poll::Ready(Some(Ok(_))) => {}
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
