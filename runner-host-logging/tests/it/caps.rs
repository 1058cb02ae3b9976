//! How much a call may say, and that nothing is left out in silence. No guest waits for a reader.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use runner_core::{Ending, Limits};
use serde_json::json;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::support::{Lent, Log};

#[tokio::test]
async fn a_long_message_is_cut_and_says_how_much_is_left_out() {
    let (log, _guard) = Log::hear(LevelFilter::TRACE);
    let lent = Lent::new(json!({ "message_bytes": 10 })).await;
    for message in ["0123456789", "0123456789a", "012345678é12", &"x".repeat(100_000)] {
        lent.log("info", "", message, 1).await;
    }
    // The same of lines: "é" lies on the ninth byte and the tenth, then on the tenth and the eleventh.
    for line in ["0123456789\n", "0123456789abc\r\n", "01234567é12\n", "012345678é12\n"] {
        lent.print(line.as_bytes(), b"").await;
    }
    lent.print(&b"y".repeat(100_000), b"").await;
    lent.log("info", &"c".repeat(300), "", 1).await;
    lent.end();
    let many = |letter: &str| format!("{} [99990 more bytes left out]", letter.repeat(10));
    let expected = [
        "0123456789",
        "0123456789 [1 more bytes left out]",
        "012345678 [4 more bytes left out]",
        &many("x"),
        "0123456789",
        "0123456789 [4 more bytes left out]",
        "01234567é [2 more bytes left out]",
        "012345678 [4 more bytes left out]",
        &many("y"),
        "",
    ];
    assert_eq!(log.messages(), expected);
    let context = format!("{} [44 more bytes left out]", "c".repeat(256));
    assert_eq!(log.all()[9].field("context"), &json!(context));
}

#[tokio::test]
async fn messages_beyond_the_grant_are_left_out_and_counted_and_the_guest_goes_on() {
    for (grant, heard, left_out, left_out_bytes) in [
        (json!({ "messages": 3 }), 3, 7, 7 * 9),
        (json!({ "messages": 0 }), 0, 10, 10 * 9),
        (json!({ "messages": 10 }), 10, 0, 0),
        (json!({ "bytes": 26 }), 2, 8, 8 * 9),
        (json!({ "bytes": 27 }), 3, 7, 7 * 9),
        (json!({ "bytes": 90 }), 10, 0, 0),
    ] {
        let (log, _guard) = Log::hear(LevelFilter::TRACE);
        let lent = Lent::new(grant.clone()).await;
        // Each call has its own account.
        for _ in 0..2 {
            lent.log("info", "shop", "hello", 10).await;
        }
        lent.end();
        let (told, said): (Vec<_>, Vec<_>) =
            log.all().into_iter().partition(|heard| !heard.field("left_out").is_null());
        assert_eq!(said.len(), 2 * heard, "{grant}");
        assert_eq!(told.len(), if left_out > 0 { 2 } else { 0 }, "{grant}");
        for told in told {
            assert_eq!(told.level, tracing::Level::WARN);
            assert_eq!(
                (told.field("left_out"), told.field("left_out_bytes")),
                (&json!(left_out), &json!(left_out_bytes))
            );
            let calls: Vec<_> = said.iter().map(|said| said.field("call")).collect();
            assert!(calls.is_empty() || calls.contains(&told.field("call")), "it says of which call");
            assert!(told.message.starts_with("messages of the guest were left out"), "{}", told.message);
        }
    }
}

#[tokio::test]
async fn what_nobody_wants_counts_against_nothing() {
    let (log, _guard) = Log::hear(LevelFilter::INFO);
    let lent = Lent::new(json!({ "messages": 2, "level": "debug" })).await;
    let mut instance = lent.program.instance().start().await.expect("it starts");
    // One call's account: an instance opens its capabilities once.
    for (level, times) in [("trace", 100), ("debug", 100), ("info", 2)] {
        instance.call("log").args(json!([level, "", level, times])).run().await.expect("it runs");
    }
    instance.close().await.expect("it closes");
    lent.end();
    assert_eq!(log.messages(), ["info", "info"]);
}

#[tokio::test]
async fn printed_lines_and_messages_have_one_account() {
    let (log, _guard) = Log::hear(LevelFilter::TRACE);
    let lent = Lent::new(json!({ "messages": 3 })).await;
    lent.print(b"1\n2\n3\n4\n", b"5").await;
    lent.end();
    let heard = log.all();
    assert_eq!(log.messages()[..3], ["1", "2", "3"]);
    assert_eq!((heard.len(), heard[3].field("left_out"), heard[3].field("left_out_bytes")), (4, &json!(2), &json!(2)));
}

/// A reader that stops at its first event, until it is let go.
struct Stuck {
    go: Mutex<Option<mpsc::Receiver<()>>>,
    reached: mpsc::SyncSender<()>,
}

impl<S: Subscriber> Layer<S> for Stuck {
    fn on_event(&self, _event: &Event<'_>, _context: Context<'_, S>) {
        if let Some(go) = self.go.lock().unwrap().take() {
            self.reached.send(()).expect("the test waits for it");
            go.recv_timeout(Duration::from_secs(60)).expect("the test lets it go");
        }
    }
}

#[tokio::test]
async fn a_guest_does_not_wait_for_a_reader_that_does_not_read_and_only_who_says_too_much_loses_lines() {
    const MESSAGES: u64 = 400;
    let ((let_go, go), (reached, reaches)) = (mpsc::channel(), mpsc::sync_channel(1));
    let log = Log::default();
    let stuck = Stuck { go: Mutex::new(Some(go)), reached };
    let subscriber = tracing_subscriber::registry().with(log.clone()).with(stuck);
    let _guard = tracing::subscriber::set_default(subscriber);
    let grant = json!({ "messages": MESSAGES, "bytes": 100 << 20, "message_bytes": 8192 });
    let lent = Lent::new(grant).await;
    // Three times what the queue holds of one program.
    let call = lent.program.call("log").args(json!(["info", "", "x".repeat(8192), MESSAGES]));
    let outcome = call.limits(Limits { deadline: Duration::from_secs(30), ..Limits::default() }).run().await;
    let outcome = outcome.expect("the host does its part");
    assert_eq!(outcome.ending, Ending::Returned(json!(null)));
    // The same program in other bytes: a custom section comes behind it.
    let neighbour = [runner_guests::get("logger"), b"\x00\x05\x04none"].concat();
    let neighbour = lent.beside(&neighbour, json!({ "messages": MESSAGES })).await;
    let call = neighbour.call("log").args(json!(["info", "", "a neighbour", MESSAGES]));
    call.run().await.expect("the host does its part");
    reaches.recv_timeout(Duration::from_secs(10)).expect("the reader got the first one");
    assert_eq!(log.all().len(), 1, "and is still there, though the call has ended");
    assert!(!lent.logging.flush(Duration::from_millis(10)), "who asks is told that it is not written");
    let_go.send(()).expect("it waits");
    let program = lent.program.id().to_string();
    drop(neighbour);
    lent.end();
    let (told, said): (Vec<_>, Vec<_>) = log.all().into_iter().partition(|heard| !heard.field("left_out").is_null());
    let (neighbours, said): (Vec<_>, Vec<_>) = said.into_iter().partition(|heard| heard.message == "a neighbour");
    assert_eq!(neighbours.len() as u64, MESSAGES, "a neighbour loses nothing");
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert!(told.message.contains("faster than the log was written"), "{}", told.message);
    let left_out = told.field("left_out").as_u64().expect("a number");
    assert_eq!(said.len() as u64 + left_out, MESSAGES);
    assert!(program.contains(told.field("program").as_str().expect("it says whose")), "{told:?}");
    assert_eq!(told.field("call"), &json!(outcome.call_id));
    let bytes: usize = said.iter().map(|heard| heard.message.len()).sum();
    assert!((900 << 10..1100 << 10).contains(&bytes), "the queue holds 1 MiB of a program: {bytes}");
}

#[tokio::test]
async fn all_programs_together_have_8_mib_and_each_is_told_what_it_lost() {
    const PROGRAMS: usize = 12;
    const MESSAGES: u64 = 120;
    let ((let_go, go), (reached, _reaches)) = (mpsc::channel(), mpsc::sync_channel(1));
    let log = Log::default();
    let stuck = Stuck { go: Mutex::new(Some(go)), reached };
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()).with(stuck));
    let grant = json!({ "messages": MESSAGES, "bytes": 100 << 20, "message_bytes": 8192 });
    let lent = Lent::new(grant.clone()).await;
    for number in 0..PROGRAMS {
        let bytes = [runner_guests::get("logger"), &[0, 2, 1, b'a' + u8::try_from(number).expect("a letter")]].concat();
        let program = lent.beside(&bytes, grant.clone()).await;
        let call = program.call("log").args(json!(["info", "", "x".repeat(8192), MESSAGES]));
        let limits = Limits { deadline: Duration::from_secs(30), ..Limits::default() };
        assert!(call.limits(limits).run().await.expect("the host does its part").ending.is_returned());
    }
    let_go.send(()).expect("it waits");
    lent.end();
    let (told, said): (Vec<_>, Vec<_>) = log.all().into_iter().partition(|heard| !heard.field("left_out").is_null());
    let bytes: usize = said.iter().map(|heard| heard.message.len()).sum();
    assert!((7 << 20..9 << 20).contains(&bytes), "the queue holds 8 MiB: {bytes}");
    let left_out: u64 = told.iter().map(|told| told.field("left_out").as_u64().expect("a number")).sum();
    assert_eq!(said.len() as u64 + left_out, PROGRAMS as u64 * MESSAGES);
    let mut programs: Vec<_> = told.iter().map(|told| told.field("program").as_str().expect("whose")).collect();
    programs.sort_unstable();
    programs.dedup();
    assert!(programs.len() == told.len() && programs.len() > 3, "{told:?}");
}

#[tokio::test]
async fn what_was_said_is_written_when_a_flush_says_so() {
    let (log, _guard) = Log::hear(LevelFilter::TRACE);
    let lent = Lent::new(json!({})).await;
    assert!(lent.logging.flush(Duration::ZERO), "nothing was said");
    for call in 1..=100 {
        lent.log("info", "", "hello", 1).await;
        assert!(lent.logging.flush(Duration::from_secs(10)));
        assert_eq!(log.all().len(), call);
    }
}

/// A reader that panics at its first event.
#[derive(Default)]
struct Clumsy(Mutex<bool>);

impl<S: Subscriber> Layer<S> for Clumsy {
    fn on_event(&self, _event: &Event<'_>, _context: Context<'_, S>) {
        let was_there = std::mem::replace(&mut *self.0.lock().unwrap(), true);
        assert!(was_there, "on purpose");
    }
}

#[tokio::test]
async fn a_reader_that_panics_loses_no_other_line() {
    let log = Log::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(Clumsy::default()).with(log.clone()));
    let lent = Lent::new(json!({})).await;
    for message in ["one", "two", "three"] {
        lent.log("info", "", message, 1).await;
    }
    lent.end();
    assert_eq!(log.messages(), ["two", "three"], "it panicked before the log heard the first");
}
