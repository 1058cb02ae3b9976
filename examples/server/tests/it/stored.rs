//! `/v1/modules`: what is stored, under which names and versions, for how long.

use axum::body::Body;
use serde_json::{Value, json};

use crate::support::Site;

fn labels(list: &Value) -> Vec<String> {
    let label = |module: &Value| match module["name"].as_str() {
        Some(name) => format!("{name}@{}", module["version"]),
        None => module["id"].as_str().unwrap().chars().take(7).collect(),
    };
    list["modules"].as_array().unwrap().iter().map(label).collect()
}

#[tokio::test]
async fn a_module_is_stored_by_content_and_described() {
    let site = Site::new();
    let answer = site.ask("POST", "/v1/modules", runner_guests::wat("sum_of_2_ints")).await;
    assert_eq!(answer.status, 201);
    let module = answer.json();
    let s32 = json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX });
    assert_eq!(
        module["exports"],
        json!([{
            "name": "sum_of_2_ints",
            "kind": "function",
            "params": [{ "name": "a", "type": "s32", "schema": s32 }, { "name": "b", "type": "s32", "schema": s32 }],
            "result": { "type": "s32", "schema": s32 },
            "args_schema":
                { "type": "array", "prefixItems": [s32, s32], "minItems": 2, "maxItems": 2, "items": false },
        }])
    );
    assert_eq!((&module["kind"], &module["imports"]), (&json!("core"), &json!([])));
    assert_eq!(module["size_bytes"], runner_guests::wat("sum_of_2_ints").len());
    assert_eq!((module.get("name"), module.get("version")), (None, None));
    let created = module["created"].as_str().unwrap();
    assert!(created.len() == 20 && created.ends_with('Z'), "{created}");
    let again = site.ask("POST", "/v1/modules", runner_guests::wat("sum_of_2_ints")).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, module.clone()));
    let described = site.get(&format!("/v1/modules/{}", module["id"].as_str().unwrap())).await;
    assert_eq!(described.json(), module);
}

#[tokio::test]
async fn exports_and_imports_of_each_kind_are_told_apart() {
    let site = Site::new();
    for (name, bytes, kind) in [
        ("http", runner_guests::get("http-hello.wasm"), "component"),
        ("types", runner_guests::get("types.wasm"), "component"),
        ("command", runner_guests::get("command-p1.wasm"), "wasi-command"),
        ("reactor", runner_guests::get("reactor.wasm"), "wasi-reactor"),
        ("vectors", runner_guests::wat("v128").as_bytes(), "core"),
        ("needy", runner_guests::wat("needs_import").as_bytes(), "core"),
    ] {
        assert_eq!(site.put(name, bytes).await["kind"], kind, "{name}");
    }
    let export = async |name: &str, export: &str| {
        let module = site.get(&format!("/v1/modules/{name}")).await.json();
        let exports = module["exports"].as_array().unwrap().clone();
        exports.into_iter().find(|it| it["name"].as_str().unwrap().starts_with(export)).unwrap()
    };
    assert_eq!(export("http", "wasi:http/incoming-handler@0.2").await["kind"], "http");
    assert_eq!(export("command", "_start").await, json!({ "name": "_start", "kind": "command" }));
    assert_eq!(export("vectors", "takes_v128").await["kind"], "unsupported");
    assert!(export("vectors", "takes_v128").await["reason"].as_str().unwrap().contains("v128"));
    let echo = export("types", "echo-option").await;
    assert_eq!(echo["params"][0]["type"], "option<string>");
    assert_eq!(echo["result"]["schema"], json!({ "anyOf": [{ "type": "null" }, { "type": "string" }] }));

    let import = async |name: &str, import: &str| {
        let module = site.get(&format!("/v1/modules/{name}")).await.json();
        let imports = module["imports"].as_array().unwrap().clone();
        imports.into_iter().find(|it| it["name"].as_str().unwrap().starts_with(import)).unwrap()
    };
    assert_eq!(import("http", "wasi:http/types").await["status"], "provided");
    let closed = import("http", "wasi:http/outgoing-handler").await;
    assert_eq!(closed["status"], "closed");
    let advice = closed["advice"].as_str().unwrap();
    assert!(advice.starts_with("capability `http` serves it"), "{closed}");
    assert!(closed["about"].as_str().unwrap().ends_with(advice), "{closed}");
    assert_eq!(import("command", "wasi_snapshot_preview1").await["status"], "provided");
    let missing = import("needy", "env").await;
    assert_eq!(missing["status"], "missing");
    assert!(missing["about"].as_str().unwrap().contains("`env`"), "{missing}");
    assert_eq!(missing["advice"], missing["about"]);
    assert_eq!(import("http", "wasi:http/types").await.get("advice"), None);
}

#[tokio::test]
async fn each_put_makes_the_next_version_and_old_ones_stay() {
    let site = Site::new();
    for (version, text) in [(1, "gcd"), (2, "gcd"), (3, "divide")] {
        let module = site.put("math", runner_guests::wat(text)).await;
        assert_eq!((&module["name"], &module["version"]), (&json!("math"), &json!(version)));
    }
    let named = async |reference: &str| site.get(&format!("/v1/modules/{reference}")).await.json();
    assert_eq!(named("math").await["version"], 3);
    assert_eq!(named("math@1").await["exports"][0]["name"], "gcd");
    assert_eq!(named("math@1").await["id"], named("math@2").await["id"]);
}

#[tokio::test]
async fn only_a_plain_name_can_be_stored_under() {
    let site = Site::new();
    let long = "a".repeat(101);
    let id = format!("sha256:{}", "0".repeat(64));
    for name in ["Upper", ".hidden", "..", "a%2Fb", "a@1", "", "-a", "%C3%A4", &long, &id] {
        let answer = site.ask("PUT", &format!("/v1/modules/{name}"), runner_guests::wat("gcd")).await;
        match name {
            "" => answer.is_problem(404, "not_found", "no route"),
            _ => answer.is_problem(400, "invalid", "does not match"),
        }
    }
    for name in ["a", "0", "a.b_c-d", "a..", &long[..100]] {
        site.put(name, runner_guests::wat("gcd")).await;
    }
}

#[tokio::test]
async fn what_cannot_run_is_not_stored() {
    let site = Site::new();
    for module in ["not a module", runner_guests::wat("shared_memory")] {
        assert_eq!(site.ask("PUT", "/v1/modules/broken", module).await.status, 400);
    }
    assert_eq!(site.get("/v1/modules").await.json(), json!({ "modules": [], "next": null }));
}

#[tokio::test]
async fn the_list_comes_in_pages_that_neither_repeat_nor_skip() {
    let site = Site::new();
    for name in ["b", "a", "b", "c"] {
        site.put(name, runner_guests::wat("gcd")).await;
    }
    for text in ["divide", "swap"] {
        assert_eq!(site.ask("POST", "/v1/modules", runner_guests::wat(text)).await.status, 201);
    }
    let whole = site.get("/v1/modules").await.json();
    assert_eq!(labels(&whole)[..4], ["a@1", "b@2", "b@1", "c@1"]);
    assert_eq!((labels(&whole).len(), &whole["next"]), (6, &Value::Null));
    for size in 1..=6 {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = site.get(&format!("/v1/modules?limit={size}{after}")).await.json();
            assert!(labels(&page).len() <= size);
            seen.extend(labels(&page));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen, labels(&whole), "{size} a page");
    }
    for query in ["limit=0", "limit=1001", "limit=x", "after=NO", "page=2"] {
        assert_eq!(site.get(&format!("/v1/modules?{query}")).await.status, 400, "{query}");
    }
    // What the cursor named may be gone meanwhile.
    assert_eq!(labels(&site.get("/v1/modules?after=bb@7").await.json())[0], "c@1");
}

#[tokio::test]
async fn what_is_stored_survives_a_restart() {
    let site = Site::new();
    let before = site.put("gcd", runner_guests::wat("gcd")).await;
    let site = site.restarted().await;
    assert_eq!(site.get("/v1/modules/gcd").await.json(), before);
    assert_eq!(site.put("gcd", runner_guests::wat("divide")).await["version"], 2);
}

#[tokio::test]
async fn what_a_crash_left_behind_is_cleared_away() {
    let site = Site::new();
    site.put("gcd", runner_guests::wat("gcd")).await;
    let hex = "0".repeat(64);
    let modules = site.data().join("modules");
    std::fs::write(modules.join("tmp/7"), "half").unwrap();
    std::fs::write(modules.join("blobs").join(&hex), "no description yet").unwrap();
    let site = site.restarted().await;
    assert!(!modules.join("tmp/7").exists() && !modules.join("blobs").join(&hex).exists());
    assert_eq!(labels(&site.get("/v1/modules").await.json()), ["gcd@1"]);
}

#[tokio::test]
async fn a_version_goes_alone_and_a_name_with_all_of_its_versions() {
    let site = Site::new();
    for text in ["gcd", "divide", "swap"] {
        site.put("math", runner_guests::wat(text)).await;
    }
    let delete = async |reference: &str| site.ask("DELETE", &format!("/v1/modules/{reference}"), Body::empty()).await;
    assert_eq!(delete("math@2").await.status, 204);
    delete("math@2").await.is_problem(404, "not_found", "no module `math@2`");
    assert_eq!(delete("math@3").await.status, 204);
    assert_eq!(site.get("/v1/modules/math").await.json()["version"], 1);
    assert_eq!(delete("math").await.status, 204);
    delete("math").await.is_problem(404, "not_found", "no module `math`");
    site.call("math", &json!({})).await.is_problem(404, "not_found", "no module `math`");
    let left = site.get("/v1/modules").await.json();
    assert!(labels(&left).iter().all(|label| label == "sha256:"), "{left}");
}

#[tokio::test]
async fn a_version_number_is_never_used_again() {
    let site = Site::new();
    let delete = async |site: &Site, reference: &str| {
        assert_eq!(site.ask("DELETE", &format!("/v1/modules/{reference}"), Body::empty()).await.status, 204);
    };
    site.put("math", runner_guests::wat("gcd")).await;
    site.put("math", runner_guests::wat("gcd")).await;
    delete(&site, "math@2").await;
    assert_eq!(site.put("math", runner_guests::wat("gcd")).await["version"], 3);
    delete(&site, "math").await;
    let site = site.restarted().await;
    assert_eq!(site.put("math", runner_guests::wat("gcd")).await["version"], 4);
}

#[tokio::test]
async fn bytes_go_only_when_no_name_refers_to_them() {
    let site = Site::new();
    let module = site.put("math", runner_guests::wat("gcd")).await;
    let id = format!("/v1/modules/{}", module["id"].as_str().unwrap());
    site.ask("DELETE", &id, Body::empty()).await.is_problem(409, "conflict", "in use as `math@1`");
    assert_eq!(site.ask("DELETE", "/v1/modules/math", Body::empty()).await.status, 204);
    assert_eq!(site.ask("DELETE", &id, Body::empty()).await.status, 204);
    site.ask("DELETE", &id, Body::empty()).await.is_problem(404, "not_found", "no module `sha256:");
    site.get(&id).await.is_problem(404, "not_found", "no module `sha256:");
}

#[tokio::test]
async fn a_full_store_takes_no_more_until_something_goes() {
    let site = Site::with(|wants| wants.capacity.modules_max = 3);
    site.put("a", runner_guests::wat("gcd")).await; // the bytes, and a version
    site.put("a", runner_guests::wat("gcd")).await;
    let put = async || site.ask("PUT", "/v1/modules/a", runner_guests::wat("gcd")).await;
    put().await.is_problem(413, "exceeded", "keeps 3 modules already");
    assert_eq!(site.ask("DELETE", "/v1/modules/a@1", Body::empty()).await.status, 204);
    assert_eq!(put().await.status, 201);
    let small = Site::with(|wants| wants.capacity.bytes_max = 100);
    let answer = small.ask("POST", "/v1/modules", runner_guests::wat("gcd")).await;
    answer.is_problem(413, "exceeded", "keeps 100 bytes of modules already");
}

#[tokio::test]
async fn where_all_names_are_taken_nothing_is_kept_uncounted() {
    let site = Site::with(|wants| wants.capacity.modules_max = 3);
    let delete = async |reference: &str| site.ask("DELETE", &format!("/v1/modules/{reference}"), Body::empty()).await;
    for name in ["a", "b", "c"] {
        site.put(name, runner_guests::wat("gcd")).await;
        assert_eq!(delete(name).await.status, 204);
    }
    let blobs = || std::fs::read_dir(site.data().join("modules/blobs")).unwrap().count();
    let before = blobs();
    let refused = site.ask("PUT", "/v1/modules/d", runner_guests::wat("divide")).await;
    refused.is_problem(413, "exceeded", "all 3 names are taken, deleted ones too");
    assert_eq!(blobs(), before);
    assert_eq!(labels(&site.get("/v1/modules").await.json()).len(), 1);
    // What the refusal offers.
    assert_eq!(site.put("a", runner_guests::wat("gcd")).await["version"], 2);
    let added = site.ask("POST", "/v1/modules", runner_guests::wat("divide")).await;
    assert_eq!(added.status, 201);
    assert!(site.get("/metrics").await.body.contains("runner_modules 3\n"));
    assert_eq!(delete(added.json()["id"].as_str().unwrap()).await.status, 204);
    assert!(site.get("/metrics").await.body.contains("runner_modules 2\n"));
}

#[tokio::test]
async fn bytes_whose_version_cannot_be_kept_are_counted() {
    let site = Site::new();
    let name = site.data().join("modules/names/math");
    std::fs::create_dir(&name).unwrap();
    std::fs::write(name.join(format!("{}-deleted", u32::MAX)), "").unwrap();
    let refused = site.ask("PUT", "/v1/modules/math", runner_guests::wat("gcd")).await;
    refused.is_problem(413, "exceeded", "versions of that name");
    let id = runner_core::ModuleId::of(runner_guests::wat("gcd").as_bytes());
    for modules in [1, 0] {
        let metrics = site.get("/metrics").await.body;
        assert!(metrics.contains(&format!("runner_modules {modules}\n")), "{metrics}");
        site.ask("DELETE", &format!("/v1/modules/{id}"), Body::empty()).await;
    }
}

#[tokio::test]
async fn a_directory_serves_one_server_at_a_time() {
    let site = Site::new();
    let dir = crate::support::dir(&site.data().join("modules"));
    let error = runner_server::Store::open(dir, runner_server::Capacity::default()).unwrap_err();
    assert!(error.to_string().contains("in use by another server"), "{error}");
}

/// A module of 100 exports with 1,000 parameters each: some kilobytes, and much to tell. No two numbers make the same.
fn talkative(number: usize) -> String {
    let exports: String = (0..100).map(|at| format!("(export \"f{number}-{at}\" (func $f))")).collect();
    format!("(module (func $f (param {})) {exports})", "i32 ".repeat(1_000))
}

#[tokio::test]
async fn schemas_of_which_there_are_too_many_are_left_out_and_counted() {
    let site = Site::new();
    let stored = site.put("talkative", talkative(0)).await;
    let described = site.get("/v1/modules/talkative").await;
    assert_eq!(described.header("content-type"), "application/json");
    assert_eq!(described.json(), stored);
    let exports = stored["exports"].as_array().unwrap();
    // Names and types are told of all.
    assert_eq!(exports.len(), 100);
    assert!(exports.iter().all(|export| export["params"].as_array().unwrap().len() == 1_000));
    assert!(exports.iter().all(|export| export["params"][999]["type"] == "s32"));
    let (with, without): (Vec<_>, Vec<_>) = exports.iter().partition(|export| export.get("args_schema").is_some());
    assert!(with.iter().all(|export| export["params"][999].get("schema").is_some()));
    assert!(without.iter().all(|export| export["params"][999].get("schema").is_none()));
    assert_eq!((with.len(), &stored["schemas_left_out"]), (20, &json!(80)));
    assert_eq!(site.put("gcd", runner_guests::wat("gcd")).await.get("schemas_left_out"), None);
}

/// How often a module was made ready.
async fn loads(site: &Site) -> u64 {
    let metrics = site.get("/metrics").await.body;
    metrics.lines().find_map(|line| line.strip_prefix("runner_load_seconds_count ")).unwrap().parse().unwrap()
}

#[tokio::test]
async fn as_many_programs_are_kept_ready_as_there_is_room_for() {
    let site = Site::new();
    for number in 0..6 {
        site.put(&format!("large{number}"), talkative(number)).await;
        site.put(&format!("small{number}"), format!("(module (func (export \"f{number}\")))")).await;
    }
    let call_all = async |name: &str| {
        for number in 0..6 {
            let answer = site.call(&format!("{name}{number}"), &json!({ "function": "absent" })).await;
            answer.is_problem(404, "not_found", "no export");
        }
        loads(&site).await
    };
    let first = call_all("small").await;
    assert_eq!(call_all("small").await, first);
    let first = call_all("large").await;
    assert!(call_all("large").await > first);
}

#[tokio::test]
async fn nothing_is_kept_ready_of_a_module_that_was_removed() {
    let site = Site::new();
    let store = async || site.ask("POST", "/v1/modules", runner_guests::wat("gcd")).await.json();
    let id = store().await["id"].as_str().unwrap().to_owned();
    let called = async || {
        assert_eq!(site.call(&id, &json!({ "args": [48, 36] })).await.returned(), 12);
        loads(&site).await
    };
    let first = called().await;
    assert_eq!(called().await, first);
    assert_eq!(site.ask("DELETE", &format!("/v1/modules/{id}"), Body::empty()).await.status, 204);
    store().await;
    // Storing it made it ready once, and calling it once more.
    assert_eq!(called().await, first + 2);
}
