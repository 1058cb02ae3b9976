//! The two traits that a backend implements. They know no guest and no version of WASI: the faces are built on top.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;

/// The symbolic links that one path may lead over, as on Linux.
pub const HOPS_MAX: u32 = 40;

/// The bytes that the target of a symbolic link may have, as on Linux.
pub const TARGET_BYTES_MAX: usize = 4_095;

/// The bytes that a file may have: what an `i64` counts.
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;

/// The bytes that one read answers at most, however many are asked for: 4 MiB.
pub const READ_BYTES_MAX: usize = 4 << 20;

/// A tree of files: what an implementor owes. Users have [`VfsExt`](crate::VfsExt) on top.
///
/// Symbolic links on the way to the last name of a path are followed; whether the last one is, each operation says. No
/// link leads out of the root: one that would is [`NotPermitted`](ErrorKind::NotPermitted), as is an absolute one.
///
/// The root is always there: [`Busy`](ErrorKind::Busy) for who would remove or rename it.
///
/// A backend is done when the suite in `conformance` (a feature of that name) is green. `&self` is shared by many calls at
/// once; each operation is done whole or not at all, also where its future is dropped.
#[async_trait]
pub trait Vfs: Send + Sync + 'static {
    /// Opens a file or a directory, and creates and empties a file where that is asked for.
    ///
    /// [`Open::check`] says which questions make no sense. A directory that is opened can be asked for its
    /// [`Stat`]; it has no bytes.
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>>;

    /// What a name stands for.
    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat>;

    /// The entries of a directory, from the first one after a name, in the order of the bytes of their names. A link to a
    /// directory is followed.
    ///
    /// The name need not be there any more: it is a place in the order, and holds for ever. `.` and `..` are no entries. A
    /// page ends after `limit` entries, or earlier; [`Page::collect`] does the counting.
    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page>;

    /// Makes a directory.
    async fn create_dir(&self, path: &VPath) -> Result<()>;

    /// Takes a name from a file or a link. Who has the file open keeps it.
    async fn remove_file(&self, path: &VPath) -> Result<()>;

    /// Removes a directory that is empty. A link to one is no directory.
    async fn remove_dir(&self, path: &VPath) -> Result<()>;

    /// Gives a file, link or directory another place, over what is there: a file over a file, a directory over an empty
    /// directory. Two names of one file stay two.
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a directory into itself, [`CrossDevice`](ErrorKind::CrossDevice) into another tree.
    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()>;

    /// Gives a file or link one more name. [`NotPermitted`](ErrorKind::NotPermitted) for a directory.
    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()>;

    /// Makes a symbolic link. Its target is a text, which need not lead anywhere.
    ///
    /// [`NotPermitted`](ErrorKind::NotPermitted) for a target that begins with `/`; [`check_target`] says what else.
    async fn symlink(&self, target: &str, path: &VPath) -> Result<()>;

    /// The target of a symbolic link; [`Invalid`](ErrorKind::Invalid) for what is none.
    async fn readlink(&self, path: &VPath) -> Result<String>;

    /// Sets the times of what a name stands for.
    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()>;
}

/// An open file: what an implementor owes. It has no position; that is the descriptor's, and each guest's own.
#[async_trait]
pub trait File: Send + Sync + 'static {
    /// Some bytes from a place on: none at the end and behind it, else at least one, at most [`READ_BYTES_MAX`].
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes>;

    /// Writes all of the bytes. Between the end of the file and the place there are zeros then. No bytes change nothing.
    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()>;

    /// Writes all of the bytes behind the end, wherever that is by now, and answers where the end is then.
    async fn append(&self, bytes: Bytes) -> Result<u64>;

    /// Cuts the file off, or adds zeros.
    async fn set_len(&self, bytes: u64) -> Result<()>;

    /// Waits until what was written survives a crash of the machine, where the backend has anything that does.
    async fn sync(&self, what: Flush) -> Result<()>;

    /// What the file is now, also where it has no name any more.
    async fn stat(&self) -> Result<Stat>;

    /// Sets the times of the file.
    async fn set_times(&self, times: SetTimes) -> Result<()>;

    /// The guest is done with the file: what was held back is written, and what fails is told. It is called once, and
    /// nothing after it; a file that is dropped without it owes the guest no answer.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// How a file is opened. All is off by default, but that links are followed.
///
/// Append is not here: it is a flag of a descriptor, which may change, see [`File::append`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Its bytes may be read.
    pub read: bool,
    /// Its bytes may be written. [`IsDirectory`](ErrorKind::IsDirectory) for a directory.
    pub write: bool,
    /// It is made where it is not there.
    pub create: bool,
    /// With `create`: it must not be there, not even as a link.
    pub exclusive: bool,
    /// With `write`: it is emptied.
    pub truncate: bool,
    /// It must be a directory.
    pub directory: bool,
    /// Whether the last name may be a link; else [`Loop`](ErrorKind::Loop), or
    /// [`NotDirectory`](ErrorKind::NotDirectory) with `directory`.
    pub follow: Follow,
}

impl Open {
    /// To read what is there.
    pub fn reading() -> Self {
        Open { read: true, ..Open::default() }
    }

    /// To read and write what is there.
    pub fn writing() -> Self {
        Open { read: true, write: true, ..Open::default() }
    }

    /// To read and write, made where it is not there.
    pub fn creating() -> Self {
        Open { create: true, ..Open::writing() }
    }

    /// The same, and it must not be there.
    #[must_use]
    pub fn exclusively(self) -> Self {
        Open { exclusive: true, ..self }
    }

    /// The same, and emptied.
    #[must_use]
    pub fn truncated(self) -> Self {
        Open { truncate: true, ..self }
    }

    /// The same, of a directory only.
    #[must_use]
    pub fn directory(self) -> Self {
        Open { directory: true, ..self }
    }

    /// The same, of no link.
    #[must_use]
    pub fn no_follow(self) -> Self {
        Open { follow: Follow::No, ..self }
    }

    /// For backends: [`Invalid`](ErrorKind::Invalid) for a directory that is to be created or emptied, for `exclusive`
    /// without `create`, and for `truncate` without `write`. It comes before all else.
    pub fn check(self) -> Result<()> {
        let wrong = match self {
            Open { directory: true, create: true, .. } => "a directory is not created by opening it",
            Open { directory: true, truncate: true, .. } => "a directory is not emptied by opening it",
            Open { exclusive: true, create: false, .. } => "only what is created can be there exclusively",
            Open { truncate: true, write: false, .. } => "only what is opened for writing can be emptied",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Invalid, wrong))
    }

    /// For backends: what opening a directory is answered with, where it is not opened.
    pub fn check_directory(self, path: &VPath) -> Result<()> {
        match self {
            Open { create: true, exclusive: true, .. } => Err(Error::exists(path)),
            Open { write: true, .. } | Open { create: true, .. } => Err(Error::is_directory(path)),
            _ => Ok(()),
        }
    }

    /// Whether it may change anything.
    pub fn changes(self) -> bool {
        self.write || self.create
    }
}

/// Whether the last name of a path is followed where it is a symbolic link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// It is.
    #[default]
    Yes,
    /// The link itself is meant.
    No,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// The bytes, and the length.
    Data,
    /// The times too.
    All,
}

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    File,
    /// Names.
    Directory,
    /// The path of something else.
    Symlink,
    /// What a guest cannot open, such as a device or a socket of the machine.
    Other,
}

/// What is known about a file. Times are nanoseconds since 1970 began, UTC; those before it are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file, or of the target of a link. Of a directory it says nothing.
    pub size: u64,
    /// Names that a file has. Of a directory it says nothing.
    pub links: u64,
    /// The tree that it lies in: together with `inode` it is the file's own.
    pub device: u64,
    /// The same for as long as the file is there, whatever it is called.
    pub inode: u64,
    /// When it was last read, where somebody keeps that: none of ours does by itself, but a machine may.
    pub accessed_ns: u64,
    /// When its bytes, or its entries, last changed.
    pub modified_ns: u64,
    /// When anything about it last changed.
    pub changed_ns: u64,
}

/// Times to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetTimes {
    /// When it was last read.
    pub accessed: SetTime,
    /// When it was last changed.
    pub modified: SetTime,
}

/// A time to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetTime {
    /// It stays as it is.
    #[default]
    Keep,
    /// What the backend's clock says.
    Now,
    /// Nanoseconds since 1970 began.
    To(u64),
}

impl SetTime {
    /// For backends: what to set, if anything.
    pub fn or(self, kept: u64, now_ns: impl FnOnce() -> u64) -> u64 {
        match self {
            SetTime::Keep => kept,
            SetTime::Now => now_ns(),
            SetTime::To(ns) => ns,
        }
    }
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is; a link is not followed.
    pub kind: Kind,
    /// Its [`Stat::device`], where the listing tells it.
    pub device: Option<u64>,
    /// Its [`Stat::inode`].
    pub inode: u64,
}

/// Some entries of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries, in the order of the bytes of their names.
    pub entries: Vec<Entry>,
    /// Whether there are more: ask again for what is after the last name.
    pub more: bool,
}

impl Page {
    /// Entries that a page has at most, whatever its limit: of the longest names they are 2.5 MiB.
    pub const ENTRIES_MAX: usize = 10_000;

    /// For backends: takes as many as a page holds. At least one, where there is one.
    pub fn collect(entries: impl Iterator<Item = Entry>, limit: NonZeroU32) -> Page {
        let mut entries = entries.peekable();
        let taken = entries.by_ref().take(Self::most(limit)).collect();
        Page { entries: taken, more: entries.peek().is_some() }
    }

    /// For backends: how many entries a page has at most.
    pub fn most(limit: NonZeroU32) -> usize {
        Self::ENTRIES_MAX.min(limit.get() as usize)
    }
}

/// For backends: what the target of a symbolic link may be.
///
/// # Errors
///
/// [`NotFound`](ErrorKind::NotFound) where it is empty, [`NotPermitted`](ErrorKind::NotPermitted) where it begins with `/`,
/// [`NameTooLong`](ErrorKind::NameTooLong) over [`TARGET_BYTES_MAX`], [`IllegalName`](ErrorKind::IllegalName) with NUL.
pub fn check_target(target: &str) -> Result<()> {
    let (kind, message) = match target {
        "" => (ErrorKind::NotFound, "the target of the link is empty".to_owned()),
        _ if target.starts_with('/') => (ErrorKind::NotPermitted, format!("target `{target}` leads out of the tree")),
        _ if target.contains('\0') => (ErrorKind::IllegalName, "the target of the link contains NUL".to_owned()),
        _ if target.len() > TARGET_BYTES_MAX => {
            let found = target.len();
            (ErrorKind::NameTooLong, format!("the target has {found} bytes, {TARGET_BYTES_MAX} are allowed"))
        }
        _ => return Ok(()),
    };
    Err(Error::new(kind, message))
}

/// For backends: where a write ends; [`TooLarge`](ErrorKind::TooLarge) behind [`FILE_BYTES_MAX`].
pub fn end_of(offset: u64, bytes: usize) -> Result<u64> {
    let end = offset.saturating_add(bytes as u64);
    match end <= FILE_BYTES_MAX {
        true => Ok(end),
        false => Err(Error::too_large(end, FILE_BYTES_MAX)),
    }
}

macro_rules! forward {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<V: Vfs + ?Sized> Vfs for $pointer<V> {
            async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
                (**self).open(path, how).await
            }
            async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
                (**self).stat(path, follow).await
            }
            async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
                (**self).list(path, after, limit).await
            }
            async fn create_dir(&self, path: &VPath) -> Result<()> {
                (**self).create_dir(path).await
            }
            async fn remove_file(&self, path: &VPath) -> Result<()> {
                (**self).remove_file(path).await
            }
            async fn remove_dir(&self, path: &VPath) -> Result<()> {
                (**self).remove_dir(path).await
            }
            async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
                (**self).rename(from, to).await
            }
            async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
                (**self).link(from, follow, to).await
            }
            async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
                (**self).symlink(target, path).await
            }
            async fn readlink(&self, path: &VPath) -> Result<String> {
                (**self).readlink(path).await
            }
            async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
                (**self).set_times(path, follow, times).await
            }
        }
    )+};
}

forward!(Arc, Box);
