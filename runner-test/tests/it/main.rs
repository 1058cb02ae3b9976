//! The kit through its public door, with real guests.

mod build;
mod cargo;
mod faults;
mod files;
mod host;
mod readme;
mod server;
mod words;
