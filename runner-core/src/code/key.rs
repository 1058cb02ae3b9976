//! What names an artefact: the module's content, the metering, and everything of the engine that its code depends on.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::limits::Metering;

/// SHA-256 in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> Arc<str> {
    hex(&Sha256::digest(bytes)).into()
}

/// The same of bytes that come in parts.
#[derive(Default)]
pub(crate) struct Digesting(Sha256);

impl Digesting {
    pub(crate) fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub(crate) fn digest(self) -> Arc<str> {
        hex(&self.0.finalize()).into()
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The name of an artefact: 64 hexadecimal digits, fit for a file or an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CodeKey(Arc<str>);

impl CodeKey {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The keys of one engine: what they have in common, hashed once.
pub(crate) struct CodeKeys(Sha256);

impl CodeKeys {
    pub(crate) fn new(engine: &Engine, metering: Metering) -> Self {
        let mut hasher = Sha256Hasher(Sha256::new());
        // Changes whenever what we do to a module before compiling it changes.
        hasher.0.update(b"runner code 3\0");
        hasher.0.update(metering.as_str().as_bytes());
        hasher.0.update(b"\0");
        engine.precompile_compatibility_hash().hash(&mut hasher);
        CodeKeys(hasher.0)
    }

    /// The key of a module's code.
    pub(crate) fn key(&self, module_digest: &str) -> CodeKey {
        CodeKey(hex(&self.0.clone().chain_update(module_digest.as_bytes()).finalize()).into())
    }
}

/// Feeds the engine's `Hash` into SHA-256: its own answer would be 64 bits, too few for a name that is trusted.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        u64::from_le_bytes(std::array::from_fn(|index| digest[index]))
    }
}
