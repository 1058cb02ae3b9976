//! What looks wrong with a definition that AWS takes: warnings, each from what stands in the definition alone. A rule here
//! speaks only of what cannot go well, or not on every way; what depends on the input it leaves alone.

mod arguments;
mod literals;
mod paths;
mod reads;
mod shape;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

pub use self::arguments::{Export, Kind as ParameterKind, Parameter, Signature, Signatures};

use crate::complaint::{Code, Complaint, Complaints};
use crate::definition::{Definition, Machine};

use reads::{Of, reads};

impl Definition {
    /// What looks wrong with it: states that no run comes to, paths and variables that lead nowhere, texts that were meant to
    /// be paths. Complaints have no line: [`validate`](crate::validate) gives them theirs.
    #[must_use]
    pub fn warnings(&self) -> Vec<Complaint> {
        self.collected(None).settle(None)
    }

    /// The same, and whether the arguments of each Task fit what its export takes.
    #[must_use]
    pub fn warnings_against(&self, signatures: &dyn Signatures) -> Vec<Complaint> {
        self.collected(Some(signatures)).settle(None)
    }

    pub(crate) fn collected(&self, signatures: Option<&dyn Signatures>) -> Complaints {
        let mut complaints = Complaints::default();
        literals::check(self, &mut complaints);
        reachable(self.machine(), &mut complaints);
        variables::check(self.machine(), &mut complaints);
        paths::check(self.machine(), &mut complaints);
        if let Some(signatures) = signatures {
            arguments::check(self, signatures, &mut complaints);
        }
        complaints
    }

    /// Which variables each state reads in its own fields, in alphabetical order; states that read none are left out. Names
    /// that a JSONata expression binds itself are not among them.
    ///
    /// ```
    /// let definition = runner_workflow::Definition::parse(r#"{"StartAt": "A", "States": {
    ///     "A": {"Type": "Pass", "Assign": {"n": 1}, "Next": "B"},
    ///     "B": {"Type": "Pass", "Parameters": {"more.$": "States.MathAdd($n, 1)"}, "End": true}
    /// }}"#)?;
    /// assert_eq!(definition.variable_references()["B"], ["n"]);
    /// # Ok::<(), runner_workflow::Rejection>(())
    /// ```
    #[must_use]
    pub fn variable_references(&self) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for state in self.states() {
            for read in reads(state) {
                for name in read.of.variables() {
                    found.entry(state.name.clone()).or_default().insert(name.to_owned());
                }
            }
        }
        found.into_iter().map(|(state, names)| (state, names.into_iter().collect())).collect()
    }
}

/// A state that is named, but only by states that no run comes to.
fn reachable(machine: &Machine, complaints: &mut Complaints) {
    let (mut reached, mut left) = (BTreeSet::new(), vec![machine.start_at.as_str()]);
    while let Some(state) = left.pop().and_then(|name| machine.states.get(name)) {
        if reached.insert(state.name.as_str()) {
            left.extend(state.targets().iter().map(|(_, name)| *name));
        }
    }
    for state in machine.states.values() {
        if !reached.contains(state.name.as_str()) {
            let message = format!(
                "no run comes to state `{}`: only states name it that cannot be reached from `{}`",
                state.name, machine.start_at
            );
            complaints.add(Code::UnreachableState, &state.pointer, message);
        }
        state.kind.machines().iter().for_each(|inner| reachable(inner, complaints));
    }
}

impl<'s> Of<'s> {
    /// The workflow's variables that it reads.
    fn variables(&self) -> Vec<&'s str> {
        match self {
            Self::Path(path) => match path.root() {
                crate::path::Root::Variable(name) => vec![name],
                _ => Vec::new(),
            },
            Self::Jsonata(expression) => expression.variables().filter(|name| *name != "states").collect(),
        }
    }
}
