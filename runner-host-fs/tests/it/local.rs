//! A directory of the machine, and what others do in and around it.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use runner_host_fs::{ErrorKind, Follow, Kind, LocalFs, Open, Vfs, VfsExt};

use crate::support::{at, kind};

/// A folder with `secret` and `inside/`, which is opened.
fn beside_a_secret() -> (tempfile::TempDir, LocalFs) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("secret"), "not yours").expect("it is written");
    std::fs::create_dir(folder.path().join("inside")).expect("it is made");
    let files = LocalFs::open(folder.path().join("inside")).expect("it opens");
    (folder, files)
}

#[tokio::test]
async fn a_link_that_the_host_made_leads_nobody_out() {
    let (folder, files) = beside_a_secret();
    let inside = folder.path().join("inside");
    symlink(folder.path().join("secret"), inside.join("absolute")).expect("a link");
    symlink("../secret", inside.join("up")).expect("a link");
    symlink(folder.path(), inside.join("dir")).expect("a link");
    for path in ["absolute", "up", "dir/secret"] {
        assert_eq!(kind(files.read(&at(path), 100).await), Err(ErrorKind::NotPermitted), "`{path}`");
        let written = files.write(&at(path), "mine".into()).await;
        assert_eq!(kind(written), Err(ErrorKind::NotPermitted), "`{path}`");
    }
    assert_eq!(kind(files.remove_file(&at("dir/secret")).await), Err(ErrorKind::NotPermitted));
    assert_eq!(kind(files.rename(&at("dir/secret"), &at("mine")).await), Err(ErrorKind::NotPermitted));
    assert_eq!(kind(files.link(&at("up"), Follow::Yes, &at("mine")).await), Err(ErrorKind::NotPermitted));
    assert_eq!(std::fs::read_to_string(folder.path().join("secret")).expect("it is there"), "not yours");
    files.remove_file(&at("up")).await.expect("the link itself may be removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_becomes_a_link_and_back_leads_nobody_out() {
    let (folder, files) = beside_a_secret();
    let inside = folder.path().join("inside");
    std::fs::create_dir(inside.join("real")).expect("it is made");
    std::fs::write(inside.join("real/secret"), "yours").expect("it is written");
    symlink("..", inside.join("link")).expect("a link");
    let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let racer = std::thread::spawn({
        let (stop, swaps) = (stop.clone(), swaps.clone());
        move || {
            while !stop.load(Ordering::SeqCst) {
                for (from, to) in [("real", "way"), ("way", "real"), ("link", "way"), ("way", "link")] {
                    std::fs::rename(inside.join(from), inside.join(to)).expect("it is renamed");
                }
                swaps.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let mut looks = 0;
    // On a machine that has other things to do, 3,000 looks can be over before the other has its first turn.
    while looks < 3_000 || swaps.load(Ordering::SeqCst) < 100 {
        assert!(!racer.is_finished(), "the other does not panic");
        match files.read(&at("way/secret"), 100).await {
            Ok(bytes) => assert_eq!(bytes, "yours"),
            Err(error) => {
                let kinds = [ErrorKind::NotFound, ErrorKind::NotPermitted, ErrorKind::Io];
                assert!(kinds.contains(&error.kind()), "{error}");
            }
        }
        looks += 1;
    }
    stop.store(true, Ordering::SeqCst);
    racer.join().expect("the other does not panic");
}

#[tokio::test]
async fn what_is_no_file_is_shown_and_not_opened() {
    let (folder, files) = beside_a_secret();
    let inside = folder.path().join("inside");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, inside.join("pipe"), rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket")).expect("a socket");
    for path in ["pipe", "socket"] {
        assert_eq!(files.stat(&at(path), Follow::Yes).await.expect("a stat").kind, Kind::Other);
        for how in [Open::reading(), Open::writing(), Open::creating()] {
            let opened = files.open(&at(path), how).await.map(drop);
            assert_eq!(kind(opened), Err(ErrorKind::NotPermitted), "`{path}`: {how:?}");
        }
    }
    assert_eq!(kind(files.copy(&at("pipe"), &at("copy")).await), Err(ErrorKind::Unsupported));
    files.remove_file(&at("pipe")).await.expect("it may be removed");
}

#[tokio::test]
async fn a_name_that_is_no_text_is_not_shown() {
    let (folder, files) = beside_a_secret();
    let inside = folder.path().join("inside");
    std::fs::create_dir(inside.join("dir")).expect("it is made");
    std::fs::write(inside.join("dir").join(std::ffi::OsStr::from_bytes(b"\xff")), "").expect("it is written");
    assert_eq!(files.list_all(&at("dir")).await.expect("a listing"), []);
    assert_eq!(kind(files.remove_dir(&at("dir")).await), Err(ErrorKind::NotEmpty));
}

#[tokio::test]
async fn the_directory_is_held_wherever_it_goes() {
    let (folder, files) = beside_a_secret();
    files.write(&at("file"), "bytes".into()).await.expect("it is written");
    std::fs::rename(folder.path().join("inside"), folder.path().join("moved")).expect("it is renamed");
    assert_eq!(files.read(&at("file"), 100).await.expect("it is read"), "bytes");
    assert_eq!(kind(LocalFs::open(folder.path().join("inside")).map(drop)), Err(ErrorKind::NotFound));
    assert_eq!(kind(LocalFs::open(folder.path().join("secret")).map(drop)), Err(ErrorKind::NotDirectory));
}
