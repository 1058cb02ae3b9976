//! What a grant may say, and what it may not. All of it is told at load.

use std::collections::BTreeMap;

use runner_core::ErrorKind;
use runner_host_config::{Config, Grant};
use serde_json::{Value, json};

use crate::support::{host, load, read};

/// The error that a grant is refused with.
async fn refused(config: Config, grant: Value) -> String {
    let error = load(config, grant).await.expect_err("the grant is refused");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_name_that_the_host_has_no_value_for_is_refused_with_those_that_it_has() {
    let error = refused(host(), json!({ "names": ["region", "regoin"] })).await;
    assert!(error.contains("names `regoin`, of which this host has no value, it has `region`, `tier`: "), "{error}");
    assert!(!error.contains("north") && !error.contains("free"), "values are never told: {error}");
    let error = refused(Config::default(), json!({ "names": ["region"] })).await;
    assert!(error.contains("it has none: "), "{error}");
    let many = Config::new((0..50).map(|n| (format!("n{n:02}"), "v")));
    let error = refused(many, json!({ "names": ["é".repeat(10_000)] })).await;
    assert!(error.contains("`n09`, and 40 more") && error.len() < 1_000, "{error}");
}

#[tokio::test]
async fn each_limit_of_a_grant_holds_and_is_named() {
    let keys = |keys: usize| (0..keys).map(|n| (format!("k{n}"), json!("v"))).collect::<serde_json::Map<_, _>>();
    load(host(), json!({ "values": keys(Grant::KEYS_MAX) })).await.expect("as many as may be");
    let error = refused(host(), json!({ "values": keys(Grant::KEYS_MAX + 1) })).await;
    assert!(error.contains("`values`: keys: expected at most 1000, found 1001"), "{error}");

    let key = |bytes: usize| BTreeMap::from([("k".repeat(bytes), "v")]);
    let program = load(host(), json!({ "values": key(Grant::KEY_BYTES_MAX) })).await.expect("as long as may be");
    assert_eq!(read(&program, "store", &"k".repeat(Grant::KEY_BYTES_MAX)).await, json!("v"));
    let error = refused(host(), json!({ "values": key(Grant::KEY_BYTES_MAX + 1) })).await;
    assert!(error.contains("`values`: bytes of a key: expected at most 256, found 257"), "{error}");

    let value = |bytes: usize| json!({ "values": { "k": "v".repeat(bytes) } });
    load(host(), value(Grant::BYTES_MAX - 1)).await.expect("as large as may be");
    let error = refused(host(), value(Grant::BYTES_MAX)).await;
    assert!(error.contains("`values`: bytes of keys and values: expected at most 262144, found 262145"), "{error}");
}

#[tokio::test]
async fn a_misspelt_grant_is_refused() {
    for (grant, words) in [
        (json!({ "value": {} }), "unknown field `value`"),
        (json!({ "values": { "a": 1 } }), "invalid type: integer `1`, expected a string"),
        (json!({ "names": "region" }), "invalid type: string \"region\", expected a sequence"),
        (json!(null), "invalid type: null"),
    ] {
        let error = refused(host(), grant).await;
        assert!(error.contains("grant for `config` does not fit its schema: ") && error.contains(words), "{error}");
    }
}
