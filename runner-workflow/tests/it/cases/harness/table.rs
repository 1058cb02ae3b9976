//! How many cases held at each level, by topic, and which did not.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::Verdict;

/// How many cases held, by topic.
#[derive(Default)]
pub(crate) struct Table {
    topics: BTreeMap<String, [usize; 4]>,
    failed: Vec<(String, usize, String)>,
    inexact: usize,
}

impl Table {
    pub(crate) fn add(&mut self, case: &Value, verdict: Verdict) {
        let topic = case["topic"].as_str().unwrap_or_default();
        let counts = self.topics.entry(topic.to_owned()).or_default();
        counts[3] += 1;
        for (count, holds) in counts.iter_mut().zip(verdict.levels) {
            *count += usize::from(holds);
        }
        self.inexact += usize::from(verdict.levels[1] && !verdict.is_exact);
        if let Some(level) = verdict.levels.iter().position(|holds| !holds) {
            let id = case["id"].as_str().unwrap_or_default();
            self.failed.push((id.to_owned(), level + 1, verdict.reason));
        }
    }

    fn all(&self) -> [usize; 4] {
        self.topics.values().fold([0; 4], |sum, counts| std::array::from_fn(|place| sum[place] + counts[place]))
    }

    pub(crate) fn of_a_thousand(&self, level: usize) -> usize {
        let all = self.all();
        all[level] * 1000 / all[3].max(1)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:60} {:>5} {:>5} {:>5} {:>5}", "topic", "cases", "L1", "L2", "L3")?;
        let all = self.all();
        let rows = self.topics.iter().map(|(topic, counts)| (topic.as_str(), *counts));
        for (topic, [l1, l2, l3, cases]) in rows.chain([("all", all)]) {
            writeln!(f, "  {topic:60} {cases:>5} {l1:>5} {l2:>5} {l3:>5}")?;
        }
        if self.inexact > 0 {
            writeln!(f, "  {} causes have another event's number", self.inexact)?;
        }
        for (id, level, reason) in &self.failed {
            writeln!(f, "  not at L{level}: {id}\n      {reason}")?;
        }
        Ok(())
    }
}
