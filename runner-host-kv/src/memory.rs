//! [`MemoryStore`]: the reference that the other backends are held against. It forgets when it is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::key::{Key, Namespace, Version};
use crate::store::{Change, Done, Ends, Entry, Namespaces, Page, Quota, Store, Usage, increment};

/// Keeps values in memory. Clones share what they hold.
#[derive(Clone)]
pub struct MemoryStore {
    /// Guards every name space; never held across an await. Few are in use: comparing is faster than hashing.
    spaces: Arc<Mutex<BTreeMap<Namespace, Space>>>,
    clock: Arc<dyn Clock>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store on a clock that a test may wind.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        MemoryStore { spaces: Arc::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Namespace, Space>> {
        // Every change is undone before a panic could leave it half made: what is behind a poisoned lock is whole.
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One name space.
#[derive(Default)]
struct Space {
    kept: BTreeMap<Key, Kept>,
    /// When which key ends, so that those that have ended are found without looking at the others.
    ends: BTreeSet<(u64, Key)>,
    used: Usage,
    /// The last version given.
    version: u64,
}

#[derive(Clone)]
struct Kept {
    value: Bytes,
    version: Version,
    ends_ms: Option<u64>,
}

impl Kept {
    fn is_live(&self, now: u64) -> bool {
        self.ends_ms.is_none_or(|ends| ends > now)
    }

    /// As it is told, where it has not ended.
    fn entry(&self, clock: &dyn Clock) -> Option<Entry> {
        let ends_in = left(self.ends_ms, clock)?;
        Some(Entry { value: self.value.clone(), version: self.version, ends_in })
    }
}

impl Space {
    fn put(&mut self, key: &Key, kept: Option<Kept>) -> Option<Kept> {
        let before = match &kept {
            Some(kept) => self.kept.insert(key.clone(), kept.clone()),
            None => self.kept.remove(key),
        };
        if let Some(before) = &before {
            self.used.remove(key, before.value.len());
            if let Some(ends) = before.ends_ms {
                self.ends.remove(&(ends, key.clone()));
            }
        }
        if let Some(kept) = kept {
            self.used.add(key, kept.value.len());
            if let Some(ends) = kept.ends_ms {
                self.ends.insert((ends, key.clone()));
            }
        }
        before
    }

    fn remove_ended(&mut self, now: u64) {
        while let Some((ends, key)) = self.ends.first().cloned()
            && ends <= now
        {
            self.put(&key, None);
        }
    }

    fn next_version(&mut self) -> Version {
        self.version += 1;
        Version::new(self.version)
    }

    /// Makes one change; what was there before is pushed for the way back.
    fn change(&mut self, change: Change, quota: Quota, now: u64, back: &mut Vec<(Key, Option<Kept>)>) -> Result<Done> {
        let (key, kept, done) = match change {
            Change::Set { key, value, ends, expected } => {
                let found = self.kept.get(&key);
                expected.check(&key, found.map(|kept| kept.version))?;
                quota.check_value(value.len())?;
                let ends_ms = ends_ms(ends, found.and_then(|kept| kept.ends_ms), now);
                let version = self.next_version();
                (key, Some(Kept { value, version, ends_ms }), Done::Set(version))
            }
            Change::Delete { key, expected } => {
                let found = self.kept.get(&key);
                expected.check(&key, found.map(|kept| kept.version))?;
                let done = Done::Deleted(found.is_some());
                (key, None, done)
            }
            Change::Increment { key, by, within, ends } => {
                let found = self.kept.get(&key);
                let (sum, value) = increment(&key, found.map(|kept| kept.value.as_ref()), by, &within)?;
                quota.check_value(value.len())?;
                let ends_ms = match found {
                    Some(kept) => kept.ends_ms,
                    None => ends_ms(ends, None, now),
                };
                let version = self.next_version();
                (key, Some(Kept { value, version, ends_ms }), Done::Incremented(sum))
            }
        };
        // A value that ends at once is as if it had been deleted.
        let before = self.put(&key, kept.filter(|kept| kept.is_live(now)));
        back.push((key, before));
        Ok(done)
    }
}

/// When a value ends, in milliseconds since 1970.
pub(crate) fn ends_ms(ends: Ends, before: Option<u64>, now: u64) -> Option<u64> {
    match ends {
        Ends::Never => None,
        Ends::After(time) => Some(now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).min(MS_MAX)),
        Ends::Keep => before,
    }
}

/// As far as the signed 64 bits of a database go.
const MS_MAX: u64 = i64::MAX as u64;

/// The time that a value has left, where it ends; `None` of one that has ended. Only a value that ends has the clock read,
/// which costs as much as finding it.
pub(crate) fn left(ends_ms: Option<u64>, clock: &dyn Clock) -> Option<Option<Duration>> {
    let Some(ends_ms) = ends_ms else { return Some(None) };
    let left = ends_ms.checked_sub(clock.now_ms()).filter(|left| *left > 0)?;
    Some(Some(Duration::from_millis(left)))
}

#[async_trait]
impl Store for MemoryStore {
    async fn get_many(&self, namespace: &Namespace, keys: &[Key], bytes_max: u64) -> Result<Vec<Option<Entry>>> {
        let spaces = self.lock();
        let space = spaces.get(namespace);
        let mut bytes = 0;
        keys.iter()
            .map(|key| {
                let entry = space.and_then(|space| space.kept.get(key)).and_then(|kept| kept.entry(&*self.clock));
                bytes += entry.as_ref().map_or(0, |entry| entry.value.len() as u64);
                check_bytes(bytes, bytes_max).map(|()| entry)
            })
            .collect()
    }

    async fn get_one(&self, namespace: &Namespace, key: &Key, bytes_max: u64) -> Result<Option<Entry>> {
        let spaces = self.lock();
        let kept = spaces.get(namespace).and_then(|space| space.kept.get(key));
        let Some(entry) = kept.and_then(|kept| kept.entry(&*self.clock)) else { return Ok(None) };
        check_bytes(entry.value.len() as u64, bytes_max)?;
        Ok(Some(entry))
    }

    async fn exists(&self, namespace: &Namespace, key: &Key) -> Result<bool> {
        let now = self.clock.now_ms();
        Ok(self.lock().get(namespace).and_then(|space| space.kept.get(key)).is_some_and(|kept| kept.is_live(now)))
    }

    async fn version(&self, namespace: &Namespace, key: &Key) -> Result<Option<Version>> {
        let now = self.clock.now_ms();
        let spaces = self.lock();
        let kept = spaces.get(namespace).and_then(|space| space.kept.get(key)).filter(|kept| kept.is_live(now));
        Ok(kept.map(|kept| kept.version))
    }

    async fn list(&self, namespace: &Namespace, prefix: &str, after: Option<&Key>, limit: NonZeroU32) -> Result<Page> {
        let now = self.clock.now_ms();
        let spaces = self.lock();
        let Some(space) = spaces.get(namespace) else { return Ok(Page::default()) };
        let from = match after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        let keys = space
            .kept
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.as_str().starts_with(prefix))
            .filter(|(_, kept)| kept.is_live(now))
            .map(|(key, _)| Ok(key.clone()));
        Page::collect(keys, limit)
    }

    async fn apply(&self, namespace: &Namespace, changes: Vec<Change>, quota: Quota) -> Result<Vec<Done>> {
        let now = self.clock.now_ms();
        let mut spaces = self.lock();
        let space = spaces.entry(namespace.clone()).or_default();
        space.remove_ended(now);
        let before = space.used;
        let mut back = Vec::with_capacity(changes.len());
        let done = changes
            .into_iter()
            .map(|change| space.change(change, quota, now, &mut back))
            .collect::<Result<Vec<_>>>()
            .and_then(|done| quota.check(before, space.used).map(|()| done));
        if done.is_err() {
            for (key, kept) in back.into_iter().rev() {
                space.put(&key, kept);
            }
        }
        done
    }

    async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
        let now = self.clock.now_ms();
        let mut spaces = self.lock();
        let Some(space) = spaces.get_mut(namespace) else { return Ok(Usage::default()) };
        space.remove_ended(now);
        Ok(space.used)
    }

    async fn namespaces(&self, after: Option<&Namespace>, limit: NonZeroU32) -> Result<Namespaces> {
        let now = self.clock.now_ms();
        let mut spaces = self.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut namespaces = Namespaces::default();
        for (name, space) in spaces.range_mut((from, Bound::Unbounded)) {
            space.remove_ended(now);
            if space.kept.is_empty() {
                continue;
            }
            if namespaces.found.len() == limit.get() as usize {
                namespaces.more = true;
                break;
            }
            namespaces.found.push((name.clone(), space.used));
        }
        Ok(namespaces)
    }

    async fn clear(&self, namespace: &Namespace) -> Result<Usage> {
        let now = self.clock.now_ms();
        let mut spaces = self.lock();
        let Some(space) = spaces.get_mut(namespace) else { return Ok(Usage::default()) };
        space.remove_ended(now);
        let used = space.used;
        // What remains is the last version given.
        *space = Space { version: space.version, ..Space::default() };
        Ok(used)
    }
}

/// Whether values together are within what may be read at once.
pub(crate) fn check_bytes(found: u64, allowed: u64) -> Result<()> {
    match found > allowed {
        true => Err(Error::TooLarge { what: "what is read at once", unit: "bytes", found, allowed }),
        false => Ok(()),
    }
}
