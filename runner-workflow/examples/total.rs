//! A workflow, tried out before there is anything to run it on: its task is answered from a list, and a day passes at once.

use runner_workflow::{Simulation, simulate};
use serde_json::json;

fn main() -> Result<(), serde_json::Error> {
    let simulation: Simulation = serde_json::from_value(json!({
        "definition": {
            "StartAt": "Total",
            "States": {
                "Total": {"Type": "Task", "Resource": "wasm:orders@1#total", "ResultPath": "$.total", "Next": "Large?"},
                "Large?": {
                    "Type": "Choice",
                    "Choices": [{"Variable": "$.total", "NumericGreaterThan": 100, "Next": "Ask"}],
                    "Default": "Done"
                },
                "Ask": {"Type": "Wait", "Seconds": 86400, "Next": "Done"},
                "Done": {"Type": "Succeed"}
            }
        },
        "input": {"order": 7},
        "task_results": [{"state": "Total", "result": 120}]
    }))?;
    let simulated = simulate(&simulation);
    assert_eq!(simulated.status, "SUCCEEDED");
    assert_eq!(simulated.output, Some(json!({"order": 7, "total": 120})));
    assert!(simulated.trace.iter().any(|entry| entry.kind == "WaitStateEntered"));
    Ok(())
}
