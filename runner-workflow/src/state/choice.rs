//! Choice (<https://states-language.net/spec.html#choice-state>). How a rule decides is in [`crate::choice`].

use serde_json::Value;

use super::{Leave, Next, Step};
use crate::choice::Rule;
use crate::definition::Language;
use crate::failure::{Failure, names};
use crate::fields::Fields;
use crate::flow::{self, Flow};
use crate::scene::Scene;
use crate::template::Template;

/// Goes where the first rule that holds leads.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What comes in and goes out.
    pub flow: Flow,
    /// The rules, in their order.
    pub rules: Vec<Rule>,
    /// Where it goes where no rule holds.
    pub default: Option<String>,
}

impl Choice {
    pub(crate) fn check(fields: &mut Fields<'_, '_>) -> Self {
        fields.allow_in_state(&["Assign", "Choices", "Default"], &["InputPath", "OutputPath"], &["Output"]);
        fields.require(&["Choices"]);
        let mut rules = Vec::new();
        fields.list("Choices", |fields, index| rules.extend(Rule::check(fields, index)));
        Self { flow: Flow::check(fields, None), rules, default: fields.text("Default") }
    }

    pub(crate) fn enter(&self, scene: &Scene<'_>) -> Result<Step, Failure> {
        let effective = self.flow.effective(scene)?;
        let inner = scene.looking_at(&effective);
        for rule in &self.rules {
            if rule.condition.holds(&inner)? {
                return self.leave(&inner, rule.assign.as_ref(), rule.output.as_ref(), &rule.next);
            }
        }
        match &self.default {
            Some(name) => self.leave(&inner, self.flow.assign.as_ref(), self.flow.output.as_ref(), name),
            None => Err(Failure::new(
                names::NO_CHOICE,
                "Failed to transition out of the state. The state does not point to a next state.",
            )),
        }
    }

    fn leave(
        &self,
        scene: &Scene<'_>,
        assign: Option<&Template>,
        output: Option<&Template>,
        next: &str,
    ) -> Result<Step, Failure> {
        let assigned = flow::assigned(assign, scene)?;
        let output: Value = match (self.flow.language, output) {
            (Language::Jsonata, Some(template)) => template.fill(scene)?,
            (Language::Jsonata, None) => scene.input.clone(),
            (Language::JsonPath, _) => scene.through(self.flow.output_path.as_ref())?.into_owned(),
        };
        Ok(Step::Leave(Leave { output, assigned, next: Next::State(next.to_owned()) }))
    }
}
