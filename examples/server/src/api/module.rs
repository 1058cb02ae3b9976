//! A stored module as callers see it: what it is, what it exports with types and schemas, what it needs.

use runner_core::{Explanation, ExportKind, Need, Service, Type, schema};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::store::Stored;
use crate::surface::Extent;

/// A module's bytes.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "it describes; bytes are bytes")]
pub(crate) struct Wasm(Vec<u8>);

/// A module in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModuleSummary {
    /// Its name by content: `sha256:` and 64 hexadecimal digits.
    pub(crate) id: String,
    /// The name that it was stored under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The version under that name, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u32>,
    pub(crate) size_bytes: u64,
    /// `component`, `core`, `wasi-command` or `wasi-reactor`.
    pub(crate) kind: String,
    /// When it was stored, RFC 3339.
    pub(crate) created: String,
}

/// A page of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModuleList {
    /// By name, newest version first; then those without a name, by id.
    pub(crate) modules: Vec<ModuleSummary>,
    /// What to give as `after` for the next page.
    pub(crate) next: Option<String>,
}

/// A module with what can be called and what it needs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Module {
    #[serde(flatten)]
    pub(crate) summary: ModuleSummary,
    pub(crate) exports: Vec<Export>,
    pub(crate) imports: Vec<Import>,
    /// Functions whose JSON Schemas are left out, since there are too many for one answer. Absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schemas_left_out: Option<usize>,
}

/// What the JSON Schemas of one answer take at most: those of some 20,000 types, which is more than the largest
/// interfaces in use have.
const SCHEMA_BYTES_MAX: usize = 24 << 20;

/// Something that a module offers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Export {
    /// Its name; of a function inside an exported interface `ns:pkg/iface@1.0.0#function`.
    name: String,
    #[serde(flatten)]
    what: ExportIs,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum ExportIs {
    /// Called by its types.
    Function {
        /// What a task says it is about.
        #[serde(skip_serializing_if = "String::is_empty")]
        about: String,
        params: Vec<Param>,
        /// Nothing where it returns nothing.
        result: Option<Typed>,
        /// JSON Schema of the arguments as an array; absent where `schemas_left_out` counts it.
        #[serde(skip_serializing_if = "Option::is_none")]
        args_schema: Option<Value>,
    },
    /// Called with `args_cli`, `env` and `stdin`.
    Command,
    /// Asked at `/v1/modules/{ref}/http/`.
    Http,
    /// Cannot be called from outside.
    Unsupported { reason: String },
}

#[derive(Debug, Serialize, ToSchema)]
struct Param {
    name: String,
    #[serde(flatten)]
    typed: Typed,
}

#[derive(Debug, Serialize, ToSchema)]
struct Typed {
    /// The type in the words of WIT.
    #[serde(rename = "type")]
    ty: String,
    /// JSON Schema of the value; absent where `schemas_left_out` counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Value>,
}

/// Something that a module needs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Import {
    /// The interface of a component, or the module that a core module imports from.
    name: String,
    /// What of it: functions, and resources with their functions.
    items: Vec<String>,
    /// `provided`, `closed`, `granted`, `broken` or `missing`.
    status: &'static str,
    /// What that means here, for people.
    about: String,
    /// What would open it, where it is missing or closed: the words of the library's `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// The capability that serves it, or would.
    #[serde(skip_serializing_if = "Option::is_none")]
    capability: Option<String>,
}

impl Module {
    pub(crate) fn new(stored: Stored, explanation: Explanation) -> Self {
        let (mut bytes, mut left_out) = (0, 0);
        let exports = explanation.exports.into_iter().map(|export| {
            bytes += Extent::of_export(&export).schema_bytes();
            let is_short = bytes <= SCHEMA_BYTES_MAX;
            left_out += usize::from(!is_short && matches!(export.kind, ExportKind::Function(_)));
            Export::new(export, is_short)
        });
        let exports = exports.collect();
        let imports = explanation.imports.into_iter().map(Import::from).collect();
        Module { summary: stored.into(), exports, imports, schemas_left_out: (left_out > 0).then_some(left_out) }
    }

    /// What it takes to say this: the explanation, the same as texts, those as JSON, and the schemas.
    pub(crate) fn bytes(explanation: &Explanation) -> usize {
        let extent = Extent::of_explanation(explanation);
        extent.tree_bytes().saturating_mul(3).saturating_add(extent.schema_bytes().min(SCHEMA_BYTES_MAX))
    }
}

impl From<Stored> for ModuleSummary {
    fn from(stored: Stored) -> Self {
        let (name, version) = stored.label.map(|(name, version)| (name.to_string(), version)).unzip();
        ModuleSummary {
            id: stored.id.to_string(),
            name,
            version,
            size_bytes: stored.size_bytes,
            kind: stored.kind,
            created: stored.created,
        }
    }
}

impl Export {
    fn new(export: runner_core::Export, has_schemas: bool) -> Self {
        let what = match export.kind {
            ExportKind::Function(signature) => ExportIs::Function {
                about: signature.about.clone(),
                args_schema: has_schemas.then(|| signature.arguments_schema()),
                result: match signature.results.as_slice() {
                    [] => None,
                    results => Some(Typed {
                        ty: match results {
                            [one] => one.to_string(),
                            // Several results arrive as one array.
                            many => Type::Tuple(many.to_vec()).to_string(),
                        },
                        schema: has_schemas.then(|| signature.result_schema().unwrap_or(json!({ "type": "null" }))),
                    }),
                },
                params: signature
                    .parameters
                    .iter()
                    .map(|(name, ty)| Param {
                        name: name.clone(),
                        typed: Typed { schema: has_schemas.then(|| schema(ty)), ty: ty.to_string() },
                    })
                    .collect(),
            },
            ExportKind::Command => ExportIs::Command,
            ExportKind::Http => ExportIs::Http,
            ExportKind::Unsupported(reason) => ExportIs::Unsupported { reason },
            _ => ExportIs::Unsupported { reason: "this server does not know such an export".to_owned() },
        };
        Export { name: export.name, what }
    }
}

/// What a standard interface gives, or would.
const STANDARD: &[(&str, &str)] = &[
    ("wasi:cli/", "arguments, environment and standard streams of the call"),
    ("wasi:clocks/", "the time of day, and a clock to measure by"),
    ("wasi:filesystem/", "files"),
    ("wasi:http/outgoing-handler", "outgoing HTTP requests"),
    ("wasi:http/types", "HTTP requests and responses"),
    ("wasi:io/", "streams, and waiting for them"),
    ("wasi:random/", "random bytes from the host"),
    ("wasi:sockets/", "network sockets"),
    ("wasi_snapshot_preview1", "arguments, environment, standard streams, clocks and random bytes; no files"),
];

impl From<Need> for Import {
    fn from(need: Need) -> Self {
        let known = STANDARD.iter().find(|(prefix, _)| need.name.starts_with(prefix));
        let gives = known.map_or("what the module asks for", |(_, gives)| gives);
        let (about, capability) = match &need.service {
            Service::Provided => (gives.to_owned(), None),
            Service::Closed { capability, advice } => {
                let more = advice.as_ref().map_or_else(String::new, |advice| format!("; {advice}"));
                let about =
                    format!("{gives}: not lent here, each use is answered with the interface's own refusal{more}");
                (about, capability.clone())
            }
            Service::Granted { capability } => {
                (format!("{gives}, by capability `{capability}`"), Some(capability.clone()))
            }
            Service::Broken { capability, reason } => {
                (format!("{gives}, granted in a way that does not hold here: {reason}"), Some(capability.clone()))
            }
            Service::Missing { capability, advice } => (advice.clone(), capability.clone()),
            _ => ("served in a way that this server does not know".to_owned(), None),
        };
        let status = need.service.as_str();
        let advice = match need.service {
            Service::Missing { advice, .. } => Some(advice),
            Service::Closed { advice, .. } => advice,
            _ => None,
        };
        Import { status, name: need.name, items: need.items, about, advice, capability }
    }
}
