//! The bytes of one file within a call: a version in the bucket, and over it the pages that the call has written.
//!
//! One lock guards them all, so that every change is whole. A page that is here is all of what is at its place; where none is,
//! the version's bytes are, and behind these zeros.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Mutex, MutexGuard};

use super::super::cache::Version;
use super::super::reader::{Ahead, Reader};
use super::scratch::{Memory, PAGE_BYTES, Scratch, Slot};
use super::upload::{PART_BYTES, PARTS_MAX, Stream, Uploads};
use crate::error::{Error, Result};
use crate::vfs::{READ_BYTES_MAX, end_of};

/// Bytes that a file may have: what the parts of one upload hold.
pub(crate) const BODY_BYTES_MAX: u64 = PART_BYTES * PARTS_MAX as u64;

/// What all bodies of a call share.
pub(crate) struct Parts {
    pub(crate) reader: Reader,
    pub(crate) scratch: Arc<Scratch>,
    pub(crate) uploads: Uploads,
    /// Bytes that one file may have.
    pub(crate) file_bytes_max: u64,
}

/// The bytes of a file.
pub(crate) struct Body {
    parts: Arc<Parts>,
    content: Mutex<Content>,
    size: AtomicU64,
    dirty: AtomicBool,
    /// The key that it will most likely be published at, for what is sent ahead.
    key: StdMutex<Option<Arc<str>>>,
}

/// What is under the lock.
pub(crate) struct Content {
    /// What is in the bucket, and how much of it still counts.
    base: Option<Version>,
    base_bytes: u64,
    size: u64,
    pages: BTreeMap<u64, Page>,
    /// What of it is on its way already.
    stream: Option<Stream>,
    /// Counts the changes.
    changes: u64,
}

enum Page {
    Memory(Arc<Vec<u8>>, Memory),
    Scratch(Slot),
}

impl Body {
    /// What is in the bucket.
    pub(crate) fn of(parts: &Arc<Parts>, base: Version) -> Arc<Self> {
        Self::new(parts, base.size, Some(base))
    }

    /// No bytes.
    pub(crate) fn empty(parts: &Arc<Parts>) -> Arc<Self> {
        Self::new(parts, 0, None)
    }

    fn new(parts: &Arc<Parts>, size: u64, base: Option<Version>) -> Arc<Self> {
        let dirty = AtomicBool::new(base.is_none());
        let content = Content { base, base_bytes: size, size, pages: BTreeMap::new(), stream: None, changes: 0 };
        Arc::new(Body {
            parts: parts.clone(),
            content: Mutex::new(content),
            size: AtomicU64::new(size),
            dirty,
            key: StdMutex::default(),
        })
    }

    /// Where it will be published, unless it is renamed: from then on, what is written of a large file is sent there.
    pub(crate) fn goes_to(&self, key: &str) {
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.into());
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::SeqCst)
    }

    /// Whether it has bytes that are not published.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::SeqCst)
    }

    /// Some bytes from a place on: as many as there are, up to a bound.
    pub(crate) async fn read(&self, ahead: &Ahead, offset: u64, bytes_max: usize) -> Result<Bytes> {
        let content = self.content.lock().await;
        let end = content.size.min(offset.saturating_add(bytes_max.min(READ_BYTES_MAX) as u64));
        if offset >= end {
            return Ok(Bytes::new());
        }
        if let (Some(base), true) = (&content.base, content.pages.is_empty() && content.base_bytes >= end) {
            // Nothing of it is ours: others may go on meanwhile.
            let (base, mut bytes) = (base.clone(), BytesMut::with_capacity((end - offset) as usize));
            drop(content);
            self.parts.reader.read(&base, ahead, offset..end, &mut bytes).await?;
            return Ok(bytes.freeze());
        }
        Ok(content.bytes(&self.parts, ahead, offset..end).await?.freeze())
    }

    /// Writes all of the bytes at a place, or behind the end; answers where they end.
    pub(crate) async fn write(&self, at: Option<u64>, bytes: &[u8]) -> Result<u64> {
        let mut content = self.content.lock().await;
        let offset = at.unwrap_or(content.size);
        let end = end_of(offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(end);
        }
        self.may_have(end.max(content.size))?;
        content.write(&self.parts, offset, bytes).await?;
        self.changed(&mut content);
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        content.stream(&self.parts, key, offset..end).await;
        Ok(end)
    }

    /// Cuts it off, or adds zeros.
    pub(crate) async fn set_len(&self, bytes: u64) -> Result<()> {
        self.may_have(bytes)?;
        let mut content = self.content.lock().await;
        content.set_len(bytes);
        self.changed(&mut content);
        Ok(())
    }

    /// Takes the lock for who publishes it: nothing changes meanwhile.
    pub(crate) async fn held(&self) -> MutexGuard<'_, Content> {
        self.content.lock().await
    }

    /// Takes over all that is in the bucket, where it is about to go.
    pub(crate) async fn keep(&self) -> Result<()> {
        let mut content = self.content.lock().await;
        content.keep(&self.parts).await
    }

    /// It is published as a version, with all the changes up to then.
    pub(crate) async fn published(&self, version: Version, changes: u64) {
        let mut content = self.content.lock().await;
        if content.changes == changes {
            self.dirty.store(false, Ordering::SeqCst);
        }
        content.base_bytes = content.size.min(version.size);
        content.base = Some(version);
        content.stream = None;
    }

    fn may_have(&self, bytes: u64) -> Result<()> {
        let allowed = self.parts.file_bytes_max.min(BODY_BYTES_MAX);
        match bytes <= allowed || bytes <= self.size() {
            true => Ok(()),
            false => Err(Error::too_large(bytes, allowed)),
        }
    }

    fn changed(&self, content: &mut Content) {
        content.changes += 1;
        self.size.store(content.size, Ordering::SeqCst);
        self.dirty.store(true, Ordering::SeqCst);
    }
}

impl Content {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// The version of which a range is, where the call has changed nothing in it.
    pub(crate) fn unchanged(&self, range: &Range<u64>) -> Option<&Version> {
        let pages = range.start / PAGE_BYTES as u64..range.end.div_ceil(PAGE_BYTES as u64);
        match range.end <= self.base_bytes && self.pages.range(pages).next().is_none() {
            true => self.base.as_ref(),
            false => None,
        }
    }

    pub(crate) fn take_stream(&mut self) -> Option<Stream> {
        self.stream.take()
    }

    /// The bytes of a range, which must lie within the file.
    pub(crate) async fn bytes(&self, parts: &Parts, ahead: &Ahead, range: Range<u64>) -> Result<BytesMut> {
        let mut bytes = BytesMut::with_capacity((range.end - range.start) as usize);
        let mut at = range.start;
        while at < range.end {
            let (page, within) = (at / PAGE_BYTES as u64, (at % PAGE_BYTES as u64) as usize);
            let page_end = range.end.min((page + 1) * PAGE_BYTES as u64);
            match self.pages.get(&page) {
                Some(Page::Memory(held, _)) => {
                    push(&mut bytes, held, within, (page_end - at) as usize);
                    at = page_end;
                }
                Some(Page::Scratch(slot)) => {
                    push(&mut bytes, &slot.read().await?, within, (page_end - at) as usize);
                    at = page_end;
                }
                None => {
                    let next = self.pages.range(page + 1..).next().map(|(page, _)| page * PAGE_BYTES as u64);
                    let end = next.unwrap_or(u64::MAX).min(range.end);
                    let from_base = self.base_bytes.clamp(at, end);
                    if let Some(base) = &self.base {
                        parts.reader.read(base, ahead, at..from_base, &mut bytes).await?;
                    }
                    bytes.resize((end - range.start) as usize, 0);
                    at = end;
                }
            }
        }
        Ok(bytes)
    }

    async fn write(&mut self, parts: &Parts, offset: u64, bytes: &[u8]) -> Result<()> {
        let pieces: Vec<_> = pieces(offset, bytes.len()).collect();
        // What of the pages is not in memory and will not be written over, is read before anything changes.
        let mut filled = BTreeMap::new();
        for piece in &pieces {
            if !matches!(self.pages.get(&piece.page), Some(Page::Memory(..))) {
                filled.insert(piece.page, self.fill(parts, piece).await?);
            }
        }
        let growth = pieces.iter().map(|piece| {
            let kept = filled.get(&piece.page).map_or(0, Vec::len);
            let after = kept.max(piece.within + piece.range.len());
            match self.pages.get(&piece.page) {
                Some(Page::Memory(held, _)) => after.saturating_sub(held.len()) as u64,
                _ => after as u64,
            }
        });
        let growth: Vec<_> = growth.collect();
        let wanted: u64 = growth.iter().sum();
        let room = parts.scratch.room();
        let mut memory = room.take(wanted);
        if memory.is_none() {
            let (first, last) = (offset / PAGE_BYTES as u64, (offset + bytes.len() as u64) / PAGE_BYTES as u64);
            self.spill(parts, |page| !(first..last + 1).contains(&page)).await?;
            memory = room.take(wanted);
        }
        let Some(mut memory) = memory else { return self.write_through(parts, &pieces, filled, bytes).await };
        for (piece, growth) in pieces.into_iter().zip(growth) {
            let mut more = memory.split(growth);
            let (mut page, mut held) = match self.pages.remove(&piece.page) {
                Some(Page::Memory(page, held)) => (page, held),
                _ => (Arc::new(filled.remove(&piece.page).unwrap_or_default()), more.split(0)),
            };
            held.join(more);
            lay(Arc::make_mut(&mut page), piece.within, &bytes[piece.range]);
            self.pages.insert(piece.page, Page::Memory(page, held));
        }
        self.size = self.size.max(offset + bytes.len() as u64);
        Ok(())
    }

    /// What is at a page's place, as much of it as a write leaves; the page is not in memory.
    async fn fill(&self, parts: &Parts, piece: &Piece) -> Result<Vec<u8>> {
        let start = piece.page * PAGE_BYTES as u64;
        if let Some(Page::Scratch(slot)) = self.pages.get(&piece.page) {
            return match piece.within == 0 && piece.range.len() >= slot.bytes {
                true => Ok(Vec::new()),
                false => slot.read().await,
            };
        }
        let Some(base) = &self.base else { return Ok(Vec::new()) };
        let end = self.base_bytes.min(start + PAGE_BYTES as u64);
        if end <= start || (piece.within == 0 && piece.range.len() as u64 >= end - start) {
            return Ok(Vec::new());
        }
        let mut bytes = BytesMut::new();
        parts.reader.read(base, &Ahead::default(), start..end, &mut bytes).await?;
        Ok(bytes.into())
    }

    async fn keep(&mut self, parts: &Parts) -> Result<()> {
        let (Some(base), end) = (self.base.clone(), self.base_bytes) else { return Ok(()) };
        for page in 0..end.div_ceil(PAGE_BYTES as u64) {
            if self.pages.contains_key(&page) {
                continue;
            }
            let start = page * PAGE_BYTES as u64;
            let mut bytes = BytesMut::new();
            parts.reader.read(&base, &Ahead::default(), start..end.min(start + PAGE_BYTES as u64), &mut bytes).await?;
            let size = self.size;
            self.write(parts, start, &bytes).await?;
            self.size = size;
        }
        (self.base, self.base_bytes) = (None, 0);
        Ok(())
    }

    /// The same where memory has no room: the pages go to the file at once.
    async fn write_through(
        &mut self,
        parts: &Parts,
        pieces: &[Piece],
        mut filled: BTreeMap<u64, Vec<u8>>,
        bytes: &[u8],
    ) -> Result<()> {
        let mut pages = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let mut page = match self.pages.get(&piece.page) {
                Some(Page::Memory(held, _)) => held.to_vec(),
                _ => filled.remove(&piece.page).unwrap_or_default(),
            };
            lay(&mut page, piece.within, &bytes[piece.range.clone()]);
            pages.push(Arc::new(page));
        }
        let slots = parts.scratch.write(&pages).await?;
        for (piece, slot) in pieces.iter().zip(slots) {
            let end = piece.page * PAGE_BYTES as u64 + (piece.within + piece.range.len()) as u64;
            self.size = self.size.max(end);
            self.pages.insert(piece.page, Page::Scratch(slot));
        }
        Ok(())
    }

    /// Brings pages that are in memory to the file.
    async fn spill(&mut self, parts: &Parts, which: impl Fn(u64) -> bool) -> Result<()> {
        let in_memory = self.pages.iter().filter_map(|(number, page)| match page {
            Page::Memory(page, _) if which(*number) => Some((*number, page.clone())),
            _ => None,
        });
        let (numbers, pages): (Vec<_>, Vec<_>) = in_memory.unzip();
        let slots = parts.scratch.write(&pages).await?;
        for (number, slot) in numbers.into_iter().zip(slots) {
            self.pages.insert(number, Page::Scratch(slot));
        }
        Ok(())
    }

    fn set_len(&mut self, bytes: u64) {
        if bytes < self.size {
            let (last, within) = (bytes / PAGE_BYTES as u64, (bytes % PAGE_BYTES as u64) as usize);
            // The page that is cut keeps what is before: in the file, a shorter part of it counts.
            match self.pages.get_mut(&last) {
                Some(Page::Memory(page, held)) if page.len() > within => {
                    let less = (page.len() - within) as u64;
                    Arc::make_mut(page).truncate(within);
                    drop(held.split(less));
                }
                Some(Page::Scratch(slot)) => slot.bytes = slot.bytes.min(within),
                _ => {}
            }
            drop(self.pages.split_off(&(last + u64::from(within > 0))));
            self.base_bytes = self.base_bytes.min(bytes);
            if let Some(stream) = &mut self.stream {
                stream.stale_from(bytes);
            }
        } else if bytes > self.size
            && let Some(stream) = &mut self.stream
        {
            stream.stale_from(self.size);
        }
        if bytes == 0 {
            // Nothing of it is there any more: what comes now is written from the beginning.
            self.base = None;
        }
        self.size = bytes;
    }

    /// Sends what is complete on its way, where the file is written from its beginning on. It only makes things faster:
    /// what fails here is done when the file is published.
    async fn stream(&mut self, parts: &Parts, key: Option<Arc<str>>, written: Range<u64>) {
        let end = written.end;
        if let Some(stream) = &mut self.stream {
            stream.stale(written);
        }
        if self.base.is_some() || end != self.size {
            return;
        }
        let mut stream = match (self.stream.take(), key) {
            (Some(stream), _) => stream,
            // From the second part on: a file of one part is not worth it.
            (None, Some(key)) if end >= 2 * PART_BYTES => Stream::new(parts.uploads.clone(), key),
            (None, _) => return,
        };
        while let Some((part, range)) = stream.next(self.size) {
            stream.wait().await;
            let room = parts.reader.room(PART_BYTES);
            let Ok(bytes) = self.bytes(parts, &Ahead::default(), range.clone()).await else { break };
            stream.send(part, bytes.freeze(), room).await;
            // It is hardly wanted again: memory is for what comes.
            let pages = range.start / PAGE_BYTES as u64..range.end / PAGE_BYTES as u64;
            if self.spill(parts, |page| pages.contains(&page)).await.is_err() {
                break;
            }
        }
        self.stream = Some(stream);
    }
}

/// Lays bytes at a place of a page, zeros before them where it ends earlier.
fn lay(page: &mut Vec<u8>, within: usize, bytes: &[u8]) {
    if page.len() < within {
        page.resize(within, 0);
    }
    let over = bytes.len().min(page.len() - within);
    page[within..within + over].copy_from_slice(&bytes[..over]);
    page.extend_from_slice(&bytes[over..]);
}

fn push(bytes: &mut BytesMut, page: &[u8], within: usize, count: usize) {
    let part = page.get(within..page.len().min(within + count)).unwrap_or_default();
    bytes.extend_from_slice(part);
    bytes.resize(bytes.len() + count - part.len(), 0);
}

/// The part of some bytes that lies in one page.
struct Piece {
    page: u64,
    /// Where it begins in the page.
    within: usize,
    /// Where it lies in the bytes.
    range: Range<usize>,
}

fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % PAGE_BYTES as u64) as usize;
        let count = (length - done).min(PAGE_BYTES - within);
        let piece = Piece { page: at / PAGE_BYTES as u64, within, range: done..done + count };
        done += count;
        (count > 0).then_some(piece)
    })
}
