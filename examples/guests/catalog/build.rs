//! Builds the guests with the same cargo, each for its target, and writes the list that
//! `src/lib.rs` includes. What it builds stays in OUT_DIR; nothing binary is committed. Cargo
//! has one OUT_DIR for each profile, and another for clippy: RUNNER_GUESTS_TARGET_DIR, an
//! absolute path, lets them share one build.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const UNKNOWN: &str = "wasm32-unknown-unknown";
const P1: &str = "wasm32-wasip1";
const P2: &str = "wasm32-wasip2";

/// The name in the catalog, the package, the target that it is built for.
const GUESTS: &[(&str, &str, &str)] = &[
    ("greet", "greet", UNKNOWN),
    ("greet-p1", "greet-p1", P1),
    ("types", "types", P2),
    ("command-p1", "command", P1),
    ("command-p2", "command", P2),
    ("reactor", "reactor", P1),
    ("files-p1", "files", P1),
    ("files-p2", "files", P2),
    ("files-loop-p1", "files-loop", P1),
    ("files-loop-p2", "files-loop", P2),
    ("descriptors", "descriptors", P2),
    ("http-files", "http-files", P2),
    ("http-hello", "http-hello", P2),
    ("http-client", "http-client", P2),
    ("http-kv", "http-kv", P2),
    ("wstd-client", "wstd-client", P2),
    ("wstd-server", "wstd-server", P2),
    ("misbehave", "misbehave", P2),
    ("kernels", "kernels", UNKNOWN),
    ("big", "big", UNKNOWN),
    ("component-host-call", "component-host-call", UNKNOWN),
    ("http-loop", "http-loop", P2),
    ("kv-loop", "kv-loop", UNKNOWN),
    ("kv-user", "kv-user", UNKNOWN),
    ("kv-counter", "kv-counter", UNKNOWN),
    ("kv-limiter", "kv-limiter", P2),
    ("kv-draft", "kv-draft", UNKNOWN),
    ("kv-draft2", "kv-draft2", P2),
    ("kv-sessions", "kv-sessions", UNKNOWN),
    ("config-reader", "config-reader", P2),
    ("logger", "logger", P2),
    ("kv-wasmcloud", "kv-wasmcloud", P2),
    ("counter", "counter", UNKNOWN),
    ("limiter", "limiter", P2),
    ("faces", "faces", UNKNOWN),
    ("faces-p1", "faces", P1),
    ("faces-p2", "faces", P2),
    ("sdk-files", "sdk-files", UNKNOWN),
    ("sdk-files-p1", "sdk-files", P1),
    ("sdk-files-p2", "sdk-files", P2),
    ("sdk-http", "sdk-http", UNKNOWN),
    ("sdk-http-p1", "sdk-http", P1),
    ("sdk-http-p2", "sdk-http", P2),
    ("site", "site", UNKNOWN),
    ("summarise", "summarise", UNKNOWN),
    ("webhook", "webhook", UNKNOWN),
    ("corners", "corners", UNKNOWN),
    ("corners-p1", "corners", P1),
    ("corners-p2", "corners", P2),
    ("tasks", "tasks", UNKNOWN),
    ("tasks-kv", "tasks-kv", UNKNOWN),
    ("tasks-p1", "tasks", P1),
    ("tasks-p2", "tasks", P2),
];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let guests = here.parent().expect("the catalog is in the guests' folder");
    for watched in ["rust", "wit", "wat", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", guests.join(watched).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    // The guests of a capability speak its own WIT packages.
    for package in ["runner-host-config", "runner-host-kv", "runner-host-logging"] {
        println!("cargo::rerun-if-changed={}", guests.join("../..").join(package).join("wit").display());
    }
    println!("cargo::rerun-if-changed={}", guests.join("../../runner-sdk-guest").display());

    require_targets();
    let target_dir = env::var_os("RUNNER_GUESTS_TARGET_DIR").map(PathBuf::from);
    let target_dir = target_dir.unwrap_or_else(|| out.join("target"));
    let mut list = String::from("static GUESTS: &[Guest] = &[\n");
    for (name, package, target) in GUESTS {
        let built = build(guests, &target_dir, package, target);
        let file = format!("{name}.wasm");
        fs::copy(&built, out.join(&file)).unwrap_or_else(|e| {
            stop(&format!("`{}` cannot be copied: {e}", built.display()));
        });
        list += &format!(
            "    Guest {{ name: {name:?}, file: {file:?}, target: {target:?}, \
             bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\")) }},\n"
        );
    }
    list += "];\n\nstatic TEXTS: &[Text] = &[\n";
    for path in texts(&guests.join("wat")) {
        list += &text_entry(&path);
    }
    list += "];\n";
    fs::write(out.join("list.rs"), list).expect("OUT_DIR can be written");
}

/// Ends the build where a target's standard library is missing, and says what to type.
fn require_targets() {
    let missing: Vec<&str> = [UNKNOWN, P1, P2].into_iter().filter(|t| !installed(t)).collect();
    if !missing.is_empty() {
        let missing = missing.join(" ");
        stop(&format!(
            "the guests need Rust's standard library for: {missing}\n\n    \
             rustup target add {missing}\n\n\
             or let ./scripts/test.sh install what is missing and run the tests"
        ));
    }
}

fn installed(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").expect("cargo sets it");
    let answer = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .unwrap_or_else(|e| stop(&format!("rustc does not run: {e}")));
    let folder = String::from_utf8_lossy(&answer.stdout);
    answer.status.success() && Path::new(folder.trim()).is_dir()
}

/// Builds one package alone, as one does by hand: built together, packages would lend each
/// other the features of what they both depend on.
fn build(guests: &Path, target_dir: &Path, package: &str, target: &str) -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    for (name, _) in env::vars_os().filter(|(name, _)| disturbs(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
    cargo
        .env("CARGO_TARGET_DIR", target_dir)
        .args(["build", "--release", "--locked", "--target", target, "--package", package])
        .current_dir(guests);
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(status) => stop(&format!("the guest `{package}` for {target} did not build: {status}")),
        Err(e) => stop(&format!("cargo does not run: {e}")),
    }
    let file = target_dir.join(target).join("release").join(format!("{package}.wasm"));
    // A library's file has the name of its crate.
    if file.exists() { file } else { file.with_file_name(package.replace('-', "_") + ".wasm") }
}

/// What the outer build has set for itself: its flags, wrappers, profiles and targets. What
/// says where cargo's home and registries are stays, and so does the job server.
fn disturbs(name: &str) -> bool {
    let kept = ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];
    let ours = ["CARGO_", "RUSTC", "RUSTFLAGS", "RUSTDOC", "CLIPPY"];
    ours.iter().any(|it| name.starts_with(it)) && !kept.iter().any(|it| name.starts_with(it))
}

fn texts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| {
        stop(&format!("`{}` cannot be read: {e}", folder.display()));
    });
    let mut texts: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder that opens can be listed").path())
        .filter(|path| path.extension().is_some_and(|it| it == "wat"))
        .collect();
    texts.sort();
    texts
}

/// The first line of a text is `;; Title. What it does.`
fn text_entry(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|e| {
        stop(&format!("`{}` cannot be read: {e}", path.display()));
    });
    let first = text.lines().next().and_then(|line| line.strip_prefix(";; "));
    let Some((title, about)) = first.and_then(|line| line.split_once(". ")) else {
        stop(&format!("`{}` does not begin with `;; Title. What it does.`", path.display()))
    };
    let name = path.file_stem().expect("it ends in .wat").to_string_lossy();
    format!(
        "    Text {{ name: {name:?}, file: \"{name}.wat\", title: {title:?}, about: {about:?}, \
         text: include_str!({path:?}) }},\n"
    )
}

fn stop(why: &str) -> ! {
    eprintln!("error: {why}");
    exit(1);
}
