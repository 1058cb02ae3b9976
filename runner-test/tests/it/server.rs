//! What guests see of a server, and what it sees of them: answers in order, faults, secrets, refusals.

use std::num::NonZeroU64;
use std::time::Duration;

use runner_test::{Answer, CapsGrant, Host, LimitKind, Limits, Program, Server, json};

/// The guest that prints what comes of a request, with everything of the server allowed.
async fn client(server: &Server) -> Program {
    let short = NonZeroU64::new(300);
    let caps = CapsGrant { between_bytes_ms: short, first_byte_ms: short, ..CapsGrant::default() };
    let host = Host::builder().http(server).http_caps(caps).build().expect("the host starts");
    host.load(runner_guests::get("http-client")).await.expect("the guest loads")
}

async fn fetched(program: &Program, arguments: &[&str]) -> String {
    let arguments = ["fetch"].iter().chain(arguments).copied();
    let done = program.command(arguments).await.expect("the host does its part");
    done.assert_returned(json!(null));
    done.stdout()
}

#[tokio::test]
async fn answers_come_in_order_and_the_last_one_stays() {
    let server = Server::start().await.expect("it starts");
    server.answer(
        "GET /rates",
        [Answer::status(503), Answer::status(429).header("retry-after", "1"), Answer::text("1.08")],
    );
    let program = client(&server).await;
    for (status, body) in [("503", ""), ("429", ""), ("200", "1.08"), ("200", "1.08")] {
        let said = fetched(&program, &[&server.url("/rates")]).await;
        assert!(said.contains(&format!("status {status}\n")) && said.contains(&format!("body {body}\n")), "{said}");
    }
    server.assert_requests(["GET /rates"; 4]);
    // What was said before gives way to what is said now.
    server.answer("GET /rates", Answer::json(json!({ "eur": 1 })));
    let said = fetched(&program, &[&server.url("/rates?from=eur")]).await;
    assert!(said.contains("header content-type: application/json\n") && said.contains(r#"body {"eur":1}"#), "{said}");
}

#[tokio::test]
async fn a_request_is_seen_whole() {
    let server = Server::start().await.expect("it starts");
    server.answer("POST /orders", Answer::with(|request| Answer::text(format!("{} bytes", request.body.len()))));
    let program = client(&server).await;
    let body = r#"{"lamps":2}"#;
    let said = fetched(&program, &["POST", &server.url("/orders?a=b"), "-h", "x-kind:test", "-d", body]).await;
    assert!(said.contains("body 11 bytes\n"), "{said}");
    let request = server.request("POST /orders");
    assert_eq!((request.line().as_str(), request.text(), request.is_whole), ("POST /orders?a=b", body, true));
    assert_eq!(request.json::<runner_test::Value>(), json!({ "lamps": 2 }));
    request.assert_header("x-kind", "test").assert_header("host", &format!("127.0.0.1:{}", server.port()));
    assert_eq!(request.header("x-none"), None);
}

#[tokio::test]
async fn a_route_is_for_its_method_and_path_and_the_more_exact_one_comes_first() {
    let server = Server::start().await.expect("it starts");
    server.answer("GET /a", Answer::text("any query"));
    server.answer("GET /a?b=c", Answer::text("this query"));
    let program = client(&server).await;
    for (arguments, expected) in [
        (&["/a"][..], "body any query\n"),
        (&["/a?x"], "body any query\n"),
        (&["/a?b=c"], "body this query\n"),
        (&["/a/b"], "status 404\n"),
        (&["/A"], "status 404\n"),
        (&["POST", "/a"], "body no answer is given for `POST /a`\n"),
    ] {
        let (path, before) = arguments.split_last().expect("a path");
        let url = server.url(path);
        let said = fetched(&program, &[before, &[url.as_str()]].concat()).await;
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn what_goes_wrong_with_an_answer_is_what_the_guest_sees() {
    let server = Server::start().await.expect("it starts");
    let program = client(&server).await;
    let text = || Answer::text("0123456789");
    for (answer, expected) in [
        (text().cut_after(4), &["body 0123\nerror ", "incomplete"][..]),
        (text().reset_after(0), &["error "]),
        (text().reset_after(4), &["error "]),
        (Answer::reset(), &["error ErrorCode::ConnectionTerminated"]),
        (Answer::silent(), &["error ErrorCode::HttpResponseTimeout"]),
        (text().delayed(Duration::from_secs(5)), &["error ErrorCode::HttpResponseTimeout"]),
        (text().slowly(5, Duration::from_secs(5)), &["body 01234\nerror "]),
        (text().slowly(3, Duration::from_millis(5)), &["body 0123456789\n"]),
        (text().delayed(Duration::from_millis(5)), &["body 0123456789\n"]),
        (Answer::status(204), &["status 204\n"]),
    ] {
        let shown = format!("{answer:?}");
        server.answer("GET /x", answer);
        let said = fetched(&program, &[&server.url("/x")]).await;
        assert!(expected.iter().all(|words| said.contains(words)), "{shown}: {said}");
    }
}

#[tokio::test]
async fn a_guest_that_waits_for_a_silent_server_meets_its_deadline() {
    let server = Server::start().await.expect("it starts");
    server.answer("GET /x", Answer::silent());
    let program = client(&server).await;
    let limits = Limits { deadline: Duration::from_millis(100), ..Limits::default() };
    let done = program.command(["fetch", &server.url("/x")]).limits(limits).await.expect("it runs");
    done.assert_exhausted(LimitKind::Deadline);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_secret_is_filled_in_where_the_server_sees_it_and_nowhere_else() {
    let (server, other) = (Server::start().await.expect("it starts"), Server::start().await.expect("it starts"));
    server.answer(
        "GET /x",
        Answer::with(|request| Answer::text("ok").header("x-back", request.header("x-key").unwrap_or("none"))),
    );
    let host = Host::builder().secret("KEY", "s3cr3t", &server).http_as("api.example", &server).http(&other);
    let program =
        host.build().expect("the host starts").load(runner_guests::get("http-client")).await.expect("it loads");
    let said = fetched(&program, &[&server.url_as("api.example", "/x"), "-h", "x-key:{{secret:KEY}}"]).await;
    assert!(said.contains("header x-back: [redacted]\n") && !said.contains("s3cr3t"), "{said}");
    server.request("GET /x").assert_header("x-key", "s3cr3t");
    let said = fetched(&program, &[&server.url_as("api.example", "/x"), "-h", "x-key:{{secret:OTHER}}"]).await;
    assert!(said.contains("error ErrorCode::HttpRequestDenied"), "{said}");
}

#[tokio::test]
async fn what_was_not_opened_is_refused_by_the_policy_itself() {
    let (server, other) = (Server::start().await.expect("it starts"), Server::start().await.expect("it starts"));
    let private = "10.0.0.1".parse().expect("an address");
    let rule = runner_test::Rule::host("inside.example").expect("a host").http().port(other.port());
    let unknown = runner_test::Rule::host("nowhere.example").expect("a host").http();
    let host = Host::builder().http(&server).http_rule(rule).http_rule(unknown).name("inside.example", [private]);
    let program =
        host.build().expect("the host starts").load(runner_guests::get("http-client")).await.expect("it loads");
    for (url, expected) in [
        (other.url("/x"), "HttpRequestDenied"),
        (other.url_as("inside.example", "/x"), "DestinationIpProhibited"),
        ("http://nowhere.example/".to_owned(), "DnsError"),
    ] {
        let said = fetched(&program, &[&url]).await;
        assert!(said.contains(expected), "{url}: {said}");
    }
    other.assert_requests([]);
    // Nothing at all was opened: the closed form answers.
    let closed = Host::builder().build().expect("the host starts");
    let program = closed.load(runner_guests::get("http-client")).await.expect("it loads");
    assert!(fetched(&program, &[&server.url("/x")]).await.contains("HttpRequestDenied"));
    server.assert_requests([]);
}
