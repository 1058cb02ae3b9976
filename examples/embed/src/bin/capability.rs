// A capability that someone else wrote: a counter that keeps what a call has added only if the call returned.
use runner_core::{CallContext, Capability, Ending, Executor, Grants, HasView, Host, Result, View};
use runner_core::{async_trait, wasmtime};
use std::sync::{Arc, atomic::AtomicI64, atomic::Ordering::Relaxed};

wasmtime::component::bindgen!({
    inline: "package acme:count; interface counter { add: func(by: s64) -> s64; } world host { import counter; }",
    imports: { default: trappable }, wasmtime_crate: runner_core::wasmtime,
});
use acme::count::counter;

struct Counter(Arc<AtomicI64>);

#[async_trait]
impl Capability for Counter {
    type Grant = ();
    type State = i64; // what this call would make of the counter

    fn id(&self) -> &str {
        "counter"
    }
    fn serves(&self) -> &[&str] {
        &["acme:count/counter"]
    }
    fn link(linker: &mut wasmtime::component::Linker<Host>) -> wasmtime::Result<()> {
        counter::add_to_linker::<_, HasView<i64>>(linker, Host::view)
    }
    fn open(&self, _grant: &(), _call: &CallContext) -> Result<i64> {
        Ok(self.0.load(Relaxed))
    }
    async fn close(&self, count: i64, ending: &Ending<()>) -> Result<()> {
        if ending.is_returned() {
            self.0.store(count, Relaxed);
        }
        Ok(())
    }
}

impl counter::Host for View<'_, i64> {
    fn add(&mut self, by: i64) -> wasmtime::Result<i64> {
        **self += by;
        Ok(**self)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let count = Arc::new(AtomicI64::new(0));
    let executor = Executor::builder().capability(Counter(count.clone())).build()?;
    let program = executor.load(GUEST.as_bytes(), &Grants::none().grant("counter", ())).await?;
    let outcome = program.call("add").args(serde_json::json!([21])).run().await?;
    println!("{:?}, then {count:?}", outcome.ending); // Returned(Number(21)), then 21
    Ok(())
}

const GUEST: &str = r#"(component (import "acme:count/counter" (instance $c (export "add" (func (param "by" s64) (result s64)))))
    (core func $add (canon lower (func $c "add"))) (core instance $c (export "add" (func $add)))
    (core module $m (import "c" "add" (func $add (param i64) (result i64))) (export "add" (func $add)))
    (core instance $i (instantiate $m (with "c" (instance $c))))
    (func (export "add") (param "by" s64) (result s64) (canon lift (core func $i "add"))))"#;
