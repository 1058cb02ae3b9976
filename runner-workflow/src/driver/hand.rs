//! What a step asked for: tasks that are done, children that are started and stopped, a parent that is told.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use tokio::task::AbortHandle;

use super::carried::{Owed, Parent};
use super::inbox::{News, What};
use super::turn::{Active, PAUSES};
use super::{Done, Heart, Inner, Known, Start, Task};
use crate::command::{Happened, Invocation};
use crate::error::ErrorKind;
use crate::failure::{Failure, names};
use crate::resource::Pattern;
use crate::run::{Ending, Key};
use crate::store::{Digest, Search};

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
            let does = active.known.envelope.resource(owed.invocation.resource.text()).to_owned();
            let parent = active.carried.rest.parent.as_ref();
            let depth = parent.map_or(0, |parent| parent.depth);
            let doing = self.clone().do_task(active.summary.clone(), active.known.clone(), owed.clone(), does, depth);
            held.insert(key, self.under_way.spawn(doing).abort_handle());
        }
    }

    async fn do_task(
        self: Arc<Self>,
        execution: crate::store::Summary,
        known: Arc<Known>,
        owed: Owed,
        does: String,
        depth: u32,
    ) {
        let key = (execution.id.clone(), owed.invocation.task.clone());
        let (task, pattern) = (owed.invocation.task.clone(), owed.invocation.pattern);
        let news = match does.starts_with("workflow:") {
            true => match self.start_child(&execution.id, child_workflow(&does), &owed, depth).await {
                Some(news) => news,
                None => return,
            },
            false => {
                let Ok(_place) = self.places.acquire().await else { return };
                let heart = Heart { inner: Arc::downgrade(&self), execution: execution.id.clone(), task: task.clone() };
                let asked = Task {
                    execution: execution.id.clone(),
                    workflow: (execution.workflow, execution.version),
                    envelope: known.envelope.clone(),
                    resource: does,
                    invocation: owed.invocation,
                    deadline_ms: owed.deadline_ms,
                    heart,
                };
                let done = AssertUnwindSafe(self.tasks.invoke(asked)).catch_unwind().await;
                let panicked = |_| Done::failed("Runner.Internal", "whoever does the task panicked");
                match (pattern, done.unwrap_or_else(panicked)) {
                    // Its token brings the answer.
                    (Pattern::Callback, Done::Succeeded(output)) => {
                        News::from(Happened::TaskSubmitted { task, output: Some(output) })
                    }
                    (_, done) => News::from(done.of(task)),
                }
            }
        };
        self.hand.held().remove(&key);
        self.send(&key.0, news);
        if self.hand.behind.load(Ordering::SeqCst) {
            self.room.notify_one();
        }
    }

    /// Starts a child, once for each try of a task.
    async fn start_child(self: &Arc<Self>, parent: &str, name: &str, owed: &Owed, depth: u32) -> Option<News> {
        let invocation = &owed.invocation;
        let task = invocation.task.clone();
        let failed = |error: &str, cause: String| Some(News::from(Done::failed(error, cause).of(task.clone())));
        if depth >= DEPTH_MAX {
            let cause = format!("executions start each other {DEPTH_MAX} deep, and no deeper");
            return failed("Runner.LimitExceeded", cause);
        }
        let start = Start { input: invocation.arguments.clone(), name: Some(child_name(invocation)), version: None };
        let link = Parent {
            execution: parent.to_owned(),
            task: task.clone(),
            depth: depth + 1,
            waits: invocation.pattern == Pattern::Sync,
        };
        let mut pause = PAUSES.0;
        loop {
            match self.start(name, start.clone(), Some(link.clone())).await {
                Ok(started) => {
                    let child = started.execution.id;
                    return Some(News::from(What::ChildStarted { task, child }));
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    self.pause(parent, &error, &mut pause).await.ok()?;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return failed("Runner.NoWorkflow", error.to_string());
                }
                Err(error) => return failed("Runner.NotStarted", error.to_string()),
            }
        }
    }

    /// Tells a parent how its child has ended, and children that they are to stop.
    pub(super) fn relate(self: &Arc<Self>, active: &Active) {
        let rest = &active.carried.rest;
        let id = active.summary.id.clone();
        if let (true, Some(parent), Some(ending)) = (rest.is_to_tell, rest.parent.clone(), active.carried.run.ending())
        {
            let (inner, done) = (self.clone(), outcome(ending).of(parent.task));
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
            let does = active.known.envelope.resource(owed.invocation.resource.text());
            let search = Search {
                workflow: Some(child_workflow(does).to_owned()),
                name_prefix: Some(child_name(&owed.invocation)),
                ..Search::default()
            };
            let (inner, id, task) = (self.clone(), id.clone(), task.clone());
            self.under_way.spawn(async move {
                // Where the store fails, it is looked for when all that is owed is.
                let Ok(page) = inner.store.executions(search, NonZeroU32::MIN).await else {
                    return inner.look_again();
                };
                let child = page.found.into_iter().next().map(|summary| summary.id);
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

/// The workflow that a child runs: `workflow:NAME` or `workflow:NAME.sync`.
fn child_workflow(resource: &str) -> &str {
    let name = resource.strip_prefix("workflow:").unwrap_or(resource);
    name.strip_suffix(".sync").unwrap_or(name)
}

/// The name of a child, by which it is started once for each try of a task.
fn child_name(invocation: &Invocation) -> String {
    Digest::of(&invocation.idempotency_key).to_string()
}

/// How a child's end is a task's.
fn outcome(ending: &Ending) -> Done {
    let named = |failure: &Failure, otherwise: &str| {
        let error = failure.error.clone().or_else(|| Some(otherwise.to_owned()));
        Done::Failed(Failure { error, cause: failure.cause.clone(), location: None })
    };
    match ending {
        Ending::Succeeded { output } => Done::Succeeded(output.clone()),
        Ending::Failed(failure) => named(failure, names::TASK_FAILED),
        Ending::TimedOut(failure) => named(failure, names::TIMEOUT),
        Ending::Aborted(failure) => named(failure, "Runner.Stopped"),
    }
}
