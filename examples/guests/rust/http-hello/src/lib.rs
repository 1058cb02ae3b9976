//! A `wasi:http/incoming-handler` with one route for each thing that a host must get right.
//!
//! It stands on the bare bindings, without a framework: it is the guest of the HTTP benchmark
//! as well, and should cost no more than the protocol does.

use std::io::Write;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
    Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

struct Hello;

wasip2::http::proxy::export!(Hello);

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let route = path.split('?').next().unwrap_or_default();
        match (request.method(), route) {
            (Method::Get, "/") => respond(out, 200, b"Hello from wasm"),
            (Method::Post, "/echo") => echo(&request, out),
            (_, "/headers") => respond(out, 200, headers(&request, &path).as_bytes()),
            (Method::Get, "/stream") => stream(out),
            (Method::Get, "/trap") => panic!("before the head"),
            (Method::Get, "/trap-late") => {
                start(out, 200).write(b"the first half, ");
                panic!("after half the body");
            }
            (Method::Get, "/trap-after") => {
                respond(out, 200, b"all of it");
                panic!("after the body");
            }
            // Holds on to the body, and returns.
            (Method::Get, "/keep-half") => {
                let mut answer = start(out, 200);
                answer.write(b"the first half, ");
                std::mem::forget(answer);
            }
            // The same, with the stream let go.
            (Method::Get, "/keep-body") => {
                let mut answer = start(out, 200);
                answer.write(b"the first half, ");
                drop(answer.stream);
                std::mem::forget(answer.body);
            }
            (_, "/length") => length(out),
            (Method::Get, "/trailers") => trailers(out),
            (Method::Get, "/spin") => loop {
                std::hint::black_box(0);
            },
            (Method::Get, "/outgoing") => respond(out, 200, outgoing().as_bytes()),
            (Method::Get, "/silent") => {}
            (Method::Get, "/error") => {
                ResponseOutparam::set(out, Err(ErrorCode::ConfigurationError));
            }
            _ => match route.strip_prefix("/status/").map(str::parse) {
                Some(Ok(status)) => respond(out, status, b""),
                _ => respond(out, 404, b"no such route"),
            },
        }
    }
}

/// A response whose head is on its way, and whose body is being written.
struct Answer {
    body: OutgoingBody,
    stream: OutputStream,
}

fn start(out: ResponseOutparam, status: u16) -> Answer {
    let head = Fields::new();
    head.append("content-type", b"text/plain").expect("the header is well formed");
    let response = OutgoingResponse::new(head);
    response.set_status_code(status).expect("the status is one of HTTP's");
    let body = response.body().expect("the body is asked for once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the stream is asked for once");
    Answer { body, stream }
}

impl Answer {
    /// Gives the bytes to the host and waits until it has sent them.
    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the caller still reads");
        self.stream.flush().expect("the caller still reads");
    }

    fn finish(self) {
        drop(self.stream);
        OutgoingBody::finish(self.body, None).expect("the body has the length it promised");
    }
}

fn respond(out: ResponseOutparam, status: u16, text: &[u8]) {
    let mut answer = start(out, status);
    // One call less than `write`: nobody waits for the end of a short body.
    answer.stream.write_all(text).expect("the caller still reads");
    answer.finish();
}

/// Sends each piece of the body back as it comes.
fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let body = request.consume().expect("the body is asked for once");
    let input = body.stream().expect("the stream is asked for once");
    let answer = start(out, 200);
    loop {
        match answer.stream.blocking_splice(&input, 64 * 1024) {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => panic!("{}", error.to_debug_string()),
        }
    }
    answer.finish();
}

/// Ten chunks, ten milliseconds apart.
fn stream(out: ResponseOutparam) {
    let mut answer = start(out, 200);
    for chunk in 0..10 {
        answer.write(format!("chunk {chunk}\n").as_bytes());
        subscribe_duration(10_000_000).block();
    }
    answer.finish();
}

/// As many bytes as the head says, and ten milliseconds of work after them.
fn length(out: ResponseOutparam) {
    let text = b"just enough";
    let head = Fields::new();
    head.append("content-length", text.len().to_string().as_bytes()).expect("the header is well formed");
    let response = OutgoingResponse::new(head);
    let body = response.body().expect("the body is asked for once");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("the stream is asked for once");
    // A caller who asked for the head alone has gone.
    let _ = stream.write_all(text);
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
    subscribe_duration(10_000_000).block();
}

/// A body that ends with trailers, and ten milliseconds of work after them.
fn trailers(out: ResponseOutparam) {
    let mut answer = start(out, 200);
    answer.write(b"a body");
    let trailers = Fields::new();
    trailers.append("x-sum", b"6").expect("the header is well formed");
    drop(answer.stream);
    OutgoingBody::finish(answer.body, Some(trailers)).expect("the body promised no length");
    subscribe_duration(10_000_000).block();
}

/// Method, path and headers as JSON.
fn headers(request: &IncomingRequest, path: &str) -> String {
    let method = match request.method() {
        Method::Get => "GET".into(),
        Method::Post => "POST".into(),
        Method::Put => "PUT".into(),
        Method::Delete => "DELETE".into(),
        Method::Other(name) => name,
        other => format!("{other:?}"),
    };
    let headers: Vec<String> = (request.headers().entries().iter())
        .map(|(name, value)| format!("[{name:?},{:?}]", String::from_utf8_lossy(value)))
        .collect();
    format!("{{\"method\":{method:?},\"path\":{path:?},\"headers\":[{}]}}", headers.join(","))
}

/// Asks another server for something, and says what came of it.
fn outgoing() -> String {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("the scheme is well formed");
    request.set_authority(Some("127.0.0.1:9")).expect("the authority is well formed");
    request.set_path_with_query(Some("/")).expect("the path is well formed");
    let answer = match outgoing_handler::handle(request, None) {
        Ok(answer) => answer,
        Err(code) => return format!("refused: {code:?}"),
    };
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(Ok(response))) => format!("answered: {}", response.status()),
        Some(Ok(Err(code))) => format!("failed: {code:?}"),
        other => format!("unexpected: {other:?}"),
    }
}
