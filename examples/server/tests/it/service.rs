//! What operators and tools ask: health, metrics, the description.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc;
use std::time::Duration;

use runner_core::ModuleId;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use serde_json::{Value, json};

use crate::support::Site;

#[tokio::test]
async fn the_server_says_that_it_is_alive() {
    let answer = Site::new().get("/healthz").await;
    assert_eq!(answer.json(), json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }));
}

#[tokio::test]
async fn a_call_is_counted_by_route_ending_and_cost() {
    let site = Site::new();
    site.put("gcd", runner_guests::wat("gcd")).await;
    site.put("spin", runner_guests::wat("spin")).await;
    site.call("gcd", &json!({ "args": [48, 36], "metering": "fuel" })).await.returned();
    site.call("spin", &json!({ "limits": { "deadline_ms": 20 } })).await.ending();
    site.call("absent", &json!({})).await;
    let answer = site.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    for line in [
        r#"runner_requests_total{method="POST",route="/v1/modules/{ref}/call",status="2xx"} 2"#,
        r#"runner_requests_total{method="PUT",route="/v1/modules/{ref}",status="2xx"} 2"#,
        r#"runner_problems_total{kind="not_found"} 1"#,
        r#"runner_calls_total{ending="returned"} 1"#,
        r#"runner_calls_total{ending="exhausted"} 1"#,
        r#"runner_limits_met_total{limit="deadline"} 1"#,
        "runner_call_seconds_count 2",
        "runner_load_seconds_count 4",
        "runner_modules 4",
        "# EOF",
    ] {
        assert!(answer.body.lines().any(|it| it == line), "{line} in {}", answer.body);
    }
    let fuel = answer.body.lines().find_map(|line| line.strip_prefix("runner_fuel_total ")).unwrap();
    assert!(fuel.parse::<u64>().unwrap() > 0);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_counted() {
    let site = Site::new();
    site.put("spin", runner_guests::wat("spin")).await;
    site.put("hello", runner_guests::get("http-hello.wasm")).await;
    let calls = [("POST", "/v1/modules/spin/call"), ("GET", "/v1/modules/hello/http/spin")];
    for (cancelled, (method, path)) in (1..).zip(calls) {
        // Its deadline would be 5 s.
        let call = tokio::time::timeout(Duration::from_secs(1), site.ask(method, path, ""));
        assert!(call.await.is_err(), "{path}");
        let metrics = site.get("/metrics").await.body;
        for line in [
            format!("runner_calls_total{{ending=\"cancelled\"}} {cancelled}"),
            format!("runner_call_seconds_count {cancelled}"),
        ] {
            assert!(metrics.lines().any(|it| it == line), "{path}: {line} in {metrics}");
        }
    }
}

#[tokio::test]
async fn nobody_can_make_the_labels_grow() {
    let site = Site::new();
    for n in 0..3 {
        site.ask(&format!("INVENTED{n}"), &format!("/invented/{n}"), "").await;
    }
    let answer = site.get("/metrics").await;
    assert!(answer.body.contains(r#"{method="OTHER",route="other",status="4xx"} 3"#), "{}", answer.body);
    assert!(!answer.body.contains("nvented"), "{}", answer.body);
}

#[tokio::test]
async fn a_handler_cannot_make_the_labels_grow_either() {
    let site = Site::new();
    site.put("hello", runner_guests::get("http-hello.wasm")).await;
    for status in [404, 410, 418, 451, 503] {
        assert_eq!(site.get(&format!("/v1/modules/hello/http/status/{status}")).await.status, status);
    }
    let metrics = site.get("/metrics").await.body;
    let counted = |line: &&str| line.contains("/http/") && line.starts_with("runner_requests_total");
    let counted: Vec<_> = metrics.lines().filter(counted).collect();
    assert_eq!(counted.len(), 2, "{counted:?}");
    for end in [r#"status="4xx"} 4"#, r#"status="5xx"} 1"#] {
        assert!(counted.iter().any(|line| line.ends_with(end)), "{counted:?}");
    }
}

#[tokio::test]
async fn what_a_caller_got_wrong_is_no_error_of_the_host() {
    let site = Site::new();
    site.put("gcd", runner_guests::wat("gcd")).await;
    site.call("gcd", &json!({ "args": [1] })).await.is_problem(400, "invalid", "expected 2 arguments");
    site.call("gcd", &json!({ "function": "absent" })).await.is_problem(404, "not_found", "no export");
    site.get("/v1/modules/gcd/http/").await.is_problem(404, "not_found", "handler");
    let metrics = site.get("/metrics").await.body;
    let calls: Vec<_> = metrics.lines().filter(|line| line.starts_with("runner_calls_total")).collect();
    assert_eq!(calls, [r#"runner_calls_total{ending="refused"} 3"#]);
}

#[tokio::test]
async fn the_metrics_do_not_wait_for_the_disk() {
    let site = Site::new();
    let gcd = runner_guests::wat("gcd");
    // Whoever stores this module waits at its description, until somebody writes there or a watchman ends the wait.
    let pipe = site.data().join(format!("modules/blobs/{}.json", ModuleId::of(gcd.as_bytes()).hex()));
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let writer = move || OpenOptions::new().write(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(&pipe);
    let put = site.ask("PUT", "/v1/modules/gcd", gcd);
    let watched = async {
        // It fails for as long as nobody reads.
        let held = loop {
            match writer() {
                Ok(held) => break held,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let (metrics_came, waited) = mpsc::channel();
        let watchman = std::thread::spawn(move || {
            let in_time = waited.recv_timeout(Duration::from_secs(10)).is_ok();
            drop(held);
            in_time
        });
        let metrics = site.get("/metrics").await.body;
        let _ = metrics_came.send(());
        assert!(watchman.join().unwrap(), "the metrics waited");
        assert!(metrics.lines().any(|line| line == "runner_modules 0"), "{metrics}");
    };
    let (put, ()) = tokio::join!(put, watched);
    put.is_problem(500, "internal", "the data directory");
}

#[tokio::test]
async fn the_description_has_every_route_with_its_problems_and_every_shape_that_it_names() {
    let answer = Site::new().get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    let api = answer.json();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(api["info"]["title"], "Runner");
    for (path, methods) in [
        ("/v1/run", &["post"][..]),
        ("/v1/modules", &["get", "post"]),
        ("/v1/modules/{ref}", &["get", "put", "delete"]),
        ("/v1/modules/{ref}/call", &["post"]),
        ("/v1/modules/{ref}/http/{path}", &["get", "post", "put", "delete", "patch", "head", "options"]),
        ("/v1/modules/{ref}/grants", &["get", "put", "delete"]),
        ("/v1/kv", &["get"]),
        ("/v1/kv/{backend}/{namespace}", &["delete"]),
        ("/v1/files/{path}", &["get", "put", "delete"]),
        ("/v1/examples", &["get"]),
        ("/v1/examples/{file}", &["get"]),
        ("/healthz", &["get"]),
        ("/metrics", &["get"]),
        ("/openapi.json", &["get"]),
    ] {
        for method in methods {
            let operation = &api["paths"][path][method];
            assert!(operation["summary"].is_string(), "{method} {path}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            for (at, _) in path.match_indices('{') {
                let name = &path[at + 1..][..path[at..].find('}').unwrap() - 1];
                assert!(
                    parameters.iter().any(|it| it["name"] == name && it["in"] == "path"),
                    "{method} {path}: {name}"
                );
            }
            if path.starts_with("/v1/") {
                let refused = &operation["responses"]["401"]["content"]["application/problem+json"];
                assert!(refused.is_object(), "{method} {path}");
            }
        }
    }
    assert_eq!(api["paths"].as_object().unwrap().len(), 31);
    assert_eq!(api["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    assert_eq!(api["security"], json!([{ "bearer": [] }]));
    check_references(&api, &api);
}

#[tokio::test]
async fn commands_that_are_shown_can_be_typed() {
    let site = Site::new();
    let api = site.get("/openapi.json").await.json();
    let described = api["paths"]["/v1/run"]["post"]["description"].as_str().unwrap().to_owned();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for shown in [described, site.get("/").await.body, include_str!("../../README.md").to_owned()] {
        let mut commands = shown.split("curl ").skip(1).peekable();
        assert!(commands.peek().is_some(), "{shown}");
        for command in commands {
            let words: Vec<_> = command.split_whitespace().collect();
            // Without it, curl takes `[20,22]` for a range.
            let address = words.iter().find(|word| word.contains("http://")).unwrap();
            assert!(words[0] == "-g" || !address.contains('['), "{command}");
            if let Some(file) = words.iter().find_map(|word| word.strip_prefix('@')) {
                assert!(root.join(file).is_file(), "`{file}` is not there");
            }
        }
    }
    assert!(site.get("/").await.body.contains(&format!("'http://{}/v1/run", crate::support::HOST)));
}

fn check_references(api: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let at = reference.strip_prefix('#').unwrap();
                assert!(api.pointer(at).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|field| check_references(api, field));
        }
        Value::Array(items) => items.iter().for_each(|item| check_references(api, item)),
        _ => {}
    }
}
