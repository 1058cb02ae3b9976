//! What a guest of [Runner](https://github.com/runner-wasm/runner) is written with.
//!
//! A guest in nine lines, in `src/lib.rs` of a `cdylib`:
//!
//! ```
//! use runner::Failure;
//!
//! /// The price of so many lamps, in cents.
//! #[runner::task]
//! fn price(lamps: u32) -> Result<u64, Failure> {
//!     match lamps {
//!         0 => Err(Failure::new("empty-order", "an order is for one lamp or more")),
//!         lamps => Ok(u64::from(lamps) * 1_995),
//!     }
//! }
//! # fn main() { assert_eq!(price(2), Ok(3_990)); }
//! ```
//!
//! with, in `Cargo.toml`,
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! runner = { package = "runner-sdk-guest", git = "https://github.com/runner-wasm/runner" }
//! ```
//!
//! `cargo build --release --target wasm32-unknown-unknown` makes a module that any Runner host loads, with `price` among its
//! exports; `wasm32-wasip1` and `wasm32-wasip2` make others. Tasks, handlers and the faces below behave the same on all three;
//! what std itself has on each is another matter:
//!
//! | | `wasm32-unknown-unknown` | `wasm32-wasip1`, `wasm32-wasip2` |
//! |---|---|---|
//! | the words of a panic | standard error, once a task or handler of this crate has begun | standard error |
//! | `println!`, `eprintln!` | reach nobody: use the feature `log` | standard output and error |
//! | `SystemTime::now`, `Instant::now` | panic: use the feature `clock` | the host's clocks |
//! | crates that want random numbers | do not build by themselves: use the feature `random` | the host's |
//! | seeds of `HashMap` | the same in every run | random |
//! | `std::env` | empty | the host's, where granted |
//! | `std::fs` | an error: use the feature `fs` | the host's, where granted |
//!
//! # What a guest may touch
//!
//! One feature each, and each an import that whoever runs the module grants. What is turned on and not used is not imported,
//! but for `log`, which every task uses.
//!
//! | feature | what it is | the grant |
//! |---|---|---|
//! | `task`, on by default | `#[runner::task]`, [`task::context`] | none |
//! | `http` | `runner::http`: a client, and `#[runner::http]` handlers | `http`, for the client |
//! | `kv` | `runner::kv`: values by key, which may end; changes that lose nobody's work | `kv` |
//! | `config` | `runner::config`: values that whoever runs the guest has set | `config` |
//! | `fs` | `runner::fs`: files, by the names of `std::fs` | `fs`; without it there are none |
//! | `log` | `runner::log`: the macros of `log` and `tracing` | `logging` |
//! | `clock` | `runner::clock`: the time, on every target | none |
//! | `random` | `runner::random`: random numbers, on every target | none |
//!
//! Their errors become a [`Failure`] by `?`, with a code such as `kv-full` and the word whether to try again.

#[cfg(feature = "task")]
mod bindings {
    #![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated")]
    wit_bindgen::generate!({ path: "wit", world: "runner:task/task", generate_all });

    // A native linker does not take these names: tests of a guest's own functions are linked by one.
    #[cfg(target_arch = "wasm32")]
    use super::task::Tasks;
    #[cfg(target_arch = "wasm32")]
    export!(Tasks);
}
#[cfg(feature = "clock")]
pub mod clock;
#[cfg(feature = "config")]
pub mod config;
mod failure;
#[cfg(feature = "fs")]
pub mod fs;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "kv")]
pub mod kv;
#[cfg(feature = "log")]
pub mod log;
#[cfg(all(target_arch = "wasm32", target_os = "unknown", any(feature = "http", feature = "task")))]
mod panic;
#[cfg(feature = "random")]
pub mod random;
#[cfg(any(feature = "http", feature = "task"))]
mod runtime;
#[cfg(feature = "task")]
pub mod task;

pub use self::failure::Failure;
#[cfg(any(feature = "http", feature = "task"))]
pub use self::runtime::block_on;
#[cfg(feature = "http")]
pub use self::runtime::sleep;
#[cfg(feature = "http")]
pub use runner_sdk_guest_macros::http;
#[cfg(feature = "task")]
pub use runner_sdk_guest_macros::task;

/// What every door into a guest passes first, before anything of the author's runs.
#[cfg(any(feature = "http", feature = "task"))]
pub(crate) fn enter() {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    panic::speak();
    #[cfg(feature = "log")]
    log::init();
}

/// For what the attributes write.
#[cfg(any(feature = "http", feature = "task"))]
#[doc(hidden)]
pub mod __private {
    #[cfg(feature = "task")]
    pub use super::task::{
        Answered, Arguments, CannotFail, Described, IsFailure, IsNoFailure, MayFail, Refused, SchemaOf, Successful,
        Successfully, Task, WithSchema, WithoutSchema, said_no, written,
    };
    #[cfg(feature = "task")]
    pub use inventory;
    #[cfg(feature = "http")]
    pub use wasip2;
}
