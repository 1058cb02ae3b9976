//! Sends what a policy allows: over connections that no other policy uses, to addresses that were checked, hop by hop.
//!
//! It knows nothing of guests. reqwest is the one client below it; it is told to follow nothing, to ask no proxy, to send
//! nothing twice, and to resolve names by [`Checked`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, LOCATION, TE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body::Body as _;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::address::Range;
use crate::body::{Body, Call, Held, Outgoing, RequestBody, Sent, Terms, header_bytes, over_account, over_body};
use crate::clock::{after, is_past};
use crate::connections::{Dial, HEADERS_MAX, Place, WANTED, Wanted, permits};
use crate::error::{Error, ErrorKind, Result, has_moved};
use crate::grant::{Caps, Grant};
use crate::policy::Policy;
use crate::redirect;
use crate::resolve::{Checked, LOOKUPS_EACH_MAX, LOOKUPS_MAX, Resolve, SystemResolver};
use crate::seats::{InUse, Seats, Share, lock};
use crate::secrets::{Redactor, Secrets, has_placeholder};
use crate::target::{Origin, Scheme, Target};

/// Grants whose connections are kept, though no call has them.
const OUTLETS_MAX: usize = 256;

/// Connections of all grants together, where nobody says otherwise: half the files that a process usually may have open.
const CONNECTIONS_MAX: u32 = 512;

/// Sends requests for whoever holds a [`Grant`].
pub struct Client {
    resolver: Arc<dyn Resolve>,
    roots: RootCertStore,
    secrets: Secrets,
    caps: Caps,
    refused: Arc<[Range]>,
    seats: Arc<Seats>,
    lookups: Arc<Semaphore>,
    tls: OnceLock<Result<ClientConfig>>,
    /// By the grant as JSON: equal grants share connections, others never do.
    outlets: Mutex<Outlets>,
}

/// What was asked for, and when: by the count of all that was.
#[derive(Default)]
struct Outlets {
    by_grant: HashMap<String, (u64, Arc<Outlet>)>,
    count: u64,
}

impl Client {
    /// The system's resolver, the public certificate authorities (Mozilla's), no secrets, and the usual numbers.
    pub fn new() -> Self {
        Client {
            resolver: Arc::new(SystemResolver),
            roots: webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
            secrets: Secrets::default(),
            caps: Caps::default(),
            refused: Arc::default(),
            seats: Seats::new(CONNECTIONS_MAX),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            tls: OnceLock::new(),
            outlets: Mutex::default(),
        }
    }

    /// Another resolver.
    #[must_use]
    pub fn resolver(self, resolver: impl Resolve) -> Self {
        Client { resolver: Arc::new(resolver), ..self }
    }

    /// What can be filled in for guests.
    #[must_use]
    pub fn secrets(self, secrets: Secrets) -> Self {
        Client { secrets, ..self }
    }

    /// The numbers where a grant names none of its own.
    #[must_use]
    pub fn caps(self, caps: Caps) -> Self {
        Client { caps, ..self }
    }

    /// Addresses that are never reached, whatever a grant says: public ones of the operator's own, say.
    #[must_use]
    pub fn refuse(self, ranges: impl IntoIterator<Item = Range>) -> Self {
        Client { refused: self.refused.iter().copied().chain(ranges).collect(), ..self }
    }

    /// Connections that are open at once, those of all grants together, used or not. Default 512.
    ///
    /// [`Caps::connections`] is the part that one grant may have. Where as many are there, the one that rested longest is
    /// closed for the one that is wanted; where all are in use, it waits its turn. One that is closing while the next is made
    /// may be open beside them, for a moment. Over HTTP/1.1 a connection holds up to 408 KiB that nobody has read, over HTTP/2
    /// up to 4 MiB: 2 GiB in all, where every server sends as much as it can.
    ///
    /// A connection is in use until both bodies of its exchange are over. What reqwest does not end is a body that is still sent
    /// where the server takes nothing of it: over HTTP/2 it keeps its connection, with all that is said above, for as long as
    /// the server likes, over HTTP/1.1 on Linux for 30 seconds after the server has last taken something, also when the call
    /// has ended. One that was given up while it was sent may be open for as long beside those that are counted. A grant to
    /// servers and guests that nobody trusts should have a small [`Caps::connections`].
    #[must_use]
    pub fn connections(self, max: u32) -> Self {
        Client { seats: Seats::new(max), ..self }
    }

    /// Trusts the certificates of a PEM text as well, as those of a company's own authority.
    pub fn root_certificates(mut self, pem: &[u8]) -> Result<Self> {
        let wrong =
            |why: &dyn std::fmt::Display| Error::new(ErrorKind::TlsCertificate, format!("root certificates: {why}"));
        let before = self.roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            self.roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
        match self.roots.len() > before {
            true => Ok(self),
            false => Err(wrong(&"the text has no certificate, expected PEM")),
        }
    }

    /// Trusts none of the public authorities, only what is added after this.
    #[must_use]
    pub fn no_public_roots(self) -> Self {
        Client { roots: RootCertStore::empty(), ..self }
    }

    /// The names of its secrets.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.secrets.names()
    }

    /// What a grant lets through. Cheap where the grant was seen before.
    pub fn outlet(&self, grant: &Grant) -> Result<Arc<Outlet>> {
        let key = serde_json::to_string(grant)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("the grant cannot be written: {error}")))?;
        let mut outlets = lock(&self.outlets);
        outlets.count += 1;
        let now = outlets.count;
        if let Some((used, outlet)) = outlets.by_grant.get_mut(&key) {
            *used = now;
            return Ok(Arc::clone(outlet));
        }
        let outlet = Arc::new(self.make_outlet(grant)?);
        let mut forgotten = Vec::new();
        while outlets.by_grant.len() >= OUTLETS_MAX {
            let unused = outlets.by_grant.iter().filter(|(_, (_, outlet))| outlet.is_unused());
            let oldest = unused.min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest.and_then(|oldest| outlets.by_grant.remove(&oldest)) else { break };
            forgotten.push(oldest);
        }
        outlets.by_grant.insert(key, (now, Arc::clone(&outlet)));
        drop(outlets);
        drop(forgotten);
        Ok(outlet)
    }

    fn make_outlet(&self, grant: &Grant) -> Result<Outlet> {
        let mut tls = self.tls.get_or_init(|| self.make_tls()).clone()?;
        // A session that was begun under one grant is not resumed under another.
        tls.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let policy = Arc::new(Policy::new(grant.clone(), &self.caps).refuse(Arc::clone(&self.refused)));
        let redactor = self.secrets.redactor(policy.secrets().map(|secret| secret.name.as_str()));
        let caps = policy.caps().clone();
        let resolver = Checked {
            resolver: Arc::clone(&self.resolver),
            policy: Arc::clone(&policy),
            granted: Arc::default(),
            lookups: [Arc::new(Semaphore::new(LOOKUPS_EACH_MAX)), Arc::clone(&self.lookups)],
        };
        Ok(Outlet {
            policy,
            redactor,
            secrets: self.secrets.clone(),
            turns: permits(caps.exchanges),
            dial: Dial { share: Share::new(&self.seats, caps.connections), resolver, tls, caps },
            places: Mutex::default(),
        })
    }

    fn make_tls(&self) -> Result<ClientConfig> {
        let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Internal, format!("TLS cannot be set up: {error}")))?;
        let mut tls = versions.with_root_certificates(self.roots.clone()).with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(tls)
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Client { secrets, caps, roots, refused, .. } = self;
        f.debug_struct("Client")
            .field("secrets", secrets)
            .field("caps", caps)
            .field("refused", refused)
            .field("roots", &roots.len())
            .finish_non_exhaustive()
    }
}

/// TLS sessions that one grant's clients remember.
const SESSIONS_MAX: usize = 256;

/// A request.
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub target: Target,
    /// Its headers. What speaks of the connection (`Host`, `Connection`, `Transfer-Encoding`, ..) is left out.
    pub headers: HeaderMap,
    /// Its body; none is not the same as an empty one.
    pub body: Option<RequestBody>,
    /// Less time than [`Caps::connect`] for connecting.
    pub connect: Option<Duration>,
    /// Less time than [`Caps::first_byte`] until the head of the response.
    pub first_byte: Option<Duration>,
    /// Less time than [`Caps::between_bytes`] between the pieces of its body.
    pub between_bytes: Option<Duration>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, target: Target) -> Self {
        let headers = HeaderMap::new();
        Request { method, target, headers, body: None, connect: None, first_byte: None, between_bytes: None }
    }
}

/// What one grant lets through, and the connections that it has.
pub struct Outlet {
    policy: Arc<Policy>,
    /// Takes every secret of the grant out of errors.
    redactor: Redactor,
    secrets: Secrets,
    /// Exchanges that may still be begun.
    turns: Arc<Semaphore>,
    dial: Dial,
    /// Guards those that were asked, by origin.
    places: Mutex<HashMap<Origin, Arc<Place>>>,
}

/// One request within an exchange.
struct Hop {
    method: Method,
    target: Target,
    headers: HeaderMap,
    body: Option<RequestBody>,
    /// Whether the query is the guest's own: a placeholder in a `Location` is not filled in.
    own_query: bool,
}

/// What came of it.
struct Answered {
    response: Response<reqwest::Body>,
    turn: Arc<Turn>,
    sent: Option<Arc<Sent>>,
    redactor: Redactor,
}

/// The place of an exchange among those of its call, its host, and its grant, and its client; given back with the last byte of
/// both bodies.
pub(crate) struct Turn {
    client: InUse,
    _permits: [OwnedSemaphorePermit; 3],
}

/// What lives for a whole exchange.
struct Times {
    connect: Duration,
    first_byte: Duration,
    between: Duration,
    /// All of it, and the moment that it ends with.
    total: Duration,
    ends: Instant,
}

impl Times {
    /// What a wait that was cut short is told as: the whole exchange is over, or the wait has had its time.
    fn late(&self, origin: &Origin, otherwise: impl FnOnce() -> Error) -> Error {
        match is_past(self.ends) {
            true => Error::new(ErrorKind::ResponseTimeout, format!("{origin}: no response within {:?}", self.total)),
            false => otherwise(),
        }
    }
}

impl Outlet {
    /// Whether no call has it, and no exchange: made again, it would have its numbers twice. A permit holds the count alone.
    fn is_unused(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && Arc::strong_count(&self.turns) == 1
    }

    /// What it is ruled by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Sends a request, follows as many redirects as the grant says, and gives the head of the response.
    ///
    /// When `call` ends, the exchange and its body end. The body's times are held against whoever reads it; where that may be
    /// nobody, [`Body::watch`] ends it.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`]. None of them shows a secret.
    pub async fn send(&self, request: Request, call: &Call) -> Result<Response<Body>> {
        let caps = self.policy.caps();
        let less = |wanted: Option<Duration>, cap: Duration| wanted.map_or(cap, |wanted| wanted.min(cap));
        let times = Times {
            connect: less(request.connect, caps.connect),
            first_byte: less(request.first_byte, caps.first_byte),
            between: less(request.between_bytes, caps.between_bytes),
            total: caps.total,
            ends: after(caps.total),
        };
        let result = tokio::select! {
            biased;
            () = call.ended.cancelled() => Err(Error::ended()),
            result = self.exchange(request, &times, call) => result,
        };
        match result {
            Ok((response, terms)) => Ok(response.map(|body| Body::new(body, terms, times.ends, call))),
            Err(error) => Err(error.map_message(|text| self.redactor.text(text))),
        }
    }

    async fn exchange(&self, request: Request, times: &Times, call: &Call) -> Result<(Response<reqwest::Body>, Terms)> {
        let Request { method, target, mut headers, body, .. } = request;
        check_length(&headers, body.is_some())?;
        strip(&mut headers);
        let mut hop = Hop { method, target, headers, body, own_query: true };
        let mut redirects = 0;
        // Whoever may know a secret may tell it. Nobody else's answers are changed: what is missing from one of them would
        // tell a guest that it has guessed the secret.
        let mut redactor = Redactor::default();
        loop {
            let redirects_max = self.policy.caps().redirects;
            let origin = hop.target.origin.clone();
            // What a second request would be made of.
            let asked = (redirects_max > 0).then(|| (hop.method.clone(), hop.target.clone(), hop.headers.clone()));
            // What is still sent of one hop ends before the next.
            let of_hop = asked.as_ref().and(hop.body.as_ref()).map(|_| call.of_hop());
            let answered = self.hop(hop, times, of_hop.as_ref().unwrap_or(call)).await?;
            let Answered { mut response, turn, sent, redactor: of_place } = answered;
            redactor = redactor.and(of_place);
            let mut next = None;
            if let Some((method, target, headers)) = asked {
                let has_body = sent.is_some_and(|sent| !sent.is_nothing());
                let location = self.location(&target, &method, has_body, &response)?;
                next = location.map(|(next_method, next_target)| (next_method, next_target, method, headers));
            }
            let Some((next_method, next_target, method, mut headers)) = next else {
                redactor.headers(response.headers_mut());
                let caps = self.policy.caps();
                let terms = Terms {
                    allowed: caps.response_bytes,
                    header_bytes: caps.header_bytes,
                    between: times.between,
                    redactor,
                    origin,
                    turn,
                };
                return Ok((response, terms));
            };
            drop((response, turn));
            if let Some(of_hop) = of_hop {
                of_hop.end();
            }
            redirects += 1;
            if redirects > redirects_max {
                let message = format!("{origin}: over {redirects_max} redirects");
                return Err(Error::limited(ErrorKind::RedirectsTooMany, message, redirects_max.into()));
            }
            call.meter.followed();
            let other_origin = next_target.origin != origin;
            redirect::trim(&mut headers, next_method != method, other_origin, has_placeholder);
            hop = Hop { method: next_method, target: next_target, headers, body: None, own_query: false };
        }
    }

    /// Where a response leads, if it is to be followed.
    fn location(
        &self,
        target: &Target,
        method: &Method,
        has_body: bool,
        response: &Response<reqwest::Body>,
    ) -> Result<Option<(Method, Target)>> {
        let Some(next) = redirect::next(response.status(), method, has_body) else { return Ok(None) };
        let Some(location) = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()) else {
            return Ok(None);
        };
        let next_target = target.join(location)?;
        // Whoever got a secret may send it back; it goes on to nobody else.
        for secret in self.policy.secrets() {
            if self.secrets.redactor([secret.name.as_str()]).holds(location) {
                self.policy.allow_secret(&secret.name, &next_target.origin)?;
            }
        }
        Ok(Some((next, next_target)))
    }

    /// One request and the head of its response.
    async fn hop(&self, hop: Hop, times: &Times, call: &Call) -> Result<Answered> {
        let Hop { method, target, mut headers, body, own_query } = hop;
        let origin = &target.origin;
        let granted = self.policy.allow(&method, &target)?;
        let caps = self.policy.caps();
        // As the guest has written them: how long a secret is stands on no bill.
        let asked_bytes = length_of(&target) + header_bytes(&headers);
        let allow = |name: &str| self.policy.allow_secret(name, origin);
        self.secrets.fill_headers(&mut headers, &allow)?;
        let filled = match (&target.query, own_query) {
            (Some(query), true) => self.secrets.fill_query(query, &allow)?,
            _ => None,
        };
        check_headers(&headers, caps.header_bytes, ErrorKind::RequestHeaderBytes, &"the request")?;
        if declared_length(&headers).is_some_and(|length| length > caps.request_bytes) {
            let message = format!("the request's body is over {} bytes", caps.request_bytes);
            return Err(Error::limited(ErrorKind::RequestBodyBytes, message, caps.request_bytes));
        }
        let place = self.place(origin)?;
        let url = target.url(&place.base, filled.as_deref().or(target.query.as_deref()))?;

        // Without a length it would not be sent over HTTP/1.1; guests ask for a body where they have none.
        let unsent = matches!(method, Method::GET | Method::HEAD)
            && origin.scheme == Scheme::Http
            && !headers.contains_key(CONTENT_LENGTH);
        let body = body.filter(|_| !unsent).map(|body| Arc::new(Mutex::new(body)));
        let connected = after(times.connect);
        let mut asked = Some((method, url, headers));
        let mut unpaid = Some(asked_bytes);
        // It goes on to another client where its own has a connection that others use, and no room there for this one.
        let (turn, sent, response) = loop {
            let permits = self.permits(&place, origin, connected, times, call).await?;
            let seated = place.line(&granted, &self.dial.share).client(&self.dial, connected.min(times.ends));
            let client = seated.await.map_err(|error| times.late(origin, || error))?;
            let turn = Arc::new(Turn { client, _permits: permits });
            if unpaid.take().is_some_and(|bytes| !call.meter.moved(0, bytes)) {
                return Err(over_account());
            }
            let again = turn.client.was_shared.then(|| asked.clone()).flatten();
            let Some((method, url, headers)) = asked.take() else {
                return Err(Error::new(ErrorKind::ConnectBusy, format!("{origin}: the connection is another's")));
            };
            let mut request = reqwest::Request::new(method, url);
            *request.headers_mut() = headers;
            let sent = body.is_some().then(Arc::<Sent>::default);
            let body = body.clone().zip(sent.clone());
            *request.body_mut() = body
                .map(|(body, sent)| reqwest::Body::wrap(Outgoing::new(body, caps, (call, times.ends), sent, &turn)))
                // Over HTTP/2 a request may lie in the connection, unsent, when nobody waits for it any more.
                .or_else(|| (origin.scheme == Scheme::Https).then(|| reqwest::Body::wrap(Held::new(&turn))));
            // Not the path: where a server has sent us, it may hold a secret.
            tracing::debug!(method = %request.method(), %origin, "request");
            let wanted = Wanted::new(connected, turn.client.slot());
            let answer = WANTED.scope(wanted, turn.client.client().execute(request));
            // One timer for both: most exchanges end long before either.
            let answered = timeout_at(after(times.first_byte).min(times.ends), answer).await.map_err(|_| {
                let message = || format!("{origin}: no response within {:?}", times.first_byte);
                times.late(origin, || Error::new(ErrorKind::ResponseTimeout, message()))
            })?;
            match answered {
                Ok(response) => break (turn, sent, response),
                Err(error) if again.is_some() && has_moved(&error) => asked = again,
                Err(error) => {
                    let failed = sent.as_ref().and_then(|sent| sent.failed());
                    return Err(failed.unwrap_or_else(|| Error::from_client(error, origin)));
                }
            }
        };
        drop(body);
        turn.client.answered(response.version());
        let response = Response::from(response);
        if !call.meter.moved(header_bytes(response.headers()), 0) {
            return Err(over_account());
        }
        let whose = format_args!("{origin}: the response");
        check_headers(response.headers(), caps.header_bytes, ErrorKind::ResponseHeaderBytes, &whose)?;
        if response.body().size_hint().exact().is_some_and(|length| length > caps.response_bytes) {
            return Err(over_body(origin, caps.response_bytes));
        }
        Ok(Answered { response, turn, sent, redactor: place.redactor.clone() })
    }

    /// What exchanges with an origin share.
    fn place(&self, origin: &Origin) -> Result<Arc<Place>> {
        /// Origins that are kept, though nobody asks them.
        const ORIGINS_MAX: usize = 1_024;
        // Their connections are closed once others may look.
        let mut forgotten = Vec::new();
        let mut places = lock(&self.places);
        if let Some(place) = places.get(origin) {
            return Ok(Arc::clone(place));
        }
        if places.len() >= ORIGINS_MAX {
            // A permit holds the count alone.
            forgotten.extend(
                places.extract_if(|_, place| Arc::strong_count(place) == 1 && Arc::strong_count(&place.turns) == 1),
            );
        }
        let redactor = self.secrets.redactor(self.policy.secrets_of(&origin.host));
        let place = Place::new(origin.url()?, self.policy.caps().connections_per_host, redactor);
        places.insert(origin.clone(), Arc::clone(&place));
        Ok(place)
    }

    /// Waits for its turn in its call, with its host, and in its grant. Whoever waits for the last keeps nobody from other
    /// hosts.
    async fn permits(
        &self,
        place: &Place,
        origin: &Origin,
        until: Instant,
        times: &Times,
        call: &Call,
    ) -> Result<[OwnedSemaphorePermit; 3]> {
        let Caps { exchanges, exchanges_per_call, connections_per_host, .. } = *self.policy.caps();
        let permit = async |turns: &Arc<Semaphore>, max: u32, whose: &str| {
            // Most need not wait, and no timer.
            if let Ok(permit) = Arc::clone(turns).try_acquire_owned() {
                return Ok(permit);
            }
            match timeout_at(until.min(times.ends), Arc::clone(turns).acquire_owned()).await {
                Ok(Ok(permit)) => Ok(permit),
                _ => {
                    let message = || format!("{origin}: {max} exchanges {whose} are under way, the most there may be");
                    Err(times.late(origin, || Error::new(ErrorKind::ConnectBusy, message())))
                }
            }
        };
        Ok([
            permit(call.turns(exchanges_per_call), exchanges_per_call, "of the call").await?,
            permit(&place.turns, connections_per_host, "with the host").await?,
            permit(&self.turns, exchanges, "of the grant").await?,
        ])
    }
}

/// The bytes of a text that is nowhere written.
fn length_of(text: &dyn std::fmt::Display) -> u64 {
    struct Count(u64);
    impl std::fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 += text.len() as u64;
            Ok(())
        }
    }
    let mut count = Count(0);
    // It fails where the count does, which does not.
    let _ = std::fmt::write(&mut count, format_args!("{text}"));
    count.0
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Takes off what speaks of the connection, which is ours, and what `Connection` says is meant for it (RFC 9110, 7.6.1).
fn strip(headers: &mut HeaderMap) {
    let trailers = headers.get(TE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in ["connection", "http2-settings", "keep-alive", "proxy-authorization", "proxy-connection", "upgrade"] {
        headers.remove(name);
    }
    for name in [HOST, TE, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Headers, or trailers, of one message.
pub(crate) fn check_headers(
    headers: &HeaderMap,
    bytes_max: u64,
    kind: ErrorKind,
    whose: &dyn std::fmt::Display,
) -> Result<()> {
    let (lines, bytes) = (headers.len(), header_bytes(headers));
    let found = match (lines > HEADERS_MAX, bytes > bytes_max) {
        (_, true) => format!("{whose} has {bytes} bytes of headers, expected at most {bytes_max}"),
        (true, false) => format!("{whose} has {lines} headers, expected at most {HEADERS_MAX}"),
        (false, false) => return Ok(()),
    };
    Err(Error::limited(kind, found, bytes_max))
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A length that is not what it says would let the next request be read from the middle of this one (RFC 9112, 11.2).
fn check_length(headers: &HeaderMap, has_body: bool) -> Result<()> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(()) };
    let wrong =
        |name: HeaderName, why: &str| Err(Error::new(ErrorKind::RequestInvalid, format!("header `{name}` {why}")));
    let digits = !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
    match declared_length(headers) {
        _ if lengths.next().is_some() => wrong(CONTENT_LENGTH, "is there twice"),
        Some(length) if digits && (has_body || length == 0) => Ok(()),
        Some(_) if digits => wrong(CONTENT_LENGTH, "promises a body, and there is none"),
        _ => wrong(CONTENT_LENGTH, "is no number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_length_that_is_not_what_it_says_is_refused() {
        for (lengths, has_body, right) in [
            (&[][..], true, true),
            (&[][..], false, true),
            (&["5"], true, true),
            (&["0"], false, true),
            (&["5"], false, false),
            (&["5", "5"], true, false),
            (&["5", "6"], true, false),
            (&["+5"], true, false),
            (&["-1"], true, false),
            (&["5, 5"], true, false),
            (&["0x5"], true, false),
            (&[""], true, false),
            (&["99999999999999999999"], true, false),
        ] {
            let mut headers = HeaderMap::new();
            for length in lengths {
                headers.append(CONTENT_LENGTH, length.parse().unwrap());
            }
            assert_eq!(check_length(&headers, has_body).is_ok(), right, "{lengths:?} {has_body}");
        }
    }

    #[test]
    fn what_speaks_of_the_connection_is_ours() {
        let mut sent = headers(&[
            ("host", "evil.example"),
            ("connection", "upgrade, X-Hop ,, content-length;"),
            ("x-hop", "mine alone"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("proxy-authorization", "Basic x"),
            ("accept", "text/plain"),
        ]);
        strip(&mut sent);
        assert_eq!(sent, headers(&[("te", "trailers"), ("accept", "text/plain")]));
        let mut sent = headers(&[("te", "gzip")]);
        strip(&mut sent);
        assert!(sent.is_empty());
    }
}
