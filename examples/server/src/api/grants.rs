//! What a module was granted.

use std::collections::BTreeMap;

use runner_core::Grants;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::store::{Granted, Stored};

/// What a version of a name was granted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantsOf {
    /// The name that they belong to.
    name: String,
    /// The version that was asked about; others of the same bytes have the same grants.
    version: u32,
    /// The bytes that they belong to.
    id: String,
    /// The grant for each capability, by its id; `/v1/grants/schema` describes them.
    #[schema(value_type = Object)]
    grants: Grants,
    /// Of those, which do not hold here any more, and why: a secret or a value that this server was started without, say. A
    /// call that needs one is refused (503). Absent where all hold.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    broken: BTreeMap<String, String>,
    /// When they were granted, RFC 3339. Absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// What other bytes under this name were granted last. New bytes begin with nothing: whoever trusts them as well puts
    /// these again. Absent where something is granted, or nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<GrantsBefore>,
}

/// What an earlier version of a name was granted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantsBefore {
    version: u32,
    id: String,
    #[schema(value_type = Object)]
    grants: Grants,
    since: String,
}

impl GrantsOf {
    /// Of a module that was found under a name; nothing where it was not.
    ///
    /// `check` looks at one grant.
    pub(crate) fn new(
        stored: Stored,
        before: Option<Stored>,
        check: impl Fn(&Grants) -> runner_core::Result<()>,
    ) -> Option<Self> {
        let (name, version) = stored.label?;
        let (grants, since) = match stored.granted {
            Some(Granted { grants, since, .. }) => (grants, Some(since)),
            None => (Grants::none(), None),
        };
        let of = |id: &str| Grants::none().grant(id, grants.get(id).cloned().unwrap_or_default());
        let broken = grants.ids().filter_map(|id| Some((id.to_owned(), check(&of(id)).err()?.to_string()))).collect();
        let before = before.and_then(|before| {
            let (Some((_, version)), Some(Granted { grants, since, .. })) = (before.label, before.granted) else {
                return None;
            };
            Some(GrantsBefore { version, id: before.id.to_string(), grants, since })
        });
        Some(GrantsOf { name: name.to_string(), version, id: stored.id.to_string(), grants, broken, since, before })
    }
}

/// The entity tag of what a module was granted: the bytes that it has, and what they may use since when.
pub(crate) fn tag(stored: &Stored) -> String {
    /// Hexadecimal digits of a hash: nobody gains by finding two grants with the same.
    const DIGITS: usize = 16;
    let granted = match &stored.granted {
        None => "none".to_owned(),
        Some(Granted { since, text, .. }) => {
            let hash = Sha256::new().chain_update(since).chain_update(text.as_bytes()).finalize();
            hash.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
        }
    };
    format!("\"{}-{granted}\"", stored.id.hex())
}

/// The names of the secrets that outgoing requests may carry. Their values are told nobody.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretNames {
    pub(crate) secrets: Vec<String>,
}

/// The JSON Schema of all grants of a module, made of those of the capabilities.
pub(crate) fn schema(capabilities: Vec<(String, Value)>) -> Value {
    let (mut properties, mut definitions) = (serde_json::Map::new(), serde_json::Map::new());
    for (id, mut schema) in capabilities {
        // Two capabilities may have definitions of one name.
        let own = schema.as_object_mut().and_then(|schema| schema.remove("$defs"));
        for (name, mut definition) in own.into_iter().filter_map(|own| own.as_object().cloned()).flatten() {
            qualify(&mut definition, &id);
            definitions.insert(format!("{id}.{name}"), definition);
        }
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("$schema");
        }
        qualify(&mut schema, &id);
        properties.insert(id, schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Grants",
        "description": "What a module may use: for each capability's id, its grant. What is left out is not granted.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// Has references point to definitions where they lie now.
fn qualify(schema: &mut Value, id: &str) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("#/$defs/{id}.{name}");
            }
            fields.values_mut().for_each(|field| qualify(field, id));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| qualify(item, id)),
        _ => {}
    }
}
