//! The recorded cases, with what of them must hold. A threshold is what was reached; it is never lowered.

mod table;

use table::{Table, folder, load, run};

/// Per file: how many of a thousand cases must hold at each level.
const THRESHOLDS: [(&str, [usize; 3]); 4] = [
    ("pure", [1000, 1000, 1000]),
    // A synchronous Express execution has no `RedriveCount`, and a case does not say that it is one.
    ("pure-wildcards", [937, 937, 937]),
    ("task-replay", [1000, 1000, 1000]),
    ("callbacks", [1000, 1000, 1000]),
];

#[test]
fn a_run_goes_as_it_went_on_aws() {
    let Some(folder) = folder() else {
        eprintln!("SKIPPED: there is no folder ../shared/cases/asl, and RUNNER_CASES names none: NOTHING WAS COMPARED");
        return;
    };
    for (file, thresholds) in THRESHOLDS {
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
