//! What a bucket says no with, and which of it may pass when it is asked again.

use std::error::Error as StdError;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::error::{Error, ErrorKind};

/// Why a request was not done. A kind is what the caller does next.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The condition does not hold (412).
    Refused,
    /// There is no such key, or no such upload (404).
    Missing,
    /// Who asks may not (403).
    Denied(Cause),
    /// It failed, and may not when it is asked again. Whether it was done nobody knows.
    Passing(Cause),
    /// The bucket will have nothing of it, whoever asks (400).
    Rejected(Cause),
    /// It failed, and will again.
    Lasting(Cause),
}

type Cause = Box<dyn StdError + Send + Sync>;

impl Trouble {
    /// What somebody is told who asked for something at a key.
    pub(crate) fn told(self, what: &str, key: &str) -> Error {
        let (kind, says, cause) = match self {
            Trouble::Refused => (ErrorKind::Conflict, "it was changed by somebody else".to_owned(), None),
            Trouble::Missing => (ErrorKind::NotFound, "the bucket has no such object".to_owned(), None),
            Trouble::Denied(cause) => (ErrorKind::Denied, cause.to_string(), Some(cause)),
            Trouble::Passing(cause) => (ErrorKind::Io, format!("{cause}, also when tried again"), Some(cause)),
            Trouble::Rejected(cause) | Trouble::Lasting(cause) => (ErrorKind::Io, cause.to_string(), Some(cause)),
        };
        let error = Error::new(kind, format!("{what} of object `{key}`: {says}"));
        match cause {
            Some(cause) => error.caused_by(cause),
            None => error,
        }
    }
}

/// What an error of the SDK means.
pub(crate) fn judge<E>(error: SdkError<E, HttpResponse>) -> Trouble
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.code().map(str::to_owned);
    let text = match (status, &code) {
        (Some(status), Some(code)) => {
            format!("the bucket answered {status} {code}: {}", error.message().unwrap_or("no words"))
        }
        (Some(status), None) => format!("the bucket answered {status}"),
        _ => match &error {
            SdkError::TimeoutError(_) => "the bucket did not answer in time".to_owned(),
            SdkError::DispatchFailure(_) => "the connection to the bucket failed".to_owned(),
            _ => "the request could not be made".to_owned(),
        },
    };
    let construction = matches!(error, SdkError::ConstructionFailure(_));
    // No credentials is a failure to dispatch, and does not pass.
    let user = matches!(&error, SdkError::DispatchFailure(failure) if failure.is_user());
    let cause = Box::new(Failed { text, source: Some(Box::new(error)) });
    match (status, code.as_deref()) {
        (
            _,
            Some(
                "RequestTimeout"
                | "RequestTimeTooSkewed"
                | "SlowDown"
                | "IncompleteBody"
                | "ConditionalRequestConflict",
            ),
        ) => Trouble::Passing(cause),
        (Some(412), _) => Trouble::Refused,
        (Some(404), Some("NoSuchBucket")) => Trouble::Lasting(cause),
        (Some(404), _) => Trouble::Missing,
        (Some(401 | 403), _) => Trouble::Denied(cause),
        // Of who asks, too, though they come as 400.
        (
            Some(400),
            Some("AuthorizationHeaderMalformed" | "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired"),
        ) => Trouble::Denied(cause),
        (Some(408 | 425 | 429 | 500..=599), _) => Trouble::Passing(cause),
        // To HEAD, whose answer has no body to name the collision.
        (Some(409), None) => Trouble::Passing(cause),
        (Some(400), Some(_)) => Trouble::Rejected(cause),
        // An answer that begins well and is cut off, or is none of S3's.
        (Some(200..=299), _) => Trouble::Passing(cause),
        (Some(_), _) => Trouble::Lasting(cause),
        (None, _) if construction || user => Trouble::Lasting(cause),
        (None, _) => Trouble::Passing(cause),
    }
}

/// An answer that is not what was asked for, such as one that is too short: it may be better when asked again.
pub(crate) fn odd(text: impl Into<String>) -> Trouble {
    Trouble::Passing(Box::new(Failed { text: text.into(), source: None }))
}

/// A body that broke off.
pub(crate) fn broken_off(source: impl StdError + Send + Sync + 'static) -> Trouble {
    Trouble::Passing(Box::new(Failed { text: "the answer broke off".to_owned(), source: Some(Box::new(source)) }))
}

/// What will not be otherwise.
pub(crate) fn lasting(text: impl Into<String>) -> Trouble {
    Trouble::Lasting(Box::new(Failed { text: text.into(), source: None }))
}

#[derive(Debug)]
struct Failed {
    text: String,
    source: Option<Cause>,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Failed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
