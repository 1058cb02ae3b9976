//! Outgoing HTTP for guests of Runner: `wasi:http` by allow-list, over pooled connections that cannot be turned against the
//! inside of a network.
//!
//! # A host, and what it lends
//!
//! A guest is any component that imports `wasi:http/outgoing-handler` 0.2, in any language: with the guest SDK's
//! `runner::http`, Rust's `wstd`, JavaScript's `fetch`, or the bare bindings. The host lends it [`Http`], and says in a [`Grant`] what may be asked of whom:
//!
//! ```no_run
#![doc = include_str!("../examples/fetch.rs")]
//! ```
//!
//! The grant is JSON as well, with a schema ([`Executor::grant_schemas`](runner_core::Executor::grant_schemas)):
//!
//! ```
//! # let grant: runner_host_http::Grant = serde_json::from_str(r#"
//! {
//!   "allow": [
//!     { "host": "api.example.com", "methods": ["GET", "POST"], "path": "/v1" },
//!     { "host": "*.internal.example.com", "scheme": "http", "port": 8080, "addresses": ["10.1.0.0/16"] }
//!   ],
//!   "secrets": [{ "name": "API_KEY", "hosts": ["api.example.com"] }],
//!   "caps": { "response_bytes": 1000000, "total_ms": 5000, "redirects": 3 }
//! }
//! # "#).unwrap();
//! # assert_eq!(grant.allow.len(), 2);
//! ```
//!
//! # What a request passes
//!
//! 1. It is parsed once, to one spelling: [`Target`]. `http://0x7f.1/` is `http://127.0.0.1/`; what can be read in two ways
//!    is refused.
//! 2. A [`Rule`] must allow scheme, host, port, method and path; of all that do, the `addresses` hold together.
//! 3. `{{secret:NAME}}` in the value of a header or of the query is filled in from [`Secrets`], where the grant sends that
//!    secret to that host. It is not looked for in bodies, and refused in a path. What comes back in headers and trailers from
//!    a host that may have it, or after a redirect from there, is redacted; from others it is left as it is, so that no answer
//!    tells a guest that it has guessed one. Bodies are not scanned: a server that is trusted with a secret can put it there.
//! 4. The name is resolved ([`Resolve`]), each address is checked ([`refusal`]), and only those that pass are dialled: the
//!    connection itself asks for them, so nothing can change between check and dial.
//! 5. The connection is the grant's own: equal grants share connections, others never do. Exchanges are bounded per call, per
//!    host and per grant, connections per grant and in all: where as many are there as may be, the one that rested longest is
//!    closed for the next.
//! 6. Bodies stream both ways, as fast as their reader reads, within the [`Caps`]. URL, headers, bodies and trailers are on the
//!    call's account, as the guest wrote them and as they came. No proxy is asked, nothing is decompressed, no cookie is kept,
//!    no header is added but `Host`, what frames the body, and, where the guest names nothing that it accepts, `Accept: */*`,
//!    which says the same (RFC 9110, 12.5.1); and nothing is sent a second time. A request that a server has
//!    closed its connection on before any of it was sent goes out over another.
//! 7. A redirect is the guest's to see. Where the grant says `redirects`, it is followed, and each hop passes all of this again;
//!    to another origin go no credentials and no secrets.
//! 8. When the call ends, so does everything under way; but for what is said of HTTP/2 at [`Client::connections`].
//!
//! # Addresses
//!
//! Without a range in the rule's `addresses`, these are never reached: loopback, private (RFC 1918), carrier NAT (RFC 6598),
//! link-local (RFC 3927, 4291), unique-local (RFC 4193), site-local (RFC 3879), unspecified (RFC 1122), multicast, broadcast,
//! reserved, documentation (RFC 5737, 3849, 9637), benchmarking (RFC 2544, 5180), protocol assignments (RFC 6890, 2928),
//! discard-only (RFC 6666), segment routing (RFC 9602), and the transition forms that carry an IPv4 address: IPv4-mapped and
//! -compatible (RFC 4291), IPv4-translated (RFC 2765), NAT64 (RFC 6052, 8215), 6to4 (RFC 3056), Teredo (RFC 4380). For such a
//! form, both its own range and that of what it carries must be granted. A cloud's metadata address needs a range of that one
//! address alone. What the host refuses itself ([`Http::refuse`]) no grant opens.
//!
//! # What a guest is told
//!
//! An error code of `wasi:http`. The host's log (`tracing`) has the reason in words, with the call's id: at level info what
//! the grant does not allow, the first eight of a call; the rest at level debug. Of a body that breaks off,
//! wasmtime 48 gives the guest the code's text alone (`to-debug-string`), and none for `http-error-code`.
//!
//! | what happened | code |
//! |---|---|
//! | no rule, no such secret for this host | `HTTP-request-denied` |
//! | no address that may be reached | `destination-IP-prohibited` |
//! | a URL that is malformed or ambiguous; too long | `HTTP-request-URI-invalid`; `HTTP-request-URI-too-long` |
//! | CONNECT, TRACE | `HTTP-request-method-invalid` |
//! | no such name | `DNS-error` |
//! | nobody there; not in time; too many exchanges at once | `connection-refused`; `connection-timeout`; `connection-limit-reached` |
//! | a certificate that is not trusted; no TLS | `TLS-certificate-error`; `TLS-protocol-error` |
//! | no head in time, or no end; a pause | `HTTP-response-timeout`; `connection-read-timeout` |
//! | too many bytes | `HTTP-request-header-section-size`, `-body-size`, `HTTP-response-header-section-size`, `-body-size`, with the number |
//! | the body broke off; the connection did | `HTTP-response-incomplete`; `connection-terminated` |
//! | over the number of redirects | `loop-detected` |
//!
//! # Without an engine
//!
//! [`Client`] is the same without a guest: an [`Outlet`] for a grant, a [`Request`], a [`Body`].
//!
//! # Limits
//!
//! HTTP/1.1, and HTTP/2 where TLS agrees on it. Trailers of a request over HTTP/1.1 are sent where the request names them in
//! its `Trailer` header. A body that was streamed is not sent again: a redirect that would need it (307, 308) is given to the
//! guest. Names are looked up 8 at a time for a grant, 32 for all. A body of GET or HEAD is sent over HTTP/1.1 where the request has a `Content-Length`. Names are trusted as far as TLS or the network is: over plain `http`, who answers at a public address is not known.

mod address;
mod body;
mod client;
mod clock;
mod connections;
mod error;
mod grant;
mod policy;
mod redirect;
mod resolve;
mod seats;
mod secrets;
mod target;
mod wasi;

pub use self::address::{Range, refusal};
pub use self::body::{Body, BoxError, Call, Meter, RequestBody};
pub use self::client::{Client, Outlet, Request};
pub use self::error::{Error, ErrorKind, Result};
pub use self::grant::{Caps, CapsGrant, Grant, HostPattern, MethodPattern, PathPrefix, Rule, SecretGrant};
pub use self::policy::Policy;
pub use self::resolve::{Resolve, SystemResolver};
pub use self::secrets::Secrets;
pub use self::target::{Host, Origin, Path, Scheme, Target};
pub use self::wasi::Http;
