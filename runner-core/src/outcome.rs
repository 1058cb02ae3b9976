//! What a guest did and what it cost: [`Outcome`] = [`Ending`] + [`Usage`], and what it printed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::limits::Limit;

/// What one call did and what it cost.
#[derive(Clone, Debug)]
pub struct Outcome<T = Value> {
    /// The call's id, which capabilities were told ([`CallContext::call_id`](crate::CallContext::call_id)) and logs name: no
    /// other call of the executor has it. Calls of a live instance that share its open capabilities share it, too.
    pub call_id: u64,
    /// How the call ended.
    pub ending: Ending<T>,
    /// What it cost.
    pub usage: Usage,
    /// What the guest wrote to its standard output, up to [`Limits::output_bytes`](crate::Limits::output_bytes).
    pub stdout: Vec<u8>,
    /// What the guest wrote to its standard error, likewise.
    pub stderr: Vec<u8>,
}

impl<T> Outcome<T> {
    /// The value, where the guest returned one.
    pub fn returned(self) -> Option<T> {
        match self.ending {
            Ending::Returned(value) => Some(value),
            _ => None,
        }
    }

    /// The same outcome with its value turned into another.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Outcome<U> {
        let Outcome { call_id, ending, usage, stdout, stderr } = self;
        Outcome { call_id, ending: ending.map(f), usage, stdout, stderr }
    }
}

/// How a call ended. Endings may grow.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Ending<T = Value> {
    /// The guest returned.
    Returned(T),
    /// The guest said no: a top-level WIT `err`, or a non-zero exit code.
    Failed(Box<Failure>),
    /// The engine stopped the guest: it did something that WebAssembly forbids, or gave up (`unreachable`).
    Trapped(Box<Trap>),
    /// The guest met one of its limits.
    Exhausted(Limit),
    /// The call did not come to its end: the caller went away, or the host could not do its part. A capability's `close`
    /// sees this, and the outcome in [`Error::outcome`](crate::Error::outcome) or of a response that was dropped.
    Cancelled,
}

impl<T> Ending<T> {
    /// The same ending with its value turned into another.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Ending<U> {
        match self {
            Ending::Returned(value) => Ending::Returned(f(value)),
            Ending::Failed(failure) => Ending::Failed(failure),
            Ending::Trapped(trap) => Ending::Trapped(trap),
            Ending::Exhausted(limit) => Ending::Exhausted(limit),
            Ending::Cancelled => Ending::Cancelled,
        }
    }

    /// Whether the guest returned.
    pub fn is_returned(&self) -> bool {
        matches!(self, Ending::Returned(_))
    }
}

/// The guest's own word for no.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// A name that a program can match: the guest's `code`, the case of its variant or enum, `exit`, or `error`.
    pub code: String,
    /// What the guest says happened, for people.
    pub message: String,
    /// Whether the guest says that trying again may help.
    pub retryable: bool,
    /// The exit code of a command.
    pub exit_code: Option<i32>,
    /// The whole `err` value.
    pub value: Option<Value>,
}

/// Where and why the engine stopped a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// A name that a program can match, such as `unreachable` or `memory_out_of_bounds`; `host` where the host refused.
    pub code: String,
    /// The engine's words.
    pub message: String,
    /// The innermost call first.
    pub backtrace: Vec<Frame>,
}

/// One call on the guest's stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function's name, where the module carries one, else `wasm[index]`.
    pub function: String,
    /// Bytes from the start of the module to the instruction.
    pub offset: Option<u64>,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for frame in &self.backtrace {
            write!(f, "\n    at {}", frame.function)?;
            if let Some(offset) = frame.offset {
                write!(f, " (+{offset:#x})")?;
            }
        }
        Ok(())
    }
}

/// What one call cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel burnt, where the program is metered by fuel.
    pub fuel: Option<u64>,
    /// Time that the guest's own code ran, host calls that neither suspend nor move over 4 KiB included.
    pub guest: Duration,
    /// Time in host calls that suspended or moved over 4 KiB.
    pub host: Duration,
    /// Time from the start of the call, after the queue, to its end.
    pub wall: Duration,
    /// Time to compile, text to binary included where that took the compiler, in the first call of code that was compiled;
    /// zero where it was cached. Waiting for the compiler is not counted.
    pub compile: Duration,
    /// Time to instantiate, the module's own start included. It is part of `guest`, and of `host` where it suspended.
    pub instantiate: Duration,
    /// Linear memory of all memories together at their largest.
    pub memory_peak_bytes: u64,
    /// Calls from the guest into the host, WASI included.
    pub host_calls: u64,
    /// What each capability did, by its id; those that were never called are left out.
    pub capabilities: Vec<(String, CapabilityUsage)>,
}

/// What one capability did in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapabilityUsage {
    /// Host calls.
    pub calls: u64,
    /// Bytes from outside to the guest.
    pub bytes_in: u64,
    /// Bytes from the guest to outside.
    pub bytes_out: u64,
    /// What else it counted, by its own names, its close included.
    pub counts: BTreeMap<&'static str, u64>,
    /// What it says that it did, in its own form; `None` where it says nothing.
    pub report: Option<Box<Value>>,
}

impl CapabilityUsage {
    /// Adds what was used later. The later report is the one that holds.
    pub(crate) fn add(&mut self, later: CapabilityUsage) {
        self.calls += later.calls;
        self.bytes_in = self.bytes_in.saturating_add(later.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(later.bytes_out);
        for (name, count) in later.counts {
            let sum = self.counts.entry(name).or_default();
            *sum = sum.saturating_add(count);
        }
        self.report = later.report.or(self.report.take());
    }
}

impl Usage {
    /// Adds what capabilities used later than the call, in their close.
    pub(crate) fn add(&mut self, later: Vec<(String, CapabilityUsage)>) {
        for (id, later) in later {
            match self.capabilities.iter_mut().find(|(known, _)| *known == id) {
                Some((_, usage)) => usage.add(later),
                None => self.capabilities.push((id, later)),
            }
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "wall {:?}, guest {:?}, host {:?}, compile {:?}, instantiate {:?}, memory {} KiB, {} host calls",
            self.wall,
            self.guest,
            self.host,
            self.compile,
            self.instantiate,
            self.memory_peak_bytes >> 10,
            self.host_calls
        )?;
        if let Some(fuel) = self.fuel {
            write!(f, ", fuel {fuel}")?;
        }
        for (id, usage) in &self.capabilities {
            write!(f, ", {id}: {} calls, {} B in, {} B out", usage.calls, usage.bytes_in, usage.bytes_out)?;
            for (name, count) in &usage.counts {
                write!(f, ", {name} {count}")?;
            }
        }
        Ok(())
    }
}
