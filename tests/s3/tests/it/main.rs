//! The stores and the proxy, through the AWS SDK as everybody uses it.

#![allow(clippy::unwrap_used, reason = "a check that cannot go on has failed")]

mod faults; // that each fault really happens
mod server; // the server in process: its state, its log, its clock
mod stores; // the table against each store, and its deviations
mod support; // a client, and outcomes as words
mod table; // what a store is asked, and what S3 answers
