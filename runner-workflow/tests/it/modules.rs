//! Tasks that are exports of modules: how they are called, what becomes of how they end, and what is refused before.

use std::collections::HashMap;

use runner_core::{Executor, Limits, ModuleId};
use runner_workflow::store::SqliteStore;
use runner_workflow::{
    Definition, Ending, Envelope, ErrorKind, Failure, Settings, Start, WasmTasks, Workflows, validate_against,
};
use serde_json::{Value, json};

const NUMBERS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "add") (param $a i32) (param $b i32) (result i32) (i32.add (local.get $a) (local.get $b)))
    (func (export "half") (param $n i32) (result i32) (i32.div_u (local.get $n) (i32.const 2)))
    (func (export "seven") (result i32) (i32.const 7))
    (func (export "trap") unreachable)
    (func (export "spin") (loop (br 0)))
    (func (export "grow") (param $pages i32) (result i32) (memory.grow (local.get $pages)))
    (func (export "opaque") (param v128)))"#;

const NEEDY: &str = r#"(module (import "somewhere" "f" (func)) (func (export "f") (call 0)))"#;

struct Host {
    workflows: Workflows,
    _folder: tempfile::TempDir,
}

fn modules() -> HashMap<String, bytes::Bytes> {
    let digest = ModuleId::of(NUMBERS.as_bytes()).to_string();
    HashMap::from([
        ("numbers@1".to_owned(), NUMBERS.into()),
        (digest, NUMBERS.into()),
        ("needy@1".to_owned(), NEEDY.into()),
        ("broken@1".to_owned(), "(module (func".into()),
    ])
}

fn tasks() -> WasmTasks {
    WasmTasks::new(Executor::new().expect("an executor"), modules())
}

impl Host {
    fn new(tasks: WasmTasks) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path().join("store")).expect("it opens");
        Host { workflows: Workflows::start(store, tasks, Settings::default()), _folder: folder }
    }

    /// Puts a workflow of one state, with what else is in the envelope.
    async fn put(&self, state: Value, rest: Value) -> Result<(), runner_workflow::Error> {
        let mut envelope = json!({ "definition": { "StartAt": "A", "States": { "A": state } } });
        for (field, value) in rest.as_object().expect("fields") {
            envelope[field] = value.clone();
        }
        self.workflows.put("w", &envelope.to_string()).await.map(drop)
    }

    async fn run(&self, state: Value, rest: Value, input: Value) -> Ending {
        self.put(state, rest).await.expect("it is put");
        let start = Start { input, ..Start::default() };
        let id = self.workflows.execute("w", start).await.expect("it starts").execution.id;
        self.workflows.ended(&id).await.expect("it is there").ending.expect("it has ended")
    }
}

fn task(resource: &str) -> Value {
    json!({ "Type": "Task", "Resource": resource, "End": true })
}

fn output(ending: Ending) -> Value {
    match ending {
        Ending::Succeeded { output } => output,
        other => panic!("{other:?}"),
    }
}

fn failure(ending: Ending) -> (String, String) {
    match ending {
        Ending::Failed(Failure { error: Some(error), cause, .. }) => (error, cause.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_fields_of_an_object_are_parameters_and_one_parameter_takes_any_value() {
    let host = Host::new(tasks());
    let digest = ModuleId::of(NUMBERS.as_bytes());
    for (resource, input, expected) in [
        ("wasm:numbers@1#add".to_owned(), json!({ "b": 2, "a": 40 }), 42),
        ("wasm:numbers@1#add".to_owned(), json!([40, 3]), 43),
        ("wasm:numbers@1#half".to_owned(), json!({ "n": 84 }), 42),
        ("wasm:numbers@1#half".to_owned(), json!(88), 44),
        ("wasm:numbers@1#seven".to_owned(), json!({ "whatever": 1 }), 7),
        (format!("wasm:{digest}#half"), json!(10), 5),
    ] {
        let found = output(host.run(task(&resource), json!({}), input).await);
        assert_eq!(found, json!(expected), "{resource}");
    }
    for (resource, input, says) in [
        ("wasm:numbers@1#add", json!({ "a": 1 }), "argument `b` is missing"),
        ("wasm:numbers@1#add", json!({ "a": 1, "b": 2, "c": 3 }), "argument `c` is unknown"),
        ("wasm:numbers@1#half", json!("two"), "argument `n`"),
        ("wasm:numbers@1#half", json!({ "m": 2 }), "argument `n`"),
    ] {
        let (error, cause) = failure(host.run(task(resource), json!({}), input).await);
        assert_eq!(error, "Runner.Invalid");
        assert!(cause.contains(says), "{cause}");
    }
}

#[tokio::test]
async fn each_way_to_end_has_a_name_that_catch_matches() {
    let host = Host::new(tasks());
    let limits = json!({ "tasks": { "wasm:numbers@1": { "limits": { "deadline_ms": 50, "memory_bytes": 131_072 } } } });
    let fuel = json!({ "tasks": { "wasm:numbers@1#spin": { "limits": { "fuel": 1_000 } } } });
    for (export, rest, name, says) in [
        ("trap", json!({}), "Runner.Trapped", "unreachable"),
        ("spin", limits.clone(), "Runner.LimitExceeded", "deadline (50 ms allowed)"),
        ("spin", fuel, "Runner.LimitExceeded", "fuel (1000 units allowed)"),
    ] {
        let mut state = task(&format!("wasm:numbers@1#{export}"));
        let (error, cause) = failure(host.run(state.clone(), rest.clone(), json!({})).await);
        assert_eq!(error, name);
        assert!(cause.contains(says), "{cause}");
        state["Catch"] = json!([{ "ErrorEquals": [name], "Next": "Caught" }]);
        let states = json!({ "A": state, "Caught": { "Type": "Pass", "Result": "caught", "End": true } });
        let mut envelope = json!({ "definition": { "StartAt": "A", "States": states } });
        if let Some(tasks) = rest.get("tasks") {
            envelope["tasks"] = tasks.clone();
        }
        host.workflows.put("w", &envelope.to_string()).await.expect("it is put");
        let id = host.workflows.execute("w", Start::default()).await.expect("it starts").execution.id;
        let ended = host.workflows.ended(&id).await.expect("it is there");
        assert_eq!(ended.ending, Some(Ending::Succeeded { output: json!("caught") }));
    }
    // The memory of two pages has room for one more, and for no second.
    for (pages, expected) in [(1, 1), (2, -1)] {
        assert_eq!(output(host.run(task("wasm:numbers@1#grow"), limits.clone(), json!(pages)).await), json!(expected));
    }
    // The module's own limits do not hold where its export has some.
    let own = json!({ "tasks": {
        "wasm:numbers@1": { "limits": { "memory_bytes": 65_536 } },
        "wasm:numbers@1#grow": { "limits": { "memory_bytes": 1_048_576 } },
    } });
    assert_eq!(output(host.run(task("wasm:numbers@1#grow"), own, json!(8)).await), json!(1));
    // The state's own time is a timeout, and stops the guest.
    let mut state = task("wasm:numbers@1#spin");
    state["TimeoutSeconds"] = json!(1);
    assert_eq!(failure(host.run(state, json!({}), json!({})).await).0, "States.Timeout");
}

#[tokio::test]
async fn what_cannot_be_called_is_refused_when_it_is_put() {
    let host = Host::new(tasks().limits_max(Limits { fuel: 5_000, ..Limits::default() }));
    let other = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let policy = |policy: Value| json!({ "tasks": { "wasm:numbers@1#add": policy } });
    for (resource, rest, says) in [
        ("wasm:numbers#add", json!({}), "names no export"),
        ("wasm:numbers@1", json!({}), "names no export"),
        ("wasm:sha256:12#add", json!({}), "names no export"),
        ("app:add", json!({}), "nobody here does it: expected `wasm:NAME@VERSION#export`"),
        ("wasm:numbers@2#add", json!({}), "there is no module `numbers@2`"),
        ("wasm:broken@1#f", json!({}), "expected"),
        (
            "wasm:numbers@1#sub",
            json!({}),
            "`sub` of `numbers@1` is not there: its functions are `add`, `half`, `seven`",
        ),
        ("wasm:numbers@1#opaque", json!({}), "cannot be called"),
        ("wasm:needy@1#f", json!({}), "somewhere"),
        ("wasm:numbers@1#add", json!({ "modules": { "numbers@1": other } }), "is not the one that is expected"),
        ("wasm:numbers@1#add", policy(json!({ "limits": { "deadline": 5 } })), "there is no limit `deadline`"),
        ("wasm:numbers@1#add", policy(json!({ "limits": { "fuel": "much" } })), "expected a whole number"),
        ("wasm:numbers@1#add", policy(json!({ "limits": { "fuel": 6_000 } })), "this host allows 5000 at most"),
        ("wasm:numbers@1#add", policy(json!({ "limits": { "handles": 5_000_000_000_u64 } })), "at most"),
        ("wasm:numbers@1#add", policy(json!({ "grants": { "kv": {} } })), "kv"),
        ("wasm:numbers@1#half", policy(json!({})), "`tasks` says what `wasm:numbers@1#add` may use"),
    ] {
        let refused = host.put(task(resource), rest).await.expect_err(resource);
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains(says), "{says}: {refused}");
    }
    let digest = ModuleId::of(NUMBERS.as_bytes()).to_string();
    host.put(task("wasm:numbers@1#add"), json!({ "modules": { "numbers@1": digest } })).await.expect("it is put");
    host.put(task("wasm:numbers@1#add.waitForTaskToken"), policy(json!({ "limits": { "fuel": 5_000 } })))
        .await
        .expect("the name of a policy need not say what is waited for");
}

#[tokio::test]
async fn arguments_are_held_against_what_modules_say() {
    let definition = json!({ "StartAt": "A", "States": {
        "A": { "Type": "Task", "Resource": "wasm:numbers@1#add", "Parameters": { "a": "one", "b.$": "$.b" }, "Next": "B" },
        "B": { "Type": "Task", "Resource": "wasm:numbers@1#half", "Parameters": { "m": 1 }, "Next": "C" },
        "C": { "Type": "Task", "Resource": "wasm:numbers@1#sub", "Next": "D" },
        "D": { "Type": "Task", "Resource": "wasm:numbers@1#seven", "End": true },
    } });
    let envelope = Envelope::parse(&json!({ "definition": definition }).to_string()).expect("an envelope");
    let parsed = Definition::parse(&definition.to_string()).expect("a definition");
    let signatures = tasks().signatures(&parsed, &envelope).await;
    let validation = serde_json::from_value(json!({ "definition": definition })).expect("a validation");
    let validated = validate_against(&validation, &signatures);
    let messages: Vec<_> = validated.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    for says in [
        "`wasm:numbers@1#add` takes `a` as a number, and the arguments have a text there",
        "`wasm:numbers@1#half` takes `n`, which the arguments do not have",
        "export `sub` of `numbers@1` is not there",
    ] {
        assert!(messages.iter().any(|message| message.contains(says)), "{says}: {messages:?}");
    }
    assert!(!messages.iter().any(|message| message.contains("#seven")), "{messages:?}");
}
