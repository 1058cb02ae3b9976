//! What is written, each within a transaction.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use rusqlite::{Connection, OptionalExtension, params};

use super::read::{SUMMARY, all, digest, signed, summary};
use super::tables::failed;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Create, Created, Step};

pub(super) fn put_workflow(connection: &Connection, name: &str, text: &str, now_ms: i64) -> Result<u32> {
    let mut next = connection
        .prepare_cached(
            "INSERT INTO workflow (name, version, removed) VALUES (?1, 1, 0)
             ON CONFLICT (name) DO UPDATE SET version = version + 1, removed = 0
             RETURNING version",
        )
        .map_err(failed)?;
    let version: u32 = next.query_row([name], |row| row.get(0)).map_err(failed)?;
    let mut insert = connection
        .prepare_cached("INSERT INTO version (name, version, created, text) VALUES (?1, ?2, ?3, ?4)")
        .map_err(failed)?;
    insert.execute(params![name, version, now_ms, text]).map_err(failed)?;
    Ok(version)
}

pub(super) fn remove_workflow(connection: &Connection, name: &str) -> Result<bool> {
    let mut remove =
        connection.prepare_cached("UPDATE workflow SET removed = 1 WHERE name = ?1 AND NOT removed").map_err(failed)?;
    let was_there = remove.execute([name]).map_err(failed)? > 0;
    remove_versions(connection, name)?;
    Ok(was_there)
}

/// Removes the versions of a removed workflow that no execution has.
fn remove_versions(connection: &Connection, name: &str) -> Result<()> {
    let mut delete = connection
        .prepare_cached(
            "DELETE FROM version WHERE name = ?1
                 AND (SELECT removed FROM workflow WHERE workflow.name = ?1)
                 AND NOT EXISTS (
                     SELECT 1 FROM execution
                     WHERE execution.workflow = version.name AND execution.version = version.version
                 )",
        )
        .map_err(failed)?;
    delete.execute([name]).map(drop).map_err(failed)
}

pub(super) fn create(connection: &Connection, new: &Create) -> Result<Created> {
    let mut select = connection
        .prepare_cached(&format!("SELECT {SUMMARY}, input FROM execution WHERE workflow = ?1 AND name = ?2"))
        .map_err(failed)?;
    let found = select
        .query_row([&new.workflow, &new.name], |row| Ok((summary(row)?, row.get::<_, Vec<u8>>("input")?)))
        .optional()
        .map_err(failed)?;
    if let Some((summary, input)) = found {
        return Ok(Created::Exists(summary?, digest(&input)?));
    }
    let mut version =
        connection.prepare_cached("SELECT 1 FROM version WHERE name = ?1 AND version = ?2").map_err(failed)?;
    if !version.exists(params![new.workflow, new.version]).map_err(failed)? {
        let message = format!("workflow `{}` has no version {}", new.workflow.escape_debug(), new.version);
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let Step { status, ended_ms, state, owes, due_ms, .. } = &new.step;
    let (status, input) = (status.as_str(), &new.input.0[..]);
    let mut insert = connection
        .prepare_cached(
            "INSERT INTO execution (id, workflow, version, name, input, status, started, ended, due, owes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .map_err(failed)?;
    let Create { id, workflow, version, name, started_ms, .. } = new;
    let fields = params![id, workflow, version, name, input, status, started_ms, ended_ms, due_ms, owes];
    let row = insert.insert(fields).map_err(failed)?;
    let mut insert = connection
        .prepare_cached("INSERT INTO state (execution, revision, text) VALUES (?1, 1, ?2)")
        .map_err(failed)?;
    insert.execute(params![row, state]).map_err(failed)?;
    grow(connection, row, &new.step)?;
    Ok(Created::New)
}

pub(super) fn commit(connection: &Connection, id: &str, revision: u64, step: &Step) -> Result<()> {
    let mut select = connection
        .prepare_cached(
            "SELECT execution.row, status, due, owes, revision
             FROM execution JOIN state ON state.execution = execution.row WHERE id = ?1",
        )
        .map_err(failed)?;
    let found = select
        .query_row([id], |row| {
            let same = row.get_ref(1)?.as_str().is_ok_and(|status| status == step.status.as_str())
                && row.get::<_, Option<i64>>(2)? == step.due_ms
                && row.get::<_, bool>(3)? == step.owes;
            Ok((row.get::<_, i64>(0)?, same, row.get::<_, i64>(4)?))
        })
        .optional()
        .map_err(failed)?;
    let (row, is_same, at) = found.ok_or_else(|| Error::no_execution(id))?;
    if at != signed(revision) {
        let message = format!("the execution `{id}` is at revision {at}, a step was to begin with {revision}");
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    // Most steps leave it as it is.
    if !is_same {
        let mut update = connection
            .prepare_cached("UPDATE execution SET status = ?2, ended = ?3, due = ?4, owes = ?5 WHERE row = ?1")
            .map_err(failed)?;
        let fields = params![row, step.status.as_str(), step.ended_ms, step.due_ms, step.owes];
        update.execute(fields).map_err(failed)?;
    }
    let mut update = connection
        .prepare_cached("UPDATE state SET revision = revision + 1, text = ?2 WHERE execution = ?1")
        .map_err(failed)?;
    update.execute(params![row, step.state]).map_err(failed)?;
    grow(connection, row, step)
}

/// Adds the history and the values of a step.
fn grow(connection: &Connection, row: i64, step: &Step) -> Result<()> {
    for (digest, text) in &step.values {
        let mut insert = connection
            .prepare_cached("INSERT INTO value (execution, digest, text) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
            .map_err(failed)?;
        insert.execute(params![row, &digest.0[..], text]).map_err(failed)?;
    }
    let (Some(first), Some(last)) = (step.history.first(), step.history.last()) else { return Ok(()) };
    let mut before = connection
        .prepare_cached("SELECT last FROM history WHERE execution = ?1 ORDER BY first DESC LIMIT 1")
        .map_err(failed)?;
    let before: i64 = before.query_row([row], |row| row.get(0)).optional().map_err(failed)?.unwrap_or(0);
    let follows = |(expected, line): (u64, &crate::store::Line)| line.number == expected;
    if signed(first.number) != before + 1 || !(first.number..).zip(&step.history).all(follows) {
        let message = format!("the history ends with entry {before}: the next lines begin with {}", first.number);
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let lines: Vec<_> = step.history.iter().map(|line| line.text.as_str()).collect();
    let mut insert = connection
        .prepare_cached("INSERT INTO history (execution, first, last, lines) VALUES (?1, ?2, ?3, ?4)")
        .map_err(failed)?;
    let fields = params![row, signed(first.number), signed(last.number), lines.join("\n")];
    insert.execute(fields).map(drop).map_err(failed)
}

pub(super) fn remove_ended(connection: &Connection, before_ms: i64, rows: NonZeroU32) -> Result<bool> {
    let mut left = rows.get() as usize;
    let mut next = connection
        .prepare_cached("SELECT row, workflow FROM execution WHERE ended < ?1 AND NOT owes ORDER BY ended LIMIT ?2")
        .map_err(failed)?;
    let found = all(next.query_map(rusqlite::params![before_ms, rows.get()], |row| Ok((row.get(0)?, row.get(1)?))))?;
    left -= found.len();
    let mut workflows = BTreeSet::<String>::new();
    for (row, workflow) in found {
        let row: i64 = row;
        for statement in [
            "INSERT INTO garbage (execution) VALUES (?1)",
            "DELETE FROM execution WHERE row = ?1",
            "DELETE FROM state WHERE execution = ?1",
        ] {
            connection.prepare_cached(statement).and_then(|mut done| done.execute([row])).map_err(failed)?;
        }
        workflows.insert(workflow);
    }
    for workflow in workflows {
        remove_versions(connection, &workflow)?;
    }
    // A history may have a million rows: it goes piece by piece.
    let mut garbage = connection.prepare_cached("SELECT execution FROM garbage LIMIT 1").map_err(failed)?;
    while left > 0 {
        let Some(row) = garbage.query_row([], |row| row.get::<_, i64>(0)).optional().map_err(failed)? else {
            return Ok(false);
        };
        for statement in [
            "DELETE FROM history WHERE execution = ?1
                 AND first IN (SELECT first FROM history WHERE execution = ?1 LIMIT ?2)",
            "DELETE FROM value WHERE rowid IN (SELECT rowid FROM value WHERE execution = ?1 LIMIT ?2)",
        ] {
            let mut delete = connection.prepare_cached(statement).map_err(failed)?;
            left -= delete.execute(params![row, signed(left as u64)]).map_err(failed)?;
        }
        if left > 0 {
            let mut delete = connection.prepare_cached("DELETE FROM garbage WHERE execution = ?1").map_err(failed)?;
            left -= delete.execute([row]).map_err(failed)?;
        }
    }
    Ok(true)
}
