//! Files on the mounts that the host grants (feature `fs`), by the names of `std::fs`, which works on `wasm32-wasip1` and
//! `wasm32-wasip2` alone: here they are the same on every target.
//!
//! ```no_run
//! use std::io::{BufRead, BufReader};
//!
//! use runner::{Failure, fs};
//!
//! /// Adds an order to its customer's file, and tells how many there are.
//! #[runner::task]
//! fn order(customer: String, article: String) -> Result<usize, Failure> {
//!     let path = format!("/data/orders/{customer}");
//!     fs::create_dir_all("/data/orders")?;
//!     fs::append(&path, format!("{article}\n"))?;
//!     let mut orders = 0;
//!     for line in BufReader::new(fs::File::open(&path)?).lines() {
//!         orders += usize::from(!line?.is_empty());
//!     }
//!     Ok(orders)
//! }
//! # fn main() {}
//! ```
//!
//! # Paths
//!
//! A path is text that begins with the place of a mount, such as `/data/orders`: there is no current directory. Where one mount
//! lies below another, the one with the longer place has it; [`mounts`] says which there are. A path that none has is
//! [`ErrorKind::NoMount`], and the error lists them. `..` and symbolic links lead out of no mount:
//! [`ErrorKind::NotPermitted`]. Names have up to 255 bytes, paths up to 4,096.
//!
//! # What was written
//!
//! It is seen by this call at once, and by others as the grant says: by default when the call returns, all of it or, where it
//! fails, nothing; in the mode `on-sync` when a file is synced or closed, at the latest. An instance that is kept for several
//! calls is one call here, which returns when the instance is closed; each HTTP request is one of its own. A file is closed when
//! it is dropped, which tells nobody of an error: the call ends as one then, and where that is too late there is
//! [`File::sync_all`].
//!
//! A write that the grant has no room for is refused whole. But [`write()`] has emptied the file before, and what has several
//! pieces of [`PIECE_BYTES`] is several writes, of which the first ones may be there. To have a file old or new, and nothing
//! between, [`write()`] another and [`rename`] it.
//!
//! # Errors
//!
//! Each has a kind, and names what was to be done to which path. As a [`Failure`](crate::Failure) it has a [code](Error::code),
//! such as `fs-not-found`. Through the traits of `std::io` it is an [`std::io::Error`], as `?` makes one: still a `Failure` with
//! that code.
//!
//! A module that uses this imports `wasi:filesystem` 0.2, and finds the mounts that it is granted with `fs`. Where it is granted
//! none it loads too, and has none. Run as a native program, it is answered with [`ErrorKind::Unsupported`].

mod entries;
mod error;
mod file;
mod place;
mod times;

use std::path::{Path, PathBuf};

use wasip2::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

pub use self::entries::{DirEntry, FileType, Metadata, ReadDir, Walk};
pub use self::error::{Error, ErrorKind, Result};
pub use self::file::{File, OpenOptions, PIECE_BYTES};
use self::place::At;
pub use self::times::FileTimes;

/// The places of the mounts that there are, in their order: `["/data", "/in"]`.
pub fn mounts() -> Result<Vec<&'static str>> {
    let mut mounts = place::mounts()?;
    mounts.sort_unstable();
    Ok(mounts)
}

/// All bytes of a file: as many as there is memory for, [`ErrorKind::TooLarge`] where there is none.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    File::open(path)?.rest()
}

/// A file as text; [`ErrorKind::NotText`] where it is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    String::from_utf8(read(path)?).map_err(|error| {
        let why = format!("it is not UTF-8: {}", error.utf8_error());
        Error::new(ErrorKind::NotText, format!("cannot read `{}` as text: {why}", path.display()))
    })
}

/// Writes a file, in the place of what was in it. It is made where there is none.
///
/// ```no_run
/// # use runner::fs;
/// // Who reads it meanwhile, in whichever mode, has the old one or the new one.
/// fs::write("/data/prices.new", "lamp 1995\n")?;
/// fs::rename("/data/prices.new", "/data/prices")?;
/// # Ok::<(), fs::Error>(())
/// ```
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> Result<()> {
    File::create(path)?.write_all_at(contents.as_ref(), 0)
}

/// Writes behind the end of a file. It is made where there is none.
pub fn append(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> Result<()> {
    let mut left = contents.as_ref();
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    while !left.is_empty() {
        let written = file.append(left)?;
        left = left.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Copies the bytes of a file into another, in the place of what was in that; how many there were. It is made where there is
/// none, and may lie in another mount. A [piece](PIECE_BYTES) is in memory at a time.
///
/// [`ErrorKind::Invalid`] where both are the same file.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<u64> {
    let (source, to) = (File::open(from)?, to.as_ref());
    source.check_bytes()?;
    if File::open(to).is_ok_and(|target| target.is(&source)) {
        let message = format!("cannot copy `{}` to `{}`: they are one file", source.path(), to.display());
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let (target, mut copied) = (File::create(to)?, 0);
    loop {
        let piece = source.piece(PIECE_BYTES, copied)?;
        if piece.is_empty() {
            return Ok(copied);
        }
        target.write_all_at(&piece, copied)?;
        copied += piece.len() as u64;
    }
}

/// Gives a file, a link or a directory another name, where a file or an empty directory may be, which it takes the place of.
///
/// [`ErrorKind::OtherMount`] where the two names lie in different mounts: [`copy`], and [remove](remove_file).
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (At::new("rename", from.as_ref())?, At::new("rename to", to.as_ref())?);
    from.directory.rename_at(from.rest, to.directory, to.rest).map_err(|code| match code {
        ErrorCode::Invalid => from.no_to(&to, ErrorKind::Invalid, "a directory does not go into itself"),
        code => from.told_of_both(&to, code),
    })
}

/// Removes a file, or a link, and not what it leads to.
pub fn remove_file(path: impl AsRef<Path>) -> Result<()> {
    let at = At::new("remove", path.as_ref())?;
    at.directory.unlink_file_at(at.rest).map_err(|code| at.told(code))
}

/// Removes a directory that is empty; [`ErrorKind::NotEmpty`] where it is not, [`ErrorKind::Busy`] where it is the place of a
/// mount.
pub fn remove_dir(path: impl AsRef<Path>) -> Result<()> {
    let at = At::new("remove the directory", path.as_ref())?;
    if at.is_mount() {
        return Err(at.no(ErrorKind::Busy, "it is the place of a mount"));
    }
    at.directory.remove_directory_at(at.rest).map_err(|code| at.told(code))
}

/// Removes a directory with all that is in it. Links are removed, and not followed. What was removed before an error stays so.
///
/// [`ErrorKind::Busy`] where it is the place of a mount, or one lies in it: a mount is not emptied.
pub fn remove_dir_all(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if symlink_metadata(path)?.is_symlink() {
        return remove_file(path);
    }
    // One directory is open at a time, however deep it is: each is looked at anew after one in it has been removed.
    let mut ahead = vec![path.to_owned()];
    while let Some(directory) = ahead.last() {
        let at = At::new("remove the directory", directory)?;
        if at.is_mount() {
            return Err(at.no(ErrorKind::Busy, "it is the place of a mount"));
        }
        let mut deeper = None;
        for entry in read_dir(directory)? {
            let entry = entry?;
            if entry.file_type().is_dir() {
                deeper = Some(entry.path());
                break;
            }
            remove_file(entry.path())?;
        }
        match deeper {
            Some(path) => ahead.push(path),
            None => {
                remove_dir(directory)?;
                ahead.pop();
            }
        }
    }
    Ok(())
}

/// Makes a directory; [`ErrorKind::AlreadyExists`] where something has the name.
pub fn create_dir(path: impl AsRef<Path>) -> Result<()> {
    let at = At::new("make the directory", path.as_ref())?;
    at.directory.create_directory_at(at.rest).map_err(|code| at.told(code))
}

/// Makes a directory, and those that it lies in, where they are not there.
pub fn create_dir_all(path: impl AsRef<Path>) -> Result<()> {
    let (mut missing, mut path) = (Vec::new(), path.as_ref());
    loop {
        match (create_dir(path), path.parent()) {
            (Ok(()), _) => break,
            (Err(error), Some(above)) if error.kind() == ErrorKind::NotFound && !is_mount(path) => {
                missing.push(path);
                path = above;
            }
            (Err(_), _) if is_dir(path) => break,
            (Err(error), _) => return Err(error),
        }
    }
    for path in missing.into_iter().rev() {
        match create_dir(path) {
            // Somebody else may have been faster.
            Err(error) if !is_dir(path) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn is_mount(path: &Path) -> bool {
    At::new("look at", path).is_ok_and(|at| at.is_mount())
}

fn is_dir(path: &Path) -> bool {
    metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// What is in a directory, entry by entry, in the order that the host gives. What changes meanwhile may be seen or not.
///
/// ```no_run
/// # use runner::fs;
/// for entry in fs::read_dir("/data/orders")? {
///     let entry = entry?;
///     println!("{} {}", entry.path().display(), entry.metadata()?.len());
/// }
/// # Ok::<(), fs::Error>(())
/// ```
pub fn read_dir(path: impl AsRef<Path>) -> Result<ReadDir> {
    let at = At::new("list", path.as_ref())?;
    let directory =
        at.directory.open_at(PathFlags::SYMLINK_FOLLOW, at.rest, OpenFlags::DIRECTORY, DescriptorFlags::READ);
    let entries = directory.and_then(|directory| directory.read_directory());
    Ok(ReadDir::new(at.path, entries.map_err(|code| at.told(code))?))
}

/// What is in a directory and below it: a directory comes before what is in it, a link is one and not followed. What lies in
/// another mount below is there too.
///
/// One directory is open at a time; of those that are still to be looked into the paths are kept. One that cannot be is an
/// error, and the walk goes on with the others.
///
/// ```no_run
/// # use runner::fs;
/// let mut bytes = 0;
/// for entry in fs::walk("/data")? {
///     let entry = entry?;
///     if entry.file_type().is_file() {
///         bytes += entry.metadata()?.len();
///     }
/// }
/// # Ok::<(), fs::Error>(())
/// ```
pub fn walk(path: impl AsRef<Path>) -> Result<Walk> {
    Ok(Walk::new(read_dir(path)?))
}

/// What is known of a file or a directory; links are followed.
pub fn metadata(path: impl AsRef<Path>) -> Result<Metadata> {
    look(path.as_ref(), PathFlags::SYMLINK_FOLLOW)
}

/// What is known of a file, a directory, or a link itself.
pub fn symlink_metadata(path: impl AsRef<Path>) -> Result<Metadata> {
    look(path.as_ref(), PathFlags::empty())
}

fn look(path: &Path, flags: PathFlags) -> Result<Metadata> {
    let at = At::new("look at", path)?;
    at.directory.stat_at(flags, at.rest).map(Metadata::new).map_err(|code| at.told(code))
}

/// Sets times of a file or a directory; links are followed. No bytes are changed by it, and the file need not be open.
///
/// [`ErrorKind::Invalid`] for a time before 1970, and for one that the host cannot count in nanoseconds, after 2554.
pub fn set_times(path: impl AsRef<Path>, times: FileTimes) -> Result<()> {
    set(path.as_ref(), PathFlags::SYMLINK_FOLLOW, times)
}

/// The same of a file, a directory, or a link itself.
pub fn set_times_nofollow(path: impl AsRef<Path>, times: FileTimes) -> Result<()> {
    set(path.as_ref(), PathFlags::empty(), times)
}

fn set(path: &Path, flags: PathFlags, times: FileTimes) -> Result<()> {
    let at = At::new("set the times of", path)?;
    let (accessed, modified) = times.told().map_err(|why| at.no(ErrorKind::Invalid, why))?;
    at.directory.set_times_at(flags, at.rest, accessed, modified).map_err(|code| at.told(code))
}

/// Whether something is there; links are followed. An error where that cannot be said: a path of no mount is one.
pub fn exists(path: impl AsRef<Path>) -> Result<bool> {
    match metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a symbolic link to a path, which is told from the directory of the link on: `../a`. Nothing need be there.
///
/// [`ErrorKind::NotPermitted`] where the path begins with `/`.
pub fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
    let at = At::new("make the link", link.as_ref())?;
    let target = original.as_ref();
    let target = target.to_str().ok_or_else(|| at.no(ErrorKind::Invalid, "the path that it leads to is not UTF-8"))?;
    at.directory.symlink_at(target, at.rest).map_err(|code| at.told(code))
}

/// Where a symbolic link leads; [`ErrorKind::Invalid`] where it is none.
pub fn read_link(path: impl AsRef<Path>) -> Result<PathBuf> {
    let at = At::new("read the link", path.as_ref())?;
    at.directory.readlink_at(at.rest).map(PathBuf::from).map_err(|code| match code {
        ErrorCode::Invalid => at.no(ErrorKind::Invalid, "it is no link"),
        code => at.told(code),
    })
}

/// Gives a file one more name, in the same mount. [`ErrorKind::Unsupported`] in a bucket.
pub fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (At::new("link", original.as_ref())?, At::new("link to", link.as_ref())?);
    let linked = from.directory.link_at(PathFlags::empty(), from.rest, to.directory, to.rest);
    linked.map_err(|code| from.told_of_both(&to, code))
}
