//! The grant: what one program may ask of the outside, as an embedder writes it. Whatever reads one has already parsed it.

use std::borrow::Cow;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::address::Range;
use crate::secrets::is_name;
use crate::target::{Host, Path, Scheme};

/// What one program may ask of the outside. A request is sent if one rule allows it; without rules, none is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = example())]
pub struct Grant {
    /// What may be asked, and of whom. Of all rules that allow a request, the `addresses` hold together.
    #[serde(default)]
    pub allow: Vec<Rule>,
    /// The secrets that the host fills in for the guest, and where they may go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretGrant>,
    /// Numbers in the place of the host's own.
    #[serde(default, skip_serializing_if = "CapsGrant::is_default")]
    pub caps: CapsGrant,
}

/// As one would begin.
fn example() -> serde_json::Value {
    serde_json::json!({ "allow": [{ "host": "api.example.com", "methods": ["GET"], "path": "/" }] })
}

/// Requests that are allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `https` (the default) or `http`.
    #[serde(default)]
    pub scheme: Scheme,
    /// A host by its name or address; `*.example.com` for every name below `example.com`, itself not among them; `*` for
    /// every name, addresses not among them. A name in any alphabet, case, and with or without a dot at its end.
    pub host: HostPattern,
    /// The port. Without it, the scheme's own alone: 443 or 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The methods, in capitals; `*` for all but CONNECT and TRACE, which are never sent. GET and HEAD by default.
    #[serde(default = "reading")]
    pub methods: Vec<MethodPattern>,
    /// The path that it must be at or below, segment by segment: `/v1` allows `/v1` and `/v1/users`, not `/v10`. `/` by
    /// default. Below a path other than `/`, a path that servers may read in another way is refused.
    #[serde(default)]
    pub path: PathPrefix,
    /// Addresses that may be reached beside the public ones, by range: `["10.1.0.0/16"]`. A cloud's metadata address is
    /// allowed by a range of that one address alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Range>,
}

impl Rule {
    /// GET and HEAD over https of one host, on its usual port.
    ///
    /// ```
    /// # use runner_host_http::Rule;
    /// let rule = Rule::host("api.example.com")?.methods(["GET", "POST"])?.path("/v1")?;
    /// # Ok::<(), String>(())
    /// ```
    pub fn host(host: &str) -> Result<Self, String> {
        Ok(Rule {
            scheme: Scheme::Https,
            host: HostPattern::try_from(host.to_owned())?,
            port: None,
            methods: reading(),
            path: PathPrefix::default(),
            addresses: Vec::new(),
        })
    }

    /// In the open.
    #[must_use]
    pub fn http(self) -> Self {
        Rule { scheme: Scheme::Http, ..self }
    }

    /// On another port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Rule { port: Some(port), ..self }
    }

    /// By other methods.
    pub fn methods<'a>(self, methods: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let methods = methods.into_iter().map(|method| MethodPattern::try_from(method.to_owned()));
        Ok(Rule { methods: methods.collect::<Result<_, _>>()?, ..self })
    }

    /// At or below a path.
    pub fn path(self, path: &str) -> Result<Self, String> {
        Ok(Rule { path: PathPrefix::try_from(path.to_owned())?, ..self })
    }

    /// At addresses that are not public.
    pub fn addresses<'a>(self, ranges: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        Ok(Rule { addresses: ranges.into_iter().map(str::parse).collect::<Result<_, _>>()?, ..self })
    }
}

fn reading() -> Vec<MethodPattern> {
    vec![MethodPattern(Some(Method::GET)), MethodPattern(Some(Method::HEAD))]
}

/// A secret that the host fills in where the guest writes `{{secret:NAME}}` in the value of a header or in a value of the
/// query. The guest never holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretGrant {
    /// Its name with the host: capitals, digits and `_`.
    #[serde(deserialize_with = "secret_name")]
    pub name: String,
    /// The hosts that it is sent to, written as in a rule; `*` is not among what may be written.
    #[serde(deserialize_with = "some_hosts")]
    pub hosts: Vec<HostPattern>,
    /// Whether it may also travel in the open, over `http`. No by default.
    #[serde(default)]
    pub plain: bool,
}

fn secret_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    match is_name(&name) {
        true => Ok(name),
        false => {
            let name = name.escape_debug();
            Err(D::Error::custom(format!("secret `{name}` is not named in capitals, digits and `_`")))
        }
    }
}

/// A secret that goes to everybody is none.
fn some_hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HostPattern>, D::Error> {
    let hosts = Vec::<HostPattern>::deserialize(deserializer)?;
    match hosts.iter().any(HostPattern::is_any) {
        true => Err(D::Error::custom("a secret goes to hosts that are named, found `*`")),
        false => Ok(hosts),
    }
}

/// Numbers in the place of the host's own; those left out stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapsGrant {
    /// Headers of a request, of a response, and the trailers of each, apart: bytes of names and values, and 4 for each line,
    /// of which there are 512 at most. No more than 262,144, of which a guest makes 65,536 itself.
    #[serde(default, deserialize_with = "header_bytes", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 262144))]
    pub header_bytes: Option<u64>,
    /// The body of one request, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_bytes: Option<u64>,
    /// The body of one response, bytes as they travel: nothing is decompressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<u64>,
    /// From the request to the end of the response's body, redirects included, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<NonZeroU64>,
    /// Until there is a connection, the name's resolution, TLS and the wait for a free connection included, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<NonZeroU64>,
    /// From the request to the head of its response, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<NonZeroU64>,
    /// Between two pieces of the response's body, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between_bytes_ms: Option<NonZeroU64>,
    /// Exchanges under way at once with one scheme, host and port; over HTTP/1.1 each has a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections_per_host: Option<NonZeroU32>,
    /// Connections that are open at once, in use or not, with all hosts together. The host has a number for all grants, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<NonZeroU32>,
    /// Exchanges under way at once with all hosts, in all calls together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<NonZeroU32>,
    /// Exchanges under way at once in one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanges_per_call: Option<NonZeroU32>,
    /// Redirects that the host follows for the guest, each allowed by a rule; 0 gives the guest the redirect itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirects: Option<u32>,
}

impl CapsGrant {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The numbers that hold.
    pub(crate) fn over(&self, host: &Caps) -> Caps {
        let time = |ms: Option<NonZeroU64>, otherwise| ms.map_or(otherwise, |ms| Duration::from_millis(ms.get()));
        let count = |count: Option<NonZeroU32>, otherwise| count.map_or(otherwise, NonZeroU32::get);
        Caps {
            header_bytes: self.header_bytes.unwrap_or(host.header_bytes).min(Caps::HEADER_BYTES_MAX),
            request_bytes: self.request_bytes.unwrap_or(host.request_bytes),
            response_bytes: self.response_bytes.unwrap_or(host.response_bytes),
            total: time(self.total_ms, host.total),
            connect: time(self.connect_ms, host.connect),
            first_byte: time(self.first_byte_ms, host.first_byte),
            between_bytes: time(self.between_bytes_ms, host.between_bytes),
            connections_per_host: count(self.connections_per_host, host.connections_per_host),
            connections: count(self.connections, host.connections),
            exchanges: count(self.exchanges, host.exchanges),
            exchanges_per_call: count(self.exchanges_per_call, host.exchanges_per_call),
            redirects: self.redirects.unwrap_or(host.redirects),
        }
    }
}

fn header_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let (found, allowed) = (Option::<u64>::deserialize(deserializer)?, 1..=Caps::HEADER_BYTES_MAX);
    match found.filter(|found| !allowed.contains(found)) {
        Some(found) => Err(D::Error::custom(format!("`header_bytes`: expected 1 to {}, found {found}", allowed.end()))),
        None => Ok(found),
    }
}

/// What one exchange may cost, where the grant says nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Headers of a request, of a response, and the trailers of each, apart: names and values, and 4 bytes for each line, of
    /// which there are 512 at most. Default 64 KiB, and no more than [`Caps::HEADER_BYTES_MAX`]. A guest makes 64 KiB itself
    /// at most.
    pub header_bytes: u64,
    /// The body of one request. Default 16 MiB.
    pub request_bytes: u64,
    /// The body of one response, as it travels: nothing is decompressed. Default 16 MiB.
    pub response_bytes: u64,
    /// From the request to the end of the response's body, redirects included. Default 60 s.
    pub total: Duration,
    /// Until there is a connection: resolution, TLS and the wait for a free connection included. Default 5 s.
    pub connect: Duration,
    /// From the request to the head of its response, the sending of its body included. Default 30 s.
    pub first_byte: Duration,
    /// Between two pieces of the response's body. Default 30 s.
    pub between_bytes: Duration,
    /// Exchanges under way at once with one scheme, host and port. Default 32.
    ///
    /// Over HTTP/1.1 each has a connection, which stays open for 90 s when nobody uses it. Over HTTP/2 they share one. An
    /// exchange is under way until its response was read, or dropped, and its request was sent.
    pub connections_per_host: u32,
    /// Connections that are open at once for one grant, in use or not, with all hosts together. Default 128.
    ///
    /// Where as many are there, the one that rested longest is closed for the one that is wanted; where all are in use, it
    /// waits, for [`Caps::connect`] at most. [`Client::connections`](crate::Client::connections) is the number for all grants.
    pub connections: u32,
    /// Exchanges under way at once for one grant, in all calls together. Default 256: over HTTP/2 several share a connection.
    pub exchanges: u32,
    /// Exchanges under way at once in one call. Default 64.
    pub exchanges_per_call: u32,
    /// Redirects that the host follows. Default 0: the guest is given the redirect.
    pub redirects: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Caps {
            header_bytes: 64 << 10,
            request_bytes: 16 << 20,
            response_bytes: 16 << 20,
            total: Duration::from_secs(60),
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            between_bytes: Duration::from_secs(30),
            connections_per_host: 32,
            connections: 128,
            exchanges: 256,
            exchanges_per_call: 64,
            redirects: 0,
        }
    }
}

impl Caps {
    /// The largest [`Caps::header_bytes`]. A connection holds up to 408 KiB while it reads them: hyper's number, which the client
    /// does not change.
    pub const HEADER_BYTES_MAX: u64 = 256 << 10;
}

/// Which hosts: one, all below a name, or all names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern(Hosts);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Hosts {
    One(Host),
    Below(String),
    Named,
}

impl HostPattern {
    /// Whether the host is one of them.
    pub fn matches(&self, host: &Host) -> bool {
        match (&self.0, host) {
            (Hosts::One(one), host) => one == host,
            (Hosts::Below(suffix), Host::Name(name)) => {
                name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            (Hosts::Named, Host::Name(_)) => true,
            (Hosts::Below(_) | Hosts::Named, Host::Address(_)) => false,
        }
    }

    /// Whether it is every name there is.
    pub(crate) fn is_any(&self) -> bool {
        self.0 == Hosts::Named
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (suffix, below) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text.as_str(), false),
        };
        if text == "*" {
            return Ok(HostPattern(Hosts::Named));
        }
        if suffix.contains('*') {
            return Err(format!("host `{text}` has a `*` elsewhere than in `*.` at its beginning"));
        }
        match (Host::parse(suffix)?, below) {
            (host, false) => Ok(HostPattern(Hosts::One(host))),
            (Host::Name(name), true) => Ok(HostPattern(Hosts::Below(name))),
            (Host::Address(_), true) => Err(format!("host `{text}` asks for names below an address")),
        }
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> String {
        pattern.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Hosts::One(host) => write!(f, "{host}"),
            Hosts::Below(suffix) => write!(f, "*.{suffix}"),
            Hosts::Named => f.write_str("*"),
        }
    }
}

/// A method, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MethodPattern(Option<Method>);

impl MethodPattern {
    /// Whether the method is one of them.
    pub fn matches(&self, method: &Method) -> bool {
        self.0.as_ref().is_none_or(|allowed| allowed == method)
    }
}

impl TryFrom<String> for MethodPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "*" {
            return Ok(MethodPattern(None));
        }
        let method =
            Method::from_bytes(text.as_bytes()).map_err(|_| format!("method `{}` is none", text.escape_debug()))?;
        // RFC 9110, 9.1: methods are case-sensitive, and all that are registered are in capitals.
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err(format!("method `{text}` is not in capitals"));
        }
        if matches!(method, Method::CONNECT | Method::TRACE) {
            return Err(format!("method `{text}` is never sent: it opens a tunnel, or shows what was sent"));
        }
        Ok(MethodPattern(Some(method)))
    }
}

impl From<MethodPattern> for String {
    fn from(pattern: MethodPattern) -> String {
        pattern.0.map_or_else(|| "*".to_owned(), |method| method.to_string())
    }
}

/// The path that a request must be at or below.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPrefix(Path);

impl PathPrefix {
    /// Whether the path is at or below it. A path that may be read in two ways is below `/` alone.
    pub fn holds(&self, path: &Path) -> bool {
        self.0.as_str() == "/" || path.ambiguity().is_none() && path.is_below(&self.0)
    }
}

impl Default for PathPrefix {
    fn default() -> Self {
        PathPrefix(Path::parse("/").expect("`/` is a path"))
    }
}

impl TryFrom<String> for PathPrefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let path = Path::parse(&text)?;
        match path.ambiguity() {
            Some(why) => Err(format!("path `{text}` has {why}: no request could be below it")),
            None => Ok(PathPrefix(path)),
        }
    }
}

impl From<PathPrefix> for String {
    fn from(prefix: PathPrefix) -> String {
        prefix.0.as_str().to_owned()
    }
}

/// The schema of what is written as text.
macro_rules! text_schema {
    ($type:ident, $about:literal, $example:literal) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $about, "examples": [$example] })
            }
        }
    };
}

text_schema!(HostPattern, "A host, `*.suffix`, or `*`.", "api.example.com");
text_schema!(MethodPattern, "A method in capitals, or `*`.", "GET");
text_schema!(PathPrefix, "A path that begins with `/`.", "/v1");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn grant(json: serde_json::Value) -> Result<Grant, String> {
        Grant::deserialize(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_grant_reads_as_it_is_written() {
        let short = grant(json!({ "allow": [{ "host": "API.example.com." }] })).unwrap();
        assert_eq!(short, Grant { allow: vec![Rule::host("api.example.com").unwrap()], ..Grant::default() });
        let text = serde_json::to_value(&short).unwrap();
        assert_eq!(
            text,
            json!({ "allow": [{ "scheme": "https", "host": "api.example.com", "methods": ["GET", "HEAD"], "path": "/" }] })
        );
        let long = json!({
            "allow": [{
                "scheme": "http", "host": "*.example.com", "port": 8080, "methods": ["POST"], "path": "/v1",
                "addresses": ["10.0.0.0/8"],
            }],
            "secrets": [{ "name": "KEY", "hosts": ["a.example.com"], "plain": true }],
            "caps": { "total_ms": 100, "redirects": 3 },
        });
        assert_eq!(serde_json::to_value(grant(long.clone()).unwrap()).unwrap(), long);
        assert_eq!(grant(json!({})).unwrap(), Grant::default());
    }

    #[test]
    fn a_grant_that_says_nothing_clear_is_refused_with_its_reason() {
        for (rule, error) in [
            (json!({}), "missing field `host`"),
            (json!({ "host": "a", "hosts": "b" }), "unknown field `hosts`"),
            (json!({ "host": "a*" }), "has a `*` elsewhere"),
            (json!({ "host": "*.*.a" }), "has a `*` elsewhere"),
            (json!({ "host": "*.127.0.0.1" }), "below an address"),
            (json!({ "host": "https://a" }), "contains `/`"),
            (json!({ "host": "a:80" }), "is none"),
            (json!({ "host": "" }), "is none"),
            (json!({ "host": "a", "scheme": "ftp" }), "unknown variant `ftp`"),
            (json!({ "host": "a", "port": 70_000 }), "expected u16"),
            (json!({ "host": "a", "methods": ["get"] }), "not in capitals"),
            (json!({ "host": "a", "methods": ["CONNECT"] }), "never sent"),
            (json!({ "host": "a", "methods": ["G ET"] }), "is none"),
            (json!({ "host": "a", "path": "v1" }), "begin with"),
            (json!({ "host": "a", "path": "/a%2fb" }), "an encoded slash"),
            (json!({ "host": "a", "addresses": ["10.0.0.1/8"] }), "bits beyond its prefix"),
        ] {
            let found = grant(json!({ "allow": [rule] })).unwrap_err();
            assert!(found.contains(error), "{rule}: {found}");
        }
        for (secret, error) in [
            (json!({ "name": "KEY", "hosts": ["*"] }), "goes to hosts that are named"),
            (json!({ "name": "key", "hosts": ["a"] }), "secret `key` is not named in capitals"),
            (json!({ "name": "KEY" }), "missing field `hosts`"),
        ] {
            let found = grant(json!({ "secrets": [secret] })).unwrap_err();
            assert!(found.contains(error), "{secret}: {found}");
        }
        assert!(grant(json!({ "caps": { "total": 1 } })).is_err());
        let validator = jsonschema::validator_for(&schemars::schema_for!(Grant).to_value()).unwrap();
        for useless in [
            "total_ms",
            "connect_ms",
            "first_byte_ms",
            "between_bytes_ms",
            "connections_per_host",
            "connections",
            "exchanges",
            "exchanges_per_call",
            "header_bytes",
        ] {
            for (number, fits) in [(0, false), (1, true)] {
                let caps = json!({ "caps": { useless: number } });
                assert_eq!((grant(caps.clone()).is_ok(), validator.is_valid(&caps)), (fits, fits), "{caps}");
            }
        }
        for (bytes, fits) in [(262_144, true), (262_145, false)] {
            let caps = json!({ "caps": { "header_bytes": bytes } });
            assert_eq!((grant(caps.clone()).is_ok(), validator.is_valid(&caps)), (fits, fits), "{caps}");
        }
        let found = grant(json!({ "caps": { "header_bytes": 1 << 20 } })).unwrap_err();
        assert_eq!(found, "`header_bytes`: expected 1 to 262144, found 1048576");
        for nothing in ["request_bytes", "response_bytes", "redirects"] {
            assert!(grant(json!({ "caps": { nothing: 0 } })).is_ok(), "{nothing}");
        }
        assert!(grant(json!({ "alow": [] })).unwrap_err().contains("unknown field `alow`"));
    }

    #[test]
    fn a_pattern_matches_hosts_and_no_more() {
        for (pattern, host, matches) in [
            ("example.com", "example.com", true),
            ("example.com", "EXAMPLE.COM.", true),
            ("example.com", "www.example.com", false),
            ("example.com", "example.com.evil.example", false),
            ("example.com", "notexample.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "notexample.com", false),
            ("*.example.com", "www.example.com.evil.example", false),
            ("*.BÜCHER.example", "www.xn--bcher-kva.example", true),
            ("bücher.example", "xn--bcher-kva.example", true),
            ("*", "anything.example", true),
            ("*", "127.0.0.1", false),
            ("*", "[::1]", false),
            ("127.0.0.1", "0x7f.1", true),
            ("127.0.0.1", "[::ffff:127.0.0.1]", false),
            ("[::1]", "[0::1]", true),
        ] {
            let found = HostPattern::try_from(pattern.to_owned()).unwrap().matches(&Host::parse(host).unwrap());
            assert_eq!(found, matches, "{pattern} {host}");
        }
    }

    #[test]
    fn the_schema_says_what_each_field_is_for() {
        let schema = schemars::schema_for!(Grant).to_value();
        let rule = &schema["$defs"]["Rule"]["properties"];
        assert!(rule["host"]["description"].as_str().unwrap().contains("every name below"), "{schema:#}");
        assert_eq!(rule["host"]["type"], "string");
        assert_eq!(schema["additionalProperties"], false);
        for field in ["scheme", "port", "methods", "path", "addresses"] {
            assert!(rule[field]["description"].is_string(), "{field}: {schema:#}");
        }
        for field in ["allow", "secrets", "caps"] {
            assert!(schema["properties"][field]["description"].is_string(), "{field}: {schema:#}");
        }
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(validator.is_valid(&json!({ "allow": [{ "host": "a", "methods": ["*"], "addresses": ["::1"] }] })));
        assert!(!validator.is_valid(&json!({ "allow": [{ "hots": "a" }] })));
    }
}
