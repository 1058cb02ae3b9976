//! `POST /v1/run`: a module comes along, is called, and is not kept.

use serde_json::{Value, json};

use crate::support::{Site, request};

fn query(text: &str) -> String {
    let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("/v1/run?args={escaped}")
}

#[tokio::test]
async fn a_text_module_runs_and_says_what_it_cost() {
    let answer = Site::new().ask("POST", &query("[20, 22]"), runner_guests::wat("sum_of_2_ints")).await;
    assert_eq!(answer.returned(), 42);
    let usage = &answer.json()["usage"];
    for field in ["guest_us", "host_us", "wall_us", "compile_us", "instantiate_us", "memory_peak_bytes", "host_calls"] {
        assert!(usage[field].is_u64(), "{field}: {usage}");
    }
    assert_eq!(usage["capabilities"], json!({}));
    assert!(usage["compile_us"].as_u64().unwrap() > 0);
    assert_eq!(usage.get("fuel"), None);
    assert_eq!((answer.json()["stdout"].as_str(), answer.json()["stderr"].as_str()), (Some(""), Some("")));
}

#[tokio::test]
async fn arguments_come_in_order_or_by_name() {
    let site = Site::new();
    for args in [r#"[48, 36]"#, r#"{"a": 48, "b": 36}"#] {
        assert_eq!(site.ask("POST", &query(args), runner_guests::wat("gcd")).await.returned(), 12);
    }
}

#[tokio::test]
async fn several_results_are_an_array_and_a_large_integer_keeps_its_digits() {
    let answer = Site::new().ask("POST", &query(r#"[1, "9007199254740993"]"#), runner_guests::wat("swap")).await;
    assert_eq!(answer.returned(), json!(["9007199254740993", 1]));
}

#[tokio::test]
async fn a_function_may_be_left_out_only_where_there_is_one() {
    let site = Site::new();
    let answer = site.ask("POST", "/v1/run", runner_guests::wat("counter")).await;
    answer.is_problem(400, "invalid", "`next`, `reset`");
    assert_eq!(site.ask("POST", "/v1/run?function=next", runner_guests::wat("counter")).await.returned(), 1);
    let answer = site.ask("POST", "/v1/run", runner_guests::get("http-hello.wasm")).await;
    answer.is_problem(400, "invalid", "is an HTTP handler");
}

#[tokio::test]
async fn a_command_runs_with_arguments_and_says_its_exit_code() {
    let site = Site::new();
    for (args, kind) in [("", "failed"), ("&args_cli=%5B%22echo%22%2C%22hi%22%5D", "returned")] {
        let path = format!("/v1/run?function=_start{args}");
        let answer = site.ask("POST", &path, runner_guests::get("command-p1.wasm")).await;
        assert_eq!(answer.ending()["kind"], kind, "{answer:?}");
    }
    let answer = site.ask("POST", "/v1/run?args_cli=%5B%22exit%22%2C%223%22%5D", runner_guests::get("command-p1.wasm"));
    assert_eq!(answer.await.ending()["exit_code"], 3);
}

#[tokio::test]
async fn a_trap_has_a_name_and_a_backtrace() {
    let answer = Site::new().ask("POST", "/v1/run?args=%5B3%5D", runner_guests::wat("trap_deep")).await;
    let ending = answer.ending();
    assert_eq!((&ending["kind"], &ending["code"]), (&json!("trapped"), &json!("unreachable")));
    let frames: Vec<_> =
        ending["backtrace"].as_array().unwrap().iter().map(|frame| frame["function"].clone()).collect();
    assert_eq!(frames, ["inner", "middle", "outer"]);
    assert!(ending["backtrace"][0]["offset"].is_u64());
}

#[tokio::test]
async fn what_is_no_module_is_refused_with_what_was_found() {
    let site = Site::new();
    let truncated = &runner_guests::get("greet.wasm")[..1000];
    for (module, words) in [
        (&b""[..], "nothing"),
        (b"<!doctype html>", "not a WebAssembly module"),
        (b"\x7fELF...", "an ELF file"),
        (b"(module (func (export \"f\") (result i32)))", "not valid"),
        (truncated, ""),
    ] {
        site.ask("POST", "/v1/run", module.to_vec()).await.is_problem(400, "invalid", words);
    }
}

#[tokio::test]
async fn a_missing_import_is_denied_and_named() {
    let answer = Site::new().ask("POST", "/v1/run", runner_guests::wat("needs_import")).await;
    answer.is_problem(403, "denied", "`env`");
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_refused() {
    let site = Site::new();
    for (path, words) in [
        ("/v1/run?args=%5B1,", "`args` is not JSON: EOF while parsing a value at line 1 column 3, found `[1,`"),
        ("/v1/run?args=%zz", "found `%zz`"),
        ("/v1/run?args=%5B%5D&args=%5B%5D", "the query: duplicate field `args`"),
        ("/v1/run?args=1", "expected an array or an object"),
        ("/v1/run?args=%5B1%5D", "expected 2 arguments"),
        ("/v1/run?args=%5B1,true%5D", ""),
        ("/v1/run?arguments=%5B1,2%5D", "unknown field `arguments`"),
        ("/v1/run?args_cli=%5B1%5D", "`args_cli` is not an array of strings"),
        ("/v1/run?args_cli=%5B%22x%22%5D", "takes `args`, not `args_cli`"),
    ] {
        site.ask("POST", path, runner_guests::wat("gcd")).await.is_problem(400, "invalid", words);
    }
    let answer = site.ask("POST", "/v1/run?function=absent", runner_guests::wat("gcd")).await;
    answer.is_problem(404, "not_found", "no export `absent`: it exports `gcd`");
}

fn multipart(parts: &[(&str, &[u8])]) -> http::Request<axum::body::Body> {
    let mut body = Vec::new();
    for (name, bytes) in parts {
        body.extend_from_slice(format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--edge--\r\n");
    let mut request = request("POST", "/v1/run", body);
    request.headers_mut().insert("content-type", "multipart/form-data; boundary=edge".parse().unwrap());
    request
}

#[tokio::test]
async fn a_module_and_a_whole_request_come_in_two_parts() {
    let asked = json!({
        "function": "_start", "args_cli": ["cat"], "stdin": "through and through", "metering": "fuel",
        "limits": { "deadline_ms": 2_000, "memory_bytes": 8 << 20 },
    });
    let module = runner_guests::get("command-p1.wasm");
    let answer = Site::new().send(multipart(&[("module", module), ("request", asked.to_string().as_bytes())])).await;
    assert_eq!(answer.returned(), Value::Null);
    assert_eq!(answer.json()["stdout"], "through and through");
    assert!(answer.json()["usage"]["fuel"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn parts_that_are_not_understood_are_refused() {
    let site = Site::new();
    let gcd = runner_guests::wat("gcd").as_bytes();
    for (parts, words) in [
        (&[("request", &b"{}"[..])][..], "`module` is missing"),
        (&[("module", gcd), ("module", gcd)], "expected one part `module`"),
        (&[("module", gcd), ("other", b"")], "part `other`"),
        (&[("module", gcd), ("request", b"{\"arg\": 1}")], "unknown field `arg`"),
        (&[], ""),
    ] {
        site.send(multipart(parts)).await.is_problem(400, "invalid", words);
    }
    let mut mixed = multipart(&[("module", gcd)]);
    *mixed.uri_mut() = "/v1/run?function=gcd".parse().unwrap();
    site.send(mixed).await.is_problem(400, "invalid", "nothing in the query");
}

#[tokio::test]
async fn compiled_code_on_disk_is_swept_and_a_module_runs_all_the_same() {
    let site = Site::with(|wants| wants.code_bytes = 0);
    let code = site.data().join("code");
    for _ in 0..2 {
        assert_eq!(site.ask("POST", &query("[48, 36]"), runner_guests::wat("gcd")).await.returned(), 12);
        let swept = async {
            while std::fs::read_dir(&code).unwrap().next().is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), swept).await.unwrap();
    }
}
