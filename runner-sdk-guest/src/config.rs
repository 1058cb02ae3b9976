//! Values that whoever runs the guest has set for it (feature `config`).
//!
//! ```no_run
//! use runner::{Failure, config};
//!
//! /// Greets in the words of whoever runs this.
//! #[runner::task]
//! fn greet(name: String) -> Result<String, Failure> {
//!     let greeting: String = config::require("greeting")?;
//!     let times = config::get_as("times")?.unwrap_or(1);
//!     Ok(format!("{greeting}, {name}! ").repeat(times))
//! }
//! # fn main() {}
//! ```
//!
//! A name that was not granted is absent, like one that nobody set. Errors show names, and never values.
//!
//! A module that uses this imports `wasi:config/store@0.2.0-rc.1`, and loads where it is granted `config`. Run as a native
//! program, it is answered with [`ErrorKind::Unavailable`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use self::bindings::wasi::config::store as wit;

mod bindings {
    #![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated")]
    wit_bindgen::generate!({ path: "wit/config", world: "wasi:config/imports", generate_all });
}

/// The result of every look at the configuration.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The value of a name; `None` where it is absent.
pub fn get(name: &str) -> Result<Option<String>> {
    lent()?;
    wit::get(name).map_err(|error| Error::told(error, name))
}

/// The value of a name, parsed; `None` where it is absent.
///
/// [`ErrorKind::Invalid`] where the value is not one of the type.
pub fn get_as<T>(name: &str) -> Result<Option<T>>
where
    T: FromStr<Err: fmt::Display>,
{
    let parsed = get(name)?.map(|value| value.parse());
    parsed.transpose().map_err(|error| {
        let expected = std::any::type_name::<T>();
        let message = format!("the value that is set for `{name}` is not of type `{expected}`: {error}");
        Error { kind: ErrorKind::Invalid, message }
    })
}

/// The value of a name that must be there, parsed; [`ErrorKind::Missing`] where it is absent.
pub fn require<T>(name: &str) -> Result<T>
where
    T: FromStr<Err: fmt::Display>,
{
    get_as(name)?.ok_or_else(|| {
        let message = format!("no value is set for `{name}`: whoever runs the module grants one with `config`");
        Error { kind: ErrorKind::Missing, message }
    })
}

/// Every name with its value.
pub fn all() -> Result<BTreeMap<String, String>> {
    lent()?;
    Ok(wit::get_all().map_err(|error| Error::told(error, "every name"))?.into_iter().collect())
}

fn lent() -> Result<()> {
    match cfg!(target_family = "wasm") {
        true => Ok(()),
        false => {
            let message = "the configuration is lent by a host: this is a native program, not a guest".to_owned();
            Err(Error { kind: ErrorKind::Unavailable, message })
        }
    }
}

/// Why there is no value. As a [`Failure`](crate::Failure) it has a [code](Error::code), a message, and whether another
/// attempt may succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value that must be there is absent: have it set.
    Missing,
    /// The value is not one of its type: have it changed.
    Invalid,
    /// The values could not be read: try again later.
    Unavailable,
}

impl Error {
    fn told(error: wit::Error, name: &str) -> Self {
        let (wit::Error::Upstream(words) | wit::Error::Io(words)) = error;
        Error { kind: ErrorKind::Unavailable, message: format!("`{name}` could not be read: {words}") }
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same work may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }

    /// The code of the [`Failure`](crate::Failure) that it becomes, such as `config-missing`.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::Missing => "config-missing",
            ErrorKind::Invalid => "config-invalid",
            ErrorKind::Unavailable => "config-unavailable",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
