//! A module that exports every function of preview 1 about files, and its memory; and the two hosts that it runs on.

use std::fmt::Write as _;
use std::path::Path;

use runner_core::wasmtime::{self, Engine, Linker, Module, Store, Val};
use runner_core::{Ending, Executor, Instance, Limits, Outcome};
use serde_json::{Value, json};
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_async};
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::support::granted;

/// Bytes of the module's memory: two pages.
pub(crate) const MEMORY_BYTES: u64 = 2 << 16;

/// Each function with its parameters: `i` for 32 bits, `l` for 64.
const FUNCTIONS: [(&str, &str); 37] = [
    ("fd_advise", "illi"),
    ("fd_allocate", "ill"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "ill"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "il"),
    ("fd_filestat_set_times", "illi"),
    ("fd_pread", "iiili"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiili"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiili"),
    ("fd_renumber", "ii"),
    ("fd_seek", "ilii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiilli"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiillii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("clock_time_get", "ili"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

/// The module as text.
pub(crate) fn module() -> String {
    let mut text = String::from("(module\n");
    let types = |letters: &str| -> String {
        letters.chars().map(|letter| if letter == 'l' { " i64" } else { " i32" }).collect()
    };
    for (name, letters) in FUNCTIONS {
        let parameters = types(letters);
        writeln!(
            text,
            "(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} (param{parameters}) (result i32)))"
        )
        .expect("a text grows");
    }
    let pages = MEMORY_BYTES >> 16;
    writeln!(text, "(memory (export \"memory\") {pages})").expect("a text grows");
    for (name, letters) in FUNCTIONS {
        let parameters = types(letters);
        let passed: String = (0..letters.len()).map(|at| format!(" (local.get {at})")).collect();
        writeln!(text, "(func (export \"{name}\") (param{parameters}) (result i32) (call ${name}{passed}))")
            .expect("a text grows");
    }
    text += "(func (export \"load\") (param i32) (result i64) (i64.load (local.get 0)))
(func (export \"store\") (param i32 i64) (i64.store (local.get 0) (local.get 1)))
(func (export \"grow\") (param i32) (result i32) (memory.grow (local.get 0)))
(func (export \"trap\") unreachable))";
    text
}

/// Whoever runs the module.
pub(crate) enum Host {
    Ours(Box<Instance>),
    Stock { store: Box<Store<WasiP1Ctx>>, instance: wasmtime::Instance },
}

impl Host {
    /// Runner, with what volume `tree` of an executor holds as the guest's `/`.
    pub(crate) async fn ours(executor: &Executor, mount: Value, stdin: &str, limits: Limits) -> Self {
        let program =
            executor.load(module().as_bytes(), &granted(json!({ "/": mount }))).await.expect("the module loads");
        let start = program.instance().stdin(stdin.to_owned()).limits(limits);
        Host::Ours(Box::new(start.start().await.expect("it starts")))
    }

    /// wasmtime's own, with a directory as the guest's `/`.
    pub(crate) async fn stock(directory: &Path, stdin: &str) -> Self {
        let module = wat::parse_str(module()).expect("it is text");
        let (store, instance, _) = stock(&module, directory, "/", stdin).await;
        Host::Stock { store: Box::new(store), instance }
    }

    /// Calls an export. Arguments are numbers without a sign; `Err` where the guest was stopped, with how.
    pub(crate) async fn call(&mut self, name: &str, args: &[u64]) -> Result<u64, String> {
        match self {
            Host::Ours(_) => match self.outcome(name, args).await.ending {
                Ending::Returned(Value::Null) => Ok(0),
                Ending::Returned(value) => Ok(unsigned(&value)),
                other => Err(format!("{other:?}")),
            },
            Host::Stock { store, instance } => {
                let store = &mut **store;
                let function = instance.get_func(&mut *store, name).expect("it is exported");
                let ty = function.ty(&*store);
                let given = args.iter().zip(ty.params()).map(|(value, ty)| match ty {
                    wasmtime::ValType::I64 => Val::I64(value.cast_signed()),
                    _ => Val::I32((*value as u32).cast_signed()),
                });
                let given: Vec<Val> = given.collect();
                let mut results = vec![Val::I32(0); ty.results().len()];
                match function.call_async(&mut *store, &given, &mut results).await {
                    Err(error) => Err(error.root_cause().to_string()),
                    Ok(()) => Ok(match results.first() {
                        Some(Val::I32(value)) => u64::from(value.cast_unsigned()),
                        Some(Val::I64(value)) => value.cast_unsigned(),
                        _ => 0,
                    }),
                }
            }
        }
    }

    /// What a call on Runner did and cost.
    pub(crate) async fn outcome(&mut self, name: &str, args: &[u64]) -> Outcome {
        let Host::Ours(instance) = self else { panic!("only Runner keeps accounts") };
        let args: Vec<Value> = args.iter().map(|arg| Value::String(arg.to_string())).collect();
        instance.call(name).args(args).run().await.expect("the host does its part")
    }

    /// What the capability counted in a call: calls, bytes to the guest, bytes from it.
    pub(crate) async fn counted(&mut self, name: &str, args: &[u64]) -> (u64, u64, u64) {
        let usage = self.outcome(name, args).await.usage;
        let files = usage.capabilities.iter().find(|(id, _)| id == "fs");
        files.map_or((0, 0, 0), |(_, files)| (files.calls, files.bytes_in, files.bytes_out))
    }

    pub(crate) async fn load(&mut self, at: u64) -> u64 {
        self.call("load", &[at]).await.expect("it lies in the memory")
    }

    pub(crate) async fn store(&mut self, at: u64, value: u64) {
        self.call("store", &[at, value]).await.expect("it lies in the memory");
    }

    pub(crate) async fn put(&mut self, at: u64, bytes: &[u8]) {
        for (index, eight) in bytes.chunks(8).enumerate() {
            let mut whole = [0; 8];
            whole[..eight.len()].copy_from_slice(eight);
            self.store(at + 8 * index as u64, u64::from_le_bytes(whole)).await;
        }
    }

    pub(crate) async fn get(&mut self, at: u64, bytes: u64) -> Vec<u8> {
        let mut read = Vec::new();
        for index in 0..bytes.div_ceil(8) {
            read.extend(self.load(at + 8 * index).await.to_le_bytes());
        }
        read.truncate(bytes as usize);
        read
    }

    /// Ends an instance of Runner, as its last call ended.
    pub(crate) async fn close(self) -> runner_core::Result<()> {
        match self {
            Host::Ours(instance) => instance.close().await.map(drop),
            Host::Stock { .. } => Ok(()),
        }
    }
}

/// A module on wasmtime's own preview 1, and what becomes its standard output.
async fn stock(
    module: &[u8],
    directory: &Path,
    at: &str,
    stdin: &str,
) -> (Store<WasiP1Ctx>, wasmtime::Instance, MemoryOutputPipe) {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    add_to_linker_async(&mut linker, |wasi: &mut WasiP1Ctx| wasi).expect("it links");
    let module = Module::new(&engine, module).expect("it compiles");
    let stdout = MemoryOutputPipe::new(1 << 20);
    let wasi = WasiCtxBuilder::new()
        .stdin(MemoryInputPipe::new(stdin.to_owned()))
        .stdout(stdout.clone())
        .stderr(MemoryOutputPipe::new(1 << 20))
        .preopened_dir(directory, at, FsPerms::ReadWrite)
        .expect("the directory opens")
        .build_p1();
    let mut store = Store::new(&engine, wasi);
    let instance = linker.instantiate_async(&mut store, &module).await.expect("it starts");
    (store, instance, stdout)
}

/// What a command prints on wasmtime's own preview 1, with a directory at `/data`.
pub(crate) async fn stock_command(module: &[u8], directory: &Path, stdin: &str) -> String {
    let (mut store, instance, stdout) = stock(module, directory, "/data", stdin).await;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").expect("it is a command");
    start.call_async(&mut store, ()).await.expect("it comes to its end");
    String::from_utf8(stdout.contents().to_vec()).expect("text")
}

/// A core function's result: given with a sign, as a text where it is large.
fn unsigned(value: &Value) -> u64 {
    let signed = match value {
        Value::String(text) => text.parse::<i64>().expect("a number"),
        other => other.as_i64().expect("a number"),
    };
    signed.cast_unsigned()
}
