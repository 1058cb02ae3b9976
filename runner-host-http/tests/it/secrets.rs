//! Secrets: they arrive where they were granted, and nowhere else.

use std::sync::{Arc, Mutex};

use runner_host_http::{Client, ErrorKind, Http, Secrets};
use serde_json::json;

use crate::support::{Guest, Names, Server, get, grant, named};

const VALUE: &str = "t0p-s3cr3t/value";

fn secrets() -> Secrets {
    Secrets::new([("KEY", VALUE), ("UNGRANTED", "another-one")]).unwrap()
}

fn granted(server: &Server, plain: bool) -> serde_json::Value {
    json!({
        "allow": [named(server, "here.test"), named(server, "other.test")],
        "secrets": [{ "name": "KEY", "hosts": ["here.test"], "plain": plain }],
        "caps": { "redirects": 3 },
    })
}

fn names() -> Names {
    Names::local(&["here.test", "other.test"])
}

#[tokio::test]
async fn a_secret_arrives_in_headers_and_in_the_query_and_the_guest_never_has_it() {
    let server = Server::start().await;
    let http = Http::new().resolver(names()).secrets(secrets());
    assert_eq!(http.secret_names().collect::<Vec<_>>(), ["KEY", "UNGRANTED"]);
    assert!(!format!("{http:?}").contains(VALUE));
    let guest = Guest::new(http, granted(&server, true)).await;
    for url in ["/reflect?a=1&k={{secret:KEY}}", "/reflect?a=1&k=%7B%7Bsecret%3AKEY%7D%7D"] {
        let said = guest.run(&["fetch", &server.named("here.test", url), "-h", "x-key:Bearer {{secret:KEY}}"]).await;
        let seen = server.seen().last().unwrap().clone();
        assert_eq!(seen.headers["x-key"], format!("Bearer {VALUE}"));
        assert_eq!(seen.path, "/reflect?a=1&k=t0p-s3cr3t%2Fvalue");
        for line in [
            "header x-was: Bearer [redacted]",
            "header set-cookie: k=Bearer [redacted]; a",
            "header x-query: a=1&k=[redacted]",
            "body reflected",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
        assert!(!said.contains("s3cr3t"), "{said}");
    }
}

#[tokio::test]
async fn a_secret_goes_to_no_other_host_place_or_wire() {
    let server = Server::start().await;
    let http = || Http::new().resolver(names()).secrets(secrets());
    let guest = Guest::new(http(), granted(&server, true)).await;
    let hello = server.named("here.test", "/hello");
    let denied = "error ErrorCode::HttpRequestDenied";
    let other = server.named("other.test", "/hello");
    for (args, expected) in [
        (vec!["fetch", &other, "-h", "x-key:{{secret:KEY}}"], denied),
        (vec!["fetch", &hello, "-h", "x-key:{{secret:UNGRANTED}}"], denied),
        (vec!["fetch", &hello, "-h", "x-key:{{secret:MISSING}}"], denied),
        (vec!["fetch", &hello, "-h", "x-key:{{secret:KEY"], denied),
        (vec!["fetch", &format!("{other}?k={{{{secret:KEY}}}}")], denied),
        (vec!["fetch", &format!("{hello}?{{{{secret:KEY}}}}=k")], denied),
        (vec!["fetch", &format!("{hello}/{{{{secret:KEY}}}}")], "error ErrorCode::HttpRequestUriInvalid"),
    ] {
        assert_eq!(guest.run(&args).await, expected, "{args:?}");
    }
    assert_eq!(server.seen().len(), 0);
    // Bodies are the guest's own, as they are.
    let echo = server.named("here.test", "/echo");
    let said = guest.run(&["fetch", "POST", &echo, "-d", "{{secret:KEY}}"]).await;
    assert!(said.ends_with("body {{secret:KEY}}"), "{said}");
    let guest = Guest::new(http(), granted(&server, false)).await;
    assert_eq!(guest.run(&["fetch", &hello, "-h", "x-key:{{secret:KEY}}"]).await, denied, "it is not sent in the open");
}

#[tokio::test]
async fn no_answer_of_a_host_that_may_not_have_a_secret_tells_whether_it_was_guessed() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new().resolver(names()).secrets(secrets()), granted(&server, true)).await;
    for (guess, theirs) in [(VALUE, "[redacted]"), ("t0p-s3cr3t/valve", "t0p-s3cr3t/valve")] {
        let header = format!("x-key:{guess}");
        let reflected = async |url: &str| guest.run(&["fetch", url, "-h", &header]).await;
        // Who may not have it may not have told it: the right guess looks like any other.
        let (here, other) = (server.named("here.test", "/reflect"), server.named("other.test", "/reflect"));
        let said = reflected(&other).await;
        assert!(said.contains(&format!("header x-was: {guess}\n")), "{said}");
        let said = reflected(&here).await;
        assert!(said.contains(&format!("header x-was: {theirs}\n")), "{said}");
        // Whoever is asked on the word of one who may have it, may have been told.
        let said = reflected(&server.named("here.test", &format!("/redirect?to={other}"))).await;
        assert!(said.contains(&format!("header x-was: {theirs}\n")), "{said}");
        let said = reflected(&server.named("other.test", &format!("/redirect?to={other}"))).await;
        assert!(said.contains(&format!("header x-was: {guess}\n")), "{said}");
    }
}

/// What is logged while a test runs.
#[derive(Clone, Default)]
pub(crate) struct Log(pub(crate) Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_shows_a_secret_however_much_is_logged() {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || written.clone())
        .finish();
    // The test's runtime has this one thread.
    let _guard = tracing::subscriber::set_default(subscriber);
    for alpn in [&b"http/1.1"[..], b"h2"] {
        let (server, root) = Server::tls(&["here.test"], &[alpn]).await;
        let client = Client::new().resolver(names()).secrets(secrets()).root_certificates(root.as_bytes()).unwrap();
        let granted = grant(json!({
            "allow": [{ "host": "here.test", "port": server.port, "addresses": ["127.0.0.1"] }],
            "secrets": [{ "name": "KEY", "hosts": ["here.test"] }],
            "caps": { "redirects": 3 },
        }));
        let outlet = client.outlet(&granted).unwrap();
        for path in ["/hello", "/redirect?to=/hello", "/none", "/bytes?n=99999999", "/redirect?to=ftp://"] {
            let sign = if path.contains('?') { '&' } else { '?' };
            let mut request = get(&format!("https://here.test:{}{path}{sign}k={{{{secret:KEY}}}}", server.port));
            request.headers.insert("x-key", "{{secret:KEY}}".parse().unwrap());
            if let Err(error) = outlet.send(request, &Default::default()).await {
                assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
            }
        }
        assert_eq!(server.seen()[0].headers["x-key"], VALUE, "it was sent");
    }
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    let shown: Vec<&str> = log.lines().filter(|line| line.contains("s3cr3t")).collect();
    assert!(log.contains("runner_host_http") && log.contains("hyper"), "much is logged");
    assert!(shown.is_empty(), "{shown:#?}");
}

#[tokio::test]
async fn a_redirect_takes_no_secret_to_another_origin() {
    let server = Server::start().await;
    let client = Client::new().resolver(names()).secrets(secrets());
    let outlet = client.outlet(&grant(granted(&server, true))).unwrap();
    let sent = async |path: &str| {
        let mut request = get(&server.named("here.test", path));
        request.headers.insert("x-key", "{{secret:KEY}}".parse().unwrap());
        outlet.send(request, &Default::default()).await
    };
    sent("/redirect?to=/hello").await.unwrap();
    assert_eq!(server.seen().last().unwrap().headers["x-key"], VALUE, "the same origin is given it again");
    sent(&format!("/redirect?to={}", server.named("other.test", "/hello"))).await.unwrap();
    let seen = server.seen().last().unwrap().clone();
    assert!(!seen.headers.contains_key("x-key"), "another is not");
    assert_eq!(seen.headers["host"], format!("other.test:{}", server.port));
    // A server that sends the secret on, in the clear of a `Location`; and one that asks for it.
    let before = server.seen().len();
    let error =
        sent(&format!("/redirect?to={}", server.named("other.test", &format!("/hello/{VALUE}")))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!error.to_string().contains(VALUE), "{error}");
    assert_eq!(server.seen().len(), before + 1);
    sent("/asks").await.unwrap();
    assert_eq!(
        server.seen().last().unwrap().path,
        "/hello?k={{secret:KEY}}",
        "a server's placeholder is not filled in"
    );
}
