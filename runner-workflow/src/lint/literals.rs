//! Texts that stand where they are passed on as they are, and look as if they had been meant to be read.

use serde_json::Value;

use crate::complaint::{Code, Complaints, under};
use crate::definition::{Definition, Language};
use crate::intrinsics::Intrinsic;
use crate::path::Path;
use crate::state::{Kind, State};
use crate::template::{Hole, Template};

pub(super) fn check(definition: &Definition, complaints: &mut Complaints) {
    for state in definition.states().filter(|state| state.language == Language::JsonPath) {
        for (name, template) in templates(state) {
            in_template(template, &format!("{}/{name}", state.pointer), complaints);
        }
        if let Kind::Pass(pass) = &state.kind
            && let Some(result) = &pass.result
        {
            in_result(result, &format!("{}/Result", state.pointer), complaints);
        }
    }
}

fn templates(state: &State) -> Vec<(&'static str, &Template)> {
    let (flow, selector, parameters) = match &state.kind {
        Kind::Pass(state) => (&state.flow, None, "Parameters"),
        Kind::Task(state) => (&state.flow, None, "Parameters"),
        Kind::Parallel(state) => (&state.flow, None, "Parameters"),
        Kind::Map(state) => (&state.flow, state.item_selector.as_ref(), ""),
        Kind::Wait(state) => (&state.flow, None, ""),
        Kind::Choice(state) => (&state.flow, None, ""),
        Kind::Succeed(_) | Kind::Fail(_) => return Vec::new(),
    };
    let found = [
        (parameters, flow.arguments.as_ref()),
        ("ItemSelector", selector),
        ("ResultSelector", flow.result_selector.as_ref()),
        ("Assign", flow.assign.as_ref()),
    ];
    found.into_iter().filter_map(|(name, template)| Some((name, template?))).collect()
}

fn in_template(template: &Template, pointer: &str, complaints: &mut Complaints) {
    match template {
        Template::Literal(value) => in_value(value, pointer, complaints),
        Template::Hole(_) => {}
        Template::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                in_template(item, &format!("{pointer}/{index}"), complaints);
            }
        }
        Template::Object(parts) => {
            for (key, part) in parts {
                if !matches!(part, Template::Hole(Hole { .. })) {
                    in_template(part, &under(pointer, key), complaints);
                }
            }
        }
    }
}

fn in_value(value: &Value, pointer: &str, complaints: &mut Complaints) {
    match value {
        Value::String(text) if is_readable(text) => {
            let message = "No '.$' on a field that appears to be a JSONPath or Intrinsic Function";
            complaints.add(Code::NoDollar, pointer, message);
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                in_value(item, &format!("{pointer}/{index}"), complaints);
            }
        }
        Value::Object(object) => {
            object.iter().for_each(|(key, value)| in_value(value, &under(pointer, key), complaints));
        }
        _ => {}
    }
}

fn in_result(value: &Value, pointer: &str, complaints: &mut Complaints) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let pointer = under(pointer, key);
                if key.ends_with(".$") && value.as_str().is_some_and(is_readable) {
                    let message = "Attempt to use a path in the result of a pass state";
                    complaints.add(Code::PassResultIsStatic, &pointer, message);
                } else {
                    in_result(value, &pointer, complaints);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                in_result(item, &format!("{pointer}/{index}"), complaints);
            }
        }
        _ => {}
    }
}

/// A price such as `$5` reads like a variable, so a path must go on behind its root to look like one.
fn is_readable(text: &str) -> bool {
    let is_path = text.starts_with("$.") || text.starts_with("$$.") || text.starts_with("$[");
    (is_path && Path::parse(text).is_ok()) || (text.starts_with("States.") && Intrinsic::parse(text).is_ok())
}
