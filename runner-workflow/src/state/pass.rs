//! Pass (<https://states-language.net/spec.html#pass-state>).

use serde_json::Value;

use super::{Leave, Next, Step};
use crate::definition::Language;
use crate::failure::Failure;
use crate::fields::Fields;
use crate::flow::Flow;
use crate::scene::Scene;

/// Passes its input on, or something else in its place.
#[derive(Debug, Clone)]
pub struct Pass {
    /// What comes in and goes out.
    pub flow: Flow,
    /// JSONPath: the output of a task that was never done.
    pub result: Option<Value>,
    /// Where it goes.
    pub next: Next,
}

impl Pass {
    pub(crate) fn check(fields: &mut Fields<'_, '_>) -> Self {
        let paths = ["InputPath", "OutputPath", "Parameters", "Result", "ResultPath"];
        fields.allow_in_state(&["Assign", "End", "Next"], &paths, &["Output"]);
        let is_path = fields.language == Language::JsonPath;
        let result = fields.object.get("Result").filter(|_| is_path).cloned();
        Self { flow: Flow::check(fields, is_path.then_some("Parameters")), result, next: Next::check(fields) }
    }

    pub(crate) fn enter(&self, scene: &Scene<'_>) -> Result<Step, Failure> {
        if self.flow.language == Language::Jsonata {
            return self.flow.pass_on(scene, self.next.clone()).map(Step::Leave);
        }
        let arguments = self.flow.arguments(scene)?;
        let result = self.result.clone().unwrap_or(arguments);
        let assigned = self.flow.assigned(&scene.looking_at(&result))?;
        let output = self.flow.combined(scene, result)?;
        Ok(Step::Leave(Leave { output, assigned, next: self.next.clone() }))
    }
}
