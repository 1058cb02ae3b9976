//! One line of a log: a message and its fields, as `message key=value`. It knows no host.

use std::fmt::{self, Write};

use tracing_core::Field;
use tracing_core::field::Visit;

/// A message with its fields, or the fields alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    message: String,
    fields: String,
}

impl Line {
    pub(super) fn message(&mut self, message: &dyn fmt::Display) {
        // To a string there is no error but that of what is written; what it wrote until then is said.
        let _ = write!(self.message, "{message}");
    }

    pub(super) fn field(&mut self, name: &str, value: fmt::Arguments<'_>) {
        if !self.fields.is_empty() {
            self.fields.push(' ');
        }
        let _ = write!(self.fields, "{name}={value}");
    }

    /// The whole of it.
    pub(super) fn as_str(&mut self) -> &str {
        if !self.message.is_empty() && !self.fields.is_empty() {
            self.message.push(' ');
        }
        self.message.push_str(&std::mem::take(&mut self.fields));
        &self.message
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message(&format_args!("{value:?}")),
            name => self.field(name.strip_prefix("r#").unwrap_or(name), format_args!("{value:?}")),
        }
    }
}

impl<'kvs> log::kv::VisitSource<'kvs> for Line {
    fn visit_pair(&mut self, key: log::kv::Key<'kvs>, value: log::kv::Value<'kvs>) -> Result<(), log::kv::Error> {
        // As `tracing` has it: text in quotes.
        match value.to_borrowed_str() {
            Some(text) => self.field(key.as_str(), format_args!("{text:?}")),
            None => self.field(key.as_str(), format_args!("{value}")),
        }
        Ok(())
    }
}
