//! Each fault at each request of a call that reads, changes, makes, removes and renames, small files and large: what the next
//! call finds is all of it or nothing, each file whole; what the call itself read was whole; and what was said to be done is.

use std::time::Duration;

use runner_host_fs::{ErrorKind, Mode, Result, S3Fs, Session, Vfs, VfsExt};
use runner_s3::{BUCKET, Chance as Faults, Fault, Kind, Proxy, Rule, Server};

use super::{Chance, at, call, connect, digest, is_long, long, seed, settings, tree};
use crate::support::bucket::connect_wound;

/// More than the call takes.
const REQUESTS_MAX: u64 = 300;
/// Requests of each fault, where not all are asked for.
const SAMPLE: u64 = 3;
/// Runs of faults by chance.
const RUNS: (u64, u64) = (10, 300);
/// Behind what is small in a bucket, and read by several requests.
const LARGE_BYTES: usize = 3 << 20;

fn faults() -> Vec<Fault> {
    vec![
        Fault::internal_error(),
        Fault::slow_down(),
        Fault::conflict(),
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::ResetInUpload { bytes: 10 },
        Fault::ResetInUpload { bytes: 100_000 },
        Fault::ResetInBody { bytes: 1 },
        Fault::ResetInBody { bytes: 100_000 },
        Fault::Truncate { bytes: 0 },
        Fault::Truncate { bytes: 200 },
        Fault::Slow { bytes: 50_000, pause: Duration::from_millis(2) },
        Fault::Delay(Duration::from_millis(20)),
        Fault::Twice,
        Fault::TooSkewed { seconds: 3_600 },
        Fault::TooSkewed { seconds: -86_400 },
        Fault::Skew { seconds: 86_400 },
        Fault::Skew { seconds: -3_600 },
    ]
}

struct Store {
    server: Server,
    proxy: Proxy,
    volume: S3Fs,
}

impl Store {
    async fn new() -> Self {
        let server = Server::start();
        for number in 0..4 {
            server.put(BUCKET, &format!("data/dir/{number}"), format!("old {number}"));
            server.put(BUCKET, &format!("data/gone/{number}"), format!("old {number}"));
        }
        server.put(BUCKET, "data/moved", "kept");
        server.put(BUCKET, "data/large", long(LARGE_BYTES));
        server.put(BUCKET, "data/larger", long(LARGE_BYTES + 7));
        let proxy = Proxy::before(&server.endpoint());
        let volume = connect_wound(settings(&proxy.endpoint())).await;
        proxy.log().reset();
        Store { server, proxy, volume }
    }

    /// What a host finds that meets no fault.
    async fn found(&self) -> String {
        tree(&*call(&connect(&self.server.endpoint()).await, Mode::ReadOnly).1).await
    }
}

/// What the call does. What it reads is checked: a mix of two versions would be seen.
async fn work(session: &dyn Session, files: &dyn Vfs, commit: bool) -> Result<()> {
    for number in 0..4 {
        let path = at(&format!("dir/{number}"));
        assert_eq!(files.read(&path, 100).await?, format!("old {number}"), "what is read is whole");
        files.write(&path, format!("new {number}").into()).await?;
        files.remove_file(&at(&format!("gone/{number}"))).await?;
        files.write(&at(&format!("made-{number}")), format!("new {number}").into()).await?;
    }
    let bytes = files.read(&at("large"), 64 << 20).await?;
    assert!(digest(&bytes) == digest(long(LARGE_BYTES).as_bytes()), "what is read is whole: {} bytes", bytes.len());
    files.write(&at("large"), long(LARGE_BYTES / 2).into()).await?;
    files.rename(&at("moved"), &at("there")).await?;
    files.rename(&at("larger"), &at("away")).await?;
    files.write(&at("uploaded"), long(17 << 20).into()).await?;
    if commit {
        session.commit().await?;
    }
    Ok(())
}

/// What is there before and after.
async fn outcomes() -> (String, String) {
    let store = Store::new().await;
    let (session, files) = call(&store.volume, Mode::OnSuccess);
    let old = tree(&*files).await;
    work(&*session, &*files, false).await.expect("there are no faults");
    (old, tree(&*files).await)
}

/// Runs the call, and looks what is there. Tells whether it said that it went well.
async fn check(store: &Store, (old, new): &(String, String), at_what: &str) -> bool {
    let (session, files) = call(&store.volume, Mode::OnSuccess);
    let done = work(&*session, &*files, true).await;
    if let Err(error) = &done {
        assert_eq!(error.kind(), ErrorKind::Io, "{at_what}: nobody else was there: {error}");
    }
    drop((session, files));
    store.proxy.calm();
    store.volume.idle().await;
    let found = store.found().await;
    assert!(found == *old || found == *new, "{at_what}: a mix, though {done:?}:\n{found}");
    assert!(done.is_err() || found == *new, "{at_what}: it is said to be done:\n{found}");
    let ours: Vec<_> = store.server.objects(BUCKET).into_keys().filter(|key| key.contains(".runner")).collect();
    assert_eq!(ours, [""; 0], "{at_what}: nothing of a commit is left over");
    done.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_befalls_any_request_of_a_call_it_goes_well_and_all_is_there() {
    let outcomes = outcomes().await;
    assert_ne!(outcomes.0, outcomes.1);
    let store = Store::new().await;
    assert!(check(&store, &outcomes, "no fault").await);
    let requests = store.proxy.log().reset().len() as u64;
    assert!(requests < REQUESTS_MAX);
    let (mut chance, mut runs, mut felt) = (Chance(seed()), 0, 0);
    for fault in faults() {
        let indices: Vec<u64> = match is_long() {
            true => (0..requests).collect(),
            false => (0..SAMPLE).map(|_| chance.below(requests)).collect(),
        };
        for index in indices {
            let store = Store::new().await;
            store.proxy.script([Rule::new(fault.clone()).index(index)]);
            let name = format!("seed {}, {fault} at request {index}", seed());
            assert!(check(&store, &outcomes, &name).await, "{name}: one fault is got over");
            runs += 1;
            felt += store.proxy.requests().iter().filter(|request| request.fault.is_some()).count();
        }
    }
    println!(
        "seed {}: {} faults over {requests} requests: {runs} runs, in which {felt} befell",
        seed(),
        faults().len()
    );
    assert!(felt * 10 > runs * 9, "faults befall: {felt} of {runs}");
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_no_denial_where_an_answer_has_no_body_to_say_so() {
    let outcomes = outcomes().await;
    let store = Store::new().await;
    // A large file that is renamed is looked at by HEAD.
    store.proxy.script([Rule::new(Fault::TooSkewed { seconds: 3_600 }).kind(Kind::HeadObject)]);
    assert!(check(&store, &outcomes, "a wrong clock").await);
    assert!(store.proxy.requests().iter().any(|request| request.fault.is_some()));

    let store = Store::new().await;
    let denied = Fault::Answer { status: 403, code: "AccessDenied" };
    let (session, files) = call(&store.volume, Mode::OnSuccess);
    files.rename(&at("larger"), &at("away")).await.expect("it is renamed");
    store.proxy.script([Kind::HeadObject, Kind::GetObject].map(|kind| Rule::new(denied.clone()).kind(kind).always()));
    store.proxy.log().reset();
    let error = session.commit().await.expect_err("it may not be read");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    assert_eq!(store.proxy.requests().len(), 2, "who may not is told at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_of_faults_each_file_is_old_or_new() {
    let outcomes = outcomes().await;
    let (mut well, mut felt) = (0, 0);
    let runs = if is_long() { RUNS.1 } else { RUNS.0 };
    for seed in seed()..seed() + runs {
        let store = Store::new().await;
        let mut chance = Chance(seed);
        store.proxy.skew([0, 0, 90_000, -90_000][chance.below(4) as usize]);
        let one_in = 2 + chance.below(8) as u32;
        store.proxy.chance(Faults { seed, one_in, faults: faults() });
        well += u64::from(check(&store, &outcomes, &format!("seed {seed}, one in {one_in}")).await);
        felt += store.proxy.requests().iter().filter(|request| request.fault.is_some()).count();
    }
    println!(
        "seeds {}..{}: {felt} faults; {well} of {runs} went well, of the rest nothing or all is there",
        seed(),
        seed() + runs
    );
    assert!(well > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_replaced_while_it_is_read_through_faults_is_one_version_or_an_error() {
    let runs = if is_long() { RUNS.1 } else { RUNS.0 };
    let (mut olds, mut news, mut told) = (0, 0, 0);
    for seed in seed()..seed() + runs {
        let store = Store::new().await;
        let (old, new) = (long(LARGE_BYTES), long(LARGE_BYTES).to_uppercase());
        let mut chance = Chance(seed);
        store.proxy.chance(Faults { seed, one_in: 4, faults: faults() });
        // Before the read, or when so many requests of it have come.
        let when = chance.below(6) as usize;
        let read = async {
            let (_, files) = call(&store.volume, Mode::OnSuccess);
            let bytes = files.read(&at("large"), 64 << 20).await;
            store.proxy.calm();
            bytes
        };
        let replace = async {
            for _ in 0..20_000 {
                if store.proxy.requests().len() >= when {
                    break;
                }
                tokio::task::yield_now().await;
            }
            store.server.put(BUCKET, "data/large", new.clone());
        };
        let (read, ()) = tokio::join!(read, replace);
        match read {
            Ok(bytes) if bytes == old => olds += 1,
            Ok(bytes) if bytes == new => news += 1,
            Ok(bytes) => panic!("seed {seed}: {} bytes of a mix", bytes.len()),
            Err(_) => told += 1,
        }
    }
    println!("seeds {}..{}: {olds} read the old one, {news} the new one, {told} were told", seed(), seed() + runs);
    assert!(olds + news > 0);
}
