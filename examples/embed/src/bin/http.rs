// A web server of one guest: `http GUEST.wasm [ADDRESS]`. Each request gets a fresh instance.
use std::convert::Infallible;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use runner_core::{Executor, Grants, HttpReply, Program, Result};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let guest = args.next().ok_or_else(|| anyhow::anyhow!("usage: http GUEST.wasm [ADDRESS]"))?;
    let program = Executor::new()?.load(&std::fs::read(guest)?, &Grants::none()).await?;
    let listener = TcpListener::bind(args.next().unwrap_or_else(|| "127.0.0.1:8000".to_owned())).await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let program = program.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let program = program.clone();
                async move { Ok::<_, Infallible>(answer(program, request).await.unwrap_or_else(|error| excuse(&error))) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("{error}");
            }
        });
    }
}

type Answer = Response<http_body_util::Either<runner_core::Body, String>>;

async fn answer(program: Program, request: http::Request<Incoming>) -> Result<Answer> {
    match program.http(request).send().await? {
        HttpReply::Answered { response, .. } => Ok(response.map(http_body_util::Either::Left)),
        HttpReply::Unanswered(outcome) => Ok(excuse(&format!("{:?}", outcome.ending))),
        _ => Ok(excuse(&"an unknown reply")),
    }
}

fn excuse(why: &dyn std::fmt::Display) -> Answer {
    let mut response = Response::new(http_body_util::Either::Right(format!("{why}\n")));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
