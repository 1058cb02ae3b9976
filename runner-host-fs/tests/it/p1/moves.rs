//! Bytes that are read and written.

use runner_core::{Ending, LimitKind, Limits};
use serde_json::json;

use super::door::Host;
use super::steps::{check, check_with, run};
use crate::support::{Tree, executor};

#[tokio::test]
async fn a_file_has_a_position() {
    check(&[
        ("open 3 a c rw", "4", ""),
        ("tell 4", "0", ""),
        ("write 4 0123456789", "10", ""),
        ("tell 4", "10", ""),
        ("seek 4 -4 current", "6", ""),
        ("read 4 2", "2:67", ""),
        ("seek 4 1 set", "1", ""),
        ("read 4 99", "9:123456789", ""),
        ("read 4 99", "0:", ""),
        ("seek 4 -3 end", "7", ""),
        ("seek 4 -11 end", "inval", ""),
        ("seek 4 -8 current", "inval", ""),
        ("seek 4 -1 set", "inval", ""),
        ("tell 4", "7", ""),
        ("seek 4 0 3", "inval", "stopped"),
        ("seek 4 20 set", "20", ""),
        ("read 4 9", "0:", ""),
        ("tell 4", "20", ""),
        ("write 4 x", "1", ""),
        ("pread 4 99 9", "12:9~~~~~~~~~~x", ""),
        ("seek 4 0x7fffffffffffffff set", "9223372036854775807", ""),
        ("seek 4 1 current", "overflow", "9223372036854775808"),
        ("seek 4 0x7fffffffffffffff set", "9223372036854775807", ""),
        ("write 4 x", "fbig", "inval"),
        ("write 4 ''", "0", ""),
        ("read 4 9", "0:", "inval"),
        ("seek 9 0 set", "badf", ""),
        ("tell 9", "badf", ""),
    ])
    .await;
}

#[tokio::test]
async fn bytes_are_read_and_written_at_a_place_apart_from_the_position() {
    check(&[
        ("open 3 a c rw", "4", ""),
        ("pwrite 4 abcd 0", "4", ""),
        ("tell 4", "0", ""),
        ("pread 4 9 2", "2:cd", ""),
        ("pread 4 9 4", "0:", ""),
        ("pread 4 9 99", "0:", ""),
        ("pwrite 4 X 6", "1", ""),
        ("read 4 9", "7:abcd~~X", ""),
        ("pread 4 9 max", "inval", ""),
        ("pread 4 9 0x8000000000000000", "inval", ""),
        ("pwrite 4 X max", "inval", ""),
        ("pwrite 4 X 0x7fffffffffffffff", "fbig", "inval"),
        ("stat 4", "file 7 1", ""),
    ])
    .await;
}

#[tokio::test]
async fn an_open_file_outlives_its_name() {
    check(&[
        ("open 3 a c rw", "4", ""),
        ("write 4 abc", "3", ""),
        ("unlink 3 a", "ok", ""),
        ("lstat 3 a", "noent", ""),
        ("pread 4 9 0", "3:abc", ""),
        ("write 4 d", "1", ""),
        ("stat 4", "file 4 0", ""),
        ("open 3 a c rw", "5", ""),
        ("stat 5", "file 0 1", ""),
        ("open 3 a ct rw", "6", ""),
        ("write 6 new", "3", ""),
        ("rename 3 a 3 b", "ok", ""),
        ("pread 6 9 0", "3:new", ""),
        ("pread 4 9 0", "4:abcd", ""),
    ])
    .await;
}

#[tokio::test]
async fn several_files_and_streams_are_used_together() {
    check_with(
        "given",
        &[
            ("open 3 a c rw", "4", ""),
            ("open 3 a '' rw", "5", ""),
            ("read 0 3", "3:giv", ""),
            ("write 4 giv", "3", ""),
            ("write 1 said", "4", ""),
            ("read 5 9", "3:giv", ""),
            ("read 0 99", "2:en", ""),
            ("read 0 99", "0:", ""),
            ("write 2 also", "4", ""),
            ("write 4 en", "2", ""),
            ("read 5 9", "2:en", ""),
            ("renumber 4 1", "ok", ""),
            ("write 1 !", "1", ""),
            ("read 5 9", "1:!", ""),
        ],
    )
    .await;
}

async fn ours(limits: Limits) -> Host {
    Host::ours(&executor(Tree::memory()), json!({ "mode": "on-sync" }), "0123456789", limits).await
}

/// Buffers at 128, of so many bytes each, one after another from 32 KiB on.
async fn buffers(host: &mut Host, lengths: &[u64]) {
    let mut at = 32 << 10;
    for (index, length) in lengths.iter().enumerate() {
        host.store(128 + 8 * index as u64, at | length << 32).await;
        at += length;
    }
}

#[tokio::test]
async fn all_buffers_are_filled_and_written_in_one_operation() {
    let mut host = ours(Limits::default()).await;
    assert_eq!(run(&mut host, "open 3 a c rw").await, "4");
    host.put(32 << 10, b"abcdefgh").await;
    buffers(&mut host, &[3, 0, 1, 4]).await;
    assert_eq!(host.call("fd_write", &[4, 128, 4, 0]).await, Ok(0));
    assert_eq!(host.load(0).await & 0xffff_ffff, 8);
    assert_eq!(run(&mut host, "pread 4 99 0").await, "8:abcdefgh");
    host.put(32 << 10, b"????????").await;
    buffers(&mut host, &[1, 0, 2, 99]).await;
    assert_eq!(host.call("fd_pread", &[4, 128, 4, 1, 0]).await, Ok(0));
    assert_eq!(host.load(0).await & 0xffff_ffff, 7);
    assert_eq!(host.get(32 << 10, 8).await, b"bcdefgh?");
    // Of a stream as well.
    buffers(&mut host, &[4, 4]).await;
    assert_eq!(host.call("fd_read", &[0, 128, 2, 0]).await, Ok(0));
    assert_eq!(host.get(32 << 10, 8).await, b"01234567");
    let outcome = host.outcome("fd_write", &[1, 128, 2, 0]).await;
    assert_eq!(outcome.stdout, b"01234567");
    // Not a byte was a capability's.
    assert_eq!(host.counted("fd_write", &[1, 128, 2, 0]).await, (1, 0, 0));
    // None at all.
    assert_eq!(host.call("fd_write", &[4, 128, 0, 0]).await, Ok(0));
    assert_eq!(host.load(0).await & 0xffff_ffff, 0);
}

#[tokio::test]
async fn bytes_are_charged_to_the_capability() {
    let mut host = ours(Limits::default()).await;
    assert_eq!(run(&mut host, "open 3 a c rw").await, "4");
    buffers(&mut host, &[1000]).await;
    assert_eq!(host.counted("fd_write", &[4, 128, 1, 0]).await, (1, 0, 1000));
    assert_eq!(host.counted("fd_pread", &[4, 128, 1, 10, 0]).await, (1, 990, 0));
}

#[tokio::test]
async fn a_guest_that_moves_too_much_is_stopped() {
    let mut host = ours(Limits { host_bytes: 1500, ..Limits::default() }).await;
    assert_eq!(run(&mut host, "open 3 a c rw").await, "4");
    buffers(&mut host, &[1501]).await;
    let ending = host.outcome("fd_write", &[4, 128, 1, 0]).await.ending;
    assert!(matches!(ending, Ending::Exhausted(limit) if limit.kind == LimitKind::HostBytes), "{ending:?}");
}

#[tokio::test]
async fn a_guest_that_prints_too_much_is_stopped() {
    let mut host = ours(Limits { output_bytes: 100, ..Limits::default() }).await;
    buffers(&mut host, &[101]).await;
    let outcome = host.outcome("fd_write", &[1, 128, 1, 0]).await;
    assert!(
        matches!(outcome.ending, Ending::Exhausted(limit) if limit.kind == LimitKind::Output),
        "{:?}",
        outcome.ending
    );
    assert_eq!(outcome.stdout.len(), 100);
}
