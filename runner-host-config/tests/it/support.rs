//! What every test needs: a guest with its grant, and what it read.

use runner_core::{Bounds, Ending, Error, Executor, Grants, Outcome, Program};
use runner_host_config::Config;
use serde_json::{Value, json};

/// The names that the interface goes by, as the guest calls them.
pub(crate) const FACES: [&str; 3] = ["store", "store-draft", "runtime-draft"];

/// What the host of these tests has.
pub(crate) fn host() -> Config {
    Config::new([("region", "north"), ("tier", "free")])
}

pub(crate) fn executor(config: Config) -> Executor {
    let bounds = Bounds { calls: 16, queue: 64, ..Bounds::default() };
    Executor::builder().bounds(bounds).capability(config).build().expect("it starts")
}

pub(crate) async fn load(config: Config, grant: Value) -> Result<Program, Error> {
    let grants = Grants::none().grant("config", grant);
    executor(config).load(runner_guests::get("config-reader"), &grants).await
}

pub(crate) async fn reader(grant: Value) -> Program {
    load(host(), grant).await.expect("the guest loads")
}

pub(crate) async fn outcome(program: &Program, function: &str, args: Value) -> Outcome {
    program.call(function).args(args).run().await.expect("the host does its part")
}

/// What a guest finds under a key.
pub(crate) async fn read(program: &Program, face: &str, key: &str) -> Value {
    returned(outcome(program, "read", json!([face, key])).await)
}

pub(crate) async fn read_all(program: &Program, face: &str) -> Value {
    returned(outcome(program, "read-all", json!([face])).await)
}

fn returned(outcome: Outcome) -> Value {
    match outcome.ending {
        Ending::Returned(value) => value,
        other => panic!("{other:?}"),
    }
}
