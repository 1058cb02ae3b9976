//! Files for guests of Runner: one tree over memory, a local directory or a bucket of S3, and what is put before, over and around it.
//!
//! ```no_run
#![doc = include_str!("../examples/scratch.rs")]
//! ```
//!
//! # The tree
//!
//! A backend implements [`Vfs`] and [`File`], which hold the little that only it knows; everybody else uses [`VfsExt`] on top.
//! Both traits are object-safe, and name neither a guest nor a version of WASI. [`MemoryFs`] is the reference, [`LocalFs`] a
//! directory of this machine; [`ReadOnly`], [`Quota`], [`Overlay`] and [`Mounts`] wrap any of them, and each other. A bucket
//! (`S3Fs`, feature `s3`) is a [`Volume`]: each call has a tree of its own of it.
//!
//! # Paths
//!
//! A [`VPath`] is parsed once, where a guest's text comes in, and has no `..`: nobody below looks for one again. What a
//! guest writes from a directory that it has open is read by [`VfsExt::locate`], which heeds symbolic links before `..`.
//!
//! # Links
//!
//! Every tree follows symbolic links by itself, up to [`HOPS_MAX`], and none leads out of its root.
//!
//! # What a descriptor is not
//!
//! A [`File`] has no position, no append flag and no flag for synchronous writes. These belong to the descriptor of a guest,
//! which may change them while the file is open: it calls [`File::append`] in the place of [`File::write_at`], and
//! [`File::sync`] after it. Nor do rights belong here, but for [`Open::read`] and [`Open::write`].
//!
//! # A tree of your own
//!
//! It is done when the suite in `conformance` (feature `conformance`) is green, alone and under each wrapper.

mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod ext;
mod grant;
mod local;
mod memory;
mod mounts;
mod overlay;
mod path;
mod quota;
mod read_only;
#[cfg(feature = "s3")]
mod s3;
mod vfs;
mod volume;
mod walk;
mod wasi;

pub use self::clock::{Clock, ManualClock, SystemClock};
pub use self::error::{Error, ErrorKind, Result};
pub use self::ext::{Located, Tree, VfsExt};
pub use self::grant::{Grant, Mount};
pub use self::local::LocalFs;
pub use self::memory::{MemoryFs, MemoryLimits};
pub use self::mounts::Mounts;
pub use self::overlay::Overlay;
pub use self::path::{NAME_BYTES_MAX, PATH_BYTES_MAX, VPath};
pub use self::quota::{Quota, QuotaLimits, QuotaUsage};
pub use self::read_only::ReadOnly;
#[cfg(feature = "s3")]
pub use self::s3::{S3Cache, S3Credentials, S3Draft, S3Fs, S3Retry, S3Settings};
pub use self::vfs::{
    Entry, FILE_BYTES_MAX, File, Flush, Follow, HOPS_MAX, Kind, Open, Page, READ_BYTES_MAX, SetTime, SetTimes, Stat,
    TARGET_BYTES_MAX, Vfs, check_target, end_of,
};
pub use self::volume::{Changes, Mode, Session, VfsVolume, View, Volume};
#[doc(hidden)]
pub use self::wasi::Files;
pub use self::wasi::HostFs;

/// For the `impl` of a [`Vfs`] and a [`File`].
pub use async_trait::async_trait;
