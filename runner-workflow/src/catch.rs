//! Catch: where a run goes when a state failed for good, and what it brings along.

use serde_json::{Value, json};

use crate::definition::Language;
use crate::failure::{Failure, names};
use crate::fields::{Fields, PathOrNull};
use crate::flow;
use crate::scene::Scene;
use crate::state::{Leave, Next};
use crate::template::Template;

/// One entry of `Catch`.
#[derive(Debug, Clone)]
pub struct Catcher {
    /// The errors that it is for.
    pub error_equals: Vec<String>,
    /// Where the run goes.
    pub next: String,
    /// JSONPath: where in the state's input the error goes.
    pub result_path: Option<PathOrNull>,
    /// JSONata: what goes out.
    pub output: Option<Template>,
    /// The variables that are set.
    pub assign: Option<Template>,
    language: Language,
}

impl Catcher {
    pub(crate) fn check_all(fields: &mut Fields<'_, '_>) -> Vec<Self> {
        let mut catchers = Vec::new();
        fields.list("Catch", |fields, index| {
            fields.require(&["ErrorEquals", "Next"]);
            let is_path = fields.language == Language::JsonPath;
            let template = |fields: &mut Fields<'_, '_>, name: &str| {
                if is_path { fields.template(name) } else { fields.jsonata(name, &format!("Catch[{index}]/{name}")) }
            };
            catchers.push(Self {
                error_equals: fields.texts("ErrorEquals"),
                next: fields.text("Next").unwrap_or_default(),
                result_path: if is_path { fields.reference_path_or_null("ResultPath") } else { None },
                output: if is_path { None } else { template(fields, "Output") },
                assign: template(fields, "Assign"),
                language: fields.language,
            });
        });
        catchers
    }

    /// The first that a failure matches.
    pub(crate) fn matching<'c>(catchers: &'c [Self], failure: &Failure) -> Option<&'c Self> {
        catchers.iter().find(|catcher| failure.matches(&catcher.error_equals))
    }

    /// What the state is left with.
    pub(crate) fn leave(&self, scene: &Scene<'_>, failure: &Failure) -> Result<Leave, Failure> {
        let error = error_output(failure);
        let scene = Scene { error_output: Some(&error), ..scene.looking_at(&error) };
        let assigned = flow::assigned(self.assign.as_ref(), &scene)?;
        let output = match (self.language, &self.output) {
            (Language::JsonPath, _) => flow::put(self.result_path.as_ref(), scene.input, error.clone())?,
            (Language::Jsonata, Some(template)) => template.fill(&scene)?,
            (Language::Jsonata, None) => error.clone(),
        };
        Ok(Leave { output, assigned, next: Next::State(self.next.clone()) })
    }
}

/// The error output. What a failure does not say is null, but for a timeout, which has an empty cause.
fn error_output(failure: &Failure) -> Value {
    let cause = failure.cause.as_deref().or_else(|| (failure.name() == names::TIMEOUT).then_some(""));
    json!({ "Error": failure.error, "Cause": cause })
}
