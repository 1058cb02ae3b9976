// Runs a guest that reads its configuration: cargo run --release -p runner-host-config --example greeting -- greeter.wasm
#![allow(missing_docs, clippy::print_stdout)]
use runner_core::{Executor, Grants};
use runner_host_config::Config;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What the host has, and no guest sees that was not granted it.
    let config = Config::new([("region", "north"), ("tier", "free")]);
    let executor = Executor::builder().capability(config).build()?;

    // What this program may read: a value of its own, and one of the host's.
    let grant = json!({ "values": { "GREETING": "good morning" }, "names": ["region"] });
    let wasm = std::fs::read(std::env::args().nth(1).ok_or("which .wasm?")?)?;
    let program = executor.load(&wasm, &Grants::none().grant("config", grant)).await?;

    let outcome = program.call("greet").run().await?;
    println!("{:?}", outcome.ending); // Returned(String("good morning, north"))
    println!("{}", outcome.usage); // .., config: 2 calls, 17 B in, 0 B out
    Ok(())
}
