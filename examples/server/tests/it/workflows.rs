//! Workflows over HTTP: validated, simulated, kept, executed, watched, stopped; tasks that are stored modules.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Site, request};

const NUMBERS: &str = r#"(module
    (func (export "add") (param $a i32) (param $b i32) (result i32) (i32.add (local.get $a) (local.get $b)))
    (func (export "trap") unreachable)
    (func (export "spin") (loop (br 0))))"#;

fn definition(states: Value) -> Value {
    json!({ "StartAt": "A", "States": states })
}

fn task(resource: &str) -> Value {
    json!({ "Type": "Task", "Resource": resource, "End": true })
}

/// A task that hands its token back, and is done when somebody brings it.
fn asks() -> Value {
    json!({ "Type": "Task", "Resource": "wasm:tasks@1#repeat.waitForTaskToken", "End": true, "HeartbeatSeconds": 600,
        "Parameters": { "text.$": "$$.Task.Token", "times": 1 } })
}

/// A server with modules.
async fn site() -> Site {
    let site = Site::new();
    site.put("numbers", NUMBERS).await;
    site.put("tasks", runner_guests::get("tasks.wasm")).await;
    site
}

async fn ask(site: &Site, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let answer = site.ask(method, path, body.to_string()).await;
    (answer.status, if answer.body.is_empty() { Value::Null } else { answer.json() })
}

async fn get(site: &Site, path: &str) -> (StatusCode, Value) {
    let answer = site.get(path).await;
    (answer.status, answer.json())
}

async fn put(site: &Site, name: &str, states: Value) {
    let envelope = json!({ "definition": definition(states) });
    let (status, answer) = ask(site, "PUT", &format!("/v1/workflows/{name}"), &envelope).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

/// Starts an execution and waits for its end.
async fn run(site: &Site, workflow: &str, input: Value) -> Value {
    let path = format!("/v1/workflows/{workflow}/executions?wait=60");
    let (status, ended) = ask(site, "POST", &path, &json!({ "input": input })).await;
    assert_eq!(status, StatusCode::CREATED, "{ended}");
    ended
}

/// The token that an execution's task has handed back.
async fn token(site: &Site, id: &str) -> String {
    loop {
        let (_, history) = get(site, &format!("/v1/executions/{id}/history")).await;
        let events = history["events"].as_array().unwrap();
        if let Some(handed) = events.iter().find(|event| event["type"] == "TaskSubmitted") {
            return handed["output"].as_str().unwrap().to_owned();
        }
        tokio::task::yield_now().await;
    }
}

/// A stream's events to its end: the name, the id and the data of each.
async fn stream(site: &Site, path: &str, last: Option<&str>) -> Vec<(String, u64, Value)> {
    let mut request = request("GET", path, "");
    if let Some(last) = last {
        request.headers_mut().insert("last-event-id", last.parse().unwrap());
    }
    let answer = site.send(request).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "text/event-stream"));
    let event = |text: &str| {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        (field("event: "), field("id: ").parse().unwrap(), field("data: ").parse().unwrap())
    };
    answer.body.split("\n\n").filter(|text| text.contains("event: ")).map(event).collect()
}

#[tokio::test]
async fn a_definition_is_validated_against_the_modules_that_are_stored() {
    let site = site().await;
    let validate = async |body: Value| ask(&site, "POST", "/v1/workflows/validate", &body).await;
    let (status, answer) =
        validate(json!({ "definition": definition(json!({ "A": { "Type": "Pass", "End": true } })) })).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ "result": "OK", "diagnostics": [] })));
    let wrong = definition(json!({ "A": { "Type": "Pass", "Next": "B" } }));
    let (status, answer) = validate(json!({ "definition": wrong.to_string() })).await;
    assert_eq!((status, &answer["result"]), (StatusCode::OK, &json!("FAIL")));
    let first = &answer["diagnostics"][0];
    assert_eq!((&first["severity"], &first["code"]), (&json!("ERROR"), &json!("MISSING_TRANSITION_TARGET")));
    assert_eq!((&first["location"], &first["line"]), (&json!("/States/A/Next"), &json!(1)));

    let mut calls = task("wasm:numbers@1#add");
    calls["Parameters"] = json!({ "a": "one", "b": 2 });
    let (_, answer) = validate(json!({ "definition": definition(json!({ "A": calls })) })).await;
    assert_eq!(answer["result"], "OK", "a warning");
    assert!(answer["diagnostics"][0]["message"].as_str().unwrap().contains("takes `a` as a number"), "{answer}");
    let function = "arn:aws:lambda:us-east-1:111111111111:function:add";
    let mut calls = task(function);
    calls["Parameters"] = json!({ "a": "one", "b": 2 });
    let envelope =
        json!({ "definition": definition(json!({ "A": calls })), "resources": { function: "wasm:numbers@1#add" } });
    let (_, answer) = validate(envelope).await;
    assert!(answer["diagnostics"][0]["message"].as_str().unwrap().contains("takes `a` as a number"), "{answer}");

    for body in [json!({}), json!({ "definition": {}, "resources": [] }), json!([])] {
        let (status, answer) = validate(body).await;
        assert_eq!((status, &answer["kind"]), (StatusCode::BAD_REQUEST, &json!("invalid")), "{answer}");
    }
}

#[tokio::test]
async fn a_run_is_simulated_with_nothing_real_in_it() {
    let site = Site::new();
    let simulate = async |body: Value| ask(&site, "POST", "/v1/workflows/simulate", &body).await;
    let states = json!({ "A": task("wasm:nobody@1#f"), });
    let (status, answer) = simulate(json!({
        "definition": definition(states.clone()), "input": { "n": 1 }, "task_results": [{ "state": "A", "result": 7 }],
    }))
    .await;
    assert_eq!((status, &answer["status"], &answer["output"]), (StatusCode::OK, &json!("SUCCEEDED"), &json!(7)));
    assert_eq!(answer["trace"][0], json!({ "type": "ExecutionStarted", "input": { "n": 1 } }));
    let (_, answer) = simulate(json!({
        "definition": definition(states), "task_results": [{ "state": "A", "error": "No", "cause": "because" }],
    }))
    .await;
    assert_eq!(
        (&answer["status"], &answer["error"], &answer["cause"]),
        (&json!("FAILED"), &json!("No"), &json!("because"))
    );
    let (status, answer) = simulate(json!({ "definition": { "StartAt": "A" } })).await;
    assert_eq!(
        (status, &answer["status"], &answer["error"]),
        (StatusCode::OK, &json!("REJECTED"), &json!("InvalidDefinition"))
    );
    let (status, answer) = simulate(json!({ "definition": {}, "task_results": [{ "state": 7 }] })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["detail"].as_str().unwrap().contains("task_results"), "{answer}");
}

#[tokio::test]
async fn a_state_is_tested_by_itself() {
    let site = Site::new();
    let mut body = json!({
        "definition": { "Type": "Task", "Resource": "wasm:orders@1#total", "ResultPath": "$.total", "Next": "B" },
        "input": { "order": 7 }, "mock": { "result": "12" }, "inspectionLevel": "DEBUG",
    });
    let (status, answer) = ask(&site, "POST", "/v1/workflows/test-state", &body).await;
    assert_eq!((status, &answer["status"], &answer["nextState"]), (StatusCode::OK, &json!("SUCCEEDED"), &json!("B")));
    assert_eq!(answer["output"], json!({ "order": 7, "total": 12 }));
    assert!(answer["inspectionData"].is_object(), "{answer}");
    body["inspectionLevel"] = json!("ALL");
    let (status, answer) = ask(&site, "POST", "/v1/workflows/test-state", &body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["detail"].as_str().unwrap().contains("inspectionLevel"), "{answer}");
}

#[tokio::test]
async fn each_put_of_a_workflow_is_the_next_version() {
    let site = site().await;
    for version in 1..=2 {
        let envelope = json!({ "definition": definition(json!({ "A": task("wasm:numbers@1#add") })), "description": format!("{version}") });
        let (status, answer) = ask(&site, "PUT", "/v1/workflows/sum", &envelope).await;
        assert_eq!((status, &answer["version"]), (StatusCode::CREATED, &json!(version)));
        let (_, told) = get(&site, "/v1/workflows/sum").await;
        assert_eq!((&told["version"], &told["envelope"]), (&json!(version), &envelope));
    }
    let (_, first) = get(&site, "/v1/workflows/sum?version=1").await;
    assert_eq!(first["envelope"]["description"], "1");
    put(&site, "other", json!({ "A": { "Type": "Pass", "End": true } })).await;
    let (_, page) = get(&site, "/v1/workflows?limit=1").await;
    assert_eq!((&page["workflows"][0]["name"], &page["next"]), (&json!("other"), &json!("other")));
    let (_, page) = get(&site, "/v1/workflows?limit=1&after=other").await;
    assert_eq!((&page["workflows"][0]["version"], &page["next"]), (&json!(2), &Value::Null));

    for (body, says) in [
        (json!({ "definition": {} }), "StartAt"),
        (definition(json!({})), "definition"),
        (
            json!({ "definition": definition(json!({ "A": task("wasm:numbers@2#add") })) }),
            "there is no module `numbers@2`",
        ),
        (
            json!({ "definition": definition(json!({ "A": task("wasm:numbers@1#sub") })) }),
            "`sub` of `numbers@1` is not there",
        ),
        (
            json!({ "definition": definition(json!({ "A": task("arn:aws:states:::sqs:sendMessage") })) }),
            "nobody here does it",
        ),
    ] {
        let (status, answer) = ask(&site, "PUT", "/v1/workflows/wrong", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(says), "{answer}");
    }
    let (status, _) = ask(&site, "PUT", "/v1/workflows/a%20b", &json!({ "definition": {} })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(site.ask("DELETE", "/v1/workflows/sum", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(site.ask("DELETE", "/v1/workflows/sum", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(&site, "/v1/workflows/sum").await.0, StatusCode::NOT_FOUND);
    let envelope = json!({ "definition": definition(json!({ "A": task("wasm:numbers@1#add") })) });
    let (_, answer) = ask(&site, "PUT", "/v1/workflows/sum", &envelope).await;
    assert_eq!(answer["version"], 3, "numbers are never used again");
}

#[tokio::test]
async fn an_execution_runs_stored_modules_and_tells_how_it_ended() {
    let site = site().await;
    put(&site, "sum", json!({ "A": task("wasm:numbers@1#add") })).await;
    let start = async |path: &str, body: Value| ask(&site, "POST", path, &body).await;
    let (status, ended) =
        start("/v1/workflows/sum/executions?wait=30", json!({ "input": { "a": 40, "b": 2 }, "name": "one" })).await;
    assert_eq!((status, &ended["status"], &ended["output"]), (StatusCode::CREATED, &json!("SUCCEEDED"), &json!(42)));
    let id = ended["id"].as_str().unwrap().to_owned();
    let (status, again) =
        start("/v1/workflows/sum/executions", json!({ "input": { "b": 2, "a": 40 }, "name": "one" })).await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &json!(id)));
    let (status, other) =
        start("/v1/workflows/sum/executions", json!({ "input": { "a": 1, "b": 2 }, "name": "one" })).await;
    assert_eq!((status, &other["kind"]), (StatusCode::CONFLICT, &json!("conflict")));
    for (path, body, expected) in [
        ("/v1/workflows/none/executions", json!({}), StatusCode::NOT_FOUND),
        ("/v1/workflows/sum/executions?wait=61", json!({}), StatusCode::BAD_REQUEST),
        ("/v1/workflows/sum/executions?wait=soon", json!({}), StatusCode::BAD_REQUEST),
        ("/v1/workflows/sum/executions", json!({ "inptu": 1 }), StatusCode::BAD_REQUEST),
        ("/v1/workflows/sum/executions", json!({ "name": "a b" }), StatusCode::BAD_REQUEST),
        ("/v1/workflows/sum/executions", json!({ "version": 7 }), StatusCode::NOT_FOUND),
    ] {
        let (status, answer) = start(path, body).await;
        assert_eq!(status, expected, "{answer}");
    }
    let (_, told) = get(&site, &format!("/v1/executions/{id}")).await;
    assert_eq!(told, ended);
    let (_, history) = get(&site, &format!("/v1/executions/{id}/history")).await;
    let kinds: Vec<_> =
        history["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"ExecutionStarted"), Some(&"ExecutionSucceeded")));
    assert_eq!(told["history_events"], kinds.len());
    let (_, page) = get(&site, &format!("/v1/executions/{id}/history?after=2&limit=1")).await;
    assert_eq!((&page["events"][0]["id"], &page["next"]), (&json!(3), &json!(3)));

    put(&site, "fails", json!({ "A": task("wasm:numbers@1#trap") })).await;
    let (_, failed) = start("/v1/workflows/fails/executions?wait=30", json!({})).await;
    assert_eq!((&failed["status"], &failed["error"]), (&json!("FAILED"), &json!("Runner.Trapped")));
    let list = async |query: &str| {
        let (status, page) = get(&site, &format!("/v1/executions{query}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page["executions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["workflow"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(list("").await, ["fails", "sum"]);
    assert_eq!(list("?status=FAILED").await, ["fails"]);
    assert_eq!(list("?workflow=sum&name=on").await, ["sum"]);
    assert_eq!(list("?started_from=2100-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(list("?started_before=2100-01-01T00:00:00Z&limit=1").await, ["fails"]);
    for query in ["status=DONE", "started_from=soon", "limit=0", "limit=1001", "what=1"] {
        let (status, answer) = get(&site, &format!("/v1/executions?{query}")).await;
        assert_eq!((status, &answer["kind"]), (StatusCode::BAD_REQUEST, &json!("invalid")), "{query}");
    }
    for path in ["", "/history", "/events"] {
        assert_eq!(get(&site, &format!("/v1/executions/none{path}")).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn one_that_waits_says_for_what_outlives_the_server_and_ends_by_its_token() {
    let site = site().await;
    put(&site, "waits", json!({ "A": { "Type": "Wait", "Seconds": 3600, "End": true } })).await;
    let (_, waits) = ask(&site, "POST", "/v1/workflows/waits/executions", &json!({ "input": 1 })).await;
    let id = waits["id"].as_str().unwrap().to_owned();
    let waiting = &waits["waiting"][0];
    assert_eq!((&waits["status"], &waiting["state"], &waiting["on"]), (&json!("RUNNING"), &json!("A"), &json!("time")));
    assert!(waiting["until"].as_str().unwrap() > waits["started"].as_str().unwrap());
    let site = site.restarted().await;
    let (_, told) = get(&site, &format!("/v1/executions/{id}")).await;
    assert_eq!(told, waits);
    let stop = async |body: Value| ask(&site, "POST", &format!("/v1/executions/{id}/stop"), &body).await;
    let (status, stopped) = stop(json!({ "error": "Enough", "cause": "of it" })).await;
    assert_eq!((status, &stopped["status"]), (StatusCode::OK, &json!("ABORTED")));
    assert_eq!((&stopped["error"], &stopped["cause"]), (&json!("Enough"), &json!("of it")));
    assert_eq!(stop(json!({})).await.0, StatusCode::CONFLICT);
    let (status, going) = ask(&site, "POST", &format!("/v1/executions/{id}/redrive"), &json!({})).await;
    assert_eq!((status, &going["status"], &going["redrives"]), (StatusCode::OK, &json!("RUNNING"), &json!(1)));
    let (status, _) = ask(&site, "POST", &format!("/v1/executions/{id}/redrive"), &json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    for (call, body) in [("success", json!({ "output": 1 })), ("failure", json!({})), ("heartbeat", json!({}))] {
        let (status, _) = ask(&site, "POST", &format!("/v1/task-tokens/none/{call}"), &body).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{call}");
    }
}

#[tokio::test]
async fn a_token_brings_success_failure_and_heartbeats() {
    let site = site().await;
    put(&site, "asks", json!({ "A": asks() })).await;
    for (call, body, status, field, value) in [
        ("success", json!({ "output": { "yes": true } }), "SUCCEEDED", "output", json!({ "yes": true })),
        ("failure", json!({ "error": "No", "cause": "never" }), "FAILED", "error", json!("No")),
    ] {
        let (_, started) = ask(&site, "POST", "/v1/workflows/asks/executions", &json!({})).await;
        let id = started["id"].as_str().unwrap();
        let token = token(&site, id).await;
        let (answer, _) = ask(&site, "POST", &format!("/v1/task-tokens/{token}/heartbeat"), &json!({})).await;
        assert_eq!(answer, StatusCode::NO_CONTENT);
        let (answer, _) = ask(&site, "POST", &format!("/v1/task-tokens/{token}/{call}"), &body).await;
        assert_eq!(answer, StatusCode::NO_CONTENT);
        let (_, told) = get(&site, &format!("/v1/executions/{id}")).await;
        assert_eq!((&told["status"], &told[field]), (&json!(status), &value));
        let (answer, _) = ask(&site, "POST", &format!("/v1/task-tokens/{token}/{call}"), &body).await;
        assert_eq!(answer, StatusCode::NOT_FOUND, "it is taken once");
    }
}

#[tokio::test]
async fn a_stream_of_events_goes_on_where_the_client_was() {
    let site = site().await;
    put(&site, "sum", json!({ "A": task("wasm:numbers@1#add") })).await;
    let body = json!({ "input": { "a": 40, "b": 2 } });
    let (_, ended) = ask(&site, "POST", "/v1/workflows/sum/executions?wait=30", &body).await;
    let path = format!("/v1/executions/{}/events", ended["id"].as_str().unwrap());
    let all = stream(&site, &path, None).await;
    let ids: Vec<_> = all.iter().filter(|event| event.0 == "history").map(|event| event.1).collect();
    assert_eq!(ids, (1..=ended["history_events"].as_u64().unwrap()).collect::<Vec<_>>());
    assert_eq!(all.last().map(|event| (event.0.as_str(), &event.2)), Some(("end", &json!({ "status": "SUCCEEDED" }))));
    let rest = stream(&site, &path, Some("3")).await;
    assert_eq!(rest, all[3..]);
    assert_eq!(stream(&site, &path, Some("1000")).await.len(), 1, "the end alone");

    // One that runs is followed to its end.
    put(&site, "asks", json!({ "A": asks() })).await;
    let (_, started) = ask(&site, "POST", "/v1/workflows/asks/executions", &json!({})).await;
    let id = started["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/executions/{id}/events");
    let followed = stream(&site, &path, None);
    let answered = async {
        let token = token(&site, &id).await;
        ask(&site, "POST", &format!("/v1/task-tokens/{token}/success"), &json!({ "output": 1 })).await
    };
    let (followed, _) = tokio::join!(followed, answered);
    let kinds: Vec<_> = followed.iter().map(|event| event.2["type"].as_str().unwrap_or(&event.0)).collect();
    assert_eq!(kinds[kinds.len() - 3..], ["TaskStateExited", "ExecutionSucceeded", "end"]);
}

#[tokio::test]
async fn a_guest_is_told_who_asks_and_names_its_failures() {
    let site = site().await;
    let mut asked = task("wasm:tasks@1#asked");
    asked["TimeoutSeconds"] = json!(2);
    put(&site, "asked", json!({ "A": asked })).await;
    let ended = run(&site, "asked", json!({ "whatever": 1 })).await;
    let text = ended["output"].as_str().unwrap();
    let (key, rest) = text.split_once(", attempt 1, within ").unwrap();
    let deadline_ms: u64 = rest.strip_suffix(" ms").unwrap().parse().unwrap();
    assert!(!key.is_empty() && key != "-" && deadline_ms <= 2_000, "{text}");

    let mut total = task("wasm:tasks@1#total");
    total["Catch"] = json!([{ "ErrorEquals": ["empty-order"], "Next": "Empty" }]);
    put(&site, "total", json!({ "A": total, "Empty": { "Type": "Pass", "End": true } })).await;
    let order = json!({ "customer": "Ada", "lines": [{ "article": "tea", "count": 2, "price": 150 }] });
    assert_eq!(run(&site, "total", order.clone()).await["output"]["total"], 300);
    assert_eq!(run(&site, "total", json!({ "order": order })).await["output"]["total"], 300);
    let empty = run(&site, "total", json!({ "customer": "Ada", "lines": [] })).await;
    assert_eq!(empty["output"], json!({ "Error": "empty-order", "Cause": "Ada ordered nothing" }));
}

#[tokio::test]
async fn a_task_has_what_its_envelope_grants_and_no_more() {
    let site = site().await;
    site.put("counter", runner_guests::get("kv-counter.wasm")).await;
    let mut counts = task("wasm:counter@1#add");
    counts["Parameters"] = json!({ "store": "default", "key.$": "$", "by": 1 });
    let mut envelope = json!({ "definition": definition(json!({ "A": counts })) });
    let (status, answer) = ask(&site, "PUT", "/v1/workflows/counts", &envelope).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["detail"].as_str().unwrap().contains("kv"), "{answer}");
    envelope["tasks"] = json!({ "wasm:counter@1": {
        "grants": { "kv": { "stores": { "default": { "namespace": "counts" } } } }, "limits": { "deadline_ms": 2000 },
    } });
    let (status, answer) = ask(&site, "PUT", "/v1/workflows/counts", &envelope).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    for count in 1..=2 {
        assert_eq!(run(&site, "counts", json!("visits")).await["output"], count);
    }
    envelope["tasks"]["wasm:counter@1"]["limits"] = json!({ "deadline_ms": 3_600_000 });
    let (status, answer) = ask(&site, "PUT", "/v1/workflows/counts", &envelope).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["detail"].as_str().unwrap().contains("`deadline_ms` is 3600000"), "{answer}");
}
