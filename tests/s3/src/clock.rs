//! The server's clock: the time of the machine, wound by the test. The one file here that reads a clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The clock behind `LastModified` and the header `Date`. A clone is the same clock.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<Mutex<Setting>>);

#[derive(Debug, Default)]
struct Setting {
    stopped: Option<SystemTime>,
    ahead: Duration,
    behind: Duration,
}

impl Clock {
    /// What it shows.
    pub fn now(&self) -> SystemTime {
        let setting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        setting.stopped.unwrap_or_else(SystemTime::now) + setting.ahead - setting.behind
    }

    /// Stops it at a time: it moves when it is wound, and not otherwise.
    pub fn stop_at(&self, time: SystemTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Setting { stopped: Some(time), ..Setting::default() };
    }

    /// Moves it ahead.
    pub fn wind(&self, by: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ahead += by;
    }

    /// Moves it back.
    pub fn wind_back(&self, by: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).behind += by;
    }
}
