//! What an expression sees while a state runs, in either language.

use std::borrow::Cow;
use std::cell::RefCell;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::failure::Failure;
use crate::fields::{PathOrNull, Quantity};
use crate::intrinsics::Surroundings;
use crate::jsonata::{Around, Wanted};
use crate::path::{Missing, Path, Root};
use crate::random::Random;
use crate::template::{Expression, Hole};
use crate::time::Millis;

/// The variables that a state sees: those of its own scope, and around it those of the scopes that it lies in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) own: &'a Map<String, Value>,
    pub(crate) outer: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.own.get(name).or_else(|| self.outer?.get(name))
    }
}

/// What an expression sees.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// JSONPath's `$`.
    pub(crate) dollar: &'a Value,
    /// `$states.input`: what the state was entered with.
    pub(crate) input: &'a Value,
    /// `$states.result`, where there is one.
    pub(crate) result: Option<&'a Value>,
    /// `$states.errorOutput`, in a Catch.
    pub(crate) error_output: Option<&'a Value>,
    pub(crate) context: Context<'a>,
    pub(crate) scope: Scope<'a>,
    pub(crate) now: Millis,
    pub(crate) random: &'a RefCell<Random>,
}

impl<'a> Scene<'a> {
    /// The same scene with another `$`.
    pub(crate) const fn looking_at(self, dollar: &'a Value) -> Self {
        Self { dollar, ..self }
    }

    /// Fills a hole.
    pub(crate) fn fill(&self, hole: &Hole) -> Result<Value, Failure> {
        match &hole.expression {
            Expression::Path(path) => self.find(path).map(Cow::into_owned).map_err(|_| {
                let (field, input, path) = (&hole.field, self.root(path), path.within_root());
                Failure::runtime(format!(
                    "The JSONPath '{path}' specified for the field '{field}' could not be found in the input '{input}'"
                ))
            }),
            Expression::Intrinsic(call) => call.evaluate(self),
            Expression::Jsonata(expression) => {
                let (text, field) = (expression.text(), &hole.field);
                let begin = format!("The JSONata expression '{text}' specified for the field '{field}'");
                match expression.evaluate(self) {
                    Ok(Some(value)) => Ok(value),
                    Ok(None) => Err(Failure::query(format!("{begin} returned nothing (undefined)."), field)),
                    Err(reason) => {
                        Err(Failure::query(format!("{begin} threw an error during evaluation. {reason}"), field))
                    }
                }
            }
        }
    }

    /// Fills a hole that must give a value of one type, by JSON's name for it.
    pub(crate) fn fill_as(&self, hole: &Hole, wanted: &str) -> Result<Value, Failure> {
        let value = self.fill(hole)?;
        let found = type_name(&value);
        match &hole.expression {
            _ if found == wanted => Ok(value),
            Expression::Jsonata(expression) => {
                let (text, field) = (expression.text(), &hole.field);
                Err(Failure::query(
                    format!(
                        "The JSONata expression '{text}' specified for the field '{field}' returned an unexpected result type. \
                         Expected '{wanted}', but was '{found}' for value: {value}"
                    ),
                    field,
                ))
            }
            _ => Err(Failure::runtime(format!("The field '{}' must be a {wanted}, but was: {value}", hole.field))),
        }
    }

    /// What `InputPath` or `OutputPath` lets through; without the field, everything.
    pub(crate) fn through<'v>(&'v self, path: Option<&PathOrNull>) -> Result<Cow<'v, Value>, Failure> {
        match path {
            None => Ok(Cow::Borrowed(self.dollar)),
            Some(PathOrNull::Null) => Ok(Cow::Owned(Value::Object(Map::new()))),
            Some(PathOrNull::Path(path)) => self.must_find(path),
        }
    }

    /// What a path leads to, or AWS's words for that it leads nowhere.
    pub(crate) fn must_find(&self, path: &Path) -> Result<Cow<'_, Value>, Failure> {
        self.find(path)
            .map_err(|missing| Failure::runtime(format!("Invalid path '{}' : {missing}", path.within_root())))
    }

    /// What a path begins at, as AWS prints it where the path leads nowhere.
    fn root(&self, path: &Path) -> Value {
        match path.root() {
            Root::Input => self.dollar.clone(),
            Root::Context => self.context.part(std::iter::empty()),
            Root::Variable(name) => self.scope.get(name).cloned().unwrap_or_default(),
        }
    }

    /// A number; what its path leads to need not be one.
    pub(crate) fn quantity(&self, quantity: &Quantity) -> Result<Value, Failure> {
        match quantity {
            Quantity::Fixed(number) => Ok(whole_or_float(*number)),
            Quantity::Path(path) => self.must_find(path).map(Cow::into_owned),
            Quantity::Expression(hole) => self.fill_as(hole, "number"),
        }
    }
}

/// A number as JSON would write it: whole where it is.
pub(crate) fn whole_or_float(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9.0e15 { Value::from(number as i64) } else { Value::from(number) }
}

pub(crate) const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl Surroundings for Scene<'_> {
    fn find(&self, path: &Path) -> Result<Cow<'_, Value>, Missing> {
        match path.root() {
            Root::Input => path.find(self.dollar),
            Root::Context => {
                let part = self.context.part(path.leading_names());
                path.find(&part).map(|found| Cow::Owned(found.into_owned()))
            }
            Root::Variable(name) => match self.scope.get(name) {
                Some(value) => path.find(value),
                None => Err(Missing(format!("No results for path: ${name}"))),
            },
        }
    }

    fn input(&self) -> String {
        self.dollar.to_string()
    }

    fn random<T>(&self, with: impl FnOnce(&mut Random) -> T) -> T {
        with(&mut self.random.borrow_mut())
    }
}

impl Around for Scene<'_> {
    fn variable(&self, name: &str, wanted: &Wanted) -> Option<Value> {
        if name != "states" {
            return self.scope.get(name).map(|value| wanted.of(value));
        }
        let mut states = Map::new();
        let parts = [("input", Some(self.input)), ("result", self.result), ("errorOutput", self.error_output)];
        for (key, value) in parts {
            if let (Some(wanted), Some(value)) = (wanted.part(key), value) {
                states.insert(key.to_owned(), wanted.of(value));
            }
        }
        if let Some(wanted) = wanted.part("context") {
            let keys = wanted.single_path();
            states.insert("context".to_owned(), wanted.of(&self.context.part(keys.into_iter())));
        }
        Some(Value::Object(states))
    }

    fn now(&self) -> Millis {
        self.now
    }

    fn random(&self, with: &mut dyn FnMut(&mut Random)) {
        with(&mut self.random.borrow_mut());
    }
}
