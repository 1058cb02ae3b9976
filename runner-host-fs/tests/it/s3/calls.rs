//! What one call sees and makes, and the next one finds.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use runner_host_fs::conformance::{self, Can, VolumeCan};
use runner_host_fs::{
    ErrorKind, Flush, Follow, Kind, MemoryFs, Mode, Mounts, Open, Overlay, Quota, QuotaLimits, ReadOnly, SetTime,
    SetTimes, VPath, Vfs, VfsExt, View, Volume,
};
use runner_s3::{BUCKET, Fault, Generated, Kind as Asked, Rule, Server};

use super::{Store, at, connect, kind, long, settings};

const ONE_NAME: Can = Can { hard_links: false };

#[tokio::test]
async fn a_bucket_is_a_tree_and_the_next_call_finds_what_one_has_made_of_it() {
    for mode in [Mode::OnSuccess, Mode::OnSync] {
        let store = Store::new().await;
        let call = store.call(mode);
        conformance::all(call.files.clone(), ONE_NAME).await;
        let made = call.tree().await;
        if mode == Mode::OnSuccess {
            assert_eq!(store.keys(), [""; 0], "nothing is visible before the commit");
        }
        call.commit().await;
        assert_eq!(store.call(Mode::ReadOnly).tree().await, made, "{mode:?}");
        assert!(store.server.uploads(BUCKET).is_empty(), "{mode:?}: an upload is left");
        assert!(!store.keys().iter().any(|key| key.contains(".runner")), "{mode:?}: {:?}", store.keys());
    }
}

#[tokio::test]
async fn a_bucket_is_a_volume() {
    let servers = std::sync::Mutex::new(Vec::new());
    let new = async || {
        let server = Server::start();
        let volume = connect(settings(&server.endpoint())).await;
        servers.lock().expect("no test panicked").push(server);
        Arc::new(volume) as Arc<dyn Volume>
    };
    conformance::volume(new, VolumeCan { hard_links: false, prefixes: true, prefix_paths: false, times: false }).await;
}

#[tokio::test]
async fn it_is_one_under_each_wrapper() {
    let store = Store::new().await;
    let wide = QuotaLimits { bytes: 1 << 30, files: 10_000, file_bytes: u64::MAX };
    let part = |name: &str| store.call_of(View { prefix: at(name), ..View::all() }).files;
    let mounts = Mounts::new().mount(VPath::root(), part("mounts")).expect("a free place");
    let stacked = Overlay::new(Quota::new(part("upper"), wide), ReadOnly::new(part("lower")));
    let limited = View { prefix: at("limited"), bytes: Some(1 << 30), files: Some(10_000), ..View::all() };
    let wrapped: [(&str, Arc<dyn Vfs>); 4] = [
        ("mounts", Arc::new(mounts)),
        ("an overlay of a quota", Arc::new(stacked)),
        ("an overlay over memory", Arc::new(Overlay::new(part("over"), MemoryFs::default()))),
        ("a view with a quota", store.call_of(limited).files),
    ];
    for (name, files) in wrapped {
        println!("{name}");
        conformance::all(files, ONE_NAME).await;
    }
    let writer = store.call(Mode::OnSync);
    let reader = ReadOnly::new(writer.files.clone());
    conformance::read_only(writer.files, Arc::new(reader)).await;
}

#[tokio::test]
async fn what_is_discarded_or_dropped_was_never_there() {
    let store = Store::new().await;
    store.put("kept", "old");
    for discard in [true, false] {
        let call = store.call(Mode::OnSuccess);
        call.put("kept", "new").await;
        call.put("large", &long(20 << 20)).await;
        call.files.remove_file(&at("large")).await.expect("it is removed");
        call.put("large too", &long(20 << 20)).await;
        assert!(!store.server.uploads(BUCKET).is_empty(), "it is on its way");
        if discard {
            call.session.discard().await.expect("it is discarded");
        }
        drop(call);
        store.volume.idle().await;
        assert_eq!((store.keys(), store.bytes("kept")), (vec!["kept".to_owned()], Some("old".to_owned())));
        assert!(store.server.uploads(BUCKET).is_empty(), "nobody pays for what was given up");
    }
}

#[tokio::test]
async fn what_others_have_put_there_is_files_and_directories() {
    let store = Store::new().await;
    for key in ["a/b/c", "a/b.txt", "empty/", "both", "both/x", "a//hidden", "a/./hidden", "a/../hidden", "..", "/x"] {
        store.put(key, "bytes");
    }
    store.put(&"n".repeat(256), "too long a name");
    store.put(".runner/commit-of-another-kind", "ours");
    let call = store.call(Mode::OnSuccess);
    let paths: Vec<_> = call.tree().await.into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["/a", "/a/b", "/a/b/c", "/a/b.txt", "/both", "/both/x", "/empty"]);
    let refused = call.files.create_dir(&at(".runner")).await;
    assert_eq!(kind(refused), Err(ErrorKind::NotPermitted));
    assert_eq!(call.get(".runner/commit-of-another-kind").await, Err(ErrorKind::NotFound));
    let long = format!(
        "{}/{}",
        ["d".repeat(250), "d".repeat(250), "d".repeat(250), "d".repeat(250)].join("/"),
        "n".repeat(20)
    );
    call.files.create_dir_all(&at(&long).parent().expect("it has one")).await.expect("they are short");
    assert_eq!(kind(call.files.write(&at(&long), "x".into()).await), Err(ErrorKind::NameTooLong));

    // The file that a directory of its name has hidden.
    call.files.remove_dir_all(&at("both")).await.expect("it is removed");
    call.put("both", "mine").await;
    call.commit().await;
    assert_eq!(store.bytes("both").as_deref(), Some("mine"));
}

#[tokio::test]
async fn what_a_directory_hides_among_too_many_names_is_found_again() {
    let store = Store::new().await;
    // Each name is a file, and a directory that hides it. What is generated cannot be removed.
    let name =
        |number: u64| format!("data/dir/{:06}{}", 1 + number / 2, if number.is_multiple_of(2) { "" } else { "/x" });
    store.server.generate(BUCKET, Generated::new(2 * 101_000, 3, 7, name));
    let ours = ["dir/000000", "dir/101001"];
    for name in ours {
        store.put(name, "hidden");
        store.put(&format!("{name}/x"), "theirs");
    }
    let call = store.call(Mode::OnSuccess);
    assert_eq!(call.names("dir").await.len(), 101_002);
    for name in ours {
        call.files.remove_dir_all(&at(name)).await.expect("it is removed");
        call.put(name, "mine").await;
    }
    call.commit().await;
    for name in ours {
        assert_eq!(store.bytes(name).as_deref(), Some("mine"));
        assert_eq!(store.bytes(&format!("{name}/x")), None);
    }
    assert_eq!(store.call(Mode::OnSuccess).get(ours[0]).await.as_deref(), Ok("mine"));
}

#[tokio::test]
async fn a_directory_stays_when_its_last_file_goes_and_a_link_is_a_link_in_the_next_call() {
    let store = Store::new().await;
    store.put("dir/only", "bytes");
    store.put("not a link", "32 bytes which is what links are");
    let call = store.call(Mode::OnSuccess);
    call.files.remove_file(&at("dir/only")).await.expect("it is removed");
    call.files.symlink("dir/é none", &at("link")).await.expect("it is made");
    call.commit().await;
    assert_eq!(store.keys(), ["dir/", "link", "not a link"]);
    let next = store.call(Mode::OnSuccess);
    let expected =
        [("/dir", "Directory"), ("/link", "-> dir/é none"), ("/not a link", "32 bytes which is what links are")];
    assert_eq!(next.tree().await, expected.map(|(path, holds)| (path.to_owned(), holds.to_owned())));
    assert_eq!(next.files.stat(&at("link"), Follow::No).await.expect("a stat").size, "dir/é none".len() as u64);
    next.files.remove_dir(&at("dir")).await.expect("it is removed");
    next.commit().await;
    assert_eq!(store.keys(), ["link", "not a link"]);
}

#[tokio::test]
async fn a_directory_is_renamed_with_all_that_nobody_has_looked_at() {
    let store = Store::new().await;
    for number in 0..30 {
        store.put(&format!("from/deep/{number:02}"), &format!("bytes {number}"));
    }
    store.server.put_with(BUCKET, "data/from/deep/typed", "bytes", [("owner", "me")]);
    store.put("from/large", &long(300 << 10));
    store.put("from/marked/", "");
    let call = store.call(Mode::OnSuccess);
    call.files.rename(&at("from"), &at("to")).await.expect("it is renamed");
    call.put("to/deep/07", "written since").await;
    call.files.rename(&at("to/deep/08"), &at("out")).await.expect("it is renamed");
    call.files.remove_file(&at("to/deep/09")).await.expect("it is removed");
    let made = call.tree().await;
    call.commit().await;
    assert_eq!(store.call(Mode::ReadOnly).tree().await, made);
    assert!(!store.keys().iter().any(|key| key.starts_with("from")), "{:?}", store.keys());
    assert_eq!(store.bytes("to/large"), Some(long(300 << 10)));
    let typed = store.server.get(BUCKET, "data/to/deep/typed").expect("it is there");
    assert_eq!(typed.metadata.get("owner").map(String::as_str), Some("me"), "what others wrote beside it goes along");
    let changes = call.session.changes();
    // The directory stands for all that went with it as it was.
    assert_eq!(changes.removed, ["from", "from/deep/07", "from/deep/08", "from/deep/09"].map(at));
    assert_eq!(changes.added, ["out", "to", "to/deep/07"].map(at));
}

#[tokio::test]
async fn what_a_call_has_published_is_told_path_by_path() {
    let store = Store::new().await;
    for key in ["kept", "changed", "removed", "moved"] {
        store.put(key, key);
    }
    let call = store.call(Mode::OnSuccess);
    call.put("changed", "otherwise").await;
    call.put("added", "new").await;
    call.put("never", "gone before").await;
    for path in ["removed", "never"] {
        call.files.remove_file(&at(path)).await.expect("it is removed");
    }
    call.files.rename(&at("moved"), &at("there")).await.expect("it is renamed");
    assert!(call.session.changes().is_empty());
    call.commit().await;
    let changes = call.session.changes();
    assert_eq!(changes.added, [at("added"), at("there")]);
    assert_eq!(changes.changed, [at("changed")]);
    assert_eq!(changes.removed, [at("moved"), at("removed")]);
    assert_eq!(call.usage("committed_bytes"), ("otherwise".len() + "new".len() + "moved".len()) as u64);

    let quiet = store.call(Mode::OnSuccess);
    quiet.get("kept").await.expect("it is read");
    store.proxy.log().reset();
    quiet.commit().await;
    assert!(store.asked().is_empty(), "who has changed nothing asks for nothing");
}

#[tokio::test]
async fn a_file_is_published_when_it_is_synced_or_closed_and_a_name_at_once() {
    let store = Store::new().await;
    let call = store.call(Mode::OnSync);
    let file = call.files.open(&at("log"), Open::creating()).await.expect("it opens");
    file.write_at(0, "one".into()).await.expect("it is written");
    assert_eq!(store.bytes("log"), None, "not before it is synced");
    file.sync(Flush::Data).await.expect("it is synced");
    assert_eq!(store.bytes("log").as_deref(), Some("one"));
    file.append(" two".into()).await.expect("it is written");
    call.put("other", "closed").await;
    assert_eq!((store.bytes("log").as_deref(), store.bytes("other").as_deref()), (Some("one"), Some("closed")));
    file.close().await.expect("it is closed");
    drop(file);
    assert_eq!(store.bytes("log").as_deref(), Some("one two"));

    call.files.rename(&at("other"), &at("log")).await.expect("it is renamed");
    assert_eq!((store.keys(), store.bytes("log").as_deref()), (vec!["log".to_owned()], Some("closed")));
    let times = SetTimes { modified: SetTime::To(1_000_000_000_000_000_005), ..SetTimes::default() };
    call.files.set_times(&at("log"), Follow::Yes, times).await.expect("they are set");
    let object = store.server.get(BUCKET, "data/log").expect("it is there");
    assert_eq!(object.metadata.get("mtime").map(String::as_str), Some("1000000000.000000005"));
    let open = call.files.open(&at("unsynced"), Open::creating()).await.expect("it opens");
    open.append("lost".into()).await.expect("it is written");
    drop(open);
    call.session.discard().await.expect("it is discarded");
    assert_eq!(store.keys(), ["log"], "what was published stays, the rest was never there");
}

#[tokio::test]
async fn a_file_larger_than_memory_is_written_and_read_by_parts() {
    let store = Store::with(|mut settings| {
        settings.draft.memory_bytes = 1 << 20;
        settings.cache.memory_bytes = 4 << 20;
        settings
    });
    let store = store.await;
    let call = store.call(Mode::OnSuccess);
    let file = call.files.open(&at("large"), Open::creating()).await.expect("it opens");
    let (piece, pieces) = (long(1 << 20), 40_u64);
    for number in 0..pieces {
        file.append(piece.clone().into()).await.expect("it is written");
        if number == 30 {
            // Over what is on its way already.
            file.write_at(5, "HERE".into()).await.expect("it is written");
        }
    }
    assert_eq!(file.read_at(3, 10).await.expect("it is read"), format!("{}HERE{}", &piece[3..5], &piece[9..13]));
    file.close().await.expect("it is closed");
    drop(file);
    call.commit().await;
    let object = store.server.get(BUCKET, "data/large").expect("it is there");
    assert_eq!(object.content.len(), pieces << 20);
    assert!(object.etag.contains("-5"), "in parts of 8 MiB: {}", object.etag);

    let next = store.call(Mode::OnSuccess);
    let file = next.files.open(&at("large"), Open::writing()).await.expect("it opens");
    let mut expected = piece.repeat(pieces as usize).into_bytes();
    expected[5..9].copy_from_slice(b"HERE");
    let (mut offset, before) = (0, next.usage("s3_bytes_in"));
    while offset < expected.len() {
        let bytes = file.read_at(offset as u64, 700_001).await.expect("it is read");
        assert_eq!(bytes, expected[offset..offset + bytes.len()], "at {offset}");
        offset += bytes.len();
    }
    assert_eq!(
        next.usage("s3_bytes_in") - before,
        expected.len() as u64,
        "what was fetched ahead is there when it is read"
    );
    // A small change of it: the parts that are as they were are copied within the bucket.
    file.write_at(20 << 20, "THERE".into()).await.expect("it is written");
    file.close().await.expect("it is closed");
    drop(file);
    next.commit().await;
    assert_eq!((next.usage("s3_part"), next.usage("s3_copy")), (1, 4));
    let object = store.server.get(BUCKET, "data/large").expect("it is there");
    expected[20 << 20..(20 << 20) + 5].copy_from_slice(b"THERE");
    assert!(object.content.bytes() == expected, "it is another one");
}

#[tokio::test]
async fn what_is_over_a_views_bounds_is_refused_whole() {
    let store = Store::new().await;
    store.put("shop/there", "12345");
    let shop = View { prefix: at("shop"), bytes: Some(20), files: Some(3), file_bytes: Some(10), ..View::all() };
    let call = store.call_of(shop);
    let refused = async |path: &str, bytes: &str| kind(call.files.write(&at(path), bytes.to_owned().into()).await);
    assert_eq!(refused("wide", "12345678901").await, Err(ErrorKind::TooLarge));
    assert_eq!(refused("one", "1234567890").await, Ok(()));
    assert_eq!(refused("wide", "123456").await, Err(ErrorKind::Quota));
    assert_eq!(
        kind(call.files.create_dir(&at("two")).await),
        Err(ErrorKind::Quota),
        "there are three with the empty one"
    );
    assert_eq!(call.get("wide").await, Ok(String::new()));
    call.commit().await;
    assert_eq!(store.keys(), ["shop/one", "shop/there", "shop/wide"]);
    let narrow = store.call_of(View { file_bytes: Some(4), ..View::all() });
    assert_eq!(kind(narrow.files.write(&at("x"), "12345".into()).await), Err(ErrorKind::TooLarge));
}

#[tokio::test]
async fn a_view_is_left_by_nobody() {
    let store = Store::new().await;
    store.put("mine/file", "mine");
    store.put("mine-too/file", "yours");
    store.put("secret", "yours");
    let call = store.call_of(View { prefix: at("mine"), ..View::all() });
    assert_eq!(call.names("/").await, ["file"]);
    call.files.symlink("../secret", &at("out")).await.expect("it is made");
    assert_eq!(call.get("out").await, Err(ErrorKind::NotPermitted));
    let empty = store.call_of(View { prefix: at("not/yet/there"), ..View::all() });
    assert_eq!(empty.names("/").await, [""; 0]);
    empty.put("now", "it is").await;
    empty.commit().await;
    assert_eq!(store.bytes("not/yet/there/now").as_deref(), Some("it is"));
}

#[tokio::test]
async fn a_call_reads_one_version_of_a_file_or_is_told() {
    let store = Store::new().await;
    let first = long(1 << 20);
    store.put("file", &first);
    let call = store.call(Mode::OnSuccess);
    let file = call.files.open(&at("file"), Open::reading()).await.expect("it opens");
    file.read_at(900 << 10, 10).await.expect("it is read");
    store.put("file", &first.to_uppercase());
    assert_eq!(file.read_at(900 << 10, 10).await.expect("it is here"), first[900 << 10..][..10]);
    let error = file.read_at(0, 10).await.expect_err("it is another one");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("data/file"), "{error}");
    store.server.remove(BUCKET, "data/file");
    assert_eq!(kind(file.read_at(0, 10).await), Err(ErrorKind::Conflict));
}

#[tokio::test]
async fn a_directory_of_more_names_than_are_remembered_is_listed_and_used() {
    let store = Store::new().await;
    let names = |number: u64| format!("data/many/file-{number:06}.txt");
    store.server.generate(BUCKET, runner_s3::Generated::new(101_500, 3, 7, names));
    // Between the files by their keys, and before them by its name.
    store.put("many/file/inner", "deep");
    store.put("many/file-050000/inner", "deep");
    store.put("many/file-0", "removed");
    let call = store.call(Mode::OnSuccess);
    call.put("many/file-000001.txt", "changed").await;
    call.files.remove_file(&at("many/file-0")).await.expect("it is removed");
    call.put("many/new", "new").await;
    let found = pages(&call, "many").await;
    let files = (0..101_500).map(|number| (format!("file-{number:06}.txt"), Kind::File));
    let mut expected: Vec<_> = files.collect();
    expected.extend(
        [("file", Kind::Directory), ("file-050000", Kind::Directory)].map(|(name, kind)| (name.to_owned(), kind)),
    );
    expected.push(("new".to_owned(), Kind::File));
    expected.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    assert!(found == expected, "{} and {} entries", found.len(), expected.len());
    // What the call has moved away, and what it has put there, whatever the bucket has.
    call.files.rename(&at("many/file"), &at("moved")).await.expect("it is moved");
    expected.retain(|(name, _)| name != "file");
    let found = pages(&call, "many").await;
    assert!(found == expected, "{} and {} entries", found.len(), expected.len());
    call.put("many/file", "a file now").await;
    expected.push(("file".to_owned(), Kind::File));
    expected.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    assert!(pages(&call, "many").await == expected);
    let last = call.files.stat(&at("many/file-101499.txt"), Follow::No).await.expect("it is there");
    assert_eq!((last.kind, last.size), (Kind::File, 3));
    assert_eq!(call.get("many/file-000001.txt").await.as_deref(), Ok("changed"));
    assert_eq!(call.get("many/file-0").await, Err(ErrorKind::NotFound));
    assert_eq!(call.get("many/file-999999.txt").await, Err(ErrorKind::NotFound));
    assert_eq!(call.get("many/file-050000/inner").await.as_deref(), Ok("deep"));
    call.commit().await;
    assert_eq!(store.bytes("many/file-000001.txt").as_deref(), Some("changed"));
    assert_eq!(store.bytes("many/file-0"), None);
    assert_eq!(store.bytes("many/file").as_deref(), Some("a file now"));
    assert_eq!(store.bytes("moved/inner").as_deref(), Some("deep"));
}

/// The names of a directory and what they are, asked for by pages that are no pages of the bucket.
async fn pages(call: &super::Call, path: &str) -> Vec<(String, Kind)> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let limit = NonZeroU32::new(700).expect("it is not zero");
        let page = call.files.list(&at(path), after.as_deref(), limit).await.expect("a page");
        assert!(page.entries.len() <= 700 && (!page.more || !page.entries.is_empty()));
        after = page.entries.last().map(|entry| entry.name.clone());
        found.extend(page.entries.into_iter().map(|entry| (entry.name, entry.kind)));
        if !page.more {
            return found;
        }
    }
}

#[tokio::test]
async fn a_listing_has_the_names_that_were_asked_for_before_and_forgotten_since() {
    let store = Store::new().await;
    store.server.generate(BUCKET, runner_s3::Generated::numbered("data/large/", 100_500, 3));
    store.server.generate(BUCKET, runner_s3::Generated::numbered("data/dir/", 2_500, 3));
    let call = store.call(Mode::OnSuccess);
    assert_eq!(pages(&call, "large").await.len(), 100_500);
    let names = call.names("dir").await;
    let call = store.call(Mode::OnSuccess);
    assert_eq!(pages(&call, "large").await.len(), 100_500);
    // The last name of the second page, by itself; then the listing up to there.
    let last = at(&format!("dir/{}", names[1_999]));
    call.files.stat(&last, Follow::No).await.expect("it is there");
    let limit = NonZeroU32::new(1_500).expect("it is not zero");
    let first = call.files.list(&at("dir"), None, limit).await.expect("a page");
    assert_eq!(first.entries.len(), 1_500);
    assert_eq!(pages(&call, "large").await.len(), 100_500);
    assert_eq!(call.names("dir").await, names);
    call.files.stat(&last, Follow::No).await.expect("it is there");
}

#[tokio::test]
async fn a_file_that_is_cut_off_while_it_is_sent_is_what_was_written_last() {
    let store = Store::new().await;
    let (first, last) = ("a".repeat(17 << 20), "b".repeat(17 << 20));
    // The first part of what was is on its way for longer than what comes after.
    let held = Rule::new(Fault::Delay(Duration::from_millis(400))).kind(Asked::UploadPart).times(1);
    store.proxy.script([held]);
    let call = store.call(Mode::OnSuccess);
    let file = call.files.open(&at("file"), Open::creating()).await.expect("it opens");
    file.write_at(0, first.into()).await.expect("it is written");
    file.set_len(0).await.expect("it is cut off");
    file.write_at(0, last.clone().into()).await.expect("it is written");
    file.close().await.expect("it is closed");
    call.commit().await;
    assert!(store.bytes("file") == Some(last));
}

#[tokio::test]
async fn what_a_call_has_met_by_its_name_stays_as_it_was_when_its_directory_is_listed() {
    let store = Store::new().await;
    // More than a first page has: a name behind it is asked for by itself.
    store.server.generate(BUCKET, Generated::numbered("data/dir/", 1_500, 3));
    store.put("dir/zz", "1");
    let call = store.call(Mode::OnSuccess);
    let count: u32 = call.get("dir/zz").await.expect("it is there").parse().expect("a number");
    assert_eq!(call.get("dir/zy").await, Err(ErrorKind::NotFound));
    store.put("dir/zz", "10");
    store.put("dir/zy", "somebody's");
    store.put("dir/zx", "seen");
    let names = call.names("dir").await;
    let met: Vec<_> = names.iter().filter(|name| name.starts_with('z')).collect();
    assert_eq!(met, ["zx", "zz"]);
    call.put("dir/zz", &(count + 1).to_string()).await;
    let error = call.session.commit().await.expect_err("somebody has counted on");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(store.bytes("dir/zz").as_deref(), Some("10"), "nothing is lost");
}

#[tokio::test]
async fn a_call_that_lost_once_publishes_nothing_more_and_says_why() {
    let store = Store::new().await;
    store.put("shared", "old");
    let call = store.call(Mode::OnSync);
    assert_eq!(call.get("shared").await.as_deref(), Ok("old"));
    store.put("shared", "theirs");
    let lost = call.files.remove_file(&at("shared")).await.expect_err("it is another file now");
    assert_eq!(lost.kind(), ErrorKind::Conflict);
    let file = call.files.open(&at("mine"), Open::creating()).await;
    let next = match file {
        Ok(file) => file.sync(Flush::Data).await.expect_err("its call has lost"),
        Err(error) => error,
    };
    assert_eq!(next.kind(), ErrorKind::Conflict);
    assert!(next.to_string().contains("earlier commit") && next.to_string().contains("`/shared`"), "{next}");
    assert_eq!(kind(call.session.commit().await), Err(ErrorKind::Conflict));
    assert_eq!((store.keys(), store.bytes("shared").as_deref()), (vec!["shared".to_owned()], Some("theirs")));
}
