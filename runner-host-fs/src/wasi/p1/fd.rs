//! What is asked of a descriptor, but to move bytes: what it is, its flags and rights, its place, its end.

use super::table::{Node, OpenDirectory, may};
use super::types::{
    ADVICE_LAST, FDSTAT_BYTES, FILESTAT_BYTES, fdflags, fdstat, filestat, known, prestat, rights, times, whence,
};
use super::{Answer, Guest};
use crate::error::{Error, ErrorKind};
use crate::vfs::{FILE_BYTES_MAX, Flush, Follow, Stat, Vfs};
use crate::wasi::errno::Errno;

impl Guest<'_> {
    /// Nothing follows from it: what is read ahead, the backend decides by what is read.
    pub(super) fn fd_advise(&mut self, fd: u32, _offset: u64, _bytes: u64, advice: u32) -> Answer {
        self.table().file(fd, rights::FD_ADVISE)?;
        match advice <= ADVICE_LAST {
            true => Ok(()),
            false => Err(Errno::INVAL.into()),
        }
    }

    /// The file has so many bytes then; what it does not have yet is zeros, for which no room is kept.
    pub(super) async fn fd_allocate(&mut self, fd: u32, offset: u64, bytes: u64) -> Answer {
        let file = self.table().file(fd, rights::FD_ALLOCATE)?;
        if bytes == 0 {
            return Err(Errno::INVAL.into());
        }
        let end = offset.checked_add(bytes).filter(|end| *end <= FILE_BYTES_MAX).ok_or(Errno::FBIG)?;
        // Also where nothing is to be done, it must be open for writing.
        let size = file.file.stat().await?.size;
        file.file.set_len(end.max(size)).await?;
        Ok(())
    }

    /// What fails is told: with some backends, it is only now that a file is published.
    pub(super) async fn fd_close(&mut self, fd: u32) -> Answer {
        let node = self.table().close(fd)?;
        close(node).await
    }

    /// The one that had the number is closed. Where that fails, the other one has its number all the same.
    pub(super) async fn fd_renumber(&mut self, fd: u32, to: u32) -> Answer {
        match self.table().renumber(fd, to)? {
            Some(node) => close(node).await,
            None => Ok(()),
        }
    }

    pub(super) async fn fd_datasync(&mut self, fd: u32) -> Answer {
        Ok(self.table().file(fd, rights::FD_DATASYNC)?.file.sync(Flush::Data).await?)
    }

    pub(super) async fn fd_sync(&mut self, fd: u32) -> Answer {
        Ok(self.table().file(fd, rights::FD_SYNC)?.file.sync(Flush::All).await?)
    }

    pub(super) fn fd_fdstat_get(&mut self, fd: u32, out: u32) -> Answer {
        self.memory.check(out, FDSTAT_BYTES)?;
        let descriptor = self.table().get(fd)?;
        let stat = fdstat(descriptor.filetype(), descriptor.flags(), descriptor.base, descriptor.inheriting);
        Ok(self.memory.put(out, stat)?)
    }

    /// Whether writes are waited for is said when a file is opened, as on Linux: `inval` for who would begin now.
    pub(super) fn fd_fdstat_set_flags(&mut self, fd: u32, flags: u32) -> Answer {
        let flags = known(flags, fdflags::ALL)?;
        let file = self.table().file(fd, rights::FD_FDSTAT_SET_FLAGS)?;
        let waits = fdflags::DSYNC | fdflags::RSYNC | fdflags::SYNC;
        if flags & waits & !file.flags != 0 {
            return Err(Errno::INVAL.into());
        }
        file.flags = flags & !waits | file.flags & waits;
        Ok(())
    }

    pub(super) fn fd_fdstat_set_rights(&mut self, fd: u32, base: u64, inheriting: u64) -> Answer {
        Ok(self.table().get(fd)?.narrow(base, inheriting)?)
    }

    pub(super) async fn fd_filestat_get(&mut self, fd: u32, out: u32) -> Answer {
        self.memory.check(out, FILESTAT_BYTES)?;
        let tree = self.files.tree.clone();
        let descriptor = self.table().get(fd)?;
        let stat = match &descriptor.node {
            Node::Stdin | Node::Stdout | Node::Stderr => None,
            Node::File(file) => {
                may(descriptor.base, rights::FD_FILESTAT_GET)?;
                Some(file.file.stat().await?)
            }
            Node::Directory(directory) => {
                may(descriptor.base, rights::FD_FILESTAT_GET)?;
                Some(directory.stat(&*tree).await?)
            }
        };
        Ok(self.memory.put(out, filestat(stat.as_ref()))?)
    }

    pub(super) async fn fd_filestat_set_size(&mut self, fd: u32, bytes: u64) -> Answer {
        let file = self.table().file(fd, rights::FD_FILESTAT_SET_SIZE)?;
        match file.file.set_len(bytes).await {
            // As Linux has it, which guests were written for.
            Err(error) if error.kind() == ErrorKind::BadDescriptor => Err(Errno::INVAL.into()),
            set => Ok(set?),
        }
    }

    pub(super) async fn fd_filestat_set_times(
        &mut self,
        fd: u32,
        accessed_ns: u64,
        modified_ns: u64,
        flags: u32,
    ) -> Answer {
        let times = times(accessed_ns, modified_ns, flags)?;
        let tree = self.files.tree.clone();
        let descriptor = self.table().get(fd)?;
        match &descriptor.node {
            Node::Stdin | Node::Stdout | Node::Stderr => return Err(Errno::BADF.into()),
            _ => may(descriptor.base, rights::FD_FILESTAT_SET_TIMES)?,
        }
        match &descriptor.node {
            Node::File(file) => file.file.set_times(times).await?,
            Node::Directory(OpenDirectory { file: Some(file), .. }) => file.set_times(times).await?,
            Node::Directory(directory) => tree.set_times(&directory.path, Follow::Yes, times).await?,
            Node::Stdin | Node::Stdout | Node::Stderr => {}
        }
        Ok(())
    }

    pub(super) fn fd_prestat_get(&mut self, fd: u32, out: u32) -> Answer {
        let bytes = match self.table().directory(fd, 0)?.preopen.as_deref() {
            Some(name) => u32::try_from(name.len()).map_err(|_| Errno::OVERFLOW)?,
            None => return Err(Errno::BADF.into()),
        };
        Ok(self.memory.put(out, prestat(bytes))?)
    }

    pub(super) fn fd_prestat_dir_name(&mut self, fd: u32, buffer: u32, bytes: u32) -> Answer {
        let Node::Directory(OpenDirectory { preopen: Some(name), .. }) = &self.table().get(fd)?.node else {
            return Err(Errno::NOTDIR.into());
        };
        let name = name.clone();
        let length = u32::try_from(name.len()).ok().filter(|length| *length <= bytes).ok_or(Errno::NAMETOOLONG)?;
        self.memory.write(buffer, length)?.copy_from_slice(name.as_bytes());
        Ok(())
    }

    /// `inval` before the beginning, `overflow` behind what a file may have.
    pub(super) async fn fd_seek(&mut self, fd: u32, offset: i64, whence: u32, out: u32) -> Answer {
        self.memory.check(out, 8)?;
        // To ask where it is does not move it.
        let asks = offset == 0 && whence == whence::CURRENT;
        let file = self.table().seekable(fd, if asks { rights::FD_TELL } else { rights::FD_SEEK })?;
        let from = match whence {
            whence::SET => 0,
            whence::CURRENT => file.position,
            whence::END => file.file.stat().await?.size,
            _ => return Err(Errno::INVAL.into()),
        };
        let position = match from.checked_add_signed(offset) {
            Some(position) if position <= FILE_BYTES_MAX => position,
            None if offset < 0 => return Err(Errno::INVAL.into()),
            _ => return Err(Errno::OVERFLOW.into()),
        };
        file.position = position;
        Ok(self.memory.put(out, position.to_le_bytes())?)
    }

    pub(super) fn fd_tell(&mut self, fd: u32, out: u32) -> Answer {
        let position = self.table().seekable(fd, rights::FD_TELL)?.position;
        Ok(self.memory.put(out, position.to_le_bytes())?)
    }
}

impl OpenDirectory {
    pub(super) async fn stat(&self, tree: &dyn Vfs) -> Result<Stat, Error> {
        match &self.file {
            Some(file) => file.stat().await,
            None => tree.stat(&self.path, Follow::Yes).await,
        }
    }
}

async fn close(node: Node) -> Answer {
    let file = match node {
        Node::Stdin | Node::Stdout | Node::Stderr => None,
        Node::File(file) => Some(file.file),
        Node::Directory(directory) => directory.file,
    };
    match file {
        Some(file) => Ok(file.close().await?),
        None => Ok(()),
    }
}
