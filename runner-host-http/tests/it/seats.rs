//! Who waits for whom, and what is open meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use runner_core::Limits;
use runner_host_http::{BoxError, Call, Client, ErrorKind, Grant, Http, Outlet, Request};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{Everywhere, Guest, Server, all_of, body, get, heads_answered, many_names, said, until};

/// Asks by a task of its own; what it says when it was answered.
fn ask(client: &Client, granted: &Grant, url: String) -> JoinHandle<Result<String, ErrorKind>> {
    let outlet = client.outlet(granted).unwrap();
    tokio::spawn(async move { answered(&outlet, &url).await })
}

async fn answered(outlet: &Arc<Outlet>, url: &str) -> Result<String, ErrorKind> {
    let response = outlet.send(get(url), &Call::default()).await.map_err(|error| error.kind())?;
    body(response).await.map_err(|error| error.kind())
}

fn name(server: &Server, number: usize, path: &str) -> String {
    server.named(&format!("n{number}.many.test"), path)
}

#[tokio::test]
async fn who_cannot_use_what_is_given_back_does_not_take_it_from_who_can() {
    let server = Server::start().await;
    let client = Client::new().resolver(Everywhere).connections(2);
    let caps = |connections: u32, connect: u32| json!({ "connections": connections, "connect_ms": connect });
    let (first, third) =
        (many_names(server.port, "http", caps(1, 60_000)), many_names(server.port, "http", caps(2, 60_000)));
    let second = many_names(server.port, "http", caps(3, 60_000));
    let held = ask(&client, &first, name(&server, 0, "/slow?head=60000"));
    let short = ask(&client, &third, name(&server, 1, "/slow?head=300"));
    until("both are asked", || server.seen().len() == 2).await;
    let full = ask(&client, &first, name(&server, 2, "/hello"));
    tokio::task::yield_now().await;
    let waiting = ask(&client, &second, name(&server, 3, "/hello"));
    assert_eq!(waiting.await.unwrap().as_deref(), Ok("hello"));
    short.await.unwrap().unwrap();
    assert!(!held.is_finished() && !full.is_finished(), "its grant has one, which is in use");
    held.abort();
    assert_eq!(full.await.unwrap().as_deref(), Ok("hello"));
}

#[tokio::test]
async fn who_waits_is_not_overtaken_by_who_comes_again_and_again() {
    let server = Server::start().await;
    let client = Client::new().resolver(Everywhere);
    let granted = many_names(server.port, "http", json!({ "connections": 1, "connect_ms": 60000 }));
    let outlet = client.outlet(&granted).unwrap();
    let url = name(&server, 0, "/hello");
    let busy = tokio::spawn(async move {
        loop {
            assert_eq!(answered(&outlet, &url).await.as_deref(), Ok("hello"));
        }
    });
    until("it comes again and again", || server.seen().len() > 10).await;
    for number in 1..6 {
        let url = name(&server, number, "/hello");
        assert_eq!(ask(&client, &granted, url).await.unwrap().as_deref(), Ok("hello"));
    }
    assert!(!busy.is_finished());
    busy.abort();
}

#[tokio::test]
async fn who_waits_with_the_same_origin_is_given_the_connection_itself() {
    let server = Server::start().await;
    let client = Client::new().resolver(Everywhere);
    let granted = many_names(server.port, "http", json!({ "connections": 2, "connect_ms": 60000 }));
    let all: Vec<_> = (0..20).map(|_| ask(&client, &granted, name(&server, 0, "/slow?head=10"))).collect();
    for asked in all {
        assert_eq!(asked.await.unwrap().as_deref(), Ok(""));
    }
    assert_eq!(server.connections(), 2);
    // In the order in which they came, whoever they are.
    let held = ask(&client, &granted, name(&server, 0, "/slow?head=300"));
    let other = ask(&client, &granted, name(&server, 0, "/slow?head=300"));
    until("both are asked", || server.seen().len() == 22).await;
    let urls: Vec<_> = [1, 0, 2, 0].map(|number| name(&server, number, "/hello")).into();
    let mut waiting = Vec::new();
    for url in &urls {
        waiting.push(ask(&client, &granted, url.clone()));
        tokio::task::yield_now().await;
    }
    for asked in waiting {
        assert_eq!(asked.await.unwrap().as_deref(), Ok("hello"));
    }
    let (held, other) = (held.await.unwrap(), other.await.unwrap());
    assert!(held.is_ok() && other.is_ok());
}

#[tokio::test]
async fn who_gives_up_leaves_the_line() {
    let server = Server::start().await;
    let client = Client::new().resolver(Everywhere);
    let granted = many_names(server.port, "http", json!({ "connections": 1, "connect_ms": 60000 }));
    let held = ask(&client, &granted, name(&server, 0, "/slow?head=60000"));
    until("it is asked", || server.seen().len() == 1).await;
    let waiting: Vec<_> = (1..6).map(|number| ask(&client, &granted, name(&server, number, "/hello"))).collect();
    tokio::task::yield_now().await;
    for waiting in &waiting[..4] {
        waiting.abort();
    }
    held.abort();
    let last = waiting.into_iter().next_back().unwrap();
    assert_eq!(last.await.unwrap().as_deref(), Ok("hello"));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn what_no_longer_speaks_http_2_has_a_seat_for_each_connection() {
    let (server, root) = Server::tls_by_turns(&["n0.many.test"], &[&[b"h2"], &[b"http/1.1"]], None).await;
    let client = Client::new().resolver(Everywhere).root_certificates(root.as_bytes()).unwrap();
    let granted = many_names(server.port, "https", json!({ "connections": 2, "connect_ms": 60000 }));
    let url = |path: &str| format!("https://n0.many.test:{}{path}", server.port);
    assert_eq!(ask(&client, &granted, url("/hello")).await.unwrap().as_deref(), Ok("hello"));
    server.hang_up();
    until("it is closed", || server.open() == 0).await;
    let all: Vec<_> = (0..8).map(|_| ask(&client, &granted, url("/slow?head=100"))).collect();
    until("they are asked", || server.seen().len() > 1).await;
    let mut most = 0;
    for asked in all {
        most = most.max(server.open());
        assert_eq!(asked.await.unwrap().as_deref(), Ok(""));
    }
    assert!(most <= 2, "{most}");
    assert!(server.connections() <= 4, "{}", server.connections());
}

#[tokio::test]
async fn who_shares_a_client_does_not_wait_for_another_s_answer() {
    let (server, root) = Server::tls_by_turns(&["n0.many.test"], &[&[b"h2"], &[b"http/1.1"]], None).await;
    let client = Client::new().resolver(Everywhere).root_certificates(root.as_bytes()).unwrap();
    let granted = many_names(server.port, "https", json!({ "connect_ms": 3000 }));
    let url = |path: &str| format!("https://n0.many.test:{}{path}", server.port);
    assert_eq!(ask(&client, &granted, url("/hello")).await.unwrap().as_deref(), Ok("hello"));
    server.hang_up();
    until("it is closed", || server.open() == 0).await;
    let long = ask(&client, &granted, url("/slow?head=60000"));
    let all: Vec<_> = (0..4).map(|_| ask(&client, &granted, url("/hello"))).collect();
    for asked in all {
        assert_eq!(asked.await.unwrap().as_deref(), Ok("hello"));
    }
    assert!(!long.is_finished());
    long.abort();
}

#[tokio::test]
async fn what_lies_unsent_in_a_connection_keeps_its_seat() {
    let (server, root) = Server::tls_by_turns(&["*.many.test"], &[&[b"h2"]], Some(0)).await;
    let client = Client::new().resolver(Everywhere).root_certificates(root.as_bytes()).unwrap();
    let granted =
        many_names(server.port, "https", json!({ "connections": 2, "first_byte_ms": 100, "connect_ms": 100 }));
    for number in 0..10 {
        for _ in 0..2 {
            let url = format!("https://n{number}.many.test:{}/hello", server.port);
            let _ = ask(&client, &granted, url).await.unwrap();
        }
    }
    assert!(server.open() <= 2, "{}", server.open());
}

#[tokio::test]
async fn the_time_of_an_exchange_ends_it_where_nobody_reads() {
    let server = Server::start().await;
    let caps = json!({ "total_ms": 400, "connections": 1, "connect_ms": 60000 });
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)], "caps": caps })).await;
    let args = ["hold", &server.url("/bytes?n=9000000"), &server.url("/slow?head=10")];
    let said = said(&guest.outcome(&args, Limits::default()).await);
    assert_eq!(said, "status 200\nerror HTTP response timeout");
}

#[tokio::test]
async fn an_upload_that_was_answered_ends_with_its_time() {
    let (port, open) = heads_answered().await;
    let client = Client::new().resolver(Everywhere);
    let granted = many_names(port, "http", json!({ "connections": 1, "total_ms": 400, "connect_ms": 5000 }));
    let outlet = client.outlet(&granted).unwrap();
    let endless = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, BoxError>>());
    let url = format!("http://n0.many.test:{port}/");
    let request = Request { method: Method::POST, body: Some(endless.boxed_unsync()), ..get(&url) };
    let call = Call::default();
    let response = outlet.send(request, &call).await.unwrap();
    assert_eq!((body(response).await.unwrap().as_str(), open.load(Ordering::SeqCst)), ("", 1));
    // So that the second one's time is not over with the first one's.
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Though its call goes on.
    assert_eq!(answered(&outlet, &url.replace("n0", "n1")).await.as_deref(), Ok(""));
    drop(call);
}

/// Time in which the other side hears that a server goes away: until then it may send, and is answered.
const HEARD: Duration = Duration::from_millis(50);

/// A client, a server that speaks HTTP/2 by two names, and the URL of a name and path.
async fn http_2() -> (Client, Server, impl Fn(usize, &str) -> String) {
    let (server, root) = Server::tls(&["n0.many.test", "n1.many.test"], &[b"h2"]).await;
    let client = Client::new().resolver(Everywhere).root_certificates(root.as_bytes()).unwrap();
    let port = server.port;
    (client, server, move |number, path| format!("https://n{number}.many.test:{port}{path}"))
}

#[tokio::test]
async fn a_server_that_goes_away_again_and_again_takes_no_seat_with_it() {
    let (client, server, url) = http_2().await;
    let granted = many_names(server.port, "https", json!({ "connections": 2, "connect_ms": 3000 }));
    let outlet = client.outlet(&granted).unwrap();
    let held = outlet.send(get(&url(0, "/slow?pieces=2&gap=60000")), &Call::default()).await.unwrap();
    for _ in 0..10 {
        server.go_away();
        tokio::time::sleep(HEARD).await;
        let all: Vec<_> = (0..4).map(|_| ask(&client, &granted, url(0, "/slow?head=10"))).collect();
        for asked in all {
            assert_eq!(asked.await.unwrap().as_deref(), Ok(""));
        }
        until("no more are open than may be", || server.open() <= 2).await;
    }
    assert_eq!(server.connections(), 11);
    drop(held);
}

#[tokio::test]
async fn what_was_to_be_sent_goes_on_with_its_body_where_the_server_goes_away() {
    let (client, server, url) = http_2().await;
    let granted = many_names(server.port, "https", json!({ "connections": 2, "connect_ms": 3000 }));
    let outlet = client.outlet(&granted).unwrap();
    let held = outlet.send(get(&url(0, "/slow?pieces=2&gap=60000")), &Call::default()).await.unwrap();
    server.go_away();
    tokio::time::sleep(HEARD).await;
    let four = Full::new(Bytes::from_static(b"four")).map_err(|never| match never {});
    let request = Request { method: Method::POST, body: Some(four.boxed_unsync()), ..get(&url(0, "/count")) };
    let response = outlet.send(request, &Call::default()).await.unwrap();
    assert_eq!(body(response).await.unwrap(), "4 bytes");
    assert_eq!(server.connections(), 2);
    drop(held);
}

#[tokio::test]
async fn each_connection_that_speaks_http_2_is_found_by_the_next() {
    let (client, server, url) = http_2().await;
    let granted = many_names(server.port, "https", json!({ "connections": 2, "connect_ms": 3000 }));
    let outlet = client.outlet(&granted).unwrap();
    let late = {
        let (outlet, url) = (Arc::clone(&outlet), url(0, "/slow?head=200&pieces=2&gap=60000"));
        tokio::spawn(async move { outlet.send(get(&url), &Call::default()).await })
    };
    until("it is asked", || server.seen().len() == 1).await;
    assert_eq!(answered(&outlet, &url(0, "/hello")).await.as_deref(), Ok("hello"));
    let late = late.await.unwrap().unwrap();
    assert_eq!(server.connections(), 2);
    // The one that is not in use is closed for another origin.
    let other = ask(&client, &granted, url(1, "/slow?head=60000"));
    until("it is asked", || server.seen().len() == 3).await;
    assert_eq!(answered(&outlet, &url(0, "/hello")).await.as_deref(), Ok("hello"));
    assert_eq!(server.connections(), 3);
    other.abort();
    drop(late);
}

#[tokio::test]
async fn who_waits_is_not_overtaken_by_those_that_share() {
    let (client, server, url) = http_2().await;
    let granted = many_names(server.port, "https", json!({ "connections": 1, "connect_ms": 60000 }));
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let (outlet, url) = (client.outlet(&granted).unwrap(), url(0, "/slow?head=20"));
            tokio::spawn(async move {
                loop {
                    assert_eq!(answered(&outlet, &url).await.as_deref(), Ok(""));
                }
            })
        })
        .collect();
    until("they come again and again", || server.seen().len() > 20).await;
    for _ in 0..3 {
        assert_eq!(ask(&client, &granted, url(1, "/hello")).await.unwrap().as_deref(), Ok("hello"));
    }
    for busy in busy {
        assert!(!busy.is_finished());
        busy.abort();
    }
}

#[tokio::test]
async fn who_was_kept_from_joining_joins_when_the_reason_is_gone() {
    let (client, server, url) = http_2().await;
    let granted = many_names(server.port, "https", json!({ "connections": 1, "connect_ms": 60000 }));
    let outlet = client.outlet(&granted).unwrap();
    let held = outlet.send(get(&url(0, "/slow?pieces=2&gap=60000")), &Call::default()).await.unwrap();
    let other = ask(&client, &granted, url(1, "/hello"));
    tokio::task::yield_now().await;
    let kept = ask(&client, &granted, url(0, "/hello"));
    tokio::task::yield_now().await;
    assert!(!kept.is_finished());
    other.abort();
    assert_eq!(kept.await.unwrap().as_deref(), Ok("hello"));
    drop(held);
}

#[tokio::test]
async fn a_redirect_does_not_wait_for_what_its_own_first_hop_sends() {
    let (port, _) = heads_answered().await;
    let client = Client::new().resolver(Everywhere);
    let caps = json!({ "connections_per_host": 1, "redirects": 1, "connect_ms": 3000 });
    let outlet = client.outlet(&many_names(port, "http", caps)).unwrap();
    let endless = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, BoxError>>());
    let url = format!("http://n0.many.test:{port}/redirect");
    let request = Request { method: Method::POST, body: Some(endless.boxed_unsync()), ..get(&url) };
    let response = outlet.send(request, &Call::default()).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn what_had_no_body_is_whole_however_late_one_looks() {
    let server = Server::start().await;
    let outlet = Client::new().resolver(Everywhere);
    let outlet = outlet.outlet(&many_names(server.port, "http", json!({ "total_ms": 300 }))).unwrap();
    let request = Request { method: Method::HEAD, ..get(&name(&server, 0, "/hello")) };
    let response = outlet.send(request, &Call::default()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(body(response).await.unwrap(), "");
}
