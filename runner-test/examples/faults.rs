//! A guest that counts in a store, when the store goes wrong.
#![allow(missing_docs)]

use runner_test::{Fault, Host, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> runner_test::Result<()> {
    // A guest's crate is built with `Guest::build("../my-guest").run()?`; this one is at hand.
    let guest = runner_guests::get("kv-counter.wasm");
    let host = Host::builder().kv("default").build()?;
    let program = host.load(guest).await?;

    // Somebody else is faster, twice: the guest tries until its compare-and-swap succeeds.
    let store = host.kv("default");
    store.set("visits", "41");
    store.fail(Fault::conflict().key("visits").times(2));
    let done = program.call("add-by-swap", json!(["default", "visits", 1])).await?;
    done.assert_returned(json!(42));
    store.assert_holds("visits", "42");
    assert_eq!(store.faults_happened(), 2);

    // The store is away: the guest says no, and nothing was counted.
    store.fail(Fault::unavailable().writes());
    program.call("add", json!(["default", "visits", 1])).await?.assert_failed("error");
    store.assert_holds("visits", "42");
    Ok(())
}
