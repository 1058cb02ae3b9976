//! The programs for preview 1 of WebAssembly/wasi-testsuite, over memory, a directory and a bucket, and on wasmtime's own preview 1.
//! They are in no registry, and not in this repository: who has a checkout with its programs built names it. Without one nothing
//! is run, and that is said.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runner_core::Ending;
use runner_core::wasmtime::{Engine, Linker, Module, Store};
use runner_host_fs::{Mode, VPath, Vfs, VfsExt, View};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_async};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

use crate::programs::{KINDS, Volumes, limits};

/// Names the checkout.
const VARIABLE: &str = "RUNNER_WASI_TESTSUITE";

/// The programs that the suite has. With fewer, something was not built.
const PROGRAMS_MIN: usize = 72;

/// What does not pass.
struct Deviation {
    volume: &'static str,
    program: &'static str,
    /// What it says when it gives up: another word is another defect.
    says: &'static str,
    reason: &'static str,
}

const DEVIATIONS: &[Deviation] =
    &[Deviation { volume: "bucket", program: "rust/path_link", says: "NOTSUP", reason: "S3 has no hard links" }];

/// A program that waits for ever fails, and the others are run.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a program is run and what it is to do, as the suite writes it down beside the program.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Specification {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    /// Directories beside the program that it finds under their names.
    dirs: Vec<String>,
    /// The one that it finds at `/`.
    root: Option<String>,
    exit_code: i32,
    stdout: Option<String>,
    stderr: Option<String>,
    /// What early programs call, which nobody asks for.
    #[serde(rename = "wasi_functions")]
    _functions: IgnoredAny,
}

struct Program {
    /// Behind the part of the suite that it is of: `rust/path_link`.
    name: String,
    wasm: Vec<u8>,
    /// Where its directories are.
    folder: PathBuf,
    specification: Specification,
}

/// How a program ended, and what it printed.
struct Ended {
    /// The exit code, or what stopped it.
    code: Result<i32, String>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_of_the_testsuite_pass_over_every_volume() {
    let Some(checkout) = std::env::var_os(VARIABLE) else {
        return tell(&format!("SKIPPED: `{VARIABLE}` names no checkout of WebAssembly/wasi-testsuite\n"));
    };
    let programs = programs(Path::new(&checkout));
    let table = Table::of(&programs, DEVIATIONS).await;
    tell(&table.text());
    assert!(programs.len() >= PROGRAMS_MIN, "`{VARIABLE}` has {} programs of {PROGRAMS_MIN}", programs.len());
    assert_eq!(table.unexpected, Vec::<String>::new());
}

/// Past the harness, which keeps to itself what a test prints that passes.
fn tell(text: &str) {
    let mut out = std::io::stderr().lock();
    out.write_all(text.as_bytes()).expect("somebody reads");
}

/// What came of each program, by volume.
#[derive(Default)]
struct Table {
    rows: Vec<(String, Vec<&'static str>)>,
    /// Why something did not pass that need not.
    known: Vec<String>,
    unexpected: Vec<String>,
}

/// Ours, and for comparison wasmtime's own.
const COLUMNS: [&str; 4] = [KINDS[0], KINDS[1], KINDS[2], "wasmtime"];

impl Table {
    async fn of(programs: &[Program], deviations: &[Deviation]) -> Self {
        let (volumes, mut table) = (Volumes::new().await, Table::default());
        for program in programs {
            let mut words = Vec::new();
            for kind in KINDS {
                let on_success = in_time(program.run(&volumes, kind, "on-success")).await;
                let on_sync = in_time(program.run(&volumes, kind, "on-sync")).await;
                let known = deviations.iter().find(|it| it.volume == kind && it.program == program.name);
                words.push(table.note(&format!("{kind}: {}", program.name), &[on_success, on_sync], known));
            }
            let on_wasmtime = in_time(program.run_on_wasmtime()).await;
            words.push(if on_wasmtime.is_ok() { PASSED } else { "FAILED" });
            table.known.extend(on_wasmtime.err().map(|why| format!("wasmtime: {}: {why}", program.name)));
            table.rows.push((program.name.clone(), words));
        }
        table
    }

    /// Writes down what came of a program, each time that it was run, and says it in a word.
    fn note(&mut self, id: &str, came: &[Result<(), String>], known: Option<&Deviation>) -> &'static str {
        let failures: Vec<&String> = came.iter().filter_map(|came| came.as_ref().err()).collect();
        let as_known =
            |known: &Deviation| failures.len() == came.len() && failures.iter().all(|why| why.contains(known.says));
        match known {
            None if failures.is_empty() => return PASSED,
            Some(known) if as_known(known) => {
                self.known.push(format!("{id}: {}: {}", known.reason, failures[0]));
                return "known";
            }
            Some(_) if failures.is_empty() => self.unexpected.push(format!("{id} passes, and is listed")),
            _ => self.unexpected.extend(failures.iter().map(|why| format!("{id}: {why}"))),
        }
        "FAILED"
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |first: &str, cells: &[String]| {
            let cells: String = cells.iter().map(|cell| format!(" {cell:<10}")).collect();
            writeln!(text, "{first:<52}{}", cells.trim_end()).expect("a text grows");
        };
        line("program", &COLUMNS.map(str::to_owned));
        for (name, words) in &self.rows {
            line(name, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        }
        let passed = |column: usize| self.rows.iter().filter(|(_, words)| words[column] == PASSED).count();
        line(&format!("passed, of {}", self.rows.len()), &[0, 1, 2, 3].map(|column| passed(column).to_string()));
        for remark in self.known.iter().chain(&self.unexpected) {
            writeln!(text, "{remark}").expect("a text grows");
        }
        text
    }
}

const PASSED: &str = "passed";

async fn in_time(ran: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let ended = tokio::time::timeout(PATIENCE, ran).await;
    ended.unwrap_or_else(|_| Err("it does not come to its end".to_owned()))
}

/// Every core module in a folder `testsuite` or below it, with what is written down beside it. Components are of later previews.
fn programs(checkout: &Path) -> Vec<Program> {
    let mut programs = Vec::new();
    let mut folders = vec![checkout.to_owned()];
    while let Some(folder) = folders.pop() {
        let within = folder.strip_prefix(checkout).expect("it was found there");
        let suite = within.ancestors().find(|above| above.ends_with("testsuite"));
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if let Some(suite) = suite
                && path.extension().is_some_and(|it| it == "wasm")
            {
                let part = suite.parent().and_then(Path::file_name).unwrap_or_default();
                programs.extend(program(part, &path));
            }
        }
    }
    programs.sort_by_cached_key(|program| program.name.clone());
    programs
}

fn program(part: &OsStr, path: &Path) -> Option<Program> {
    let wasm = std::fs::read(path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()));
    if !wasm.starts_with(b"\0asm\x01\0\0\0") {
        return None;
    }
    let specification = match std::fs::read(path.with_extension("json")) {
        Ok(text) => {
            serde_json::from_slice(&text).unwrap_or_else(|error| panic!("beside `{}`: {error}", path.display()))
        }
        Err(_) => Specification::default(),
    };
    let stem = path.file_stem().expect("it has an extension");
    Some(Program {
        name: format!("{}/{}", part.display(), stem.display()),
        wasm,
        folder: path.parent().expect("a file lies in a folder").to_owned(),
        specification,
    })
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("`{}`: {error}", folder.display()));
    list.map(|entry| entry.expect("it is listed").path()).collect()
}

impl Program {
    /// Each directory beside the program, with the path at which the program finds it.
    fn directories(&self) -> impl Iterator<Item = (&str, String)> {
        let Specification { dirs, root, .. } = &self.specification;
        let named = dirs.iter().map(|dir| (dir.as_str(), dir.clone()));
        named.chain(root.iter().map(|dir| (dir.as_str(), "/".to_owned())))
    }

    /// A mount has a path from `/` on: a directory that has none gets one, and so does an argument that names it.
    async fn run(&self, volumes: &Volumes, kind: &str, mode: &str) -> Result<(), String> {
        let mut mounts = serde_json::Map::new();
        for (dir, at) in self.directories() {
            let prefix = format!("{mode}/{}/{dir}", self.name);
            let view = View { mode: Mode::OnSuccess, ..View::all() };
            let session = volumes.volumes[kind].open(&view).map_err(|error| error.to_string())?;
            copy(&self.folder.join(dir), &*session.files(), &VPath::new(&prefix).expect("a path")).await;
            session.commit().await.map_err(|error| error.to_string())?;
            let at = if at.starts_with('/') { at } else { format!("/{at}") };
            mounts.insert(at, json!({ "volume": kind, "prefix": prefix, "mode": mode }));
        }
        let args = self.specification.args.iter().map(|arg| match self.specification.dirs.contains(arg) {
            true => format!("/{arg}"),
            false => arg.clone(),
        });
        let lent = volumes.lend_all(&self.wasm, mounts.into()).await;
        let mut command = lent.command().arg(&self.name).args(args).limits(limits());
        for (name, value) in &self.specification.env {
            command = command.env(name, value);
        }
        let outcome = command.run().await.map_err(|error| format!("the call: {error}"))?;
        let code = match outcome.ending {
            Ending::Returned(_) => Ok(0),
            Ending::Failed(failure) => failure.exit_code.ok_or_else(|| format!("{failure:?}")),
            Ending::Trapped(trap) => Err(trap.message),
            other => Err(format!("{other:?}")),
        };
        let ended = Ended { code, stdout: outcome.stdout.to_vec(), stderr: outcome.stderr.to_vec() };
        self.judge(&ended).map_err(|why| format!("{mode}: {why}"))
    }

    async fn run_on_wasmtime(&self) -> Result<(), String> {
        let (stdout, stderr) = (MemoryOutputPipe::new(1 << 20), MemoryOutputPipe::new(1 << 20));
        let scratch = tempfile::tempdir().expect("a folder");
        let mut wasi = WasiCtxBuilder::new();
        wasi.arg(&self.name).args(&self.specification.args).stdout(stdout.clone()).stderr(stderr.clone());
        for (name, value) in &self.specification.env {
            wasi.env(name, value);
        }
        for (dir, at) in self.directories() {
            let copied = scratch.path().join(dir);
            copy_beside(&self.folder.join(dir), &copied);
            wasi.preopened_dir(&copied, &at, FsPerms::ReadWrite).expect("it is there");
        }
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        add_to_linker_async(&mut linker, |wasi: &mut WasiP1Ctx| wasi).expect("it links");
        let module = Module::new(&engine, &self.wasm).map_err(|error| error.to_string())?;
        let mut store = Store::new(&engine, wasi.build_p1());
        let ran = async {
            let instance = linker.instantiate_async(&mut store, &module).await?;
            let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
            start.call_async(&mut store, ()).await
        };
        let code = match ran.await {
            Ok(()) => Ok(0),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(exit) => Ok(exit.0),
                None => Err(error.root_cause().to_string()),
            },
        };
        self.judge(&Ended { code, stdout: stdout.contents().to_vec(), stderr: stderr.contents().to_vec() })
    }

    fn judge(&self, ended: &Ended) -> Result<(), String> {
        let Specification { exit_code, stdout, stderr, .. } = &self.specification;
        if ended.code != Ok(*exit_code) {
            let said = String::from_utf8_lossy(&ended.stderr).trim().replace('\n', " | ");
            return Err(format!("exit code {exit_code} expected, {:?} came: {said}", ended.code));
        }
        for (name, expected, came) in [("stdout", stdout, &ended.stdout), ("stderr", stderr, &ended.stderr)] {
            if let Some(expected) = expected
                && expected.as_bytes() != came
            {
                return Err(format!("{name} `{expected}` expected, `{}` came", String::from_utf8_lossy(came)));
            }
        }
        Ok(())
    }
}

/// What a program finds in a directory. Names that end so are what programs leave behind, on other hosts too.
fn found(folder: &Path) -> impl Iterator<Item = PathBuf> {
    entries(folder).into_iter().filter(|path| path.extension().is_none_or(|it| it != "cleanup"))
}

/// Copies a directory of the machine into a tree.
async fn copy(from: &Path, tree: &dyn Vfs, to: &VPath) {
    let mut folders = vec![(from.to_owned(), to.clone())];
    while let Some((folder, at)) = folders.pop() {
        tree.create_dir_all(&at).await.expect("there is room");
        for path in found(&folder) {
            let at = at.join(&path.file_name().expect("it has a name").to_string_lossy()).expect("a path");
            match path.is_dir() {
                true => folders.push((path, at)),
                false => tree.write(&at, std::fs::read(&path).expect("a file").into()).await.expect("there is room"),
            }
        }
    }
}

/// Copies a directory of the machine to another.
fn copy_beside(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("there is room");
    for path in found(from) {
        let to = to.join(path.file_name().expect("it has a name"));
        match path.is_dir() {
            true => copy_beside(&path, &to),
            false => drop(std::fs::copy(&path, &to).expect("there is room")),
        }
    }
}

/// A suite of our own, so that what is above is known to tell one that passes from one that does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_other_than_is_written_down_has_not_passed() {
    let checkout = tempfile::tempdir().expect("a folder");
    let folder = checkout.path().join("tests/wat/testsuite/wasm32-wasip1");
    std::fs::create_dir_all(folder.join("files")).expect("there is room");
    std::fs::write(folder.join("files/file"), "text").expect("there is room");
    // Its exit code is whether the first directory that it has been given has no `file`.
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "path_filestat_get"
                (func $stat (param i32 i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "file")
            (func (export "_start")
                (call $exit (i32.ne (i32.const 0)
                    (call $stat (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 64))))))"#,
    );
    let module = module.expect("it is text");
    for (name, specification) in [
        ("finds", json!({ "dirs": ["files"], "args": ["files"] })),
        ("finds-at-root", json!({ "root": "files", "exit_code": 0, "stdout": "" })),
        ("finds-none", json!({ "exit_code": 1, "wasi_functions": ["proc_exit"] })),
        ("is-wrong", json!({ "root": "files", "exit_code": 1 })),
        ("is-listed", json!({ "exit_code": 0 })),
        ("is-listed-and-passes", json!({ "exit_code": 1 })),
    ] {
        std::fs::write(folder.join(name).with_extension("wasm"), &module).expect("there is room");
        std::fs::write(folder.join(name).with_extension("json"), specification.to_string()).expect("there is room");
    }
    // A component, which is no program of this preview.
    std::fs::write(folder.join("later.wasm"), b"\0asm\x0d\0\x01\0").expect("there is room");
    let listed = |program| Deviation { volume: "memory", program, says: "Ok(1) came", reason: "to be seen" };
    let deviations = ["wat/is-listed", "wat/is-listed-and-passes"].map(listed);
    let table = Table::of(&programs(checkout.path()), &deviations).await;
    let rows: Vec<(&str, &[&str])> = table.rows.iter().map(|(name, words)| (name.as_str(), &words[..])).collect();
    let expected: [(&str, &[&str]); 6] = [
        ("wat/finds", &[PASSED; 4]),
        ("wat/finds-at-root", &[PASSED; 4]),
        ("wat/finds-none", &[PASSED; 4]),
        ("wat/is-listed", &["known", "FAILED", "FAILED", "FAILED"]),
        ("wat/is-listed-and-passes", &["FAILED", PASSED, PASSED, PASSED]),
        ("wat/is-wrong", &["FAILED"; 4]),
    ];
    assert_eq!(rows, expected, "{}", table.text());
    // In both modes each, but the one that passes.
    assert_eq!(table.unexpected.len(), 2 * 2 + 1 + 3 * 2, "{}", table.text());
}
