//! The guests that ask others: `summarise` and `webhook`, written with the SDK alone.

use runner_core::{Ending, Executor, Failure, Grants, Program};
use runner_host_config::Config;
use runner_host_http::{Http, Secrets};
use serde_json::{Value, json};

use crate::support::{Names, Server, all_of, executor, named, nobody};

async fn summariser(grant: Value) -> Program {
    let grants = Grants::none().grant("http", grant);
    executor(Http::new()).load(runner_guests::get("summarise.wasm"), &grants).await.expect("it loads")
}

async fn summary(program: &Program, url: &str) -> Result<Value, Box<Failure>> {
    result(program.call("summarise").args(json!([url])).run().await.expect("the host does its part").ending)
}

#[track_caller]
fn result(ending: Ending) -> Result<Value, Box<Failure>> {
    match ending {
        Ending::Returned(value) => Ok(value),
        Ending::Failed(failure) => Err(failure),
        other => panic!("{other:?}"),
    }
}

const PAGE: &str = r#"<!DOCTYPE html>
<html><head><title> The old
  lamp &amp; more</title>
<style>p > a { color: lamps }</style>
<script>if (1 < 2) { lamps("lamps > lamps"); } // it's </script>
</head><body title="lamps > lamps">
<!-- lamps -- lamps > lamps -->
<p>Lamps don&#39;t burn. <b>Lamps</b> glow<br>Öl&nbsp;lamps glow at night & shine.</p>
<svg><title>drawing</title></svg>
</body></html>"#;

#[tokio::test]
async fn a_page_is_summarised_by_its_title_and_its_words() {
    let server = Server::start().await;
    let program = summariser(json!({ "allow": [all_of(&server)] })).await;
    server.page("/page", "text/html; charset=utf-8", PAGE);
    let found = summary(&program, &server.url("/page")).await.expect("it is a page");
    // `Lamps don t burn Lamps glow Öl lamps glow at night shine drawing`: an entity ends a word.
    let expected = json!({
        "title": "The old lamp more",
        "words": 13,
        "frequent": [
            { "word": "lamps", "count": 3 }, { "word": "glow", "count": 2 }, { "word": "burn", "count": 1 },
            { "word": "drawing", "count": 1 }, { "word": "night", "count": 1 }, { "word": "shine", "count": 1 },
        ],
        "bytes": PAGE.len(),
        "content_type": "text/html; charset=utf-8",
    });
    assert_eq!(found, expected);
    assert!(server.seen()[0].headers["accept"].to_str().unwrap().starts_with("text/html"));

    server.page("/text", "text/plain", "a <b> lamp's lamp's; Größe größe GRÖSSE \u{FFFD}");
    let found = summary(&program, &server.url("/text")).await.expect("it is text");
    assert_eq!((&found["title"], &found["words"]), (&Value::Null, &json!(7)));
    assert_eq!(found["frequent"][1], json!({ "word": "lamp's", "count": 2 }), "{found}");
}

#[tokio::test]
async fn a_page_of_any_size_takes_little_memory() {
    let server = Server::start().await;
    let caps = json!({ "response_bytes": 32 << 20 });
    let program = summariser(json!({ "allow": [all_of(&server)], "caps": caps })).await;
    // Letters of two bytes are cut by the pieces; a million words differ.
    let mut page: String = "<p>größe ".repeat(1_000_000);
    (0..1_000_000).for_each(|word| page += &format!("w{word} "));
    let bytes = page.len();
    server.page("/large", "text/html", page);
    let outcome = program.call("summarise").args(json!([server.url("/large")])).run().await.unwrap();
    assert!(outcome.usage.memory_peak_bytes < 8 << 20, "{}", outcome.usage);
    let found = result(outcome.ending).expect("it is a page");
    assert_eq!((&found["words"], &found["bytes"]), (&json!(2_000_000), &json!(bytes)));
    assert_eq!(found["frequent"][0], json!({ "word": "größe", "count": 1_000_000 }));
}

#[tokio::test]
async fn a_page_that_never_ends_a_word_a_title_or_a_tag_takes_little_memory_too() {
    let server = Server::start().await;
    let caps = json!({ "response_bytes": 32 << 20 });
    let program = summariser(json!({ "allow": [all_of(&server)], "caps": caps })).await;
    let long = |letter: &str| letter.repeat(8 << 20);
    for (path, page, words, frequent) in [
        ("/quotes", format!("<p>it{}s", long("'")), 1, json!([])),
        (
            "/letters",
            format!("<p>{} lamp", long("x")),
            2,
            json!([{ "word": "lamp", "count": 1 }, { "word": "x".repeat(40), "count": 1 }]),
        ),
        ("/title", format!("<title>{}</title>", long("x")), 0, json!([])),
        ("/tag", format!("lamp <{}>", long("x")), 1, json!([{ "word": "lamp", "count": 1 }])),
        ("/attribute", format!("lamp <a b='{}'>", long("x")), 1, json!([{ "word": "lamp", "count": 1 }])),
        ("/entity", format!("lamp &{}", long("#")), 1, json!([{ "word": "lamp", "count": 1 }])),
    ] {
        server.page(path, "text/html", page);
        let outcome = program.call("summarise").args(json!([server.url(path)])).run().await.unwrap();
        assert!(outcome.usage.memory_peak_bytes < 4 << 20, "{path}: {}", outcome.usage);
        let found = result(outcome.ending).expect("it is a page");
        assert_eq!((&found["words"], &found["frequent"]), (&json!(words), &frequent), "{path}");
    }
}

#[tokio::test]
async fn each_reason_for_no_summary_has_a_code_and_says_whether_to_try_again() {
    let server = Server::start().await;
    let closed = nobody().await;
    let program = summariser(json!({
        "allow": [
            all_of(&server),
            { "scheme": "http", "host": "127.0.0.1", "port": closed.port(), "addresses": ["127.0.0.1"] },
        ],
        "caps": { "first_byte_ms": 200 },
    }))
    .await;
    server.page("/picture", "image/png", "not text");
    for (url, code, retryable) in [
        ("https://elsewhere.example/".to_owned(), "refused", false),
        (server.url("/no-such"), "not-found", false),
        (server.url("/redirect?status=410&to=x"), "not-found", false),
        (server.url("/redirect?status=301&to=x"), "not-answered", false),
        (server.url("/redirect?status=403&to=x"), "not-answered", false),
        (server.url("/redirect?status=503&to=x"), "unavailable", true),
        (server.url("/redirect?status=429&to=x"), "unavailable", true),
        (server.url("/picture"), "not-text", false),
        (server.url("/hello"), "not-text", false),
        (server.url("/slow?head=3000"), "http-timeout", true),
        (format!("http://{closed}/"), "http-connect", true),
        ("no address".to_owned(), "http-invalid", false),
    ] {
        let failure = summary(&program, &url).await.expect_err(&url);
        assert_eq!((failure.code.as_str(), failure.retryable), (code, retryable), "{url}: {failure:?}");
    }
}

const TOKEN: &str = "t0p-s3cr3t";

/// The webhook, told to ask a path of the server, and granted the server and the secret, or not.
async fn webhook(server: &Server, path: &str, rule: &str, secret: bool) -> (Executor, Program) {
    let secrets = Secrets::new([("WEBHOOK_TOKEN", TOKEN)]).unwrap();
    let http = Http::new().resolver(Names::local(&["hooks.test"])).secrets(secrets);
    let executor = Executor::builder().capability(http).capability(Config::default()).build().expect("it starts");
    let mut rule_of = named(server, "hooks.test");
    rule_of["path"] = json!(rule);
    let lent = secret.then(|| json!({ "name": "WEBHOOK_TOKEN", "hosts": ["hooks.test"], "plain": true }));
    let http = json!({
        "allow": [rule_of],
        "secrets": lent.into_iter().collect::<Vec<_>>(),
        "caps": { "first_byte_ms": 200 },
    });
    let config = json!({ "values": { "webhook-url": server.named("hooks.test", path) } });
    let grants = Grants::none().grant("http", http).grant("config", config);
    let program = executor.load(runner_guests::get("webhook.wasm"), &grants).await.expect("it loads");
    (executor, program)
}

fn event() -> Value {
    json!([{ "event": "order.paid", "subject": "order 7" }])
}

#[tokio::test]
async fn an_event_arrives_as_json_with_the_secret_and_the_caller_s_key() {
    let server = Server::start().await;
    let (_executor, program) = webhook(&server, "/keep", "/", true).await;
    let call = program.call("notify").args(event()).idempotency_key("order-7-paid").attempt(2);
    let outcome = call.run().await.expect("the host does its part");
    assert_eq!(result(outcome.ending).expect("it is delivered"), json!({ "status": 202, "attempt": 2 }));
    let seen = server.seen().remove(0);
    let header = |name: &str| seen.headers[name].to_str().unwrap().to_owned();
    assert_eq!((seen.method.as_str(), header("content-type").as_str()), ("POST", "application/json"));
    assert_eq!(header("authorization"), format!("Bearer {TOKEN}"));
    assert_eq!(header("idempotency-key"), "order-7-paid");
    assert_eq!(serde_json::from_slice::<Value>(&server.kept()[0]).unwrap(), event()[0]);
    // Who gives no key sends none.
    let outcome = program.call("notify").args(event()).run().await.expect("the host does its part");
    assert_eq!(result(outcome.ending).expect("it is delivered"), json!({ "status": 202, "attempt": 1 }));
    assert!(!server.seen()[1].headers.contains_key("idempotency-key"));
}

#[tokio::test]
async fn a_webhook_says_what_is_worth_another_attempt_and_what_is_not() {
    let server = Server::start().await;
    for (path, rule, secret, code, retryable, words) in [
        (
            "/redirect?status=503&to=x",
            "/",
            true,
            "unavailable",
            true,
            "the webhook answered 503 Service Unavailable: elsewhere",
        ),
        ("/redirect?status=429&to=x", "/", true, "unavailable", true, "answered 429"),
        ("/redirect?status=302&to=x", "/", true, "refused", false, "answered 302"),
        ("/no-such", "/", true, "refused", false, "answered 404 Not Found: no such route"),
        // An answer that breaks off is one all the same: its status says whether to try again.
        ("/half?from=1&status=400", "/", true, "refused", false, "answered 400 Bad Request: "),
        ("/half?from=1&status=503", "/", true, "unavailable", true, "answered 503 Service Unavailable: "),
        ("/slow?head=3000", "/", true, "http-timeout", true, "the response did not come in time"),
        ("/keep", "/elsewhere", true, "not-granted", false, "the webhook may not be asked"),
        ("/keep", "/", false, "not-granted", false, "the webhook may not be asked"),
    ] {
        let (_executor, program) = webhook(&server, path, rule, secret).await;
        let outcome = program.call("notify").args(event()).run().await.expect("the host does its part");
        let failure = result(outcome.ending).expect_err(path);
        assert_eq!((failure.code.as_str(), failure.retryable), (code, retryable), "{path}: {failure:?}");
        assert!(failure.message.contains(words), "{path}: {failure:?}");
    }
    assert!(server.kept().is_empty(), "without its grant nothing was sent");
}
