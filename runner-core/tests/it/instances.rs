//! Instances that stay alive over several calls, and typed Rust calls on them.

use std::time::Duration;

use runner_core::wasmtime::component::{ComponentType, Lift, Lower};
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
    for (guest, function) in [("sum_of_2_ints.wat", "sum_of_2_ints"), ("greet.wasm", "add")] {
        let program = program(guest).await;
        let mut one = program.instance().start().await.expect("it starts");
        let mut two = program.instance().start().await.expect("it starts");
        let add = one.typed::<(i32, i32), i32>(function).expect("the types fit");
        let error = add.call(&mut two, (1, 2)).await.expect_err("another instance");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("found in another instance"), "{error}");
        // Neither of them is worse for it.
        let own = two.typed::<(i32, i32), i32>(function).expect("the types fit");
        assert_eq!(own.call(&mut two, (1, 2)).await.expect("it runs").returned(), Some(3));
        assert_eq!(add.call(&mut one, (1, 2)).await.expect("it runs").returned(), Some(3));
    }
}

#[tokio::test]
async fn a_typed_call_says_what_the_types_are() {
    let mut sum = program("sum_of_2_ints.wat").await.instance().start().await.expect("it starts");
    let mut greet = program("greet.wasm").await.instance().start().await.expect("it starts");
    let mut command = program("command-p1.wasm").await.instance().start().await.expect("it starts");
    let name = "sum_of_2_ints";
    let no = "has other types";
    for (error, words) in [
        (sum.typed::<(i32,), i32>(name).err(), [no, "expected 1 types, found 2"]),
        (sum.typed::<(i64, i32), i32>(name).err(), [no, "expected i32, found i64"]),
        (sum.typed::<(i32, i32), f64>(name).err(), [no, "expected f64, found i32"]),
        (sum.typed::<(i32, i32), ()>(name).err(), [no, "expected 0 types, found 1"]),
        (sum.typed_component::<(i32, i32), (i32,)>(name).err(), ["`sum_of_2_ints`", "is not a component's function"]),
        (greet.typed::<(i32,), i32>("add").err(), [no, "expected 1"]),
        (greet.typed_component::<(u32,), (String,)>("greet").err(), [no, "expected `u32` found `string`"]),
        (greet.typed_component::<(String,), (u32,)>("greet").err(), [no, "expected `u32` found `string`"]),
        (command.typed::<(), ()>("_start").err(), ["`_start`", "is not a function"]),
    ] {
        let error = error.expect("the types differ");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(words.iter().all(|words| error.to_string().contains(words)), "`{error}` does not say {words:?}");
    }
}

#[tokio::test]
async fn each_number_is_a_type_of_a_typed_call() {
    macro_rules! check {
        ($guest:literal, $function:literal, $number:ty, $($value:expr),*) => {
            let mut instance = program($guest).await.instance().start().await.expect("it starts");
            let identity = instance.typed::<($number,), $number>($function).expect("the types fit");
            for value in [$($value),*] {
                let outcome = identity.call(&mut instance, (value,)).await.expect("it runs");
                assert_eq!(outcome.returned(), Some(value));
            }
        };
    }
    check!("big_numbers.wat", "identity", i64, i64::MIN, -1, i64::MAX);
    check!("big_numbers.wat", "identity", u64, 0, u64::MAX);
    check!("floats.wat", "identity_f32", f32, f32::MIN_POSITIVE, f32::NEG_INFINITY);
    check!("floats.wat", "identity_f64", f64, f64::MAX, f64::INFINITY);
    check!("types.wasm", "echo-s32", i32, i32::MIN, i32::MAX);
    check!("types.wasm", "echo-u32", u32, u32::MAX);
    check!("types.wasm", "echo-s64", i64, i64::MIN);
    check!("types.wasm", "echo-u64", u64, u64::MAX);
    check!("types.wasm", "demo:types/values@1.0.0#echo-f64", f64, 0.1);
    let mut counter = program("counter.wat").await.instance().start().await.expect("it starts");
    let next = counter.typed::<(), i32>("next").expect("the types fit");
    let reset = counter.typed::<(), ()>("reset").expect("the types fit");
    for _ in 0..2 {
        assert_eq!(next.call(&mut counter, ()).await.expect("it runs").returned(), Some(1));
        assert_eq!(reset.call(&mut counter, ()).await.expect("it runs").returned(), Some(()));
    }
}

#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(record)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(record)]
struct Person {
    name: String,
    age: u8,
    home: Point,
    tags: Vec<String>,
    nickname: Option<String>,
}

#[tokio::test]
async fn strings_records_lists_and_results_are_types_of_a_component_s_call() {
    let mut instance = program("types.wasm").await.instance().start().await.expect("it starts");
    macro_rules! check {
        ($function:literal, ($($param:expr),*) => $expected:expr) => {
            check!($function, ($($param),*) => $expected, _)
        };
        ($function:literal, ($($param:expr),*) => $expected:expr, $ty:ty) => {
            let function = instance.typed_component::<_, ($ty,)>($function).expect("the types fit");
            let outcome = function.call(&mut instance, ($($param,)*)).await.expect("it runs");
            assert_eq!(outcome.ending, Ending::Returned(($expected,)));
        };
    }
    let ada = Person {
        name: "Ada".to_owned(),
        age: 36,
        home: Point { x: 1, y: -2 },
        tags: vec!["a".to_owned(), String::new()],
        nickname: None,
    };
    check!("echo-person", (ada.clone()) => ada.clone());
    check!("demo:types/values@1.0.0#echo-people", (vec![ada.clone(), ada.clone()]) => vec![ada.clone(), ada]);
    check!("echo-lists", (vec![vec!["ü".to_owned()], vec![]]) => vec![vec!["ü".to_owned()], vec![]]);
    check!("echo-option-option", (Some(None::<u32>)) => Some(None::<u32>));
    check!("two-args", ("a".to_owned(), vec![1_u32, 2]) => "a [1, 2]".to_owned());
    // A result is given as it is: what is a failure, the caller's own types say.
    check!("try-parse", ("42".to_owned()) => Ok(42), Result<i32, String>);
    check!("echo-result", (Err::<u32, _>("no".to_owned())) => Err("no".to_owned()), Result<u32, String>);
}

#[tokio::test]
async fn a_failed_result_of_a_typed_call_leaves_the_instance_alive_and_a_trap_does_not() {
    let mut instance = program("types.wasm").await.instance().start().await.expect("it starts");
    let parse = instance.typed_component::<(&str,), (Result<i32, String>,)>("try-parse").expect("the types fit");
    assert!(parse.call(&mut instance, ("x",)).await.expect("it runs").returned().is_some_and(|(no,)| no.is_err()));
    assert_eq!(parse.call(&mut instance, ("7",)).await.expect("it runs").returned(), Some((Ok(7),)));
    let mut instance = program("divide.wat").await.instance().start().await.expect("it starts");
    let divide = instance.typed::<(i32, i32), i32>("divide").expect("the types fit");
    assert_eq!(divide.call(&mut instance, (7, 2)).await.expect("it runs").returned(), Some(3));
    match divide.call(&mut instance, (1, 0)).await.expect("it runs").ending {
        Ending::Trapped(trap) => assert_eq!(trap.code, "integer_division_by_zero"),
        other => panic!("{other:?}"),
    }
    let error = divide.call(&mut instance, (7, 2)).await.expect_err("it has ended");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("the instance has ended"), "{error}");
}

#[tokio::test]
async fn limits_of_an_instance_are_set_for_the_calls_that_name_none() {
    let mut instance = program("misbehave.wasm").await.instance().start().await.expect("it starts");
    let calls = instance.typed::<(u64,), u64>("many-host-calls").expect("the types fit");
    let text = instance.typed_component::<(u32,), (String,)>("big-string").expect("the types fit");
    let limits = |host_calls, output_bytes| Limits { host_calls, output_bytes, ..Limits::default() };
    instance.set_limits(limits(1_000, 100_000));
    assert!(calls.call(&mut instance, (900,)).await.expect("it runs").ending.is_returned());
    assert!(text.call(&mut instance, (90_000,)).await.expect("it runs").ending.is_returned());
    let named = instance.call("many-host-calls").args(json!([2_000])).limits(limits(3_000, 1_000)).run().await;
    assert!(named.expect("it runs").ending.is_returned(), "a call's own limits come first");
    let outcome = calls.call(&mut instance, (2_000,)).await.expect("it runs");
    let Ending::Exhausted(limit) = outcome.ending else { panic!("{:?}", outcome.ending) };
    assert_eq!((limit.kind, limit.allowed), (LimitKind::HostCalls, 1_000));
    // Another, for the output.
    let mut instance = program("misbehave.wasm").await.instance().start().await.expect("it starts");
    let text = instance.typed_component::<(u32,), (String,)>("big-string").expect("the types fit");
    instance.set_limits(limits(1_000, 100_000));
    let outcome = text.call(&mut instance, (110_000,)).await.expect("it runs");
    let Ending::Exhausted(limit) = outcome.ending else { panic!("{:?}", outcome.ending.map(|_| ())) };
    assert_eq!((limit.kind, limit.allowed), (LimitKind::Output, 100_000));
}

#[tokio::test]
async fn limits_that_are_set_later_leave_the_memory_as_it_was_started() {
    let limits = |memory_bytes| Limits { memory_bytes, ..Limits::default() };
    for (started, set) in [(1 << 20, 1 << 30), (1 << 20, 1 << 16)] {
        let mut instance =
            program("grow.wat").await.instance().limits(limits(started)).start().await.expect("it starts");
        instance.set_limits(limits(set));
        assert_eq!(value(instance.call("grow_by").args(json!([16])).run().await.expect("it runs")), json!(-1));
        assert_eq!(value(instance.call("grow_by").args(json!([15])).run().await.expect("it runs")), json!(1));
    }
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

#[tokio::test]
async fn a_result_that_is_too_large_ends_the_instance_like_any_limit() {
    let mut instance = program("types.wasm").await.instance().start().await.expect("it starts");
    let points: Vec<_> = (0..100).map(|n| json!({ "x": n, "y": n })).collect();
    let limits = Limits { output_bytes: 100, ..Limits::default() };
    let outcome = instance.call("echo-points").args(json!([points])).limits(limits).run().await.expect("it runs");
    assert_exhausted(&outcome.ending, LimitKind::Output);
    let error = instance.call("echo-points").args(json!([points])).run().await.expect_err("it has ended");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn an_instantiation_that_does_not_end_well_is_billed_as_one() {
    let outcome = program("start_spin.wat").await.call("never").limits(short()).run().await.expect("it runs");
    assert_exhausted(&outcome.ending, LimitKind::Deadline);
    assert_eq!(outcome.usage.instantiate, outcome.usage.wall, "there was time for nothing else");
    let error = program("start_spin.wat").await.instance().limits(short()).start().await.err().expect("it spins");
    let usage = &error.outcome().expect("what it cost").usage;
    assert!(!usage.instantiate.is_zero() && usage.instantiate == usage.wall, "{usage}");
}
