//! What is known of a value before any run: which keys an object that stands in the definition has.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::path::Path;
use crate::template::{Expression, Template};

/// What is known of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// Nothing.
    Any,
    /// It is neither an object nor an array.
    Plain,
    /// It is an array.
    Array,
    /// It is an object with these keys and no other.
    Object(BTreeMap<String, Self>),
}

impl Shape {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Object(object) => {
                Self::Object(object.iter().map(|(key, value)| (key.clone(), Self::of(value))).collect())
            }
            Value::Array(_) => Self::Array,
            _ => Self::Plain,
        }
    }

    /// Of what a template gives where `$` has the shape `dollar`.
    pub(super) fn of_template(template: &Template, dollar: &Self) -> Self {
        match template {
            Template::Literal(value) => Self::of(value),
            Template::Array(_) => Self::Array,
            Template::Object(parts) => {
                let part = |(key, part): &(String, Template)| (key.clone(), Self::of_template(part, dollar));
                Self::Object(parts.iter().map(part).collect())
            }
            Template::Hole(hole) => match &hole.expression {
                Expression::Path(path) if *path.root() == crate::path::Root::Input => {
                    dollar.along(path).unwrap_or(Self::Any)
                }
                _ => Self::Any,
            },
        }
    }

    /// What a path from it leads to; an error with the key that is not there.
    pub(super) fn along(&self, path: &Path) -> Result<Self, String> {
        if !path.is_definite() {
            return Ok(Self::Any);
        }
        let mut at = self;
        let mut steps = 0;
        for name in path.leading_names() {
            steps += 1;
            at = match at {
                Self::Any => return Ok(Self::Any),
                Self::Object(keys) => keys.get(name).ok_or_else(|| name.to_owned())?,
                Self::Plain | Self::Array => return Err(name.to_owned()),
            };
        }
        Ok(if steps == path.step_count() { at.clone() } else { Self::Any })
    }

    /// With another value where a reference path leads.
    pub(super) fn with(mut self, path: &Path, value: Self) -> Self {
        let names: Vec<&str> = path.leading_names().collect();
        if names.len() < path.step_count() {
            return Self::Any;
        }
        let mut at = &mut self;
        for name in names {
            let Self::Object(keys) = at else { return Self::Any };
            at = keys.entry(name.to_owned()).or_insert_with(|| Self::Object(BTreeMap::new()));
        }
        *at = value;
        self
    }

    /// What is known where it is one or the other.
    pub(super) fn joined(&self, other: &Self) -> Self {
        if self == other { self.clone() } else { Self::Any }
    }
}
