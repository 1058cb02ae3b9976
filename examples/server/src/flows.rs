//! The workflows of a server: kept in its data directory, their tasks done by its executor with the modules that it stores.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use runner_core::{Executor, ModuleId};
use runner_workflow::store::SqliteStore;
use runner_workflow::{Definition, Envelope, Modules, Settings as Numbers, Signatures, WasmTasks, Workflows};

use crate::settings::Settings;
use crate::store::{Error, Reference, Store};

/// Workflows and who does their tasks. Cheap to clone.
#[derive(Clone)]
pub struct Flows {
    pub(crate) workflows: Workflows,
    tasks: Arc<WasmTasks>,
}

impl Flows {
    /// Begins to carry on what a store of executions has, within the runtime that it is called in.
    pub fn start(kept: SqliteStore, executor: &Executor, modules: &Store, settings: &Settings) -> Self {
        let tasks = WasmTasks::new(executor.clone(), Stored(modules.clone())).limits_max(settings.limits_max.clone());
        let tasks = Arc::new(tasks);
        let numbers = Numbers { tasks_max: executor.bounds().calls as usize, ..Numbers::default() };
        Flows { workflows: Workflows::start(kept, Arc::clone(&tasks), numbers), tasks }
    }

    /// Ends: what was under way is done again by the next process.
    pub async fn shutdown(&self) {
        self.workflows.shutdown().await;
    }

    /// Lets go of what was kept ready of a module.
    pub(crate) fn forget(&self, module: &ModuleId) {
        self.tasks.forget(module);
    }

    /// What the modules take that a definition names.
    pub(crate) async fn signatures(&self, definition: &Definition, envelope: &Envelope) -> impl Signatures + use<> {
        self.tasks.signatures(definition, envelope).await
    }
}

/// The modules that callers stored.
struct Stored(Store);

#[async_trait]
impl Modules for Stored {
    async fn find(&self, module: &str) -> runner_core::Result<Option<Bytes>> {
        let Ok(reference) = module.parse::<Reference>() else { return Ok(None) };
        let unavailable = |error: Error| runner_core::Error::unavailable("the data directory fails").source(error);
        let stored = match self.0.find(reference).await {
            Ok(stored) => stored,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(unavailable(error)),
        };
        match self.0.read(stored.id).await {
            Ok(bytes) => Ok(Some(bytes.into())),
            // Removed meanwhile.
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }
}
