//! Files on a directory of this machine: a guest by plain `std::fs`, over a mount of ours and over the filesystem that
//! wasmtime-wasi has, which may block the thread as ours does.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use runner_core::{Executor, Grants, Limits, Outcome, Program};
use runner_host_fs::{HostFs, LocalFs, Volume};
use serde_json::json;
use tempfile::TempDir;
use wasmtime::Store;
use wasmtime::component::{Component, ResourceTable};
use wasmtime_wasi::filesystem::FsPerms;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::{Row, Side, bare, wait};

/// What is measured in this process. Where a row does not say it, a mount has the default mode: published on success.
pub const ROWS: &[Row] = &[
    Row::new("files, open and read 4 KiB, p1", || local(P1, GET, DEFAULT)).goal(GOAL),
    Row::new("files, open and read 4 KiB, p2", || local(P2, GET, DEFAULT)).goal(GOAL),
    Row::new("files, stat, p1", || local(P1, STAT, DEFAULT)).goal(GOAL),
    Row::new("files, stat, p2", || local(P2, STAT, DEFAULT)).goal(GOAL),
    Row::new("files, write 4 KiB, p1", || local(P1, PUT, DEFAULT)).goal(GOAL),
    Row::new("files, write 4 KiB, p2", || local(P2, PUT, DEFAULT)).goal(GOAL),
    Row::new("files, write 4 KiB, on-sync, p1", || local(P1, PUT, AT_ONCE)).goal(GOAL),
    Row::new("files, write 4 KiB, on-sync, p2", || local(P2, PUT, AT_ONCE)).goal(GOAL),
    Row::new("files, list 1,000 names, p1", || local(P1, LIST, DEFAULT)).goal(GOAL),
    Row::new("files, list 1,000 names, p2", || local(P2, LIST, DEFAULT)).goal(GOAL),
    Row::new("files, read 64 MiB, p1", || local(P1, READ, DEFAULT)).goal(GOAL),
    Row::new("files, read 64 MiB, p2", || local(P2, READ, DEFAULT)).goal(GOAL),
    Row::new("files, write 64 MiB, p1", || local(P1, WRITE, DEFAULT)).goal(GOAL),
    Row::new("files, write 64 MiB, p2", || local(P2, WRITE, DEFAULT)).goal(GOAL),
    Row::new("files, write 64 MiB, on-sync, p1", || local(P1, WRITE, AT_ONCE)).goal(GOAL),
    Row::new("files, write 64 MiB, on-sync, p2", || local(P2, WRITE, AT_ONCE)).goal(GOAL),
];

/// The largest ratio to wasmtime's own filesystem that contents us.
const GOAL: f64 = 1.3;

/// The guest, for either target.
const P1: &str = "files-loop-p1";
pub(crate) const P2: &str = "files-loop-p2";

const DEFAULT: &str = "on-success";
/// What is written is there at once, as it is on wasmtime's own.
const AT_ONCE: &str = "on-sync";

/// What the guest does.
#[derive(Clone, Copy)]
struct Work {
    verb: &'static str,
    path: &'static str,
    bytes: u64,
    /// What it counts each time.
    counts: u64,
}

const SMALL: u64 = 4 << 10;
const LARGE: u64 = 64 << 20;
const NAMES: u64 = 1_000;

const GET: Work = Work { verb: "get", path: "/data/small", bytes: 0, counts: SMALL };
const STAT: Work = Work { verb: "stat", path: "/data/small", bytes: 0, counts: SMALL };
const PUT: Work = Work { verb: "put", path: "/data/out", bytes: SMALL, counts: SMALL };
const LIST: Work = Work { verb: "list", path: "/data/many", bytes: 0, counts: NAMES };
const READ: Work = Work { verb: "read", path: "/data/large", bytes: 0, counts: LARGE };
const WRITE: Work = Work { verb: "write", path: "/data/written", bytes: LARGE, counts: LARGE };

impl Work {
    /// A folder with what the guest finds.
    fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, bytes: u64| {
            fs::write(folder.path().join(name), vec![b'x'; bytes as usize]).expect("there is room");
        };
        match self.verb {
            "get" | "stat" => put("small", SMALL),
            "read" => put("large", LARGE),
            "list" => {
                fs::create_dir(folder.path().join("many")).expect("it is new");
                (0..NAMES).for_each(|number| put(&format!("many/{number:04}"), 0));
            }
            _ => {}
        }
        folder
    }

    fn args(&self, times: u64) -> [String; 4] {
        arguments(self.verb, self.path, times, self.bytes)
    }
}

/// What the guest is told.
pub(crate) fn arguments(verb: &str, path: &str, times: u64, bytes: u64) -> [String; 4] {
    [verb.to_owned(), path.to_owned(), times.to_string(), bytes.to_string()]
}

fn local(guest: &'static str, work: Work, mode: &'static str) -> (Side, Side) {
    let folder = work.folder();
    let bare = Bare::new(guest);
    let bare: Side =
        Box::new(move |times| timed(times, work, async || bare.run(folder.path(), &work.args(times)).await));
    let folder = work.folder();
    let volume = LocalFs::open(folder.path()).expect("it is there");
    let program = wait(lent(Executor::builder(), volume, guest, mode));
    let ours: Side = Box::new(move |times| {
        let _stays = &folder;
        timed(times, work, async || counted(&run(&program, &work.args(times)).await))
    });
    (bare, ours)
}

fn timed(times: u64, work: Work, run: impl AsyncFnOnce() -> u64) -> Duration {
    wait(async {
        let from = Instant::now();
        let counted = run().await;
        let took = from.elapsed();
        assert_eq!(counted, times * work.counts, "`{}` did all of its work", work.verb);
        took
    })
}

/// A guest over a volume at `/data`, lent by an executor of that builder.
pub(crate) async fn lent(builder: runner_core::Builder, volume: impl Volume, guest: &str, mode: &str) -> Program {
    let executor = builder.capability(HostFs::new().volume("files", volume)).build().expect("it starts");
    let grants = Grants::none().grant("fs", json!({ "mounts": { "/data": { "mode": mode } } }));
    executor.load(runner_guests::get(guest), &grants).await.expect("it loads")
}

/// Runs it: far from all limits, which are counted as they are by default.
pub(crate) async fn run(program: &Program, args: &[String; 4]) -> Outcome {
    let limits =
        Limits { deadline: Duration::from_secs(600), host_bytes: 1 << 40, host_calls: 1 << 40, ..Limits::default() };
    let outcome = program.command().arg("guest").args(args.clone()).limits(limits).run().await.expect("the host works");
    let said = String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.ending.is_returned(), "{:?}: {said}", outcome.ending);
    outcome
}

/// What the guest counted.
pub(crate) fn counted(outcome: &Outcome) -> u64 {
    number(&outcome.stdout)
}

fn number(said: &[u8]) -> u64 {
    let said = String::from_utf8_lossy(said);
    said.trim().parse().unwrap_or_else(|_| panic!("the guest says {said:?}"))
}

/// The same guest on bare wasmtime, over its own filesystem.
pub(crate) enum Bare {
    P1(wasmtime::InstancePre<WasiP1Ctx>),
    P2(CommandPre<Host>),
}

impl Bare {
    pub(crate) fn new(guest: &str) -> Self {
        let (engine, bytes) = (bare::engine(), runner_guests::get(guest));
        if guest == P1 {
            let mut linker = wasmtime::Linker::new(engine);
            wasmtime_wasi::p1::add_to_linker_async(&mut linker, |ctx| ctx).expect("each name is new");
            return Bare::P1(
                linker.instantiate_pre(&bare::module(engine, bytes)).expect("WASI is all that it imports"),
            );
        }
        let mut linker = wasmtime::component::Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("each name is new");
        let component = Component::new(engine, bytes).expect("it compiles");
        let pre = linker.instantiate_pre(&component).expect("WASI is all that it imports");
        Bare::P2(CommandPre::new(pre).expect("it is a command"))
    }

    /// What the guest counted, with a folder at `/data`.
    pub(crate) async fn run(&self, folder: &Path, args: &[String; 4]) -> u64 {
        let stdout = MemoryOutputPipe::new(1 << 10);
        let mut wasi = WasiCtxBuilder::new();
        // Or each operation is a trip to another thread and back.
        wasi.allow_blocking_current_thread(true).arg("guest").args(args).stdout(stdout.clone()).inherit_stderr();
        wasi.preopened_dir(folder, "/data", FsPerms::ReadWrite).expect("it is there");
        match self {
            Bare::P1(pre) => {
                let mut store = Store::new(bare::engine(), wasi.build_p1());
                let instance = pre.instantiate_async(&mut store).await.expect("it starts");
                let start = instance.get_typed_func::<(), ()>(&mut store, "_start").expect("it is a command");
                start.call_async(&mut store, ()).await.expect("it returns");
            }
            Bare::P2(pre) => {
                let host = Host { wasi: wasi.build(), table: ResourceTable::new() };
                let mut store = Store::new(bare::engine(), host);
                let command = pre.instantiate_async(&mut store).await.expect("it starts");
                let ended = command.wasi_cli_run().call_run(&mut store).await.expect("it does not trap");
                assert_eq!(ended, Ok(()), "it returns");
            }
        }
        number(&stdout.contents())
    }
}

/// What a store of a bare component has.
pub(crate) struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
