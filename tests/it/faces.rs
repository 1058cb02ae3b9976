//! The faces of the guest SDK, by a guest that uses every function of them: the same from every target, over the host's
//! own capabilities.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner_core::{Ending, ErrorKind, Executor, Failure, Grants, Program, Service};
use runner_host_config::Config;
use runner_host_kv::{Kv, ManualClock, MemoryStore};
use runner_host_logging::Logging;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

const TARGETS: [&str; 3] = ["faces.wasm", "faces-p1.wasm", "faces-p2.wasm"];

/// The guest with all that it asks for, in stores on a clock that the test winds.
struct Lent {
    clock: Arc<ManualClock>,
    program: Program,
    executor: Executor,
}

impl Lent {
    async fn new(guest: &str) -> Self {
        let clock = Arc::new(ManualClock::at_ms(1_700_000_000_000));
        let builder = Executor::builder()
            .capability(Kv::new(MemoryStore::with_clock(clock.clone())))
            .capability(Config::default())
            .capability(Logging::new());
        let executor = builder.build().expect("it starts");
        let limits = json!({ "value_bytes": 64, "key_bytes": 16, "keys": 12, "page_keys": 2 });
        let stores = json!({
            "default": { "namespace": "tests", "limits": limits },
            "reading": { "namespace": "tests", "mode": "read-only" },
        });
        let values = json!({ "greeting": "hello", "port": "8080", "large": "70000", "word": "ten" });
        let grants = Grants::none()
            .grant("kv", json!({ "stores": stores }))
            .grant("config", json!({ "values": values }))
            .grant("logging", json!({}));
        let program = executor.load(runner_guests::get(guest), &grants).await.expect("the guest loads");
        Lent { clock, program, executor }
    }

    async fn call(&self, task: &str, args: Value) -> Result<Value, Failure> {
        match self.program.call(task).args(args).run().await.expect("the host does its part").ending {
            Ending::Returned(value) => Ok(value),
            Ending::Failed(failure) => Err(*failure),
            other => panic!("`{task}`: {other:?}"),
        }
    }

    /// What a task answers that does not say no.
    async fn value(&self, task: &str, args: Value) -> Value {
        self.call(task, args).await.unwrap_or_else(|failure| panic!("`{task}`: {failure:?}"))
    }

    /// How a task says no: its code, its message, and whether to try again.
    async fn no(&self, task: &str, args: Value) -> (String, String, bool) {
        match self.call(task, args).await {
            Ok(value) => panic!("`{task}` gave {value}"),
            Err(Failure { code, message, retryable, .. }) => (code, message, retryable),
        }
    }
}

fn at(key: &str) -> Value {
    json!({ "store": "default", "key": key })
}

fn lasting(key: &str, ms: u64) -> Value {
    json!({ "store": "default", "key": key, "lasting_ms": ms })
}

fn no(code: &str, message: &str, retryable: bool) -> (String, String, bool) {
    (code.to_owned(), message.to_owned(), retryable)
}

#[tokio::test]
async fn a_value_is_set_read_and_deleted() {
    for guest in TARGETS {
        let lent = Lent::new(guest).await;
        assert_eq!(lent.value("get", json!([at("a")])).await, Value::Null, "{guest}");
        assert_eq!(lent.value("set", json!([at("a"), "one"])).await, Value::Null);
        assert_eq!(lent.value("get", json!([at("a")])).await, json!("one"));
        assert_eq!(lent.value("exists", json!([at("a")])).await, json!(true));
        assert_eq!(lent.value("insert", json!([at("a"), "two"])).await, json!(false), "it is there");
        assert_eq!(lent.value("insert", json!([at("b"), "two"])).await, json!(true));
        assert_eq!(lent.value("get", json!([at("b")])).await, json!("two"));
        assert_eq!(lent.value("delete", json!([at("a"), null])).await, json!(true));
        assert_eq!(lent.value("delete", json!([at("a"), null])).await, json!(false));
        assert_eq!(lent.value("exists", json!([at("a")])).await, json!(false));
    }
}

#[tokio::test]
async fn json_is_kept_as_its_type_and_what_does_not_fit_is_named() {
    for guest in TARGETS {
        let lent = Lent::new(guest).await;
        assert_eq!(lent.value("get_note", json!([at("n")])).await, Value::Null, "{guest}");
        lent.value("set_note", json!([at("n"), { "lines": ["a"] }])).await;
        assert_eq!(lent.value("get_note", json!([at("n")])).await, json!({ "lines": ["a"] }));
        lent.value("add_line", json!([at("n"), "b"])).await;
        assert_eq!(lent.value("add_line", json!([at("n"), "c"])).await, json!({ "lines": ["a", "b", "c"] }));
        let full = no("note-is-full", "a note has three lines at most", false);
        assert_eq!(lent.no("add_line", json!([at("n"), "d"])).await, full);
        assert_eq!(lent.value("get_note", json!([at("n")])).await, json!({ "lines": ["a", "b", "c"] }), "as it was");
        lent.value("set", json!([at("n"), "[1]"])).await;
        for (task, args) in [("get_note", json!([at("n")])), ("add_line", json!([at("n"), "e"]))] {
            let (code, message, retryable) = lent.no(task, args).await;
            assert_eq!((code.as_str(), retryable), ("kv-not-json", false));
            let words = "the value of key `n` does not fit its type: invalid type: integer `1`, expected a sequence";
            assert!(message.starts_with(words), "{message}");
        }
    }
}

#[tokio::test]
async fn a_value_ends_when_it_is_told_to_and_keeps_its_end_when_it_is_changed() {
    for guest in TARGETS {
        let lent = Lent::new(guest).await;
        let left = async |key| lent.value("entry", json!([at(key)])).await["ends_in_ms"].clone();
        lent.value("set", json!([lasting("a", 1_000), "one"])).await;
        lent.value("set", json!([at("b"), "one"])).await;
        assert_eq!((left("a").await, left("b").await), (json!(1_000), Value::Null), "{guest}");
        lent.clock.advance(Duration::from_millis(400));
        assert_eq!(lent.value("append", json!([at("a"), ", two"])).await, json!("one, two"));
        assert_eq!(left("a").await, json!(600), "a change gives it no more time");
        lent.value("append", json!([lasting("a", 900), ""])).await;
        assert_eq!(left("a").await, json!(900), "unless it is told to");
        lent.value("halve", json!([at("a")])).await;
        assert_eq!(left("a").await, json!(450));
        assert_eq!(lent.no("halve", json!([at("b")])).await, no("endless", "it has no end", false));
        lent.value("write", json!([at("a"), "x", "keep", "anything"])).await;
        assert_eq!(left("a").await, json!(450));
        lent.value("write", json!([at("a"), "x", { "after-ms": 100 }, "anything"])).await;
        lent.clock.advance(Duration::from_millis(99));
        assert_eq!(lent.value("get", json!([at("a")])).await, json!("x"));
        lent.clock.advance(Duration::from_millis(1));
        assert_eq!(lent.value("get", json!([at("a")])).await, Value::Null);
        lent.value("set", json!([lasting("c", 0), "x"])).await;
        assert_eq!(lent.value("exists", json!([at("c")])).await, json!(false), "it ends at once");
        assert_eq!(lent.value("insert", json!([lasting("d", 5), "x"])).await, json!(true));
        assert_eq!(left("d").await, json!(5));
        lent.value("write", json!([at("d"), "x", "never", "anything"])).await;
        assert_eq!(left("d").await, Value::Null);
    }
}

#[tokio::test]
async fn a_write_by_version_is_done_where_nobody_else_was_faster() {
    for guest in TARGETS {
        let lent = Lent::new(guest).await;
        let first = lent.value("write", json!([at("a"), "one", "never", "absent"])).await;
        assert_eq!(lent.value("entry", json!([at("a")])).await["version"], first, "{guest}");
        let second = lent.value("write", json!([at("a"), "two", "never", { "at": first }])).await;
        assert_ne!(first, second);
        let message = format!("key `a` was changed by someone else: it is at version {second}");
        let conflict = no("kv-conflict", &message, true);
        assert_eq!(lent.no("write", json!([at("a"), "late", "never", { "at": first }])).await, conflict);
        assert_eq!(lent.no("write", json!([at("a"), "late", "never", "absent"])).await, conflict);
        assert_eq!(lent.no("delete", json!([at("a"), { "at": first }])).await, conflict);
        assert_eq!(lent.value("get", json!([at("a")])).await, json!("two"));
        assert_eq!(lent.value("delete", json!([at("a"), { "at": second }])).await, json!(true));
        let absent = no("kv-conflict", "key `a` was changed by someone else: it is absent", true);
        assert_eq!(lent.no("write", json!([at("a"), "late", "never", { "at": second }])).await, absent);
    }
}

#[tokio::test]
async fn a_key_that_others_change_all_the_time_is_given_up() {
    let lent = Lent::new(TARGETS[0]).await;
    let given_up = no("kv-conflict", "key `a` was changed by others 1000 times in a row", true);
    assert_eq!(lent.no("quarrel", json!([at("a")])).await, given_up);
    assert_eq!(lent.value("get", json!([at("a")])).await, json!("1000"));
}

#[tokio::test]
async fn a_number_is_added_to_within_bounds_and_in_a_window_that_does_not_move() {
    for guest in TARGETS {
        let lent = Lent::new(guest).await;
        assert_eq!(lent.value("increment", json!([at("n"), 5, null])).await, json!(5), "{guest}");
        assert_eq!(lent.value("increment", json!([at("n"), -7, null])).await, json!(-2));
        let out = no("kv-out-of-range", "key `n` cannot be incremented: the sum would leave -3..=0", false);
        assert_eq!(lent.no("increment", json!([at("n"), -2, [-3, 0]])).await, out);
        assert_eq!(lent.value("increment", json!([at("n"), -1, [-3, 0]])).await, json!(-3));
        assert_eq!(lent.value("get", json!([at("n")])).await, json!("-3"));
        lent.value("set", json!([at("n"), "three"])).await;
        let word = no("kv-not-a-number", "key `n` does not hold a whole number in decimal digits", false);
        assert_eq!(lent.no("increment", json!([at("n"), 1, null])).await, word);
        for (wait_ms, sum) in [(0, 1), (600, 2), (399, 3), (1, 1)] {
            lent.clock.advance(Duration::from_millis(wait_ms));
            assert_eq!(lent.value("increment", json!([lasting("window", 1_000), 1, null])).await, json!(sum));
        }
    }
}

#[tokio::test]
async fn keys_come_by_prefix_and_in_order_however_many_pages_they_are() {
    for guest in TARGETS {
        let lent = Lent::new(guest).await;
        for key in ["b", "a/3", "a/1", "a/5", "a/4", "a/2", "a"] {
            lent.value("set", json!([at(key), ""])).await;
        }
        let five = json!(["a/1", "a/2", "a/3", "a/4", "a/5"]);
        assert_eq!(lent.value("keys", json!([at("a/")])).await, five, "{guest}");
        assert_eq!(lent.value("keys", json!([at("c")])).await, json!([]));
        assert_eq!(lent.value("keys", json!([at("")])).await.as_array().map(Vec::len), Some(7));
        let mut cursor = Value::Null;
        for expected in [json!(["a/1", "a/2"]), json!(["a/3", "a/4"]), json!(["a/5"])] {
            let page = lent.value("page", json!([at("a/"), cursor, 100])).await;
            assert_eq!(page[0], expected);
            cursor = page[1].clone();
        }
        assert_eq!(cursor, Value::Null);
        assert_eq!(lent.value("page", json!([at("a/"), null, 1])).await[0], json!(["a/1"]));
        let none = no("kv-invalid", "expected a page of 1 key or more, found 0", false);
        assert_eq!(lent.no("page", json!([at("a/"), null, 0])).await, none);
    }
}

#[tokio::test]
async fn each_refusal_of_a_store_is_a_failure_with_a_code() {
    for guest in TARGETS {
        let lent = Lent::new(guest).await;
        let other = json!({ "store": "other", "key": "a" });
        let reading = json!({ "store": "reading", "key": "a" });
        let large = "v".repeat(65);
        for (task, args, expected) in [
            ("get", json!([other]), no("kv-no-such-store", "there is no store `other`", false)),
            (
                "set",
                json!([reading, "x"]),
                no("kv-access-denied", "store `reading` is granted for reading only", false),
            ),
            ("set", json!([at("a"), large]), no("kv-too-large", "value has 65 bytes, 64 are allowed", false)),
            ("get", json!([at("12345678901234567")]), no("kv-too-large", "key has 17 bytes, 16 are allowed", false)),
            ("lost", json!([other]), no("kv-no-such-store", "the note is lost: there is no store `other`", false)),
        ] {
            assert_eq!(lent.no(task, args).await, expected, "{guest}");
        }
        assert_eq!(lent.value("get", json!([reading])).await, Value::Null, "it may be read");
        for key in 0..12 {
            lent.value("set", json!([at(&key.to_string()), ""])).await;
        }
        let full = no("kv-full", "the store would hold 13 keys, 12 are allowed", false);
        assert_eq!(lent.no("set", json!([at("12"), ""])).await, full);
    }
}

#[tokio::test]
async fn configuration_is_read_as_text_or_as_a_type() {
    for guest in TARGETS {
        let lent = Lent::new(guest).await;
        assert_eq!(lent.value("value", json!(["greeting"])).await, json!("hello"), "{guest}");
        assert_eq!(lent.value("value", json!(["Greeting"])).await, Value::Null);
        assert_eq!(lent.value("number", json!(["port"])).await, json!(8_080));
        assert_eq!(lent.value("number", json!(["nothing"])).await, Value::Null);
        assert_eq!(lent.value("required", json!(["word"])).await, json!("ten"));
        let all = json!({ "greeting": "hello", "large": "70000", "port": "8080", "word": "ten" });
        assert_eq!(lent.value("values", json!([])).await, all);
        let message = "no value is set for `nothing`: whoever runs the module grants one with `config`";
        assert_eq!(lent.no("required", json!(["nothing"])).await, no("config-missing", message, false));
        for (name, words) in
            [("word", "invalid digit found in string"), ("large", "number too large to fit in target type")]
        {
            let message = format!("the value that is set for `{name}` is not of type `u16`: {words}");
            assert_eq!(lent.no("number", json!([name])).await, no("config-invalid", &message, false));
        }
    }
}

/// Every event that a host makes of a guest's messages: level, context, message.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(tracing::Level, String, String)>>>);

#[derive(Default)]
struct Message {
    context: String,
    message: String,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "context" {
            self.context = value.to_owned();
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        if event.metadata().target() == "runner_guest" {
            let mut heard = Message::default();
            event.record(&mut heard);
            self.0.lock().expect("nobody panics").push((*event.metadata().level(), heard.context, heard.message));
        }
    }
}

/// What a host hears of one call, as `LEVEL context: message`.
async fn heard(guest: &str, task: &str, args: Value) -> (Ending, Vec<String>) {
    let heard = Heard::default();
    let subscriber = tracing_subscriber::registry().with(heard.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let Lent { program, executor, .. } = Lent::new(guest).await;
    let outcome = program.call(task).args(args).run().await.expect("the host does its part");
    drop((program, executor));
    let lines = std::mem::take(&mut *heard.0.lock().expect("nobody panics"));
    (outcome.ending, lines.into_iter().map(|(level, context, text)| format!("{level} {context}: {text}")).collect())
}

#[tokio::test]
async fn the_macros_of_log_and_tracing_are_heard_with_level_target_and_fields() {
    for guest in TARGETS {
        let (ending, lines) = heard(guest, "say", json!([null])).await;
        assert_eq!(ending, Ending::Returned(Value::Null));
        let quiet = [
            "ERROR shop: log 1",
            "WARN faces: log 2 article=\"lamp\" left=0",
            "INFO faces: log 3",
            "ERROR shop: tracing 1",
            "WARN faces: tracing 2 article=\"lamp\" left=0 cause=Some(1) type=plain",
            "INFO faces: alone=true",
        ];
        assert_eq!(lines, quiet, "{guest}");
        let (_, lines) = heard(guest, "say", json!(["trace"])).await;
        assert_eq!(lines.len(), 10, "{guest}: {lines:?}");
        for line in ["DEBUG faces: log 4", "TRACE faces: log 5", "DEBUG faces: tracing 4", "TRACE faces: tracing 5"] {
            assert!(lines.iter().any(|heard| heard == line), "{guest}: {lines:?}");
        }
        let (_, lines) = heard(guest, "say", json!(["error"])).await;
        assert_eq!(lines, ["ERROR shop: log 1", "ERROR shop: tracing 1"], "{guest}");
        let (_, lines) = heard(guest, "say", json!(["off"])).await;
        assert_eq!(lines, [""; 0], "{guest}");
    }
}

#[tokio::test]
async fn a_line_is_told_with_the_spans_that_it_is_in() {
    for guest in TARGETS {
        let (_, lines) = heard(guest, "pack", json!([7])).await;
        let expected = [
            "INFO faces: order{id=7 parcels=2}:parcel{number=0}: talks",
            "INFO faces: order{id=7 parcels=2}:parcel{number=0}: parcel talks=it talked",
            "INFO faces: order{id=7 parcels=2}:parcel{number=1}: talks",
            "INFO faces: order{id=7 parcels=2}:parcel{number=1}: parcel talks=it talked",
            "INFO faces: order{id=7 parcels=2}: packed",
            "INFO faces: elsewhere",
            "INFO faces: order{id=7 parcels=2}: sent",
            "INFO faces: done",
        ];
        assert_eq!(lines, expected, "{guest}");
    }
}

#[tokio::test]
async fn the_words_of_a_panic_are_heard_from_every_target() {
    for guest in TARGETS {
        let (ending, lines) = heard(guest, "panic", json!(["too much"])).await;
        assert!(matches!(ending, Ending::Trapped(_)), "{guest}: {ending:?}");
        let told = lines.iter().filter(|line| line.starts_with("ERROR panic: panicked at ")).collect::<Vec<_>>();
        assert_eq!(told.len(), 1, "{guest}: {lines:?}");
        assert!(told[0].ends_with(": it was too much"), "{guest}: {told:?}");
    }
}

#[tokio::test]
async fn a_module_asks_for_what_it_uses_and_for_nothing_else() {
    let builder = Executor::builder()
        .capability(Kv::new(MemoryStore::new()))
        .capability(Config::default())
        .capability(Logging::new());
    let executor = builder.build().expect("it starts");
    for (guest, expected) in [
        ("counter.wasm", &["runner:kv/store@0.1.0"][..]),
        ("faces.wasm", &["runner:kv/store@0.1.0", "wasi:config/store@0.2.0-rc.1", "wasi:logging/logging@0.1.0-draft"]),
        (
            "faces-p1.wasm",
            &["runner:kv/store@0.1.0", "wasi:config/store@0.2.0-rc.1", "wasi:logging/logging@0.1.0-draft"],
        ),
        (
            "faces-p2.wasm",
            &["runner:kv/store@0.1.0", "wasi:config/store@0.2.0-rc.1", "wasi:logging/logging@0.1.0-draft"],
        ),
        // They have the features `http`, `kv` and `config`, and use none of them.
        ("tasks.wasm", &[]),
        ("tasks-p1.wasm", &[]),
        ("tasks-p2.wasm", &[]),
    ] {
        let needs =
            executor.explain(runner_guests::get(guest), &Grants::none()).await.expect("it is explained").imports;
        let missing = needs.iter().filter(|need| matches!(need.service, Service::Missing { .. }));
        let mut missing: Vec<_> = missing.map(|need| need.name.as_str()).collect();
        missing.sort_unstable();
        assert_eq!(missing, expected, "{guest}");
        assert!(!needs.iter().any(|need| need.name.contains("outgoing-handler")), "{guest}: {needs:?}");
    }
    for (granted, missing) in [("kv", "config"), ("config", "kv")] {
        let grant = if granted == "kv" { json!({ "stores": {} }) } else { json!({}) };
        let grants = Grants::none().grant(granted, grant).grant("logging", json!({}));
        let error = executor.load(runner_guests::get("faces.wasm"), &grants).await.expect_err("one is missing");
        assert_eq!(error.kind(), ErrorKind::Denied);
        let words = format!("is not granted: capability `{missing}` serves it");
        assert!(error.to_string().contains(&words), "{error}");
    }
}
