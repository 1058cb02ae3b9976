//! A component for wasmCloud, on its own library, which knows nothing of us: `wasi:keyvalue@0.2.0-draft` behind a web server.

use http::Request;
use http_body_util::{BodyExt, Empty};
use runner_core::{ErrorKind, Grants, HttpReply, Service};
use runner_host_kv::{Key, Kv, MemoryStore, Namespace, StoreExt};
use serde_json::json;

use crate::support::{Lent, backends, executor, granted};

const GUEST: &str = "kv-wasmcloud.wasm";

/// What it answers to a method and a path; where it answers an error, how that is told.
async fn ask(lent: &Lent, method: &str, path: &str, value: &str) -> Result<String, String> {
    let request = Request::builder().method(method).uri(format!("http://localhost{path}")).header("x-value", value);
    let request = request.body(Empty::<bytes::Bytes>::new()).expect("a request");
    let reply = lent.program.http(request).send().await.expect("the host does its part");
    let (response, ended) = match reply {
        HttpReply::Answered { response, ended } => (response, ended),
        HttpReply::Unanswered(outcome) => return Err(format!("{:?}", outcome.ending)),
        _ => panic!("expected an answer to {method} {path}, or none"),
    };
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(ended.outcome().await.expect("it ends").ending.is_returned());
    Ok(String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn a_component_on_wasmcloud_s_library_runs_as_it_is_on_both_backends() {
    for (backend, store, _folder) in backends() {
        let lent = Lent::new(store.clone(), GUEST, json!({})).await;
        for count in ["1", "2", "3"] {
            assert_eq!(ask(&lent, "GET", "/page", "").await, Ok(count.to_owned()), "{backend}");
        }
        assert_eq!(ask(&lent, "GET", "/other", "").await, Ok("1".to_owned()), "{backend}");
        let kept = ask(&lent, "PUT", "/page", "kept").await;
        assert_eq!(kept, Ok(r#"Some("kept") [Some(("/page", Some("kept"))), None]"#.to_owned()), "{backend}");
        assert_eq!(ask(&lent, "DELETE", "/page", "").await, Ok(r#"false ["/other"]"#.to_owned()), "{backend}");
        let space = Namespace::new("tests").expect("a name");
        let there = store.get(&space, &Key::new("/other").expect("short")).await.expect("it answers");
        assert_eq!(there.expect("it is kept").value, "1", "{backend}: in the store that was granted");
    }
}

#[tokio::test]
async fn a_component_on_wasmcloud_s_library_needs_a_grant_and_keeps_to_it() {
    let executor = executor(Kv::new(MemoryStore::new()));
    let bytes = runner_guests::get(GUEST);
    let refused = executor.load(bytes, &Grants::none()).await.expect_err("nothing is granted");
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert!(refused.to_string().contains("import `wasi:keyvalue/"), "{refused}");
    let explained = executor.explain(bytes, &granted(json!({}))).await.expect("it is explained");
    for interface in ["store", "atomics", "batch"] {
        let name = format!("wasi:keyvalue/{interface}@0.2.0-draft");
        let need = explained.imports.iter().find(|need| need.name == name).expect("it imports all three");
        assert_eq!(need.service, Service::Granted { capability: "kv".to_owned() }, "{name}");
    }

    let reads = Lent::new(MemoryStore::new(), GUEST, json!({ "mode": "read-only" })).await;
    let denied = ask(&reads, "GET", "/page", "").await;
    assert!(
        denied.as_ref().is_err_and(|why| why.contains("AccessDenied") || why.contains("access-denied")),
        "{denied:?}"
    );
    let small = Lent::new(MemoryStore::new(), GUEST, json!({ "limits": { "value_bytes": 4 } })).await;
    let large = ask(&small, "PUT", "/page", "12345").await;
    assert!(large.as_ref().is_err_and(|why| why.contains("value has 5 bytes, 4 are allowed")), "{large:?}");
}
