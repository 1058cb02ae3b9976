//! The walks of the READMEs, from an empty folder to an answer of the real program: what they show is built as it stands
//! there, and what they ask with `curl` is asked.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use runner_core::{Executor, Grants};
use runner_host_http::Http;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::running::{Running, client, program};

const README: &str = include_str!("../../../../README.md");
const SDK: &str = include_str!("../../../../runner-sdk-guest/README.md");
const WIT: &str = include_str!("../../../../runner-sdk-guest/wit/README.md");
const GUESTS: &str = include_str!("../../../guests/README.md");
const HTTP: &str = include_str!("../../../../runner-host-http/README.md");

/// The part of a text between two headings, or whatever stands there.
fn between(text: &'static str, from: &str, to: &str) -> &'static str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("the README has no `{from}`"));
    rest.split_once(to).unwrap_or_else(|| panic!("the README has no `{to}` behind `{from}`")).0
}

/// The fenced block that comes next behind some words.
fn block(text: &'static str, words: &str) -> &'static str {
    let rest = between(text, words, "\n```\n");
    let (_, rest) = rest.split_once("```").unwrap_or_else(|| panic!("no block behind `{words}`"));
    rest.split_once('\n').expect("a block has lines").1
}

/// A folder as `cargo new --lib` makes it, and what the README has written into it.
struct Crate(PathBuf);

impl Crate {
    /// It is there for good: the next run finds its third-party crates built.
    fn new(name: &str, folder: &str, manifest: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("walks").join(folder).join(name);
        std::fs::create_dir_all(root.join("src")).unwrap();
        let made = Crate(root);
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runner-sdk-guest");
        let manifest = manifest.replace("git = \"https://github.com/runner-wasm/runner\"", &format!("path = {sdk:?}"));
        let package = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        // A workspace of its own, wherever it lies.
        made.write("Cargo.toml", &format!("[workspace]\n{package}{manifest}"));
        // Those of the guests, so that nothing is looked up.
        made.write("Cargo.lock", include_str!("../../../guests/Cargo.lock"));
        made
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn build(&self) {
        self.build_for("wasm32-unknown-unknown");
    }

    /// `cargo build --release --target ..`, one after the other: they would take the memory of several.
    fn build_for(&self, target: &str) {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cargo = without_the_outer_cargo();
        cargo.args(["build", "--release", "--target", target, "--target-dir", "target"]);
        let output = cargo.current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "{}: {}", self.0.display(), String::from_utf8_lossy(&output.stderr));
    }
}

/// Cargo, without what the cargo of this test has set for it.
fn without_the_outer_cargo() -> std::process::Command {
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        let is_outer = ["CARGO", "RUSTC", "RUSTFLAGS", "RUST_"].iter().any(|it| shown.starts_with(it));
        if is_outer && shown != "CARGO_HOME" {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// The commands among a text's indented lines, as a shell would split them: quotes, and lines that go on.
fn commands(text: &str) -> Vec<Vec<String>> {
    // Every other part is what stands in a fence.
    let unfenced = text.split("```").step_by(2).flat_map(str::lines);
    let lines = unfenced.filter_map(|line| line.strip_prefix("    "));
    let script = lines.flat_map(|line| [line, "\n"]).collect::<String>().replace("\\\n", " ");
    let (mut commands, mut command) = (Vec::new(), Vec::new());
    let (mut word, mut quote) = (None::<String>, None);
    for letter in script.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), letter) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => (quote, word) = (Some(letter), Some(word.unwrap_or_default())),
            (None, letter) if letter.is_whitespace() => {
                command.extend(word.take());
                if letter == '\n' && !command.is_empty() {
                    commands.push(std::mem::take(&mut command));
                }
            }
            (None, letter) => word.get_or_insert_default().push(letter),
        }
    }
    assert_eq!((quote, commands.is_empty()), (None, false), "there are commands in {text}");
    commands
}

/// What came of one `curl`.
#[derive(Debug)]
struct Answer {
    asked: String,
    status: u16,
    location: String,
    body: String,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    fn returned(&self) -> Value {
        let ending = &self.json()["ending"];
        assert_eq!((self.status, &ending["kind"]), (200, &json!("returned")), "{self:?}");
        ending["value"].clone()
    }
}

/// Asks what the commands of a text ask, of a server at another address than theirs, with files of a folder; the other
/// commands are the test's to do.
async fn follow(text: &str, running: &Running, folder: &Path) -> Vec<Answer> {
    // As curl: it shows a redirect, and does not follow it.
    let _provider = client();
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let port = running.address.rsplit(':').next().unwrap();
    let (mut answers, mut at) = (Vec::new(), String::new());
    for command in commands(text) {
        let here = |word: &str| {
            word.replace("$at", &at)
                .replace("http://127.0.0.1:8080", &running.address)
                .replace("\"port\": 8080", &format!("\"port\": {port}"))
        };
        if let Some(value) = command[0].strip_prefix("at=") {
            at = value.to_owned();
            continue;
        }
        if command[0] != "curl" {
            continue;
        }
        let (mut method, mut url, mut body, mut kind) = (None, None, None, "application/x-www-form-urlencoded");
        let mut words = command[1..].iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-g" => {}
                "-X" => method = words.next(),
                "-H" => kind = words.next().unwrap().strip_prefix("content-type: ").expect("the only header there is"),
                "--data" | "--data-binary" => {
                    let data = words.next().unwrap();
                    body = Some(match data.strip_prefix('@') {
                        Some(file) => {
                            std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
                        }
                        None => here(data).into_bytes(),
                    });
                }
                option if option.starts_with('-') => panic!("this test does not know `{option}` of {command:?}"),
                _ => assert_eq!(url.replace(here(word)), None, "one address: {command:?}"),
            }
        }
        let method = method.map_or(if body.is_some() { "POST" } else { "GET" }, String::as_str);
        let mut request = client.request(method.parse::<Method>().unwrap(), url.unwrap());
        if let Some(body) = body {
            request = request.header("content-type", kind).body(body);
        }
        let response = request.send().await.unwrap();
        let location = response.headers().get("location").map_or("", |value| value.to_str().unwrap()).to_owned();
        let status = response.status().as_u16();
        answers.push(Answer { asked: command.join(" "), status, location, body: response.text().await.unwrap() });
    }
    answers
}

#[tokio::test]
async fn the_readme_leads_from_an_empty_folder_to_an_answer() {
    let walk = between(README, "## From nothing to an answer in the page\n", "\n## ");
    let hello = Crate::new("hello", "readme", block(walk, "In `Cargo.toml`"));
    hello.write("src/lib.rs", block(walk, "In `src/lib.rs`"));
    hello.build();
    let data = TempDir::new().unwrap();
    let running = Running::start(&mut program(data.path())).await;
    let answers = follow(walk, &running, &hello.0).await;
    assert_eq!(answers.iter().map(Answer::returned).collect::<Vec<_>>(), [json!(12.0)]);
}

#[tokio::test]
async fn the_readme_leads_from_an_empty_folder_to_a_guest_that_remembers() {
    let walk = between(README, "## From nothing to a guest that remembers\n", "\n## ");
    let visits = Crate::new("visits", "readme", block(walk, "In `Cargo.toml`"));
    visits.write("src/lib.rs", block(walk, "In `src/lib.rs`"));
    visits.build();
    let data = TempDir::new().unwrap();
    let running = Running::start(&mut program(data.path())).await;
    let answers = follow(walk, &running, &visits.0).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [201, 403, 200, 200, 200, 200], "{answers:?}");
    // The words of the refusal are those that the README has, and what it grants.
    let words = between(walk, "in words that say what to grant: `", "`");
    let detail = answers[1].json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(&format!("grant it with {words};")), "{words}: {detail}");
    assert_eq!(answers[2].json()["grants"], serde_json::from_str::<Value>(words).unwrap());
    assert_eq!(answers[3].returned(), 1);
    let kept = json!({ "namespace": "visits", "keys": 1, "bytes": 5 });
    assert_eq!(answers[4].json()["backends"][0], json!({ "backend": "default", "namespaces": [kept], "more": false }));
    assert_eq!(answers[5].json(), kept);
    // It begins anew, and is called as often as you like.
    let again = walk.lines().rfind(|line| line.ends_with("/call")).unwrap();
    assert_eq!(follow(again, &running, &visits.0).await[0].returned(), 1);
    assert_eq!(follow(again, &running, &visits.0).await[0].returned(), 2);
}

#[tokio::test]
async fn the_readme_of_the_sdk_leads_to_a_task_and_to_a_handler() {
    let manifest = block(SDK, "In `Cargo.toml`");
    let lamps = Crate::new("lamps", "sdk", manifest);
    lamps.write("src/lib.rs", block(SDK, "In `src/lib.rs`"));
    lamps.build();
    let data = TempDir::new().unwrap();
    let running = Running::start(&mut program(data.path())).await;
    let answers = follow(between(SDK, "Then `cargo build", "* **Types**"), &running, &lamps.0).await;
    assert_eq!(answers.iter().map(Answer::returned).collect::<Vec<_>>(), [json!(3990)]);

    // Each face is a feature.
    let with_http = manifest.replace("runner\" }", "runner\", features = [\"http\"] }");
    assert_ne!(with_http, manifest);
    let lamps = Crate::new("lamps", "sdk", &with_http);
    lamps.write("src/lib.rs", block(SDK, "**HTTP, asked by others**"));
    lamps.build();
    let answers = follow(between(SDK, "Built as above", "What a handler fails with"), &running, &lamps.0).await;
    let said: Vec<_> = answers.iter().map(|answer| (answer.status, answer.body.as_str())).collect();
    assert_eq!(said[0].0, 201, "{answers:?}");
    assert_eq!(said[1..], [(200, "<h1>Lamps</h1>"), (200, "3")]);
}

#[tokio::test]
async fn the_readme_of_the_wit_packages_leads_to_a_guest_without_the_sdk() {
    let visits = Crate::new("visits", "wit", block(WIT, "`Cargo.toml` from `[lib]` on"));
    visits.write("wit/visits.wit", block(WIT, "`wit/visits.wit`"));
    visits.write("src/lib.rs", block(WIT, "and `src/lib.rs`:"));
    let kv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runner-sdk-guest/wit/kv");
    for file in std::fs::read_dir(kv).unwrap().map(Result::unwrap) {
        let text = std::fs::read_to_string(file.path()).unwrap();
        visits.write(&format!("wit/deps/kv/{}", file.file_name().display()), &text);
    }
    visits.build();
    let data = TempDir::new().unwrap();
    let running = Running::start(&mut program(data.path())).await;
    // It says how to run it with the host crate's example; here it is asked as any module is.
    let asked = r#"
    curl -X PUT --data-binary @target/wasm32-unknown-unknown/release/visits.wasm http://127.0.0.1:8080/v1/modules/visits
    curl -X PUT --data '{"kv": {"stores": {"default": {"namespace": "visits"}}}}' http://127.0.0.1:8080/v1/modules/visits@1/grants
    curl --data '{"args": ["default", "page", 1]}' http://127.0.0.1:8080/v1/modules/visits/call
    curl --data '{"args": ["default", "page", 1]}' http://127.0.0.1:8080/v1/modules/visits/call
"#;
    let answers = follow(asked, &running, &visits.0).await;
    assert_eq!(answers[2..].iter().map(Answer::returned).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn the_readme_of_outgoing_http_leads_to_a_guest_that_fetches() {
    let walk = between(HTTP, "## From an empty folder to a guest that fetches\n", "\n## ");
    let fetch = Crate::new("fetch", "http", block(walk, "`Cargo.toml`, from `[dependencies]` on"));
    fetch.write("src/main.rs", block(walk, "`src/main.rs`"));
    fetch.build_for("wasm32-wasip2");
    let data = TempDir::new().unwrap();
    let running = Running::start(&mut program(data.path())).await;
    // It asks a site that a test would have to go out for; here it is this machine's.
    let wasm = std::fs::read(fetch.0.join("target/wasm32-wasip2/release/fetch.wasm")).unwrap();
    let executor = Executor::builder().capability(Http::new()).build().unwrap();
    let port = running.address.rsplit(':').next().unwrap();
    let rule = format!(r#"{{"scheme": "http", "host": "127.0.0.1", "port": {port}, "addresses": ["127.0.0.1"]}}"#);
    let rule: Value = serde_json::from_str(&rule).unwrap();
    let grants = Grants::none().grant("http", json!({ "allow": [rule] }));
    let guest = executor.load(&wasm, &grants).await.unwrap();
    let command = guest.command().arg("fetch").arg(format!("{}/v1/modules", running.address));
    let outcome = command.run().await.unwrap();
    assert!(outcome.ending.is_returned(), "{:?}: {}", outcome.ending, String::from_utf8_lossy(&outcome.stderr));
    assert!(serde_json::from_slice::<Value>(&outcome.stdout).is_ok(), "{}", String::from_utf8_lossy(&outcome.stdout));
    let refused = guest.command().arg("fetch").arg("https://example.com/").run().await.unwrap();
    assert!(!refused.ending.is_returned(), "it was lent no other");
}

#[tokio::test]
async fn every_line_of_the_guests_readme_does_what_it_says() {
    let folder = TempDir::new().unwrap();
    for guest in runner_guests::all() {
        std::fs::write(folder.path().join(guest.file), guest.bytes).unwrap();
    }
    let data = TempDir::new().unwrap();
    let secret = "s3cr3t-of-this-test";
    assert!(GUESTS.contains("`RUNNER_SECRET_WEBHOOK_TOKEN=s3cr3t ./scripts/run_runner_server.sh`"));
    let running = Running::start(program(data.path()).env("RUNNER_SECRET_WEBHOOK_TOKEN", secret)).await;
    let port = running.address.rsplit(':').next().unwrap();
    // A page of this machine in the place of one that a test would have to go out for.
    let here = format!(r#"{{"scheme": "http", "host": "127.0.0.1", "port": {port}, "addresses": ["127.0.0.1"]}}"#);
    let walk = between(GUESTS, "## Guests that touch the outside\n", "\n## ")
        .replace(r#"{"host": "example.com"}"#, &here)
        .replace("https://example.com/", "http://127.0.0.1:8080/v1/modules/site/http/");
    assert!(!walk.contains("example.com\""), "{walk}");
    let answers = follow(&walk, &running, folder.path()).await;

    for answer in &answers {
        let is_stored = answer.asked.contains("--data-binary");
        let is_signed = answer.asked.contains("name=Ada");
        let expected = if is_stored {
            201
        } else if is_signed {
            303
        } else {
            200
        };
        assert_eq!(answer.status, expected, "{answer:?}");
        assert!(!answer.body.contains(secret), "{answer:?}");
    }
    let called: Vec<_> =
        answers.iter().filter(|answer| answer.asked.ends_with("/call")).map(Answer::returned).collect();
    let [counted, top, left, summary, delivered] = &called[..] else { panic!("{called:?}") };
    assert_eq!(
        (counted, top),
        (&json!({ "sum": 2, "times": 1 }), &json!([{ "name": "visits", "sum": 2, "times": 1 }]))
    );
    assert_eq!((left, &delivered["status"]), (&json!(2), &json!(200)));
    assert_eq!(summary["title"], "Guestbook");
    let [signed, page] =
        answers.iter().filter(|answer| answer.asked.ends_with("$at/site/http/")).collect::<Vec<_>>()[..]
    else {
        panic!("{answers:?}")
    };
    assert_eq!(signed.location, "/v1/modules/site/http/");
    assert!(page.body.contains("<li><b>Ada</b>: Hello</li>"), "{page:?}");
}
