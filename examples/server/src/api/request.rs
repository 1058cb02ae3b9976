//! A call as the caller writes it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::object::{object, object_or_null};
use super::{LimitsRequest, Problem};

/// A call. Unknown fields are refused, so that a misspelt limit is not taken for none.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Request {
    /// The export to call. May be left out where the module is a command, or has only one function.
    pub(crate) function: Option<String>,
    /// The arguments of a function: an array in order, or an object by name.
    pub(crate) args: Value,
    #[serde(deserialize_with = "object")]
    #[schema(inline = false)]
    pub(crate) limits: LimitsRequest,
    /// The arguments of a command, behind its name: `argv[1]` and on. `argv[0]` is the module's name, or `module`.
    pub(crate) args_cli: Vec<String>,
    /// The guest's environment variables. It sees no others.
    pub(crate) env: BTreeMap<String, String>,
    /// What the guest reads from its standard input.
    pub(crate) stdin: String,
    pub(crate) metering: Metering,
    #[serde(deserialize_with = "object_or_null")]
    pub(crate) deterministic: Option<Deterministic>,
    /// A key for work that must not be done twice, the same in every attempt: 1 to 256 bytes. Tasks and capabilities see it.
    pub(crate) idempotency_key: Option<String>,
    /// Which attempt at the same work this is, from 1. Default 1.
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub(crate) attempt: Option<std::num::NonZeroU32>,
}

/// As long as a digest or a few ids in a row.
const KEY_BYTES_MAX: usize = 256;

/// How a spinning guest is stopped: by a clock, or by counting instructions, which is exact and billed as `fuel`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metering {
    #[default]
    Epochs,
    Fuel,
}

impl From<Metering> for runner_core::Metering {
    fn from(metering: Metering) -> Self {
        match metering {
            Metering::Epochs => runner_core::Metering::Epochs,
            Metering::Fuel => runner_core::Metering::Fuel,
        }
    }
}

/// Clocks and random numbers that are the same in every run.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deterministic {
    /// Where random numbers start.
    seed: u64,
    /// What the wall clock says at first, in seconds since 1970. Default: 2020-01-01.
    #[serde(default)]
    start_unix: Option<u32>,
}

impl From<Deterministic> for runner_core::Deterministic {
    fn from(asked: Deterministic) -> Self {
        let default = runner_core::Deterministic::seed(asked.seed);
        let start = asked.start_unix.map_or(default.start, |seconds| Duration::from_secs(seconds.into()));
        runner_core::Deterministic { start, ..default }
    }
}

impl Request {
    /// Checks what the types cannot say. WASI hands texts over as C has them.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.limits.counts_fuel() && matches!(self.metering, Metering::Epochs) {
            return Err(Problem::invalid(
                "limit `fuel` needs `\"metering\": \"fuel\"`: a call that is metered by `epochs` counts none",
            ));
        }
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(Problem::invalid(format!(
                "environment variable `{name}`: a name is not empty and has no `=` or NUL"
            )));
        }
        if let Some((name, _)) = self.env.iter().find(|(_, value)| value.contains('\0')) {
            return Err(Problem::invalid(format!("environment variable `{name}`: its value has a NUL")));
        }
        if let Some(key) = &self.idempotency_key
            && (key.is_empty() || key.len() > KEY_BYTES_MAX)
        {
            let found = key.len();
            return Err(Problem::invalid(format!("`idempotency_key` has 1 to {KEY_BYTES_MAX} bytes, found {found}")));
        }
        match self.args_cli.iter().position(|arg| arg.contains('\0')) {
            Some(at) => Err(Problem::invalid(format!("`args_cli[{at}]` has a NUL"))),
            None => Ok(()),
        }
    }
}
