//! What has a bound, at it and over it.

use std::sync::Arc;
use std::time::Duration;

use runner_host_fs::{
    ErrorKind, FILE_BYTES_MAX, Follow, LocalFs, ManualClock, MemoryFs, MemoryLimits, Open, Quota, QuotaLimits,
    QuotaUsage, SetTime, SetTimes, Vfs, VfsExt, View,
};

use crate::support::{at, kind};

#[tokio::test]
async fn memory_has_room_for_so_many_bytes_and_what_is_removed_makes_room() {
    let files = MemoryFs::new(MemoryLimits { bytes: 100, nodes: 10 });
    files.write(&at("f"), vec![1; 99].into()).await.expect("there is room");
    assert_eq!(files.bytes(), 100, "with its name");
    assert_eq!(kind(files.write(&at("g"), "".into()).await), Err(ErrorKind::NoSpace), "not for another name");
    let file = files.open(&at("f"), Open::writing()).await.expect("it opens");
    assert_eq!(kind(file.append("x".into()).await), Err(ErrorKind::NoSpace));
    assert_eq!(kind(file.write_at(98, "xy".into()).await), Err(ErrorKind::NoSpace));
    assert_eq!(file.read_at(90, 100).await.expect("it is read"), vec![1; 9], "what is refused is not done in part");
    file.write_at(50, "over".into()).await.expect("in place there is room");
    file.set_len(1 << 40).await.expect("a hole takes none");
    assert_eq!(files.bytes(), 100);
    file.set_len(9).await.expect("it is cut off");
    assert_eq!(files.bytes(), 10);
    files.remove_file(&at("f")).await.expect("it is removed");
    assert_eq!(files.bytes(), 9, "open, and without a name");
    drop(file);
    assert_eq!(files.bytes(), 0);
}

#[tokio::test]
async fn memory_has_room_for_so_many_nodes() {
    let files = MemoryFs::new(MemoryLimits { bytes: 1_000, nodes: 4 });
    files.create_dir(&at("dir")).await.expect("there is room");
    files.write(&at("file"), "".into()).await.expect("there is room");
    files.symlink("file", &at("link")).await.expect("there is room");
    assert_eq!(kind(files.create_dir(&at("more")).await), Err(ErrorKind::NoSpace));
    assert_eq!(kind(files.symlink("x", &at("more")).await), Err(ErrorKind::NoSpace));
    assert_eq!(kind(files.open(&at("more"), Open::creating()).await.map(drop)), Err(ErrorKind::NoSpace));
    files.link(&at("file"), Follow::Yes, &at("again")).await.expect("a name is no node");
    let open = files.open(&at("file"), Open::reading()).await.expect("it opens");
    files.remove_file(&at("file")).await.expect("it is removed");
    files.remove_file(&at("again")).await.expect("it is removed");
    assert_eq!(kind(files.create_dir(&at("more")).await), Err(ErrorKind::NoSpace), "one is open without a name");
    drop(open);
    files.create_dir(&at("more")).await.expect("there is room");
}

#[tokio::test]
async fn memory_tells_the_time_of_its_clock() {
    let clock = Arc::new(ManualClock::at_ns(1_000));
    let files = MemoryFs::with_clock(MemoryLimits::default(), clock.clone());
    files.write(&at("file"), "bytes".into()).await.expect("it is written");
    clock.advance(Duration::from_nanos(5));
    let file = files.open(&at("file"), Open::writing()).await.expect("it opens");
    file.append("x".into()).await.expect("it is written");
    let stat = file.stat().await.expect("a stat");
    assert_eq!((stat.accessed_ns, stat.modified_ns, stat.changed_ns), (1_000, 1_005, 1_005));
    clock.advance(Duration::from_nanos(5));
    file.set_times(SetTimes { accessed: SetTime::Now, modified: SetTime::To(3) }).await.expect("they are set");
    let stat = file.stat().await.expect("a stat");
    assert_eq!((stat.accessed_ns, stat.modified_ns, stat.changed_ns), (1_010, 3, 1_010));
    clock.advance(Duration::from_nanos(5));
    file.set_times(SetTimes::default()).await.expect("nothing is set");
    assert_eq!(file.stat().await.expect("a stat"), stat);
}

const LIMITS: QuotaLimits = QuotaLimits { bytes: 100, files: 4, file_bytes: 60 };

#[tokio::test]
async fn a_write_past_the_quota_leaves_the_file_as_it_was() {
    let files = Quota::new(MemoryFs::default(), LIMITS);
    files.write(&at("a"), vec![1; 60].into()).await.expect("it may be so large");
    files.write(&at("b"), vec![2; 40].into()).await.expect("there is room");
    let file = files.open(&at("b"), Open::writing()).await.expect("it opens");
    assert_eq!(kind(file.append("x".into()).await), Err(ErrorKind::Quota));
    assert_eq!(kind(file.write_at(39, "xy".into()).await), Err(ErrorKind::Quota));
    assert_eq!(kind(file.set_len(41).await), Err(ErrorKind::Quota), "a hole counts");
    assert_eq!(files.read(&at("b"), 100).await.expect("it is read"), vec![2; 40]);
    file.write_at(0, vec![3; 40].into()).await.expect("in place there is room");
    assert_eq!(files.usage().await.expect("it is counted"), QuotaUsage { bytes: 100, files: 2 });

    let large = files.open(&at("a"), Open::writing()).await.expect("it opens");
    assert_eq!(kind(large.append("x".into()).await), Err(ErrorKind::TooLarge));
    large.set_len(10).await.expect("it is cut off");
    file.append(vec![4; 20].into()).await.expect("there is room");
    assert_eq!(kind(file.append("x".into()).await), Err(ErrorKind::TooLarge));
    assert_eq!(files.usage().await.expect("it is counted"), QuotaUsage { bytes: 70, files: 2 });
}

#[tokio::test]
async fn a_quota_counts_names_and_frees_bytes_with_the_last_of_them() {
    let files = Quota::new(MemoryFs::default(), LIMITS);
    files.write(&at("a"), vec![1; 50].into()).await.expect("there is room");
    files.link(&at("a"), Follow::Yes, &at("b")).await.expect("there is room");
    files.create_dir(&at("dir")).await.expect("there is room");
    files.symlink("a", &at("link")).await.expect("there is room");
    assert_eq!(files.usage().await.expect("it is counted"), QuotaUsage { bytes: 50, files: 4 });
    assert_eq!(kind(files.create_dir(&at("more")).await), Err(ErrorKind::Quota));
    assert_eq!(kind(files.symlink("a", &at("more")).await), Err(ErrorKind::Quota));
    assert_eq!(kind(files.link(&at("a"), Follow::Yes, &at("more")).await), Err(ErrorKind::Quota));
    assert_eq!(kind(files.open(&at("more"), Open::creating()).await.map(drop)), Err(ErrorKind::Quota));
    files.open(&at("a"), Open::creating()).await.expect("what is there is opened");
    files.rename(&at("a"), &at("dir/a")).await.expect("it is no more than it was");

    files.remove_file(&at("b")).await.expect("it is removed");
    assert_eq!(files.usage().await.expect("it is counted"), QuotaUsage { bytes: 50, files: 3 });
    let open = files.open(&at("dir/a"), Open::writing()).await.expect("it opens");
    files.remove_file(&at("dir/a")).await.expect("it is removed");
    assert_eq!(files.usage().await.expect("it is counted"), QuotaUsage { bytes: 50, files: 2 }, "it is open");
    open.append(vec![1; 10].into()).await.expect("there is room");
    assert_eq!(files.usage().await.expect("it is counted").bytes, 60);
    drop(open);
    assert_eq!(files.usage().await.expect("it is counted"), QuotaUsage { bytes: 0, files: 2 });
}

#[tokio::test]
async fn a_quota_counts_what_was_there_before_and_lets_it_shrink() {
    let below = MemoryFs::default();
    below.write(&at("large"), vec![1; 500].into()).await.expect("there is room");
    let files = Quota::new(below, LIMITS);
    assert_eq!(files.usage().await.expect("it is counted"), QuotaUsage { bytes: 500, files: 1 });
    assert_eq!(kind(files.write(&at("new"), "x".into()).await), Err(ErrorKind::Quota));
    let file = files.open(&at("large"), Open::writing()).await.expect("it opens");
    file.set_len(400).await.expect("it may become smaller");
    file.set_len(10).await.expect("it may become smaller");
    file.append("x".into()).await.expect("there is room now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_do_not_get_past_the_quota_together() {
    let files = Arc::new(Quota::new(MemoryFs::default(), QuotaLimits { bytes: 1_000, files: 100, file_bytes: 1_000 }));
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let files = files.clone();
        tasks.spawn(async move {
            let file = files.open(&at(&writer.to_string()), Open::creating()).await.expect("it opens");
            let mut written = 0;
            while file.append("seven b".into()).await.is_ok() {
                written += 7;
                tokio::task::yield_now().await;
            }
            written
        });
    }
    let written: u64 = tasks.join_all().await.into_iter().sum();
    assert_eq!(written, 994, "as many as fit");
    assert_eq!(files.usage().await.expect("it is counted"), QuotaUsage { bytes: 994, files: 8 });
}

#[test]
fn writes_that_nobody_waits_for_do_not_get_past_the_quota() {
    // The one thread that asks the disk can be kept busy: then what asks it is certainly still waiting.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(1).build().expect("it builds").block_on(writes_that_nobody_waits_for());
}

async fn writes_that_nobody_waits_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = QuotaLimits { bytes: 1_000, files: 10, file_bytes: 10_000 };
    let files = Quota::new(LocalFs::open(folder.path()).expect("it opens").aside(), limits);
    let file = files.open(&at("file"), Open::creating()).await.expect("it opens");
    let mut given_up = 0;
    for number in 0..200 {
        let (go_on, busy) = std::sync::mpsc::channel::<()>();
        if number % 4 == 0 {
            tokio::task::spawn_blocking(move || busy.recv());
        }
        let mut append = std::pin::pin!(file.append(vec![1; 40].into()));
        // Looked at so many times, and then dropped: before it begins, while the disk is asked, or after.
        for look in 0..=number % 20 {
            let polled = std::future::poll_fn(|context| std::task::Poll::Ready(append.as_mut().poll(context))).await;
            match polled {
                std::task::Poll::Pending if look == number % 20 => given_up += 1,
                std::task::Poll::Pending => tokio::task::yield_now().await,
                std::task::Poll::Ready(_) => break,
            }
        }
        drop(go_on);
    }
    assert!(given_up > 0, "some were not waited for");
    assert!(file.append(vec![1; 1_000].into()).await.is_err(), "there is no room for so many");
    tokio::time::timeout(Duration::from_secs(20), async {
        // What was begun is finished by now or soon: then the count is right again.
        loop {
            let (found, kept) = (file.stat().await.expect("a stat").size, files.usage().await.expect("it is counted"));
            assert!(found <= 1_000, "{found} bytes");
            match found == kept.bytes && kept.files == 1 {
                true => break,
                false => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
    .expect("the count becomes right");
}

#[tokio::test]
async fn a_tree_of_more_bytes_than_a_number_holds_is_over_its_quota() {
    let files = MemoryFs::default();
    for (name, bytes) in [("one", FILE_BYTES_MAX), ("two", FILE_BYTES_MAX), ("ten", 10)] {
        let file = files.open(&at(name), Open::creating()).await.expect("it is made");
        file.set_len(bytes).await.expect("a hole takes no room");
    }
    let limits = QuotaLimits { bytes: 1_000, files: 100, file_bytes: 1_000 };
    let quota = Quota::new(files.clone(), limits);
    assert_eq!(quota.usage().await.expect("it is counted").bytes, u64::MAX);
    assert_eq!(kind(quota.write(&at("more"), "x".into()).await), Err(ErrorKind::Quota));
    quota.remove_file(&at("more")).await.expect("it was made, and is empty");
    // A draft counts the same.
    let volume: &dyn runner_host_fs::Volume = &files;
    let call = volume.open(&View { bytes: Some(1_000), ..View::all() }).expect("it opens");
    assert_eq!(kind(call.files().write(&at("more"), "x".into()).await), Err(ErrorKind::Quota));
    drop(call);
    for left in [FILE_BYTES_MAX + 10, 10] {
        quota.remove_file(&at(if left == 10 { "two" } else { "one" })).await.expect("it is removed");
        assert_eq!(quota.usage().await.expect("it is counted").bytes, left);
    }
    quota.write(&at("more"), "x".into()).await.expect("there is room");
}
