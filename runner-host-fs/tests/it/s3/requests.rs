//! How many requests it takes, exactly: a change here is a change of what a bucket costs.

use std::collections::BTreeMap;

use runner_host_fs::{Follow, Mode, Open, VfsExt, View};

use super::{Store, at, connect, long, settings};

fn counts<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected.map(|(name, count)| (name.to_owned(), count)).into()
}

#[tokio::test]
async fn a_directory_is_one_listing_for_names_sizes_and_times() {
    let store = Store::new().await;
    for number in 0..500 {
        store.put(&format!("dir/{number:03}"), "bytes");
    }
    let call = store.call(Mode::OnSuccess);
    assert_eq!(call.names("dir").await.len(), 500);
    for number in 0..500 {
        let stat = call.files.stat(&at(&format!("dir/{number:03}")), Follow::No).await.expect("it is there");
        assert!(stat.size == 5 && stat.modified_ns > 0);
    }
    assert!(!call.files.exists(&at("dir/none")).await.expect("it is known"));
    // The root, and the directory.
    assert_eq!(store.asked(), counts([("ListObjectsV2", 2)]));
    assert_eq!(call.session.usage(), [("s3_list", 2)].into());
}

#[tokio::test]
async fn a_directory_of_pages_is_listed_by_pages_and_as_far_as_asked_for() {
    let store = Store::new().await;
    store.server.generate(runner_s3::BUCKET, runner_s3::Generated::numbered("data/dir/", 5_000, 3));
    let call = store.call(Mode::OnSuccess);
    let most = std::num::NonZeroU32::new(500).expect("it is not zero");
    call.files.list(&at("dir"), None, most).await.expect("a page");
    assert_eq!(store.asked(), counts([("ListObjectsV2", 2)]));
    assert_eq!(call.names("dir").await.len(), 5_000);
    assert_eq!(store.asked(), counts([("ListObjectsV2", 4)]));
    assert!(!call.files.exists(&at("dir/none")).await.expect("it is known"));
    assert_eq!(store.asked(), counts([]));

    // A name by itself is a HEAD and a LIST, of the first ones.
    let call = store.call(Mode::OnSuccess);
    let last = call.names("dir").await.pop().expect("there are names");
    let other = store.call(Mode::OnSuccess);
    store.asked();
    assert!(other.files.exists(&at(&format!("dir/{last}"))).await.expect("it is known"));
    assert_eq!(store.asked(), counts([("HeadObject", 1), ("ListObjectsV2", 3)]));
}

#[tokio::test]
async fn a_directory_of_more_names_than_are_remembered_is_one_listing_for_each_thousand() {
    let store = Store::new().await;
    // Each name is the beginning of what may be a directory between it and the next one, which the next page tells.
    let names = |number: u64| format!("data/dir/{number:06}.txt");
    store.server.generate(runner_s3::BUCKET, runner_s3::Generated::new(102_000, 3, 7, names));
    let call = store.call(Mode::OnSuccess);
    // The first time the root is listed, and the page on which it shows that there are too many is begun anew behind the names
    // that were given.
    for expected in [105, 102] {
        let (mut found, mut after) = (0, None::<String>);
        loop {
            let limit = std::num::NonZeroU32::new(400).expect("it is not zero");
            let page = call.files.list(&at("dir"), after.as_deref(), limit).await.expect("a page");
            found += page.entries.len();
            // Each is looked at, as C libraries do.
            for entry in &page.entries {
                let stat = call.files.stat(&at(&format!("dir/{}", entry.name)), Follow::No).await.expect("it is there");
                assert_eq!((stat.size, stat.inode), (3, entry.inode));
            }
            after = page.entries.last().map(|entry| entry.name.clone());
            if !page.more {
                break;
            }
        }
        assert_eq!(found, 102_000);
        assert_eq!(store.asked(), counts([("ListObjectsV2", expected)]));
    }
}

#[tokio::test]
async fn small_files_that_are_opened_in_order_are_one_request_each_and_none_when_warm() {
    let store = Store::new().await;
    for number in 0..300 {
        store.put(&format!("{number:03}"), &format!("bytes of {number}"));
    }
    let call = store.call(Mode::OnSuccess);
    for name in call.names("/").await {
        assert!(call.get(&name).await.expect("it is read").starts_with("bytes of"));
    }
    assert_eq!(store.asked(), counts([("GetObject", 300), ("ListObjectsV2", 1)]));
    let warm = store.call(Mode::OnSuccess);
    for name in warm.names("/").await {
        warm.get(&name).await.expect("it is read");
    }
    assert_eq!(store.asked(), counts([("ListObjectsV2", 1)]));
    assert!(warm.usage("cache_bytes") > 300 * 9 && warm.usage("s3_bytes_in") == 0);
}

#[tokio::test]
async fn a_large_file_is_read_ahead_and_a_part_of_it_is_not() {
    let store = Store::new().await;
    store.server.put_computed(runner_s3::BUCKET, "data/large", 40 << 20, 1);
    let call = store.call(Mode::OnSuccess);
    let file = call.files.open(&at("large"), Open::reading()).await.expect("it opens");
    let mut offset = 0;
    while offset < 40 << 20 {
        offset += file.read_at(offset, 64 << 10).await.expect("it is read").len() as u64;
    }
    // 1 MiB, then windows of 2, 4 and 8 MiB, in requests of at most 4.
    assert_eq!(store.asked(), counts([("GetObject", 12), ("ListObjectsV2", 1)]));
    assert_eq!(call.usage("s3_bytes_in"), 40 << 20);
    drop(file);

    store.server.put_computed(runner_s3::BUCKET, "data/large", 40 << 20, 2);
    let call = store.call(Mode::OnSuccess);
    let file = call.files.open(&at("large"), Open::reading()).await.expect("it opens");
    for offset in [30 << 20, 5 << 20, 20 << 20] {
        file.read_at(offset, 4_096).await.expect("it is read");
        file.read_at(offset + 10, 4_000).await.expect("it is here");
    }
    assert_eq!(call.usage("s3_bytes_in"), 3 * (256 << 10));
    assert_eq!(store.asked(), counts([("GetObject", 3), ("ListObjectsV2", 1)]));
}

#[tokio::test]
async fn an_empty_file_and_what_is_new_are_not_asked_for() {
    let store = Store::new().await;
    store.put("empty", "");
    let call = store.call(Mode::OnSuccess);
    assert_eq!(call.get("empty").await.as_deref(), Ok(""));
    call.files.create_dir(&at("new")).await.expect("it is made");
    call.put("new/file", "bytes").await;
    call.put("new/file", "other bytes").await;
    assert_eq!(call.get("new/file").await.as_deref(), Ok("other bytes"));
    assert_eq!(call.names("new").await, ["file"]);
    assert_eq!(store.asked(), counts([("ListObjectsV2", 1)]));
}

#[tokio::test]
async fn a_commit_is_a_record_a_look_and_a_write_for_each_file() {
    let store = Store::new().await;
    store.put("dir/old", "old");
    store.put("dir/gone", "old");
    let call = store.call(Mode::OnSuccess);
    for number in 0..20 {
        call.put(&format!("dir/{number}"), "new").await;
    }
    call.put("dir/old", "new").await;
    call.files.remove_file(&at("dir/gone")).await.expect("it is removed");
    assert_eq!(store.asked(), counts([("ListObjectsV2", 2)]));
    call.commit().await;
    // The record comes and goes.
    assert_eq!(store.asked(), counts([("DeleteObject", 2), ("ListObjectsV2", 1), ("PutObject", 22)]));

    let one = store.call(Mode::OnSuccess);
    one.put("dir/old", "newer").await;
    store.asked();
    one.commit().await;
    assert_eq!(store.asked(), counts([("DeleteObject", 1), ("PutObject", 2)]), "a single file needs no look");
}

#[tokio::test]
async fn a_large_file_is_on_its_way_before_the_commit() {
    let store = Store::new().await;
    let call = store.call(Mode::OnSuccess);
    let file = call.files.open(&at("large"), Open::creating()).await.expect("it opens");
    for _ in 0..20 {
        file.append(long(1 << 20).into()).await.expect("it is written");
    }
    file.close().await.expect("it is closed");
    drop(file);
    let sent = store.proxy.counts().get(&runner_s3::Kind::UploadPart).copied();
    assert!(sent.is_some_and(|sent| sent > 0), "while it is written");
    call.commit().await;
    let expected = [
        ("CompleteMultipartUpload", 1),
        ("CreateMultipartUpload", 1),
        ("DeleteObject", 1),
        ("ListObjectsV2", 1),
        ("PutObject", 1),
        ("UploadPart", 3),
    ];
    assert_eq!(store.asked(), counts(expected));
    assert_eq!((call.usage("s3_upload"), call.usage("s3_part")), (1, 3));
}

#[tokio::test]
async fn a_large_file_that_is_written_is_an_upload_of_its_parts_and_a_record() {
    let store = Store::new().await;
    let call = store.call(Mode::OnSuccess);
    let file = call.files.open(&at("large"), Open::creating()).await.expect("it opens");
    for _ in 0..64 {
        file.append(long(1 << 20).into()).await.expect("it is written");
    }
    file.close().await.expect("it is closed");
    drop(file);
    call.commit().await;
    let expected = counts([
        ("CompleteMultipartUpload", 1),
        ("CreateMultipartUpload", 1),
        ("DeleteObject", 1),
        ("ListObjectsV2", 1),
        ("PutObject", 1),
        ("UploadPart", 8),
    ]);
    assert_eq!(store.asked(), expected);
}

#[tokio::test]
async fn what_is_renamed_is_copied_within_the_bucket_or_read_once() {
    let store = Store::new().await;
    store.put("small", "bytes");
    store.put("large", &long(1 << 20));
    let call = store.call(Mode::OnSuccess);
    for name in ["small", "large"] {
        call.files.rename(&at(name), &at(&format!("{name} too"))).await.expect("it is renamed");
    }
    call.commit().await;
    let expected = counts([
        ("CompleteMultipartUpload", 1),
        ("CreateMultipartUpload", 1),
        ("DeleteObject", 3),
        ("GetObject", 1),
        ("HeadObject", 1),
        ("ListObjectsV2", 2),
        ("PutObject", 2),
        ("UploadPartCopy", 1),
    ]);
    assert_eq!(store.asked(), expected);
    assert_eq!(store.keys(), ["large too", "small too"]);
}

#[tokio::test]
async fn a_file_that_is_synced_is_three_requests_each_time() {
    let store = Store::new().await;
    let call = store.call(Mode::OnSync);
    let file = call.files.open(&at("log"), Open::creating()).await.expect("it opens");
    store.asked();
    for _ in 0..3 {
        file.append("line\n".into()).await.expect("it is written");
        file.sync(runner_host_fs::Flush::All).await.expect("it is synced");
        assert_eq!(store.asked(), counts([("DeleteObject", 1), ("PutObject", 2)]));
    }
    file.close().await.expect("it is closed");
    assert_eq!(store.asked(), counts([]), "there is nothing more to publish");
}

#[tokio::test]
async fn the_cache_outlives_the_process_and_a_view_has_no_more_than_its_share() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::with(|mut settings| {
        settings.cache.directory = Some(folder.path().to_owned());
        settings
    });
    let store = store.await;
    for number in 0..20 {
        store.put(&format!("{number:02}"), &long(10_000));
    }
    let call = store.call(Mode::OnSuccess);
    for number in 0..20 {
        call.get(&format!("{number:02}")).await.expect("it is read");
    }
    drop(call);
    assert!(std::fs::read_dir(folder.path()).expect("a listing").count() > 0);

    let mut settings = settings(&store.proxy.endpoint());
    settings.cache.directory = Some(folder.path().to_owned());
    let again = super::call(&connect(settings).await, View::all());
    store.asked();
    for number in 0..20 {
        again.get(&format!("{number:02}")).await.expect("it is read");
    }
    let asked = store.asked().get("GetObject").copied().unwrap_or_default();
    // What the disk was too slow for was not kept.
    assert!(asked < 20, "{asked} of 20 were asked for");

    let narrow = store.call_of(View { cache_bytes: Some(25_000), ..View::all() });
    store.put("other", &long(10_000));
    for name in ["other", "other"] {
        narrow.get(name).await.expect("it is read");
    }
    assert_eq!(store.asked().get("GetObject"), Some(&1));
}
