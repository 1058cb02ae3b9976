//! The descriptors of one guest: what each stands for, its position, its flags, and what may be done with it.
//!
//! Rights: whoever opens a file is asked for `fd_read` and `fd_write` only, as other hosts have it; all else is given, as far
//! as the directory gives it on. A guest may give rights up, for itself and for what it opens from there; never get one back.

use std::sync::Arc;

use super::readdir::Listing;
use super::types::{filetype, rights};
use crate::error::{Error, Result as Done};
use crate::path::VPath;
use crate::vfs::File;
use crate::wasi::errno::Errno;

/// The descriptors, by their numbers.
///
/// Those that a guest opens are bounded by [`Limits::handles`](runner_core::Limits::handles); a new one gets the lowest
/// number that is free, as POSIX has it.
pub(in crate::wasi) struct Table {
    slots: Vec<Option<Descriptor>>,
    /// How many of them the guest has opened.
    opened: usize,
}

pub(super) struct Descriptor {
    pub(super) node: Node,
    /// What may be done with it.
    pub(super) base: u64,
    /// What may be done with what is opened from it.
    pub(super) inheriting: u64,
    /// Whether it counts: the guest has opened it.
    counts: bool,
}

pub(super) enum Node {
    Stdin,
    Stdout,
    Stderr,
    File(OpenFile),
    Directory(OpenDirectory),
}

pub(super) struct OpenFile {
    pub(super) file: Arc<dyn File>,
    pub(super) position: u64,
    /// Its `fdflags`.
    pub(super) flags: u16,
}

pub(super) struct OpenDirectory {
    /// Where it is, without a link on the way.
    pub(super) path: VPath,
    /// `None` for what was open from the start: it is not opened for who never asks.
    pub(super) file: Option<Arc<dyn File>>,
    /// The name under which it was open from the start.
    pub(super) preopen: Option<String>,
    /// What is known of its entries, where it is being listed.
    pub(super) listing: Option<Listing>,
}

impl Table {
    /// What a guest begins with: its standard streams, then the directories that it was granted.
    pub(super) fn new(preopens: &[(String, VPath)]) -> Self {
        let stream = |node, rights| Descriptor { node, base: rights, inheriting: rights, counts: false };
        let mut slots = vec![
            Some(stream(Node::Stdin, rights::FD_READ)),
            Some(stream(Node::Stdout, rights::FD_WRITE)),
            Some(stream(Node::Stderr, rights::FD_WRITE)),
        ];
        slots.extend(preopens.iter().map(|(name, path)| {
            let directory =
                OpenDirectory { path: path.clone(), file: None, preopen: Some(name.clone()), listing: None };
            Some(Descriptor {
                node: Node::Directory(directory),
                base: rights::DIRECTORY,
                inheriting: rights::DIRECTORY | rights::FILE,
                counts: false,
            })
        }));
        Table { slots, opened: 0 }
    }

    pub(super) fn get(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.slots.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// A file with which this may be done.
    pub(super) fn file(&mut self, fd: u32, right: u64) -> Result<&mut OpenFile, Errno> {
        match self.get(fd)? {
            Descriptor { node: Node::File(file), base, .. } => may(*base, right).map(|()| file),
            _ => Err(Errno::BADF),
        }
    }

    /// A file that has a position, which this may be done with; `spipe` for a stream.
    pub(super) fn seekable(&mut self, fd: u32, right: u64) -> Result<&mut OpenFile, Errno> {
        match self.get(fd)?.node {
            Node::Stdin | Node::Stdout | Node::Stderr => Err(Errno::SPIPE),
            Node::File(_) | Node::Directory(_) => self.file(fd, right),
        }
    }

    /// A directory with which this may be done.
    pub(super) fn directory(&mut self, fd: u32, right: u64) -> Result<&mut OpenDirectory, Errno> {
        match self.get(fd)? {
            Descriptor { node: Node::Directory(directory), base, .. } => may(*base, right).map(|()| directory),
            _ => Err(Errno::BADF),
        }
    }

    /// Whether one more may be opened, of so many: `mfile`.
    pub(super) fn room(&self, most: usize) -> Result<(), Errno> {
        if self.opened < most { Ok(()) } else { Err(Errno::MFILE) }
    }

    /// The number of a new descriptor.
    pub(super) fn open(&mut self, node: Node, base: u64, inheriting: u64) -> usize {
        self.opened += 1;
        let descriptor = Some(Descriptor { node, base, inheriting, counts: true });
        match self.slots.iter_mut().enumerate().find(|(_, slot)| slot.is_none()) {
            Some((fd, slot)) => {
                *slot = descriptor;
                fd
            }
            None => {
                self.slots.push(descriptor);
                self.slots.len() - 1
            }
        }
    }

    /// Takes a descriptor out; its number is free.
    pub(super) fn close(&mut self, fd: u32) -> Result<Node, Errno> {
        let closed = self.slots.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BADF)?;
        self.opened -= usize::from(closed.counts);
        Ok(closed.node)
    }

    /// Gives a descriptor the number of another one, which is taken out; `None` where they are the same.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Result<Option<Node>, Errno> {
        self.get(from)?;
        self.get(to)?;
        if from == to {
            return Ok(None);
        }
        let closed = self.close(to)?;
        self.slots[to as usize] = self.slots[from as usize].take();
        Ok(Some(closed))
    }

    /// The call is over: what a guest left open is closed for it, where it came to its end.
    ///
    /// # Errors
    ///
    /// The first that does not close: the guest is not there any more to be told.
    pub(in crate::wasi) async fn end(self, owed: bool) -> Done<()> {
        let mut first = None;
        for descriptor in self.slots.into_iter().flatten().filter(|_| owed) {
            if let Node::File(OpenFile { file, .. }) = descriptor.node
                && let Err(error) = file.close().await
            {
                let message = format!("a file that the guest left open does not close: {error}");
                first.get_or_insert_with(|| Error::new(error.kind(), message).caused_by(error));
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Whether a directory is open that the guest has opened.
    pub(super) fn has_directories(&self) -> bool {
        self.opened > 0 && self.slots.iter().flatten().any(|it| it.counts && matches!(it.node, Node::Directory(_)))
    }

    /// A directory has another place now, or one that lies above it: who has it open still has it.
    pub(super) fn moved(&mut self, from: &VPath, to: &VPath) {
        for descriptor in self.slots.iter_mut().flatten().filter(|descriptor| descriptor.counts) {
            if let Node::Directory(directory) = &mut descriptor.node
                && let Some(moved) = directory.path.strip(from).and_then(|rest| rest.below(to).ok())
            {
                directory.path = moved;
            }
        }
    }
}

/// Whether a right is among those that there are. To read what is not open for it is POSIX's `badf`; what a guest gave up
/// itself has a code of its own.
pub(super) fn may(base: u64, right: u64) -> Result<(), Errno> {
    match right {
        _ if base & right == right => Ok(()),
        rights::FD_READ | rights::FD_WRITE => Err(Errno::BADF),
        _ => Err(Errno::NOTCAPABLE),
    }
}

impl Descriptor {
    pub(super) fn filetype(&self) -> u8 {
        match self.node {
            // As a pipe is, which preview 1 has no word for.
            Node::Stdin | Node::Stdout | Node::Stderr => filetype::UNKNOWN,
            Node::File(_) => filetype::REGULAR_FILE,
            Node::Directory(_) => filetype::DIRECTORY,
        }
    }

    /// Its `fdflags`.
    pub(super) fn flags(&self) -> u16 {
        match &self.node {
            Node::File(file) => file.flags,
            _ => 0,
        }
    }

    /// Gives rights up; `notcapable` for one that is not there.
    pub(super) fn narrow(&mut self, base: u64, inheriting: u64) -> Result<(), Errno> {
        if base & !self.base != 0 || inheriting & !self.inheriting != 0 {
            return Err(Errno::NOTCAPABLE);
        }
        (self.base, self.inheriting) = (base, inheriting);
        Ok(())
    }
}
