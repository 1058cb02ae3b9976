//! A guest's module, from bytes or from its crate. The one file of this library that reads a file: what cargo has built.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::{Error, Result};

/// A guest's module, ready to be loaded.
#[derive(Clone, PartialEq, Eq)]
pub struct Guest(Vec<u8>);

impl Guest {
    /// A module that is at hand: a component, a core module, or WebAssembly text.
    pub fn wasm(module: impl Into<Vec<u8>>) -> Self {
        Guest(module.into())
    }

    /// A build of the crate in a folder, which is relative to the test's own package under `cargo test`.
    ///
    /// ```no_run
    /// # use runner_test::Guest;
    /// let guest = Guest::build("../my-guest").target("wasm32-wasip2").run()?;
    /// # Ok::<(), runner_test::Error>(())
    /// ```
    pub fn build(folder: impl Into<PathBuf>) -> Build {
        Build {
            folder: folder.into(),
            target: "wasm32-unknown-unknown".to_owned(),
            package: None,
            features: Vec::new(),
            is_debug: false,
            target_dir: None,
        }
    }
}

impl AsRef<[u8]> for Guest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guest({} bytes)", self.0.len())
    }
}

/// A build of a guest's crate, to be made up and run. It runs cargo, which does nothing where nothing has changed.
#[must_use = "a build does nothing until `run`"]
#[derive(Clone, Debug)]
pub struct Build {
    folder: PathBuf,
    target: String,
    package: Option<String>,
    features: Vec<String>,
    is_debug: bool,
    target_dir: Option<PathBuf>,
}

impl Build {
    /// The target. Default `wasm32-unknown-unknown`, where guests of the SDK have the least in them.
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    /// One package of a workspace. Default the folder's own.
    pub fn package(mut self, package: impl Into<String>) -> Self {
        self.package = Some(package.into());
        self
    }

    /// One more feature of the package.
    pub fn feature(mut self, feature: impl Into<String>) -> Self {
        self.features.push(feature.into());
        self
    }

    /// Without optimisation. Default is the release profile, as guests are deployed.
    pub fn debug(mut self) -> Self {
        self.is_debug = true;
        self
    }

    /// Where cargo keeps what it builds. Default is the guest's own `target`, whatever the test itself is built into.
    pub fn target_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.target_dir = Some(folder.into());
        self
    }

    /// Builds, and reads what was built. It blocks until cargo is done.
    ///
    /// # Errors
    /// [`ErrorKind::Build`](crate::ErrorKind::Build) with the compiler's words where the guest does not build, and where no
    /// module, or more than one, comes of it.
    pub fn run(&self) -> Result<Guest> {
        let (shown, target) = (self.folder.display(), &self.target);
        let output = self.cargo().output();
        let output = output.map_err(|error| Error::build("cargo does not run").caused_by(error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let missing = said.contains("target may not be installed") || said.contains("can't find crate for `std`");
            let next = match missing {
                true => format!("\nthe target is not installed: `rustup target add {target}`"),
                false => String::new(),
            };
            return Err(Error::build(format!("the guest in `{shown}` does not build for {target}:\n{said}{next}")));
        }
        let modules = modules(&String::from_utf8_lossy(&output.stdout), self.package.as_deref());
        match modules.as_slice() {
            [module] => match std::fs::read(module) {
                Ok(wasm) => Ok(Guest(wasm)),
                Err(error) => Err(Error::build(format!("`{}` cannot be read", module.display())).caused_by(error)),
            },
            [] => Err(Error::build(format!(
                "the guest in `{shown}` builds no module: expected `crate-type = [\"cdylib\"]` below `[lib]`, or a `src/main.rs`"
            ))),
            several => {
                let names: Vec<_> = several.iter().filter_map(|path| path.file_name()).collect();
                Err(Error::build(format!("the guest in `{shown}` builds {names:?}: choose one with `.package(..)`")))
            }
        }
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        for (name, _) in std::env::vars_os().filter(|(name, _)| disturbs(&name.to_string_lossy())) {
            cargo.env_remove(name);
        }
        cargo.current_dir(&self.folder).stdin(Stdio::null());
        cargo.args(["build", "--message-format", "json-render-diagnostics", "--target", self.target.as_str()]);
        if !self.is_debug {
            cargo.arg("--release");
        }
        if let Some(package) = &self.package {
            cargo.args(["--package", package]);
        }
        for feature in &self.features {
            cargo.args(["--features", feature]);
        }
        if let Some(folder) = &self.target_dir {
            cargo.arg("--target-dir").arg(folder);
        }
        cargo
    }
}

/// What the outer cargo has set for the test: its flags, wrappers, profiles and targets. Where cargo's home and its registries
/// are stays, and so does the toolchain.
fn disturbs(name: &str) -> bool {
    let kept = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];
    let outer = ["CARGO_", "RUSTC", "RUSTFLAGS", "RUSTDOC", "CLIPPY"];
    outer.iter().any(|it| name.starts_with(it)) && !kept.iter().any(|it| name.starts_with(it))
}

/// The modules that cargo says it has built, dependencies left out.
fn modules(messages: &str, package: Option<&str>) -> Vec<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let artefacts = messages.filter(|message| message["reason"] == "compiler-artifact");
    let is_ours = |artefact: &Value| {
        let id = artefact["package_id"].as_str().unwrap_or_default();
        // `path+file:///folder/name#0.1.0`, or `..#name@0.1.0`; dependencies may be of any other kind.
        let named = |name: &str| id.contains(&format!("#{name}@")) || id.contains(&format!("/{name}#"));
        package.is_none_or(named)
    };
    let files = artefacts.filter(is_ours).filter_map(|artefact| {
        let kinds = artefact["target"]["kind"].as_array()?.clone();
        let made = kinds.iter().any(|kind| kind == "cdylib" || kind == "bin");
        let files = artefact["filenames"].as_array().filter(|_| made)?.clone();
        files.iter().filter_map(Value::as_str).map(PathBuf::from).find(|file| is_module(file))
    });
    files.collect()
}

fn is_module(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "wasm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_has_built_is_read_from_what_it_says() {
        let message = |package: &str, kind: &str, file: &str| {
            serde_json::json!({
                "reason": "compiler-artifact", "package_id": format!("path+file:///g/{package}#0.1.0"),
                "target": { "kind": [kind] }, "filenames": [file],
            })
            .to_string()
        };
        let messages = [
            message("dep", "lib", "/t/libdep.rlib"),
            message("one", "cdylib", "/t/one.wasm"),
            message("two", "bin", "/t/two.wasm"),
            message("script", "custom-build", "/t/build-script"),
            "not JSON".to_owned(),
        ]
        .join("\n");
        assert_eq!(modules(&messages, None), [Path::new("/t/one.wasm"), Path::new("/t/two.wasm")]);
        assert_eq!(modules(&messages, Some("two")), [Path::new("/t/two.wasm")]);
        assert!(modules(&messages, Some("wo")).is_empty());
    }

    #[test]
    fn the_outer_build_is_kept_out_of_the_guest_s() {
        for (name, kept_out) in [
            ("CARGO_TARGET_DIR", true),
            ("RUSTFLAGS", true),
            ("CARGO_HOME", false),
            ("PATH", false),
            ("RUSTUP_HOME", false),
            ("RUSTUP_TOOLCHAIN", false),
            ("RUSTUP_AUTO_INSTALL", false),
        ] {
            assert_eq!(disturbs(name), kept_out, "{name}");
        }
    }
}
