//! Listings of the bucket: a directory that is read on and on is asked for its next page while this one is looked at, and
//! one that has too many names to know them is read from the page that came last.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, stream};
use tokio::task::JoinSet;

use super::super::bucket::{Head, LISTED_MAX, Listing, Start};
use super::super::keys::{self, LINK};
use super::super::trouble::Trouble;
use super::list::{Listed, Next};
use super::tree::{DEVICE, open};
use super::{ASKING_MAX, Draft};
use crate::error::Result;
use crate::path::VPath;
use crate::vfs::{Entry, Kind, Page};

/// What is at hand of directories that are being listed.
#[derive(Default)]
pub(super) struct Pages(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// How often the call has changed the bucket.
    changes: u64,
    ahead: Option<Ahead>,
    part: Option<Arc<Part>>,
}

/// The page that will be wanted next. Nobody asks for it any more when this is dropped.
struct Ahead {
    next: Next,
    asked: JoinSet<Result<Listing, Trouble>>,
}

/// A page of a directory that has too many names, with what was left of the one before.
struct Part {
    prefix: Arc<str>,
    /// The name behind which it begins.
    from: Option<String>,
    /// The last name of the page before.
    was_last: Option<String>,
    listing: Listing,
    /// What of it might be a link.
    heads: BTreeMap<String, Head>,
}

impl Pages {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call has changed the bucket: what was asked before does not tell it.
    pub(super) fn forget(&self) {
        let mut held = self.held();
        *held = Held { changes: held.changes + 1, ..Held::default() };
    }

    /// What was asked ahead, if it is this.
    fn take(&self, prefix: &str, start: &Start) -> Option<Ahead> {
        let Start::Page(page) = start else { return None };
        self.held().ahead.take_if(|ahead| &*ahead.next.prefix == prefix && ahead.next.page == *page)
    }

    /// The page at hand, if what comes behind a name is in it.
    fn part(&self, prefix: &str, after: &str) -> Option<Arc<Part>> {
        let held = self.held();
        let part = held.part.as_ref().filter(|part| &*part.prefix == prefix)?;
        let begun = part.from.as_deref().is_none_or(|from| from <= after);
        let goes_on = part.listing.next.is_none() || after <= part.last();
        (begun && goes_on).then(|| part.clone())
    }
}

impl Part {
    /// The last name that was listed, a directory's with `/`.
    fn last(&self) -> &str {
        let last = self.listing.last.as_deref();
        last.and_then(|last| last.strip_prefix(&*self.prefix)).unwrap_or_default()
    }

    /// Whether the page before had left it open, too, whether a name is a directory.
    fn was_open(&self, name: &str) -> bool {
        self.was_last.as_deref().is_some_and(|last| open(last).any(|open| open == name))
    }
}

impl Draft {
    /// A page of what is below a prefix. Where asking ahead has failed, it is asked for as if nobody had.
    pub(super) async fn page(&self, prefix: &str, start: Start) -> Result<Listing, Trouble> {
        if let Some(mut ahead) = self.pages.take(prefix, &start)
            && let Some(Ok(Ok(listing))) = ahead.asked.join_next().await
        {
            return Ok(listing);
        }
        self.bucket.list(prefix, true, start, LISTED_MAX).await
    }

    /// Asks for the page that will be wanted next.
    async fn ask_ahead(&self, next: Next) {
        {
            let mut held = self.pages.held();
            if held.ahead.as_ref().is_some_and(|ahead| ahead.next == next) {
                return;
            }
            // Nobody may want it: it spends none of the call's tries.
            let (bucket, mut asked) = (self.bucket.once(), JoinSet::new());
            let Next { prefix, page } = next.clone();
            asked.spawn(async move { bucket.list(&prefix, true, Start::Page(page), LISTED_MAX).await });
            held.ahead = Some(Ahead { next, asked });
        }
        // It is sent before a guest goes on that may not leave the thread to anybody for long.
        tokio::task::yield_now().await;
    }

    pub(crate) async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        match self.settled(|tree| tree.list(path, after, limit)).await? {
            Listed::Page { page, next } => {
                if let Some(next) = next {
                    self.ask_ahead(next).await;
                }
                Ok(page)
            }
            Listed::Large { directory, prefix } => self.list_large(directory, &prefix, after, limit).await,
        }
    }

    /// A page of a directory that has too many names, from the bucket. Only what came last is remembered.
    async fn list_large(&self, id: u64, prefix: &Arc<str>, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        let mut part = match after.and_then(|after| self.pages.part(prefix, after)) {
            Some(part) => {
                if let Some(page) = part.listing.next.clone() {
                    self.ask_ahead(Next { prefix: prefix.clone(), page }).await;
                }
                part
            }
            None => {
                let start = after.map_or(Start::First, |after| Start::Behind(format!("{prefix}{after}")));
                self.fetch_part(id, prefix, after, start, None).await?
            }
        };
        while let Some(next) = &part.listing.next {
            let page = self.page_of(id, &part, after, limit).await?;
            if !page.entries.is_empty() {
                return Ok(page);
            }
            part = self.fetch_part(id, prefix, after, Start::Page(next.clone()), Some(&part)).await?;
        }
        self.tree().merge((id, prefix), (after, None), &part.listing, &part.heads, limit)
    }

    /// What is known, by what was listed, of the names behind one; nothing where the next page has to tell.
    async fn page_of(&self, id: u64, part: &Part, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        let Part { prefix, listing, heads, .. } = part;
        let merged = |end: &str| self.tree().merge((id, prefix), (after, Some(end)), listing, heads, limit);
        // Up to the first name of which is not known whether it is a directory.
        for open in open(part.last()).filter(|open| after.is_none_or(|after| *open > after)) {
            let page = merged(open)?;
            // The next page tells, most likely; where the last one did not, it is asked for.
            if !page.entries.is_empty() || !part.was_open(open) {
                return Ok(page);
            }
            if self.tree().is_own(id, open) {
                continue;
            }
            let key = format!("{prefix}{open}/");
            let below = self.bucket.list(&key, false, Start::First, 1).await;
            let below = below.map_err(|trouble| trouble.told("a look", &key))?;
            if keys::is_name(open) && (!below.objects.is_empty() || below.next.is_some()) {
                let object = listing.objects.iter().find(|object| object.key.strip_prefix(&**prefix) == Some(open));
                self.tree().add_prefix(id, open, object.map(|object| object.etag.as_str().into()))?;
                let entry = Entry {
                    name: open.to_owned(),
                    kind: Kind::Directory,
                    device: Some(DEVICE),
                    inode: keys::inode(&key),
                };
                return Ok(Page { entries: vec![entry], more: true });
            }
        }
        // All of it is known now, the last name too.
        merged(&format!("{}\0", part.last()))
    }

    /// Asks for a page of a directory that has too many names, and remembers it with what is behind a name of the one before.
    async fn fetch_part(
        &self,
        id: u64,
        prefix: &Arc<str>,
        after: Option<&str>,
        start: Start,
        before: Option<&Part>,
    ) -> Result<Arc<Part>> {
        let changes = self.pages.held().changes;
        let mut listing = self.page(prefix, start).await.map_err(|trouble| trouble.told("a listing", prefix))?;
        let mut heads = BTreeMap::new();
        let unsure = listing.objects.iter().filter(|object| object.size == LINK.len() as u64);
        let asked = unsure.map(|object| async move { (object, self.bucket.head(&object.key).await) });
        let mut asked = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(ASKING_MAX);
        while let Some((object, head)) = asked.next().await {
            let head = head.map_err(|trouble| trouble.told("a look", &object.key))?;
            let name = object.key.strip_prefix(&**prefix).unwrap_or_default();
            heads.extend(head.map(|head| (name.to_owned(), head)));
        }
        drop(asked);
        if let Some(before) = before {
            // From the first name on that was left open: nothing is left of those before it.
            let from = open(before.last()).find(|open| after.is_none_or(|after| *open > after));
            let is_left = |name: &str| from.is_some_and(|from| name >= from);
            let behind = |key: &str| {
                let name = key.strip_prefix(&**prefix).unwrap_or_default();
                is_left(name.strip_suffix('/').unwrap_or(name))
            };
            let objects = before.listing.objects.iter().filter(|object| behind(&object.key)).cloned();
            listing.objects.splice(0..0, objects);
            let prefixes = before.listing.prefixes.iter().filter(|key| behind(key)).cloned();
            listing.prefixes.splice(0..0, prefixes);
            let links = before.heads.iter().filter(|(name, _)| is_left(name));
            heads.extend(links.map(|(name, head)| (name.clone(), head.clone())));
            // A page may have nothing but keys that are no text.
            listing.last = listing.last.or_else(|| before.listing.last.clone());
        }
        let was_last = before.map(|before| before.last().to_owned());
        let part = Arc::new(Part { prefix: prefix.clone(), from: after.map(str::to_owned), was_last, listing, heads });
        let mut held = self.pages.held();
        // Not what was asked before a change of the call's own.
        if held.changes == changes {
            held.part = Some(part.clone());
            self.tree().add_listed(id, prefix, &part.listing, &part.heads)?;
        }
        drop(held);
        Ok(part)
    }
}
