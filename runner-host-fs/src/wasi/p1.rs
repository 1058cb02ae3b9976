//! The face of preview 1: all of `wasi_snapshot_preview1` that is about descriptors and paths, by itself and not through the
//! component adapter, so that one call of the guest is one operation on the tree.
//!
//! Arguments, environment, clocks, random numbers and the exit stay the core's. What a guest passes is a number until it has
//! been looked at: a pointer that leads nowhere is `fault`, and never a trap.

mod fd;
mod io;
mod memory;
mod path;
mod poll;
mod readdir;
mod table;
mod types;

use runner_core::wasmtime::{self, Caller, Extern, Linker};
use runner_core::{Host, View};

use self::memory::Memory;
pub(super) use self::table::Table;
use super::Files;
use super::errno::{Errno, errno};
use crate::error::Error;

const MODULE: &str = "wasi_snapshot_preview1";

/// One host call of a guest: its memory, and what the call has of the files.
struct Guest<'a> {
    memory: Memory<'a>,
    files: View<'a, Files>,
}

/// What a function answers; what it gives stands in the guest's memory by then.
type Answer = Result<(), Refused>;

/// Why a function did not do what it was asked for.
enum Refused {
    /// The guest is told.
    Told(Errno),
    /// The guest is stopped: it met a limit.
    Stopped(wasmtime::Error),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Refused::Told(errno)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Told(errno(&error))
    }
}

impl From<wasmtime::Error> for Refused {
    fn from(error: wasmtime::Error) -> Self {
        Refused::Stopped(error)
    }
}

impl<'a> Guest<'a> {
    fn enter(caller: &'a mut Caller<'_, Host>) -> wasmtime::Result<Self> {
        let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
            return Err(wasmtime::Error::msg("a module that imports WASI exports a memory named `memory`, of its own"));
        };
        let (bytes, host) = memory.data_and_store_mut(caller);
        let mut files = host.view::<Files>();
        let Files { descriptors, preopens, .. } = &mut *files;
        descriptors.get_or_insert_with(|| Table::new(preopens));
        Ok(Guest { memory: Memory::new(bytes), files })
    }

    fn table(&mut self) -> &mut Table {
        self.files.descriptors.as_mut().expect("`enter` has made it")
    }
}

fn told(answer: Answer) -> wasmtime::Result<u32> {
    match answer {
        Ok(()) => Ok(Errno::SUCCESS.number().into()),
        Err(Refused::Told(errno)) => Ok(errno.number().into()),
        Err(Refused::Stopped(error)) => Err(error),
    }
}

/// Functions that may wait, each a method of [`Guest`] of the same name.
macro_rules! waiting {
    ($linker:ident: $($name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        $linker.func_wrap_async(MODULE, stringify!($name), |mut caller: Caller<'_, Host>, ($($arg,)*): ($($ty,)*)| {
            Box::new(async move {
                let mut guest = Guest::enter(&mut caller)?;
                told(guest.$name($($arg),*).await)
            })
        })?;
    )*};
}

/// Those that never do.
macro_rules! immediate {
    ($linker:ident: $($name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        $linker.func_wrap(MODULE, stringify!($name), |mut caller: Caller<'_, Host>, $($arg: $ty),*| {
            let mut guest = Guest::enter(&mut caller)?;
            told(guest.$name($($arg),*))
        })?;
    )*};
}

/// Puts our functions in the place of the core's, which have no files.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    waiting! { linker:
        fd_allocate(fd: u32, offset: u64, bytes: u64);
        fd_close(fd: u32);
        fd_datasync(fd: u32);
        fd_filestat_get(fd: u32, out: u32);
        fd_filestat_set_size(fd: u32, bytes: u64);
        fd_filestat_set_times(fd: u32, accessed_ns: u64, modified_ns: u64, flags: u32);
        fd_pread(fd: u32, buffers: u32, count: u32, offset: u64, out: u32);
        fd_pwrite(fd: u32, buffers: u32, count: u32, offset: u64, out: u32);
        fd_read(fd: u32, buffers: u32, count: u32, out: u32);
        fd_readdir(fd: u32, buffer: u32, bytes: u32, cookie: u64, out: u32);
        fd_renumber(fd: u32, to: u32);
        fd_seek(fd: u32, offset: i64, whence: u32, out: u32);
        fd_sync(fd: u32);
        fd_write(fd: u32, buffers: u32, count: u32, out: u32);
        path_create_directory(fd: u32, path: u32, bytes: u32);
        path_filestat_get(fd: u32, lookup: u32, path: u32, bytes: u32, out: u32);
        path_filestat_set_times(
            fd: u32, lookup: u32, path: u32, bytes: u32, accessed_ns: u64, modified_ns: u64, flags: u32
        );
        path_link(fd: u32, lookup: u32, path: u32, bytes: u32, new_fd: u32, new_path: u32, new_bytes: u32);
        path_open(
            fd: u32, lookup: u32, path: u32, bytes: u32, how: u32, rights: u64, inheriting: u64, flags: u32, out: u32
        );
        path_readlink(fd: u32, path: u32, bytes: u32, buffer: u32, buffer_bytes: u32, out: u32);
        path_remove_directory(fd: u32, path: u32, bytes: u32);
        path_rename(fd: u32, path: u32, bytes: u32, new_fd: u32, new_path: u32, new_bytes: u32);
        path_symlink(target: u32, target_bytes: u32, fd: u32, path: u32, bytes: u32);
        path_unlink_file(fd: u32, path: u32, bytes: u32);
        poll_oneoff(subscriptions: u32, events: u32, count: u32, out: u32);
    }
    immediate! { linker:
        fd_advise(fd: u32, offset: u64, bytes: u64, advice: u32);
        fd_fdstat_get(fd: u32, out: u32);
        fd_fdstat_set_flags(fd: u32, flags: u32);
        fd_fdstat_set_rights(fd: u32, rights: u64, inheriting: u64);
        fd_prestat_dir_name(fd: u32, buffer: u32, bytes: u32);
        fd_prestat_get(fd: u32, out: u32);
        fd_tell(fd: u32, out: u32);
        sock_accept(fd: u32, flags: u32, out: u32);
        sock_recv(fd: u32, buffers: u32, count: u32, flags: u32, out: u32, out_flags: u32);
        sock_send(fd: u32, buffers: u32, count: u32, flags: u32, out: u32);
        sock_shutdown(fd: u32, how: u32);
    }
    Ok(())
}

/// No descriptor is a socket.
impl Guest<'_> {
    fn sock_accept(&mut self, fd: u32, _flags: u32, _out: u32) -> Answer {
        self.no_socket(fd)
    }

    fn sock_recv(&mut self, fd: u32, _at: u32, _count: u32, _flags: u32, _out: u32, _out_flags: u32) -> Answer {
        self.no_socket(fd)
    }

    fn sock_send(&mut self, fd: u32, _at: u32, _count: u32, _flags: u32, _out: u32) -> Answer {
        self.no_socket(fd)
    }

    fn sock_shutdown(&mut self, fd: u32, _how: u32) -> Answer {
        self.no_socket(fd)
    }

    fn no_socket(&mut self, fd: u32) -> Answer {
        self.table().get(fd)?;
        Err(Errno::NOTSOCK.into())
    }
}
