//! The crate through its public door: backends by themselves, then real guests built from source.

mod atomic; // counters and limiters of guests, by compare-and-swap
mod backends; // every backend does what the suite says, and they agree
mod guests; // both drafts of wasi:keyvalue: what guests may, and what they may not
mod limits; // what a grant allows and what it does not, without an engine
mod ours; // runner:kv
mod readme; // what is shown is what was compiled
mod sqlite; // the file: kept, killed, foreign
mod strangers; // what other people build for wasi:keyvalue
mod support;
