//! What a response has to do with a capability's close: it is held back until the close has succeeded, unless the grant
//! says that it may stream.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use http::{Request, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Empty, StreamBody};
use runner_core::{
    CallContext, Capability, Ending, Error, ErrorKind, Executor, Grants, HasView, Host, HttpReply, Instance, Limits,
    Program, Result, View, async_trait, wasmtime,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::stranger::store;
use crate::support::{guest, short, small, turns};

/// A store that publishes in its close. The test says when, and whether it can.
#[derive(Clone)]
struct Publisher {
    /// What happened, in order.
    log: Arc<Mutex<Vec<String>>>,
    /// The ids of the calls that it was opened for.
    calls: Arc<Mutex<Vec<u64>>>,
    /// A close takes a permit before it goes on.
    gate: Arc<Semaphore>,
    fails: bool,
    /// Instead of waiting.
    panics: bool,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Grant {
    stream: bool,
}

struct Draft {
    log: Arc<Mutex<Vec<String>>>,
    panics: bool,
}

#[async_trait]
impl Capability for Publisher {
    type Grant = Grant;
    type State = Draft;

    fn id(&self) -> &str {
        "kv"
    }

    fn serves(&self) -> &[&str] {
        &["stranger:kv/store"]
    }

    fn link(linker: &mut wasmtime::component::Linker<Host>) -> wasmtime::Result<()> {
        store::add_to_linker::<_, HasView<Draft>>(linker, Host::view)
    }

    fn open(&self, _grant: &Grant, call: &CallContext) -> Result<Draft> {
        self.calls.lock().unwrap().push(call.call_id);
        Ok(Draft { log: Arc::clone(&self.log), panics: self.panics })
    }

    async fn close(&self, _draft: Draft, ending: &Ending<()>) -> Result<()> {
        self.say(format!("closing {}", told(ending)));
        self.gate.acquire().await.expect("the gate is never closed").forget();
        self.say("closed".to_owned());
        if self.fails { Err(Error::conflict("somebody else was faster")) } else { Ok(()) }
    }

    fn commits(&self, grant: &Grant) -> bool {
        !grant.stream
    }
}

impl store::Host for View<'_, Draft> {
    async fn get(&mut self, _key: String) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }

    async fn set(&mut self, key: String, value: String) -> wasmtime::Result<()> {
        self.log.lock().unwrap().push(format!("{key} {value}"));
        Ok(())
    }

    async fn add(&mut self, _key: String, by: i64) -> wasmtime::Result<i64> {
        Ok(by)
    }

    async fn wait(&mut self, ms: u64) -> wasmtime::Result<()> {
        assert!(!self.panics, "on purpose");
        self.log.lock().unwrap().push("waits".to_owned());
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(())
    }
}

fn told<T>(ending: &Ending<T>) -> String {
    match ending {
        Ending::Returned(_) => "returned".to_owned(),
        Ending::Failed(failure) => format!("failed {}", failure.code),
        Ending::Trapped(trap) => format!("trapped {}", trap.code),
        Ending::Exhausted(limit) => format!("exhausted {}", limit.kind),
        _ => "cancelled".to_owned(),
    }
}

impl Publisher {
    /// Closes at once.
    fn open() -> Self {
        Publisher { gate: Arc::new(Semaphore::new(100)), ..Self::shut() }
    }

    /// Closes when the test says so.
    fn shut() -> Self {
        let gate = Arc::new(Semaphore::new(0));
        Publisher { log: Arc::default(), calls: Arc::default(), gate, fails: false, panics: false }
    }

    fn say(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until something has happened.
    async fn until(&self, what: &str) {
        while !self.log().iter().any(|line| line == what) {
            tokio::task::yield_now().await;
        }
    }

    async fn program(&self, stream: bool) -> (Executor, Program) {
        let executor = Executor::builder().bounds(small()).capability(self.clone()).build().expect("it starts");
        let grants = Grants::none().grant("kv", json!({ "stream": stream }));
        let program = executor.load(guest("http-kv.wasm"), &grants).await.expect("it loads");
        (executor, program)
    }
}

const HELD: bool = false;
const STREAMED: bool = true;

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::builder().uri(format!("http://localhost{path}")).body(Empty::new()).expect("a request")
}

fn sent(program: &Program, path: &str) -> JoinHandle<Result<HttpReply>> {
    tokio::spawn(program.http(get(path)).send())
}

#[tokio::test]
async fn an_answer_is_known_by_the_id_that_capabilities_were_told() {
    let kv = Publisher::open();
    let (_executor, program) = kv.program(STREAMED).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let reply = program.http(get("/whole")).send().await.expect("it is sent");
        let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
        let before = ended.call_id();
        response.into_body().collect().await.expect("a body");
        assert_eq!(ended.outcome().await.expect("it has ended").call_id, before);
        told.push(before);
    }
    // A live instance opens them with each request.
    let mut instance = program.instance().start().await.expect("it starts");
    for _ in 0..2 {
        let reply = instance.http(get("/whole")).send().await.expect("it is sent");
        let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
        told.push(ended.call_id());
        response.into_body().collect().await.expect("a body");
        instance = ended.reclaim().await.expect("it has ended").1.expect("it goes on");
    }
    instance.close().await.expect("it closes");
    let mut opened = kv.calls.lock().unwrap().clone();
    // The instance's start had an opening of its own.
    opened.retain(|call| told.contains(call));
    assert_eq!(opened, told);
    told.dedup();
    assert_eq!(told.len(), 4, "each has its own: {told:?}");
}

#[tokio::test]
async fn a_response_is_held_back_until_the_close_has_succeeded() {
    let kv = Publisher::shut();
    let (_executor, program) = kv.program(HELD).await;
    let send = sent(&program, "/whole");
    kv.until("closing returned").await;
    turns().await;
    assert!(!send.is_finished(), "nobody is told of what has not happened");
    kv.gate.add_permits(1);
    let reply = send.await.expect("no panic").expect("it is sent");
    assert_eq!(kv.log(), ["path /whole", "closing returned", "closed"]);
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    assert_eq!((response.status(), &response.headers()["x-store"]), (StatusCode::CREATED, &"written".parse().unwrap()));
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body, "the first half, the second half");
    assert!(ended.outcome().await.expect("it has ended").ending.is_returned());
}

#[tokio::test]
async fn no_response_is_seen_of_a_close_that_failed() {
    let kv = Publisher { fails: true, ..Publisher::open() };
    let (_executor, program) = kv.program(HELD).await;
    let error = program.http(get("/whole")).send().await.err().expect("the commit fails");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Conflict, "somebody else was faster"));
    let outcome = error.outcome().expect("what the guest did is kept");
    assert!(outcome.ending.is_returned() && outcome.usage.host_calls > 0);
    assert_eq!(kv.log(), ["path /whole", "closing returned", "closed"]);
}

#[tokio::test]
async fn a_response_that_the_guest_broke_off_is_none_where_it_is_held_back() {
    for (path, limits, expected) in [
        ("/trap-early", Limits::default(), "trapped unreachable"),
        ("/trap-half", Limits::default(), "trapped unreachable"),
        ("/trap-after", Limits::default(), "trapped unreachable"),
        ("/spin-half", short(), "exhausted deadline"),
    ] {
        let kv = Publisher::open();
        let (_executor, program) = kv.program(HELD).await;
        match program.http(get(path)).limits(limits).send().await.expect("the host does its part") {
            HttpReply::Unanswered(outcome) => assert_eq!(told(&outcome.ending), expected, "{path}"),
            _ => panic!("{path} was answered"),
        }
        assert_eq!(kv.log(), [format!("path {path}"), format!("closing {expected}"), "closed".to_owned()]);
    }
}

#[tokio::test]
async fn a_streamed_response_arrives_before_the_close() {
    let kv = Publisher::shut();
    let (_executor, program) = kv.program(STREAMED).await;
    // Held back, it would wait for the close, which waits for the end of this test.
    let reply = program.http(get("/whole")).send().await.expect("it is sent");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    assert_eq!(response.status(), StatusCode::CREATED);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body, "the first half, the second half");
    kv.until("closing returned").await;
    assert_eq!(kv.log(), ["path /whole", "closing returned"]);
    kv.gate.add_permits(1);
    assert!(ended.outcome().await.expect("it closes").ending.is_returned());
    assert_eq!(kv.log(), ["path /whole", "closing returned", "closed"]);
}

#[tokio::test]
async fn a_streamed_response_tells_at_its_end_of_a_close_that_failed() {
    let kv = Publisher { fails: true, ..Publisher::open() };
    let (_executor, program) = kv.program(STREAMED).await;
    let reply = program.http(get("/whole")).send().await.expect("it is sent");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    response.into_body().collect().await.expect("the guest did its part");
    let error = ended.outcome().await.expect_err("the commit fails");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Conflict, "somebody else was faster"));
    assert!(error.outcome().is_some_and(|outcome| outcome.ending.is_returned()));
}

#[tokio::test]
async fn a_streamed_response_that_the_guest_broke_off_is_half_a_body() {
    for (path, limits, expected) in
        [("/trap-half", Limits::default(), "trapped unreachable"), ("/spin-half", short(), "exhausted deadline")]
    {
        let kv = Publisher::open();
        let (_executor, program) = kv.program(STREAMED).await;
        let reply = program.http(get(path)).limits(limits).send().await.expect("it is sent");
        let HttpReply::Answered { response, ended } = reply else { panic!("{path}: expected an answer") };
        let mut body = response.into_body();
        let first = body.frame().await.expect("a frame").expect("no error").into_data().expect("data");
        assert_eq!(first, "the first half, ", "{path}");
        assert!(body.frame().await.expect("its end is told").is_err(), "{path}");
        assert_eq!(told(&ended.outcome().await.expect("it ends").ending), expected, "{path}");
        assert_eq!(kv.log(), [format!("path {path}"), format!("closing {expected}"), "closed".to_owned()]);
    }
}

#[tokio::test]
async fn a_panic_of_the_host_is_an_error_and_no_end_of_the_response() {
    let kv = Publisher { panics: true, ..Publisher::open() };
    let (_executor, program) = kv.program(STREAMED).await;
    let error = program.http(get("/wait-early")).send().await.err().expect("it panics");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Internal, "the host panicked while it served the guest"));
    assert!(error.outcome().is_some_and(|outcome| outcome.usage.host_calls > 1), "{:?}", error.outcome());
    let reply = program.http(get("/wait")).send().await.expect("it is sent");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    assert!(response.into_body().collect().await.is_err(), "half a body is not a whole one");
    assert_eq!(ended.outcome().await.expect_err("it panics").kind(), ErrorKind::Internal);
    let closed = ["closing cancelled", "closed"];
    assert_eq!(kv.log(), [&["path /wait-early"], &closed[..], &["path /wait"], &closed[..]].concat());
}

#[tokio::test]
async fn a_caller_that_goes_away_before_the_response_cancels() {
    // Before and after the guest has written its head: held back, the caller has seen neither.
    for path in ["/wait-early", "/wait"] {
        let kv = Publisher::open();
        let (executor, program) = kv.program(HELD).await;
        let send = sent(&program, path);
        kv.until("waits").await;
        turns().await;
        send.abort();
        assert!(send.await.err().expect("it is dropped").is_cancelled());
        executor.shutdown().await;
        assert_eq!(kv.log(), [&format!("path {path}"), "waits", "closing cancelled", "closed"]);
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_during_the_close_does_not_stop_it() {
    let kv = Publisher::shut();
    let (executor, program) = kv.program(HELD).await;
    let send = sent(&program, "/whole");
    kv.until("closing returned").await;
    send.abort();
    assert!(send.await.err().expect("it is dropped").is_cancelled());
    turns().await;
    kv.gate.add_permits(1);
    executor.shutdown().await;
    assert_eq!(kv.log(), ["path /whole", "closing returned", "closed"]);
}

#[tokio::test]
async fn a_reader_that_goes_away_half_way_cancels() {
    let kv = Publisher::open();
    let (executor, program) = kv.program(STREAMED).await;
    let (mut chunks, body) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let request = Request::builder().uri("http://localhost/echo").body(StreamBody::new(body)).expect("a request");
    let reply = program.http(request).send().await.expect("it is sent");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    let mut body = response.into_body();
    chunks.try_send(Ok(Frame::data(Bytes::from_static(b"half")))).expect("room for one");
    assert_eq!(body.frame().await.expect("a frame").expect("no error").into_data().expect("data"), "half");
    assert!(!body.is_end_stream());
    drop(body);
    assert_eq!(ended.outcome().await.expect("it was stopped").ending, Ending::Cancelled);
    executor.shutdown().await;
    assert_eq!(kv.log(), ["path /echo", "closing cancelled", "closed"]);
}

#[tokio::test]
async fn a_reader_that_read_to_the_end_cancels_nothing() {
    let kv = Publisher::open();
    let (executor, program) = kv.program(STREAMED).await;
    let reply = program.http(get("/whole")).send().await.expect("it is sent");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    drop(ended);
    response.into_body().collect().await.expect("a body");
    executor.shutdown().await;
    assert_eq!(kv.log(), ["path /whole", "closing returned", "closed"]);
}

#[tokio::test]
async fn shutdown_waits_for_a_close_under_way() {
    for stream in [HELD, STREAMED] {
        let kv = Publisher::shut();
        let (executor, program) = kv.program(stream).await;
        let send = sent(&program, "/whole");
        kv.until("closing returned").await;
        let shutdown = tokio::spawn(async move { executor.shutdown().await });
        turns().await;
        assert!(!shutdown.is_finished(), "a close is under way");
        kv.gate.add_permits(1);
        shutdown.await.expect("no panic");
        assert_eq!(kv.log(), ["path /whole", "closing returned", "closed"]);
        let reply = send.await.expect("no panic").expect("it is sent");
        assert!(matches!(reply, HttpReply::Answered { .. }), "the response is given all the same");
    }
}

#[tokio::test]
async fn a_close_beyond_its_grace_is_an_error() {
    let kv = Publisher::shut();
    let (_executor, program) = kv.program(HELD).await;
    tokio::time::pause();
    let error = program.http(get("/whole")).send().await.err().expect("the close never ends");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.message(), "capability `kv` did not close within 5s");
    assert!(error.outcome().is_some_and(|outcome| outcome.ending.is_returned()));
    assert_eq!(kv.log(), ["path /whole", "closing returned"], "it is not asked again");
}

/// One request to a live instance: what came back, and the instance where it goes on.
async fn reused(instance: Instance, path: &str) -> (Bytes, Option<Instance>) {
    let reply = instance.http(get(path)).send().await.expect("it is sent");
    let (response, ended) = match reply {
        HttpReply::Answered { response, ended } => (response, ended),
        HttpReply::Unanswered(outcome) => panic!("expected an answer, found {:?}", outcome.ending),
        _ => panic!("an unknown reply"),
    };
    let body = response.into_body().collect().await.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    let (outcome, instance) = ended.reclaim().await.expect("it ends");
    assert_eq!(outcome.ending.is_returned(), instance.is_some(), "only one that returned goes on");
    (body, instance)
}

#[tokio::test]
async fn a_live_instance_serves_requests_and_its_capabilities_open_and_close_with_each() {
    for grant in [HELD, STREAMED] {
        let kv = Publisher::open();
        let (_executor, program) = kv.program(grant).await;
        let instance = program.instance().start().await.expect("it starts");
        assert!(instance.started().ending.is_returned() && !instance.started().usage.instantiate.is_zero());
        let (body, instance) = reused(instance, "/count").await;
        assert_eq!(body, "1");
        // What the instance had opened when it started is closed before its first request.
        let first = ["closing returned", "closed", "path /count", "closing returned", "closed"];
        assert_eq!(kv.log(), first);
        let (body, instance) = reused(instance.expect("it goes on"), "/count").await;
        assert_eq!(body, "2", "what it holds in memory stays");
        assert_eq!(kv.log()[first.len()..], first[2..]);
        instance.expect("it goes on").close().await.expect("it closes");
        assert_eq!(kv.log().len(), 8, "nothing is closed twice");
    }
}

#[tokio::test]
async fn a_live_instance_does_not_outlive_a_request_that_went_wrong() {
    let kv = Publisher::open();
    let (executor, program) = kv.program(STREAMED).await;
    let instance = async || program.instance().start().await.expect("it starts");
    assert!(reused(instance().await, "/trap-half").await.1.is_none());
    let HttpReply::Unanswered(outcome) = instance().await.http(get("/silent")).send().await.expect("it is sent") else {
        panic!("nothing was answered");
    };
    assert_eq!(told(&outcome.ending), "failed no_response");
    // A reader that goes away stops it; the capability hears of it.
    let (_chunks, body) = mpsc::channel::<std::result::Result<Frame<Bytes>, Infallible>>(1);
    let request = Request::builder().uri("http://localhost/echo").body(StreamBody::new(body)).expect("a request");
    let HttpReply::Answered { response, ended } = instance().await.http(request).send().await.expect("it is sent")
    else {
        panic!("expected an answer");
    };
    drop(response);
    let (outcome, instance) = ended.reclaim().await.expect("it ends");
    assert!(outcome.ending == Ending::Cancelled && instance.is_none());
    executor.shutdown().await;
    assert_eq!(kv.log().last().map(String::as_str), Some("closed"));
    assert!(kv.log().contains(&"closing cancelled".to_owned()));
}

#[tokio::test]
async fn a_request_to_a_live_instance_has_limits_of_its_own() {
    let kv = Publisher::open();
    let (_executor, program) = kv.program(STREAMED).await;
    let instance = program.instance().start().await.expect("it starts");
    let limits = Limits { output_bytes: 0, ..Limits::default() };
    let reply = instance.http(get("/count")).limits(limits).send().await.expect("it is sent");
    let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
    assert!(response.into_body().collect().await.is_err());
    let (outcome, instance) = ended.reclaim().await.expect("it ends");
    assert_eq!(told(&outcome.ending), "exhausted output");
    assert!(instance.is_none());
}

#[tokio::test]
async fn a_commit_that_fails_ends_a_live_instance() {
    let kv = Publisher { fails: true, ..Publisher::open() };
    let (_executor, program) = kv.program(HELD).await;
    let instance = program.instance().start().await.expect("it starts");
    // What was open since the start is closed first, and that fails already.
    let error = instance.http(get("/count")).send().await.err().expect("the commit fails");
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_host_that_is_none_is_the_caller_s_mistake() {
    let kv = Publisher::open();
    let (_executor, program) = kv.program(HELD).await;
    for (host, good) in [("a b", false), ("\u{e9}.example", false), ("example.org:8080", true), ("[::1]", true)] {
        let request = Request::builder().uri("/count").header("host", host.as_bytes());
        let sent = program.http(request.body(Empty::<Bytes>::new()).expect("a request")).send().await;
        match sent {
            Ok(_) => assert!(good, "{host}"),
            Err(error) => {
                assert!(!good && error.kind() == ErrorKind::Invalid && error.message().contains("Host"), "{error}")
            }
        }
    }
}

#[tokio::test]
async fn a_request_without_an_answer_commits_nothing() {
    for stream in [HELD, STREAMED] {
        for (path, expected) in [("/silent", "failed no_response"), ("/error", "failed http")] {
            let kv = Publisher::open();
            let (_executor, program) = kv.program(stream).await;
            match program.http(get(path)).send().await.expect("the host does its part") {
                HttpReply::Unanswered(outcome) => assert_eq!(told(&outcome.ending), expected, "{path}"),
                _ => panic!("{path} was answered"),
            }
            assert_eq!(kv.log(), [format!("path {path}"), format!("closing {expected}"), "closed".to_owned()]);
        }
    }
}

#[tokio::test]
async fn a_held_response_that_is_not_whole_commits_nothing() {
    let small_output = || Limits { output_bytes: 20, ..Limits::default() };
    for (path, limits) in [("/cut", Limits::default()), ("/whole", small_output())] {
        let kv = Publisher::open();
        let (_executor, program) = kv.program(HELD).await;
        match program.http(get(path)).limits(limits).send().await.expect("the host does its part") {
            HttpReply::Unanswered(outcome) => {
                assert!(!outcome.ending.is_returned(), "{path}: {:?}", outcome.ending);
                let seen = format!("closing {}", told(&outcome.ending));
                assert_eq!(kv.log(), [format!("path {path}"), seen, "closed".to_owned()]);
            }
            _ => panic!("{path} was answered"),
        }
    }
}

#[tokio::test]
async fn a_guest_that_keeps_what_its_caller_waits_for_keeps_nobody_waiting() {
    for stream in [HELD, STREAMED] {
        for live in [false, true] {
            let kv = Publisher::open();
            let (_executor, program) = kv.program(stream).await;
            let send = async |path: &str| match live {
                false => program.http(get(path)).send().await.expect("it is sent"),
                true => {
                    let instance = program.instance().start().await.expect("it starts");
                    instance.http(get(path)).send().await.expect("it is sent")
                }
            };
            let HttpReply::Unanswered(outcome) = send("/keep").await else { panic!("nothing was answered") };
            assert_eq!(told(&outcome.ending), "failed no_response");
            match (stream, send("/keep-half").await) {
                (HELD, HttpReply::Unanswered(outcome)) => assert_eq!(told(&outcome.ending), "failed unfinished"),
                (STREAMED, HttpReply::Answered { response, ended }) => {
                    let error = response.into_body().collect().await.expect_err("half a body");
                    assert_eq!(error.kind(), ErrorKind::Unavailable);
                    ended.outcome().await.expect("it has ended");
                }
                _ => panic!("an answer that is not whole is seen only where it streams"),
            }
        }
    }
}

#[tokio::test]
async fn the_host_holds_little_for_each_body_and_each_set_of_headers() {
    let kv = Publisher::open();
    let (_executor, program) = kv.program(STREAMED).await;
    let instance = program.instance().start().await.expect("it starts");
    let (said, instance) = reused(instance, "/room").await;
    // Two such pieces wait for the reader at most; a guest has as many bodies as it has handles.
    assert_eq!(said, (64 << 10).to_string());
    let (said, instance) = reused(instance.expect("it goes on"), "/large-header").await;
    assert!(said.is_empty() && instance.is_none(), "a header of 70 kB stops the guest");
}
