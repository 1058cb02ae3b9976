//! What an ordinary program does to files: `std::fs`, as components.

use runner_core::{Ending, LimitKind, Limits};
use serde_json::{Value, json};

use crate::support::{Lent, STD, Tree, check, check_in, lines, rows, stat};

fn no(code: &str) -> Value {
    json!({ "err": code })
}

#[tokio::test]
async fn files_are_written_read_and_removed() {
    check(
        STD,
        rows!([
            [["exists", "/data/a"], false],
            [["put", "/data/a", "hello"], "ok"],
            [["get", "/data/a"], "hello"],
            [["stat", "/data/a"], 5],
            [["put", "/data/a", "hi"], "ok"],
            [["get", "/data/a"], "hi"],
            [["copy", "/data/a", "/data/b"], 2],
            [["get", "/data/b"], "hi"],
            [["link", "/data/a", "/data/c"], "ok"],
            [["put", "/data/c", "one file"], "ok"],
            [["get", "/data/a"], "one file"],
            [["ls", "/data"], ["a", "b", "c"]],
            [["rename", "/data/b", "/data/a"], "ok"],
            [["get", "/data/a"], "hi"],
            [["get", "/data/c"], "one file"],
            [["rm", "/data/c"], "ok"],
            [["exists", "/data/c"], false],
            [["ls", "/data"], ["a"]],
        ]),
    )
    .await;
}

#[tokio::test]
async fn directories_are_made_listed_moved_and_removed() {
    check(
        STD,
        rows!([
            [["mkdir", "/data/d"], "ok"],
            [["mkdirs", "/data/d/e/f/g"], "ok"],
            [["mkdirs", "/data/d/e/f/g"], "ok"],
            [["put", "/data/d/e/file", "x"], "ok"],
            [["ls", "/data/d"], ["e/"]],
            [["ls", "/data/d/e"], ["f/", "file"]],
            [["stat", "/data/d/e"], "directory"],
            [["rename", "/data/d/e", "/data/moved"], "ok"],
            [["ls", "/data"], ["d/", "moved/"]],
            [["ls", "/data/moved/f"], ["g/"]],
            [["rmdir", "/data/d"], "ok"],
            [["rmtree", "/data/moved"], "ok"],
            [["ls", "/data"], []],
        ]),
    )
    .await;
}

#[tokio::test]
async fn an_open_file_has_a_place() {
    check(
        STD,
        rows!([
            [["open", "f", "/data/f", "rwc"], "ok"],
            [["write", "f", "0123456789"], "ok"],
            [["seek", "f", "start", 2], 2],
            [["read", "f", 3], "234"],
            [["seek", "f", "current", -1], 4],
            [["write", "f", "xy"], "ok"],
            [["seek", "f", "end", -4], 6],
            [["rest", "f"], "6789"],
            // At the end, and then there is more.
            [["read", "f", 1], ""],
            [["write", "f", "!"], "ok"],
            [["seek", "f", "start", 0], 0],
            [["rest", "f"], "0123xy6789!"],
            [["seek", "f", "end", 3], 14],
            [["write", "f", "far"], "ok"],
            [["fstat", "f"], 17],
            [["set-len", "f", 4], "ok"],
            [["fstat", "f"], 4],
            [["set-len", "f", 6], "ok"],
            [["seek", "f", "start", 0], 0],
            [["rest", "f"], "0123\u{0}\u{0}"],
            [["sync", "f"], "ok"],
            [["sync-data", "f"], "ok"],
            [["close", "f"], "ok"],
            [["seek", "f", "start", 0], no("Other")],
        ]),
    )
    .await;
}

#[tokio::test]
async fn what_is_appended_goes_behind_what_others_wrote() {
    check(
        STD,
        rows!([
            [["open", "one", "/data/log", "ac"], "ok"],
            [["open", "other", "/data/log", "ar"], "ok"],
            [["write", "one", "a"], "ok"],
            [["write", "other", "b"], "ok"],
            [["write", "one", "c"], "ok"],
            [["get", "/data/log"], "abc"],
            // The library counts what it wrote by itself, and does not know where the end is.
            [["read", "other", 9], "bc"],
            [["seek", "other", "start", 1], 1],
            // It goes on with the stream that has ended: on wasmtime's own files as well, see `stock.rs`.
            [["rest", "other"], ""],
            [["write", "other", "d"], "ok"],
            [["get", "/data/log"], "abcd"],
        ]),
    )
    .await;
}

#[tokio::test]
async fn an_open_file_outlives_its_name() {
    check(
        STD,
        rows!([
            [["open", "f", "/data/f", "rwc"], "ok"],
            [["write", "f", "still here"], "ok"],
            [["rm", "/data/f"], "ok"],
            [["exists", "/data/f"], false],
            [["put", "/data/f", "another"], "ok"],
            [["seek", "f", "start", 0], 0],
            [["rest", "f"], "still here"],
            [["open", "g", "/data/f", "r"], "ok"],
            [["rename", "/data/f", "/data/g"], "ok"],
            [["rest", "g"], "another"],
        ]),
    )
    .await;
}

#[tokio::test]
async fn times_are_set_and_told() {
    check(
        STD,
        rows!([
            [["open", "f", "/data/f", "rwc"], "ok"],
            [["set-times", "f", 1_000_000_000_123_u64, 1_500_000_000_456_u64], "ok"],
            [["ftimes", "f"], [1_000_000_000_123_u64, 1_500_000_000_456_u64]],
            [["times", "/data/f"], [1_000_000_000_123_u64, 1_500_000_000_456_u64]],
        ]),
    )
    .await;
}

#[tokio::test]
async fn each_no_has_its_code() {
    let long = "n".repeat(256);
    check(
        STD,
        rows!([
            [["put", "/data/file", "x"], "ok"],
            [["mkdirs", "/data/full/of"], "ok"],
            [["get", "/data/absent"], no("noent")],
            [["put", "/data/absent/file", "x"], no("noent")],
            [["get", "/data/file/below"], no("notdir")],
            [["ls", "/data/file"], no("notdir")],
            [["get", "/data/full"], no("isdir")],
            [["put", "/data/full", "x"], no("isdir")],
            [["open", "f", "/data/file", "wn"], no("exist")],
            [["mkdir", "/data/file"], no("exist")],
            [["link", "/data/file", "/data/full"], no("exist")],
            [["link", "/data/full", "/data/other"], no("perm")],
            [["rmdir", "/data/full"], no("notempty")],
            [["rmdir", "/data/file"], no("notdir")],
            [["rm", "/data/full"], no("isdir")],
            [["rename", "/data/full", "/data/full/of/itself"], no("inval")],
            [["rename", "/data/file", "/data/full"], no("isdir")],
            [["rename", "/data/full", "/data/file"], no("notdir")],
            [["put", format!("/data/{long}"), "x"], no("nametoolong")],
            [["readlink", "/data/file"], no("inval")],
            [["open", "r", "/data/file", "r"], "ok"],
            [["write", "r", "x"], no("badf")],
            [["set-len", "r", 0], no("inval")],
            [["open", "w", "/data/file", "w"], "ok"],
            [["read", "w", 1], no("badf")],
            // What no mount has.
            [["get", "/elsewhere"], no("noent")],
            [["get", "/data/../../etc/passwd"], no("perm")],
        ]),
    )
    .await;
}

#[tokio::test]
async fn a_mount_that_may_only_be_read_is_read() {
    let tree = Tree::memory();
    tree.put("in/file", "to be read").await;
    let lent = Lent::new(STD, &tree, json!({ "/data": { "mode": "read-only" } })).await;
    check_in(
        &lent,
        rows!([
            [["get", "/data/in/file"], "to be read"],
            [["ls", "/data/in"], ["file"]],
            [["put", "/data/in/file", "x"], no("rofs")],
            [["open", "f", "/data/new", "wc"], no("rofs")],
            [["open", "f", "/data/in/file", "r"], "ok"],
            [["set-times", "f", 1, 2], no("rofs")],
            [["mkdir", "/data/d"], no("rofs")],
            [["rm", "/data/in/file"], no("rofs")],
            [["rename", "/data/in/file", "/data/in/other"], no("rofs")],
            [["link", "/data/in/file", "/data/in/other"], no("rofs")],
        ]),
    )
    .await;
    assert_eq!(tree.text("in/file").await.as_deref(), Some("to be read"));
}

#[tokio::test]
async fn mounts_lie_beside_and_in_each_other() {
    let tree = Tree::memory();
    tree.put("file", "below").await;
    let lent = Lent::new(STD, &tree, json!({ "/": {}, "/data/deep": { "mode": "read-only" } })).await;
    check_in(
        &lent,
        rows!([
            [["ls", "/"], ["data/", "file"]],
            [["ls", "/data"], ["deep/"]],
            [["get", "/data/deep/file"], "below"],
            [["put", "/file", "changed"], "ok"],
            // Each call's view of a volume is its own, twice mounted or not.
            [["get", "/data/deep/file"], "below"],
            [["put", "/data/deep/file", "x"], no("rofs")],
            [["rename", "/file", "/data/deep/other"], no("xdev")],
            [["link", "/file", "/data/deep/other"], no("xdev")],
            // To the program it is the directory it has open.
            [["rmdir", "/data/deep"], no("inval")],
        ]),
    )
    .await;
}

#[tokio::test]
async fn a_quota_ends_what_is_written_and_nothing_else() {
    let tree = Tree::memory();
    let mount = json!({ "/data": { "bytes": 100_000, "files": 3, "file_bytes": 60_000 } });
    let lent = Lent::new(STD, &tree, mount).await;
    check_in(
        &lent,
        rows!([
            [["open", "f", "/data/f", "rwc"], "ok"],
            [["fill", "f", "x", 60_000], "ok"],
            // `descriptors.rs` has the codes: the library in the guest has one word for whatever a stream says no with.
            [["write", "f", "x"], no("io")],
            [["open", "g", "/data/g", "rwc"], "ok"],
            [["fill", "g", "x", 60_000], no("io")],
            [["set-len", "f", 60_001], no("fbig")],
            [["set-len", "g", 60_000], no("dquot")],
            [["close", "g"], "ok"],
            [["rm", "/data/g"], "ok"],
            [["many", "/data/n", 5], [2, "dquot"]],
            [["get", "/data/n1"], "x"],
        ]),
    )
    .await;
    assert_eq!(stat(&tree, "f").await.expect("it was published").size, 60_000);
}

#[tokio::test]
async fn bytes_are_charged_both_ways_and_end_a_guest_at_its_limit() {
    let lent = Lent::at_data(STD, &Tree::memory()).await;
    let steps = rows!([
        ["open", "f", "/data/f", "rwc"],
        ["fill", "f", "x", 300_000],
        ["seek", "f", "start", 0],
        ["rest", "f"],
        ["close", "f"]
    ]);
    let outcome = lent.outcome(&steps).await;
    let [(id, fs)] = outcome.usage.capabilities.as_slice() else { panic!("{:?}", outcome.usage) };
    assert_eq!(id, "fs");
    assert_eq!((fs.bytes_out, fs.bytes_in), (300_000, 300_000));
    assert!(fs.calls > 5, "{fs:?}");

    for host_bytes in [299_999, 599_999] {
        let ran = lent.run(&steps, Limits { host_bytes, ..Limits::default() }).await.expect("the host does its part");
        match ran.ending {
            Ending::Exhausted(limit) => assert_eq!((limit.kind, limit.allowed), (LimitKind::HostBytes, host_bytes)),
            other => panic!("{host_bytes}: {other:?}"),
        }
    }
    let ran = lent.run(&steps, Limits { host_bytes: 600_000, ..Limits::default() }).await;
    assert!(ran.expect("the host does its part").ending.is_returned());
}

#[tokio::test]
async fn whoever_opens_for_ever_is_ended() {
    let lent = Lent::at_data(STD, &Tree::memory()).await;
    let steps = json!([["put", "/data/f", "x"], ["open-all", "f", "/data/f", 100]]);
    let few = Limits { handles: 50, ..Limits::default() };
    match lent.run(&steps, few).await.expect("the host does its part").ending {
        Ending::Exhausted(limit) => assert_eq!((limit.kind, limit.allowed), (LimitKind::Handles, 50)),
        other => panic!("{other:?}"),
    }
    assert!(lent.outcome(&steps).await.ending.is_returned(), "a thousand are enough");
}

#[tokio::test]
async fn a_large_file_goes_both_ways() {
    let lent = Lent::at_data(STD, &Tree::memory()).await;
    let came = lent
        .came(&rows!([
            ["open", "f", "/data/f", "rwc"],
            ["fill", "f", "a", 3_000_000],
            ["fill", "f", "b", 2_000_001],
            ["seek", "f", "start", 2_999_999],
            ["read", "f", 2],
            ["seek", "f", "start", 0],
            ["rest", "f"],
            ["copy", "/data/f", "/data/g"],
            ["get", "/data/g"]
        ]))
        .await;
    assert_eq!(came[4], "ab");
    assert_eq!((&came[6]["bytes"], &came[6]), (&json!(5_000_001), &came[8]));
    assert_eq!(came[7], 5_000_001);
}

#[tokio::test]
async fn what_a_guest_leaves_open_is_written_all_the_same() {
    let tree = Tree::memory();
    let lent = Lent::at_data(STD, &tree).await;
    lent.came(&json!([["open", "f", "/data/f", "wc"], ["write", "f", "left open"]])).await;
    assert_eq!(tree.text("f").await.as_deref(), Some("left open"));
    assert_eq!(tree.ends(), ["commit"]);
}

#[tokio::test]
async fn a_guest_without_the_grant_finds_no_files() {
    let executor = crate::support::executor(Tree::memory());
    let program = executor.load(runner_guests::get(STD), &runner_core::Grants::none()).await.expect("it loads");
    let steps = json!([["get", "/data/f"], ["put", "/data/f", "x"], ["ls", "/"]]).to_string();
    let outcome = program.command().arg("files").stdin(steps).run().await.expect("it runs");
    assert_eq!(lines(&outcome), [no("noent"), no("noent"), no("noent")]);
    assert!(outcome.usage.capabilities.is_empty());
}
