//! `runner::http` of the guest SDK, both faces: the same from every target.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::channel::mpsc;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use runner_core::{Ending, ExportKind, Failure, Grants, HttpReply, Limits, Outcome, Program};
use runner_host_http::{Http, Secrets};
use serde_json::{Value, json};

use crate::support::{Names, Server, all_of, executor, named, nobody};

const TARGETS: [&str; 3] = ["sdk-http.wasm", "sdk-http-p1.wasm", "sdk-http-p2.wasm"];

/// The guest of each target, by name, with a grant.
async fn guests(http: impl Fn() -> Http, grant: Value) -> Vec<(&'static str, Program)> {
    let mut all = Vec::new();
    for name in TARGETS {
        let grants = Grants::none().grant("http", grant.clone());
        all.push((name, executor(http()).load(runner_guests::get(name), &grants).await.expect("it loads")));
    }
    all
}

async fn guests_of(server: &Server) -> Vec<(&'static str, Program)> {
    let caps = json!({ "request_bytes": 32 << 20, "response_bytes": 32 << 20 });
    guests(Http::new, json!({ "allow": [all_of(server)], "caps": caps })).await
}

/// Room for bodies that no guest could hold.
fn wide() -> Limits {
    Limits { input_bytes: 32 << 20, output_bytes: 32 << 20, ..Limits::default() }
}

async fn called(program: &Program, task: &str, args: Value) -> Ending {
    program.call(task).args(args).run().await.expect("the host does its part").ending
}

#[track_caller]
fn returned(ending: Ending) -> Value {
    match ending {
        Ending::Returned(value) => value,
        other => panic!("expected a value, found {other:?}"),
    }
}

#[track_caller]
fn failed(ending: Ending) -> Failure {
    match ending {
        Ending::Failed(failure) => *failure,
        other => panic!("expected a failure, found {other:?}"),
    }
}

#[tokio::test]
async fn json_goes_out_and_comes_back_as_the_guest_s_own_types() {
    let server = Server::start().await;
    for (name, guest) in guests_of(&server).await {
        let order = json!({ "article": "old lamp & oil", "count": 2 });
        assert_eq!(
            returned(called(&guest, "json", json!([server.url("/echo?a=1"), "old lamp & oil"])).await),
            order,
            "{name}"
        );
        let seen = server.seen().last().unwrap().clone();
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/echo?a=1&article=old+lamp+%26+oil"));
        assert_eq!(seen.headers["content-type"], "application/json");
        assert_eq!(seen.headers["content-length"], order.to_string().len().to_string());
        // What is not JSON is the answer's fault, and would be again.
        let failure = failed(called(&guest, "json", json!([server.url("/hello"), "lamp"])).await);
        assert_eq!((failure.code.as_str(), failure.retryable), ("http-decode", false), "{name}: {failure:?}");
        assert!(failure.message.starts_with("the body is not the JSON that was expected: expected"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_status_is_an_answer_and_a_secret_is_filled_in_by_the_host() {
    let server = Server::start().await;
    let grant = json!({
        "allow": [named(&server, "here.test")],
        "secrets": [{ "name": "KEY", "hosts": ["here.test"], "plain": true }],
    });
    let http =
        || Http::new().resolver(Names::local(&["here.test"])).secrets(Secrets::new([("KEY", "t0p-s3cr3t")]).unwrap());
    for (name, guest) in guests(http, grant).await {
        for (path, status, value) in [
            ("/hello", 200, json!("42")),
            ("/no-such", 404, Value::Null),
            ("/redirect?status=503&to=x", 503, Value::Null),
        ] {
            let args = json!(["GET", server.named("here.test", path), "x-answer"]);
            assert_eq!(returned(called(&guest, "head", args).await), json!([status, value]), "{name} {path}");
            assert_eq!(server.seen().last().unwrap().headers["authorization"], "Bearer t0p-s3cr3t");
        }
        for method in ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"] {
            let args = json!([method, server.named("here.test", "/hello"), "x-answer"]);
            assert_eq!(returned(called(&guest, "head", args).await), json!([200, "42"]), "{name} {method}");
            let seen = server.seen().last().unwrap().clone();
            assert_eq!(seen.method, method);
            let length = seen.headers.get("content-length").map(|length| length.to_str().unwrap());
            let expected = ["POST", "PUT", "PATCH"].contains(&method).then_some("0");
            assert_eq!(length, expected, "{method}: what has no body does not say so");
        }
    }
}

#[tokio::test]
async fn a_large_body_streams_in_and_out_in_little_memory() {
    let server = Server::start().await;
    let bytes = 20 << 20;
    for (name, guest) in guests_of(&server).await {
        for path in ["/bytes?n=20971520", "/bytes?n=20971520&chunked=1"] {
            let outcome = guest.call("download").args(json!([server.url(path)])).run().await.unwrap();
            assert!(outcome.usage.memory_peak_bytes < 4 << 20, "{name}: {}", outcome.usage);
            let found = returned(outcome.ending);
            assert_eq!(found[0], bytes, "{name} {path}");
            assert!(found[1].as_u64().unwrap() <= 64 << 10, "{name}: {found}");
        }
        let args = json!([server.url("/count"), 320, 65_536]);
        let outcome = guest.call("upload").args(args).run().await.unwrap();
        assert!(outcome.usage.memory_peak_bytes < 4 << 20, "{name}: {}", outcome.usage);
        assert_eq!(returned(outcome.ending), json!("20971520 bytes"), "{name}");
        assert!(!server.seen().last().unwrap().headers.contains_key("content-length"), "nobody knew its length");
    }
}

#[tokio::test]
async fn a_body_is_sent_while_its_answer_is_read() {
    let server = Server::start().await;
    for (name, guest) in guests_of(&server).await {
        let args = json!([server.url("/echo"), 20, 50_000]);
        assert_eq!(returned(called(&guest, "echo", args).await), json!(1_000_000), "{name}");
    }
}

#[tokio::test]
async fn a_body_that_is_read_at_once_is_held_to_the_guest_s_own_bound() {
    let server = Server::start().await;
    for (name, guest) in guests_of(&server).await {
        for way in ["", "&chunked=1"] {
            let read =
                |bound: usize| called(&guest, "read", json!([server.url(&format!("/bytes?n=5000{way}")), bound]));
            assert_eq!(returned(read(5000).await), json!(5000), "{name}");
            let failure = failed(read(4999).await);
            assert_eq!((failure.code.as_str(), failure.retryable), ("http-too-large", false), "{name}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn each_way_that_it_is_not_answered_has_a_code_and_says_whether_to_try_again() {
    let server = Server::start().await;
    let closed = nobody().await;
    let grant = json!({
        "allow": [
            all_of(&server),
            { "scheme": "http", "host": "127.0.0.1", "port": closed.port(), "addresses": ["127.0.0.1"] },
            { "scheme": "http", "host": "*.test", "port": server.port, "methods": ["*"] },
        ],
        "caps": { "response_bytes": 50_000, "request_bytes": 100_000, "between_bytes_ms": 200 },
    });
    let http = || Http::new().resolver(Names::local(&["inside.test"]));
    for (name, guest) in guests(http, grant).await {
        for (url, code, retryable) in [
            ("https://elsewhere.example/".to_owned(), "http-denied", false),
            (server.named("inside.test", "/hello"), "http-denied", false),
            (server.named("unknown.test", "/hello"), "http-dns", true),
            (format!("http://{closed}/"), "http-connect", true),
            ("example.com/without-a-scheme".to_owned(), "http-invalid", false),
            ("http://two words/".to_owned(), "http-invalid", false),
            // Of what breaks off under way, the guest is given words, which it knows.
            (server.url("/bytes?n=50001&chunked=1"), "http-too-large", false),
            (server.url("/slow?pieces=2&gap=3000"), "http-timeout", true),
            (server.url("/half"), "http-broken", true),
        ] {
            let failure = failed(called(&guest, "download", json!([url])).await);
            assert_eq!((failure.code.as_str(), failure.retryable), (code, retryable), "{name} {url}: {failure:?}");
        }
        // The body of what is refused is taken by nobody; the answer says why all the same.
        let args = json!(["https://elsewhere.example/", 320, 65_536]);
        assert_eq!(failed(called(&guest, "upload", args).await).code, "http-denied", "{name}");
        let failure = failed(called(&guest, "upload", json!([server.url("/count"), 2, 65_536])).await);
        assert_eq!(failure.code, "http-too-large");
        assert_eq!(failure.message, "the request's body is over the host's bound of 100000 bytes");
        // What the guest made itself.
        let failure = failed(called(&guest, "broken_upload", json!([server.url("/count")])).await);
        assert_eq!(failure.code, "http-body", "{failure:?}");
        assert_eq!(failure.message, "the body's own stream failed: there is no other");
        for (header, value, words) in [
            ("x y", "1", "header `x y`: its name is not one"),
            ("x-y", "a\nb", "header `x-y`: its value has characters that no header has"),
            ("transfer-encoding", "chunked", "header `transfer-encoding` is the host's to set: leave it out"),
        ] {
            let failure = failed(called(&guest, "header", json!([server.url("/hello"), header, value])).await);
            assert_eq!((failure.code.as_str(), failure.message.as_str()), ("http-invalid", words), "{name}");
        }
    }
}

#[tokio::test]
async fn without_a_grant_every_request_is_refused_and_the_tasks_run() {
    let server = Server::start().await;
    for name in TARGETS {
        let program = executor(Http::new()).load(runner_guests::get(name), &Grants::none()).await.expect("it loads");
        let failure = failed(called(&program, "download", json!([server.url("/hello")])).await);
        assert_eq!((failure.code.as_str(), failure.retryable), ("http-denied", false), "{name}");
        assert_eq!(returned(called(&program, "nap", json!([20])).await), Value::Null);
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_request_is_given_up_after_its_time_before_the_head_and_under_way() {
    let server = Server::start().await;
    for (name, guest) in guests_of(&server).await {
        for path in ["/slow?head=5000", "/slow?pieces=2&gap=5000", "/slow?pieces=500&gap=20"] {
            let asked = Instant::now();
            let failure = failed(called(&guest, "within", json!([server.url(path), 200])).await);
            assert_eq!((failure.code.as_str(), failure.retryable), ("http-timeout", true), "{name} {path}");
            let took = asked.elapsed();
            assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(3), "{name} {path}: {took:?}");
        }
        let in_time = called(&guest, "within", json!([server.url("/slow?head=10&pieces=2&gap=10"), 5000])).await;
        assert_eq!(returned(in_time), json!("piece 0;piece 1;"), "{name}");
        let patient =
            |path: &str, first: u64, between: u64| called(&guest, "patient", json!([server.url(path), first, between]));
        assert_eq!(failed(patient("/slow?head=5000", 200, 5000).await).code, "http-timeout", "{name}");
        assert_eq!(failed(patient("/slow?pieces=2&gap=5000", 5000, 200).await).code, "http-timeout", "{name}");
        assert!(patient("/slow?head=10&pieces=2&gap=10", 5000, 5000).await.is_returned());
    }
}

#[tokio::test]
async fn many_are_asked_at_once_by_one_guest() {
    let server = Server::start().await;
    for (name, guest) in guests_of(&server).await {
        let mut urls = vec![server.url("/slow?head=200"); 8];
        urls.push("https://elsewhere.example/".to_owned());
        let answers = returned(called(&guest, "together", json!([urls])).await);
        let answers = answers.as_array().unwrap();
        assert!(answers[..8].iter().all(|answer| *answer == json!({ "Ok": 200 })), "{name}: {answers:?}");
        assert_eq!(answers[8], json!({ "Err": "no rule of the guest's grant allows the request" }));
    }
    assert_eq!(server.under_way_most(), 8);
}

#[tokio::test]
async fn a_task_that_is_no_async_fn_asks_too_and_what_is_not_read_is_let_go() {
    let server = Server::start().await;
    for (name, guest) in guests_of(&server).await {
        assert_eq!(
            returned(called(&guest, "blocking", json!([server.url("/bytes?n=9999999")])).await),
            json!(200),
            "{name}"
        );
        let trailers = called(&guest, "trailers", json!([server.url("/trailers")])).await;
        assert_eq!(returned(trailers), json!([["x-end", "of it"]]), "{name}");
        let started = Instant::now();
        assert_eq!(returned(called(&guest, "nap", json!([100])).await), Value::Null);
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(100), "{name}: {took:?}");
    }
}

/// An answer of the handler, with all of its body, and how the call ended.
async fn asked<B>(guest: &Program, request: Request<B>) -> (Response<()>, Result<Bytes, String>, Outcome<()>)
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let reply = guest.http(request).limits(wide()).send().await.expect("the host does its part");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    let (head, body) = response.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).map_err(|error| error.to_string());
    (Response::from_parts(head, ()), body, ended.outcome().await.expect("it ends"))
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://localhost{path}")).body(Empty::new()).unwrap()
}

fn post(path: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::post(format!("http://localhost{path}")).body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

#[tokio::test]
async fn a_handler_answers_with_what_its_function_gives() {
    let server = Server::start().await;
    for (name, guest) in guests_of(&server).await {
        for (path, status, content_type, body) in [
            ("/", 200, Some("text/html; charset=utf-8"), "<h1>Hello</h1>"),
            ("/teapot", 418, Some("text/plain; charset=utf-8"), "short and stout"),
            ("/none", 204, None, ""),
            ("/no-such", 404, None, ""),
            (
                "/asked?a=1&b=x+y%26",
                200,
                Some("application/json"),
                r#"["GET","/asked",[["a","1"],["b","x y&"]],"localhost"]"#,
            ),
            ("/slow", 200, None, "piece 0;piece 1;piece 2;piece 3;piece 4;"),
        ] {
            let (head, found, outcome) = asked(&guest, get(path)).await;
            assert_eq!(
                (head.status().as_u16(), found.unwrap()),
                (status, Bytes::from_static(body.as_bytes())),
                "{name} {path}"
            );
            let found = head.headers().get("content-type").map(|value| value.to_str().unwrap());
            assert_eq!(found, content_type, "{name} {path}");
            let length = head.headers().get("content-length").map(|value| value.to_str().unwrap().to_owned());
            let expected = (status != 204 && path != "/slow").then(|| body.len().to_string());
            assert_eq!(length, expected, "{name} {path}");
            assert!(outcome.ending.is_returned(), "{name} {path}: {:?}", outcome.ending);
            assert_eq!(String::from_utf8_lossy(&outcome.stderr), "");
        }
        let (head, body, _) = asked(&guest, post("/sum", "[1, 2, 39]")).await;
        assert_eq!((head.status(), &body.unwrap()[..]), (StatusCode::OK, &b"42"[..]), "{name}");
        let (head, ..) = asked(&guest, get("/hop")).await;
        assert_eq!((head.headers().get("connection"), head.headers()["x-kept"].to_str().unwrap()), (None, "yes"));
        let request = Request::head("http://localhost/").body(Empty::<Bytes>::new()).unwrap();
        let (head, _, outcome) = asked(&guest, request).await;
        assert_eq!(
            (head.status(), head.headers()["content-length"].to_str().unwrap()),
            (StatusCode::OK, "14"),
            "{name}"
        );
        assert!(outcome.ending.is_returned(), "{name}: {:?}", outcome.ending);
    }
}

#[tokio::test]
async fn a_handler_s_bodies_stream_both_ways() {
    let server = Server::start().await;
    for (name, guest) in guests_of(&server).await {
        let (mut pieces, body) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
        let request = Request::post("http://localhost/echo").body(StreamBody::new(body)).unwrap();
        let reply = guest.http(request).send().await.unwrap();
        let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
        let mut body = response.into_body();
        // Each piece comes back before the next one is sent.
        for piece in ["one", "two", "three"] {
            pieces.try_send(Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).unwrap();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece, "{name}");
        }
        drop(pieces);
        assert!(body.frame().await.is_none());
        assert!(ended.outcome().await.unwrap().ending.is_returned());

        let large: Vec<u8> = (0..20 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
        let request = Request::post("http://localhost/echo").body(Full::new(Bytes::from(large.clone()))).unwrap();
        let (_, body, outcome) = asked(&guest, request).await;
        assert!(body.unwrap() == large, "{name}: it came back changed");
        assert!(outcome.usage.memory_peak_bytes < 4 << 20, "{name}: {}", outcome.usage);
    }
}

#[tokio::test]
async fn what_a_handler_fails_with_is_for_its_log_and_not_for_the_caller() {
    let server = Server::start().await;
    for (name, guest) in guests_of(&server).await {
        for (request, line) in [
            (post("/fail?token=not-for-the-log", ""), "POST /fail failed: out-of-stock: the secret reason\n"),
            (post("/sum", "seven"), "POST /sum failed: http-decode: the body is not the JSON that was expected: "),
        ] {
            let (head, body, outcome) = asked(&guest, request).await;
            assert_eq!((head.status().as_u16(), &body.unwrap()[..]), (500, &b"internal server error"[..]), "{name}");
            let logged = String::from_utf8_lossy(&outcome.stderr).into_owned();
            assert!(logged.starts_with(line), "{name}: {logged}");
            assert!(outcome.ending.is_returned());
        }
        // Too late for another status: the caller sees that it broke off.
        let (head, body, outcome) = asked(&guest, get("/fail-late")).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert!(body.is_err_and(|error| !error.contains("reason")), "{name}");
        let logged = String::from_utf8_lossy(&outcome.stderr).into_owned();
        let line = "GET /fail-late: the answer broke off: http-body: the body's own stream failed: the secret reason\n";
        assert_eq!(logged, line, "{name}");
    }
}

#[tokio::test]
async fn a_handler_asks_others_and_passes_on_what_they_say() {
    let server = Server::start().await;
    for (name, guest) in guests_of(&server).await {
        let through = |path: &str| get(&format!("/through?to={}", server.url(path).replace('&', "%26")));
        let (head, body, _) = asked(&guest, through("/hello")).await;
        assert_eq!((head.status(), &body.unwrap()[..]), (StatusCode::OK, &b"hello"[..]), "{name}");
        assert_eq!(head.headers()["x-answer"], "42");
        let (head, body, _) = asked(&guest, through("/bytes?n=9999999&chunked=1")).await;
        assert_eq!((head.status(), body.unwrap().len()), (StatusCode::OK, 9_999_999), "{name}");
        let (head, ..) = asked(&guest, get("/through?to=https://elsewhere.example/")).await;
        assert_eq!(head.status(), StatusCode::INTERNAL_SERVER_ERROR, "{name}: it may not ask there");
    }
}

#[tokio::test]
async fn tasks_and_a_handler_stand_side_by_side_among_the_exports() {
    let server = Server::start().await;
    for (name, guest) in guests_of(&server).await {
        let exports: Vec<_> = guest
            .exports()
            .iter()
            .filter(|one| matches!(one.kind, ExportKind::Http))
            .map(ToString::to_string)
            .collect();
        assert_eq!(exports.len(), 1, "{name}: {exports:?}");
        let tasks = guest.exports().iter().filter(|export| matches!(export.kind, ExportKind::Function(_))).count();
        assert_eq!(tasks, 14, "{name}: {:?}", guest.exports());
    }
}
