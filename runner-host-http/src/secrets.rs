//! Values that the host knows and the guest does not: read once, filled in on their way out, and taken out of what comes
//! back. The one file here that opens a file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use runner_core::{Error as CoreError, ErrorKind as CoreErrorKind};

use crate::error::{Error, Result};

/// How a placeholder begins and ends: `{{secret:NAME}}`.
const BEGIN: &str = "{{secret:";
const END: &str = "}}";

/// What stands in the place of a value that came back.
const REDACTED: &str = "[redacted]";

/// What a query value may hold as it is (RFC 3986, 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The secrets of a host, by name. Their values are never shown: not by `Debug`, not in an error.
///
/// ```
/// # use runner_host_http::Secrets;
/// let secrets = Secrets::new([("API_KEY", "s3cr3t")])?;
/// assert_eq!(secrets.names().collect::<Vec<_>>(), ["API_KEY"]);
/// assert_eq!(format!("{secrets:?}"), r#"Secrets(["API_KEY"])"#);
/// # Ok::<(), runner_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Secrets(Arc<BTreeMap<String, String>>);

impl Secrets {
    /// Some names and values.
    ///
    /// # Errors
    ///
    /// A name that is not of capitals, digits and `_`; a value that is empty or holds a control character, which no header
    /// can carry.
    pub fn new<N: Into<String>, V: Into<String>>(secrets: impl IntoIterator<Item = (N, V)>) -> Result<Self, CoreError> {
        let mut kept = BTreeMap::new();
        for (name, value) in secrets {
            let (name, value) = (name.into(), value.into());
            if !is_name(&name) {
                let name = name.escape_debug();
                return Err(invalid(format!("secret `{name}` is not named in capitals, digits and `_`")));
            }
            if value.is_empty() || value.chars().any(char::is_control) {
                return Err(invalid(format!("secret `{name}` is empty, or holds a control character")));
            }
            kept.insert(name, value);
        }
        Ok(Secrets(Arc::new(kept)))
    }

    /// Reads a file of lines `NAME=value`; empty lines and those that begin with `#` are left out. Blanks around a name and
    /// around a value are no part of them.
    ///
    /// # Errors
    ///
    /// A file that others than its owner may read or write (its mode must be 0600 or 0400), one whose owner is neither the
    /// user that this program runs as nor root, a line that is none of these, and what [`new`](Self::new) refuses. Of a line, its number is told.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, CoreError> {
        let path = path.as_ref();
        let shown = path.display();
        let unreadable = |error| {
            CoreError::new(CoreErrorKind::Invalid, format!("secrets in `{shown}` cannot be read")).source(error)
        };
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let metadata = file.metadata().map_err(unreadable)?;
            let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
            if !may_own(owner, user) {
                let message = format!("secrets in `{shown}` belong to user {owner}, expected {user}, who runs this");
                return Err(CoreError::new(CoreErrorKind::Denied, message));
            }
            let mode = metadata.mode() & 0o777;
            if mode & 0o177 != 0 {
                let message = format!("secrets in `{shown}` have mode {mode:04o}, expected 0600: others may read them");
                return Err(CoreError::new(CoreErrorKind::Denied, message));
            }
        }
        let mut text = String::new();
        std::io::Read::read_to_string(&mut file, &mut text).map_err(unreadable)?;
        let mut secrets = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once('=') else {
                return Err(invalid(format!("secrets in `{shown}`: line {} is not `NAME=value`", number + 1)));
            };
            secrets.push((name.trim_end().to_owned(), value.trim_start().to_owned()));
        }
        Self::new(secrets)
    }

    /// Reads the environment: `RUNNER_SECRET_NAME` is the secret `NAME`.
    ///
    /// # Errors
    ///
    /// What [`new`](Self::new) refuses, and a value that is not Unicode.
    pub fn from_environment() -> Result<Self, CoreError> {
        let mut secrets = Vec::new();
        for (variable, value) in std::env::vars_os() {
            let Some(name) = variable.to_str().and_then(|name| name.strip_prefix("RUNNER_SECRET_")) else { continue };
            let value = value.into_string().map_err(|_| invalid(format!("secret `{name}` is not Unicode")))?;
            secrets.push((name.to_owned(), value));
        }
        Self::new(secrets)
    }

    /// Both, where the others' values hold for names that both have.
    #[must_use]
    pub fn and(self, others: Secrets) -> Self {
        let mut all = Arc::unwrap_or_clone(self.0);
        all.extend(Arc::unwrap_or_clone(others.0));
        Secrets(Arc::new(all))
    }

    /// The names, in alphabetical order. There is no way to the values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What is looked for in everything that comes back, of these secrets.
    pub(crate) fn redactor<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Redactor {
        let mut needles = Vec::new();
        for value in names.into_iter().filter_map(|name| self.0.get(name)) {
            let encoded = utf8_percent_encode(value, ENCODED).to_string();
            let lower = lower_hex(&encoded);
            for needle in [value.clone(), encoded, lower] {
                if !needles.contains(&needle) {
                    needles.push(needle);
                }
            }
        }
        Redactor::of(needles)
    }

    /// A text with its placeholders filled in; `None` where it has none. `allow` says whether a secret may go there.
    fn fill(&self, text: &str, allow: &dyn Fn(&str) -> Result<()>) -> Result<Option<String>> {
        if !text.contains(BEGIN) {
            return Ok(None);
        }
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(BEGIN) {
            let (name, after) = after
                .split_once(END)
                .filter(|(name, _)| is_name(name))
                .ok_or_else(|| Error::denied("a placeholder is not `{{secret:NAME}}`, of capitals, digits and `_`"))?;
            allow(name)?;
            let value = self.0.get(name).ok_or_else(|| Error::denied(format!("secret `{name}` is not known here")))?;
            filled.push_str(before);
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(Some(filled))
    }

    /// Fills in the values of headers.
    pub(crate) fn fill_headers(&self, headers: &mut HeaderMap, allow: &dyn Fn(&str) -> Result<()>) -> Result<()> {
        for (name, value) in headers.iter_mut() {
            if !has_placeholder(value.as_bytes()) {
                continue;
            }
            let broken = || Error::denied(format!("header `{name}` with a placeholder is not text"));
            let text = std::str::from_utf8(value.as_bytes()).map_err(|_| broken())?;
            if let Some(filled) = self.fill(text, allow)? {
                *value = HeaderValue::from_str(&filled)
                    .or_else(|_| HeaderValue::from_bytes(filled.as_bytes()))
                    .map_err(|_| broken())?;
                value.set_sensitive(true);
            }
        }
        Ok(())
    }

    /// Fills in the values of a query, whether or not the guest has percent-encoded the placeholder; `None` where there is
    /// nothing to fill in.
    pub(crate) fn fill_query(&self, query: &str, allow: &dyn Fn(&str) -> Result<()>) -> Result<Option<String>> {
        if !has_placeholder(query.as_bytes()) {
            return Ok(None);
        }
        let mut pairs = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if has_placeholder(name.as_bytes()) {
                return Err(Error::denied("a placeholder stands in the name of a query's value, expected in a value"));
            }
            let decoded = percent_decode_str(value).decode_utf8_lossy();
            pairs.push(match self.fill(&decoded, allow)? {
                Some(filled) => format!("{name}={}", utf8_percent_encode(&filled, ENCODED)),
                None => pair.to_owned(),
            });
        }
        Ok(Some(pairs.join("&")))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secrets").field(&self.names().collect::<Vec<_>>()).finish()
    }
}

/// Whether a text has a placeholder, percent-encoded or not.
pub(crate) fn has_placeholder(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains(BEGIN) || percent_decode_str(&text).decode_utf8_lossy().contains(BEGIN)
}

/// Whether a secret may be called so.
pub(crate) fn is_name(name: &str) -> bool {
    const BYTES_MAX: usize = 128;
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.len() <= BYTES_MAX && name.bytes().all(fits)
}

/// Whether a file of secrets may belong to somebody: to the user, and to root, who may read and write all files anyway. To
/// others it may not: they would choose what is sent in this user's name.
#[cfg(unix)]
fn may_own(owner: u32, user: u32) -> bool {
    owner == user || owner == 0
}

fn invalid(message: String) -> CoreError {
    CoreError::new(CoreErrorKind::Invalid, message)
}

/// The same percent-encoding with its hexadecimal digits in lower case.
fn lower_hex(encoded: &str) -> String {
    let mut text = String::with_capacity(encoded.len());
    let mut digits = 0;
    for c in encoded.chars() {
        if c == '%' {
            digits = 2;
            text.push(c);
        } else if digits > 0 {
            digits -= 1;
            text.push(c.to_ascii_lowercase());
        } else {
            text.push(c);
        }
    }
    text
}

/// Takes secrets out of what came from outside.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Arc<Vec<String>>);

impl Redactor {
    fn of(mut needles: Vec<String>) -> Self {
        // The longer first: of two secrets, one may begin like the other.
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        needles.dedup();
        Redactor(Arc::new(needles))
    }

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self.0.is_empty(), other.0.is_empty()) {
            (true, _) => other,
            (false, true) => self,
            (false, false) => Self::of(self.0.iter().chain(&*other.0).cloned().collect()),
        }
    }

    /// Headers or trailers of a response.
    pub(crate) fn headers(&self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        for value in headers.values_mut() {
            let text = String::from_utf8_lossy(value.as_bytes());
            if self.holds(&text) {
                let clean = self.text(&text);
                *value = HeaderValue::from_str(&clean).unwrap_or(HeaderValue::from_static(REDACTED));
            }
        }
    }

    /// A text for people. Where a secret is spelt in a way that cannot be cut out of it, nothing of it is left.
    pub(crate) fn text(&self, text: &str) -> String {
        let clean = self.0.iter().fold(text.to_owned(), |text, needle| text.replace(needle.as_str(), REDACTED));
        match self.holds(&clean) {
            true => REDACTED.to_owned(),
            false => clean,
        }
    }

    /// Whether a secret stands in it, percent-encoded in any way or not.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let within = |text: &str| self.0.iter().any(|needle| text.contains(needle.as_str()));
        within(text) || text.contains('%') && within(&percent_decode_str(text).decode_utf8_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new([("KEY", "s3cr3t/+ü"), ("OTHER", "hush")]).unwrap()
    }

    fn allow(name: &str) -> Result<()> {
        match name {
            "OTHER" => Err(Error::denied("secret `OTHER` is not granted")),
            _ => Ok(()),
        }
    }

    #[test]
    fn a_header_is_filled_in_or_refused() {
        for (value, expected) in [
            ("plain", Ok("plain")),
            ("{{secret:KEY}}", Ok("s3cr3t/+ü")),
            ("Bearer {{secret:KEY}}, {{secret:KEY}}.", Ok("Bearer s3cr3t/+ü, s3cr3t/+ü.")),
            ("{{KEY}}", Ok("{{KEY}}")),
            ("{{secret:OTHER}}", Err("not granted")),
            ("{{secret:NONE}}", Err("secret `NONE` is not known here")),
            ("{{secret:key}}", Err("a placeholder is not")),
            ("{{secret:}}", Err("a placeholder is not")),
            ("{{secret:KEY", Err("a placeholder is not")),
            ("{{secret:{{secret:KEY}}}}", Err("a placeholder is not")),
        ] {
            let mut headers: HeaderMap = [("x-a".parse().unwrap(), value.parse().unwrap())].into_iter().collect();
            match (secrets().fill_headers(&mut headers, &allow), expected) {
                (Ok(()), Ok(expected)) => {
                    assert_eq!(headers["x-a"].as_bytes(), expected.as_bytes());
                    assert_eq!(headers["x-a"].is_sensitive(), value != expected);
                }
                (Err(error), Err(expected)) => assert!(error.message().contains(expected), "{error}"),
                (found, expected) => panic!("{value}: expected {expected:?}, found {found:?}"),
            }
        }
    }

    #[test]
    fn a_query_is_filled_in_value_by_value() {
        for (query, expected) in [
            ("a=b", Ok(None)),
            ("a={{secret:KEY}}&b=c%20d", Ok(Some("a=s3cr3t%2F%2B%C3%BC&b=c%20d"))),
            ("a=x%7B%7Bsecret%3AKEY%7D%7Dy", Ok(Some("a=xs3cr3t%2F%2B%C3%BCy"))),
            ("{{secret:KEY}}=a", Err("in the name")),
            ("{{secret:KEY}}", Err("in the name")),
            ("a={{secret:OTHER}}", Err("not granted")),
        ] {
            match (secrets().fill_query(query, &allow), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), expected),
                (Err(error), Err(expected)) => assert!(error.message().contains(expected), "{error}"),
                (found, expected) => panic!("{query}: expected {expected:?}, found {found:?}"),
            }
        }
    }

    #[test]
    fn what_comes_back_is_redacted_in_each_spelling() {
        let redactor = secrets().redactor(["KEY", "NONE"]);
        for (text, expected) in [
            ("nothing", "nothing"),
            ("a s3cr3t/+ü b", "a [redacted] b"),
            ("?k=s3cr3t%2F%2B%C3%BC", "?k=[redacted]"),
            ("?k=s3cr3t%2f%2b%c3%bc&l=s3cr3t/+ü", "?k=[redacted]&l=[redacted]"),
            ("?k=%733cr3t/%2b%C3%BC", "[redacted]"),
            ("hush", "hush"),
        ] {
            assert_eq!(redactor.text(text), expected);
            let mut headers = HeaderMap::new();
            headers.insert("x", HeaderValue::from_bytes(text.as_bytes()).unwrap());
            redactor.headers(&mut headers);
            assert_eq!(headers["x"].as_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn nothing_shows_a_value() {
        assert_eq!(format!("{:?}", secrets()), r#"Secrets(["KEY", "OTHER"])"#);
        let error = Secrets::new([("KEY", "sec\nret")]).unwrap_err();
        assert_eq!(error.to_string(), "secret `KEY` is empty, or holds a control character");
        assert!(Secrets::new([("key", "v")]).is_err() && Secrets::new([("KEY", "")]).is_err());
        let both = secrets().and(Secrets::new([("MORE", "v")]).unwrap());
        assert_eq!(both.names().collect::<Vec<_>>(), ["KEY", "MORE", "OTHER"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Secrets::from_file(&path).map_err(|error| error.to_string())
        };
        let read = write("# keys\n\nKEY = a=b \n OTHER=c\n", 0o600).unwrap();
        assert_eq!(read.0.get("KEY").unwrap(), "a=b");
        assert_eq!(read.names().collect::<Vec<_>>(), ["KEY", "OTHER"]);
        for mode in [0o644, 0o640, 0o604, 0o620, 0o700] {
            let error = write("KEY=v", mode).unwrap_err();
            assert!(error.contains(&format!("have mode {mode:04o}, expected 0600")), "{error}");
        }
        assert!(may_own(1000, 1000) && may_own(0, 1000) && !may_own(1001, 1000) && !may_own(1000, 0));
        let (path_of_other, user) = (folder.path().join("other"), rustix::process::geteuid().as_raw());
        std::fs::write(&path_of_other, "KEY=v").unwrap();
        std::fs::set_permissions(&path_of_other, std::fs::Permissions::from_mode(0o600)).unwrap();
        // Only root can give a file away; everybody else cannot open one of another's that has the right mode.
        match std::os::unix::fs::chown(&path_of_other, Some(user + 1), None) {
            Ok(()) => {
                let error = Secrets::from_file(&path_of_other).unwrap_err().to_string();
                assert!(error.contains(&format!("belong to user {}, expected {user}", user + 1)), "{error}");
            }
            Err(_) => assert_ne!(user, 0),
        }
        let error = write("KEY=v\nhush-hush\n", 0o600).unwrap_err();
        assert!(error.contains("line 2 is not `NAME=value`") && !error.contains("hush"), "{error}");
        assert!(Secrets::from_file(folder.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
    }
}
