//! What comes into a state and what goes out of it, in both languages
//! (<https://states-language.net/spec.html#input-output-processing>).

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::definition::Language;
use crate::failure::{Failure, names};
use crate::fields::{Fields, PathOrNull};
use crate::scene::Scene;
use crate::state::{Leave, Next};
use crate::template::Template;

/// The fields by which a state shapes its input and output. Which of them a state has depends on its kind and language.
#[derive(Debug, Clone)]
pub struct Flow {
    /// What language they are in.
    pub language: Language,
    /// JSONPath: what of the input comes in.
    pub input_path: Option<PathOrNull>,
    /// `Parameters` in JSONPath, `Arguments` in JSONata: what the state works with.
    pub arguments: Option<Template>,
    /// JSONPath: what becomes of a result.
    pub result_selector: Option<Template>,
    /// JSONPath: where in the input the result goes.
    pub result_path: Option<PathOrNull>,
    /// JSONPath: what of that goes out.
    pub output_path: Option<PathOrNull>,
    /// JSONata: what goes out.
    pub output: Option<Template>,
    /// The variables that are set when the state is left.
    pub assign: Option<Template>,
}

impl Flow {
    /// Reads them. `arguments` is the name that the field has in this kind of state, where it has one.
    pub(crate) fn check(fields: &mut Fields<'_, '_>, arguments: Option<&str>) -> Self {
        let language = fields.language;
        let is_path = language == Language::JsonPath;
        Self {
            language,
            input_path: if is_path { fields.path_or_null("InputPath") } else { None },
            arguments: arguments.and_then(|name| fields.template(name)),
            result_selector: if is_path { fields.template("ResultSelector") } else { None },
            result_path: if is_path { fields.reference_path_or_null("ResultPath") } else { None },
            output_path: if is_path { fields.path_or_null("OutputPath") } else { None },
            output: if is_path { None } else { fields.template("Output") },
            assign: fields.template("Assign"),
        }
    }

    /// What `InputPath` lets through of the state's input.
    pub(crate) fn effective<'s>(&self, scene: &'s Scene<'_>) -> Result<Cow<'s, Value>, Failure> {
        scene.through(self.input_path.as_ref())
    }

    /// What the state works with.
    pub(crate) fn arguments(&self, scene: &Scene<'_>) -> Result<Value, Failure> {
        let effective = self.effective(scene)?;
        match &self.arguments {
            None => Ok(effective.into_owned()),
            Some(template) => template.fill(&scene.looking_at(&effective)),
        }
    }

    /// Leaves with a result.
    pub(crate) fn leave(&self, scene: &Scene<'_>, result: Value, next: Next) -> Result<Leave, Failure> {
        let assigned = self.assigned(&Scene { result: Some(&result), ..scene.looking_at(&result) })?;
        let output = match self.language {
            Language::Jsonata => self.output(&Scene { result: Some(&result), ..*scene }, || result.clone())?,
            Language::JsonPath => {
                let selected = match &self.result_selector {
                    Some(template) => template.fill(&scene.looking_at(&result))?,
                    None => result,
                };
                self.combined(scene, selected)?
            }
        };
        Ok(Leave { output, assigned, next })
    }

    /// Leaves without a result: what came in goes out.
    pub(crate) fn pass_on(&self, scene: &Scene<'_>, next: Next) -> Result<Leave, Failure> {
        let effective = self.effective(scene)?;
        let inner = scene.looking_at(&effective);
        let assigned = self.assigned(&inner)?;
        let output = match self.language {
            Language::Jsonata => self.output(scene, || scene.input.clone())?,
            Language::JsonPath => inner.through(self.output_path.as_ref())?.into_owned(),
        };
        Ok(Leave { output, assigned, next })
    }

    /// The new values of variables.
    pub(crate) fn assigned(&self, scene: &Scene<'_>) -> Result<Map<String, Value>, Failure> {
        assigned(self.assign.as_ref(), scene)
    }

    fn output(&self, scene: &Scene<'_>, otherwise: impl FnOnce() -> Value) -> Result<Value, Failure> {
        self.output.as_ref().map_or_else(|| Ok(otherwise()), |template| template.fill(scene))
    }

    /// `ResultPath`, then `OutputPath`.
    pub(crate) fn combined(&self, scene: &Scene<'_>, result: Value) -> Result<Value, Failure> {
        let combined = put(self.result_path.as_ref(), scene.input, result)?;
        Ok(scene.looking_at(&combined).through(self.output_path.as_ref())?.into_owned())
    }
}

/// The values that an `Assign` gives.
pub(crate) fn assigned(assign: Option<&Template>, scene: &Scene<'_>) -> Result<Map<String, Value>, Failure> {
    match assign.map(|template| template.fill(scene)).transpose()? {
        Some(Value::Object(object)) => Ok(object),
        _ => Ok(Map::new()),
    }
}

/// Puts a result where `ResultPath` says.
pub(crate) fn put(path: Option<&PathOrNull>, input: &Value, result: Value) -> Result<Value, Failure> {
    match path {
        None => Ok(result),
        Some(PathOrNull::Null) => Ok(input.clone()),
        Some(PathOrNull::Path(path)) => {
            let mut combined = input.clone();
            path.put(&mut combined, result).map_err(|reason| Failure::new(names::RESULT_PATH, reason))?;
            Ok(combined)
        }
    }
}
