//! Names and references, parsed once: what holds a [`Name`] needs no check before it touches a file.

use std::fmt;
use std::str::FromStr;

use runner_core::ModuleId;

/// A module's name: `[a-z0-9][a-z0-9._-]*`, 100 characters at most, so that it is a file name everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(String);

const NAME_CHARS_MAX: usize = 100;

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
        let fits = text.bytes().next().is_some_and(plain)
            && text.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'))
            && text.len() <= NAME_CHARS_MAX;
        match fits {
            true => Ok(Name(text.to_owned())),
            false => {
                let shown: String = text.chars().take(NAME_CHARS_MAX).collect();
                Err(format!(
                    "name `{shown}` does not match [a-z0-9][a-z0-9._-]* with {NAME_CHARS_MAX} characters at most"
                ))
            }
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands for a module: `NAME`, `NAME@N` or `sha256:HEX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// The newest version of a name.
    Newest(Name),
    /// One version of a name.
    Version(Name, u32),
    /// A module by its content.
    Id(ModuleId),
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("sha256:") {
            return text.parse().map(Reference::Id).map_err(|error: runner_core::Error| error.to_string());
        }
        let Some((name, version)) = text.split_once('@') else { return text.parse().map(Reference::Newest) };
        let name = name.parse()?;
        // `+1` and `01` are no versions: each has one spelling.
        let digits = version.bytes().all(|byte| byte.is_ascii_digit()) && !version.starts_with('0');
        match version.parse() {
            Ok(version) if digits => Ok(Reference::Version(name, version)),
            _ => Err(format!("version `{version}` of `{name}` is not a number from 1 to {}", u32::MAX)),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Newest(name) => write!(f, "{name}"),
            Reference::Version(name, version) => write!(f, "{name}@{version}"),
            Reference::Id(id) => write!(f, "{id}"),
        }
    }
}
