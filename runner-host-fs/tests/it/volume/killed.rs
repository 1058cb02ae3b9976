//! A host that is killed in the middle of a commit: what a process killed at each of its operations leaves is all or nothing.

use std::num::NonZeroU32;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use runner_host_fs::{
    File, Flush, Follow, LocalFs, Open, Page, Result, SetTimes, Stat, VPath, Vfs, VfsExt, VfsVolume, View, Volume,
    async_trait,
};

use super::at;

/// Where the child works; without it, nobody is killed.
const FOLDER: &str = "RUNNER_FS_KILL_FOLDER";
/// After how many operations of its commit it is killed; without it, it is killed from outside.
const AFTER: &str = "RUNNER_FS_KILL_AFTER";

/// A tree whose process dies with one of its operations.
struct Deadly {
    vfs: LocalFs,
    left: Arc<AtomicI64>,
}

impl Deadly {
    /// Kills before the operation is done.
    fn tick(&self) -> &LocalFs {
        tick(&self.left);
        &self.vfs
    }
}

fn tick(left: &AtomicI64) {
    if left.fetch_sub(1, Ordering::SeqCst) == 1 {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

#[async_trait]
impl Vfs for Deadly {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        let file = Vfs::open(self.tick(), path, how).await?;
        Ok(Arc::new(DeadlyFile { file, left: self.left.clone() }))
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        self.tick().stat(path, follow).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        self.tick().list(path, after, limit).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        self.tick().create_dir(path).await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        self.tick().remove_file(path).await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        self.tick().remove_dir(path).await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        self.tick().rename(from, to).await
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        self.tick().link(from, follow, to).await
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        self.tick().symlink(target, path).await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.tick().readlink(path).await
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        self.tick().set_times(path, follow, times).await
    }
}

struct DeadlyFile {
    file: Arc<dyn File>,
    left: Arc<AtomicI64>,
}

#[async_trait]
impl File for DeadlyFile {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        self.file.read_at(offset, bytes_max).await
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()> {
        tick(&self.left);
        // In two parts, of which the second may never come.
        let rest = bytes.slice(bytes.len() / 2..);
        let half = bytes.slice(..bytes.len() / 2);
        let middle = offset + half.len() as u64;
        self.file.write_at(offset, half).await?;
        tick(&self.left);
        self.file.write_at(middle, rest).await
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        tick(&self.left);
        self.file.append(bytes).await
    }

    async fn set_len(&self, bytes: u64) -> Result<()> {
        tick(&self.left);
        self.file.set_len(bytes).await
    }

    async fn sync(&self, what: Flush) -> Result<()> {
        tick(&self.left);
        self.file.sync(what).await
    }

    async fn stat(&self) -> Result<Stat> {
        self.file.stat().await
    }

    async fn set_times(&self, times: SetTimes) -> Result<()> {
        tick(&self.left);
        self.file.set_times(times).await
    }
}

/// What is there before the commit.
pub(super) async fn before(files: &impl Vfs) {
    for path in ["replaced", "removed", "moved/deep", "this", "that"] {
        files.create_dir_all(&at(path)).await.expect("they are made");
    }
    for number in 0..10 {
        for directory in ["replaced", "removed", "moved/deep"] {
            files.write(&at(&format!("{directory}/{number}")), format!("old {number}").into()).await.expect("written");
        }
    }
    for path in ["this/x", "that/y", "log", "log.1", "place"] {
        files.write(&at(path), format!("old {path}").into()).await.expect("it is written");
    }
}

/// What the call does: 50 files made, replaced, moved and removed, and what is dear to put in order.
pub(super) async fn work(files: &dyn Vfs) {
    for number in 0..10 {
        files.write(&at(&format!("replaced/{number}")), format!("new {number}").into()).await.expect("it is written");
        files.remove_file(&at(&format!("removed/{number}"))).await.expect("it is removed");
    }
    files.remove_dir(&at("removed")).await.expect("it is removed");
    files.create_dir(&at("made")).await.expect("it is made");
    for number in 0..20 {
        files.write(&at(&format!("made/{number}")), format!("new {number}").into()).await.expect("it is written");
    }
    files.rename(&at("moved"), &at("elsewhere")).await.expect("it is renamed");
    for number in 0..5 {
        files.write(&at(&format!("elsewhere/deep/{number}")), "new".into()).await.expect("it is written");
    }
    for (from, to) in [("this", "aside"), ("that", "this"), ("aside", "that"), ("log.1", "log.2"), ("log", "log.1")] {
        files.rename(&at(from), &at(to)).await.expect("it is renamed");
    }
    files.write(&at("log"), "new log".into()).await.expect("it is written");
    files.remove_file(&at("place")).await.expect("it is removed");
    files.create_dir(&at("place")).await.expect("it is made");
    files.write(&at("place/inside"), "new".into()).await.expect("it is written");
    files.symlink("made/0", &at("link")).await.expect("it is made");
    files.link(&at("made/1"), Follow::Yes, &at("second")).await.expect("it is made");
}

/// All that is below a root but the volume's own, as a text.
pub(super) async fn all(files: &dyn Vfs) -> String {
    let mut found = String::new();
    let mut tree = files.walk(&VPath::root());
    while let Some((path, kind)) = tree.next().await.expect("it is walked") {
        let bytes = match kind {
            runner_host_fs::Kind::File => files.read(&path, 1 << 20).await.expect("it is read"),
            runner_host_fs::Kind::Symlink => files.readlink(&path).await.expect("it is read").into(),
            _ => Bytes::new(),
        };
        found.push_str(&format!("{path} {kind:?} {}\n", String::from_utf8_lossy(&bytes)));
    }
    found
}

/// Whether a volume in a folder shows what was there before, or what was committed: anything else is a mix.
pub(super) async fn whole(volume: &dyn Volume, old: &str, new: &str) -> bool {
    let call = volume.open(&View { mode: runner_host_fs::Mode::ReadOnly, ..View::all() }).expect("it opens");
    let found = all(&*call.files()).await;
    assert!(found == old || found == new, "a mix:\n{found}\nbefore:\n{old}\nafter:\n{new}");
    found == new
}

/// Starts the child, which is the test below.
fn child(folder: &Path, after: Option<u32>) -> std::process::Child {
    start(Command::new(std::env::current_exe().expect("this program")), folder, after)
}

fn start(mut command: Command, folder: &Path, after: Option<u32>) -> std::process::Child {
    command.args(["volume::killed::a_commit_that_nobody_kills_is_whole", "--exact", "--test-threads=1"]);
    command.env(FOLDER, folder).stdout(Stdio::null()).stderr(Stdio::piped());
    if let Some(after) = after {
        command.env(AFTER, after.to_string());
    }
    command.spawn().expect("it starts")
}

#[tokio::test]
async fn a_commit_that_nobody_kills_is_whole() {
    let own = tempfile::tempdir().expect("a folder");
    let folder = std::env::var_os(FOLDER).map_or_else(|| own.path().to_owned(), Into::into);
    let files = LocalFs::open(&folder).expect("it opens");
    if std::env::var_os(FOLDER).is_none() {
        before(&files).await;
    }
    let left = Arc::new(AtomicI64::new(i64::MAX));
    let deadly = std::env::var(AFTER).ok();
    let volume: Arc<dyn Volume> = match &deadly {
        Some(_) => Arc::new(VfsVolume::new(Deadly { vfs: files, left: left.clone() })),
        None => Arc::new(files),
    };
    let call = volume.open(&View::all()).expect("it opens");
    work(&*call.files()).await;
    let drafted = all(&*call.files()).await;
    if let Some(after) = deadly {
        left.store(after.parse().expect("a number"), Ordering::SeqCst);
    }
    call.commit().await.expect("it is committed");
    left.store(i64::MAX, Ordering::SeqCst);
    let call = volume.open(&View { mode: runner_host_fs::Mode::ReadOnly, ..View::all() }).expect("it opens");
    assert_eq!(all(&*call.files()).await, drafted);
}

/// What is there before and after.
pub(super) async fn outcomes() -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = LocalFs::open(folder.path()).expect("it opens");
    before(&files).await;
    let old = all(&files).await;
    let call = Volume::open(&files, &View::all()).expect("it opens");
    work(&*call.files()).await;
    (old, all(&*call.files()).await)
}

#[tokio::test]
async fn a_host_that_is_killed_at_any_step_of_a_commit_leaves_all_or_nothing() {
    let (old, new) = outcomes().await;
    assert_ne!(old, new);
    let (mut none, mut some) = (0, 0);
    for after in 1..2_000 {
        let folder = tempfile::tempdir().expect("a folder");
        let files = LocalFs::open(folder.path()).expect("it opens");
        before(&files).await;
        let done = child(folder.path(), Some(after)).wait_with_output().expect("it ends");
        let ended = done.status.success();
        let killed = done.status.signal() == Some(9);
        assert!(ended || killed, "step {after}: {}: {}", done.status, String::from_utf8_lossy(&done.stderr));
        let volume = VfsVolume::new(LocalFs::open(folder.path()).expect("it opens"));
        match whole(&volume, &old, &new).await {
            true => some += 1,
            false => none += 1,
        }
        let left = files.list_all(&at(".runner")).await.expect("a listing");
        assert_eq!(left, [], "step {after}: nothing is left over");
        if ended {
            println!("{none} times nothing, {some} times all, of {after} steps");
            assert!(none > 20 && some > 20, "it was killed before and after the record was there: {none}, {some}");
            return;
        }
    }
    panic!("a commit of 50 files has no 2,000 steps");
}

#[tokio::test]
async fn a_host_that_is_killed_from_outside_leaves_all_or_nothing() {
    let (old, new) = outcomes().await;
    let mut killed = 0;
    for round in 0..40_u64 {
        let folder = tempfile::tempdir().expect("a folder");
        let files = LocalFs::open(folder.path()).expect("it opens");
        before(&files).await;
        let mut child = child(folder.path(), None);
        // Not asleep: until so many of the files are there, or it has ended.
        let wanted = folder.path().join(format!("made/{}", round % 20));
        let stage = folder.path().join(".runner/commit");
        while child.try_wait().expect("it is asked").is_none() {
            if (round < 20 && wanted.exists()) || (round >= 20 && stage.exists()) {
                break;
            }
            std::hint::spin_loop();
        }
        child.kill().expect("it is killed, or has ended");
        let status = child.wait().expect("it ends");
        killed += u32::from(status.signal() == Some(9));
        whole(&LocalFs::open(folder.path()).expect("it opens"), &old, &new).await;
        assert!(!stage.exists(), "round {round}");
    }
    assert!(killed > 0, "some were killed in the middle");
    // `RUNNER_FS_STRACE=1`, where strace is there to do it.
    if std::env::var_os("RUNNER_FS_STRACE").is_some() {
        at_each_system_call(&old, &new).await;
    }
}

/// The same at each of the system calls that change a directory.
async fn at_each_system_call(old: &str, new: &str) {
    let (mut none, mut some) = (0, 0);
    for call in ["mkdirat", "renameat", "linkat", "symlinkat", "unlinkat", "utimensat", "pwrite64", "flock"] {
        for time in 1..1_000 {
            let folder = tempfile::tempdir().expect("a folder");
            let files = LocalFs::open(folder.path()).expect("it opens");
            before(&files).await;
            let mut command = Command::new("strace");
            command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
            command.arg(format!("inject={call}:signal=KILL:when={time}"));
            command.arg(std::env::current_exe().expect("this program"));
            let done = start(command, folder.path(), None).wait_with_output().expect("it ends");
            let ended = done.status.success();
            assert!(
                ended || done.status.signal() == Some(9) || done.status.code() == Some(128 + 9),
                "{call} {time}: {}: {}",
                done.status,
                String::from_utf8_lossy(&done.stderr)
            );
            match whole(&LocalFs::open(folder.path()).expect("it opens"), old, new).await {
                true => some += 1,
                false => none += 1,
            }
            if ended {
                break;
            }
        }
    }
    println!("{none} times nothing, {some} times all");
    assert!(none > 0 && some > 0, "{none}, {some}");
}
