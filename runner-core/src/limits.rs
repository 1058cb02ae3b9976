//! The numbers that someone chose: [`Limits`] for one call, [`Bounds`] for one executor. Nothing here acts.

use std::fmt;
use std::time::Duration;

/// What one call may use. Every field is enforced; the [`Ending`](crate::Ending) names the one that was met.
///
/// ```
/// # use runner_core::Limits;
/// let frames = Limits { memory_bytes: 320 << 20, ..Limits::default() }; // two 8k RGBA frames and room to work
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall time from the start of the guest to its end, host calls included. Default 10 s.
    ///
    /// It stops a spinning guest within a few milliseconds and cancels a sleeping host call. A program loaded with
    /// [`Metering::None`](crate::Metering::None) is stopped only where it calls the host.
    pub deadline: Duration,
    /// Linear memory of all memories together, those that it starts with included. Default 256 MiB.
    ///
    /// `memory.grow` beyond it answers -1; a guest that then traps ends as `Exhausted`. The host takes no more than this for
    /// the values of a result either, some 40 bytes for each element of a list: see [`output_bytes`](Limits::output_bytes).
    pub memory_bytes: u64,
    /// Elements of all tables together. Default 100,000. `table.grow` beyond it answers -1.
    pub table_elements: u64,
    /// Core instances that one component may consist of. Default 64, which is also the most that the pool gives to one.
    pub instances: u32,
    /// Fuel: about one unit an instruction. Enforced for programs loaded with [`Metering::Fuel`](crate::Metering::Fuel).
    /// Default 10 billion.
    pub fuel: u64,
    /// Calls from the guest into the host; the one that goes over is the last. Default 10 million.
    pub host_calls: u64,
    /// Bytes that capabilities move for the guest, both ways together, URLs and headers among them; one host call takes no more than 128 MiB from the
    /// guest. Default 1 GiB.
    pub host_bytes: u64,
    /// Resources (streams, pollables, files, requests, ..) that a component holds open at once. Default 1,000. One that is
    /// made of another, as a pollable is of its stream, may count twice.
    /// The host holds up to 256 KiB for each; for a response from outside, as much more as a grant allows its headers over
    /// 64 KiB.
    pub handles: u32,
    /// Arguments, environment, standard input and HTTP request (method, address, headers and body) together. Default 16 MiB.
    /// Arguments of typed calls are not weighed: they are the caller's own values, and the guest's memory is their limit.
    pub input_bytes: u64,
    /// Result, standard output, standard error and HTTP response body together; the result of a typed call has as much for
    /// itself. Default 8 MiB.
    ///
    /// A result is also over it whose values take more than [`memory_bytes`](Limits::memory_bytes) before they are JSON.
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            deadline: Duration::from_secs(10),
            memory_bytes: 256 << 20,
            table_elements: 100_000,
            instances: 64,
            fuel: 10_000_000_000,
            host_calls: 10_000_000,
            host_bytes: 1 << 30,
            handles: 1_000,
            input_bytes: 16 << 20,
            output_bytes: 8 << 20,
        }
    }
}

/// Which limit was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitKind {
    /// [`Limits::deadline`].
    Deadline,
    /// [`Limits::memory_bytes`].
    Memory,
    /// [`Limits::table_elements`].
    Tables,
    /// [`Limits::instances`].
    Instances,
    /// [`Limits::fuel`].
    Fuel,
    /// [`Bounds::stack_bytes`].
    Stack,
    /// [`Limits::host_calls`].
    HostCalls,
    /// [`Limits::host_bytes`].
    HostBytes,
    /// [`Limits::handles`].
    Handles,
    /// [`Limits::input_bytes`].
    Input,
    /// [`Limits::output_bytes`].
    Output,
}

impl LimitKind {
    /// The limit's name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            LimitKind::Deadline => "deadline",
            LimitKind::Memory => "memory",
            LimitKind::Tables => "tables",
            LimitKind::Instances => "instances",
            LimitKind::Fuel => "fuel",
            LimitKind::Stack => "stack",
            LimitKind::HostCalls => "host_calls",
            LimitKind::HostBytes => "host_bytes",
            LimitKind::Handles => "handles",
            LimitKind::Input => "input",
            LimitKind::Output => "output",
        }
    }

    /// What [`Limit::allowed`] counts.
    pub fn unit(self) -> &'static str {
        match self {
            LimitKind::Deadline => "ms",
            LimitKind::Memory | LimitKind::Stack | LimitKind::HostBytes | LimitKind::Input | LimitKind::Output => {
                "bytes"
            }
            LimitKind::Tables => "elements",
            LimitKind::Instances => "instances",
            LimitKind::Fuel => "units",
            LimitKind::HostCalls => "calls",
            LimitKind::Handles => "handles",
        }
    }
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A limit that a guest met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which one.
    pub kind: LimitKind,
    /// How much was allowed, in [`LimitKind::unit`].
    pub allowed: u64,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {} allowed)", self.kind, self.allowed, self.kind.unit())
    }
}

impl Limits {
    /// How much of one kind these limits allow; the stack is the executor's to say.
    pub(crate) fn allowed(&self, kind: LimitKind, bounds: &Bounds) -> Limit {
        let allowed = match kind {
            LimitKind::Deadline => u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX),
            LimitKind::Memory => self.memory_bytes,
            LimitKind::Tables => self.table_elements,
            LimitKind::Instances => u64::from(self.instances),
            LimitKind::Fuel => self.fuel,
            LimitKind::Stack => bounds.stack_bytes as u64,
            LimitKind::HostCalls => self.host_calls,
            LimitKind::HostBytes => self.host_bytes,
            LimitKind::Handles => u64::from(self.handles),
            LimitKind::Input => self.input_bytes,
            LimitKind::Output => self.output_bytes,
        };
        Limit { kind, allowed }
    }
}

/// What one executor may use, whoever calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Stack of a guest. Default 512 KiB.
    pub stack_bytes: usize,
    /// Calls and live instances at once; also sizes the instance pool. Default 1,000.
    pub calls: u32,
    /// Calls that wait for a place; a call beyond it is refused with `Unavailable`. Default 10,000.
    pub queue: u32,
    /// Linear memory of one memory, whatever a call's limits say. Default 4 GiB; reserved as address space, not used.
    pub memory_bytes: u64,
    /// Elements of one table, whatever a call's limits say. Default 1,000,000.
    pub table_elements: usize,
    /// A module's bytes, as text or binary. Default 64 MiB.
    pub module_bytes: usize,
    /// Functions in a module, nested modules included. Default 60,000.
    pub functions: u32,
    /// Exports of a module, and imports, each. Default 20,000.
    pub exports: u32,
    /// The largest function body. Default 1 MiB: compilation is quadratic in it.
    pub body_bytes: usize,
    /// Time to compile one module. Default 60 s.
    pub compile: Duration,
    /// Modules that wait for the compiler, apart from those under way. Default 64.
    pub compile_queue: u32,
    /// Compiled code kept in memory. Default 256 MiB.
    pub code_bytes: u64,
    /// Time that the capabilities of one call may take to close, all together, outside the guest's deadline. Each has an
    /// equal share, and what those before it left. Default 5 s.
    pub close_grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            stack_bytes: 512 << 10,
            calls: 1_000,
            queue: 10_000,
            memory_bytes: 4 << 30,
            table_elements: 1_000_000,
            module_bytes: 64 << 20,
            functions: 60_000,
            exports: 20_000,
            body_bytes: 1 << 20,
            compile: Duration::from_secs(60),
            compile_queue: 64,
            code_bytes: 256 << 20,
            close_grace: Duration::from_secs(5),
        }
    }
}

/// How a spinning guest is stopped; chosen when a program is loaded, part of every compiled-code key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metering {
    /// A clock interrupts the guest. Free for calls; 1.1x on real work, more in tight loops. The default.
    #[default]
    Epochs,
    /// Instructions are counted: deterministic, and billed in [`Usage::fuel`](crate::Usage::fuel).
    Fuel,
    /// Nothing interrupts the guest between two host calls: for programs that you trust.
    ///
    /// The deadline then holds only where the guest calls the host, and a guest that spins keeps its thread.
    None,
}

impl Metering {
    /// The name in cache keys and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Metering::Epochs => "epochs",
            Metering::Fuel => "fuel",
            Metering::None => "none",
        }
    }
}
