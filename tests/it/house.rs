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

/// Our packages, each with its direct dependencies that are not for development alone.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let output = cargo().args(["metadata", "--format-version=1", "--no-deps"]).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            (name(package), dependencies.iter().filter(|one| one["kind"] != "dev").map(name).collect())
        })
        .collect()
}

/// The Rust sources below a folder, with their text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
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
    assert!(!found.is_empty(), "`{folder}` has no sources");
    found
}

/// Lines of code that contain a word, comments and documentation left out, as `file:line`.
fn mentions(folder: &str, words: &[&str], except: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(folder) {
        if except.iter().any(|allowed| path == Path::new(allowed)) {
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
    let core = &packages["runner-core"];
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
        let ours: Vec<_> = packages[package].iter().filter(|name| packages.contains_key(*name)).collect();
        assert!(ours.iter().all(|name| *name == "runner-sdk-guest-macros"), "`{package}` depends on {ours:?}");
        let foreign = |name: &&String| name.starts_with("wasmtime") || ["tokio", "reqwest"].contains(&name.as_str());
        assert!(!packages[package].iter().any(|name| foreign(&name)), "`{package}`: {:?}", packages[package]);
    }
}

#[test]
fn nobody_depends_on_tests_and_benches() {
    for (package, dependencies) in packages() {
        for house in ["runner-tests", "runner-benches"] {
            assert!(!dependencies.contains(house), "`{package}` depends on `{house}`");
        }
    }
}

#[test]
fn no_host_crate_imports_another() {
    for (package, dependencies) in packages().iter().filter(|(package, _)| package.starts_with("runner-host-")) {
        let others: Vec<_> = dependencies.iter().filter(|name| name.starts_with("runner-host-")).collect();
        assert!(others.is_empty(), "`{package}` depends on {others:?}");
    }
}

#[test]
fn in_a_host_crate_only_its_wasi_part_knows_the_engine() {
    let kv =
        ["wasi.rs", "wasi/draft.rs", "wasi/draft2.rs", "wasi/ours.rs"].map(|file| format!("runner-host-kv/src/{file}"));
    let kv = kv.each_ref().map(String::as_str);
    assert_nowhere("the engine outside `wasi/`", &mentions("runner-host-kv/src", &["wasmtime"], &kv));
    let http = mentions("runner-host-http/src", &["wasmtime"], &["runner-host-http/src/wasi.rs"]);
    assert_nowhere("the engine outside `wasi.rs`", &http);
}

#[test]
fn the_clock_is_read_in_the_files_named_for_it() {
    let words = ["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now", "OffsetDateTime::now", "Utc::now"];
    assert_nowhere(
        "a clock is read outside `clock.rs`",
        &[
            mentions("runner-core/src", &words, &["runner-core/src/clock.rs"]),
            mentions("runner-host-http/src", &words, &["runner-host-http/src/clock.rs"]),
            mentions("runner-host-kv/src", &words, &["runner-host-kv/src/clock.rs"]),
            mentions("examples/server/src", &words, &["examples/server/src/clock.rs"]),
        ]
        .concat(),
    );
}

#[test]
fn files_are_opened_in_the_compiled_code_store_and_in_mains() {
    let code = ["local", "trusted", "verified"].map(|file| format!("runner-core/src/code/{file}.rs"));
    let code = code.each_ref().map(String::as_str);
    let words = ["std::fs", "tokio::fs", "use std::{fs", "fs::read", "fs::write", "File::open", "File::create"];
    assert_nowhere(
        "files are opened outside the compiled-code store and mains",
        &[
            mentions("runner-core/src", &words, &code),
            // A file of secrets, as the embedder names it.
            mentions("runner-host-http/src", &words, &["runner-host-http/src/secrets.rs"]),
            mentions("runner-host-kv/src", &words, &[]),
            mentions("examples/server/src", &words, &["examples/server/src/main.rs"])
                .into_iter()
                // A directory held by a cap-std handle is the way in.
                .filter(|line| !line.contains("cap_std::fs"))
                .collect(),
        ]
        .concat(),
    );
}

#[test]
fn code_is_trusted_in_one_file() {
    let mut found = mentions("runner-core/src", &["unsafe "], &["runner-core/src/code/trusted.rs"]);
    found.extend(mentions("examples/server/src", &["unsafe ", "unsafe_code"], &[]));
    found.extend(mentions("examples/embed/src", &["unsafe "], &[]));
    assert_nowhere("`unsafe` outside `code/trusted.rs`", &found);
}

#[test]
fn nothing_is_left_to_be_done() {
    for folder in [
        "runner-core/src",
        "runner-host-http/src",
        "runner-host-kv/src",
        "examples/server/src",
        "examples/embed/src",
        "benches",
    ] {
        let found = mentions(folder, &["todo!(", "unimplemented!(", "dbg!(", "#[ignore"], &[]);
        assert_nowhere("a stub called done is a defect", &found);
    }
}

#[test]
fn every_guest_is_named_by_a_test_or_a_bench() {
    let mut texts = String::new();
    for folder in [
        "runner-core/tests",
        "runner-host-http/tests",
        "runner-host-kv/tests",
        "examples/server/tests",
        "examples/embed/tests",
        "benches",
        "tests/it",
    ] {
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
        let name = script.expect("a folder that opens can be listed").file_name();
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
    let libraries = ["runner-core", "runner-host-", "runner-sdk-"];
    let packages = packages();
    let ours = packages.keys().filter(|package| libraries.iter().any(|library| package.starts_with(library)));
    for package in ours {
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
