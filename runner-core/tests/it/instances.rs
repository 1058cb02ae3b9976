//! Instances that stay alive over several calls, and typed Rust calls on them.

use std::time::Duration;

use runner_core::{Bounds, Ending, ErrorKind, Executor, Grants, LimitKind, Limits};
use serde_json::json;

use crate::support::{assert_exhausted, guest, program, short, small, value};

#[tokio::test]
async fn state_stays_from_call_to_call() {
    let mut counter = program("counter.wat").await.instance().start().await.expect("it starts");
    for expected in 1..4 {
        assert_eq!(value(counter.call("next").run().await.expect("it runs")), json!(expected));
    }
    counter.close().await.expect("nothing to close");
    let mut reactor = program("reactor.wasm").await.instance().start().await.expect("it starts");
    assert_eq!(value(reactor.call("counter_next").run().await.expect("it runs")), json!(1));
    assert_eq!(value(reactor.call("counter_next").run().await.expect("it runs")), json!(2));
    assert_eq!(value(reactor.call("initialized").run().await.expect("it runs")), json!(1), "initialized once");
}

#[tokio::test]
async fn a_typed_call_serves_core_modules_and_components() {
    for (guest, function) in
        [("sum_of_2_ints.wat", "sum_of_2_ints"), ("greet.wasm", "add"), ("component_add.wat", "add")]
    {
        let mut instance = program(guest).await.instance().start().await.expect("it starts");
        let add = instance.typed::<(i32, i32), i32>(function).expect("the types fit");
        for n in 0..3 {
            let outcome = add.call(&mut instance, (n, 40)).await.expect("it runs");
            assert_eq!(outcome.ending, Ending::Returned(n + 40), "{guest}");
        }
    }
    let mut instance = program("greet.wasm").await.instance().start().await.expect("it starts");
    let greet = instance.typed_component::<(&str,), (String,)>("greet").expect("the types fit");
    let outcome = greet.call(&mut instance, ("world",)).await.expect("it runs");
    assert_eq!(outcome.returned(), Some(("Hello, world!".to_owned(),)));
}

#[tokio::test]
async fn a_typed_call_of_other_types_is_refused() {
    for (guest, function) in [("sum_of_2_ints.wat", "sum_of_2_ints"), ("greet.wasm", "add")] {
        let mut instance = program(guest).await.instance().start().await.expect("it starts");
        let error = instance.typed::<(i32,), i32>(function).err().expect("one parameter is missing");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(&format!("export `{function}` has other types")), "{error}");
        let error = instance.typed::<(), ()>("absent").err().expect("there is no such export");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_typed_function_belongs_to_its_instance() {
    let program = program("sum_of_2_ints.wat").await;
    let mut one = program.instance().start().await.expect("it starts");
    let mut two = program.instance().start().await.expect("it starts");
    let add = one.typed::<(i32, i32), i32>("sum_of_2_ints").expect("the types fit");
    let error = add.call(&mut two, (1, 2)).await.expect_err("another instance");
    assert!(error.to_string().contains("found in another instance"), "{error}");
}

#[tokio::test]
async fn each_call_has_limits_of_its_own_and_a_met_one_ends_the_instance() {
    let mut instance = program("misbehave.wasm").await.instance().start().await.expect("it starts");
    for _ in 0..3 {
        // Three times within the limit, although together they are over it.
        let limits = Limits { host_calls: 1_000, ..Limits::default() };
        let outcome = instance.call("many-host-calls").args(json!([800])).limits(limits).run().await.expect("it runs");
        assert!(outcome.ending.is_returned(), "{:?}", outcome.ending);
        assert!((800..1_000).contains(&outcome.usage.host_calls));
    }
    let outcome = instance.call("spin").limits(short()).run().await.expect("it runs");
    assert_exhausted(&outcome.ending, LimitKind::Deadline);
    let error = instance.call("add").args(json!([1, 2])).run().await.expect_err("it has ended");
    assert!(error.to_string().contains("the instance has ended"), "{error}");
}

#[tokio::test]
async fn a_dropped_call_ends_the_instance() {
    let mut instance = program("misbehave.wasm").await.instance().start().await.expect("it starts");
    let sleep = instance.call("sleep").args(json!([60_000])).run();
    assert!(tokio::time::timeout(Duration::from_millis(20), sleep).await.is_err(), "it sleeps");
    let error = instance.call("add").args(json!([1, 2])).run().await.expect_err("it was left half-way");
    assert!(error.to_string().contains("the instance has ended"), "{error}");
}

#[tokio::test]
async fn an_instance_that_does_not_start_says_why() {
    let start = program("start_spin.wat").await.instance().limits(short()).start().await;
    let error = start.err().expect("it does not start");
    assert!(error.to_string().contains("it met its limit on deadline"), "{error}");
    assert_exhausted(&error.outcome().expect("the outcome is kept").ending, LimitKind::Deadline);
}

#[tokio::test]
async fn memory_of_an_instance_is_bounded_over_its_life() {
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let mut instance = program("grow.wat").await.instance().limits(limits).start().await.expect("it starts");
    assert_eq!(value(instance.call("grow_by").args(json!([10])).run().await.expect("it runs")), json!(1));
    assert_eq!(value(instance.call("grow_by").args(json!([10])).run().await.expect("it runs")), json!(-1));
    assert_eq!(value(instance.call("grow_by").args(json!([5])).run().await.expect("it runs")), json!(11));
}

#[tokio::test]
async fn an_instance_holds_its_place_until_it_is_dropped() {
    let executor = Executor::builder().bounds(Bounds { calls: 1, queue: 1, ..small() }).build().expect("it starts");
    let program = executor.load(guest("counter.wat"), &Grants::none()).await.expect("it loads");
    let instance = program.instance().start().await.expect("it starts");
    let error = program.call("next").limits(short()).run().await.expect_err("the only place is taken");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop(instance);
    assert!(program.call("next").run().await.expect("the place is free").ending.is_returned());
}
