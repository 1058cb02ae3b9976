//! The local door: a directory that only this user can write, mapped unread.
//!
//! Files appear whole (temporary file, fsync, rename) and are never changed in place, since running code is mapped from
//! them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::Engine;

use super::trusted::{self, Compiled};
use super::{CodeKey, trusted::from_own_compiler};
use crate::error::{Error, Result};

/// A private directory of compiled code.
///
/// It must belong to the process's user with mode 0700, or be absent, and then it is made so. Anything that can write
/// there can run code in this process: that is why it is checked, and why [`VerifiedStore`](super::VerifiedStore) exists
/// for code from anywhere else.
#[derive(Clone, Debug)]
pub struct LocalStore {
    directory: Arc<Path>,
}

impl LocalStore {
    /// Opens or creates the directory.
    ///
    /// # Errors
    /// `Denied` where it is a link, belongs to someone else, or others may read or write it; `Unavailable` where it
    /// cannot be made.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory: PathBuf = directory.into();
        let shown = directory.display();
        match fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory) {
            Ok(()) => {}
            Err(error) => {
                return Err(Error::unavailable(format!("code store `{shown}` cannot be made")).source(error));
            }
        }
        let found = fs::symlink_metadata(&directory)
            .map_err(|error| Error::unavailable(format!("code store `{shown}` cannot be read")).source(error))?;
        let refuse = |what: String| {
            let message = format!("code store `{shown}` {what}; whoever writes there runs code in this process");
            Err(Error::new(crate::ErrorKind::Denied, message))
        };
        if !found.is_dir() {
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
        // Resolved once: a link above the directory that changes later leads nowhere else.
        let directory = directory
            .canonicalize()
            .map_err(|error| Error::unavailable(format!("code store `{shown}` cannot be read")).source(error))?;
        Ok(LocalStore { directory: directory.into() })
    }

    fn path(&self, key: &CodeKey) -> PathBuf {
        self.directory.join(format!("{}.cwasm", key.as_str()))
    }

    pub(super) async fn get(&self, engine: &Engine, key: &CodeKey) -> Option<Compiled> {
        // Mapping takes 0.2 ms and reads nothing: less than a trip to a blocking thread and back.
        trusted::map_file(engine, &self.path(key))
    }

    pub(super) async fn put(&self, engine: &Engine, key: &CodeKey, artefact: Vec<u8>) -> Result<Compiled> {
        let (directory, path) = (Arc::clone(&self.directory), self.path(key));
        let (written, artefact) = tokio::task::spawn_blocking(move || (write(&directory, &path, &artefact), artefact))
            .await
            .map_err(|error| Error::internal("writing compiled code was interrupted").source(error))?;
        // A full disk must not stop a call: the code at hand is as good.
        match written {
            Ok(()) => match self.get(engine, key).await {
                Some(compiled) => Ok(compiled),
                None => from_own_compiler(engine, artefact).await,
            },
            Err(error) => {
                tracing::warn!(%error, "compiled code is not kept");
                from_own_compiler(engine, artefact).await
            }
        }
    }
}

fn write(directory: &Path, path: &Path, artefact: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(artefact)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(directory)?.sync_all()
}
