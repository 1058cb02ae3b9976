//! The engine's description of a component's types, as our own tree.

use wasmtime::component::types;

use super::{Budget, Type};

/// Copies a type out of the engine; `None` where the module has described more than its budget.
pub(crate) fn from_wasmtime(ty: &types::Type, budget: &mut Budget) -> Option<Type> {
    budget.types(1)?;
    let mut boxed = |ty: &types::Type| from_wasmtime(ty, budget).map(Box::new);
    Some(match ty {
        types::Type::Bool => Type::Bool,
        types::Type::S8 => Type::S8,
        types::Type::U8 => Type::U8,
        types::Type::S16 => Type::S16,
        types::Type::U16 => Type::U16,
        types::Type::S32 => Type::S32,
        types::Type::U32 => Type::U32,
        types::Type::S64 => Type::S64,
        types::Type::U64 => Type::U64,
        types::Type::Float32 => Type::F32,
        types::Type::Float64 => Type::F64,
        types::Type::Char => Type::Char,
        types::Type::String => Type::String,
        types::Type::List(list) => Type::List(boxed(&list.ty())?),
        types::Type::FixedLengthList(list) => Type::FixedList(boxed(&list.ty())?, list.len()),
        types::Type::Map(map) => Type::Map(boxed(&map.key())?, boxed(&map.value())?),
        types::Type::Record(record) => Type::Record(
            record
                .fields()
                .map(|field| Some((budget.name(field.name)?, from_wasmtime(&field.ty, budget)?)))
                .collect::<Option<_>>()?,
        ),
        types::Type::Tuple(tuple) => {
            Type::Tuple(tuple.types().map(|ty| from_wasmtime(&ty, budget)).collect::<Option<_>>()?)
        }
        types::Type::Variant(variant) => Type::Variant(
            variant
                .cases()
                .map(|case| {
                    let name = budget.name(case.name)?;
                    let ty = match &case.ty {
                        Some(ty) => Some(from_wasmtime(ty, budget)?),
                        None => None,
                    };
                    Some((name, ty))
                })
                .collect::<Option<_>>()?,
        ),
        types::Type::Enum(names) => Type::Enum(names.names().map(|name| budget.name(name)).collect::<Option<_>>()?),
        types::Type::Option(option) => Type::Option(boxed(&option.ty())?),
        types::Type::Result(result) => {
            let mut side = |ty: Option<types::Type>| match ty {
                Some(ty) => boxed(&ty).map(Some),
                None => Some(None),
            };
            Type::Result(side(result.ok())?, side(result.err())?)
        }
        types::Type::Flags(names) => Type::Flags(names.names().map(|name| budget.name(name)).collect::<Option<_>>()?),
        types::Type::Own(_) => Type::Opaque("own<resource>".to_owned()),
        types::Type::Borrow(_) => Type::Opaque("borrow<resource>".to_owned()),
        types::Type::Future(_) => Type::Opaque("future".to_owned()),
        types::Type::Stream(_) => Type::Opaque("stream".to_owned()),
        types::Type::ErrorContext => Type::Opaque("error-context".to_owned()),
    })
}
