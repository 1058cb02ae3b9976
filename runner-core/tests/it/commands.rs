//! Commands on WASI preview 1 and 2, and the defaults that are closed until something opens them.

use std::time::Duration;

use runner_core::{Deterministic, Ending, Limits, Outcome};

use crate::support::program;

const BOTH: [&str; 2] = ["command-p1.wasm", "command-p2.wasm"];

async fn run(guest: &str, args: &[&str]) -> Outcome {
    let args = ["command"].iter().chain(args).copied();
    program(guest).await.command().args(args).run().await.expect("the host does its part")
}

fn stdout(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout).trim().to_owned()
}

#[tokio::test]
async fn arguments_environment_and_input_arrive() {
    for guest in BOTH {
        assert_eq!(stdout(&run(guest, &["echo", "a b", "ü"]).await), "a b ü", "{guest}");
        let command = program(guest).await.command().args(["command", "env", "NAME"]).env("NAME", "value");
        assert_eq!(stdout(&command.run().await.expect("it runs")), "value", "{guest}");
        let command = program(guest).await.command().args(["command", "cat"]).stdin("line 1\nline 2\n");
        let outcome = command.run().await.expect("it runs");
        assert_eq!(outcome.stdout, b"line 1\nline 2\n", "{guest}");
        assert!(outcome.ending.is_returned(), "{guest}");
    }
}

#[tokio::test]
async fn a_guest_finds_what_it_was_given_and_nothing_of_the_host_s() {
    assert!(std::env::vars().count() > 0 && std::env::args().count() > 0, "the host has something to hide");
    for guest in BOTH {
        let program = program(guest).await;
        let run = async |verb: &[&str], env: &[(&str, &str)], stdin: &'static str| {
            let mut command = program.command().arg("command").args(verb.iter().copied()).stdin(stdin);
            for (name, value) in env {
                command = command.env(*name, *value);
            }
            let outcome = command.run().await.expect("it runs");
            assert!(outcome.ending.is_returned(), "{guest} {verb:?}: {:?}", outcome.ending);
            String::from_utf8(outcome.stdout).expect("text")
        };
        assert_eq!(run(&["env"], &[], "").await, "", "{guest}");
        assert_eq!(run(&["env"], &[("ONE", "1"), ("ÜBER", "a=b c")], "").await, "ONE=1\nÜBER=a=b c\n", "{guest}");
        assert_eq!(run(&["args"], &[], "").await, "\"args\"\n", "{guest}");
        assert_eq!(run(&["args", "a b", "", "ü"], &[], "").await, "\"args\"\n\"a b\"\n\"\"\n\"ü\"\n", "{guest}");
        assert_eq!(run(&["cat"], &[], "").await, "", "{guest}");
        assert_eq!(run(&["cat"], &[], "all of it").await, "all of it", "{guest}");
    }
}

#[tokio::test]
async fn nothing_is_open_but_the_standard_streams() {
    assert_eq!(stdout(&run("command-p1.wasm", &["opened"]).await), "fd 0\nfd 1\nfd 2");
    let expected = "directories 0\nlookup permanent-resolver-failure\ntcp bind access-denied\n\
        tcp connect access-denied\nudp bind access-denied";
    assert_eq!(stdout(&run("command-p2.wasm", &["opened"]).await), expected);
}

#[tokio::test]
async fn exit_codes_arrive() {
    for (guest, code, expected) in [
        ("command-p1.wasm", "0", None),
        ("command-p1.wasm", "3", Some(3)),
        ("command-p1.wasm", "255", Some(255)),
        ("command-p2.wasm", "0", None),
        // Rust's std on WASI 0.2 knows success and failure only.
        ("command-p2.wasm", "3", Some(1)),
    ] {
        match (run(guest, &["exit", code]).await.ending, expected) {
            (Ending::Returned(_), None) => {}
            (Ending::Failed(failure), Some(_)) => {
                assert_eq!((failure.exit_code, failure.code.as_str()), (expected, "exit"), "{guest} {code}");
            }
            (found, _) => panic!("{guest} {code}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn standard_error_is_kept_apart() {
    for guest in BOTH {
        let outcome = run(guest, &["stderr", "oh"]).await;
        assert_eq!((outcome.stdout.as_slice(), outcome.stderr.trim_ascii()), (&b""[..], &b"oh"[..]), "{guest}");
    }
}

#[tokio::test]
async fn there_are_no_files_and_no_sockets() {
    let check = async |guest, args: &[&str], words: &str| {
        let outcome = run(guest, args).await;
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert!(said.contains(words), "{guest} {args:?}: {said}");
        let Ending::Failed(failure) = &outcome.ending else { panic!("{guest} {args:?}: {:?}", outcome.ending) };
        assert_eq!((failure.exit_code, stdout(&outcome).as_str()), (Some(1), ""), "{guest} {args:?}");
    };
    for guest in BOTH {
        for args in [&["ls", "/"][..], &["ls", "."], &["read", "/etc/passwd"], &["write", "/tmp/x", "text"]] {
            // Of no such directory, since none is open; the system's own says otherwise of the first two.
            check(guest, args, "NotFound (Some(44))").await;
        }
    }
    check("command-p1.wasm", &["connect", "127.0.0.1:1"], "Unsupported").await;
    check("command-p2.wasm", &["connect", "127.0.0.1:1"], "PermissionDenied").await;
}

#[tokio::test]
async fn clocks_and_random_numbers_repeat_on_request() {
    for guest in BOTH {
        for args in [&["random", "16"][..], &["clock"]] {
            let seeded = async |seed| {
                let command = program(guest).await.command().arg("command").args(args.iter().copied());
                stdout(&command.deterministic(Deterministic::seed(seed)).run().await.expect("it runs"))
            };
            assert_eq!(seeded(1).await, seeded(1).await, "{guest} {args:?}");
            assert_ne!(stdout(&run(guest, args).await), stdout(&run(guest, args).await), "{guest} {args:?}");
        }
        let random = async |seed| {
            let command = program(guest).await.command().args(["command", "random", "16"]);
            stdout(&command.deterministic(Deterministic::seed(seed)).run().await.expect("it runs"))
        };
        assert_ne!(random(1).await, random(2).await, "{guest}");
    }
}

#[tokio::test]
async fn a_clock_that_repeats_starts_where_the_caller_says() {
    for guest in BOTH {
        let program = program(guest).await;
        let clock = async |start| {
            let command = program.command().args(["command", "clock"]);
            let outcome = command.deterministic(Deterministic { seed: 1, start }).run().await.expect("it runs");
            let numbers = stdout(&outcome).lines().map(|line| line.parse().expect("a number")).collect::<Vec<u64>>();
            (numbers[0], numbers[1..].to_vec())
        };
        let start = Duration::from_secs(1_000_000_000);
        let (wall, monotonic) = clock(start).await;
        // Each reading advances its clock by a microsecond, and a guest takes few of them.
        assert!((0..10_000).contains(&(wall - start.as_nanos() as u64)), "{guest}: {wall}");
        assert_eq!(monotonic[1] - monotonic[0], 1_000, "{guest}: {monotonic:?}");
        let later = clock(start + Duration::from_secs(1)).await;
        assert_eq!(later, (wall + 1_000_000_000, monotonic), "{guest}");
    }
}

#[tokio::test]
async fn a_sleep_takes_its_time_on_a_clock_that_repeats_too() {
    let programs = [program(BOTH[0]).await, program(BOTH[1]).await];
    tokio::time::pause();
    for (guest, program) in BOTH.iter().zip(programs) {
        for (deadline, returns) in [(5, true), (2, false)] {
            let command = program.command().args(["command", "sleep", "3000"]).deterministic(Deterministic::seed(1));
            let limits = Limits { deadline: Duration::from_secs(deadline), ..Limits::default() };
            let outcome = command.limits(limits).run().await.expect("it runs");
            assert_eq!(outcome.ending.is_returned(), returns, "{guest}: {:?}", outcome.ending);
            assert_eq!(outcome.usage.wall.as_secs(), deadline.min(3), "{guest}: {}", outcome.usage);
        }
    }
}

#[tokio::test]
async fn a_reactor_is_initialized_before_its_first_call() {
    let program = program("reactor.wasm").await;
    let outcome = program.call("initialized").run().await.expect("it runs");
    assert_eq!(outcome.returned(), Some(serde_json::json!(1)));
    let outcome = program.call("greet").env("GREETING", "ahoy").run().await.expect("it runs");
    assert_eq!(outcome.stdout, b"ahoy\n");
    assert_eq!(outcome.returned(), Some(serde_json::json!(4)));
}

#[tokio::test]
async fn a_panic_is_a_trap_with_its_message_on_standard_error() {
    for guest in BOTH {
        let outcome = run(guest, &["panic"]).await;
        assert!(matches!(outcome.ending, Ending::Trapped(_)), "{guest}: {:?}", outcome.ending);
        assert!(String::from_utf8_lossy(&outcome.stderr).contains("panicked"), "{guest}");
    }
}

#[tokio::test]
async fn a_sleep_is_time_of_the_host() {
    let programs = [program(BOTH[0]).await, program(BOTH[1]).await];
    tokio::time::pause();
    for (guest, program) in BOTH.iter().zip(programs) {
        let command = program.command().args(["command", "sleep", "3000"]);
        let outcome = command.limits(Limits { deadline: Duration::from_secs(5), ..Limits::default() }).run().await;
        let usage = outcome.expect("it runs").usage;
        // The clock is wound by hand: three seconds pass at once.
        assert!(usage.host >= Duration::from_secs(2) && usage.wall >= usage.host, "{guest}: {usage}");
    }
}
