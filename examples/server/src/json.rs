//! A caller's JSON: what it takes once it is parsed, and what is told of a mistake in it.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{Object, Problem};
use crate::room::Place;

/// Parses what a caller wrote, once there is room for what becomes of it. Nothing at all stands for an empty object.
pub(crate) async fn parse<T: DeserializeOwned>(bytes: &[u8], place: &mut Place) -> Result<T, Problem> {
    make_room(bytes, place).await?;
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

/// The part of all memory for bodies that a text's values wait for; what wants more gets it at once, or not.
const MUCH_SHARE: usize = 8;

/// Makes room for the values of a text that is about to be parsed.
pub(crate) async fn make_room(json: &[u8], place: &mut Place) -> Result<(), Problem> {
    let (bytes, bytes_max) = (values_bytes(json), place.bytes_max());
    if bytes > bytes_max {
        return Err(Problem::exceeded(format!(
            "the JSON has so many values that they might take {bytes} bytes, there are {bytes_max} for all requests"
        )));
    }
    match bytes > bytes_max / MUCH_SHARE {
        true => place.grow_at_once(bytes),
        false => place.grow(bytes).await,
    }
}

/// What the values of a JSON text may take in memory, beside its characters.
///
/// Each `,` and `:` brings one more value; a list that grows has room for as many again, and arguments are turned into
/// the engine's values beside these. The first value in a list makes room for four. An object keeps its order, which
/// makes a `Value` as large as it is; a key in it, with its place in the index, takes no more than two values.
fn values_bytes(json: &[u8]) -> usize {
    const VALUE: usize = size_of::<Value>();
    let (mut bytes, mut is_quoted, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' | b':' if !is_quoted => bytes += 2 * VALUE,
            b'[' | b'{' if !is_quoted => bytes += 4 * VALUE,
            _ => {}
        }
    }
    bytes
}

/// As much of a caller's text as a refusal repeats.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    const CHARS_MAX: usize = 100;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}..", &text[..end])),
        None => Cow::Borrowed(text),
    }
}
