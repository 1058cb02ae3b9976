//! Guests on wasmtime's own filesystem over a directory: what others do, which is what ours is held against.

use std::path::Path;

use runner_core::wasmtime::component::{Component, Linker, ResourceTable};
use runner_core::wasmtime::{Engine, Store};
use serde_json::Value;
use wasmtime_wasi::filesystem::FsPerms;
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// What a guest may print: more than any of ours has to say.
const OUTPUT_BYTES: usize = 64 << 20;

struct Host {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

/// wasmtime's own, with a guest compiled.
pub(crate) struct Stock {
    component: Component,
    linker: Linker<Host>,
}

impl Stock {
    pub(crate) fn new(guest: &str) -> Self {
        let engine = Engine::default();
        let component = Component::new(&engine, runner_guests::get(guest)).expect("a component");
        let mut linker = Linker::<Host>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("its own interfaces");
        Stock { component, linker }
    }

    /// What came of each step over a directory, which is at `/data`.
    pub(crate) async fn came(&self, directory: &Path, steps: &Value) -> Vec<Value> {
        let stdout = MemoryOutputPipe::new(OUTPUT_BYTES);
        let mut builder = WasiCtxBuilder::new();
        builder.arg("guest").stdin(MemoryInputPipe::new(steps.to_string())).stdout(stdout.clone()).inherit_stderr();
        builder.preopened_dir(directory, "/data", FsPerms::ReadWrite).expect("a directory");
        let host = Host { ctx: builder.build(), table: ResourceTable::new() };
        let mut store = Store::new(self.component.engine(), host);
        let command = Command::instantiate_async(&mut store, &self.component, &self.linker).await.expect("it starts");
        let ended = command.wasi_cli_run().call_run(&mut store).await.expect("it does not trap");
        assert_eq!(ended, Ok(()), "it returns");
        super::lines_of(&stdout.contents())
    }
}
