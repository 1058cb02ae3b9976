//! Fail (<https://states-language.net/spec.html#fail-state>).

use serde_json::Value;

use super::Step;
use crate::definition::Language;
use crate::failure::Failure;
use crate::fields::Fields;
use crate::scene::Scene;
use crate::template::{Hole, Template};

/// Ends its machine with a failure.
#[derive(Debug, Clone)]
pub struct Fail {
    /// `Error` or `ErrorPath`: the name.
    pub error: Option<Template>,
    /// `Cause` or `CausePath`: the text.
    pub cause: Option<Template>,
}

impl Fail {
    pub(crate) fn check(fields: &mut Fields<'_, '_>) -> Self {
        fields.allow_in_state(&["Cause", "Error"], &["CausePath", "ErrorPath"], &[]);
        let mut text = |plain: &str, path: &str| match fields.language {
            Language::Jsonata => fields.jsonata(plain, plain),
            Language::JsonPath if fields.has(path) => fields.path_or_call(path).map(Template::Hole),
            Language::JsonPath => fields.text(plain).map(|text| Template::Literal(Value::String(text))),
        };
        Self { error: text("Error", "ErrorPath"), cause: text("Cause", "CausePath") }
    }

    pub(crate) fn enter(&self, scene: &Scene<'_>) -> Result<Step, Failure> {
        let text = |template: &Option<Template>| match template {
            None => Ok(None),
            Some(Template::Hole(hole)) => fill(hole, scene).map(Some),
            Some(other) => other.fill(scene).map(|value| value.as_str().map(str::to_owned)),
        };
        Ok(Step::Fail(Failure { error: text(&self.error)?, cause: text(&self.cause)?, location: None }))
    }
}

fn fill(hole: &Hole, scene: &Scene<'_>) -> Result<String, Failure> {
    match scene.fill_as(hole, "string")? {
        Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}
