//! A command that asks other servers, by `wasi:http/outgoing-handler`, and says what came of it.
//!
//!     http-client fetch [METHOD] URL [-h NAME:VALUE].. [-d BODY] [-t NAME:VALUE].. [-connect MS] [-first MS] [-between MS]
//!     http-client echo URL PIECES BYTES     sends a body piece by piece, and reads each back before it sends the next
//!     http-client send URL BYTES            sends a body of so many bytes
//!     http-client many URL COUNT            so many requests at once
//!     http-client leave URL                 sends, and does not wait for the answer
//!     http-client hold URL OTHER            leaves the answer unread, and asks the other one a fifth of a second later
//!
//! It stands on the bare bindings, without a framework, so that each call of the interface can be seen.

use std::io::Write;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme, http_error_code,
};
use wasip2::io::streams::StreamError;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["fetch", rest @ ..] => fetch(rest),
        ["echo", url, pieces, bytes] => echo(url, number(pieces), number(bytes)),
        ["send", url, bytes] => send(url, number(bytes)),
        ["many", url, count] => many(url, number(count)),
        ["leave", url] => start("GET", url, &[], None).map(|(answer, _)| std::mem::forget(answer)),
        ["hold", url, other] => hold(url, other),
        _ => panic!("expected fetch, echo, send, many, leave or hold, found {args:?}"),
    };
    if let Err(code) = done {
        println!("error {code}");
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

/// What the host answers where it refuses, by its name.
type Refused = String;

fn refused(code: ErrorCode) -> Refused {
    format!("{code:?}")
}

fn fields(pairs: &[&str]) -> Fields {
    let fields = Fields::new();
    for pair in pairs {
        let (name, value) = pair.split_once(':').expect("NAME:VALUE");
        fields.append(name, value.as_bytes()).expect("the header may be set");
    }
    fields
}

/// Sends the head of a request; its body is the caller's to write.
fn start(
    method: &str,
    url: &str,
    headers: &[&str],
    options: Option<RequestOptions>,
) -> Result<(FutureIncomingResponse, OutgoingBody), Refused> {
    let (scheme, rest) = url.split_once("://").expect("SCHEME://..");
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let request = OutgoingRequest::new(fields(headers));
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "HEAD" => Method::Head,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "method not taken".to_owned())?;
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme not taken".to_owned())?;
    request.set_authority(Some(authority)).map_err(|()| "authority not taken".to_owned())?;
    request.set_path_with_query(Some(path)).map_err(|()| "path not taken".to_owned())?;
    let body = request.body().expect("the body is asked for once");
    let answer = outgoing_handler::handle(request, options).map_err(refused)?;
    Ok((answer, body))
}

fn wait(answer: &FutureIncomingResponse) -> Result<IncomingResponse, Refused> {
    answer.subscribe().block();
    answer.get().expect("it is ready").expect("it is asked for once").map_err(refused)
}

/// Reads some bytes; none at the end.
fn read(input: &wasip2::io::streams::InputStream) -> Result<Vec<u8>, Refused> {
    match input.blocking_read(64 * 1024) {
        Ok(bytes) => Ok(bytes),
        Err(StreamError::Closed) => Ok(Vec::new()),
        Err(StreamError::LastOperationFailed(error)) => match http_error_code(&error) {
            Some(code) => Err(refused(code)),
            None => Err(error.to_debug_string()),
        },
    }
}

/// Writes all of it, as much at a time as the host takes.
fn write(output: &wasip2::io::streams::OutputStream, bytes: &[u8]) -> Result<(), Refused> {
    for piece in bytes.chunks(4096) {
        output.blocking_write_and_flush(piece).map_err(|error| match error {
            StreamError::Closed => "closed".to_owned(),
            StreamError::LastOperationFailed(error) => error.to_debug_string(),
        })?;
    }
    Ok(())
}

fn fetch(args: &[&str]) -> Result<(), Refused> {
    let (mut headers, mut trailers, mut body, mut named) = (Vec::new(), Vec::new(), None, Vec::new());
    let options = RequestOptions::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || *args.next().expect("a value after the flag");
        let time = |ms: &str| Some(number(ms) as u64 * 1_000_000);
        match *arg {
            "-h" => headers.push(value()),
            "-t" => trailers.push(value()),
            "-d" => body = Some(value()),
            "-connect" => options.set_connect_timeout(time(value())).expect("it is settable"),
            "-first" => options.set_first_byte_timeout(time(value())).expect("it is settable"),
            "-between" => options.set_between_bytes_timeout(time(value())).expect("it is settable"),
            other => named.push(other),
        }
    }
    let (method, url) = match named.as_slice() {
        [url] => ("GET", *url),
        [method, url] => (*method, *url),
        _ => panic!("expected [METHOD] URL, found {named:?}"),
    };
    let (answer, out) = start(method, url, &headers, Some(options))?;
    if let Some(text) = body {
        let stream = out.write().expect("the stream is asked for once");
        // Where it is not taken, the answer says why.
        let _ = write(&stream, text.as_bytes());
    }
    let _ = OutgoingBody::finish(out, (!trailers.is_empty()).then(|| fields(&trailers)));
    show(wait(&answer)?)
}

/// Prints all of a response: its status, its headers in their order, its body, its trailers.
fn show(response: IncomingResponse) -> Result<(), Refused> {
    println!("status {}", response.status());
    for (name, value) in response.headers().entries() {
        println!("header {name}: {}", String::from_utf8_lossy(&value));
    }
    let body = response.consume().expect("the body is asked for once");
    let input = body.stream().expect("the stream is asked for once");
    print!("body ");
    loop {
        let bytes = read(&input).inspect_err(|_| println!())?;
        if bytes.is_empty() {
            break;
        }
        std::io::stdout().write_all(&bytes).expect("standard output takes it");
    }
    println!();
    drop(input);
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    match trailers.get().expect("it is ready").expect("it is asked for once") {
        Ok(Some(trailers)) => {
            for (name, value) in trailers.entries() {
                println!("trailer {name}: {}", String::from_utf8_lossy(&value));
            }
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(code) => Err(refused(code)),
    }
}

fn echo(url: &str, pieces: usize, bytes: usize) -> Result<(), Refused> {
    let (answer, out) = start("POST", url, &[], None)?;
    let output = out.write().expect("the stream is asked for once");
    write(&output, &vec![b'0'; bytes])?;
    let response = wait(&answer)?;
    let body = response.consume().expect("the body is asked for once");
    let input = body.stream().expect("the stream is asked for once");
    let mut total = 0;
    for piece in 0..pieces {
        if piece > 0 {
            write(&output, &vec![b'0' + (piece % 10) as u8; bytes])?;
        }
        let mut back = Vec::new();
        while back.len() < bytes {
            let more = read(&input)?;
            assert!(!more.is_empty(), "the echo ended early");
            back.extend(more);
        }
        assert_eq!(back, vec![b'0' + (piece % 10) as u8; bytes]);
        total += back.len();
    }
    drop(output);
    OutgoingBody::finish(out, None).map_err(refused)?;
    assert!(read(&input)?.is_empty(), "the echo goes on");
    println!("echoed {total} bytes in {pieces} pieces");
    Ok(())
}

fn send(url: &str, bytes: usize) -> Result<(), Refused> {
    let (answer, out) = start("POST", url, &[], None)?;
    let output = out.write().expect("the stream is asked for once");
    let mut left = bytes;
    let written = loop {
        if left == 0 {
            break Ok(());
        }
        let some = left.min(64 * 1024);
        if let Err(why) = write(&output, &vec![b'x'; some]) {
            break Err(why);
        }
        left -= some;
    };
    drop(output);
    let finished = OutgoingBody::finish(out, None);
    // Of a body that was not taken, the answer says why.
    let response = wait(&answer)?;
    written?;
    finished.map_err(refused)?;
    show(response)
}

fn hold(url: &str, other: &str) -> Result<(), Refused> {
    let get = |url| -> Result<IncomingResponse, Refused> {
        let (answer, out) = start("GET", url, &[], None)?;
        let _ = OutgoingBody::finish(out, None);
        wait(&answer)
    };
    let held = get(url)?;
    std::thread::sleep(std::time::Duration::from_millis(200));
    println!("status {}", get(other)?.status());
    let body = held.consume().expect("the body is asked for once");
    let input = body.stream().expect("the stream is asked for once");
    while !read(&input)?.is_empty() {}
    println!("read it all");
    Ok(())
}

fn many(url: &str, count: usize) -> Result<(), Refused> {
    let mut answers = Vec::new();
    for _ in 0..count {
        let (answer, out) = start("GET", url, &[], None)?;
        let _ = OutgoingBody::finish(out, None);
        answers.push(answer);
    }
    let mut good = 0;
    let mut bad = Vec::new();
    for answer in answers {
        match wait(&answer) {
            Ok(response) => {
                let body = response.consume().expect("the body is asked for once");
                let input = body.stream().expect("the stream is asked for once");
                while !read(&input)?.is_empty() {}
                good += 1;
            }
            Err(code) => bad.push(code),
        }
    }
    println!("good {good} bad {bad:?}");
    Ok(())
}
