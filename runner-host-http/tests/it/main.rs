//! Outgoing HTTP with real servers: through the client alone, and through a guest.

#![allow(clippy::unwrap_used)]

mod calls; // what a call pays for, and what ends with it
mod caps; // each number
mod grants; // allowed and denied
mod guests; // a summariser and a webhook, written with the SDK
mod hostile; // what must never be reached
mod lookups; // names that have no answer
mod pools; // who shares connections with whom
mod readme; // what the README shows is what was compiled
mod redirects; // hop by hop
mod sdk; // runner::http of the guest SDK, both faces
mod seats; // who waits for whom, and what is open meanwhile
mod secrets; // there and nowhere else
mod strangers; // what other people build
mod streams; // bodies, both ways
mod support;
mod tls; // certificates, and HTTP/2
