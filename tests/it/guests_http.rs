//! The guest that is asked: `site`, a guestbook, written with the SDK alone, over the stores that users run.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use runner_core::{ErrorKind, Executor, Grants, HttpReply, Program};
use runner_host_kv::{Kv, MemoryStore, SqliteStore, Store};
use serde_json::{Value, json};

struct Site {
    program: Program,
    _executor: Executor,
}

impl Site {
    async fn new(store: impl Store, limits: Value) -> Self {
        let executor = Executor::builder().capability(Kv::new(store)).build().expect("it starts");
        let grant = json!({ "stores": { "default": { "namespace": "guestbook", "limits": limits } } });
        let grants = Grants::none().grant("kv", grant);
        let program = executor.load(runner_guests::get("site.wasm"), &grants).await.expect("it loads");
        Site { program, _executor: executor }
    }

    /// The answer, all of its body, and what the guest said on standard error.
    async fn ask(&self, method: Method, path: &str, body: impl Into<Bytes>) -> (Response<()>, String, String) {
        let request = Request::builder().method(method).uri(format!("http://localhost{path}"));
        let request = request.body(Full::new(body.into())).expect("it is well formed");
        let reply = self.program.http(request).send().await.expect("the host does its part");
        let HttpReply::Answered { response, ended } = reply else { panic!("expected an answer") };
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("it is whole").to_bytes();
        let outcome = ended.outcome().await.expect("it ends");
        assert!(outcome.ending.is_returned(), "{:?}", outcome.ending);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is text");
        (Response::from_parts(head, ()), text(&body), text(&outcome.stderr))
    }

    async fn sign(&self, form: impl Into<Bytes>) -> (u16, String) {
        let (head, body, _) = self.ask(Method::POST, "/", form).await;
        (head.status().as_u16(), body)
    }

    async fn page(&self) -> String {
        let (head, page, _) = self.ask(Method::GET, "/", "").await;
        assert_eq!(
            (head.status().as_u16(), head.headers()["content-type"].as_bytes()),
            (200, &b"text/html; charset=utf-8"[..])
        );
        page
    }
}

#[tokio::test]
async fn what_a_visitor_writes_is_on_the_page_and_none_of_it_is_html() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = SqliteStore::open(folder.path().join("kv.sqlite")).expect("a new file opens");
    for site in [Site::new(MemoryStore::new(), json!({})).await, Site::new(file, json!({})).await] {
        assert!(site.page().await.contains("<ul>\n</ul>\n<p>0 entries, 1 visits</p>"));
        let (head, body, _) = site.ask(Method::POST, "/", "name=Ann&text=Hello+%26+welcome").await;
        assert_eq!(
            (head.status().as_u16(), head.headers()["location"].to_str().unwrap(), body.as_str()),
            (303, "/", "")
        );
        let script = "name=%3Cscript%3E&text=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(%27x%27)%3E";
        assert_eq!(site.sign(script).await.0, 303);
        let page = site.page().await;
        let entries = "<ul>\n\
            <li><b>&lt;script&gt;</b>: &quot;&gt;&lt;img src=x onerror=alert(&#39;x&#39;)&gt;</li>\n\
            <li><b>Ann</b>: Hello &amp; welcome</li>\n\
            </ul>\n<p>2 entries, 2 visits</p>";
        assert!(page.contains(entries), "{page}");
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        let (head, body, _) = site.ask(Method::GET, "/counters", "").await;
        assert_eq!(head.headers()["content-type"], "application/json");
        assert_eq!(serde_json::from_str::<Value>(&body).expect("it is JSON"), json!({ "visits": 2, "entries": 2 }));
    }
}

#[tokio::test]
async fn the_page_shows_the_newest_entries_and_keeps_the_others() {
    let site = Site::new(MemoryStore::new(), json!({})).await;
    for number in 1..=25 {
        assert_eq!(site.sign(format!("name=Ann&text=entry+{number}.")).await.0, 303);
    }
    let page = site.page().await;
    assert!(page.contains("<p>25 entries, 1 visits</p>"), "{page}");
    for number in 1..=25 {
        assert_eq!(page.contains(&format!(": entry {number}.<")), number > 5, "{number}");
    }
    assert!(page.find(": entry 25.<") < page.find(": entry 6.<"), "the newest is first");
}

#[tokio::test]
async fn what_the_site_does_not_take_is_refused_in_http_s_words() {
    let site = Site::new(MemoryStore::new(), json!({})).await;
    for (form, status, words) in [
        ("", 400, "expected a form with `name` and `text`"),
        ("name=Ann", 400, "expected a form with `name` and `text`"),
        ("name=+&text=x", 422, "`name`: expected 1 to 60 letters, found 1"),
        ("name=Ann&text=", 422, "`text`: expected 1 to 1000 letters, found 0"),
    ] {
        let (found, body) = site.sign(form).await;
        assert_eq!(found, status, "{form}: {body}");
        assert!(body.contains(words), "{form}: {body}");
    }
    let long = |letters: usize| format!("name=Ann&text={}", "x".repeat(letters));
    assert_eq!(site.sign(long(1_000)).await.0, 303);
    assert_eq!(site.sign(long(1_001)).await.0, 422);
    assert_eq!(site.sign(long(16 << 10)).await.0, 413);
    for (method, path, status, allowed) in [
        (Method::GET, "/no-such", 404, None),
        (Method::POST, "/no-such", 404, None),
        (Method::PUT, "/", 405, Some("GET, HEAD, POST")),
        (Method::DELETE, "/counters", 405, Some("GET, HEAD")),
        (Method::HEAD, "/", 200, None),
    ] {
        let (head, ..) = site.ask(method.clone(), path, "").await;
        let found = head.headers().get("allow").map(|value| value.to_str().expect("it is text"));
        assert_eq!((head.status().as_u16(), found), (status, allowed), "{method} {path}");
    }
}

#[tokio::test]
async fn a_store_that_is_full_is_told_to_the_log_and_not_to_the_visitor() {
    // Room for the counters, and for no entry.
    let site = Site::new(MemoryStore::new(), json!({ "bytes": 100 })).await;
    let (head, body, logged) = site.ask(Method::POST, "/", format!("name=Ann&text={}", "x".repeat(900))).await;
    assert_eq!((head.status().as_u16(), body.as_str()), (500, "internal server error"));
    assert!(logged.starts_with("POST / failed: kv-full: "), "{logged}");
    assert!(site.page().await.contains("<ul>\n</ul>"), "what was not kept is not shown");
}

#[tokio::test]
async fn what_a_full_store_refuses_moves_nothing_that_is_shown() {
    // Two counters and three entries.
    let site = Site::new(MemoryStore::new(), json!({ "keys": 5 })).await;
    for number in 1..=3 {
        assert_eq!(site.sign(format!("name=Ann&text=entry+{number}.")).await.0, 303);
    }
    site.page().await;
    // More than a page shows.
    for _ in 0..25 {
        assert_eq!(site.sign("name=Bob&text=late").await.0, 500);
    }
    let page = site.page().await;
    assert!(page.contains("<p>3 entries, 2 visits</p>") && !page.contains("late"), "{page}");
    for number in 1..=3 {
        assert!(page.contains(&format!(": entry {number}.<")), "{page}");
    }

    // Where there was no room for the count of visits from the start, the page is there all the same.
    let site = Site::new(MemoryStore::new(), json!({ "keys": 2 })).await;
    assert_eq!(site.sign("name=Ann&text=first").await.0, 303);
    let page = site.page().await;
    assert!(page.contains("<li><b>Ann</b>: first</li>\n</ul>\n<p>1 entries, 0 visits</p>"), "{page}");
}

#[tokio::test]
async fn an_entry_that_cannot_be_counted_is_not_kept() {
    // Room for nine short entries and the counter at one digit; the tenth fits, its second digit does not.
    let entry = r#"{"name":"Ann","text":"x"}"#.len() + format!("entry/{:019}", 1).len();
    let site = Site::new(MemoryStore::new(), json!({ "bytes": 10 * entry + "entries".len() + 1 })).await;
    for _ in 0..9 {
        assert_eq!(site.sign("name=Ann&text=x").await.0, 303);
    }
    assert_eq!(site.sign("name=Ann&text=x").await.0, 500);
    let (_, counters, _) = site.ask(Method::GET, "/counters", "").await;
    assert_eq!(serde_json::from_str::<Value>(&counters).expect("it is JSON")["entries"], 9);
    // Its room is free again, for one that is a letter shorter.
    assert_eq!(site.sign("name=An&text=x").await.0, 303);
}

#[tokio::test]
async fn visitors_who_sign_at_once_are_all_kept() {
    let site = Site::new(MemoryStore::new(), json!({})).await;
    let signed = (0..16).map(|number| site.sign(format!("name=Ann&text=entry+{number}.")));
    for (status, body) in futures::future::join_all(signed).await {
        assert_eq!(status, 303, "{body}");
    }
    let page = site.page().await;
    assert!(page.contains("<p>16 entries, 1 visits</p>"), "{page}");
    for number in 0..16 {
        assert!(page.contains(&format!(": entry {number}.<")), "{number}: {page}");
    }
}

#[tokio::test]
async fn to_ask_for_the_head_alone_is_no_visit() {
    let site = Site::new(MemoryStore::new(), json!({})).await;
    for _ in 0..3 {
        let (head, ..) = site.ask(Method::HEAD, "/", "").await;
        assert_eq!(head.status().as_u16(), 200);
    }
    assert!(site.page().await.contains("1 visits</p>"));
}

#[tokio::test]
async fn a_site_without_a_store_does_not_load() {
    let executor = Executor::builder().capability(Kv::new(MemoryStore::new())).build().expect("it starts");
    let error = executor.load(runner_guests::get("site.wasm"), &Grants::none()).await.expect_err("nothing is granted");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("runner:kv/store"), "{error}");
}
