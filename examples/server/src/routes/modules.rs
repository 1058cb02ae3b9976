//! Storing, listing, describing and removing modules.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use runner_core::Grants;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Target;
use super::reference::{Asked, Naming};
use crate::api::{Module, ModuleList, Problem, Refusals, Wasm};
use crate::body;
use crate::server::{Explained, Shared};
use crate::store::{Name, Reference, Stored};

/// Modules on a page of the list, unless asked otherwise, and at most.
const PAGE_MODULES: usize = 100;
const PAGE_MODULES_MAX: usize = 1_000;

/// Stores a module by its content.
///
/// The body is a component, a core module or WebAssembly text. It is compiled first: what cannot run is not stored.
/// Storing the same bytes again changes nothing and answers 200.
#[utoipa::path(post, path = "/v1/modules", tag = "modules", request_body(description = "The module", content(
    (Wasm = "application/wasm"), (String = "text/plain")
)), responses(
    (status = 201, description = "It is stored", body = Module),
    (status = 200, description = "It was stored before", body = Module),
    Refusals,
))]
pub(super) async fn add(State(shared): State<Shared>, request: Request) -> Result<Response, Problem> {
    let (described, is_new) = store(&shared, None, request).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, described).into_response())
}

/// Stores a module as the next version of a name.
///
/// Each `PUT` makes a version, of the same bytes too; old ones stay. The numbers count from 1 and are never used again,
/// also not after the name was deleted.
#[utoipa::path(put, path = "/v1/modules/{ref}", tag = "modules", params(
    ("ref" = String, Path, description = "A name: `[a-z0-9][a-z0-9._-]*`, 100 characters at most"),
), request_body(description = "The module", content(
    (Wasm = "application/wasm"), (String = "text/plain")
)), responses(
    (status = 201, description = "It is stored", body = Module),
    Refusals,
))]
pub(super) async fn put(
    State(shared): State<Shared>,
    Naming(name): Naming,
    request: Request,
) -> Result<Response, Problem> {
    let (described, _) = store(&shared, Some(name), request).await?;
    Ok((StatusCode::CREATED, described).into_response())
}

async fn store(shared: &Shared, name: Option<Name>, request: Request) -> Result<(Response, bool), Problem> {
    let held = body::read_module(&shared.bodies, request, shared.executor.bounds().module_bytes).await?;
    let explained = shared.explain(&held, &Grants::none(), name.as_ref()).await?;
    let (id, kind) = (explained.explanation.id.clone(), explained.explanation.kind.as_str());
    let (stored, is_new) = shared.store.put(name, id, held, kind).await?;
    let explained = match stored.granted {
        // The same bytes had something already under this name. It is stored, whether there is room to say so or not.
        Some(_) => shared.explain_stored(&stored).await.unwrap_or(explained),
        None => explained,
    };
    Ok((described(stored, explained).await?, is_new))
}

/// A module as JSON, written aside: that may take a while, also for a small module.
async fn described(stored: Stored, explained: Explained) -> Result<Response, Problem> {
    let Explained { explanation, place } = explained;
    let written = tokio::task::spawn_blocking(move || serde_json::to_vec(&Module::new(stored, explanation)));
    let Ok(Ok(json)) = written.await else { return Err(Problem::internal("the module cannot be described")) };
    // From here on it is an answer like any other.
    drop(place);
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

/// Which part of the list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Modules to list, 1 to 1,000; 100 where it is left out.
    #[param(value_type = Option<usize>)]
    limit: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Lists the modules, page by page.
///
/// By name, newest version first; then those without a name, by id. What is stored or removed meanwhile neither repeats
/// nor hides another.
#[utoipa::path(get, path = "/v1/modules", tag = "modules", params(Paging), responses(
    (status = 200, description = "A page of the list", body = ModuleList),
    Refusals,
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<ModuleList>, Problem> {
    let limit = paging.limit.map_or(Ok(PAGE_MODULES), |text| {
        let limit = text.parse().ok().filter(|limit| (1..=PAGE_MODULES_MAX).contains(limit));
        limit.ok_or_else(|| Problem::invalid(format!("`limit` is `{text}`, expected 1 to {PAGE_MODULES_MAX}")))
    })?;
    let after = paging.after.map(|after| after.parse::<Reference>());
    let after = after.transpose().map_err(|error| Problem::invalid(format!("`after`: {error}")))?;
    // One more than asked for tells whether there is another page.
    let mut found = shared.store.list(after, limit + 1).await?;
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last).map(|last| last.reference().to_string());
    Ok(Json(ModuleList { modules: found.into_iter().map(Into::into).collect(), next }))
}

/// Describes a module: what it exports with types and schemas, and what it needs.
#[utoipa::path(get, path = "/v1/modules/{ref}", tag = "modules", params(
    ("ref" = String, Path, description = "`NAME` (its newest version), `NAME@N` or `sha256:HEX`"),
), responses(
    (status = 200, description = "The module", body = Module),
    Refusals,
))]
pub(super) async fn describe(State(shared): State<Shared>, Target(reference): Target) -> Result<Response, Problem> {
    let stored = shared.store.find(reference).await?;
    let explained = shared.explain_stored(&stored).await?;
    described(stored, explained).await
}

/// Removes a name with all its versions, one version, or a module by its content.
///
/// Removing a name or a version leaves the bytes, which stay callable by `sha256:HEX`. The bytes go when no name refers
/// to them and they are removed by that.
#[utoipa::path(delete, path = "/v1/modules/{ref}", tag = "modules", params(
    ("ref" = String, Path, description = "`NAME` (all its versions), `NAME@N` or `sha256:HEX`"),
), responses(
    (status = 204, description = "It is gone"),
    (status = 409, description = "`conflict`: a name still refers to it", body = Problem, content_type = "application/problem+json"),
    Refusals,
))]
pub(super) async fn remove(State(shared): State<Shared>, Target(reference): Target) -> Result<StatusCode, Problem> {
    shared.store.delete(reference.clone()).await?;
    if let Reference::Id(id) = &reference {
        shared.forget(id);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The name under which a command finds itself in `argv[0]`.
pub(super) fn own_name(label: Option<&(Name, u32)>) -> &str {
    label.map_or("module", |(name, _)| name.as_str())
}
