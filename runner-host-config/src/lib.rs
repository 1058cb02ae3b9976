//! Configuration for guests of Runner: `wasi:config`, by grant.
//!
//! ```no_run
#![doc = include_str!("../examples/greeting.rs")]
//! ```
//!
//! # The guest
//!
//! Any component that imports `wasi:config/store@0.2.0-rc.1` runs as it is, in whatever language it was written; so do
//! those built before, which import `wasi:config/store@0.2.0-draft` or `wasi:config/runtime@0.2.0-draft`. The WIT package is
//! in the folder [`wit`](https://github.com/runner-wasm/runner/tree/main/runner-host-config/wit). In Rust, with
//! `wit-bindgen`:
//!
//! ```ignore
//! wit_bindgen::generate!({ world: "greeter", generate_all });
//! use wasi::config::store;
//!
//! struct Greeter;
//! export!(Greeter);
//!
//! impl Guest for Greeter {
//!     fn greet() -> Result<String, String> {
//!         let greeting = store::get("GREETING").map_err(|error| error.to_string())?;
//!         Ok(format!("{}, world", greeting.as_deref().unwrap_or("hello")))
//!     }
//! }
//! ```
//!
//! The crate's README has this guest file by file, with the commands.
//!
//! # The grant
//!
//! A [`Grant`] holds values of its own, which are set for one program, and names: those of the host's values (see
//! [`Config::new`]) that the program may read as well.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> runner_core::Result<()> {
//! # let wasm = runner_guests::get("config-reader.wasm");
//! use runner_core::{Ending, Executor, Grants};
//! use runner_host_config::Config;
//! use serde_json::json;
//!
//! let config = Config::new([("region", "north"), ("tier", "free")]);
//! let executor = Executor::builder().capability(config).build()?;
//! let grant = json!({ "values": { "GREETING": "hello" }, "names": ["region"] });
//! let program = executor.load(wasm, &Grants::none().grant("config", grant)).await?;
//!
//! let read = async |key: &str| program.call("read").args(json!(["store", key])).run().await;
//! assert_eq!(read("GREETING").await?.ending, Ending::Returned(json!("hello")));
//! assert_eq!(read("region").await?.ending, Ending::Returned(json!("north")));
//! assert_eq!(read("tier").await?.ending, Ending::Returned(json!(null)), "it was not granted");
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! * A key that was not granted is answered like one that does not exist: with none, and no error. A guest cannot find out
//!   what else the host has. `get-all` lists what was granted and nothing else, in the order of the keys' bytes.
//! * Keys are compared exactly, byte by byte.
//! * A value of the grant comes before the host's of the same name.
//! * Values never change while a program is loaded. No function of the interface ever answers with an error.
//! * A name that this host has no value for is refused at load, with the names that it has.
//! * It is no place for secrets: the guest holds what it reads, and may print it. `runner-host-http` fills in secrets that
//!   a guest never sees.
//!
//! # Limits
//!
//! A grant holds at most [1,000](Grant::KEYS_MAX) values, of [256 KiB](Grant::BYTES_MAX) with their keys, and a key at most
//! [256 bytes](Grant::KEY_BYTES_MAX); more is refused at load. What a guest reads counts against
//! [`Limits::host_bytes`](runner_core::Limits::host_bytes), and stands in the usage with the calls.

mod config;
mod grant;
mod wasi;

pub use self::config::{Config, Session};
pub use self::grant::Grant;
