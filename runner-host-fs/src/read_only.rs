//! A tree that may be read, and nothing else.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{File, Flush, Follow, Open, Page, SetTimes, Stat, Vfs};

/// Another tree, for reading: all that would change it is [`ReadOnly`](ErrorKind::ReadOnly), and is not asked of it.
pub struct ReadOnly<V>(V);

impl<V: Vfs> ReadOnly<V> {
    /// Puts it before a tree.
    pub fn new(inner: V) -> Self {
        ReadOnly(inner)
    }
}

fn refused<T>(what: impl std::fmt::Display) -> Result<T> {
    Err(Error::new(ErrorKind::ReadOnly, format!("`{what}` may be read, and not changed")))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<V: Vfs> Vfs for ReadOnly<V> {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        how.check()?;
        match how.changes() {
            true => refused(path),
            false => Ok(Arc::new(ReadOnlyFile(self.0.open(path, how).await?))),
        }
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        self.0.stat(path, follow).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        self.0.list(path, after, limit).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        refused(path)
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        refused(path)
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        refused(path)
    }

    async fn rename(&self, from: &VPath, _to: &VPath) -> Result<()> {
        refused(from)
    }

    async fn link(&self, _from: &VPath, _follow: Follow, to: &VPath) -> Result<()> {
        refused(to)
    }

    async fn symlink(&self, _target: &str, path: &VPath) -> Result<()> {
        refused(path)
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.0.readlink(path).await
    }

    async fn set_times(&self, path: &VPath, _follow: Follow, _times: SetTimes) -> Result<()> {
        refused(path)
    }
}

/// A file that may be read, whatever the tree below would let one do.
struct ReadOnlyFile(Arc<dyn File>);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl File for ReadOnlyFile {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        self.0.read_at(offset, bytes_max).await
    }

    async fn write_at(&self, _offset: u64, _bytes: Bytes) -> Result<()> {
        Err(Error::not_opened_for("writing"))
    }

    async fn append(&self, _bytes: Bytes) -> Result<u64> {
        Err(Error::not_opened_for("writing"))
    }

    async fn set_len(&self, _bytes: u64) -> Result<()> {
        Err(Error::not_opened_for("writing"))
    }

    async fn sync(&self, what: Flush) -> Result<()> {
        self.0.sync(what).await
    }

    async fn stat(&self) -> Result<Stat> {
        self.0.stat().await
    }

    async fn set_times(&self, _times: SetTimes) -> Result<()> {
        refused("the open file")
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}
