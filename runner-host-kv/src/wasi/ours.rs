//! `runner:kv@0.1.0`: what the drafts leave out. Values that end, versions, pages by prefix, errors to act on.

use std::num::NonZeroU32;
use std::time::Duration;

use runner_core::wasmtime::component::{Linker, Resource};
use runner_core::{Host, View, wasmtime};

use self::bindings::runner::kv::store;
use super::Sessions;
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::key::Version;
use crate::kv::Session;
use crate::store::{Ends, Entry, Expected};

mod bindings {
    runner_core::wasmtime::component::bindgen!({
        path: "wit/runner-kv",
        world: "imports",
        imports: { default: async | trappable },
        with: { "runner:kv/store.bucket": crate::bucket::Bucket },
        wasmtime_crate: runner_core::wasmtime,
    });
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, Sessions>(linker, Host::view)
}

impl From<Error> for store::Error {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            Error::NoSuchStore { .. } => Self::NoSuchStore,
            Error::AccessDenied { .. } => Self::AccessDenied,
            Error::TooLarge { .. } => Self::TooLarge(words),
            Error::Full { .. } => Self::Full(words),
            Error::Conflict { found, .. } => Self::Conflict(found.map(Version::number)),
            Error::NotANumber { .. } => Self::NotANumber,
            Error::OutOfRange { .. } => Self::OutOfRange,
            Error::Invalid { .. } => Self::Invalid(words),
            Error::Unavailable { .. } => Self::Unavailable(words),
        }
    }
}

impl From<store::Ends> for Ends {
    fn from(ends: store::Ends) -> Self {
        match ends {
            store::Ends::Never => Ends::Never,
            store::Ends::After(ms) => Ends::After(Duration::from_millis(ms)),
            store::Ends::Keep => Ends::Keep,
        }
    }
}

impl From<store::Expected> for Expected {
    fn from(expected: store::Expected) -> Self {
        match expected {
            store::Expected::Anything => Expected::Anything,
            store::Expected::Absent => Expected::Absent,
            store::Expected::Version(number) => Expected::At(Version::new(number)),
        }
    }
}

impl From<Entry> for store::Entry {
    fn from(entry: Entry) -> Self {
        let ends_in = entry.ends_in.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        store::Entry { value: entry.value.into(), version: entry.version.number(), ends_in }
    }
}

type Answer<T> = wasmtime::Result<Result<T, store::Error>>;

impl store::Host for View<'_, Session> {
    async fn open(&mut self, name: String) -> Answer<Resource<Bucket>> {
        Ok(match Session::open(self, &name) {
            Ok(bucket) => Ok(self.table.push(bucket)?),
            Err(error) => Err(error.into()),
        })
    }
}

impl store::HostBucket for View<'_, Session> {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<Option<store::Entry>> {
        let bucket = self.table.get(&bucket)?.clone();
        let found = super::get(self, &bucket, &key).await?;
        Ok(found.map(|entry| entry.map(Into::into)).map_err(Into::into))
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<bool> {
        let bucket = self.table.get(&bucket)?.clone();
        Ok(bucket.exists(&key).await.map_err(Into::into))
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
        ends: store::Ends,
        expected: store::Expected,
    ) -> Answer<u64> {
        let bucket = self.table.get(&bucket)?.clone();
        let set = super::set(self, &bucket, &key, value, ends.into(), expected.into()).await?;
        Ok(set.map(Version::number).map_err(Into::into))
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String, expected: store::Expected) -> Answer<bool> {
        let bucket = self.table.get(&bucket)?.clone();
        Ok(super::delete(self, &bucket, &key, expected.into()).await?.map_err(Into::into))
    }

    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        by: i64,
        least: i64,
        most: i64,
        ends: store::Ends,
    ) -> Answer<i64> {
        let bucket = self.table.get(&bucket)?.clone();
        let sum = super::increment(self, &bucket, &key, by, least..=most, ends.into()).await?;
        Ok(sum.map_err(Into::into))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        prefix: String,
        cursor: Option<String>,
        limit: Option<u32>,
    ) -> Answer<store::Page> {
        let bucket = self.table.get(&bucket)?.clone();
        let limit = limit.map(NonZeroU32::new);
        if limit == Some(None) {
            return Ok(Err(Error::invalid("expected a page of 1 key or more, found 0").into()));
        }
        let page = super::list(self, &bucket, &prefix, cursor.as_deref(), limit.flatten()).await?;
        let response = |page| {
            let (keys, cursor) = super::told(page);
            store::Page { keys, cursor }
        };
        Ok(page.map(response).map_err(Into::into))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}
