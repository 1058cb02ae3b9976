//! Guests by other people's tools, as they are: wstd's client and server, and what JavaScript's engine imports by itself.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use runner_core::{Executor, Grants, HttpReply, Program, Service};
use runner_host_http::Http;
use serde_json::{Value, json};

use crate::support::{Server, all_of, executor, said};

async fn load(executor: &Executor, bytes: &[u8], grants: &Grants) -> Program {
    executor.load(bytes, grants).await.expect("it loads")
}

fn granted(server: &Server) -> Grants {
    Grants::none().grant("http", json!({ "allow": [all_of(server)] }))
}

/// What `wstd-client` says that sleeps, then asks.
async fn client(program: &Program, args: &[&str]) -> String {
    let args = ["wstd-client", "30"].iter().chain(args).copied();
    said(&program.command().args(args).run().await.expect("the host does its part"))
}

/// What `wstd-server` answers.
async fn server(program: &Program, path: &str, url: &str, body: impl Into<Bytes>) -> (u16, String) {
    let request = Request::builder().uri(format!("http://localhost{path}")).header("x-url", url);
    let call = program.http(request.body(Full::new(body.into())).unwrap());
    let HttpReply::Answered { response, ended } = call.send().await.expect("the host does its part") else {
        panic!("expected an answer to {path}")
    };
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let outcome = ended.outcome().await.expect("it ends");
    assert!(outcome.ending.is_returned(), "{:?}", outcome.ending);
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_wstd_client_loads_with_nothing_granted_and_is_refused_by_the_interface_s_own_code() {
    let there = Server::start().await;
    for executor in [Executor::new().expect("it starts"), executor(Http::new())] {
        let program = load(&executor, runner_guests::get("wstd-client.wasm"), &Grants::none()).await;
        for body in [None, Some("to and fro".to_owned()), Some("long ".repeat(100_000))] {
            let url = there.url("/hello");
            let args: Vec<&str> = [url.as_str()].into_iter().chain(body.as_deref()).collect();
            let said = client(&program, &args).await;
            assert!(said.starts_with("slept long enough\nerror ErrorCode::HttpRequestDenied"), "{said}");
        }
    }
    assert_eq!(there.connections(), 0, "nobody was asked");
}

#[tokio::test]
async fn a_wstd_client_sleeps_and_fetches_what_its_grant_allows_and_no_more() {
    let (there, other) = (Server::start().await, Server::start().await);
    let executor = executor(Http::new());
    let program = load(&executor, runner_guests::get("wstd-client.wasm"), &granted(&there)).await;
    assert_eq!(client(&program, &[&there.url("/hello")]).await, "slept long enough\nstatus 200\nbody hello");
    let long = "to and fro ".repeat(10_000);
    let echoed = client(&program, &[&there.url("/echo"), &long]).await;
    assert_eq!(echoed, format!("slept long enough\nstatus 200\nbody {}", long.trim_end()));
    for args in [&[other.url("/hello")][..], &[other.url("/echo"), long]] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let refused = client(&program, &args).await;
        assert!(refused.starts_with("slept long enough\nerror ErrorCode::HttpRequestDenied"), "{refused}");
    }
    let seen: Vec<_> = there.seen().into_iter().map(|seen| (seen.method, seen.path)).collect();
    assert_eq!(seen, [("GET".to_owned(), "/hello".to_owned()), ("POST".to_owned(), "/echo".to_owned())]);
    assert_eq!(other.connections(), 0, "nobody was asked");
}

#[tokio::test]
async fn a_sleeping_wstd_client_is_billed_for_time_asleep_and_not_for_computing() {
    let executor = executor(Http::new());
    let program = load(&executor, runner_guests::get("wstd-client.wasm"), &Grants::none()).await;
    let args = ["wstd-client", "300", "http://127.0.0.1/"];
    let outcome = program.command().args(args).run().await.expect("the host does its part");
    let (guest, host) = (outcome.usage.guest, outcome.usage.host);
    assert!(host >= Duration::from_millis(300) && guest < Duration::from_millis(100), "{}", outcome.usage);
    assert!(said(&outcome).starts_with("slept long enough"));
}

#[tokio::test]
async fn a_wstd_server_answers_and_asks_others_only_where_it_may() {
    let there = Server::start().await;
    let executor = executor(Http::new());
    let closed = load(&executor, runner_guests::get("wstd-server.wasm"), &Grants::none()).await;
    let open = load(&executor, runner_guests::get("wstd-server.wasm"), &granted(&there)).await;
    for program in [&closed, &open] {
        assert_eq!(server(program, "/", "", "").await, (200, "hello from wstd\n".to_owned()));
        assert_eq!(server(program, "/wait", "", "").await, (200, "waited\n".to_owned()));
        let long = "x".repeat(200_000);
        assert_eq!(server(program, "/echo", "", long.clone()).await, (200, long));
        assert_eq!(server(program, "/absent", "", "").await.0, 404);
    }
    assert_eq!(server(&open, "/fetch", &there.url("/hello"), "").await, (200, "hello".to_owned()));
    let (status, why) = server(&closed, "/fetch", &there.url("/hello"), "").await;
    assert!(status == 502 && why.starts_with("ErrorCode::HttpRequestDenied"), "{status} {why}");
    assert_eq!(there.seen().len(), 1);
}

#[tokio::test]
async fn a_component_made_of_javascript_loads_with_nothing_granted_and_adds() {
    let bytes = runner_guests::js("add");
    for executor in [Executor::new().expect("it starts"), executor(Http::new())] {
        let explained = executor.explain(&bytes, &Grants::none()).await.expect("it is explained");
        let outgoing = explained.imports.iter().find(|need| need.name.starts_with("wasi:http/outgoing-handler"));
        let service = &outgoing.expect("its engine can fetch, whatever the script does").service;
        assert!(matches!(service, Service::Closed { .. }), "{service:?}");

        let program = load(&executor, &bytes, &Grants::none()).await;
        for (a, b, sum) in [(2, 3, 5), (-7, 7, 0), (i32::MAX, 1, i32::MIN)] {
            let outcome = program.call("add").args(json!([a, b])).run().await.expect("it runs");
            assert_eq!(outcome.returned(), Some(json!(sum)), "{a} + {b}");
        }
        let outcome = program.call("add").args(json!(["two", 3])).run().await;
        assert!(outcome.is_err(), "a word is no number: {outcome:?}");
    }
}

#[tokio::test]
async fn a_component_made_of_javascript_lives_on_between_calls_within_its_memory() {
    let executor = executor(Http::new());
    let program = load(&executor, &runner_guests::js("add"), &Grants::none()).await;
    let mut instance = program.instance().start().await.expect("it starts");
    for n in 0..1000 {
        let outcome = instance.call("add").args(json!([n, 1])).run().await.expect("it runs");
        assert_eq!(outcome.returned(), Some(Value::from(n + 1)));
    }
}
