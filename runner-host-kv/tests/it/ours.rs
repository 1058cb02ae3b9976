//! Guests over `runner:kv`: values that end, versions, pages by prefix, errors by name.

use std::time::Duration;

use runner_host_kv::MemoryStore;
use serde_json::json;

use crate::support::{Lent, timed};

#[tokio::test]
async fn a_session_ends_by_itself_and_a_note_gives_it_no_more_time() {
    let (store, clock) = timed();
    let lent = Lent::new(store, "kv-sessions", json!({})).await;
    assert_eq!(lent.value("start", json!(["ann", "1", 1_000])).await, json!(true));
    assert_eq!(lent.value("start", json!(["ann", "1", 9_000])).await, json!(false), "it is there already");
    assert_eq!(lent.value("left", json!(["ann", "1"])).await, json!(1_000));
    clock.advance(Duration::from_millis(600));
    assert_eq!(lent.value("note", json!(["ann", "1", null, "seen"])).await, json!("swapped"));
    assert_eq!(lent.value("left", json!(["ann", "1"])).await, json!(400));
    clock.advance(Duration::from_millis(400));
    assert_eq!(lent.value("left", json!(["ann", "1"])).await, json!(null));
    assert_eq!(lent.value("note", json!(["ann", "1", null, "late"])).await, json!("absent"));
    assert_eq!(lent.value("end", json!(["ann", "1"])).await, json!(false), "it has ended");
    assert_eq!(lent.value("start", json!(["ann", "1", 1_000])).await, json!(true), "and may start anew");
    assert_eq!(lent.value("end", json!(["ann", "1"])).await, json!(true));
}

#[tokio::test]
async fn a_version_tells_whether_somebody_else_was_faster() {
    let lent = Lent::new(MemoryStore::new(), "kv-sessions", json!({})).await;
    lent.value("start", json!(["ann", "1", 60_000])).await;
    let first = lent.value("version", json!(["ann", "1"])).await;
    assert_eq!(lent.value("note", json!(["ann", "1", first, "mine"])).await, json!("swapped"));
    assert_eq!(lent.value("note", json!(["ann", "1", first, "too late"])).await, json!("conflict"));
    assert_eq!(lent.value("version", json!(["ann", "2"])).await, json!(null));
}

#[tokio::test]
async fn keys_are_listed_by_prefix_in_pages_of_the_size_asked_for() {
    let lent = Lent::new(MemoryStore::new(), "kv-sessions", json!({ "limits": { "page_keys": 4 } })).await;
    for user in ["ann", "an", "anna", "ben"] {
        for id in 0..6 {
            lent.value("start", json!([user, id.to_string(), 60_000])).await;
        }
    }
    for (limit, expected) in [
        (json!(2), json!([["0", "1"], ["2", "3"], ["4", "5"]])),
        (json!(4), json!([["0", "1", "2", "3"], ["4", "5"]])),
        (json!(null), json!([["0", "1", "2", "3"], ["4", "5"]])),
        (json!(1_000), json!([["0", "1", "2", "3"], ["4", "5"]])),
    ] {
        assert_eq!(lent.value("of-user", json!(["ann", limit])).await, expected, "in pages of {limit}");
    }
    let words = lent.answer("of-user", json!(["ann", 0])).await.expect_err("such a listing has no end");
    assert_eq!(words, "invalid: expected a page of 1 key or more, found 0");
}

#[tokio::test]
async fn a_window_of_time_begins_with_its_first_hit_and_does_not_move() {
    let (store, clock) = timed();
    let lent = Lent::new(store, "kv-sessions", json!({})).await;
    for (wait_ms, expected) in [(0, json!(1)), (400, json!(2)), (400, json!(null)), (199, json!(null)), (1, json!(1))] {
        clock.advance(Duration::from_millis(wait_ms));
        assert_eq!(lent.value("hit", json!(["ann", 1_000, 2])).await, expected);
    }
}

#[tokio::test]
async fn each_refusal_has_a_name_that_a_guest_can_act_on() {
    let limits = json!({ "limits": { "key_bytes": 4, "value_bytes": 8, "bytes": 8, "keys": 2 } });
    let lent = Lent::new(MemoryStore::new(), "kv-sessions", limits).await;
    for (store, key, bytes, expected) in [
        ("other", "a", 1, "no-such-store"),
        ("default", "12345", 1, "too-large: key has 5 bytes, 4 are allowed"),
        ("default", "a", 9, "too-large: value has 9 bytes, 8 are allowed"),
        ("default", "a", 8, "full: the store would hold 9 bytes, 8 are allowed"),
        ("default", "a", 7, "none"),
    ] {
        assert_eq!(lent.value("set-error", json!([store, key, bytes])).await, json!(expected));
    }
    let lent = Lent::new(MemoryStore::new(), "kv-sessions", json!({ "mode": "read-only" })).await;
    assert_eq!(lent.value("set-error", json!(["default", "a", 1])).await, json!("access-denied"));
}
