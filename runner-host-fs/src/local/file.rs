//! A file of the machine that is open.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cap_std::fs::FileExt;
use rustix::io::Errno;

use super::{Work, aside, stat_of, told};
use crate::error::{Error, Result};
use crate::vfs::{FILE_BYTES_MAX, File, Flush, Open, READ_BYTES_MAX, SetTime, SetTimes, Stat, end_of};

/// Bytes that are made room for without asking how many there are.
const ASK_BYTES: usize = 16 << 10;

/// A file of the machine that is open.
pub(super) struct LocalFile {
    pub(super) file: Arc<cap_std::fs::File>,
    pub(super) how: Open,
    pub(super) in_place: bool,
}

impl LocalFile {
    /// Does some work with the file, and finishes it also where nobody waits any more.
    async fn on<T: Send + 'static>(
        &self,
        work: Work,
        what: impl FnOnce(&cap_std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let done = match (work, self.in_place) {
            (Work::Short, true) => what(&self.file),
            _ => {
                let file = self.file.clone();
                aside(move || what(&file)).await?
            }
        };
        done.map_err(|error| told(error, "the open file"))
    }

    fn writable(&self) -> Result<()> {
        match self.how.write {
            true => Ok(()),
            false => Err(Error::not_opened_for("writing")),
        }
    }
}

#[async_trait]
impl File for LocalFile {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        if !self.how.read {
            return Err(Error::not_opened_for("reading"));
        }
        let bytes_max = bytes_max.min(READ_BYTES_MAX);
        self.on(Work::on(bytes_max), move |file| {
            let wanted = match bytes_max {
                // For so little it is cheaper to make room than to ask how much there is; the machine refuses what would
                // end behind the longest file.
                0..=ASK_BYTES if end_of(offset, bytes_max).is_ok() => bytes_max,
                _ => match file.metadata()? {
                    metadata if metadata.is_dir() => return Err(Errno::ISDIR.into()),
                    metadata => {
                        usize::try_from(metadata.len().saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes_max)
                    }
                },
            };
            let mut bytes = vec![0; wanted];
            let mut read = 0;
            // A signal may cut a read short.
            while read == 0 && !bytes.is_empty() {
                match file.read_at(&mut bytes, offset) {
                    Ok(0) => break,
                    Ok(count) => read = count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(read);
            Ok(bytes.into())
        })
        .await
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()> {
        self.writable()?;
        if bytes.is_empty() {
            return Ok(());
        }
        end_of(offset, bytes.len())?;
        self.on(Work::on(bytes.len()), move |file| file.write_all_at(&bytes, offset)).await
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        self.writable()?;
        self.on(Work::on(bytes.len()), move |file| {
            let mut left = &bytes[..];
            while !left.is_empty() {
                match append_some(file, left) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => left = &left[count..],
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(file.metadata()?.len())
        })
        .await
    }

    async fn set_len(&self, bytes: u64) -> Result<()> {
        self.writable()?;
        if bytes > FILE_BYTES_MAX {
            return Err(Error::too_large(bytes, FILE_BYTES_MAX));
        }
        self.on(Work::Short, move |file| file.set_len(bytes)).await
    }

    async fn sync(&self, what: Flush) -> Result<()> {
        self.on(Work::Long, move |file| match what {
            Flush::Data => file.sync_data(),
            Flush::All => file.sync_all(),
        })
        .await
    }

    async fn stat(&self) -> Result<Stat> {
        Ok(stat_of(&self.on(Work::Short, |file| file.metadata()).await?))
    }

    async fn set_times(&self, times: SetTimes) -> Result<()> {
        let stamp = |time| match time {
            SetTime::Keep => rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
            SetTime::Now => rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
            SetTime::To(ns) => rustix::fs::Timespec {
                tv_sec: (ns / 1_000_000_000).cast_signed(),
                tv_nsec: (ns % 1_000_000_000).cast_signed() as _,
            },
        };
        let times =
            rustix::fs::Timestamps { last_access: stamp(times.accessed), last_modification: stamp(times.modified) };
        self.on(Work::Short, move |file| Ok(rustix::fs::futimens(file, &times)?)).await
    }
}

/// Writes behind the end, wherever another process has put that.
#[cfg(target_os = "linux")]
fn append_some(file: &cap_std::fs::File, bytes: &[u8]) -> rustix::io::Result<usize> {
    // Where the flag is given, the offset is not looked at; it must not be -1, which would move the file's own.
    rustix::io::pwritev2(file, &[io::IoSlice::new(bytes)], 0, rustix::io::ReadWriteFlags::APPEND)
}

/// Writes behind the end, as it is now: another process may come in between.
#[cfg(not(target_os = "linux"))]
fn append_some(file: &cap_std::fs::File, bytes: &[u8]) -> rustix::io::Result<usize> {
    let end = rustix::fs::fstat(file)?.st_size.cast_unsigned();
    rustix::io::pwrite(file, bytes, end)
}
