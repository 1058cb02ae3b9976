//! Why a state failed: a name that Retry and Catch match, and a text for people. A value, not an error of ours.

use serde::{Deserialize, Serialize};

/// The predefined names (<https://states-language.net/spec.html#appendix-a>), and AWS's additions to them.
pub mod names {
    /// Matches every error but the two that nothing catches by it: `States.DataLimitExceeded` and `States.Runtime`.
    pub const ALL: &str = "States.ALL";
    /// Matches what a task failed with, but for a timeout.
    pub const TASK_FAILED: &str = "States.TaskFailed";
    /// A task ran longer than `TimeoutSeconds`, or was silent for longer than `HeartbeatSeconds`.
    pub const TIMEOUT: &str = "States.Timeout";
    /// A heartbeat did not come in time; AWS reports [`TIMEOUT`] instead, and so do we. It matches it in Retry and Catch.
    pub const HEARTBEAT_TIMEOUT: &str = "States.HeartbeatTimeout";
    /// What nothing else names: a path without a value, a wait that is negative.
    pub const RUNTIME: &str = "States.Runtime";
    /// A JSONata expression failed, yielded nothing, or a value of another type than its field needs.
    pub const QUERY_EVALUATION: &str = "States.QueryEvaluationError";
    /// A `States.*` function was called with what it cannot take.
    pub const INTRINSIC: &str = "States.IntrinsicFailure";
    /// `ResultPath` cannot be applied to the state's input.
    pub const RESULT_PATH: &str = "States.ResultPathMatchFailure";
    /// No rule of a Choice matched, and it has no `Default`.
    pub const NO_CHOICE: &str = "States.NoChoiceMatched";
    /// A value is larger than [`Limits::payload_bytes`](crate::Limits::payload_bytes).
    pub const DATA_LIMIT: &str = "States.DataLimitExceeded";
    /// More iterations of a Map failed than it tolerates.
    pub const TOLERANCE: &str = "States.ExceedToleratedFailureThreshold";
}

/// Why a state, and with it perhaps the run, failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The name that Retry and Catch match; a Fail state may have none.
    pub error: Option<String>,
    /// The text for people; `None` where AWS gives none.
    pub cause: Option<String>,
    /// For a failed JSONata expression, the field that it stands in, such as `Output/result`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

impl Failure {
    /// A failure with a name and a text.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: Some(error.into()), cause: Some(cause.into()), location: None }
    }

    /// `States.Runtime`, with AWS's words behind "An error occurred while executing the state ..".
    pub(crate) fn runtime(cause: impl Into<String>) -> Self {
        Self::new(names::RUNTIME, cause)
    }

    /// `States.QueryEvaluationError` in a field.
    pub(crate) fn query(cause: impl Into<String>, location: &str) -> Self {
        Self { location: Some(location.to_owned()), ..Self::new(names::QUERY_EVALUATION, cause) }
    }

    /// The name, or an empty text, which no `ErrorEquals` has.
    pub(crate) fn name(&self) -> &str {
        self.error.as_deref().unwrap_or_default()
    }

    /// Says in which state, and where in the history, an evaluation failed.
    pub(crate) fn within(mut self, state: &str, entered: u64) -> Self {
        let cause = self.cause.unwrap_or_default();
        let begin =
            format!("An error occurred while executing the state '{state}' (entered at the event id #{entered}).");
        self.cause = Some(format!("{begin} {cause}"));
        self
    }

    /// Whether a list of `ErrorEquals` has this failure.
    ///
    /// `States.ALL` leaves out what no state can mend (`States.DataLimitExceeded`, `States.Runtime`); those are matched by
    /// their own name alone. `States.TaskFailed` is any error of a task but a timeout.
    pub(crate) fn matches(&self, error_equals: &[String]) -> bool {
        let name = self.name();
        error_equals.iter().any(|wanted| match wanted.as_str() {
            names::ALL => !matches!(name, names::DATA_LIMIT | names::RUNTIME),
            names::TASK_FAILED => name == names::TASK_FAILED || !name.starts_with("States."),
            names::HEARTBEAT_TIMEOUT => matches!(name, names::HEARTBEAT_TIMEOUT | names::TIMEOUT),
            wanted => wanted == name,
        })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.error.as_deref().unwrap_or("failed"))?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}
