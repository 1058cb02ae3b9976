//! The tree that is kept in memory: the reference, in which each rule is written down once, plainly. One lock guards it all.

mod blocks;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use self::blocks::Blocks;
use self::tree::{Content, DEVICE, Tree};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{Entry, File, Flush, Follow, Kind, Open, Page, READ_BYTES_MAX, SetTimes, Stat, Vfs, check_target};
use crate::volume::Keeper;
use crate::walk::End;

const ROOT: u64 = 1;

/// A tree in memory, gone when it is dropped. Bounded; clones are the same tree.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> runner_host_fs::Result<()> {
/// use runner_host_fs::{ErrorKind, MemoryFs, MemoryLimits, VPath, VfsExt};
///
/// let files = MemoryFs::new(MemoryLimits { bytes: 1 << 20, ..MemoryLimits::default() });
/// let path = VPath::new("/greeting.txt")?;
/// files.write(&path, "hello".into()).await?;
/// assert_eq!(files.read(&path, 100).await?, "hello");
///
/// let refused = files.write(&path, vec![0; 2 << 20].into()).await;
/// assert_eq!(refused.unwrap_err().kind(), ErrorKind::NoSpace);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryFs {
    tree: Arc<Mutex<Tree>>,
    clock: Arc<dyn Clock>,
    root: Arc<Root>,
    keeper: Arc<Keeper>,
}

/// The directory that is a tree's root: it stays for as long as somebody has the tree, whatever becomes of its name.
struct Root {
    tree: Arc<Mutex<Tree>>,
    id: u64,
    /// Whether nobody but the tree has it, so that what is in it goes with it.
    detached: bool,
}

impl Root {
    fn new(tree: &Arc<Mutex<Tree>>, id: u64, detached: bool) -> Arc<Self> {
        Arc::new(Root { tree: tree.clone(), id, detached })
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = tree.nodes.get_mut(&self.id) {
            node.open -= 1;
            if self.detached {
                node.names = 0;
                tree.drop_all(self.id);
            } else {
                tree.drop_unused(self.id);
            }
        }
    }
}

/// What a [`MemoryFs`] may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes of files, holes not counted, and of names and targets. 64 MiB.
    pub bytes: u64,
    /// Files, directories and links, those included that are open and have no name any more. 10,000.
    pub nodes: u64,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        MemoryLimits { bytes: 64 << 20, nodes: 10_000 }
    }
}

impl Default for MemoryFs {
    fn default() -> Self {
        MemoryFs::new(MemoryLimits::default())
    }
}

impl MemoryFs {
    /// A tree with nothing in it but its root.
    pub fn new(limits: MemoryLimits) -> Self {
        Self::with_clock(limits, Arc::new(SystemClock))
    }

    /// The same on a clock, such as one that a test winds.
    pub fn with_clock(limits: MemoryLimits, clock: Arc<dyn Clock>) -> Self {
        let mut tree = Tree { nodes: HashMap::new(), next: ROOT, bytes: 0, limits };
        let id = tree.insert(Content::Directory(BTreeMap::new()), 1, clock.now_ns());
        let tree = Arc::new(Mutex::new(tree));
        let fs = MemoryFs { root: Root::new(&tree, id, false), tree, clock, keeper: Arc::default() };
        fs.hold(id);
        fs
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The directory at a prefix as a tree of its own, which cannot be left: no link of it leads out, and no link leads to it.
    ///
    /// It shares room and clock with this tree, and is a [`Volume`](crate::Volume) of its own.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound), [`NotDirectory`](ErrorKind::NotDirectory),
    /// [`NotPermitted`](ErrorKind::NotPermitted) where a link lies on the way.
    pub fn below(&self, prefix: &VPath) -> Result<Self> {
        let tree = self.lock();
        let mut id = self.root.id;
        for name in prefix.names() {
            let Content::Directory(entries) = &tree.node(id)?.content else {
                return Err(Error::not_directory(prefix));
            };
            id = *entries.get(name).ok_or_else(|| Error::not_found(prefix))?;
            match tree.node(id)?.kind() {
                Kind::Directory => {}
                Kind::Symlink => return Err(Error::prefix_link(prefix)),
                _ => return Err(Error::not_directory(prefix)),
            }
        }
        drop(tree);
        Ok(self.at(id, false))
    }

    /// A directory that no path leads to, and that goes with the last clone of what is answered.
    pub(crate) fn detached(&self) -> Result<Self> {
        let mut tree = self.lock();
        tree.may_hold_node()?;
        let id = tree.insert(Content::Directory(BTreeMap::new()), 1, self.clock.now_ns());
        drop(tree);
        Ok(self.at(id, true))
    }

    pub(crate) fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// Moves from one tree to another that shares its nodes.
    pub(crate) fn shift(&self, from: &VPath, target: &MemoryFs, to: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let source = tree.walk(self.root.id, from, Follow::No)?;
        let target = tree.walk(target.root.id, to, Follow::No)?;
        tree.rename(source, target, now)
    }

    /// Gives a file of one tree a name in another that shares its nodes.
    pub(crate) fn bind(&self, from: &VPath, target: &MemoryFs, to: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let id = tree.there(self.root.id, from, Follow::No)?;
        tree.link(id, target.root.id, to, now)
    }

    fn at(&self, id: u64, detached: bool) -> Self {
        self.hold(id);
        let (tree, clock) = (self.tree.clone(), self.clock.clone());
        MemoryFs { root: Root::new(&tree, id, detached), tree, clock, keeper: Arc::default() }
    }

    fn hold(&self, id: u64) {
        if let Some(node) = self.lock().nodes.get_mut(&id) {
            node.open += 1;
        }
    }

    /// Bytes that it holds, as [`MemoryLimits::bytes`] counts them.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Vfs for MemoryFs {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        how.check()?;
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let follow = if how.exclusive { Follow::No } else { how.follow };
        let End { path, parent, node } = tree.walk(self.root.id, path, follow)?;
        let id = match node {
            Some(_) if how.exclusive => return Err(Error::exists(path)),
            Some(id) => {
                match tree.node(id)?.content {
                    Content::Directory(_) => how.check_directory(&path)?,
                    _ if how.directory => return Err(Error::not_directory(path)),
                    Content::Link(_) => {
                        let message = format!("`{path}` is a link, and none is followed");
                        return Err(Error::new(ErrorKind::Loop, message));
                    }
                    Content::File(_) if how.truncate => tree.set_len(id, 0, now)?,
                    Content::File(_) => {}
                }
                id
            }
            None if how.create => tree.add(parent, &path, Content::File(Blocks::default()), now)?,
            None => return Err(Error::not_found(path)),
        };
        tree.node_mut(id)?.open += 1;
        drop(tree);
        Ok(Arc::new(MemoryFile { fs: self.clone(), id, how }))
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        let tree = self.lock();
        let id = tree.there(self.root.id, path, follow)?;
        Ok(tree.node(id)?.stat(id))
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        let tree = self.lock();
        let id = tree.there(self.root.id, path, Follow::Yes)?;
        let Content::Directory(entries) = &tree.node(id)?.content else {
            return Err(Error::not_directory(path));
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = entries.range::<str, _>((from, Bound::Unbounded)).filter_map(|(name, id)| {
            let kind = tree.nodes.get(id)?.kind();
            Some(Entry { name: name.to_string(), kind, device: Some(DEVICE), inode: *id })
        });
        Ok(Page::collect(entries, limit))
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let (path, parent) = tree.free(self.root.id, path)?;
        tree.add(parent, &path, Content::Directory(BTreeMap::new()), now).map(drop)
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let End { path, parent, node } = tree.walk(self.root.id, path, Follow::No)?;
        let id = node.ok_or_else(|| Error::not_found(&path))?;
        match tree.node(id)?.content {
            Content::Directory(_) => Err(Error::is_directory(path)),
            _ => tree.take(parent, &path, now),
        }
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let End { path, parent, node } = tree.walk(self.root.id, path, Follow::No)?;
        let id = node.ok_or_else(|| Error::not_found(&path))?;
        match &tree.node(id)?.content {
            _ if path.is_root() => Err(Error::busy_root()),
            Content::Directory(entries) if !entries.is_empty() => Err(Error::not_empty(path)),
            Content::Directory(_) => tree.take(parent, &path, now),
            _ => Err(Error::not_directory(path)),
        }
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let (source, target) = (tree.walk(self.root.id, from, Follow::No)?, tree.walk(self.root.id, to, Follow::No)?);
        // What is not there, or is the root, is told below.
        let there = source.node.is_some() && !source.path.is_root() && !target.path.is_root();
        if there && target.path != source.path && target.path.starts_with(&source.path) {
            return Err(Error::new(ErrorKind::Invalid, format!("`{from}` would be moved into itself: `{to}`")));
        }
        if there && target.path != source.path && source.path.starts_with(&target.path) {
            return Err(Error::not_empty(target.path));
        }
        tree.rename(source, target, now)
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let id = tree.there(self.root.id, from, follow)?;
        tree.link(id, self.root.id, to, now)
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        check_target(target)?;
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let (path, parent) = tree.free(self.root.id, path)?;
        tree.add(parent, &path, Content::Link(target.to_owned()), now).map(drop)
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        let tree = self.lock();
        match &tree.node(tree.there(self.root.id, path, Follow::No)?)?.content {
            Content::Link(target) => Ok(target.clone()),
            _ => Err(Error::new(ErrorKind::Invalid, format!("`{path}` is no symbolic link"))),
        }
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        let mut tree = self.lock();
        let id = tree.there(self.root.id, path, follow)?;
        tree.node_mut(id)?.set_times(times, self.clock.now_ns());
        Ok(())
    }
}

/// A file that is open. Its node stays until it is dropped.
struct MemoryFile {
    fs: MemoryFs,
    id: u64,
    how: Open,
}

impl MemoryFile {
    /// The tree, where it may be written into.
    fn writable(&self) -> Result<MutexGuard<'_, Tree>> {
        match self.how.write {
            true => Ok(self.fs.lock()),
            false => Err(Error::not_opened_for("writing")),
        }
    }
}

#[async_trait]
impl File for MemoryFile {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        let tree = self.fs.lock();
        match &tree.node(self.id)?.content {
            Content::Directory(_) => Err(Error::file_is_directory()),
            _ if !self.how.read => Err(Error::not_opened_for("reading")),
            Content::File(blocks) => Ok(blocks.read(offset, bytes_max.min(READ_BYTES_MAX))),
            Content::Link(_) => Err(Error::not_opened_for("reading")),
        }
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()> {
        let mut tree = self.writable()?;
        tree.write(self.id, offset, &bytes, self.fs.clock.now_ns())
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        let mut tree = self.writable()?;
        let end = tree.node(self.id)?.size();
        tree.write(self.id, end, &bytes, self.fs.clock.now_ns())?;
        Ok(end + bytes.len() as u64)
    }

    async fn set_len(&self, bytes: u64) -> Result<()> {
        self.writable()?.set_len(self.id, bytes, self.fs.clock.now_ns())
    }

    async fn sync(&self, _what: Flush) -> Result<()> {
        Ok(())
    }

    async fn stat(&self) -> Result<Stat> {
        Ok(self.fs.lock().node(self.id)?.stat(self.id))
    }

    async fn set_times(&self, times: SetTimes) -> Result<()> {
        self.fs.lock().node_mut(self.id)?.set_times(times, self.fs.clock.now_ns());
        Ok(())
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let mut tree = self.fs.lock();
        if let Some(node) = tree.nodes.get_mut(&self.id) {
            node.open -= 1;
            tree.drop_unused(self.id);
        }
    }
}
