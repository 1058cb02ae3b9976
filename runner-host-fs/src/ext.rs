//! The comfort that every tree of files has: whole files, whole trees, and paths as a guest writes them.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::error::{Error, ErrorKind, Result};
use crate::path::{Step, Steps, VPath, leaves};
use crate::vfs::{Entry, File, Follow, Kind, Open, Page, READ_BYTES_MAX, SetTime, SetTimes, Stat, Vfs};
use crate::walk::{End, Found, Walk};

/// Entries that are asked for at once.
const PAGE: NonZeroU32 = NonZeroU32::new(1_000).expect("it is not zero");

/// Bytes of a file that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Directories that a walk goes down: a path has 4,096 bytes, and each of its names two.
const DEPTH_MAX: usize = 2_048;

/// What every [`Vfs`] has. What changes several files is not done at once: it can be found half done.
#[async_trait]
pub trait VfsExt: Vfs {
    /// The bytes of a file, which may be `bytes_max`; [`TooLarge`](ErrorKind::TooLarge) where it has more.
    async fn read(&self, path: &VPath, bytes_max: u64) -> Result<Bytes> {
        let file = self.open(path, Open::reading()).await?;
        let mut bytes = BytesMut::new();
        loop {
            let more = file.read_at(bytes.len() as u64, READ_BYTES_MAX).await?;
            if more.is_empty() {
                return Ok(bytes.freeze());
            }
            bytes.extend_from_slice(&more);
            if bytes.len() as u64 > bytes_max {
                return Err(Error::too_large(file.stat().await?.size, bytes_max));
            }
        }
    }

    /// Writes a file, made where it is not there, in the place of what was in it.
    async fn write(&self, path: &VPath, bytes: Bytes) -> Result<()> {
        let file = self.open(path, Open::creating().truncated()).await?;
        file.write_at(0, bytes).await?;
        file.close().await
    }

    /// Whether something is there; a link is not followed.
    async fn exists(&self, path: &VPath) -> Result<bool> {
        match self.stat(path, Follow::No).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotDirectory) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All entries of a directory, page by page: as many as it has.
    async fn list_all(&self, path: &VPath) -> Result<Vec<Entry>> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let after = all.last().map(|entry| entry.name.clone());
            let Page { entries, more } = self.list(path, after.as_deref(), PAGE).await?;
            all.extend(entries);
            if !more {
                return Ok(all);
            }
        }
    }

    /// Makes a directory, and those that it lies in, where they are not there.
    async fn create_dir_all(&self, path: &VPath) -> Result<()> {
        let mut at = VPath::root();
        for name in path.names() {
            at = at.child(name)?;
            match self.create_dir(&at).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Exists => match self.stat(&at, Follow::Yes).await?.kind {
                    Kind::Directory => {}
                    _ => return Err(Error::not_directory(&at)),
                },
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Copies a file, a link as a link, or a directory with all that is in it, with the time of its last change.
    ///
    /// The place must be free. [`Invalid`](ErrorKind::Invalid) into itself; [`Unsupported`](ErrorKind::Unsupported) for what
    /// a guest cannot open.
    async fn copy(&self, from: &VPath, to: &VPath) -> Result<()> {
        let place = canonical(self, to, Follow::No).await?.path;
        if place.starts_with(&canonical(self, from, Follow::No).await?.path) {
            return Err(Error::new(ErrorKind::Invalid, format!("`{from}` is not copied into itself: `{to}`")));
        }
        copy_between(self, from, self, to).await
    }

    /// Removes a directory and all that is in it. Links are removed, never followed.
    async fn remove_dir_all(&self, path: &VPath) -> Result<()> {
        if self.stat(path, Follow::No).await?.kind != Kind::Directory {
            return Err(Error::not_directory(path));
        }
        let mut ahead = vec![path.clone()];
        while let Some(directory) = ahead.last().cloned() {
            // From the beginning each time: what was there is gone.
            let page = self.list(&directory, None, PAGE).await?;
            let before = ahead.len();
            for entry in page.entries {
                let path = directory.child(&entry.name)?;
                match entry.kind {
                    Kind::Directory => ahead.push(path),
                    _ => self.remove_file(&path).await?,
                }
            }
            if ahead.len() == before && !page.more {
                match directory.is_root() {
                    // The root stays, empty.
                    true => {}
                    false => self.remove_dir(&directory).await?,
                }
                ahead.pop();
            }
        }
        Ok(())
    }

    /// A walk through all that lies below a directory, in the order of the paths. Links are not followed.
    fn walk(&self, path: &VPath) -> Tree<'_, Self> {
        Tree { vfs: self, levels: vec![Level::new(path.clone())] }
    }

    /// Where a path without links on it leads; the last name too is followed.
    async fn canonicalize(&self, path: &VPath) -> Result<VPath> {
        canonical_there(self, path).await
    }

    /// The path that a guest means with a text, from a directory that it has open, and that the text cannot leave.
    ///
    /// `..` is heeded as POSIX has it: what is before it must be a directory, and where that is a link, the directory is
    /// the one that the link leads to. A text without `..` costs nothing.
    ///
    /// # Errors
    ///
    /// [`NotPermitted`](ErrorKind::NotPermitted) where it leaves the directory or begins with `/`; those of
    /// [`VPath::new`]; those of a walk, where there is a `..`.
    async fn locate(&self, directory: &VPath, text: &str) -> Result<Located> {
        locate(self, directory, text).await
    }
}

impl<V: Vfs + ?Sized> VfsExt for V {}

/// What a guest means with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The path.
    pub path: VPath,
    /// Whether it can only be a directory, since the text ends in `/`, `.` or `..`. Who opens it, says so.
    pub directory: bool,
}

/// [`VfsExt::locate`], without the box.
pub(crate) async fn locate<V: Vfs + ?Sized>(vfs: &V, directory: &VPath, text: &str) -> Result<Located> {
    let steps = Steps::parse(text)?;
    let at_directory = !matches!(steps.iter().next_back(), Some(Step::Name(_)));
    if !steps.iter().any(|step| step == Step::Up) {
        return Ok(Located { path: directory.join(text)?, directory: at_directory });
    }
    let mut path = directory.clone();
    for step in steps.iter() {
        match step {
            Step::Name(name) => path = path.child(name)?,
            Step::Stay => {}
            Step::Up => {
                let real = canonical_there(vfs, &path).await?;
                if vfs.stat(&real, Follow::No).await?.kind != Kind::Directory {
                    return Err(Error::not_directory(path));
                }
                let up = real.parent().filter(|up| up.starts_with(directory));
                path = up.ok_or_else(|| leaves(text))?;
            }
        }
    }
    Ok(Located { path, directory: at_directory })
}

/// A walk through a tree: see [`VfsExt::walk`].
pub struct Tree<'a, V: ?Sized> {
    vfs: &'a V,
    levels: Vec<Level>,
}

struct Level {
    path: VPath,
    entries: std::vec::IntoIter<Entry>,
    last: Option<String>,
    more: bool,
}

impl Level {
    fn new(path: VPath) -> Self {
        Level { path, entries: Vec::new().into_iter(), last: None, more: true }
    }
}

impl<V: Vfs + ?Sized> Tree<'_, V> {
    /// The next path, a directory before what is in it; `None` at the end. A page of each directory on the way is in memory.
    pub async fn next(&mut self) -> Result<Option<(VPath, Kind)>> {
        while let Some(level) = self.levels.last_mut() {
            if let Some(entry) = level.entries.next() {
                let path = level.path.child(&entry.name)?;
                if entry.kind == Kind::Directory {
                    match self.levels.len() < DEPTH_MAX {
                        true => self.levels.push(Level::new(path.clone())),
                        false => return Err(Error::new(ErrorKind::NameTooLong, format!("`{path}` is too deep"))),
                    }
                }
                return Ok(Some((path, entry.kind)));
            }
            if level.more {
                let page = self.vfs.list(&level.path, level.last.as_deref(), PAGE).await?;
                level.last = page.entries.last().map(|entry| entry.name.clone());
                level.more = page.more;
                level.entries = page.entries.into_iter();
            } else {
                self.levels.pop();
            }
        }
        Ok(None)
    }
}

/// Copies from one tree into another: see [`VfsExt::copy`].
pub(crate) async fn copy_between<A, B>(source: &A, from: &VPath, target: &B, to: &VPath) -> Result<()>
where
    A: Vfs + ?Sized,
    B: Vfs + ?Sized,
{
    let stat = source.stat(from, Follow::No).await?;
    copy_one(source, from, &stat, target, to).await?;
    if stat.kind != Kind::Directory {
        return Ok(());
    }
    let mut directories = vec![(to.clone(), stat)];
    let mut tree = source.walk(from);
    while let Some((path, _)) = tree.next().await? {
        let Some(rest) = path.strip(from) else { continue };
        let (stat, place) = (source.stat(&path, Follow::No).await?, rest.below(to)?);
        copy_one(source, &path, &stat, target, &place).await?;
        if stat.kind == Kind::Directory {
            directories.push((place, stat));
        }
    }
    // Last, and from below: what is put into a directory changes its time.
    for (place, stat) in directories.into_iter().rev() {
        target.set_times(&place, Follow::No, times_of(&stat)).await?;
    }
    Ok(())
}

/// Copies a file or a link, or makes a directory.
pub(crate) async fn copy_one<A, B>(source: &A, from: &VPath, stat: &Stat, target: &B, to: &VPath) -> Result<()>
where
    A: Vfs + ?Sized,
    B: Vfs + ?Sized,
{
    match stat.kind {
        Kind::Directory => target.create_dir(to).await,
        Kind::Symlink => target.symlink(&source.readlink(from).await?, to).await,
        Kind::Other => Err(Error::new(ErrorKind::Unsupported, format!("`{from}` cannot be opened, nor copied"))),
        Kind::File => {
            let reader = source.open(from, Open::reading().no_follow()).await?;
            let writer = target.open(to, Open::creating().exclusively()).await?;
            copy_bytes(&reader, &writer).await?;
            writer.set_times(times_of(stat)).await?;
            writer.close().await
        }
    }
}

pub(crate) async fn copy_bytes(reader: &Arc<dyn File>, writer: &Arc<dyn File>) -> Result<()> {
    let mut offset = 0;
    loop {
        let bytes = reader.read_at(offset, COPY_BYTES).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len() as u64;
        writer.write_at(offset, bytes).await?;
        offset += length;
    }
}

pub(crate) fn times_of(stat: &Stat) -> SetTimes {
    SetTimes { accessed: SetTime::Keep, modified: SetTime::To(stat.modified_ns) }
}

/// [`VfsExt::canonicalize`], without the box.
pub(crate) async fn canonical_there<V: Vfs + ?Sized>(vfs: &V, path: &VPath) -> Result<VPath> {
    match canonical(vfs, path, Follow::Yes).await? {
        End { node: Some(()), path, .. } => Ok(path),
        End { path, .. } => Err(Error::not_found(path)),
    }
}

/// Walks along a path, asking the tree for each name.
pub(crate) async fn canonical<V: Vfs + ?Sized>(vfs: &V, path: &VPath, follow: Follow) -> Result<End<()>> {
    let mut walk = Walk::new((), path, follow);
    while let Some(((), name)) = walk.next()? {
        let path = walk.path_of(&name)?;
        let found = match vfs.stat(&path, Follow::No).await {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
            Ok(stat) => Some(match stat.kind {
                Kind::Directory => Found::Directory(()),
                Kind::Symlink => Found::Link((), vfs.readlink(&path).await?),
                Kind::File | Kind::Other => Found::Other(()),
            }),
        };
        if let Some(end) = walk.found(name, found)? {
            return Ok(end);
        }
    }
    walk.end()
}
