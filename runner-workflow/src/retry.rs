//! Retry: whether a failed state is tried again, and after how long
//! (<https://states-language.net/spec.html#errors>).

use serde_json::Value;

use crate::failure::Failure;
use crate::fields::Fields;
use crate::limits::SECONDS_MAX;

/// One entry of `Retry`.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrier {
    /// The errors that it is for.
    pub error_equals: Vec<String>,
    /// How long to wait before the first try, in seconds. 1 where it is not said.
    pub interval_seconds: u64,
    /// How often it is tried again. 3 where it is not said.
    pub attempts_max: u64,
    /// What the wait is multiplied by from try to try. 2 where it is not said.
    pub backoff_rate: f64,
    /// The longest wait, in seconds.
    pub delay_seconds_max: Option<u64>,
    /// Whether the wait is drawn by chance from nothing up to what it would be.
    pub has_jitter: bool,
}

impl Retrier {
    pub(crate) fn check_all(fields: &mut Fields<'_, '_>) -> Vec<Self> {
        let mut retriers = Vec::new();
        fields.list("Retry", |fields, _| retriers.push(Self::check(fields)));
        retriers
    }

    fn check(fields: &mut Fields<'_, '_>) -> Self {
        fields.require(&["ErrorEquals"]);
        let backoff_rate = fields.number("BackoffRate").unwrap_or(2.0);
        if backoff_rate < 1.0 {
            fields.complain("BackoffRate", "Value must be at least 1.0");
        }
        let has_jitter = fields.object.get("JitterStrategy").and_then(Value::as_str) == Some("FULL");
        Self {
            error_equals: fields.texts("ErrorEquals"),
            interval_seconds: fields.whole("IntervalSeconds", 0).unwrap_or(1),
            attempts_max: fields.whole("MaxAttempts", 0).unwrap_or(3),
            backoff_rate,
            delay_seconds_max: fields.whole("MaxDelaySeconds", 1),
            has_jitter,
        }
    }

    /// The first that a failure matches. It alone counts: when its attempts are used up, no other is asked.
    pub(crate) fn matching(retriers: &[Self], failure: &Failure) -> Option<usize> {
        retriers.iter().position(|retrier| failure.matches(&retrier.error_equals))
    }

    /// How long to wait before a try, in milliseconds. `tried` is how often it was tried again before; `unit` is chance, from
    /// 0 up to 1.
    pub(crate) fn delay_ms(&self, tried: u32, unit: f64) -> i64 {
        let longest = self.delay_seconds_max.unwrap_or(SECONDS_MAX) as f64;
        let delay = self.interval_seconds as f64 * self.backoff_rate.powi(i32::try_from(tried).unwrap_or(i32::MAX));
        // `min` before chance: jitter is drawn from the wait as it would be.
        let delay = delay.min(longest) * if self.has_jitter { unit } else { 1.0 };
        (delay * 1000.0) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_by_the_rate_up_to_its_bound_and_jitter_only_shortens_it() {
        let mut retrier = Retrier {
            error_equals: Vec::new(),
            interval_seconds: 3,
            attempts_max: 3,
            backoff_rate: 2.0,
            delay_seconds_max: Some(7),
            has_jitter: false,
        };
        assert_eq!([0, 1, 2, 2000].map(|tried| retrier.delay_ms(tried, 0.5)), [3000, 6000, 7000, 7000]);
        retrier.has_jitter = true;
        assert_eq!([0, 1, 2].map(|tried| retrier.delay_ms(tried, 0.5)), [1500, 3000, 3500]);
    }
}
