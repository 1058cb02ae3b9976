//! The clock of the compiler, in this process and in a child that is killed.

use std::fs::OpenOptions;
use std::process::Command;
use std::time::Duration;

use futures::FutureExt;
use runner_core::{Bounds, Compile, CompilerProcess, ErrorKind, Executor, Grants};
use serde_json::{Value, json};

use crate::bounds::module_of;
use crate::support::{guest, small, turns, value};

/// A program that never answers, as a compiler that is busy for too long. It writes down its process id.
fn stuck(pid_file: &std::path::Path) -> Compile {
    let script = format!("echo $$ > {}; exec sleep 1000", pid_file.display());
    Compile::OutOfProcess(CompilerProcess::new("/bin/sh", ["-c", &script]))
}

#[tokio::test]
async fn a_module_that_takes_too_long_is_given_up_on() {
    let bounds = Bounds { compile: Duration::from_millis(1), ..small() };
    let executor = Executor::builder().bounds(bounds).build().expect("it starts");
    let error = executor.load(&module_of(20_000, 0), &Grants::none()).await.expect_err("a millisecond is too short");
    assert_eq!(error.kind(), ErrorKind::Exceeded);
    assert!(error.to_string().contains("the module takes longer than 1ms to compile"), "{error}");
}

#[tokio::test]
async fn a_compiler_that_does_not_answer_is_killed_and_reaped() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let pid_file = directory.path().join("pid");
    let bounds = Bounds { compile: Duration::from_millis(300), ..small() };
    let executor = Executor::builder().bounds(bounds).compile(stuck(&pid_file)).build().expect("it starts");
    let error = executor.load(guest("gcd.wat"), &Grants::none()).await.expect_err("it never answers");
    assert_eq!(error.kind(), ErrorKind::Exceeded);
    let pid = std::fs::read_to_string(&pid_file).expect("it has started");
    let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
    // The kill is on its way; a process that stays would keep this test from ending.
    while process.exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_compiler_that_is_not_there_is_named() {
    let compile = Compile::OutOfProcess(CompilerProcess::new("/nonexistent/compiler", ["x"]));
    let executor = Executor::builder().bounds(small()).compile(compile).build().expect("it starts");
    let error = executor.load(guest("gcd.wat"), &Grants::none()).await.expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("compiler `/nonexistent/compiler` does not start"), "{error}");
}

#[tokio::test]
async fn without_a_queue_a_module_compiles_where_the_compiler_is_free() {
    let executor = Executor::builder().bounds(Bounds { compile_queue: 0, ..small() }).build().expect("it starts");
    let gcd = executor.load(guest("gcd.wat"), &Grants::none()).await.expect("the compiler is free");
    assert_eq!(value(gcd.call("gcd").args(json!([4, 6])).run().await.expect("it runs")), json!(2));
}

#[tokio::test]
async fn as_many_modules_wait_for_the_compiler_as_the_bound_says() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let (pipe, started) = (directory.path().join("pipe"), directory.path().join("started"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("it runs").success());
    // A compiler that says that it has started, waits until somebody opens the pipe to write, and fails.
    let script = format!("echo >> {}; : < {}; exit 1", started.display(), pipe.display());
    let compile = Compile::OutOfProcess(CompilerProcess::new("/bin/sh", ["-c", &script]));
    let bounds = Bounds { compile_queue: 1, ..small() };
    let executor = Executor::builder().bounds(bounds).compile(compile).build().expect("it starts");
    let load = |n: usize| {
        let (executor, module) = (executor.clone(), format!("(module (func (export \"f{n}\")))"));
        async move { executor.load(module.as_bytes(), &Grants::none()).await.map(drop) }
    };
    let running = || std::fs::read_to_string(&started).unwrap_or_default().len();
    let places = std::thread::available_parallelism().map_or(1, usize::from);
    let under_way: Vec<_> = (0..places).map(|n| tokio::spawn(load(n))).collect();
    while running() < places {
        tokio::task::yield_now().await;
    }
    let waits = tokio::spawn(load(places));
    turns().await;
    let error = load(places + 1).now_or_never().expect("it is told at once").expect_err("one waits already");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.message(), "1 modules wait for the compiler already");
    assert!(!waits.is_finished() && running() == places);
    // From here on no compiler waits any more; the one in the queue has its turn too.
    let _open = OpenOptions::new().write(true).open(&pipe).expect("it opens");
    for load in under_way.into_iter().chain([waits]) {
        let error = load.await.expect("no panic").expect_err("this compiler always fails");
        assert!(error.message().contains("crashed its compiler (exit status: 1)"), "{error}");
    }
    assert_eq!(running(), places + 1);
}

#[tokio::test]
async fn what_cannot_be_compiled_is_tried_once_for_all_that_wait() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let (pipe, started) = (directory.path().join("pipe"), directory.path().join("started"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("it runs").success());
    let script = format!("echo >> {}; : < {}; exit 1", started.display(), pipe.display());
    let compile = Compile::OutOfProcess(CompilerProcess::new("/bin/sh", ["-c", &script]));
    let executor = Executor::builder().bounds(small()).compile(compile).build().expect("it starts");
    let load = || {
        let executor = executor.clone();
        async move { executor.load(guest("gcd.wat"), &Grants::none()).await.map(drop) }
    };
    let running = || std::fs::read_to_string(&started).unwrap_or_default().len();
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(load())).collect();
    turns().await;
    while running() < 1 {
        tokio::task::yield_now().await;
    }
    let _open = OpenOptions::new().write(true).open(&pipe).expect("it opens");
    for load in waiting {
        let error = load.await.expect("no panic").expect_err("this compiler always fails");
        assert_eq!(error.kind(), ErrorKind::Exceeded);
        assert!(error.message().contains("crashed its compiler (exit status: 1)"), "{error}");
    }
    assert_eq!(running(), 1);
    // Who comes later has a try of his own.
    load().await.expect_err("this compiler always fails");
    assert_eq!(running(), 2);
}

#[tokio::test]
async fn a_load_that_was_given_up_leaves_its_turn_to_the_next() {
    let executor = Executor::builder().bounds(small()).build().expect("it starts");
    let load = || {
        let executor = executor.clone();
        async move { executor.load(&module_of(20_000, 0), &Grants::none()).await.map(drop) }
    };
    let (first, second) = (tokio::spawn(load()), tokio::spawn(load()));
    turns().await;
    first.abort();
    second.await.expect("no panic").expect("it compiles");
}

#[tokio::test]
async fn a_load_that_failed_is_tried_again() {
    let bounds = Bounds { functions: 10, ..small() };
    let executor = Executor::builder().bounds(bounds).build().expect("it starts");
    for _ in 0..2 {
        executor.load(guest("greet.wasm"), &Grants::none()).await.expect_err("it is over the bound");
    }
    let gcd = executor.load(guest("gcd.wat"), &Grants::none()).await.expect("others load");
    assert_eq!(value(gcd.call("gcd").args(json!([4, 6])).run().await.expect("it runs")), json!(2));
}

#[tokio::test]
async fn waiting_for_the_compiler_is_not_billed() {
    let executor = Executor::builder().bounds(small()).build().expect("it starts");
    let compile = async |name: &str, function: &str, args: Value| {
        let program = executor.load(guest(name), &Grants::none()).await.expect("it loads");
        program.call(function).args(args).run().await.expect("it runs").usage.compile
    };
    // The compiler takes one module at a time, in the order in which they are asked for.
    let (big, small) =
        tokio::join!(compile("big.wasm", "add", json!([1, 2])), compile("gcd.wat", "gcd", json!([4, 6])));
    assert!(!small.is_zero() && small < big / 4, "{small:?} beside {big:?}");
}
