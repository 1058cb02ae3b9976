//! A module made ready: compiled once, linked to its grants, callable any number of times.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::InstancePre as ComponentPre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::call::{Call, Command};
use crate::capability::Loan;
use crate::code::Compiled;
use crate::error::{Error, ErrorKind, Result, listed, short};
use crate::executor::{Executor, ModuleId};
use crate::host::Host;
use crate::http::HttpCall;
use crate::instance::Start;
use crate::limits::Metering;
use crate::link::{Linkers, PREVIEW1};
use crate::signature::{Entry, Export, ExportKind, Import, Kind, Surface};

/// Compiled code and what was read from it; shared by every program made of the same bytes.
pub(crate) struct Code {
    pub(crate) digest: Arc<str>,
    pub(crate) metering: Metering,
    pub(crate) wrapped: bool,
    pub(crate) compiled: Compiled,
    pub(crate) surface: Surface,
    /// Nanoseconds of compilation that no call has been billed for yet.
    compile: AtomicU64,
}

impl Code {
    pub(crate) fn new(
        digest: Arc<str>,
        metering: Metering,
        wrapped: bool,
        compiled: Compiled,
        surface: Surface,
    ) -> Self {
        Code { digest, metering, wrapped, compiled, surface, compile: AtomicU64::new(0) }
    }

    /// Puts the time to compile on the bill of the first call.
    pub(crate) fn bill(&self, compile: Duration) {
        self.compile.store(u64::try_from(compile.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A module that is ready to run. Cheap to clone.
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    executor: Executor,
    engine: Engine,
    code: Arc<Code>,
    loans: Vec<Loan>,
    linked: Linked,
}

/// Code with its imports resolved: what is left to do is done per instance.
pub(crate) enum Linked {
    Core(wasmtime::InstancePre<Host>),
    Component { pre: ComponentPre<Host>, http: Option<ProxyPre<Host>> },
}

impl Program {
    pub(crate) fn link(executor: Executor, code: Arc<Code>, loans: Vec<Loan>, linkers: &Linkers) -> Result<Self> {
        let refused =
            |error: wasmtime::Error| Error::new(ErrorKind::Denied, format!("the module does not link: {error:#}"));
        let (engine, linked) = match &code.compiled {
            Compiled::Module(module) => {
                (module.engine().clone(), Linked::Core(linkers.core.instantiate_pre(module).map_err(refused)?))
            }
            Compiled::Component(component) => {
                let pre = linkers.component.instantiate_pre(component).map_err(refused)?;
                let handles_http = code.surface.entries.values().any(|entry| matches!(entry, Entry::Http));
                let http = match handles_http {
                    true => Some(ProxyPre::new(pre.clone()).map_err(refused)?),
                    false => None,
                };
                (component.engine().clone(), Linked::Component { pre, http })
            }
        };
        Ok(Program(Arc::new(Inner { executor, engine, code, loans, linked })))
    }

    /// Its name by content.
    pub fn id(&self) -> ModuleId {
        ModuleId(Arc::clone(&self.0.code.digest))
    }

    /// What kind of module it is.
    pub fn kind(&self) -> Kind {
        self.0.code.surface.kind
    }

    /// Whether it is a core module that was wrapped into a component.
    ///
    /// Compiled code does not tell: of a program that [`Executor::load_compiled`] found in the store it is `false`.
    pub fn is_wrapped(&self) -> bool {
        self.0.code.wrapped
    }

    /// How a spinning guest is stopped.
    pub fn metering(&self) -> Metering {
        self.0.code.metering
    }

    /// What can be called, with names and types.
    pub fn exports(&self) -> &[Export] {
        &self.0.code.surface.exports
    }

    /// What it imports.
    pub fn imports(&self) -> &[Import] {
        &self.0.code.surface.imports
    }

    /// A call of a function by name, with JSON in and out, in a fresh instance.
    pub fn call(&self, function: impl AsRef<str>) -> Call {
        Call::new(self.clone(), function.as_ref())
    }

    /// A run of the module's command: arguments, environment and standard input to an exit code and output.
    pub fn command(&self) -> Command {
        Command::new(self.clone())
    }

    /// A request to the module's `wasi:http/incoming-handler`, in a fresh instance.
    pub fn http<B>(&self, request: http::Request<B>) -> HttpCall<B>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        HttpCall::new(self.clone(), request)
    }

    /// An instance that stays alive over several calls.
    pub fn instance(&self) -> Start {
        Start::new(self.clone())
    }

    pub(crate) fn executor(&self) -> &Executor {
        &self.0.executor
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn digest(&self) -> &str {
        &self.0.code.digest
    }

    pub(crate) fn loans(&self) -> &[Loan] {
        &self.0.loans
    }

    pub(crate) fn linked(&self) -> &Linked {
        &self.0.linked
    }

    pub(crate) fn surface(&self) -> &Surface {
        &self.0.code.surface
    }

    pub(crate) fn is_component(&self) -> bool {
        self.kind() == Kind::Component
    }

    pub(crate) fn needs_wasi(&self) -> bool {
        let imports = &self.0.code.surface.imports;
        self.is_http() || imports.iter().any(|import| import.name == PREVIEW1 || import.name.starts_with("wasi:"))
    }

    fn is_http(&self) -> bool {
        matches!(self.0.linked, Linked::Component { http: Some(_), .. })
    }

    /// The compile time, for the first call that asks.
    pub(crate) fn take_compile(&self) -> Duration {
        // Read first: a swap would make every call of every thread write to one line of cache.
        let compile = &self.0.code.compile;
        match compile.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            _ => Duration::from_nanos(compile.swap(0, Ordering::Relaxed)),
        }
    }

    /// Where a named function lies, or an error that says what there is.
    pub(crate) fn entry(&self, name: &str) -> Result<&Entry> {
        if let Some(entry) = self.surface().entries.get(name) {
            return Ok(entry);
        }
        match self.exports().iter().find(|export| export.name == name).map(|export| &export.kind) {
            Some(ExportKind::Unsupported(reason)) => {
                Err(Error::invalid(format!("export `{}` cannot be called: {reason}", short(name))))
            }
            _ => {
                let message = format!("no export `{}`: {}", short(name), self.shown_exports());
                Err(Error::new(ErrorKind::NotFound, message))
            }
        }
    }

    /// The first entry that a test accepts.
    pub(crate) fn find_entry(&self, wanted: &str, accept: impl Fn(&Entry) -> bool) -> Result<&Entry> {
        let entries = self.surface().entries.values();
        entries.into_iter().find(|entry| accept(entry)).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("the module has no {wanted}: {}", self.shown_exports()))
        })
    }

    fn shown_exports(&self) -> String {
        match self.exports() {
            [] => "it exports nothing that can be called".to_owned(),
            exports => format!("it exports {}", listed(exports.iter().map(|export| export.name.as_str()))),
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("id", &self.id()).field("kind", &self.kind()).finish_non_exhaustive()
    }
}

/// `name: func(a: s32, b: s32) -> s32`, as WIT would have it.
impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExportKind::Function(signature) => {
                let parameters: Vec<_> =
                    signature.parameters.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
                let results: Vec<_> = signature.results.iter().map(ToString::to_string).collect();
                write!(f, "{}: func({})", self.name, parameters.join(", "))?;
                match results.as_slice() {
                    [] => Ok(()),
                    [one] => write!(f, " -> {one}"),
                    many => write!(f, " -> ({})", many.join(", ")),
                }
            }
            ExportKind::Command => write!(f, "{}: command", self.name),
            ExportKind::Http => write!(f, "{}: http handler", self.name),
            ExportKind::Unsupported(reason) => write!(f, "{}: cannot be called, {reason}", self.name),
        }
    }
}
