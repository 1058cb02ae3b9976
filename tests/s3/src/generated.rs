//! Keys that nobody stored: name, size and bytes are computed from a number, so that a bucket of a million keys costs nothing.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::content::{Content, mixed};
use crate::store::Object;

/// A run of keys that are computed. They can be listed and read, not deleted; what is stored under one of their names hides it.
#[derive(Clone)]
pub struct Generated {
    name: Arc<dyn Fn(u64) -> String + Send + Sync>,
    count: u64,
    bytes: u64,
    seed: u64,
}

impl Generated {
    /// `count` keys named by `name`, which must grow with the number that it is given, in the order of bytes; each of `bytes`
    /// bytes, of the [`pattern`](crate::pattern) of `seed` plus its number.
    pub fn new(count: u64, bytes: u64, seed: u64, name: impl Fn(u64) -> String + Send + Sync + 'static) -> Self {
        Self { name: Arc::new(name), count, bytes, seed }
    }

    /// `count` keys of a prefix and eight digits.
    pub fn numbered(prefix: &str, count: u64, bytes: u64) -> Self {
        let prefix = prefix.to_owned();
        Self::new(count, bytes, 0, move |number| format!("{prefix}{number:08}"))
    }

    /// The key of a number; none past the last.
    pub(crate) fn name(&self, number: u64) -> Option<String> {
        (number < self.count).then(|| (self.name)(number))
    }

    /// The number of the first key that is `key` or stands behind it.
    pub(crate) fn seek(&self, key: &str) -> u64 {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if (self.name)(middle).as_str() < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub(crate) fn find(&self, key: &str) -> Option<Arc<Object>> {
        let number = self.seek(key);
        (self.name(number)? == key).then(|| self.object(number))
    }

    pub(crate) fn object(&self, number: u64) -> Arc<Object> {
        let seed = self.seed.wrapping_add(number);
        let etag = format!("{:016x}{:016x}", mixed(seed), mixed(!seed ^ self.bytes));
        // The first of January 2026: they are as old as each other.
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        Arc::new(Object::new(Content::Computed { seed, len: self.bytes }, etag, modified))
    }
}

impl fmt::Debug for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys of {} bytes", self.count, self.bytes)
    }
}
