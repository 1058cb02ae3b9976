//! What is kept within a number of bytes: what was used longest ago goes first, and nobody takes more than a share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

/// Whose something is: the name of a share, and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) of: Arc<str>,
    pub(crate) bytes: u64,
}

/// Where counting begins: neither way reaches its end.
const MIDDLE: u64 = 1 << 63;

/// Things with keys and weights.
pub(crate) struct Lru<K, V> {
    bytes_max: u64,
    held: u64,
    /// Bytes that things may not take for now.
    aside: u64,
    things: HashMap<K, Thing<V>>,
    /// By when they were last used.
    order: BTreeMap<u64, K>,
    owners: HashMap<Arc<str>, Owner>,
    /// When a thing was last used is counted up from the middle, and down where it is to go first.
    now: u64,
    first: u64,
}

struct Thing<V> {
    value: V,
    bytes: u64,
    owner: Arc<str>,
    used: u64,
}

#[derive(Default)]
struct Owner {
    held: u64,
    order: BTreeSet<u64>,
}

impl<K: Clone + Eq + Hash, V: Clone> Lru<K, V> {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let (things, order, owners) = (HashMap::new(), BTreeMap::new(), HashMap::new());
        Lru { bytes_max, held: 0, aside: 0, things, order, owners, now: MIDDLE, first: MIDDLE }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        self.now += 1;
        let thing = self.things.get_mut(key)?;
        let before = std::mem::replace(&mut thing.used, self.now);
        if let Some(owner) = self.owners.get_mut(&thing.owner) {
            owner.order.remove(&before);
            owner.order.insert(self.now);
        }
        let key = self.order.remove(&before)?;
        self.order.insert(self.now, key);
        Some(thing.value.clone())
    }

    /// Nobody is likely to want a thing again: it goes before all others.
    pub(crate) fn demote(&mut self, key: &K) {
        let Some(thing) = self.things.get_mut(key) else { return };
        self.first -= 1;
        let before = std::mem::replace(&mut thing.used, self.first);
        if let Some(owner) = self.owners.get_mut(&thing.owner) {
            owner.order.remove(&before);
            owner.order.insert(self.first);
        }
        if let Some(key) = self.order.remove(&before) {
            self.order.insert(self.first, key);
        }
    }

    pub(crate) fn has(&self, key: &K) -> bool {
        self.things.contains_key(key)
    }

    /// Whether a thing of so many bytes is not too heavy, alone.
    pub(crate) fn may_hold(&self, bytes: u64) -> bool {
        bytes <= self.bytes_max
    }

    /// Keeps a thing, in the place of what has the key; answers what had to go, itself where it is too heavy.
    pub(crate) fn insert(&mut self, key: K, value: V, bytes: u64, share: &Share) -> Vec<(K, V)> {
        let mut gone = Vec::new();
        let most = self.bytes_max.min(share.bytes);
        if bytes > most {
            gone.extend(self.remove(&key).map(|value| (key.clone(), value)));
            gone.push((key, value));
            return gone;
        }
        self.remove(&key);
        while self.owners.get(&share.of).is_some_and(|owner| owner.held + bytes > share.bytes) {
            let oldest = self.owners.get(&share.of).and_then(|owner| owner.order.first().copied());
            if !self.drop_used(oldest, &mut gone) {
                break;
            }
        }
        self.make_room(bytes, &mut gone);
        self.now += 1;
        let owner = self.owners.entry(share.of.clone()).or_default();
        owner.held += bytes;
        owner.order.insert(self.now);
        self.held += bytes;
        self.order.insert(self.now, key.clone());
        self.things.insert(key, Thing { value, bytes, owner: share.of.clone(), used: self.now });
        gone
    }

    /// Keeps bytes free for something else; answers what had to go.
    pub(crate) fn set_aside(&mut self, bytes: u64) -> Vec<(K, V)> {
        let mut gone = Vec::new();
        self.aside += bytes;
        self.make_room(0, &mut gone);
        gone
    }

    /// The bytes are free for things again.
    pub(crate) fn take_back(&mut self, bytes: u64) {
        self.aside -= bytes;
    }

    fn make_room(&mut self, bytes: u64, gone: &mut Vec<(K, V)>) {
        while self.held + self.aside + bytes > self.bytes_max {
            let oldest = self.order.first_key_value().map(|(used, _)| *used);
            if !self.drop_used(oldest, gone) {
                break;
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let thing = self.things.remove(key)?;
        self.order.remove(&thing.used);
        self.held -= thing.bytes;
        if let Some(owner) = self.owners.get_mut(&thing.owner) {
            owner.order.remove(&thing.used);
            owner.held -= thing.bytes;
            if owner.order.is_empty() {
                self.owners.remove(&thing.owner);
            }
        }
        Some(thing.value)
    }

    fn drop_used(&mut self, used: Option<u64>, gone: &mut Vec<(K, V)>) -> bool {
        let Some(key) = used.and_then(|used| self.order.get(&used)).cloned() else { return false };
        let value = self.remove(&key);
        gone.extend(value.map(|value| (key, value)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(of: &str, bytes: u64) -> Share {
        Share { of: of.into(), bytes }
    }

    fn keys(gone: Vec<(&'static str, u8)>) -> Vec<&'static str> {
        gone.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut lru = Lru::new(30);
        let all = share("a", u64::MAX);
        for key in ["one", "two", "three"] {
            assert_eq!(keys(lru.insert(key, 0, 10, &all)), [""; 0]);
        }
        assert_eq!(lru.get(&"one"), Some(0));
        assert_eq!(keys(lru.insert("four", 0, 15, &all)), ["two", "three"]);
        assert!(lru.has(&"one") && lru.has(&"four") && !lru.has(&"two"));
        assert_eq!(lru.get(&"two"), None);
        assert_eq!(keys(lru.insert("heavy", 0, 31, &all)), ["heavy"], "what is too heavy drives nobody out");
        assert_eq!(keys(lru.insert("one", 1, 20, &all)), ["four"], "the same key again is weighed once");
        assert_eq!(lru.held, 20);
    }

    #[test]
    fn what_is_demoted_goes_before_what_was_not_used_for_long() {
        let mut lru = Lru::new(30);
        let all = share("a", u64::MAX);
        for key in ["one", "two", "three"] {
            lru.insert(key, 0, 10, &all);
        }
        lru.demote(&"three");
        lru.demote(&"unknown");
        assert_eq!(keys(lru.insert("four", 0, 10, &all)), ["three"]);
        lru.demote(&"four");
        assert_eq!(lru.get(&"four"), Some(0));
        assert_eq!(keys(lru.insert("five", 0, 10, &all)), ["one"], "who is wanted again stays");
    }

    #[test]
    fn what_is_set_aside_is_free_of_things_until_it_is_taken_back() {
        let mut lru = Lru::new(30);
        let all = share("a", u64::MAX);
        for key in ["one", "two", "three"] {
            lru.insert(key, 0, 10, &all);
        }
        assert_eq!(keys(lru.set_aside(15)), ["one", "two"]);
        assert_eq!(keys(lru.insert("four", 0, 10, &all)), ["three"]);
        lru.take_back(15);
        assert_eq!(keys(lru.insert("five", 0, 20, &all)), [""; 0]);
        // More than there is: then what came last is kept, and nothing beside it.
        assert_eq!(keys(lru.set_aside(40)), ["four", "five"]);
        lru.insert("six", 0, 10, &all);
        assert_eq!(keys(lru.insert("seven", 0, 10, &all)), ["six"]);
    }

    #[test]
    fn nobody_takes_more_than_a_share() {
        let mut lru = Lru::new(100);
        let (small, large) = (share("small", 20), share("large", 100));
        lru.insert("other", 0, 50, &large);
        lru.insert("one", 0, 10, &small);
        lru.insert("two", 0, 10, &small);
        assert_eq!(keys(lru.insert("three", 0, 10, &small)), ["one"], "its own goes, though another's is older");
        assert_eq!(keys(lru.insert("wide", 0, 21, &small)), ["wide"]);
        lru.remove(&"two");
        lru.remove(&"three");
        assert_eq!((lru.held, lru.owners.len(), lru.order.len()), (50, 1, 1));
    }
}
