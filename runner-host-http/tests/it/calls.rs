//! What a call pays for, and what ends with it.

use std::time::Duration;

use runner_core::{Ending, LimitKind, Limits};
use runner_host_http::{Client, ErrorKind, Http};
use serde_json::json;

use crate::support::{Guest, Server, all_of, body, get, grant, said, send, until};

#[tokio::test]
async fn usage_counts_requests_and_all_that_is_moved() {
    let server = Server::start().await;
    let caps = json!({ "redirects": 3 });
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)], "caps": caps })).await;
    // The headers of a response as they are counted, and what a request has that brings none.
    let head = async |path: &str| {
        let granted = grant(json!({ "allow": [all_of(&server)] }));
        let response = send(&Client::new(), &granted, &server.url(path)).await.unwrap();
        response.headers().iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum::<u64>()
    };
    let url = |path: &str| server.url(path).len() as u64;
    let usage = async |args: &[&str]| {
        let outcome = guest.outcome(args, Limits::default()).await;
        said(&outcome);
        let (id, usage) = outcome.usage.capabilities[0].clone();
        assert_eq!(id, "http");
        (usage.calls, usage.bytes_in, usage.bytes_out)
    };
    let bytes = "/bytes?n=12345";
    assert_eq!(usage(&["fetch", &server.url(bytes)]).await, (1, 12345 + head(bytes).await, url(bytes)));
    let (calls, bytes_in, bytes_out) = usage(&["send", &server.url("/echo"), "100000"]).await;
    assert_eq!((calls, bytes_out), (1, 100_000 + url("/echo")));
    assert!((100_001..100_200).contains(&bytes_in), "{bytes_in}");
    let hello = 5 + head("/hello").await;
    assert_eq!(usage(&["many", &server.url("/hello"), "5"]).await, (5, 5 * hello, 5 * url("/hello")));
    let redirect = "/redirect?to=/hello";
    let both = (2, hello + head(redirect).await, url(redirect) + url("/hello"));
    assert_eq!(usage(&["fetch", &server.url(redirect)]).await, both, "a hop is a request");
    assert_eq!(usage(&["fetch", "https://denied.test/"]).await, (1, 0, 0));
    let (_, bytes_in, bytes_out) = usage(&["fetch", &server.url("/hello"), "-h", "x-sent:12345"]).await;
    assert_eq!((bytes_in, bytes_out), (hello, url("/hello") + 6 + 5 + 4));
    let (_, bytes_in, _) = usage(&["fetch", &server.url("/trailers"), "-h", "te:trailers"]).await;
    assert_eq!(bytes_in, 4 + head("/trailers").await + (5 + 5 + 4), "the body, the headers, `x-end: of it`");
    let trailed = ["fetch", "POST", &server.url("/count"), "-d", "body", "-h", "trailer:x-end", "-t", "x-end:of it"];
    let (_, _, bytes_out) = usage(&trailed).await;
    assert_eq!(bytes_out, url("/count") + (7 + 5 + 4) + 4 + (5 + 5 + 4));
}

#[tokio::test]
async fn a_request_as_it_is_sent_has_what_the_guest_gave_it_and_its_host_and_what_it_accepts() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)] })).await;
    for (header, accepted) in [("x-mine:1", "*/*"), ("accept:text/plain", "text/plain")] {
        guest.run(&["fetch", &server.url("/hello"), "-h", header]).await;
        let seen = server.seen().pop().unwrap();
        let mut names: Vec<_> =
            seen.headers.keys().map(http::HeaderName::as_str).filter(|name| *name != "x-mine").collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "host"], "{header}");
        assert_eq!(seen.headers["accept"], accepted);
        assert_eq!(seen.headers.contains_key("x-mine"), header.starts_with("x-mine"));
    }
}

#[tokio::test]
async fn the_call_s_limit_on_bytes_holds_for_headers_alone() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)] })).await;
    let long = format!("x-long:{}", "h".repeat(30_000));
    let (hello, header) = (server.url("/hello"), server.url("/header?n=30000"));
    for (args, sent) in [(&["fetch", &hello, "-h", &long][..], 0), (&["fetch", &header], 1)] {
        let before = server.seen().len();
        let limits = |host_bytes| Limits { host_bytes, ..Limits::default() };
        let outcome = guest.outcome(args, limits(30_000)).await;
        assert!(
            matches!(&outcome.ending, Ending::Exhausted(limit) if limit.kind == LimitKind::HostBytes),
            "{args:?}: {:?}",
            outcome.ending
        );
        assert_eq!(server.seen().len(), before + sent, "what is too much already is not sent");
        assert!(said(&guest.outcome(args, limits(31_000)).await).starts_with("status 200"));
    }
}

#[tokio::test]
async fn the_call_s_limit_on_bytes_holds_for_bodies() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)] })).await;
    // The URL and the headers are some hundred.
    let limits = Limits { host_bytes: 50_500, ..Limits::default() };
    let args = ["fetch", &server.url("/bytes?n=50500&chunked=1")];
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
