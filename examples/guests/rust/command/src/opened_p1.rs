//! What WASI preview 1 has opened before the guest starts: file descriptors, and which of them are directories.

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn fd_prestat_get(fd: u32, prestat: *mut [u32; 2]) -> u16;
    fn fd_fdstat_get(fd: u32, stat: *mut [u64; 3]) -> u16;
}

/// One line for each of the first sixteen descriptors that is open.
pub fn print() {
    for fd in 0..16 {
        let (mut prestat, mut stat) = ([0; 2], [0; 3]);
        // SAFETY: both structures have the size and alignment that WASI writes.
        let (directory, open) = unsafe { (fd_prestat_get(fd, &mut prestat), fd_fdstat_get(fd, &mut stat)) };
        if open == 0 || directory == 0 {
            println!("fd {fd}{}", if directory == 0 { ", a directory" } else { "" });
        }
    }
}
