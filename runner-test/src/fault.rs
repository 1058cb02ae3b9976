//! Faults that a test puts into a key-value store or into files, and the wrapper that makes them happen. It knows no guest.
//!
//! What happens to an operation is decided here; what the operations are, each backend's own file says.

mod files;
mod keys;

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runner_host_fs::ErrorKind as FileErrorKind;
use runner_host_kv::Namespace;

/// What a store, or a tree of files, is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A store reads values, or asks whether they are there.
    Get,
    /// Keys are listed, or the entries of a directory.
    List,
    /// A store sets a value.
    Set,
    /// A store removes a key.
    Delete,
    /// A store adds to a number.
    Increment,
    /// A file or a directory is opened.
    Open,
    /// Bytes of a file are read.
    Read,
    /// It is asked what a path, or an open file, is.
    Stat,
    /// A directory or a link is made; or a file is opened that is to be made where it is not there.
    Create,
    /// Bytes of a file are written, or it is cut off; also where it is emptied by opening it.
    Write,
    /// A file, a link or a directory is removed.
    Remove,
    /// Something is given another path: both are met.
    Rename,
    /// Times are set.
    SetTimes,
    /// It is waited until what was written is kept.
    Sync,
    /// A file is closed.
    Close,
    /// The guest has returned, and what it wrote is published: all paths that it has changed are met. Of mounts whose
    /// mode is `on-success`.
    Commit,
}

/// What a fault is put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Store,
    Files,
}

impl Operation {
    fn is_of(self, place: Place) -> bool {
        use Operation::{Delete, Get, Increment, List, Set};
        match self {
            List => true,
            Get | Set | Delete | Increment => place == Place::Store,
            _ => place == Place::Files,
        }
    }
}

/// Something that goes wrong in a store or with files: what, with which operations, and how often.
///
/// ```
/// # use runner_test::{Fault, FileErrorKind, Operation};
/// let fault = Fault::unavailable().writes().key("orders/7").after(1).times(2); // the second and the third write of it
/// let full = Fault::error(FileErrorKind::NoSpace).on([Operation::Write]).path("orders/7");
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    what: What,
    operations: Vec<Operation>,
    namespace: Option<Namespace>,
    key: Option<String>,
    path: Option<String>,
    after: u64,
    every: u64,
    times: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Unavailable,
    Lost,
    Conflict,
    Error(FileErrorKind),
    Delay(Duration),
    Silent,
}

impl Fault {
    fn new(what: What) -> Self {
        let (operations, namespace, key, path) = (Vec::new(), None, None, None);
        Fault { what, operations, namespace, key, path, after: 0, every: 1, times: u64::MAX }
    }

    /// The store does not answer, and has done nothing: the guest is told that it is unavailable; of files, `EIO`.
    pub fn unavailable() -> Self {
        Self::new(What::Unavailable)
    }

    /// The store does what it is asked for, and its answer is lost: the guest is told that it is unavailable; of files, `EIO`.
    pub fn answer_lost() -> Self {
        Self::new(What::Lost)
    }

    /// Somebody else is faster: a key is written by another, with the value that it has, just before it is written under a
    /// condition. It meets conditional writes alone (compare-and-swap); a key that is absent was set and removed meanwhile.
    ///
    /// Of files it meets [commits](Operation::Commit) alone: another call publishes what the guest has changed, with the bytes
    /// that were there, just before. So nothing of the guest's is published, and its call is an error of the host.
    pub fn conflict() -> Self {
        Self::new(What::Conflict)
    }

    /// An operation on files fails with this, and has done nothing. Stores know no such errors.
    pub fn error(kind: FileErrorKind) -> Self {
        Self::new(What::Error(kind))
    }

    /// The store takes its time, on tokio's clock: after `tokio::time::pause()` it is wound, and takes none.
    pub fn delay(time: Duration) -> Self {
        Self::new(What::Delay(time))
    }

    /// The store never answers: the call runs into its deadline.
    pub fn silent() -> Self {
        Self::new(What::Silent)
    }

    /// With these operations alone. Default all.
    #[must_use]
    pub fn on(mut self, operations: impl IntoIterator<Item = Operation>) -> Self {
        self.operations = operations.into_iter().collect();
        self
    }

    /// When something is read or listed, or it is asked what is there. To open a file is no reading yet.
    #[must_use]
    pub fn reads(self) -> Self {
        self.on([Operation::Get, Operation::List, Operation::Read, Operation::Stat])
    }

    /// When something is changed: set, deleted or incremented in a store; of files all that would change one, and the sync
    /// and the commit that publish it.
    #[must_use]
    pub fn writes(self) -> Self {
        use Operation::{Commit, Create, Delete, Increment, Remove, Rename, Set, SetTimes, Sync, Write};
        self.on([Set, Delete, Increment, Create, Write, Remove, Rename, SetTimes, Sync, Commit])
    }

    /// With this key alone; listings have none. Default all.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this path alone, as its [`Folder`](crate::Folder) has it: `orders/7`; the folder itself is `.`. An open
    /// file is met by the path that it was opened by. Default all.
    ///
    /// # Panics
    /// Where the path is none.
    #[must_use]
    #[track_caller]
    pub fn path(mut self, path: &str) -> Self {
        self.path = Some(crate::files::parsed(path).as_relative().to_owned());
        self
    }

    /// Lets so many operations pass first. Default none.
    #[must_use]
    pub fn after(mut self, operations: u64) -> Self {
        self.after = operations;
        self
    }

    /// With each second, third, .. of the operations. Default each; 0 is the same as 1.
    #[must_use]
    pub fn every(mut self, nth: u64) -> Self {
        self.every = nth.max(1);
        self
    }

    /// So many times, and then no more. Default always.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    pub(crate) fn within(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Refuses what could never happen where it is put.
    #[track_caller]
    pub(crate) fn check(&self, place: Place) {
        let (place_name, other) = match place {
            Place::Store => ("a store", self.path.is_some() || matches!(self.what, What::Error(_))),
            Place::Files => ("files", self.key.is_some()),
        };
        let never = !self.operations.is_empty() && !self.operations.iter().any(|operation| operation.is_of(place));
        assert!(!other && !never, "the fault is none of {place_name}, and would never happen there: {self:?}");
    }

    fn meets(&self, asked: &Asked<'_>) -> bool {
        let wanted = self.key.as_deref().or(self.path.as_deref());
        let one = |part: &Part<'_>| {
            (self.operations.is_empty() || self.operations.contains(&part.operation))
                && wanted.is_none_or(|wanted| part.name == Some(wanted))
                && (self.what != What::Conflict || part.conditional)
        };
        self.namespace.as_ref().is_none_or(|it| Some(it) == asked.namespace) && asked.parts.iter().any(one)
    }
}

/// One question to a store or to files, with what it consists of.
struct Asked<'a> {
    /// Of a store.
    namespace: Option<&'a Namespace>,
    parts: Vec<Part<'a>>,
}

struct Part<'a> {
    operation: Operation,
    /// Its key or its path.
    name: Option<&'a str>,
    /// Whether somebody else can be faster.
    conditional: bool,
}

#[derive(Debug)]
struct Set {
    fault: Fault,
    /// Operations that it met so far, and those that it happened to.
    met: u64,
    happened: u64,
}

/// A store or a volume with faults that a test puts into it; without any, it is the one that it wraps. Clones are the same.
///
/// It is a [`Store`](runner_host_kv::Store) of a store, and a [`Volume`](runner_host_fs::Volume) of a volume.
#[derive(Clone)]
pub struct Faulty<S> {
    sound: S,
    faults: Faults,
}

impl<S> Faulty<S> {
    /// Without faults.
    pub fn new(sound: S) -> Self {
        Faulty { sound, faults: Faults::default() }
    }

    /// Adds a fault, beside those that are there. Delays add up; of the others the first that meets an operation happens.
    pub fn fail(&self, fault: Fault) {
        self.faults.lock().push(Set { fault, met: 0, happened: 0 });
    }

    /// Takes all faults away.
    pub fn mend(&self) {
        self.faults.lock().clear();
    }

    /// How often faults have happened since they were put in.
    pub fn happened(&self) -> u64 {
        self.faults.lock().iter().map(|set| set.happened).sum()
    }

    /// What is wrapped, on a way that no fault lies on.
    pub fn sound(&self) -> &S {
        &self.sound
    }
}

impl<S> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("faults", &self.faults.0).finish_non_exhaustive()
    }
}

/// The faults of one [`Faulty`].
#[derive(Clone, Default)]
struct Faults(
    /// Guards the faults; never held across an await.
    Arc<Mutex<Vec<Set>>>,
);

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Vec<Set>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to an operation: how long it takes, and what goes wrong.
    fn meet(&self, asked: &Asked<'_>) -> (Duration, Option<Fault>) {
        let (mut delay, mut wrong) = (Duration::ZERO, None);
        for set in self.lock().iter_mut().filter(|set| set.fault.meets(asked)) {
            set.met += 1;
            let counted = set.met.saturating_sub(set.fault.after);
            if counted == 0 || counted % set.fault.every != 0 || set.happened >= set.fault.times {
                continue;
            }
            match set.fault.what {
                What::Delay(time) => delay += time,
                _ if wrong.is_some() => continue,
                _ => wrong = Some(set.fault.clone()),
            }
            set.happened += 1;
        }
        (delay, wrong)
    }

    /// Waits as long as it takes, for ever where nobody answers, and gives what goes wrong then.
    async fn pass(&self, asked: &Asked<'_>) -> Option<Fault> {
        let (delay, wrong) = self.meet(asked);
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
        match wrong {
            Some(Fault { what: What::Silent, .. }) => pending().await,
            other => other,
        }
    }
}
