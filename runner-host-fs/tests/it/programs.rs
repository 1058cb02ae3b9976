//! Programs that others wrote, unmodified, as core modules: CPython with SQLite, uutils' coreutils, and C over wasi-libc. Each does
//! the same over memory, a directory and a bucket, and finds the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runner_core::{Bounds, Ending, ErrorKind, Executor, Grants, Limits, LocalStore, Outcome, Program};
use runner_host_fs::{HostFs, LocalFs, MemoryFs, Mode, VPath, VfsExt, View, Volume};
use runner_s3::Server;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::support::bucket::{connect_wound as connect, settings};
use crate::support::granted;

/// A program, where `scripts/test.sh` puts it: a test that needs it must not pass without.
fn program(name: &str) -> Vec<u8> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).unwrap_or_default();
    let folder = std::env::var_os("RUNNER_PROGRAMS").map_or_else(|| cache.join("runner/programs"), PathBuf::from);
    let path = folder.join(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("`{}`: {error}; `scripts/test.sh --only fmt` puts it there", path.display());
    })
}

/// One executor with a volume of each kind, and what is behind them.
pub(crate) struct Volumes {
    executor: Executor,
    pub(crate) volumes: BTreeMap<&'static str, Box<dyn Volume>>,
    _server: Server,
    _folder: TempDir,
}

pub(crate) const KINDS: [&str; 3] = ["memory", "directory", "bucket"];

impl Volumes {
    pub(crate) async fn new() -> Self {
        let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
        let memory = MemoryFs::default();
        let directory = LocalFs::open(folder.path()).expect("it is there");
        let bucket = connect(settings(&server.endpoint())).await;
        let fs = HostFs::new()
            .volume("memory", memory.clone())
            .volume("directory", directory.clone())
            .volume("bucket", bucket.clone());
        let executor = executor(fs);
        let mut volumes: BTreeMap<&'static str, Box<dyn Volume>> = BTreeMap::new();
        volumes.insert("memory", Box::new(memory));
        volumes.insert("directory", Box::new(directory));
        volumes.insert("bucket", Box::new(bucket));
        Volumes { executor, volumes, _server: server, _folder: folder }
    }

    /// A program with a volume at `/data`.
    async fn lend(&self, wasm: &[u8], kind: &str, mode: &str) -> Program {
        self.lend_all(wasm, json!({ "/data": { "volume": kind, "mode": mode } })).await
    }

    pub(crate) async fn lend_all(&self, wasm: &[u8], mounts: Value) -> Program {
        load(&self.executor, wasm, &granted(mounts)).await
    }

    /// Puts files there, as a call does.
    async fn put(&self, kind: &str, files: &[(String, String)]) {
        let session = self.volumes[kind].open(&View { mode: Mode::OnSuccess, ..View::all() }).expect("a view");
        let tree = session.files();
        for (path, text) in files {
            let path = VPath::new(path).expect("a path");
            tree.create_dir_all(&path.parent().expect("it is below something")).await.expect("there is room");
            tree.write(&path, text.clone().into()).await.expect("there is room");
        }
        session.commit().await.expect("nobody else is there");
    }
}

/// CPython is large: the tests that need it compile it once, and those of the next run not at all.
fn executor(fs: HostFs) -> Executor {
    let bounds = Bounds {
        compile: Duration::from_secs(600),
        // A thousand files to a bucket, on a machine that does more than that.
        close_grace: Duration::from_secs(120),
        ..Bounds::default()
    };
    let builder = Executor::builder().bounds(bounds).capability(fs);
    // Where others may write to the folder, there is no store, and it takes longer.
    match LocalStore::open(concat!(env!("CARGO_TARGET_TMPDIR"), "/programs")) {
        Ok(store) => builder.local_store(store).build(),
        Err(_) => builder.build(),
    }
    .expect("it starts")
}

/// One compiles at a time, and the others find it done.
static COMPILER: Mutex<()> = Mutex::const_new(());

async fn load(executor: &Executor, wasm: &[u8], grants: &Grants) -> Program {
    let _one = COMPILER.lock().await;
    executor.load(wasm, grants).await.expect("it loads")
}

pub(crate) fn limits() -> Limits {
    Limits {
        deadline: Duration::from_secs(600),
        memory_bytes: 1 << 30,
        host_bytes: 8 << 30,
        host_calls: u64::MAX,
        ..Limits::default()
    }
}

async fn try_run(program: &Program, args: &[&str]) -> runner_core::Result<Outcome> {
    program.command().args(args.iter().copied()).limits(limits()).run().await
}

/// The arguments of a program, without those that are one.
fn shown(args: &[&str]) -> String {
    args.iter().filter(|arg| !arg.contains('\n')).copied().collect::<Vec<_>>().join(" ")
}

async fn run(program: &Program, args: &[&str]) -> Outcome {
    try_run(program, args).await.unwrap_or_else(|error| panic!("{}: {error}", shown(args)))
}

/// What a program complained of that ended by itself, and not well.
async fn complained(program: &Program, args: &[&str]) -> String {
    let outcome = run(program, args).await;
    assert!(matches!(outcome.ending, Ending::Failed(_)), "{}: {:?}", shown(args), outcome.ending);
    String::from_utf8(outcome.stderr.to_vec()).expect("text")
}

/// What a program said that came to its end.
async fn said(program: &Program, args: &[&str]) -> String {
    let outcome = run(program, args).await;
    let complaint = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert!(matches!(outcome.ending, Ending::Returned(_)), "{}: {:?}\n{complaint}", shown(args), outcome.ending);
    String::from_utf8(outcome.stdout.to_vec()).expect("text")
}

const FILES: &str = include_str!("programs/files.py");
const DATABASE: &str = include_str!("programs/database.py");
const REFUSED: &str = include_str!("programs/refused.py");

#[tokio::test(flavor = "multi_thread")]
async fn python_makes_replaces_changes_and_walks_files() {
    let (volumes, python) = (Volumes::new().await, program("python.wasm"));
    let data: Vec<u8> = {
        let mut data: Vec<u8> = (0..=255).collect::<Vec<u8>>().repeat(4096);
        data[500_000..500_013].copy_from_slice(b"in the middle");
        data.truncate(600_000);
        data
    };
    for kind in KINDS {
        let program = volumes.lend(&python, kind, "on-success").await;
        let found: Value =
            serde_json::from_str(&said(&program, &["python", "-c", FILES, "/data"]).await).expect("JSON");
        let sha256: String = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = json!({
            "lines": 1000, "replaced": "replaced\n", "end": [252, 253, 254, 255], "middle": "the middle", "tell": 500_013,
            "size": 600_000, "sha256": sha256, "holes": 1_000_000, "append": 8,
            "walk": ["a/data.bin", "a/notes.txt", "a/sparse", "copy/data.bin", "copy/notes.txt", "copy/sparse", "log"],
            "folders": ["moved"],
            "absent": "FileNotFoundError", "exists": "FileExistsError", "is a directory": "IsADirectoryError",
            "not a directory": "NotADirectoryError", "not empty": "OSError", "outside": "PermissionError",
        });
        assert_eq!(found, expected, "{kind}");
        // The next call finds what this one left, and nothing else.
        let list = "import os; print(sorted(os.listdir('/data')), os.path.getsize('/data/a/data.bin'))";
        assert_eq!(said(&program, &["python", "-c", list]).await, "['a', 'copy', 'log'] 600000\n", "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_python_s_outlives_a_crash_in_the_middle_of_a_transaction() {
    let (volumes, python) = (Volumes::new().await, program("python.wasm"));
    let rows = 100_000_u64;
    let expected = json!({
        "rows": rows,
        "cents": (0..rows).map(|id| id % 1000).sum::<u64>(),
        "by item": (0..rows).filter(|id| id % 977 == 7).count(),
        "integrity": "ok",
        "files": ["shop.sqlite"],
    });
    for (kind, mode) in KINDS.into_iter().flat_map(|kind| [(kind, "on-success"), (kind, "on-sync")]) {
        let program = volumes.lend(&python, kind, mode).await;
        let asked = async |what: &str| -> Value {
            serde_json::from_str(&said(&program, &["python", "-c", DATABASE, "/data", what]).await).expect("JSON")
        };
        assert_eq!(asked("make").await, expected, "{kind}, {mode}");
        let crashed = run(&program, &["python", "-c", DATABASE, "/data", "crash"]).await;
        assert!(matches!(crashed.ending, Ending::Trapped(_)), "{kind}, {mode}: {:?}", crashed.ending);
        assert_eq!(String::from_utf8_lossy(&crashed.stdout), "{\"journal\": true}\n", "{kind}, {mode}");
        let list = "import os; print(sorted(os.listdir('/data')))";
        // Of a call that failed, nothing is there. What was synced is, and so is the lock: whoever knows that nobody holds it looks
        // after the database, and SQLite finds the way back by its journal.
        let list = said(&program, &["python", "-c", list]).await;
        if mode == "on-success" {
            assert_eq!(list, "['shop.sqlite']\n", "{kind}");
        } else {
            assert_eq!(list, "['shop.sqlite', 'shop.sqlite-journal', 'shop.sqlite.lock']\n", "{kind}");
            let complaint = complained(&program, &["python", "-c", DATABASE, "/data", "check"]).await;
            assert!(complaint.contains("database is locked"), "{kind}: {complaint}");
            assert_eq!(asked("recover").await, expected, "{kind}");
        }
        assert_eq!(asked("check").await, expected, "{kind}, {mode}");
        said(&program, &["python", "-c", "import os; os.remove('/data/shop.sqlite')"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_calls_add_to_a_database_at_the_same_time_nothing_is_lost() {
    const CALLS: usize = 6;
    let (volumes, python) = (Volumes::new().await, program("python.wasm"));
    // At once, they wait for each other's lock, but in a bucket, where a call sees a folder as it first was. Else each has a draft,
    // and who comes later than another is told to run again.
    for (kind, mode) in
        KINDS.map(|kind| (kind, "on-success")).into_iter().chain([("memory", "on-sync"), ("directory", "on-sync")])
    {
        let program = volumes.lend(&python, kind, mode).await;
        let conflicts = AtomicUsize::new(0);
        let add = async || loop {
            match try_run(&program, &["python", "-c", DATABASE, "/data", "add"]).await {
                Ok(outcome) => {
                    let complaint = String::from_utf8_lossy(&outcome.stderr).into_owned();
                    assert!(matches!(outcome.ending, Ending::Returned(_)), "{kind}, {mode}: {complaint}");
                    break;
                }
                Err(error) => {
                    assert_eq!((error.kind(), mode), (ErrorKind::Conflict, "on-success"), "{kind}: {error}");
                    assert!(conflicts.fetch_add(1, Ordering::Relaxed) < 100, "{kind}: nobody comes to an end");
                }
            }
        };
        futures::future::join_all((0..CALLS).map(|_| add())).await;
        println!("{kind}, {mode}: {CALLS} calls, {} conflicts", conflicts.into_inner());
        let one_more = said(&program, &["python", "-c", DATABASE, "/data", "add"]).await;
        assert_eq!(one_more, format!("{}\n", CALLS + 1), "{kind}, {mode}");
        said(&program, &["python", "-c", "import os; os.remove('/data/shop.sqlite')"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn coreutils_list_copy_move_sort_count_sum_and_remove_a_thousand_files() {
    let (volumes, coreutils) = (Volumes::new().await, program("coreutils.wasm"));
    let text = |number: usize| format!("{}\n{number}\n", (number * 7919) % 1000);
    let files: Vec<_> =
        (0..1_000).map(|number| (format!("/tree/d{}/f{number:03}", number % 10), text(number))).collect();
    for kind in KINDS {
        volumes.put(kind, &files).await;
        // `cp -r` looks at each directory on the way from `/` on, and needs one to be there.
        let program = volumes.lend_all(&coreutils, json!({ "/": { "volume": kind } })).await;
        let said = async |args: &str| {
            let args: Vec<&str> = args.split(' ').collect();
            said(&program, &args).await
        };
        assert_eq!(said("ls /tree").await, (0..10).map(|d| format!("d{d}\n")).collect::<String>(), "{kind}");
        let long = said("ls -l /tree/d3").await;
        let lines: Vec<Vec<&str>> = long.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 100, "{kind}: {long}");
        for (line, number) in lines.iter().zip((3..1_000).step_by(10)) {
            let (size, name) = (text(number).len().to_string(), format!("f{number:03}"));
            assert!(line.contains(&size.as_str()) && line.last() == Some(&name.as_str()), "{kind}: {line:?}");
        }
        said("cp -r /tree /copy").await;
        said("mv /copy/d3 /copy/moved").await;
        said("mv -f /copy/d4/f004 /copy/moved/f003").await;
        assert_eq!(said("cat /copy/moved/f003").await, text(4), "{kind}");
        assert_eq!(said("cat /tree/d3/f003").await, text(3), "{kind}");
        let counted = said("wc -l /tree/d7/f007 /tree/d7/f017").await;
        let counts: Vec<_> = counted.lines().map(|line| line.split_whitespace().next()).collect();
        assert_eq!(counts, [Some("2"), Some("2"), Some("4")], "{kind}: {counted}");
        let mut sorted: Vec<String> = text(5).lines().chain(text(15).lines()).map(str::to_owned).collect();
        sorted.sort_by_key(|line| line.parse::<u32>().expect("a number"));
        let by_number = said("sort -n /tree/d5/f005 /tree/d5/f015").await;
        assert_eq!(by_number.lines().collect::<Vec<_>>(), sorted, "{kind}");
        let sha256: String = Sha256::digest(text(42)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(said("sha256sum /copy/d2/f042").await, format!("{sha256}  /copy/d2/f042\n"), "{kind}");
        said("rm -r /copy").await;
        assert_eq!(said("ls /").await, "tree\n", "{kind}");
        said("rm -r /tree").await;
        assert_eq!(said("ls -a /").await.lines().filter(|name| !name.starts_with('.')).count(), 0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_in_c_finds_what_stdio_promises() {
    let (volumes, stdio) = (Volumes::new().await, program("stdio.wasm"));
    let mut first = None;
    for kind in KINDS {
        let program = volumes.lend(&stdio, kind, "on-success").await;
        let came = said(&program, &["stdio", "/data"]).await;
        assert!(came.ends_with("readdir\n- big\n- d\n"), "{kind}: {came}");
        assert_eq!(*first.get_or_insert(came.clone()), came, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_in_c_is_told_by_fclose_what_did_not_find_room() {
    let (volumes, stdio) = (Volumes::new().await, program("stdio.wasm"));
    for kind in KINDS {
        volumes.put(kind, &[("/in/there".into(), "there".into())]).await;
        let mounts = json!({
            "/data": { "volume": kind, "prefix": "own", "bytes": 65_536 },
            "/in": { "volume": kind, "prefix": "in", "mode": "read-only" },
        });
        let program = volumes.lend_all(&stdio, mounts).await;
        let came = said(&program, &["stdio", "/data", "refused"]).await;
        assert!(came.ends_with("as much as there may be\none more byte\n"), "{kind}: {came}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_is_refused_what_it_was_not_granted_with_the_errno_that_it_knows() {
    let (volumes, python) = (Volumes::new().await, program("python.wasm"));
    for kind in KINDS {
        volumes.put(kind, &[("/in/there".into(), "there".into()), ("/secret/file".into(), "secret".into())]).await;
        let mounts = json!({
            "/data": { "volume": kind, "prefix": "own", "bytes": 1_000_000, "file_bytes": 600_000, "files": 6 },
            "/more": { "volume": kind, "prefix": "more" },
            "/in": { "volume": kind, "prefix": "in", "mode": "read-only" },
        });
        let program = volumes.lend_all(&python, mounts).await;
        let found: Value = serde_json::from_str(&said(&program, &["python", "-c", REFUSED]).await).expect("JSON");
        let expected = json!({
            "no mount, read": "ENOENT", "no mount, list": "ENOENT", "no mount, write": "ENOENT",
            "out of the mount": "EPERM", "a link out of the mount": "EPERM", "through a link out of the mount": "EPERM",
            "read only, read": "there", "read only, new": "EROFS", "read only, change": "EROFS",
            "read only, append": "EROFS", "read only, remove": "EROFS", "read only, rename": "EROFS",
            "read only, folder": "EROFS",
            "another mount, rename": "EXDEV", "another mount, move": [false, 1000],
            "a file that is too large": "EFBIG", "bytes that are too many": "EDQUOT", "as many as there may be": "done",
            "one more byte": "EDQUOT", "what is there": [500_000, 500_000, 0],
            "a name that is too many": "EDQUOT", "a folder that is too many": "EDQUOT",
            "a database, full": "disk I/O error", "a database, rows": [true, true], "a database, integrity": "ok",
        });
        assert_eq!(found, expected, "{kind}");
        let root = volumes.volumes[kind].open(&View { mode: Mode::ReadOnly, ..View::all() }).expect("a view").files();
        for (path, text) in [("/in/there", "there"), ("/secret/file", "secret")] {
            let bytes = root.read(&VPath::new(path).expect("a path"), 100).await.expect("it is there");
            assert_eq!(bytes, text, "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_grant_a_program_runs_and_finds_no_file() {
    let volumes = Volumes::new().await;
    volumes.put("memory", &[("/file".into(), "secret".into())]).await;
    for (name, args, complaint) in [
        ("python.wasm", &["python", "-c", "open('/data/file')"][..], "FileNotFoundError"),
        ("coreutils.wasm", &["cat", "/data/file"][..], "/data/file"),
        ("stdio.wasm", &["stdio", "/data"][..], "chdir"),
    ] {
        let wasm = program(name);
        let without = load(&volumes.executor, &wasm, &Grants::none()).await;
        let said = complained(&without, args).await;
        assert!(said.contains(complaint), "{name}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn coreutils_tell_what_a_mount_refuses() {
    let (volumes, coreutils) = (Volumes::new().await, program("coreutils.wasm"));
    for kind in KINDS {
        volumes.put(kind, &[("/in/there".into(), "there".into())]).await;
        let mounts = json!({
            "/data": { "volume": kind, "prefix": "own", "bytes": 4 },
            "/in": { "volume": kind, "prefix": "in", "mode": "read-only" },
        });
        let program = volumes.lend_all(&coreutils, mounts).await;
        for (args, complaint) in [
            ("cp /in/there /data/there", "quota"),
            ("rm /in/there", "Read-only"),
            ("touch /in/new", "Read-only"),
            ("mkdir /in/d", "Read-only"),
            ("cat /in/none", "No such file"),
            ("ls /in/../own", "denied"),
        ] {
            let complained = complained(&program, &args.split(' ').collect::<Vec<_>>()).await;
            assert!(complained.to_lowercase().contains(&complaint.to_lowercase()), "{kind}: {args}: {complained}");
        }
        assert_eq!(said(&program, &["cat", "/in/there"]).await, "there", "{kind}");
    }
}
