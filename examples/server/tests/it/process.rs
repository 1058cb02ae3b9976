//! The real program: what its command line refuses, how it compiles strangers' modules, how it ends.

use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;
use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module, TypeSection, ValType,
};

use crate::running::{Running, program};

/// A module whose one body is long, and branches at every step: a compiler's work grows faster than its length.
fn enormous_body() -> Vec<u8> {
    let (mut types, mut functions, mut exports, mut code) =
        (TypeSection::new(), FunctionSection::new(), ExportSection::new(), CodeSection::new());
    types.ty().function([ValType::I32], [ValType::I32]);
    functions.function(0);
    exports.export("f", ExportKind::Func, 0);
    const LOCALS: u32 = 2_000;
    let mut body = Function::new([(LOCALS, ValType::I32)]);
    let mut step = 0_u32;
    while body.byte_len() < 900 << 10 {
        let (one, two) = (1 + step.wrapping_mul(7_919) % LOCALS, 1 + step.wrapping_mul(104_729) % LOCALS);
        let mut sink = body.instructions();
        sink.local_get(one).local_get(two).i32_xor().local_tee(two).if_(BlockType::Empty);
        sink.local_get(two).local_get(0).i32_mul().local_set(one).end();
        step += 1;
    }
    body.instructions().local_get(1).end();
    code.function(&body);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);
    module.finish()
}

#[tokio::test]
async fn a_module_that_takes_too_long_to_compile_loses_its_compiler_and_hurts_nobody() {
    let data = TempDir::new().unwrap();
    let running = Running::start(program(data.path()).args(["--compile-seconds", "2"])).await;
    let slow = running.client.post(running.url("/v1/modules")).body(enormous_body()).send();
    let slow = tokio::spawn(slow);
    // While its child compiles, everybody else is served, and quickly.
    timeout(Duration::from_secs(10), async {
        while running.compilers() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let mut served = 0;
    while running.compilers() > 0 && !slow.is_finished() {
        let from = Instant::now();
        let alive = running.client.get(running.url("/healthz")).send().await.unwrap();
        assert_eq!(alive.status(), StatusCode::OK);
        assert!(from.elapsed() < Duration::from_secs(1), "{:?}", from.elapsed());
        served += 1;
    }
    assert!(served > 10, "{served}");
    let refused = slow.await.unwrap().unwrap();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["kind"], "exceeded");
    assert!(problem["detail"].as_str().unwrap().contains("longer than 2s to compile"), "{problem}");
    timeout(Duration::from_secs(10), async {
        while running.compilers() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let run = running.client.post(running.url("/v1/run?args=[20,22]")).body(runner_guests::wat("sum_of_2_ints"));
    let outcome: Value = run.send().await.unwrap().json().await.unwrap();
    assert_eq!(outcome["ending"], json!({ "kind": "returned", "value": 42 }));
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_the_compiler_along() {
    let data = TempDir::new().unwrap();
    let running = Running::start(&mut program(data.path())).await;
    let slow = tokio::spawn(running.client.post(running.url("/v1/modules")).body(enormous_body()).send());
    let until = async |compilers: usize| {
        timeout(Duration::from_secs(10), async {
            while running.compilers() != compilers {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    };
    until(1).await;
    slow.abort();
    until(0).await;
}

#[tokio::test]
async fn another_address_than_the_loopback_wants_a_token() {
    let data = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner-server"));
    command.args(["--listen", "0.0.0.0:0", "--data"]).arg(data.path()).env_remove("RUNNER_TOKEN").kill_on_drop(true);
    let refused = timeout(Duration::from_secs(20), command.output()).await.unwrap().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("listening on 0.0.0.0:0 lets others run code here: give a token"), "{said}");

    let file = data.path().join("token");
    std::fs::write(&file, "secret\n").unwrap();
    let mut running = Running::start(command.arg("--token-file").arg(&file).stderr(Stdio::piped())).await;
    let port = running.address.rsplit(':').next().unwrap().to_owned();
    running.address = format!("http://127.0.0.1:{port}");
    let asked = running.client.get(running.url("/v1/modules"));
    assert_eq!(asked.try_clone().unwrap().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(asked.bearer_auth("secret").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_command_line_that_cannot_be_meant_is_refused() {
    let data = TempDir::new().unwrap();
    for (args, words) in [
        (&["--allow-origin", "example.com"][..], "origin `example.com`: expected"),
        (&["--allow-origin", "*"], "origin `*`: expected"),
        (&["--allow-origin", "https://example.com/page"], "without a path"),
        (&["--token", ""], "the token is empty"),
        (&["--token", "two words"], "not visible ASCII"),
        (&["--page", "/nowhere/at/all"], "directory `/nowhere/at/all`"),
        (&["--calls", "0"], "bound `calls` is 0"),
    ] {
        let output = timeout(Duration::from_secs(20), program(data.path()).args(args).output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn a_call_under_way_finishes_when_the_server_is_told_to_end() {
    let data = TempDir::new().unwrap();
    let mut running = Running::start(&mut program(data.path())).await;
    let put = running.client.put(running.url("/v1/modules/spin")).body(runner_guests::wat("spin")).send();
    assert_eq!(put.await.unwrap().status(), StatusCode::CREATED);
    let asked = json!({ "limits": { "deadline_ms": 1_500 } }).to_string();
    let call = running.client.post(running.url("/v1/modules/spin/call")).body(asked);
    let call = tokio::spawn(call.send());
    running.in_flight(2).await;
    let status = running.terminate().await;
    assert!(status.success(), "{status}");
    let outcome: Value = call.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(outcome["ending"]["limit"], "deadline");
    assert!(Client::new().get(running.url("/healthz")).send().await.is_err());
}

#[tokio::test]
async fn a_second_process_finds_modules_and_compiled_code_and_logs_no_token() {
    let data = TempDir::new().unwrap();
    let mut first = Running::start(program(data.path()).env("RUNNER_TOKEN", "very-secret")).await;
    let put = first.client.put(first.url("/v1/modules/gcd")).bearer_auth("very-secret").body(runner_guests::wat("gcd"));
    assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
    assert!(first.terminate().await.success());
    let said = first.log.await.unwrap();
    assert!(said.contains("/v1/modules/gcd") && said.contains("201") && !said.contains("very-secret"), "{said}");

    let second = Running::start(&mut program(data.path())).await;
    let call = second
        .client
        .post(second.url("/v1/modules/gcd/call"))
        .body(json!({ "args": { "a": 48, "b": 36 } }).to_string());
    let outcome: Value = call.send().await.unwrap().json().await.unwrap();
    assert_eq!(outcome["ending"]["value"], 12);
    assert_eq!(outcome["usage"]["compile_us"], 0);
}
