//! The time, also where std has none: on `wasm32-unknown-unknown`, `std::time::SystemTime::now` and `Instant::now` panic
//! (feature `clock`).
//!
//! ```no_run
//! use std::time::UNIX_EPOCH;
//!
//! let (began, now) = (runner::clock::monotonic(), runner::clock::now());
//! let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
//! println!("at {seconds}, within {:?}", runner::clock::monotonic() - began);
//! ```
//!
//! Every host has both clocks. In a native test they are std's.

use std::time::{Duration, SystemTime};

/// What the host's wall clock says. It may be set back.
pub fn now() -> SystemTime {
    #[cfg(target_arch = "wasm32")]
    {
        let now = wasip2::clocks::wall_clock::now();
        SystemTime::UNIX_EPOCH + Duration::new(now.seconds, now.nanoseconds)
    }
    #[cfg(not(target_arch = "wasm32"))]
    SystemTime::now()
}

/// Time since some moment, the same one for as long as the guest lives. It never goes back: for measuring.
pub fn monotonic() -> Duration {
    #[cfg(target_arch = "wasm32")]
    {
        Duration::from_nanos(wasip2::clocks::monotonic_clock::now())
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        use std::sync::LazyLock;
        use std::time::Instant;
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}
