//! Random types, random values: each survives the way to JSON text and back, and each fits its type's JSON Schema.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wasmtime::component::Val;

use super::{Path, from_json, to_json, weight};
use crate::types::{Type, schema};

const CASES: u32 = 2_000;

#[test]
fn a_value_of_any_type_survives_json() {
    // A fixed seed: a failure here is a failure everywhere.
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner =
        TestRunner::new_with_rng(Config { cases: CASES, failure_persistence: None, ..Config::default() }, rng);
    let case = types().prop_flat_map(|ty| (Just(ty.clone()), values(&ty)));
    runner
        .run(&case, |(ty, value)| {
            let text = json(&ty, &value).to_string();
            let parsed = serde_json::from_str(&text).expect("what we write is JSON");
            let back = from_json(&ty, &parsed, &Path::Argument("value"));
            let back = back.map_err(|error| TestCaseError::fail(format!("{ty}: {text}: {error}")))?;
            // NaN is unequal to itself; its JSON is not.
            prop_assert_eq!(json(&ty, &back), json(&ty, &value), "{}: {}", ty, text);
            prop_assert_eq!(plain(&back), plain(&value), "{}: {}", ty, text);
            let schema = jsonschema::validator_for(&schema(&ty)).expect("our schemas are schemas");
            prop_assert!(schema.is_valid(&parsed), "{} does not fit {}", text, crate::types::schema(&ty));
            Ok(())
        })
        .expect("every value survives");
}

fn json(ty: &Type, value: &Val) -> serde_json::Value {
    let mut left = u64::MAX;
    let json = to_json(ty, value, &mut left).expect("there is room");
    let needed = weight(&json);
    assert_eq!(u64::MAX - left, needed, "{json} spends what it weighs");
    assert_eq!(to_json(ty, value, &mut needed.clone()).as_ref(), Some(&json));
    assert_eq!(to_json(ty, value, &mut (needed - 1)), None);
    json
}

/// A value as text, with every NaN alike.
fn plain(value: &Val) -> String {
    format!("{value:?}")
}

fn names() -> BoxedStrategy<Vec<String>> {
    proptest::collection::btree_set("[a-z]{1,6}", 1..5).prop_map(|names| names.into_iter().collect()).boxed()
}

fn types() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        Just(Type::Bool),
        Just(Type::S8),
        Just(Type::U8),
        Just(Type::S16),
        Just(Type::U16),
        Just(Type::S32),
        Just(Type::U32),
        Just(Type::S64),
        Just(Type::U64),
        Just(Type::F32),
        Just(Type::F64),
        Just(Type::Char),
        Just(Type::String),
        names().prop_map(Type::Enum),
        names().prop_map(Type::Flags),
        Just(Type::List(Box::new(Type::U8))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let named = (names(), proptest::collection::vec(inner.clone(), 5));
        prop_oneof![
            boxed.clone().prop_map(Type::List),
            boxed.clone().prop_map(Type::Option),
            (boxed.clone(), 1_u32..4).prop_map(|(ty, len)| Type::FixedList(ty, len)),
            (boxed.clone(), boxed.clone()).prop_map(|(key, value)| Type::Map(key, value)),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Type::Tuple),
            named.clone().prop_map(|(names, types)| Type::Record(names.into_iter().zip(types).collect())),
            (named, any::<[bool; 5]>()).prop_map(|((names, types), full)| {
                let cases = types.into_iter().zip(full).map(|(ty, full)| full.then_some(ty));
                Type::Variant(names.into_iter().zip(cases).collect())
            }),
            (proptest::option::of(boxed.clone()), proptest::option::of(boxed))
                .prop_map(|(ok, err)| Type::Result(ok, err)),
        ]
    })
}

fn values(ty: &Type) -> BoxedStrategy<Val> {
    let many = |ty: &Type| proptest::collection::vec(values(ty), 0..4);
    match ty {
        Type::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Type::S8 => any::<i8>().prop_map(Val::S8).boxed(),
        Type::U8 => any::<u8>().prop_map(Val::U8).boxed(),
        Type::S16 => any::<i16>().prop_map(Val::S16).boxed(),
        Type::U16 => any::<u16>().prop_map(Val::U16).boxed(),
        Type::S32 => any::<i32>().prop_map(Val::S32).boxed(),
        Type::U32 => any::<u32>().prop_map(Val::U32).boxed(),
        Type::S64 => any::<i64>().prop_map(Val::S64).boxed(),
        Type::U64 => any::<u64>().prop_map(Val::U64).boxed(),
        Type::F32 => proptest::num::f32::ANY.prop_map(|float| Val::Float32(canonical32(float))).boxed(),
        Type::F64 => proptest::num::f64::ANY.prop_map(|float| Val::Float64(canonical64(float))).boxed(),
        Type::Char => any::<char>().prop_map(Val::Char).boxed(),
        Type::String => any::<String>().prop_map(Val::String).boxed(),
        Type::List(inner) => many(inner).prop_map(Val::List).boxed(),
        Type::FixedList(inner, len) => {
            proptest::collection::vec(values(inner), *len as usize).prop_map(Val::FixedLengthList).boxed()
        }
        Type::Map(key, value) => {
            proptest::collection::vec((values(key), values(value)), 0..3).prop_map(Val::Map).boxed()
        }
        Type::Record(fields) => {
            let names: Vec<_> = fields.iter().map(|(name, _)| name.clone()).collect();
            let fields: Vec<_> = fields.iter().map(|(_, ty)| values(ty)).collect();
            fields.prop_map(move |values| Val::Record(names.iter().cloned().zip(values).collect())).boxed()
        }
        Type::Tuple(types) => types.iter().map(values).collect::<Vec<_>>().prop_map(Val::Tuple).boxed(),
        Type::Variant(cases) => {
            let cases: Vec<_> = cases
                .iter()
                .map(|(name, ty)| {
                    let name = name.clone();
                    match ty {
                        Some(ty) => {
                            values(ty).prop_map(move |value| Val::Variant(name.clone(), Some(Box::new(value)))).boxed()
                        }
                        None => Just(Val::Variant(name, None)).boxed(),
                    }
                })
                .collect();
            proptest::strategy::Union::new(cases).boxed()
        }
        Type::Enum(names) => proptest::sample::select(names.clone()).prop_map(Val::Enum).boxed(),
        Type::Option(inner) => {
            proptest::option::of(values(inner)).prop_map(|value| Val::Option(value.map(Box::new))).boxed()
        }
        Type::Result(ok, err) => prop_oneof![
            side(ok).prop_map(|value| Val::Result(Ok(value))),
            side(err).prop_map(|value| Val::Result(Err(value))),
        ]
        .boxed(),
        Type::Flags(names) => {
            let count = names.len();
            proptest::sample::subsequence(names.clone(), 0..=count).prop_map(Val::Flags).boxed()
        }
        Type::Json(_) | Type::Opaque(_) => unreachable!("neither a task's nor an opaque type is made here"),
    }
}

fn side(ty: &Option<Box<Type>>) -> BoxedStrategy<Option<Box<Val>>> {
    match ty {
        Some(ty) => values(ty).prop_map(|value| Some(Box::new(value))).boxed(),
        None => Just(None).boxed(),
    }
}

/// The canonical ABI keeps one NaN, and so does JSON.
fn canonical32(float: f32) -> f32 {
    if float.is_nan() { f32::NAN } else { float }
}

fn canonical64(float: f64) -> f64 {
    if float.is_nan() { f64::NAN } else { float }
}

#[test]
fn a_value_that_does_not_fit_is_named_with_its_place() {
    let order = Type::Record(vec![(
        "lines".to_owned(),
        Type::List(Box::new(Type::Record(vec![
            ("count".to_owned(), Type::U8),
            ("note".to_owned(), Type::Option(Box::new(Type::String))),
        ]))),
    )]);
    let check = |json: serde_json::Value, expected: &str| {
        let found = from_json(&order, &json, &Path::Argument("order")).map(|_| "fits".to_owned());
        assert_eq!(found.unwrap_or_else(|error| error.to_string()), expected);
    };
    use serde_json::json;
    check(json!({ "lines": [{ "count": 1 }] }), "fits");
    check(
        json!({ "lines": [{ "count": 1 }, { "count": 256 }] }),
        "argument `order.lines[1].count`: expected an integer between 0 and 255, found `256`",
    );
    check(json!({ "lines": [{}] }), "argument `order.lines[0]`: field `count` (u8) is missing");
    check(
        json!({ "lines": [{ "count": 1, "cuont": 2 }] }),
        "argument `order.lines[0]`: field `cuont` is unknown, the fields are `count`, `note`",
    );
    check(json!({ "lines": 3 }), "argument `order.lines`: expected an array, found `3`");
    check(json!([]), "argument `order`: expected an object, found an array of 0 items");
}
