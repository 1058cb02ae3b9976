//! What a call is billed for its files, and what it is told to have changed.

use runner_core::{CapabilityUsage, Ending, Executor, Limits, Outcome};
use runner_host_fs::{HostFs, MemoryFs, Mode, VPath, VfsExt, View, Volume};
use serde_json::{Value, json};

use crate::support::{Lent, STD, rows};

async fn lent(volume: impl Volume, mounts: Value) -> Lent {
    let executor = Executor::builder().capability(HostFs::new().volume("tree", volume)).build().expect("it starts");
    Lent::of(STD, executor, mounts).await
}

fn used(outcome: &Outcome) -> &CapabilityUsage {
    let (_, usage) = outcome.usage.capabilities.iter().find(|(id, _)| id == "fs").expect("it was lent");
    usage
}

fn report(outcome: &Outcome) -> Option<&Value> {
    used(outcome).report.as_deref()
}

#[tokio::test]
async fn what_a_call_changed_is_told_by_the_paths_that_the_guest_knows() {
    let tree = MemoryFs::default();
    let before = tree.open(&View::all()).expect("it opens");
    for path in ["shop/kept", "shop/gone", "shop/same"] {
        let path = VPath::new(path).expect("a path");
        before.files().create_dir_all(&path.parent().expect("it has one")).await.expect("there is room");
        before.files().write(&path, "before".into()).await.expect("there is room");
    }
    before.commit().await.expect("nobody else was there");

    let mounts =
        json!({ "/data": { "prefix": "shop" }, "/deep/in/": { "prefix": "other" }, "/read": { "mode": "read-only" } });
    let lent = lent(tree, mounts).await;
    let steps = rows!([
        ["put", "/data/kept", "after"],
        ["rm", "/data/gone"],
        ["get", "/data/same"],
        ["get", "/read/shop/same"],
        ["mkdir", "/data/d"],
        ["put", "/data/d/f", "x"],
        ["put", "/deep/in/f", "xyz"],
        ["put", "/data/passing", "x"],
        ["rm", "/data/passing"],
    ]);
    let outcome = lent.outcome(&steps).await;
    assert!(matches!(outcome.ending, Ending::Returned(_)), "{:?}", outcome.ending);
    let told = json!({
        "added": ["/data/d", "/data/d/f", "/deep/in/f"], "changed": ["/data/kept"], "removed": ["/data/gone"], "unnamed": 0,
    });
    assert_eq!(report(&outcome), Some(&told));
    // Of both mounts that were written to.
    assert_eq!(used(&outcome).counts["committed_bytes"], 9, "{:?}", used(&outcome).counts);

    let reads = lent.outcome(&json!([["get", "/data/same"]])).await;
    assert_eq!(report(&reads), None);
    assert!(used(&reads).counts.is_empty(), "{:?}", used(&reads).counts);
}

#[tokio::test]
async fn a_call_that_does_not_return_tells_what_is_there_all_the_same() {
    let steps = json!([["put", "/data/f", "x"], ["panic"]]);
    for (mode, told) in [
        (Mode::OnSuccess, None),
        (Mode::OnSync, Some(json!({ "added": ["/data/f"], "changed": [], "removed": [], "unnamed": 0 }))),
    ] {
        let mode = serde_json::to_value(mode).expect("a word");
        let lent = lent(MemoryFs::default(), json!({ "/data": { "mode": mode } })).await;
        let outcome = lent.run(&steps, Limits::default()).await.expect("the host does its part");
        assert!(matches!(outcome.ending, Ending::Trapped(_)), "{:?}", outcome.ending);
        assert_eq!(report(&outcome), told.as_ref(), "{mode}");
    }
}

#[tokio::test]
async fn more_than_a_thousand_names_of_all_mounts_are_counted() {
    let mounts = json!({ "/a": { "prefix": "a" }, "/b": { "prefix": "b" } });
    let lent = lent(MemoryFs::default(), mounts).await;
    let outcome = lent.outcome(&json!([["many", "/a/f", 700], ["many", "/b/f", 700]])).await;
    let told = report(&outcome).expect("it changed something");
    let added = told["added"].as_array().expect("names");
    let of =
        |mount: &str| added.iter().filter(|path| path.as_str().is_some_and(|path| path.starts_with(mount))).count();
    assert_eq!((added.len(), of("/a/f"), of("/b/f"), &told["unnamed"]), (1_000, 700, 300, &json!(400)));
}
