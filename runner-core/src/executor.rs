//! The executor: what every program shares, how one is made ready, and how all of it ends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio_util::task::TaskTracker;
use wasmtime::component::{ComponentNamedList, Lift, Lower};
use wasmtime::{Engine, WasmRet, WasmTyList};

use crate::admission::Admission;
use crate::capability::{Capability, Grants, Lender, Registered};
use crate::clock::Ticker;
use crate::code::{
    self, Attempts, Compile, CompileJob, Compiled, Compiler, Digesting, LocalStore, Made, Store, VerifiedStore, Work,
};
use crate::engine::{Built, Engines};
use crate::error::{Error, ErrorKind, Result};
use crate::host_fn::HostFunctions;
use crate::limits::{Bounds, Limits, Metering};
use crate::link::{self, LinkerCache, Service};
use crate::load::{self, Form};
use crate::program::{Code, Program};
use crate::signature::{Export, Kind, ParameterNames, Surface};
use crate::task;

/// Runs modules. Cheap to clone; every clone is the same executor.
///
/// ```
#[doc = include_str!("../examples/run.rs")]
/// ```
#[derive(Clone)]
pub struct Executor(Arc<Inner>);

struct Inner {
    bounds: Bounds,
    limits: Limits,
    ticker: Arc<Ticker>,
    engines: Engines,
    admission: Admission,
    compiler: Compiler,
    store: Store,
    codes: Cache<CodeName, Arc<Code>, CodeWeight>,
    attempts: Attempts<CodeName>,
    lenders: Vec<Arc<dyn Lender>>,
    linkers: LinkerCache,
    call_ids: AtomicU64,
    janitor: TaskTracker,
}

/// What names code in memory.
#[derive(Clone, PartialEq, Eq, Hash)]
struct CodeName {
    digest: Arc<str>,
    metering: Metering,
    /// Whether the module's bytes were at hand, which carry the names of parameters.
    named: bool,
}

#[derive(Clone)]
struct CodeWeight;

impl Weighter<CodeName, Arc<Code>> for CodeWeight {
    fn weight(&self, _name: &CodeName, code: &Arc<Code>) -> u64 {
        // Code that weighs nothing would never be dropped.
        (code.compiled.bytes() + code.surface.bytes).max(1)
    }
}

/// Modules whose code the in-memory cache expects to hold; a hint, the bound is [`Bounds::code_bytes`].
const CODES_EXPECTED: usize = 1_000;

impl Executor {
    /// An executor to be made up.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// An executor with the default bounds and limits, no capability, and no store for compiled code.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// Makes a module ready to run: `executor.load(&wasm, &grants).await?`.
    ///
    /// The bytes are a component, a core module, one with component-type metadata, or WebAssembly text. Compiled code is
    /// remembered, so that loading the same module again is cheap.
    ///
    /// # Errors
    /// `Invalid` for anything that is not such a module, `Exceeded` beyond [`Bounds`], `Denied` where an import is not
    /// served or not granted (the message names both), `Unavailable` where the compiler is busy.
    pub fn load<'a>(&'a self, module: &'a [u8], grants: &'a Grants) -> Load<'a> {
        Load { executor: self, module: Module::Bytes(module), grants, metering: Metering::default(), name: None }
    }

    /// Makes a module ready whose compiled code is already in memory or in the store, without its bytes.
    ///
    /// Parameters of core functions are then named `p0`, `p1`, .., and [`Program::is_wrapped`] is `false`, unless the module
    /// is still in memory: both stand in the bytes.
    ///
    /// # Errors
    /// `NotFound` where its code is not there; otherwise as [`Executor::load`].
    pub fn load_compiled<'a>(&'a self, id: &'a ModuleId, grants: &'a Grants) -> Load<'a> {
        Load { executor: self, module: Module::Id(id), grants, metering: Metering::default(), name: None }
    }

    /// Says what a module exports and needs, and how each need would be served, without running it; a module of tasks is
    /// asked for their description, with nothing granted.
    ///
    /// # Errors
    /// As [`Executor::load`], except that a missing import is no error here but part of the answer.
    pub fn explain<'a>(&'a self, module: &'a [u8], grants: &'a Grants) -> Explain<'a> {
        Explain { executor: self, module, grants, name: None }
    }

    /// The JSON Schema of the grant for each capability, by id.
    pub fn grant_schemas(&self) -> Vec<(String, serde_json::Value)> {
        self.0.lenders.iter().map(|lender| (lender.id().to_owned(), lender.grant_schema())).collect()
    }

    /// Looks at each grant, whether a program needs it or not: [`load`](Executor::load) looks at those alone that its imports
    /// call for.
    ///
    /// # Errors
    /// `Invalid` where a grant is for no capability of this executor, or does not fit its schema; what
    /// [`Capability::check`] says.
    pub fn check(&self, grants: &Grants) -> Result<()> {
        link::check(grants, &self.0.lenders)
    }

    /// The bounds that this executor holds.
    pub fn bounds(&self) -> &Bounds {
        &self.0.bounds
    }

    /// The limits of a call that names none.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Turns away new calls, waits until those under way have ended and every capability is closed.
    ///
    /// Each call under way has a deadline, and each close a grace, so this ends; but not before a program that was loaded with
    /// [`Metering::None`] gives its thread back. Live instances that nobody calls are not waited for; what they opened is
    /// closed when they are dropped.
    pub async fn shutdown(&self) {
        self.0.ticker.close();
        self.0.admission.close();
        // A call ends by handing its closes to the janitor, so in this order.
        self.0.ticker.wait().await;
        self.0.janitor.close();
        self.0.janitor.wait().await;
    }

    pub(crate) fn ticker(&self) -> &Arc<Ticker> {
        &self.0.ticker
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    pub(crate) fn janitor(&self) -> &TaskTracker {
        &self.0.janitor
    }

    pub(crate) fn next_call(&self) -> u64 {
        self.0.call_ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The compiled code of a module.
    async fn code(&self, module: &[u8], metering: Metering) -> Result<Arc<Code>> {
        load::check_size(module.len(), &self.0.bounds)?;
        let mut digesting = Digesting::default();
        in_turns(module, |part| digesting.update(part)).await;
        let digest = digesting.digest();
        let key = CodeName { digest: Arc::clone(&digest), metering, named: true };
        let made = async {
            let Built { engine, keys } = self.0.engines.get(metering)?;
            let code_key = keys.key(&digest);
            let mut bytes = Vec::with_capacity(module.len());
            in_turns(module, |part| bytes.extend_from_slice(part)).await;
            let bytes = Bytes::from(bytes);
            let looked_at = bytes.clone();
            let (binary, translated) = match aside(bytes.len(), move || load::is_text(&looked_at)).await?? {
                true => self.translate(bytes).await?,
                false => (bytes, Duration::ZERO),
            };
            let (size, bounds) = (binary.len(), self.0.bounds.clone());
            let source = aside(size, move || load::read(binary, &bounds)).await??;
            let (compiled, took) = match self.0.store.get(engine, &code_key, &self.0.janitor).await {
                Some(compiled) => (compiled, Duration::ZERO),
                None => {
                    let (bytes, bounds) = (source.bytes.clone(), self.0.bounds.clone());
                    aside(size, move || load::check_bounds(&bytes, &bounds)).await??;
                    let work = Work::Compile { form: source.form, metering };
                    let made = self.job(source.bytes.clone(), work).await?;
                    let compiled = self.0.store.put(engine, &code_key, made.bytes, &self.0.janitor).await?;
                    (compiled, translated + made.took)
                }
            };
            let engine = engine.clone();
            let bound = self.0.bounds.exports;
            let describe =
                move || made_up(&engine, &digest, metering, source.form, compiled, &source.parameters, bound);
            let code = self.described(aside(size, describe).await??).await?;
            code.bill(took);
            Ok(code)
        };
        self.once(&key, made).await
    }

    /// Code from memory, or made once for all that ask for it meanwhile: they wait for the one answer, also where it is an
    /// error.
    async fn once(&self, key: &CodeName, made: impl Future<Output = Result<Code>>) -> Result<Arc<Code>> {
        if let Some(code) = self.0.codes.get(key) {
            return Ok(code);
        }
        let attempt = self.0.attempts.join(key);
        // Long enough to share what becomes of one that waits for the compiler, and takes all of its time.
        let patience = self.0.bounds.compile.saturating_mul(2);
        let turn = tokio::time::timeout(patience, self.0.codes.get_value_or_guard_async(key)).await;
        let place = match turn {
            Ok(Ok(code)) => return Ok(code),
            Ok(Err(place)) => place,
            Err(_) => return Err(Error::unavailable(format!("another load of this module took over {patience:?}"))),
        };
        if let Some(error) = attempt.get() {
            return Err(error.clone());
        }
        let code = made.await.inspect_err(|error| {
            // Only he whose turn it is sets it.
            let _ = attempt.set(error.clone());
        })?;
        let code = Arc::new(code);
        // Where there is no room for it, it is not kept.
        let _ = place.insert(Arc::clone(&code));
        Ok(code)
    }

    /// Code with its tasks among its exports, where it has some.
    async fn described(&self, code: Code) -> Result<Code> {
        match code.surface.tasks {
            None => Ok(code),
            Some(_) => {
                let Built { engine, .. } = self.0.engines.get(code.metering)?;
                let linkers = self.0.linkers.get(engine, code.metering, &[])?;
                // Boxed: a load of anything else should not carry it.
                Box::pin(task::described(self, code, &linkers)).await
            }
        }
    }

    async fn translate(&self, text: Bytes) -> Result<(Bytes, Duration)> {
        /// A text that even the slowest way through the translator has done in a few milliseconds.
        const AT_ONCE_BYTES: usize = 32 << 10;
        match text.len() <= AT_ONCE_BYTES {
            true => Ok((load::translate(&text)?.into(), Duration::ZERO)),
            false => self.job(text, Work::Translate).await.map(|made| (made.bytes.into(), made.took)),
        }
    }

    async fn job(&self, bytes: Bytes, work: Work) -> Result<Made> {
        self.0.compiler.compile(CompileJob { bytes, work, bounds: self.0.bounds.clone() }).await
    }

    async fn code_by_id(&self, id: &ModuleId, metering: Metering) -> Result<Arc<Code>> {
        let mut key = CodeName { digest: Arc::clone(&id.0), metering, named: true };
        if let Some(code) = self.0.codes.get(&key) {
            return Ok(code);
        }
        key.named = false;
        let made = async {
            let Built { engine, keys } = self.0.engines.get(metering)?;
            let compiled = self.0.store.get(engine, &keys.key(&id.0), &self.0.janitor).await.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("no compiled code for module `{id}`: load its bytes"))
            })?;
            let form = match compiled {
                Compiled::Module(_) => Form::Core,
                Compiled::Component(_) => Form::Component,
            };
            let bound = self.0.bounds.exports;
            self.described(made_up(engine, &id.0, metering, form, compiled, &ParameterNames::default(), bound)?).await
        };
        self.once(&key, made).await
    }
}

/// About a tenth of a millisecond of hashing.
const AT_ONCE_BYTES: usize = 128 << 10;

/// Goes over a module's bytes where they are: a thread of its own would need a copy. Between its steps others have their
/// turn.
async fn in_turns(bytes: &[u8], mut step: impl FnMut(&[u8])) {
    for (at, part) in bytes.chunks(AT_ONCE_BYTES).enumerate() {
        if at > 0 {
            tokio::task::yield_now().await;
        }
        step(part);
    }
}

/// Does work over a module's bytes: at once where they are few, else on a thread where it blocks nobody's calls.
pub(crate) async fn aside<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    match bytes <= AT_ONCE_BYTES {
        true => Ok(work()),
        false => {
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(|error| Error::internal("reading the module was interrupted").source(error))
        }
    }
}

fn made_up(
    engine: &Engine,
    digest: &Arc<str>,
    metering: Metering,
    form: Form,
    compiled: Compiled,
    parameters: &ParameterNames,
    exports_bound: u32,
) -> Result<Code> {
    load::check_resources(&compiled)?;
    let surface = Surface::read(engine, &compiled, parameters, exports_bound)?;
    Ok(Code::new(Arc::clone(digest), metering, form == Form::Wrapped, compiled, surface))
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capabilities: Vec<_> = self.0.lenders.iter().map(|lender| lender.id()).collect();
        f.debug_struct("Executor").field("bounds", &self.0.bounds).field("capabilities", &capabilities).finish()
    }
}

/// A module's name by content: the SHA-256 of the bytes it was loaded from. Written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleId(pub(crate) Arc<str>);

impl ModuleId {
    /// The id of a module's bytes.
    pub fn of(module: &[u8]) -> Self {
        ModuleId(code::digest(module))
    }

    /// The 64 hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl std::str::FromStr for ModuleId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
        let hex = hex.filter(|hex| hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        hex.map(|hex| ModuleId(hex.into()))
            .ok_or_else(|| Error::invalid(format!("module id `{text}`: expected `sha256:` and 64 digits of 0-9a-f")))
    }
}

/// What a module is, exports and needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Its name by content.
    pub id: ModuleId,
    /// What kind of module it is.
    pub kind: Kind,
    /// What can be called.
    pub exports: Vec<Export>,
    /// What it needs, and how each would be served.
    pub imports: Vec<Need>,
}

/// One import, and how it is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// The interface of a component, or the module name that a core module imports from.
    pub name: String,
    /// What is imported from it.
    pub items: Vec<String>,
    /// How it is served.
    pub service: Service,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.kind.as_str(), self.id)?;
        for export in &self.exports {
            writeln!(f, "  export {export}")?;
        }
        for need in &self.imports {
            write!(f, "  import {}: {}", need.name, need.service.as_str())?;
            match &need.service {
                Service::Granted { capability } => writeln!(f, " (capability `{capability}`)")?,
                Service::Broken { capability, reason } => writeln!(f, " (capability `{capability}`: {reason})")?,
                Service::Missing { advice, .. } => writeln!(f, " ({advice})")?,
                Service::Closed { advice: Some(advice), .. } => writeln!(f, " ({advice})")?,
                Service::Provided | Service::Closed { .. } => writeln!(f)?,
            }
        }
        Ok(())
    }
}

enum Module<'a> {
    Bytes(&'a [u8]),
    Id(&'a ModuleId),
}

/// A load to be made up and awaited.
#[must_use = "a load does nothing until it is awaited"]
pub struct Load<'a> {
    executor: &'a Executor,
    module: Module<'a>,
    grants: &'a Grants,
    metering: Metering,
    name: Option<&'a str>,
}

impl<'a> Load<'a> {
    /// Chooses how a spinning guest is stopped. Default [`Metering::Epochs`].
    pub fn metering(mut self, metering: Metering) -> Self {
        self.metering = metering;
        self
    }

    /// Says what the host calls the program: the error for what was not granted then has this name in the example of a grant,
    /// where a [`Capability::Grant`] wants it. Otherwise that is the same for every program.
    pub fn named(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    async fn run(self) -> Result<Program> {
        let inner = &self.executor.0;
        let code = match self.module {
            Module::Bytes(bytes) => self.executor.code(bytes, self.metering).await?,
            Module::Id(id) => self.executor.code_by_id(id, self.metering).await?,
        };
        let Surface { imports, kind, .. } = &code.surface;
        let loans = link::loans(imports, *kind, &inner.lenders, self.grants, self.name)?;
        let linkers = inner.linkers.get(&inner.engines.get(self.metering)?.engine, self.metering, &loans)?;
        Program::link(self.executor.clone(), code, loans, &linkers)
    }
}

impl<'a> IntoFuture for Load<'a> {
    type Output = Result<Program>;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// A module about to be explained; `await` it.
#[must_use = "nothing is explained until it is awaited"]
pub struct Explain<'a> {
    executor: &'a Executor,
    module: &'a [u8],
    grants: &'a Grants,
    name: Option<&'a str>,
}

impl<'a> Explain<'a> {
    /// Says what the host calls the program, as [`Load::named`] does.
    pub fn named(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    async fn run(self) -> Result<Explanation> {
        let code = self.executor.code(self.module, Metering::default()).await?;
        let (kind, lenders) = (code.surface.kind, &self.executor.0.lenders);
        let imports = code.surface.imports.iter();
        Ok(Explanation {
            id: ModuleId(Arc::clone(&code.digest)),
            kind,
            exports: code.surface.exports.clone(),
            imports: imports
                .map(|import| Need {
                    name: import.name.clone(),
                    items: import.items.clone(),
                    service: link::explained(import, kind, lenders, self.grants, self.name),
                })
                .collect(),
        })
    }
}

impl<'a> IntoFuture for Explain<'a> {
    type Output = Result<Explanation>;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// An executor to be made up.
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    bounds: Bounds,
    limits: Limits,
    pooling: bool,
    compile: Compile,
    store: Store,
    lenders: Vec<Arc<dyn Lender>>,
    functions: Vec<HostFunctions>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            bounds: Bounds::default(),
            limits: Limits::default(),
            pooling: true,
            compile: Compile::default(),
            store: Store::default(),
            lenders: Vec::new(),
            functions: Vec::new(),
        }
    }
}

impl Builder {
    /// What the executor may use, whoever calls.
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// The limits of a call that names none.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Lends a capability to the programs that it is granted to.
    pub fn capability<C: Capability>(mut self, capability: C) -> Self {
        self.lenders.push(Arc::new(Registered(capability)));
        self
    }

    /// Lends one async function of a WIT interface to components, granted with `null` under the interface's name. Where
    /// that names no version, it serves every version.
    ///
    /// It takes a tuple of its parameters and gives a tuple of its results.
    ///
    /// ```
    /// # use runner_core::Executor;
    /// let builder = Executor::builder()
    ///     .host_fn("acme:prices/lookup", "net", |(article, count): (String, u32)| async move {
    ///         Ok((f64::from(count) * article.len() as f64,))
    ///     });
    /// ```
    pub fn host_fn<F, Fut, P, R>(mut self, interface: &str, name: &str, f: F) -> Self
    where
        F: Fn(P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        P: ComponentNamedList + Lift + Send + 'static,
        R: ComponentNamedList + Lower + Send + 'static,
    {
        self.functions(interface).add(name, f);
        self
    }

    /// Lends one async function to core modules that import it as `module.name`, granted with `null` under the module's
    /// name. It takes a tuple of numbers and gives a number or a tuple of them.
    pub fn core_fn<F, Fut, P, R>(mut self, module: &str, name: &str, f: F) -> Self
    where
        F: Fn(P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        P: WasmTyList + Send + 'static,
        R: Send + 'static,
        wasmtime::Result<R>: WasmRet,
    {
        self.functions(module).add_core(name, f);
        self
    }

    fn functions(&mut self, interface: &str) -> &mut HostFunctions {
        let at = self.functions.iter().position(|functions| functions.interface == interface);
        let at = at.unwrap_or_else(|| {
            self.functions.push(HostFunctions::new(interface));
            self.functions.len() - 1
        });
        &mut self.functions[at]
    }

    /// How modules are compiled. Default [`Compile::InProcess`].
    pub fn compile(mut self, compile: Compile) -> Self {
        self.compile = compile;
        self
    }

    /// Keeps compiled code in a private directory, so that the next process starts without compiling.
    pub fn local_store(mut self, store: LocalStore) -> Self {
        self.store = Store::Local(store);
        self
    }

    /// Keeps compiled code in a place that is not trusted, sealed.
    pub fn verified_store(mut self, store: VerifiedStore) -> Self {
        self.store = Store::Verified(Arc::new(store));
        self
    }

    /// Maps each instance on demand instead of from a pool: less address space, calls about four times dearer.
    pub fn without_pool(mut self) -> Self {
        self.pooling = false;
        self
    }

    /// Builds the executor, with its thread that makes spinning guests yield.
    ///
    /// # Errors
    /// `Invalid` where two capabilities share an id or a type of state, or a bound is zero; `Unavailable` where the thread
    /// does not start.
    pub fn build(self) -> Result<Executor> {
        let Builder { bounds, limits, pooling, compile, store, mut lenders, functions } = self;
        for (zero, name) in [
            (bounds.calls == 0, "calls"),
            (bounds.stack_bytes == 0, "stack_bytes"),
            (bounds.memory_bytes == 0, "memory_bytes"),
        ] {
            if zero {
                return Err(Error::invalid(format!("bound `{name}` is 0: nothing could run")));
            }
        }
        for (at, lender) in lenders.iter().enumerate() {
            for other in &lenders[..at] {
                if other.state_type() == lender.state_type() {
                    let (one, two) = (other.id(), lender.id());
                    return Err(Error::invalid(format!(
                        "capabilities `{one}` and `{two}` have the same type of state"
                    )));
                }
            }
        }
        lenders.extend(functions.into_iter().map(|functions| Arc::new(functions) as Arc<dyn Lender>));
        for (at, lender) in lenders.iter().enumerate() {
            if lenders[..at].iter().any(|other| other.id() == lender.id()) {
                return Err(Error::invalid(format!("two capabilities have the id `{}`", lender.id())));
            }
        }
        let ticker =
            Ticker::start().map_err(|error| Error::unavailable("the ticker thread does not start").source(error))?;
        Ok(Executor(Arc::new(Inner {
            engines: Engines::new(bounds.clone(), pooling, Arc::clone(&ticker)),
            admission: Admission::new(bounds.calls, bounds.queue),
            compiler: Compiler::new(compile),
            attempts: Attempts::default(),
            codes: Cache::with_weighter(CODES_EXPECTED, bounds.code_bytes, CodeWeight),
            bounds,
            limits,
            ticker,
            store,
            lenders,
            linkers: LinkerCache::default(),
            call_ids: AtomicU64::new(0),
            janitor: TaskTracker::new(),
        })))
    }
}
