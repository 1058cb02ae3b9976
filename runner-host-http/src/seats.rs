//! Seats: how many connections there are and whose, so that no grant has them all.
//!
//! A connection has a seat of its grant's and of the host's. Where all are taken, the connection that rested longest is closed
//! for the next; where none rests, whoever wants one waits in line, and what is given back goes to the first who can use it.
//! Nothing rests that somebody waits for, and nobody joins a connection that somebody else waits for, so nobody is overtaken.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

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

/// The clients of one line, where it has any that another exchange may use.
#[derive(Default)]
struct OfLine {
    /// Those that nobody uses, the one that was used last at the end.
    resting: VecDeque<(u64, Arc<Slot>)>,
    /// Those that speak HTTP/2, while somebody uses them.
    shared: Vec<Arc<Slot>>,
}

impl OfLine {
    fn unshare(&mut self, slot: &Arc<Slot>) {
        self.shared.retain(|shared| !Arc::ptr_eq(shared, slot));
    }
}

/// Who waits for a client of its line, or a seat for one.
struct Waiting {
    line: Arc<Line>,
    tell: oneshot::Sender<Given>,
}

impl Waiting {
    /// Whether it wants a client of this line.
    fn is_of(&self, line: &Line) -> bool {
        self.line.id == line.id
    }

    /// Whether it could use the seat that a slot of this share has.
    fn could_sit(&self, share: &Share) -> bool {
        self.share().id == share.id || self.share().free.load(Ordering::Relaxed) > 0
    }

    fn share(&self) -> &Arc<Share> {
        &self.line.share
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
        let of_line = self.lines.get(&line.id)?;
        if let Some(slot) = of_line.shared.last() {
            // Who waits for its seat would otherwise wait for ever.
            let is_wanted = self.first(|waiting| !waiting.is_of(line) && waiting.could_sit(&line.share)).is_some();
            return (!is_wanted).then(|| InUse::new(line, slot));
        }
        let of_line = self.lines.get_mut(&line.id)?;
        let (_, slot) = of_line.resting.pop_back()?;
        let in_use = InUse::new(line, &slot);
        if slot.is_shared.load(Ordering::Relaxed) {
            of_line.shared.push(slot);
        }
        self.tidy(line.id);
        Some(in_use)
    }

    /// Forgets a line that has nothing for another exchange.
    fn tidy(&mut self, line: u64) {
        if self.lines.get(&line).is_some_and(|of| of.resting.is_empty() && of.shared.is_empty()) {
            self.lines.remove(&line);
        }
    }

    /// Takes the client that rested longest, of one share or of all.
    fn oldest(&mut self, share: Option<u64>) -> Option<Arc<Slot>> {
        let of_share = |slot: &Slot| share.is_none_or(|share| slot.seat.share.id == share);
        let fronts = self.lines.values_mut().filter(|of| of.resting.front().is_some_and(|(_, slot)| of_share(slot)));
        let oldest = fronts.min_by_key(|of| of.resting.front().map(|(number, _)| *number))?;
        let (_, slot) = oldest.resting.pop_front()?;
        self.tidy(slot.line);
        Some(slot)
    }

    /// Gives what seats are free to those who wait for them; what comes back is for nobody.
    fn serve(&mut self) -> Vec<Given> {
        let mut unwanted = Vec::new();
        while let Some(number) = self.first(|waiting| waiting.share().free.load(Ordering::Relaxed) > 0) {
            let Some(waiting) = self.waiting.remove(&number) else { break };
            match self.seat(waiting.share()) {
                Ok(seat) => unwanted.extend(waiting.tell.send(Given::Seat(seat)).err()),
                Err(_) => {
                    self.waiting.insert(number, waiting);
                    break;
                }
            }
        }
        unwanted.extend(self.share_all());
        unwanted
    }

    /// Where somebody has left the line, others may join what it waited for.
    fn share_all(&mut self) -> Vec<Given> {
        let is_shared = |line: &Line| self.lines.get(&line.id).is_some_and(|of| !of.shared.is_empty());
        let waiting = self.waiting.values().filter(|waiting| is_shared(&waiting.line));
        let lines: Vec<_> = waiting.map(|waiting| Arc::clone(&waiting.line)).collect();
        lines.iter().flat_map(|line| self.share_out(line)).collect()
    }

    /// Gives a client that speaks HTTP/2 to those who wait for one of its line, as far as nobody is before them who could use
    /// its seat.
    fn share_out(&mut self, line: &Arc<Line>) -> Vec<Given> {
        let mut unwanted = Vec::new();
        while let Some(number) = self.first(|waiting| waiting.is_of(line) || waiting.could_sit(&line.share)) {
            let shared = self.lines.get(&line.id).and_then(|of| of.shared.last());
            let is_of = self.waiting.get(&number).is_some_and(|waiting| waiting.is_of(line));
            let Some(in_use) = shared.filter(|_| is_of).map(|slot| InUse::new(line, slot)) else { break };
            let Some(waiting) = self.waiting.remove(&number) else { break };
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
    pub(crate) async fn given(&self, line: &Arc<Line>, until: Instant) -> Result<Given> {
        let (number, mut told, full, oldest) = {
            let mut floor = lock(&self.seats.floor);
            if let Some(in_use) = floor.join(line) {
                return Ok(Given::Client(in_use));
            }
            let full = match floor.seat(&line.share) {
                Ok(seat) => return Ok(Given::Seat(seat)),
                Err(full) => full,
            };
            let oldest = floor.oldest((full == Full::Grant).then_some(self.id));
            let (tell, told) = oneshot::channel();
            floor.count += 1;
            let number = floor.count;
            floor.waiting.insert(number, Waiting { line: Arc::clone(line), tell });
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
        let mut floor = lock(&self.seats.floor);
        let waited = floor.waiting.remove(&self.number);
        let unwanted = if waited.is_some() { floor.share_all() } else { Vec::new() };
        drop(floor);
        drop((waited, unwanted));
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
    line: u64,
    /// Whether its last answer came over HTTP/2, so that others may use it at the same time. Changes with the floor alone.
    is_shared: AtomicBool,
    /// Exchanges that have it. Likewise.
    users: AtomicU32,
    /// Those of them that wait for a connection to be made. Likewise.
    dialling: AtomicU32,
    /// After the client, so that the connection begins to close before its seat is given back.
    seat: Seat,
}

/// An exchange that waits for its connection to be made.
pub(crate) struct Dialler {
    slot: Weak<Slot>,
}

/// What is dialled would be a second connection beside one that others use: it belongs into a seat of its own.
#[derive(Debug)]
pub(crate) struct Moved;

impl std::error::Error for Moved {}

impl std::fmt::Display for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is another's")
    }
}

impl Dialler {
    pub(crate) fn new(slot: Weak<Slot>) -> Self {
        if let Some(slot) = slot.upgrade() {
            let _floor = lock(&slot.seat.share.seats.floor);
            slot.dialling.fetch_add(1, Ordering::Relaxed);
        }
        Dialler { slot }
    }

    /// Whether it may dial: where somebody uses a connection of the client, it may not, and nobody joins the client any more.
    pub(crate) fn may(&self) -> Result<(), Moved> {
        let slot = self.slot.upgrade().ok_or(Moved)?;
        let mut floor = lock(&slot.seat.share.seats.floor);
        if slot.users.load(Ordering::Relaxed) <= slot.dialling.load(Ordering::Relaxed) {
            return Ok(());
        }
        slot.is_shared.store(false, Ordering::Relaxed);
        if let Some(of_line) = floor.lines.get_mut(&slot.line) {
            of_line.unshare(&slot);
        }
        floor.tidy(slot.line);
        Err(Moved)
    }
}

impl Drop for Dialler {
    fn drop(&mut self) {
        let Some(slot) = self.slot.upgrade() else { return };
        let floor = lock(&slot.seat.share.seats.floor);
        slot.dialling.fetch_sub(1, Ordering::Relaxed);
        drop(floor);
    }
}

/// A client that an exchange uses.
pub(crate) struct InUse {
    line: Arc<Line>,
    slot: Arc<Slot>,
    /// Whether it was given one that others may use at the same time: else it has it alone, until it is answered.
    pub(crate) was_shared: bool,
}

impl InUse {
    fn new(line: &Arc<Line>, slot: &Arc<Slot>) -> Self {
        slot.users.fetch_add(1, Ordering::Relaxed);
        let was_shared = slot.is_shared.load(Ordering::Relaxed);
        InUse { line: Arc::clone(line), slot: Arc::clone(slot), was_shared }
    }

    /// One that is new.
    pub(crate) fn of(line: &Arc<Line>, client: Client, seat: Seat) -> Self {
        let (is_shared, users, dialling) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
        InUse::new(line, &Arc::new(Slot { client, line: line.id, is_shared, users, dialling, seat }))
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
        if self.slot.is_shared.load(Ordering::Relaxed) == is_shared {
            return;
        }
        let mut floor = lock(&self.line.share.seats.floor);
        if self.slot.is_shared.swap(is_shared, Ordering::Relaxed) == is_shared {
            return;
        }
        let of_line = floor.lines.entry(self.line.id).or_default();
        let unwanted = match is_shared {
            true => {
                of_line.shared.push(Arc::clone(&self.slot));
                floor.share_out(&self.line)
            }
            false => {
                of_line.unshare(&self.slot);
                floor.tidy(self.line.id);
                Vec::new()
            }
        };
        drop(floor);
        drop(unwanted);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let InUse { line, slot, .. } = self;
        let mut floor = lock(&line.share.seats.floor);
        if slot.users.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        if slot.is_shared.load(Ordering::Relaxed)
            && let Some(of_line) = floor.lines.get_mut(&line.id)
        {
            of_line.unshare(slot);
            floor.tidy(line.id);
        }
        let next = floor.first(|waiting| waiting.is_of(line) || waiting.could_sit(&slot.seat.share));
        let of_line = next.is_some_and(|next| floor.waiting.get(&next).is_some_and(|waiting| waiting.is_of(line)));
        let mut unwanted = Vec::new();
        match next.filter(|_| of_line).and_then(|next| floor.waiting.remove(&next)) {
            Some(waiting) => {
                unwanted.extend(waiting.tell.send(Given::Client(InUse::new(line, slot))).err());
                if slot.is_shared.load(Ordering::Relaxed) {
                    floor.lines.entry(line.id).or_default().shared.push(Arc::clone(slot));
                    unwanted.extend(floor.share_out(line));
                }
            }
            None if next.is_none() => {
                floor.count += 1;
                let number = floor.count;
                floor.lines.entry(line.id).or_default().resting.push_back((number, Arc::clone(slot)));
            }
            // It is closed with us, and its seat given on.
            None => {}
        }
        drop(floor);
        drop(unwanted);
    }
}
