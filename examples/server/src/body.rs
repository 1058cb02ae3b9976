//! Request bodies: read whole, within a size, a time, and what all requests together may hold in memory.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::api::{Object, Problem};

/// A call's JSON. Larger inputs go to a handler, which streams them.
pub(crate) const JSON_BYTES_MAX: usize = 16 << 20;
/// What all requests hold at once: four modules of the largest size.
const HELD_BYTES_MAX: usize = 512 << 20;
/// What a byte of a module takes while it is loaded: the executor has a copy.
const MODULE_WEIGHT: usize = 2;
/// What a byte of JSON may take once it is parsed: `[[],[],..]` is the dearest, with a value of 32 bytes for 3.
const JSON_WEIGHT: usize = 8;
/// What one place stands for.
const PLACE_BYTES: usize = 64 << 10;
/// How long a request waits for its place.
const PLACE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a sender may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long a sender may take for the whole: 64 MiB over a slow line.
const TRANSFER_MAX: Duration = Duration::from_secs(300);

/// A share of memory for request bodies, or for stored modules that are read. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bodies(Arc<Semaphore>);

/// A body in memory. Its place is free again once it is dropped.
pub(crate) struct Held {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl Bodies {
    pub(crate) fn new() -> Self {
        Bodies(Arc::new(Semaphore::new(HELD_BYTES_MAX / PLACE_BYTES)))
    }

    /// Reads a module of so many bytes at most.
    pub(crate) async fn read_module(&self, request: Request, bytes_max: usize) -> Result<Held, Problem> {
        check_type(request.headers(), MODULE_TYPES)?;
        self.read(request, bytes_max).await
    }

    /// Reads a body of so many bytes at most that is a module, or has one in it.
    pub(crate) async fn read(&self, request: Request, bytes_max: usize) -> Result<Held, Problem> {
        self.read_weighed(request, bytes_max, MODULE_WEIGHT).await
    }

    /// Takes the place for a module of so many bytes that comes from elsewhere.
    pub(crate) async fn place_of_module(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Problem> {
        self.place(usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(MODULE_WEIGHT)).await
    }

    async fn place(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let wanted = bytes.div_ceil(PLACE_BYTES).min(HELD_BYTES_MAX / PLACE_BYTES);
        let place = Arc::clone(&self.0).acquire_many_owned(u32::try_from(wanted).unwrap_or(u32::MAX));
        match timeout(PLACE_PATIENCE, place).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Problem::unavailable("other requests hold all the memory for bodies and modules")),
        }
    }

    async fn read_weighed(&self, request: Request, bytes_max: usize, weight: usize) -> Result<Held, Problem> {
        check_encoding(request.headers())?;
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > bytes_max) {
            return Err(too_large(bytes_max));
        }
        let mut place = self.place(length.unwrap_or(bytes_max).saturating_mul(weight)).await?;
        let bytes = timeout(TRANSFER_MAX, collect(request.into_body(), length.unwrap_or(0), bytes_max)).await;
        let bytes = bytes.map_err(|_| Problem::too_slow(format!("the body took longer than {TRANSFER_MAX:?}")))??;
        // A body that did not say its length had a place for the longest.
        let unused = place.num_permits().saturating_sub(bytes.len().saturating_mul(weight).div_ceil(PLACE_BYTES));
        drop(place.split(unused));
        Ok(Held { bytes, _place: place })
    }

    /// Reads a JSON body. What was parsed takes the place of the bytes for as long as that is kept.
    pub(crate) async fn read_json<T: DeserializeOwned>(&self, request: Request) -> Result<(T, Held), Problem> {
        check_type(request.headers(), JSON_TYPES)?;
        let held = self.read_weighed(request, JSON_BYTES_MAX, JSON_WEIGHT).await?;
        Ok((parse_json(&held)?, Held { bytes: Bytes::new(), ..held }))
    }
}

/// Parses what a caller wrote; nothing at all stands for an empty object.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // `?` stands where not even a name was read, `.` for the whole.
        let path = error.path().to_string();
        let place = match path.trim_end_matches('?').trim_end_matches('.') {
            "" => "the request".to_owned(),
            path => format!("`{}`", shown(path)),
        };
        Problem::invalid(format!("{place}: {}", error.into_inner()))
    });
    let Object(parsed) = parsed?;
    json.end().map_err(|error| Problem::invalid(format!("the request: {error}")))?;
    Ok(parsed)
}

/// As much of a caller's text as a refusal repeats.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    const CHARS_MAX: usize = 100;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}..", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// What JSON may be called; the last is what curl says where nobody told it.
const JSON_TYPES: &[&str] =
    &["application/json", "text/json", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded"];
/// What a module may be called, likewise.
const MODULE_TYPES: &[&str] =
    &["application/wasm", "text/plain", "text/wat", "application/octet-stream", "application/x-www-form-urlencoded"];

/// The body's type without parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(header::CONTENT_TYPE)?.as_bytes()).to_ascii_lowercase();
    Some(value.split(';').next().unwrap_or_default().trim().to_owned())
}

/// A body need not say its type; where it does, it is one that can be meant.
fn check_type(headers: &HeaderMap, types: &[&str]) -> Result<(), Problem> {
    match media_type(headers).filter(|found| !types.contains(&found.as_str())) {
        None => Ok(()),
        Some(found) => Err(Problem::unsupported(format!("content type `{found}`: expected `{}`", types[0]))),
    }
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(header::CONTENT_ENCODING).filter(|found| !found.as_bytes().eq_ignore_ascii_case(b"identity")) {
        None => Ok(()),
        Some(found) => {
            let found = String::from_utf8_lossy(found.as_bytes());
            Err(Problem::unsupported(format!("content encoding `{found}`: expected none, unpack the body first")))
        }
    }
}

async fn collect(mut body: Body, length: usize, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut bytes = BytesMut::with_capacity(length);
    loop {
        let frame = timeout(SILENCE_MAX, body.frame()).await;
        let frame = frame.map_err(|_| Problem::too_slow(format!("the body stopped for {SILENCE_MAX:?}")))?;
        let Some(frame) = frame else { return Ok(bytes.freeze()) };
        let frame = frame.map_err(|error| Problem::invalid(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        bytes.extend_from_slice(&data);
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::exceeded(format!("the body has more than {bytes_max} bytes"))
}

impl Held {
    /// The bytes, beside their place.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
