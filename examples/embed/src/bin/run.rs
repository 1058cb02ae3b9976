use runner_core::{Ending, Executor, Grants, Result};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<()> {
    let wasm = br#"(module (func (export "add") (param $a i32) (param $b i32) (result i32)
        local.get $a local.get $b i32.add))"#;

    let executor = Executor::new()?;
    let program = executor.load(wasm, &Grants::none()).await?;
    for export in program.exports() {
        println!("{export}"); // add: func(a: s32, b: s32) -> s32
    }
    let outcome = program.call("add").args(json!([40, 2])).run().await?;
    match outcome.ending {
        Ending::Returned(value) => println!("{value}"), // 42
        other => println!("{other:?}"),
    }
    println!("{}", outcome.usage);
    Ok(())
}
