//! Trees over and beside each other.

use runner_host_fs::{
    ErrorKind, Follow, Kind, MemoryFs, Mounts, Open, Overlay, ReadOnly, SetTime, SetTimes, VPath, Vfs, VfsExt,
};

use crate::support::{at, kind};

async fn text(vfs: &impl Vfs, path: &str) -> Result<String, ErrorKind> {
    let bytes = kind(vfs.read(&at(path), 1_000).await)?;
    Ok(String::from_utf8(bytes.to_vec()).expect("text"))
}

async fn names(vfs: &impl Vfs, path: &str) -> Vec<String> {
    let entries = vfs.list_all(&at(path)).await.expect("a listing");
    entries.into_iter().map(|entry| entry.name).collect()
}

async fn tree(files: &[(&str, &'static str)]) -> MemoryFs {
    let tree = MemoryFs::default();
    for (path, text) in files {
        tree.create_dir_all(&at(path).parent().expect("no root")).await.expect("they are made");
        tree.write(&at(path), (*text).into()).await.expect("it is written");
    }
    tree
}

#[tokio::test]
async fn an_overlay_changes_nothing_below_it() {
    let (upper, lower) = (MemoryFs::default(), tree(&[("dir/a", "one"), ("dir/b", "two"), ("c", "three")]).await);
    let both = Overlay::new(upper.clone(), ReadOnly::new(lower.clone()));
    assert_eq!(text(&both, "dir/a").await, Ok("one".to_owned()));
    assert_eq!(names(&upper, "/").await, [""; 0], "what is read is not copied");
    let before = both.stat(&at("dir/a"), Follow::No).await.expect("a stat");
    let file = both.open(&at("dir/a"), Open::writing()).await.expect("it opens");
    file.append(" more".into()).await.expect("it is written");
    let after = both.stat(&at("dir/a"), Follow::No).await.expect("a stat");
    assert_eq!((before.device, before.inode), (after.device, after.inode), "it is the same file");
    assert_eq!(text(&both, "dir/a").await, Ok("one more".to_owned()));

    both.remove_file(&at("dir/b")).await.expect("it is removed");
    assert_eq!(text(&both, "dir/b").await, Err(ErrorKind::NotFound));
    assert_eq!(names(&both, "dir").await, ["a"]);
    both.rename(&at("dir"), &at("moved")).await.expect("it is renamed");
    assert_eq!(names(&both, "/").await, ["c", "moved"]);
    both.create_dir(&at("dir")).await.expect("the name is free");
    assert_eq!(names(&both, "dir").await, [""; 0], "what lies below does not come back");
    both.remove_dir_all(&at("moved")).await.expect("it is removed");
    both.rename(&at("dir"), &at("d")).await.expect("it is renamed");
    assert_eq!(names(&both, "/").await, ["c", "d"]);

    assert_eq!(text(&lower, "dir/a").await, Ok("one".to_owned()));
    assert_eq!(names(&lower, "/").await, ["c", "dir"]);
    assert_eq!(names(&lower, "dir").await, ["a", "b"]);
}

#[tokio::test]
async fn an_overlay_lists_both_trees_in_pages_of_any_size() {
    let below: Vec<_> = (0..50).map(|number| format!("{number:03}")).collect();
    let lower = MemoryFs::default();
    for name in &below {
        lower.write(&at(name), "".into()).await.expect("it is written");
    }
    let both = Overlay::new(MemoryFs::default(), lower);
    let mut expected: Vec<String> = Vec::new();
    for (number, name) in below.iter().enumerate() {
        match number % 3 {
            0 => both.remove_file(&at(name)).await.expect("it is removed"),
            1 => {
                both.write(&at(&format!("{name}+")), "".into()).await.expect("it is written");
                expected.extend([name.clone(), format!("{name}+")]);
            }
            _ => expected.push(name.clone()),
        }
    }
    for limit in [1, 2, 3, 7, 100] {
        let limit = std::num::NonZeroU32::new(limit).expect("it is not zero");
        let mut found: Vec<String> = Vec::new();
        loop {
            let page = both.list(&VPath::root(), found.last().map(String::as_str), limit).await.expect("a page");
            found.extend(page.entries.into_iter().map(|entry| entry.name));
            if !page.more {
                break;
            }
        }
        assert_eq!(found, expected, "in pages of {limit}");
    }
}

#[tokio::test]
async fn what_cannot_be_copied_up_stays_as_it_is() {
    let lower = tree(&[("large", "more than there is room for")]).await;
    let small = MemoryFs::new(runner_host_fs::MemoryLimits { bytes: 10, nodes: 10 });
    let both = Overlay::new(small.clone(), lower);
    assert_eq!(kind(both.open(&at("large"), Open::writing()).await.map(drop)), Err(ErrorKind::NoSpace));
    assert_eq!(text(&both, "large").await, Ok("more than there is room for".to_owned()));
    assert_eq!(names(&small, "/").await, [""; 0]);
}

async fn mounts() -> Mounts {
    let mounts = Mounts::new().mount(at("in"), ReadOnly::new(tree(&[("file", "given")]).await)).expect("free");
    let mounts = mounts.mount(at("out"), MemoryFs::default()).expect("free");
    let mounts = mounts.mount(at("out/deep/er"), tree(&[("file", "deep")]).await).expect("free");
    mounts.mount(at("far/away"), MemoryFs::default()).expect("free")
}

#[tokio::test]
async fn the_longest_place_wins() {
    let files = mounts().await;
    assert_eq!(text(&files, "in/file").await, Ok("given".to_owned()));
    assert_eq!(text(&files, "out/deep/er/file").await, Ok("deep".to_owned()));
    assert_eq!(text(&files, "out/file").await, Err(ErrorKind::NotFound));
    files.write(&at("out/file"), "mine".into()).await.expect("it is written");
    files.write(&at("out/outer"), "mine".into()).await.expect("a name is not the beginning of one");
    assert_eq!(kind(files.write(&at("in/file"), "mine".into()).await), Err(ErrorKind::ReadOnly));
    let twice = mounts().await.mount(at("in"), MemoryFs::default());
    assert_eq!(kind(twice.map(drop)), Err(ErrorKind::Exists));
}

#[tokio::test]
async fn places_show_in_listings() {
    let files = mounts().await;
    assert_eq!(names(&files, "/").await, ["far", "in", "out"]);
    assert_eq!(names(&files, "far").await, ["away"]);
    assert_eq!(names(&files, "out").await, ["deep"], "though its tree does not have it");
    assert_eq!(names(&files, "out/deep").await, ["er"]);
    files.write(&at("out/a"), "".into()).await.expect("it is written");
    files.write(&at("out/z"), "".into()).await.expect("it is written");
    for limit in 1..4 {
        let limit = std::num::NonZeroU32::new(limit).expect("it is not zero");
        let mut found: Vec<String> = Vec::new();
        loop {
            let after = found.last().cloned();
            let page = files.list(&at("out"), after.as_deref(), limit).await.expect("a page");
            found.extend(page.entries.into_iter().map(|entry| entry.name));
            if !page.more {
                break;
            }
        }
        assert_eq!(found, ["a", "deep", "z"], "in pages of {limit}");
    }
    assert_eq!(kind(files.list_all(&at("none")).await), Err(ErrorKind::NotFound));
    for path in ["/", "far", "far/away", "out/deep", "in"] {
        assert_eq!(files.stat(&at(path), Follow::No).await.expect("a stat").kind, Kind::Directory, "`{path}`");
        files.open(&at(path), Open::reading().directory()).await.unwrap_or_else(|error| panic!("`{path}`: {error}"));
    }
}

#[tokio::test]
async fn nothing_goes_from_one_mount_to_another() {
    let files = mounts().await;
    files.write(&at("out/file"), "mine".into()).await.expect("it is written");
    let crossed = Err(ErrorKind::CrossDevice);
    assert_eq!(kind(files.rename(&at("out/file"), &at("far/away/file")).await), crossed);
    assert_eq!(kind(files.link(&at("out/file"), Follow::Yes, &at("far/away/file")).await), crossed);
    assert_eq!(kind(files.rename(&at("out/deep/er/file"), &at("out/file")).await), crossed);
    files.symlink("../in/file", &at("out/link")).await.expect("a link");
    assert_eq!(text(&files, "out/link").await, Err(ErrorKind::NotPermitted));
    files.copy(&at("in/file"), &at("far/away/file")).await.expect("it is copied");
    assert_eq!(text(&files, "far/away/file").await, Ok("given".to_owned()));
    let one = files.stat(&at("out"), Follow::No).await.expect("a stat");
    let other = files.stat(&at("far/away"), Follow::No).await.expect("a stat");
    assert_ne!(one.device, other.device, "two trees may number their files alike");
}

#[tokio::test]
async fn places_stay_where_they_are() {
    let files = mounts().await;
    for path in ["in", "far", "far/away", "out/deep"] {
        assert_eq!(kind(files.remove_dir(&at(path)).await), Err(ErrorKind::Busy), "`{path}`");
        assert_eq!(kind(files.rename(&at(path), &at("out/new")).await), Err(ErrorKind::Busy), "`{path}`");
        assert_eq!(kind(files.create_dir(&at(path)).await), Err(ErrorKind::Exists), "`{path}`");
        assert_eq!(kind(files.remove_file(&at(path)).await), Err(ErrorKind::IsDirectory), "`{path}`");
    }
    assert_eq!(kind(files.create_dir(&at("new")).await), Err(ErrorKind::ReadOnly), "the root is no tree");
    assert_eq!(kind(files.write(&at("far/new"), "".into()).await), Err(ErrorKind::ReadOnly));
    let times = SetTimes { modified: SetTime::To(1), ..SetTimes::default() };
    assert_eq!(kind(files.set_times(&at("far"), Follow::Yes, times).await), Err(ErrorKind::ReadOnly));
    assert_eq!(kind(files.create_dir(&at("none/new")).await), Err(ErrorKind::NotFound));
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_is_made_whole() {
    let lower = MemoryFs::default();
    let large: bytes::Bytes = vec![7; 8 << 20].into();
    lower.write(&at("large"), large.clone()).await.expect("it is written");
    let (upper, path) = (MemoryFs::default(), at("large"));
    let both = Overlay::new(upper.clone(), lower);
    {
        let opening = both.open(&path, Open::writing());
        tokio::pin!(opening);
        // Once, so that it begins; then it is dropped.
        let waiting =
            std::future::poll_fn(|context| std::task::Poll::Ready(opening.as_mut().poll(context).is_pending()));
        assert!(waiting.await, "a copy takes a while");
    }
    // The next change waits for it.
    both.create_dir(&at("next")).await.expect("it is made");
    assert_eq!(upper.read(&path, 16 << 20).await.expect("it is copied"), large);
    assert_eq!(both.read(&path, 16 << 20).await.expect("it is read"), large);
}
