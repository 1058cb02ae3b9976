//! The engines of one executor, one for each [`Metering`], built on first use. It knows settings, not programs.
//!
//! `../../benches/README.md` has what each setting is worth on this kind of machine.

use std::sync::{Arc, OnceLock};

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::clock::Ticker;
use crate::code::CodeKeys;
use crate::error::{Error, Result};
use crate::limits::{Bounds, Metering};

/// Host stack above the guest's: what host functions use on a guest's fiber.
const HOST_STACK_BYTES: usize = 1 << 20;

/// Memory that a freed slot keeps: with a page scan the kernel says which pages are dirty, so more is worth keeping;
/// without one all of it is cleared by hand, which above 128 KiB costs more than it saves.
const KEPT_BYTES_SCANNED: usize = 1 << 20;
const KEPT_BYTES: usize = 128 << 10;

/// Freed slots unmapped at once: the median call is cheaper, the 99th percentile dearer; 1 keeps the tail short.
const DECOMMIT_BATCH: usize = 1;

/// What each place holds of the pool. One call can take no more than its own place's share, so that none is short for
/// another: a component has a memory (the preview 1 adapter shares it) and about four core instances with three tables. A heap
/// for garbage collection takes one memory more.
pub(crate) const MEMORIES_EACH: u32 = 3;
pub(crate) const TABLES_EACH: u32 = 16;
const INSTANCES_EACH: u32 = 64;

/// Tables are small and many: what is kept of each after a burst is kept for ever.
const KEPT_TABLE_BYTES: usize = 64 << 10;

/// The engines of one executor.
pub(crate) struct Engines {
    bounds: Bounds,
    pooling: bool,
    ticker: Arc<Ticker>,
    epochs: OnceLock<Built>,
    fuel: OnceLock<Built>,
    none: OnceLock<Built>,
}

/// An engine, and what names the code that fits it.
pub(crate) struct Built {
    pub(crate) engine: Engine,
    pub(crate) keys: CodeKeys,
}

impl Engines {
    pub(crate) fn new(bounds: Bounds, pooling: bool, ticker: Arc<Ticker>) -> Self {
        Engines { bounds, pooling, ticker, epochs: OnceLock::new(), fuel: OnceLock::new(), none: OnceLock::new() }
    }

    /// The engine for a metering.
    pub(crate) fn get(&self, metering: Metering) -> Result<&Built> {
        let cell = match metering {
            Metering::Epochs => &self.epochs,
            Metering::Fuel => &self.fuel,
            Metering::None => &self.none,
        };
        if let Some(built) = cell.get() {
            return Ok(built);
        }
        // Two first calls may both build one; the loser's is dropped.
        let engine = build(&self.bounds, metering, self.pooling)?;
        let keys = CodeKeys::new(&engine, metering);
        let built = cell.get_or_init(|| Built { engine, keys });
        if metering == Metering::Epochs {
            self.ticker.drive(&built.engine);
        }
        Ok(built)
    }
}

fn build(bounds: &Bounds, metering: Metering, pooling: bool) -> Result<Engine> {
    let mut config = config(bounds, metering);
    if pooling {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(bounds)));
        match Engine::new(&config) {
            Ok(engine) => return Ok(engine),
            // A host with little address space: the same engine, each instance mapped on demand (4x dearer a call).
            Err(error) => tracing::warn!(%error, calls = bounds.calls, "no instance pool, mapping on demand"),
        }
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    }
    Engine::new(&config).map_err(|error| Error::internal("the engine does not start").source(error))
}

/// An engine that only compiles: what it makes fits the engine that runs. In a process of its own it may use all cores.
pub(crate) fn compiling(bounds: &Bounds, metering: Metering, all_cores: bool) -> Result<Engine> {
    let mut config = config(bounds, metering);
    config.parallel_compilation(all_cores);
    Engine::new(&config).map_err(|error| Error::internal("the compiling engine does not start").source(error))
}

fn config(bounds: &Bounds, metering: Metering) -> Config {
    let mut config = Config::new();
    config
        .max_wasm_stack(bounds.stack_bytes)
        .async_stack_size(bounds.stack_bytes + HOST_STACK_BYTES)
        .concurrency_support(false)
        .epoch_interruption(metering == Metering::Epochs)
        .consume_fuel(metering == Metering::Fuel)
        // Shared memory outlives a store and escapes its limits.
        .wasm_threads(false)
        .wasm_memory64(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(64))
        // Names come from the name section; debug information of strangers is not read.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    config
}

fn pool(bounds: &Bounds) -> PoolingAllocationConfig {
    let scanned = PoolingAllocationConfig::is_pagemap_scan_available();
    let kept = if scanned { KEPT_BYTES_SCANNED } else { KEPT_BYTES };
    let each = |share: u32| bounds.calls.saturating_mul(share);
    // A function that is exported or stands in a table takes 32 bytes of its instance; not reserved, only allowed.
    let instance_bytes = (1 << 20) + 32 * bounds.functions as usize;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(bounds.calls)
        .max_core_instances_per_component(INSTANCES_EACH)
        .max_core_instance_size(instance_bytes)
        .max_component_instance_size(instance_bytes)
        .total_core_instances(each(INSTANCES_EACH))
        .max_memories_per_component(MEMORIES_EACH)
        .max_memories_per_module(MEMORIES_EACH)
        .total_memories(each(MEMORIES_EACH + 1))
        .max_tables_per_component(TABLES_EACH)
        .max_tables_per_module(TABLES_EACH)
        .total_tables(each(TABLES_EACH))
        .total_stacks(bounds.calls)
        .total_gc_heaps(bounds.calls)
        .max_memory_size(usize::try_from(bounds.memory_bytes).unwrap_or(usize::MAX))
        .table_elements(bounds.table_elements)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(kept)
        .table_keep_resident(KEPT_TABLE_BYTES)
        .decommit_batch_size(DECOMMIT_BATCH);
    pool
}
