//! What is wrong with a definition: all of it at once, each with its place.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::{locate, pointer_part};

/// One thing that is wrong with a definition, or looks wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Complaint {
    /// What kind of thing is wrong, as AWS names it.
    pub code: Code,
    /// What is wrong, in AWS's words where they are known.
    pub message: String,
    /// The JSON pointer of the value that is wrong; empty for the whole definition, `None` where the complaint is of no place
    /// in it. For a text that is no JSON, AWS's words for the place.
    pub pointer: Option<String>,
    /// Where it stands in the text that was parsed, from 1; `None` where the definition came as a value.
    pub line: Option<usize>,
    /// The column in that line, in characters from 1.
    pub column: Option<usize>,
}

/// How grave a complaint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// The definition does not run.
    Error,
    /// It runs, and perhaps not as it was meant.
    Warning,
}

/// The kinds of complaints: as AWS names them, and those that begin with `RUNNER_`, which are our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The text is no JSON.
    InvalidJson,
    /// A field is missing, of a wrong type, not known to its state, or holds what it cannot.
    SchemaValidationFailed,
    /// A state is named that is not there, or one is there that nothing names.
    MissingTransitionTarget,
    /// No state ends the workflow.
    MissingEndState,
    /// Two states have one name.
    DuplicateStateName,
    /// A state has a name that it cannot have.
    InvalidStateName,
    /// Two Maps have one label.
    DuplicateLabelName,
    /// A Map has a label that it cannot have.
    InvalidLabelName,
    /// Machines lie in machines too often.
    TooDeeplyNested,
    /// Warning: a text looks like a path, and its key has no `.$`.
    NoDollar,
    /// Warning: a path in the `Result` of a Pass, where it is never read.
    PassResultIsStatic,
    /// What AWS runs and Runner does not.
    Unsupported,
    /// Warning: no run can come to a state, though another state names it.
    UnreachableState,
    /// Warning: a path leads to what cannot be there.
    PathCannotResolve,
    /// Warning: a variable is read that no state before has set, or not on every way.
    VariableNotAssigned,
    /// Warning: the arguments of a task do not fit what the export takes.
    ArgumentsDoNotFit,
}

impl Code {
    /// The name, as AWS writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "INVALID_JSON_DESCRIPTION",
            Self::SchemaValidationFailed => "SCHEMA_VALIDATION_FAILED",
            Self::MissingTransitionTarget => "MISSING_TRANSITION_TARGET",
            Self::MissingEndState => "MISSING_END_STATE",
            Self::DuplicateStateName => "DUPLICATE_STATE_NAME",
            Self::InvalidStateName => "INVALID_STATE_NAME",
            Self::DuplicateLabelName => "DUPLICATE_LABEL_NAME",
            Self::InvalidLabelName => "INVALID_LABEL_NAME",
            Self::TooDeeplyNested => "TOO_DEEPLY_NESTED",
            Self::NoDollar => "NO_DOLLAR",
            Self::PassResultIsStatic => "PASS_RESULT_IS_STATIC",
            Self::Unsupported => "RUNNER_UNSUPPORTED",
            Self::UnreachableState => "RUNNER_UNREACHABLE_STATE",
            Self::PathCannotResolve => "RUNNER_PATH_CANNOT_RESOLVE",
            Self::VariableNotAssigned => "RUNNER_VARIABLE_NOT_ASSIGNED",
            Self::ArgumentsDoNotFit => "RUNNER_ARGUMENTS_DO_NOT_FIT",
        }
    }

    /// Whether AWS does not know it.
    #[must_use]
    pub fn is_ours(self) -> bool {
        self.name().starts_with("RUNNER_")
    }

    /// How grave complaints of this kind are.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::NoDollar
            | Self::PassResultIsStatic
            | Self::UnreachableState
            | Self::PathCannotResolve
            | Self::VariableNotAssigned
            | Self::ArgumentsDoNotFit => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Complaint {
    /// Where it is, as AWS writes it: `/States/..`, `/` for the whole definition.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.pointer.as_deref().map(|pointer| if pointer.is_empty() { "/" } else { pointer })
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // AWS prints `null` as well.
        write!(f, "{}: {} at {}", self.code, self.message, self.location().unwrap_or("null"))
    }
}

/// A definition was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    complaints: Vec<Complaint>,
}

impl Rejection {
    pub(crate) const fn new(complaints: Vec<Complaint>) -> Self {
        Self { complaints }
    }

    /// Everything that is wrong, in the order of the text. Never empty.
    #[must_use]
    pub fn complaints(&self) -> &[Complaint] {
        &self.complaints
    }
}

impl fmt::Display for Rejection {
    /// As AWS writes it: `Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: .. at /States/..'`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalid State Machine Definition: '")?;
        for (place, complaint) in self.complaints.iter().enumerate() {
            write!(f, "{}{complaint}", if place > 0 { ", " } else { "" })?;
        }
        f.write_str("'")
    }
}

impl std::error::Error for Rejection {}

/// Complaints as they are collected.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    list: Vec<Complaint>,
}

impl Complaints {
    pub(crate) fn add(&mut self, code: Code, pointer: &str, message: impl Into<String>) {
        self.push(code, Some(pointer.to_owned()), message.into());
    }

    /// Complains of no place in the definition.
    pub(crate) fn add_nowhere(&mut self, code: Code, message: impl Into<String>) {
        self.push(code, None, message.into());
    }

    fn push(&mut self, code: Code, pointer: Option<String>, message: String) {
        self.list.push(Complaint { code, message, pointer, line: None, column: None });
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn schema(&mut self, pointer: &str, message: impl Into<String>) {
        self.add(Code::SchemaValidationFailed, pointer, message);
    }

    /// All of them, with their places in the text where there is one.
    pub(crate) fn settle(mut self, text: Option<&str>) -> Vec<Complaint> {
        for complaint in &mut self.list {
            let place = text.zip(complaint.pointer.as_deref());
            if let Some((line, column)) = place.and_then(|(text, pointer)| locate(text, pointer)) {
                (complaint.line, complaint.column) = (Some(line), Some(column));
            }
        }
        self.list
    }
}

/// A pointer one step further down.
pub(crate) fn under(pointer: &str, part: &str) -> String {
    format!("{pointer}/{}", pointer_part(part))
}
