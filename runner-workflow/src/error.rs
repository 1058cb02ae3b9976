//! What keeping and running executions says no with.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything that is kept or run.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why it was not done. What was asked for has not happened, not even in part.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// It makes no sense: ask for something else.
    Invalid,
    /// Nothing has this name or identity.
    NotFound,
    /// Something else has it already: take another.
    Exists,
    /// It is not in a state in which this can be done, such as a run that has ended and is to be stopped.
    State,
    /// Somebody else was faster: read it again.
    Conflict,
    /// The store, or what it needs, is not there or full: try again later.
    Unavailable,
    /// What is kept is not what was written.
    Damaged,
}

impl Error {
    /// An error of a kind, with what was expected and what was found.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    pub(crate) fn no_execution(id: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("no execution has the id `{}`", id.escape_debug()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
