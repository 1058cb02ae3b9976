//! Bodies as streams, both ways, and what follows them.

use runner_host_http::Http;
use serde_json::json;

use crate::support::{Guest, Server, all_of};

#[tokio::test]
async fn a_body_is_sent_while_its_answer_is_read() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)] })).await;
    // Each piece comes back before the next is written: neither way waits for the other's end.
    assert_eq!(guest.run(&["echo", &server.url("/echo"), "20", "50000"]).await, "echoed 1000000 bytes in 20 pieces");
}

#[tokio::test]
async fn a_slow_body_comes_piece_by_piece() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)] })).await;
    let said = guest.run(&["fetch", &server.url("/slow?head=20&pieces=3&gap=20")]).await;
    assert!(said.ends_with("body piece 0;piece 1;piece 2;"), "{said}");
}

#[tokio::test]
async fn trailers_come_and_go() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)] })).await;
    let said = guest.run(&["fetch", &server.url("/trailers"), "-h", "te:trailers"]).await;
    assert!(said.ends_with("body body\ntrailer x-end: of it"), "{said}");
    let count = server.url("/count");
    let said = guest.run(&["fetch", "POST", &count, "-h", "trailer:x-sum", "-d", "four", "-t", "x-sum:9"]).await;
    assert!(said.ends_with("body 4 bytes x-sum=\"9\""), "{said}");
}
