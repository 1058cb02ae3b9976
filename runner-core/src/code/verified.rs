//! The verified door: code from anywhere, checked over every byte with a key that only the embedder holds.
//!
//! What verifies runs, and enters the local store, to be mapped from there next time; what does not is compiled again.

use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use wasmtime::Engine;

use super::{CodeKey, Compiled, LocalStore, trusted};
use crate::error::{Error, Result};
use crate::executor::aside;

/// Bytes of the seal in front of an artefact: HMAC-SHA-256 over the key's name and the artefact.
const SEAL_BYTES: usize = 32;

/// How long a place may take to answer before it counts as away: compiling is the alternative.
const REMOTE_TIME: Duration = Duration::from_secs(10);

/// A place for sealed artefacts: an object store, a shared directory. It is not trusted.
#[async_trait]
pub trait CodeStore: Send + Sync + 'static {
    /// The object under a name (64 hexadecimal digits), or `None`. None is larger than 1 GiB: what is, is an error, before
    /// it fills the memory.
    async fn get(&self, name: &str) -> io::Result<Option<Bytes>>;

    /// Puts an object under a name, replacing what was there.
    async fn put(&self, name: &str, sealed: Bytes) -> io::Result<()>;
}

/// Compiled code from a place that is not trusted, let in through a local store.
pub struct VerifiedStore {
    remote: Arc<dyn CodeStore>,
    key: Hmac<Sha256>,
    local: LocalStore,
    /// Places for objects that are being read and checked: anyone may have made them large.
    reads: Arc<Semaphore>,
    /// Places for artefacts that run already and are still being written.
    writes: Arc<Semaphore>,
}

/// Objects that are read and checked at once.
const READS_MAX: usize = 4;

/// Artefacts that are written beside the calls that run them, here or to the remote place; each is held in memory until
/// then.
const WRITES_MAX: usize = 4;

/// The largest sealed artefact: more than the compiler may answer with.
const SEALED_BYTES_MAX: u64 = 1 << 30;

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
        let (reads, writes) = (Arc::new(Semaphore::new(READS_MAX)), Arc::new(Semaphore::new(WRITES_MAX)));
        Ok(VerifiedStore { remote: Arc::new(remote), key, local, reads, writes })
    }

    pub(super) async fn get(&self, engine: &Engine, key: &CodeKey, janitor: &TaskTracker) -> Option<Compiled> {
        if let Some(compiled) = self.local.get(engine, key) {
            return Some(compiled);
        }
        let asked = async {
            let place = Arc::clone(&self.reads).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((self.remote.get(key.as_str()).await?, place))
        };
        let answered = tokio::time::timeout(REMOTE_TIME, asked).await;
        let (found, _place) = match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "the code store did not answer, compiling instead");
                return None;
            }
        };
        let sealed = found?;
        let (mac, bytes) = (self.mac(key), sealed.clone());
        if !aside(sealed.len(), move || verifies(mac, &bytes)).await.ok()? {
            tracing::warn!(key = key.as_str(), "code that does not verify is compiled again, not run");
            return None;
        }
        let artefact = sealed.slice(SEAL_BYTES..);
        let (owner, bytes) = (engine.clone(), artefact.clone());
        let compiled =
            aside(artefact.len(), move || trusted::from_own_compiler(&owner, &bytes)).await.and_then(|made| made);
        let compiled = compiled
            .inspect_err(
                |error| tracing::warn!(%error, "code that verifies does not fit this engine, compiling instead"),
            )
            .ok()?;
        // It runs at once, and is kept beside that; where many are being kept, another time.
        if let Ok(place) = Arc::clone(&self.writes).try_acquire_owned() {
            let (local, key) = (self.local.clone(), key.clone());
            janitor.spawn_blocking(move || {
                local.keep(&key, &artefact);
                drop(place);
            });
        }
        Some(compiled)
    }

    pub(super) async fn put(
        &self,
        engine: &Engine,
        key: &CodeKey,
        artefact: Vec<u8>,
        janitor: &TaskTracker,
    ) -> Result<Compiled> {
        let mac = self.mac(key);
        let (sealed, artefact) = aside(artefact.len(), move || {
            let mut sealed = Vec::with_capacity(SEAL_BYTES + artefact.len());
            sealed.extend_from_slice(&mac.chain_update(&artefact).finalize().into_bytes());
            sealed.extend_from_slice(&artefact);
            (sealed, artefact)
        })
        .await?;
        let (remote, name) = (Arc::clone(&self.remote), key.clone());
        let share = async move {
            let answered = tokio::time::timeout(REMOTE_TIME, remote.put(name.as_str(), sealed.into())).await;
            if let Err(error) = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                tracing::warn!(%error, "compiled code is not shared");
            }
        };
        // Beside the call that waits for the code; where many are being shared, before it.
        match Arc::clone(&self.writes).try_acquire_owned() {
            Ok(place) => drop(janitor.spawn(async move {
                share.await;
                drop(place);
            })),
            Err(_) => share.await,
        }
        self.local.put(engine, key, artefact).await
    }

    /// The name is sealed too, so that good code under another module's name does not verify.
    fn mac(&self, key: &CodeKey) -> Hmac<Sha256> {
        self.key.clone().chain_update(key.as_str().as_bytes())
    }
}

fn verifies(mac: Hmac<Sha256>, sealed: &[u8]) -> bool {
    sealed
        .split_at_checked(SEAL_BYTES)
        .is_some_and(|(seal, artefact)| mac.chain_update(artefact).verify_slice(seal).is_ok())
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
        let read = tokio::task::spawn_blocking(move || read_file(&path)).await?;
        match read {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, name: &str, sealed: Bytes) -> io::Result<()> {
        let (directory, path) = (Arc::clone(&self.0), self.0.join(name));
        tokio::task::spawn_blocking(move || {
            // For hosts of other users too: nobody trusts what lies here.
            let readable = std::fs::Permissions::from_mode(0o644);
            let mut file = tempfile::Builder::new().permissions(readable).tempfile_in(directory)?;
            io::Write::write_all(&mut file, &sealed)?;
            file.persist(path)?;
            Ok(())
        })
        .await?
    }
}

/// Reads a file that anyone may have put there: a pipe would never end, a sparse file would fill the memory.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.len() > SEALED_BYTES_MAX {
        let what = format!("`{}` is not a file of at most {SEALED_BYTES_MAX} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut bytes = Vec::with_capacity(found.len() as usize);
    // It may have grown since.
    io::Read::read_to_end(&mut io::Read::take(file, found.len()), &mut bytes)?;
    Ok(bytes)
}
