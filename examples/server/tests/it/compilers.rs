//! Modules that are hard to compile: their compiler is a child, which is killed, and nobody else notices.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module, TypeSection, ValType,
};

use crate::running::{Running, program};

/// A function that branches at every step over many locals: a compiler's work grows faster than its length.
fn branches(locals: u32, bytes: usize) -> Function {
    let mut body = Function::new([(locals, ValType::I32)]);
    let mut step = 0_u32;
    while body.byte_len() < bytes {
        let (one, two) = (1 + step.wrapping_mul(7_919) % locals, 1 + step.wrapping_mul(104_729) % locals);
        let mut sink = body.instructions();
        sink.local_get(one).local_get(two).i32_xor().local_tee(two).if_(BlockType::Empty);
        sink.local_get(two).local_get(0).i32_mul().local_set(one).end();
        step += 1;
    }
    body.instructions().local_get(1).end();
    body
}

/// A module of the same function many times, the first one exported.
fn module(functions: u32, body: &Function) -> Vec<u8> {
    let (mut types, mut section, mut exports, mut code) =
        (TypeSection::new(), FunctionSection::new(), ExportSection::new(), CodeSection::new());
    types.ty().function([ValType::I32], [ValType::I32]);
    exports.export("f", ExportKind::Func, 0);
    for _ in 0..functions {
        section.function(0);
        code.function(body);
    }
    let mut module = Module::new();
    module.section(&types).section(&section).section(&exports).section(&code);
    module.finish()
}

fn enormous_body() -> Vec<u8> {
    module(1, &branches(2_000, 900 << 10))
}

/// As many as the default bounds let in, and some.
fn many_functions() -> Vec<u8> {
    module(50_000, &branches(20, 700))
}

/// Waits until so many compilers are alive.
async fn until(running: &Running, compilers: usize) {
    let there = async {
        while running.compilers() != compilers {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), there).await.unwrap();
}

/// Has a module refused with these words, while everybody else is served.
async fn is_refused(options: &[&str], module: Vec<u8>, words: &str) {
    let data = TempDir::new().unwrap();
    let running = Running::start(program(data.path()).args(options)).await;
    let sum = running.client.put(running.url("/v1/modules/sum")).body(runner_guests::wat("sum_of_2_ints")).send();
    assert_eq!(sum.await.unwrap().status(), StatusCode::CREATED);
    let call = || async {
        let call = running.client.post(running.url("/v1/modules/sum/call")).body(r#"{ "args": [20, 22] }"#);
        let outcome: Value = call.send().await.unwrap().json().await.unwrap();
        assert_eq!(outcome["ending"], json!({ "kind": "returned", "value": 42 }));
    };
    call().await;
    let module_kib = module.len() as u64 >> 10;
    let before_kib = running.memory_kib("VmHWM");
    let slow = tokio::spawn(running.client.post(running.url("/v1/modules")).body(module).send());
    until(&running, 1).await;
    let mut served = 0;
    while running.compilers() > 0 && !slow.is_finished() {
        let from = Instant::now();
        let alive = running.client.get(running.url("/healthz")).send().await.unwrap();
        assert_eq!(alive.status(), StatusCode::OK);
        call().await;
        assert!(from.elapsed() < Duration::from_secs(2), "{:?}", from.elapsed());
        served += 1;
    }
    assert!(served > 10, "{served}");
    let refused = slow.await.unwrap().unwrap();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["kind"], "exceeded");
    assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    until(&running, 0).await;
    call().await;
    // The server itself held the module, twice while it loaded it, and none of the compiler's memory.
    let grown_kib = running.memory_kib("VmHWM") - before_kib;
    assert!(grown_kib < 4 * module_kib + (16 << 10), "{grown_kib} KiB for a module of {module_kib} KiB");
}

#[tokio::test]
async fn an_enormous_body_loses_its_compiler_when_its_time_is_over() {
    is_refused(&["--compile-seconds", "2"], enormous_body(), "longer than 2s to compile").await;
}

#[tokio::test]
async fn fifty_thousand_functions_lose_their_compiler_when_its_time_is_over() {
    is_refused(&["--compile-seconds", "2"], many_functions(), "longer than 2s to compile").await;
}

#[tokio::test]
async fn a_compiler_that_wants_more_memory_than_it_may_have_dies_alone() {
    let bound = ["--compile-memory-bytes", "536870912"];
    is_refused(&bound, enormous_body(), "more than 512 MiB to compile").await;
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_the_compiler_along() {
    let data = TempDir::new().unwrap();
    let running = Running::start(&mut program(data.path())).await;
    let slow = tokio::spawn(running.client.post(running.url("/v1/modules")).body(enormous_body()).send());
    until(&running, 1).await;
    slow.abort();
    until(&running, 0).await;
}

#[tokio::test]
async fn all_who_want_a_module_that_does_not_compile_have_one_answer_and_not_one_after_the_other() {
    let data = TempDir::new().unwrap();
    let running = Running::start(program(data.path()).args(["--compile-seconds", "2"])).await;
    let sum = running.client.put(running.url("/v1/modules/sum")).body(runner_guests::wat("sum_of_2_ints")).send();
    let sum: Value = sum.await.unwrap().json().await.unwrap();
    // A module is stored only once it compiles: so it becomes another on the disk.
    let hex = sum["id"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    std::fs::write(data.path().join("modules/blobs").join(hex), enormous_body()).unwrap();
    let from = Instant::now();
    let calls = (0..8).map(|_| running.client.post(running.url("/v1/modules/sum/call")).body("{}").send());
    for answer in futures::future::join_all(calls).await {
        // Whoever waited as long as a compiler may take is sent away, often just before the compiler's own end.
        let status = answer.unwrap().status();
        assert!([StatusCode::PAYLOAD_TOO_LARGE, StatusCode::SERVICE_UNAVAILABLE].contains(&status), "{status}");
    }
    assert!(from.elapsed() < Duration::from_secs(8), "{:?}", from.elapsed());
}
