//! [`Kv`]: the capability's own part, which knows its backends by name. What the core asks of it is in `wasi.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::grant::Grant;
use crate::key::short;
use crate::store::Store;

/// Lends key-value stores to guests: `wasi:keyvalue` in both of its drafts, and `runner:kv`. Its id is `kv`.
///
/// It has one backend or several; which one keeps a store is in the [`Grant`]. Nothing is lent that is not granted.
///
/// ```no_run
/// # use runner_host_kv::{Kv, MemoryStore, SqliteStore};
/// let kv = Kv::new(SqliteStore::open("kv.sqlite")?).backend("memory", MemoryStore::new());
/// # Ok::<(), runner_host_kv::Error>(())
/// ```
#[derive(Clone)]
pub struct Kv {
    first: Arc<dyn Store>,
    named: Arc<BTreeMap<String, Arc<dyn Store>>>,
}

impl Kv {
    /// A capability with the backend of every grant that names none.
    pub fn new(backend: impl Store) -> Self {
        Kv { first: Arc::new(backend), named: Arc::default() }
    }

    /// Adds a backend that grants name: `"backend": "memory"`. A second one of the same name takes the place of the first.
    #[must_use]
    pub fn backend(mut self, name: impl Into<String>, backend: impl Store) -> Self {
        Arc::make_mut(&mut self.named).insert(name.into(), Arc::new(backend));
        self
    }

    /// The backends, by the name that grants give them: none for the first one, which is that of every grant that names none.
    /// For whoever runs the host, who may look at what they hold, and remove it.
    pub fn backends(&self) -> impl Iterator<Item = (Option<&str>, &dyn Store)> {
        let named = self.named.iter().map(|(name, store)| (Some(name.as_str()), &**store));
        [(None, &*self.first)].into_iter().chain(named)
    }

    /// The stores of one program.
    pub(crate) fn session(&self, grant: &Grant) -> Result<Session> {
        let bucket = |(name, grant): (&String, &crate::grant::StoreGrant)| {
            let store = match &grant.backend {
                None => &self.first,
                Some(backend) => self.named.get(backend).ok_or_else(|| self.unknown(name, backend))?,
            };
            Ok((name.clone(), Bucket::new(name.clone(), Arc::clone(store), grant)))
        };
        Ok(Session { buckets: grant.stores.iter().map(bucket).collect::<Result<_>>()? })
    }

    fn unknown(&self, store: &str, backend: &str) -> Error {
        let known: Vec<_> = self.named.keys().map(|name| format!("`{name}`")).collect();
        Error::invalid(format!(
            "the grant puts store `{store}` on backend `{backend}`, this host has {}",
            if known.is_empty() { "one backend, without a name".to_owned() } else { known.join(", ") }
        ))
    }
}

/// What one call of a program may open.
pub struct Session {
    buckets: BTreeMap<String, Bucket>,
}

impl Session {
    /// The store of a name.
    pub(crate) fn open(&self, name: &str) -> Result<Bucket> {
        self.buckets.get(name).cloned().ok_or_else(|| Error::NoSuchStore { name: short(name).to_owned() })
    }
}
