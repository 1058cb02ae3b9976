//! One store from its opening to its end: the limits set, the guest watched, the capabilities closed exactly once.
//!
//! It knows how to run any future over a store; what the future calls is the business of `call`, `instance` and `http`.

use std::fmt::{self, Write};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap as EngineTrap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::admission::Place;
use crate::capability::{Account, CallContext};
use crate::clock::{Instant, Ticker, now};
use crate::error::{Error, Result};
use crate::host::{Host, Slot, Stop};
use crate::limits::{LimitKind, Limits, Metering};
use crate::outcome::{CapabilityUsage, Ending, Failure, Frame, Outcome, Trap, Usage};
use crate::program::Program;
use crate::tally::Tally;
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
    pub(crate) tally: Arc<Tally>,
    times: Times,
    /// How the last call ended, for the capabilities of a live instance; `None` before the first.
    last: Option<Ending<()>>,
    place: Option<Place>,
    /// Where capabilities close although the session is dropped outside the runtime; `None` where none were lent.
    runtime: Option<Handle>,
    /// Tells sessions apart.
    id: u64,
    /// What its capabilities were told when they were opened last; before that, its own.
    call_id: u64,
    /// Whether a call is under way: the ticker runs and `shutdown` waits.
    busy: bool,
}

/// Where the time of one call went.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    guest: Duration,
    host: Duration,
    wall: Duration,
    instantiate: Duration,
}

/// A call that is counted as under way until this is dropped.
struct Busy<'a>(&'a Ticker);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Session {
    /// Waits for a place, opens the program's capabilities, makes the store, and starts the account of its first call.
    pub(crate) async fn open(program: &Program, setting: &Setting) -> Result<Self> {
        let (executor, limits) = (program.executor(), &setting.limits);
        // Before the place: from here on `shutdown` waits for this call or turns it away.
        executor.ticker().enter()?;
        let busy = Busy(executor.ticker());
        let place = executor.admission().enter(limits.deadline).await?;
        let tally = Arc::<Tally>::default();
        let mut host = Host::new(limits, executor.bounds(), Arc::clone(executor.ticker()), Arc::clone(&tally));
        if program.needs_wasi() {
            host.wasi = Some(Box::new(Wasi::new(program.is_component(), &setting.stdio, &tally)));
        }
        let mut store = Store::new(program.engine(), host);
        store.limiter(|host| &mut host.meter);
        // A guest that imports nothing cannot call the host: there is nothing to count.
        if !program.imports().is_empty() {
            store.call_hook(Host::cross);
        }
        if program.metering() == Metering::Epochs {
            store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        }
        store.set_max_component_handles(limits.handles as usize);
        std::mem::forget(busy);
        let id = executor.next_call();
        let mut session = Session {
            store: Some(store),
            program: program.clone(),
            limits: limits.clone(),
            tally,
            times: Times::default(),
            last: None,
            place: Some(place),
            runtime: (!program.loans().is_empty()).then(Handle::current),
            id,
            call_id: id,
            busy: true,
        };
        session.refuel()?;
        session.bound_copies(1);
        session.lend(setting.idempotency_key.as_deref(), setting.attempt)?;
        Ok(session)
    }

    /// Opens the program's capabilities where they are not open: all, or none.
    pub(crate) fn lend(&mut self, idempotency_key: Option<&str>, attempt: Option<u32>) -> Result<()> {
        if self.program.loans().is_empty() || !self.store().data().slots.is_empty() {
            return Ok(());
        }
        self.call_id = self.program.executor().next_call();
        let mut context = CallContext {
            call_id: self.call_id,
            program: self.program.digest().into(),
            deadline: self.limits.deadline,
            idempotency_key: idempotency_key.map(str::to_owned),
            attempt: attempt.unwrap_or(1),
            streams: self.store().data().wasi.as_ref().map(|wasi| wasi.streams.clone()),
            clocks: self.store().data().wasi.as_ref().map(|wasi| wasi.clocks.clone()),
            account: Account::new(&self.tally),
        };
        let mut slots = Vec::with_capacity(self.program.loans().len());
        for (at, loan) in self.program.loans().iter().enumerate() {
            if at > 0 {
                // To each its own.
                context.account = Account::new(&self.tally);
            }
            // A panic in one must not keep the others from closing.
            let opened = catch_unwind(AssertUnwindSafe(|| loan.open(&context))).unwrap_or_else(|_| {
                let id = loan.lender.id();
                Err(Error::internal(format!("capability `{id}` panicked when it was opened")))
            });
            match opened {
                Ok(slot) => slots.push(slot),
                Err(error) => {
                    if let Some(closing) = Closing::of(slots, Ending::Cancelled, None) {
                        // Nobody waits for it but `shutdown`.
                        drop(self.start_closing(closing));
                    }
                    return Err(error);
                }
            }
        }
        self.store().data_mut().slots = slots;
        Ok(())
    }

    pub(crate) fn store(&mut self) -> &mut Store<Host> {
        self.store.as_mut().expect("a session has its store until it ends")
    }

    /// Starts the account of a live instance's next call: limits from now on, usage from zero. What is the instance's for
    /// life (memory, tables, instances, handles) stays as it was started with.
    ///
    /// # Errors
    /// `Unavailable` once the executor is shutting down.
    pub(crate) fn begin(&mut self, limits: &Limits) -> Result<()> {
        if !self.busy {
            self.program.executor().ticker().enter()?;
            self.busy = true;
        }
        let Limits { memory_bytes, table_elements, instances, handles, .. } = self.limits;
        self.limits = Limits { memory_bytes, table_elements, instances, handles, ..limits.clone() };
        self.times = Times::default();
        // Until the call has ended in some other way, its caller has gone away.
        self.last = Some(Ending::Cancelled);
        let store = self.store.as_mut().expect("a session has its store until it ends");
        store.data_mut().meter.restart(&self.limits);
        self.refuel()
    }

    /// What the guest may do until it yields or ends.
    fn refuel(&mut self) -> Result<()> {
        let (metering, fuel) = (self.program.metering(), self.limits.fuel);
        let store = self.store();
        match metering {
            Metering::Epochs => store.set_epoch_deadline(1),
            Metering::Fuel => {
                let set =
                    store.set_fuel(fuel).and_then(|()| store.fuel_async_yield_interval(Some(FUEL_BETWEEN_YIELDS)));
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

    /// What the call under way is known by in logs.
    pub(crate) fn call_id(&self) -> u64 {
        self.call_id
    }

    /// Runs the guest until it ends or its deadline passes, and keeps the time. `run` is told when it started.
    ///
    /// Time inside a poll is the guest's; time between two polls, where the guest was suspended in a host call, is the
    /// host's. Where the future is dropped, the times are those of its last poll.
    pub(crate) async fn watch<T>(
        &mut self,
        run: impl AsyncFnOnce(&mut Store<Host>, Instant) -> wasmtime::Result<T>,
    ) -> Result<Ending<T>> {
        let ran = {
            let Session { store, tally, times, limits, .. } = self;
            let store = store.as_mut().expect("a session has its store until it ends");
            let started = now();
            let until = started.checked_add(limits.deadline);
            let mut guest = pin!(run(store, started));
            let mut timer: Option<Pin<Box<tokio::time::Sleep>>> = None;
            let mut from = started;
            let mut suspended: Option<Instant> = None;
            poll_fn(|cx| {
                if let Some(since) = suspended.take() {
                    from = now();
                    if tally.in_host() {
                        times.host += from - since;
                        tally.add_sleep(from - since);
                    }
                }
                let polled = guest.as_mut().poll(cx);
                let to = now();
                times.guest += to - from;
                times.wall = to - started;
                if let Poll::Ready(ran) = polled {
                    return Poll::Ready(Some(ran));
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
            .await
        };
        match ran {
            Some(Ok(value)) => Ok(Ending::Returned(value)),
            Some(Err(error)) => self.ending(error),
            None => Ok(self.exhausted(LimitKind::Deadline)),
        }
    }

    /// Notes how long instantiation took, by [`Session::watch`]'s future; `None` where it was all that there was time for.
    pub(crate) fn instantiated(&mut self, took: Option<Duration>) {
        self.times.instantiate = took.unwrap_or(self.times.wall);
    }

    /// What the guest has not used of its deadline.
    pub(crate) fn time_left(&self) -> Duration {
        self.limits.deadline.saturating_sub(self.times.wall)
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
            return Ok(Ending::Failed(Box::new(Failure {
                code: "exit".to_owned(),
                message: format!("the guest exited with code {code}"),
                retryable: false,
                exit_code: Some(*code),
                value: None,
            })));
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
            (_, Some(limit)) => Ending::Exhausted(limit),
            (Some(trap), None) => Ending::Trapped(trapped(&error, Some(trap)).into()),
            (None, None) => match limit_in_words(&error.root_cause().to_string(), copied(&error)) {
                Some(kind) => self.exhausted(kind),
                None => Ending::Trapped(trapped(&error, None).into()),
            },
        })
    }

    /// What one call of a live instance did.
    pub(crate) fn outcome<T>(&mut self, ending: Ending<T>) -> Outcome<T> {
        let usage = self.usage();
        let (stdout, stderr) = self.printed();
        Outcome { call_id: self.call_id, ending, usage, stdout, stderr }
    }

    /// Remembers how a live instance's last call ended: its capabilities are closed with it.
    pub(crate) fn remember<T>(&mut self, ending: &Ending<T>) {
        self.last = Some(without_value(ending));
    }

    /// Marks a live instance as idle until its next call.
    pub(crate) fn rest(&mut self) {
        if std::mem::take(&mut self.busy) {
            self.program.executor().ticker().leave();
        }
    }

    fn printed(&mut self) -> (Vec<u8>, Vec<u8>) {
        match &self.store().data().wasi {
            Some(wasi) => (wasi.streams.stdout.take(), wasi.streams.stderr.take()),
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
            .map(|slot| (slot.take_usage(), slot))
            .filter(|(usage, _)| *usage != CapabilityUsage::default())
            .map(|(usage, slot)| (slot.lender.id().to_owned(), usage))
            .collect();
        let measured = host.meter.host_measured;
        Usage {
            fuel,
            guest: times.guest.saturating_sub(measured),
            host: times.host + measured,
            wall: times.wall,
            compile,
            instantiate: times.instantiate,
            memory_peak_bytes: host.meter.memory_peak_bytes,
            host_calls: host.meter.host_calls,
            capabilities,
        }
    }

    /// Ends the session after one call: frees the store, closes the capabilities, gives the outcome.
    ///
    /// # Errors
    /// Where the host could not do its part, in the call or in a close: with the outcome.
    pub(crate) async fn finish<T: Into<Value>>(self, ran: Result<Ending<T>>) -> Result<Outcome<T>> {
        match self.end(ran) {
            (ended, None) => ended,
            (ended, Some(closing)) => after(ended, closing).await,
        }
    }

    /// The first half of [`Session::finish`], which is all of it where nothing is open: an outcome is large, and each await
    /// copies it.
    pub(crate) fn end<T: Into<Value>>(mut self, ran: Result<Ending<T>>) -> (Result<Outcome<T>>, Option<Closed>) {
        let ended = match ran {
            Ok(ending) => {
                self.remember(&ending);
                Ok(self.outcome(ending))
            }
            Err(error) => {
                self.last = Some(Ending::Cancelled);
                Err(error.with_outcome(self.outcome(Ending::Cancelled)))
            }
        };
        let closing = self.take_closing().map(|closing| self.start_closing(closing));
        (ended, closing)
    }

    /// Ends the session with the last ending. Gives what that took.
    pub(crate) async fn close(mut self) -> (Result<()>, Used) {
        match self.take_closing() {
            Some(closing) => closed(self.start_closing(closing).await),
            None => (Ok(()), Used::new()),
        }
    }

    /// Closes what is open, with the last ending; the store stays. Gives what that took.
    pub(crate) async fn give_back(&mut self) -> (Result<()>, Used) {
        let slots = std::mem::take(&mut self.store().data_mut().slots);
        let ending = self.last.clone().unwrap_or(Ending::Cancelled);
        match Closing::of(slots, ending, None) {
            Some(closing) => closed(self.start_closing(closing).await),
            None => (Ok(()), Used::new()),
        }
    }

    /// On a task of its own: a caller that goes away during the close does not interrupt it.
    fn start_closing(&self, closing: Closing) -> Closed {
        let executor = self.program.executor();
        let runtime = self.runtime.as_ref().expect("what is open was opened in a runtime");
        executor.janitor().spawn_on(closing.run(executor.bounds().close_grace), runtime)
    }

    /// Takes what must still be closed, and drops the store; `None` where nothing is open.
    fn take_closing(&mut self) -> Option<Closing> {
        let mut store = self.store.take()?;
        let slots = std::mem::take(&mut store.data_mut().slots);
        drop(store);
        Closing::of(slots, self.last.take().unwrap_or(Ending::Cancelled), self.place.take())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let closing = self.take_closing();
        if let (Some(closing), Some(runtime)) = (closing, &self.runtime) {
            let grace = self.program.executor().bounds().close_grace;
            // The caller is gone: nobody waits for the answer, `shutdown` waits for the work.
            let close = async move {
                if let (Err(error), _) = closing.run(grace).await {
                    tracing::warn!(%error, "a capability did not close after its caller went away");
                }
            };
            self.program.executor().janitor().spawn_on(close, runtime);
        }
        // After its closes are the janitor's: `shutdown` waits for the calls first.
        self.rest();
    }
}

/// What capabilities used in their close, by id.
pub(crate) type Used = Vec<(String, CapabilityUsage)>;

/// A close under way.
pub(crate) type Closed = JoinHandle<(Result<()>, Used)>;

/// The end of a call once its capabilities are closed.
pub(crate) async fn after<T: Into<Value>>(ended: Result<Outcome<T>>, closing: Closed) -> Result<Outcome<T>> {
    let (closed, used) = closed(closing.await);
    match (ended, closed) {
        (Ok(mut outcome), closed) => {
            outcome.usage.add(used);
            match closed {
                Ok(()) => Ok(outcome),
                Err(error) => Err(error.with_outcome(outcome.map(Into::into))),
            }
        }
        // What went wrong first is what the caller hears; the close has been logged.
        (Err(error), _) => Err(error.and_used(used)),
    }
}

fn closed(joined: Result<(Result<()>, Used), JoinError>) -> (Result<()>, Used) {
    joined
        .unwrap_or_else(|error| (Err(Error::internal("a capability panicked in its close").source(error)), Used::new()))
}

/// Open capabilities on their way to the end. Holds its place among the calls until then.
struct Closing {
    slots: Vec<Slot>,
    ending: Ending<()>,
    place: Option<Place>,
}

impl Closing {
    /// `None` where nothing has to be done.
    fn of(mut slots: Vec<Slot>, ending: Ending<()>, place: Option<Place>) -> Option<Self> {
        slots.retain(|slot| slot.lender.closes());
        (!slots.is_empty()).then_some(Closing { slots, ending, place })
    }

    async fn run(mut self, grace: Duration) -> (Result<()>, Used) {
        let (mut first, mut used) = (None, Used::new());
        // A grace without end is a year's.
        let mut from = now();
        let end = from + grace.min(Duration::from_secs(365 * 24 * 60 * 60));
        while let Some(mut slot) = self.slots.pop() {
            // One that hangs takes its share of what is left, not that of those that come after it.
            let until = from + end.saturating_duration_since(from) / (self.slots.len() as u32 + 1);
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
                let share = until - from;
                Err(Error::unavailable(format!("capability `{id}` did not close within {share:?}")))
            });
            from = now();
            if let Err(error) = closed {
                tracing::warn!(capability = id, %error, "a capability did not close");
                first.get_or_insert(error);
            }
            let usage = slot.take_usage();
            if usage != CapabilityUsage::default() {
                used.push((id, usage));
            }
        }
        drop(self.place.take());
        (first.map_or(Ok(()), Err), used)
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
