//! The numbers of preview 1's binary interface, each as its `typenames.witx` has it: structures by their offsets, flags by
//! their bits, in little endian.

use crate::vfs::{Kind, SetTime, SetTimes, Stat};
use crate::wasi::errno::Errno;

/// `rights`: the bits in the order of the list.
pub(super) mod rights {
    pub(crate) const FD_DATASYNC: u64 = 1;
    pub(crate) const FD_READ: u64 = 1 << 1;
    pub(crate) const FD_SEEK: u64 = 1 << 2;
    pub(crate) const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub(crate) const FD_SYNC: u64 = 1 << 4;
    pub(crate) const FD_TELL: u64 = 1 << 5;
    pub(crate) const FD_WRITE: u64 = 1 << 6;
    pub(crate) const FD_ADVISE: u64 = 1 << 7;
    pub(crate) const FD_ALLOCATE: u64 = 1 << 8;
    pub(crate) const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
    pub(crate) const PATH_CREATE_FILE: u64 = 1 << 10;
    pub(crate) const PATH_LINK_SOURCE: u64 = 1 << 11;
    pub(crate) const PATH_LINK_TARGET: u64 = 1 << 12;
    pub(crate) const PATH_OPEN: u64 = 1 << 13;
    pub(crate) const FD_READDIR: u64 = 1 << 14;
    pub(crate) const PATH_READLINK: u64 = 1 << 15;
    pub(crate) const PATH_RENAME_SOURCE: u64 = 1 << 16;
    pub(crate) const PATH_RENAME_TARGET: u64 = 1 << 17;
    pub(crate) const PATH_FILESTAT_GET: u64 = 1 << 18;
    pub(crate) const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
    pub(crate) const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
    pub(crate) const FD_FILESTAT_GET: u64 = 1 << 21;
    pub(crate) const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
    pub(crate) const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
    pub(crate) const PATH_SYMLINK: u64 = 1 << 24;
    pub(crate) const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
    pub(crate) const PATH_UNLINK_FILE: u64 = 1 << 26;
    pub(crate) const POLL_FD_READWRITE: u64 = 1 << 27;

    /// All that a file can have.
    pub(crate) const FILE: u64 = FD_DATASYNC
        | FD_READ
        | FD_SEEK
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_TELL
        | FD_WRITE
        | FD_ADVISE
        | FD_ALLOCATE
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_SIZE
        | FD_FILESTAT_SET_TIMES
        | POLL_FD_READWRITE;

    /// All that a directory can have. That of seeking is not among them: by it, and its kind, libraries tell a file.
    pub(crate) const DIRECTORY: u64 = PATH_CREATE_DIRECTORY
        | PATH_CREATE_FILE
        | PATH_LINK_SOURCE
        | PATH_LINK_TARGET
        | PATH_OPEN
        | FD_READDIR
        | PATH_READLINK
        | PATH_RENAME_SOURCE
        | PATH_RENAME_TARGET
        | PATH_FILESTAT_GET
        | PATH_FILESTAT_SET_SIZE
        | PATH_FILESTAT_SET_TIMES
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | PATH_SYMLINK
        | PATH_REMOVE_DIRECTORY
        | PATH_UNLINK_FILE;
}

/// `fdflags`.
pub(super) mod fdflags {
    pub(crate) const APPEND: u16 = 1;
    pub(crate) const DSYNC: u16 = 1 << 1;
    pub(crate) const RSYNC: u16 = 1 << 3;
    pub(crate) const SYNC: u16 = 1 << 4;
    pub(crate) const ALL: u16 = (1 << 5) - 1;
}

/// `oflags`.
pub(super) mod oflags {
    pub(crate) const CREATE: u16 = 1;
    pub(crate) const DIRECTORY: u16 = 1 << 1;
    pub(crate) const EXCLUSIVE: u16 = 1 << 2;
    pub(crate) const TRUNCATE: u16 = 1 << 3;
    pub(crate) const ALL: u16 = (1 << 4) - 1;
}

/// `lookupflags`: the last name is followed where it is a link.
pub(super) const SYMLINK_FOLLOW: u16 = 1;

/// The last of `advice`.
pub(super) const ADVICE_LAST: u32 = 5;

/// `fstflags`.
const ACCESSED: u16 = 1;
const ACCESSED_NOW: u16 = 1 << 1;
const MODIFIED: u16 = 1 << 2;
const MODIFIED_NOW: u16 = 1 << 3;

/// `filetype`.
pub(super) mod filetype {
    pub(crate) const UNKNOWN: u8 = 0;
    pub(crate) const DIRECTORY: u8 = 3;
    pub(crate) const REGULAR_FILE: u8 = 4;
    pub(crate) const SYMBOLIC_LINK: u8 = 7;
}

/// `whence`.
pub(super) mod whence {
    pub(crate) const SET: u32 = 0;
    pub(crate) const CURRENT: u32 = 1;
    pub(crate) const END: u32 = 2;
}

/// `eventtype`, which is also the tag of a subscription.
pub(super) mod eventtype {
    pub(crate) const CLOCK: u8 = 0;
    pub(crate) const FD_READ: u8 = 1;
    pub(crate) const FD_WRITE: u8 = 2;
}

/// `clockid`; the last two are the processor's time, which no guest is told.
pub(super) mod clockid {
    pub(crate) const REALTIME: u32 = 0;
    pub(crate) const MONOTONIC: u32 = 1;
}

/// `subclockflags`: the timeout is a moment, and not how long from now on.
pub(super) const ABSTIME: u16 = 1;

/// `eventrwflags`: nothing more comes.
pub(super) const HANGUP: u16 = 1;

pub(super) const CIOVEC_BYTES: u32 = 8;
pub(super) const DIRENT_BYTES: usize = 24;
pub(super) const EVENT_BYTES: u32 = 32;
pub(super) const FDSTAT_BYTES: u32 = 24;
pub(super) const FILESTAT_BYTES: u32 = 64;
pub(super) const PRESTAT_BYTES: u32 = 8;
pub(super) const SUBSCRIPTION_BYTES: u32 = 48;

/// Flags, all of which are known.
pub(super) fn known(flags: u32, all: u16) -> Result<u16, Errno> {
    u16::try_from(flags).ok().filter(|flags| flags & !all == 0).ok_or(Errno::INVAL)
}

/// What `fstflags` and the two times beside them ask for.
pub(super) fn times(accessed_ns: u64, modified_ns: u64, flags: u32) -> Result<SetTimes, Errno> {
    let flags = known(flags, ACCESSED | ACCESSED_NOW | MODIFIED | MODIFIED_NOW)?;
    let one = |to: u16, now: u16, ns: u64| match (flags & to != 0, flags & now != 0) {
        (true, true) => Err(Errno::INVAL),
        (true, false) => Ok(SetTime::To(ns)),
        (false, true) => Ok(SetTime::Now),
        (false, false) => Ok(SetTime::Keep),
    };
    Ok(SetTimes {
        accessed: one(ACCESSED, ACCESSED_NOW, accessed_ns)?,
        modified: one(MODIFIED, MODIFIED_NOW, modified_ns)?,
    })
}

pub(super) fn filetype_of(kind: Kind) -> u8 {
    match kind {
        Kind::File => filetype::REGULAR_FILE,
        Kind::Directory => filetype::DIRECTORY,
        Kind::Symlink => filetype::SYMBOLIC_LINK,
        Kind::Other => filetype::UNKNOWN,
    }
}

/// `filestat`; what is no file of a tree has nothing but its kind.
pub(super) fn filestat(stat: Option<&Stat>) -> [u8; FILESTAT_BYTES as usize] {
    let mut out = [0; FILESTAT_BYTES as usize];
    if let Some(stat) = stat {
        put(&mut out, 0, stat.device.to_le_bytes());
        put(&mut out, 8, stat.inode.to_le_bytes());
        put(&mut out, 16, [filetype_of(stat.kind)]);
        put(&mut out, 24, stat.links.to_le_bytes());
        put(&mut out, 32, stat.size.to_le_bytes());
        put(&mut out, 40, stat.accessed_ns.to_le_bytes());
        put(&mut out, 48, stat.modified_ns.to_le_bytes());
        put(&mut out, 56, stat.changed_ns.to_le_bytes());
    }
    out
}

/// `fdstat`.
pub(super) fn fdstat(filetype: u8, flags: u16, base: u64, inheriting: u64) -> [u8; FDSTAT_BYTES as usize] {
    let mut out = [0; FDSTAT_BYTES as usize];
    put(&mut out, 0, [filetype]);
    put(&mut out, 2, flags.to_le_bytes());
    put(&mut out, 8, base.to_le_bytes());
    put(&mut out, 16, inheriting.to_le_bytes());
    out
}

/// `prestat` of a directory, the one kind that there is.
pub(super) fn prestat(name_bytes: u32) -> [u8; PRESTAT_BYTES as usize] {
    let mut out = [0; PRESTAT_BYTES as usize];
    put(&mut out, 4, name_bytes.to_le_bytes());
    out
}

/// `dirent`, which the name follows.
pub(super) fn dirent(next: u64, inode: u64, name_bytes: usize, filetype: u8) -> [u8; DIRENT_BYTES] {
    let mut out = [0; DIRENT_BYTES];
    put(&mut out, 0, next.to_le_bytes());
    put(&mut out, 8, inode.to_le_bytes());
    put(&mut out, 16, u32::try_from(name_bytes).unwrap_or(u32::MAX).to_le_bytes());
    put(&mut out, 20, [filetype]);
    out
}

/// `event`.
pub(super) fn event(userdata: u64, errno: Errno, kind: u8, bytes: u64, flags: u16) -> [u8; EVENT_BYTES as usize] {
    let mut out = [0; EVENT_BYTES as usize];
    put(&mut out, 0, userdata.to_le_bytes());
    put(&mut out, 8, errno.number().to_le_bytes());
    put(&mut out, 10, [kind]);
    put(&mut out, 16, bytes.to_le_bytes());
    put(&mut out, 24, flags.to_le_bytes());
    out
}

fn put<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) {
    out[at..at + N].copy_from_slice(&bytes);
}
