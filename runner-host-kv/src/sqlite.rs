//! [`SqliteStore`]: one file that outlives the process. SQLite waits for the disk, so nothing of it runs on the runtime's
//! own threads, unless that is asked for: one thread writes, a few of the runtime's blocking ones read.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::key::{Key, Namespace, Version};
use crate::memory::{check_bytes, ends_ms, left};
use crate::store::{Change, Done, Entry, Namespaces, Page, Quota, Store, Usage, after_prefix, increment};

/// `RNKV`: tells our files from those of other programs.
const APPLICATION: i32 = 0x524e_4b56;
/// Of the tables below. A file of another version is refused.
const VERSION: i32 = 1;

const TABLES: &str = "
    CREATE TABLE namespace (
        id INTEGER PRIMARY KEY,
        name BLOB NOT NULL UNIQUE,
        version INTEGER NOT NULL, -- the last one given
        keys INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY,
        namespace INTEGER NOT NULL REFERENCES namespace (id),
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        version INTEGER NOT NULL,
        ends INTEGER, -- milliseconds since 1970
        UNIQUE (namespace, key)
    ) STRICT;
    CREATE INDEX entry_ends ON entry (namespace, ends) WHERE ends IS NOT NULL;
";

/// Readers at once; as many connections stay open. Reads of one file gain little from more.
const READERS: usize = 4;
/// Writes that wait for the writer; a write beyond it waits for its place.
const WAITING_MAX: usize = 256;
/// Writes that share one commit, and so one wait for the disk.
const GROUP_MAX: usize = 64;
/// How long a write waits for another process that writes to the same file.
const BUSY: Duration = Duration::from_secs(5);

/// Keeps values in one SQLite file. Clones share it.
///
/// What was written is on disk when the write returns (write-ahead log, `synchronous = FULL`); several writes that wait
/// at the same time share one commit. A process that is killed loses nothing that was answered. Beside the file lie
/// `-wal` and `-shm`, which belong to it. Several processes may open one file on a local disk.
///
/// Space of what was deleted is used again; the file does not shrink. Put another file in its place only while nobody has it
/// open: readers remember where name spaces are.
#[derive(Clone)]
pub struct SqliteStore {
    writer: mpsc::Sender<Job>,
    readers: Arc<Readers>,
    clock: Arc<dyn Clock>,
    in_place: bool,
}

struct Readers {
    path: PathBuf,
    places: Arc<Semaphore>,
    /// Guards the readers that nobody uses.
    idle: Mutex<Vec<Reader>>,
    /// Guards those that are used in place, which wait for nobody.
    hasty: Mutex<Vec<Reader>>,
}

/// A connection that only reads.
struct Reader {
    connection: Connection,
    /// The rows of name spaces. None is ever removed, so what was once read stays true.
    known: HashMap<Namespace, i64>,
}

impl Reader {
    fn open(path: &Path) -> Result<Self> {
        Ok(Reader { connection: connect(path, false)?, known: HashMap::new() })
    }

    /// The row of a name space, if it has ever held anything.
    fn space(&mut self, namespace: &Namespace) -> Result<Option<i64>> {
        /// Those that are remembered: with their names half a mebibyte at most, for each reader.
        const KNOWN_MAX: usize = 1_024;
        if let Some(id) = self.known.get(namespace) {
            return Ok(Some(*id));
        }
        let mut select = self.connection.prepare_cached("SELECT id FROM namespace WHERE name = ?1").map_err(failed)?;
        let found = select.query_row([blob(namespace)], |row| row.get(0)).optional().map_err(failed)?;
        if let Some(id) = found {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            self.known.insert(namespace.clone(), id);
        }
        Ok(found)
    }

    /// See [`entry`].
    fn entry(
        &mut self,
        namespace: &Namespace,
        key: &Key,
        bytes: (u64, u64),
        clock: &dyn Clock,
    ) -> Result<Option<Entry>> {
        let Some(space) = self.space(namespace)? else { return Ok(None) };
        entry(&self.connection, space, key, bytes, clock)
    }

    /// The version of a key that is there.
    fn seen(&mut self, namespace: &Namespace, key: &Key, clock: &dyn Clock) -> Result<Option<Version>> {
        let Some(space) = self.space(namespace)? else { return Ok(None) };
        let mut statement = self
            .connection
            .prepare_cached("SELECT version, ends FROM entry WHERE namespace = ?1 AND key = ?2")
            .map_err(failed)?;
        let found = statement
            .query_row(params![space, bytes_of(key)], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)));
        let live = |ends: Option<i64>| left(ends.map(unsigned), clock).is_some();
        Ok(found.optional().map_err(failed)?.filter(|(_, ends)| live(*ends)).map(|(number, _)| version(number)))
    }
}

impl Readers {
    /// Reads on this thread; `None` where it would have to wait, or could not be done.
    fn in_place<T>(&self, read: impl FnOnce(&mut Reader) -> Result<T>) -> Option<Result<T>> {
        let idle = self.hasty.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => Reader::open(&self.path)
                .and_then(|new| new.connection.busy_timeout(Duration::ZERO).map(|()| new).map_err(failed))
                .ok()?,
        };
        let answer = read(&mut reader);
        let mut hasty = self.hasty.lock().unwrap_or_else(PoisonError::into_inner);
        if hasty.len() < READERS {
            hasty.push(reader);
        }
        match answer {
            Err(Error::Unavailable { .. }) => None,
            answer => Some(answer),
        }
    }
}

impl SqliteStore {
    /// Opens a file, or makes one. It blocks for a few milliseconds.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the file is not one of ours, or of another version of ours: it is left as it is.
    /// [`Error::Unavailable`] where it cannot be opened or written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with_clock(path, Arc::new(SystemClock))
    }

    /// Opens a file on a clock that a test may wind.
    ///
    /// # Errors
    ///
    /// Those of [`SqliteStore::open`].
    pub fn open_with_clock(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let mut connection = connect(&path, true)?;
        recognise(&mut connection, &path)?;
        let (writer, jobs) = mpsc::channel(WAITING_MAX);
        let writes = Writer { connection, clock: Arc::clone(&clock) };
        thread::Builder::new()
            .name("kv-sqlite-writer".to_owned())
            .spawn(move || writes.run(jobs))
            .map_err(|error| Error::unavailable("the thread that writes does not start").caused_by(error))?;
        let places = Arc::new(Semaphore::new(READERS));
        let readers = Readers { path, places, idle: Mutex::default(), hasty: Mutex::default() };
        Ok(SqliteStore { writer, readers: Arc::new(readers), clock, in_place: true })
    }

    /// Has single keys read on a thread that may wait, for a slow disk.
    ///
    /// Without it they are read on the thread that asks, which is one of the runtime's: where the machine has the file in its
    /// cache, a value of 1 KiB takes a fifth of the time (`benches/README.md`); where it has not, the thread waits for the disk. A read that would wait for another process goes to another thread in any case, and so
    /// does every listing and batch.
    #[must_use]
    pub fn reading_aside(self) -> Self {
        SqliteStore { in_place: false, ..self }
    }

    async fn write<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::unavailable("the thread that writes to SQLite has ended");
        self.writer.send(job(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Runs one piece of reading on a blocking thread. A caller that goes away does not stop it.
    async fn read<T: Send + 'static>(&self, read: impl FnOnce(&mut Reader) -> Result<T> + Send + 'static) -> Result<T> {
        let readers = Arc::clone(&self.readers);
        let places = Arc::clone(&readers.places);
        let place = places.acquire_owned().await.map_err(|_| Error::unavailable("the store is closed"))?;
        let answer = tokio::task::spawn_blocking(move || {
            let _place = place;
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let again = |error| Error::unavailable("the SQLite file cannot be opened again").caused_by(error);
            // A guest is told the message: where the file lies is none of its business.
            let mut reader = idle.map_or_else(|| Reader::open(&readers.path).map_err(again), Ok)?;
            let answer = read(&mut reader);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            answer
        });
        answer.await.map_err(|error| Error::unavailable("reading from SQLite was cut off").caused_by(error))?
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get_many(&self, namespace: &Namespace, keys: &[Key], bytes_max: u64) -> Result<Vec<Option<Entry>>> {
        let (namespace, keys, clock) = (namespace.clone(), keys.to_vec(), Arc::clone(&self.clock));
        self.read(move |reader| {
            let Some(space) = reader.space(&namespace)? else { return Ok(vec![None; keys.len()]) };
            // One view of the file for all keys.
            let view = reader.connection.transaction().map_err(failed)?;
            let mut left = bytes_max;
            let mut entries = Vec::with_capacity(keys.len());
            for key in &keys {
                let entry = entry(&view, space, key, (bytes_max, left), &*clock)?;
                left -= entry.as_ref().map_or(0, |entry| entry.value.len() as u64);
                entries.push(entry);
            }
            Ok(entries)
        })
        .await
    }

    async fn get_one(&self, namespace: &Namespace, key: &Key, bytes_max: u64) -> Result<Option<Entry>> {
        let bytes = (bytes_max, bytes_max);
        if self.in_place
            && let Some(found) = self.readers.in_place(|reader| reader.entry(namespace, key, bytes, &*self.clock))
        {
            return found;
        }
        let (namespace, key, clock) = (namespace.clone(), key.clone(), Arc::clone(&self.clock));
        self.read(move |reader| reader.entry(&namespace, &key, bytes, &*clock)).await
    }

    async fn exists(&self, namespace: &Namespace, key: &Key) -> Result<bool> {
        if self.in_place
            && let Some(found) = self.readers.in_place(|reader| reader.seen(namespace, key, &*self.clock))
        {
            return found.map(|seen| seen.is_some());
        }
        let (namespace, key, clock) = (namespace.clone(), key.clone(), Arc::clone(&self.clock));
        self.read(move |reader| Ok(reader.seen(&namespace, &key, &*clock)?.is_some())).await
    }

    async fn version(&self, namespace: &Namespace, key: &Key) -> Result<Option<Version>> {
        if self.in_place
            && let Some(found) = self.readers.in_place(|reader| reader.seen(namespace, key, &*self.clock))
        {
            return found;
        }
        let (namespace, key, clock) = (namespace.clone(), key.clone(), Arc::clone(&self.clock));
        self.read(move |reader| reader.seen(&namespace, &key, &*clock)).await
    }

    async fn list(&self, namespace: &Namespace, prefix: &str, after: Option<&Key>, limit: NonZeroU32) -> Result<Page> {
        let (namespace, clock) = (namespace.clone(), Arc::clone(&self.clock));
        // The first bytes after a key are those of the key and a zero.
        let after = after.map(|key| [key.as_str().as_bytes(), &[0]].concat()).unwrap_or_default();
        let from = after.max(prefix.as_bytes().to_vec());
        let to = after_prefix(prefix);
        self.read(move |reader| {
            let Some(space) = reader.space(&namespace)? else { return Ok(Page::default()) };
            let now = clock.now_ms();
            let mut statement = reader
                .connection
                .prepare_cached(
                    "SELECT key FROM entry
                     WHERE namespace = ?1 AND key >= ?2 AND key < ?3
                         AND (ends IS NULL OR ends > ?4)
                     ORDER BY key",
                )
                .map_err(failed)?;
            let keys = statement
                .query_map(params![space, from, to, signed(now)], |row| row.get::<_, Vec<u8>>(0))
                .map_err(failed)?;
            Page::collect(keys.map(|key| key_of(key.map_err(failed)?)), limit)
        })
        .await
    }

    async fn apply(&self, namespace: &Namespace, changes: Vec<Change>, quota: Quota) -> Result<Vec<Done>> {
        let namespace = namespace.clone();
        self.write(|reply| Job::Apply { namespace, changes, quota, reply }).await
    }

    async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
        let namespace = namespace.clone();
        self.write(|reply| Job::Usage { namespace, reply }).await
    }

    async fn namespaces(&self, after: Option<&Namespace>, limit: NonZeroU32) -> Result<Namespaces> {
        let after = after.cloned();
        self.write(|reply| Job::Namespaces { after, limit, reply }).await
    }

    async fn clear(&self, namespace: &Namespace) -> Result<Usage> {
        let namespace = namespace.clone();
        self.write(|reply| Job::Clear { namespace, reply }).await
    }
}

/// The entry of a key, where its value has no more bytes than are left of those that may be read at once.
///
/// The clock is read after the entry is found, so that it is not behind the one that wrote it: a value never has more time
/// left than it was given.
fn entry(
    connection: &Connection,
    space: i64,
    key: &Key,
    (bytes_max, left_bytes): (u64, u64),
    clock: &dyn Clock,
) -> Result<Option<Entry>> {
    let mut statement = connection
        .prepare_cached("SELECT value, version, ends FROM entry WHERE namespace = ?1 AND key = ?2")
        .map_err(failed)?;
    let mut rows = statement.query(params![space, bytes_of(key)]).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
    let ends: Option<i64> = row.get(2).map_err(failed)?;
    let Some(ends_in) = left(ends.map(unsigned), clock) else { return Ok(None) };
    let value = row.get_ref(0).map_err(failed)?.as_blob().map_err(damaged)?;
    check_bytes((bytes_max - left_bytes).saturating_add(value.len() as u64), bytes_max)?;
    let version = version(row.get(1).map_err(failed)?);
    Ok(Some(Entry { value: Bytes::copy_from_slice(value), version, ends_in }))
}

enum Job {
    Apply { namespace: Namespace, changes: Vec<Change>, quota: Quota, reply: oneshot::Sender<Result<Vec<Done>>> },
    Usage { namespace: Namespace, reply: oneshot::Sender<Result<Usage>> },
    Namespaces { after: Option<Namespace>, limit: NonZeroU32, reply: oneshot::Sender<Result<Namespaces>> },
    Clear { namespace: Namespace, reply: oneshot::Sender<Result<Usage>> },
}

/// What is answered once the commit is on disk.
enum Answer {
    Applied(oneshot::Sender<Result<Vec<Done>>>, Result<Vec<Done>>),
    Used(oneshot::Sender<Result<Usage>>, Result<Usage>),
    Found(oneshot::Sender<Result<Namespaces>>, Result<Namespaces>),
}

impl Answer {
    /// A caller that went away is not there to be told.
    fn send(self) {
        match self {
            Answer::Applied(reply, result) => drop(reply.send(result)),
            Answer::Used(reply, result) => drop(reply.send(result)),
            Answer::Found(reply, result) => drop(reply.send(result)),
        }
    }

    /// The same, of a commit that failed. What was refused before is still refused for its own reason.
    fn failed(self, why: &str) -> Self {
        match self {
            Answer::Applied(reply, Ok(_)) => Answer::Applied(reply, Err(Error::unavailable(why))),
            Answer::Used(reply, Ok(_)) => Answer::Used(reply, Err(Error::unavailable(why))),
            Answer::Found(reply, Ok(_)) => Answer::Found(reply, Err(Error::unavailable(why))),
            refused => refused,
        }
    }
}

/// The thread that writes.
struct Writer {
    connection: Connection,
    clock: Arc<dyn Clock>,
}

impl Writer {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while jobs.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
            self.commit(group.drain(..));
        }
    }

    /// Does a group of jobs in one transaction, and answers when it is on disk.
    fn commit(&mut self, jobs: impl Iterator<Item = Job>) {
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        // Not before the lock is held, which may take seconds: a value would end too early, and be behind what another
        // process has written meanwhile.
        let now = self.clock.now_ms();
        let answers: Vec<Answer> = jobs
            .map(|job| match job {
                Job::Apply { namespace, changes, quota, reply } => {
                    let done = alone(&mut transaction, |connection| apply(connection, &namespace, changes, quota, now));
                    Answer::Applied(reply, done)
                }
                Job::Usage { namespace, reply } => {
                    let used = alone(&mut transaction, |connection| {
                        let space = Space::of(connection, &namespace)?.without_ended(connection, now)?;
                        space.save(connection)?;
                        Ok(space.used)
                    });
                    Answer::Used(reply, used)
                }
                Job::Namespaces { after, limit, reply } => {
                    let find = |connection: &Connection| namespaces(connection, after, limit, now);
                    Answer::Found(reply, alone(&mut transaction, find))
                }
                Job::Clear { namespace, reply } => {
                    let used = alone(&mut transaction, |connection| clear(connection, &namespace, now));
                    Answer::Used(reply, used)
                }
            })
            .collect();
        let committed = transaction.and_then(rusqlite::Transaction::commit);
        match committed {
            Ok(()) => answers.into_iter().for_each(Answer::send),
            Err(error) => {
                let why = failed(error).to_string();
                answers.into_iter().for_each(|answer| answer.failed(&why).send());
            }
        }
    }
}

/// Does one job of a transaction: all of it, or nothing.
fn alone<T>(
    transaction: &mut rusqlite::Result<rusqlite::Transaction<'_>>,
    work: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    let transaction = transaction.as_mut().map_err(|error| unavailable(error.to_string()))?;
    // A full disk ends the whole transaction; what came before it in the group is told so at the commit.
    if transaction.is_autocommit() {
        return Err(unavailable("the transaction was rolled back".to_owned()));
    }
    let savepoint = transaction.savepoint().map_err(failed)?;
    let done = work(&savepoint)?; // an error drops the savepoint, which rolls back to it
    savepoint.commit().map_err(failed)?;
    Ok(done)
}

/// The row of a name space, as it is within a transaction.
struct Space {
    id: i64,
    version: u64,
    used: Usage,
}

impl Space {
    fn of(connection: &Connection, namespace: &Namespace) -> Result<Self> {
        let mut select = connection
            .prepare_cached("SELECT id, version, keys, bytes FROM namespace WHERE name = ?1")
            .map_err(failed)?;
        let found = select
            .query_row([blob(namespace)], |row| {
                let used = Usage { keys: unsigned(row.get(2)?), bytes: unsigned(row.get(3)?) };
                Ok(Space { id: row.get(0)?, version: unsigned(row.get(1)?), used })
            })
            .optional()
            .map_err(failed)?;
        match found {
            Some(space) => Ok(space),
            None => {
                let mut insert = connection
                    .prepare_cached("INSERT INTO namespace (name, version, keys, bytes) VALUES (?1, 0, 0, 0)")
                    .map_err(failed)?;
                let id = insert.insert([blob(namespace)]).map_err(failed)?;
                Ok(Space { id, version: 0, used: Usage::default() })
            }
        }
    }

    /// Removes what has ended, which from here on is as if it had never been.
    fn without_ended(mut self, connection: &Connection, now: u64) -> Result<Self> {
        let mut delete = connection
            .prepare_cached(
                "DELETE FROM entry WHERE namespace = ?1 AND ends IS NOT NULL AND ends <= ?2
                 RETURNING length(key) + length(value)",
            )
            .map_err(failed)?;
        let mut rows = delete.query(params![self.id, signed(now)]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            self.used.keys = self.used.keys.saturating_sub(1);
            self.used.bytes = self.used.bytes.saturating_sub(unsigned(row.get(0).map_err(failed)?));
        }
        Ok(self)
    }

    fn save(&self, connection: &Connection) -> Result<()> {
        let mut update = connection
            .prepare_cached("UPDATE namespace SET version = ?2, keys = ?3, bytes = ?4 WHERE id = ?1")
            .map_err(failed)?;
        let (version, keys, bytes) = (signed(self.version), signed(self.used.keys), signed(self.used.bytes));
        update.execute(params![self.id, version, keys, bytes]).map(drop).map_err(failed)
    }

    fn change(&mut self, connection: &Connection, change: Change, quota: Quota, now: u64) -> Result<Done> {
        match change {
            Change::Set { key, value, ends, expected } => {
                let found = Found::of(connection, self.id, &key)?;
                expected.check(&key, found.as_ref().map(|found| found.version))?;
                quota.check_value(value.len())?;
                let ends = ends_ms(ends, found.as_ref().and_then(|found| found.ends), now);
                self.put(connection, &key, &value, ends, found.as_ref(), now).map(Done::Set)
            }
            Change::Delete { key, expected } => {
                let found = Found::of(connection, self.id, &key)?;
                expected.check(&key, found.as_ref().map(|found| found.version))?;
                if let Some(found) = &found {
                    self.remove(connection, &key, found)?;
                }
                Ok(Done::Deleted(found.is_some()))
            }
            Change::Increment { key, by, within, ends } => {
                let found = Found::of(connection, self.id, &key)?;
                let value = found.as_ref().map(|found| found.value(connection)).transpose()?;
                let (sum, value) = increment(&key, value.as_deref(), by, &within)?;
                quota.check_value(value.len())?;
                let ends = match &found {
                    Some(found) => found.ends,
                    None => ends_ms(ends, None, now),
                };
                self.put(connection, &key, &value, ends, found.as_ref(), now)?;
                Ok(Done::Incremented(sum))
            }
        }
    }

    fn put(
        &mut self,
        connection: &Connection,
        key: &Key,
        value: &[u8],
        ends: Option<u64>,
        found: Option<&Found>,
        now: u64,
    ) -> Result<Version> {
        self.version += 1;
        let version = self.version;
        // A value that ends at once is as if it had been deleted.
        if ends.is_some_and(|ends| ends <= now) {
            if let Some(found) = found {
                self.remove(connection, key, found)?;
            }
            return Ok(Version::new(version));
        }
        let (number, ends) = (signed(version), ends.map(signed));
        match found {
            Some(found) => {
                let mut update = connection
                    .prepare_cached("UPDATE entry SET value = ?2, version = ?3, ends = ?4 WHERE id = ?1")
                    .map_err(failed)?;
                update.execute(params![found.id, value, number, ends]).map_err(failed)?;
                self.used.remove(key, found.bytes);
            }
            None => {
                let mut insert = connection
                    .prepare_cached(
                        "INSERT INTO entry (namespace, key, value, version, ends) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )
                    .map_err(failed)?;
                insert.execute(params![self.id, bytes_of(key), value, number, ends]).map_err(failed)?;
            }
        }
        self.used.add(key, value.len());
        Ok(Version::new(version))
    }

    fn remove(&mut self, connection: &Connection, key: &Key, found: &Found) -> Result<()> {
        let mut delete = connection.prepare_cached("DELETE FROM entry WHERE id = ?1").map_err(failed)?;
        delete.execute([found.id]).map_err(failed)?;
        self.used.remove(key, found.bytes);
        Ok(())
    }
}

/// An entry's row without its value.
struct Found {
    id: i64,
    bytes: usize,
    version: Version,
    ends: Option<u64>,
}

impl Found {
    fn of(connection: &Connection, space: i64, key: &Key) -> Result<Option<Self>> {
        let mut select = connection
            .prepare_cached("SELECT id, length(value), version, ends FROM entry WHERE namespace = ?1 AND key = ?2")
            .map_err(failed)?;
        select
            .query_row(params![space, bytes_of(key)], |row| {
                let ends: Option<i64> = row.get(3)?;
                Ok(Found {
                    id: row.get(0)?,
                    bytes: usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default(),
                    version: version(row.get(2)?),
                    ends: ends.map(unsigned),
                })
            })
            .optional()
            .map_err(failed)
    }

    fn value(&self, connection: &Connection) -> Result<Vec<u8>> {
        let mut select = connection.prepare_cached("SELECT value FROM entry WHERE id = ?1").map_err(failed)?;
        select.query_row([self.id], |row| row.get(0)).map_err(failed)
    }
}

fn apply(
    connection: &Connection,
    namespace: &Namespace,
    changes: Vec<Change>,
    quota: Quota,
    now: u64,
) -> Result<Vec<Done>> {
    let mut space = Space::of(connection, namespace)?.without_ended(connection, now)?;
    let before = space.used;
    let done =
        changes.into_iter().map(|change| space.change(connection, change, quota, now)).collect::<Result<Vec<_>>>()?;
    quota.check(before, space.used)?;
    space.save(connection)?;
    Ok(done)
}

/// The name spaces that hold anything. What has ended goes, so that a listing frees what nobody writes to any more.
fn namespaces(
    connection: &Connection,
    mut after: Option<Namespace>,
    limit: NonZeroU32,
    now: u64,
) -> Result<Namespaces> {
    let mut select = connection
        .prepare_cached("SELECT name FROM namespace WHERE name > ?1 AND keys > 0 ORDER BY name LIMIT 1")
        .map_err(failed)?;
    let mut namespaces = Namespaces::default();
    loop {
        // No name is empty. One at a time, since what they hold changes on the way.
        let last = after.as_ref().map(blob).unwrap_or_default();
        let next = select.query_row([last], |row| row.get::<_, Vec<u8>>(0)).optional().map_err(failed)?;
        let Some(name) = next else { return Ok(namespaces) };
        let name = Namespace::new(String::from_utf8(name).map_err(damaged)?)?;
        let space = Space::of(connection, &name)?.without_ended(connection, now)?;
        space.save(connection)?;
        if space.used.keys > 0 {
            if namespaces.found.len() == limit.get() as usize {
                namespaces.more = true;
                return Ok(namespaces);
            }
            namespaces.found.push((name.clone(), space.used));
        }
        after = Some(name);
    }
}

/// Removes everything of a name space; its row stays, with the last version given.
fn clear(connection: &Connection, namespace: &Namespace, now: u64) -> Result<Usage> {
    let mut space = Space::of(connection, namespace)?.without_ended(connection, now)?;
    let mut delete = connection.prepare_cached("DELETE FROM entry WHERE namespace = ?1").map_err(failed)?;
    delete.execute([space.id]).map_err(failed)?;
    let used = std::mem::take(&mut space.used);
    space.save(connection)?;
    Ok(used)
}

fn connect(path: &Path, writes: bool) -> Result<Connection> {
    let create = if writes { OpenFlags::SQLITE_OPEN_CREATE } else { OpenFlags::empty() };
    // A reader of a write-ahead log writes to the index beside it, so `READ_ONLY` would refuse some files.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| cannot_open(path, error))?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    connection.pragma_update(None, "trusted_schema", false).map_err(failed)?;
    if !writes {
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
    }
    Ok(connection)
}

/// Makes our tables in a file that is empty, and refuses one that holds anything else than them, before it is touched.
fn recognise(connection: &mut Connection, path: &Path) -> Result<()> {
    let is_new = look(connection, path)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(|error| cannot_open(path, error))?;
    if mode != "wal" {
        let message =
            format!("`{}` lies where SQLite cannot keep a write-ahead log: it is in mode {mode}", path.display());
        return Err(Error::invalid(message));
    }
    connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
    if is_new {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        // Another process may have been faster.
        if look(&transaction, path)? {
            transaction.execute_batch(TABLES).map_err(failed)?;
            transaction.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// Whether the file is empty; an error where it is neither empty nor ours.
fn look(connection: &Connection, path: &Path) -> Result<bool> {
    let number = |pragma: &str| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i32>(0))
            .map_err(|error| cannot_open(path, error))
    };
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| cannot_open(path, error))?;
    let path = path.display();
    match (application, version, tables) {
        (0, 0, 0) => Ok(true),
        (APPLICATION, VERSION, _) => Ok(false),
        (APPLICATION, other, _) => Err(Error::invalid(format!(
            "`{path}` is a key-value store of version {other}, this program reads version {VERSION}"
        ))),
        _ => Err(Error::invalid(format!(
            "`{path}` is an SQLite database of another program: expected application id {APPLICATION:#x}, \
             found {application:#x} with {tables} tables and indices"
        ))),
    }
}

fn cannot_open(path: &Path, error: rusqlite::Error) -> Error {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::invalid(format!("`{path}` is not an SQLite database")),
        _ => Error::unavailable(format!("`{path}` cannot be opened")).caused_by(error),
    }
}

fn failed(error: rusqlite::Error) -> Error {
    unavailable(error.to_string())
}

fn unavailable(why: String) -> Error {
    Error::unavailable(format!("SQLite could not do its part: {why}"))
}

fn damaged(error: impl std::fmt::Display) -> Error {
    Error::unavailable(format!("the SQLite file is damaged: {error}"))
}

fn blob(namespace: &Namespace) -> &[u8] {
    namespace.as_str().as_bytes()
}

fn bytes_of(key: &Key) -> &[u8] {
    key.as_str().as_bytes()
}

fn key_of(bytes: Vec<u8>) -> Result<Key> {
    Key::new(String::from_utf8(bytes).map_err(damaged)?)
}

fn version(number: i64) -> Version {
    Version::new(unsigned(number))
}

/// SQLite's integers are signed; what we count never comes near the end of them.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
