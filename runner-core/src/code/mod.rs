//! Compiled code: made once, kept in memory and in a store, and let in by one of two doors.
//!
//! Deserializing is trusting: code from a store runs as it is. The local door maps files out of a directory that only
//! this user can write; the verified door checks every byte before it puts anything there.

mod attempts;
mod compile;
mod key;
mod local;
mod trusted;
mod verified;

use std::sync::Arc;

pub(crate) use self::attempts::Attempts;
pub use self::compile::{Compile, CompilerProcess, serve_compile};
pub(crate) use self::compile::{CompileJob, Compiler, Made, Work};
pub(crate) use self::key::{CodeKey, CodeKeys, Digesting, digest};
pub use self::local::LocalStore;
pub(crate) use self::trusted::Compiled;
pub use self::verified::{CodeStore, DirectoryStore, VerifiedStore};

use tokio_util::task::TaskTracker;
use wasmtime::Engine;

use crate::error::Result;

/// Where compiled code outlives the process.
#[derive(Clone, Default)]
pub(crate) enum Store {
    #[default]
    None,
    Local(LocalStore),
    Verified(Arc<VerifiedStore>),
}

impl Store {
    /// Code that is already there. What does not fit or does not verify counts as absent; what is kept for the next time is
    /// kept by the janitor.
    pub(crate) async fn get(&self, engine: &Engine, key: &CodeKey, janitor: &TaskTracker) -> Option<Compiled> {
        match self {
            Store::None => None,
            Store::Local(store) => store.get(engine, key),
            Store::Verified(store) => store.get(engine, key, janitor).await,
        }
    }

    /// Keeps an artefact, and gives it back mapped where the store can.
    pub(crate) async fn put(
        &self,
        engine: &Engine,
        key: &CodeKey,
        artefact: Vec<u8>,
        janitor: &TaskTracker,
    ) -> Result<Compiled> {
        match self {
            Store::None => trusted::from_own_compiler(engine, &artefact),
            Store::Local(store) => store.put(engine, key, artefact).await,
            Store::Verified(store) => store.put(engine, key, artefact, janitor).await,
        }
    }
}
