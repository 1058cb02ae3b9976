//! What the server holds until somebody has read it.

use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::json;

use crate::support::{Answer, Site, request};

/// A server with room for three answers of a mebibyte, and a module that says what it reads.
async fn narrow() -> Site {
    let site = Site::with(|wants| wants.settings.held_bytes = 4 << 20);
    site.put("verbs", runner_guests::get("command-p1.wasm")).await;
    site.put("gcd", runner_guests::wat("gcd")).await;
    site
}

/// A long answer, not read yet.
async fn long(site: &Site) -> Response {
    let asked = json!({ "args_cli": ["cat"], "stdin": "x".repeat(1 << 20) });
    site.open(request("POST", "/v1/modules/verbs/call", asked.to_string())).await
}

#[tokio::test]
async fn answers_that_nobody_reads_have_their_place_and_the_next_is_refused() {
    let site = narrow().await;
    let (one, two, three) = (long(&site).await, long(&site).await, long(&site).await);
    let refused = Answer::read(long(&site).await).await;
    refused.is_problem(503, "unavailable", "answers that are not read yet hold all the memory");
    assert_eq!(refused.header("retry-after"), "1");
    // Short answers need no place, nor does what a handler streams.
    assert_eq!(site.call("gcd", &json!({ "args": [48, 36] })).await.returned(), 12);
    site.put("hello", runner_guests::get("http-hello.wasm")).await;
    let echo = site.ask("POST", "/v1/modules/hello/http/echo", "x".repeat(1 << 20)).await;
    assert_eq!((echo.status.as_u16(), echo.body.len()), (200, 1 << 20));
    // The call was one all the same.
    let metrics = site.get("/metrics").await.body;
    for line in [r#"runner_problems_total{kind="unavailable"} 1"#, r#"runner_call_seconds_count 6"#] {
        assert!(metrics.lines().any(|it| it == line), "{line} in {metrics}");
    }
    // A connection lets go of the body before it has sent the bytes: those are what counts.
    let bytes = one.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(long(&site).await.status(), 503);
    drop(bytes);
    let answer = Answer::read(long(&site).await).await;
    assert_eq!(answer.json()["stdout"].as_str().unwrap().len(), 1 << 20);
    for kept in [two, three] {
        assert_eq!(Answer::read(kept).await.json()["stdout"].as_str().unwrap().len(), 1 << 20);
    }
}

#[tokio::test]
async fn a_long_description_has_its_place_too() {
    let site = narrow().await;
    let exports: String = (0..100).map(|at| format!("(export \"f{at}\" (func $f))")).collect();
    site.put("talkative", format!("(module (func $f (param {})) {exports})", "i32 ".repeat(1_000))).await;
    let unread = long(&site).await;
    site.get("/v1/modules/talkative").await.is_problem(503, "unavailable", "hold all the memory");
    assert_eq!(site.get("/v1/modules/gcd").await.status, 200);
    drop(unread);
    assert_eq!(site.get("/v1/modules/talkative").await.status, 200);
}
