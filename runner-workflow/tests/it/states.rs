//! States by themselves: what they make of an input, and what they would do with a failure.

use runner_workflow::{Answer, StateTest, StateTested, test_state};
use serde_json::{Value, json};

fn test(request: Value) -> StateTest {
    serde_json::from_value(request).unwrap()
}

fn tested(request: Value) -> StateTested {
    test_state(&test(request), None)
}

/// Checks the status and the parts of the answer that are named.
#[track_caller]
fn check(request: Value, status: &str, parts: Value) {
    let found = serde_json::to_value(tested(request)).unwrap();
    assert_eq!(found["status"], status, "{found}");
    for (name, wanted) in parts.as_object().unwrap() {
        assert_eq!(found.get(name).unwrap_or(&Value::Null), wanted, "{name} of {found}");
    }
}

#[test]
fn a_state_shows_what_becomes_of_its_input() {
    let definition = json!({"Type": "Task", "Resource": "wasm:m#f", "InputPath": "$.a", "Parameters": {"n.$": "$.n"},
        "ResultSelector": {"r.$": "$"}, "ResultPath": "$.out", "OutputPath": "$.out", "Assign": {"kept.$": "$"}, "Next": "N"});
    let request = json!({"definition": definition, "input": {"a": {"n": 1}}, "mock": {"result": "5"}, "inspectionLevel": "DEBUG",
        "variables": {"old": 0}});
    check(
        request,
        "SUCCEEDED",
        json!({
            "output": {"r": 5}, "nextState": "N",
            "inspectionData": {
                "input": {"a": {"n": 1}}, "afterInputPath": {"n": 1}, "afterParameters": {"n": 1}, "result": 5,
                "afterResultSelector": {"r": 5}, "afterResultPath": {"a": {"n": 1}, "out": {"r": 5}},
                "variables": {"old": 0, "kept": 5},
            },
        }),
    );
}

#[test]
fn a_failure_is_tried_again_as_often_as_is_said_then_caught() {
    let definition = json!({"Type": "Task", "Resource": "wasm:m#f", "End": true,
        "Retry": [{"ErrorEquals": ["Other"]}, {"ErrorEquals": ["E"], "IntervalSeconds": 3, "MaxAttempts": 2}],
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "N"}]});
    let after = |count: u32, error: &str| {
        json!({"definition": definition, "input": {}, "inspectionLevel": "TRACE", "mock": {"errorOutput": {"error": error, "cause": "c"}},
            "stateConfiguration": {"retrierRetryCount": count}})
    };
    let details = |of: Value| json!({"error": "E", "inspectionData": {"input": {}, "afterInputPath": {}, "afterParameters": {}, "errorDetails": of}});
    check(after(1, "E"), "RETRIABLE", details(json!({"retryIndex": 1, "retryBackoffIntervalSeconds": 6})));
    check(after(2, "E"), "CAUGHT_ERROR", details(json!({"catchIndex": 0})));
    check(after(2, "E"), "CAUGHT_ERROR", json!({"output": {"e": {"Error": "E", "Cause": "c"}}, "nextState": "N"}));
    check(after(0, "States.Runtime"), "FAILED", json!({"error": "States.Runtime", "cause": "c", "output": null}));
}

#[test]
fn states_without_a_task_need_no_mock() {
    let of = |definition: Value, input: Value| json!({"definition": definition, "input": input});
    let choice = json!({"Type": "Choice", "Choices": [{"Variable": "$.n", "NumericGreaterThan": 1, "Next": "Many"}], "Default": "Few"});
    check(of(choice.clone(), json!({"n": 2})), "SUCCEEDED", json!({"nextState": "Many", "output": {"n": 2}}));
    check(of(choice.clone(), json!({"n": 1})), "SUCCEEDED", json!({"nextState": "Few"}));
    check(of(choice, json!({})), "FAILED", json!({"error": "States.Runtime"}));
    check(
        of(json!({"Type": "Wait", "Seconds": 86400, "Next": "N"}), json!(1)),
        "SUCCEEDED",
        json!({"output": 1, "nextState": "N"}),
    );
    check(of(json!({"Type": "Fail", "ErrorPath": "$.e"}), json!({"e": "E"})), "FAILED", json!({"error": "E"}));
    let text = "{\"Type\": \"Pass\", \"QueryLanguage\": \"JSONata\", \"Output\": \"{% $states.context.State.RetryCount %}\", \"End\": true}";
    check(of(json!(text), json!({})), "SUCCEEDED", json!({"output": 0, "nextState": null}));
}

#[test]
fn a_map_shows_its_items_and_what_it_tolerates() {
    let map = json!({"StartAt": "M", "States": {"M": {"Type": "Map", "ItemsPath": "$.l", "ItemSelector": {"v.$": "$$.Map.Item.Value"},
        "ToleratedFailurePercentage": 50, "MaxConcurrency": 3, "ResultPath": "$.r", "End": true,
        "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Pass", "End": true}}}}}});
    let of = |failed: u64| {
        json!({"definition": map, "stateName": "M", "input": {"l": [1, 2]}, "mock": {"result": "[1, 2]"}, "inspectionLevel": "DEBUG",
            "stateConfiguration": {"mapIterationFailureCount": failed}})
    };
    check(
        of(1),
        "SUCCEEDED",
        json!({"inspectionData": {
            "input": {"l": [1, 2]}, "afterInputPath": {"l": [1, 2]}, "afterItemsPath": [1, 2], "afterItemSelector": [{"v": 1}, {"v": 2}],
            "maxConcurrency": 3, "toleratedFailurePercentage": 50,
            "afterResultSelector": [1, 2], "afterResultPath": {"l": [1, 2], "r": [1, 2]},
        }}),
    );
    check(of(2), "FAILED", json!({"error": "States.ExceedToleratedFailureThreshold"}));
}

#[test]
fn a_test_that_cannot_be_made_is_refused() {
    let task = json!({"Type": "Task", "Resource": "wasm:m#f", "End": true});
    let refused = |request: Value, error: &str, words: &str| {
        let tested = tested(request);
        assert_eq!((tested.status, tested.error.as_deref()), ("REJECTED", Some(error)), "{tested:?}");
        assert!(tested.cause.as_deref().unwrap().contains(words), "{tested:?}");
    };
    let invalid = "ValidationException";
    refused(json!({"definition": task}), invalid, "a mock is needed: nothing here does what `wasm:m#f` names");
    refused(json!({"definition": task, "mock": {}}), invalid, "should have one of the following fields");
    refused(json!({"definition": task, "mock": {"result": "{"}}), invalid, "Mocked result must be valid JSON");
    refused(json!({"definition": task, "context": "[", "mock": {"result": "1"}}), invalid, "`context` must be JSON");
    refused(json!({"definition": "{", "mock": {"result": "1"}}), "InvalidDefinition", "INVALID_JSON_DESCRIPTION");
    let elsewhere =
        json!({"definition": task, "mock": {"errorOutput": {}}, "stateConfiguration": {"errorCausedByState": "X"}});
    refused(elsewhere, invalid, "no state 'X' lies in state 'StateName'");
    let awaited = json!({"Type": "Task", "Resource": "wasm:m#f.waitForTaskToken", "End": true});
    refused(json!({"definition": awaited}), invalid, "is only done when somebody says so later");
}

#[test]
fn a_task_without_a_mock_says_what_it_would_ask_and_takes_the_answer() {
    let state =
        json!({"Type": "Task", "Resource": "wasm:m#f", "Parameters": {"a.$": "$.n"}, "ResultPath": "$.r", "End": true});
    let request = test(json!({"definition": state, "input": {"n": 1}}));
    let called = request.call().unwrap().unwrap();
    assert_eq!((called.resource.text(), called.arguments), ("wasm:m#f", json!({"a": 1})));
    assert_eq!(test_state(&request, Some(&Answer::Result(json!(2)))).output, Some(json!({"n": 1, "r": 2})));
    let failed = test_state(&request, Some(&Answer::Failure(Some("E".into()), json!("c"))));
    assert_eq!((failed.status, failed.error.as_deref(), failed.cause.as_deref()), ("FAILED", Some("E"), Some("c")));
    let without = test(json!({"definition": state, "input": {}}));
    assert_eq!((without.call(), test_state(&without, None).status), (Ok(None), "FAILED"));
    assert!(test(json!({"definition": {"Type": "Nap"}})).call().is_err());
}
