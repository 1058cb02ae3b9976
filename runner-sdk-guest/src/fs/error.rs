//! Why something was not done to a file, by what the guest does next. The one place that knows the standard's codes.

use std::fmt;
use std::io;

use wasip2::filesystem::types::ErrorCode;

/// The result of everything that is done to files.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why it was not done. As a [`Failure`](crate::Failure) it has a [code](Error::code), a message, and whether another attempt
/// may succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What to do about an [`Error`].
///
/// That somebody else changed a file in the meantime has no code in the standard: it is [`Io`](ErrorKind::Io). Of most such
/// changes the host learns when the call has returned, and the call is the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing has this name: create it, or ask for another.
    NotFound,
    /// Something has this name already: remove it, or take another.
    AlreadyExists,
    /// The path lies in no mount: ask for another, or have one granted.
    NoMount,
    /// The path or a link leads out of its mount, or the owner of the files does not allow it.
    NotPermitted,
    /// The mount is granted for reading only: have it granted for writing.
    ReadOnly,
    /// This is a directory, and what was asked for is not done to one.
    IsDirectory,
    /// A directory is needed here, and this is none.
    NotDirectory,
    /// The directory has entries: remove them first.
    NotEmpty,
    /// The file would be larger than one may be, or than the guest's memory, into which it is read.
    TooLarge,
    /// The bytes or the names that were granted are used up, or there is no room left: remove something.
    Full,
    /// The two paths lie in different mounts: copy, then remove.
    OtherMount,
    /// The file is not open for this, or was closed with its request: open it again.
    NotOpened,
    /// It is in use, such as the place of a mount.
    Busy,
    /// The file is not text in UTF-8: read its bytes.
    NotText,
    /// The file ended before as many bytes as were asked for: ask for fewer.
    TooShort,
    /// What was asked for makes no sense, such as a path that does not begin with `/`: change it.
    Invalid,
    /// The mount cannot do it.
    Unsupported,
    /// The place that keeps the files failed, or somebody else changed them: try again later, from the beginning.
    Io,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into() }
    }

    /// `doing` says what was to be done to which path, such as "cannot open `/data/a`".
    pub(super) fn told(code: ErrorCode, doing: impl fmt::Display) -> Self {
        let (kind, why) = meant(code);
        Error::new(kind, format!("{doing}: {why}"))
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same work may succeed later: where the place of the files failed, or somebody else was faster.
    pub fn is_retryable(&self) -> bool {
        self.kind == ErrorKind::Io
    }

    /// The code of the [`Failure`](crate::Failure) that it becomes, such as `fs-not-found`.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::NotFound => "fs-not-found",
            ErrorKind::AlreadyExists => "fs-already-exists",
            ErrorKind::NoMount => "fs-no-mount",
            ErrorKind::NotPermitted => "fs-not-permitted",
            ErrorKind::ReadOnly => "fs-read-only",
            ErrorKind::IsDirectory => "fs-is-directory",
            ErrorKind::NotDirectory => "fs-not-directory",
            ErrorKind::NotEmpty => "fs-not-empty",
            ErrorKind::TooLarge => "fs-too-large",
            ErrorKind::Full => "fs-full",
            ErrorKind::OtherMount => "fs-other-mount",
            ErrorKind::NotOpened => "fs-not-opened",
            ErrorKind::Busy => "fs-busy",
            ErrorKind::NotText => "fs-not-text",
            ErrorKind::TooShort => "fs-too-short",
            ErrorKind::Invalid => "fs-invalid",
            ErrorKind::Unsupported => "fs-unsupported",
            ErrorKind::Io => "fs-io",
        }
    }
}

/// What a code says, and in which words. Those that are left are of pipes, devices and locks, or of a later standard.
fn meant(code: ErrorCode) -> (ErrorKind, &'static str) {
    match code {
        ErrorCode::NoEntry => (ErrorKind::NotFound, "there is nothing of this name"),
        ErrorCode::Exist => (ErrorKind::AlreadyExists, "there is something of this name already"),
        ErrorCode::NotPermitted => (ErrorKind::NotPermitted, "nobody may do that, such as leave the mount"),
        ErrorCode::Access => (ErrorKind::NotPermitted, "the owner of the files does not allow it"),
        ErrorCode::ReadOnly => (ErrorKind::ReadOnly, "the mount is granted for reading only"),
        ErrorCode::IsDirectory => (ErrorKind::IsDirectory, "it is a directory"),
        ErrorCode::NotDirectory => (ErrorKind::NotDirectory, "it is no directory, or lies in what is none"),
        ErrorCode::NotEmpty => (ErrorKind::NotEmpty, "the directory is not empty"),
        ErrorCode::FileTooLarge => (ErrorKind::TooLarge, "the file would be larger than it may be"),
        ErrorCode::Quota => (ErrorKind::Full, "what was granted is used up"),
        ErrorCode::InsufficientSpace => (ErrorKind::Full, "there is no room left"),
        ErrorCode::CrossDevice => (ErrorKind::OtherMount, "the two lie in different mounts"),
        ErrorCode::BadDescriptor => (ErrorKind::NotOpened, "it is not open for this"),
        ErrorCode::Busy | ErrorCode::TextFileBusy | ErrorCode::Deadlock => (ErrorKind::Busy, "it is in use"),
        ErrorCode::Loop => (ErrorKind::Invalid, "there are more links on the way than are followed"),
        ErrorCode::NameTooLong => (ErrorKind::Invalid, "the path or a name in it is too long"),
        ErrorCode::IllegalByteSequence => (ErrorKind::Invalid, "the path has a character that no name has"),
        ErrorCode::Invalid
        | ErrorCode::InvalidSeek
        | ErrorCode::MessageSize
        | ErrorCode::NoTty
        | ErrorCode::Overflow => (ErrorKind::Invalid, "it makes no sense"),
        ErrorCode::Unsupported => (ErrorKind::Unsupported, "the mount cannot do it"),
        ErrorCode::Io => (ErrorKind::Io, "the place of the files failed, or somebody else changed them"),
        ErrorCode::TooManyLinks => (ErrorKind::Unsupported, "it has as many names as one may have"),
        _ => (ErrorKind::Io, "the place of the files failed"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// With the same message. As a [`Failure`](crate::Failure) it has the same code.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            ErrorKind::NoMount | ErrorKind::NotPermitted => io::ErrorKind::PermissionDenied,
            ErrorKind::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
            ErrorKind::IsDirectory => io::ErrorKind::IsADirectory,
            ErrorKind::NotDirectory => io::ErrorKind::NotADirectory,
            ErrorKind::NotEmpty => io::ErrorKind::DirectoryNotEmpty,
            ErrorKind::TooLarge => io::ErrorKind::FileTooLarge,
            ErrorKind::Full => io::ErrorKind::StorageFull,
            ErrorKind::OtherMount => io::ErrorKind::CrossesDevices,
            ErrorKind::Busy => io::ErrorKind::ResourceBusy,
            ErrorKind::NotText => io::ErrorKind::InvalidData,
            ErrorKind::TooShort => io::ErrorKind::UnexpectedEof,
            ErrorKind::Invalid => io::ErrorKind::InvalidInput,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::NotOpened | ErrorKind::Io => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;

    #[test]
    fn an_error_is_the_same_failure_by_way_of_std() {
        let cases = [
            (ErrorCode::NoEntry, "fs-not-found", io::ErrorKind::NotFound, false),
            (ErrorCode::Quota, "fs-full", io::ErrorKind::StorageFull, false),
            (ErrorCode::ReadOnly, "fs-read-only", io::ErrorKind::ReadOnlyFilesystem, false),
            (ErrorCode::Io, "fs-io", io::ErrorKind::Other, true),
        ];
        for (code, word, kind, retryable) in cases {
            let error = Error::told(code, "cannot read `/data/a`");
            let failure = Failure::from(error.clone());
            assert_eq!((failure.code.as_str(), failure.retryable), (word, retryable));
            assert_eq!(failure.message, error.to_string());
            let by_way_of_std = io::Error::from(error);
            assert_eq!(by_way_of_std.kind(), kind);
            assert_eq!(Failure::from(by_way_of_std), failure);
        }
    }
}
