//! What a program may be granted: which part of which volume it sees, where, and within what. Values only; nothing here acts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::volume::{Mode, View};

/// What one program may do with files.
///
/// ```
/// # use runner_host_fs::Grant;
/// let grant: Grant = serde_json::from_str(
///     r#"{
///         "mounts": {
///             "/data": { "prefix": "shop", "bytes": 1073741824 },
///             "/in": { "volume": "uploads", "mode": "read-only" }
///         }
///     }"#,
/// )
/// .unwrap();
/// assert_eq!(grant.mounts["/data"].prefix, "shop");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = example())]
pub struct Grant {
    /// What the program sees, by the path that it sees it at, from `/` on. A path may lie below another: the longest wins.
    pub mounts: BTreeMap<String, Mount>,
    /// Whether the answer of a web handler is sent before what it wrote is published. Default false: it waits, and is an
    /// error where publishing fails.
    #[serde(default)]
    pub stream: bool,
}

/// As one would begin: whatever else there is has a default.
fn example() -> serde_json::Value {
    serde_json::json!({ "mounts": { "/data": { "prefix": "shop" } } })
}

/// One tree that a program sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mount {
    /// The volume, by the name that the host gave it. The host's first one where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// The directory of the volume that is seen, which the program cannot leave. All of the volume where it is left out.
    /// Programs that are granted the same directory share its files. The program's own name, where it shares none.
    #[schemars(extend("x-program-name" = true))]
    pub prefix: String,
    /// When what the program writes is there for others to see.
    pub mode: Mode,
    /// Bytes of all files below the prefix. No bound where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Files, directories and links below the prefix. No bound where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Bytes of one file. No bound but the volume's where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// How much of the volume's cache may be this mount's. All of it where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_bytes: Option<u64>,
}

impl Mount {
    /// The view that is granted.
    ///
    /// # Errors
    ///
    /// Where the prefix is no path.
    pub fn view(&self) -> Result<View> {
        let prefix = match self.prefix.as_str() {
            "" => VPath::root(),
            text => VPath::new(text).map_err(|error| {
                Error::new(ErrorKind::Invalid, format!("prefix `{}`", text.escape_debug())).caused_by(error)
            })?,
        };
        let Mount { mode, bytes, files, file_bytes, cache_bytes, .. } = *self;
        Ok(View { prefix, mode, bytes, files, file_bytes, cache_bytes })
    }
}
