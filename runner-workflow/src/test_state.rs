//! One state by itself, as AWS's TestState runs it: an input, perhaps a mock in the place of its task or machines, and what
//! became of the input on the way. Nothing real is done.

mod evaluate;
mod mock;
mod shapes;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::definition::Definition;
use crate::failure::Failure;
use crate::resource::{Pattern, Resource};
use crate::simulate::Answer;
use crate::state::{Kind, State};

use evaluate::Bench;
use mock::Mocked;

/// What a state is called where its definition stands alone.
const ALONE: &str = "StateName";

/// Which state is to be tested, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateTest {
    /// The definition of a state, or of a state machine where `state_name` names one of its states: an object, or its text.
    pub definition: Value,
    /// The state, at any depth of the machine.
    #[serde(default)]
    pub state_name: Option<String>,
    /// The input.
    #[serde(default = "empty")]
    pub input: Value,
    /// The variables that are set before, an object or its text.
    #[serde(default)]
    pub variables: Option<Value>,
    /// Fields that are laid over the context object, an object or its text.
    #[serde(default)]
    pub context: Option<Value>,
    /// What is given in the place of what a Task, Map or Parallel would have done.
    #[serde(default)]
    pub mock: Option<Mock>,
    /// How the state is to be looked at.
    #[serde(default)]
    pub state_configuration: Configuration,
    /// How much is said besides the outcome.
    #[serde(default)]
    pub inspection_level: InspectionLevel,
    /// Whether secrets may be shown. Runner shows none; AWS refuses it beside a mock.
    #[serde(default)]
    pub reveal_secrets: bool,
    /// The role on AWS, which Runner does not need.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// When it happens, in milliseconds since 1970.
    #[serde(default)]
    pub now_ms: Option<i64>,
    /// What chance begins with.
    #[serde(default)]
    pub seed: u64,
}

/// What is given in the place of a real answer: one of the two.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mock {
    /// A result, as the text of a JSON value.
    pub result: Option<Value>,
    /// A failure.
    pub error_output: Option<MockError>,
    /// How closely a result is held against what the service answers.
    pub field_validation_mode: FieldValidation,
}

/// A failure in the place of an answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MockError {
    /// The name that Retry and Catch match.
    pub error: Option<String>,
    /// The text.
    pub cause: Option<String>,
}

/// How closely a mocked result is held against what the service is known to answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FieldValidation {
    /// What must be there is, and what is there is right.
    #[default]
    Strict,
    /// What is there is right.
    Present,
    /// Not at all.
    None,
}

/// How a state is to be looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Configuration {
    /// Which state within a Map or Parallel the mocked failure comes from.
    pub error_caused_by_state: Option<String>,
    /// What an `ItemReader` would have read, an array or its text.
    pub map_item_reader_data: Option<Value>,
    /// How many iterations of a Map failed.
    pub map_iteration_failure_count: Option<u64>,
    /// How often the retrier that matches has had the state tried again.
    pub retrier_retry_count: Option<u32>,
}

/// How much is said besides the outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum InspectionLevel {
    /// Nothing.
    #[default]
    Info,
    /// What became of the input, step by step.
    Debug,
    /// The same; on AWS, the request and response of an HTTP task besides.
    Trace,
}

/// How a test went.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateTested {
    /// `SUCCEEDED`, `FAILED`, `RETRIABLE`, `CAUGHT_ERROR`, or `REJECTED` for a test that cannot be made.
    pub status: &'static str,
    /// What goes out of the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The name of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The text of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The state that a run would come to next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_state: Option<String>,
    /// What became of the input on the way, as far as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspection_data: Option<Box<Inspection>>,
}

/// What became of the input on the way through a state. A step that the state does not have, or did not come to, is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each is named for the field of the language whose effect it shows")]
pub struct Inspection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_arguments: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_input_path: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_parameters: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_items_path: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_item_selector: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_item_batcher: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerated_failure_count: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerated_failure_percentage: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_result_selector: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_result_path: Option<Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub variables: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_details: Option<ErrorDetails>,
}

/// Which retrier or catcher a failure met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetails {
    /// The catcher, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_index: Option<usize>,
    /// The retrier, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_index: Option<usize>,
    /// How long it would wait before the next try, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_backoff_interval_seconds: Option<i64>,
}

/// What a Task without a mock asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    /// What does it.
    pub resource: Resource,
    /// What it works with.
    pub arguments: Value,
}

fn empty() -> Value {
    Value::Object(Map::new())
}

/// A test that cannot be made: AWS's name for why, and its words.
type Refused = (&'static str, String);

/// Runs one state.
///
/// `answer` is what the task of a Task without a mock gave; [`StateTest::call`] says what it is to be asked. A test that
/// cannot be made gives the status `REJECTED`, with AWS's name for why as `error`.
///
/// ```
/// use runner_workflow::{test_state, StateTest};
/// use serde_json::json;
///
/// let test: StateTest = serde_json::from_value(json!({
///     "definition": {"Type": "Task", "Resource": "wasm:orders@1#total", "ResultPath": "$.total", "Next": "Pay"},
///     "input": {"order": 7},
///     "mock": {"result": "12.5"},
/// }))?;
/// let tested = test_state(&test, None);
/// assert_eq!((tested.status, tested.output), ("SUCCEEDED", Some(json!({"order": 7, "total": 12.5}))));
/// assert_eq!(tested.next_state.as_deref(), Some("Pay"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn test_state(test: &StateTest, answer: Option<&Answer>) -> StateTested {
    tested(test, answer).unwrap_or_else(rejected)
}

fn rejected((error, cause): Refused) -> StateTested {
    StateTested { status: "REJECTED", error: Some(error.to_owned()), cause: Some(cause), ..StateTested::default() }
}

fn tested(test: &StateTest, answer: Option<&Answer>) -> Result<StateTested, Refused> {
    mock::check(test)?;
    let state = test.state()?;
    let mocked = match (Mocked::of(test, &state)?, answer) {
        (Some(mocked), _) => Some(mocked),
        (None, Some(Answer::Result(result))) => Some(Mocked::Result(result.clone())),
        (None, Some(Answer::Failure(error, cause))) => {
            let cause = cause.as_str().map_or_else(|| cause.to_string(), str::to_owned);
            Some(Mocked::Failure(Failure { error: error.clone(), cause: Some(cause), location: None }))
        }
        (None, Some(Answer::Timeout)) => {
            let error = Some(crate::failure::names::TIMEOUT.to_owned());
            Some(Mocked::Failure(Failure { error, cause: None, location: None }))
        }
        (None, None) => None,
    };
    let bench = Bench::new(test, &state)?;
    if let (Kind::Task(task), None) = (&state.kind, &mocked) {
        let resource = task.resource.text();
        // Runner has no roles; whoever tests a state of AWS's here is told what AWS says.
        if resource.starts_with("arn:") && test.role_arn.is_none() {
            return Err(invalid("RoleArn must be specified when testing a Task state"));
        }
        if bench.arguments().is_some() {
            return Err(invalid(format!("a mock is needed: nothing here does what `{resource}` names")));
        }
    }
    bench.run(mocked)
}

impl StateTest {
    /// What the state's task is to be asked, for a Task without a mock; `None` for every other test, and for a Task that
    /// fails before. Have it done and hand its answer to [`test_state`].
    ///
    /// # Errors
    ///
    /// With how the test went, where it cannot be made.
    pub fn call(&self) -> Result<Option<Called>, Box<StateTested>> {
        self.called().map_err(|refused| Box::new(rejected(refused)))
    }

    fn called(&self) -> Result<Option<Called>, Refused> {
        mock::check(self)?;
        let state = self.state()?;
        match (&state.kind, Mocked::of(self, &state)?) {
            (Kind::Task(task), None) => {
                let arguments = Bench::new(self, &state)?.arguments();
                Ok(arguments.map(|arguments| Called { resource: task.resource.clone(), arguments }))
            }
            _ => Ok(None),
        }
    }

    fn state(&self) -> Result<State, Refused> {
        let refused = |rejection: crate::complaint::Rejection| ("InvalidDefinition", rejection.to_string());
        let read;
        let (value, text) = match &self.definition {
            Value::String(text) => match serde_json::from_str::<Value>(text) {
                Ok(value) => {
                    read = value;
                    (&read, Some(text.as_str()))
                }
                Err(_) => return Err(refused(Definition::parse(text).err().unwrap_or_else(unread))),
            },
            value => (value, None),
        };
        let Some(name) = &self.state_name else {
            return Definition::state_alone(value, text, ALONE).map_err(refused);
        };
        let definition = Definition::from_either(&self.definition).1.map_err(refused)?;
        let found = definition.states().find(|state| state.name == *name).cloned();
        found.ok_or_else(|| invalid("State not found in definition"))
    }
}

/// For a text that is no JSON and yet was read: there is none.
fn unread() -> crate::complaint::Rejection {
    crate::complaint::Rejection::new(Vec::new())
}

fn invalid(cause: impl Into<String>) -> Refused {
    ("ValidationException", cause.into())
}

/// A field that is a JSON value, or the text of one.
fn json_of(field: &str, value: &Value) -> Result<Value, Refused> {
    match value {
        Value::String(text) => serde_json::from_str(text)
            .map_err(|error| invalid(format!("`{field}` must be JSON, or the text of it: {error}"))),
        value => Ok(value.clone()),
    }
}

/// Whether a state only counts as done when somebody says so later.
fn is_awaited(resource: &Resource) -> bool {
    resource.pattern() != Pattern::RequestResponse
}
