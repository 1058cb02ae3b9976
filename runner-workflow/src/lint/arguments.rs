//! Whether what a Task hands over fits what its export takes. What an export takes only its module knows: whoever has the
//! modules tells it through [`Signatures`].

use serde_json::Value;

use crate::complaint::{Code, Complaints};
use crate::definition::{Definition, Language};
use crate::resource::Resource;
use crate::state::Kind as StateKind;
use crate::template::Template;

/// What exports take.
pub trait Signatures {
    /// What is known of what a resource names.
    fn export(&self, resource: &Resource) -> Export;
}

/// What is known of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Export {
    /// It is there, and takes this.
    Takes(Signature),
    /// It is not there: why, in words that follow "resource `..`: ".
    Missing(String),
    /// Nothing, as of a service: nothing is said about it.
    Unknown,
}

/// The parameters of an export, which a Task hands over as the fields of an object; the one parameter of an export with one, also as
/// it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// In their order.
    pub parameters: Vec<Parameter>,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, as the field of the arguments is called.
    pub name: String,
    /// What its values are in JSON.
    pub kind: Kind,
    /// Whether it may be left out, as an `option` may.
    pub is_optional: bool,
}

/// What a value is in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Any,
    /// A truth value.
    Boolean,
    /// A number.
    Number,
    /// A text.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

pub(super) fn check(definition: &Definition, signatures: &dyn Signatures, complaints: &mut Complaints) {
    for state in definition.states() {
        let StateKind::Task(task) = &state.kind else { continue };
        let resource = task.resource.text();
        let name = if state.language == Language::JsonPath { "Parameters" } else { "Arguments" };
        let signature = match signatures.export(&task.resource) {
            Export::Takes(signature) => signature,
            Export::Missing(reason) => {
                let message = format!("resource `{resource}`: {reason}");
                complaints.add(Code::ArgumentsDoNotFit, &format!("{}/Resource", state.pointer), message);
                continue;
            }
            Export::Unknown => continue,
        };
        let Some(arguments) = &task.flow.arguments else { continue };
        for message in signature.complaints(resource, arguments) {
            complaints.add(Code::ArgumentsDoNotFit, &format!("{}/{name}", state.pointer), message);
        }
    }
}

impl Signature {
    fn complaints(&self, resource: &str, arguments: &Template) -> Vec<String> {
        let fields: Vec<(&str, Option<Kind>)> = match arguments {
            Template::Object(parts) => parts.iter().map(|(name, part)| (name.as_str(), kind_of(part))).collect(),
            Template::Literal(Value::Object(object)) => {
                object.iter().map(|(name, value)| (name.as_str(), Kind::of(value))).collect()
            }
            // What an expression gives is known when it runs. A single parameter takes a value as it is.
            _ => return Vec::new(),
        };
        let mut found = Vec::new();
        if let [Parameter { name, kind: Kind::Any | Kind::Object, .. }] = self.parameters.as_slice()
            && !fields.iter().any(|(field, _)| field == name)
        {
            // The object is the value of the one parameter.
            return found;
        }
        for parameter in &self.parameters {
            let (name, kind) = (&parameter.name, parameter.kind);
            match fields.iter().find(|(field, _)| field == name) {
                None if !parameter.is_optional => {
                    found.push(format!("`{resource}` takes `{name}`, which the arguments do not have"));
                }
                Some((_, Some(given))) if kind != Kind::Any && kind != *given => found.push(format!(
                    "`{resource}` takes `{name}` as {}, and the arguments have {} there",
                    kind.shown(),
                    given.shown()
                )),
                _ => {}
            }
        }
        for (name, _) in &fields {
            if !self.parameters.iter().any(|parameter| parameter.name == *name) {
                let known: Vec<String> = self.parameters.iter().map(|known| format!("`{}`", known.name)).collect();
                let takes = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
                found.push(format!("`{resource}` has no parameter `{name}`: it takes {takes}"));
            }
        }
        found
    }
}

/// What a part of the arguments certainly is.
fn kind_of(part: &Template) -> Option<Kind> {
    match part {
        Template::Literal(value) => Kind::of(value),
        Template::Array(_) => Some(Kind::Array),
        Template::Object(_) => Some(Kind::Object),
        Template::Hole(_) => None,
    }
}

impl Kind {
    /// Null stands for what is left out, so it is of no kind.
    const fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(_) => Some(Self::Boolean),
            Value::Number(_) => Some(Self::Number),
            Value::String(_) => Some(Self::String),
            Value::Array(_) => Some(Self::Array),
            Value::Object(_) => Some(Self::Object),
        }
    }

    const fn shown(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Boolean => "a truth value",
            Self::Number => "a number",
            Self::String => "a text",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}
