//! The only part that knows the engine: what the core asks of [`HostFs`], and the two faces that guests see of a tree.
//!
//! Nothing is decided here. A face turns a guest's words into those of [`Vfs`] and its answers back; it keeps what belongs to a
//! descriptor: a position, flags, rights.

mod bill;
mod driven;
mod errno;
mod open;
mod p1;
mod p2;

use std::collections::BTreeMap;
use std::sync::Arc;

use runner_core::wasmtime::component::Linker;
use runner_core::{
    Account, CallContext, Capability, Ending, Error as CoreError, ErrorKind as CoreErrorKind, GuestClocks, Host,
    StandardStreams, async_trait, wasmtime,
};

use self::open::OpenFiles;
use self::p2::{Oversize, Shown};
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
            let asked = mount.volume.as_deref().map(|asked| format!(" named `{}`", asked.escape_debug()));
            let asked = asked.unwrap_or_default();
            Error::new(ErrorKind::Invalid, format!("a volume{asked} is granted, this host has {known}"))
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
    clocks: Option<GuestClocks>,
    /// The descriptors of a core module; made by its first host call.
    descriptors: Option<p1::Table>,
    /// What is done outside of a host call, in a stream, is charged here.
    account: Account,
    open: Arc<OpenFiles>,
    oversize: Arc<Oversize>,
    /// What the last host call of a component has shown, where it has shown what something is.
    shown: Option<Shown>,
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

    fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
        p2::link(linker)
    }

    fn link_core(linker: &mut wasmtime::Linker<Host>) -> wasmtime::Result<()> {
        p1::link(linker)
    }

    fn check(&self, grant: &Grant) -> Result<(), CoreError> {
        let mut places = BTreeMap::new();
        for (at, mount) in &grant.mounts {
            let told = |error| invalid(at, error);
            if let Some(other) = places.insert(place(at).map_err(told)?, at) {
                let message = format!("it is the same place as `{}`", other.escape_debug());
                return Err(told(Error::new(ErrorKind::Exists, message)));
            }
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
        Ok(Files {
            tree: Arc::new(tree),
            preopens,
            sessions,
            streams: call.streams.clone(),
            clocks: call.clocks.clone(),
            descriptors: None,
            account: call.account.clone(),
            open: Arc::default(),
            oversize: Arc::default(),
            shown: None,
        })
    }

    async fn close(&self, mut files: Files, ending: &Ending<()>) -> Result<(), CoreError> {
        // A program that says no has come to its end as well: what it wrote, it wrote.
        let ended = matches!(ending, Ending::Returned(()) | Ending::Failed(_));
        let mut first = files.open.end(ended).await.err().map(unwritten);
        if let Some(descriptors) = files.descriptors.take()
            && let Err(error) = descriptors.end(ended).await
        {
            first.get_or_insert(unwritten(error));
        }
        for (at, session) in &files.sessions {
            let closed = match (ending, first.is_none()) {
                (Ending::Returned(()), true) => session.commit().await,
                // What one mount could not publish, those after it must not either.
                _ => session.discard().await,
            };
            if let Err(error) = closed {
                first.get_or_insert(unclosed(at, error));
            }
        }
        bill::settle(&files);
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

/// Core's errors show what caused them, here and below.
fn invalid(at: &str, error: Error) -> CoreError {
    CoreError::new(CoreErrorKind::Invalid, format!("mount `{}`", at.escape_debug())).source(error)
}

fn unclosed(at: &str, error: Error) -> CoreError {
    CoreError::new(kind(&error), format!("mount `{}`", at.escape_debug())).source(error)
}

/// What a guest believed to be written, and was not.
fn unwritten(error: Error) -> CoreError {
    CoreError::new(kind(&error), "nothing is published").source(error)
}

fn kind(error: &Error) -> CoreErrorKind {
    match error.kind() {
        ErrorKind::Conflict => CoreErrorKind::Conflict,
        _ => CoreErrorKind::Unavailable,
    }
}
