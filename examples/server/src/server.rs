//! What the routes share: the parts that `main` plugs together, and what follows from them.

use std::sync::Arc;

use cap_std::fs::Dir;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use runner_core::{Error, ErrorKind, Executor, Explanation, Grants, Metering, ModuleId, Need, Program, Service};
use runner_host_fs::Volume;
use runner_host_kv::Kv;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::api::{Module, Problem};
use crate::body::BYTE_WEIGHT;
use crate::clock;
use crate::flows::Flows;
use crate::guard::Guard;
use crate::metrics::Metrics;
use crate::room::{Place, Room};
use crate::settings::Settings;
use crate::store::{Granted, Name, Reference, Store, Stored};
use crate::surface::Extent;

/// The parts of a server.
pub struct Server {
    /// What the operator chose.
    pub settings: Settings,
    /// What runs the modules.
    pub executor: Executor,
    /// Where modules are kept.
    pub store: Store,
    /// The key-value stores that modules are lent: whoever runs the server looks at them, and empties them.
    pub kv: Kv,
    /// The names of the secrets that it fills in.
    pub secrets: Vec<String>,
    /// The files that modules are granted, for the routes that list, read and write them.
    pub files: Option<Arc<dyn Volume>>,
    /// The workflows that it keeps and carries on.
    pub flows: Flows,
    /// The built page.
    pub page: Option<Dir>,
    /// Example modules that are built from Rust, each `NAME.wasm`.
    pub guests: Option<Dir>,
    /// The accounts of calls that go on behind their answer's head. Wait for it before the last numbers are read.
    pub accounts: TaskTracker,
}

/// Programs of stored modules that are kept ready, which saves reading, hashing and linking the module for each call.
const PROGRAMS_MAX: usize = 64;
/// What they may hold together, their code aside, which is mapped from files: 1 MiB each.
const PROGRAMS_BYTES_MAX: u64 = (PROGRAMS_MAX as u64) << 20;

/// Definitions that the machine works on at once, beside the executions.
const MACHINE_PLACES: usize = 4;

/// A program and what it holds.
#[derive(Clone)]
struct Ready {
    program: Program,
    bytes: u64,
}

impl Ready {
    fn new(program: Program, module_bytes: u64) -> Self {
        let surface = Extent::of_program(program.exports(), program.imports()).tree_bytes() as u64;
        // The names are in there twice; the engine's tables are about an eighth of the module.
        let bytes = (2 * surface).saturating_add(module_bytes / 8);
        Ready { program, bytes }
    }
}

#[derive(Clone)]
struct ReadyWeight;

/// Whose code, how it is metered, and what was granted, as text.
type ReadyKey = (ModuleId, Metering, Arc<str>);

impl Weighter<ReadyKey, Ready> for ReadyWeight {
    fn weight(&self, _key: &ReadyKey, ready: &Ready) -> u64 {
        ready.bytes.max(PROGRAMS_BYTES_MAX / PROGRAMS_MAX as u64)
    }
}

/// What a module is, and the place of the tree that says so.
pub(crate) struct Explained {
    pub(crate) explanation: Explanation,
    pub(crate) place: Place,
}

/// A server as the routes see it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) executor: Executor,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    /// The memory for what is sent here.
    pub(crate) bodies: Room,
    /// The memory for stored modules on their way from the disk. Of its own: a call waits for it while it holds a body.
    modules: Room,
    /// The memory for answers, of its own likewise.
    pub(crate) answers: Room,
    programs: Arc<Cache<ReadyKey, Ready, ReadyWeight>>,
    pub(crate) kv: Kv,
    pub(crate) secrets: Arc<[String]>,
    pub(crate) files: Option<Arc<dyn Volume>>,
    pub(crate) flows: Flows,
    /// Places for definitions that the machine works on beside the executions: each may keep a thread for seconds.
    pub(crate) machine_places: Arc<Semaphore>,
    pub(crate) page: Option<Arc<Dir>>,
    pub(crate) guests: Option<Arc<Dir>>,
    pub(crate) accounts: TaskTracker,
}

impl From<Server> for Shared {
    fn from(server: Server) -> Self {
        Shared {
            guard: Arc::new(Guard::new(&server.settings)),
            executor: server.executor,
            store: server.store,
            kv: server.kv,
            secrets: server.secrets.into(),
            files: server.files,
            metrics: Arc::new(Metrics::new()),
            bodies: Room::new(server.settings.held_bytes),
            modules: Room::new(server.settings.held_bytes),
            answers: Room::new(server.settings.held_bytes),
            programs: Arc::new(Cache::with_weighter(PROGRAMS_MAX, PROGRAMS_BYTES_MAX, ReadyWeight)),
            settings: Arc::new(server.settings),
            flows: server.flows,
            machine_places: Arc::new(Semaphore::new(MACHINE_PLACES)),
            page: server.page.map(Arc::new),
            guests: server.guests.map(Arc::new),
            accounts: server.accounts,
        }
    }
}

impl Shared {
    /// Makes a stored module ready to run, with what it was granted.
    ///
    /// Loads of one module that run at once are one in the executor, and have one answer: so nobody waits here for
    /// another's turn.
    pub(crate) async fn program(&self, stored: &Stored, metering: Metering) -> Result<Program, Problem> {
        let (grants, text) = match &stored.granted {
            Some(Granted { grants, text, .. }) => (grants, Arc::clone(text)),
            None => (&Grants::none(), Arc::default()),
        };
        let key = (stored.id.clone(), metering, text);
        if let Some(Ready { program, .. }) = self.programs.get(&key) {
            return Ok(program);
        }
        let (bytes, _place) = self.read(stored).await?;
        let mut load = self.executor.load(&bytes, grants).metering(metering);
        if let Some((name, _)) = &stored.label {
            load = load.named(name.as_str());
        }
        let program = match self.timed(load).await {
            Ok(program) => program,
            Err(error) if error.kind() == ErrorKind::Invalid && self.executor.check(grants).is_err() => {
                // They held when they were granted: it is this host that has changed since.
                let next = "; the module's grants do not hold here any more: give back what they name, or put others \
                            (`PUT /v1/modules/{ref}/grants`)";
                return Err(Problem::unavailable(error.to_string()).and(next));
            }
            Err(error) => return Err(self.denied(error, &bytes, grants, stored.label.is_some()).await),
        };
        self.programs.insert(key, Ready::new(program.clone(), stored.size_bytes));
        if self.store.find(Reference::Id(stored.id.clone())).await.is_err() {
            // Deleted meanwhile: whoever did that found nothing to forget.
            self.forget(&stored.id);
        }
        Ok(program)
    }

    /// Lets go of what was kept ready of a module.
    pub(crate) fn forget(&self, id: &ModuleId) {
        self.programs.retain(|(known, ..), _| known != id);
        self.flows.forget(id);
    }

    /// Says what a stored module exports and needs.
    pub(crate) async fn explain_stored(&self, stored: &Stored) -> Result<Explained, Problem> {
        let (bytes, _place) = self.read(stored).await?;
        let none = Grants::none();
        let grants = stored.granted.as_ref().map_or(&none, |granted| &granted.grants);
        self.explain(&bytes, grants, stored.label.as_ref().map(|(name, _)| name)).await
    }

    /// A stored module's bytes, and their place in memory, to be kept beside them.
    async fn read(&self, stored: &Stored) -> Result<(Vec<u8>, Place), Problem> {
        let bytes = usize::try_from(stored.size_bytes).unwrap_or(usize::MAX);
        let place = self.modules.take(bytes.saturating_mul(BYTE_WEIGHT)).await?;
        Ok((self.store.read(stored.id.clone()).await?, place))
    }

    /// Makes a module ready to run that came along, with nothing granted.
    pub(crate) async fn load(&self, bytes: &[u8], metering: Metering) -> Result<Program, Problem> {
        let program = self.timed(self.executor.load(bytes, &Grants::none()).metering(metering)).await;
        match program {
            Ok(program) => Ok(program),
            Err(error) => Err(self.denied(error, bytes, &Grants::none(), false).await),
        }
    }

    /// Says what a module exports and needs. It compiles the module, so that only what can run is kept.
    pub(crate) async fn explain(
        &self,
        bytes: &[u8],
        grants: &Grants,
        name: Option<&Name>,
    ) -> Result<Explained, Problem> {
        let mut explain = self.executor.explain(bytes, grants);
        if let Some(name) = name {
            explain = explain.named(name.as_str());
        }
        let explanation = self.timed(explain).await?;
        let place = self.answers.take_at_once(Module::bytes(&explanation));
        let place = place.ok_or_else(|| Problem::unavailable("answers under way hold all the memory for them"))?;
        Ok(Explained { explanation, place })
    }

    async fn timed<T>(&self, load: impl IntoFuture<Output = runner_core::Result<T>>) -> runner_core::Result<T> {
        let from = clock::now();
        let loaded = load.await;
        self.metrics.loaded(from.elapsed());
        loaded
    }

    /// Says where to grant what an import lacks, if that makes the module run: not where nothing here serves another.
    async fn denied(&self, error: Error, bytes: &[u8], grants: &Grants, is_named: bool) -> Problem {
        let is_lent = |need: &Need| match &need.service {
            Service::Missing { capability, .. } => capability.is_some(),
            _ => true,
        };
        let next = match error.kind() {
            ErrorKind::Denied => match self.executor.explain(bytes, grants).await {
                Ok(explained) if explained.imports.iter().all(is_lent) && is_named => {
                    "; `PUT /v1/modules/{ref}/grants` grants it"
                }
                Ok(explained) if explained.imports.iter().all(is_lent) => {
                    "; store the module under a name (`PUT /v1/modules/NAME`), and `PUT /v1/modules/NAME/grants` grants it"
                }
                _ => "",
            },
            _ => "",
        };
        Problem::from(error).and(next)
    }
}
