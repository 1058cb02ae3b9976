//! The guest's own word for no.

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

/// So that `?` passes on any error: the code is `error`, the message that of the error and its causes.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let (mut message, mut cause) = (error.to_string(), error.source());
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Failure::new("error", message)
    }
}
