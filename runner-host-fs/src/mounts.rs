//! Several trees in one: each at its place, and between them directories that only lead there.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{Entry, File, Flush, Follow, Kind, Open, Page, SetTimes, Stat, Vfs};

/// Trees put together: of those whose place a path lies below, the longest place wins.
///
/// Each is a device of its own: a rename or link between two is [`CrossDevice`](ErrorKind::CrossDevice), and a symbolic link
/// leads out of none, also where another lies above it. A place shows in the listing of the directory it lies in, over
/// whatever has the name there, and is neither removed nor renamed: [`Busy`](ErrorKind::Busy). Directories that are there
/// only because a place lies below them are [`ReadOnly`](ErrorKind::ReadOnly).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> runner_host_fs::Result<()> {
/// use runner_host_fs::{ErrorKind, MemoryFs, Mounts, ReadOnly, VPath, VfsExt};
///
/// let files = Mounts::new()
///     .mount(VPath::new("/in")?, ReadOnly::new(MemoryFs::default()))?
///     .mount(VPath::new("/out")?, MemoryFs::default())?;
///
/// files.write(&VPath::new("/out/result")?, "42".into()).await?;
/// let refused = files.write(&VPath::new("/in/result")?, "42".into()).await;
/// assert_eq!(refused.unwrap_err().kind(), ErrorKind::ReadOnly);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Mounts {
    mounts: BTreeMap<VPath, Mount>,
}

#[derive(Clone)]
struct Mount {
    vfs: Arc<dyn Vfs>,
    number: u64,
}

impl Mounts {
    /// No tree yet: a root with nothing in it, which may be read.
    pub fn new() -> Self {
        Mounts::default()
    }

    /// Puts a tree at a place, which may lie in another; the directory need not be there.
    ///
    /// # Errors
    ///
    /// [`Exists`](ErrorKind::Exists) where one is at the place.
    pub fn mount(mut self, at: VPath, vfs: impl Vfs) -> Result<Self> {
        if self.mounts.contains_key(&at) {
            return Err(Error::new(ErrorKind::Exists, format!("a tree is mounted at `{at}` already")));
        }
        let number = self.mounts.len() as u64 + 1;
        self.mounts.insert(at, Mount { vfs: Arc::new(vfs), number });
        Ok(self)
    }

    /// The tree that has a path, with the path in it; `None` where there is none.
    fn find(&self, path: &VPath) -> Option<(&Mount, VPath)> {
        let mut at = Some(path.clone());
        while let Some(place) = at {
            if let Some(mount) = self.mounts.get(&place) {
                return Some((mount, path.strip(&place)?));
            }
            at = place.parent();
        }
        None
    }

    /// The places below a path, itself excepted.
    fn below<'a>(&'a self, path: &'a VPath) -> impl Iterator<Item = VPath> + 'a {
        let places = self.mounts.keys().filter_map(|place| place.strip(path));
        places.filter(|rest| !rest.is_root())
    }

    /// Whether a path is a place, or only leads to one.
    fn leads(&self, path: &VPath) -> bool {
        // In the order of a walk, what lies below a path comes right behind it.
        path.is_root() || self.mounts.range(path..).next().is_some_and(|(place, _)| place.starts_with(path))
    }

    /// What a path is that no tree has.
    fn bare(&self, path: &VPath) -> Error {
        match self.leads(path) {
            true => Error::is_directory(path),
            false => Error::not_found(path),
        }
    }

    /// The tree in which a name may be changed.
    fn changing(&self, path: &VPath) -> Result<(&Mount, VPath)> {
        match self.find(path) {
            _ if self.leads(path) => Err(busy(path)),
            Some(found) => Ok(found),
            None if path.parent().is_some_and(|parent| self.leads(&parent)) => Err(read_only(path)),
            None => Err(Error::not_found(path)),
        }
    }

    /// The tree in which a name may be made.
    fn making(&self, path: &VPath) -> Result<(&Mount, VPath)> {
        match self.leads(path) {
            true => Err(Error::exists(path)),
            false => self.changing(path),
        }
    }

    /// What shows of a directory that only leads to places.
    fn stat_of(&self, path: &VPath) -> Result<Stat> {
        if !self.leads(path) {
            return Err(Error::not_found(path));
        }
        // FNV-1a: the same path has the same inode for as long as it is a place.
        let inode = path
            .as_relative()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Ok(Stat {
            kind: Kind::Directory,
            size: 0,
            links: 1,
            device: 0,
            inode,
            accessed_ns: 0,
            modified_ns: 0,
            changed_ns: 0,
        })
    }

    /// The stat of a path that leads to places: of the directory that it is in its tree, where it is one there.
    async fn stat_leading(&self, path: &VPath) -> Result<Stat> {
        let Some((mount, inner)) = self.find(path) else { return self.stat_of(path) };
        match mount.vfs.stat(&inner, Follow::Yes).await {
            Ok(stat) if stat.kind == Kind::Directory => Ok(mount.own(stat)),
            _ => self.stat_of(path),
        }
    }
}

impl Mount {
    /// Two trees may have one inode each of the same number, and one tree may lie at two places.
    fn own(&self, stat: Stat) -> Stat {
        Stat { device: self.device(stat.device), ..stat }
    }

    fn own_page(&self, mut page: Page) -> Page {
        for entry in &mut page.entries {
            entry.device = entry.device.map(|device| self.device(device));
        }
        page
    }

    fn device(&self, device: u64) -> u64 {
        device.wrapping_mul(1 << 16).wrapping_add(self.number)
    }
}

fn busy(path: &VPath) -> Error {
    Error::new(ErrorKind::Busy, format!("`{path}` is the place of a mount, or leads to one"))
}

fn read_only(path: &VPath) -> Error {
    Error::new(ErrorKind::ReadOnly, format!("`{path}` lies in no mount: there are only places here"))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Vfs for Mounts {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        how.check()?;
        if self.leads(path) {
            how.check_directory(path)?;
            let stat = self.stat_leading(path).await?;
            // A directory on the way to a place is one also where its tree does not have it.
            if let Some((mount, inner)) = self.find(path)
                && let Ok(file) = mount.vfs.open(&inner, Open { directory: true, ..how }).await
            {
                return Ok(Arc::new(Mounted { file, mount: mount.clone() }));
            }
            return Ok(Arc::new(Bare(stat)));
        }
        match self.find(path) {
            Some((mount, inner)) => {
                Ok(Arc::new(Mounted { file: mount.vfs.open(&inner, how).await?, mount: mount.clone() }))
            }
            None if how.create && path.parent().is_some_and(|parent| self.leads(&parent)) => Err(read_only(path)),
            None => Err(Error::not_found(path)),
        }
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        match self.find(path) {
            _ if self.leads(path) => self.stat_leading(path).await,
            Some((mount, inner)) => Ok(mount.own(mount.vfs.stat(&inner, follow).await?)),
            None => Err(Error::not_found(path)),
        }
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        let mut places = BTreeMap::new();
        for rest in self.below(path) {
            let Some(name) = rest.names().next() else { continue };
            if after.is_none_or(|after| name > after) && !places.contains_key(name) {
                let Stat { device, inode, .. } = self.stat_leading(&path.child(name)?).await?;
                let entry = Entry { name: name.to_owned(), kind: Kind::Directory, device: Some(device), inode };
                places.insert(name.to_owned(), entry);
            }
        }
        let page = match self.find(path) {
            None if self.leads(path) => Page::default(),
            None => return Err(Error::not_found(path)),
            Some((mount, inner)) => match mount.vfs.list(&inner, after, limit).await {
                Ok(page) => mount.own_page(page),
                Err(error)
                    if self.leads(path) && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotDirectory) =>
                {
                    Page::default()
                }
                Err(error) => return Err(error),
            },
        };
        if places.is_empty() {
            return Ok(page);
        }
        // Behind the last name of a page that is not the last one, nothing is known yet.
        let known = page.entries.last().filter(|_| page.more).map(|entry| entry.name.clone());
        for entry in page.entries {
            places.entry(entry.name.clone()).or_insert(entry);
        }
        let behind = known.map(|known| places.split_off(&format!("{known}\0")));
        let mut merged = Page::collect(places.into_values(), limit);
        merged.more |= page.more || behind.is_some_and(|behind| !behind.is_empty());
        Ok(merged)
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        let (mount, inner) = self.making(path)?;
        mount.vfs.create_dir(&inner).await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        if self.leads(path) {
            return Err(Error::is_directory(path));
        }
        let (mount, inner) = self.changing(path)?;
        mount.vfs.remove_file(&inner).await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        let (mount, inner) = self.changing(path)?;
        mount.vfs.remove_dir(&inner).await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        let (source, target) = (self.changing(from)?, self.changing(to)?);
        if source.0.number != target.0.number {
            return Err(cross_device(from, to));
        }
        source.0.vfs.rename(&source.1, &target.1).await
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        let Some((mount, inner)) = self.find(from).filter(|_| !self.leads(from)) else {
            return Err(match self.bare(from) {
                error if error.kind() == ErrorKind::NotFound => error,
                _ => Error::new(ErrorKind::NotPermitted, format!("directory `{from}` cannot have a second name")),
            });
        };
        let target = self.making(to)?;
        if mount.number != target.0.number {
            return Err(cross_device(from, to));
        }
        mount.vfs.link(&inner, follow, &target.1).await
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        let (mount, inner) = self.making(path)?;
        mount.vfs.symlink(target, &inner).await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        match self.find(path) {
            _ if self.leads(path) => Err(Error::new(ErrorKind::Invalid, format!("`{path}` is no symbolic link"))),
            Some((mount, inner)) => mount.vfs.readlink(&inner).await,
            None => Err(Error::not_found(path)),
        }
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        match self.find(path) {
            Some((mount, inner)) => mount.vfs.set_times(&inner, follow, times).await,
            None if self.leads(path) => Err(read_only(path)),
            None => Err(Error::not_found(path)),
        }
    }
}

fn cross_device(from: &VPath, to: &VPath) -> Error {
    Error::new(ErrorKind::CrossDevice, format!("`{from}` and `{to}` lie in different mounts: copy, then remove"))
}

/// A file of a mount, with the mount's device.
struct Mounted {
    file: Arc<dyn File>,
    mount: Mount,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl File for Mounted {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        self.file.read_at(offset, bytes_max).await
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()> {
        self.file.write_at(offset, bytes).await
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        self.file.append(bytes).await
    }

    async fn set_len(&self, bytes: u64) -> Result<()> {
        self.file.set_len(bytes).await
    }

    async fn sync(&self, what: Flush) -> Result<()> {
        self.file.sync(what).await
    }

    async fn stat(&self) -> Result<Stat> {
        Ok(self.mount.own(self.file.stat().await?))
    }

    async fn set_times(&self, times: SetTimes) -> Result<()> {
        self.file.set_times(times).await
    }

    async fn close(&self) -> Result<()> {
        self.file.close().await
    }
}

/// A directory that no tree has.
struct Bare(Stat);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl File for Bare {
    async fn read_at(&self, _offset: u64, _bytes_max: usize) -> Result<Bytes> {
        Err(Error::file_is_directory())
    }

    async fn write_at(&self, _offset: u64, _bytes: Bytes) -> Result<()> {
        Err(Error::not_opened_for("writing"))
    }

    async fn append(&self, _bytes: Bytes) -> Result<u64> {
        Err(Error::not_opened_for("writing"))
    }

    async fn set_len(&self, _bytes: u64) -> Result<()> {
        Err(Error::not_opened_for("writing"))
    }

    async fn sync(&self, _what: Flush) -> Result<()> {
        Ok(())
    }

    async fn stat(&self) -> Result<Stat> {
        Ok(self.0)
    }

    async fn set_times(&self, _times: SetTimes) -> Result<()> {
        Err(Error::new(ErrorKind::ReadOnly, "the directory lies in no mount: it only leads to one"))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
