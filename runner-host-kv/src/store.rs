//! The trait that a backend implements, and the comfort that every backend has from it. It knows no grant and no guest.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::key::{Key, Namespace, Version};

/// A place that keeps values by key: what an implementor owes. Users have [`StoreExt`] on top.
///
/// Name spaces come into being with their first write. Keys are in the order of their bytes. A value that has ended is
/// absent in every respect: it is not listed, not counted, and not met by a condition.
///
/// A backend is done when the suite in `conformance` (a feature of that name) is green. `&self` is shared by many calls
/// at once; a future that is dropped leaves a write either done or not begun.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The entries of some keys, in the order of the keys; `None` for one that is absent.
    ///
    /// [`Error::TooLarge`] where the values together have more than `bytes_max`, found before they are all in memory.
    async fn get_many(&self, namespace: &Namespace, keys: &[Key], bytes_max: u64) -> Result<Vec<Option<Entry>>>;

    /// The entry of one key; [`Error::TooLarge`] where its value has more than `bytes_max`.
    ///
    /// It is [`get_many`](Store::get_many) of one key, for a backend that has a shorter way.
    async fn get_one(&self, namespace: &Namespace, key: &Key, bytes_max: u64) -> Result<Option<Entry>> {
        let found = self.get_many(namespace, std::slice::from_ref(key), bytes_max).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// Whether a key is there, without its value.
    async fn exists(&self, namespace: &Namespace, key: &Key) -> Result<bool>;

    /// The version of one key; `None` where it is absent.
    ///
    /// It is [`get_one`](Store::get_one) without the value, for a backend that can leave that where it is.
    async fn version(&self, namespace: &Namespace, key: &Key) -> Result<Option<Version>> {
        Ok(self.get_one(namespace, key, u64::MAX).await?.map(|entry| entry.version))
    }

    /// The keys that begin with a text, in order, from the first one after a position.
    ///
    /// A page ends after `limit` keys or [`Page::BYTES_MAX`] bytes of them. [`Page::collect`] does the counting.
    async fn list(&self, namespace: &Namespace, prefix: &str, after: Option<&Key>, limit: NonZeroU32) -> Result<Page>;

    /// Makes some changes, in order, all of them or none. Each sees what those before it did.
    ///
    /// The changes together are held against the quota, see [`Quota::check`]. What is answered is on disk, where the
    /// backend has one.
    async fn apply(&self, namespace: &Namespace, changes: Vec<Change>, quota: Quota) -> Result<Vec<Done>>;

    /// What a name space holds.
    async fn usage(&self, namespace: &Namespace) -> Result<Usage>;

    /// The name spaces that hold anything, in the order of the bytes of their names, from the first one after a position. For
    /// whoever runs the host: no guest is told.
    async fn namespaces(&self, after: Option<&Namespace>, limit: NonZeroU32) -> Result<Namespaces>;

    /// Removes everything that a name space holds, at once; how much it was. Its versions are not given again. For whoever
    /// runs the host, too.
    async fn clear(&self, namespace: &Namespace) -> Result<Usage>;
}

/// A value as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// For a condition that holds until the key is changed.
    pub version: Version,
    /// Time until it ends; `None` where it does not. More than zero, to the millisecond.
    pub ends_in: Option<Duration>,
}

/// Some keys of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, in the order of their bytes.
    pub keys: Vec<Key>,
    /// Whether there were more: ask again for what is after the last key.
    pub more: bool,
}

impl Page {
    /// Bytes of keys after which a page ends, whatever its limit: 1 MiB.
    pub const BYTES_MAX: usize = 1 << 20;

    /// For backends: takes as many of the keys as a page holds. At least one, where there is one.
    pub fn collect(keys: impl Iterator<Item = Result<Key>>, limit: NonZeroU32) -> Result<Page> {
        let mut page = Page::default();
        let mut bytes = 0;
        for key in keys {
            let key = key?;
            bytes += key.as_str().len();
            if page.keys.len() >= limit.get() as usize || (bytes > Self::BYTES_MAX && !page.keys.is_empty()) {
                page.more = true;
                break;
            }
            page.keys.push(key);
        }
        Ok(page)
    }
}

/// Some name spaces of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Each with what it holds, in the order of their names.
    pub found: Vec<(Namespace, Usage)>,
    /// Whether there were more: ask again for what is after the last one.
    pub more: bool,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a value.
    Set {
        /// The key.
        key: Key,
        /// The value.
        value: Bytes,
        /// When it ends.
        ends: Ends,
        /// What must hold before; otherwise [`Error::Conflict`].
        expected: Expected,
    },
    /// Removes a key. Not an error where it is absent, unless a version is expected.
    Delete {
        /// The key.
        key: Key,
        /// What must hold before; otherwise [`Error::Conflict`].
        expected: Expected,
    },
    /// Adds to a number, which is kept as decimal digits; a key that is absent counts as 0. Its end stays as it is.
    ///
    /// [`Error::NotANumber`] where it holds anything else, [`Error::OutOfRange`] where the sum would leave the range.
    Increment {
        /// The key.
        key: Key,
        /// What is added.
        by: i64,
        /// What the sum may be.
        within: RangeInclusive<i64>,
        /// When a key ends that was absent; `Keep` is `Never` here.
        ends: Ends,
    },
}

/// When a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It stays until it is deleted.
    Never,
    /// After a time, to the millisecond. Zero removes it at once.
    After(Duration),
    /// When the value before it would have ended; never, where there was none.
    Keep,
}

/// What must hold of a key before it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Anything,
    /// It is absent.
    Absent,
    /// It is at this version.
    At(Version),
}

impl Expected {
    /// For backends: [`Error::Conflict`] where this does not hold of what was found.
    pub fn check(self, key: &Key, found: Option<Version>) -> Result<()> {
        let holds = match self {
            Expected::Anything => true,
            Expected::Absent => found.is_none(),
            Expected::At(version) => found == Some(version),
        };
        match holds {
            true => Ok(()),
            false => Err(Error::Conflict { key: key.clone(), found }),
        }
    }
}

/// What a [`Change`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The value is set, and at this version.
    Set(Version),
    /// The key is gone; whether it was there.
    Deleted(bool),
    /// The sum.
    Incremented(i64),
}

/// What a name space may hold, and one of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of one value, sums included.
    pub value_bytes: u64,
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values together.
    pub bytes: u64,
}

impl Quota {
    /// No limits but the machine's.
    pub const NONE: Quota = Quota { value_bytes: u64::MAX, keys: u64::MAX, bytes: u64::MAX };

    /// For backends: [`Error::TooLarge`] where a value is.
    pub fn check_value(&self, bytes: usize) -> Result<()> {
        let found = bytes as u64;
        match found > self.value_bytes {
            true => Err(Error::TooLarge { what: "value", unit: "bytes", found, allowed: self.value_bytes }),
            false => Ok(()),
        }
    }

    /// For backends: [`Error::Full`] where changes brought the name space over its limits.
    ///
    /// What does not add is welcome, however full it is: a limit may have been lowered.
    pub fn check(&self, before: Usage, after: Usage) -> Result<()> {
        if after.keys > self.keys && after.keys > before.keys {
            return Err(Error::Full { unit: "keys", found: after.keys, allowed: self.keys });
        }
        if after.bytes > self.bytes && after.bytes > before.bytes {
            return Err(Error::Full { unit: "bytes", found: after.bytes, allowed: self.bytes });
        }
        Ok(())
    }
}

/// What a name space holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values together.
    pub bytes: u64,
}

impl Usage {
    /// For backends: counts an entry.
    pub fn add(&mut self, key: &Key, value_bytes: usize) {
        self.keys += 1;
        self.bytes += (key.as_str().len() + value_bytes) as u64;
    }

    /// For backends: counts an entry no longer.
    pub fn remove(&mut self, key: &Key, value_bytes: usize) {
        self.keys = self.keys.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub((key.as_str().len() + value_bytes) as u64);
    }
}

/// For backends: the sum of [`Change::Increment`], with the value that is kept for it.
pub fn increment(key: &Key, value: Option<&[u8]>, by: i64, within: &RangeInclusive<i64>) -> Result<(i64, Bytes)> {
    let found = match value {
        None => 0,
        Some(value) => std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or_else(|| Error::NotANumber { key: key.clone() })?,
    };
    match found.checked_add(by).filter(|sum| within.contains(sum)) {
        Some(sum) => Ok((sum, Bytes::from(sum.to_string()))),
        None => Err(Error::OutOfRange { key: key.clone(), least: *within.start(), most: *within.end() }),
    }
}

/// The smallest bytes that are greater than those of every text with this prefix.
pub(crate) fn after_prefix(prefix: &str) -> Vec<u8> {
    // 0xff does not occur in UTF-8: it is after every text, and the last byte of one can be raised.
    let mut bytes = prefix.as_bytes().to_vec();
    match bytes.last_mut() {
        Some(last) => *last += 1,
        None => bytes.push(0xff),
    }
    bytes
}

/// The comfort that every [`Store`] has: one key at a time, without limits of its own.
#[async_trait]
pub trait StoreExt: Store {
    /// The entry of a key.
    async fn get(&self, namespace: &Namespace, key: &Key) -> Result<Option<Entry>> {
        self.get_one(namespace, key, u64::MAX).await
    }

    /// Sets a value that stays until it is deleted.
    async fn set(&self, namespace: &Namespace, key: &Key, value: Bytes) -> Result<Version> {
        self.set_for(namespace, key, value, Ends::Never).await
    }

    /// Sets a value that may end.
    async fn set_for(&self, namespace: &Namespace, key: &Key, value: Bytes, ends: Ends) -> Result<Version> {
        let change = Change::Set { key: key.clone(), value, ends, expected: Expected::Anything };
        version(self.apply(namespace, vec![change], Quota::NONE).await?)
    }

    /// Sets a value where the key is as it is expected to be; otherwise [`Error::Conflict`].
    async fn swap(&self, namespace: &Namespace, key: &Key, value: Bytes, expected: Expected) -> Result<Version> {
        let change = Change::Set { key: key.clone(), value, ends: Ends::Keep, expected };
        version(self.apply(namespace, vec![change], Quota::NONE).await?)
    }

    /// Removes a key; whether it was there.
    async fn delete(&self, namespace: &Namespace, key: &Key) -> Result<bool> {
        let change = Change::Delete { key: key.clone(), expected: Expected::Anything };
        match self.apply(namespace, vec![change], Quota::NONE).await?.first() {
            Some(Done::Deleted(was_there)) => Ok(*was_there),
            _ => Err(mismatch()),
        }
    }

    /// Adds to a number; the sum.
    async fn increment(&self, namespace: &Namespace, key: &Key, by: i64) -> Result<i64> {
        let change = Change::Increment { key: key.clone(), by, within: i64::MIN..=i64::MAX, ends: Ends::Never };
        sum(self.apply(namespace, vec![change], Quota::NONE).await?)
    }

    /// Sets several values, all or none.
    async fn set_many(&self, namespace: &Namespace, values: Vec<(Key, Bytes)>) -> Result<()> {
        let set = |(key, value)| Change::Set { key, value, ends: Ends::Never, expected: Expected::Anything };
        self.apply(namespace, values.into_iter().map(set).collect(), Quota::NONE).await.map(drop)
    }

    /// Removes several keys, all or none.
    async fn delete_many(&self, namespace: &Namespace, keys: Vec<Key>) -> Result<()> {
        let delete = |key| Change::Delete { key, expected: Expected::Anything };
        self.apply(namespace, keys.into_iter().map(delete).collect(), Quota::NONE).await.map(drop)
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

pub(crate) fn version(done: Vec<Done>) -> Result<Version> {
    match done.first() {
        Some(Done::Set(version)) => Ok(*version),
        _ => Err(mismatch()),
    }
}

pub(crate) fn sum(done: Vec<Done>) -> Result<i64> {
    match done.first() {
        Some(Done::Incremented(sum)) => Ok(*sum),
        _ => Err(mismatch()),
    }
}

pub(crate) fn mismatch() -> Error {
    Error::unavailable("the backend answered to another change than it was given")
}

macro_rules! forward {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<S: Store + ?Sized> Store for $pointer<S> {
            async fn get_many(&self, namespace: &Namespace, keys: &[Key], bytes_max: u64) -> Result<Vec<Option<Entry>>> {
                (**self).get_many(namespace, keys, bytes_max).await
            }
            async fn get_one(&self, namespace: &Namespace, key: &Key, bytes_max: u64) -> Result<Option<Entry>> {
                (**self).get_one(namespace, key, bytes_max).await
            }
            async fn exists(&self, namespace: &Namespace, key: &Key) -> Result<bool> {
                (**self).exists(namespace, key).await
            }
            async fn version(&self, namespace: &Namespace, key: &Key) -> Result<Option<Version>> {
                (**self).version(namespace, key).await
            }
            async fn list(
                &self,
                namespace: &Namespace,
                prefix: &str,
                after: Option<&Key>,
                limit: NonZeroU32,
            ) -> Result<Page> {
                (**self).list(namespace, prefix, after, limit).await
            }
            async fn apply(&self, namespace: &Namespace, changes: Vec<Change>, quota: Quota) -> Result<Vec<Done>> {
                (**self).apply(namespace, changes, quota).await
            }
            async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
                (**self).usage(namespace).await
            }
            async fn namespaces(&self, after: Option<&Namespace>, limit: NonZeroU32) -> Result<Namespaces> {
                (**self).namespaces(after, limit).await
            }
            async fn clear(&self, namespace: &Namespace) -> Result<Usage> {
                (**self).clear(namespace).await
            }
        }
    )+};
}

forward!(Arc, Box);
