//! Reading, running and comparing the recorded cases. What AWS made up anew each time stands in them as a placeholder.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use runner_workflow::{Simulation, simulate};
use serde_json::{Value, json};

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

/// Runs a case with the input that was recorded, where one was, or with the one that was given: a recorded one may have a
/// placeholder where the state machine needs the value. The better of the two counts.
pub(crate) fn run(case: &Value) -> Verdict {
    let given = run_with(case, &case["input"]);
    match case.get("input_recorded") {
        Some(recorded) if !given.levels[2] => {
            let verdict = run_with(case, recorded);
            if verdict.levels >= given.levels { verdict } else { given }
        }
        _ => given,
    }
}

fn run_with(case: &Value, input: &Value) -> Verdict {
    let request = json!({
        "definition": case["definition"],
        "input": input,
        "type": case.get("type").cloned().unwrap_or(Value::Null),
        "task_results": case.get("task_results").cloned().unwrap_or(json!([])),
    });
    let simulation: Simulation = serde_json::from_value(request).expect("a case is a simulation");
    let simulated = serde_json::to_value(simulate(&simulation)).expect("a simulation is JSON");
    let wild = Wild(case["placeholders"].as_array().into_iter().flatten().filter_map(Value::as_str).collect());
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

fn short(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
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

/// What matches anything.
struct Wild<'c>(Vec<&'c str>);

impl Wild<'_> {
    fn is(&self, wanted: &Value, got: &Value) -> bool {
        match (wanted, got) {
            (Value::String(wanted), _)
                if self.0.contains(&wanted.as_str()) || matches!(wanted.as_str(), "date" | "timestamp") =>
            {
                true
            }
            (Value::String(wanted), Value::String(got)) => like(wanted, got),
            (Value::String(wanted), _) => wanted.starts_with('<') && wanted.ends_with('>'),
            (Value::Number(wanted), Value::Number(got)) => wanted.as_f64() == got.as_f64(),
            (Value::Array(wanted), Value::Array(got)) => {
                wanted.len() == got.len() && wanted.iter().zip(got).all(|(wanted, got)| self.is(wanted, got))
            }
            (Value::Object(wanted), Value::Object(got)) => {
                wanted.len() == got.len()
                    && wanted.iter().all(|(key, wanted)| got.get(key).is_some_and(|got| self.is(wanted, got)))
            }
            _ => wanted == got,
        }
    }

    /// A cause that is recorded as an object was its text.
    fn cause(&self, wanted: &Value, got: &Value, is_blank: bool) -> bool {
        match (wanted, got.as_str()) {
            (Value::Object(_), Some(text)) => serde_json::from_str(text).is_ok_and(|got: Value| self.is(wanted, &got)),
            (Value::String(wanted), Some(got)) if is_blank => {
                self.is(&Value::String(blank(wanted)), &Value::String(blank(got)))
            }
            _ => self.is(wanted, got),
        }
    }

    fn entry(&self, wanted: &Value, got: &Value) -> bool {
        let (Value::Object(wanted), Value::Object(got)) = (wanted, got) else { return false };
        let kind = wanted.get("type").and_then(Value::as_str).unwrap_or_default();
        // What a service answered to a request that is waited for is recorded in the history alone.
        let is_unknown = |key: &str| match kind {
            "TaskSubmitted" => key == "output",
            "LambdaFunctionScheduled" | "ActivityScheduled" => key == "resource",
            _ => false,
        };
        wanted.keys().filter(|key| !is_unknown(key)).count() == got.keys().filter(|key| !is_unknown(key)).count()
            && wanted.iter().all(|(key, wanted)| {
                is_unknown(key)
                    || got.get(key).is_some_and(|got| {
                        if key == "cause" { self.cause(wanted, got, false) } else { self.is(wanted, got) }
                    })
            })
    }

    /// Whether two histories are the same, or where they differ first.
    fn trace(&self, wanted: &[Value], got: &[Value], is_free: bool) -> Result<bool, usize> {
        let first = (0..wanted.len().max(got.len())).find(|place| {
            let pair = wanted.get(*place).zip(got.get(*place));
            !pair.is_some_and(|(wanted, got)| self.entry(wanted, got))
        });
        let Some(first) = first else { return Ok(true) };
        let mut left: Vec<&Value> = got.iter().collect();
        let is_same = is_free
            && wanted.len() == got.len()
            && wanted.iter().all(|wanted| {
                let place = left.iter().position(|got| self.entry(wanted, got));
                place.map(|place| left.swap_remove(place)).is_some()
            });
        if is_same { Ok(true) } else { Err(first) }
    }
}

/// Whether a text has the parts of another that lie around its `<..>`.
fn like(wanted: &str, got: &str) -> bool {
    let mut parts = Vec::new();
    let mut rest = wanted;
    while let Some((begin, end)) = rest.find('<').and_then(|begin| Some((begin, begin + rest[begin..].find('>')?))) {
        parts.push(&rest[..begin]);
        rest = &rest[end + 1..];
    }
    let Some((first, middle)) = parts.split_first() else { return wanted == got };
    let Some(mut left) = got.strip_prefix(first).and_then(|left| left.strip_suffix(rest)) else { return wanted == got };
    for part in middle {
        match left.find(part) {
            Some(place) => left = &left[place + part.len()..],
            None => return wanted == got,
        }
    }
    true
}

fn blank(cause: &str) -> String {
    match cause.split_once("(entered at the event id #") {
        Some((before, after)) => {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}(entered at the event id #{after}")
        }
        None => cause.to_owned(),
    }
}

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
