//! Faults that a test puts into a key-value store, and the wrapper that makes them happen. It knows no guest.

use std::fmt;
use std::future::pending;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runner_host_kv::{
    Change, Done, Ends, Entry, Error, Expected, Key, Namespace, Namespaces, Page, Quota, Result, Store, Usage, Version,
    async_trait,
};

/// What a store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reads values, or asks whether they are there.
    Get,
    /// Lists keys.
    List,
    /// Sets a value.
    Set,
    /// Removes a key.
    Delete,
    /// Adds to a number.
    Increment,
}

/// Something that goes wrong in a store: what, with which operations, and how often.
///
/// ```
/// # use runner_test::Fault;
/// let fault = Fault::unavailable().writes().key("orders/7").after(1).times(2); // the second and the third write of it
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    what: What,
    operations: Vec<Operation>,
    namespace: Option<Namespace>,
    key: Option<String>,
    after: u64,
    every: u64,
    times: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Unavailable,
    Lost,
    Conflict,
    Delay(Duration),
    Silent,
}

impl Fault {
    fn new(what: What) -> Self {
        Fault { what, operations: Vec::new(), namespace: None, key: None, after: 0, every: 1, times: u64::MAX }
    }

    /// The store does not answer, and has done nothing: the guest is told that it is unavailable.
    pub fn unavailable() -> Self {
        Self::new(What::Unavailable)
    }

    /// The store does what it is asked for, and its answer is lost: the guest is told that it is unavailable.
    pub fn answer_lost() -> Self {
        Self::new(What::Lost)
    }

    /// Somebody else is faster: a key is written by another, with the value that it has, just before it is written under a
    /// condition. It meets conditional writes alone (compare-and-swap); a key that is absent was set and removed meanwhile.
    pub fn conflict() -> Self {
        Self::new(What::Conflict)
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

    /// When something is read or listed.
    #[must_use]
    pub fn reads(self) -> Self {
        self.on([Operation::Get, Operation::List])
    }

    /// When something is set, deleted or incremented.
    #[must_use]
    pub fn writes(self) -> Self {
        self.on([Operation::Set, Operation::Delete, Operation::Increment])
    }

    /// With this key alone; listings have none. Default all.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
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

    fn meets(&self, asked: &Asked<'_>) -> bool {
        let one = |(operation, key, conditional): &(Operation, Option<&Key>, bool)| {
            (self.operations.is_empty() || self.operations.contains(operation))
                && self.key.as_deref().is_none_or(|wanted| key.is_some_and(|key| key.as_str() == wanted))
                && (self.what != What::Conflict || *conditional)
        };
        self.namespace.as_ref().is_none_or(|namespace| namespace == asked.namespace) && asked.parts.iter().any(one)
    }
}

/// One question to a store, with what it consists of: an operation, its key, whether it has a condition.
struct Asked<'a> {
    namespace: &'a Namespace,
    parts: Vec<(Operation, Option<&'a Key>, bool)>,
}

#[derive(Debug)]
struct Set {
    fault: Fault,
    /// Operations that it met so far, and those that it happened to.
    met: u64,
    happened: u64,
}

/// A store with faults that a test puts into it; without any, it is the store that it wraps. Clones are the same store.
#[derive(Clone)]
pub struct Faulty<S> {
    store: S,
    /// Guards the faults; never held across an await.
    faults: Arc<Mutex<Vec<Set>>>,
}

impl<S: Store> Faulty<S> {
    /// A store without faults.
    pub fn new(store: S) -> Self {
        Faulty { store, faults: Arc::default() }
    }

    /// Adds a fault, beside those that are there. Delays add up; of the others the first that meets an operation happens.
    pub fn fail(&self, fault: Fault) {
        self.lock().push(Set { fault, met: 0, happened: 0 });
    }

    /// Takes all faults away.
    pub fn mend(&self) {
        self.lock().clear();
    }

    /// How often faults have happened since they were put in.
    pub fn happened(&self) -> u64 {
        self.lock().iter().map(|set| set.happened).sum()
    }

    /// The store itself, on a way that no fault lies on.
    pub fn sound(&self) -> &S {
        &self.store
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Set>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to an operation: how long it takes, and what goes wrong.
    fn meet(&self, asked: &Asked<'_>) -> (Duration, Option<What>) {
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
                what => wrong = Some(what),
            }
            set.happened += 1;
        }
        (delay, wrong)
    }

    /// Waits as long as it takes, and gives what goes wrong; a store that is away is an error at once.
    async fn pass(&self, asked: &Asked<'_>) -> Result<Option<What>> {
        let (delay, wrong) = self.meet(asked);
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
        match wrong {
            Some(What::Unavailable) => Err(away()),
            Some(What::Silent) => pending().await,
            other => Ok(other),
        }
    }

    async fn read<T>(&self, asked: Asked<'_>, answer: impl Future<Output = Result<T>>) -> Result<T> {
        match self.pass(&asked).await? {
            Some(What::Lost) => answer.await.and_then(|_| Err(away())),
            _ => answer.await,
        }
    }

    /// Writes the keys that have a condition as somebody else would; the first that is absent is the conflict itself.
    async fn overtake(&self, namespace: &Namespace, changes: &[Change]) -> Result<()> {
        for change in changes {
            let (Change::Set { key, expected, .. } | Change::Delete { key, expected }) = change else { continue };
            if *expected == Expected::Anything {
                continue;
            }
            let Some(Entry { value, version, .. }) = self.store.get_one(namespace, key, u64::MAX).await? else {
                return Err(Error::Conflict { key: key.clone(), found: None });
            };
            let (key, expected) = (key.clone(), Expected::At(version));
            let again = Change::Set { key, value, ends: Ends::Keep, expected };
            self.store.apply(namespace, vec![again], Quota::NONE).await?;
        }
        Ok(())
    }
}

fn away() -> Error {
    Error::unavailable("the store is away, as the test wants it")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for Faulty<S> {
    async fn get_many(&self, namespace: &Namespace, keys: &[Key], bytes_max: u64) -> Result<Vec<Option<Entry>>> {
        let parts = keys.iter().map(|key| (Operation::Get, Some(key), false)).collect();
        self.read(Asked { namespace, parts }, self.store.get_many(namespace, keys, bytes_max)).await
    }

    async fn get_one(&self, namespace: &Namespace, key: &Key, bytes_max: u64) -> Result<Option<Entry>> {
        let parts = vec![(Operation::Get, Some(key), false)];
        self.read(Asked { namespace, parts }, self.store.get_one(namespace, key, bytes_max)).await
    }

    async fn exists(&self, namespace: &Namespace, key: &Key) -> Result<bool> {
        let parts = vec![(Operation::Get, Some(key), false)];
        self.read(Asked { namespace, parts }, self.store.exists(namespace, key)).await
    }

    async fn version(&self, namespace: &Namespace, key: &Key) -> Result<Option<Version>> {
        let parts = vec![(Operation::Get, Some(key), false)];
        self.read(Asked { namespace, parts }, self.store.version(namespace, key)).await
    }

    async fn list(&self, namespace: &Namespace, prefix: &str, after: Option<&Key>, limit: NonZeroU32) -> Result<Page> {
        let parts = vec![(Operation::List, None, false)];
        self.read(Asked { namespace, parts }, self.store.list(namespace, prefix, after, limit)).await
    }

    async fn apply(&self, namespace: &Namespace, changes: Vec<Change>, quota: Quota) -> Result<Vec<Done>> {
        let part = |change| match change {
            &Change::Set { ref key, expected, .. } => (Operation::Set, Some(key), expected != Expected::Anything),
            &Change::Delete { ref key, expected } => (Operation::Delete, Some(key), expected != Expected::Anything),
            Change::Increment { key, .. } => (Operation::Increment, Some(key), false),
        };
        let wrong = self.pass(&Asked { namespace, parts: changes.iter().map(part).collect() }).await?;
        if wrong == Some(What::Conflict) {
            self.overtake(namespace, &changes).await?;
        }
        let done = self.store.apply(namespace, changes, quota).await?;
        match wrong {
            Some(What::Lost) => Err(away()),
            _ => Ok(done),
        }
    }

    // What follows is the host's to ask for: no fault meets it.

    async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
        self.store.usage(namespace).await
    }

    async fn namespaces(&self, after: Option<&Namespace>, limit: NonZeroU32) -> Result<Namespaces> {
        self.store.namespaces(after, limit).await
    }

    async fn clear(&self, namespace: &Namespace) -> Result<Usage> {
        self.store.clear(namespace).await
    }
}

impl<S> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("faults", &self.faults).finish_non_exhaustive()
    }
}
