//! Programs that others wrote, unmodified, as core modules: CPython with SQLite, uutils' coreutils, and C over wasi-libc. Each does
//! the same over memory, a directory and a bucket, and finds the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use runner_core::{Ending, Executor, Limits, Outcome, Program};
use runner_host_fs::{HostFs, LocalFs, MemoryFs, Mode, VPath, VfsExt, VfsVolume, View, Volume};
use runner_s3::Server;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::s3::{connect, settings};
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
struct Volumes {
    executor: Executor,
    volumes: BTreeMap<&'static str, Box<dyn Volume>>,
    _server: Server,
    _folder: TempDir,
}

const KINDS: [&str; 3] = ["memory", "directory", "bucket"];

impl Volumes {
    async fn new() -> Self {
        let (server, folder) = (Server::start(), tempfile::tempdir().expect("a folder"));
        let memory = VfsVolume::new(MemoryFs::default());
        let directory = LocalFs::open(folder.path()).expect("it is there");
        let bucket = connect(settings(&server.endpoint())).await;
        let fs = HostFs::new()
            .volume("memory", memory.clone())
            .volume("directory", directory.clone())
            .volume("bucket", bucket.clone());
        let executor = Executor::builder().capability(fs).build().expect("it starts");
        let mut volumes: BTreeMap<&'static str, Box<dyn Volume>> = BTreeMap::new();
        volumes.insert("memory", Box::new(memory));
        volumes.insert("directory", Box::new(directory));
        volumes.insert("bucket", Box::new(bucket));
        Volumes { executor, volumes, _server: server, _folder: folder }
    }

    /// A program with a volume at `/data`.
    async fn lend(&self, wasm: &[u8], kind: &str, mode: &str) -> Program {
        let mounts = json!({ "/data": { "volume": kind, "mode": mode } });
        self.executor.load(wasm, &granted(mounts)).await.expect("it loads")
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

fn limits() -> Limits {
    Limits {
        deadline: Duration::from_secs(300),
        memory_bytes: 1 << 30,
        host_bytes: 8 << 30,
        host_calls: u64::MAX,
        output_bytes: 8 << 20,
        ..Limits::default()
    }
}

async fn run(program: &Program, args: &[&str]) -> Outcome {
    let mut command = program.command();
    for arg in args {
        command = command.arg(*arg);
    }
    command.limits(limits()).run().await.unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

/// What a program said that came to its end.
async fn said(program: &Program, args: &[&str]) -> String {
    let outcome = run(program, args).await;
    let complaint = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert!(matches!(outcome.ending, Ending::Returned(_)), "{args:?}: {:?}\n{complaint}", outcome.ending);
    String::from_utf8(outcome.stdout.to_vec()).expect("text")
}

const FILES: &str = include_str!("programs/files.py");
const DATABASE: &str = include_str!("programs/database.py");

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
        let found: Value = serde_json::from_str(&said(&program, &["python", "-c", FILES, "/data"]).await).expect("JSON");
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
        let left = match mode {
            // Of a call that failed, nothing is there; what was synced is, and SQLite finds the way back.
            "on-success" => "['shop.sqlite']\n",
            _ => "['shop.sqlite', 'shop.sqlite-journal']\n",
        };
        assert_eq!(said(&program, &["python", "-c", list]).await, left, "{kind}, {mode}");
        assert_eq!(asked("check").await, expected, "{kind}, {mode}");
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
        let program = volumes.lend(&coreutils, kind, "on-success").await;
        let said = async |args: &str| {
            let args: Vec<&str> = args.split(' ').collect();
            said(&program, &args).await
        };
        assert_eq!(said("ls /data/tree").await, (0..10).map(|d| format!("d{d}\n")).collect::<String>(), "{kind}");
        let long = said("ls -l /data/tree/d3").await;
        let lines: Vec<Vec<&str>> = long.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 100, "{kind}: {long}");
        for (line, number) in lines.iter().zip((3..1_000).step_by(10)) {
            let (size, name) = (text(number).len().to_string(), format!("f{number:03}"));
            assert!(line.contains(&size.as_str()) && line.last() == Some(&name.as_str()), "{kind}: {line:?}");
        }
        said("cp -r /data/tree /data/copy").await;
        said("mv /data/copy/d3 /data/copy/moved").await;
        said("mv -f /data/copy/d4/f004 /data/copy/moved/f003").await;
        assert_eq!(said("cat /data/copy/moved/f003").await, text(4), "{kind}");
        assert_eq!(said("cat /data/tree/d3/f003").await, text(3), "{kind}");
        let counted = said("wc -l /data/tree/d7/f007 /data/tree/d7/f017").await;
        let counts: Vec<_> = counted.lines().map(|line| line.split_whitespace().next()).collect();
        assert_eq!(counts, [Some("2"), Some("2"), Some("4")], "{kind}: {counted}");
        let mut sorted: Vec<String> = text(5).lines().chain(text(15).lines()).map(str::to_owned).collect();
        sorted.sort_by_key(|line| line.parse::<u32>().expect("a number"));
        let by_number = said("sort -n /data/tree/d5/f005 /data/tree/d5/f015").await;
        assert_eq!(by_number.lines().collect::<Vec<_>>(), sorted, "{kind}");
        let sha256: String = Sha256::digest(text(42)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            said("sha256sum /data/copy/d2/f042").await,
            format!("{sha256}  /data/copy/d2/f042\n"),
            "{kind}"
        );
        said("rm -r /data/copy").await;
        assert_eq!(said("ls /data").await, "tree\n", "{kind}");
        said("rm -r /data/tree").await;
        assert_eq!(said("ls -a /data").await.lines().filter(|name| !name.starts_with('.')).count(), 0, "{kind}");
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
