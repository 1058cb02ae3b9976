//! Each limit at its number: a call that needs as much returns, with one less it ends there, and the ending says how much
//! was allowed.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use runner_core::{Bounds, Ending, Executor, Grants, HttpReply, LimitKind, Limits, Metering, Outcome, Program};
use serde_json::{Value, json};

use crate::support::{guest, metered, mover, program, shared, small, value};

/// Limits of which one kind is named, and the rest is ample.
fn allowing(kind: LimitKind, allowed: u64) -> Limits {
    let mut limits = Limits { memory_bytes: 1 << 30, ..Limits::default() };
    match kind {
        LimitKind::Deadline => limits.deadline = Duration::from_millis(allowed),
        LimitKind::Memory => limits.memory_bytes = allowed,
        LimitKind::Tables => limits.table_elements = allowed,
        LimitKind::Instances => limits.instances = u32::try_from(allowed).expect("a small number"),
        LimitKind::Fuel => limits.fuel = allowed,
        LimitKind::HostCalls => limits.host_calls = allowed,
        LimitKind::HostBytes => limits.host_bytes = allowed,
        LimitKind::Handles => limits.handles = u32::try_from(allowed).expect("a small number"),
        LimitKind::Input => limits.input_bytes = allowed,
        LimitKind::Output => limits.output_bytes = allowed,
        other => panic!("{other} is no limit of a call"),
    }
    limits
}

#[track_caller]
fn assert_met<T: std::fmt::Debug>(ending: &Ending<T>, kind: LimitKind, allowed: u64, unit: &str) {
    let Ending::Exhausted(limit) = ending else { panic!("expected the limit on {kind}, found {ending:?}") };
    assert_eq!((limit.kind, limit.allowed), (kind, allowed));
    assert_eq!(limit.to_string(), format!("{kind} ({allowed} {unit} allowed)"));
}

/// A call that needs exactly so much of one kind.
async fn check(program: &Program, function: &str, args: Value, kind: LimitKind, needed: u64, unit: &str) {
    let run = async |allowed| {
        let call = program.call(function).args(args.clone()).limits(allowing(kind, allowed));
        call.run().await.expect("the host does its part").ending
    };
    let within = run(needed).await;
    assert!(within.is_returned(), "{function} {args} within {needed} {unit}: {within:?}");
    assert_met(&run(needed - 1).await, kind, needed - 1, unit);
}

async fn text(text: &str) -> Program {
    shared().load(text.as_bytes(), &Grants::none()).await.expect(text)
}

#[tokio::test]
async fn memory() {
    const PAGE: u64 = 64 << 10;
    let grows = "(i32.eq (memory.grow $last (i32.const 12)) (i32.const -1))";
    let grows_wide = "(i64.eq (memory.grow $last (i64.const 12)) (i64.const -1))";
    let nothing = "(i32.const 0)";
    // What a module starts with, what it grows by, and all of its memories together; with 64-bit addresses too.
    for (memories, refused) in [
        ("(memory $last 16)", nothing),
        ("(memory $last i64 16)", nothing),
        ("(memory 8) (memory $last 8)", nothing),
        ("(memory $last 4)", grows),
        ("(memory $last i64 4)", grows_wide),
        ("(memory 2) (memory $last 2)", grows),
        ("(memory i64 2) (memory $last 2)", grows),
        ("(memory 2) (memory $last i64 2)", grows_wide),
    ] {
        let module =
            text(&format!("(module {memories} (func (export \"f\") (if {refused} (then unreachable))))")).await;
        check(&module, "f", json!([]), LimitKind::Memory, 16 * PAGE, "bytes").await;
    }
    // The modules of one component.
    let component = text(
        "(component
            (core module $m (memory 8) (func (export \"f\")))
            (core instance $i (instantiate $m)) (core instance (instantiate $m))
            (func (export \"f\") (canon lift (core func $i \"f\"))))",
    )
    .await;
    check(&component, "f", json!([]), LimitKind::Memory, 16 * PAGE, "bytes").await;
}

#[tokio::test]
async fn memory_of_64_bit_addresses() {
    let wide = program("memory64.wat").await;
    let mut instance = wide.instance().limits(allowing(LimitKind::Memory, 1 << 20)).start().await.expect("it starts");
    // One page at first, fifteen more are allowed; u64 amounts are read as text.
    for (function, args, expected) in [
        ("grow_by", json!([16]), json!(-1)),
        ("grow_by", json!(["18446744073709551615"]), json!(-1)),
        ("grow_by", json!(["281474976710656"]), json!(-1)),
        ("grow_by", json!([15]), json!(1)),
        ("grow_by", json!([1]), json!(-1)),
        ("grow_by", json!([0]), json!(16)),
        ("size", json!([]), json!(16)),
        ("keep", json!([(1 << 20) - 8, "18446744073709551615"]), json!(-1)),
    ] {
        let outcome = instance.call(function).args(args.clone()).run().await.expect("it runs");
        assert_eq!(value(outcome), expected, "{function} {args}");
    }
    // Addresses that do not fit 32 bits are checked, not cut.
    for address in [json!((1 << 20) - 7), json!(1_u64 << 32), json!("18446744073709551608")] {
        match wide.call("keep").args(json!([address, 1])).run().await.expect("it runs").ending {
            Ending::Trapped(trap) => assert_eq!(trap.code, "memory_out_of_bounds", "{address}"),
            other => panic!("{address}: {other:?}"),
        }
    }
    let outcome = wide.call("grow").limits(allowing(LimitKind::Memory, 1 << 20)).run().await.expect("it runs");
    assert_met(&outcome.ending, LimitKind::Memory, 1 << 20, "bytes");
    assert_eq!(outcome.usage.memory_peak_bytes, 64 << 10, "a growth by sixteen pages did not fit");
}

#[tokio::test]
async fn tables() {
    let grows = "(i32.eq (table.grow $last (ref.null func) (i32.const 600)) (i32.const -1))";
    let grows_wide = "(i64.eq (table.grow $last (ref.null func) (i64.const 600)) (i64.const -1))";
    for (tables, refused) in [
        ("(table $last 1000 funcref)", "(i32.const 0)"),
        ("(table 500 funcref) (table $last 500 externref)", "(i32.const 0)"),
        ("(table $last 400 funcref)", grows),
        ("(table 200 funcref) (table $last 200 funcref)", grows),
        ("(table 200 funcref) (table $last i64 200 funcref)", grows_wide),
    ] {
        let module = text(&format!("(module {tables} (func (export \"f\") (if {refused} (then unreachable))))")).await;
        check(&module, "f", json!([]), LimitKind::Tables, 1_000, "elements").await;
    }
}

#[tokio::test]
async fn instances() {
    let component = |more: usize| {
        let more = "(core instance (instantiate $m))".repeat(more);
        format!(
            "(component
                (core module $m (func (export \"f\")))
                (core instance $i (instantiate $m)) {more}
                (func (export \"f\") (canon lift (core func $i \"f\"))))"
        )
    };
    for more in [0, 2] {
        let needed = more as u64 + 1;
        check(&text(&component(more)).await, "f", json!([]), LimitKind::Instances, needed, "instances").await;
    }
}

#[tokio::test]
async fn fuel() {
    // It is looked at where a loop begins again: a guest may go over by the length of one round.
    let fibonacci = metered("fibonacci.wat", Metering::Fuel).await;
    let run = async |fuel| {
        let call = fibonacci.call("fibonacci").args(json!([80])).limits(allowing(LimitKind::Fuel, fuel));
        call.run().await.expect("it runs")
    };
    let spent = run(1_000_000).await.usage.fuel.expect("it is metered");
    let within = run(spent).await;
    assert_eq!((value(within.clone()), within.usage.fuel), (json!("23416728348467685"), Some(spent)));
    let over = run(spent - 50).await;
    assert_met(&over.ending, LimitKind::Fuel, spent - 50, "units");
    assert_eq!(over.usage.fuel, Some(spent - 50));
}

#[tokio::test]
async fn fuel_is_no_limit_of_what_is_not_metered_by_it() {
    let outcome = program("gcd.wat").await.call("gcd").args(json!([48, 36])).limits(allowing(LimitKind::Fuel, 0));
    assert_eq!(value(outcome.run().await.expect("it runs")), json!(12));
}

#[tokio::test]
async fn host_calls() {
    let (_executor, moves) = mover().await;
    check(&moves, "move", json!([10, 0, 0, 0, 0]), LimitKind::HostCalls, 10, "calls").await;
    // The one that goes over is the last, and it is counted.
    let over = moves.call("move").args(json!([10, 0, 0, 0, 0])).limits(allowing(LimitKind::HostCalls, 4)).run().await;
    let usage = over.expect("it runs").usage;
    assert_eq!((usage.host_calls, usage.capabilities[0].1.calls), (5, 5));
    // WASI's functions of both previews are host calls as well.
    let yields = text(
        "(module (import \"wasi_snapshot_preview1\" \"sched_yield\" (func $yield (result i32)))
            (memory (export \"memory\") 1)
            (func (export \"f\") (drop (call $yield)) (drop (call $yield)) (drop (call $yield))))",
    )
    .await;
    check(&yields, "f", json!([]), LimitKind::HostCalls, 3, "calls").await;
}

#[tokio::test]
async fn host_bytes() {
    let (_executor, moves) = mover().await;
    // Both ways, over all calls.
    check(&moves, "move", json!([3, 300, 0, 0, 40]), LimitKind::HostBytes, 3 * 340, "bytes").await;
    check(&moves, "move", json!([1, 1_020, 0, 0, 0]), LimitKind::HostBytes, 1_020, "bytes").await;
    check(&moves, "move", json!([1, 0, 0, 0, 1_020]), LimitKind::HostBytes, 1_020, "bytes").await;
    // An amount that no counter holds is met as well.
    let most = moves.call("move").args(json!([2, -1, 0, 0, -1])).run().await.expect("it runs");
    assert_met(&most.ending, LimitKind::HostBytes, 1 << 30, "bytes");
}

#[tokio::test]
async fn handles() {
    let bad = program("misbehave.wasm").await;
    check(&bad, "hold-handles", json!([50]), LimitKind::Handles, 50, "handles").await;
    // Those that were given back are held no more.
    let mut instance = bad.instance().limits(allowing(LimitKind::Handles, 50)).start().await.expect("it starts");
    for _ in 0..3 {
        let outcome = instance.call("hold-handles").args(json!([50])).run().await.expect("it runs");
        assert_eq!(value(outcome), json!(50));
    }
}

#[tokio::test]
async fn deadline_of_a_guest_that_sleeps() {
    // In a poll of WASI's clocks, of both previews, and in a capability.
    let (_executor, moves) = mover().await;
    let (p2, commands) =
        (program("misbehave.wasm").await, [program("command-p1.wasm").await, program("command-p2.wasm").await]);
    tokio::time::pause();
    let limits = || allowing(LimitKind::Deadline, 1_000);
    for (program, function, args) in [
        (&p2, "sleep", |ms: u64| json!([ms])),
        (&moves, "move", |ms| json!([1, 0, 0, ms, 0])),
        (&moves, "move", |ms| json!([2, 0, 0, ms / 2, 0])),
    ] as [(_, _, fn(u64) -> Value); 3]
    {
        let run = async |ms| program.call(function).args(args(ms)).limits(limits()).run().await.expect("it runs");
        let within = run(990).await;
        assert!(within.ending.is_returned(), "{function} {}: {:?}", args(990), within.ending);
        let over = run(1_010).await;
        assert_met(&over.ending, LimitKind::Deadline, 1_000, "ms");
        assert!(over.usage.wall < Duration::from_millis(1_005), "{}", over.usage);
    }
    for command in &commands {
        let run = async |ms: &str| {
            command.command().args(["command", "sleep", ms]).limits(limits()).run().await.expect("it runs").ending
        };
        assert!(run("980").await.is_returned());
        assert_met(&run("1010").await, LimitKind::Deadline, 1_000, "ms");
    }
}

#[tokio::test]
async fn stack() {
    let dive = "(module (func $dive (export \"dive\") (param $depth i32) (result i32)
        (if (result i32) (i32.eqz (local.get $depth)) (then (i32.const 0))
            (else (i32.add (i32.const 1) (call $dive (i32.sub (local.get $depth) (i32.const 1))))))))";
    // A frame takes at least a return address and a frame pointer, and no more than a few words besides.
    for (stack_bytes, within, over) in [(64 << 10, 600, 4_100), (512 << 10, 5_000, 33_000), (4 << 20, 33_000, 270_000)]
    {
        let bounds = Bounds { stack_bytes, ..small() };
        let executor = Executor::builder().bounds(bounds).build().expect("it starts");
        let program = executor.load(dive.as_bytes(), &Grants::none()).await.expect("it loads");
        let run = async |depth: i32| program.call("dive").args(json!([depth])).run().await.expect("it runs");
        assert_eq!(value(run(within).await), json!(within), "{stack_bytes}");
        assert_met(&run(over).await.ending, LimitKind::Stack, stack_bytes as u64, "bytes");
    }
}

#[tokio::test]
async fn input() {
    let identity = program("types.wasm").await;
    let text = "x".repeat(1_000);
    // As JSON the text has two quotes, and the array that it stands in has brackets.
    let json = |text: &str| json!([text]).to_string().len() as u64 + 1;
    check(&identity, "echo-string", json!([text]), LimitKind::Input, json(&text), "bytes").await;
    // A command's arguments, environment and standard input, all together.
    for guest in ["command-p1.wasm", "command-p2.wasm"] {
        let command = program(guest).await;
        let run = async |allowed| {
            let command = command.command().args(["command", "cat"]).env("NAME", "value").stdin("line");
            command.limits(allowing(LimitKind::Input, allowed)).run().await.expect("it runs")
        };
        let within = run(7 + 3 + 4 + 5 + 4).await;
        assert!(within.ending.is_returned() && within.stdout == b"line", "{guest}: {within:?}");
        let over = run(22).await;
        assert_met(&over.ending, LimitKind::Input, 22, "bytes");
        assert!(over.usage.host_calls == 0, "{guest}: nothing ran");
    }
    // A call's arguments and what it finds in its standard environment.
    let reactor = program("reactor.wasm").await;
    let run = async |allowed| {
        let call = reactor.call("greet").args(json!([])).env("GREETING", "ahoy").stdin("line");
        call.limits(allowing(LimitKind::Input, allowed)).run().await.expect("it runs")
    };
    assert_eq!(value(run(8 + 4 + 4 + 2).await), json!(4));
    assert_met(&run(17).await.ending, LimitKind::Input, 17, "bytes");
    // An instance's, when it starts.
    let start = async |allowed| {
        let start = reactor.instance().args(["name"]).env("GREETING", "ahoy").stdin("line");
        start.limits(allowing(LimitKind::Input, allowed)).start().await
    };
    assert!(start(4 + 8 + 4 + 4).await.is_ok());
    let error = start(19).await.err().expect("it is over the limit");
    assert_met(&error.outcome().expect("the outcome is kept").ending, LimitKind::Input, 19, "bytes");
}

#[tokio::test]
async fn input_of_a_request() {
    let hello = program("http-hello.wasm").await;
    let run = async |allowed| {
        let request = Request::builder().method(Method::POST).uri("http://localhost/echo");
        let request = request.body(Full::new(Bytes::from(vec![b'x'; 1_000]))).expect("a request");
        match hello.http(request).limits(allowing(LimitKind::Input, allowed)).send().await.expect("it runs") {
            HttpReply::Answered { response, ended } => {
                let _ = response.into_body().collect().await;
                ended.outcome().await.expect("it ends").ending
            }
            HttpReply::Unanswered(outcome) => outcome.ending,
            _ => panic!("an unknown reply"),
        }
    };
    // The head counts: method, path and authority.
    let head = "POST/echolocalhost".len() as u64;
    let within = run(head + 1_000).await;
    assert!(within.is_returned(), "{within:?}");
    for over in [head + 999, head, head - 1] {
        assert_met(&run(over).await, LimitKind::Input, over, "bytes");
    }
}

#[tokio::test]
async fn output() {
    // Standard output, standard error and the result, alone and all together; a text has two quotes.
    let bad = program("misbehave.wasm").await;
    for (out, err, text) in [(1_000, 0, 0), (0, 1_000, 0), (0, 0, 1_000), (500, 300, 200)] {
        let needed = out + err + text + 2;
        check(&bad, "say", json!([out, err, text]), LimitKind::Output, needed, "bytes").await;
    }
    let outcome: Outcome =
        bad.call("say").args(json!([500, 300, 200])).limits(allowing(LimitKind::Output, 900)).run().await.unwrap();
    assert_met(&outcome.ending, LimitKind::Output, 900, "bytes");
    assert_eq!((outcome.stdout.len(), outcome.stderr.len()), (500, 300), "what fitted is kept");
    for guest in ["command-p1.wasm", "command-p2.wasm"] {
        let command = program(guest).await;
        let run = async |allowed| {
            let command = command.command().args(["command", "flood", "1000"]);
            command.limits(allowing(LimitKind::Output, allowed)).run().await.expect("it runs")
        };
        // Nothing returned is `null` in JSON.
        let within = run(1_004).await;
        assert!(within.ending.is_returned() && within.stdout.len() == 1_000, "{guest}");
        let over = run(999).await;
        assert_met(&over.ending, LimitKind::Output, 999, "bytes");
        assert_eq!(over.stdout.len(), 999, "{guest}");
    }
}

#[tokio::test]
async fn limits_of_the_executor_hold_for_calls_that_name_none() {
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let executor = Executor::builder().bounds(small()).limits(limits.clone()).build().expect("it starts");
    assert_eq!(executor.limits(), &limits);
    let grow = executor.load(guest("grow.wat"), &Grants::none()).await.expect("it loads");
    let ending = grow.call("grow").run().await.expect("it runs").ending;
    assert_met(&ending, LimitKind::Memory, 1 << 20, "bytes");
    let named = grow.call("grow_politely").limits(allowing(LimitKind::Memory, 33 << 16)).run().await.expect("it runs");
    assert_eq!(value(named), json!(32));
}
