//! Paths that lead where nothing can be: a key that an object of the definition does not have, a field that the context
//! object has not here.

use std::collections::BTreeMap;

use crate::catch::Catcher;
use crate::complaint::{Code, Complaints};
use crate::definition::{Language, Machine};
use crate::fields::PathOrNull;
use crate::flow::Flow;
use crate::jsonata::{Jsonata, Wanted};
use crate::path::{Path, Root};
use crate::resource::Pattern;
use crate::state::{Kind, Next, State};
use crate::template::Template;

use super::reads::{Dollar, Of, Read, reads};
use super::shape::Shape;

/// The fields of the context object, and of each of its parts.
const CONTEXT: [(&str, &[&str]); 5] = [
    ("Execution", &["Id", "Input", "Name", "RedriveCount", "RedriveTime", "RoleArn", "StartTime"]),
    ("Map", &["Item"]),
    ("State", &["EnteredTime", "Name", "RetryCount"]),
    ("StateMachine", &["Id", "Name"]),
    ("Task", &["Token"]),
];

pub(super) fn check(machine: &Machine, complaints: &mut Complaints) {
    within(machine, Shape::Any, false, complaints);
}

fn within(machine: &Machine, input: Shape, in_map: bool, complaints: &mut Complaints) {
    let inputs = inputs(machine, input);
    for state in machine.states.values() {
        let Some(input) = inputs.get(state.name.as_str()) else { continue };
        let values = Values::of(state, input);
        let reads = reads(state);
        for read in &reads {
            // What is asked for its presence anywhere in a state is read there with care.
            let is_asked = |path: &Path| {
                reads.iter().any(|other| other.may_miss && matches!(other.of, Of::Path(asked) if asked == path))
            };
            let reason = match &read.of {
                Of::Path(path) if is_asked(path) => None,
                Of::Path(path) => values.missing(path, read, state, in_map),
                Of::Jsonata(expression) => part_missing(expression, read.dollar, state, in_map),
            };
            if let Some(reason) = reason {
                complaints.add(Code::PathCannotResolve, &read.pointer, reason);
            }
        }
        let is_map = matches!(state.kind, Kind::Map(_));
        for inner in state.kind.machines() {
            within(inner, values.inner.clone(), in_map || is_map, complaints);
        }
    }
}

/// What every state that a run can come to is entered with.
fn inputs(machine: &Machine, input: Shape) -> BTreeMap<&str, Shape> {
    let mut inputs = BTreeMap::from([(machine.start_at.as_str(), input)]);
    let mut left = vec![machine.start_at.as_str()];
    // Ends: an input that changes becomes `Any`, and that does not change.
    while let Some(state) = left.pop().and_then(|name| machine.states.get(name)) {
        let values = Values::of(state, &inputs[state.name.as_str()]);
        for (target, output) in values.outputs(state) {
            let joined = inputs.get(target).map_or_else(|| output.clone(), |earlier| earlier.joined(&output));
            if inputs.get(target) != Some(&joined) {
                inputs.insert(target, joined);
                left.push(target);
            }
        }
    }
    inputs
}

/// The values that pass through a state.
struct Values {
    input: Shape,
    effective: Shape,
    result: Shape,
    combined: Shape,
    error: Shape,
    /// What a machine within it begins with.
    inner: Shape,
}

impl Values {
    fn of(state: &State, input: &Shape) -> Self {
        let (flow, selector) = flow(state);
        let effective = flow.map_or_else(|| input.clone(), |flow| through(flow.input_path.as_ref(), input));
        let arguments = flow.and_then(|flow| flow.arguments.as_ref());
        let arguments =
            arguments.map_or_else(|| effective.clone(), |template| Shape::of_template(template, &effective));
        let inner = match &state.kind {
            Kind::Parallel(_) => arguments.clone(),
            Kind::Map(_) => selector.map_or(Shape::Any, |template| Shape::of_template(template, &effective)),
            _ => Shape::Any,
        };
        let result = match &state.kind {
            Kind::Pass(pass) => pass.result.as_ref().map_or(arguments, Shape::of),
            Kind::Parallel(_) | Kind::Map(_) => Shape::Array,
            _ => Shape::Any,
        };
        let selected = flow.and_then(|flow| flow.result_selector.as_ref());
        let selected = selected.map_or_else(|| result.clone(), |template| Shape::of_template(template, &result));
        let combined = put(flow.and_then(|flow| flow.result_path.as_ref()), input, selected);
        let plain = |key: &str| (key.to_owned(), Shape::Plain);
        let error = Shape::Object([plain("Error"), plain("Cause")].into());
        Self { input: input.clone(), effective, result, combined, error, inner }
    }

    const fn at(&self, dollar: Dollar) -> &Shape {
        match dollar {
            Dollar::Input => &self.input,
            Dollar::Effective => &self.effective,
            Dollar::Result => &self.result,
            Dollar::Combined => &self.combined,
            Dollar::Error => &self.error,
        }
    }

    /// Where a state leads, and what goes there.
    fn outputs<'s>(&self, state: &'s State) -> Vec<(&'s str, Shape)> {
        let (flow, _) = flow(state);
        let is_jsonata = state.language == Language::Jsonata;
        let with = |template: Option<&Template>, otherwise: &Shape| match template {
            Some(template) => Shape::of_template(template, &Shape::Any),
            None => otherwise.clone(),
        };
        let has_result = matches!(state.kind, Kind::Task(_) | Kind::Map(_) | Kind::Parallel(_));
        let output = match flow {
            Some(flow) if is_jsonata => with(flow.output.as_ref(), if has_result { &self.result } else { &self.input }),
            Some(flow) if has_result || matches!(state.kind, Kind::Pass(_)) => {
                through(flow.output_path.as_ref(), &self.combined)
            }
            Some(flow) => through(flow.output_path.as_ref(), &self.effective),
            None => Shape::Any,
        };
        let mut outputs = Vec::new();
        if let Some(Next::State(name)) = state.kind.next() {
            outputs.push((name.as_str(), output.clone()));
        }
        if let Kind::Choice(choice) = &state.kind {
            for rule in &choice.rules {
                let own = if is_jsonata { with(rule.output.as_ref(), &self.input) } else { output.clone() };
                outputs.push((rule.next.as_str(), own));
            }
            outputs.extend(choice.default.as_deref().map(|name| (name, output)));
        }
        let caught = |catcher: &Catcher| match (is_jsonata, &catcher.output) {
            (true, template) => with(template.as_ref(), &self.error),
            (false, _) => put(catcher.result_path.as_ref(), &self.input, self.error.clone()),
        };
        outputs.extend(state.kind.catch().iter().map(|catcher| (catcher.next.as_str(), caught(catcher))));
        outputs
    }

    /// Why a path leads nowhere, where it is certain that it does.
    fn missing(&self, path: &Path, read: &Read<'_>, state: &State, in_map: bool) -> Option<String> {
        match path.root() {
            Root::Variable(_) => None,
            Root::Input => {
                let key = self.at(read.dollar).along(path).err()?;
                Some(format!("path `{path}` cannot resolve: there is no `{key}` in what it is read from"))
            }
            Root::Context => {
                let mut names = path.leading_names();
                let reason = context_missing(names.next()?, names.next(), state, in_map)?;
                Some(format!("path `{path}` cannot resolve: {reason}"))
            }
        }
    }
}

fn flow(state: &State) -> (Option<&Flow>, Option<&Template>) {
    match &state.kind {
        Kind::Pass(state) => (Some(&state.flow), None),
        Kind::Task(state) => (Some(&state.flow), None),
        Kind::Choice(state) => (Some(&state.flow), None),
        Kind::Wait(state) => (Some(&state.flow), None),
        Kind::Succeed(state) => (Some(&state.flow), None),
        Kind::Parallel(state) => (Some(&state.flow), None),
        Kind::Map(state) => (Some(&state.flow), state.item_selector.as_ref()),
        Kind::Fail(_) => (None, None),
    }
}

fn through(path: Option<&PathOrNull>, value: &Shape) -> Shape {
    match path {
        None => value.clone(),
        Some(PathOrNull::Null) => Shape::Object(BTreeMap::new()),
        Some(PathOrNull::Path(path)) if *path.root() == Root::Input => value.along(path).unwrap_or(Shape::Any),
        Some(PathOrNull::Path(_)) => Shape::Any,
    }
}

fn put(path: Option<&PathOrNull>, input: &Shape, value: Shape) -> Shape {
    match path {
        None => value,
        Some(PathOrNull::Null) => input.clone(),
        Some(PathOrNull::Path(path)) => input.clone().with(path, value),
    }
}

/// Why the context object has no such field here.
fn context_missing(section: &str, field: Option<&str>, state: &State, in_map: bool) -> Option<String> {
    let Some((_, fields)) = CONTEXT.iter().find(|(known, _)| *known == section) else {
        let known: Vec<&str> = CONTEXT.iter().map(|(known, _)| *known).collect();
        return Some(format!("the context object has no `{section}`, but {}", known.join(", ")));
    };
    if let Some(field) = field.filter(|field| !fields.contains(field)) {
        return Some(format!("`{section}` of the context object has no `{field}`, but {}", fields.join(", ")));
    }
    let is_map = matches!(state.kind, Kind::Map(_));
    let has_token = matches!(&state.kind, Kind::Task(task) if task.resource.pattern() == Pattern::Callback);
    match section {
        "Map" if !in_map && !is_map => Some(format!("state `{}` does not lie in a Map", state.name)),
        "Task" if !has_token => Some(format!("state `{}` does not wait for a task token", state.name)),
        _ => None,
    }
}

/// Why a part of `$states` that an expression reads is not there.
fn part_missing(expression: &Jsonata, dollar: Dollar, state: &State, in_map: bool) -> Option<String> {
    let Some(Wanted::Parts(parts)) = expression.reads().variables.get("states") else { return None };
    let has_result = dollar == Dollar::Result && !matches!(state.kind, Kind::Pass(_));
    for (key, wanted) in parts {
        let reason = match key.as_str() {
            "input" => None,
            "result" if has_result => None,
            "errorOutput" if dollar == Dollar::Error => None,
            "result" => Some("there is no result yet, or the state has none".to_owned()),
            "errorOutput" => Some("only `Catch` has an error output".to_owned()),
            "context" => match wanted {
                Wanted::Whole => None,
                Wanted::Parts(sections) => sections.iter().find_map(|(section, wanted)| {
                    let field = match wanted {
                        Wanted::Parts(fields) => fields.keys().next().map(String::as_str),
                        Wanted::Whole => None,
                    };
                    context_missing(section, field, state, in_map)
                }),
            },
            _ => Some("`$states` has input, result, errorOutput and context".to_owned()),
        };
        if let Some(reason) = reason.filter(|_| !expression.calls("exists")) {
            return Some(format!("`$states.{key}` cannot resolve: {reason}"));
        }
    }
    None
}
