//! What one call changes in a tree where each change is there at once: noted path by path.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::Changes;
use crate::error::Result;
use crate::ext::canonical;
use crate::path::VPath;
use crate::vfs::{File, Flush, Follow, Open, Page, SetTimes, Stat, Vfs};

/// What was noted so far.
#[derive(Default)]
pub(super) struct Record {
    noted: Mutex<Noted>,
    pub(super) bytes: AtomicU64,
    pub(super) files: AtomicU64,
}

#[derive(Default)]
struct Noted {
    paths: BTreeMap<VPath, Change>,
    unnamed: u64,
}

/// A path that was touched: whether something was there before the call, and whether something is there now.
#[derive(Clone, Copy)]
struct Change {
    was: bool,
    is: bool,
}

impl Record {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is at a path that was not, or is another.
    fn put(&self, path: &VPath, was: bool) {
        self.noted().note(path, was, true);
    }

    /// Nothing is at a path any more.
    fn take(&self, path: &VPath) {
        self.noted().note(path, true, false);
    }

    /// What lies at a path, and below it, lies at another now.
    fn shift(&self, from: &VPath, to: &VPath, over: bool) {
        let mut noted = self.noted();
        let below: Vec<_> = noted.paths.range(from.clone()..).map(|(path, change)| (path.clone(), *change)).collect();
        for (path, change) in below.into_iter().take_while(|(path, _)| path.starts_with(from)) {
            let Some(Ok(place)) = path.strip(from).map(|rest| rest.below(to)) else { continue };
            if path != *from && change.is {
                noted.note(&path, change.was, false);
                noted.note(&place, false, true);
            }
        }
        noted.note(from, true, false);
        noted.note(to, over, true);
    }

    /// What is different now.
    pub(super) fn changes(&self) -> Changes {
        let noted = self.noted();
        let mut changes = Changes { unnamed: noted.unnamed, ..Changes::default() };
        for (path, change) in &noted.paths {
            match change {
                Change { was: false, is: true } => changes.added.push(path.clone()),
                Change { was: true, is: true } => changes.changed.push(path.clone()),
                Change { was: true, is: false } => changes.removed.push(path.clone()),
                Change { was: false, is: false } => {}
            }
        }
        changes
    }
}

impl Noted {
    fn note(&mut self, path: &VPath, was: bool, is: bool) {
        let full = self.paths.len() >= Changes::NAMES_MAX;
        match self.paths.get_mut(path) {
            // What was made and is gone again is no change.
            Some(change) if !change.was && !is => {
                self.paths.remove(path);
            }
            Some(change) => change.is = is,
            None if full => self.unnamed += 1,
            None => {
                self.paths.insert(path.clone(), Change { was, is });
            }
        }
    }
}

/// Another tree, of which is noted what changes.
pub(super) struct Recorder<V> {
    vfs: Arc<V>,
    record: Arc<Record>,
    /// Told of each change.
    told: Arc<dyn Fn() + Send + Sync>,
}

impl<V: Vfs> Recorder<V> {
    pub(super) fn new(vfs: V, record: Arc<Record>, told: Arc<dyn Fn() + Send + Sync>) -> Self {
        Recorder { vfs: Arc::new(vfs), record, told }
    }

    /// A path without links on it, and whether something is there.
    async fn place(&self, path: &VPath, follow: Follow) -> Option<(VPath, bool)> {
        let end = canonical(&self.vfs, path, follow).await.ok()?;
        Some((end.path, end.node.is_some()))
    }

    async fn made(&self, path: &VPath, place: Option<(VPath, bool)>) {
        let (place, was) = place.unwrap_or_else(|| (path.clone(), false));
        self.record.put(&place, was);
        (self.told)();
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<V: Vfs> Vfs for Recorder<V> {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        if !how.changes() {
            return self.vfs.open(path, how).await;
        }
        let follow = if how.exclusive { Follow::No } else { how.follow };
        let place = self.place(path, follow).await;
        let file = self.vfs.open(path, how).await?;
        let (place, was) = place.unwrap_or_else(|| (path.clone(), true));
        if !was || how.truncate {
            self.record.put(&place, was);
            (self.told)();
        }
        match how.write {
            false => Ok(file),
            true => {
                let (record, told) = (self.record.clone(), self.told.clone());
                let noted = AtomicBool::new(!was || how.truncate);
                if !was {
                    record.files.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Arc::new(Recorded { file, place, record, told, noted, counted: AtomicBool::new(!was) }))
            }
        }
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        self.vfs.stat(path, follow).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        self.vfs.list(path, after, limit).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        let place = self.place(path, Follow::No).await;
        self.vfs.create_dir(path).await?;
        self.made(path, place).await;
        Ok(())
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        let place = self.place(path, Follow::No).await;
        self.vfs.remove_file(path).await?;
        self.record.take(&place.map_or_else(|| path.clone(), |(place, _)| place));
        (self.told)();
        Ok(())
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        let place = self.place(path, Follow::No).await;
        self.vfs.remove_dir(path).await?;
        self.record.take(&place.map_or_else(|| path.clone(), |(place, _)| place));
        (self.told)();
        Ok(())
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        let (source, target) = (self.place(from, Follow::No).await, self.place(to, Follow::No).await);
        let same = match (self.vfs.stat(from, Follow::No).await, self.vfs.stat(to, Follow::No).await) {
            // Two names of one file stay two.
            (Ok(from), Ok(to)) => (from.device, from.inode) == (to.device, to.inode),
            _ => false,
        };
        self.vfs.rename(from, to).await?;
        if !same {
            let source = source.map_or_else(|| from.clone(), |(place, _)| place);
            let (target, over) = target.unwrap_or_else(|| (to.clone(), false));
            self.record.shift(&source, &target, over);
            (self.told)();
        }
        Ok(())
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        let place = self.place(to, Follow::No).await;
        self.vfs.link(from, follow, to).await?;
        self.made(to, place).await;
        Ok(())
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        let place = self.place(path, Follow::No).await;
        self.vfs.symlink(target, path).await?;
        self.made(path, place).await;
        Ok(())
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.vfs.readlink(path).await
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        self.vfs.set_times(path, follow, times).await
    }
}

/// A file that is open for writing.
struct Recorded {
    file: Arc<dyn File>,
    place: VPath,
    record: Arc<Record>,
    told: Arc<dyn Fn() + Send + Sync>,
    /// Whether its change is noted.
    noted: AtomicBool,
    /// Whether it is counted among the files.
    counted: AtomicBool,
}

impl Recorded {
    fn wrote(&self, bytes: u64) {
        if !self.counted.swap(true, Ordering::Relaxed) {
            self.record.files.fetch_add(1, Ordering::Relaxed);
        }
        self.record.bytes.fetch_add(bytes, Ordering::Relaxed);
        if !self.noted.swap(true, Ordering::Relaxed) {
            self.record.put(&self.place, true);
        }
        (self.told)();
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl File for Recorded {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        self.file.read_at(offset, bytes_max).await
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()> {
        let length = bytes.len() as u64;
        self.file.write_at(offset, bytes).await?;
        if length > 0 {
            self.wrote(length);
        }
        Ok(())
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        let length = bytes.len() as u64;
        let end = self.file.append(bytes).await?;
        if length > 0 {
            self.wrote(length);
        }
        Ok(end)
    }

    async fn set_len(&self, bytes: u64) -> Result<()> {
        self.file.set_len(bytes).await?;
        self.wrote(0);
        Ok(())
    }

    async fn sync(&self, what: Flush) -> Result<()> {
        self.file.sync(what).await
    }

    async fn stat(&self) -> Result<Stat> {
        self.file.stat().await
    }

    async fn set_times(&self, times: SetTimes) -> Result<()> {
        self.file.set_times(times).await
    }

    async fn close(&self) -> Result<()> {
        self.file.close().await
    }
}
