//! TLS: who is trusted, and which HTTP is spoken.

use http::Version;
use runner_host_http::{Client, ErrorKind, Http};
use serde_json::{Value, json};

use crate::support::{Guest, Names, Server, body, grant, send};

fn over_tls(server: &Server, name: &str) -> Value {
    json!({ "allow": [{ "host": name, "port": server.port, "methods": ["*"], "addresses": ["127.0.0.1"] }] })
}

#[tokio::test]
async fn a_root_of_one_s_own_is_trusted_and_http_is_what_both_speak() {
    for (alpn, version) in
        [(&[&b"h2"[..], b"http/1.1"][..], Version::HTTP_2), (&[b"http/1.1"], Version::HTTP_11), (&[], Version::HTTP_11)]
    {
        let (server, root) = Server::tls(&["api.test"], alpn).await;
        let url = format!("https://api.test:{}/hello", server.port);
        let client = Client::new().resolver(Names::local(&["api.test"])).root_certificates(root.as_bytes()).unwrap();
        let granted = grant(over_tls(&server, "api.test"));
        for _ in 0..2 {
            assert_eq!(body(send(&client, &granted, &url).await.unwrap()).await.unwrap(), "hello", "{version:?}");
        }
        assert_eq!(server.seen()[0].version, version);
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_to_be_trusted_is_refused() {
    let (server, root) = Server::tls(&["api.test"], &[]).await;
    let names = || Names::local(&["api.test", "other.test"]);
    let url = |name: &str| format!("https://{name}:{}/hello", server.port);
    let error = send(&Client::new().resolver(names()), &grant(over_tls(&server, "api.test")), &url("api.test")).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TlsCertificate, "nobody vouches for it");
    let client = Client::new().no_public_roots().root_certificates(root.as_bytes()).unwrap().resolver(names());
    let error = send(&client, &grant(over_tls(&server, "other.test")), &url("other.test")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TlsCertificate, "it is for another name: {error}");
    assert_eq!(server.seen().len(), 0);
    let plain = Server::start().await;
    let error = send(&client, &grant(over_tls(&plain, "api.test")), &format!("https://api.test:{}/", plain.port)).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TlsProtocol, "it speaks no TLS");
    assert!(Client::new().root_certificates(b"no PEM").is_err());
}

#[tokio::test]
async fn a_guest_speaks_http_2_with_streams_and_trailers() {
    let (server, root) = Server::tls(&["api.test"], &[b"h2"]).await;
    let http = Http::new().resolver(Names::local(&["api.test"])).root_certificates(root.as_bytes()).unwrap();
    let guest = Guest::new(http, over_tls(&server, "api.test")).await;
    let url = |path: &str| format!("https://api.test:{}{path}", server.port);
    assert_eq!(guest.run(&["echo", &url("/echo"), "10", "20000"]).await, "echoed 200000 bytes in 10 pieces");
    let said = guest.run(&["fetch", &url("/trailers")]).await;
    assert!(said.ends_with("body body\ntrailer x-end: of it"), "{said}");
    let said = guest.run(&["fetch", "POST", &url("/count"), "-d", "four", "-t", "x-sum:9"]).await;
    assert!(said.ends_with("body 4 bytes x-sum=\"9\""), "{said}");
    assert_eq!(guest.run(&["many", &url("/hello"), "20"]).await, "good 20 bad []");
    assert_eq!(server.connections(), 1, "they share one");
    assert!(server.seen().iter().all(|seen| seen.version == Version::HTTP_2));
}
