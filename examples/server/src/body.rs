//! Request bodies: read whole, within a size, a time, and what all requests together may hold in memory.

use std::ops::Deref;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::api::Problem;
use crate::json;
use crate::room::{Place, Room};

/// A call's JSON. Larger inputs go to a handler, which streams them.
pub(crate) const JSON_BYTES_MAX: usize = 16 << 20;
/// What a byte takes: the executor has a copy of a module while it is loaded, and a text stays beside its bytes while
/// they are parsed.
pub(crate) const BYTE_WEIGHT: usize = 2;
/// How long a sender may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long a sender may take for the whole: 64 MiB over a slow line.
const TRANSFER_MAX: Duration = Duration::from_secs(300);

/// A body in memory, in its place there.
pub(crate) struct Held {
    bytes: Bytes,
    place: Place,
}

/// Reads a module of so many bytes at most.
pub(crate) async fn read_module(room: &Room, request: Request, bytes_max: usize) -> Result<Held, Problem> {
    check_type(request.headers(), MODULE_TYPES)?;
    read(room, request, bytes_max).await
}

/// Reads the JSON of a call. What was parsed has the place for as long as that is kept.
pub(crate) async fn read_json<T: DeserializeOwned>(room: &Room, request: Request) -> Result<(T, Place), Problem> {
    read_json_within(room, request, JSON_BYTES_MAX).await
}

/// Reads a JSON body of so many bytes at most, likewise.
pub(crate) async fn read_json_within<T: DeserializeOwned>(
    room: &Room,
    request: Request,
    bytes_max: usize,
) -> Result<(T, Place), Problem> {
    check_type(request.headers(), JSON_TYPES)?;
    let Held { bytes, mut place } = read(room, request, bytes_max).await?;
    Ok((json::parse(&bytes, &mut place).await?, place))
}

/// Reads a body of so many bytes at most. It takes its place as it arrives: who says little holds little.
pub(crate) async fn read(room: &Room, request: Request, bytes_max: usize) -> Result<Held, Problem> {
    check_encoding(request.headers())?;
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let mut place = room.place();
    let bytes = timeout(TRANSFER_MAX, collect(request.into_body(), &mut place, bytes_max)).await;
    let bytes = bytes.map_err(|_| Problem::too_slow(format!("the body took longer than {TRANSFER_MAX:?}")))??;
    Ok(Held { bytes, place })
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

pub(crate) fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(header::CONTENT_ENCODING).filter(|found| !found.as_bytes().eq_ignore_ascii_case(b"identity")) {
        None => Ok(()),
        Some(found) => {
            let found = String::from_utf8_lossy(found.as_bytes());
            Err(Problem::unsupported(format!("content encoding `{found}`: expected none, unpack the body first")))
        }
    }
}

async fn collect(mut body: Body, place: &mut Place, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut bytes = BytesMut::new();
    loop {
        let frame = timeout(SILENCE_MAX, body.frame()).await;
        let frame = frame.map_err(|_| Problem::too_slow(format!("the body stopped for {SILENCE_MAX:?}")))?;
        let Some(frame) = frame else { return Ok(bytes.freeze()) };
        let frame = frame.map_err(|error| Problem::invalid(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        place.grow(data.len().saturating_mul(BYTE_WEIGHT)).await?;
        bytes.extend_from_slice(&data);
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::exceeded(format!("the body has more than {bytes_max} bytes"))
}

impl Held {
    pub(crate) fn new(bytes: Bytes, place: Place) -> Self {
        Held { bytes, place }
    }

    /// The bytes, and the place that stands for them.
    pub(crate) fn into_parts(self) -> (Bytes, Place) {
        (self.bytes, self.place)
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
