//! Pointers and lengths that lead nowhere, and more of everything than there may be: an error each, and nothing done.

use runner_core::{Ending, Limits, Trap};
use serde_json::json;

use super::door::{Host, MEMORY_BYTES};
use super::steps::{check_on, run};
use crate::support::{Tree, executor, granted};

async fn ours() -> Host {
    Host::ours(&executor(Tree::memory()), json!({ "mode": "on-sync" }), "given", Limits::default()).await
}

const FAULT: u64 = 21;

/// Behind the memory, over its end, and where adding the length would begin again from below.
const NOWHERE: [u64; 4] = [MEMORY_BYTES, MEMORY_BYTES - 1, 0x8000_0000, 0xffff_ffff];

#[tokio::test]
async fn a_pointer_that_leads_nowhere_is_a_fault() {
    let mut host = ours().await;
    check_on(&mut host, &[("mkdir 3 d", "ok"), ("open 3 a c rw", "4"), ("write 4 abc", "3"), ("seek 4 0 set", "0")])
        .await;
    host.put(1024, b"a").await;
    host.store(128, (32 << 10) | 8 << 32).await;
    host.store(32 << 10, 7).await;
    for at in NOWHERE {
        let calls: [(&str, Vec<u64>); 30] = [
            ("fd_fdstat_get", vec![4, at]),
            ("fd_filestat_get", vec![4, at]),
            ("fd_prestat_get", vec![3, at]),
            ("fd_prestat_dir_name", vec![3, at.min(0xffff_fffe) + 1, 1]),
            ("fd_read", vec![4, at, 1, 0]),
            ("fd_read", vec![4, 128, 1, at]),
            ("fd_read", vec![0, 128, 1, at]),
            ("fd_pread", vec![4, at, 1, 0, 0]),
            ("fd_pread", vec![4, 128, 1, 0, at]),
            ("fd_write", vec![4, at, 1, 0]),
            ("fd_write", vec![4, 128, 1, at]),
            ("fd_write", vec![1, 128, 1, at]),
            ("fd_pwrite", vec![4, at, 1, 0, 0]),
            ("fd_pwrite", vec![4, 128, 1, 0, at]),
            ("fd_seek", vec![4, 2, 0, at]),
            ("fd_tell", vec![4, at]),
            ("fd_readdir", vec![3, at, 2, 0, 0]),
            ("fd_readdir", vec![3, 256, 64, 0, at]),
            ("path_create_directory", vec![3, at, 2]),
            ("path_filestat_get", vec![3, 0, at, 2, 0]),
            ("path_filestat_get", vec![3, 0, 1024, 1, at]),
            ("path_open", vec![3, 0, at, 2, 0, 2, 0, 0, 0]),
            ("path_open", vec![3, 0, 1024, 1, 1, 2, 0, 0, at]),
            ("path_readlink", vec![3, at, 2, 0, 9, 0]),
            ("path_rename", vec![3, at, 2, 3, 1024, 1]),
            ("path_rename", vec![3, 1024, 1, 3, at, 2]),
            ("path_symlink", vec![at, 2, 3, 1024, 1]),
            ("path_unlink_file", vec![3, at, 2]),
            ("poll_oneoff", vec![at, 256, 1, 0]),
            ("poll_oneoff", vec![256, at, 1, 0]),
        ];
        for (name, args) in calls {
            assert_eq!(host.call(name, &args).await, Ok(FAULT), "{name} {args:x?}");
        }
    }
    // A list of buffers that is there, with one that is not.
    for (from, length) in [(MEMORY_BYTES, 1), (0, MEMORY_BYTES + 1), (0, 0xffff_ffff), (0xffff_ffff, 0xffff_ffff)] {
        host.store(136, from | length << 32).await;
        for (name, args) in [
            ("fd_read", vec![4, 128, 2, 0]),
            ("fd_write", vec![4, 128, 2, 0]),
            ("fd_write", vec![1, 128, 2, 0]),
            ("fd_pread", vec![4, 128, 2, 0, 0]),
            ("fd_pwrite", vec![4, 128, 2, 0, 0]),
        ] {
            assert_eq!(host.call(name, &args).await, Ok(FAULT), "{name} {from:x} {length:x}");
        }
    }
    // Nothing of it was done.
    check_on(
        &mut host,
        &[
            ("tell 4", "0"),
            ("read 4 9", "3:abc"),
            ("list 3 4096", "..:directory .:directory a:file d:directory"),
            ("open 3 a", "5"),
            ("read 0 9", "5:given"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_length_of_nothing_needs_no_pointer_within() {
    let mut host = ours().await;
    assert_eq!(run(&mut host, "open 3 a c rw").await, "4");
    // The end of the memory is a place; what lies behind it is none.
    assert_eq!(host.call("fd_readdir", &[3, MEMORY_BYTES, 0, 0, 0]).await, Ok(0));
    assert_eq!(host.call("fd_readdir", &[3, MEMORY_BYTES + 1, 0, 0, 0]).await, Ok(FAULT));
    assert_eq!(host.call("fd_write", &[4, MEMORY_BYTES, 0, 0]).await, Ok(0));
    assert_eq!(host.call("path_open", &[3, 0, MEMORY_BYTES, 0, 0, 0, 0, 0, 0]).await, Ok(44));
}

#[tokio::test]
async fn numbers_beyond_all_bounds_are_errors() {
    let mut host = ours().await;
    check_on(
        &mut host,
        &[
            ("open 3 a c rw", "4"),
            // Buffers: as many as on Linux.
            ("call fd_read 4 2048 1024 0", "ok"),
            ("call fd_read 4 2048 1025 0", "inval"),
            ("call fd_write 4 2048 1025 0", "inval"),
            ("call fd_write 4 0 0xffffffff 0", "inval"),
            ("call fd_write 1 0 0xffffffff 0", "inval"),
            ("call fd_pread 4 0 0xffffffff 0 0", "inval"),
            ("call fd_read 0 0 0x20000000 0", "inval"),
            // Paths: as long as the memory.
            ("call path_open 3 0 0 131072 0 0 0 0 0", "nametoolong"),
            ("call path_create_directory 3 0 131072", "nametoolong"),
            ("call path_symlink 0 131072 3 1024 1", "nametoolong"),
            ("call path_open 3 0 0 131073 0 0 0 0 0", "fault"),
            ("call path_open 3 0 0 0xffffffff 0 0 0 0 0", "fault"),
            ("call poll_oneoff 0 0 0xffffffff 0", "inval"),
            ("call poll_oneoff 0 0 0x5555556 0", "inval"),
            ("call fd_readdir 3 0 0xffffffff 0 0", "fault"),
            ("call path_readlink 3 1024 1 0 0xffffffff 0", "inval"),
            ("call fd_seek 4 0x8000000000000000 2 0", "inval"),
            ("call fd_seek 4 0x7fffffffffffffff 2 0", "ok"),
            ("call fd_seek 4 0 0xffffffff 0", "inval"),
            ("call fd_advise 4 max max 0xffffffff", "inval"),
            ("call fd_allocate 4 max max", "fbig"),
            ("call fd_filestat_set_size 4 max", "fbig"),
            ("call fd_close 0x80000000", "badf"),
            ("call fd_filestat_set_times 4 max max 15", "inval"),
            ("call fd_filestat_set_times 4 0 0 0xffffffff", "inval"),
            ("call fd_fdstat_set_flags 4 0xffffffff", "inval"),
            ("call path_filestat_get 3 0xffffffff 1024 1 0", "inval"),
            ("call path_link 3 0xffffffff 1024 1 3 1024 1", "inval"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_name_that_is_no_text_is_an_error() {
    let mut host = ours().await;
    for bytes in [&b"\xff"[..], b"a\x80b", b"\xc0\xaf", b"\xed\xa0\x80"] {
        host.put(1024, bytes).await;
        let length = bytes.len() as u64;
        assert_eq!(host.call("path_create_directory", &[3, 1024, length]).await, Ok(25), "{bytes:x?}");
        assert_eq!(host.call("path_open", &[3, 0, 1024, length, 1, 0, 0, 0, 0]).await, Ok(25), "{bytes:x?}");
        assert_eq!(host.call("path_symlink", &[1024, length, 3, 1024, 1]).await, Ok(25), "{bytes:x?}");
    }
}

#[tokio::test]
async fn what_a_guest_asks_for_at_once_is_bounded() {
    let mut host = ours().await;
    assert_eq!(run(&mut host, "open 3 a c rw").await, "4");
    // The same 64 KiB a thousand times over: 64 MiB, of which 4 MiB are moved.
    for index in 0..1024 {
        host.store(2048 + 8 * index, (64 << 10) | (64 << 10) << 32).await;
    }
    assert_eq!(host.call("fd_write", &[4, 2048, 1024, 0]).await, Ok(0));
    assert_eq!(host.load(0).await & 0xffff_ffff, 4 << 20);
    assert_eq!(run(&mut host, "stat 4").await, format!("file {} 1", 4 << 20));
    assert_eq!(run(&mut host, "size 4 100000000").await, "ok");
    assert_eq!(host.call("fd_pread", &[4, 2048, 1024, 0, 0]).await, Ok(0));
    assert_eq!(host.load(0).await & 0xffff_ffff, 4 << 20);
}

#[tokio::test]
async fn a_buffer_that_lies_over_the_list_of_them_harms_nobody() {
    let mut host = ours().await;
    assert_eq!(run(&mut host, "open 3 a c rw").await, "4");
    // The file holds what becomes the second entry: a buffer that is not there.
    host.put(32 << 10, &[0xff; 32]).await;
    host.store(128, (32 << 10) | 32 << 32).await;
    assert_eq!(host.call("fd_write", &[4, 128, 1, 0]).await, Ok(0));
    host.store(128, 136 | 8 << 32).await;
    host.store(136, (40 << 10) | 8 << 32).await;
    assert_eq!(host.call("fd_pread", &[4, 128, 2, 0, 0]).await, Ok(FAULT));
    // A path over what it answers with, and events over what they answer to.
    host.put(0, b"a").await;
    assert_eq!(host.call("path_open", &[3, 0, 0, 1, 0, 2, 0, 0, 0]).await, Ok(0));
    assert_eq!(host.load(0).await & 0xffff_ffff, 5);
    host.put(256, &[0; 48]).await;
    assert_eq!(host.call("poll_oneoff", &[256, 256, 1, 256]).await, Ok(0));
}

#[tokio::test]
async fn a_module_without_a_memory_is_stopped() {
    let module = r#"(module
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (memory (export "other") 1)
        (func (export "close") (result i32) (call $close (i32.const 3))))"#;
    let executor = executor(Tree::memory());
    let program = executor.load(module.as_bytes(), &granted(json!({ "/": {} }))).await.expect("it loads");
    let ending = program.call("close").run().await.expect("the host does its part").ending;
    let Ending::Trapped(trap) = ending else { panic!("{ending:?}") };
    let Trap { message, .. } = &*trap;
    assert!(message.contains("`memory`"), "{message}");
}
