//! Each limit of a grant with what it allows and what it does not, without an engine.

use std::num::NonZeroU32;
use std::sync::Arc;

use runner_host_kv::{
    Bucket, Ends, Error, Expected, Grant, MemoryStore, Mode, Namespace, Result, Store, StoreGrant, StoreLimits,
};
use serde_json::json;

const ALL: std::ops::RangeInclusive<i64> = i64::MIN..=i64::MAX;

fn granted(limits: StoreLimits) -> StoreGrant {
    StoreGrant { limits, ..StoreGrant::new(Namespace::new("tests").expect("a name")) }
}

fn bucket(limits: StoreLimits) -> Bucket {
    Bucket::new("default", Arc::new(MemoryStore::new()), &granted(limits))
}

async fn set(bucket: &Bucket, key: &str, bytes: usize) -> Result<()> {
    bucket.set(key, vec![b'1'; bytes], Ends::Never, Expected::Anything).await.map(drop)
}

/// Whether it was refused as too large, and for what.
fn too_large<T: std::fmt::Debug>(result: Result<T>) -> Option<(&'static str, &'static str, u64, u64)> {
    match result {
        Err(Error::TooLarge { what, unit, found, allowed }) => Some((what, unit, found, allowed)),
        _ => None,
    }
}

#[tokio::test]
async fn a_key_may_be_as_large_as_its_limit_in_every_operation() {
    let bucket = bucket(StoreLimits { key_bytes: 3, ..StoreLimits::default() });
    for (key, allowed) in [("abc", true), ("é1", true), ("abcd", false), ("éé", false)] {
        let batch = [key.to_owned()];
        let refused = [
            too_large(set(&bucket, key, 1).await),
            too_large(bucket.get(key).await),
            too_large(bucket.exists(key).await),
            too_large(bucket.increment(key, 1, ALL, Ends::Never).await),
            too_large(bucket.get_many(&batch).await),
            too_large(bucket.set_many(vec![(key.to_owned(), vec![])]).await),
            too_large(bucket.delete_many(&batch).await),
            too_large(bucket.delete(key, Expected::Anything).await),
        ];
        for (number, refused) in refused.into_iter().enumerate() {
            let expected = (!allowed).then_some(("key", "bytes", 4, 3));
            assert_eq!(refused, expected, "operation {number} with {key:?}");
        }
    }
    let page = bucket.list("", None, None).await.expect("it is listed");
    assert!(page.keys.is_empty(), "nothing was written that was refused: {page:?}");
}

#[tokio::test]
async fn a_value_may_be_as_large_as_its_limit_in_every_operation() {
    let bucket = bucket(StoreLimits { value_bytes: 3, ..StoreLimits::default() });
    set(&bucket, "set", 3).await.expect("3 of 3 bytes");
    assert_eq!(too_large(set(&bucket, "set", 4).await), Some(("value", "bytes", 4, 3)));
    bucket.set_many(vec![("many".into(), vec![0; 3])]).await.expect("3 of 3 bytes");
    let values = vec![("b".into(), vec![0; 3]), ("c".into(), vec![0; 4])];
    assert_eq!(too_large(bucket.set_many(values).await), Some(("value", "bytes", 4, 3)));
    assert_eq!(bucket.increment("sum", 999, ALL, Ends::Never).await.expect("3 digits"), 999);
    assert_eq!(too_large(bucket.increment("sum", 1, ALL, Ends::Never).await), Some(("value", "bytes", 4, 3)));
    let swapped = bucket.set("swap", vec![0; 4], Ends::Never, Expected::Absent).await;
    assert_eq!(too_large(swapped), Some(("value", "bytes", 4, 3)));
    let keys = bucket.list("", None, None).await.expect("list").keys;
    assert_eq!(keys.iter().map(|key| key.as_str()).collect::<Vec<_>>(), ["many", "set", "sum"]);
}

#[tokio::test]
async fn a_store_holds_as_many_keys_as_its_limit_whatever_writes_them() {
    let bucket = bucket(StoreLimits { keys: 2, ..StoreLimits::default() });
    bucket.set_many(vec![("a".into(), vec![]), ("b".into(), vec![])]).await.expect("2 of 2 keys");
    for refused in [
        set(&bucket, "c", 0).await,
        bucket.set("c", vec![], Ends::Never, Expected::Absent).await.map(drop),
        bucket.set_many(vec![("a".into(), vec![]), ("c".into(), vec![])]).await,
        bucket.increment("c", 1, ALL, Ends::Never).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Full { unit: "keys", found: 3, allowed: 2 })), "{refused:?}");
    }
    set(&bucket, "a", 9).await.expect("a key that is there is written again");
    bucket.delete("a", Expected::Anything).await.expect("it is deleted");
    bucket.increment("c", 1, ALL, Ends::Never).await.expect("there is room again");
}

#[tokio::test]
async fn a_store_holds_as_many_bytes_as_its_limit_whatever_writes_them() {
    let bucket = bucket(StoreLimits { bytes: 10, ..StoreLimits::default() });
    set(&bucket, "a", 8).await.expect("9 of 10 bytes");
    for refused in [
        set(&bucket, "b", 1).await,
        set(&bucket, "a", 10).await,
        bucket.set("a", vec![0; 10], Ends::Never, Expected::Anything).await.map(drop),
        bucket.set_many(vec![("b".into(), vec![0])]).await,
        bucket.increment("b", 1, ALL, Ends::Never).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Full { unit: "bytes", found: 11, allowed: 10 })), "{refused:?}");
    }
    set(&bucket, "b", 0).await.expect("10 of 10 bytes");
    set(&bucket, "a", 7).await.expect("it shrinks");
}

#[tokio::test]
async fn a_page_has_as_many_keys_as_its_limit() {
    let bucket = bucket(StoreLimits { page_keys: NonZeroU32::new(3).expect("3"), ..StoreLimits::default() });
    bucket.set_many((0..7).map(|number| (number.to_string(), vec![])).collect()).await.expect("set");
    for (asked, found) in [(None, 3), (NonZeroU32::new(2), 2), (NonZeroU32::new(3), 3), (NonZeroU32::new(9_000), 3)] {
        let page = bucket.list("", None, asked).await.expect("list");
        assert_eq!((page.keys.len(), page.more), (found, true), "of {asked:?}");
    }
    let page = bucket.list("", Some("3"), None).await.expect("list");
    assert_eq!((page.keys.len(), page.more), (3, false));
    assert!(matches!(bucket.list("", Some(&"k".repeat(9_000)), None).await, Err(Error::Invalid { .. })));
    assert!(bucket.list(&"k".repeat(9_000), None, None).await.expect("no key is so long").keys.is_empty());
}

#[tokio::test]
async fn a_batch_has_as_many_keys_and_bytes_as_its_limits() {
    let bucket = bucket(StoreLimits { batch_keys: 2, batch_bytes: 10, ..StoreLimits::default() });
    let keys = ["a", "b", "c"].map(str::to_owned);
    let values = |count: usize, bytes| keys[..count].iter().map(|key| (key.clone(), vec![0; bytes])).collect();
    bucket.set_many(values(2, 4)).await.expect("2 keys, 10 bytes");
    assert_eq!(too_large(bucket.set_many(values(3, 0)).await), Some(("batch", "keys", 3, 2)));
    assert_eq!(too_large(bucket.set_many(values(2, 5)).await), Some(("batch", "bytes", 12, 10)));
    assert_eq!(bucket.get_many(&keys[..2]).await.expect("2 keys, 8 bytes").len(), 2);
    assert_eq!(too_large(bucket.get_many(&keys).await), Some(("batch", "keys", 3, 2)));
    set(&bucket, "a", 11).await.expect("one value is no batch");
    assert_eq!(bucket.get("a").await.expect("nor is reading it").map(|entry| entry.value.len()), Some(11));
    let read = bucket.get_many(&keys[..2]).await;
    assert_eq!(too_large(read), Some(("what is read at once", "bytes", 11, 10)));
    assert_eq!(too_large(bucket.delete_many(&keys).await), Some(("batch", "keys", 3, 2)));
    bucket.delete_many(&keys[..2]).await.expect("2 keys");
}

#[tokio::test]
async fn what_is_granted_for_reading_is_not_written() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let grant = granted(StoreLimits::default());
    let writer = Bucket::new("default", store.clone(), &grant);
    set(&writer, "a", 1).await.expect("it is granted for writing");
    let reader = Bucket::new("prices", store, &StoreGrant { mode: Mode::ReadOnly, ..grant });
    assert!(reader.exists("a").await.expect("it is granted for reading"));
    assert!(reader.get("a").await.expect("it is granted for reading").is_some());
    assert_eq!(reader.get_many(&["a".into()]).await.expect("it is granted for reading").len(), 1);
    assert_eq!(reader.list("", None, None).await.expect("it is granted for reading").keys.len(), 1);
    for refused in [
        set(&reader, "a", 1).await,
        reader.set_many(vec![]).await,
        reader.delete("a", Expected::Anything).await.map(drop),
        reader.delete_many(&["a".into()]).await,
        reader.increment("a", 1, ALL, Ends::Never).await.map(drop),
    ] {
        assert!(matches!(&refused, Err(Error::AccessDenied { name }) if name == "prices"), "{refused:?}");
    }
    assert_eq!(writer.get("a").await.expect("get").expect("it is there").value.as_ref(), b"1");
}

#[test]
fn a_grant_is_read_strictly_and_its_mistakes_are_named() {
    let limits = |limits| json!({ "stores": { "default": { "namespace": "shop", "limits": limits } } });
    let grant: Grant = serde_json::from_value(limits(json!({ "keys": 3 }))).expect("it is a grant");
    let store = &grant.stores["default"];
    assert_eq!((store.limits, store.mode), (StoreLimits { keys: 3, ..StoreLimits::default() }, Mode::ReadWrite));
    for (wrong, words) in [
        (json!({}), "missing field `stores`"),
        (json!({ "stores": { "default": {} } }), "missing field `namespace`"),
        (json!({ "stores": { "default": { "namespace": "" } } }), "a name of 1 to 256 bytes, this one has 0"),
        (json!({ "stores": { "default": { "namespace": "a", "mode": "write" } } }), "unknown variant `write`"),
        (json!({ "stores": {}, "store": {} }), "unknown field `store`"),
        (limits(json!({ "key_byte": 1 })), "unknown field `key_byte`"),
        (limits(json!({ "key_bytes": 8_193 })), "expected at most 8192, found 8193"),
        (limits(json!({ "page_keys": 10_001 })), "expected at most 10000, found 10001"),
        (limits(json!({ "page_keys": 0 })), "invalid value: integer `0`"),
    ] {
        let error = serde_json::from_value::<Grant>(wrong.clone()).expect_err("it is no grant").to_string();
        assert!(error.contains(words), "{wrong}: {error}");
    }
}

#[test]
fn the_schema_says_of_every_field_what_it_is_and_its_example_is_a_grant() {
    let schema = schemars::schema_for!(Grant).to_value();
    let mut fields = Vec::new();
    let mut parts = vec![("Grant", &schema)];
    parts.extend(schema["$defs"].as_object().expect("definitions").iter().map(|(name, part)| (name.as_str(), part)));
    for (part, schema) in parts {
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(schema["description"].is_string(), "{part}.{field}: {schema}");
            fields.push(field.clone());
        }
    }
    fields.sort();
    let all = "backend batch_bytes batch_keys bytes key_bytes keys limits mode namespace page_keys stores value_bytes";
    assert_eq!(fields.join(" "), all);
    let grant: Grant = serde_json::from_value(schema["examples"][0].clone()).expect("the example is a grant");
    assert_eq!(grant.stores["default"].namespace.as_str(), "shop");
}
