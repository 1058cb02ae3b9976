//! What came in the way of a test, before the guest could do anything. Assertions panic instead.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of everything that sets a test up.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The guest did not build: its compiler's words are in the message.
    Build,
    /// The host could not do its part: a missing grant, a module that is none, a port that cannot be had.
    Host,
}

/// What came in the way of a test. `{:?}` reads as `{}` does, since tests show their errors by it.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn build(message: impl Into<String>) -> Self {
        Error { kind: ErrorKind::Build, message: message.into(), source: None }
    }

    pub(crate) fn host(message: impl Into<String>) -> Self {
        Error { kind: ErrorKind::Host, message: message.into(), source: None }
    }

    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<runner_core::Error> for Error {
    fn from(error: runner_core::Error) -> Self {
        Error::host(error.message().to_owned()).caused_by(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source.as_deref().and_then(|source| source.downcast_ref::<runner_core::Error>()) {
            // Its own words are those of this one, and its causes come after them.
            Some(error) => write!(f, "{error}"),
            None => {
                f.write_str(&self.message)?;
                self.source.as_deref().map_or(Ok(()), |source| write!(f, ": {source}"))
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
