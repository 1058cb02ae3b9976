//! How much there is to tell of a module. A small one may have much: its types are told wherever they stand.

use runner_core::{Explanation, Export, ExportKind, Import, Need, Type};
use serde_json::Value;

/// Exports, imports, types and cases, and the bytes of all names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    parts: usize,
    name_bytes: usize,
}

impl Extent {
    pub(crate) fn of_explanation(explanation: &Explanation) -> Self {
        let mut extent = Extent::default();
        explanation.exports.iter().for_each(|export| extent.add_export(export));
        explanation.imports.iter().for_each(|Need { name, items, .. }| extent.add_import(name, items));
        extent
    }

    pub(crate) fn of_program(exports: &[Export], imports: &[Import]) -> Self {
        let mut extent = Extent::default();
        exports.iter().for_each(|export| extent.add_export(export));
        imports.iter().for_each(|Import { name, items, .. }| extent.add_import(name, items));
        extent
    }

    pub(crate) fn of_export(export: &Export) -> Self {
        let mut extent = Extent::default();
        extent.add_export(export);
        extent
    }

    /// What the tree of it takes: a type or a name with what it stands in.
    pub(crate) fn tree_bytes(self) -> usize {
        self.parts.saturating_mul(64).saturating_add(self.name_bytes)
    }

    /// What its JSON Schemas take, as trees and as text: a parameter's stands by itself and among the arguments.
    pub(crate) fn schema_bytes(self) -> usize {
        self.parts.saturating_mul(1_200).saturating_add(self.name_bytes.saturating_mul(4))
    }

    fn add_export(&mut self, export: &Export) {
        self.add_name(&export.name);
        match &export.kind {
            ExportKind::Function(signature) => {
                self.name_bytes += signature.about.len();
                for (name, ty) in &signature.parameters {
                    self.name_bytes += name.len();
                    self.add_type(ty);
                }
                signature.results.iter().for_each(|ty| self.add_type(ty));
            }
            ExportKind::Unsupported(reason) => self.add_name(reason),
            _ => {}
        }
    }

    fn add_import(&mut self, name: &str, items: &[String]) {
        self.add_name(name);
        items.iter().for_each(|item| self.add_name(item));
    }

    fn add_name(&mut self, name: &str) {
        self.parts += 1;
        self.name_bytes += name.len();
    }

    /// A schema that is told as it is.
    fn add_json(&mut self, schema: &Value) {
        self.parts += 1;
        match schema {
            Value::Array(items) => items.iter().for_each(|item| self.add_json(item)),
            Value::Object(fields) => fields.iter().for_each(|(name, field)| {
                self.add_name(name);
                self.add_json(field);
            }),
            Value::String(text) => self.name_bytes += text.len(),
            _ => {}
        }
    }

    fn add_type(&mut self, ty: &Type) {
        self.parts += 1;
        match ty {
            Type::List(inner) | Type::FixedList(inner, _) | Type::Option(inner) => self.add_type(inner),
            Type::Map(key, value) => {
                self.add_type(key);
                self.add_type(value);
            }
            Type::Record(fields) => {
                for (name, ty) in fields {
                    self.name_bytes += name.len();
                    self.add_type(ty);
                }
            }
            Type::Tuple(types) => types.iter().for_each(|ty| self.add_type(ty)),
            Type::Variant(cases) => {
                for (name, ty) in cases {
                    self.add_name(name);
                    ty.iter().for_each(|ty| self.add_type(ty));
                }
            }
            Type::Enum(names) | Type::Flags(names) => names.iter().for_each(|name| self.add_name(name)),
            Type::Result(ok, err) => ok.iter().chain(err).for_each(|ty| self.add_type(ty)),
            Type::Json(schema) => self.add_json(schema),
            Type::Opaque(name) => self.name_bytes += name.len(),
            _ => {}
        }
    }
}
