//! What modules say, in the log of the real program: by its default filter, by grant, beside the number of the call.

use std::process::Stdio;

use http::StatusCode;
use reqwest::Response;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::running::{Running, program};

impl Running {
    /// Stores a module, with grants.
    async fn store(&self, name: &str, module: &'static [u8], grants: &Value) {
        let put = self.client.put(self.url(&format!("/v1/modules/{name}"))).body(module).send();
        assert_eq!(put.await.unwrap().status(), StatusCode::CREATED);
        let grant = self.client.put(self.url(&format!("/v1/modules/{name}/grants"))).body(grants.to_string());
        assert_eq!(grant.send().await.unwrap().status(), StatusCode::OK);
    }

    async fn call(&self, name: &str, request: &Value) -> Response {
        let call = self.client.post(self.url(&format!("/v1/modules/{name}/call"))).body(request.to_string());
        call.send().await.unwrap()
    }

    /// A call that ends as it should; its number.
    async fn called(&self, name: &str, request: &Value) -> u64 {
        let outcome: Value = self.call(name, request).await.json().await.unwrap();
        assert_eq!(outcome["ending"]["kind"], "returned", "{outcome}");
        outcome["call"].as_u64().expect("it has a number")
    }
}

fn log(level: &str, message: &str) -> Value {
    json!({ "function": "log", "args": [level, "shop", message, 1] })
}

fn print(out: &str, err: &str) -> Value {
    json!({ "function": "print", "args": [out.as_bytes(), err.as_bytes()] })
}

#[tokio::test]
async fn what_a_module_says_stands_in_the_log_beside_its_call_where_that_is_granted() {
    let data = TempDir::new().unwrap();
    let mut running = Running::start(program(data.path()).stdout(Stdio::null())).await;
    running.store("logger", runner_guests::get("logger"), &json!({ "logging": { "level": "trace" } })).await;
    running
        .store("terse", runner_guests::get("logger"), &json!({ "logging": { "streams": false, "level": "warn" } }))
        .await;
    running.store("quiet", runner_guests::get("command-p2.wasm"), &json!({})).await;
    running.store("hello", runner_guests::get("http-hello.wasm"), &json!({ "logging": {} })).await;

    let logged = running.called("logger", &log("info", "sold out")).await;
    let printed = running.called("logger", &print("printed this\n", "and complained")).await;
    let warned = running.called("terse", &log("error", "gone wrong")).await;
    // Below the program's filter, below the grant, not of the grant, and without one.
    running.called("logger", &log("debug", "unheard: debug")).await;
    running.called("terse", &log("info", "unheard: info")).await;
    running.called("terse", &print("unheard: printed", "")).await;
    running.called("quiet", &json!({ "args_cli": ["echo", "unheard: not granted"] })).await;
    // A handler that breaks off says why where its answer has begun, and where it has not.
    let answer = running.client.get(running.url("/v1/modules/hello/http/trap-late")).send().await.unwrap();
    let late: u64 = answer.headers()["runner-call"].to_str().unwrap().parse().unwrap();
    // Read to where it breaks off: a handler that nobody listens to is stopped before it says why.
    assert!(answer.bytes().await.is_err());
    let trapped = running.client.get(running.url("/v1/modules/hello/http/trap")).send().await.unwrap();
    assert_eq!(trapped.status(), StatusCode::BAD_GATEWAY);
    let trapped: Value = trapped.json().await.unwrap();
    let trapped = trapped["outcome"]["call"].as_u64().expect("it has a number");

    assert!(running.terminate().await.success());
    let said = running.log.await.unwrap();
    for (level, message, call, field) in [
        ("INFO", "sold out", logged, "context=\"shop\""),
        ("INFO", "printed this", printed, "stream=\"stdout\""),
        ("WARN", "and complained", printed, "stream=\"stderr\""),
        ("ERROR", "gone wrong", warned, "context=\"shop\""),
        ("WARN", "after half the body", late, "stream=\"stderr\""),
        ("WARN", "before the head", trapped, "stream=\"stderr\""),
    ] {
        let lines: Vec<_> = said.lines().filter(|line| line.contains(message)).collect();
        let [line] = lines.as_slice() else { panic!("`{message}` stands there {} times: {said}", lines.len()) };
        for words in [&format!("{level} "), "runner_guest: ", &format!(" call={call} "), " program=\"", field] {
            assert!(line.contains(words), "`{words}` is not in: {line}");
        }
    }
    assert!(!said.contains("unheard"), "{said}");
}
