//! What is wrong with a definition: all of it at once, each with its place.

use std::fmt;

use crate::document::{locate, pointer_part};

/// One thing that is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Complaint {
    /// What kind of thing is wrong, as AWS names it.
    pub code: Code,
    /// What is wrong, in AWS's words where they are known.
    pub message: String,
    /// The JSON pointer of the value that is wrong; empty for the whole definition.
    pub pointer: String,
    /// Where it stands in the text that was parsed, from 1; `None` where the definition came as a value.
    pub line: Option<usize>,
    /// The column in that line, in characters from 1.
    pub column: Option<usize>,
}

/// The kinds of complaints, as AWS names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The text is no JSON.
    InvalidJson,
    /// A field is missing, of a wrong type, or holds what it cannot.
    SchemaValidationFailed,
    /// A state is named that is not there.
    MissingTransitionTarget,
    /// What AWS runs and Runner does not.
    Unsupported,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidJson => "INVALID_JSON_DESCRIPTION",
            Self::SchemaValidationFailed => "SCHEMA_VALIDATION_FAILED",
            Self::MissingTransitionTarget => "MISSING_TRANSITION_TARGET",
            Self::Unsupported => "UNSUPPORTED",
        })
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "{}: {} at {pointer}", self.code, self.message)
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
        self.list.push(Complaint {
            code,
            message: message.into(),
            pointer: pointer.to_owned(),
            line: None,
            column: None,
        });
    }

    pub(crate) fn schema(&mut self, pointer: &str, message: impl Into<String>) {
        self.add(Code::SchemaValidationFailed, pointer, message);
    }

    /// All of them, with their places in the text where there is one.
    pub(crate) fn settle(mut self, text: Option<&str>) -> Vec<Complaint> {
        for complaint in &mut self.list {
            if let Some((line, column)) = text.and_then(|text| locate(text, &complaint.pointer)) {
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
