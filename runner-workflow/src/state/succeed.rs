//! Succeed (<https://states-language.net/spec.html#succeed-state>).

use super::{Next, Step};
use crate::failure::Failure;
use crate::fields::Fields;
use crate::flow::Flow;
use crate::scene::Scene;

/// Ends its machine well.
#[derive(Debug, Clone)]
pub struct Succeed {
    /// What comes in and goes out.
    pub flow: Flow,
}

impl Succeed {
    pub(crate) fn check(fields: &mut Fields<'_, '_>) -> Self {
        fields.allow_in_state(&[], &["InputPath", "OutputPath"], &["Output"]);
        Self { flow: Flow::check(fields, None) }
    }

    pub(crate) fn enter(&self, scene: &Scene<'_>) -> Result<Step, Failure> {
        self.flow.pass_on(scene, Next::End).map(Step::Leave)
    }
}
