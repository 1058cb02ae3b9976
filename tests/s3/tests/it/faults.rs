//! That each fault really happens: what the client sees of it, and what the store has done.

use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use runner_s3::{BUCKET, Chance, Fault, Kind, Proxy, Rule, Server, pattern, seaweed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{body, client, read, said};

/// More than what lies in the buffers of a connection on loopback, so that a body that is cut is cut under way.
const LARGE: u64 = 32 << 20;

struct Bed {
    server: Server,
    proxy: Proxy,
    s3: Client,
}

fn bed() -> Bed {
    let server = Server::start();
    let proxy = Proxy::before(&server.endpoint());
    let s3 = client(&proxy.endpoint());
    Bed { server, proxy, s3 }
}

impl Bed {
    async fn put(&self, key: &str, text: &str) -> String {
        said(&self.s3.put_object().bucket(BUCKET).key(key).body(body(text.as_bytes())).send().await)
    }

    async fn get(&self, key: &str) -> String {
        read(self.s3.get_object().bucket(BUCKET).key(key).send().await).await
    }

    fn stored(&self, key: &str) -> Option<String> {
        let object = self.server.get(BUCKET, key)?;
        Some(String::from_utf8_lossy(&object.content.bytes()).into_owned())
    }

    /// How many bytes of a body come, and whether they are all of it.
    async fn received(&self, key: &str) -> (u64, bool) {
        let mut body = self.s3.get_object().bucket(BUCKET).key(key).send().await.unwrap().body;
        let mut bytes = 0;
        while let Some(piece) = body.next().await {
            match piece {
                Ok(piece) => bytes += piece.len() as u64,
                Err(_) => return (bytes, false),
            }
        }
        (bytes, true)
    }
}

#[tokio::test]
async fn a_proxy_without_faults_changes_nothing_and_counts_all() {
    let bed = bed();
    assert_eq!(bed.put("a", "x").await, "ok");
    assert_eq!(bed.get("a").await, "x");
    let requests = |log: Vec<runner_s3::Request>| log.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(requests(bed.proxy.requests()), requests(bed.server.requests()));
    let kinds: Vec<_> = bed.proxy.requests().iter().map(|request| request.kind).collect();
    assert_eq!(kinds, [Kind::PutObject, Kind::GetObject]);
}

#[tokio::test]
async fn an_error_is_given_and_the_store_hears_of_nothing() {
    let bed = bed();
    let errors = [Fault::internal_error(), Fault::slow_down(), Fault::conflict(), Fault::TooSkewed { seconds: 3600 }];
    bed.proxy.script(errors.into_iter().map(Rule::new));
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(bed.put("a", "x").await);
    }
    let expected =
        ["500 InternalError", "503 SlowDown", "409 ConditionalRequestConflict", "403 RequestTimeTooSkewed", "ok"];
    assert_eq!(told, expected);
    assert_eq!(bed.server.counts()[&Kind::PutObject], 1);
    assert_eq!(bed.proxy.counts()[&Kind::PutObject], 5);
    let faults: Vec<_> = bed.proxy.requests().into_iter().map(|request| request.fault.is_some()).collect();
    assert_eq!(faults, [true, true, true, true, false]);
}

#[tokio::test]
async fn a_head_that_is_answered_with_an_error_leaves_the_connection_in_order() {
    let bed = bed();
    bed.server.put(BUCKET, "a", "x");
    bed.proxy.script([Rule::new(Fault::slow_down())]);
    let head = bed.s3.head_object().bucket(BUCKET).key("a").send().await;
    assert!(said(&head).starts_with("503"));
    assert_eq!(bed.get("a").await, "x");
}

#[tokio::test]
async fn a_reset_before_is_no_answer_and_nothing_done() {
    let bed = bed();
    bed.proxy.script([Rule::new(Fault::ResetBefore)]);
    assert_eq!(bed.put("a", "x").await, "no answer");
    assert_eq!(bed.stored("a"), None);
    assert!(bed.server.requests().is_empty());
    assert_eq!(bed.proxy.requests()[0].status, None);
}

#[tokio::test]
async fn a_reset_after_is_no_answer_and_all_done() {
    let bed = bed();
    bed.proxy.script([Rule::new(Fault::ResetAfter)]);
    assert_eq!(bed.put("a", "x").await, "no answer");
    assert_eq!(bed.stored("a").as_deref(), Some("x"));
    assert_eq!(bed.server.requests()[0].status, Some(200));
}

#[tokio::test]
async fn a_reset_in_an_upload_leaves_the_store_with_a_part_of_it_and_no_object() {
    let bed = bed();
    bed.proxy.script([Rule::new(Fault::ResetInUpload { bytes: 1 << 20 })]);
    assert_eq!(bed.put("a", &"x".repeat(4 << 20)).await, "no answer");
    // The store may hear of it after the client has.
    let heard = async {
        while bed.server.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("the store hears of it");
    assert_eq!(bed.server.requests().len(), 1);
    assert_eq!(bed.stored("a"), None);
}

#[tokio::test]
async fn a_body_is_cut_by_a_reset_or_by_an_early_end() {
    let bed = bed();
    bed.server.put_computed(BUCKET, "a", LARGE, 1);
    for fault in [Fault::ResetInBody { bytes: 100_000 }, Fault::Truncate { bytes: 100_000 }] {
        let truncated = matches!(fault, Fault::Truncate { .. });
        bed.proxy.script([Rule::new(fault)]);
        let (bytes, whole) = bed.received("a").await;
        assert!(!whole && bytes <= 100_000, "{bytes} bytes came");
        // A reset takes with it what the client has not read yet; an end in good order does not.
        assert!(bytes == 100_000 || !truncated, "{bytes} bytes came");
    }
    assert_eq!(bed.received("a").await, (LARGE, true));
}

#[tokio::test]
async fn a_body_may_be_cut_at_its_first_byte() {
    let bed = bed();
    bed.server.put(BUCKET, "a", "hello");
    bed.proxy.script([Rule::new(Fault::Truncate { bytes: 0 })]);
    assert_eq!(bed.received("a").await, (0, false));
}

#[tokio::test]
async fn a_slow_body_is_whole_and_late() {
    let bed = bed();
    bed.server.put(BUCKET, "a", "0123456789");
    let pause = Duration::from_millis(20);
    bed.proxy.script([Rule::new(Fault::Slow { bytes: 1, pause })]);
    let start = Instant::now();
    assert_eq!(bed.get("a").await, "0123456789");
    assert!(start.elapsed() >= 9 * pause, "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_answer_that_comes_twice_is_on_the_wire_twice() {
    let bed = bed();
    bed.server.put(BUCKET, "a", "hello");
    bed.proxy.script([Rule::new(Fault::Twice)]);
    let mut stream = TcpStream::connect(bed.proxy.endpoint().address).await.unwrap();
    let request = format!("GET /{BUCKET}/a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (first, second) = answer.split_at(answer.len() / 2);
    assert!(first.starts_with("HTTP/1.1 403") && first == second, "{answer}");
    // A client that keeps its connection does not take the second one for the answer to what it asks next.
    bed.proxy.script([Rule::new(Fault::Twice)]);
    assert_eq!(bed.get("a").await, "hello");
    assert_eq!(bed.get("b").await, "404 NoSuchKey");
}

#[tokio::test]
async fn a_stale_answer_is_that_of_the_request_before() {
    let bed = bed();
    bed.server.put(BUCKET, "a", "of a");
    bed.server.put(BUCKET, "b", "of b");
    bed.proxy.script([Rule::new(Fault::Stale).always()]);
    assert_eq!(bed.get("a").await, "of a");
    assert_eq!(bed.get("b").await, "of a");
    let faults: Vec<_> = bed.proxy.requests().into_iter().map(|request| request.fault.is_some()).collect();
    assert_eq!(faults, [false, true]);
    assert_eq!(bed.server.counts()[&Kind::GetObject], 2);
}

#[tokio::test]
async fn a_date_is_shifted_for_one_answer_or_for_all() {
    let bed = bed();
    let now = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    bed.server.clock().stop_at(now);
    let date = async || {
        let mut stream = TcpStream::connect(bed.proxy.endpoint().address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let line = answer.lines().find_map(|line| line.strip_prefix("date: ")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{answer}"))
    };
    assert_eq!(date().await, "Fri, 15 Jan 2027 08:00:00 GMT");
    bed.proxy.script([Rule::new(Fault::Skew { seconds: -3600 })]);
    assert_eq!(date().await, "Fri, 15 Jan 2027 07:00:00 GMT");
    assert_eq!(date().await, "Fri, 15 Jan 2027 08:00:00 GMT");
    bed.proxy.skew(86400);
    assert_eq!(date().await, "Sat, 16 Jan 2027 08:00:00 GMT");
}

#[tokio::test]
async fn latency_is_added_to_each_request_beside_the_others() {
    let bed = bed();
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        bed.server.put(BUCKET, key, key);
    }
    let latency = Duration::from_millis(100);
    bed.proxy.latency(latency);
    let start = Instant::now();
    let gets = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|key| bed.get(key));
    assert_eq!(futures::future::join_all(gets).await.concat(), "abcdefgh");
    let took = start.elapsed();
    assert!(took >= latency && took < 6 * latency, "{took:?}");
    let start = Instant::now();
    bed.get("a").await;
    bed.get("b").await;
    assert!(start.elapsed() >= 2 * latency);
}

#[tokio::test]
async fn a_rule_is_put_upon_what_it_names_and_upon_nothing_else() {
    let bed = bed();
    bed.proxy.script([
        Rule::new(Fault::slow_down()).kind(Kind::GetObject).key("b").skip(1).times(2),
        Rule::new(Fault::internal_error()).index(6),
    ]);
    let mut told = vec![bed.put("a", "x").await, bed.put("b", "x").await];
    for key in ["a", "b", "b", "b", "b", "b"] {
        told.push(bed.get(key).await);
    }
    assert_eq!(told, ["ok", "ok", "x", "x", "503 SlowDown", "503 SlowDown", "500 InternalError", "x"]);
    bed.proxy.script([Rule::new(Fault::slow_down()).always()]);
    assert_eq!(bed.get("a").await, "503 SlowDown");
    bed.proxy.calm();
    assert_eq!(bed.get("a").await, "x");
}

#[tokio::test]
async fn chance_is_the_same_for_the_same_seed() {
    let seed = 4;
    eprintln!("seed {seed}");
    let mut runs = Vec::new();
    for seed in [seed, seed, seed + 1] {
        let bed = bed();
        bed.server.put(BUCKET, "a", "x");
        let faults = vec![Fault::internal_error(), Fault::slow_down(), Fault::ResetBefore];
        bed.proxy.chance(Chance { seed, one_in: 3, faults });
        let mut told = Vec::new();
        for _ in 0..60 {
            told.push(bed.get("a").await);
        }
        runs.push(told);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    for outcome in ["x", "500 InternalError", "503 SlowDown", "no answer"] {
        assert!(runs[0].iter().any(|told| told == outcome), "{:?}", runs[0]);
    }
}

#[tokio::test]
async fn a_halt_before_a_request_keeps_it_and_all_later_ones_from_the_store() {
    let bed = bed();
    bed.proxy.halt_before(2);
    assert_eq!(bed.put("a", "x").await, "ok");
    assert_eq!(bed.put("b", "x").await, "ok");
    let (third, fourth) = (bed.s3.clone(), bed.s3.clone());
    let third = tokio::spawn(async move { said(&third.put_object().bucket(BUCKET).key("c").send().await) });
    bed.proxy.halted().await;
    let fourth = tokio::spawn(async move { said(&fourth.put_object().bucket(BUCKET).key("d").send().await) });
    assert_eq!(bed.server.objects(BUCKET).into_keys().collect::<Vec<_>>(), ["a", "b"]);
    assert!(!third.is_finished());
    // As a killed process leaves it: both are cut off, and what comes then is served.
    while bed.proxy.requests().len() < 4 {
        tokio::task::yield_now().await;
    }
    bed.proxy.resume();
    assert_eq!((third.await.unwrap(), fourth.await.unwrap()), ("no answer".to_owned(), "no answer".to_owned()));
    assert_eq!(bed.server.objects(BUCKET).into_keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(bed.put("e", "x").await, "ok");
}

#[tokio::test]
async fn a_halt_after_a_request_lets_the_store_do_it_and_keeps_the_answer() {
    let bed = bed();
    bed.proxy.halt_after(0);
    let s3 = bed.s3.clone();
    let put = tokio::spawn(async move { said(&s3.put_object().bucket(BUCKET).key("a").send().await) });
    bed.proxy.halted().await;
    assert!(bed.server.get(BUCKET, "a").is_some());
    assert!(!put.is_finished());
    bed.proxy.resume();
    assert_eq!(put.await.unwrap(), "no answer");
}

#[tokio::test]
async fn a_halt_within_a_request_gives_the_store_half_of_it_and_it_does_nothing() {
    let bed = bed();
    bed.proxy.halt_within(0);
    let s3 = bed.s3.clone();
    let body = aws_sdk_s3::primitives::ByteStream::from(vec![7; 100_000]);
    let put = tokio::spawn(async move { said(&s3.put_object().bucket(BUCKET).key("a").body(body).send().await) });
    bed.proxy.halted().await;
    // The store hears of it.
    while bed.server.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(!put.is_finished());
    bed.proxy.resume();
    assert_eq!(put.await.unwrap(), "no answer");
    assert_eq!(bed.put("b", "x").await, "ok");
    assert_eq!(bed.server.objects(BUCKET).into_keys().collect::<Vec<_>>(), ["b"]);
    // What has no body has no half.
    bed.proxy.log().reset();
    bed.server.log().reset();
    bed.proxy.halt_within(0);
    let s3 = bed.s3.clone();
    let delete = tokio::spawn(async move { said(&s3.delete_object().bucket(BUCKET).key("b").send().await) });
    bed.proxy.halted().await;
    assert!(bed.server.requests().is_empty(), "the store has not heard of it");
    bed.proxy.resume();
    assert_eq!(delete.await.unwrap(), "no answer");
}

#[tokio::test]
async fn a_client_that_is_killed_while_it_is_held_leaves_nothing_behind() {
    let bed = bed();
    bed.proxy.halt_before(0);
    let s3 = bed.s3.clone();
    let put = tokio::spawn(async move { said(&s3.put_object().bucket(BUCKET).key("a").send().await) });
    bed.proxy.halted().await;
    put.abort();
    assert!(put.await.unwrap_err().is_cancelled());
    bed.proxy.resume();
    assert_eq!(bed.put("b", "x").await, "ok");
    assert_eq!(bed.server.objects(BUCKET).into_keys().collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn faults_befall_a_foreign_store_too() {
    let seaweed = seaweed::start();
    let proxy = Proxy::before(&seaweed.endpoint());
    let (s3, past) = (client(&proxy.endpoint()), client(&seaweed.endpoint()));
    let put = || s3.put_object().bucket(BUCKET).key("a").if_none_match("*").body(body(b"x")).send();
    proxy.script([Rule::new(Fault::ResetBefore), Rule::new(Fault::ResetAfter)]);
    assert_eq!(said(&put().await), "no answer");
    assert_eq!(read(past.get_object().bucket(BUCKET).key("a").send().await).await, "404 NoSuchKey");
    assert_eq!(said(&put().await), "no answer");
    assert_eq!(read(past.get_object().bucket(BUCKET).key("a").send().await).await, "x");
    assert_eq!(said(&put().await), "412 PreconditionFailed");

    let mut bytes = vec![0; 1 << 20];
    pattern(3, 0, &mut bytes);
    past.put_object().bucket(BUCKET).key("b").body(body(&bytes)).send().await.unwrap();
    for fault in [Fault::ResetInBody { bytes: 1000 }, Fault::Truncate { bytes: 1000 }] {
        proxy.script([Rule::new(fault)]);
        assert_eq!(read(s3.get_object().bucket(BUCKET).key("b").send().await).await, "a body that is not whole");
    }
    let got = s3.get_object().bucket(BUCKET).key("b").send().await.unwrap();
    assert!(got.body.collect().await.unwrap().into_bytes() == bytes);
}
