//! `wasi:keyvalue@0.2.0-draft2`: what Spin serves. Compare-and-swap by a handle; cursors are texts, increments signed.
//!
//! The proposal changed the answer of `get-many` without a new version; this is the later form, `list<tuple<string,
//! option<list<u8>>>>`, of the proposal and of Spin 3 and 4. A component that was built for the earlier one and batches
//! its reads is refused when it is loaded, with both types.

use runner_core::wasmtime::component::{Linker, Resource};
use runner_core::{Host, View, wasmtime};

use self::bindings::wasi::keyvalue::{atomics, batch, store};
use super::Sessions;
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::key::Version;
use crate::kv::Session;
use crate::store::{Ends, Expected};

mod bindings {
    runner_core::wasmtime::component::bindgen!({
        path: "wit/keyvalue-draft2",
        world: "imports",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::bucket::Bucket,
            "wasi:keyvalue/atomics.cas": super::Cas,
        },
        wasmtime_crate: runner_core::wasmtime,
    });
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, Sessions>(linker, Host::view)?;
    atomics::add_to_linker::<_, Sessions>(linker, Host::view)?;
    batch::add_to_linker::<_, Sessions>(linker, Host::view)
}

super::say_no!(store::Error);

/// A key at the moment that it was looked at. It holds no value: a guest may have a thousand of them.
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Cas {
    bucket: Bucket,
    key: String,
    seen: Option<Version>,
}

impl Cas {
    fn expected(&self) -> Expected {
        self.seen.map_or(Expected::Absent, Expected::At)
    }
}

type Answer<T> = wasmtime::Result<Result<T, store::Error>>;

impl store::Host for View<'_, Session> {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        Ok(match Session::open(self, &identifier) {
            Ok(bucket) => Ok(self.table.push(bucket)?),
            Err(error) => Err(error.into()),
        })
    }
}

impl store::HostBucket for View<'_, Session> {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        let bucket = self.table.get(&bucket)?.clone();
        let found = super::get(self, &bucket, &key).await?;
        Ok(found.map(|entry| entry.map(|entry| entry.value.into())).map_err(Into::into))
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
        let bucket = self.table.get(&bucket)?.clone();
        let set = super::set(self, &bucket, &key, value, Ends::Never, Expected::Anything).await?;
        Ok(set.map(drop).map_err(Into::into))
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<()> {
        let bucket = self.table.get(&bucket)?.clone();
        Ok(super::delete(self, &bucket, &key, Expected::Anything).await?.map(drop).map_err(Into::into))
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<bool> {
        let bucket = self.table.get(&bucket)?.clone();
        Ok(bucket.exists(&key).await.map_err(Into::into))
    }

    async fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<String>) -> Answer<store::KeyResponse> {
        let bucket = self.table.get(&bucket)?.clone();
        let page = super::list(self, &bucket, "", cursor.as_deref(), None).await?;
        let response = |page| {
            let (keys, cursor) = super::told(page);
            store::KeyResponse { keys, cursor }
        };
        Ok(page.map(response).map_err(Into::into))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for View<'_, Session> {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: i64) -> Answer<i64> {
        let bucket = self.table.get(&bucket)?.clone();
        let sum = super::increment(self, &bucket, &key, delta, i64::MIN..=i64::MAX, Ends::Never).await?;
        Ok(sum.map_err(Into::into))
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), atomics::CasError>> {
        let mut cas = self.table.delete(cas)?;
        // What ends at a time still does: a swap changes the value, and nothing else.
        match super::set(self, &cas.bucket, &cas.key, value, Ends::Keep, cas.expected()).await? {
            Ok(_) => Ok(Ok(())),
            Err(Error::Conflict { found, .. }) => {
                cas.seen = found;
                Ok(Err(atomics::CasError::CasFailed(self.table.push(cas)?)))
            }
            Err(error) => Ok(Err(atomics::CasError::StoreError(error.into()))),
        }
    }
}

impl atomics::HostCas for View<'_, Session> {
    async fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<Resource<Cas>> {
        let bucket = self.table.get(&bucket)?.clone();
        Ok(match bucket.version(&key).await {
            Ok(seen) => Ok(self.table.push(Cas { bucket, key, seen })?),
            Err(error) => Err(error.into()),
        })
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Answer<Option<Vec<u8>>> {
        let Cas { bucket, key, .. } = self.table.get(&cas)?;
        let (bucket, key) = (bucket.clone(), key.clone());
        Ok(match super::get(self, &bucket, &key).await? {
            Ok(found) => {
                self.table.get_mut(&cas)?.seen = found.as_ref().map(|entry| entry.version);
                Ok(found.map(|entry| entry.value.into()))
            }
            Err(error) => Err(error.into()),
        })
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl batch::Host for View<'_, Session> {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        let bucket = self.table.get(&bucket)?.clone();
        let found = super::get_many(self, &bucket, &keys).await?;
        let pairs = |found: Vec<Option<crate::Entry>>| {
            let value = |entry: Option<crate::Entry>| entry.map(|entry| entry.value.into());
            keys.into_iter().zip(found.into_iter().map(value)).collect()
        };
        Ok(found.map(pairs).map_err(Into::into))
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, values: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let bucket = self.table.get(&bucket)?.clone();
        Ok(super::set_many(self, &bucket, values).await?.map_err(Into::into))
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
        let bucket = self.table.get(&bucket)?.clone();
        Ok(super::delete_many(self, &bucket, &keys).await?.map_err(Into::into))
    }
}
