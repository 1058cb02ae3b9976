//! A tree that may hold so much and no more: counted once, then kept count of. It must be the only way into what it counts.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::ext::{VfsExt, canonical};
use crate::path::VPath;
use crate::vfs::{File, Flush, Follow, Kind, Open, Page, SetTimes, Stat, Vfs, end_of};

/// What a tree may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Bytes of all files, as their lengths say: holes count. A file that is open for writing counts though it
    /// has no name any more.
    pub bytes: u64,
    /// Files, directories and links: names, the root not counted.
    pub files: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
}

/// What a tree holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaUsage {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files, directories and links.
    pub files: u64,
}

/// Another tree, within limits. What is over one is refused whole: a write past the quota leaves the file as it was.
///
/// [`Quota`](ErrorKind::Quota) for bytes and files, [`TooLarge`](ErrorKind::TooLarge) for one file. A tree that holds more than
/// it may can be made smaller. What the tree held before is counted when it is first changed, by a walk through all of it.
pub struct Quota<V> {
    inner: Arc<Inner<V>>,
    limits: QuotaLimits,
}

/// The same count, for as long as somebody else keeps it.
pub(crate) struct WeakQuota<V>(Weak<Inner<V>>);

struct Inner<V> {
    vfs: V,
    /// One change of names at a time. Whether the count is right: it is not before the first, nor after one that failed or
    /// was given up half way.
    counted: Mutex<bool>,
    bytes: AtomicU64,
    files: AtomicU64,
    /// What of both is only promised, to drafts: no walk finds it. Held while a walk's result is set.
    promised: StdMutex<QuotaUsage>,
    /// Whether a file was dropped whose size is not known: all is counted again.
    doubtful: AtomicBool,
    /// Others who count what they see of the same files, each with a draft of its own; of this one's count, what was there.
    pool: Option<Arc<Pool>>,
    base: StdMutex<Base>,
    /// A name is about to be made, which others count already.
    making: AtomicBool,
    /// The files that are open for writing, by device and inode: their sizes are known without asking.
    open: StdMutex<HashMap<(u64, u64), Arc<Size>>>,
}

/// Who counts the same files at the same time, each what it sees of them and its own draft: what one may take, the others have
/// left.
#[derive(Default)]
pub(crate) struct Pool(StdMutex<Together>);

#[derive(Default)]
struct Together {
    counting: Vec<Weak<dyn Counting>>,
    /// What was published since there is a pool, by all together: what one has published less is not taken off, since another
    /// may have seen that it is gone.
    published: QuotaUsage,
}

/// Bytes and names more than before, or less.
#[derive(Clone, Copy, Default)]
struct Net {
    bytes: i64,
    files: i64,
}

/// What one of a pool has seen that was published.
#[derive(Default)]
struct Base {
    /// What was there; `None` before that is counted, and when the draft is over.
    counted: Option<Net>,
    /// What of the pool's publishing is its own, or was there before it began. What came after that may be in its count, too: that
    /// is too strict, and never too generous.
    published: QuotaUsage,
}

/// One of a pool.
trait Counting: Send + Sync {
    /// What its draft holds more than was there.
    fn excess(&self) -> Net;
}

impl Net {
    fn plus(self, other: Self) -> Self {
        Net { bytes: self.bytes.saturating_add(other.bytes), files: self.files.saturating_add(other.files) }
    }

    fn less(self, other: Self) -> Self {
        Net { bytes: self.bytes.saturating_sub(other.bytes), files: self.files.saturating_sub(other.files) }
    }

    /// What of it is more.
    fn more(self) -> QuotaUsage {
        let more = |count: i64| u64::try_from(count).unwrap_or(0);
        QuotaUsage { bytes: more(self.bytes), files: more(self.files) }
    }
}

fn plus(one: QuotaUsage, other: QuotaUsage) -> QuotaUsage {
    QuotaUsage { bytes: one.bytes.saturating_add(other.bytes), files: one.files.saturating_add(other.files) }
}

fn less(one: QuotaUsage, other: QuotaUsage) -> QuotaUsage {
    QuotaUsage { bytes: one.bytes.saturating_sub(other.bytes), files: one.files.saturating_sub(other.files) }
}

impl Pool {
    fn together(&self) -> MutexGuard<'_, Together> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The size of a file that is open.
struct Size {
    /// Guards the file's length: one change at a time.
    known: Mutex<Known>,
    state: StdMutex<Handles>,
}

#[derive(Clone, Copy)]
struct Known {
    /// What is counted for it.
    bytes: u64,
    /// Whether the file has it: not after a change that failed or was given up half way.
    sure: bool,
}

#[derive(Default)]
struct Handles {
    open: u64,
    nameless: bool,
}

impl<V: Vfs> Quota<V> {
    /// Puts limits before a tree.
    pub fn new(inner: V, limits: QuotaLimits) -> Self {
        Quota { inner: Arc::new(Self::inner(inner, None)), limits }
    }

    /// The same before a tree of which others count what they see, too.
    pub(crate) fn together(inner: V, limits: QuotaLimits, pool: &Arc<Pool>) -> Self {
        let inner = Arc::new(Self::inner(inner, Some(pool.clone())));
        let mut together = pool.together();
        inner.base().published = together.published;
        together.counting.retain(|one| one.strong_count() > 0);
        let one: Weak<Inner<V>> = Arc::downgrade(&inner);
        together.counting.push(one);
        Quota { inner, limits }
    }

    fn inner(inner: V, pool: Option<Arc<Pool>>) -> Inner<V> {
        Inner {
            vfs: inner,
            counted: Mutex::new(false),
            bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            promised: StdMutex::default(),
            doubtful: AtomicBool::new(false),
            pool,
            base: StdMutex::default(),
            making: AtomicBool::new(false),
            open: StdMutex::new(HashMap::new()),
        }
    }

    pub(crate) fn downgrade(&self) -> WeakQuota<V> {
        WeakQuota(Arc::downgrade(&self.inner))
    }

    /// Promises a draft what it will have when it is published, more or less: `more` is what it holds more than it did.
    pub(crate) async fn promise(&self, more: QuotaUsage) -> Result<()> {
        let mut counted = self.inner.counted.lock().await;
        self.inner.count(&mut counted).await?;
        let (files, allowed) = (self.inner.files.load(Ordering::SeqCst).saturating_add(more.files), self.limits.files);
        if more.files > 0 && files > allowed {
            return Err(over("files, directories and links", files, allowed));
        }
        let mut promised = self.inner.promised();
        if more.bytes > 0 {
            self.inner.reserve(more.bytes, self.limits.bytes)?;
        }
        self.inner.files.fetch_add(more.files, Ordering::SeqCst);
        *promised = plus(*promised, more);
        Ok(())
    }

    /// Takes back what was promised.
    pub(crate) fn take_back(&self, less: QuotaUsage) {
        let mut promised = self.inner.promised();
        promised.bytes = promised.bytes.saturating_sub(less.bytes);
        promised.files = promised.files.saturating_sub(less.files);
        self.inner.release(less.bytes);
        self.inner.release_files(less.files);
    }

    /// Publishes what was promised, with the count held: it is `bytes` and `files` more than before, or less.
    pub(crate) async fn publish<T>(
        &self,
        promised: QuotaUsage,
        (bytes, files): (i64, i64),
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut counted = self.inner.counted.lock().await;
        let known = std::mem::replace(&mut *counted, false);
        let done = work.await?;
        let mut held = self.inner.promised();
        held.bytes = held.bytes.saturating_sub(promised.bytes);
        held.files = held.files.saturating_sub(promised.files);
        let adjust = |count: &AtomicU64, by: i64, promised: u64| {
            let new = |held: u64| Some(held.saturating_sub(promised).saturating_add_signed(by));
            // Of more than could be counted, what is left is not known.
            count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, new) != Ok(u64::MAX)
        };
        let known = adjust(&self.inner.bytes, bytes, promised.bytes) && known;
        adjust(&self.inner.files, files, promised.files);
        *counted = known;
        Ok(done)
    }

    /// What the tree holds.
    pub async fn usage(&self) -> Result<QuotaUsage> {
        let mut counted = self.inner.counted.lock().await;
        self.inner.count(&mut counted).await?;
        Ok(QuotaUsage {
            bytes: self.inner.bytes.load(Ordering::SeqCst),
            files: self.inner.files.load(Ordering::SeqCst),
        })
    }
}

impl<V> WeakQuota<V> {
    /// The same tree and the same count, within other limits, where somebody has it.
    pub(crate) fn within(&self, limits: QuotaLimits) -> Option<Quota<V>> {
        Some(Quota { inner: self.0.upgrade()?, limits })
    }

    /// What the draft held was published, but for what is told: the others count it from here on as what is there.
    pub(crate) fn settle(&self, (bytes, files): (i64, i64))
    where
        V: Vfs,
    {
        let Some(inner) = self.0.upgrade() else { return };
        let Some(pool) = &inner.pool else { return };
        let mut together = pool.together();
        let net = inner.excess().less(Net { bytes, files });
        let more = net.more();
        together.published = plus(together.published, more);
        let mut base = inner.base();
        base.published = plus(base.published, more);
        base.counted = base.counted.map(|counted| counted.plus(net));
    }

    /// The draft is over: the others need not count it.
    pub(crate) fn leave(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.base.lock().unwrap_or_else(PoisonError::into_inner).counted = None;
        }
    }

    /// Somebody else has changed the tree.
    pub(crate) fn doubt(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.doubtful.store(true, Ordering::SeqCst);
        }
    }
}

impl<V: Vfs> Counting for Inner<V> {
    fn excess(&self) -> Net {
        let making = i64::from(self.making.load(Ordering::SeqCst));
        let held = self.held().plus(Net { bytes: 0, files: making });
        self.base().counted.map_or(Net::default(), |counted| held.less(counted))
    }
}

/// A name that is about to be made; it is made, or is not, when this is dropped.
struct Making<'q>(&'q AtomicBool);

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl<V: Vfs> Inner<V> {
    fn base(&self) -> MutexGuard<'_, Base> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> Net {
        let signed = |count: &AtomicU64| i64::try_from(count.load(Ordering::SeqCst)).unwrap_or(i64::MAX);
        Net { bytes: signed(&self.bytes), files: signed(&self.files) }
    }

    /// What the others of a pool hold that this one does not see.
    fn of_others(&self, together: &Together) -> QuotaUsage {
        let mut sum = less(together.published, self.base().published);
        let own: *const () = std::ptr::from_ref(self).cast();
        for other in together.counting.iter().filter_map(Weak::upgrade) {
            if Arc::as_ptr(&other).cast::<()>() != own {
                sum = plus(sum, other.excess().more());
            }
        }
        sum
    }

    fn promised(&self) -> MutexGuard<'_, QuotaUsage> {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, HashMap<(u64, u64), Arc<Size>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what is there, where that is not known.
    async fn count(&self, counted: &mut bool) -> Result<()> {
        if self.doubtful.swap(false, Ordering::SeqCst) {
            *counted = false;
        }
        if *counted {
            return Ok(());
        }
        // Nobody writes meanwhile, and what is open and has no name is found in no walk.
        let open: Vec<_> = self.files().iter().map(|(id, size)| (*id, size.clone())).collect();
        let mut held = Vec::new();
        for (id, size) in &open {
            held.push((*id, size, size.known.lock().await));
        }
        let (mut bytes, mut files, mut seen) = (0_u64, 0_u64, HashSet::new());
        let mut tree = self.vfs.walk(&VPath::root());
        while let Some((path, kind)) = tree.next().await? {
            files += 1;
            if kind == Kind::File {
                let stat = self.vfs.stat(&path, Follow::No).await?;
                // Only those with several names, or open, are met again.
                let again = stat.links > 1 || held.iter().any(|(id, ..)| *id == (stat.device, stat.inode));
                if !again || seen.insert((stat.device, stat.inode)) {
                    // Holes count, and three files of nothing else are more than a number holds.
                    bytes = bytes.saturating_add(stat.size);
                }
                if let Some((.., known)) = held.iter_mut().find(|(id, ..)| *id == (stat.device, stat.inode)) {
                    **known = Known { bytes: stat.size, sure: true };
                }
            }
        }
        for (id, size, known) in &held {
            let nameless = !seen.contains(id);
            size.handles().nameless = nameless;
            if nameless {
                bytes = bytes.saturating_add(known.bytes);
            }
        }
        let promised = self.promised();
        let counts = plus(QuotaUsage { bytes, files }, *promised);
        self.bytes.store(counts.bytes, Ordering::SeqCst);
        self.files.store(counts.files, Ordering::SeqCst);
        if self.pool.is_some() {
            let held = self.held();
            self.base().counted.get_or_insert(held);
        }
        *counted = true;
        Ok(())
    }

    /// Takes room for one name more, if there is some.
    fn room_for_a_file(&self, allowed: u64) -> Result<Making<'_>> {
        let together = self.pool.as_ref().map(|pool| pool.together());
        let others = together.as_ref().map_or(0, |together| self.of_others(together).files);
        let found = self.files.load(Ordering::SeqCst).saturating_add(1).saturating_add(others);
        if found > allowed {
            return Err(over("files, directories and links", found, allowed));
        }
        self.making.store(true, Ordering::SeqCst);
        Ok(Making(&self.making))
    }

    /// Takes bytes of the quota, if there are so many.
    fn reserve(&self, more: u64, allowed: u64) -> Result<()> {
        let together = self.pool.as_ref().map(|pool| pool.together());
        let others = together.as_ref().map_or(0, |together| self.of_others(together).bytes);
        let left = allowed.saturating_sub(others);
        let take = |held: u64| held.checked_add(more).filter(|found| *found <= left);
        match self.bytes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            Ok(_) => Ok(()),
            Err(held) => Err(over("bytes", held.saturating_add(more).saturating_add(others), allowed)),
        }
    }

    fn release(&self, less: u64) {
        // What somebody else has made larger meanwhile was never taken.
        let give = |held: u64| Some(held.saturating_sub(less));
        let held = self.bytes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, give);
        // Of more than could be counted, what is left is not known.
        if less > 0 && held == Ok(u64::MAX) {
            self.doubtful.store(true, Ordering::SeqCst);
        }
    }

    fn release_files(&self, less: u64) {
        let give = |held: u64| Some(held.saturating_sub(less));
        let _ = self.files.fetch_update(Ordering::SeqCst, Ordering::SeqCst, give);
    }

    /// A change of names, done with the count held; one that makes a name says how many there may be.
    async fn change<T>(&self, files_max: Option<u64>, work: impl Future<Output = Result<(T, Change)>>) -> Result<T> {
        let mut counted = self.counted.lock().await;
        self.count(&mut counted).await?;
        // A full quota is told first, also of what could not have been done.
        let _making = files_max.map(|allowed| self.room_for_a_file(allowed)).transpose()?;
        *counted = false;
        let done = work.await;
        // What is refused has changed nothing; what has failed otherwise may have, and is counted again.
        *counted = match &done {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::Io | ErrorKind::NoSpace | ErrorKind::Conflict),
        };
        let (value, change) = done?;
        self.files.fetch_add(change.files_more, Ordering::SeqCst);
        self.release_files(change.files_less);
        if let Some(gone) = change.gone {
            self.forget(&gone);
        }
        Ok(value)
    }

    /// A file has lost its last name: its bytes are free, unless it is open.
    fn forget(&self, gone: &Stat) {
        match self.files().get(&(gone.device, gone.inode)) {
            Some(size) => size.handles().nameless = true,
            None => self.release(gone.size),
        }
    }

    /// What a name stands for that is about to be taken, where it is a file's last one.
    async fn last_name(&self, path: &VPath) -> Result<Option<Stat>> {
        match self.vfs.stat(path, Follow::No).await {
            Ok(stat) => Ok(Some(stat).filter(|stat| stat.kind == Kind::File && stat.links <= 1)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Size {
    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a change of names has done.
#[derive(Default)]
struct Change {
    files_more: u64,
    files_less: u64,
    gone: Option<Stat>,
}

impl Change {
    fn made() -> Self {
        Change { files_more: 1, ..Change::default() }
    }

    fn removed(gone: Option<Stat>) -> Self {
        Change { files_less: 1, gone, ..Change::default() }
    }
}

fn over(what: &str, found: u64, allowed: u64) -> Error {
    Error::new(ErrorKind::Quota, format!("the files would have {found} {what}, {allowed} are allowed"))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<V: Vfs> Vfs for Quota<V> {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        how.check()?;
        if !how.changes() {
            return self.inner.vfs.open(path, how).await;
        }
        let inner = &self.inner;
        let mut counted = inner.counted.lock().await;
        inner.count(&mut counted).await?;
        let follow = if how.exclusive { Follow::No } else { how.follow };
        let new = how.create && canonical(&inner.vfs, path, follow).await?.node.is_none();
        let making = new.then(|| inner.room_for_a_file(self.limits.files)).transpose()?;
        // Emptied below, where its size is known.
        let quiet = Open { truncate: false, ..how };
        *counted = false;
        let file = match inner.vfs.open(path, quiet).await {
            Ok(file) => file,
            Err(error) => {
                *counted = !matches!(error.kind(), ErrorKind::Io | ErrorKind::NoSpace | ErrorKind::Conflict);
                return Err(error);
            }
        };
        inner.files.fetch_add(u64::from(new), Ordering::SeqCst);
        drop(making);
        let stat = file.stat().await?;
        *counted = true;
        if stat.kind != Kind::File {
            return Ok(file);
        }
        let id = (stat.device, stat.inode);
        let size = {
            let mut open = inner.files();
            let size = open.entry(id).or_insert_with(|| {
                let known = Mutex::new(Known { bytes: stat.size, sure: true });
                Arc::new(Size { known, state: StdMutex::default() })
            });
            size.handles().open += 1;
            size.clone()
        };
        let file = QuotaFile { inner: inner.clone(), limits: self.limits, file, id, size };
        drop(counted);
        if how.truncate {
            file.set_len(0).await?;
        }
        Ok(Arc::new(file))
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        self.inner.vfs.stat(path, follow).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        self.inner.vfs.list(path, after, limit).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        let made = async { self.inner.vfs.create_dir(path).await.map(|()| ((), Change::made())) };
        self.inner.change(Some(self.limits.files), made).await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        let removed = async {
            let gone = self.inner.last_name(path).await?;
            self.inner.vfs.remove_file(path).await?;
            Ok(((), Change::removed(gone)))
        };
        self.inner.change(None, removed).await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        let removed = async { self.inner.vfs.remove_dir(path).await.map(|()| ((), Change::removed(None))) };
        self.inner.change(None, removed).await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        let renamed = async {
            let vfs = &self.inner.vfs;
            let over = match (vfs.stat(from, Follow::No).await, vfs.stat(to, Follow::No).await) {
                (Ok(from), Ok(to)) if (from.device, from.inode) != (to.device, to.inode) => Some(to),
                _ => None,
            };
            vfs.rename(from, to).await?;
            let files_less = u64::from(over.is_some());
            let gone = over.filter(|over| over.kind == Kind::File && over.links <= 1);
            Ok(((), Change { files_less, gone, ..Change::default() }))
        };
        self.inner.change(None, renamed).await
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        let made = async { self.inner.vfs.link(from, follow, to).await.map(|()| ((), Change::made())) };
        self.inner.change(Some(self.limits.files), made).await
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        let made = async { self.inner.vfs.symlink(target, path).await.map(|()| ((), Change::made())) };
        self.inner.change(Some(self.limits.files), made).await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.inner.vfs.readlink(path).await
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        self.inner.vfs.set_times(path, follow, times).await
    }
}

/// A file that is open for writing, and counted.
struct QuotaFile<V: Vfs> {
    inner: Arc<Inner<V>>,
    limits: QuotaLimits,
    file: Arc<dyn File>,
    id: (u64, u64),
    size: Arc<Size>,
}

impl<V: Vfs> QuotaFile<V> {
    /// Brings the file to a length, by work that does. The bytes are taken before, so that two cannot both have the last.
    async fn resize<T>(
        &self,
        length: impl FnOnce(u64) -> Result<u64>,
        work: impl AsyncFnOnce(u64) -> Result<T>,
    ) -> Result<T> {
        let mut known = self.size.known.lock().await;
        if !known.sure {
            // What was given up half way may still be written: until all is counted again, what it took is not given back.
            let found = self.file.stat().await?.size.max(known.bytes);
            self.count(&mut known, found);
            known.sure = true;
            self.inner.doubtful.store(true, Ordering::SeqCst);
        }
        let (before, after) = (known.bytes, length(known.bytes)?);
        if after > before {
            if after > self.limits.file_bytes {
                return Err(Error::too_large(after, self.limits.file_bytes));
            }
            self.inner.reserve(after - before, self.limits.bytes)?;
            known.bytes = after;
        }
        known.sure = false;
        let done = work(before).await;
        match &done {
            Ok(_) => {
                self.count(&mut known, after);
                known.sure = true;
            }
            Err(_) => {
                if let Ok(stat) = self.file.stat().await {
                    self.count(&mut known, stat.size);
                    known.sure = true;
                }
            }
        }
        done
    }

    /// Sets what is counted for the file.
    fn count(&self, known: &mut Known, found: u64) {
        if found > known.bytes {
            self.inner.bytes.fetch_add(found - known.bytes, Ordering::SeqCst);
        } else {
            self.inner.release(known.bytes - found);
        }
        known.bytes = found;
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<V: Vfs> File for QuotaFile<V> {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        self.file.read_at(offset, bytes_max).await
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()> {
        if bytes.is_empty() {
            return self.file.write_at(offset, bytes).await;
        }
        let end = end_of(offset, bytes.len())?;
        self.resize(|before| Ok(before.max(end)), async |_| self.file.write_at(offset, bytes).await).await
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        let length = bytes.len();
        self.resize(|before| end_of(before, length), async |_| self.file.append(bytes).await).await
    }

    async fn set_len(&self, bytes: u64) -> Result<()> {
        self.resize(|_| end_of(bytes, 0), async |_| self.file.set_len(bytes).await).await
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

impl<V: Vfs> Drop for QuotaFile<V> {
    fn drop(&mut self) {
        let mut open = self.inner.files();
        let mut handles = self.size.handles();
        handles.open -= 1;
        if handles.open == 0 {
            open.remove(&self.id);
            match self.size.known.try_lock() {
                Ok(known) if !known.sure => self.inner.doubtful.store(true, Ordering::SeqCst),
                Ok(known) if handles.nameless => self.inner.release(known.bytes),
                Ok(_) => {}
                // All is being counted just now, this file perhaps as one that is open.
                Err(_) => self.inner.doubtful.store(true, Ordering::SeqCst),
            }
        }
    }
}
