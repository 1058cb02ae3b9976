// Lends one site to a guest that asks for it by `wasi:http`, and to no other: run it as
// `fetch GUEST.wasm HOST ARGUMENT..`, where the guest is a command.
#![allow(missing_docs, clippy::print_stdout)]
use runner_core::{Ending, Executor, Grants};
use runner_host_http::{Grant, Http, Rule};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [guest, host, arguments @ ..] = arguments.as_slice() else {
        eprintln!("expected: fetch GUEST.wasm HOST ARGUMENT..");
        return Ok(());
    };

    // Once: what the host can lend.
    let executor = Executor::builder().capability(Http::new()).build()?;

    // For each program: what it may ask for. GET and HEAD over https, on the usual port, at public addresses.
    let grant = Grant { allow: vec![Rule::host(host)?], ..Grant::default() };
    let grants = Grants::none().grant("http", serde_json::to_value(grant)?);
    let program = executor.load(&std::fs::read(guest)?, &grants).await?;

    let outcome = program.command().arg(guest).args(arguments).run().await?;
    match outcome.ending {
        Ending::Returned(_) => println!("{}", String::from_utf8_lossy(&outcome.stdout)),
        other => println!("{other:?}: {}", String::from_utf8_lossy(&outcome.stderr)),
    }
    println!("{}", outcome.usage); // ends in `http: 1 calls, 1256 B in, 0 B out`
    Ok(())
}
