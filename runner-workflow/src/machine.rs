//! The machine: a run and what happened to it give the run as it is then, and what is to be done. It awaits nothing, reads
//! no clock and keeps nothing: the same run and event give the same answer, always.

mod deliver;
mod engine;
mod tend;

use std::cell::RefCell;

use serde_json::Value;

use crate::command::{Command, Event, Happened};
use crate::definition::Definition;
use crate::failure::{Failure, names};
use crate::history::Entry;
use crate::limits::TRANSITIONS_PER_ADVANCE;
use crate::run::{At, Ending, Key, Misfit, Run, RunState, Thread};

use engine::{Engine, Place};

/// Takes a run one event further.
///
/// A run that has ended stays as it is, unless it
/// is redriven.
///
/// # Errors
///
/// When the definition is not the one that the run began with, and lacks a state that the run is in. Whoever keeps runs keeps
/// with each the version of its definition.
///
/// ```
/// use runner_workflow::{advance, Command, Definition, Ending, Event, Execution, Happened, Limits, RunState};
/// use serde_json::json;
///
/// let definition = Definition::from_value(&json!({
///     "StartAt": "Greet",
///     "States": {"Greet": {"Type": "Pass", "Parameters": {"text.$": "States.Format('hello {}', $.name)"}, "End": true}},
/// }))?;
/// let execution = Execution::new("greeting", "1", json!({"name": "Ada"}), 0);
/// let run = RunState::new(&definition, execution, Limits::default())?;
///
/// let (run, commands) = advance(&definition, run, Event { now_ms: 0, seed: 7, happened: Happened::Started })?;
/// let ending = Ending::Succeeded { output: json!({"text": "hello Ada"}) };
/// assert_eq!(run.ending(), Some(&ending));
/// assert_eq!(commands.last(), Some(&Command::Finish(ending)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn advance(definition: &Definition, run: RunState, event: Event) -> Result<(RunState, Vec<Command>), Misfit> {
    if run.definition != definition.digest {
        run.run.fits(definition)?;
    }
    let (run, commands) = advance_fitting(definition, run.run, event);
    Ok((RunState { definition: definition.digest, run }, commands))
}

/// The same, of a run that fits the definition.
pub(crate) fn advance_fitting(definition: &Definition, run: Run, event: Event) -> (Run, Vec<Command>) {
    let is_redriven = event.happened == Happened::Redriven;
    let may_be_redriven = matches!(run.ending, Some(Ending::Failed(_) | Ending::Aborted(_) | Ending::TimedOut(_)));
    if is_redriven != run.ending.is_some() || is_redriven != may_be_redriven {
        return (run, Vec::new());
    }
    let Run { mut execution, given, limits, mut random, events, serial, mut deadline, mut thread, .. } = run;
    execution.redrive_count = execution.redrive_count.map(|count| count.saturating_add(u32::from(is_redriven)));
    random.stir(event.seed);
    let mut engine = Engine {
        execution: &execution,
        given: given.as_ref(),
        limits: &limits,
        random: RefCell::new(random),
        seed: event.seed,
        now: event.now_ms,
        events,
        serial,
        budget: TRANSITIONS_PER_ADVANCE,
        has_more: false,
        is_over: false,
        commands: Vec::new(),
    };
    let place = Place::root(definition.machine());
    let mut ending = None;
    match event.happened {
        Happened::Started if engine.events == 0 => {
            engine.record(Entry { input: Some(execution.input.clone()), ..Entry::new("ExecutionStarted") });
            deadline = definition.timeout_seconds().map(|seconds| engine.set_timer(&[], after(event.now_ms, seconds)));
            engine.go(&mut thread, place);
        }
        Happened::Started => {}
        Happened::Redriven => {
            engine.record(Entry::new("ExecutionRedriven"));
            deadline = definition.timeout_seconds().map(|seconds| engine.set_timer(&[], after(event.now_ms, seconds)));
            thread.redrive();
            engine.go(&mut thread, place);
        }
        Happened::Continued => engine.go(&mut thread, place),
        Happened::Stopped { error, cause } => {
            let failure = Failure { error, cause, location: None };
            ending = Some((Ending::Aborted(failure.clone()), Entry::failed("ExecutionAborted", &failure)));
        }
        Happened::TimerFired { timer } if timer.path.is_empty() && Some(timer.serial) == deadline => {
            deadline = None;
            let failure = Failure { error: Some(names::TIMEOUT.to_owned()), cause: None, location: None };
            ending = Some((Ending::TimedOut(failure.clone()), Entry::failed("ExecutionTimedOut", &failure)));
        }
        Happened::TimerFired { timer } => {
            engine.deliver(&mut thread, place, &timer.path.clone(), deliver::News::Timer(timer.serial))
        }
        Happened::TaskSubmitted { task, output } => {
            deliver(&mut engine, &mut thread, place, task, deliver::What::Submitted(output))
        }
        Happened::TaskHeartbeat { task } => deliver(&mut engine, &mut thread, place, task, deliver::What::Heartbeat),
        Happened::TaskSucceeded { task, output } => {
            deliver(&mut engine, &mut thread, place, task, deliver::What::Succeeded(output))
        }
        Happened::TaskFailed { task, error, cause } => {
            let failure = Failure { error, cause, location: None };
            deliver(&mut engine, &mut thread, place, task, deliver::What::Failed(failure));
        }
        Happened::TaskTimedOut { task } => deliver(&mut engine, &mut thread, place, task, deliver::What::TimedOut),
    }
    let ending = ending.or_else(|| settled(&engine, &thread));
    match &ending {
        Some((_, entry)) => {
            // Whatever is still under way is of no use to anybody.
            engine.cancel(&mut thread, &mut Vec::new(), false);
            if let Some(timer) = deadline.take() {
                engine.commands.push(Command::CancelTimer(Key { path: Vec::new(), serial: timer }));
            }
            engine.record(entry.clone());
        }
        None if engine.has_more => engine.commands.push(Command::Continue),
        None => {}
    }
    let Engine { random, events, serial, mut commands, .. } = engine;
    let random = random.into_inner();
    let ending = ending.map(|(ending, _)| ending);
    if let Some(ending) = &ending {
        commands.push(Command::Finish(ending.clone()));
    }
    if matches!(ending, Some(Ending::Succeeded { .. })) {
        // There is nothing to go back to, so it need not be kept.
        thread = Thread { variables: serde_json::Map::new(), item: None, at: At::Ended(Value::Null) };
    }
    let run = Run { execution, given, limits, random, events, serial, deadline, thread, ending };
    (run, commands)
}

fn deliver(engine: &mut Engine<'_>, thread: &mut Thread, place: Place<'_>, task: Key, what: deliver::What) {
    let Key { path, serial } = task;
    engine.deliver(thread, place, &path, deliver::News::Task(serial, what));
}

/// How the run has ended, where it has.
fn settled(engine: &Engine<'_>, thread: &Thread) -> Option<(Ending, Entry)> {
    let failed = |failure: Failure| {
        let entry = Entry::failed("ExecutionFailed", &failure);
        Some((Ending::Failed(Failure { location: None, ..failure }), entry))
    };
    match &thread.at {
        At::Ended(output) => {
            let entry = Entry::new("ExecutionSucceeded").with_output(output.clone());
            Some((Ending::Succeeded { output: output.clone() }, entry))
        }
        At::Failed(at) => failed(at.failure.clone()),
        _ if engine.is_over => {
            let most = engine.limits.history_events.unwrap_or(u64::MAX);
            failed(Failure::runtime(format!("The execution reached the maximum number of history events ({most}).")))
        }
        _ => None,
    }
}

/// So many seconds later.
pub(crate) fn after(now_ms: i64, seconds: u64) -> i64 {
    now_ms.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX / 1000).saturating_mul(1000))
}
