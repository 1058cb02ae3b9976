//! The table: what was measured, in words and in Markdown. It measures nothing.

use std::fmt::Write;

use crate::measure::{Pairs, best, median};
use crate::quiet::DISTURBED;

/// What would content us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The ratio of ours to bare is at most this.
    RatioAtMost(f64),
    /// The ratio of ours to bare is at least this.
    RatioAtLeast(f64),
    /// Ours is at most so many bytes, whatever bare is.
    BytesAtMost(f64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// What was measured.
    pub name: String,
    /// The bare engine's figure.
    pub bare: String,
    /// Ours.
    pub ours: String,
    /// Ours to bare, as it is shown.
    pub ratio: String,
    goal: Option<(Goal, bool)>,
    waited: f64,
}

impl Line {
    /// A line about time: medians, the smallest sample in brackets.
    pub fn times(name: impl Into<String>, pairs: &Pairs, goal: Option<f64>) -> Self {
        let shown = |samples: &[f64]| format!("{} ({})", time(median(samples)), time(best(samples)));
        let (ratio, of_best) = (pairs.ratio(), pairs.ratio_of_best());
        Line {
            name: name.into(),
            bare: shown(&pairs.bare),
            ours: shown(&pairs.ours),
            ratio: format!("{ratio:.2} ({of_best:.2})"),
            goal: goal.map(|at_most| judged(Goal::RatioAtMost(at_most), ratio, 0.0)),
            waited: pairs.waited,
        }
    }

    /// A line about requests a second, with the figures in words.
    pub fn rate(name: impl Into<String>, (bare, ours): (String, String), pairs: &Pairs, goal: Option<f64>) -> Self {
        let ratio = pairs.ratio();
        let goal = goal.map(|at_least| judged(Goal::RatioAtLeast(at_least), ratio, 0.0));
        Line { name: name.into(), bare, ours, ratio: format!("{ratio:.2}"), goal, waited: pairs.waited }
    }

    /// A line about memory.
    pub fn bytes(name: impl Into<String>, bare: Option<f64>, ours: f64, goal: Option<f64>) -> Self {
        Line {
            name: name.into(),
            bare: bare.map_or_else(|| "-".to_owned(), memory),
            ours: memory(ours),
            ratio: bare.map_or_else(|| "-".to_owned(), |bare| format!("{:.2}", ours / bare)),
            goal: goal.map(|at_most| judged(Goal::BytesAtMost(at_most), 0.0, ours)),
            waited: 0.0,
        }
    }

    /// Whether it has a goal and was not seen to meet it: missed, or measured on a machine that others used.
    pub fn misses(&self) -> bool {
        self.goal.is_some_and(|(_, met)| !met || self.is_disturbed())
    }

    fn is_disturbed(&self) -> bool {
        self.waited > DISTURBED
    }
}

fn judged(goal: Goal, ratio: f64, bytes: f64) -> (Goal, bool) {
    let met = match goal {
        Goal::RatioAtMost(at_most) => ratio <= at_most,
        Goal::RatioAtLeast(at_least) => ratio >= at_least,
        Goal::BytesAtMost(at_most) => bytes <= at_most,
    };
    (goal, met)
}

/// All lines as one Markdown table.
pub fn markdown(lines: &[Line]) -> String {
    let mut text = String::from("| row | bare wasmtime | Runner | ratio | goal | met |\n|---|---|---|---|---|---|\n");
    for line in lines {
        let Line { name, bare, ours, ratio, goal, waited } = line;
        let disturbed = || format!("? (waited {:.0} %)", waited * 100.0);
        let (goal, met) = match goal {
            None if line.is_disturbed() => (String::new(), disturbed()),
            None => (String::new(), String::new()),
            Some((goal, met)) => {
                let goal = match goal {
                    Goal::RatioAtMost(at_most) => format!("<= {at_most}"),
                    Goal::RatioAtLeast(at_least) => format!(">= {at_least}"),
                    Goal::BytesAtMost(at_most) => format!("<= {}", memory(*at_most)),
                };
                let met = match line.is_disturbed() {
                    true => disturbed(),
                    false => if *met { "yes" } else { "**no**" }.to_owned(),
                };
                (goal, met)
            }
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {name} | {bare} | {ours} | {ratio} | {goal} | {met} |");
    }
    text
}

/// Nanoseconds with a unit that leaves one to three digits before the point.
pub fn time(nanoseconds: f64) -> String {
    scaled(nanoseconds, 1e3, &["ns", "us", "ms", "s"])
}

/// Bytes with a binary unit.
pub fn memory(bytes: f64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB"])
}

/// Three digits that mean something.
fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // What would be shown as 1000 is shown as 1.00 of the next unit.
    while value >= step - 0.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let digits = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        for (nanoseconds, shown) in
            [(6.812, "6.81 ns"), (135.4, "135 ns"), (999.7, "1.00 us"), (12_345.0, "12.3 us"), (2.63e9, "2.63 s")]
        {
            assert_eq!(time(nanoseconds), shown);
        }
        assert_eq!(memory(12_288.0), "12.0 KiB");
        assert_eq!(memory(25.0 * 1024.0 * 1024.0), "25.0 MiB");
        assert_eq!(memory(100.0), "100 B");
    }

    #[test]
    fn a_goal_is_met_or_missed() {
        let pairs = |ours: f64| {
            let mut pairs = Pairs::default();
            pairs.push(100.0, ours);
            pairs
        };
        assert!(!Line::times("x", &pairs(125.0), Some(1.25)).misses());
        assert!(Line::times("x", &pairs(126.0), Some(1.25)).misses());
        assert!(!Line::times("x", &pairs(500.0), None).misses());
        let rate = |ours| Line::rate("x", (String::new(), String::new()), &pairs(ours), Some(0.9)).misses();
        assert!(rate(89.0) && !rate(90.0));
        let mut disturbed = pairs(100.0);
        disturbed.waited = 0.2;
        let line = Line::times("x", &disturbed, Some(1.25));
        assert!(line.misses() && markdown(&[line]).contains("| ? (waited 20 %) |"), "it is not judged");
        let bytes = |ours| Line::bytes("x", None, ours, Some(12_288.0)).misses();
        assert!(bytes(12_289.0) && !bytes(12_288.0));
    }

    #[test]
    fn the_table_is_markdown() {
        let mut pairs = Pairs::default();
        pairs.push(100.0, 130.0);
        let lines = [Line::times("live call", &pairs, Some(1.25)), Line::bytes("idle", None, 1024.0, None)];
        let expected = "\
| row | bare wasmtime | Runner | ratio | goal | met |
|---|---|---|---|---|---|
| live call | 100 ns (100 ns) | 130 ns (130 ns) | 1.30 (1.30) | <= 1.25 | **no** |
| idle | - | 1.00 KiB | - |  |  |
";
        assert_eq!(markdown(&lines), expected);
    }
}
