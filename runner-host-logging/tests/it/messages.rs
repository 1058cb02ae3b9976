//! `wasi:logging` as events: levels, fields, filters, and whose call it was.

use std::sync::{Arc, Mutex};

use runner_core::{
    CallContext, Capability, Ending, ErrorKind, Executor, Grants, Limit, LimitKind, Limits, Service, async_trait,
};
use runner_host_logging::Logging;
use serde_json::json;
use tracing::{Instrument, Level};
use tracing_subscriber::filter::LevelFilter;

use crate::support::{Lent, Log, executor};

const LEVELS: [(&str, Level); 6] = [
    ("trace", Level::TRACE),
    ("debug", Level::DEBUG),
    ("info", Level::INFO),
    ("warn", Level::WARN),
    ("error", Level::ERROR),
    ("critical", Level::ERROR),
];

#[tokio::test]
async fn each_level_of_a_guest_is_one_of_the_host() {
    let (log, _guard) = Log::hear(LevelFilter::TRACE);
    let lent = Lent::new(json!({})).await;
    for (level, _) in LEVELS {
        lent.log(level, "shop", &format!("said at {level}"), 1).await;
    }
    let digest = lent.program.id().to_string();
    lent.end();
    let heard = log.all();
    assert_eq!(heard.len(), LEVELS.len());
    for (heard, (level, expected)) in heard.iter().zip(LEVELS) {
        assert_eq!((heard.level, heard.message.as_str()), (expected, format!("said at {level}").as_str()));
        assert_eq!(heard.field("context"), "shop");
        let program = heard.field("program").as_str().expect("a digest");
        assert!(program.len() == 12 && digest.contains(program), "{program} of {digest}");
        assert_eq!(heard.field("critical"), &if level == "critical" { json!(true) } else { json!(null) }, "{level}");
        assert_eq!(heard.field("stream"), &json!(null), "it was not printed");
    }
}

#[tokio::test]
async fn a_component_from_before_the_package_had_a_version_is_heard_too() {
    let (log, _guard) = Log::hear(LevelFilter::TRACE);
    let lent = Lent::new(json!({})).await;
    let outcome = lent.outcome("log-without-version", json!(["", "hello"])).await;
    assert_eq!(outcome.usage.capabilities[0].1.calls, 1);
    lent.end();
    let heard = &log.all()[0];
    assert_eq!((heard.level, heard.message.as_str()), (Level::WARN, "hello"));
    assert_eq!(heard.field("context"), &json!(null), "an empty context is none");
}

#[tokio::test]
async fn both_names_of_the_interface_are_served() {
    let granted = Grants::none().grant("logging", json!({}));
    let explained = executor(Logging::new()).explain(runner_guests::get("logger"), &granted).await.expect("explained");
    let mut served: Vec<_> = explained.imports.iter().filter(|import| import.name.contains("logging")).collect();
    served.sort_by_key(|import| &import.name);
    let names: Vec<_> = served.iter().map(|import| import.name.as_str()).collect();
    assert_eq!(names, ["wasi:logging/logging", "wasi:logging/logging@0.1.0-draft"]);
    for import in served {
        assert_eq!(import.service, Service::Granted { capability: "logging".to_owned() }, "{}", import.name);
    }
}

#[tokio::test]
async fn without_a_grant_a_guest_does_not_load_and_the_error_says_what_to_grant() {
    let error = executor(Logging::new())
        .load(runner_guests::get("logger"), &Grants::none())
        .await
        .expect_err("nothing is granted");
    assert_eq!(error.kind(), ErrorKind::Denied);
    let words = "capability `logging` serves it: grant it with {\"logging\":{\"level\":\"info\"}}";
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn a_misspelt_grant_is_refused() {
    for (grant, words) in [
        (json!({ "levels": "info" }), "unknown field `levels`"),
        (json!({ "level": "loud" }), "unknown variant `loud`, expected one of `trace`, `debug`"),
        (json!({ "message_bytes": 65537 }), "`message_bytes`: expected at most 65536, found 65537"),
        (json!({ "messages": -1 }), "expected u64"),
    ] {
        let granted = Grants::none().grant("logging", grant);
        let error =
            executor(Logging::new()).load(runner_guests::get("logger"), &granted).await.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// Notes the ids of the calls that it is opened for.
struct Calls(Arc<Mutex<Vec<u64>>>);

#[async_trait]
impl Capability for Calls {
    type Grant = ();
    type State = ();

    fn id(&self) -> &str {
        "calls"
    }

    fn serves(&self) -> &[&str] {
        &[]
    }

    fn listens(&self) -> bool {
        true
    }

    fn open(&self, _grant: &(), call: &CallContext) -> runner_core::Result<()> {
        self.0.lock().unwrap().push(call.call_id);
        Ok(())
    }
}

#[tokio::test]
async fn an_event_has_the_calls_id_and_stands_in_its_callers_span() {
    let (log, _guard) = Log::hear(LevelFilter::TRACE);
    let calls = Arc::<Mutex<Vec<u64>>>::default();
    let builder = Executor::builder().capability(Calls(Arc::clone(&calls))).capability(Logging::new());
    let executor = builder.build().expect("it starts");
    let granted = Grants::none().grant("logging", json!({})).grant("calls", ());
    let program = executor.load(runner_guests::get("logger"), &granted).await.expect("it loads");
    let mut answered = Vec::new();
    for _ in 0..3 {
        let call = program.call("log").args(json!(["info", "", "hello", 1])).run();
        let span = tracing::info_span!("request");
        answered.push(call.instrument(span.clone()).await.expect("it runs").call_id);
        // A line without an end is said when the capability closes, on a task of its own.
        let call = program.call("print").args(json!([b"printed", b""])).run();
        answered.push(call.instrument(span).await.expect("it runs").call_id);
    }
    let call = program.call("log").args(json!(["info", "", "alone", 1])).run();
    answered.push(call.await.expect("it runs").call_id);
    drop((program, executor));
    let heard = log.all();
    let ids: Vec<_> = heard.iter().map(|heard| heard.field("call").as_u64().expect("an id")).collect();
    let calls = calls.lock().unwrap().clone();
    assert_eq!((calls.len(), heard.len()), (7, 7));
    assert_eq!(ids, calls);
    assert_eq!(answered, calls, "who called is told the same");
    assert!(calls.windows(2).all(|pair| pair[0] != pair[1]), "{calls:?}");
    for heard in &heard {
        // The outermost: at this level WASI has a span of its own around what writes.
        let expected = if heard.message == "alone" { None } else { Some(&"request") };
        assert_eq!(heard.spans.first(), expected, "{}", heard.message);
    }
}

#[tokio::test]
async fn the_grant_and_the_subscriber_each_leave_out_what_is_below_their_level() {
    for (grant, subscriber, expected) in [
        ("trace", LevelFilter::TRACE, &["trace", "debug", "info", "warn", "error", "critical"][..]),
        ("info", LevelFilter::TRACE, &["info", "warn", "error", "critical"]),
        ("trace", LevelFilter::WARN, &["warn", "error", "critical"]),
        ("critical", LevelFilter::DEBUG, &["critical"]),
        ("trace", LevelFilter::OFF, &[]),
    ] {
        let (log, _guard) = Log::hear(subscriber);
        let lent = Lent::new(json!({ "level": grant })).await;
        for (level, _) in LEVELS {
            lent.log(level, "", level, 1).await;
        }
        lent.end();
        assert_eq!(log.messages(), expected, "grant {grant}, subscriber {subscriber}");
    }
}

#[tokio::test]
async fn calls_and_bytes_stand_in_the_usage_and_have_their_limit() {
    let (log, _guard) = Log::hear(LevelFilter::INFO);
    let lent = Lent::new(json!({ "messages": 1 })).await;
    // Heard, left out, and not wanted alike: it is what the guest has asked the host to do.
    for level in ["info", "trace"] {
        let outcome = lent.log(level, "shop", "hello", 3).await;
        let (id, used) = &outcome.usage.capabilities[0];
        assert_eq!((id.as_str(), used.calls, used.bytes_in, used.bytes_out), ("logging", 3, 0, 27), "{level}");
    }
    for (host_bytes, returns) in [(27, true), (26, false)] {
        let limits = Limits { host_bytes, ..Limits::default() };
        let call = lent.program.call("log").args(json!(["info", "shop", "hello", 3])).limits(limits);
        let ending = call.run().await.expect("the host does its part").ending;
        match returns {
            true => assert_eq!(ending, Ending::Returned(json!(null))),
            false => assert_eq!(ending, Ending::Exhausted(Limit { kind: LimitKind::HostBytes, allowed: 26 })),
        }
    }
    lent.end();
    assert_eq!(log.messages().iter().filter(|message| *message == "hello").count(), 3, "one in each call");
}
