//! The host for tests: what it opens is open, what it does not is not, and a run repeats.

use std::time::Duration;

use runner_test::{Ending, Host, Level, LimitKind, Limits, Mode, Mount, Value, json};

#[tokio::test]
async fn a_guest_has_what_was_opened_and_the_error_for_the_rest_says_so() {
    let host = Host::builder().build().expect("the host starts");
    let error = host.load(runner_guests::get("kv-counter")).await.expect_err("nothing was opened");
    assert!(error.to_string().contains("is not granted: capability `kv` serves it"), "{error}");
    assert_eq!(format!("{error:?}"), error.to_string(), "a test shows it by `{{:?}}`");
    let host = Host::builder().kv("default").build().expect("the host starts");
    let program = host.load(runner_guests::get("kv-counter")).await.expect("it loads");
    let done = program.call("add", json!(["other", "a", 1])).await.expect("it runs");
    assert_eq!(done.assert_failed("error").message, "no-such-store");
    // A grant as an embedder writes it takes the place of the host's own.
    let read_only = json!({ "stores": { "default": { "namespace": "x", "mode": "read-only" } } });
    let host = Host::builder().kv("default").grant("kv", read_only).build().expect("the host starts");
    let program = host.load(runner_guests::get("kv-counter")).await.expect("it loads");
    let done = program.call("add", json!(["default", "a", 1])).await.expect("it runs");
    assert_eq!(done.assert_failed("error").message, "access-denied");
    let error = Host::builder().grant("kv", json!({ "store": {} })).build().expect_err("no such field");
    assert!(error.to_string().contains("unknown field `store`"), "{error}");
}

#[tokio::test]
async fn files_are_there_for_the_guest_and_for_the_test() {
    let small = Mount { bytes: Some(10), ..Mount::default() };
    let seen = Mount { volume: Some("/data".to_owned()), mode: Mode::ReadOnly, ..Mount::default() };
    let host = Host::builder().files("/data").mount("/small", small).mount("/seen", seen).build().expect("it starts");
    host.files("/data").write("orders/1", "one");
    let program = host.load(runner_guests::get("sdk-files.wasm")).await.expect("it loads");
    let run = async |task: &str, arguments: Value| program.call(task, arguments).await.expect("it runs");
    run("text", json!(["/data/orders/1"])).await.assert_returned(json!("one"));
    run("text", json!(["/seen/orders/1"])).await.assert_returned(json!("one"));
    run("write", json!(["/data/orders/2", "two"])).await.assert_returned(json!(null));
    host.files("/data").assert_holds("orders/2", "two").assert_paths(["orders/1", "orders/2"]);
    run("write_and_fail", json!(["/data/orders/3", "three"])).await.assert_failed("changed-my-mind");
    assert_eq!(host.files("/data").read("orders/3"), None, "what failed is discarded");
    assert_eq!(host.files("/data").read("orders/1/deeper"), None);
    run("write", json!(["/seen/orders/4", "four"])).await.assert_failed("fs-read-only");
    run("write", json!(["/small/f", "more than ten bytes"])).await.assert_failed("fs-full");
    host.files("/small").assert_paths([]);
    assert!(host.files("/data").remove("orders/1") && !host.files("/data").remove("orders/1"));
    run("text", json!(["/data/orders/1"])).await.assert_failed("fs-not-found");
    host.files("/data").write("order.json", r#"{"total":3}"#);
    assert_eq!(host.files("/data").json::<Value>("order.json"), json!({ "total": 3 }));
    host.files("/data").create_dir("empty/deep");
    host.files("/data").assert_paths(["empty/deep/", "order.json", "orders/2"]);
    assert!(host.files("/data").remove("orders"));
    host.files("/data").assert_paths(["empty/deep/", "order.json"]);
}

#[tokio::test]
async fn who_writes_the_same_file_meanwhile_is_a_conflict() {
    let host = Host::builder().files("/data").build().expect("it starts");
    host.files("/data").write("f", "one");
    let program = host.load(runner_guests::get("sdk-files.wasm")).await.expect("it loads");
    let mut instance = program.core().instance().start().await.expect("it starts");
    let outcome = instance.call("write").args(json!(["/data/f", "two"])).run().await.expect("the host does its part");
    assert!(matches!(outcome.ending, Ending::Returned(_)), "{outcome:?}");
    host.files("/data").write("f", "six");
    let error = instance.close().await.expect_err("somebody else was faster");
    assert!(error.to_string().contains("/f"), "{error}");
    host.files("/data").assert_holds("f", "six");
}

#[tokio::test]
async fn the_time_of_a_file_is_the_host_s() {
    let host = Host::builder().files("/data").build().expect("it starts");
    let program = host.load(runner_guests::get("sdk-files.wasm")).await.expect("it loads");
    let modified = async || {
        program.call("write", json!(["/data/f", "x"])).await.expect("it runs").assert_returned(json!(null));
        program.call("modified", json!(["/data/f"])).await.expect("it runs").returned::<u64>()
    };
    assert_eq!(modified().await, 1_577_836_800, "2020 begins");
    host.advance(Duration::from_secs(60));
    assert_eq!(modified().await, 1_577_836_860);
}

#[tokio::test]
#[should_panic(expected = "file `a`\n  expected: \"two\"\n  found:    \"one\"\n  `/data` holds: [\"a\"]")]
async fn what_a_file_holds_instead_is_told() {
    let host = Host::builder().files("/data").build().expect("it starts");
    host.files("/data").write("a", "one");
    host.files("/data").assert_holds("a", "two");
}

#[tokio::test]
#[should_panic(expected = "the host has no files at `/other`, it has [\"/data\"]")]
async fn files_that_were_not_opened_are_told() {
    Host::builder().files("/data").build().expect("it starts").files("/other");
}

#[tokio::test]
async fn configuration_and_the_log_arrive() {
    let host = Host::builder().config([("GREETING", "hello")]).logging().build().expect("the host starts");
    let reader = host.load(runner_guests::get("config-reader")).await.expect("it loads");
    reader.call("read", json!(["store", "GREETING"])).await.expect("it runs").assert_returned(json!("hello"));
    reader.call("read", json!(["store", "OTHER"])).await.expect("it runs").assert_returned(json!(null));
    let logger = host.load(runner_guests::get("logger")).await.expect("it loads");
    let done = logger.call("log", json!(["warn", "shop", "sold out", 2])).await.expect("it runs");
    assert_eq!(done.used("logging").calls, 2);
    let message = host.logs().assert_logged(Level::WARN, "sold out");
    assert_eq!((message.context.as_deref(), message.stream.as_deref()), (Some("shop"), None));
    let printed = json!([b"out\n", b"err\n"]);
    logger.call("print", printed).await.expect("it runs");
    assert_eq!(host.logs().assert_logged(Level::INFO, "out").stream.as_deref(), Some("stdout"));
    assert_eq!(host.logs().assert_logged(Level::WARN, "err").stream.as_deref(), Some("stderr"));
    // All of it is there when the call is over, and so is what was not said.
    assert_eq!(host.logs().messages().len(), 4, "{:?}", host.logs());
    host.logs().assert_not_logged(Level::ERROR, "sold out");
    host.logs().assert_not_logged(Level::WARN, "sold in");
    logger.call("log", json!(["error", "shop", "sold out", 1])).await.expect("it runs");
    assert_eq!(host.logs().messages().len(), 5, "{:?}", host.logs());
}

/// A subscriber that keeps what events say, each with the name of the span that it stands in.
#[derive(Clone, Default)]
struct Heard(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A capability that tells the host's log when it is opened.
struct Telling;

#[runner_core::async_trait]
impl runner_core::Capability for Telling {
    type Grant = ();
    type State = ();

    fn id(&self) -> &str {
        "telling"
    }

    fn serves(&self) -> &[&str] {
        &[]
    }

    fn listens(&self) -> bool {
        true
    }

    fn open(&self, _grant: &(), _call: &runner_core::CallContext) -> runner_core::Result<()> {
        tracing::debug!("opened for a guest");
        Ok(())
    }
}

#[tokio::test]
async fn what_the_host_says_is_heard_by_whoever_listens_to_it_though_the_log_is_collected() {
    let heard = Heard::default();
    let writer = heard.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(Level::DEBUG).with_writer(move || writer.clone());
    let _listening = tracing::subscriber::set_default(subscriber.with_ansi(false).finish());
    let server = runner_test::Server::start().await.expect("it starts");
    let host = Host::builder().http(&server).capability(Telling).grant("telling", ()).logging();
    let host = host.build().expect("the host starts");
    let program = host.load(runner_guests::get("http-client")).await.expect("it loads");
    let call = program.command(["fetch", "http://elsewhere.example/"]);
    tracing::Instrument::instrument(call.into_future(), tracing::info_span!("calling", test = 7))
        .await
        .expect("it runs");
    let heard = String::from_utf8(heard.0.lock().expect("nobody panicked").clone()).expect("it is text");
    let line = |words: &str| heard.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{heard}"));
    assert!(line("opened for a guest").contains("calling{test=7}"), "{heard}");
    // Why a request was refused, which the guest is not told.
    assert!(line("outgoing request refused: ").contains("elsewhere.example"), "{heard}");
    // What the guest printed is its own, and collected.
    host.logs().assert_logged(Level::INFO, "HttpRequestDenied");
    assert!(!heard.contains("runner_guest"), "{heard}");
}

#[tokio::test]
async fn a_secret_for_a_server_that_was_not_opened_is_an_error_by_its_name() {
    let server = runner_test::Server::start().await.expect("it starts");
    let other = runner_test::Server::start().await.expect("it starts");
    for host in [Host::builder(), Host::builder().http(&other), Host::builder().grant("kv", json!({ "stores": {} }))] {
        let error = host.secret("KEY", "s3cr3t", &server).build().expect_err("nothing could be asked with it");
        assert!(error.to_string().contains("secret `KEY` is for a server that guests may not ask"), "{error}");
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
    // Opened in either order, by a name, or granted by whoever writes the grant.
    let own = json!({ "allow": [], "secrets": [{ "name": "KEY", "hosts": ["127.0.0.1"], "plain": true }] });
    for host in [
        Host::builder().secret("KEY", "s3cr3t", &server).http(&server),
        Host::builder().http_as("shop.example", &server).secret("KEY", "s3cr3t", &server),
        Host::builder().grant("http", own).secret("KEY", "s3cr3t", &server),
    ] {
        host.build().expect("the host starts");
    }
}

#[tokio::test]
async fn a_run_repeats_and_time_is_wound_by_hand() {
    let host = || Host::builder().kv("default");
    let said = async |host: runner_test::HostBuilder, arguments: &[&str]| {
        let host = host.build().expect("the host starts");
        let program = host.load(runner_guests::get("command-p2")).await.expect("it loads");
        let first = program.command(arguments.iter().copied()).await.expect("it runs").stdout();
        host.advance(Duration::from_secs(24 * 60 * 60));
        (first, program.command(arguments.iter().copied()).await.expect("it runs").stdout())
    };
    let (first, second) = said(host(), &["random", "16"]).await;
    assert_eq!(first, second, "each call has the same numbers");
    assert_ne!(said(host().seed(1), &["random", "16"]).await.0, first);
    let (first, second) = said(host().undetermined(), &["random", "16"]).await;
    assert_ne!(first, second, "the machine's own");
    let (first, second) = said(host(), &["clock"]).await;
    assert_eq!(said(host(), &["clock"]).await.0, first);
    assert_ne!(first, second, "a day later");
}

#[tokio::test]
async fn values_end_when_the_clock_is_wound() {
    let host = Host::builder().kv("default").build().expect("the host starts");
    let program = host.load(runner_guests::get("limiter")).await.expect("it loads");
    let take = async || {
        let policy = json!({ "burst": 1, "refill_ms": 60_000 });
        program.call("take", json!(["ada", policy])).await.expect("it runs")
    };
    take().await.assert_returned(json!(0));
    let refused = take().await;
    assert!(refused.assert_failed("rate-limited").retryable);
    host.kv("default").assert_keys(["tokens/ada"]);
    host.advance(Duration::from_secs(60));
    host.kv("default").assert_keys([]);
    take().await.assert_returned(json!(0));
}

#[tokio::test]
async fn a_handler_of_http_is_asked_and_its_answer_read_whole() {
    let host = Host::builder().build().expect("the host starts");
    let program = host.load(runner_guests::get("http-hello")).await.expect("it loads");
    let done = program.get("/").await.expect("it runs");
    done.assert_status(200).assert_returned(json!(null));
    assert_eq!(done.body(), "Hello from wasm");
    let request = http::Request::post("/echo").body("to and fro").expect("a request");
    assert_eq!(program.request(request).await.expect("it runs").body(), "to and fro");
    let done = program.get("/trap").await.expect("it runs");
    assert!(done.response.is_none());
    done.assert_trapped("unreachable");
    let late = program.get("/trap-late").await.expect("it runs");
    assert!(late.response.is_none(), "half an answer is none");
    assert!(matches!(late.outcome.ending, Ending::Trapped(_)), "{late}");
}

#[tokio::test]
async fn limits_keys_and_attempts_are_given_to_the_call() {
    let host = Host::builder().build().expect("the host starts");
    let program = host.load(runner_guests::get("tasks")).await.expect("it loads");
    let call = program.call("asked", json!([])).idempotency_key("order-7").attempt(2);
    let limits = Limits { deadline: Duration::from_secs(3), ..Limits::default() };
    call.limits(limits).await.expect("it runs").assert_returned(json!("order-7, attempt 2, within 3000 ms"));
    let command = host.load(runner_guests::get("command-p1")).await.expect("it loads");
    command.command(["env", "NAME"]).env("NAME", "value").await.expect("it runs").assert_printed("value");
    command.command(["cat"]).stdin("in").await.expect("it runs").assert_printed("in");
    let few = Limits { output_bytes: 3, ..Limits::default() };
    command.command(["echo", "hello"]).limits(few).await.expect("it runs").assert_exhausted(LimitKind::Output);
}
