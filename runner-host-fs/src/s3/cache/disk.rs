//! Blocks in a directory of this machine, for what memory has no room for. It only ever makes things faster: what fails here
//! is as if it were not there, and what is read is believed once its digest fits. Each page of a block has a digest, so that a small
//! part can be read by itself.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cap_std::fs::{Dir, FileExt, OpenOptions};
use sha2::{Digest, Sha256};

use super::lru::{Lru, Share};
use crate::error::{Error, ErrorKind, Result};

/// The bytes of SHA-256.
const DIGEST_BYTES: usize = 32;

/// Bytes of a block that have a digest of their own; the digests of all pages stand behind the block's bytes.
const PAGE_BYTES: usize = 4 << 10;

/// Files that are written at the same time; what comes then is not kept.
const WRITES_MAX: usize = 4;

/// A name of a file: SHA-256 over whose block it is.
pub(crate) type Name = [u8; DIGEST_BYTES];

/// A directory of blocks.
pub(crate) struct Disk {
    directory: Arc<Dir>,
    /// Which are there. A file is made before it is in here, and removed after it was taken out.
    index: Arc<Mutex<Lru<Name, ()>>>,
    writes: Arc<tokio::sync::Semaphore>,
}

impl Disk {
    /// Opens a directory, with what an earlier process has left in it; what is none of ours is removed.
    pub(crate) fn open(path: &Path, bytes_max: u64) -> Result<Self> {
        let told = |error: io::Error| {
            let message = format!("the cache's directory `{}`: {error}", path.display());
            Error::new(ErrorKind::Io, message).caused_by(error)
        };
        let directory = Dir::open_ambient_dir(path, cap_std::ambient_authority()).map_err(told)?;
        let mut index = Lru::new(bytes_max);
        // Nobody's: whose they were is not written down.
        let share = Share { of: "".into(), bytes: u64::MAX };
        let mut found = Vec::new();
        for entry in directory.entries().map_err(told)? {
            let entry = entry.map_err(told)?;
            let file = entry.file_name();
            let metadata = entry.metadata().map_err(told)?;
            match file.to_str().and_then(parse) {
                Some(name) if metadata.is_file() => {
                    found.push((metadata.modified().ok().map(|time| time.into_std()), name, metadata.len()));
                }
                _ if metadata.is_file() => drop(directory.remove_file(&file)),
                _ => {}
            }
        }
        found.sort_unstable();
        for (_, name, bytes) in found {
            for (gone, ()) in index.insert(name, (), bytes, &share) {
                drop(directory.remove_file(text(&gone)));
            }
        }
        Ok(Disk {
            directory: Arc::new(directory),
            index: Arc::new(Mutex::new(index)),
            writes: Arc::new(tokio::sync::Semaphore::new(WRITES_MAX)),
        })
    }

    #[cfg(test)]
    pub(crate) fn has(&self, name: &Name) -> bool {
        lock(&self.index).has(name)
    }

    /// A block of so many bytes, where it is there and whole.
    pub(crate) async fn get(&self, name: Name, bytes: usize) -> Option<Bytes> {
        lock(&self.index).get(&name)?;
        // Here, and not on the thread that reads: many such threads would each keep memory of blocks that are gone.
        let (directory, buffer) = (self.directory.clone(), Vec::with_capacity(file_bytes(bytes) + 1));
        let read = tokio::task::spawn_blocking(move || read(&directory, &name, bytes, buffer));
        let found = read.await.ok().and_then(io::Result::ok).flatten();
        if found.is_none() {
            lock(&self.index).remove(&name);
        }
        found
    }

    /// A part of a block of so many bytes, where the block is there and the part is whole. It is read in place: for the little that
    /// a part is, another thread takes longer.
    pub(crate) fn part(&self, name: &Name, bytes: usize, part: Range<usize>) -> Option<Bytes> {
        lock(&self.index).get(name)?;
        let found = read_part(&self.directory, name, bytes, part).ok().flatten();
        if found.is_none() {
            lock(&self.index).remove(name);
        }
        found
    }

    /// Keeps a block, on a thread for it: nobody waits.
    pub(crate) fn put(&self, name: Name, bytes: Bytes, share: Share) {
        if !lock(&self.index).may_hold(file_bytes(bytes.len()) as u64) {
            return;
        }
        let Ok(place) = self.writes.clone().try_acquire_owned() else { return };
        let (directory, index) = (self.directory.clone(), self.index.clone());
        drop(tokio::task::spawn_blocking(move || {
            let _place = place;
            let weight = file_bytes(bytes.len()) as u64;
            if lock(&index).has(&name) || write(&directory, &name, &bytes).is_err() {
                return;
            }
            let gone = lock(&index).insert(name, (), weight, &share);
            for (gone, ()) in gone {
                drop(directory.remove_file(text(&gone)));
            }
        }));
    }
}

fn lock<T>(index: &Mutex<T>) -> MutexGuard<'_, T> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes of a file of a block of so many.
fn file_bytes(bytes: usize) -> usize {
    bytes + bytes.div_ceil(PAGE_BYTES) * DIGEST_BYTES
}

fn digests(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(PAGE_BYTES).flat_map(Sha256::digest).collect()
}

fn read(directory: &Dir, name: &Name, bytes: usize, mut found: Vec<u8>) -> io::Result<Option<Bytes>> {
    let file = directory.open(text(name))?;
    file.take((file_bytes(bytes) + 1) as u64).read_to_end(&mut found)?;
    if found.len() != file_bytes(bytes) {
        return Ok(None);
    }
    let expected = found.split_off(bytes);
    Ok((digests(&found) == expected).then(|| found.into()))
}

fn read_part(directory: &Dir, name: &Name, bytes: usize, part: Range<usize>) -> io::Result<Option<Bytes>> {
    let pages = part.start / PAGE_BYTES..part.end.div_ceil(PAGE_BYTES);
    let start = pages.start * PAGE_BYTES;
    let mut found = vec![0; bytes.min(pages.end * PAGE_BYTES) - start];
    let mut expected = vec![0; pages.len() * DIGEST_BYTES];
    let file = directory.open(text(name))?;
    file.read_exact_at(&mut found, start as u64)?;
    file.read_exact_at(&mut expected, (bytes + pages.start * DIGEST_BYTES) as u64)?;
    Ok((digests(&found) == expected).then(|| Bytes::from(found).slice(part.start - start..part.end - start)))
}

fn write(directory: &Dir, name: &Name, bytes: &[u8]) -> io::Result<()> {
    let (text, draft) = (text(name), format!("{}.new", text(name)));
    let mut file = directory.open_with(&draft, OpenOptions::new().write(true).create(true).truncate(true))?;
    file.write_all(bytes)?;
    file.write_all(&digests(bytes))?;
    drop(file);
    directory.rename(&draft, directory, &text)
}

fn text(name: &Name) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(text: &str) -> Option<Name> {
    let mut name = [0; DIGEST_BYTES];
    if text.len() != 2 * DIGEST_BYTES || !text.is_ascii() {
        return None;
    }
    for (at, byte) in name.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Share {
        Share { of: "".into(), bytes: u64::MAX }
    }

    fn names(disk: &Disk) -> Vec<String> {
        let entries = disk.directory.entries().expect("a listing");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
    }

    async fn settled(disk: &Disk) {
        drop(disk.writes.acquire_many(WRITES_MAX as u32).await.expect("it is open"));
    }

    #[tokio::test]
    async fn a_block_is_there_for_the_next_process_unless_somebody_touched_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::open(folder.path(), 1_000).expect("it opens");
        disk.directory.write("foreign", "x").expect("it is written");
        for number in [1, 2] {
            disk.put([number; 32], Bytes::from(vec![number; 100]), all());
        }
        settled(&disk).await;
        assert_eq!(disk.get([1; 32], 100).await.expect("it is there"), vec![1; 100]);
        assert_eq!(disk.get([3; 32], 100).await, None);

        disk.directory.write(text(&[2; 32]), vec![9; 132]).expect("it is written");
        let again = Disk::open(folder.path(), 1_000).expect("it opens");
        assert_eq!(again.get([1; 32], 100).await.expect("it is there"), vec![1; 100]);
        assert_eq!(again.get([2; 32], 100).await, None, "its digest does not fit");
        assert!(!names(&again).contains(&"foreign".to_owned()));
    }

    #[tokio::test]
    async fn a_part_is_read_by_itself_and_not_believed_where_somebody_touched_its_page() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::open(folder.path(), 1 << 20).expect("it opens");
        let (name, bytes) = ([7; 32], 3 * PAGE_BYTES + 100);
        let block: Vec<u8> = (0..bytes).map(|at| (at / 7) as u8).collect();
        disk.put(name, block.clone().into(), all());
        settled(&disk).await;
        for part in [0..1, 0..PAGE_BYTES, PAGE_BYTES - 1..PAGE_BYTES + 1, 5_000..bytes, bytes - 1..bytes, 0..bytes] {
            assert_eq!(disk.part(&name, bytes, part.clone()).expect("it is there"), block[part]);
        }
        assert_eq!(disk.part(&[8; 32], bytes, 0..1), None);

        let mut touched = disk.directory.read(text(&name)).expect("it is there");
        touched[PAGE_BYTES + 9] ^= 1;
        disk.directory.write(text(&name), &touched).expect("it is written");
        assert!(disk.part(&name, bytes, 0..PAGE_BYTES).is_some(), "another page");
        assert_eq!(disk.part(&name, bytes, PAGE_BYTES..PAGE_BYTES + 1), None);
        assert!(!disk.has(&name), "the block is as if it were not there");
    }

    #[tokio::test]
    async fn the_directory_has_no_more_bytes_than_it_may() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::open(folder.path(), 300).expect("it opens");
        for number in 1..=9 {
            disk.put([number; 32], Bytes::from(vec![number; 100]), all());
            settled(&disk).await;
        }
        assert_eq!(names(&disk).len(), 2);
        assert!(disk.has(&[9; 32]) && !disk.has(&[1; 32]));
        let smaller = Disk::open(folder.path(), 150).expect("it opens");
        assert_eq!(names(&smaller).len(), 1);
    }
}
