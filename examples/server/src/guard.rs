//! Who may speak to the server. Any web page can send requests to the loopback: so a request must be for this server by
//! name (`Host`), not come from a foreign page (`Origin`, `Sec-Fetch-Site`), and show the token where there is one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::api::Problem;
use crate::json::shown;
use crate::settings::{Settings, Token};

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_SECONDS: u16 = 600;

/// What requests are held against.
pub(crate) struct Guard {
    authorities: Vec<String>,
    origins: Vec<HeaderValue>,
    token: Option<Token>,
}

impl Guard {
    pub(crate) fn new(settings: &Settings) -> Self {
        Guard { authorities: settings.authorities(), origins: settings.origins.clone(), token: settings.token.clone() }
    }

    /// Whether `host[:port]` is this server.
    pub(crate) fn is_own(&self, authority: &str) -> bool {
        self.authorities.iter().any(|own| own.eq_ignore_ascii_case(authority))
    }

    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        let mut hosts = request.headers().get_all(header::HOST).iter().map(HeaderValue::to_str);
        let target = request.uri().authority().map(|authority| authority.as_str());
        match (hosts.next(), hosts.next()) {
            (Some(Ok(host)), None) if self.is_own(host) && target.is_none_or(|target| self.is_own(target)) => Ok(()),
            (Some(Ok(host)), None) => Err(Problem::forbidden(format!(
                "host `{host}` is not this server's: it answers to {}",
                self.authorities.join(", ")
            ))),
            _ => Err(Problem::forbidden("expected one `Host` header that names this server")),
        }
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        for origin in headers.get_all(header::ORIGIN) {
            let shown = origin.to_str().unwrap_or("?");
            let authority = shown.strip_prefix("http://").or_else(|| shown.strip_prefix("https://"));
            if !self.origins.contains(origin) && !authority.is_some_and(|authority| self.is_own(authority)) {
                // A page in a sandbox, or a file, has the origin `null`: nobody in particular, so never allowed.
                let advice = if authority.is_some() {
                    format!(": `--allow-origin {shown}` would allow it")
                } else {
                    String::new()
                };
                return Err(Problem::forbidden(format!("origin `{shown}` is not allowed{advice}")));
            }
        }
        Ok(())
    }

    /// Browsers send no `Origin` with a picture or a link, but say whose page wants it. A page of the same site may be
    /// another port's: it is as foreign as its origin.
    fn check_site(&self, request: &Request) -> Result<(), Problem> {
        if !is_api(request) || request.headers().contains_key(header::ORIGIN) {
            return Ok(());
        }
        match request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(site) => Err(Problem::forbidden(format!(
                "a page elsewhere asks for this (`Sec-Fetch-Site: {}`) and does not say which: one that \
                 `--allow-origin` names can `fetch` it with CORS",
                shown(&String::from_utf8_lossy(site))
            ))),
        }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else { return Ok(()) };
        let unauthorized = |detail| Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        let Some(shown) = headers.get(header::AUTHORIZATION) else {
            return Err(unauthorized("expected the header `Authorization: Bearer TOKEN`"));
        };
        let shown = shown.as_bytes();
        let bearer = shown.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Bearer "));
        match bearer && token.matches(&shown[7..]) {
            true => Ok(()),
            false => Err(unauthorized("the token is not this server's")),
        }
    }
}

fn is_api(request: &Request) -> bool {
    let path = request.uri().path();
    path == "/v1" || path.starts_with("/v1/")
}

/// Turns away what is not for this server, or comes from a page that is not allowed.
pub(crate) async fn address(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let checked = guard.check_host(&request).and_then(|()| guard.check_origin(request.headers()));
    match checked.and_then(|()| guard.check_site(&request)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Turns away who does not show the token. The page, the health check and the description are open.
pub(crate) async fn token(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let guarded = is_api(&request) || request.uri().path() == "/metrics";
    match guarded.then(|| guard.check_token(request.headers())) {
        Some(Err(problem)) => problem.into_response(),
        _ => next.run(request).await,
    }
}

/// Lets the named pages read answers, and answers their preflights. Foreign pages are turned away before.
pub(crate) async fn cors(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).filter(|origin| guard.origins.contains(origin)).cloned();
    let asks = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (&origin, asks) {
        (Some(_), Some(method)) if request.method() == Method::OPTIONS => preflight(method, request.headers()),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
    if !guard.origins.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

/// What a named page may send is its own to say: a guest's handler may want any method and header.
fn preflight(method: &HeaderValue, asked: &HeaderMap) -> Response {
    const PRIVATE_NETWORK: &str = "access-control-request-private-network";
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS.into());
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    if asked.contains_key(PRIVATE_NETWORK) {
        // A page from the internet that asks the loopback, and was named by who runs this server.
        headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    }
    response
}
