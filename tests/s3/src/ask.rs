//! The three signed requests that tell whether a foreign store is up: its bucket is made, and an object can be written and removed. By
//! hand over a plain connection, so that this library needs no client.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::proxy::{Head, sign};

/// A store that is starting up may take a connection and say nothing.
const ANSWER: Duration = Duration::from_secs(5);
/// SHA-256 of no bytes.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Makes the store's bucket, if it is not there; tells whether the store works.
pub(crate) fn create_bucket(endpoint: &Endpoint) -> bool {
    let bucket = &endpoint.bucket;
    // There already (409), from the last time that it was asked.
    matches!(ask(endpoint, "PUT", &format!("/{bucket}")), Some(200 | 409))
        && ask(endpoint, "PUT", &format!("/{bucket}/ready")) == Some(200)
        && ask(endpoint, "DELETE", &format!("/{bucket}/ready")) == Some(204)
}

fn ask(endpoint: &Endpoint, method: &str, path: &str) -> Option<u16> {
    let date = Timestamp::try_from(Clock::default().now()).ok()?.strftime("%Y%m%dT%H%M%SZ").to_string();
    let scope = format!("{}/{}/s3/aws4_request", &date[..8], endpoint.region);
    let mut head = Head { line: format!("{method} {path} HTTP/1.1"), headers: Vec::new() };
    head.set("host", &endpoint.address.to_string());
    head.set("content-length", "0");
    head.set("connection", "close");
    head.set("x-amz-date", &date);
    head.set("x-amz-content-sha256", EMPTY);
    let credential = format!("{}/{scope}", endpoint.access_key);
    let signed = "host;x-amz-content-sha256;x-amz-date";
    head.set("authorization", &format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature="));
    sign(&mut head, &endpoint.secret_key);

    let mut stream = TcpStream::connect(endpoint.address).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    stream.write_all(&head.bytes()).ok()?;
    let mut answer = String::new();
    // The head is what counts; whether the store closes in good order behind it does not.
    let _ = stream.take(4 << 10).read_to_string(&mut answer);
    answer.split(' ').nth(1)?.parse().ok()
}
