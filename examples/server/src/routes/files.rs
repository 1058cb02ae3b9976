//! The files that modules are granted: listed, read, written and removed by whoever operates the server.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use runner_host_fs::{Error, ErrorKind, File, Follow, Kind, Mode, Open, Session, VPath, Vfs, VfsExt, View, Volume};
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::IntoParams;

use super::reference::{Asked, FilePath};
use crate::answer::Streams;
use crate::api::{Directory, Entry, Problem, Refusals, kind};
use crate::body::check_encoding;
use crate::clock;
use crate::server::Shared;

/// Entries on a page of a listing, unless asked otherwise, and at most.
const PAGE_ENTRIES: u32 = 1_000;
const PAGE_ENTRIES_MAX: u32 = 10_000;
/// What is read from a file at once: an answer holds one piece in memory.
const PIECE_BYTES: usize = 256 << 10;
/// Bytes of a file that is sent here. A sender that is as slow as it may be takes 18 hours for it.
const FILE_BYTES_MAX: u64 = 16 << 30;
/// How long a sender may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long any sender may take; then it must have sent so much a second, as one that reads must take it.
const PATIENCE: Duration = Duration::from_secs(300);
const BYTES_PER_SECOND: u64 = 256 << 10;

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
    FilePath { path, is_directory }: FilePath,
    Asked(paging): Asked<Paging>,
) -> Result<Response, Problem> {
    let session = shared.files()?.open(&view(Mode::ReadOnly))?;
    let files = session.files();
    if files.stat(&path, Follow::Yes).await?.kind == Kind::Directory {
        return list(files.as_ref(), &path, paging).await.map(IntoResponse::into_response);
    }
    check_directory(is_directory, &path)?;
    let file = files.open(&path, Open::reading()).await?;
    // Of the file that is open: another may have its name by now.
    let size = file.stat().await?.size;
    Ok(sent(session, file, &path, size))
}

/// A path that ends in `/` is no file's.
fn check_directory(is_directory: bool, path: &VPath) -> Result<(), Problem> {
    match is_directory {
        false => Ok(()),
        true => Err(Error::new(ErrorKind::NotDirectory, format!("`{path}` is no directory")).into()),
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
    check_encoding(request.headers())?;
    let session = shared.files()?.open(&view(Mode::OnSuccess))?;
    let files = session.files();
    let done = match is_directory {
        true => make(files.as_ref(), &path).await,
        false => put(files.as_ref(), &path, request.into_body()).await,
    };
    ended(session, done).await.map(|is_new| if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
}

/// Makes a directory; whether it was not there.
async fn make(files: &dyn Vfs, path: &VPath) -> Result<bool, Problem> {
    let there = files.exists(path).await?;
    files.create_dir_all(path).await?;
    Ok(!there)
}

/// Writes a file; whether it was not there.
async fn put(files: &dyn Vfs, path: &VPath, body: Body) -> Result<bool, Problem> {
    check_length(body.size_hint().lower())?;
    if let Some(parent) = path.parent() {
        files.create_dir_all(&parent).await?;
    }
    let there = files.exists(path).await?;
    let file = files.open(path, Open::creating().truncated()).await?;
    take(body, file.as_ref()).await?;
    file.close().await?;
    Ok(!there)
}

/// Writes a body as it comes, in pieces.
async fn take(mut body: Body, file: &dyn File) -> Result<(), Problem> {
    let (since, mut at) = (clock::timer(), 0_u64);
    loop {
        let frame = timeout(SILENCE_MAX, body.frame()).await;
        let frame = frame.map_err(|_| Problem::too_slow(format!("the body stopped for {SILENCE_MAX:?}")))?;
        let Some(frame) = frame else { return Ok(()) };
        let frame = frame.map_err(|error| Problem::invalid(format!("the body broke off: {error}")))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let end = at + bytes.len() as u64;
        check_length(end)?;
        let took = since.elapsed();
        if took > PATIENCE && end < took.as_secs() * BYTES_PER_SECOND {
            return Err(Problem::too_slow(format!("the body came slower than {BYTES_PER_SECOND} bytes a second")));
        }
        file.write_at(at, bytes).await?;
        at = end;
    }
}

fn check_length(bytes: u64) -> Result<(), Problem> {
    match bytes <= FILE_BYTES_MAX {
        true => Ok(()),
        false => Err(Problem::exceeded(format!("the body has more than {FILE_BYTES_MAX} bytes"))),
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
    FilePath { path, is_directory }: FilePath,
    Asked(Removing { recursive }): Asked<Removing>,
) -> Result<StatusCode, Problem> {
    let session = shared.files()?.open(&view(Mode::OnSuccess))?;
    let done = take_away(session.files().as_ref(), &path, is_directory, recursive).await;
    ended(session, done).await.map(|()| StatusCode::NO_CONTENT)
}

async fn take_away(files: &dyn Vfs, path: &VPath, is_directory: bool, recursive: bool) -> Result<(), Problem> {
    match (files.stat(path, Follow::No).await?.kind, recursive) {
        (Kind::Directory, true) => files.remove_dir_all(path).await?,
        (Kind::Directory, false) => files.remove_dir(path).await?,
        _ => {
            check_directory(is_directory, path)?;
            files.remove_file(path).await?;
        }
    }
    Ok(())
}

/// Publishes what was done, whole; of what failed nothing stays.
async fn ended<T>(session: Arc<dyn Session>, done: Result<T, Problem>) -> Result<T, Problem> {
    match done {
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
