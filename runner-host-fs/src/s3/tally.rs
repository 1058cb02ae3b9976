//! What one call has asked of the bucket: counted by kind, and within a budget of tries.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $kind:ident => $name:literal,)+) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Count { $($(#[$doc])* $kind,)+ }

        const NAMES: &[&str] = &[$($name,)+];
    };
}

counts! {
    Get => "s3_get",
    Head => "s3_head",
    List => "s3_list",
    Put => "s3_put",
    Delete => "s3_delete",
    /// An upload in parts is begun.
    Upload => "s3_upload",
    Part => "s3_part",
    /// A part is copied within the bucket.
    Copy => "s3_copy",
    Complete => "s3_complete",
    Abort => "s3_abort",
    /// Of the requests above, those that were tried again.
    Retry => "s3_retry",
    BytesIn => "s3_bytes_in",
    BytesOut => "s3_bytes_out",
    CacheBytes => "cache_bytes",
    CommittedBytes => "committed_bytes",
    CommittedFiles => "committed_files",
}

/// The counts of one call.
pub(crate) struct Tally {
    counts: [AtomicU64; NAMES.len()],
    retries: AtomicU32,
}

impl Tally {
    /// Nothing counted yet, and so many tries to spend.
    pub(crate) fn new(retries: u32) -> Self {
        Tally { counts: [const { AtomicU64::new(0) }; NAMES.len()], retries: AtomicU32::new(retries) }
    }

    pub(crate) fn add(&self, what: Count, more: u64) {
        if let Some(count) = self.counts.get(what as usize) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Takes one try of the budget, if there is one.
    pub(crate) fn may_retry(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.retries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// What was counted, by name; what never happened is left out.
    pub(crate) fn usage(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        NAMES.iter().copied().zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}
