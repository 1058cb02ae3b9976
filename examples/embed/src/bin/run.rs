use runner_core::{Ending, Executor, Grants, Result};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<()> {
    // Any .wasm or .wat.
    let wasm = br#"(module (func (export "add") (param $a i32) (param $b i32) (result i32)
        local.get $a local.get $b i32.add))"#;

    let executor = Executor::new()?;
    let program = executor.load(wasm, &Grants::none()).await?; // a missing grant is named here
    for export in program.exports() {
        println!("{export}"); // add: func(a: s32, b: s32) -> s32
    }
    let outcome = program.call("add").args(json!([40, 2])).run().await?; // a fresh instance, within limits
    match outcome.ending {
        Ending::Returned(value) => println!("{value}"), // 42
        Ending::Failed(failure) => println!("it said no: {}", failure.message),
        Ending::Trapped(trap) => println!("{trap}"), // with the functions' names
        Ending::Exhausted(limit) => println!("it met its limit on {limit}"),
        _ => {}
    }
    println!("{}", outcome.usage); // time, memory, host calls, fuel
    Ok(())
}
