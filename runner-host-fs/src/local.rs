//! The tree that is a directory of this machine, held by a handle. What lies outside of it cannot be named: every path goes
//! through cap-std, which asks the kernel to stay beneath the handle, or goes name by name where the kernel cannot.

mod file;
mod listing;

use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt, SystemTimeSpec};
use cap_std::fs::{Dir, FileType, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use cap_std::time::{Duration, SystemTime};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use self::file::LocalFile;
use self::listing::Listing;
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{File, Follow, Kind, Open, Page, SetTime, SetTimes, Stat, Vfs, check_target};
use crate::volume::LocalHost;

/// A directory of this machine, and what is below it. Clones are the same tree.
///
/// What others change in it is seen. Names that are not UTF-8 are not shown, and a directory that has one is not empty.
/// Devices, pipes and sockets are shown as [`Kind::Other`] and are not opened. Files are made with the process's rights,
/// readable for all as far as its umask allows.
///
/// Times, inodes and [`NoSpace`](ErrorKind::NoSpace) are the machine's: a write that the disk has no room for may be done in
/// part. Work that may take long, such as a listing, a sync, and reads and writes of over 64 KiB, is done on the runtime's
/// threads for it; what the machine does from its cache in microseconds is done in place: see [`aside`](LocalFs::aside).
///
/// For Linux and other Unix systems, within a runtime of tokio.
#[derive(Clone)]
pub struct LocalFs {
    root: Arc<Dir>,
    in_place: bool,
    host: Arc<LocalHost>,
    listing: Arc<Listing>,
}

/// Bytes that are read or written in place: the machine copies them in some 10 us.
const IN_PLACE_BYTES: usize = 64 << 10;

/// How long it may take.
#[derive(Clone, Copy)]
enum Work {
    /// Microseconds, where the machine has in its cache what is asked for.
    Short,
    /// Longer, or as long as a disk takes.
    Long,
}

impl Work {
    fn on(bytes: usize) -> Self {
        if bytes <= IN_PLACE_BYTES { Work::Short } else { Work::Long }
    }
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
        Ok(Self::of(root, true))
    }

    /// Has all work done on the runtime's threads for what blocks, for a slow disk or one at the other end of a network.
    ///
    /// Without it what is short is done on the thread that asks, which is one of the runtime's. Where the machine has the
    /// file in its cache, a read of 4 KiB then takes a tenth of the time: the hop to another thread and back costs more than
    /// the read. Where it has not, the thread waits for the disk.
    #[must_use]
    pub fn aside(self) -> Self {
        LocalFs { in_place: false, ..self }
    }

    /// The directory at a prefix as a tree of its own, held by a handle: it cannot be left, and no link leads to it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound), [`NotDirectory`](ErrorKind::NotDirectory), [`Denied`](ErrorKind::Denied),
    /// [`NotPermitted`](ErrorKind::NotPermitted) where a link lies on the way.
    pub async fn below(&self, prefix: &VPath) -> Result<Self> {
        if prefix.is_root() {
            return Ok(self.clone());
        }
        let (root, named) = (self.root.clone(), prefix.clone());
        let below = self.run(Work::Short, move || below(&root, &named)).await??;
        Ok(Self::of(below, self.in_place))
    }

    fn of(root: Dir, in_place: bool) -> Self {
        LocalFs { root: Arc::new(root), in_place, host: Arc::default(), listing: Arc::default() }
    }

    pub(crate) fn host(&self) -> &Arc<LocalHost> {
        &self.host
    }

    /// Moves from one directory to another.
    pub(crate) async fn shift(&self, from: &VPath, target: &LocalFs, to: &VPath) -> Result<()> {
        let (root, named) = (target.root.clone(), to.clone());
        let done = self.on(Work::Short, from, move |from_root, from| from_root.rename(from, &root, relative(&named)));
        done.await.map_err(|error| between(error, from, to))
    }

    /// Gives a file of one directory a name in another.
    pub(crate) async fn bind(&self, from: &VPath, target: &LocalFs, to: &VPath) -> Result<()> {
        let (root, named) = (target.root.clone(), to.clone());
        let done =
            self.on(Work::Short, from, move |from_root, from| from_root.hard_link(from, &root, relative(&named)));
        done.await.map_err(|error| between(error, from, to))
    }

    /// Gives a file of another directory the permissions of one of this.
    pub(crate) async fn like(&self, path: &VPath, target: &LocalFs, to: &VPath) -> Result<()> {
        let (root, named) = (target.root.clone(), to.clone());
        self.on(Work::Short, path, move |from_root, path| {
            let mode = from_root.symlink_metadata(path)?.permissions();
            root.set_permissions(relative(&named), mode)
        })
        .await
    }

    /// Takes the lock that is on a file, which is made where it is not there, for as long as the answer is kept: none for
    /// who would not wait. The lock is one between processes.
    pub(crate) async fn flock(&self, path: &VPath, wait: bool) -> Result<Option<LocalLock>> {
        self.on(if wait { Work::Long } else { Work::Short }, path, move |root, path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).follow(FollowSymlinks::No);
            let file = root.open_with(path, &options)?;
            let how = match wait {
                true => FlockOperation::LockExclusive,
                false => FlockOperation::NonBlockingLockExclusive,
            };
            loop {
                match rustix::fs::flock(&file, how) {
                    Ok(()) => return Ok(Some(LocalLock { _file: file })),
                    Err(Errno::WOULDBLOCK) => return Ok(None),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        })
        .await
    }

    /// Does some work with the directory, and finishes it also where nobody waits any more.
    async fn on<T: Send + 'static>(
        &self,
        work: Work,
        path: &VPath,
        what: impl FnOnce(&Dir, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let done = match (work, self.in_place) {
            (Work::Short, true) => what(&self.root, relative(path)),
            _ => {
                let (root, named) = (self.root.clone(), path.clone());
                aside(move || what(&root, relative(&named))).await?
            }
        };
        done.map_err(|error| told(error, path))
    }

    async fn run<T: Send + 'static>(&self, work: Work, what: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        match (work, self.in_place) {
            (Work::Short, true) => Ok(what()),
            _ => aside(what).await,
        }
    }
}

/// A lock on a file, held for as long as it is kept.
pub(crate) struct LocalLock {
    _file: cap_std::fs::File,
}

/// Does what blocks on a thread for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let lost = |error| Error::new(ErrorKind::Io, "the thread for files is gone").caused_by(error);
    tokio::task::spawn_blocking(work).await.map_err(lost)
}

/// Goes down name by name, over no link: who writes below one prefix cannot make another one lead elsewhere.
fn below(root: &Dir, prefix: &VPath) -> Result<Dir> {
    let mut at: Option<Dir> = None;
    for name in prefix.names() {
        let directory = at.as_ref().unwrap_or(root);
        let next = directory.open_dir_nofollow(name).map_err(|error| match directory.symlink_metadata(name) {
            Ok(metadata) if metadata.is_symlink() => Error::prefix_link(prefix),
            _ => told(error, prefix),
        })?;
        at = Some(next);
    }
    at.ok_or_else(Error::busy_root)
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
        let file = match self.in_place {
            true => open(&self.root, path, how)?,
            false => {
                let (root, named) = (self.root.clone(), path.clone());
                aside(move || open(&root, &named, how)).await??
            }
        };
        Ok(Arc::new(LocalFile { file: Arc::new(file), how, in_place: self.in_place }))
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        let metadata = self.on(Work::Short, path, move |root, path| match follow {
            Follow::Yes => root.metadata(path),
            Follow::No => root.symlink_metadata(path),
        });
        Ok(stat_of(&metadata.await?))
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        if let Some(after) = after.map(str::to_owned) {
            let listing = self.listing.clone();
            let next = self.on(Work::Short, path, move |root, path| listing.next(root, path, &after, limit));
            if let Some(page) = next.await? {
                return Ok(page);
            }
        }
        let (listing, name) = (self.listing.clone(), after.map(str::to_owned));
        self.on(Work::Long, path, move |root, path| listing.read(root, path, name.as_deref(), limit)).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        match path.is_root() {
            true => Err(Error::exists(path)),
            false => self.on(Work::Short, path, |root, path| root.create_dir(path)).await,
        }
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        match path.is_root() {
            true => Err(Error::is_directory(path)),
            false => self.on(Work::Short, path, |root, path| root.remove_file(path)).await,
        }
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        match path.is_root() {
            true => Err(Error::busy_root()),
            false => self.on(Work::Short, path, |root, path| root.remove_dir(path)).await,
        }
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        if from.is_root() || to.is_root() {
            return Err(Error::busy_root());
        }
        let target = to.clone();
        let done = self.on(Work::Short, from, move |root, from| root.rename(from, root, relative(&target))).await;
        done.map_err(|error| between(error, from, to))
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        if to.is_root() {
            return Err(Error::exists(to));
        }
        let target = to.clone();
        let done = self.on(Work::Short, from, move |root, from| {
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
        self.on(Work::Short, path, move |root, path| root.symlink(target, path)).await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        if path.is_root() {
            return Err(Error::new(ErrorKind::Invalid, "the root is no symbolic link"));
        }
        let target = self.on(Work::Short, path, |root, path| root.read_link_contents(path)).await?.into_os_string();
        let illegal = |_| Error::new(ErrorKind::IllegalName, format!("the target of `{path}` is not UTF-8"));
        target.into_string().map_err(illegal)
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        let (accessed, modified) = (spec(times.accessed), spec(times.modified));
        self.on(Work::Short, path, move |root, path| match follow {
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
    match kind {
        ErrorKind::NotFound => Error::not_found(what).caused_by(error),
        ErrorKind::Exists => Error::exists(what).caused_by(error),
        ErrorKind::NotDirectory => Error::not_directory(what).caused_by(error),
        ErrorKind::IsDirectory => Error::is_directory(what).caused_by(error),
        ErrorKind::NotEmpty => Error::not_empty(what).caused_by(error),
        // The machine's words are the message, and no cause beside it: who prints both would read them twice.
        kind => Error::new(kind, format!("`{what}`: {error}")),
    }
}

/// An error of two paths.
fn between(error: Error, from: &VPath, to: &VPath) -> Error {
    Error::new(error.kind(), format!("`{from}` to `{to}`: {error}"))
}
