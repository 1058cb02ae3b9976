//! One log line, one count and one span for each request. It sees the path, never the query, the headers or the body.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{HeaderValue, Method, header};
use tracing::Instrument;

use crate::api::{Problem, ProblemKind};
use crate::metrics::Metrics;
use crate::{clock, traces};

/// Times, counts and logs a request, and turns a panic into an answer.
pub(crate) async fn observe(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let from = clock::now();
    // Given back also where the caller goes away, and this with it.
    let _in_flight = metrics.enter();
    let method = known(request.method());
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = traces::request(&request, method, route.as_ref().map(MatchedPath::as_str));
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response =
        answered.unwrap_or_else(|_| Problem::internal("a handler panicked: the log says more").into_response());
    // What anything here is, its content type says.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let problem = response.extensions().get().map(|ProblemKind(kind)| *kind);
    if let Some(kind) = problem {
        metrics.refused(kind);
    }
    traces::answered(&span, response.status(), problem);
    // Paths that are no route are anybody's to invent: they share one label.
    metrics.answered(method, route.as_ref().map_or("other", MatchedPath::as_str), response.status());
    let status = response.status().as_u16();
    let ms = from.elapsed().as_micros() as f64 / 1e3;
    tracing::info!(target: "runner_server::request", method, path, status, ms);
    response
}

/// Stands for every method that is none of the standard's.
pub(crate) const UNKNOWN_METHOD: &str = "OTHER";

/// A method as a label: any other word is one of anybody's choice.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or(UNKNOWN_METHOD)
}

#[cfg(test)]
mod tests {
    //! Beside the code, since no request makes a route panic.
    #![allow(clippy::unwrap_used)]

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::store::Holdings;

    #[tokio::test]
    async fn a_panic_is_a_problem_and_the_server_goes_on() {
        let metrics = Arc::new(Metrics::new());
        let app = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("the secret of the host") }))
            .route("/fine", get(async || "fine"))
            .layer(from_fn_with_state(Arc::clone(&metrics), observe));
        let ask = async |path: &str| {
            let answer = app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            let (head, body) = answer.into_parts();
            (head, String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap())
        };
        let (head, body) = ask("/panic").await;
        assert_eq!(
            (head.status.as_u16(), &head.headers[header::CONTENT_TYPE]),
            (500, &"application/problem+json".parse().unwrap())
        );
        assert!(body.contains(r#""kind":"internal""#) && body.contains("a handler panicked"), "{body}");
        assert!(!body.contains("secret"), "{body}");
        let (head, body) = ask("/fine").await;
        assert_eq!((head.status.as_u16(), body.as_str()), (200, "fine"));
        let counted = metrics.text(Holdings::default());
        for line in [
            "runner_requests_in_flight 0",
            r#"runner_problems_total{kind="internal"} 1"#,
            r#"runner_requests_total{method="GET",route="/panic",status="5xx"} 1"#,
        ] {
            assert!(counted.lines().any(|counted| counted == line), "`{line}`: {counted}");
        }
    }
}
