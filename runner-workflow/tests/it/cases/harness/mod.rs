//! Reading, running and comparing the recorded cases.

mod references; // which variables each state reads
mod runs; // whole runs, simulated
mod states; // single states, tested
mod table; // how many cases held, by topic
mod validation; // what is refused
mod wild; // what AWS made up anew each time stands in the cases as a placeholder

use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) use table::Table;

/// The folder of the cases: `RUNNER_CASES`, or `../shared/cases/asl` beside the checkout.
pub(crate) fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("RUNNER_CASES").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases/asl");
    let folder = named.unwrap_or_else(beside);
    folder.is_dir().then_some(folder)
}

/// The cases of one file; none where it is absent.
pub(crate) fn load(folder: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(file).with_extension("jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line of a case file is JSON")).collect()
}

/// How a case went.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Status, output and error; then the cause too; then the history too.
    pub(crate) levels: [bool; 3],
    /// Whether the cause has the very number of the event.
    pub(crate) is_exact: bool,
    pub(crate) reason: String,
}

/// Every file of cases.
pub(crate) const FILES: [&str; 7] =
    ["pure", "pure-wildcards", "task-replay", "callbacks", "test-state", "validation", "variable-references"];

/// Runs a case as its `api` says.
pub(crate) fn run(case: &Value) -> Verdict {
    match case["api"].as_str() {
        Some("test_state") => states::run(case),
        Some("create_state_machine" | "update_state_machine") if case["expected_status"] == "REJECTED" => {
            validation::run_refused(case)
        }
        Some("validate_state_machine_definition") => validation::run(case),
        Some("describe_state_machine") => references::run(case),
        _ => runs::run(case),
    }
}

impl Verdict {
    /// Of comparisons that build upon each other: the first that gives a reason is where it ends.
    fn of(levels: [Option<String>; 3]) -> Self {
        let reached = levels.iter().position(Option::is_some).unwrap_or(3);
        let reason = levels.into_iter().flatten().next().unwrap_or_default();
        Self { levels: [reached > 0, reached > 1, reached > 2], is_exact: true, reason }
    }
}

fn differs(what: &str, wanted: &Value, got: &Value) -> String {
    format!("{what}: {} instead of {}", short(got), short(wanted))
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}
