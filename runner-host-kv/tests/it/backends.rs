//! Every backend passes the suite, boxed too, and none differs from another.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use runner_host_kv::{
    Change, Clock, Done, Ends, Entry, Error, Expected, Key, ManualClock, MemoryStore, Namespace, Page, Quota,
    SqliteStore, Store, StoreExt, Usage, Version, conformance,
};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at_ms(1_000_000))
}

fn sqlite(folder: &tempfile::TempDir, clock: &Arc<ManualClock>) -> SqliteStore {
    let clock: Arc<dyn Clock> = clock.clone();
    SqliteStore::open_with_clock(folder.path().join("kv.sqlite"), clock).expect("a new file opens")
}

#[tokio::test]
async fn memory_conforms() {
    let clock = clock();
    conformance::all(Arc::new(MemoryStore::with_clock(clock.clone())), &clock).await;
}

#[tokio::test]
async fn sqlite_conforms() {
    let (clock, folder) = (clock(), tempfile::tempdir().expect("a folder"));
    conformance::all(Arc::new(sqlite(&folder, &clock)), &clock).await;
}

#[tokio::test]
async fn sqlite_that_reads_aside_conforms() {
    let (clock, folder) = (clock(), tempfile::tempdir().expect("a folder"));
    conformance::all(Arc::new(sqlite(&folder, &clock).reading_aside()), &clock).await;
}

#[tokio::test]
async fn boxed_backends_conform() {
    let (clock, folder) = (clock(), tempfile::tempdir().expect("a folder"));
    let boxed: Box<dyn Store> = Box::new(MemoryStore::with_clock(clock.clone()));
    conformance::all(Arc::new(boxed), &clock).await;
    let shared: Arc<dyn Store> = Arc::new(sqlite(&folder, &clock));
    conformance::all(Arc::new(shared), &clock).await;
}

/// One thing that a test does to a store. A version is told by the key that it was last seen at.
#[derive(Clone, Debug)]
enum Step {
    Get(Vec<u8>, u64),
    Exists(u8),
    List { prefix: u8, after: Option<u8>, limit: u32 },
    Apply(Vec<Write>, Quota),
    Usage,
    Wait(u64),
    OtherSpace(bool),
}

#[derive(Clone, Debug)]
enum Write {
    Set(u8, Vec<u8>, Ends, Wanted),
    Delete(u8, Wanted),
    Increment(u8, i64, i64, i64, Ends),
}

#[derive(Clone, Debug)]
enum Wanted {
    Anything,
    Absent,
    /// The version at which the key was last seen, or one that no key has.
    Seen(u8),
}

/// Few keys, so that steps meet, some of them strange.
const KEYS: [&str; 8] = ["", "a", "a/", "a/b", "a\0", "b", "é", "\u{10ffff}"];

fn key(number: u8) -> Key {
    Key::new(KEYS[usize::from(number) % KEYS.len()]).expect("it is short")
}

fn writes() -> impl Strategy<Value = Write> {
    let ends = || {
        prop_oneof![
            3 => Just(Ends::Never),
            1 => Just(Ends::Keep),
            2 => (0..400u64).prop_map(|ms| Ends::After(Duration::from_millis(ms))),
        ]
    };
    let wanted = || {
        prop_oneof![
            4 => Just(Wanted::Anything),
            1 => Just(Wanted::Absent),
            2 => (0..8u8).prop_map(Wanted::Seen),
        ]
    };
    let value = prop_oneof![
        2 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => (-200i64..200).prop_map(|number| number.to_string().into_bytes()),
        1 => Just(i64::MAX.to_string().into_bytes()),
    ];
    prop_oneof![
        4 => (0..8u8, value, ends(), wanted()).prop_map(|(key, value, ends, wanted)| Write::Set(key, value, ends, wanted)),
        2 => (0..8u8, wanted()).prop_map(|(key, wanted)| Write::Delete(key, wanted)),
        3 => (0..8u8, -50i64..50, ends(), any::<bool>()).prop_map(|(key, by, ends, narrow)| {
            let (least, most) = if narrow { (-60, 60) } else { (i64::MIN, i64::MAX) };
            Write::Increment(key, by, least, most, ends)
        }),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let quota = prop_oneof![
        3 => Just(Quota::NONE),
        2 => (0..12u64, 0..6u64, 0..40u64).prop_map(|(value_bytes, keys, bytes)| Quota { value_bytes, keys, bytes }),
    ];
    prop_oneof![
        2 => (proptest::collection::vec(0..8u8, 0..4), prop_oneof![Just(u64::MAX), 0..30u64])
            .prop_map(|(keys, bytes)| Step::Get(keys, bytes)),
        1 => (0..8u8).prop_map(Step::Exists),
        2 => (0..8u8, proptest::option::of(0..8u8), 1..9u32)
            .prop_map(|(prefix, after, limit)| Step::List { prefix, after, limit }),
        6 => (proptest::collection::vec(writes(), 0..4), quota).prop_map(|(writes, quota)| Step::Apply(writes, quota)),
        1 => Just(Step::Usage),
        2 => (0..300u64).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::OtherSpace),
    ]
}

/// An entry without its version.
type Plain = (Bytes, Option<Duration>);

/// What came of a step, without the numbers of versions, which are each backend's own.
#[derive(Debug, PartialEq)]
enum Seen {
    Entries(Result<Vec<Option<Plain>>, String>),
    Exists(bool),
    Page(Page),
    Done(Result<Vec<Done>, String>),
    Usage(Usage),
    Nothing,
}

/// A store with the versions that were seen in it.
struct Driven {
    store: Arc<dyn Store>,
    space: Namespace,
    seen: [Version; KEYS.len()],
}

/// No key is ever at this version.
const NONE_SEEN: [Version; KEYS.len()] = [Version::new(u64::MAX >> 1); KEYS.len()];

impl Driven {
    fn new(store: impl Store) -> Self {
        let space = Namespace::new("one").expect("a name");
        Driven { store: Arc::new(store), space, seen: NONE_SEEN }
    }

    fn expected(&self, wanted: &Wanted) -> Expected {
        match wanted {
            Wanted::Anything => Expected::Anything,
            Wanted::Absent => Expected::Absent,
            Wanted::Seen(key) => Expected::At(self.seen[usize::from(*key) % KEYS.len()]),
        }
    }

    async fn step(&mut self, step: &Step) -> Seen {
        match step {
            Step::Get(keys, bytes_max) => {
                let keys: Vec<_> = keys.iter().map(|number| key(*number)).collect();
                let found = self.store.get_many(&self.space, &keys, *bytes_max).await;
                let plain = |entry: Option<Entry>| entry.map(|entry| (entry.value, entry.ends_in));
                Seen::Entries(found.map(|found| found.into_iter().map(plain).collect()).map_err(told))
            }
            Step::Exists(number) => Seen::Exists(self.store.exists(&self.space, &key(*number)).await.expect("exists")),
            Step::List { prefix, after, limit } => {
                let after = after.map(key);
                let limit = NonZeroU32::new(*limit).expect("it is not zero");
                let prefix = key(*prefix);
                Seen::Page(self.store.list(&self.space, prefix.as_str(), after.as_ref(), limit).await.expect("list"))
            }
            Step::Apply(writes, quota) => {
                let changes = writes.iter().map(|write| match write {
                    Write::Set(number, value, ends, wanted) => Change::Set {
                        key: key(*number),
                        value: value.clone().into(),
                        ends: *ends,
                        expected: self.expected(wanted),
                    },
                    Write::Delete(number, wanted) => {
                        Change::Delete { key: key(*number), expected: self.expected(wanted) }
                    }
                    Write::Increment(number, by, least, most, ends) => {
                        Change::Increment { key: key(*number), by: *by, within: *least..=*most, ends: *ends }
                    }
                });
                let changes: Vec<_> = changes.collect();
                let done = self.store.apply(&self.space, changes, *quota).await;
                let plain = |done| match done {
                    Done::Set(_) => Done::Set(Version::new(0)),
                    other => other,
                };
                Seen::Done(done.map(|done| done.into_iter().map(plain).collect()).map_err(told))
            }
            Step::Usage => Seen::Usage(self.store.usage(&self.space).await.expect("usage")),
            Step::Wait(_) => Seen::Nothing,
            Step::OtherSpace(second) => {
                self.space = Namespace::new(if *second { "two" } else { "one" }).expect("a name");
                // A version says something within its name space only.
                self.seen = NONE_SEEN;
                Seen::Nothing
            }
        }
    }

    /// Remembers the versions of now, so that later conditions on them may hold.
    async fn look(&mut self) {
        for number in 0..KEYS.len() {
            if let Some(entry) = self.store.get(&self.space, &key(number as u8)).await.expect("get") {
                self.seen[number] = entry.version;
            }
        }
    }
}

/// An error without the version that it names.
fn told(error: Error) -> String {
    match error {
        Error::Conflict { key, found } => format!("conflict at {key}, there: {}", found.is_some()),
        other => other.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_to_them_memory_and_sqlite_do_not_differ(steps in proptest::collection::vec(steps(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (clock, folder) = (clock(), tempfile::tempdir().expect("a folder"));
        let mut memory = Driven::new(MemoryStore::with_clock(clock.clone()));
        let mut file = Driven::new(sqlite(&folder, &clock));
        runtime.block_on(async {
            for (number, step) in steps.iter().enumerate() {
                if let Step::Wait(ms) = step {
                    clock.advance(Duration::from_millis(*ms));
                }
                let (expected, found) = (memory.step(step).await, file.step(step).await);
                prop_assert_eq!(expected, found, "at step {}: {:?}", number, step);
                if number % 3 == 0 {
                    memory.look().await;
                    file.look().await;
                }
            }
            Ok(())
        })?;
    }
}
