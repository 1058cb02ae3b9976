//! Files.

mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod ext;
mod local;
mod memory;
mod mounts;
mod overlay;
mod path;
mod quota;
mod read_only;
mod vfs;
mod walk;

pub use self::clock::{Clock, ManualClock, SystemClock};
pub use self::error::{Error, ErrorKind, Result};
pub use self::ext::{Located, Tree, VfsExt};
pub use self::local::LocalFs;
pub use self::memory::{MemoryFs, MemoryLimits};
pub use self::mounts::Mounts;
pub use self::overlay::Overlay;
pub use self::path::{NAME_BYTES_MAX, PATH_BYTES_MAX, VPath};
pub use self::quota::{Quota, QuotaLimits, QuotaUsage};
pub use self::read_only::ReadOnly;
pub use self::vfs::{
    Entry, FILE_BYTES_MAX, File, Flush, Follow, HOPS_MAX, Kind, Open, Page, READ_BYTES_MAX, SetTime, SetTimes, Stat,
    TARGET_BYTES_MAX, Vfs, check_target, end_of,
};

/// For the `impl` of a [`Vfs`] and a [`File`].
pub use async_trait::async_trait;
