//! Bytes, between files or streams and the guest's buffers. Each call is one operation on the file, of all its buffers.
//!
//! A read or write moves [`MOVED_BYTES_MAX`](super::memory::MOVED_BYTES_MAX) at most, and says how many it were.

use super::memory::Buffers;
use super::table::{Descriptor, Node, OpenFile, may};
use super::types::{fdflags, rights};
use super::{Answer, Guest, Refused};
use crate::vfs::{FILE_BYTES_MAX, Flush, end_of};
use crate::wasi::errno::Errno;

impl Guest<'_> {
    pub(super) async fn fd_read(&mut self, fd: u32, buffers: u32, count: u32, out: u32) -> Answer {
        let buffers = self.memory.buffers(buffers, count)?;
        self.memory.check(out, 4)?;
        let Descriptor { node, base, .. } = self.table().get(fd)?;
        may(*base, rights::FD_READ)?;
        let (bytes, counted) = match node {
            Node::Stdin => {
                let streams = self.files.streams.as_mut().ok_or(Errno::BADF)?;
                // No capability's: what a guest is given there has a limit of its own.
                (streams.stdin.read(buffers.bytes), 0)
            }
            Node::File(file) => {
                let bytes = file.file.read_at(file.position, buffers.bytes).await?;
                let counted = bytes.len();
                (bytes, counted)
            }
            Node::Stdout | Node::Stderr | Node::Directory(_) => return Err(Errno::BADF.into()),
        };
        self.files.charge(counted as u64, 0)?;
        self.memory.scatter(buffers, &bytes)?;
        if counted > 0 {
            self.table().file(fd, rights::FD_READ)?.position += counted as u64;
        }
        Ok(self.memory.put_u32(out, bytes.len())?)
    }

    pub(super) async fn fd_pread(&mut self, fd: u32, buffers: u32, count: u32, offset: u64, out: u32) -> Answer {
        let buffers = self.memory.buffers(buffers, count)?;
        self.memory.check(out, 4)?;
        let Descriptor { node, base, .. } = self.table().get(fd)?;
        may(*base, rights::FD_READ)?;
        let bytes = match node {
            Node::Stdin => return Err(Errno::SPIPE.into()),
            Node::File(file) => file.file.read_at(within(offset)?, buffers.bytes).await?,
            Node::Stdout | Node::Stderr | Node::Directory(_) => return Err(Errno::BADF.into()),
        };
        self.files.charge(bytes.len() as u64, 0)?;
        self.memory.scatter(buffers, &bytes)?;
        Ok(self.memory.put_u32(out, bytes.len())?)
    }

    pub(super) async fn fd_write(&mut self, fd: u32, buffers: u32, count: u32, out: u32) -> Answer {
        let buffers = self.memory.buffers(buffers, count)?;
        self.memory.check(out, 4)?;
        let Descriptor { node, base, .. } = self.table().get(fd)?;
        may(*base, rights::FD_WRITE)?;
        match node {
            Node::Stdout | Node::Stderr => {
                let is_error = matches!(node, Node::Stderr);
                self.print(is_error, buffers)?;
            }
            Node::File(_) => self.write_file(fd, buffers, None).await?,
            Node::Stdin | Node::Directory(_) => return Err(Errno::BADF.into()),
        }
        Ok(self.memory.put_u32(out, buffers.bytes)?)
    }

    /// A file that appends does so here as well, wherever it is told to write, as on Linux.
    pub(super) async fn fd_pwrite(&mut self, fd: u32, buffers: u32, count: u32, offset: u64, out: u32) -> Answer {
        let buffers = self.memory.buffers(buffers, count)?;
        self.memory.check(out, 4)?;
        let Descriptor { node, base, .. } = self.table().get(fd)?;
        may(*base, rights::FD_WRITE)?;
        match node {
            Node::Stdout | Node::Stderr => return Err(Errno::SPIPE.into()),
            Node::File(_) => self.write_file(fd, buffers, Some(within(offset)?)).await?,
            Node::Stdin | Node::Directory(_) => return Err(Errno::BADF.into()),
        }
        Ok(self.memory.put_u32(out, buffers.bytes)?)
    }

    fn print(&mut self, is_error: bool, buffers: Buffers) -> Answer {
        let streams = self.files.streams.as_ref().ok_or(Errno::BADF)?;
        let stream = if is_error { &streams.stderr } else { &streams.stdout };
        self.memory.each(buffers, |part| Ok::<_, Refused>(stream.write(part)?))
    }

    /// Writes at a place, or at the position, which moves on.
    async fn write_file(&mut self, fd: u32, buffers: Buffers, offset: Option<u64>) -> Answer {
        if buffers.bytes == 0 {
            return Ok(());
        }
        self.files.charge(0, buffers.bytes as u64)?;
        let bytes = self.memory.gather(buffers)?;
        let OpenFile { file, position, flags } = self.table().file(fd, rights::FD_WRITE)?;
        let end = if *flags & fdflags::APPEND != 0 {
            file.append(bytes).await?
        } else {
            let from = offset.unwrap_or(*position);
            let end = end_of(from, bytes.len())?;
            file.write_at(from, bytes).await?;
            end
        };
        if offset.is_none() {
            *position = end;
        }
        if *flags & fdflags::SYNC != 0 {
            file.sync(Flush::All).await?;
        } else if *flags & fdflags::DSYNC != 0 {
            file.sync(Flush::Data).await?;
        }
        Ok(())
    }
}

/// A place that a file may have; `inval` for what POSIX has as a negative one.
fn within(offset: u64) -> Result<u64, Errno> {
    if offset <= FILE_BYTES_MAX { Ok(offset) } else { Err(Errno::INVAL) }
}
