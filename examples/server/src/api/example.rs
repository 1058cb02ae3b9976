//! Modules to try.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// All modules to try.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Examples {
    pub(crate) examples: Vec<Example>,
}

/// A module to try, and a call to begin with.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Example {
    /// Its name below `/v1/examples/`.
    #[schema(examples("sum_of_2_ints.wat"))]
    pub(crate) file: &'static str,
    /// What it is, in a few words.
    pub(crate) title: String,
    /// What it does, in a sentence.
    pub(crate) about: String,
    /// The export to call; nothing for an HTTP handler.
    pub(crate) function: Option<&'static str>,
    /// Arguments to call it with.
    pub(crate) args: Value,
    /// The name to store it under, where another example asks for it by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'static str>,
    /// What to grant it, once it is stored under a name; absent where it wants nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) grants: Option<Value>,
}
