//! What a program may be granted: the stores that it may open, each with its limits. Values only; nothing here acts.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use crate::key::{Key, Namespace};
use crate::store::Quota;

/// What one program may do with key-value stores.
///
/// ```
/// # use runner_host_kv::Grant;
/// let grant: Grant = serde_json::from_str(
///     r#"{
///         "stores": {
///             "default": { "namespace": "shop" },
///             "prices": { "namespace": "prices", "mode": "read-only" },
///             "limits": { "namespace": "shop limits", "backend": "memory", "limits": { "keys": 1000 } }
///         }
///     }"#,
/// )
/// .unwrap();
/// assert_eq!(grant.stores["default"].limits.value_bytes, 1 << 20);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = example())]
pub struct Grant {
    /// The stores that the program may open, by the name that it opens them under: most programs open `default`, some an
    /// empty name. Any other name is answered with `no-such-store`.
    pub stores: BTreeMap<String, StoreGrant>,
}

/// As one would begin: whatever else there is has a default.
fn example() -> serde_json::Value {
    serde_json::json!({ "stores": { "default": { "namespace": "shop" } } })
}

/// One store of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreGrant {
    /// The part of the backend that the store is, which no key can leave. Programs that are granted the same name space of
    /// the same backend share its keys; there is no other way to share any. The program's own name, where it shares none.
    #[schemars(extend("x-program-name" = true))]
    pub namespace: Namespace,
    /// The backend that keeps it, by the name that the host gave it. The host's first one where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Whether the program may write.
    #[serde(default)]
    pub mode: Mode,
    /// How much the program may keep there, and move at once.
    #[serde(default)]
    pub limits: StoreLimits,
}

impl StoreGrant {
    /// A store that may be read and written, within the default limits, on the host's first backend.
    pub fn new(namespace: Namespace) -> Self {
        StoreGrant { namespace, backend: None, mode: Mode::default(), limits: StoreLimits::default() }
    }
}

/// Whether a program may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It may read and write.
    #[default]
    ReadWrite,
    /// It may read; every write is answered with `access-denied`.
    ReadOnly,
}

/// How much a program may keep in a store, and move at once.
///
/// What is over a limit is refused, and nothing of it is written. They are the program's: another one with the same name
/// space has its own, so that a writer may be held shorter than its neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreLimits {
    /// Bytes of one key, of UTF-8. Default 1,024, at most 8,192.
    #[serde(deserialize_with = "at_most::<{ Key::BYTES_MAX as u64 }, _, _>")]
    #[schemars(range(max = 8192))]
    pub key_bytes: u32,
    /// Bytes of one value. Default 1 MiB.
    pub value_bytes: u64,
    /// Keys in the whole name space. Default 100,000.
    pub keys: u64,
    /// Bytes of all keys and values in the whole name space. Default 64 MiB.
    pub bytes: u64,
    /// Keys in one page of a listing. Default 1,000, at most 10,000; a page also ends after 1 MiB of keys.
    #[serde(deserialize_with = "at_most::<PAGE_KEYS_MAX, _, _>")]
    #[schemars(range(min = 1, max = 10000))]
    pub page_keys: NonZeroU32,
    /// Keys in one batch. Default 1,000.
    pub batch_keys: u32,
    /// Bytes of keys and values in one batch, and of the values that one answers with. Default 16 MiB. A single value is
    /// no batch.
    pub batch_bytes: u64,
}

/// A listing holds a page in memory.
const PAGE_KEYS_MAX: u64 = 10_000;

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            key_bytes: 1_024,
            value_bytes: 1 << 20,
            keys: 100_000,
            bytes: 64 << 20,
            page_keys: NonZeroU32::new(1_000).expect("it is not zero"),
            batch_keys: 1_000,
            batch_bytes: 16 << 20,
        }
    }
}

impl StoreLimits {
    /// What the backend holds a write against.
    pub(crate) fn quota(&self) -> Quota {
        Quota { value_bytes: self.value_bytes, keys: self.keys, bytes: self.bytes }
    }
}

/// A number as it stands, where it is not over what no grant can raise.
fn at_most<'de, const MAX: u64, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Copy + Into<u32>,
    D: Deserializer<'de>,
{
    let number = T::deserialize(deserializer)?;
    let found: u32 = number.into();
    match u64::from(found) > MAX {
        true => Err(D::Error::custom(format!("expected at most {MAX}, found {found}"))),
        false => Ok(number),
    }
}
