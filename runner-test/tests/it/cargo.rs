//! `cargo test` of a guest, with the runner as it was built: what passes, what fails, and what is said of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-wasip1"];

/// `cargo test` in the guest's folder; `runner` is what stands in `.cargo/config.toml`.
fn cargo_test(target: &str, runner: &str, arguments: &[&str]) -> Output {
    let mut cargo = without_the_outer_cargo();
    let runner = format!("target.{target}.runner = [{:?}, {runner}]", env!("CARGO_BIN_EXE_runner-test"));
    cargo.args(["test", "--target", target, "--target-dir"]).arg(folder().join("target")).args(["--config", &runner]);
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest"));
    cargo.env("KIT_NAMED", "named").env("KIT_UNNAMED", "unnamed").env("RUST_BACKTRACE", "0").args(arguments);
    cargo.output().expect("cargo runs")
}

/// Cargo, without what the cargo of this test has set for it. All that rustup is told stays: which toolchain it is, whatever
/// file a dependency carries, and that nothing is to be installed.
pub(crate) fn without_the_outer_cargo() -> Command {
    // Where no cargo runs this test, rustup's own `cargo` has to be asked: it names the toolchain for those below it.
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        let is_outer =
            ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "RUST_", "RUNNER_TEST"].iter().any(|it| shown.starts_with(it));
        if is_outer && shown != "CARGO_HOME" {
            cargo.env_remove(&name);
        }
    }
    cargo
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("kit-guest")
}

/// What the guest's tests may use.
fn settings() -> String {
    let path = folder().join("settings.toml");
    std::fs::create_dir_all(folder()).expect("a folder");
    let text = "env = [\"KIT_NAMED\"]\n[grants.kv.stores.default]\nnamespace = \"tests\"\n[grants.fs.mounts.\"/data\"]\n[grants.logging]\nlevel = \"info\"\n";
    std::fs::write(&path, text).expect("a file");
    format!("\"--config\", {path:?}")
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn tests_of_a_guest_run_each_in_an_instance_of_its_own() {
    for target in TARGETS {
        let output = cargo_test(target, &settings(), &["--lib"]);
        let (out, err) = said(&output);
        assert_eq!(output.status.code(), Some(101), "{target}: {out}{err}");
        for line in [
            "running 12 tests",
            "test tests::good_visits_are_counted ... ok",
            "test tests::good_stores_are_empty_at_the_beginning ... ok",
            "test tests::good_files_are_empty_at_the_beginning ... ok",
            "test tests::good_files_are_empty_for_each_test ... ok",
            "test tests::good_tests_see_what_cargo_says_of_the_package_and_no_more ... ok",
            "test tests::good_results_pass ... ok",
            "test tests::good_but_ignored ... ignored, for later",
            "test tests::good_at_panicking ... ignored",
            "test tests::bad_assertions_fail ... FAILED",
            "test tests::bad_results_fail ... FAILED",
            "test tests::bad_exits_fail ... FAILED",
            "test tests::bad_recursion_meets_its_limit ... FAILED",
            // Of each what it said, and what ended it.
            "said before",
            "assertion `left == right` failed: one visit is not seven",
            "    at visits::tests::bad_assertions_fail",
            "Error: \"it says no\"",
            "it left the program before it had ended",
            "it met its limit on stack",
            "test result: FAILED. 6 passed; 4 failed; 2 ignored; 0 measured; 0 filtered out",
        ] {
            assert!(out.lines().any(|found| found.starts_with(line)), "{target}: no line `{line}` in\n{out}\n{err}");
        }
        assert!(!out.contains("said by one that passes"), "{target}: {out}");
        assert!(err.contains("exit status: 101") || err.contains("test failed, to rerun"), "{target}: {err}");
    }
}

#[test]
fn what_cargo_is_asked_for_is_passed_on() {
    for target in TARGETS {
        let output = cargo_test(target, &settings(), &["--lib", "--", "good", "--skip", "empty", "--show-output"]);
        let (out, err) = said(&output);
        assert!(output.status.success(), "{target}: {out}{err}");
        assert!(out.contains("---- tests::good_results_pass ----\nsaid by one that passes"), "{target}: {out}");
        assert!(
            out.contains("test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 7 filtered out"),
            "{target}: {out}"
        );
        let (out, _) = said(&cargo_test(target, &settings(), &["--lib", "--", "--ignored", "good_but", "--nocapture"]));
        assert!(out.contains("said by one that was ignored") && out.contains("1 passed; 0 failed"), "{target}: {out}");
        let (out, _) =
            said(&cargo_test(target, &settings(), &["--lib", "--", "--exact", "tests::good_results_pass", "-q"]));
        assert!(out.contains("running 1 test\n.\n"), "{target}: {out}");
        // The harness itself.
        let (out, _) = said(&cargo_test(target, &settings(), &["--lib", "--", "--list"]));
        assert!(out.contains("12 tests, 0 benchmarks"), "{target}: {out}");
    }
}

#[test]
fn a_whole_run_ends_with_what_ended_it() {
    let whole = format!("\"--whole\", {}", settings());
    for (target, filter, code, words) in [
        ("wasm32-wasip2", "bad_assertions_fail", 134, "the guest trapped: wasm trap: wasm `unreachable`"),
        ("wasm32-wasip1", "bad_recursion", 137, "the guest met its limit on stack"),
        // WASI 0.2 knows success and failure alone.
        ("wasm32-wasip2", "bad_results_fail", 1, "exit status: 1"),
    ] {
        let output = cargo_test(target, &whole, &["--lib", "--", filter]);
        let (out, err) = said(&output);
        assert!(err.contains(words), "{target} {filter}: {out}{err}");
        let shown = format!("exit status: {code}");
        assert!(err.contains(&shown), "{target} {filter}: {err}");
    }
    let output = cargo_test("wasm32-wasip2", &whole, &["--lib", "--", "good_results_pass"]);
    assert!(output.status.success(), "{:?}", said(&output));
}

#[test]
fn examples_of_the_documentation_run_as_they_are() {
    let output = cargo_test("wasm32-wasip2", &settings(), &["--doc"]);
    let (out, err) = said(&output);
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains("test src/lib.rs - visit (line 7) ... ok") && out.contains("1 passed"), "{out}{err}");
}

#[test]
fn without_a_grant_the_tests_do_not_run_and_the_grant_is_named() {
    let logs = "\"--grant\", \"logging={}\"";
    let output = cargo_test("wasm32-wasip2", logs, &["--lib", "--", "good_results_pass"]);
    let (out, err) = said(&output);
    assert!(!output.status.success() && !out.contains("running"), "{out}{err}");
    assert!(err.contains("import `runner:kv/store@0.1.0`") && err.contains("as in `--grant kv`"), "{err}");
    // One word opens it.
    let output = cargo_test("wasm32-wasip2", &format!("\"--grant\", \"kv\", {logs}"), &["--lib", "--", "good_visits"]);
    let (out, err) = said(&output);
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
    for (flags, words) in [
        ("\"--grant\", \"http\"", "grant `http` has to say what it allows"),
        ("\"--grant\", \"nothing={}\"", "grant for `nothing`: no such capability"),
        ("\"--grant\", \"kv=[\"", "grant `kv` is not JSON"),
        ("\"--config\", \"/nowhere.toml\"", "`/nowhere.toml` cannot be read"),
    ] {
        let (out, err) = said(&cargo_test("wasm32-wasip2", flags, &["--lib"]));
        assert!(err.contains(words) && !out.contains("running"), "{flags}: {out}{err}");
    }
}
