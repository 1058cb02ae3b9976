//! A folder as a test sees it: beside the guest, with nothing of its grant.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use runner_host_fs::{Clock, FILE_BYTES_MAX, Follow, Kind, LocalFs, MemoryFs, VPath, Vfs, VfsExt, Volume};
use serde::de::DeserializeOwned;

use crate::fault::{Fault, Faulty, Place};

/// What a volume over a directory keeps beside its files, at its root: nobody's to see.
const RESERVED: &str = ".runner";

/// A clock that is wound by hand, and by a nanosecond whenever it is read: of two changes of a file, one is later.
pub(crate) struct FileClock(AtomicU64);

impl FileClock {
    pub(crate) fn at_ms(ms: u64) -> Self {
        FileClock(AtomicU64::new(ms * 1_000_000))
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Clock for FileClock {
    fn now_ns(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// What guests see at one path, in memory or in a directory of this machine. Clones are the same folder.
///
/// Paths are the rest behind that path: what a guest calls `/data/orders/1` is `orders/1` here.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> runner_test::Result<()> {
/// # let wasm = runner_guests::get("sdk-files.wasm");
/// use runner_test::{Fault, FileErrorKind, Host, Operation, json};
///
/// let host = Host::builder().files("/data").build()?;
/// let program = host.load(wasm).await?;
///
/// let data = host.files("/data");
/// data.write("orders/1", "one");
/// data.fail(Fault::error(FileErrorKind::NoSpace).on([Operation::Write]).path("orders/2"));
/// program.call("write", json!(["/data/orders/2", "two"])).await?.assert_failed("fs-full");
/// data.assert_holds("orders/1", "one").assert_paths(["orders/1"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Folder {
    at: String,
    /// The tree itself, on a way that no fault lies on.
    files: Arc<dyn Vfs>,
    volume: Faulty<Arc<dyn Volume>>,
}

impl Folder {
    pub(crate) fn in_memory(at: String, files: MemoryFs) -> Self {
        Folder { at, files: Arc::new(files.clone()), volume: Faulty::new(Arc::new(files)) }
    }

    pub(crate) fn in_directory(at: String, files: LocalFs) -> Self {
        Folder { at, files: Arc::new(files.clone()), volume: Faulty::new(Arc::new(files)) }
    }

    /// What guests meet, faults included.
    pub(crate) fn volume(&self) -> Faulty<Arc<dyn Volume>> {
        self.volume.clone()
    }

    /// Puts a fault into this folder, for whoever mounts it. It meets guests, and never the test itself.
    ///
    /// What is met is what the host asks the tree for on a guest's behalf: [`Operation`](crate::Operation)s count as those.
    ///
    /// # Panics
    /// Where it could never happen here, such as one of a [`key`](Fault::key).
    #[track_caller]
    pub fn fail(&self, fault: Fault) {
        fault.check(Place::Files);
        self.volume.fail(fault);
    }

    /// Takes the faults of this folder away.
    pub fn mend(&self) {
        self.volume.mend();
    }

    /// How often faults have happened in this folder since they were put in.
    pub fn faults_happened(&self) -> u64 {
        self.volume.happened()
    }

    /// Writes a file, for a guest to find, in the place of what was there; and the directories that it lies in.
    ///
    /// # Panics
    /// Where the path is none, a file lies on the way, or the folder is full: in memory 64 MiB, 10,000 names.
    #[track_caller]
    pub fn write(&self, path: &str, bytes: impl Into<Bytes>) {
        let (path, bytes) = (parsed(path), bytes.into());
        self.at_once(async {
            self.files.create_dir_all(&path.parent().unwrap_or_else(VPath::root)).await?;
            self.files.write(&path, bytes).await
        });
    }

    /// Makes a directory, and those that it lies in.
    ///
    /// # Panics
    /// As [`Folder::write`].
    #[track_caller]
    pub fn create_dir(&self, path: &str) {
        self.at_once(self.files.create_dir_all(&parsed(path)));
    }

    /// Removes a file, or a directory with all that is in it, and says whether it was there.
    #[track_caller]
    pub fn remove(&self, path: &str) -> bool {
        let path = parsed(path);
        self.at_once(async {
            if !self.files.exists(&path).await? {
                return Ok(false);
            }
            match self.files.stat(&path, Follow::No).await?.kind {
                Kind::Directory => self.files.remove_dir_all(&path).await?,
                _ => self.files.remove_file(&path).await?,
            }
            Ok(true)
        })
    }

    /// What is in a file; `None` where nothing is there.
    ///
    /// # Panics
    /// Where it is a directory.
    #[track_caller]
    pub fn read(&self, path: &str) -> Option<Bytes> {
        let path = parsed(path);
        self.at_once(async {
            match self.files.exists(&path).await? {
                true => self.files.read(&path, FILE_BYTES_MAX).await.map(Some),
                false => Ok(None),
            }
        })
    }

    /// What is in a file, read from JSON.
    ///
    /// # Panics
    /// Where it is absent, or no JSON of that type.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self, path: &str) -> T {
        match self.read(path) {
            Some(bytes) => crate::server::read(&format!("file `{path}`"), &bytes),
            None => panic!("file `{path}` is absent\n  {}", self.shown()),
        }
    }

    /// All files, and directories that are empty, which end with `/`; in the order of their paths.
    #[track_caller]
    pub fn paths(&self) -> Vec<String> {
        self.at_once(async {
            let (mut paths, mut walk) = (Vec::<String>::new(), self.files.walk(&VPath::root()));
            while let Some((path, kind)) = walk.next().await? {
                if path.names().next() == Some(RESERVED) {
                    continue;
                }
                let path = path.as_relative();
                // A directory that has something in it is told by that.
                if paths.last().is_some_and(|last| last.ends_with('/') && path.starts_with(last.as_str())) {
                    paths.pop();
                }
                paths.push(if kind == Kind::Directory { format!("{path}/") } else { path.to_owned() });
            }
            Ok(paths)
        })
    }

    /// Holds what is in a file against what was expected.
    ///
    /// # Panics
    /// Where it is absent, or another: with both, and the files that there are.
    #[track_caller]
    pub fn assert_holds(&self, path: &str, expected: impl AsRef<[u8]>) -> &Self {
        let (found, expected) = (self.read(path), expected.as_ref());
        if found.as_deref() != Some(expected) {
            let found = found.map_or_else(|| "nothing, it is absent".to_owned(), |found| crate::keys::text(&found));
            let expected = crate::keys::text(expected);
            panic!("file `{path}`\n  expected: {expected}\n  found:    {found}\n  {}", self.shown());
        }
        self
    }

    /// Holds all [`paths`](Folder::paths) against what was expected.
    ///
    /// # Panics
    /// Where they are others.
    #[track_caller]
    pub fn assert_paths<'a>(&self, expected: impl IntoIterator<Item = &'a str>) -> &Self {
        let (expected, found): (Vec<_>, _) = (expected.into_iter().collect(), self.paths());
        assert!(found == expected, "the files of `{}`\n  expected: {expected:?}\n  found:    {found:?}", self.at);
        self
    }

    fn shown(&self) -> String {
        format!("`{}` holds: {:?}", self.at, self.paths())
    }

    /// Asks the tree from a thread of its own: the test's may be the one that its runtime has.
    #[track_caller]
    fn at_once<T: Send>(&self, asked: impl Future<Output = runner_host_fs::Result<T>> + Send) -> T {
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime starts").block_on(asked)
            });
            asking.join().expect("a tree does not panic")
        });
        answer.unwrap_or_else(|error| panic!("`{}`: {error}", self.at))
    }
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder").field("at", &self.at).field("paths", &self.paths()).finish()
    }
}

#[track_caller]
pub(crate) fn parsed(path: &str) -> VPath {
    VPath::root().join(path).unwrap_or_else(|error| panic!("path `{}`: {error}", path.escape_debug()))
}
