//! The tree that is kept in memory: the reference, in which each rule is written down once, plainly. One lock guards it all.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{
    Entry, FILE_BYTES_MAX, File, Flush, Follow, Kind, Open, Page, READ_BYTES_MAX, SetTimes, Stat, Vfs, check_target,
    end_of,
};
use crate::walk::{End, Found, Walk};

/// Bytes that are kept together: what was never written takes no room, and a byte in the middle of nothing this much.
const BLOCK_BYTES: usize = 16 << 10;

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
        tree.insert(Content::Directory { entries: BTreeMap::new(), parent: ROOT }, 1, clock.now_ns());
        MemoryFs { tree: Arc::new(Mutex::new(tree)), clock }
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
        let End { path, parent, node } = tree.walk(path, follow)?;
        let id = match node {
            Some(_) if how.exclusive => return Err(Error::exists(path)),
            Some(id) => {
                match tree.node(id)?.content {
                    Content::Directory { .. } => how.check_directory(&path)?,
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
        let id = tree.there(path, follow)?;
        Ok(tree.node(id)?.stat(id))
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        let tree = self.lock();
        let id = tree.there(path, Follow::Yes)?;
        let Content::Directory { entries, .. } = &tree.node(id)?.content else {
            return Err(Error::not_directory(path));
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = entries.range::<str, _>((from, Bound::Unbounded)).filter_map(|(name, id)| {
            let kind = tree.nodes.get(id)?.kind();
            Some(Entry { name: name.to_string(), kind, inode: *id })
        });
        Ok(Page::collect(entries, limit))
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let (path, parent) = tree.free(path)?;
        tree.add(parent, &path, Content::Directory { entries: BTreeMap::new(), parent }, now).map(drop)
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let End { path, parent, node } = tree.walk(path, Follow::No)?;
        let id = node.ok_or_else(|| Error::not_found(&path))?;
        match tree.node(id)?.content {
            Content::Directory { .. } => Err(Error::is_directory(path)),
            _ => tree.take(parent, &path, now),
        }
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let End { path, parent, node } = tree.walk(path, Follow::No)?;
        let id = node.ok_or_else(|| Error::not_found(&path))?;
        match &tree.node(id)?.content {
            _ if id == ROOT => Err(Error::busy_root()),
            Content::Directory { entries, .. } if !entries.is_empty() => Err(Error::not_empty(path)),
            Content::Directory { .. } => tree.take(parent, &path, now),
            _ => Err(Error::not_directory(path)),
        }
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let (source, target) = (tree.walk(from, Follow::No)?, tree.walk(to, Follow::No)?);
        if source.path.is_root() || target.path.is_root() {
            return Err(Error::busy_root());
        }
        let id = source.node.ok_or_else(|| Error::not_found(&source.path))?;
        if target.path != source.path && target.path.starts_with(&source.path) {
            return Err(Error::new(ErrorKind::Invalid, format!("`{from}` would be moved into itself: `{to}`")));
        }
        if target.path != source.path && source.path.starts_with(&target.path) {
            return Err(Error::not_empty(target.path));
        }
        if target.node == Some(id) {
            return Ok(());
        }
        if let Some(over) = target.node {
            match (tree.node(id)?.kind(), &tree.node(over)?.content) {
                (Kind::Directory, Content::Directory { entries, .. }) if entries.is_empty() => {}
                (Kind::Directory, Content::Directory { .. }) => return Err(Error::not_empty(target.path)),
                (Kind::Directory, _) => return Err(Error::not_directory(target.path)),
                (_, Content::Directory { .. }) => return Err(Error::is_directory(target.path)),
                _ => {}
            }
        }
        tree.may_hold_name(&target.path, target.node.is_none(), source.path.name())?;
        if target.node.is_some() {
            tree.take(target.parent, &target.path, now)?;
        }
        // In this order it has a name at every moment.
        tree.name(target.parent, &target.path, id, now)?;
        tree.take(source.parent, &source.path, now)?;
        let node = tree.node_mut(id)?;
        node.changed_ns = now;
        if let Content::Directory { parent, .. } = &mut node.content {
            *parent = target.parent;
        }
        Ok(())
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let id = tree.there(from, follow)?;
        let (path, parent) = tree.free(to)?;
        if tree.node(id)?.kind() == Kind::Directory {
            return Err(Error::new(ErrorKind::NotPermitted, format!("directory `{from}` cannot have a second name")));
        }
        tree.may_hold_name(&path, true, None)?;
        tree.name(parent, &path, id, now)?;
        tree.node_mut(id)?.changed_ns = now;
        Ok(())
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        check_target(target)?;
        let now = self.clock.now_ns();
        let mut tree = self.lock();
        let (path, parent) = tree.free(path)?;
        tree.add(parent, &path, Content::Link(target.to_owned()), now).map(drop)
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        let tree = self.lock();
        match &tree.node(tree.there(path, Follow::No)?)?.content {
            Content::Link(target) => Ok(target.clone()),
            _ => Err(Error::new(ErrorKind::Invalid, format!("`{path}` is no symbolic link"))),
        }
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        let mut tree = self.lock();
        let id = tree.there(path, follow)?;
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
            Content::Directory { .. } => Err(Error::file_is_directory()),
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

/// Everything that a tree holds.
struct Tree {
    nodes: HashMap<u64, Node>,
    /// The next inode: none is given twice.
    next: u64,
    bytes: u64,
    limits: MemoryLimits,
}

struct Node {
    content: Content,
    names: u64,
    open: u64,
    accessed_ns: u64,
    modified_ns: u64,
    changed_ns: u64,
}

enum Content {
    File(Blocks),
    Directory { entries: BTreeMap<Box<str>, u64>, parent: u64 },
    Link(String),
}

impl Node {
    fn kind(&self) -> Kind {
        match self.content {
            Content::File(_) => Kind::File,
            Content::Directory { .. } => Kind::Directory,
            Content::Link(_) => Kind::Symlink,
        }
    }

    fn size(&self) -> u64 {
        match &self.content {
            Content::File(blocks) => blocks.length,
            Content::Directory { .. } => 0,
            Content::Link(target) => target.len() as u64,
        }
    }

    /// What it takes of [`MemoryLimits::bytes`], its names not counted.
    fn held(&self) -> u64 {
        match &self.content {
            Content::File(blocks) => blocks.held,
            Content::Directory { .. } => 0,
            Content::Link(target) => target.len() as u64,
        }
    }

    fn stat(&self, inode: u64) -> Stat {
        Stat {
            kind: self.kind(),
            size: self.size(),
            links: self.names,
            device: 0,
            inode,
            accessed_ns: self.accessed_ns,
            modified_ns: self.modified_ns,
            changed_ns: self.changed_ns,
        }
    }

    fn set_times(&mut self, times: SetTimes, now: u64) {
        if times != SetTimes::default() {
            self.accessed_ns = times.accessed.or(self.accessed_ns, || now);
            self.modified_ns = times.modified.or(self.modified_ns, || now);
            self.changed_ns = now;
        }
    }
}

impl Tree {
    fn node(&self, id: u64) -> Result<&Node> {
        self.nodes.get(&id).ok_or_else(|| Error::new(ErrorKind::Io, "the tree has lost a node"))
    }

    fn node_mut(&mut self, id: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&id).ok_or_else(|| Error::new(ErrorKind::Io, "the tree has lost a node"))
    }

    fn walk(&self, path: &VPath, follow: Follow) -> Result<End<u64>> {
        let mut walk = Walk::new(ROOT, path, follow);
        while let Some((directory, name)) = walk.next()? {
            let Content::Directory { entries, .. } = &self.node(directory)?.content else {
                return Err(Error::not_directory(path));
            };
            let found = match entries.get(name.as_str()) {
                None => None,
                Some(id) => Some(match &self.node(*id)?.content {
                    Content::Directory { .. } => Found::Directory(*id),
                    Content::Link(target) => Found::Link(*id, target.clone()),
                    Content::File(_) => Found::Other(*id),
                }),
            };
            if let Some(end) = walk.found(name, found)? {
                return Ok(end);
            }
        }
        walk.end()
    }

    fn there(&self, path: &VPath, follow: Follow) -> Result<u64> {
        let End { path, node, .. } = self.walk(path, follow)?;
        node.ok_or_else(|| Error::not_found(path))
    }

    /// A name that is not taken, with its directory.
    fn free(&self, path: &VPath) -> Result<(VPath, u64)> {
        match self.walk(path, Follow::No)? {
            End { path, node: Some(_), .. } => Err(Error::exists(path)),
            End { path, parent, node: None } => Ok((path, parent)),
        }
    }

    fn insert(&mut self, content: Content, names: u64, now: u64) -> u64 {
        let id = self.next;
        self.next += 1;
        let node = Node { content, names, open: 0, accessed_ns: now, modified_ns: now, changed_ns: now };
        self.bytes += node.held();
        self.nodes.insert(id, node);
        id
    }

    /// Whether there is room for so many bytes more.
    fn may_hold(&self, more: u64) -> Result<()> {
        let (found, allowed) = (self.bytes.saturating_add(more), self.limits.bytes);
        match found > allowed && more > 0 {
            true => Err(no_space("bytes", found, allowed)),
            false => Ok(()),
        }
    }

    /// Whether there is room for a name, where another perhaps goes.
    fn may_hold_name(&self, path: &VPath, new: bool, instead_of: Option<&str>) -> Result<()> {
        let length = |name: &str| name.len() as u64;
        let more = if new { path.name().map_or(0, length) } else { 0 };
        self.may_hold(more.saturating_sub(instead_of.map_or(0, length)))
    }

    /// A new node with a name.
    fn add(&mut self, parent: u64, path: &VPath, content: Content, now: u64) -> Result<u64> {
        let (found, allowed) = (self.nodes.len() as u64 + 1, self.limits.nodes);
        if found > allowed {
            return Err(no_space("files, directories and links", found, allowed));
        }
        let bytes =
            path.name().map_or(0, str::len) + if let Content::Link(target) = &content { target.len() } else { 0 };
        self.may_hold(bytes as u64)?;
        let id = self.insert(content, 0, now);
        self.name(parent, path, id, now)?;
        Ok(id)
    }

    /// Gives a node a name.
    fn name(&mut self, parent: u64, path: &VPath, id: u64, now: u64) -> Result<()> {
        let name = path.name().ok_or_else(Error::busy_root)?;
        self.node_mut(id)?.names += 1;
        let directory = self.node_mut(parent)?;
        (directory.modified_ns, directory.changed_ns) = (now, now);
        if let Content::Directory { entries, .. } = &mut directory.content {
            entries.insert(Box::from(name), id);
        }
        self.bytes += name.len() as u64;
        Ok(())
    }

    /// Takes a name away, and the node with its last one, unless it is open.
    fn take(&mut self, parent: u64, path: &VPath, now: u64) -> Result<()> {
        let name = path.name().ok_or_else(Error::busy_root)?;
        let directory = self.node_mut(parent)?;
        (directory.modified_ns, directory.changed_ns) = (now, now);
        let Content::Directory { entries, .. } = &mut directory.content else {
            return Err(Error::not_directory(path));
        };
        let id = entries.remove(name).ok_or_else(|| Error::not_found(path))?;
        self.bytes -= name.len() as u64;
        let node = self.node_mut(id)?;
        node.names -= 1;
        node.changed_ns = now;
        self.drop_unused(id);
        Ok(())
    }

    fn drop_unused(&mut self, id: u64) {
        if self.nodes.get(&id).is_some_and(|node| node.names == 0 && node.open == 0)
            && let Some(node) = self.nodes.remove(&id)
        {
            self.bytes -= node.held();
        }
    }

    fn blocks(&mut self, id: u64) -> Result<&mut Blocks> {
        match &mut self.node_mut(id)?.content {
            Content::File(blocks) => Ok(blocks),
            _ => Err(Error::file_is_directory()),
        }
    }

    fn write(&mut self, id: u64, offset: u64, bytes: &[u8], now: u64) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        end_of(offset, bytes.len())?;
        let more = self.blocks(id)?.growth(offset, bytes.len());
        self.may_hold(more)?;
        self.blocks(id)?.write(offset, bytes);
        self.bytes += more;
        self.touch(id, now)
    }

    fn set_len(&mut self, id: u64, length: u64, now: u64) -> Result<()> {
        if length > FILE_BYTES_MAX {
            return Err(Error::too_large(length, FILE_BYTES_MAX));
        }
        let blocks = self.blocks(id)?;
        let before = blocks.held;
        blocks.set_len(length);
        // Zeros take no room: it can only have become less.
        let less = before - blocks.held;
        self.bytes -= less;
        self.touch(id, now)
    }

    fn touch(&mut self, id: u64, now: u64) -> Result<()> {
        let node = self.node_mut(id)?;
        (node.modified_ns, node.changed_ns) = (now, now);
        Ok(())
    }
}

fn no_space(what: &str, found: u64, allowed: u64) -> Error {
    Error::new(ErrorKind::NoSpace, format!("the memory would hold {found} {what}, {allowed} are allowed"))
}

/// The bytes of a file. A block that is not there is zeros, and so is what a block lacks at its end.
#[derive(Default)]
struct Blocks {
    length: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
    /// Bytes in the blocks.
    held: u64,
}

impl Blocks {
    fn read(&self, offset: u64, bytes_max: usize) -> Bytes {
        let left = self.length.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(bytes_max)];
        for Piece { block, within, range } in pieces(offset, bytes.len()) {
            if let Some(held) = self.blocks.get(&block).and_then(|block| block.get(within..)) {
                let count = held.len().min(range.len());
                bytes[range.start..range.start + count].copy_from_slice(&held[..count]);
            }
        }
        bytes.into()
    }

    /// How many bytes more it holds after a write.
    fn growth(&self, offset: u64, length: usize) -> u64 {
        let grown = pieces(offset, length).map(|Piece { block, within, range }| {
            let held = self.blocks.get(&block).map_or(0, Vec::len);
            (within + range.len()).saturating_sub(held) as u64
        });
        grown.sum()
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        for Piece { block, within, range } in pieces(offset, bytes.len()) {
            let block = self.blocks.entry(block).or_default();
            let end = within + range.len();
            if block.len() < end {
                self.held += (end - block.len()) as u64;
                block.resize(end, 0);
            }
            block[within..end].copy_from_slice(&bytes[range]);
        }
        self.length = self.length.max(offset + bytes.len() as u64);
    }

    fn set_len(&mut self, length: u64) {
        if length < self.length {
            let (last, within) = (length / BLOCK_BYTES as u64, (length % BLOCK_BYTES as u64) as usize);
            for (_, block) in self.blocks.split_off(&(last + 1)) {
                self.held -= block.len() as u64;
            }
            if let Some(block) = self.blocks.get_mut(&last) {
                self.held -= block.len().saturating_sub(within) as u64;
                block.truncate(within);
                block.shrink_to_fit();
            }
        }
        self.length = length;
    }
}

/// The part of some bytes that lies in one block.
struct Piece {
    block: u64,
    /// Where it begins in the block.
    within: usize,
    /// Where it lies in the bytes.
    range: std::ops::Range<usize>,
}

fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % BLOCK_BYTES as u64) as usize;
        let count = (length - done).min(BLOCK_BYTES - within);
        let piece = Piece { block: at / BLOCK_BYTES as u64, within, range: done..done + count };
        done += count;
        (count > 0).then_some(piece)
    })
}
