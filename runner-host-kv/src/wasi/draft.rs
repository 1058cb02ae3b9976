//! `wasi:keyvalue@0.2.0-draft`: what wasmtime and wasmCloud serve. Cursors and increments are unsigned numbers, and there
//! is no compare-and-swap.

use std::collections::VecDeque;

use runner_core::wasmtime::component::{Linker, Resource};
use runner_core::{Host, View, wasmtime};

use self::bindings::wasi::keyvalue::{atomics, batch, store};
use super::Sessions;
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::kv::Session;
use crate::store::{Ends, Expected};

mod bindings {
    runner_core::wasmtime::component::bindgen!({
        path: "wit/keyvalue-draft",
        world: "imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": super::Opened },
        wasmtime_crate: runner_core::wasmtime,
    });
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, Sessions>(linker, Host::view)?;
    atomics::add_to_linker::<_, Sessions>(linker, Host::view)?;
    batch::add_to_linker::<_, Sessions>(linker, Host::view)
}

super::say_no!(store::Error);

/// A bucket that a guest holds, with where its listings go on: a cursor of this draft is a number, which cannot hold a key.
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Opened {
    bucket: Bucket,
    /// The number given to the next cursor.
    next: u64,
    /// The cursors last given, the oldest first.
    cursors: VecDeque<(u64, String)>,
}

/// Cursors that a bucket remembers. With keys as large as they may be, these are 128 KiB.
const CURSORS_MAX: usize = 16;

impl Opened {
    fn position(&self, cursor: u64) -> Result<String> {
        let known = self.cursors.iter().find(|(number, _)| *number == cursor);
        known.map(|(_, key)| key.clone()).ok_or_else(|| {
            Error::invalid(format!(
                "cursor {cursor} is none of the last {CURSORS_MAX} that this bucket gave: list from the start"
            ))
        })
    }

    fn remember(&mut self, key: String) -> u64 {
        if self.cursors.len() == CURSORS_MAX {
            self.cursors.pop_front();
        }
        self.next += 1;
        self.cursors.push_back((self.next, key));
        self.next
    }
}

type Answer<T> = wasmtime::Result<Result<T, store::Error>>;

impl store::Host for View<'_, Session> {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Opened>> {
        Ok(match Session::open(self, &identifier) {
            Ok(bucket) => Ok(self.table.push(Opened { bucket, next: 0, cursors: VecDeque::new() })?),
            Err(error) => Err(error.into()),
        })
    }
}

impl store::HostBucket for View<'_, Session> {
    async fn get(&mut self, bucket: Resource<Opened>, key: String) -> Answer<Option<Vec<u8>>> {
        let bucket = self.table.get(&bucket)?.bucket.clone();
        let found = super::get(self, &bucket, &key).await?;
        Ok(found.map(|entry| entry.map(|entry| entry.value.into())).map_err(Into::into))
    }

    async fn set(&mut self, bucket: Resource<Opened>, key: String, value: Vec<u8>) -> Answer<()> {
        let bucket = self.table.get(&bucket)?.bucket.clone();
        let set = super::set(self, &bucket, &key, value, Ends::Never, Expected::Anything).await?;
        Ok(set.map(drop).map_err(Into::into))
    }

    async fn delete(&mut self, bucket: Resource<Opened>, key: String) -> Answer<()> {
        let bucket = self.table.get(&bucket)?.bucket.clone();
        Ok(super::delete(self, &bucket, &key, Expected::Anything).await?.map(drop).map_err(Into::into))
    }

    async fn exists(&mut self, bucket: Resource<Opened>, key: String) -> Answer<bool> {
        let bucket = self.table.get(&bucket)?.bucket.clone();
        Ok(bucket.exists(&key).await.map_err(Into::into))
    }

    async fn list_keys(&mut self, bucket: Resource<Opened>, cursor: Option<u64>) -> Answer<store::KeyResponse> {
        let opened = self.table.get(&bucket)?;
        let store = opened.bucket.clone();
        let after = match cursor.map(|cursor| opened.position(cursor)).transpose() {
            Ok(after) => after,
            Err(error) => return Ok(Err(error.into())),
        };
        Ok(match super::list(self, &store, "", after.as_deref(), None).await? {
            Ok(page) => {
                let (keys, next) = super::told(page);
                let cursor = match next {
                    Some(key) => Some(self.table.get_mut(&bucket)?.remember(key)),
                    None => None,
                };
                Ok(store::KeyResponse { keys, cursor })
            }
            Err(error) => Err(error.into()),
        })
    }

    async fn drop(&mut self, bucket: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for View<'_, Session> {
    async fn increment(&mut self, bucket: Resource<Opened>, key: String, delta: u64) -> Answer<u64> {
        let bucket = self.table.get(&bucket)?.bucket.clone();
        let Ok(by) = i64::try_from(delta) else {
            let most = i64::MAX;
            return Ok(Err(Error::invalid(format!("{delta} cannot be added: a number goes to {most}")).into()));
        };
        let sum = super::increment(self, &bucket, &key, by, 0..=i64::MAX, Ends::Never).await?;
        Ok(sum.map(i64::unsigned_abs).map_err(Into::into))
    }
}

impl batch::Host for View<'_, Session> {
    async fn get_many(
        &mut self,
        bucket: Resource<Opened>,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        let bucket = self.table.get(&bucket)?.bucket.clone();
        let found = super::get_many(self, &bucket, &keys).await?;
        let pairs = |found: Vec<_>| {
            let pair = |(entry, key): (Option<crate::Entry>, _)| entry.map(|entry| (key, entry.value.into()));
            found.into_iter().zip(keys).map(pair).collect()
        };
        Ok(found.map(pairs).map_err(Into::into))
    }

    async fn set_many(&mut self, bucket: Resource<Opened>, values: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let bucket = self.table.get(&bucket)?.bucket.clone();
        Ok(super::set_many(self, &bucket, values).await?.map_err(Into::into))
    }

    async fn delete_many(&mut self, bucket: Resource<Opened>, keys: Vec<String>) -> Answer<()> {
        let bucket = self.table.get(&bucket)?.bucket.clone();
        Ok(super::delete_many(self, &bucket, &keys).await?.map_err(Into::into))
    }
}
