//! What a program may be granted: how much it may say, and how loud it has to be. Values only; nothing here acts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

/// How much one program may log in each call. An empty grant has the defaults.
///
/// Beyond its limits a message is left out, and the guest goes on; one event at the end of the call says how many there
/// were. What the host's subscriber does not want, or the grant's level leaves out, counts against nothing.
///
/// ```
/// # use runner_host_logging::{Grant, Level};
/// let grant: Grant = serde_json::from_str(r#"{ "level": "info", "messages": 100 }"#).unwrap();
/// assert_eq!(grant, Grant { level: Level::Info, messages: 100, ..Grant::default() });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(example = BTreeMap::from([("level", "info")]))]
pub struct Grant {
    /// The lowest level that is logged. Lines of standard output are `info`, those of standard error `warn`. Default `trace`:
    /// the host's subscriber decides.
    pub level: Level,
    /// Messages and printed lines in one call. Default 1,000.
    pub messages: u64,
    /// Bytes of messages, contexts and printed lines in one call. Default 256 KiB.
    pub bytes: u64,
    /// Bytes of one message or printed line; of a longer one the rest is left out, and a mark says how much that was.
    /// Default 8 KiB, at most 64 KiB.
    #[serde(deserialize_with = "bounded")]
    #[schemars(range(max = 65536))]
    pub message_bytes: u32,
    /// Whether what the guest prints is logged as well, line by line. The outcome has it either way. Default true.
    pub streams: bool,
}

impl Grant {
    /// The largest [`Grant::message_bytes`]: the host holds a line of this size for each stream of each call.
    pub const MESSAGE_BYTES_MAX: u32 = 64 << 10;
    /// Bytes of a message's context; the rest of a longer one is left out.
    pub const CONTEXT_BYTES_MAX: usize = 256;
}

impl Default for Grant {
    fn default() -> Self {
        Grant { level: Level::Trace, messages: 1_000, bytes: 256 << 10, message_bytes: 8 << 10, streams: true }
    }
}

/// How much a message matters, the least first: the levels of `wasi:logging`.
///
/// `critical` becomes an event at [`tracing::Level::ERROR`] with the field `critical`; the others have levels of their
/// own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let (found, allowed) = (u32::deserialize(deserializer)?, Grant::MESSAGE_BYTES_MAX);
    match found > allowed {
        true => Err(D::Error::custom(format!("`message_bytes`: expected at most {allowed}, found {found}"))),
        false => Ok(found),
    }
}
