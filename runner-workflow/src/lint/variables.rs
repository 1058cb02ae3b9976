//! Variables that are read where nothing has set them. They live in the machine that sets them and in those within it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::complaint::{Code, Complaints};
use crate::definition::Machine;
use crate::state::{Kind, Next, State};
use crate::template::Template;

use super::reads::{Of, reads};

/// What is known of the variables before a state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Known<'m> {
    /// Set on one way at least.
    may: BTreeSet<&'m str>,
    /// Set on every way.
    must: BTreeSet<&'m str>,
    /// An expression made the names: any may be set.
    is_open: bool,
}

pub(super) fn check(machine: &Machine, complaints: &mut Complaints) {
    within(machine, Known::default(), complaints);
}

fn within<'m>(machine: &'m Machine, around: Known<'m>, complaints: &mut Complaints) {
    let mut before: BTreeMap<&str, Known<'m>> = BTreeMap::new();
    before.insert(&machine.start_at, around);
    let mut left = vec![machine.start_at.as_str()];
    while let Some(state) = left.pop().and_then(|name| machine.states.get(name)) {
        let known = before[state.name.as_str()].clone();
        for (target, assign) in ways(state) {
            let mut after = known.clone();
            after.set(assign);
            let known = match before.get(target) {
                None => after,
                Some(earlier) => earlier.joined(&after),
            };
            if before.get(target) != Some(&known) {
                before.insert(target, known);
                left.push(target);
            }
        }
    }
    for state in machine.states.values() {
        // What no run comes to is complained of elsewhere.
        let Some(known) = before.get(state.name.as_str()) else { continue };
        for read in reads(state) {
            for name in read.of.variables() {
                if let Some(message) = known.complaint(name, &read.of) {
                    complaints.add(Code::VariableNotAssigned, &read.pointer, message);
                }
            }
        }
        state.kind.machines().iter().for_each(|inner| within(inner, known.clone(), complaints));
    }
}

/// Where a state can lead, and what it sets on the way there.
fn ways(state: &State) -> Vec<(&str, Option<&Template>)> {
    let mut ways = Vec::new();
    let assign = match &state.kind {
        Kind::Pass(state) => state.flow.assign.as_ref(),
        Kind::Task(state) => state.flow.assign.as_ref(),
        Kind::Wait(state) => state.flow.assign.as_ref(),
        Kind::Parallel(state) => state.flow.assign.as_ref(),
        Kind::Map(state) => state.flow.assign.as_ref(),
        Kind::Choice(state) => state.flow.assign.as_ref(),
        Kind::Succeed(_) | Kind::Fail(_) => None,
    };
    if let Some(Next::State(name)) = state.kind.next() {
        ways.push((name.as_str(), assign));
    }
    if let Kind::Choice(choice) = &state.kind {
        ways.extend(choice.rules.iter().map(|rule| (rule.next.as_str(), rule.assign.as_ref())));
        ways.extend(choice.default.as_deref().map(|name| (name, assign)));
    }
    ways.extend(state.kind.catch().iter().map(|catcher| (catcher.next.as_str(), catcher.assign.as_ref())));
    ways
}

impl<'m> Known<'m> {
    fn set(&mut self, assign: Option<&'m Template>) {
        let names: Vec<&str> = match assign {
            None => return,
            Some(Template::Object(parts)) => parts.iter().map(|(name, _)| name.as_str()).collect(),
            Some(Template::Literal(Value::Object(object))) => object.keys().map(String::as_str).collect(),
            Some(_) => return self.is_open = true,
        };
        self.may.extend(&names);
        self.must.extend(names);
    }

    fn joined(&self, other: &Self) -> Self {
        Self { may: &self.may | &other.may, must: &self.must & &other.must, is_open: self.is_open || other.is_open }
    }

    fn complaint(&self, name: &str, of: &Of<'_>) -> Option<String> {
        // An expression that asks `$exists` knows that something may be missing.
        let is_asked = matches!(of, Of::Jsonata(expression) if expression.calls("exists"));
        if self.is_open || self.must.contains(name) || is_asked {
            return None;
        }
        Some(if self.may.contains(name) {
            format!("variable `{name}` is not assigned on every way that leads here")
        } else {
            format!("variable `{name}` is read, and no state before this one assigns it")
        })
    }
}
