//! Names, parsed once at the border: [`Key`], [`Namespace`], [`Version`]. Whoever has one need not look again.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The name of a value within one name space: any UTF-8, the empty text and NUL included, up to [`Key::BYTES_MAX`].
///
/// A key is never joined to anything, so there is nothing in it that a store reads as a path or a separator.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The largest key of any store. A listing holds a page of keys in memory.
    pub const BYTES_MAX: usize = 8 << 10;

    /// A key, or [`Error::TooLarge`] where it is over [`Key::BYTES_MAX`].
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        Self::within(text.as_ref(), Self::BYTES_MAX)
    }

    /// A key of at most so many bytes.
    pub(crate) fn within(text: &str, bytes_max: usize) -> Result<Self> {
        let allowed = bytes_max.min(Self::BYTES_MAX);
        match text.len() > allowed {
            true => {
                let (found, allowed) = (text.len() as u64, allowed as u64);
                Err(Error::TooLarge { what: "key", unit: "bytes", found, allowed })
            }
            false => Ok(Key(text.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", short(&self.0).escape_debug())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A part of a backend that keys cannot leave: two name spaces have no key in common. 1 to 256 bytes of any UTF-8.
///
/// It is chosen by whoever grants, never by a guest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// The longest name.
    pub const BYTES_MAX: usize = 256;

    /// A name space, or [`Error::Invalid`] where the name is empty or over [`Namespace::BYTES_MAX`].
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        match name.len() {
            1..=Self::BYTES_MAX => Ok(Namespace(name.into())),
            bytes => Err(Error::invalid(format!(
                "a name space has a name of 1 to {} bytes, this one has {bytes}",
                Self::BYTES_MAX
            ))),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Namespace {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl From<Namespace> for String {
    fn from(namespace: Namespace) -> String {
        namespace.0.as_ref().to_owned()
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.escape_debug())
    }
}

impl JsonSchema for Namespace {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Namespace".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": Self::BYTES_MAX })
    }
}

/// Which of a key's values this is. A name space never gives a version twice, so a key that was deleted and set again is
/// at another. It says nothing else: neither order nor distance mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u64);

impl Version {
    /// For backends: a version by its number.
    pub const fn new(number: u64) -> Self {
        Version(number)
    }

    /// For backends and for the border: the number.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A text that a guest chose, short enough for a message.
pub(crate) fn short(text: &str) -> &str {
    const BYTES_MAX: usize = 256;
    &text[..text.floor_char_boundary(BYTES_MAX)]
}
