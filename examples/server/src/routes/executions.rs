//! Executions of workflows: started, listed, told, watched, stopped, and let go on.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode};
use runner_workflow::store::Search;
use runner_workflow::{Done, Start, Workflows};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;
use utoipa::IntoParams;

use super::reference::{Asked, Called, Id, Token};
use super::workflows::limit;
use crate::api::{
    ExecutionList, ExecutionState, FailureRequest, History, HistoryEntry, Problem, Refusals, StartRequest,
    SuccessRequest, millis, status,
};
use crate::body;
use crate::server::Shared;

/// Executions on a page of the list, unless asked otherwise, and at most.
const PAGE_EXECUTIONS: u32 = 100;
const PAGE_EXECUTIONS_MAX: u32 = 1_000;
/// Entries on a page of a history, likewise.
const PAGE_EVENTS: u32 = 1_000;
const PAGE_EVENTS_MAX: u32 = 10_000;
/// How long a start may be asked to wait: the patience of most clients and proxies.
const WAIT_MAX_SECONDS: u64 = 60;
/// Entries that a stream reads at a time.
const STREAMED: u32 = 100;

/// How long somebody waits.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Patience {
    /// Seconds that the answer may wait for the end of the execution, up to 60; 0 where it is left out.
    wait: Option<u64>,
}

/// Starts an execution.
///
/// It is kept when this answers, and goes on by itself. With a `name` it is started once: the same name and the same input answer
/// 200 with what was started before, the same name and another input 409.
#[utoipa::path(post, path = "/v1/workflows/{name}/executions", tag = "executions", params(
    ("name" = String, Path, description = "The workflow's name"), Patience,
), request_body(content = StartRequest, content_type = "application/json"), responses(
    (status = 201, description = "It has started; with `wait`, how it ended or what it waits for", body = ExecutionState),
    (status = 200, description = "It was started before by this name", body = ExecutionState),
    (status = 409, description = "`conflict`: the name was used with another input", body = Problem, content_type = "application/problem+json"),
    Refusals,
))]
pub(super) async fn start(
    State(shared): State<Shared>,
    Called(workflow): Called,
    Asked(patience): Asked<Patience>,
    request: Request,
) -> Result<Response, Problem> {
    let wait = patience.wait.unwrap_or(0);
    if wait > WAIT_MAX_SECONDS {
        return Err(Problem::invalid(format!("`wait` is {wait}, expected {WAIT_MAX_SECONDS} seconds at most")));
    }
    let (asked, _place): (StartRequest, _) = body::read_json(&shared.bodies, request).await?;
    let workflows = &shared.flows.workflows;
    let start = Start { input: asked.input, name: asked.name, version: asked.version };
    let started = workflows.execute(&workflow, start).await?;
    let id = started.execution.id;
    let described = match timeout(Duration::from_secs(wait), workflows.ended(&id)).await {
        Ok(ended) => ended?,
        Err(_) => workflows.describe(&id).await?,
    };
    let status = if started.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(ExecutionState::from(described))).into_response())
}

/// Which executions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Searched {
    /// Those in this status: `RUNNING`, `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
    status: Option<String>,
    /// Those of this workflow.
    workflow: Option<String>,
    /// Those whose name begins with this.
    name: Option<String>,
    /// Those that started at this time or later, RFC 3339.
    started_from: Option<String>,
    /// Those that started before this time, RFC 3339.
    started_before: Option<String>,
    /// Executions to list, 1 to 1,000; 100 where it is left out.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Lists executions, the newest first.
#[utoipa::path(get, path = "/v1/executions", tag = "executions", params(Searched), responses(
    (status = 200, description = "A page of the list", body = ExecutionList),
    Refusals,
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Asked(asked): Asked<Searched>,
) -> Result<Json<ExecutionList>, Problem> {
    let limit = limit(asked.limit.as_deref(), PAGE_EXECUTIONS, PAGE_EXECUTIONS_MAX)?;
    let time = |text: Option<String>| text.map(|text| millis(&text)).transpose().map_err(Problem::invalid);
    let search = Search {
        workflow: asked.workflow,
        status: asked.status.map(|text| status(&text)).transpose().map_err(Problem::invalid)?,
        name_prefix: asked.name,
        started_from_ms: time(asked.started_from)?,
        started_before_ms: time(asked.started_before)?,
        after: asked.after,
    };
    Ok(Json(shared.flows.workflows.executions(search, limit).await?.into()))
}

/// Tells an execution: how it goes, what it waits for and until when, how it ended.
#[utoipa::path(get, path = "/v1/executions/{id}", tag = "executions", params(
    ("id" = String, Path, description = "Its id"),
), responses(
    (status = 200, description = "The execution", body = ExecutionState),
    Refusals,
))]
pub(super) async fn tell(State(shared): State<Shared>, Id(id): Id) -> Result<Json<ExecutionState>, Problem> {
    Ok(Json(shared.flows.workflows.describe(&id).await?.into()))
}

/// Which part of a history.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Entries to list, 1 to 10,000; 1,000 where it is left out.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// The number of the entry behind which it begins.
    after: Option<u64>,
}

/// Tells an execution's history, entry by entry.
#[utoipa::path(get, path = "/v1/executions/{id}/history", tag = "executions", params(
    ("id" = String, Path, description = "Its id"), Part,
), responses(
    (status = 200, description = "A page of the history", body = History),
    Refusals,
))]
pub(super) async fn history(
    State(shared): State<Shared>,
    Id(id): Id,
    Asked(part): Asked<Part>,
) -> Result<Json<History>, Problem> {
    let limit = limit(part.limit.as_deref(), PAGE_EVENTS, PAGE_EVENTS_MAX)?;
    Ok(Json(shared.flows.workflows.history(&id, part.after.unwrap_or(0), limit).await?.into()))
}

/// Streams an execution's history as it is made, as server-sent events.
///
/// Each entry is an event `history` with its number as `id`; who comes back with `Last-Event-ID` gets what came since. When the
/// execution has ended, there is one event `end` more with its `status`, and the stream ends.
#[utoipa::path(get, path = "/v1/executions/{id}/events", tag = "executions", params(
    ("id" = String, Path, description = "Its id"),
    ("last-event-id" = Option<u64>, Header, description = "The number of the last entry that is known"),
), responses(
    (status = 200, description = "Events", body = HistoryEntry, content_type = "text/event-stream"),
    Refusals,
))]
pub(super) async fn events(State(shared): State<Shared>, Id(id): Id, headers: HeaderMap) -> Result<Response, Problem> {
    let after = match headers.get("last-event-id") {
        None => 0,
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let found = String::from_utf8_lossy(value.as_bytes());
            Problem::invalid(format!("`Last-Event-ID` is `{}`, expected a number", crate::json::shown(&found)))
        })?,
    };
    // One that is not there is told before the stream begins.
    shared.flows.workflows.describe(&id).await?;
    let events = watch(shared.flows.workflows.clone(), id, after).map(Ok::<_, Infallible>);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// The entries behind a number as they come, and that it has ended.
fn watch(workflows: Workflows, id: String, after: u64) -> impl Stream<Item = Event> {
    let next = async move |after: Option<u64>| {
        let after = after?;
        let (events, after) = match read(&workflows, &id, after).await {
            Ok(read) => read,
            // The client comes back with the last number that it has seen.
            Err(error) => {
                tracing::warn!(execution = id, %error, "a stream of events was cut off");
                return None;
            }
        };
        Some((stream::iter(events), after))
    };
    let next = std::sync::Arc::new(next);
    stream::unfold(Some(after), move |after| {
        let next = next.clone();
        async move { next(after).await }
    })
    .flatten()
}

/// The next entries, once there are some, and behind which number to go on; nowhere at the end.
async fn read(workflows: &Workflows, id: &str, after: u64) -> runner_workflow::Result<(Vec<Event>, Option<u64>)> {
    let many = std::num::NonZeroU32::new(STREAMED).expect("it is not zero");
    // Looked at before: what is made meanwhile is read all the same.
    let has_ended = workflows.changed(id, after).await?;
    let page = workflows.history(id, after, many).await?;
    let last = page.found.last().map_or(after, |last| last.id);
    let mut events: Vec<Event> = page.found.into_iter().map(|event| entry(&event.into())).collect();
    if !has_ended || page.more {
        return Ok((events, Some(last)));
    }
    let described = workflows.describe(id).await?;
    if described.summary.ended_ms.is_none() || described.history_events > last {
        // It was let go on meanwhile.
        return Ok((events, Some(last)));
    }
    let status = json!({ "status": described.summary.status.as_str() });
    events.push(Event::default().event("end").id(last.to_string()).data(status.to_string()));
    Ok((events, None))
}

fn entry(entry: &HistoryEntry) -> Event {
    // Its keys are texts.
    let data = serde_json::to_string(entry).unwrap_or_default();
    Event::default().event("history").id(entry.id.to_string()).data(data)
}

/// Stops an execution that runs.
#[utoipa::path(post, path = "/v1/executions/{id}/stop", tag = "executions", params(
    ("id" = String, Path, description = "Its id"),
), request_body(content = FailureRequest, content_type = "application/json"), responses(
    (status = 200, description = "It is stopped", body = ExecutionState),
    (status = 409, description = "`conflict`: it has ended", body = Problem, content_type = "application/problem+json"),
    Refusals,
))]
pub(super) async fn stop(
    State(shared): State<Shared>,
    Id(id): Id,
    request: Request,
) -> Result<Json<ExecutionState>, Problem> {
    let (why, _place): (FailureRequest, _) = body::read_json(&shared.bodies, request).await?;
    shared.flows.workflows.stop(&id, why.error, why.cause).await?;
    Ok(Json(shared.flows.workflows.describe(&id).await?.into()))
}

/// Lets an execution that failed, timed out or was stopped go on from there.
#[utoipa::path(post, path = "/v1/executions/{id}/redrive", tag = "executions", params(
    ("id" = String, Path, description = "Its id"),
), responses(
    (status = 200, description = "It goes on", body = ExecutionState),
    (status = 409, description = "`conflict`: it runs, or has succeeded", body = Problem, content_type = "application/problem+json"),
    Refusals,
))]
pub(super) async fn redrive(State(shared): State<Shared>, Id(id): Id) -> Result<Json<ExecutionState>, Problem> {
    shared.flows.workflows.redrive(&id).await?;
    Ok(Json(shared.flows.workflows.describe(&id).await?.into()))
}

/// Says that the task of a token is done.
#[utoipa::path(post, path = "/v1/task-tokens/{token}/success", tag = "executions", params(
    ("token" = String, Path, description = "The token that the task was handed"),
), request_body(content = SuccessRequest, content_type = "application/json"), responses(
    (status = 204, description = "It is kept"),
    Refusals,
))]
pub(super) async fn success(
    State(shared): State<Shared>,
    Token(token): Token,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (asked, _place): (SuccessRequest, _) = body::read_json(&shared.bodies, request).await?;
    shared.flows.workflows.task_done(&token, Done::Succeeded(asked.output)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says that the task of a token failed.
#[utoipa::path(post, path = "/v1/task-tokens/{token}/failure", tag = "executions", params(
    ("token" = String, Path, description = "The token that the task was handed"),
), request_body(content = FailureRequest, content_type = "application/json"), responses(
    (status = 204, description = "It is kept"),
    Refusals,
))]
pub(super) async fn failure(
    State(shared): State<Shared>,
    Token(token): Token,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (asked, _place): (FailureRequest, _) = body::read_json(&shared.bodies, request).await?;
    shared.flows.workflows.task_done(&token, asked.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says that the task of a token is still alive.
#[utoipa::path(post, path = "/v1/task-tokens/{token}/heartbeat", tag = "executions", params(
    ("token" = String, Path, description = "The token that the task was handed"),
), responses(
    (status = 204, description = "It is kept"),
    Refusals,
))]
pub(super) async fn heartbeat(State(shared): State<Shared>, Token(token): Token) -> Result<StatusCode, Problem> {
    shared.flows.workflows.task_alive(&token).await?;
    Ok(StatusCode::NO_CONTENT)
}
