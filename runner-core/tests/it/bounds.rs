//! What an executor refuses whoever calls: too large a module, too many calls.

use std::time::Duration;

use futures::FutureExt;
use runner_core::{
    Bounds, Call, Compile, CompilerProcess, Ending, ErrorKind, Executor, ExportKind, Grants, Limits, Program,
};
use serde_json::json;

use crate::support::{executor, guest, mover_within, small, turns, value};

fn bounded(bounds: Bounds) -> Executor {
    Executor::builder().bounds(bounds).build().expect("an executor starts")
}

async fn check_refused(bounds: Bounds, module: &[u8], words: &str) {
    check_refused_by(&bounded(bounds), module, words).await;
}

async fn check_refused_by(executor: &Executor, module: &[u8], words: &str) {
    let error = executor.load(module, &Grants::none()).await.expect_err("the module is over a bound");
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
    // With a compiler that is not there, what is refused has not got that far.
    let bounds = Bounds { memory_bytes: 1 << 30, ..small() };
    let compile = Compile::OutOfProcess(CompilerProcess::new("/nonexistent/compiler", ["x"]));
    let executor = Executor::builder().bounds(bounds).compile(compile).build().expect("an executor starts");
    for (memory, found) in [
        ("(memory 40000)", 40_000_u64 << 16),
        ("(memory i64 40000)", 40_000 << 16),
        ("(memory i64 0x1000000000000)", u64::MAX),
    ] {
        let module = format!("(module {memory} (func (export \"f\")))");
        let words = format!("a memory of {found} bytes, the bound is 1073741824");
        check_refused_by(&executor, module.as_bytes(), &words).await;
        let nested = format!("(component (core module {memory}))");
        check_refused_by(&executor, nested.as_bytes(), &words).await;
    }
    let exports: String = (0..100).map(|n| format!("(export \"f{n}\" (func 0))")).collect();
    let exporting = format!("(module (func) {exports})");
    let bounds = Bounds { exports: 99, ..small() };
    check_refused(bounds, exporting.as_bytes(), "the module has at least 100 exports, the bound is 99").await;
    // A component's modules count as well.
    let bounds = Bounds { functions: 10, ..small() };
    check_refused(bounds, guest("types.wasm"), "functions, the bound is 10").await;
}

#[tokio::test]
async fn fifty_thousand_functions_within_the_bounds_compile() {
    let module = module_of(50_000, 0);
    let program = executor().load(&module, &Grants::none()).await.expect("it compiles");
    assert!(program.exports().is_empty());
    // Each of them in a table, as a language with pointers to functions does: that takes room in the instance.
    let every = (0..50_000).map(|at| format!(" {at}")).collect::<String>();
    let functions = "(func)".repeat(50_000);
    let module = format!("(module (table 50000 funcref) (elem (i32.const 0) func{every}) {functions})");
    executor().load(module.as_bytes(), &Grants::none()).await.expect("it loads");
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

/// One place, one in the queue, and a call that waits so many milliseconds in the host.
async fn one_and_one() -> (Executor, impl Fn(u64, u64) -> Call) {
    let (executor, program) = mover_within(Bounds { calls: 1, queue: 1, ..Bounds::default() }).await;
    tokio::time::pause();
    (executor, move |waits, deadline| {
        let limits = Limits { deadline: Duration::from_millis(deadline), ..Limits::default() };
        program.call("move").args(json!([1, 0, 0, waits, 0])).limits(limits)
    })
}

#[tokio::test]
async fn one_call_runs_one_waits_and_the_third_is_refused_at_once() {
    let (_executor, call) = one_and_one().await;
    let first = tokio::spawn(call(1_000, 10_000).run());
    turns().await;
    let second = tokio::spawn(call(1_000, 10_000).run());
    turns().await;
    let third = call(0, 10_000).run().now_or_never().expect("it is told at once");
    let error = third.expect_err("the queue is full");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "all 1 places are taken and 1 calls wait"));
    assert!(!first.is_finished() && !second.is_finished());
    let first = first.await.expect("no panic").expect("it runs");
    assert!(first.ending.is_returned() && !second.is_finished());
    // The second's own time begins when its turn has come.
    let second = second.await.expect("no panic").expect("its turn has come");
    assert!(second.ending.is_returned() && second.usage.wall < Duration::from_millis(1_100), "{}", second.usage);
    assert!(call(0, 10_000).run().await.expect("the place is free again").ending.is_returned());
}

#[tokio::test]
async fn a_call_waits_in_the_queue_no_longer_than_its_own_deadline() {
    let (_executor, call) = one_and_one().await;
    let first = tokio::spawn(call(1_000, 10_000).run());
    turns().await;
    let error = call(0, 900).run().await.expect_err("its turn does not come");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "all 1 places stayed taken for 900ms"));
    assert!(call(0, 900).run().await.expect("a hundred milliseconds are left").ending.is_returned());
    assert!(first.await.expect("no panic").expect("it runs").ending.is_returned());
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_queue() {
    let (_executor, call) = one_and_one().await;
    let first = tokio::spawn(call(1_000, 10_000).run());
    turns().await;
    let gone = tokio::spawn(call(0, 10_000).run());
    turns().await;
    gone.abort();
    assert!(gone.await.expect_err("it is dropped").is_cancelled());
    assert!(call(0, 10_000).run().await.expect("there is room in the queue").ending.is_returned());
    assert!(first.await.expect("no panic").expect("it runs").ending.is_returned());
}

#[tokio::test]
async fn shutdown_turns_away_those_that_wait() {
    let (executor, call) = one_and_one().await;
    let first = tokio::spawn(call(1_000, 10_000).run());
    turns().await;
    let second = tokio::spawn(call(0, 10_000).run());
    turns().await;
    executor.shutdown().await;
    let error = second.await.expect("no panic").expect_err("it is turned away");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "the executor is shutting down"));
    assert!(first.await.expect("no panic").expect("it was under way").ending.is_returned());
}

/// A module that needs exactly so much of a bound, and the words for what it would have to do with less.
async fn check_exact(module: &[u8], needed: u64, bounds: fn(u64) -> Bounds, words: &str) {
    let loaded = bounded(bounds(needed)).load(module, &Grants::none()).await;
    assert!(loaded.is_ok(), "{words}, within {needed}: {}", loaded.expect_err("refused"));
    check_refused(bounds(needed - 1), module, &words.replace("BOUND", &(needed - 1).to_string())).await;
}

#[tokio::test]
async fn each_bound_of_a_module_is_met_at_its_number() {
    let repeated = |n: u64, part: fn(u64) -> String| (0..n).map(part).collect::<String>();
    let module_bytes = |n| Bounds { module_bytes: n as usize, ..small() };
    for name in ["gcd.wat", "component_add.wat", "kernels.wasm", "types.wasm"] {
        let len = guest(name).len() as u64;
        check_exact(guest(name), len, module_bytes, &format!("the module has {len} bytes, the bound is BOUND")).await;
    }
    let functions = |n| Bounds { functions: n as u32, ..small() };
    check_exact(&module_of(10, 0), 10, functions, "at least 10 functions, the bound is BOUND").await;
    // The core modules of a component count together, nested as deep as they like.
    let two = "(core module (func) (func))";
    let nested = format!("(component {two} (component {two} (component {two})))");
    check_exact(nested.as_bytes(), 6, functions, "at least 6 functions, the bound is BOUND").await;
    // The body of a thousand instructions has its end, and says that it has no locals.
    let body_bytes = |n| Bounds { body_bytes: n as usize, ..small() };
    check_exact(&module_of(3, 1_000), 1_002, body_bytes, "a function of 1002 bytes, the bound is BOUND").await;
    let exports = |n| Bounds { exports: n as u32, ..small() };
    let module = format!("(module (func) {})", repeated(10, |n| format!("(export \"f{n}\" (func 0))")));
    check_exact(module.as_bytes(), 10, exports, "the module has at least 10 exports, the bound is BOUND").await;
    let import = "(import \"wasi_snapshot_preview1\" \"sched_yield\" (func (result i32)))";
    let module = format!("(module {})", import.repeat(10));
    check_exact(module.as_bytes(), 10, exports, "the module has at least 10 imports, the bound is BOUND").await;
    let table_elements = |n| Bounds { table_elements: n as usize, ..small() };
    let table = "(module (table 1000 funcref) (func (export \"f\")))";
    check_exact(table.as_bytes(), 1_000, table_elements, "a table of 1000 elements, the bound is BOUND").await;
    let pages = |n| Bounds { memory_bytes: n * (64 << 10), ..small() };
    for memory in ["(memory 16)", "(memory i64 16)"] {
        let memory = format!("(module {memory} (func (export \"f\")))");
        check_exact(memory.as_bytes(), 16, pages, "a memory of 1048576 bytes, the bound is").await;
    }
}

#[tokio::test]
async fn the_exports_of_a_component_are_the_sum_of_its_sections() {
    let exports = |n| Bounds { exports: n as u32, ..small() };
    let five = |from: usize| (from..from + 5).map(|n| format!("(export \"f{n}\" (func $f))")).collect::<String>();
    // Whatever stands between two exports begins another section.
    let component = format!(
        "(component
            (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i \"f\")))
            {} (core module) {} (component) {} (type (func)) {})",
        five(0),
        five(5),
        five(10),
        five(15)
    );
    check_exact(component.as_bytes(), 20, exports, "exports, the bound is BOUND").await;
    let five =
        |from: usize| (from..from + 5).map(|n| format!("(import \"f{n}\" (type (sub resource)))")).collect::<String>();
    let component = format!("(component {} (core module) {} (component) {})", five(0), five(5), five(10));
    let error = bounded(exports(15)).load(component.as_bytes(), &Grants::none()).await.expect_err("nobody serves them");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    check_refused(exports(14), component.as_bytes(), "imports, the bound is 14").await;
}

#[tokio::test]
async fn memory_and_tables_grow_to_the_bound_whatever_the_limits_say() {
    for pool in [true, false] {
        let bounds = Bounds { memory_bytes: 33 << 16, table_elements: 5_001, ..small() };
        let builder = Executor::builder().bounds(bounds);
        let executor = if pool { builder } else { builder.without_pool() }.build().expect("it starts");
        for (name, expected) in [("grow.wat", 32), ("table_bomb.wat", 5_000)] {
            let program = executor.load(guest(name), &Grants::none()).await.expect("it loads");
            let outcome = program.call("grow_politely").run().await.expect("it runs");
            assert_eq!(value(outcome), json!(expected), "{name}, pool: {pool}");
        }
    }
}

#[tokio::test]
async fn code_that_memory_has_no_room_for_is_compiled_again() {
    for (code_bytes, kept) in [(1, false), (Bounds::default().code_bytes, true)] {
        let executor = bounded(Bounds { code_bytes, ..small() });
        let load = async || executor.load(guest("gcd.wat"), &Grants::none()).await.expect("it loads");
        let run = async |program: &Program| {
            let outcome = program.call("gcd").args(json!([48, 36])).run().await.expect("it runs");
            assert_eq!(outcome.ending, Ending::Returned(json!(12)));
            outcome.usage.compile
        };
        let program = load().await;
        assert!(!run(&program).await.is_zero(), "it was compiled");
        assert_eq!(run(&load().await).await.is_zero(), kept, "{code_bytes}");
        // A program that somebody holds keeps its code.
        assert!(run(&program).await.is_zero());
        let by_id = executor.load_compiled(&program.id(), &Grants::none()).await;
        assert_eq!(by_id.map_err(|error| error.kind()).err(), (!kept).then_some(ErrorKind::NotFound));
    }
}

#[tokio::test]
async fn code_is_dropped_for_newer_code_not_all_at_once() {
    let executor = bounded(Bounds { code_bytes: 512 << 10, ..small() });
    let mut ids = Vec::new();
    for n in 0..100 {
        let module = format!("(module (func (export \"f\") (result i32) (i32.const {n})))");
        ids.push(executor.load(module.as_bytes(), &Grants::none()).await.expect("it loads").id());
    }
    let mut kept = 0;
    for id in &ids {
        kept += usize::from(executor.load_compiled(id, &Grants::none()).await.is_ok());
    }
    // Each takes a page of code at least, and some more for what the engine knows of it.
    assert!((10..100).contains(&kept), "{kept}");
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

#[tokio::test]
async fn what_is_nested_is_bounded_where_it_is_exported() {
    let exports = (0..100).map(|n| format!("(export \"f{n}\" (func $f))")).collect::<String>();
    let function = "(core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i \"f\")))";
    let mut wrong = Vec::new();
    let types = (0..100).map(|n| format!("(export \"f{n}\" (func))")).collect::<String>();
    for component in [
        format!("(component {function} (instance $x {exports}) (export \"x\" (instance $x)))"),
        format!(
            "(component (component $c {function} {exports}) (instance $x (instantiate $c)) (export \"x\" (instance $x)))"
        ),
        format!("(component (import \"x\" (instance {types})))"),
    ] {
        let bounds = Bounds { exports: 99, ..small() };
        let explained = bounded(bounds).explain(component.as_bytes(), &Grants::none()).await;
        let Ok(explained) = explained else { continue };
        let described = explained.exports.len() + explained.imports.iter().map(|need| need.items.len()).sum::<usize>();
        wrong.push((component.split_at(60).0.to_owned(), described));
    }
    assert!(wrong.is_empty(), "described beyond the bound of 99: {wrong:?}");
}

/// A module that exports one function of so many parameters so many times.
fn wide(exports: u32, parameters: usize) -> Vec<u8> {
    use wasm_encoder::{
        CodeSection, ExportKind, ExportSection, Function, FunctionSection, Instruction, Module, TypeSection, ValType,
    };
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function(vec![ValType::I32; parameters], []);
    functions.function(0);
    let mut function = Function::new([]);
    function.instruction(&Instruction::End);
    code.function(&function);
    let mut exported = ExportSection::new();
    for n in 0..exports {
        exported.export(&format!("f{n}"), ExportKind::Func, 0);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exported).section(&code);
    module.finish()
}

#[tokio::test]
async fn parameters_of_a_core_module_are_described_up_to_a_bound() {
    let program = executor().load(&wide(990, 1_000), &Grants::none()).await.expect("it loads");
    let described = |kind: &ExportKind| match kind {
        ExportKind::Function(signature) => signature.parameters.len(),
        _ => 0,
    };
    assert_eq!(program.exports().iter().map(|export| described(&export.kind)).sum::<usize>(), 100_000);
    let shown = program.exports().last().expect("it exports").to_string();
    assert_eq!(shown, "f989: cannot be called, the module's types are too many to describe");
    let error = program.call("f989").run().await.expect_err("its parameters are not known");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn what_is_described_takes_room_beside_the_code() {
    // All have a page of machine code; many parameters take some megabytes, and so do many exports.
    for (exports, parameters, kept) in [(1, 1_000, true), (90, 1_000, false), (20_000, 0, false)] {
        let executor = bounded(Bounds { code_bytes: 4 << 20, ..small() });
        let id = executor.load(&wide(exports, parameters), &Grants::none()).await.expect("it loads").id();
        assert_eq!(executor.load_compiled(&id, &Grants::none()).await.is_ok(), kept, "{exports} exports");
    }
}

/// A name of so many bytes that may stand in a component.
fn long(first: char, bytes: usize) -> String {
    format!("{first}{}", "a".repeat(bytes - 1))
}

#[tokio::test]
async fn names_of_cases_are_copied_up_to_a_bound() {
    // One enum of a megabyte, shared by the engine; each parameter would be a copy of it.
    let cases: String = ('a'..='j').map(|first| format!(" \"{}\"", long(first, 90_000))).collect();
    let parameters: String = (0..30).map(|n| format!("(param \"p{n}\" $t)")).collect();
    let text = format!(
        "(component (type $e (enum{cases})) (export $t \"t\" (type $e))
            (core module $m (memory (export \"memory\") 1) (func (export \"f\") (param i32)) (func (export \"g\"))
                (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func (export \"f\") {parameters}
                (canon lift (core func $i \"f\") (memory (core memory $i \"memory\")) (realloc (core func $i \"realloc\"))))
            (func (export \"g\") (canon lift (core func $i \"g\"))))"
    );
    let program = executor().load(text.as_bytes(), &Grants::none()).await.expect("it loads");
    let shown: Vec<_> = program.exports().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["f: cannot be called, the module's types are too many to describe", "g: func()"]);
}

#[tokio::test]
async fn names_of_what_is_imported_and_exported_are_copied_up_to_a_bound() {
    let (name, words) = (long('a', 90_000), "the names of the module's exports and imports have at least 16");
    let times = |part: fn(u32) -> String| (0..200).map(part).collect::<String>();
    let imports = times(|n| format!("(import \"i{n}\" (instance (type $t)))"));
    let importing = format!("(component (type $t (instance (export \"{name}\" (func)))) {imports})");
    let exports = times(|n| format!("(export \"i{n}\" (instance $x))"));
    let exporting = format!(
        "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i \"f\"))) (instance $x (export \"{name}\" (func $f))) {exports})"
    );
    for component in [importing, exporting] {
        check_refused(small(), component.as_bytes(), words).await;
    }
}

#[tokio::test]
async fn a_message_holds_the_start_of_a_long_name() {
    const MESSAGE_BYTES_MAX: usize = 6_000;
    let short = |error: &runner_core::Error, start: &str| {
        let message = error.to_string();
        assert!(message.len() < MESSAGE_BYTES_MAX, "{} bytes", message.len());
        assert!(message.contains(start) && message.contains("a..`"), "{message}");
    };
    let exports: String = (0..30).map(|n| format!("(export \"f{n}{}\" (func 0))", long('a', 90_000))).collect();
    let module = format!("(module (func (param i32)) {exports})");
    let program = executor().load(module.as_bytes(), &Grants::none()).await.expect("it loads");
    let error = program.call("nothing").run().await.expect_err("it is not there");
    short(&error, "no export `nothing`: it exports `f0aaa");
    assert!(error.to_string().ends_with(" and 10 more"), "{error}");
    let name = long('a', 90_000);
    let error = program.call(&name).run().await.expect_err("it is not there");
    short(&error, "no export `aaa");
    let module = format!("(module (import \"{name}\" \"{name}\" (func)))");
    let error = executor().load(module.as_bytes(), &Grants::none()).await.expect_err("nobody serves it");
    short(&error, "import `aaa");
}
