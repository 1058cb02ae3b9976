//! What a store carries: WASI, the open capabilities, and the meter that every host call passes.
//!
//! It knows the engine, and no capability: their states lie in slots, found by type.

use std::any::{Any, TypeId};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{CallHook, ResourceLimiter, StoreContextMut};

use crate::capability::{Account, Charge, Lender, View};
use crate::clock::Ticker;
use crate::engine::{MEMORIES_EACH, TABLES_EACH};
use crate::limits::{Bounds, Limit, LimitKind, Limits};
use crate::outcome::CapabilityUsage;
use crate::tally::Tally;
use crate::wasi::Wasi;

/// The data of every store. Capabilities reach their state in it by [`Host::view`].
pub struct Host {
    pub(crate) table: ResourceTable,
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) meter: Meter,
    pub(crate) slots: Vec<Slot>,
}

impl Host {
    pub(crate) fn new(limits: &Limits, bounds: &Bounds, ticker: Arc<Ticker>, tally: Arc<Tally>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles as usize);
        Host { table, wasi: None, meter: Meter::new(limits, bounds, ticker, tally), slots: Vec::new() }
    }

    /// The state `S` of an open capability, for the length of one host call.
    ///
    /// A plain function, so that it fits where wasmtime wants `fn(&mut T) -> D::Data<'_>`.
    #[inline]
    pub fn view<S: Send + 'static>(&mut self) -> View<'_, S> {
        self.meter.enter();
        let slot = self
            .slots
            .iter_mut()
            .find(|slot| slot.state_type == TypeId::of::<S>())
            .expect("a capability is opened before the guest it is linked to runs");
        if !self.meter.span.is_disabled() {
            self.meter.span.record("capability", slot.lender.id());
        }
        let state = slot.state.as_mut().and_then(|state| state.downcast_mut()).expect("a slot is found by its type");
        View::new(state, &mut self.table, Charge::open(&mut self.meter, &mut slot.usage))
    }

    /// Counts a call of a host function, which has no state to view.
    pub(crate) fn count(&mut self, id: &str) {
        self.meter.enter();
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.lender.id() == id) {
            slot.usage.calls += 1;
        }
    }

    /// What every return from the host to the guest passes: the place where a limit met inside the host takes effect.
    ///
    /// The engine's own helpers (growing a memory, yielding, copying) pass here as well; only [`Meter::enter`] marks a host
    /// call, and it is called by whatever gives a host function its state.
    #[inline]
    pub(crate) fn cross(mut store: StoreContextMut<'_, Host>, hook: CallHook) -> wasmtime::Result<()> {
        match hook {
            CallHook::ReturningFromHost => store.data_mut().meter.leave(),
            // What comes next is read out of the guest: a result, or the arguments of a host call.
            CallHook::ReturningFromWasm => {
                let bytes = store.data().meter.result_bytes;
                store.set_hostcall_fuel(bytes);
                Ok(())
            }
            CallHook::CallingHost => {
                let bytes = store.data().meter.argument_bytes;
                store.set_hostcall_fuel(bytes);
                Ok(())
            }
            CallHook::CallingWasm => Ok(()),
        }
    }
}

/// One open capability.
pub(crate) struct Slot {
    state_type: TypeId,
    pub(crate) lender: Arc<dyn Lender>,
    /// Taken when it closes.
    pub(crate) state: Option<Box<dyn Any + Send>>,
    pub(crate) usage: CapabilityUsage,
    account: Account,
}

impl Slot {
    pub(crate) fn new(lender: Arc<dyn Lender>, state: Box<dyn Any + Send>, account: Account) -> Self {
        let usage = CapabilityUsage::default();
        Slot { state_type: lender.state_type(), lender, state: Some(state), usage, account }
    }

    /// What was used since it was last asked, in host calls and outside of them.
    pub(crate) fn take_usage(&mut self) -> CapabilityUsage {
        let mut usage = std::mem::take(&mut self.usage);
        self.account.settle(&mut usage);
        usage
    }
}

/// What one host call may copy out of a guest at most: as much as the engine allows by itself.
const ARGUMENT_BYTES_MAX: u64 = 128 << 20;

/// What it may copy however little capabilities may move: WASI's own calls copy too.
const ARGUMENT_BYTES_MIN: u64 = 1 << 20;

/// The numbers of one call, beside its limits.
pub(crate) struct Meter {
    ticker: Arc<Ticker>,
    /// The tick from which a host call is refused.
    pub(crate) deadline_tick: u64,
    pub(crate) tally: Arc<Tally>,
    pub(crate) host_calls: u64,
    host_calls_max: u64,
    /// Time of host calls that did not suspend but moved much.
    pub(crate) host_measured: Duration,
    /// A limit met inside a host call that could not say so itself.
    pub(crate) stop: Option<LimitKind>,
    /// Open while the guest is in the host; disabled unless spans of `runner_core::host_call` are on.
    span: tracing::Span,
    memory_bytes: u64,
    pub(crate) memory_bytes_max: u64,
    pub(crate) memory_peak_bytes: u64,
    table_elements: u64,
    table_elements_max: u64,
    instances_max: u32,
    /// What the engine may copy out of the guest for one host call, and for the result.
    argument_bytes: usize,
    result_bytes: usize,
    /// The largest that one memory and one table may be, whatever the call's limits say.
    memory_bytes_each: u64,
    table_elements_each: u64,
    /// A growth that was refused, and what refused it; a trap that follows is blamed on it.
    pub(crate) refused: Option<Limit>,
}

impl Meter {
    fn new(limits: &Limits, bounds: &Bounds, ticker: Arc<Ticker>, tally: Arc<Tally>) -> Self {
        tally.restart(limits);
        Meter {
            deadline_tick: ticker.tick_after(limits.deadline),
            ticker,
            tally,
            host_calls: 0,
            host_calls_max: limits.host_calls,
            host_measured: Duration::ZERO,
            stop: None,
            span: tracing::Span::none(),
            memory_bytes: 0,
            memory_bytes_max: limits.memory_bytes,
            memory_peak_bytes: 0,
            table_elements: 0,
            table_elements_max: limits.table_elements,
            instances_max: limits.instances,
            argument_bytes: 0,
            result_bytes: 0,
            memory_bytes_each: bounds.memory_bytes,
            table_elements_each: bounds.table_elements as u64,
            refused: None,
        }
    }

    /// Starts the account of the next call on a live instance; memory and tables are the instance's and stay.
    pub(crate) fn restart(&mut self, limits: &Limits) {
        self.deadline_tick = self.ticker.tick_after(limits.deadline);
        self.tally.restart(limits);
        self.host_calls = 0;
        self.host_calls_max = limits.host_calls;
        self.host_measured = Duration::ZERO;
        self.stop = None;
        self.refused = None;
    }

    /// Marks the start of a host call. Its state is given by a function that cannot fail, so a limit that is met here stops
    /// the guest when the call returns: the call that went over is the last.
    #[inline]
    pub(crate) fn enter(&mut self) {
        self.host_calls += 1;
        if self.host_calls > self.host_calls_max {
            self.stop = Some(LimitKind::HostCalls);
        }
        if self.ticker.ticks() >= self.deadline_tick {
            self.stop = Some(LimitKind::Deadline);
        }
        self.tally.set_in_host(true);
        if tracing::enabled!(target: "runner_core::host_call", tracing::Level::TRACE) {
            self.span =
                tracing::trace_span!(target: "runner_core::host_call", "host_call", capability = tracing::field::Empty);
        }
    }

    #[inline]
    fn leave(&mut self) -> wasmtime::Result<()> {
        self.tally.set_in_host(false);
        if !self.span.is_disabled() {
            self.span = tracing::Span::none();
        }
        match self.stop {
            Some(kind) => Err(Stop(kind).into()),
            // Met by a stream, which is no part of this meter.
            None if self.tally.moved.is_over() => Err(Stop(LimitKind::HostBytes).into()),
            None => Ok(()),
        }
    }

    /// Bounds what the engine copies out of the guest: for a host call as much as capabilities may move, for the result as
    /// much as one of its type may weigh, and never more than the guest's own memory. Gives the latter.
    pub(crate) fn bound_copies(&mut self, limits: &Limits, expansion: u64) -> usize {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        self.argument_bytes = bytes(limits.host_bytes.clamp(ARGUMENT_BYTES_MIN, ARGUMENT_BYTES_MAX));
        self.result_bytes = bytes(limits.output_bytes.saturating_mul(expansion).min(limits.memory_bytes));
        self.result_bytes
    }

    fn refuse(&mut self, kind: LimitKind, allowed: u64) -> wasmtime::Result<bool> {
        self.refused = Some(Limit { kind, allowed });
        Ok(false)
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.memory_bytes.saturating_add((desired - current) as u64);
        if grown > self.memory_bytes_max {
            return self.refuse(LimitKind::Memory, self.memory_bytes_max);
        }
        if desired as u64 > self.memory_bytes_each {
            return self.refuse(LimitKind::Memory, self.memory_bytes_each);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.refused = None;
        self.memory_bytes = grown;
        self.memory_peak_bytes = self.memory_peak_bytes.max(grown);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // Allowed by the call's limits, refused by the pool or the system; what was counted for it stays counted, since the
        // engine also reports failures that it never asked for.
        self.refused = Some(Limit { kind: LimitKind::Memory, allowed: self.memory_bytes_max });
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.table_elements.saturating_add((desired - current) as u64);
        if grown > self.table_elements_max {
            return self.refuse(LimitKind::Tables, self.table_elements_max);
        }
        if desired as u64 > self.table_elements_each {
            return self.refuse(LimitKind::Tables, self.table_elements_each);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.refused = None;
        self.table_elements = grown;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = Some(Limit { kind: LimitKind::Tables, allowed: self.table_elements_max });
        Ok(())
    }

    fn instances(&self) -> usize {
        self.instances_max as usize
    }

    fn tables(&self) -> usize {
        TABLES_EACH as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_EACH as usize
    }
}

/// A limit met, as the error that unwinds the guest.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the guest met its limit on {0}")]
pub(crate) struct Stop(pub(crate) LimitKind);
