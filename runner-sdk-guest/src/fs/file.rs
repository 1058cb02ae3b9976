//! A file that is open. What is read and written goes to the host at once, without a stream between, but for what is appended.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::SystemTime;

use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, ErrorCode, OpenFlags, PathFlags, filesystem_error_code,
};
use wasip2::io::streams::{OutputStream, StreamError};

use super::entries::Metadata;
use super::error::{Error, ErrorKind, Result};
use super::place::At;
use super::times::FileTimes;

/// Bytes that are read or written at once: 1 MiB.
///
/// Who asks for more gets this many, as the traits of `std::io` have it. What is read so is in memory twice meanwhile.
pub const PIECE_BYTES: usize = 1 << 20;

/// A file that is open, with a position. It is closed when it is dropped.
///
/// Each read and write is asked of the host: for many small ones there are [`BufReader`](std::io::BufReader) and
/// [`BufWriter`](std::io::BufWriter). A file that a web handler keeps from one request to the next is closed with its request:
/// [`ErrorKind::NotOpened`].
///
/// ```no_run
/// use std::io::{BufWriter, Write};
///
/// use runner::fs::File;
///
/// # fn squares() -> Result<(), runner::Failure> {
/// let mut file = BufWriter::new(File::create("/data/squares")?);
/// for number in 0..1_000 {
///     writeln!(file, "{}", number * number)?;
/// }
/// file.flush()?; // what a dropped `BufWriter` could not write, nobody is told
/// # Ok(())
/// # }
/// ```
pub struct File {
    /// What is appended goes this way; made by the first write.
    end: Option<OutputStream>,
    descriptor: Descriptor,
    path: Box<str>,
    writes: bool,
    appends: bool,
    /// The position; `None` is the end, wherever that is by now.
    at: Option<u64>,
}

impl File {
    /// Opens a file for reading.
    pub fn open(path: impl AsRef<Path>) -> Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing, empty. It is made where there is none.
    pub fn create(path: impl AsRef<Path>) -> Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file, for reading and writing; [`ErrorKind::AlreadyExists`] where something has the name.
    pub fn create_new(path: impl AsRef<Path>) -> Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// How else a file is opened.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Reads from a place on, wherever the position is, which stays; how many bytes there were, none at the end and behind it.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let bytes = self.piece(into.len().min(PIECE_BYTES), offset)?;
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Fills a buffer from a place on, wherever the position is, which stays; [`ErrorKind::TooShort`] where the file ends before.
    pub fn read_exact_at(&self, into: &mut [u8], offset: u64) -> Result<()> {
        let mut read = 0;
        while read < into.len() {
            match self.read_at(&mut into[read..], offset.saturating_add(read as u64))? {
                0 => {
                    let (path, wanted) = (&self.path, into.len());
                    let message =
                        format!("cannot read `{path}`: expected {wanted} bytes from {offset} on, found {read}");
                    return Err(Error::new(ErrorKind::TooShort, message));
                }
                count => read += count,
            }
        }
        Ok(())
    }

    /// Writes from a place on, wherever the position is, which stays, also in a file that was opened to append; how many bytes
    /// were written. Between the end of the file and the place there are zeros then.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        let written = self.descriptor.write(piece, offset).map_err(|code| self.told("write", code))?;
        match usize::try_from(written) {
            Ok(count @ 1..) if count <= piece.len() => Ok(count),
            _ => Err(self.told("write", ErrorCode::Io)),
        }
    }

    /// Writes all bytes from a place on, as [`write_at`](File::write_at) does some. What was written before an error stays.
    pub fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> Result<()> {
        while !bytes.is_empty() {
            let written = self.write_at(bytes, offset)?;
            bytes = &bytes[written..];
            offset += written as u64;
        }
        Ok(())
    }

    /// Makes the file so long: what is behind is gone, what is new is zeros. The position stays. The file must be open for
    /// writing.
    pub fn set_len(&self, bytes: u64) -> Result<()> {
        if !self.writes {
            return Err(self.told("set the length of", ErrorCode::BadDescriptor));
        }
        self.descriptor.set_size(bytes).map_err(|code| self.told("set the length of", code))
    }

    /// Waits until all that was written is where it is kept, its metadata too. In the mode `on-sync` others see it then.
    pub fn sync_all(&self) -> Result<()> {
        self.descriptor.sync().map_err(|code| self.told("sync", code))
    }

    /// Waits until the bytes that were written are where they are kept. In the mode `on-sync` others see them then.
    pub fn sync_data(&self) -> Result<()> {
        self.descriptor.sync_data().map_err(|code| self.told("sync", code))
    }

    /// What is known of the file.
    pub fn metadata(&self) -> Result<Metadata> {
        self.descriptor.stat().map(Metadata::new).map_err(|code| self.told("look at", code))
    }

    /// Sets times of the file. What is written later sets the one of the last change again.
    pub fn set_times(&self, times: FileTimes) -> Result<()> {
        let doing = "set the times of";
        let (accessed, modified) = times
            .told()
            .map_err(|why| Error::new(ErrorKind::Invalid, format!("cannot {doing} `{}`: {why}", self.path)))?;
        self.descriptor.set_times(accessed, modified).map_err(|code| self.told(doing, code))
    }

    /// Sets the time of its last change: [`set_times`](File::set_times) of that one.
    pub fn set_modified(&self, time: SystemTime) -> Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether both are one file, by whichever names.
    pub(super) fn is(&self, other: &File) -> bool {
        self.descriptor.is_same_object(&other.descriptor)
    }

    /// A directory opens as well, and has no bytes.
    pub(super) fn check_bytes(&self) -> Result<()> {
        match self.descriptor.get_type() {
            Ok(DescriptorType::Directory) => Err(self.told("read", ErrorCode::IsDirectory)),
            _ => Ok(()),
        }
    }

    /// Some bytes from a place on: none at the end and behind it.
    pub(super) fn piece(&self, bytes_max: usize, offset: u64) -> Result<Vec<u8>> {
        let read = self.descriptor.read(bytes_max as u64, offset);
        Ok(read.map_err(|code| self.told("read", code))?.0)
    }

    /// All bytes from the position on, which is the end then.
    pub(super) fn rest(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        self.read_rest(&mut all)?;
        Ok(all)
    }

    fn read_rest(&mut self, all: &mut Vec<u8>) -> Result<usize> {
        let before = all.len();
        loop {
            let at = self.position()?;
            let piece = self.piece(PIECE_BYTES, at)?;
            if piece.is_empty() {
                return Ok(all.len() - before);
            }
            self.at = Some(at + piece.len() as u64);
            if all.is_empty() {
                *all = piece;
            } else {
                all.try_reserve(piece.len()).map_err(|_| {
                    let path = &self.path;
                    Error::new(ErrorKind::TooLarge, format!("cannot read `{path}`: there is no memory for all of it"))
                })?;
                all.extend_from_slice(&piece);
            }
        }
    }

    /// Writes behind the end, wherever that is by now; how many bytes were written, of some at least one.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let end = match self.end.take() {
            Some(end) => end,
            None => self.descriptor.append_via_stream().map_err(|code| self.told("append to", code))?,
        };
        let written = append(&end, bytes).map_err(|code| self.told("append to", code))?;
        self.end = Some(end);
        self.at = None;
        Ok(written)
    }

    fn position(&self) -> Result<u64> {
        match self.at {
            Some(at) => Ok(at),
            None => Ok(self.metadata()?.len()),
        }
    }

    fn told(&self, doing: &str, code: ErrorCode) -> Error {
        let is_directory = || matches!(self.descriptor.get_type(), Ok(DescriptorType::Directory));
        let code = match code {
            ErrorCode::BadDescriptor if is_directory() => ErrorCode::IsDirectory,
            code => code,
        };
        Error::told(code, format_args!("cannot {doing} `{}`", self.path))
    }
}

/// Writes some bytes to a stream, and waits for them.
fn append(end: &OutputStream, bytes: &[u8]) -> Result<usize, ErrorCode> {
    let refused = |error| match error {
        StreamError::LastOperationFailed(error) => filesystem_error_code(&error).unwrap_or(ErrorCode::Io),
        StreamError::Closed => ErrorCode::Io,
    };
    loop {
        let allowed = end.check_write().map_err(refused)?;
        if allowed == 0 {
            end.subscribe().block();
            continue;
        }
        let count = bytes.len().min(PIECE_BYTES).min(usize::try_from(allowed).unwrap_or(usize::MAX));
        end.write(&bytes[..count]).map_err(refused)?;
        end.blocking_flush().map_err(refused)?;
        return Ok(count);
    }
}

impl Read for File {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let at = self.position()?;
        let count = self.read_at(into, at)?;
        self.at = Some(at + count as u64);
        Ok(count)
    }

    fn read_to_end(&mut self, all: &mut Vec<u8>) -> io::Result<usize> {
        Ok(self.read_rest(all)?)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.appends {
            return Ok(self.append(bytes)?);
        }
        let at = self.position()?;
        let count = self.write_at(bytes, at)?;
        self.at = Some(at + count as u64);
        Ok(count)
    }

    /// Nothing waits here: what was written is with the host. That is no [`sync_all`](File::sync_all).
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.position()?, by),
            SeekFrom::End(by) => (self.metadata()?.len(), by),
        };
        let at = from.checked_add_signed(by).ok_or_else(|| {
            let message = format!("cannot seek in `{}`: {by} from {from} is no place", self.path);
            Error::new(ErrorKind::Invalid, message)
        })?;
        self.at = Some(at);
        Ok(at)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).field("at", &self.at).finish_non_exhaustive()
    }
}

/// How a file is opened: for nothing, until it is told.
///
/// ```no_run
/// # use runner::fs::{self, File};
/// let log = File::options().append(true).create(true).open("/data/log")?;
/// # Ok::<(), fs::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
}

impl OpenOptions {
    /// For nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// It is read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.read = read;
        self
    }

    /// It is written, from its beginning on.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.write = write;
        self
    }

    /// Each write goes behind the end, where others append too.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.append = append;
        self
    }

    /// It is emptied. Goes with `write`.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// It is made where there is none. Goes with `write` or `append`.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// It is made, and there must be none: [`ErrorKind::AlreadyExists`]. Goes with `write` or `append`.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.create_new = create_new;
        self
    }

    /// Opens a file so; [`ErrorKind::Invalid`] where the options do not go together.
    ///
    /// A directory opens as well where it is only read, and says so when it is.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<File> {
        let at = At::new("open", path.as_ref())?;
        if let Some(why) = self.contradiction() {
            return Err(at.no(ErrorKind::Invalid, why));
        }
        let mut how = OpenFlags::empty();
        how.set(OpenFlags::CREATE, self.create || self.create_new);
        how.set(OpenFlags::EXCLUSIVE, self.create_new);
        how.set(OpenFlags::TRUNCATE, self.truncate && !self.create_new);
        let mut flags = DescriptorFlags::empty();
        flags.set(DescriptorFlags::READ, self.read);
        flags.set(DescriptorFlags::WRITE, self.write || self.append);
        // A link in the place of a new file is something that has the name.
        let follow = if self.create_new { PathFlags::empty() } else { PathFlags::SYMLINK_FOLLOW };
        let descriptor = at.directory.open_at(follow, at.rest, how, flags).map_err(|code| at.told(code))?;
        let (writes, appends) = (self.write || self.append, self.append);
        Ok(File { end: None, descriptor, path: at.path.into(), writes, appends, at: Some(0) })
    }

    /// As std has it.
    fn contradiction(&self) -> Option<&'static str> {
        let (writes, makes) = (self.write || self.append, self.create || self.create_new);
        match self {
            _ if !self.read && !writes => Some("expected it to be opened for reading, writing or appending"),
            _ if !writes && (makes || self.truncate) => Some("what is made or emptied must be opened for writing"),
            _ if self.append && self.truncate && !self.create_new => Some("what is appended to cannot be emptied"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_do_not_go_together_are_told() {
        let none = || OpenOptions::new();
        for (options, fits) in [
            (none(), false),
            (none().read(true).clone(), true),
            (none().create(true).clone(), false),
            (none().read(true).create(true).clone(), false),
            (none().read(true).truncate(true).clone(), false),
            (none().append(true).create(true).clone(), true),
            (none().append(true).truncate(true).clone(), false),
            (none().append(true).truncate(true).create_new(true).clone(), true),
            (none().write(true).truncate(true).create(true).clone(), true),
        ] {
            assert_eq!(options.contradiction().is_none(), fits, "{options:?}");
        }
    }
}
