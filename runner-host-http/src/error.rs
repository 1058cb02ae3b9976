//! What came in the way of an exchange, in words for the host; `wasi.rs` turns the kind into the guest's error code.

use std::fmt;
use std::io;

use crate::seats::Moved;

/// The result of everything in this crate that can go wrong.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What came in the way, by what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The grant does not allow this request, redirect or secret: ask for another, or grant it.
    Denied,
    /// The name leads to no address that may be reached: grant its range, if it is meant to be reached, and the host does not
    /// refuse it to all.
    AddressDenied,
    /// The URL is malformed, or can be read in two ways: write it in another way.
    UriInvalid,
    /// The URL is too long.
    UriTooLong,
    /// The method is no token, or not one that is sent: `CONNECT` and `TRACE` are not.
    MethodInvalid,
    /// The headers of the request contradict its body, or each other.
    RequestInvalid,
    /// The headers of the request, or its trailers, are over [`Caps::header_bytes`](crate::Caps::header_bytes).
    RequestHeaderBytes,
    /// The body of the request is over [`Caps::request_bytes`](crate::Caps::request_bytes).
    RequestBodyBytes,
    /// The name has no address, or whoever knows it did not answer.
    NameUnknown,
    /// Nobody listens there.
    ConnectRefused,
    /// No connection within [`Caps::connect`](crate::Caps::connect).
    ConnectTimeout,
    /// As many connections or exchanges as there may be were in use for as long as connecting may take: of the host
    /// ([`Caps::connections_per_host`](crate::Caps::connections_per_host)), of the call, of the grant, or of all.
    ConnectBusy,
    /// The certificate is not one to trust.
    TlsCertificate,
    /// TLS did not come about.
    TlsProtocol,
    /// The connection ended early.
    Terminated,
    /// No response within [`Caps::first_byte`](crate::Caps::first_byte), or not all of it within
    /// [`Caps::total`](crate::Caps::total).
    ResponseTimeout,
    /// The response paused for longer than [`Caps::between_bytes`](crate::Caps::between_bytes).
    ReadTimeout,
    /// The headers or trailers of the response are over [`Caps::header_bytes`](crate::Caps::header_bytes).
    ResponseHeaderBytes,
    /// The body of the response is over [`Caps::response_bytes`](crate::Caps::response_bytes).
    ResponseBodyBytes,
    /// The body of the response ended before it was complete.
    ResponseIncomplete,
    /// The other side does not speak HTTP as it should.
    Protocol,
    /// More redirects than [`Caps::redirects`](crate::Caps::redirects).
    RedirectsTooMany,
    /// The call that it was for has ended.
    Ended,
    /// A fault of the host: report it.
    Internal,
}

/// What came in the way of an exchange.
///
/// Its text names hosts, ports, headers and the names of secrets, and never a query, a header's value or a secret's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    limit: Option<u64>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), limit: None }
    }

    /// A number was met.
    pub(crate) fn limited(kind: ErrorKind, message: impl Into<String>, limit: u64) -> Self {
        Error { kind, message: message.into(), limit: Some(limit) }
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    pub(crate) fn ended() -> Self {
        Self::new(ErrorKind::Ended, "the call that it was for has ended")
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened. Not API: for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The number that was met, where it was one: bytes.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    pub(crate) fn with_kind(self, kind: ErrorKind) -> Self {
        Error { kind, ..self }
    }

    pub(crate) fn map_message(mut self, map: impl FnOnce(&str) -> String) -> Self {
        self.message = map(&self.message);
        self
    }

    /// Finds what happened below: our own error where one is the cause, else the nearest that has a word of its own.
    pub(crate) fn from_client(error: reqwest::Error, origin: &impl fmt::Display) -> Self {
        // Its URL may hold a secret.
        let error = error.without_url();
        let (connecting, reading) = (error.is_connect(), error.is_body() || error.is_decode());
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        let mut innermost = String::new();
        let mut found = None;
        while let Some(one) = cause {
            if let Some(own) = one.downcast_ref::<Error>() {
                return own.clone();
            }
            found = found.or_else(|| Self::recognised(one, origin));
            innermost = one.to_string();
            cause = below(one);
        }
        if let Some(found) = found {
            return found;
        }
        let kind = match (connecting, reading) {
            (true, _) => ErrorKind::ConnectRefused,
            (_, true) => ErrorKind::ResponseIncomplete,
            _ => ErrorKind::Protocol,
        };
        Self::new(kind, format!("{origin}: {innermost}"))
    }

    fn recognised(cause: &(dyn std::error::Error + 'static), origin: &impl fmt::Display) -> Option<Self> {
        let with = |kind| Some(Self::new(kind, format!("{origin}: {cause}")));
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return with(tls(error));
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            return match () {
                () if error.is_parse_too_large() => with(ErrorKind::ResponseHeaderBytes),
                () if error.is_incomplete_message() => with(ErrorKind::Terminated),
                () if error.is_parse() => with(ErrorKind::Protocol),
                () => None,
            };
        }
        let error = cause.downcast_ref::<io::Error>()?;
        match error.kind() {
            io::ErrorKind::ConnectionRefused => with(ErrorKind::ConnectRefused),
            io::ErrorKind::TimedOut => with(ErrorKind::ConnectTimeout),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
                with(ErrorKind::ConnectRefused)
            }
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => with(ErrorKind::Terminated),
            _ => None,
        }
    }
}

/// Whether it was sent nowhere, since its client's connection is others'.
pub(crate) fn has_moved(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(one) = cause {
        if one.is::<Moved>() {
            return true;
        }
        cause = below(one);
    }
    false
}

/// The next cause. That of an I/O error which wraps another error is that error, which `source` would skip.
fn below<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => cause.source(),
    }
}

fn tls(error: &rustls::Error) -> ErrorKind {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => ErrorKind::TlsCertificate,
        _ => ErrorKind::TlsProtocol,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
