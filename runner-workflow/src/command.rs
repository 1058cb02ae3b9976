//! What goes into the machine and what comes out of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::history::HistoryEvent;
use crate::resource::{Pattern, Resource};
use crate::run::{Ending, Key};

/// Something happened. The time and the chance that it brings are the only ones that the machine has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub now_ms: i64,
    /// A number that nobody can foresee, and another for each event: jitter, `$uuid` and `$random` come of it, and task tokens,
    /// which are as secret as it is.
    pub seed: u128,
    /// What.
    pub happened: Happened,
}

/// What happened. What names a task or a timer that is no longer waited for changes nothing, and so does whatever happens to
/// a run that has ended, unless it is redriven.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type")]
pub enum Happened {
    /// The run begins.
    Started,
    /// [`Command::Continue`] asked for it.
    Continued,
    /// What a task of [`Pattern::Sync`] or [`Pattern::Callback`] asked for was accepted, and is now waited for.
    TaskSubmitted {
        /// The task.
        task: Key,
        /// What was answered; `None` where nobody recorded it.
        output: Option<Value>,
    },
    /// A task is still alive.
    TaskHeartbeat {
        /// The task.
        task: Key,
    },
    /// A task, or a child workflow, is done.
    TaskSucceeded {
        /// The task.
        task: Key,
        /// What it gave.
        output: Value,
    },
    /// A task, or a child workflow, failed.
    TaskFailed {
        /// The task.
        task: Key,
        /// The name that Retry and Catch match.
        error: Option<String>,
        /// The text for people.
        cause: Option<String>,
    },
    /// Whoever does the task says that its time is over.
    TaskTimedOut {
        /// The task.
        task: Key,
    },
    /// The time of a timer has come.
    TimerFired {
        /// The timer.
        timer: Key,
    },
    /// A run that failed, timed out or was stopped goes on from there: what has ended stays so, what failed is entered again,
    /// with all of its tries.
    Redriven,
    /// Somebody stops the run.
    Stopped {
        /// A name for why.
        error: Option<String>,
        /// A text for why.
        cause: Option<String>,
    },
}

/// What is to be done now. A caller commits the new run state and these together, then does them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "command", content = "of")]
#[non_exhaustive]
pub enum Command {
    /// Have a task done, and say what became of it by its key.
    Invoke(Invocation),
    /// Start a run of another workflow (`workflow:NAME`), and say what became of it likewise.
    StartChild(Invocation),
    /// Nobody waits for this task any longer.
    CancelTask(Key),
    /// Say when this time has come.
    SetTimer {
        /// The timer.
        timer: Key,
        /// When, in milliseconds since 1970.
        at_ms: i64,
    },
    /// Nobody waits for this timer any longer.
    CancelTimer(Key),
    /// Write this into the history.
    Record(HistoryEvent),
    /// Come back with [`Happened::Continued`]: there is more to do, and it would have taken too long at once.
    Continue,
    /// The run has ended.
    Finish(Ending),
}

/// A task to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invocation {
    /// The name by which to answer. Each try has its own.
    pub task: Key,
    /// The state that asks.
    pub state: String,
    /// The iterations that the state lies in, outermost first: the Map's name and the item's index.
    pub iteration: Vec<(String, u64)>,
    /// What does it.
    pub resource: Resource,
    /// When it counts as done.
    pub pattern: Pattern,
    /// What it works with.
    pub arguments: Value,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// How long it may take, in seconds. A timer is set for it; this is for the one who does it to know.
    pub timeout_seconds: Option<u64>,
    /// How long it may be silent, in seconds.
    pub heartbeat_seconds: Option<u64>,
    /// The same whenever this try is given out again, and another for every other try of every run.
    pub idempotency_key: String,
    /// What brings the answer back from outside, for [`Pattern::Callback`].
    pub token: Option<String>,
}
