//! What goes over the wire: each shape once, as serde writes it and as OpenAPI describes it. Nothing here acts.

mod example;
mod file;
mod grants;
mod kv;
mod limits;
mod module;
mod object;
mod outcome;
mod problem;
mod request;
mod workflow;

pub(crate) use self::example::{Example, Examples};
pub(crate) use self::file::{Directory, Entry, kind};
pub(crate) use self::grants::{GrantsOf, SecretNames, schema as grants_schema, tag as grants_tag};
pub(crate) use self::kv::{Backend, Backends, NamespaceOf};
pub(crate) use self::limits::LimitsRequest;
pub(crate) use self::module::{Module, ModuleList, Wasm};
pub(crate) use self::object::Object;
pub(crate) use self::outcome::Outcome;
pub(crate) use self::problem::{Problem, ProblemKind, Refusals};
pub(crate) use self::request::Request;
pub(crate) use self::workflow::{
    ExecutionList, ExecutionState, FailureRequest, History, HistoryEntry, StartRequest, SuccessRequest, Workflow,
    WorkflowList, millis, status,
};
