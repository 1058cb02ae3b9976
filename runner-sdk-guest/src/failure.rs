//! The guest's own word for no.

use std::error::Error;
use std::fmt;

/// Why a task did not do what it was asked for. A host ends the call as `failed`, with all three.
///
/// ```
/// use runner::Failure;
///
/// let failure = Failure::new("out-of-stock", "no lamps are left").retryable();
/// assert_eq!(failure.to_string(), "out-of-stock: no lamps are left");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What callers tell failures apart by: a word, such as `out-of-stock`.
    pub code: String,
    /// What happened, for people.
    pub message: String,
    /// Whether the same work may succeed later.
    pub retryable: bool,
}

impl Failure {
    /// A failure that another attempt would meet again.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Failure { code: code.into(), message: message.into(), retryable: false }
    }

    /// The same, of work that may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// So that `?` passes on any error. The message is that of the error and its causes. Where one of them is an error of this
/// crate, such as `runner::kv::Error`, the failure has its code and is retryable where it is; otherwise the code is `error`.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let (mut message, mut ours, mut cause) = (error.to_string(), ours(&error), error.source());
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            ours = ours.or_else(|| self::ours(error));
            cause = error.source();
        }
        let (code, retryable) = ours.unwrap_or(("error", false));
        Failure { code: code.to_owned(), message, retryable }
    }
}

/// The code of an error of this crate, and whether the same work may succeed later.
fn ours(error: &(dyn Error + 'static)) -> Option<(&'static str, bool)> {
    #[cfg(feature = "kv")]
    if let Some(error) = error.downcast_ref::<crate::kv::Error>() {
        return Some((error.code(), error.is_retryable()));
    }
    #[cfg(feature = "http")]
    if let Some(error) = error.downcast_ref::<crate::http::Error>() {
        return Some((error.kind().code(), error.is_retryable()));
    }
    #[cfg(feature = "config")]
    if let Some(error) = error.downcast_ref::<crate::config::Error>() {
        return Some((error.code(), error.is_retryable()));
    }
    #[cfg(feature = "fs")]
    if let Some(error) = fs(error) {
        return Some((error.code(), error.is_retryable()));
    }
    let _ = error;
    None
}

/// An error of `runner::fs`, also where it came by way of `std::io`, which shows what is in it to those who ask for it.
#[cfg(feature = "fs")]
fn fs<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a crate::fs::Error> {
    let within = || error.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref();
    error.downcast_ref().or_else(within)
}
