//! From the steps of a path and a value to what they lead to.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use super::{Function, Missing, Step};
use crate::limits::PATH_MATCHES;

pub(super) fn find<'v>(steps: &[Step], root: &'v Value) -> Result<Cow<'v, Value>, Missing> {
    let (steps, function) = match steps.split_last() {
        Some((Step::Function(function), rest)) => (rest, Some(*function)),
        _ => (steps, None),
    };
    let found = if steps.iter().all(|step| matches!(step, Step::Name(_) | Step::Index(_))) {
        Cow::Borrowed(one(steps, root)?)
    } else {
        many(steps, root)?
    };
    match function {
        Some(function) => apply(function, &found).map(Cow::Owned),
        None => Ok(found),
    }
}

/// Follows a definite path.
fn one<'v>(steps: &[Step], root: &'v Value) -> Result<&'v Value, Missing> {
    let mut at = root;
    for (place, step) in steps.iter().enumerate() {
        let next = match step {
            Step::Name(name) => at.as_object().and_then(|object| object.get(name)),
            Step::Index(index) => at.as_array().and_then(|items| items.get(in_array(*index, items.len())?)),
            _ => None,
        };
        let is_last = place + 1 == steps.len();
        at = next.ok_or_else(|| {
            let path = canonical(&steps[..=place]);
            let is_name = matches!(step, Step::Name(_));
            Missing(match step {
                Step::Name(name) if !at.is_object() => {
                    let before = canonical(&steps[..place]);
                    format!(
                        "Expected to find an object with property ['{name}'] in path {before} but found '{}'.",
                        kind(at)
                    )
                }
                _ if is_last || !is_name => format!("No results for path: {}", canonical(steps)),
                _ => format!("Missing property in path {path}"),
            })
        })?;
    }
    Ok(at)
}

/// Follows a path to wherever it leads, and takes the array off where a literal index is the last step.
fn many<'v>(steps: &[Step], root: &'v Value) -> Result<Cow<'v, Value>, Missing> {
    let mut found = vec![root];
    let mut deep = false;
    for (place, step) in steps.iter().enumerate() {
        if *step == Step::Deep {
            deep = true;
            continue;
        }
        if std::mem::take(&mut deep) {
            let mut everything = Vec::new();
            for value in found {
                descendants(value, &mut everything);
                few(everything.len())?;
            }
            found = everything;
        }
        if let Step::Names(names) = step {
            // Several keys of an object give an object of those keys.
            let parts = found.iter().filter_map(|value| value.as_object()).map(|object| pick(object, names)).collect();
            let only = steps[..place].iter().all(|step| matches!(step, Step::Name(_) | Step::Index(_)));
            return after_names(&steps[place + 1..], parts, only).map(Cow::Owned);
        }
        let mut further = Vec::new();
        for value in found {
            further.extend(next(step, value, root));
            few(further.len())?;
        }
        found = further;
    }
    if matches!(steps.last(), Some(Step::Index(_)))
        && let [first, ..] = found.as_slice()
    {
        return Ok(Cow::Borrowed(first));
    }
    Ok(Cow::Owned(Value::Array(found.into_iter().cloned().collect())))
}

fn few(matches: usize) -> Result<(), Missing> {
    if matches > PATH_MATCHES { Err(Missing(format!("more than {PATH_MATCHES} results for the path"))) } else { Ok(()) }
}

fn pick(object: &Map<String, Value>, names: &[String]) -> Value {
    names.iter().filter_map(|name| Some((name.clone(), object.get(name)?.clone()))).collect()
}

fn after_names(rest: &[Step], mut parts: Vec<Value>, only: bool) -> Result<Value, Missing> {
    if rest.is_empty() && only && parts.len() == 1 {
        return Ok(parts.swap_remove(0));
    }
    if rest.is_empty() {
        return Ok(Value::Array(parts));
    }
    let mut steps = vec![Step::Wildcard];
    steps.extend_from_slice(rest);
    many(&steps, &Value::Array(parts)).map(Cow::into_owned)
}

fn next<'v>(step: &Step, at: &'v Value, root: &'v Value) -> Vec<&'v Value> {
    match (step, at) {
        (Step::Name(name), Value::Object(object)) => object.get(name).into_iter().collect(),
        (Step::Index(index), Value::Array(items)) => {
            in_array(*index, items.len()).and_then(|index| items.get(index)).into_iter().collect()
        }
        (Step::Indexes(indexes), Value::Array(items)) => {
            indexes.iter().filter_map(|index| items.get(in_array(*index, items.len())?)).collect()
        }
        (Step::Slice(begin, end), Value::Array(items)) => {
            let bound =
                |bound: i64| usize::try_from(if bound < 0 { bound + items.len() as i64 } else { bound }).unwrap_or(0);
            let begin = begin.map_or(0, bound);
            let end = end.map_or(items.len(), bound).min(items.len());
            items.get(begin..end).into_iter().flatten().collect()
        }
        (Step::Wildcard, Value::Array(items)) => items.iter().collect(),
        (Step::Wildcard, Value::Object(object)) => object.values().collect(),
        (Step::Filter(filter), Value::Array(items)) => items.iter().filter(|item| filter.holds(item, root)).collect(),
        (Step::Filter(filter), Value::Object(_)) if filter.holds(at, root) => vec![at],
        _ => Vec::new(),
    }
}

fn descendants<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    found.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| descendants(item, found)),
        Value::Object(object) => object.values().for_each(|item| descendants(item, found)),
        _ => {}
    }
}

fn in_array(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(i64::try_from(length).ok()?)? } else { index };
    usize::try_from(index).ok()
}

fn apply(function: Function, value: &Value) -> Result<Value, Missing> {
    let numbers = || -> Vec<f64> { value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect() };
    let number = |number: f64| Number::from_f64(number).map(Value::Number);
    let result = match function {
        Function::Length => match value {
            Value::Array(items) => Some(items.len().into()),
            Value::Object(object) => Some(object.len().into()),
            Value::String(text) => Some(text.chars().count().into()),
            _ => None,
        },
        Function::Min => numbers().into_iter().reduce(f64::min).and_then(number),
        Function::Max => numbers().into_iter().reduce(f64::max).and_then(number),
        Function::Sum => number(numbers().into_iter().sum()),
        Function::Avg => number(numbers().iter().sum::<f64>() / numbers().len() as f64),
        Function::Keys => value.as_object().map(|object| object.keys().cloned().collect()),
        Function::First => value.as_array().and_then(|items| items.first().cloned()),
        Function::Last => value.as_array().and_then(|items| items.last().cloned()),
    };
    result.ok_or_else(|| Missing("Aggregation function attempted to calculate value using empty array".into()))
}

/// A path as Jayway prints it: `$['a'][0]`.
fn canonical(steps: &[Step]) -> String {
    steps.iter().fold(String::from("$"), |path, step| match step {
        Step::Name(name) => path + "['" + name + "']",
        Step::Index(index) => path + &format!("[{index}]"),
        _ => path,
    })
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "java.lang.Boolean",
        Value::Number(_) => "java.lang.Number",
        Value::String(_) => "java.lang.String",
        Value::Array(_) => "net.minidev.json.JSONArray",
        Value::Object(_) => "java.util.LinkedHashMap",
    }
}
