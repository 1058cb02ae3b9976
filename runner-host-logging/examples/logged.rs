// Runs a guest that logs and prints: cargo run --release -p runner-host-logging --example logged -- greeter.wasm
#![allow(missing_docs, clippy::print_stdout)]
use runner_core::{Executor, Grants};
use runner_host_logging::Logging;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Who reads the log: any subscriber of `tracing`. Guests have the target `runner_guest`.
    tracing_subscriber::fmt().init();
    let executor = Executor::builder().capability(Logging::new()).build()?;

    // What this program may say in each call.
    let grant = json!({ "level": "info", "messages": 100 });
    let wasm = std::fs::read(std::env::args().nth(1).ok_or("which .wasm?")?)?;
    let program = executor.load(&wasm, &Grants::none().grant("logging", grant)).await?;

    let outcome = program.call("greet").args(json!(["world"])).run().await?;
    println!("{:?}", outcome.ending); // Returned(String("hello, world"))
    println!("{}", outcome.usage); // .., logging: 1 calls, 0 B in, 21 B out
    Ok(())
}
