//! Room for the bytes that calls have written and not yet published: so many in memory for all calls together, and the rest
//! in a file without a name, of each call its own.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cap_std::fs::{Dir, File, FileExt, OpenOptions};

use super::super::bucket::random;
use crate::error::{Error, ErrorKind, Result};

/// Bytes that are kept together: what is written goes to the file in pieces of this size.
pub(crate) const PAGE_BYTES: usize = 64 << 10;

/// Pages that are written to the file by one visit of a thread for it.
const BATCH: usize = 16;

/// Memory for all calls, and the directory for what it has no room for.
pub(crate) struct Room {
    memory_max: u64,
    memory: AtomicU64,
    directory: Dir,
}

impl Room {
    pub(crate) fn open(memory_max: u64, directory: Option<&Path>) -> Result<Arc<Self>> {
        let temporary = std::env::temp_dir();
        let path = directory.unwrap_or(&temporary);
        let directory = Dir::open_ambient_dir(path, cap_std::ambient_authority()).map_err(|error| {
            let message = format!("the scratch directory `{}`: {error}", path.display());
            Error::new(ErrorKind::Io, message).caused_by(error)
        })?;
        Ok(Arc::new(Room { memory_max, memory: AtomicU64::new(0), directory }))
    }

    /// Takes bytes of memory, if there are so many.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Memory> {
        let more = |held: u64| held.checked_add(bytes).filter(|held| *held <= self.memory_max);
        self.memory.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Memory { room: self.clone(), bytes })
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> u64 {
        self.memory.load(Ordering::SeqCst)
    }
}

/// Bytes of memory that somebody has taken. They are given back when it is dropped.
pub(crate) struct Memory {
    room: Arc<Room>,
    bytes: u64,
}

impl Memory {
    /// Adds what somebody else has taken.
    pub(crate) fn join(&mut self, mut other: Memory) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// A part of it, by itself.
    pub(crate) fn split(&mut self, bytes: u64) -> Memory {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Memory { room: self.room.clone(), bytes }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.room.memory.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

/// One call's file. It is made when it is first needed.
pub(crate) struct Scratch {
    room: Arc<Room>,
    file: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    file: Option<Arc<File>>,
    /// Slots that were used once and are free.
    free: Vec<u64>,
    next: u64,
}

/// A place for one page in the file. It is free again when this is dropped.
pub(crate) struct Slot {
    scratch: Arc<Scratch>,
    number: u64,
    /// How much of the page is written; zeros follow.
    pub(crate) bytes: usize,
}

impl Scratch {
    pub(crate) fn new(room: Arc<Room>) -> Arc<Self> {
        Arc::new(Scratch { room, file: Mutex::default() })
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes pages to the file: all, or an error and none.
    pub(crate) async fn write(self: &Arc<Self>, pages: &[Arc<Vec<u8>>]) -> Result<Vec<Slot>> {
        let mut written = Vec::with_capacity(pages.len());
        for batch in pages.chunks(BATCH) {
            let slots: Vec<_> = batch.iter().map(|page| self.slot(page.len())).collect();
            let (scratch, batch) = (self.clone(), batch.to_vec());
            // The thread has the slots: nobody else writes there before it is done, also where nobody waits for it any longer.
            let slots = aside(move || {
                let file = scratch.file()?;
                for (page, slot) in batch.iter().zip(&slots) {
                    file.write_all_at(page, slot.number * PAGE_BYTES as u64)?;
                }
                Ok(slots)
            });
            written.extend(slots.await?);
        }
        Ok(written)
    }

    fn slot(self: &Arc<Self>, bytes: usize) -> Slot {
        let mut slots = self.slots();
        let number = slots.free.pop().unwrap_or_else(|| {
            slots.next += 1;
            slots.next - 1
        });
        drop(slots);
        Slot { scratch: self.clone(), number, bytes }
    }

    /// The file, made where there is none yet. It has no name from then on, so that nobody finds it and nothing is left.
    fn file(&self) -> io::Result<Arc<File>> {
        let mut slots = self.slots();
        if let Some(file) = &slots.file {
            return Ok(file.clone());
        }
        let name = format!("runner-{:032x}", random());
        let directory = &self.room.directory;
        let file = directory.open_with(&name, OpenOptions::new().read(true).write(true).create_new(true))?;
        directory.remove_file(&name)?;
        Ok(slots.file.insert(Arc::new(file)).clone())
    }
}

impl Slot {
    /// The page.
    pub(crate) async fn read(&self) -> Result<Vec<u8>> {
        let (scratch, number, bytes) = (self.scratch.clone(), self.number, self.bytes);
        aside(move || {
            let mut page = vec![0; bytes];
            scratch.file()?.read_exact_at(&mut page, number * PAGE_BYTES as u64)?;
            Ok(page)
        })
        .await
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = self.scratch.slots();
        slots.free.push(self.number);
        if slots.free.len() as u64 == slots.next {
            // Nobody uses it: the disk has its room back.
            *slots = Slots::default();
        }
    }
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let lost = |error| Error::new(ErrorKind::Io, "the thread for scratch files is gone").caused_by(error);
    let done = tokio::task::spawn_blocking(work).await.map_err(lost)?;
    done.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            _ => ErrorKind::Io,
        };
        Error::new(kind, format!("the scratch file: {error}")).caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_are_kept_in_a_file_that_has_no_name_and_ends_with_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let scratch = Scratch::new(Room::open(0, Some(folder.path())).expect("it opens"));
        let pages: Vec<_> = (0..40_u8).map(|page| Arc::new(vec![page; 100 + usize::from(page)])).collect();
        let mut slots = scratch.write(&pages).await.expect("they are written");
        assert_eq!(scratch.room.directory.entries().expect("a listing").count(), 0);
        for (page, slot) in pages.iter().zip(&slots) {
            assert_eq!(slot.read().await.expect("it is read"), **page);
        }
        slots.truncate(10);
        let again = scratch.write(&pages[..5]).await.expect("they are written");
        assert_eq!(scratch.slots().next, 40, "what is free is used again");
        assert_eq!(slots[9].read().await.expect("it is read"), *pages[9]);
        drop((slots, again));
        assert!(scratch.slots().file.is_none());
    }

    #[test]
    fn memory_is_taken_once_and_given_back() {
        let room = Room::open(100, None).expect("it opens");
        let mut first = room.take(60).expect("there is room");
        assert!(room.take(41).is_none());
        first.join(room.take(40).expect("there is room"));
        let part = first.split(30);
        drop(first);
        assert_eq!(room.held(), 30);
        drop(part);
        assert_eq!(room.held(), 0);
    }
}
