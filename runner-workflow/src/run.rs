//! The state of a run: one value, which goes through JSON and back unchanged. It grows with what is under way, not with
//! what has been.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::complaint::Rejection;
use crate::context::{Execution, Item};
use crate::definition::{Definition, Digest, Machine};
use crate::failure::Failure;
use crate::limits::Limits;
use crate::random::Random;
use crate::state::Kind;
use crate::time::Millis;
use crate::token;

/// A run, from before its first state to after its last.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// The definition that it is known to fit.
    pub(crate) definition: Digest,
    pub(crate) run: Run,
}

/// What of a run is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) execution: Execution,
    pub(crate) given: Option<Value>,
    pub(crate) limits: Limits,
    pub(crate) random: Random,
    /// The number of the newest entry of the history.
    pub(crate) events: u64,
    /// The number of the newest task or timer.
    pub(crate) serial: u64,
    /// The timer of the definition's `TimeoutSeconds`.
    pub(crate) deadline: Option<u64>,
    pub(crate) thread: Thread,
    pub(crate) ending: Option<Ending>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Ending {
    /// With an output.
    Succeeded {
        /// The last state's output.
        output: Value,
    },
    /// With a failure that nothing caught.
    Failed(Failure),
    /// The definition's `TimeoutSeconds` passed.
    TimedOut(Failure),
    /// Somebody stopped it.
    Aborted(Failure),
}

/// The name of a task or a timer: where in the run it is, and a number that no other has.
///
/// As text it is `0.3#17`: in the fourth branch or item of the first, number 17.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key {
    pub(crate) path: Vec<u64>,
    pub(crate) serial: u64,
}

/// States one after the other: the whole run, a branch, or an iteration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Thread {
    pub(crate) variables: Map<String, Value>,
    /// In an iteration of a Map, its item.
    pub(crate) item: Option<Item>,
    pub(crate) at: At,
}

/// Where a thread is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum At {
    /// Before a state.
    Ready { state: String, input: Value },
    /// In a state.
    In(Box<Visit>),
    /// Behind its last state.
    Ended(Value),
    /// It failed.
    Failed(Box<Failed>),
}

/// A thread that failed, with what it takes to go on from there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    pub(crate) visit: Box<Visit>,
    /// Whether the state is a Task.
    pub(crate) in_task: bool,
}

/// A stay in a state, with all of its tries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Visit {
    pub(crate) state: String,
    pub(crate) input: Value,
    /// The number of the entry of the history that says it was entered.
    pub(crate) entered: u64,
    pub(crate) entered_ms: Millis,
    /// How often each retrier had it tried again.
    pub(crate) retries: Vec<u32>,
    pub(crate) doing: Doing,
}

/// What a visit is waiting for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Doing {
    /// Nothing: it is to be tried, for the first time or again.
    Starting,
    Task(Pending),
    /// A Wait, for its time.
    Waiting {
        timer: u64,
        until: Millis,
    },
    /// A retry, for its time.
    Backoff {
        timer: u64,
        until: Millis,
    },
    Parallel {
        branches: Vec<Thread>,
    },
    Map(Box<Iterating>),
}

/// A task that was given to somebody.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) task: u64,
    pub(crate) token: Option<String>,
    pub(crate) timeout: Option<u64>,
    pub(crate) heartbeat: Option<u64>,
    pub(crate) heartbeat_seconds: Option<u64>,
    /// When they fire.
    pub(crate) timeout_at: Option<Millis>,
    pub(crate) heartbeat_at: Option<Millis>,
}

/// A Map under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Iterating {
    /// The items; null where the iteration has begun and taken its own.
    pub(crate) items: Vec<Value>,
    pub(crate) effective: Value,
    pub(crate) concurrency: usize,
    pub(crate) tolerated: Option<u64>,
    /// The first item whose iteration has not begun.
    pub(crate) next: usize,
    pub(crate) running: BTreeMap<u64, Thread>,
    /// `None` where the iteration has not ended, or has failed.
    pub(crate) results: Vec<Option<Value>>,
    pub(crate) failed: u64,
}

/// What a run is waiting for, and until when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The state that waits.
    pub state: String,
    /// For what.
    pub on: WaitingOn,
    /// Until when at the latest, in milliseconds since 1970; `None` for as long as it takes.
    pub until_ms: Option<i64>,
}

/// For what a state waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WaitingOn {
    /// For a task's answer.
    Task(Key),
    /// For a time: a Wait.
    Time,
    /// For the time of its next try.
    Retry,
}

impl RunState {
    /// A run that has not begun: [`advance`](crate::advance) it with [`Happened::Started`](crate::Happened::Started).
    ///
    /// # Errors
    ///
    /// When the definition has what Runner does not run.
    pub fn new(definition: &Definition, execution: Execution, limits: Limits) -> Result<Self, Rejection> {
        let unsupported = definition.unsupported();
        if !unsupported.is_empty() {
            return Err(Rejection::new(unsupported));
        }
        let at = At::Ready { state: definition.machine().start_at.clone(), input: execution.input.clone() };
        let run = Run {
            execution,
            given: None,
            limits,
            random: Random::seeded(0),
            events: 0,
            serial: 0,
            deadline: None,
            thread: Thread { variables: Map::new(), item: None, at },
            ending: None,
        };
        Ok(Self { definition: definition.digest, run })
    }

    /// The run as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.run).expect("a run has no key that is not a text")
    }

    /// Reads what [`to_json`](Self::to_json) wrote, for the definition that the run began with. `serde_json::from_str` refuses
    /// what nests deeper than 128 levels, as the run of machines in machines does; it takes about a kilobyte of stack for a
    /// level, and there are at most some 400.
    ///
    /// # Errors
    ///
    /// When the text is no run, and when the run is in a state that the definition does not have, or has otherwise.
    pub fn from_json(text: &str, definition: &Definition) -> Result<Self, RunError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer.disable_recursion_limit();
        let run = Run::deserialize(&mut deserializer)?;
        deserializer.end()?;
        run.fits(definition)?;
        Ok(Self { definition: definition.digest, run })
    }

    /// Calls something with each of the values that a run has been given or has made: inputs, variables, items, results.
    #[cfg(feature = "durable")]
    pub(crate) fn each_value(&mut self, with: &mut dyn FnMut(&mut Value)) {
        let Run { execution, thread, ending, .. } = &mut self.run;
        with(&mut execution.input);
        thread.each_value(with);
        if let Some(Ending::Succeeded { output }) = ending {
            with(output);
        }
    }

    /// Lays fields over the context object, as a test or a simulation does.
    #[must_use]
    pub fn with_context(mut self, given: Value) -> Self {
        self.run.given = Some(given);
        self
    }

    /// How it ended; `None` while it runs.
    #[must_use]
    pub const fn ending(&self) -> Option<&Ending> {
        self.run.ending.as_ref()
    }

    /// The execution that it is.
    #[must_use]
    pub const fn execution(&self) -> &Execution {
        &self.run.execution
    }

    /// How many entries its history has.
    #[must_use]
    pub const fn history_events(&self) -> u64 {
        self.run.events
    }

    /// The task that a token stands for, if it is waited for.
    #[must_use]
    pub fn task_of(&self, token: &str) -> Option<Key> {
        let ended = self.run.ending.is_some();
        let waited = |pending: &Pending| pending.token.as_deref().is_some_and(|own| token::is_same(own, token));
        self.run.thread.task(&mut Vec::new(), &waited).filter(|_| !ended)
    }

    /// What it waits for. Empty for a run that has ended, or that goes on with the next event.
    #[must_use]
    pub fn waiting(&self) -> Vec<Waiting> {
        let mut found = Vec::new();
        if self.run.ending.is_none() {
            self.run.thread.waiting(&mut Vec::new(), &mut found);
        }
        found
    }
}

impl Run {
    /// Whether whoever goes on with it finds in the definition all that it is in.
    pub(crate) fn fits(&self, definition: &Definition) -> Result<(), Misfit> {
        self.thread.fits(definition.machine())
    }
}

/// A text is no run, or none of the definition.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It is not what a run is written as.
    #[error("this is no run as `RunState::to_json` writes it: {0}")]
    Json(#[from] serde_json::Error),
    /// It is the run of another definition.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// A run is in a state that the definition does not have, or has otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the run is in the state `{state}`, and {found}: a run goes on with the version of the definition that it began with"
)]
pub struct Misfit {
    state: String,
    found: String,
}

impl Misfit {
    /// The state that the run is in.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }
}

impl Thread {
    pub(crate) fn new(state: String, input: Value, item: Option<Item>) -> Self {
        Self { variables: Map::new(), item, at: At::Ready { state, input } }
    }

    #[cfg(feature = "durable")]
    fn each_value(&mut self, with: &mut dyn FnMut(&mut Value)) {
        self.variables.values_mut().for_each(&mut *with);
        if let Some(item) = &mut self.item {
            with(&mut item.value);
        }
        let visit = match &mut self.at {
            At::Ready { input: value, .. } | At::Ended(value) => return with(value),
            At::In(visit) => visit,
            At::Failed(failed) => &mut failed.visit,
        };
        with(&mut visit.input);
        match &mut visit.doing {
            Doing::Parallel { branches } => branches.iter_mut().for_each(|branch| branch.each_value(with)),
            Doing::Map(map) => {
                with(&mut map.effective);
                map.items.iter_mut().chain(map.results.iter_mut().flatten()).for_each(&mut *with);
                map.running.values_mut().for_each(|thread| thread.each_value(with));
            }
            Doing::Starting | Doing::Task(_) | Doing::Waiting { .. } | Doing::Backoff { .. } => {}
        }
    }

    fn fits(&self, machine: &Machine) -> Result<(), Misfit> {
        let (name, visit) = match &self.at {
            At::Ended(_) => return Ok(()),
            At::Ready { state, .. } => (state, None),
            At::In(visit) => (&visit.state, Some(visit)),
            At::Failed(failed) => (&failed.visit.state, Some(&failed.visit)),
        };
        let misfit = |found: String| Err(Misfit { state: name.clone(), found });
        let Some(state) = machine.states.get(name) else {
            return misfit("the definition has no such state in its place".to_owned());
        };
        let Some(visit) = visit else { return Ok(()) };
        let (kind, machines) = (&state.kind, state.kind.machines());
        let (counted, retriers) = (visit.retries.len(), kind.retry().len());
        if counted != retriers {
            return misfit(format!(
                "the definition's state has {retriers} retriers, of which the run counts {counted}"
            ));
        }
        match (&visit.doing, kind) {
            (Doing::Starting | Doing::Backoff { .. }, _)
            | (Doing::Task(_), Kind::Task(_))
            | (Doing::Waiting { .. }, Kind::Wait(_)) => Ok(()),
            (Doing::Parallel { branches }, Kind::Parallel(_)) if branches.len() == machines.len() => {
                branches.iter().zip(machines).try_for_each(|(branch, machine)| branch.fits(machine))
            }
            (Doing::Parallel { branches }, Kind::Parallel(_)) => {
                misfit(format!("the definition's state has {} branches, the run {}", machines.len(), branches.len()))
            }
            (Doing::Map(map), Kind::Map(_)) if map.is_sound() => {
                let mut running = map.running.values();
                running.try_for_each(|child| machines.iter().try_for_each(|machine| child.fits(machine)))
            }
            (Doing::Map(_), Kind::Map(_)) => misfit("its iterations are not those of its items".to_owned()),
            _ => misfit(format!(
                "the definition's state is a {}, which does not do what the run does there",
                kind.name()
            )),
        }
    }

    /// Goes back to before what failed or was cancelled; what has ended stays so.
    pub(crate) fn redrive(&mut self) {
        let mut visit = match std::mem::replace(&mut self.at, At::Ended(Value::Null)) {
            At::Failed(failed) => failed.visit,
            At::In(visit) => visit,
            other => return self.at = other,
        };
        match &mut visit.doing {
            Doing::Parallel { branches } => branches.iter_mut().for_each(Self::redrive),
            Doing::Map(map) => {
                map.running.values_mut().for_each(Self::redrive);
                map.failed = 0;
            }
            _ => return self.at = At::Ready { state: visit.state, input: visit.input },
        }
        self.at = At::In(visit);
    }

    fn waiting(&self, path: &mut Vec<u64>, found: &mut Vec<Waiting>) {
        let At::In(visit) = &self.at else { return };
        let (on, until_ms) = match &visit.doing {
            Doing::Starting => return,
            Doing::Task(pending) => {
                let first = [pending.timeout_at, pending.heartbeat_at].into_iter().flatten().min();
                (WaitingOn::Task(Key { path: path.clone(), serial: pending.task }), first)
            }
            Doing::Waiting { until, .. } => (WaitingOn::Time, Some(*until)),
            Doing::Backoff { until, .. } => (WaitingOn::Retry, Some(*until)),
            Doing::Parallel { branches } => {
                return (0..).zip(branches).for_each(|(index, branch)| branch.waiting_within(index, path, found));
            }
            Doing::Map(map) => {
                return map.running.iter().for_each(|(index, thread)| thread.waiting_within(*index, path, found));
            }
        };
        found.push(Waiting { state: visit.state.clone(), on, until_ms });
    }

    /// The task of which something holds.
    fn task(&self, path: &mut Vec<u64>, holds: &dyn Fn(&Pending) -> bool) -> Option<Key> {
        let At::In(visit) = &self.at else { return None };
        let mut within = |index: u64, thread: &Self| {
            path.push(index);
            let found = thread.task(path, holds);
            path.pop();
            found
        };
        match &visit.doing {
            Doing::Task(pending) => holds(pending).then(|| Key { path: path.clone(), serial: pending.task }),
            Doing::Parallel { branches } => (0..).zip(branches).find_map(|(index, branch)| within(index, branch)),
            Doing::Map(map) => map.running.iter().find_map(|(index, thread)| within(*index, thread)),
            Doing::Starting | Doing::Waiting { .. } | Doing::Backoff { .. } => None,
        }
    }

    fn waiting_within(&self, index: u64, path: &mut Vec<u64>, found: &mut Vec<Waiting>) {
        path.push(index);
        self.waiting(path, found);
        path.pop();
    }
}

impl Visit {
    /// How often it was tried again.
    pub(crate) fn tries(&self) -> u32 {
        self.retries.iter().fold(0, |all, tries| all.saturating_add(*tries))
    }
}

impl Iterating {
    fn is_sound(&self) -> bool {
        let began = |index: &u64| usize::try_from(*index).is_ok_and(|index| index < self.next);
        self.results.len() == self.items.len() && self.next <= self.items.len() && self.running.keys().all(began)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, index) in self.path.iter().enumerate() {
            write!(f, "{}{index}", if place > 0 { "." } else { "" })?;
        }
        write!(f, "#{}", self.serial)
    }
}

/// A text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key of a task or a timer")]
pub struct KeyError(String);

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError(text.to_owned());
        let (path, serial) = text.split_once('#').ok_or_else(wrong)?;
        let numbers = path.split('.').filter(|_| !path.is_empty()).map(str::parse);
        let path = numbers.collect::<Result<_, _>>().map_err(|_| wrong())?;
        Ok(Self { path, serial: serial.parse().map_err(|_| wrong())? })
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}
