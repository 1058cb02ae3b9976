//! What a volume is made of: a tree that can give a part of itself away, hold what is not published yet, and move the one
//! into the other. It knows no session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};

use super::commit;
use super::held::Keeper;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::ext::VfsExt;
use crate::memory::MemoryFs;
use crate::path::VPath;
use crate::vfs::{File, Follow, Open, Page, SetTimes, Stat, Vfs};
use std::num::NonZeroU32;

/// The name, in any spelling of capitals, that no view shows: what we keep beside the files lies there.
pub(crate) const RESERVED: &str = ".runner";

/// The directory in it for what a commit has taken out of its place and could put nowhere.
pub(super) const KEPT: &str = "kept";

/// A tree that volumes are made of.
#[async_trait]
pub(crate) trait Ground: Clone + Send + Sync + 'static {
    /// A part of the tree, which cannot be left.
    type Tree: Vfs + Clone;
    /// Kept by who commits.
    type Lock: Send + Sync + 'static;

    /// Whether parts of it may lie on other disks, as their devices tell.
    const DISKS: bool = false;

    fn keeper(&self) -> &Arc<Keeper>;

    /// Nanoseconds since 1970, on the clock that its files have their times of.
    fn now_ns(&self) -> u64 {
        SystemClock.now_ns()
    }

    /// Whether a prefix can be had.
    fn check(&self, prefix: &VPath) -> Result<()>;

    /// The directory at a prefix; `None` where it is not there and is not to be made.
    async fn below(&self, prefix: &VPath, make: bool) -> Result<Option<Self::Tree>>;

    /// An empty directory that no view shows, on the same disk as the files, and its name.
    async fn stage(&self) -> Result<(String, Self::Tree)>;

    /// The same one again, after a crash.
    async fn restage(&self, name: &str) -> Result<Option<Self::Tree>>;

    /// The directory with all that is in it is needed no more.
    async fn unstage(&self, name: &str) -> Result<()>;

    /// Moves from one part to another.
    async fn shift(&self, from: &Self::Tree, path: &VPath, to: &Self::Tree, place: &VPath) -> Result<()>;

    /// Gives a file of one part a name in another.
    async fn bind(&self, from: &Self::Tree, path: &VPath, to: &Self::Tree, place: &VPath) -> Result<()>;

    /// Gives a file the permissions of the one that it will replace, where the ground has any.
    async fn like(&self, _from: &Self::Tree, _path: &VPath, _to: &Self::Tree, _place: &VPath) -> Result<()> {
        Ok(())
    }

    /// Moves what was in the tree before, and has no place in it any more, from a stage to where no view shows it and nobody
    /// removes it: where that is. Who calls holds the lock.
    async fn keep(&self, stage: &Self::Tree, name: &VPath) -> Result<VPath> {
        let all = self.below(&VPath::root(), false).await?.ok_or_else(|| Error::not_found(name))?;
        let kept = reserved()?.child(KEPT)?;
        all.create_dir_all(&kept).await?;
        let mut number = 0_u64;
        loop {
            let place = kept.child(&number.to_string())?;
            match all.stat(&place, Follow::No).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.shift(stage, name, &all, &place).await?;
                    return Ok(place);
                }
                found => found?,
            };
            number += 1;
        }
    }

    /// Waits until nobody else commits, in this process or another.
    async fn lock(&self) -> Result<Self::Lock>;

    /// Where the record of a commit is kept; `None` where nothing outlives the process.
    async fn records(&self) -> Result<Option<Self::Tree>>;

    /// Before a session first looks at the files: finishes what a dead process has left.
    async fn prepare(&self) -> Result<()>;
}

#[async_trait]
impl Ground for MemoryFs {
    type Tree = MemoryFs;
    type Lock = ();

    fn keeper(&self) -> &Arc<Keeper> {
        self.keeper()
    }

    fn now_ns(&self) -> u64 {
        self.clock().now_ns()
    }

    fn check(&self, _prefix: &VPath) -> Result<()> {
        Ok(())
    }

    async fn below(&self, prefix: &VPath, make: bool) -> Result<Option<MemoryFs>> {
        if prefix.is_root() {
            return Ok(Some(self.clone()));
        }
        found_or_made(self, prefix, make, MemoryFs::below(self, prefix)).await
    }

    async fn stage(&self) -> Result<(String, MemoryFs)> {
        Ok((String::new(), self.detached()?))
    }

    async fn restage(&self, _name: &str) -> Result<Option<MemoryFs>> {
        Ok(None)
    }

    async fn unstage(&self, _name: &str) -> Result<()> {
        // It goes with the last who has it.
        Ok(())
    }

    async fn shift(&self, from: &MemoryFs, path: &VPath, to: &MemoryFs, place: &VPath) -> Result<()> {
        from.shift(path, to, place)
    }

    async fn bind(&self, from: &MemoryFs, path: &VPath, to: &MemoryFs, place: &VPath) -> Result<()> {
        from.bind(path, to, place)
    }

    async fn lock(&self) -> Result<()> {
        Ok(())
    }

    async fn records(&self) -> Result<Option<MemoryFs>> {
        Ok(None)
    }

    async fn prepare(&self) -> Result<()> {
        Ok(())
    }
}

/// Makes a prefix, name by name, each in a tree that no link can lead out of.
async fn make_prefix<G: Ground>(ground: &G, prefix: &VPath) -> Result<G::Tree> {
    let mut at = VPath::root();
    let mut tree = ground.below(&at, false).await?;
    for name in prefix.names() {
        let above = tree.ok_or_else(|| Error::not_found(&at))?;
        match above.create_dir(&VPath::root().child(name)?).await {
            Err(error) if error.kind() != ErrorKind::Exists => return Err(error),
            _ => at = at.child(name)?,
        }
        tree = ground.below(&at, false).await?;
    }
    tree.ok_or_else(|| Error::not_found(prefix))
}

/// What was found at a prefix; where nothing was, it is made, or is nothing.
pub(super) async fn found_or_made<G: Ground>(
    ground: &G,
    prefix: &VPath,
    make: bool,
    found: Result<G::Tree>,
) -> Result<Option<G::Tree>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound && make => make_prefix(ground, prefix).await.map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Any tree as a volume: a backend of somebody else's.
///
/// Only all of it can be granted: what would hold a guest within a part of it, against links that change meanwhile, only the
/// backend can build. What is written goes to the directory `.runner` of the tree until it is published, and is moved from
/// there. A commit that the process did not survive is finished when the tree is next opened as a volume, by one process at
/// a time: there is no lock between them.
#[derive(Clone)]
pub struct VfsVolume(Arc<Stranger>);

struct Stranger {
    vfs: Arc<dyn Vfs>,
    keeper: Arc<Keeper>,
    prepared: OnceCell<()>,
    /// Held by who commits, or finishes a commit that was cut off.
    committing: Arc<Mutex<()>>,
    stages: AtomicU64,
}

impl VfsVolume {
    /// A tree as a volume.
    pub fn new(vfs: impl Vfs) -> Self {
        VfsVolume(Arc::new(Stranger {
            vfs: Arc::new(vfs),
            keeper: Arc::default(),
            prepared: OnceCell::new(),
            committing: Arc::default(),
            stages: AtomicU64::new(0),
        }))
    }

    fn at(&self, prefix: VPath) -> At {
        At { vfs: self.0.vfs.clone(), prefix }
    }
}

/// The directory where we keep what is ours.
pub(super) fn reserved() -> Result<VPath> {
    VPath::new(RESERVED)
}

pub(super) fn stage_at(name: &str) -> Result<VPath> {
    reserved()?.join(name)
}

/// Removes a tree, where it is there.
pub(super) async fn remove_all(vfs: &(impl Vfs + ?Sized), path: &VPath) -> Result<()> {
    match vfs.remove_dir_all(path).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[async_trait]
impl Ground for VfsVolume {
    type Tree = At;
    type Lock = OwnedMutexGuard<()>;

    fn keeper(&self) -> &Arc<Keeper> {
        &self.0.keeper
    }

    fn check(&self, prefix: &VPath) -> Result<()> {
        match prefix.is_root() {
            true => Ok(()),
            false => {
                let message = format!(
                    "prefix `{prefix}`: of this volume only all can be granted, since it cannot keep a part closed"
                );
                Err(Error::new(ErrorKind::Unsupported, message))
            }
        }
    }

    async fn below(&self, prefix: &VPath, _make: bool) -> Result<Option<At>> {
        self.check(prefix)?;
        Ok(Some(self.at(VPath::root())))
    }

    async fn stage(&self) -> Result<(String, At)> {
        let name = format!("stage-{}", self.0.stages.fetch_add(1, Ordering::SeqCst));
        let path = stage_at(&name)?;
        self.0.vfs.create_dir_all(&path).await?;
        Ok((name, self.at(path)))
    }

    async fn restage(&self, name: &str) -> Result<Option<At>> {
        let path = stage_at(name)?;
        Ok(self.0.vfs.exists(&path).await?.then(|| self.at(path)))
    }

    async fn unstage(&self, name: &str) -> Result<()> {
        remove_all(&self.0.vfs, &stage_at(name)?).await
    }

    async fn shift(&self, from: &At, path: &VPath, to: &At, place: &VPath) -> Result<()> {
        self.0.vfs.rename(&path.below(&from.prefix)?, &place.below(&to.prefix)?).await
    }

    async fn bind(&self, from: &At, path: &VPath, to: &At, place: &VPath) -> Result<()> {
        self.0.vfs.link(&path.below(&from.prefix)?, Follow::No, &place.below(&to.prefix)?).await
    }

    async fn lock(&self) -> Result<OwnedMutexGuard<()>> {
        // A commit of this process may have failed half way.
        commit::recover(self, self.at(reserved()?), self.0.committing.clone().lock_owned().await).await
    }

    async fn records(&self) -> Result<Option<At>> {
        self.0.vfs.create_dir_all(&reserved()?).await?;
        Ok(Some(self.at(reserved()?)))
    }

    async fn prepare(&self) -> Result<()> {
        let place = reserved()?;
        if self.0.prepared.initialized() {
            // Who holds the lock finishes its commit itself; one that was cut off holds none.
            if self.0.vfs.exists(&place.child(commit::RECORD)?).await?
                && let Ok(lock) = self.0.committing.clone().try_lock_owned()
            {
                commit::recover(self, self.at(place), lock).await?;
            }
            return Ok(());
        }
        let prepared = self.0.prepared.get_or_try_init(async || {
            if !self.0.vfs.exists(&place).await? {
                return Ok(());
            }
            let _lock = self.lock().await?;
            // Of a process that is gone: nobody has begun a stage yet.
            for entry in self.0.vfs.list_all(&place).await? {
                if entry.name == commit::DRAFT {
                    self.0.vfs.remove_file(&place.child(&entry.name)?).await?;
                }
                if entry.name.starts_with("stage-") {
                    remove_all(&self.0.vfs, &place.child(&entry.name)?).await?;
                }
            }
            Ok(())
        });
        prepared.await.copied()
    }
}

/// A part of a tree by its path. It keeps nobody in who may make links: it is for what only we write into.
#[derive(Clone)]
pub(crate) struct At {
    vfs: Arc<dyn Vfs>,
    prefix: VPath,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Vfs for At {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        self.vfs.open(&path.below(&self.prefix)?, how).await
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        self.vfs.stat(&path.below(&self.prefix)?, follow).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        self.vfs.list(&path.below(&self.prefix)?, after, limit).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        self.vfs.create_dir(&path.below(&self.prefix)?).await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        self.vfs.remove_file(&path.below(&self.prefix)?).await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        self.vfs.remove_dir(&path.below(&self.prefix)?).await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        self.vfs.rename(&from.below(&self.prefix)?, &to.below(&self.prefix)?).await
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        self.vfs.link(&from.below(&self.prefix)?, follow, &to.below(&self.prefix)?).await
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        self.vfs.symlink(target, &path.below(&self.prefix)?).await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.vfs.readlink(&path.below(&self.prefix)?).await
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        self.vfs.set_times(&path.below(&self.prefix)?, follow, times).await
    }
}
