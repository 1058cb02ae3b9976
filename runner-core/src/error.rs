//! What the host could not do. A guest that fails, traps or meets a limit is no error: see [`Ending`](crate::Ending).

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::outcome::{CapabilityUsage, Outcome};

/// The result of everything in this crate that can go wrong on the host's side.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The module, the arguments or the settings are wrong: change them.
    Invalid,
    /// There is no such export: ask for another.
    NotFound,
    /// The module needs something that it was not granted: grant it, or leave it.
    Denied,
    /// The module is beyond one of the executor's [`Bounds`](crate::Bounds): make it smaller, or raise the bound.
    Exceeded,
    /// Busy, shutting down, or something outside did not answer: try again later.
    Unavailable,
    /// Somebody else was faster: run again.
    Conflict,
    /// A fault of the host: report it.
    Internal,
}

impl ErrorKind {
    /// The kind as one word in snake case, as it stands in logs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Denied => "denied",
            ErrorKind::Exceeded => "exceeded",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the host could not do, and what to do about it.
///
/// A clone says the same: those that waited for one answer are told of one failure.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    outcome: Option<Outcome>,
}

impl Error {
    /// An error of a kind, with a message in lower case that names the thing.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), source: None, outcome: None }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn exceeded(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Exceeded, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Something outside did not answer; the caller may try again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Somebody else was faster; the natural answer is to run again.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into().into());
        self
    }

    /// Adds what the guest did before the host failed, so that neither its value nor its usage is lost.
    #[must_use]
    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = Some(outcome);
        self
    }

    /// Adds what capabilities used in their close to the outcome that it carries.
    pub(crate) fn and_used(mut self, used: Vec<(String, CapabilityUsage)>) -> Self {
        if let Some(outcome) = &mut self.0.outcome {
            outcome.usage.add(used);
        }
        self
    }

    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without its causes. Not API: for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the guest did, where it had ended and a capability could not be closed after it.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.0.outcome.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let mut cause = self.0.source.as_deref().map(|source| source as &dyn StdError);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// A name that a guest chose, short enough for a message.
pub(crate) fn short(name: &str) -> Cow<'_, str> {
    const BYTES_MAX: usize = 256;
    match name.len() > BYTES_MAX {
        true => Cow::Owned(format!("{}..", &name[..name.floor_char_boundary(BYTES_MAX)])),
        false => Cow::Borrowed(name),
    }
}

/// The first of some names, for a message.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 20;
    let mut names = names.into_iter();
    let shown: Vec<_> = names.by_ref().take(SHOWN_MAX).map(|name| format!("`{}`", short(name))).collect();
    match names.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
