//! What a tree in memory holds, and each change of it: the plain rules, of which the one lock is somebody else's.

use std::collections::{BTreeMap, HashMap};

use super::MemoryLimits;
use super::blocks::Blocks;
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{FILE_BYTES_MAX, Follow, Kind, SetTimes, Stat, end_of};
use crate::walk::{End, Found, Walk};

/// What all of it lies on.
pub(super) const DEVICE: u64 = 0;

/// Everything that a tree holds.
pub(super) struct Tree {
    pub(super) nodes: HashMap<u64, Node>,
    /// The next inode: none is given twice.
    pub(super) next: u64,
    pub(super) bytes: u64,
    pub(super) limits: MemoryLimits,
}

pub(super) struct Node {
    pub(super) content: Content,
    pub(super) names: u64,
    pub(super) open: u64,
    accessed_ns: u64,
    modified_ns: u64,
    pub(super) changed_ns: u64,
}

pub(super) enum Content {
    File(Blocks),
    Directory(BTreeMap<Box<str>, u64>),
    Link(String),
}

impl Node {
    pub(super) fn kind(&self) -> Kind {
        match self.content {
            Content::File(_) => Kind::File,
            Content::Directory(_) => Kind::Directory,
            Content::Link(_) => Kind::Symlink,
        }
    }

    pub(super) fn size(&self) -> u64 {
        match &self.content {
            Content::File(blocks) => blocks.length,
            Content::Directory(_) => 0,
            Content::Link(target) => target.len() as u64,
        }
    }

    /// What it takes of [`MemoryLimits::bytes`], its names not counted.
    fn held(&self) -> u64 {
        match &self.content {
            Content::File(blocks) => blocks.held,
            Content::Directory(_) => 0,
            Content::Link(target) => target.len() as u64,
        }
    }

    pub(super) fn stat(&self, inode: u64) -> Stat {
        Stat {
            kind: self.kind(),
            size: self.size(),
            links: self.names,
            device: DEVICE,
            inode,
            accessed_ns: self.accessed_ns,
            modified_ns: self.modified_ns,
            changed_ns: self.changed_ns,
        }
    }

    pub(super) fn set_times(&mut self, times: SetTimes, now: u64) {
        if times != SetTimes::default() {
            self.accessed_ns = times.accessed.or(self.accessed_ns, || now);
            self.modified_ns = times.modified.or(self.modified_ns, || now);
            self.changed_ns = now;
        }
    }
}

impl Tree {
    pub(super) fn node(&self, id: u64) -> Result<&Node> {
        self.nodes.get(&id).ok_or_else(|| Error::new(ErrorKind::Io, "the tree has lost a node"))
    }

    pub(super) fn node_mut(&mut self, id: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&id).ok_or_else(|| Error::new(ErrorKind::Io, "the tree has lost a node"))
    }

    pub(super) fn walk(&self, root: u64, path: &VPath, follow: Follow) -> Result<End<u64>> {
        let mut walk = Walk::new(root, path, follow);
        while let Some((directory, name)) = walk.next()? {
            let Content::Directory(entries) = &self.node(directory)?.content else {
                return Err(Error::not_directory(path));
            };
            let found = match entries.get(name.as_relative()) {
                None => None,
                Some(id) => Some(match &self.node(*id)?.content {
                    Content::Directory(_) => Found::Directory(*id),
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

    pub(super) fn there(&self, root: u64, path: &VPath, follow: Follow) -> Result<u64> {
        let End { path, node, .. } = self.walk(root, path, follow)?;
        node.ok_or_else(|| Error::not_found(path))
    }

    /// A name that is not taken, with its directory.
    pub(super) fn free(&self, root: u64, path: &VPath) -> Result<(VPath, u64)> {
        match self.walk(root, path, Follow::No)? {
            End { path, node: Some(_), .. } => Err(Error::exists(path)),
            End { path, parent, node: None } => Ok((path, parent)),
        }
    }

    pub(super) fn insert(&mut self, content: Content, names: u64, now: u64) -> u64 {
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

    pub(super) fn may_hold_node(&self) -> Result<()> {
        let (found, allowed) = (self.nodes.len() as u64 + 1, self.limits.nodes);
        match found > allowed {
            true => Err(no_space("files, directories and links", found, allowed)),
            false => Ok(()),
        }
    }

    /// Gives what one walk has found the place that another has.
    pub(super) fn rename(&mut self, source: End<u64>, target: End<u64>, now: u64) -> Result<()> {
        if source.path.is_root() || target.path.is_root() {
            return Err(Error::busy_root());
        }
        let id = source.node.ok_or_else(|| Error::not_found(&source.path))?;
        if target.node == Some(id) {
            return Ok(());
        }
        if let Some(over) = target.node {
            match (self.node(id)?.kind(), &self.node(over)?.content) {
                (Kind::Directory, Content::Directory(entries)) if entries.is_empty() => {}
                (Kind::Directory, Content::Directory(_)) => return Err(Error::not_empty(target.path)),
                (Kind::Directory, _) => return Err(Error::not_directory(target.path)),
                (_, Content::Directory(_)) => return Err(Error::is_directory(target.path)),
                _ => {}
            }
        }
        self.may_hold_name(&target.path, target.node.is_none(), source.path.name())?;
        self.still_there(target.parent, &target.path)?;
        if target.node.is_some() {
            self.take(target.parent, &target.path, now)?;
        }
        // In this order it has a name at every moment.
        self.name(target.parent, &target.path, id, now)?;
        self.take(source.parent, &source.path, now)?;
        self.node_mut(id)?.changed_ns = now;
        Ok(())
    }

    /// Gives a file or link one more name.
    pub(super) fn link(&mut self, id: u64, root: u64, to: &VPath, now: u64) -> Result<()> {
        let (path, parent) = self.free(root, to)?;
        if self.node(id)?.kind() == Kind::Directory {
            return Err(Error::new(ErrorKind::NotPermitted, format!("a directory cannot have a second name: `{to}`")));
        }
        self.may_hold_name(&path, true, None)?;
        self.still_there(parent, &path)?;
        self.name(parent, &path, id, now)?;
        self.node_mut(id)?.changed_ns = now;
        Ok(())
    }

    /// A directory that is some tree's root may have lost its name: nothing is made in it any more.
    fn still_there(&self, directory: u64, path: &VPath) -> Result<()> {
        match self.node(directory)?.names {
            0 => Err(Error::not_found(path)),
            _ => Ok(()),
        }
    }

    /// A new node with a name.
    pub(super) fn add(&mut self, parent: u64, path: &VPath, content: Content, now: u64) -> Result<u64> {
        self.may_hold_node()?;
        self.still_there(parent, path)?;
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
        if let Content::Directory(entries) = &mut directory.content {
            entries.insert(Box::from(name), id);
        }
        self.bytes += name.len() as u64;
        Ok(())
    }

    /// Takes a name away, and the node with its last one, unless it is open.
    pub(super) fn take(&mut self, parent: u64, path: &VPath, now: u64) -> Result<()> {
        let name = path.name().ok_or_else(Error::busy_root)?;
        let directory = self.node_mut(parent)?;
        (directory.modified_ns, directory.changed_ns) = (now, now);
        let Content::Directory(entries) = &mut directory.content else {
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

    pub(super) fn drop_unused(&mut self, id: u64) {
        if self.nodes.get(&id).is_some_and(|node| node.names == 0 && node.open == 0)
            && let Some(node) = self.nodes.remove(&id)
        {
            self.bytes -= node.held();
        }
    }

    /// The same with all that is in a directory.
    pub(super) fn drop_all(&mut self, id: u64) {
        let mut ahead = vec![id];
        while let Some(id) = ahead.pop() {
            let Some(node) = self.nodes.get_mut(&id) else { continue };
            if let Content::Directory(entries) = &mut node.content {
                for (name, id) in std::mem::take(entries) {
                    self.bytes -= name.len() as u64;
                    if let Some(node) = self.nodes.get_mut(&id) {
                        node.names -= 1;
                        ahead.push(id);
                    }
                }
            }
            self.drop_unused(id);
        }
    }

    fn blocks(&mut self, id: u64) -> Result<&mut Blocks> {
        match &mut self.node_mut(id)?.content {
            Content::File(blocks) => Ok(blocks),
            _ => Err(Error::file_is_directory()),
        }
    }

    pub(super) fn write(&mut self, id: u64, offset: u64, bytes: &[u8], now: u64) -> Result<()> {
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

    pub(super) fn set_len(&mut self, id: u64, length: u64, now: u64) -> Result<()> {
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
