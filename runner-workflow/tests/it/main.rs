//! The crate through its public door.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of tests too, and tests that say what they did"
)]

mod cases; // what AWS answered, recorded by others: read from ../shared/cases, never copied here
#[cfg(feature = "sqlite")]
mod durable; // executions that outlive the process
mod house; // the machine has no clock, no await, no I/O and no threads
mod machine; // what a run asks for, what it does with the answers, and that it goes through JSON
#[cfg(all(feature = "sqlite", feature = "wasm"))]
mod modules; // tasks that are exports of modules
mod readme; // what is shown is what was compiled
mod simulation; // states, errors and limits, told by whole runs
mod states; // single states, tested
#[cfg(feature = "sqlite")]
mod stores; // the public suite, and the file
mod strangers; // any text and any definition is refused or ends
mod validation; // what is said of a definition before anything runs
