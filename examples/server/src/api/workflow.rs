//! Workflows and executions as callers see them. Times are RFC 3339.

use jiff::Timestamp;
use runner_workflow::store::{Page, Status, Summary, Version};
use runner_workflow::{Described, Diagnostic, Done, Ending, HistoryEvent, Waiting, WaitingOn};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A version of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Workflow {
    pub(crate) name: String,
    /// Counts from 1. Numbers are never used again, also not after the name was deleted.
    pub(crate) version: u32,
    /// When it was put, RFC 3339.
    pub(crate) created: String,
    /// The definition and what stands around it; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) envelope: Option<Value>,
    /// What looks wrong with the definition and does not keep it from running. In the answer to `PUT`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub(crate) warnings: Vec<Diagnostic>,
}

impl From<Version> for Workflow {
    fn from(version: Version) -> Self {
        let Version { name, version, created_ms } = version;
        Workflow { name, version, created: time(created_ms), envelope: None, warnings: Vec::new() }
    }
}

/// A page of the list of workflows, each by its newest version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkflowList {
    workflows: Vec<Workflow>,
    /// What to ask for `after`; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<Page<Version>> for WorkflowList {
    fn from(page: Page<Version>) -> Self {
        let next = page.found.last().filter(|_| page.more).map(|last| last.name.clone());
        WorkflowList { workflows: page.found.into_iter().map(Into::into).collect(), next }
    }
}

/// How an execution is to be started.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRequest {
    /// What it works with. Default `{}`.
    #[serde(default = "empty")]
    pub(crate) input: Value,
    /// Its name, up to 80 letters, digits, `-` and `_`, by which it is started once. Default its id.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// The version of the workflow that it runs. Default the newest.
    #[serde(default)]
    pub(crate) version: Option<u32>,
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

/// An execution, in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) workflow: String,
    /// The version of the workflow that it runs.
    pub(crate) version: u32,
    pub(crate) name: String,
    /// `RUNNING`, `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
    pub(crate) status: &'static str,
    /// When it started, RFC 3339.
    pub(crate) started: String,
    /// When it ended, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<String>,
}

impl From<Summary> for Execution {
    fn from(summary: Summary) -> Self {
        let Summary { id, workflow, version, name, status, started_ms, ended_ms } = summary;
        let (started, ended) = (time(started_ms), ended_ms.map(time));
        Execution { id, workflow, version, name, status: status.as_str(), started, ended }
    }
}

/// A page of the list of executions, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExecutionList {
    executions: Vec<Execution>,
    /// What to ask for `after`; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<Page<Summary>> for ExecutionList {
    fn from(page: Page<Summary>) -> Self {
        let next = page.found.last().filter(|_| page.more).map(|last| last.id.clone());
        ExecutionList { executions: page.found.into_iter().map(Into::into).collect(), next }
    }
}

/// All that is known of an execution.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExecutionState {
    #[serde(flatten)]
    execution: Execution,
    input: Value,
    /// Of one that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    /// The name of why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Why it did not, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    /// What it waits for, where it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<WaitingFor>,
    /// How often it went on from where it had failed.
    redrives: u32,
    /// How many entries its history has.
    history_events: u64,
}

/// What a state of an execution waits for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaitingFor {
    state: String,
    /// `task`, `time` or `retry`.
    on: &'static str,
    /// Until when at the latest, RFC 3339; absent where it is for as long as it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl From<Waiting> for WaitingFor {
    fn from(waiting: Waiting) -> Self {
        let on = match waiting.on {
            WaitingOn::Task(_) => "task",
            WaitingOn::Time => "time",
            WaitingOn::Retry => "retry",
        };
        WaitingFor { state: waiting.state, on, until: waiting.until_ms.map(time) }
    }
}

impl From<Described> for ExecutionState {
    fn from(described: Described) -> Self {
        let (output, failure) = match described.ending {
            None => (None, None),
            Some(Ending::Succeeded { output }) => (Some(output), None),
            Some(Ending::Failed(failure) | Ending::TimedOut(failure) | Ending::Aborted(failure)) => {
                (None, Some(failure))
            }
        };
        let (error, cause) = failure.map_or((None, None), |failure| (failure.error, failure.cause));
        ExecutionState {
            execution: described.summary.into(),
            input: described.input,
            output,
            error,
            cause,
            waiting: described.waiting.into_iter().map(Into::into).collect(),
            redrives: described.redrives,
            history_events: described.history_events,
        }
    }
}

/// One entry of a history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryEntry {
    /// Its number, from 1.
    pub(crate) id: u64,
    /// When it happened, RFC 3339.
    at: String,
    /// What happened: `type`, and by it `name`, `input`, `output`, `error`, `cause` and others, as AWS's history has them.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    entry: runner_workflow::Entry,
}

impl From<HistoryEvent> for HistoryEntry {
    fn from(event: HistoryEvent) -> Self {
        HistoryEntry { id: event.id, at: time(event.at_ms), entry: event.entry }
    }
}

/// A page of a history, in its order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    events: Vec<HistoryEntry>,
    /// What to ask for `after`; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

impl From<Page<HistoryEvent>> for History {
    fn from(page: Page<HistoryEvent>) -> Self {
        let next = page.found.last().filter(|_| page.more).map(|last| last.id);
        History { events: page.found.into_iter().map(Into::into).collect(), next }
    }
}

/// The name and the text of a failure.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FailureRequest {
    /// The name that Retry and Catch match.
    pub(crate) error: Option<String>,
    /// The text for people.
    pub(crate) cause: Option<String>,
}

/// What a task has given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuccessRequest {
    pub(crate) output: Value,
}

impl From<FailureRequest> for Done {
    fn from(asked: FailureRequest) -> Self {
        Done::Failed(runner_workflow::Failure { error: asked.error, cause: asked.cause, location: None })
    }
}

/// A status as it is written.
pub(crate) fn status(text: &str) -> Result<Status, String> {
    let found = Status::ALL.into_iter().find(|status| status.as_str() == text);
    found.ok_or_else(|| {
        let known = Status::ALL.map(Status::as_str).join(", ");
        format!("status `{}`: expected one of {known}", crate::json::shown(text))
    })
}

/// A time as it is written: RFC 3339, or milliseconds since 1970.
pub(crate) fn millis(text: &str) -> Result<i64, String> {
    let parsed = text.parse::<i64>().ok().or_else(|| Some(text.parse::<Timestamp>().ok()?.as_millisecond()));
    parsed.ok_or_else(|| format!("time `{}`: expected one as 2026-01-31T12:00:00Z", crate::json::shown(text)))
}

fn time(ms: i64) -> String {
    // What is out of its range nobody's clock says.
    Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}
