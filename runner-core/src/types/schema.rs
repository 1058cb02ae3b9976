//! JSON Schema (draft 2020-12) of a type: what [`super::json`] accepts and gives, in the schema's words.

use serde_json::{Value, json};

use super::Type;

/// The JSON Schema of a type.
pub fn schema(ty: &Type) -> Value {
    match ty {
        Type::Bool => json!({ "type": "boolean" }),
        Type::S8 => integer(i8::MIN.into(), i8::MAX.into()),
        Type::U8 => integer(0, u8::MAX.into()),
        Type::S16 => integer(i16::MIN.into(), i16::MAX.into()),
        Type::U16 => integer(0, u16::MAX.into()),
        Type::S32 => integer(i32::MIN.into(), i32::MAX.into()),
        Type::U32 => integer(0, u32::MAX.into()),
        Type::S64 => wide("^-?[0-9]+$", i64::MIN.into(), i64::MAX.into()),
        Type::U64 => wide("^[0-9]+$", Value::from(0), u64::MAX.into()),
        Type::F32 | Type::F64 => {
            json!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] })
        }
        Type::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Type::String => json!({ "type": "string" }),
        Type::List(inner) if **inner == Type::U8 => json!({ "anyOf": [
            {
                "type": "object",
                "properties": { "base64": { "type": "string", "contentEncoding": "base64" } },
                "required": ["base64"],
                "additionalProperties": false,
            },
            { "type": "array", "items": schema(inner) },
        ] }),
        Type::List(inner) => json!({ "type": "array", "items": schema(inner) }),
        Type::FixedList(inner, len) => {
            json!({ "type": "array", "items": schema(inner), "minItems": len, "maxItems": len })
        }
        Type::Map(key, value) => json!({ "type": "array", "items": tuple(&[(**key).clone(), (**value).clone()]) }),
        Type::Record(fields) => {
            let properties: serde_json::Map<_, _> =
                fields.iter().map(|(name, field)| (name.clone(), schema(field))).collect();
            let required: Vec<_> =
                fields.iter().filter(|(_, field)| !matches!(field, Type::Option(_))).map(|(name, _)| name).collect();
            json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
        }
        Type::Tuple(types) => tuple(types),
        Type::Variant(cases) => {
            let cases: Vec<_> = cases
                .iter()
                .map(|(name, case)| match case {
                    Some(inner) => only(name, schema(inner)),
                    None => json!({ "const": name }),
                })
                .collect();
            json!({ "oneOf": cases })
        }
        Type::Enum(names) => json!({ "enum": names }),
        Type::Option(inner) if matches!(**inner, Type::Option(_)) => {
            json!({ "anyOf": [{ "type": "null" }, only("some", schema(inner))] })
        }
        Type::Option(inner) => json!({ "anyOf": [{ "type": "null" }, schema(inner)] }),
        Type::Result(ok, err) => {
            let side = |side: &Option<Box<Type>>| side.as_deref().map_or(json!({ "type": "null" }), schema);
            json!({ "oneOf": [only("ok", side(ok)), only("err", side(err))] })
        }
        Type::Flags(names) => json!({ "type": "array", "items": { "enum": names }, "uniqueItems": true }),
        Type::Json(schema) => Value::clone(schema),
        Type::Opaque(name) => json!({ "not": {}, "$comment": format!("`{name}` has no form in JSON") }),
    }
}

/// The JSON Schema of an argument list: an array with one item a parameter.
pub(crate) fn tuple(types: &[Type]) -> Value {
    let item = |(at, ty): (usize, &Type)| {
        let mut item = schema(ty);
        // Its author wrote it to stand alone; what contains itself refers to itself from the root.
        if let Type::Json(_) = ty {
            rebase(&mut item, &format!("#/prefixItems/{at}"));
        }
        item
    };
    let items: Vec<_> = types.iter().enumerate().map(item).collect();
    json!({ "type": "array", "prefixItems": items, "minItems": types.len(), "maxItems": types.len(), "items": false })
}

/// Has references from the root of a schema lead to where the schema lies now.
fn rebase(schema: &mut Value, to: &str) {
    match schema {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), field) {
                    ("$ref" | "$dynamicRef", Value::String(reference)) => {
                        if let Some(rest) = reference.strip_prefix('#') {
                            *reference = format!("{to}{rest}");
                        }
                    }
                    // Values, not schemas.
                    ("const" | "enum" | "default" | "examples", _) => {}
                    (_, field) => rebase(field, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rebase(item, to)),
        _ => {}
    }
}

fn integer(minimum: i64, maximum: i64) -> Value {
    json!({ "type": "integer", "minimum": minimum, "maximum": maximum })
}

fn wide(pattern: &str, minimum: Value, maximum: Value) -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": minimum, "maximum": maximum },
        { "type": "string", "pattern": pattern },
    ] })
}

/// An object with exactly one property.
fn only(name: &str, inner: Value) -> Value {
    json!({ "type": "object", "properties": { name: inner }, "required": [name], "additionalProperties": false })
}
