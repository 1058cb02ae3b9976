//! The names of a draft: the directories that it has changed, in memory, and the way along a path through them and the tree
//! below.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::ops::Bound;
use std::sync::Arc;

use super::{Belief, Body, Inner, Link, bytes_of, shown, shown_device};
use crate::error::{Error, Result};
use crate::path::VPath;
use crate::vfs::{Entry, Follow, Kind, Page, SetTimes, Stat, Vfs};
use crate::volume::ground::Ground;
use crate::walk::{End, Found, Walk};

/// The directory that is the root.
pub(in crate::volume) const ROOT: u64 = 0;

/// The directories that are not as they are below.
pub(in crate::volume) struct Names {
    pub(in crate::volume) dirs: HashMap<u64, Dir>,
    /// Which of them a directory below is.
    pub(in crate::volume) of: HashMap<VPath, u64>,
    /// Those that were removed, and are below.
    pub(in crate::volume) buried: Vec<u64>,
    /// Entries of all of them.
    pub(super) count: usize,
    /// Bytes of their names, of the targets of links among them, and of the paths of directories below.
    pub(super) bytes: usize,
}

/// A directory of the draft.
pub(in crate::volume) struct Dir {
    /// What shows through it.
    pub(in crate::volume) lower: Option<VPath>,
    /// What is not as it is below.
    pub(in crate::volume) entries: BTreeMap<Box<str>, Child>,
    pub(in crate::volume) accessed_ns: Option<u64>,
    pub(in crate::volume) modified_ns: Option<u64>,
    /// Whether the guest has set the times.
    pub(in crate::volume) set: bool,
}

/// What a name in a directory of the draft stands for.
#[derive(Clone)]
pub(in crate::volume) enum Child {
    /// Nothing, though there is something below.
    Gone,
    Dir(u64),
    File(Arc<Body>),
    Link(Arc<Link>),
}

/// What a path leads to.
#[derive(Clone)]
pub(super) enum At {
    Dir(u64),
    File(Arc<Body>),
    Link(Arc<Link>),
    /// What is as it is below; for a directory on the way, without asking.
    Lower(VPath, Option<Stat>),
}

impl Child {
    /// Bytes of its own text.
    fn bytes(&self) -> usize {
        match self {
            Child::Link(link) => link.target.len(),
            Child::Gone | Child::Dir(_) | Child::File(_) => 0,
        }
    }
}

impl Names {
    pub(super) fn new() -> Self {
        let root = Dir { lower: Some(VPath::root()), ..Dir::new(None) };
        let (dirs, of) = (HashMap::from([(ROOT, root)]), HashMap::from([(VPath::root(), ROOT)]));
        Names { dirs, of, buried: Vec::new(), count: 0, bytes: 0 }
    }

    pub(in crate::volume) fn dir(&self, id: u64) -> Result<&Dir> {
        self.dirs.get(&id).ok_or_else(lost)
    }

    pub(super) fn dir_mut(&mut self, id: u64) -> Result<&mut Dir> {
        self.dirs.get_mut(&id).ok_or_else(lost)
    }

    /// The directory of the draft that one below is, made where it is none yet.
    pub(super) fn materialise(&mut self, lower: &VPath) -> Result<u64> {
        let (mut at, mut missing) = (lower.clone(), Vec::new());
        let mut id = loop {
            if let Some(id) = self.of.get(&at) {
                break *id;
            }
            missing.push(at.clone());
            at = at.parent().ok_or_else(lost)?;
        };
        for path in missing.into_iter().rev() {
            // The numbers of those below need not be told apart from others': nobody sees them.
            let new = u64::MAX - self.dirs.len() as u64;
            self.dirs.insert(new, Dir { lower: Some(path.clone()), ..Dir::new(None) });
            let name = path.name().ok_or_else(lost)?;
            self.put(id, name, Child::Dir(new))?;
            self.bytes += bytes_of(&path);
            self.of.insert(path, new);
            id = new;
        }
        Ok(id)
    }

    /// The directory of the draft that a walk has ended in.
    pub(super) fn parent(&mut self, parent: &At) -> Result<u64> {
        match parent {
            At::Dir(id) => Ok(*id),
            At::Lower(path, _) => self.materialise(path),
            At::File(_) | At::Link(_) => Err(lost()),
        }
    }

    pub(super) fn put(&mut self, dir: u64, name: &str, child: Child) -> Result<()> {
        self.bytes += child.bytes();
        match self.dir_mut(dir)?.entries.insert(Box::from(name), child) {
            Some(before) => self.bytes -= before.bytes(),
            None => (self.count, self.bytes) = (self.count + 1, self.bytes + name.len()),
        }
        Ok(())
    }

    /// Takes an entry away, so that nothing shows through in its place.
    pub(super) fn hide(&mut self, dir: u64, name: &str, below: bool) -> Result<()> {
        if below {
            return self.put(dir, name, Child::Gone);
        }
        if let Some(before) = self.dir_mut(dir)?.entries.remove(name) {
            (self.count, self.bytes) = (self.count - 1, self.bytes - name.len() - before.bytes());
        }
        Ok(())
    }

    pub(super) fn touch(&mut self, dir: u64, now_ns: u64) -> Result<()> {
        let dir = self.dir_mut(dir)?;
        (dir.modified_ns, dir.set) = (Some(now_ns), false);
        Ok(())
    }
}

impl Dir {
    /// One that is not below, or whose times are those below.
    pub(super) fn new(now_ns: Option<u64>) -> Self {
        Dir { lower: None, entries: BTreeMap::new(), accessed_ns: now_ns, modified_ns: now_ns, set: false }
    }

    /// The path below of an entry.
    pub(in crate::volume) fn lower_of(&self, name: &str) -> Result<Option<VPath>> {
        self.lower.as_ref().map(|lower| lower.child(name)).transpose()
    }
}

fn lost() -> Error {
    Error::new(crate::ErrorKind::Io, "the draft has lost a directory")
}

impl<G: Ground> Inner<G> {
    pub(super) async fn walk(&self, names: &Names, path: &VPath, follow: Follow) -> Result<End<At>> {
        let mut walk = Walk::new(At::Dir(ROOT), path, follow);
        while let Some((dir, name)) = walk.next()? {
            let here = walk.path_of(&name)?;
            let found = match self.look(names, &dir, name.as_relative(), here, walk.is_last()).await? {
                None => None,
                Some(at) => Some(match &at {
                    At::Dir(_) | At::Lower(_, None) => Found::Directory(at),
                    At::File(_) => Found::Other(at),
                    At::Link(link) => {
                        let target = link.target.clone();
                        Found::Link(at, target)
                    }
                    At::Lower(path, Some(stat)) => match stat.kind {
                        Kind::Directory => Found::Directory(at),
                        Kind::Symlink => {
                            let target = self.lower.readlink(path).await?;
                            Found::Link(at, target)
                        }
                        Kind::File | Kind::Other => Found::Other(at),
                    },
                }),
            };
            if let Some(end) = walk.found(name, found)? {
                return Ok(end);
            }
        }
        walk.end()
    }

    /// What a name of a directory stands for; `here` is the path that led to it.
    async fn look(&self, names: &Names, dir: &At, name: &str, here: VPath, last: bool) -> Result<Option<At>> {
        let below = |lower: &VPath| match here.parent() {
            // Nearly always: nothing needs to be put together then.
            Some(parent) if parent == *lower => Ok(here),
            _ => lower.child(name),
        };
        let path = match dir {
            At::Dir(id) => {
                let dir = names.dir(*id)?;
                match dir.entries.get(name) {
                    Some(Child::Gone) => return Ok(None),
                    Some(Child::Dir(id)) => return Ok(Some(At::Dir(*id))),
                    Some(Child::File(body)) => return Ok(Some(At::File(body.clone()))),
                    Some(Child::Link(link)) => return Ok(Some(At::Link(link.clone()))),
                    None => dir.lower.as_ref().map(below).transpose()?,
                }
            }
            At::Lower(path, _) => Some(below(path)?),
            At::File(_) | At::Link(_) => None,
        };
        let Some(path) = path else { return Ok(None) };
        if !last && self.is_directory_below(&path) {
            return Ok(Some(At::Lower(path, None)));
        }
        Ok(self.below(&path).await?.map(|stat| At::Lower(path, Some(stat))))
    }

    /// What is there.
    pub(super) async fn find(&self, names: &Names, path: &VPath, follow: Follow) -> Result<(VPath, At)> {
        match self.walk(names, path, follow).await? {
            End { path, node: Some(at), .. } => Ok((path, at)),
            End { path, .. } => Err(Error::not_found(path)),
        }
    }

    /// A name that is not taken, and where.
    pub(super) async fn free(&self, names: &Names, path: &VPath) -> Result<(VPath, At)> {
        match self.walk(names, path, Follow::No).await? {
            End { path, node: Some(_), .. } => Err(Error::exists(path)),
            End { path, parent, .. } => Ok((path, parent)),
        }
    }

    /// Gives something a name, in a directory that a walk has ended in.
    pub(super) fn add(&self, names: &mut Names, parent: &At, path: &VPath, child: Child) -> Result<()> {
        let name = path.name().ok_or_else(Error::busy_root)?;
        let dir = names.parent(parent)?;
        if let Some(lower) = names.dir(dir)?.lower_of(name)? {
            self.believe(&lower, None, true);
        }
        names.put(dir, name, child)?;
        names.touch(dir, self.now_ns())
    }

    /// Takes a name away.
    pub(super) fn take(&self, names: &mut Names, parent: &At, path: &VPath) -> Result<()> {
        let name = path.name().ok_or_else(Error::busy_root)?;
        let dir = names.parent(parent)?;
        let lower = names.dir(dir)?.lower_of(name)?;
        let below = lower.as_ref().is_some_and(|lower| matches!(self.believed(lower), Some(Belief::There(_))));
        names.hide(dir, name, below)?;
        if let (Some(lower), false) = (&lower, below) {
            self.forget(lower);
        }
        names.touch(dir, self.now_ns())
    }

    pub(super) fn kind(&self, at: &At) -> Kind {
        match at {
            At::Dir(_) | At::Lower(_, None) => Kind::Directory,
            At::File(_) => Kind::File,
            At::Link(_) => Kind::Symlink,
            At::Lower(_, Some(stat)) => stat.kind,
        }
    }

    /// What something is, by device and inode.
    pub(super) fn identity(&self, at: &At) -> Option<(u64, u64)> {
        match at {
            At::File(body) => Some(body.identity),
            At::Link(link) => Some(link.identity),
            At::Lower(_, Some(stat)) => Some(shown(stat)),
            At::Dir(id) => Some((1, *id)),
            At::Lower(_, None) => None,
        }
    }

    pub(super) async fn stat_of(&self, names: &Names, at: &At) -> Result<Stat> {
        match at {
            At::Dir(id) => self.stat_dir(names, *id).await,
            At::File(body) => self.stat_body(body).await,
            At::Link(link) => Ok(link.stat()),
            At::Lower(path, stat) => {
                let stat = match stat {
                    Some(stat) => *stat,
                    None => self.below(path).await?.ok_or_else(|| Error::not_found(path))?,
                };
                // Another name of it may have been written to.
                if let Some(body) = self.known_body(path, &stat) {
                    return self.stat_body(&body).await;
                }
                let (device, inode) = shown(&stat);
                Ok(Stat { device, inode, ..stat })
            }
        }
    }

    async fn stat_dir(&self, names: &Names, id: u64) -> Result<Stat> {
        let dir = names.dir(id)?;
        let below = match &dir.lower {
            Some(path) => self.below(path).await?,
            None => None,
        };
        let stat = match below {
            Some(stat) => {
                let (device, inode) = shown(&stat);
                Stat { device, inode, ..stat }
            }
            None => Stat {
                kind: Kind::Directory,
                size: 0,
                links: 1,
                device: 1,
                inode: id,
                accessed_ns: 0,
                modified_ns: 0,
                changed_ns: 0,
            },
        };
        Ok(Stat {
            accessed_ns: dir.accessed_ns.unwrap_or(stat.accessed_ns),
            modified_ns: dir.modified_ns.unwrap_or(stat.modified_ns),
            changed_ns: dir.modified_ns.map_or(stat.changed_ns, |ns| ns.max(stat.changed_ns)),
            ..stat
        })
    }

    pub(super) async fn set_dir_times(&self, names: &mut Names, id: u64, times: SetTimes) -> Result<()> {
        let stat = self.stat_dir(names, id).await?;
        let dir = names.dir_mut(id)?;
        dir.accessed_ns = Some(times.accessed.or(stat.accessed_ns, || self.now_ns()));
        dir.modified_ns = Some(times.modified.or(stat.modified_ns, || self.now_ns()));
        dir.set = true;
        Ok(())
    }

    async fn list_below(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        let mut page = self.lower.list(path, after, limit).await?;
        for entry in &mut page.entries {
            entry.device = entry.device.map(shown_device);
        }
        Ok(page)
    }

    /// The entries of a directory.
    pub(super) async fn list_at(&self, names: &Names, at: &At, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        let dir = match at {
            At::Dir(id) => names.dir(*id)?,
            At::Lower(path, _) => return self.list_below(path, after, limit).await,
            At::File(_) | At::Link(_) => return Ok(Page::default()),
        };
        let mut after = after.map(str::to_owned);
        loop {
            let below = match &dir.lower {
                None => Page::default(),
                Some(path) => match self.list_below(path, after.as_deref(), limit).await {
                    Err(error) if error.kind() == crate::ErrorKind::NotFound => Page::default(),
                    page => page?,
                },
            };
            // Behind the last name of a page that is not the last one, nothing is known yet.
            let known = below.entries.last().filter(|_| below.more).map(|entry| entry.name.clone());
            let entries = below.entries.into_iter().filter(|entry| !dir.entries.contains_key(entry.name.as_str()));
            let mut merged: BTreeMap<_, _> = entries.map(|entry| (entry.name.clone(), entry)).collect();
            let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let to = known.as_deref().map_or(Bound::Unbounded, Bound::Included);
            let own = dir.entries.range::<str, _>((from, to)).filter_map(|(name, child)| {
                let (kind, (device, inode)) = match child {
                    Child::Gone => return None,
                    Child::Dir(id) => (Kind::Directory, (1, *id)),
                    Child::File(body) => (Kind::File, body.identity),
                    Child::Link(link) => (Kind::Symlink, link.identity),
                };
                Some(Entry { name: name.to_string(), kind, device: Some(device), inode })
            });
            // One more than a page holds tells that there are more.
            merged.extend(own.take(Page::most(limit) + 1).map(|entry| (entry.name.clone(), entry)));
            let mut page = Page::collect(merged.into_values(), limit);
            page.more |= known.is_some();
            for entry in page.entries.iter_mut().filter(|entry| entry.kind == Kind::Directory) {
                if let Some(Child::Dir(id)) = dir.entries.get(entry.name.as_str()) {
                    let stat = self.stat_dir(names, *id).await?;
                    (entry.device, entry.inode) = (Some(stat.device), stat.inode);
                }
            }
            if !page.entries.is_empty() || known.is_none() {
                return Ok(page);
            }
            after = known;
        }
    }
}
