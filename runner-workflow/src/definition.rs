//! A state machine as it was written, parsed once: what is wrong is said with its place, what is left can be trusted.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::complaint::{Code, Complaint, Complaints, Rejection, under};
use crate::fields::{Fields, is_name_character};
use crate::json_error;
use crate::resource::Resource;
use crate::state::{Kind, Next, State};

/// How deep machines may lie in one another: as deep as a text of 128 levels can have them.
const DEPTH: usize = 32;

/// How many characters the name of a state may have (the language's own number).
const STATE_NAME_CHARS: usize = 80;

/// How many characters the label of a Map may have, as on AWS.
const LABEL_CHARS: usize = 40;

/// The fields of the outermost machine, and of one that lies in a state.
const FIELDS: [&str; 6] = ["Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"];
const FIELDS_WITHIN: [&str; 5] = ["Comment", "ProcessorConfig", "QueryLanguage", "StartAt", "States"];

/// A parsed definition (<https://states-language.net/spec.html#structure-of-a-state-machine>).
///
/// ```
/// let definition = runner_workflow::Definition::parse(r#"{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}"#)?;
/// assert_eq!(definition.machine().start_at, "A");
///
/// let refused = runner_workflow::Definition::parse(r#"{"StartAt": "A"}"#).unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: These fields are required: [States] at /'",
/// );
/// # Ok::<(), runner_workflow::Rejection>(())
/// ```
#[derive(Debug, Clone)]
pub struct Definition {
    machine: Machine,
    timeout_seconds: Option<u64>,
    /// Which definition it is: two of the same JSON have the same.
    pub(crate) digest: Digest,
}

/// States and where they begin: the whole, a branch of a Parallel, or what a Map does with each item.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where it stands in the definition, as a JSON pointer.
    pub pointer: String,
    /// The state that it begins with.
    pub start_at: String,
    /// Its states by name, in the order of the definition.
    pub states: IndexMap<String, State>,
    /// The language of its states, where they do not name one.
    pub language: Language,
}

/// What paths and templates are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// JSONPath, the language where none is named.
    JsonPath,
    /// JSONata.
    Jsonata,
}

/// SHA-256 of a definition's JSON.
pub(crate) type Digest = [u8; 32];

fn digest(value: &Value) -> Digest {
    Sha256::digest(value.to_string()).into()
}

impl Definition {
    /// Parses a definition.
    ///
    /// # Errors
    ///
    /// With everything that is wrong with it, each complaint with its line and column.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        match serde_json::from_str(text) {
            Ok(value) => Self::read(&value, Some(text)),
            // AWS takes what is blank for something that is no object, and not for wrong JSON.
            Err(_) if text.trim().is_empty() => Self::read(&Value::Null, None),
            Err(error) => Err(Rejection::new(vec![json_error::complaint(text, &error)])),
        }
    }

    /// Takes a definition that is a value already. Complaints have no line then.
    ///
    /// # Errors
    ///
    /// With everything that is wrong with it.
    pub fn from_value(value: &Value) -> Result<Self, Rejection> {
        Self::read(value, None)
    }

    /// Takes a definition that came as an object, or as its text, which is given back.
    pub(crate) fn from_either(given: &Value) -> (Option<&str>, Result<Self, Rejection>) {
        match given {
            Value::String(text) => (Some(text), Self::parse(text)),
            value => (None, Self::from_value(value)),
        }
    }

    fn read(value: &Value, text: Option<&str>) -> Result<Self, Rejection> {
        let mut complaints = Complaints::default();
        let mut definition = None;
        match value {
            Value::Object(object) => {
                let language = Language::JsonPath;
                let mut fields = Fields { object, pointer: String::new(), language, complaints: &mut complaints };
                let timeout_seconds = fields.whole("TimeoutSeconds", 1);
                let machine = Machine::check(&mut fields, DEPTH);
                definition = machine.map(|machine| Self { machine, timeout_seconds, digest: digest(value) });
            }
            _ => {
                complaints.add_nowhere(Code::SchemaValidationFailed, "Definition must be a valid JSON object");
            }
        }
        if let Some(definition) = &definition {
            definition.check_names(&mut complaints);
            // Where a state is wrong already it may be the one that was to be the end.
            if complaints.is_empty() && !definition.machine.has_end() {
                complaints.add_nowhere(Code::MissingEndState, "Workflow has no terminal state");
            }
        }
        let complaints = complaints.settle(text);
        match definition {
            Some(definition) if complaints.is_empty() => Ok(definition),
            _ => Err(Rejection::new(complaints)),
        }
    }

    /// Takes a state by itself: what it leads to need not be there.
    ///
    /// # Errors
    ///
    /// With everything that is wrong with it.
    pub(crate) fn state_alone(value: &Value, text: Option<&str>, name: &str) -> Result<State, Rejection> {
        let mut complaints = Complaints::default();
        let mut state = None;
        match value {
            Value::Object(object) => {
                let language = Language::JsonPath;
                let mut fields = Fields { object, pointer: String::new(), language, complaints: &mut complaints };
                state = State::check(name, &mut fields, DEPTH - 1);
            }
            _ => complaints.add_nowhere(Code::SchemaValidationFailed, "Definition must be a valid JSON object"),
        }
        let complaints = complaints.settle(text);
        match state {
            Some(state) if complaints.is_empty() => Ok(state),
            _ => Err(Rejection::new(complaints)),
        }
    }

    /// The outermost machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// How long a run may take, in seconds; `None` for as long as it likes.
    #[must_use]
    pub const fn timeout_seconds(&self) -> Option<u64> {
        self.timeout_seconds
    }

    /// Every state, those of branches and iterations included, outer before inner.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        let mut found = Vec::new();
        let mut machines = vec![&self.machine];
        while let Some(machine) = machines.pop() {
            for state in machine.states.values() {
                found.push(state);
                machines.extend(state.kind.machines());
            }
        }
        found.into_iter()
    }

    /// Names and labels are each other's neighbours in the whole definition, not in their machine alone.
    fn check_names(&self, complaints: &mut Complaints) {
        let (mut names, mut labels) = (BTreeSet::new(), BTreeSet::new());
        for state in self.states() {
            let (name, pointer) = (&state.name, &state.pointer);
            if !names.insert(name) {
                complaints.add(Code::DuplicateStateName, pointer, format!("Duplicate State name: {name}"));
            }
            if name.chars().count() > STATE_NAME_CHARS {
                let message = format!("State name cannot exceed {STATE_NAME_CHARS} characters");
                complaints.add(Code::InvalidStateName, pointer, message);
            }
            let Kind::Map(map) = &state.kind else { continue };
            let Some(label) = &map.label else { continue };
            let pointer = under(pointer, "Label");
            if !labels.insert(label) {
                complaints.add(Code::DuplicateLabelName, &pointer, format!("Duplicate Label name: {label}"));
            }
            if label.chars().count() > LABEL_CHARS {
                complaints.add(
                    Code::InvalidLabelName,
                    &pointer,
                    format!("Label cannot exceed {LABEL_CHARS} characters"),
                );
            }
            if let Some(wrong) = label.chars().find(|character| !is_name_character(*character)) {
                let message = format!("Label contains invalid character: '{}'", wrong.escape_debug());
                complaints.add(Code::InvalidLabelName, &pointer, message);
            }
        }
    }

    /// What its tasks name as their doers, each once.
    #[must_use]
    pub fn resources(&self) -> Vec<&Resource> {
        let mut found: Vec<&Resource> = Vec::new();
        for state in self.states() {
            if let Kind::Task(task) = &state.kind
                && !found.contains(&&task.resource)
            {
                found.push(&task.resource);
            }
        }
        found
    }

    /// What AWS runs and Runner does not: a Map in DISTRIBUTED mode. Empty for what [`RunState::new`](crate::RunState::new) takes.
    #[must_use]
    pub fn unsupported(&self) -> Vec<Complaint> {
        self.unsupported_yet().settle(None)
    }

    pub(crate) fn unsupported_yet(&self) -> Complaints {
        let mut complaints = Complaints::default();
        for state in self.states() {
            if matches!(&state.kind, Kind::Map(map) if map.is_distributed) {
                let message = format!("Runner does not run a Map in DISTRIBUTED mode, as state '{}' is", state.name);
                complaints.add(Code::Unsupported, &state.pointer, message);
            }
        }
        complaints
    }
}

impl Machine {
    /// Reads the fields that every machine has. `depth` is how many more may lie within it.
    pub(crate) fn check(fields: &mut Fields<'_, '_>, depth: usize) -> Option<Self> {
        if depth == 0 {
            let pointer = fields.pointer.clone();
            let message = format!("State machines may be nested {DEPTH} deep");
            fields.complaints.add(Code::TooDeeplyNested, &pointer, message);
            return None;
        }
        fields.require(&["States", "StartAt"]);
        fields.allow(if depth == DEPTH { &FIELDS } else { &FIELDS_WITHIN });
        if let Some(language) = Language::check(fields) {
            fields.language = language;
        }
        let language = fields.language;
        let start_at = fields.text("StartAt");
        let pointer = fields.at("States");
        let states = match fields.object.get("States")? {
            Value::Object(states) => states,
            _ => {
                fields.complain("States", "Expected value of type Object");
                return None;
            }
        };
        if states.is_empty() {
            fields.complain("States", "Object must not be empty");
        }
        let mut machine =
            Self { pointer: fields.pointer.clone(), start_at: start_at?, states: IndexMap::new(), language };
        if !states.contains_key(&machine.start_at) {
            let pointer = fields.at("StartAt");
            let message = format!("Missing 'Next' target: {}", machine.start_at);
            fields.complaints.add(Code::MissingTransitionTarget, &pointer, message);
        }
        for (name, value) in states {
            let Some(mut inner) = fields.within(value, under(&pointer, name)) else { continue };
            let Some(state) = State::check(name, &mut inner, depth - 1) else { continue };
            for (field, target) in state.targets() {
                if !states.contains_key(target) {
                    let kind = if field.ends_with("Default") { "Default" } else { "Next" };
                    let message = format!("Missing '{kind}' target: {target}");
                    inner.complaints.add(Code::MissingTransitionTarget, &format!("{}{field}", state.pointer), message);
                }
            }
            machine.states.insert(name.clone(), state);
        }
        machine.check_named(fields);
        Some(machine)
    }

    /// A state that nothing names is wrong. One that is named by what no run comes to is AWS's business no longer.
    fn check_named(&self, fields: &mut Fields<'_, '_>) {
        // A state that was not understood may name any other.
        if self.states.len() < fields.object.get("States").and_then(Value::as_object).map_or(0, |states| states.len()) {
            return;
        }
        let targets = self.states.values().flat_map(State::targets).map(|(_, name)| name);
        let named: BTreeSet<&str> = targets.chain([self.start_at.as_str()]).collect();
        for state in self.states.values().filter(|state| !named.contains(state.name.as_str())) {
            let message = format!("State \"{}\" is not reachable.", state.name);
            fields.complaints.add(Code::MissingTransitionTarget, &state.pointer, message);
        }
    }

    /// Whether a state of it ends it.
    fn has_end(&self) -> bool {
        self.states.values().any(|state| {
            matches!(state.kind, Kind::Succeed(_) | Kind::Fail(_)) || matches!(state.kind.next(), Some(Next::End))
        })
    }
}

impl Language {
    /// Reads `QueryLanguage`.
    pub(crate) fn check(fields: &mut Fields<'_, '_>) -> Option<Self> {
        match fields.text("QueryLanguage")?.as_str() {
            "JSONPath" => Some(Self::JsonPath),
            "JSONata" => Some(Self::Jsonata),
            _ => {
                fields.complain(
                    "QueryLanguage",
                    "The field 'QueryLanguage' should have one of these values: [JSONPath, JSONata]",
                );
                None
            }
        }
    }
}

impl Next {
    /// Reads `Next` or `End`.
    pub(crate) fn check(fields: &mut Fields<'_, '_>) -> Self {
        let end = fields.flag("End") == Some(true);
        match fields.text("Next") {
            Some(name) => Self::State(name),
            None => {
                if !end && !fields.has("Next") {
                    let pointer = fields.pointer.clone();
                    fields.complaints.schema(&pointer, "These fields are required: [Next, End]");
                }
                Self::End
            }
        }
    }
}
