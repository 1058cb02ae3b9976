//! What of a call's tree is not in the bucket yet: what to write at which key, what to remove, and what of it must be as it was
//! seen. Nothing here asks or changes the bucket.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::cache::Version;
use super::super::keys::LINK;
use super::body::Body;
use super::tree::{Fetch, Known, Need, Node, ROOT, Slot, Tree, What};
use crate::error::{Error, ErrorKind, Result};

/// What a commit is to do.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) puts: Vec<Put>,
    /// Keys, with the ETags that their objects have.
    pub(crate) deletes: Vec<(String, Arc<str>)>,
    /// Keys that nothing may have, since a directory has the name.
    pub(crate) free: Vec<String>,
    /// Directories that are elsewhere in the bucket afterwards, or new there.
    pub(crate) moved: Vec<Moved>,
    /// The prefixes of directories that are no more.
    pub(crate) gone: BTreeSet<Arc<str>>,
}

/// A directory that is elsewhere.
pub(crate) struct Moved {
    id: u64,
    pub(crate) prefix: String,
    /// Its prefix before, where there was one.
    pub(crate) from: Option<Arc<str>>,
}

/// An object to write.
pub(crate) struct Put {
    pub(crate) id: u64,
    pub(crate) key: Arc<str>,
    /// The ETag of what has the key; `None` where nothing has.
    pub(crate) expected: Option<Arc<str>>,
    pub(crate) source: Source,
}

/// What is in it.
pub(crate) enum Source {
    /// What a call has written.
    Written {
        body: Arc<Body>,
        modified_ns: u64,
    },
    /// What the bucket has at another key, or with other metadata: with a time of its change where the call has set one.
    Kept {
        version: Version,
        modified_ns: Option<u64>,
    },
    Link {
        target: Arc<str>,
        modified_ns: u64,
    },
    /// A directory with nothing in it.
    Marker,
}

/// What to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// All there is.
    All,
    /// All but the bytes of files that are open for writing; these only of one.
    But(Option<u64>),
}

/// An object that was written, or found written.
pub(crate) struct Written {
    pub(crate) id: u64,
    pub(crate) version: Version,
    /// How many changes its body had.
    pub(crate) changes: u64,
}

impl Tree {
    pub(crate) fn plan(&mut self, which: Which) -> Result<Plan, Need> {
        let directories = self.all_known()?;
        let (mut plan, mut left) = (Plan::default(), BTreeMap::new());
        for (id, prefix) in &directories {
            let mut live = false;
            for (name, slot) in self.directory(*id)?.live() {
                let Slot::Node(child) = slot else {
                    live = true;
                    continue;
                };
                let (node, key) = (self.node(*child)?, format!("{prefix}{name}"));
                if self.is_held(*child, &key, which)? {
                    continue;
                }
                live = true;
                let elsewhere = node.origin.as_ref().filter(|origin| *origin.key != *key);
                if !matches!(node.what, What::Directory(_)) {
                    left.extend(elsewhere.map(|origin| (origin.key.to_string(), origin.etag.clone())));
                }
                let source = source(node, elsewhere.is_some());
                let put = |source| Put { id: *child, key: key.into(), expected: None, source };
                plan.puts.extend(source.map(put));
            }
            let (node, directory) = (self.node(*id)?, self.directory(*id)?);
            if directory.prefix.as_deref() != Some(prefix) {
                plan.moved.push(Moved { id: *id, prefix: prefix.clone(), from: directory.prefix.clone() });
                plan.gone.extend(directory.prefix.clone());
                plan.free.extend(prefix.strip_suffix('/').map(str::to_owned));
            }
            let marker = node.origin.as_ref();
            let elsewhere = marker.filter(|marker| *marker.key != **prefix);
            left.extend(elsewhere.map(|marker| (marker.key.to_string(), marker.etag.clone())));
            let marked = marker.is_some() && elsewhere.is_none();
            // What is not known whole has more in it.
            if !live && !marked && *id != ROOT && matches!(directory.known, Known::All) {
                let key = prefix.as_str().into();
                plan.puts.push(Put { id: *id, key, expected: None, source: Source::Marker });
            }
        }
        left.extend(self.gone.iter().map(|(key, etag)| (key.clone(), etag.clone())));
        for put in &mut plan.puts {
            let own = self.node(put.id)?.origin.as_ref().filter(|origin| origin.key == put.key);
            let own = own.map(|origin| origin.etag.clone());
            // What is written over is not removed.
            put.expected = own.or(left.remove(&*put.key)).or(self.hidden.get(&*put.key).cloned());
        }
        plan.free.retain(|key| !left.contains_key(key) && !self.hidden.contains_key(key));
        plan.deletes = left.into_iter().collect();
        plan.gone.extend(self.gone_directories.iter().cloned());
        Ok(plan)
    }

    /// All directories that have been looked into, with their prefixes by where they are. What is to be moved in the bucket
    /// is known whole then, and each of its entries is a node.
    fn all_known(&mut self) -> Result<Vec<(u64, String)>, Need> {
        let root = self.directory(ROOT)?.prefix.clone().unwrap_or_default();
        let (mut all, mut unknown, mut at) = (vec![(ROOT, root.to_string())], Vec::new(), 0);
        while let Some((id, prefix)) = all.get(at).cloned() {
            at += 1;
            let directory = self.directory(id)?;
            if directory.prefix.as_deref() != Some(&*prefix) {
                if matches!(directory.known, Known::Large) {
                    let message = format!("directory `{prefix}` has too many names to be moved");
                    return Err(Error::new(ErrorKind::Unsupported, message).into());
                }
                unknown.extend(directory.page(id));
                self.promote_all(id)?;
            }
            for (name, slot) in self.directory(id)?.live() {
                if let Slot::Node(child) = slot
                    && matches!(self.node(*child)?.what, What::Directory(_))
                {
                    all.push((*child, format!("{prefix}{name}/")));
                }
            }
        }
        match unknown.is_empty() {
            true => Ok(all),
            false => Err(Need::Fetch(Fetch::Pages(unknown))),
        }
    }

    /// Makes a node of each entry of a directory.
    fn promote_all(&mut self, id: u64) -> Result<(), Need> {
        let (mut unsure, mut names) = (Vec::new(), Vec::new());
        let directory = self.directory(id)?;
        for (name, slot) in directory.live() {
            match slot {
                Slot::Object { size, sure: false, .. } if *size == LINK.len() as u64 => unsure.push(name.clone()),
                Slot::Object { .. } | Slot::Prefix => names.push(name.clone()),
                Slot::Node(_) | Slot::Removed | Slot::Nothing => {}
            }
        }
        if let (false, Some(prefix)) = (unsure.is_empty(), directory.prefix.clone()) {
            return Err(Need::Fetch(Fetch::Links { directory: id, prefix, names: unsure }));
        }
        for name in names {
            self.promote(id, &name)?;
        }
        Ok(())
    }

    /// Whether a file's bytes wait until it is synced or closed. Where its name has gone over another one's, or left a name
    /// behind, they do not: what has the name then would be neither the old file nor the new one.
    fn is_held(&self, id: u64, key: &str, which: Which) -> Result<bool> {
        let (node, Which::But(asked)) = (self.node(id)?, which) else { return Ok(false) };
        let What::File(body) = &node.what else { return Ok(false) };
        let in_place = match &node.origin {
            Some(origin) => *origin.key == *key,
            None => !self.gone.contains_key(key),
        };
        Ok(in_place && node.writers > 0 && body.is_dirty() && asked != Some(id))
    }

    /// A plan was carried out.
    pub(crate) fn apply(&mut self, plan: &Plan, written: &[Written]) -> Result<()> {
        for (key, etag) in &plan.deletes {
            // Unless it was made again, and taken away again, meanwhile.
            if self.gone.get(key) == Some(etag) {
                self.gone.remove(key);
            }
        }
        self.gone_directories.retain(|prefix| !plan.gone.contains(prefix));
        for Moved { id, prefix, .. } in &plan.moved {
            let Some(node) = self.nodes.get_mut(id) else { continue };
            node.origin = None;
            if let What::Directory(directory) = &mut node.what {
                (directory.prefix, directory.known) = (Some(prefix.as_str().into()), Known::All);
            }
        }
        for Written { id, version, .. } in written {
            self.gone.remove(&*version.key);
            self.hidden.remove(&*version.key);
            match self.nodes.get_mut(id) {
                Some(node) if node.named => {
                    node.touched &= matches!(node.what, What::Directory(_));
                    node.origin = Some(version.clone());
                }
                // It has lost its name meanwhile.
                _ => drop(self.gone.insert(version.key.to_string(), version.etag.clone())),
            }
        }
        Ok(())
    }

    /// Files that are open and have no name, of versions that a plan removes from the bucket: who reads them still must have
    /// their bytes before.
    pub(crate) fn orphans(&self) -> Vec<Arc<Body>> {
        let orphans = self.nodes.values().filter(|node| !node.named && node.open > 0);
        orphans.filter_map(|node| if let What::File(body) = &node.what { Some(body.clone()) } else { None }).collect()
    }

    /// What of the files that are open for writing is not in the bucket: bytes and names more than it has, or less.
    pub(crate) fn unpublished(&self) -> (i64, i64) {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let mut sum = (0_i64, 0_i64);
        for node in self.nodes.values().filter(|node| node.writers > 0) {
            let What::File(body) = &node.what else { continue };
            let there = node.origin.as_ref().filter(|_| node.named).map(|origin| signed(origin.size));
            sum.0 = sum.0.saturating_add(signed(body.size()).saturating_sub(there.unwrap_or(0)));
            sum.1 += i64::from(node.named && there.is_none());
        }
        sum
    }

    /// The bodies of what was written, with how many changes it had.
    pub(crate) fn bodies(&self, written: &[Written]) -> HashMap<u64, Arc<Body>> {
        let body = |written: &Written| match &self.nodes.get(&written.id)?.what {
            What::File(body) => Some((written.id, body.clone())),
            _ => None,
        };
        written.iter().filter_map(body).collect()
    }
}

/// What to write of a node, where the bucket does not have it as it is.
fn source(node: &Node, elsewhere: bool) -> Option<Source> {
    let modified_ns = node.times.modified_ns;
    match (&node.what, &node.origin) {
        (What::Directory(_), _) => None,
        (What::Link(_), Some(_)) if !node.touched && !elsewhere => None,
        (What::Link(target), _) => Some(Source::Link { target: target.clone(), modified_ns }),
        (What::File(body), Some(version)) if !body.is_dirty() => {
            let modified_ns = node.touched.then_some(modified_ns);
            (elsewhere || node.touched).then(|| Source::Kept { version: version.clone(), modified_ns })
        }
        (What::File(body), _) => Some(Source::Written { body: body.clone(), modified_ns }),
    }
}
