//! Single states: level 1 is status, output, error and next state, level 2 the cause, level 3 what became of the input.

use runner_workflow::{Answer, StateTest, test_state};
use serde_json::Value;

use super::wild::Wild;
use super::{Verdict, differs, validation};

pub(super) fn run(case: &Value) -> Verdict {
    let mut request = case["params"].as_object().cloned().unwrap_or_default();
    request.insert("definition".to_owned(), case["definition"].clone());
    if case["input_given"] == true {
        request.insert("input".to_owned(), case["input"].clone());
    }
    let test: StateTest = serde_json::from_value(Value::Object(request)).expect("a case is a test");
    let answer = recorded_answer(case);
    let tested = test_state(&test, answer.as_ref());
    if case["expected_status"] == "REJECTED" {
        return validation::compare(case, tested.status, tested.error.as_deref(), tested.cause.as_deref());
    }
    let tested = serde_json::to_value(tested).expect("it is JSON");
    let wild = Wild::of(case);
    let check = |what: &str, wanted: &str| {
        let (wanted, got) = (case.get(wanted).unwrap_or(&Value::Null), tested.get(what).unwrap_or(&Value::Null));
        (!wild.is(wanted, got)).then(|| differs(what, wanted, got))
    };
    let level_1 = check("status", "expected_status")
        .map(|reason| format!("{reason} ({})", tested["cause"]))
        .or_else(|| check("output", "expected_output"))
        .or_else(|| check("error", "expected_error"))
        .or_else(|| check("nextState", "expected_next_state"));
    Verdict::of([level_1, check("cause", "expected_cause"), check("inspectionData", "expected_inspection")])
}

/// What a real function answered, of a Task that was tested without a mock: the case has it as the `result` that was seen.
/// Where nothing was seen, it is the output, if the state passes that on as it is.
fn recorded_answer(case: &Value) -> Option<Answer> {
    let state = case["definition"].as_object()?;
    let was_asked = state.get("Type")? == "Task" && case["params"].get("mock").is_none();
    if !was_asked || case["expected_status"] != "SUCCEEDED" {
        return None;
    }
    let shapes = ["ResultSelector", "ResultPath", "OutputPath", "Output"];
    let is_plain = shapes.iter().all(|shape| !state.contains_key(*shape));
    let seen = case.get("expected_inspection").and_then(|seen| seen.get("result"));
    seen.or(case.get("expected_output").filter(|_| is_plain)).cloned().map(Answer::Result)
}
