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

/// What a guest cannot tell from its code alone. What it asks for that is not there is its daily bread.
fn log(error: &Error) {
    if let ErrorKind::Conflict | ErrorKind::Io | ErrorKind::NoSpace | ErrorKind::Quota = error.kind() {
        tracing::debug!(kind = ?error.kind(), source = ?std::error::Error::source(error), "files: {error}");
    }
}
