//! A `wasi:http/incoming-handler` that writes into a stranger's store, and then ends in each way that a handler can end.
//!
//! It proves what a response has to do with a commit: every route writes key `path` first.

wit_bindgen::generate!({
    path: ["../../wit/stranger-kv", "../../wit/demo-http-kv"],
    world: "demo:http-kv/http-kv",
    generate_all,
});

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use stranger::kv::store;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{OutputStream, StreamError};

struct Writer;

wasip2::http::proxy::export!(Writer);

/// Requests to `/count` that this instance has seen.
static COUNT: AtomicU32 = AtomicU32::new(0);

const FIRST: &[u8] = b"the first half, ";
const SECOND: &[u8] = b"the second half";

impl Guest for Writer {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        store::set("path", &path);
        match path.as_str() {
            "/whole" => whole(out),
            "/trap-early" => panic!("before the head"),
            "/trap-half" => {
                let _half = half(out);
                panic!("after half of the body");
            }
            "/trap-after" => {
                whole(out);
                panic!("after the whole response");
            }
            "/spin-half" => {
                let _half = half(out);
                loop {
                    std::hint::black_box(0);
                }
            }
            "/cut" => drop(half(out)),
            "/wait" => {
                let half = half(out);
                store::wait(3_600_000);
                half.finish(SECOND);
            }
            "/wait-early" => {
                store::wait(3_600_000);
                whole(out);
            }
            "/echo" => echo(&request, out),
            "/room" => {
                let answer = start(out);
                let room = answer.stream.check_write().expect("the caller still reads");
                answer.finish(room.to_string().as_bytes());
            }
            "/large-header" => {
                let answer = start(out);
                let _ = Fields::new().append("x-large", &[b'x'; 70_000]);
                answer.finish(b"the host took it");
            }
            "/count" => {
                let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
                start(out).finish(count.to_string().as_bytes());
            }
            "/silent" => {}
            // Holds on to what the caller waits for, and returns.
            "/keep" => std::mem::forget(out),
            "/keep-half" => std::mem::forget(half(out)),
            "/error" => ResponseOutparam::set(out, Err(ErrorCode::ConfigurationError)),
            other => panic!("no such route: {other}"),
        }
    }
}

/// A response whose head and first half are with the host. The stream is dropped before the body that it belongs to.
struct Half {
    stream: OutputStream,
    body: OutgoingBody,
}

fn start(out: ResponseOutparam) -> Half {
    let head = Fields::new();
    head.append("x-store", b"written").expect("the header is well formed");
    let response = OutgoingResponse::new(head);
    response.set_status_code(201).expect("the status is one of HTTP's");
    let body = response.body().expect("the body is asked for once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the stream is asked for once");
    Half { stream, body }
}

fn half(out: ResponseOutparam) -> Half {
    let mut half = start(out);
    half.stream.write_all(FIRST).expect("the caller still reads");
    half.stream.flush().expect("the caller still reads");
    half
}

impl Half {
    fn finish(mut self, rest: &[u8]) {
        self.stream.write_all(rest).expect("the caller still reads");
        drop(self.stream);
        OutgoingBody::finish(self.body, None).expect("the body has the length it promised");
    }
}

fn whole(out: ResponseOutparam) {
    half(out).finish(SECOND);
}

/// Sends each piece of the body back as it comes.
fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let body = request.consume().expect("the body is asked for once");
    let input = body.stream().expect("the stream is asked for once");
    let answer = start(out);
    loop {
        match answer.stream.blocking_splice(&input, 64 * 1024) {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => panic!("{}", error.to_debug_string()),
        }
    }
    answer.finish(b"");
}
