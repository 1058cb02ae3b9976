//! The entries of a directory, as a guest lists them: as many as fit its buffer, the last one cut off.
//!
//! A cookie is the number of the entry that comes next. Where it lies among the entries that were read last, it stands for a
//! name: an entry that is removed or made meanwhile moves no other, so a guest may remove what it lists. An older one is
//! counted anew from the beginning.

use std::num::NonZeroU32;

use super::table::OpenDirectory;
use super::types::{dirent, filetype, filetype_of, rights};
use super::{Answer, Guest};
use crate::error::Error;
use crate::vfs::{Entry, Vfs};

/// Entries that are asked for at once: what S3 answers to one request.
const PAGE: NonZeroU32 = NonZeroU32::new(1_000).expect("it is not zero");

/// Bytes of entries that are kept for each directory that is being listed; the rest is asked for again.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// `.` and `..`, which are entries here and in no tree.
const DOTS: u64 = 2;

/// A part of the entries.
pub(super) struct Listing {
    /// The number of the first one, `.` and `..` not counted.
    first: u64,
    entries: Vec<Entry>,
    /// Whether there are more behind them.
    more: bool,
}

impl Guest<'_> {
    pub(super) async fn fd_readdir(&mut self, fd: u32, buffer: u32, bytes: u32, cookie: u64, out: u32) -> Answer {
        self.memory.check(out, 4)?;
        self.memory.check(buffer, bytes)?;
        let tree = self.files.tree.clone();
        let table = self.files.descriptors.as_mut().expect("`enter` has made it");
        let directory = table.directory(fd, rights::FD_READDIR)?;
        let mut filled = Filling { to: self.memory.write(buffer, bytes)?, used: 0 };
        if cookie == 0 {
            // From the beginning on it is what is there now.
            directory.listing = None;
        }
        if cookie < DOTS {
            let inode = directory.stat(&*tree).await?.inode;
            for (next, name) in [(1, "."), (2, "..")].into_iter().filter(|(next, _)| *next > cookie) {
                filled.add(next, inode, filetype::DIRECTORY, name);
            }
        }
        let mut at = cookie.saturating_sub(DOTS);
        while !filled.is_full() {
            let Some(entry) = directory.entry(&*tree, at).await? else { break };
            at += 1;
            filled.add(at + DOTS, entry.inode, filetype_of(entry.kind), &entry.name);
        }
        let used = filled.used;
        self.files.charge(used as u64, 0)?;
        Ok(self.memory.put_u32(out, used)?)
    }
}

impl OpenDirectory {
    /// The entry of a number; `None` behind the last one.
    async fn entry(&mut self, tree: &dyn Vfs, number: u64) -> Result<Option<&Entry>, Error> {
        if self.listing.as_ref().is_none_or(|listing| number < listing.first) {
            self.listing = Some(Listing::after(self, tree, 0, None).await?);
        }
        loop {
            let Some(listing) = &self.listing else { return Ok(None) };
            let behind = listing.first + listing.entries.len() as u64;
            if number < behind || !listing.more {
                break;
            }
            let last = listing.entries.last().map(|entry| entry.name.clone());
            self.listing = Some(Listing::after(self, tree, behind, last.as_deref()).await?);
        }
        let found = self.listing.as_ref().and_then(|listing| {
            let index = usize::try_from(number - listing.first).ok()?;
            listing.entries.get(index)
        });
        Ok(found)
    }
}

impl Listing {
    async fn after(directory: &OpenDirectory, tree: &dyn Vfs, first: u64, name: Option<&str>) -> Result<Self, Error> {
        let page = tree.list(&directory.path, name, PAGE).await?;
        let (mut entries, mut more) = (page.entries, page.more);
        let mut bytes = 0;
        let kept = entries.iter().take_while(|entry| {
            bytes += size_of::<Entry>() + entry.name.len();
            bytes <= KEPT_BYTES_MAX
        });
        let kept = kept.count();
        more |= kept < entries.len();
        entries.truncate(kept);
        entries.shrink_to_fit();
        // A page without entries is the last one, whatever it says: there is no name to go on from.
        more &= !entries.is_empty();
        Ok(Listing { first, entries, more })
    }
}

/// A buffer that is being filled.
struct Filling<'a> {
    to: &'a mut [u8],
    used: usize,
}

impl Filling<'_> {
    fn is_full(&self) -> bool {
        self.used == self.to.len()
    }

    fn add(&mut self, next: u64, inode: u64, filetype: u8, name: &str) {
        self.put(&dirent(next, inode, name.len(), filetype));
        self.put(name.as_bytes());
    }

    /// As much as fits.
    fn put(&mut self, bytes: &[u8]) {
        let room = &mut self.to[self.used..];
        let fits = bytes.len().min(room.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
        self.used += fits;
    }
}
