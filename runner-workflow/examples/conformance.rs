//! Prints how the recorded cases went: `cargo run --release -p runner-workflow --example conformance [FILE..]`.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

#[path = "../tests/it/cases/harness/mod.rs"]
mod harness;

use harness::{FILES, Table, folder, load, run};

fn main() {
    let Some(folder) = folder() else {
        println!("NOTHING WAS COMPARED: there is no folder ../shared/cases/asl, and RUNNER_CASES names none");
        return;
    };
    let named: Vec<String> = std::env::args().skip(1).collect();
    for file in if named.is_empty() { FILES.map(str::to_owned).to_vec() } else { named } {
        let mut table = Table::default();
        for case in load(&folder, &file) {
            table.add(&case, run(&case));
        }
        println!("{file}\n{table}");
        let reached: Vec<_> =
            (0..3).map(|level| format!("L{} {:.1} %", level + 1, table.of_a_thousand(level) as f64 / 10.0)).collect();
        println!("  {}\n", reached.join(", "));
    }
}
