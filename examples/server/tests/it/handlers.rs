//! `ANY /v1/modules/{ref}/http/{path}`: a module answers HTTP itself.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc;
use http::Request;
use http_body_util::BodyExt;
use runner_server::Token;
use serde_json::Value;

use crate::support::{Answer, Site, request};

async fn hello() -> Site {
    hello_with(Duration::from_secs(5)).await
}

async fn hello_with(deadline: Duration) -> Site {
    let site = Site::with(|wants| wants.limits.deadline = deadline);
    site.put("hello", runner_guests::get("http-hello.wasm")).await;
    site
}

#[tokio::test]
async fn the_guest_sees_the_path_behind_http_with_its_query() {
    let site = hello().await;
    for path in ["/v1/modules/hello/http", "/v1/modules/hello/http/", "/v1/modules/hello@1/http/"] {
        let answer = site.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "Hello from wasm"), "{path}");
        assert_eq!(answer.header("content-type"), "text/plain");
    }
    for (method, own) in [("GET", "/headers?a=%2f&b"), ("DELETE", "/headers"), ("BREW", "/headers?x")] {
        let seen = site.ask(method, &format!("/v1/modules/hello/http{own}"), Body::empty()).await.json();
        assert_eq!((seen["method"].as_str(), seen["path"].as_str()), (Some(method), Some(own)));
    }
    for status in [204, 404, 418, 503] {
        let answer = site.get(&format!("/v1/modules/hello/http/status/{status}")).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn the_guest_does_not_see_what_callers_show_to_the_server() {
    let site = Site::with(|wants| wants.settings.token = Some(Token::new("secret").unwrap()));
    let send = async |mut request: Request<Body>| {
        let headers = request.headers_mut();
        headers.insert("authorization", "Bearer secret".parse().unwrap());
        headers.insert("cookie", "session=of-another-port".parse().unwrap());
        headers.insert("connection", "keep-alive, x-hop".parse().unwrap());
        headers.insert("keep-alive", "timeout=5".parse().unwrap());
        headers.insert("x-hop", "1".parse().unwrap());
        headers.insert("x-end", "2".parse().unwrap());
        site.send(request).await
    };
    assert_eq!(send(request("PUT", "/v1/modules/hello", runner_guests::get("http-hello.wasm"))).await.status, 201);
    let seen = send(request("GET", "/v1/modules/hello/http/headers", Body::empty())).await.json();
    let names: Vec<_> = seen["headers"].as_array().unwrap().iter().map(|header| header[0].clone()).collect();
    assert!(names.contains(&Value::from("x-end")), "{seen}");
    for hidden in ["authorization", "cookie", "connection", "keep-alive", "x-hop"] {
        assert!(!names.contains(&Value::from(hidden)), "{hidden}: {seen}");
    }
}

#[tokio::test]
async fn a_guests_page_is_no_page_of_the_server() {
    let answer = hello().await.get("/v1/modules/hello/http/").await;
    assert_eq!(answer.header("content-security-policy"), "sandbox");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let site = hello().await;
    let (mut sender, body) = mpsc::channel::<Bytes>(1);
    let body = Body::from_stream(body.map(Ok::<_, std::io::Error>));
    let response = site.open(request("POST", "/v1/modules/hello/http/echo", body)).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    for part in ["first", "second", "third"] {
        // The next part is sent only after this one has come back.
        sender.try_send(Bytes::from(part)).unwrap();
        let mut back = String::new();
        while back.len() < part.len() {
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            back.push_str(std::str::from_utf8(&frame).unwrap());
        }
        assert_eq!(back, part);
    }
    drop(sender);
    assert!(body.frame().await.is_none_or(|frame| frame.unwrap().into_data().unwrap().is_empty()));
}

#[tokio::test]
async fn a_guest_without_an_answer_is_a_bad_gateway_with_its_outcome() {
    let site = hello().await;
    for (path, words, kind) in [
        ("trap", "trapped", "trapped"),
        ("silent", "without setting a response", "failed"),
        ("error", "ConfigurationError", "failed"),
    ] {
        let answer = site.get(&format!("/v1/modules/hello/http/{path}")).await;
        answer.is_problem(502, "unavailable", words);
        assert_eq!(answer.json()["outcome"]["ending"]["kind"], kind, "{answer:?}");
        assert!(answer.json()["outcome"]["usage"]["guest_us"].is_u64());
    }
}

#[tokio::test]
async fn a_guest_that_spins_is_a_gateway_timeout_with_its_outcome() {
    let site = hello_with(Duration::from_millis(300)).await;
    let answer = site.get("/v1/modules/hello/http/spin").await;
    answer.is_problem(504, "unavailable", "deadline");
    assert_eq!(answer.json()["outcome"]["ending"]["limit"], "deadline");
}

#[tokio::test]
async fn a_guest_that_traps_midway_breaks_its_body_off() {
    let response = hello().await.open(request("GET", "/v1/modules/hello/http/trap-late", Body::empty())).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_module_without_a_handler_has_none() {
    let site = Site::new();
    site.put("gcd", runner_guests::wat("gcd")).await;
    site.get("/v1/modules/gcd/http/").await.is_problem(404, "not_found", "has no `wasi:http/incoming-handler`");
    site.get("/v1/modules/absent/http/").await.is_problem(404, "not_found", "no module `absent`");
    site.put("hello", runner_guests::get("http-hello.wasm")).await;
    let module = site.get("/v1/modules/hello").await.json();
    let handler = module["exports"][0]["name"].clone();
    let answer = site.call("hello", &serde_json::json!({ "function": handler })).await;
    answer.is_problem(400, "invalid", "is an HTTP handler");
}

#[tokio::test]
async fn requests_to_a_handler_are_counted_by_how_they_end() {
    let site = hello().await;
    for path in ["", "trap"] {
        site.get(&format!("/v1/modules/hello/http/{path}")).await;
    }
    // The first is counted on a task of its own, once the guest has ended.
    let counted = async {
        loop {
            let metrics = site.get("/metrics").await.body;
            let has = |ending: &str| metrics.contains(&format!("runner_calls_total{{ending=\"{ending}\"}} 1"));
            if has("returned") && has("trapped") {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted).await.unwrap();
}

#[tokio::test]
async fn an_options_request_reaches_the_guest_unless_a_browser_asks_before_its_own() {
    let page = "https://page.example.com";
    let site = Site::with(|wants| wants.settings.origins = vec![page.parse().unwrap()]);
    site.put("hello", runner_guests::get("http-hello.wasm")).await;
    let options = |asks: bool| {
        let request = Request::builder().method("OPTIONS").uri("/v1/modules/hello/http/headers").header("origin", page);
        let request = if asks { request.header("access-control-request-method", "GET") } else { request };
        request.body(Body::empty()).unwrap()
    };
    let answer: Answer = site.send(options(false)).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, page));
    assert!(answer.body.contains("OPTIONS") || answer.body.contains("Options"), "{answer:?}");
    assert_eq!(site.send(options(true)).await.status, 204);
}
