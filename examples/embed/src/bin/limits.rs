// A guest that would run for ever, and one that would take all memory: each ends at its limit, named.
use std::time::Duration;

use runner_core::{Ending, Executor, Grants, Limits, Metering, Result};

const GREEDY: &[u8] = br#"(module (memory 1)
    (func (export "spin") (loop (br 0)))
    (func (export "grow") (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable))"#;

#[tokio::main]
async fn main() -> Result<()> {
    let executor = Executor::new()?;
    let greedy = executor.load(GREEDY, &Grants::none()).await?;
    let limits = Limits { deadline: Duration::from_millis(100), memory_bytes: 8 << 20, ..Limits::default() };
    for function in ["spin", "grow"] {
        let outcome = greedy.call(function).limits(limits.clone()).run().await?;
        match outcome.ending {
            Ending::Exhausted(limit) => println!("{function}: {limit}"),
            other => println!("{function}: {other:?}"),
        }
    }

    // Metered by fuel the same call costs the same in every run.
    let counted = executor.load(GREEDY, &Grants::none()).metering(Metering::Fuel).await?;
    let outcome = counted.call("spin").limits(Limits { fuel: 1_000_000, ..limits }).run().await?;
    println!("spin on fuel: {:?}, {}", outcome.ending, outcome.usage);
    Ok(())
}
