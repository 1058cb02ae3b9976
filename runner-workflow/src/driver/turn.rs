//! One step of an execution: what happened goes into the machine, what comes out is committed, and then it is done.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::carried::{Carried, Owed, Parent, Rest, line};
use super::doer::Doer;
use super::inbox::{News, What};
use super::{Done, Inner, Known, Start, Started, check_name, digest_of};
use crate::command::{Command, Event, Happened};
use crate::context::Execution;
use crate::error::{Error, ErrorKind, Result};
use crate::machine::advance;
use crate::resource::Pattern;
use crate::run::{Ending, Key, RunState};
use crate::store::{Create, Created, Digest, Line, Status, Step, Summary};
use crate::weight::json_bytes;

/// Entries of the history that one commit has, unless one event makes more: those of a thousand states, so that what is in
/// memory stays small, and a commit is short.
const LINES_MAX: usize = 2_000;

/// Pauses between two tries of a store that fails, at first and at most.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// Bytes of states that stay in memory. Beyond it, a run is read again for each step.
const HOT_BYTES: usize = 64 << 20;

/// Bytes of a state from which on a step is made on a thread for it: below, handing it over takes longer.
const HEAVY_BYTES: usize = 64 << 10;

/// Runs that have something in hand.
#[derive(Default)]
pub(super) struct Hot(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    runs: HashMap<String, Active>,
    bytes: usize,
}

/// A run, as it was committed last.
pub(super) struct Active {
    pub(super) summary: Summary,
    revision: u64,
    pub(super) carried: Carried,
    pub(super) known: Arc<Known>,
    /// Bytes that it was written down in.
    bytes: usize,
}

/// What a step has made.
#[derive(Default)]
struct Made {
    lines: Vec<Line>,
    values: Vec<(Digest, String)>,
    /// Tasks to be given out, and tasks that nobody waits for any longer.
    given: Vec<Key>,
    cancelled: Vec<Key>,
    /// Whether there is something to commit.
    changed: bool,
    /// Whether a parent or children are to be told something.
    relates: bool,
}

/// Why something that happened does not happen to a run.
enum Refused {
    /// It makes no sense for it; the run stays as it is.
    Told(Box<Active>, Error),
    /// What is kept is not what the machine has made. The run in memory is gone, and the one in the store as it was.
    Lost(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Lost(error)
    }
}

impl Hot {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, id: &str) -> Option<Active> {
        let mut kept = self.kept();
        let active = kept.runs.remove(id)?;
        kept.bytes -= active.bytes;
        Some(active)
    }

    /// Keeps a run for its next step, if there is room.
    fn keep(&self, active: Active) {
        let mut kept = self.kept();
        if kept.bytes + active.bytes <= HOT_BYTES {
            kept.bytes += active.bytes;
            kept.runs.insert(active.summary.id.clone(), active);
        }
    }
}

impl Inner {
    /// Starts an execution.
    pub(super) async fn start(
        self: &Arc<Self>,
        workflow: &str,
        start: Start,
        parent: Option<Parent>,
    ) -> Result<Started> {
        if let Some(name) = &start.name {
            check_name("execution", name)?;
        }
        let most = self.settings.limits.payload_bytes;
        if json_bytes(&start.input, most).is_none() {
            let message = format!("the input of an execution has more than the {most} bytes that are allowed");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let version = self.store.workflow(workflow, start.version).await?.ok_or_else(|| {
            let version = start.version.map_or(String::new(), |version| format!(" with a version {version}"));
            let message = format!("there is no workflow `{}`{version}", workflow.escape_debug());
            Error::new(ErrorKind::NotFound, message)
        })?;
        let version = version.version.version;
        let known = self.known(workflow, version).await?;
        let now_ms = self.clock.now_ms();
        let id = self.new_id(now_ms)?;
        let name = start.name.unwrap_or_else(|| id.clone());
        let input = digest_of(&start.input);
        let execution = Execution {
            id: id.clone(),
            state_machine_id: format!("{workflow}@{version}"),
            ..Execution::new(workflow, &name, start.input, now_ms)
        };
        let run = RunState::new(&known.definition, execution, self.settings.limits.clone())
            .map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
        let summary = Summary {
            id: id.clone(),
            workflow: workflow.to_owned(),
            version,
            name: name.clone(),
            status: Status::Running,
            started_ms: now_ms,
            ended_ms: None,
        };
        let rest = Rest { parent, now_ms, ..Rest::default() };
        let bytes = json_bytes(&run.execution().input, HEAVY_BYTES).unwrap_or(HEAVY_BYTES);
        let active = Active { summary, revision: 0, carried: Carried { run, rest }, known, bytes };
        let (inner, heavy) = (self.clone(), active.is_heavy());
        let begin = move || {
            let mut made = Made::default();
            inner.happen(active, &mut made, Happened::Started).map(|active| (active, made))
        };
        let (mut active, mut made) = aside(heavy, begin).await??;
        let step = active.step(&mut made);
        let summary = active.summary.clone();
        let workflow = workflow.to_owned();
        let new = Create { id, workflow, version, name, started_ms: now_ms, input, step };
        // By itself: who asks may go away when it is kept, and nobody would do what it asks for.
        let inner = self.clone();
        let creating = self.under_way.spawn(async move {
            let created = inner.store.create(new).await;
            match &created {
                Ok(Created::New) => inner.after(active, made),
                Ok(Created::Exists(..)) => {}
                // It may be there all the same.
                Err(_) => inner.look_again(),
            }
            created
        });
        let gone = |error| Error::unavailable("the start was cut off").caused_by(error);
        match creating.await.map_err(gone)?? {
            Created::New => Ok(Started { execution: summary, is_new: true }),
            Created::Exists(execution, other) if other == input => Ok(Started { execution, is_new: false }),
            Created::Exists(execution, _) => {
                let Summary { name, workflow, id, .. } = execution;
                let message = format!(
                    "an execution `{name}` of the workflow `{workflow}` was started with another input: it is `{id}`"
                );
                Err(Error::new(ErrorKind::Exists, message))
            }
        }
    }

    /// Takes news of an execution.
    pub(super) async fn turn(self: &Arc<Self>, id: &str, together: Vec<News>) {
        let (mut whats, mut reply) = (Vec::new(), None);
        for news in together {
            whats.push(news.what);
            reply = reply.or(news.reply);
        }
        let waits = reply.is_some();
        let done = self.step(id, whats, waits).await;
        match (reply, done) {
            (Some(reply), done) => drop(reply.send(done)),
            (None, Err(error)) => tracing::error!(execution = id, %error, "a step of an execution was not made"),
            (None, Ok(())) => {}
        }
    }

    /// Makes a step. Where somebody waits for it, a store that fails is told; else it is tried until it does its part.
    async fn step(self: &Arc<Self>, id: &str, whats: Vec<What>, waits: bool) -> Result<()> {
        let mut pause = PAUSES.0;
        let active = loop {
            match self.active(id).await {
                Ok(Some(active)) => break active,
                Ok(None) => return Err(Error::no_execution(id)),
                Err(error) if waits || error.kind() != ErrorKind::Unavailable => return Err(error),
                Err(error) => self.pause(id, &error, &mut pause).await?,
            }
        };
        let (inner, heavy) = (self.clone(), active.is_heavy());
        let worked = aside(heavy, move || inner.work(active, whats)).await?;
        let (mut active, mut made) = match worked {
            Ok(worked) => worked,
            Err(Refused::Told(active, error)) => {
                self.cool(*active);
                return Err(error);
            }
            Err(Refused::Lost(error)) => return Err(error),
        };
        if !made.changed {
            self.give(&active, &made.given);
            if made.relates {
                self.relate(&active);
            }
            self.cool(active);
            return Ok(());
        }
        let (revision, step) = (active.revision, Arc::new(active.step(&mut made)));
        let mut failed = false;
        loop {
            match self.store.commit(id, revision, step.clone()).await {
                Ok(()) => break,
                // The answer to an earlier try may have been lost.
                Err(error) if failed && error.kind() == ErrorKind::Conflict && self.is_there(id, &step).await? => break,
                Err(error) if waits || error.kind() != ErrorKind::Unavailable => {
                    // It may be there all the same.
                    self.look_again();
                    return Err(error);
                }
                Err(error) => {
                    failed = true;
                    self.pause(id, &error, &mut pause).await?;
                }
            }
        }
        self.after(active, made);
        Ok(())
    }

    pub(super) async fn pause(&self, id: &str, error: &Error, pause: &mut Duration) -> Result<()> {
        tracing::warn!(execution = id, %error, "the store fails, and is tried again");
        tokio::select! {
            () = tokio::time::sleep(*pause) => {}
            () = self.ending.cancelled() => return Err(Error::unavailable("the host is ending")),
        }
        *pause = (*pause * 2).min(PAUSES.1);
        Ok(())
    }

    async fn is_there(&self, id: &str, step: &Step) -> Result<bool> {
        Ok(self.store.execution(id).await?.is_some_and(|kept| kept.state == step.state))
    }

    /// The run of an execution.
    async fn active(&self, id: &str) -> Result<Option<Active>> {
        if let Some(active) = self.hot.take(id) {
            return Ok(Some(active));
        }
        let Some(kept) = self.store.execution(id).await? else { return Ok(None) };
        let known = self.known(&kept.summary.workflow, kept.summary.version).await?;
        let carried = Carried::read(&*self.store, id, &kept.state, &known.definition).await?;
        let (summary, revision, bytes) = (kept.summary, kept.revision, kept.state.len());
        Ok(Some(Active { summary, revision, carried, known, bytes }))
    }

    /// Takes news, one after the other. One that is alone and refused has changed nothing.
    fn work(&self, mut active: Active, whats: Vec<What>) -> Result<(Active, Made), Refused> {
        let (mut made, count) = (Made::default(), whats.len());
        for what in whats {
            active = match self.take(active, &mut made, what) {
                Err(Refused::Told(active, error)) if count > 1 => {
                    tracing::debug!(execution = active.summary.id, %error, "news of an execution came too late");
                    *active
                }
                taken => taken?,
            };
        }
        Ok((active, made))
    }

    /// Takes one of the news.
    fn take(&self, mut active: Active, made: &mut Made, what: What) -> Result<Active, Refused> {
        let ended = active.summary.ended_ms.is_some();
        let rest = &mut active.carried.rest;
        let happened = match what {
            What::Happened(happened) => {
                let wrong = match &happened {
                    Happened::Stopped { .. } if ended => Some("has ended already"),
                    Happened::Redriven if !ended => {
                        Some("runs: only one that has failed, timed out or was stopped goes on from there")
                    }
                    Happened::Redriven if active.summary.status == Status::Succeeded => {
                        Some("has succeeded: there is nothing to go back to")
                    }
                    _ => None,
                };
                if let Some(wrong) = wrong {
                    let message = format!("the execution `{}` {wrong}", active.summary.id);
                    return Err(Refused::Told(Box::new(active), Error::new(ErrorKind::State, message)));
                }
                happened
            }
            What::Token { token, done } => {
                let Some(task) = active.carried.run.task_of(&token) else {
                    let error = Error::new(ErrorKind::NotFound, "no task with this token is waited for");
                    return Err(Refused::Told(Box::new(active), error));
                };
                match done {
                    None => Happened::TaskHeartbeat { task },
                    Some(done) => done.of(task),
                }
            }
            What::Due => return Ok(self.fire(active, made)?),
            What::Owed => {
                made.given.extend(rest.owed.keys().cloned());
                made.relates = true;
                match std::mem::take(&mut rest.has_more) {
                    true => Happened::Continued,
                    false => return Ok(active),
                }
            }
            What::ChildStarted { task, child } => match rest.owed.remove(&task) {
                Some(Owed { invocation, .. }) => {
                    let output = json!({ "ExecutionArn": child, "StartDate": crate::time::format(rest.now_ms) });
                    match invocation.pattern {
                        Pattern::Sync => {
                            rest.children.insert(task.clone(), child);
                            Happened::TaskSubmitted { task, output: Some(output) }
                        }
                        // Its token brings the answer.
                        Pattern::Callback => Happened::TaskSubmitted { task, output: Some(output) },
                        Pattern::RequestResponse => Happened::TaskSucceeded { task, output },
                    }
                }
                None => {
                    // Otherwise it was said before.
                    if rest.orphans.remove(&task).is_some() {
                        rest.stops.push(child);
                        (made.changed, made.relates) = (true, true);
                    }
                    return Ok(active);
                }
            },
            What::NoChild { task } => {
                made.changed |= rest.orphans.remove(&task).is_some();
                return Ok(active);
            }
            What::Told => {
                made.changed |= std::mem::take(&mut rest.is_to_tell);
                return Ok(active);
            }
            What::Stopped { child } => {
                let before = rest.stops.len();
                rest.stops.retain(|stopped| *stopped != child);
                made.changed |= rest.stops.len() < before;
                return Ok(active);
            }
        };
        Ok(self.happen(active, made, happened)?)
    }

    /// Fires what is due.
    fn fire(&self, mut active: Active, made: &mut Made) -> Result<Active> {
        let now_ms = self.clock.now_ms();
        loop {
            let timers = &mut active.carried.rest.timers;
            let due = timers.iter().filter(|(_, at_ms)| **at_ms <= now_ms).min_by_key(|(_, at_ms)| **at_ms);
            let Some((timer, _)) = due.map(|(timer, at_ms)| (timer.clone(), *at_ms)) else { return Ok(active) };
            timers.remove(&timer);
            made.changed = true;
            active = self.happen(active, made, Happened::TimerFired { timer })?;
        }
    }

    /// Has the machine say what comes of something.
    fn happen(&self, mut active: Active, made: &mut Made, happened: Happened) -> Result<Active> {
        let mut next = Some(happened);
        while let Some(happened) = next.take() {
            let Active { mut summary, carried: Carried { run, mut rest }, known, revision, bytes } = active;
            match &happened {
                Happened::TaskSucceeded { task, .. }
                | Happened::TaskFailed { task, .. }
                | Happened::TaskTimedOut { task }
                | Happened::TaskSubmitted { task, .. } => {
                    made.changed |= rest.owed.remove(task).is_some() || rest.orphans.remove(task).is_some();
                    if !matches!(happened, Happened::TaskSubmitted { .. }) {
                        made.changed |= rest.children.remove(task).is_some();
                    }
                }
                Happened::Redriven => {
                    (summary.status, summary.ended_ms) = (Status::Running, None);
                    // Who waited has been told.
                    rest.is_to_tell = false;
                }
                _ => {}
            }
            // The clock may have been set back: a history does not go back.
            let now_ms = self.clock.now_ms().max(rest.now_ms);
            let event = Event { now_ms, seed: seed()?, happened };
            let (run, commands) =
                advance(&known.definition, run, event).map_err(|error| Error::damaged(error.to_string()))?;
            made.changed |= !commands.is_empty();
            for command in commands {
                made.obey(command, now_ms, &mut rest, &mut summary, &known);
            }
            if rest.has_more && made.lines.len() < LINES_MAX {
                rest.has_more = false;
                next = Some(Happened::Continued);
            }
            active = Active { summary, carried: Carried { run, rest }, known, revision, bytes };
        }
        Ok(active)
    }

    /// A step is committed: what it asks for is done.
    fn after(self: &Arc<Self>, mut active: Active, made: Made) {
        active.revision += 1;
        let id = active.summary.id.clone();
        if let Some(news) = self.watched().get(&id) {
            news.send_replace((active.carried.run.history_events(), active.summary.ended_ms.is_some()));
        }
        if active.carried.rest.due_ms().is_some_and(|due| due < self.next_due()) {
            self.sooner.notify_one();
        }
        for task in &made.cancelled {
            self.hand.drop(&id, task);
        }
        self.give(&active, &made.given);
        if active.carried.rest.has_more {
            self.send(&id, News::from(What::Owed));
        }
        if made.relates {
            self.relate(&active);
        }
        self.cool(active);
    }

    /// Keeps a run in memory where it will be needed soon.
    fn cool(&self, active: Active) {
        let rest = &active.carried.rest;
        if !rest.owed.is_empty() || rest.has_more {
            self.hot.keep(active);
        }
    }
}

impl Active {
    /// Whether a step of it may take so long that nobody else should wait for it: an expression may take a second, and a
    /// thousand states go with a value through as many hands.
    fn is_heavy(&self) -> bool {
        self.known.has_jsonata || self.bytes >= HEAVY_BYTES
    }

    /// What is to be committed.
    fn step(&mut self, made: &mut Made) -> Step {
        let state = self.carried.write(&mut made.values);
        self.bytes = state.len();
        Step {
            status: self.summary.status,
            ended_ms: self.summary.ended_ms,
            state,
            owes: self.carried.rest.owes(),
            due_ms: self.carried.rest.due_ms(),
            history: std::mem::take(&mut made.lines),
            values: std::mem::take(&mut made.values),
        }
    }
}

impl Made {
    fn obey(&mut self, command: Command, now_ms: i64, rest: &mut Rest, summary: &mut Summary, known: &Known) {
        match command {
            Command::Invoke(invocation) | Command::StartChild(invocation) => {
                let task = invocation.task.clone();
                let deadline_ms = invocation.timeout_seconds.map(|seconds| crate::machine::after(now_ms, seconds));
                self.given.push(task.clone());
                rest.owed.insert(task, Owed { invocation, deadline_ms });
            }
            Command::CancelTask(task) => {
                if let Some(owed) = rest.owed.remove(&task) {
                    let was_given = self.given.len();
                    self.given.retain(|given| *given != task);
                    let invocation = &owed.invocation;
                    let doer = Doer::of(&known.envelope, &invocation.resource, &invocation.arguments);
                    let is_child = doer.is_ok_and(|doer| doer.child().is_some());
                    match is_child && self.given.len() == was_given {
                        true => drop(rest.orphans.insert(task, owed)),
                        false => self.cancelled.push(task),
                    }
                } else if let Some(child) = rest.children.remove(&task) {
                    rest.stops.push(child);
                    self.relates = true;
                }
            }
            Command::SetTimer { timer, at_ms } => drop(rest.timers.insert(timer, at_ms)),
            Command::CancelTimer(timer) => drop(rest.timers.remove(&timer)),
            Command::Record(event) => {
                rest.now_ms = event.at_ms;
                self.lines.push(line(event, &mut self.values));
            }
            Command::Continue => rest.has_more = true,
            Command::Finish(ending) => {
                summary.status = match ending {
                    Ending::Succeeded { .. } => Status::Succeeded,
                    Ending::Failed(_) => Status::Failed,
                    Ending::TimedOut(_) => Status::TimedOut,
                    Ending::Aborted(_) => Status::Aborted,
                };
                summary.ended_ms = Some(now_ms);
                rest.timers.clear();
                rest.has_more = false;
                rest.is_to_tell = rest.parent.as_ref().is_some_and(|parent| parent.waits);
                self.relates |= rest.is_to_tell;
            }
        }
    }
}

impl Done {
    pub(super) fn of(self, task: Key) -> Happened {
        match self {
            Self::Succeeded(output) => Happened::TaskSucceeded { task, output },
            Self::Failed(failure) => Happened::TaskFailed { task, error: failure.error, cause: failure.cause },
            Self::TimedOut => Happened::TaskTimedOut { task },
        }
    }
}

/// Does something in place, or on a thread that may be kept. Whatever the machine meets, it takes nobody with it.
async fn aside<T: Send + 'static>(heavy: bool, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let work = move || std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let done = match heavy {
        true => tokio::task::spawn_blocking(work).await,
        false => Ok(work()),
    };
    let cut_off = |error| Error::unavailable("a step was cut off").caused_by(error);
    done.map_err(cut_off)?.map_err(|_| Error::damaged("the machine panicked: a run is not what it can be"))
}

/// A number that nobody can foresee.
fn seed() -> Result<u128> {
    let mut bytes = [0; 16];
    let given = getrandom::fill(&mut bytes);
    given.map_err(|error| Error::unavailable(format!("the machine has no chance to give: {error}")))?;
    Ok(u128::from_le_bytes(bytes))
}

impl Inner {
    /// An identity that is greater than those of before: a UUID of version 7 (RFC 9562).
    fn new_id(&self, now_ms: i64) -> Result<String> {
        let moment = self.moment(now_ms);
        let (ms, within) = (moment >> 12, moment & 0xfff);
        let random = seed()? & (u128::MAX >> 66);
        let bits = (u128::from(ms) << 80) | (7 << 76) | (u128::from(within) << 64) | (2 << 62) | random;
        let text = format!("{bits:032x}");
        Ok(format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]))
    }
}

/// How many executions are looked at together.
pub(super) const TOGETHER: NonZeroU32 = NonZeroU32::new(64).expect("it is not zero");
