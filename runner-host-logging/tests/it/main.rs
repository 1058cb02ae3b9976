//! The crate through its public door: real guests built from source, and subscribers of `tracing` that hear them.

#![allow(clippy::unwrap_used, reason = "a lock is poisoned only by a test that has failed")]

mod caps; // how much a call may say, and how slow a reader may be
mod messages; // wasi:logging: levels, fields, filters, whose call it was
mod printed; // standard output and standard error, line by line
mod readme; // what is shown is what was compiled
mod support;
mod texts; // what a guest cannot do to a log that is read as text
