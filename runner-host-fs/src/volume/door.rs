//! The outermost part of every session's tree: nothing passes that has the reserved name, and nothing before what a dead process
//! has left is in order. Listings are without the name from further below, where they are also counted.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::ground::{Ground, RESERVED};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{File, Follow, Open, Page, SetTimes, Stat, Vfs};

/// Another tree, without the reserved name.
pub(super) struct Door<G, V> {
    ground: G,
    vfs: V,
    ready: OnceCell<()>,
}

impl<G: Ground, V: Vfs> Door<G, V> {
    pub(super) fn new(ground: G, vfs: V) -> Self {
        Door { ground, vfs, ready: OnceCell::new() }
    }

    /// The tree, for who asks about a path.
    async fn looking(&self, path: &VPath) -> Result<&V> {
        match is_reserved(path) {
            true => Err(Error::not_found(path)),
            false => self.ready().await,
        }
    }

    /// The tree, for who would make something at a path.
    async fn making(&self, path: &VPath) -> Result<&V> {
        match is_reserved(path) {
            true => Err(reserved(path)),
            false => self.ready().await,
        }
    }

    async fn ready(&self) -> Result<&V> {
        self.ready.get_or_try_init(|| self.ground.prepare()).await?;
        Ok(&self.vfs)
    }
}

fn reserved(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::NotPermitted, format!("`{what}`: the name `{RESERVED}` is kept for the volume itself"))
}

/// Anywhere, not only where we keep something: then no link can lead there either.
pub(super) fn is_reserved(path: &VPath) -> bool {
    path.names().any(is_reserved_name)
}

/// A disk may not tell capitals.
pub(super) fn is_reserved_name(name: &str) -> bool {
    name.eq_ignore_ascii_case(RESERVED)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<G: Ground, V: Vfs> Vfs for Door<G, V> {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        let vfs = if how.create { self.making(path).await? } else { self.looking(path).await? };
        vfs.open(path, how).await
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        self.looking(path).await?.stat(path, follow).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        self.looking(path).await?.list(path, after, limit).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        self.making(path).await?.create_dir(path).await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        self.looking(path).await?.remove_file(path).await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        self.looking(path).await?.remove_dir(path).await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        self.looking(from).await?;
        self.making(to).await?.rename(from, to).await
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        self.looking(from).await?;
        self.making(to).await?.link(from, follow, to).await
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        match target.split('/').any(is_reserved_name) {
            true => Err(reserved(target)),
            false => self.making(path).await?.symlink(target, path).await,
        }
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.looking(path).await?.readlink(path).await
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        self.looking(path).await?.set_times(path, follow, times).await
    }
}
