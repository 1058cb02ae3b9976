//! The client: a request goes to the host, a response comes back. It knows no policy; the host's grant is one.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use ::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body::Body as _;
use serde::Serialize;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{IncomingResponse, OutgoingRequest, RequestOptions, Scheme};

use super::body::Body;
use super::error::{Error, ErrorKind, Result};
use super::wire::{Incoming, Upload, headers_in, headers_out, late, method_out, write};
use super::{Request, Response};
use crate::runtime::{Wait, nanoseconds};

/// How long an exchange may take, each from the guest's side. The host has bounds of its own, which these do not extend.
///
/// Put into a request's extensions, [`send`] keeps them; a [`RequestBuilder`] does so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request's first byte to the response's last.
    pub total: Option<Duration>,
    /// Until the connection stands.
    pub connect: Option<Duration>,
    /// Until the response's head is there.
    pub first_byte: Option<Duration>,
    /// Between two pieces of the response's body.
    pub between_bytes: Option<Duration>,
}

/// A request that is being written. What is wrong with it is said by [`send`](RequestBuilder::send).
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    made: Result<Parts>,
    body: Body,
    timeouts: Timeouts,
}

/// A request of any method.
pub fn request(method: Method, url: impl AsRef<str>) -> RequestBuilder {
    let made = address(url.as_ref()).map(|uri| {
        let (mut parts, ()) = ::http::Request::new(()).into_parts();
        (parts.method, parts.uri) = (method, uri);
        parts
    });
    RequestBuilder { made, body: Body::empty(), timeouts: Timeouts::default() }
}

/// A GET.
///
/// ```no_run
/// # async fn ask() -> Result<(), runner::http::Error> {
/// let text = runner::http::get("https://example.com/").send().await?.into_body().text().await?;
/// # Ok(()) }
/// ```
pub fn get(url: impl AsRef<str>) -> RequestBuilder {
    request(Method::GET, url)
}

/// A HEAD.
pub fn head(url: impl AsRef<str>) -> RequestBuilder {
    request(Method::HEAD, url)
}

/// A POST.
pub fn post(url: impl AsRef<str>) -> RequestBuilder {
    request(Method::POST, url)
}

/// A PUT.
pub fn put(url: impl AsRef<str>) -> RequestBuilder {
    request(Method::PUT, url)
}

/// A PATCH.
pub fn patch(url: impl AsRef<str>) -> RequestBuilder {
    request(Method::PATCH, url)
}

/// A DELETE.
pub fn delete(url: impl AsRef<str>) -> RequestBuilder {
    request(Method::DELETE, url)
}

impl RequestBuilder {
    /// Adds a header; others of its name stay. Where its value has `{{secret:NAME}}`, the host fills that secret in, if the
    /// guest's grant lends it to the host that is asked: the guest never has it.
    pub fn header(self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        self.change(|parts| {
            let invalid = |what: &str| Error::new(ErrorKind::Invalid, format!("header `{name}`: its {what}"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("name is not one"))?;
            let value = HeaderValue::from_bytes(value.as_ref());
            parts.headers.append(key, value.map_err(|_| invalid("value has characters that no header has"))?);
            Ok(())
        })
    }

    /// Shows who asks: `authorization: Bearer TOKEN`. The token may be `{{secret:NAME}}`, see [`header`](Self::header).
    pub fn bearer(self, token: impl AsRef<str>) -> Self {
        self.header(AUTHORIZATION, format!("Bearer {}", token.as_ref()))
    }

    /// Adds to the url's query, percent-encoded: a struct, a map, or pairs. A value may be `{{secret:NAME}}`.
    pub fn query<T: Serialize + ?Sized>(self, query: &T) -> Self {
        self.change(|parts| {
            let more = form(query)?;
            let (path, sign) = (parts.uri.path(), if parts.uri.query().is_some() { "&" } else { "" });
            let path = format!("{path}?{}{sign}{more}", parts.uri.query().unwrap_or_default());
            let mut uri = parts.uri.clone().into_parts();
            let invalid = |error| Error::caused(ErrorKind::Invalid, "the url's query cannot be sent", error);
            uri.path_and_query = Some(path.try_into().map_err(invalid)?);
            parts.uri = Uri::from_parts(uri).expect("it has the parts that it had");
            Ok(())
        })
    }

    /// A body of bytes, text, or a [stream](Body::from_stream).
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// A body of JSON, and its `content-type`.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match Body::from_json(value) {
            Ok(body) => self.body = body,
            Err(error) => return self.change(|_| Err(error)),
        }
        self.typed("application/json")
    }

    /// A body as browsers send a form, and its `content-type`.
    pub fn form<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match form(value) {
            Ok(text) => self.body = text.into(),
            Err(error) => return self.change(|_| Err(error)),
        }
        self.typed("application/x-www-form-urlencoded")
    }

    /// How long the whole exchange may take, from the first byte sent to the last one read. None by default: the host's own
    /// bounds hold, and the task's deadline.
    pub fn timeout(mut self, total: Duration) -> Self {
        self.timeouts.total = Some(total);
        self
    }

    /// Each time on its own, in place of what was said of them before.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The request, as it would be sent.
    pub fn build(self) -> Result<Request> {
        let mut parts = self.made?;
        parts.extensions.insert(self.timeouts);
        Ok(Request::from_parts(parts, self.body))
    }

    /// Sends it: see [`send`].
    pub async fn send(self) -> Result<Response> {
        send(self.build()?).await
    }

    fn typed(self, content_type: &'static str) -> Self {
        self.change(|parts| {
            parts.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
            Ok(())
        })
    }

    fn change(mut self, change: impl FnOnce(&mut Parts) -> Result<()>) -> Self {
        self.made = self.made.and_then(|mut parts| change(&mut parts).map(|()| parts));
        self
    }
}

fn form<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let text = serde_urlencoded::to_string(value);
    text.map_err(|error| Error::caused(ErrorKind::Invalid, "expected pairs, or a struct of plain values", error))
}

fn address(url: &str) -> Result<Uri> {
    let invalid = |why: String| Error::new(ErrorKind::Invalid, format!("url `{url}` {why}"));
    let uri: Uri = url.parse().map_err(|error| invalid(format!("cannot be asked: {error}")))?;
    match (uri.scheme(), uri.authority()) {
        (Some(_), Some(_)) => Ok(uri),
        _ => Err(invalid("has no host: expected one like `https://example.com/path`".to_owned())),
    }
}

/// Sends a request, and waits for the head of the response.
///
/// The request's body is sent while the response is waited for, and goes on to be sent while the response's body is read:
/// what reads both as they come, streams both ways. Dropping the response ends the exchange.
///
/// Any status is a response. Errors are those of the request itself ([`ErrorKind::Invalid`]), of the host's policy
/// ([`ErrorKind::Denied`]) and of the network. A body of known length is sent with `content-length`.
///
/// ```no_run
/// use runner::http::{self, Request};
///
/// # async fn ask() -> Result<(), http::Error> {
/// let request = Request::put("https://example.com/lamps/7").header("if-match", "\"3\"").body("on");
/// let response = http::send(request.expect("the request is well formed")).await?;
/// # Ok(()) }
/// ```
pub async fn send<B: Into<Body>>(request: ::http::Request<B>) -> Result<Response> {
    let (mut parts, body) = request.into_parts();
    let body: Body = body.into();
    let timeouts = parts.extensions.get::<Timeouts>().copied().unwrap_or_default();
    if parts.uri.scheme().is_none() || parts.uri.authority().is_none() {
        address(&parts.uri.to_string())?;
    }
    declare(&parts.method, &mut parts.headers, &body);
    if cfg!(not(target_arch = "wasm32")) {
        return Err(Error::new(ErrorKind::Denied, "requests are sent from guests: there is no host here that would"));
    }
    let request = outgoing(&parts)?;
    let out = request.body().expect("the body of a request is asked for once");
    let options = options(&timeouts);
    // From here on: before, there was nothing to wait for.
    let mut deadline = timeouts.total.map(Wait::until);
    let answer = handle(request, options).map_err(|code| Error::of_code(&code))?;
    let mut upload: Option<Upload> = Some(Box::pin(write(out, body)));
    let mut answered = Wait::new(answer.subscribe());
    poll_fn(|context| {
        if let Some(sending) = &mut upload
            && let Poll::Ready(sent) = sending.as_mut().poll(context)
        {
            // Of a body that is not taken, the answer says why.
            upload = None;
            sent?;
        }
        if Pin::new(&mut answered).poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        match deadline.as_mut().map(|deadline| Pin::new(deadline).poll(context)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(late())),
            _ => Poll::Pending,
        }
    })
    .await?;
    drop(answered);
    let answer = answer.get().expect("the answer is there").expect("the answer is asked for once");
    let response = answer.map_err(|code| Error::of_code(&code))?;
    incoming(&parts.method, &response, upload, deadline)
}

/// Says how long a body is, where it is known and somebody would miss it.
fn declare(method: &Method, headers: &mut HeaderMap, body: &Body) {
    let is_expected = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    if let Some(bytes) = body.size_hint().exact().filter(|bytes| is_expected || *bytes > 0) {
        headers.entry(CONTENT_LENGTH).or_insert_with(|| bytes.into());
    }
}

fn outgoing(parts: &Parts) -> Result<OutgoingRequest> {
    let request = OutgoingRequest::new(headers_out(&parts.headers, true)?);
    let invalid = |what: &str| Error::new(ErrorKind::Invalid, format!("the {what} is refused by the host"));
    request.set_method(&method_out(&parts.method)).map_err(|()| invalid("method"))?;
    let scheme = match parts.uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") | None => Scheme::Https,
        Some(other) => Scheme::Other(other.to_owned()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| invalid("url's scheme"))?;
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    request.set_authority(authority).map_err(|()| invalid("url's host"))?;
    let path = parts.uri.path_and_query().map(|path| path.as_str());
    request.set_path_with_query(path).map_err(|()| invalid("url's path"))?;
    Ok(request)
}

fn options(timeouts: &Timeouts) -> Option<RequestOptions> {
    let Timeouts { total: _, connect, first_byte, between_bytes } = timeouts;
    if connect.is_none() && first_byte.is_none() && between_bytes.is_none() {
        return None;
    }
    let options = RequestOptions::new();
    // A host that serves none of them has its own.
    let _ = options.set_connect_timeout(connect.map(nanoseconds));
    let _ = options.set_first_byte_timeout(first_byte.map(nanoseconds));
    let _ = options.set_between_bytes_timeout(between_bytes.map(nanoseconds));
    Some(options)
}

fn incoming(
    method: &Method,
    response: &IncomingResponse,
    upload: Option<Upload>,
    deadline: Option<Wait>,
) -> Result<Response> {
    let broken = |_| Error::new(ErrorKind::Broken, "the response's status is none");
    let status = StatusCode::from_u16(response.status()).map_err(broken)?;
    let headers = headers_in(&response.headers());
    let body = response.consume().expect("the body of a response is asked for once");
    let is_bodiless = *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = headers.get(CONTENT_LENGTH).filter(|_| !is_bodiless);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let body = Incoming::new(body, length).beside(upload, deadline);
    let mut made = Response::new(Body::streamed(body));
    (*made.status_mut(), *made.headers_mut()) = (status, headers);
    Ok(made)
}
