//! What every test with a guest needs: a volume, an executor that lends it, steps for the guest and what came of each.

#[cfg(feature = "s3")]
pub(crate) mod bucket; // how a bucket is reached
mod stock; // the same guests on wasmtime's own filesystem

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use runner_core::{Ending, Executor, Grants, Limits, Outcome, Program};
use runner_host_fs::{
    Changes, Error, ErrorKind, Follow, HostFs, MemoryFs, Mode, Overlay, Quota, QuotaLimits, ReadOnly, Result, Session,
    VPath, Vfs, VfsExt, View, Volume, async_trait,
};
use serde_json::{Value, json};

pub(crate) use self::stock::Stock;

/// A table as `json!` writes it, row by row: all of it in one function takes the optimiser minutes.
macro_rules! rows {
    ([ $( [ $($row:tt)* ] ),* $(,)? ]) => {{
        let mut rows = Vec::new();
        $( $crate::support::add(&mut rows, || serde_json::json!([ $($row)* ])); )*
        serde_json::Value::Array(rows)
    }};
}
pub(crate) use rows;

#[inline(never)]
pub(crate) fn add(rows: &mut Vec<Value>, row: impl FnOnce() -> Value) {
    rows.push(row());
}

/// The guest that uses `std::fs`.
pub(crate) const STD: &str = "files-p2";
/// The guest that uses `wasi:filesystem` function by function.
pub(crate) const RAW: &str = "descriptors";

pub(crate) fn at(path: &str) -> VPath {
    VPath::new(path).expect("a path")
}

/// What came of something, or of which kind its error is.
pub(crate) fn kind<T>(result: Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|error| error.kind())
}

/// A tree that is replaced by what a call made of it, where nobody else replaced it in the meantime. Views of all of it only.
#[derive(Clone)]
pub(crate) struct Tree(Arc<Mutex<Published>>);

struct Published {
    tree: Arc<dyn Vfs>,
    version: u64,
    overtaken: bool,
    /// How sessions ended, in their order.
    ends: Vec<&'static str>,
}

impl Tree {
    pub(crate) fn new(tree: impl Vfs) -> Self {
        Tree(Arc::new(Mutex::new(Published { tree: Arc::new(tree), version: 0, overtaken: false, ends: Vec::new() })))
    }

    pub(crate) fn memory() -> Self {
        Self::new(MemoryFs::default())
    }

    /// What everybody sees now.
    pub(crate) fn published(&self) -> Arc<dyn Vfs> {
        Arc::clone(&self.0.lock().expect("no test panicked").tree)
    }

    pub(crate) async fn text(&self, path: &str) -> Option<String> {
        let path = at(path);
        let bytes = self.published().read(&path, 1 << 20).await;
        bytes.ok().map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
    }

    pub(crate) async fn put(&self, path: &str, text: &str) {
        let path = at(path);
        let tree = self.published();
        if let Some(above) = path.parent() {
            tree.create_dir_all(&above).await.expect("there is room");
        }
        tree.write(&path, text.to_owned().into()).await.expect("there is room");
    }

    /// Somebody else publishes something as soon as the next view is open.
    pub(crate) fn overtake(&self) {
        self.0.lock().expect("no test panicked").overtaken = true;
    }

    pub(crate) fn ends(&self) -> Vec<&'static str> {
        self.0.lock().expect("no test panicked").ends.clone()
    }
}

#[async_trait]
impl Volume for Tree {
    fn check(&self, view: &View) -> Result<()> {
        match view.prefix.is_root() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Invalid, format!("prefix `{}` is not served", view.prefix))),
        }
    }

    fn open(&self, view: &View) -> Result<Arc<dyn Session>> {
        let mut published = self.0.lock().expect("no test panicked");
        let version = published.version;
        published.version += u64::from(std::mem::take(&mut published.overtaken));
        let below = Arc::clone(&published.tree);
        let files: Arc<dyn Vfs> = match view.mode {
            Mode::ReadOnly => Arc::new(ReadOnly::new(below)),
            Mode::OnSync => below,
            Mode::OnSuccess => Arc::new(Overlay::new(MemoryFs::default(), below)),
        };
        let limits = QuotaLimits {
            bytes: view.bytes.unwrap_or(u64::MAX),
            files: view.files.unwrap_or(u64::MAX),
            file_bytes: view.file_bytes.unwrap_or(u64::MAX),
        };
        let files = match limits == (QuotaLimits { bytes: u64::MAX, files: u64::MAX, file_bytes: u64::MAX }) {
            true => files,
            false => Arc::new(Quota::new(files, limits)),
        };
        Ok(Arc::new(Draft { published: self.clone(), version, mode: view.mode, files }))
    }
}

struct Draft {
    published: Tree,
    version: u64,
    mode: Mode,
    files: Arc<dyn Vfs>,
}

#[async_trait]
impl Session for Draft {
    fn files(&self) -> Arc<dyn Vfs> {
        Arc::clone(&self.files)
    }

    async fn commit(&self) -> Result<()> {
        let mut published = self.published.0.lock().expect("no test panicked");
        if published.version != self.version && self.mode != Mode::ReadOnly {
            published.ends.push("conflict");
            return Err(Error::new(ErrorKind::Conflict, "somebody else changed `/`"));
        }
        if self.mode == Mode::OnSuccess {
            published.tree = Arc::clone(&self.files);
            published.version += 1;
        }
        published.ends.push("commit");
        Ok(())
    }

    async fn discard(&self) -> Result<()> {
        self.published.0.lock().expect("no test panicked").ends.push("discard");
        Ok(())
    }

    fn changes(&self) -> Changes {
        Changes::default()
    }

    fn usage(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::new()
    }
}

/// An executor that lends volume `tree`.
pub(crate) fn executor(tree: impl Volume) -> Executor {
    Executor::builder().capability(HostFs::new().volume("tree", tree)).build().expect("it starts")
}

/// Mounts, as a grant writes them.
pub(crate) fn granted(mounts: Value) -> Grants {
    Grants::none().grant("fs", json!({ "mounts": mounts }))
}

/// A guest with a tree at `/data`.
pub(crate) struct Lent {
    /// It is there as long as its program is.
    pub(crate) executor: Executor,
    pub(crate) program: Program,
}

impl Lent {
    pub(crate) async fn new(guest: &str, tree: &Tree, mounts: Value) -> Self {
        Self::of(guest, executor(tree.clone()), mounts).await
    }

    pub(crate) async fn of(guest: &str, executor: Executor, mounts: Value) -> Self {
        let program = executor.load(runner_guests::get(guest), &granted(mounts)).await.expect("the guest loads");
        Lent { executor, program }
    }

    /// With all of a tree at `/data`.
    pub(crate) async fn at_data(guest: &str, tree: &Tree) -> Self {
        Self::new(guest, tree, json!({ "/data": {} })).await
    }

    pub(crate) async fn run(&self, steps: &Value, limits: Limits) -> runner_core::Result<Outcome> {
        self.program.command().arg("guest").stdin(steps.to_string()).limits(limits).run().await
    }

    pub(crate) async fn outcome(&self, steps: &Value) -> Outcome {
        self.run(steps, Limits::default()).await.expect("the host does its part")
    }

    /// What came of each step of a guest that comes to its end.
    pub(crate) async fn came(&self, steps: &Value) -> Vec<Value> {
        let outcome = self.outcome(steps).await;
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert!(matches!(outcome.ending, Ending::Returned(_)), "{:?}\n{said}", outcome.ending);
        lines(&outcome)
    }
}

/// What a guest printed, by line.
pub(crate) fn lines(outcome: &Outcome) -> Vec<Value> {
    lines_of(&outcome.stdout)
}

fn lines_of(printed: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(printed).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Steps with what is expected of each, apart.
pub(crate) fn table(rows: Value) -> (Value, Vec<Value>) {
    let rows: Vec<(Value, Value)> = serde_json::from_value(rows).expect("rows of a step and what comes of it");
    let (steps, expected): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    (Value::Array(steps), expected)
}

/// Lets a guest do the steps of a table, and compares.
pub(crate) async fn check_in(lent: &Lent, rows: Value) {
    let (steps, expected) = table(rows);
    let came = lent.came(&steps).await;
    let steps = steps.as_array().expect("steps");
    for ((step, came), expected) in steps.iter().zip(&came).zip(&expected) {
        assert_eq!(came, expected, "{step}");
    }
    assert_eq!(came.len(), expected.len(), "every step was done");
}

/// The same on a tree of its own, at `/data`.
pub(crate) async fn check(guest: &str, rows: Value) {
    check_in(&Lent::at_data(guest, &Tree::memory()).await, rows).await;
}

/// What something is in a tree; `None` where it is not there.
pub(crate) async fn stat(tree: &Tree, path: &str) -> Option<runner_host_fs::Stat> {
    tree.published().stat(&at(path), Follow::No).await.ok()
}
