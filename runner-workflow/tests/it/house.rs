//! What the crate must not have, read from its sources.

use std::path::Path;

/// Every source below a folder, with its text.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[track_caller]
fn nowhere(words: &[&str], except: &[&str]) {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    for (file, text) in found {
        let allows = |allowed: &&str| file.ends_with(allowed) || (allowed.ends_with('/') && file.contains(allowed));
        if except.iter().any(allows) {
            continue;
        }
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            assert!(!words.iter().any(|word| line.contains(word)), "{file}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn the_machine_reads_no_clock_awaits_nothing_and_touches_nothing() {
    let around = ["/clock.rs", "/conformance.rs", "/driver.rs", "/store.rs", "/store/sqlite.rs", "/wasm.rs"];
    let words = ["std::time", "async ", ".await", "std::fs", "std::net", "std::thread", "std::env", "static mut"];
    nowhere(&words, &[&around[..], &["/driver/", "/store/sqlite/"]].concat());
}

#[test]
fn what_keeps_executions_reads_one_clock_and_no_file() {
    nowhere(&["SystemTime", "Instant::now", "std::fs", "std::net", "std::env"], &["/clock.rs"]);
}

#[test]
fn one_file_knows_the_executor_of_modules() {
    nowhere(&["runner_core"], &["/wasm.rs"]);
}

#[test]
fn one_file_knows_the_engine_of_jsonata_and_two_its_syntax() {
    nowhere(&["jsonata_core"], &["jsonata/core.rs", "jsonata/prepare.rs", "jsonata/free.rs"]);
}
