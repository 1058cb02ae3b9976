//! Runs the rows beside the bare engine, in turns, and ends with the table. Words choose rows; `--quick` sees that all of it
//! runs; `--strict` fails where a goal is missed; `--long` adds what takes minutes.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]

use std::process::ExitCode;

use runner_benches::measure::{Pace, in_turns};
use runner_benches::report::{Line, markdown};
use runner_benches::{child, enter, http, kv, memory, outgoing, rows, s3};

fn main() -> ExitCode {
    match child::was_one() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    let (options, words): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let is_on = |option: &str| options.iter().any(|given| given == option);
    // Without `--bench` it is `cargo test` that runs this.
    let pace = if is_on("--quick") || !is_on("--bench") { Pace::QUICK } else { Pace::FULL };
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));

    let _runtime = enter();
    let mut lines = Vec::new();
    for row in rows().filter(|row| wanted(row.name)) {
        let (mut bare, mut ours) = (row.sides)();
        lines.push(told(Line::times(row.name, &in_turns(&mut bare, &mut ours, pace), row.goal)));
    }
    lines.extend(http::lines(wanted, &pace).into_iter().map(told));
    lines.extend(memory::lines(wanted).into_iter().map(told));
    lines.extend(outgoing::lines(wanted, &pace, is_on("--long")).into_iter().map(told));
    lines.extend(kv::lines(wanted, &pace).into_iter().map(told));
    lines.extend(s3::lines(wanted, &pace).into_iter().map(told));

    println!("\n{}", markdown(&lines));
    let missed = lines.iter().filter(|line| line.misses()).count();
    match is_on("--strict") && missed > 0 {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// A word while it goes: the whole takes minutes.
fn told(line: Line) -> Line {
    eprintln!("{}: bare {}, ours {}, ratio {}", line.name, line.bare, line.ours, line.ratio);
    line
}
