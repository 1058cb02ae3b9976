//! What is said of a definition: what AWS refuses in AWS's words, and what only looks wrong.

use runner_workflow::{
    Definition, Export, Parameter, ParameterKind, Resource, Severity, Signature, Signatures, Validation, validate,
    validate_against,
};
use serde_json::{Value, json};

fn validation(definition: Value) -> Validation {
    Validation { definition, kind: None, severity: None }
}

/// Checks what is said of a definition, as `CODE message at location`.
#[track_caller]
fn check(definition: Value, wanted: &[&str]) {
    let found: Vec<String> = validate(&validation(definition.clone()))
        .diagnostics
        .iter()
        .map(|one| format!("{} {} at {}", one.code, one.message, one.location.as_deref().unwrap_or("nowhere")))
        .collect();
    assert_eq!(found, wanted, "{definition}");
}

/// A machine that begins with `A`.
fn machine(states: Value) -> Value {
    json!({"StartAt": "A", "States": states})
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    check(
        json!({"StartAt": "X", "Versoin": "1.0", "States": {
            "A": {"Type": "Pass", "Next": "B", "TimeoutSeconds": 5},
            "C": {"Type": "Task", "End": true, "InputPath": 7},
        }}),
        &[
            "SCHEMA_VALIDATION_FAILED Field 'Versoin' is not supported at /",
            "MISSING_TRANSITION_TARGET Missing 'Next' target: X at /StartAt",
            "SCHEMA_VALIDATION_FAILED Field 'TimeoutSeconds' is not supported at /States/A",
            "MISSING_TRANSITION_TARGET Missing 'Next' target: B at /States/A/Next",
            "SCHEMA_VALIDATION_FAILED These fields are required: [Resource] at /States/C",
            "SCHEMA_VALIDATION_FAILED Expected value of type String at /States/C/InputPath",
            "MISSING_TRANSITION_TARGET State \"A\" is not reachable. at /States/A",
            "MISSING_TRANSITION_TARGET State \"C\" is not reachable. at /States/C",
        ],
    );
}

#[test]
fn names_labels_and_ends_are_those_of_the_whole_definition() {
    let inner = |label: &str| {
        json!({"Type": "Map", "Label": label, "End": true, "ItemProcessor":
            {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}})
    };
    check(
        machine(json!({"A": inner("a b")})),
        &[
            "INVALID_LABEL_NAME Label contains invalid character: ' ' at /States/A/Label",
            "DUPLICATE_STATE_NAME Duplicate State name: A at /States/A/ItemProcessor/States/A",
        ],
    );
    check(
        machine(json!({"A": {"Type": "Pass", "Next": "A"}})),
        &["MISSING_END_STATE Workflow has no terminal state at nowhere"],
    );
    let long = "x".repeat(81);
    let states = json!({"A": {"Type": "Pass", "Next": long}, &long: {"Type": "Succeed"}});
    let wanted = format!("INVALID_STATE_NAME State name cannot exceed 80 characters at /States/{long}");
    check(machine(states), &[&wanted]);
}

#[test]
fn a_field_belongs_to_its_kind_of_state_and_language() {
    let state = |fields: Value| {
        let mut state = json!({"End": true});
        state.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        machine(json!({"A": state}))
    };
    let refused = |field: &str| format!("SCHEMA_VALIDATION_FAILED Field '{field}' is not supported at /States/A");
    check(state(json!({"Type": "Pass", "Catch": []})), &[&refused("Catch")]);
    check(state(json!({"Type": "Wait", "Seconds": 1, "ResultPath": null})), &[&refused("ResultPath")]);
    check(state(json!({"Type": "Pass", "Output": {}})), &[&refused("Output")]);
    check(state(json!({"Type": "Pass", "QueryLanguage": "JSONata", "InputPath": "$"})), &[&refused("InputPath")]);
    check(state(json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": {}})), &[]);
}

#[test]
fn an_express_workflow_waits_for_nobody() {
    let of = |resource: &str| {
        let definition = machine(json!({"A": {"Type": "Task", "Resource": resource, "End": true}}));
        let validation = Validation { definition, kind: Some("EXPRESS".to_owned()), severity: None };
        validate(&validation).diagnostics.first().map(|first| first.message.clone())
    };
    let refused = |what: &str| Some(format!("Express state machine does not support {what}"));
    assert_eq!(
        of("arn:aws:states:::sqs:sendMessage.waitForTaskToken"),
        refused("'.waitForTaskToken' service integration ")
    );
    assert_eq!(of("arn:aws:states:::ecs:runTask.sync"), refused("'.sync' service integration "));
    assert_eq!(of("arn:aws:states:us-east-1:1:activity:a"), refused("activities"));
    assert_eq!(of("arn:aws:states:::sqs:sendMessage"), None);
}

#[test]
fn what_comes_as_a_text_has_lines_and_columns() {
    let text = "{\n  \"StartAt\": \"A\",\n  \"States\": {\n    \"A\": {\"Type\": \"Pass\", \"Parameters\": {\"b.$\": \"$$.Task.Token\"}, \"End\": true}\n  }\n}";
    let validated = validate(&validation(json!(text)));
    let found: Vec<_> = validated.diagnostics.iter().map(|one| (one.code, one.line, one.column)).collect();
    assert_eq!((validated.result, found), ("OK", vec![("RUNNER_PATH_CANNOT_RESOLVE", Some(4), Some(42))]));
    let broken = validate(&validation(json!("{\"StartAt\": \"A\"\n \"States\": {}}")));
    let first = &broken.diagnostics[0];
    assert_eq!(
        (broken.result, first.code, first.line, first.column),
        ("FAIL", "INVALID_JSON_DESCRIPTION", Some(2), Some(2))
    );
}

#[test]
fn states_that_only_unreachable_states_name_are_warned_of() {
    check(
        machine(json!({
            "A": {"Type": "Succeed"},
            "B": {"Type": "Pass", "Next": "C"},
            "C": {"Type": "Pass", "Next": "B"},
        })),
        &[
            "RUNNER_UNREACHABLE_STATE no run comes to state `B`: only states name it that cannot be reached from `A` at /States/B",
            "RUNNER_UNREACHABLE_STATE no run comes to state `C`: only states name it that cannot be reached from `A` at /States/C",
        ],
    );
}

#[test]
fn variables_that_nothing_sets_before_are_warned_of() {
    check(
        machine(json!({
            "A": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": true, "Next": "B"}], "Default": "C"},
            "B": {"Type": "Pass", "Assign": {"often": 1}, "Next": "C"},
            "C": {"Type": "Map", "Assign": {"late": 1}, "Next": "D", "ItemProcessor": {"StartAt": "I", "States": {
                "I": {"Type": "Pass", "Assign": {"inner": 1}, "Parameters": {"a.$": "$often", "b.$": "$late"}, "End": true}}}},
            "D": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% ($x := $late; $x + $inner) %}", "Next": "E"},
            "E": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $exists($often) ? $often : 0 %}", "End": true},
        })),
        &[
            "RUNNER_VARIABLE_NOT_ASSIGNED variable `often` is not assigned on every way that leads here at /States/C/ItemProcessor/States/I/Parameters/a.$",
            "RUNNER_VARIABLE_NOT_ASSIGNED variable `late` is read, and no state before this one assigns it at /States/C/ItemProcessor/States/I/Parameters/b.$",
            "RUNNER_VARIABLE_NOT_ASSIGNED variable `inner` is read, and no state before this one assigns it at /States/D/Output",
        ],
    );
}

#[test]
fn paths_that_cannot_resolve_are_warned_of() {
    check(
        machine(json!({
            "A": {"Type": "Pass", "Result": {"order": {"id": 7}}, "Next": "B"},
            "B": {"Type": "Task", "Resource": "wasm:m#f", "ResultPath": "$.paid", "Next": "C",
                "Parameters": {"a.$": "$.order.id", "b.$": "$.oder.id", "c.$": "States.Format('{}', $.order.id.x)"},
                "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "D"}]},
            "C": {"Type": "Choice", "Default": "E", "Choices": [
                {"Variable": "$.gone", "IsPresent": true, "Next": "E"}, {"Variable": "$.paid.sum", "NumericEquals": 1, "Next": "E"}]},
            "D": {"Type": "Fail", "ErrorPath": "$.Error", "CausePath": "$.Reason"},
            "E": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $states.result %}", "Next": "F"},
            "F": {"Type": "Pass", "Parameters": {"a.$": "$$.Execution.Nmae", "b.$": "$$.Map.Item.Index"}, "End": true},
        })),
        &[
            "RUNNER_PATH_CANNOT_RESOLVE path `$.oder.id` cannot resolve: there is no `oder` in what it is read from at /States/B/Parameters/b.$",
            "RUNNER_PATH_CANNOT_RESOLVE path `$.order.id.x` cannot resolve: there is no `x` in what it is read from at /States/B/Parameters/c.$",
            "RUNNER_PATH_CANNOT_RESOLVE path `$.Reason` cannot resolve: there is no `Reason` in what it is read from at /States/D/CausePath",
            "RUNNER_PATH_CANNOT_RESOLVE `$states.result` cannot resolve: there is no result yet, or the state has none at /States/E/Output",
            "RUNNER_PATH_CANNOT_RESOLVE path `$$.Execution.Nmae` cannot resolve: `Execution` of the context object has no `Nmae`, but Id, Input, Name, RedriveCount, RedriveTime, RoleArn, StartTime at /States/F/Parameters/a.$",
            "RUNNER_PATH_CANNOT_RESOLVE path `$$.Map.Item.Index` cannot resolve: state `F` does not lie in a Map at /States/F/Parameters/b.$",
        ],
    );
}

#[test]
fn aws_warns_of_a_path_that_is_not_read_only_when_it_is_asked() {
    let definition = machine(json!({"A": {"Type": "Pass", "Parameters": {"a": "$.x", "price": "$5"}, "Next": "B"},
        "B": {"Type": "Pass", "Result": {"b.$": "$.x"}, "End": true}}));
    let of = |severity| {
        let validation = Validation { definition: definition.clone(), kind: None, severity };
        let found = validate(&validation).diagnostics;
        found.into_iter().map(|one| (one.code, one.location.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(of(None), []);
    let wanted = [("NO_DOLLAR", "/States/A/Parameters/a"), ("PASS_RESULT_IS_STATIC", "/States/B/Result/b.$")];
    assert_eq!(of(Some(Severity::Warning)), wanted.map(|(code, at)| (code, at.to_owned())));
}

/// One export, which takes a number and perhaps a text.
struct Orders;

impl Signatures for Orders {
    fn export(&self, resource: &Resource) -> Export {
        let parameter = |name: &str, kind, is_optional| Parameter { name: name.to_owned(), kind, is_optional };
        match resource.name() {
            "orders@1#total" => Export::Takes(Signature {
                parameters: vec![
                    parameter("order", ParameterKind::Number, false),
                    parameter("currency", ParameterKind::String, true),
                ],
            }),
            name if resource.kind() == "wasm" => Export::Missing(format!("no module exports `{name}`")),
            _ => Export::Unknown,
        }
    }
}

#[test]
fn arguments_that_do_not_fit_the_signature_are_warned_of() {
    let check = |resource: &str, parameters: Value, wanted: &[&str]| {
        let state = json!({"Type": "Task", "Resource": resource, "Parameters": parameters, "End": true});
        let validated = validate_against(&validation(machine(json!({"A": state}))), &Orders);
        let found: Vec<&str> = validated.diagnostics.iter().map(|one| one.message.as_str()).collect();
        assert_eq!((validated.result, &found[..]), ("OK", wanted));
        assert!(validated.diagnostics.iter().all(|one| one.code == "RUNNER_ARGUMENTS_DO_NOT_FIT"));
    };
    let total = "wasm:orders@1#total";
    check(total, json!({"order.$": "$.id"}), &[]);
    check(total, json!({"order": 7, "currency": null}), &[]);
    check(
        total,
        json!({"order": "7"}),
        &["`wasm:orders@1#total` takes `order` as a number, and the arguments have a text there"],
    );
    check(
        total,
        json!({"oder": 7}),
        &[
            "`wasm:orders@1#total` takes `order`, which the arguments do not have",
            "`wasm:orders@1#total` has no parameter `oder`: it takes `order`, `currency`",
        ],
    );
    check("wasm:orders@1#sum", json!({}), &["resource `wasm:orders@1#sum`: no module exports `orders@1#sum`"]);
    check("arn:aws:states:::sqs:sendMessage", json!({"any": 1}), &[]);
}

#[test]
fn a_definition_says_which_variables_each_state_reads() {
    let definition = machine(json!({
        "A": {"Type": "Pass", "Assign": {"n": 1, "list": [1]}, "Next": "M"},
        "M": {"Type": "Map", "ItemsPath": "$list", "End": true, "ItemProcessor": {"StartAt": "I", "States": {
            "I": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $map($list, function($v) { $v * $n }) %}", "End": true}}}},
    }));
    let references = Definition::from_value(&definition).unwrap().variable_references();
    assert_eq!(json!(references), json!({"M": ["list"], "I": ["list", "n"]}));
}
