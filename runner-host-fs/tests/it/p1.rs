//! Preview 1, function by function: a module whose exports are the face itself, called with any numbers.
//!
//! The same steps run on Runner over a tree in memory, on Runner over a directory, and on wasmtime's own preview 1 over a
//! directory. A table says what comes of each step, and where wasmtime answers otherwise, what.

mod descriptors; // what is asked of a descriptor, and what it may not
pub(crate) mod door; // the module, and the two hosts that it runs on
mod endings; // what becomes of files when a command ends, by the guest that uses `std::fs`
mod hostile; // pointers that lead nowhere, and more of everything than there may be
mod moments; // `poll_oneoff`
mod moves; // bytes, read and written
mod names; // what is done by a path
pub(crate) mod steps; // a small language of steps, and the tables
