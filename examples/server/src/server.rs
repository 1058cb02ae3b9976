//! What the routes share: the parts that `main` plugs together, and what follows from them.

use std::sync::Arc;

use cap_std::fs::Dir;
use quick_cache::sync::Cache;
use runner_core::{Executor, Explanation, Grants, Metering, ModuleId, Program};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use crate::api::Problem;
use crate::body::Bodies;
use crate::clock;
use crate::guard::Guard;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::store::{Reference, Store, Stored};

/// The parts of a server.
pub struct Server {
    /// What the operator chose.
    pub settings: Settings,
    /// What runs the modules.
    pub executor: Executor,
    /// Where modules are kept.
    pub store: Store,
    /// The built page.
    pub page: Option<Dir>,
    /// Example modules that are built from Rust, each `NAME.wasm`.
    pub guests: Option<Dir>,
    /// The accounts of calls that go on behind their answer's head. Wait for it before the last numbers are read.
    pub accounts: TaskTracker,
}

/// Programs of stored modules that are kept ready. Their code is mapped from files: what they hold is little, what they
/// save is reading, hashing and linking the module for each call.
const PROGRAMS_MAX: usize = 64;

/// A server as the routes see it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) executor: Executor,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) bodies: Bodies,
    /// The memory for stored modules on their way from the disk. Of its own: a call waits for it while it holds a body.
    modules: Bodies,
    programs: Arc<Cache<(ModuleId, Metering), Program>>,
    pub(crate) page: Option<Arc<Dir>>,
    pub(crate) guests: Option<Arc<Dir>>,
    pub(crate) accounts: TaskTracker,
}

impl From<Server> for Shared {
    fn from(server: Server) -> Self {
        Shared {
            guard: Arc::new(Guard::new(&server.settings)),
            settings: Arc::new(server.settings),
            executor: server.executor,
            store: server.store,
            metrics: Arc::new(Metrics::new()),
            bodies: Bodies::new(),
            modules: Bodies::new(),
            programs: Arc::new(Cache::new(PROGRAMS_MAX)),
            page: server.page.map(Arc::new),
            guests: server.guests.map(Arc::new),
            accounts: server.accounts,
        }
    }
}

impl Shared {
    /// Makes a stored module ready to run.
    pub(crate) async fn program(&self, id: &ModuleId, metering: Metering) -> Result<Program, Problem> {
        let key = (id.clone(), metering);
        // Whoever wants the same module meanwhile waits for this one answer.
        let program = self.programs.get_or_insert_async(&key, async {
            let stored = self.store.find(Reference::Id(id.clone())).await?;
            let (bytes, _place) = self.read(&stored).await?;
            self.load(&bytes, metering).await
        });
        program.await
    }

    /// Says what a stored module exports and needs.
    pub(crate) async fn explain_stored(&self, stored: &Stored) -> Result<Explanation, Problem> {
        let (bytes, _place) = self.read(stored).await?;
        self.explain(&bytes).await
    }

    /// A stored module's bytes, and their place in memory, to be kept beside them.
    async fn read(&self, stored: &Stored) -> Result<(Vec<u8>, OwnedSemaphorePermit), Problem> {
        let place = self.modules.place_of_module(stored.size_bytes).await?;
        Ok((self.store.read(stored.id.clone()).await?, place))
    }

    /// Makes a module ready to run, with nothing granted: this server has no capabilities to lend.
    pub(crate) async fn load(&self, bytes: &[u8], metering: Metering) -> Result<Program, Problem> {
        self.timed(async { Ok(self.executor.load(bytes, &Grants::none()).metering(metering).await?) }).await
    }

    /// Says what a module exports and needs. It compiles the module, so that only what can run is kept.
    pub(crate) async fn explain(&self, bytes: &[u8]) -> Result<Explanation, Problem> {
        self.timed(async { Ok(self.executor.explain(bytes, &Grants::none()).await?) }).await
    }

    async fn timed<T>(&self, load: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        let from = clock::now();
        let loaded = load.await;
        self.metrics.loaded(from.elapsed());
        loaded
    }
}
