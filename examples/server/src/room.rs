//! Shares of memory: what is held takes its place in one of them first, and whoever finds none is refused.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::api::Problem;

/// What one permit stands for.
const UNIT_BYTES: usize = 64 << 10;
/// How long a request waits for its place.
const PATIENCE: Duration = Duration::from_secs(10);

/// A share of memory. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Room {
    units: Arc<Semaphore>,
    bytes_max: usize,
}

/// A place in it, free again once this is dropped.
pub(crate) struct Place {
    room: Room,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Room {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.max(UNIT_BYTES);
        Room { units: Arc::new(Semaphore::new(bytes_max / UNIT_BYTES)), bytes_max }
    }

    /// A place that grows with what is put there.
    pub(crate) fn place(&self) -> Place {
        Place { room: self.clone(), held: None, bytes: 0 }
    }

    /// A place for what is not here yet. What is larger than the whole takes all of it.
    pub(crate) async fn take(&self, bytes: usize) -> Result<Place, Problem> {
        let mut place = self.place();
        place.grow(bytes).await?;
        Ok(place)
    }

    /// A place for what is here already, and must go again where there is none.
    pub(crate) fn take_at_once(&self, bytes: usize) -> Option<Place> {
        let held = Arc::clone(&self.units).try_acquire_many_owned(self.units_of(bytes)).ok()?;
        Some(Place { room: self.clone(), held: Some(held), bytes })
    }

    fn units_of(&self, bytes: usize) -> u32 {
        let units = bytes.div_ceil(UNIT_BYTES).min(self.bytes_max / UNIT_BYTES);
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

impl Place {
    /// How much there is for all together.
    pub(crate) fn bytes_max(&self) -> usize {
        self.room.bytes_max
    }

    /// Makes room for so many bytes more; waits a while where others hold it.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let more = Arc::clone(&self.room.units).acquire_many_owned(self.missing(bytes));
        let more = timeout(PATIENCE, more).await.ok().and_then(Result::ok);
        self.keep(more, bytes)
    }

    /// Makes room for so many bytes more, or fails at once. For much: the queue is served in order, so that one who waits
    /// for most of the room keeps all others out.
    pub(crate) fn grow_at_once(&mut self, bytes: usize) -> Result<(), Problem> {
        let more = Arc::clone(&self.room.units).try_acquire_many_owned(self.missing(bytes)).ok();
        self.keep(more, bytes)
    }

    fn missing(&self, bytes: usize) -> u32 {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = self.room.units_of(self.bytes.saturating_add(bytes));
        wanted.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX))
    }

    fn keep(&mut self, more: Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Problem> {
        let more =
            more.ok_or_else(|| Problem::unavailable("other requests hold all the memory for bodies and modules"))?;
        match &mut self.held {
            Some(held) => held.merge(more),
            held => *held = Some(more),
        }
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }
}
