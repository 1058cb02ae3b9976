//! Each backend and each wrapper, alone, stacked and boxed: the public suite.

use std::sync::Arc;

use runner_host_fs::conformance::{self, Can};
use runner_host_fs::{LocalFs, MemoryFs, Mounts, Overlay, Quota, QuotaLimits, ReadOnly, VPath, Vfs};

async fn check(vfs: impl Vfs) {
    conformance::all(Arc::new(vfs), Can::default()).await;
}

#[tokio::test]
async fn memory_is_one() {
    check(MemoryFs::default()).await;
}

#[tokio::test]
async fn a_boxed_one_is_one() {
    let boxed: Box<dyn Vfs> = Box::new(MemoryFs::default());
    check(boxed).await;
}

fn local() -> (tempfile::TempDir, LocalFs) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = LocalFs::open(folder.path()).expect("a folder opens");
    (folder, files)
}

#[tokio::test]
async fn a_local_directory_is_one() {
    let (_folder, files) = local();
    check(files).await;
}

const WIDE: QuotaLimits = QuotaLimits { bytes: 1 << 30, files: 10_000, file_bytes: u64::MAX };

#[tokio::test]
async fn a_quota_is_one() {
    check(Quota::new(MemoryFs::default(), WIDE)).await;
}

#[tokio::test]
async fn an_overlay_is_one_over_an_empty_tree() {
    check(Overlay::new(MemoryFs::default(), MemoryFs::default())).await;
}

#[tokio::test]
async fn mounts_are_one_within_each_of_their_places_and_at_the_root() {
    check(Mounts::new().mount(VPath::root(), MemoryFs::default()).expect("a free place")).await;
}

#[tokio::test]
async fn all_of_them_stacked_and_boxed_are_one() {
    let (_folder, files) = local();
    let lower = ReadOnly::new(MemoryFs::default());
    let upper: Box<dyn Vfs> = Box::new(Quota::new(files, WIDE));
    let overlay: Arc<dyn Vfs> = Arc::new(Overlay::new(upper, lower));
    let mounts = Mounts::new().mount(VPath::root(), overlay).expect("a free place");
    check(Quota::new(mounts, WIDE)).await;
}

#[tokio::test]
async fn what_is_read_only_is_read_and_not_changed() {
    let (_folder, files) = local();
    for writer in [Arc::new(MemoryFs::default()) as Arc<dyn Vfs>, Arc::new(files)] {
        conformance::read_only(writer.clone(), Arc::new(ReadOnly::new(writer))).await;
    }
}
