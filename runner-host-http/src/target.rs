//! Where a request goes, in one spelling: whatever a guest or a redirect wrote, it is parsed here once, and what is sent is
//! what was checked.
//!
//! The host is read as browsers read it (WHATWG URL, IDNA), so that an odd spelling of an address is that address.

use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host as UrlHost, Url};

use crate::error::{Error, ErrorKind, Result};

/// How the request travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Over TLS.
    #[default]
    Https,
    /// In the open.
    Http,
}

impl Scheme {
    /// The scheme as it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Https => "https",
            Scheme::Http => "http",
        }
    }

    /// The port where none is given.
    pub fn port(self) -> u16 {
        match self {
            Scheme::Https => 443,
            Scheme::Http => 80,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host in one spelling: a name in lower case, ASCII, without the dot at its end; or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, to be resolved.
    Name(String),
    /// An address, written as such.
    Address(IpAddr),
}

impl Host {
    /// Reads a host as it stands in a URL: IPv6 in brackets, IPv4 in any spelling, other names by IDNA.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("host `{}` {why}", text.escape_debug());
        // What the parser would take off, decode, or cut at; none of it has a place in a host.
        if let Some(found) = text.chars().find(|c| c.is_ascii_control() || " %@/\\?#<>^|\"'`{}".contains(*c)) {
            return Err(wrong(&format!("contains `{}`", found.escape_debug())));
        }
        match UrlHost::parse(text).map_err(|error| wrong(&format!("is none: {error}")))? {
            UrlHost::Ipv4(address) => Ok(Host::Address(address.into())),
            UrlHost::Ipv6(address) => Ok(Host::Address(address.into())),
            UrlHost::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                // RFC 1035, 2.3.4.
                if name.is_empty()
                    || name.len() > 253
                    || name.split('.').any(|label| label.is_empty() || label.len() > 63)
                {
                    return Err(wrong("has a label that is empty or over 63 bytes, or is over 253 bytes itself"));
                }
                Ok(Host::Name(name.to_owned()))
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// A scheme, a host and a port: what shares connections, cookies and credentials (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Who.
    pub host: Host,
    /// The port, also where it is the scheme's own.
    pub port: u16,
}

impl Origin {
    /// Its URL, as the client reads it that dials.
    pub(crate) fn url(&self) -> Result<Url> {
        let url = Url::parse(&self.to_string())
            .map_err(|error| Error::new(ErrorKind::UriInvalid, format!("the URL is none: {error}")))?;
        // What is dialled must be what was checked, whoever parses it next.
        let same_host = match (url.host(), &self.host) {
            (Some(UrlHost::Domain(found)), Host::Name(name)) => found == name,
            (Some(UrlHost::Ipv4(found)), Host::Address(address)) => IpAddr::from(found) == *address,
            (Some(UrlHost::Ipv6(found)), Host::Address(address)) => IpAddr::from(found) == *address,
            _ => false,
        };
        let same = url.port_or_known_default() == Some(self.port) && url.scheme() == self.scheme.as_str();
        match same_host && same {
            true => Ok(url),
            false => Err(two_ways()),
        }
    }
}

fn two_ways() -> Error {
    Error::new(ErrorKind::UriInvalid, "the URL can be read in two ways")
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// A path with its percent-encoding and dot segments normalised (RFC 3986, 6.2.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    text: String,
    /// Why servers may read another path out of it.
    ambiguity: Option<&'static str>,
}

impl Path {
    /// Reads a path that begins with `/`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("path `{}` {why}", text.escape_debug());
        let rest = text.strip_prefix('/').ok_or_else(|| wrong("does not begin with `/`"))?;
        let mut ambiguity = None;
        let mut segments: Vec<String> = Vec::new();
        let mut open = false;
        for segment in rest.split('/') {
            let (segment, ambiguous) = normalised(segment).map_err(&wrong)?;
            ambiguity = ambiguity.or(ambiguous);
            open = matches!(segment.as_str(), "." | "..");
            match segment.as_str() {
                "." => {}
                ".." => {
                    segments.pop();
                }
                _ => segments.push(segment),
            }
        }
        let mut text = String::with_capacity(text.len());
        for segment in &segments {
            text.push('/');
            text.push_str(segment);
        }
        // `/a/.` and `/a/b/..` are `/a/`.
        if open || segments.is_empty() {
            text.push('/');
        }
        Ok(Path { text, ambiguity })
    }

    /// The path as it is sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Why servers may read another path out of it: there, a prefix says nothing.
    pub fn ambiguity(&self) -> Option<&'static str> {
        self.ambiguity
    }

    /// Whether it lies at or below a prefix, segment by segment: `/a` holds `/a` and `/a/b`, not `/ab`.
    pub fn is_below(&self, prefix: &Path) -> bool {
        match self.text.strip_prefix(prefix.text.trim_end_matches('/')) {
            Some(rest) => rest.is_empty() && !prefix.text.ends_with('/') || rest.starts_with('/'),
            None => false,
        }
    }
}

/// A segment with needless percent-encoding taken off, and why it may be read in another way.
fn normalised(segment: &str) -> Result<(String, Option<&'static str>), &'static str> {
    let mut text = String::with_capacity(segment.len());
    let bytes = segment.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match byte {
            b'%' => {
                let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
                    return Err("has a `%` without two hexadecimal digits");
                };
                let decoded = (high * 16 + low) as u8;
                match decoded {
                    0..0x20 | 0x7f => return Err("has an encoded control character"),
                    // RFC 3986, 2.3: these are the same encoded or not.
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(decoded.into()),
                    _ => text.push_str(&format!("%{decoded:02X}")),
                }
                at += 3;
                continue;
            }
            b'\\' => return Err("has a backslash"),
            b'{' | b'}' => return Err("has a brace: a placeholder stands in a header or in a query value"),
            b'"' | b'<' | b'>' | b'^' | b'`' | b'|' | b'#' | b'?' | b' ' | 0..0x20 | 0x7f.. => {
                return Err("has a character that must be percent-encoded");
            }
            _ => text.push(byte.into()),
        }
        at += 1;
    }
    Ok((text.clone(), ambiguity(&text)))
}

/// Why a normalised segment may be more than one segment, or another, to some servers.
fn ambiguity(segment: &str) -> Option<&'static str> {
    // Some decode twice and more.
    let mut decoded = segment.to_owned();
    loop {
        if decoded.contains(['/', '\\']) {
            return Some("an encoded slash");
        }
        // Some take off what follows a `;` before they look for dots.
        let bare = decoded.split(';').next().unwrap_or_default();
        if bare != segment && matches!(bare, "." | "..") {
            return Some("dots behind an encoding");
        }
        if decoded.contains('\0') {
            return Some("an encoded end of text");
        }
        let again = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
        if again == decoded {
            return None;
        }
        decoded = again;
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Scheme, host and port.
    pub origin: Origin,
    /// The path.
    pub path: Path,
    /// What follows the `?`, as it was written.
    pub query: Option<String>,
}

/// Bytes of a URL; RFC 9110, 4.1 asks for 8000 at least.
const URL_BYTES_MAX: usize = 16 << 10;

impl Target {
    /// Reads the parts of a request.
    ///
    /// Credentials in the authority, fragments, control characters, backslashes and incomplete percent-encodings are
    /// refused.
    pub fn new(scheme: Scheme, authority: &str, path_and_query: &str) -> Result<Self> {
        let invalid = |why: String| Error::new(ErrorKind::UriInvalid, why);
        if authority.len() + path_and_query.len() > URL_BYTES_MAX {
            return Err(Error::limited(
                ErrorKind::UriTooLong,
                format!("the URL is over {URL_BYTES_MAX} bytes"),
                URL_BYTES_MAX as u64,
            ));
        }
        if authority.contains('@') {
            return Err(invalid("the authority carries credentials: send them in a header".to_owned()));
        }
        let (host, port) = split_port(authority).map_err(invalid)?;
        let host = Host::parse(host).map_err(invalid)?;
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let path = Path::parse(if path.is_empty() { "/" } else { path }).map_err(invalid)?;
        if let Some(found) =
            query.and_then(|query| query.chars().find(|c| !c.is_ascii_graphic() || "#\\<>\"".contains(*c)))
        {
            return Err(invalid(format!(
                "the query contains `{}`, which must be percent-encoded",
                found.escape_debug()
            )));
        }
        let origin = Origin { scheme, host, port: port.unwrap_or(scheme.port()) };
        Ok(Target { origin, path, query: query.map(str::to_owned) })
    }

    /// Reads an absolute URL.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| Error::new(ErrorKind::UriInvalid, "the URL has no scheme"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            other => {
                let why = format!("scheme `{}` is not served, expected `https` or `http`", other.escape_debug());
                return Err(Error::new(ErrorKind::UriInvalid, why));
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        match path.starts_with('?') {
            true => Self::new(scheme, authority, &format!("/{path}")),
            false => Self::new(scheme, authority, path),
        }
    }

    /// Follows a `Location` (RFC 9110, 10.2.2), which may be relative. Its fragment says nothing to a server.
    pub fn join(&self, location: &str) -> Result<Self> {
        let wrong =
            |error: url::ParseError| Error::new(ErrorKind::Denied, format!("the redirect leads nowhere: {error}"));
        let mut next = Url::parse(&self.to_string()).and_then(|base| base.join(location)).map_err(wrong)?;
        next.set_fragment(None);
        Self::parse(next.as_str())
    }

    /// The URL that is dialled, from that of its origin, with a query in the place of its own.
    pub(crate) fn url(&self, base: &Url, query: Option<&str>) -> Result<Url> {
        let mut url = base.clone();
        url.set_path(self.path.as_str());
        url.set_query(query);
        // What is sent must be what was checked.
        match url.path() == self.path.as_str() {
            true => Ok(url),
            false => Err(two_ways()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path.as_str())?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

/// Host and port of an authority.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let colon = match authority.rfind(']') {
        Some(bracket) => authority[bracket..].find(':').map(|at| bracket + at),
        None => authority.find(':'),
    };
    let Some(colon) = colon else { return Ok((authority, None)) };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    let number = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse::<u16>().ok()).flatten();
    match (port.is_empty(), number) {
        // RFC 3986, 3.2.3: an empty port is the scheme's own.
        (true, _) => Ok((host, None)),
        (false, Some(port)) if port > 0 => Ok((host, Some(port))),
        _ => Err(format!("port `{}` is none, expected 1 to 65535", port.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn host(text: &str, expected: Option<&str>) {
        let found = Host::parse(text).ok().map(|host| host.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn a_host_has_one_spelling() {
        for (text, expected) in [
            ("example.com", "example.com"),
            ("EXAMPLE.com.", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("ｅｘａｍｐｌｅ。com", "example.com"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("0177.0.0.01", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("①②⑦.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
            ("[::FFFF:7f00:1]", "[::ffff:127.0.0.1]"),
        ] {
            host(text, Some(expected));
        }
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        let long = "a".repeat(64);
        let longer = vec!["a"; 130].join(".");
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "a b",
            "a\tb",
            "a%2eb",
            "%31%32%37.0.0.1",
            "user@host",
            "host/path",
            "host\\path",
            "a?b",
            "a#b",
            "256.256.256.256",
            "1.2.3.4.5",
            "0x100000000",
            "[::1",
            "::1",
            "[fe80::1%eth0]",
            "[fe80::1%25eth0]",
            "[1.2.3.4]",
            "a{b}",
            "exa\u{0}mple.com",
            &long,
            &longer,
        ] {
            host(text, None);
        }
    }

    #[track_caller]
    fn path(text: &str, expected: Result<&str, &str>, ambiguous: bool) {
        match (Path::parse(text), expected) {
            (Ok(path), Ok(expected)) => {
                assert_eq!(path.as_str(), expected, "{text}");
                assert_eq!(path.ambiguity().is_some(), ambiguous, "{text}: {:?}", path.ambiguity());
                assert_eq!(Path::parse(path.as_str()), Ok(path), "{text} is normal once it is normalised");
            }
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{text}: {error}"),
            (found, expected) => panic!("{text}: expected {expected:?}, found {found:?}"),
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        for (text, expected, ambiguous) in [
            ("/", "/", false),
            ("/a/b", "/a/b", false),
            ("/a/b/", "/a/b/", false),
            ("/a//b", "/a//b", false),
            ("/a/./b", "/a/b", false),
            ("/a/../b", "/b", false),
            ("/a/..", "/", false),
            ("/a/.", "/a/", false),
            ("/../../a", "/a", false),
            ("/%7Euser/%61", "/~user/a", false),
            ("/a/%2e%2E/b", "/b", false),
            ("/a/.%2e/b", "/b", false),
            ("/a%20b/%c3%bc", "/a%20b/%C3%BC", false),
            ("/100%25", "/100%25", false),
            ("/a;v=1/b", "/a;v=1/b", false),
            ("/...", "/...", false),
            ("/a/..;/b", "/a/..;/b", true),
            ("/a/.;x=1/b", "/a/.;x=1/b", true),
            ("/a%2fb", "/a%2Fb", true),
            ("/a%5Cb", "/a%5Cb", true),
            ("/a%252fb", "/a%252fb", true),
            ("/a/%252e%252e/b", "/a/%252e%252e/b", true),
            ("/a/%25252e%25252e/b", "/a/%25252e%25252e/b", true),
        ] {
            path(text, Ok(expected), ambiguous);
        }
        for (text, error) in [
            ("", "begin with"),
            ("a", "begin with"),
            ("/a\\b", "backslash"),
            ("/a%", "two hexadecimal"),
            ("/a%2", "two hexadecimal"),
            ("/a%zz", "two hexadecimal"),
            ("/a%00", "control"),
            ("/a%0d%0aHost:x", "control"),
            ("/a b", "percent-encoded"),
            ("/a\r\nHost: x", "percent-encoded"),
            ("/ü", "percent-encoded"),
            ("/{{secret:KEY}}", "a placeholder stands in a header"),
        ] {
            path(text, Err(error), false);
        }
    }

    #[test]
    fn a_prefix_holds_whole_segments() {
        for (prefix, path, below) in [
            ("/", "/", true),
            ("/", "/a", true),
            ("/a", "/a", true),
            ("/a", "/a/", true),
            ("/a", "/a/b", true),
            ("/a", "/ab", false),
            ("/a", "/A", false),
            ("/a", "/", false),
            ("/a/", "/a/b", true),
            ("/a/", "/a/", true),
            ("/a/", "/a", false),
            ("/a", "/a/../b", false),
            ("/a", "/a/%2e%2e/b", false),
            ("/a", "/b/../a/c", true),
            ("/a", "//a", false),
            ("/%61", "/a/b", true),
        ] {
            let found = Path::parse(path).unwrap().is_below(&Path::parse(prefix).unwrap());
            assert_eq!(found, below, "{path} below {prefix}");
        }
    }

    #[test]
    fn a_target_reads_the_same_to_whoever_parses_it_next() {
        for (url, expected) in [
            ("https://example.com", "https://example.com/"),
            ("HTTP://Example.COM:80/a?b=c", "http://example.com/a?b=c"),
            ("https://example.com:8443?x", "https://example.com:8443/?x"),
            ("http://2130706433/", "http://127.0.0.1/"),
            ("http://[::1]:8080/%61", "http://[::1]:8080/a"),
            ("http://[::ffff:7f00:1]/", "http://[::ffff:127.0.0.1]/"),
            ("https://example.com/a/../b?q={{secret:KEY}}", "https://example.com/b?q={{secret:KEY}}"),
            ("https://example.com:/", "https://example.com/"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.to_string(), expected);
            let base = target.origin.url().unwrap();
            assert_eq!(target.url(&base, target.query.as_deref()).unwrap(), Url::parse(expected).unwrap(), "{url}");
        }
        for url in [
            "example.com",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://",
            "https:///a",
            "https://user:pw@example.com/",
            "https://example.com@evil.example/",
            "https://example.com:0/",
            "https://example.com:65536/",
            "https://example.com:+80/",
            "https://example.com:8a/",
            "https://example.com/#fragment",
            "https://example.com/?a b",
            "https://example.com/?a\\b",
            "https://example.com\\@evil.example/",
            "https://exa mple.com/",
            "gopher://127.0.0.1:6379/_INFO",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
        let long = Target::parse(&format!("https://a/{}", "x".repeat(URL_BYTES_MAX))).unwrap_err();
        assert_eq!(long.kind(), ErrorKind::UriTooLong);
    }

    #[test]
    fn a_location_is_followed_from_where_it_was_found() {
        let from = Target::parse("https://example.com/a/b?c=d").unwrap();
        for (location, expected) in [
            ("/x", "https://example.com/x"),
            ("x?y", "https://example.com/a/x?y"),
            ("../x", "https://example.com/x"),
            ("//other.example/x", "https://other.example/x"),
            ("http://0x7f.1/x#y", "http://127.0.0.1/x"),
            ("\\\\other.example\\x", "https://other.example/x"),
            ("", "https://example.com/a/b?c=d"),
        ] {
            assert_eq!(from.join(location).unwrap().to_string(), expected, "{location}");
        }
        for location in ["ftp://example.com/", "javascript:alert(1)", "https://user:pw@example.com/", "https://[/"] {
            assert!(from.join(location).is_err(), "{location}");
        }
    }
}
