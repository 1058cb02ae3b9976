//! What happened in a run, entry by entry, as AWS's history has it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::resource::{Family, Resource};

/// One entry of the history, numbered from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEvent {
    /// Its number: the one that `entered at the event id #N` speaks of.
    pub id: u64,
    /// When it happened, in milliseconds since 1970.
    pub at_ms: i64,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What happened. Which fields there are depends on the type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// AWS's name for it, such as `PassStateEntered`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The state's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What went in.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub input: Option<Value>,
    /// What came out.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub output: Option<Value>,
    /// The variables that were set.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub assigned_variables: Map<String, Value>,
    /// The name of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The text of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What does a task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What kind of thing does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// How many items a Map has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Which item it is, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The field whose expression failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The state in which an expression failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// A field that is there and null is something else than no field.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Entry {
    pub(crate) fn new(kind: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }

    pub(crate) fn named(kind: impl Into<Cow<'static, str>>, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::new(kind) }
    }

    pub(crate) fn failed(kind: impl Into<Cow<'static, str>>, failure: &Failure) -> Self {
        Self { error: failure.error.clone(), cause: failure.cause.clone(), ..Self::new(kind) }
    }

    pub(crate) fn with_output(self, output: Value) -> Self {
        Self { output: Some(output), ..self }
    }

    /// Of a task: its family decides the name of the entry and whether it says what does it.
    pub(crate) fn of_task(stage: Stage, resource: &Resource, input: Option<&Value>) -> Self {
        let entry = Self::new(match (resource.family(), stage) {
            (Family::Lambda, Stage::Scheduled) => "LambdaFunctionScheduled",
            (Family::Lambda, Stage::Started) => "LambdaFunctionStarted",
            (Family::Lambda, Stage::Succeeded) => "LambdaFunctionSucceeded",
            (Family::Lambda, Stage::Failed) => "LambdaFunctionFailed",
            (Family::Lambda, Stage::TimedOut) => "LambdaFunctionTimedOut",
            (Family::Activity, Stage::Scheduled) => "ActivityScheduled",
            (Family::Activity, Stage::Started) => "ActivityStarted",
            (Family::Activity, Stage::Succeeded) => "ActivitySucceeded",
            (Family::Activity, Stage::Failed) => "ActivityFailed",
            (Family::Activity, Stage::TimedOut) => "ActivityTimedOut",
            (Family::Service, Stage::Scheduled) => "TaskScheduled",
            (Family::Service, Stage::Started) => "TaskStarted",
            (Family::Service, Stage::Succeeded) => "TaskSucceeded",
            (Family::Service, Stage::Failed) => "TaskFailed",
            (Family::Service, Stage::TimedOut) => "TaskTimedOut",
            (_, Stage::Submitted) => "TaskSubmitted",
        });
        match (resource.family(), stage) {
            (Family::Service, _) => Self {
                resource: Some(resource.name().to_owned()),
                resource_type: Some(resource.kind().to_owned()),
                ..entry
            },
            (_, Stage::Scheduled) => {
                Self { resource: Some(resource.text().to_owned()), input: input.cloned(), ..entry }
            }
            _ => entry,
        }
    }

    pub(crate) fn with_failure(self, failure: &Failure) -> Self {
        Self { error: failure.error.clone(), cause: failure.cause.clone(), ..self }
    }
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Scheduled,
    Started,
    Submitted,
    Succeeded,
    Failed,
    TimedOut,
}
