//! Calls from the guest into the host: one operation is one of them, made by a guest that loops.

use std::time::{Duration, Instant};

use runner_core::{CallContext, Capability, Executor, Grants, HasView, Host, Result, View, async_trait};
use wasmtime::component::{Component, HasSelf};
use wasmtime::{AsContextMut, Store};

use crate::{Row, Side, bare, guests, wait};

/// What is measured here.
pub const ROWS: &[Row] = &[
    Row::new("host call, core, capability", || core("run_noop", false)),
    Row::new("host call, core, async host_fn", || core("run_noop", true)),
    Row::new("host call, component no-op, capability", || component(Answer::NoOp, false)).goal(1.6),
    Row::new("host call, component no-op, async host_fn", || component(Answer::NoOp, true)).goal(1.6),
    Row::new("host call, component 1 KiB get, capability", || component(Answer::Get, false)).goal(1.6),
    Row::new("host call, component 1 KiB get, async host_fn", || component(Answer::Get, true)).goal(1.6),
];

/// Host calls in one call of the guest; the call itself is then nothing beside them.
const AT_ONCE: u64 = 100_000;

/// What `get` gives to the guest.
const VALUE_BYTES: usize = 1 << 10;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../examples/guests/wit/bench-host",
        world: "host",
        imports: { default: trappable },
    });
}
use bindings::bench::host::calls;

/// The stranger's capability: it does nothing but count, which the view does anyway.
struct Calls;

/// The state of one call, and on the bare side all that a store has.
struct State;

#[async_trait]
impl Capability for Calls {
    type Grant = ();
    type State = State;

    fn id(&self) -> &str {
        "calls"
    }

    fn serves(&self) -> &[&str] {
        &["bench:host/calls", "bench"]
    }

    fn link(linker: &mut wasmtime::component::Linker<Host>) -> wasmtime::Result<()> {
        calls::add_to_linker::<_, HasView<State>>(linker, Host::view)
    }

    fn link_core(linker: &mut wasmtime::Linker<Host>) -> wasmtime::Result<()> {
        linker.func_wrap("bench", "noop", |mut caller: wasmtime::Caller<'_, Host>| {
            caller.data_mut().view::<State>();
        })?;
        linker.func_wrap("bench", "add", |mut caller: wasmtime::Caller<'_, Host>, a: i32, b: i32| {
            caller.data_mut().view::<State>();
            a.wrapping_add(b)
        })?;
        Ok(())
    }

    fn open(&self, _grant: &(), _call: &CallContext) -> Result<State> {
        Ok(State)
    }
}

impl calls::Host for View<'_, State> {
    fn noop(&mut self) -> wasmtime::Result<()> {
        Ok(())
    }

    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.charge(VALUE_BYTES as u64, key.len() as u64)?;
        Ok(Some(vec![0; VALUE_BYTES]))
    }
}

impl calls::Host for State {
    fn noop(&mut self) -> wasmtime::Result<()> {
        Ok(())
    }

    fn get(&mut self, _key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(Some(vec![0; VALUE_BYTES]))
    }
}

fn capability() -> (Executor, Grants) {
    let executor = Executor::builder().capability(Calls).build().expect("it starts");
    (executor, Grants::none().grant("calls", ()))
}

fn functions() -> (Executor, Grants) {
    let executor = Executor::builder()
        .host_fn("bench:host/calls", "noop", |(): ()| async { Ok(()) })
        .host_fn("bench:host/calls", "get", |(_key,): (String,)| async { Ok((Some(vec![0_u8; VALUE_BYTES]),)) })
        .core_fn("bench", "noop", |(): ()| async { Ok(()) })
        .core_fn("bench", "add", |(a, b): (i32, i32)| async move { Ok(a.wrapping_add(b)) })
        .build()
        .expect("it starts");
    (executor, Grants::none().grant("bench:host/calls", ()).grant("bench", ()))
}

/// A side that makes so many host calls by a few calls of the guest.
pub(crate) fn loops(mut call: impl AsyncFnMut(u32) + 'static) -> Side {
    Box::new(move |mut left| {
        wait(async {
            let mut took = Duration::ZERO;
            while left > 0 {
                let now = left.min(AT_ONCE);
                let from = Instant::now();
                call(now as u32).await;
                took += from.elapsed();
                left -= now;
            }
            took
        })
    })
}

fn core(function: &'static str, by_function: bool) -> (Side, Side) {
    let bytes = guests::text("host_call");
    let engine = bare::engine();
    let mut linker = wasmtime::Linker::new(engine);
    let linked = match by_function {
        true => linker
            .func_wrap_async("bench", "noop", |_caller, (): ()| Box::new(async {}))
            .and_then(|linker| {
                linker.func_wrap_async("bench", "add", |_caller, (a, b): (i32, i32)| {
                    Box::new(async move { a.wrapping_add(b) })
                })
            })
            .map(drop),
        false => linker
            .func_wrap("bench", "noop", || {})
            .and_then(|linker| linker.func_wrap("bench", "add", |a: i32, b: i32| a.wrapping_add(b)))
            .map(drop),
    };
    linked.expect("each name is new");
    let mut store = Store::new(engine, ());
    let module = bare::module(engine, &bytes);
    let instance = wait(linker.instantiate_async(&mut store, &module)).expect("it starts");
    let run = instance.get_typed_func::<i32, ()>(&mut store, function).expect("it is there");
    let bare = loops(async move |times| run.call_async(&mut store, times as i32).await.expect("it returns"));

    let (executor, grants) = if by_function { functions() } else { capability() };
    let program = wait(executor.load(&bytes, &grants).into_future()).expect("it loads");
    let mut instance = wait(program.instance().start()).expect("it starts");
    let run = instance.typed::<(i32,), ()>(function).expect("it is there");
    let ours = loops(async move |times| {
        let outcome = run.call(&mut instance, (times as i32,)).await.expect("it runs");
        assert_eq!(outcome.returned(), Some(()));
    });
    (bare, ours)
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    NoOp,
    Get,
}

fn component(answer: Answer, by_function: bool) -> (Side, Side) {
    let bytes = guests::component("component-host-call");
    let engine = bare::engine();
    let mut linker = wasmtime::component::Linker::<State>::new(engine);
    match by_function {
        true => {
            let mut instance = linker.instance("bench:host/calls").expect("the name is new");
            instance.func_wrap_async("noop", |_store, (): ()| Box::new(async { Ok(()) })).expect("the name is new");
            let get = instance.func_wrap_async("get", |_store, (_key,): (String,)| {
                Box::new(async { Ok((Some(vec![0_u8; VALUE_BYTES]),)) })
            });
            get.expect("the name is new");
        }
        false => calls::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).expect("each name is new"),
    }
    let component = Component::new(engine, &bytes).expect("it compiles");
    let mut store = Store::new(engine, State);
    let instance = wait(linker.instantiate_async(&mut store, &component)).expect("it starts");
    let (noop, get) = (
        instance.get_typed_func::<(u32,), ()>(&mut store, "run-noop").expect("it is there"),
        instance.get_typed_func::<(u32,), (u64,)>(&mut store, "run-get").expect("it is there"),
    );
    let bare = loops(async move |times| match answer {
        Answer::NoOp => noop.call_async(store.as_context_mut(), (times,)).await.expect("it returns"),
        Answer::Get => {
            let (bytes,) = get.call_async(store.as_context_mut(), (times,)).await.expect("it returns");
            assert_eq!(bytes, u64::from(times) * VALUE_BYTES as u64);
        }
    });

    let (executor, grants) = if by_function { functions() } else { capability() };
    let guest = runner_guests::get("component-host-call");
    let program = wait(executor.load(guest, &grants).into_future()).expect("it loads");
    let mut instance = wait(program.instance().start()).expect("it starts");
    let noop = instance.typed::<(u32,), ()>("run-noop").expect("it is there");
    let get = instance.typed::<(u32,), u64>("run-get").expect("it is there");
    let ours = loops(async move |times| match answer {
        Answer::NoOp => {
            let outcome = noop.call(&mut instance, (times,)).await.expect("it runs");
            assert!(outcome.usage.host_calls >= u64::from(times));
        }
        Answer::Get => {
            let outcome = get.call(&mut instance, (times,)).await.expect("it runs");
            assert_eq!(outcome.returned(), Some(u64::from(times) * VALUE_BYTES as u64));
        }
    });
    (bare, ours)
}
