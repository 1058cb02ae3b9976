//! The file: whose it is, what is in it, and how it is opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::error::{Error, ErrorKind, Result};

/// `RNWF`: tells our files from those of other programs.
const APPLICATION: i32 = 0x524e_5746;
/// Of the tables below. A file of another version is refused.
const VERSION: i32 = 1;

/// How long a write waits for another program that has the file, such as one that makes a copy.
const BUSY: Duration = Duration::from_secs(5);

/// How long the file is waited for, which somebody may be about to give back.
const OWNER: Duration = Duration::from_secs(1);

/// Statements that stay prepared; we have some thirty.
const STATEMENTS: usize = 64;

const TABLES: &str = "
    CREATE TABLE workflow (
        name TEXT PRIMARY KEY,
        version INTEGER NOT NULL, -- the newest
        removed INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE version (
        name TEXT NOT NULL REFERENCES workflow (name),
        version INTEGER NOT NULL,
        created INTEGER NOT NULL, -- milliseconds since 1970, as all times
        text TEXT NOT NULL,
        UNIQUE (name, version)
    ) STRICT;
    CREATE TABLE execution (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        workflow TEXT NOT NULL,
        version INTEGER NOT NULL,
        name TEXT NOT NULL,
        input BLOB NOT NULL, -- digest
        status TEXT NOT NULL,
        started INTEGER NOT NULL,
        ended INTEGER,
        due INTEGER,
        owes INTEGER NOT NULL,
        UNIQUE (workflow, name)
    ) STRICT;
    CREATE INDEX execution_name ON execution (name);
    CREATE INDEX execution_version ON execution (workflow, version);
    CREATE INDEX execution_status ON execution (status, id);
    CREATE INDEX execution_ended ON execution (ended) WHERE ended IS NOT NULL;
    CREATE INDEX execution_due ON execution (due) WHERE due IS NOT NULL;
    CREATE INDEX execution_owes ON execution (id) WHERE owes;
    -- Apart, since this is what every step writes.
    CREATE TABLE state (
        execution INTEGER PRIMARY KEY,
        revision INTEGER NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    -- Each row has the entries of one step.
    CREATE TABLE history (
        execution INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        lines TEXT NOT NULL, -- one entry a line
        PRIMARY KEY (execution, first)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE value (
        execution INTEGER NOT NULL,
        digest BLOB NOT NULL,
        text TEXT NOT NULL,
        UNIQUE (execution, digest)
    ) STRICT;
    -- Executions that are gone, and of which there are still rows.
    CREATE TABLE garbage (execution INTEGER PRIMARY KEY) STRICT;
";

/// Takes the file for this process, as long as the connection is open. A kill gives it back.
pub(super) fn own(path: &Path) -> Result<Connection> {
    let mut owner = path.as_os_str().to_owned();
    owner.push("-owner");
    let connection = Connection::open(PathBuf::from(owner)).map_err(|error| cannot_open(path, error))?;
    connection.busy_timeout(OWNER).map_err(failed)?;
    match connection.execute_batch("BEGIN EXCLUSIVE") {
        Ok(()) => Ok(connection),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
            let message = format!("`{}` is in use: one process at a time may have it", path.display());
            Err(Error::unavailable(message))
        }
        Err(error) => Err(cannot_open(path, error)),
    }
}

pub(super) fn connect(path: &Path, writes: bool) -> Result<Connection> {
    let create = if writes { OpenFlags::SQLITE_OPEN_CREATE } else { OpenFlags::empty() };
    // A reader of a write-ahead log writes to the index beside it, so `READ_ONLY` would refuse some files.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| cannot_open(path, error))?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "trusted_schema", false).map_err(failed)?;
    if !writes {
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
    }
    Ok(connection)
}

/// Makes our tables in a file that is empty, and refuses one that holds anything else than them, before it is touched.
pub(super) fn recognise(connection: &mut Connection, path: &Path) -> Result<()> {
    let is_new = look(connection, path)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(|error| cannot_open(path, error))?;
    if mode != "wal" {
        let message =
            format!("`{}` lies where SQLite cannot keep a write-ahead log: it is in mode {mode}", path.display());
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
    if is_new {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        transaction.execute_batch(TABLES).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
        transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
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
    let message = match (application, version, tables) {
        (0, 0, 0) => return Ok(true),
        (APPLICATION, VERSION, _) => return Ok(false),
        (APPLICATION, other, _) => {
            format!("`{path}` is a store of workflows of version {other}, this program reads version {VERSION}")
        }
        _ => format!(
            "`{path}` is an SQLite database of another program: expected application id {APPLICATION:#x}, \
             found {application:#x} with {tables} tables and indices"
        ),
    };
    Err(Error::new(ErrorKind::Invalid, message))
}

fn cannot_open(path: &Path, error: rusqlite::Error) -> Error {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::new(ErrorKind::Invalid, format!("`{path}` is not an SQLite database")),
        _ => Error::unavailable(format!("`{path}` cannot be opened: {error}")).caused_by(error),
    }
}

pub(super) fn failed(error: rusqlite::Error) -> Error {
    unavailable(error)
}

pub(super) fn unavailable(why: impl std::fmt::Display) -> Error {
    Error::unavailable(format!("SQLite could not do its part: {why}"))
}

pub(super) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::damaged(format!("the SQLite file is damaged: {what}"))
}
