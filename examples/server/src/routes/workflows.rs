//! Workflows: what is wrong with one, how one would go, and those that are kept.

use std::num::NonZeroU32;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use runner_workflow::{Envelope, Simulation, StateTest, Validation, simulate, test_state, validate_against};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::reference::{Asked, Called};
use crate::api::{Problem, Refusals, Workflow, WorkflowList};
use crate::body;
use crate::server::Shared;

/// Workflows on a page of the list, unless asked otherwise, and at most.
const PAGE_WORKFLOWS: u32 = 100;
const PAGE_WORKFLOWS_MAX: u32 = 1_000;

/// Says everything that is wrong with a definition.
///
/// `definition` is an object, or its text: then complaints have lines and columns. With `severity` `WARNING` it says more, with `ERROR`
/// no warnings. What stands around the definition in an envelope (`resources`, `modules`, `tasks`) may be there, too: tasks are held
/// against the modules that are stored here.
#[utoipa::path(post, path = "/v1/workflows/validate", tag = "workflows", request_body(content = Object, content_type = "application/json",
    example = json!({ "definition": { "StartAt": "A", "States": { "A": { "Type": "Pass", "End": true } } } })
), responses(
    (status = 200, description = "`result`: `OK` or `FAIL`, and `diagnostics`: each with `severity`, `code`, `message` and `location`, a JSON pointer", body = Object),
    Refusals,
))]
pub(super) async fn validate(State(shared): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let (asked, _place): (Value, _) = body::read_json(&shared.bodies, request).await?;
    let validation: Validation = read(&asked)?;
    let envelope =
        Envelope::around(&validation.definition, &asked).map_err(|error| Problem::invalid(error.to_string()))?;
    let definition = envelope.definition().ok();
    let signatures = match &definition {
        Some(definition) => Some(shared.flows.signatures(definition, &envelope).await),
        None => None,
    };
    aside(&shared, move || match signatures {
        Some(signatures) => validate_against(&validation, &signatures),
        None => runner_workflow::validate(&validation),
    })
    .await
}

/// Runs a definition with nothing real in it.
///
/// The clock jumps, tasks answer from `task_results` in the order in which they are asked (`{state, iteration?, result}`, or `error` and
/// `cause`, or `timeout: true`), and nothing is kept. A definition that is wrong has the status `REJECTED`.
#[utoipa::path(post, path = "/v1/workflows/simulate", tag = "workflows", request_body(content = Object, content_type = "application/json",
    example = json!({ "definition": { "StartAt": "A", "States": { "A": { "Type": "Task", "Resource": "wasm:orders@1#total", "End": true } } },
        "input": { "order": 7 }, "task_results": [{ "state": "A", "result": 12 }] })
), responses(
    (status = 200, description = "`status`, `output` or `error` and `cause`, and `trace`, the history", body = Object),
    Refusals,
))]
pub(super) async fn simulated(State(shared): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let (asked, _place): (Value, _) = body::read_json(&shared.bodies, request).await?;
    let simulation: Simulation = read(&asked)?;
    aside(&shared, move || simulate(&simulation)).await
}

/// Runs one state with a mock in the place of what it would have done, as AWS's TestState does.
#[utoipa::path(post, path = "/v1/workflows/test-state", tag = "workflows", request_body(content = Object, content_type = "application/json",
    example = json!({ "definition": { "Type": "Task", "Resource": "wasm:orders@1#total", "End": true }, "input": "{\"order\": 7}",
        "mock": { "result": "12" }, "inspectionLevel": "DEBUG" })
), responses(
    (status = 200, description = "`status`, `output` or `error` and `cause`, `nextState`, `inspectionData`", body = Object),
    Refusals,
))]
pub(super) async fn tested(State(shared): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let (asked, _place): (Value, _) = body::read_json(&shared.bodies, request).await?;
    let test: StateTest = read(&asked)?;
    aside(&shared, move || test_state(&test, None)).await
}

/// Reads what was asked for, and says which field is not what it must be.
fn read<T: for<'de> Deserialize<'de>>(asked: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(asked).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { "the request".to_owned() } else { format!("`{path}`") };
        Problem::invalid(format!("{place}: {}", error.into_inner()))
    })
}

/// Has the machine work on a thread of its own: a definition may take its time.
async fn aside<T: Serialize>(
    shared: &Shared,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Json<Value>, Problem> {
    let place = shared.machine_places.clone().acquire_owned().await;
    let worked = tokio::task::spawn_blocking(move || {
        let _place = place;
        serde_json::to_value(work())
    });
    match worked.await {
        Ok(Ok(value)) => Ok(Json(value)),
        Ok(Err(error)) => Err(Problem::internal(format!("the answer cannot be written: {error}"))),
        Err(error) => {
            tracing::error!(%error, "the machine panicked");
            Err(Problem::internal("the machine panicked"))
        }
    }
}

/// Keeps a workflow, as the next version of its name.
///
/// The body is an envelope: `definition`, and around it what the workflow needs. Executions that run keep the version that they
/// started with.
#[utoipa::path(put, path = "/v1/workflows/{name}", tag = "workflows", params(
    ("name" = String, Path, description = "Up to 80 letters, digits, `-` and `_`"),
), request_body(content = Object, content_type = "application/json",
    example = json!({ "definition": { "StartAt": "A", "States": { "A": { "Type": "Pass", "End": true } } } })
), responses(
    (status = 201, description = "It is kept", body = Workflow),
    Refusals,
))]
pub(super) async fn put(
    State(shared): State<Shared>,
    Called(name): Called,
    request: Request,
) -> Result<Response, Problem> {
    let (asked, _place): (Value, _) = body::read_json(&shared.bodies, request).await?;
    let text = asked.to_string();
    let version = shared.flows.workflows.put(&name, &text).await?;
    let (kept, _) = shared.flows.workflows.workflow(&name, Some(version)).await?.ok_or_else(|| missing(&name))?;
    let validation = json!({ "definition": asked["definition"] });
    let warnings = match (Envelope::parse(&text), serde_json::from_value::<Validation>(validation)) {
        (Ok(envelope), Ok(validation)) => match envelope.definition() {
            Ok(definition) => {
                let signatures = shared.flows.signatures(&definition, &envelope).await;
                validate_against(&validation, &signatures).diagnostics
            }
            Err(_) => Vec::new(),
        },
        _ => Vec::new(),
    };
    Ok((StatusCode::CREATED, Json(Workflow { warnings, ..kept.into() })).into_response())
}

/// Which version.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Versioned {
    /// The version; the newest where it is left out.
    version: Option<u32>,
}

/// Tells a workflow.
#[utoipa::path(get, path = "/v1/workflows/{name}", tag = "workflows", params(
    ("name" = String, Path, description = "Its name"), Versioned,
), responses(
    (status = 200, description = "The version, with its envelope", body = Workflow),
    Refusals,
))]
pub(super) async fn tell(
    State(shared): State<Shared>,
    Called(name): Called,
    Asked(asked): Asked<Versioned>,
) -> Result<Json<Workflow>, Problem> {
    let found = shared.flows.workflows.workflow(&name, asked.version).await?;
    let (version, text) = found.ok_or_else(|| missing(&name))?;
    let envelope = serde_json::from_str(&text);
    let envelope = envelope.map_err(|error| Problem::internal(format!("the envelope cannot be read: {error}")))?;
    Ok(Json(Workflow { envelope: Some(envelope), ..version.into() }))
}

/// Removes a workflow. Its executions go on, and stay.
#[utoipa::path(delete, path = "/v1/workflows/{name}", tag = "workflows", params(
    ("name" = String, Path, description = "Its name"),
), responses(
    (status = 204, description = "It is gone"),
    Refusals,
))]
pub(super) async fn remove(State(shared): State<Shared>, Called(name): Called) -> Result<StatusCode, Problem> {
    match shared.flows.workflows.remove(&name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(&name)),
    }
}

/// Which part of the list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Workflows to list, 1 to 1,000; 100 where it is left out.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Lists the workflows by name, each by its newest version.
#[utoipa::path(get, path = "/v1/workflows", tag = "workflows", params(Paging), responses(
    (status = 200, description = "A page of the list", body = WorkflowList),
    Refusals,
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<WorkflowList>, Problem> {
    let limit = limit(paging.limit.as_deref(), PAGE_WORKFLOWS, PAGE_WORKFLOWS_MAX)?;
    let page = shared.flows.workflows.workflows(paging.after.as_deref(), limit).await?;
    Ok(Json(page.into()))
}

/// How many are to be on a page.
pub(super) fn limit(asked: Option<&str>, default: u32, most: u32) -> Result<NonZeroU32, Problem> {
    let limit = match asked {
        None => NonZeroU32::new(default),
        Some(text) => text.parse().ok().filter(|limit: &NonZeroU32| limit.get() <= most),
    };
    limit.ok_or_else(|| {
        let found = crate::json::shown(asked.unwrap_or_default());
        Problem::invalid(format!("`limit` is `{found}`, expected 1 to {most}"))
    })
}

fn missing(name: &str) -> Problem {
    Problem::not_found(format!("no workflow `{}`", crate::json::shown(name)))
}
