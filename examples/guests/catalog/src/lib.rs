//! The guests of `examples/guests`, built from source and ready to load.
//!
//! For tests, benches and the server's examples: bytes of the Rust guests, text of the `.wat`
//! ones. It knows nothing of who runs them.
//!
//! ```
//! assert!(runner_guests::get("greet.wasm").starts_with(b"\0asm"));
//! assert!(runner_guests::wat("gcd").contains("rem_u"));
//! ```

#![warn(missing_docs)]

use std::path::{Path, PathBuf};

/// A guest written in Rust, compiled.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Guest {
    /// The name, such as `command-p1`.
    pub name: &'static str,
    /// The name with its ending, such as `command-p1.wasm`.
    pub file: &'static str,
    /// The target that it was built for, such as `wasm32-wasip1`.
    pub target: &'static str,
    /// The module or component.
    pub bytes: &'static [u8],
}

/// A guest written as WebAssembly text.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Text {
    /// The name, such as `gcd`.
    pub name: &'static str,
    /// The name with its ending, such as `gcd.wat`.
    pub file: &'static str,
    /// What it is, in a few words: the first sentence of its first line.
    pub title: &'static str,
    /// What it does, in a sentence: the rest of its first line.
    pub about: &'static str,
    /// The text.
    pub text: &'static str,
}

/// All guests that are compiled from Rust.
pub fn all() -> &'static [Guest] {
    GUESTS
}

/// All guests that are text, by name.
pub fn texts() -> &'static [Text] {
    TEXTS
}

/// The bytes of a compiled guest, by its file or its name.
///
/// # Panics
///
/// When there is no such guest; the message lists those that there are.
#[track_caller]
pub fn get(file: &str) -> &'static [u8] {
    match GUESTS.iter().find(|it| it.file == file || it.name == file) {
        Some(guest) => guest.bytes,
        None => panic!("no guest is named `{file}`; there are {:?}", GUESTS),
    }
}

/// The text of a `.wat` guest, by its file or its name.
///
/// # Panics
///
/// When there is no such guest; the message lists those that there are.
#[track_caller]
pub fn wat(name: &str) -> &'static str {
    match TEXTS.iter().find(|it| it.file == name || it.name == name) {
        Some(text) => text.text,
        None => {
            let names: Vec<&str> = TEXTS.iter().map(|it| it.name).collect();
            panic!("no text is named `{name}`; there are {names:?}")
        }
    }
}

/// A component made of JavaScript by its own tools, by the name of its source in `examples/guests/js`.
///
/// What builds it comes from npm (node_modules of 190 MB, half a minute in all), too much to ask of whoever builds this
/// crate: it is built by `./scripts/test.sh` or by hand, and read from its folder when it is asked for.
///
/// # Panics
///
/// Where it is not built, or before its source was last changed; the message says what to run.
#[track_caller]
pub fn js(name: &str) -> Vec<u8> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../js"));
    let built = folder.join("dist").join(format!("{name}.wasm"));
    let changed = |path: PathBuf| path.metadata().and_then(|file| file.modified());
    let sources = [format!("{name}.js"), format!("{name}.wit"), "package-lock.json".to_owned()];
    let is_new = |built| sources.iter().all(|source| changed(folder.join(source)).is_ok_and(|source| source <= built));
    match changed(built.clone()).is_ok_and(is_new).then(|| std::fs::read(&built)) {
        Some(Ok(bytes)) => bytes,
        _ => panic!(
            "the guest `js/{name}` is not built, or older than its source\n\n    \
             (cd examples/guests/js && npm ci && npm run build)\n\n\
             or let ./scripts/test.sh do it and run the tests"
        ),
    }
}

/// Says who it is, and spares the reader its bytes.
impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {} bytes)", self.file, self.target, self.bytes.len())
    }
}

include!(concat!(env!("OUT_DIR"), "/list.rs"));
