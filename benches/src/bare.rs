//! The bare engine at its best: every setting that `README.md` found worth having, and no limit or account of any kind.

use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use wasmtime::component::{Component, ResourceTable};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, Module, PoolingAllocationConfig};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::{RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

/// Slots of the pool, as many as Runner has by default.
const SLOTS: u32 = 1_000;

/// The engine that every row uses, without interruption: the fastest there is.
pub fn engine() -> &'static Engine {
    static ENGINE: LazyLock<Engine> = LazyLock::new(|| new(SLOTS, false));
    &ENGINE
}

/// The same with the interruption that Runner has by default, and a thread that makes spinning guests yield.
pub fn interrupted() -> &'static Engine {
    static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
        let engine = new(SLOTS, true);
        let weak = engine.weak();
        thread::spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                thread::sleep(Duration::from_millis(2));
            }
        });
        engine
    });
    &ENGINE
}

/// An engine with as many slots.
pub fn new(slots: u32, epochs: bool) -> Engine {
    let scanned = PoolingAllocationConfig::is_pagemap_scan_available();
    let kept = if scanned { 1 << 20 } else { 128 << 10 };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * 4)
        .total_memories(slots)
        .total_tables(slots * 2)
        .total_stacks(slots)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(kept)
        .table_keep_resident(kept)
        .decommit_batch_size(1);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .concurrency_support(false)
        .epoch_interruption(epochs);
    Engine::new(&config).expect("this machine has the address space for a pool")
}

/// A module compiled for an engine.
pub fn module(engine: &Engine, bytes: &[u8]) -> Module {
    Module::new(engine, bytes).expect("the guest compiles")
}

/// A module that imports nothing, linked.
pub fn linked(engine: &Engine, module: &Module) -> wasmtime::InstancePre<()> {
    wasmtime::Linker::new(engine).instantiate_pre(module).expect("the guest imports nothing")
}

/// A component that imports nothing, linked.
pub fn linked_component(component: &Component) -> wasmtime::component::InstancePre<()> {
    let linker = wasmtime::component::Linker::new(component.engine());
    linker.instantiate_pre(component).expect("the guest imports nothing")
}

/// What a store needs for an HTTP handler.
pub struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    hooks: Closed,
}

impl Host {
    /// A guest with nothing but its request.
    #[expect(clippy::new_without_default, reason = "a store's data is made on purpose")]
    pub fn new() -> Self {
        Host { wasi: WasiCtx::builder().build(), http: WasiHttpCtx::new(), table: ResourceTable::new(), hooks: Closed }
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

struct Closed;

type Sent = wasmtime_wasi_http::Result<(
    http::Response<WasiBody>,
    Box<dyn Future<Output = wasmtime_wasi_http::Result<(), wasmtime_wasi_http::Error>> + Send>,
)>;

impl WasiHttpHooks for Closed {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(std::future::ready(Err(wasmtime_wasi_http::Error::HttpRequestDenied)))
    }
}

/// An HTTP handler with all of WASI, linked.
pub fn proxy(engine: &Engine, bytes: &[u8]) -> ProxyPre<Host> {
    let component = Component::new(engine, bytes).expect("the guest compiles");
    let mut linker = wasmtime::component::Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("each name is new");
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).expect("each name is new");
    let pre = linker.instantiate_pre(&component).expect("WASI is all that it imports");
    ProxyPre::new(pre).expect("it handles HTTP")
}
