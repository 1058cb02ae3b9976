//! The file: what was answered is kept, whatever becomes of the process; what is not ours is left as it is.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use runner_host_kv::{Clock, Ends, Error, Key, ManualClock, Namespace, SqliteStore, Store, StoreExt, Usage};
use rusqlite::Connection;
use tokio::sync::Notify;

fn space() -> Namespace {
    Namespace::new("shop").expect("a name")
}

fn key(text: &str) -> Key {
    Key::new(text).expect("it is short")
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).expect("the file opens")
}

#[tokio::test]
async fn what_was_written_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kv.sqlite");
    let clock = Arc::new(ManualClock::at_ms(5_000));
    let store = SqliteStore::open_with_clock(&path, clock.clone()).expect("a new file");
    let version = store.set(&space(), &key("a"), Bytes::from_static(b"1")).await.expect("set");
    let second = std::time::Duration::from_secs(1);
    store.set_for(&space(), &key("b"), Bytes::from_static(b"2"), Ends::After(second)).await.expect("set");
    drop(store);
    let store = SqliteStore::open_with_clock(&path, clock.clone()).expect("our own file");
    let entry = store.get(&space(), &key("a")).await.expect("get").expect("it is there");
    assert_eq!((entry.value.as_ref(), entry.version), (&b"1"[..], version));
    assert_eq!(store.get(&space(), &key("b")).await.expect("get").expect("there").ends_in, Some(second));
    assert_eq!(store.usage(&space()).await.expect("usage"), Usage { keys: 2, bytes: 4 });
    clock.advance(second);
    assert!(!store.exists(&space(), &key("b")).await.expect("exists"), "an end outlives the process");
    let next = store.set(&space(), &key("a"), Bytes::from_static(b"1")).await.expect("set");
    assert_ne!(next, version, "versions go on where they were");
}

/// A clock that stands still. When it is next read, somebody else writes to the file first, a minute later by their own.
struct Interrupted {
    path: std::path::PathBuf,
    armed: AtomicBool,
}

impl Clock for Interrupted {
    fn now_ms(&self) -> u64 {
        if self.armed.swap(false, Ordering::SeqCst) {
            let path = self.path.clone();
            let write = async move {
                let theirs = SqliteStore::open_with_clock(path, Arc::new(ManualClock::at_ms(5_000 + 60_000)))?;
                theirs.set_for(&space(), &key("a"), Bytes::new(), Ends::After(Duration::from_millis(500))).await
            };
            let elsewhere = std::thread::spawn(|| tokio::runtime::Runtime::new().expect("it starts").block_on(write));
            elsewhere.join().expect("no panic").expect("set");
        }
        5_000
    }
}

#[tokio::test]
async fn a_value_never_has_more_time_left_than_it_was_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kv.sqlite");
    let clock = Arc::new(Interrupted { path: path.clone(), armed: AtomicBool::new(false) });
    let store = SqliteStore::open_with_clock(&path, clock.clone()).expect("a new file");
    let half = Duration::from_millis(500);
    for store in [store.clone(), store.reading_aside()] {
        store.set_for(&space(), &key("a"), Bytes::new(), Ends::After(half)).await.expect("set");
        clock.armed.store(true, Ordering::SeqCst);
        let entry = store.get(&space(), &key("a")).await.expect("get").expect("it is there");
        assert!(!clock.armed.load(Ordering::SeqCst), "somebody else has written meanwhile");
        assert_eq!(entry.ends_in, Some(half));
    }
}

#[tokio::test]
async fn two_stores_on_one_file_see_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kv.sqlite");
    let (one, two) = (open(&path), open(&path));
    for round in 1..=20 {
        assert_eq!(one.increment(&space(), &key("n"), 1).await.expect("increment"), 2 * round - 1);
        assert_eq!(two.increment(&space(), &key("n"), 1).await.expect("increment"), 2 * round);
    }
    let both = (0..40).map(|number| {
        let store = if number % 2 == 0 { one.clone() } else { two.clone() };
        tokio::spawn(async move { store.increment(&space(), &key("n"), 1).await })
    });
    for task in both.collect::<Vec<_>>() {
        task.await.expect("no panic").expect("a writer waits for the other one");
    }
    assert_eq!(one.get(&space(), &key("n")).await.expect("get").expect("there").value.as_ref(), b"80");
}

#[tokio::test]
async fn writers_that_wait_together_each_have_their_own_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("kv.sqlite"));
    store.set(&space(), &key("text"), Bytes::from_static(b"abc")).await.expect("set");
    let tasks = (0..200).map(|number| {
        let store = store.clone();
        // Every tenth is refused, which must not undo its neighbours in the same commit.
        let key = key(if number % 10 == 0 { "text" } else { "n" });
        tokio::spawn(async move { store.increment(&space(), &key, 1).await })
    });
    let mut refused = 0;
    for task in tasks.collect::<Vec<_>>() {
        match task.await.expect("no panic") {
            Ok(_) => {}
            Err(Error::NotANumber { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, 20);
    assert_eq!(store.get(&space(), &key("n")).await.expect("get").expect("there").value.as_ref(), b"180");
}

#[tokio::test]
async fn a_write_that_another_process_holds_up_is_unavailable_and_later_ones_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kv.sqlite");
    let store = open(&path);
    store.set(&space(), &key("a"), Bytes::from_static(b"1")).await.expect("set");
    let other = Connection::open(&path).expect("another process");
    other.execute_batch("BEGIN IMMEDIATE").expect("it writes");
    let writes = ["b", "c"].map(key).map(|key| {
        let store = store.clone();
        tokio::spawn(async move { store.set(&space(), &key, Bytes::new()).await })
    });
    assert!(store.exists(&space(), &key("a")).await.expect("who reads does not wait"));
    for write in writes {
        let refused = write.await.expect("no panic");
        assert!(matches!(&refused, Err(Error::Unavailable { .. })), "{refused:?}");
    }
    other.execute_batch("ROLLBACK").expect("it is done");
    assert_eq!(store.usage(&space()).await.expect("usage"), Usage { keys: 1, bytes: 2 }, "neither was written");
    store.set(&space(), &key("b"), Bytes::new()).await.expect("now it is");
}

/// A clock that tells when it is read.
struct Watched {
    clock: ManualClock,
    read: Notify,
}

impl Clock for Watched {
    fn now_ms(&self) -> u64 {
        self.read.notify_one();
        self.clock.now_ms()
    }
}

#[tokio::test]
async fn a_value_that_waits_to_be_written_has_its_whole_time_from_when_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kv.sqlite");
    let clock = Arc::new(Watched { clock: ManualClock::at_ms(5_000), read: Notify::new() });
    let store = SqliteStore::open_with_clock(&path, clock.clone()).expect("a new file");
    let other = Connection::open(&path).expect("another process");
    other.execute_batch("BEGIN IMMEDIATE").expect("it writes");
    let second = Duration::from_secs(1);
    let writes = store.clone();
    let write =
        tokio::spawn(async move { writes.set_for(&space(), &key("a"), Bytes::new(), Ends::After(second)).await });
    let read = tokio::time::timeout(Duration::from_millis(500), clock.read.notified()).await;
    assert!(read.is_err(), "the clock is read before the file is ours");
    clock.clock.advance(2 * second);
    other.execute_batch("COMMIT").expect("it is done");
    write.await.expect("no panic").expect("set");
    let entry = store.get(&space(), &key("a")).await.expect("get").expect("it has not ended");
    assert_eq!(entry.ends_in, Some(second));
}

#[test]
fn a_file_of_someone_else_is_refused_by_name_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.sqlite");
    let refused = |words: &str| {
        let before = std::fs::read(&path).expect("the file is there");
        let error = SqliteStore::open(&path).map(drop).expect_err("the file is not ours");
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        for words in [path.to_str().expect("text"), words] {
            assert!(error.to_string().contains(words), "{error}");
        }
        assert!(std::fs::read(&path).expect("the file is there") == before, "it is left as it is");
    };
    std::fs::write(&path, "twenty lines of a shopping list\n".repeat(200)).expect("written");
    refused("is not an SQLite database");
    std::fs::remove_file(&path).expect("removed");

    Connection::open(&path).expect("opens").execute_batch("CREATE TABLE mine (a)").expect("made");
    refused("is an SQLite database of another program: expected application id 0x524e4b56, found 0x0 with 1 tables");
    let pragmas = "PRAGMA application_id = 0x524e4b56; PRAGMA user_version = 2";
    Connection::open(&path).expect("opens").execute_batch(pragmas).expect("set");
    refused("is a key-value store of version 2, this program reads version 1");
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = SqliteStore::open(folder.path().join("absent/kv.sqlite")).map(drop).expect_err("no such folder");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("absent/kv.sqlite` cannot be opened"), "{error}");
}

/// Where the process that is to be killed writes; without it, the test below has nothing to do.
const KILLED: &str = "RUNNER_KV_TEST_KILLED";

/// The process that is killed: it writes for ever, and says what was answered.
#[tokio::test]
async fn the_process_that_is_killed() {
    let Some(path) = std::env::var_os(KILLED) else { return };
    let store = open(Path::new(&path));
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 1u64.. {
                let changed = store.increment(&space(), &key(&format!("sum {writer}")), 1).await.expect("increment");
                let value = Bytes::from(vec![writer; 2_000]);
                store.set(&space(), &key(&format!("{writer}/{number}")), value).await.expect("set");
                eprintln!("answered {writer} {number} {changed}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("it writes for ever");
    }
}

#[tokio::test]
async fn what_was_answered_before_a_kill_is_there_and_the_rest_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kv.sqlite");
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().expect("the test's own binary"))
            .args(["--exact", "sqlite::the_process_that_is_killed", "--nocapture"])
            .env(KILLED, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut answered = BTreeMap::new();
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        for line in lines.take(150 + 60 * round) {
            let line = line.expect("text");
            let words: Vec<_> = line.split(' ').collect();
            let ["answered", writer, number, sum] = words[..] else { panic!("{line}") };
            answered.insert(writer.to_owned(), (number.to_owned(), sum.parse::<i64>().expect("a number")));
        }
        child.kill().expect("it is killed");
        child.wait().expect("it is gone");

        let store = open(&path);
        let mut sums = 0;
        for (writer, (number, sum)) in &answered {
            let value = store.get(&space(), &key(&format!("{writer}/{number}"))).await.expect("get");
            assert_eq!(value.expect("what was answered is there").value.len(), 2_000);
            let kept = store.get(&space(), &key(&format!("sum {writer}"))).await.expect("get").expect("it is there");
            let kept: i64 = std::str::from_utf8(&kept.value).expect("digits").parse().expect("a number");
            // At most the one that was under way is there beside what was answered, and what was answered unread.
            assert!(kept >= *sum, "{kept} of {sum}");
            sums += 1;
        }
        assert!(sums > 0, "something was answered");
        let (mut usage, mut after) = (Usage::default(), None);
        loop {
            let limit = std::num::NonZeroU32::new(1_000).expect("a limit");
            let page = store.list(&space(), "", after.as_ref(), limit).await.expect("list");
            for found in store.get_many(&space(), &page.keys, u64::MAX).await.expect("get").iter().zip(&page.keys) {
                usage.add(found.1, found.0.as_ref().expect("it was listed").value.len());
            }
            after = page.keys.last().cloned();
            if !page.more {
                break;
            }
        }
        assert_eq!(store.usage(&space()).await.expect("usage"), usage, "what is counted is what is there");
    }
}
