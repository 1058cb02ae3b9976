//! Keeps the directory of compiled code within a size: every module that anyone ever ran leaves its code there.
//!
//! The oldest goes first. Code that is in use stays mapped after its file is gone; code that is wanted again is compiled
//! again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cap_std::fs::Dir;

/// Loads between two sweeps: what they may add meanwhile is small beside the whole.
const LOADS: u64 = 64;
/// Files kept, however small: walking them takes some tens of milliseconds.
const FILES_MAX: usize = 20_000;

/// A directory held to a size. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sweeper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: Dir,
    bytes_max: u64,
    loads: AtomicU64,
    under_way: AtomicBool,
}

impl Sweeper {
    /// Holds a directory to so many bytes.
    pub fn new(dir: Dir, bytes_max: u64) -> Self {
        Sweeper(Arc::new(Inner { dir, bytes_max, loads: AtomicU64::new(0), under_way: AtomicBool::new(false) }))
    }

    /// Told of each load, it sweeps now and then, beside whoever told it.
    pub(crate) fn loaded(&self) {
        let is_due = self.0.loads.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOADS);
        if !is_due || self.0.under_way.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = inner.sweep() {
                tracing::warn!(%error, "compiled code cannot be swept");
            }
            inner.under_way.store(false, Ordering::Release);
        });
    }
}

impl Inner {
    fn sweep(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in self.dir.entries()? {
            let entry = entry?;
            // One that is gone meanwhile needs no sweeping.
            let Ok(found) = entry.metadata() else { continue };
            // What a crash left half-written counts too, and goes once it is old.
            if found.is_file() {
                files.push((found.modified()?, found.len(), entry.file_name()));
            }
        }
        let mut bytes: u64 = files.iter().map(|(_, len, _)| len).sum();
        files.sort();
        let mut left = files.len();
        for (_, len, file) in files {
            if bytes <= self.bytes_max && left <= FILES_MAX {
                break;
            }
            self.dir.remove_file(file)?;
            bytes -= len;
            left -= 1;
        }
        Ok(())
    }
}
