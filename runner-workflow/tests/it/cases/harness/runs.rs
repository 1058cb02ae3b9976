//! Whole runs: tasks are answered from the case.

use runner_workflow::{Simulation, simulate};
use serde_json::{Value, json};

use super::wild::Wild;
use super::{Verdict, short};

/// Runs a case with the input that was recorded, where one was. It may have a placeholder where the state machine needs the
/// value: such a case fails, and is named where the thresholds are.
pub(super) fn run(case: &Value) -> Verdict {
    run_with(case, case.get("input_recorded").unwrap_or(&case["input"]))
}

fn run_with(case: &Value, input: &Value) -> Verdict {
    let request = json!({
        "definition": case["definition"],
        "input": input,
        "type": case.get("type").cloned().unwrap_or(Value::Null),
        "is_synchronous": case["api"] == "start_sync_execution",
        "task_results": case.get("task_results").cloned().unwrap_or(json!([])),
    });
    let simulation: Simulation = serde_json::from_value(request).expect("a case is a simulation");
    let simulated = serde_json::to_value(simulate(&simulation)).expect("a simulation is JSON");
    let wild = Wild::of(case);
    let null = Value::Null;
    let got = |name: &str| simulated.get(name).unwrap_or(&null);
    let wanted = |name: &str| case.get(name).unwrap_or(&null);
    let mut reason = String::new();
    let mut differs = |what: &str, wanted: &Value, got: &Value| {
        if reason.is_empty() {
            reason = format!("{what}: {} instead of {}", short(got), short(wanted));
        }
        false
    };
    let l1 = (wanted("expected_status") == got("status")
        || differs("status", wanted("expected_status"), &json!([got("status"), got("cause")])))
        && (wild.is(wanted("expected_output"), got("output"))
            || differs("output", wanted("expected_output"), got("output")))
        && (wild.is(wanted("expected_error"), got("error"))
            || differs("error", wanted("expected_error"), got("error")));
    let is_exact = wild.cause(wanted("expected_cause"), got("cause"), false);
    let l2 = l1
        && (wild.cause(wanted("expected_cause"), got("cause"), true)
            || differs("cause", wanted("expected_cause"), got("cause")));
    let l3 = l2
        && case.get("trace").is_none_or(|trace| {
            let is_free = has_threads(&case["definition"]);
            let (wanted, got) = (array(trace), array(got("trace")));
            wild.trace(wanted, got, is_free).unwrap_or_else(|place| {
                differs(&format!("entry {place}"), wanted.get(place).unwrap_or(&null), got.get(place).unwrap_or(&null))
            })
        });
    Verdict { levels: [l1, l2, l3], is_exact, reason }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether threads run side by side in it, so that the order of its history is free.
fn has_threads(definition: &Value) -> bool {
    match definition {
        Value::Object(object) => {
            let kind = object.get("Type").and_then(Value::as_str);
            matches!(kind, Some("Parallel" | "Map")) || object.values().any(has_threads)
        }
        Value::Array(items) => items.iter().any(has_threads),
        _ => false,
    }
}
