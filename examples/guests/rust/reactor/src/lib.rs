//! A library on WASI preview 1: plain exports and an `_initialize`, no `_start`.
//!
//! It proves that the host initialises a reactor once, before its first export is called, that
//! state lives as long as the instance, and that std (the environment, stdout) works from an
//! export.

use std::sync::atomic::{AtomicI32, Ordering};

static INITIALIZED: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicI32 = AtomicI32::new(0);

unsafe extern "C" {
    /// Made by the linker: runs the constructors of all that is linked in.
    fn __wasm_call_ctors();
}

/// What makes this a reactor. Rust's `cdylib` brings none of its own (the setting that would,
/// `-Zwasi-exec-model=reactor`, is unstable); C's and Go's do.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the host calls this once, before anything else; nothing has run yet.
    unsafe { __wasm_call_ctors() };
    INITIALIZED.fetch_add(1, Ordering::Relaxed);
}

/// How often the host has called `_initialize`: 1, when it did right.
#[unsafe(no_mangle)]
extern "C" fn initialized() -> i32 {
    INITIALIZED.load(Ordering::Relaxed)
}

#[unsafe(no_mangle)]
extern "C" fn add(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}

#[unsafe(no_mangle)]
extern "C" fn counter_next() -> i32 {
    COUNT.fetch_add(1, Ordering::Relaxed) + 1
}

/// Writes the variable `GREETING` to stdout; returns its length, -1 when it is not set.
#[unsafe(no_mangle)]
extern "C" fn greet() -> i32 {
    match std::env::var("GREETING") {
        Ok(greeting) => {
            println!("{greeting}");
            greeting.len() as i32
        }
        Err(_) => -1,
    }
}
