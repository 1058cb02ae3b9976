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
//!
//! Paths ([`Path`]), intrinsic functions ([`Intrinsic`]) and JSONata ([`Jsonata`]) answer as AWS's do.

#![warn(missing_docs)]

mod catch;
mod choice;
mod command;
mod complaint;
mod context;
mod definition;
mod document;
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
mod template;
mod test_state;
mod time;
mod validate;
mod weight;

pub use catch::Catcher;
pub use choice::{Condition, Domain, Operand, Operator, Relation, Rule, Test};
pub use command::{Command, Event, Happened, Invocation};
pub use complaint::{Code, Complaint, Rejection, Severity};
pub use context::Execution;
pub use definition::{Definition, Language, Machine};
pub use document::locate;
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
