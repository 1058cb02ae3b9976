//! The one place where a tree's "no" becomes a code that a guest is given. The words stay here: they go to the log.

use super::p2::ErrorCode;
use crate::error::{Error, ErrorKind};

/// The code of WASI 0.2.
pub(super) fn code(error: &Error) -> ErrorCode {
    log(error);
    match error.kind() {
        ErrorKind::NotFound => ErrorCode::NoEntry,
        ErrorKind::Exists => ErrorCode::Exist,
        ErrorKind::NotDirectory => ErrorCode::NotDirectory,
        ErrorKind::IsDirectory => ErrorCode::IsDirectory,
        ErrorKind::NotEmpty => ErrorCode::NotEmpty,
        ErrorKind::Denied => ErrorCode::Access,
        ErrorKind::NotPermitted => ErrorCode::NotPermitted,
        ErrorKind::ReadOnly => ErrorCode::ReadOnly,
        ErrorKind::BadDescriptor => ErrorCode::BadDescriptor,
        ErrorKind::Loop => ErrorCode::Loop,
        ErrorKind::NameTooLong => ErrorCode::NameTooLong,
        ErrorKind::IllegalName => ErrorCode::IllegalByteSequence,
        ErrorKind::NoSpace => ErrorCode::InsufficientSpace,
        ErrorKind::Quota => ErrorCode::Quota,
        ErrorKind::TooLarge => ErrorCode::FileTooLarge,
        ErrorKind::Invalid => ErrorCode::Invalid,
        ErrorKind::CrossDevice => ErrorCode::CrossDevice,
        ErrorKind::Busy => ErrorCode::Busy,
        ErrorKind::Unsupported => ErrorCode::Unsupported,
        ErrorKind::Conflict | ErrorKind::Io => ErrorCode::Io,
    }
}

/// The code of preview 1.
pub(super) fn errno(error: &Error) -> Errno {
    log(error);
    match error.kind() {
        ErrorKind::NotFound => Errno::NOENT,
        ErrorKind::Exists => Errno::EXIST,
        ErrorKind::NotDirectory => Errno::NOTDIR,
        ErrorKind::IsDirectory => Errno::ISDIR,
        ErrorKind::NotEmpty => Errno::NOTEMPTY,
        ErrorKind::Denied => Errno::ACCES,
        ErrorKind::NotPermitted => Errno::PERM,
        ErrorKind::ReadOnly => Errno::ROFS,
        ErrorKind::BadDescriptor => Errno::BADF,
        ErrorKind::Loop => Errno::LOOP,
        ErrorKind::NameTooLong => Errno::NAMETOOLONG,
        ErrorKind::IllegalName => Errno::ILSEQ,
        ErrorKind::NoSpace => Errno::NOSPC,
        ErrorKind::Quota => Errno::DQUOT,
        ErrorKind::TooLarge => Errno::FBIG,
        ErrorKind::Invalid => Errno::INVAL,
        ErrorKind::CrossDevice => Errno::XDEV,
        ErrorKind::Busy => Errno::BUSY,
        ErrorKind::Unsupported => Errno::NOTSUP,
        ErrorKind::Conflict | ErrorKind::Io => Errno::IO,
    }
}

/// A code of preview 1: its place in the list of its `typenames.witx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno(u16);

impl Errno {
    pub(super) const SUCCESS: Errno = Errno(0);
    pub(super) const ACCES: Errno = Errno(2);
    pub(super) const BADF: Errno = Errno(8);
    pub(super) const BUSY: Errno = Errno(10);
    pub(super) const DQUOT: Errno = Errno(19);
    pub(super) const EXIST: Errno = Errno(20);
    pub(super) const FAULT: Errno = Errno(21);
    pub(super) const FBIG: Errno = Errno(22);
    pub(super) const ILSEQ: Errno = Errno(25);
    pub(super) const INVAL: Errno = Errno(28);
    pub(super) const IO: Errno = Errno(29);
    pub(super) const ISDIR: Errno = Errno(31);
    pub(super) const LOOP: Errno = Errno(32);
    pub(super) const MFILE: Errno = Errno(33);
    pub(super) const NAMETOOLONG: Errno = Errno(37);
    pub(super) const NOENT: Errno = Errno(44);
    pub(super) const NOSPC: Errno = Errno(51);
    pub(super) const NOTDIR: Errno = Errno(54);
    pub(super) const NOTEMPTY: Errno = Errno(55);
    pub(super) const NOTSOCK: Errno = Errno(57);
    pub(super) const NOTSUP: Errno = Errno(58);
    pub(super) const OVERFLOW: Errno = Errno(61);
    pub(super) const PERM: Errno = Errno(63);
    pub(super) const ROFS: Errno = Errno(69);
    pub(super) const SPIPE: Errno = Errno(70);
    pub(super) const XDEV: Errno = Errno(75);
    pub(super) const NOTCAPABLE: Errno = Errno(76);

    pub(super) fn number(self) -> u16 {
        self.0
    }
}

/// What a guest cannot tell from its code alone. What it asks for that is not there is its daily bread.
fn log(error: &Error) {
    if let ErrorKind::Conflict | ErrorKind::Io | ErrorKind::NoSpace | ErrorKind::Quota = error.kind() {
        tracing::debug!(kind = ?error.kind(), source = ?std::error::Error::source(error), "files: {error}");
    }
}
