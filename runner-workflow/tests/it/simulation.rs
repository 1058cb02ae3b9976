//! Whole runs, simulated: each a definition, an input, what the tasks answer, and how it ends.

use runner_workflow::{Simulated, Simulation, simulate};
use serde_json::{Value, json};

fn run(definition: Value, input: Value, results: Value) -> Simulated {
    let request = json!({ "definition": definition, "input": input, "task_results": results });
    simulate(&serde_json::from_value::<Simulation>(request).unwrap())
}

/// A machine of one state; where it is a Choice, with the state that it leads to.
fn one(mut state: Value) -> Value {
    if state.get("Next").is_none() && !["Succeed", "Fail", "Choice"].contains(&state["Type"].as_str().unwrap()) {
        state["End"] = json!(true);
    }
    if state["Type"] == "Choice" {
        return json!({ "StartAt": "S", "States": { "S": state, "Z": {"Type": "Succeed"} } });
    }
    json!({ "StartAt": "S", "States": { "S": state } })
}

/// The same as a machine within one: names are those of the whole definition.
fn inner(state: Value) -> Value {
    let machine = one(state);
    json!({ "StartAt": "I", "States": { "I": machine["States"]["S"] } })
}

/// A state that goes back to another, unless the input says that it is enough.
fn unless_stopped(back: &str) -> Value {
    json!({"Type": "Choice", "Choices": [{"Variable": "$.stop", "IsPresent": true, "Next": "Z"}], "Default": back})
}

#[track_caller]
fn gives(definition: Value, input: Value, results: Value, output: Value) -> Simulated {
    let simulated = run(definition, input, results);
    assert_eq!(simulated.output, Some(output), "{simulated:?}");
    simulated
}

#[track_caller]
fn fails(definition: Value, input: Value, results: Value, error: &str, cause: &str) -> Simulated {
    let simulated = run(definition, input, results);
    assert_eq!(simulated.error.as_deref(), Some(error), "{simulated:?}");
    assert!(simulated.cause.as_deref().unwrap_or_default().contains(cause), "{simulated:?}");
    simulated
}

fn kinds(simulated: &Simulated) -> Vec<&str> {
    simulated.trace.iter().map(|entry| entry.kind.as_ref()).collect()
}

#[test]
fn input_and_output_are_shaped_in_the_order_of_the_language() {
    let state = json!({
        "Type": "Task", "Resource": "wasm:m#f", "InputPath": "$.in", "Parameters": {"x.$": "$.a"},
        "ResultSelector": {"y.$": "$.r"}, "ResultPath": "$.out", "OutputPath": "$.out",
        "Assign": {"whole.$": "$"},
    });
    let simulated =
        gives(one(state), json!({"in": {"a": 1}}), json!([{"state": "S", "result": {"r": 2}}]), json!({"y": 2}));
    let exited = simulated.trace.iter().find(|entry| entry.kind == "TaskStateExited").unwrap();
    assert_eq!(Value::Object(exited.assigned_variables.clone()), json!({"whole": {"r": 2}}));
}

#[test]
fn null_paths_let_nothing_through_or_leave_the_input() {
    gives(one(json!({"Type": "Pass", "InputPath": null})), json!({"a": 1}), json!([]), json!({}));
    gives(one(json!({"Type": "Pass", "OutputPath": null})), json!({"a": 1}), json!([]), json!({}));
    gives(one(json!({"Type": "Pass", "Result": 5, "ResultPath": null})), json!({"a": 1}), json!([]), json!({"a": 1}));
}

#[test]
fn a_path_without_a_value_is_named_with_its_field() {
    let check = |state: Value, cause: &str| {
        fails(one(state), json!({"b": 1}), json!([]), "States.Runtime", cause);
    };
    check(json!({"Type": "Pass", "InputPath": "$.a"}), "Invalid path '$.a' : No results for path: $['a']");
    check(json!({"Type": "Pass", "OutputPath": "$.a.c"}), "Invalid path '$.a.c' : Missing property in path $['a']");
    check(
        json!({"Type": "Pass", "Parameters": {"deep": [{"x.$": "$.a"}]}}),
        "The JSONPath '$.a' specified for the field 'x.$' could not be found in the input '{\"b\":1}'",
    );
    check(
        json!({"Type": "Pass", "Parameters": {"x.$": "$$.None"}}),
        "The JSONPath '$.None' specified for the field 'x.$'",
    );
    check(
        json!({"Type": "Map", "ItemsPath": "$.b", "ItemProcessor": inner(json!({"Type": "Pass"}))}),
        "Reference path \"$.b\" must",
    );
    check(
        json!({"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": true, "Next": "Z"}]}),
        "Invalid path '$.a': The choice state's condition path references an invalid value.",
    );
}

#[test]
fn a_choice_without_a_match_needs_a_default() {
    let choice = json!({"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 1, "Next": "Z"}]});
    fails(one(choice), json!(2), json!([]), "States.NoChoiceMatched", "(entered at the event id #2)");
}

#[test]
fn rules_combine_and_presence_is_asked_without_an_error() {
    let check = |rule: Value, input: Value, holds: bool| {
        let mut rule = rule;
        rule["Next"] = json!("Yes");
        let definition = json!({"StartAt": "S", "States": {
            "S": {"Type": "Choice", "Choices": [rule.clone()], "Default": "No"},
            "Yes": {"Type": "Pass", "Result": true, "End": true}, "No": {"Type": "Pass", "Result": false, "End": true},
        }});
        let simulated = run(definition, input.clone(), json!([]));
        assert_eq!(simulated.output, Some(json!(holds)), "{rule} {input}");
    };
    check(json!({"Not": {"Variable": "$.a", "IsPresent": true}}), json!({}), true);
    check(
        json!({"And": [{"Variable": "$.a", "IsPresent": true}, {"Variable": "$.a", "IsNull": true}]}),
        json!({}),
        false,
    );
    check(
        json!({"Or": [{"Variable": "$.a", "IsPresent": false}, {"Variable": "$.a", "IsNull": true}]}),
        json!({}),
        true,
    );
    check(json!({"Variable": "$.a", "StringMatches": "a*c"}), json!({"a": "abc"}), true);
    check(
        json!({"Variable": "$.a", "TimestampLessThan": "2024-01-01T00:00:00Z"}),
        json!({"a": "2023-12-31T23:59:59-01:00"}),
        false,
    );
    check(json!({"Variable": "$.a", "IsTimestamp": true}), json!({"a": "2023-12-31"}), false);
    check(json!({"Variable": "$.a", "NumericEqualsPath": "$.b"}), json!({"a": 1, "b": 1.0}), true);
    check(json!({"Variable": "$.a", "NumericEquals": 42}), json!({"a": "42"}), false);
}

#[test]
fn a_state_is_tried_again_by_the_first_retrier_that_matches_and_no_other() {
    let task = json!({"Type": "Task", "Resource": "wasm:m#f", "Retry": [
        {"ErrorEquals": ["A"], "MaxAttempts": 1}, {"ErrorEquals": ["States.ALL"], "MaxAttempts": 5},
    ]});
    let failed = |error: &str| json!({"state": "S", "error": error, "cause": "c"});
    let results = json!([failed("A"), failed("B"), failed("A"), {"state": "S", "result": 1}]);
    fails(one(task.clone()), json!({}), results, "A", "c");
    gives(one(task), json!({}), json!([failed("A"), failed("B"), {"state": "S", "result": 1}]), json!(1));
}

#[test]
fn what_no_state_can_mend_is_caught_by_its_own_name_alone() {
    let task = |equals: &str| {
        json!({"StartAt": "S", "States": {
            "S": {"Type": "Task", "Resource": "wasm:m#f", "Parameters": {"x.$": "$.none"}, "End": true,
                "Catch": [{"ErrorEquals": [equals], "ResultPath": "$.e", "Next": "C"}]},
            "C": {"Type": "Pass", "OutputPath": "$.e.Error", "End": true},
        }})
    };
    fails(task("States.ALL"), json!({}), json!([]), "States.Runtime", "could not be found");
    gives(task("States.Runtime"), json!({}), json!([]), json!("States.Runtime"));
}

#[test]
fn a_task_that_is_silent_too_long_times_out() {
    let task = json!({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "HeartbeatSeconds": 5,
        "Parameters": {"Token.$": "$$.Task.Token"}});
    let simulated = fails(one(task), json!({}), json!([{"state": "S", "timeout": true}]), "States.Timeout", "");
    assert_eq!(simulated.cause, None);
    let wanted = [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSubmitted",
        "TaskTimedOut",
        "ExecutionFailed",
    ];
    assert_eq!(kinds(&simulated), wanted);
}

#[test]
fn a_run_as_a_whole_may_time_out() {
    let mut definition = one(json!({"Type": "Wait", "Seconds": 100}));
    definition["TimeoutSeconds"] = json!(10);
    let simulated = run(definition, json!({}), json!([]));
    assert_eq!((simulated.status, simulated.error.as_deref()), ("TIMED_OUT", Some("States.Timeout")));
}

#[test]
fn machines_lie_in_machines_and_see_the_variables_around_them() {
    let inner = json!({"StartAt": "I", "States": {"I": {"Type": "Map", "End": true, "ItemProcessor": {
        "StartAt": "X", "States": {"X": {"Type": "Pass", "End": true,
            "Parameters": {"sum.$": "States.MathAdd($, $base)", "index.$": "$$.Map.Item.Index"}}},
    }}}});
    let definition = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Assign": {"base": 10}, "Next": "P"},
        "P": {"Type": "Parallel", "End": true, "Branches": [inner, one(json!({"Type": "Pass", "Result": 0}))]},
    }});
    let first = json!([{"sum": 11, "index": 0}, {"sum": 12, "index": 1}]);
    gives(definition, json!([1, 2]), json!([]), json!([first, 0]));
}

#[test]
fn a_branch_that_fails_stops_the_others() {
    let branch =
        |name: &str| json!({"StartAt": name, "States": {name: {"Type": "Task", "Resource": "wasm:m#f", "End": true}}});
    let definition = one(json!({"Type": "Parallel", "Branches": [branch("A"), branch("B")]}));
    let simulated = fails(definition, json!({}), json!([{"state": "B", "error": "E", "cause": "c"}]), "E", "c");
    let aborted = kinds(&simulated).into_iter().filter(|kind| *kind == "TaskStateAborted").count();
    assert_eq!(aborted, 2, "{simulated:?}");
    assert!(kinds(&simulated).ends_with(&["ParallelStateFailed", "ExecutionFailed"]));
}

#[test]
fn a_map_tolerates_as_many_failures_as_it_says() {
    let map = |more: Value| {
        let mut map = json!({"Type": "Map", "ItemProcessor": {"StartAt": "T", "States": {
            "T": {"Type": "Task", "Resource": "wasm:m#f", "End": true},
        }}});
        map.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one(map)
    };
    let results = json!([
        {"state": "T", "iteration": [["S", 0]], "error": "E", "cause": "c"}, {"state": "T", "iteration": [["S", 1]], "result": 1},
        {"state": "T", "iteration": [["S", 2]], "error": "E", "cause": "c"}, {"state": "T", "iteration": [["S", 3]], "result": 3},
    ]);
    let input = json!([0, 1, 2, 3]);
    fails(map(json!({})), input.clone(), results.clone(), "E", "c");
    gives(map(json!({"ToleratedFailureCount": 2})), input.clone(), results.clone(), json!([1, 3]));
    gives(map(json!({"ToleratedFailurePercentage": 50})), input.clone(), results.clone(), json!([1, 3]));
    let one_of_two = map(json!({"ToleratedFailureCountPath": "$[1]"}));
    fails(
        one_of_two,
        input.clone(),
        results.clone(),
        "States.ExceedToleratedFailureThreshold",
        "threshold was exceeded",
    );
    fails(map(json!({"MaxConcurrencyPath": "$"})), input, results, "States.Runtime", "which is not a valid integer: $");
}

#[test]
fn items_go_together_in_batches() {
    let map = json!({"Type": "Map", "ItemBatcher": {"MaxItemsPerBatch": 2, "BatchInput": {"n": 7}},
        "ItemProcessor": inner(json!({"Type": "Pass"}))});
    let batches = json!([{"BatchInput": {"n": 7}, "Items": [1, 2]}, {"BatchInput": {"n": 7}, "Items": [3]}]);
    gives(one(map), json!([1, 2, 3]), json!([]), batches);
}

#[test]
fn in_jsonata_fields_name_what_failed() {
    let check = |mut state: Value, input: Value, cause: &str| {
        state["QueryLanguage"] = json!("JSONata");
        fails(one(state), input, json!([]), "States.QueryEvaluationError", cause);
    };
    check(
        json!({"Type": "Pass", "Output": {"a": ["{% $none %}"]}}),
        json!({}),
        "specified for the field 'Output/a[0]' returned nothing",
    );
    check(json!({"Type": "Pass", "Output": "{% 1 + 'a' %}"}), json!({}), "threw an error during evaluation. T2002");
    check(
        json!({"Type": "Wait", "Seconds": "{% 'a' %}"}),
        json!({}),
        "Expected 'number', but was 'string' for value: \"a\"",
    );
    check(
        json!({"Type": "Wait", "Timestamp": "{% 1 %}"}),
        json!({}),
        "Expected 'string', but was 'number' for value: 1",
    );
    check(
        json!({"Type": "Choice", "Choices": [{"Condition": "{% 1 %}", "Next": "Z"}]}),
        json!({}),
        "specified for the field 'Choices[0]/Condition' returned an unexpected result type. Expected 'boolean'",
    );
}

#[test]
fn what_weighs_too_much_is_refused() {
    let large = json!("x".repeat(262_143));
    let state = json!({"Type": "Pass"});
    fails(
        one(state),
        large.clone(),
        json!([]),
        "States.DataLimitExceeded",
        "The state/task 'S' returned a result with a size",
    );
    gives(one(json!({"Type": "Pass"})), json!("x".repeat(262_142)), json!([]), json!("x".repeat(262_142)));
    let task = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke"});
    fails(
        one(task),
        json!({}),
        json!([{"state": "S", "result": large}]),
        "States.DataLimitExceeded",
        "The state/task 'lambda' returned",
    );
}

#[test]
fn what_grows_in_a_variable_or_a_template_is_refused_too() {
    let grows = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Assign": {"x": ["something"]}, "Next": "B"},
        "B": {"Type": "Pass", "Assign": {"x.$": "States.Array($x, $x)"}, "Next": "C"},
        "C": unless_stopped("B"), "Z": {"Type": "Succeed"},
    }});
    fails(grows, json!({}), json!([]), "States.DataLimitExceeded", "The state/task 'B' returned");
    let nests = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Parameters": {"a.$": "$"}, "Next": "B"}, "B": unless_stopped("A"), "Z": {"Type": "Succeed"},
    }});
    fails(nests, json!({}), json!([]), "States.DataLimitExceeded", "depth exceeding the maximum number of levels");
    let large = json!({"x": "x".repeat(200_000)});
    let looped = json!({"StartAt": "A", "States": {"A": unless_stopped("A"), "Z": {"Type": "Succeed"}}});
    let stopped = fails(looped, large.clone(), json!([]), "Runner.LimitExceeded", "the history has more than");
    assert!(stopped.trace.len() < 3000, "{}", stopped.trace.len());
    let many = |of: &str| vec![of; 50].join(", ");
    let call = format!("States.ArrayLength(States.Array({}))", many("$.x"));
    fails(
        one(json!({"Type": "Pass", "Parameters": {"n.$": call}})),
        large.clone(),
        json!([]),
        "States.IntrinsicFailure",
        "bytes",
    );
    let parameters: Value = (0..50).map(|n| (format!("{n}.$"), json!("$.x"))).collect::<serde_json::Map<_, _>>().into();
    fails(
        one(json!({"Type": "Pass", "Parameters": parameters, "ResultPath": null})),
        large,
        json!([]),
        "States.DataLimitExceeded",
        "",
    );
}

#[test]
fn a_loop_ends_with_the_history() {
    let definition = json!({"StartAt": "A", "States": {"A": unless_stopped("A"), "Z": {"Type": "Succeed"}}});
    let simulated =
        fails(definition, json!({}), json!([]), "States.Runtime", "maximum number of history events (25000)");
    assert_eq!(simulated.trace.len(), 25_000);
}

#[test]
fn what_is_wrong_with_a_definition_is_said_with_its_place() {
    let check = |definition: Value, cause: &str| {
        let simulated = run(definition, json!({}), json!([]));
        assert_eq!(simulated.status, "REJECTED");
        assert!(simulated.cause.as_deref().unwrap_or_default().contains(cause), "{simulated:?}");
    };
    check(json!({"StartAt": "A"}), "SCHEMA_VALIDATION_FAILED: These fields are required: [States] at /'");
    check(json!("not JSON"), "INVALID_JSON_DESCRIPTION");
    check(
        one(json!({"Type": "Pass", "Next": "B"})),
        "MISSING_TRANSITION_TARGET: Missing 'Next' target: B at /States/S/Next",
    );
    check(
        one(json!({"Type": "None"})),
        "The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map] at /States/S/Type",
    );
    check(
        one(json!({"Type": "Pass", "Parameters": {"a": {"b.$": "States.None()"}}})),
        "The value for the field 'b.$' must be a valid JSONPath or a valid intrinsic function call at /States/S/Parameters/a",
    );
    check(
        one(json!({"Type": "Wait", "Timestamp": "2016-12-05"})),
        "String does not match RFC3339 timestamp at /States/S/Timestamp",
    );
    let processor =
        json!({"ProcessorConfig": {"Mode": "DISTRIBUTED"}, "StartAt": "X", "States": {"X": {"Type": "Succeed"}}});
    check(
        one(json!({"Type": "Map", "ItemProcessor": processor})),
        "Runner does not run a Map in DISTRIBUTED mode, as state 'S' is",
    );
}
