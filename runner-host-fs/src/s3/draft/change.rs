//! The changes that a call makes to names. Each asks all it has to know before it changes anything.

use std::sync::Arc;

use super::super::cache::{BLOCK_BYTES, Version};
use super::super::keys;
use super::body::Body;
use super::tree::{LINK_BYTES_MAX, NODES_MAX, Need, Place, ROOT, Slot, Tree, What, lost};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{Follow, Kind, Open, SetTimes};
use crate::walk::End;

/// Files that are fetched ahead of one that opens them in order, at first and at most.
const AHEAD: (usize, usize) = (8, 64);

/// A file that was opened.
pub(crate) struct Opened {
    pub(crate) id: u64,
    /// `None` for a directory.
    pub(crate) body: Option<Arc<Body>>,
    /// It is to be emptied.
    pub(crate) truncate: bool,
    /// Whether a name was made for it.
    pub(crate) made: bool,
    /// What will be opened next, as it seems.
    pub(crate) ahead: Vec<Version>,
}

impl Tree {
    pub(crate) fn open(&mut self, path: &VPath, how: Open, now: u64) -> Result<Opened, Need> {
        let follow = if how.exclusive { Follow::No } else { how.follow };
        let end = self.walk(path, follow)?;
        let (id, made) = match end.node {
            Some(_) if how.exclusive => return Err(Error::exists(path).into()),
            Some(place) => {
                match self.stat(&end, place)?.kind {
                    Kind::Directory => how.check_directory(&end.path)?,
                    _ if how.directory => return Err(Error::not_directory(&end.path).into()),
                    Kind::Symlink => {
                        let message = format!("`{}` is a link, and none is followed", end.path);
                        return Err(Error::new(ErrorKind::Loop, message).into());
                    }
                    Kind::File | Kind::Other => {}
                }
                self.may_hold(place)?;
                (self.node_of(&end, place)?, false)
            }
            None if how.create => (self.make(&end, What::File(Body::empty(&self.parts)), now)?, true),
            None => return Err(Error::not_found(&end.path).into()),
        };
        let key = if how.write { self.key_of(id)? } else { None };
        let node = self.node_mut(id)?;
        node.open += 1;
        node.writers += u64::from(how.write);
        let body = match &node.what {
            What::File(body) => Some(body.clone()),
            _ => None,
        };
        if let (Some(body), Some(key)) = (&body, key) {
            body.goes_to(&key);
        }
        let reads = body.is_some() && how.read && !how.write;
        let ahead = if reads { self.opened(&end).unwrap_or_default() } else { Vec::new() };
        Ok(Opened { id, body, truncate: how.truncate && !made, made, ahead })
    }

    /// A file is closed: what the bucket can be asked for again becomes a name.
    pub(crate) fn close(&mut self, id: u64, writer: bool) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.open = node.open.saturating_sub(1);
        node.writers = node.writers.saturating_sub(u64::from(writer));
        let (open, named, touched, inode) = (node.open, node.named, node.touched, node.inode);
        if open > 0 {
            return;
        }
        if !named {
            self.drop_node(id);
            return;
        }
        let What::File(body) = &node.what else { return };
        let (body, parent, name) = (body.clone(), node.parent, node.name.clone());
        let (Some(origin), modified_ns) = (node.origin.clone(), node.times.modified_ns) else { return };
        let prefix = self.directory(parent).ok().and_then(|directory| directory.prefix.as_deref());
        let here = prefix.is_some_and(|prefix| origin.key.strip_prefix(prefix) == Some(&*name));
        let here = here && inode == keys::inode(&origin.key);
        if touched || !here || body.is_dirty() || body.size() != origin.size {
            return;
        }
        let slot = Slot::Object { etag: origin.etag, size: origin.size, modified_ns, sure: true };
        if self.set(parent, &name, Some(slot)).is_ok() {
            self.drop_node(id);
        }
    }

    /// Which files come next in a directory whose files are opened in their order, and are not larger than a block.
    fn opened(&mut self, end: &End<Place>) -> Result<Vec<Version>> {
        let (Place::Node(parent), Some(name)) = (end.parent, end.path.name()) else { return Ok(Vec::new()) };
        let directory = self.directory_mut(parent)?;
        let order = std::mem::take(&mut directory.order);
        let mut next = super::tree::Order { last: Some(name.into()), ..order };
        let last = next_file(directory, order.last.as_deref());
        let on = order.last.is_some() && last.as_deref() == Some(name);
        let mut found = Vec::new();
        if !on {
            (next.ahead_to, next.ahead, next.window) = (None, 0, AHEAD.0);
        } else {
            next.ahead = next.ahead.saturating_sub(1);
            if next.ahead <= next.window / 2 {
                let mut at: Box<str> = next.ahead_to.take().filter(|to| **to > *name).unwrap_or_else(|| name.into());
                for _ in 0..next.window {
                    let Some(file) = next_file(directory, Some(&at)) else { break };
                    at = file.into();
                    next.ahead += 1;
                    let slot = directory.entries.get(&at);
                    if let (Some(Slot::Object { etag, size, .. }), Some(prefix)) = (slot, &directory.prefix)
                        && (1..=BLOCK_BYTES).contains(size)
                    {
                        let key = format!("{prefix}{at}").into();
                        found.push(Version { key, etag: etag.clone(), size: *size });
                    }
                }
                next.ahead_to = Some(at);
                next.window = (next.window * 2).min(AHEAD.1);
            }
        }
        directory.order = next;
        Ok(found)
    }

    /// Whether there is room for one node more.
    fn may_hold(&self, place: Place) -> Result<()> {
        match place {
            Place::Leaf if self.nodes.len() >= NODES_MAX => Err(full()),
            _ => Ok(()),
        }
    }

    /// A new node at a place that is free.
    fn make(&mut self, end: &End<Place>, what: What, now: u64) -> Result<u64> {
        let (Place::Node(parent), Some(name)) = (end.parent, end.path.name()) else {
            return Err(Error::exists(&end.path));
        };
        self.may_hold(Place::Leaf)?;
        let mut key = self.may_name(parent, name)?;
        if matches!(what, What::Directory(_)) {
            key.push('/');
        }
        let id = self.insert(self.new_inode(&key), parent, name, now, None, what);
        self.set(parent, name, Some(Slot::Node(id)))?;
        self.touch(parent, now);
        Ok(id)
    }

    /// The key of a name in a directory, if it can have one.
    fn may_name(&self, parent: u64, name: &str) -> Result<String> {
        let prefix = self.key_of(parent)?.unwrap_or_default();
        keys::child(&prefix, name)
    }

    /// A place that is free.
    fn free(&mut self, path: &VPath) -> Result<End<Place>, Need> {
        let end = self.walk(path, Follow::No)?;
        match end.node {
            Some(_) => Err(Error::exists(end.path).into()),
            None => Ok(end),
        }
    }

    pub(crate) fn create_dir(&mut self, path: &VPath, now: u64) -> Result<(), Need> {
        let end = self.free(path)?;
        let what = What::Directory(super::tree::Directory::new(None));
        Ok(self.make(&end, what, now).map(drop)?)
    }

    pub(crate) fn symlink(&mut self, target: &str, path: &VPath, now: u64) -> Result<(), Need> {
        let end = self.free(path)?;
        if self.link_bytes + target.len() > LINK_BYTES_MAX {
            let message = format!("the targets of links that a call makes may have {LINK_BYTES_MAX} bytes together");
            return Err(Error::new(ErrorKind::NoSpace, message).into());
        }
        self.make(&end, What::Link(target.into()), now)?;
        self.link_bytes += target.len();
        Ok(())
    }

    pub(crate) fn set_times_at(&mut self, path: &VPath, follow: Follow, times: SetTimes, now: u64) -> Result<(), Need> {
        let (end, place) = self.there(path, follow)?;
        self.may_hold(place)?;
        let id = self.node_of(&end, place)?;
        Ok(self.set_times(id, times, now)?)
    }

    pub(crate) fn readlink(&mut self, path: &VPath) -> Result<String, Need> {
        let (end, place) = self.there(path, Follow::No)?;
        if let Place::Node(id) = place
            && let What::Link(target) = &self.node(id)?.what
        {
            return Ok(target.to_string());
        }
        Err(Error::new(ErrorKind::Invalid, format!("`{}` is no symbolic link", end.path)).into())
    }

    pub(crate) fn remove_file(&mut self, path: &VPath, now: u64) -> Result<(), Need> {
        let (end, place) = self.there(path, Follow::No)?;
        match self.stat(&end, place)?.kind {
            Kind::Directory => Err(Error::is_directory(end.path).into()),
            _ => Ok(self.take(&end, now)?),
        }
    }

    pub(crate) fn remove_dir(&mut self, path: &VPath, now: u64) -> Result<(), Need> {
        let (end, place) = self.there(path, Follow::No)?;
        match place {
            Place::Node(ROOT) => Err(Error::busy_root().into()),
            Place::Node(id) if matches!(self.node(id)?.what, What::Directory(_)) => match self.is_empty(id)? {
                true => Ok(self.take(&end, now)?),
                false => Err(Error::not_empty(end.path).into()),
            },
            _ => Err(Error::not_directory(end.path).into()),
        }
    }

    /// Whether a directory has no entries. One that is too large to be known has some.
    fn is_empty(&self, id: u64) -> Result<bool, Need> {
        let directory = self.directory(id)?;
        if directory.live().next().is_some() {
            return Ok(false);
        }
        match directory.page(id) {
            Some(page) => Err(Need::Fetch(super::tree::Fetch::Pages(vec![page]))),
            None => Ok(matches!(directory.known, super::tree::Known::All)),
        }
    }

    pub(crate) fn rename(&mut self, from: &VPath, to: &VPath, now: u64) -> Result<bool, Need> {
        let (source, target) = (self.walk(from, Follow::No)?, self.walk(to, Follow::No)?);
        if source.path.is_root() || target.path.is_root() {
            return Err(Error::busy_root().into());
        }
        let place = source.node.ok_or_else(|| Error::not_found(&source.path))?;
        if target.path != source.path && target.path.starts_with(&source.path) {
            let message = format!("`{from}` would be moved into itself: `{to}`");
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        if target.path != source.path && source.path.starts_with(&target.path) {
            return Err(Error::not_empty(&target.path).into());
        }
        if target.path == source.path {
            return Ok(false);
        }
        if let Some(over) = target.node {
            match (self.stat(&source, place)?.kind, self.stat(&target, over)?.kind) {
                (Kind::Directory, Kind::Directory) => {
                    if let Place::Node(over) = over
                        && !self.is_empty(over)?
                    {
                        return Err(Error::not_empty(&target.path).into());
                    }
                }
                (Kind::Directory, _) => return Err(Error::not_directory(&target.path).into()),
                (_, Kind::Directory) => return Err(Error::is_directory(&target.path).into()),
                _ => {}
            }
        }
        let (Place::Node(old), Place::Node(new), Some(name)) = (source.parent, target.parent, target.path.name())
        else {
            return Err(lost().into());
        };
        self.may_name(new, name)?;
        self.may_hold(place)?;
        let id = self.node_of(&source, place)?;
        if target.node.is_some() {
            self.take(&target, now)?;
        }
        self.drop_name(old, source.path.name().unwrap_or_default(), now)?;
        let node = self.node_mut(id)?;
        (node.parent, node.name, node.times.changed_ns) = (new, name.into(), now);
        self.set(new, name, Some(Slot::Node(id)))?;
        self.touch(new, now);
        Ok(true)
    }

    /// A name goes, and what it stands for with it, unless that is open.
    fn take(&mut self, end: &End<Place>, now: u64) -> Result<()> {
        let (Place::Node(parent), Some(name), Some(place)) = (end.parent, end.path.name(), end.node) else {
            return Err(lost());
        };
        if self.gone.len() + self.gone_directories.len() >= NODES_MAX {
            return Err(full());
        }
        let mut gone_directory = None;
        let gone = match place {
            Place::Node(id) => {
                let node = self.node_mut(id)?;
                (node.named, node.times.changed_ns) = (false, now);
                let origin = node.origin.take();
                if let What::Directory(directory) = &node.what {
                    gone_directory = directory.prefix.clone();
                }
                if node.open == 0 {
                    self.drop_node(id);
                }
                origin.map(|origin| (origin.key.to_string(), origin.etag))
            }
            Place::Leaf => {
                let directory = self.directory(parent)?;
                match (directory.entries.get(name), &directory.prefix) {
                    (Some(Slot::Object { etag, .. }), Some(prefix)) => Some((format!("{prefix}{name}"), etag.clone())),
                    _ => return Err(lost()),
                }
            }
        };
        self.gone.extend(gone);
        self.gone_directories.extend(gone_directory);
        self.drop_name(parent, name, now)
    }

    /// An entry of a directory is gone; where the bucket may be asked for it again, it is remembered that it is.
    fn drop_name(&mut self, parent: u64, name: &str, now: u64) -> Result<()> {
        let listed = self.directory(parent)?.prefix.is_some();
        self.set(parent, name, listed.then_some(Slot::Removed))?;
        self.touch(parent, now);
        Ok(())
    }
}

fn full() -> Error {
    Error::new(ErrorKind::NoSpace, format!("one call has at most {NODES_MAX} files that are open or changed"))
}

/// The first file behind a name.
fn next_file(directory: &super::tree::Directory, after: Option<&str>) -> Option<String> {
    use std::ops::Bound;
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let entries = directory.entries.range::<str, _>((from, Bound::Unbounded));
    let mut files = entries.filter(|(_, slot)| matches!(slot, Slot::Object { .. } | Slot::Node(_)));
    files.next().map(|(name, _)| name.to_string())
}
