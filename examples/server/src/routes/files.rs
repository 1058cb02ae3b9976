//! The files that modules are granted: listed, read, written and removed by whoever operates the server.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use runner_host_fs::{
    Error, ErrorKind, File, Follow, Kind, Mode, Open, Session, VPath, Vfs, VfsExt, View, Volume,
};
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::IntoParams;

use super::reference::{Asked, FilePath};
use crate::answer::Streams;
use crate::api::{Directory, Entry, Problem, Refusals, kind};
use crate::server::Shared;

/// Entries on a page of a listing, unless asked otherwise, and at most.
const PAGE_ENTRIES: u32 = 1_000;
const PAGE_ENTRIES_MAX: u32 = 10_000;
/// What is read from a file at once: an answer holds one piece in memory.
const PIECE_BYTES: usize = 256 << 10;
/// How long a sender may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Which part of a listing.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Entries to list, 1 to 10,000; 1,000 where it is left out.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Lists a directory, or gives a file.
#[utoipa::path(get, path = "/v1/files/{path}", tag = "files", params(
    ("path" = String, Path, description = "From the root of the server's files on; `/` between names"), Paging,
), responses(
    (status = 200, description = "A directory as a page of its entries, a file as its bytes", content(
        (Directory = "application/json"), (Vec<u8> = "application/octet-stream")
    )),
    Refusals,
))]
pub(super) async fn read(
    State(shared): State<Shared>,
    FilePath { path, .. }: FilePath,
    Asked(paging): Asked<Paging>,
) -> Result<Response, Problem> {
    let session = shared.files()?.open(&view(Mode::ReadOnly))?;
    let files = session.files();
    let stat = files.stat(&path, Follow::Yes).await?;
    match stat.kind {
        Kind::Directory => list(files.as_ref(), &path, paging).await.map(IntoResponse::into_response),
        _ => {
            let file = files.open(&path, Open::reading()).await?;
            Ok(sent(session, file, &path, stat.size))
        }
    }
}

async fn list(files: &dyn Vfs, path: &VPath, paging: Paging) -> Result<Json<Directory>, Problem> {
    let limit = paging.limit.map_or(Ok(PAGE_ENTRIES), |text| {
        let limit = text.parse().ok().filter(|limit| (1..=PAGE_ENTRIES_MAX).contains(limit));
        limit.ok_or_else(|| Problem::invalid(format!("`limit` is `{text}`, expected 1 to {PAGE_ENTRIES_MAX}")))
    })?;
    let limit = NonZeroU32::new(limit).expect("it is 1 or more");
    let page = files.list(path, paging.after.as_deref(), limit).await?;
    let mut entries = Vec::with_capacity(page.entries.len());
    for entry in &page.entries {
        let stat = match files.stat(&path.child(&entry.name)?, Follow::No).await {
            Ok(stat) => stat,
            // It is gone meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let size = (stat.kind != Kind::Directory).then_some(stat.size);
        let modified_ms = stat.modified_ns / 1_000_000;
        entries.push(Entry { name: entry.name.clone(), kind: kind(stat.kind), size, modified_ms });
    }
    let next = page.more.then(|| page.entries.last().map(|entry| entry.name.clone())).flatten();
    Ok(Json(Directory { path: path.to_string(), entries, next }))
}

/// A file's bytes, a piece at a time, for a browser to keep and not to show: they are anybody's.
fn sent(session: Arc<dyn Session>, file: Arc<dyn File>, path: &VPath, size: u64) -> Response {
    let pieces = stream::try_unfold((session, file, 0_u64), move |(session, file, at)| async move {
        let left = usize::try_from(size - at).unwrap_or(usize::MAX);
        let piece = match left {
            0 => Bytes::new(),
            left => file.read_at(at, left.min(PIECE_BYTES)).await?,
        };
        match (piece.len() as u64, left) {
            (_, 0) => Ok(None),
            // Its length has been promised.
            (0, _) => Err(Error::new(ErrorKind::Conflict, "the file became shorter while it was read")),
            (length, _) => Ok(Some((piece, (session, file, at + length)))),
        }
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, size.into());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_DISPOSITION, attachment(path.name().unwrap_or_default()));
    response.extensions_mut().insert(Streams);
    response
}

/// RFC 6266, with the name as RFC 8187 has it: any name fits.
fn attachment(name: &str) -> HeaderValue {
    let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    let value = HeaderValue::try_from(format!("attachment; filename*=UTF-8''{name}"));
    value.unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

/// Writes a file, or makes a directory where the path ends in `/`.
///
/// What was there is replaced at once when all of it has arrived; directories on the way are made. A body that breaks off
/// changes nothing.
#[utoipa::path(put, path = "/v1/files/{path}", tag = "files", params(
    ("path" = String, Path, description = "From the root of the server's files on"),
), request_body(description = "Any bytes", content((Vec<u8> = "application/octet-stream"))), responses(
    (status = 201, description = "It is made"),
    (status = 204, description = "It is replaced"),
    (status = 409, description = "`conflict`: something else has the name", body = Problem, content_type = "application/problem+json"),
    Refusals,
))]
pub(super) async fn write(
    State(shared): State<Shared>,
    FilePath { path, is_directory }: FilePath,
    request: Request,
) -> Result<StatusCode, Problem> {
    changed(shared.files()?, async |files| {
        if is_directory {
            let there = files.exists(&path).await?;
            files.create_dir_all(&path).await?;
            return Ok(if there { StatusCode::NO_CONTENT } else { StatusCode::CREATED });
        }
        let Some(parent) = path.parent() else { return Err(Problem::invalid("the root is a directory")) };
        files.create_dir_all(&parent).await?;
        let there = files.exists(&path).await?;
        let file = files.open(&path, Open::creating().truncated()).await?;
        take(request.into_body(), file.as_ref()).await?;
        file.close().await?;
        Ok(if there { StatusCode::NO_CONTENT } else { StatusCode::CREATED })
    })
    .await
}

/// Writes a body as it comes, in pieces.
async fn take(mut body: Body, file: &dyn File) -> Result<(), Problem> {
    let mut at = 0;
    loop {
        let frame = timeout(SILENCE_MAX, body.frame()).await;
        let frame = frame.map_err(|_| Problem::too_slow(format!("the body stopped for {SILENCE_MAX:?}")))?;
        let Some(frame) = frame else { return Ok(()) };
        let frame = frame.map_err(|error| Problem::invalid(format!("the body broke off: {error}")))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let length = bytes.len() as u64;
        file.write_at(at, bytes).await?;
        at += length;
    }
}

/// What of a directory.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Removing {
    /// Whether a directory goes with all that is in it; one that is not empty stays otherwise.
    #[serde(default)]
    recursive: bool,
}

/// Removes a file or a directory.
#[utoipa::path(delete, path = "/v1/files/{path}", tag = "files", params(
    ("path" = String, Path, description = "From the root of the server's files on"), Removing,
), responses(
    (status = 204, description = "It is gone"),
    (status = 409, description = "`conflict`: the directory is not empty", body = Problem, content_type = "application/problem+json"),
    Refusals,
))]
pub(super) async fn remove(
    State(shared): State<Shared>,
    FilePath { path, .. }: FilePath,
    Asked(Removing { recursive }): Asked<Removing>,
) -> Result<StatusCode, Problem> {
    changed(shared.files()?, async |files| {
        match (files.stat(&path, Follow::No).await?.kind, recursive) {
            (Kind::Directory, true) => files.remove_dir_all(&path).await?,
            (Kind::Directory, false) => files.remove_dir(&path).await?,
            _ => files.remove_file(&path).await?,
        }
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Changes the files, whole or not at all.
async fn changed<T>(
    files: &dyn Volume,
    change: impl AsyncFnOnce(&dyn Vfs) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let session = files.open(&view(Mode::OnSuccess))?;
    match change(session.files().as_ref()).await {
        Ok(done) => {
            session.commit().await?;
            Ok(done)
        }
        Err(problem) => {
            session.discard().await?;
            Err(problem)
        }
    }
}

fn view(mode: Mode) -> View {
    View { mode, ..View::all() }
}

impl Shared {
    fn files(&self) -> Result<&dyn Volume, Problem> {
        self.files.as_deref().ok_or_else(|| Problem::not_found("this server keeps no files"))
    }
}
