//! How imports are served: by name and version, and never in word only.

use runner_core::{ErrorKind, Executor, Grants, Service};
use serde_json::{Value, json};

use crate::support::{guest, shared, small, value};

/// A component that calls `lookup` of each of these interfaces, and adds up.
fn looking_up(interfaces: &[&str]) -> String {
    let (mut imports, mut lowered, mut with, mut core, mut calls) =
        <(String, String, String, String, String)>::default();
    for (at, interface) in interfaces.iter().enumerate() {
        imports += &format!(
            r#"(import "{interface}" (instance $i{at} (export "lookup" (func (param "n" u32) (result u32)))))"#
        );
        lowered += &format!(r#"(core func $f{at} (canon lower (func $i{at} "lookup")))"#);
        with += &format!(r#"(export "f{at}" (func $f{at}))"#);
        core += &format!(r#"(import "host" "f{at}" (func $f{at} (param i32) (result i32)))"#);
        calls += &format!("(i32.add (call $f{at} (local.get $n)))");
    }
    format!(
        r#"(component {imports} {lowered} (core instance $host {with})
            (core module $m {core} (func (export "run") (param $n i32) (result i32) (i32.const 0) {calls}))
            (core instance $c (instantiate $m (with "host" (instance $host))))
            (func (export "run") (param "n" u32) (result u32) (canon lift (core func $c "run"))))"#
    )
}

/// Lends `lookup`, which doubles, in the interface of this name.
fn lending(interface: &str) -> Executor {
    let lookup = |(n,): (u32,)| async move { Ok((n * 2,)) };
    Executor::builder().bounds(small()).host_fn(interface, "lookup", lookup).build().expect("it starts")
}

#[tokio::test]
async fn a_host_function_serves_the_versions_that_its_name_stands_for() {
    for (lent, imported) in [
        ("acme:prices/api", &["acme:prices/api"][..]),
        ("acme:prices/api", &["acme:prices/api@1.2.3"]),
        ("acme:prices/api", &["acme:prices/api@1.2.3", "acme:prices/api@2.0.0", "acme:prices/api@0.0.1-rc.1"]),
        ("acme:prices/api@1.2.3", &["acme:prices/api@1.2.3"]),
        ("acme:prices/api@1.2.3", &["acme:prices/api@1.0.0", "acme:prices/api@1.9.0"]),
        ("acme:prices/api@0.2.1", &["acme:prices/api@0.2.7"]),
    ] {
        let (executor, grants) = (lending(lent), Grants::none().grant(lent, ()));
        let component = looking_up(imported);
        let program = executor.load(component.as_bytes(), &grants).await.expect(lent);
        let outcome = program.call("run").args(json!([21])).run().await.expect("it runs");
        assert_eq!(outcome.usage.capabilities[0].1.calls, imported.len() as u64);
        assert_eq!(value(outcome), json!(42 * imported.len()));
    }
}

#[tokio::test]
async fn a_host_function_serves_no_other_version_or_interface() {
    for (lent, imported) in [
        ("acme:prices/api@1.2.3", "acme:prices/api"),
        ("acme:prices/api@1.2.3", "acme:prices/api@2.0.0"),
        ("acme:prices/api@0.2.1", "acme:prices/api@0.3.0"),
        ("acme:prices/api@0.0.1", "acme:prices/api@0.0.2"),
        ("acme:prices/api@0.2.0-draft", "acme:prices/api@0.2.0-draft2"),
        ("acme:prices/api@0.2.0-draft", "acme:prices/api@0.2.0"),
        ("acme:prices/api", "acme:prices/apis@1.0.0"),
    ] {
        let (executor, grants) = (lending(lent), Grants::none().grant(lent, ()));
        let component = looking_up(&[imported]);
        let error = executor.load(component.as_bytes(), &grants).await.expect_err(imported);
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains(&format!("import `{imported}` (`lookup`) is not granted")), "{error}");
    }
}

/// How the imports of a module are served, by name.
async fn served(text: &str) -> Vec<(String, &'static str)> {
    let explained = shared().explain(text.as_bytes(), &Grants::none()).await.expect("it is explained");
    explained.imports.into_iter().map(|need| (need.name, need.service.as_str())).collect()
}

#[tokio::test]
async fn every_standard_interface_that_is_said_to_be_served_links() {
    let mut seen = std::collections::BTreeSet::new();
    for name in ["greet.wasm", "command-p2.wasm", "types.wasm", "misbehave.wasm", "http-hello.wasm"] {
        let explained = shared().explain(guest(name), &Grants::none()).await.expect("it is explained");
        for need in explained.imports {
            assert!(
                matches!(need.service, Service::Provided | Service::Closed { .. }),
                "{}: {:?}",
                need.name,
                need.service
            );
            seen.insert(need.name.split('@').next().unwrap().to_owned());
        }
        shared().load(guest(name), &Grants::none()).await.expect("it links");
    }
    // All but `wasi:random/insecure`, which no standard library asks for.
    assert_eq!(seen.len(), 28, "{seen:#?}");
    let insecure = r#"(component (import "wasi:random/insecure@0.2.0" (instance
        (export "get-insecure-random-u64" (func (result u64))))))"#;
    assert_eq!(served(insecure).await, [("wasi:random/insecure@0.2.0".to_owned(), "provided")]);
    shared().load(insecure.as_bytes(), &Grants::none()).await.expect("it links");
}

#[tokio::test]
async fn what_only_looks_standard_is_missing() {
    for interface in [
        "wasi:cli/nonsense@0.2.0",
        "wasi:clocks/timezone@0.2.0",
        "wasi:http/types-of-mine@0.2.0",
        "wasi:io/poll@0.2.0-rc-2023-11-10",
        "wasi:io/poll@0.20.0",
        "wasi:io/poll@1.0.0",
        "wasi:io/poll",
    ] {
        let component = format!(r#"(component (import "{interface}" (instance (export "now" (func)))))"#);
        assert_eq!(served(&component).await, [(interface.to_owned(), "missing")]);
        let error = shared().load(component.as_bytes(), &Grants::none()).await.expect_err(interface);
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    }
    // A core module has no interfaces, whatever its modules are called.
    let core = r#"(module (import "wasi:io/poll@0.2.0" "poll" (func)) (import "wasi_snapshot_preview1" "sched_yield" (func (result i32))))"#;
    let expected = [("wasi:io/poll@0.2.0", "missing"), ("wasi_snapshot_preview1", "provided")];
    assert_eq!(served(core).await, expected.map(|(name, service)| (name.to_owned(), service)));
}

#[tokio::test]
async fn an_interface_that_only_looks_like_a_handler_is_one_of_functions() {
    let component = |version: &str| {
        format!(
            r#"(component
                (core module $m (func (export "run")))
                (core instance $i (instantiate $m))
                (func $run (canon lift (core func $i "run")))
                (instance $handler (export "handle" (func $run)))
                (export "wasi:http/incoming-handler@{version}" (instance $handler)))"#
        )
    };
    for version in ["0.20.0", "0.2.0"] {
        let program = shared().load(component(version).as_bytes(), &Grants::none()).await.expect("it loads");
        let name = format!("wasi:http/incoming-handler@{version}#handle");
        assert_eq!(program.exports()[0].name, name);
        assert_eq!(value(program.call(&name).run().await.expect("it runs")), Value::Null);
        let request = http::Request::new(http_body_util::Empty::<bytes::Bytes>::new());
        let error = program.http(request).send().await.err().expect("it handles no requests");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}

#[tokio::test]
async fn a_command_whose_run_has_other_types_is_a_function() {
    let component = r#"(component
        (core module $m (func (export "run") (result i32) i32.const 7))
        (core instance $i (instantiate $m))
        (func $run (result u32) (canon lift (core func $i "run")))
        (instance $command (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $command)))"#;
    let program = shared().load(component.as_bytes(), &Grants::none()).await.expect("it loads");
    let outcome = program.call("wasi:cli/run@0.2.0#run").run().await.expect("it runs");
    assert_eq!(value(outcome), json!(7));
    let error = program.command().run().await.expect_err("there is no command");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}
