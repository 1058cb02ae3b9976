//! Who does tasks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::Heart;
use crate::command::Invocation;
use crate::envelope::Envelope;
use crate::failure::Failure;

/// Does what a `Resource` names.
///
/// A task is done at least once: after a kill of the process it is asked for again, with the same
/// [idempotency key](Invocation::idempotency_key), by which whoever has effects outside tells that it has had them.
#[async_trait]
pub trait Tasks: Send + Sync + 'static {
    /// Does a task. Dropping the future stops it: nobody waits for it any longer.
    ///
    /// What is to be done is [`Task::resource`], after the envelope's mapping. Of [`Pattern::Callback`](crate::Pattern) it hands
    /// over what is to be done, with the token; what it answers then is only that it was handed over.
    async fn invoke(&self, task: Task) -> Done;

    /// Says what is wrong with a resource that a workflow names, before it is put: nobody does such a thing, its module is not
    /// there, or lacks a grant.
    async fn check(&self, resource: &str, envelope: &Envelope) -> Result<(), String>;
}

#[async_trait]
impl<T: Tasks> Tasks for Arc<T> {
    async fn invoke(&self, task: Task) -> Done {
        (**self).invoke(task).await
    }

    async fn check(&self, resource: &str, envelope: &Envelope) -> Result<(), String> {
        (**self).check(resource, envelope).await
    }
}

/// A task that is to be done.
#[derive(Clone, Debug)]
pub struct Task {
    /// The id of the execution.
    pub execution: String,
    /// The name of its workflow, and the version that it runs.
    pub workflow: (String, u32),
    /// The workflow's envelope.
    pub envelope: Arc<Envelope>,
    /// What does it, after the envelope's mapping.
    pub resource: String,
    /// What the state asks for.
    pub invocation: Invocation,
    /// When the state's `TimeoutSeconds` are over, in milliseconds since 1970.
    pub deadline_ms: Option<i64>,
    /// How long that is from now.
    pub time_left: Option<Duration>,
    /// Says that it is still alive, for `HeartbeatSeconds`.
    pub heart: Heart,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// With a result.
    Succeeded(Value),
    /// With a failure, whose name Retry and Catch match.
    Failed(Failure),
    /// Its time was over.
    TimedOut,
}

impl Done {
    /// A failure with a name and a text.
    pub fn failed(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::Failed(Failure::new(error, cause))
    }
}
