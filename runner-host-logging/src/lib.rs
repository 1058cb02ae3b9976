//! The log of guests of Runner: `wasi:logging`, standard output and standard error, as events of [`tracing`], by grant.
//!
//! ```no_run
#![doc = include_str!("../examples/logged.rs")]
//! ```
//!
//! # The guest
//!
//! Any component that imports `wasi:logging/logging@0.1.0-draft` runs as it is, in whatever language it was written; so do
//! those built before, which import `wasi:logging/logging` without a version. The WIT package is in the folder
//! [`wit`](https://github.com/runner-wasm/runner/tree/main/runner-host-logging/wit). In Rust, with `wit-bindgen`:
//!
//! ```ignore
//! wit_bindgen::generate!({ world: "greeter", generate_all });
//! use wasi::logging::logging::{Level, log};
//!
//! struct Greeter;
//! export!(Greeter);
//!
//! impl Guest for Greeter {
//!     fn greet(name: String) -> String {
//!         log(Level::Info, "greeter", &format!("greeting {name}"));
//!         format!("hello, {name}")
//!     }
//! }
//! ```
//!
//! The crate's README has this guest file by file, with the commands.
//!
//! A guest that only prints needs nothing of it: where the capability is granted, each line of its standard output and
//! standard error is an event as well. The outcome has both streams either way.
//!
//! # The events
//!
//! Their target is [`runner_guest`](TARGET); whoever installs the subscriber says with it which of them are wanted. They
//! stand in the span in which the call was made, all but the one that tells what was left out.
//!
//! | of the guest | level of the event |
//! |---|---|
//! | `trace`, `debug`, `info`, `warn`, `error` | the same |
//! | `critical` | `ERROR`, with the field `critical` |
//! | a line of standard output | `INFO` |
//! | a line of standard error | `WARN` |
//!
//! | field | what it says |
//! |---|---|
//! | `call` | the call's id, [`Outcome::call_id`](runner_core::Outcome::call_id): the same in every capability of the call |
//! | `program` | the first 12 digits of the module's SHA-256 |
//! | `context` | the guest's context, where it gave one |
//! | `stream` | `stdout` or `stderr`, where the line was printed |
//! | `critical` | true, where the guest said so |
//! | `left_out`, `left_out_bytes` | messages that were left out, and their bytes, in the event that tells it |
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> runner_core::Result<()> {
//! # let wasm = runner_guests::get("logger.wasm");
//! # use std::sync::{Arc, Mutex};
//! # #[derive(Clone, Default)] struct File(Arc<Mutex<Vec<u8>>>);
//! # impl std::io::Write for File {
//! #     fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> { self.0.lock().unwrap().write(bytes) }
//! #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
//! # }
//! # let file = File::default();
//! # let writer = file.clone();
//! # tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).without_time().init();
//! use runner_core::{Executor, Grants};
//! use runner_host_logging::Logging;
//! use serde_json::json;
//!
//! let executor = Executor::builder().capability(Logging::new()).build()?;
//! let program = executor.load(wasm, &Grants::none().grant("logging", json!({ "messages": 2 }))).await?;
//! program.call("log").args(json!(["warn", "shop", "sold out\n", 5])).run().await?;
//! # drop((program, executor));
//! // WARN runner_guest: sold out\n call=2 program="1f0ea8b1c0a4" context="shop"
//! // WARN runner_guest: sold out\n call=2 program="1f0ea8b1c0a4" context="shop"
//! // WARN runner_guest: messages of the guest were left out: its grant .. call=2 .. left_out=3 left_out_bytes=39
//! # let written = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
//! # let lines: Vec<_> = written.lines().collect();
//! # assert_eq!(lines.len(), 3, "{written}");
//! # assert!(lines[0].starts_with(" WARN runner_guest: sold out\\n call=") && lines[0].ends_with(" context=\"shop\""), "{written}");
//! # assert!(lines[2].contains("messages of the guest were left out: its grant"), "{written}");
//! # assert!(lines[2].ends_with(" left_out=3 left_out_bytes=39"), "{written}");
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! A [`Grant`] says how loud a message has to be, and bounds their number, their bytes, and each of them. Beyond a limit
//! the guest goes on: a message is cut, with a mark that says how much is missing, or left out, and one event at the end
//! of the call says how many there were. What nobody wants counts against nothing. For an [`Instance`](runner_core::Instance),
//! which opens its capabilities once, the limits hold for all of its calls together.
//!
//! Beside them stands [`Limits::host_bytes`](runner_core::Limits::host_bytes), against which all bytes count that a guest
//! logs, wanted or not. Calls and bytes are in the usage; printed lines are not, [`Limits::output_bytes`](runner_core::Limits::output_bytes)
//! bounds them.
//!
//! # What holds
//!
//! * No guest waits for whoever reads the log: events are made on a thread of their own, from a queue of 8 MiB at most, 1 MiB of
//!   one program. What comes faster than it is written is left out, and counted in an event that names the program and the
//!   call that lost the first message; a program that says too much costs no other a line. So events of guests may come a little after
//!   events of the host that happened later.
//! * A guest cannot forge lines of a log that is read as text, nor move a terminal's cursor: control characters and those
//!   that turn the direction of writing become escapes such as `\n` and `\u{1b}`. A message is one line.
//! * A message that the subscriber does not want, as its filter says of the target and the level, costs the guest little more
//!   than the call.
//! * What a guest said before it trapped, or met a limit, is heard.

mod grant;
mod logging;
mod printed;
mod queue;
mod text;
mod wasi;

pub use self::grant::{Grant, Level};
pub use self::logging::{Logging, Session};

/// The target of every event of this crate.
pub const TARGET: &str = "runner_guest";
