//! What modules may use: granted to the bytes of one name, and to nothing that comes after them.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use runner_core::Grants;
use serde_json::Value;

use super::Target;
use crate::api::{self, GrantsOf, Problem, Refusals, SecretNames};
use crate::body;
use crate::server::Shared;
use crate::store::{Reference, Stored};

/// What the grants of one module may take: a thousand rules for outgoing requests, and more.
const GRANTS_BYTES_MAX: usize = 64 << 10;

/// Says what a module was granted.
#[utoipa::path(get, path = "/v1/modules/{ref}/grants", tag = "grants", params(
    ("ref" = String, Path, description = "`NAME` (its newest version) or `NAME@N`"),
), responses(
    (status = 200, description = "Its grants", body = GrantsOf, headers(("etag" = String, description = "For `If-Match`"))),
    Refusals,
))]
pub(super) async fn tell(State(shared): State<Shared>, Target(reference): Target) -> Result<Response, Problem> {
    named(&reference)?;
    let stored = shared.store.find(reference).await?;
    told(&shared, stored).await
}

/// Grants a module what it may use, in the place of what it was granted.
///
/// Grants belong to a name and to the bytes that the version has: they hold for other versions of the same bytes, not for
/// new bytes under the name, nor for the same bytes under another name or by `sha256:`. A call under way keeps what it has.
/// Where somebody else may store under the name meanwhile, grant `NAME@N`, which stands for the same bytes for ever.
/// With `If-Match`, it is granted only where the bytes and their grants are still those that `GET` told.
/// Modules that are granted the same name space of `kv` share its keys: give each its own, as the name of the module is.
#[utoipa::path(put, path = "/v1/modules/{ref}/grants", tag = "grants", params(
    ("ref" = String, Path, description = "`NAME` (its newest version) or `NAME@N`", example = "visits@1"),
    ("if-match" = Option<String>, Header, description = "The `ETag` of the grants that these take the place of"),
), request_body(content = Object, description = "For each capability's id its grant, as `/v1/grants/schema` has it",
    content_type = "application/json", example = json!({ "kv": { "stores": { "default": { "namespace": "visits" } } } })
), responses(
    (status = 200, description = "It is granted", body = GrantsOf, headers(("etag" = String, description = "For `If-Match`"))),
    (status = 412, description = "`conflict`: the bytes or their grants are others than `If-Match` has", body = Problem, content_type = "application/problem+json"),
    Refusals,
))]
pub(super) async fn put(
    State(shared): State<Shared>,
    Target(reference): Target,
    request: Request,
) -> Result<Response, Problem> {
    named(&reference)?;
    let expected = Expected::of(request.headers())?;
    let (grants, _place): (Grants, _) = body::read_json_within(&shared.bodies, request, GRANTS_BYTES_MAX).await?;
    shared.executor.check(&grants)?;
    let stored = grant(&shared, reference, grants, expected).await?;
    told(&shared, stored).await
}

/// Takes back what a module was granted.
#[utoipa::path(delete, path = "/v1/modules/{ref}/grants", tag = "grants", params(
    ("ref" = String, Path, description = "`NAME` (its newest version) or `NAME@N`"),
    ("if-match" = Option<String>, Header, description = "The `ETag` of the grants that are taken back"),
), responses(
    (status = 204, description = "It has nothing"),
    (status = 412, description = "`conflict`: the bytes or their grants are others than `If-Match` has", body = Problem, content_type = "application/problem+json"),
    Refusals,
))]
pub(super) async fn take_back(
    State(shared): State<Shared>,
    Target(reference): Target,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    named(&reference)?;
    grant(&shared, reference, Grants::none(), Expected::of(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The JSON Schema of grants: what this server can lend, and how it is written.
#[utoipa::path(get, path = "/v1/grants/schema", tag = "grants", responses(
    (status = 200, description = "JSON Schema, draft 2020-12", body = Object),
    Refusals,
))]
pub(super) async fn schema(State(shared): State<Shared>) -> Json<Value> {
    Json(api::grants_schema(shared.executor.grant_schemas()))
}

/// The names of the secrets that a grant for `http` may lend. Their values are told nobody.
#[utoipa::path(get, path = "/v1/secrets", tag = "grants", responses(
    (status = 200, description = "Their names", body = SecretNames),
    Refusals,
))]
pub(super) async fn secrets(State(shared): State<Shared>) -> Json<SecretNames> {
    Json(SecretNames { secrets: shared.secrets.to_vec() })
}

/// What `If-Match` has: the tags of which one must be that of the grants there are.
struct Expected(Option<Vec<String>>);

impl Expected {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut tags = Vec::new();
        for value in headers.get_all(header::IF_MATCH) {
            let text = value.to_str().map_err(|_| Problem::invalid("the header `If-Match` is no text"))?;
            tags.extend(text.split(',').map(|tag| tag.trim().to_owned()));
        }
        Ok(Expected(headers.contains_key(header::IF_MATCH).then_some(tags)))
    }

    fn is_met_by(&self, stored: &Stored) -> bool {
        let Some(tags) = &self.0 else { return true };
        let own = api::grants_tag(stored);
        tags.iter().any(|tag| *tag == own || tag == "*")
    }
}

async fn grant(shared: &Shared, reference: Reference, grants: Grants, expected: Expected) -> Result<Stored, Problem> {
    let stored = shared.store.grant(reference, grants, move |found| expected.is_met_by(found)).await?;
    // With what was granted before it is not needed again.
    shared.forget(&stored.id);
    Ok(stored)
}

async fn told(shared: &Shared, stored: Stored) -> Result<Response, Problem> {
    let tag = api::grants_tag(&stored);
    let before = match &stored.granted {
        None => shared.store.granted_before(&stored).await?,
        Some(_) => None,
    };
    let told = GrantsOf::new(stored, before, |grants| shared.executor.check(grants))
        .ok_or_else(|| Problem::internal("the module was found without its name"))?;
    Ok(([(header::ETAG, tag)], Json(told)).into_response())
}

fn named(reference: &Reference) -> Result<(), Problem> {
    match reference {
        Reference::Id(id) => Err(Problem::invalid(format!(
            "grants belong to a name, and `{id}` is none: store the module under one (`PUT /v1/modules/NAME`), and grant \
             that"
        ))),
        _ => Ok(()),
    }
}
