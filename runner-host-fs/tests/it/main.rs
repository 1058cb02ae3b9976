//! Files: trees by themselves, and the faces that guests see of them.

// What was tried, by how often it ended how, is told to whoever looks.
#![allow(clippy::print_stdout)]

mod backends; // the public suite, for each backend and each wrapper
mod bill; // what a call is billed, and told to have changed
mod commits; // what becomes of what a guest wrote
mod descriptors; // wasi:filesystem 0.2, function by function
mod grants; // what a grant may say
mod limits; // what has a bound, at it and over it
mod local; // what others do in and around a directory
mod p1; // preview 1, function by function
mod path; // what a text means
#[cfg(feature = "s3")]
mod programs; // what others wrote, unmodified
mod readme; // what the README shows is what was compiled
#[cfg(feature = "s3")]
mod s3; // a bucket, over a real server and through faults
mod same; // random operations on all of them, and on a directory by std
mod std_files; // what ordinary programs do
mod stock; // the same on wasmtime's own filesystem, and what is different
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "s3")]
mod testsuite; // WebAssembly/wasi-testsuite, where somebody has it
mod together; // trees over and beside each other
mod volume; // volumes, drafts, commits, and hosts that are killed
