//! `wasi:filesystem` 0.2, function by function: flags, rights, streams, and each code that a guest can meet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runner_core::{Ending, LimitKind, Limits};
use runner_host_fs::{
    Error, ErrorKind, File, Flush, Follow, MemoryFs, Open, Page, SetTimes, Stat, VPath, Vfs, async_trait,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{Lent, RAW, Tree, check, check_in, executor, rows};

fn no(code: &str) -> Value {
    json!({ "err": code })
}

fn failed(code: &str) -> Value {
    json!({ "failed": code })
}

#[tokio::test]
async fn a_descriptor_may_do_what_it_was_opened_for() {
    check(
        RAW,
        rows!([
            [["flags", "/data"], "rm"],
            [["type", "/data"], "directory"],
            [["open", "rw", "/data", "f", "", "c", "rw"], "ok"],
            [["flags", "rw"], "rw"],
            [["type", "rw"], "file"],
            [["write", "rw", "hello", 0], 5],
            [["read", "rw", 3, 1], ["ell", false]],
            [["read", "rw", 3, 5], ["", true]],
            [["write", "rw", "", 9], 0],
            [["stat", "rw"], ["file", 5, 1]],
            // Read only.
            [["open", "r", "/data", "f", "", "", "r"], "ok"],
            [["flags", "r"], "r"],
            [["read", "r", 9, 0], ["hello", false]],
            [["write", "r", "x", 0], no("bad-descriptor")],
            [["set-size", "r", 0], no("invalid")],
            [["writer", "s", "r", 0], no("bad-descriptor")],
            [["appender", "s", "r"], no("bad-descriptor")],
            // Write only.
            [["open", "w", "/data", "f", "", "", "w"], "ok"],
            [["flags", "w"], "w"],
            [["write", "w", "J", 0], 1],
            [["read", "w", 1, 0], no("bad-descriptor")],
            [["reader", "s", "w", 0], no("bad-descriptor")],
            // Neither: it is read.
            [["open", "n", "/data", "f", "", "", ""], "ok"],
            [["flags", "n"], "r"],
            [["read", "n", 9, 0], ["Jello", false]],
            // What is made without being written to, and what is emptied.
            [["open", "made", "/data", "made", "", "c", "r"], "ok"],
            [["write", "made", "x", 0], no("bad-descriptor")],
            [["open", "t", "/data", "f", "", "t", "r"], "ok"],
            [["stat", "rw"], ["file", 0, 1]],
            [["write", "t", "x", 0], no("bad-descriptor")],
        ]),
    )
    .await;
}

#[tokio::test]
async fn a_directory_is_none_of_bytes_and_a_file_none_of_names() {
    check(
        RAW,
        rows!([
            [["mkdir", "/data", "d"], "ok"],
            [["open", "d", "/data", "d", "", "d", "rm"], "ok"],
            [["flags", "d"], "rm"],
            [["open", "x", "/data", "d", "", "", "w"], no("is-directory")],
            [["open", "x", "/data", "d", "", "c", "r"], no("is-directory")],
            [["open", "x", "/data", "d", "", "cx", "r"], no("exist")],
            [["open", "x", "/data", "d", "", "dc", "r"], no("invalid")],
            [["open", "x", "/data", "d", "", "dt", "r"], no("invalid")],
            [["read", "d", 1, 0], no("bad-descriptor")],
            [["write", "d", "x", 0], no("bad-descriptor")],
            [["set-size", "d", 0], no("bad-descriptor")],
            [["advise", "d", 0, 0], no("bad-descriptor")],
            [["reader", "s", "d", 0], no("is-directory")],
            [["writer", "s", "d", 0], no("bad-descriptor")],
            [["sync", "d"], "ok"],
            [["sync-data", "d"], "ok"],
            [["open", "f", "d", "f", "", "c", "rwm"], "ok"],
            [["flags", "f"], "rw"],
            [["list", "l", "f"], no("not-directory")],
            [["mkdir", "f", "x"], no("not-directory")],
            [["open", "x", "f", "x", "", "", "r"], no("not-directory")],
            [["open", "x", "d", "f", "", "d", "r"], no("not-directory")],
            [["advise", "f", 0, 100], "ok"],
            [["advise", "f", u64::MAX, 0], "ok"],
            [["sync", "f"], "ok"],
        ]),
    )
    .await;
}

#[tokio::test]
async fn no_path_leads_out_of_a_directory() {
    check(
        RAW,
        rows!([
            [["mkdir", "/data", "d"], "ok"],
            [["mkdir", "/data", "d/e"], "ok"],
            [["open", "d", "/data", "d", "", "d", "rm"], "ok"],
            [["open", "x", "d", "..", "", "d", "r"], no("not-permitted")],
            [["open", "x", "d", "e/../..", "", "d", "r"], no("not-permitted")],
            [["open", "x", "d", "/data", "", "d", "r"], no("not-permitted")],
            [["stat-at", "d", "", "../d"], no("not-permitted")],
            [["mkdir", "d", "../x"], no("not-permitted")],
            [["rename", "d", "e", "d", "../e"], no("not-permitted")],
            [["rename", "d", "e", "/data", "/e"], no("not-permitted")],
            [["stat-at", "d", "", "e/../e"], ["directory"]],
            [["stat-at", "d", "", "."], ["directory"]],
            [["stat-at", "d", "", ""], no("no-entry")],
            [["stat-at", "d", "", "a\u{0}b"], no("illegal-byte-sequence")],
            [["symlink", "d", "/etc/passwd", "out"], no("not-permitted")],
            [["symlink", "/data", "../../etc/passwd", "out"], "ok"],
            [["open", "x", "/data", "out", "f", "", "r"], no("not-permitted")],
            [["readlink", "/data", "out"], "../../etc/passwd"],
        ]),
    )
    .await;
}

#[tokio::test]
async fn links_are_followed_where_that_is_asked_for() {
    check(
        RAW,
        rows!([
            [["open", "f", "/data", "f", "", "c", "rw"], "ok"],
            [["write", "f", "12345", 0], 5],
            [["mkdir", "/data", "d"], "ok"],
            [["symlink", "/data", "f", "to-f"], "ok"],
            [["symlink", "/data", "d", "to-d"], "ok"],
            [["symlink", "/data", "nothing", "to-nothing"], "ok"],
            [["symlink", "/data", "round", "round"], "ok"],
            [["stat-at", "/data", "", "to-f"], ["link", 1]],
            [["stat-at", "/data", "f", "to-f"], ["file", 5, 1]],
            [["readlink", "/data", "to-f"], "f"],
            [["readlink", "/data", "f"], no("invalid")],
            [["open", "x", "/data", "to-f", "f", "", "r"], "ok"],
            [["same", "x", "f"], true],
            [["open", "x", "/data", "to-f", "", "", "r"], no("loop")],
            [["open", "x", "/data", "round", "f", "", "r"], no("loop")],
            [["open", "x", "/data", "to-nothing", "f", "", "r"], no("no-entry")],
            [["open", "x", "/data", "to-d", "", "d", "r"], no("not-directory")],
            [["stat-at", "/data", "", "to-d/"], ["directory"]],
            [["stat-at", "/data", "", "to-f/"], no("not-directory")],
            [["stat-at", "/data", "", "f/"], no("not-directory")],
            [["readlink", "/data", "to-d/"], no("invalid")],
            [["unlink", "/data", "to-d/"], no("not-directory")],
            [["unlink", "/data", "d/"], no("is-directory")],
            [["link", "/data", "f", "to-f", "/data", "x"], no("invalid")],
            [["link", "/data", "", "to-f", "/data", "also"], "ok"],
            [["stat-at", "/data", "", "also"], ["link", 1]],
            [["link", "/data", "", "f", "/data", "second"], "ok"],
            [["stat", "f"], ["file", 5, 2]],
            [["same-hash-at", "f", "/data", "", "second"], true],
            [["link", "/data", "", "d", "/data", "x"], no("not-permitted")],
            [["unlink", "/data", "to-f"], "ok"],
            [["stat", "f"], ["file", 5, 2]],
        ]),
    )
    .await;
}

#[tokio::test]
async fn names_end_in_what_can_be_named() {
    check(
        RAW,
        rows!([
            [["mkdir", "/data", "d/"], "ok"],
            [["mkdir", "/data", "."], no("exist")],
            [["rmdir", "/data", "."], no("invalid")],
            [["rmdir", "/data", "d/."], no("invalid")],
            [["unlink", "/data", "."], no("is-directory")],
            [["rename", "/data", "d/.", "/data", "x"], no("busy")],
            [["rename", "/data", "d", "/data", "."], no("busy")],
            [["open", "f", "/data", "f/", "", "c", "rw"], no("is-directory")],
            [["open", "f", "/data", "f", "", "c", "rw"], "ok"],
            [["open", "x", "/data", "f/", "", "", "r"], no("not-directory")],
            [["rename", "/data", "f/", "/data", "x"], no("not-directory")],
            [["rename", "/data", "f", "/data", "x/"], no("not-directory")],
            [["rename", "/data", "d/", "/data", "e/"], "ok"],
            [["link", "/data", "", "f/", "/data", "x"], no("not-directory")],
            [["link", "/data", "", "f", "/data", "x/"], no("no-entry")],
            [["symlink", "/data", "f", "x/"], no("no-entry")],
            [["rmdir", "/data", "e/"], "ok"],
        ]),
    )
    .await;
}

#[tokio::test]
async fn who_has_a_directory_open_keeps_it_where_it_is_moved() {
    check(
        RAW,
        rows!([
            [["mkdir", "/data", "a"], "ok"],
            [["mkdir", "/data", "a/b"], "ok"],
            [["open", "b", "/data", "a/b", "", "d", "rm"], "ok"],
            [["rename", "/data", "a", "/data", "moved"], "ok"],
            [["open", "f", "b", "f", "", "c", "rw"], "ok"],
            [["stat-at", "/data", "", "moved/b/f"], ["file", 0, 1]],
            [["stat-at", "/data", "", "a"], no("no-entry")],
            [["unlink", "b", "f"], "ok"],
            [["rmdir", "/data", "moved/b"], "ok"],
            [["stat", "b"], ["directory"]],
            [["open", "x", "b", "f", "", "c", "rw"], no("no-entry")],
        ]),
    )
    .await;
}

#[tokio::test]
async fn who_has_a_directory_open_keeps_it_by_whatever_links_it_was_come_to_and_is_moved() {
    check(
        RAW,
        rows!([
            [["mkdir", "/data", "real"], "ok"],
            [["mkdir", "/data", "real/d"], "ok"],
            [["symlink", "/data", "real", "link"], "ok"],
            // Opened by the one way, moved by the other.
            [["open", "d", "/data", "real/d", "", "d", "rm"], "ok"],
            [["rename", "/data", "link/d", "/data", "link/e"], "ok"],
            [["mkdir", "/data", "real/d"], "ok"],
            [["open", "f", "d", "f", "", "c", "rw"], "ok"],
            [["stat-at", "/data", "", "real/e/f"], ["file", 0, 1]],
            [["stat-at", "/data", "", "real/d/f"], no("no-entry")],
            [["open", "e", "/data", "link/e", "", "d", "rm"], "ok"],
            [["rename", "/data", "real/e", "/data", "g"], "ok"],
            [["stat-at", "e", "", "f"], ["file", 0, 1]],
            [["stat-at", "/data", "", "g/f"], ["file", 0, 1]],
        ]),
    )
    .await;
}

#[tokio::test]
async fn a_directory_is_read_page_by_page_while_it_changes() {
    check(
        RAW,
        rows!([
            [["mkdir", "/data", "d"], "ok"],
            [["open", "d", "/data", "d", "", "d", "rm"], "ok"],
            [["list", "none", "d"], "ok"],
            [["next", "none"], null],
            [["next", "none"], null],
            [["make-many", "d", "f", 950], "ok"],
            [["mkdir", "d", "a"], "ok"],
            [["symlink", "d", "f", "b"], "ok"],
            [["list", "l", "d"], "ok"],
            [["list", "other", "d"], "ok"],
            [["next", "l"], ["a", "directory"]],
            [["next", "l"], ["b", "link"]],
            [["next", "l"], ["f00000", "file"]],
            // What is on no page yet: gone, and new.
            [["unlink", "d", "f00949"], "ok"],
            [["make-many", "d", "g", 1], "ok"],
            [["names", "l"], [949, "f00001", "g00000"]],
            [["names", "other"], [952, "a", "g00000"]],
            // What is removed while it is read has an end.
            [["list", "l", "d"], "ok"],
            [["next", "l"], ["a", "directory"]],
            [["drop", "l"], "ok"],
            [["list", "l", "/data"], "ok"],
            [["names", "l"], ["d"]],
        ]),
    )
    .await;
}

#[tokio::test]
async fn the_place_of_a_mount_stays() {
    let tree = Tree::memory();
    let lent = Lent::new(RAW, &tree, json!({ "/": {}, "/a/deep": { "mode": "read-only" } })).await;
    check_in(
        &lent,
        rows!([
            [["stat-at", "/", "", "a/deep"], ["directory"]],
            [["rmdir", "/", "a/deep"], no("busy")],
            [["rename", "/", "a", "/", "b"], no("busy")],
            [["mkdir", "/", "a"], no("exist")],
            [["mkdir", "/", "a/b"], no("no-entry")],
            [["open", "f", "/a/deep", "f", "", "c", "rw"], no("read-only")],
            [["open", "f", "/", "f", "", "c", "rw"], "ok"],
            [["rename", "/", "f", "/a/deep", "f"], no("cross-device")],
            [["same", "/", "/a/deep"], false],
            [["open", "d", "/", "a/deep", "", "d", "rm"], "ok"],
            [["same", "d", "/a/deep"], true],
        ]),
    )
    .await;
}

#[tokio::test]
async fn times_are_what_they_are_set_to() {
    check(
        RAW,
        rows!([
            [["open", "f", "/data", "f", "", "c", "rw"], "ok"],
            [["set-times", "f", [1, 2], [3, 4]], "ok"],
            [["times", "f"], [[1, 2], [3, 4]]],
            [["set-times", "f", null, [5, 999_999_999]], "ok"],
            [["times", "f"], [[1, 2], [5, 999_999_999]]],
            [["set-times-at", "/data", "", "f", [7, 0], null], "ok"],
            [["times", "f"], [[7, 0], [5, 999_999_999]]],
            [["set-times", "f", [u64::MAX, 0], null], no("overflow")],
            [["set-times-at", "/data", "", "absent", "now", "now"], no("no-entry")],
            [["symlink", "/data", "f", "l"], "ok"],
            [["set-times-at", "/data", "f", "l", [8, 0], [9, 0]], "ok"],
            [["times", "f"], [[8, 0], [9, 0]]],
            [["set-times", "/data", [1, 0], [2, 0]], "ok"],
            [["times", "/data"], [[1, 0], [2, 0]]],
        ]),
    )
    .await;
}

#[tokio::test]
async fn a_reader_reads_on_from_its_place() {
    check(
        RAW,
        rows!([
            [["open", "f", "/data", "f", "", "c", "rw"], "ok"],
            [["write", "f", "0123456789", 0], 10],
            [["reader", "s", "f", 2], "ok"],
            [["in-read", "s", 3], "234"],
            [["in-read", "s", 0], ""],
            [["in-blocking-read", "s", 2], "56"],
            [["in-ready", "s"], true],
            [["in-poll-read", "s", 1], "7"],
            [["in-skip", "s", 1], 1],
            // What was looked at beforehand is given in pieces.
            [["in-block", "s"], "ok"],
            [["in-blocking-read", "s", 100], "9"],
            [["in-read", "s", 1], "closed"],
            [["in-blocking-read", "s", 1], "closed"],
            [["in-poll-read", "s", 1], "closed"],
            // A file that grows goes on.
            [["write", "f", "!", 10], 1],
            [["in-blocking-read", "s", 9], "!"],
            [["reader", "far", "f", 1_000_000], "ok"],
            [["in-blocking-read", "far", 9], "closed"],
            [["drop", "f"], "ok"],
            // The stream is there without its descriptor.
            [["drop", "far"], "ok"],
            [["in-read", "s", 1], "closed"],
        ]),
    )
    .await;
}

#[tokio::test]
async fn a_writer_writes_on_from_its_place() {
    check(
        RAW,
        rows!([
            [["open", "f", "/data", "f", "", "c", "rw"], "ok"],
            [["writer", "s", "f", 3], "ok"],
            [["out-check", "s"], 65_536],
            [["out-write", "s", "abc"], "ok"],
            [["out-blocking-flush", "s"], "ok"],
            [["out-blocking-write", "s", "de"], "ok"],
            [["read", "f", 99, 0], ["\u{0}\u{0}\u{0}abcde", false]],
            [["writer", "other", "f", 0], "ok"],
            [["out-blocking-write", "other", "ABC"], "ok"],
            [["out-zeroes", "other", 1], "ok"],
            [["out-block", "other"], "ok"],
            [["out-flush", "other"], "ok"],
            [["read", "f", 99, 0], ["ABC\u{0}bcde", false]],
            [["appender", "end", "f"], "ok"],
            [["out-blocking-write", "end", "1"], "ok"],
            [["set-size", "f", 2], "ok"],
            [["out-blocking-write", "end", "2"], "ok"],
            [["read", "f", 99, 0], ["AB2", false]],
            [["reader", "in", "f", 0], "ok"],
            [["out-splice", "end", "in", 2], 2],
            [["read", "f", 99, 0], ["AB2AB", false]],
        ]),
    )
    .await;
}

#[tokio::test]
async fn what_is_written_and_dropped_is_not_lost() {
    for (guest_writes, slow) in [(1, false), (1, true), (3, true)] {
        let gate = Gate::new(slow);
        let tree = Tree::new(gate.clone());
        let lent = Lent::new(RAW, &tree, json!({ "/data": { "mode": "on-sync" } })).await;
        let mut steps = vec![json!(["open", "f", "/data", "f", "", "c", "w"]), json!(["writer", "s", "f", 0])];
        for _ in 0..guest_writes {
            steps.extend([json!(["out-block", "s"]), json!(["out-write", "s", "x", 60_000])]);
        }
        // Dropped without a flush: as it is, with its descriptor before it, and with the guest.
        for dropped in [&["s", "f"][..], &["f", "s"], &["f"], &[]] {
            gate.close();
            let steps = steps.iter().cloned().chain(dropped.iter().map(|name| json!(["drop", name])));
            let steps = Value::Array(steps.collect());
            let opened = async {
                if slow {
                    gate.open_later().await;
                }
            };
            let (came, ()) = tokio::join!(lent.came(&steps), opened);
            assert_eq!(came.last(), Some(&json!("ok")));
            let size = crate::support::stat(&tree, "f").await.expect("it was made").size;
            assert_eq!(size, guest_writes * 60_000, "{dropped:?}");
            tree.published().remove_file(&VPath::new("f").expect("a path")).await.expect("it is there");
        }
        assert_eq!(gate.closed(), 4, "each file was closed, once");
    }
}

#[tokio::test]
async fn a_stream_under_way_says_so() {
    let gate = Gate::new(true);
    let tree = Tree::new(gate.clone());
    let lent = Lent::new(RAW, &tree, json!({ "/data": { "mode": "on-sync" } })).await;
    gate.close();
    let steps = rows!([
        ["open", "f", "/data", "f", "", "c", "rw"],
        ["writer", "s", "f", 0],
        ["out-write", "s", "abc"],
        ["out-check", "s"],
        ["out-flush", "s"],
        ["out-blocking-flush", "s"],
        ["out-check", "s"],
        ["reader", "r", "f", 0],
        ["in-poll-read", "r", 3],
    ]);
    let (came, ()) = tokio::join!(lent.came(&steps), gate.open_later());
    assert_eq!(came[2..], [json!("ok"), json!(0), json!("ok"), json!("ok"), json!(65_536), json!("ok"), json!("abc")]);
}

#[tokio::test]
async fn a_hash_and_a_stat_right_behind_it_are_one_look_and_two_of_a_sort_are_two() {
    let gate = Gate::new(false);
    let tree = Tree::new(gate.clone());
    for file in ["f", "g"] {
        tree.put(file, "x").await;
    }
    tree.published().symlink("f", &VPath::new("link").expect("a path")).await.expect("there is room");
    let lent = Lent::new(RAW, &tree, json!({ "/data": { "mode": "on-sync" } })).await;
    let asked = async |steps: Value| {
        let before = gate.0.asked.load(Ordering::Relaxed);
        let together = std::iter::once(json!("together")).chain(steps.as_array().expect("steps").iter().cloned());
        let came = lent.came(&json!([together.collect::<Value>()])).await;
        assert!(came[0].is_array(), "{came:?}");
        gate.0.asked.load(Ordering::Relaxed) - before
    };
    let (hash, stat) = (json!(["hash-at", "/data", "", "f"]), json!(["stat-at", "/data", "", "f"]));
    let [one, other] = [json!([hash]), json!([stat])];
    let (one, other) = (asked(one).await, asked(other).await);
    assert_eq!(one, other);
    let followed = json!(["stat-at", "/data", "f", "f"]);
    for steps in [json!([hash, stat]), json!([stat, hash]), json!([hash, followed])] {
        assert_eq!(asked(steps.clone()).await, one, "{steps}");
    }
    let (elsewhere, link) = (json!(["stat-at", "/data", "", "g"]), json!(["hash-at", "/data", "", "link"]));
    for steps in [
        // To ask again is to want to know what is there by now.
        json!([hash, hash]),
        json!([stat, stat]),
        json!([hash, elsewhere]),
        json!([hash, ["flags", "/data"], stat]),
        json!([link, ["stat-at", "/data", "f", "link"]]),
    ] {
        assert_eq!(asked(steps.clone()).await, 2 * one, "{steps}");
    }
    assert_eq!(asked(json!([hash, stat, hash, stat])).await, 2 * one);

    let open = json!(["open", "o", "/data", "f", "", "", "r"]);
    let base = asked(json!([open])).await;
    assert_eq!(asked(json!([open, ["hash", "o"], ["stat", "o"]])).await, base + 1);
    assert_eq!(asked(json!([open, ["stat", "o"], ["hash", "o"]])).await, base + 1);
    assert_eq!(asked(json!([open, ["stat", "o"], ["stat", "o"]])).await, base + 2);
    // An entry and its hash.
    let list = json!(["list", "l", "/data"]);
    let base = asked(json!([list, ["next", "l"]])).await;
    assert_eq!(asked(json!([list, ["next", "l"], hash])).await, base);
    assert_eq!(asked(json!([list, ["next", "l"], stat])).await, base + one);
}

#[tokio::test]
async fn whoever_does_not_ask_whether_it_may_write_is_stopped() {
    let gate = Gate::new(true);
    let tree = Tree::new(gate.clone());
    let lent = Lent::new(RAW, &tree, json!({ "/data": { "mode": "on-sync" } })).await;
    gate.close();
    let steps = rows!([
        ["open", "f", "/data", "f", "", "c", "rw"],
        ["writer", "s", "f", 0],
        ["out-write", "s", "abc"],
        ["out-write", "s", "def"],
    ]);
    match lent.outcome(&steps).await.ending {
        Ending::Trapped(trap) => assert!(trap.message.contains("before `check-write` allows it"), "{trap}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stream_tells_why_it_failed_once() {
    let tree = Tree::memory();
    let lent = Lent::new(RAW, &tree, json!({ "/data": { "file_bytes": 10 } })).await;
    check_in(
        &lent,
        rows!([
            [["open", "f", "/data", "f", "", "c", "rw"], "ok"],
            [["writer", "s", "f", 0], "ok"],
            [["out-blocking-write", "s", "0123456789"], "ok"],
            [["out-blocking-write", "s", "x"], failed("file-too-large")],
            [["out-blocking-write", "s", "x"], "closed"],
            [["out-check", "s"], "closed"],
            [["out-flush", "s"], "closed"],
            [["writer", "s", "f", 10], "ok"],
            [["out-write", "s", "x"], "ok"],
            [["out-check", "s"], failed("file-too-large")],
            [["out-check", "s"], "closed"],
            [["writer", "s", "f", 10], "ok"],
            [["out-write", "s", "x"], "ok"],
            [["out-blocking-flush", "s"], failed("file-too-large")],
            [["appender", "s", "f"], "ok"],
            [["out-blocking-write", "s", "x"], failed("file-too-large")],
            [["read", "f", 99, 0], ["0123456789", false]],
        ]),
    )
    .await;
    assert_eq!(tree.ends(), ["commit"], "the guest was told");
}

#[tokio::test]
async fn a_write_that_fails_unheard_fails_the_call() {
    let tree = Tree::memory();
    let lent = Lent::new(RAW, &tree, json!({ "/data": { "file_bytes": 10 } })).await;
    for dropped in [&["s", "f"][..], &["f", "s"], &[]] {
        let mut steps = vec![
            json!(["open", "f", "/data", "f", "", "c", "rw"]),
            json!(["writer", "s", "f", 0]),
            json!(["out-write", "s", "more than ten"]),
        ];
        steps.extend(dropped.iter().map(|name| json!(["drop", name])));
        let error = lent.run(&Value::Array(steps), Limits::default()).await.expect_err("bytes were lost");
        assert_eq!(error.kind(), runner_core::ErrorKind::Unavailable);
        let expected = "nothing is published: what the guest did with `/data/f` was lost: \
            the file would have 13 bytes, 10 are allowed";
        assert_eq!(error.to_string(), expected);
        assert!(error.outcome().is_some_and(|outcome| outcome.ending.is_returned()));
    }
    assert_eq!(tree.ends(), ["discard", "discard", "discard"]);
    assert_eq!(tree.text("f").await, None);
}

#[tokio::test]
async fn each_code_reaches_the_guest_by_each_way() {
    let kinds = [
        (ErrorKind::Denied, "access"),
        (ErrorKind::NotPermitted, "not-permitted"),
        (ErrorKind::ReadOnly, "read-only"),
        (ErrorKind::BadDescriptor, "bad-descriptor"),
        (ErrorKind::NoSpace, "insufficient-space"),
        (ErrorKind::Quota, "quota"),
        (ErrorKind::TooLarge, "file-too-large"),
        (ErrorKind::Invalid, "invalid"),
        (ErrorKind::Busy, "busy"),
        (ErrorKind::Unsupported, "unsupported"),
        (ErrorKind::CrossDevice, "cross-device"),
        (ErrorKind::IllegalName, "illegal-byte-sequence"),
        (ErrorKind::Conflict, "io"),
        (ErrorKind::Io, "io"),
    ];
    for (kind, code) in kinds {
        let gate = Gate::new(false);
        let tree = Tree::new(gate.clone());
        let lent = Lent::new(RAW, &tree, json!({ "/data": { "mode": "on-sync" } })).await;
        tree.put("f", "0123").await;
        gate.fail(Some(kind));
        let rows = rows!([
            [["open", "f", "/data", "f", "", "", "rw"], "ok"],
            [["read", "f", 1, 0], no(code)],
            [["write", "f", "x", 0], no(code)],
            [["sync", "f"], no(code)],
            [["reader", "r", "f", 0], "ok"],
            [["in-blocking-read", "r", 1], failed(code)],
            [["in-poll-read", "r", 1], failed(code)],
            [["writer", "w", "f", 0], "ok"],
            [["out-blocking-write", "w", "x"], failed(code)],
            [["appender", "a", "f"], "ok"],
            [["out-write", "a", "x"], "ok"],
            [["out-blocking-flush", "a"], failed(code)],
        ]);
        check_in(&lent, rows).await;
    }
}

#[tokio::test]
async fn a_descriptor_that_asks_for_safety_waits_for_it() {
    for (letter, expected) in [("s", Some(Flush::All)), ("y", Some(Flush::Data)), ("q", Some(Flush::Data)), ("", None)]
    {
        let gate = Gate::new(false);
        let tree = Tree::new(gate.clone());
        let lent = Lent::new(RAW, &tree, json!({ "/data": { "mode": "on-sync" } })).await;
        let flags = format!("rw{letter}");
        let rows = rows!([
            [["open", "f", "/data", "f", "", "c", flags], "ok"],
            [["flags", "f"], flags],
            [["write", "f", "x", 0], 1],
            [["writer", "s", "f", 1], "ok"],
            [["out-blocking-write", "s", "y"], "ok"],
            [["appender", "a", "f"], "ok"],
            [["out-write", "a", "z"], "ok"],
            [["out-blocking-flush", "a"], "ok"],
        ]);
        check_in(&lent, rows).await;
        let expected: Vec<_> = expected.into_iter().flat_map(|what| [what; 3]).collect();
        assert_eq!(gate.syncs(), expected, "{letter}");
    }
}

#[tokio::test]
async fn what_is_held_of_writes_has_a_bound() {
    let gate = Gate::new(true);
    let tree = Tree::new(gate.clone());
    let lent = Lent::new(RAW, &tree, json!({ "/data": { "mode": "on-sync" } })).await;
    gate.close();
    // A library that never looks at how much it may write: one such write is taken, not any number of them.
    let mut steps = vec![json!(["open", "f", "/data", "f", "", "c", "w"])];
    for at in 0..20 {
        let name = format!("s{at}");
        steps.extend([json!(["writer", name, "f", 0]), json!(["out-write", name, "x", 1_000_000])]);
    }
    match lent.outcome(&Value::Array(steps)).await.ending {
        Ending::Trapped(trap) => assert!(trap.message.contains("than `check-write` allows"), "{trap}"),
        other => panic!("{other:?}"),
    }
    let once = rows!([
        ["open", "f", "/data", "f", "", "c", "w"],
        ["writer", "s", "f", 0],
        ["out-write", "s", "x", 20_000_000],
        ["out-blocking-flush", "s"],
    ]);
    gate.close();
    let (came, ()) = tokio::join!(lent.came(&once), gate.open_later());
    assert_eq!(came[3], "ok");
}

#[tokio::test]
async fn descriptors_streams_and_listings_are_handles() {
    let tree = Tree::memory();
    tree.put("f", "x").await;
    let lent = Lent::at_data(RAW, &tree).await;
    let few = Limits { handles: 40, ..Limits::default() };
    let exhausted =
        async |steps: Value| match lent.run(&steps, few.clone()).await.expect("the host does its part").ending {
            Ending::Exhausted(limit) => assert_eq!((limit.kind, limit.allowed), (LimitKind::Handles, 40)),
            other => panic!("{steps}: {other:?}"),
        };
    exhausted(json!([["open-many", "f", "/data", "f", 60]])).await;
    for made in ["reader", "writer", "appender", "list"] {
        let of = if made == "list" { "/data" } else { "f" };
        let many = (0..60).map(|at| json!([made, format!("s{at}"), of, 0]));
        let open = json!(["open", "f", "/data", "f", "", "", "rw"]);
        exhausted(Value::Array(std::iter::once(open).chain(many).collect())).await;
    }
    // Those that were dropped do not count.
    let turns = (0..60).flat_map(|_| [json!(["open", "f", "/data", "f", "", "", "r"]), json!(["drop", "f"])]);
    let outcome = lent.run(&Value::Array(turns.collect()), few).await.expect("the host does its part");
    assert!(outcome.ending.is_returned());
}

/// A tree in memory whose files can be held up, fail, and be asked what was done to them.
#[derive(Clone)]
struct Gate(Arc<Inner>);

struct Inner {
    tree: MemoryFs,
    slow: bool,
    /// Each write takes one, and gives it back.
    open: Semaphore,
    fails: std::sync::Mutex<Option<ErrorKind>>,
    closed: AtomicU64,
    /// How often it was asked what a path or a file is.
    asked: AtomicU64,
    syncs: std::sync::Mutex<Vec<Flush>>,
    waiting: tokio::sync::Notify,
}

impl Gate {
    fn new(slow: bool) -> Self {
        Gate(Arc::new(Inner {
            tree: MemoryFs::default(),
            slow,
            open: Semaphore::new(1),
            fails: std::sync::Mutex::default(),
            closed: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            syncs: std::sync::Mutex::default(),
            waiting: tokio::sync::Notify::new(),
        }))
    }

    /// From here on a slow one holds up whoever writes.
    fn close(&self) {
        if self.0.slow {
            self.0.open.forget_permits(1);
        }
    }

    /// Opens once somebody waits.
    async fn open_later(&self) {
        self.0.waiting.notified().await;
        self.0.open.add_permits(1);
    }

    fn fail(&self, kind: Option<ErrorKind>) {
        *self.0.fails.lock().expect("no test panicked") = kind;
    }

    fn closed(&self) -> u64 {
        self.0.closed.load(Ordering::Relaxed)
    }

    fn syncs(&self) -> Vec<Flush> {
        self.0.syncs.lock().expect("no test panicked").clone()
    }

    async fn pass(&self, writes: bool) -> runner_host_fs::Result<()> {
        if let Some(kind) = *self.0.fails.lock().expect("no test panicked") {
            return Err(Error::new(kind, "asked to"));
        }
        if writes && self.0.open.available_permits() == 0 {
            self.0.waiting.notify_one();
        }
        if writes {
            drop(self.0.open.acquire().await.expect("it is never closed"));
        }
        Ok(())
    }
}

#[async_trait]
impl Vfs for Gate {
    async fn open(&self, path: &VPath, how: Open) -> runner_host_fs::Result<Arc<dyn File>> {
        Ok(Arc::new(Gated { file: self.0.tree.open(path, how).await?, gate: self.clone() }))
    }
    async fn stat(&self, path: &VPath, follow: Follow) -> runner_host_fs::Result<Stat> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        self.0.tree.stat(path, follow).await
    }
    async fn list(
        &self,
        path: &VPath,
        after: Option<&str>,
        limit: std::num::NonZeroU32,
    ) -> runner_host_fs::Result<Page> {
        self.0.tree.list(path, after, limit).await
    }
    async fn create_dir(&self, path: &VPath) -> runner_host_fs::Result<()> {
        self.0.tree.create_dir(path).await
    }
    async fn remove_file(&self, path: &VPath) -> runner_host_fs::Result<()> {
        self.0.tree.remove_file(path).await
    }
    async fn remove_dir(&self, path: &VPath) -> runner_host_fs::Result<()> {
        self.0.tree.remove_dir(path).await
    }
    async fn rename(&self, from: &VPath, to: &VPath) -> runner_host_fs::Result<()> {
        self.0.tree.rename(from, to).await
    }
    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> runner_host_fs::Result<()> {
        self.0.tree.link(from, follow, to).await
    }
    async fn symlink(&self, target: &str, path: &VPath) -> runner_host_fs::Result<()> {
        self.0.tree.symlink(target, path).await
    }
    async fn readlink(&self, path: &VPath) -> runner_host_fs::Result<String> {
        self.0.tree.readlink(path).await
    }
    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> runner_host_fs::Result<()> {
        self.0.tree.set_times(path, follow, times).await
    }
}

struct Gated {
    file: Arc<dyn File>,
    gate: Gate,
}

#[async_trait]
impl File for Gated {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> runner_host_fs::Result<bytes::Bytes> {
        self.gate.pass(false).await?;
        // Not at once: as most that is not memory.
        tokio::task::yield_now().await;
        self.file.read_at(offset, bytes_max).await
    }
    async fn write_at(&self, offset: u64, bytes: bytes::Bytes) -> runner_host_fs::Result<()> {
        self.gate.pass(true).await?;
        self.file.write_at(offset, bytes).await
    }
    async fn append(&self, bytes: bytes::Bytes) -> runner_host_fs::Result<u64> {
        self.gate.pass(true).await?;
        self.file.append(bytes).await
    }
    async fn set_len(&self, bytes: u64) -> runner_host_fs::Result<()> {
        self.file.set_len(bytes).await
    }
    async fn sync(&self, what: Flush) -> runner_host_fs::Result<()> {
        self.gate.pass(false).await?;
        self.gate.0.syncs.lock().expect("no test panicked").push(what);
        self.file.sync(what).await
    }
    async fn stat(&self) -> runner_host_fs::Result<Stat> {
        self.gate.0.asked.fetch_add(1, Ordering::Relaxed);
        self.file.stat().await
    }
    async fn set_times(&self, times: SetTimes) -> runner_host_fs::Result<()> {
        self.file.set_times(times).await
    }
    async fn close(&self) -> runner_host_fs::Result<()> {
        self.gate.0.closed.fetch_add(1, Ordering::Relaxed);
        self.file.close().await
    }
}

#[tokio::test]
async fn what_a_stream_has_begun_goes_on_though_nobody_asks_for_it() {
    // The first write to a file of a directory copies it, a piece at a time, and holds it for as long.
    let folder = tempfile::tempdir().expect("a folder");
    let long = 5 << 20;
    std::fs::write(folder.path().join("f"), "x".repeat(long)).expect("it is written");
    let volume = runner_host_fs::LocalFs::open(folder.path()).expect("it opens");
    let lent = Lent::of(RAW, executor(volume), json!({ "/data": {} })).await;
    check_in(
        &lent,
        rows!([
            [["open", "f", "/data", "f", "", "", "rw"], "ok"],
            [["writer", "s", "f", 0], "ok"],
            [["out-write", "s", "y"], "ok"],
            [["stat", "f"], ["file", long, 1]],
            [["read", "f", 2, 0], ["yx", false]],
            // Two streams of one file.
            [["writer", "t", "f", 1], "ok"],
            [["out-write", "s", "z"], "ok"],
            [["out-write", "t", "w"], "ok"],
            [["out-blocking-flush", "t"], "ok"],
            [["out-blocking-flush", "s"], "ok"],
        ]),
    )
    .await;
}
