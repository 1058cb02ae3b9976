//! What a program may be granted: values, and names of the host's values. Values only; nothing here acts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

/// What one program may read of its configuration.
///
/// ```
/// # use runner_host_config::Grant;
/// let grant: Grant = serde_json::from_str(
///     r#"{
///         "values": { "GREETING": "hello" },
///         "names": ["region"]
///     }"#,
/// )
/// .unwrap();
/// assert_eq!(grant.values["GREETING"], "hello");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(example = example())]
pub struct Grant {
    /// Values that are set for this program, by key. At most 1,000, of 256 KiB with their keys; a key has at most 256 bytes.
    #[serde(serialize_with = "shared", deserialize_with = "bounded")]
    pub values: Arc<BTreeMap<String, String>>,
    /// Names of the host's own values that the program may read. A value above comes before the host's of the same name.
    #[serde(serialize_with = "shared", deserialize_with = "share")]
    pub names: Arc<BTreeSet<String>>,
}

impl Grant {
    /// Values in one grant.
    pub const KEYS_MAX: usize = 1_000;
    /// Bytes of one key, of UTF-8.
    pub const KEY_BYTES_MAX: usize = 256;
    /// Bytes of all keys and values in one grant: they are in memory as long as the program is.
    pub const BYTES_MAX: usize = 256 << 10;
}

fn example() -> Grant {
    let values = BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]);
    Grant { values: Arc::new(values), names: Arc::default() }
}

// serde's own feature for `Arc` would be everybody's: features add up over a whole program.
fn shared<T: Serialize, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().serialize(serializer)
}

fn share<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<T>, D::Error> {
    T::deserialize(deserializer).map(Arc::new)
}

fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<BTreeMap<String, String>>, D::Error> {
    let values = BTreeMap::<String, String>::deserialize(deserializer)?;
    let check = |what: &str, found: usize, allowed: usize| match found > allowed {
        true => Err(D::Error::custom(format!("`values`: {what}: expected at most {allowed}, found {found}"))),
        false => Ok(()),
    };
    check("keys", values.len(), Grant::KEYS_MAX)?;
    check("bytes of a key", values.keys().map(String::len).max().unwrap_or(0), Grant::KEY_BYTES_MAX)?;
    let bytes = values.iter().map(|(key, value)| key.len() + value.len()).sum();
    check("bytes of keys and values", bytes, Grant::BYTES_MAX)?;
    Ok(Arc::new(values))
}
