//! Who shares connections with whom.

use runner_core::Limits;
use runner_host_http::{Client, Http};
use serde_json::json;

use crate::support::{Guest, Server, all_of, body, executor, grant, run, said, send};

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
