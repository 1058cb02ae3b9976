//! Calls: in a fresh instance each, and of one that stays alive.

use runner_core::Outcome;
use serde_json::{Value, json};
use wasmtime::Store;
use wasmtime::component::Component;

use crate::{Row, Side, bare, each, guests, ours, wait};

/// What is measured here.
pub const ROWS: &[Row] = &[
    Row::new("fresh call, sum of two ints", || fresh(&guests::text("sum_of_2_ints"), "sum_of_2_ints")).goal(1.25),
    Row::new("fresh call, 10 KiB module", || fresh(guests::ten_kib(), "add")).goal(1.25),
    Row::new("fresh call, touching memory", || fresh(&guests::text("memory_touch"), "touch")).goal(1.25),
    Row::new("fresh call, 2.6 MB module", || fresh(runner_guests::get("big"), "add")).goal(1.25),
    Row::new("fresh call, component", fresh_component).goal(1.25),
    Row::new("live call, typed", || live(live_typed)).goal(1.5),
    Row::new("live call, typed, component", live_component).goal(1.5),
    Row::new("live call, JSON", || live(live_json)),
    Row::new("live call, JSON, text in and out of a component", live_text),
];

/// Both sides call a function of two ints; ours by name with JSON, as its users do.
fn fresh(bytes: &[u8], function: &'static str) -> (Side, Side) {
    let engine = bare::engine();
    let module = bare::module(engine, bytes);
    let (pre, export) = (bare::linked(engine, &module), module.get_export_index(function).expect("it is there"));
    let bare = each(async move || {
        let mut store = Store::new(engine, ());
        let instance = pre.instantiate_async(&mut store).await.expect("it starts");
        let func = instance.get_module_export(&mut store, &export).and_then(|found| found.into_func());
        let func = func.and_then(|func| func.typed::<(i32, i32), i32>(&store).ok()).expect("it is there");
        assert_eq!(func.call_async(&mut store, (16, 26)).await.expect("it returns"), answer(function));
    });
    let program = ours::program(bytes);
    let ours = each(async move || {
        let outcome = program.call(function).args(json!([16, 26])).run().await.expect("it runs");
        assert_eq!(value(outcome), answer(function));
    });
    (bare, ours)
}

/// `touch` gives back the second argument, the others add.
fn answer(function: &str) -> i32 {
    if function == "touch" { 26 } else { 42 }
}

fn value(outcome: Outcome) -> Value {
    outcome.returned().expect("it returns")
}

fn fresh_component() -> (Side, Side) {
    let engine = bare::engine();
    let component = Component::new(engine, guests::component("greet")).expect("it compiles");
    let (pre, export) = (bare::linked_component(&component), component.get_export_index(None, "add").expect("it adds"));
    let bare = each(async move || {
        let mut store = Store::new(engine, ());
        let instance = pre.instantiate_async(&mut store).await.expect("it starts");
        let func = instance.get_typed_func::<(i32, i32), (i32,)>(&mut store, &export).expect("it is there");
        assert_eq!(func.call_async(&mut store, (16, 26)).await.expect("it returns"), (42,));
    });
    let program = ours::program(runner_guests::get("greet"));
    let ours = each(async move || {
        let outcome = program.call("add").args(json!([16, 26])).run().await.expect("it runs");
        assert_eq!(value(outcome), 42);
    });
    (bare, ours)
}

/// The bare side of a live call, beside one of our two.
fn live(ours: fn(&[u8]) -> Side) -> (Side, Side) {
    let bytes = guests::text("sum_of_2_ints");
    let engine = bare::engine();
    let pre = bare::linked(engine, &bare::module(engine, &bytes));
    let mut store = Store::new(engine, ());
    let instance = wait(pre.instantiate_async(&mut store)).expect("it starts");
    let func = instance.get_typed_func::<(i32, i32), i32>(&mut store, "sum_of_2_ints").expect("it is there");
    let bare = each(async move || {
        assert_eq!(func.call_async(&mut store, (16, 26)).await.expect("it returns"), 42);
    });
    (bare, ours(&bytes))
}

fn live_typed(bytes: &[u8]) -> Side {
    let mut instance = wait(ours::program(bytes).instance().start()).expect("it starts");
    let sum = instance.typed::<(i32, i32), i32>("sum_of_2_ints").expect("it is there");
    each(async move || {
        let outcome = sum.call(&mut instance, (16, 26)).await.expect("it runs");
        assert_eq!(outcome.returned(), Some(42));
    })
}

fn live_json(bytes: &[u8]) -> Side {
    let mut instance = wait(ours::program(bytes).instance().start()).expect("it starts");
    each(async move || {
        let outcome = instance.call("sum_of_2_ints").args(json!([16, 26])).run().await.expect("it runs");
        assert_eq!(value(outcome), 42);
    })
}

fn live_component() -> (Side, Side) {
    let engine = bare::engine();
    let component = Component::new(engine, guests::component("greet")).expect("it compiles");
    let mut store = Store::new(engine, ());
    let instance = wait(bare::linked_component(&component).instantiate_async(&mut store)).expect("it starts");
    let func = instance.get_typed_func::<(i32, i32), (i32,)>(&mut store, "add").expect("it is there");
    let bare = each(async move || {
        assert_eq!(func.call_async(&mut store, (16, 26)).await.expect("it returns"), (42,));
    });
    let program = ours::program(runner_guests::get("greet"));
    let mut instance = wait(program.instance().start()).expect("it starts");
    let add = instance.typed::<(i32, i32), i32>("add").expect("it is there");
    let ours = each(async move || {
        let outcome = add.call(&mut instance, (16, 26)).await.expect("it runs");
        assert_eq!(outcome.returned(), Some(42));
    });
    (bare, ours)
}

/// Bare by Rust types: what JSON costs is part of the row.
fn live_text() -> (Side, Side) {
    let engine = bare::engine();
    let component = Component::new(engine, guests::component("greet")).expect("it compiles");
    let mut store = Store::new(engine, ());
    let instance = wait(bare::linked_component(&component).instantiate_async(&mut store)).expect("it starts");
    let func = instance.get_typed_func::<(&str,), (String,)>(&mut store, "greet").expect("it is there");
    let bare = each(async move || {
        let (text,) = func.call_async(&mut store, ("world",)).await.expect("it returns");
        assert!(text.contains("world"));
    });
    let program = ours::program(runner_guests::get("greet"));
    let mut instance = wait(program.instance().start()).expect("it starts");
    let ours = each(async move || {
        let outcome = instance.call("greet").args(json!(["world"])).run().await.expect("it runs");
        assert!(value(outcome).as_str().is_some_and(|text| text.contains("world")));
    });
    (bare, ours)
}
