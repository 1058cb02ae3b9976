//! A `wasi:http/incoming-handler` that writes files by `std::fs`, and then answers, or does not.
//!
//! It proves that an answer waits for what was written, and what becomes of a file that is open over two requests.

use std::fs::{self, File};
use std::io::Write;
use std::sync::Mutex;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Writer;

wasip2::http::proxy::export!(Writer);

/// What a request before this one left open.
static KEPT: Mutex<Option<File>> = Mutex::new(None);

impl Guest for Writer {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let said = match path.as_str() {
            // One more line, and how many there are.
            "/append" => append().map(|lines| lines.to_string()),
            "/keep" => File::create("/data/kept").map(|mut file| {
                file.write_all(b"in the first request").expect("it is open");
                *KEPT.lock().expect("one thread") = Some(file);
                "kept".to_owned()
            }),
            "/kept" => match KEPT.lock().expect("one thread").as_mut() {
                Some(file) => file.write_all(b", and in the second").map(|()| "written".to_owned()),
                None => Ok("nothing is kept".to_owned()),
            },
            "/drop" => Ok(format!("{}", KEPT.lock().expect("one thread").take().is_some())),
            "/trap" => {
                append().expect("it is granted");
                panic!("asked to");
            }
            other => panic!("no such route: {other}"),
        };
        let said = said.unwrap_or_else(|error| format!("no: {:?}", error.raw_os_error()));
        answer(out, said.as_bytes());
    }
}

fn append() -> std::io::Result<usize> {
    let mut file = File::options().append(true).create(true).open("/data/log")?;
    file.write_all(b"a line\n")?;
    Ok(fs::read_to_string("/data/log")?.lines().count())
}

fn answer(out: ResponseOutparam, bytes: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("it is asked for once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("it is asked for once");
    stream.blocking_write_and_flush(bytes).expect("the caller reads");
    drop(stream);
    OutgoingBody::finish(body, None).expect("it has no length to keep");
}
