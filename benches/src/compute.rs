//! Compute kernels: what limits cost a guest that calls nobody. Both sides call a live instance, so that only its code counts.

use runner_core::{Metering, Number};
use wasmtime::component::{ComponentNamedList, Lower};
use wasmtime::{Store, WasmParams};

use crate::{Row, Side, bare, each, ours, wait};

/// What is measured here.
pub const ROWS: &[Row] = &[
    Row::new("compute, request (JSON and regex)", || request(Bare::Plain, Metering::Epochs)).goal(1.15),
    Row::new("compute, request, bare with epochs", || request(Bare::Epochs, Metering::Epochs)),
    Row::new("compute, request, Metering::None", || request(Bare::Plain, Metering::None)),
    Row::new("compute, sha256", || sha256(Bare::Plain, Metering::Epochs)),
    Row::new("compute, sha256, bare with epochs", || sha256(Bare::Epochs, Metering::Epochs)),
    Row::new("compute, sha256, Metering::None", || sha256(Bare::Plain, Metering::None)),
    Row::new("compute, fib", || fib(Bare::Plain, Metering::Epochs)),
    Row::new("compute, fib, bare with epochs", || fib(Bare::Epochs, Metering::Epochs)),
    Row::new("compute, fib, Metering::None", || fib(Bare::Plain, Metering::None)),
    Row::new("compute, matmul", || matmul(Bare::Plain, Metering::Epochs)),
    Row::new("compute, matmul, bare with epochs", || matmul(Bare::Epochs, Metering::Epochs)),
    Row::new("compute, matmul, Metering::None", || matmul(Bare::Plain, Metering::None)),
];

/// Whether something interrupts the bare engine's guest.
#[derive(Clone, Copy)]
enum Bare {
    Plain,
    Epochs,
}

/// Ten orders of 2 KiB.
fn request(side: Bare, metering: Metering) -> (Side, Side) {
    kernel::<(i32,), i32>(side, metering, "request", (10,))
}

/// 64 KiB, four times.
fn sha256(side: Bare, metering: Metering) -> (Side, Side) {
    kernel::<(i32, i32), i64>(side, metering, "sha256", (64 << 10, 4))
}

fn fib(side: Bare, metering: Metering) -> (Side, Side) {
    kernel::<(i32,), i64>(side, metering, "fib", (24,))
}

fn matmul(side: Bare, metering: Metering) -> (Side, Side) {
    kernel::<(i32,), f64>(side, metering, "matmul", (100,))
}

fn kernel<P, R>(side: Bare, metering: Metering, function: &'static str, params: P) -> (Side, Side)
where
    P: WasmParams + ComponentNamedList + Lower + Copy + Send + Sync + 'static,
    R: Number + PartialEq + std::fmt::Debug + Send + Sync + 'static,
{
    let bytes = runner_guests::get("kernels");
    let engine = match side {
        Bare::Plain => bare::engine(),
        Bare::Epochs => bare::interrupted(),
    };
    let pre = bare::linked(engine, &bare::module(engine, bytes));
    let mut store = Store::new(engine, ());
    if let Bare::Epochs = side {
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
    }
    let instance = wait(pre.instantiate_async(&mut store)).expect("it starts");
    let func = instance.get_typed_func::<P, R>(&mut store, function).expect("it is there");
    let expected = wait(func.call_async(&mut store, params)).expect("it returns");
    let bare = each(async move || {
        func.call_async(&mut store, params).await.expect("it returns");
    });
    let program = ours::metered(bytes, metering);
    let mut instance = wait(program.instance().start()).expect("it starts");
    let func = instance.typed::<P, R>(function).expect("it is there");
    let found = wait(func.call(&mut instance, params)).expect("it runs").returned();
    assert_eq!(found, Some(expected), "both sides compute the same");
    let ours = each(async move || {
        let outcome = func.call(&mut instance, params).await.expect("it runs");
        assert!(outcome.ending.is_returned());
    });
    (bare, ours)
}
