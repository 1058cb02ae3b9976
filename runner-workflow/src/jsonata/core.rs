//! The one file that knows jsonata-core: values to and fro, the host functions, the limits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use indexmap::IndexMap;
use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorError, EvaluatorOptions};
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::{Number, Value};

use super::prepare::{self, FIT, NOW, STEP};
use super::{Around, Program, Reads};
use crate::hash;
use crate::limits::{
    HASH_CHARS, JSONATA_DEPTH, JSONATA_SEQUENCE_ITEMS, JSONATA_STEPS, RANGE_ITEMS, VALUE_BYTES, VALUE_DEPTH,
};
use crate::random::Random;

pub(super) struct Parsed {
    program: AstNode,
    reads: Reads,
}

impl Parsed {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let node = parser::parse(text).map_err(|error| error.to_string())?;
        let reads = prepare::reads(&node)?;
        Ok(Self { program: prepare::bounded(node), reads })
    }
}

impl Program for Parsed {
    fn reads(&self) -> &Reads {
        &self.reads
    }

    fn run(&self, around: &dyn Around) -> Result<Option<Value>, String> {
        let mut context = Context::new();
        for (name, wanted) in &self.reads.variables {
            if let Some(value) = around.variable(name, wanted) {
                context.bind(name.clone(), into_core(&value));
            }
        }
        context.bind(NOW.into(), JValue::from_f64(around.now() as f64));
        let options = EvaluatorOptions {
            max_stack_depth: Some(JSONATA_DEPTH),
            max_sequence_length: Some(JSONATA_SEQUENCE_ITEMS),
            ..EvaluatorOptions::default()
        };
        let mut evaluator = Evaluator::with_options(context, options);
        // The functions live as long as the evaluator, and chance outlives both: what they drew is put back afterwards.
        let mut drawn = Random::seeded(0);
        around.random(&mut |random| drawn = *random);
        let random = Rc::new(RefCell::new(drawn));
        self.register(&mut evaluator, &random);
        let result = evaluator.evaluate(&self.program, &JValue::Undefined);
        around.random(&mut |outer| *outer = *random.borrow());
        match result.map_err(|error| error.message().to_owned())? {
            JValue::Undefined => Ok(None),
            value if value.is_function() => Err("the expression gives a function".into()),
            value => from_core(&value, &mut VALUE_BYTES.clone(), VALUE_DEPTH).map(Some),
        }
    }
}

impl Parsed {
    /// Registers the functions that the expression names: seven closures for each expression would cost more than most
    /// expressions do.
    fn register(&self, evaluator: &mut Evaluator, random: &Rc<RefCell<Random>>) {
        let mut register = |name: &str, function: Box<Function>| {
            // None of the names is one that compiles into the engine's fast path, which alone would be refused.
            let registered = evaluator.register_fn_override(name, move |arguments: &[JValue]| function(arguments));
            debug_assert!(registered.is_ok(), "{name} can be replaced");
        };
        let steps = Cell::new(0);
        register(
            STEP,
            Box::new(move |_| {
                steps.set(steps.get() + 1);
                if steps.get() > JSONATA_STEPS {
                    failed(format!("the expression took more than {JSONATA_STEPS} steps"))
                } else {
                    Ok(JValue::Null)
                }
            }),
        );
        register(FIT, Box::new(fit));
        for name in &self.reads.functions {
            let random = Rc::clone(random);
            match name.as_str() {
                "parse" => register(name, Box::new(parse)),
                "partition" => register(name, Box::new(partition)),
                "range" => register(name, Box::new(range)),
                "pad" => register(name, Box::new(pad)),
                "hash" => register(name, Box::new(digest)),
                "uuid" => register(name, Box::new(move |_| Ok(JValue::from(random.borrow_mut().uuid())))),
                "random" => register(
                    name,
                    Box::new(move |arguments| {
                        let unit = match arguments.first().and_then(JValue::as_f64) {
                            Some(seed) => Random::seeded(seed.to_bits()).unit(),
                            None => random.borrow_mut().unit(),
                        };
                        Ok(JValue::from_f64(unit))
                    }),
                ),
                "shuffle" => register(
                    name,
                    Box::new(move |arguments| {
                        let mut items = arguments.first().and_then(JValue::as_array).cloned().unwrap_or_default();
                        for place in (1..items.len()).rev() {
                            let other = (random.borrow_mut().unit() * (place + 1) as f64) as usize;
                            items.swap(place, other);
                        }
                        Ok(JValue::array(items))
                    }),
                ),
                _ => {}
            }
        }
    }
}

const TOO_LARGE: &str = "the value is too large";

type Answer = Result<JValue, EvaluatorError>;
type Function = dyn Fn(&[JValue]) -> Answer;

fn failed(reason: impl Into<String>) -> Answer {
    Err(EvaluatorError::EvaluationError(reason.into()))
}

/// Passes on a text and an array that are not too long.
fn fit(arguments: &[JValue]) -> Answer {
    let value = arguments.first().cloned().unwrap_or(JValue::Undefined);
    match &value {
        JValue::String(text) if text.len() > VALUE_BYTES => failed(TOO_LARGE),
        JValue::Array(items) if items.len() > JSONATA_SEQUENCE_ITEMS => failed(TOO_LARGE),
        _ => Ok(value),
    }
}

/// `$pad(text, width, char)`: the engine's own has no bound.
fn pad(arguments: &[JValue]) -> Answer {
    let Some(text) = arguments.first().and_then(JValue::as_str) else { return Ok(JValue::Undefined) };
    let width = arguments.get(1).and_then(JValue::as_f64).unwrap_or(0.0);
    let characters = arguments.get(2).and_then(JValue::as_str).filter(|text| !text.is_empty()).unwrap_or(" ");
    let missing = (width.abs() as usize).saturating_sub(text.chars().count());
    if missing > VALUE_BYTES {
        return failed(TOO_LARGE);
    }
    let padding: String = characters.chars().cycle().take(missing).collect();
    Ok(JValue::from(if width < 0.0 { padding + text } else { text.to_owned() + &padding }))
}

fn parse(arguments: &[JValue]) -> Answer {
    let Some(text) = arguments.first().and_then(JValue::as_str) else { return Ok(JValue::Undefined) };
    match serde_json::from_str::<Value>(text) {
        Ok(value) => Ok(into_core(&value)),
        Err(error) => failed(format!("$parse: the string is not JSON: {error}")),
    }
}

fn partition(arguments: &[JValue]) -> Answer {
    let items = match arguments.first() {
        None | Some(JValue::Undefined) => return Ok(JValue::Undefined),
        Some(JValue::Array(items)) => items.to_vec(),
        Some(single) => vec![single.clone()],
    };
    let size = arguments.get(1).and_then(JValue::as_f64).unwrap_or(0.0).floor();
    if size < 1.0 {
        return failed("$partition: the size must be at least 1");
    }
    Ok(JValue::array(items.chunks(size as usize).map(|chunk| JValue::array(chunk.to_vec())).collect()))
}

fn range(arguments: &[JValue]) -> Answer {
    let number = |index: usize| arguments.get(index).and_then(JValue::as_f64);
    let (Some(first), Some(last)) = (number(0), number(1)) else { return failed("$range takes numbers") };
    let step = number(2).unwrap_or(1.0);
    let count = ((last - first) / step).floor() + 1.0;
    if step == 0.0 || count.is_nan() {
        return failed("$range: the step must not be zero");
    }
    if count > RANGE_ITEMS as f64 {
        return failed(format!("$range: {count} items, {RANGE_ITEMS} are allowed"));
    }
    Ok(JValue::array((0..count.max(0.0) as usize).map(|index| JValue::from_f64(first + index as f64 * step)).collect()))
}

fn digest(arguments: &[JValue]) -> Answer {
    let text = |index: usize| arguments.get(index).and_then(JValue::as_str);
    let (Some(data), Some(algorithm)) = (text(0), text(1)) else { return failed("$hash takes two strings") };
    if data.chars().count() > HASH_CHARS {
        return failed(format!("$hash: the data has more than {HASH_CHARS} characters"));
    }
    match hash::hex(algorithm, data.as_bytes()) {
        Some(hex) => Ok(JValue::from(hex)),
        None => failed(format!("$hash: unknown algorithm {algorithm}")),
    }
}

fn into_core(value: &Value) -> JValue {
    match value {
        Value::Null => JValue::Null,
        Value::Bool(is) => JValue::Bool(*is),
        Value::Number(number) => JValue::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => JValue::string(text.as_str()),
        Value::Array(items) => JValue::array(items.iter().map(into_core).collect()),
        Value::Object(object) => JValue::object(
            object.iter().map(|(key, value)| (key.clone(), into_core(value))).collect::<IndexMap<_, _>>(),
        ),
    }
}

/// Whole numbers up to 2^53 stay whole; what JSON cannot write is null, as in JavaScript. `left` is how many bytes there may
/// still be: a value that holds another twice holds it once, until it is written down.
fn from_core(value: &JValue, left: &mut usize, depth: usize) -> Result<Value, String> {
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    let weight = value.as_str().map_or(2, |text| text.len() + 2);
    *left = left.checked_sub(weight).ok_or(TOO_LARGE)?;
    let deeper = || depth.checked_sub(1).ok_or_else(|| format!("the value is nested more than {VALUE_DEPTH} deep"));
    Ok(match value {
        JValue::Bool(is) => Value::Bool(*is),
        JValue::Number(number) if number.fract() == 0.0 && number.abs() <= WHOLE => Value::from(*number as i64),
        JValue::Number(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        JValue::String(text) => Value::String(text.to_string()),
        JValue::Array(items) => {
            Value::Array(items.iter().map(|item| from_core(item, left, deeper()?)).collect::<Result<_, _>>()?)
        }
        JValue::Object(object) => {
            let field = |(key, value): (&String, &JValue)| {
                *left = left.checked_sub(key.len()).ok_or(TOO_LARGE)?;
                Ok((key.clone(), from_core(value, left, deeper()?)?))
            };
            Value::Object(object.iter().map(field).collect::<Result<_, String>>()?)
        }
        other if other.is_function() || other.is_regex() => Value::String(String::new()),
        _ => Value::Null,
    })
}
