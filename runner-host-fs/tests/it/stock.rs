//! The same guests, with the same steps, on wasmtime's own filesystem over a directory: what it answers, we answer. What is
//! different is named here, with the reason.

use std::path::Path;

use runner_core::wasmtime::component::{Component, Linker, ResourceTable};
use runner_core::wasmtime::{Config, Engine, Store};
use runner_host_fs::LocalFs;
use serde_json::{Value, json};
use wasmtime_wasi::filesystem::FsPerms;
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::support::{Lent, RAW, STD, Tree, rows};

struct Stock {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Stock {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

/// What came of each step over a directory of wasmtime's own.
async fn stock(guest: &str, directory: &Path, steps: &Value) -> Vec<Value> {
    let engine = Engine::new(&Config::new()).expect("an engine");
    let component = Component::new(&engine, runner_guests::get(guest)).expect("a component");
    let mut linker = Linker::<Stock>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("its own interfaces");
    let stdout = MemoryOutputPipe::new(8 << 20);
    let mut builder = WasiCtxBuilder::new();
    builder.arg("guest").stdin(MemoryInputPipe::new(steps.to_string())).stdout(stdout.clone()).inherit_stderr();
    builder.preopened_dir(directory, "/data", FsPerms::ReadWrite).expect("a directory");
    let mut store = Store::new(&engine, Stock { ctx: builder.build(), table: ResourceTable::new() });
    let command = Command::instantiate_async(&mut store, &component, &linker).await.expect("it starts");
    let ended = command.wasi_cli_run().call_run(&mut store).await.expect("it does not trap");
    assert_eq!(ended, Ok(()), "it returns");
    let text = String::from_utf8(stdout.contents().to_vec()).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// A step that we answer differently.
struct Deviation {
    step: Value,
    stock: Value,
    ours: Value,
}

fn deviation(step: Value, stock: Value, ours: Value) -> Deviation {
    Deviation { step, stock, ours }
}

/// Runs the steps over wasmtime's own, over our local directory, and over our memory.
async fn compare(guest: &str, steps: Value, deviations: &[Deviation]) {
    let theirs = tempfile::tempdir().expect("a folder");
    let stock = stock(guest, theirs.path(), &steps).await;
    let folder = tempfile::tempdir().expect("a folder");
    let local = Tree::new(LocalFs::open(folder.path()).expect("a folder opens"));
    let mut different = Vec::new();
    for (name, tree, mode) in [
        ("memory", Tree::memory(), "on-sync"),
        ("a directory", local, "on-sync"),
        ("a draft over memory", Tree::memory(), "on-success"),
    ] {
        let lent = Lent::new(guest, &tree, json!({ "/data": { "mode": mode } })).await;
        let ours = lent.came(&steps).await;
        let steps = steps.as_array().expect("steps");
        assert_eq!((ours.len(), stock.len()), (steps.len(), steps.len()), "{name}: every step was done");
        for ((step, ours), stock) in steps.iter().zip(&ours).zip(&stock) {
            let expected = deviations.iter().find(|it| it.step == *step);
            let as_expected = match expected {
                Some(known) => known.ours == *ours && known.stock == *stock,
                None => ours == stock,
            };
            if !as_expected {
                different.push(format!("{name}: {step}: stock {stock}, ours {ours}"));
            }
        }
        for Deviation { step, .. } in deviations {
            assert!(steps.contains(step), "{step} is done nowhere");
        }
    }
    assert!(different.is_empty(), "\n{}", different.join("\n"));
}

fn no(code: &str) -> Value {
    json!({ "err": code })
}

#[tokio::test]
async fn programs_find_what_they_find_elsewhere() {
    let long = "n".repeat(256);
    let deep = vec!["d"; 100].join("/");
    let steps = rows!([
        ["ls", "/data"],
        ["put", "/data/a", "hello"],
        ["get", "/data/a"],
        ["stat", "/data/a"],
        ["copy", "/data/a", "/data/b"],
        ["link", "/data/a", "/data/c"],
        ["put", "/data/c", "one file"],
        ["get", "/data/a"],
        ["ls", "/data"],
        ["mkdirs", format!("/data/{deep}")],
        ["put", format!("/data/{deep}/file"), "deep"],
        ["get", format!("/data/{deep}/../d/file")],
        ["rename", "/data/b", "/data/d/b"],
        ["rename", "/data/d/b", "/data/a"],
        ["get", "/data/a"],
        ["rename", "/data/d", "/data/e"],
        ["ls", "/data/e"],
        ["rename", "/data/e", "/data/e/below"],
        ["mkdir", "/data/empty"],
        ["rename", "/data/e", "/data/empty"],
        ["rename", "/data/empty", "/data/a"],
        ["rename", "/data/a", "/data/empty"],
        ["mkdir", "/data/second"],
        ["rename", "/data/second", "/data/empty"],
        ["rmdir", "/data/empty"],
        ["rmtree", "/data/empty"],
        ["ls", "/data"],
        ["rmtree", "/data/a"],
        ["rmtree", "/data/absent"],
        ["open", "f", "/data/f", "rwc"],
        ["write", "f", "0123456789"],
        ["seek", "f", "start", 2],
        ["read", "f", 3],
        ["seek", "f", "current", -1],
        ["write", "f", "xy"],
        ["seek", "f", "end", -4],
        ["rest", "f"],
        ["seek", "f", "end", 3],
        ["write", "f", "far"],
        ["fstat", "f"],
        ["set-len", "f", 4],
        ["set-len", "f", 6],
        ["seek", "f", "start", 0],
        ["rest", "f"],
        ["seek", "f", "current", -100],
        ["fill", "f", "z", 200_000],
        ["fstat", "f"],
        ["get", "/data/f"],
        ["sync", "f"],
        ["sync-data", "f"],
        ["set-times", "f", 1_000_000_000_123_u64, 1_500_000_000_456_u64],
        ["ftimes", "f"],
        ["times", "/data/f"],
        ["open", "ap", "/data/f", "ra"],
        ["write", "ap", "end"],
        ["seek", "ap", "end", -3],
        ["rest", "ap"],
        ["open", "one", "/data/log", "ac"],
        ["open", "other", "/data/log", "ar"],
        ["write", "one", "a"],
        ["write", "other", "b"],
        ["write", "one", "c"],
        ["get", "/data/log"],
        ["read", "other", 9],
        ["seek", "other", "start", 1],
        ["rest", "other"],
        ["rm", "/data/log"],
        ["open", "tr", "/data/f", "wt"],
        ["fstat", "f"],
        ["write", "ap", "again"],
        ["get", "/data/f"],
        ["rm", "/data/f"],
        ["fstat", "f"],
        ["seek", "f", "start", 0],
        ["rest", "f"],
        ["exists", "/data/f"],
        ["open", "n", "/data/n", "wn"],
        ["open", "n2", "/data/n", "wn"],
        ["read", "n", 1],
        ["open", "r", "/data/n", "r"],
        ["write", "r", "x"],
        ["set-len", "r", 1],
        ["sync", "r"],
        ["set-times", "r", 1000, 2000],
        ["times", "/data/n"],
        ["mkdirs", "/data/full/of"],
        ["get", "/data/absent"],
        ["put", "/data/absent/file", "x"],
        ["get", "/data/n/below"],
        ["put", "/data/n/below", "x"],
        ["mkdir", "/data/n/below"],
        ["ls", "/data/n"],
        ["ls", "/data/absent"],
        ["get", "/data/full"],
        ["put", "/data/full", "x"],
        ["mkdir", "/data/n"],
        ["mkdir", "/data/full"],
        ["mkdirs", "/data/n"],
        ["link", "/data/n", "/data/full"],
        ["link", "/data/full", "/data/other"],
        ["link", "/data/absent", "/data/other"],
        ["copy", "/data/full", "/data/other"],
        ["copy", "/data/absent", "/data/other"],
        ["rmdir", "/data/full"],
        ["rmdir", "/data/n"],
        ["rmdir", "/data/absent"],
        ["rm", "/data/full"],
        ["rm", "/data/absent"],
        ["rename", "/data/absent", "/data/other"],
        ["rename", "/data/n", "/data/absent/other"],
        ["rename", "/data/n", "/data/full"],
        ["rename", "/data/full", "/data/n"],
        ["rename", "/data/n", "/data/n"],
        ["put", format!("/data/{long}"), "x"],
        ["get", format!("/data/{long}")],
        ["put", "/data/ü ö\n", "x"],
        ["ls", "/data"],
        ["readlink", "/data/n"],
        ["lstat", "/data/full"],
        ["stat", "/data"],
        ["stat", "/data/n/"],
        ["stat", "/data/full/"],
        ["put", "/data/n/", "x"],
        ["put", "/data/new/", "x"],
        ["mkdir", "/data/new/"],
        ["rm", "/data/n/"],
        ["rm", "/data/new/"],
        ["rename", "/data/n/", "/data/m"],
        ["rename", "/data/n", "/data/m/"],
        ["rename", "/data/new/", "/data/newer/"],
        ["rmdir", "/data/newer"],
        ["rmdir", "/data/full/."],
        ["rmdir", "/data/full/of/.."],
        ["ls", "/data/full/of/../.."],
        ["get", "/data/absent/../n"],
        ["get", "/data/n/../n"],
        ["get", "/elsewhere"],
        ["get", "/data/../../etc/passwd"],
        ["many", "/data/full/m", 50],
        ["ls", "/data/full"],
        ["rmtree", "/data/full"],
        ["rmdir", "/data"],
        ["ls", "/data"],
    ]);
    // Whoever may not read or write is told when the stream is made. Their streams are made, and fail: the library in the guest
    // has one word for whatever a stream says no with.
    let deviations = [
        deviation(json!(["read", "n", 1]), no("io"), no("badf")),
        deviation(json!(["write", "r", "x"]), no("io"), no("badf")),
    ];
    compare(STD, steps, &deviations).await;
}

#[tokio::test]
async fn each_function_answers_as_elsewhere() {
    let steps = rows!([
        ["type", "/data"],
        ["open", "f", "/data", "f", "", "c", "rw"],
        ["flags", "f"],
        ["type", "f"],
        ["write", "f", "hello", 0],
        ["read", "f", 3, 1],
        ["read", "f", 3, 5],
        ["read", "f", 3, 500],
        ["write", "f", "", 9],
        ["stat", "f"],
        ["open", "r", "/data", "f", "", "", "r"],
        ["flags", "r"],
        ["write", "r", "x", 0],
        ["set-size", "r", 0],
        ["open", "w", "/data", "f", "", "", "w"],
        ["flags", "w"],
        ["write", "w", "J", 0],
        ["read", "w", 1, 0],
        ["open", "n", "/data", "f", "", "", ""],
        ["flags", "n"],
        ["mkdir", "/data", "d"],
        ["open", "d", "/data", "d", "", "d", "r"],
        ["flags", "d"],
        ["open", "x", "/data", "d", "", "", "w"],
        ["open", "x", "/data", "d", "", "c", "r"],
        ["open", "x", "/data", "d", "", "cx", "r"],
        ["open", "x", "/data", "d", "", "dc", "r"],
        ["open", "x", "/data", "d", "", "dt", "r"],
        ["read", "d", 1, 0],
        ["write", "d", "x", 0],
        ["set-size", "d", 0],
        ["advise", "d", 0, 0],
        ["reader", "s", "d", 0],
        ["writer", "s", "d", 0],
        ["sync", "d"],
        ["sync-data", "d"],
        ["list", "l", "f"],
        ["mkdir", "f", "x"],
        ["open", "x", "f", "x", "", "", "r"],
        ["open", "x", "/data", "f", "", "d", "r"],
        ["advise", "f", 0, 100],
        ["advise", "f", u64::MAX, 0],
        ["open", "x", "d", "..", "", "d", "r"],
        ["open", "x", "d", "/data", "", "d", "r"],
        ["stat-at", "d", "", "../d"],
        ["mkdir", "d", "../x"],
        ["stat-at", "/data", "", "d/../d"],
        ["stat-at", "d", "", "."],
        ["stat-at", "d", "", ""],
        ["open", "x", "d", "", "", "", "r"],
        ["mkdir", "d", ""],
        ["unlink", "d", ""],
        ["rename", "/data", "", "/data", "y"],
        ["symlink", "/data", "/etc/passwd", "out"],
        ["symlink", "/data", "../../etc/passwd", "out"],
        ["open", "x", "/data", "out", "f", "", "r"],
        ["readlink", "/data", "out"],
        ["symlink", "/data", "f", "to-f"],
        ["symlink", "/data", "d", "to-d"],
        ["symlink", "/data", "nothing", "to-nothing"],
        ["symlink", "/data", "round", "round"],
        ["symlink", "/data", "f", "to-f"],
        ["symlink", "/data", "", "empty"],
        ["stat-at", "/data", "", "to-f"],
        ["stat-at", "/data", "f", "to-f"],
        ["readlink", "/data", "to-f"],
        ["readlink", "/data", "f"],
        ["readlink", "/data", "absent"],
        ["open", "x", "/data", "to-f", "f", "", "r"],
        ["same", "x", "f"],
        ["same", "x", "d"],
        ["same-hash", "x", "f"],
        ["same-hash", "x", "d"],
        ["same-hash-at", "f", "/data", "f", "to-f"],
        ["same-hash-at", "f", "/data", "", "to-f"],
        ["open", "x", "/data", "to-f", "", "", "r"],
        ["open", "x", "/data", "round", "f", "", "r"],
        ["open", "x", "/data", "to-nothing", "f", "", "r"],
        ["open", "x", "/data", "to-nothing", "f", "cx", "rw"],
        ["open", "x", "/data", "to-d", "", "d", "r"],
        ["open", "x", "/data", "to-nothing", "f", "c", "rw"],
        ["stat-at", "/data", "", "nothing"],
        ["stat-at", "/data", "", "to-d/"],
        ["stat-at", "/data", "", "to-f/"],
        ["stat-at", "/data", "", "f/"],
        ["readlink", "/data", "to-d/"],
        ["unlink", "/data", "to-d/"],
        ["unlink", "/data", "d/"],
        ["rmdir", "/data", "to-d"],
        ["rmdir", "/data", "to-d/"],
        ["link", "/data", "f", "to-f", "/data", "x"],
        ["link", "/data", "", "to-f", "/data", "also"],
        ["stat-at", "/data", "", "also"],
        ["link", "/data", "", "f", "d", "second"],
        ["stat", "f"],
        ["same-hash-at", "f", "d", "", "second"],
        ["link", "/data", "", "d", "/data", "x"],
        ["unlink", "/data", "to-f"],
        ["unlink", "/data", "to-f"],
        ["rename", "/data", "to-d", "d", "moved-link"],
        ["readlink", "d", "moved-link"],
        ["mkdir", "/data", "e/"],
        ["mkdir", "/data", "."],
        ["rmdir", "/data", "."],
        ["rmdir", "/data", "e/."],
        ["unlink", "/data", "."],
        ["rename", "/data", "e/.", "/data", "x"],
        ["rename", "/data", "e", "/data", "."],
        ["open", "x", "/data", "new/", "", "c", "rw"],
        ["open", "x", "/data", "f/", "", "", "r"],
        ["rename", "/data", "f/", "/data", "x"],
        ["rename", "/data", "f", "/data", "x/"],
        ["rename", "/data", "e/", "/data", "g/"],
        ["link", "/data", "", "f/", "/data", "x"],
        ["link", "/data", "", "f", "/data", "x/"],
        ["symlink", "/data", "f", "x/"],
        ["rmdir", "/data", "g/"],
        ["open", "b", "/data", "d", "", "d", "r"],
        ["rename", "/data", "d", "/data", "h"],
        ["open", "x", "b", "in-it", "", "c", "rw"],
        ["stat-at", "/data", "", "h/in-it"],
        ["unlink", "b", "in-it"],
        ["list", "l", "b"],
        ["names", "l"],
        ["set-times", "f", [1, 2], [3, 4]],
        ["times", "f"],
        ["set-times", "f", null, [5, 999_999_999]],
        ["times", "f"],
        ["set-times-at", "/data", "", "f", [7, 0], null],
        ["times", "f"],
        ["set-times", "f", [u64::MAX, 0], null],
        ["set-times-at", "/data", "", "absent", "now", "now"],
        ["set-times-at", "/data", "f", "h", [8, 0], [9, 0]],
        ["times", "b"],
        ["set-times", "r", [1, 0], [2, 0]],
        ["times", "f"],
        ["set-size", "f", 3],
        ["reader", "in", "f", 1],
        ["in-blocking-read", "in", 1],
        ["in-poll-read", "in", 9],
        ["in-blocking-read", "in", 9],
        ["in-blocking-read", "in", 9],
        ["writer", "out", "f", 3],
        ["out-check", "out"],
        ["out-write", "out", "abc"],
        ["out-blocking-flush", "out"],
        ["out-blocking-write", "out", "de"],
        ["out-zeroes", "out", 2],
        ["out-block", "out"],
        ["out-flush", "out"],
        ["read", "f", 99, 0],
        ["appender", "end", "f"],
        ["out-blocking-write", "end", "!"],
        ["reader", "again", "f", 0],
        ["in-skip", "again", 3],
        ["out-splice", "end", "again", 2],
        ["read", "f", 99, 0],
        ["in-count", "again"],
    ]);
    // What has a `/` behind its name is a directory, or is led to one: as POSIX has it, and every system.
    let deviations = [
        deviation(json!(["stat-at", "/data", "", "to-d/"]), json!(["link", 1]), json!(["directory"])),
        deviation(json!(["stat-at", "/data", "", "to-f/"]), json!(["link", 1]), no("not-directory")),
        deviation(json!(["stat-at", "/data", "", "f/"]), json!(["file", 5, 1]), no("not-directory")),
        deviation(json!(["unlink", "/data", "to-d/"]), no("is-directory"), no("not-directory")),
        deviation(json!(["rmdir", "/data", "to-d/"]), no("invalid"), no("not-directory")),
        deviation(json!(["rmdir", "/data", "g/"]), no("invalid"), json!("ok")),
        // Asked for a directory, and not to follow: a link is none. So says Linux.
        deviation(json!(["open", "x", "/data", "to-d", "", "d", "r"]), no("loop"), no("not-directory")),
    ];
    compare(RAW, steps, &deviations).await;
}
