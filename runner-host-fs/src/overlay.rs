//! Two trees as one: what is changed is changed in the upper one, and the lower one stays as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::RwLock;

use crate::error::{Error, ErrorKind, Result};
use crate::ext::{copy_one, times_of};
use crate::path::VPath;
use crate::vfs::{Entry, File, Flush, Follow, Kind, Open, Page, SetTime, SetTimes, Stat, Vfs, check_target};
use crate::walk::{End, Found, Walk};

/// A tree over another: copy on write. The upper one must be nobody else's, and the lower one should not change.
///
/// What is removed of the lower tree is remembered for as long as the overlay lives, in memory: an upper tree that is put
/// over the same lower one again shows it again. A file is copied when it is first opened for writing: who had it open
/// for reading before that reads the old one, and cannot set its times. Names that share a file below are files of their own once one is copied. A
/// directory that is renamed is copied with all that is in it.
///
/// Needs a runtime of tokio: a change that nobody waits for any more is finished there.
pub struct Overlay<U, L>(Arc<Inner<U, L>>);

struct Inner<U, L> {
    upper: U,
    lower: L,
    /// The paths of the lower tree at and below which nothing shows. Held for writing by who changes names.
    hidden: RwLock<BTreeSet<VPath>>,
    /// What a file in the upper tree was in the lower one, by device and inode: it is still the same file.
    copied: Mutex<HashMap<(u64, u64), (u64, u64)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Upper,
    Lower,
}

/// What a name stands for.
#[derive(Clone, Copy)]
struct Node {
    layer: Layer,
    stat: Stat,
}

impl<U: Vfs, L: Vfs> Overlay<U, L> {
    /// Puts one tree over another.
    pub fn new(upper: U, lower: L) -> Self {
        let (hidden, copied) = (RwLock::default(), Mutex::default());
        Overlay(Arc::new(Inner { upper, lower, hidden, copied }))
    }

    /// Makes a change whole, also where nobody waits for it any more.
    async fn change<T: Send + 'static, F>(&self, work: impl FnOnce(Arc<Inner<U, L>>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let lost = |error| Error::new(ErrorKind::Io, "the change was not finished").caused_by(error);
        tokio::spawn(work(self.0.clone())).await.map_err(lost)?
    }
}

/// `None` for what is not there.
fn there<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotDirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn visible(hidden: &BTreeSet<VPath>, path: &VPath) -> bool {
    let mut at = Some(path.clone());
    while let Some(path) = at {
        if hidden.contains(&path) {
            return false;
        }
        at = path.parent();
    }
    true
}

fn is_directory(node: &Node) -> bool {
    node.stat.kind == Kind::Directory
}

impl<U: Vfs, L: Vfs> Inner<U, L> {
    fn copied(&self) -> MutexGuard<'_, HashMap<(u64, u64), (u64, u64)>> {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stat as it is shown: each layer has devices of its own, and what was copied is still what it was.
    fn own(&self, layer: Layer, stat: Stat) -> Stat {
        let (device, inode) = self.identity(layer, (stat.device, stat.inode));
        Stat { device, inode, ..stat }
    }

    fn identity(&self, layer: Layer, found: (u64, u64)) -> (u64, u64) {
        let lower = |(device, inode): (u64, u64)| (device.wrapping_mul(2), inode);
        match layer {
            Layer::Upper => match self.copied().get(&found) {
                Some(was) => lower(*was),
                None => (found.0.wrapping_mul(2).wrapping_add(1), found.1),
            },
            Layer::Lower => lower(found),
        }
    }

    /// An entry as its stat is shown; what lies in a directory is taken to be on the directory's device.
    fn own_entry(&self, layer: Layer, directory: u64, entry: Entry) -> Entry {
        let (device, inode) = self.identity(layer, (entry.device.unwrap_or(directory), entry.inode));
        Entry { device: entry.device.map(|_| device), inode, ..entry }
    }

    /// What the lower tree shows at a path.
    async fn lower_stat(&self, hidden: &BTreeSet<VPath>, path: &VPath) -> Result<Option<Stat>> {
        match visible(hidden, path) {
            true => there(self.lower.stat(path, Follow::No).await),
            false => Ok(None),
        }
    }

    async fn look(&self, hidden: &BTreeSet<VPath>, path: &VPath) -> Result<Option<Node>> {
        if let Some(stat) = there(self.upper.stat(path, Follow::No).await)? {
            return Ok(Some(Node { layer: Layer::Upper, stat }));
        }
        Ok(self.lower_stat(hidden, path).await?.map(|stat| Node { layer: Layer::Lower, stat }))
    }

    async fn walk(&self, hidden: &BTreeSet<VPath>, path: &VPath, follow: Follow) -> Result<End<Node>> {
        let stat = self.upper.stat(&VPath::root(), Follow::No).await?;
        let mut walk = Walk::new(Node { layer: Layer::Upper, stat }, path, follow);
        while let Some((_, name)) = walk.next()? {
            let path = walk.path_of(&name)?;
            let found = match self.look(hidden, &path).await? {
                None => None,
                Some(node) => Some(match node.stat.kind {
                    Kind::Directory => Found::Directory(node),
                    Kind::Symlink => Found::Link(node, self.target(node.layer, &path).await?),
                    Kind::File | Kind::Other => Found::Other(node),
                }),
            };
            if let Some(end) = walk.found(name, found)? {
                return Ok(end);
            }
        }
        walk.end()
    }

    async fn target(&self, layer: Layer, path: &VPath) -> Result<String> {
        match layer {
            Layer::Upper => self.upper.readlink(path).await,
            Layer::Lower => self.lower.readlink(path).await,
        }
    }

    /// What is there, with its path in both trees.
    async fn find(&self, hidden: &BTreeSet<VPath>, path: &VPath, follow: Follow) -> Result<(VPath, Node)> {
        match self.walk(hidden, path, follow).await? {
            End { path, node: Some(node), .. } => Ok((path, node)),
            End { path, .. } => Err(Error::not_found(path)),
        }
    }

    /// A name that is not taken, in a directory that the upper tree has.
    async fn free(&self, hidden: &BTreeSet<VPath>, path: &VPath) -> Result<VPath> {
        match self.walk(hidden, path, Follow::No).await? {
            End { path, node: Some(_), .. } => Err(Error::exists(path)),
            End { path, .. } => Ok(path),
        }
    }

    /// Makes the directories above a path in the upper tree, where they are only in the lower one.
    async fn copy_above(&self, hidden: &BTreeSet<VPath>, path: &VPath) -> Result<()> {
        let mut at = VPath::root();
        for name in path.parent().unwrap_or_else(VPath::root).names() {
            at = at.child(name)?;
            if let Some(node) = self.look(hidden, &at).await? {
                self.copy_node(&at, &node).await?;
            }
        }
        Ok(())
    }

    /// Brings a file, a link, or a directory without what is in it, into the upper tree, whose directory is there.
    async fn copy_node(&self, path: &VPath, node: &Node) -> Result<()> {
        if node.layer == Layer::Upper {
            return Ok(());
        }
        if let Err(error) = copy_one(&self.lower, path, &node.stat, &self.upper, path).await {
            // Half a file would hide the whole one.
            if node.stat.kind == Kind::File {
                there(self.upper.remove_file(path).await)?;
            }
            return Err(error);
        }
        let copy = self.upper.stat(path, Follow::No).await?;
        self.copied().insert((copy.device, copy.inode), (node.stat.device, node.stat.inode));
        match node.stat.kind {
            Kind::Directory => self.upper.set_times(path, Follow::No, times_of(&node.stat)).await,
            _ => Ok(()),
        }
    }

    async fn copy(&self, hidden: &BTreeSet<VPath>, path: &VPath, node: &Node) -> Result<()> {
        if node.layer == Layer::Lower {
            self.copy_above(hidden, path).await?;
            self.copy_node(path, node).await?;
        }
        Ok(())
    }

    /// The same with all that is in a directory.
    async fn copy_tree(&self, hidden: &BTreeSet<VPath>, path: &VPath, node: &Node) -> Result<()> {
        self.copy(hidden, path, node).await?;
        let mut ahead = if is_directory(node) { vec![path.clone()] } else { Vec::new() };
        while let Some(directory) = ahead.pop() {
            let mut after: Option<String> = None;
            loop {
                let page = self.list(hidden, &directory, after.as_deref(), NonZeroU32::MAX).await?;
                for entry in &page.entries {
                    let path = directory.child(&entry.name)?;
                    if let Some(node) = self.look(hidden, &path).await? {
                        self.copy_node(&path, &node).await?;
                        if is_directory(&node) {
                            ahead.push(path);
                        }
                    }
                }
                after = page.entries.last().map(|entry| entry.name.clone());
                if !page.more {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Shows nothing of the lower tree at a path any more.
    async fn hide(&self, hidden: &mut BTreeSet<VPath>, path: &VPath) -> Result<()> {
        if self.lower_stat(hidden, path).await?.is_some() {
            hidden.retain(|other| !other.starts_with(path));
            hidden.insert(path.clone());
        }
        Ok(())
    }

    /// What was copied is gone: its number may be another file's.
    fn forget(&self, node: &Node) {
        if node.layer == Layer::Upper && (node.stat.links <= 1 || is_directory(node)) {
            self.copied().remove(&(node.stat.device, node.stat.inode));
        }
    }

    /// A directory has lost an entry that it had in the lower tree only.
    async fn touch_above(&self, path: &VPath) -> Result<()> {
        let times = SetTimes { modified: SetTime::Now, ..SetTimes::default() };
        self.upper.set_times(&path.parent().unwrap_or_else(VPath::root), Follow::No, times).await
    }

    /// The entries of a directory of both trees.
    async fn list(
        &self,
        hidden: &BTreeSet<VPath>,
        path: &VPath,
        after: Option<&str>,
        limit: NonZeroU32,
    ) -> Result<Page> {
        let device = there(self.upper.stat(path, Follow::No).await)?.map_or(0, |stat| stat.device);
        let mut after = after.map(str::to_owned);
        loop {
            let upper = there(self.upper.list(path, after.as_deref(), limit).await)?.unwrap_or_default();
            let lower = match visible(hidden, path) {
                true => there(self.lower.list(path, after.as_deref(), limit).await)?.unwrap_or_default(),
                false => Page::default(),
            };
            // Behind the last name of a page that is not the last one, nothing is known yet.
            let lasts = [&upper, &lower].into_iter().filter(|page| page.more);
            let known = lasts.filter_map(|page| page.entries.last()).map(|entry| entry.name.clone()).min();
            let mut merged = BTreeMap::new();
            for entry in lower.entries {
                if !hidden.contains(&path.child(&entry.name)?) {
                    merged.insert(entry.name.clone(), self.own_entry(Layer::Lower, device, entry));
                }
            }
            for entry in upper.entries {
                merged.insert(entry.name.clone(), self.own_entry(Layer::Upper, device, entry));
            }
            let behind = known.as_ref().map(|known| merged.split_off(&format!("{known}\0")));
            drop(behind);
            let mut page = Page::collect(merged.into_values(), limit);
            page.more |= known.is_some();
            if !page.entries.is_empty() || known.is_none() {
                return Ok(page);
            }
            after = known;
        }
    }

    async fn is_empty(&self, hidden: &BTreeSet<VPath>, path: &VPath) -> Result<bool> {
        Ok(self.list(hidden, path, None, NonZeroU32::MIN).await?.entries.is_empty())
    }

    async fn open(self: &Arc<Self>, path: &VPath, how: Open) -> Result<(Layer, Arc<dyn File>)> {
        let follow = if how.exclusive { Follow::No } else { how.follow };
        // What is only read waits for nobody who also only reads.
        if !how.changes() {
            let hidden = self.hidden.read().await;
            let (path, node) = self.find(&hidden, path, follow).await?;
            check_open(&path, &node, how)?;
            let how = how.no_follow();
            return Ok(match node.layer {
                Layer::Upper => (Layer::Upper, self.upper.open(&path, how).await?),
                Layer::Lower => (Layer::Lower, self.lower.open(&path, how).await?),
            });
        }
        let hidden = self.hidden.write().await;
        let End { path, node, .. } = self.walk(&hidden, path, follow).await?;
        match node {
            Some(_) if how.exclusive => return Err(Error::exists(path)),
            Some(node) => {
                check_open(&path, &node, how)?;
                // One that is only read, though it might have been made, is not copied.
                if !how.write && node.layer == Layer::Lower {
                    let how = Open { create: false, ..how.no_follow() };
                    return Ok((Layer::Lower, self.lower.open(&path, how).await?));
                }
                self.copy(&hidden, &path, &node).await?;
            }
            None if how.create => self.copy_above(&hidden, &path).await?,
            None => return Err(Error::not_found(path)),
        }
        Ok((Layer::Upper, self.upper.open(&path, how.no_follow()).await?))
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        let mut hidden = self.hidden.write().await;
        let (source, target) = (self.walk(&hidden, from, Follow::No).await?, self.walk(&hidden, to, Follow::No).await?);
        let (from, to) = (source.path, target.path);
        if from.is_root() || to.is_root() {
            return Err(Error::busy_root());
        }
        let node = source.node.ok_or_else(|| Error::not_found(&from))?;
        if to != from && to.starts_with(&from) {
            return Err(Error::new(ErrorKind::Invalid, format!("`{from}` would be moved into itself: `{to}`")));
        }
        if to != from && from.starts_with(&to) {
            return Err(Error::not_empty(to));
        }
        if let Some(over) = &target.node {
            let identity = |node: &Node| {
                let stat = self.own(node.layer, node.stat);
                (stat.device, stat.inode)
            };
            if from == to || identity(&node) == identity(over) {
                return Ok(());
            }
            match (is_directory(&node), is_directory(over)) {
                (true, true) if !self.is_empty(&hidden, &to).await? => return Err(Error::not_empty(to)),
                (true, false) => return Err(Error::not_directory(to)),
                (false, true) => return Err(Error::is_directory(to)),
                _ => {}
            }
        }
        self.copy_tree(&hidden, &from, &node).await?;
        self.copy_above(&hidden, &to).await?;
        self.upper.rename(&from, &to).await?;
        if let Some(over) = &target.node {
            self.forget(over);
        }
        self.hide(&mut hidden, &from).await?;
        self.hide(&mut hidden, &to).await
    }

    async fn remove(&self, path: &VPath, directory: bool) -> Result<()> {
        let mut hidden = self.hidden.write().await;
        let (path, node) = self.find(&hidden, path, Follow::No).await?;
        match (directory, is_directory(&node)) {
            (true, _) if path.is_root() => return Err(Error::busy_root()),
            (true, false) => return Err(Error::not_directory(path)),
            (false, true) => return Err(Error::is_directory(path)),
            (true, true) if !self.is_empty(&hidden, &path).await? => return Err(Error::not_empty(path)),
            _ => {}
        }
        match (node.layer, directory) {
            (Layer::Upper, true) => self.upper.remove_dir(&path).await?,
            (Layer::Upper, false) => self.upper.remove_file(&path).await?,
            (Layer::Lower, _) => self.copy_above(&hidden, &path).await?,
        }
        self.forget(&node);
        self.hide(&mut hidden, &path).await?;
        match node.layer {
            Layer::Upper => Ok(()),
            Layer::Lower => self.touch_above(&path).await,
        }
    }
}

fn check_open(path: &VPath, node: &Node, how: Open) -> Result<()> {
    match node.stat.kind {
        Kind::Directory => how.check_directory(path),
        _ if how.directory => Err(Error::not_directory(path)),
        Kind::Symlink => Err(Error::new(ErrorKind::Loop, format!("`{path}` is a link, and none is followed"))),
        Kind::File | Kind::Other => Ok(()),
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<U: Vfs, L: Vfs> Vfs for Overlay<U, L> {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        how.check()?;
        let named = path.clone();
        let (layer, file) = match how.changes() {
            false => self.0.open(path, how).await?,
            true => self.change(|inner| async move { inner.open(&named, how).await }).await?,
        };
        Ok(Arc::new(OverlayFile { inner: self.0.clone(), layer, file }))
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        let hidden = self.0.hidden.read().await;
        let (_, node) = self.0.find(&hidden, path, follow).await?;
        Ok(self.0.own(node.layer, node.stat))
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        let hidden = self.0.hidden.read().await;
        let (path, node) = self.0.find(&hidden, path, Follow::Yes).await?;
        match is_directory(&node) {
            true => self.0.list(&hidden, &path, after, limit).await,
            false => Err(Error::not_directory(path)),
        }
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        let path = path.clone();
        self.change(|inner| async move {
            let hidden = inner.hidden.write().await;
            let path = inner.free(&hidden, &path).await?;
            inner.copy_above(&hidden, &path).await?;
            inner.upper.create_dir(&path).await
        })
        .await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        let path = path.clone();
        self.change(|inner| async move { inner.remove(&path, false).await }).await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        let path = path.clone();
        self.change(|inner| async move { inner.remove(&path, true).await }).await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.change(|inner| async move { inner.rename(&from, &to).await }).await
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.change(|inner| async move {
            let hidden = inner.hidden.write().await;
            let (from, node) = inner.find(&hidden, &from, follow).await?;
            let to = inner.free(&hidden, &to).await?;
            if is_directory(&node) {
                let message = format!("directory `{from}` cannot have a second name");
                return Err(Error::new(ErrorKind::NotPermitted, message));
            }
            inner.copy(&hidden, &from, &node).await?;
            inner.copy_above(&hidden, &to).await?;
            inner.upper.link(&from, Follow::No, &to).await
        })
        .await
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        check_target(target)?;
        let (target, path) = (target.to_owned(), path.clone());
        self.change(|inner| async move {
            let hidden = inner.hidden.write().await;
            let path = inner.free(&hidden, &path).await?;
            inner.copy_above(&hidden, &path).await?;
            inner.upper.symlink(&target, &path).await
        })
        .await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        let hidden = self.0.hidden.read().await;
        let (path, node) = self.0.find(&hidden, path, Follow::No).await?;
        match node.stat.kind {
            Kind::Symlink => self.0.target(node.layer, &path).await,
            _ => Err(Error::new(ErrorKind::Invalid, format!("`{path}` is no symbolic link"))),
        }
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        let path = path.clone();
        self.change(|inner| async move {
            let hidden = inner.hidden.write().await;
            let (path, node) = inner.find(&hidden, &path, follow).await?;
            inner.copy(&hidden, &path, &node).await?;
            inner.upper.set_times(&path, Follow::No, times).await
        })
        .await
    }
}

/// A file of one of the two.
struct OverlayFile<U, L> {
    inner: Arc<Inner<U, L>>,
    layer: Layer,
    file: Arc<dyn File>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<U: Vfs, L: Vfs> File for OverlayFile<U, L> {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        self.file.read_at(offset, bytes_max).await
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()> {
        self.file.write_at(offset, bytes).await
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        self.file.append(bytes).await
    }

    async fn set_len(&self, bytes: u64) -> Result<()> {
        self.file.set_len(bytes).await
    }

    async fn sync(&self, what: Flush) -> Result<()> {
        self.file.sync(what).await
    }

    async fn stat(&self) -> Result<Stat> {
        Ok(self.inner.own(self.layer, self.file.stat().await?))
    }

    async fn set_times(&self, times: SetTimes) -> Result<()> {
        match self.layer {
            Layer::Upper => self.file.set_times(times).await,
            Layer::Lower => Err(Error::not_opened_for("writing, which alone may set the times of a file below")),
        }
    }

    async fn close(&self) -> Result<()> {
        self.file.close().await
    }
}
