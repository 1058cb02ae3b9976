//! Tasks: what a module says of itself by its export `runner:task/tasks`, and how one of them is run.
//!
//! It is asked for its description once, when it is loaded, with nothing granted.

use std::sync::Arc;
use std::time::Duration;

use indexmap::map::Entry as Slot;
use serde::Deserialize;
use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentType, Instance, Lift, Lower};

use crate::code::Compiled;
use crate::error::{Error, ErrorKind, Result, short};
use crate::executor::Executor;
use crate::guest::{Live, instantiate};
use crate::host::Host;
use crate::limits::Limits;
use crate::link::Linkers;
use crate::outcome::{Ending, Failure};
use crate::program::{Code, Program};
use crate::session::{Session, Setting};
use crate::signature::{Entry, Export, ExportKind, Signature, Surface};
use crate::types::Type;

/// The interface that modules with tasks export; `runner-sdk-guest/wit/task.wit` has it.
pub(crate) const TASKS: &str = "runner:task/tasks@0.1.0";

/// Where its functions lie.
#[derive(Clone, Copy)]
pub(crate) struct Functions {
    pub(crate) describe: ComponentExportIndex,
    pub(crate) run: ComponentExportIndex,
}

/// Who asks for the work, as the task sees it.
#[derive(Clone, Debug, ComponentType, Lower, Lift)]
#[component(record)]
struct Context {
    #[component(name = "idempotency-key")]
    idempotency_key: Option<String>,
    attempt: u32,
    #[component(name = "deadline-ms")]
    deadline_ms: u64,
}

#[derive(Debug, ComponentType, Lower, Lift)]
#[component(record)]
struct Refusal {
    code: String,
    message: String,
    retryable: bool,
}

/// The arguments of a task, ready to be handed over.
pub(crate) struct Work {
    task: String,
    arguments: String,
    context: Context,
}

impl Work {
    /// Of arguments in the order of the parameters. Whether they fit is for the task to say: it has the types.
    pub(crate) fn new(task: &str, arguments: Vec<Value>) -> Self {
        let context = Context { idempotency_key: None, attempt: 1, deadline_ms: 0 };
        Work { task: task.to_owned(), arguments: Value::Array(arguments).to_string(), context }
    }

    /// Who asks, and how long he waits.
    pub(crate) fn asked_by(&mut self, idempotency_key: Option<&str>, attempt: Option<u32>, deadline: Duration) {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let idempotency_key = idempotency_key.map(str::to_owned);
        self.context = Context { idempotency_key, attempt: attempt.unwrap_or(1), deadline_ms };
    }
}

/// Runs a task. A result beyond so many bytes of JSON is `None`, and one whose values would take more than the guest's own
/// memory may.
pub(crate) async fn run(
    instance: Instance,
    store: &mut Store<Host>,
    functions: Functions,
    work: &Work,
    output_bytes: u64,
) -> wasmtime::Result<Option<Ending>> {
    type Arguments<'a> = (&'a str, &'a str, &'a Context);
    type Answer = (std::result::Result<String, Refusal>,);
    let run = instance.get_typed_func::<Arguments<'_>, Answer>(&mut *store, functions.run)?;
    let (answer,) = run.call_async(&mut *store, (work.task.as_str(), work.arguments.as_str(), &work.context)).await?;
    Ok(match answer {
        Ok(text) if text.len() as u64 > output_bytes.max(4) => None,
        Ok(text) if values_bytes(&text) > store.data().meter.memory_bytes_max => None,
        Ok(text) => Some(match serde_json::from_str(&text) {
            Ok(value) => Ending::Returned(value),
            Err(error) => Ending::Failed(Box::new(failure(
                "malformed-result".to_owned(),
                format!("the task's result is not JSON: {error}"),
                false,
            ))),
        }),
        Err(Refusal { code, message, retryable }) => Some(Ending::Failed(Box::new(failure(code, message, retryable)))),
    })
}

/// About what the values of a JSON text take in memory, beside its characters: a `,` or `:` outside of quotes brings one,
/// and a list that grows has room for as many again; the first value in a list makes room for four.
fn values_bytes(json: &str) -> u64 {
    let (mut values, mut is_quoted, mut is_escaped) = (0_u64, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' | b':' if !is_quoted => values += 2,
            b'[' | b'{' if !is_quoted => values += 4,
            _ => {}
        }
    }
    values * size_of::<Value>() as u64
}

fn failure(code: String, message: String, retryable: bool) -> Failure {
    Failure { code, message, retryable, exit_code: None, value: None }
}

/// One task, as a module describes it.
#[derive(Deserialize)]
struct Description {
    name: String,
    #[serde(default)]
    about: String,
    #[serde(default)]
    parameters: Vec<Parameter>,
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    #[serde(default)]
    schema: Value,
}

/// What a module may use to describe itself.
fn limits() -> Limits {
    Limits { deadline: Duration::from_secs(5), memory_bytes: 64 << 20, output_bytes: 1 << 20, ..Limits::default() }
}

/// What the values of a description may take: those of some hundred thousand types and words.
const DESCRIPTION_BYTES_MAX: u64 = 32 << 20;

/// Asks a module that has tasks for them, and lists them among its exports.
///
/// # Errors
/// `Invalid` where it does not describe itself within the time and room that it has for it.
pub(crate) async fn described(executor: &Executor, code: Code, linkers: &Linkers) -> Result<Code> {
    let (Some(functions), Compiled::Component(component)) = (code.surface.tasks, &code.compiled) else {
        return Ok(code);
    };
    // Nothing is granted.
    let linkers = linkers.with_the_rest_closed(component);
    let linkers = linkers.map_err(|error| Error::internal("its imports cannot be closed").source(error))?;
    let code = Arc::new(code);
    let program = Program::link(executor.clone(), Arc::clone(&code), Vec::new(), &linkers)?;
    let text = ask(&program, functions).await?;
    drop(program);
    if values_bytes(&text) > DESCRIPTION_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::Exceeded,
            format!("the module's description of its tasks has values of over {DESCRIPTION_BYTES_MAX} bytes"),
        ));
    }
    let mut code = Arc::into_inner(code).ok_or_else(|| Error::internal("the module is in use before it is loaded"))?;
    let tasks: Vec<Description> = serde_json::from_str(&text)
        .map_err(|error| Error::invalid(format!("the module's description of its tasks is malformed: {error}")))?;
    let exports_max = executor.bounds().exports;
    if code.surface.exports.len() + tasks.len() > exports_max as usize {
        let found = code.surface.exports.len() + tasks.len();
        let message = format!("the module has {found} exports with its tasks, the bound is {exports_max}");
        return Err(Error::new(ErrorKind::Exceeded, message));
    }
    // Its values are kept in the signatures, and schemas are made out of them.
    code.surface.bytes += 2 * values_bytes(&text) + text.len() as u64;
    code.surface.add_tasks(tasks, functions)?;
    Ok(code)
}

async fn ask(program: &Program, functions: Functions) -> Result<String> {
    let setting = Setting { limits: limits(), ..Setting::default() };
    let mut session = Session::open(program, &setting).await?;
    session.bound_copies(1);
    let asked = session.watch(async |store, _| {
        let Live::Component(instance) = instantiate(program, store).await? else {
            return Err(wasmtime::Error::msg("tasks are a component's"));
        };
        let describe = instance.get_typed_func::<(), (String,)>(&mut *store, functions.describe)?;
        let (text,) = describe.call_async(&mut *store, ()).await?;
        Ok(text)
    });
    let why = match asked.await? {
        Ending::Returned(text) => return Ok(text),
        Ending::Trapped(trap) => trap.message,
        Ending::Exhausted(limit) => format!("it met its limit on {limit}"),
        Ending::Failed(failure) => failure.message,
        Ending::Cancelled => "it was stopped".to_owned(),
    };
    Err(Error::invalid(format!("the module does not describe its tasks: {why}")))
}

impl Surface {
    fn add_tasks(&mut self, tasks: Vec<Description>, functions: Functions) -> Result<()> {
        for Description { name, about, parameters, result } in tasks {
            let malformed = |what: &str| Error::invalid(format!("task `{}`: {what}", short(&name)));
            if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
                return Err(malformed("its name is empty, longer than 100 bytes, or not of printable letters"));
            }
            let Slot::Vacant(place) = self.entries.entry(name.clone()) else {
                return Err(malformed("the module has two exports of this name"));
            };
            let parameters = parameters.into_iter().map(|parameter| (parameter.name, json(parameter.schema)));
            let gives_nothing = result.get("type").is_some_and(|ty| ty == "null");
            let results = if gives_nothing { Vec::new() } else { vec![json(result)] };
            let signature = Arc::new(Signature { parameters: parameters.collect(), results, about });
            place.insert(Entry::Task { name: name.clone(), functions, signature: Arc::clone(&signature) });
            self.exports.push(Export { name, kind: ExportKind::Function(signature) });
        }
        Ok(())
    }
}

fn json(schema: Value) -> Type {
    // A missing schema is that of anything.
    Type::Json(Arc::new(if schema.is_null() { Value::Bool(true) } else { schema }))
}
