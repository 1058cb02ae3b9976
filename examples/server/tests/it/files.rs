//! `/v1/files/`: what modules keep, as whoever operates the server lists, reads, writes and removes it.

use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use axum::body::Body;
use futures::stream;
use http_body_util::BodyExt;
use runner_server::Token;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::{Answer, Site, request};

impl Site {
    fn kept(&self, path: &str) -> PathBuf {
        self.data().join("files").join(path)
    }

    async fn write(&self, path: &str, bytes: impl Into<Body>) -> u16 {
        let answer = self.ask("PUT", &format!("/v1/files/{path}"), bytes).await;
        assert_eq!(answer.body, "", "{answer:?}");
        answer.status.as_u16()
    }

    async fn listed(&self, path: &str) -> Value {
        let answer = self.get(&format!("/v1/files{path}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Lets the guest that does what it is told with `std::fs` do some steps.
    async fn steps(&self, reference: &str, steps: &Value) -> Answer {
        self.call(reference, &json!({ "stdin": steps.to_string() })).await
    }
}

fn names(directory: &Value) -> Vec<&str> {
    directory["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_file_that_was_written_is_listed_and_read() {
    let site = Site::new();
    assert_eq!(site.listed("").await, json!({ "path": "/", "entries": [] }));
    assert_eq!(site.write("shop/orders/1.txt", "one").await, 201);
    assert_eq!(site.write("shop/orders/1.txt", "one and more").await, 204);
    assert_eq!(site.write("shop/a%20%22b%22%20%C3%A4", "").await, 201);
    assert_eq!(std::fs::read_to_string(site.kept("shop/orders/1.txt")).unwrap(), "one and more");

    let listed = site.listed("/shop").await;
    assert_eq!(site.listed("/shop/").await, listed);
    assert_eq!(listed["path"], "/shop");
    let [file, directory] = listed["entries"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&file["name"], &file["kind"], &file["size"]), (&json!("a \"b\" ä"), &json!("file"), &json!(0)));
    assert!(file["modified_ms"].as_u64().unwrap() > 1_600_000_000_000, "{file}");
    assert_eq!((&directory["name"], &directory["kind"]), (&json!("orders"), &json!("directory")));
    assert_eq!(directory.get("size"), None);

    let read = site.get("/v1/files/shop/orders/1.txt").await;
    assert_eq!((read.status.as_u16(), read.body.as_str()), (200, "one and more"));
    // A browser keeps it, and takes it for nothing.
    assert_eq!(read.header("content-type"), "application/octet-stream");
    assert_eq!(read.header("content-length"), "12");
    assert_eq!(read.header("x-content-type-options"), "nosniff");
    assert_eq!(read.header("content-disposition"), "attachment; filename*=UTF-8''1%2Etxt");
    let odd = site.get("/v1/files/shop/a%20%22b%22%20%C3%A4").await;
    assert_eq!((odd.status.as_u16(), odd.header("content-length")), (200, "0"));
    assert_eq!(odd.header("content-disposition"), "attachment; filename*=UTF-8''a%20%22b%22%20%C3%A4");
    let head = site.ask("HEAD", "/v1/files/shop/orders/1.txt", "").await;
    assert_eq!((head.header("content-length"), head.body.as_str()), ("12", ""));
}

#[tokio::test]
async fn a_large_file_comes_whole_in_pieces() {
    let site = Site::new();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    assert_eq!(site.write("large", bytes.clone()).await, 201);
    let response = site.open(request("GET", "/v1/files/large", "")).await;
    assert_eq!(response.headers()["content-length"], "3000000");
    let mut body = response.into_body();
    let mut read = Vec::new();
    let mut pieces = 0;
    while let Some(frame) = body.frame().await {
        read.extend_from_slice(&frame.unwrap().into_data().unwrap());
        pieces += 1;
    }
    assert!(read == bytes && pieces > 10, "{} bytes in {pieces} pieces", read.len());
}

#[tokio::test]
async fn a_directory_is_listed_page_by_page() {
    let site = Site::new();
    let all: Vec<_> = (0..7).map(|at| format!("f{at}")).collect();
    for name in &all {
        site.write(&format!("many/{name}"), "x").await;
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    for size in [3, 3, 1] {
        let page = site.listed(&format!("/many?limit=3{after}")).await;
        assert_eq!(names(&page).len(), size, "{page}");
        seen.extend(names(&page).into_iter().map(str::to_owned));
        after = page["next"].as_str().map_or_else(String::new, |next| format!("&after={next}"));
    }
    assert_eq!((seen, after.as_str()), (all, ""));
    // A name is a place in the order, whether it is there or not.
    assert_eq!(names(&site.listed("/many?after=f5a").await), ["f6"]);
    for (query, words) in [
        ("limit=0", "`limit` is `0`, expected 1 to 10000"),
        ("limit=10001", "expected 1 to 10000"),
        ("limit=ten", "expected 1 to 10000"),
        ("size=3", "unknown field `size`"),
    ] {
        site.get(&format!("/v1/files/many?{query}")).await.is_problem(400, "invalid", words);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let site = Site::new();
    site.write("kept", "as it was").await;
    let broken = || {
        let pieces = [Ok("the first half, "), Err(io::Error::other("gone"))];
        Body::from_stream(stream::iter(pieces))
    };
    for path in ["kept", "new", "below/it/new"] {
        site.ask("PUT", &format!("/v1/files/{path}"), broken()).await.is_problem(400, "invalid", "the body broke off");
    }
    assert_eq!(site.get("/v1/files/kept").await.body, "as it was");
    assert_eq!(names(&site.listed("").await), ["kept"]);
}

#[tokio::test]
async fn whoever_was_overtaken_is_told_and_changes_nothing() {
    let site = Site::new();
    for before in [false, true] {
        let path = format!("/v1/files/contested-{before}");
        if before {
            site.ask("PUT", &path, "before").await;
        }
        let (opened, is_open) = oneshot::channel();
        let (go, wait) = oneshot::channel();
        let slow = Body::from_stream(stream::once(async move {
            opened.send(()).unwrap();
            wait.await.unwrap();
            Ok::<_, io::Error>("slow")
        }));
        let quick = async {
            is_open.await.unwrap();
            assert!(site.ask("PUT", &path, "quick").await.status.is_success());
            go.send(()).unwrap();
        };
        let (slow, ()) = tokio::join!(site.ask("PUT", &path, slow), quick);
        slow.is_problem(409, "conflict", &format!("/contested-{before}"));
        assert_eq!(site.get(&path).await.body, "quick");
    }
}

#[tokio::test]
async fn directories_are_made_and_removed() {
    let site = Site::new();
    assert_eq!(site.write("a/b/", "").await, 201);
    assert_eq!(site.write("a/b/", "").await, 204);
    assert_eq!(names(&site.listed("/a").await), ["b"]);
    site.write("a/b/file", "x").await;
    let remove = async |path: &str| site.ask("DELETE", &format!("/v1/files/{path}"), "").await;
    remove("a/b").await.is_problem(409, "conflict", "directory `/a/b` is not empty");
    remove("a/b/?recursive=false").await.is_problem(409, "conflict", "not empty");
    assert_eq!(remove("a/b/file").await.status, 204);
    assert_eq!(remove("a/b/").await.status, 204);
    site.write("a/c/d/file", "x").await;
    assert_eq!(remove("a?recursive=true").await.status, 204);
    assert_eq!(names(&site.listed("").await), Vec::<&str>::new());
    // A link is removed, and what it leads to stays.
    site.write("kept/file", "x").await;
    symlink("kept", site.kept("link")).unwrap();
    assert_eq!(remove("link?recursive=true").await.status, 204);
    assert_eq!(names(&site.listed("").await), ["kept"]);
    assert_eq!(names(&site.listed("/kept").await), ["file"]);
}

#[tokio::test]
async fn what_cannot_be_done_says_why() {
    let site = Site::new();
    site.write("file", "x").await;
    site.write("directory/", "").await;
    let long = "n".repeat(256);
    for (method, path, status, kind, words) in [
        ("GET", "absent", 404, "not_found", "`/absent` is not there"),
        ("GET", "absent/", 404, "not_found", "`/absent` is not there"),
        ("GET", "file/", 409, "conflict", "`/file` is no directory"),
        ("PUT", "file/", 409, "conflict", "`/file` is no directory"),
        ("PUT", "file/below", 409, "conflict", "`/file` is no directory"),
        ("PUT", "directory", 409, "conflict", "`/directory` is a directory"),
        ("PUT", long.as_str(), 400, "invalid", "the name has 256 bytes, 255 are allowed"),
        ("PUT", "a%00b", 400, "invalid", "NUL"),
        ("GET", "%FF", 400, "invalid", "UTF-8"),
        ("PUT", ".runner/x", 403, "denied", "`.runner` is kept for the volume itself"),
        ("GET", ".runner", 404, "not_found", "is not there"),
        ("DELETE", "absent", 404, "not_found", "`/absent` is not there"),
        ("DELETE", "file/", 409, "conflict", "`/file` is no directory"),
        ("DELETE", "file?recursive=maybe", 400, "invalid", "the query"),
        ("DELETE", "file?all=true", 400, "invalid", "unknown field `all`"),
        ("POST", "file", 405, "invalid", "POST"),
        ("DELETE", "", 405, "invalid", "DELETE"),
    ] {
        let answer = site.ask(method, &format!("/v1/files/{path}"), "body").await;
        answer.is_problem(status, kind, words);
    }
    let mut packed = request("PUT", "/v1/files/packed", "x");
    packed.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    site.send(packed).await.is_problem(415, "invalid", "content encoding `gzip`");
    assert_eq!(names(&site.listed("").await), ["directory", "file"]);
}

#[tokio::test]
async fn no_path_leads_out_of_the_files() {
    let site = Site::new();
    std::fs::write(site.data().join("secret"), "not theirs").unwrap();
    site.write("in/file", "x").await;
    for path in ["../secret", "in/../../secret", "in/../in/file", "%2e%2e/secret", "in%2F..%2F..%2Fsecret", "in/./file"]
    {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = site.ask(method, &format!("/v1/files/{path}"), "x").await;
            answer.is_problem(400, "invalid", "a name is empty, `.` or `..`");
        }
    }
    for path in ["/v1/files//etc/passwd", "/v1/files/%2Fetc%2Fpasswd", "/v1/files/in//file"] {
        site.get(path).await.is_problem(400, "invalid", "a name is empty");
    }

    // A link leads where it leads, but not out.
    symlink("in/file", site.kept("inward")).unwrap();
    symlink("../secret", site.kept("outward")).unwrap();
    symlink(site.data(), site.kept("absolute")).unwrap();
    assert_eq!(site.get("/v1/files/inward").await.body, "x");
    for path in ["outward", "absolute", "absolute/secret"] {
        for method in ["GET", "PUT"] {
            site.ask(method, &format!("/v1/files/{path}"), "x").await.is_problem(403, "denied", "");
        }
    }
    let listed = site.listed("").await;
    let kinds: Vec<_> = listed["entries"].as_array().unwrap().iter().map(|entry| &entry["kind"]).collect();
    assert_eq!(names(&listed), ["absolute", "in", "inward", "outward"]);
    assert_eq!(kinds, ["symlink", "directory", "symlink", "symlink"]);
    assert_eq!(std::fs::read_to_string(site.data().join("secret")).unwrap(), "not theirs");
}

#[tokio::test]
async fn who_may_speak_to_the_server_is_the_same_here() {
    let site = Site::with(|wants| wants.settings.token = Some(Token::new("secret").unwrap()));
    let ask = async |method: &str, headers: &[(&'static str, &str)]| {
        let mut request = request(method, "/v1/files/file", "x");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        site.send(request).await
    };
    let token = ("authorization", "Bearer secret");
    for method in ["GET", "PUT", "DELETE"] {
        ask(method, &[]).await.is_problem(401, "unauthorized", "Bearer");
        ask(method, &[token, ("origin", "https://evil.example.com")]).await.is_problem(403, "forbidden", "origin");
        ask(method, &[token, ("sec-fetch-site", "cross-site")]).await.is_problem(403, "forbidden", "a page elsewhere");
        ask(method, &[token, ("host", "evil.example.com")]).await.is_problem(403, "forbidden", "this server");
    }
    assert_eq!(ask("PUT", &[token]).await.status, 201);
    assert_eq!(ask("GET", &[token, ("origin", "http://127.0.0.1:8080")]).await.body, "x");
}

fn mounted(mount: Value) -> Value {
    json!({ "fs": { "mounts": { "/data": mount } } })
}

#[tokio::test]
async fn what_a_granted_module_writes_is_there_when_it_has_returned() {
    for guest in ["files-p1", "files-p2"] {
        let site = Site::new();
        site.put("writer", runner_guests::get(guest)).await;
        let steps =
            json!([["mkdirs", "/data/orders"], ["put", "/data/orders/1.txt", "one"], ["get", "/data/orders/1.txt"]]);
        // Without a grant it runs, and there is nothing to write to.
        let closed = site.steps("writer", &steps).await;
        assert_eq!(closed.ending()["kind"], "returned", "{closed:?}");
        assert!(closed.json()["stdout"].as_str().unwrap().lines().all(|line| line.contains("\"err\"")), "{closed:?}");
        assert_eq!(names(&site.listed("").await), Vec::<&str>::new());

        let granted =
            site.ask("PUT", "/v1/modules/writer/grants", mounted(json!({ "prefix": "shop" })).to_string()).await;
        assert_eq!(granted.status, 200, "{granted:?}");
        let written = site.steps("writer", &steps).await;
        assert_eq!(written.ending()["kind"], "returned", "{written:?}");
        assert_eq!(written.json()["stdout"], "\"ok\"\n\"ok\"\n\"one\"\n");
        let used = &written.json()["usage"]["capabilities"]["fs"];
        assert_eq!(used["report"]["added"], json!(["/data/orders", "/data/orders/1.txt"]), "{used}");
        assert_eq!(used["counts"]["committed_bytes"], 3, "{used}");
        assert_eq!(site.get("/v1/files/shop/orders/1.txt").await.body, "one");

        // It reads what is put here, and says what it changed.
        site.write("shop/in.txt", "from outside").await;
        let steps = json!([
            ["get", "/data/in.txt"],
            ["put", "/data/in.txt", "changed"],
            ["rm", "/data/orders/1.txt"],
            ["put", "/data/new", "x"],
        ]);
        let changed = site.steps("writer", &steps).await.json();
        assert_eq!(changed["stdout"], "\"from outside\"\n\"ok\"\n\"ok\"\n\"ok\"\n");
        let report = json!({
            "added": ["/data/new"], "changed": ["/data/in.txt"], "removed": ["/data/orders/1.txt"], "unnamed": 0,
        });
        assert_eq!(changed["usage"]["capabilities"]["fs"]["report"], report);

        // One that does not return has changed nothing, and says so by saying nothing.
        let failed = site.steps("writer", &json!([["put", "/data/in.txt", "lost"], ["panic"]])).await;
        assert_ne!(failed.ending()["kind"], "returned");
        assert_eq!(failed.json()["usage"]["capabilities"]["fs"].get("report"), None, "{failed:?}");
        assert_eq!(site.get("/v1/files/shop/in.txt").await.body, "changed");
    }
}

#[tokio::test]
async fn a_module_cannot_leave_its_prefix_nor_write_where_it_may_read() {
    let site = Site::new();
    site.put("writer", runner_guests::get("files-p2")).await;
    site.write("secret", "not its").await;
    site.write("shop/in.txt", "text").await;
    let reading = mounted(json!({ "prefix": "shop", "mode": "read-only" }));
    assert_eq!(site.ask("PUT", "/v1/modules/writer/grants", reading.to_string()).await.status, 200);
    let steps = json!([["get", "/data/in.txt"], ["get", "/data/../secret"], ["put", "/data/in.txt", "x"]]);
    let answer = site.steps("writer", &steps).await.json();
    let lines: Vec<_> = answer["stdout"].as_str().unwrap().lines().collect();
    assert_eq!(lines[0], "\"text\"");
    assert!(lines[1].contains("\"err\"") && lines[2].contains("\"err\""), "{lines:?}");
    assert_eq!(site.get("/v1/files/shop/in.txt").await.body, "text");
    for (mount, words) in [
        (json!({ "volume": "attic" }), "`attic`"),
        (json!({ "prefix": "../x" }), "leads out of its directory"),
        (json!({ "prefix": "x", "mode": "append" }), "does not fit its schema"),
    ] {
        let refused = site.ask("PUT", "/v1/modules/writer/grants", mounted(mount).to_string()).await;
        refused.is_problem(400, "invalid", words);
    }
}
