//! The store's directory. The files are the truth:
//!
//! ```text
//! lock                       held as long as the store is open
//! blobs/HEX, blobs/HEX.json  bytes as they came; what they are (there only once the bytes are)
//! names/NAME/N-HEX           version N of NAME, with its time; `N-deleted` keeps the number of a deleted newest one
//! names/NAME/grants-HEX      what those bytes may use under that name, since when
//! tmp/                       files on their way; emptied when the store opens
//! ```
//!
//! Each file appears whole: written aside, synced, renamed, its directory synced.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cap_std::fs::Dir;
use runner_core::{Grants, ModuleId};

use super::files::{
    BlobFile, DELETED, Files, GrantsFile, Version, VersionFile, all_granted, granted, grants_file, json, remove, sync,
    version_file,
};
use super::{Error, Holdings, Name, Reference, Stored};
use crate::clock;

/// How much a store may hold.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Modules, each version of a name counted, and names, deleted ones counted: their numbers stay taken.
    pub modules_max: u64,
    /// Bytes of all modules together.
    pub bytes_max: u64,
}

impl Default for Capacity {
    /// 10,000 modules, which a listing can walk in a few milliseconds, and 8 GiB.
    fn default() -> Self {
        Capacity { modules_max: 10_000, bytes_max: 8 << 30 }
    }
}

#[derive(Debug)]
pub(super) struct Disk {
    files: Files,
    capacity: Capacity,
    /// Held by whoever changes the directory, and with it what is counted; those who read either do not wait.
    changes: Mutex<()>,
    modules: AtomicU64,
    bytes: AtomicU64,
}

impl Disk {
    pub(super) fn open(dir: &Dir, capacity: Capacity) -> io::Result<Self> {
        let (files, changes) = (Files::open(dir)?, Mutex::default());
        let disk = Disk { files, capacity, changes, modules: AtomicU64::default(), bytes: AtomicU64::default() };
        disk.publish(disk.count()?);
        Ok(disk)
    }

    /// Counts what is there, and removes bytes whose description a crash kept from coming.
    fn count(&self) -> io::Result<Holdings> {
        let mut holdings = Holdings::default();
        for entry in self.files.blobs.entries()? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            if file.ends_with(".json") {
                continue;
            }
            match self.files.blobs.try_exists(format!("{file}.json"))? {
                true => {
                    holdings.modules += 1;
                    holdings.bytes += entry.metadata()?.len();
                }
                false => self.files.blobs.remove_file(&file)?,
            }
        }
        for name in self.files.all_names()? {
            holdings.modules +=
                self.files.versions(&name)?.iter().filter(|version| version.id.is_some()).count() as u64;
        }
        Ok(holdings)
    }

    /// What is held, without waiting for the disk.
    pub(super) fn holdings(&self) -> Holdings {
        Holdings { modules: self.modules.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    fn publish(&self, holdings: Holdings) {
        self.modules.store(holdings.modules, Ordering::Relaxed);
        self.bytes.store(holdings.bytes, Ordering::Relaxed);
    }

    pub(super) fn put(
        &self,
        name: Option<&Name>,
        id: &ModuleId,
        bytes: &[u8],
        kind: &str,
    ) -> Result<(Stored, bool), Error> {
        let _alone = self.lock();
        let mut holdings = self.holdings();
        let created = clock::date();
        if let Some(name) = name {
            self.check_name(name)?;
        }
        let known = self.files.blob(id)?;
        let is_new = known.is_none();
        let more = Holdings {
            modules: holdings.modules + u64::from(is_new) + u64::from(name.is_some()),
            bytes: holdings.bytes + if is_new { bytes.len() as u64 } else { 0 },
        };
        let Capacity { modules_max, bytes_max } = self.capacity;
        if more.modules > modules_max {
            return Err(Error::Full { what: "modules", max: modules_max });
        }
        if more.bytes > bytes_max {
            return Err(Error::Full { what: "bytes of modules", max: bytes_max });
        }
        let blob = match known {
            Some(blob) => blob,
            None => {
                let blob = BlobFile { kind: kind.to_owned(), size_bytes: bytes.len() as u64, created: created.clone() };
                self.put_blob(id, bytes, &blob)?;
                // Counted as soon as it is there: whatever fails from here on leaves it.
                holdings.modules += 1;
                holdings.bytes += blob.size_bytes;
                self.publish(holdings);
                blob
            }
        };
        let Some(name) = name else { return Ok((unlabelled(id.clone(), blob), is_new)) };
        let number = self.put_version(name, id, &created)?;
        holdings.modules += 1;
        self.publish(holdings);
        // The same bytes may have been granted something under this name.
        let stored = self.find(&Reference::Version(name.clone(), number))?;
        Ok((stored, is_new))
    }

    /// Whether a name is taken already, or may be.
    fn check_name(&self, name: &Name) -> Result<(), Error> {
        let max = self.capacity.modules_max;
        match self.files.name_dir(name)?.is_none() && self.files.names.entries()?.count() as u64 >= max {
            true => Err(Error::NamesTaken { max }),
            false => Ok(()),
        }
    }

    /// Keeps bytes and what they are, or neither.
    fn put_blob(&self, id: &ModuleId, bytes: &[u8], blob: &BlobFile) -> Result<(), Error> {
        let (blobs, described) = (&self.files.blobs, format!("{}.json", id.hex()));
        let description = json(blob)?;
        let kept = self.files.write(blobs, id.hex(), bytes);
        let kept = kept.and_then(|()| self.files.write(blobs, &described, &description));
        if kept.is_err() {
            // Nobody counts them: a full disk must not keep them.
            for file in [described.as_str(), id.hex()] {
                let _ = blobs.remove_file(file);
            }
        }
        Ok(kept?)
    }

    fn put_version(&self, name: &Name, id: &ModuleId, created: &str) -> Result<u32, Error> {
        let dir = match self.files.name_dir(name)? {
            Some(dir) => dir,
            None => {
                self.files.names.create_dir(name.as_str())?;
                sync(&self.files.names)?;
                self.files.names.open_dir(name.as_str())?
            }
        };
        let newest = self.files.versions(name)?.last().map_or(0, |version| version.number);
        let number =
            newest.checked_add(1).ok_or(Error::Full { what: "versions of that name", max: u32::MAX.into() })?;
        let version = json(&VersionFile { created: created.to_owned() })?;
        self.files.write(&dir, &version_file(number, id.hex()), &version)?;
        Ok(number)
    }

    pub(super) fn find(&self, reference: &Reference) -> Result<Stored, Error> {
        let lacking = || Error::NotFound(reference.clone());
        let (name, wanted) = match reference {
            Reference::Id(id) => {
                return Ok(unlabelled(id.clone(), self.files.blob(id)?.ok_or_else(lacking)?));
            }
            Reference::Newest(name) => (name, None),
            Reference::Version(name, number) => (name, Some(*number)),
        };
        let live = self.files.versions(name)?.into_iter().rev().filter(|version| version.id.is_some());
        let mut live = live.filter(|version| wanted.is_none_or(|number| number == version.number));
        let version = live.next().ok_or_else(lacking)?;
        self.files.describe(name, version)?.ok_or_else(lacking)
    }

    pub(super) fn read(&self, id: &ModuleId) -> Result<Vec<u8>, Error> {
        match self.files.blobs.read(id.hex()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NotFound(Reference::Id(id.clone()))),
            read => Ok(read?),
        }
    }

    pub(super) fn list(&self, after: Option<&Reference>, count: usize) -> Result<Vec<Stored>, Error> {
        let mut found = Vec::new();
        if !matches!(after, Some(Reference::Id(_))) {
            for name in self.files.all_names()? {
                let below = match after {
                    Some(Reference::Newest(last) | Reference::Version(last, _)) if name < *last => continue,
                    Some(Reference::Newest(last)) if name == *last => continue,
                    Some(Reference::Version(last, number)) if name == *last => *number,
                    _ => u32::MAX,
                };
                for version in self.files.versions(&name)?.into_iter().rev() {
                    if found.len() == count {
                        return Ok(found);
                    }
                    if version.number < below && version.id.is_some() {
                        // One that was deleted meanwhile is passed over.
                        found.extend(self.files.describe(&name, version)?);
                    }
                }
            }
        }
        let after = match after {
            Some(Reference::Id(id)) => id.hex(),
            _ => "",
        };
        for id in self.files.unnamed()?.into_iter().filter(|id| id.hex() > after) {
            if found.len() == count {
                break;
            }
            if let Some(blob) = self.files.blob(&id)? {
                found.push(unlabelled(id, blob));
            }
        }
        Ok(found)
    }

    pub(super) fn grant(
        &self,
        reference: &Reference,
        grants: Grants,
        is_expected: impl FnOnce(&Stored) -> bool,
    ) -> Result<Stored, Error> {
        let _alone = self.lock();
        let found = self.find(reference)?;
        if !is_expected(&found) {
            return Err(Error::Changed(reference.clone()));
        }
        let lacking = || Error::NotFound(reference.clone());
        let (name, _) = found.label.as_ref().ok_or_else(lacking)?;
        let (dir, file) = (self.files.name_dir(name)?.ok_or_else(lacking)?, grants_file(&found.id));
        match grants == Grants::none() {
            true => {
                remove(&dir, &file)?;
                sync(&dir)?;
            }
            false => self.files.write(&dir, &file, &json(&GrantsFile { grants, since: clock::date() })?)?,
        }
        self.find(&found.reference())
    }

    pub(super) fn granted_before(&self, stored: &Stored) -> Result<Option<Stored>, Error> {
        let Some((name, _)) = &stored.label else { return Ok(None) };
        let Some(dir) = self.files.name_dir(name)? else { return Ok(None) };
        let versions = self.files.versions(name)?;
        let newest = |id: &ModuleId| versions.iter().rev().find(|version| version.id.as_ref() == Some(id));
        let mut last = None;
        for id in all_granted(&dir)?.into_iter().filter(|id| *id != stored.id) {
            let (Some(version), Some(granted)) = (newest(&id), granted(&dir, &id)?) else { continue };
            last = last.max(Some((granted.since, version.number)));
        }
        match last {
            Some((_, number)) => Ok(Some(self.find(&Reference::Version(name.clone(), number))?)),
            None => Ok(None),
        }
    }

    pub(super) fn delete(&self, reference: &Reference) -> Result<(), Error> {
        let _alone = self.lock();
        let mut holdings = self.holdings();
        let lacking = || Error::NotFound(reference.clone());
        match reference {
            Reference::Id(id) => {
                let blob = self.files.blob(id)?.ok_or_else(lacking)?;
                if let Some(by) = self.files.user_of(id)? {
                    return Err(Error::InUse { id: id.clone(), by: format!("`{by}`") });
                }
                self.files.blobs.remove_file(format!("{}.json", id.hex()))?;
                self.files.blobs.remove_file(id.hex())?;
                sync(&self.files.blobs)?;
                holdings.modules = holdings.modules.saturating_sub(1);
                holdings.bytes = holdings.bytes.saturating_sub(blob.size_bytes);
                self.publish(holdings);
            }
            Reference::Newest(name) | Reference::Version(name, _) => {
                let wanted = |version: &Version| match reference {
                    Reference::Version(_, number) => version.number == *number,
                    _ => true,
                };
                let versions = self.files.versions(name)?;
                let newest = versions.last().map_or(0, |version| version.number);
                let dir = self.files.name_dir(name)?.ok_or_else(lacking)?;
                let (gone, kept): (Vec<_>, Vec<_>) = versions.iter().partition(|version| wanted(version));
                // Grants go first: none must be there that waits for its bytes to come again.
                for id in gone.iter().filter_map(|version| version.id.as_ref()) {
                    if !kept.iter().any(|version| version.id.as_ref() == Some(id)) {
                        remove(&dir, &grants_file(id))?;
                    }
                }
                sync(&dir)?;
                let mut removed = 0;
                // The newest goes last: a crash in between must not make an older one the newest.
                for version in gone.into_iter().filter(|version| version.id.is_some()) {
                    match version.number == newest {
                        true => dir.rename(&version.file, &dir, version_file(newest, DELETED))?,
                        false => dir.remove_file(&version.file)?,
                    }
                    removed += 1;
                }
                for version in versions.iter().filter(|version| version.id.is_none() && version.number < newest) {
                    dir.remove_file(&version.file)?;
                }
                sync(&dir)?;
                holdings.modules = holdings.modules.saturating_sub(removed);
                self.publish(holdings);
                if removed == 0 {
                    return Err(lacking());
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that were not asked for by a name: nothing is granted to them.
fn unlabelled(id: ModuleId, BlobFile { kind, size_bytes, created }: BlobFile) -> Stored {
    Stored { id, label: None, size_bytes, kind, created, granted: None }
}
