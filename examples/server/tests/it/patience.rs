//! Clients that are slow, and what they are told. The clock is wound by hand; the sockets are real.

use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use cap_std::fs::Dir;
use runner_server::{Settings, serve};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, advance, sleep};

use crate::support::{Site, dir};

/// A connection to a server that listens.
async fn connected(page: Option<Dir>) -> (Site, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let site = Site::with(|wants| {
        wants.settings = Settings::new(address);
        wants.page = page;
    });
    tokio::spawn(serve(listener, site.app(), pending(), Duration::ZERO));
    (site, TcpStream::connect(address).await.unwrap())
}

/// What is said to a client that sends its pieces with pauses between, then stops; and after how long.
async fn told(pieces: impl IntoIterator<Item = &'static str>, pause: Duration) -> (String, Duration) {
    let (_site, mut stream) = connected(None).await;
    let host = format!("host: {}\r\n", stream.peer_addr().unwrap());
    let from = Instant::now();
    for piece in pieces {
        if stream.write_all(piece.replace("host\r\n", &host).as_bytes()).await.is_err() {
            break;
        }
        sleep(pause).await;
    }
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    (said, from.elapsed())
}

#[track_caller]
fn is_too_slow(said: &str, words: &str) {
    let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {said:?}"));
    assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{said}");
    assert!(head.contains("content-type: application/problem+json"), "{said}");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((problem["status"].as_u64(), problem["kind"].as_str()), (Some(408), Some("invalid")));
    assert!(problem["detail"].as_str().unwrap().contains(words), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_told_so_after_30_seconds() {
    let (said, took) = told(["POST /v1/run HTTP/1.1\r\n", "host\r\n"], Duration::ZERO).await;
    is_too_slow(&said, "the head of the request took longer than 30s");
    assert_eq!(took.as_secs(), 30);
    // Nor does it help to send a little now and then.
    let dripping = std::iter::once("GET /healthz HTTP/1.1\r\n").chain(std::iter::repeat_n("x: y\r\n", 29));
    let (said, took) = told(dripping, Duration::from_secs(1)).await;
    is_too_slow(&said, "the head of the request took longer than 30s");
    assert_eq!(took.as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_without_a_word() {
    let (said, took) = told([], Duration::ZERO).await;
    assert_eq!((said.as_str(), took.as_secs()), ("", 30));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_told_so_after_15_seconds() {
    let pieces = ["POST /v1/run HTTP/1.1\r\nhost\r\ncontent-length: 100\r\n\r\n", "(module"];
    let (said, took) = told(pieces, Duration::ZERO).await;
    is_too_slow(&said, "the body stopped for 15s");
    assert_eq!(took.as_secs(), 15);
    let pieces = ["PUT /v1/files/a HTTP/1.1\r\nhost\r\ncontent-length: 100\r\n\r\n", "a half"];
    let (said, took) = told(pieces, Duration::ZERO).await;
    is_too_slow(&said, "the body stopped for 15s");
    assert_eq!(took.as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_stops_but_drips_is_told_so_after_5_minutes() {
    let head = "POST /v1/modules HTTP/1.1\r\nhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let dripping = std::iter::once(head).chain(std::iter::repeat_n("1\r\n \r\n", 29));
    let (said, took) = told(dripping, Duration::from_secs(10)).await;
    is_too_slow(&said, "the body took longer than 300s");
    assert_eq!(took.as_secs(), 300);
    // A file may take longer, but not for ever.
    let head = "PUT /v1/files/a HTTP/1.1\r\nhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let dripping = std::iter::once(head).chain(std::iter::repeat_n("1\r\n \r\n", 31));
    let (said, took) = told(dripping, Duration::from_secs(10)).await;
    is_too_slow(&said, "the body came slower than 262144 bytes a second");
    assert!((300..=320).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_is_given_up_after_a_minute() {
    // More than the sockets hold between them.
    const BYTES: usize = 64 << 20;
    let page = TempDir::new().unwrap();
    std::fs::write(page.path().join("index.html"), vec![b' '; BYTES]).unwrap();
    let _by_hand = by_hand();
    for (pause, is_whole) in [(55, true), (65, false)] {
        let (_site, mut stream) = connected(Some(dir(page.path()))).await;
        let ask = format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", stream.peer_addr().unwrap());
        stream.write_all(ask.as_bytes()).await.unwrap();
        // The answer has begun.
        stream.readable().await.unwrap();
        advance(Duration::from_secs(pause)).await;
        let mut read = Vec::new();
        // Given up, it may end as a reset.
        let _ = stream.read_to_end(&mut read).await;
        assert_eq!(read.len() > BYTES, is_whole, "{pause} s: {} bytes", read.len());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_read_too_slowly_is_given_up() {
    const BYTES: usize = 64 << 20;
    let page = TempDir::new().unwrap();
    std::fs::write(page.path().join("index.html"), vec![b' '; BYTES]).unwrap();
    // A little every 5 seconds, so that it never stalls for a minute.
    let _by_hand = by_hand();
    for (piece, is_whole) in [(2 << 20, true), (256 << 10, false)] {
        let (_site, mut stream) = connected(Some(dir(page.path()))).await;
        let ask = format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", stream.peer_addr().unwrap());
        stream.write_all(ask.as_bytes()).await.unwrap();
        let (mut read, mut piece) = (0, vec![0; piece]);
        'read: loop {
            advance(Duration::from_secs(5)).await;
            let mut taken = 0;
            while taken < piece.len() {
                match stream.read(&mut piece[taken..]).await {
                    Ok(0) | Err(_) => {
                        read += taken;
                        break 'read;
                    }
                    Ok(bytes) => taken += bytes,
                }
            }
            read += taken;
        }
        assert_eq!(read > BYTES, is_whole, "{} at once: {read} bytes", piece.len());
    }
}

/// As long as this is held, time stands still unless it is wound: left alone it would jump to the next timer whenever both
/// sides wait for the kernel, which delivers when it has a moment.
fn by_hand() -> mpsc::Sender<()> {
    let (held, released) = mpsc::channel();
    // The runtime leaves the time alone while a thread works for it.
    tokio::task::spawn_blocking(move || released.recv());
    held
}
