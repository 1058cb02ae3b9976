//! Where workflows and executions are kept. What a store owes is little: rows, and one commit for each step that is whole
//! or has not been. What a run is, it does not know.

#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;

#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

/// Keeps workflows and executions. What it has answered outlives a kill of the process and of the machine.
///
/// It is done when `conformance::all` (feature `conformance`) returns.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Keeps a text as the next version of a workflow, from 1; answers which. A workflow that was removed goes on counting.
    async fn put_workflow(&self, name: &str, text: &str, now_ms: i64) -> Result<u32>;

    /// A version of a workflow, also of a removed one as long as an execution has it; without a number, the newest of one that
    /// is not removed.
    async fn workflow(&self, name: &str, version: Option<u32>) -> Result<Option<Workflow>>;

    /// The newest versions of workflows that are not removed, behind a name, by name.
    async fn workflows(&self, after: Option<&str>, limit: NonZeroU32) -> Result<Page<Version>>;

    /// Removes a workflow; answers whether it was there. Its executions go on.
    async fn remove_workflow(&self, name: &str) -> Result<bool>;

    /// Keeps a new execution with its first step, if its workflow has none of its name.
    async fn create(&self, new: Create) -> Result<Created>;

    /// Keeps a step, if the execution is at the revision that the step begins with. Otherwise it is
    /// [`Conflict`](crate::ErrorKind::Conflict), and without an execution [`NotFound`](crate::ErrorKind::NotFound).
    async fn commit(&self, id: &str, revision: u64, step: Arc<Step>) -> Result<()>;

    /// What is kept of an execution.
    async fn execution(&self, id: &str) -> Result<Option<Kept>>;

    /// Executions, the newest first.
    async fn executions(&self, search: Search, limit: NonZeroU32) -> Result<Page<Summary>>;

    /// Entries of an execution's history behind a number, in their order; none where there is no such execution.
    async fn history(&self, id: &str, after: u64, limit: NonZeroU32) -> Result<Page<Line>>;

    /// Values of an execution by their digests, in the order in which they are asked for.
    async fn values(&self, id: &str, digests: &[Digest]) -> Result<Vec<Option<String>>>;

    /// Executions of which something is due at a time, those first that have waited longest.
    async fn due(&self, now_ms: i64, limit: NonZeroU32) -> Result<Vec<String>>;

    /// When the next thing is due.
    async fn next_due(&self) -> Result<Option<i64>>;

    /// Executions that owe something, behind an id, by id.
    async fn owing(&self, after: Option<&str>, limit: NonZeroU32) -> Result<Page<String>>;

    /// Removes executions that ended before a time and owe nothing, with all that is kept of them, and versions of removed
    /// workflows that no execution has any more. It does about so many rows at once, and answers whether there are more.
    async fn remove_ended(&self, before_ms: i64, rows: NonZeroU32) -> Result<bool>;
}

/// One version of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workflow {
    /// Which.
    pub version: Version,
    /// What was kept: an envelope.
    pub text: String,
}

/// Which version of which workflow, and since when it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// The workflow's name.
    pub name: String,
    /// The number, from 1.
    pub version: u32,
    /// When it was put, in milliseconds since 1970.
    pub created_ms: i64,
}

/// Some of what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Those that were found.
    pub found: Vec<T>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// An execution to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Its identity. Identities of executions that start later are greater as texts.
    pub id: String,
    /// Its workflow.
    pub workflow: String,
    /// The version that it runs.
    pub version: u32,
    /// Its name, which no other execution of the workflow has.
    pub name: String,
    /// When it started, in milliseconds since 1970.
    pub started_ms: i64,
    /// What it was started with.
    pub input: Digest,
    /// What it is after its first step; its revision is 1.
    pub step: Step,
}

/// What became of one that was to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is kept.
    New,
    /// Another has the name, and was started with this.
    Exists(Summary, Digest),
}

/// What one commit makes of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whether it runs, or how it ended.
    pub status: Status,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: Option<i64>,
    /// All that is needed to go on with it.
    pub state: String,
    /// Whether there is something to be done for it: it is found by [`Store::owing`].
    pub owes: bool,
    /// When something is due: it is found by [`Store::due`].
    pub due_ms: Option<i64>,
    /// New entries of its history, numbered on without a gap.
    pub history: Vec<Line>,
    /// Large values that the state and the history name. One that is there already stays.
    pub values: Vec<(Digest, String)>,
}

/// One entry of a history, written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// What happened.
    pub text: String,
}

/// What is kept of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it is.
    pub summary: Summary,
    /// How many steps were kept.
    pub revision: u64,
    /// The state of the last one.
    pub state: String,
}

/// What an execution is, in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Its identity.
    pub id: String,
    /// Its workflow.
    pub workflow: String,
    /// The version that it runs.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// Whether it runs, or how it ended.
    pub status: Status,
    /// When it started, in milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: Option<i64>,
}

/// Whether an execution runs, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// It runs, or waits.
    Running,
    /// It has an output.
    Succeeded,
    /// It failed.
    Failed,
    /// Its time was over.
    TimedOut,
    /// Somebody stopped it.
    Aborted,
}

impl Status {
    /// All that there are.
    pub const ALL: [Self; 5] = [Self::Running, Self::Succeeded, Self::Failed, Self::TimedOut, Self::Aborted];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Status {
    type Err = crate::error::Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join("`, `");
            let message = format!("`{}` is no status: expected one of `{all}`", text.escape_debug());
            crate::error::Error::new(crate::error::ErrorKind::Invalid, message)
        })
    }
}

/// Which executions are looked for. Each field that is there must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// In this status.
    pub status: Option<Status>,
    /// Whose name begins with this.
    pub name_prefix: Option<String>,
    /// That started at this time or later, in milliseconds since 1970.
    pub started_from_ms: Option<i64>,
    /// That started before this time, in milliseconds since 1970.
    pub started_before_ms: Option<i64>,
    /// Behind this one, in the order of answers.
    pub after: Option<String>,
}

/// A value by what it is: SHA-256 over its JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(text).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for Digest {
    type Err = crate::error::Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || crate::error::Error::damaged(format!("`{}` is no SHA-256 in hexadecimal", text.escape_debug()));
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}
