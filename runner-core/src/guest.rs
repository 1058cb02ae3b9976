//! A guest in a store: instantiated, and called through the engine. It knows neither limits nor capabilities.

use serde_json::Value;
use smallvec::{SmallVec, smallvec};
use wasmtime::component::Val as ComponentVal;
use wasmtime::{Store, Val};

use crate::error::{Error, Result, short};
use crate::host::Host;
use crate::outcome::{Ending, Failure};
use crate::program::{Linked, Program};
use crate::signature::{Entry, Signature};
use crate::task::{self, Work};
use crate::types::{Path, Type, core_from_json, core_to_json, from_json, to_json};

pub(crate) use crate::types::weight;

/// An instance in a store.
#[derive(Clone, Copy)]
pub(crate) enum Live {
    Core(wasmtime::Instance),
    Component(wasmtime::component::Instance),
}

/// Arguments read, ready to be handed over.
pub(crate) enum Arguments {
    Core(SmallVec<[Val; FEW]>),
    Component(SmallVec<[ComponentVal; FEW]>),
    Task(Box<Work>),
    None,
}

/// Values that need no allocation of their own: most functions take and give no more.
const FEW: usize = 4;

impl Arguments {
    /// Reads arguments given as an array, or by name as an object.
    pub(crate) fn read(entry: &Entry, args: &Value) -> Result<Self> {
        match entry {
            Entry::Core { signature, .. } => each(signature, args, core_from_json).map(Arguments::Core),
            Entry::Component { signature, .. } => each(signature, args, from_json).map(Arguments::Component),
            Entry::Task { name, signature, .. } => {
                let values = each(signature, args, |_, value, _| Ok(value.clone()))?;
                Ok(Arguments::Task(Box::new(Work::new(name, values.into_vec()))))
            }
            Entry::Start(_) | Entry::Run(_) => match args {
                Value::Null => Ok(Arguments::None),
                Value::Array(items) if items.is_empty() => Ok(Arguments::None),
                _ => Err(Error::invalid("a command takes no typed arguments: give it command-line arguments")),
            },
            Entry::Http => Err(Error::invalid("an HTTP handler is not called with arguments: send it a request")),
        }
    }
}

fn each<V>(
    signature: &Signature,
    args: &Value,
    read: impl Fn(&Type, &Value, &Path<'_>) -> Result<V>,
) -> Result<SmallVec<[V; FEW]>> {
    let parameters = &signature.parameters;
    let shown = || {
        const SHOWN_MAX: usize = 20;
        let shown = parameters.iter().take(SHOWN_MAX);
        let shown: Vec<_> = shown.map(|(name, ty)| format!("{}: {}", short(name), short(&ty.to_string()))).collect();
        let more = if parameters.len() > SHOWN_MAX { ", .." } else { "" };
        format!("({}{more})", shown.join(", "))
    };
    match args {
        Value::Array(values) if values.len() == parameters.len() => {
            parameters.iter().zip(values).map(|((name, ty), value)| read(ty, value, &Path::Argument(name))).collect()
        }
        Value::Null if parameters.is_empty() => Ok(SmallVec::new()),
        Value::Object(fields) => {
            if let Some(unknown) = fields.keys().find(|name| parameters.iter().all(|(known, _)| known != *name)) {
                return Err(Error::invalid(format!(
                    "argument `{}` is unknown: the parameters are {}",
                    short(unknown),
                    shown()
                )));
            }
            let value = |name: &String, ty: &Type| match (fields.get(name), ty) {
                (Some(value), _) => Ok(value),
                // Whether a task can do without it, the task says.
                (None, Type::Option(_) | Type::Json(_)) => Ok(&Value::Null),
                (None, _) => Err(Error::invalid(format!(
                    "argument `{}` is missing: the parameters are {}",
                    short(name),
                    shown()
                ))),
            };
            parameters.iter().map(|(name, ty)| read(ty, value(name, ty)?, &Path::Argument(name))).collect()
        }
        Value::Array(values) => {
            let (expected, found) = (parameters.len(), values.len());
            Err(Error::invalid(format!("expected {expected} arguments {}, found {found}", shown())))
        }
        other => {
            let kind = match other {
                Value::Null => "nothing",
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                _ => "a string",
            };
            Err(Error::invalid(format!("expected an array or an object of arguments {}, found {kind}", shown())))
        }
    }
}

/// Makes an instance; a reactor is initialized.
pub(crate) async fn instantiate(program: &Program, store: &mut Store<Host>) -> wasmtime::Result<Live> {
    match program.linked() {
        Linked::Core(pre) => {
            let instance = pre.instantiate_async(&mut *store).await?;
            if let Some(index) = &program.surface().initialize
                && let Some(initialize) =
                    instance.get_module_export(&mut *store, index).and_then(|export| export.into_func())
            {
                initialize.typed::<(), ()>(&*store)?.call_async(&mut *store, ()).await?;
            }
            Ok(Live::Core(instance))
        }
        Linked::Component { pre, .. } => Ok(Live::Component(pre.instantiate_async(&mut *store).await?)),
    }
}

/// Calls an entry. What the guest calls a failure comes back as one; a result beyond so many bytes of JSON as `None`.
pub(crate) async fn invoke(
    live: Live,
    store: &mut Store<Host>,
    entry: &Entry,
    args: &Arguments,
    output_bytes: u64,
) -> wasmtime::Result<Option<Ending>> {
    match (live, entry, args) {
        (Live::Core(instance), Entry::Core { index, signature }, Arguments::Core(args)) => {
            let func = core_func(instance, store, index)?;
            let mut results: SmallVec<[Val; FEW]> = smallvec![Val::I32(0); signature.results.len()];
            func.call_async(&mut *store, args, &mut results).await?;
            Ok(Some(Ending::Returned(match results.as_slice() {
                [] => Value::Null,
                [one] => core_to_json(one),
                many => many.iter().map(core_to_json).collect(),
            })))
        }
        (Live::Core(instance), Entry::Start(index), _) => {
            let start = core_func(instance, store, index)?.typed::<(), ()>(&*store)?;
            start.call_async(&mut *store, ()).await?;
            Ok(Some(Ending::Returned(Value::Null)))
        }
        (Live::Component(instance), Entry::Component { index, signature, .. }, Arguments::Component(args)) => {
            let func = instance.get_func(&mut *store, index).ok_or_else(|| gone("function"))?;
            let mut results: SmallVec<[ComponentVal; 1]> =
                smallvec![ComponentVal::Bool(false); signature.results.len()];
            func.call_async(&mut *store, args, &mut results).await?;
            Ok(match (signature.results.as_slice(), results.as_slice()) {
                ([ty], [value]) => returned(ty, value, output_bytes),
                _ => Some(Ending::Returned(Value::Null)),
            })
        }
        (Live::Component(instance), Entry::Task { functions, .. }, Arguments::Task(work)) => {
            task::run(instance, store, *functions, work, output_bytes).await
        }
        (Live::Component(instance), Entry::Run(index), _) => {
            let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, index)?;
            Ok(Some(match run.call_async(&mut *store, ()).await? {
                (Ok(()),) => Ending::Returned(Value::Null),
                (Err(()),) => Ending::Failed(Box::new(Failure {
                    code: "exit".to_owned(),
                    message: "the command failed".to_owned(),
                    retryable: false,
                    exit_code: Some(1),
                    value: None,
                })),
            }))
        }
        _ => Err(wasmtime::Error::msg("the entry does not belong to this kind of module")),
    }
}

pub(crate) fn core_func(
    instance: wasmtime::Instance,
    store: &mut Store<Host>,
    index: &wasmtime::ModuleExport,
) -> wasmtime::Result<wasmtime::Func> {
    instance.get_module_export(store, index).and_then(|export| export.into_func()).ok_or_else(|| gone("function"))
}

fn gone(what: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("a {what} that the module exports is not in its instance"))
}

/// A top-level result is unwrapped: its `ok` is the value, its `err` the guest's word for no.
fn returned(ty: &Type, value: &ComponentVal, output_bytes: u64) -> Option<Ending> {
    // A result of null alone takes nothing.
    let mut left = output_bytes.max(weight(&Value::Null));
    let (Type::Result(ok, err), ComponentVal::Result(result)) = (ty, value) else {
        return to_json(ty, value, &mut left).map(Ending::Returned);
    };
    let mut payload = |ty: &Option<Box<Type>>, value: &Option<Box<ComponentVal>>| match (ty, value) {
        (Some(ty), Some(value)) => to_json(ty, value, &mut left).map(Some),
        _ => Some(None),
    };
    Some(match result {
        Ok(value) => Ending::Returned(payload(ok, value)?.unwrap_or(Value::Null)),
        Err(value) => Ending::Failed(failure(err.as_deref(), payload(err, value)?).into()),
    })
}

/// Reads what can be read out of an `err`: the SDK's record of code, message and retryable, a case's name, a text.
fn failure(ty: Option<&Type>, value: Option<Value>) -> Failure {
    let field = |name: &str| value.as_ref().and_then(|value| value.get(name));
    let (code, message) = match &value {
        // A case is a name that a program can match.
        Some(Value::String(case)) if matches!(ty, Some(Type::Enum(_) | Type::Variant(_))) => (Some(case.clone()), None),
        Some(Value::String(text)) => (None, Some(text.clone())),
        Some(Value::Object(fields)) if fields.contains_key("message") => {
            let code = field("code").and_then(Value::as_str).map(str::to_owned);
            (code, field("message").and_then(Value::as_str).map(str::to_owned))
        }
        Some(Value::Object(fields)) if fields.len() == 1 => (fields.keys().next().cloned(), None),
        _ => (None, None),
    };
    let message = message.unwrap_or_else(|| match &value {
        Some(Value::String(case)) => case.clone(),
        Some(value) => value.to_string(),
        None => "the guest failed without saying why".to_owned(),
    });
    Failure {
        code: code.unwrap_or_else(|| "error".to_owned()),
        message,
        retryable: field("retryable").and_then(Value::as_bool).unwrap_or(false),
        exit_code: None,
        value,
    }
}

/// A command that exited with 0 returned.
pub(crate) fn exited_well(ending: Ending) -> Ending {
    match ending {
        Ending::Failed(failure) if failure.exit_code == Some(0) => Ending::Returned(Value::Null),
        other => other,
    }
}
