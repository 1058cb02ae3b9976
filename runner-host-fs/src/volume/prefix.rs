//! A volume's directory at a prefix, opened when it is first used, and made when it is first written to.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OnceCell;

use super::door::is_reserved_name;
use super::ground::Ground;
use crate::error::{Error, Result};
use crate::path::VPath;
use crate::vfs::{File, Flush, Follow, Kind, Open, Page, SetTimes, Stat, Vfs};

/// A part of a volume. While its directory is not there, it is an empty one.
pub(super) struct Prefix<G: Ground> {
    ground: G,
    prefix: VPath,
    tree: OnceCell<G::Tree>,
}

impl<G: Ground> Prefix<G> {
    pub(super) fn new(ground: G, prefix: VPath) -> Self {
        Prefix { ground, prefix, tree: OnceCell::new() }
    }

    pub(super) fn ground(&self) -> &G {
        &self.ground
    }

    pub(super) fn prefix(&self) -> &VPath {
        &self.prefix
    }

    /// The tree, where its directory is there.
    pub(super) async fn find(&self) -> Result<Option<&G::Tree>> {
        if let Some(tree) = self.tree.get() {
            return Ok(Some(tree));
        }
        match self.ground.below(&self.prefix, false).await? {
            None => Ok(None),
            Some(tree) => Ok(Some(self.tree.get_or_init(|| std::future::ready(tree)).await)),
        }
    }

    /// The tree, whose directory is made where it is not there.
    pub(super) async fn make(&self) -> Result<&G::Tree> {
        let made = self.tree.get_or_try_init(async || {
            let tree = self.ground.below(&self.prefix, true).await?;
            tree.ok_or_else(|| Error::not_found(&self.prefix))
        });
        made.await
    }

    /// [`Vfs::stat`], without the box.
    pub(super) async fn look(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        match self.find().await? {
            Some(tree) => tree.stat(path, follow).await,
            None if path.is_root() => Ok(ABSENT),
            None => Err(Error::not_found(path)),
        }
    }

    /// The tree, for who asks about a path.
    async fn looking(&self, path: &VPath) -> Result<&G::Tree> {
        self.find().await?.ok_or_else(|| Error::not_found(path))
    }
}

/// The entries of a directory, without the reserved name.
async fn list<T: Vfs>(tree: &T, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
    let mut after = after.map(str::to_owned);
    loop {
        let mut page = tree.list(path, after.as_deref(), limit).await?;
        let last = page.entries.last().map(|entry| entry.name.clone());
        page.entries.retain(|entry| !is_reserved_name(&entry.name));
        if !page.entries.is_empty() || !page.more {
            return Ok(page);
        }
        after = last;
    }
}

/// What is known of a directory that is not there yet.
const ABSENT: Stat = Stat {
    kind: Kind::Directory,
    size: 0,
    links: 1,
    device: 0,
    inode: 0,
    accessed_ns: 0,
    modified_ns: 0,
    changed_ns: 0,
};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<G: Ground> Vfs for Prefix<G> {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        if how.create && !path.is_root() {
            how.check()?;
            return self.make().await?.open(path, how).await;
        }
        match self.find().await? {
            Some(tree) => tree.open(path, how).await,
            None if path.is_root() => {
                how.check()?;
                how.check_directory(path)?;
                Ok(Arc::new(Absent))
            }
            None => Err(Error::not_found(path)),
        }
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        self.look(path, follow).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        match self.find().await? {
            Some(tree) => list(tree, path, after, limit).await,
            None if path.is_root() => Ok(Page::default()),
            None => Err(Error::not_found(path)),
        }
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        match path.is_root() {
            true => Err(Error::exists(path)),
            false => self.make().await?.create_dir(path).await,
        }
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        match path.is_root() {
            true => Err(Error::is_directory(path)),
            false => self.looking(path).await?.remove_file(path).await,
        }
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        match path.is_root() {
            true => Err(Error::busy_root()),
            false => self.looking(path).await?.remove_dir(path).await,
        }
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        self.looking(from).await?.rename(from, to).await
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        self.looking(from).await?.link(from, follow, to).await
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        match path.is_root() {
            true => Err(Error::exists(path)),
            false => self.make().await?.symlink(target, path).await,
        }
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.looking(path).await?.readlink(path).await
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        match path.is_root() {
            true => self.make().await?.set_times(path, follow, times).await,
            false => self.looking(path).await?.set_times(path, follow, times).await,
        }
    }
}

/// The open root of a directory that is not there yet.
struct Absent;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl File for Absent {
    async fn read_at(&self, _offset: u64, _bytes_max: usize) -> Result<Bytes> {
        Err(Error::file_is_directory())
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

    async fn sync(&self, _what: Flush) -> Result<()> {
        Ok(())
    }

    async fn stat(&self) -> Result<Stat> {
        Ok(ABSENT)
    }

    async fn set_times(&self, _times: SetTimes) -> Result<()> {
        Err(Error::new(crate::ErrorKind::NotFound, "the directory of the mount is not there yet: write into it first"))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
