//! A tree of which each operation takes a moment, and may be refused by a rule.

use std::num::NonZeroU32;
use std::sync::Arc;

use runner_host_fs::{File, Follow, Open, Page, Result, SetTimes, Stat, VPath, Vfs, async_trait};

/// Asked before each operation: its name, its path, and where that leads to.
pub(super) type Rule = Box<dyn Fn(&'static str, &VPath, Option<&VPath>) -> Result<()> + Send + Sync>;

pub(super) struct Faulty<V> {
    vfs: V,
    rule: Rule,
}

impl<V: Vfs> Faulty<V> {
    pub(super) fn new(
        vfs: V,
        rule: impl Fn(&'static str, &VPath, Option<&VPath>) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Faulty { vfs, rule: Box::new(rule) }
    }

    async fn ask(&self, what: &'static str, path: &VPath, to: Option<&VPath>) -> Result<&V> {
        (self.rule)(what, path, to)?;
        tokio::task::yield_now().await;
        Ok(&self.vfs)
    }
}

#[async_trait]
impl<V: Vfs> Vfs for Faulty<V> {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        self.ask("open", path, None).await?.open(path, how).await
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        self.ask("stat", path, None).await?.stat(path, follow).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        self.ask("list", path, None).await?.list(path, after, limit).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        self.ask("create_dir", path, None).await?.create_dir(path).await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        self.ask("remove_file", path, None).await?.remove_file(path).await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        self.ask("remove_dir", path, None).await?.remove_dir(path).await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        self.ask("rename", from, Some(to)).await?.rename(from, to).await
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        self.ask("link", from, Some(to)).await?.link(from, follow, to).await
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        self.ask("symlink", path, None).await?.symlink(target, path).await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.ask("readlink", path, None).await?.readlink(path).await
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        self.ask("set_times", path, None).await?.set_times(path, follow, times).await
    }
}
