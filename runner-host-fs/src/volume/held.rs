//! A ground as a [`Volume`]: what each mode's session is put together of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Mutex as AsyncMutex;

use super::door::{Door, is_reserved};
use super::draft::Draft;
use super::ground::{Ground, RESERVED, VfsVolume};
use super::prefix::Prefix;
use super::quotas::{Ledger, Quotas};
use super::recorder::{Record, Recorder};
use super::{Changes, Mode, Session, View, Volume};
use crate::error::{Error, ErrorKind, Result};
use crate::local::LocalFs;
use crate::memory::MemoryFs;
use crate::read_only::ReadOnly;
use crate::vfs::Vfs;

/// What the sessions of one volume share.
#[derive(Default)]
pub(crate) struct Keeper {
    pub(super) quotas: Quotas,
    /// One commit at a time in this process.
    pub(super) committing: Arc<AsyncMutex<()>>,
}

fn check<G: Ground>(ground: &G, view: &View) -> Result<()> {
    if is_reserved(&view.prefix) {
        let message = format!("prefix `{}`: the name `{RESERVED}` is kept for the volume itself", view.prefix);
        return Err(Error::new(ErrorKind::NotPermitted, message));
    }
    ground.check(&view.prefix)
}

fn open<G: Ground>(ground: &G, view: &View) -> Result<Arc<dyn Session>> {
    check(ground, view)?;
    let prefix = || Prefix::new(ground.clone(), view.prefix.clone());
    let keeper = ground.keeper();
    Ok(match view.mode {
        Mode::ReadOnly => Arc::new(Reading { files: Arc::new(Door::new(ground.clone(), ReadOnly::new(prefix()))) }),
        Mode::OnSync => {
            let record = Arc::new(Record::default());
            let counted = keeper.quotas.open(view, || Arc::new(prefix()));
            let told: Arc<dyn Fn() + Send + Sync> = {
                let (keeper, prefix, told) = (keeper.clone(), view.prefix.clone(), counted.is_some());
                Arc::new(move || keeper.quotas.doubt(&prefix, told))
            };
            let tree: Arc<dyn Vfs> = match counted {
                None => Arc::new(Recorder::new(prefix(), record.clone(), told)),
                Some(quota) => Arc::new(Recorder::new(quota, record.clone(), told)),
            };
            Arc::new(AtOnce { files: Arc::new(Door::new(ground.clone(), tree)), record })
        }
        Mode::OnSuccess => {
            // The draft itself sees to the bytes of one file.
            let shared = View { file_bytes: None, ..view.clone() };
            let counted = keeper.quotas.open(&shared, || Arc::new(prefix()));
            let draft = Draft::new(prefix(), Ledger::new(counted), view.file_bytes);
            let files = Arc::new(Door::new(ground.clone(), draft.clone()));
            Arc::new(Drafted { files, draft, outcome: Mutex::default() })
        }
    })
}

macro_rules! volume {
    ($($ground:ty),+) => {$(
        #[async_trait]
        impl Volume for $ground {
            fn check(&self, view: &View) -> Result<()> {
                check(self, view)
            }

            fn open(&self, view: &View) -> Result<Arc<dyn Session>> {
                open(self, view)
            }
        }
    )+};
}

volume!(MemoryFs, LocalFs, VfsVolume);

/// A session that changes nothing.
struct Reading {
    files: Arc<dyn Vfs>,
}

#[async_trait]
impl Session for Reading {
    fn files(&self) -> Arc<dyn Vfs> {
        self.files.clone()
    }

    async fn commit(&self) -> Result<()> {
        Ok(())
    }

    async fn discard(&self) -> Result<()> {
        Ok(())
    }

    fn changes(&self) -> Changes {
        Changes::default()
    }

    fn usage(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::new()
    }
}

/// A session in which everything is published at once.
struct AtOnce {
    files: Arc<dyn Vfs>,
    record: Arc<Record>,
}

#[async_trait]
impl Session for AtOnce {
    fn files(&self) -> Arc<dyn Vfs> {
        self.files.clone()
    }

    async fn commit(&self) -> Result<()> {
        Ok(())
    }

    async fn discard(&self) -> Result<()> {
        Ok(())
    }

    fn changes(&self) -> Changes {
        self.record.changes()
    }

    fn usage(&self) -> BTreeMap<&'static str, u64> {
        let read = |count: &std::sync::atomic::AtomicU64| count.load(std::sync::atomic::Ordering::Relaxed);
        usage(read(&self.record.bytes), read(&self.record.files))
    }
}

/// A session whose changes wait for its commit.
struct Drafted<G: Ground> {
    files: Arc<dyn Vfs>,
    draft: Draft<G>,
    outcome: Mutex<Outcome>,
}

/// What a commit has published.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) changes: Changes,
    pub(super) bytes: u64,
    pub(super) files: u64,
}

#[async_trait]
impl<G: Ground> Session for Drafted<G> {
    fn files(&self) -> Arc<dyn Vfs> {
        self.files.clone()
    }

    async fn commit(&self) -> Result<()> {
        let outcome = self.draft.commit().await?;
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
        Ok(())
    }

    async fn discard(&self) -> Result<()> {
        self.draft.discard().await
    }

    fn changes(&self) -> Changes {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).changes.clone()
    }

    fn usage(&self) -> BTreeMap<&'static str, u64> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        usage(outcome.bytes, outcome.files)
    }
}

fn usage(bytes: u64, files: u64) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([("committed_bytes", bytes), ("committed_files", files)])
}
