//! One store from its opening to its end: the limits set, the guest watched, the capabilities closed exactly once.
//!
//! It knows how to run any future over a store; what the future calls is the business of `call`, `instance` and `http`.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio_util::task::task_tracker::TaskTrackerToken;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap as EngineTrap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::admission::Place;
use crate::capability::CallContext;
use crate::clock::{Active, Instant, now};
use crate::error::{Error, Result};
use crate::host::{Host, Slot, Stop};
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
    /// Held from `begin` to the end of the call: the ticker runs and `shutdown` waits as long.
    busy: Option<Busy>,
}

/// A call under way.
struct Busy {
    _active: Active,
    _call: TaskTrackerToken,
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
        let place = executor.admission().enter(setting.limits.deadline).await?;
        let mut host = Host::new(&setting.limits, Arc::clone(executor.ticker()));
        let output_left = Arc::new(AtomicU64::new(setting.limits.output_bytes));
        if program.needs_wasi() {
            host.wasi = Some(Box::new(Wasi::new(program.is_component(), &setting.stdio, &output_left)));
        }
        let mut store = Store::new(program.engine(), host);
        store.limiter(|host| &mut host.meter);
        store.call_hook(Host::cross);
        store.set_hostcall_fuel(usize::try_from(setting.limits.output_bytes).unwrap_or(usize::MAX));
        store.set_max_component_handles(setting.limits.handles as usize);
        let mut session = Session {
            store: Some(store),
            program: program.clone(),
            limits: setting.limits.clone(),
            output_left,
            times: Times::default(),
            last: None,
            place: Some(place),
            busy: None,
        };
        if !program.loans().is_empty() {
            let context = CallContext {
                call_id: executor.next_call(),
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

    /// Starts the account of the next call: limits from now on, usage from zero.
    pub(crate) fn begin(&mut self, limits: &Limits) -> Result<()> {
        self.limits = limits.clone();
        self.times = Times { instantiate: std::mem::take(&mut self.times.instantiate), ..Times::default() };
        self.output_left.store(limits.output_bytes, Ordering::Release);
        let (executor, metering) = (self.program.executor(), self.program.metering());
        self.busy = Some(Busy { _active: executor.ticker().enter(), _call: executor.calls().token() });
        let store = self.store();
        store.data_mut().meter.restart(limits);
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

    /// Bounds what one host call or one result may copy out of the guest: as much as a result of this type may weigh.
    pub(crate) fn bound_copies(&mut self, expansion: u64, limits: &Limits) {
        let bytes = limits.output_bytes.saturating_mul(expansion);
        self.store().set_hostcall_fuel(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Runs the guest until it ends or its deadline passes, and keeps the time.
    pub(crate) async fn watch<T>(
        &mut self,
        run: impl AsyncFnOnce(&mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<Ending<T>> {
        let deadline = self.limits.deadline;
        let (ran, times) = {
            let store = self.store.as_mut().expect("a session has its store until it ends");
            let in_host = Arc::clone(&store.data().meter.in_host);
            watched(run(store), &in_host, deadline).await
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
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return Err(Error::unavailable("the instance pool is full").source(error));
        }
        if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
            return Ok(self.exhausted(LimitKind::Handles));
        }
        let refused = self.store().data().meter.refused;
        let trap = error.downcast_ref::<EngineTrap>().copied();
        match (trap, refused) {
            (Some(EngineTrap::OutOfFuel), _) => return Ok(self.exhausted(LimitKind::Fuel)),
            (Some(EngineTrap::StackOverflow), _) => return Ok(self.exhausted(LimitKind::Stack)),
            // A trap right after a refused growth is the growth's.
            (_, Some(kind)) => return Ok(self.exhausted(kind)),
            _ => {}
        }
        let text = format!("{error:#}");
        if let Some(kind) = limit_in_words(&text) {
            return Ok(self.exhausted(kind));
        }
        match error.downcast::<Error>() {
            // A capability could not do its part, and said so in the host's own words.
            Ok(error) => Err(error),
            Err(error) => Ok(Ending::Trapped(trapped(&error, trap))),
        }
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
        let store = self.store();
        let fuel = store.get_fuel().ok().map(|left| fuel_allowed.saturating_sub(left));
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
        let closed = executor.janitor().spawn(closing.run(grace)).await;
        closed.map_err(|error| Error::internal("a capability panicked in its close").source(error))?
    }

    /// Takes what must still be closed, and drops the store; `None` where nothing is open.
    fn take_closing(&mut self) -> Option<Closing> {
        let mut store = self.store.take()?;
        let slots = std::mem::take(&mut store.data_mut().slots);
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
            self.program.executor().janitor().spawn(async move {
                if let Err(error) = closing.run(grace).await {
                    tracing::warn!(%error, "a capability did not close after its caller went away");
                }
            });
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
            let closed = tokio::time::timeout_at(until, slot.lender.close(state, &self.ending)).await;
            let closed = closed.unwrap_or_else(|_| {
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
async fn watched<T>(guest: impl Future<Output = T>, in_host: &AtomicBool, deadline: Duration) -> (Option<T>, Times) {
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
            if in_host.load(Ordering::Relaxed) {
                times.host += from - since;
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

/// Limits that the engine reports in words only. A test meets each, so that a changed word does not go unseen.
fn limit_in_words(text: &str) -> Option<LimitKind> {
    const WORDS: &[(&str, LimitKind)] = &[
        ("fuel allocated for hostcalls has been exhausted", LimitKind::Output),
        ("resource limit exceeded: instance count", LimitKind::Instances),
        ("resource limit exceeded: memory count", LimitKind::Instances),
        ("resource limit exceeded: table count", LimitKind::Instances),
        ("store handle limit exceeded", LimitKind::Handles),
    ];
    WORDS.iter().find(|(words, _)| text.contains(words)).map(|(_, kind)| *kind)
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
        None => ("host".to_owned(), error.root_cause().to_string()),
    };
    Trap { code, message, backtrace: backtrace.unwrap_or_default() }
}

/// The name that the module carries, demangled where a Rust compiler mangled it; for people, so without hashes.
fn function_name(name: Option<&str>, index: u32) -> String {
    name.map_or_else(|| format!("wasm[{index}]"), |name| format!("{:#}", rustc_demangle::demangle(name)))
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
