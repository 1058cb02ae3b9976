//! Asks a server in a loop, to measure what one request costs: on the bare bindings, without a framework.

wit_bindgen::generate!({ path: "../../wit/bench-http-loop", world: "http-loop" });

use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, IncomingBody, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

struct Loop;

export!(Loop);

impl Guest for Loop {
    fn run(authority: String, path: String, times: u32) -> (Vec<u64>, u32) {
        let mut took = Vec::with_capacity(times as usize);
        for _ in 0..times {
            let asked = monotonic_clock::now();
            if ask(&authority, &path).is_ok() {
                took.push(monotonic_clock::now() - asked);
            }
        }
        let failed = times - took.len() as u32;
        (took, failed)
    }
}

fn ask(authority: &str, path: &str) -> Result<(), ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("it is a scheme");
    request.set_authority(Some(authority)).expect("the host gives one");
    request.set_path_with_query(Some(path)).expect("the host gives one");
    let body = request.body().expect("it is asked for once");
    let answer = outgoing_handler::handle(request, None)?;
    OutgoingBody::finish(body, None)?;
    answer.subscribe().block();
    let response = answer.get().expect("it is ready").expect("it is asked for once")?;
    let body = response.consume().expect("it is asked for once");
    let input = body.stream().expect("it is asked for once");
    loop {
        match input.blocking_read(64 * 1024) {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return Err(ErrorCode::HttpResponseIncomplete),
        }
    }
    drop(input);
    drop(IncomingBody::finish(body));
    Ok(())
}
