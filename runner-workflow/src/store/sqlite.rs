//! [`SqliteStore`]: one file that outlives the process. One thread writes; a few of the runtime's blocking ones read.

mod read;
mod tables;
mod write;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{Create, Created, Digest, Kept, Line, Page, Search, Step, Store, Summary, Version, Workflow};
use crate::error::{Error, Result};

/// Readers at once; as many connections stay open. Reads of one file gain little from more.
const READERS: usize = 4;
/// Writes that wait for the writer; a write beyond it waits for its place.
const WAITING_MAX: usize = 1_024;
/// Writes that share one commit, and so one wait for the disk.
const GROUP_MAX: usize = 256;

/// Keeps workflows and executions in one SQLite file. Clones share it.
///
/// What was answered is on disk (write-ahead log, `synchronous = FULL`); writes that wait at the same time share one commit. A
/// process that is killed loses nothing that was answered. Beside the file lie `-wal` and `-shm`, which belong to it, and
/// `-owner`, which says that a process has it: a second one is refused, since it would do every task again.
///
/// Space of what was removed is used again; the file does not shrink.
#[derive(Clone)]
pub struct SqliteStore {
    writer: mpsc::Sender<Job>,
    readers: Arc<Readers>,
}

struct Readers {
    path: PathBuf,
    places: Arc<Semaphore>,
    /// Guards the connections that nobody uses.
    idle: Mutex<Vec<Connection>>,
}

/// One piece of writing: it is done within a transaction, and answers when that is on disk or has failed.
type Job = Box<dyn FnOnce(&Within<'_>) -> Settle + Send>;
/// Answers; with a reason where the transaction has failed.
type Settle = Box<dyn FnOnce(Option<&str>) + Send>;

/// A transaction, or why there is none.
struct Within<'c>(std::result::Result<&'c Connection, String>);

impl SqliteStore {
    /// Opens a file, or makes one. It blocks for a few milliseconds.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) where the file is not one of ours, or of another version of ours: it is left as it
    /// is. [`Unavailable`](crate::ErrorKind::Unavailable) where another process has it, or it cannot be opened or written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let owner = tables::own(&path)?;
        let mut connection = tables::connect(&path, true)?;
        tables::recognise(&mut connection, &path)?;
        let (writer, jobs) = mpsc::channel(WAITING_MAX);
        thread::Builder::new()
            .name("workflow-sqlite".to_owned())
            .spawn(move || run(&mut connection, jobs, owner))
            .map_err(|error| Error::unavailable("the thread that writes does not start").caused_by(error))?;
        let places = Arc::new(Semaphore::new(READERS));
        let readers = Readers { path, places, idle: Mutex::default() };
        Ok(Self { writer, readers: Arc::new(readers) })
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |within| {
            let done = within.alone(work);
            Box::new(move |failed: Option<&str>| {
                // What was refused before is still refused for its own reason.
                let done = done.and_then(|done| failed.map_or(Ok(done), |why| Err(Error::unavailable(why))));
                // A caller that went away is not there to be told.
                drop(reply.send(done));
            })
        });
        let gone = || Error::unavailable("the thread that writes to SQLite has ended");
        self.writer.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Reads on a blocking thread, all in one view of the file. A caller that goes away does not stop it.
    async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let readers = Arc::clone(&self.readers);
        let places = Arc::clone(&readers.places);
        let place = places.acquire_owned().await.map_err(|_| Error::unavailable("the store is closed"))?;
        let answer = tokio::task::spawn_blocking(move || {
            let _place = place;
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = idle.map_or_else(|| tables::connect(&readers.path, false), Ok)?;
            let view = connection.transaction().map_err(tables::failed)?;
            let answer = read(&view);
            drop(view);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        });
        answer.await.map_err(|error| Error::unavailable("reading from SQLite was cut off").caused_by(error))?
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn put_workflow(&self, name: &str, text: &str, now_ms: i64) -> Result<u32> {
        let (name, text) = (name.to_owned(), text.to_owned());
        self.write(move |connection| write::put_workflow(connection, &name, &text, now_ms)).await
    }

    async fn workflow(&self, name: &str, version: Option<u32>) -> Result<Option<Workflow>> {
        let name = name.to_owned();
        self.read(move |connection| read::workflow(connection, &name, version)).await
    }

    async fn workflows(&self, after: Option<&str>, limit: NonZeroU32) -> Result<Page<Version>> {
        let after = after.unwrap_or_default().to_owned();
        self.read(move |connection| read::workflows(connection, &after, limit)).await
    }

    async fn remove_workflow(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.write(move |connection| write::remove_workflow(connection, &name)).await
    }

    async fn create(&self, new: Create) -> Result<Created> {
        self.write(move |connection| write::create(connection, &new)).await
    }

    async fn commit(&self, id: &str, revision: u64, step: Arc<Step>) -> Result<()> {
        let id = id.to_owned();
        self.write(move |connection| write::commit(connection, &id, revision, &step)).await
    }

    async fn execution(&self, id: &str) -> Result<Option<Kept>> {
        let id = id.to_owned();
        self.read(move |connection| read::execution(connection, &id)).await
    }

    async fn executions(&self, search: Search, limit: NonZeroU32) -> Result<Page<Summary>> {
        self.read(move |connection| read::executions(connection, &search, limit)).await
    }

    async fn history(&self, id: &str, after: u64, limit: NonZeroU32) -> Result<Page<Line>> {
        let id = id.to_owned();
        self.read(move |connection| read::history(connection, &id, after, limit)).await
    }

    async fn values(&self, id: &str, digests: &[Digest]) -> Result<Vec<Option<String>>> {
        let (id, digests) = (id.to_owned(), digests.to_vec());
        self.read(move |connection| digests.iter().map(|digest| read::value(connection, &id, digest)).collect()).await
    }

    async fn due(&self, now_ms: i64, limit: NonZeroU32) -> Result<Vec<String>> {
        self.read(move |connection| read::due(connection, now_ms, limit)).await
    }

    async fn next_due(&self) -> Result<Option<i64>> {
        self.read(read::next_due).await
    }

    async fn owing(&self, after: Option<&str>, limit: NonZeroU32) -> Result<Page<String>> {
        let after = after.unwrap_or_default().to_owned();
        self.read(move |connection| read::owing(connection, &after, limit)).await
    }

    async fn remove_ended(&self, before_ms: i64, rows: NonZeroU32) -> Result<bool> {
        self.write(move |connection| write::remove_ended(connection, before_ms, rows)).await
    }
}

/// The thread that writes. It has the file for this process until nobody has the store, and all is written.
fn run(connection: &mut Connection, mut jobs: mpsc::Receiver<Job>, owner: Connection) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while jobs.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let within = Within(transaction.as_deref().map_err(ToString::to_string));
        let settles: Vec<Settle> = group.drain(..).map(|job| job(&within)).collect();
        let committed = transaction.and_then(rusqlite::Transaction::commit);
        let failed = committed.err().map(|error| tables::failed(error).to_string());
        settles.into_iter().for_each(|settle| settle(failed.as_deref()));
    }
    drop(owner);
}

impl Within<'_> {
    /// Does one job: all of it, or nothing.
    fn alone<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let connection = self.0.as_ref().map_err(tables::unavailable)?;
        // A full disk ends the whole transaction; what came before it in the group is told so at the commit.
        if connection.is_autocommit() {
            return Err(tables::unavailable("the transaction was rolled back"));
        }
        let say = |what: &str| -> Result<()> {
            connection.prepare_cached(what).and_then(|mut said| said.execute([])).map(drop).map_err(tables::failed)
        };
        say("SAVEPOINT job")?;
        let done = work(connection);
        if done.is_err() && !connection.is_autocommit() {
            say("ROLLBACK TO job")?;
        }
        if !connection.is_autocommit() {
            say("RELEASE job")?;
        }
        done
    }
}
