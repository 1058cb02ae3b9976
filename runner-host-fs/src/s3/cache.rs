//! What of the bucket is kept on this machine: blocks of object versions, in memory and then in a directory. An object's ETag
//! is part of a block's key, so nothing here is ever out of date.
//!
//! A block that nobody has is fetched by the first who wants it; whoever else does meanwhile waits for that.

mod disk;
mod lru;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};

pub(crate) use self::lru::Share;

use self::disk::{Disk, Name};
use self::lru::Lru;
use super::settings::S3Cache;
use crate::error::Result;

/// Bytes that are kept together: a file of a program's own is one, and a random read of a large one does not cost much more.
pub(crate) const BLOCK_BYTES: u64 = 256 << 10;

/// One version of an object. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) key: Arc<str>,
    pub(crate) etag: Arc<str>,
    pub(crate) size: u64,
}

impl Version {
    /// How many blocks it has.
    pub(crate) fn blocks(&self) -> u64 {
        self.size.div_ceil(BLOCK_BYTES)
    }

    /// The bytes of one of its blocks.
    pub(crate) fn block_bytes(&self, block: u64) -> usize {
        self.size.saturating_sub(block.saturating_mul(BLOCK_BYTES)).min(BLOCK_BYTES) as usize
    }
}

type Key = (Version, u64);

/// Blocks of one bucket, shared by all calls.
pub(crate) struct Cache {
    bucket: String,
    memory: Mutex<Memory>,
    disk: Option<Disk>,
    /// Blocks that may be fetched ahead at the same time.
    pub(crate) ahead: Arc<Semaphore>,
    /// The most blocks that one file is read ahead.
    pub(crate) window_max: u64,
}

struct Memory {
    blocks: Lru<Key, Bytes>,
    /// What is being fetched.
    flights: HashMap<Key, watch::Receiver<Option<Bytes>>>,
}

/// What somebody finds who wants a block.
pub(crate) enum Claim {
    Here(Bytes),
    /// Somebody else fetches it.
    There(Flight),
    /// Nobody does: whoever holds this is the one.
    Yours(Ticket),
}

/// A block that somebody else fetches.
pub(crate) struct Flight(watch::Receiver<Option<Bytes>>);

impl Flight {
    /// Waits for it; `None` where who fetched it gave up.
    pub(crate) async fn landed(mut self) -> Option<Bytes> {
        match self.0.wait_for(Option::is_some).await {
            Ok(bytes) => bytes.clone(),
            Err(_) => None,
        }
    }
}

/// The duty to fetch a block. Dropped, it is anybody's again.
pub(crate) struct Ticket {
    cache: Arc<Cache>,
    key: Key,
    done: watch::Sender<Option<Bytes>>,
}

impl Cache {
    pub(crate) fn new(bucket: &str, settings: &S3Cache) -> Result<Arc<Self>> {
        let disk = settings.directory.as_deref().map(|path| Disk::open(path, settings.directory_bytes)).transpose()?;
        // 26 MiB, where memory is as large as by default, are 1,300 MiB a second where an answer takes 20 ms and its bytes no time.
        let window_max = (settings.memory_bytes / 6 * 5 / BLOCK_BYTES).clamp(1, 128);
        Ok(Arc::new(Cache {
            bucket: bucket.to_owned(),
            memory: Mutex::new(Memory { blocks: Lru::new(settings.memory_bytes), flights: HashMap::new() }),
            disk,
            ahead: Arc::new(Semaphore::new(window_max as usize)),
            window_max,
        }))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a block of a version.
    pub(crate) fn claim(self: &Arc<Self>, version: &Version, block: u64) -> Claim {
        let key = (version.clone(), block);
        let mut memory = self.memory();
        if let Some(bytes) = memory.blocks.get(&key) {
            return Claim::Here(bytes);
        }
        if let Some(flight) = memory.flights.get(&key) {
            return Claim::There(Flight(flight.clone()));
        }
        let (done, flight) = watch::channel(None);
        memory.flights.insert(key.clone(), flight);
        drop(memory);
        Claim::Yours(Ticket { cache: self.clone(), key, done })
    }

    /// A part of a block, where the block is in memory or in the directory. It is not in memory then that was not before.
    pub(crate) fn part(&self, version: &Version, block: u64, part: Range<usize>) -> Option<Bytes> {
        let key = (version.clone(), block);
        if let Some(bytes) = self.memory().blocks.get(&key) {
            return (part.end <= bytes.len()).then(|| bytes.slice(part));
        }
        self.disk.as_ref()?.part(&self.name(&key), version.block_bytes(block), part)
    }

    /// Room in memory for bytes that are on their way.
    pub(crate) fn room(self: &Arc<Self>, bytes: u64) -> Room {
        drop(self.memory().blocks.set_aside(bytes));
        Room { cache: self.clone(), bytes }
    }

    /// Blocks were read by who reads on and on: they go before what was fetched ahead for him.
    pub(crate) fn passed(&self, version: &Version, blocks: Range<u64>) {
        let mut memory = self.memory();
        blocks.for_each(|block| memory.blocks.demote(&(version.clone(), block)));
    }

    /// Keeps all of a version that has one block.
    pub(crate) fn keep(&self, version: &Version, bytes: Bytes, share: &Share) {
        let weight = bytes.len() as u64;
        self.memory().blocks.insert((version.clone(), 0), bytes, weight, share);
    }

    fn name(&self, (version, block): &Key) -> Name {
        let mut digest = Sha256::new();
        for part in [self.bucket.as_bytes(), version.key.as_bytes(), version.etag.as_bytes()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.update(block.to_le_bytes());
        digest.finalize().into()
    }
}

/// Bytes that blocks in memory leave free.
pub(crate) struct Room {
    cache: Arc<Cache>,
    bytes: u64,
}

impl Room {
    /// So many of them came, and are a block's from now on.
    pub(crate) fn came(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.cache.memory().blocks.take_back(bytes);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.cache.memory().blocks.take_back(self.bytes);
    }
}

impl Ticket {
    /// Which block it is.
    pub(crate) fn block(&self) -> u64 {
        self.key.1
    }

    /// The block from the directory, where it is there: it is in memory then too.
    pub(crate) async fn read_from_disk(self, share: &Share) -> std::result::Result<Bytes, Self> {
        let (version, block) = &self.key;
        let Some(disk) = &self.cache.disk else { return Err(self) };
        let Some(bytes) = disk.get(self.cache.name(&self.key), version.block_bytes(*block)).await else {
            return Err(self);
        };
        self.keep(bytes.clone(), share);
        Ok(bytes)
    }

    /// The block is fetched: keeps it, and gives it to all who wait.
    pub(crate) fn fulfil(self, bytes: Bytes, share: &Share) {
        if let Some(disk) = &self.cache.disk {
            disk.put(self.cache.name(&self.key), bytes.clone(), share.clone());
        }
        self.keep(bytes, share);
    }

    fn keep(&self, bytes: Bytes, share: &Share) {
        let weight = bytes.len() as u64;
        self.cache.memory().blocks.insert(self.key.clone(), bytes.clone(), weight, share);
        self.done.send_replace(Some(bytes));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cache.memory().flights.remove(&self.key);
    }
}
