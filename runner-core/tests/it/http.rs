//! The module's own HTTP handler: bodies that stream both ways, and every way a guest can fail to answer.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use http::{Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use runner_core::{Ending, ErrorKind, HttpReply, LimitKind, Limits, Outcome};

use crate::support::{assert_exhausted, program, short};

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::builder().uri(format!("http://localhost{path}")).body(Empty::new()).expect("a request")
}

async fn answer(path: &str) -> (StatusCode, Bytes, Outcome<()>) {
    match program("http-hello.wasm").await.http(get(path)).send().await.expect("the host does its part") {
        HttpReply::Answered { response, ended } => {
            let status = response.status();
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            (status, body, ended.outcome().await.expect("it ends"))
        }
        _ => panic!("expected an answer to {path}"),
    }
}

async fn unanswered(path: &str, limits: Limits) -> Ending<()> {
    match program("http-hello.wasm").await.http(get(path)).limits(limits).send().await.expect("the host does its part")
    {
        HttpReply::Unanswered(outcome) => outcome.ending,
        _ => panic!("expected no answer to {path}"),
    }
}

#[tokio::test]
async fn a_request_is_answered_and_billed() {
    let (status, body, outcome) = answer("/").await;
    assert_eq!((status, body.as_ref()), (StatusCode::OK, &b"Hello from wasm"[..]));
    assert!(outcome.ending.is_returned() && outcome.usage.host_calls > 0 && !outcome.usage.guest.is_zero());
    assert_eq!(answer("/status/418").await.0, StatusCode::IM_A_TEAPOT);
    assert!(String::from_utf8_lossy(&answer("/headers").await.1).contains("/headers"));
    assert!(!answer("/stream").await.1.is_empty());
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let (mut chunks, body) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let request = Request::builder().method(Method::POST).uri("http://localhost/echo");
    let request = request.body(StreamBody::new(body)).expect("a request");
    let reply = program("http-hello.wasm").await.http(request).send().await.expect("the host does its part");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    let mut body = response.into_body();
    // Each chunk comes back before the next one is sent.
    for chunk in ["one", "two", "three"] {
        chunks.try_send(Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))).expect("room for one");
        let frame = body.frame().await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), chunk);
    }
    drop(chunks);
    assert!(body.frame().await.is_none());
    assert!(ended.outcome().await.expect("it ends").ending.is_returned());
}

#[tokio::test]
async fn a_guest_that_does_not_answer_says_how_it_ended() {
    assert!(matches!(unanswered("/trap", Limits::default()).await, Ending::Trapped(_)));
    assert_exhausted(&unanswered("/spin", short()).await, LimitKind::Deadline);
    match unanswered("/silent", Limits::default()).await {
        // The binding's own drop of the response outparam may trap instead of returning.
        Ending::Failed(failure) => assert_eq!(failure.code, "no_response"),
        other => panic!("{other:?}"),
    }
    match unanswered("/error", Limits::default()).await {
        Ending::Failed(failure) => assert_eq!(failure.code, "http"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_guest_that_breaks_off_breaks_the_body() {
    let reply = program("http-hello.wasm").await.http(get("/trap-late")).send().await.expect("the host does its part");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    assert!(response.into_body().collect().await.is_err(), "half a body is not a whole one");
    assert!(matches!(ended.outcome().await.expect("it ends").ending, Ending::Trapped(_)));
}

/// The body and the ending of an answer, read before the guest has ended or long after.
async fn read(path: &str, late: bool) -> (Result<Bytes, runner_core::Error>, Ending<()>) {
    let reply = program("http-hello.wasm").await.http(get(path)).send().await.expect("the host does its part");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer to {path}") };
    let body = async { response.into_body().collect().await.map(|body| body.to_bytes()) };
    let ended = async { ended.outcome().await.expect("it ends").ending };
    match late {
        true => {
            let ending = ended.await;
            (body.await, ending)
        }
        false => futures::future::join(body, ended).await,
    }
}

#[tokio::test]
async fn half_a_body_is_never_a_whole_one_however_late_it_is_read() {
    for late in [false, true] {
        for path in ["/keep-half", "/keep-body", "/trap-late"] {
            let (body, ending) = read(path, late).await;
            assert!(body.is_err(), "{path}, late: {late}");
            assert_eq!(ending.is_returned(), path != "/trap-late", "{ending:?}");
        }
    }
}

#[tokio::test]
async fn a_finished_body_is_whole_whatever_the_guest_does_after_it() {
    for late in [false, true] {
        let (body, ending) = read("/trap-after", late).await;
        assert_eq!(body.expect("it was finished"), "all of it", "late: {late}");
        assert!(matches!(ending, Ending::Trapped(_)), "{ending:?}");
    }
}

#[tokio::test]
async fn a_reader_that_has_all_that_the_head_promised_stops_nobody() {
    let program = program("http-hello.wasm").await;
    for method in [Method::GET, Method::HEAD] {
        let request = Request::builder().method(&method).uri("http://localhost/length").body(Empty::new());
        let reply = program.http(request.expect("a request")).send().await.expect("the host does its part");
        let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
        assert_eq!(response.headers()["content-length"], "11");
        let mut body = response.into_body();
        if method == Method::GET {
            let frame = body.frame().await.expect("a frame").expect("no error");
            assert_eq!(frame.into_data().expect("data"), "just enough");
        }
        // As a server does, which sends no more than that.
        drop(body);
        assert!(ended.outcome().await.expect("it ends").ending.is_returned(), "{method}");
    }
}

#[tokio::test]
async fn a_reader_that_has_the_trailers_stops_nobody() {
    let program = program("http-hello.wasm").await;
    let request = Request::get("http://localhost/trailers").body(Empty::new()).expect("a request");
    let reply = program.http(request).send().await.expect("the host does its part");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    let mut body = response.into_body();
    let frame = body.frame().await.expect("a frame").expect("no error");
    assert_eq!(frame.into_data().expect("data"), "a body");
    let frame = body.frame().await.expect("a frame").expect("no error");
    assert_eq!(frame.into_trailers().expect("trailers")["x-sum"], "6");
    // As a server does, which knows that nothing comes after them.
    drop(body);
    assert!(ended.outcome().await.expect("it ends").ending.is_returned());
}

#[tokio::test]
async fn outgoing_requests_are_denied_by_the_interface_s_own_code() {
    let (_, body, outcome) = answer("/outgoing").await;
    assert!(outcome.ending.is_returned());
    let body = String::from_utf8_lossy(&body).to_lowercase();
    assert!(body.contains("denied"), "{body}");
}

#[tokio::test]
async fn bodies_are_held_to_their_limits() {
    let program = program("http-hello.wasm").await;
    let post = |bytes: usize| {
        let request = Request::builder().method(Method::POST).uri("http://localhost/echo");
        request.body(Full::new(Bytes::from(vec![b'x'; bytes]))).expect("a request")
    };
    let ending = async |limits: Limits| match program.http(post(100_000)).limits(limits).send().await.expect("it runs")
    {
        HttpReply::Answered { response, ended } => {
            let _ = response.into_body().collect().await;
            ended.outcome().await.expect("it ends").ending
        }
        HttpReply::Unanswered(outcome) => outcome.ending,
        _ => panic!("an unknown reply"),
    };
    assert_exhausted(&ending(Limits { output_bytes: 10_000, ..Limits::default() }).await, LimitKind::Output);
    assert_exhausted(&ending(Limits { input_bytes: 10_000, ..Limits::default() }).await, LimitKind::Input);
    assert!(ending(Limits::default()).await.is_returned());
}

#[tokio::test]
async fn a_reader_that_goes_away_stops_the_guest() {
    let (_chunks, body) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let request = Request::builder().method(Method::POST).uri("http://localhost/echo");
    let request = request.body(StreamBody::new(body)).expect("a request");
    let reply = program("http-hello.wasm").await.http(request).send().await.expect("the host does its part");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    drop(response);
    let outcome = ended.outcome().await.expect("what it cost is known all the same");
    assert_eq!(outcome.ending, Ending::Cancelled);
    assert!(outcome.usage.host_calls > 0);
}

#[tokio::test]
async fn a_reader_that_stands_still_does_not_hold_the_guest_past_its_deadline() {
    let (_chunks, body) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let request = Request::builder().method(Method::POST).uri("http://localhost/echo");
    let request = request.body(StreamBody::new(body)).expect("a request");
    let limits = Limits { deadline: Duration::from_secs(5), ..Limits::default() };
    let call = program("http-hello.wasm").await.http(request).limits(limits);
    tokio::time::pause();
    let HttpReply::Answered { response, ended } = call.send().await.expect("it runs") else { panic!("an answer") };
    // Nobody polls the body.
    assert_exhausted(&ended.outcome().await.expect("it ends").ending, LimitKind::Deadline);
    drop(response);
}

#[tokio::test]
async fn a_module_without_a_handler_says_so() {
    let error = program("gcd.wat").await.http(get("/")).send().await.err().expect("there is none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("the module has no `wasi:http/incoming-handler`: it exports `gcd`"), "{error}");
}
