//! Every limit, met alone by a guest written for it, named in the ending, and harmless to the neighbours.

use std::time::Duration;

use runner_core::{Bounds, Ending, Executor, Grants, LimitKind, Limits, Metering};
use serde_json::{Value, json};

use crate::support::{assert_exhausted, executor, guest, metered, program, short, small, value};

async fn ending(guest: &str, function: &str, args: Value, limits: Limits) -> Ending {
    program(guest).await.call(function).args(args).limits(limits).run().await.expect("the host does its part").ending
}

#[tokio::test]
async fn deadline_stops_a_spinning_guest() {
    assert_exhausted(&ending("spin.wat", "spin", json!([]), short()).await, LimitKind::Deadline);
    assert_exhausted(&ending("misbehave.wasm", "spin", json!([]), short()).await, LimitKind::Deadline);
}

#[tokio::test]
async fn deadline_stops_a_start_function() {
    assert_exhausted(&ending("start_spin.wat", "never", json!([]), short()).await, LimitKind::Deadline);
}

#[tokio::test]
async fn deadline_stops_a_guest_metered_by_fuel() {
    let program = metered("spin.wat", Metering::Fuel).await;
    let limits = Limits { fuel: u64::MAX, ..short() };
    let outcome = program.call("spin").limits(limits).run().await.expect("it runs");
    assert_exhausted(&outcome.ending, LimitKind::Deadline);
}

#[tokio::test]
async fn deadline_cancels_a_sleeping_host_call() {
    let limits = Limits { deadline: Duration::from_secs(60), ..Limits::default() };
    let program = program("misbehave.wasm").await;
    tokio::time::pause();
    let outcome = program.call("sleep").args(json!([3_600_000])).limits(limits).run().await;
    let outcome = outcome.expect("it runs");
    assert_exhausted(&outcome.ending, LimitKind::Deadline);
    assert!(outcome.usage.host >= Duration::from_secs(59), "{}", outcome.usage);
}

#[tokio::test]
async fn deadline_of_an_unmetered_guest_holds_where_it_calls_the_host() {
    let program = metered("misbehave.wasm", Metering::None).await;
    let outcome = program.call("many-host-calls").args(json!([u64::MAX.to_string()])).limits(short()).run().await;
    assert_exhausted(&outcome.expect("it runs").ending, LimitKind::Deadline);
}

#[tokio::test]
async fn fuel_ends_a_guest_that_burns_it() {
    let program = metered("spin.wat", Metering::Fuel).await;
    let limits = Limits { fuel: 1_000_000, ..Limits::default() };
    let outcome = program.call("spin").limits(limits).run().await.expect("it runs");
    assert_exhausted(&outcome.ending, LimitKind::Fuel);
    assert_eq!(outcome.usage.fuel, Some(1_000_000));
}

fn memory(bytes: u64) -> Limits {
    Limits { memory_bytes: bytes, ..Limits::default() }
}

#[tokio::test]
async fn memory_grows_to_its_limit_and_no_further() {
    // One page at first, then 16 pages, a mebibyte, at a time.
    let four = memory((4 << 20) + (64 << 10));
    assert_eq!(ending("grow.wat", "grow_politely", json!([]), four).await, Ending::Returned(json!(64)));
    assert_exhausted(&ending("grow.wat", "grow", json!([]), memory(1 << 20)).await, LimitKind::Memory);
    assert_exhausted(
        &ending("misbehave.wasm", "grab-memory", json!([1 << 30]), memory(64 << 20)).await,
        LimitKind::Memory,
    );
}

#[tokio::test]
async fn memory_counts_what_a_module_starts_with() {
    assert_exhausted(&ending("big_memory.wat", "pages", json!([]), memory(256 << 20)).await, LimitKind::Memory);
    let all = ending("big_memory.wat", "pages", json!([]), memory(2 << 30)).await;
    assert_eq!(all, Ending::Returned(json!(16_384)));
}

#[tokio::test]
async fn memory_is_the_sum_of_all_memories() {
    assert_exhausted(&ending("two_memories.wat", "grow", json!([]), memory(1 << 20)).await, LimitKind::Memory);
    let four = memory((4 << 20) + 2 * (64 << 10));
    assert_eq!(ending("two_memories.wat", "grow_politely", json!([]), four).await, Ending::Returned(json!(64)));
}

#[tokio::test]
async fn a_trap_long_after_a_refused_growth_is_a_trap() {
    let text = "(module (memory 1)
        (func (export \"f\")
            (drop (memory.grow (i32.const 1000)))
            (drop (memory.grow (i32.const 1)))
            unreachable))";
    let program = executor().load(text.as_bytes(), &Grants::none()).await.expect("it loads");
    let outcome = program.call("f").limits(memory(1 << 20)).run().await.expect("it runs");
    assert!(matches!(outcome.ending, Ending::Trapped(_)), "{:?}", outcome.ending);
}

#[tokio::test]
async fn tables_grow_to_their_limit() {
    // One element at first, then a thousand at a time.
    let limits = || Limits { table_elements: 5_001, ..Limits::default() };
    assert_exhausted(&ending("table_bomb.wat", "grow", json!([]), limits()).await, LimitKind::Tables);
    assert_eq!(ending("table_bomb.wat", "grow_politely", json!([]), limits()).await, Ending::Returned(json!(5_000)));
    // What a module starts with counts.
    let text = "(module (table 10000 funcref) (func (export \"f\")))";
    let program = executor().load(text.as_bytes(), &Grants::none()).await.expect("it loads");
    assert_exhausted(&program.call("f").limits(limits()).run().await.expect("it runs").ending, LimitKind::Tables);
}

#[tokio::test]
async fn instances_of_one_component_are_counted() {
    let limits = Limits { instances: 1, ..Limits::default() };
    assert_exhausted(&ending("types.wasm", "nothing", json!([]), limits).await, LimitKind::Instances);
}

#[tokio::test]
async fn stack_ends_a_deep_recursion() {
    assert_exhausted(&ending("recurse.wat", "recurse", json!([0]), Limits::default()).await, LimitKind::Stack);
    let deeper = Executor::builder().bounds(Bounds { stack_bytes: 4 << 20, ..small() }).build().expect("it starts");
    let program = deeper.load(guest("recurse.wat"), &Grants::none()).await.expect("it loads");
    let outcome = program.call("recurse").args(json!([0])).run().await.expect("it runs");
    let Ending::Exhausted(limit) = outcome.ending else { panic!("{:?}", outcome.ending) };
    assert_eq!((limit.kind, limit.allowed), (LimitKind::Stack, 4 << 20));
}

#[tokio::test]
async fn host_calls_are_counted() {
    let limits = Limits { host_calls: 1_000, ..Limits::default() };
    let program = program("misbehave.wasm").await;
    let outcome = program.call("many-host-calls").args(json!([1_000_000])).limits(limits).run().await.expect("it runs");
    assert_exhausted(&outcome.ending, LimitKind::HostCalls);
    assert_eq!(outcome.usage.host_calls, 1_001);
    let outcome = program.call("many-host-calls").args(json!([500])).run().await.expect("it runs");
    assert!(outcome.ending.is_returned() && outcome.usage.host_calls >= 500);
}

#[tokio::test]
async fn handles_end_a_guest_that_opens_for_ever() {
    let limits = Limits { handles: 100, ..Limits::default() };
    assert_exhausted(&ending("misbehave.wasm", "open-handles", json!([]), limits).await, LimitKind::Handles);
}

#[tokio::test]
async fn input_is_weighed_before_anything_runs() {
    let limits = || Limits { input_bytes: 100, ..Limits::default() };
    let long = "x".repeat(200);
    assert_exhausted(&ending("greet.wasm", "greet", json!([long]), limits()).await, LimitKind::Input);
    let command = program("command-p1.wasm").await.command().arg("command").stdin("x".repeat(200));
    assert_exhausted(&command.limits(limits()).run().await.expect("it runs").ending, LimitKind::Input);
}

#[tokio::test]
async fn output_ends_a_hundred_megabyte_string() {
    let ending = ending("misbehave.wasm", "big-string", json!([100_000_000]), Limits::default()).await;
    assert_exhausted(&ending, LimitKind::Output);
}

#[tokio::test]
async fn output_counts_lists_and_lets_what_fits_through() {
    let limits = |output_bytes| Limits { output_bytes, ..Limits::default() };
    assert_exhausted(&ending("misbehave.wasm", "big-list", json!([100_000]), limits(50_000)).await, LimitKind::Output);
    assert!(ending("misbehave.wasm", "big-list", json!([100_000]), limits(200_000)).await.is_returned());
    assert!(ending("misbehave.wasm", "big-string", json!([100_000]), limits(200_000)).await.is_returned());
}

#[tokio::test]
async fn output_counts_what_is_printed_and_keeps_what_fitted() {
    for function in ["flood-stdout", "flood-stderr"] {
        let limits = Limits { output_bytes: 10_000, ..Limits::default() };
        let outcome =
            program("misbehave.wasm").await.call(function).args(json!([1_000_000])).limits(limits).run().await;
        let outcome = outcome.expect("it runs");
        assert_exhausted(&outcome.ending, LimitKind::Output);
        assert_eq!(outcome.stdout.len() + outcome.stderr.len(), 10_000, "{function}");
    }
    for guest in ["command-p1.wasm", "command-p2.wasm"] {
        let command = program(guest).await.command().args(["command", "flood", "1000000"]);
        let outcome =
            command.limits(Limits { output_bytes: 10_000, ..Limits::default() }).run().await.expect("it runs");
        assert_exhausted(&outcome.ending, LimitKind::Output);
        assert_eq!(outcome.stdout.len(), 10_000, "{guest}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_spin_on_every_core_leave_room_for_a_call() {
    let executor = executor();
    let spin = executor.load(guest("spin.wat"), &Grants::none()).await.expect("it loads");
    let gcd = executor.load(guest("gcd.wat"), &Grants::none()).await.expect("it loads");
    let spinners: Vec<_> = (0..4)
        .map(|_| {
            let limits = Limits { deadline: Duration::from_secs(4), ..Limits::default() };
            tokio::spawn(spin.call("spin").limits(limits).run())
        })
        .collect();
    // They all spin for four seconds; in that time the neighbour's calls are answered.
    for _ in 0..10 {
        assert_eq!(value(gcd.call("gcd").args(json!([48, 36])).run().await.expect("it runs")), json!(12));
    }
    assert!(spinners.iter().all(|spinner| !spinner.is_finished()), "the neighbour answered while they spun");
    for spinner in spinners {
        assert_exhausted(&spinner.await.expect("no panic").expect("it runs").ending, LimitKind::Deadline);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_of_every_bad_guest_is_well() {
    let executor = executor();
    let bad = executor.load(guest("misbehave.wasm"), &Grants::none()).await.expect("it loads");
    let limits = || Limits { memory_bytes: 64 << 20, host_calls: 10_000, ..short() };
    for (function, args) in [
        ("spin", json!([])),
        ("grab-memory", json!([1 << 30])),
        ("big-string", json!([30_000_000])),
        ("open-handles", json!([])),
        ("flood-stdout", json!([100_000_000])),
        ("recurse", json!([])),
        ("panic", json!(["x"])),
        ("many-host-calls", json!([1_000_000])),
    ] {
        let (bad_one, good_one) = tokio::join!(
            bad.call(function).args(args).limits(limits()).run(),
            bad.call("add").args(json!([1, 2])).run()
        );
        let bad_one = bad_one.expect("the host does its part");
        assert!(!bad_one.ending.is_returned(), "{function}: {:?}", bad_one.ending);
        assert_eq!(value(good_one.expect("it runs")), json!(3), "beside {function}");
    }
}

#[tokio::test]
async fn the_engine_s_own_helpers_are_no_host_calls() {
    // Growing, filling and copying memory, and yielding at each tick, leave the guest without calling the host.
    let text = "(module (memory 1)
        (func (export \"f\")
            (drop (memory.grow (i32.const 1)))
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))
            (memory.copy (i32.const 0) (i32.const 8) (i32.const 65536)))
        (func (export \"spin\") (loop (br 0))))";
    let program = executor().load(text.as_bytes(), &Grants::none()).await.expect("it loads");
    for function in ["f", "spin"] {
        let usage = program.call(function).limits(short()).run().await.expect("it runs").usage;
        assert_eq!((usage.host_calls, usage.host), (0, Duration::ZERO), "{function}");
    }
}

#[tokio::test]
async fn a_failed_growth_of_a_wide_table_gives_nothing_back() {
    // The engine reports a growth that overflows as failed without having asked for it.
    let text = "(module (table $t i64 1 funcref)
        (func (export \"f\") (result i64) (local $n i32)
            (loop $again
                (drop (table.grow $t (ref.null func) (i64.const 1000)))
                (drop (table.grow $t (ref.null func) (i64.const -1)))
                (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 50))))
            (table.size $t)))";
    let program = executor().load(text.as_bytes(), &Grants::none()).await.expect("it loads");
    let limits = Limits { table_elements: 5_001, ..Limits::default() };
    assert_eq!(value(program.call("f").limits(limits).run().await.expect("it runs")), json!(5_001));
}

#[tokio::test]
async fn a_guest_cannot_forge_its_ending_nor_swell_its_backtrace() {
    let name = "resource limit exceeded: instance count";
    let long = "x".repeat(10_000);
    let text = format!(
        "(module (func $f (@name \"{name}\") unreachable)
            (func $g (@name \"{long}\") (call $f)) (func (export \"f\") (call $g)))"
    );
    let program = executor().load(text.as_bytes(), &Grants::none()).await.expect("it loads");
    let outcome = program.call("f").run().await.expect("it runs");
    let Ending::Trapped(trap) = outcome.ending else { panic!("{:?}", outcome.ending) };
    assert_eq!(trap.backtrace[0].function, name);
    assert_eq!(trap.backtrace[1].function.len(), 256);
}

#[tokio::test]
async fn every_place_has_its_own_share_of_the_pool() {
    let bounds = Bounds { calls: 4, queue: 4, ..Bounds::default() };
    let executor = Executor::builder().bounds(bounds).build().expect("it starts");
    // As many memories and tables as one module may have, in every place at once.
    let (memories, tables) = ("(memory 1)".repeat(3), "(table 1 funcref)".repeat(16));
    let text = format!("(module {memories} {tables} (func (export \"f\") (result i32) i32.const 7))");
    let hog = executor.load(text.as_bytes(), &Grants::none()).await.expect("it loads");
    let mut hogs = Vec::new();
    for _ in 0..4 {
        hogs.push(hog.instance().start().await.expect("each finds its share"));
    }
    for mut hog in hogs {
        assert_eq!(value(hog.call("f").run().await.expect("it runs")), json!(7));
    }
}

#[tokio::test]
async fn more_memories_or_tables_than_a_place_has_are_refused_with_a_pool_and_without_one() {
    let pool = Executor::builder().bounds(small()).build().expect("it starts");
    let no_pool = Executor::builder().bounds(small()).without_pool().build().expect("it starts");
    let component = |memories: usize, tables: usize| {
        let instances = |module: &str, count| format!("(core instance (instantiate ${module}))").repeat(count);
        format!(
            r#"(component (core module $m (memory 1)) (core module $t (table 1 funcref)) {} {}
                (core module $f (func (export "f")))
                (core instance $i (instantiate $f))
                (func (export "f") (canon lift (core func $i "f"))))"#,
            instances("m", memories),
            instances("t", tables)
        )
    };
    let module = |memories, tables| {
        let (memories, tables) = ("(memory 1)".repeat(memories), "(table 1 funcref)".repeat(tables));
        format!(r#"(module {memories} {tables} (func (export "f")))"#)
    };
    for executor in [&pool, &no_pool] {
        for fits in [module(3, 16), component(3, 16)] {
            let program = executor.load(fits.as_bytes(), &Grants::none()).await.expect("it loads");
            assert!(program.call("f").run().await.expect("it runs").ending.is_returned());
        }
        for (more, found) in [
            (module(4, 0), "the module has 4 memories, the bound is 3"),
            (module(0, 17), "the module has 17 tables, the bound is 16"),
            (component(4, 0), "4 "),
            (component(0, 17), "17 "),
        ] {
            let error = executor.load(more.as_bytes(), &Grants::none()).await.expect_err(found);
            assert_eq!(error.kind(), runner_core::ErrorKind::Exceeded, "{error}");
            assert!(error.to_string().contains(found), "{error}");
        }
    }
}

#[tokio::test]
async fn a_small_output_limit_does_not_narrow_what_a_guest_reads() {
    let command = program("command-p1.wasm").await.command().args(["command", "cat"]).stdin("x".repeat(3_000));
    let outcome = command.limits(Limits { output_bytes: 4_000, ..Limits::default() }).run().await.expect("it runs");
    assert_eq!((outcome.ending.is_returned(), outcome.stdout.len()), (true, 3_000));
}

#[tokio::test]
async fn output_is_weighed_before_it_is_written_down() {
    let points: Vec<_> = (0..10_000).map(|n| json!({ "x": n, "y": n })).collect();
    let limits = |output_bytes| Limits { output_bytes, ..Limits::default() };
    let echo = async |limits| ending("types.wasm", "echo-points", json!([points.clone()]), limits).await;
    assert_exhausted(&echo(limits(100_000)).await, LimitKind::Output);
    assert!(echo(limits(1_000_000)).await.is_returned());
}

#[tokio::test]
async fn an_instance_names_the_limit_that_it_was_started_with() {
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let mut instance = program("grow.wat").await.instance().limits(limits).start().await.expect("it starts");
    let outcome = instance.call("grow").limits(Limits::default()).run().await.expect("it runs");
    let Ending::Exhausted(limit) = outcome.ending else { panic!("{:?}", outcome.ending) };
    assert_eq!((limit.kind, limit.allowed), (LimitKind::Memory, 1 << 20));
}
