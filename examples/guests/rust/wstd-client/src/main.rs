//! A command on wstd, the async library that most guests of others stand on: it sleeps, then asks a server.
//!
//!     wstd-client MS URL [BODY]

use std::error::Error;
use std::time::{Duration, Instant};

use wstd::http::{Body, Client, Request};

#[wstd::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (ms, url, body) = match args.as_slice() {
        [ms, url] => (ms, url, None),
        [ms, url, body] => (ms, url, Some(body.clone())),
        _ => return Err(format!("expected MS URL [BODY], found {args:?}").into()),
    };
    let (asked, before) = (Duration::from_millis(ms.parse()?), Instant::now());
    wstd::task::sleep(asked.into()).await;
    println!("slept {}", if before.elapsed() >= asked { "long enough" } else { "too short" });

    let request = match body {
        None => Request::get(url).body(Body::empty()),
        Some(body) => Request::post(url).body(body.into()),
    };
    match Client::new().send(request?).await {
        Ok(response) => {
            println!("status {}", response.status().as_u16());
            println!("body {}", response.into_body().str_contents().await?);
        }
        Err(error) => println!("error {error:?}"),
    }
    Ok(())
}
