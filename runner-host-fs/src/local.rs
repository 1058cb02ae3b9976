//! The tree that is a directory of this machine, held by a handle. What lies outside of it cannot be named: every path goes
//! through cap-std, which asks the kernel to stay beneath the handle, or goes name by name where the kernel cannot.

use std::collections::BinaryHeap;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt, SystemTimeSpec};
use cap_std::fs::{Dir, FileExt, FileType, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use cap_std::time::{Duration, SystemTime};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::os::unix::fs::DirEntryExt;

use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{
    Entry, FILE_BYTES_MAX, File, Flush, Follow, Kind, Open, Page, READ_BYTES_MAX, SetTime, SetTimes, Stat, Vfs,
    check_target, end_of,
};

/// A directory of this machine, and what is below it. Clones are the same tree.
///
/// What others change in it is seen. Names that are not UTF-8 are not shown, and a directory that has one is not empty.
/// Devices, pipes and sockets are shown as [`Kind::Other`] and are not opened. Files are made with the process's rights,
/// readable for all as far as its umask allows.
///
/// Times, inodes and [`NoSpace`](ErrorKind::NoSpace) are the machine's: a write that the disk has no room for may be done in
/// part. Work that blocks is done on the runtime's threads for it.
///
/// For Linux and other Unix systems, within a runtime of tokio.
#[derive(Clone)]
pub struct LocalFs {
    root: Arc<Dir>,
}

impl LocalFs {
    /// Holds a directory, which must be there. It may be renamed then, and is still the one.
    ///
    /// # Errors
    ///
    /// Those of opening it: [`NotFound`](ErrorKind::NotFound), [`NotDirectory`](ErrorKind::NotDirectory),
    /// [`Denied`](ErrorKind::Denied).
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        let directory = directory.as_ref();
        let root = cap_std::fs::Dir::open_ambient_dir(directory, cap_std::ambient_authority());
        let root = root.map_err(|error| told(error, directory.display()))?;
        Ok(LocalFs { root: Arc::new(root) })
    }

    /// Does what blocks elsewhere, and finishes it also where nobody waits any more.
    async fn aside<T: Send + 'static>(
        &self,
        path: &VPath,
        work: impl FnOnce(&Dir, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (root, named) = (self.root.clone(), path.clone());
        let done = aside(move || work(&root, relative(&named))).await?;
        done.map_err(|error| told(error, path))
    }
}

/// Does what blocks on a thread for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let lost = |error| Error::new(ErrorKind::Io, "the thread for files is gone").caused_by(error);
    tokio::task::spawn_blocking(work).await.map_err(lost)
}

fn relative(path: &VPath) -> &Path {
    Path::new(if path.is_root() { "." } else { path.as_relative() })
}

#[async_trait]
impl Vfs for LocalFs {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        how.check()?;
        if path.is_root() {
            how.check_directory(path)?;
        }
        let (root, named) = (self.root.clone(), path.clone());
        let file = aside(move || open(&root, &named, how)).await??;
        Ok(Arc::new(LocalFile { file: Arc::new(file), how }))
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        let metadata = self.aside(path, move |root, path| match follow {
            Follow::Yes => root.metadata(path),
            Follow::No => root.symlink_metadata(path),
        });
        Ok(stat_of(&metadata.await?))
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        let after = after.map(str::to_owned);
        self.aside(path, move |root, path| list(root, path, after.as_deref(), limit)).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        match path.is_root() {
            true => Err(Error::exists(path)),
            false => self.aside(path, |root, path| root.create_dir(path)).await,
        }
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        match path.is_root() {
            true => Err(Error::is_directory(path)),
            false => self.aside(path, |root, path| root.remove_file(path)).await,
        }
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        match path.is_root() {
            true => Err(Error::busy_root()),
            false => self.aside(path, |root, path| root.remove_dir(path)).await,
        }
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        if from.is_root() || to.is_root() {
            return Err(Error::busy_root());
        }
        let target = to.clone();
        let done = self.aside(from, move |root, from| root.rename(from, root, relative(&target))).await;
        done.map_err(|error| between(error, from, to))
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        if to.is_root() {
            return Err(Error::exists(to));
        }
        let target = to.clone();
        let done = self.aside(from, move |root, from| {
            // cap-std links what it is given, and follows nothing at the end of it.
            let real = match follow {
                Follow::Yes => root.canonicalize(from)?,
                Follow::No => from.to_owned(),
            };
            root.hard_link(real, root, relative(&target))
        });
        done.await.map_err(|error| between(error, from, to))
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        check_target(target)?;
        if path.is_root() {
            return Err(Error::exists(path));
        }
        let target = target.to_owned();
        self.aside(path, move |root, path| root.symlink(target, path)).await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        if path.is_root() {
            return Err(Error::new(ErrorKind::Invalid, "the root is no symbolic link"));
        }
        let target = self.aside(path, |root, path| root.read_link_contents(path)).await?.into_os_string();
        let illegal = |_| Error::new(ErrorKind::IllegalName, format!("the target of `{path}` is not UTF-8"));
        target.into_string().map_err(illegal)
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        let (accessed, modified) = (spec(times.accessed), spec(times.modified));
        self.aside(path, move |root, path| match follow {
            Follow::Yes => root.set_times(path, accessed, modified),
            Follow::No => root.set_symlink_times(path, accessed, modified),
        })
        .await
    }
}

fn open(root: &Dir, path: &VPath, how: Open) -> Result<cap_std::fs::File> {
    let mut options = OpenOptions::new();
    // A pipe would otherwise hold the thread until somebody writes into it.
    options.nonblock(true).follow(match how.follow {
        Follow::Yes => FollowSymlinks::Yes,
        Follow::No => FollowSymlinks::No,
    });
    // What is opened for neither can be asked for its stat, and the machine wants to know one of them.
    options.read(how.read || !how.write).write(how.write).truncate(how.truncate);
    let mut flags = OFlags::empty();
    // As flags: std's rules want `write` for them, and POSIX does not.
    flags.set(OFlags::CREATE, how.create);
    flags.set(OFlags::EXCL, how.exclusive);
    flags.set(OFlags::DIRECTORY, how.directory);
    options.custom_flags(flags.bits().cast_signed());
    let file = root.open_with(relative(path), &options).map_err(|error| told(error, path))?;
    let metadata = file.metadata().map_err(|error| told(error, path))?;
    match kind_of(metadata.file_type()) {
        Kind::File if how.directory => Err(Error::not_directory(path)),
        Kind::File | Kind::Directory => Ok(file),
        Kind::Symlink | Kind::Other => {
            Err(Error::new(ErrorKind::NotPermitted, format!("`{path}` is neither a file nor a directory")))
        }
    }
}

/// The entries that come next, whatever the order of the disk: so many of them are in memory, and no more.
fn list(root: &Dir, path: &Path, after: Option<&str>, limit: NonZeroU32) -> io::Result<Page> {
    let most = Page::most(limit);
    let mut next: BinaryHeap<Named> = BinaryHeap::new();
    let mut more = false;
    for entry in root.read_dir(path)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if after.is_some_and(|after| name.as_str() <= after) {
            continue;
        }
        if next.len() == most {
            more = true;
            if next.peek().is_some_and(|last| last.0 <= name) {
                continue;
            }
            next.pop();
        }
        next.push(Named(name, kind_of(entry.file_type()?), entry.ino()));
    }
    let entries = next.into_sorted_vec().into_iter().map(|Named(name, kind, inode)| Entry { name, kind, inode });
    Ok(Page { entries: entries.collect(), more })
}

/// An entry in the order of its name.
struct Named(String, Kind, u64);

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Named {}

impl Ord for Named {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Named {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A file of the machine that is open.
struct LocalFile {
    file: Arc<cap_std::fs::File>,
    how: Open,
}

impl LocalFile {
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&cap_std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let file = self.file.clone();
        aside(move || work(&file)).await?.map_err(|error| told(error, "the open file"))
    }

    fn writable(&self) -> Result<()> {
        match self.how.write {
            true => Ok(()),
            false => Err(Error::not_opened_for("writing")),
        }
    }
}

#[async_trait]
impl File for LocalFile {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        if !self.how.read {
            return Err(Error::not_opened_for("reading"));
        }
        let bytes_max = bytes_max.min(READ_BYTES_MAX);
        self.aside(move |file| {
            let left = match file.metadata()? {
                metadata if metadata.is_dir() => return Err(Errno::ISDIR.into()),
                metadata => metadata.len().saturating_sub(offset),
            };
            let mut bytes = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(bytes_max)];
            let mut read = 0;
            // A signal may cut a read short, and so may somebody else who cuts the file off.
            while read < bytes.len() {
                match file.read_at(&mut bytes[read..], offset + read as u64) {
                    Ok(0) => break,
                    Ok(count) => read += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(read);
            Ok(bytes.into())
        })
        .await
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()> {
        self.writable()?;
        if bytes.is_empty() {
            return Ok(());
        }
        end_of(offset, bytes.len())?;
        self.aside(move |file| file.write_all_at(&bytes, offset)).await
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        self.writable()?;
        self.aside(move |file| {
            let mut left = &bytes[..];
            while !left.is_empty() {
                match append_some(file, left) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => left = &left[count..],
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(file.metadata()?.len())
        })
        .await
    }

    async fn set_len(&self, bytes: u64) -> Result<()> {
        self.writable()?;
        if bytes > FILE_BYTES_MAX {
            return Err(Error::too_large(bytes, FILE_BYTES_MAX));
        }
        self.aside(move |file| file.set_len(bytes)).await
    }

    async fn sync(&self, what: Flush) -> Result<()> {
        self.aside(move |file| match what {
            Flush::Data => file.sync_data(),
            Flush::All => file.sync_all(),
        })
        .await
    }

    async fn stat(&self) -> Result<Stat> {
        Ok(stat_of(&self.aside(|file| file.metadata()).await?))
    }

    async fn set_times(&self, times: SetTimes) -> Result<()> {
        let stamp = |time| match time {
            SetTime::Keep => rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
            SetTime::Now => rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
            SetTime::To(ns) => rustix::fs::Timespec {
                tv_sec: (ns / 1_000_000_000).cast_signed(),
                tv_nsec: (ns % 1_000_000_000).cast_signed() as _,
            },
        };
        let times =
            rustix::fs::Timestamps { last_access: stamp(times.accessed), last_modification: stamp(times.modified) };
        self.aside(move |file| Ok(rustix::fs::futimens(file, &times)?)).await
    }
}

/// Writes behind the end, wherever another process has put that.
#[cfg(target_os = "linux")]
fn append_some(file: &cap_std::fs::File, bytes: &[u8]) -> rustix::io::Result<usize> {
    // Where the flag is given, the offset is not looked at; it must not be -1, which would move the file's own.
    rustix::io::pwritev2(file, &[io::IoSlice::new(bytes)], 0, rustix::io::ReadWriteFlags::APPEND)
}

/// Writes behind the end, as it is now: another process may come in between.
#[cfg(not(target_os = "linux"))]
fn append_some(file: &cap_std::fs::File, bytes: &[u8]) -> rustix::io::Result<usize> {
    let end = rustix::fs::fstat(file)?.st_size.cast_unsigned();
    rustix::io::pwrite(file, bytes, end)
}

fn kind_of(kind: FileType) -> Kind {
    match kind {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => Kind::Symlink,
        _ => Kind::Other,
    }
}

fn stat_of(metadata: &Metadata) -> Stat {
    let ns = |seconds: i64, ns: i64| match (u64::try_from(seconds), u64::try_from(ns)) {
        (Ok(seconds), Ok(ns)) => seconds.saturating_mul(1_000_000_000).saturating_add(ns),
        _ => 0,
    };
    Stat {
        kind: kind_of(metadata.file_type()),
        size: metadata.len(),
        links: metadata.nlink(),
        device: metadata.dev(),
        inode: metadata.ino(),
        accessed_ns: ns(metadata.atime(), metadata.atime_nsec()),
        modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
    }
}

fn spec(time: SetTime) -> Option<SystemTimeSpec> {
    match time {
        SetTime::Keep => None,
        SetTime::Now => Some(SystemTimeSpec::SymbolicNow),
        SetTime::To(ns) => {
            let since = std::time::UNIX_EPOCH + Duration::from_nanos(ns);
            Some(SystemTimeSpec::Absolute(SystemTime::from_std(since)))
        }
    }
}

/// The machine's error in our words.
fn told(error: io::Error, what: impl std::fmt::Display) -> Error {
    let kind = match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => ErrorKind::NotFound,
        Some(Errno::EXIST) => ErrorKind::Exists,
        Some(Errno::NOTDIR) => ErrorKind::NotDirectory,
        Some(Errno::ISDIR) => ErrorKind::IsDirectory,
        Some(Errno::NOTEMPTY) => ErrorKind::NotEmpty,
        Some(Errno::ACCESS) => ErrorKind::Denied,
        Some(Errno::PERM) => ErrorKind::NotPermitted,
        Some(Errno::XDEV) => ErrorKind::CrossDevice,
        Some(Errno::ROFS) => ErrorKind::ReadOnly,
        Some(Errno::BADF) => ErrorKind::BadDescriptor,
        Some(Errno::LOOP) => ErrorKind::Loop,
        Some(Errno::NAMETOOLONG) => ErrorKind::NameTooLong,
        Some(Errno::ILSEQ) => ErrorKind::IllegalName,
        Some(Errno::NOSPC) => ErrorKind::NoSpace,
        Some(Errno::DQUOT) => ErrorKind::Quota,
        Some(Errno::FBIG) => ErrorKind::TooLarge,
        Some(Errno::INVAL) => ErrorKind::Invalid,
        Some(Errno::BUSY) => ErrorKind::Busy,
        Some(Errno::NXIO) => ErrorKind::NotPermitted,
        Some(Errno::NOTSUP | Errno::NOSYS) => ErrorKind::Unsupported,
        Some(_) => ErrorKind::Io,
        // cap-std's own words for a path that leads out have no number.
        None if error.kind() == io::ErrorKind::PermissionDenied => ErrorKind::NotPermitted,
        None => ErrorKind::Io,
    };
    Error::new(kind, format!("`{what}`: {error}")).caused_by(error)
}

/// An error of two paths.
fn between(error: Error, from: &VPath, to: &VPath) -> Error {
    Error::new(error.kind(), format!("`{from}` to `{to}`: {error}")).caused_by(error)
}
