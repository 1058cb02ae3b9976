//! Who shares connections with whom.

use std::io;
use std::net::IpAddr;

use runner_core::{Limits, async_trait};
use runner_host_http::{Client, ErrorKind, Grant, Http, Resolve};
use serde_json::{Value, json};

use crate::support::{Guest, Server, all_of, body, executor, get, grant, run, said, send, until};

/// Every name leads to this machine.
struct Everywhere;

#[async_trait]
impl Resolve for Everywhere {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

fn many_names(server: &Server, caps: Value) -> Grant {
    let rule = json!({ "scheme": "http", "host": "*.many.test", "port": server.port, "addresses": ["127.0.0.1"] });
    grant(json!({ "allow": [rule], "caps": caps }))
}

#[tokio::test]
async fn of_many_names_the_connections_stay_as_many_as_there_may_be() {
    for (client, caps) in [(Client::new(), json!({ "connections": 4 })), (Client::new().connections(4), json!({}))] {
        let server = Server::start().await;
        let client = client.resolver(Everywhere);
        let granted = many_names(&server, caps);
        let asked = async |number: usize| {
            let url = server.named(&format!("n{number}.many.test"), "/hello");
            assert_eq!(body(send(&client, &granted, &url).await.unwrap()).await.unwrap(), "hello");
        };
        for number in 0..40 {
            asked(number).await;
        }
        assert_eq!(server.connections(), 40);
        until("the others are closed", || server.open() <= 4).await;
        assert_eq!(server.open(), 4, "what need not be closed is kept");
        // Those that were used last are still there; the others are not.
        for number in 36..40 {
            asked(number).await;
        }
        assert_eq!(server.connections(), 40);
        asked(0).await;
        assert_eq!(server.connections(), 41);
    }
}

#[tokio::test]
async fn where_all_connections_are_in_use_the_next_waits_for_one_and_no_longer_than_it_may() {
    let server = Server::start().await;
    let client = Client::new().resolver(Everywhere);
    let in_use = |granted: &Grant, path: &'static str| {
        let (outlet, server) = (client.outlet(granted).unwrap(), server.clone());
        let sends = (0..2).map(move |number| {
            let url = server.named(&format!("n{number}.many.test"), path);
            let outlet = std::sync::Arc::clone(&outlet);
            tokio::spawn(async move { body(outlet.send(get(&url), &Default::default()).await?).await })
        });
        sends.collect::<Vec<_>>()
    };
    let short = many_names(&server, json!({ "connections": 2, "connect_ms": 200 }));
    let busy = in_use(&short, "/slow?head=3000");
    until("both are asked", || server.seen().len() == 2).await;
    let third = server.named("n3.many.test", "/hello");
    let error = send(&client, &short, &third).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectBusy, "{error}");
    assert!(error.message().contains("2 connections of the grant are open"), "{error}");
    // Another grant has its own, and does not wait.
    let long = many_names(&server, json!({ "connections": 2 }));
    body(send(&client, &long, &third).await.unwrap()).await.unwrap();
    busy.into_iter().for_each(|busy| busy.abort());
    let busy = in_use(&long, "/slow?head=300");
    until("both are asked", || server.seen().len() == 5).await;
    assert_eq!(body(send(&client, &long, &third).await.unwrap()).await.unwrap(), "hello", "it waits for one to end");
    for busy in busy {
        busy.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn connections_that_a_server_closes_are_not_counted() {
    let server = Server::start().await;
    let client = Client::new().resolver(Everywhere);
    let granted = many_names(&server, json!({ "connections": 4, "connect_ms": 2_000 }));
    let asks = |number: usize, path: &str| {
        let (outlet, url) = (client.outlet(&granted).unwrap(), server.named(&format!("n{number}.many.test"), path));
        async move { body(outlet.send(get(&url), &Default::default()).await.unwrap()).await.unwrap() }
    };
    // Whoever waits for an answer keeps its client, with all that it has.
    let waiting = tokio::spawn(asks(0, "/slow?head=60000"));
    until("it is asked", || server.seen().len() == 1).await;
    for _ in 0..20 {
        assert_eq!(asks(0, "/last").await, "goodbye");
    }
    assert_eq!(server.connections(), 21);
    for number in 1..6 {
        assert_eq!(asks(number, "/hello").await, "hello");
    }
    until("no more are open than may be", || server.open() <= 4).await;
    assert!(!waiting.is_finished());
}

#[tokio::test]
async fn two_calls_of_one_grant_share_a_connection_and_another_grant_has_its_own() {
    let server = Server::start().await;
    let executor = executor(Http::new());
    let url = server.url("/hello");
    let first = Guest::load(&executor, json!({ "allow": [all_of(&server)] })).await;
    for _ in 0..3 {
        assert!(said(&run(&first, &["fetch", &url], Limits::default()).await).ends_with("body hello"));
    }
    assert_eq!(server.connections(), 1);
    let same = Guest::load(&executor, json!({ "allow": [all_of(&server)] })).await;
    run(&same, &["fetch", &url], Limits::default()).await;
    assert_eq!(server.connections(), 1, "an equal grant is the same grant");
    let other = Guest::load(&executor, json!({ "allow": [all_of(&server)], "caps": { "redirects": 1 } })).await;
    for _ in 0..3 {
        run(&other, &["fetch", &url], Limits::default()).await;
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn rules_with_other_addresses_have_other_connections() {
    let server = Server::start().await;
    let client = Client::new();
    let rule = |path: &str, addresses: &str| json!({ "scheme": "http", "host": "127.0.0.1", "port": server.port, "path": path, "addresses": [addresses] });
    let granted = grant(json!({ "allow": [rule("/hello", "127.0.0.1"), rule("/bytes", "127.0.0.0/8")] }));
    for (path, connections) in [("/hello", 1), ("/bytes?n=1", 2), ("/hello", 2), ("/bytes?n=1", 2)] {
        body(send(&client, &granted, &server.url(path)).await.unwrap()).await.unwrap();
        assert_eq!(server.connections(), connections, "{path}");
    }
}
