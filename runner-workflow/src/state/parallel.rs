//! Parallel (<https://states-language.net/spec.html#parallel-state>).

use super::{Next, Step};
use crate::catch::Catcher;
use crate::definition::{Language, Machine};
use crate::failure::Failure;
use crate::fields::Fields;
use crate::flow::Flow;
use crate::retry::Retrier;
use crate::scene::Scene;

/// Runs machines side by side; the result has the output of each.
#[derive(Debug, Clone)]
pub struct Parallel {
    /// What comes in and goes out.
    pub flow: Flow,
    /// The machines.
    pub branches: Vec<Machine>,
    /// When all of them are tried again.
    pub retry: Vec<Retrier>,
    /// Where the run goes when one of them failed.
    pub catch: Vec<Catcher>,
    /// Where it goes.
    pub next: Next,
}

impl Parallel {
    pub(crate) fn check(fields: &mut Fields<'_, '_>, depth: usize) -> Self {
        fields.allow_in_state(
            &["Assign", "Branches", "Catch", "End", "Next", "Retry"],
            &["InputPath", "OutputPath", "Parameters", "ResultPath", "ResultSelector"],
            &["Arguments", "Output"],
        );
        fields.require(&["Branches"]);
        let mut branches = Vec::new();
        fields.list("Branches", |fields, _| branches.extend(Machine::check(fields, depth)));
        let arguments = if fields.language == Language::JsonPath { "Parameters" } else { "Arguments" };
        Self {
            flow: Flow::check(fields, Some(arguments)),
            branches,
            retry: Retrier::check_all(fields),
            catch: Catcher::check_all(fields),
            next: Next::check(fields),
        }
    }

    pub(crate) fn enter(&self, scene: &Scene<'_>) -> Result<Step, Failure> {
        self.flow.arguments(scene).map(|input| Step::Branch { input })
    }
}
