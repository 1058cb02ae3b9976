//! An instance that stays alive over several calls, for guests with state, and typed calls on it.

use std::marker::PhantomData;

use bytes::Bytes;
use serde_json::Value;
use wasmtime::component::{ComponentNamedList, Lift, Lower};
use wasmtime::{Store, WasmParams, WasmResults};

use crate::call::{Chosen, expansion, refused, settings, within_output};
use crate::clock::now;
use crate::error::{Error, ErrorKind, Result};
use crate::guest::{Arguments, Live, core_func, instantiate, invoke, weight};
use crate::http::InstanceHttp;
use crate::limits::Limits;
use crate::outcome::{CapabilityUsage, Ending, Outcome};
use crate::program::Program;
use crate::session::{Session, Setting};
use crate::signature::Entry;

/// An instance to be made up and started.
#[must_use = "an instance does nothing until `start`"]
#[derive(Clone, Debug)]
pub struct Start {
    program: Program,
    setting: Setting,
}

impl Start {
    pub(crate) fn new(program: Program) -> Self {
        let setting = Setting { limits: program.executor().limits().clone(), ..Setting::default() };
        Start { program, setting }
    }

    /// Arguments that the guest finds in its standard environment.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.setting.stdio.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// What the guest reads from its standard input, all calls together. Default nothing.
    pub fn stdin(mut self, stdin: impl Into<Bytes>) -> Self {
        self.setting.stdio.stdin = stdin.into();
        self
    }

    settings!();

    /// Makes the instance. It takes a place among the executor's calls for as long as it lives.
    ///
    /// # Errors
    /// `Invalid` with the outcome in [`Error::outcome`] where the guest does not start: it trapped or met a limit in its
    /// start function; otherwise as [`Call::run`](crate::Call::run).
    pub async fn start(self) -> Result<Instance> {
        let Start { program, setting } = self;
        let limits = setting.limits.clone();
        if setting.stdio.bytes() > limits.input_bytes {
            return Err(
                Error::invalid("the instance's input is over its limit").with_outcome(refused(&program, &limits))
            );
        }
        let mut session = Session::open(&program, &setting).await?;
        let mut took = None;
        let started = session
            .watch(async |store, started| {
                let live = instantiate(&program, store).await;
                took = Some(now() - started);
                live
            })
            .await;
        session.instantiated(took);
        match started {
            Ok(Ending::Returned(live)) => {
                session.remember(&Ending::Returned(()));
                let start = session.outcome(Ending::Returned(()));
                session.rest();
                Ok(Instance { session, live, limits, start, ended: false })
            }
            other => {
                let outcome = session.finish(other.map(|ending| ending.map(|_| Value::Null))).await?;
                Err(Error::invalid(format!("the instance does not start: {}", shown(&outcome.ending)))
                    .with_outcome(outcome))
            }
        }
    }
}

fn shown(ending: &Ending) -> String {
    match ending {
        Ending::Trapped(trap) => trap.message.clone(),
        Ending::Exhausted(limit) => format!("it met its limit on {limit}"),
        Ending::Failed(failure) => failure.message.clone(),
        Ending::Returned(_) | Ending::Cancelled => "it was stopped".to_owned(),
    }
}

/// A live instance. What it holds in memory stays from call to call.
///
/// Its capabilities are opened once, when it starts, and closed once, with the ending of its last call: by
/// [`Instance::close`], or in the background when it is dropped.
pub struct Instance {
    session: Session,
    live: Live,
    limits: Limits,
    start: Outcome<()>,
    /// A trap or a met limit leaves the guest's memory in no state to go on from.
    ended: bool,
}

impl Instance {
    /// What its start did and cost: compilation, instantiation, the module's own start function, what that printed.
    pub fn started(&self) -> &Outcome<()> {
        &self.start
    }

    /// A call of a function by name, with JSON in and out.
    pub fn call(&mut self, function: impl AsRef<str>) -> InstanceCall<'_> {
        let (function, limits) = (Chosen::of(&self.session.program, function.as_ref()), self.limits.clone());
        InstanceCall { instance: self, function, args: Value::Null, limits }
    }

    /// A function by its numeric types, found once and called many times: `instance.typed::<(i32, i32), i32>("add")`.
    ///
    /// It serves core modules and components alike. For strings and records of components see
    /// [`Instance::typed_component`].
    ///
    /// # Errors
    /// `NotFound` for an export that is not there, `Invalid` where its types are others.
    pub fn typed<P, R>(&mut self, function: &str) -> Result<Typed<P, R>>
    where
        P: WasmParams + ComponentNamedList + Lower + 'static,
        R: Number,
    {
        let program = self.session.program.clone();
        let store = self.session.store();
        let func = match (program.entry(function)?, self.live) {
            (Entry::Core { index, .. }, Live::Core(instance)) => {
                let func = core_func(instance, store, index).map_err(|error| mistyped(function, &error))?;
                Function::Core(func.typed::<P, R>(&*store).map_err(|error| mistyped(function, &error))?)
            }
            (Entry::Component { index, .. }, Live::Component(instance)) => Function::Component(
                instance.get_typed_func::<P, R::Wit>(store, index).map_err(|error| mistyped(function, &error))?,
            ),
            _ => return Err(Error::invalid(format!("export `{function}` is not a function"))),
        };
        Ok(Typed { func, session: self.session.id(), types: PhantomData })
    }

    /// A component's function by its Rust types: parameters and results are tuples.
    ///
    /// ```no_run
    /// # async fn f(mut instance: runner_core::Instance) -> runner_core::Result<()> {
    /// let greet = instance.typed_component::<(&str,), (String,)>("greet")?;
    /// let outcome = greet.call(&mut instance, ("world",)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Instance::typed`].
    pub fn typed_component<P, R>(&mut self, function: &str) -> Result<TypedComponent<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let program = self.session.program.clone();
        match (program.entry(function)?, self.live) {
            (Entry::Component { index, .. }, Live::Component(instance)) => {
                let func = instance.get_typed_func::<P, R>(self.session.store(), index);
                Ok(TypedComponent {
                    func: func.map_err(|error| mistyped(function, &error))?,
                    session: self.session.id(),
                })
            }
            _ => Err(Error::invalid(format!("export `{function}` is not a component's function"))),
        }
    }

    /// A request to the module's `wasi:http/incoming-handler`, which finds what earlier calls left in memory. It takes the
    /// instance; [`HttpEnded::reclaim`](crate::HttpEnded::reclaim) gives it back.
    ///
    /// Capabilities are opened and closed for each request.
    pub fn http<B>(self, request: http::Request<B>) -> InstanceHttp<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        InstanceHttp::new(self, request)
    }

    /// Limits of the calls that name none of their own, typed calls among them. Memory, tables, instances and
    /// handles stay as the instance was started with.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Ends the instance and closes its capabilities with the ending of its last call. Gives what they used in that, by id.
    ///
    /// # Errors
    /// What the first capability says that does not close.
    pub async fn close(self) -> Result<Vec<(String, CapabilityUsage)>> {
        let (closed, used) = self.session.close().await;
        closed.map(|()| used)
    }

    /// Starts the account of one call.
    fn begin(&mut self, limits: Option<&Limits>, expansion: u64) -> Result<UnderWay<'_>> {
        self.check_alive()?;
        let Instance { session, limits: own, ended, .. } = self;
        let under_way = UnderWay { session, ended };
        under_way.session.begin(limits.unwrap_or(own))?;
        under_way.session.lend(None, None)?;
        under_way.session.bound_copies(expansion);
        // A call that is dropped half-way leaves the guest in no state to go on from.
        *under_way.ended = true;
        Ok(under_way)
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    pub(crate) fn live(&self) -> Live {
        self.live
    }

    /// The limits of the calls that name none of their own.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Closes what is open, and starts the account of a request.
    pub(crate) async fn begin_http(&mut self, limits: &Limits) -> Result<&mut Session> {
        self.check_alive()?;
        self.session.give_back().await.0?;
        self.session.begin(limits)?;
        self.session.bound_copies(1);
        self.ended = true;
        Ok(&mut self.session)
    }

    /// Ends a request: closes what it had open, and keeps the instance where the guest returned.
    ///
    /// # Errors
    /// Where the host could not do its part, in the request or in a close: with the outcome.
    pub(crate) async fn end_http(
        mut self: Box<Self>,
        ran: Result<Ending<()>>,
    ) -> Result<(Outcome<()>, Option<Box<Self>>)> {
        if !matches!(ran, Ok(Ending::Returned(()))) {
            return self.session.finish(ran).await.map(|outcome| (outcome, None));
        }
        let mut outcome = self.settle(Ending::Returned(()));
        let (closed, used) = self.session.give_back().await;
        outcome.usage.add(used);
        self.session.rest();
        self.ended = false;
        match closed {
            Ok(()) => Ok((outcome, Some(self))),
            Err(error) => Err(error.with_outcome(outcome.map(|()| Value::Null))),
        }
    }

    fn check_alive(&self) -> Result<()> {
        match self.ended {
            true => {
                let message = "the instance has ended: its last call did not return; start another";
                Err(Error::new(ErrorKind::Invalid, message))
            }
            false => Ok(()),
        }
    }

    fn settle<T>(&mut self, ending: Ending<T>) -> Outcome<T> {
        self.session.remember(&ending);
        self.session.outcome(ending)
    }
}

/// A call on a live instance; whichever way it ends, the instance rests after it.
struct UnderWay<'a> {
    session: &'a mut Session,
    ended: &'a mut bool,
}

impl UnderWay<'_> {
    fn end<T>(self, ran: Result<Ending<T>>) -> Result<Ending<T>> {
        let ending = ran.map_err(|error| error.with_outcome(self.session.outcome(Ending::Cancelled)))?;
        *self.ended = !ending.is_returned();
        Ok(ending)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.session.rest();
    }
}

fn mistyped(function: &str, error: &wasmtime::Error) -> Error {
    Error::invalid(format!("export `{function}` has other types: {error:#}"))
}

/// A call on a live instance, to be made up and run.
#[must_use = "a call does nothing until `run`"]
pub struct InstanceCall<'a> {
    instance: &'a mut Instance,
    function: Chosen,
    args: Value,
    limits: Limits,
}

impl InstanceCall<'_> {
    /// The arguments, as an array in order or as an object by name.
    pub fn args(mut self, args: impl Into<Value>) -> Self {
        self.args = args.into();
        self
    }

    /// What this call may use, apart from memory, tables, instances and handles. Default: the instance's limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Runs the call. After a trap or a met limit the instance takes no further calls.
    ///
    /// # Errors
    /// As [`Call::run`](crate::Call::run), and `Invalid` on an instance that has ended.
    pub async fn run(self) -> Result<Outcome> {
        let InstanceCall { instance, function, args, limits } = self;
        let program = instance.session.program.clone();
        let entry = function.entry(&program)?;
        if weight(&args) > limits.input_bytes {
            return Ok(refused(&program, &limits));
        }
        let mut prepared = Arguments::read(entry, &args)?;
        if let Arguments::Task(work) = &mut prepared {
            work.asked_by(None, None, limits.deadline);
        }
        let (live, output) = (instance.live, limits.output_bytes);
        let call = instance.begin(Some(&limits), expansion(entry))?;
        let ran = call.session.watch(async |store, _| invoke(live, store, entry, &prepared, output).await).await;
        let ending = call.end(ran)?;
        let ending = within_output(&instance.session, ending);
        // A result that is too large is found out after the guest has returned.
        instance.ended |= matches!(ending, Ending::Exhausted(_));
        Ok(instance.settle(ending))
    }
}

/// A numeric result of a typed call: core WebAssembly's types and nothing.
pub trait Number: WasmResults + sealed::Sealed {
    /// The same result in the words of a component.
    #[doc(hidden)]
    type Wit: ComponentNamedList + Lift + 'static;
    #[doc(hidden)]
    fn from_wit(wit: Self::Wit) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! numbers {
    ($($number:ty)*) => { $(
        impl sealed::Sealed for $number {}
        impl Number for $number {
            type Wit = ($number,);
            fn from_wit((number,): Self::Wit) -> Self {
                number
            }
        }
    )* };
}
numbers!(i32 u32 i64 u64 f32 f64);

impl sealed::Sealed for () {}
impl Number for () {
    type Wit = ();
    fn from_wit((): ()) {}
}

/// A function found by its numeric types, for one instance.
pub struct Typed<P, R: Number> {
    func: Function<P, R>,
    session: u64,
    types: PhantomData<fn(P) -> R>,
}

enum Function<P, R: Number> {
    Core(wasmtime::TypedFunc<P, R>),
    Component(wasmtime::component::TypedFunc<P, R::Wit>),
}

impl<P, R> Typed<P, R>
where
    P: WasmParams + ComponentNamedList + Lower + Send + Sync + 'static,
    R: Number + Send + Sync,
{
    /// Calls the function on the instance that it was found in, within the instance's limits.
    ///
    /// # Errors
    /// `Invalid` on another instance, or one that has ended.
    pub async fn call(&self, instance: &mut Instance, params: P) -> Result<Outcome<R>> {
        of_this_instance(self.session, instance)?;
        let call = instance.begin(None, 1)?;
        let ran = match &self.func {
            Function::Core(func) => call.session.watch(async |store, _| func.call_async(store, params).await).await,
            Function::Component(func) => {
                let run = async |store: &mut Store<_>, _| func.call_async(store, params).await.map(R::from_wit);
                call.session.watch(run).await
            }
        };
        let ending = call.end(ran)?;
        Ok(instance.settle(ending))
    }
}

/// A component's function found by its Rust types, for one instance.
pub struct TypedComponent<P, R> {
    func: wasmtime::component::TypedFunc<P, R>,
    session: u64,
}

impl<P, R> TypedComponent<P, R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    /// Calls the function on the instance that it was found in, within the instance's limits.
    ///
    /// # Errors
    /// As [`Typed::call`].
    pub async fn call(&self, instance: &mut Instance, params: P) -> Result<Outcome<R>> {
        of_this_instance(self.session, instance)?;
        let call = instance.begin(None, 1)?;
        let ran = call.session.watch(async |store, _| self.func.call_async(store, params).await).await;
        let ending = call.end(ran)?;
        Ok(instance.settle(ending))
    }
}

fn of_this_instance(session: u64, instance: &Instance) -> Result<()> {
    match session == instance.session.id() {
        true => Ok(()),
        false => Err(Error::invalid("the typed function was found in another instance")),
    }
}
