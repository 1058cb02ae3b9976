//! Who shares connections with whom.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use runner_core::Limits;
use runner_host_http::{BoxError, Call, Client, ErrorKind, Grant, Http, Request};
use serde_json::json;

use crate::support::{
    Everywhere, Guest, Names, Server, all_of, body, executor, get, grant, heads_answered, many_names, run, said, send,
    until,
};

#[tokio::test]
async fn of_many_names_the_connections_stay_as_many_as_there_may_be() {
    for (client, caps) in [(Client::new(), json!({ "connections": 4 })), (Client::new().connections(4), json!({}))] {
        let server = Server::start().await;
        let client = client.resolver(Everywhere);
        let granted = many_names(server.port, "http", caps);
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
    let short = many_names(server.port, "http", json!({ "connections": 2, "connect_ms": 200 }));
    let busy = in_use(&short, "/slow?head=3000");
    until("both are asked", || server.seen().len() == 2).await;
    let third = server.named("n3.many.test", "/hello");
    let error = send(&client, &short, &third).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectBusy, "{error}");
    assert!(error.message().contains("2 connections of the grant are open"), "{error}");
    // Another grant has its own, and does not wait.
    let long = many_names(server.port, "http", json!({ "connections": 2 }));
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
async fn what_is_not_in_use_makes_room() {
    let server = Server::start().await;
    let client = Client::new().resolver(Everywhere);
    let granted = many_names(server.port, "http", json!({ "connections": 4, "connect_ms": 2_000 }));
    let sends = |number: usize, path: &str| {
        let (outlet, url) = (client.outlet(&granted).unwrap(), server.named(&format!("n{number}.many.test"), path));
        async move { outlet.send(get(&url), &Default::default()).await.unwrap() }
    };
    let waiting = tokio::spawn(sends(0, "/slow?head=60000"));
    until("it is asked", || server.seen().len() == 1).await;
    // Those that the server ends, those whose answer nobody reads, and those whose answer nobody waits for.
    for _ in 0..20 {
        assert_eq!(body(sends(0, "/last").await).await.unwrap(), "goodbye");
    }
    assert_eq!(server.connections(), 21);
    for _ in 0..20 {
        drop(sends(0, "/bytes?n=9000000").await);
    }
    for _ in 0..20 {
        let seen = server.seen().len();
        let asked = tokio::spawn(sends(0, "/slow?head=60000"));
        until("it is asked", || server.seen().len() > seen).await;
        asked.abort();
        let _ = asked.await;
    }
    for number in 0..6 {
        assert_eq!(body(sends(number, "/hello").await).await.unwrap(), "hello");
    }
    until("no more are open than may be", || server.open() <= 4).await;
    assert!(!waiting.is_finished());
}

#[tokio::test]
async fn what_is_still_sent_is_in_use_whoever_has_answered() {
    let (port, open) = heads_answered().await;
    let rule =
        json!({ "scheme": "http", "host": "*.many.test", "port": port, "methods": ["*"], "addresses": ["127.0.0.1"] });
    let granted = grant(json!({ "allow": [rule], "caps": { "connections": 4, "connect_ms": 300 } }));
    let client = Client::new().resolver(Everywhere);
    let outlet = client.outlet(&granted).unwrap();
    let call = Call::default();
    let send = async |number: usize| {
        let url = format!("http://n{number}.many.test:{port}/");
        let endless = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, BoxError>>());
        let request = Request { method: Method::POST, body: Some(endless.boxed_unsync()), ..get(&url) };
        outlet.send(request, &call).await.map(|response| response.status().as_u16())
    };
    for number in 0..4 {
        assert_eq!(send(number).await.unwrap(), 200);
    }
    for number in 0..4 {
        assert_eq!(send(number).await.unwrap_err().kind(), ErrorKind::ConnectBusy);
    }
    assert_eq!(open.load(Ordering::SeqCst), 4);
    call.end();
    until("nobody sends any more", || open.load(Ordering::SeqCst) == 0).await;
    let call = Call::default();
    outlet.send(get(&format!("http://n5.many.test:{port}/")), &call).await.unwrap();
}

#[tokio::test]
async fn many_at_once_share_what_speaks_http_2() {
    let (server, root) = Server::tls(&["api.test"], &[b"h2"]).await;
    let client = Client::new().resolver(Names::local(&["api.test"])).root_certificates(root.as_bytes()).unwrap();
    let rule = json!({ "host": "api.test", "port": server.port, "addresses": ["127.0.0.1"] });
    let granted = grant(json!({ "allow": [rule], "caps": { "connections": 2 } }));
    let url = format!("https://api.test:{}/slow?head=200", server.port);
    for _ in 0..2 {
        let asked = (0..20).map(|_| {
            let (outlet, url) = (client.outlet(&granted).unwrap(), url.clone());
            tokio::spawn(async move { outlet.send(get(&url), &Default::default()).await.map(drop) })
        });
        for asked in asked.collect::<Vec<_>>() {
            asked.await.unwrap().unwrap();
        }
    }
    assert!(server.connections() <= 2, "{}", server.connections());
    assert_eq!(server.seen().len(), 40);
}

#[tokio::test]
async fn no_proxy_of_the_environment_is_asked() {
    const PROXIED: &str = "RUNNER_TEST_PROXIED";
    if std::env::var_os(PROXIED).is_none() {
        // In a process of its own: others of this one have no such environment.
        let mut again = tokio::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "pools::no_proxy_of_the_environment_is_asked"]).env(PROXIED, "1");
        for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            again.env(variable, "http://127.0.0.1:9");
        }
        let done = again.env_remove("NO_PROXY").env_remove("no_proxy").output().await.unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let (plain, (server, root)) = (Server::start().await, Server::tls(&["api.test"], &[b"h2"]).await);
    let client = Client::new().resolver(Names::local(&["api.test"])).root_certificates(root.as_bytes()).unwrap();
    let rule = json!({ "host": "api.test", "port": server.port, "addresses": ["127.0.0.1"] });
    let granted = grant(json!({ "allow": [all_of(&plain), rule] }));
    for url in [plain.url("/hello"), format!("https://api.test:{}/hello", server.port)] {
        assert_eq!(body(send(&client, &granted, &url).await.unwrap()).await.unwrap(), "hello");
    }
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
