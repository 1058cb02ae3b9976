//! What is read, each in one view of the file.

use std::num::NonZeroU32;

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::tables::{damaged, failed};
use crate::error::Result;
use crate::store::{Digest, Kept, Line, Page, Search, Status, Summary, Version, Workflow};

/// The columns of [`summary`].
pub(super) const SUMMARY: &str = "id, workflow, version, name, status, started, ended";

/// An execution in a line; an error within where it has no status that we know.
pub(super) fn summary(row: &Row<'_>) -> rusqlite::Result<Result<Summary>> {
    let status: String = row.get("status")?;
    let (id, workflow, version, name) = (row.get("id")?, row.get("workflow")?, row.get("version")?, row.get("name")?);
    let (started_ms, ended_ms) = (row.get("started")?, row.get("ended")?);
    let status = status.parse::<Status>().map_err(damaged);
    Ok(status.map(|status| Summary { id, workflow, version, name, status, started_ms, ended_ms }))
}

pub(super) fn digest(bytes: &[u8]) -> Result<Digest> {
    bytes.try_into().map(Digest).map_err(|_| damaged("a digest is not 32 bytes long"))
}

/// Numbers of ours count from 0, and never come near the end of either type.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// All rows of an answer.
pub(super) fn all<T>(rows: rusqlite::Result<impl Iterator<Item = rusqlite::Result<T>>>) -> Result<Vec<T>> {
    rows.and_then(Iterator::collect).map_err(failed)
}

pub(super) fn workflow(connection: &Connection, name: &str, version: Option<u32>) -> Result<Option<Workflow>> {
    let mut select = connection
        .prepare_cached(
            "SELECT version.version, created, text FROM version JOIN workflow USING (name)
             WHERE name = ?1 AND version.version = coalesce(?2, iif(removed, NULL, workflow.version))",
        )
        .map_err(failed)?;
    let found = select.query_row(params![name, version], |row| {
        let version = Version { name: name.to_owned(), version: row.get(0)?, created_ms: row.get(1)? };
        Ok(Workflow { version, text: row.get(2)? })
    });
    found.optional().map_err(failed)
}

pub(super) fn workflows(connection: &Connection, after: &str, limit: NonZeroU32) -> Result<Page<Version>> {
    let mut select = connection
        .prepare_cached(
            "SELECT name, version, created FROM workflow JOIN version USING (name, version)
             WHERE name > ?1 AND NOT removed ORDER BY name LIMIT ?2",
        )
        .map_err(failed)?;
    let found = all(select.query_map(params![after, one_more(limit)], |row| {
        Ok(Version { name: row.get(0)?, version: row.get(1)?, created_ms: row.get(2)? })
    }))?;
    Ok(page(found, limit))
}

pub(super) fn execution(connection: &Connection, id: &str) -> Result<Option<Kept>> {
    let mut select = connection
        .prepare_cached(&format!(
            "SELECT {SUMMARY}, revision, text FROM execution JOIN state ON state.execution = row WHERE id = ?1"
        ))
        .map_err(failed)?;
    let found = select
        .query_row([id], |row| Ok((summary(row)?, unsigned(row.get("revision")?), row.get::<_, String>("text")?)));
    let found = found.optional().map_err(failed)?;
    found.map(|(summary, revision, state)| Ok(Kept { summary: summary?, revision, state })).transpose()
}

pub(super) fn executions(connection: &Connection, search: &Search, limit: NonZeroU32) -> Result<Page<Summary>> {
    let Search { workflow, status, name_prefix, started_from_ms, started_before_ms, after } = search;
    let status = status.map(Status::as_str);
    // Behind all texts that begin so: no text of ours has the last character of all.
    let name_end = name_prefix.as_ref().map(|prefix| format!("{prefix}\u{10ffff}"));
    let conditions: [(&str, Option<&dyn ToSql>); 7] = [
        ("workflow = ", workflow.as_ref().map(|value| value as _)),
        ("status = ", status.as_ref().map(|value| value as _)),
        ("name >= ", name_prefix.as_ref().map(|value| value as _)),
        ("name < ", name_end.as_ref().map(|value| value as _)),
        ("started >= ", started_from_ms.as_ref().map(|value| value as _)),
        ("started < ", started_before_ms.as_ref().map(|value| value as _)),
        ("id < ", after.as_ref().map(|value| value as _)),
    ];
    let mut sql = format!("SELECT {SUMMARY} FROM execution WHERE true");
    let mut values = Vec::new();
    for (condition, value) in conditions {
        if let Some(value) = value {
            values.push(value);
            sql += &format!(" AND {condition}?{}", values.len());
        }
    }
    sql += &format!(" ORDER BY id DESC LIMIT {}", one_more(limit));
    let mut select = connection.prepare_cached(&sql).map_err(failed)?;
    let found = all(select.query_map(&values[..], summary))?;
    Ok(page(found.into_iter().collect::<Result<Vec<_>>>()?, limit))
}

pub(super) fn history(connection: &Connection, id: &str, after: u64, limit: NonZeroU32) -> Result<Page<Line>> {
    let mut select = connection
        .prepare_cached(
            "SELECT first, lines FROM history WHERE execution = ?1 AND first >= coalesce(
                 (SELECT max(first) FROM history WHERE execution = ?1 AND first <= ?2), 0)
             ORDER BY first",
        )
        .map_err(failed)?;
    let mut row = connection.prepare_cached("SELECT row FROM execution WHERE id = ?1").map_err(failed)?;
    let row: Option<i64> = row.query_row([id], |row| row.get(0)).optional().map_err(failed)?;
    // From the row on that the next entry is in.
    let mut rows = select.query(params![row, signed(after.saturating_add(1))]).map_err(failed)?;
    let (mut found, wanted) = (Vec::new(), limit.get() as usize + 1);
    while let Some(row) = rows.next().map_err(failed)? {
        let first = unsigned(row.get(0).map_err(failed)?);
        let lines = row.get_ref(1).map_err(failed)?.as_str().map_err(damaged)?;
        let lines = (first..).zip(lines.split('\n')).filter(|(number, _)| *number > after);
        let lines = lines.take(wanted - found.len());
        found.extend(lines.map(|(number, text)| Line { number, text: text.to_owned() }));
        if found.len() == wanted {
            break;
        }
    }
    Ok(page(found, limit))
}

pub(super) fn value(connection: &Connection, id: &str, digest: &Digest) -> Result<Option<String>> {
    let mut select = connection
        .prepare_cached(
            "SELECT text FROM value WHERE execution = (SELECT row FROM execution WHERE id = ?1) AND digest = ?2",
        )
        .map_err(failed)?;
    select.query_row(params![id, &digest.0[..]], |row| row.get(0)).optional().map_err(failed)
}

pub(super) fn due(connection: &Connection, now_ms: i64, limit: NonZeroU32) -> Result<Vec<String>> {
    let mut select =
        connection.prepare_cached("SELECT id FROM execution WHERE due <= ?1 ORDER BY due LIMIT ?2").map_err(failed)?;
    all(select.query_map(params![now_ms, limit.get()], |row| row.get(0)))
}

pub(super) fn next_due(connection: &Connection) -> Result<Option<i64>> {
    let mut select =
        connection.prepare_cached("SELECT min(due) FROM execution WHERE due IS NOT NULL").map_err(failed)?;
    select.query_row([], |row| row.get(0)).map_err(failed)
}

pub(super) fn owing(connection: &Connection, after: &str, limit: NonZeroU32) -> Result<Page<String>> {
    let mut select = connection
        .prepare_cached("SELECT id FROM execution WHERE owes AND id > ?1 ORDER BY id LIMIT ?2")
        .map_err(failed)?;
    Ok(page(all(select.query_map(params![after, one_more(limit)], |row| row.get(0)))?, limit))
}

/// One more than asked for tells whether there are more.
fn one_more(limit: NonZeroU32) -> i64 {
    i64::from(limit.get()) + 1
}

fn page<T>(mut found: Vec<T>, limit: NonZeroU32) -> Page<T> {
    let more = found.len() > limit.get() as usize;
    found.truncate(limit.get() as usize);
    Page { found, more }
}
