//! Guests over both drafts of `wasi:keyvalue`: what they may, what they may not, what it costs.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use runner_core::{Ending, ErrorKind, Grants, LimitKind, Limits, Service};
use runner_host_kv::{
    Change, Done, Entry, Key, Kv, MemoryStore, Namespace, Namespaces, Page, Quota, Result, Store, StoreExt, Usage,
    conformance::STRANGE_KEYS,
};
use serde_json::{Value, json};

use crate::support::{Lent, answer, backends, executor, granted, load};

/// The guests that do the same over either draft.
const DRAFTS: [&str; 2] = ["kv-draft", "kv-draft2"];

#[tokio::test]
async fn without_a_grant_a_guest_does_not_load_and_the_error_says_what_to_grant() {
    let executor = executor(Kv::new(MemoryStore::new()));
    for guest in DRAFTS {
        let error = executor.load(runner_guests::get(guest), &Grants::none()).await.expect_err("nothing is granted");
        assert_eq!(error.kind(), ErrorKind::Denied);
        for words in ["import `wasi:keyvalue/", "is not granted: capability `kv` serves it"] {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
    let wrong = Grants::none().grant("kv", json!({ "stores": { "default": { "name": "shop" } } }));
    let error = executor.load(runner_guests::get("kv-draft"), &wrong).await.expect_err("the grant is misspelt");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("grant for `kv` does not fit its schema: unknown field `name`"), "{error}");
}

#[tokio::test]
async fn every_interface_of_both_drafts_and_our_own_is_served() {
    let executor = executor(Kv::new(MemoryStore::new()));
    let mut served = Vec::new();
    for guest in ["kv-draft", "kv-draft2", "kv-counter", "kv-limiter", "kv-sessions"] {
        let explained = executor.explain(runner_guests::get(guest), &granted(json!({}))).await.expect("explained");
        for import in explained.imports.iter().filter(|import| !import.name.starts_with("wasi:cli")) {
            if import.name.contains("kv") || import.name.contains("keyvalue") {
                assert_eq!(import.service, Service::Granted { capability: "kv".to_owned() }, "{}", import.name);
                served.push(import.name.clone());
            }
        }
    }
    served.sort();
    served.dedup();
    let all = [
        "runner:kv/store@0.1.0",
        "wasi:keyvalue/atomics@0.2.0-draft",
        "wasi:keyvalue/atomics@0.2.0-draft2",
        "wasi:keyvalue/batch@0.2.0-draft",
        "wasi:keyvalue/batch@0.2.0-draft2",
        "wasi:keyvalue/store@0.2.0-draft",
        "wasi:keyvalue/store@0.2.0-draft2",
    ];
    assert_eq!(served, all);
}

#[tokio::test]
async fn every_function_of_both_drafts_does_what_it_says_on_both_backends() {
    for guest in DRAFTS {
        for (backend, store, _folder) in backends() {
            let lent = Lent::new(store, guest, json!({})).await;
            let what = format!("{guest} on {backend}");
            assert_eq!(lent.value("read", json!(["default", "a"])).await, json!(null), "{what}");
            lent.value("write", json!(["default", "a", "one"])).await;
            assert_eq!(lent.value("read", json!(["default", "a"])).await, json!("one"), "{what}");
            assert_eq!(lent.value("has", json!(["default", "a"])).await, json!(true), "{what}");
            lent.value("remove", json!(["default", "a"])).await;
            lent.value("remove", json!(["default", "a"])).await;
            assert_eq!(lent.value("has", json!(["default", "a"])).await, json!(false), "{what}");
            lent.value("write-many", json!(["default", [["b", "2"], ["c", "3"], ["d", "4"]]])).await;
            let found = lent.value("read-many", json!(["default", ["d", "a", "b", "d"]])).await;
            assert_eq!(found, json!(["4", null, "2", "4"]), "{what}");
            lent.value("remove-many", json!(["default", ["b", "absent"]])).await;
            assert_eq!(lent.value("pages", json!(["default", false])).await, json!([["c", "d"]]), "{what}");
            assert_eq!(lent.value("add", json!(["default", "c", 7])).await, json!(10), "{what}");
            assert_eq!(lent.value("read", json!(["default", "c"])).await, json!("10"), "{what}");
        }
    }
}

#[tokio::test]
async fn what_a_number_cannot_be_is_told_in_words() {
    let draft = Lent::new(MemoryStore::new(), "kv-draft", json!({})).await;
    let draft2 = Lent::new(MemoryStore::new(), "kv-draft2", json!({})).await;
    for lent in [&draft, &draft2] {
        lent.value("write", json!(["default", "text", "ten"])).await;
        let words = lent.answer("add", json!(["default", "text", 1])).await.expect_err("it is no number");
        assert_eq!(words, "key `text` does not hold a whole number in decimal digits");
        lent.value("write", json!(["default", "most", i64::MAX.to_string()])).await;
        let words = lent.answer("add", json!(["default", "most", 1])).await.expect_err("there is no such number");
        assert!(words.starts_with("key `most` cannot be incremented: the sum would leave "), "{words}");
    }
    assert_eq!(draft2.value("add", json!(["default", "n", -3])).await, json!(-3), "the second draft has a sign");
    draft.value("write", json!(["default", "n", "-3"])).await;
    let words = draft.answer("add", json!(["default", "n", 1])).await.expect_err("the first draft has none");
    assert_eq!(words, "key `n` cannot be incremented: the sum would leave 0..=9223372036854775807");
    assert_eq!(draft.value("read", json!(["default", "n"])).await, json!("-3"), "and nothing was written");
}

#[tokio::test]
async fn a_store_that_is_not_granted_is_no_store() {
    for guest in DRAFTS {
        let lent = Lent::new(MemoryStore::new(), guest, json!({})).await;
        for name in ["", "other", "tests", "Default", "default\0", "../default"] {
            for (function, args) in [("read", json!([name, "a"])), ("write", json!([name, "a", "1"]))] {
                assert_eq!(lent.answer(function, args).await, Err("no-such-store".to_owned()), "{guest} {name:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_grant_for_reading_refuses_every_write_and_changes_nothing() {
    for guest in DRAFTS {
        for (backend, store, _folder) in backends() {
            let lent = Lent::new(store.clone(), guest, json!({ "mode": "read-only" })).await;
            let space = Namespace::new("tests").expect("a name");
            store.set(&space, &Key::new("a").expect("short"), "1".into()).await.expect("set");
            for (function, args) in [
                ("write", json!(["default", "a", "2"])),
                ("remove", json!(["default", "a"])),
                ("write-many", json!(["default", [["a", "2"]]])),
                ("remove-many", json!(["default", ["a"]])),
                ("add", json!(["default", "a", 1])),
                ("pages", json!(["default", true])),
            ] {
                let refused = lent.answer(function, args).await;
                assert_eq!(refused, Err("access-denied".to_owned()), "{guest} on {backend}: {function}");
            }
            assert_eq!(lent.value("read", json!(["default", "a"])).await, json!("1"));
            assert_eq!(lent.value("read-many", json!(["default", ["a"]])).await, json!(["1"]));
            assert_eq!(lent.value("pages", json!(["default", false])).await, json!([["a"]]));
        }
    }
    let counter = Lent::new(MemoryStore::new(), "kv-counter", json!({ "mode": "read-only" })).await;
    for function in ["add", "add-by-swap"] {
        let refused = counter.answer(function, json!(["default", "n", 1])).await;
        assert_eq!(refused, Err("access-denied".to_owned()), "{function}");
    }
}

#[tokio::test]
async fn what_is_over_a_limit_is_told_with_both_numbers() {
    let limits = json!({ "limits": {
        "key_bytes": 4, "value_bytes": 8, "keys": 2, "bytes": 12, "batch_keys": 2, "batch_bytes": 10
    } });
    for guest in DRAFTS {
        for (backend, store, _folder) in backends() {
            let lent = Lent::new(store, guest, limits.clone()).await;
            for (function, args, words) in [
                ("write", json!(["default", "12345", ""]), "key has 5 bytes, 4 are allowed"),
                ("read", json!(["default", "12345"]), "key has 5 bytes, 4 are allowed"),
                ("add", json!(["default", "12345", 1]), "key has 5 bytes, 4 are allowed"),
                ("read-many", json!(["default", ["12345"]]), "key has 5 bytes, 4 are allowed"),
                ("write", json!(["default", "a", "123456789"]), "value has 9 bytes, 8 are allowed"),
                ("write-many", json!(["default", [["a", "123456789"]]]), "value has 9 bytes, 8 are allowed"),
                ("add", json!(["default", "n", 123_456_789]), "value has 9 bytes, 8 are allowed"),
                (
                    "write-many",
                    json!(["default", [["a", ""], ["b", ""], ["c", ""]]]),
                    "batch has 3 keys, 2 are allowed",
                ),
                (
                    "write-many",
                    json!(["default", [["a", "12345"], ["b", "12345"]]]),
                    "batch has 12 bytes, 10 are allowed",
                ),
                ("remove-many", json!(["default", ["a", "b", "c"]]), "batch has 3 keys, 2 are allowed"),
            ] {
                let refused = lent.answer(function, args.clone()).await;
                assert_eq!(refused, Err(words.to_owned()), "{guest} on {backend}: {function} {args}");
            }
            assert_eq!(lent.value("pages", json!(["default", false])).await, json!([[]]), "nothing of it was written");
            lent.value("write", json!(["default", "a", "12345678"])).await;
            let full = lent.answer("write", json!(["default", "b", "123"])).await;
            assert_eq!(full, Err("the store would hold 13 bytes, 12 are allowed".to_owned()));
            lent.value("write", json!(["default", "b", ""])).await;
            let full = lent.answer("add", json!(["default", "c", 1])).await;
            assert_eq!(full, Err("the store would hold 3 keys, 2 are allowed".to_owned()));
        }
    }
}

#[tokio::test]
async fn no_key_leaves_its_name_space() {
    for (_, store, _folder) in backends() {
        let executor = executor(Kv::new(store));
        let of = |namespace: &str| granted(json!({ "namespace": namespace }));
        let spaces = ["one", "one/", "../one", "one\0"];
        let mut programs = Vec::new();
        for space in spaces {
            programs.push(load(&executor, "kv-draft2", &of(space)).await);
        }
        for (space, program) in spaces.iter().zip(&programs) {
            let values: Vec<_> = STRANGE_KEYS.iter().map(|key| (key, format!("{key} of {space}"))).collect();
            let written = program.call("write-many").args(json!(["default", values])).run().await.expect("it runs");
            answer(written).expect("every text is a key");
        }
        for (space, program) in spaces.iter().zip(&programs) {
            let found = program.call("read-many").args(json!(["default", STRANGE_KEYS])).run().await.expect("it runs");
            let own: Vec<_> = STRANGE_KEYS.iter().map(|key| format!("{key} of {space}")).collect();
            assert_eq!(answer(found), Ok(json!(own)));
        }
        let emptied = programs[0].call("pages").args(json!(["default", true])).run().await.expect("it runs");
        answer(emptied).expect("every key can be deleted");
        for (number, program) in programs.iter().enumerate() {
            let pages = program.call("pages").args(json!(["default", false])).run().await.expect("it runs");
            let keys = answer(pages).expect("keys are listed")[0].as_array().expect("a page").len();
            assert_eq!(keys, if number == 0 { 0 } else { STRANGE_KEYS.len() }, "in {:?}", spaces[number]);
        }
    }
}

#[tokio::test]
async fn programs_share_what_they_are_granted_under_one_name_space_and_stores_may_have_several() {
    let kv = Kv::new(MemoryStore::new()).backend("other", MemoryStore::new());
    let executor = executor(kv);
    let grants = Grants::none().grant(
        "kv",
        json!({ "stores": {
            "mine": { "namespace": "mine" },
            "shared": { "namespace": "shared" },
            "readable": { "namespace": "shared", "mode": "read-only" },
            "elsewhere": { "namespace": "shared", "backend": "other" },
        } }),
    );
    let one = load(&executor, "kv-draft", &grants).await;
    let two = load(&executor, "kv-draft2", &granted(json!({ "namespace": "shared" }))).await;
    let written = one.call("write").args(json!(["shared", "a", "1"])).run().await.expect("it runs");
    answer(written).expect("it is granted for writing");
    let seen = async |program: &runner_core::Program, store: &str| {
        answer(program.call("read").args(json!([store, "a"])).run().await.expect("it runs")).expect("it is granted")
    };
    assert_eq!(seen(&two, "default").await, json!("1"), "another program, draft and name");
    assert_eq!(seen(&one, "readable").await, json!("1"));
    assert_eq!(seen(&one, "mine").await, Value::Null);
    assert_eq!(seen(&one, "elsewhere").await, Value::Null, "a name space is of its backend");

    let nowhere = granted(json!({ "backend": "redis" }));
    let error = executor.check(&nowhere).expect_err("there is no such backend");
    let words = "the grant puts store `default` on backend `redis`, this host has `other`";
    assert_eq!(error.to_string(), words);
}

#[tokio::test]
async fn a_listing_gives_every_key_once_in_pages_also_while_they_are_removed() {
    for guest in DRAFTS {
        for (backend, store, _folder) in backends() {
            let lent = Lent::new(store, guest, json!({ "limits": { "page_keys": 10 } })).await;
            let keys: Vec<_> = (0..25).map(|number| format!("{number:02}")).collect();
            let values: Vec<_> = keys.iter().map(|key| (key, "x")).collect();
            lent.value("write-many", json!(["default", values])).await;
            for remove in [false, true] {
                let pages = lent.value("pages", json!(["default", remove])).await;
                assert_eq!(pages, json!([&keys[..10], &keys[10..20], &keys[20..]]), "{guest} on {backend}");
            }
            assert_eq!(lent.value("pages", json!(["default", false])).await, json!([[]]), "{guest} on {backend}");
        }
    }
}

#[tokio::test]
async fn calls_and_bytes_are_on_the_bill() {
    let lent = Lent::new(MemoryStore::new(), "kv-draft2", json!({})).await;
    let used = async |function: &str, args: Value| {
        let usage = lent.outcome(function, args).await.usage;
        let (id, used) = &usage.capabilities[0];
        assert_eq!((id.as_str(), usage.capabilities.len()), ("kv", 1));
        (used.calls, used.bytes_in, used.bytes_out)
    };
    // Opening a store is a call, and so is letting go of it.
    assert_eq!(used("write", json!(["default", "key", "value"])).await, (3, 0, 8));
    assert_eq!(used("read", json!(["default", "key"])).await, (3, 5, 0));
    assert_eq!(used("has", json!(["default", "key"])).await, (3, 0, 0));
    assert_eq!(used("write-many", json!(["default", [["a", "1"], ["b", "22"]]])).await, (3, 0, 5));
    assert_eq!(used("read-many", json!(["default", ["a", "b", "c"]])).await, (3, 3, 0));
    assert_eq!(used("pages", json!(["default", false])).await, (3, 5, 0));
    assert_eq!(used("add", json!(["default", "sum", 1])).await, (3, 0, 3));
    assert_eq!(used("remove-many", json!(["default", ["a", "b"]])).await, (3, 0, 2));
}

#[tokio::test]
async fn bytes_beyond_the_calls_own_limit_stop_the_guest_before_they_are_written() {
    let lent = Lent::new(MemoryStore::new(), "kv-draft2", json!({})).await;
    let limits = |bytes| Limits { host_bytes: bytes, ..Limits::default() };
    let write = |bytes| lent.program.call("write").args(json!(["default", "k", "12345"])).limits(limits(bytes)).run();
    let stopped = write(5).await.expect("the host does its part");
    assert!(matches!(stopped.ending, Ending::Exhausted(limit) if limit.kind == LimitKind::HostBytes), "{stopped:?}");
    assert_eq!(lent.value("has", json!(["default", "k"])).await, json!(false));
    assert!(write(6).await.expect("the host does its part").ending.is_returned());
    let read = |bytes| lent.program.call("read").args(json!(["default", "k"])).limits(limits(bytes)).run();
    let stopped = read(4).await.expect("the host does its part");
    assert!(matches!(stopped.ending, Ending::Exhausted(limit) if limit.kind == LimitKind::HostBytes), "{stopped:?}");
    assert!(read(5).await.expect("the host does its part").ending.is_returned());
}

#[tokio::test]
async fn what_a_call_has_written_stays_whatever_becomes_of_the_call() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let lent = Lent::new(store, "kv-draft2", json!({ "limits": { "key_bytes": 3 } })).await;
    lent.value("write", json!(["default", "a", "1"])).await;
    lent.answer("read", json!(["default", "long"])).await.expect_err("the call fails");
    assert_eq!(lent.value("read", json!(["default", "a"])).await, json!("1"));
    lent.executor.shutdown().await;
}

#[tokio::test]
async fn a_swap_is_begun_without_reading_the_value() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (space, key) = (Namespace::new("tests").expect("a name"), Key::new("a").expect("a key"));
    // More than this guest may read at once: a neighbour's grant was larger.
    store.set(&space, &key, vec![b'x'; 100].into()).await.expect("set");
    let limits = json!({ "limits": { "value_bytes": 20, "batch_bytes": 20 } });
    let lent = Lent::new(store, "kv-counter", limits).await;
    let refused = lent.answer("add-by-swap", json!(["default", "a", 1])).await.expect_err("it reads the value");
    assert!(refused.contains("100 bytes"), "{refused}");
    assert_eq!(lent.value("lose-then-win", json!(["default", "a"])).await, json!("mine"));
}

/// A store that is away: it says so, or does not answer at all.
struct Away {
    answers: bool,
}

impl Away {
    async fn answer<T>(&self) -> Result<T> {
        match self.answers {
            true => Err(runner_host_kv::Error::unavailable("the store is away").caused_by("host 10.0.0.7 is down")),
            false => std::future::pending().await,
        }
    }
}

#[runner_host_kv::async_trait]
impl Store for Away {
    async fn get_many(&self, _: &Namespace, _: &[Key], _: u64) -> Result<Vec<Option<Entry>>> {
        self.answer().await
    }
    async fn exists(&self, _: &Namespace, _: &Key) -> Result<bool> {
        self.answer().await
    }
    async fn list(&self, _: &Namespace, _: &str, _: Option<&Key>, _: NonZeroU32) -> Result<Page> {
        self.answer().await
    }
    async fn apply(&self, _: &Namespace, _: Vec<Change>, _: Quota) -> Result<Vec<Done>> {
        self.answer().await
    }
    async fn usage(&self, _: &Namespace) -> Result<Usage> {
        self.answer().await
    }
    async fn namespaces(&self, _: Option<&Namespace>, _: NonZeroU32) -> Result<Namespaces> {
        self.answer().await
    }
    async fn clear(&self, _: &Namespace) -> Result<Usage> {
        self.answer().await
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_an_answer_without_the_hosts_reasons() {
    let calls = [
        ("read", json!(["default", "a"])),
        ("has", json!(["default", "a"])),
        ("write", json!(["default", "a", "1"])),
        ("pages", json!(["default", false])),
        ("read-many", json!(["default", ["a"]])),
        ("add", json!(["default", "a", 1])),
    ];
    for guest in DRAFTS {
        let lent = Lent::new(Away { answers: true }, guest, json!({})).await;
        for (function, args) in calls.clone() {
            assert_eq!(lent.answer(function, args).await, Err("the store is away".to_owned()), "{guest} {function}");
        }
    }
    let ours = Lent::new(Away { answers: true }, "kv-sessions", json!({})).await;
    assert_eq!(ours.value("set-error", json!(["default", "a", 1])).await, json!("unavailable: the store is away"));
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_waited_for_until_the_deadline() {
    let lent = Lent::new(Away { answers: false }, "kv-draft2", json!({})).await;
    let limits = Limits { deadline: Duration::from_millis(50), ..Limits::default() };
    let call = lent.program.call("read").args(json!(["default", "a"])).limits(limits).run();
    let stopped = call.await.expect("the host does its part");
    assert!(matches!(stopped.ending, Ending::Exhausted(limit) if limit.kind == LimitKind::Deadline), "{stopped:?}");
}
