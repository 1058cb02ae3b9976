//! The entries of a directory, one by one for the guest, and page by page of the tree.

use std::num::NonZeroU32;
use std::sync::Arc;

use runner_core::wasmtime::component::Resource;
use runner_core::{View, wasmtime};

use super::bindings::wasi::filesystem::types::{DirectoryEntry, HostDirectoryEntryStream, PathFlags};
use super::shown::{Seen, What, show};
use super::values::kind;
use super::{Answer, Files};
use crate::error::{ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{Entry, Vfs};

/// Entries that are asked for at once: with the longest names they are what the host says it holds for a handle.
const PAGE: NonZeroU32 = NonZeroU32::new(400).expect("it is not zero");

/// A directory that is being read. What changes behind the last name that was given, shows.
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Entries {
    pub(super) place: VPath,
    page: std::vec::IntoIter<Entry>,
    last: Option<String>,
    more: bool,
}

impl Entries {
    pub(super) async fn open(tree: &dyn Vfs, place: VPath) -> Result<Self> {
        let mut entries = Entries { place, page: Vec::new().into_iter(), last: None, more: true };
        entries.turn(tree).await?;
        Ok(entries)
    }

    async fn turn(&mut self, tree: &dyn Vfs) -> Result<()> {
        let page = tree.list(&self.place, self.last.as_deref(), PAGE).await?;
        self.last = page.entries.last().map(|entry| entry.name.clone()).or(self.last.take());
        self.more = page.more;
        self.page = page.entries.into_iter();
        Ok(())
    }

    async fn next(&mut self, tree: &dyn Vfs) -> Result<Option<Entry>> {
        loop {
            match self.page.next() {
                None if self.more => match self.turn(tree).await {
                    Ok(()) => {}
                    // It was removed in the meantime: there is nothing more in it.
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotDirectory) => {
                        self.more = false;
                    }
                    Err(error) => return Err(error),
                },
                next => return Ok(next),
            }
        }
    }
}

impl HostDirectoryEntryStream for View<'_, Files> {
    async fn read_directory_entry(&mut self, stream: Resource<Entries>) -> Answer<Option<DirectoryEntry>> {
        let tree = Arc::clone(&self.tree);
        let next = self.table.get_mut(&stream)?.next(tree.as_ref()).await?;
        match next {
            None => Ok(None),
            Some(Entry { name, kind: is, device, inode }) => {
                self.charge(name.len() as u64, 0)?;
                if let Some(device) = device {
                    let directory = self.table.get(&stream)?.place.clone();
                    let what = What::Path { directory, text: name.clone(), flags: PathFlags::empty() };
                    show(self, what, Seen::Known { kind: is, identity: (device, inode) });
                }
                Ok(Some(DirectoryEntry { type_: kind(is), name }))
            }
        }
    }

    async fn drop(&mut self, stream: Resource<Entries>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
