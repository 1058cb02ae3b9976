//! A guest's crate, built by one call; and what is said where it does not build.

use std::fs;
use std::path::Path;

use runner_test::{ErrorKind, Guest, Host, json};

fn package(folder: &Path, manifest: &str, file: &str, source: &str) {
    fs::create_dir_all(folder.join("src")).expect("a folder");
    fs::write(
        folder.join("Cargo.toml"),
        format!("[workspace]\n[package]\nname = \"made\"\nedition = \"2024\"\n{manifest}"),
    )
    .expect("a file");
    fs::write(folder.join("src").join(file), source).expect("a file");
}

const CDYLIB: &str = "[lib]\ncrate-type = [\"cdylib\"]";

#[tokio::test]
async fn a_guest_is_built_from_its_folder_and_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let double = "#[unsafe(no_mangle)] pub extern \"C\" fn double(x: i32) -> i32 { x * if cfg!(feature = \"triple\") { 3 } else { 2 } }";
    package(folder.path(), &format!("[features]\ntriple = []\n{CDYLIB}"), "lib.rs", double);
    let host = Host::builder().build().expect("the host starts");
    for (build, expected) in [
        (Guest::build(folder.path()), 42),
        (Guest::build(folder.path()).package("made").debug(), 42),
        (Guest::build(folder.path()).feature("triple").target("wasm32-wasip1"), 63),
    ] {
        let guest = build.run().expect("it builds");
        let program = host.load(&guest).await.expect("it loads");
        program.call("double", json!([21])).await.expect("it runs").assert_returned(json!(expected));
    }
    assert!(folder.path().join("target").exists(), "its own, not that of the test");
}

#[test]
fn a_guest_that_does_not_build_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let build = |at: &str| Guest::build(folder.path().join(at)).target_dir(folder.path().join("target")).run();
    package(&folder.path().join("broken"), CDYLIB, "lib.rs", "fn broken( {}");
    package(&folder.path().join("library"), "", "lib.rs", "");
    for (at, expected) in [
        ("broken", "error: this file contains an unclosed delimiter"),
        ("library", "builds no module: expected `crate-type"),
    ] {
        let error = build(at).expect_err(at);
        assert_eq!(error.kind(), ErrorKind::Build);
        assert!(error.to_string().contains(expected), "{at}: {error}");
    }
    let error = build("nowhere").expect_err("no such folder");
    assert!(error.to_string().starts_with("cargo does not run"), "{error}");
    let error = Guest::build(folder.path().join("library")).target("wasm32-none").run().expect_err("no such target");
    assert!(error.to_string().contains("does not build for wasm32-none"), "{error}");
}
