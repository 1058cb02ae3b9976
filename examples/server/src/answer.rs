//! Answers in memory: each large one has its place there until the client has taken it, or is gone.

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt;

use crate::api::Problem;
use crate::body::Held;
use crate::room::Room;

/// What needs no place: as many as there are connections take 64 MiB.
const SMALL_BYTES: u64 = 64 << 10;

/// Left on a response whose body is never whole in memory, whatever its length.
#[derive(Clone, Copy)]
pub(crate) struct Streams;

/// Holds an answer in its place, or refuses it where others that nobody reads hold all of it. It was made without a
/// pause: so there is at most one for each thread that has no place yet.
pub(crate) async fn hold(State(room): State<Room>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let bytes = match response.extensions().get::<Streams>() {
        Some(Streams) => None,
        None => response.body().size_hint().exact(),
    };
    let Some(bytes) = bytes.filter(|bytes| *bytes > SMALL_BYTES) else { return response };
    let Some(place) = room.take_at_once(usize::try_from(bytes).unwrap_or(usize::MAX)) else {
        return Problem::unavailable("answers that are not read yet hold all the memory for them").into_response();
    };
    let (head, body) = response.into_parts();
    match body.collect().await {
        // The place goes with the bytes: a connection drops a body once it has those.
        Ok(body) => Response::from_parts(head, Body::from(Bytes::from_owner(Held::new(body.to_bytes(), place)))),
        Err(_) => Problem::internal("the answer broke off").into_response(),
    }
}
