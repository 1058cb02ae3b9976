//! A key-value store as a test sees it: beside the guest, on a way that no fault lies on.

use std::num::NonZeroU32;

use bytes::Bytes;
use futures::FutureExt;
use runner_host_kv::{Entry, Key, MemoryStore, Namespace, StoreExt, Usage};
use serde::de::DeserializeOwned;

use crate::fault::{Fault, Faulty, Place};

/// One store of a host, by the name that guests open it under. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Keys {
    name: String,
    namespace: Namespace,
    store: Faulty<MemoryStore>,
}

impl Keys {
    pub(crate) fn new(name: String, namespace: Namespace, store: Faulty<MemoryStore>) -> Self {
        Keys { name, namespace, store }
    }

    /// Puts a fault into this store. It meets guests, and never the test itself.
    ///
    /// # Panics
    /// Where it could never happen here, such as one of a [`path`](Fault::path).
    #[track_caller]
    pub fn fail(&self, fault: Fault) {
        fault.check(Place::Store);
        self.store.fail(fault.within(self.namespace.clone()));
    }

    /// Takes the faults of all stores of the host away.
    pub fn mend(&self) {
        self.store.mend();
    }

    /// How often faults have happened, in all stores of the host, since they were put in.
    pub fn faults_happened(&self) -> u64 {
        self.store.happened()
    }

    /// Sets a value, for a guest to find.
    ///
    /// # Panics
    /// Where the key is over 8 KiB.
    #[track_caller]
    pub fn set(&self, key: &str, value: impl Into<Bytes>) {
        at_once(self.store.sound().set(&self.namespace, &parsed(key), value.into()));
    }

    /// Removes a key, and says whether it was there.
    #[track_caller]
    pub fn remove(&self, key: &str) -> bool {
        at_once(self.store.sound().delete(&self.namespace, &parsed(key)))
    }

    /// The value of a key.
    #[track_caller]
    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.entry(key).map(|entry| entry.value)
    }

    /// The value of a key, with its version and the time that it has left.
    #[track_caller]
    pub fn entry(&self, key: &str) -> Option<Entry> {
        at_once(self.store.sound().get(&self.namespace, &parsed(key)))
    }

    /// The value of a key, read from JSON.
    ///
    /// # Panics
    /// Where the key is absent, or its value is not JSON of that type.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self, key: &str) -> T {
        match self.get(key) {
            Some(value) => crate::server::read(&format!("key `{key}`"), &value),
            None => panic!("key `{key}` is absent\n  {}", self.shown()),
        }
    }

    /// All keys, in the order of their bytes; the first 10,000.
    #[track_caller]
    pub fn keys(&self) -> Vec<String> {
        use runner_host_kv::Store;
        let limit = NonZeroU32::new(10_000).expect("it is not zero");
        let page = at_once(self.store.sound().list(&self.namespace, "", None, limit));
        page.keys.iter().map(|key| key.as_str().to_owned()).collect()
    }

    /// How much the store holds.
    #[track_caller]
    pub fn usage(&self) -> Usage {
        use runner_host_kv::Store;
        at_once(self.store.sound().usage(&self.namespace))
    }

    /// Holds the value of a key against what was expected.
    ///
    /// # Panics
    /// Where it is absent, or another: with both, and the keys that there are.
    #[track_caller]
    pub fn assert_holds(&self, key: &str, expected: impl AsRef<[u8]>) -> &Self {
        let (found, expected) = (self.get(key), expected.as_ref());
        if found.as_deref() != Some(expected) {
            let found = found.map_or_else(|| "nothing, it is absent".to_owned(), |found| text(&found));
            panic!("key `{key}`\n  expected: {}\n  found:    {found}\n  {}", text(expected), self.shown());
        }
        self
    }

    /// Holds all keys against what was expected, in the order of their bytes.
    ///
    /// # Panics
    /// Where they are others.
    #[track_caller]
    pub fn assert_keys<'a>(&self, expected: impl IntoIterator<Item = &'a str>) -> &Self {
        let (expected, found): (Vec<_>, _) = (expected.into_iter().collect(), self.keys());
        assert!(
            found == expected,
            "the keys of store `{}`\n  expected: {expected:?}\n  found:    {found:?}",
            self.name
        );
        self
    }

    fn shown(&self) -> String {
        format!("store `{}` holds: {:?}", self.name, self.keys())
    }
}

#[track_caller]
fn parsed(key: &str) -> Key {
    Key::new(key).unwrap_or_else(|error| panic!("key `{}..`: {error}", &key[..key.floor_char_boundary(100)]))
}

/// A store in memory never waits for anything.
#[track_caller]
fn at_once<T>(asked: impl Future<Output = runner_host_kv::Result<T>>) -> T {
    let answer = asked.now_or_never().expect("a store in memory answers at once");
    answer.unwrap_or_else(|error| panic!("{error}"))
}

/// Bytes as one reads them.
pub(crate) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("{bytes:?}"),
    }
}
