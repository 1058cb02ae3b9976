//! Key-value stores for guests of Runner: `wasi:keyvalue` in both of its drafts, and `runner:kv` for what they leave out,
//! over memory and SQLite, by grant and within limits.
//!
//! ```no_run
#![doc = include_str!("../examples/counter.rs")]
//! ```
//!
//! # The guest
//!
//! Any component that imports `wasi:keyvalue/{store, atomics, batch}` at `0.2.0-draft` or `0.2.0-draft2` runs as it is, in
//! whatever language it was written; so does one that imports `runner:kv/store@0.1.0`. The WIT packages are in the folder
//! [`wit`](https://github.com/runner-wasm/runner/tree/main/runner-host-kv/wit). In Rust, with `wit-bindgen`:
//!
//! ```ignore
//! wit_bindgen::generate!({ world: "counter", generate_all });
//! use wasi::keyvalue::{atomics, store};
//!
//! struct Counter;
//! export!(Counter);
//!
//! impl Guest for Counter {
//!     fn add(name: String, key: String, by: i64) -> Result<i64, String> {
//!         let bucket = store::open(&name).map_err(|error| format!("{error:?}"))?;
//!         atomics::increment(&bucket, &key, by).map_err(|error| format!("{error:?}"))
//!     }
//! }
//! ```
//!
//! The crate's README has this guest file by file, with the commands.
//!
//! # The grant
//!
//! A [`Grant`] names the stores that a program may open. Each is a [name space](StoreGrant::namespace) of a backend, which
//! no key can leave: a name space is a column of its own, not the beginning of a key. Two programs share keys where both
//! are granted the same name space, and nowhere else.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> runner_core::Result<()> {
//! # let wasm = runner_guests::get("kv-counter.wasm");
//! use runner_core::{Ending, Executor, Grants};
//! use runner_host_kv::{Kv, MemoryStore};
//! use serde_json::json;
//!
//! let executor = Executor::builder().capability(Kv::new(MemoryStore::new())).build()?;
//! let may = |mode: &str| {
//!     let grant = json!({ "stores": { "default": { "namespace": "shop", "mode": mode } } });
//!     Grants::none().grant("kv", grant)
//! };
//! let writer = executor.load(wasm, &may("read-write")).await?;
//! let reader = executor.load(wasm, &may("read-only")).await?;
//!
//! let counted = writer.call("add").args(json!(["default", "visits", 2])).run().await?;
//! assert_eq!(counted.ending, Ending::Returned(json!(2)));
//! let refused = reader.call("add").args(json!(["default", "visits", 2])).run().await?;
//! assert!(matches!(refused.ending, Ending::Failed(failure) if failure.message == "access-denied"));
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! [`StoreLimits`] hold for every operation, batches and increments included: bytes of a key and of a value, keys and
//! bytes of the whole name space, keys in a page, keys and bytes in a batch. What is over one is refused whole. Beside
//! them stand the limits of the call: [`Limits::host_bytes`](runner_core::Limits::host_bytes) counts keys and values that
//! are written, values and keys that are read; [`Limits::handles`](runner_core::Limits::handles) counts open buckets.
//!
//! # What holds
//!
//! * A write is done when the guest is told so, whatever becomes of the call; there is no commit at the end of it.
//! * One operation is atomic, batches too, which the standard does not ask for. Reads see the last write.
//! * Numbers are kept as decimal digits, so that a guest may read what it has counted. They are signed, of 64 bits; the
//!   first draft, whose increments are unsigned, refuses a sum below zero.
//! * A compare-and-swap is held against a [`Version`], which is never given twice.
//! * A cursor of the second draft and of `runner:kv` is a key, and holds for ever. One of the first draft is a number: it
//!   holds for the bucket that gave it, which remembers the last 16.
//! * Neither draft has a word for most errors: they come as `other`, in words with both numbers. `runner:kv` has a case for
//!   each.
//!
//! # A backend of your own
//!
//! Seven functions: [`Store`]. It is done when the suite in `conformance` (feature `conformance`) is green, boxed too.

mod bucket;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod grant;
mod key;
mod kv;
mod memory;
mod sqlite;
mod store;
mod wasi;

pub use self::bucket::Bucket;
pub use self::clock::{Clock, ManualClock, SystemClock};
pub use self::error::{Error, Result};
pub use self::grant::{Grant, Mode, StoreGrant, StoreLimits};
pub use self::key::{Key, Namespace, Version};
pub use self::kv::{Kv, Session};
pub use self::memory::MemoryStore;
pub use self::sqlite::SqliteStore;
pub use self::store::{
    Change, Done, Ends, Entry, Expected, Namespaces, Page, Quota, Store, StoreExt, Usage, increment,
};

/// For the `impl` of a [`Store`].
pub use async_trait::async_trait;
