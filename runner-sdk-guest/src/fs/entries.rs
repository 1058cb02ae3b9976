//! What is known of a file, and what is in a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use wasip2::clocks::wall_clock::Datetime;
use wasip2::filesystem::types::{DescriptorStat, DescriptorType, DirectoryEntryStream};

use super::error::{Error, Result};
use super::{read_dir, symlink_metadata};

/// What something in a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileType {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else: neither opened nor made here.
    Other,
}

impl FileType {
    /// Whether it is a file.
    pub fn is_file(self) -> bool {
        self == FileType::File
    }

    /// Whether it is a directory.
    pub fn is_dir(self) -> bool {
        self == FileType::Directory
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(self) -> bool {
        self == FileType::Symlink
    }
}

impl From<DescriptorType> for FileType {
    fn from(told: DescriptorType) -> Self {
        match told {
            DescriptorType::RegularFile => FileType::File,
            DescriptorType::Directory => FileType::Directory,
            DescriptorType::SymbolicLink => FileType::Symlink,
            _ => FileType::Other,
        }
    }
}

/// What is known of a file.
#[derive(Clone, Debug)]
pub struct Metadata(DescriptorStat);

impl Metadata {
    pub(super) fn new(stat: DescriptorStat) -> Self {
        Metadata(stat)
    }

    /// What it is.
    pub fn file_type(&self) -> FileType {
        self.0.type_.into()
    }

    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// Whether it is a symbolic link, as [`symlink_metadata`] alone finds one.
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// Bytes of a file. Of a directory it says nothing.
    #[allow(clippy::len_without_is_empty, reason = "std has none either")]
    pub fn len(&self) -> u64 {
        self.0.size
    }

    /// Names of the same file.
    pub fn links(&self) -> u64 {
        self.0.link_count
    }

    /// When its bytes were last changed, by the clock of the place that keeps it; `None` where that is not known.
    pub fn modified(&self) -> Option<SystemTime> {
        time(self.0.data_modification_timestamp?)
    }

    /// When it was last read, where the place that keeps it takes note of that; `None` where that is not known.
    pub fn accessed(&self) -> Option<SystemTime> {
        time(self.0.data_access_timestamp?)
    }
}

fn time(told: Datetime) -> Option<SystemTime> {
    let whole = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(told.seconds))?;
    whole.checked_add(Duration::from_nanos(told.nanoseconds.into()))
}

/// The entries of [`read_dir`](super::read_dir), without `.` and `..`. After an error there are no more.
#[derive(Debug)]
pub struct ReadDir {
    directory: Arc<str>,
    /// Until its end.
    entries: Option<DirectoryEntryStream>,
}

impl ReadDir {
    pub(super) fn new(directory: &str, entries: DirectoryEntryStream) -> Self {
        ReadDir { directory: directory.into(), entries: Some(entries) }
    }
}

impl Iterator for ReadDir {
    type Item = Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.entries.as_ref()?.read_directory_entry() {
            Ok(Some(entry)) => {
                let directory = Arc::clone(&self.directory);
                Some(Ok(DirEntry { directory, name: entry.name, file_type: entry.type_.into() }))
            }
            Ok(None) => {
                self.entries = None;
                None
            }
            Err(code) => {
                self.entries = None;
                Some(Err(Error::told(code, format_args!("cannot list `{}`", self.directory))))
            }
        }
    }
}

impl std::iter::FusedIterator for ReadDir {}

/// The entries of [`walk`](super::walk).
#[derive(Debug)]
pub struct Walk {
    now: ReadDir,
    ahead: Vec<PathBuf>,
}

impl Walk {
    pub(super) fn new(first: ReadDir) -> Self {
        Walk { now: first, ahead: Vec::new() }
    }
}

impl Iterator for Walk {
    type Item = Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.now.next() {
                Some(Ok(entry)) => {
                    if entry.file_type().is_dir() {
                        self.ahead.push(entry.path());
                    }
                    return Some(Ok(entry));
                }
                Some(Err(error)) => return Some(Err(error)),
                None => match read_dir(self.ahead.pop()?) {
                    Ok(next) => self.now = next,
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }
}

impl std::iter::FusedIterator for Walk {}

/// One of what is in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    directory: Arc<str>,
    name: String,
    file_type: FileType,
}

impl DirEntry {
    /// Its name in the directory.
    pub fn file_name(&self) -> &str {
        &self.name
    }

    /// The path of the directory, as it was given to [`read_dir`](super::read_dir), and the name behind it.
    pub fn path(&self) -> PathBuf {
        Path::new(&*self.directory).join(&self.name)
    }

    /// What it is; a link is one.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// What is known of it now; a link is not followed.
    pub fn metadata(&self) -> Result<Metadata> {
        symlink_metadata(self.path())
    }
}
