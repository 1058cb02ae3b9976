//! Tasks of the guest SDK: listed with their schemas, called with JSON, the same for every target.

use std::time::Duration;

use runner_core::{Ending, ErrorKind, Executor, ExportKind, Grants, LimitKind, Limits};
use serde_json::{Value, json};

use crate::support::{assert_exhausted, executor, program, shared, small, value};

const TARGETS: [&str; 3] = ["tasks.wasm", "tasks-p1.wasm", "tasks-p2.wasm"];

async fn ending(guest: &str, task: &str, args: Value) -> Ending {
    program(guest).await.call(task).args(args).run().await.expect("the host does its part").ending
}

fn order() -> Value {
    json!({ "customer": "Ada", "lines": [
        { "article": "lamp", "count": 2, "price": 1_995 },
        { "article": "bulb", "count": 10, "price": 150 },
    ] })
}

#[tokio::test]
async fn a_task_takes_and_gives_json_whatever_it_was_built_for() {
    let receipt = json!({ "customer": "Ada", "total": 5_490, "articles": ["lamp", "bulb"] });
    for guest in TARGETS {
        assert_eq!(ending(guest, "total", json!([order()])).await, Ending::Returned(receipt.clone()), "{guest}");
        assert_eq!(ending(guest, "total", json!({ "order": order() })).await, Ending::Returned(receipt.clone()));
        assert_eq!(ending(guest, "repeat", json!(["ab", 3])).await, Ending::Returned(json!("ababab")));
        assert_eq!(ending(guest, "repeat", json!({ "text": "ab" })).await, Ending::Returned(json!("abab")));
        assert_eq!(ending(guest, "nothing", Value::Null).await, Ending::Returned(Value::Null));
        assert_eq!(
            ending(guest, "plain", json!([{ "anything": "\"\u{1F600}" }])).await,
            Ending::Returned(json!({ "anything": "\"\u{1F600}" }))
        );
    }
}

#[tokio::test]
async fn tasks_stand_among_the_exports_with_their_schemas() {
    for guest in TARGETS {
        let program = program(guest).await;
        let names: Vec<_> = program.exports().iter().map(|export| export.name.as_str()).collect();
        assert_eq!(names, ["asked", "busy", "nothing", "number", "plain", "repeat", "total"], "{guest}");
        let shown: Vec<_> = program.exports().iter().map(ToString::to_string).collect();
        assert!(shown.contains(&"total: func(order: Order) -> Receipt".to_owned()), "{shown:?}");
        assert!(shown.contains(&"repeat: func(text: string, times: option<uint32>) -> string".to_owned()), "{shown:?}");
        let ExportKind::Function(total) = &program.exports()[6].kind else { panic!("a function") };
        assert_eq!(total.about, "Adds up an order.\n\nAn order of nothing is none.");
        let schema = total.arguments_schema();
        let schema = jsonschema::validator_for(&schema).expect("it is a schema");
        assert!(schema.is_valid(&json!([order()])));
        assert!(!schema.is_valid(&json!([{ "customer": "Ada" }])), "an order has lines");
        let result = jsonschema::validator_for(&total.result_schema().expect("it has one")).expect("it is a schema");
        assert!(result.is_valid(&json!({ "customer": "", "total": 1, "articles": [] })));
        assert!(!result.is_valid(&json!({ "customer": "", "total": -1, "articles": [] })));
        let ExportKind::Function(plain) = &program.exports()[4].kind else { panic!("a function") };
        assert_eq!(plain.result_schema(), Some(json!(true)), "nothing is known of it");
        let ExportKind::Function(nothing) = &program.exports()[2].kind else { panic!("a function") };
        assert_eq!(nothing.result_schema(), None);
    }
}

const CORNERS: [&str; 3] = ["corners.wasm", "corners-p1.wasm", "corners-p2.wasm"];

#[tokio::test]
async fn a_task_may_have_any_name_and_call_its_result_as_it_likes() {
    let no = |code: &str, message: &str, retryable| (code.to_owned(), message.to_owned(), retryable);
    for guest in CORNERS {
        for (task, args, answer) in [
            ("run", json!([1]), json!(2)),
            ("describe", json!({ "describe": "a", "run": "b" }), json!("ab")),
            ("arguments", json!([["a", "b"]]), json!(2)),
            ("aliased", json!(["7"]), json!(7)),
            ("opened", json!([8]), Value::Null),
            ("graded", json!([51]), json!({ "Good": 51 })),
            ("graded", json!([50]), json!("Bad")),
        ] {
            assert_eq!(ending(guest, task, args).await, Ending::Returned(answer), "{guest} {task}");
        }
        for (task, args, said) in [
            ("aliased", json!(["x"]), no("error", "invalid digit found in string", false)),
            ("opened", json!([7]), no("closed", "at 7 nobody is there", true)),
        ] {
            let Ending::Failed(failure) = ending(guest, task, args).await else { panic!("{guest} {task} fails") };
            assert_eq!((failure.code.clone(), failure.message.clone(), failure.retryable), said, "{guest} {task}");
        }
    }
}

/// The schemas of a task: of its arguments as a list, and of its result.
async fn schemas(guest: &str, task: &str) -> (jsonschema::Validator, jsonschema::Validator) {
    let program = program(guest).await;
    let export = program.exports().iter().find(|export| export.name == task).expect("it has the task");
    let ExportKind::Function(function) = &export.kind else { panic!("a function") };
    let validator = |schema: &Value| jsonschema::validator_for(schema).expect("it is a schema");
    (validator(&function.arguments_schema()), validator(&function.result_schema().expect("it gives something")))
}

#[tokio::test]
async fn a_type_that_contains_itself_has_a_schema_that_holds_at_any_depth() {
    for guest in CORNERS {
        let tree = |leaf: Value| json!({ "name": "a", "children": [{ "name": "b", "children": [leaf] }] });
        let (good, bad) = (tree(json!({ "name": "c" })), tree(json!({ "name": 3 })));
        let (arguments, result) = schemas(guest, "planted").await;
        assert!(arguments.is_valid(&json!([1, good])), "{guest}");
        assert!(!arguments.is_valid(&json!([1, bad])), "{guest}");
        assert!(!arguments.is_valid(&json!([1, 2])), "{guest}");
        let Ending::Returned(answer) = ending(guest, "planted", json!([2, good])).await else { panic!("{guest}") };
        assert!(result.is_valid(&answer), "{guest}: {answer}");
        assert!(!result.is_valid(&bad), "{guest}");
    }
}

#[tokio::test]
async fn a_schema_says_what_is_taken_of_arguments_and_what_is_given_of_a_result() {
    for guest in CORNERS {
        let (arguments, result) = schemas(guest, "sides").await;
        let (taken, given) = (json!({ "in": 1, "secret": "s" }), json!({ "out": 1 }));
        assert_eq!(ending(guest, "sides", json!([taken])).await, Ending::Returned(given.clone()), "{guest}");
        assert!(arguments.is_valid(&json!([taken])) && !arguments.is_valid(&json!([given])), "{guest}");
        assert!(result.is_valid(&given) && !result.is_valid(&json!({ "in": 1 })), "{guest}");
    }
}

#[tokio::test]
async fn the_words_of_a_panic_the_time_and_random_numbers_are_there_on_every_target() {
    for guest in CORNERS {
        let outcome = program(guest).await.call("doomed").args(json!(["why not"])).run().await.expect("it runs");
        assert!(matches!(outcome.ending, Ending::Trapped(_)), "{guest}: {:?}", outcome.ending);
        let said = String::from_utf8_lossy(&outcome.stderr);
        assert!(said.contains("so it ends: why not") && said.contains("lib.rs"), "{guest}: {said}");
        assert_eq!(ending(guest, "clocks", json!([])).await, Ending::Returned(json!(true)), "{guest}");
        assert_eq!(ending(guest, "numbers", json!([100])).await, Ending::Returned(json!(100)), "{guest}");
    }
}

#[tokio::test]
async fn a_task_s_own_no_arrives_whole() {
    for guest in TARGETS {
        let Ending::Failed(failure) = ending(guest, "total", json!([{ "customer": "Ada", "lines": [] }])).await else {
            panic!("it fails")
        };
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("empty-order", "Ada ordered nothing"));
        assert!(!failure.retryable);
        let Ending::Failed(failure) = ending(guest, "busy", json!([])).await else { panic!("it fails") };
        assert_eq!((failure.code.as_str(), failure.retryable), ("busy", true));
        let Ending::Failed(failure) = ending(guest, "number", json!(["x"])).await else { panic!("it fails") };
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("error", "invalid digit found in string"));
    }
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_named() {
    // By the host, which knows the names.
    for (args, words) in [
        (json!([]), "expected 1 arguments (order: Order), found 0"),
        (json!({ "ordre": {} }), "argument `ordre` is unknown: the parameters are (order: Order)"),
        (json!("x"), "expected an array or an object of arguments (order: Order), found a string"),
    ] {
        let error = program(TARGETS[0]).await.call("total").args(args).run().await.expect_err(words);
        assert_eq!((error.kind(), error.message()), (ErrorKind::Invalid, words));
    }
    // By the task, which knows the types.
    for (args, words) in [
        (
            json!([{ "customer": 1, "lines": [] }]),
            "argument `order.customer`: invalid type: integer `1`, expected a string",
        ),
        (json!([{ "customer": "", "lines": [{}] }]), "argument `order.lines[0]`: missing field `article`"),
        (json!({}), "argument `order`: invalid type: null, expected struct Order"),
    ] {
        let Ending::Failed(failure) = ending(TARGETS[0], "total", args).await else { panic!("{words}") };
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("invalid-arguments", words));
    }
}

#[tokio::test]
async fn a_task_knows_who_asks() {
    for guest in TARGETS {
        let program = program(guest).await;
        let limits = Limits { deadline: Duration::from_millis(1_500), ..Limits::default() };
        let call = program.call("asked").idempotency_key("order-7").attempt(3).limits(limits.clone());
        assert_eq!(value(call.run().await.expect("it runs")), json!("order-7, attempt 3, within 1500 ms"));
        let mut instance = program.instance().limits(limits).start().await.expect("it starts");
        assert_eq!(value(instance.call("asked").run().await.expect("it runs")), json!("-, attempt 1, within 1500 ms"));
    }
}

#[tokio::test]
async fn a_task_is_held_to_its_limits() {
    let program = program(TARGETS[0]).await;
    let call = |limits| program.call("repeat").args(json!(["x", 10_000])).limits(limits).run();
    let limits = |output_bytes| Limits { output_bytes, ..Limits::default() };
    assert!(call(limits(10_002)).await.expect("it runs").ending.is_returned());
    assert_exhausted(&call(limits(10_001)).await.expect("it runs").ending, LimitKind::Output);
    assert_exhausted(&call(limits(9_000)).await.expect("it runs").ending, LimitKind::Output);
}

#[tokio::test]
async fn tasks_are_known_without_the_module_s_bytes_too() {
    let executor = executor();
    let program = executor.load(crate::support::guest(TARGETS[0]), &Grants::none()).await.expect("it loads");
    let again = executor.load_compiled(&program.id(), &Grants::none()).await.expect("its code is there");
    assert_eq!(again.exports(), program.exports());
}

/// A module that says this of its tasks.
fn describing(description: &str, export: &str) -> String {
    let bytes: String = description.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let len = description.len();
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") 16)
                (data (i32.const 16) "{bytes}")
                (func (export "describe") (result i32)
                    (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const {len})) (i32.const 0))
                (func (export "trap") (result i32) unreachable)
                (func (export "spin") (result i32) (loop br 0) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $describe (result string) (canon lift (core func $i "{export}") (memory $i "memory")))
            (instance $tasks (export "describe" (func $describe)) (export "run" (func $describe)))
            (export "runner:task/tasks@0.1.0" (instance $tasks)))"#
    )
}

#[tokio::test]
async fn a_module_that_describes_itself_badly_is_refused_with_the_reason() {
    for (description, words) in [
        ("[", "the module's description of its tasks is malformed: EOF"),
        ("{}", "the module's description of its tasks is malformed: invalid type: map, expected a sequence"),
        (r#"[{"about": "x"}]"#, "missing field `name`"),
        (r#"[{"name": ""}]"#, "task ``: its name is empty"),
        (r#"[{"name": "a"}, {"name": "a"}]"#, "task `a`: the module has two exports of this name"),
    ] {
        let error =
            shared().load(describing(description, "describe").as_bytes(), &Grants::none()).await.expect_err(words);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(words), "{error}");
    }
    let trapping = describing("[]", "trap");
    let error = shared().load(trapping.as_bytes(), &Grants::none()).await.expect_err("it traps");
    assert!(error.to_string().contains("does not describe its tasks: wasm trap: wasm `unreachable`"), "{error}");
    let good = describing(r#"[{"name": "a", "parameters": [{"name": "it"}]}]"#, "describe");
    let program = shared().load(good.as_bytes(), &Grants::none()).await.expect("it loads");
    assert_eq!(program.exports()[0].to_string(), "a: func(it: json) -> json");
}

#[tokio::test]
async fn a_description_is_held_to_what_it_takes_in_the_host() {
    let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let lists = vec![nested; 1_200].join(",");
    let deep = format!(r#"[{{"name": "a", "parameters": [{{"name": "it", "schema": [{lists}]}}]}}]"#);
    let tasks: Vec<_> = (0..20_001).map(|number| format!(r#"{{"name":"{number}"}}"#)).collect();
    for (description, words) in [
        (deep, "the module's description of its tasks has values of over 33554432 bytes"),
        (format!("[{}]", tasks.join(",")), "the module has 20001 exports with its tasks, the bound is 20000"),
    ] {
        let component = describing(&description, "describe");
        let error = shared().load(component.as_bytes(), &Grants::none()).await.expect_err(words);
        assert_eq!((error.kind(), error.message()), (ErrorKind::Exceeded, words));
    }
    let most = describing(&format!("[{}]", tasks[..20_000].join(",")), "describe");
    let program = shared().load(most.as_bytes(), &Grants::none()).await.expect("it loads");
    assert_eq!(program.exports().len(), 20_000);
}

#[tokio::test]
async fn a_module_describes_its_tasks_whatever_resources_its_imports_speak_of() {
    let imports = r#"
        (import "wasi:http/types@0.2.0" (instance $types (export "fields" (type (sub resource)))))
        (alias export $types "fields" (type $fields))
        (import "acme:sign/api" (instance
            (alias outer 1 $fields (type $f)) (export "fields" (type (eq $f)))
            (export "key" (type (sub resource))) (export "sign" (func (param "fields" (borrow $f))))))"#;
    let component =
        describing(r#"[{"name": "a"}]"#, "describe").replacen("(component", &format!("(component {imports}"), 1);
    let explained = shared().explain(component.as_bytes(), &Grants::none()).await.expect("it is explained");
    assert_eq!(explained.exports[0].name, "a");
    let error = shared().load(component.as_bytes(), &Grants::none()).await.expect_err("nothing serves it");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn the_tasks_of_a_module_are_known_before_anything_is_granted() {
    let executor = Executor::builder()
        .bounds(small())
        .host_fn("stranger:kv/store", "add", |(_key, by): (String, i64)| async move { Ok((41 + by,)) })
        .build()
        .expect("it starts");
    let module = crate::support::guest("tasks-kv.wasm");
    for executor in [shared(), &executor] {
        let explained = executor.explain(module, &Grants::none()).await.expect("it is explained");
        assert_eq!(explained.exports[0].to_string(), "count: func(key: string) -> int64");
        let error = executor.load(module, &Grants::none()).await.expect_err("nothing is granted");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    }
    let program = executor.load(module, &Grants::none().grant("stranger:kv/store", ())).await.expect("it loads");
    let outcome = program.call("count").args(json!(["a"])).run().await.expect("it runs");
    assert_eq!(outcome.usage.capabilities[0].1.calls, 1);
    assert_eq!(value(outcome), json!(42));
}

#[tokio::test]
async fn a_module_that_uses_what_it_imports_to_describe_itself_is_refused() {
    let component = r#"(component
        (import "acme:prices/api" (instance $api (export "lookup" (func))))
        (core func $lookup (canon lower (func $api "lookup")))
        (core module $m
            (import "host" "lookup" (func $lookup))
            (memory (export "memory") 1)
            (func (export "describe") (result i32) call $lookup (i32.const 0)))
        (core instance $i (instantiate $m (with "host" (instance (export "lookup" (func $lookup))))))
        (func $describe (result string) (canon lift (core func $i "describe") (memory $i "memory")))
        (instance $tasks (export "describe" (func $describe)) (export "run" (func $describe)))
        (export "runner:task/tasks@0.1.0" (instance $tasks)))"#;
    let error = shared().load(component.as_bytes(), &Grants::none()).await.expect_err("it asks too early");
    let words = "the module does not describe its tasks: `acme:prices/api` is not granted";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Invalid, words));
}

#[tokio::test]
async fn a_result_of_few_bytes_and_many_values_is_held_to_the_guest_s_memory() {
    let many = |memory_bytes| {
        let component = giving(r#"[{"name": "a"}]"#, &format!("[{}0]", "0,".repeat(60_000)));
        async move {
            let program = shared().load(component.as_bytes(), &Grants::none()).await.expect("it loads");
            let limits = Limits { memory_bytes, ..Limits::default() };
            program.call("a").limits(limits).run().await.expect("it runs").ending
        }
    };
    assert!(many(64 << 20).await.is_returned());
    assert_exhausted(&many(4 << 20).await, LimitKind::Output);
}

/// A module that describes itself so, and whose task gives this JSON.
fn giving(description: &str, result: &str) -> String {
    let data = |text: &str| text.bytes().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let (described, given) = (data(description), data(result));
    let (len, given_len, given_at) = (description.len(), result.len(), 1_024);
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") 4)
                (data (i32.const 16) "{described}")
                (data (i32.const {given_at}) "{given}")
                (func (export "describe") (result i32)
                    (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const {len})) (i32.const 0))
                (func (export "run") (param i32 i32 i32 i32 i32 i32 i32 i32 i64) (result i32)
                    (i32.store (i32.const 0) (i32.const 0))
                    (i32.store (i32.const 4) (i32.const {given_at})) (i32.store (i32.const 8) (i32.const {given_len}))
                    (i32.const 0))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 200000)))
            (core instance $i (instantiate $m))
            (type $context' (record
                (field "idempotency-key" (option string)) (field "attempt" u32) (field "deadline-ms" u64)))
            (type $failure' (record (field "code" string) (field "message" string) (field "retryable" bool)))
            (component $tasks
                (type $c (record
                    (field "idempotency-key" (option string)) (field "attempt" u32) (field "deadline-ms" u64)))
                (import "context" (type $context (eq $c)))
                (type $f (record (field "code" string) (field "message" string) (field "retryable" bool)))
                (import "failure" (type $failure (eq $f)))
                (import "describe" (func $describe (result string)))
                (import "run" (func $run (param "task" string) (param "arguments" string) (param "context" $context)
                    (result (result string (error $failure)))))
                (export $context2 "context" (type $context))
                (export $failure2 "failure" (type $failure))
                (export "describe" (func $describe))
                (export "run" (func $run) (func (param "task" string) (param "arguments" string)
                    (param "context" $context2) (result (result string (error $failure2))))))
            (func $describe (result string) (canon lift (core func $i "describe") (memory $i "memory")))
            (func $run (param "task" string) (param "arguments" string) (param "context" $context')
                (result (result string (error $failure')))
                (canon lift (core func $i "run") (memory $i "memory") (realloc (func $i "realloc"))))
            (instance $it (instantiate $tasks
                (with "context" (type $context')) (with "failure" (type $failure'))
                (with "describe" (func $describe)) (with "run" (func $run))))
            (export "runner:task/tasks@0.1.0" (instance $it)))"#
    )
}
