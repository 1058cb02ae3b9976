//! What a guest may ask for: allowed, and denied by each part of a rule.

use runner_core::{ErrorKind, Grants};
use runner_host_http::{Http, Secrets};
use serde_json::json;

use crate::secrets::Log;
use crate::support::{Guest, Names, Server, all_of, executor, nobody};

#[tokio::test]
async fn a_guest_gets_what_its_grant_allows() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)] })).await;
    let said = guest.run(&["fetch", &server.url("/hello?a=b"), "-h", "x-mine:1"]).await;
    assert!(said.starts_with("status 200\n") && said.contains("header x-answer: 42\n"), "{said}");
    assert!(said.ends_with("body hello"), "{said}");
    let said = guest.run(&["fetch", "POST", &server.url("/echo"), "-d", "to and fro"]).await;
    assert!(said.ends_with("body to and fro"), "{said}");
    let said = guest.run(&["fetch", "PURGE", &server.url("/no/such")]).await;
    assert!(said.starts_with("status 404\n"), "{said}");
    let seen = server.seen();
    assert_eq!(seen[0].path, "/hello?a=b");
    assert_eq!(seen[0].headers["x-mine"], "1");
    assert_eq!(seen[0].headers["host"], format!("127.0.0.1:{}", server.port));
    assert_eq!((seen[1].method.as_str(), seen[2].method.as_str()), ("POST", "PURGE"));
}

#[tokio::test]
async fn each_part_of_a_rule_denies_by_itself() {
    let server = Server::start().await;
    let port = server.port;
    let rule = json!({
        "scheme": "http", "host": "api.test", "port": port, "methods": ["GET", "POST"], "path": "/hello",
        "addresses": ["127.0.0.1"],
    });
    let http = Http::new().resolver(Names::local(&["api.test", "other.test", "sub.api.test"]));
    let guest = Guest::new(http, json!({ "allow": [rule] })).await;
    let allowed = guest.run(&["fetch", &format!("http://API.test.:{port}/hello")]).await;
    assert!(allowed.starts_with("status 200\n"), "{allowed}");
    for (method, url) in [
        ("GET", format!("https://api.test:{port}/hello")),
        ("GET", format!("http://other.test:{port}/hello")),
        ("GET", format!("http://sub.api.test:{port}/hello")),
        ("GET", format!("http://127.0.0.1:{port}/hello")),
        ("GET", "http://api.test/hello".to_owned()),
        ("PUT", format!("http://api.test:{port}/hello")),
        ("HEAD", format!("http://api.test:{port}/hello")),
        ("GET", format!("http://api.test:{port}/hellos")),
        ("GET", format!("http://api.test:{port}/hello/../echo")),
        ("GET", format!("http://api.test:{port}/")),
    ] {
        assert_eq!(guest.run(&["fetch", method, &url]).await, "error ErrorCode::HttpRequestDenied", "{method} {url}");
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_keeps_a_request_from_arriving_has_a_code_of_its_own() {
    let server = Server::start().await;
    let nobody = nobody().await;
    let rule = |port, addresses: &[&str]| json!({ "scheme": "http", "host": "*", "port": port, "methods": ["*"], "addresses": addresses });
    let names = Names::new([
        ("here.test", vec![vec!["127.0.0.1"]]),
        ("inside.test", vec![vec!["10.1.2.3"]]),
        ("empty.test", vec![vec![]]),
    ]);
    let allow = [
        rule(server.port, &["127.0.0.1"]),
        rule(nobody.port(), &["127.0.0.1"]),
        json!({ "host": "*", "methods": ["*"] }),
    ];
    let guest = Guest::new(Http::new().resolver(names), json!({ "allow": allow })).await;
    let dns = "error ErrorCode::DnsError(DnsErrorPayload { rcode: None, info-code: None })";
    for (url, expected) in [
        (server.named("here.test", "/hello"), "status 200"),
        (server.named("inside.test", "/"), "error ErrorCode::DestinationIpProhibited"),
        (server.named("unknown.test", "/"), dns),
        (server.named("empty.test", "/"), dns),
        (format!("http://here.test:{}/", nobody.port()), "error ErrorCode::ConnectionRefused"),
        ("ftp://here.test/".to_owned(), "error ErrorCode::HttpRequestUriInvalid"),
        ("https://user:pw@here.test/".to_owned(), "error ErrorCode::HttpRequestUriInvalid"),
        (server.named("here.test", "/half"), "status 200"),
    ] {
        let said = guest.run(&["fetch", &url]).await;
        let first = said.lines().next().unwrap_or_default().replace("info_code", "info-code");
        assert_eq!(first, expected, "{url}: {said}");
    }
    let said = guest.run(&["fetch", &server.named("here.test", "/half")]).await;
    assert!(said.contains("body half\nerror ") && said.contains("incomplete"), "{said}");
    let said = guest.run(&["fetch", "CONNECT", &server.named("here.test", "/")]).await;
    assert_eq!(said, "error ErrorCode::HttpRequestMethodInvalid");
}

#[tokio::test]
async fn without_a_grant_everything_is_closed_and_a_grant_that_is_none_is_refused() {
    let server = Server::start().await;
    let executor = executor(Http::new());
    let guest = runner_guests::get("http-client.wasm");
    let program = executor.load(guest, &Grants::none()).await.expect("it loads, closed");
    let outcome = crate::support::run(&program, &["fetch", &server.url("/hello")], Default::default()).await;
    assert_eq!(crate::support::said(&outcome), "error ErrorCode::HttpRequestDenied");
    let empty = Guest::load(&executor, json!({})).await;
    let outcome = crate::support::run(&empty, &["fetch", &server.url("/hello")], Default::default()).await;
    assert_eq!(crate::support::said(&outcome), "error ErrorCode::HttpRequestDenied");
    assert_eq!(server.connections(), 0);
    let wrong = Grants::none().grant("http", json!({ "allow": [{ "host": "https://a" }] }));
    let error = executor.load(guest, &wrong).await.expect_err("a host is no URL");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("grant for `http` does not fit its schema: host `https://a`"), "{error}");
    let (id, schema) = executor.grant_schemas().into_iter().next().expect("it has a schema");
    assert_eq!(id, "http");
    assert!(schema["$defs"]["Rule"]["properties"]["host"]["description"].is_string());
}

#[tokio::test]
async fn what_the_grant_does_not_allow_stands_in_the_log_in_words_and_not_without_end() {
    let server = Server::start().await;
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_ansi(false)
        .with_writer(move || written.clone())
        .finish();
    // The test's runtime has this one thread.
    let _guard = tracing::subscriber::set_default(subscriber);
    let closed = nobody().await.port();
    let there = json!({ "scheme": "http", "host": "127.0.0.1", "port": closed, "addresses": ["127.0.0.1"] });
    let names = Names::new([("inside.test", vec![vec!["10.0.0.1"]])]);
    let inside = json!({ "scheme": "http", "host": "inside.test" });
    let guest = Guest::new(Http::new().resolver(names), json!({ "allow": [all_of(&server), there, inside] })).await;
    let told = || {
        let told = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
        told.lines().filter(|line| line.contains("runner_host_http")).map(str::to_owned).collect::<Vec<_>>()
    };
    for (url, words) in [
        ("https://127.0.0.1:8443/", "scheme `https` is in no rule for host `127.0.0.1`"),
        ("http://127.0.0.1:1/", "port 1 is in no rule for `http://127.0.0.1`"),
        ("http://inside.test/", "host `inside.test` leads to 10.0.0.1, which (private) is granted by no `addresses`"),
    ] {
        let outcome = guest.outcome(&["fetch", url], Default::default()).await;
        let told = told();
        let [line] = told.as_slice() else { panic!("{url}: {told:?}") };
        for words in [" INFO ", "outgoing request refused: ", words, &format!(" call={} ", outcome.call_id)] {
            assert!(line.contains(words), "`{words}` is not in: {line}");
        }
    }
    // The network's own troubles, and what is allowed, are not told at this level.
    guest.run(&["fetch", &format!("http://127.0.0.1:{closed}/")]).await;
    guest.run(&["fetch", &server.url("/hello")]).await;
    assert_eq!(told(), [""; 0]);
    // Each call has so many lines, however often it asks.
    for _ in 0..2 {
        guest.run(&["many", "http://127.0.0.1:1/", "50"]).await;
        let told = told();
        assert_eq!(told.len(), 8 + 1, "{told:?}");
        assert!(told[8].contains("what else this call is refused is told at level debug"), "{told:?}");
    }
}

#[tokio::test]
async fn a_secret_that_the_host_has_not_is_missed_before_the_first_request() {
    let executor = executor(Http::new().secrets(Secrets::new([("KEY", "s3cr3t")]).expect("a secret")));
    let grants = |name: &str| {
        let grant = json!({ "allow": [], "secrets": [{ "name": name, "hosts": ["api.test"] }] });
        Grants::none().grant("http", grant)
    };
    executor.check(&grants("KEY")).expect("the host has it");
    let error = executor.check(&grants("KEYS")).expect_err("the host has it not");
    let words = "the grant lends secret `KEYS`, this host has `KEY`";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Invalid, words));
}
