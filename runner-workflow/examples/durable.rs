//! A workflow that is kept: it goes on where it was when the process is started again.
#![allow(clippy::print_stdout)] // it shows what came of it

use std::num::NonZeroU32;

use async_trait::async_trait;
use runner_workflow::store::SqliteStore;
use runner_workflow::{Done, Envelope, Settings, Start, Task, Tasks, Workflows};
use serde_json::json;

/// Does what the workflow asks for. Most hosts give `runner-core` in its place.
struct Greeter;

#[async_trait]
impl Tasks for Greeter {
    async fn invoke(&self, task: Task) -> Done {
        let name = task.invocation.arguments["name"].as_str().unwrap_or("nobody");
        Done::Succeeded(json!(format!("hello {name}")))
    }

    async fn check(&self, resource: &str, _envelope: &Envelope) -> Result<(), String> {
        if resource == "app:greet" { Ok(()) } else { Err("nobody does such a thing".to_owned()) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(folder.path().join("workflows.sqlite"))?;
    let workflows = Workflows::start(store, Greeter, Settings::default());

    let definition = json!({"StartAt": "Greet", "States": {
        "Greet": {"Type": "Task", "Resource": "app:greet", "End": true}}});
    workflows.put("greeting", &json!({ "definition": definition }).to_string()).await?;

    let start = Start { input: json!({ "name": "Ada" }), ..Start::default() };
    let execution = workflows.execute("greeting", start).await?.execution;
    let ended = workflows.ended(&execution.id).await?;
    println!("{:?}", ended.ending); // Some(Succeeded { output: String("hello Ada") })

    let history = workflows.history(&execution.id, 0, NonZeroU32::MAX).await?;
    for event in history.found {
        println!("{} {}", event.id, event.entry.kind); // 1 ExecutionStarted, 2 TaskStateEntered, ..
    }
    workflows.shutdown().await;
    Ok(())
}
