//! The verified door: code from anywhere, checked over every byte with a key that only the embedder holds.
//!
//! What verifies enters the local store and is mapped from there; what does not is compiled again, never run.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmtime::Engine;

use super::{CodeKey, Compiled, LocalStore};
use crate::error::{Error, Result};

/// Bytes of the seal in front of an artefact: HMAC-SHA-256 over the key's name and the artefact.
const SEAL_BYTES: usize = 32;

/// How long a place may take to answer before it counts as away: compiling is the alternative.
const REMOTE_TIME: Duration = Duration::from_secs(10);

/// A place for sealed artefacts: an object store, a shared directory. It is not trusted.
#[async_trait]
pub trait CodeStore: Send + Sync + 'static {
    /// The object under a name (64 hexadecimal digits), or `None`.
    async fn get(&self, name: &str) -> io::Result<Option<Bytes>>;

    /// Puts an object under a name, replacing what was there.
    async fn put(&self, name: &str, sealed: Bytes) -> io::Result<()>;
}

/// Compiled code from a place that is not trusted, let in through a local store.
pub struct VerifiedStore {
    remote: Box<dyn CodeStore>,
    key: Hmac<Sha256>,
    local: LocalStore,
}

impl VerifiedStore {
    /// Joins a remote place, the secret that seals what lies there, and the local store that verified code enters.
    ///
    /// # Errors
    /// `Invalid` where the key is shorter than 32 bytes.
    pub fn new(remote: impl CodeStore, key: &[u8], local: LocalStore) -> Result<Self> {
        if key.len() < SEAL_BYTES {
            let found = key.len();
            return Err(Error::invalid(format!("the key of a verified store needs {SEAL_BYTES} bytes, found {found}")));
        }
        let key = Hmac::new_from_slice(key).map_err(|error| Error::invalid("the key does not fit").source(error))?;
        Ok(VerifiedStore { remote: Box::new(remote), key, local })
    }

    pub(super) async fn get(&self, engine: &Engine, key: &CodeKey) -> Option<Compiled> {
        if let Some(compiled) = self.local.get(engine, key).await {
            return Some(compiled);
        }
        let answered = tokio::time::timeout(REMOTE_TIME, self.remote.get(key.as_str())).await;
        let sealed = match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(found) => found?,
            Err(error) => {
                tracing::warn!(%error, "the code store did not answer, compiling instead");
                return None;
            }
        };
        let Some(artefact) = self.unseal(key, &sealed) else {
            tracing::warn!(key = key.as_str(), "code that does not verify is compiled again, not run");
            return None;
        };
        self.local.put(engine, key, artefact.to_vec()).await.ok()
    }

    pub(super) async fn put(&self, engine: &Engine, key: &CodeKey, artefact: Vec<u8>) -> Result<Compiled> {
        let mut sealed = Vec::with_capacity(SEAL_BYTES + artefact.len());
        sealed.extend_from_slice(&self.mac(key, &artefact).finalize().into_bytes());
        sealed.extend_from_slice(&artefact);
        let answered = tokio::time::timeout(REMOTE_TIME, self.remote.put(key.as_str(), sealed.into())).await;
        if let Err(error) = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            tracing::warn!(%error, "compiled code is not shared");
        }
        self.local.put(engine, key, artefact).await
    }

    fn mac(&self, key: &CodeKey, artefact: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.key.clone();
        // The name is sealed too, so that good code under another module's name does not verify.
        mac.update(key.as_str().as_bytes());
        mac.update(artefact);
        mac
    }

    fn unseal<'a>(&self, key: &CodeKey, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (seal, artefact) = sealed.split_at_checked(SEAL_BYTES)?;
        self.mac(key, artefact).verify_slice(seal).ok()?;
        Some(artefact)
    }
}

/// A directory as a [`CodeStore`]: a network mount that several hosts share. Its permissions do not matter.
#[derive(Clone, Debug)]
pub struct DirectoryStore(Arc<Path>);

impl DirectoryStore {
    /// Uses a directory that exists.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        DirectoryStore(directory.into().into())
    }
}

#[async_trait]
impl CodeStore for DirectoryStore {
    async fn get(&self, name: &str) -> io::Result<Option<Bytes>> {
        let path = self.0.join(name);
        let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await?;
        match read {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, name: &str, sealed: Bytes) -> io::Result<()> {
        let (directory, path) = (Arc::clone(&self.0), self.0.join(name));
        tokio::task::spawn_blocking(move || {
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            io::Write::write_all(&mut file, &sealed)?;
            file.persist(path)?;
            Ok(())
        })
        .await?
    }
}
