//! The modules that callers stored: bytes by content, and versions by name, in one directory that survives a restart.
//!
//! File work runs on blocking threads; nothing is kept in memory but two counts. It knows nothing of HTTP or of engines.

mod disk;
mod files;
mod reference;

use std::sync::Arc;

use cap_std::fs::Dir;
use runner_core::{Grants, ModuleId};

pub use self::disk::Capacity;
use self::disk::Disk;
pub(crate) use self::reference::{Name, Reference};

/// What a store cannot do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no module `{0}`")]
    NotFound(Reference),
    #[error("module `{id}` is in use as {by}: delete that first")]
    InUse { id: ModuleId, by: String },
    #[error("the grants of `{0}`, or its bytes, are not those any more that are expected: look at them again")]
    Changed(Reference),
    #[error("the server keeps {max} {what} already: delete some")]
    Full { what: &'static str, max: u64 },
    #[error(
        "all {max} names are taken, deleted ones too, since their numbers are never used again: store under one of them, \
         by content (`POST /v1/modules`), or start the server with a larger `--modules`"
    )]
    NamesTaken { max: u64 },
    #[error("the data directory cannot be read or written")]
    Io(#[from] std::io::Error),
}

/// A module in the store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) id: ModuleId,
    /// The name and version that it was found under.
    pub(crate) label: Option<(Name, u32)>,
    pub(crate) size_bytes: u64,
    pub(crate) kind: String,
    /// When it was stored under this label, RFC 3339.
    pub(crate) created: String,
    /// What these bytes were granted under this name; nothing without a name.
    pub(crate) granted: Option<Granted>,
}

/// What some bytes were granted under a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Granted {
    pub(crate) grants: Grants,
    /// When, RFC 3339.
    pub(crate) since: String,
    /// The grants as text: equal texts are equal grants.
    pub(crate) text: Arc<str>,
}

impl Stored {
    /// What finds exactly this again.
    pub(crate) fn reference(&self) -> Reference {
        match &self.label {
            Some((name, version)) => Reference::Version(name.clone(), *version),
            None => Reference::Id(self.id.clone()),
        }
    }
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) modules: u64,
    pub(crate) bytes: u64,
}

/// A directory of modules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(Arc<Disk>);

impl Store {
    /// Opens a directory that is this process's alone, and clears away what a crash left half-written.
    ///
    /// # Errors
    /// Where another process has it open, or it cannot be read or written.
    pub fn open(dir: Dir, capacity: Capacity) -> std::io::Result<Self> {
        Disk::open(&dir, capacity).map(|disk| Store(Arc::new(disk)))
    }

    /// Keeps a module; under a name as its next version. True where the bytes are new here.
    pub(crate) async fn put(
        &self,
        name: Option<Name>,
        id: ModuleId,
        bytes: impl AsRef<[u8]> + Send + 'static,
        kind: &'static str,
    ) -> Result<(Stored, bool), Error> {
        self.blocking(move |disk| disk.put(name.as_ref(), &id, bytes.as_ref(), kind)).await
    }

    /// What a reference stands for now.
    pub(crate) async fn find(&self, reference: Reference) -> Result<Stored, Error> {
        self.blocking(move |disk| disk.find(&reference)).await
    }

    /// The bytes of a module.
    pub(crate) async fn read(&self, id: ModuleId) -> Result<Vec<u8>, Error> {
        self.blocking(move |disk| disk.read(&id)).await
    }

    /// Up to `count` modules after one: by name, newest version first; then those without a name, by id.
    pub(crate) async fn list(&self, after: Option<Reference>, count: usize) -> Result<Vec<Stored>, Error> {
        self.blocking(move |disk| disk.list(after.as_ref(), count)).await
    }

    /// Grants the bytes that a name stands for, in the place of what they were granted under it, where these are as expected.
    /// Nothing takes it back.
    pub(crate) async fn grant(
        &self,
        reference: Reference,
        grants: Grants,
        is_expected: impl FnOnce(&Stored) -> bool + Send + 'static,
    ) -> Result<Stored, Error> {
        self.blocking(move |disk| disk.grant(&reference, grants, is_expected)).await
    }

    /// The version of the same name, of other bytes, that was granted something last.
    pub(crate) async fn granted_before(&self, stored: &Stored) -> Result<Option<Stored>, Error> {
        let stored = stored.clone();
        self.blocking(move |disk| disk.granted_before(&stored)).await
    }

    /// Removes a name with all its versions, one version, or the bytes that no name refers to.
    pub(crate) async fn delete(&self, reference: Reference) -> Result<(), Error> {
        self.blocking(move |disk| disk.delete(&reference)).await
    }

    pub(crate) fn holdings(&self) -> Holdings {
        self.0.holdings()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let disk = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&disk)).await;
        done.unwrap_or_else(|panic| Err(Error::Io(std::io::Error::other(panic))))
    }
}
