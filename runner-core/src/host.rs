//! What a store carries: WASI, the open capabilities, and the meter that every host call passes.
//!
//! It knows the engine, and no capability: their states lie in slots, found by type.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{CallHook, ResourceLimiter, StoreContextMut};

use crate::capability::{Charge, Lender, View};
use crate::clock::Ticker;
use crate::limits::{LimitKind, Limits};
use crate::outcome::CapabilityUsage;
use crate::wasi::Wasi;

/// The data of every store. Capabilities reach their state in it by [`Host::view`].
pub struct Host {
    pub(crate) table: ResourceTable,
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) meter: Meter,
    pub(crate) slots: Vec<Slot>,
}

impl Host {
    pub(crate) fn new(limits: &Limits, ticker: Arc<Ticker>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles as usize);
        Host { table, wasi: None, meter: Meter::new(limits, ticker), slots: Vec::new() }
    }

    /// The state `S` of an open capability, for the length of one host call.
    ///
    /// A plain function, so that it fits where wasmtime wants `fn(&mut T) -> D::Data<'_>`.
    pub fn view<S: Send + 'static>(&mut self) -> View<'_, S> {
        self.meter.enter();
        let slot = self
            .slots
            .iter_mut()
            .find(|slot| slot.state_type == TypeId::of::<S>())
            .expect("a capability is opened before the guest it is linked to runs");
        self.meter.span.record("capability", slot.lender.id());
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
            CallHook::CallingHost | CallHook::CallingWasm | CallHook::ReturningFromWasm => Ok(()),
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
}

impl Slot {
    pub(crate) fn new(lender: Arc<dyn Lender>, state: Box<dyn Any + Send>) -> Self {
        Slot { state_type: lender.state_type(), lender, state: Some(state), usage: CapabilityUsage::default() }
    }
}

/// The numbers of one call, beside its limits.
pub(crate) struct Meter {
    ticker: Arc<Ticker>,
    /// The tick from which a host call is refused.
    pub(crate) deadline_tick: u64,
    /// Whether the guest is inside a host call: shared with the future that watches it from outside.
    pub(crate) in_host: Arc<AtomicBool>,
    pub(crate) host_calls: u64,
    host_calls_max: u64,
    pub(crate) host_bytes: u64,
    pub(crate) host_bytes_max: u64,
    /// Time of host calls that did not suspend but moved much.
    pub(crate) host_measured: Duration,
    /// A limit met inside a host call that could not say so itself.
    pub(crate) stop: Option<LimitKind>,
    /// Open while the guest is in the host; disabled unless spans of `runner_core::host_call` are on.
    span: tracing::Span,
    memory_bytes: u64,
    memory_bytes_max: u64,
    pub(crate) memory_peak_bytes: u64,
    table_elements: u64,
    table_elements_max: u64,
    instances_max: u32,
    /// The growth allowed last, given back where the engine then fails to grow.
    allowed_growth: u64,
    /// A growth that was refused; a trap that follows is blamed on it.
    pub(crate) refused: Option<LimitKind>,
}

impl Meter {
    fn new(limits: &Limits, ticker: Arc<Ticker>) -> Self {
        Meter {
            ticker,
            deadline_tick: u64::MAX,
            in_host: Arc::new(AtomicBool::new(false)),
            host_calls: 0,
            host_calls_max: limits.host_calls,
            host_bytes: 0,
            host_bytes_max: limits.host_bytes,
            host_measured: Duration::ZERO,
            stop: None,
            span: tracing::Span::none(),
            memory_bytes: 0,
            memory_bytes_max: limits.memory_bytes,
            memory_peak_bytes: 0,
            table_elements: 0,
            table_elements_max: limits.table_elements,
            instances_max: limits.instances,
            allowed_growth: 0,
            refused: None,
        }
    }

    /// Starts the account of the next call on a live instance; memory and tables are the instance's and stay.
    pub(crate) fn restart(&mut self, limits: &Limits) {
        self.deadline_tick = self.ticker.tick_after(limits.deadline);
        self.in_host.store(false, Ordering::Relaxed);
        self.host_calls = 0;
        self.host_calls_max = limits.host_calls;
        self.host_bytes = 0;
        self.host_bytes_max = limits.host_bytes;
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
        self.in_host.store(true, Ordering::Relaxed);
        if tracing::enabled!(target: "runner_core::host_call", tracing::Level::TRACE) {
            self.span =
                tracing::trace_span!(target: "runner_core::host_call", "host_call", capability = tracing::field::Empty);
        }
    }

    #[inline]
    fn leave(&mut self) -> wasmtime::Result<()> {
        self.in_host.store(false, Ordering::Relaxed);
        if !self.span.is_disabled() {
            self.span = tracing::Span::none();
        }
        match self.stop {
            Some(kind) => Err(Stop(kind).into()),
            None => Ok(()),
        }
    }

    fn refuse(&mut self, kind: LimitKind) -> wasmtime::Result<bool> {
        self.refused = Some(kind);
        Ok(false)
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.memory_bytes.saturating_add((desired - current) as u64);
        if grown > self.memory_bytes_max {
            return self.refuse(LimitKind::Memory);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.refused = None;
        self.allowed_growth = grown - self.memory_bytes;
        self.memory_bytes = grown;
        self.memory_peak_bytes = self.memory_peak_bytes.max(grown);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // Allowed by the call's limits, refused by the pool: the executor's own bound on one memory.
        self.memory_bytes -= std::mem::take(&mut self.allowed_growth);
        self.refused = Some(LimitKind::Memory);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.table_elements.saturating_add((desired - current) as u64);
        if grown > self.table_elements_max {
            return self.refuse(LimitKind::Tables);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.refused = None;
        self.allowed_growth = grown - self.table_elements;
        self.table_elements = grown;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_elements -= std::mem::take(&mut self.allowed_growth);
        self.refused = Some(LimitKind::Tables);
        Ok(())
    }

    fn instances(&self) -> usize {
        self.instances_max as usize
    }

    fn tables(&self) -> usize {
        // Every table counts at least its elements; a component has a few tables an instance.
        self.instances_max as usize * 4
    }

    fn memories(&self) -> usize {
        self.instances_max as usize * 4
    }
}

/// A limit met, as the error that unwinds the guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop(pub(crate) LimitKind);

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest met its limit on {}", self.0)
    }
}

impl std::error::Error for Stop {}
