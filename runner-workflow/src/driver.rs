//! What carries executions on: it takes what happened to one, has the machine say what comes of it, commits that, and then has
//! it done. Nobody else here awaits.
//!
//! From below: [`tasks`] is who does tasks, and `doer` who does which; `carried` is what is kept of a run between two steps; `inbox` lets one step of an
//! execution follow the other; `turn` makes a step; `hand` does what a step asked for; `tend` looks after time, and after
//! what a process before this one has left.

mod carried;
mod doer;
mod hand;
mod inbox;
mod tasks;
mod tend;
mod turn;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, SystemClock};
use crate::command::Happened;
use crate::definition::{Definition, Language};
use crate::envelope::Envelope;
use crate::error::{Error, ErrorKind, Result};
use crate::history::HistoryEvent;
use crate::limits::{Limits, VALUE_BYTES};
use crate::run::{Ending, Key, Waiting};
use crate::state::Kind;
use crate::store::{Digest, Page, Search, Store, Summary, Version};
use crate::token;

pub use self::tasks::{Done, Task, Tasks};

use self::doer::Doer;
use self::hand::Hand;
use self::inbox::{Inbox, News};
use self::turn::Hot;

/// How many characters the name of a workflow or of an execution may have, as on AWS.
const NAME_CHARS: usize = 80;

/// Numbers of a [`Workflows`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tasks that are done at the same time; the others wait for their turn. 256: a task may wait for somebody else most of its
    /// time.
    pub tasks_max: usize,
    /// Tasks that wait for their turn in memory; of those beyond it, the store knows. 10,000.
    pub waiting_max: usize,
    /// How long an execution is kept after it has ended. 90 days, as on AWS.
    pub retention: Duration,
    /// What bounds a run. No end of the history, and values of 8 MiB.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tasks_max: 256,
            waiting_max: 10_000,
            retention: Duration::from_secs(90 * 24 * 60 * 60),
            limits: Limits { payload_bytes: VALUE_BYTES, history_events: None },
        }
    }
}

/// Workflows and their executions: kept in a store, carried on as long as this is there. Clones are the same.
///
/// ```
#[doc = include_str!("../examples/durable.rs")]
/// ```
///
/// One process at a time carries on the executions of a store. What was answered outlives a kill: an execution goes on where its
/// last step was committed, and a task that had not answered is done again.
#[derive(Clone)]
pub struct Workflows(Arc<Held>);

/// Ends all when nobody has it any more: what is under way has the rest, and not this.
struct Held(Arc<Inner>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Inner {
    store: Arc<dyn Store>,
    tasks: Arc<dyn Tasks>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    inbox: Inbox,
    /// Runs that have tasks in hand: they need not be read again.
    hot: Hot,
    hand: Hand,
    /// Definitions that were parsed, by workflow and version.
    known: Mutex<HashMap<(String, u32), Arc<Known>>>,
    /// Who waits for news of an execution: the number of its newest entry, and whether it has ended.
    watched: Mutex<HashMap<String, watch::Sender<(u64, bool)>>>,
    places: Arc<Semaphore>,
    /// Something is due earlier than was known.
    sooner: Notify,
    /// There is room for tasks that only the store knows.
    room: Notify,
    /// When something is due next, as far as whoever waits for it knows.
    next_due: AtomicI64,
    /// The last moment that an identity was made of.
    last_moment: AtomicU64,
    ending: CancellationToken,
    under_way: TaskTracker,
}

/// A version of a workflow, parsed.
struct Known {
    envelope: Arc<Envelope>,
    definition: Definition,
    has_jsonata: bool,
}

/// Versions that stay parsed: as many as a busy host runs at the same time.
const KNOWN_MAX: usize = 256;

/// How an execution is started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// What it works with.
    pub input: Value,
    /// Its name, by which it is started once; otherwise it has one of its own.
    pub name: Option<String>,
    /// The version that it runs; otherwise the newest.
    pub version: Option<u32>,
}

/// What became of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The execution.
    pub execution: Summary,
    /// Whether it is new: otherwise it had been started by this name, with the same input.
    pub is_new: bool,
}

/// All that is known of an execution.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    /// What it is.
    #[serde(flatten)]
    pub summary: Summary,
    /// What it was started with.
    pub input: Value,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// What it waits for, and until when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// How often it went on from where it had failed.
    pub redrives: u32,
    /// How many entries its history has.
    pub history_events: u64,
}

/// Says of a task that it is still alive.
#[derive(Clone)]
pub struct Heart {
    inner: std::sync::Weak<Inner>,
    execution: String,
    task: Key,
}

impl std::fmt::Debug for Heart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heart").field("execution", &self.execution).field("task", &self.task).finish_non_exhaustive()
    }
}

impl Heart {
    /// It is still alive. Somebody who is gone is not told.
    pub fn beat(&self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.send(&self.execution, News::from(Happened::TaskHeartbeat { task: self.task.clone() }));
        }
    }
}

impl Workflows {
    /// Begins to carry on what a store has, within the runtime that it is called in.
    pub fn start(store: impl Store, tasks: impl Tasks, settings: Settings) -> Self {
        Self::start_with_clock(Arc::new(store), Arc::new(tasks), settings, Arc::new(SystemClock))
    }

    /// The same on a clock that a test may wind.
    pub fn start_with_clock(
        store: Arc<dyn Store>,
        tasks: Arc<dyn Tasks>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(settings.tasks_max.min(Semaphore::MAX_PERMITS)));
        let inner = Arc::new(Inner {
            store,
            tasks,
            clock,
            settings,
            inbox: Inbox::default(),
            hot: Hot::default(),
            hand: Hand::default(),
            known: Mutex::default(),
            watched: Mutex::default(),
            places,
            sooner: Notify::new(),
            room: Notify::new(),
            next_due: AtomicI64::new(i64::MAX),
            last_moment: AtomicU64::new(0),
            ending: CancellationToken::new(),
            under_way: TaskTracker::new(),
        });
        inner.tend();
        Self(Arc::new(Held(inner)))
    }

    /// Ends: no task is begun, those that are under way are dropped, to be done again by the next process, and what is being
    /// committed is.
    pub async fn shutdown(&self) {
        self.0.0.end();
        self.0.0.under_way.close();
        self.0.0.under_way.wait().await;
    }

    /// Puts an envelope, as the next version of a workflow; answers which.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a name or an envelope that is none, a definition that is wrong, and a task that nobody
    /// does: the message has all complaints.
    pub async fn put(&self, name: &str, envelope: &str) -> Result<u32> {
        check_name("workflow", name)?;
        let parsed = Known::parse(envelope)?;
        let wrong = self.0.0.undoable(&parsed).await;
        if !wrong.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, wrong.join("; ")));
        }
        let version = self.0.0.store.put_workflow(name, envelope, self.0.0.clock.now_ms()).await?;
        Ok(version)
    }

    /// A version of a workflow, the newest without a number: when it was put, and its envelope.
    pub async fn workflow(&self, name: &str, version: Option<u32>) -> Result<Option<(Version, String)>> {
        let found = self.0.0.store.workflow(name, version).await?;
        Ok(found.map(|workflow| (workflow.version, workflow.text)))
    }

    /// The newest versions of all workflows behind a name, by name.
    pub async fn workflows(&self, after: Option<&str>, limit: NonZeroU32) -> Result<Page<Version>> {
        self.0.0.store.workflows(after, limit).await
    }

    /// Removes a workflow; answers whether it was there. Its executions go on.
    pub async fn remove(&self, name: &str) -> Result<bool> {
        self.0.0.store.remove_workflow(name).await
    }

    /// Starts an execution. It is kept when this answers, and goes on by itself.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without such a workflow, [`Exists`](ErrorKind::Exists) where an execution of this name was
    /// started with another input.
    pub async fn execute(&self, workflow: &str, start: Start) -> Result<Started> {
        self.0.0.start(workflow, start, None).await
    }

    /// What is known of an execution.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without it.
    pub async fn describe(&self, id: &str) -> Result<Described> {
        let kept = self.0.0.store.execution(id).await?.ok_or_else(|| Error::no_execution(id))?;
        let known = self.0.0.known(&kept.summary.workflow, kept.summary.version).await?;
        let carried = carried::Carried::read(&*self.0.0.store, id, &kept.state, &known.definition).await?;
        let execution = carried.run.execution();
        Ok(Described {
            input: execution.input.clone(),
            redrives: execution.redrive_count.unwrap_or(0),
            ending: carried.run.ending().cloned(),
            waiting: carried.run.waiting(),
            history_events: carried.run.history_events(),
            summary: kept.summary,
        })
    }

    /// Executions, the newest first.
    pub async fn executions(&self, search: Search, limit: NonZeroU32) -> Result<Page<Summary>> {
        self.0.0.store.executions(search, limit).await
    }

    /// Entries of an execution's history behind a number, in their order.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without the execution.
    pub async fn history(&self, id: &str, after: u64, limit: NonZeroU32) -> Result<Page<HistoryEvent>> {
        let page = self.0.0.store.history(id, after, limit).await?;
        if page.found.is_empty() && self.0.0.store.execution(id).await?.is_none() {
            return Err(Error::no_execution(id));
        }
        let found = carried::read_lines(&*self.0.0.store, id, &page.found).await?;
        Ok(Page { found, more: page.more })
    }

    /// Waits until an execution has an entry behind a number, or has ended; answers whether it has ended.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without it.
    pub async fn changed(&self, id: &str, after: u64) -> Result<bool> {
        self.0.0.changed(id, after).await
    }

    /// Waits until an execution has ended.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without it.
    pub async fn ended(&self, id: &str) -> Result<Described> {
        self.0.0.changed(id, u64::MAX).await?;
        self.describe(id).await
    }

    /// Stops an execution that runs.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without it, [`State`](ErrorKind::State) where it has ended.
    pub async fn stop(&self, id: &str, error: Option<String>, cause: Option<String>) -> Result<()> {
        self.0.0.ask(id, Happened::Stopped { error, cause }).await
    }

    /// Lets an execution that failed, timed out or was stopped go on from there.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without it, [`State`](ErrorKind::State) where it runs or has succeeded.
    pub async fn redrive(&self, id: &str) -> Result<()> {
        self.0.0.ask(id, Happened::Redriven).await
    }

    /// Says how the task went that a token stands for.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for a token that stands for nothing that is waited for.
    pub async fn task_done(&self, token: &str, done: Done) -> Result<()> {
        self.0.0.ask_by_token(token, Some(done)).await
    }

    /// Says that the task is still alive that a token stands for.
    ///
    /// # Errors
    ///
    /// Those of [`task_done`](Self::task_done).
    pub async fn task_alive(&self, token: &str) -> Result<()> {
        self.0.0.ask_by_token(token, None).await
    }
}

impl Known {
    fn parse(text: &str) -> Result<Self> {
        let invalid = |error: String| Error::new(ErrorKind::Invalid, error);
        let envelope = Envelope::parse(text).map_err(|error| invalid(error.to_string()))?;
        let definition = envelope.definition().map_err(|error| invalid(error.to_string()))?;
        let unsupported = definition.unsupported();
        if !unsupported.is_empty() {
            let error = crate::complaint::Rejection::new(unsupported).to_string();
            return Err(invalid(error));
        }
        let has_jsonata = definition.states().any(|state| state.language == Language::Jsonata);
        Ok(Self { envelope: Arc::new(envelope), definition, has_jsonata })
    }
}

impl Inner {
    /// Nothing is begun any more, and nobody has a task in hand.
    fn end(&self) {
        self.ending.cancel();
        self.hand.drop_all();
    }

    fn known_ones(&self) -> MutexGuard<'_, HashMap<(String, u32), Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<(u64, bool)>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an envelope names that nobody does.
    async fn undoable(&self, known: &Known) -> Vec<String> {
        let envelope = &*known.envelope;
        let (mut wrong, mut done_by) = (Vec::new(), BTreeMap::<String, String>::new());
        for (called, does) in &envelope.resources {
            done_by.entry(does.clone()).or_insert_with(|| called.clone());
        }
        for state in known.definition.states() {
            let Kind::Task(task) = &state.kind else { continue };
            let literals = doer::literals(task.flow.arguments.as_ref());
            match Doer::of(envelope, &task.resource, &literals) {
                Ok(doer) => {
                    done_by.entry(doer.resource.into_owned()).or_insert_with(|| task.resource.text().to_owned());
                }
                // What names it may come with the run.
                Err(nobody) if nobody.is_unnamed => {}
                Err(nobody) => wrong.push(format!("state `{}`: {}", state.name, nobody.cause)),
            }
        }
        for (does, called) in done_by.iter().filter(|(does, _)| !does.starts_with("workflow:")) {
            if let Err(why) = self.tasks.check(does, envelope).await {
                wrong.push(format!("resource `{called}`: {why}"));
            }
        }
        for name in envelope.tasks.keys() {
            let is_meant =
                |does: &String| !does.starts_with("workflow:") && Envelope::policies(does).any(|of| of == name);
            if !done_by.keys().any(is_meant) {
                wrong.push(format!("`tasks` says what `{}` may use, and no task is done by it", name.escape_debug()));
            }
        }
        wrong
    }

    /// A version of a workflow, which an execution has.
    async fn known(&self, workflow: &str, version: u32) -> Result<Arc<Known>> {
        let key = (workflow.to_owned(), version);
        if let Some(known) = self.known_ones().get(&key) {
            return Ok(known.clone());
        }
        let missing = || Error::damaged(format!("version {version} of the workflow `{workflow}` is not kept any more"));
        let found = self.store.workflow(workflow, Some(version)).await?.ok_or_else(missing)?;
        let known = Arc::new(Known::parse(&found.text)?);
        let mut ones = self.known_ones();
        if ones.len() >= KNOWN_MAX {
            ones.clear();
        }
        ones.insert(key, known.clone());
        Ok(known)
    }

    async fn changed(&self, id: &str, after: u64) -> Result<bool> {
        let mut news = {
            let mut watched = self.watched();
            watched.retain(|_, news| news.receiver_count() > 0);
            watched.entry(id.to_owned()).or_insert_with(|| watch::Sender::new((0, false))).subscribe()
        };
        // Looked at once it is watched, so that nothing comes in between.
        let kept = self.store.execution(id).await?.ok_or_else(|| Error::no_execution(id))?;
        if kept.summary.ended_ms.is_some() {
            return Ok(true);
        }
        let next = NonZeroU32::MIN;
        if after < u64::MAX && !self.store.history(id, after, next).await?.found.is_empty() {
            return Ok(false);
        }
        let changed = news.wait_for(|(newest, ended)| *newest > after || *ended).await;
        changed.map(|news| news.1).map_err(|_| Error::unavailable("the host is ending"))
    }

    /// Has something happen to an execution, and says when it is committed.
    async fn ask(self: &Arc<Self>, id: &str, happened: Happened) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(id, News { reply: Some(reply), ..News::from(happened) });
        answer.await.map_err(|_| Error::unavailable("the host is ending"))?
    }

    async fn ask_by_token(self: &Arc<Self>, token: &str, done: Option<Done>) -> Result<()> {
        let id = token::execution(token).ok_or_else(no_token)?;
        let (reply, answer) = oneshot::channel();
        self.send(&id, News { reply: Some(reply), ..News::by_token(token, done) });
        answer.await.map_err(|_| Error::unavailable("the host is ending"))?.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::State => no_token(),
            _ => error,
        })
    }
}

fn no_token() -> Error {
    Error::new(ErrorKind::NotFound, "the token stands for no task that is waited for")
}

fn check_name(of: &str, name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let chars = name.chars().count();
    if (1..=NAME_CHARS).contains(&chars) && name.chars().all(fits) {
        return Ok(());
    }
    let message = format!(
        "`{}` is no name of {} {of}: expected up to {NAME_CHARS} letters, digits, `-` and `_`, found {chars} characters",
        name.escape_debug(),
        if of == "execution" { "an" } else { "a" }
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

/// The digest of an input, whatever the order of its fields was.
fn digest_of(input: &Value) -> Digest {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(sorted).collect(),
            Value::Object(fields) => {
                let mut keys: Vec<_> = fields.iter().collect();
                keys.sort_unstable_by_key(|(key, _)| *key);
                keys.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
            }
            other => other.clone(),
        }
    }
    Digest::of(&sorted(input).to_string())
}
