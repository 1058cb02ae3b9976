//! The clocks: the one on the wall for times that people read, the other to measure by.

use std::time::Instant;

use jiff::Timestamp;

/// Now, to the second, RFC 3339.
pub(crate) fn date() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// Now as timers have it: a test may wind it.
pub(crate) fn timer() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Now, to measure from.
pub(crate) fn now() -> Instant {
    Instant::now()
}
