//! The only part that knows the engine: what the core asks of [`Kv`], and the faces that guests see of a [`Bucket`].
//!
//! Nothing is decided here. Each face turns a guest's words into those of the border and its answers back, and charges
//! the bytes: what a guest writes before the store sees it, what it reads before the guest does.

mod draft;
mod draft2;
mod ours;

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use runner_core::wasmtime::component::Linker;
use runner_core::{CallContext, Capability, HasView, Host, View, async_trait, wasmtime};

use crate::bucket::Bucket;
use crate::error::Result;
use crate::grant::Grant;
use crate::key::Version;
use crate::kv::{Kv, Session};
use crate::store::{Ends, Entry, Expected, Page};

const SERVED: [&str; 4] = ["wasi:keyvalue/store", "wasi:keyvalue/atomics", "wasi:keyvalue/batch", "runner:kv/store"];

#[async_trait]
impl Capability for Kv {
    type Grant = Grant;
    type State = Session;

    fn id(&self) -> &str {
        "kv"
    }

    fn serves(&self) -> &[&str] {
        &SERVED
    }

    fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
        draft::link(linker)?;
        draft2::link(linker)?;
        ours::link(linker)
    }

    fn check(&self, grant: &Grant) -> runner_core::Result<()> {
        self.open_session(grant).map(drop)
    }

    fn open(&self, grant: &Grant, _call: &CallContext) -> runner_core::Result<Session> {
        self.open_session(grant)
    }

    /// Every write is done when the guest is told so: nothing waits for the end of the call.
    fn commits(&self, _grant: &Grant) -> bool {
        false
    }
}

impl Kv {
    fn open_session(&self, grant: &Grant) -> runner_core::Result<Session> {
        self.session(grant).map_err(|error| runner_core::Error::new(runner_core::ErrorKind::Invalid, error.to_string()))
    }
}

/// How a face's host functions find what the call may open.
type Sessions = HasView<Session>;

/// What a store answers. The outer error stops the guest, the inner one is told to it.
type Asked<T> = wasmtime::Result<Result<T>>;

async fn get(view: &mut View<'_, Session>, bucket: &Bucket, key: &str) -> Asked<Option<Entry>> {
    let found = bucket.get(key).await;
    read(view, found.iter().flatten().map(|entry| entry.value.len()))?;
    Ok(found)
}

async fn get_many(view: &mut View<'_, Session>, bucket: &Bucket, keys: &[String]) -> Asked<Vec<Option<Entry>>> {
    let found = bucket.get_many(keys).await;
    read(view, found.iter().flatten().flatten().map(|entry| entry.value.len()))?;
    Ok(found)
}

async fn set(
    view: &mut View<'_, Session>,
    bucket: &Bucket,
    key: &str,
    value: Vec<u8>,
    ends: Ends,
    expected: Expected,
) -> Asked<Version> {
    written(view, [key.len(), value.len()])?;
    Ok(bucket.set(key, value, ends, expected).await)
}

async fn set_many(view: &mut View<'_, Session>, bucket: &Bucket, values: Vec<(String, Vec<u8>)>) -> Asked<()> {
    written(view, values.iter().map(|(key, value)| key.len() + value.len()))?;
    Ok(bucket.set_many(values).await)
}

async fn delete(view: &mut View<'_, Session>, bucket: &Bucket, key: &str, expected: Expected) -> Asked<bool> {
    written(view, [key.len()])?;
    Ok(bucket.delete(key, expected).await)
}

async fn delete_many(view: &mut View<'_, Session>, bucket: &Bucket, keys: &[String]) -> Asked<()> {
    written(view, keys.iter().map(String::len))?;
    Ok(bucket.delete_many(keys).await)
}

async fn increment(
    view: &mut View<'_, Session>,
    bucket: &Bucket,
    key: &str,
    by: i64,
    within: RangeInclusive<i64>,
    ends: Ends,
) -> Asked<i64> {
    written(view, [key.len()])?;
    Ok(bucket.increment(key, by, within, ends).await)
}

async fn list(
    view: &mut View<'_, Session>,
    bucket: &Bucket,
    prefix: &str,
    after: Option<&str>,
    limit: Option<NonZeroU32>,
) -> Asked<Page> {
    let page = bucket.list(prefix, after, limit).await;
    read(view, page.iter().flat_map(|page| &page.keys).map(|key| key.as_str().len()))?;
    Ok(page)
}

/// Charges what a guest is about to write: keys and values.
fn written(view: &mut View<'_, Session>, bytes: impl IntoIterator<Item = usize>) -> wasmtime::Result<()> {
    view.charge(0, bytes.into_iter().map(|bytes| bytes as u64).sum())
}

/// Charges what a guest is about to read: values and listed keys.
fn read(view: &mut View<'_, Session>, bytes: impl IntoIterator<Item = usize>) -> wasmtime::Result<()> {
    view.charge(bytes.into_iter().map(|bytes| bytes as u64).sum(), 0)
}

/// The keys of a page as texts, and the last of them where there are more.
fn told(page: Page) -> (Vec<String>, Option<String>) {
    let keys: Vec<String> = page.keys.iter().map(|key| key.as_str().to_owned()).collect();
    let cursor = page.more.then(|| keys.last().cloned()).flatten();
    (keys, cursor)
}

/// What both drafts say no with: they have words of their own for two things only.
macro_rules! say_no {
    ($error:ty) => {
        impl From<crate::error::Error> for $error {
            fn from(error: crate::error::Error) -> Self {
                match error {
                    crate::error::Error::NoSuchStore { .. } => Self::NoSuchStore,
                    crate::error::Error::AccessDenied { .. } => Self::AccessDenied,
                    other => Self::Other(other.to_string()),
                }
            }
        }
    };
}
use say_no;
