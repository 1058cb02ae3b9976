//! Cold starts: from a module's bytes, or its compiled code, to the first result.
#![allow(unsafe_code, reason = "the bare engine maps its own compiled code, as Runner does")]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use runner_core::{Bounds, DirectoryStore, Executor, Grants, LocalStore, ModuleId, Program, VerifiedStore};
use serde_json::json;
use sha2::Sha256;
use tempfile::TempDir;
use wasmtime::{Engine, Module, Store};

use crate::{Row, Side, bare, each, each_after, guests, ours, wait};

/// What is measured here.
pub const ROWS: &[Row] = &[
    Row::new("cold start, compiling 10 KiB", || compiling(guests::ten_kib())),
    Row::new("cold start, compiling 2.6 MB", || compiling(runner_guests::get("big"))).slow(),
    Row::new("cold start, local store, 10 KiB", || local(guests::ten_kib())).goal(1.2),
    Row::new("cold start, local store, 2.6 MB", || local(runner_guests::get("big"))).goal(1.2),
    Row::new("cold start, verified door, 10 KiB", || verified(guests::ten_kib())).goal(1.2),
    Row::new("cold start, verified door, 2.6 MB", || verified(runner_guests::get("big"))).goal(1.2),
];

const KEY: &[u8] = b"a key of thirty-two bytes, or so.";

/// Each operation compiles a copy that nobody has seen.
fn compiling(bytes: &'static [u8]) -> (Side, Side) {
    let engine = bare::engine();
    let bare = each_after(
        || guests::never_seen(bytes),
        async move |bytes: Vec<u8>| {
            let module = Module::new(engine, &bytes).expect("it compiles");
            first_result(engine, &module).await;
        },
    );
    let executor = ours::executor();
    let ours = each_after(
        || guests::never_seen(bytes),
        async move |bytes: Vec<u8>| {
            let program = executor.load(&bytes, &Grants::none()).await.expect("it loads");
            our_first_result(&program).await;
        },
    );
    (bare, ours)
}

/// Each operation maps the compiled file anew.
fn local(bytes: &'static [u8]) -> (Side, Side) {
    let engine = bare::engine();
    let (directory, path) = compiled_file(engine, bytes);
    let bare = each(async move || {
        let _kept = &directory;
        // SAFETY: the file is this process's own, written above and changed by nobody.
        let module = unsafe { Module::deserialize_file(engine, &path) }.expect("it fits the engine");
        first_result(engine, &module).await;
    });

    let directory = TempDir::new().expect("a directory");
    let store = LocalStore::open(directory.path().join("code")).expect("it opens");
    let executor = forgetful().local_store(store).build().expect("it starts");
    wait(executor.load(bytes, &Grants::none()).into_future()).expect("it loads");
    let id = ModuleId::of(bytes);
    let ours = each(async move || {
        let _kept = &directory;
        let program = executor.load_compiled(&id, &Grants::none()).await.expect("it is in the store");
        our_first_result(&program).await;
    });
    (bare, ours)
}

/// Each operation reads the whole file and checks it, with the local store of ours empty.
fn verified(bytes: &'static [u8]) -> (Side, Side) {
    let engine = bare::engine();
    let (directory, path) = compiled_file(engine, bytes);
    let mac = Hmac::<Sha256>::new_from_slice(KEY).expect("any key fits");
    let seal = mac.clone().chain_update(fs::read(&path).expect("it was just written")).finalize().into_bytes();
    let bare = each(async move || {
        let _kept = &directory;
        let bytes = fs::read(&path).expect("it is there");
        mac.clone().chain_update(&bytes).verify(&seal).expect("nobody changed it");
        // SAFETY: the bytes are those that were sealed.
        let module = unsafe { Module::deserialize(engine, &bytes) }.expect("it fits the engine");
        first_result(engine, &module).await;
    });

    let directory = TempDir::new().expect("a directory");
    let (shared, here) = (directory.path().join("shared"), directory.path().join("here"));
    fs::create_dir(&shared).expect("made");
    let store = VerifiedStore::new(DirectoryStore::new(&shared), KEY, LocalStore::open(&here).expect("it opens"));
    let executor = forgetful().verified_store(store.expect("the key is long enough")).build().expect("it starts");
    wait(executor.load(bytes, &Grants::none()).into_future()).expect("it loads");
    let id = ModuleId::of(bytes);
    let ours = each_after(
        move || {
            let _kept = &directory;
            empty(&here);
        },
        async move |()| {
            let program = executor.load_compiled(&id, &Grants::none()).await.expect("it is in the store");
            our_first_result(&program).await;
        },
    );
    (bare, ours)
}

/// An executor that keeps no code in memory, so that each load goes to the store.
fn forgetful() -> runner_core::Builder {
    Executor::builder().bounds(Bounds { code_bytes: 1, ..Bounds::default() })
}

/// Removes the one file of compiled code from a directory, which may still be being written.
fn empty(directory: &Path) {
    let is_code = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "module");
    let found = || fs::read_dir(directory).expect("a directory").flatten().map(|entry| entry.path()).find(is_code);
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(path) = found() {
            return fs::remove_file(path).expect("it is ours");
        }
        assert!(Instant::now() < until, "the code that was let in was never kept");
        thread::sleep(Duration::from_micros(100));
    }
}

fn compiled_file(engine: &Engine, bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("module.cwasm");
    fs::write(&path, engine.precompile_module(bytes).expect("it compiles")).expect("there is room");
    (directory, path)
}

async fn first_result(engine: &Engine, module: &Module) {
    let mut store = Store::new(engine, ());
    let instance = bare::linked(engine, module).instantiate_async(&mut store).await.expect("it starts");
    let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add").expect("it adds");
    assert_eq!(add.call_async(&mut store, (16, 26)).await.expect("it returns"), 42);
}

async fn our_first_result(program: &Program) {
    let outcome = program.call("add").args(json!([16, 26])).run().await.expect("it runs");
    assert_eq!(outcome.returned(), Some(42.into()));
}
