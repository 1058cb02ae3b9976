//! What a step asked for: tasks that are done, children that are started and stopped, a parent that is told.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::task::AbortHandle;

use super::carried::{Owed, Parent, parent_of};
use super::doer::Doer;
use super::inbox::{News, What};
use super::turn::{Active, PAUSES, TOGETHER};
use super::{Done, Heart, Inner, Known, Start, Task};
use crate::command::{Happened, Invocation};
use crate::error::{Error, ErrorKind, Result};
use crate::resource::Pattern;
use crate::run::Key;
use crate::store::{Digest, Search, Summary};

/// How deep executions may start each other: one that starts itself ends.
const DEPTH_MAX: u32 = 32;

/// Tasks that somebody in this process has, by execution.
pub(super) struct Hand {
    held: Mutex<HashMap<(String, Key), AbortHandle>>,
    /// There are tasks that only the store knows.
    pub(super) behind: AtomicBool,
}

impl Default for Hand {
    /// A process before this one may have left some.
    fn default() -> Self {
        Self { held: Mutex::default(), behind: AtomicBool::new(true) }
    }
}

impl Hand {
    fn held(&self) -> MutexGuard<'_, HashMap<(String, Key), AbortHandle>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.held().len()
    }

    /// Nobody waits for a task any longer.
    pub(super) fn drop(&self, execution: &str, task: &Key) {
        if let Some(held) = self.held().remove(&(execution.to_owned(), task.clone())) {
            held.abort();
        }
    }

    pub(super) fn drop_all(&self) {
        self.held().drain().for_each(|(_, held)| held.abort());
    }
}

impl Inner {
    /// Gives tasks out that nobody has in hand.
    pub(super) fn give(self: &Arc<Self>, active: &Active, tasks: &[Key]) {
        for task in tasks {
            let Some(owed) = active.carried.rest.owed.get(task) else { continue };
            let key = (active.summary.id.clone(), task.clone());
            let mut held = self.hand.held();
            if held.contains_key(&key) || self.ending.is_cancelled() {
                continue;
            }
            if held.len() >= self.settings.waiting_max {
                self.hand.behind.store(true, Ordering::SeqCst);
                return;
            }
            let parent = active.carried.rest.parent.as_ref();
            let depth = parent.map_or(0, |parent| parent.depth);
            let doing = self.clone().do_task(active.summary.clone(), active.known.clone(), owed.clone(), depth);
            held.insert(key, self.under_way.spawn(doing).abort_handle());
        }
    }

    async fn do_task(self: Arc<Self>, execution: Summary, known: Arc<Known>, owed: Owed, depth: u32) {
        let id = execution.id.clone();
        let task = owed.invocation.task.clone();
        let doer = Doer::of(&known.envelope, &owed.invocation.resource, &owed.invocation.arguments);
        let news = match &doer {
            Err(nobody) => Some(News::from(Done::failed(nobody.error, &nobody.cause).of(task.clone()))),
            Ok(doer) => match doer.child() {
                Some(workflow) => self.start_child(&id, workflow, doer, &owed, depth).await,
                None => self.have_done(execution, &known, doer, &owed).await,
            },
        };
        let Some(news) = news else { return };
        self.hand.held().remove(&(id.clone(), task));
        self.send(&id, news);
        if self.hand.behind.load(Ordering::SeqCst) {
            self.room.notify_one();
        }
    }

    /// Has a task done by whoever does tasks; `None` where this host ends before.
    async fn have_done(
        self: &Arc<Self>,
        execution: Summary,
        known: &Known,
        doer: &Doer<'_>,
        owed: &Owed,
    ) -> Option<News> {
        let _place = self.places.acquire().await.ok()?;
        let (task, pattern) = (owed.invocation.task.clone(), owed.invocation.pattern);
        let heart = Heart { inner: Arc::downgrade(self), execution: execution.id.clone(), task: task.clone() };
        let left = |deadline_ms: i64| u64::try_from(deadline_ms.saturating_sub(self.clock.now_ms())).unwrap_or(0);
        let asked = Task {
            execution: execution.id,
            workflow: (execution.workflow, execution.version),
            envelope: known.envelope.clone(),
            resource: doer.resource.clone().into_owned(),
            invocation: Invocation { arguments: doer.arguments.clone().into_owned(), ..owed.invocation.clone() },
            deadline_ms: owed.deadline_ms,
            time_left: owed.deadline_ms.map(left).map(Duration::from_millis),
            heart,
        };
        let done = AssertUnwindSafe(self.tasks.invoke(asked)).catch_unwind().await;
        let panicked = |_| Done::failed("Runner.Internal", "whoever does the task panicked");
        Some(match (pattern, doer.told.of(done.unwrap_or_else(panicked))) {
            // Its token brings the answer.
            (Pattern::Callback, Done::Succeeded(output)) => {
                News::from(Happened::TaskSubmitted { task, output: Some(output) })
            }
            (_, done) => News::from(done.of(task)),
        })
    }

    /// Starts a child, once for each try of a task; `None` where this host ends before.
    async fn start_child(
        self: &Arc<Self>,
        parent: &str,
        workflow: &str,
        doer: &Doer<'_>,
        owed: &Owed,
        depth: u32,
    ) -> Option<News> {
        let invocation = &owed.invocation;
        let task = invocation.task.clone();
        let failed = |error: &str, cause: String| Some(News::from(Done::failed(error, cause).of(task.clone())));
        if depth >= DEPTH_MAX {
            let cause = format!("executions start each other {DEPTH_MAX} deep, and no deeper");
            return failed("Runner.LimitExceeded", cause);
        }
        let name = child_name(doer, invocation);
        let start = Start { input: doer.arguments.clone().into_owned(), name: Some(name), version: None };
        let link = Parent {
            execution: parent.to_owned(),
            task: task.clone(),
            depth: depth + 1,
            waits: invocation.pattern == Pattern::Sync,
            told: doer.told,
        };
        let mut pause = PAUSES.0;
        loop {
            match self.start_own_child(workflow, start.clone(), &link).await {
                Ok(child) => return Some(News::from(What::ChildStarted { task, child })),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    self.pause(parent, &error, &mut pause).await.ok()?;
                }
                Err(error) => {
                    let is_aws = invocation.resource.kind() == "states";
                    let name = match error.kind() {
                        ErrorKind::NotFound if is_aws => "StepFunctions.StateMachineDoesNotExistException",
                        ErrorKind::Exists if is_aws => "StepFunctions.ExecutionAlreadyExistsException",
                        ErrorKind::NotFound => "Runner.NotFound",
                        _ => "Runner.Invalid",
                    };
                    return failed(name, error.to_string());
                }
            }
        }
    }

    /// Starts a child, or finds it started; not one of the same name that somebody else has started.
    async fn start_own_child(self: &Arc<Self>, workflow: &str, start: Start, link: &Parent) -> Result<String> {
        let started = self.start(workflow, start, Some(link.clone())).await?;
        let Summary { id, name, .. } = started.execution;
        if !started.is_new && !self.is_child(&id, &link.execution, &link.task).await? {
            let message = format!("an execution `{name}` of the workflow `{workflow}` is there already: it is `{id}`");
            return Err(Error::new(ErrorKind::Exists, message));
        }
        Ok(id)
    }

    /// Whether an execution was started by a task of another.
    async fn is_child(&self, id: &str, of: &str, task: &Key) -> Result<bool> {
        let Some(kept) = self.store.execution(id).await? else { return Ok(false) };
        let parent = parent_of(id, &kept.state)?;
        Ok(parent.is_some_and(|parent| parent.execution == of && parent.task == *task))
    }

    /// The child of a task of which it is not known whether there is one.
    async fn find_child(&self, workflow: String, name: String, of: &str, task: &Key) -> Result<Option<String>> {
        let mut search = Search { workflow: Some(workflow), name_prefix: Some(name.clone()), ..Search::default() };
        loop {
            let page = self.store.executions(search.clone(), TOGETHER).await?;
            if let Some(child) = page.found.iter().find(|child| child.name == name) {
                return Ok(self.is_child(&child.id, of, task).await?.then(|| child.id.clone()));
            }
            search.after = page.found.last().map(|last| last.id.clone());
            if !page.more || search.after.is_none() {
                return Ok(None);
            }
        }
    }

    /// Tells a parent how its child has ended, and children that they are to stop.
    pub(super) fn relate(self: &Arc<Self>, active: &Active) {
        let rest = &active.carried.rest;
        let id = active.summary.id.clone();
        if let (true, Some(parent), Some(ending)) = (rest.is_to_tell, rest.parent.clone(), active.carried.run.ending())
        {
            let ended = parent.told.ended(&active.summary, &active.carried.run.execution().input, ending);
            let (inner, done) = (self.clone(), ended.of(parent.task));
            let id = id.clone();
            self.under_way.spawn(async move {
                // A parent that waits no longer, or is gone, knows enough.
                if inner.tell(&parent.execution, done).await {
                    inner.send(&id, News::from(What::Told));
                }
            });
        }
        for (task, owed) in &rest.orphans {
            // Whoever has it says what came of it.
            if self.hand.held().contains_key(&(id.clone(), task.clone())) {
                continue;
            }
            let doer = Doer::of(&active.known.envelope, &owed.invocation.resource, &owed.invocation.arguments);
            let Ok(Some((workflow, doer))) = doer.map(|doer| Some((doer.child()?.to_owned(), doer))) else { continue };
            let name = child_name(&doer, &owed.invocation);
            let (inner, id, task) = (self.clone(), id.clone(), task.clone());
            self.under_way.spawn(async move {
                // Where the store fails, it is looked for when all that is owed is.
                let Ok(child) = inner.find_child(workflow, name, &id, &task).await else {
                    return inner.look_again();
                };
                let none = What::NoChild { task: task.clone() };
                inner.send(&id, News::from(child.map_or(none, |child| What::ChildStarted { task, child })));
            });
        }
        for child in rest.stops.clone() {
            let (inner, id) = (self.clone(), id.clone());
            self.under_way.spawn(async move {
                let cause = Some("the execution that had started it waits for it no longer".to_owned());
                let stop = Happened::Stopped { error: Some("Runner.Cancelled".to_owned()), cause };
                // One that has ended by itself, or is gone, need not be.
                if inner.tell(&child, stop).await {
                    inner.send(&id, News::from(What::Stopped { child }));
                }
            });
        }
    }

    /// Tells another execution something, for as long as it takes the store; false where this host ends before.
    async fn tell(self: &Arc<Self>, id: &str, happened: Happened) -> bool {
        let mut pause = PAUSES.0;
        loop {
            match self.ask(id, happened.clone()).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    if self.pause(id, &error, &mut pause).await.is_err() {
                        return false;
                    }
                }
                _ => return true,
            }
        }
    }
}

/// The name of a child, by which it is started once for each try of a task: the one that it is to have, or one of its own.
fn child_name(doer: &Doer<'_>, invocation: &Invocation) -> String {
    doer.name.clone().unwrap_or_else(|| Digest::of(&invocation.idempotency_key).to_string())
}
