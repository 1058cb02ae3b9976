//! The words of a panic on `wasm32-unknown-unknown`, where std has nowhere to say them: they go to standard error, as on the
//! other targets.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};

use wasip2::cli::stderr;

/// What one write takes, as the standard says of `blocking-write-and-flush`.
const WRITE_BYTES_MAX: usize = 4_096;

/// Has panics say their words from now on.
pub(crate) fn speak() {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    if !BEGUN.swap(true, Ordering::Relaxed) {
        std::panic::set_hook(Box::new(say));
    }
}

fn say(panic: &PanicHookInfo<'_>) {
    let to = stderr::get_stderr();
    for piece in format!("{panic}\n").as_bytes().chunks(WRITE_BYTES_MAX) {
        // Where nobody listens, there is nobody to tell.
        let _ = to.blocking_write_and_flush(piece);
    }
}
