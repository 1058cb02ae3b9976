//! The engine's description of a component's types, as our own tree.

use wasmtime::component::types;

use super::Type;

/// Copies a type out of the engine.
pub(crate) fn from_wasmtime(ty: &types::Type) -> Type {
    let boxed = |ty: &types::Type| Box::new(from_wasmtime(ty));
    match ty {
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
        types::Type::List(list) => Type::List(boxed(&list.ty())),
        types::Type::FixedLengthList(list) => Type::FixedList(boxed(&list.ty()), list.len()),
        types::Type::Map(map) => Type::Map(boxed(&map.key()), boxed(&map.value())),
        types::Type::Record(record) => {
            Type::Record(record.fields().map(|field| (field.name.to_owned(), from_wasmtime(&field.ty))).collect())
        }
        types::Type::Tuple(tuple) => Type::Tuple(tuple.types().map(|ty| from_wasmtime(&ty)).collect()),
        types::Type::Variant(variant) => Type::Variant(
            variant.cases().map(|case| (case.name.to_owned(), case.ty.as_ref().map(from_wasmtime))).collect(),
        ),
        types::Type::Enum(names) => Type::Enum(names.names().map(str::to_owned).collect()),
        types::Type::Option(option) => Type::Option(boxed(&option.ty())),
        types::Type::Result(result) => Type::Result(result.ok().as_ref().map(boxed), result.err().as_ref().map(boxed)),
        types::Type::Flags(names) => Type::Flags(names.names().map(str::to_owned).collect()),
        types::Type::Own(_) => Type::Opaque("own<resource>".to_owned()),
        types::Type::Borrow(_) => Type::Opaque("borrow<resource>".to_owned()),
        types::Type::Future(_) => Type::Opaque("future".to_owned()),
        types::Type::Stream(_) => Type::Opaque("stream".to_owned()),
        types::Type::ErrorContext => Type::Opaque("error-context".to_owned()),
    }
}
