//! A guest's HTTP is a stranger's, served at this server's address: so it is kept from acting as this server, and from what
//! callers show to this server. It looks at heads only.

use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Uri};

use crate::api::Problem;

/// Where a handler lies: the URL before its own path, and that path.
pub(crate) struct Place {
    prefix: String,
    path: String,
}

/// Headers that concern one connection only.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a caller shows to this server, or to others on the same host: cookies do not tell ports apart.
const SHOWN_TO_US: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::EXPECT];

/// What would act on the whole of this server's address, or on a proxy before it.
const ACTS_AS_US: [&str; 13] = [
    "alt-svc",
    "clear-site-data",
    "nel",
    "proxy-authenticate",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "www-authenticate",
    "x-sendfile",
    "origin-agent-cluster",
];
const ACTS_AS_US_PREFIXES: [&str; 2] = ["access-control-", "x-accel-"];

/// The request as the guest sees it.
pub(crate) fn inward(mut request: Request) -> Result<(Place, Request), Problem> {
    let path = request.uri().path();
    // `/v1/modules/{ref}/http`, and what is behind it.
    let at = path.match_indices('/').nth(4).map_or(path.len(), |(at, _)| at);
    let (prefix, own) = path.split_at(at);
    let own = if own.is_empty() { "/" } else { own };
    let place = Place { prefix: prefix.to_owned(), path: own.to_owned() };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let uri = format!("{own}{query}").parse::<Uri>();
    *request.uri_mut() = uri.map_err(|error| Problem::invalid(format!("the handler's path is no path: {error}")))?;
    let headers = request.headers_mut();
    drop_hop_by_hop(headers);
    SHOWN_TO_US.iter().for_each(|name| drop(headers.remove(name)));
    Ok((place, request))
}

/// The response as the caller may have it.
pub(crate) fn outward(mut response: Response, place: &Place) -> Result<Response, Problem> {
    if response.status().is_informational() {
        // 101 would hand the connection over.
        return Err(Problem::new(
            StatusCode::BAD_GATEWAY,
            "unavailable",
            format!("the handler answered with status {}", response.status()),
        ));
    }
    let is_redirect = response.status().is_redirection();
    let headers = response.headers_mut();
    drop_hop_by_hop(headers);
    let acting: Vec<_> = headers.keys().filter(|name| acts_as_us(name.as_str())).cloned().collect();
    acting.iter().for_each(|name| drop(headers.remove(name)));
    headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    if let Some(location) = headers.get(header::LOCATION) {
        match location.to_str().ok().and_then(|location| place.within(location)?.try_into().ok()) {
            Some(within) => drop(headers.insert(header::LOCATION, within)),
            // A page that calls the handler follows redirects with the user's own rights.
            None if is_redirect => *response.status_mut() = StatusCode::SEE_OTHER,
            None => {}
        }
    }
    Ok(response)
}

fn acts_as_us(name: &str) -> bool {
    ACTS_AS_US.contains(&name) || ACTS_AS_US_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<_> = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok()).collect();
    let named: Vec<_> = named
        .iter()
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse::<HeaderName>().ok())
        .collect();
    named.iter().chain(&HOP_BY_HOP).for_each(|name| drop(headers.remove(name)));
}

impl Place {
    /// The handler's own location as one of this server's; nothing where it might lead out of the handler.
    ///
    /// Browsers take `\` for `/`, skip blanks, and resolve `..` and `%2e%2e`: what has any of those is not mapped.
    fn within(&self, location: &str) -> Option<String> {
        let path = location.split(['?', '#']).next().unwrap_or_default();
        let is_plain = location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let is_dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
        let is_elsewhere = path.starts_with("//") || path.split('/').next().is_some_and(|first| first.contains(':'));
        if !is_plain || is_elsewhere || path.split('/').any(is_dots) {
            return None;
        }
        let base = match path {
            "" => self.path.as_str(),
            path if path.starts_with('/') => "",
            _ => self.path.rsplit_once('/').map_or("/", |(folder, _)| &self.path[..=folder.len()]),
        };
        Some(format!("{}{base}{location}", self.prefix))
    }
}

#[cfg(test)]
mod tests {
    //! Beside the code, since no guest sends such heads.
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Response {
        let mut response = Response::new(axum::body::Body::empty());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        let place = Place { prefix: "/v1/modules/m/http".to_owned(), path: "/shop/cart".to_owned() };
        outward(response, &place).unwrap_or_else(axum::response::IntoResponse::into_response)
    }

    #[test]
    fn a_redirect_within_the_handler_is_mapped_and_stays_what_it_is() {
        for (location, mapped) in [
            ("/", "/v1/modules/m/http/"),
            ("/a?b#c", "/v1/modules/m/http/a?b#c"),
            ("pay", "/v1/modules/m/http/shop/pay"),
            ("pay/a:b", "/v1/modules/m/http/shop/pay/a:b"),
            ("?page=2", "/v1/modules/m/http/shop/cart?page=2"),
            ("/v1/modules/other/call", "/v1/modules/m/http/v1/modules/other/call"),
        ] {
            let response = answer(307, &[("location", location)]);
            assert_eq!((response.status().as_u16(), response.headers()["location"].to_str().unwrap()), (307, mapped));
        }
    }

    #[test]
    fn a_redirect_that_may_lead_elsewhere_repeats_no_method() {
        for location in [
            "https://example.com/",
            "//example.com/",
            "http://127.1:8080/v1/modules/other",
            "../../../../other",
            "/%2e%2e/%2E./x",
            "/a/./b",
            "\\example.com",
            "/\t/v1",
            " /v1",
            "javascript:alert(1)",
        ] {
            for status in [301, 302, 307, 308] {
                let response = answer(status, &[("location", location)]);
                assert_eq!(response.status(), StatusCode::SEE_OTHER, "{location}");
                assert_eq!(response.headers()["location"], location);
            }
        }
        // Of a page that was made, the address is only told.
        assert_eq!(answer(201, &[("location", "https://example.com/")]).status(), 201);
    }

    #[test]
    fn what_acts_on_the_whole_address_is_left_out() {
        let response = answer(
            200,
            &[
                ("set-cookie", "a=b"),
                ("set-cookie", "c=d"),
                ("clear-site-data", "\"*\""),
                ("access-control-allow-origin", "*"),
                ("access-control-allow-credentials", "true"),
                ("strict-transport-security", "max-age=1"),
                ("service-worker-allowed", "/"),
                ("www-authenticate", "Basic"),
                ("x-accel-redirect", "/internal"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
                ("transfer-encoding", "chunked"),
                ("content-security-policy", "default-src 'self'"),
                ("content-type", "text/html"),
                ("etag", "\"1\""),
            ],
        );
        let mut left: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-security-policy", "content-type", "etag"]);
        let policies: Vec<_> = response.headers().get_all("content-security-policy").iter().collect();
        assert_eq!(policies, ["default-src 'self'", "sandbox"]);
    }

    #[test]
    fn a_connection_is_never_handed_over() {
        assert_eq!(answer(101, &[("upgrade", "websocket")]).status(), StatusCode::BAD_GATEWAY);
    }
}
