//! What the owner of the files refuses to have at a new place: the old one has it still, or we have, and say where.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use runner_host_fs::{Error, ErrorKind, LocalFs, Mode, Vfs, VfsExt, VfsVolume, View, Volume};

use super::faulty::Faulty;
use super::{at, kind};

/// All files of a folder with their bytes, and links with their targets, but for what the volume keeps for itself.
fn found(folder: &Path) -> Vec<String> {
    let (mut found, mut ahead) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = ahead.pop() {
        for entry in std::fs::read_dir(&next).expect("it is there") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(folder).expect("it is below").to_string_lossy().into_owned();
            if path.is_symlink() {
                found.push(format!("{name} -> {}", std::fs::read_link(&path).expect("a link").display()));
            } else if path.is_dir() {
                ahead.push(path);
            } else if name != ".runner/commit" && name != ".runner/lock" {
                found.push(format!("{name}: {}", std::fs::read_to_string(&path).expect("text")));
            }
        }
    }
    found.sort();
    found
}

/// What is there before: each file says where it was.
fn before(folder: &Path) {
    for directory in ["ro", "this", "that"] {
        std::fs::create_dir(folder.join(directory)).expect("it is made");
    }
    for file in ["f", "log", "log.1", "this/x", "this/y", "that/z"] {
        std::fs::write(folder.join(file), format!("old {file}")).expect("it is written");
    }
    std::os::unix::fs::symlink("f", folder.join("link")).expect("it is made");
}

/// What a call does, one after the other: `from > to` renames, `= path` writes, `+ path` makes a directory.
async fn work(files: &dyn Vfs, steps: &str) {
    for step in steps.split(", ") {
        match step.split_once(' ').expect("two words") {
            ("=", path) => files.write(&at(path), format!("new {path}").into()).await,
            ("+", path) => files.create_dir(&at(path)).await,
            (from, to) => files.rename(&at(from), &at(to.trim_start_matches("> "))).await,
        }
        .unwrap_or_else(|error| panic!("{step}: {error}"));
    }
}

/// Nothing may come into `ro`, in a tree with hard links and in one without; the record can be removed, or not at first.
async fn check(steps: &str, expected: &[&str]) {
    for (hard_links, record_stays) in [(true, false), (true, true), (false, false), (false, true)] {
        let folder = tempfile::tempdir().expect("a folder");
        before(folder.path());
        let stays = AtomicBool::new(record_stays);
        let tree = Faulty::new(LocalFs::open(folder.path()).expect("it opens"), move |what, path, to| {
            let refused = |kind, what: &str| Err(Error::new(kind, format!("{what} is refused")));
            match (what, to.unwrap_or(path)) {
                ("rename" | "create_dir", place) if place.starts_with(&at("ro")) => refused(ErrorKind::Denied, what),
                ("link", _) if !hard_links => refused(ErrorKind::Unsupported, what),
                ("remove_file", path) if *path == at(".runner/commit") && stays.swap(false, Ordering::SeqCst) => {
                    refused(ErrorKind::Io, what)
                }
                _ => Ok(()),
            }
        });
        let volume = VfsVolume::new(tree);
        let call = volume.open(&View::all()).expect("it opens");
        work(&*call.files(), steps).await;
        let error = call.commit().await.expect_err("it is refused");
        drop(call);
        let how = format!("{steps}; hard links: {hard_links}, done again: {record_stays}: {error}");
        match record_stays {
            true => assert_eq!(error.kind(), ErrorKind::Io, "{how}"),
            false => {
                assert_eq!(error.kind(), ErrorKind::Denied, "{how}");
                assert!(error.to_string().contains("`/ro/"), "{how}");
                let kept = expected.iter().any(|line| line.starts_with(".runner/kept/"));
                assert_eq!(error.to_string().contains(".runner/kept/"), kept, "{how}");
            }
        }
        // Whoever comes next looks after what was cut off.
        let next = volume.open(&View { mode: Mode::ReadOnly, ..View::all() }).expect("it opens");
        next.files().exists(&at("f")).await.expect("it is looked at");
        assert_eq!(found(folder.path()), expected, "{how}");
        assert!(!folder.path().join(".runner/commit").exists(), "{how}");
        // And nobody is kept from committing.
        let call = volume.open(&View::all()).expect("it opens");
        work(&*call.files(), "= one, = two").await;
        call.commit().await.expect("it is committed");
    }
}

#[tokio::test]
async fn a_file_whose_new_place_is_refused_keeps_its_old_one() {
    let rest = |more: &[&'static str]| {
        let mut all = vec![
            "link -> f",
            "log.1: old log.1",
            "log: old log",
            "that/z: old that/z",
            "this/x: old this/x",
            "this/y: old this/y",
        ];
        all.extend(more);
        all.sort_unstable();
        all
    };
    check("f > ro/f", &rest(&["f: old f"])).await;
    check("f > ro/f, = other", &rest(&["f: old f", "other: new other"])).await;
    check("= f, f > ro/f, = other", &rest(&["f: old f", "other: new other"])).await;
    check("f > ro/f, = f", &rest(&["f: old f"])).await;
    check("link > ro/link, = other", &rest(&["f: old f", "other: new other"])).await;
    check("+ ro/d, f > ro/d/f", &rest(&["f: old f"])).await;
    // One after the other, each to the place of the one before.
    check("log.1 > ro/log.2, log > log.1, = log", &rest(&["f: old f"])).await;
    check("f > ro/f, log > f, log.1 > log", &rest(&["f: old f"])).await;
    // A directory is made where it was, and it is nowhere else.
    check("f > ro/f, + f, = f/x", &rest(&[".runner/kept/0: old f", "f/x: new f/x"])).await;
}

#[tokio::test]
async fn what_was_in_a_directory_that_moves_goes_with_it_where_its_new_place_is_refused() {
    let rest = ["f: old f", "link -> f", "log.1: old log.1", "log: old log", "that/z: old that/z"];
    let with = |more: &[&'static str]| {
        let mut all = [&rest[..], more].concat();
        all.sort_unstable();
        all
    };
    check("this/x > ro/x, this > there", &with(&["there/x: old this/x", "there/y: old this/y"])).await;
    check("this > ro/this, = other", &with(&["other: new other", "this/x: old this/x", "this/y: old this/y"])).await;
    check("this/x > ro/x, this > ro/this", &with(&["this/x: old this/x", "this/y: old this/y"])).await;
}

#[tokio::test]
async fn a_directory_whose_new_place_is_refused_and_whose_old_one_is_taken_is_kept() {
    let expected = [
        ".runner/kept/0/x: old this/x",
        ".runner/kept/0/y: old this/y",
        "f: old f",
        "link -> f",
        "log.1: old log.1",
        "log: old log",
        "this/z: old that/z",
    ];
    check("this > ro/this, that > this", &expected).await;
}

#[tokio::test]
async fn what_somebody_else_makes_in_the_last_moment_costs_nobody_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    before(folder.path());
    let place = folder.path().join("new");
    let tree = Faulty::new(LocalFs::open(folder.path()).expect("it opens"), move |what, _, to| {
        if (what, to) == ("rename", Some(&at("new"))) {
            let _ = std::fs::create_dir(&place);
        }
        Ok(())
    });
    let call = VfsVolume::new(tree).open(&View::all()).expect("it opens");
    work(&*call.files(), "f > new, = log").await;
    assert_eq!(kind(call.commit().await), Err(ErrorKind::IsDirectory));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("it is there");
    assert_eq!((read("f").as_str(), read("log").as_str()), ("old f", "new log"));
}
