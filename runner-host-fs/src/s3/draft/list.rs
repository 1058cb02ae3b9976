//! What is in a directory, page by page: from the tree where it is known, and from the bucket where it has too many names.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Bound;
use std::sync::Arc;

use super::super::bucket::{Head, Listing};
use super::super::keys::{self, LINK};
use super::tree::{DEVICE, Fetch, Known, Need, Place, Slot, Tree, What, open};
use crate::error::{Error, Result};
use crate::path::VPath;
use crate::vfs::{Entry, Follow, Kind, Page};

/// A page, or where to ask the bucket for one.
pub(crate) enum Listed {
    Page {
        page: Page,
        /// What will be asked for next, by who reads on.
        next: Option<Next>,
    },
    /// The directory has too many names to know them.
    Large { directory: u64, prefix: Arc<str> },
}

/// A page of a listing that is not the first.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) prefix: Arc<str>,
    pub(crate) page: String,
}

impl Tree {
    pub(crate) fn list(&mut self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Listed, Need> {
        let (end, place) = self.there(path, Follow::Yes)?;
        let id = match place {
            Place::Node(id) if matches!(self.node(id)?.what, What::Directory(_)) => id,
            _ => return Err(Error::not_directory(end.path).into()),
        };
        let directory = self.directory(id)?;
        let prefix = directory.prefix.clone();
        let first_open = match (&directory.known, &prefix) {
            (Known::Large, Some(prefix)) => return Ok(Listed::Large { directory: id, prefix: prefix.clone() }),
            (Known::All | Known::Large, _) => None,
            (Known::Part { last, .. }, _) => open(last.as_deref().unwrap_or_default()).next(),
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let shown = directory.entries.range::<str, _>((from, Bound::Unbounded));
        let shown = shown.filter(|(_, slot)| !matches!(slot, Slot::Removed | Slot::Nothing));
        let shown = shown.take_while(|(name, _)| first_open.is_none_or(|open| ***name < *open));
        // One more than there is room for says that there are more.
        let shown: Vec<_> = shown.take(Page::most(limit) + 1).collect();
        if shown.len() <= Page::most(limit)
            && let Some(page) = directory.page(id)
        {
            return Err(Need::Fetch(Fetch::Pages(vec![page])));
        }
        let unsure = shown.iter().filter(|(_, slot)| may_be_link(slot));
        let unsure: Vec<Box<str>> = unsure.map(|(name, _)| (*name).clone()).collect();
        if let (false, Some(prefix)) = (unsure.is_empty(), &prefix) {
            return Err(Need::Fetch(Fetch::Links { directory: id, prefix: prefix.clone(), names: unsure }));
        }
        let entries = shown.into_iter().filter_map(|(name, slot)| self.entry(prefix.as_deref(), name, slot));
        let page = Page::collect(entries, limit);
        let directory = self.directory_mut(id)?;
        let reads_on = after.is_some() && directory.listed_to.as_deref() == after;
        directory.listed_to = page.entries.last().map(|entry| entry.name.as_str().into());
        let next = match (&directory.known, prefix) {
            (Known::Part { next: Some(page), .. }, Some(prefix)) if reads_on => {
                Some(Next { prefix, page: page.clone() })
            }
            _ => None,
        };
        Ok(Listed::Page { page, next })
    }

    fn entry(&self, prefix: Option<&str>, name: &str, slot: &Slot) -> Option<Entry> {
        let (kind, inode) = match slot {
            Slot::Object { .. } => (Kind::File, keys::inode(&format!("{}{name}", prefix?))),
            Slot::Prefix => (Kind::Directory, keys::inode(&format!("{}{name}/", prefix?))),
            Slot::Node(id) => {
                let stat = self.stat_node(*id).ok()?;
                (stat.kind, stat.inode)
            }
            Slot::Removed | Slot::Nothing => return None,
        };
        Some(Entry { name: name.to_owned(), kind, device: Some(DEVICE), inode })
    }

    /// What of a directory that has too many names lies between two names, of what the bucket has listed; `heads` are of what
    /// might be links.
    pub(crate) fn merge(
        &self,
        (id, prefix): (u64, &str),
        (after, end): (Option<&str>, Option<&str>),
        listed: &Listing,
        heads: &BTreeMap<String, Head>,
        limit: NonZeroU32,
    ) -> Result<Page> {
        let directory = self.directory(id)?;
        let within = |name: &str| after.is_none_or(|after| name > after) && end.is_none_or(|end| name < end);
        let mut entries = BTreeMap::new();
        let objects = listed.objects.iter().filter_map(|object| {
            let name = object.key.strip_prefix(prefix)?;
            let link = heads.get(name).is_some_and(|head| keys::target(&head.metadata).is_some());
            Some((name, if link { Kind::Symlink } else { Kind::File }, keys::inode(&object.key)))
        });
        let prefixes = listed.prefixes.iter().filter_map(|key| {
            let name = key.strip_prefix(prefix)?.strip_suffix('/')?;
            Some((name, Kind::Directory, keys::inode(key)))
        });
        for (name, kind, inode) in objects.chain(prefixes).filter(|(name, ..)| keys::is_name(name) && within(name)) {
            entries.insert(name.to_owned(), Entry { name: name.to_owned(), kind, device: Some(DEVICE), inode });
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for (name, slot) in directory.entries.range::<str, _>((from, Bound::Unbounded)) {
            match slot {
                _ if !within(name) => {}
                Slot::Removed => drop(entries.remove(&**name)),
                Slot::Node(_) => {
                    entries.extend(self.entry(Some(prefix), name, slot).map(|entry| (name.to_string(), entry)));
                }
                Slot::Object { .. } | Slot::Prefix | Slot::Nothing => {}
            }
        }
        let mut page = Page::collect(entries.into_values(), limit);
        page.more |= end.is_some();
        Ok(page)
    }
}

fn may_be_link(slot: &Slot) -> bool {
    matches!(slot, Slot::Object { size, sure: false, .. } if *size == LINK.len() as u64)
}
