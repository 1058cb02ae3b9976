//! The crate through its public door, with real guests built from source.

#![allow(clippy::unwrap_used, reason = "a lock is poisoned only by a test that has failed")]

mod bounds; // what is refused before anything runs
mod cache; // compiled code: the two doors
mod calls; // functions by their types
mod capability; // the seam for strangers
mod commands; // WASI commands and the closed defaults
mod compile; // the clock of the compiler, in process and out of it
mod exact; // each limit at its number
mod http; // wasi:http handlers
mod http_capability; // what a response has to do with a capability's close
mod instances; // live instances and typed calls
mod json; // JSON and WIT at their edges
mod limits; // each limit met alone, none of them hurts a neighbour
mod link; // how imports are served
mod load; // any module is welcome, anything else is named
mod seam; // several capabilities beside each other
mod support;
mod tasks; // tasks of the guest SDK
mod usage; // what a call cost, on a clock that is wound by hand
