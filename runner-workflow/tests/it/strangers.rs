//! What strangers send: any text, and definitions with anything in the place of anything. Nothing of it may panic or hang.

use proptest::prelude::*;
use proptest::sample::Index;
use runner_workflow::{Definition, Intrinsic, Jsonata, Path, Simulation, locate, simulate};
use serde_json::{Value, json};

/// Texts that are close to what is read.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "$",
        "$$",
        ".",
        "..",
        "[",
        "]",
        "*",
        "?",
        "(",
        ")",
        "@",
        "'",
        "\"",
        "\\",
        ",",
        ":",
        "-1",
        "0",
        "9999999999999999999",
        "a",
        "ü",
        " ",
        "==",
        "!",
        "&&",
        "||",
        "=~",
        "/",
        "in ",
        "length()",
        "States.",
        "Format",
        "Array",
        "MathAdd",
        "{}",
        "true",
        "null",
        "~",
        "/States",
        "{%",
        "%}",
        "function",
        "{",
        "}",
        ";",
        ":=",
        "^",
        "#",
        "%",
        "[1..3]",
    ]);
    prop_oneof![prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat()), any::<String>()]
}

/// Values that stand where others should.
fn values() -> impl Strategy<Value = Value> {
    let texts = texts().prop_map(Value::from);
    let known = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!([]),
        json!({}),
        json!(""),
        json!("$"),
        json!("$.a"),
        json!("$[0]"),
        json!("$$"),
        json!("{% $states.input %}"),
        json!("{% $x := [$states] %}"),
        json!({"a.$": "$"}),
        json!(["States.ALL"]),
        json!("S"),
        json!("T"),
        json!("Map"),
        json!("JSONata"),
        json!([1, 2, 3]),
    ]);
    prop_oneof![3 => known, 1 => texts]
}

/// A definition with every kind of state.
fn definition() -> Value {
    json!({"StartAt": "S", "States": {
        "S": {"Type": "Pass", "Result": {"a": [1, 2, 3], "n": 2}, "ResultPath": "$.r", "Assign": {"v.$": "$.a"}, "Next": "C"},
        "C": {"Type": "Choice", "Choices": [
            {"And": [{"Variable": "$.r.n", "NumericEquals": 2}, {"Not": {"Variable": "$.x", "IsPresent": true}}], "Next": "M"},
        ], "Default": "F"},
        "M": {"Type": "Map", "ItemsPath": "$.r.a", "ItemSelector": {"i.$": "$$.Map.Item.Index", "v.$": "$v[0]"}, "MaxConcurrency": 2,
            "ToleratedFailureCount": 1, "ResultPath": "$.m", "Next": "P", "ItemProcessor": {"StartAt": "I", "States": {
                "I": {"Type": "Task", "Resource": "wasm:m#f", "TimeoutSeconds": 5, "HeartbeatSeconds": 3, "End": true,
                    "Retry": [{"ErrorEquals": ["E"], "IntervalSeconds": 1, "MaxAttempts": 1, "BackoffRate": 1.5}],
                    "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "J"}]},
                "J": {"Type": "Succeed", "OutputPath": "$.e"}}}},
        "P": {"Type": "Parallel", "ResultSelector": {"p.$": "$[*]"}, "ResultPath": "$.p", "Next": "W", "Branches": [
            {"StartAt": "Q", "States": {"Q": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $count($v) %}", "End": true}}},
            {"StartAt": "R", "States": {"R": {"Type": "Wait", "Seconds": 3, "End": true}}}]},
        "W": {"Type": "Wait", "QueryLanguage": "JSONata", "Seconds": "{% $states.input.r.n %}", "Next": "F"},
        "F": {"Type": "Fail", "ErrorPath": "$.r.n", "CausePath": "States.Format('{}', $.p)"},
    }})
}

/// Every place of a value, as JSON pointers.
fn places(value: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(key, inner)| places(inner, &format!("{pointer}/{key}"), found))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, inner)| places(inner, &format!("{pointer}/{index}"), found));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read_or_refused(text in texts(), other in texts()) {
        let value = json!({"a": [{"b": 1}, "x", [2, null]], "ü": {"a": "a"}});
        if let Ok(path) = Path::parse(&text) {
            let _ = path.find(&value);
            prop_assert_eq!(path.text(), &text);
        }
        let _ = Intrinsic::parse(&text);
        let _ = Jsonata::parse(&text);
        let _ = locate(&text, &other);
        let _ = locate(&value.to_string(), &other);
        let _ = Definition::parse(&text);
    }

    #[test]
    fn any_definition_is_refused_or_ends(changes in prop::collection::vec((any::<Index>(), values()), 1..4), input in values()) {
        let mut definition = definition();
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&definition, "", &mut found);
            if let Some(at) = definition.pointer_mut(&found[place.index(found.len())]) {
                *at = value;
            }
        }
        let results = json!([{"state": "I", "error": "E", "cause": "c"}, {"state": "I", "result": {"e": 1}}, {"state": "I", "timeout": true}]);
        let request = json!({"definition": definition, "input": input, "task_results": results});
        let simulated = simulate(&serde_json::from_value::<Simulation>(request).unwrap());
        prop_assert!(["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "REJECTED"].contains(&simulated.status));
    }
}
