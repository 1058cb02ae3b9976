//! Parts of a URL, parsed at the border into what the rooms below trust; refusals are problems, not plain text.

use std::error::Error;

use axum::extract::{FromRequestParts, Query, RawPathParams};
use http::request::Parts;
use runner_host_fs::VPath;
use runner_host_kv::Namespace;
use serde::de::DeserializeOwned;

use crate::api::Problem;
use crate::store::{Name, Reference};

/// The module that `{ref}` stands for.
pub(super) struct Target(pub(super) Reference);

/// The name to store under, where `{ref}` must be a plain one.
pub(super) struct Naming(pub(super) Name);

/// The file that `{file}` names.
pub(super) struct File(pub(super) String);

/// The name space that `{namespace}` names of `{backend}`.
pub(super) struct Space {
    pub(super) backend: String,
    pub(super) namespace: Namespace,
}

/// The workflow that `{name}` names.
pub(super) struct Called(pub(super) String);

/// The execution that `{id}` names.
pub(super) struct Id(pub(super) String);

/// The task that `{token}` stands for.
pub(super) struct Token(pub(super) String);

/// A path among the server's files, and whether it can only be a directory: it ends in `/`.
pub(super) struct FilePath {
    pub(super) path: VPath,
    pub(super) is_directory: bool,
}

/// The query, whose unknown and malformed fields are problems.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        segment(parts, state, "ref").await?.parse().map(Target).map_err(Problem::invalid)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Naming {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        segment(parts, state, "ref").await?.parse().map(Naming).map_err(Problem::invalid)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for File {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        segment(parts, state, "file").await.map(File)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Called {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        segment(parts, state, "name").await.map(Called)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        segment(parts, state, "id").await.map(Id)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Token {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        segment(parts, state, "token").await.map(Token)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Space {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let backend = segment(parts, state, "backend").await?;
        let namespace = Namespace::new(segment(parts, state, "namespace").await?)?;
        Ok(Space { backend, namespace })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let query = query.map_err(|rejection| {
            let cause = rejection.source().map_or_else(|| rejection.body_text(), ToString::to_string);
            Problem::invalid(format!("the query: {cause}"))
        });
        query.map(|Query(asked)| Asked(asked))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for FilePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segments = RawPathParams::from_request_parts(parts, state).await;
        let segments = segments.map_err(|rejection| Problem::invalid(rejection.body_text()))?;
        // Without a segment it is the root.
        let text = segments.iter().find(|(known, _)| *known == "path").map_or("", |(_, text)| text);
        if text.is_empty() {
            return Ok(FilePath { path: VPath::root(), is_directory: true });
        }
        let names = text.strip_suffix('/').unwrap_or(text);
        // Whoever writes a URL means one file by it: what browsers and proxies read otherwise is refused.
        if names.split('/').any(|name| matches!(name, "" | "." | "..")) {
            let shown = text.escape_debug();
            return Err(Problem::invalid(format!("path `{shown}`: a name is empty, `.` or `..`")));
        }
        Ok(FilePath { path: VPath::new(names)?, is_directory: names.len() < text.len() })
    }
}

async fn segment(parts: &mut Parts, state: &(impl Send + Sync), key: &str) -> Result<String, Problem> {
    let segments = RawPathParams::from_request_parts(parts, state).await;
    let segments = segments.map_err(|rejection| Problem::invalid(rejection.body_text()))?;
    let found = segments.iter().find(|(known, _)| *known == key);
    found.map(|(_, text)| text.to_owned()).ok_or_else(|| Problem::internal(format!("the route has no `{key}`")))
}
