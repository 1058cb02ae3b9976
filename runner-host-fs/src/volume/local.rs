//! What a local directory keeps beside its files, in `.runner`: a lock, the record of a commit, and for each process a directory
//! of what its calls have not published yet.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::commit::{self, DRAFT, RECORD};
use super::ground::{Ground, KEPT, found_or_made, remove_all, reserved, stage_at};
use super::held::Keeper;
use crate::error::{Error, ErrorKind, Result};
use crate::ext::VfsExt;
use crate::local::{LocalFs, LocalLock};
use crate::path::VPath;
use crate::vfs::{Follow, Vfs};

/// The file in `.runner` that is locked by who commits.
const LOCK: &str = "lock";

/// The file in a process's directory that it holds a lock on for as long as it lives.
const ALIVE: &str = "alive";

/// What the clones of a local directory share.
#[derive(Default)]
pub(crate) struct LocalHost {
    keeper: Arc<Keeper>,
    /// Whether what dead processes have left was looked for.
    prepared: AtomicBool,
    /// This process's directory below `.runner`, from its first draft on.
    owner: Mutex<Option<Owner>>,
    stages: AtomicU64,
}

struct Owner {
    name: String,
    _alive: LocalLock,
}

impl LocalFs {
    /// The lock between processes; `None` where it is held and nobody waits.
    async fn commit_lock(&self, wait: bool) -> Result<Option<LocalLock>> {
        self.flock(&reserved()?.child(LOCK)?, wait).await
    }

    async fn make_reserved(&self) -> Result<()> {
        match self.create_dir(&reserved()?).await {
            Err(error) if error.kind() != ErrorKind::Exists => Err(error),
            _ => Ok(()),
        }
    }

    /// The name of this process's directory.
    async fn owner(&self) -> Result<String> {
        if let Some(owner) = &*self.host().owner.lock().await {
            return Ok(owner.name.clone());
        }
        self.make_reserved().await?;
        // Nobody looks for the dead meanwhile, who would find this one without its lock. It is taken first, as by who does.
        let _lock = self.commit_lock(true).await?;
        let mut owner = self.host().owner.lock().await;
        if let Some(owner) = &*owner {
            return Ok(owner.name.clone());
        }
        let name = format!("{:016x}", RandomState::new().build_hasher().finish());
        let path = reserved()?.child(&name)?;
        self.create_dir(&path).await?;
        let alive = self.flock(&path.child(ALIVE)?, true).await?;
        let alive = alive.ok_or_else(|| Error::new(ErrorKind::Io, format!("`{path}` is another process's")))?;
        *owner = Some(Owner { name: name.clone(), _alive: alive });
        Ok(name)
    }

    /// Removes the directories of processes that are gone. The lock is held.
    async fn sweep(&self) -> Result<()> {
        let (place, own) = (reserved()?, self.host().owner.lock().await);
        match self.remove_file(&place.child(DRAFT)?).await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for entry in self.list_all(&place).await? {
            let path = place.child(&entry.name)?;
            let ours = own.as_ref().is_some_and(|owner| owner.name == entry.name);
            if entry.kind != crate::Kind::Directory || ours || entry.name == KEPT {
                continue;
            }
            if let Some(_dead) = self.flock(&path.child(ALIVE)?, false).await? {
                remove_all(self, &path).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Ground for LocalFs {
    type Tree = LocalFs;
    type Lock = LocalLock;

    const DISKS: bool = true;

    fn keeper(&self) -> &Arc<Keeper> {
        &self.host().keeper
    }

    fn check(&self, _prefix: &VPath) -> Result<()> {
        Ok(())
    }

    async fn below(&self, prefix: &VPath, make: bool) -> Result<Option<LocalFs>> {
        found_or_made(self, prefix, make, LocalFs::below(self, prefix).await).await
    }

    async fn stage(&self) -> Result<(String, LocalFs)> {
        let number = self.host().stages.fetch_add(1, Ordering::SeqCst);
        let name = format!("{}/{number}", self.owner().await?);
        let path = stage_at(&name)?;
        self.create_dir(&path).await?;
        Ok((name, LocalFs::below(self, &path).await?))
    }

    async fn restage(&self, name: &str) -> Result<Option<LocalFs>> {
        match LocalFs::below(self, &stage_at(name)?).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    async fn unstage(&self, name: &str) -> Result<()> {
        remove_all(self, &stage_at(name)?).await
    }

    async fn shift(&self, from: &LocalFs, path: &VPath, to: &LocalFs, place: &VPath) -> Result<()> {
        from.shift(path, to, place).await
    }

    async fn bind(&self, from: &LocalFs, path: &VPath, to: &LocalFs, place: &VPath) -> Result<()> {
        from.bind(path, to, place).await
    }

    async fn like(&self, from: &LocalFs, path: &VPath, to: &LocalFs, place: &VPath) -> Result<()> {
        from.like(path, to, place).await
    }

    async fn lock(&self) -> Result<LocalLock> {
        self.make_reserved().await?;
        let lock = self.commit_lock(true).await?;
        let lock = lock.ok_or_else(|| Error::new(ErrorKind::Io, "the lock of the volume cannot be had"))?;
        // Another process may have died in the middle of its commit while this one waited.
        commit::recover(self, self.records_at().await?, lock).await
    }

    async fn records(&self) -> Result<Option<LocalFs>> {
        Ok(Some(self.records_at().await?))
    }

    async fn prepare(&self) -> Result<()> {
        let first = !self.host().prepared.load(Ordering::SeqCst);
        let looked_for = if first { reserved()? } else { reserved()?.child(RECORD)? };
        match self.stat(&looked_for, Follow::No).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.host().prepared.store(true, Ordering::SeqCst);
                return Ok(());
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        // Who holds the lock is alive, and finishes its commit itself.
        if let Some(lock) = self.commit_lock(false).await? {
            let _lock = commit::recover(self, self.records_at().await?, lock).await?;
            if first {
                self.sweep().await?;
                self.host().prepared.store(true, Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

impl LocalFs {
    async fn records_at(&self) -> Result<LocalFs> {
        LocalFs::below(self, &reserved()?).await
    }
}
