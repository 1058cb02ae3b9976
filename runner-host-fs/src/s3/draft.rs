//! What one call sees and has made of a bucket's files: the tree, and how what it lacks is fetched and what it has more is
//! published. Visible to nobody else until then.

mod body;
mod change;
mod list;
mod plan;
mod publish;
mod scratch;
mod tree;
mod upload;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};

pub(crate) use self::body::{Body, Parts};
pub(crate) use self::change::Opened;
pub(crate) use self::plan::Which;
pub(crate) use self::scratch::{Room, Scratch};
pub(crate) use self::tree::{Need, Tree};
pub(crate) use self::upload::{Janitor, Uploads, stamp};

use self::list::Listed;
use self::tree::{Fetch, ROOT, open};
use super::bucket::{Bucket, LISTED_MAX, Start};
use super::commit::Commits;
use super::keys::{self, LINK, OURS};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{Entry, Kind, Page};
use crate::volume::Changes;

/// Requests that one question makes at the same time.
const ASKING_MAX: usize = 32;

/// Questions to the bucket that one operation may lead to: a rename of 100,000 names asks some hundred times.
const QUESTIONS_MAX: usize = 100_000;

/// A call's files.
pub(crate) struct Draft {
    tree: Mutex<Tree>,
    pub(crate) parts: Arc<Parts>,
    bucket: Bucket,
    commits: Commits,
    /// One publishing at a time.
    publishing: tokio::sync::Mutex<()>,
    changes: Mutex<BTreeMap<VPath, publish::Change>>,
    unnamed: Mutex<u64>,
}

impl Draft {
    pub(crate) fn new(parts: Arc<Parts>, commits: Commits) -> Self {
        let bucket = commits.bucket.clone();
        let tree = Tree::new(commits.keys.root().clone(), parts.clone(), bucket.clock().now_ns());
        let (publishing, changes, unnamed) = Default::default();
        Draft { tree: Mutex::new(tree), parts, bucket, commits, publishing, changes, unnamed }
    }

    pub(crate) fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.bucket.clock().now_ns()
    }

    /// Does something with the tree, as soon as all is known that it takes.
    pub(crate) async fn settled<T>(&self, mut work: impl FnMut(&mut Tree) -> Result<T, Need>) -> Result<T> {
        for _ in 0..QUESTIONS_MAX {
            let done = work(&mut self.tree());
            match done {
                Ok(value) => return Ok(value),
                Err(Need::Refuse(error)) => return Err(error),
                Err(Need::Fetch(fetch)) => self.fetch(fetch).await?,
            }
        }
        Err(Error::new(ErrorKind::Io, format!("{QUESTIONS_MAX} answers of the bucket have not settled it")))
    }

    /// Asks the bucket, and puts the answer into the tree.
    async fn fetch(&self, fetch: Fetch) -> Result<()> {
        match fetch {
            Fetch::Pages(pages) => {
                let asked = pages.into_iter().map(|(id, prefix, next)| async move {
                    let start = next.map_or(Start::First, Start::Page);
                    let listed = self.bucket.list(&prefix, true, start.clone(), LISTED_MAX).await;
                    let mut listing = listed.map_err(|trouble| trouble.told("a listing", &prefix))?;
                    // Somebody's commit is under way, or was left half done.
                    if id == ROOT && listing.prefixes.contains(&format!("{prefix}{OURS}/")) && self.commits.may_write {
                        self.commits.recover().await?;
                        let listed = self.bucket.list(&prefix, true, start, LISTED_MAX).await;
                        listing = listed.map_err(|trouble| trouble.told("a listing", &prefix))?;
                    }
                    self.tree().add_page(id, &prefix, listing)
                });
                stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(ASKING_MAX).try_collect().await
            }
            Fetch::Name { directory, prefix, name } => {
                let key = keys::child(&prefix, &name)?;
                let below = format!("{key}/");
                let (head, listing) =
                    tokio::join!(self.bucket.head(&key), self.bucket.list(&below, false, Start::First, 1));
                let head = head.map_err(|trouble| trouble.told("a look", &key))?;
                let listing = listing.map_err(|trouble| trouble.told("a look", &below))?;
                let is_directory = !listing.objects.is_empty() || listing.next.is_some();
                self.tree().add_name(directory, &name, is_directory, head)
            }
            Fetch::Links { directory, prefix, names } => {
                let asked = names.into_iter().map(|name| {
                    let key = format!("{prefix}{name}");
                    async move {
                        let head = self.bucket.head(&key).await.map_err(|trouble| trouble.told("a look", &key))?;
                        self.tree().add_link(directory, &name, head)
                    }
                });
                stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(ASKING_MAX).try_collect().await
            }
        }
    }

    pub(crate) async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        match self.settled(|tree| tree.list(path, after, limit)).await? {
            Listed::Page(page) => Ok(page),
            Listed::Large { directory, prefix } => self.list_large(directory, &prefix, after, limit).await,
        }
    }

    /// A page of a directory that has too many names, from the bucket. It remembers nothing.
    async fn list_large(&self, id: u64, prefix: &str, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        let mut start = after.map_or(Start::First, |after| Start::Behind(format!("{prefix}{after}")));
        loop {
            let listed = self.bucket.list(prefix, true, start, LISTED_MAX).await;
            let listing = listed.map_err(|trouble| trouble.told("a listing", prefix))?;
            let mut heads = BTreeMap::new();
            let unsure = listing.objects.iter().filter(|object| object.size == LINK.len() as u64);
            let asked = unsure.map(|object| async move { (object, self.bucket.head(&object.key).await) });
            let mut asked = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(ASKING_MAX);
            while let Some((object, head)) = asked.next().await {
                let head = head.map_err(|trouble| trouble.told("a look", &object.key))?;
                let name = object.key.strip_prefix(prefix).unwrap_or_default();
                heads.extend(head.map(|head| (name.to_owned(), head)));
            }
            drop(asked);
            let Some(next) = &listing.next else {
                return self.tree().merge((id, prefix), (after, None), &listing, &heads, limit);
            };
            // Up to the first name of which is not known whether it is a directory. Where nothing is before it, it is asked for.
            let last = listing.last.as_deref().and_then(|last| last.strip_prefix(prefix)).unwrap_or_default();
            for open in open(last).filter(|open| after.is_none_or(|after| *open > after)) {
                let page = self.tree().merge((id, prefix), (after, Some(open)), &listing, &heads, limit)?;
                if !page.entries.is_empty() {
                    return Ok(page);
                }
                let key = format!("{prefix}{open}/");
                let below = self.bucket.list(&key, false, Start::First, 1).await;
                let below = below.map_err(|trouble| trouble.told("a look", &key))?;
                if keys::is_name(open) && (!below.objects.is_empty() || below.next.is_some()) {
                    let entry = Entry { name: open.to_owned(), kind: Kind::Directory, inode: keys::inode(&key) };
                    return Ok(Page { entries: vec![entry], more: true });
                }
            }
            // All of it is known now, the last name too.
            let end = format!("{last}\0");
            let page = self.tree().merge((id, prefix), (after, Some(&end)), &listing, &heads, limit)?;
            if !page.entries.is_empty() {
                return Ok(page);
            }
            start = Start::Page(next.clone());
        }
    }

    /// What was published so far.
    pub(crate) fn changes(&self) -> Changes {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told =
            Changes { unnamed: *self.unnamed.lock().unwrap_or_else(PoisonError::into_inner), ..Changes::default() };
        for (path, change) in changes.iter() {
            match change {
                publish::Change::Added => told.added.push(path.clone()),
                publish::Change::Changed => told.changed.push(path.clone()),
                publish::Change::Removed => told.removed.push(path.clone()),
            }
        }
        told
    }
}
