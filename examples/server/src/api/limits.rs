//! The limits that a caller asks for: each by its name with its unit, held against what the server allows.

use std::time::Duration;

use runner_core::Limits;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;

/// What the call may use. Each number that is left out has the server's default; more than the server's maximum is
/// refused.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Limits)]
pub(crate) struct LimitsRequest {
    /// Wall time from the start of the guest to its end, host calls included.
    deadline_ms: Option<u64>,
    /// Linear memory of all memories together.
    memory_bytes: Option<u64>,
    /// Elements of all tables together.
    table_elements: Option<u64>,
    /// Core instances that a component may consist of.
    instances: Option<u32>,
    /// Fuel, about one unit an instruction; enforced with `"metering": "fuel"`.
    fuel: Option<u64>,
    /// Calls from the guest into the host.
    host_calls: Option<u64>,
    /// Bytes that capabilities move for the guest.
    host_bytes: Option<u64>,
    /// Resources that a component holds open at once.
    handles: Option<u32>,
    /// Arguments, environment and standard input together.
    input_bytes: Option<u64>,
    /// Result, standard output and standard error together.
    output_bytes: Option<u64>,
}

impl LimitsRequest {
    /// Whether it names a limit that only calls metered by fuel can meet.
    pub(super) fn counts_fuel(&self) -> bool {
        self.fuel.is_some()
    }

    /// The whole limits: what was asked for, and the default for the rest.
    pub(crate) fn within(&self, default: &Limits, max: &Limits) -> Result<Limits, Problem> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Ok(Limits {
            deadline: match self.deadline_ms {
                Some(_) => Duration::from_millis(allow("deadline_ms", self.deadline_ms, 0, millis(max.deadline))?),
                None => default.deadline,
            },
            memory_bytes: allow("memory_bytes", self.memory_bytes, default.memory_bytes, max.memory_bytes)?,
            table_elements: allow("table_elements", self.table_elements, default.table_elements, max.table_elements)?,
            instances: allow("instances", self.instances, default.instances, max.instances)?,
            fuel: allow("fuel", self.fuel, default.fuel, max.fuel)?,
            host_calls: allow("host_calls", self.host_calls, default.host_calls, max.host_calls)?,
            host_bytes: allow("host_bytes", self.host_bytes, default.host_bytes, max.host_bytes)?,
            handles: allow("handles", self.handles, default.handles, max.handles)?,
            input_bytes: allow("input_bytes", self.input_bytes, default.input_bytes, max.input_bytes)?,
            output_bytes: allow("output_bytes", self.output_bytes, default.output_bytes, max.output_bytes)?,
        })
    }
}

fn allow<N: Ord + std::fmt::Display>(name: &str, asked: Option<N>, default: N, max: N) -> Result<N, Problem> {
    match asked {
        Some(asked) if asked > max => {
            Err(Problem::invalid(format!("limit `{name}` is {asked}, this server allows {max} at most")))
        }
        Some(asked) => Ok(asked),
        None => Ok(default),
    }
}
