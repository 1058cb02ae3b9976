//! Seats: how many connections there are and whose, so that no grant has them all.
//!
//! A connection has a seat of its grant's and of the host's. Where all are taken, the connection that rested longest is closed
//! for the next; where none rests, whoever wants one waits in line, and what is given back goes to the first who can use it.
//! Nothing rests that somebody waits for, so nobody is overtaken.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Version;
use reqwest::Client;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::connections::Line;
use crate::error::{Error, ErrorKind, Result};

/// Locks what no panic leaves half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The seats of a host, for the connections of all grants.
pub(crate) struct Seats {
    max: u32,
    /// Numbers shares and lines.
    count: AtomicU64,
    /// Guards who sits, rests and waits. Nothing that has a seat is dropped while it is held.
    floor: Mutex<Floor>,
}

struct Floor {
    free: u32,
    lines: HashMap<u64, OfLine>,
    /// In the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    /// Numbers who came to rest or to wait.
    count: u64,
}

/// The clients of one line.
#[derive(Default)]
struct OfLine {
    /// Those that nobody uses, the one that was used last at the end.
    resting: VecDeque<(u64, Arc<Slot>)>,
    /// One that speaks HTTP/2, while somebody uses it.
    shared: Option<Arc<Slot>>,
}

/// Who waits for a seat; or for any client of its line, if it has one.
struct Waiting {
    share: Arc<Share>,
    line: Option<Arc<Line>>,
    tell: oneshot::Sender<Given>,
}

impl Waiting {
    fn is_of(&self, line: &Line) -> bool {
        self.line.as_ref().is_some_and(|mine| mine.id == line.id)
    }
}

pub(crate) enum Given {
    Client(InUse),
    Seat(Seat),
}

/// Why there is no seat.
#[derive(Clone, Copy, PartialEq)]
enum Full {
    Grant,
    Host,
}

impl Seats {
    pub(crate) fn new(max: u32) -> Arc<Self> {
        let floor = Floor { free: max, lines: HashMap::new(), waiting: BTreeMap::new(), count: 0 };
        Arc::new(Seats { max, count: AtomicU64::new(0), floor: Mutex::new(floor) })
    }

    /// A number that no other share or line has.
    pub(crate) fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// Closes what rests of a line that nobody will ask for.
    pub(crate) fn forget(&self, line: u64) {
        let resting = lock(&self.floor).lines.remove(&line);
        drop(resting);
    }
}

impl Floor {
    fn seat(&mut self, share: &Arc<Share>) -> Result<Seat, Full> {
        let free = share.free.load(Ordering::Relaxed);
        if free == 0 {
            return Err(Full::Grant);
        }
        self.free = self.free.checked_sub(1).ok_or(Full::Host)?;
        share.free.store(free - 1, Ordering::Relaxed);
        Ok(Seat { share: Arc::clone(share) })
    }

    /// A client of a line that may be used by one more.
    fn join(&mut self, line: &Arc<Line>) -> Option<InUse> {
        let of_line = self.lines.get_mut(&line.id)?;
        if let Some(slot) = &of_line.shared {
            return Some(InUse::new(line, slot));
        }
        let (_, slot) = of_line.resting.pop_back()?;
        let in_use = InUse::new(line, &slot);
        if slot.is_shared.load(Ordering::Relaxed) {
            of_line.shared = Some(slot);
        }
        Some(in_use)
    }

    /// Takes the client that rested longest, of one share or of all.
    fn oldest(&mut self, share: Option<u64>) -> Option<Arc<Slot>> {
        let of_share = |slot: &Slot| share.is_none_or(|share| slot.seat.share.id == share);
        let fronts = self.lines.values_mut().filter(|of| of.resting.front().is_some_and(|(_, slot)| of_share(slot)));
        let oldest = fronts.min_by_key(|of| of.resting.front().map(|(number, _)| *number))?;
        oldest.resting.pop_front().map(|(_, slot)| slot)
    }

    /// Gives what seats are free to those who wait for them; what comes back is for nobody.
    fn serve(&mut self) -> Vec<Given> {
        let mut unwanted = Vec::new();
        while let Some(number) = self.first(|waiting| waiting.share.free.load(Ordering::Relaxed) > 0) {
            let Some(waiting) = self.waiting.remove(&number) else { break };
            match self.seat(&waiting.share) {
                Ok(seat) => unwanted.extend(waiting.tell.send(Given::Seat(seat)).err()),
                Err(_) => {
                    self.waiting.insert(number, waiting);
                    break;
                }
            }
        }
        unwanted
    }

    /// Gives one client to all who wait for one of its line.
    fn share_out(&mut self, line: &Arc<Line>) -> Vec<Given> {
        let mut unwanted = Vec::new();
        while let Some(number) = self.first(|waiting| waiting.is_of(line)) {
            let (Some(in_use), Some(waiting)) = (self.join(line), self.waiting.remove(&number)) else { break };
            unwanted.extend(waiting.tell.send(Given::Client(in_use)).err());
        }
        unwanted
    }

    fn first(&self, is_it: impl Fn(&Waiting) -> bool) -> Option<u64> {
        let mut open = self.waiting.iter().filter(|(_, waiting)| !waiting.tell.is_closed());
        open.find(|(_, waiting)| is_it(waiting)).map(|(number, _)| *number)
    }
}

/// The part of the seats that one grant may have.
pub(crate) struct Share {
    pub(crate) seats: Arc<Seats>,
    id: u64,
    max: u32,
    /// Changes with the floor alone.
    free: AtomicU32,
}

impl Share {
    pub(crate) fn new(seats: &Arc<Seats>, max: u32) -> Arc<Self> {
        Arc::new(Share { id: seats.next(), seats: Arc::clone(seats), max, free: AtomicU32::new(max) })
    }

    /// A client of the line, or a seat for one, which is waited for as long as it may.
    pub(crate) async fn given(self: &Arc<Self>, line: Option<&Arc<Line>>, until: Instant) -> Result<Given> {
        let (number, mut told, full, oldest) = {
            let mut floor = lock(&self.seats.floor);
            if let Some(in_use) = line.and_then(|line| floor.join(line)) {
                return Ok(Given::Client(in_use));
            }
            let full = match floor.seat(self) {
                Ok(seat) => return Ok(Given::Seat(seat)),
                Err(full) => full,
            };
            let oldest = floor.oldest((full == Full::Grant).then_some(self.id));
            let (tell, told) = oneshot::channel();
            floor.count += 1;
            let number = floor.count;
            floor.waiting.insert(number, Waiting { share: Arc::clone(self), line: line.cloned(), tell });
            (number, told, full, oldest)
        };
        let _place = InLine { seats: &self.seats, number };
        // Its seat goes to the first who waits for one.
        drop(oldest);
        match timeout_at(until, &mut told).await {
            Ok(Ok(given)) => Ok(given),
            _ => told.try_recv().map_err(|_| self.busy(full)),
        }
    }

    fn busy(&self, full: Full) -> Error {
        let (max, whose) = match full {
            Full::Grant => (self.max, "of the grant"),
            Full::Host => (self.seats.max, "of the host"),
        };
        let message = format!("{max} connections {whose} are open and in use, the most there may be");
        Error::new(ErrorKind::ConnectBusy, message)
    }
}

/// Leaves the line when it is dropped.
struct InLine<'a> {
    seats: &'a Seats,
    number: u64,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let waited = lock(&self.seats.floor).waiting.remove(&self.number);
        drop(waited);
    }
}

/// A connection's place among those of its grant, and of all.
pub(crate) struct Seat {
    share: Arc<Share>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut floor = lock(&self.share.seats.floor);
        floor.free += 1;
        self.share.free.fetch_add(1, Ordering::Relaxed);
        let unwanted = floor.serve();
        drop(floor);
        drop(unwanted);
    }
}

/// A client, and the connection that it has or will have.
pub(crate) struct Slot {
    client: Client,
    /// Whether its last answer came over HTTP/2, so that others may use it at the same time. Changes with the floor alone.
    is_shared: AtomicBool,
    /// Likewise.
    users: AtomicU32,
    /// Whether it may have a connection since it was taken into use.
    may_have_one: AtomicBool,
    /// Of connections that were made while an earlier one may still have been open.
    more: Mutex<Vec<Seat>>,
    /// After the client, so that the connection begins to close before its seat is given back.
    seat: Seat,
}

impl Slot {
    /// Where this dial may be for a second connection, beside one that others use, finds a seat for it.
    pub(crate) async fn dial(&self, until: Instant) -> Result<()> {
        if !self.may_have_one.swap(true, Ordering::Relaxed) || self.users.load(Ordering::Relaxed) < 2 {
            return Ok(());
        }
        let Given::Seat(seat) = self.seat.share.given(None, until).await? else { return Ok(()) };
        lock(&self.more).push(seat);
        Ok(())
    }
}

/// A client that an exchange uses.
pub(crate) struct InUse {
    line: Arc<Line>,
    slot: Arc<Slot>,
}

impl InUse {
    fn new(line: &Arc<Line>, slot: &Arc<Slot>) -> Self {
        slot.users.fetch_add(1, Ordering::Relaxed);
        InUse { line: Arc::clone(line), slot: Arc::clone(slot) }
    }

    /// One that is new.
    pub(crate) fn of(line: &Arc<Line>, client: Client, seat: Seat) -> Self {
        let (is_shared, may_have_one, users) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU32::new(0));
        InUse::new(line, &Arc::new(Slot { client, is_shared, users, may_have_one, more: Mutex::default(), seat }))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.slot.client
    }

    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// What its answer came by.
    pub(crate) fn answered(&self, version: Version) {
        let is_shared = version == Version::HTTP_2;
        // By whichever connection it came, there is one.
        self.slot.may_have_one.store(true, Ordering::Relaxed);
        if self.slot.is_shared.load(Ordering::Relaxed) == is_shared {
            return;
        }
        let mut floor = lock(&self.line.share.seats.floor);
        self.slot.is_shared.store(is_shared, Ordering::Relaxed);
        let shared = &mut floor.lines.entry(self.line.id).or_default().shared;
        let unwanted = match shared {
            None if is_shared => {
                *shared = Some(Arc::clone(&self.slot));
                floor.share_out(&self.line)
            }
            Some(slot) if !is_shared && Arc::ptr_eq(slot, &self.slot) => {
                *shared = None;
                Vec::new()
            }
            _ => Vec::new(),
        };
        drop(floor);
        drop(unwanted);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let InUse { line, slot } = self;
        let mut floor = lock(&line.share.seats.floor);
        if slot.users.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        slot.may_have_one.store(false, Ordering::Relaxed);
        let more = std::mem::take(&mut *lock(&slot.more));
        let can_use = |waiting: &Waiting| {
            waiting.is_of(line)
                || waiting.share.id == slot.seat.share.id
                || waiting.share.free.load(Ordering::Relaxed) > 0
        };
        let next = floor.first(can_use);
        floor.count += 1;
        let number = floor.count;
        let of_line = floor.lines.entry(line.id).or_default();
        of_line.shared.take_if(|shared| Arc::ptr_eq(shared, slot));
        let mut unwanted = Vec::new();
        match next {
            None => of_line.resting.push_back((number, Arc::clone(slot))),
            Some(next) if floor.waiting.get(&next).is_some_and(|waiting| waiting.is_of(line)) => {
                let of_line = floor.lines.entry(line.id).or_default();
                of_line.resting.push_back((number, Arc::clone(slot)));
                if let (Some(in_use), Some(waiting)) = (floor.join(line), floor.waiting.remove(&next)) {
                    unwanted.extend(waiting.tell.send(Given::Client(in_use)).err());
                }
                if slot.is_shared.load(Ordering::Relaxed) {
                    unwanted.extend(floor.share_out(line));
                }
            }
            // It is closed with us, and its seat given on.
            Some(_) => {}
        }
        drop(floor);
        drop((more, unwanted));
    }
}
