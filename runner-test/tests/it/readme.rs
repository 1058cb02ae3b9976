//! What the README shows is what was compiled, and its walk leads where it says.

use std::path::Path;

use runner_test::{Fault, Guest, Host, json};

use crate::cargo::without_the_outer_cargo;

const README: &str = include_str!("../../README.md");

/// The block of the README that stands behind some words.
fn block(words: &str) -> &'static str {
    let (_, rest) = README.split_once(words).unwrap_or_else(|| panic!("the README has no `{words}`"));
    let (_, block) = rest.split_once("```").and_then(|(_, rest)| rest.split_once('\n')).expect("a block");
    block.split_once("```").expect("its end").0
}

#[test]
fn the_readme_shows_the_example_as_it_is_compiled() {
    let example = include_str!("../../examples/faults.rs");
    let (_, program) = example.split_once("missing_docs)]\n\n").expect("the lint comes first");
    assert!(README.contains(&format!("```rust\n{program}```")), "the README shows another program:\n{program}");
}

#[tokio::test]
async fn the_readme_leads_from_an_empty_folder_to_tests_on_both_sides() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kit-walk");
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("runner-sdk-guest");
    let visits = folder.join("visits");
    std::fs::create_dir_all(visits.join("src")).expect("a folder");
    let write = |file: &str, text: String| std::fs::write(visits.join(file), text).expect("a file");
    let manifest =
        block("`Cargo.toml`, from `[lib]` on:").replace("\"../runner/runner-sdk-guest\"", &format!("{sdk:?}"));
    write(
        "Cargo.toml",
        format!("[workspace]\n[package]\nname = \"visits\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{manifest}"),
    );
    write("src/lib.rs", block("`src/lib.rs`:").to_owned());
    std::fs::create_dir_all(visits.join(".cargo")).expect("a folder");
    let built = format!("{:?}", env!("CARGO_BIN_EXE_runner-test"));
    write(".cargo/config.toml", block("`.cargo/config.toml`;").replace("\"runner-test\"", &built));
    // Its lock file is that of the kit's own guest, so that nothing is looked up.
    write("Cargo.lock", include_str!("../guest/Cargo.lock").to_owned());

    let mut cargo = without_the_outer_cargo();
    cargo.args(["test", "--target", "wasm32-wasip2", "--target-dir"]).arg(folder.join("target")).current_dir(&visits);
    let output = cargo.output().expect("cargo runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let (expected, _) = block("says\n").split_once("finished in").expect("the summary");
    assert!(out.contains(expected), "expected:\n{expected}found:\n{out}");

    // The test on the host's side, as the README has it.
    let shown = block("`tests/visits.rs`:");
    let (_, body) = shown.split_once("-> runner_test::Result<()> {\n").expect("a test");
    let here = include_str!("readme.rs");
    let (_, compiled) =
        here.split_once("async fn on_the_host(guest: &Guest) -> runner_test::Result<()> {\n").expect("a test");
    let (first, rest) = body.split_once('\n').expect("lines");
    assert_eq!(first.trim(), "let guest = Guest::build(\"../visits\").run()?;");
    assert!(
        compiled.starts_with(&rest.replace("load(&guest)", "load(guest)")),
        "the README shows another test:\n{rest}"
    );
    let guest = Guest::build(&visits).target_dir(folder.join("target")).run().expect("it builds");
    on_the_host(&guest).await.expect("the host does its part");
}

async fn on_the_host(guest: &Guest) -> runner_test::Result<()> {
    let host = Host::builder().kv("default").build()?;
    let program = host.load(guest).await?;

    host.kv("default").fail(Fault::unavailable().times(1));
    let refused = program.call("visit", json!(["home"])).await?;
    assert!(refused.assert_failed("kv-unavailable").retryable);

    program.call("visit", json!(["home"])).await?.assert_returned(json!(1));
    host.kv("default").assert_holds("home", "1");
    Ok(())
}
