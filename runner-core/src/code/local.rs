//! The local door: a directory that only this user can write, mapped unread.
//!
//! Files appear whole (temporary file, fsync, rename) and are never changed in place, since running code is mapped from
//! them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Engine;

use super::CodeKey;
use super::trusted::{self, CodeKind, Compiled};
use crate::error::{Error, Result};

/// A private directory of compiled code.
///
/// It must belong to the process's user with mode 0700, or be absent, and then it is made so; nobody else may be able to
/// put another in its place. Anything that can write there can run code in this process: that is why it is checked, and why
/// [`VerifiedStore`](super::VerifiedStore) exists for code from anywhere else.
///
/// It is held to a size, by default [`LocalStore::BYTES_MAX`]: the oldest code goes first. Code in use stays mapped when its
/// file goes; code that is wanted again is compiled again.
#[derive(Clone, Debug)]
pub struct LocalStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    bytes_max: u64,
    /// What was written since the store was last swept; at first enough for a sweep.
    unswept: AtomicU64,
}

/// Files kept, however small: walking them takes some tens of milliseconds.
const FILES_MAX: usize = 20_000;

impl LocalStore {
    /// Bytes that a store holds where nobody says otherwise: 4 GiB.
    pub const BYTES_MAX: u64 = 4 << 30;

    /// Opens or creates the directory.
    ///
    /// # Errors
    /// `Denied` where it is a link, belongs to someone else, others may read or write it, or replace it from above;
    /// `Unavailable` where it cannot be made.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory: PathBuf = directory.into();
        let shown = directory.display();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|error| Error::unavailable(format!("code store `{shown}` cannot be made")).source(error))?;
        let unread = |error| Error::unavailable(format!("code store `{shown}` cannot be read")).source(error);
        let is_link = fs::symlink_metadata(&directory).map_err(unread)?.is_symlink();
        // Resolved once: a link above the directory that changes later leads nowhere else.
        let resolved = directory.canonicalize().map_err(unread)?;
        let found = fs::symlink_metadata(&resolved).map_err(unread)?;
        let refuse = |what: String| {
            let message = format!("code store `{shown}` {what}; whoever writes there runs code in this process");
            Err(Error::new(crate::ErrorKind::Denied, message))
        };
        if is_link || !found.is_dir() {
            return refuse("is not a directory of its own".to_owned());
        }
        let (user, owner) = (rustix::process::geteuid().as_raw(), found.uid());
        if owner != user {
            return refuse(format!("belongs to user {owner}, expected {user}"));
        }
        let mode = found.permissions().mode() & 0o777;
        if mode != 0o700 {
            return refuse(format!("has mode {mode:04o}, expected 0700"));
        }
        for above in resolved.ancestors().skip(1) {
            let found = fs::symlink_metadata(above).map_err(unread)?;
            let (owner, mode) = (found.uid(), found.permissions().mode());
            // With the sticky bit, as in `/tmp`, only the owner of an entry replaces it.
            let others_write = mode & 0o022 != 0 && mode & 0o1000 == 0;
            if others_write || (owner != user && owner != 0) {
                let (above, mode) = (above.display(), mode & 0o7777);
                return refuse(format!(
                    "can be replaced through `{above}`, of user {owner} with mode {mode:04o}: `chmod go-w` it, or choose \
                     another place"
                ));
            }
        }
        let unswept = AtomicU64::new(u64::MAX);
        Ok(LocalStore(Arc::new(Inner { directory: resolved, bytes_max: Self::BYTES_MAX, unswept })))
    }

    /// Holds the store to so many bytes. Default [`LocalStore::BYTES_MAX`]. It may be over by a sixteenth for a while.
    #[must_use]
    pub fn bytes_max(self, bytes: u64) -> Self {
        let directory = self.0.directory.clone();
        LocalStore(Arc::new(Inner { directory, bytes_max: bytes, unswept: AtomicU64::new(u64::MAX) }))
    }

    pub(super) fn get(&self, engine: &Engine, key: &CodeKey) -> Option<Compiled> {
        // Mapping takes 0.2 ms and reads nothing: less than a trip to a blocking thread and back.
        if let Ok(file) = fs::File::open(self.0.path(CodeKind::Module, key)) {
            return trusted::map_module(engine, file);
        }
        let component = self.0.path(CodeKind::Component, key);
        component.exists().then(|| trusted::map_component(engine, &component)).flatten()
    }

    /// Keeps an artefact, and gives it back mapped.
    pub(super) async fn put(&self, engine: &Engine, key: &CodeKey, artefact: Vec<u8>) -> Result<Compiled> {
        let (store, named) = (self.clone(), key.clone());
        let (kept, artefact) = tokio::task::spawn_blocking(move || (store.keep(&named, &artefact), artefact))
            .await
            .map_err(|error| Error::internal("writing compiled code was interrupted").source(error))?;
        // A full disk must not stop a call: the code at hand is as good.
        let mapped = kept.then(|| self.get(engine, key)).flatten();
        mapped.map_or_else(|| trusted::from_own_compiler(engine, &artefact), Ok)
    }

    /// Writes an artefact, on a thread that may block, and sweeps now and then. Whether it is there now.
    pub(super) fn keep(&self, key: &CodeKey, artefact: &[u8]) -> bool {
        let kept = self.0.write(key, artefact);
        if let Err(error) = &kept {
            tracing::warn!(%error, "compiled code is not kept");
        }
        let written = artefact.len() as u64;
        let unswept = self.0.unswept.fetch_update(Ordering::AcqRel, Ordering::Acquire, |unswept| {
            let unswept = unswept.saturating_add(written);
            Some(if unswept > self.0.bytes_max / 16 { 0 } else { unswept })
        });
        if unswept.is_ok_and(|unswept| unswept.saturating_add(written) > self.0.bytes_max / 16)
            && let Err(error) = self.0.sweep()
        {
            tracing::warn!(%error, "the store of compiled code cannot be swept");
        }
        kept.is_ok()
    }
}

impl Inner {
    fn path(&self, kind: CodeKind, key: &CodeKey) -> PathBuf {
        self.directory.join(format!("{}.{}", key.as_str(), kind.as_str()))
    }

    fn write(&self, key: &CodeKey, artefact: &[u8]) -> io::Result<()> {
        let kind = CodeKind::of(artefact).ok_or(io::ErrorKind::InvalidData)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(artefact)?;
        file.as_file().sync_all()?;
        file.persist(self.path(kind, key))?;
        fs::File::open(&self.directory)?.sync_all()
    }

    /// Removes the oldest files until the rest fits. What a crash left half-written counts, and goes once it is old.
    fn sweep(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            // One that is gone meanwhile needs no sweeping.
            let Ok(found) = entry.metadata() else { continue };
            if found.is_file() {
                files.push((found.modified()?, found.len(), entry.path()));
            }
        }
        let mut bytes: u64 = files.iter().map(|(_, len, _)| len).sum();
        files.sort();
        let mut left = files.len();
        for (_, len, file) in files {
            if bytes <= self.bytes_max && left <= FILES_MAX {
                break;
            }
            match fs::remove_file(file) {
                // Another process sweeps too.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            bytes -= len;
            left -= 1;
        }
        Ok(())
    }
}
