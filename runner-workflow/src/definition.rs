//! A state machine as it was written, parsed once: what is wrong is said with its place, what is left can be trusted.

use indexmap::IndexMap;
use serde_json::Value;

use crate::complaint::{Code, Complaint, Complaints, Rejection, under};
use crate::fields::Fields;
use crate::state::{Kind, Next, State};

/// How deep machines may lie in one another: as deep as a text of 128 levels can have them.
const DEPTH: usize = 32;

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

impl Definition {
    /// Parses a definition.
    ///
    /// # Errors
    ///
    /// With everything that is wrong with it, each complaint with its line and column.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        match serde_json::from_str(text) {
            Ok(value) => Self::read(&value, Some(text)),
            Err(error) => {
                let mut complaint = Complaint {
                    code: Code::InvalidJson,
                    message: error.to_string(),
                    pointer: String::new(),
                    line: Some(error.line()),
                    column: Some(error.column()),
                };
                if let Some((message, _)) = complaint.message.split_once(" at line ") {
                    complaint.message = message.to_owned();
                }
                Err(Rejection::new(vec![complaint]))
            }
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

    fn read(value: &Value, text: Option<&str>) -> Result<Self, Rejection> {
        let mut complaints = Complaints::default();
        let mut definition = None;
        match value {
            Value::Object(object) => {
                let language = Language::JsonPath;
                let mut fields = Fields { object, pointer: String::new(), language, complaints: &mut complaints };
                let timeout_seconds = fields.whole("TimeoutSeconds", 1);
                let machine = Machine::check(&mut fields, DEPTH);
                definition = machine.map(|machine| Self { machine, timeout_seconds });
            }
            _ => complaints.add(Code::InvalidJson, "", "Expected value of type Object"),
        }
        let complaints = complaints.settle(text);
        match definition {
            Some(definition) if complaints.is_empty() => Ok(definition),
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

    /// What AWS runs and Runner does not: a Map in DISTRIBUTED mode. Empty for what [`RunState::new`](crate::RunState::new) takes.
    #[must_use]
    pub fn unsupported(&self) -> Vec<Complaint> {
        let mut complaints = Complaints::default();
        for state in self.states() {
            if matches!(&state.kind, Kind::Map(map) if map.is_distributed) {
                let message = format!("Runner does not run a Map in DISTRIBUTED mode, as state '{}' is", state.name);
                complaints.add(Code::Unsupported, &state.pointer, message);
            }
        }
        complaints.settle(None)
    }
}

impl Machine {
    /// Reads the fields that every machine has. `depth` is how many more may lie within it.
    pub(crate) fn check(fields: &mut Fields<'_, '_>, depth: usize) -> Option<Self> {
        if depth == 0 {
            let pointer = fields.pointer.clone();
            fields.complaints.schema(&pointer, format!("State machines may be nested {DEPTH} deep"));
            return None;
        }
        fields.require(&["StartAt", "States"]);
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
            let message = format!("Missing 'StartAt' target: {}", machine.start_at);
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
        Some(machine)
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
