//! From state to state: entering, trying, failing, leaving.

use std::cell::RefCell;

use serde_json::Value;

use crate::catch::Catcher;
use crate::command::{Command, Invocation};
use crate::context::{Context, Execution, Item};
use crate::definition::Machine;
use crate::failure::{Failure, names};
use crate::history::{Entry, HistoryEvent, Stage};
use crate::limits::Limits;
use crate::random::Random;
use crate::resource::Pattern;
use crate::retry::Retrier;
use crate::run::{At, Doing, Failed, Iterating, Key, Pending, Thread, Visit};
use crate::scene::{Scene, Scope};
use crate::state::{Call, Kind, Leave, Next, State, Step};
use crate::time::Millis;
use crate::token;
use crate::weight::weighed;

use super::after;

/// One advance under way: everything of a run but its threads.
pub(super) struct Engine<'a> {
    pub(super) execution: &'a Execution,
    pub(super) given: Option<&'a Value>,
    pub(super) limits: &'a Limits,
    pub(super) random: RefCell<Random>,
    /// What the event brought.
    pub(super) seed: u128,
    pub(super) now: Millis,
    pub(super) events: u64,
    pub(super) serial: u64,
    /// How many states may still be entered.
    pub(super) budget: u32,
    /// A thread stopped for want of budget.
    pub(super) has_more: bool,
    /// The history is full.
    pub(super) is_over: bool,
    pub(super) commands: Vec<Command>,
}

/// Where a thread lies.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) machine: &'p Machine,
    /// The branches and items on the way to it.
    pub(super) path: &'p [u64],
    /// The variables around it.
    pub(super) scope: Option<&'p Scope<'p>>,
    /// The item of the iteration that it lies in, where its own has none.
    pub(super) item: Option<&'p Item>,
    pub(super) iteration: Option<&'p Trail<'p>>,
}

/// The iterations that a thread lies in, innermost first.
pub(super) struct Trail<'p> {
    pub(super) map: &'p str,
    pub(super) index: u64,
    pub(super) outer: Option<&'p Trail<'p>>,
}

impl<'p> Place<'p> {
    pub(super) const fn root(machine: &'p Machine) -> Self {
        Self { machine, path: &[], scope: None, item: None, iteration: None }
    }

    /// A state of its machine, which has it: a run is only advanced with a definition that it fits.
    pub(super) fn state(&self, name: &str) -> &'p State {
        &self.machine.states[name]
    }
}

impl Engine<'_> {
    pub(super) fn record(&mut self, entry: Entry) -> u64 {
        self.events = self.events.saturating_add(1);
        // One entry is kept back for the one that says how the run ended.
        self.is_over |= self.limits.history_events.is_some_and(|most| self.events.saturating_add(1) >= most);
        self.commands.push(Command::Record(HistoryEvent { id: self.events, at_ms: self.now, entry }));
        self.events
    }

    const fn next_serial(&mut self) -> u64 {
        self.serial = self.serial.saturating_add(1);
        self.serial
    }

    /// A token that no other task has: the next task's serial is in it.
    fn token(&self, path: &[u64]) -> String {
        token::new(&self.execution.id, self.seed, &Key { path: path.to_vec(), serial: self.serial })
    }

    pub(super) fn set_timer(&mut self, path: &[u64], at_ms: Millis) -> u64 {
        let serial = self.next_serial();
        self.commands.push(Command::SetTimer { timer: Key { path: path.to_vec(), serial }, at_ms });
        serial
    }

    pub(super) fn cancel_timer(&mut self, path: &[u64], timer: Option<u64>) {
        if let Some(serial) = timer {
            self.commands.push(Command::CancelTimer(Key { path: path.to_vec(), serial }));
        }
    }

    /// Lets a thread go as far as it can.
    pub(super) fn go(&mut self, thread: &mut Thread, place: Place<'_>) {
        while !self.is_over {
            match &mut thread.at {
                At::Ended(_) | At::Failed(_) => return,
                At::Ready { .. } if self.budget == 0 => {
                    self.has_more = true;
                    return;
                }
                At::Ready { state, input } => {
                    let (name, input) = (std::mem::take(state), input.take());
                    self.budget -= 1;
                    let state = place.state(&name);
                    let entry = Entry { input: Some(input.clone()), ..Entry::named(state.kind.entered(), &name) };
                    let entered = self.record(entry);
                    let retries = vec![0; state.kind.retry().len()];
                    let doing = Doing::Starting;
                    thread.at =
                        At::In(Box::new(Visit { state: name, input, entered, entered_ms: self.now, retries, doing }));
                }
                At::In(visit) => match &visit.doing {
                    Doing::Starting => self.attempt(thread, place),
                    Doing::Parallel { .. } | Doing::Map(_) => {
                        if !self.tend(thread, place, None) {
                            return;
                        }
                    }
                    Doing::Task(_) | Doing::Waiting { .. } | Doing::Backoff { .. } => return,
                },
            }
        }
    }

    /// Evaluates something in the scene of a visit. What goes wrong is written down, and says in which state.
    pub(super) fn evaluate<T>(
        &mut self,
        thread: &Thread,
        visit: &Visit,
        place: Place<'_>,
        token: Option<&str>,
        with: impl FnOnce(&Scene<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let is_task = matches!(place.state(&visit.state).kind, Kind::Task(_));
        let context = Context {
            execution: self.execution,
            state: &visit.state,
            entered_ms: visit.entered_ms,
            retry_count: is_task.then(|| visit.tries()),
            token,
            item: thread.item.as_ref().or(place.item),
            given: self.given,
        };
        let scene = Scene {
            dollar: &visit.input,
            input: &visit.input,
            result: None,
            error_output: None,
            context,
            scope: Scope { own: &thread.variables, outer: place.scope },
            now: self.now,
            random: &self.random,
        };
        with(&scene).map_err(|failure| {
            let failure = failure.within(&visit.state, visit.entered);
            if failure.name() == names::QUERY_EVALUATION {
                self.record(Entry {
                    location: failure.location.clone(),
                    state: Some(visit.state.clone()),
                    ..Entry::failed("EvaluationFailed", &failure)
                });
            }
            failure
        })
    }

    /// Tries a state, for the first time or again.
    fn attempt(&mut self, thread: &mut Thread, place: Place<'_>) {
        let Some(mut visit) = take(thread) else { return };
        let state = place.state(&visit.state);
        let token = match &state.kind {
            Kind::Task(task) if task.resource.pattern() == Pattern::Callback => Some(self.token(place.path)),
            _ => None,
        };
        let step = self.evaluate(thread, &visit, place, token.as_deref(), |scene| state.kind.enter(scene));
        match step {
            Err(failure) => self.fail(thread, visit, place, failure),
            Ok(Step::Leave(leave)) => self.leave(thread, visit, place, leave),
            Ok(Step::Fail(failure)) => thread.at = At::Failed(Box::new(Failed { failure, visit, in_task: false })),
            Ok(Step::Wait { until }) => {
                let timer = self.set_timer(place.path, until);
                visit.doing = Doing::Waiting { timer, until };
                thread.at = At::In(visit);
            }
            Ok(Step::Invoke(call)) => {
                visit.doing = Doing::Task(self.invoke(&visit, state, place, call, token));
                thread.at = At::In(visit);
            }
            Ok(Step::Branch { input }) => {
                self.record(Entry::new("ParallelStateStarted"));
                let begin = |machine: &Machine| Thread::new(machine.start_at.clone(), input.clone(), None);
                visit.doing = Doing::Parallel { branches: state.kind.machines().iter().map(begin).collect() };
                thread.at = At::In(visit);
            }
            Ok(Step::Iterate(iteration)) => {
                self.record(Entry { length: Some(iteration.items.len() as u64), ..Entry::new("MapStateStarted") });
                visit.doing = Doing::Map(Box::new(Iterating {
                    results: vec![None; iteration.items.len()],
                    items: iteration.items,
                    effective: iteration.effective,
                    concurrency: iteration.concurrency,
                    tolerated: iteration.tolerated,
                    next: 0,
                    running: std::collections::BTreeMap::new(),
                    failed: 0,
                }));
                thread.at = At::In(visit);
            }
        }
    }

    fn invoke(&mut self, visit: &Visit, state: &State, place: Place<'_>, call: Call, token: Option<String>) -> Pending {
        let Kind::Task(task) = &state.kind else {
            // Only a Task asks for one.
            return Pending { task: 0, token, ..Pending::default() };
        };
        let resource = &task.resource;
        let serial = self.next_serial();
        self.record(Entry::of_task(Stage::Scheduled, resource, Some(&call.arguments)));
        self.record(Entry::of_task(Stage::Started, resource, None));
        let timer = |engine: &mut Self, seconds: Option<u64>| {
            seconds.map(|seconds| engine.set_timer(place.path, after(engine.now, seconds)))
        };
        let timeout = timer(self, call.timeout_seconds);
        let heartbeat = timer(self, call.heartbeat_seconds);
        let invocation = Invocation {
            task: Key { path: place.path.to_vec(), serial },
            state: visit.state.clone(),
            iteration: place.iterations(),
            resource: resource.clone(),
            pattern: resource.pattern(),
            arguments: call.arguments,
            attempt: visit.tries().saturating_add(1),
            timeout_seconds: call.timeout_seconds,
            heartbeat_seconds: call.heartbeat_seconds,
            idempotency_key: format!("{}/{serial}", self.execution.id),
            token: token.clone(),
        };
        self.commands.push(if resource.kind() == "workflow" {
            Command::StartChild(invocation)
        } else {
            Command::Invoke(invocation)
        });
        let heartbeat_seconds = call.heartbeat_seconds;
        let at = |seconds: Option<u64>| seconds.map(|seconds| after(self.now, seconds));
        let (timeout_at, heartbeat_at) = (at(call.timeout_seconds), at(heartbeat_seconds));
        Pending { task: serial, token, timeout, heartbeat, heartbeat_seconds, timeout_at, heartbeat_at }
    }

    /// A state failed: it is tried again, or caught, or its thread fails with it.
    pub(super) fn fail(&mut self, thread: &mut Thread, mut visit: Box<Visit>, place: Place<'_>, failure: Failure) {
        let kind = &place.state(&visit.state).kind;
        if let Some(index) = Retrier::matching(kind.retry(), &failure) {
            let retrier = &kind.retry()[index];
            let tried = visit.retries[index];
            if u64::from(tried) < retrier.attempts_max {
                visit.retries[index] += 1;
                let delay = retrier.delay_ms(tried, self.random.borrow_mut().unit());
                let until = self.now.saturating_add(delay);
                visit.doing = Doing::Backoff { timer: self.set_timer(place.path, until), until };
                thread.at = At::In(visit);
                return;
            }
        }
        let failure = match Catcher::matching(kind.catch(), &failure) {
            None => failure,
            Some(catcher) => {
                let leave = self.evaluate(thread, &visit, place, None, |scene| catcher.leave(scene, &failure));
                match leave.and_then(|leave| weighed(leave, self.limits.payload_bytes, &visit.state)) {
                    Ok(leave) => return self.exit(thread, &visit, place, leave),
                    Err(failure) => failure,
                }
            }
        };
        if matches!(kind, Kind::Map(_) | Kind::Parallel(_)) && failure.name() != names::RUNTIME {
            self.record(Entry::new(format!("{}StateFailed", kind.name())));
        }
        let in_task = matches!(kind, Kind::Task(_));
        thread.at = At::Failed(Box::new(Failed { failure, visit, in_task }));
    }

    /// A state is done, unless what it gives is too large.
    pub(super) fn leave(&mut self, thread: &mut Thread, visit: Box<Visit>, place: Place<'_>, leave: Leave) {
        match weighed(leave, self.limits.payload_bytes, &visit.state) {
            Ok(leave) => self.exit(thread, &visit, place, leave),
            Err(failure) => self.fail(thread, visit, place, failure),
        }
    }

    fn exit(&mut self, thread: &mut Thread, visit: &Visit, place: Place<'_>, leave: Leave) {
        self.record(Entry {
            output: Some(leave.output.clone()),
            assigned_variables: leave.assigned.clone(),
            ..Entry::named(place.state(&visit.state).kind.exited(), &visit.state)
        });
        thread.variables.extend(leave.assigned);
        thread.at = match leave.next {
            Next::End => At::Ended(leave.output),
            Next::State(state) => At::Ready { state, input: leave.output },
        };
    }

    /// Stops whatever a thread has under way. `is_failing` is for the thread whose failure is the reason.
    pub(super) fn cancel(&mut self, thread: &mut Thread, path: &mut Vec<u64>, is_failing: bool) {
        match &mut thread.at {
            At::Failed(failed) if is_failing && failed.in_task => {
                self.record(Entry::new("TaskStateAborted"));
            }
            At::In(visit) => match &mut visit.doing {
                Doing::Starting => {}
                Doing::Task(pending) => {
                    self.commands.push(Command::CancelTask(Key { path: path.clone(), serial: pending.task }));
                    self.cancel_timer(path, pending.timeout);
                    self.cancel_timer(path, pending.heartbeat);
                    self.record(Entry::new("TaskStateAborted"));
                }
                Doing::Waiting { timer, .. } => {
                    self.cancel_timer(path, Some(*timer));
                    self.record(Entry::new("WaitStateAborted"));
                }
                Doing::Backoff { timer, .. } => {
                    self.cancel_timer(path, Some(*timer));
                    self.record(Entry::new("TaskStateAborted"));
                }
                Doing::Parallel { branches } => {
                    self.cancel_branches(branches, path, None);
                    self.record(Entry::new("ParallelStateAborted"));
                }
                Doing::Map(map) => {
                    let name = visit.state.clone();
                    self.cancel_iterations(&name, map, path);
                    self.record(Entry::new("MapStateAborted"));
                }
            },
            _ => {}
        }
    }

    pub(super) fn cancel_branches(&mut self, branches: &mut [Thread], path: &mut Vec<u64>, failing: Option<usize>) {
        for (index, branch) in branches.iter_mut().enumerate() {
            path.push(index as u64);
            self.cancel(branch, path, failing == Some(index));
            path.pop();
        }
    }

    pub(super) fn cancel_iterations(&mut self, name: &str, map: &mut Iterating, path: &mut Vec<u64>) {
        for (index, thread) in &mut map.running {
            if matches!(thread.at, At::Failed(_)) {
                continue;
            }
            path.push(*index);
            self.cancel(thread, path, false);
            path.pop();
            self.record(Entry { index: Some(*index), ..Entry::named("MapIterationAborted", name) });
        }
    }
}

impl Place<'_> {
    fn iterations(&self) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        let mut at = self.iteration;
        while let Some(trail) = at {
            found.push((trail.map.to_owned(), trail.index));
            at = trail.outer;
        }
        found.reverse();
        found
    }
}

/// Takes the visit out of a thread, which gets another place before anybody looks at it.
pub(super) fn take(thread: &mut Thread) -> Option<Box<Visit>> {
    match std::mem::replace(&mut thread.at, At::Ended(Value::Null)) {
        At::In(visit) => Some(visit),
        other => {
            thread.at = other;
            None
        }
    }
}
