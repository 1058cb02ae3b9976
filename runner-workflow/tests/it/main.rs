//! The crate through its public door.

#![allow(clippy::unwrap_used, reason = "the helpers of tests too")]

mod cases; // what AWS answered, recorded by others: read from ../shared/cases, never copied here
mod house; // the machine has no clock, no await, no I/O and no threads
mod machine; // what a run asks for, what it does with the answers, and that it goes through JSON
mod readme; // what is shown is what was compiled
mod simulation; // states, errors and limits, told by whole runs
mod states;
mod strangers; // any text and any definition is refused or ends
mod validation; // what is said of a definition before anything runs // single states, tested
