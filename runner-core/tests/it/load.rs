//! Any module is welcome; anything else is an error that says what was found.

use futures::FutureExt;
use runner_core::{ErrorKind, ExportKind, Grants, Kind, Service};
use serde_json::json;

use crate::support::{guest, program, shared};

async fn check_refused(bytes: &[u8], kind: ErrorKind, words: &str) {
    let error = shared().load(bytes, &Grants::none()).await.expect_err("the bytes are refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "`{error}` does not say `{words}`");
}

#[tokio::test]
async fn each_kind_of_module_is_told() {
    for (name, kind, wrapped) in [
        ("gcd.wat", Kind::Core, false),
        ("kernels.wasm", Kind::Core, false),
        ("component_add.wat", Kind::Component, false),
        ("types.wasm", Kind::Component, false),
        ("command-p2.wasm", Kind::Component, false),
        ("greet.wasm", Kind::Component, true),
        ("greet-p1.wasm", Kind::Component, true),
        ("command-p1.wasm", Kind::WasiCommand, false),
        ("reactor.wasm", Kind::WasiReactor, false),
    ] {
        let program = program(name).await;
        assert_eq!((program.kind(), program.is_wrapped()), (kind, wrapped), "{name}");
    }
}

#[tokio::test]
async fn what_is_no_module_is_named() {
    let refused = |bytes: &'static [u8], words| check_refused(bytes, ErrorKind::Invalid, words);
    refused(b"", "found nothing").await;
    refused(b"   \n", "white space only").await;
    refused(b"<!DOCTYPE html>", "found HTML or XML").await;
    refused(b"{\"a\": 1}", "found JSON").await;
    refused(b"\x7fELF\x02\x01\x01", "compiled code is never taken").await;
    refused(b"\x1f\x8b\x08", "gzip data").await;
    refused(b"PK\x03\x04", "a zip archive").await;
    refused(b"BC\xc0\xde", "LLVM bitcode").await;
    refused(b"\xff\xfe\x00\x01", "found bytes [ff, fe, 00, 01]").await;
    refused(b"hello world", "text that starts with `hello world`").await;
    refused(b"\0asm\x02\0\0\0", "version [02, 00, 00, 00] is unknown").await;
    refused(b"(module (func (export \"f\") (result i32)", "WebAssembly text").await;
    refused(b"(module (func (result i32) (i64.const 1)))", "not valid: ").await;
}

#[tokio::test]
async fn a_truncated_module_is_told_from_a_broken_one() {
    check_refused(b"\0as", ErrorKind::Invalid, "truncated").await;
    check_refused(b"\0asm\x01\0", ErrorKind::Invalid, "truncated").await;
    let whole = guest("greet.wasm");
    for cut in [9, 100, whole.len() / 2, whole.len() - 1] {
        check_refused(&whole[..cut], ErrorKind::Invalid, "truncated").await;
    }
    let mut broken = guest("kernels.wasm").to_vec();
    broken[8] = 0x7e;
    check_refused(&broken, ErrorKind::Invalid, "malformed").await;
}

#[tokio::test]
async fn an_unsupported_proposal_is_named() {
    check_refused(guest("shared_memory.wat"), ErrorKind::Invalid, "threads").await;
    let own = b"(module (memory 1 1 shared) (func (export \"f\")))";
    check_refused(own, ErrorKind::Invalid, "a WebAssembly proposal that is not supported: ").await;
    let p3 = b"(component (import \"wasi:clocks/types@0.3.0\" (instance)))";
    check_refused(p3, ErrorKind::Invalid, "WASI 0.3 is not supported").await;
    let p0 = b"(module (import \"wasi_unstable\" \"fd_write\" (func)))";
    check_refused(p0, ErrorKind::Invalid, "wasi_unstable").await;
}

#[tokio::test]
async fn modern_core_modules_run() {
    // Exceptions, garbage collection, tail calls, 64-bit memory, bulk memory: languages beyond Rust and C emit them.
    for text in [
        "(module (tag $t (param i32)) (func (export \"f\") (result i32)
            (block $h (result i32) (try_table (result i32) (catch $t $h) (throw $t (i32.const 7))))))",
        "(module (type $p (struct (field i32))) (func (export \"f\") (result i32)
            (struct.get $p 0 (struct.new $p (i32.const 7)))))",
        "(module (func $g (param i32) (result i32) local.get 0) (func (export \"f\") (result i32)
            (return_call $g (i32.const 7))))",
        "(module (memory i64 1) (func (export \"f\") (result i32)
            (i32.store (i64.const 8) (i32.const 7)) (i32.load (i64.const 8))))",
    ] {
        let program = shared().load(text.as_bytes(), &Grants::none()).await.expect(text);
        let outcome = program.call("f").run().await.expect("it runs");
        assert_eq!(outcome.returned(), Some(json!(7)), "{text}");
    }
}

#[tokio::test]
async fn a_missing_import_is_named_with_what_would_help() {
    let words = "import `env` (`missing`) is not granted: nothing that this host lends serves it";
    check_refused(guest("needs_import.wat"), ErrorKind::Denied, words).await;
    check_refused(guest("kv-user.wasm"), ErrorKind::Denied, "import `stranger:kv/store@0.1.0` (`").await;
}

#[tokio::test]
async fn a_grant_for_nothing_is_an_error() {
    let grants = Grants::none().grant("files", json!({}));
    let error = shared().load(guest("gcd.wat"), &grants).await.expect_err("no such capability");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("grant for `files`: no such capability"), "{error}");
}

#[tokio::test]
async fn explain_says_how_each_import_is_served() {
    let explained = shared().explain(guest("http-hello.wasm"), &Grants::none()).await.expect("it is explained");
    let service = |name: &str| {
        let need = explained.imports.iter().find(|need| need.name.starts_with(name)).expect("it is imported");
        need.service.clone()
    };
    assert_eq!(service("wasi:http/types"), Service::Provided);
    assert_eq!(service("wasi:http/outgoing-handler"), Service::Closed { capability: None, advice: None });
    assert_eq!(service("wasi:clocks/monotonic-clock"), Service::Provided);
    assert!(explained.exports.iter().any(|export| export.kind == ExportKind::Http));
    // What cannot be loaded can be explained.
    let explained = shared().explain(guest("kv-user.wasm"), &Grants::none()).await.expect("it is explained");
    assert!(matches!(explained.imports[0].service, Service::Missing { capability: None, .. }));
    let shown = explained.to_string();
    assert!(shown.contains("export count: func(key: string) -> s64"), "{shown}");
    assert!(shown.contains("import stranger:kv/store@0.1.0: missing"), "{shown}");
}

#[tokio::test]
async fn an_interface_of_types_alone_needs_nothing() {
    let imports = program("types.wasm").await.imports().to_vec();
    assert!(imports.iter().all(|import| import.name.starts_with("wasi:")), "{imports:?}");
}

#[tokio::test]
async fn parameters_carry_the_names_that_the_module_gives() {
    let shown: Vec<_> = program("sum_of_2_ints.wat").await.exports().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["sum_of_2_ints: func(a: s32, b: s32) -> s32"]);
    let nameless = b"(module (func (export \"f\") (param i64 f32)))";
    let nameless = shared().load(nameless, &Grants::none()).await.expect("it loads");
    assert_eq!(nameless.exports()[0].to_string(), "f: func(p0: s64, p1: f32)");
}

/// A module whose one function of two parameters is exported so many times, and whose name section has these local maps.
fn named(exports: usize, maps: &[[&str; 2]]) -> Vec<u8> {
    use wasm_encoder::{
        CodeSection, ExportKind, ExportSection, Function, FunctionSection, IndirectNameMap, Instruction, Module,
        NameMap, NameSection, TypeSection, ValType,
    };
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([ValType::I32, ValType::I32], []);
    functions.function(0);
    let mut function = Function::new([]);
    function.instruction(&Instruction::End);
    code.function(&function);
    let mut exported = ExportSection::new();
    for n in 0..exports {
        exported.export(&format!("f{n}"), ExportKind::Func, 0);
    }
    let mut locals = IndirectNameMap::new();
    for names in maps {
        let mut map = NameMap::new();
        for (at, name) in (0..).zip(names).filter(|(_, name)| !name.is_empty()) {
            map.append(at, name);
        }
        locals.append(0, &map);
    }
    let mut names = NameSection::new();
    names.locals(&locals);
    let mut module = Module::new();
    // The section twice: the format has nothing against it.
    module.section(&types).section(&functions).section(&exported).section(&code).section(&names).section(&names);
    module.finish()
}

#[tokio::test]
async fn a_function_is_named_once() {
    let module = named(2, &[["a", "b"], ["c", "d"]]);
    let program = shared().load(&module, &Grants::none()).await.expect("it loads");
    let shown: Vec<_> = program.exports().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["f0: func(a: s32, b: s32)", "f1: func(a: s32, b: s32)"]);
}

#[tokio::test]
async fn a_function_that_is_named_and_exported_thousands_of_times_costs_no_more_than_its_bytes() {
    // Each mention times each export would be a billion names, on this thread: the module is small.
    let mut maps = vec![["a", "b"]];
    maps.resize(25_000, ["", ""]);
    let module = named(10_000, &maps);
    assert!(module.len() < 256 << 10, "{}", module.len());
    let program = shared().load(&module, &Grants::none()).await.expect("it loads");
    assert_eq!(program.exports()[9_999].to_string(), "f9999: func(a: s32, b: s32)");
}

#[tokio::test]
async fn a_large_module_is_not_looked_at_in_one_go() {
    // Its loading gives way to others before it is known for white space.
    let nothing = vec![b' '; 1 << 20];
    assert!(shared().load(&nothing, &Grants::none()).into_future().now_or_never().is_none());
    check_refused(&nothing, ErrorKind::Invalid, "white space only").await;
}

#[tokio::test]
async fn a_function_carries_json_schemas() {
    let program = program("types.wasm").await;
    let export = program.exports().iter().find(|export| export.name == "two-args").expect("it is exported");
    let ExportKind::Function(signature) = &export.kind else { panic!("a function") };
    let schema = jsonschema::validator_for(&signature.arguments_schema()).expect("a schema");
    assert!(schema.is_valid(&json!(["a", [1, 2]])));
    assert!(!schema.is_valid(&json!(["a", [-1]])));
    assert!(!schema.is_valid(&json!(["a"])));
    assert_eq!(signature.result_schema(), Some(json!({ "type": "string" })));
}
