//! The seam for strangers: what the host can lend to a guest, and to which program it lends it.
//!
//! Nothing here knows what a capability does. Our own capabilities use only what stands in this file.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmtime::component::HasData;

use crate::error::{Error, ErrorKind, Result};
use crate::host::{Host, Slot, Stop};
use crate::limits::LimitKind;
use crate::outcome::{CapabilityUsage, Ending};
use crate::tally::Tally;
use crate::wasi::{GuestClocks, StandardStreams};

/// Something that the host can lend.
///
/// A capability is registered once with the [`Builder`](crate::Builder), granted per program by its id, linked where a
/// program imports what it [`serves`](Capability::serves), opened at the start of each call and closed at its end,
/// exactly once, whatever the [`Ending`].
///
/// ```
#[doc = include_str!("../examples/capability.rs")]
/// ```
#[async_trait]
pub trait Capability: Send + Sync + 'static {
    /// What one program may do with it. `()` where there is nothing to choose.
    ///
    /// The first example of its schema is what a program without a grant is told to begin with. A text in it that two programs
    /// should not have in common is marked with `#[schemars(extend("x-program-name" = true))]`: there goes the program's
    /// name, where the host gives it one ([`Load::named`](crate::Load::named)).
    type Grant: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// What lives from `open` to `close`. Its type tells capabilities apart: two of one executor never share it.
    type State: Send + 'static;

    /// The name in grants and in [`Usage::capabilities`](crate::Usage::capabilities).
    fn id(&self) -> &str;

    /// The imports that it serves: WIT interfaces (without a version: every version that `link` adds), or modules that
    /// core modules import from.
    fn serves(&self) -> &[&str];

    /// Adds its functions to a linker for components. Called once an engine, not once a call: no state is captured;
    /// [`Host::view`] finds it.
    fn link(_linker: &mut wasmtime::component::Linker<Host>) -> wasmtime::Result<()> {
        Ok(())
    }

    /// Adds its functions to a linker for core modules.
    fn link_core(_linker: &mut wasmtime::Linker<Host>) -> wasmtime::Result<()> {
        Ok(())
    }

    /// Looks at a grant when a program is loaded, beyond its schema: what this host lacks for it is told then, not in the
    /// first call. Cheap.
    fn check(&self, grant: &Self::Grant) -> Result<()> {
        let _ = grant;
        Ok(())
    }

    /// Whether it listens to what guests print. Default false. Where it is granted, it is then opened for every program that
    /// can print, though the program imports nothing that it serves; see [`StandardOutput::listen`].
    ///
    /// [`StandardOutput::listen`]: crate::StandardOutput::listen
    fn listens(&self) -> bool {
        false
    }

    /// Makes the state of one call. Cheap: what takes time belongs into the first use.
    fn open(&self, grant: &Self::Grant, call: &CallContext) -> Result<Self::State>;

    /// Ends the call's state: commits or discards. Runs outside the guest's deadline, within
    /// [`Bounds::close_grace`](crate::Bounds::close_grace). An error makes `run` an error that carries the outcome.
    async fn close(&self, state: Self::State, ending: &Ending<()>) -> Result<()> {
        let _ = (state, ending);
        Ok(())
    }

    /// Whether `close` publishes something that an HTTP response must wait for. Default true: the response head is sent
    /// after a successful close. A grant that says `stream` answers false.
    fn commits(&self, grant: &Self::Grant) -> bool {
        let _ = grant;
        true
    }
}

/// What a capability is told of the call it is opened for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallContext {
    /// Tells this opening from every other of the executor; stands in logs.
    pub call_id: u64,
    /// The module's SHA-256, in hexadecimal.
    pub program: Arc<str>,
    /// Time that the guest has from its start.
    pub deadline: Duration,
    /// The caller's key for work that must not be done twice, the same in every attempt.
    pub idempotency_key: Option<String>,
    /// Counts the attempts at the same work, from 1.
    pub attempt: u32,
    /// The guest's standard streams; `None` where it imports nothing of WASI, and so has none.
    pub streams: Option<StandardStreams>,
    /// The guest's clocks; `None` as with the streams.
    pub clocks: Option<GuestClocks>,
    /// What the capability uses for this call outside its own host calls.
    pub account: Account,
}

/// The account of one capability within one call, for what it does outside its own host calls: in a stream of bytes that
/// the guest reads by `wasi:io`, or in a task beside the guest. Within a host call, [`View::charge`] is it.
#[derive(Clone, Debug)]
pub struct Account(Arc<Used>);

#[derive(Debug)]
struct Used {
    tally: Arc<Tally>,
    calls: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    told: Mutex<Told>,
}

/// What a capability says in its own words.
#[derive(Debug, Default)]
struct Told {
    counts: BTreeMap<&'static str, u64>,
    report: Option<Box<Value>>,
}

impl Account {
    pub(crate) fn new(tally: &Arc<Tally>) -> Self {
        let none = || AtomicU64::new(0);
        let tally = Arc::clone(tally);
        Account(Arc::new(Used { tally, calls: none(), bytes_in: none(), bytes_out: none(), told: Mutex::default() }))
    }

    /// Counts an operation in [`CapabilityUsage::calls`](crate::CapabilityUsage::calls), beside the host calls.
    pub fn operation(&self) {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Charges bytes moved from outside to the guest, and from the guest outside.
    ///
    /// Beyond [`Limits::host_bytes`](crate::Limits::host_bytes) it is an error, which a stream passes on as its trap; where
    /// nobody passes it on, the guest is stopped when its next host call returns.
    pub fn charge(&self, bytes_in: u64, bytes_out: u64) -> wasmtime::Result<()> {
        self.0.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        self.0.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
        match self.0.tally.moved.spend(bytes_in.saturating_add(bytes_out)) {
            true => Ok(()),
            false => Err(Stop(LimitKind::HostBytes).into()),
        }
    }

    /// Counts something in [`CapabilityUsage::counts`](crate::CapabilityUsage::counts). A close counts too: what it did is
    /// added to the bill when it is done.
    pub fn count(&self, name: &'static str, more: u64) {
        let mut told = self.told();
        let count = told.counts.entry(name).or_default();
        *count = count.saturating_add(more);
    }

    /// Says what was done, in [`CapabilityUsage::report`](crate::CapabilityUsage::report), in the place of what was said
    /// before. Whoever says it bounds it.
    pub fn report(&self, report: Value) {
        self.told().report = Some(Box::new(report));
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was used to the bill, once.
    pub(crate) fn settle(&self, usage: &mut CapabilityUsage) {
        usage.calls += self.0.calls.swap(0, Ordering::Relaxed);
        usage.bytes_in = usage.bytes_in.saturating_add(self.0.bytes_in.swap(0, Ordering::Relaxed));
        usage.bytes_out = usage.bytes_out.saturating_add(self.0.bytes_out.swap(0, Ordering::Relaxed));
        let Told { counts, report } = std::mem::take(&mut *self.told());
        usage.add(CapabilityUsage { counts, report, ..CapabilityUsage::default() });
    }
}

/// What one program may use: for each capability's id, its grant. Empty grants nothing.
///
/// ```
/// # use runner_core::Grants;
/// let grants = Grants::none().grant("counter", serde_json::json!({ "max": 10 }));
/// let same: Grants = serde_json::from_str(r#"{ "counter": { "max": 10 } }"#).unwrap();
/// assert_eq!(grants, same);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grants(BTreeMap<String, Value>);

impl Grants {
    /// Grants nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Grants one capability, or one host function by the interface that it stands in (grant `null`).
    #[must_use]
    pub fn grant(mut self, id: impl Into<String>, grant: impl Into<Value>) -> Self {
        self.0.insert(id.into(), grant.into());
        self
    }

    /// The grant for a capability.
    pub fn get(&self, id: &str) -> Option<&Value> {
        self.0.get(id)
    }

    /// The ids granted, in alphabetical order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// A capability's state within one host call, with the meter of the call.
///
/// Generated `Host` traits are implemented for it: `impl store::Host for View<'_, Kv>`. Making a view counts one host
/// call for the capability.
pub struct View<'a, S> {
    state: &'a mut S,
    /// The resources of the call's guest; bounded by [`Limits::handles`](crate::Limits::handles).
    pub table: &'a mut wasmtime::component::ResourceTable,
    meter: Charge<'a>,
}

impl<S> View<'_, S> {
    /// Charges bytes that the capability moves in this host call: from outside to the guest, and from the guest outside.
    ///
    /// Beyond [`Limits::host_bytes`](crate::Limits::host_bytes) it is an error, which the host function passes on with
    /// `?` to stop the guest; a function that cannot pass it on is stopped when it returns.
    pub fn charge(&mut self, bytes_in: u64, bytes_out: u64) -> wasmtime::Result<()> {
        self.meter.charge(bytes_in, bytes_out)
    }

    /// How many host calls the guest has made by now, of whatever capability, this one included.
    pub fn host_calls(&self) -> u64 {
        self.meter.host_calls()
    }
}

impl<S> Deref for View<'_, S> {
    type Target = S;
    fn deref(&self) -> &S {
        self.state
    }
}

impl<S> DerefMut for View<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        self.state
    }
}

pub(crate) use charge::Charge;

mod charge {
    use std::time::Duration;

    use super::LimitKind;
    use crate::clock::{Instant, now};
    use crate::host::{Meter, Stop};
    use crate::outcome::CapabilityUsage;

    /// Bytes from which a host call's time is measured: a clock read costs a third of a host call.
    const MEASURED_BYTES: u64 = 4 << 10;

    /// The open account of one host call.
    pub(crate) struct Charge<'a> {
        meter: &'a mut Meter,
        usage: &'a mut CapabilityUsage,
        /// When the measured part began, and how long the call had been suspended by then: that time is counted elsewhere.
        measured_from: Option<(Instant, Duration)>,
    }

    impl<'a> Charge<'a> {
        #[inline]
        pub(crate) fn open(meter: &'a mut Meter, usage: &'a mut CapabilityUsage) -> Self {
            usage.calls += 1;
            Charge { meter, usage, measured_from: None }
        }

        pub(crate) fn host_calls(&self) -> u64 {
            self.meter.host_calls
        }

        pub(crate) fn charge(&mut self, bytes_in: u64, bytes_out: u64) -> wasmtime::Result<()> {
            self.usage.bytes_in = self.usage.bytes_in.saturating_add(bytes_in);
            self.usage.bytes_out = self.usage.bytes_out.saturating_add(bytes_out);
            let bytes = bytes_in.saturating_add(bytes_out);
            if bytes > MEASURED_BYTES && self.measured_from.is_none() {
                self.measured_from = Some((now(), self.meter.tally.slept()));
            }
            match self.meter.tally.moved.spend(bytes) {
                true => Ok(()),
                false => Err(Stop(LimitKind::HostBytes).into()),
            }
        }
    }

    impl Drop for Charge<'_> {
        #[inline]
        fn drop(&mut self) {
            if let Some((from, slept)) = self.measured_from {
                let suspended = self.meter.tally.slept().saturating_sub(slept);
                self.meter.host_measured += (now() - from).saturating_sub(suspended);
            }
        }
    }
}

impl<'a, S> View<'a, S> {
    #[inline]
    pub(crate) fn new(state: &'a mut S, table: &'a mut wasmtime::component::ResourceTable, meter: Charge<'a>) -> Self {
        View { state, table, meter }
    }
}

/// Tells wasmtime's generated `add_to_linker` that the host's data is a [`View`] of `S`:
/// `store::add_to_linker::<_, HasView<Kv>>(linker, Host::view)`.
pub struct HasView<S>(PhantomData<S>);

impl<S: 'static> HasData for HasView<S> {
    type Data<'a> = View<'a, S>;
}

/// A registered capability, its types forgotten.
#[async_trait]
pub(crate) trait Lender: Send + Sync {
    fn id(&self) -> &str;
    fn serves(&self) -> Vec<String>;
    fn state_type(&self) -> TypeId;
    /// Of the component's imports that it serves, the names that it has to be linked under; none where it knows its own.
    fn linked_as(&self, _imported: Vec<String>) -> Vec<String> {
        Vec::new()
    }
    fn link(&self, linker: &mut wasmtime::component::Linker<Host>, names: &[String]) -> wasmtime::Result<()>;
    fn link_core(&self, linker: &mut wasmtime::Linker<Host>) -> wasmtime::Result<()>;
    fn grant_schema(&self) -> Value;
    /// Whether it is opened for programs that can print, whatever they import.
    fn listens(&self) -> bool {
        false
    }
    /// Whether there is anything to do at the end of a call.
    fn closes(&self) -> bool {
        true
    }
    /// Reads a grant; the answer also says whether its close commits.
    fn lend(self: Arc<Self>, grant: &Value) -> Result<Loan>;
    fn open(&self, grant: &(dyn Any + Send + Sync), call: &CallContext) -> Result<Box<dyn Any + Send>>;
    async fn close(&self, state: Box<dyn Any + Send>, ending: &Ending<()>) -> Result<()>;
}

/// A capability granted to a program.
pub(crate) struct Loan {
    pub(crate) lender: Arc<dyn Lender>,
    grant: Box<dyn Any + Send + Sync>,
    pub(crate) commits: bool,
    /// See [`Lender::linked_as`].
    pub(crate) linked_as: Vec<String>,
}

impl Loan {
    pub(crate) fn new(lender: Arc<dyn Lender>, grant: Box<dyn Any + Send + Sync>, commits: bool) -> Self {
        Loan { lender, grant, commits, linked_as: Vec::new() }
    }

    pub(crate) fn open(&self, call: &CallContext) -> Result<Slot> {
        let state = self.lender.open(self.grant.as_ref(), call)?;
        Ok(Slot::new(Arc::clone(&self.lender), state, call.account.clone()))
    }
}

/// The typed side of a [`Lender`].
pub(crate) struct Registered<C>(pub(crate) C);

#[async_trait]
impl<C: Capability> Lender for Registered<C> {
    fn id(&self) -> &str {
        self.0.id()
    }

    fn serves(&self) -> Vec<String> {
        self.0.serves().iter().map(|name| (*name).to_owned()).collect()
    }

    fn state_type(&self) -> TypeId {
        TypeId::of::<C::State>()
    }

    fn link(&self, linker: &mut wasmtime::component::Linker<Host>, _names: &[String]) -> wasmtime::Result<()> {
        C::link(linker)
    }

    fn link_core(&self, linker: &mut wasmtime::Linker<Host>) -> wasmtime::Result<()> {
        C::link_core(linker)
    }

    fn grant_schema(&self) -> Value {
        schemars::schema_for!(C::Grant).to_value()
    }

    fn listens(&self) -> bool {
        self.0.listens()
    }

    fn lend(self: Arc<Self>, grant: &Value) -> Result<Loan> {
        let grant: C::Grant = C::Grant::deserialize(grant).map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("grant for `{}` does not fit its schema", self.0.id())).source(error)
        })?;
        self.0.check(&grant)?;
        let commits = self.0.commits(&grant);
        Ok(Loan::new(self, Box::new(grant), commits))
    }

    fn open(&self, grant: &(dyn Any + Send + Sync), call: &CallContext) -> Result<Box<dyn Any + Send>> {
        let grant = grant.downcast_ref::<C::Grant>().expect("`lend` made this grant");
        Ok(Box::new(self.0.open(grant, call)?))
    }

    async fn close(&self, state: Box<dyn Any + Send>, ending: &Ending<()>) -> Result<()> {
        let state = state.downcast::<C::State>().expect("`open` made this state");
        self.0.close(*state, ending).await
    }
}
