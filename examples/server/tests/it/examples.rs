//! `/v1/examples`: what is offered to try, and that each does what it promises.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Site, dir};

/// A directory of guests, as the start script makes it.
fn guests() -> TempDir {
    let guests = TempDir::new().unwrap();
    for guest in runner_guests::all() {
        std::fs::write(guests.path().join(guest.file), guest.bytes).unwrap();
    }
    guests
}

#[tokio::test]
async fn every_example_can_be_stored_and_called_as_it_says() {
    let guests = guests();
    let site = Site::with(|wants| {
        wants.guests = Some(dir(guests.path()));
        wants.limits.deadline = std::time::Duration::from_millis(500); // one of them spins
    });
    let listed = site.get("/v1/examples").await.json();
    let examples = listed["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 22);
    for example in examples {
        let file = example["file"].as_str().unwrap();
        assert!(!example["title"].as_str().unwrap().is_empty() && example["about"].as_str().unwrap().ends_with('.'));
        assert_eq!(example.get("name"), (file == "http-hello.wasm").then_some(&json!("http-hello")), "{file}");
        let answer = site.get(&format!("/v1/examples/{file}")).await;
        let kind = if file.ends_with(".wat") { "text/plain; charset=utf-8" } else { "application/wasm" };
        assert_eq!(answer.header("content-type"), kind, "{file}");
        let bytes = match file.strip_suffix(".wat") {
            Some(name) => runner_guests::wat(name).as_bytes(),
            None => runner_guests::get(file),
        };
        site.put("example", bytes).await;
        if let Some(grants) = example.get("grants") {
            let granted = site.ask("PUT", "/v1/modules/example/grants", grants.to_string()).await;
            assert_eq!(granted.json()["grants"], *grants, "{file}");
        }
        let module = site.get("/v1/modules/example").await.json();
        let lacking = |import: &&Value| import["status"] == "missing";
        assert_eq!(module["imports"].as_array().unwrap().iter().find(lacking), None, "{file}");
        let exports = module["exports"].as_array().unwrap();
        let Some(function) = example["function"].as_str() else {
            assert!(exports.iter().any(|export| export["kind"] == "http"), "{file}");
            continue;
        };
        assert!(exports.iter().any(|export| export["name"] == function), "{file}: {function}");
        if ["summarise.wasm", "webhook.wasm"].contains(&file) {
            // They ask somebody whom a test does not have.
            continue;
        }
        let request = json!({ "function": function, "args": example["args"] });
        let ending = site.call("example", &request).await.ending();
        let expected = match file {
            "divide.wat" | "trap_deep.wat" => "trapped",
            "spin.wat" => "exhausted",
            "command-p1.wasm" => "failed", // it prints how it is used
            _ => "returned",
        };
        assert_eq!(ending["kind"], expected, "{file}: {ending}");
    }
}

#[tokio::test]
async fn only_what_is_listed_is_given() {
    let guests = guests();
    let site = Site::with(|wants| wants.guests = Some(dir(guests.path())));
    for file in ["absent.wat", "misbehave.wasm", "..%2Fgreet.wasm", "%2Fetc%2Fpasswd", ".."] {
        site.get(&format!("/v1/examples/{file}")).await.is_problem(404, "not_found", "no example");
    }
    let bare = Site::new();
    assert_eq!(bare.get("/v1/examples").await.json()["examples"].as_array().unwrap().len(), 12);
    bare.get("/v1/examples/greet.wasm").await.is_problem(404, "not_found", "no example");
}
