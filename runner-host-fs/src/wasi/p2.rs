//! `wasi:filesystem` 0.2, in the place of core's closed one. A descriptor of a directory is a path in the guest's tree; one of a
//! file is the file.
//!
//! What a guest may change is decided by the tree: what its mounts allow. That a directory was opened without `mutate-directory`
//! takes nothing away, as in every engine so far: C libraries open directories for reading only, and then remove what is in
//! them.

mod entries;
mod shown;
mod stream;
mod values;

use std::sync::Arc;

use runner_core::wasmtime::component::{Linker, Resource, ResourceTableError};
use runner_core::{HasView, Host, View, wasmtime};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

pub(super) use self::bindings::wasi::filesystem::types::ErrorCode;
use self::bindings::wasi::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use self::bindings::wasi::filesystem::{preopens, types};
use self::entries::Entries;
pub(super) use self::shown::Shown;
use self::shown::{Seen, What, show, shown_identity, shown_stat};
pub(super) use self::stream::Oversize;
use self::stream::{Place, Reader, Writer};
use self::values::{hash, identity, times};
use super::Files;
use super::errno::code;
use super::open::Opened;
use crate::error::Error;
use crate::ext::{Located, canonical, canonical_there, locate};
use crate::path::VPath;
use crate::vfs::{File, Flush, Follow, Kind, Open, Stat, Vfs};

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/filesystem",
        world: "imports",
        imports: { default: async | trappable },
        trappable_error_type: { "wasi:filesystem/types.error-code" => super::No },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:filesystem/types.descriptor": super::Descriptor,
            "wasi:filesystem/types.directory-entry-stream": super::entries::Entries,
        },
    });
}

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasView<Files>>(linker, Host::view)?;
    preopens::add_to_linker::<_, HasView<Files>>(linker, Host::view)
}

/// Why a guest is not given what it asked for.
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub enum No {
    /// It is told a code.
    Code(ErrorCode),
    /// It is stopped.
    Trap(wasmtime::Error),
}

type Answer<T> = Result<T, No>;

impl From<Error> for No {
    fn from(error: Error) -> Self {
        No::Code(code(&error))
    }
}

impl From<ErrorCode> for No {
    fn from(code: ErrorCode) -> Self {
        No::Code(code)
    }
}

impl From<wasmtime::Error> for No {
    fn from(error: wasmtime::Error) -> Self {
        No::Trap(error)
    }
}

impl From<ResourceTableError> for No {
    fn from(error: ResourceTableError) -> Self {
        No::Trap(error.into())
    }
}

/// What a guest has open.
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Descriptor {
    /// Where it was opened. A directory's paths begin there.
    place: VPath,
    is_directory: bool,
    flags: DescriptorFlags,
    /// `None` for a directory that was open when the guest started: it is looked at when it is asked for.
    opened: Option<Arc<Opened>>,
}

impl Descriptor {
    fn file(&self) -> Answer<&Arc<Opened>> {
        match &self.opened {
            Some(opened) if !self.is_directory => Ok(opened),
            _ => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    fn file_for(&self, right: DescriptorFlags) -> Answer<&Arc<Opened>> {
        match self.file()? {
            opened if self.flags.contains(right) => Ok(opened),
            _ => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    fn directory(&self) -> Answer<&VPath> {
        match self.is_directory {
            true => Ok(&self.place),
            false => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// The handle on what is open, where there is one.
    fn handle(&self) -> Answer<Option<Arc<dyn File>>> {
        match &self.opened {
            None => Ok(None),
            Some(opened) => match opened.file() {
                Ok(file) => Ok(Some(Arc::clone(file))),
                // The guest of a live instance has it from a call before this one: the place is what is left of it.
                Err(_) if self.is_directory => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// What each write waits for.
    fn flush(&self) -> Option<Flush> {
        let asked = |flags| self.flags.intersects(flags);
        match asked(DescriptorFlags::FILE_INTEGRITY_SYNC) {
            true => Some(Flush::All),
            false => asked(DescriptorFlags::DATA_INTEGRITY_SYNC | DescriptorFlags::REQUESTED_WRITE_SYNC)
                .then_some(Flush::Data),
        }
    }
}

fn get<'a>(view: &'a View<'_, Files>, descriptor: &Resource<Descriptor>) -> Answer<&'a Descriptor> {
    Ok(view.table.get(descriptor)?)
}

/// A directory that paths begin from. It is nothing of the store's, which nobody may hold while he waits.
struct Base {
    tree: Arc<dyn Vfs>,
    place: VPath,
}

fn base(view: &View<'_, Files>, directory: &Resource<Descriptor>) -> Answer<Base> {
    let place = get(view, directory)?.directory()?.clone();
    Ok(Base { tree: Arc::clone(&view.tree), place })
}

impl Base {
    async fn locate(&self, text: &str) -> Answer<Located> {
        Ok(locate(&*self.tree, &self.place, text).await?)
    }

    /// The place of what is there. A `/` behind a name is for a directory.
    async fn there(&self, flags: PathFlags, text: &str) -> Answer<(VPath, Follow)> {
        let Located { path, directory } = self.locate(text).await?;
        let follow = match directory || flags.contains(PathFlags::SYMLINK_FOLLOW) {
            true => Follow::Yes,
            false => Follow::No,
        };
        if directory && self.tree.stat(&path, follow).await?.kind != Kind::Directory {
            return Err(ErrorCode::NotDirectory.into());
        }
        Ok((path, follow))
    }

    async fn look(&self, flags: PathFlags, text: &str) -> Answer<Stat> {
        let (path, follow) = self.there(flags, text).await?;
        Ok(self.tree.stat(&path, follow).await?)
    }

    /// The place of a name that is to be made, and is to be none of a directory.
    async fn free(&self, text: &str) -> Answer<VPath> {
        let Located { path, directory } = self.locate(text).await?;
        match directory {
            false => Ok(path),
            true => match self.tree.stat(&path, Follow::Yes).await?.kind {
                Kind::Directory => Err(ErrorCode::Exist.into()),
                _ => Err(ErrorCode::NotDirectory.into()),
            },
        }
    }
}

/// What a descriptor is of.
struct Subject {
    tree: Arc<dyn Vfs>,
    place: VPath,
    file: Option<Arc<dyn File>>,
}

fn subject(view: &View<'_, Files>, descriptor: &Resource<Descriptor>) -> Answer<Subject> {
    let descriptor = get(view, descriptor)?;
    Ok(Subject { tree: Arc::clone(&view.tree), place: descriptor.place.clone(), file: descriptor.handle()? })
}

impl Subject {
    async fn stat(&self) -> Answer<Stat> {
        Ok(match &self.file {
            Some(file) => file.stat().await?,
            None => self.tree.stat(&self.place, Follow::Yes).await?,
        })
    }
}

/// The file that a sync waits for; `None` where nothing can have been written.
fn synced(view: &View<'_, Files>, descriptor: &Resource<Descriptor>) -> Answer<Option<Arc<dyn File>>> {
    let descriptor = get(view, descriptor)?;
    let written = descriptor.is_directory || descriptor.flags.contains(DescriptorFlags::WRITE);
    Ok(descriptor.handle()?.filter(|_| written))
}

fn new_writer(
    view: &mut View<'_, Files>,
    descriptor: &Resource<Descriptor>,
    place: Place,
) -> Answer<Resource<DynOutputStream>> {
    let descriptor = get(view, descriptor)?;
    let (opened, flush) = (Arc::clone(descriptor.file_for(DescriptorFlags::WRITE)?), descriptor.flush());
    let writer = Writer::new(opened, view.account.clone(), place, flush, &view.oversize);
    let writer: DynOutputStream = Box::new(writer);
    Ok(view.table.push(writer)?)
}

/// Whether the last name of a path is `.` or `..`: a name that cannot be taken away, nor given.
fn ends_in_dots(text: &str) -> bool {
    matches!(text.trim_end_matches('/').rsplit('/').next(), Some("." | ".."))
}

impl types::Host for View<'_, Files> {
    fn convert_error_code(&mut self, no: No) -> wasmtime::Result<ErrorCode> {
        match no {
            No::Code(code) => Ok(code),
            No::Trap(error) => Err(error),
        }
    }

    async fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<Error>().map(code))
    }
}

impl preopens::Host for View<'_, Files> {
    async fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let preopens = self.preopens.clone();
        let mut directories = Vec::with_capacity(preopens.len());
        for (at, place) in preopens {
            let flags = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
            let directory = Descriptor { place, is_directory: true, flags, opened: None };
            directories.push((self.table.push(directory)?, at));
        }
        Ok(directories)
    }
}

impl types::HostDescriptor for View<'_, Files> {
    async fn read_via_stream(&mut self, fd: Resource<Descriptor>, offset: u64) -> Answer<Resource<DynInputStream>> {
        let descriptor = get(self, &fd)?;
        if descriptor.is_directory {
            return Err(ErrorCode::IsDirectory.into());
        }
        let opened = Arc::clone(descriptor.file_for(DescriptorFlags::READ)?);
        let reader: DynInputStream = Box::new(Reader::new(opened, self.account.clone(), offset));
        Ok(self.table.push(reader)?)
    }

    async fn write_via_stream(&mut self, fd: Resource<Descriptor>, offset: u64) -> Answer<Resource<DynOutputStream>> {
        new_writer(self, &fd, Place::At(offset))
    }

    async fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> Answer<Resource<DynOutputStream>> {
        new_writer(self, &fd, Place::End)
    }

    /// It is heard, and nothing is made of it.
    async fn advise(&mut self, fd: Resource<Descriptor>, _offset: u64, _length: u64, _advice: Advice) -> Answer<()> {
        get(self, &fd)?.file().map(drop)
    }

    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> Answer<()> {
        match synced(self, &fd)? {
            Some(file) => Ok(file.sync(Flush::Data).await?),
            None => Ok(()),
        }
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> Answer<DescriptorFlags> {
        Ok(get(self, &fd)?.flags)
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> Answer<DescriptorType> {
        Ok(match get(self, &fd)?.is_directory {
            true => DescriptorType::Directory,
            false => DescriptorType::RegularFile,
        })
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, bytes: u64) -> Answer<()> {
        let descriptor = get(self, &fd)?;
        let file = Arc::clone(descriptor.file()?.file()?);
        // As POSIX has it of a file that is open for reading only, where a write is a bad descriptor.
        if !descriptor.flags.contains(DescriptorFlags::WRITE) {
            return Err(ErrorCode::Invalid.into());
        }
        Ok(file.set_len(bytes).await?)
    }

    async fn set_times(
        &mut self,
        fd: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> Answer<()> {
        let times = times(accessed, modified)?;
        let Subject { tree, place, file } = subject(self, &fd)?;
        let set = match file {
            Some(file) => file.set_times(times).await,
            None => tree.set_times(&place, Follow::Yes, times).await,
        };
        Ok(set?)
    }

    async fn read(&mut self, fd: Resource<Descriptor>, length: u64, offset: u64) -> Answer<(Vec<u8>, bool)> {
        let file = Arc::clone(get(self, &fd)?.file_for(DescriptorFlags::READ)?.file()?);
        let asked = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = file.read_at(offset, asked).await?;
        self.charge(bytes.len() as u64, 0)?;
        let ended = bytes.is_empty() && asked > 0;
        Ok((bytes.into(), ended))
    }

    async fn write(&mut self, fd: Resource<Descriptor>, bytes: Vec<u8>, offset: u64) -> Answer<u64> {
        let descriptor = get(self, &fd)?;
        let flush = descriptor.flush();
        let file = Arc::clone(descriptor.file_for(DescriptorFlags::WRITE)?.file()?);
        let written = bytes.len() as u64;
        self.charge(0, written)?;
        file.write_at(offset, bytes.into()).await?;
        if let Some(what) = flush {
            file.sync(what).await?;
        }
        Ok(written)
    }

    async fn read_directory(&mut self, fd: Resource<Descriptor>) -> Answer<Resource<Entries>> {
        let Base { tree, place } = base(self, &fd)?;
        let entries = Entries::open(tree.as_ref(), place).await?;
        Ok(self.table.push(entries)?)
    }

    async fn sync(&mut self, fd: Resource<Descriptor>) -> Answer<()> {
        match synced(self, &fd)? {
            Some(file) => Ok(file.sync(Flush::All).await?),
            None => Ok(()),
        }
    }

    async fn create_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> Answer<()> {
        let base = base(self, &fd)?;
        let Located { path, .. } = base.locate(&path).await?;
        Ok(base.tree.create_dir(&path).await?)
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> Answer<DescriptorStat> {
        let what = What::Descriptor(fd.rep());
        let stat = match shown_stat(self, &what) {
            Some(stat) => stat,
            None => {
                let stat = subject(self, &fd)?.stat().await?;
                show(self, what, Seen::stat(&stat));
                stat
            }
        };
        Ok(values::shown(&stat))
    }

    async fn stat_at(&mut self, fd: Resource<Descriptor>, flags: PathFlags, path: String) -> Answer<DescriptorStat> {
        let base = base(self, &fd)?;
        let what = What::Path { directory: base.place.clone(), text: path.clone(), flags };
        let stat = match shown_stat(self, &what) {
            Some(stat) => stat,
            None => {
                let stat = base.look(flags, &path).await?;
                show(self, what, Seen::stat(&stat));
                stat
            }
        };
        Ok(values::shown(&stat))
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> Answer<()> {
        let times = times(accessed, modified)?;
        let base = base(self, &fd)?;
        let (path, follow) = base.there(flags, &path).await?;
        Ok(base.tree.set_times(&path, follow, times).await?)
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        from: String,
        to_fd: Resource<Descriptor>,
        to: String,
    ) -> Answer<()> {
        // The standard is to lose the flag; until then every engine refuses it.
        if flags.contains(PathFlags::SYMLINK_FOLLOW) {
            return Err(ErrorCode::Invalid.into());
        }
        let (base, to_base) = (base(self, &fd)?, base(self, &to_fd)?);
        let (from, follow) = base.there(flags, &from).await?;
        let to = to_base.free(&to).await?;
        Ok(base.tree.link(&from, follow, &to).await?)
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        how: OpenFlags,
        flags: DescriptorFlags,
    ) -> Answer<Resource<Descriptor>> {
        let base = base(self, &fd)?;
        let Located { path, directory } = base.locate(&path).await?;
        let asked = |flag| how.contains(flag);
        let makes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
        if asked(OpenFlags::DIRECTORY) && how.intersects(makes) {
            return Err(ErrorCode::Invalid.into());
        }
        if directory && asked(OpenFlags::CREATE) {
            return Err(ErrorCode::IsDirectory.into());
        }
        // One that asks for neither reads: what is open can at least be looked at.
        let flags = match flags.intersects(DescriptorFlags::READ | DescriptorFlags::WRITE) {
            true => flags,
            false => flags | DescriptorFlags::READ,
        };
        let open = Open {
            read: flags.contains(DescriptorFlags::READ),
            // Who may not write may empty a file all the same, as long as the tree allows it.
            write: flags.contains(DescriptorFlags::WRITE) || asked(OpenFlags::TRUNCATE),
            create: asked(OpenFlags::CREATE),
            exclusive: asked(OpenFlags::CREATE) && asked(OpenFlags::EXCLUSIVE),
            truncate: asked(OpenFlags::TRUNCATE) && !directory,
            directory: directory || asked(OpenFlags::DIRECTORY),
            follow: if path_flags.contains(PathFlags::SYMLINK_FOLLOW) { Follow::Yes } else { Follow::No },
        };
        let file = base.tree.open(&path, open).await?;
        let is_directory = open.directory || !open.changes() && file.stat().await?.kind == Kind::Directory;
        let not_its_own = match is_directory {
            true => DescriptorFlags::WRITE,
            false => DescriptorFlags::MUTATE_DIRECTORY,
        };
        // Links on the way to a directory may lead elsewhere one day: it stays the one that it is.
        let place = match is_directory {
            true => canonical_there(&*base.tree, &path).await?,
            false => path.clone(),
        };
        let opened = Opened::new(&self.open, path, file);
        let descriptor = Descriptor { place, is_directory, flags: flags & !not_its_own, opened: Some(opened) };
        Ok(self.table.push(descriptor)?)
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> Answer<String> {
        let base = base(self, &fd)?;
        let (path, follow) = base.there(PathFlags::empty(), &path).await?;
        // With a `/` behind it, what the link leads to is meant, which is none.
        if follow == Follow::Yes {
            return Err(ErrorCode::Invalid.into());
        }
        let target = base.tree.readlink(&path).await?;
        self.charge(target.len() as u64, 0)?;
        Ok(target)
    }

    async fn remove_directory_at(&mut self, fd: Resource<Descriptor>, text: String) -> Answer<()> {
        let base = base(self, &fd)?;
        let Located { path, .. } = base.locate(&text).await?;
        if ends_in_dots(&text) {
            return Err(ErrorCode::Invalid.into());
        }
        Ok(base.tree.remove_dir(&path).await?)
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        from_text: String,
        to_fd: Resource<Descriptor>,
        to_text: String,
    ) -> Answer<()> {
        let (base, to_base) = (base(self, &fd)?, base(self, &to_fd)?);
        let (from, to) = (base.locate(&from_text).await?, to_base.locate(&to_text).await?);
        if ends_in_dots(&from_text) || ends_in_dots(&to_text) {
            return Err(ErrorCode::Busy.into());
        }
        let only_directories = from.directory || to.directory;
        if only_directories && base.tree.stat(&from.path, Follow::No).await?.kind != Kind::Directory {
            return Err(ErrorCode::NotDirectory.into());
        }
        let has_directories = self.table.iter_mut().any(|resource| match resource.downcast_mut::<Descriptor>() {
            Some(descriptor) => descriptor.is_directory && descriptor.opened.is_some(),
            None => resource.downcast_mut::<Entries>().is_some(),
        });
        let moves = match has_directories {
            true => {
                let from = canonical(&*base.tree, &from.path, Follow::No).await?;
                Some((from.path, canonical(&*base.tree, &to.path, Follow::No).await?.path))
            }
            false => None,
        };
        base.tree.rename(&from.path, &to.path).await?;
        let Some((from, to)) = moves else { return Ok(()) };
        // Who has the directory open, or one below it, still has it.
        for resource in self.table.iter_mut() {
            if let Some(descriptor) = resource.downcast_mut::<Descriptor>() {
                moved(&mut descriptor.place, &from, &to);
            } else if let Some(entries) = resource.downcast_mut::<Entries>() {
                moved(&mut entries.place, &from, &to);
            }
        }
        Ok(())
    }

    async fn symlink_at(&mut self, fd: Resource<Descriptor>, target: String, path: String) -> Answer<()> {
        let base = base(self, &fd)?;
        let path = base.free(&path).await?;
        Ok(base.tree.symlink(&target, &path).await?)
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> Answer<()> {
        let base = base(self, &fd)?;
        let Located { path, directory } = base.locate(&path).await?;
        if directory {
            return Err(match base.tree.stat(&path, Follow::No).await?.kind {
                Kind::Directory => ErrorCode::IsDirectory.into(),
                _ => ErrorCode::NotDirectory.into(),
            });
        }
        Ok(base.tree.remove_file(&path).await?)
    }

    async fn is_same_object(&mut self, a: Resource<Descriptor>, b: Resource<Descriptor>) -> wasmtime::Result<bool> {
        let both = match (subject(self, &a), subject(self, &b)) {
            (Err(No::Trap(error)), _) | (_, Err(No::Trap(error))) => return Err(error),
            (Ok(a), Ok(b)) => (a.stat().await, b.stat().await),
            _ => return Ok(false),
        };
        // What cannot be asked any more is none that can be told apart, nor the same.
        Ok(matches!(both, (Ok(a), Ok(b)) if identity(&a) == identity(&b)))
    }

    async fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> Answer<MetadataHashValue> {
        let what = What::Descriptor(fd.rep());
        if let Some(identity) = shown_identity(self, &what) {
            return Ok(hash(identity));
        }
        let stat = subject(self, &fd)?.stat().await?;
        show(self, what, Seen::Hashed(stat));
        Ok(hash(identity(&stat)))
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> Answer<MetadataHashValue> {
        let base = base(self, &fd)?;
        let what = What::Path { directory: base.place.clone(), text: path.clone(), flags };
        if let Some(identity) = shown_identity(self, &what) {
            return Ok(hash(identity));
        }
        let stat = base.look(flags, &path).await?;
        show(self, what, Seen::Hashed(stat));
        Ok(hash(identity(&stat)))
    }

    async fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        if let Some(opened) = self.table.delete(fd)?.opened {
            opened.close_untold().await;
        }
        Ok(())
    }
}

/// Where the new path is too long, the old one stays: it was moved all the same, as in preview 1.
fn moved(place: &mut VPath, from: &VPath, to: &VPath) {
    if let Some(moved) = place.strip(from).and_then(|rest| rest.below(to).ok()) {
        *place = moved;
    }
}
