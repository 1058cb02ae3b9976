// Runs a guest that counts in a file: cargo run --release -p runner-host-kv --example counter -- counter.wasm
#![allow(missing_docs, clippy::print_stdout)]
use runner_core::{Executor, Grants};
use runner_host_kv::{Kv, MemoryStore, SqliteStore};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What the host has: a file, and beside it a memory for what may be forgotten.
    let kv = Kv::new(SqliteStore::open("kv.sqlite")?).backend("memory", MemoryStore::new());
    let executor = Executor::builder().capability(kv).build()?;

    // What this program may use of it: one name space, within limits.
    let grant = json!({ "stores": { "default": { "namespace": "counters", "limits": { "keys": 1000 } } } });
    let wasm = std::fs::read(std::env::args().nth(1).ok_or("which .wasm?")?)?;
    let program = executor.load(&wasm, &Grants::none().grant("kv", grant)).await?;

    let outcome = program.call("add").args(json!(["default", "visits", 1])).run().await?;
    println!("{:?}", outcome.ending); // Returned(Number(1)), and one more each time that it is run
    println!("{}", outcome.usage); // .., kv: 3 calls, 0 B in, 6 B out
    Ok(())
}
