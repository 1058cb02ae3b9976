//! What a call knows of its files, and what it has made of them: names, without their bytes. One lock guards it all.
//!
//! Nothing here waits. Who finds that something is not known yet is told what to ask the bucket for ([`Need`]), and begins
//! again when that is in the tree: so every change is made in one go, or not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::super::bucket::{Head, Listing};
use super::super::cache::Version;
use super::super::keys::{self, LINK};
use super::body::{Body, Parts};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{Follow, Kind, SetTimes, Stat};
use crate::walk::{End, Found, Walk};

/// What all of it lies on.
pub(super) const DEVICE: u64 = 0;

/// Names that a call remembers of what is in the bucket: some 20 MiB. Beyond, what it has not changed is forgotten, and of a
/// directory that has more by itself only the last names.
pub(crate) const NAMES_MAX: usize = 100_000;

/// Files, directories and links that a call may have changed or opened and not closed: some 50 MiB.
pub(crate) const NODES_MAX: usize = 100_000;

/// Bytes of the targets of links that a call may make: they are in memory until it ends.
pub(crate) const LINK_BYTES_MAX: usize = 16 << 20;

/// Names that are remembered of directories that are not known whole: those that were asked for, and of one that has too many
/// the last ones that were listed. A C library asks for each name of a listing once more.
const LOOKED_MAX: usize = 4_000;

/// Single names that are asked for in a directory before all of it is: each costs two requests, a page of 1,000 names one.
const LOOKS_MAX: u32 = 8;

pub(crate) const ROOT: u64 = 0;

/// What has to be asked of the bucket first, or why it is not done.
pub(crate) enum Need {
    Refuse(Error),
    Fetch(Fetch),
}

impl From<Error> for Need {
    fn from(error: Error) -> Self {
        Need::Refuse(error)
    }
}

/// What to ask the bucket for.
#[derive(Debug)]
pub(crate) enum Fetch {
    /// The next page of each of some directories, by node: what is below a prefix, from a place on.
    Pages(Vec<(u64, Arc<str>, Option<String>)>),
    /// What one name of a directory stands for.
    Name { directory: u64, prefix: Arc<str>, name: String },
    /// Which of these are links, by their names: what has a link's size in a directory.
    Links { directory: u64, prefix: Arc<str>, names: Vec<Box<str>> },
}

/// The files of a call.
pub(crate) struct Tree {
    pub(super) nodes: HashMap<u64, Node>,
    /// Those of all nodes.
    inodes: HashSet<u64>,
    next: u64,
    /// Names in all directories, and which of them were asked for by themselves.
    names: usize,
    looked: VecDeque<(u64, Box<str>)>,
    /// Objects that were there and have no name any more, by key: their ETags.
    pub(super) gone: BTreeMap<String, Arc<str>>,
    /// Directories that were there and have no name any more, by their prefixes.
    pub(super) gone_directories: BTreeSet<Arc<str>>,
    /// Objects that a directory of the same name hides, by key: their ETags. One is forgotten with its name.
    pub(super) hidden: BTreeMap<String, Arc<str>>,
    pub(super) parts: Arc<Parts>,
    /// When the call began: of a directory that it has not changed, nobody knows more.
    began_ns: u64,
    /// Bytes of the targets of links that the call has made.
    pub(super) link_bytes: usize,
}

/// A file, directory or link that the call has met as more than a name.
pub(crate) struct Node {
    pub(super) inode: u64,
    pub(super) parent: u64,
    pub(super) name: Box<str>,
    /// Whether it has its name still.
    pub(super) named: bool,
    pub(super) open: u64,
    /// Of these, who may write.
    pub(super) writers: u64,
    pub(super) times: Times,
    /// Whether the call has set its times.
    pub(super) touched: bool,
    /// The object that it is in the bucket: of a directory, its marker.
    pub(super) origin: Option<Version>,
    pub(super) what: What,
}

#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) accessed_ns: u64,
    pub(super) modified_ns: u64,
    pub(super) changed_ns: u64,
}

pub(super) enum What {
    File(Arc<Body>),
    Link(Arc<str>),
    Directory(Directory),
}

pub(super) struct Directory {
    /// What it is in the bucket; `None` where the call has made it.
    pub(super) prefix: Option<Arc<str>>,
    pub(super) known: Known,
    pub(super) entries: BTreeMap<Box<str>, Slot>,
    /// How often a single name was asked for.
    looks: u32,
    pub(super) order: Order,
    /// The last name of the page that was last given of it.
    pub(super) listed_to: Option<Box<str>>,
}

/// How much of a directory is known.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// All names.
    All,
    /// Those up to the last key of what was listed, and how to ask for more; nothing yet.
    Part { last: Option<String>, next: Option<String> },
    /// It has too many.
    Large,
}

/// What a name stands for.
pub(super) enum Slot {
    /// An object; whether it is sure to be no link.
    Object {
        etag: Arc<str>,
        size: u64,
        modified_ns: u64,
        sure: bool,
    },
    /// A directory that nobody has been in.
    Prefix,
    Node(u64),
    /// The call has taken it away.
    Removed,
    /// It was asked for, and is not there.
    Nothing,
}

/// In which order files of a directory are opened: see [`Tree::opened`].
#[derive(Default)]
pub(super) struct Order {
    pub(super) last: Option<Box<str>>,
    pub(super) ahead_to: Option<Box<str>>,
    pub(super) ahead: usize,
    pub(super) window: usize,
}

/// What a walk ends at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Node(u64),
    /// An object that is a name and no more yet.
    Leaf,
}

impl Directory {
    pub(super) fn new(prefix: Option<Arc<str>>) -> Self {
        let known = match &prefix {
            Some(_) => Known::Part { last: None, next: None },
            None => Known::All,
        };
        Directory { prefix, known, entries: BTreeMap::new(), looks: 0, order: Order::default(), listed_to: None }
    }

    /// Its names that are there.
    pub(super) fn live(&self) -> impl DoubleEndedIterator<Item = (&Box<str>, &Slot)> {
        self.entries.iter().filter(|(_, slot)| !matches!(slot, Slot::Removed | Slot::Nothing))
    }

    /// Whether what a name stands for is known, where no entry has it.
    fn decided(&self, name: &str) -> bool {
        match &self.known {
            Known::All => true,
            Known::Large => false,
            Known::Part { last, .. } => last.as_deref().is_some_and(|last| decided(last, name)),
        }
    }

    /// The next page of it.
    pub(super) fn page(&self, id: u64) -> Option<(u64, Arc<str>, Option<String>)> {
        match (&self.known, &self.prefix) {
            (Known::Part { next, .. }, Some(prefix)) => Some((id, prefix.clone(), next.clone())),
            _ => None,
        }
    }
}

/// Whether a listing that has come to a name, or a name with `/`, has passed all that another one may stand for.
pub(crate) fn decided(last: &str, name: &str) -> bool {
    let directory = name.bytes().chain([b'/']);
    last.bytes().cmp(directory).is_ge()
}

/// The names that a listing has not decided that has come to a last one, in their order: what begins the last one, up to a
/// character that sorts before `/`, may be a directory still, and so may the last one. All before the first of them is known.
pub(crate) fn open(last: &str) -> impl Iterator<Item = &str> {
    let ends = last.bytes().enumerate().filter(|(at, byte)| *at > 0 && *byte < b'/').map(|(at, _)| at);
    ends.chain([last.len()]).map(|end| &last[..end])
}

impl Tree {
    pub(crate) fn new(root: Arc<str>, parts: Arc<Parts>, now: u64) -> Self {
        let (gone, hidden, looked) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        let (nodes, inodes) = (HashMap::new(), HashSet::new());
        let gone_directories = BTreeSet::new();
        let mut tree = Tree {
            nodes,
            inodes,
            next: ROOT,
            names: 0,
            looked,
            gone,
            gone_directories,
            hidden,
            parts,
            began_ns: now,
            link_bytes: 0,
        };
        let inode = keys::inode(&root);
        tree.insert(inode, ROOT, "", now, None, What::Directory(Directory::new(Some(root))));
        tree
    }

    pub(super) fn insert(
        &mut self,
        inode: u64,
        parent: u64,
        name: &str,
        now: u64,
        origin: Option<Version>,
        what: What,
    ) -> u64 {
        let id = self.next;
        self.next += 1;
        let times = Times { accessed_ns: now, modified_ns: now, changed_ns: now };
        let name = name.into();
        let (named, open, writers, touched) = (true, 0, 0, false);
        self.inodes.insert(inode);
        self.nodes.insert(id, Node { inode, parent, name, named, open, writers, times, touched, origin, what });
        id
    }

    pub(super) fn drop_node(&mut self, id: u64) {
        if let Some(node) = self.nodes.remove(&id) {
            self.inodes.remove(&node.inode);
            if let What::Directory(directory) = node.what {
                self.names = self.names.saturating_sub(directory.entries.len());
            }
        }
    }

    /// An inode of something that the call makes: its key's, which it has in the next call too, unless what has moved away
    /// from there, or lost its name and is open, has it still.
    pub(super) fn new_inode(&self, key: &str) -> u64 {
        let inode = keys::inode(key);
        if self.inodes.contains(&inode) { 1 << 63 | self.next } else { inode }
    }

    pub(super) fn node(&self, id: u64) -> Result<&Node> {
        self.nodes.get(&id).ok_or_else(lost)
    }

    pub(super) fn node_mut(&mut self, id: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&id).ok_or_else(lost)
    }

    pub(super) fn directory(&self, id: u64) -> Result<&Directory> {
        match &self.node(id)?.what {
            What::Directory(directory) => Ok(directory),
            _ => Err(lost()),
        }
    }

    pub(super) fn directory_mut(&mut self, id: u64) -> Result<&mut Directory> {
        match &mut self.node_mut(id)?.what {
            What::Directory(directory) => Ok(directory),
            _ => Err(lost()),
        }
    }

    /// Walks along a path.
    pub(crate) fn walk(&mut self, path: &VPath, follow: Follow) -> Result<End<Place>, Need> {
        let mut walk = Walk::new(Place::Node(ROOT), path, follow);
        while let Some((at, name)) = walk.next()? {
            let Place::Node(directory) = at else { return Err(Error::not_directory(path).into()) };
            let found = match self.look(directory, name.as_relative())? {
                None => None,
                Some(Place::Leaf) => Some(Found::Other(Place::Leaf)),
                Some(Place::Node(id)) => Some(match &self.node(id)?.what {
                    What::Directory(_) => Found::Directory(Place::Node(id)),
                    What::Link(target) => Found::Link(Place::Node(id), target.to_string()),
                    What::File(_) => Found::Other(Place::Node(id)),
                }),
            };
            if let Some(end) = walk.found(name, found)? {
                return Ok(end);
            }
        }
        Ok(walk.end()?)
    }

    /// What a path leads to, which must be there.
    pub(crate) fn there(&mut self, path: &VPath, follow: Follow) -> Result<(End<Place>, Place), Need> {
        let end = self.walk(path, follow)?;
        match end.node {
            Some(place) => Ok((end, place)),
            None => Err(Error::not_found(end.path).into()),
        }
    }

    /// What a name of a directory stands for. A directory that was a name is a node then.
    fn look(&mut self, id: u64, name: &str) -> Result<Option<Place>, Need> {
        let directory = self.directory_mut(id)?;
        match directory.entries.get(name) {
            Some(Slot::Node(node)) => Ok(Some(Place::Node(*node))),
            Some(Slot::Removed | Slot::Nothing) => Ok(None),
            Some(Slot::Object { size, sure: false, .. }) if *size == LINK.len() as u64 => {
                let prefix = directory.prefix.clone().ok_or_else(lost)?;
                Err(Need::Fetch(Fetch::Links { directory: id, prefix, names: vec![name.into()] }))
            }
            Some(Slot::Object { .. }) => Ok(Some(Place::Leaf)),
            Some(Slot::Prefix) => self.promote(id, name).map(|id| Some(Place::Node(id))).map_err(Need::from),
            None if !keys::is_name(name) || directory.decided(name) => Ok(None),
            None => {
                let Some(prefix) = directory.prefix.clone() else { return Ok(None) };
                let page = directory.page(id);
                match (&directory.known, page) {
                    // The first page, and all further ones once it seems to be worth it.
                    (Known::Part { last: None, .. }, Some(page)) => Err(Need::Fetch(Fetch::Pages(vec![page]))),
                    (_, Some(page)) if directory.looks >= LOOKS_MAX => Err(Need::Fetch(Fetch::Pages(vec![page]))),
                    _ => match keys::child(&prefix, name) {
                        Ok(_) => {
                            directory.looks = directory.looks.saturating_add(1);
                            Err(Need::Fetch(Fetch::Name { directory: id, prefix, name: name.to_owned() }))
                        }
                        // Nothing can have such a key.
                        Err(_) => Ok(None),
                    },
                }
            }
        }
    }

    /// Makes a node of what is a name in a directory.
    pub(super) fn promote(&mut self, parent: u64, name: &str) -> Result<u64> {
        let began_ns = self.began_ns;
        let directory = self.directory(parent)?;
        let prefix = directory.prefix.clone().ok_or_else(lost)?;
        let id = match directory.entries.get(name) {
            Some(Slot::Node(id)) => return Ok(*id),
            Some(Slot::Prefix) => {
                let key: Arc<str> = format!("{prefix}{name}/").into();
                let what = What::Directory(Directory::new(Some(key.clone())));
                self.insert(keys::inode(&key), parent, name, began_ns, None, what)
            }
            Some(Slot::Object { etag, size, modified_ns, .. }) => {
                let key: Arc<str> = format!("{prefix}{name}").into();
                let version = Version { key: key.clone(), etag: etag.clone(), size: *size };
                let (modified_ns, body) = (*modified_ns, Body::of(&self.parts, version.clone()));
                let inode = keys::inode(&key);
                self.insert(inode, parent, name, modified_ns, Some(version), What::File(body))
            }
            Some(Slot::Removed | Slot::Nothing) | None => return Err(lost()),
        };
        self.directory_mut(parent)?.entries.insert(name.into(), Slot::Node(id));
        Ok(id)
    }

    /// The node of what a walk has ended at.
    pub(super) fn node_of(&mut self, end: &End<Place>, place: Place) -> Result<u64> {
        match (place, end.parent, end.path.name()) {
            (Place::Node(id), ..) => Ok(id),
            (Place::Leaf, Place::Node(parent), Some(name)) => self.promote(parent, name),
            (Place::Leaf, ..) => Err(lost()),
        }
    }

    /// What is known of what a walk has ended at.
    pub(crate) fn stat(&self, end: &End<Place>, place: Place) -> Result<Stat> {
        let (parent, name) = match (place, end.parent, end.path.name()) {
            (Place::Node(id), ..) => return self.stat_node(id),
            (Place::Leaf, Place::Node(parent), Some(name)) => (parent, name),
            (Place::Leaf, ..) => return Err(lost()),
        };
        let directory = self.directory(parent)?;
        match (directory.entries.get(name), &directory.prefix) {
            (Some(Slot::Object { size, modified_ns, .. }), Some(prefix)) => Ok(Stat {
                kind: Kind::File,
                size: *size,
                links: 1,
                device: DEVICE,
                inode: keys::inode(&format!("{prefix}{name}")),
                accessed_ns: *modified_ns,
                modified_ns: *modified_ns,
                changed_ns: *modified_ns,
            }),
            _ => Err(lost()),
        }
    }

    pub(crate) fn stat_node(&self, id: u64) -> Result<Stat> {
        let node = self.node(id)?;
        let (kind, size) = match &node.what {
            What::File(body) => (Kind::File, body.size()),
            What::Link(target) => (Kind::Symlink, target.len() as u64),
            What::Directory(_) => (Kind::Directory, 0),
        };
        let Times { accessed_ns, modified_ns, changed_ns } = node.times;
        let (links, inode) = (u64::from(node.named), node.inode);
        Ok(Stat { kind, size, links, device: DEVICE, inode, accessed_ns, modified_ns, changed_ns })
    }

    pub(crate) fn set_times(&mut self, id: u64, times: SetTimes, now: u64) -> Result<()> {
        let node = self.node_mut(id)?;
        if times != SetTimes::default() {
            node.times.accessed_ns = times.accessed.or(node.times.accessed_ns, || now);
            node.times.modified_ns = times.modified.or(node.times.modified_ns, || now);
            node.times.changed_ns = now;
            node.touched = true;
        }
        Ok(())
    }

    /// The bytes of a file, or the names of a directory, have changed.
    pub(crate) fn touch(&mut self, id: u64, now: u64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            (node.times.modified_ns, node.times.changed_ns) = (now, now);
            // Of a directory nobody else knows it: it is not to be forgotten.
            node.touched |= matches!(node.what, What::Directory(_));
        }
    }

    /// A page of a directory has come, which was `asked` for by this token.
    pub(crate) fn add_page(&mut self, id: u64, prefix: &str, asked: Option<&str>, listing: Listing) -> Result<()> {
        let Tree { nodes, hidden, .. } = self;
        let Some(Node { what: What::Directory(directory), origin, .. }) = nodes.get_mut(&id) else { return Ok(()) };
        // Somebody else has asked for it, too, and the directory has gone on.
        let before_last = match &directory.known {
            Known::Part { last, next } if next.as_deref() == asked => last.clone(),
            _ => return Ok(()),
        };
        let before = directory.entries.len();
        for object in listing.objects {
            let Some(name) = object.key.strip_prefix(prefix) else { continue };
            let etag: Arc<str> = object.etag.into();
            if name.is_empty() {
                // Not where the call has removed the directory already, and made it anew.
                let marker = Version { key: prefix.into(), etag, size: object.size };
                origin.get_or_insert(marker);
                continue;
            }
            match directory.entries.get(name) {
                // What the call has met stays as it was then.
                None if keys::is_name(name) => {
                    let (size, modified_ns) = (object.size, object.modified_ns);
                    directory.entries.insert(name.into(), Slot::Object { etag, size, modified_ns, sure: false });
                }
                Some(Slot::Prefix) => drop(hidden.insert(object.key, etag)),
                _ => {}
            }
        }
        for key in listing.prefixes {
            let name = key.strip_prefix(prefix).and_then(|name| name.strip_suffix('/'));
            let Some(name) = name.filter(|name| keys::is_name(name)) else { continue };
            if let Some(Slot::Object { etag, .. }) = directory.entries.get(name) {
                hidden.insert(format!("{prefix}{name}"), etag.clone());
            }
            if !matches!(directory.entries.get(name), Some(Slot::Node(_) | Slot::Removed)) {
                directory.entries.insert(name.into(), Slot::Prefix);
            }
        }
        self.names += directory.entries.len() - before;
        let last = listing.last.as_deref().and_then(|last| last.strip_prefix(prefix)).map(str::to_owned);
        directory.known = match listing.next {
            None => Known::All,
            next => Known::Part { last: last.or(before_last), next },
        };
        self.forget_above(id)
    }

    /// What a single name stands for has come.
    pub(crate) fn add_name(&mut self, id: u64, name: &str, is_directory: bool, object: Option<Head>) -> Result<()> {
        let Ok(directory) = self.directory_mut(id) else { return Ok(()) };
        if matches!(directory.entries.get(name), Some(Slot::Node(_) | Slot::Removed)) {
            return Ok(());
        }
        let key = format!("{}{name}", directory.prefix.clone().unwrap_or_default());
        let (slot, link) = match object {
            Some(head) if is_directory => {
                self.hidden.insert(key, head.etag.into());
                (Slot::Prefix, None)
            }
            None if is_directory => (Slot::Prefix, None),
            None => (Slot::Nothing, None),
            Some(head) => {
                let (etag, size, modified_ns) = (Arc::from(head.etag.as_str()), head.size, head.modified_ns);
                (Slot::Object { etag, size, modified_ns, sure: true }, keys::target(&head.metadata))
            }
        };
        self.set(id, name, Some(slot))?;
        if let Some(target) = link {
            self.link(id, name, &target)?;
        }
        self.remember(id, [Box::from(name)]);
        self.forget_above(id)
    }

    /// A name of a directory that has too many turns out to be a directory, which may hide an object.
    pub(super) fn add_prefix(&mut self, id: u64, name: &str, hidden: Option<Arc<str>>) -> Result<()> {
        let directory = self.directory(id)?;
        if matches!(directory.entries.get(name), Some(Slot::Node(_) | Slot::Removed)) {
            return Ok(());
        }
        if let (Some(etag), Some(prefix)) = (hidden, &directory.prefix) {
            let key = format!("{prefix}{name}");
            self.hidden.insert(key, etag);
        }
        self.set(id, name, Some(Slot::Prefix))?;
        self.remember(id, [Box::from(name)]);
        Ok(())
    }

    /// What was listed of a directory that has too many names has come; `heads` are of what might be links.
    pub(crate) fn add_listed(
        &mut self,
        id: u64,
        prefix: &str,
        listing: &Listing,
        heads: &BTreeMap<String, Head>,
    ) -> Result<()> {
        let Ok(directory) = self.directory(id) else { return Ok(()) };
        let last = listing.last.as_deref().and_then(|last| last.strip_prefix(prefix)).unwrap_or_default();
        let free = |name: &str| {
            let passed = listing.next.is_none() || decided(last, name);
            // What the call has met stays as it was then.
            let is_known = !matches!(directory.entries.get(name), None | Some(Slot::Prefix));
            keys::is_name(name) && passed && !is_known
        };
        let (mut slots, mut etags) = (BTreeMap::new(), BTreeMap::new());
        for object in &listing.objects {
            let Some(name) = object.key.strip_prefix(prefix).filter(|name| free(name)) else { continue };
            etags.insert(name, &object.etag);
            let is_link = |head: &Head| keys::target(&head.metadata).is_some();
            // A link is asked for again, by who wants it.
            if object.size != LINK.len() as u64 || heads.get(name).is_some_and(|head| !is_link(head)) {
                let (etag, size, modified_ns) = (object.etag.as_str().into(), object.size, object.modified_ns);
                slots.insert(name, Slot::Object { etag, size, modified_ns, sure: true });
            }
        }
        let directories = listing.prefixes.iter().filter_map(|key| key.strip_prefix(prefix)?.strip_suffix('/'));
        for name in directories.filter(|name| free(name)) {
            slots.insert(name, Slot::Prefix);
        }
        let directories = slots.iter().filter(|(_, slot)| matches!(slot, Slot::Prefix));
        let hidden =
            directories.filter_map(|(name, _)| Some((format!("{prefix}{name}"), etags.get(name)?.as_str().into())));
        self.hidden.extend(hidden);
        let names: Vec<Box<str>> = slots.keys().map(|name| Box::from(*name)).collect();
        for (name, slot) in slots {
            self.set(id, name, Some(slot))?;
        }
        self.remember(id, names);
        Ok(())
    }

    /// Whether the call has made or taken away what a name of a directory stands for, or has it open.
    pub(super) fn is_own(&self, id: u64, name: &str) -> bool {
        let slot = self.directory(id).ok().and_then(|directory| directory.entries.get(name));
        matches!(slot, Some(Slot::Node(_) | Slot::Removed))
    }

    /// Some names of a directory that is not known whole are remembered, and others forgotten for them.
    fn remember(&mut self, id: u64, names: impl IntoIterator<Item = Box<str>>) {
        self.looked.extend(names.into_iter().map(|name| (id, name)));
        while self.looked.len() > LOOKED_MAX {
            let Some((id, name)) = self.looked.pop_front() else { break };
            let Ok(directory) = self.directory_mut(id) else { continue };
            let clean =
                matches!(directory.entries.get(&name), Some(Slot::Object { .. } | Slot::Prefix | Slot::Nothing));
            // What a listing has gone past does not come again.
            let listed = match &directory.known {
                Known::All => true,
                Known::Large => false,
                Known::Part { last, .. } => last.as_deref().is_some_and(|last| *name <= *last),
            };
            if clean && !listed {
                directory.entries.remove(&name);
                let key = directory.prefix.as_ref().map(|prefix| format!("{prefix}{name}"));
                self.names -= 1;
                self.show(key);
            }
        }
    }

    /// The names at these keys are forgotten, and with them what they hide.
    fn show(&mut self, keys: impl IntoIterator<Item = String>) {
        for key in keys {
            self.hidden.remove(&key);
        }
    }

    /// What has a link's size has been asked whether it is one.
    pub(crate) fn add_link(&mut self, id: u64, name: &str, head: Option<Head>) -> Result<()> {
        let Ok(directory) = self.directory_mut(id) else { return Ok(()) };
        let Some(Slot::Object { etag, sure, .. }) = directory.entries.get_mut(name) else { return Ok(()) };
        // Another one by now: who reads it is told.
        let target = head.filter(|head| *head.etag == **etag).and_then(|head| keys::target(&head.metadata));
        *sure = true;
        match target {
            Some(target) => self.link(id, name, &target),
            None => Ok(()),
        }
    }

    /// An object turns out to be a link.
    fn link(&mut self, parent: u64, name: &str, target: &str) -> Result<()> {
        let id = self.promote(parent, name)?;
        self.node_mut(id)?.what = What::Link(target.into());
        Ok(())
    }

    /// A name of a directory is another thing now.
    pub(super) fn set(&mut self, parent: u64, name: &str, slot: Option<Slot>) -> Result<()> {
        let directory = self.directory_mut(parent)?;
        let (before, after) = match slot {
            Some(slot) => (directory.entries.insert(name.into(), slot).is_some(), true),
            None => (directory.entries.remove(name).is_some(), false),
        };
        self.names = self.names + usize::from(after) - usize::from(before);
        Ok(())
    }

    /// Forgets what the bucket can be asked again, where more is known than may be.
    fn forget_above(&mut self, loaded: u64) -> Result<()> {
        if self.names <= NAMES_MAX {
            return Ok(());
        }
        self.forget(ROOT, loaded)?;
        // Of one that is large already, no more is remembered than may be.
        if self.names > NAMES_MAX
            && let Ok(directory) = self.directory_mut(loaded)
            && !matches!(directory.known, Known::Large)
        {
            directory.known = Known::Large;
            let before = directory.entries.len();
            // Who reads it is at its last names now.
            let from = directory.entries.keys().nth_back(LOOKED_MAX / 2).cloned().unwrap_or_default();
            let own = |slot: &Slot| matches!(slot, Slot::Node(_) | Slot::Removed);
            let prefix = directory.prefix.clone().unwrap_or_default();
            let forgotten =
                directory.entries.range::<Box<str>, _>(..=&from).filter(|(_, slot)| matches!(slot, Slot::Prefix));
            let forgotten: Vec<_> = forgotten.map(|(name, _)| format!("{prefix}{name}")).collect();
            directory.entries.retain(|name, slot| own(slot) || *name > from);
            let kept = directory.entries.iter().filter(|(_, slot)| !own(slot)).map(|(name, _)| name.clone());
            let (kept, after): (Vec<_>, _) = (kept.collect(), directory.entries.len());
            self.names -= before - after;
            self.show(forgotten);
            self.remember(loaded, kept);
        }
        Ok(())
    }

    /// Forgets all in a directory that the call has not changed, but for one that is being read; answers whether nothing is
    /// left that it must know of the directory.
    fn forget(&mut self, id: u64, except: u64) -> Result<bool> {
        if id == except {
            return Ok(false);
        }
        let entries = std::mem::take(&mut self.directory_mut(id)?.entries);
        let (before, mut kept) = (entries.len(), BTreeMap::new());
        let prefix = self.directory(id)?.prefix.clone();
        let mut whole = prefix.is_none();
        for (name, slot) in entries {
            let hides = matches!(slot, Slot::Prefix | Slot::Node(_)) && !self.hidden.is_empty();
            let slot = match slot {
                Slot::Node(child) if matches!(self.node(child)?.what, What::Directory(_)) => {
                    match self.forget(child, except)? {
                        true => {
                            self.drop_node(child);
                            None
                        }
                        false => Some(Slot::Node(child)),
                    }
                }
                Slot::Node(child) if self.is_known_link(child)? => {
                    self.drop_node(child);
                    None
                }
                Slot::Node(_) | Slot::Removed => Some(slot),
                Slot::Object { .. } | Slot::Prefix | Slot::Nothing => None,
            };
            if let (true, None, Some(prefix)) = (hides, &slot, &prefix) {
                self.show([format!("{prefix}{name}")]);
            }
            kept.extend(slot.map(|slot| (name, slot)));
        }
        self.names -= before - kept.len();
        let node = self.node_mut(id)?;
        let clean = kept.is_empty() && node.open == 0 && !node.touched;
        let What::Directory(directory) = &mut node.what else { return Err(lost()) };
        whole |= matches!(directory.known, Known::Large);
        if !whole {
            // Single names first: two that do not fit together would drive each other out for ever.
            (directory.known, directory.looks) = (Known::Part { last: None, next: None }, 0);
        }
        directory.entries = kept;
        // What was made, moved or found to be large is not found again by asking.
        Ok(clean && !whole && id != ROOT && self.is_in_place(id))
    }

    /// Whether a node is a link that the call has not changed.
    fn is_known_link(&self, id: u64) -> Result<bool> {
        let node = self.node(id)?;
        let here = self.key_of(id)?;
        let same = node.origin.as_ref().is_some_and(|origin| here.as_deref() == Some(&*origin.key));
        Ok(matches!(node.what, What::Link(_)) && node.open == 0 && !node.touched && same)
    }

    /// Whether a directory is where the bucket has it.
    pub(super) fn is_in_place(&self, id: u64) -> bool {
        let place = || -> Result<bool> {
            let node = self.node(id)?;
            let (Some(above), Some(own)) = (&self.directory(node.parent)?.prefix, &self.directory(id)?.prefix) else {
                return Ok(false);
            };
            let name = own.strip_prefix(&**above).and_then(|name| name.strip_suffix('/'));
            Ok(node.named && name == Some(&*node.name))
        };
        id == ROOT || place().unwrap_or(false)
    }

    /// The key that a node has by its place, a directory's with `/`; `None` for what has no name.
    pub(super) fn key_of(&self, id: u64) -> Result<Option<String>> {
        let (mut names, mut at) = (Vec::new(), id);
        while at != ROOT {
            let node = self.node(at)?;
            if !node.named {
                return Ok(None);
            }
            names.push(&*node.name);
            at = node.parent;
        }
        let root = self.directory(ROOT)?.prefix.clone().unwrap_or_default();
        names.reverse();
        let end = if matches!(self.node(id)?.what, What::Directory(_)) && id != ROOT { "/" } else { "" };
        Ok(Some(format!("{root}{}{end}", names.join("/"))))
    }
}

pub(super) fn lost() -> Error {
    Error::new(ErrorKind::Io, "the tree has lost a node")
}

#[cfg(test)]
mod tests {
    use super::super::super::bucket::{Bucket, Listed};
    use super::super::super::cache::{Cache, Share};
    use super::super::super::client;
    use super::super::super::reader::Reader;
    use super::super::super::settings::{S3Credentials, S3Settings};
    use super::super::{Janitor, Room, Scratch, Uploads};
    use super::*;
    use crate::clock::SystemClock;

    /// The tree of a call to a bucket that nobody asks: what it would answer is put in by hand.
    async fn tree() -> Tree {
        let key = || "key".to_owned();
        let credentials = S3Credentials { access_key: key(), secret_key: key(), session_token: None };
        let settings = S3Settings {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: Some("nowhere".to_owned()),
            credentials: Some(credentials),
            ..S3Settings::new("bucket")
        };
        let bucket = Bucket::new(client(&settings).await, "bucket".to_owned(), settings.retry, Arc::new(SystemClock));
        let cache = Cache::new("bucket", &settings.cache).expect("it has no directory");
        let share = Share { of: "".into(), bytes: u64::MAX };
        let janitor = Janitor::new(bucket.clone());
        let parts = Parts {
            reader: Reader::new(bucket.clone(), cache, share),
            scratch: Scratch::new(Room::open(0, None).expect("there is room for nothing")),
            uploads: Uploads { bucket, janitor },
            file_bytes_max: u64::MAX,
        };
        Tree::new("".into(), Arc::new(parts), 0)
    }

    /// A page of names that are an object and a directory each.
    fn pairs(prefix: &str, numbers: std::ops::Range<usize>, next: Option<&str>) -> Listing {
        let keys = || numbers.clone().map(|number| format!("{prefix}{number:06}"));
        let object = |key| Listed { key, etag: "\"etag\"".to_owned(), size: 1, modified_ns: 0 };
        let prefixes: Vec<_> = keys().map(|key| format!("{key}/")).collect();
        let last = prefixes.last().cloned();
        Listing { objects: keys().map(object).collect(), prefixes, next: next.map(str::to_owned), last }
    }

    /// The node of a directory of the root, which has these.
    fn directory(tree: &mut Tree, name: &str, all: &[String]) -> u64 {
        let path = VPath::new(name).expect("a path");
        for _ in 0..2 {
            match tree.there(&path, Follow::No) {
                Ok((_, Place::Node(id))) => return id,
                Err(Need::Fetch(Fetch::Pages(_))) => {
                    let prefixes = all.iter().map(|name| format!("{name}/")).collect();
                    tree.add_page(ROOT, "", None, Listing { prefixes, ..Listing::default() }).expect("it is there");
                }
                _ => break,
            }
        }
        panic!("`{name}` is no directory")
    }

    #[tokio::test]
    async fn what_a_directory_hides_is_forgotten_with_its_name() {
        let (mut tree, each) = (tree().await, 10_000);
        let names: Vec<_> = (0..30).map(|number| format!("d{number:02}")).collect();
        let read = |tree: &mut Tree, name: &str| {
            let id = directory(tree, name, &names);
            tree.add_page(id, &format!("{name}/"), None, pairs(&format!("{name}/"), 0..each, None))
                .expect("it is there");
            id
        };
        let first = read(&mut tree, "d00");
        assert_eq!(tree.hidden.len(), each);
        // What the call has taken away it may put a file in the place of.
        tree.set(first, "000007", Some(Slot::Removed)).expect("it is there");
        for name in &names[1..] {
            read(&mut tree, name);
            assert!(tree.hidden.len() <= NAMES_MAX + 1, "{} are remembered at `{name}`", tree.hidden.len());
        }
        assert!(tree.names <= NAMES_MAX);
        assert!(tree.hidden.contains_key("d00/000007") && !tree.hidden.contains_key("d00/000008"));
        // Whoever asks again is told again.
        read(&mut tree, "d00");
        assert!(tree.hidden.contains_key("d00/000008"));
    }

    #[tokio::test]
    async fn of_a_directory_with_too_many_names_what_the_last_ones_hide_is_remembered() {
        let mut tree = tree().await;
        let id = directory(&mut tree, "d", &["d".to_owned()]);
        let (mut at, mut asked) = (0, None::<String>);
        while !matches!(tree.directory(id).expect("it is there").known, Known::Large) {
            let next = (at + 1_000).to_string();
            tree.add_page(id, "d/", asked.as_deref(), pairs("d/", at..at + 1_000, Some(&next))).expect("it is there");
            (at, asked) = (at + 1_000, Some(next));
        }
        assert!(at >= NAMES_MAX, "{at}");
        assert!(tree.hidden.len() <= LOOKED_MAX, "{}", tree.hidden.len());
        for page in 0..20 {
            let at = page * 1_000;
            let listing = pairs("d/", at..at + 1_000, Some("more"));
            tree.add_listed(id, "d/", &listing, &BTreeMap::new()).expect("it is there");
            tree.add_prefix(id, &format!("{:06}", at + 999), Some("etag".into())).expect("it is there");
            assert!(tree.hidden.len() <= LOOKED_MAX, "{} at {at}", tree.hidden.len());
        }
        assert!(tree.hidden.contains_key("d/019999") && !tree.hidden.contains_key("d/000000"));
    }

    #[test]
    fn a_listing_has_decided_what_cannot_come_any_more() {
        // Keys come as `img`, `img-1`, `img.d/`, `img/`, `imh`.
        for (last, name, expected) in [
            ("imh", "img", true),
            ("img/", "img", true),
            ("img", "img", false),
            ("img-1", "img", false),
            ("img-1", "img-0", true),
            ("img-1", "img-1", false),
            ("img-1", "imf", true),
            ("img-1", "imh", false),
        ] {
            assert_eq!(decided(last, name), expected, "{name} at {last}");
        }
        assert_eq!(open("img-01.png").collect::<Vec<_>>(), ["img", "img-01", "img-01.png"]);
        assert_eq!(open("-a").collect::<Vec<_>>(), ["-a"]);
        assert_eq!(open("é/").collect::<Vec<_>>(), ["é/"]);
    }
}
