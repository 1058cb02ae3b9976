//! Key-value stores (feature `kv`): bytes, JSON and numbers by key, values that end, changes that lose nobody's work.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use runner::{Failure, kv};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Cart {
//!     articles: Vec<String>,
//! }
//!
//! /// Puts an article into a customer's cart, which is kept for an hour after the last one.
//! #[runner::task]
//! fn put(customer: String, article: String) -> Result<usize, Failure> {
//!     let carts = kv::open("default")?.lasting(Duration::from_secs(3600));
//!     let cart = carts.update_json(&format!("cart/{customer}"), |cart: Option<Cart>| {
//!         let mut cart = cart.unwrap_or_default();
//!         cart.articles.push(article.clone());
//!         cart
//!     })?;
//!     Ok(cart.articles.len())
//! }
//! # fn main() {}
//! ```
//!
//! A store is opened by the name that it is granted under; the host says what lies behind it, and how much it may hold. It
//! is shared: other calls read and write it at the same time, so what depends on a value that was read is written by
//! [`Store::update`] and its kin, or by [`Store::write`] with the [`Version`] that was read.
//!
//! A write is done when it returns, whatever becomes of the call. Keys are text and in the order of their bytes; how long a
//! key and a value may be is in the grant (1,024 bytes and 1 MiB where it says nothing). Nothing here waits for long: an
//! error that [may go away](Error::is_retryable) is for whoever calls the task.
//!
//! A module that uses this imports `runner:kv/store@0.1.0`, and loads where it is granted `kv`. Run as a native program,
//! [`open`] answers [`ErrorKind::Unavailable`].

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::bindings::runner::kv::store as wit;

mod bindings {
    #![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated")]
    wit_bindgen::generate!({ path: "wit/kv", world: "runner:kv/imports", generate_all });
}

/// The result of everything that a store does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How often [`Store::update`] and its kin look again at a key that others change all the time.
///
/// Of those that change a key at once one succeeds each time, so that a hundred of them are done after a hundred rounds.
pub const ATTEMPTS_MAX: u32 = 1_000;

/// Opens a store by the name that it is granted under; most are granted as `default`.
///
/// [`ErrorKind::NoSuchStore`] where none is.
pub fn open(name: &str) -> Result<Store> {
    if !cfg!(target_family = "wasm") {
        let message = format!("store `{name}` is lent by a host: this is a native program, not a guest");
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    match wit::open(name) {
        Ok(bucket) => Ok(Store { bucket: Arc::new(bucket), name: name.into(), lasting: None }),
        Err(error) => Err(Error::told(error, name, "")),
    }
}

/// A store. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    bucket: Arc<wit::Bucket>,
    name: Arc<str>,
    lasting: Option<Duration>,
}

impl Store {
    /// The same store, where each value that is set ends after a time, in place of staying until it is deleted.
    ///
    /// A number that [`increment`](Store::increment) begins ends so too, and no later for being incremented.
    /// The time is rounded up to the millisecond; zero removes the key at once.
    ///
    /// ```no_run
    /// # use runner::kv;
    /// # use std::time::Duration;
    /// let sessions = kv::open("default")?.lasting(Duration::from_secs(30 * 60));
    /// sessions.set("session/7", "ann")?;
    /// # Ok::<(), kv::Error>(())
    /// ```
    #[must_use]
    pub fn lasting(&self, time: Duration) -> Store {
        Store { lasting: Some(time), ..self.clone() }
    }

    /// The value of a key; `None` where it is absent.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.entry(key)?.map(|entry| entry.value))
    }

    /// The value of a key, read from JSON; `None` where the key is absent.
    ///
    /// [`ErrorKind::NotJson`] where the value does not fit the type.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.get(key)?.map(|value| read(key, &value)).transpose()
    }

    /// The value of a key with its version and its end; `None` where the key is absent.
    pub fn entry(&self, key: &str) -> Result<Option<Entry>> {
        Ok(self.bucket.get(key).map_err(|error| self.told(error, key))?.map(Entry::from))
    }

    /// Whether a key is there, without its value.
    pub fn exists(&self, key: &str) -> Result<bool> {
        self.bucket.exists(key).map_err(|error| self.told(error, key))
    }

    /// Sets a value, whatever was there.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<()> {
        self.write(key, value, self.ends_or(Ends::Never), Expected::Anything).map(drop)
    }

    /// Sets a value to JSON, whatever was there.
    pub fn set_json<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<()> {
        self.set(key, json(key, value)?)
    }

    /// Sets a value where the key is absent; whether it was. Of many that try at once, one is told `true`.
    pub fn insert(&self, key: &str, value: impl AsRef<[u8]>) -> Result<bool> {
        match self.write(key, value, self.ends_or(Ends::Never), Expected::Absent) {
            Ok(_) => Ok(true),
            Err(error) if error.kind == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets a value that ends as told, where the key is as expected; the version that it is at.
    ///
    /// [`ErrorKind::Conflict`] where the key is not as expected.
    pub fn write(&self, key: &str, value: impl AsRef<[u8]>, ends: Ends, expected: Expected) -> Result<Version> {
        let written = self.bucket.set(key, value.as_ref(), ends.into(), expected.into());
        written.map(Version).map_err(|error| self.told(error, key))
    }

    /// Removes a key; whether it was there.
    pub fn delete(&self, key: &str) -> Result<bool> {
        self.delete_if(key, Expected::Anything)
    }

    /// Removes a key that is as expected; whether it was there.
    ///
    /// [`ErrorKind::Conflict`] where it is not as expected.
    pub fn delete_if(&self, key: &str, expected: Expected) -> Result<bool> {
        self.bucket.delete(key, expected.into()).map_err(|error| self.told(error, key))
    }

    /// Adds to a number, in one step; the sum. A key that is absent counts as 0. Numbers are kept as decimal digits.
    ///
    /// [`ErrorKind::NotANumber`] where the key holds anything else, [`ErrorKind::OutOfRange`] where the sum does not fit.
    pub fn increment(&self, key: &str, by: i64) -> Result<i64> {
        self.increment_within(key, by, i64::MIN..=i64::MAX)
    }

    /// The same, where the sum stays within bounds: [`ErrorKind::OutOfRange`] otherwise, and the number stays as it is.
    ///
    /// ```no_run
    /// # use runner::kv;
    /// # use std::time::Duration;
    /// // At most ten in a minute, counted from the first.
    /// let minute = kv::open("default")?.lasting(Duration::from_secs(60));
    /// let allowed = match minute.increment_within("hits/ann", 1, 0..=10) {
    ///     Ok(_) => true,
    ///     Err(error) if error.kind() == kv::ErrorKind::OutOfRange => false,
    ///     Err(error) => return Err(error),
    /// };
    /// # Ok::<(), kv::Error>(())
    /// ```
    pub fn increment_within(&self, key: &str, by: i64, within: RangeInclusive<i64>) -> Result<i64> {
        let (least, most) = within.into_inner();
        let ends = self.ends_or(Ends::Never).into();
        self.bucket.increment(key, by, least, most, ends).map_err(|error| match error {
            wit::Error::OutOfRange => {
                let message = format!("key `{key}` cannot be incremented: the sum would leave {least}..={most}");
                Error::new(ErrorKind::OutOfRange, message)
            }
            error => self.told(error, key),
        })
    }

    /// Changes a value, whatever others do to it at the same time; the new one.
    ///
    /// `change` makes it of the old one, `None` where the key is absent. It is asked again where somebody else was faster,
    /// so it does nothing else. A value that ends keeps its end, unless the store is a [`lasting`](Store::lasting) one.
    ///
    /// [`ErrorKind::Conflict`] where somebody else was faster [`ATTEMPTS_MAX`] times.
    pub fn update(&self, key: &str, mut change: impl FnMut(Option<Vec<u8>>) -> Vec<u8>) -> Result<Vec<u8>> {
        let ends = self.ends_or(Ends::Keep);
        let swapped = self.swapped(key, |found| {
            let value = change(found.map(|entry| entry.value));
            Ok((value.clone(), Write { value, ends }))
        });
        swapped.map(|(value, _)| value)
    }

    /// [`update`](Store::update) of a value that is kept as JSON.
    pub fn update_json<T>(&self, key: &str, mut change: impl FnMut(Option<T>) -> T) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
    {
        self.try_update_json(key, |found| Ok(change(found)))
    }

    /// [`update_json`](Store::update_json) by what may say no: then the value stays as it is.
    ///
    /// ```no_run
    /// # use runner::{Failure, kv};
    /// #[runner::task]
    /// fn sell(article: String, count: u32) -> Result<u32, Failure> {
    ///     kv::open("stock")?.try_update_json(&article, |left: Option<u32>| {
    ///         let left = left.unwrap_or(0).checked_sub(count);
    ///         left.ok_or_else(|| Failure::new("out-of-stock", format!("there are not {count} of `{article}`")))
    ///     })
    /// }
    /// # fn main() {}
    /// ```
    pub fn try_update_json<T, E>(&self, key: &str, mut change: impl FnMut(Option<T>) -> Result<T, E>) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
    {
        let ends = self.ends_or(Ends::Keep);
        let swapped = self.swapped(key, |found| {
            let new = change(found.map(|entry| read(key, &entry.value)).transpose()?)?;
            let value = json(key, &new)?;
            Ok((new, Write { value, ends }))
        });
        swapped.map(|(new, _)| new)
    }

    /// Changes a value by all that is known of it: its version and its end. The version that it then is at.
    ///
    /// The general form of [`update`](Store::update): `change` says when the new value ends, and may say no.
    pub fn update_entry<E>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<Entry>) -> Result<Write, E>,
    ) -> Result<Version, E>
    where
        E: From<Error>,
    {
        self.swapped(key, |found| Ok(((), change(found)?))).map(|((), version)| version)
    }

    /// The keys that begin with a text, in order: every one with `""`. They are asked for page by page.
    ///
    /// What others write meanwhile may be seen or not; a key that is there all the time is seen once.
    ///
    /// ```no_run
    /// # use runner::kv;
    /// let carts = kv::open("default")?;
    /// for key in carts.keys("cart/").take(100) {
    ///     println!("{}", key?);
    /// }
    /// # Ok::<(), kv::Error>(())
    /// ```
    pub fn keys(&self, prefix: impl Into<String>) -> Keys {
        Keys { store: self.clone(), prefix: prefix.into(), page: Vec::new().into_iter(), rest: Rest::First }
    }

    /// One page of the keys that begin with a text. A page has at most `limit` keys, and as many as the grant allows
    /// (1,000 where it says nothing).
    ///
    /// `cursor` is that of the page before, `None` for the first one.
    pub fn page(&self, prefix: &str, cursor: Option<&str>, limit: Option<u32>) -> Result<Page> {
        let wit::Page { keys, cursor } =
            self.bucket.list_keys(prefix, cursor, limit).map_err(|error| self.told(error, prefix))?;
        Ok(Page { keys, cursor })
    }

    /// The compare-and-swap loop under every update.
    fn swapped<T, E: From<Error>>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<Entry>) -> Result<(T, Write), E>,
    ) -> Result<(T, Version), E> {
        for _ in 0..ATTEMPTS_MAX {
            let found = self.entry(key)?;
            let expected = found.as_ref().map_or(Expected::Absent, |entry| Expected::At(entry.version));
            let (given, Write { value, ends }) = change(found)?;
            match self.write(key, value, ends, expected) {
                Ok(version) => return Ok((given, version)),
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        let message = format!("key `{key}` was changed by others {ATTEMPTS_MAX} times in a row");
        Err(Error::new(ErrorKind::Conflict, message).into())
    }

    fn ends_or(&self, otherwise: Ends) -> Ends {
        self.lasting.map_or(otherwise, Ends::After)
    }

    fn told(&self, error: wit::Error, key: &str) -> Error {
        Error::told(error, &self.name, key)
    }
}

/// A value as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// For a write that is done where nobody else was faster.
    pub version: Version,
    /// Time until the value ends, to the millisecond; `None` where it does not.
    pub ends_in: Option<Duration>,
}

impl Entry {
    /// The value, read from JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.value)
            .map_err(|error| Error::new(ErrorKind::NotJson, "the value does not fit its type").caused_by(error))
    }
}

impl From<wit::Entry> for Entry {
    fn from(wit::Entry { value, version, ends_in }: wit::Entry) -> Self {
        Entry { value, version: Version(version), ends_in: ends_in.map(Duration::from_millis) }
    }
}

/// Tells a value from every other that its key has had or will have. It has no other meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u64);

impl Version {
    /// A version that was kept as a number, in an `ETag` for one.
    pub fn new(number: u64) -> Self {
        Version(number)
    }

    /// The number, to keep.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// When a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It stays until it is deleted.
    Never,
    /// After a time, rounded up to the millisecond. Zero removes the key at once.
    After(Duration),
    /// When the value before it would have ended; never, where there was none.
    Keep,
}

impl From<Ends> for wit::Ends {
    fn from(ends: Ends) -> Self {
        match ends {
            Ends::Never => wit::Ends::Never,
            Ends::After(time) => {
                wit::Ends::After(u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
            }
            Ends::Keep => wit::Ends::Keep,
        }
    }
}

/// What must hold of a key before it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Anything,
    /// It is absent.
    Absent,
    /// It is at this version.
    At(Version),
}

impl From<Expected> for wit::Expected {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Anything => wit::Expected::Anything,
            Expected::Absent => wit::Expected::Absent,
            Expected::At(Version(number)) => wit::Expected::Version(number),
        }
    }
}

/// What [`Store::update_entry`] writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The new value.
    pub value: Vec<u8>,
    /// When it ends.
    pub ends: Ends,
}

/// Some keys of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The keys, in the order of their bytes.
    pub keys: Vec<String>,
    /// Where the next page begins; `None` after the last one. It may be kept, and used in a later call.
    pub cursor: Option<String>,
}

/// The keys of [`Store::keys`]. After an error there are no more.
#[derive(Debug)]
pub struct Keys {
    store: Store,
    prefix: String,
    page: std::vec::IntoIter<String>,
    rest: Rest,
}

/// Which page comes after this one.
#[derive(Debug)]
enum Rest {
    First,
    After(String),
    None,
}

impl Iterator for Keys {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.page.next() {
                return Some(Ok(key));
            }
            let cursor = match std::mem::replace(&mut self.rest, Rest::None) {
                Rest::First => None,
                Rest::After(cursor) => Some(cursor),
                Rest::None => return None,
            };
            match self.store.page(&self.prefix, cursor.as_deref(), None) {
                Ok(Page { keys, cursor }) => {
                    self.page = keys.into_iter();
                    self.rest = cursor.map_or(Rest::None, Rest::After);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl std::iter::FusedIterator for Keys {}

fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T> {
    serde_json::from_slice(value).map_err(|error| {
        Error::new(ErrorKind::NotJson, format!("the value of key `{key}` does not fit its type")).caused_by(error)
    })
}

fn json<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| {
        Error::new(ErrorKind::NotJson, format!("the value for key `{key}` cannot be written as JSON")).caused_by(error)
    })
}

/// Why a store did not do what it was asked for. Nothing was written.
///
/// The one exception is [`ErrorKind::Unavailable`] on a write: it may have been written. As a [`Failure`](crate::Failure)
/// it has a [code](Error::code), a message, and whether another attempt may succeed.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<serde_json::Error>,
}

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No store of this name is granted: ask for another, or have it granted.
    NoSuchStore,
    /// The store is granted for reading only: have it granted for writing.
    AccessDenied,
    /// A key or a value is over its limit: make it smaller.
    TooLarge,
    /// The write would bring the store over its limit: delete something first.
    Full,
    /// The key is not as expected, somebody else was faster: read it again.
    Conflict,
    /// The value is not a whole number in decimal digits: use another key.
    NotANumber,
    /// The sum would leave its range: that is an answer.
    OutOfRange,
    /// The value does not fit the type, or the type does not fit JSON: change the type, or the value.
    NotJson,
    /// What was asked for makes no sense, such as a page of no keys: change it.
    Invalid,
    /// The store did not answer: try again later.
    Unavailable,
}

impl Error {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    fn caused_by(self, source: serde_json::Error) -> Self {
        Error { source: Some(source), ..self }
    }

    fn told(error: wit::Error, store: &str, key: &str) -> Self {
        let (kind, message) = match error {
            wit::Error::NoSuchStore => (ErrorKind::NoSuchStore, format!("there is no store `{store}`")),
            wit::Error::AccessDenied => {
                (ErrorKind::AccessDenied, format!("store `{store}` is granted for reading only"))
            }
            wit::Error::TooLarge(words) => (ErrorKind::TooLarge, words),
            wit::Error::Full(words) => (ErrorKind::Full, words),
            wit::Error::Conflict(None) => {
                (ErrorKind::Conflict, format!("key `{key}` was changed by someone else: it is absent"))
            }
            wit::Error::Conflict(Some(found)) => {
                (ErrorKind::Conflict, format!("key `{key}` was changed by someone else: it is at version {found}"))
            }
            wit::Error::NotANumber => {
                (ErrorKind::NotANumber, format!("key `{key}` does not hold a whole number in decimal digits"))
            }
            wit::Error::OutOfRange => (ErrorKind::OutOfRange, format!("the sum for key `{key}` leaves its range")),
            wit::Error::Invalid(words) => (ErrorKind::Invalid, words),
            wit::Error::Unavailable(words) => (ErrorKind::Unavailable, words),
        };
        Error::new(kind, message)
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same work may succeed later: after a conflict, or where the store did not answer.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Conflict | ErrorKind::Unavailable)
    }

    /// The code of the [`Failure`](crate::Failure) that it becomes, such as `kv-full`.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::NoSuchStore => "kv-no-such-store",
            ErrorKind::AccessDenied => "kv-access-denied",
            ErrorKind::TooLarge => "kv-too-large",
            ErrorKind::Full => "kv-full",
            ErrorKind::Conflict => "kv-conflict",
            ErrorKind::NotANumber => "kv-not-a-number",
            ErrorKind::OutOfRange => "kv-out-of-range",
            ErrorKind::NotJson => "kv-not-json",
            ErrorKind::Invalid => "kv-invalid",
            ErrorKind::Unavailable => "kv-unavailable",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
