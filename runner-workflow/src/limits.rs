//! The numbers that bound a run, each with its reason. Where AWS's answer has a number, it is AWS's.

use serde::{Deserialize, Serialize};

/// What one value may weigh as JSON where a workflow must run on AWS too: its quota for the input and output of a state.
pub const AWS_PAYLOAD_BYTES: usize = 262_144;

/// How many entries the history of one execution may have on AWS.
pub const AWS_HISTORY_EVENTS: u64 = 25_000;

/// How many iterations of an inline Map run at once where `MaxConcurrency` is 0 or absent, as on AWS.
pub const MAP_INLINE_CONCURRENCY: usize = 40;

/// The longest wait and the longest timeout that the language knows, in seconds: about three years and two months.
pub const SECONDS_MAX: u64 = 99_999_999;

/// How many elements `States.ArrayRange` and `$range` may give (the language's own number).
pub const RANGE_ITEMS: usize = 1_000;

/// How many characters `States.Hash` takes, as on AWS.
pub const HASH_CHARS: usize = 10_000;

/// How many states one [`advance`](crate::advance) walks through before it hands over what it has, so that a loop without
/// a task cannot keep its caller. The run goes on with the event that [`Command::Continue`](crate::Command) asks for.
pub const TRANSITIONS_PER_ADVANCE: u32 = 1_000;

/// How deep one JSONata expression may nest while it is evaluated: a level takes about 3 KiB of stack, which grows, but for
/// WebAssembly, where it is one megabyte as a rule.
pub const JSONATA_DEPTH: usize = if cfg!(target_family = "wasm") { 200 } else { 1_000 };

/// How many items one JSONata sequence may have: an array of a payload of [`AWS_PAYLOAD_BYTES`] cannot have more.
pub const JSONATA_SEQUENCE_ITEMS: usize = 262_144;

/// How often one JSONata expression may enter a function or a mapped step. A step is some hundred nanoseconds, so an
/// endless loop ends within a second, on every machine at the same step.
pub const JSONATA_STEPS: u64 = 1_000_000;

/// How many bytes of JSON one template, call or expression may give before its field's own limit is looked at: thirty-two
/// payloads. A template names the same large value as often as it likes.
pub const VALUE_BYTES: usize = 32 * AWS_PAYLOAD_BYTES;

/// How deep a value may be nested: what serde_json, and most others, read.
pub const VALUE_DEPTH: usize = 127;

/// How many bytes of JSON the history of one simulation may have, which is kept in memory: enough for two thousand entries
/// that all have a quarter of the largest payload.
pub const SIMULATED_HISTORY_BYTES: usize = 128 << 20;

/// How many places one path may lead to. No payload of [`AWS_PAYLOAD_BYTES`] has more values, but `..` finds one many times.
pub const PATH_MATCHES: usize = 262_144;

/// How deep calls of intrinsic functions may be nested, as on AWS.
pub const INTRINSIC_DEPTH: usize = 10;

/// How deep the parentheses of a path's filter may be nested.
pub const FILTER_DEPTH: usize = 32;

/// What bounds one run. It is part of the [`RunState`](crate::RunState): a run keeps the limits that it started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// What one value may weigh as JSON, in bytes: a state's output, a task's result. More is `States.DataLimitExceeded`.
    pub payload_bytes: usize,
    /// How many entries the history may have; `None` for no end. More is `States.Runtime`.
    pub history_events: Option<u64>,
}

impl Default for Limits {
    /// AWS's limits: what runs within them runs there too.
    fn default() -> Self {
        Self { payload_bytes: AWS_PAYLOAD_BYTES, history_events: Some(AWS_HISTORY_EVENTS) }
    }
}
