//! A run with nothing real in it: the clock jumps, and tasks are answered from a list. It is what a test of a workflow runs,
//! and what the recorded cases are compared by.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::command::{Command, Event, Happened, Invocation};
use crate::context::Execution;
use crate::definition::Definition;
use crate::failure::{Failure, names};
use crate::history::Entry;
use crate::limits::{Limits, SIMULATED_HISTORY_BYTES};
use crate::machine::advance_fitting;
use crate::resource::{Family, Pattern, Resource};
use crate::run::{Ending, Key, Run, RunState};
use crate::weight::json_bytes;

/// 2026-01-01T00:00:00Z, where a simulation begins if it is not said.
pub(crate) const BEGIN_MS: i64 = 1_767_225_600_000;

/// What is to be simulated.
#[derive(Debug, Clone, Deserialize)]
pub struct Simulation {
    /// The definition: an object, or its text.
    pub definition: Value,
    /// The input.
    #[serde(default = "empty")]
    pub input: Value,
    /// Fields that are laid over the context object.
    #[serde(default)]
    pub context: Option<Value>,
    /// `STANDARD` or `EXPRESS`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Whether somebody waits for the answer of an `EXPRESS` run, which then has no `RedriveCount`.
    #[serde(default)]
    pub is_synchronous: bool,
    /// What the tasks answer, in the order in which they are asked.
    #[serde(default)]
    pub task_results: Vec<TaskResult>,
    /// When it begins, in milliseconds since 1970.
    #[serde(default)]
    pub now_ms: Option<i64>,
    /// What chance begins with.
    #[serde(default)]
    pub seed: u64,
}

/// What one call of a task answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub struct TaskResult {
    /// The state that calls; any where it is `None`.
    pub state: Option<String>,
    /// The Map iterations that it lies in: the Map's name and the item's index. A Map may stand there several times, as a
    /// history goes through its items one after the other; the last one counts.
    pub iteration: Vec<(String, u64)>,
    /// What is answered.
    pub answer: Answer,
}

/// What a task answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A result.
    Result(Value),
    /// A failure: its name, and its text or what its text is the JSON of.
    Failure(Option<String>, Value),
    /// Nothing, until its time is over.
    Timeout,
}

/// How a simulation went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulated {
    /// `SUCCEEDED`, `FAILED`, `TIMED_OUT`, `ABORTED`, or `REJECTED` for a definition that is wrong.
    pub status: &'static str,
    /// The output, of a run that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The name of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The text of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The history.
    pub trace: Vec<Entry>,
}

fn empty() -> Value {
    Value::Object(Map::new())
}

/// Runs a definition with answers from a list in the place of its tasks, and a clock that jumps to the next timer.
///
/// A definition that is wrong gives the status `REJECTED`. A task without an answer in the list is
/// silent until a timer ends it, and fails with `Runner.NoTaskResult` where there is none; a run that waits for what will never
/// come is stopped with `Runner.Stuck`.
///
/// ```
/// use runner_workflow::{simulate, Simulation};
/// use serde_json::json;
///
/// let simulation: Simulation = serde_json::from_value(json!({
///     "definition": {"StartAt": "Total", "States": {"Total": {"Type": "Task", "Resource": "wasm:orders@1#total", "End": true}}},
///     "input": {"order": 7},
///     "task_results": [{"state": "Total", "result": 12.5}],
/// }))?;
/// let simulated = simulate(&simulation);
/// assert_eq!((simulated.status, simulated.output), ("SUCCEEDED", Some(json!(12.5))));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn simulate(simulation: &Simulation) -> Simulated {
    let parsed = Definition::from_either(&simulation.definition).1;
    let begin = simulation.now_ms.unwrap_or(BEGIN_MS);
    let started = parsed.and_then(|definition| {
        let mut execution = Execution::new("simulation", "simulated", simulation.input.clone(), begin);
        if simulation.kind.as_deref() == Some("EXPRESS") {
            let redrive_count = execution.redrive_count.filter(|_| !simulation.is_synchronous);
            execution = Execution { redrive_count, ..execution.express() };
            execution.id += ":1";
        }
        let run = RunState::new(&definition, execution, Limits::default())?;
        Ok((definition, run))
    });
    let (definition, run) = match started {
        Ok((definition, run)) => (definition, run),
        Err(rejection) => {
            return Simulated {
                status: "REJECTED",
                output: None,
                error: Some("InvalidDefinition".to_owned()),
                cause: Some(rejection.to_string()),
                trace: Vec::new(),
            };
        }
    };
    let run = match &simulation.context {
        Some(context) => run.with_context(context.clone()),
        None => run,
    };
    let results = simulation.task_results.iter().map(Some).collect();
    let bench = Bench {
        now: begin,
        queue: VecDeque::new(),
        silent: VecDeque::new(),
        timers: BTreeMap::new(),
        set: 0,
        results,
        trace: Vec::new(),
        left: SIMULATED_HISTORY_BYTES,
    };
    bench.drive(&definition, run.run, simulation.seed)
}

/// What stands around the machine in a simulation.
struct Bench<'s> {
    now: i64,
    queue: VecDeque<Happened>,
    /// The ends of tasks that do not answer.
    silent: VecDeque<Happened>,
    /// By time, then in the order in which they were set.
    timers: BTreeMap<(i64, u64), Key>,
    set: u64,
    /// What is left of the list.
    results: Vec<Option<&'s TaskResult>>,
    trace: Vec<Entry>,
    /// How many bytes the history may still have.
    left: usize,
}

impl<'s> Bench<'s> {
    fn drive(mut self, definition: &Definition, mut run: Run, seed: u64) -> Simulated {
        self.queue.push_back(Happened::Started);
        loop {
            let happened = match self.queue.pop_front() {
                Some(happened) => happened,
                None => match self.timers.pop_first() {
                    Some(((at, _), timer)) => {
                        self.now = self.now.max(at);
                        Happened::TimerFired { timer }
                    }
                    None => self.silence(),
                },
            };
            let event = Event { now_ms: self.now, seed: seed.into(), happened };
            let commands;
            (run, commands) = advance_fitting(definition, run, event);
            for command in commands {
                match command {
                    Command::Finish(ending) => return self.ended(ending),
                    command => self.take(command),
                }
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Record(event) => self.record(event.entry),
            Command::Continue => self.queue.push_back(Happened::Continued),
            Command::SetTimer { timer, at_ms } => {
                self.set += 1;
                self.timers.insert((at_ms, self.set), timer);
            }
            Command::CancelTimer(timer) => self.timers.retain(|_, set| *set != timer),
            Command::Invoke(invocation) | Command::StartChild(invocation) => self.answer(invocation),
            Command::CancelTask(_) | Command::Finish(_) => {}
        }
    }

    /// Keeps an entry, and stops a run whose history weighs too much to be kept.
    fn record(&mut self, entry: Entry) {
        let values = [&entry.input, &entry.output].into_iter().flatten();
        let bytes: Option<usize> = values.map(|value| json_bytes(value, self.left)).sum();
        let was_kept = self.left > 0;
        self.left = bytes.and_then(|bytes| self.left.checked_sub(bytes)).unwrap_or(0);
        if self.left == 0 && was_kept {
            let cause = Some(format!("the history has more than {SIMULATED_HISTORY_BYTES} bytes"));
            self.queue.push_front(Happened::Stopped { error: Some("Runner.LimitExceeded".to_owned()), cause });
        }
        self.trace.push(entry);
    }

    fn answer(&mut self, invocation: Invocation) {
        let Invocation { task, resource, pattern, .. } = &invocation;
        let task = task.clone();
        if *pattern != Pattern::RequestResponse && resource.family() == Family::Service {
            self.queue.push_back(Happened::TaskSubmitted { task: task.clone(), output: None });
        }
        match self.next_result(&invocation).map(|result| &result.answer) {
            Some(Answer::Result(output)) => {
                self.queue.push_back(Happened::TaskSucceeded { task, output: output.clone() })
            }
            Some(Answer::Failure(error, cause)) => {
                let cause = text_of(cause, resource);
                self.queue.push_back(Happened::TaskFailed { task, error: error.clone(), cause });
            }
            Some(Answer::Timeout) => self.silent.push_back(Happened::TaskTimedOut { task }),
            None => {
                let cause = Some(format!("no result is left for state `{}`", invocation.state));
                let error = Some("Runner.NoTaskResult".to_owned());
                self.silent.push_back(Happened::TaskFailed { task, error, cause });
            }
        }
    }

    /// What happens when nothing else can: a task that was silent gets its end, though no timer of the run asked for it.
    fn silence(&mut self) -> Happened {
        self.silent.pop_front().unwrap_or_else(|| {
            let cause = Some("the run waits for what will never come".to_owned());
            Happened::Stopped { error: Some("Runner.Stuck".to_owned()), cause }
        })
    }

    /// The first result that is left for this state in this iteration; or for this state anywhere; or for any state.
    fn next_result(&mut self, invocation: &Invocation) -> Option<&'s TaskResult> {
        let is_state = |result: &TaskResult| result.state.as_ref() == Some(&invocation.state);
        let is_here = |result: &TaskResult| is_state(result) && last_of_each(&result.iteration) == invocation.iteration;
        let is_any = |result: &TaskResult| result.state.is_none();
        let ranks: [&dyn Fn(&TaskResult) -> bool; 3] = [&is_here, &is_state, &is_any];
        let place = ranks.iter().find_map(|fits| self.results.iter().position(|left| left.is_some_and(fits)))?;
        self.results[place].take()
    }

    fn ended(self, ending: Ending) -> Simulated {
        let failed = |status, failure: Failure, trace| Simulated {
            status,
            output: None,
            error: failure.error,
            cause: failure.cause,
            trace,
        };
        match ending {
            Ending::Succeeded { output } => {
                Simulated { status: "SUCCEEDED", output: Some(output), error: None, cause: None, trace: self.trace }
            }
            Ending::Failed(failure) => failed("FAILED", failure, self.trace),
            Ending::TimedOut(failure) => failed("TIMED_OUT", failure, self.trace),
            Ending::Aborted(failure) => failed("ABORTED", failure, self.trace),
        }
    }
}

/// The iterations that a task lies in, from those that a history passed through on the way: a Map that comes again is the
/// same Map with its next item, and what lay within it is left.
fn last_of_each(passed: &[(String, u64)]) -> Vec<(String, u64)> {
    let mut stack: Vec<(String, u64)> = Vec::new();
    for (name, index) in passed {
        if let Some(place) = stack.iter().position(|(known, _)| known == name) {
            stack.truncate(place);
        }
        stack.push((name.clone(), *index));
    }
    stack
}

/// A cause that was JSON, as the text that it was: a Lambda function's own answer is passed on as Python wrote it, with a
/// space after each comma and colon, and AWS writes the others anew, without.
fn text_of(cause: &Value, resource: &Resource) -> Option<String> {
    match cause {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other if resource.family() == Family::Lambda => {
            let mut text = Vec::new();
            let mut serializer = serde_json::Serializer::with_formatter(&mut text, Spaced);
            other.serialize(&mut serializer).ok()?;
            String::from_utf8(text).ok()
        }
        other => Some(other.to_string()),
    }
}

/// As Python's `json.dumps`.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

impl TryFrom<Value> for TaskResult {
    type Error = String;

    /// `{state, iteration, result}`, `{state, iteration, error, cause}` or `{state, iteration, timeout: true}`.
    fn try_from(value: Value) -> Result<Self, String> {
        let Value::Object(mut fields) = value else { return Err("a task result is an object".to_owned()) };
        let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
        let iteration = fields.remove("iteration").unwrap_or(Value::Array(Vec::new()));
        let iteration = serde_json::from_value(iteration).map_err(|error| format!("iteration: {error}"))?;
        let state = text(fields.remove("state"));
        let answer = if fields.remove("timeout").is_some_and(|timeout| timeout == Value::Bool(true)) {
            Answer::Timeout
        } else if let Some(result) = fields.remove("result") {
            Answer::Result(result)
        } else if fields.contains_key("error") || fields.contains_key("cause") {
            Answer::Failure(text(fields.remove("error")), fields.remove("cause").unwrap_or(Value::Null))
        } else {
            return Err("a task result has `result`, `error` or `timeout`".to_owned());
        };
        // Whoever recorded an error by this name recorded a timeout.
        let answer = match answer {
            Answer::Failure(Some(error), Value::Null) if error == names::TIMEOUT => Answer::Timeout,
            answer => answer,
        };
        Ok(Self { state, iteration, answer })
    }
}
