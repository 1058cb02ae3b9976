//! Who works on a bucket: a child's part. It is told what to do, line by line, and answers with the time that it took.

use std::fs;
use std::io::{self, BufRead};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use runner_core::{Executor, LocalStore, Program};
use runner_host_fs::{Result as FsResult, S3Cache, S3Credentials, S3Fs, S3Settings, Session, View, Volume};
use runner_s3::{ACCESS_KEY, BUCKET, REGION, SECRET_KEY};
use tempfile::TempDir;

use super::{KEPT, LOCAL, READ_BYTES, SDK, SMALL_BYTES, Scale};
use crate::child;
use crate::files::{Bare, P2, arguments, counted, lent, run};
use crate::quiet::{Threads, Watch};

/// The SDK's parts, and how many of them are on their way: more is not faster here.
const PART_BYTES: u64 = 8 << 20;
const PARTS: usize = 8;

/// Small objects that the SDK writes at the same time.
const PUTS: usize = 32;

/// Rounds after which what is not kept on the disk never will be.
const WARMING_MAX: usize = 20;

/// The hand's part: for each line on its standard input, a verb and how much, does it and says what that took.
///
/// # Errors
/// Where the input is not what it should be.
pub fn work(side: &str, port: &str, scale: &str, code: &str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (endpoint, scale) = (format!("http://127.0.0.1:{port}"), Scale::named(scale));
    let mut hand = match side {
        SDK => Hand::Sdk(client(&endpoint)),
        LOCAL => Hand::Local(Local::new()),
        side => Hand::Ours(Box::new(runtime.block_on(Ours::new(&endpoint, side == KEPT, Path::new(code))))),
    };
    child::say(&[0.0]);
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (verb, amount) = line.split_once(' ').ok_or_else(|| io::Error::other("a verb and how much"))?;
        let amount = amount.trim().parse().map_err(io::Error::other)?;
        let took = runtime.block_on(async {
            hand.ready(verb, &scale).await;
            let (from, watch) = (Instant::now(), Watch::over(Threads::This));
            let done = hand.work(verb, amount, &scale).await;
            let took = [from.elapsed().as_nanos() as f64, watch.share()];
            assert_eq!(done, expected(verb, amount, &scale), "`{verb}` did all of its work");
            took
        });
        child::say(&took);
    }
    Ok(())
}

/// Bytes, or names, that are counted.
fn expected(verb: &str, amount: u64, scale: &Scale) -> u64 {
    match verb {
        "cold" | "warm" => amount * SMALL_BYTES,
        "random" => amount * READ_BYTES,
        "list" => scale.names,
        "commit" => scale.written * SMALL_BYTES,
        _ => scale.large_bytes,
    }
}

enum Hand {
    Ours(Box<Ours>),
    Sdk(Client),
    Local(Local),
}

impl Hand {
    /// What has to be so before the clock runs.
    async fn ready(&mut self, verb: &str, scale: &Scale) {
        match self {
            Hand::Ours(ours) => ours.ready(verb).await,
            Hand::Local(local) => local.ready(verb, scale),
            Hand::Sdk(_) => {}
        }
    }

    async fn work(&mut self, verb: &str, amount: u64, scale: &Scale) -> u64 {
        match self {
            Hand::Ours(ours) => ours.work(verb, amount, scale).await,
            Hand::Sdk(client) => sdk(client, verb, amount, scale).await,
            Hand::Local(local) => local.guest.run(local.folder.path(), &told(verb, amount, scale, 0)).await,
        }
    }
}

/// What the guest is told to do; what it writes goes to a directory of its own each time.
fn told(verb: &str, amount: u64, scale: &Scale, time: u64) -> [String; 4] {
    match verb {
        "cold" | "warm" => arguments("get-each", "/data/small", 1, 0),
        "list" => arguments("list", "/data/many", 1, 0),
        "commit" => arguments("put", &format!("/data/out-{time}"), scale.written, SMALL_BYTES),
        "random" => arguments("random", "/data/large", amount, READ_BYTES),
        "write" => arguments("write", "/data/written", 1, scale.large_bytes),
        _ => arguments("read", "/data/large", 1, 0),
    }
}

/// A guest of Runner over a bucket.
struct Ours {
    settings: S3Settings,
    volume: Renewed,
    program: Program,
    /// How often something was done.
    times: u64,
    _directory: Option<TempDir>,
}

/// A volume that forgets what it has in memory when it is told to.
#[derive(Clone)]
struct Renewed(Arc<RwLock<S3Fs>>);

impl Renewed {
    fn now(&self) -> S3Fs {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn renew(&self, settings: &S3Settings) {
        let fresh = connected(settings).await;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }
}

impl Volume for Renewed {
    fn check(&self, view: &View) -> FsResult<()> {
        self.now().check(view)
    }

    fn open(&self, view: &View) -> FsResult<Arc<dyn Session>> {
        self.now().open(view)
    }
}

async fn connected(settings: &S3Settings) -> S3Fs {
    S3Fs::connect(settings.clone()).await.expect("the store is there")
}

impl Ours {
    async fn new(endpoint: &str, kept: bool, code: &Path) -> Self {
        let directory = kept.then(|| tempfile::tempdir().expect("a folder"));
        let cache = S3Cache {
            directory: directory.as_ref().map(|directory| directory.path().to_owned()),
            directory_bytes: 2 << 30,
            ..S3Cache::default()
        };
        let credentials =
            S3Credentials { access_key: ACCESS_KEY.to_owned(), secret_key: SECRET_KEY.to_owned(), session_token: None };
        let settings = S3Settings {
            prefix: "data".to_owned(),
            endpoint: Some(endpoint.to_owned()),
            region: Some(REGION.to_owned()),
            path_style: true,
            credentials: Some(credentials),
            cache,
            ..S3Settings::new(BUCKET)
        };
        let volume = Renewed(Arc::new(RwLock::new(connected(&settings).await)));
        let store = LocalStore::open(code).expect("the store of code opens");
        let program = lent(Executor::builder().local_store(store), volume.clone(), P2, "on-success").await;
        // One call, after which it rests: that is idle.
        run(&program, &arguments("stat", "/data/large", 1, 0)).await;
        Ours { settings, volume, program, times: 0, _directory: directory }
    }

    async fn ready(&mut self, verb: &str) {
        match verb {
            "read" | "cold" => self.volume.renew(&self.settings).await,
            "warm" => self.warm(&arguments("get-each", "/data/small", 1, 0)).await,
            "random" => self.warm(&arguments("read", "/data/large", 1, 0)).await,
            _ => {}
        }
    }

    /// Reads all of it until nothing of it comes from the bucket.
    async fn warm(&self, all: &[String; 4]) {
        for _ in 0..WARMING_MAX {
            let outcome = run(&self.program, all).await;
            let files = outcome.usage.capabilities.iter().find(|(id, _)| id == "fs");
            if files.and_then(|(_, usage)| usage.counts.get("s3_bytes_in").copied()).unwrap_or(0) == 0 {
                return;
            }
        }
        panic!("{all:?} is not warm after {WARMING_MAX} rounds");
    }

    async fn work(&mut self, verb: &str, amount: u64, scale: &Scale) -> u64 {
        self.times += 1;
        // Sides with and without latency share the bucket.
        let time = u64::from(std::process::id()) * 1_000 + self.times;
        counted(&run(&self.program, &told(verb, amount, scale, time)).await)
    }
}

/// The same guest on bare wasmtime, over a directory.
struct Local {
    guest: Bare,
    folder: TempDir,
}

impl Local {
    fn new() -> Self {
        Local { guest: Bare::new(P2), folder: tempfile::tempdir().expect("a folder") }
    }

    fn ready(&self, verb: &str, scale: &Scale) {
        let (small, large) = (self.folder.path().join("small"), self.folder.path().join("large"));
        if verb == "random" && !large.exists() {
            fs::write(large, vec![b'x'; scale.large_bytes as usize]).expect("there is room");
        }
        if verb == "warm" && !small.exists() {
            fs::create_dir(&small).expect("it is new");
            for file in 0..scale.files {
                fs::write(small.join(format!("{file:05}")), [b'x'; SMALL_BYTES as usize]).expect("there is room");
            }
        }
    }
}

/// Amazon's own client, as lean as it can be set.
fn client(endpoint: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "benches"))
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Client::from_conf(config.build())
}

async fn sdk(client: &Client, verb: &str, amount: u64, scale: &Scale) -> u64 {
    match verb {
        "cold" => {
            let mut bytes = 0;
            for file in 0..amount {
                bytes += get(client, &format!("data/small/{file:05}"), None).await;
            }
            bytes
        }
        "list" => list(client, "data/many/").await,
        "commit" => {
            let body = Bytes::from(vec![b'x'; SMALL_BYTES as usize]);
            let puts = (0..scale.written).map(|file| {
                let put = client.put_object().bucket(BUCKET).key(format!("data/sdk/{file:05}"));
                let put = put.body(ByteStream::from(body.clone()));
                async move { put.send().await.expect("it is written") }
            });
            stream::iter(puts).buffer_unordered(PUTS).count().await as u64 * SMALL_BYTES
        }
        "write" => write(client, "data/sdk-written", scale.large_bytes).await,
        _ => {
            let parts = parts(scale.large_bytes).map(|(_, range)| get(client, "data/large", Some(range)));
            stream::iter(parts).buffered(PARTS).fold(0, async |all, bytes| all + bytes).await
        }
    }
}

/// The numbers of parts, and where they lie.
fn parts(bytes: u64) -> impl Iterator<Item = (i32, Range<u64>)> {
    let starts = (0..bytes).step_by(PART_BYTES as usize);
    (1..).zip(starts.map(move |start| start..bytes.min(start + PART_BYTES)))
}

/// Bytes of an object, which are all there when the next ones are looked at: who reads them reads them in order.
async fn get(client: &Client, key: &str, range: Option<Range<u64>>) -> u64 {
    let range = range.map(|range| format!("bytes={}-{}", range.start, range.end - 1));
    let answer = client.get_object().bucket(BUCKET).key(key).set_range(range).send().await.expect("it answers");
    let (mut body, mut frames) = (answer.body, Vec::new());
    while let Some(frame) = body.try_next().await.expect("a body") {
        frames.push(frame);
    }
    frames.iter().map(|frame| frame.len() as u64).sum()
}

async fn list(client: &Client, prefix: &str) -> u64 {
    let mut pages = client.list_objects_v2().bucket(BUCKET).prefix(prefix).into_paginator().send();
    let mut names = 0;
    while let Some(page) = pages.next().await {
        names += page.expect("it answers").contents().len() as u64;
    }
    names
}

async fn write(client: &Client, key: &str, bytes: u64) -> u64 {
    let part = Bytes::from(vec![b'x'; PART_BYTES as usize]);
    let begun = client.create_multipart_upload().bucket(BUCKET).key(key).send().await.expect("it begins");
    let upload = begun.upload_id().expect("an id");
    let sent = parts(bytes).map(|(number, range)| {
        let body = ByteStream::from(part.slice(..(range.end - range.start) as usize));
        let put = client.upload_part().bucket(BUCKET).key(key).upload_id(upload).part_number(number).body(body);
        async move {
            let answer = put.send().await?;
            Ok::<_, aws_sdk_s3::Error>(CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag).build())
        }
    });
    let sent: Result<Vec<_>, _> = stream::iter(sent).buffered(PARTS).try_collect().await;
    let all = CompletedMultipartUpload::builder().set_parts(Some(sent.expect("all are sent"))).build();
    let complete = client.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(upload).multipart_upload(all);
    complete.send().await.expect("it is complete");
    bytes
}
