//! Values of core WebAssembly and JSON. Core integers have no sign: both readings are accepted, the signed one is given.

use serde_json::Value;
use wasmtime::{Val, ValType};

use super::Type;
use super::json::{Path, float_from_json, float_to_json, integer_from_json, mismatch, wide_to_json};
use crate::error::Result;

/// A core type in the nearest words of WIT.
pub(crate) fn core_type(ty: &ValType) -> Type {
    match ty {
        ValType::I32 => Type::S32,
        ValType::I64 => Type::S64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        other => Type::Opaque(other.to_string()),
    }
}

/// Reads an argument of a core function.
pub(crate) fn core_from_json(ty: &Type, value: &Value, path: &Path<'_>) -> Result<Val> {
    Ok(match ty {
        Type::S32 => {
            let wide = integer_from_json(value, i32::MIN.into(), u32::MAX.into(), path)?;
            // The low half is the value in both readings.
            Val::I32(wide as u32 as i32)
        }
        Type::S64 => {
            let wide = integer_from_json(value, i64::MIN.into(), u64::MAX.into(), path)?;
            Val::I64(wide as u64 as i64)
        }
        Type::F32 => Val::F32((float_from_json(value, true, path)? as f32).to_bits()),
        Type::F64 => Val::F64(float_from_json(value, false, path)?.to_bits()),
        other => return Err(mismatch(path, &format!("a value of type `{other}`, which has no form in JSON"), value)),
    })
}

/// Gives a result of a core function.
pub(crate) fn core_to_json(value: &Val) -> Value {
    match value {
        Val::I32(int) => Value::from(*int),
        Val::I64(int) => wide_to_json(i128::from(*int)),
        Val::F32(bits) => float_to_json(f32::from_bits(*bits).into(), true),
        Val::F64(bits) => float_to_json(f64::from_bits(*bits), false),
        // `load` refuses functions with other types by name, so no call gets here.
        _ => Value::Null,
    }
}
