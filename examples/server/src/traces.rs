//! Spans for OpenTelemetry: one for a request, one for a call below it, and how they reach a collector.
//!
//! They are `tracing` spans of a target of their own, which nobody listens to unless a collector was named: then they are
//! disabled, and cost a load each. Like the log, they see the path and never the query, the headers or the body.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use axum::extract::Request;
use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderValue, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry::Key;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Status, TracerProvider};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use runner_core::{Ending, Error, ModuleId, Outcome, Usage};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{Level, Span, Subscriber, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use crate::metrics::{ending_name, error_name};
use crate::observe::UNKNOWN_METHOD;

/// What the spans of this server are known by.
const TARGET: &str = "runner_server::span";
const HOST_CALLS: &str = "runner_core::host_call";
/// How long a collector may take for one batch, as the specification has it.
const EXPORT_MAX: Duration = Duration::from_secs(10);
/// A collector's answer: it says which spans it refused.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The way to a collector.
pub struct Traces {
    provider: SdkTracerProvider,
    host_calls: bool,
}

impl Traces {
    /// Sends spans to the collector at `endpoint`, OTLP over HTTP; with a span for each host call, where asked for.
    ///
    /// # Errors
    /// Where the endpoint is no `http://HOST:PORT`, or this is not called within a runtime.
    pub fn to(endpoint: &str, host_calls: bool) -> Result<Self> {
        let uri: Uri =
            endpoint.parse().with_context(|| format!("collector `{endpoint}`: expected http://HOST:PORT"))?;
        ensure!(
            uri.scheme() == Some(&Scheme::HTTP) && uri.host().is_some(),
            "collector `{endpoint}`: expected http://HOST:PORT; one that wants https is reached through a collector on this machine"
        );
        let runtime = Handle::try_current().context("spans need a runtime")?;
        let collector = Collector { endpoint: endpoint.to_owned(), runtime, is_away: AtomicBool::new(false) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT_MAX)
            .build()
            .with_context(|| format!("collector `{endpoint}`"))?;
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
        Ok(Traces { provider, host_calls })
    }

    /// What hands spans over, to be put beside the log.
    pub fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(&self) -> impl Layer<S> + use<S> {
        let host_calls = if self.host_calls { LevelFilter::TRACE } else { LevelFilter::OFF };
        let ours = Targets::new().with_target(TARGET, Level::DEBUG).with_target(HOST_CALLS, host_calls);
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(ours)
    }

    /// Sends what has not been sent, within a few seconds.
    pub async fn end(self) {
        let flushed = tokio::task::spawn_blocking(move || self.provider.shutdown()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the last spans did not reach the collector");
        }
    }
}

/// What the standard variables call this server, else its own name.
fn resource() -> Resource {
    let builder = Resource::builder();
    let named = Resource::builder().build().get(&Key::from_static_str("service.name"));
    match named.is_none_or(|name| name.as_str().starts_with("unknown_service")) {
        true => builder.with_service_name(env!("CARGO_PKG_NAME")).build(),
        false => builder.build(),
    }
}

/// A span for a request, below the caller's own where its `traceparent` names one.
pub(crate) fn request(request: &Request, method: &'static str, route: Option<&str>) -> Span {
    let span = tracing::debug_span!(target: TARGET, "request", otel.kind = "server", otel.name = field::Empty);
    if span.is_disabled() {
        return span;
    }
    let caller = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
    // It fails only where nobody listens.
    let _ = span.set_parent(caller);
    // Words of anybody's choice are no names of spans.
    let (method, name) = if method == UNKNOWN_METHOD { ("_OTHER", "HTTP") } else { (method, method) };
    span.record("otel.name", route.map_or_else(|| name.to_owned(), |route| format!("{name} {route}")));
    span.set_attribute("http.request.method", method);
    span.set_attribute("url.scheme", "http");
    span.set_attribute("url.path", request.uri().path().to_owned());
    if let Some(route) = route {
        span.set_attribute("http.route", route.to_owned());
    }
    span
}

/// Says how a request was answered.
pub(crate) fn answered(span: &Span, status: StatusCode, problem: Option<&'static str>) {
    if span.is_disabled() {
        return;
    }
    span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    if let Some(kind) = problem {
        span.set_attribute("runner.problem", kind);
    }
    // What the caller did wrong is no error of a server.
    if status.is_server_error() {
        span.set_attribute("error.type", status.as_str().to_owned());
        span.set_status(Status::error(""));
    }
}

/// A span for a call, below that of its request.
pub(crate) fn call(module: &ModuleId, function: &str) -> Span {
    let span = tracing::debug_span!(target: TARGET, "call");
    if !span.is_disabled() {
        span.set_attribute("runner.module.id", module.to_string());
        span.set_attribute("runner.function", function.to_owned());
    }
    span
}

/// Says how a call ended, and what it cost.
pub(crate) fn ended<T>(span: &Span, ended: Result<&Outcome<T>, &Error>) {
    if span.is_disabled() {
        return;
    }
    let (ending, outcome) = match ended {
        Ok(outcome) => (ending_name(&outcome.ending), Some((&outcome.usage, description(&outcome.ending)))),
        Err(error) => {
            let name = error_name(error);
            span.set_attribute("error.type", error.kind().as_str());
            // What the caller got wrong is no fault of the call.
            if name == "error" {
                span.set_status(Status::error(error.message().to_owned()));
            }
            (name, error.outcome().map(|outcome| (&outcome.usage, None)))
        }
    };
    span.set_attribute("runner.ending", ending);
    let Some((usage, description)) = outcome else { return };
    if let Some(description) = description {
        span.set_attribute("error.type", ending);
        span.set_status(Status::error(description));
    }
    spent(span, usage);
}

/// Says that nobody waited for a call's end.
pub(crate) fn abandoned(span: &Span) {
    if !span.is_disabled() {
        span.set_attribute("runner.ending", "cancelled");
    }
}

fn spent(span: &Span, usage: &Usage) {
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    span.set_attribute("runner.usage.guest_us", micros(usage.guest));
    span.set_attribute("runner.usage.host_us", micros(usage.host));
    span.set_attribute("runner.usage.wall_us", micros(usage.wall));
    span.set_attribute("runner.usage.compile_us", micros(usage.compile));
    span.set_attribute("runner.usage.instantiate_us", micros(usage.instantiate));
    span.set_attribute("runner.usage.memory_peak_bytes", whole(usage.memory_peak_bytes));
    span.set_attribute("runner.usage.host_calls", whole(usage.host_calls));
    if let Some(fuel) = usage.fuel {
        span.set_attribute("runner.usage.fuel", whole(fuel));
    }
}

/// Why a call did not return.
fn description<T>(ending: &Ending<T>) -> Option<String> {
    match ending {
        Ending::Returned(_) => None,
        Ending::Failed(failure) => Some(failure.message.clone()),
        Ending::Trapped(trap) => Some(trap.message.clone()),
        Ending::Exhausted(limit) => Some(limit.to_string()),
        _ => Some("the call was given up".to_owned()),
    }
}

/// Speaks to the collector: a connection for each batch, since there is one every few seconds.
#[derive(Debug)]
struct Collector {
    endpoint: String,
    /// The thread that exports has none.
    runtime: Handle,
    /// Whether the log was told that the collector does not answer.
    is_away: AtomicBool,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(async { timeout(EXPORT_MAX, exchange(request)).await }).await?;
        let sent = sent.unwrap_or_else(|_| Err(format!("no answer within {EXPORT_MAX:?}").into()));
        let refusal = match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        let endpoint = &self.endpoint;
        match (refusal.as_deref(), self.is_away.swap(refusal.is_some(), Ordering::Relaxed)) {
            (Some(refusal), false) => tracing::warn!(endpoint, refusal, "spans do not reach the collector"),
            (None, true) => tracing::info!(endpoint, "spans reach the collector again"),
            _ => {}
        }
        sent
    }
}

async fn exchange(request: http::Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let authority = request.uri().authority().ok_or("the endpoint has no host")?.clone();
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let (head, body) = request.into_parts();
    let mut request = http::Request::builder().method(head.method).uri(head.uri.path()).body(Full::new(body))?;
    *request.headers_mut() = head.headers;
    request.headers_mut().insert(header::HOST, HeaderValue::try_from(authority.as_str())?);
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    // The connection moves what the exchange sends, and may end with it.
    tokio::pin!(answered);
    tokio::select! {
        answered = &mut answered => answered,
        _ = connection => answered.await,
    }
}
