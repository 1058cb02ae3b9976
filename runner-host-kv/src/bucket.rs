//! [`Bucket`]: a store as it was granted. The border: texts become keys here, modes and limits are looked at here, and
//! behind it nobody looks again. It knows no engine, so that a grant is tested without one.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::grant::{Mode, StoreGrant, StoreLimits};
use crate::key::{Key, Namespace, Version};
use crate::store::{Change, Done, Ends, Entry, Expected, Page, Store, mismatch, sum, version};

/// A store as one program was granted it. Clones are the same store.
///
/// Every key that is asked for by text may be answered with [`Error::TooLarge`], every write with
/// [`Error::AccessDenied`], every write that adds with [`Error::Full`].
#[derive(Clone)]
pub struct Bucket(Arc<Granted>);

struct Granted {
    name: String,
    store: Arc<dyn Store>,
    namespace: Namespace,
    mode: Mode,
    limits: StoreLimits,
}

impl Granted {
    /// Not by way of the `Arc`, which is a store of its own and would have a box for each future.
    fn store(&self) -> &dyn Store {
        &*self.store
    }
}

impl Bucket {
    /// The store that a program opens by a name. `grant.backend` is for whoever chose the backend.
    pub fn new(name: impl Into<String>, store: Arc<dyn Store>, grant: &StoreGrant) -> Self {
        let StoreGrant { namespace, mode, limits, backend: _ } = grant.clone();
        Bucket(Arc::new(Granted { name: name.into(), store, namespace, mode, limits }))
    }

    /// The entry of a key.
    pub async fn get(&self, key: &str) -> Result<Option<Entry>> {
        let granted = &*self.0;
        // A neighbour may have written a larger value: one value is held against what may be read at once.
        let bytes_max = granted.limits.value_bytes.max(granted.limits.batch_bytes);
        granted.store().get_one(&granted.namespace, &self.key(key)?, bytes_max).await
    }

    /// The entries of some keys, in the order of the keys. [`Error::TooLarge`] where they are too many, or their values
    /// together too large.
    pub async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        self.check_batch(keys.len())?;
        let keys = keys.iter().map(|key| self.key(key)).collect::<Result<Vec<_>>>()?;
        self.0.store().get_many(&self.0.namespace, &keys, self.0.limits.batch_bytes).await
    }

    /// Whether a key is there.
    pub async fn exists(&self, key: &str) -> Result<bool> {
        self.0.store().exists(&self.0.namespace, &self.key(key)?).await
    }

    /// The version of a key, without its value.
    pub async fn version(&self, key: &str) -> Result<Option<Version>> {
        self.0.store().version(&self.0.namespace, &self.key(key)?).await
    }

    /// The keys that begin with a text, after a position. A page has as many keys as the grant allows, or fewer.
    pub async fn list(&self, prefix: &str, after: Option<&str>, limit: Option<NonZeroU32>) -> Result<Page> {
        let allowed = self.0.limits.page_keys;
        let limit = limit.map_or(allowed, |limit| limit.min(allowed));
        let after = after.map(Key::new).transpose();
        let after = after.map_err(|_| Error::invalid("the cursor is not one that a listing gave: it is too long"))?;
        if prefix.len() > Key::BYTES_MAX {
            return Ok(Page::default());
        }
        self.0.store().list(&self.0.namespace, prefix, after.as_ref(), limit).await
    }

    /// Sets a value, where what is expected holds; otherwise [`Error::Conflict`].
    pub async fn set(&self, key: &str, value: Vec<u8>, ends: Ends, expected: Expected) -> Result<Version> {
        version(self.apply(vec![self.setting(key, value, ends, expected)?]).await?)
    }

    /// Sets several values, all or none.
    pub async fn set_many(&self, values: Vec<(String, Vec<u8>)>) -> Result<()> {
        self.check_batch(values.len())?;
        let found = values.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        let allowed = self.0.limits.batch_bytes;
        if found > allowed {
            return Err(Error::TooLarge { what: "batch", unit: "bytes", found, allowed });
        }
        let set = |(key, value): (String, _)| self.setting(&key, value, Ends::Never, Expected::Anything);
        self.apply(values.into_iter().map(set).collect::<Result<_>>()?).await.map(drop)
    }

    /// Removes a key, where what is expected holds; whether it was there.
    pub async fn delete(&self, key: &str, expected: Expected) -> Result<bool> {
        match self.apply(vec![Change::Delete { key: self.key(key)?, expected }]).await?.first() {
            Some(Done::Deleted(was_there)) => Ok(*was_there),
            _ => Err(mismatch()),
        }
    }

    /// Removes several keys, all or none.
    pub async fn delete_many(&self, keys: &[String]) -> Result<()> {
        self.check_batch(keys.len())?;
        let delete = |key: &String| Ok(Change::Delete { key: self.key(key)?, expected: Expected::Anything });
        self.apply(keys.iter().map(delete).collect::<Result<_>>()?).await.map(drop)
    }

    /// Adds to a number; the sum. `ends` is for a key that was absent.
    pub async fn increment(&self, key: &str, by: i64, within: RangeInclusive<i64>, ends: Ends) -> Result<i64> {
        sum(self.apply(vec![Change::Increment { key: self.key(key)?, by, within, ends }]).await?)
    }

    fn key(&self, text: &str) -> Result<Key> {
        Key::within(text, self.0.limits.key_bytes as usize)
    }

    fn setting(&self, key: &str, value: Vec<u8>, ends: Ends, expected: Expected) -> Result<Change> {
        let key = self.key(key)?;
        self.0.limits.quota().check_value(value.len())?; // the backend would, after it had taken the value along
        Ok(Change::Set { key, value: Bytes::from(value), ends, expected })
    }

    fn check_batch(&self, keys: usize) -> Result<()> {
        let (found, allowed) = (keys as u64, u64::from(self.0.limits.batch_keys));
        match found > allowed {
            true => Err(Error::TooLarge { what: "batch", unit: "keys", found, allowed }),
            false => Ok(()),
        }
    }

    /// The one way to write.
    async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Done>> {
        match self.0.mode {
            Mode::ReadOnly => Err(Error::AccessDenied { name: self.0.name.clone() }),
            Mode::ReadWrite => self.0.store().apply(&self.0.namespace, changes, self.0.limits.quota()).await,
        }
    }
}
