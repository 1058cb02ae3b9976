//! A stored module's own HTTP handler: a request goes in, its answer comes out, and both stream.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderName, StatusCode};
use runner_core::{Ending, HttpReply, LimitKind, Metering, Outcome};
use serde_json::Value;
use tracing::Instrument;

use super::Target;
use crate::account::Account;
use crate::answer::Streams;
use crate::api::{Problem, Refusals};
use crate::server::Shared;
use crate::stranger::{inward, outward};

/// The number of the call, as an outcome has it in `call`.
const CALL: HeaderName = HeaderName::from_static("runner-call");

/// Sends the request to the module's own HTTP handler, in a fresh instance.
///
/// Any method. The handler sees the path behind `/http` and the query; bodies stream both ways. It does not see
/// `Authorization`, `Cookie` and hop-by-hop headers. Of its answer, what would act on this server's whole address is left
/// out (`Set-Cookie`, `Clear-Site-Data`, `Access-Control-*`, `WWW-Authenticate` and their like), and
/// `Content-Security-Policy: sandbox` is added: a page that it sends runs no script and is no page of this server.
/// `Location` is mapped to lie below `/http`; a redirect elsewhere becomes 303, which repeats no `POST` or `DELETE`.
/// `Runner-Call` is the call's number, which this server's log has as `call`.
#[utoipa::path(method(get, head, post, put, patch, delete, options), path = "/v1/modules/{ref}/http/{path}", tag = "calls", params(
    ("ref" = String, Path, description = "`NAME` (its newest version), `NAME@N` or `sha256:HEX`"),
    ("path" = String, Path, description = "What the handler sees as its path; may have slashes, may be empty"),
), responses(
    (status = "2XX", description = "Whatever the handler answers, with any status"),
    (status = 502, description = "`unavailable`: the handler ended without an answer; `outcome` says how", body = Problem, content_type = "application/problem+json"),
    (status = 504, description = "`unavailable`: its deadline passed before it answered", body = Problem, content_type = "application/problem+json"),
    Refusals,
))]
pub(super) async fn http(
    State(shared): State<Shared>,
    Target(reference): Target,
    request: Request,
) -> Result<Response, Problem> {
    let stored = shared.store.find(reference).await?;
    let program = shared.program(&stored, Metering::Epochs).await?;
    let (place, request) = inward(request)?;
    let account = Account::open(&shared.metrics, &program.id(), "wasi:http/incoming-handler");
    match program.http(request).send().instrument(account.span()).await {
        Ok(HttpReply::Answered { response, ended }) => {
            let call = ended.call_id();
            shared.accounts.spawn(async move { account.settle(ended.outcome().await.as_ref()) });
            let mut response = outward(response.map(Body::new), &place)?;
            // In the place of one that the handler has made up.
            response.headers_mut().insert(CALL, call.into());
            response.extensions_mut().insert(Streams);
            Ok(response)
        }
        Ok(HttpReply::Unanswered(outcome)) => {
            account.settle(Ok(&outcome));
            Err(unanswered(outcome))
        }
        Ok(_) => Err(Problem::internal("the handler was answered in a way that this server does not know")),
        Err(error) => {
            account.settle::<()>(Err(&error));
            Err(error.into())
        }
    }
}

/// The problem of a handler that ended without an answer.
fn unanswered(outcome: Outcome<()>) -> Problem {
    let (status, kind, how) = match &outcome.ending {
        Ending::Exhausted(limit) => {
            let how = format!("met its limit {limit}");
            match limit.kind {
                LimitKind::Deadline => (StatusCode::GATEWAY_TIMEOUT, "unavailable", how),
                LimitKind::Input => (StatusCode::PAYLOAD_TOO_LARGE, "exceeded", how),
                _ => (StatusCode::BAD_GATEWAY, "unavailable", how),
            }
        }
        Ending::Trapped(trap) => (StatusCode::BAD_GATEWAY, "unavailable", format!("trapped: {}", trap.message)),
        Ending::Failed(failure) => (StatusCode::BAD_GATEWAY, "unavailable", format!("failed: {}", failure.message)),
        _ => (StatusCode::BAD_GATEWAY, "unavailable", "ended".to_owned()),
    };
    let detail = format!("the handler gave no answer: it {how}");
    Problem::new(status, kind, detail).with_outcome(&outcome.map(|()| Value::Null))
}
