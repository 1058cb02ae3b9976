//! Reads of object versions through the cache: what is missing is fetched in ranges, and a file that is read on and on is
//! fetched ahead of its reader, in parallel, by a window that doubles and then moves along.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::future::try_join_all;
use tokio::task::JoinSet;

use super::bucket::Bucket;
use super::cache::{BLOCK_BYTES, Cache, Claim, Room, Share, Ticket, Version};
use super::tally::Count;
use super::trouble::Trouble;
use crate::error::{Error, ErrorKind, Result};

/// Blocks that one request fetches at most: 4 MiB, from where on a longer one is hardly faster.
const RUN_MAX: u64 = 16;

/// Bytes of a block that are read by themselves by one who jumps about: beyond, the whole block is as good.
const PART_BYTES_MAX: u64 = 32 << 10;

/// Blocks that the first read of a file from its beginning fetches: a file of 1 MiB is one request.
const FIRST: u64 = 4;

/// Reads for one call.
#[derive(Clone)]
pub(crate) struct Reader {
    bucket: Bucket,
    cache: Arc<Cache>,
    share: Share,
    /// What is fetched ahead: it ends with the call.
    tasks: Arc<Mutex<JoinSet<()>>>,
}

/// Where one open file is read, to see what comes next.
#[derive(Default)]
pub(crate) struct Ahead(Mutex<Track>);

#[derive(Default)]
struct Track {
    /// The place behind the last read.
    at: u64,
    /// The block up to which was fetched, the window, in blocks: 0 before the first read.
    until: u64,
    window: u64,
}

/// What to fetch for a read: what it waits for, and what not.
struct Fetches {
    now: Range<u64>,
    ahead: Range<u64>,
    follows: Follows,
}

/// What a read of an open file has to do with the one before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// There is none, and it begins where the file does.
    First,
    /// It goes on where that ended.
    On,
    /// It begins elsewhere.
    Jump,
}

/// Who wants blocks: each with its number, and whether it was on this machine.
type Take<'a> = dyn FnMut(u64, Bytes, bool) + Send + 'a;

impl Reader {
    pub(crate) fn new(bucket: Bucket, cache: Arc<Cache>, share: Share) -> Self {
        Reader { bucket, cache, share, tasks: Arc::default() }
    }

    /// Room for bytes that are on their way out: the cache has less meanwhile.
    pub(crate) fn room(&self, bytes: u64) -> Room {
        self.cache.room(bytes)
    }

    /// Adds bytes of a version, which has so many, to a buffer.
    pub(crate) async fn read(
        &self,
        version: &Version,
        ahead: &Ahead,
        range: Range<u64>,
        into: &mut BytesMut,
    ) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let wanted = range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES);
        let fetches = ahead.next(&range, &wanted, version.blocks(), self.cache.window_max);
        if fetches.follows == Follows::Jump
            && wanted.end - wanted.start == 1
            && range.end - range.start <= PART_BYTES_MAX
        {
            let start = (range.start - wanted.start * BLOCK_BYTES) as usize;
            let part = start..start + (range.end - range.start) as usize;
            if let Some(bytes) = self.cache.part(version, wanted.start, part) {
                into.extend_from_slice(&bytes);
                self.bucket.tally().add(Count::CacheBytes, bytes.len() as u64);
                return Ok(());
            }
        }
        self.fetch_ahead(version, fetches.ahead);
        let blocks = self.blocks(version, wanted.clone(), fetches.now).await?;
        for (block, (bytes, cached)) in wanted.clone().zip(blocks) {
            let start = range.start.saturating_sub(block * BLOCK_BYTES) as usize;
            let end = (range.end - block * BLOCK_BYTES).min(BLOCK_BYTES) as usize;
            let part = bytes.get(start..end).ok_or_else(|| lost(version))?;
            into.extend_from_slice(part);
            if cached {
                self.bucket.tally().add(Count::CacheBytes, part.len() as u64);
            }
        }
        if fetches.follows == Follows::On {
            self.cache.passed(version, wanted.start..range.end / BLOCK_BYTES);
        }
        Ok(())
    }

    /// Keeps a version that was just written, where it is one block: whoever reads it next need not ask.
    pub(crate) fn keep(&self, version: &Version, bytes: &Bytes) {
        if version.blocks() == 1 {
            self.cache.keep(version, bytes.clone(), &self.share);
        }
    }

    /// Fetches blocks that will be wanted; nobody waits, and nobody is told where it fails.
    pub(crate) fn fetch_ahead(&self, version: &Version, blocks: Range<u64>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        let mut start = blocks.start;
        while start < blocks.end {
            let run = start..blocks.end.min(start + RUN_MAX);
            start = run.end;
            // From now on they are on their way, for whoever wants them.
            let tickets: Vec<_> = run.filter_map(|block| self.ticket(version, block)).collect();
            if tickets.is_empty() {
                continue;
            }
            let (reader, version) = (Reader { tasks: Arc::default(), ..self.clone() }, version.clone());
            tasks.spawn(async move {
                // Never more of them than there are: a run is not longer than the window.
                let places = (tickets.len() as u32).min(reader.cache.window_max as u32);
                let Ok(mut places) = reader.cache.ahead.clone().acquire_many_owned(places).await else { return };
                let _ = reader.fetch(&version, tickets, &mut |_, _, _| drop(places.split(1))).await;
            });
        }
    }

    fn ticket(&self, version: &Version, block: u64) -> Option<Ticket> {
        match self.cache.claim(version, block) {
            Claim::Yours(ticket) => Some(ticket),
            Claim::Here(_) | Claim::There(_) => None,
        }
    }

    /// The blocks that are wanted, each with whether it was here; fetched where they are not, together with others that are
    /// likely to be wanted.
    async fn blocks(&self, version: &Version, wanted: Range<u64>, fetched: Range<u64>) -> Result<Vec<(Bytes, bool)>> {
        let mut found: Vec<Option<(Bytes, bool)>> = vec![None; (wanted.end - wanted.start) as usize];
        // Twice where somebody else gave up what was waited for; it is ours then.
        loop {
            let (mut tickets, mut waits) = (Vec::new(), Vec::new());
            for (at, place) in found.iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
                match self.cache.claim(version, wanted.start + at as u64) {
                    Claim::Here(bytes) => *place = Some((bytes, true)),
                    Claim::There(flight) => waits.push((at, flight)),
                    Claim::Yours(ticket) => tickets.push(ticket),
                }
            }
            if !tickets.is_empty() {
                let others = fetched.clone().filter(|block| !wanted.contains(block));
                tickets.extend(others.filter_map(|block| self.ticket(version, block)));
            }
            let mut take = |block: u64, bytes: Bytes, cached| {
                let place = block.checked_sub(wanted.start).and_then(|at| found.get_mut(at as usize));
                place.into_iter().for_each(|place| *place = Some((bytes.clone(), cached)));
            };
            self.fetch(version, tickets, &mut take).await?;
            for (at, flight) in waits {
                found[at] = flight.landed().await.map(|bytes| (bytes, false));
            }
            if found.iter().all(Option::is_some) {
                return Ok(found.into_iter().flatten().collect());
            }
        }
    }

    /// Fetches blocks, those that follow each other by one request, and hands each over when it is there, with whether it was on
    /// this machine.
    async fn fetch(&self, version: &Version, tickets: Vec<Ticket>, take: &mut Take<'_>) -> Result<()> {
        let mut runs: Vec<Vec<Ticket>> = Vec::new();
        for ticket in tickets {
            let block = ticket.block();
            match (ticket.read_from_disk(&self.share).await, runs.last_mut()) {
                (Ok(bytes), _) => take(block, bytes, true),
                (Err(ticket), Some(run))
                    if run[0].block() + run.len() as u64 == block && (run.len() as u64) < RUN_MAX =>
                {
                    run.push(ticket);
                }
                (Err(ticket), _) => runs.push(vec![ticket]),
            }
        }
        let take = Mutex::new(take);
        try_join_all(runs.into_iter().map(|run| self.run(version, run[0].block(), run, &take))).await?;
        Ok(())
    }

    /// Fetches blocks that follow each other.
    async fn run(
        &self,
        version: &Version,
        first: u64,
        tickets: Vec<Ticket>,
        take: &Mutex<&mut Take<'_>>,
    ) -> Result<()> {
        let start = first * BLOCK_BYTES;
        let end = version.size.min(start + tickets.len() as u64 * BLOCK_BYTES);
        let mut room = self.cache.room(end - start);
        let mut tickets = tickets.into_iter();
        let mut came = |bytes: Bytes| {
            room.came(bytes.len() as u64);
            let Some(ticket) = tickets.next() else { return };
            let block = ticket.block();
            ticket.fulfil(bytes.clone(), &self.share);
            take.lock().unwrap_or_else(PoisonError::into_inner)(block, bytes, false);
        };
        let got = self.bucket.get(&version.key, &version.etag, start..end, BLOCK_BYTES as usize, &mut came).await;
        got.map_err(|trouble| changed(trouble, version))
    }
}

impl Ahead {
    fn next(&self, range: &Range<u64>, wanted: &Range<u64>, end: u64, window_max: u64) -> Fetches {
        let mut track = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let on = track.at == range.start;
        track.at = range.end;
        if !on {
            *track = Track { at: range.end, until: wanted.end, window: 1 };
            return Fetches { now: wanted.clone(), ahead: 0..0, follows: Follows::Jump };
        }
        if track.window == 0 {
            let until = end.min(wanted.end.max(wanted.start + FIRST.min(window_max)));
            (track.until, track.window) = (until, 2 * FIRST);
            return Fetches { now: wanted.start..until, ahead: 0..0, follows: Follows::First };
        }
        let window = track.window.min(window_max);
        let start = track.until.max(wanted.end);
        let ahead = match window < window_max {
            true if start < wanted.end + window.div_ceil(2) => window,
            true => 0,
            // As wide as it gets: run by run, as there is room for one, so that as much as may be is always on its way.
            false => {
                let run = RUN_MAX.min(window);
                (wanted.end + window).saturating_sub(start) / run * run
            }
        };
        if start >= end || ahead == 0 {
            return Fetches { now: wanted.clone(), ahead: 0..0, follows: Follows::On };
        }
        track.until = end.min(start + ahead);
        track.window = window * 2;
        Fetches { now: wanted.clone(), ahead: start..track.until, follows: Follows::On }
    }
}

/// What a reader is told whose file is another one by now.
pub(crate) fn changed(trouble: Trouble, version: &Version) -> Error {
    let Version { key, etag, .. } = version;
    match trouble {
        Trouble::Refused | Trouble::Missing => {
            let message = format!("object `{key}` was changed by somebody else: what was seen has ETag {etag}");
            Error::new(ErrorKind::Conflict, message)
        }
        trouble => trouble.told("a read", key),
    }
}

fn lost(version: &Version) -> Error {
    Error::new(ErrorKind::Io, format!("object `{}` has fewer bytes than the bucket said", version.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is fetched for reads of so many bytes each, one behind the other.
    fn fetches(size: u64, bytes: u64) -> Vec<(Range<u64>, Range<u64>)> {
        let (ahead, mut at, mut all) = (Ahead::default(), 0, Vec::new());
        let mut fetched = 0;
        while at < size {
            let range = at..size.min(at + bytes);
            let wanted = range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES);
            let Fetches { now, ahead, .. } = ahead.next(&range, &wanted, size.div_ceil(BLOCK_BYTES), 32);
            if now.end > fetched || !ahead.is_empty() {
                all.push((now.clone(), ahead.clone()));
                fetched = fetched.max(now.end).max(ahead.end);
            }
            at = range.end;
        }
        all
    }

    #[test]
    fn a_small_file_is_one_fetch_and_a_large_one_is_fetched_ahead_by_a_window_that_doubles_and_then_moves() {
        assert_eq!(fetches(1 << 20, 4_096), [(0..4, 0..0)]);
        let large = fetches(40 << 20, 64 << 10);
        let ahead: Vec<_> = large.iter().skip(1).map(|(_, ahead)| ahead.clone()).collect();
        assert_eq!(large[0], (0..4, 0..0));
        let runs = (28..156).step_by(16).map(|start| start..start + 16);
        let expected: Vec<_> = [4..12, 12..28].into_iter().chain(runs).chain(std::iter::once(156..160)).collect();
        assert_eq!(ahead, expected);
    }

    #[test]
    fn a_reader_that_jumps_is_not_run_ahead_of() {
        let ahead = Ahead::default();
        for block in [7, 3, 100, 0] {
            let start = block * BLOCK_BYTES + 5;
            let fetches = ahead.next(&(start..start + 10), &(block..block + 1), 1_000, 32);
            assert_eq!((fetches.now, fetches.ahead), (block..block + 1, 0..0));
        }
    }
}
