//! What a call did and what it cost, as callers see it.

use std::collections::BTreeMap;
use std::time::Duration;

use runner_core::{CapabilityUsage, Frame};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What one call did and what it cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Outcome {
    /// Its number, which this server's log has as `call` beside what the guest says. It counts from 1 at each start.
    call: u64,
    ending: Ending,
    usage: Usage,
    /// What the guest wrote to its standard output; bytes that are not UTF-8 are replaced.
    stdout: String,
    /// What it wrote to its standard error, likewise.
    stderr: String,
}

/// How a call ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Ending {
    /// The guest returned; a command with exit code 0.
    Returned { value: Value },
    /// The guest said no: a top-level `err`, or an exit code that is not 0.
    Failed {
        /// A name that a program can match.
        code: String,
        message: String,
        /// Whether the guest says that trying again may help.
        retryable: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// The whole `err` value.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
    /// The engine stopped the guest.
    Trapped {
        /// A name that a program can match, such as `unreachable`.
        code: String,
        message: String,
        /// The innermost call first.
        backtrace: Vec<BacktraceFrame>,
    },
    /// The guest met one of its limits.
    Exhausted {
        /// Which: `deadline`, `memory`, `tables`, `instances`, `fuel`, `stack`, `host_calls`, `host_bytes`, `handles`,
        /// `input` or `output`.
        limit: &'static str,
        allowed: u64,
        /// What `allowed` counts.
        unit: &'static str,
    },
    /// The call was given up.
    Cancelled,
}

#[derive(Debug, Serialize, ToSchema)]
struct BacktraceFrame {
    function: String,
    /// Bytes from the start of the module.
    offset: Option<u64>,
}

/// What a call cost. Times are in microseconds.
#[derive(Debug, Serialize, ToSchema)]
struct Usage {
    /// Where the call was metered by fuel.
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
    guest_us: u64,
    host_us: u64,
    wall_us: u64,
    /// In the first call after the module was compiled.
    compile_us: u64,
    instantiate_us: u64,
    memory_peak_bytes: u64,
    host_calls: u64,
    capabilities: BTreeMap<String, Capability>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Capability {
    calls: u64,
    /// From outside to the guest.
    bytes_in: u64,
    /// From the guest to outside.
    bytes_out: u64,
    /// What else it counted, by its own names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    counts: BTreeMap<&'static str, u64>,
    /// What it says that it did, in its own form.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Box<Value>>,
}

impl From<&runner_core::Outcome> for Outcome {
    fn from(outcome: &runner_core::Outcome) -> Self {
        Outcome {
            call: outcome.call_id,
            ending: (&outcome.ending).into(),
            usage: (&outcome.usage).into(),
            stdout: String::from_utf8_lossy(&outcome.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&outcome.stderr).into_owned(),
        }
    }
}

impl From<&runner_core::Ending> for Ending {
    fn from(ending: &runner_core::Ending) -> Self {
        match ending.clone() {
            runner_core::Ending::Returned(value) => Ending::Returned { value },
            runner_core::Ending::Failed(failure) => Ending::Failed {
                code: failure.code,
                message: failure.message,
                retryable: failure.retryable,
                exit_code: failure.exit_code,
                value: failure.value,
            },
            runner_core::Ending::Trapped(trap) => Ending::Trapped {
                code: trap.code,
                message: trap.message,
                backtrace: trap.backtrace.into_iter().map(BacktraceFrame::from).collect(),
            },
            runner_core::Ending::Exhausted(limit) => {
                Ending::Exhausted { limit: limit.kind.as_str(), allowed: limit.allowed, unit: limit.kind.unit() }
            }
            _ => Ending::Cancelled,
        }
    }
}

impl From<Frame> for BacktraceFrame {
    fn from(frame: Frame) -> Self {
        BacktraceFrame { function: frame.function, offset: frame.offset }
    }
}

impl From<&runner_core::Usage> for Usage {
    fn from(usage: &runner_core::Usage) -> Self {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let capabilities = usage.capabilities.iter();
        Usage {
            fuel: usage.fuel,
            guest_us: micros(usage.guest),
            host_us: micros(usage.host),
            wall_us: micros(usage.wall),
            compile_us: micros(usage.compile),
            instantiate_us: micros(usage.instantiate),
            memory_peak_bytes: usage.memory_peak_bytes,
            host_calls: usage.host_calls,
            capabilities: capabilities.map(|(id, used)| (id.clone(), used.clone().into())).collect(),
        }
    }
}

impl From<CapabilityUsage> for Capability {
    fn from(used: CapabilityUsage) -> Self {
        let CapabilityUsage { calls, bytes_in, bytes_out, counts, report } = used;
        Capability { calls, bytes_in, bytes_out, counts, report }
    }
}
