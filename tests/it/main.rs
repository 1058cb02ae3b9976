//! The house's rules, read from `cargo metadata` and the sources, so that they stay true; and what guests do, end to end.

mod faces; // the SDK's key-value stores, configuration and logs, from every target
mod files; // the SDK's files, from every target
mod guests_http; // a guestbook
mod guests_js; // tasks in JavaScript, by the SDK's WIT packages
mod guests_kv; // a counter and a rate limiter
mod house; // who may import whom, and what stands nowhere
mod wit; // one copy of each WIT package
