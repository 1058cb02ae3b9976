//! Both faces of the SDK's HTTP: a task for each thing that a client does, and a handler with a route for each thing that it
//! may answer.
//!
//! The same source is built for every target, and behaves the same.

use std::convert::Infallible;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::join_all;
use futures::{SinkExt, StreamExt, stream};
use http_body_util::BodyExt;
use runner::Failure;
use runner::http::{self, Body, Html, Json, Method, Reply, Request, Response, StatusCode, Timeouts};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    article: String,
    count: u32,
}

/// Sends JSON to a server that gives it back, and reads it.
#[runner::task]
async fn json(url: String, article: String) -> Result<Order, Failure> {
    let response = http::post(url).query(&[("article", &article)]).json(&Order { article, count: 2 }).send().await?;
    Ok(response.into_body().json().await?)
}

/// Says the status, and what a header says.
#[runner::task]
async fn head(method: String, url: String, header: String) -> Result<(u16, Option<String>), Failure> {
    let method = Method::from_bytes(method.as_bytes())?;
    let response = http::request(method, url).bearer("{{secret:KEY}}").header("te", "trailers").send().await?;
    let value = response.headers().get(&header).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    Ok((response.status().as_u16(), value))
}

/// Reads a body piece by piece: its bytes, and the most of them at once.
#[runner::task]
async fn download(url: String) -> Result<(usize, usize), Failure> {
    let mut body = http::get(url).send().await?.into_body();
    let (mut bytes, mut most) = (0, 0);
    while let Some(piece) = body.chunk().await? {
        bytes += piece.len();
        most = most.max(piece.len());
    }
    Ok((bytes, most))
}

/// Reads a body at once, within a bound.
#[runner::task]
async fn read(url: String, bytes: usize) -> Result<usize, Failure> {
    Ok(http::get(url).send().await?.into_body().limit(bytes).text().await?.len())
}

/// Sends a body of pieces, which nobody has in memory, and gives what the server says of it.
#[runner::task]
async fn upload(url: String, pieces: u32, bytes: usize) -> Result<String, Failure> {
    let pieces = stream::iter(0..pieces).map(move |_| Ok::<_, Infallible>(vec![b'x'; bytes]));
    Ok(http::post(url).body(Body::from_stream(pieces)).send().await?.into_body().text().await?)
}

/// Sends pieces to a server that gives them back, each one when the one before has come.
#[runner::task]
async fn echo(url: String, pieces: usize, bytes: usize) -> Result<usize, Failure> {
    let (mut sender, receiver) = mpsc::channel::<Vec<u8>>(1);
    let piece = |at: usize| vec![b'a' + (at % 26) as u8; bytes];
    sender.send(piece(0)).await?;
    let body = Body::from_stream(receiver.map(Ok::<_, Infallible>));
    let mut body = http::post(url).body(body).send().await?.into_body();
    let mut total = 0;
    for at in 0..pieces {
        if at > 0 {
            sender.send(piece(at)).await?;
        }
        let mut back = Vec::new();
        while back.len() < bytes {
            back.extend(body.chunk().await?.ok_or_else(|| Failure::new("ended-early", format!("in piece {at}")))?);
        }
        if back != piece(at) {
            return Err(Failure::new("not-the-same", format!("piece {at}")));
        }
        total += back.len();
    }
    drop(sender);
    match body.chunk().await? {
        None => Ok(total),
        Some(more) => Err(Failure::new("too-long", format!("{} bytes more", more.len()))),
    }
}

/// A body whose stream fails after a piece.
#[runner::task]
async fn broken_upload(url: String) -> Result<u16, Failure> {
    let pieces = [Ok("one"), Err(std::io::Error::other("there is no other"))];
    let response = http::post(url).body(Body::from_stream(stream::iter(pieces))).send().await?;
    Ok(response.status().as_u16())
}

/// Asks with so many milliseconds for all of it, and reads all.
#[runner::task]
async fn within(url: String, ms: u64) -> Result<String, Failure> {
    Ok(http::get(url).timeout(Duration::from_millis(ms)).send().await?.into_body().text().await?)
}

/// Asks with so many milliseconds until the head, and between pieces.
#[runner::task]
async fn patient(url: String, first_byte_ms: u64, between_bytes_ms: u64) -> Result<String, Failure> {
    let timeouts = Timeouts {
        first_byte: Some(Duration::from_millis(first_byte_ms)),
        between_bytes: Some(Duration::from_millis(between_bytes_ms)),
        ..Timeouts::default()
    };
    Ok(http::get(url).timeouts(timeouts).send().await?.into_body().text().await?)
}

/// Asks all at once.
#[runner::task]
async fn together(urls: Vec<String>) -> Vec<Result<u16, String>> {
    let asked = urls.iter().map(async |url| http::get(url).send().await.map(|response| response.status().as_u16()));
    join_all(asked).await.into_iter().map(|one| one.map_err(|error| error.to_string())).collect()
}

/// The same client in a task that is no `async fn`; a body that is not read to its end is let go.
#[runner::task]
fn blocking(url: String) -> Result<u16, Failure> {
    let response = runner::block_on(http::get(url).send())?;
    Ok(response.status().as_u16())
}

/// What follows a body.
#[runner::task]
async fn trailers(url: String) -> Result<Vec<(String, String)>, Failure> {
    let response = http::get(url).header("te", "trailers").send().await?;
    let body = response.into_body().collect().await?;
    let trailers = body.trailers().into_iter().flatten();
    Ok(trailers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect())
}

/// Sleeps, twice at once.
#[runner::task]
async fn nap(ms: u64) {
    let nap = || runner::sleep(Duration::from_millis(ms));
    futures::join!(nap(), nap());
}

/// A request that cannot be.
#[runner::task]
async fn header(url: String, name: String, value: String) -> Result<u16, Failure> {
    Ok(http::get(url).header(name, value).send().await?.status().as_u16())
}

#[runner::http]
async fn handle(request: Request) -> Result<Response, Failure> {
    match (request.method(), request.uri().path()) {
        (_, "/") => Html("<h1>Hello</h1>").reply(),
        (&Method::POST, "/echo") => Response::new(request.into_body()).reply(),
        (&Method::POST, "/sum") => {
            let numbers: Vec<u64> = request.into_body().json().await?;
            Json(numbers.iter().sum::<u64>()).reply()
        }
        (_, "/asked") => {
            let query: Vec<(String, String)> = http::query(request.uri())?;
            Json((request.method().as_str(), request.uri().path(), query, request.uri().host())).reply()
        }
        // One piece each 10 ms.
        (_, "/slow") => {
            let pieces = stream::iter(0..5).then(async |at| {
                runner::sleep(Duration::from_millis(10)).await;
                Ok::<_, Infallible>(format!("piece {at};"))
            });
            Body::from_stream(pieces).reply()
        }
        (_, "/fail") => Err(Failure::new("out-of-stock", "the secret reason")),
        (_, "/fail-late") => {
            let pieces = [Ok("the first half, "), Err(std::io::Error::other("the secret reason"))];
            Body::from_stream(stream::iter(pieces)).reply()
        }
        (_, "/teapot") => (StatusCode::IM_A_TEAPOT, "short and stout").reply(),
        (_, "/none") => StatusCode::NO_CONTENT.reply(),
        // What is the host's to set is left out.
        (_, "/hop") => Response::builder().header("connection", "close").header("x-kept", "yes").body("")?.reply(),
        // Another server's answer, as it comes.
        (_, "/through") => {
            let query: Vec<(String, String)> = http::query(request.uri())?;
            let to = query.first().map(|(_, to)| to.clone()).unwrap_or_default();
            http::request(request.method().clone(), to).body(request.into_body()).send().await?.reply()
        }
        _ => StatusCode::NOT_FOUND.reply(),
    }
}
