//! Payload templates: JSON with holes that are filled when a state runs. In JSONPath a hole is a key that ends with `.$`, in
//! JSONata a text between `{%` and `%}`.

use serde_json::{Map, Value};

use crate::complaint::{Complaints, under};
use crate::failure::{Failure, names};
use crate::fields::expression;
use crate::intrinsics::Intrinsic;
use crate::jsonata::{Jsonata, within};
use crate::limits::VALUE_BYTES;
use crate::path::Path;
use crate::scene::Scene;
use crate::weight::json_bytes;

/// A JSON value with holes.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// There is no hole in it.
    Literal(Value),
    /// It is a hole itself.
    Hole(Hole),
    /// An array with a hole somewhere.
    Array(Vec<Template>),
    /// An object with a hole somewhere; the keys are those of the filled object.
    Object(Vec<(String, Template)>),
}

/// An expression and the field that it stands in.
#[derive(Debug, Clone, PartialEq)]
pub struct Hole {
    /// How messages name the field: `value.$` in JSONPath, `Output/result` in JSONata.
    pub field: String,
    /// What fills the hole.
    pub expression: Expression,
}

/// What fills a hole.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A path into the input, the context or a variable.
    Path(Path),
    /// A call of a `States.*` function.
    Intrinsic(Intrinsic),
    /// A JSONata expression.
    Jsonata(Jsonata),
}

impl Template {
    pub(crate) fn json_path(value: &Value, pointer: &str, complaints: &mut Complaints) -> Self {
        match value {
            Value::Object(object) => {
                let mut parts = Vec::with_capacity(object.len());
                for (key, value) in object {
                    match key.strip_suffix(".$") {
                        None => parts.push((key.clone(), Self::json_path(value, &under(pointer, key), complaints))),
                        Some(name) => match value.as_str().and_then(expression) {
                            Some(expression) => {
                                parts.push((name.to_owned(), Self::Hole(Hole { field: key.clone(), expression })))
                            }
                            None => {
                                let wanted = "must be a valid JSONPath or a valid intrinsic function call";
                                complaints.schema(pointer, format!("The value for the field '{key}' {wanted}"));
                            }
                        },
                    }
                }
                Self::object(parts)
            }
            Value::Array(items) => {
                let item = |(index, item)| Self::json_path(item, &format!("{pointer}/{index}"), complaints);
                Self::array(items.iter().enumerate().map(item).collect())
            }
            plain => Self::Literal(plain.clone()),
        }
    }

    pub(crate) fn jsonata(value: &Value, field: &str, pointer: &str, complaints: &mut Complaints) -> Self {
        match value {
            Value::String(text) => match within(text).map(Jsonata::parse) {
                None => Self::Literal(value.clone()),
                Some(Ok(expression)) => {
                    Self::Hole(Hole { field: field.to_owned(), expression: Expression::Jsonata(expression) })
                }
                Some(Err(reason)) => {
                    complaints.schema(pointer, format!("The JSONata expression is not valid: {reason}"));
                    Self::Literal(Value::Null)
                }
            },
            Value::Object(object) => {
                let part = |(key, value): (&String, &Value)| {
                    (key.clone(), Self::jsonata(value, &format!("{field}/{key}"), &under(pointer, key), complaints))
                };
                Self::object(object.iter().map(part).collect())
            }
            Value::Array(items) => {
                let item = |(index, item)| {
                    Self::jsonata(item, &format!("{field}[{index}]"), &format!("{pointer}/{index}"), complaints)
                };
                Self::array(items.iter().enumerate().map(item).collect())
            }
            plain => Self::Literal(plain.clone()),
        }
    }

    fn object(parts: Vec<(String, Self)>) -> Self {
        if parts.iter().any(|(_, part)| !matches!(part, Self::Literal(_))) {
            return Self::Object(parts);
        }
        let literal = |(key, part)| match part {
            Self::Literal(value) => Some((key, value)),
            _ => None,
        };
        Self::Literal(Value::Object(parts.into_iter().filter_map(literal).collect()))
    }

    fn array(items: Vec<Self>) -> Self {
        if items.iter().any(|item| !matches!(item, Self::Literal(_))) {
            return Self::Array(items);
        }
        let literal = |item| match item {
            Self::Literal(value) => Some(value),
            _ => None,
        };
        Self::Literal(Value::Array(items.into_iter().filter_map(literal).collect()))
    }

    /// Every hole in it, from left to right.
    pub fn holes(&self) -> Vec<&Hole> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Hole(hole) => vec![hole],
            Self::Array(items) => items.iter().flat_map(Self::holes).collect(),
            Self::Object(parts) => parts.iter().flat_map(|(_, part)| part.holes()).collect(),
        }
    }

    /// Fills every hole.
    ///
    /// # Errors
    ///
    /// When an expression fails, or all of them together give more than [`VALUE_BYTES`].
    pub(crate) fn fill(&self, scene: &Scene<'_>) -> Result<Value, Failure> {
        self.fill_within(scene, &mut VALUE_BYTES.clone())
    }

    fn fill_within(&self, scene: &Scene<'_>, left: &mut usize) -> Result<Value, Failure> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Hole(hole) => {
                let value = scene.fill(hole)?;
                let bytes = json_bytes(&value, *left).ok_or_else(|| {
                    let cause = format!(
                        "What the field '{}' gives has more than {VALUE_BYTES} bytes with the rest.",
                        hole.field
                    );
                    Failure::new(names::DATA_LIMIT, cause)
                })?;
                *left -= bytes;
                value
            }
            Self::Array(items) => {
                Value::Array(items.iter().map(|item| item.fill_within(scene, left)).collect::<Result<_, _>>()?)
            }
            Self::Object(parts) => {
                let mut object = Map::with_capacity(parts.len());
                for (key, part) in parts {
                    object.insert(key.clone(), part.fill_within(scene, left)?);
                }
                Value::Object(object)
            }
        })
    }
}
