//! The files of a store: where each lies, how it is written whole, and how it is read back.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::fs::{Dir, File, OpenOptions};
use runner_core::{Grants, ModuleId};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::{Granted, Name, Reference, Stored};

/// The directories of a store, held open.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) blobs: Dir,
    pub(super) names: Dir,
    tmp: Dir,
    tmp_next: AtomicU64,
    _lock: File,
}

/// What `blobs/HEX.json` says.
#[derive(Serialize, Deserialize)]
pub(super) struct BlobFile {
    pub(super) kind: String,
    pub(super) size_bytes: u64,
    pub(super) created: String,
}

/// What `names/NAME/N-HEX` says.
#[derive(Serialize, Deserialize)]
pub(super) struct VersionFile {
    pub(super) created: String,
}

/// What `names/NAME/grants-HEX` says.
#[derive(Serialize, Deserialize)]
pub(super) struct GrantsFile {
    pub(super) grants: Grants,
    pub(super) since: String,
}

/// One entry of a name; without an id where it was deleted.
pub(super) struct Version {
    pub(super) number: u32,
    pub(super) id: Option<ModuleId>,
    pub(super) file: String,
}

impl Files {
    /// Opens the directories, and empties that of files on their way.
    pub(super) fn open(dir: &Dir) -> io::Result<Self> {
        let lock = dir.open_with("lock", OpenOptions::new().write(true).create(true))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| io::Error::new(error.kind(), "the data directory is in use by another server"))?;
        let sub = |name: &str| {
            dir.create_dir_all(name)?;
            dir.open_dir(name)
        };
        let (blobs, names, tmp) = (sub("blobs")?, sub("names")?, sub("tmp")?);
        for left in tmp.entries()? {
            tmp.remove_file(left?.file_name())?;
        }
        Ok(Files { blobs, names, tmp, tmp_next: AtomicU64::new(0), _lock: lock })
    }

    pub(super) fn describe(&self, name: &Name, version: Version) -> io::Result<Option<Stored>> {
        let Some(id) = version.id else { return Ok(None) };
        let Some(dir) = self.name_dir(name)? else { return Ok(None) };
        let Some(VersionFile { created }) = read_json(&dir, &version.file)? else { return Ok(None) };
        let Some(BlobFile { kind, size_bytes, .. }) = self.blob(&id)? else { return Ok(None) };
        let granted = granted(&dir, &id)?;
        let label = Some((name.clone(), version.number));
        Ok(Some(Stored { id, label, size_bytes, kind, created, granted }))
    }

    pub(super) fn blob(&self, id: &ModuleId) -> io::Result<Option<BlobFile>> {
        read_json(&self.blobs, &format!("{}.json", id.hex()))
    }

    pub(super) fn name_dir(&self, name: &Name) -> io::Result<Option<Dir>> {
        present(self.names.open_dir(name.as_str()))
    }

    pub(super) fn all_names(&self) -> io::Result<Vec<Name>> {
        let entries = self.names.entries()?.map(|entry| Ok(entry?.file_name().to_string_lossy().parse().ok()));
        let mut names = entries.filter_map(io::Result::transpose).collect::<io::Result<Vec<Name>>>()?;
        names.sort();
        Ok(names)
    }

    /// The entries of a name in ascending order, deleted ones among them.
    pub(super) fn versions(&self, name: &Name) -> io::Result<Vec<Version>> {
        let Some(dir) = self.name_dir(name)? else { return Ok(Vec::new()) };
        let mut versions = Vec::new();
        for entry in dir.entries()? {
            let file = entry?.file_name().to_string_lossy().into_owned();
            let Some((number, id)) = file.split_once('-') else { continue };
            let Ok(number) = number.parse() else { continue };
            let id = (id != DELETED).then(|| format!("sha256:{id}").parse().ok()).flatten();
            versions.push(Version { number, id, file });
        }
        versions.sort_by_key(|version| version.number);
        Ok(versions)
    }

    /// A name that refers to a module.
    pub(super) fn user_of(&self, id: &ModuleId) -> io::Result<Option<Reference>> {
        for name in self.all_names()? {
            if let Some(version) = self.versions(&name)?.into_iter().find(|version| version.id.as_ref() == Some(id)) {
                return Ok(Some(Reference::Version(name, version.number)));
            }
        }
        Ok(None)
    }

    /// The modules that no name refers to, in order.
    pub(super) fn unnamed(&self) -> io::Result<Vec<ModuleId>> {
        let mut named = HashSet::new();
        for name in self.all_names()? {
            named.extend(self.versions(&name)?.into_iter().filter_map(|version| version.id));
        }
        let mut unnamed = Vec::new();
        for entry in self.blobs.entries()? {
            let file = entry?.file_name().to_string_lossy().into_owned();
            let id = file.strip_suffix(".json").and_then(|hex| format!("sha256:{hex}").parse().ok());
            unnamed.extend(id.filter(|id| !named.contains(id)));
        }
        unnamed.sort();
        Ok(unnamed)
    }

    pub(super) fn write(&self, dir: &Dir, file: &str, bytes: &[u8]) -> io::Result<()> {
        let aside = self.tmp_next.fetch_add(1, Ordering::Relaxed).to_string();
        let written =
            self.tmp.open_with(&aside, OpenOptions::new().write(true).create_new(true)).and_then(|mut out| {
                out.write_all(bytes)?;
                out.sync_all()?;
                self.tmp.rename(&aside, dir, file)
            });
        match written {
            Ok(()) => sync(dir),
            Err(error) => {
                // A full disk must not be filled further.
                let _ = self.tmp.remove_file(&aside);
                Err(error)
            }
        }
    }
}

/// What bytes were granted under the name whose directory it is.
pub(super) fn granted(dir: &Dir, id: &ModuleId) -> io::Result<Option<Granted>> {
    let Some(GrantsFile { grants, since }) = read_json(dir, &grants_file(id))? else { return Ok(None) };
    let text = serde_json::to_string(&grants).map_err(io::Error::other)?.into();
    Ok(Some(Granted { grants, since, text }))
}

/// No version begins so.
pub(super) fn grants_file(id: &ModuleId) -> String {
    format!("grants-{}", id.hex())
}

/// The bytes that were granted something under the name whose directory it is.
pub(super) fn all_granted(dir: &Dir) -> io::Result<Vec<ModuleId>> {
    let mut all = Vec::new();
    for entry in dir.entries()? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        all.extend(file.strip_prefix("grants-").and_then(|hex| format!("sha256:{hex}").parse().ok()));
    }
    Ok(all)
}

/// Removes a file, if it is there.
pub(super) fn remove(dir: &Dir, file: &str) -> io::Result<()> {
    present(dir.remove_file(file)).map(drop)
}

pub(super) const DELETED: &str = "deleted";

pub(super) fn version_file(number: u32, id: &str) -> String {
    format!("{number:010}-{id}")
}

pub(super) fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(io::Error::other)
}

fn read_json<T: for<'a> Deserialize<'a>>(dir: &Dir, file: &str) -> io::Result<Option<T>> {
    let Some(bytes) = present(dir.read(file))? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other)
}

fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// A directory's entries reach the disk.
pub(super) fn sync(dir: &Dir) -> io::Result<()> {
    let dir = rustix::fs::openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::fs::fsync(dir)?)
}
