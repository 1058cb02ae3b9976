//! What may be sent: sizes, methods, paths, and what is said to everything else.

use std::time::{Duration, Instant};

use axum::body::Body;
use futures::future::join_all;
use futures::{StreamExt, stream};
use http::Request;
use serde_json::json;

use crate::support::{Site, request};

fn endless() -> Body {
    Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 64 << 10])))
}

#[tokio::test]
async fn a_module_over_the_bound_is_refused_whether_or_not_it_says_its_length() {
    let site = Site::with(|wants| wants.bounds.module_bytes = 1 << 20);
    for (method, path) in [("POST", "/v1/run"), ("POST", "/v1/modules"), ("PUT", "/v1/modules/a")] {
        site.ask(method, path, endless()).await.is_problem(413, "exceeded", "more than 1048576 bytes");
        let told = Request::builder().method(method).uri(path).header("content-length", (1 << 20) + 1);
        let told = told.body(Body::empty()).unwrap();
        site.send(told).await.is_problem(413, "exceeded", "more than 1048576 bytes");
    }
}

#[tokio::test]
async fn a_request_over_16_mib_is_refused() {
    let site = Site::new();
    site.put("gcd", runner_guests::wat("gcd")).await;
    let answer = site.ask("POST", "/v1/modules/gcd/call", endless()).await;
    answer.is_problem(413, "exceeded", "more than 16777216 bytes");
    let mut parts = request("POST", "/v1/run", endless());
    parts.headers_mut().insert("content-type", "multipart/form-data; boundary=edge".parse().unwrap());
    site.send(parts).await.is_problem(413, "exceeded", "bytes");
}

#[tokio::test]
async fn a_module_over_the_executors_bounds_is_refused() {
    let site = Site::with(|wants| wants.bounds.functions = 3);
    let module = format!("(module {})", "(func)".repeat(4));
    site.ask("POST", "/v1/run", module).await.is_problem(413, "exceeded", "functions");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let broken = stream::iter([Ok("(module"), Err(std::io::Error::other("the line is dead"))]);
    let answer = Site::new().ask("POST", "/v1/run", Body::from_stream(broken)).await;
    answer.is_problem(400, "invalid", "the body broke off");
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let site = Site::new();
    for path in ["/v1", "/v1/", "/v1/absent", "/v1/modules/", "/v1/modules/a/b", "/v1/run/x"] {
        site.get(path).await.is_problem(404, "not_found", "no route");
    }
    site.get("/absent").await.is_problem(404, "not_found", "no page");
    for (method, path) in
        [("GET", "/v1/run"), ("DELETE", "/v1/modules"), ("POST", "/v1/modules/a"), ("POST", "/metrics"), ("PUT", "/")]
    {
        site.ask(method, path, Body::empty()).await.is_problem(405, "invalid", "has no method");
    }
    site.get("/v1/modules/%ff").await.is_problem(400, "invalid", "");
    let deep = format!("{{\"args\":{}", "[".repeat(200));
    for (body, words) in [
        (deep.as_str(), "[0].."),
        ("{", "the request: EOF"),
        ("{} x", "the request: trailing characters at line 1 column 4"),
        ("{\"args\":[NaN]}", "`args[0]`: expected value at line 1 column 10"),
        ("{\"args\":[1e999]}", "`args[0]`: number out of range"),
        ("{\"args\":[],\"args\":[]}", "duplicate field `args`"),
    ] {
        site.ask("POST", "/v1/modules/a/call", body.to_owned()).await.is_problem(400, "invalid", words);
    }
}

#[tokio::test]
async fn a_body_of_another_type_or_compressed_is_refused_by_name() {
    let site = Site::new();
    let send = async |method: &str, path: &str, header: &'static str, value: &'static str| {
        let mut request = request(method, path, runner_guests::wat("gcd"));
        request.headers_mut().insert(header, value.parse().unwrap());
        site.send(request).await
    };
    for (method, path, expected) in [
        ("POST", "/v1/modules/a/call", "expected `application/json`"),
        ("PUT", "/v1/modules/a", "expected `application/wasm`"),
        ("POST", "/v1/modules", "expected `application/wasm`"),
        ("POST", "/v1/run", "expected `application/wasm`"),
    ] {
        for (value, found) in
            [("application/xml", "`application/xml`"), ("Multipart/Mixed; boundary=e", "`multipart/mixed`")]
        {
            let words = format!("content type {found}: {expected}");
            send(method, path, "content-type", value).await.is_problem(415, "invalid", &words);
        }
        let packed = send(method, path, "content-encoding", "gzip").await;
        packed.is_problem(415, "invalid", "content encoding `gzip`: expected none");
    }
    for value in ["application/wasm", "text/plain; charset=utf-8", "application/x-www-form-urlencoded"] {
        assert_eq!(send("PUT", "/v1/modules/a", "content-type", value).await.status, 201, "{value}");
    }
}

#[tokio::test]
async fn a_short_body_takes_little_room_although_it_does_not_say_its_length() {
    let site = Site::new();
    site.put("spin", runner_guests::wat("spin")).await;
    let deadline = Duration::from_secs(2);
    let from = Instant::now();
    let chunk = r#"{ "limits": { "deadline_ms": 2000 } }"#;
    let calls = (0..6).map(|_| {
        let body = Body::from_stream(stream::iter([Ok::<_, std::io::Error>(chunk)]));
        site.ask("POST", "/v1/modules/spin/call", body)
    });
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.ending()["limit"], "deadline");
    }
    // None had to wait for the room of another.
    assert!(from.elapsed() < 2 * deadline, "{:?}", from.elapsed());
}

#[tokio::test]
async fn no_answer_is_to_be_sniffed() {
    let site = Site::new();
    for path in ["/", "/healthz", "/v1/absent", "/v1/examples/gcd.wat"] {
        assert_eq!(site.get(path).await.header("x-content-type-options"), "nosniff", "{path}");
    }
}

/// A body that begins so, and then waits for ever. It says that it is long.
fn unfinished(path: &str, begin: Vec<u8>) -> Request<Body> {
    let begin = stream::iter([Ok::<_, std::io::Error>(begin)]).chain(stream::pending());
    let mut request = request("POST", path, Body::from_stream(begin));
    request.headers_mut().insert("content-length", (8 << 20).into());
    request
}

#[tokio::test]
async fn senders_who_send_little_keep_nobody_out() {
    let site = Site::with(|wants| wants.settings.held_bytes = 4 << 20);
    let slow = ["/v1/run", "/v1/modules", "/v1/modules/gcd/call"].repeat(10);
    let slow = join_all(slow.into_iter().map(|path| site.send(unfinished(path, b"{".to_vec()))));
    let honest = async {
        site.put("gcd", runner_guests::wat("gcd")).await;
        site.call("gcd", &json!({ "args": [48, 36] })).await.returned()
    };
    tokio::select! {
        biased;
        _ = slow => panic!("they never end"),
        returned = honest => assert_eq!(returned, 12),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_has_its_place_and_who_finds_none_is_refused() {
    let site = Site::with(|wants| wants.settings.held_bytes = 4 << 20);
    // Each byte of a module counts twice.
    let held = join_all([1, 2].map(|_| site.send(unfinished("/v1/run", vec![b' '; 1 << 20]))));
    let refused = site.ask("POST", "/v1/modules", runner_guests::wat("gcd"));
    tokio::select! {
        biased;
        _ = held => panic!("they are silent for 15 s, and the other waits 10"),
        refused = refused => refused.is_problem(503, "unavailable", "other requests hold all the memory"),
    }
    // They are gone, and with them what they held.
    site.call("absent", &json!({ "stdin": " ".repeat(1 << 20) })).await.is_problem(404, "not_found", "no module");
}

#[tokio::test(start_paused = true)]
async fn json_that_wants_most_of_the_room_keeps_nobody_out() {
    let site = Site::with(|wants| wants.settings.held_bytes = 4 << 20);
    // Somebody sends slowly, and the values of another's JSON want all that there is.
    let slow = site.send(unfinished("/v1/run", vec![b' '; 1 << 10]));
    let greedy = async {
        let json = format!("{{\"args\":[{}0]}}", "0,".repeat(28_000));
        site.send(request("POST", "/v1/modules/gcd/call", json)).await
    };
    let begun = tokio::time::Instant::now();
    tokio::select! {
        biased;
        _ = slow => panic!("it never ends"),
        refused = greedy => refused.is_problem(503, "unavailable", "other requests hold all the memory"),
    }
    assert_eq!(begun.elapsed(), std::time::Duration::ZERO, "nobody waited behind it");
}

#[tokio::test]
async fn json_is_weighed_by_its_values_before_it_is_parsed() {
    let site = Site::new();
    site.put("gcd", runner_guests::wat("gcd")).await;
    let zeros = |count: usize| format!("{{\"args\":[{}0]}}", "0,".repeat(count));
    let in_parts = |json: &str| {
        let part = |name: &str, text: &str| {
            format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let body = part("module", runner_guests::wat("gcd")) + &part("request", json) + "--edge--\r\n";
        let mut request = request("POST", "/v1/run", body);
        request.headers_mut().insert("content-type", "multipart/form-data; boundary=edge".parse().unwrap());
        request
    };
    let alone = |json: &str| request("POST", "/v1/modules/gcd/call", json.to_owned());
    // 600 MB of values in 16 MiB.
    let many = zeros(8_000_000);
    for request in [alone(&many), in_parts(&many)] {
        site.send(request).await.is_problem(413, "exceeded", "so many values");
    }
    let some = zeros(1_000_000);
    for request in [alone(&some), in_parts(&some)] {
        site.send(request).await.is_problem(400, "invalid", "expected 2 arguments");
    }
    // What stands in quotes is one value.
    let text = format!(r#"{{"args":[48,36],"stdin":"{}"}}"#, r#",[{:\""#.repeat(2_000_000));
    for request in [alone(&text), in_parts(&text)] {
        assert_eq!(site.send(request).await.returned(), 12);
    }
}
