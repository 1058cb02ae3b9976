//! Times that are set, in the standard's words.

use std::time::SystemTime;

use wasip2::clocks::wall_clock::Datetime;
use wasip2::filesystem::types::NewTimestamp;

/// Which times of a file are set, and to what. One that nothing is said of stays as it is.
///
/// "Now" is by the clock of the place that keeps the file, as for whatever is written: it is there also where
/// [`SystemTime::now`] is not.
///
/// ```no_run
/// # use runner::fs::{self, FileTimes};
/// # fn since(told: std::time::SystemTime) -> fs::Result<()> {
/// fs::set_times("/data/report", FileTimes::new().set_modified(told).set_accessed_now())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTimes {
    accessed: Time,
    modified: Time,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Time {
    #[default]
    Kept,
    Now,
    At(SystemTime),
}

impl FileTimes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// When it was last read.
    #[must_use]
    pub fn set_accessed(self, time: SystemTime) -> Self {
        FileTimes { accessed: Time::At(time), ..self }
    }

    /// It was last read now.
    #[must_use]
    pub fn set_accessed_now(self) -> Self {
        FileTimes { accessed: Time::Now, ..self }
    }

    /// When its bytes were last changed.
    #[must_use]
    pub fn set_modified(self, time: SystemTime) -> Self {
        FileTimes { modified: Time::At(time), ..self }
    }

    /// Its bytes were last changed now.
    #[must_use]
    pub fn set_modified_now(self) -> Self {
        FileTimes { modified: Time::Now, ..self }
    }

    /// First the access, then the change; the error says why a time cannot be told.
    pub(super) fn told(self) -> Result<(NewTimestamp, NewTimestamp), &'static str> {
        Ok((self.accessed.told()?, self.modified.told()?))
    }
}

impl Time {
    fn told(self) -> Result<NewTimestamp, &'static str> {
        Ok(match self {
            Time::Kept => NewTimestamp::NoChange,
            Time::Now => NewTimestamp::Now,
            Time::At(time) => {
                let since = time.duration_since(SystemTime::UNIX_EPOCH);
                let since = since.map_err(|_| "expected a time from 1970 on, found one before it")?;
                NewTimestamp::Timestamp(Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_told_from_1970_on() {
        let at = SystemTime::UNIX_EPOCH + Duration::new(7, 9);
        let (accessed, modified) = FileTimes::new().set_modified(at).told().expect("it can be told");
        assert!(matches!(accessed, NewTimestamp::NoChange));
        assert!(matches!(modified, NewTimestamp::Timestamp(Datetime { seconds: 7, nanoseconds: 9 })));
        let (accessed, modified) = FileTimes::new().set_accessed(at).set_accessed_now().told().expect("it can be told");
        assert!(matches!((accessed, modified), (NewTimestamp::Now, NewTimestamp::NoChange)));
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let why = FileTimes::new().set_accessed(before).told().expect_err("it lies before");
        assert_eq!(why, "expected a time from 1970 on, found one before it");
    }
}
