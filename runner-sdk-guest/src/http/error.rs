//! Why an exchange did not come about, by what the guest does next. The one place that knows the host's codes.

use std::error::Error as StdError;
use std::fmt;

use wasip2::http::types::{ErrorCode, http_error_code};
use wasip2::io::streams::StreamError;

/// Any error, as of a stream that a guest made itself.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The host does not let the guest: no rule of its grant allows it, or the address lies within a network. Who runs the
    /// guest may grant more.
    Denied,
    /// The URL, the method, or a header cannot be sent: mend the request.
    Invalid,
    /// No address was found for the name. Whether there is none, or nobody answered, is not known.
    Dns,
    /// Nobody took the connection, or too many are open.
    Connect,
    /// The other side is not who it should be, or does not speak TLS.
    Tls,
    /// Not in time: the guest's own, or the host's.
    Timeout,
    /// A body or the headers are larger than the host, or the guest itself, will have.
    TooLarge,
    /// The exchange broke off, or the other side does not speak HTTP.
    Broken,
    /// A body is not what it was read as: JSON, a form, text.
    Decode,
    /// The guest's own stream failed, out of which a body came.
    Body,
}

impl ErrorKind {
    /// The code of the [`Failure`](crate::Failure) that `?` makes of it: `http-denied`, `http-timeout`, ..
    pub fn code(self) -> &'static str {
        match self {
            ErrorKind::Denied => "http-denied",
            ErrorKind::Invalid => "http-invalid",
            ErrorKind::Dns => "http-dns",
            ErrorKind::Connect => "http-connect",
            ErrorKind::Tls => "http-tls",
            ErrorKind::Timeout => "http-timeout",
            ErrorKind::TooLarge => "http-too-large",
            ErrorKind::Broken => "http-broken",
            ErrorKind::Decode => "http-decode",
            ErrorKind::Body => "http-body",
        }
    }
}

/// What [`send`](super::send) and the readers of a [`Body`](super::Body) fail with. A status such as 404 or 503 is no error.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<BoxError>,
}

/// A result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    pub(crate) fn caused(kind: ErrorKind, message: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Error { source: Some(source.into()), ..Error::new(kind, message) }
    }

    /// What to do next.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same request may succeed later: the name, the connection, the time or the exchange failed it. Whether it may
    /// be sent twice is the caller's to know.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Broken)
    }

    /// Of a stream that the guest made: what this module said passes as it is.
    pub(crate) fn of_body(error: BoxError) -> Self {
        match error.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::caused(ErrorKind::Body, "the body's own stream failed", other),
        }
    }

    pub(crate) fn of_code(code: &ErrorCode) -> Self {
        let (kind, what) = match code {
            ErrorCode::HttpRequestDenied => {
                (ErrorKind::Denied, "no rule of the guest's grant allows the request".to_owned())
            }
            ErrorCode::DestinationIpProhibited => {
                (ErrorKind::Denied, "the host's address may not be reached: it lies within a network".to_owned())
            }
            ErrorCode::LoopDetected => {
                (ErrorKind::Denied, "there were more redirects than the grant follows".to_owned())
            }
            ErrorCode::HttpRequestUriInvalid => (ErrorKind::Invalid, "the url is malformed or ambiguous".to_owned()),
            ErrorCode::HttpRequestUriTooLong => (ErrorKind::Invalid, "the url is too long".to_owned()),
            ErrorCode::HttpRequestMethodInvalid => {
                (ErrorKind::Invalid, "the method is not one that is sent".to_owned())
            }
            ErrorCode::HttpRequestLengthRequired => {
                (ErrorKind::Invalid, "the request needs a `content-length`".to_owned())
            }
            ErrorCode::DnsError(_) => (ErrorKind::Dns, "the name was not resolved".to_owned()),
            ErrorCode::DestinationNotFound => (ErrorKind::Dns, "the destination was not found".to_owned()),
            ErrorCode::DnsTimeout => (ErrorKind::Timeout, "the name was not resolved in time".to_owned()),
            ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => {
                (ErrorKind::Connect, "the destination is not to be reached".to_owned())
            }
            ErrorCode::ConnectionRefused => (ErrorKind::Connect, "nobody took the connection".to_owned()),
            ErrorCode::ConnectionLimitReached => (ErrorKind::Connect, "too many exchanges are under way".to_owned()),
            ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => {
                (ErrorKind::Tls, "the other side does not agree on TLS".to_owned())
            }
            ErrorCode::TlsCertificateError => (ErrorKind::Tls, "the certificate is not trusted".to_owned()),
            ErrorCode::ConnectionTimeout => (ErrorKind::Timeout, "nobody took the connection in time".to_owned()),
            ErrorCode::ConnectionReadTimeout => (ErrorKind::Timeout, "the other side paused for too long".to_owned()),
            ErrorCode::ConnectionWriteTimeout => (ErrorKind::Timeout, "the other side did not read in time".to_owned()),
            ErrorCode::HttpResponseTimeout => (ErrorKind::Timeout, "the response did not come in time".to_owned()),
            ErrorCode::HttpRequestBodySize(bytes) => too_large("the request's body", *bytes),
            ErrorCode::HttpResponseBodySize(bytes) => too_large("the response's body", *bytes),
            ErrorCode::HttpRequestHeaderSectionSize(bytes) | ErrorCode::HttpRequestTrailerSectionSize(bytes) => {
                too_large("the request's headers", bytes.map(u64::from))
            }
            ErrorCode::HttpResponseHeaderSectionSize(bytes) | ErrorCode::HttpResponseTrailerSectionSize(bytes) => {
                too_large("the response's headers", bytes.map(u64::from))
            }
            ErrorCode::HttpRequestHeaderSize(_) | ErrorCode::HttpRequestTrailerSize(_) => {
                too_large("a header of the request", None)
            }
            ErrorCode::HttpResponseHeaderSize(_) | ErrorCode::HttpResponseTrailerSize(_) => {
                too_large("a header of the response", None)
            }
            other => (ErrorKind::Broken, format!("the exchange broke off: {other:?}")),
        };
        Error::new(kind, what)
    }

    /// Of a stream of the host's.
    pub(crate) fn of_stream(error: &StreamError) -> Self {
        let StreamError::LastOperationFailed(error) = error else {
            return Error::new(ErrorKind::Broken, "the exchange broke off");
        };
        match http_error_code(error) {
            Some(code) => Error::of_code(&code),
            None => Error::of_text(&error.to_debug_string()),
        }
    }

    /// wasmtime 48 has no code for a body that breaks off, only its words.
    fn of_text(text: &str) -> Self {
        let kind = match text {
            _ if text.contains("body size exceeds") => ErrorKind::TooLarge,
            _ if text.contains("timeout") || text.contains("timed out") => ErrorKind::Timeout,
            _ => ErrorKind::Broken,
        };
        Error::new(kind, format!("the body broke off: {text}"))
    }
}

fn too_large(what: &str, bytes: Option<u64>) -> (ErrorKind, String) {
    let bound = bytes.map(|bytes| format!(" of {bytes} bytes")).unwrap_or_default();
    (ErrorKind::TooLarge, format!("{what} is over the host's bound{bound}"))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|error| error as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_broke_off_is_told_by_its_words() {
        for (text, kind) in [
            ("HTTP response body size exceeds limit: 5000 bytes", ErrorKind::TooLarge),
            ("connection read timeout", ErrorKind::Timeout),
            ("HTTP response timeout", ErrorKind::Timeout),
            ("incomplete HTTP response", ErrorKind::Broken),
        ] {
            assert_eq!(Error::of_text(text).kind(), kind, "{text}");
        }
    }

    #[test]
    fn what_may_succeed_later_is_marked_and_what_may_not_is_not() {
        for (code, kind, is_retryable) in [
            (ErrorCode::HttpRequestDenied, ErrorKind::Denied, false),
            (ErrorCode::DestinationIpProhibited, ErrorKind::Denied, false),
            (ErrorCode::HttpRequestUriInvalid, ErrorKind::Invalid, false),
            (ErrorCode::ConnectionRefused, ErrorKind::Connect, true),
            (ErrorCode::TlsCertificateError, ErrorKind::Tls, false),
            (ErrorCode::HttpResponseTimeout, ErrorKind::Timeout, true),
            (ErrorCode::HttpResponseBodySize(Some(9)), ErrorKind::TooLarge, false),
            (ErrorCode::HttpResponseIncomplete, ErrorKind::Broken, true),
        ] {
            let error = Error::of_code(&code);
            assert_eq!((error.kind(), error.is_retryable()), (kind, is_retryable), "{error}");
        }
        assert_eq!(
            Error::of_code(&ErrorCode::HttpResponseBodySize(Some(9))).to_string(),
            "the response's body is over the host's bound of 9 bytes"
        );
    }
}
