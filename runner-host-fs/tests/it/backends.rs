//! Each backend and each wrapper, alone, stacked and boxed: the public suite.

use std::num::NonZeroU32;
use std::sync::Arc;

use runner_host_fs::conformance::{self, Can};
use runner_host_fs::{
    Error, ErrorKind, File, Follow, LocalFs, MemoryFs, Mounts, Open, Overlay, Page, Quota, QuotaLimits, ReadOnly,
    Result, SetTimes, Stat, VPath, Vfs, async_trait,
};

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
    let mounts = |place: &VPath| {
        let mounts = Mounts::new().mount(VPath::root(), MemoryFs::default()).expect("a free place");
        let other = MemoryFs::default();
        if place.is_root() { Ok(mounts) } else { mounts.mount(place.clone(), other) }.expect("a free place")
    };
    for place in ["/", "/mnt", "/mnt/deep"] {
        let place = VPath::new(place).expect("a path");
        check(Within(mounts(&place), place)).await;
    }
}

/// What lies below a place, by itself.
struct Within(Mounts, VPath);

impl Within {
    fn at(&self, path: &VPath) -> Result<VPath> {
        path.below(&self.1)
    }
}

#[async_trait]
impl Vfs for Within {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        self.0.open(&self.at(path)?, how).await
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        self.0.stat(&self.at(path)?, follow).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        self.0.list(&self.at(path)?, after, limit).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        self.0.create_dir(&self.at(path)?).await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        self.0.remove_file(&self.at(path)?).await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        self.0.remove_dir(&self.at(path)?).await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        self.0.rename(&self.at(from)?, &self.at(to)?).await
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        self.0.link(&self.at(from)?, follow, &self.at(to)?).await
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        self.0.symlink(target, &self.at(path)?).await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.0.readlink(&self.at(path)?).await
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        self.0.set_times(&self.at(path)?, follow, times).await
    }
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

/// A tree of somebody else's, in which a file has one name.
pub(crate) struct OneName(pub(crate) MemoryFs);

#[async_trait]
impl Vfs for OneName {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        self.0.open(path, how).await
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        self.0.stat(path, follow).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        self.0.list(path, after, limit).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        self.0.create_dir(path).await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        self.0.remove_file(path).await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        self.0.remove_dir(path).await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        self.0.rename(from, to).await
    }

    async fn link(&self, _from: &VPath, _follow: Follow, to: &VPath) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, format!("`{to}` would be a second name")))
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        self.0.symlink(target, path).await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.0.readlink(path).await
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        self.0.set_times(path, follow, times).await
    }
}

#[tokio::test]
async fn a_tree_without_hard_links_says_so_and_is_one() {
    let files = Overlay::new(OneName(MemoryFs::default()), MemoryFs::default());
    conformance::all(Arc::new(files), Can { hard_links: false }).await;
}

#[tokio::test]
#[should_panic(expected = "Unsupported")]
async fn a_tree_that_cannot_do_what_it_says_does_not_pass() {
    check(OneName(MemoryFs::default())).await;
}
