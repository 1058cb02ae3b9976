//! What each function answers.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::{Function, Surroundings};
use crate::hash;
use crate::limits::{HASH_CHARS, RANGE_ITEMS};
use crate::path::filter::equal;
use crate::random::Random;

type Arguments<'v> = [Cow<'v, Value>];

pub(super) fn answer(
    function: Function,
    arguments: &Arguments<'_>,
    around: &impl Surroundings,
) -> Result<Value, String> {
    match function {
        Function::Format => format(arguments).map(Value::String),
        Function::StringToJson => string_to_json(text(arguments, 0)?),
        Function::JsonToString => Ok(Value::String(arguments[0].to_string())),
        Function::Array => Ok(arguments.iter().map(|argument| argument.as_ref().clone()).collect()),
        Function::ArrayPartition => {
            let size = usize::try_from(whole(arguments, 1)?).ok().filter(|size| *size > 0);
            let size = size.ok_or("the chunk size must be greater than zero")?;
            Ok(array(arguments, 0)?.chunks(size).map(|chunk| Value::Array(chunk.to_vec())).collect())
        }
        Function::ArrayContains => Ok(array(arguments, 0)?.iter().any(|item| equal(item, &arguments[1])).into()),
        Function::ArrayRange => range(whole(arguments, 0)?, whole(arguments, 1)?, whole(arguments, 2)?),
        Function::ArrayGetItem => {
            let (items, index) = (array(arguments, 0)?, whole(arguments, 1)?);
            let item = usize::try_from(index).ok().and_then(|index| items.get(index));
            item.cloned().ok_or_else(|| format!("the index {index} is outside an array of {} items", items.len()))
        }
        Function::ArrayLength => Ok(array(arguments, 0)?.len().into()),
        Function::ArrayUnique => {
            let mut unique: Vec<Value> = Vec::new();
            for item in array(arguments, 0)? {
                if !unique.iter().any(|known| equal(known, item)) {
                    unique.push(item.clone());
                }
            }
            Ok(Value::Array(unique))
        }
        Function::Base64Encode => Ok(BASE64.encode(text(arguments, 0)?).into()),
        Function::Base64Decode => {
            let bytes = BASE64.decode(text(arguments, 0)?).map_err(|_| "the argument is not Base64")?;
            String::from_utf8(bytes).map(Value::String).map_err(|_| "the argument holds no text".into())
        }
        Function::Hash => {
            let data = match arguments[0].as_ref() {
                Value::String(text) => Cow::Borrowed(text.as_str()),
                other => Cow::Owned(other.to_string()),
            };
            if data.chars().count() > HASH_CHARS {
                return Err(format!("the data to hash has more than {HASH_CHARS} characters"));
            }
            let algorithm = text(arguments, 1)?;
            hash::hex(algorithm, data.as_bytes())
                .map(Value::String)
                .ok_or_else(|| format!("unknown algorithm {algorithm}"))
        }
        Function::JsonMerge => merge(arguments),
        Function::MathRandom => {
            let (start, end) = (whole(arguments, 0)?, whole(arguments, 1)?);
            let span = end.checked_sub(start).filter(|span| *span > 0).ok_or("the start must be less than the end")?;
            let unit = match arguments.get(2) {
                Some(_) => Random::seeded(whole(arguments, 2)?.cast_unsigned()).unit(),
                None => around.random(Random::unit),
            };
            Ok(Value::from(start + (unit * span as f64) as i64))
        }
        Function::MathAdd => Ok(whole(arguments, 0)?.saturating_add(whole(arguments, 1)?).into()),
        Function::StringSplit => {
            let (data, delimiters) = (text(arguments, 0)?, text(arguments, 1)?);
            let pieces = data.split(|c| delimiters.contains(c)).filter(|piece| !piece.is_empty());
            Ok(pieces.map(|piece| Value::String(piece.to_owned())).collect())
        }
        Function::Uuid => Ok(Value::String(around.random(Random::uuid))),
    }
}

fn text<'v>(arguments: &'v Arguments<'_>, index: usize) -> Result<&'v str, String> {
    arguments[index]
        .as_str()
        .ok_or_else(|| format!("argument {} must be a string, but was {}", index + 1, arguments[index]))
}

fn array<'v>(arguments: &'v Arguments<'_>, index: usize) -> Result<&'v Vec<Value>, String> {
    arguments[index]
        .as_array()
        .ok_or_else(|| format!("argument {} must be an array, but was {}", index + 1, arguments[index]))
}

/// A number, rounded half up: -1.5 is -1.
fn whole(arguments: &Arguments<'_>, index: usize) -> Result<i64, String> {
    let value = arguments[index].as_ref();
    let rounded = || value.as_f64().map(|number| (number + 0.5).floor() as i64);
    value.as_i64().or_else(rounded).ok_or_else(|| format!("argument {} must be a number, but was {value}", index + 1))
}

fn string_to_json(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).map_err(|error| format!("the string is not JSON: {error}"))
}

fn range(first: i64, last: i64, step: i64) -> Result<Value, String> {
    if step == 0 {
        return Err("the step must not be zero".into());
    }
    let count = (i128::from(last) - i128::from(first)) / i128::from(step) + 1;
    if count > RANGE_ITEMS as i128 {
        return Err(format!("the range has {count} items, {RANGE_ITEMS} are allowed"));
    }
    Ok((0..count.max(0) as i64).map(|index| Value::from(first + index * step)).collect())
}

fn merge(arguments: &Arguments<'_>) -> Result<Value, String> {
    let object = |index: usize| -> Result<&Map<String, Value>, String> {
        arguments[index]
            .as_object()
            .ok_or_else(|| format!("argument {} must be an object, but was {}", index + 1, arguments[index]))
    };
    if arguments[2].as_bool() != Some(false) {
        return Err("argument 3 must be false: objects are merged at their top alone".into());
    }
    let mut merged = object(0)?.clone();
    merged.extend(object(1)?.clone());
    Ok(Value::Object(merged))
}

fn format(arguments: &Arguments<'_>) -> Result<String, String> {
    let template = text(arguments, 0)?;
    let mut values = arguments[1..].iter();
    let mut formatted = String::with_capacity(template.len());
    let mut characters = template.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' => formatted.extend(characters.next()),
            '{' if characters.peek() == Some(&'}') => {
                characters.next();
                let value = values.next().ok_or("the template has more `{}` than there are arguments")?;
                print(value, &mut formatted);
            }
            c => formatted.push(c),
        }
    }
    if values.next().is_some() {
        return Err("the template has fewer `{}` than there are arguments".into());
    }
    Ok(formatted)
}

/// As Java prints a map, a list and a text.
fn print(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                out.push_str(if place > 0 { ", " } else { "" });
                print(item, out);
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (place, (key, item)) in object.iter().enumerate() {
                out.push_str(if place > 0 { ", " } else { "" });
                out.push_str(key);
                out.push('=');
                print(item, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}
