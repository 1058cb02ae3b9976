//! Tasks that are exports of WebAssembly modules: `wasm:NAME@VERSION#export` and `wasm:sha256:DIGEST#export`. Nothing else here
//! knows `runner-core`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::Cache;
use runner_core::{
    Ending, ErrorKind, Executor, ExportKind, Grants, LimitKind, Limits, Metering, ModuleId, Outcome, Program, Type,
};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::definition::Definition;
use crate::driver::{Done, Task, Tasks};
use crate::envelope::{Envelope, TaskPolicy};
use crate::lint::{Export, Parameter, ParameterKind, Signature, Signatures};
use crate::resource::Resource;

/// Where the modules of tasks are.
#[async_trait]
pub trait Modules: Send + Sync + 'static {
    /// The bytes of a module by `NAME@VERSION` or `sha256:DIGEST`; `None` where there is none. What a name and a version stand
    /// for never changes.
    async fn find(&self, module: &str) -> runner_core::Result<Option<Bytes>>;
}

/// Modules in memory, by `NAME@VERSION` or `sha256:DIGEST`.
#[async_trait]
impl Modules for HashMap<String, Bytes> {
    async fn find(&self, module: &str) -> runner_core::Result<Option<Bytes>> {
        Ok(self.get(module).cloned())
    }
}

/// Programs that are kept ready.
const PROGRAMS_MAX: usize = 128;

/// Modules that are loaded at the same time.
const LOADS_MAX: usize = 4;

/// Functions that a message lists.
const SHOWN_MAX: usize = 20;

/// Does tasks by `runner-core`: each in a fresh instance, with the grants and limits that the envelope says.
///
/// ```
#[doc = include_str!("../examples/wasm.rs")]
/// ```
///
/// * The arguments of a task are an object: its fields are the export's parameters, by their names. An export of one parameter takes any
///   other value as it is, and one of none takes no notice.
/// * The guest is told the task's idempotency key, its attempt, and as deadline what is left of `TimeoutSeconds`.
/// * What the guest calls a failure has the name that the guest gave it. A trap is `Runner.Trapped`, a limit `Runner.LimitExceeded`, a
///   host that cannot do it now `Runner.Unavailable`, somebody who was faster `Runner.Conflict`; arguments that do not fit are
///   `Runner.Invalid`, a module or export that is not there `Runner.NotFound`, and one that lacks a grant `Runner.Denied`.
/// * As long as the guest runs, its heart beats.
///
/// A host that has other tasks, too, has a [`Tasks`] of its own, which hands on to this one what [`is_wasm`](Self::is_wasm).
pub struct WasmTasks {
    executor: Executor,
    modules: Arc<dyn Modules>,
    limits_max: Option<Limits>,
    programs: Cache<Ready, Program>,
    /// Modules that are loaded at the same time: their bytes are in memory.
    loads: Semaphore,
}

/// What makes programs the same.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Ready {
    module: String,
    digest: Option<String>,
    grants: String,
    metering: Metering,
}

/// Why a task is not done: the name that Retry and Catch match, and a text.
struct Refused(&'static str, String);

impl From<runner_core::Error> for Refused {
    fn from(error: runner_core::Error) -> Self {
        let name = match error.kind() {
            ErrorKind::Invalid => "Runner.Invalid",
            ErrorKind::NotFound => "Runner.NotFound",
            ErrorKind::Denied => "Runner.Denied",
            ErrorKind::Exceeded => "Runner.LimitExceeded",
            ErrorKind::Unavailable => "Runner.Unavailable",
            ErrorKind::Conflict => "Runner.Conflict",
            _ => "Runner.Internal",
        };
        let text = match name {
            // The causes may name what is the host's business: they stay in its log.
            "Runner.Internal" => {
                tracing::error!(%error, "a fault of the host");
                error.message().to_owned()
            }
            _ => error.to_string(),
        };
        Self(name, text)
    }
}

impl fmt::Debug for WasmTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmTasks").field("programs", &self.programs.len()).finish_non_exhaustive()
    }
}

impl WasmTasks {
    /// Does tasks with an executor's capabilities, and modules of a source.
    pub fn new(executor: Executor, modules: impl Modules) -> Self {
        let (programs, loads) = (Cache::new(PROGRAMS_MAX), Semaphore::new(LOADS_MAX));
        Self { executor, modules: Arc::new(modules), limits_max: None, programs, loads }
    }

    /// The most that an envelope may allow a task. Otherwise what it says holds.
    #[must_use]
    pub fn limits_max(mut self, limits: Limits) -> Self {
        self.limits_max = Some(limits);
        self
    }

    /// Whether a resource is an export of a module.
    #[must_use]
    pub fn is_wasm(resource: &str) -> bool {
        resource.starts_with("wasm:")
    }

    /// Lets go of what was kept ready of a module: it is not in its source any more.
    pub fn forget(&self, module: &ModuleId) {
        self.programs.retain(|_, program| program.id() != *module);
    }

    /// What the exports take that a definition names, for [`validate_against`](crate::validate_against).
    pub async fn signatures(&self, definition: &Definition, envelope: &Envelope) -> impl Signatures + use<> {
        let mut known = BTreeMap::new();
        for resource in definition.resources() {
            let does = envelope.resource(resource.text());
            if Self::is_wasm(does) {
                known.insert(resource.text().to_owned(), self.describe(does, envelope).await);
            }
        }
        Known(known)
    }

    async fn describe(&self, resource: &str, envelope: &Envelope) -> Export {
        let found = match self.find(resource, envelope).await {
            Ok(found) => found,
            Err(Refused(_, why)) => return Export::Missing(why),
        };
        let export = found.0.exports().iter().find(|export| export.name == found.1);
        match export.map(|export| &export.kind) {
            Some(ExportKind::Function(signature)) => {
                let parameters = signature.parameters.iter().map(|(name, ty)| Parameter {
                    name: name.clone(),
                    kind: kind_of(ty),
                    is_optional: matches!(ty, Type::Option(_) | Type::Json(_)),
                });
                Export::Takes(Signature { parameters: parameters.collect() })
            }
            _ => Export::Unknown,
        }
    }

    /// The program of a resource, and the name of its export: there, and a function.
    async fn find<'r>(&self, resource: &'r str, envelope: &Envelope) -> Result<(Program, &'r str), Refused> {
        let invalid = |why: String| Refused("Runner.Invalid", why);
        let (module, export) = parse(resource).map_err(invalid)?;
        let policy = envelope.policy(resource);
        let grants = policy.map(|policy| grants(&policy.grants)).transpose().map_err(invalid)?.unwrap_or_default();
        // A limit on fuel is one only where fuel is counted.
        let metering = match policy.is_some_and(|policy| policy.limits.contains_key("fuel")) {
            true => Metering::Fuel,
            false => Metering::Epochs,
        };
        let digest =
            envelope.modules.get(module).map(String::as_str).or(module.starts_with("sha256:").then_some(module));
        let ready = Ready {
            module: module.to_owned(),
            digest: digest.map(str::to_owned),
            grants: policy.map_or_else(String::new, |policy| Value::Object(policy.grants.clone()).to_string()),
            metering,
        };
        let program = match self.programs.get(&ready) {
            Some(program) => program,
            None => {
                let program = self.load(module, digest, &grants, metering).await?;
                self.programs.insert(ready, program.clone());
                program
            }
        };
        let exports = program.exports();
        let (name, why) = match exports.iter().find(|found| found.name == export).map(|found| &found.kind) {
            Some(ExportKind::Function(_)) => return Ok((program, export)),
            Some(ExportKind::Unsupported(reason)) => ("Runner.Invalid", format!("cannot be called: {reason}")),
            Some(_) => ("Runner.Invalid", "is no function, as a task is".to_owned()),
            None => {
                let functions = exports.iter().filter(|found| matches!(found.kind, ExportKind::Function(_)));
                let functions: Vec<_> = functions.take(SHOWN_MAX).map(|found| format!("`{}`", found.name)).collect();
                ("Runner.NotFound", format!("is not there: its functions are {}", functions.join(", ")))
            }
        };
        Err(Refused(name, format!("export `{export}` of `{module}` {why}")))
    }

    async fn load(
        &self,
        module: &str,
        digest: Option<&str>,
        grants: &Grants,
        metering: Metering,
    ) -> Result<Program, Refused> {
        // It is never closed.
        let _place = self.loads.acquire().await.ok();
        let bytes = self.modules.find(module).await?;
        let bytes = bytes.ok_or_else(|| Refused("Runner.NotFound", format!("there is no module `{module}`")))?;
        let found = ModuleId::of(&bytes).to_string();
        if let Some(digest) = digest.filter(|digest| *digest != found) {
            let why = format!("module `{module}` is not the one that is expected: it is `{found}`, and not `{digest}`");
            return Err(Refused("Runner.Invalid", why));
        }
        let mut load = self.executor.load(&bytes, grants).metering(metering);
        if let Some((name, _version)) = module.split_once('@') {
            load = load.named(name);
        }
        Ok(load.await?)
    }

    /// What a task may use.
    fn limits(&self, policy: Option<&TaskPolicy>) -> Result<Limits, String> {
        let mut limits = self.executor.limits().clone();
        for (name, value) in policy.into_iter().flat_map(|policy| &policy.limits) {
            set(&mut limits, self.limits_max.as_ref(), name, value)?;
        }
        Ok(limits)
    }

    async fn run(&self, task: &Task) -> Result<Done, Refused> {
        let Task { resource, envelope, invocation, .. } = task;
        let (program, export) = self.find(resource, envelope).await?;
        let mut limits = self.limits(envelope.policy(resource)).map_err(|why| Refused("Runner.Invalid", why))?;
        let own = limits.deadline;
        limits.deadline = task.time_left.map_or(own, |left| left.min(own));
        let is_cut_short = limits.deadline < own;
        let parameters = program.exports().iter().find_map(|found| match &found.kind {
            ExportKind::Function(signature) if found.name == export => Some(signature.parameters.as_slice()),
            _ => None,
        });
        let call = program
            .call(export)
            .args(arguments(parameters.unwrap_or_default(), &invocation.arguments))
            .limits(limits)
            .idempotency_key(&invocation.idempotency_key)
            .attempt(invocation.attempt);
        let Outcome { ending, .. } = call.run().await?;
        Ok(match ending {
            Ending::Returned(value) => Done::Succeeded(value),
            Ending::Failed(failure) => Done::failed(failure.code, failure.message),
            Ending::Trapped(trap) => Done::failed("Runner.Trapped", trap.to_string()),
            // The state's own time is over.
            Ending::Exhausted(limit) if limit.kind == LimitKind::Deadline && is_cut_short => Done::TimedOut,
            Ending::Exhausted(limit) => Done::failed("Runner.LimitExceeded", format!("it met its limit on {limit}")),
            _ => Done::failed("Runner.Unavailable", "the host cut it off"),
        })
    }
}

#[async_trait]
impl Tasks for WasmTasks {
    async fn invoke(&self, task: Task) -> Done {
        let run = async { self.run(&task).await.unwrap_or_else(|Refused(name, why)| Done::failed(name, why)) };
        let Some(seconds) = task.invocation.heartbeat_seconds else { return run.await };
        let beat = async {
            loop {
                // Twice as often as it must.
                tokio::time::sleep(Duration::from_millis(seconds.saturating_mul(500))).await;
                task.heart.beat();
            }
        };
        tokio::select! { done = run => done, () = beat => unreachable!("it beats for ever") }
    }

    async fn check(&self, resource: &str, envelope: &Envelope) -> Result<(), String> {
        if !Self::is_wasm(resource) {
            return Err("nobody here does it: expected `wasm:NAME@VERSION#export`, `wasm:sha256:DIGEST#export` or \
                        `workflow:NAME`, by itself or in the envelope's `resources`"
                .to_owned());
        }
        self.limits(envelope.policy(resource))?;
        self.find(resource, envelope).await.map(|_| ()).map_err(|Refused(_, why)| why)
    }
}

/// Exports by the resources that name them.
struct Known(BTreeMap<String, Export>);

impl Signatures for Known {
    fn export(&self, resource: &Resource) -> Export {
        self.0.get(resource.text()).cloned().unwrap_or(Export::Unknown)
    }
}

/// The module and the export of a resource.
fn parse(resource: &str) -> Result<(&str, &str), String> {
    let text = resource.strip_suffix(".waitForTaskToken").unwrap_or(resource);
    let parts = text.strip_prefix("wasm:").and_then(|text| text.split_once('#'));
    let parts = parts.filter(|(module, export)| {
        let is_version = module.split_once('@').is_some_and(|(name, version)| !name.is_empty() && !version.is_empty());
        !export.is_empty() && (is_version || module.parse::<ModuleId>().is_ok())
    });
    parts.ok_or_else(|| {
        let shown = resource.escape_debug();
        format!("`{shown}` names no export: expected `wasm:NAME@VERSION#export` or `wasm:sha256:DIGEST#export`")
    })
}

fn grants(given: &Map<String, Value>) -> Result<Grants, String> {
    serde_json::from_value(Value::Object(given.clone())).map_err(|error| format!("its grants cannot be read: {error}"))
}

/// Sets one limit by its name, as calls name them.
fn set(limits: &mut Limits, most: Option<&Limits>, name: &str, value: &Value) -> Result<(), String> {
    let number = value.as_u64().ok_or_else(|| format!("limit `{name}` is `{value}`: expected a whole number"))?;
    let within = |most: Option<u64>| match most {
        Some(most) if number > most => Err(format!("limit `{name}` is {number}, and this host allows {most} at most")),
        _ => Ok(number),
    };
    let small = |most: Option<u32>| {
        let number = within(Some(u64::from(most.unwrap_or(u32::MAX))))?;
        u32::try_from(number).map_err(|_| format!("limit `{name}` is {number}: expected {} at most", u32::MAX))
    };
    let millis = |most: &Limits| u64::try_from(most.deadline.as_millis()).unwrap_or(u64::MAX);
    match name {
        "deadline_ms" => limits.deadline = Duration::from_millis(within(most.map(millis))?),
        "memory_bytes" => limits.memory_bytes = within(most.map(|most| most.memory_bytes))?,
        "table_elements" => limits.table_elements = within(most.map(|most| most.table_elements))?,
        "instances" => limits.instances = small(most.map(|most| most.instances))?,
        "fuel" => limits.fuel = within(most.map(|most| most.fuel))?,
        "host_calls" => limits.host_calls = within(most.map(|most| most.host_calls))?,
        "host_bytes" => limits.host_bytes = within(most.map(|most| most.host_bytes))?,
        "handles" => limits.handles = small(most.map(|most| most.handles))?,
        "input_bytes" => limits.input_bytes = within(most.map(|most| most.input_bytes))?,
        "output_bytes" => limits.output_bytes = within(most.map(|most| most.output_bytes))?,
        _ => {
            return Err(format!(
                "there is no limit `{}`: expected `deadline_ms`, `memory_bytes`, `table_elements`, `instances`, `fuel`, \
                 `host_calls`, `host_bytes`, `handles`, `input_bytes` or `output_bytes`",
                name.escape_debug()
            ));
        }
    }
    Ok(())
}

/// What a function is called with.
fn arguments(parameters: &[(String, Type)], given: &Value) -> Value {
    match (parameters, given) {
        ([], _) => Value::Null,
        ([(name, _)], Value::Object(fields)) if fields.len() == 1 && fields.contains_key(name) => given.clone(),
        ([_], _) => Value::Array(vec![given.clone()]),
        (_, given) => given.clone(),
    }
}

/// What the values of a type are in JSON.
fn kind_of(ty: &Type) -> ParameterKind {
    match ty {
        Type::Bool => ParameterKind::Boolean,
        Type::S8 | Type::U8 | Type::S16 | Type::U16 | Type::S32 | Type::U32 => ParameterKind::Number,
        Type::Char | Type::String | Type::Enum(_) => ParameterKind::String,
        // Bytes are a text, too.
        Type::List(inner) if **inner == Type::U8 => ParameterKind::Any,
        Type::List(_) | Type::FixedList(..) | Type::Tuple(_) => ParameterKind::Array,
        Type::Record(_) => ParameterKind::Object,
        Type::Option(inner) => kind_of(inner),
        Type::Json(schema) => match schema.get("type").and_then(Value::as_str) {
            Some("boolean") => ParameterKind::Boolean,
            Some("integer" | "number") => ParameterKind::Number,
            Some("string") => ParameterKind::String,
            Some("array") => ParameterKind::Array,
            Some("object") => ParameterKind::Object,
            _ => ParameterKind::Any,
        },
        // Integers of 64 bits and floats may be texts, variants are texts or objects.
        _ => ParameterKind::Any,
    }
}
