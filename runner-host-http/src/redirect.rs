//! Where a redirect leads, and what of the request goes there (RFC 9110, 15.4). Nothing is sent here.

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, COOKIE,
    PROXY_AUTHORIZATION, REFERER,
};
use http::{HeaderMap, HeaderName, Method, StatusCode};

/// The method of the next request, where a response of this status is followed.
///
/// A request whose body went out as a stream cannot be sent again as it was: there the guest is given the redirect.
pub(crate) fn next(status: StatusCode, method: &Method, has_body: bool) -> Option<Method> {
    let becomes = match status {
        // For historical reasons a POST becomes a GET (RFC 9110, 15.4.2 and 15.4.3).
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if *method == Method::POST => Method::GET,
        StatusCode::SEE_OTHER if *method != Method::HEAD => Method::GET,
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => method.clone(),
        _ => return None,
    };
    (!has_body || drops_body(method, &becomes)).then_some(becomes)
}

/// Whether the next request goes without the body of this one.
fn drops_body(method: &Method, next: &Method) -> bool {
    method != next
}

/// What describes a body, and goes with it (RFC 9110, 15.4).
const OF_BODY: [HeaderName; 5] = [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE];

/// What is meant for one origin.
const OF_ORIGIN: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, REFERER];

/// Takes off what does not go on: what describes a body that is left behind and, towards another origin, credentials and
/// every header that carries a secret.
pub(crate) fn trim(
    headers: &mut HeaderMap,
    method_changed: bool,
    other_origin: bool,
    is_secret: impl Fn(&[u8]) -> bool,
) {
    if method_changed {
        for name in OF_BODY {
            headers.remove(name);
        }
        headers.remove("digest");
        headers.remove("content-digest");
        headers.remove("last-modified");
    }
    if other_origin {
        for name in OF_ORIGIN {
            headers.remove(name);
        }
        headers.remove("cookie2");
        headers.remove("origin");
        let secret: Vec<HeaderName> =
            headers.iter().filter(|(_, value)| is_secret(value.as_bytes())).map(|(name, _)| name.clone()).collect();
        for name in secret {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_changes_as_the_standard_says() {
        for (status, method, has_body, expected) in [
            (301, "GET", false, Some("GET")),
            (301, "POST", true, Some("GET")),
            (302, "POST", true, Some("GET")),
            (302, "PUT", false, Some("PUT")),
            (302, "PUT", true, None),
            (303, "POST", true, Some("GET")),
            (303, "PUT", true, Some("GET")),
            (303, "HEAD", false, Some("HEAD")),
            (303, "GET", true, None),
            (307, "GET", false, Some("GET")),
            (307, "POST", false, Some("POST")),
            (307, "POST", true, None),
            (308, "DELETE", false, Some("DELETE")),
            (308, "POST", true, None),
            (300, "GET", false, None),
            (304, "GET", false, None),
            (305, "GET", false, None),
            (200, "GET", false, None),
        ] {
            let found = next(StatusCode::from_u16(status).unwrap(), &method.parse().unwrap(), has_body);
            assert_eq!(found.as_ref().map(Method::as_str), expected, "{status} {method} {has_body}");
        }
    }

    #[test]
    fn credentials_and_secrets_stay_with_their_origin() {
        let headers = || {
            let pairs = [
                ("authorization", "Bearer x"),
                ("cookie", "a=b"),
                ("x-key", "{{secret:KEY}}"),
                ("accept", "*/*"),
                ("content-type", "text/plain"),
                ("content-length", "3"),
            ];
            pairs
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        let left = |changed, other| {
            let mut headers = headers();
            trim(&mut headers, changed, other, |value| value.starts_with(b"{{"));
            let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(left(false, false).len(), 6);
        assert_eq!(left(true, false), ["accept", "authorization", "cookie", "x-key"]);
        assert_eq!(left(false, true), ["accept", "content-length", "content-type"]);
        assert_eq!(left(true, true), ["accept"]);
    }
}
