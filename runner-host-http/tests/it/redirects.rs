//! Redirects: given to the guest, or followed where the grant says so, each hop checked like the first.

use http_body_util::{BodyExt, Full};
use runner_host_http::{Call, Client, ErrorKind, Http};
use serde_json::{Value, json};

use crate::support::{Guest, Names, Server, all_of, body, get, grant, named, send};

fn escaped(url: &str) -> String {
    url.replace('&', "%26").replace('=', "%3D")
}

#[tokio::test]
async fn by_itself_a_redirect_is_the_guest_s() {
    let server = Server::start().await;
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)] })).await;
    let said = guest.run(&["fetch", &server.url("/redirect?to=/hello")]).await;
    assert!(said.starts_with("status 302\n") && said.contains("header location: /hello\n"), "{said}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn on_request_it_is_followed_as_often_as_the_number_says() {
    let server = Server::start().await;
    let caps = json!({ "redirects": 2 });
    let guest = Guest::new(Http::new(), json!({ "allow": [all_of(&server)], "caps": caps })).await;
    let twice = server.url("/redirect?to=/redirect?to%3D/hello");
    assert!(guest.run(&["fetch", &twice]).await.ends_with("body hello"));
    assert_eq!(server.seen().len(), 3);
    assert_eq!(guest.run(&["fetch", &server.url("/loop")]).await, "error ErrorCode::LoopDetected");
    assert_eq!(server.seen().len(), 3 + 3, "the first and two that were followed");
}

#[tokio::test]
async fn a_hop_to_what_is_denied_is_refused() {
    let (server, inside) = (Server::start().await, Server::start().await);
    let names = Names::new([("here.test", vec![vec!["127.0.0.1"]]), ("moved.test", vec![vec!["10.0.0.1"]])]);
    let allow = json!([
        named(&server, "here.test"),
        { "scheme": "http", "host": "moved.test" },
        { "scheme": "http", "host": "169.254.169.254" },
    ]);
    let granted = json!({ "allow": allow, "caps": { "redirects": 5 } });
    let client = Client::new().resolver(names.clone());
    for (to, kind) in [
        (inside.url("/hello"), ErrorKind::Denied),
        (server.url("/hello"), ErrorKind::Denied),
        (server.named("other.test", "/hello"), ErrorKind::Denied),
        ("http://moved.test/".to_owned(), ErrorKind::AddressDenied),
        ("http://169.254.169.254/latest/".to_owned(), ErrorKind::AddressDenied),
        ("http://0xa9fea9fe/latest/".to_owned(), ErrorKind::AddressDenied),
        ("//127.0.0.1/".to_owned(), ErrorKind::Denied),
        ("https://here.test/".to_owned(), ErrorKind::Denied),
        ("file:///etc/passwd".to_owned(), ErrorKind::UriInvalid),
        ("http://user:pw@here.test/".to_owned(), ErrorKind::UriInvalid),
    ] {
        let url = server.named("here.test", &format!("/redirect?to={}", escaped(&to)));
        let error = send(&client, &grant(granted.clone()), &url).await.expect_err("the hop is refused");
        assert_eq!(error.kind(), kind, "{to}: {error}");
    }
    let guest = Guest::new(Http::new().resolver(names), granted).await;
    let url = server.named("here.test", &format!("/redirect?to={}", inside.url("/hello")));
    assert_eq!(guest.run(&["fetch", &url]).await, "error ErrorCode::HttpRequestDenied");
    assert_eq!(inside.connections(), 0, "somebody came");
}

#[tokio::test]
async fn credentials_do_not_go_to_another_origin_and_methods_change_as_the_standard_says() {
    let (first, second) = (Server::start().await, Server::start().await);
    let granted = grant(json!({ "allow": [all_of(&first), all_of(&second)], "caps": { "redirects": 3 } }));
    let client = Client::new();
    let outlet = client.outlet(&granted).unwrap();
    let sent = async |to: &str, status: u16, content: Option<&'static str>| {
        let mut request = get(&first.url(&format!("/redirect?status={status}&to={to}")));
        request.method = if content.is_some() { http::Method::POST } else { http::Method::GET };
        for (name, value) in
            [("authorization", "Bearer mine"), ("cookie", "a=b"), ("content-type", "text/plain"), ("x-other", "1")]
        {
            request.headers.insert(name, value.parse().unwrap());
        }
        request.body = content.map(|text| Full::new(text.into()).map_err(|never| match never {}).boxed_unsync());
        outlet.send(request, &Call::default()).await.unwrap()
    };
    assert_eq!(body(sent("/hello", 302, None).await).await.unwrap(), "hello");
    let kept = first.seen().last().unwrap().clone();
    assert_eq!(
        (&kept.headers["authorization"], &kept.headers["cookie"]),
        (&"Bearer mine".parse().unwrap(), &"a=b".parse().unwrap())
    );
    assert_eq!(body(sent(&second.url("/hello"), 302, Some("text")).await).await.unwrap(), "hello");
    let other = second.seen().last().unwrap().clone();
    assert_eq!(other.method, "GET");
    for name in ["authorization", "cookie", "content-type", "content-length"] {
        assert!(!other.headers.contains_key(name), "{name} went along");
    }
    assert_eq!(other.headers["x-other"], "1");
    let response = sent(&second.url("/hello"), 307, Some("text")).await;
    assert_eq!(response.status(), 307, "what was streamed cannot be sent again");
    assert_eq!(second.seen().len(), 1);
}

#[tokio::test]
async fn a_redirect_that_leads_nowhere_is_a_response() {
    let server = Server::start().await;
    let granted: Value = json!({ "allow": [all_of(&server)], "caps": { "redirects": 3 } });
    for (path, status) in [("/redirect?status=304&to=/hello", 304), ("/redirect?status=300&to=/hello", 300)] {
        let response = send(&Client::new(), &grant(granted.clone()), &server.url(path)).await.unwrap();
        assert_eq!(response.status(), status);
    }
}
