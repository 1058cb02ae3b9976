//! `/v1/modules/{ref}/grants`: what modules may use, and who has to say so.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Answer, SECRETS, Site, request};

fn counter() -> &'static [u8] {
    runner_guests::get("kv-counter.wasm")
}

/// The same program in other bytes: a custom section comes behind it.
fn other_counter() -> Vec<u8> {
    [counter(), b"\x00\x05\x04none"].concat()
}

fn shop() -> Value {
    json!({ "kv": { "stores": { "default": { "namespace": "shop" } } } })
}

impl Site {
    async fn grant(&self, reference: &str, grants: &Value) -> Answer {
        self.ask("PUT", &format!("/v1/modules/{reference}/grants"), grants.to_string()).await
    }

    async fn granted(&self, reference: &str) -> Value {
        let answer = self.get(&format!("/v1/modules/{reference}/grants")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn count(&self, reference: &str) -> Answer {
        self.call(reference, &json!({ "function": "add", "args": ["default", "visits", 1] })).await
    }
}

#[tokio::test]
async fn a_module_runs_with_what_it_was_granted_and_not_without() {
    let site = Site::new();
    let stored = site.put("counter", counter()).await;
    let kv = |module: &Value| {
        let imports = module["imports"].as_array().unwrap();
        imports.iter().find(|import| import["name"] == "wasi:keyvalue/store@0.2.0-draft2").unwrap().clone()
    };
    let missing = kv(&stored);
    assert_eq!((&missing["status"], &missing["capability"]), (&json!("missing"), &json!("kv")));
    let words = r#"grant it with {"kv":{"stores":{"default":{"namespace":"counter"}}}}"#;
    assert!(missing["about"].as_str().unwrap().contains(words), "{missing}");
    assert!(missing["items"].as_array().unwrap().contains(&json!("open")), "{missing}");
    let nothing = json!({ "name": "counter", "version": 1, "id": stored["id"], "grants": {} });
    assert_eq!(site.granted("counter").await, nothing);
    let denied = "; `PUT /v1/modules/{ref}/grants` grants it";
    site.count("counter").await.is_problem(403, "denied", denied);
    site.count("counter").await.is_problem(403, "denied", words);
    assert_eq!(kv(&site.get("/v1/modules/counter@1").await.json()), missing);

    let granted = site.grant("counter", &shop()).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    let granted = granted.json();
    assert_eq!(granted["grants"], shop());
    assert!(granted["since"].as_str().unwrap().ends_with('Z'), "{granted}");
    assert_eq!(site.granted("counter@1").await, granted);
    assert_eq!(site.count("counter").await.returned(), 1);
    let counted = site.count("counter@1").await;
    assert_eq!(counted.returned(), 2);
    assert_eq!(counted.json()["usage"]["capabilities"]["kv"]["calls"], 3, "{counted:?}");
    assert_eq!(kv(&site.get("/v1/modules/counter").await.json())["status"], "granted");

    // Read-only in its place, and then nothing.
    let reading = json!({ "kv": { "stores": { "default": { "namespace": "shop", "mode": "read-only" } } } });
    assert_eq!(site.grant("counter", &reading).await.status, 200);
    assert_eq!(site.count("counter").await.ending()["kind"], "failed");
    let taken = site.ask("DELETE", "/v1/modules/counter/grants", "").await;
    assert_eq!((taken.status.as_u16(), taken.body.as_str()), (204, ""));
    assert_eq!(site.granted("counter").await, nothing);
    site.count("counter").await.is_problem(403, "denied", denied);
}

#[tokio::test]
async fn modules_that_are_granted_what_they_are_told_to_begin_with_share_nothing() {
    let site = Site::new();
    for name in ["one", "two"] {
        let stored = site.put(name, counter()).await;
        let advice = stored["imports"].as_array().unwrap().iter().find_map(|import| import["advice"].as_str()).unwrap();
        let (_, grants) = advice.split_once("grant it with ").unwrap();
        assert_eq!(site.grant(name, &serde_json::from_str(grants).unwrap()).await.status, 200);
        assert_eq!(site.count(name).await.returned(), 1, "{name}");
    }
    // Without a name it is nobody's yet.
    let (nobody, words) = (site.ask("POST", "/v1/run", counter()).await, r#"{"namespace":"shop"}"#);
    nobody.is_problem(403, "denied", words);
}

#[tokio::test]
async fn grants_belong_to_a_name_and_its_bytes_and_to_nothing_else() {
    let site = Site::new();
    let id = site.put("counter", counter()).await["id"].as_str().unwrap().to_owned();
    assert_eq!(site.grant("counter", &shop()).await.status, 200);
    assert_eq!(site.count("counter").await.returned(), 1);

    // The same bytes by their content, under another name, and along with a call.
    let next = "store the module under a name (`PUT /v1/modules/NAME`), and `PUT /v1/modules/NAME/grants` grants it";
    site.count(&id).await.is_problem(403, "denied", next);
    for answer in [site.grant(&id, &shop()).await, site.get(&format!("/v1/modules/{id}/grants")).await] {
        answer.is_problem(400, "invalid", "grants belong to a name");
    }
    site.ask("POST", "/v1/run", counter()).await.is_problem(403, "denied", next);
    // What nothing here serves is not to be granted.
    site.put("needy", runner_guests::wat("needs_import")).await;
    let needy = site.call("needy", &json!({})).await;
    needy.is_problem(403, "denied", "nothing that this host lends serves it");
    assert!(!needy.body.contains("/grants"), "{needy:?}");
    site.put("twin", counter()).await;
    site.count("twin").await.is_problem(403, "denied", "is not granted");

    // New bytes under the name have nothing until somebody says so, who is told what the old ones had.
    site.put("counter", other_counter()).await;
    site.count("counter").await.is_problem(403, "denied", "is not granted");
    assert_eq!(site.count("counter@1").await.returned(), 2);
    let told = site.granted("counter").await;
    assert_eq!((&told["version"], &told["grants"]), (&json!(2), &json!({})));
    let before = &told["before"];
    assert_eq!((&before["version"], &before["id"], &before["grants"]), (&json!(1), &json!(id), &shop()));
    assert_eq!(site.grant("counter@2", &before["grants"]).await.json().get("before"), None);
    assert_eq!(site.count("counter").await.returned(), 3);

    // Asked about others, it is those that were granted last.
    site.put("counter", [counter(), b"\x00\x05\x04more"].concat()).await;
    assert_eq!(site.granted("counter").await["before"]["version"], 2);

    // The old bytes once more are no new ones.
    let again = site.put("counter", counter()).await;
    assert!(again["imports"].as_array().unwrap().iter().any(|import| import["status"] == "granted"), "{again}");
    assert_eq!(site.count("counter@4").await.returned(), 4);
}

#[tokio::test]
async fn what_somebody_else_changed_meanwhile_is_not_granted_over() {
    let site = Site::new();
    let tagged = async |method: &str, tag: &str, body: &Value| {
        let mut asked = request(method, "/v1/modules/counter/grants", body.to_string());
        asked.headers_mut().insert("if-match", tag.parse().unwrap());
        site.send(asked).await
    };
    let tag = async || site.get("/v1/modules/counter/grants").await.header("etag").to_owned();
    site.put("counter", counter()).await;
    let none = tag().await;
    assert!(none.starts_with('"') && none.ends_with('"'), "{none}");
    let granted = tagged("PUT", &none, &shop()).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    let own = tag().await;
    assert_eq!((granted.header("etag"), own != none), (own.as_str(), true));

    // Others were granted meanwhile, within the same second too.
    let other = json!({ "logging": {} });
    for (method, stale) in [("PUT", none.as_str()), ("DELETE", &none), ("PUT", "\"other\", W/\"weak\""), ("DELETE", "")]
    {
        let words = "the grants of `counter`, or its bytes, are not those any more";
        tagged(method, stale, &other).await.is_problem(412, "conflict", words);
    }
    assert_eq!(site.granted("counter").await["grants"], shop());
    for matching in [format!("\"other\", {own}"), "*".to_owned()] {
        assert_eq!(tagged("PUT", &matching, &other).await.status, 200);
        assert_eq!(tagged("PUT", &tag().await, &shop()).await.status, 200);
    }

    // New bytes under the name, in between looking and granting: they get nothing.
    let looked_at = tag().await;
    site.put("counter", other_counter()).await;
    tagged("PUT", &looked_at, &shop()).await.is_problem(412, "conflict", "look at them again");
    assert_eq!(site.granted("counter").await["grants"], json!({}));
    assert_eq!(tagged("DELETE", &tag().await, &json!({})).await.status, 204);
}

#[tokio::test]
async fn grants_and_what_was_kept_outlive_a_restart() {
    let site = Site::new();
    site.put("counter", counter()).await;
    assert_eq!(site.grant("counter", &shop()).await.status, 200);
    assert_eq!(site.count("counter").await.returned(), 1);
    let site = site.restarted().await;
    assert_eq!(site.granted("counter").await["grants"], shop());
    assert_eq!(site.count("counter").await.returned(), 2);
    // In memory nothing does.
    let memory = json!({ "kv": { "stores": { "default": { "namespace": "shop", "backend": "memory" } } } });
    assert_eq!(site.grant("counter", &memory).await.status, 200);
    assert_eq!(site.count("counter").await.returned(), 1);
    let site = site.restarted().await;
    assert_eq!(site.count("counter").await.returned(), 1);
}

#[tokio::test]
async fn grants_that_a_restarted_server_cannot_keep_are_told_as_broken_until_it_can() {
    let site = Site::new();
    site.put("webhook", runner_guests::get("webhook.wasm")).await;
    let grants = json!({
        "config": { "values": { "webhook-url": "http://127.0.0.1:9/hook" }, "names": ["region"] },
        "http": { "secrets": [{ "name": "WEBHOOK_TOKEN", "hosts": ["127.0.0.1"], "plain": true }] },
        "logging": { "level": "info" },
    });
    assert_eq!(site.grant("webhook", &grants).await.status, 200);
    let import = async |site: &Site, name: &str| {
        let module = site.get("/v1/modules/webhook").await.json();
        let imports = module["imports"].as_array().unwrap();
        imports.iter().find(|import| import["name"].as_str().unwrap().starts_with(name)).unwrap().clone()
    };
    let asked = json!({ "args": { "event": { "event": "order.paid", "subject": "7" } } });
    let holds = async |site: &Site| {
        assert_eq!(site.granted("webhook").await.get("broken"), None);
        assert_eq!(import(site, "wasi:http/outgoing-handler").await["status"], "granted");
        assert_eq!(site.call("webhook", &asked).await.ending()["code"], "not-granted", "it runs, and no rule helps it");
    };
    holds(&site).await;

    let site = site.restarted_with(|wants| wants.secrets = &[]).await;
    let lacks = "the grant lends secret `WEBHOOK_TOKEN`, this host has none";
    let told = site.granted("webhook").await;
    assert_eq!((&told["broken"], &told["grants"]), (&json!({ "http": lacks }), &grants), "they stay what they were");
    let broken = import(&site, "wasi:http/outgoing-handler").await;
    assert_eq!((&broken["status"], &broken["capability"]), (&json!("broken"), &json!("http")), "{broken}");
    assert!(broken["about"].as_str().unwrap().ends_with(lacks), "{broken}");
    assert_eq!(import(&site, "wasi:config/store").await["status"], "granted");
    let refused = site.call("webhook", &asked).await;
    refused.is_problem(503, "unavailable", lacks);
    refused.is_problem(503, "unavailable", "`PUT /v1/modules/{ref}/grants`");

    let site = site.restarted_with(|wants| wants.config = &[]).await;
    let told = site.granted("webhook").await;
    assert_eq!(told["broken"].as_object().unwrap().keys().collect::<Vec<_>>(), ["config"]);
    assert!(told["broken"]["config"].as_str().unwrap().contains("`region`"), "{told}");
    site.call("webhook", &asked).await.is_problem(503, "unavailable", "`region`");
    holds(&site.restarted().await).await;
}

#[tokio::test]
async fn grants_go_with_what_they_were_for() {
    let site = Site::new();
    for removed in ["counter@1", "counter"] {
        site.put("counter", counter()).await;
        assert_eq!(site.grant("counter", &shop()).await.status, 200);
        assert_eq!(site.ask("DELETE", &format!("/v1/modules/{removed}"), "").await.status, 204);
        site.put("counter", counter()).await;
        assert_eq!(site.granted("counter").await.get("since"), None, "{removed}");
        site.count("counter").await.is_problem(403, "denied", "is not granted");
    }
    // As long as another version has the same bytes, they stay.
    assert_eq!(site.grant("counter", &shop()).await.status, 200);
    let version = site.put("counter", counter()).await["version"].as_u64().unwrap();
    assert_eq!(site.ask("DELETE", &format!("/v1/modules/counter@{version}"), "").await.status, 204);
    assert!(site.count("counter").await.returned().is_i64());
    for method in ["GET", "PUT", "DELETE"] {
        site.ask(method, "/v1/modules/nobody/grants", "{}").await.is_problem(404, "not_found", "no module `nobody`");
    }
}

#[tokio::test]
async fn what_is_no_grant_is_refused_and_changes_nothing() {
    let site = Site::new();
    site.put("counter", counter()).await;
    assert_eq!(site.grant("counter", &shop()).await.status, 200);
    let store = |more: Value| {
        let mut store = json!({ "namespace": "shop" });
        store.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "kv": { "stores": { "default": store } } })
    };
    for (grants, words) in [
        (
            json!({ "files": {} }),
            "grant for `files`: no such capability, this executor has `http`, `kv`, `fs`, `config`, `logging`",
        ),
        (store(json!({ "mod": "read-only" })), "grant for `kv` does not fit its schema: unknown field `mod`"),
        (
            store(json!({ "backend": "redis" })),
            "the grant puts store `default` on backend `redis`, this host has `memory`",
        ),
        (json!({ "http": { "allow": [{ "host": "a b" }] } }), "grant for `http` does not fit its schema"),
        (
            json!({ "http": { "secrets": [{ "name": "NONE", "hosts": ["api.test"] }] } }),
            "the grant lends secret `NONE`, this host has `API_KEY`, `WEBHOOK_TOKEN`",
        ),
        (json!([]), "expected an object"),
        (json!("kv"), "expected an object"),
    ] {
        site.grant("counter", &grants).await.is_problem(400, "invalid", words);
    }
    let long = json!({ "kv": { "stores": { "a".repeat(64 << 10): { "namespace": "shop" } } } });
    site.grant("counter", &long).await.is_problem(413, "exceeded", "the body has more than 65536 bytes");
    assert_eq!(site.granted("counter").await["grants"], shop());
}

#[tokio::test]
async fn the_schema_of_grants_is_published_and_tells_good_from_bad() {
    let site = Site::new();
    let schema = site.get("/v1/grants/schema").await.json();
    let ids: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(ids, ["http", "kv", "fs", "config", "logging"]);
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    for id in ids {
        let example = &schema["properties"][id]["examples"][0];
        assert!(example.is_object(), "`{id}` has an example");
        validator.validate(&json!({ id: example })).unwrap_or_else(|error| panic!("the example of `{id}`: {error}"));
    }
    let full = json!({
        "http": { "allow": [{ "host": "api.test", "port": 8443, "addresses": ["10.0.0.0/8"] }],
                  "secrets": [{ "name": "API_KEY", "hosts": ["api.test"] }], "caps": { "redirects": 2 } },
        "kv": { "stores": { "default": { "namespace": "shop", "mode": "read-only", "limits": { "keys": 7 } } } },
    });
    validator.validate(&full).expect("it is one");
    for wrong in [json!({ "files": {} }), json!({ "kv": { "stores": { "default": {} } } }), json!([])] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}

#[tokio::test]
async fn secrets_are_listed_by_name_alone() {
    let site = Site::new();
    let answer = site.get("/v1/secrets").await;
    assert_eq!(answer.json(), json!({ "secrets": ["API_KEY", "WEBHOOK_TOKEN"] }));
    for (_, value) in SECRETS {
        assert!(!answer.body.contains(value));
    }
}

/// A server of somebody else's: it answers each request with 204, and keeps what was asked.
async fn webhook() -> (u16, Arc<Mutex<Vec<(String, HeaderMap, String)>>>) {
    let seen: Arc<Mutex<Vec<_>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let app = Router::new().fallback(async move |request: Request| {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        kept.lock().unwrap().push((head.uri.to_string(), head.headers, String::from_utf8(body.to_vec()).unwrap()));
        StatusCode::NO_CONTENT
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (port, seen)
}

#[tokio::test]
async fn a_webhook_carries_a_secret_that_neither_the_module_nor_the_answer_has() {
    let site = Site::new();
    let (port, seen) = webhook().await;
    site.put("webhook", runner_guests::get("webhook.wasm")).await;
    let grants = |addresses: &[&str]| {
        json!({
            "config": { "values": { "webhook-url": format!("http://127.0.0.1:{port}/hook") } },
            "http": {
                "allow": [{
                    "scheme": "http", "host": "127.0.0.1", "port": port, "methods": ["POST"], "path": "/hook",
                    "addresses": addresses,
                }],
                "secrets": [{ "name": "WEBHOOK_TOKEN", "hosts": ["127.0.0.1"], "plain": true }],
            },
        })
    };
    let event = json!({ "event": "order.paid", "subject": "7" });
    let call = json!({ "args": { "event": event }, "idempotency_key": "order-7", "attempt": 2 });
    // An address of this machine is not reached because its name is granted.
    assert_eq!(site.grant("webhook", &grants(&[])).await.status, 200);
    let refused = site.call("webhook", &call).await;
    assert_eq!((&refused.ending()["kind"], &refused.ending()["code"]), (&json!("failed"), &json!("not-granted")));
    assert!(seen.lock().unwrap().is_empty());

    assert_eq!(site.grant("webhook", &grants(&["127.0.0.1"])).await.status, 200);
    let answer = site.call("webhook", &call).await;
    assert_eq!(answer.returned(), json!({ "status": 204, "attempt": 2 }));
    assert_eq!(answer.json()["usage"]["capabilities"]["http"]["calls"].as_u64().map(|calls| calls > 0), Some(true));
    let (uri, headers, body) = seen.lock().unwrap()[0].clone();
    assert_eq!((uri, body), ("/hook".to_owned(), event.to_string()));
    assert_eq!(headers["idempotency-key"], "order-7");
    let value = SECRETS.iter().find(|(name, _)| *name == "WEBHOOK_TOKEN").unwrap().1;
    assert_eq!(headers["authorization"], format!("Bearer {value}"));
    for told in [&answer.body, &site.get("/v1/modules/webhook/grants").await.body, &site.get("/metrics").await.body] {
        assert!(!told.contains(value), "{told}");
    }
}

#[tokio::test]
async fn a_site_of_a_module_keeps_what_its_visitors_write() {
    let site = Site::new();
    site.put("site", runner_guests::get("site.wasm")).await;
    site.get("/v1/modules/site/http/").await.is_problem(403, "denied", "`runner:kv/store@0.1.0`");
    assert_eq!(site.grant("site", &shop()).await.status, 200);
    let mut form = request("POST", "/v1/modules/site/http/", "name=Ada&text=%3Cb%3Ehello%3C%2Fb%3E");
    form.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    let signed = site.send(form).await;
    assert_eq!((signed.status.as_u16(), signed.header("location")), (303, "/v1/modules/site/http/"));
    let page = site.get("/v1/modules/site/http/").await;
    assert!(page.body.contains("<li><b>Ada</b>: &lt;b&gt;hello&lt;/b&gt;</li>"), "{page:?}");
    let site = site.restarted().await;
    assert_eq!(site.get("/v1/modules/site/http/counters").await.json(), json!({ "visits": 1, "entries": 1 }));
}

#[tokio::test]
async fn a_module_reads_what_its_grant_sets_and_what_it_names_of_the_server_s() {
    let site = Site::new();
    site.put("reader", runner_guests::get("config-reader.wasm")).await;
    let read = async |key: &str| site.call("reader", &json!({ "function": "read", "args": ["store", key] })).await;
    let unknown = json!({ "config": { "names": ["regio"] } });
    site.grant("reader", &unknown).await.is_problem(400, "invalid", "`regio`");
    let grants = json!({ "config": { "values": { "GREETING": "hello" }, "names": ["region"] } });
    assert_eq!(site.grant("reader", &grants).await.status, 200);
    assert_eq!(read("GREETING").await.returned(), "hello");
    assert_eq!(read("region").await.returned(), "north");
    assert_eq!(read("absent").await.returned(), Value::Null);
}
