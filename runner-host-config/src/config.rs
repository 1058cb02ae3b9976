//! [`Config`]: the host's values, and what a program sees of them and of its grant. It knows no engine; what the core asks
//! of it is in `wasi.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::grant::Grant;

/// Lends configuration to guests: `wasi:config`. Its id is `config`.
///
/// The default has no values of its own: a program reads what stands in its [`Grant`].
///
/// ```
/// # use runner_host_config::Config;
/// let config = Config::new([("region", "north"), ("tier", "free")]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Config {
    values: Arc<BTreeMap<String, String>>,
}

impl Config {
    /// A capability with values of the host, which grants name. Of two with the same name the later one holds.
    pub fn new<K: Into<String>, V: Into<String>>(values: impl IntoIterator<Item = (K, V)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Config { values: Arc::new(values) }
    }

    /// The names in a grant that this host has no value for, in words.
    pub(crate) fn check(&self, grant: &Grant) -> Result<(), String> {
        /// Names that an error lists one by one.
        const SHOWN: usize = 10;
        let Some(unknown) = grant.names.iter().find(|name| !self.values.contains_key(*name)) else { return Ok(()) };
        let mut known: Vec<_> = self.values.keys().take(SHOWN).map(|name| format!("`{name}`")).collect();
        let more = self.values.len().saturating_sub(SHOWN);
        if more > 0 {
            known.push(format!("and {more} more"));
        }
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let end = unknown.floor_char_boundary(Grant::KEY_BYTES_MAX);
        Err(format!(
            "the grant for `config` names `{}`, of which this host has no value, it has {known}: name one of them, or put \
             the value itself into `values`",
            &unknown[..end]
        ))
    }

    /// What one program may read.
    pub(crate) fn session(&self, grant: &Grant) -> Session {
        Session { set: Arc::clone(&grant.values), named: Arc::clone(&grant.names), host: Arc::clone(&self.values) }
    }
}

/// What one call of a program may read.
pub struct Session {
    set: Arc<BTreeMap<String, String>>,
    named: Arc<BTreeSet<String>>,
    host: Arc<BTreeMap<String, String>>,
}

impl Session {
    /// The value of a key; `None` where none was granted.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let named = || self.named.contains(key).then(|| self.host.get(key)).flatten();
        self.set.get(key).or_else(named).map(String::as_str)
    }

    /// Every key that was granted, in order, with its value.
    pub(crate) fn all(&self) -> BTreeMap<&str, &str> {
        let keys = self.named.iter().chain(self.set.keys());
        keys.filter_map(|key| Some((key.as_str(), self.get(key)?))).collect()
    }
}
