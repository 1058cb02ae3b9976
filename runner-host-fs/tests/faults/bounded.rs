//! Guests that ask a bucket for more than there is to have: a million names, a file of 200 MiB, files until no more can be open,
//! bytes until the quota, paths of 4 KiB, names of every byte. Each is told, and the host's memory stays as it is.

use runner_core::{Ending, Limits};
use runner_host_fs::{Mode, S3Fs, VfsExt};
use runner_s3::{Generated, Server};
use serde_json::{Value, json};

use super::other::{Other, say, store};
use super::{at, call, connect};
use crate::p1::door::Host;
use crate::p1::steps::run;
use crate::support::{RAW, executor, granted, lines};

/// What a prefix holds.
const KEYS: u64 = 1_000_000;
/// The mount's quota: more than what the host may take.
const QUOTA_BYTES: u64 = 100 << 20;
/// A file to be read: more than what the host may take, too.
const LARGE_BYTES: u64 = 200 << 20;
/// What the host may take beyond what it had before: 16 MiB of drafts, 32 MiB of the cache with parts on their way, and the names that
/// a call remembers, 100,000 at most.
const GROWTH_BYTES: u64 = 64 << 20;
/// Files that a guest may have open.
const HANDLES: u32 = 50;
/// Of one write, from the guest's memory.
const PIECE_BYTES: u64 = 64 << 10;

fn fill(server: &Server) {
    server.generate(runner_s3::BUCKET, Generated::numbered("data/many/", KEYS, 3));
    server.put_computed(runner_s3::BUCKET, "data/large", LARGE_BYTES, 1);
}

/// Bytes that are in memory now, and at most since the last look.
fn resident() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it tells this");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    };
    // It counts the most anew from here on.
    std::fs::write("/proc/self/clear_refs", "5").expect("one may for oneself");
    (field("VmRSS:"), field("VmHWM:"))
}

/// Lists the million by `wasi:filesystem`.
async fn list(volume: &S3Fs) -> Value {
    let executor = executor(volume.clone());
    let grants = granted(json!({ "/data": { "prefix": "/" } }));
    let program = executor.load(runner_guests::get(RAW), &grants).await.expect("the guest loads");
    let (before, _) = resident();
    let steps = json!([["open", "m", "/data", "many", "", "d", "r"], ["count", "m"]]);
    let limits = Limits { deadline: std::time::Duration::from_secs(300), ..Limits::default() };
    let outcome = program.command().arg("guest").stdin(steps.to_string()).limits(limits).run().await;
    let outcome = outcome.expect("the host does its part");
    assert!(matches!(outcome.ending, Ending::Returned(_)), "{:?}", outcome.ending);
    let grown = resident().1.saturating_sub(before);
    // With other tests in the process nobody knows whose it is.
    assert!(grown < GROWTH_BYTES || store().is_none(), "a listing took {} MiB", grown >> 20);
    say(&format!("listed {} with {} MiB on top of {}", lines(&outcome)[1], grown >> 20, before >> 20));
    lines(&outcome).swap_remove(1)
}

/// Reads a file that is larger than what the host may take, by preview 1.
async fn read(volume: &S3Fs) {
    let executor = executor(volume.clone());
    let limits = Limits { deadline: std::time::Duration::from_secs(300), ..Limits::default() };
    let mut host = Host::ours(&executor, json!({ "mode": "read-only" }), "", limits).await;
    assert_eq!(run(&mut host, "open 3 large - r ''").await, "4");
    let (before, _) = resident();
    host.store(128, (1 << 15) | PIECE_BYTES << 32).await;
    let mut offset = 0;
    loop {
        assert_eq!(host.call("fd_pread", &[4, 128, 1, offset, 0]).await, Ok(0));
        match host.load(0).await & 0xffff_ffff {
            0 => break,
            bytes => offset += bytes,
        }
    }
    assert_eq!(offset, LARGE_BYTES);
    host.close().await.expect("it has written nothing");
    let grown = resident().1.saturating_sub(before);
    assert!(grown < GROWTH_BYTES, "a file that is read took {} MiB", grown >> 20);
    say(&format!("read {} MiB with {} MiB on top of {}", offset >> 20, grown >> 20, before >> 20));
}

/// All the rest, by preview 1.
async fn ask(volume: &S3Fs) {
    let executor = executor(volume.clone());
    let mount = json!({ "prefix": "own", "bytes": QUOTA_BYTES, "mode": "on-success" });
    let limits = Limits { handles: HANDLES, deadline: std::time::Duration::from_secs(120), ..Limits::default() };
    let mut host = Host::ours(&executor, mount, "", limits).await;
    let (before, _) = resident();

    let mut opened = 0;
    while run(&mut host, &format!("open 3 f{opened} c rw ''")).await != "mfile" {
        opened += 1;
        assert!(opened <= HANDLES, "it goes on for ever");
    }
    assert_eq!(opened, HANDLES);
    assert_eq!(run(&mut host, "lstat 3 f50").await, "noent", "what could not be opened was not made");
    for descriptor in 5..4 + HANDLES {
        assert_eq!(run(&mut host, &format!("close {descriptor}")).await, "ok");
    }

    // One buffer over a part of the memory, whatever lies there.
    host.store(128, (1 << 15) | PIECE_BYTES << 32).await;
    let mut written = 0;
    let last = loop {
        match host.call("fd_pwrite", &[4, 128, 1, written, 0]).await.expect("it is not stopped") {
            0 => written += host.load(0).await & 0xffff_ffff,
            errno => break errno,
        }
        assert!(written <= QUOTA_BYTES, "it goes on for ever");
    };
    assert_eq!((last, written), (19, QUOTA_BYTES), "`dquot`, and all that there was room for");
    assert_eq!(run(&mut host, "stat 4").await, format!("file {QUOTA_BYTES} 1"), "what was refused is not done in part");
    assert_eq!(run(&mut host, "write 4 x").await, "1", "within the file there is room");
    assert_eq!(run(&mut host, &format!("pwrite 4 x {QUOTA_BYTES}")).await, "dquot");

    assert_eq!(run(&mut host, "open 3 4096*n c").await, "nametoolong");
    assert_eq!(run(&mut host, &format!("open 3 {}x c", "d/".repeat(2_047))).await, "noent");
    assert_eq!(run(&mut host, &format!("open 3 {}x c", "d/".repeat(2_048))).await, "nametoolong");
    let (mut path, mut depth) = ("d".to_owned(), 0);
    let deepest = loop {
        let came = run(&mut host, &format!("mkdir 3 {path}")).await;
        if came != "ok" {
            break came;
        }
        (path, depth) = (path + "/d", depth + 1);
    };
    assert_eq!(deepest, "nametoolong", "at {depth}: a key has 1,024 bytes");
    assert!(depth > 400, "{depth}");

    assert_eq!(run(&mut host, "mkdir 3 bytes").await, "ok");
    for byte in 0..=255_u8 {
        let path = [b"bytes/x", &[byte][..], b"y"].concat();
        host.put(1 << 10, &path).await;
        let came = host.call("path_open", &[3, 0, 1 << 10, path.len() as u64, 1, 0x42, 0x42, 0, 0]).await;
        let expected = match byte {
            b'/' => 44,
            0 | 0x80.. => 25,
            _ => 0,
        };
        assert_eq!(came, Ok(expected), "{byte:#x}");
        if expected == 0 {
            let descriptor = host.load(0).await & 0xffff_ffff;
            assert_eq!(run(&mut host, &format!("close {descriptor}")).await, "ok");
        }
    }
    host.close().await.expect("it is committed");
    let grown = resident().1.saturating_sub(before);
    assert!(grown < GROWTH_BYTES, "a guest that asks for too much took {} MiB", grown >> 20);
    say(&format!("asked with {} MiB on top of {}", grown >> 20, before >> 20));

    let (_, files) = call(volume, Mode::ReadOnly);
    let names: Vec<_> = files.list_all(&at("own/bytes")).await.expect("a listing");
    let names: Vec<_> = names.into_iter().map(|entry| entry.name).collect();
    let expected: Vec<_> = (1..128_u8).filter(|byte| *byte != b'/').map(|byte| format!("x{}y", byte as char)).collect();
    assert_eq!(names, expected, "each name that there was is the same for the next call");
    let stat = files.stat(&at("own/f0"), runner_host_fs::Follow::No).await.expect("it is there");
    assert_eq!(stat.size, QUOTA_BYTES);
}

/// In a process of its own there is nothing else that takes memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_of_greedy_guests() {
    let Some(endpoint) = store() else {
        // Alone, with fewer.
        let server = Server::start();
        server.generate(runner_s3::BUCKET, Generated::numbered("data/many/", 2_500, 3));
        assert_eq!(list(&connect(&server.endpoint()).await).await, json!([2_500, "00002499"]));
        return;
    };
    let volume = connect(&endpoint).await;
    list(&volume).await;
    read(&volume).await;
    ask(&volume).await;
    say("done");
}

#[tokio::test]
async fn a_guest_that_asks_for_too_much_is_told_and_the_host_stays_as_it_is() {
    let server = Server::start();
    fill(&server);
    let mut host = Other::start("bounded::a_host_of_greedy_guests", &server.endpoint());
    let listed = host.says().await;
    println!("{listed}");
    assert!(listed.starts_with(&format!("listed [{KEYS},\"{:08}\"]", KEYS - 1)), "{listed}");
    let read = host.says().await;
    println!("{read}");
    assert!(read.starts_with("read 200 MiB"), "{read}");
    let asked = host.says().await;
    println!("{asked}");
    assert!(asked.starts_with("asked"), "{asked}");
    host.says_that("done").await;
    host.ends();
    assert!(server.uploads(runner_s3::BUCKET).is_empty());
}
