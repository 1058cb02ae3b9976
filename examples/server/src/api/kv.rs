//! What the key-value stores hold, as whoever runs the server sees it.

use runner_host_kv::{Namespace, Usage};
use serde::Serialize;
use utoipa::ToSchema;

/// The name spaces of all backends.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Backends {
    pub(crate) backends: Vec<Backend>,
}

/// A backend, and some of the name spaces that hold anything there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Backend {
    /// As grants name it; `default` is the one of grants that name none.
    #[schema(examples("default"))]
    pub(crate) backend: String,
    /// In the order of their names.
    pub(crate) namespaces: Vec<NamespaceOf>,
    /// Whether there are more: ask for this `backend` with the last name as `after`.
    pub(crate) more: bool,
}

/// A name space and what it holds. What has ended is not counted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NamespaceOf {
    namespace: String,
    keys: u64,
    /// Of keys and values together.
    bytes: u64,
}

impl NamespaceOf {
    pub(crate) fn new(namespace: &Namespace, Usage { keys, bytes }: Usage) -> Self {
        NamespaceOf { namespace: namespace.as_str().to_owned(), keys, bytes }
    }
}
