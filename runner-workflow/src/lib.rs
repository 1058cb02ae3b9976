//! Workflows in the [Amazon States Language](https://states-language.net/spec.html), the JSON that AWS Step Functions runs:
//! parsed, run by a pure machine, simulated.
//!
//! ```
#![doc = include_str!("../examples/total.rs")]
//! ```
//!
//! * [`Definition::parse`] reads a state machine and says what is wrong with it, each complaint with its place.
//! * [`advance`] takes a [`RunState`] and an [`Event`] and gives the next run state and the [`Command`]s to carry out. It
//!   awaits nothing, reads no clock and does no I/O; time and chance come with the event.
//! * [`simulate`] drives the machine with a clock that jumps and answers from a list.
//! * `Workflows` keeps executions in a store and carries them on: feature `durable`, of which `sqlite`, on by default, brings a store
//!   that is one file.
//! * `WasmTasks` has exports of WebAssembly modules do its tasks: feature `wasm`.
//!
//! Paths ([`Path`]), intrinsic functions ([`Intrinsic`]) and JSONata ([`Jsonata`]) answer as AWS's do.

#![warn(missing_docs)]

mod catch;
mod choice;
#[cfg(feature = "durable")]
mod clock;
mod command;
mod complaint;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod definition;
mod document;
#[cfg(feature = "durable")]
mod driver;
mod envelope;
#[cfg(feature = "durable")]
mod error;
mod failure;
mod fields;
mod flow;
mod hash;
mod history;
mod intrinsics;
mod json_error;
mod jsonata;
pub mod limits;
mod lint;
mod machine;
mod path;
mod random;
mod resource;
mod retry;
mod run;
mod scene;
mod simulate;
pub mod state;
#[cfg(feature = "durable")]
pub mod store;
mod template;
mod test_state;
mod time;
pub mod token;
mod validate;
#[cfg(feature = "wasm")]
mod wasm;
mod weight;

pub use catch::Catcher;
pub use choice::{Condition, Domain, Operand, Operator, Relation, Rule, Test};
#[cfg(feature = "durable")]
pub use clock::{Clock, ManualClock, SystemClock};
pub use command::{Command, Event, Happened, Invocation};
pub use complaint::{Code, Complaint, Rejection, Severity};
pub use context::Execution;
pub use definition::{Definition, Language, Machine};
pub use document::locate;
#[cfg(feature = "durable")]
pub use driver::{Described, Done, Heart, Settings, Start, Started, Task, Tasks, Workflows};
pub use envelope::{Envelope, EnvelopeError, Expected, Sample, TaskPolicy, Test as EnvelopeTest, Tested};
#[cfg(feature = "durable")]
pub use error::{Error, ErrorKind, Result};
pub use failure::{Failure, names};
pub use fields::{PathOrNull, Quantity};
pub use flow::Flow;
pub use history::{Entry, HistoryEvent};
pub use intrinsics::Intrinsic;
pub use jsonata::Jsonata;
pub use limits::Limits;
pub use lint::{Export, Parameter, ParameterKind, Signature, Signatures};
pub use machine::advance;
pub use path::{Missing, Path, PathError, Root};
pub use resource::{Family, Pattern, Resource};
pub use retry::Retrier;
pub use run::{Ending, Key, KeyError, Misfit, RunError, RunState, Waiting, WaitingOn};
pub use simulate::{Answer, Simulated, Simulation, TaskResult, simulate};
pub use template::{Expression, Hole, Template};
pub use test_state::{
    Called, Configuration, ErrorDetails, FieldValidation, Inspection, InspectionLevel, Mock, MockError, StateTest,
    StateTested, test_state,
};
pub use validate::{Diagnostic, Validated, Validation, validate, validate_against};
#[cfg(feature = "wasm")]
pub use wasm::{Modules, WasmTasks};
