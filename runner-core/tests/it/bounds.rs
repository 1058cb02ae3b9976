//! What an executor refuses whoever calls: too large a module, too many calls.

use runner_core::{Bounds, ErrorKind, Executor, Grants, Limits};
use serde_json::json;

use crate::support::{executor, guest, short, small, value};

fn bounded(bounds: Bounds) -> Executor {
    Executor::builder().bounds(bounds).build().expect("an executor starts")
}

async fn check_refused(bounds: Bounds, module: &[u8], words: &str) {
    let error = bounded(bounds).load(module, &Grants::none()).await.expect_err("the module is over a bound");
    assert_eq!(error.kind(), ErrorKind::Exceeded, "{error}");
    assert!(error.to_string().contains(words), "`{error}` does not say `{words}`");
}

/// A module with so many functions, each with a body of so many `nop`s.
pub(crate) fn module_of(functions: u32, nops: usize) -> Vec<u8> {
    use wasm_encoder::{CodeSection, Function, FunctionSection, Instruction, Module, TypeSection};
    let (mut types, mut declared, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    for _ in 0..functions {
        declared.function(0);
        let mut function = Function::new([]);
        for _ in 0..nops {
            function.instruction(&Instruction::Nop);
        }
        function.instruction(&Instruction::End);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&code);
    module.finish()
}

#[tokio::test]
async fn a_module_over_its_bound_is_refused_before_it_compiles() {
    let bounds = Bounds { module_bytes: 1_000, ..small() };
    check_refused(bounds, guest("greet.wasm"), "bytes, the bound is 1000").await;
    let bounds = Bounds { functions: 40_000, ..small() };
    check_refused(bounds, &module_of(50_000, 0), "the module has at least 50000 functions, the bound is 40000").await;
    let bounds = Bounds { body_bytes: 100_000, ..small() };
    check_refused(bounds, &module_of(1, 200_000), "the module has a function of 200").await;
    check_refused(small(), guest("big_table.wat"), "a table of 10000000 elements, the bound is 1000000").await;
    let huge = b"(module (memory 40000) (func (export \"f\")))";
    let bounds = Bounds { memory_bytes: 1 << 30, ..small() };
    check_refused(bounds, huge, "larger than an instance of this executor's pool may be").await;
    let exports: String = (0..100).map(|n| format!("(export \"f{n}\" (func 0))")).collect();
    let exporting = format!("(module (func) {exports})");
    let bounds = Bounds { exports: 99, ..small() };
    check_refused(bounds, exporting.as_bytes(), "the module has 100 exports, the bound is 99").await;
    // A component's modules count as well.
    let bounds = Bounds { functions: 10, ..small() };
    check_refused(bounds, guest("types.wasm"), "functions, the bound is 10").await;
}

#[tokio::test]
async fn fifty_thousand_functions_within_the_bounds_compile() {
    let module = module_of(50_000, 0);
    let program = executor().load(&module, &Grants::none()).await.expect("it compiles");
    assert!(program.exports().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_at_once_pass_through_eight_places() {
    let executor = bounded(Bounds { calls: 8, queue: 1_000, ..Bounds::default() });
    let gcd = executor.load(guest("gcd.wat"), &Grants::none()).await.expect("it loads");
    let calls: Vec<_> = (0..1_000).map(|_| tokio::spawn(gcd.call("gcd").args(json!([48, 36])).run())).collect();
    for call in calls {
        assert_eq!(value(call.await.expect("no panic").expect("it runs")), json!(12));
    }
}

#[tokio::test]
async fn a_call_beyond_the_queue_is_refused_and_those_in_it_are_served() {
    let executor = bounded(Bounds { calls: 1, queue: 2, ..Bounds::default() });
    let spin = executor.load(guest("spin.wat"), &Grants::none()).await.expect("it loads");
    // One runs, two wait, the fourth is turned away: all are polled in this order on one thread.
    let patient = || Limits { deadline: short().deadline * 10, ..Limits::default() };
    let call = |limits| spin.call("spin").limits(limits).run();
    let (first, second, third, fourth) = tokio::join!(call(short()), call(patient()), call(patient()), call(short()));
    assert!(first.is_ok());
    let error = fourth.expect_err("the queue is full");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("all 1 places are taken and 2 calls wait"), "{error}");
    // Those in the queue get their turn, or are told that it did not come within their own deadline.
    for waited in [second, third] {
        assert!(waited.is_ok() || waited.is_err_and(|error| error.to_string().contains("stayed taken")));
    }
}

#[tokio::test]
async fn a_builder_refuses_what_could_never_run() {
    let error = Executor::builder().bounds(Bounds { calls: 0, ..small() }).build().expect_err("no places");
    assert!(error.to_string().contains("bound `calls` is 0"), "{error}");
}

#[tokio::test]
async fn without_a_pool_the_same_calls_run() {
    let executor = Executor::builder().bounds(small()).without_pool().build().expect("it starts");
    let gcd = executor.load(guest("gcd.wat"), &Grants::none()).await.expect("it loads");
    assert_eq!(value(gcd.call("gcd").args(json!([48, 36])).run().await.expect("it runs")), json!(12));
}

#[tokio::test]
async fn a_pool_that_does_not_fit_falls_back() {
    // Two million slots of 64 GiB are more than any address space.
    let bounds = Bounds { calls: 2_000_000, memory_bytes: 64 << 30, ..Bounds::default() };
    let gcd = bounded(bounds).load(guest("gcd.wat"), &Grants::none()).await.expect("it loads on demand");
    assert_eq!(value(gcd.call("gcd").args(json!([48, 36])).run().await.expect("it runs")), json!(12));
}

#[tokio::test]
async fn types_that_grow_with_every_use_are_not_written_out() {
    // Each record holds the one before it twice: a few lines describe eight thousand fields, eight functions as many each.
    let mut text = "(component (type $t0 (record (field \"a\" u8)))".to_owned();
    for n in 1..=13 {
        text += &format!(
            "(type $r{n} (record (field \"a\" $t{before}) (field \"b\" $t{before}))) (export $t{n} \"t{n}\" (type $r{n}))",
            before = n - 1
        );
    }
    text = text.replacen(
        "(type $t0 (record (field \"a\" u8)))",
        "(type $r0 (record (field \"a\" u8))) (export $t0 \"t0\" (type $r0))",
        1,
    );
    text += "(core module $m (memory (export \"memory\") 1) (func (export \"f\") (param i32)) (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $i (instantiate $m))";
    for n in 0..8 {
        text += &format!(
            "(func (export \"f{n}\") (param \"x\" $t13) (canon lift (core func $i \"f\") (memory (core memory $i \"memory\")) (realloc (core func $i \"realloc\"))))"
        );
    }
    text += ")";
    let program = executor().load(text.as_bytes(), &Grants::none()).await.expect("it loads");
    let shown = program.exports().last().expect("eight functions").to_string();
    assert_eq!(shown, "f7: cannot be called, the module's types are too many to describe");
}
