//! The handler: `#[runner::http]` hands in a function, the host hands in requests.

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use ::http::uri::{Authority, PathAndQuery};
use ::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use http_body::Body as _;
use serde::Serialize;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam, Scheme};

use super::body::Body;
use super::error::{Error, ErrorKind, Result};
use super::wire::{Incoming, headers_in, headers_out, method_in, write};
use super::{Request, Response};
use crate::Failure;

/// What an HTTP handler answers with: a [`Response`], what is made into one, or a [`Failure`].
///
/// * `StatusCode` alone, or before another: `(StatusCode::NOT_FOUND, "no such page")`.
/// * Text, [`Html`], [`Json`].
/// * `Result<_, E>` of any of them: what fails is answered with 500 and says why on standard error, not to the caller.
///
/// Where a handler's answers are of several kinds, each calls [`reply`](Reply::reply):
///
/// ```
/// use runner::Failure;
/// use runner::http::{Html, Method, Reply, Request, Response, StatusCode};
///
/// async fn handle(request: Request) -> Result<Response, Failure> {
///     match (request.method(), request.uri().path()) {
///         (&Method::GET, "/") => Html("<p>Hello").reply(),
///         (_, "/") => StatusCode::METHOD_NOT_ALLOWED.reply(),
///         _ => (StatusCode::NOT_FOUND, "no such page").reply(),
///     }
/// }
/// # let asked = |path: &'static str| runner::block_on(handle(Request::get(path).body("".into()).unwrap())).unwrap();
/// # assert_eq!((asked("/").status(), asked("/x").status()), (StatusCode::OK, StatusCode::NOT_FOUND));
/// ```
#[diagnostic::on_unimplemented(
    message = "an HTTP handler does not answer with `{Self}`",
    label = "expected `http::Response`, or what is made into one: `&'static str`, `String`, `StatusCode`, `Html(..)`, `Json(..)`",
    note = "a handler is written `#[runner::http] async fn handle(request: http::Request) -> http::Response`; what may fail returns `Result<http::Response, runner::Failure>`"
)]
pub trait Reply {
    /// The response, or why there is none.
    fn reply(self) -> Result<Response, Failure>;
}

impl<B: Into<Body>> Reply for ::http::Response<B> {
    fn reply(self) -> Result<Response, Failure> {
        Ok(self.map(Into::into))
    }
}

impl<R: Reply, E: Into<Failure>> Reply for Result<R, E> {
    fn reply(self) -> Result<Response, Failure> {
        self.map_err(Into::into)?.reply()
    }
}

impl Reply for StatusCode {
    fn reply(self) -> Result<Response, Failure> {
        (self, Body::empty()).reply()
    }
}

impl<R: Reply> Reply for (StatusCode, R) {
    fn reply(self) -> Result<Response, Failure> {
        let mut response = self.1.reply()?;
        *response.status_mut() = self.0;
        Ok(response)
    }
}

impl Reply for Body {
    fn reply(self) -> Result<Response, Failure> {
        Ok(Response::new(self))
    }
}

impl Reply for &'static str {
    fn reply(self) -> Result<Response, Failure> {
        Ok(typed("text/plain; charset=utf-8", self))
    }
}

impl Reply for String {
    fn reply(self) -> Result<Response, Failure> {
        Ok(typed("text/plain; charset=utf-8", self))
    }
}

/// A page, which is what its handler made of it: what callers sent is escaped before.
#[derive(Clone, Debug)]
pub struct Html<T>(pub T);

impl<T: Into<Body>> Reply for Html<T> {
    fn reply(self) -> Result<Response, Failure> {
        Ok(typed("text/html; charset=utf-8", self.0))
    }
}

/// A value as JSON.
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> Reply for Json<T> {
    fn reply(self) -> Result<Response, Failure> {
        Ok(typed("application/json", Body::from_json(&self.0)?))
    }
}

fn typed(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What a handler's parameter may be.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "an HTTP handler takes `http::Request`, not `{Self}`",
    label = "expected `http::Request`",
    note = "path and method are `request.uri().path()` and `request.method()`, its JSON is `request.into_body().json().await?`"
)]
pub trait Taken {
    fn taken(request: Request) -> Self;
}

impl Taken for Request {
    fn taken(request: Request) -> Self {
        request
    }
}

/// One exchange, from the host's request to the last byte of the response.
#[doc(hidden)]
pub fn serve(
    request: IncomingRequest,
    out: ResponseOutparam,
    handle: impl AsyncFnOnce(Request) -> Result<Response, Failure>,
) {
    crate::enter();
    crate::block_on(async move {
        let request = match incoming(&request) {
            Ok(request) => request,
            Err(error) => {
                say(&format!("a request was refused: {error}"));
                return respond(out, StatusCode::BAD_REQUEST.reply().unwrap_or_default(), "it").await;
            }
        };
        // Without the query, which may hold what is not for the log.
        let asked = format!("{} {}", request.method(), request.uri().path());
        let response = handle(request).await.unwrap_or_else(|failure| {
            say(&format!("{asked} failed: {failure}"));
            (StatusCode::INTERNAL_SERVER_ERROR, "internal server error").reply().unwrap_or_default()
        });
        respond(out, response, &asked).await;
    });
}

fn incoming(request: &IncomingRequest) -> Result<Request> {
    let method = method_in(request.method())?;
    let invalid = |_| Error::new(ErrorKind::Invalid, "its path is malformed");
    let path = request.path_with_query().unwrap_or_else(|| "/".to_owned());
    let path = PathAndQuery::from_maybe_shared(path).map_err(invalid)?;
    let scheme = match request.scheme() {
        Some(Scheme::Https) => "https",
        _ => "http",
    };
    let authority = request.authority().and_then(|authority| Authority::from_maybe_shared(authority).ok());
    let uri = match authority {
        Some(authority) => Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build(),
        None => Uri::builder().path_and_query(path).build(),
    };
    let uri = uri.map_err(|_| Error::new(ErrorKind::Invalid, "its address is malformed"))?;
    let headers = headers_in(&request.headers());
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let body = request.consume().expect("the body of a request is asked for once");
    let mut made = Request::new(Body::streamed(Incoming::new(body, length)));
    (*made.method_mut(), *made.uri_mut(), *made.headers_mut()) = (method, uri, headers);
    Ok(made)
}

async fn respond(out: ResponseOutparam, response: Response, asked: &str) {
    let (mut parts, mut body) = response.into_parts();
    let is_bodiless =
        parts.status.is_informational() || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(bytes) = body.size_hint().exact().filter(|_| !is_bodiless) {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| bytes.into());
    }
    let response = head(parts.status, &parts.headers).unwrap_or_else(|error| {
        say(&format!("{asked}: its answer cannot be sent: {error}"));
        body = Body::empty();
        let response = OutgoingResponse::new(Fields::new());
        response.set_status_code(500).expect("500 is a status");
        response
    });
    let written = response.body().expect("the body of a response is asked for once");
    ResponseOutparam::set(out, Ok(response));
    // A caller that left needs no more of it.
    if let Err(error) = write(written, body).await {
        say(&format!("{asked}: the answer broke off: {}", Failure::from(error)));
    }
}

fn head(status: StatusCode, headers: &HeaderMap) -> Result<OutgoingResponse> {
    let response = OutgoingResponse::new(headers_out(headers, false)?);
    let invalid = |()| Error::new(ErrorKind::Invalid, format!("status `{status}` is refused by the host"));
    response.set_status_code(status.as_u16()).map_err(invalid)?;
    Ok(response)
}

/// One line for who runs the guest: to its log where it has one, else on standard error, on whatever target.
#[cfg(feature = "log")]
fn say(line: &str) {
    ::log::error!(target: "runner::http", "{line}");
}

/// One line for who runs the guest: to its log where it has one, else on standard error, on whatever target.
#[cfg(not(feature = "log"))]
fn say(line: &str) {
    let stderr = wasip2::cli::stderr::get_stderr();
    // The host takes 4 KiB at a time. Where it takes none, there is nobody to tell.
    for piece in format!("{line}\n").as_bytes().chunks(4096) {
        if stderr.blocking_write_and_flush(piece).is_err() {
            return;
        }
    }
}
