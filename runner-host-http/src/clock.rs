//! The one file of this crate that reads a clock: tokio's, so that tests wind it by hand.

use std::time::Duration;

use tokio::time::Instant;

/// Longer than any exchange lasts; beyond it, a sum of times may be none.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Whether a moment has passed.
pub(crate) fn is_past(moment: Instant) -> bool {
    Instant::now() >= moment
}

/// The moment after a time.
pub(crate) fn after(time: Duration) -> Instant {
    Instant::now() + time.min(FAR)
}
