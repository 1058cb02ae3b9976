//! The guest's memory, where every pointer and length is looked at before it is used. It knows nothing of files.
//!
//! A pointer need not be aligned. Where a function fails, what it was to give is not written.

use bytes::Bytes;

use super::types::CIOVEC_BYTES;
use crate::path::PATH_BYTES_MAX;
use crate::vfs::READ_BYTES_MAX;
use crate::wasi::errno::Errno;

/// Buffers that one read or write takes, as on Linux: `inval` for more.
const BUFFERS_MAX: u32 = 1_024;

/// Bytes that one read or write moves at most, as much as a file answers at once; the guest is told how many it was.
pub(super) const MOVED_BYTES_MAX: usize = READ_BYTES_MAX;

pub(super) struct Memory<'a>(&'a mut [u8]);

/// A list of buffers that lie in the memory.
#[derive(Clone, Copy)]
pub(super) struct Buffers {
    at: u32,
    count: u32,
    /// Bytes in them, of which no more than [`MOVED_BYTES_MAX`] count.
    pub(super) bytes: usize,
}

impl<'a> Memory<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Memory(bytes)
    }

    /// Some bytes of the guest; `fault` where they are not all there.
    pub(super) fn read(&self, at: u32, bytes: u32) -> Result<&[u8], Errno> {
        let (from, to) = (at as usize, at as usize + bytes as usize);
        self.0.get(from..to).ok_or(Errno::FAULT)
    }

    /// The same, to write.
    pub(super) fn write(&mut self, at: u32, bytes: u32) -> Result<&mut [u8], Errno> {
        let (from, to) = (at as usize, at as usize + bytes as usize);
        self.0.get_mut(from..to).ok_or(Errno::FAULT)
    }

    /// Whether there are so many bytes, asked before something is done whose answer goes there.
    pub(super) fn check(&self, at: u32, bytes: u32) -> Result<(), Errno> {
        self.read(at, bytes).map(drop)
    }

    pub(super) fn put<const N: usize>(&mut self, at: u32, value: [u8; N]) -> Result<(), Errno> {
        let to = self.0.get_mut(at as usize..).and_then(|rest| rest.first_chunk_mut()).ok_or(Errno::FAULT)?;
        *to = value;
        Ok(())
    }

    pub(super) fn put_u32(&mut self, at: u32, value: usize) -> Result<(), Errno> {
        let value = u32::try_from(value).map_err(|_| Errno::OVERFLOW)?;
        self.put(at, value.to_le_bytes())
    }

    /// A path: `ilseq` where it is not UTF-8, `nametoolong` where it is longer than a path may be.
    pub(super) fn path(&self, at: u32, bytes: u32) -> Result<&str, Errno> {
        let path = self.read(at, bytes)?;
        match path.len() <= PATH_BYTES_MAX {
            true => std::str::from_utf8(path).map_err(|_| Errno::ILSEQ),
            false => Err(Errno::NAMETOOLONG),
        }
    }

    /// The buffers of a read or write, each of which must be there.
    pub(super) fn buffers(&self, at: u32, count: u32) -> Result<Buffers, Errno> {
        if count > BUFFERS_MAX {
            return Err(Errno::INVAL);
        }
        self.check(at, count * CIOVEC_BYTES)?;
        let mut bytes = 0;
        for index in 0..count {
            let (from, length) = self.buffer(at, index)?;
            self.check(from, length)?;
            bytes = MOVED_BYTES_MAX.min(bytes + length as usize);
        }
        Ok(Buffers { at, count, bytes })
    }

    /// What is in the buffers.
    pub(super) fn gather(&self, buffers: Buffers) -> Result<Bytes, Errno> {
        let mut gathered = Vec::with_capacity(buffers.bytes);
        self.each(buffers, |part| {
            gathered.extend_from_slice(part);
            Ok::<_, Errno>(())
        })?;
        Ok(gathered.into())
    }

    /// Hands out what is in the buffers, piece by piece.
    pub(super) fn each<E: From<Errno>>(
        &self,
        buffers: Buffers,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut left = buffers.bytes;
        for index in 0..buffers.count {
            let (from, length) = self.buffer(buffers.at, index)?;
            let part = self.read(from, length)?;
            let part = &part[..part.len().min(left)];
            left -= part.len();
            if !part.is_empty() {
                take(part)?;
            }
        }
        Ok(())
    }

    /// Fills the buffers, one after another. A guest may have put one of them over the list of them: it is looked at anew.
    pub(super) fn scatter(&mut self, buffers: Buffers, mut bytes: &[u8]) -> Result<(), Errno> {
        for index in 0..buffers.count {
            if bytes.is_empty() {
                break;
            }
            let (at, length) = self.buffer(buffers.at, index)?;
            let to = self.write(at, length)?;
            let (now, rest) = bytes.split_at(to.len().min(bytes.len()));
            to[..now.len()].copy_from_slice(now);
            bytes = rest;
        }
        Ok(())
    }

    fn buffer(&self, at: u32, index: u32) -> Result<(u32, u32), Errno> {
        let at = u64::from(at) + u64::from(index) * u64::from(CIOVEC_BYTES);
        let at = u32::try_from(at).map_err(|_| Errno::FAULT)?;
        let entry = self.read(at, CIOVEC_BYTES)?;
        Ok((u32_of(entry, 0), u32_of(entry, 4)))
    }
}

/// A number of a structure that was read whole.
pub(super) fn u16_of(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(part(bytes, at))
}

pub(super) fn u32_of(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(part(bytes, at))
}

pub(super) fn u64_of(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(part(bytes, at))
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}
