//! Two sides measured in turns, and the few statistics that the table needs. It knows no engine.
//!
//! Noise comes in waves that last longer than a sample. Each pair of samples is taken back to back, so that a wave hits
//! both, and the ratio is the median of the pairs' ratios.

use std::time::{Duration, Instant};

use crate::Side;
use crate::quiet::{Threads, Watch};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Time of one sample of one side.
    pub sample: Duration,
    /// Time for a whole row.
    pub row: Duration,
    /// Pairs taken however long they last.
    pub pairs_min: usize,
    /// Pairs after which a row is known well enough.
    pub pairs_max: usize,
}

impl Pace {
    /// For the numbers.
    pub const FULL: Pace =
        Pace { sample: Duration::from_millis(10), row: Duration::from_millis(2_000), pairs_min: 3, pairs_max: 80 };
    /// To see that it runs.
    pub const QUICK: Pace =
        Pace { sample: Duration::from_millis(2), row: Duration::from_millis(100), pairs_min: 1, pairs_max: 20 };
}

/// Samples of both sides in the order they were taken, in nanoseconds an operation, or in any other unit.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// The bare engine.
    pub bare: Vec<f64>,
    /// Runner.
    pub ours: Vec<f64>,
    /// The share of the time that was spent waiting for a core that others had.
    pub waited: f64,
}

impl Pairs {
    /// Adds a pair taken back to back.
    pub fn push(&mut self, bare: f64, ours: f64) {
        self.bare.push(bare);
        self.ours.push(ours);
    }

    /// The median of the pairs' ratios, ours to bare.
    pub fn ratio(&self) -> f64 {
        let ratios: Vec<_> = self.bare.iter().zip(&self.ours).map(|(bare, ours)| ours / bare).collect();
        median(&ratios)
    }

    /// The ratio of the smallest samples: what is left where nothing disturbed either side.
    pub fn ratio_of_best(&self) -> f64 {
        best(&self.ours) / best(&self.bare)
    }
}

/// Measures two sides in turns, until the pace's time is over.
pub fn in_turns(bare: &mut Side, ours: &mut Side, pace: Pace) -> Pairs {
    let times = [calibrate(bare, pace.sample), calibrate(ours, pace.sample)];
    let mut pairs = Pairs::default();
    let (from, watch) = (Instant::now(), Watch::over(Threads::This));
    while pairs.bare.len() < pace.pairs_min || (pairs.bare.len() < pace.pairs_max && from.elapsed() < pace.row) {
        // Who goes second finds other caches; nobody always does.
        let bare_first = pairs.bare.len().is_multiple_of(2);
        if bare_first {
            let first = per_operation(bare(times[0]), times[0]);
            pairs.push(first, per_operation(ours(times[1]), times[1]));
        } else {
            let first = per_operation(ours(times[1]), times[1]);
            pairs.push(per_operation(bare(times[0]), times[0]), first);
        }
    }
    pairs.waited = watch.share();
    pairs
}

/// How often a side is repeated to fill a sample; also its warm-up.
fn calibrate(side: &mut Side, sample: Duration) -> u64 {
    let mut times = 1;
    loop {
        let took = side(times);
        if took * 2 >= sample {
            return scaled(times, took, sample);
        }
        // At most tenfold a step: a first run is slow, and a guess from it would be far off.
        times = scaled(times, took, sample).clamp(times * 2, times * 10);
    }
}

/// How many operations fill a sample, when so many took so long.
fn scaled(times: u64, took: Duration, sample: Duration) -> u64 {
    let wanted = times as f64 * sample.as_secs_f64() / took.as_secs_f64().max(1e-9);
    (wanted.round() as u64).max(1)
}

fn per_operation(took: Duration, times: u64) -> f64 {
    took.as_nanos() as f64 / times as f64
}

/// The value that as many are below as above; of an even number the mean of the two in the middle.
///
/// # Panics
/// Of nothing.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The smallest value.
pub fn best(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The smallest value that a share of all are not above, such as 0.99 of them.
///
/// # Panics
/// Of nothing.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn sorted(values: &[f64]) -> Vec<f64> {
    assert!(!values.is_empty(), "nothing was measured");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 100.0]), 3.5);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (share, expected) in [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (0.995, 100.0), (1.0, 100.0)] {
            assert_eq!(percentile(&hundred, share), expected, "{share}");
        }
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
    }

    #[test]
    fn the_ratio_is_of_pairs_so_that_a_wave_that_hits_both_does_not_count() {
        let mut pairs = Pairs::default();
        for (bare, ours) in [(10.0, 12.0), (100.0, 120.0), (10.0, 12.0), (10.0, 30.0), (50.0, 60.0)] {
            pairs.push(bare, ours);
        }
        assert_eq!(pairs.ratio(), 1.2);
        assert_eq!(pairs.ratio_of_best(), 1.2);
    }

    #[test]
    fn a_sample_is_filled() {
        let milliseconds = Duration::from_millis;
        assert_eq!(scaled(10, milliseconds(5), milliseconds(10)), 20);
        assert_eq!(scaled(10, milliseconds(20), milliseconds(10)), 5);
        assert_eq!(scaled(1, milliseconds(5_000), milliseconds(10)), 1);
        assert_eq!(scaled(1, Duration::ZERO, milliseconds(10)), 10_000_000);
    }

    /// A side whose operation takes so long by its own word, and which notes its turns.
    fn said(nanoseconds: u64, name: &'static str, turns: &Rc<RefCell<Vec<&'static str>>>) -> Side {
        let turns = Rc::clone(turns);
        Box::new(move |times| {
            turns.borrow_mut().push(name);
            Duration::from_nanos(nanoseconds * times)
        })
    }

    #[test]
    fn sides_take_turns_and_each_goes_first_as_often_as_the_other() {
        let turns = Rc::default();
        let (mut bare, mut ours) = (said(1_000, "bare", &turns), said(1_500, "ours", &turns));
        let pace = Pace { pairs_min: 4, pairs_max: 4, ..Pace::QUICK };
        let pairs = in_turns(&mut bare, &mut ours, pace);
        assert_eq!(pairs.bare, [1_000.0; 4]);
        assert_eq!(pairs.ours, [1_500.0; 4]);
        assert_eq!(pairs.ratio(), 1.5);
        let turns = turns.borrow();
        let measured = &turns[turns.len() - 8..];
        assert_eq!(measured, ["bare", "ours", "ours", "bare", "bare", "ours", "ours", "bare"]);
    }

    #[test]
    fn what_takes_longer_than_the_row_is_measured_all_the_same() {
        let turns = Rc::default();
        let (mut bare, mut ours) = (said(3_000_000_000, "bare", &turns), said(3_000_000_000, "ours", &turns));
        let pace = Pace { row: Duration::ZERO, pairs_min: 2, ..Pace::QUICK };
        assert_eq!(in_turns(&mut bare, &mut ours, pace).bare.len(), 2);
    }
}
