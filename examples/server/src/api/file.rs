//! Files, as a listing says them.

use runner_host_fs::Kind;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of a directory.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Directory {
    /// Its path, from `/` on.
    pub(crate) path: String,
    /// In the order of the bytes of their names.
    pub(crate) entries: Vec<Entry>,
    /// Ask for the next page with `after` set to this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A name in a directory.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// `file`, `directory`, `symlink` or `other`.
    pub(crate) kind: &'static str,
    /// Bytes of a file, or of a link's target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// Milliseconds since 1970.
    pub(crate) modified_ms: u64,
}

pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
        Kind::Other => "other",
    }
}
