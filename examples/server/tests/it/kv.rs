//! `/v1/kv`: what modules keep by key, seen and removed by whoever runs the server.

use serde_json::{Value, json};

use crate::support::{Site, request};

/// A server with a module that counts, granted a name space of a backend, and what it has counted there.
async fn counted(spaces: &[(&str, Option<&str>)]) -> Site {
    let site = Site::new();
    for (name, (namespace, backend)) in ["one", "two", "three"].into_iter().zip(spaces) {
        site.put(name, runner_guests::get("kv-counter.wasm")).await;
        let mut store = json!({ "namespace": namespace });
        if let Some(backend) = backend {
            store["backend"] = json!(backend);
        }
        let grants = json!({ "kv": { "stores": { "default": store } } });
        let granted = site.ask("PUT", &format!("/v1/modules/{name}/grants"), grants.to_string()).await;
        assert_eq!(granted.status, 200, "{granted:?}");
        assert_eq!(count(&site, name).await, 1);
    }
    site
}

async fn count(site: &Site, name: &str) -> Value {
    site.call(name, &json!({ "function": "add", "args": ["default", "visits", 1] })).await.returned()
}

fn held(namespace: &str) -> Value {
    json!({ "namespace": namespace, "keys": 1, "bytes": 7 })
}

async fn listed(site: &Site, query: &str) -> Value {
    let answer = site.get(&format!("/v1/kv{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["backends"].clone()
}

#[tokio::test]
async fn the_name_spaces_of_each_backend_are_listed_with_what_they_hold() {
    let site = counted(&[("shop", None), ("a/b c", None), ("shop", Some("memory"))]).await;
    let backend = |name: &str, held: &[Value], more: bool| json!({ "backend": name, "namespaces": held, "more": more });
    let (both, one) = ([held("a/b c"), held("shop")], [held("shop")]);
    assert_eq!(listed(&site, "").await, json!([backend("default", &both, false), backend("memory", &one, false)]));
    assert_eq!(listed(&site, "?backend=memory").await, json!([backend("memory", &one, false)]));
    assert_eq!(listed(&site, "?backend=default&limit=1").await, json!([backend("default", &both[..1], true)]));
    let rest = listed(&site, "?backend=default&limit=1&after=a/b+c").await;
    assert_eq!(rest, json!([backend("default", &one, false)]));
    for (query, status, kind, words) in [
        ("?backend=redis", 404, "not_found", "no backend `redis`: there are `default`, `memory`"),
        ("?limit=0", 400, "invalid", "expected `limit` of 1 to 1000"),
        ("?limit=1001", 400, "invalid", "expected `limit` of 1 to 1000"),
        ("?after=", 400, "invalid", "a name space has a name of 1 to 256 bytes"),
        ("?from=a", 400, "invalid", "unknown field `from`"),
    ] {
        site.get(&format!("/v1/kv{query}")).await.is_problem(status, kind, words);
    }
}

#[tokio::test]
async fn a_name_space_is_emptied_and_no_other_is_touched() {
    let site = counted(&[("shop", None), ("a/b c", None), ("shop", Some("memory"))]).await;
    let clear = async |path: &str| site.ask("DELETE", &format!("/v1/kv/{path}"), "").await;
    // What the module kept outlives it.
    assert_eq!(site.ask("DELETE", "/v1/modules/two", "").await.status, 204);
    let cleared = clear("default/a%2Fb%20c").await;
    assert_eq!((cleared.status.as_u16(), cleared.json()), (200, held("a/b c")));
    assert_eq!(clear("default/shop").await.json(), held("shop"));
    let left = listed(&site, "").await;
    assert_eq!((&left[0]["namespaces"], &left[1]["namespaces"]), (&json!([]), &json!([held("shop")])));
    // It was granted, and is still: it begins anew.
    assert_eq!(count(&site, "one").await, 1);
    assert_eq!(count(&site, "three").await, 2);

    for (path, words) in [
        ("default/nothing", "backend `default` holds nothing in name space `nothing`"),
        ("redis/shop", "no backend `redis`"),
        ("default/shop/more", "no route"),
    ] {
        clear(path).await.is_problem(404, "not_found", words);
    }
    let long = "a".repeat(257);
    clear(&format!("default/{long}")).await.is_problem(400, "invalid", "a name space has a name of 1 to 256 bytes");
    // It is as guarded as the rest.
    let mut foreign = request("DELETE", "/v1/kv/memory/shop", "");
    foreign.headers_mut().insert("origin", "https://elsewhere.example".parse().unwrap());
    site.send(foreign).await.is_problem(403, "forbidden", "origin");
    assert_eq!(count(&site, "three").await, 3);
}
