//! Runs any WebAssembly module within limits, by its real types, and lets capabilities in.
//!
//! ```
#![doc = include_str!("../examples/run.rs")]
//! ```
//!
//! * [`Executor`] compiles and holds the bounds; [`Executor::load`] makes a [`Program`] of a module and its [`Grants`].
//! * [`Program::call`], [`Program::command`] and [`Program::http`] run it in a fresh instance; [`Program::instance`] keeps
//!   one alive.
//! * Each gives an [`Outcome`]: how it ended ([`Ending`]) and what it cost ([`Usage`]).
//! * [`Limits`] hold for one call, [`Bounds`] for the executor.
//! * [`Capability`] is what the host can lend; nothing is lent that was not granted.
//!
//! What the guest did is a value; what the host could not do is an [`Error`].
//!
//! It needs a tokio runtime with its clock on, as `#[tokio::main]` has it (calls made outside of one panic), and a Unix.

mod admission;
mod call;
mod capability;
mod clock;
mod code;
mod engine;
mod error;
mod executor;
mod guest;
mod host;
mod host_fn;
mod http;
mod instance;
mod limits;
mod link;
mod load;
mod outcome;
mod program;
mod session;
mod signature;
mod tally;
mod task;
mod types;
mod wasi;

pub use self::call::{Call, Command};
pub use self::capability::{Account, CallContext, Capability, Grants, HasView, View};
pub use self::code::{CodeStore, Compile, CompilerProcess, DirectoryStore, LocalStore, VerifiedStore, serve_compile};
pub use self::error::{Error, ErrorKind, Result};
pub use self::executor::{Builder, Executor, Explain, Explanation, Load, ModuleId, Need};
pub use self::host::Host;
pub use self::http::{Body, HttpCall, HttpEnded, HttpReply, InstanceHttp};
pub use self::instance::{Instance, InstanceCall, Number, Start, Typed, TypedComponent};
pub use self::limits::{Bounds, Limit, LimitKind, Limits, Metering};
pub use self::link::Service;
pub use self::outcome::{CapabilityUsage, Ending, Failure, Frame, Outcome, Trap, Usage};
pub use self::program::Program;
pub use self::signature::{Export, ExportKind, Import, Kind, Signature};
pub use self::types::{Type, schema};
pub use self::wasi::{Deterministic, GuestClocks, Listener, StandardInput, StandardOutput, StandardStreams};

/// For the `impl` of a [`Capability`].
pub use async_trait::async_trait;
/// The engine, for those who write a [`Capability`]: `bindgen!` and linkers of exactly this version.
pub use wasmtime;
