//! What is put around a definition: the modules that its tasks are, what they may use, samples and tests. The definition
//! itself stays as AWS has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::complaint::Rejection;
use crate::definition::Definition;
use crate::simulate::{Simulated, Simulation, TaskResult, simulate};

/// What ends the name of a task whose token is waited for.
const CALLBACK: &str = ".waitForTaskToken";

/// A workflow with all that it needs.
///
/// ```
/// use runner_workflow::Envelope;
///
/// let envelope = Envelope::parse(r#"{
///     "definition": {"StartAt": "Charge", "States": {"Charge": {
///         "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:111111111111:function:charge", "End": true}}},
///     "resources": {"arn:aws:lambda:us-east-1:111111111111:function:charge": "wasm:shop@1#charge"},
///     "modules": {"shop@1": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
///     "tasks": {"wasm:shop@1#charge": {"grants": {"kv": {"stores": {}}}, "limits": {"deadlineMs": 5000}}}
/// }"#)?;
/// assert_eq!(envelope.resource("arn:aws:lambda:us-east-1:111111111111:function:charge"), "wasm:shop@1#charge");
/// # Ok::<(), runner_workflow::EnvelopeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// The definition: an object, or its text.
    pub definition: Value,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Modules by `NAME@VERSION`, each with the digest that it must have: `sha256:` and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modules: BTreeMap<String, String>,
    /// What does the tasks of a `Resource`, where it is not what the `Resource` says: it takes the place of ARNs. For
    /// `arn:aws:states:::lambda:invoke` it is found by `FunctionName`, as an ARN or a name, whatever the version; for
    /// `arn:aws:states:::states:startExecution`, by `StateMachineArn`, as `workflow:NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, String>,
    /// What tasks may use, by the resource that does them, or by its module for all of its exports: `wasm:NAME@VERSION`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<String, TaskPolicy>,
    /// Inputs to try it with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// What must come of it where its tasks answer from a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<Test>,
}

/// What a task may use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskPolicy {
    /// Capabilities, each with its grant.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub grants: Map<String, Value>,
    /// Limits, as whoever does the tasks names them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub limits: Map<String, Value>,
}

/// An input to try a workflow with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sample {
    /// What it is.
    pub name: String,
    /// The input.
    pub input: Value,
}

/// A run in a simulation, and what must come of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Test {
    /// What it shows.
    pub name: String,
    /// The input.
    #[serde(default)]
    pub input: Value,
    /// What the tasks answer, in the order in which they are asked: `{state, result}`, `{state, error, cause}` or
    /// `{state, timeout: true}`, with `iteration` in a Map.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_results: Vec<Value>,
    /// What must come of it.
    pub expect: Expected,
}

/// What must come of a test. Each field that is there must be the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    /// `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
    pub status: String,
    /// The output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The name of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The text of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The states that are entered, in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub states: Option<Vec<String>>,
}

/// How a test of an envelope went.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tested {
    /// Which.
    pub name: String,
    /// What was not as expected, each with what was expected and found; empty where all was.
    pub differences: Vec<String>,
}

/// A text is no envelope.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is no JSON of that shape.
    #[error("the envelope is not what its schema says: {0}")]
    Shape(#[from] serde_json::Error),
    /// Its definition is wrong.
    #[error(transparent)]
    Definition(#[from] Rejection),
    /// What stands around the definition is wrong.
    #[error("the envelope's {0}")]
    Field(String),
}

impl Envelope {
    /// Reads an envelope, and looks at all of it but its definition.
    ///
    /// # Errors
    ///
    /// Where it is not what its schema says: the message names the field.
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        let envelope: Self = serde_json::from_str(text)?;
        envelope.checked()
    }

    fn checked(self) -> Result<Self, EnvelopeError> {
        let envelope = self;
        let wrong = |what: String| Err(EnvelopeError::Field(what));
        for (name, digest) in &envelope.modules {
            let is_digest = digest.strip_prefix("sha256:").is_some_and(|hex| {
                hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            });
            if !is_digest {
                return wrong(format!(
                    "module `{name}` has the digest `{}`: expected `sha256:` and 64 hexadecimal digits",
                    digest.escape_debug()
                ));
            }
        }
        for (called, does) in &envelope.resources {
            let suffix = [CALLBACK, ".sync", ".sync:2"].into_iter().find(|suffix| does.ends_with(suffix));
            if let Some(suffix) = suffix {
                return wrong(format!(
                    "resource `{}` is done by `{}`, which ends with `{suffix}`: what is waited for says the state's `Resource`",
                    called.escape_debug(),
                    does.escape_debug()
                ));
            }
        }
        for (index, test) in envelope.tests.iter().enumerate() {
            for result in &test.task_results {
                if let Err(why) = TaskResult::try_from(result.clone()) {
                    return wrong(format!("`/tests/{index}/taskResults`: {why}"));
                }
            }
        }
        Ok(envelope)
    }

    /// An envelope around a definition, of what else an object has of its fields `resources`, `modules` and `tasks`.
    ///
    /// # Errors
    ///
    /// Where they are not what its schema says.
    pub fn around(definition: &Value, rest: &Value) -> Result<Self, EnvelopeError> {
        let mut envelope = Map::from_iter([("definition".to_owned(), definition.clone())]);
        let given = ["resources", "modules", "tasks"].into_iter().filter_map(|field| Some((field, rest.get(field)?)));
        envelope.extend(given.map(|(field, value)| (field.to_owned(), value.clone())));
        Self::deserialize(Value::Object(envelope))?.checked()
    }

    /// Parses its definition.
    ///
    /// # Errors
    ///
    /// With everything that is wrong with it.
    pub fn definition(&self) -> Result<Definition, Rejection> {
        Definition::from_either(&self.definition).1
    }

    /// What does the tasks of a `Resource`.
    #[must_use]
    pub fn resource<'e>(&'e self, resource: &'e str) -> &'e str {
        self.resources.get(resource).map_or(resource, String::as_str)
    }

    /// What a task may use that a resource does: by its own name, or else by its module's, `wasm:NAME@VERSION`.
    #[must_use]
    pub fn policy(&self, resource: &str) -> Option<&TaskPolicy> {
        Self::policies(resource).find_map(|name| self.tasks.get(name))
    }

    /// The names by which `tasks` may say what a resource may use, the first that is there.
    pub(crate) fn policies(resource: &str) -> impl Iterator<Item = &str> {
        let own = resource.strip_suffix(CALLBACK).unwrap_or(resource);
        let module = own.split_once('#').map(|(module, _)| module);
        [Some(resource), Some(own), module].into_iter().flatten()
    }

    /// Runs its tests, each in a simulation.
    #[must_use]
    pub fn test(&self) -> Vec<Tested> {
        self.tests.iter().map(|test| test.run(&self.definition)).collect()
    }
}

impl Test {
    fn run(&self, definition: &Value) -> Tested {
        let results = self.task_results.iter().map(|result| TaskResult::try_from(result.clone()));
        let simulated = match results.collect::<Result<Vec<_>, _>>() {
            Err(why) => return Tested { name: self.name.clone(), differences: vec![why] },
            Ok(task_results) => simulate(&Simulation {
                definition: definition.clone(),
                input: self.input.clone(),
                context: None,
                kind: None,
                is_synchronous: false,
                task_results,
                now_ms: None,
                seed: 0,
            }),
        };
        Tested { name: self.name.clone(), differences: self.expect.differences(&simulated) }
    }
}

impl Expected {
    fn differences(&self, found: &Simulated) -> Vec<String> {
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let entered = found.trace.iter().filter(|entry| entry.kind.ends_with("StateEntered"));
        let entered: Vec<_> = entered.filter_map(|entry| entry.name.clone()).collect();
        let pairs = [
            ("status", Some(self.status.clone().into()), Some(found.status.into())),
            ("output", self.output.clone(), found.output.clone()),
            ("error", text(&self.error), text(&found.error)),
            ("cause", text(&self.cause), text(&found.cause)),
            ("states", self.states.clone().map(Value::from), Some(entered.into())),
        ];
        let mut differences = Vec::new();
        for (field, expected, found) in pairs {
            if expected.is_some() && expected != found {
                let shown = |value: Option<Value>| value.map_or("nothing".to_owned(), |value| format!("`{value}`"));
                differences.push(format!("{field}: expected {}, found {}", shown(expected), shown(found)));
            }
        }
        // A failure says why, where that was not expected.
        if let (false, Some(cause), None) = (differences.is_empty(), &found.cause, &self.cause) {
            differences.push(format!("the run says: {cause}"));
        }
        differences
    }
}
