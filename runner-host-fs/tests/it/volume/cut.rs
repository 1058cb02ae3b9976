//! A commit that nobody waits for any more, and one whose runtime ends: all of it is there, or nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use runner_host_fs::{LocalFs, Mode, Session, Vfs, VfsExt, VfsVolume, View, Volume};
use tokio::sync::Notify;

use super::at;
use super::faulty::Faulty;
use super::killed::{all, before, outcomes, whole, work};

/// A volume in a folder that tells of the operation at which its count comes to nothing.
struct Counted {
    volume: VfsVolume,
    left: Arc<AtomicI64>,
    reached: Arc<Notify>,
}

impl Counted {
    fn new(files: LocalFs) -> Self {
        let (left, reached) = (Arc::new(AtomicI64::new(i64::MAX)), Arc::new(Notify::new()));
        let counting = (left.clone(), reached.clone());
        let tree = Faulty::new(files, move |_, _, _| {
            if counting.0.fetch_sub(1, Ordering::SeqCst) == 1 {
                counting.1.notify_one();
            }
            Ok(())
        });
        Counted { volume: VfsVolume::new(tree), left, reached }
    }

    /// Commits, and waits no longer than for so many operations. Tells whether it came to its end.
    async fn commit(&self, call: &dyn Session, after: i64) -> bool {
        self.left.store(after, Ordering::SeqCst);
        let ended = tokio::select! {
            biased;
            () = self.reached.notified() => false,
            done = call.commit() => {
                done.expect("it is committed");
                true
            }
        };
        self.left.store(i64::MAX, Ordering::SeqCst);
        ended
    }
}

/// Commits something else, and so waits for who has the lock.
async fn follow(volume: &dyn Volume) {
    let call = volume.open(&View::all()).expect("it opens");
    call.files().create_dir(&at("zz")).await.expect("it is made");
    call.commit().await.expect("it is committed");
    let call = volume.open(&View { mode: Mode::OnSync, ..View::all() }).expect("it opens");
    call.files().remove_dir(&at("zz")).await.expect("it is removed");
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_any_more_is_all_or_nothing() {
    let (old, new) = outcomes().await;
    let (mut none, mut some) = (0, 0);
    for after in 1..2_000 {
        let folder = tempfile::tempdir().expect("a folder");
        let files = LocalFs::open(folder.path()).expect("it opens");
        before(&files).await;
        let counted = Counted::new(files.clone());
        let call = counted.volume.open(&View::all()).expect("it opens");
        work(&*call.files()).await;
        let ended = counted.commit(&*call, after).await;
        drop(call);
        follow(&counted.volume).await;
        match whole(&counted.volume, &old, &new).await {
            true => some += 1,
            false => none += 1,
        }
        let left = files.list_all(&at(".runner")).await.expect("a listing");
        assert_eq!(left, [], "operation {after}: nothing is left over");
        if ended {
            println!("{none} times nothing, {some} times all, of {after} operations");
            assert!(none > 20 && some > 20, "it was given up before and after its first step: {none}, {some}");
            return;
        }
    }
    panic!("a commit of 50 files has no 2,000 operations");
}

#[test]
fn a_commit_whose_runtime_ends_is_finished_by_the_next() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (old, new) = runtime().block_on(outcomes());
    let (mut none, mut some) = (0, 0);
    for after in (1..2_000).step_by(5) {
        let folder = tempfile::tempdir().expect("a folder");
        let files = LocalFs::open(folder.path()).expect("it opens");
        let counted = Counted::new(files.clone());
        let first = runtime();
        let ended = first.block_on(async {
            before(&files).await;
            let call = counted.volume.open(&View::all()).expect("it opens");
            work(&*call.files()).await;
            counted.commit(&*call, after).await
        });
        drop(first);
        // The same volume, and one that knows nothing of it.
        for volume in [&counted.volume, &VfsVolume::new(files)] {
            match runtime().block_on(whole(volume, &old, &new)) {
                true => some += 1,
                false => none += 1,
            }
        }
        assert!(!folder.path().join(".runner/commit").exists(), "operation {after}");
        if ended {
            assert!(none > 10 && some > 10, "it ended before and after the first step: {none}, {some}");
            return;
        }
    }
    panic!("a commit of 50 files has no 2,000 operations");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_commit_on_other_threads_that_nobody_waits_for_is_all_or_nothing() {
    let (old, new) = outcomes().await;
    let mut given_up = 0;
    // What is there by then; a directory that goes through the stage, what is behind it, and the record itself.
    for there in [".runner/commit", "elsewhere", "made", "made/3", "made/19", "log.2", "place/inside", "link"] {
        for synced in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let files = LocalFs::open(folder.path()).expect("it opens").aside();
            before(&files).await;
            let call = Volume::open(&files, &View::all()).expect("it opens");
            work(&*call.files()).await;
            if synced {
                let made = call.files().open(&at("made/0"), runner_host_fs::Open::writing()).await.expect("it opens");
                made.sync(runner_host_fs::Flush::All).await.expect("it is synced");
            }
            let place = folder.path().join(there);
            tokio::select! {
                biased;
                () = async { while !place.exists() { tokio::task::yield_now().await } } => given_up += 1,
                done = call.commit() => done.expect("it is committed"),
            }
            drop(call);
            follow(&files).await;
            assert!(whole(&files, &old, &new).await, "{there}, synced: {synced}: it was begun");
            assert!(!folder.path().join(".runner/commit").exists());
        }
    }
    assert!(given_up > 0, "some were given up in the middle");
}

#[tokio::test]
async fn what_was_given_up_before_its_first_step_is_not_published_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = LocalFs::open(folder.path()).expect("it opens");
    let call = Volume::open(&files, &View::all()).expect("it opens");
    call.files().write(&at("one"), "bytes".into()).await.expect("it is written");
    call.files().write(&at("two"), "bytes".into()).await.expect("it is written");
    // Somebody else commits, and takes long.
    let lock = std::fs::File::open(folder.path().join(".runner/lock")).expect("it is there");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("nobody has it");
    tokio::time::timeout(std::time::Duration::from_millis(50), call.commit()).await.expect_err("it waits");
    drop((call, lock));
    follow(&files).await;
    let call = Volume::open(&files, &View { mode: Mode::ReadOnly, ..View::all() }).expect("it opens");
    assert_eq!(all(&*call.files()).await, "");
}
