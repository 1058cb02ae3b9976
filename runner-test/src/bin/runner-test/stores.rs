//! The key-value store and the files of the tests: in memory, and empty at the beginning of each.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use runner_host_fs::{MemoryFs, Result as FsResult, Session, View, Volume};
use runner_host_kv::{
    Change, Done, Entry, Key, MemoryStore, Namespace, Namespaces, Page, Quota, Result, Store, Usage, Version,
    async_trait,
};

/// A store in memory that can be begun anew. Clones are the same store.
#[derive(Clone, Default)]
pub(crate) struct Renewed(Arc<Mutex<MemoryStore>>);

impl Renewed {
    /// Forgets everything.
    pub(crate) fn renew(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = MemoryStore::new();
    }

    fn now(&self) -> MemoryStore {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Renewed {
    async fn get_many(&self, namespace: &Namespace, keys: &[Key], bytes_max: u64) -> Result<Vec<Option<Entry>>> {
        self.now().get_many(namespace, keys, bytes_max).await
    }

    async fn get_one(&self, namespace: &Namespace, key: &Key, bytes_max: u64) -> Result<Option<Entry>> {
        self.now().get_one(namespace, key, bytes_max).await
    }

    async fn exists(&self, namespace: &Namespace, key: &Key) -> Result<bool> {
        self.now().exists(namespace, key).await
    }

    async fn version(&self, namespace: &Namespace, key: &Key) -> Result<Option<Version>> {
        self.now().version(namespace, key).await
    }

    async fn list(&self, namespace: &Namespace, prefix: &str, after: Option<&Key>, limit: NonZeroU32) -> Result<Page> {
        self.now().list(namespace, prefix, after, limit).await
    }

    async fn apply(&self, namespace: &Namespace, changes: Vec<Change>, quota: Quota) -> Result<Vec<Done>> {
        self.now().apply(namespace, changes, quota).await
    }

    async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
        self.now().usage(namespace).await
    }

    async fn namespaces(&self, after: Option<&Namespace>, limit: NonZeroU32) -> Result<Namespaces> {
        self.now().namespaces(after, limit).await
    }

    async fn clear(&self, namespace: &Namespace) -> Result<Usage> {
        self.now().clear(namespace).await
    }
}

/// Files in memory that can be begun anew. Clones are the same files.
#[derive(Clone, Default)]
pub(crate) struct RenewedFiles(Arc<Mutex<MemoryFs>>);

impl RenewedFiles {
    /// Forgets everything.
    pub(crate) fn renew(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = MemoryFs::default();
    }

    fn now(&self) -> MemoryFs {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[deny(clippy::missing_trait_methods)]
impl Volume for RenewedFiles {
    fn check(&self, view: &View) -> FsResult<()> {
        self.now().check(view)
    }

    fn open(&self, view: &View) -> FsResult<Arc<dyn Session>> {
        self.now().open(view)
    }
}
