//! What modules keep by key, for whoever runs the server: it stays when the module goes, until it is removed here.

use std::num::NonZeroU32;

use axum::Json;
use axum::extract::State;
use runner_host_kv::{Kv, Namespace, Store};
use serde::Deserialize;
use utoipa::IntoParams;

use super::reference::{Asked, Space};
use crate::api::{Backend, Backends, NamespaceOf, Problem, Refusals};
use crate::server::Shared;

/// What the backend is called here that grants leave out.
const FIRST: &str = "default";

/// Name spaces of one backend in an answer, unless asked otherwise, and at most.
const PAGE_NAMESPACES: u32 = 100;
const PAGE_NAMESPACES_MAX: u32 = 1_000;

/// Which part of the list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// This backend alone.
    backend: Option<String>,
    /// Name spaces to list of each backend, 1 to 1,000; 100 where it is left out.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// The last name of the page before.
    after: Option<String>,
}

/// Lists the name spaces of the key-value stores, with what they hold.
///
/// A name space is there as long as it holds a key. What has ended is removed first.
#[utoipa::path(get, path = "/v1/kv", tag = "kv", params(Paging), responses(
    (status = 200, description = "The name spaces of each backend", body = Backends),
    Refusals,
))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Backends>, Problem> {
    let limit = paging.limit.map_or(NonZeroU32::new(PAGE_NAMESPACES), |text| {
        text.parse().ok().filter(|limit: &NonZeroU32| limit.get() <= PAGE_NAMESPACES_MAX)
    });
    let limit = limit.ok_or_else(|| Problem::invalid(format!("expected `limit` of 1 to {PAGE_NAMESPACES_MAX}")))?;
    let after = paging.after.map(Namespace::new).transpose()?;
    let wanted = paging.backend.as_deref();
    if let Some(backend) = wanted {
        find(&shared.kv, backend)?;
    }
    let mut backends = Vec::new();
    let looked_at: Vec<_> = named(&shared.kv).filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name)).collect();
    for (name, store) in looked_at {
        let page = store.namespaces(after.as_ref(), limit).await?;
        let namespaces = page.found.iter().map(|(name, usage)| NamespaceOf::new(name, *usage)).collect();
        backends.push(Backend { backend: name.to_owned(), namespaces, more: page.more });
    }
    Ok(Json(Backends { backends }))
}

/// Removes everything that a name space of a key-value store holds.
///
/// Grants for it stay, and a call under way finds it empty. To delete a module removes none of its keys: others may have the
/// same name space.
#[utoipa::path(delete, path = "/v1/kv/{backend}/{namespace}", tag = "kv", params(
    ("backend" = String, Path, description = "A backend of the list; `default` is the one of grants that name none"),
    ("namespace" = String, Path, description = "A name space of the list", example = "visits"),
), responses(
    (status = 200, description = "It is empty; what it held", body = NamespaceOf),
    Refusals,
))]
pub(super) async fn clear(
    State(shared): State<Shared>,
    Space { backend, namespace }: Space,
) -> Result<Json<NamespaceOf>, Problem> {
    let usage = find(&shared.kv, &backend)?.clear(&namespace).await?;
    match usage.keys {
        0 => Err(Problem::not_found(format!("backend `{backend}` holds nothing in name space {namespace}"))),
        _ => Ok(Json(NamespaceOf::new(&namespace, usage))),
    }
}

fn named(kv: &Kv) -> impl Iterator<Item = (&str, &dyn Store)> {
    kv.backends().map(|(name, store)| (name.unwrap_or(FIRST), store))
}

fn find<'a>(kv: &'a Kv, backend: &str) -> Result<&'a dyn Store, Problem> {
    named(kv).find(|(name, _)| *name == backend).map(|(_, store)| store).ok_or_else(|| {
        let known: Vec<_> = named(kv).map(|(name, _)| format!("`{name}`")).collect();
        Problem::not_found(format!("no backend `{backend}`: there are {}", known.join(", ")))
    })
}
