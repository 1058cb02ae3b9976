//! The only part that knows the engine: what the core asks of [`HostFs`], and the two faces that guests see of a tree.
//!
//! Nothing is decided here. A face turns a guest's words into those of [`Vfs`] and its answers back; it keeps what belongs to a
//! descriptor: a position, flags, rights.

use std::collections::BTreeMap;
use std::sync::Arc;

use runner_core::wasmtime::component::Linker;
use runner_core::{
    CallContext, Capability, Ending, Error as CoreError, ErrorKind as CoreErrorKind, Host, StandardStreams,
    async_trait, wasmtime,
};

use crate::error::{Error, ErrorKind};
use crate::grant::{Grant, Mount};
use crate::mounts::Mounts;
use crate::path::VPath;
use crate::vfs::Vfs;
use crate::volume::{Session, Volume};

/// Files, as a capability: its id is `fs`, its grant a [`Grant`].
#[derive(Default)]
pub struct HostFs {
    /// In the order that they were given: the first is meant where a grant names none.
    volumes: Vec<(String, Arc<dyn Volume>)>,
}

impl HostFs {
    /// No volume yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a volume under the name that grants use for it; in the place of one that has the name.
    #[must_use]
    pub fn volume(mut self, name: impl Into<String>, volume: impl Volume) -> Self {
        let name = name.into();
        self.volumes.retain(|(known, _)| *known != name);
        self.volumes.push((name, Arc::new(volume)));
        self
    }

    /// The names of the volumes, the first one being meant where a grant names none.
    pub fn volumes(&self) -> impl Iterator<Item = &str> {
        self.volumes.iter().map(|(name, _)| name.as_str())
    }

    fn find(&self, mount: &Mount) -> Result<&dyn Volume, Error> {
        let found = match &mount.volume {
            None => self.volumes.first(),
            Some(name) => self.volumes.iter().find(|(known, _)| known == name),
        };
        found.map(|(_, volume)| volume.as_ref()).ok_or_else(|| {
            let known: Vec<_> = self.volumes().map(|name| format!("`{name}`")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let asked = mount.volume.as_deref().unwrap_or("default").escape_debug().to_string();
            Error::new(ErrorKind::Invalid, format!("the grant names volume `{asked}`, this host has {known}"))
        })
    }
}

/// What one call has of it.
#[doc(hidden)]
pub struct Files {
    /// The guest's whole tree, with each mount at its place.
    tree: Arc<dyn Vfs>,
    /// What the guest has open when it starts: the path as it was granted, and where that is in the tree.
    preopens: Vec<(String, VPath)>,
    sessions: Vec<(String, Arc<dyn Session>)>,
    /// What descriptors 0, 1 and 2 are.
    streams: Option<StandardStreams>,
}

#[async_trait]
impl Capability for HostFs {
    type Grant = Grant;
    type State = Files;

    fn id(&self) -> &str {
        "fs"
    }

    fn serves(&self) -> &[&str] {
        &["wasi:filesystem/types@0.2.0", "wasi:filesystem/preopens@0.2.0", "wasi_snapshot_preview1"]
    }

    fn check(&self, grant: &Grant) -> Result<(), CoreError> {
        for (at, mount) in &grant.mounts {
            let told = |error| invalid(at, error);
            place(at).map_err(told)?;
            self.find(mount).and_then(|volume| volume.check(&mount.view()?)).map_err(told)?;
        }
        Ok(())
    }

    fn open(&self, grant: &Grant, call: &CallContext) -> Result<Files, CoreError> {
        let (mut tree, mut preopens, mut sessions) = (Mounts::new(), Vec::new(), Vec::new());
        for (at, mount) in &grant.mounts {
            let told = |error| invalid(at, error);
            let path = place(at).map_err(told)?;
            let session = self.find(mount).and_then(|volume| volume.open(&mount.view()?)).map_err(told)?;
            tree = tree.mount(path.clone(), session.files()).map_err(told)?;
            preopens.push((at.clone(), path));
            sessions.push((at.clone(), session));
        }
        Ok(Files { tree: Arc::new(tree), preopens, sessions, streams: call.streams.clone() })
    }

    async fn close(&self, files: Files, ending: &Ending<()>) -> Result<(), CoreError> {
        let mut first = None;
        for (at, session) in &files.sessions {
            let closed = match (ending, first.is_none()) {
                (Ending::Returned(()), true) => session.commit().await,
                // What one mount could not publish, the others must not either.
                _ => session.discard().await,
            };
            if let Err(error) = closed {
                first.get_or_insert(unclosed(at, error));
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn commits(&self, grant: &Grant) -> bool {
        let publishes = |mount: &Mount| mount.mode == crate::Mode::OnSuccess;
        !grant.stream && grant.mounts.values().any(publishes)
    }
}

/// Where a grant mounts a volume.
fn place(at: &str) -> Result<VPath, Error> {
    match at.starts_with('/') {
        true => VPath::new(at),
        false => {
            Err(Error::new(ErrorKind::Invalid, format!("expected a path from `/` on, found `{}`", at.escape_debug())))
        }
    }
}

fn invalid(at: &str, error: Error) -> CoreError {
    let message = format!("mount `{}`: {error}", at.escape_debug());
    CoreError::new(CoreErrorKind::Invalid, message).source(error)
}

fn unclosed(at: &str, error: Error) -> CoreError {
    let kind = match error.kind() {
        ErrorKind::Conflict => CoreErrorKind::Conflict,
        _ => CoreErrorKind::Unavailable,
    };
    CoreError::new(kind, format!("mount `{}`: {error}", at.escape_debug())).source(error)
}
