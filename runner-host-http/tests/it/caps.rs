//! Each number: what is just within it passes, what is just beyond it does not.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use runner_host_http::{Call, Client, ErrorKind, Http};
use serde_json::{Value, json};

use crate::support::{Guest, Names, Server, all_of, body, get, grant, send};

async fn asked(server: &Server, caps: Value, path: &str) -> Result<String, ErrorKind> {
    let granted = grant(json!({ "allow": [all_of(server)], "caps": caps }));
    let response = send(&Client::new(), &granted, &server.url(path)).await.map_err(|error| error.kind())?;
    body(response).await.map_err(|error| error.kind())
}

#[tokio::test]
async fn a_response_s_body_is_cut_at_its_number() {
    let server = Server::start().await;
    for way in ["", "&chunked=1"] {
        let path = |bytes| format!("/bytes?n={bytes}{way}");
        let caps = json!({ "response_bytes": 5000 });
        assert_eq!(asked(&server, caps.clone(), &path(5000)).await.map(|body| body.len()), Ok(5000), "{way}");
        assert_eq!(asked(&server, caps, &path(5001)).await, Err(ErrorKind::ResponseBodyBytes), "{way}");
    }
}

#[tokio::test]
async fn a_request_s_body_is_cut_at_its_number() {
    let server = Server::start().await;
    let granted = grant(json!({ "allow": [all_of(&server)], "caps": { "request_bytes": 5000 } }));
    for (bytes, expected) in [(5000, Ok("5000 bytes".to_owned())), (5001, Err(ErrorKind::RequestBodyBytes))] {
        for declared in [true, false] {
            let mut request = get(&server.url("/count"));
            request.method = http::Method::POST;
            if declared {
                request.headers.insert("content-length", bytes.into());
            }
            request.body = Some(Full::new(vec![b'x'; bytes].into()).map_err(|never| match never {}).boxed_unsync());
            let client = Client::new();
            let found = match client.outlet(&granted).unwrap().send(request, &Call::default()).await {
                Ok(response) => Ok(body(response).await.unwrap()),
                Err(error) => Err(error.kind()),
            };
            assert_eq!(found, expected, "{bytes} declared: {declared}");
        }
    }
    let guest =
        Guest::new(Http::new(), json!({ "allow": [all_of(&server)], "caps": { "request_bytes": 100_000 } })).await;
    assert!(guest.run(&["send", &server.url("/count"), "100000"]).await.ends_with("body 100000 bytes"));
    let said = guest.run(&["send", &server.url("/count"), "100001"]).await;
    assert_eq!(said, "error ErrorCode::HttpRequestBodySize(Some(100000))");
}

#[tokio::test]
async fn headers_are_cut_at_their_number_both_ways() {
    let server = Server::start().await;
    // `x-long` and 4 bytes, beside what the server sends by itself.
    let plain = {
        let granted = grant(json!({ "allow": [all_of(&server)] }));
        let response = send(&Client::new(), &granted, &server.url("/header?n=1000")).await.unwrap();
        response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
    };
    let caps = json!({ "header_bytes": plain });
    assert_eq!(asked(&server, caps.clone(), "/header?n=1000").await, Ok(String::new()));
    assert_eq!(asked(&server, caps, "/header?n=1001").await, Err(ErrorKind::ResponseHeaderBytes));
    let granted = grant(json!({ "allow": [all_of(&server)], "caps": { "header_bytes": 1000 } }));
    for (bytes, sent) in [(991, true), (992, false)] {
        let mut request = get(&server.url("/hello"));
        request.headers.insert("x-sent-", "h".repeat(bytes - 2).parse().unwrap());
        let found = Client::new().outlet(&granted).unwrap().send(request, &Call::default()).await;
        assert_eq!(
            found.map(|_| ()).map_err(|error| error.kind()),
            if sent { Ok(()) } else { Err(ErrorKind::RequestHeaderBytes) },
            "{bytes}"
        );
    }
}

#[tokio::test]
async fn headers_are_as_many_as_there_may_be_over_each_protocol() {
    let server = Server::start().await;
    let (other, root) = Server::tls(&["here.test"], &[b"h2"]).await;
    let over_tls = Client::new().resolver(Names::local(&["here.test"])).root_certificates(root.as_bytes()).unwrap();
    let tls_rule = json!({ "host": "here.test", "port": other.port, "addresses": ["127.0.0.1"] });
    for (client, rule, url) in [
        (Client::new(), all_of(&server), server.url("")),
        (over_tls, tls_rule, format!("https://here.test:{}", other.port)),
    ] {
        let asked = async |path: &str, caps: Value| {
            let granted = grant(json!({ "allow": [rule], "caps": caps }));
            send(&client, &granted, &format!("{url}{path}")).await.map(|response| response.headers().len())
        };
        assert!((101..104).contains(&asked("/lines?n=101", json!({})).await.unwrap()), "{url}");
        assert!((500..503).contains(&asked("/lines?n=500", json!({})).await.unwrap()), "{url}");
        let error = asked("/lines?n=513", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResponseHeaderBytes, "{url}: {error}");
        // The most that a grant may say is what is held.
        let most = json!({ "header_bytes": 262_144 });
        asked("/header?n=262000", most.clone()).await.unwrap();
        assert_eq!(asked("/header?n=262144", most).await.unwrap_err().kind(), ErrorKind::ResponseHeaderBytes, "{url}");
    }
}

#[tokio::test]
async fn each_time_is_met_alone() {
    let server = Server::start().await;
    for (caps, path, expected) in [
        (json!({ "total_ms": 200 }), "/slow?head=2000", Err(ErrorKind::ResponseTimeout)),
        (json!({ "total_ms": 200 }), "/slow?pieces=50&gap=20", Err(ErrorKind::ResponseTimeout)),
        (json!({ "first_byte_ms": 100 }), "/slow?head=2000", Err(ErrorKind::ResponseTimeout)),
        (json!({ "first_byte_ms": 1000 }), "/slow?head=10&pieces=2&gap=1500", Ok(())),
        (json!({ "between_bytes_ms": 100 }), "/slow?pieces=2&gap=2000", Err(ErrorKind::ReadTimeout)),
        (json!({ "between_bytes_ms": 1000 }), "/slow?pieces=20&gap=60", Ok(())),
    ] {
        assert_eq!(asked(&server, caps.clone(), path).await.map(drop), expected, "{caps} {path}");
    }
    // Nobody takes the connection.
    let full = tokio::net::TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = full.listen(1).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let connecting = tokio::net::TcpStream::connect(("127.0.0.1", port));
        waiting.push(tokio::time::timeout(Duration::from_millis(50), connecting).await);
    }
    let granted = grant(json!({
        "allow": [{ "scheme": "http", "host": "127.0.0.1", "port": port, "addresses": ["127.0.0.1"] }],
        "caps": { "connect_ms": 100 },
    }));
    let error = send(&Client::new(), &granted, &format!("http://127.0.0.1:{port}/")).await.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::ConnectTimeout, "{error}");
}

#[tokio::test]
async fn a_guest_may_ask_for_less_time_and_not_for_more() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)], "caps": { "first_byte_ms": 300 } })).await;
    let slow = server.url("/slow?head=3000");
    for flag in ["100", "60000"] {
        let said = guest.run(&["fetch", &slow, "-first", flag]).await;
        assert_eq!(said, "error ErrorCode::HttpResponseTimeout", "{flag}");
    }
    let said = guest.run(&["fetch", &server.url("/slow?pieces=2&gap=3000"), "-between", "100"]).await;
    // Of a body's error, wasmtime 48 gives the guest the text alone.
    assert!(said.ends_with("body piece 0;\nerror connection read timeout"), "{said}");
}

#[tokio::test]
async fn exchanges_of_one_call_and_of_one_grant_are_as_many_as_their_numbers() {
    let server = Server::start().await;
    let caps = json!({ "exchanges_per_call": 2 });
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)], "caps": caps })).await;
    let slow = server.url("/slow?head=50");
    assert_eq!(guest.run(&["many", &slow, "8"]).await, "good 8 bad []");
    assert_eq!(server.under_way_most(), 2);
    // Two calls have twice as many, as long as their grant has.
    for (exchanges, most) in [(10, 4), (3, 3)] {
        let server = Server::start().await;
        let slow = server.url("/slow?head=200");
        let caps = json!({ "exchanges_per_call": 2, "exchanges": exchanges });
        let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)], "caps": caps })).await;
        let args = ["many", slow.as_str(), "6"];
        let (one, other) = tokio::join!(guest.run(&args), guest.run(&args));
        assert_eq!((one.as_str(), other.as_str()), ("good 6 bad []", "good 6 bad []"));
        assert_eq!(server.under_way_most(), most);
    }
    let caps = json!({ "exchanges_per_call": 1, "connect_ms": 100 });
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)], "caps": caps })).await;
    let said = guest.run(&["many", &server.url("/slow?head=1000"), "2"]).await;
    assert_eq!(said, r#"good 1 bad ["ErrorCode::ConnectionLimitReached"]"#);
}

#[tokio::test]
async fn exchanges_with_one_host_are_as_many_as_the_number() {
    let server = Server::start().await;
    let caps = json!({ "connections_per_host": 2 });
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)], "caps": caps })).await;
    let said = guest.run(&["many", &server.url("/slow?head=50"), "8"]).await;
    assert_eq!(said, "good 8 bad []");
    assert_eq!(server.under_way_most(), 2);
    let caps = json!({ "connections_per_host": 1, "connect_ms": 100 });
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)], "caps": caps })).await;
    let said = guest.run(&["many", &server.url("/slow?head=1000"), "2"]).await;
    assert_eq!(said, r#"good 1 bad ["ErrorCode::ConnectionLimitReached"]"#);
}
