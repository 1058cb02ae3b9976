//! JSON and component values, both ways, by one mapping that loses nothing.
//!
//! record = object; tuple, list = array; variant = `{"case": v}` or `"case"`; enum, char = string; flags = array;
//! option = null or v, nested `{"some": v}`; result = `{"ok": v}` or `{"err": v}`; 64-bit integers = number within
//! 2^53-1, else string of digits, both accepted; NaN and the infinities = strings; `list<u8>` = `{"base64": ".."}`, an array
//! accepted; map = array of pairs.

use std::fmt;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::read::DecoderReader;
use serde_json::{Map, Number, Value};
use wasmtime::component::Val;

use super::Type;
use crate::error::{Error, Result, listed, short};

/// The largest integer that every JSON reader keeps (RFC 8259, section 6).
const SAFE_INTEGER: i128 = (1 << 53) - 1;

/// Where in the arguments a value stands, for messages. A chain of borrowed steps costs nothing until it is shown.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Argument(&'a str),
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Argument(name) => f.write_str(&short(name)),
            Path::Field(parent, name) => write!(f, "{parent}.{}", short(name)),
            Path::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The error for a value that does not fit its type.
pub(crate) fn mismatch(path: &Path<'_>, expected: &str, found: &Value) -> Error {
    Error::invalid(format!("argument `{path}`: expected {expected}, found {}", shown(found)))
}

/// A value as it stands in a message: whole where short, else its kind.
fn shown(value: &Value) -> String {
    const SHOWN_MAX: usize = 60;
    match value {
        Value::Array(items) => format!("an array of {} items", items.len()),
        Value::Object(fields) if fields.len() > 3 => format!("an object of {} fields", fields.len()),
        Value::String(text) if text.chars().count() > SHOWN_MAX => {
            format!("a string of {} characters", text.chars().count())
        }
        other => {
            let text = other.to_string();
            if text.chars().count() > SHOWN_MAX { "an object".to_owned() } else { format!("`{text}`") }
        }
    }
}

/// Reads a value of a type.
pub(crate) fn from_json(ty: &Type, value: &Value, path: &Path<'_>) -> Result<Val> {
    macro_rules! integer {
        ($variant:ident, $int:ty) => {
            Val::$variant(integer_from_json(value, <$int>::MIN.into(), <$int>::MAX.into(), path)? as $int)
        };
    }
    Ok(match ty {
        Type::Bool => Val::Bool(value.as_bool().ok_or_else(|| mismatch(path, "true or false", value))?),
        Type::S8 => integer!(S8, i8),
        Type::U8 => integer!(U8, u8),
        Type::S16 => integer!(S16, i16),
        Type::U16 => integer!(U16, u16),
        Type::S32 => integer!(S32, i32),
        Type::U32 => integer!(U32, u32),
        Type::S64 => integer!(S64, i64),
        Type::U64 => integer!(U64, u64),
        Type::F32 => Val::Float32(float_from_json(value, true, path)? as f32),
        Type::F64 => Val::Float64(float_from_json(value, false, path)?),
        Type::Char => Val::Char(one_char(value).ok_or_else(|| mismatch(path, "a string of one character", value))?),
        Type::String => Val::String(value.as_str().ok_or_else(|| mismatch(path, "a string", value))?.to_owned()),
        Type::List(inner) if **inner == Type::U8 && value.is_object() => Val::List(bytes_from_json(value, path)?),
        Type::List(inner) => Val::List(items(inner, array(value, None, path)?, path)?),
        Type::FixedList(inner, len) => {
            Val::FixedLengthList(items(inner, array(value, Some(*len as usize), path)?, path)?)
        }
        Type::Map(key, inner) => {
            let pair = Type::Tuple(vec![(**key).clone(), (**inner).clone()]);
            let pairs = items(&pair, array(value, None, path)?, path)?;
            Val::Map(
                pairs
                    .into_iter()
                    .filter_map(|pair| match pair {
                        Val::Tuple(mut pair) => pair.pop().zip(pair.pop()).map(|(value, key)| (key, value)),
                        _ => None,
                    })
                    .collect(),
            )
        }
        Type::Record(fields) => Val::Record(record_from_json(fields, value, path)?),
        Type::Tuple(types) => {
            let values = array(value, Some(types.len()), path)?;
            let values = types.iter().zip(values).enumerate();
            Val::Tuple(
                values
                    .map(|(index, (ty, value))| from_json(ty, value, &Path::Item(path, index)))
                    .collect::<Result<_>>()?,
            )
        }
        Type::Variant(cases) => variant_from_json(cases, value, path)?,
        Type::Enum(names) => Val::Enum(one_of(names, value, path)?),
        Type::Option(_) if value.is_null() => Val::Option(None),
        Type::Option(inner) if matches!(**inner, Type::Option(_)) => match only_field(value) {
            Some(("some", some)) => Val::Option(Some(Box::new(from_json(inner, some, &Path::Field(path, "some"))?))),
            _ => return Err(mismatch(path, "null or {\"some\": ..}", value)),
        },
        Type::Option(inner) => Val::Option(Some(Box::new(from_json(inner, value, path)?))),
        Type::Result(ok, err) => match only_field(value) {
            Some(("ok", inner)) => Val::Result(Ok(payload(ok.as_deref(), inner, &Path::Field(path, "ok"))?)),
            Some(("err", inner)) => Val::Result(Err(payload(err.as_deref(), inner, &Path::Field(path, "err"))?)),
            _ => return Err(mismatch(path, "{\"ok\": ..} or {\"err\": ..}", value)),
        },
        Type::Flags(names) => {
            let mut chosen = Vec::new();
            for (index, value) in array(value, None, path)?.iter().enumerate() {
                let path = Path::Item(path, index);
                let name = one_of(names, value, &path)?;
                if chosen.contains(&name) {
                    return Err(mismatch(&path, "each flag once", value));
                }
                chosen.push(name);
            }
            Val::Flags(chosen)
        }
        Type::Json(_) => return Err(Error::invalid(format!("{path}: only a task takes JSON as it is"))),
        Type::Opaque(name) => {
            return Err(mismatch(path, &format!("a value of type `{name}`, which has no form in JSON"), value));
        }
    })
}

/// Gives a value of a type, or `None` where it takes more bytes than are left. Each part spends what [`weight`] will count
/// for it, before it is built: what is built is not much larger than what is left.
pub(crate) fn to_json(ty: &Type, value: &Val, left: &mut u64) -> Option<Value> {
    let small = |value: Value, left: &mut u64| spend(left, weight(&value)).map(|()| value);
    match (ty, value) {
        (_, Val::Bool(value)) => small(Value::from(*value), left),
        (_, Val::S8(value)) => small(Value::from(*value), left),
        (_, Val::U8(value)) => small(Value::from(*value), left),
        (_, Val::S16(value)) => small(Value::from(*value), left),
        (_, Val::U16(value)) => small(Value::from(*value), left),
        (_, Val::S32(value)) => small(Value::from(*value), left),
        (_, Val::U32(value)) => small(Value::from(*value), left),
        (_, Val::S64(value)) => small(wide_to_json(i128::from(*value)), left),
        (_, Val::U64(value)) => small(wide_to_json(i128::from(*value)), left),
        (_, Val::Float32(value)) => small(float_to_json(f64::from(*value), true), left),
        (_, Val::Float64(value)) => small(float_to_json(*value, false), left),
        (_, Val::Char(value)) => small(Value::from(value.to_string()), left),
        (_, Val::String(text)) | (_, Val::Enum(text)) => text_to_json(text, left),
        (Type::List(inner), Val::List(values)) if **inner == Type::U8 => {
            let len = values.len().div_ceil(3) * 4;
            spend(left, AROUND + name_weight("base64") + text_weight(len))?;
            Some(single("base64", Value::from(base64_of(values, len))))
        }
        (Type::List(inner), Val::List(values)) | (Type::FixedList(inner, _), Val::FixedLengthList(values)) => {
            array_to_json(values, left, |value, left| to_json(inner, value, left))
        }
        (Type::Map(key, inner), Val::Map(pairs)) => array_to_json(pairs, left, |(k, v), left| {
            spend(left, AROUND + 2)?;
            Some(Value::Array(vec![to_json(key, k, left)?, to_json(inner, v, left)?]))
        }),
        (Type::Record(fields), Val::Record(values)) => {
            spend(left, AROUND + fields.iter().map(|(name, _)| name_weight(name)).sum::<u64>())?;
            let mut object = Map::with_capacity(fields.len());
            for ((name, ty), (_, value)) in fields.iter().zip(values) {
                object.insert(name.clone(), to_json(ty, value, left)?);
            }
            Some(Value::Object(object))
        }
        (Type::Tuple(types), Val::Tuple(values)) => {
            let mut types = types.iter();
            array_to_json(values, left, |value, left| to_json(types.next()?, value, left))
        }
        (Type::Variant(cases), Val::Variant(name, inner)) => {
            let ty = cases.iter().find(|(case, _)| case == name).and_then(|(_, ty)| ty.as_ref());
            match (ty, inner) {
                (Some(ty), Some(inner)) => single_to_json(name, ty, inner, left),
                _ => text_to_json(name, left),
            }
        }
        (Type::Option(ty), Val::Option(Some(inner))) if matches!(**ty, Type::Option(_)) => {
            single_to_json("some", ty, inner, left)
        }
        (Type::Option(ty), Val::Option(Some(inner))) => to_json(ty, inner, left),
        (Type::Result(ok, err), Val::Result(result)) => {
            let (name, ty, inner) = match result {
                Ok(inner) => ("ok", ok, inner),
                Err(inner) => ("err", err, inner),
            };
            match (ty, inner) {
                (Some(ty), Some(inner)) => single_to_json(name, ty, inner, left),
                _ => small(single(name, Value::Null), left),
            }
        }
        (_, Val::Flags(names)) => array_to_json(names, left, |name, left| text_to_json(name, left)),
        // Absent; beside it, the engine checks types, and `Type` is read from the engine: no other pair can meet.
        _ => small(Value::Null, left),
    }
}

/// About how many bytes a value takes as JSON, cheaply.
pub(crate) fn weight(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text_weight(text.len()),
        Value::Array(items) => items.iter().map(|item| weight(item) + 1).sum::<u64>() + AROUND,
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name_weight(name) + weight(value)).sum::<u64>() + AROUND
        }
    }
}

/// The brackets around an array or an object.
const AROUND: u64 = 2;

fn text_weight(len: usize) -> u64 {
    len as u64 + 2
}

/// A field's name with its quotes, colon and comma.
fn name_weight(name: &str) -> u64 {
    name.len() as u64 + 4
}

fn spend(left: &mut u64, bytes: u64) -> Option<()> {
    *left = left.checked_sub(bytes)?;
    Some(())
}

fn text_to_json(text: &str, left: &mut u64) -> Option<Value> {
    spend(left, text_weight(text.len()))?;
    Some(Value::from(text))
}

fn array_to_json<T>(
    values: &[T],
    left: &mut u64,
    mut item: impl FnMut(&T, &mut u64) -> Option<Value>,
) -> Option<Value> {
    spend(left, AROUND + values.len() as u64)?;
    // The least that an item takes is an empty text.
    let mut items = Vec::with_capacity(values.len().min(usize::try_from(*left / text_weight(0)).unwrap_or(0)));
    for value in values {
        items.push(item(value, left)?);
    }
    Some(Value::Array(items))
}

fn single_to_json(name: &str, ty: &Type, value: &Val, left: &mut u64) -> Option<Value> {
    spend(left, AROUND + name_weight(name))?;
    Some(single(name, to_json(ty, value, left)?))
}

/// The text of a list of bytes, without a copy of the bytes.
fn base64_of(values: &[Val], len: usize) -> String {
    /// Divisible by three: only the last part is padded.
    const PART: usize = 768;
    let (mut text, mut part) = (String::with_capacity(len), [0; PART]);
    for values in values.chunks(PART) {
        for (byte, value) in part.iter_mut().zip(values) {
            *byte = if let Val::U8(byte) = value { *byte } else { 0 };
        }
        BASE64.encode_string(&part[..values.len()], &mut text);
    }
    text
}

/// An integer within bounds, as a number or a string of digits.
pub(crate) fn integer_from_json(value: &Value, min: i128, max: i128, path: &Path<'_>) -> Result<i128> {
    let found = match value {
        Value::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            // JSON has one kind of number: 3.0 is the integer 3 as long as no digit is lost.
            .or_else(|| {
                let float = number.as_f64()?;
                (float.fract() == 0.0 && float.abs() <= SAFE_INTEGER as f64).then_some(float as i128)
            }),
        Value::String(text) => text.parse().ok().filter(|_| !text.starts_with('+')),
        _ => None,
    };
    found
        .filter(|int| (min..=max).contains(int))
        .ok_or_else(|| mismatch(path, &format!("an integer between {min} and {max}"), value))
}

/// A 64-bit integer: a number where every reader keeps it, else a string of digits.
pub(crate) fn wide_to_json(value: i128) -> Value {
    match i64::try_from(value) {
        Ok(int) if value.abs() <= SAFE_INTEGER => Value::from(int),
        _ => Value::from(value.to_string()),
    }
}

/// A float that its precision can hold once rounded, or one of the three that JSON has no numbers for.
pub(crate) fn float_from_json(value: &Value, single: bool, path: &Path<'_>) -> Result<f64> {
    let found = match value {
        Value::Number(number) => number.as_f64().filter(|float| !single || (*float as f32).is_finite()),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    };
    let max = if single { f64::from(f32::MAX) } else { f64::MAX };
    found.ok_or_else(|| {
        mismatch(path, &format!("a number up to {max:e}, \"NaN\", \"Infinity\" or \"-Infinity\""), value)
    })
}

/// A float as JSON; a single-precision one with the fewest digits that give it back.
pub(crate) fn float_to_json(value: f64, single: bool) -> Value {
    if value.is_nan() {
        return Value::from("NaN");
    }
    if value.is_infinite() {
        return Value::from(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let shortest = if single { (value as f32).to_string().parse().unwrap_or(value) } else { value };
    Number::from_f64(shortest).map_or(Value::Null, Value::Number)
}

fn array<'v>(value: &'v Value, len: Option<usize>, path: &Path<'_>) -> Result<&'v [Value]> {
    let found = value.as_array().filter(|items| len.is_none_or(|len| items.len() == len));
    found.map(Vec::as_slice).ok_or_else(|| match len {
        Some(len) => mismatch(path, &format!("an array of {len} items"), value),
        None => mismatch(path, "an array", value),
    })
}

fn items(ty: &Type, values: &[Value], path: &Path<'_>) -> Result<Vec<Val>> {
    values.iter().enumerate().map(|(index, value)| from_json(ty, value, &Path::Item(path, index))).collect()
}

fn bytes_from_json(value: &Value, path: &Path<'_>) -> Result<Vec<Val>> {
    let Some(("base64", Value::String(text))) = only_field(value) else {
        return Err(mismatch(path, "{\"base64\": \"..\"} or an array of bytes", value));
    };
    // A value is many times larger than its byte: room for those that there are, and no copy of the bytes beside them.
    let mut values = Vec::with_capacity(text.len() / 4 * 3);
    let (mut decoder, mut part) = (DecoderReader::new(text.as_bytes(), &BASE64), [0; 1 << 10]);
    loop {
        let read = decoder
            .read(&mut part)
            .map_err(|error| Error::invalid(format!("argument `{path}`: `base64` does not decode")).source(error))?;
        match read {
            0 => return Ok(values),
            read => values.extend(part[..read].iter().copied().map(Val::U8)),
        }
    }
}

fn record_from_json(types: &[(String, Type)], value: &Value, path: &Path<'_>) -> Result<Vec<(String, Val)>> {
    let fields = value.as_object().ok_or_else(|| mismatch(path, "an object", value))?;
    refuse_unknown(fields, types, path)?;
    types
        .iter()
        .map(|(name, ty)| {
            // An optional field may be left out; any other is named.
            let value = match (fields.get(name), ty) {
                (Some(value), _) => value,
                (None, Type::Option(_)) => &Value::Null,
                (None, _) => {
                    return Err(Error::invalid(format!(
                        "argument `{path}`: field `{}` ({}) is missing",
                        short(name),
                        short(&ty.to_string())
                    )));
                }
            };
            Ok((name.clone(), from_json(ty, value, &Path::Field(path, name))?))
        })
        .collect()
}

fn refuse_unknown(fields: &Map<String, Value>, types: &[(String, Type)], path: &Path<'_>) -> Result<()> {
    match fields.keys().find(|name| types.iter().all(|(known, _)| known != *name)) {
        Some(name) => Err(Error::invalid(format!(
            "argument `{path}`: field `{}` is unknown, the fields are {}",
            short(name),
            listed(types.iter().map(|(name, _)| name.as_str()))
        ))),
        None => Ok(()),
    }
}

fn variant_from_json(cases: &[(String, Option<Type>)], value: &Value, path: &Path<'_>) -> Result<Val> {
    let (name, inner) = match value {
        Value::String(name) => (name.as_str(), None),
        other => match only_field(other) {
            Some((name, inner)) => (name, Some(inner)),
            None => return Err(mismatch(path, "\"case\" or {\"case\": ..}", value)),
        },
    };
    match (cases.iter().find(|(case, _)| case == name), inner) {
        (Some((_, Some(ty))), Some(inner)) => {
            Ok(Val::Variant(name.to_owned(), Some(Box::new(from_json(ty, inner, &Path::Field(path, name))?))))
        }
        (Some((_, None)), None | Some(Value::Null)) => Ok(Val::Variant(name.to_owned(), None)),
        (Some((_, Some(ty))), None) => {
            let (name, ty) = (short(name), ty.to_string());
            Err(mismatch(path, &format!("{{\"{name}\": {}}}, the case has a value", short(&ty)), value))
        }
        (Some((_, None)), Some(_)) => {
            Err(mismatch(path, &format!("\"{}\", the case has no value", short(name)), value))
        }
        (None, _) => {
            let names = listed(cases.iter().map(|(name, _)| name.as_str()));
            Err(mismatch(path, &format!("one of the cases {names}"), value))
        }
    }
}

fn payload(ty: Option<&Type>, value: &Value, path: &Path<'_>) -> Result<Option<Box<Val>>> {
    match ty {
        Some(ty) => Ok(Some(Box::new(from_json(ty, value, path)?))),
        None if value.is_null() => Ok(None),
        None => Err(mismatch(path, "null, this side has no value", value)),
    }
}

fn one_of(names: &[String], value: &Value, path: &Path<'_>) -> Result<String> {
    let found = value.as_str().filter(|text| names.iter().any(|name| name == text));
    found.map(str::to_owned).ok_or_else(|| {
        let names = listed(names.iter().map(String::as_str));
        mismatch(path, &format!("one of {names}"), value)
    })
}

fn one_char(value: &Value) -> Option<char> {
    let mut chars = value.as_str()?.chars();
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// The name and value of an object with exactly one field.
fn only_field(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.iter().next().map(|(name, value)| (name.as_str(), value))
}

fn single(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

#[cfg(test)]
mod tests;
