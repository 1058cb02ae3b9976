//! What a tree of files says no with. Each kind has one code in WASI; the faces translate it there, and nowhere else.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything that a tree of files does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why it was not done.
///
/// What was asked for has not happened, not even in part; [`ErrorKind::Io`] and [`ErrorKind::NoSpace`] of a machine's disk
/// are the exception: a write may have reached the disk in part.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What to do about it. In brackets the `errno` of WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing has this name: create it, or ask for another (`noent`).
    NotFound,
    /// Something has this name already: remove it, or take another (`exist`).
    Exists,
    /// A directory is needed here, and this is none (`notdir`).
    NotDirectory,
    /// This is a directory, and what was asked for is not done to one (`isdir`).
    IsDirectory,
    /// The directory has entries: remove them first (`notempty`).
    NotEmpty,
    /// The owner of the files has not allowed it (`acces`).
    Denied,
    /// Nobody may do this here, such as leave the root (`perm`).
    NotPermitted,
    /// The tree may be read, and not written (`rofs`).
    ReadOnly,
    /// The file was not opened for this: open it again (`badf`).
    BadDescriptor,
    /// More than [40](crate::HOPS_MAX) symbolic links, or one where none is followed (`loop`).
    Loop,
    /// A name has more than 255 bytes, or a path more than 4,096 (`nametoolong`).
    NameTooLong,
    /// A name has a byte that no name may have (`ilseq`).
    IllegalName,
    /// There is no room left: remove something (`nospc`).
    NoSpace,
    /// The grant is used up: remove something, or have it raised (`dquot`).
    Quota,
    /// The file would be larger than a file may be (`fbig`).
    TooLarge,
    /// What was asked for makes no sense: ask for something else (`inval`).
    Invalid,
    /// The two paths lie in different trees: copy, then remove (`xdev`).
    CrossDevice,
    /// It is in use, such as the root and the place of a mount (`busy`).
    Busy,
    /// This tree cannot do it (`notsup`).
    Unsupported,
    /// Somebody else changed it in the meantime: begin again from what is there now (`io`).
    Conflict,
    /// The place that keeps the files failed: try again later (`io`).
    Io,
}

impl Error {
    /// An error of a kind, with what was expected and what was found.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn not_found(path: impl fmt::Display) -> Self {
        Error::new(ErrorKind::NotFound, format!("`{path}` is not there"))
    }

    pub(crate) fn exists(path: impl fmt::Display) -> Self {
        Error::new(ErrorKind::Exists, format!("`{path}` is there already"))
    }

    pub(crate) fn not_directory(path: impl fmt::Display) -> Self {
        Error::new(ErrorKind::NotDirectory, format!("`{path}` is no directory"))
    }

    pub(crate) fn is_directory(path: impl fmt::Display) -> Self {
        Error::new(ErrorKind::IsDirectory, format!("`{path}` is a directory"))
    }

    pub(crate) fn not_empty(path: impl fmt::Display) -> Self {
        Error::new(ErrorKind::NotEmpty, format!("directory `{path}` is not empty"))
    }

    pub(crate) fn not_opened_for(what: &str) -> Self {
        Error::new(ErrorKind::BadDescriptor, format!("the file is not open for {what}"))
    }

    pub(crate) fn file_is_directory() -> Self {
        Error::new(ErrorKind::IsDirectory, "a directory has no bytes: list it")
    }

    pub(crate) fn prefix_link(prefix: impl fmt::Display) -> Self {
        Error::new(ErrorKind::NotPermitted, format!("a symbolic link lies on the way to the prefix `{prefix}`"))
    }

    pub(crate) fn busy_root() -> Self {
        Error::new(ErrorKind::Busy, "the root is neither removed nor renamed")
    }

    pub(crate) fn too_large(found: u64, allowed: u64) -> Self {
        Error::new(ErrorKind::TooLarge, format!("the file would have {found} bytes, {allowed} are allowed"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
