//! The guest's face of it: `wasi:http/outgoing-handler`, in the place of core's closed one. The one file here that knows
//! the engine.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Method;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use runner_core::wasmtime::component::{Linker, Resource};
use runner_core::wasmtime::{self, StoreContextMut};
use runner_core::{
    Account, CallContext, Capability, Ending, Error as CoreError, ErrorKind as CoreErrorKind, Host as Store, View,
    async_trait,
};
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody};

use crate::address::Range;
use crate::body::{Call, Meter};
use crate::client::{Client, Outlet, Request};
use crate::error::{Error, ErrorKind, Result};
use crate::grant::{Caps, Grant};
use crate::resolve::Resolve;
use crate::secrets::Secrets;
use crate::target::{Scheme, Target};

/// The version that wasmtime's closed form is linked under: what is put in its place must have the same name. A guest
/// that imports another 0.2 is given it.
const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// Outgoing HTTP, as a capability: its id is `http`, its grant a [`Grant`].
///
/// A guest is served as long as its call lasts: what is under way when it ends, is aborted.
///
/// ```
/// # use runner_core::{Executor, Grants};
/// # use runner_host_http::{Grant, Http, Rule, Secrets};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let http = Http::new().secrets(Secrets::from_environment()?);
/// let executor = Executor::builder().capability(http).build()?;
/// let rule = Rule::host("api.example.com")?.path("/v1")?;
/// let grant = Grant { allow: vec![rule], ..Grant::default() };
/// let grants = Grants::none().grant("http", serde_json::to_value(grant)?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Http {
    client: Client,
}

impl Http {
    /// The system's resolver, the public certificate authorities (Mozilla's), no secrets, and the usual numbers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another resolver.
    #[must_use]
    pub fn resolver(self, resolver: impl Resolve) -> Self {
        Http { client: self.client.resolver(resolver) }
    }

    /// What can be filled in for guests; to whom, their grants say.
    #[must_use]
    pub fn secrets(self, secrets: Secrets) -> Self {
        Http { client: self.client.secrets(secrets) }
    }

    /// The numbers where a grant names none of its own.
    #[must_use]
    pub fn caps(self, caps: Caps) -> Self {
        Http { client: self.client.caps(caps) }
    }

    /// Addresses that are never reached, whatever a grant says: public ones of the operator's own, say.
    #[must_use]
    pub fn refuse(self, ranges: impl IntoIterator<Item = Range>) -> Self {
        Http { client: self.client.refuse(ranges) }
    }

    /// Connections that are open at once, those of all grants together: see [`Client::connections`]. Default 512.
    #[must_use]
    pub fn connections(self, max: u32) -> Self {
        Http { client: self.client.connections(max) }
    }

    /// Trusts the certificates of a PEM text as well, as those of a company's own authority.
    pub fn root_certificates(self, pem: &[u8]) -> Result<Self> {
        Ok(Http { client: self.client.root_certificates(pem)? })
    }

    /// Trusts none of the public authorities, only what is added after this.
    #[must_use]
    pub fn no_public_roots(self) -> Self {
        Http { client: self.client.no_public_roots() }
    }

    /// The names of the secrets that it can fill in.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.client.secret_names()
    }
}

/// What one call has of it.
#[doc(hidden)]
pub struct Open {
    outlet: Arc<Outlet>,
    call: Call,
    refusals: Arc<Refusals>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.call.end();
    }
}

#[async_trait]
impl Capability for Http {
    type Grant = Grant;
    type State = Open;

    fn id(&self) -> &str {
        "http"
    }

    fn serves(&self) -> &[&str] {
        &["wasi:http/outgoing-handler@0.2.0"]
    }

    fn link(linker: &mut Linker<Store>) -> wasmtime::Result<()> {
        // Their generated `add_to_linker` wants a trait of theirs for a type of core's, which only core could implement.
        linker.instance(OUTGOING_HANDLER)?.func_wrap(
            "handle",
            |mut store: StoreContextMut<'_, Store>,
             (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>)| {
                let mut view = store.data_mut().view::<Open>();
                // What is refused is refused by the response that is waited for.
                Ok((Ok::<_, ErrorCode>(view.handle(request, options)?),))
            },
        )
    }

    fn check(&self, grant: &Grant) -> Result<(), CoreError> {
        let known: Vec<_> = self.secret_names().collect();
        match grant.secrets.iter().find(|secret| !known.contains(&secret.name.as_str())) {
            None => Ok(()),
            Some(lacking) => {
                let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let message = format!("the grant lends secret `{}`, this host has {known}", lacking.name);
                Err(CoreError::new(CoreErrorKind::Invalid, message))
            }
        }
    }

    fn open(&self, grant: &Grant, call: &CallContext) -> Result<Open, CoreError> {
        let outlet = self
            .client
            .outlet(grant)
            .map_err(|error| CoreError::new(CoreErrorKind::Internal, "outgoing HTTP cannot be set up").source(error))?;
        let refusals = Refusals { call: call.call_id, program: Arc::clone(&call.program), told: AtomicU32::new(0) };
        let call = Call::new(Arc::new(Charged(call.account.clone())));
        Ok(Open { outlet, call, refusals: Arc::new(refusals) })
    }

    async fn close(&self, open: Open, _ending: &Ending<()>) -> Result<(), CoreError> {
        open.call.end();
        Ok(())
    }

    fn commits(&self, _grant: &Grant) -> bool {
        false
    }
}

/// The call's account.
struct Charged(Account);

impl Meter for Charged {
    fn moved(&self, bytes_in: u64, bytes_out: u64) -> bool {
        self.0.charge(bytes_in, bytes_out).is_ok()
    }

    fn followed(&self) {
        self.0.operation();
    }
}

trait Handle {
    /// What the guest calls. An error is a trap: its handles are not what they should be, or too many.
    fn handle(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Resource<HostFutureIncomingResponse>>;
}

impl Handle for View<'_, Open> {
    fn handle(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Resource<HostFutureIncomingResponse>> {
        let options = options.map(|options| self.table.delete(options)).transpose()?.unwrap_or_default();
        let mut request = self.table.delete(request)?;
        let body = request.body.take().map(|body| Unsent { body, begun: false });
        let read = read(request, body, options);
        let (outlet, call, refusals) = (Arc::clone(&self.outlet), self.call.clone(), Arc::clone(&self.refusals));
        let sent = spawn(async move {
            let sent = match read {
                Ok(request) => outlet.send(request, &call).await,
                Err(error) => Err(error),
            };
            let tell = move |error: Error| {
                refusals.tell(&error);
                to_wasi(&error)
            };
            let response = sent.map_err(tell.clone())?;
            // Connections have tasks of their own, which outlive the exchange.
            let watch = spawn(response.body().watch());
            Ok((response.map(|body| body.map_err(tell).boxed_unsync()), watch))
        });
        Ok(self.table.push(HostFutureIncomingResponse::Pending(sent))?)
    }
}

/// How much of a body is taken for nobody; whoever sends more finds it closed.
const UNSENT_BYTES_MAX: usize = 16 << 20;

/// A body that is taken all the same where its request is refused before any of it was sent. Most libraries send the body and
/// look at the answer then: they should meet the refusal, and not a body that nobody takes, which they tell as a connection
/// that was reset.
struct Unsent {
    body: WasiBody,
    begun: bool,
}

impl Body for Unsent {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, WasiError>>> {
        self.begun = true;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if self.begun {
            return;
        }
        // Where the guest has ended it already, there is nothing to take.
        let at_once = Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(Waker::noop()));
        if let (Poll::Ready(Some(Ok(_))) | Poll::Pending, Ok(runtime)) =
            (at_once, tokio::runtime::Handle::try_current())
        {
            let mut unread = std::mem::take(&mut self.body);
            // It ends with the guest at the latest.
            runtime.spawn(async move {
                let mut left = UNSENT_BYTES_MAX;
                while let Some(Ok(frame)) = unread.frame().await {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    let Some(rest) = left.checked_sub(bytes) else { return };
                    left = rest;
                }
            });
        }
    }
}

/// What one call was refused, for the host's log: the guest is given a code alone.
struct Refusals {
    call: u64,
    program: Arc<str>,
    told: AtomicU32,
}

/// Refusals of one call that are told to whoever reads no more than `info`.
const REFUSALS_TOLD: u32 = 8;

/// Characters of a reason: it names a path that the guest has chosen.
const REASON_CHARS: usize = 300;

impl Refusals {
    fn tell(&self, error: &Error) {
        /// Digits of a digest that tell programs apart.
        const DIGITS: usize = 12;
        let (call, kind) = (self.call, error.kind());
        let program = self.program.get(..DIGITS).unwrap_or(&self.program);
        let reason: String = error.message().chars().take(REASON_CHARS).collect();
        // What was not granted is for the operator to grant, or to wonder about; the rest is the network's daily life.
        let is_refusal = matches!(kind, ErrorKind::Denied | ErrorKind::AddressDenied | ErrorKind::MethodInvalid);
        match is_refusal.then(|| self.told.fetch_add(1, Ordering::Relaxed)) {
            Some(told) if told < REFUSALS_TOLD => {
                tracing::info!(call, program, ?kind, "outgoing request refused: {reason}");
                if told + 1 == REFUSALS_TOLD {
                    tracing::info!(call, program, "what else this call is refused is told at level debug");
                }
            }
            _ => tracing::debug!(call, program, ?kind, "outgoing request: {reason}"),
        }
    }
}

fn read(request: HostOutgoingRequest, body: Option<Unsent>, options: RequestOptions) -> Result<Request> {
    let method: Method =
        request.method.try_into().map_err(|_| Error::new(ErrorKind::MethodInvalid, "the method is none"))?;
    let scheme = match request.scheme {
        None | Some(types::Scheme::Https) => Scheme::Https,
        Some(types::Scheme::Http) => Scheme::Http,
        Some(types::Scheme::Other(other)) => {
            let why = format!("scheme `{}` is not served, expected `https` or `http`", other.escape_debug());
            return Err(Error::new(ErrorKind::UriInvalid, why));
        }
    };
    let authority = request.authority.unwrap_or_default();
    let path = request.path_with_query.unwrap_or_default();
    let mut read = Request::new(method, Target::new(scheme, &authority, &path)?);
    read.headers = request.headers.into();
    read.body = body.map(|body| body.map_err(Into::into).boxed_unsync());
    read.connect = options.connect_timeout;
    read.first_byte = options.first_byte_timeout;
    read.between_bytes = options.between_bytes_timeout;
    Ok(read)
}

/// The one place where what happened becomes what a guest is told.
fn to_wasi(error: &Error) -> WasiError {
    let bytes = error.limit();
    let short = bytes.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
    match error.kind() {
        ErrorKind::Denied => WasiError::HttpRequestDenied,
        ErrorKind::AddressDenied => WasiError::DestinationIpProhibited,
        ErrorKind::UriInvalid => WasiError::HttpRequestUriInvalid,
        ErrorKind::UriTooLong => WasiError::HttpRequestUriTooLong,
        ErrorKind::MethodInvalid => WasiError::HttpRequestMethodInvalid,
        ErrorKind::RequestHeaderBytes => WasiError::HttpRequestHeaderSectionSize(short),
        ErrorKind::RequestBodyBytes => WasiError::HttpRequestBodySize(bytes),
        ErrorKind::NameUnknown => WasiError::DnsError { rcode: None, info_code: None },
        ErrorKind::ConnectRefused => WasiError::ConnectionRefused,
        ErrorKind::ConnectTimeout => WasiError::ConnectionTimeout,
        ErrorKind::ConnectBusy => WasiError::ConnectionLimitReached,
        ErrorKind::TlsCertificate => WasiError::TlsCertificateError,
        ErrorKind::TlsProtocol => WasiError::TlsProtocolError,
        ErrorKind::Terminated | ErrorKind::Ended => WasiError::ConnectionTerminated,
        ErrorKind::ResponseTimeout => WasiError::HttpResponseTimeout,
        ErrorKind::ReadTimeout => WasiError::ConnectionReadTimeout,
        ErrorKind::ResponseHeaderBytes => WasiError::HttpResponseHeaderSectionSize(short),
        ErrorKind::ResponseBodyBytes => WasiError::HttpResponseBodySize(bytes),
        ErrorKind::ResponseIncomplete => WasiError::HttpResponseIncomplete,
        ErrorKind::RequestInvalid | ErrorKind::Protocol => WasiError::HttpProtocolError,
        ErrorKind::RedirectsTooMany => WasiError::LoopDetected,
        ErrorKind::Internal => WasiError::InternalError(Some(error.message().to_owned())),
    }
}
