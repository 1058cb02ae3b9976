//! Everything that is wrong with a definition at once, as AWS's ValidateStateMachineDefinition says it, and what only looks
//! wrong besides.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::complaint::{Code, Complaint, Complaints, Severity};
use crate::definition::Definition;
use crate::lint::Signatures;
use crate::resource::Pattern;
use crate::state::Kind;

/// What is to be validated.
#[derive(Debug, Clone, Deserialize)]
pub struct Validation {
    /// The definition: an object, or its text. Only a text has lines and columns.
    pub definition: Value,
    /// `STANDARD` or `EXPRESS`, where some integrations are missing.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// `ERROR` leaves the warnings out; `WARNING` brings those besides that AWS only gives when it is asked: `NO_DOLLAR` and
    /// `PASS_RESULT_IS_STATIC`.
    #[serde(default)]
    pub severity: Option<Severity>,
}

/// What is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Validated {
    /// `OK`, or `FAIL` where there is an error: such a definition is not run.
    pub result: &'static str,
    /// All that is wrong: errors in the order in which they were found, then warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether the definition runs all the same.
    pub severity: Severity,
    /// What kind of thing is wrong: [`Code::name`].
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where: a JSON pointer, `/` for the whole definition, or AWS's words for a place in a text that is no JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The line, from 1, of a definition that came as a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in that line, in characters from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

/// Says everything that is wrong with a definition, in AWS's codes and, where they are known, its words. Codes that begin
/// with `RUNNER_` are our own.
///
/// ```
/// use runner_workflow::{validate, Validation};
/// use serde_json::json;
///
/// let text = "{\"StartAt\": \"A\",\n \"States\": {\"A\": {\"Type\": \"Pass\", \"Next\": \"B\"}}}";
/// let validated = validate(&Validation { definition: json!(text), kind: None, severity: None });
/// assert_eq!(validated.result, "FAIL");
/// let first = &validated.diagnostics[0];
/// assert_eq!((first.code, first.message.as_str()), ("MISSING_TRANSITION_TARGET", "Missing 'Next' target: B"));
/// assert_eq!((first.location.as_deref(), first.line, first.column), (Some("/States/A/Next"), Some(2), Some(35)));
/// ```
#[must_use]
pub fn validate(validation: &Validation) -> Validated {
    validated(validation, None)
}

/// The same, and whether the arguments of each Task fit what its export takes.
#[must_use]
pub fn validate_against(validation: &Validation, signatures: &dyn Signatures) -> Validated {
    validated(validation, Some(signatures))
}

fn validated(validation: &Validation, signatures: Option<&dyn Signatures>) -> Validated {
    let (text, parsed) = Definition::from_either(&validation.definition);
    let complaints = match parsed {
        Err(rejection) => rejection.complaints().to_vec(),
        Ok(definition) => {
            let mut complaints = definition.unsupported_yet().settle(text);
            if validation.kind.as_deref() == Some("EXPRESS") {
                complaints.extend(express(&definition).settle(text));
            }
            let warnings = definition.collected(signatures).settle(text);
            complaints.extend(warnings.into_iter().filter(|complaint| match validation.severity {
                Some(Severity::Error) => false,
                Some(Severity::Warning) => true,
                None => complaint.code.is_ours(),
            }));
            complaints
        }
    };
    let diagnostics: Vec<Diagnostic> = complaints.into_iter().map(Diagnostic::from).collect();
    let has_error = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    Validated { result: if has_error { "FAIL" } else { "OK" }, diagnostics }
}

/// What an Express workflow cannot do: it waits for nobody.
fn express(definition: &Definition) -> Complaints {
    let mut complaints = Complaints::default();
    for state in definition.states() {
        let Kind::Task(task) = &state.kind else { continue };
        let (resource, pattern) = (&task.resource, task.resource.pattern());
        let what = match pattern {
            Pattern::RequestResponse => continue,
            Pattern::Callback if !resource.text().ends_with(".waitForTaskToken") => "activities".to_owned(),
            // AWS has the space at the end.
            Pattern::Callback => "'.waitForTaskToken' service integration ".to_owned(),
            Pattern::Sync => "'.sync' service integration ".to_owned(),
        };
        let message = format!("Express state machine does not support {what}");
        complaints.add(Code::SchemaValidationFailed, &format!("{}/Resource", state.pointer), message);
    }
    complaints
}

impl From<Complaint> for Diagnostic {
    fn from(complaint: Complaint) -> Self {
        Self {
            severity: complaint.code.severity(),
            code: complaint.code.name(),
            location: complaint.location().map(str::to_owned),
            message: complaint.message,
            line: complaint.line,
            column: complaint.column,
        }
    }
}
