//! What one call has written and not yet published: a tree over the volume's, with full POSIX inside, that nobody else sees.
//!
//! Names are kept in memory, bytes in files of a stage on the volume's own disk: they are moved into place when the draft is
//! published. A file below is copied when it is first written to. A directory that is renamed is not copied: it keeps the path that
//! it has below.

mod body;
mod names;
mod tree;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OnceCell, RwLock, oneshot};

pub(super) use self::body::{Body, Link};
pub(super) use self::names::{Child, Dir, Names, ROOT};
use super::ground::Ground;
use super::held::Outcome;
use super::prefix::Prefix;
use super::quotas::Ledger;
use super::{Changes, commit};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{Follow, Kind, Open, Stat, Vfs};

/// Names that one draft may change: some 40 MiB of memory, beside their text. A guest that writes more files than this in one call is
/// better off with [`Mode::OnSync`](super::Mode::OnSync).
const NAMES_MAX: usize = 100_000;

/// Bytes of text that one draft may keep in memory of what it changes: of each name, of the path that each has below and those of the
/// directories above it, of the targets of links. 160 for each of so many names.
const NAMES_BYTES_MAX: usize = 16 << 20;

/// Bytes of all paths that one commit may change, from the root to each name. They are in memory some four times while it is planned
/// and its record is written.
pub(super) const PATHS_BYTES_MAX: usize = 16 << 20;

/// Files that are remembered as they were when they were first opened, beside those that are changed, and the bytes of their paths; as
/// much again for directories. Of those beyond it, a change by somebody else is noticed from the first write on, and not from the
/// first read.
const SEEN_MAX: usize = 100_000;
const SEEN_BYTES_MAX: usize = 8 << 20;

/// A call's draft. Clones are the same.
pub(super) struct Draft<G: Ground>(Arc<Inner<G>>);

impl<G: Ground> Clone for Draft<G> {
    fn clone(&self) -> Self {
        Draft(self.0.clone())
    }
}

pub(super) struct Inner<G: Ground> {
    pub(super) lower: Prefix<G>,
    stage: OnceCell<Stage<G>>,
    pub(super) ledger: Ledger,
    file_bytes: u64,
    names: RwLock<Names>,
    seen: Mutex<Seen>,
    /// The last number given to a file, link or directory of the draft's own.
    numbers: AtomicU64,
    /// Whether files of the stage may have several names.
    links: OnceCell<()>,
    /// Whether the guest waited for its bytes to reach the disk.
    pub(super) synced: AtomicBool,
}

/// A directory of the draft's own, for bytes.
pub(super) struct Stage<G: Ground> {
    pub(super) name: String,
    pub(super) tree: G::Tree,
    ground: G,
    /// Whether a commit still needs it when the draft is gone.
    kept: AtomicBool,
    gone: AtomicBool,
}

impl<G: Ground> Stage<G> {
    /// Whether there may be a record, so that a commit that is cut off will be finished with it.
    pub(super) fn keep(&self, kept: bool) {
        self.kept.store(kept, Ordering::SeqCst);
    }

    async fn remove(&self) -> Result<()> {
        self.gone.store(true, Ordering::SeqCst);
        self.ground.unstage(&self.name).await
    }
}

impl<G: Ground> Drop for Stage<G> {
    fn drop(&mut self) {
        if self.gone.load(Ordering::SeqCst) || self.kept.load(Ordering::SeqCst) {
            return;
        }
        // Where there is no runtime any more, the next process that opens the volume does it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (ground, name) = (self.ground.clone(), self.name.clone());
            runtime.spawn(async move { ground.unstage(&name).await });
        }
    }
}

/// What the draft has seen of the tree below.
#[derive(Default)]
struct Seen {
    /// What was at a path when it was first looked at.
    beliefs: BTreeMap<VPath, Belief>,
    /// Bytes of the paths of what was changed, and of what was only read.
    changed_bytes: usize,
    read_bytes: usize,
    /// The files below that are open, or changed, by device and inode.
    bodies: HashMap<(u64, u64), Weak<Body>>,
    /// How many of them there are before those are forgotten that nobody has any more.
    bodies_max: usize,
    /// Paths that were directories, and no links, when last looked at.
    directories: HashSet<VPath>,
    directories_bytes: usize,
}

impl Seen {
    fn known_body(&self, path: &VPath, stat: &Stat) -> Option<Arc<Body>> {
        let body = self.bodies.get(&(stat.device, stat.inode))?.upgrade()?;
        // Elsewhere it is the same file only where that has several names: a number may be given again.
        (body.home.as_ref() == Some(path) || stat.links > 1).then_some(body)
    }
}

/// What was at a path of the tree below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    Absent,
    There(Print),
}

/// By what a change is noticed: a directory by its inode alone, a link by its inode, a file by all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print {
    pub(super) kind: Kind,
    pub(super) inode: u64,
    size: u64,
    modified_ns: u64,
}

impl Print {
    pub(super) fn of(stat: &Stat) -> Self {
        let file = stat.kind == Kind::File;
        let (size, modified_ns) = if file { (stat.size, stat.modified_ns) } else { (0, 0) };
        Print { kind: stat.kind, inode: stat.inode, size, modified_ns }
    }
}

impl<G: Ground> Draft<G> {
    pub(super) fn new(lower: Prefix<G>, ledger: Ledger, file_bytes: Option<u64>) -> Self {
        Draft(Arc::new(Inner {
            lower,
            stage: OnceCell::new(),
            ledger,
            file_bytes: file_bytes.unwrap_or(u64::MAX),
            names: RwLock::new(Names::new()),
            seen: Mutex::default(),
            numbers: AtomicU64::new(0),
            links: OnceCell::new(),
            synced: AtomicBool::new(false),
        }))
    }

    /// Publishes it, and says what that was. Who does not wait for that has given it up, if nothing was done yet.
    pub(super) async fn commit(&self) -> Result<Outcome> {
        let inner = self.0.clone();
        let (_waiting, given_up) = oneshot::channel();
        commit::to_its_end(async move { inner.commit(given_up).await }).await
    }

    pub(super) async fn discard(&self) -> Result<()> {
        self.0.ledger.release();
        match self.0.stage.get() {
            Some(stage) => stage.remove().await,
            None => Ok(()),
        }
    }
}

impl<G: Ground> Inner<G> {
    async fn commit(&self, given_up: oneshot::Receiver<()>) -> Result<Outcome> {
        // Kept to the end: nobody writes any more.
        let names = self.names.write().await;
        let beliefs = std::mem::take(&mut self.seen().beliefs);
        let outcome = commit::publish(self, &names, &beliefs, given_up).await;
        self.ledger.release();
        if let Some(stage) = self.stage.get()
            && !stage.kept.load(Ordering::SeqCst)
        {
            stage.remove().await?;
        }
        outcome
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn stage(&self) -> Result<&Stage<G>> {
        let made = self.stage.get_or_try_init(async || {
            let ground = self.lower.ground().clone();
            let (name, tree) = ground.stage().await?;
            Ok(Stage { name, tree, ground, kept: AtomicBool::new(false), gone: AtomicBool::new(false) })
        });
        made.await
    }

    /// A number that nothing of the draft has yet, from 1 on.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn now_ns(&self) -> u64 {
        self.lower.ground().now_ns()
    }

    /// What the tree below has at a path, which leads over no link.
    async fn below(&self, path: &VPath) -> Result<Option<Stat>> {
        let found = match self.lower.look(path, Follow::No).await {
            Ok(stat) => Some(stat),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotDirectory) => None,
            Err(error) => return Err(error),
        };
        let mut seen = self.seen();
        match &found {
            Some(stat) if stat.kind == Kind::Directory => {
                if seen.directories.len() >= SEEN_MAX || seen.directories_bytes >= SEEN_BYTES_MAX {
                    seen.directories.clear();
                    seen.directories_bytes = 0;
                }
                if seen.directories.insert(path.clone()) {
                    seen.directories_bytes += bytes_of(path);
                }
            }
            _ => {
                if seen.directories.remove(path) {
                    seen.directories_bytes -= bytes_of(path);
                }
            }
        }
        Ok(found)
    }

    fn is_directory_below(&self, path: &VPath) -> bool {
        self.seen().directories.contains(path)
    }

    /// Remembers what was at a path when it was first looked at; what is changed has to be remembered.
    fn believe(&self, path: &VPath, stat: Option<&Stat>, changed: bool) {
        let mut seen = self.seen();
        let full = seen.beliefs.len() >= SEEN_MAX || seen.read_bytes >= SEEN_BYTES_MAX;
        if seen.beliefs.contains_key(path) || (full && !changed) {
            return;
        }
        let bytes = if changed { &mut seen.changed_bytes } else { &mut seen.read_bytes };
        *bytes += bytes_of(path);
        let belief = stat.map_or(Belief::Absent, |stat| Belief::There(Print::of(stat)));
        seen.beliefs.insert(path.clone(), belief);
    }

    /// What the draft had made at a path is gone again: nothing needs to be remembered of it.
    fn forget(&self, path: &VPath) {
        let mut seen = self.seen();
        // Only what was changed is known to be absent.
        if seen.beliefs.get(path) == Some(&Belief::Absent) {
            seen.beliefs.remove(path);
            seen.changed_bytes = seen.changed_bytes.saturating_sub(bytes_of(path));
        }
    }

    /// Whether so many entries more may be kept, as deep as a path goes, with a text beside.
    fn room(&self, names: &Names, paths: &[&VPath], text: usize) -> Result<()> {
        let count: usize = paths.iter().map(|path| path.names().count()).sum();
        if names.count + count > NAMES_MAX {
            let message = format!("the draft has changed {NAMES_MAX} names, no more are allowed");
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        // Each directory on the way may be remembered, and what is at the end.
        let more: usize = paths.iter().map(|path| bytes_on_way(path) + bytes_of(path)).sum();
        let found = names.bytes + self.seen().changed_bytes + more + text;
        if found > NAMES_BYTES_MAX {
            let message =
                format!("the names that the draft has changed would have {found} bytes, {NAMES_BYTES_MAX} are allowed");
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        Ok(())
    }

    fn believed(&self, path: &VPath) -> Option<Belief> {
        self.seen().beliefs.get(path).copied()
    }

    /// The file below that is at a path, where it is open or changed.
    fn known_body(&self, path: &VPath, stat: &Stat) -> Option<Arc<Body>> {
        self.seen().known_body(path, stat)
    }

    /// The file below that is at a path.
    fn body(&self, path: &VPath, stat: &Stat) -> Arc<Body> {
        let mut seen = self.seen();
        if let Some(body) = seen.known_body(path, stat) {
            return body;
        }
        if seen.bodies.len() >= seen.bodies_max {
            seen.bodies.retain(|_, body| body.strong_count() > 0);
            seen.bodies_max = 2 * seen.bodies.len() + 1_000;
        }
        let body = Arc::new(Body::below(self.number(), path.clone(), stat));
        seen.bodies.insert((stat.device, stat.inode), Arc::downgrade(&body));
        body
    }

    /// Whether a file of the draft may have a second name, which has to be one when it is published.
    async fn check_links(&self) -> Result<()> {
        let checked = self.links.get_or_try_init(async || {
            let tree = &self.stage().await?.tree;
            let (one, two) = (VPath::root().child("link-1")?, VPath::root().child("link-2")?);
            tree.open(&one, Open::creating()).await?.close().await?;
            let linked = tree.link(&one, Follow::No, &two).await;
            tree.remove_file(&one).await?;
            linked?;
            tree.remove_file(&two).await
        });
        checked.await.copied()
    }
}

/// How a file, link or directory of the tree below is shown: devices of its own have odd numbers.
fn shown(stat: &Stat) -> (u64, u64) {
    (shown_device(stat.device), stat.inode)
}

fn shown_device(device: u64) -> u64 {
    device.wrapping_mul(2)
}

fn bytes_of(path: &VPath) -> usize {
    path.as_relative().len()
}

/// Bytes of a path and of those of all directories above it.
fn bytes_on_way(path: &VPath) -> usize {
    let text = path.as_relative();
    text.match_indices('/').map(|(end, _)| end).sum::<usize>() + text.len()
}

/// Paths that changed, of which so many are named.
pub(super) fn named(paths: [Vec<VPath>; 3]) -> Changes {
    let mut left = Changes::NAMES_MAX;
    let mut unnamed = 0;
    let [added, changed, removed] = paths.map(|mut paths| {
        paths.sort_unstable();
        paths.dedup();
        let kept = paths.len().min(left);
        unnamed += (paths.len() - kept) as u64;
        left -= kept;
        paths.truncate(kept);
        paths
    });
    Changes { added, changed, removed, unnamed }
}
