//! What a test is told when it fails: what was expected, what was found, and what else is known.

use std::panic::{AssertUnwindSafe, catch_unwind};

use runner_test::{Answer, Host, LimitKind, Server, json};

/// What an assertion says.
fn said<T>(assertion: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| _ = assertion())).expect_err("it fails");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("no text").to_owned(),
    }
}

#[tokio::test]
async fn a_run_that_was_another_is_shown_with_all_that_is_known() {
    let host = Host::builder().kv("default").build().expect("the host starts");
    let program = host.load(runner_guests::get("kv-counter")).await.expect("it loads");
    let done = program.call("add", json!(["default", "a", 2])).await.expect("it runs");
    let words = said(|| done.assert_returned(json!(3)));
    assert!(
        words.starts_with("call of `add`\n  expected: returned 3\n  found:    returned 2\n  usage:    wall"),
        "{words}"
    );
    assert!(words.contains("kv: 3 calls"), "{words}");
    for (words, expected) in [
        (said(|| done.assert_failed("x")), "expected: failed with code `x`\n  found:    returned 2"),
        (said(|| done.assert_trapped("x")), "expected: trapped with code `x`"),
        (said(|| done.assert_exhausted(LimitKind::Fuel)), "expected: met its limit on fuel"),
        (said(|| done.assert_printed("x")), "expected: printed \"x\""),
        (said(|| done.assert_status(200)), "expected: answered with 200, found no answer"),
        (said(|| done.returned::<String>()), "returned a `alloc::string::String`: invalid type: integer `2`"),
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    assert_eq!((done.returned::<i64>(), done.used("kv").calls, done.used("http").calls), (2, 3, 0));
    let store = host.kv("default");
    let words = said(|| store.assert_holds("a", "3"));
    assert_eq!(words, "key `a`\n  expected: \"3\"\n  found:    \"2\"\n  store `default` holds: [\"a\"]");
    let words = said(|| store.assert_holds("b", "3"));
    assert!(words.contains("found:    nothing, it is absent"), "{words}");
    let words = said(|| store.assert_keys(["b"]));
    assert!(words.contains("expected: [\"b\"]\n  found:    [\"a\"]"), "{words}");
    assert!(said(|| store.json::<String>("a")).contains("key `a`: the body is other JSON"));
    assert!(said(|| host.logs()).contains("the host collects no log"));
    assert!(said(|| host.kv("x")).contains("the host has no store `x`, it has [\"default\"]"));
}

#[tokio::test]
async fn a_guest_that_printed_is_shown_with_it() {
    let server = Server::start().await.expect("it starts");
    let host = Host::builder().http(&server).build().expect("the host starts");
    let program = host.load(runner_guests::get("http-client")).await.expect("it loads");
    let done = program.command(["fetch", "http://elsewhere.example/"]).await.expect("it runs");
    let words = said(|| done.assert_failed("exit"));
    assert!(
        words.contains("run of the command\n  expected: failed with code `exit`\n  found:    returned null"),
        "{words}"
    );
    assert!(words.contains("stdout:   error ErrorCode::HttpRequestDenied"), "{words}");
}

#[tokio::test]
async fn a_server_that_was_asked_for_something_else_says_for_what() {
    let server = Server::start().await.expect("it starts");
    let host = Host::builder().http(&server).build().expect("the host starts");
    let program = host.load(runner_guests::get("http-client")).await.expect("it loads");
    assert!(said(|| server.request("GET /x")).contains("found none\n  the server saw: nothing"));
    for path in ["/a", "/b", "/b"] {
        program.command(["fetch", &server.url(path)]).await.expect("it runs");
    }
    let words = said(|| server.assert_requests(["GET /a", "GET /b"]));
    assert!(
        words.contains("expected:\n    GET /a\n    GET /b\n  found:\n    GET /a\n    GET /b\n    GET /b"),
        "{words}"
    );
    assert!(said(|| server.request("GET /b")).contains("found several"));
    let request = server.request("GET /a");
    assert!(said(|| request.assert_header("x", "y")).contains("expected: \"y\"\n  found:    None"));
    assert!(
        said(|| server.answer("/a", Answer::status(200))).contains("route `/a` is none: expected a method and a path")
    );
    assert!(said(|| server.answer("GET /a", Vec::new())).contains("has no answers"));
    assert!(said(|| Answer::status(1)).contains("status 1 is none"));
}
