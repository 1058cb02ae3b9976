//! The types of a guest's functions, in the words of WIT, apart from any engine.
//!
//! One tree serves the signature, the JSON Schemas and the mapping between JSON and values. It knows nothing of calls.

mod budget;
mod core;
mod json;
mod schema;
mod wit;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub(crate) use self::budget::Budget;
pub(crate) use self::core::{core_from_json, core_to_json, core_type};
pub(crate) use self::json::{Path, from_json, to_json, weight};
pub use self::schema::schema;
pub(crate) use self::schema::tuple as schema_of_arguments;
pub(crate) use self::wit::from_wasmtime;

/// A type of the component model, or of core WebAssembly in the nearest words of the component model.
///
/// `Display` writes it as WIT text, with records and variants written out, since a binary does not keep their names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<T>`
    List(Box<Type>),
    /// `list<T, N>`
    FixedList(Box<Type>, u32),
    /// `map<K, V>`
    Map(Box<Type>, Box<Type>),
    /// `record { name: T, .. }`
    Record(Vec<(String, Type)>),
    /// `tuple<T, ..>`
    Tuple(Vec<Type>),
    /// `variant { case, case(T), .. }`
    Variant(Vec<(String, Option<Type>)>),
    /// `enum { case, .. }`
    Enum(Vec<String>),
    /// `option<T>`
    Option(Box<Type>),
    /// `result<T, E>`
    Result(Option<Box<Type>>, Option<Box<Type>>),
    /// `flags { name, .. }`
    Flags(Vec<String>),
    /// What a task takes or gives: any JSON that fits this schema. `Display` writes its title, or `json`.
    Json(Arc<Value>),
    /// A type that has no form in JSON, by name: a resource, stream, future, `v128`, `externref`, ..
    Opaque(String),
}

impl Type {
    /// The first type inside that has no form in JSON.
    pub(crate) fn opaque(&self) -> Option<&str> {
        match self {
            Type::Opaque(name) => Some(name),
            Type::List(inner) | Type::FixedList(inner, _) | Type::Option(inner) => inner.opaque(),
            Type::Map(key, value) => key.opaque().or_else(|| value.opaque()),
            Type::Record(fields) => fields.iter().find_map(|(_, field)| field.opaque()),
            Type::Tuple(types) => types.iter().find_map(Type::opaque),
            Type::Variant(cases) => cases.iter().filter_map(|(_, case)| case.as_ref()).find_map(Type::opaque),
            Type::Result(ok, err) => [ok, err].into_iter().flatten().find_map(|side| side.opaque()),
            _ => None,
        }
    }

    /// How many bytes of the engine's values one byte of this type's JSON may take, for the bound on results.
    pub(crate) fn expansion(&self) -> u64 {
        let inside = |inner: &Type| inner.expansion();
        match self {
            // Base64 writes four characters for three of them.
            Type::List(inner) if **inner == Type::U8 => VALUE_BYTES,
            Type::List(inner) | Type::FixedList(inner, _) => {
                inside(inner).max(VALUE_BYTES.div_ceil(inner.json_bytes()))
            }
            Type::Map(key, value) => inside(key).max(inside(value)).max(VALUE_BYTES),
            Type::Option(inner) => inside(inner),
            Type::Record(fields) => {
                fields.iter().map(|(_, field)| inside(field)).max().unwrap_or(1).max(self.own_expansion())
            }
            Type::Tuple(types) => types.iter().map(inside).max().unwrap_or(1).max(self.own_expansion()),
            Type::Variant(cases) => cases
                .iter()
                .filter_map(|(_, case)| case.as_ref())
                .map(inside)
                .max()
                .unwrap_or(1)
                .max(self.own_expansion()),
            Type::Result(ok, err) => {
                [ok, err].into_iter().flatten().map(|side| inside(side)).max().unwrap_or(1).max(self.own_expansion())
            }
            _ => 1,
        }
    }

    /// The engine's bytes of this value's own parts over the least that its JSON takes.
    fn own_expansion(&self) -> u64 {
        let parts = match self {
            Type::Record(fields) => {
                fields.len() as u64 * VALUE_BYTES + fields.iter().map(|(name, _)| name.len() as u64).sum::<u64>()
            }
            Type::Tuple(types) => types.len() as u64 * VALUE_BYTES,
            _ => VALUE_BYTES,
        };
        parts.div_ceil(self.json_bytes())
    }

    /// The least that a value of this type takes as JSON.
    fn json_bytes(&self) -> u64 {
        match self {
            Type::Record(fields) => {
                2 + fields.iter().map(|(name, field)| name.len() as u64 + 4 + field.json_bytes()).sum::<u64>()
            }
            Type::Tuple(types) => 2 + types.iter().map(|ty| ty.json_bytes() + 1).sum::<u64>(),
            Type::Variant(cases) => 2 + cases.iter().map(|(name, _)| name.len() as u64).min().unwrap_or(0),
            Type::Enum(names) => 2 + names.iter().map(|name| name.len() as u64).min().unwrap_or(0),
            Type::Result(..) => 8,
            Type::Bool => 4,
            Type::String | Type::List(_) | Type::FixedList(..) | Type::Map(..) | Type::Flags(_) => 2,
            Type::Char => 3,
            _ => 1,
        }
    }
}

/// Size of the engine's dynamic value, which every element of a list takes.
const VALUE_BYTES: u64 = size_of::<wasmtime::component::Val>() as u64;

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Bool => f.write_str("bool"),
            Type::S8 => f.write_str("s8"),
            Type::U8 => f.write_str("u8"),
            Type::S16 => f.write_str("s16"),
            Type::U16 => f.write_str("u16"),
            Type::S32 => f.write_str("s32"),
            Type::U32 => f.write_str("u32"),
            Type::S64 => f.write_str("s64"),
            Type::U64 => f.write_str("u64"),
            Type::F32 => f.write_str("f32"),
            Type::F64 => f.write_str("f64"),
            Type::Char => f.write_str("char"),
            Type::String => f.write_str("string"),
            Type::List(inner) => write!(f, "list<{inner}>"),
            Type::FixedList(inner, len) => write!(f, "list<{inner}, {len}>"),
            Type::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Type::Record(fields) => {
                f.write_str("record { ")?;
                separated(f, fields, |f, (name, field)| write!(f, "{name}: {field}"))?;
                f.write_str(" }")
            }
            Type::Tuple(types) => {
                f.write_str("tuple<")?;
                separated(f, types, |f, inner| write!(f, "{inner}"))?;
                f.write_str(">")
            }
            Type::Variant(cases) => {
                f.write_str("variant { ")?;
                separated(f, cases, |f, (name, case)| match case {
                    Some(inner) => write!(f, "{name}({inner})"),
                    None => f.write_str(name),
                })?;
                f.write_str(" }")
            }
            Type::Enum(names) => {
                f.write_str("enum { ")?;
                separated(f, names, |f, name| f.write_str(name))?;
                f.write_str(" }")
            }
            Type::Option(inner) => write!(f, "option<{inner}>"),
            Type::Result(None, None) => f.write_str("result"),
            Type::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Type::Result(None, Some(err)) => write!(f, "result<_, {err}>"),
            Type::Result(Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            Type::Flags(names) => {
                f.write_str("flags { ")?;
                separated(f, names, |f, name| f.write_str(name))?;
                f.write_str(" }")
            }
            Type::Json(schema) => {
                // The words are the module's to choose.
                let is_short = |word: &&str| word.len() <= 100 && word.chars().all(|c| !c.is_control());
                let word = |name: &str| schema.get(name).and_then(Value::as_str).filter(is_short);
                match word("title").or_else(|| word("type")).unwrap_or("json") {
                    // What schemars calls an option of a number.
                    name if name.starts_with("Nullable_") => write!(f, "option<{}>", &name["Nullable_".len()..]),
                    name => f.write_str(name),
                }
            }
            Type::Opaque(name) => f.write_str(name),
        }
    }
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    mut write: impl FnMut(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}
