//! Functions by their real types, core and component, with JSON in and out.

use runner_core::{Ending, ErrorKind, Grants, LimitKind, Limits};
use serde_json::{Value, json};

use crate::support::{assert_exhausted, call, program, shared, value};

async fn check(guest: &str, function: &str, args: Value, expected: Value) {
    assert_eq!(value(call(guest, function, args).await), expected, "{guest} {function}");
}

async fn check_refused(guest: &str, function: &str, args: Value, kind: ErrorKind, words: &str) {
    let error = program(guest).await.call(function).args(args).run().await.expect_err("the call is refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "`{error}` does not say `{words}`");
}

#[tokio::test]
async fn core_functions_take_and_give_numbers() {
    check("sum_of_2_ints.wat", "sum_of_2_ints", json!([40, 2]), json!(42)).await;
    check("max_of_2_ints.wat", "max_of_2_ints", json!([-3, 7]), json!(7)).await;
    check("gcd.wat", "gcd", json!([48, 36]), json!(12)).await;
    check("fibonacci.wat", "fibonacci", json!([10]), json!(55)).await;
    check("is_prime.wat", "is_prime", json!([97]), json!(1)).await;
    check("factorial.wat", "factorial", json!([20]), json!("2432902008176640000")).await;
}

#[tokio::test]
async fn several_results_are_an_array() {
    check("swap.wat", "swap", json!([1, 2]), json!([2, 1])).await;
}

#[tokio::test]
async fn integers_beyond_2_to_the_53_are_text_and_both_forms_are_read() {
    check("big_numbers.wat", "identity", json!(["9007199254740993"]), json!("9007199254740993")).await;
    check("big_numbers.wat", "identity", json!([9_007_199_254_740_991_i64]), json!(9_007_199_254_740_991_i64)).await;
    check("big_numbers.wat", "identity", json!(["-9223372036854775808"]), json!("-9223372036854775808")).await;
    // Core integers have no sign: the unsigned reading is taken too, and given back signed.
    check("big_numbers.wat", "identity", json!(["18446744073709551615"]), json!(-1)).await;
    check("sum_of_2_ints.wat", "sum_of_2_ints", json!([4_294_967_295_u32, 1]), json!(0)).await;
}

#[tokio::test]
async fn floats_keep_their_value() {
    check("floats.wat", "identity_f64", json!([0.1]), json!(0.1)).await;
    check("floats.wat", "identity_f32", json!([0.1]), json!(0.1)).await;
    check("floats.wat", "identity_f64", json!(["NaN"]), json!("NaN")).await;
    check("floats.wat", "identity_f32", json!(["-Infinity"]), json!("-Infinity")).await;
    check("floats.wat", "identity_f64", json!([-0.0]), json!(-0.0)).await;
    check_refused("floats.wat", "identity_f32", json!([1e300]), ErrorKind::Invalid, "expected a number up to").await;
}

#[tokio::test]
async fn arguments_come_by_name_too() {
    check("sum_of_2_ints.wat", "sum_of_2_ints", json!({ "b": 2, "a": 40 }), json!(42)).await;
    check("greet.wasm", "add", json!({ "a": 40, "b": 2 }), json!(42)).await;
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_named() {
    let refused = |args, words: &'static str| {
        check_refused("sum_of_2_ints.wat", "sum_of_2_ints", args, ErrorKind::Invalid, words)
    };
    refused(json!([1]), "expected 2 arguments (a: s32, b: s32), found 1").await;
    refused(json!([1, "x"]), "argument `b`: expected an integer between -2147483648 and 4294967295, found `\"x\"`")
        .await;
    refused(json!([1, 1.5]), "argument `b`: expected an integer").await;
    refused(json!({ "a": 1 }), "argument `b` is missing").await;
    refused(json!({ "a": 1, "b": 2, "c": 3 }), "argument `c` is unknown").await;
    refused(json!("both"), "expected an array or an object of arguments").await;
    check_refused("gcd.wat", "lcm", json!([]), ErrorKind::NotFound, "no export `lcm`: it exports `gcd`").await;
}

#[tokio::test]
async fn components_and_functions_inside_their_interfaces_are_called() {
    check("greet.wasm", "greet", json!(["world"]), json!("Hello, world!")).await;
    check("greet-p1.wasm", "add", json!([1, 2]), json!(3)).await;
    check("component_add.wat", "add", json!([1, 2]), json!(3)).await;
    let area = "demo:greet/shapes@1.0.0#area";
    let shapes = program("greet.wasm").await;
    let area_export = shapes.exports().iter().find(|export| export.name == area).expect("it is exported").to_string();
    assert!(area_export.starts_with("demo:greet/shapes@1.0.0#area: func(shape: variant {"), "{area_export}");
}

/// One echo for every WIT type: name, then JSON that comes back as it went.
fn echoes() -> Vec<(&'static str, Value)> {
    vec![
        ("bool", json!(true)),
        ("s8", json!(-128)),
        ("u8", json!(255)),
        ("s16", json!(-32768)),
        ("u16", json!(65535)),
        ("s32", json!(-2147483648)),
        ("u32", json!(4294967295_u32)),
        ("s64", json!("-9223372036854775808")),
        ("u64", json!("18446744073709551615")),
        ("f32", json!(0.1)),
        ("f64", json!(1e300)),
        ("char", json!("é")),
        ("string", json!("grüße\n\u{1F980}")),
        ("bytes", json!({ "base64": "AAH/" })),
        ("numbers", json!([1, 2, 3])),
        ("strings", json!(["a", ""])),
        ("lists", json!([["a"], []])),
        ("points", json!([{ "x": 1, "y": -2 }])),
        ("point", json!({ "x": 1, "y": -2 })),
        ("people", json!([])),
        ("person", person()),
        ("tuple", json!([true, -5, "x"])),
        ("shape", json!("nothing")),
        ("shape", json!({ "circle": 1.5 })),
        ("shape", json!({ "rectangle": [1.0, 2.0] })),
        ("shape", json!({ "at": { "x": 0, "y": 0 } })),
        ("shape", json!({ "label": "nothing" })),
        ("signal", json!("wait")),
        ("color", json!("dark-blue")),
        ("permissions", json!(["read", "run-it"])),
        ("bits", json!(["b0", "b31"])),
        ("option", json!(null)),
        ("option", json!("some")),
        ("option-option", json!(null)),
        ("option-option", json!({ "some": null })),
        ("option-option", json!({ "some": 7 })),
        ("option-option-option", json!({ "some": { "some": null } })),
        ("attempts", attempts()),
        ("results", json!([{ "ok": 1 }, { "err": "no" }])),
    ]
}

fn person() -> Value {
    json!({ "name": "Ada", "age": 36, "home": { "x": 1, "y": 2 }, "tags": ["a"], "nickname": null })
}

fn attempts() -> Value {
    json!({
        "both": { "err": "no" },
        "only-ok": { "ok": "yes" },
        "only-err": { "err": "green" },
        "neither": { "ok": null },
    })
}

#[tokio::test]
async fn every_type_goes_in_and_comes_out() {
    let program = program("types.wasm").await;
    for prefix in ["echo-", "demo:types/values@1.0.0#echo-"] {
        for (name, json) in echoes() {
            let outcome = program.call(format!("{prefix}{name}")).args(json!([json.clone()])).run().await;
            assert_eq!(value(outcome.expect("it runs")), json, "{prefix}{name}");
        }
    }
    // Every echo that the guest exports is among those above, or a top-level result, which is unwrapped.
    for export in program.exports() {
        let Some(name) = export.name.strip_prefix("echo-") else { continue };
        let tested = echoes().iter().any(|(echo, _)| *echo == name) || name.starts_with("result");
        assert!(tested, "no test calls `{}`", export.name);
    }
}

#[tokio::test]
async fn a_list_of_bytes_is_taken_as_an_array_too() {
    check("types.wasm", "echo-bytes", json!([[0, 1, 255]]), json!({ "base64": "AAH/" })).await;
    check_refused("types.wasm", "echo-bytes", json!([{ "base64": "!" }]), ErrorKind::Invalid, "does not decode").await;
}

#[tokio::test]
async fn a_field_that_may_be_absent_may_be_left_out() {
    let mut short = person();
    short.as_object_mut().expect("an object").remove("nickname");
    check("types.wasm", "echo-person", json!([short]), person()).await;
}

#[tokio::test]
async fn a_top_level_result_is_unwrapped() {
    check("types.wasm", "try-parse", json!(["42"]), json!(42)).await;
    let failed = |function: &'static str, args| async move {
        match call("types.wasm", function, args).await.ending {
            Ending::Failed(failure) => failure,
            other => panic!("expected a failure, found {other:?}"),
        }
    };
    let failure = failed("try-parse", json!(["x"])).await;
    assert_eq!(failure.code, "error");
    assert!(!failure.message.is_empty() && failure.value.as_ref().is_some_and(Value::is_string), "{failure:?}");
    let failure = failed("fail-record", json!([])).await;
    let record = failure.value.clone().expect("the record is kept");
    assert_eq!(record["code"], json!(failure.code));
    assert_eq!(record["message"], json!(failure.message));
    assert_eq!(record["retryable"], json!(failure.retryable));
    let failure = failed("fail-variant", json!([])).await;
    assert!(failure.value.is_some_and(|value| value.get(&failure.code).is_some() || value == json!(failure.message)));
    assert_eq!(failed("fail-empty", json!([])).await.code, "error");
}

#[tokio::test]
async fn a_resource_is_refused_by_name_and_its_neighbours_are_not() {
    let words = "which has no form in JSON";
    check_refused("types.wasm", "demo:types/counters@1.0.0#open", json!([]), ErrorKind::Invalid, words).await;
    check("types.wasm", "demo:types/counters@1.0.0#live", json!([]), json!(0)).await;
    check_refused("v128.wat", "takes_v128", json!([0]), ErrorKind::Invalid, "`v128`, which has no form in JSON").await;
    check_refused("externref.wat", "takes_externref", json!([0]), ErrorKind::Invalid, "externref").await;
    check("externref.wat", "add", json!([1, 2]), json!(3)).await;
    check("v128.wat", "add_lanes", json!([1, 2]), json!(3)).await;
}

#[tokio::test]
async fn a_trap_has_a_code_and_named_frames() {
    let outcome = call("trap_deep.wat", "outer", json!([1])).await;
    let Ending::Trapped(trap) = outcome.ending else { panic!("expected a trap, found {:?}", outcome.ending) };
    assert_eq!(trap.code, "unreachable");
    let names: Vec<_> = trap.backtrace.iter().map(|frame| frame.function.as_str()).collect();
    assert_eq!(names, ["inner", "middle", "outer"]);
    assert!(trap.backtrace.iter().all(|frame| frame.offset.is_some()));
    let outcome = call("divide.wat", "divide", json!([1, 0])).await;
    let Ending::Trapped(trap) = outcome.ending else { panic!("expected a trap") };
    assert_eq!(trap.code, "integer_division_by_zero");
}

#[tokio::test]
async fn rust_names_are_readable_in_a_backtrace() {
    let outcome = call("misbehave.wasm", "panic", json!(["on purpose"])).await;
    let Ending::Trapped(trap) = outcome.ending else { panic!("expected a trap") };
    assert!(trap.backtrace.iter().any(|frame| frame.function.contains("panic")), "{trap}");
    assert!(trap.backtrace.iter().all(|frame| !frame.function.starts_with("_RN")), "{trap}");
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("on purpose"));
}

#[tokio::test]
async fn the_bill_says_what_a_call_cost() {
    let outcome = call("memory_touch.wat", "sum", json!([])).await;
    assert_eq!(outcome.usage.memory_peak_bytes, 65_536);
    assert!(outcome.usage.wall >= outcome.usage.guest && !outcome.usage.guest.is_zero());
    assert_eq!(outcome.usage.fuel, None);
    let fuelled = crate::support::metered("sum_of_2_ints.wat", runner_core::Metering::Fuel).await;
    let once = |args| async { fuelled.call("sum_of_2_ints").args(args).run().await.expect("it runs").usage.fuel };
    let fuel = once(json!([1, 2])).await;
    assert!(fuel.is_some_and(|fuel| fuel > 0 && fuel < 100));
    assert_eq!(once(json!([3, 4])).await, fuel, "fuel is the same in every run");
}

#[tokio::test]
async fn a_fresh_instance_remembers_nothing() {
    check("counter.wat", "next", json!([]), json!(1)).await;
    check("counter.wat", "next", json!([]), json!(1)).await;
}

/// A component that returns so many bytes of its memory.
fn list_of(bytes: usize) -> String {
    format!(
        "(component
            (core module $m (memory (export \"memory\") 16)
                (func (export \"f\") (result i32) (i32.store (i32.const 4) (i32.const {bytes})) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func (export \"f\") (result (list u8))
                (canon lift (core func $i \"f\") (memory (core memory $i \"memory\")))))"
    )
}

#[tokio::test]
async fn the_values_of_a_result_take_no_more_than_the_guests_own_memory() {
    // Each byte of a list is a value of some 40 bytes to the engine.
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    for (bytes, fits) in [(20_000, true), (33_000, false), (1_000_000, false)] {
        let program = shared().load(list_of(bytes).as_bytes(), &Grants::none()).await.expect("it loads");
        let run = async |limits| program.call("f").limits(limits).run().await.expect("it runs").ending;
        match run(limits.clone()).await {
            Ending::Returned(value) => assert!(fits, "{bytes} bytes: {} of base64", value["base64"].to_string().len()),
            ending => {
                assert!(!fits, "{bytes} bytes: {ending:?}");
                assert_exhausted(&ending, LimitKind::Output);
            }
        }
        let Ending::Returned(value) = run(Limits::default()).await else { panic!("{bytes} bytes fit the default") };
        let text = value["base64"].as_str().expect("a text").len();
        assert_eq!(text, bytes.div_ceil(3) * 4);
    }
}
