//! What is refused, and with which words. Level 1 is the code, level 2 the text; there is no history.

use runner_workflow::{Simulation, Validation, simulate, validate};
use serde_json::{Value, json};

use super::{Verdict, differs};

/// A definition that was validated: every diagnostic counts.
pub(super) fn run(case: &Value) -> Verdict {
    let request = json!({"definition": case["definition"], "type": case.get("type")});
    let validation: Validation = serde_json::from_value(request).expect("a case is a validation");
    let validated = serde_json::to_value(validate(&validation)).expect("it is JSON");
    let wanted = &case["expected_diagnostics"];
    let result = case["expected_status"].as_str().unwrap_or_default().trim_start_matches("VALIDATE_");
    let of = |list: &Value, keys: &[&str]| -> Value {
        let one = |diagnostic: &Value| keys.iter().map(|key| diagnostic.get(*key).cloned()).collect::<Vec<_>>();
        json!(list.as_array().into_iter().flatten().map(one).collect::<Vec<_>>())
    };
    let check = |keys: &[&str]| {
        let (wanted, got) = (of(wanted, keys), of(&validated["diagnostics"], keys));
        (wanted != got).then(|| differs("diagnostics", &wanted, &got))
    };
    let is_result = validated["result"] == result;
    let codes =
        check(&["severity", "code"]).or_else(|| (!is_result).then(|| differs("result", &json!(result), &validated)));
    Verdict::of([codes, check(&["message", "location"]), None])
}

/// A definition that was not taken.
pub(super) fn run_refused(case: &Value) -> Verdict {
    let simulation = json!({"definition": case["definition"], "input": {}, "type": case.get("type")});
    let simulation: Simulation = serde_json::from_value(simulation).expect("a case is a simulation");
    let simulated = simulate(&simulation);
    compare(case, simulated.status, simulated.error.as_deref(), simulated.cause.as_deref())
}

/// Compares a refusal. LocalStack's own words are compared by their code alone.
pub(super) fn compare(case: &Value, status: &str, error: Option<&str>, cause: Option<&str>) -> Verdict {
    let (wanted_error, wanted_cause) = (&case["expected_error"], &case["expected_cause"]);
    let code = (case["expected_status"] != status || *wanted_error != json!(error))
        .then(|| differs("error", wanted_error, &json!([status, error, cause])));
    let is_own_wording = case["message_is_localstack_wording"] == true;
    // How the answer came is not part of it.
    let words = wanted_cause.as_str().unwrap_or_default();
    let words = match words.strip_prefix("An error occurred (").and_then(|rest| rest.split_once(" operation: ")) {
        Some((_, words)) => words,
        None => words,
    };
    let text = (!is_own_wording && cause != Some(words)).then(|| differs("cause", wanted_cause, &json!(cause)));
    Verdict::of([code, text, None])
}
