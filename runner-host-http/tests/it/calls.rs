//! What a call pays for, and what ends with it.

use std::time::Duration;

use runner_core::{Ending, LimitKind, Limits};
use runner_host_http::{Client, ErrorKind, Http};
use serde_json::json;

use crate::support::{Guest, Server, all_of, body, get, grant, said, until};

#[tokio::test]
async fn usage_counts_requests_and_the_bytes_of_bodies() {
    let server = Server::start().await;
    let caps = json!({ "redirects": 3 });
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)], "caps": caps })).await;
    let usage = async |args: &[&str]| {
        let outcome = guest.outcome(args, Limits::default()).await;
        said(&outcome);
        let (id, usage) = outcome.usage.capabilities[0].clone();
        assert_eq!(id, "http");
        (usage.calls, usage.bytes_in, usage.bytes_out)
    };
    assert_eq!(usage(&["fetch", &server.url("/bytes?n=12345")]).await, (1, 12345, 0));
    assert_eq!(usage(&["send", &server.url("/echo"), "100000"]).await, (1, 100_000, 100_000));
    assert_eq!(usage(&["many", &server.url("/hello"), "5"]).await, (5, 25, 0));
    assert_eq!(usage(&["fetch", &server.url("/redirect?to=/hello")]).await, (2, 5, 0), "a hop is a request");
    assert_eq!(usage(&["fetch", "https://denied.test/"]).await, (1, 0, 0));
}

#[tokio::test]
async fn the_call_s_limit_on_bytes_holds_for_bodies() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)] })).await;
    let limits = Limits { host_bytes: 50_000, ..Limits::default() };
    let args = ["fetch", &server.url("/bytes?n=50001&chunked=1")];
    let outcome = guest.outcome(&args, limits.clone()).await;
    assert!(
        matches!(&outcome.ending, Ending::Exhausted(limit) if limit.kind == LimitKind::HostBytes),
        "{:?}",
        outcome.ending
    );
    said(&guest.outcome(&["fetch", &server.url("/bytes?n=50000&chunked=1")], limits).await);
}

#[tokio::test]
async fn the_deadline_of_the_call_ends_what_is_under_way() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)] })).await;
    let limits = Limits { deadline: Duration::from_millis(300), ..Limits::default() };
    for path in ["/slow?head=60000", "/slow?pieces=2&gap=60000"] {
        let outcome = guest.outcome(&["fetch", &server.url(path)], limits.clone()).await;
        assert!(
            matches!(&outcome.ending, Ending::Exhausted(limit) if limit.kind == LimitKind::Deadline),
            "{:?}",
            outcome.ending
        );
        until("the connection is closed", || server.open() == 0).await;
    }
}

#[tokio::test]
async fn what_a_guest_does_not_wait_for_ends_with_it() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)] })).await;
    said(&guest.outcome(&["leave", &server.url("/slow?head=60000")], Limits::default()).await);
    until("the connection is closed", || server.open() == 0).await;
}

#[tokio::test]
async fn without_an_engine_a_call_ends_its_exchanges_too() {
    let server = Server::start().await;
    let client = Client::new();
    let outlet = client.outlet(&grant(json!({ "allow": [all_of(&server)] }))).unwrap();
    let call = runner_host_http::Call::default();
    let response = outlet.send(get(&server.url("/slow?pieces=2&gap=60000")), &call).await.unwrap();
    let waiting = outlet.send(get(&server.url("/slow?head=60000")), &call);
    let ending = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        call.end();
    };
    let (waiting, ()) = tokio::join!(waiting, ending);
    assert_eq!(waiting.unwrap_err().kind(), ErrorKind::Ended);
    assert_eq!(body(response).await.unwrap_err().kind(), ErrorKind::Ended);
    assert_eq!(outlet.send(get(&server.url("/hello")), &call).await.unwrap_err().kind(), ErrorKind::Ended);
    until("the connections are closed", || server.open() == 0).await;
}
