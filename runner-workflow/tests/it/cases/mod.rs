//! The recorded cases, with what of them must hold. A threshold is what was reached; it is never lowered.

mod harness;

use harness::{FILES, Table, folder, load, run};

/// Per file: how many of a thousand cases must hold at each level.
const THRESHOLDS: [[usize; 3]; FILES.len()] = [
    // `test_wait_timestamp_jsonata[NO_T]`, `[NO_Z]`, `[INVALID_DATE]`, `[INVALID_TIME]` and `[INVALID_ISO]`: the recorded input
    // has the word `timestamp` in the place of the wrong timestamp that the cause speaks of.
    [1000, 989, 989],
    // `test_wait_timestamp_jsonata[SECONDS]` and `[NANOSECONDS]`: the recorded input has the word `date` in the place of the
    // timestamp that the Wait reads, so a run of it cannot do what was recorded.
    [875, 875, 875],
    [1000, 1000, 1000],
    // `test_activity_task` and `test_activity_task_with_heartbeat`: the history has the word `activity_arn` in the place of the
    // ARN, and the case does not say that it is a placeholder.
    [1000, 1000, 913],
    [1000, 1000, 1000],
    // Names that are taken already: of a state machine, and of an execution. Only a store knows them.
    [978, 978, 978],
    [1000, 1000, 1000],
];

#[test]
fn a_case_goes_as_it_went_on_aws() {
    let Some(folder) = folder() else {
        eprintln!("SKIPPED: there is no folder ../shared/cases/asl, and RUNNER_CASES names none: NOTHING WAS COMPARED");
        return;
    };
    for (file, thresholds) in FILES.into_iter().zip(THRESHOLDS) {
        let mut table = Table::default();
        for case in load(&folder, file) {
            table.add(&case, run(&case));
        }
        eprintln!("{file}\n{table}");
        for (level, threshold) in thresholds.into_iter().enumerate() {
            let reached = table.of_a_thousand(level);
            assert!(
                reached >= threshold,
                "{file}, level {}: {reached} of a thousand, {threshold} were reached before",
                level + 1
            );
        }
    }
}

#[test]
fn a_map_in_distributed_mode_is_refused_by_name() {
    let Some(folder) = folder() else { return };
    for case in load(&folder, "distributed-map") {
        let verdict = run(&case);
        let is_refused = verdict.reason.contains("Runner does not run a Map in DISTRIBUTED mode");
        assert!(is_refused || verdict.levels[0], "{}", verdict.reason);
    }
}

#[test]
fn a_definition_that_aws_took_is_not_refused() {
    let Some(folder) = folder() else { return };
    for case in FILES.into_iter().chain(["distributed-map"]).flat_map(|file| load(&folder, file)) {
        if case["definition"].get("States").is_none() || case["expected_status"] == "REJECTED" {
            continue;
        }
        if let Err(rejection) = runner_workflow::Definition::from_value(&case["definition"]) {
            assert_eq!(case["expected_status"], "VALIDATE_FAIL", "{}: {rejection}", case["id"]);
        }
    }
}
