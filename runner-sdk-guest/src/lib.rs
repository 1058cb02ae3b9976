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
//! exports; `wasm32-wasip1` and `wasm32-wasip2` make others that behave the same.

#[cfg(feature = "task")]
mod bindings {
    #![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated")]
    wit_bindgen::generate!({ path: "wit", world: "runner:task/task", generate_all });

    use super::task::Tasks;
    export!(Tasks);
}
#[cfg(feature = "task")]
mod failure;
#[cfg(feature = "task")]
pub mod task;

#[cfg(feature = "task")]
pub use self::failure::Failure;
#[cfg(feature = "task")]
pub use runner_sdk_guest_macros::task;

/// For what the attributes write.
#[cfg(feature = "task")]
#[doc(hidden)]
pub mod __private {
    pub use super::task::{Described, SchemaOf, Task, WithSchema, WithoutSchema, arguments, fallible, plain};
    pub use inventory;
}
