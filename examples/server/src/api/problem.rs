//! What went wrong on the host's side, as RFC 9457 has it. The kind says what to do next, the detail what happened.

use std::error::Error as _;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use runner_core::ErrorKind;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use super::Outcome;
use crate::store;

/// Why a request was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the kind says more.
    #[serde(rename = "type")]
    about: &'static str,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// What happened, for people.
    detail: String,
    /// One of `invalid`, `not_found`, `denied`, `exceeded`, `unavailable`, `conflict`, `internal`, `unauthorized` and
    /// `forbidden`.
    kind: &'static str,
    /// What the guest did, where it had run.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Box<Outcome>>,
}

/// The kind of a problem, left on its response for those who count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProblemKind(pub(crate) &'static str);

/// Seconds after which a refused caller may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem");
        Problem { about: "about:blank", title, status: status.as_u16(), detail: detail.into(), kind, outcome: None }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    pub(crate) fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid", detail)
    }

    pub(crate) fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(crate) fn exceeded(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "exceeded", detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// With more to say.
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.detail.push_str(more);
        self
    }

    pub(crate) fn with_outcome(mut self, outcome: &runner_core::Outcome) -> Self {
        self.outcome = Some(Box::new(outcome.into()));
        self
    }
}

impl From<runner_core::Error> for Problem {
    fn from(error: runner_core::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Denied => StatusCode::FORBIDDEN,
            ErrorKind::Exceeded => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let detail = match status {
            // The causes may name what is the host's business: they stay in its log.
            StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(%error, "a fault of the host");
                error.message().to_owned()
            }
            _ => error.to_string(),
        };
        let problem = Problem::new(status, error.kind().as_str(), detail);
        match error.outcome() {
            Some(outcome) => problem.with_outcome(outcome),
            None => problem,
        }
    }
}

impl From<runner_host_kv::Error> for Problem {
    fn from(error: runner_host_kv::Error) -> Self {
        let detail = error.to_string();
        match error {
            runner_host_kv::Error::Invalid { .. } => Problem::invalid(detail),
            error => {
                tracing::error!(%error, "a key-value store fails");
                Problem::unavailable(detail)
            }
        }
    }
}

impl From<runner_workflow::Error> for Problem {
    fn from(error: runner_workflow::Error) -> Self {
        use runner_workflow::ErrorKind as Kind;
        let detail = error.to_string();
        match error.kind() {
            Kind::Invalid => Problem::invalid(detail),
            Kind::NotFound => Problem::not_found(detail),
            Kind::Exists | Kind::State | Kind::Conflict => Problem::new(StatusCode::CONFLICT, "conflict", detail),
            Kind::Unavailable => {
                tracing::error!(%error, cause = error.source(), "the store of executions fails");
                Problem::unavailable(detail)
            }
            _ => {
                tracing::error!(%error, cause = error.source(), "the store of executions is damaged");
                Problem::internal(detail)
            }
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let detail = error.to_string();
        match error {
            store::Error::NotFound(_) => Problem::not_found(detail),
            store::Error::InUse { .. } => Problem::new(StatusCode::CONFLICT, "conflict", detail),
            store::Error::Changed(_) => Problem::new(StatusCode::PRECONDITION_FAILED, "conflict", detail),
            store::Error::Full { .. } | store::Error::NamesTaken { .. } => Problem::exceeded(detail),
            store::Error::Io(cause) => {
                tracing::error!(error = %cause, "the data directory fails");
                Problem::internal(detail)
            }
        }
    }
}

impl From<runner_host_fs::Error> for Problem {
    fn from(error: runner_host_fs::Error) -> Self {
        use runner_host_fs::ErrorKind as Kind;
        let (status, kind) = match error.kind() {
            Kind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Kind::Exists | Kind::NotEmpty | Kind::NotDirectory | Kind::IsDirectory | Kind::Busy | Kind::Conflict => {
                (StatusCode::CONFLICT, "conflict")
            }
            Kind::Denied | Kind::NotPermitted | Kind::ReadOnly => (StatusCode::FORBIDDEN, "denied"),
            Kind::TooLarge | Kind::Quota | Kind::NoSpace => (StatusCode::PAYLOAD_TOO_LARGE, "exceeded"),
            Kind::Io => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            _ => (StatusCode::BAD_REQUEST, "invalid"),
        };
        if kind == "unavailable" {
            tracing::error!(%error, cause = error.source(), "the files are not to be had");
        }
        Problem::new(status, kind, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = ProblemKind(self.kind);
        let mut response = (status, axum::Json(self)).into_response();
        response.extensions_mut().insert(kind);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

/// What any call of the API may be refused with.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "it describes; what is sent is a `Problem`")]
pub(crate) enum Refusals {
    /// `invalid`: the request, the module or the arguments are wrong.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// `unauthorized`: the server wants its token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// `forbidden`: the `Host`, the `Origin` or the page that asks is not known here; `denied`: an import is not served or not granted.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// `not_found`: there is no such module or export.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// `invalid`: the request did not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(Problem),
    /// `exceeded`: the body or the module is beyond one of the server's bounds.
    #[response(status = 413, content_type = "application/problem+json")]
    Exceeded(Problem),
    /// `invalid`: the body is of another type than is read here, or compressed.
    #[response(status = 415, content_type = "application/problem+json")]
    Unsupported(Problem),
    /// `internal`: a fault of the host.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// `unavailable`: busy or shutting down; try again later.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}
