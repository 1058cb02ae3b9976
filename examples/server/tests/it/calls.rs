//! `POST /v1/modules/{ref}/call`: a stored module is called, within limits.

use serde_json::{Value, json};

use crate::support::Site;

#[tokio::test]
async fn a_stored_module_is_called_by_name_version_and_content() {
    let site = Site::new();
    let module = site.put("gcd", runner_guests::wat("gcd")).await;
    for reference in ["gcd", "gcd@1", module["id"].as_str().unwrap()] {
        assert_eq!(site.call(reference, &json!({ "args": [48, 36] })).await.returned(), 12, "{reference}");
    }
    site.call("gcd@2", &json!({})).await.is_problem(404, "not_found", "no module `gcd@2`");
    site.call("absent", &json!({})).await.is_problem(404, "not_found", "no module `absent`");
    site.call("No", &json!({})).await.is_problem(400, "invalid", "does not match");
    site.call("gcd@01", &json!({})).await.is_problem(400, "invalid", "is not a number from 1 to 4294967295");
    for version in ["0", "-1", "", "1@2", "4294967296", "999999999999999999999"] {
        let words = format!("version `{version}` of `gcd` is not a number from 1 to 4294967295");
        site.call(&format!("gcd@{version}"), &json!({})).await.is_problem(400, "invalid", &words);
    }
    site.call("sha256:12", &json!({})).await.is_problem(400, "invalid", "expected `sha256:` and 64 digits");
}

#[tokio::test]
async fn parameter_names_outlive_a_restart() {
    let site = Site::new();
    site.put("gcd", runner_guests::wat("gcd")).await;
    let site = site.restarted().await;
    assert_eq!(site.call("gcd", &json!({ "args": { "a": 48, "b": 36 } })).await.returned(), 12);
}

#[tokio::test]
async fn each_call_has_a_fresh_instance() {
    let site = Site::new();
    site.put("counter", runner_guests::wat("counter")).await;
    for _ in 0..2 {
        assert_eq!(site.call("counter", &json!({ "function": "next" })).await.returned(), 1);
    }
}

#[tokio::test]
async fn a_component_is_called_by_its_types() {
    let site = Site::new();
    site.put("greet", runner_guests::get("greet.wasm")).await;
    let answer = site.call("greet", &json!({ "function": "greet", "args": { "name": "Ada" } })).await;
    assert!(answer.returned().as_str().unwrap().contains("Ada"));
}

#[tokio::test]
async fn a_command_finds_the_modules_name_before_its_arguments() {
    let site = Site::new();
    site.put("verbs", runner_guests::get("command-p2.wasm")).await;
    for function in [json!("_start"), Value::Null] {
        let answer = site.call("verbs", &json!({ "function": function, "args_cli": ["echo", "a", "b"] })).await;
        assert_eq!((answer.returned(), answer.json()["stdout"].as_str()), (Value::Null, Some("a b\n")));
    }
    let answer = site.call("verbs", &json!({ "args_cli": ["env"], "env": { "K": "V" } })).await;
    assert_eq!(answer.json()["stdout"], "K=V\n");
    let answer = site.call("verbs", &json!({ "args_cli": ["stderr", "no"] })).await;
    assert_eq!(answer.json()["stderr"], "no\n");
    let answer = site.call("verbs", &json!({ "args_cli": ["exit", "1"] })).await;
    assert_eq!((&answer.ending()["kind"], &answer.ending()["exit_code"]), (&json!("failed"), &json!(1)));
    let answer = site.call("verbs", &json!({ "args": [1] })).await;
    answer.is_problem(400, "invalid", "takes `args_cli`, not `args`");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_random_bytes_and_time() {
    let site = Site::new();
    site.put("verbs", runner_guests::get("command-p1.wasm")).await;
    let said = async |seed: u64| {
        let deterministic = json!({ "seed": seed, "start_unix": 1_700_000_000 });
        let asked = json!({ "args_cli": ["random", "8"], "deterministic": deterministic });
        let answer = site.call("verbs", &asked).await;
        assert_eq!(answer.returned(), Value::Null);
        answer.json()["stdout"].clone()
    };
    assert_eq!(said(42).await, said(42).await);
    assert_ne!(said(42).await, said(43).await);
}

#[tokio::test]
async fn a_task_is_described_and_called_and_knows_who_asks() {
    let site = Site::new();
    let module = site.put("shop", runner_guests::get("tasks.wasm")).await;
    let exports = module["exports"].as_array().expect("exports");
    let total = exports.iter().find(|export| export["name"] == "total").expect("a task");
    assert_eq!((&total["kind"], &total["params"][0]["type"]), (&json!("function"), &json!("Order")));
    assert_eq!(total["about"], "Adds up an order.\n\nAn order of nothing is none.");
    assert_eq!(total["params"][0]["schema"]["properties"]["customer"]["type"], "string");
    assert_eq!(total["args_schema"]["prefixItems"][0], total["params"][0]["schema"]);
    assert_eq!(total["result"]["schema"]["properties"]["total"]["type"], "integer");
    let lines = json!([{ "article": "lamp", "count": 2, "price": 1_995 }]);
    let order = json!({ "customer": "Ada", "lines": lines });
    let answer = site.call("shop", &json!({ "function": "total", "args": { "order": order } })).await;
    assert_eq!(answer.returned(), json!({ "customer": "Ada", "total": 3_990, "articles": ["lamp"] }));
    let asked =
        json!({ "function": "asked", "idempotency_key": "order-7", "attempt": 3, "limits": { "deadline_ms": 900 } });
    assert_eq!(site.call("shop", &asked).await.returned(), "order-7, attempt 3, within 900 ms");
    for (bad, words) in [
        (json!({ "idempotency_key": "" }), "`idempotency_key` has 1 to 256 bytes, found 0"),
        (json!({ "idempotency_key": "x".repeat(257) }), "`idempotency_key` has 1 to 256 bytes, found 257"),
        (json!({ "attempt": 0 }), "attempt"),
    ] {
        site.call("shop", &bad).await.is_problem(400, "invalid", words);
    }
    let longest = json!({ "function": "asked", "idempotency_key": "x".repeat(256) });
    assert!(site.call("shop", &longest).await.returned().is_string());
}

#[tokio::test]
async fn a_limit_that_is_met_is_named() {
    let site = Site::new();
    site.put("spin", runner_guests::wat("spin")).await;
    let answer = site.call("spin", &json!({ "limits": { "deadline_ms": 50 } })).await;
    assert_eq!(answer.ending(), json!({ "kind": "exhausted", "limit": "deadline", "allowed": 50, "unit": "ms" }));
    let answer = site.call("spin", &json!({ "limits": { "fuel": 1_000 }, "metering": "fuel" })).await;
    assert_eq!(answer.ending(), json!({ "kind": "exhausted", "limit": "fuel", "allowed": 1_000, "unit": "units" }));
    site.put("grow", runner_guests::wat("big_memory")).await;
    let answer = site.call("grow", &json!({ "limits": { "memory_bytes": 1 << 20 } })).await;
    assert_eq!(answer.ending()["limit"], "memory");
}

#[tokio::test]
async fn every_limit_can_be_asked_for_up_to_the_servers_maximum() {
    let site = Site::new();
    site.put("gcd", runner_guests::wat("gcd")).await;
    for (limit, max) in [
        ("deadline_ms", 60_000_u64),
        ("memory_bytes", 1 << 30),
        ("table_elements", 1_000_000),
        ("instances", 256),
        ("fuel", 1_000_000_000_000),
        ("host_calls", 100_000_000),
        ("host_bytes", 4 << 30),
        ("handles", 1_000),
        ("input_bytes", 64 << 20),
        ("output_bytes", 32 << 20),
    ] {
        let metering = if limit == "fuel" { "fuel" } else { "epochs" };
        let asked = |value: u64| json!({ "args": [48, 36], "limits": { limit: value }, "metering": metering });
        assert_eq!(site.call("gcd", &asked(max)).await.returned(), 12, "{limit}");
        let words = format!("limit `{limit}` is {}, this server allows {max} at most", max + 1);
        site.call("gcd", &asked(max + 1)).await.is_problem(400, "invalid", &words);
    }
}

#[tokio::test]
async fn what_the_request_does_not_know_is_refused() {
    let site = Site::new();
    site.put("gcd", runner_guests::wat("gcd")).await;
    for (request, words) in [
        (json!({ "limit": {} }), "unknown field `limit`"),
        (json!({ "limits": { "deadline": 1 } }), "unknown field `deadline`"),
        (json!({ "limits": { "deadline_ms": -1 } }), "invalid value"),
        (json!({ "metering": "none" }), "unknown variant `none`"),
        (json!({ "deterministic": {} }), "missing field `seed`"),
        (json!({ "env": { "A=B": "" } }), "environment variable `A=B`"),
        (json!({ "env": { "A": "\0" } }), "NUL"),
        (json!({ "args_cli": ["\0"] }), "NUL"),
        (json!({ "limits": { "fuel": 1 } }), "limit `fuel` needs `\"metering\": \"fuel\"`"),
        // The place is named.
        (json!({ "function": 5 }), "`function`: invalid type: integer `5`, expected a string"),
        (json!({ "limits": { "deadline_ms": "5" } }), "`limits.deadline_ms`: invalid type: string \"5\""),
        (json!({ "limits": { "fuel": 1e23 } }), "`limits.fuel`: invalid type: floating point"),
        (json!({ "env": { "A": 1 } }), "`env.A`: invalid type: integer `1`, expected a string"),
        (json!({ "args_cli": ["a", 1] }), "`args_cli[1]`: invalid type"),
        (json!({ "deterministic": { "seed": -1 } }), "`deterministic.seed`: invalid value: integer `-1`"),
        // An array is no object, although its values might stand for fields in their order.
        (json!([]), "the request: invalid type: sequence, expected an object"),
        (json!(["gcd", [48, 36]]), "the request: invalid type: sequence, expected an object"),
        (json!("gcd"), "the request: invalid type: string \"gcd\", expected an object"),
        (json!({ "args": [48, 36], "limits": [50] }), "`limits`: invalid type: sequence, expected an object"),
        (json!({ "args": [48, 36], "deterministic": [1] }), "`deterministic`: invalid type: sequence"),
    ] {
        site.call("gcd", &request).await.is_problem(400, "invalid", words);
    }
}

#[tokio::test]
async fn a_full_queue_is_unavailable_and_says_when_to_return() {
    let site = Site::with(|wants| {
        wants.bounds.calls = 1;
        wants.bounds.queue = 0;
    });
    site.put("spin", runner_guests::wat("spin")).await;
    site.put("gcd", runner_guests::wat("gcd")).await;
    let spin = json!({ "limits": { "deadline_ms": 2_000 } });
    let gcd = async {
        // The place is taken once the spinning guest runs; until then the other call may still find it free.
        loop {
            let answer = site.call("gcd", &json!({ "args": [48, 36] })).await;
            if answer.status != 200 {
                break answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let (spun, refused) = tokio::join!(site.call("spin", &spin), gcd);
    assert_eq!(spun.ending()["limit"], "deadline");
    refused.is_problem(503, "unavailable", "places are taken");
    assert_eq!(refused.header("retry-after"), "1");
}
