//! Whether the machine was ours: how long what is measured stood ready and waited for a core that others had.
//!
//! Turns do not undo it. A server that shares its core with a compiler measured 1.3 times the bare one's requests where it has
//! 0.85 of them on a quiet machine; so a row that waited is shown, and not judged.

use std::fs;
use std::time::{Duration, Instant};

/// The share of a row's time beyond which it says nothing about a goal.
pub const DISTURBED: f64 = 0.05;

/// A stretch of time in which some threads are watched.
pub struct Watch {
    from: Instant,
    waited: Duration,
    threads: Threads,
}

/// Whose waiting counts.
#[derive(Clone, Copy)]
pub enum Threads {
    /// The thread that asks.
    This,
    /// All threads of a process.
    Of(u32),
}

impl Watch {
    /// Watches from now on.
    pub fn over(threads: Threads) -> Self {
        Watch { from: Instant::now(), waited: waited(threads), threads }
    }

    /// The share of the time until now that was spent waiting for a core.
    pub fn share(&self) -> f64 {
        share(waited(self.threads).saturating_sub(self.waited), self.from.elapsed())
    }
}

fn share(waited: Duration, of: Duration) -> f64 {
    waited.as_secs_f64() / of.as_secs_f64().max(1e-9)
}

/// Time spent ready and not running, all threads together; zero where the kernel does not say.
fn waited(threads: Threads) -> Duration {
    let read = |path: String| fs::read_to_string(path).ok().and_then(|text| delay(&text)).unwrap_or_default();
    match threads {
        Threads::This => read("/proc/thread-self/schedstat".to_owned()),
        Threads::Of(process) => {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
            tasks.map(|task| read(format!("{}/schedstat", task.path().display()))).sum()
        }
    }
}

/// The second number: nanoseconds on a run queue.
fn delay(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_wait() {
        assert_eq!(delay("3000 250 7\n"), Some(Duration::from_nanos(250)));
        assert_eq!(delay(""), None);
    }

    #[test]
    fn a_share_is_of_the_time_watched() {
        assert_eq!(share(Duration::from_millis(50), Duration::from_secs(1)), 0.05);
        assert_eq!(share(Duration::ZERO, Duration::ZERO), 0.0);
    }

    #[test]
    fn the_kernel_tells_of_this_thread_and_of_a_process() {
        let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
        assert!(delay(&text).is_some(), "{text}");
        assert!(waited(Threads::Of(std::process::id())) >= Duration::ZERO);
    }
}
