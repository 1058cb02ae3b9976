//! What every backend must do. A backend is done when [`all`] returns.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use std::sync::Arc;
//! use runner_host_kv::{ManualClock, MemoryStore, conformance};
//!
//! let clock = Arc::new(ManualClock::at_ms(1_000_000));
//! conformance::all(Arc::new(MemoryStore::with_clock(clock.clone())), &clock).await;
//! # }
//! ```

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::ManualClock;
use crate::error::{Error, Result};
use crate::key::{Key, Namespace};
use crate::store::{Change, Done, Ends, Expected, Page, Quota, Store, StoreExt, Usage};

/// Runs the whole suite against an empty store, whose clock it winds. It panics where the store is wrong, and says how.
///
/// It uses name spaces that begin with `conformance`, and leaves values behind. A few thousand operations.
pub async fn all(store: Arc<dyn Store>, clock: &ManualClock) {
    let store = &*store;
    values_are_kept(store).await;
    every_text_is_a_key(store).await;
    name_spaces_have_no_key_in_common(store).await;
    a_listing_is_in_order_and_in_pages(store).await;
    a_batch_is_done_whole_or_not_at_all(store).await;
    numbers_are_added_to(store).await;
    a_condition_holds_or_is_a_conflict(store).await;
    versions_are_given_once(store).await;
    values_end(store, clock).await;
    name_spaces_are_listed_and_cleared(store, clock).await;
    a_quota_is_never_exceeded(store, clock).await;
    reading_at_once_is_bounded(store).await;
    writers_at_once_lose_nothing(store).await;
}

fn space(name: &str) -> Namespace {
    Namespace::new(format!("conformance {name}")).expect("the name is short")
}

fn key(text: &str) -> Key {
    Key::new(text).expect("the key is short")
}

fn limit(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("the limit is not zero")
}

async fn value(store: &dyn Store, space: &Namespace, text: &str) -> Option<Bytes> {
    store.get(space, &key(text)).await.expect("a key is read").map(|entry| entry.value)
}

async fn set(store: &dyn Store, space: &Namespace, text: &str, value: &'static [u8]) {
    store.set(space, &key(text), Bytes::from_static(value)).await.expect("a value is set");
}

async fn listed(store: &dyn Store, space: &Namespace, prefix: &str) -> Vec<Key> {
    let page = store.list(space, prefix, None, limit(10_000)).await.expect("keys are listed");
    assert!(!page.more, "there are not so many keys");
    page.keys
}

/// What is set is found, as often as it is asked for, until it is deleted.
async fn values_are_kept(store: &dyn Store) {
    let space = space("values");
    assert_eq!(store.usage(&space).await.expect("usage"), Usage::default());
    assert_eq!(value(store, &space, "a").await, None);
    assert!(!store.exists(&space, &key("a")).await.expect("exists"));
    assert_eq!(store.version(&space, &key("a")).await.expect("version"), None);
    set(store, &space, "a", b"one").await;
    set(store, &space, "empty", b"").await;
    assert_eq!(value(store, &space, "a").await.as_deref(), Some(&b"one"[..]));
    assert_eq!(value(store, &space, "empty").await.as_deref(), Some(&b""[..]), "an empty value is a value");
    assert!(store.exists(&space, &key("a")).await.expect("exists"));
    set(store, &space, "a", b"three").await;
    let entry = store.get(&space, &key("a")).await.expect("get").expect("it is there");
    assert_eq!(entry.value.as_ref(), b"three");
    assert_eq!(store.version(&space, &key("a")).await.expect("version"), Some(entry.version));
    assert_eq!(store.usage(&space).await.expect("usage"), Usage { keys: 2, bytes: 1 + 5 + 5 });
    let all_bytes: Bytes = (0..=u8::MAX).cycle().take(100_000).collect();
    store.set(&space, &key("large"), all_bytes.clone()).await.expect("a large value is set");
    assert_eq!(value(store, &space, "large").await, Some(all_bytes));
    let keys = ["a", "absent", "empty", "a"].map(key);
    let found = store.get_many(&space, &keys, u64::MAX).await.expect("several are read");
    let found: Vec<_> = found.iter().map(|entry| entry.as_ref().map(|entry| entry.value.as_ref())).collect();
    assert_eq!(found, [Some(&b"three"[..]), None, Some(b""), Some(b"three")], "as many as asked for, in order");
    assert!(store.delete(&space, &key("a")).await.expect("delete"));
    assert!(!store.delete(&space, &key("a")).await.expect("delete"), "it is gone already");
    assert_eq!(value(store, &space, "a").await, None);
    store.delete_many(&space, ["empty", "absent", "large"].map(key).into()).await.expect("several are deleted");
    assert_eq!(store.usage(&space).await.expect("usage"), Usage::default());
}

/// Texts that some store would read as something else.
pub const STRANGE_KEYS: &[&str] = &[
    "",
    " ",
    "/",
    "//",
    ".",
    "..",
    "../a",
    "a/../../b",
    "/etc/passwd",
    "\0",
    "a\0b",
    "a\0",
    "%",
    "a%",
    "_",
    "*",
    "a*",
    "?",
    "[a]",
    "'",
    "\"",
    "`",
    "\\",
    ";--",
    "' OR 1=1",
    "\n",
    "\r\n",
    "\t",
    "\u{7f}",
    "é",
    "e\u{301}",
    "ß",
    "İ",
    "日本",
    "\u{fffd}",
    "\u{10ffff}",
    "🦀",
    ":",
    "a:b",
    "{a}b",
    "a",
    "A",
    "aa",
];

/// No text means anything but itself.
async fn every_text_is_a_key(store: &dyn Store) {
    let space = space("texts");
    let largest = "k".repeat(Key::BYTES_MAX);
    let mut texts: Vec<&str> = STRANGE_KEYS.to_vec();
    texts.push(&largest);
    for text in &texts {
        let value = Bytes::from(format!("of {text}"));
        store.set(&space, &key(text), value).await.expect("every text is a key");
    }
    for text in &texts {
        assert_eq!(value(store, &space, text).await, Some(Bytes::from(format!("of {text}"))), "{text:?}");
    }
    texts.sort_unstable();
    let keys = listed(store, &space, "").await;
    assert_eq!(keys.iter().map(Key::as_str).collect::<Vec<_>>(), texts, "in the order of their bytes");
    for prefix in &texts {
        let expected: Vec<_> = texts.iter().filter(|text| text.starts_with(prefix)).copied().collect();
        let found = listed(store, &space, prefix).await;
        assert_eq!(found.iter().map(Key::as_str).collect::<Vec<_>>(), expected, "with prefix {prefix:?}");
    }
}

/// Two name spaces see nothing of each other, whatever they and their keys are called.
async fn name_spaces_have_no_key_in_common(store: &dyn Store) {
    let spaces =
        ["a", "a/", "a/b", "A", "a\0", "a:b", "..", "../a", "a%", "'"].map(|name| space(&format!("of {name}")));
    for (number, one) in spaces.iter().enumerate() {
        for text in STRANGE_KEYS {
            store.set(one, &key(text), Bytes::from(number.to_string())).await.expect("set");
        }
    }
    for (number, one) in spaces.iter().enumerate() {
        for text in STRANGE_KEYS {
            assert_eq!(value(store, one, text).await, Some(Bytes::from(number.to_string())), "{one} {text:?}");
        }
        assert_eq!(listed(store, one, "").await.len(), STRANGE_KEYS.len());
    }
    store.delete_many(&spaces[0], STRANGE_KEYS.iter().map(|text| key(text)).collect()).await.expect("delete");
    assert_eq!(store.usage(&spaces[0]).await.expect("usage"), Usage::default());
    for one in &spaces[1..] {
        assert_eq!(listed(store, one, "").await.len(), STRANGE_KEYS.len(), "{one} keeps its own");
    }
}

/// Every key once, in order, whatever the size of a page, also while keys are deleted.
async fn a_listing_is_in_order_and_in_pages(store: &dyn Store) {
    let space = space("pages");
    assert_eq!(store.list(&space, "", None, limit(1)).await.expect("list"), Page::default());
    let names: Vec<String> = (0..25).map(|number| format!("user/{number:02}")).collect();
    let others = ["user", "user.", "user0", "users/1"];
    let values = names.iter().map(String::as_str).chain(others).map(|text| (key(text), Bytes::from_static(b"v")));
    store.set_many(&space, values.collect()).await.expect("set");
    for size in [1, 2, 7, 24, 25, 26] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(&space, "user/", after.as_ref(), limit(size)).await.expect("list");
            assert!(page.keys.len() <= size as usize, "a page of {size} has {}", page.keys.len());
            found.extend(page.keys.iter().map(|key| key.as_str().to_owned()));
            after = page.keys.last().cloned();
            if !page.more {
                break;
            }
            assert_eq!(page.keys.len(), size as usize, "a page that is not the last is full");
        }
        assert_eq!(found, names, "in pages of {size}");
    }
    // From a position where no key is, before the prefix, and behind it.
    for (after, first) in [("user/03x", Some("user/04")), ("a", Some("user/00")), ("", Some("user/00")), ("v", None)] {
        let page = store.list(&space, "user/", Some(&key(after)), limit(1)).await.expect("list");
        assert_eq!(page.keys.first().map(Key::as_str), first, "after {after:?}");
    }
    let page = store.list(&space, "user/", None, limit(10)).await.expect("list");
    store.delete_many(&space, page.keys.clone()).await.expect("delete");
    let next = store.list(&space, "user/", page.keys.last(), limit(1)).await.expect("list");
    assert_eq!(next.keys, [key("user/10")], "what was deleted moves no other key");
    // A page of large keys ends before its limit.
    let long: Vec<Key> = (0..200).map(|number| key(&format!("{number:03}{}", "k".repeat(8_000)))).collect();
    let values = long.iter().map(|key| (key.clone(), Bytes::new()));
    store.set_many(&space, values.collect()).await.expect("set");
    let page = store.list(&space, "", None, limit(10_000)).await.expect("list");
    assert_eq!((page.keys.len(), page.more), (Page::BYTES_MAX / 8_003, true), "a page ends at its bytes");
}

/// A batch in which one change fails has changed nothing; each change sees those before it.
async fn a_batch_is_done_whole_or_not_at_all(store: &dyn Store) {
    let space = space("batches");
    set(store, &space, "text", b"abc").await;
    let changes = vec![
        Change::Set { key: key("new"), value: Bytes::from_static(b"1"), ends: Ends::Never, expected: Expected::Absent },
        Change::Delete { key: key("text"), expected: Expected::Anything },
        Change::Increment { key: key("new"), by: 1, within: i64::MIN..=i64::MAX, ends: Ends::Never },
        Change::Set { key: key("text"), value: Bytes::new(), ends: Ends::Never, expected: Expected::Absent },
    ];
    let mut failing = changes.clone();
    failing.push(Change::Delete { key: key("new"), expected: Expected::Absent });
    let before = store.usage(&space).await.expect("usage");
    let failed = store.apply(&space, failing, Quota::NONE).await;
    assert!(matches!(&failed, Err(Error::Conflict { key: found, .. }) if *found == key("new")), "{failed:?}");
    assert_eq!(value(store, &space, "new").await, None);
    assert_eq!(value(store, &space, "text").await.as_deref(), Some(&b"abc"[..]));
    assert_eq!(store.usage(&space).await.expect("usage"), before);
    let done = store.apply(&space, changes, Quota::NONE).await.expect("each sees those before it");
    assert!(
        matches!(done[..], [Done::Set(_), Done::Deleted(true), Done::Incremented(2), Done::Set(_)]),
        "{done:?}: one answer a change, in order"
    );
    assert_eq!(value(store, &space, "new").await.as_deref(), Some(&b"2"[..]));
    assert_eq!(store.apply(&space, Vec::new(), Quota::NONE).await.expect("no change"), []);
}

/// Numbers are decimal digits, of 64 bits, within what is asked for.
async fn numbers_are_added_to(store: &dyn Store) {
    let space = space("numbers");
    let counter = key("counter");
    for (by, sum) in [(5, 5), (-7, -2), (0, -2), (1_000, 998)] {
        assert_eq!(store.increment(&space, &counter, by).await.expect("a number is added to"), sum);
    }
    assert_eq!(value(store, &space, "counter").await.as_deref(), Some(&b"998"[..]), "it is kept as digits");
    set(store, &space, "counter", b"-41").await;
    assert_eq!(store.increment(&space, &counter, 1).await.expect("digits that a guest wrote"), -40);
    for text in [&b""[..], b"a", b"1.5", b"1 ", b"0x1", b"9223372036854775808", b"\xff", b"--1"] {
        store.set(&space, &counter, Bytes::from_static(text)).await.expect("set");
        let failed = store.increment(&space, &counter, 1).await;
        assert!(matches!(&failed, Err(Error::NotANumber { key }) if *key == counter), "{text:?}: {failed:?}");
        assert_eq!(value(store, &space, "counter").await.as_deref(), Some(text), "it is as it was");
    }
    for (from, by) in [(i64::MAX, 1), (i64::MIN, -1), (-1, i64::MIN)] {
        store.set(&space, &counter, Bytes::from(from.to_string())).await.expect("set");
        let failed = store.increment(&space, &counter, by).await;
        assert!(matches!(failed, Err(Error::OutOfRange { .. })), "{from} + {by}: {failed:?}");
        assert_eq!(value(store, &space, "counter").await, Some(Bytes::from(from.to_string())));
    }
    let up_to_two = || Change::Increment { key: key("few"), by: 1, within: 0..=2, ends: Ends::Never };
    for sum in [1, 2] {
        let done = store.apply(&space, vec![up_to_two()], Quota::NONE).await.expect("within the range");
        assert_eq!(done, [Done::Incremented(sum)]);
    }
    let failed = store.apply(&space, vec![up_to_two()], Quota::NONE).await;
    assert!(matches!(failed, Err(Error::OutOfRange { least: 0, most: 2, .. })), "{failed:?}");
}

/// Compare-and-swap, on versions and on absence.
async fn a_condition_holds_or_is_a_conflict(store: &dyn Store) {
    let space = space("conditions");
    let (one, text) = (key("one"), |text: &'static str| Bytes::from_static(text.as_bytes()));
    let first = store.swap(&space, &one, text("a"), Expected::Absent).await.expect("it is absent");
    let failed = store.swap(&space, &one, text("b"), Expected::Absent).await;
    assert!(matches!(&failed, Err(Error::Conflict { found, .. }) if *found == Some(first)), "{failed:?}");
    let second = store.swap(&space, &one, text("b"), Expected::At(first)).await.expect("it is at the first version");
    let failed = store.swap(&space, &one, text("c"), Expected::At(first)).await;
    assert!(matches!(&failed, Err(Error::Conflict { found, .. }) if *found == Some(second)), "{failed:?}");
    let entry = store.get(&space, &one).await.expect("get").expect("it is there");
    assert_eq!((entry.value, entry.version), (text("b"), second));
    let third = store.set(&space, &one, text("b")).await.expect("set");
    assert_ne!(second, third, "the same value set again is at another version");
    store.increment(&space, &key("n"), 1).await.expect("increment");
    let counted = store.get(&space, &key("n")).await.expect("get").expect("it is there").version;
    store.increment(&space, &key("n"), 1).await.expect("increment");
    let failed = store.swap(&space, &key("n"), text("9"), Expected::At(counted)).await;
    assert!(matches!(failed, Err(Error::Conflict { .. })), "an increment is a change: {failed:?}");
    for (expected, holds) in [(Expected::Absent, false), (Expected::At(second), false), (Expected::At(third), true)] {
        let deleted = store.apply(&space, vec![Change::Delete { key: one.clone(), expected }], Quota::NONE).await;
        assert_eq!(deleted.is_ok(), holds, "{expected:?}: {deleted:?}");
    }
    let failed = store.swap(&space, &one, text("c"), Expected::At(third)).await;
    assert!(matches!(&failed, Err(Error::Conflict { found: None, .. })), "{failed:?}");
}

/// A key that was deleted and set again is never taken for what it was.
async fn versions_are_given_once(store: &dyn Store) {
    let space = space("versions");
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let version = store.set(&space, &key("a"), Bytes::from_static(b"same")).await.expect("set");
        assert!(seen.insert(version), "version {version} was given twice");
        store.delete(&space, &key("a")).await.expect("delete");
    }
}

/// A value that has ended is absent in every respect.
async fn values_end(store: &dyn Store, clock: &ManualClock) {
    let space = space("ends");
    let (one, second) = (key("one"), Duration::from_secs(1));
    let text = Bytes::from_static(b"12");
    store.set_for(&space, &one, text.clone(), Ends::After(10 * second)).await.expect("set");
    store.set(&space, &key("stays"), text.clone()).await.expect("set");
    assert_eq!(store.get(&space, &one).await.expect("get").expect("there").ends_in, Some(10 * second));
    clock.advance(9 * second);
    let entry = store.get(&space, &one).await.expect("get").expect("there");
    assert_eq!(entry.ends_in, Some(second));
    let kept = store.swap(&space, &one, text.clone(), Expected::At(entry.version)).await.expect("swap");
    assert_eq!(store.increment(&space, &one, 1).await.expect("increment"), 13);
    assert_eq!(store.get(&space, &one).await.expect("get").expect("there").ends_in, Some(second), "both keep the end");
    clock.advance(Duration::from_millis(999));
    assert!(store.exists(&space, &one).await.expect("exists"), "a millisecond before its end");
    clock.advance(Duration::from_millis(1));
    assert_eq!(value(store, &space, "one").await, None);
    assert!(!store.exists(&space, &one).await.expect("exists"));
    assert_eq!(store.version(&space, &one).await.expect("version"), None);
    assert_eq!(listed(store, &space, "").await, [key("stays")]);
    assert_eq!(store.usage(&space).await.expect("usage"), Usage { keys: 1, bytes: 7 });
    let failed = store.swap(&space, &one, text.clone(), Expected::At(kept)).await;
    assert!(matches!(failed, Err(Error::Conflict { found: None, .. })), "{failed:?}");
    assert!(!store.delete(&space, &one).await.expect("delete"), "it is gone already");
    assert_eq!(store.increment(&space, &one, 1).await.expect("increment"), 1, "it begins anew");
    assert_eq!(store.get(&space, &one).await.expect("get").expect("there").ends_in, None);
    // A set without an end takes the end away; a second one moves it.
    store.set_for(&space, &one, text.clone(), Ends::After(second)).await.expect("set");
    store.set_for(&space, &one, text.clone(), Ends::After(5 * second)).await.expect("set");
    clock.advance(4 * second);
    store.set(&space, &one, text.clone()).await.expect("set");
    clock.advance(60 * second);
    assert_eq!(value(store, &space, "one").await, Some(text.clone()));
    // A number's end is that of its first increment: a window that does not move.
    let window =
        Change::Increment { key: key("window"), by: 1, within: i64::MIN..=i64::MAX, ends: Ends::After(2 * second) };
    for (wait, sum) in [(second, 1), (second, 2), (second, 1)] {
        let done = store.apply(&space, vec![window.clone()], Quota::NONE).await.expect("increment");
        assert_eq!(done, [Done::Incremented(sum)]);
        clock.advance(wait);
    }
    store.set_for(&space, &one, text.clone(), Ends::After(Duration::ZERO)).await.expect("set");
    assert!(!store.exists(&space, &one).await.expect("exists"), "a value that ends at once is not there");
    store.set_for(&space, &one, text, Ends::After(Duration::MAX)).await.expect("set");
    assert!(store.exists(&space, &one).await.expect("exists"), "the longest time is a time");
}

/// Whoever runs the host sees each name space that holds anything, and removes what it holds; no other is touched.
async fn name_spaces_are_listed_and_cleared(store: &dyn Store, clock: &ManualClock) {
    let [one, ending, other, strange] = ["listed", "listed ending", "listed/other", "listed\u{10ffff}"].map(space);
    let before = space("liste");
    let held = Usage { keys: 2, bytes: 4 };
    for space in [&one, &other, &strange] {
        set(store, space, "a", b"1").await;
        set(store, space, "b", b"2").await;
    }
    let ends = Ends::After(Duration::from_secs(1));
    store.set_for(&ending, &key("c"), Bytes::from_static(b"3"), ends).await.expect("set");
    let all = async |size: u32| {
        let (mut found, mut after) = (Vec::new(), Some(before.clone()));
        loop {
            let page = store.namespaces(after.as_ref(), limit(size)).await.expect("name spaces are listed");
            assert!(page.found.len() <= size as usize, "a page has {size} at most");
            after = page.found.last().map(|(name, _)| name.clone());
            found.extend(page.found.into_iter().filter(|(name, _)| name.as_str().starts_with("conformance listed")));
            if !page.more {
                return found;
            }
        }
    };
    let written = [(&one, held), (&ending, Usage { keys: 1, bytes: 2 }), (&other, held), (&strange, held)];
    for size in [1, 2, 4, 1_000] {
        assert_eq!(all(size).await, written.map(|(name, usage)| (name.clone(), usage)), "in pages of {size}");
    }
    clock.advance(Duration::from_secs(2));
    let left = [&one, &other, &strange].map(|name| (name.clone(), held));
    for size in [1, 1_000] {
        assert_eq!(all(size).await, left, "one whose values have ended holds nothing");
    }

    let version = store.get(&one, &key("a")).await.expect("get").expect("there").version;
    assert_eq!(store.clear(&one).await.expect("clear"), held);
    assert_eq!(store.clear(&one).await.expect("clear"), Usage::default(), "it is empty already");
    assert_eq!(store.clear(&space("listed never")).await.expect("clear"), Usage::default());
    assert_eq!(all(1_000).await, left[1..], "the others keep what they have");
    assert_eq!((value(store, &one, "a").await, listed(store, &one, "").await), (None, Vec::new()));
    assert_eq!(store.usage(&one).await.expect("usage"), Usage::default());
    // It begins anew, and is not taken for what it was.
    set(store, &one, "a", b"1").await;
    let again = store.swap(&one, &key("a"), Bytes::from_static(b"2"), Expected::At(version)).await;
    assert!(matches!(again, Err(Error::Conflict { found: Some(_), .. })), "{again:?}");
    assert_eq!(store.usage(&one).await.expect("usage"), Usage { keys: 1, bytes: 2 });
}

/// Neither keys nor bytes nor a value go over, whatever the way; what shrinks is welcome.
async fn a_quota_is_never_exceeded(store: &dyn Store, clock: &ManualClock) {
    let space = space("quota");
    let quota = Quota { value_bytes: 4, keys: 3, bytes: 12 };
    let set = |text: &str, value: &'static [u8]| Change::Set {
        key: key(text),
        value: Bytes::from_static(value),
        ends: Ends::Never,
        expected: Expected::Anything,
    };
    let count = |by| Change::Increment { key: key("n"), by, within: i64::MIN..=i64::MAX, ends: Ends::Never };
    let apply = async |changes: Vec<Change>, quota| store.apply(&space, changes, quota).await;
    let usage = async || store.usage(&space).await.expect("usage");

    let large = apply(vec![set("a", b"12345")], quota).await;
    assert!(matches!(large, Err(Error::TooLarge { what: "value", found: 5, allowed: 4, .. })), "{large:?}");
    let large = apply(vec![count(10_000)], quota).await;
    assert!(matches!(large, Err(Error::TooLarge { what: "value", .. })), "a sum is a value: {large:?}");
    apply(vec![set("a", b"1234"), set("b", b"1234")], quota).await.expect("10 of 12 bytes");
    let full = apply(vec![set("c", b"12")], quota).await;
    assert!(matches!(full, Err(Error::Full { unit: "bytes", found: 13, allowed: 12 })), "{full:?}");
    let full = apply(vec![count(10)], quota).await;
    assert!(matches!(full, Err(Error::Full { unit: "bytes", .. })), "{full:?}");
    apply(vec![count(1)], quota).await.expect("12 of 12 bytes, 3 of 3 keys");
    let full = apply(vec![count(9)], quota).await;
    assert!(matches!(full, Err(Error::Full { unit: "bytes", found: 13, .. })), "a sum grows: {full:?}");
    let full = apply(vec![set("", b"")], quota).await;
    assert!(matches!(full, Err(Error::Full { unit: "keys", found: 4, allowed: 3 })), "{full:?}");
    assert_eq!(usage().await, Usage { keys: 3, bytes: 12 }, "what was refused is not there");
    apply(vec![set("d", b""), Change::Delete { key: key("a"), expected: Expected::Anything }], quota)
        .await
        .expect("a batch is weighed as a whole");
    assert_eq!(usage().await, Usage { keys: 3, bytes: 8 });
    // A limit that was lowered: what does not add is welcome.
    let lowered = Quota { keys: 1, bytes: 3, ..quota };
    apply(vec![set("b", b"123")], lowered).await.expect("it shrinks");
    let full = apply(vec![set("b", b"1234")], lowered).await;
    assert!(matches!(full, Err(Error::Full { unit: "bytes", .. })), "{full:?}");
    let full = apply(vec![set("e", b"")], lowered).await;
    assert!(matches!(full, Err(Error::Full { unit: "keys", .. })), "{full:?}");
    // What has ended makes room.
    let apply_ending = |text: &str| Change::Set {
        key: key(text),
        value: Bytes::from_static(b"1234"),
        ends: Ends::After(Duration::from_secs(1)),
        expected: Expected::Anything,
    };
    store.delete_many(&space, ["b", "d", "n"].map(key).into()).await.expect("delete");
    apply(vec![apply_ending("x"), apply_ending("y")], quota).await.expect("10 bytes");
    assert!(apply(vec![set("z", b"1234")], quota).await.is_err(), "there is no room");
    clock.advance(Duration::from_secs(1));
    apply(vec![set("z", b"1234")], quota).await.expect("there is room");
    assert_eq!(usage().await, Usage { keys: 1, bytes: 5 });
}

/// Values that are together too large are refused, not read.
async fn reading_at_once_is_bounded(store: &dyn Store) {
    let space = space("reading");
    store.set_many(&space, ["a", "b"].map(|text| (key(text), Bytes::from(vec![0; 1_000]))).into()).await.expect("set");
    let one = async |text, bytes_max| store.get_one(&space, &key(text), bytes_max).await;
    assert!(one("a", 1_000).await.expect("as much as is allowed").is_some());
    assert!(one("absent", 0).await.expect("nothing is allowed").is_none());
    let refused = one("a", 999).await;
    assert!(matches!(refused, Err(Error::TooLarge { found: 1_000, allowed: 999, .. })), "{refused:?}");
    let keys = ["a", "absent", "b"].map(key);
    assert_eq!(store.get_many(&space, &keys, 2_000).await.expect("as much as is allowed").len(), 3);
    let refused = store.get_many(&space, &keys, 1_999).await;
    assert!(matches!(refused, Err(Error::TooLarge { found: 2_000, allowed: 1_999, .. })), "{refused:?}");
}

/// Increments and swaps of several writers at once add up.
async fn writers_at_once_lose_nothing(store: &dyn Store) {
    const WRITERS: usize = 8;
    const TIMES: usize = 25;
    let space = space("writers");
    let (by_increment, by_swap) = (key("by increment"), key("by swap"));
    let writer = async |_: usize| -> Result<()> {
        for _ in 0..TIMES {
            store.increment(&space, &by_increment, 1).await?;
            loop {
                let found = store.get(&space, &by_swap).await?;
                let number = found.as_ref().map_or(0, |entry| number(&entry.value));
                let expected = found.map_or(Expected::Absent, |entry| Expected::At(entry.version));
                match store.swap(&space, &by_swap, Bytes::from((number + 1).to_string()), expected).await {
                    Err(Error::Conflict { .. }) => {}
                    other => break other.map(drop)?,
                }
            }
        }
        Ok(())
    };
    // Polled in turns on this task: a store that gives way gives way to the next writer.
    let mut writers: Vec<_> = (0..WRITERS).map(|number| Box::pin(writer(number))).collect();
    std::future::poll_fn(|context| {
        let mut failed = None;
        writers.retain_mut(|writer| match writer.as_mut().poll(context) {
            std::task::Poll::Ready(Err(error)) => {
                failed = Some(error);
                false
            }
            other => other.is_pending(),
        });
        assert!(failed.is_none(), "{failed:?}");
        match writers.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    for key in [&by_increment, &by_swap] {
        let sum = store.get(&space, key).await.expect("get").map(|entry| number(&entry.value));
        assert_eq!(sum, Some((WRITERS * TIMES) as i64), "{key}");
    }
}

fn number(value: &Bytes) -> i64 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).expect("a number")
}
