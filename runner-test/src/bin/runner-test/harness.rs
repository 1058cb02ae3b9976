//! Rust's own test harness, run one test at a time: what it is asked, and what its answers mean. It runs nothing itself.
//!
//! On WebAssembly a panic ends the whole program, with the harness in it: its message, which the harness had captured, and the
//! tests after it would be lost. So each test has an instance of its own, and the report is written here, in the harness's form.

use std::fmt::Write;

use runner_core::{Ending, Outcome, Trap};

/// Names a variable that the harness reads, and no other program does: how it is known.
const MARK: &[u8] = b"RUST_TEST_NOCAPTURE";

/// Names a variable that examples of the documentation read, which `rustdoc` has put into one program: it has the harness as
/// well, and takes no arguments for it.
const MARK_OF_EXAMPLES: &[u8] = b"RUSTDOC_DOCTEST_BIN_PATH";

/// Whether a module carries Rust's test harness, and lets it read the arguments.
pub(crate) fn is_in(wasm: &[u8]) -> bool {
    let has = |mark: &[u8]| wasm.windows(mark.len()).any(|window| window == mark);
    has(MARK) && !has(MARK_OF_EXAMPLES)
}

/// What `cargo test` passes on, where tests can be run one at a time.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// Which tests: filters, and what is said of them.
    filters: Vec<String>,
    /// What holds for each test as well.
    each: Vec<String>,
    /// Whether the output of tests that passed is shown.
    pub(crate) shows_output: bool,
    /// Whether names are left out.
    pub(crate) is_quiet: bool,
}

impl Asked {
    /// Reads the arguments; `None` where they ask for something else than tests one after the other (`--list`, `--bench`,
    /// another format, ..), which the harness does by itself.
    pub(crate) fn read(arguments: &[String]) -> Option<Self> {
        let mut asked = Asked::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with('-') => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let mut value = || value.clone().or_else(|| arguments.next().cloned());
            match name {
                "--exact" => asked.filters.push(name.to_owned()),
                "--ignored" | "--include-ignored" => {
                    asked.filters.push(name.to_owned());
                    asked.each.push(name.to_owned());
                }
                "--skip" => asked.filters.extend([name.to_owned(), value()?]),
                "--nocapture" | "--no-capture" | "--show-output" => asked.shows_output = true,
                "-q" | "--quiet" => asked.is_quiet = true,
                "--test-threads" | "--color" => drop(value()?),
                "--test" => {}
                _ if name.starts_with('-') => return None,
                filter => asked.filters.push(filter.to_owned()),
            }
        }
        Some(asked)
    }

    /// Whether some tests may be left out.
    pub(crate) fn chooses(&self) -> bool {
        !self.filters.is_empty()
    }

    /// The arguments that list the tests asked for.
    pub(crate) fn list(&self) -> Vec<String> {
        ["--list", "--format", "terse"].map(str::to_owned).into_iter().chain(self.filters.clone()).collect()
    }

    /// The arguments that run one of them. What it prints is captured here: there, a panic would take it along.
    pub(crate) fn one(&self, test: &str) -> Vec<String> {
        let alone = ["--exact", test, "--nocapture", "--test-threads", "1", "--color", "never"];
        alone.map(str::to_owned).into_iter().chain(self.each.clone()).collect()
    }
}

/// The tests of a list; `None` where it is none, and so comes from a program that has run instead.
pub(crate) fn listed(stdout: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(stdout);
    let lines = || text.lines().filter(|line| !line.is_empty());
    let is_list = lines().all(|line| line.ends_with(": test") || line.ends_with(": benchmark"));
    is_list.then(|| lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// What became of one test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Passed,
    /// With what the harness says of it, such as a reason.
    Ignored(String),
    Failed,
}

/// What became of a test, and what it printed: `all` is what came on both streams.
pub(crate) fn judge(test: &str, outcome: &Outcome, all: &[u8]) -> (Verdict, String) {
    let said = String::from_utf8_lossy(&outcome.stdout);
    let all = String::from_utf8_lossy(all);
    // What the harness prints before a test, and what it prints after it.
    let begins = all.find(&format!("test {test}")).and_then(|at| Some(at + all[at..].find(" ... ")? + " ... ".len()));
    let own = begins.map_or(all.as_ref(), |at| &all[at..]);
    let between = |end: &str| own.rfind(end).map_or(own, |at| &own[..at]).to_owned();
    let result = said.rfind("\ntest result: ").map(|at| &said[at..]).unwrap_or_default();
    match &outcome.ending {
        Ending::Returned(_) if result.contains(" 1 passed;") => (Verdict::Passed, between("ok\n\ntest result: ")),
        Ending::Returned(_) if result.contains(" 1 ignored;") => {
            let why = own.lines().next().unwrap_or_default().strip_prefix("ignored").unwrap_or_default();
            (Verdict::Ignored(why.to_owned()), String::new())
        }
        Ending::Returned(_) => (Verdict::Failed, format!("{own}it left the program before it had ended\n")),
        Ending::Failed(_) if !result.is_empty() => (Verdict::Failed, between("FAILED\n\nfailures:\n")),
        Ending::Failed(failure) => (Verdict::Failed, format!("{own}{}\n", failure.message)),
        Ending::Trapped(trap) => (Verdict::Failed, format!("{own}{}\n", shown(trap))),
        Ending::Exhausted(limit) => (Verdict::Failed, format!("{own}it met its limit on {limit}\n")),
        other => (Verdict::Failed, format!("{own}it was stopped: {other:?}\n")),
    }
}

/// A trap with the frames of the test: what carries it out below and above is left out, as Rust's short backtraces do.
fn shown(trap: &Trap) -> String {
    let has = |at: usize, marker: &str| trap.backtrace[at].function.contains(marker);
    let frames = trap.backtrace.len();
    let harness = (0..frames).find(|at| has(*at, "__rust_begin_short_backtrace")).unwrap_or(frames);
    let panicked = (0..harness).rfind(|at| has(*at, "core::panicking::")).map_or(0, |at| at + 1);
    let mut text = trap.message.clone();
    for frame in &trap.backtrace[panicked..harness] {
        let _ = write!(text, "\n    at {}", frame.function);
        if let Some(offset) = frame.offset {
            let _ = write!(text, " (+{offset:#x})");
        }
    }
    text
}

/// The tests so far, and the report on them.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    ignored: usize,
    failed: Vec<(String, String)>,
    shown: Vec<(String, String)>,
}

impl Report {
    /// Adds a test; gives what stands behind its name.
    pub(crate) fn add(&mut self, test: &str, verdict: &Verdict, output: String, shows_output: bool) -> String {
        let word = match verdict {
            Verdict::Passed => {
                self.passed += 1;
                "ok".to_owned()
            }
            Verdict::Ignored(why) => {
                self.ignored += 1;
                format!("ignored{why}")
            }
            Verdict::Failed => {
                self.failed.push((test.to_owned(), output));
                return "FAILED".to_owned();
            }
        };
        if shows_output && !output.is_empty() {
            self.shown.push((test.to_owned(), output));
        }
        word
    }

    /// Whether no test failed.
    pub(crate) fn is_good(&self) -> bool {
        self.failed.is_empty()
    }

    /// What is said at the end.
    pub(crate) fn end(&self, filtered_out: usize, seconds: f64) -> String {
        let mut text = String::new();
        for (title, tests) in [("successes", &self.shown), ("failures", &self.failed)] {
            if tests.is_empty() {
                continue;
            }
            let _ = write!(text, "\n{title}:\n");
            for (test, output) in tests {
                let _ = write!(text, "\n---- {test} ----\n{output}");
                if !output.ends_with('\n') {
                    text.push('\n');
                }
            }
            let _ = write!(text, "\n{title}:\n");
            for (test, _) in tests {
                let _ = writeln!(text, "    {test}");
            }
        }
        let (word, passed, ignored) = (if self.is_good() { "ok" } else { "FAILED" }, self.passed, self.ignored);
        let failed = self.failed.len();
        let _ = write!(
            text,
            "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; {filtered_out} filtered \
             out; finished in {seconds:.2}s\n\n"
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use runner_core::{Failure, Frame, Usage};
    use serde_json::Value;

    use super::*;

    fn read(arguments: &[&str]) -> Option<Asked> {
        Asked::read(&arguments.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_asks_for_tests_is_told_from_what_does_not() {
        assert_eq!(read(&[]), Some(Asked::default()));
        let asked = read(&["a", "--skip", "b", "--skip=c", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
        let asked = asked.expect("tests are asked for");
        assert!(asked.shows_output && asked.chooses() && !asked.is_quiet);
        let list = ["--list", "--format", "terse", "a", "--skip", "b", "--skip", "c", "--exact", "--ignored"];
        assert_eq!(asked.list(), list);
        let one = ["--exact", "x", "--nocapture", "--test-threads", "1", "--color", "never", "--ignored"];
        assert_eq!(asked.one("x"), one);
        for other in [&["--list"][..], &["--bench"], &["--format", "json"], &["-Z", "unstable-options"], &["-h"]] {
            assert_eq!(read(other), None, "{other:?}");
        }
        assert_eq!(read(&["--skip"]), None, "for the harness to refuse");
    }

    #[test]
    fn what_is_no_list_is_not_taken_for_an_empty_one() {
        assert_eq!(listed(b"a: test\nb::c: test\nd: benchmark\n"), Some(vec!["a".to_owned(), "b::c".to_owned()]));
        assert_eq!(listed(b""), Some(Vec::new()));
        assert_eq!(listed(b"\nrunning 1 test\ntest a ... ok\n"), None);
    }

    #[test]
    fn the_harness_is_known_by_what_it_reads() {
        for (wasm, is_there) in [
            (&b"..RUST_TEST_NOCAPTURE.."[..], true),
            (b"..RUST_TEST..", false),
            (b"RUSTDOC_DOCTEST_BIN_PATH..RUST_TEST_NOCAPTURE", false),
        ] {
            assert_eq!(is_in(wasm), is_there);
        }
    }

    fn outcome(ending: Ending, stdout: &str) -> Outcome {
        Outcome { call_id: 1, ending, usage: Usage::default(), stdout: stdout.into(), stderr: Vec::new() }
    }

    #[test]
    fn a_test_is_judged_by_what_the_harness_says_at_its_end() {
        let head = "\nrunning 1 test\ntest a::b ... ";
        let exit = |code| {
            let message = format!("the guest exited with code {code}");
            let (code, exit_code) = ("exit".to_owned(), Some(code));
            Ending::Failed(Box::new(Failure { code, message, retryable: false, exit_code, value: None }))
        };
        let passed =
            format!("{head}hello\nok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out\n");
        let failed = format!(
            "{head}hi\nFAILED\n\nfailures:\n\nfailures:\n    a::b\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored\n"
        );
        let ignored = format!("{head}ignored, later\n\ntest result: ok. 0 passed; 0 failed; 1 ignored; 0 measured\n");
        let liar = format!("{head}ok\n\ntest result: ok. 1 passed; 0 failed;");
        for (ending, stdout, verdict, output) in [
            (Ending::Returned(Value::Null), passed.as_str(), Verdict::Passed, "hello\n"),
            (exit(101), &failed, Verdict::Failed, "hi\n"),
            (exit(1), &failed, Verdict::Failed, "hi\n"),
            (Ending::Returned(Value::Null), &ignored, Verdict::Ignored(", later".to_owned()), ""),
            (Ending::Returned(Value::Null), head, Verdict::Failed, "it left the program before it had ended\n"),
            (exit(7), head, Verdict::Failed, "the guest exited with code 7\n"),
            (exit(7), &liar, Verdict::Failed, "ok\n\ntest result: ok. 1 passed; 0 failed;"),
        ] {
            let found = judge("a::b", &outcome(ending.clone(), stdout), stdout.as_bytes());
            assert_eq!(found, (verdict, output.to_owned()), "{ending:?} {stdout}");
        }
    }

    #[test]
    fn of_a_panic_the_frames_of_the_test_are_shown() {
        let functions = ["abort", "std::panicking::x", "core::panicking::panic_fmt", "core::panicking::assert_failed"];
        let functions = functions.iter().chain(&["mine::inner", "mine::test"]);
        let functions = functions.chain(&["test::__rust_begin_short_backtrace::<..>", "_start"]);
        let backtrace = functions.map(|name| Frame { function: (*name).to_owned(), offset: None }).collect();
        let mut trap = Trap { code: "unreachable".to_owned(), message: "trapped".to_owned(), backtrace };
        assert_eq!(shown(&trap), "trapped\n    at mine::inner\n    at mine::test");
        trap.backtrace.truncate(2);
        assert_eq!(shown(&trap), "trapped\n    at abort\n    at std::panicking::x", "another language's");
    }

    #[test]
    fn the_report_counts_and_names_what_failed() {
        let mut report = Report::default();
        assert_eq!(report.add("a", &Verdict::Passed, "quiet".to_owned(), false), "ok");
        assert_eq!(report.add("b", &Verdict::Ignored(", later".to_owned()), String::new(), false), "ignored, later");
        assert!(report.is_good());
        let counts = "1 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 1.50s";
        assert_eq!(report.end(3, 1.5), format!("\ntest result: ok. {counts}\n\n"));
        assert_eq!(report.add("c", &Verdict::Failed, "why\n".to_owned(), false), "FAILED");
        assert!(!report.is_good());
        let end = report.end(0, 0.0);
        assert!(
            end.starts_with("\nfailures:\n\n---- c ----\nwhy\n\nfailures:\n    c\n\ntest result: FAILED. 1 passed; 1")
        );
    }
}
