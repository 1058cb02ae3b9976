//! What operators ask: is it alive, and what has it done.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use http::header;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Refusals;
use crate::server::Shared;

/// That the server is alive.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`.
    status: &'static str,
    version: &'static str,
}

/// Says that the server is alive. Needs no token.
#[utoipa::path(get, path = "/healthz", tag = "service", security(()), responses(
    (status = 200, description = "It is", body = Health),
))]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Counts and times, in the text format of OpenMetrics.
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, description = "For Prometheus", body = String, content_type = "application/openmetrics-text"),
    Refusals,
))]
pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    let text = shared.metrics.text(shared.store.holdings());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// The description of the API, made once.
#[derive(Clone)]
pub(super) struct Description(pub(super) Bytes);

/// This description. Needs no token.
#[utoipa::path(get, path = "/openapi.json", tag = "service", security(()), responses(
    (status = 200, description = "OpenAPI 3.1", body = Object),
))]
pub(super) async fn openapi(Extension(Description(api)): Extension<Description>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api).into_response()
}
