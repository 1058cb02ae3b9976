//! What a store says no with. Each kind is one that a guest can act on; the faces in `wasi/` only translate.

use std::error::Error as StdError;

use crate::key::{Key, Version};

/// The result of everything that a store does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a store did not do what it was asked for. Nothing was written.
///
/// The one exception is [`Error::Unavailable`] on a write: it may have been written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No store has this name: ask for another, or have it granted.
    #[error("there is no store `{name}`")]
    NoSuchStore {
        /// The name as it was asked for, shortened to 256 bytes.
        name: String,
    },
    /// The store may be read, and not written: have it granted.
    #[error("store `{name}` is granted for reading only")]
    AccessDenied {
        /// The store's name.
        name: String,
    },
    /// One thing is larger than its limit: make it smaller.
    #[error("{what} has {found} {unit}, {allowed} are allowed")]
    TooLarge {
        /// What is too large, such as `key` or `value`.
        what: &'static str,
        /// What is counted, such as `bytes`.
        unit: &'static str,
        /// How large it is.
        found: u64,
        /// How large it may be.
        allowed: u64,
    },
    /// The write would bring the store over its limit: delete something first.
    #[error("the store would hold {found} {unit}, {allowed} are allowed")]
    Full {
        /// `keys` or `bytes`.
        unit: &'static str,
        /// How much it would hold.
        found: u64,
        /// How much it may hold.
        allowed: u64,
    },
    /// Somebody else was faster: read the key again, and try again with what is found.
    #[error("key {key} was changed by someone else: it is at {}", at(*found))]
    Conflict {
        /// The key whose condition did not hold.
        key: Key,
        /// The version that it is at; `None` where it is absent.
        found: Option<Version>,
    },
    /// The value cannot be added to: it is not a whole number in decimal digits, of 64 bits.
    #[error("key {key} does not hold a whole number in decimal digits")]
    NotANumber {
        /// The key that was to be incremented.
        key: Key,
    },
    /// The sum is not within what was asked for, or not within 64 bits.
    #[error("key {key} cannot be incremented: the sum would leave {least}..={most}")]
    OutOfRange {
        /// The key that was to be incremented.
        key: Key,
        /// The smallest sum allowed.
        least: i64,
        /// The largest sum allowed.
        most: i64,
    },
    /// What was asked for makes no sense, such as a cursor that no listing gave: change it.
    #[error("{message}")]
    Invalid {
        /// What was found, and what was expected.
        message: String,
    },
    /// The store did not answer, or could not write: try again later.
    #[error("{message}")]
    Unavailable {
        /// What happened.
        message: String,
        /// Why.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
}

impl Error {
    /// The store did not answer; the caller may try again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Error::Unavailable { message: message.into(), source: None }
    }

    /// What was asked for makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::Invalid { message: message.into() }
    }

    /// Adds the error that caused this one, where it is one that has a cause.
    #[must_use]
    pub fn caused_by(self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        match self {
            Error::Unavailable { message, .. } => Error::Unavailable { message, source: Some(cause.into()) },
            other => other,
        }
    }
}

fn at(version: Option<Version>) -> String {
    version.map_or_else(|| "no version, it is absent".to_owned(), |version| format!("version {version}"))
}
