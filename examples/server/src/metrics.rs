//! What the server counts, for Prometheus. Every label has few values, so that nobody can make it grow.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use runner_core::{Ending, Error, ErrorKind, Outcome};

use crate::store::Holdings;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    ending: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Met {
    limit: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    kind: &'static str,
}

pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    in_flight: Gauge,
    problems: Family<Refused, Counter>,
    calls: Family<Ended, Counter>,
    limits: Family<Met, Counter>,
    call: Histogram,
    load: Histogram,
    compile: Counter<f64, AtomicU64>,
    guest: Counter<f64, AtomicU64>,
    fuel: Counter,
    modules: Gauge,
    module_bytes: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // 0.1 ms to 100 s: a call of a small module, and the longest deadline.
        let seconds = || Histogram::new(exponential_buckets(0.000_1, 4.0, 11));
        let mut metrics = Metrics {
            registry: Registry::with_prefix("runner"),
            requests: Family::default(),
            in_flight: Gauge::default(),
            problems: Family::default(),
            calls: Family::default(),
            limits: Family::default(),
            call: seconds(),
            load: seconds(),
            compile: Counter::default(),
            guest: Counter::default(),
            fuel: Counter::default(),
            modules: Gauge::default(),
            module_bytes: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests_in_flight", "Requests whose answer has not begun", metrics.in_flight.clone());
        registry.register("requests", "HTTP requests answered", metrics.requests.clone());
        registry.register(
            "problems",
            "Requests that the host could not serve; `unavailable` are refusals of a full queue",
            metrics.problems.clone(),
        );
        registry.register(
            "calls",
            "Calls of guests, by how they ended; `error` where the host could not do its part, `refused` where none began",
            metrics.calls.clone(),
        );
        registry.register("limits_met", "Calls that ended at a limit", metrics.limits.clone());
        registry.register_with_unit("call", "Wall time of calls", Unit::Seconds, metrics.call.clone());
        registry.register_with_unit(
            "load",
            "Time to make a module ready, compilation included",
            Unit::Seconds,
            metrics.load.clone(),
        );
        registry.register_with_unit(
            "compile",
            "Time of compilation that calls were billed for",
            Unit::Seconds,
            metrics.compile.clone(),
        );
        registry.register_with_unit("guest", "Time that guests ran", Unit::Seconds, metrics.guest.clone());
        registry.register("fuel", "Fuel burnt by calls metered by fuel", metrics.fuel.clone());
        registry.register("modules", "Modules stored, each version of a name counted", metrics.modules.clone());
        registry.register_with_unit(
            "modules",
            "Bytes of the modules stored",
            Unit::Bytes,
            metrics.module_bytes.clone(),
        );
        metrics
    }

    /// Counts a request as under way until what it gives is dropped.
    pub(crate) fn enter(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts an answer by the class of its status: which one it is may be a guest's choice.
    pub(crate) fn answered(&self, method: &'static str, route: &str, status: StatusCode) {
        let status = match status.as_u16() {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            _ => "other",
        };
        self.requests.get_or_create(&Answered { method, route: route.to_owned(), status }).inc();
    }

    pub(crate) fn refused(&self, kind: &'static str) {
        self.problems.get_or_create(&Refused { kind }).inc();
    }

    pub(crate) fn loaded(&self, took: Duration) {
        self.load.observe(took.as_secs_f64());
    }

    /// Counts a call.
    pub(crate) fn called<T>(&self, ended: Result<&Outcome<T>, &Error>) {
        match ended {
            Ok(outcome) => self.ended(outcome),
            Err(error) => self.failed(error),
        }
    }

    /// A call without an ending.
    fn failed(&self, error: &Error) {
        self.calls.get_or_create(&Ended { ending: error_name(error) }).inc();
        if let Some(outcome) = error.outcome() {
            self.spent(outcome);
        }
    }

    fn ended<T>(&self, outcome: &Outcome<T>) {
        if let Ending::Exhausted(limit) = &outcome.ending {
            self.limits.get_or_create(&Met { limit: limit.kind.as_str() }).inc();
        }
        self.calls.get_or_create(&Ended { ending: ending_name(&outcome.ending) }).inc();
        self.spent(outcome);
    }

    /// A call whose caller went away after so long, before it ended: what it cost beside is known to nobody.
    pub(crate) fn abandoned(&self, after: Duration) {
        self.call.observe(after.as_secs_f64());
        self.calls.get_or_create(&Ended { ending: "cancelled" }).inc();
    }

    fn spent<T>(&self, outcome: &Outcome<T>) {
        let usage = &outcome.usage;
        self.call.observe(usage.wall.as_secs_f64());
        self.compile.inc_by(usage.compile.as_secs_f64());
        self.guest.inc_by(usage.guest.as_secs_f64());
        self.fuel.inc_by(usage.fuel.unwrap_or(0));
    }

    /// Everything in the text format of OpenMetrics.
    pub(crate) fn text(&self, held: Holdings) -> String {
        self.modules.set(i64::try_from(held.modules).unwrap_or(i64::MAX));
        self.module_bytes.set(i64::try_from(held.bytes).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// An ending by its name on the wire.
pub(crate) fn ending_name<T>(ending: &Ending<T>) -> &'static str {
    match ending {
        Ending::Returned(_) => "returned",
        Ending::Failed(_) => "failed",
        Ending::Trapped(_) => "trapped",
        Ending::Exhausted(_) => "exhausted",
        _ => "cancelled",
    }
}

/// What stands for the ending where there is none: `refused` for what the caller got wrong or had no place for, so that
/// nothing ran; `error` where the host could not do its part.
pub(crate) fn error_name(error: &Error) -> &'static str {
    use ErrorKind::{Denied, Exceeded, Invalid, NotFound, Unavailable};
    let is_callers = matches!(error.kind(), Invalid | NotFound | Denied | Exceeded | Unavailable);
    if is_callers && error.outcome().is_none() { "refused" } else { "error" }
}

/// A request under way.
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    //! Beside the code, since no request makes the host fail.

    use super::*;

    #[test]
    fn what_the_host_could_not_do_is_an_error_and_what_the_caller_got_wrong_is_none() {
        for (kind, counted) in [
            (ErrorKind::Internal, "error"),
            (ErrorKind::Conflict, "error"),
            (ErrorKind::Invalid, "refused"),
            (ErrorKind::NotFound, "refused"),
            (ErrorKind::Unavailable, "refused"),
        ] {
            let metrics = Metrics::new();
            metrics.called::<()>(Err(&Error::new(kind, "no")));
            let text = metrics.text(Holdings::default());
            let line = format!("runner_calls_total{{ending=\"{counted}\"}} 1");
            assert!(text.lines().any(|it| it == line), "{kind:?}: {text}");
        }
    }
}
