//! A workflow whose tasks are exports of WebAssembly modules.
#![allow(clippy::print_stdout)] // it shows what came of it

use std::collections::HashMap;

use runner_core::Executor;
use runner_workflow::store::SqliteStore;
use runner_workflow::{Settings, Start, WasmTasks, Workflows};
use serde_json::json;

const MODULE: &str = r#"(module
    (func (export "add") (param $a i32) (param $b i32) (result i32) (i32.add (local.get $a) (local.get $b)))
    (func (export "half") (param $n i32) (result i32) (i32.div_u (local.get $n) (i32.const 2))))"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(folder.path().join("workflows.sqlite"))?;
    let modules = HashMap::from([("numbers@1".to_owned(), MODULE.into())]);
    let workflows = Workflows::start(store, WasmTasks::new(Executor::new()?, modules), Settings::default());

    let envelope = json!({
        "definition": {"StartAt": "Sum", "States": {
            "Sum": {"Type": "Task", "Resource": "wasm:numbers@1#add", "Next": "Half"},
            "Half": {"Type": "Task", "Resource": "wasm:numbers@1#half", "End": true}}},
        "tasks": {"wasm:numbers@1": {"limits": {"deadline_ms": 1000, "memory_bytes": 65536}}}
    });
    workflows.put("mean", &envelope.to_string()).await?;

    let start = Start { input: json!({"a": 40, "b": 44}), ..Start::default() };
    let execution = workflows.execute("mean", start).await?.execution;
    let ended = workflows.ended(&execution.id).await?;
    println!("{:?}", ended.ending); // Some(Succeeded { output: Number(42) })
    workflows.shutdown().await;
    Ok(())
}
