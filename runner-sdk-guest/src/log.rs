//! The macros of the `log` and `tracing` crates, for whoever runs the guest to read (feature `log`).
//!
//! ```
//! use runner::Failure;
//! use tracing::{info, instrument};
//!
//! /// Sends an order on its way.
//! #[runner::task]
//! fn send(order: u64) -> Result<(), Failure> {
//!     log::info!("order {order} is on its way"); // info, "shop", order 7 is on its way
//!     packed(order, 3);
//!     Ok(())
//! }
//!
//! #[instrument]
//! fn packed(order: u64, parcels: u32) {
//!     info!(weight = 1.5, "packed"); // info, "shop", packed{order=7 parcels=3}: packed weight=1.5
//! }
//! # fn main() { assert!(send(7).is_ok()) }
//! ```
//!
//! Nothing has to be set up: a task finds both crates set up when it begins, as does an HTTP handler of this crate. A module
//! that exports something else calls [`init`] first. Whoever has installed a logger or a subscriber keeps it.
//!
//! * What is more than [`LevelFilter::Info`] is left out, at the cost of a comparison: see [`set_max_level`]. A host may
//!   leave out more.
//! * The target (the module path, where none is given) is the message's context. Fields follow the message, the spans that
//!   it is in stand before it.
//! * A panic is logged as critical. On `wasm32-unknown-unknown` its words would reach nobody otherwise.
//! * It adds some 60 KiB to a module.
//!
//! A module with this feature imports `wasi:logging/logging@0.1.0-draft`, and loads where it is granted `logging`: a
//! component cannot ask whether an import is there. Run as a native program, nothing is set up: tests have loggers of their
//! own.

mod line;
mod tracing;

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};

pub use ::log::LevelFilter;
use ::log::{Level, Log, Metadata, Record};

use self::bindings::wasi::logging::logging as wit;
use self::line::Line;

mod bindings {
    #![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated")]
    wit_bindgen::generate!({ path: "wit/logging", world: "wasi:logging/imports", generate_all });
}

/// Sets up `log`, `tracing` and the words of panics, once. For modules whose exports are neither tasks nor handlers of this
/// crate.
pub fn init() {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    if !cfg!(target_family = "wasm") || BEGUN.swap(true, Ordering::Relaxed) {
        return;
    }
    if ::log::set_logger(&Logger).is_ok() {
        ::log::set_max_level(LevelFilter::Info);
    }
    tracing::install();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        wit::log(wit::Level::Critical, "panic", &words(panic));
        before(panic);
    }));
}

/// Leaves out what is more than this, in place of what is more than [`LevelFilter::Info`]. It holds for the instance, which
/// for most hosts is the call.
///
/// ```no_run
/// # use runner::{Failure, config, log};
/// # #[runner::task]
/// # fn work() -> Result<(), Failure> {
/// // Whoever runs the module may ask for more: `debug`, for one.
/// if let Some(level) = config::get_as("log")? {
///     log::set_max_level(level);
/// }
/// # Ok(())
/// # }
/// # fn main() {}
/// ```
pub fn set_max_level(level: LevelFilter) {
    init();
    ::log::set_max_level(level);
    tracing::level_changed();
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= ::log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut line = Line::default();
            line.message(record.args());
            // Its one error is ours, and we make none.
            let _ = record.key_values().visit(&mut line);
            wit::log(level(record.level()), record.target(), line.as_str());
        }
    }

    fn flush(&self) {}
}

fn level(level: Level) -> wit::Level {
    match level {
        Level::Error => wit::Level::Error,
        Level::Warn => wit::Level::Warn,
        Level::Info => wit::Level::Info,
        Level::Debug => wit::Level::Debug,
        Level::Trace => wit::Level::Trace,
    }
}

fn words(panic: &PanicHookInfo<'_>) -> String {
    let said = panic.payload_as_str().unwrap_or("no words");
    match panic.location() {
        Some(location) => format!("panicked at {location}: {said}"),
        None => format!("panicked: {said}"),
    }
}
