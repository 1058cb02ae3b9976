//! The built page, read through a handle on its directory that no path leads out of.

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::response::{Html, IntoResponse, Response};
use cap_std::fs::Dir;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use crate::api::Problem;

/// The page runs its own scripts only, and speaks to whichever server its user names. React sets styles by script.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
    font-src 'self'; connect-src 'self' http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Content types by extension; anything else is bytes.
const TYPES: &[(&str, &str)] = &[
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("woff2", "font/woff2"),
];

/// Said at `/` where no page was built, to whoever found the server under this name.
fn no_page(host: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Runner</title>\
        <h1>Runner is running</h1>\
        <p>Its page was not built. <code>npm ci &amp;&amp; npm run build</code> in <code>examples/web</code> builds it; \
        start the server again then, or with <code>--page DIR</code>.\
        <p>The API works: \
        <code>curl -g --data-binary @examples/guests/wat/sum_of_2_ints.wat 'http://{host}/v1/run?args=[20,22]'</code>, \
        <a href=/v1/examples>modules to try</a>, <a href=/openapi.json>its description</a>, <a href=/healthz>health</a>."
    )
}

/// Answers a path with a file of the page. The request's `Host` is one that the guard let in.
pub(crate) async fn serve(page: Option<Arc<Dir>>, request: &Parts) -> Response {
    let (method, path) = (&request.method, request.uri.path());
    if method != Method::GET && method != Method::HEAD {
        return Problem::new(StatusCode::METHOD_NOT_ALLOWED, "invalid", format!("`{path}` has no method {method}"))
            .into_response();
    }
    let lacking = || Problem::not_found(format!("no page `{path}`")).into_response();
    let Some(page) = page else {
        let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        return if path == "/" { (guards(), Html(no_page(host))).into_response() } else { lacking() };
    };
    let file = match path.trim_start_matches('/') {
        "" => "index.html".to_owned(),
        file => file.to_owned(),
    };
    let kind = content_type(&file);
    // What a bundler builds carries a digest in its name.
    let age = if file.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    match tokio::task::spawn_blocking(move || read(&page, &file)).await {
        Ok(Ok(Some(bytes))) => {
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, age)], guards(), bytes).into_response()
        }
        Ok(Ok(None)) => lacking(),
        Ok(Err(error)) => {
            tracing::error!(%error, path, "a file of the page cannot be read");
            Problem::internal("the page cannot be read").into_response()
        }
        Err(_) => Problem::internal("the page cannot be read").into_response(),
    }
}

/// A file's bytes; nothing for what is not there, is no file, or lies outside.
fn read(page: &Dir, file: &str) -> io::Result<Option<Vec<u8>>> {
    if !page.is_file(file) {
        return Ok(None);
    }
    page.read(file).map(Some)
}

fn content_type(file: &str) -> &'static str {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    TYPES.iter().find(|(known, _)| *known == extension).map_or("application/octet-stream", |(_, kind)| kind)
}

fn guards() -> [(HeaderName, HeaderValue); 3] {
    [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ]
}
