//! A draft as a tree of files.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::body::signed;
use super::names::At;
use super::{Body, Child, Dir, Draft, Inner, Link, Names};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{File, Flush, Follow, Kind, Open, Page, SetTimes, Stat, Vfs, check_target};
use crate::volume::ground::Ground;
use crate::walk::End;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<G: Ground> Vfs for Draft<G> {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        how.check()?;
        let inner = &self.0;
        if !how.changes() {
            let names = inner.names.read().await;
            let (path, at) = inner.find(&names, path, how.follow).await?;
            return inner.open_at(&path, at, how).await;
        }
        let follow = if how.exclusive { Follow::No } else { how.follow };
        let mut names = inner.names.write().await;
        let End { path, parent, node } = inner.walk(&names, path, follow).await?;
        match node {
            Some(_) if how.exclusive => Err(Error::exists(path)),
            Some(At::Lower(lower, Some(stat))) if stat.kind == Kind::File && how.write => {
                if how.directory {
                    return Err(Error::not_directory(path));
                }
                inner.room(&names, &[&lower], 0)?;
                inner.believe(&lower, Some(&stat), true);
                let body = inner.body(&lower, &stat);
                let name = path.name().ok_or_else(Error::busy_root)?;
                let dir = names.parent(&parent)?;
                names.put(dir, name, Child::File(body.clone()))?;
                drop(names);
                inner.open_body(body, how).await
            }
            Some(at) => inner.open_at(&path, at, how).await,
            None if how.create => {
                inner.room(&names, &[&path], 0)?;
                inner.ledger.add(0, 1).await?;
                let made = async {
                    let body = inner.new_body().await?;
                    inner.add(&mut names, &parent, &path, Child::File(body.clone()))?;
                    Ok(body)
                };
                let body = inner.or_give_back(made).await?;
                drop(names);
                inner.open_body(body, Open { truncate: false, ..how }).await
            }
            None => Err(Error::not_found(path)),
        }
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        let names = self.0.names.read().await;
        let (_, at) = self.0.find(&names, path, follow).await?;
        self.0.stat_of(&names, &at).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        let names = self.0.names.read().await;
        let (path, at) = self.0.find(&names, path, Follow::Yes).await?;
        match self.0.kind(&at) {
            Kind::Directory => self.0.list_at(&names, &at, after, limit).await,
            _ => Err(Error::not_directory(path)),
        }
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        let inner = &self.0;
        let mut names = inner.names.write().await;
        let (path, parent) = inner.free(&names, path).await?;
        inner.room(&names, &[&path], 0)?;
        inner.ledger.add(0, 1).await?;
        let made = async {
            let id = inner.number();
            names.dirs.insert(id, Dir::new(Some(inner.now_ns())));
            inner.add(&mut names, &parent, &path, Child::Dir(id))
        };
        inner.or_give_back(made).await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        let inner = &self.0;
        let mut names = inner.names.write().await;
        let End { path, parent, node } = inner.walk(&names, path, Follow::No).await?;
        let at = node.ok_or_else(|| Error::not_found(&path))?;
        if inner.kind(&at) == Kind::Directory {
            return Err(Error::is_directory(path));
        }
        inner.room(&names, &[&path], 0)?;
        inner.drop_at(&mut names, &parent, &path, at).await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        let inner = &self.0;
        let mut names = inner.names.write().await;
        let End { path, parent, node } = inner.walk(&names, path, Follow::No).await?;
        let at = node.ok_or_else(|| Error::not_found(&path))?;
        if inner.kind(&at) != Kind::Directory {
            return Err(Error::not_directory(path));
        }
        if path.is_root() {
            return Err(Error::busy_root());
        }
        inner.check_empty(&names, &path, &at).await?;
        inner.room(&names, &[&path], 0)?;
        inner.drop_at(&mut names, &parent, &path, at).await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        let inner = &self.0;
        let mut names = inner.names.write().await;
        let source = inner.walk(&names, from, Follow::No).await?;
        let target = inner.walk(&names, to, Follow::No).await?;
        if source.path.is_root() || target.path.is_root() {
            return Err(Error::busy_root());
        }
        let at = source.node.ok_or_else(|| Error::not_found(&source.path))?;
        if target.path != source.path && target.path.starts_with(&source.path) {
            return Err(Error::new(ErrorKind::Invalid, format!("`{from}` would be moved into itself: `{to}`")));
        }
        if target.path != source.path && source.path.starts_with(&target.path) {
            return Err(Error::not_empty(target.path));
        }
        if let Some(over) = &target.node {
            let same = inner.identity(&at).is_some_and(|identity| inner.identity(over) == Some(identity));
            if source.path == target.path || same {
                return Ok(());
            }
            match (inner.kind(&at) == Kind::Directory, inner.kind(over) == Kind::Directory) {
                (true, true) => inner.check_empty(&names, &target.path, over).await?,
                (true, false) => return Err(Error::not_directory(target.path)),
                (false, true) => return Err(Error::is_directory(target.path)),
                (false, false) => {}
            }
        }
        inner.room(&names, &[&source.path, &target.path], 0)?;
        let child = inner.child(&mut names, at).await?;
        if let Some(over) = &target.node {
            inner.before_drop(&names, &target.path, over).await?;
        }
        // Nothing is waited for before all of it is done.
        inner.add(&mut names, &target.parent, &target.path, child)?;
        inner.take(&mut names, &source.parent, &source.path)?;
        let vain = target.node.and_then(|over| inner.dropped(&mut names, &over));
        inner.unstage(vain).await;
        Ok(())
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        let inner = &self.0;
        let mut names = inner.names.write().await;
        let (from, at) = inner.find(&names, from, follow).await?;
        let (to, parent) = inner.free(&names, to).await?;
        if inner.kind(&at) == Kind::Directory {
            let message = format!("directory `{from}` cannot have a second name");
            return Err(Error::new(ErrorKind::NotPermitted, message));
        }
        inner.room(&names, &[&from, &to], 0)?;
        inner.check_links().await?;
        inner.ledger.add(0, 1).await?;
        let made = async {
            let child = inner.child(&mut names, at).await?;
            match &child {
                Child::File(body) => body.handles().names += 1,
                Child::Link(link) => link.count(true),
                Child::Gone | Child::Dir(_) => {}
            }
            inner.add(&mut names, &parent, &to, child)
        };
        inner.or_give_back(made).await
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        check_target(target)?;
        let inner = &self.0;
        let mut names = inner.names.write().await;
        let (path, parent) = inner.free(&names, path).await?;
        inner.room(&names, &[&path], target.len())?;
        inner.ledger.add(0, 1).await?;
        let made = async {
            let link = Link::new(inner.number(), target.to_owned(), inner.now_ns());
            inner.add(&mut names, &parent, &path, Child::Link(Arc::new(link)))
        };
        inner.or_give_back(made).await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        let names = self.0.names.read().await;
        let (path, at) = self.0.find(&names, path, Follow::No).await?;
        match &at {
            At::Link(link) => Ok(link.target.clone()),
            At::Lower(lower, Some(stat)) if stat.kind == Kind::Symlink => self.0.lower.readlink(lower).await,
            _ => Err(Error::new(ErrorKind::Invalid, format!("`{path}` is no symbolic link"))),
        }
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        let mut names = self.0.names.write().await;
        let (_, at) = self.0.find(&names, path, follow).await?;
        self.0.set_times_at(&mut names, at, times).await
    }
}

impl<G: Ground> Inner<G> {
    /// Does what makes a name that was counted already.
    async fn or_give_back<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let done = work.await;
        if done.is_err() {
            self.ledger.take_back(0, -1);
        }
        done
    }

    /// Opens what is there.
    async fn open_at(self: &Arc<Self>, path: &VPath, at: At, how: Open) -> Result<Arc<dyn File>> {
        match (self.kind(&at), at) {
            (Kind::Directory, at) => {
                how.check_directory(path)?;
                Ok(Arc::new(DraftDir { inner: self.clone(), at }))
            }
            _ if how.directory => Err(Error::not_directory(path)),
            (Kind::Symlink, _) => Err(Error::new(ErrorKind::Loop, format!("`{path}` is a link, and none is followed"))),
            (Kind::File, At::File(body)) => self.open_body(body, how).await,
            (Kind::File, At::Lower(lower, Some(stat))) => {
                self.believe(&lower, Some(&stat), false);
                self.open_body(self.body(&lower, &stat), how).await
            }
            _ => Err(Error::new(ErrorKind::NotPermitted, format!("`{path}` is neither a file nor a directory"))),
        }
    }

    async fn check_empty(&self, names: &Names, path: &VPath, at: &At) -> Result<()> {
        match self.list_at(names, at, None, NonZeroU32::MIN).await?.entries.is_empty() {
            true => Ok(()),
            false => Err(Error::not_empty(path)),
        }
    }

    /// Remembers a directory of the draft as it is below, before it is moved or removed.
    async fn believe_dir(&self, names: &Names, id: u64) -> Result<()> {
        if let Some(lower) = &names.dir(id)?.lower {
            let stat = self.below(lower).await?;
            self.believe(lower, stat.as_ref(), true);
        }
        Ok(())
    }

    /// What is there, as an entry of the draft.
    async fn child(&self, names: &mut Names, at: At) -> Result<Child> {
        Ok(match at {
            At::Dir(id) => {
                self.believe_dir(names, id).await?;
                Child::Dir(id)
            }
            At::File(body) => Child::File(body),
            At::Link(link) => Child::Link(link),
            At::Lower(lower, None) => {
                let id = names.materialise(&lower)?;
                self.believe_dir(names, id).await?;
                Child::Dir(id)
            }
            At::Lower(lower, Some(stat)) => {
                let target = match stat.kind {
                    Kind::Symlink => self.lower.readlink(&lower).await?,
                    _ => String::new(),
                };
                self.believe(&lower, Some(&stat), true);
                let child = match stat.kind {
                    Kind::Directory => return Ok(Child::Dir(names.materialise(&lower)?)),
                    Kind::File => Child::File(self.body(&lower, &stat)),
                    Kind::Symlink => Child::Link(Arc::new(Link::below(lower.clone(), target, &stat))),
                    Kind::Other => {
                        let message = format!("`{lower}` is no file, directory or link, and stays where it is");
                        return Err(Error::new(ErrorKind::NotPermitted, message));
                    }
                };
                let parent = lower.parent().unwrap_or_else(VPath::root);
                let (dir, name) = (names.materialise(&parent)?, lower.name().unwrap_or_default());
                names.put(dir, name, child.clone())?;
                child
            }
        })
    }

    /// Remembers what is there as it is below, before its name is taken.
    async fn before_drop(&self, names: &Names, path: &VPath, at: &At) -> Result<()> {
        match at {
            At::Dir(id) => self.believe_dir(names, *id).await,
            At::Lower(lower, Some(stat)) => {
                self.believe(lower, Some(stat), true);
                Ok(())
            }
            At::Lower(lower, None) => {
                let found = self.below(lower).await?.ok_or_else(|| Error::not_found(path))?;
                self.believe(lower, Some(&found), true);
                Ok(())
            }
            At::File(_) | At::Link(_) => Ok(()),
        }
    }

    /// What is there loses its name: what has to be removed from the stage.
    fn dropped(&self, names: &mut Names, at: &At) -> Option<Arc<Body>> {
        match at {
            At::Dir(id) => {
                match names.dirs.get(id).is_some_and(|dir| dir.lower.is_some()) {
                    true => names.buried.push(*id),
                    // It is empty, and nothing leads to it any more but who has it open.
                    false => drop(names.dirs.remove(id)),
                }
                self.ledger.take_back(0, -1);
                None
            }
            At::Lower(lower, stat) => {
                let file = stat.filter(|stat| stat.kind == Kind::File);
                if let Some(body) = file.and_then(|stat| self.known_body(lower, &stat)) {
                    return self.unname(&body).then_some(body);
                }
                let bytes = file.filter(|stat| stat.links <= 1).map_or(0, |stat| signed(stat.size));
                self.ledger.take_back(-bytes, -1);
                None
            }
            At::File(body) => self.unname(body).then(|| body.clone()),
            At::Link(link) => {
                link.count(false);
                self.ledger.take_back(0, -1);
                None
            }
        }
    }

    /// Takes the name of what is there, and what is there with its last one.
    async fn drop_at(&self, names: &mut Names, parent: &At, path: &VPath, at: At) -> Result<()> {
        self.before_drop(names, path, &at).await?;
        // Nothing is waited for before both are done.
        self.take(names, parent, path)?;
        let vain = self.dropped(names, &at);
        self.unstage(vain).await;
        Ok(())
    }

    async fn set_times_at(&self, names: &mut Names, at: At, times: SetTimes) -> Result<()> {
        if let At::Lower(lower, _) = &at {
            self.room(names, &[lower], 0)?;
        }
        match self.child(names, at).await? {
            Child::Dir(id) => self.set_dir_times(names, id, times).await,
            Child::File(body) => self.set_body_times(&body, times).await,
            Child::Link(link) => {
                link.set_times(times, self.now_ns());
                Ok(())
            }
            Child::Gone => Ok(()),
        }
    }
}

/// What is known of a directory of the draft's own that was removed.
const GONE: Stat = Stat {
    kind: Kind::Directory,
    size: 0,
    links: 0,
    device: 1,
    inode: 0,
    accessed_ns: 0,
    modified_ns: 0,
    changed_ns: 0,
};

/// A directory that a guest has open.
struct DraftDir<G: Ground> {
    inner: Arc<Inner<G>>,
    at: At,
}

impl<G: Ground> DraftDir<G> {
    /// What it is by now.
    fn at(&self, names: &Names) -> At {
        match &self.at {
            At::Lower(path, _) => names.of.get(path).map_or_else(|| At::Lower(path.clone(), None), |id| At::Dir(*id)),
            at => at.clone(),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<G: Ground> File for DraftDir<G> {
    async fn read_at(&self, _offset: u64, _bytes_max: usize) -> Result<Bytes> {
        Err(Error::file_is_directory())
    }

    async fn write_at(&self, _offset: u64, _bytes: Bytes) -> Result<()> {
        Err(Error::not_opened_for("writing"))
    }

    async fn append(&self, _bytes: Bytes) -> Result<u64> {
        Err(Error::not_opened_for("writing"))
    }

    async fn set_len(&self, _bytes: u64) -> Result<()> {
        Err(Error::not_opened_for("writing"))
    }

    async fn sync(&self, _what: Flush) -> Result<()> {
        self.inner.synced.store(true, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }

    async fn stat(&self) -> Result<Stat> {
        let names = self.inner.names.read().await;
        match self.at(&names) {
            At::Dir(id) if !names.dirs.contains_key(&id) => Ok(Stat { inode: id, ..GONE }),
            at => self.inner.stat_of(&names, &at).await,
        }
    }

    async fn set_times(&self, times: SetTimes) -> Result<()> {
        let mut names = self.inner.names.write().await;
        match self.at(&names) {
            At::Dir(id) if !names.dirs.contains_key(&id) => Ok(()),
            at => self.inner.set_times_at(&mut names, at, times).await,
        }
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
