//! The bytes of a file in a draft, under all its names and for all who have it open; and links.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::RwLock;

use super::{Inner, shown};
use crate::error::{Error, Result};
use crate::ext::copy_bytes;
use crate::path::VPath;
use crate::vfs::{File, Flush, Kind, Open, SetTimes, Stat, Vfs, end_of};
use crate::volume::ground::Ground;

/// A file of the draft: as it is below, until it is first written to.
pub(in crate::volume) struct Body {
    pub(in crate::volume) number: u64,
    /// Where it is below.
    pub(in crate::volume) home: Option<VPath>,
    /// What it is shown as, device and inode.
    pub(super) identity: (u64, u64),
    /// Held for writing by who writes.
    state: RwLock<State>,
    pub(super) size: AtomicU64,
    handles: Mutex<Handles>,
}

#[derive(Default)]
struct State {
    /// Whether its bytes lie in the stage.
    staged: bool,
    file: Option<Arc<dyn File>>,
    /// Times that were set while it is as it is below: when it was read, and changed.
    times: Option<(u64, u64)>,
}

#[derive(Clone, Copy)]
pub(super) struct Handles {
    pub(super) names: u64,
    pub(super) open: u64,
}

/// A symbolic link.
pub(in crate::volume) struct Link {
    pub(in crate::volume) target: String,
    /// Where it is below.
    pub(in crate::volume) home: Option<VPath>,
    pub(super) identity: (u64, u64),
    times: Mutex<LinkTimes>,
    names: AtomicU64,
}

#[derive(Clone, Copy)]
struct LinkTimes {
    accessed_ns: u64,
    modified_ns: u64,
    set: bool,
}

impl Body {
    pub(super) fn new(number: u64) -> Self {
        let state = State { staged: true, ..State::default() };
        Body {
            number,
            home: None,
            identity: (1, number),
            state: RwLock::new(state),
            size: AtomicU64::new(0),
            handles: Mutex::new(Handles { names: 1, open: 0 }),
        }
    }

    /// One that is below.
    pub(super) fn below(number: u64, home: VPath, stat: &Stat) -> Self {
        Body {
            number,
            home: Some(home),
            identity: shown(stat),
            state: RwLock::default(),
            size: AtomicU64::new(stat.size),
            handles: Mutex::new(Handles { names: stat.links, open: 0 }),
        }
    }

    /// Its place in the stage.
    pub(in crate::volume) fn staged_path(&self) -> Result<VPath> {
        VPath::root().child(&self.number.to_string())
    }

    /// Whether it was written to, and the times that were set where it was not. Nobody uses it any more.
    pub(in crate::volume) fn changed(&self) -> (bool, Option<(u64, u64)>) {
        match self.state.try_read() {
            Ok(state) => (state.staged, state.times),
            // Somebody writes still, who should not: what is in the stage by now is what counts.
            Err(_) => (true, None),
        }
    }

    pub(in crate::volume) fn size(&self) -> u64 {
        self.size.load(Ordering::SeqCst)
    }

    pub(super) fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    pub(super) fn new(number: u64, target: String, now_ns: u64) -> Self {
        let times = Mutex::new(LinkTimes { accessed_ns: now_ns, modified_ns: now_ns, set: false });
        Link { target, home: None, identity: (1, number), times, names: AtomicU64::new(1) }
    }

    pub(super) fn below(home: VPath, target: String, stat: &Stat) -> Self {
        let times = LinkTimes { accessed_ns: stat.accessed_ns, modified_ns: stat.modified_ns, set: false };
        let (times, names) = (Mutex::new(times), AtomicU64::new(stat.links));
        Link { target, home: Some(home), identity: shown(stat), times, names }
    }

    fn times(&self) -> MutexGuard<'_, LinkTimes> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The times that were set: when it was read, and changed.
    pub(in crate::volume) fn changed(&self) -> Option<(u64, u64)> {
        let times = *self.times();
        times.set.then_some((times.accessed_ns, times.modified_ns))
    }

    pub(super) fn set_times(&self, times: SetTimes, now_ns: u64) {
        let mut own = self.times();
        own.accessed_ns = times.accessed.or(own.accessed_ns, || now_ns);
        own.modified_ns = times.modified.or(own.modified_ns, || now_ns);
        own.set = true;
    }

    pub(super) fn count(&self, more: bool) {
        match more {
            true => self.names.fetch_add(1, Ordering::SeqCst),
            false => self.names.fetch_sub(1, Ordering::SeqCst),
        };
    }

    pub(super) fn stat(&self) -> Stat {
        let (LinkTimes { accessed_ns, modified_ns, .. }, (device, inode)) = (*self.times(), self.identity);
        Stat {
            kind: Kind::Symlink,
            size: self.target.len() as u64,
            links: self.names.load(Ordering::SeqCst),
            device,
            inode,
            accessed_ns,
            modified_ns,
            changed_ns: modified_ns,
        }
    }
}

impl<G: Ground> Inner<G> {
    /// A new file, empty, with one name.
    pub(super) async fn new_body(&self) -> Result<Arc<Body>> {
        let body = Body::new(self.number());
        let file = self.stage().await?.tree.open(&body.staged_path()?, Open::creating().truncated()).await?;
        body.state.write().await.file = Some(file);
        Ok(Arc::new(body))
    }

    /// A file has lost a name; with the last one its bytes are free, unless it is open. Whether it lies in the stage in vain now.
    pub(super) fn unname(&self, body: &Body) -> bool {
        let handles = {
            let mut handles = body.handles();
            handles.names = handles.names.saturating_sub(1);
            *handles
        };
        let free = handles.names == 0 && handles.open == 0;
        self.ledger.take_back(if free { -signed(body.size()) } else { 0 }, -1);
        handles.names == 0 && body.state.try_read().is_ok_and(|state| state.staged)
    }

    /// Makes room. What fails goes with the stage.
    pub(super) async fn unstage(&self, body: Option<Arc<Body>>) {
        if let (Some(body), Some(stage)) = (body, self.stage.get())
            && let Ok(path) = body.staged_path()
        {
            let _ = stage.tree.remove_file(&path).await;
        }
    }

    pub(super) async fn stat_body(&self, body: &Body) -> Result<Stat> {
        let state = body.state.read().await;
        let stat = match &state.file {
            Some(file) => file.stat().await?,
            None if state.staged => self.stage().await?.tree.stat(&body.staged_path()?, crate::Follow::No).await?,
            None => {
                let home = body.home.as_ref().ok_or_else(|| Error::not_found("the file"))?;
                self.lower.stat(home, crate::Follow::No).await?
            }
        };
        let (device, inode) = body.identity;
        let (accessed_ns, modified_ns) = state.times.unwrap_or((stat.accessed_ns, stat.modified_ns));
        let changed_ns = stat.changed_ns.max(if state.times.is_some() { modified_ns } else { 0 });
        Ok(Stat { links: body.handles().names, device, inode, accessed_ns, modified_ns, changed_ns, ..stat })
    }

    pub(super) async fn set_body_times(&self, body: &Body, times: SetTimes) -> Result<()> {
        let stat = self.stat_body(body).await?;
        let mut state = body.state.write().await;
        match &state.file {
            Some(file) if state.staged => file.set_times(times).await,
            None if state.staged => {
                self.stage().await?.tree.set_times(&body.staged_path()?, crate::Follow::No, times).await
            }
            _ => {
                let now = || self.now_ns();
                state.times =
                    Some((times.accessed.or(stat.accessed_ns, now), times.modified.or(stat.modified_ns, now)));
                Ok(())
            }
        }
    }

    /// The open file, opened where it is not.
    async fn file(&self, body: &Body, state: &mut State) -> Result<Arc<dyn File>> {
        if let Some(file) = &state.file {
            return Ok(file.clone());
        }
        let file = match (&body.home, state.staged) {
            (Some(home), false) => self.lower.open(home, Open::reading().no_follow()).await?,
            _ => self.stage().await?.tree.open(&body.staged_path()?, Open::writing()).await?,
        };
        state.file = Some(file.clone());
        Ok(file)
    }

    /// Brings the bytes into the stage, all of them or none, before the first write.
    async fn stage_body(&self, body: &Body, state: &mut State, keep: bool) -> Result<Arc<dyn File>> {
        if state.staged {
            return self.file(body, state).await;
        }
        let stage = &self.stage().await?.tree;
        let path = body.staged_path()?;
        let copy = stage.open(&path, Open::creating().truncated()).await?;
        if keep {
            let below = self.file(body, state).await?;
            copy_bytes(&below, &copy).await?;
        }
        if let (Some(home), Some(tree)) = (&body.home, self.lower.find().await?) {
            self.lower.ground().like(tree, home, stage, &path).await?;
        }
        *state = State { staged: true, file: Some(copy.clone()), times: None };
        Ok(copy)
    }

    /// Opens a file for a guest.
    pub(super) async fn open_body(self: &Arc<Self>, body: Arc<Body>, how: Open) -> Result<Arc<dyn File>> {
        body.handles().open += 1;
        // Counted from here on, so that it is given back wherever this ends.
        let file = DraftFile { inner: self.clone(), body, how };
        if how.truncate {
            file.set_len(0).await?;
        } else {
            let open = file.body.state.read().await.file.is_some();
            if !open {
                self.file(&file.body, &mut *file.body.state.write().await).await?;
            }
        }
        Ok(Arc::new(file))
    }
}

pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A file that a guest has open.
struct DraftFile<G: Ground> {
    inner: Arc<Inner<G>>,
    body: Arc<Body>,
    how: Open,
}

impl<G: Ground> DraftFile<G> {
    /// Brings the file to a length, by work that does. The bytes are taken before.
    async fn resize<T, F: Future<Output = Result<T>>>(
        &self,
        length: impl FnOnce(u64) -> Result<u64>,
        keep: bool,
        work: impl FnOnce(Arc<dyn File>) -> F,
    ) -> Result<T> {
        if !self.how.write {
            return Err(Error::not_opened_for("writing"));
        }
        let mut state = self.body.state.write().await;
        let before = self.body.size();
        let after = length(before)?;
        let more = signed(after.saturating_sub(before));
        if more > 0 {
            if after > self.inner.file_bytes {
                return Err(Error::too_large(after, self.inner.file_bytes));
            }
            self.inner.ledger.add(more, 0).await?;
            // From here on at most too much is counted, also where nobody waits any more.
            self.body.size.store(after, Ordering::SeqCst);
        }
        let done = match self.inner.stage_body(&self.body, &mut state, keep).await {
            Ok(file) => work(file).await,
            Err(error) => Err(error),
        };
        let found = match (&done, &state.file) {
            (Ok(_), _) => after,
            (Err(_), Some(file)) => file.stat().await.map_or(after.max(before), |stat| stat.size),
            (Err(_), None) => before,
        };
        let counted = before.max(after);
        self.body.size.store(found, Ordering::SeqCst);
        if found < counted {
            self.inner.ledger.take_back(-signed(counted - found), 0);
        }
        done
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<G: Ground> File for DraftFile<G> {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        if !self.how.read {
            return Err(Error::not_opened_for("reading"));
        }
        let state = self.body.state.read().await;
        if let Some(file) = &state.file {
            return file.read_at(offset, bytes_max).await;
        }
        drop(state);
        let file = self.inner.file(&self.body, &mut *self.body.state.write().await).await?;
        file.read_at(offset, bytes_max).await
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()> {
        if bytes.is_empty() && self.how.write {
            return Ok(());
        }
        let end = end_of(offset, bytes.len());
        self.resize(|before| Ok(before.max(end?)), true, |file| async move { file.write_at(offset, bytes).await }).await
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        let length = bytes.len();
        if length == 0 && self.how.write {
            return Ok(self.body.size());
        }
        self.resize(|before| end_of(before, length), true, |file| async move { file.append(bytes).await }).await
    }

    async fn set_len(&self, bytes: u64) -> Result<()> {
        self.resize(|_| end_of(bytes, 0).map(|_| bytes), bytes > 0, |file| async move { file.set_len(bytes).await })
            .await
    }

    async fn sync(&self, what: Flush) -> Result<()> {
        let file = {
            let state = self.body.state.read().await;
            state.file.clone().filter(|_| state.staged)
        };
        self.inner.synced.store(true, Ordering::SeqCst);
        match file {
            Some(file) => file.sync(what).await,
            None => Ok(()),
        }
    }

    async fn stat(&self) -> Result<Stat> {
        self.inner.stat_body(&self.body).await
    }

    async fn set_times(&self, times: SetTimes) -> Result<()> {
        self.inner.set_body_times(&self.body, times).await
    }

    async fn close(&self) -> Result<()> {
        let file = {
            let mut state = self.body.state.write().await;
            let last = self.body.handles().open == 1;
            state.file.take_if(|_| last)
        };
        match file {
            Some(file) => file.close().await,
            None => Ok(()),
        }
    }
}

impl<G: Ground> Drop for DraftFile<G> {
    fn drop(&mut self) {
        let handles = {
            let mut handles = self.body.handles();
            handles.open -= 1;
            *handles
        };
        if handles.open > 0 {
            return;
        }
        // A descriptor of the machine is not kept for each file that was ever open.
        if let Ok(mut state) = self.body.state.try_write() {
            state.file = None;
        }
        if handles.names == 0 {
            self.inner.ledger.take_back(-signed(self.body.size()), 0);
        }
    }
}
