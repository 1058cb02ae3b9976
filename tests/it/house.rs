//! The absences of ARCHITECTURE.md. Each rule is one test; a file that may break one is named here with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace").to_owned()
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// A package of ours.
struct Package {
    /// Where it lies, below the root.
    folder: PathBuf,
    /// Its direct dependencies that are not for development alone.
    dependencies: BTreeSet<String>,
}

/// Our packages, by name.
fn packages() -> BTreeMap<String, Package> {
    let output = cargo().args(["metadata", "--format-version=1", "--no-deps"]).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    packages
        .iter()
        .map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
            let folder = manifest.parent().and_then(|folder| folder.strip_prefix(root()).ok()).expect("below the root");
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let dependencies = dependencies.iter().filter(|one| one["kind"] != "dev").map(name).collect();
            (name(package), Package { folder: folder.to_owned(), dependencies })
        })
        .collect()
}

/// The packages that others use: those in a folder of the root that is named for one.
fn libraries() -> BTreeMap<String, Package> {
    let ours = packages().into_iter().filter(|(_, package)| {
        let first = package.folder.components().next().expect("none lies in the root itself");
        first.as_os_str().to_string_lossy().starts_with("runner-")
    });
    ours.collect()
}

/// The sources of each library, and of the server, which keeps most of the same rules.
fn rooms() -> Vec<PathBuf> {
    let libraries = libraries().into_values().map(|package| package.folder.join("src"));
    libraries.chain([PathBuf::from("examples/server/src")]).collect()
}

#[test]
fn the_rules_find_every_library_there_is() {
    let found: BTreeSet<_> = libraries().into_values().map(|package| package.folder).collect();
    for entry in std::fs::read_dir(root()).expect("the root is there") {
        let name = PathBuf::from(entry.expect("an entry").file_name());
        if name.to_string_lossy().starts_with("runner-") {
            assert!(found.contains(&name), "`{}` is no member of the workspace: {found:?}", name.display());
        }
    }
    for known in ["runner-core", "runner-host-config", "runner-host-logging", "runner-sdk-guest/macros"] {
        assert!(found.contains(Path::new(known)), "{found:?}");
    }
}

/// The Rust sources below a folder, with their text.
fn sources(folder: impl AsRef<Path>) -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder.as_ref())]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                let path = path.strip_prefix(root()).expect("below the root").to_owned();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "`{}` has no sources", folder.as_ref().display());
    found
}

/// Lines of code that contain a word, comments and documentation left out, as `file:line`. What may contain it is a file, or
/// all below a folder.
fn mentions(folder: impl AsRef<Path>, words: &[&str], except: &[PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(folder) {
        if except.iter().any(|allowed| path.starts_with(allowed)) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| code(line).contains(word)) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    found
}

/// A line without its comment. Before the `//` of an address in a string stands no space.
fn code(line: &str) -> &str {
    let begins = |at: usize| line[..at].chars().next_back().is_none_or(char::is_whitespace);
    line.match_indices("//").find(|(at, _)| begins(*at)).map_or(line, |(at, _)| &line[..at])
}

#[test]
fn code_behind_an_address_is_read_and_a_comment_is_not() {
    for (line, expected) in [
        (r#"get("http://localhost"); std::fs::read(path)"#, r#"get("http://localhost"); std::fs::read(path)"#),
        ("let a = 1; // std::fs", "let a = 1; "),
        ("    /// std::fs", "    "),
        ("//! std::fs", ""),
    ] {
        assert_eq!(code(line), expected);
    }
}

#[track_caller]
fn assert_nowhere(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}

#[test]
fn runner_core_depends_on_no_other_crate_of_ours_and_on_no_client_of_anything() {
    let packages = packages();
    let core = &packages["runner-core"].dependencies;
    let ours: Vec<_> = core.iter().filter(|name| packages.contains_key(*name)).collect();
    assert!(ours.is_empty(), "runner-core depends on {ours:?}");
    for foreign in ["hyper", "hyper-util", "reqwest", "aws-sdk-s3", "rusqlite", "sqlx", "redis", "axum"] {
        assert!(!core.contains(foreign), "runner-core depends on `{foreign}`");
    }
}

#[test]
fn what_guests_are_written_with_knows_nothing_of_the_host() {
    let packages = packages();
    for package in ["runner-sdk-guest", "runner-sdk-guest-macros"] {
        let dependencies = &packages[package].dependencies;
        let ours: Vec<_> = dependencies.iter().filter(|name| packages.contains_key(*name)).collect();
        assert!(ours.iter().all(|name| *name == "runner-sdk-guest-macros"), "`{package}` depends on {ours:?}");
        let foreign = |name: &&String| name.starts_with("wasmtime") || ["tokio", "reqwest"].contains(&name.as_str());
        assert!(!dependencies.iter().any(|name| foreign(&name)), "`{package}`: {dependencies:?}");
    }
}

#[test]
fn nobody_depends_on_tests_and_benches() {
    for (package, Package { dependencies, .. }) in packages() {
        for house in ["runner-tests", "runner-benches", "runner-s3"] {
            // The benches need the store that the tests have.
            let may = package == "runner-benches" && house == "runner-s3";
            assert!(may || !dependencies.contains(house), "`{package}` depends on `{house}`");
        }
    }
}

#[test]
fn no_host_crate_imports_another() {
    for (name, package) in packages().iter().filter(|(name, _)| name.starts_with("runner-host-")) {
        let others: Vec<_> = package.dependencies.iter().filter(|name| name.starts_with("runner-host-")).collect();
        assert!(others.is_empty(), "`{name}` depends on {others:?}");
    }
}

#[test]
fn in_a_host_crate_only_its_wasi_part_knows_the_engine() {
    for (_, package) in libraries().iter().filter(|(name, _)| name.starts_with("runner-host-")) {
        let src = package.folder.join("src");
        let wasi = ["wasi.rs", "wasi"].map(|part| src.join(part));
        assert_nowhere("the engine outside `wasi`", &mentions(&src, &["wasmtime"], &wasi));
    }
}

#[test]
fn the_clock_is_read_in_the_files_named_for_it() {
    let words = ["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now", "OffsetDateTime::now", "Utc::now"];
    for src in rooms() {
        assert_nowhere("a clock is read outside `clock.rs`", &mentions(&src, &words, &[src.join("clock.rs")]));
    }
}

#[test]
fn files_are_opened_in_the_compiled_code_store_and_in_mains() {
    let except = [
        "runner-core/src/code/local.rs",
        "runner-core/src/code/trusted.rs",
        "runner-core/src/code/verified.rs",
        // A file of secrets, as the embedder names it.
        "runner-host-http/src/secrets.rs",
        // A guest's own, by the same names: it asks the host for them.
        "runner-sdk-guest/src/fs.rs",
        "runner-test/src/bin/runner-test/main.rs",
        // What cargo has built of a guest.
        "runner-test/src/guest.rs",
        "examples/server/src/main.rs",
    ]
    .map(PathBuf::from);
    let words = ["std::fs", "tokio::fs", "use std::{fs", "fs::read", "fs::write", "File::open", "File::create"];
    for src in rooms() {
        let found = mentions(src, &words, &except).into_iter();
        // A directory held by a cap-std handle is the way in.
        let found: Vec<_> = found.filter(|line| !line.contains("cap_std::fs")).collect();
        assert_nowhere("files are opened outside the compiled-code store and mains", &found);
    }
}

#[test]
fn code_is_trusted_in_one_file() {
    let trusted = [PathBuf::from("runner-core/src/code/trusted.rs")];
    for src in rooms().into_iter().chain([PathBuf::from("examples/embed/src")]) {
        let found = mentions(src, &["unsafe ", "unsafe_code"], &trusted).into_iter();
        // The bindings of guests are generated where they stand.
        let found: Vec<_> = found.filter(|line| !line.ends_with("reason = \"generated\")]")).collect();
        assert_nowhere("`unsafe` outside `code/trusted.rs`", &found);
    }
}

#[test]
fn nothing_is_left_to_be_done() {
    for folder in rooms().into_iter().chain(["examples/embed/src", "benches"].map(PathBuf::from)) {
        let found = mentions(folder, &["todo!(", "unimplemented!(", "dbg!(", "#[ignore"], &[]);
        assert_nowhere("a stub called done is a defect", &found);
    }
}

#[test]
fn every_guest_is_named_by_a_test_or_a_bench() {
    let mut texts = String::new();
    let of_libraries = libraries().into_values().map(|package| package.folder.join("tests"));
    let others = ["examples/server/tests", "examples/embed/tests", "benches", "tests/it"].map(PathBuf::from);
    for folder in of_libraries.filter(|folder| root().join(folder).is_dir()).chain(others) {
        for (path, text) in sources(folder) {
            if path != Path::new("tests/it/house.rs") {
                texts.push_str(&text);
            }
        }
    }
    let guests = runner_guests::all().iter().map(|guest| (guest.name, guest.file));
    let texts_of_guests = runner_guests::texts().iter().map(|text| (text.name, text.file));
    for (name, file) in guests.chain(texts_of_guests) {
        let named = [file.to_owned(), format!("\"{name}\"")].iter().any(|word| texts.contains(word.as_str()));
        assert!(named, "no test names the guest `{file}`");
    }
    for script in std::fs::read_dir(root().join("examples/guests/js")).expect("the folder is there") {
        let path = script.expect("a folder that opens can be listed").path();
        let Some(name) = path.file_stem().filter(|_| path.extension().is_some_and(|kind| kind == "js")) else {
            continue;
        };
        let asked = format!("js({name:?})");
        assert!(texts.contains(&asked), "no test asks for the guest of JavaScript: {asked}");
    }
}

#[test]
fn nothing_names_a_registry_or_a_path_of_a_machine() {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().expect("git runs");
    assert!(output.status.success(), "the rule reads a clone: {}", String::from_utf8_lossy(&output.stderr));
    let files = String::from_utf8(output.stdout).expect("names are text");
    assert!(files.split('\0').any(|file| file == "README.md"), "git lists other files: {files}");
    let home = ["/ro", "ot/"].concat();
    let work = ["/wo", "rk/"].concat();
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let place = format!("{file}:{}", number + 1);
            assert!(!line.contains(&home) && !line.contains(&work), "{place} names a path of a machine: {line}");
            let lock = file.ends_with("package-lock.json") && line.contains("\"resolved\": \"http");
            assert!(!lock, "{place} names a registry: {line}");
        }
    }
}

#[test]
fn every_library_crate_packages() {
    // What the registry would get: manifest, licence, readme, documentation, no file missing.
    for package in libraries().keys() {
        let arguments = ["package", "--allow-dirty", "--no-verify", "--list", "-p", package];
        let output = cargo().args(arguments).output().expect("cargo runs");
        assert!(output.status.success(), "{package}: {}", String::from_utf8_lossy(&output.stderr));
        let files = String::from_utf8_lossy(&output.stdout);
        for file in ["Cargo.toml", "README.md", "LICENSE-APACHE", "LICENSE-MIT", "src/lib.rs"] {
            assert!(files.lines().any(|line| line == file), "the package of `{package}` lacks `{file}`:\n{files}");
        }
    }
}

#[test]
fn a_stage_that_does_not_exist_is_no_test_that_passed() {
    for arguments in [&["--only", "typo"][..], &["--only"], &["rust"]] {
        let output = Command::new(root().join("scripts/test.sh")).args(arguments).output().expect("bash runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("expected"), "{arguments:?}: {said}");
    }
}

#[test]
fn the_test_script_documents_and_packages_every_library() {
    let script = std::fs::read_to_string(root().join("scripts/test.sh")).expect("the script is there");
    let line = script.lines().find_map(|line| line.strip_prefix("LIBRARIES=(")?.strip_suffix(')')).expect("a list");
    let listed: BTreeSet<_> = line.split(' ').map(str::to_owned).collect();
    assert_eq!(listed, libraries().into_keys().collect());
}
