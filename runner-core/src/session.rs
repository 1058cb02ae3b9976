//! One store from its opening to its end: the limits set, the guest watched, the capabilities closed exactly once.
//!
//! It knows how to run any future over a store; what the future calls is the business of `call`, `instance` and `http`.

use std::fmt::{self, Write};
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap as EngineTrap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::admission::Place;
use crate::capability::CallContext;
use crate::clock::{Active, Instant, now};
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::host::{Host, Pulse, Slot, Stop};
use crate::limits::{LimitKind, Limits, Metering};
use crate::outcome::{Ending, Failure, Frame, Outcome, Trap, Usage};
use crate::program::Program;
use crate::wasi::{Stdio, Wasi};

/// Fuel after which a guest metered by fuel yields to its neighbours: about a millisecond of work.
const FUEL_BETWEEN_YIELDS: u64 = 1_000_000;

/// What a caller may say about one call, apart from what is called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    pub(crate) limits: Limits,
    pub(crate) stdio: Stdio,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) attempt: Option<u32>,
}

/// A store under way.
pub(crate) struct Session {
    /// `None` once it has ended.
    store: Option<Store<Host>>,
    pub(crate) program: Program,
    pub(crate) limits: Limits,
    /// What the guest may still put out, in all its streams.
    pub(crate) output_left: Arc<AtomicU64>,
    times: Times,
    /// How the last call ended, for the capabilities of a live instance; `None` before the first.
    last: Option<Ending<()>>,
    place: Option<Place>,
    /// Where capabilities close although the session is dropped outside the runtime.
    runtime: Handle,
    /// What a live instance was started with: these do not change from call to call.
    started_with: Limits,
    /// Tells sessions apart.
    id: u64,
    /// Held for as long as a call is under way: the ticker runs and `shutdown` waits.
    busy: Option<Busy>,
}

/// A call under way.
struct Busy {
    _active: Active,
    _call: TaskTrackerToken,
}

impl Busy {
    fn on(executor: &Executor) -> Self {
        Busy { _active: executor.ticker().enter(), _call: executor.calls().token() }
    }
}

/// Where the time of one call went.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    guest: Duration,
    host: Duration,
    wall: Duration,
    instantiate: Duration,
}

impl Session {
    /// Waits for a place, opens the program's capabilities, and makes the store.
    pub(crate) async fn open(program: &Program, setting: &Setting) -> Result<Self> {
        let executor = program.executor();
        // Before the place: from here on `shutdown` waits for this call or turns it away.
        let busy = Busy::on(executor);
        let place = executor.admission().enter(setting.limits.deadline).await?;
        let mut host = Host::new(&setting.limits, Arc::clone(executor.ticker()));
        let output_left = Arc::new(AtomicU64::new(setting.limits.output_bytes));
        host.meter.bound_copies(&setting.limits, 1);
        if program.needs_wasi() {
            host.wasi = Some(Box::new(Wasi::new(program.is_component(), &setting.stdio, &output_left)));
        }
        let mut store = Store::new(program.engine(), host);
        store.limiter(|host| &mut host.meter);
        // A guest that imports nothing cannot call the host: there is nothing to count.
        if !program.imports().is_empty() {
            store.call_hook(Host::cross);
        }
        store.set_max_component_handles(setting.limits.handles as usize);
        let mut session = Session {
            store: Some(store),
            program: program.clone(),
            limits: setting.limits.clone(),
            output_left,
            times: Times::default(),
            last: None,
            place: Some(place),
            runtime: Handle::current(),
            started_with: setting.limits.clone(),
            id: executor.next_call(),
            busy: Some(busy),
        };
        if !program.loans().is_empty() {
            let context = CallContext {
                call_id: session.id,
                program: program.digest().into(),
                deadline: setting.limits.deadline,
                idempotency_key: setting.idempotency_key.clone(),
                attempt: setting.attempt.unwrap_or(1),
            };
            for loan in program.loans() {
                // Where one does not open, those before it are closed as cancelled when the session is dropped.
                let slot = loan.open(&context)?;
                session.store().data_mut().slots.push(slot);
            }
        }
        Ok(session)
    }

    pub(crate) fn store(&mut self) -> &mut Store<Host> {
        self.store.as_mut().expect("a session has its store until it ends")
    }

    /// Starts the account of the next call: limits from now on, usage from zero. What is the instance's for life (memory,
    /// tables, instances, handles) stays as it was started with.
    ///
    /// # Errors
    /// `Unavailable` once the executor is shutting down.
    pub(crate) fn begin(&mut self, limits: &Limits) -> Result<()> {
        let executor = self.program.executor();
        if self.busy.is_none() {
            self.busy = Some(Busy::on(executor));
            executor.admission().check_open().inspect_err(|_| self.busy = None)?;
        }
        let Limits { memory_bytes, table_elements, instances, handles, .. } = self.started_with;
        self.limits = Limits { memory_bytes, table_elements, instances, handles, ..limits.clone() };
        self.times = Times { instantiate: std::mem::take(&mut self.times.instantiate), ..Times::default() };
        self.output_left.store(limits.output_bytes, Ordering::Release);
        // Until the call has ended in some other way, its caller has gone away.
        self.last = Some(Ending::Cancelled);
        let metering = self.program.metering();
        let limits = self.limits.clone();
        let store = self.store();
        store.data_mut().meter.restart(&limits);
        match metering {
            Metering::Epochs => {
                store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
                store.set_epoch_deadline(1);
            }
            Metering::Fuel => {
                let set = store
                    .set_fuel(limits.fuel)
                    .and_then(|()| store.fuel_async_yield_interval(Some(FUEL_BETWEEN_YIELDS)));
                set.map_err(|error| Error::internal("fuel cannot be set").source(error))?;
            }
            Metering::None => {}
        }
        Ok(())
    }

    /// Bounds what the result of the call may weigh in the engine's values: see [`Type::expansion`](crate::Type).
    pub(crate) fn bound_copies(&mut self, expansion: u64) {
        let store = self.store.as_mut().expect("a session has its store until it ends");
        let result_bytes = store.data_mut().meter.bound_copies(&self.limits, expansion);
        // What holds where no hook changes it.
        store.set_hostcall_fuel(result_bytes);
    }

    /// What tells this session from any other of its executor.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Runs the guest until it ends or its deadline passes, and keeps the time.
    pub(crate) async fn watch<T>(
        &mut self,
        run: impl AsyncFnOnce(&mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<Ending<T>> {
        let deadline = self.limits.deadline;
        let (ran, times) = {
            let store = self.store.as_mut().expect("a session has its store until it ends");
            let pulse = Arc::clone(&store.data().meter.pulse);
            watched(run(store), &pulse, deadline).await
        };
        let measured = self.store().data().meter.host_measured;
        self.times.guest = times.guest.saturating_sub(measured);
        self.times.host = times.host + measured;
        self.times.wall = times.wall;
        match ran {
            Some(Ok(value)) => Ok(Ending::Returned(value)),
            Some(Err(error)) => self.ending(error),
            None => Ok(self.exhausted(LimitKind::Deadline)),
        }
    }

    /// Notes how long instantiation took, from inside [`Session::watch`]'s future.
    pub(crate) fn instantiated(&mut self, took: Duration) {
        self.times.instantiate = took;
    }

    pub(crate) fn exhausted<T>(&self, kind: LimitKind) -> Ending<T> {
        Ending::Exhausted(self.limits.allowed(kind, self.program.executor().bounds()))
    }

    /// What the engine's error says about the guest, or about the host.
    ///
    /// The error is never shown whole: its context is a backtrace, whose names are the guest's to choose.
    fn ending<T>(&mut self, error: wasmtime::Error) -> Result<Ending<T>> {
        if let Some(Stop(kind)) = error.downcast_ref() {
            return Ok(self.exhausted(*kind));
        }
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return Ok(Ending::Failed(Failure {
                code: "exit".to_owned(),
                message: format!("the guest exited with code {code}"),
                retryable: false,
                exit_code: Some(*code),
                value: None,
            }));
        }
        if error.downcast_ref::<Error>().is_some() {
            // A capability could not do its part, and said so in the host's own words.
            return Err(error.downcast::<Error>().unwrap_or_else(|_| Error::internal("a capability failed")));
        }
        if let Some(full) = error.downcast_ref::<PoolConcurrencyLimitError>() {
            return Err(Error::unavailable(format!("the instance pool is full: {full}")));
        }
        if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
            return Ok(self.exhausted(LimitKind::Handles));
        }
        let refused = self.store().data().meter.refused;
        let trap = error.downcast_ref::<EngineTrap>().copied();
        Ok(match (trap, refused) {
            (Some(EngineTrap::OutOfFuel), _) => self.exhausted(LimitKind::Fuel),
            (Some(EngineTrap::StackOverflow), _) => self.exhausted(LimitKind::Stack),
            // A trap right after a refused growth is the growth's.
            (_, Some(kind)) => self.exhausted(kind),
            (Some(trap), None) => Ending::Trapped(trapped(&error, Some(trap))),
            (None, None) => match limit_in_words(&error.root_cause().to_string(), copied(&error)) {
                Some(kind) => self.exhausted(kind),
                None => Ending::Trapped(trapped(&error, None)),
            },
        })
    }

    /// What one call of a live instance did.
    pub(crate) fn outcome<T>(&mut self, ending: Ending<T>) -> Outcome<T> {
        let usage = self.usage();
        let (stdout, stderr) = self.printed();
        Outcome { ending, usage, stdout, stderr }
    }

    /// Remembers how a live instance's last call ended: its capabilities are closed with it.
    pub(crate) fn remember<T>(&mut self, ending: &Ending<T>) {
        self.last = Some(without_value(ending));
    }

    /// Marks a live instance as idle until its next call.
    pub(crate) fn rest(&mut self) {
        self.busy = None;
    }

    fn printed(&mut self) -> (Vec<u8>, Vec<u8>) {
        match &self.store().data().wasi {
            Some(wasi) => (wasi.stdout.take(), wasi.stderr.take()),
            None => (Vec::new(), Vec::new()),
        }
    }

    fn usage(&mut self) -> Usage {
        let (times, compile, fuel_allowed) = (self.times, self.program.take_compile(), self.limits.fuel);
        let fuelled = self.program.metering() == Metering::Fuel;
        let store = self.store();
        // Asked of an engine without fuel it would be an error, and errors are dear.
        let left = if fuelled { store.get_fuel().ok() } else { None };
        let fuel = left.map(|left| fuel_allowed.saturating_sub(left));
        let host = store.data_mut();
        let capabilities = host
            .slots
            .iter_mut()
            .filter(|slot| slot.usage.calls > 0)
            .map(|slot| (slot.lender.id().to_owned(), std::mem::take(&mut slot.usage)))
            .collect();
        Usage {
            fuel,
            guest: times.guest,
            host: times.host,
            wall: times.wall,
            compile,
            instantiate: times.instantiate,
            memory_peak_bytes: host.meter.memory_peak_bytes,
            host_calls: host.meter.host_calls,
            capabilities,
        }
    }

    /// Ends the session after one call: frees the store, closes the capabilities, gives the outcome.
    pub(crate) async fn finish<T>(mut self, ending: Ending<T>) -> Result<Outcome<T>, (Error, Outcome<T>)> {
        let outcome = self.outcome(ending);
        self.remember(&outcome.ending);
        match self.close().await {
            Ok(()) => Ok(outcome),
            Err(error) => Err((error, outcome)),
        }
    }

    /// Ends the session with the last ending.
    pub(crate) async fn close(mut self) -> Result<()> {
        let (executor, grace) = (self.program.executor().clone(), self.program.executor().bounds().close_grace);
        let Some(closing) = self.take_closing() else { return Ok(()) };
        // On a task of its own: a caller that goes away during the close does not interrupt it.
        let closed = executor.janitor().spawn_on(closing.run(grace), &self.runtime).await;
        closed.map_err(|error| Error::internal("a capability panicked in its close").source(error))?
    }

    /// Takes what must still be closed, and drops the store; `None` where nothing is open.
    fn take_closing(&mut self) -> Option<Closing> {
        let mut store = self.store.take()?;
        let mut slots = std::mem::take(&mut store.data_mut().slots);
        slots.retain(|slot| slot.lender.closes());
        drop(store);
        let place = self.place.take();
        let ending = self.last.take().unwrap_or(Ending::Cancelled);
        (!slots.is_empty()).then_some(Closing { slots, ending, place })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let grace = self.program.executor().bounds().close_grace;
        if let Some(closing) = self.take_closing() {
            // The caller is gone: nobody waits for the answer, `shutdown` waits for the work.
            let close = async move {
                if let Err(error) = closing.run(grace).await {
                    tracing::warn!(%error, "a capability did not close after its caller went away");
                }
            };
            self.program.executor().janitor().spawn_on(close, &self.runtime);
        }
    }
}

/// Open capabilities on their way to the end. Holds its place among the calls until then.
struct Closing {
    slots: Vec<Slot>,
    ending: Ending<()>,
    place: Option<Place>,
}

impl Closing {
    async fn run(mut self, grace: Duration) -> Result<()> {
        let mut first = None;
        let until = now() + grace;
        while let Some(mut slot) = self.slots.pop() {
            let Some(state) = slot.state.take() else { continue };
            let id = slot.lender.id().to_owned();
            // A panic in one must not keep the others from closing.
            let close = AssertUnwindSafe(slot.lender.close(state, &self.ending)).catch_unwind();
            let closed = tokio::time::timeout_at(
                until,
                close.map(|closed| {
                    closed.unwrap_or_else(|_| Err(Error::internal(format!("capability `{id}` panicked in its close"))))
                }),
            );
            let closed = closed.await.unwrap_or_else(|_| {
                Err(Error::unavailable(format!("capability `{id}` did not close within {grace:?}")))
            });
            if let Err(error) = closed {
                tracing::warn!(capability = id, %error, "a capability did not close");
                first.get_or_insert(error);
            }
        }
        drop(self.place.take());
        first.map_or(Ok(()), Err)
    }
}

fn without_value<T>(ending: &Ending<T>) -> Ending<()> {
    match ending {
        Ending::Returned(_) => Ending::Returned(()),
        Ending::Failed(failure) => Ending::Failed(failure.clone()),
        Ending::Trapped(trap) => Ending::Trapped(trap.clone()),
        Ending::Exhausted(limit) => Ending::Exhausted(*limit),
        Ending::Cancelled => Ending::Cancelled,
    }
}

/// Polls a guest until it ends or its deadline passes; `None` where it passed.
///
/// Time inside a poll is the guest's; time between two polls, where the guest was suspended in a host call, is the host's.
async fn watched<T>(guest: impl Future<Output = T>, pulse: &Pulse, deadline: Duration) -> (Option<T>, Times) {
    let started = now();
    let until = started.checked_add(deadline);
    let mut guest = pin!(guest);
    let mut timer: Option<Pin<Box<tokio::time::Sleep>>> = None;
    let mut times = Times::default();
    let mut from = started;
    let mut suspended: Option<Instant> = None;
    let ran = poll_fn(|cx| {
        if let Some(since) = suspended.take() {
            from = now();
            if pulse.in_host() {
                times.host += from - since;
                pulse.slept(from - since);
            }
        }
        let polled = guest.as_mut().poll(cx);
        let to = now();
        times.guest += to - from;
        times.wall = to - started;
        if let Poll::Ready(value) = polled {
            return Poll::Ready(Some(value));
        }
        suspended = Some(to);
        let Some(until) = until else { return Poll::Pending };
        if to >= until {
            return Poll::Ready(None);
        }
        // Most calls end in their first poll and never need a timer.
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await;
    (ran, times)
}

/// What was copied out of the guest when too much was: the arguments of a host call, with the guest still on the stack, or
/// the result of the call, after it.
fn copied(error: &wasmtime::Error) -> LimitKind {
    match error.downcast_ref::<WasmBacktrace>() {
        Some(_) => LimitKind::HostBytes,
        None => LimitKind::Output,
    }
}

/// Limits that the engine reports in words only. A test meets each, so that a changed word does not go unseen.
fn limit_in_words(text: &str, copying: LimitKind) -> Option<LimitKind> {
    let words = [
        ("fuel allocated for hostcalls has been exhausted", copying),
        ("resource limit exceeded: instance count", LimitKind::Instances),
        ("resource limit exceeded: memory count", LimitKind::Instances),
        ("resource limit exceeded: table count", LimitKind::Instances),
        ("store handle limit exceeded", LimitKind::Handles),
    ];
    words.iter().find(|(words, _)| text.contains(words)).map(|(_, kind)| *kind)
}

fn trapped(error: &wasmtime::Error, trap: Option<EngineTrap>) -> Trap {
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(|backtrace| {
        let frames = backtrace.frames().iter();
        frames
            .map(|frame| Frame {
                function: function_name(frame.func_name(), frame.func_index()),
                offset: frame.module_offset().map(|offset| offset as u64),
            })
            .collect()
    });
    let (code, message) = match trap {
        Some(trap) => (code(trap), trap.to_string()),
        None => ("host".to_owned(), error.root_cause().to_string().chars().take(MESSAGE_CHARS_MAX).collect()),
    };
    Trap { code, message, backtrace: backtrace.unwrap_or_default() }
}

/// The name that the module carries, demangled where a Rust compiler mangled it, without its hash.
///
/// A few hundred bytes can stand for a name of any length, so what would be longer than [`NAME_BYTES_MAX`] stays mangled.
fn function_name(name: Option<&str>, index: u32) -> String {
    let Some(name) = name else { return format!("wasm[{index}]") };
    let mut shown = Short(String::new());
    match write!(shown, "{:#}", rustc_demangle::demangle(name)) {
        Ok(()) => shown.0,
        Err(_) => name.chars().take(NAME_BYTES_MAX).collect(),
    }
}

/// The longest message of a trap that the host raised; it may quote the guest.
const MESSAGE_CHARS_MAX: usize = 4_096;

/// The longest function name in a backtrace.
const NAME_BYTES_MAX: usize = 256;

/// A text that refuses to grow beyond the bound.
struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > NAME_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// The trap's name in snake case: `UnreachableCodeReached` is `unreachable`, as the instruction is called.
fn code(trap: EngineTrap) -> String {
    match trap {
        EngineTrap::UnreachableCodeReached => "unreachable".to_owned(),
        other => {
            let mut text = String::new();
            for letter in format!("{other:?}").chars() {
                if letter.is_uppercase() && !text.is_empty() {
                    text.push('_');
                }
                text.extend(letter.to_lowercase());
            }
            text
        }
    }
}
