//! Spans, as a collector gets them: a real one, over HTTP, for a real server.

use std::collections::BTreeMap;

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use prost::Message;
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::running::{Running, program};

/// A collector that keeps what it is sent.
struct Collector {
    endpoint: String,
    received: mpsc::UnboundedReceiver<(String, Bytes)>,
}

impl Collector {
    async fn start() -> Self {
        let (keep, received) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collect = move |headers: http::HeaderMap, body: Bytes| async move {
            let kind = headers["content-type"].to_str().unwrap().to_owned();
            keep.send((kind, body)).unwrap();
        };
        tokio::spawn(async { axum::serve(listener, Router::new().route("/v1/traces", post(collect))).await });
        Collector { endpoint, received }
    }

    /// All spans that came, once whoever sent them has ended; and what the sender is called.
    fn spans(mut self) -> (Vec<Span>, Vec<String>) {
        let (mut spans, mut services) = (Vec::new(), Vec::new());
        while let Ok((kind, body)) = self.received.try_recv() {
            assert_eq!(kind, "application/x-protobuf");
            for sent in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
                services.push(attributes(&sent.resource.unwrap().attributes)["service.name"].clone());
                spans.extend(sent.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        (spans, services)
    }
}

fn attributes(pairs: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> BTreeMap<String, String> {
    let shown = |value: &Any| match value {
        Any::StringValue(text) => text.clone(),
        Any::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let value = |pair: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        pair.value.as_ref().and_then(|value| value.value.as_ref()).map(shown).unwrap_or_default()
    };
    pairs.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

#[track_caller]
fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
    assert_eq!(found.len(), 1, "`{name}` in {names:?}");
    found[0]
}

#[track_caller]
fn has(span: &Span, expected: &[(&str, &str)]) {
    let found = attributes(&span.attributes);
    for (key, value) in expected {
        assert_eq!(found.get(*key).map(String::as_str), Some(*value), "`{key}` in {found:?}");
    }
}

#[tokio::test]
async fn a_request_and_its_call_reach_the_collector_below_the_callers_span() {
    let (collector, data) = (Collector::start().await, TempDir::new().unwrap());
    let mut running =
        Running::start(program(data.path()).env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)).await;
    let put =
        running.client.put(running.url("/v1/modules/spin")).body(runner_guests::wat("spin")).send().await.unwrap();
    let id = put.json::<serde_json::Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let asked = json!({ "limits": { "deadline_ms": 50 } }).to_string();
    let call = running.client.post(running.url("/v1/modules/spin/call?secret=1")).body(asked);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(call.header("traceparent", parent).send().await.unwrap().status(), 200);
    let run = running.client.post(running.url("/v1/run?args=[20,22]")).body(runner_guests::wat("sum_of_2_ints"));
    assert_eq!(run.send().await.unwrap().status(), 200);
    let invented = Method::from_bytes(b"INVENT").unwrap();
    assert_eq!(running.client.request(invented, running.url("/absent")).send().await.unwrap().status(), 405);
    // Told to end, it sends what it still has.
    assert!(running.terminate().await.success());
    let (spans, services) = collector.spans();
    assert!(services.iter().all(|service| service == "runner-server"), "{services:?}");

    let request = named(&spans, "POST /v1/modules/{ref}/call");
    assert_eq!(hex(&request.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&request.parent_span_id), "b7ad6b7169203331");
    assert_eq!(request.kind, SpanKind::Server as i32);
    has(
        request,
        &[
            ("http.request.method", "POST"),
            ("http.route", "/v1/modules/{ref}/call"),
            ("http.response.status_code", "200"),
            ("url.path", "/v1/modules/spin/call"),
            ("url.scheme", "http"),
        ],
    );
    let below = |parent: &Span| -> Span {
        let below: Vec<_> = spans.iter().filter(|span| span.parent_span_id == parent.span_id).collect();
        assert_eq!((below.len(), below[0].name.as_str()), (1, "call"));
        below[0].clone()
    };
    let call = below(request);
    assert_eq!(call.trace_id, request.trace_id);
    has(
        &call,
        &[
            ("runner.module.id", &id),
            ("runner.function", "spin"),
            ("runner.ending", "exhausted"),
            ("runner.usage.host_calls", "0"),
        ],
    );
    let status = call.status.as_ref().unwrap();
    assert_eq!(status.code, StatusCode::Error as i32);
    assert!(status.message.contains("deadline"), "{status:?}");
    let usage = attributes(&call.attributes);
    assert!(usage["runner.usage.wall_us"].parse::<u64>().unwrap() >= 50_000, "{usage:?}");
    assert!(call.end_time_unix_nano - call.start_time_unix_nano >= 50_000_000);

    let run = named(&spans, "POST /v1/run");
    assert!(run.parent_span_id.is_empty());
    let call = below(run);
    has(&call, &[("runner.function", "sum_of_2_ints"), ("runner.ending", "returned")]);
    assert_eq!(call.status.unwrap_or_default().code, StatusCode::Unset as i32);
    // A caller's words name no span, and what he did wrong is no error of the server's.
    let invented = named(&spans, "HTTP");
    has(
        invented,
        &[("http.request.method", "_OTHER"), ("http.response.status_code", "405"), ("runner.problem", "invalid")],
    );
    assert_eq!(invented.status.clone().unwrap_or_default().code, StatusCode::Unset as i32);
    assert!(!format!("{spans:?}").contains("secret"));
    assert!(spans.iter().all(|span| span.name != "host_call"));
}

#[tokio::test]
async fn a_handlers_call_ends_with_its_guest_below_the_request() {
    let (collector, data) = (Collector::start().await, TempDir::new().unwrap());
    let mut running =
        Running::start(program(data.path()).args(["--otlp", &collector.endpoint, "--otlp-host-calls"])).await;
    let put = running.client.put(running.url("/v1/modules/hello")).body(runner_guests::get("http-hello.wasm"));
    assert_eq!(put.send().await.unwrap().status(), 201);
    let answer = running.client.get(running.url("/v1/modules/hello/http/")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap();
    assert!(running.terminate().await.success());
    let (spans, _) = collector.spans();
    let call = named(&spans, "call");
    assert_eq!(call.parent_span_id, named(&spans, "GET /v1/modules/{ref}/http/").span_id);
    has(call, &[("runner.function", "wasi:http/incoming-handler"), ("runner.ending", "returned")]);
    let host_calls: Vec<_> = spans.iter().filter(|span| span.name == "host_call").collect();
    assert_eq!(attributes(&call.attributes)["runner.usage.host_calls"], host_calls.len().to_string());
    // The guest runs on a task of its own.
    assert!(!host_calls.is_empty());
    assert!(host_calls.iter().all(|host_call| host_call.parent_span_id == call.span_id));
}

#[tokio::test]
async fn host_calls_have_spans_below_their_call_when_asked_for() {
    let (collector, data) = (Collector::start().await, TempDir::new().unwrap());
    let mut running =
        Running::start(program(data.path()).args(["--otlp", &collector.endpoint, "--otlp-host-calls"])).await;
    let run = running.client.post(running.url("/v1/run?args_cli=[%22echo%22,%22hi%22]"));
    let run = run.body(runner_guests::get("command-p2.wasm")).send().await.unwrap();
    let outcome: serde_json::Value = run.json().await.unwrap();
    assert_eq!(outcome["stdout"], "hi\n");
    assert!(running.terminate().await.success());
    let (spans, _) = collector.spans();
    let call = named(&spans, "call");
    let host_calls: Vec<_> = spans.iter().filter(|span| span.name == "host_call").collect();
    assert!(!host_calls.is_empty());
    assert_eq!(attributes(&call.attributes)["runner.usage.host_calls"], host_calls.len().to_string());
    for host_call in host_calls {
        assert_eq!(host_call.parent_span_id, call.span_id);
        assert!(host_call.end_time_unix_nano <= call.end_time_unix_nano);
    }
}

#[tokio::test]
async fn without_a_collector_nothing_is_sent_and_one_that_is_away_hurts_nobody() {
    let (collector, data) = (Collector::start().await, TempDir::new().unwrap());
    let mut off = Running::start(program(data.path()).env("OTEL_EXPORTER_OTLP_ENDPOINT", "")).await;
    let run = off.client.post(off.url("/v1/run?args=[20,22]")).body(runner_guests::wat("sum_of_2_ints"));
    assert_eq!(run.send().await.unwrap().status(), 200);
    assert!(off.terminate().await.success());
    assert!(collector.spans().0.is_empty());

    // A port that was free a moment ago: nobody answers.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut away = Running::start(program(data.path()).args(["--otlp", &format!("http://{free}/")])).await;
    assert_eq!(away.client.get(away.url("/healthz")).send().await.unwrap().status(), 200);
    assert!(away.terminate().await.success());
    let said = away.log.await.unwrap();
    assert!(said.contains("spans do not reach the collector") && said.contains(&free.to_string()), "{said}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
