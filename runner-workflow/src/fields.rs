//! The fields of one object of a definition, read one by one; what is wrong becomes a complaint and reading goes on.

use serde_json::{Map, Value};

use crate::complaint::{Complaints, under};
use crate::definition::Language;
use crate::intrinsics::Intrinsic;
use crate::jsonata::{Jsonata, within};
use crate::path::Path;
use crate::template::{Expression, Hole, Template};

/// An object of a definition, with its place and the language that holds in it.
pub(crate) struct Fields<'d, 'c> {
    pub(crate) object: &'d Map<String, Value>,
    pub(crate) pointer: String,
    pub(crate) language: Language,
    pub(crate) complaints: &'c mut Complaints,
}

/// `InputPath`, `OutputPath`, `ResultPath`: a path, or nothing where the field is null.
#[derive(Debug, Clone, PartialEq)]
pub enum PathOrNull {
    /// The field is `null`: nothing comes through.
    Null,
    /// The field is a path.
    Path(Path),
}

/// A number that may stand in the definition, in the input, or be computed.
#[derive(Debug, Clone, PartialEq)]
pub enum Quantity {
    /// It stands in the definition.
    Fixed(f64),
    /// A `..Path` field: where it is in the input, the context or a variable.
    Path(Path),
    /// A JSONata expression.
    Expression(Hole),
}

impl<'d> Fields<'d, '_> {
    /// An object within this one, or in an array of it.
    pub(crate) fn within<'s>(&'s mut self, value: &'d Value, pointer: String) -> Option<Fields<'d, 's>> {
        let Value::Object(object) = value else {
            self.complaints.schema(&pointer, "Expected value of type Object");
            return None;
        };
        Some(Fields { object, pointer, language: self.language, complaints: self.complaints })
    }

    /// The objects of a list, each with its index.
    pub(crate) fn list(&mut self, name: &str, mut each: impl FnMut(&mut Fields<'d, '_>, usize)) {
        let object = self.object;
        let Some(value) = object.get(name) else { return };
        let pointer = self.at(name);
        let Value::Array(items) = value else {
            self.complaints.schema(&pointer, "Expected value of type Array");
            return;
        };
        for (index, item) in items.iter().enumerate() {
            if let Some(mut fields) = self.within(item, format!("{pointer}/{index}")) {
                each(&mut fields, index);
            }
        }
    }

    pub(crate) fn at(&self, name: &str) -> String {
        under(&self.pointer, name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    pub(crate) fn complain(&mut self, name: &str, message: impl Into<String>) {
        let pointer = self.at(name);
        self.complaints.schema(&pointer, message);
    }

    /// Complains of what is missing, in one sentence.
    pub(crate) fn require(&mut self, names: &[&str]) {
        let missing: Vec<_> = names.iter().filter(|name| !self.has(name)).copied().collect();
        if !missing.is_empty() {
            let pointer = self.pointer.clone();
            self.complaints.schema(&pointer, format!("These fields are required: [{}]", missing.join(", ")));
        }
    }

    /// Complains of every field of a state that is not one of these, of those that its language has besides, or of those that
    /// every state has.
    pub(crate) fn allow_in_state(&mut self, both: &[&str], path: &[&str], jsonata: &[&str]) {
        let of_language = if self.language == Language::JsonPath { path } else { jsonata };
        self.allow(&[&["Comment", "QueryLanguage", "Type"], both, of_language].concat());
    }

    /// Complains of every field that is not one of these.
    pub(crate) fn allow(&mut self, names: &[&str]) {
        let object = self.object;
        for name in object.keys().filter(|name| !names.contains(&name.as_str())) {
            let pointer = self.pointer.clone();
            self.complaints.schema(&pointer, format!("Field '{name}' is not supported"));
        }
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.object.get(name)? {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.complain(name, "Expected value of type String");
                None
            }
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.object.get(name)? {
            Value::Bool(flag) => Some(*flag),
            _ => {
                self.complain(name, "Expected value of type Boolean");
                None
            }
        }
    }

    pub(crate) fn number(&mut self, name: &str) -> Option<f64> {
        let number = self.object.get(name)?.as_f64();
        if number.is_none() {
            self.complain(name, "Expected value of type Number");
        }
        number
    }

    /// A whole number of at least `least`.
    pub(crate) fn whole(&mut self, name: &str, least: u64) -> Option<u64> {
        let whole = self.object.get(name)?.as_u64().filter(|number| *number >= least);
        if whole.is_none() {
            self.complain(name, format!("Expected value of type Integer, at least {least}"));
        }
        whole
    }

    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        let Some(value) = self.object.get(name) else { return Vec::new() };
        let texts =
            value.as_array().map(|items| items.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>());
        texts.filter(|texts| Some(texts.len()) == value.as_array().map(Vec::len)).unwrap_or_else(|| {
            self.complain(name, "Expected value of type Array of String");
            Vec::new()
        })
    }

    pub(crate) fn path(&mut self, name: &str) -> Option<Path> {
        let text = self.text(name)?;
        match Path::parse(&text) {
            Ok(path) => Some(path),
            Err(_) => {
                self.complain(name, "Value is not a valid JSONPath");
                None
            }
        }
    }

    pub(crate) fn path_or_null(&mut self, name: &str) -> Option<PathOrNull> {
        match self.object.get(name)? {
            Value::Null => Some(PathOrNull::Null),
            _ => self.path(name).map(PathOrNull::Path),
        }
    }

    /// `ResultPath`: a path of keys and indexes alone, within the input.
    pub(crate) fn reference_path_or_null(&mut self, name: &str) -> Option<PathOrNull> {
        let found = self.path_or_null(name)?;
        if matches!(&found, PathOrNull::Path(path) if !path.is_reference()) {
            self.complain(name, "Value is not a Reference Path");
        }
        Some(found)
    }

    /// A path or an intrinsic call, as `ErrorPath` may be.
    pub(crate) fn path_or_call(&mut self, name: &str) -> Option<Hole> {
        let text = self.text(name)?;
        let hole = expression(&text).map(|expression| Hole { field: name.to_owned(), expression });
        if hole.is_none() {
            self.complain(name, "Value must be a valid JSONPath or a valid intrinsic function call");
        }
        hole
    }

    /// A payload template in the language that holds here.
    pub(crate) fn template(&mut self, name: &str) -> Option<Template> {
        let value = self.object.get(name)?;
        let pointer = self.at(name);
        Some(match self.language {
            Language::JsonPath => Template::json_path(value, &pointer, self.complaints),
            Language::Jsonata => Template::jsonata(value, name, &pointer, self.complaints),
        })
    }

    /// A template whose field has a longer name in messages, as in a list: `Choices[0]/Condition`.
    pub(crate) fn jsonata(&mut self, name: &str, field: &str) -> Option<Template> {
        let value = self.object.get(name)?;
        let pointer = self.at(name);
        Some(Template::jsonata(value, field, &pointer, self.complaints))
    }

    /// A number: `Seconds` as it stands, `SecondsPath`, or an expression, by the language.
    pub(crate) fn quantity(&mut self, name: &str) -> Option<Quantity> {
        let path = format!("{name}Path");
        if self.language == Language::JsonPath && self.has(&path) {
            return self.path(&path).map(Quantity::Path);
        }
        match self.object.get(name)? {
            Value::String(text) if self.language == Language::Jsonata => {
                let expression = within(text).map(Jsonata::parse);
                match expression {
                    Some(Ok(expression)) => Some(Quantity::Expression(Hole {
                        field: name.to_owned(),
                        expression: Expression::Jsonata(expression),
                    })),
                    _ => {
                        self.complain(name, "Value is not a valid JSONata expression");
                        None
                    }
                }
            }
            _ => self.number(name).map(Quantity::Fixed),
        }
    }
}

/// Whether a label may have a character: AWS lets through what its ARNs can hold.
pub(crate) fn is_name_character(character: char) -> bool {
    !character.is_whitespace()
        && !character.is_control()
        && !matches!(
            character,
            '<' | '>'
                | '{'
                | '}'
                | '['
                | ']'
                | '?'
                | '*'
                | '"'
                | '#'
                | '%'
                | '\\'
                | '^'
                | '|'
                | '~'
                | '`'
                | '$'
                | '&'
                | ','
                | ';'
                | ':'
                | '/'
        )
}

/// A path or an intrinsic call.
pub(crate) fn expression(text: &str) -> Option<Expression> {
    if text.starts_with('$') {
        Path::parse(text).ok().map(Expression::Path)
    } else {
        Intrinsic::parse(text).ok().map(Expression::Intrinsic)
    }
}
