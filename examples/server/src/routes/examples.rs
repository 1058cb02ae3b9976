//! Modules to try.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

use super::reference::File;
use crate::api::{Examples, Problem, Refusals, Wasm};
use crate::examples::{self, Bytes};
use crate::server::Shared;

/// Lists modules to try.
#[utoipa::path(get, path = "/v1/examples", tag = "examples", responses(
    (status = 200, description = "All of them", body = Examples),
    Refusals,
))]
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Examples>, Problem> {
    let examples = blocking(move || examples::list(shared.guests.as_deref())).await?;
    Ok(Json(Examples { examples }))
}

/// Gives the bytes of a module to try.
#[utoipa::path(get, path = "/v1/examples/{file}", tag = "examples", params(
    ("file" = String, Path, description = "A `file` of the list"),
), responses(
    (status = 200, description = "The module", content((String = "text/plain"), (Wasm = "application/wasm"))),
    Refusals,
))]
pub(super) async fn bytes(State(shared): State<Shared>, File(file): File) -> Result<Response, Problem> {
    let guests = shared.guests;
    let lacking = Problem::not_found(format!("no example `{file}`"));
    match blocking(move || examples::find(&file, guests.as_deref())).await? {
        Some(Ok(Bytes::Text(text))) => {
            Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
        }
        Some(Ok(Bytes::Binary(bytes))) => Ok(([(header::CONTENT_TYPE, "application/wasm")], bytes).into_response()),
        Some(Err(error)) => {
            tracing::error!(%error, "an example cannot be read");
            Err(Problem::internal("the example cannot be read"))
        }
        None => Err(lacking),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal("the examples cannot be read"))
}
