//! Who does a task: what its `Resource` says, what the envelope puts in its place, and what those integrations of AWS's name in
//! their arguments that we have something for: functions of Lambda and executions of state machines.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Done;
use crate::envelope::Envelope;
use crate::failure::{Failure, names};
use crate::resource::{Family, Resource};
use crate::run::Ending;
use crate::store::Summary;
use crate::template::Template;

/// Who does a task, and with what.
#[derive(Clone, Debug)]
pub(super) struct Doer<'e> {
    /// What does it, after the envelope's mapping.
    pub(super) resource: Cow<'e, str>,
    /// What it works with.
    pub(super) arguments: Cow<'e, Value>,
    /// The name that a child is to have.
    pub(super) name: Option<String>,
    /// How its answer is told.
    pub(super) told: Told,
}

/// How an answer is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Told {
    /// As it is.
    #[default]
    AsItIs,
    /// As a function of Lambda tells it: failures have a cause in JSON.
    Function,
    /// The same, by `lambda:invoke`: results lie in `Payload`.
    Invoked,
    /// As `startExecution.sync:2` tells how an execution has ended.
    Described,
    /// As `startExecution.sync` does, with values as texts.
    DescribedInTexts,
}

/// Nobody does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nobody {
    /// The name that Retry and Catch match.
    pub(super) error: &'static str,
    pub(super) cause: String,
    /// Whether the arguments do not say by whom: before a run, they may not yet.
    pub(super) is_unnamed: bool,
}

impl<'e> Doer<'e> {
    pub(super) fn of(envelope: &'e Envelope, resource: &'e Resource, arguments: &'e Value) -> Result<Self, Nobody> {
        let own = |resource| Doer {
            resource: Cow::Borrowed(resource),
            arguments: Cow::Borrowed(arguments),
            name: None,
            told: Told::AsItIs,
        };
        if let Some(does) = envelope.resources.get(resource.text()) {
            let told = if resource.family() == Family::Lambda { Told::Function } else { Told::AsItIs };
            return Ok(Doer { told, ..own(does) });
        }
        let name = resource.name().strip_suffix(".waitForTaskToken").unwrap_or(resource.name());
        let part = |field| match arguments.get(field) {
            Some(value) => Cow::Borrowed(value),
            None => Cow::Owned(Value::Object(Map::new())),
        };
        match (resource.family(), resource.kind(), name) {
            (Family::Lambda, ..) => {
                let does = function(envelope, resource.text())?;
                Ok(Doer { told: Told::Function, ..own(does) })
            }
            (Family::Service, "lambda", "invoke") => {
                let does = function(envelope, named(arguments, resource, "FunctionName")?)?;
                Ok(Doer { arguments: part("Payload"), told: Told::Invoked, ..own(does) })
            }
            (Family::Service, "states", "startExecution" | "startExecution.sync" | "startExecution.sync:2") => {
                let machine = named(arguments, resource, "StateMachineArn")?;
                let told = match name {
                    "startExecution.sync" => Told::DescribedInTexts,
                    "startExecution.sync:2" => Told::Described,
                    _ => Told::AsItIs,
                };
                let name = arguments.get("Name").and_then(Value::as_str).map(str::to_owned);
                Ok(Doer { arguments: part("Input"), told, name, ..own(state_machine(envelope, machine)?) })
            }
            _ => Ok(own(resource.text())),
        }
    }

    /// The workflow that it starts, where it does.
    pub(super) fn child(&self) -> Option<&str> {
        let name = self.resource.strip_prefix("workflow:")?;
        let name = name.strip_suffix(".waitForTaskToken").unwrap_or(name);
        Some(name.strip_suffix(".sync").unwrap_or(name))
    }
}

/// What the arguments of an integration call who does it.
fn named<'a>(arguments: &'a Value, resource: &Resource, field: &'static str) -> Result<&'a str, Nobody> {
    arguments.get(field).and_then(Value::as_str).ok_or_else(|| Nobody {
        error: "Runner.Invalid",
        cause: format!("the arguments of `{}` have no text `{field}`, which says who does it", resource.text()),
        is_unnamed: true,
    })
}

/// What the envelope has for a function: by what it is called, or by its name, whatever the region, account and version.
fn function<'e>(envelope: &'e Envelope, called: &str) -> Result<&'e str, Nobody> {
    fn name(called: &str) -> &str {
        let name = called.rsplit_once("function:").map_or(called, |(_, name)| name);
        name.split_once(':').map_or(name, |(name, _version)| name)
    }
    let is_function = |key: &str| key.contains(":function:") || !key.contains(':');
    let mut functions = envelope.resources.iter().filter(|(key, _)| is_function(key));
    let by_name = || functions.find(|(key, _)| name(key) == name(called)).map(|(_, does)| does);
    envelope.resources.get(called).or_else(by_name).map(String::as_str).ok_or_else(|| Nobody {
        error: "Lambda.ResourceNotFoundException",
        cause: format!(
            "the envelope has nothing for the function `{}`: `resources` says what does it",
            called.escape_debug()
        ),
        is_unnamed: false,
    })
}

/// The workflow that the envelope has for a state machine.
fn state_machine<'e>(envelope: &'e Envelope, called: &str) -> Result<&'e str, Nobody> {
    fn name(called: &str) -> &str {
        called.rsplit_once("stateMachine:").map_or(called, |(_, name)| name)
    }
    let by_name = || envelope.resources.iter().find(|(key, _)| name(key) == name(called)).map(|(_, does)| does);
    let does = envelope.resources.get(called).or_else(by_name);
    does.filter(|does| does.starts_with("workflow:")).map(String::as_str).ok_or_else(|| Nobody {
        error: "StepFunctions.StateMachineDoesNotExistException",
        cause: format!(
            "the envelope has no workflow for the state machine `{}`: `resources` says which, as `workflow:NAME`",
            called.escape_debug()
        ),
        is_unnamed: false,
    })
}

/// What is certain of the arguments before a run.
pub(super) fn literals(arguments: Option<&Template>) -> Value {
    match arguments {
        Some(Template::Literal(value)) => value.clone(),
        Some(Template::Object(parts)) => {
            let literal = |(name, part): &(String, Template)| match part {
                Template::Literal(value) => Some((name.clone(), value.clone())),
                _ => None,
            };
            Value::Object(parts.iter().filter_map(literal).collect())
        }
        _ => Value::Null,
    }
}

impl Told {
    /// Tells how a task went.
    pub(super) fn of(self, done: Done) -> Done {
        match (self, done) {
            (Self::Invoked, Done::Succeeded(output)) => {
                Done::Succeeded(json!({ "ExecutedVersion": "$LATEST", "Payload": output, "StatusCode": 200 }))
            }
            (Self::Invoked | Self::Function, Done::Failed(failure)) => {
                let cause = json!({
                    "errorMessage": failure.cause.unwrap_or_default(),
                    "errorType": failure.error.clone().unwrap_or_default(),
                });
                Done::Failed(Failure { cause: Some(cause.to_string()), ..failure })
            }
            (_, done) => done,
        }
    }

    /// Tells how a child has ended.
    pub(super) fn ended(self, child: &Summary, input: &Value, ending: &Ending) -> Done {
        let named = |failure: &Failure, otherwise: &str| {
            let error = failure.error.clone().or_else(|| Some(otherwise.to_owned()));
            Done::Failed(Failure { error, cause: failure.cause.clone(), location: None })
        };
        let is_text = match self {
            Self::Described => false,
            Self::DescribedInTexts => true,
            _ => {
                return match ending {
                    Ending::Succeeded { output } => Done::Succeeded(output.clone()),
                    Ending::Failed(failure) => named(failure, names::TASK_FAILED),
                    Ending::TimedOut(failure) => named(failure, names::TIMEOUT),
                    Ending::Aborted(failure) => named(failure, "Runner.Stopped"),
                };
            }
        };
        let value = |value: &Value| if is_text { Value::from(value.to_string()) } else { value.clone() };
        let mut described = json!({
            "ExecutionArn": child.id,
            "Input": value(input),
            "InputDetails": { "Included": true },
            "Name": child.name,
            "StartDate": crate::time::format(child.started_ms),
            "StateMachineArn": child.workflow,
            "Status": child.status.as_str(),
            "StopDate": crate::time::format(child.ended_ms.unwrap_or(child.started_ms)),
        });
        match ending {
            Ending::Succeeded { output } => {
                described["Output"] = value(output);
                described["OutputDetails"] = json!({ "Included": true });
                Done::Succeeded(described)
            }
            Ending::Failed(failure) | Ending::TimedOut(failure) | Ending::Aborted(failure) => {
                described["Error"] = failure.error.clone().into();
                described["Cause"] = failure.cause.clone().into();
                Done::failed(names::TASK_FAILED, described.to_string())
            }
        }
    }
}
