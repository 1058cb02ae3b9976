//! One count for each prefix of a volume that has bounds, shared by all sessions that write below it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use super::View;
use crate::error::Result;
use crate::path::VPath;
use crate::quota::{Quota, QuotaLimits, QuotaUsage, WeakQuota};
use crate::vfs::Vfs;

/// A tree that is counted.
pub(super) type Counted = Quota<Arc<dyn Vfs>>;

/// The counts of a volume, by prefix, each for as long as a session has it.
#[derive(Default)]
pub(super) struct Quotas(Mutex<HashMap<VPath, WeakQuota<Arc<dyn Vfs>>>>);

impl Quotas {
    fn known(&self) -> MutexGuard<'_, HashMap<VPath, WeakQuota<Arc<dyn Vfs>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The count that a session with a view writes through: none where the view has no bounds and nobody else counts.
    pub(super) fn open(&self, view: &View, tree: impl FnOnce() -> Arc<dyn Vfs>) -> Option<Counted> {
        let unbounded = QuotaLimits { bytes: u64::MAX, files: u64::MAX, file_bytes: u64::MAX };
        let limits = QuotaLimits {
            bytes: view.bytes.unwrap_or(unbounded.bytes),
            files: view.files.unwrap_or(unbounded.files),
            file_bytes: view.file_bytes.unwrap_or(unbounded.file_bytes),
        };
        let mut known = self.known();
        known.retain(|_, quota| quota.within(unbounded).is_some());
        match known.get(&view.prefix).and_then(|quota| quota.within(limits)) {
            Some(quota) => Some(quota),
            None if limits == unbounded => None,
            None => {
                let quota = Quota::new(tree(), limits);
                known.insert(view.prefix.clone(), quota.downgrade());
                Some(quota)
            }
        }
    }

    /// A session has changed what lies below a prefix: who counts it, or a part of it, or what it is a part of, and was not
    /// told, counts again.
    pub(super) fn doubt(&self, prefix: &VPath, told: bool) {
        for (other, quota) in self.known().iter() {
            let overlaps = other.starts_with(prefix) || prefix.starts_with(other);
            if overlaps && !(told && other == prefix) {
                quota.doubt();
            }
        }
    }
}

/// What a draft will hold more or less than the files that it lies over, and what it was promised of the quota for that.
pub(super) struct Ledger {
    quota: Option<Counted>,
    entry: Mutex<Entry>,
    /// One that asks for more at a time.
    adding: AsyncMutex<()>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    /// More or less than below.
    bytes: i64,
    files: i64,
    promised: QuotaUsage,
}

impl Entry {
    fn plus(self, bytes: i64, files: i64) -> Self {
        Entry { bytes: self.bytes.saturating_add(bytes), files: self.files.saturating_add(files), ..self }
    }

    /// What has to be promised.
    fn needed(self) -> QuotaUsage {
        let more = |count: i64| u64::try_from(count).unwrap_or(0);
        QuotaUsage { bytes: more(self.bytes), files: more(self.files) }
    }
}

/// What one is more than another.
fn excess(one: QuotaUsage, other: QuotaUsage) -> QuotaUsage {
    QuotaUsage { bytes: one.bytes.saturating_sub(other.bytes), files: one.files.saturating_sub(other.files) }
}

impl Ledger {
    pub(super) fn new(quota: Option<Counted>) -> Self {
        Ledger { quota, entry: Mutex::default(), adding: AsyncMutex::default() }
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes so much more. What was removed in the draft may be used again in the draft.
    pub(super) async fn add(&self, bytes: i64, files: i64) -> Result<()> {
        let Some(quota) = &self.quota else { return Ok(()) };
        let _one = self.adding.lock().await;
        let entry = *self.entry();
        let more = excess(entry.plus(bytes, files).needed(), entry.promised);
        if more != QuotaUsage::default() {
            quota.promise(more).await?;
        }
        let mut entry = self.entry();
        let promised = QuotaUsage {
            bytes: entry.promised.bytes.saturating_add(more.bytes),
            files: entry.promised.files.saturating_add(more.files),
        };
        *entry = Entry { promised, ..entry.plus(bytes, files) };
        Ok(())
    }

    /// Gives back so much, as negative numbers.
    pub(super) fn take_back(&self, bytes: i64, files: i64) {
        let Some(quota) = &self.quota else { return };
        let mut entry = self.entry();
        *entry = entry.plus(bytes, files);
        let less = excess(entry.promised, entry.needed());
        entry.promised = excess(entry.promised, less);
        quota.take_back(less);
    }

    /// Publishes what the draft holds.
    pub(super) async fn publish<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(quota) = &self.quota else { return work.await };
        let Entry { bytes, files, promised } = *self.entry();
        let done = quota.publish(promised, (bytes, files), work).await?;
        *self.entry() = Entry::default();
        Ok(done)
    }

    /// What was promised and not published is free again.
    pub(super) fn release(&self) {
        if let Some(quota) = &self.quota {
            quota.take_back(std::mem::take(&mut *self.entry()).promised);
        }
    }

    pub(super) fn counts(&self) -> bool {
        self.quota.is_some()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.release();
    }
}
