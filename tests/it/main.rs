//! The house's rules, read from `cargo metadata` and the sources, so that they stay true; and what guests do, end to end.

mod guests_http; // a guestbook
mod house; // who may import whom, and what stands nowhere
