//! What one call sees and has made of a bucket's files: the tree, and how what it lacks is fetched and what it has more is
//! published. Visible to nobody else until then.

mod body;
mod change;
mod list;
mod pages;
mod plan;
mod publish;
mod scratch;
mod tree;
mod upload;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};

pub(crate) use self::body::{Body, Parts};
pub(crate) use self::change::Opened;
pub(crate) use self::plan::Which;
pub(crate) use self::scratch::{Room, Scratch};
pub(crate) use self::tree::{Need, Tree};
pub(crate) use self::upload::{Janitor, Uploads, stamp};

use self::pages::Pages;
use self::tree::{Fetch, ROOT};
use super::bucket::{Bucket, LISTED_MAX, Listing, Start};
use super::commit::Commits;
use super::keys::{self, OURS};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
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
    pages: Pages,
    /// Why a commit of the call did not come to its end: none is begun after it.
    failed: OnceLock<(ErrorKind, String)>,
    /// Who counts is told when something was published, and what of bytes and names is not yet.
    pub(crate) published: OnceLock<Published>,
}

pub(crate) type Published = Box<dyn Fn((i64, i64)) + Send + Sync>;

impl Draft {
    pub(crate) fn new(parts: Arc<Parts>, commits: Commits) -> Self {
        let bucket = commits.bucket.clone();
        let tree = Tree::new(commits.keys.root().clone(), parts.clone(), bucket.clock().now_ns());
        let (publishing, changes, unnamed, pages) = Default::default();
        let (failed, published) = (OnceLock::new(), OnceLock::new());
        Draft { tree: Mutex::new(tree), parts, bucket, commits, publishing, changes, unnamed, pages, failed, published }
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
                    let start = next.clone().map_or(Start::First, Start::Page);
                    let listed = self.page(&prefix, start.clone()).await;
                    let mut listing = listed.map_err(|trouble| trouble.told("a listing", &prefix))?;
                    if id == ROOT && self.commits.may_write && self.is_half_done(&prefix, &next, &listing).await? {
                        let listed = self.bucket.list(&prefix, true, start, LISTED_MAX).await;
                        listing = listed.map_err(|trouble| trouble.told("a listing", &prefix))?;
                    }
                    self.tree().add_page(id, &prefix, next.as_deref(), listing)
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

    /// Whether a page of the root does not tell how it is, since somebody's commit was under way, or left half done. It is
    /// done then.
    async fn is_half_done(&self, prefix: &str, page: &Option<String>, listing: &Listing) -> Result<bool> {
        let ours = format!("{prefix}{OURS}/");
        if listing.prefixes.contains(&ours) {
            return self.commits.recover().await.map(|_| true);
        }
        // The first page tells it, unless a thousand names come before: then somebody has to ask.
        let ends_before = listing.next.is_some() && listing.last.as_ref().is_some_and(|last| *last < ours);
        Ok(page.is_none() && ends_before && self.commits.recover().await?)
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
