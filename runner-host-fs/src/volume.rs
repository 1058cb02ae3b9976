//! What a mount is of, and the view of it that one call has. Guests' faces know nothing else of a backend.
//!
//! Below: the volumes that are made of a tree ([`held`]), each call's draft ([`draft`]), how a draft is published and
//! finished after a crash ([`commit`]).

mod commit;
mod door;
mod draft;
mod ground;
mod held;
mod local;
mod prefix;
mod quotas;
mod recorder;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::ground::VfsVolume;
pub(crate) use self::held::Keeper;
pub(crate) use self::local::LocalHost;
use crate::error::Result;
use crate::path::VPath;
use crate::vfs::Vfs;

/// A tree that outlives the calls, and gives each its own view: what a mount is of.
///
/// A host registers one under a name, and a grant says which part of it a program sees, and how.
#[async_trait]
pub trait Volume: Send + Sync + 'static {
    /// Whether such a view can be had, told when a program is loaded. Cheap: nothing is asked of the place that keeps
    /// the files.
    fn check(&self, view: &View) -> Result<()>;

    /// Opens a view for one call. Cheap: what takes time belongs into its first use.
    fn open(&self, view: &View) -> Result<Arc<dyn Session>>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<V: Volume + ?Sized> Volume for Arc<V> {
    fn check(&self, view: &View) -> Result<()> {
        (**self).check(view)
    }

    fn open(&self, view: &View) -> Result<Arc<dyn Session>> {
        (**self).open(view)
    }
}

/// What of a volume a call sees, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The directory of the volume that is the view's root. It cannot be left. It need not be there: it is made by the first
    /// write.
    pub prefix: VPath,
    /// When what is written is published.
    pub mode: Mode,
    /// Bytes of all files below the prefix; `None` for no bound.
    pub bytes: Option<u64>,
    /// Files, directories and links below the prefix; `None` for no bound.
    pub files: Option<u64>,
    /// Bytes of one file; `None` for no bound but the backend's.
    pub file_bytes: Option<u64>,
    /// How much of the volume's cache may be this view's; `None` for all of it. Ignored by a volume that has none.
    pub cache_bytes: Option<u64>,
}

impl View {
    /// All of a volume, published on success, without bounds.
    pub fn all() -> Self {
        View {
            prefix: VPath::root(),
            mode: Mode::default(),
            bytes: None,
            files: None,
            file_bytes: None,
            cache_bytes: None,
        }
    }
}

/// When what a guest writes is there for others to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing may be written.
    ReadOnly,
    /// When the guest has returned; what a guest wrote that failed, trapped or met a limit is discarded.
    #[default]
    OnSuccess,
    /// Each file when it is synced or closed, at the latest, whatever becomes of the call.
    OnSync,
}

/// A volume, as one call sees it.
///
/// Either [`commit`](Session::commit) or [`discard`](Session::discard) is called, once, when the guest has ended and nobody uses
/// the files any more. Where the session is dropped without either, it is as discarded.
#[async_trait]
pub trait Session: Send + Sync + 'static {
    /// The files. The same tree each time.
    fn files(&self) -> Arc<dyn Vfs>;

    /// The guest returned: publishes what waited for that. What is published once stays so.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) where somebody else changed the same files, with the path: nothing was published, and
    /// the answer is to run again. Other kinds say in their words what was published, what was not, and what may be yet.
    async fn commit(&self) -> Result<()>;

    /// The guest did not return: what waited for that is gone.
    async fn discard(&self) -> Result<()>;

    /// What the call has published so far.
    fn changes(&self) -> Changes;

    /// What was done for the call so far, by name: requests, bytes. A name is lower case with `_`, and ends with its unit where
    /// it counts no events: `s3_get`, `cache_bytes`, `committed_bytes`.
    fn usage(&self) -> BTreeMap<&'static str, u64>;
}

/// What a call has published: each path once, by what is different now. Not more than [`Changes::NAMES_MAX`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// They were not there before.
    pub added: Vec<VPath>,
    /// They were there, with other bytes, or as something else.
    pub changed: Vec<VPath>,
    /// They are gone.
    pub removed: Vec<VPath>,
    /// How many more there are, which are not named.
    pub unnamed: u64,
}

impl Changes {
    /// Names that are kept at most; the rest is counted.
    pub const NAMES_MAX: usize = 1_000;

    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty() && self.unnamed == 0
    }
}
