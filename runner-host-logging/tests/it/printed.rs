//! Standard output and standard error, line by line, of guests that know no `wasi:logging` too.

use std::time::Duration;

use runner_core::{Ending, Grants};
use runner_host_logging::Logging;
use serde_json::json;
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;

use crate::support::{Lent, Log, executor};

/// Level, stream and text of each line.
fn lines(log: &Log) -> Vec<(Level, String, String)> {
    let line = |heard: crate::support::Heard| {
        (heard.level, heard.field("stream").as_str().unwrap_or_default().to_owned(), heard.message)
    };
    log.all().into_iter().map(line).collect()
}

fn out(text: &str) -> (Level, String, String) {
    (Level::INFO, "stdout".to_owned(), text.to_owned())
}

fn err(text: &str) -> (Level, String, String) {
    (Level::WARN, "stderr".to_owned(), text.to_owned())
}

#[tokio::test]
async fn a_guest_that_knows_no_logging_is_heard_all_the_same() {
    for guest in ["command-p1", "command-p2"] {
        let (log, _guard) = Log::hear(LevelFilter::TRACE);
        let lent = Lent::guest(guest, json!({})).await;
        for (verb, text) in [("echo", "hello"), ("stderr", "oh")] {
            let outcome = lent.program.command().args(["command", verb, text]).run().await.expect("it runs");
            assert_eq!([outcome.stdout, outcome.stderr].concat(), format!("{text}\n").into_bytes(), "{guest}");
        }
        lent.end();
        assert_eq!(lines(&log), [out("hello"), err("oh")], "{guest}");
        assert!(log.all().iter().all(|heard| heard.field("call").is_u64() && heard.field("program").is_string()));
    }
}

#[tokio::test]
async fn without_a_grant_nothing_that_a_guest_prints_is_logged() {
    let (log, _guard) = Log::hear(LevelFilter::TRACE);
    let executor = executor(Logging::new());
    let program = executor.load(runner_guests::get("command-p2"), &Grants::none()).await.expect("it loads");
    let outcome = program.command().args(["command", "echo", "hello"]).run().await.expect("it runs");
    assert_eq!(outcome.stdout, b"hello\n");
    drop((program, executor));
    let lent = Lent::new(json!({ "streams": false })).await;
    lent.print(b"hello\n", b"oh\n").await;
    lent.log("info", "", "said", 1).await;
    lent.end();
    assert_eq!(log.messages(), ["said"], "and a grant may leave it out");
}

#[tokio::test]
async fn each_line_is_an_event_and_the_last_one_needs_no_end() {
    for (printed, expected) in [
        (&b"one\ntwo\nthree"[..], &["one", "two", "three"][..]),
        (b"one\n\nthree\n", &["one", "", "three"]),
        (b"windows\r\nlines\r\n", &["windows", "lines"]),
        (b"\n", &[""]),
        (b"", &[]),
        (b"not \xff UTF-8\n\xf0\x9f", &["not \u{fffd} UTF-8", "\u{fffd}"]),
        (b"50%\r100%\n", &["50%\\r100%"]),
    ] {
        let (log, _guard) = Log::hear(LevelFilter::TRACE);
        let lent = Lent::new(json!({})).await;
        lent.print(printed, b"").await;
        lent.end();
        let expected: Vec<_> = expected.iter().map(|text| out(text)).collect();
        assert_eq!(lines(&log), expected, "{:?}", String::from_utf8_lossy(printed));
    }
}

#[tokio::test]
async fn a_line_may_come_in_pieces_and_two_calls_do_not_share_one() {
    let (log, _guard) = Log::hear(LevelFilter::TRACE);
    let lent = Lent::new(json!({})).await;
    let mut instance = lent.program.instance().start().await.expect("it starts");
    for (stdout, stderr) in [(&b"be"[..], &b"no"[..]), (b"gun\nand ", b"thing\n"), (b"ended\n", b"")] {
        let call = instance.call("print").args(json!([stdout, stderr])).run().await.expect("it runs");
        assert_eq!(call.ending, Ending::Returned(json!(null)));
    }
    instance.close().await.expect("it closes");
    for _ in 0..2 {
        lent.print(b"whole", b"").await;
    }
    lent.end();
    assert_eq!(lines(&log), [out("begun"), err("nothing"), out("and ended"), out("whole"), out("whole")]);
}

#[tokio::test]
async fn what_was_said_before_a_trap_is_heard() {
    let (log, _guard) = Log::hear(LevelFilter::TRACE);
    let lent = Lent::new(json!({})).await;
    let outcome = lent.outcome("log-and-trap", json!(["the last"])).await;
    assert!(matches!(outcome.ending, Ending::Trapped(_)), "{:?}", outcome.ending);
    lent.end();
    let mut heard = lines(&log);
    heard.sort_by(|one, other| one.1.cmp(&other.1));
    assert_eq!(heard, [(Level::INFO, String::new(), "the last".to_owned()), err("the last"), out("the last")]);
}

#[tokio::test]
async fn what_is_printed_is_heard_while_the_guest_runs() {
    let (log, _guard) = Log::hear(LevelFilter::TRACE);
    let lent = Lent::new(json!({})).await;
    let mut instance = lent.program.instance().start().await.expect("it starts");
    instance.call("print").args(json!([b"at once\n", b""])).run().await.expect("it runs");
    for _ in 0..5_000 {
        if !log.all().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(lines(&log), [out("at once")], "the instance is still there");
    instance.close().await.expect("it closes");
}

#[tokio::test]
async fn streams_have_levels_like_messages() {
    let (log, _guard) = Log::hear(LevelFilter::TRACE);
    let lent = Lent::new(json!({ "level": "warn" })).await;
    lent.print(b"hello\n", b"oh\n").await;
    lent.end();
    assert_eq!(lines(&log), [err("oh")]);
}
