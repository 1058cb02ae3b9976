//! Who may speak to the server: by `Host`, by `Origin`, by token.

use axum::body::Body;
use runner_server::Token;

use crate::support::{Answer, Site, request};

async fn get(site: &Site, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(site, "GET", path, headers).await
}

async fn send(site: &Site, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = request(method, path, Body::empty());
    for (name, value) in headers {
        request.headers_mut().append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    site.send(request).await
}

#[tokio::test]
async fn a_host_that_is_not_the_servers_own_is_forbidden() {
    let site = Site::with(|wants| wants.settings.hosts = vec!["runner.example.com".to_owned()]);
    for host in [
        "127.0.0.1:8080",
        "localhost:8080",
        "LOCALHOST:8080",
        "[::1]:8080",
        "runner.example.com",
        "runner.example.com:8080",
    ] {
        assert_eq!(get(&site, "/healthz", &[("host", host)]).await.status, 200, "{host}");
    }
    for host in [
        "evil.example.com",
        "evil.example.com:8080",
        "localhost",
        "localhost:80",
        "127.0.0.1:8081",
        "127.0.0.1:8080.evil.example.com",
        "user@localhost:8080",
        "",
    ] {
        for path in ["/", "/healthz", "/v1/modules"] {
            get(&site, path, &[("host", host)]).await.is_problem(403, "forbidden", "this server");
        }
    }
    let two = [("host", "localhost:8080"), ("host", "evil.example.com")];
    get(&site, "/healthz", &two).await.is_problem(403, "forbidden", "one `Host` header");
    get(&site, "http://evil.example.com/healthz", &[("host", "localhost:8080")]).await.is_problem(403, "forbidden", "");
}

#[tokio::test]
async fn an_origin_is_the_servers_own_or_named_or_forbidden() {
    let site = Site::with(|wants| wants.settings.origins = vec!["https://page.example.com".parse().unwrap()]);
    for origin in ["http://127.0.0.1:8080", "http://localhost:8080", "https://page.example.com"] {
        assert_eq!(get(&site, "/v1/modules", &[("origin", origin)]).await.status, 200, "{origin}");
    }
    for origin in [
        "null",
        "https://evil.example.com",
        "http://page.example.com",
        "https://page.example.com:444",
        "https://page.example.com.evil.example.com",
        "http://localhost:8081",
        "file://",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = send(&site, method, "/v1/modules", &[("origin", origin)]).await;
            answer.is_problem(403, "forbidden", &format!("origin `{origin}` is not allowed"));
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
        }
    }
}

#[tokio::test]
async fn a_named_page_may_read_the_answers_and_ask_before() {
    let page = "https://page.example.com";
    let site = Site::with(|wants| {
        wants.settings.origins = vec![page.parse().unwrap()];
        wants.settings.token = Some(Token::new("secret").unwrap());
    });
    // The browser asks without the token.
    let asks = [
        ("origin", page),
        ("access-control-request-method", "DELETE"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let preflight = send(&site, "OPTIONS", "/v1/modules/a", &asks).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), page);
    assert_eq!(preflight.header("access-control-allow-methods"), "DELETE");
    assert_eq!(preflight.header("access-control-allow-headers"), "authorization,content-type");
    // It may read refusals, too.
    let refused = get(&site, "/v1/modules", &[("origin", page)]).await;
    refused.is_problem(401, "unauthorized", "Bearer");
    assert_eq!(refused.header("access-control-allow-origin"), page);
    let answer = get(&site, "/v1/modules", &[("origin", page), ("authorization", "Bearer secret")]).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, page));
    // Nobody is told so who was not named.
    let own = get(&site, "/healthz", &[("origin", "http://127.0.0.1:8080")]).await;
    assert!(!own.headers.contains_key("access-control-allow-origin"));
    assert_eq!(own.header("vary"), "origin");
}

#[tokio::test]
async fn without_the_token_the_api_is_closed_and_the_rest_open() {
    let site = Site::with(|wants| wants.settings.token = Some(Token::new("secret").unwrap()));
    for path in ["/v1/modules", "/v1/examples", "/v1/absent", "/v1/modules/a/http/x", "/v1", "/metrics"] {
        for shown in
            [None, Some("Bearer wrong"), Some("Bearer secret "), Some("Bearer"), Some("Basic secret"), Some("secret")]
        {
            let headers: Vec<_> = shown.map(|shown| ("authorization", shown)).into_iter().collect();
            let answer = get(&site, path, &headers).await;
            answer.is_problem(401, "unauthorized", "");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let shown = get(&site, path, &[("authorization", "bearer secret")]).await;
        assert_ne!(shown.status, 401, "{path}");
    }
    for path in ["/", "/healthz", "/openapi.json"] {
        assert_eq!(get(&site, path, &[]).await.status, 200, "{path}");
    }
}

#[test]
fn a_token_that_no_header_can_carry_is_refused_and_none_is_shown() {
    for text in ["", "two words", "line\n", "ümlaut"] {
        assert!(Token::new(text).is_err(), "{text:?}");
    }
    assert_eq!(format!("{:?}", Token::new("secret").unwrap()), "Token(..)");
}

#[tokio::test]
async fn what_a_foreign_page_shows_or_links_to_is_forbidden() {
    let page = "https://page.example.com";
    let site = Site::with(|wants| wants.settings.origins = vec![page.parse().unwrap()]);
    site.put("hello", runner_guests::get("http-hello.wasm")).await;
    let handler = "/v1/modules/hello/http/";
    // Another port on this machine is the same site, and as foreign.
    for from in ["cross-site", "same-site", "invented"] {
        for path in [handler, "/v1/modules", "/v1/absent", "/v1"] {
            get(&site, path, &[("sec-fetch-site", from)]).await.is_problem(403, "forbidden", from);
        }
        let named = [("sec-fetch-site", from), ("origin", page)];
        assert_eq!(get(&site, handler, &named).await.status, 200, "{from}");
        let foreign = [("sec-fetch-site", from), ("origin", "https://evil.example.com")];
        get(&site, handler, &foreign).await.is_problem(403, "forbidden", "origin");
        for path in ["/", "/healthz", "/openapi.json"] {
            assert_eq!(get(&site, path, &[("sec-fetch-site", from)]).await.status, 200, "{from} {path}");
        }
    }
    for from in ["same-origin", "none"] {
        assert_eq!(get(&site, handler, &[("sec-fetch-site", from)]).await.status, 200, "{from}");
    }
}
