//! A host that is killed by SIGKILL while it commits 50 files to a bucket: at each request that it makes, before the store
//! hears of it, when it has half of its body, and after the store has done it and before it has answered. What the next host finds is all or nothing.

use runner_host_fs::{Mode, S3Fs, Vfs};
use runner_s3::{BUCKET, Endpoint, Kind, Proxy, Server};

use super::other::{Other, hear, say, store};
use super::{Chance, at, call, connect, is_long, long, put, seed, tree};

/// More than 50 files take.
const REQUESTS_MAX: u64 = 500;
/// How many of the requests are tried where not all are asked for.
const SAMPLE: usize = 12;
/// How many of these are among the first requests, and how many those are: what the call asks before it commits.
const EARLY: (usize, u64) = (2, 20);
/// How often the one who finishes a commit is killed as well.
const TWICE: (usize, usize) = (4, 40);

/// How far a request has come when its host is killed.
#[derive(Clone, Copy, Debug)]
enum When {
    Before,
    /// One without a body is killed before.
    Within,
    After,
}

const WHEN: [When; 3] = [When::Before, When::Within, When::After];

/// What is there before the commit.
fn before(server: &Server) {
    for number in 0..15 {
        server.put(BUCKET, &format!("data/changed/{number:02}"), format!("old {number}"));
    }
    for number in 0..10 {
        server.put(BUCKET, &format!("data/removed/{number:02}"), format!("old {number}"));
        server.put(BUCKET, &format!("data/moved/{number:02}"), format!("kept {number}"));
    }
    server.put(BUCKET, "data/large", "small until now");
    server.put(BUCKET, "data/bystander", "nobody's");
}

/// What the call does: 50 files changed, removed, made and renamed, and of them one large enough to be uploaded by parts and
/// one that is read to become another.
async fn work(files: &dyn Vfs) {
    for number in 0..15 {
        put(files, &format!("changed/{number:02}"), &format!("new {number}")).await;
    }
    for number in 0..10 {
        files.remove_file(&at(&format!("removed/{number:02}"))).await.expect("it is removed");
    }
    files.create_dir(&at("made")).await.expect("it is made");
    for number in 0..13 {
        put(files, &format!("made/{number:02}"), &format!("new {number}")).await;
    }
    files.create_dir(&at("there")).await.expect("it is made");
    for number in 0..10 {
        let (from, to) = (at(&format!("moved/{number:02}")), at(&format!("there/{number:02}")));
        files.rename(&from, &to).await.expect("it is renamed");
    }
    put(files, "large", &long(17 << 20)).await;
    files.symlink("there/00", &at("link")).await.expect("it is made");
}

/// The store that this host was given, when it is told to go on; by itself, one of its own.
async fn begin() -> (Option<Server>, Endpoint, S3Fs) {
    let own = store().is_none().then(Server::start);
    own.iter().for_each(before);
    let endpoint = store().or_else(|| Some(own.as_ref()?.endpoint())).expect("one of the two");
    let volume = connect(&endpoint).await;
    if own.is_none() {
        say("ready");
        hear();
    }
    (own, endpoint, volume)
}

/// Commits, and is killed by who started it.
#[tokio::test]
async fn a_commit_that_nobody_kills_is_whole() {
    let (own, endpoint, volume) = begin().await;
    let (session, files) = call(&volume, Mode::OnSuccess);
    work(&*files).await;
    session.commit().await.expect("nobody else is there");
    say("committed");
    if own.is_some() {
        let drafted = tree(&*files).await;
        assert_eq!(tree(&*call(&connect(&endpoint).await, Mode::ReadOnly).1).await, drafted);
    }
}

/// Finishes what it finds, and is killed by who started it.
#[tokio::test]
async fn a_host_that_only_reads_finds_the_tree() {
    let (_own, _, volume) = begin().await;
    let found = tree(&*call(&volume, Mode::OnSuccess).1).await;
    assert!(found.contains("/bystander"), "{found}");
    say("read");
}

/// What is there before and after.
async fn outcomes() -> (String, String) {
    let server = Server::start();
    before(&server);
    let volume = connect(&server.endpoint()).await;
    let (_, files) = call(&volume, Mode::OnSuccess);
    let old = tree(&*files).await;
    work(&*files).await;
    (old, tree(&*files).await)
}

/// Starts a test as a host, and kills it at a request of what it does once it is connected. Tells whether it came so far.
async fn kill_at(test: &str, store: &Endpoint, index: u64, when: When) -> bool {
    let proxy = Proxy::before(store);
    let mut host = Other::start(test, &proxy.endpoint());
    host.says_that("ready").await;
    proxy.log().reset();
    match when {
        When::Before => proxy.halt_before(index),
        When::Within => proxy.halt_within(index),
        When::After => proxy.halt_after(index),
    }
    host.tell("go");
    tokio::select! {
        biased;
        said = host.says() => {
            assert!(["committed", "read"].contains(&&*said), "{said}");
            host.ends();
            false
        }
        () = proxy.halted() => {
            host.kill();
            true
        }
    }
}

/// A store with what a killed host has left there.
struct Left {
    server: Server,
    killed: bool,
}

impl Left {
    async fn by_a_host_killed_at(index: u64, when: When) -> Self {
        let server = Server::start();
        before(&server);
        let killed = kill_at("killed::a_commit_that_nobody_kills_is_whole", &server.endpoint(), index, when).await;
        Left { server, killed }
    }

    /// Whether the next host finds all of the commit; else it finds nothing of it. And it can commit, too.
    async fn is_all(&self, (old, new): &(String, String), at_what: &str) -> bool {
        let volume = connect(&self.server.endpoint()).await;
        let (session, files) = call(&volume, Mode::OnSuccess);
        let found = tree(&*files).await;
        assert!(found == *old || found == *new, "{at_what}: a mix:\n{found}");
        put(&*files, "changed/03", "newer").await;
        put(&*files, "later", "newer").await;
        files.remove_file(&at("bystander")).await.expect("it is there");
        session.commit().await.unwrap_or_else(|error| panic!("{at_what}: the next commit: {error}"));
        let next = tree(&*call(&connect(&self.server.endpoint()).await, Mode::ReadOnly).1).await;
        assert!(!next.contains("bystander"), "{at_what}: {next}");
        for path in ["/changed/03", "/later"] {
            assert!(next.contains(&format!("{path} File newer\n")), "{at_what}: {next}");
        }
        let ours: Vec<_> = self.server.objects(BUCKET).into_keys().filter(|key| key.contains(".runner")).collect();
        assert_eq!(ours, [""; 0], "{at_what}: nothing of a commit is left over");
        found == *new
    }
}

#[tokio::test]
async fn a_host_that_is_killed_at_any_request_of_a_commit_of_50_files_leaves_all_or_nothing() {
    let outcomes = outcomes().await;
    assert_ne!(outcomes.0, outcomes.1);
    let whole = Left::by_a_host_killed_at(REQUESTS_MAX, When::Before).await;
    assert!(!whole.killed);
    let requests = whole.server.log().reset();
    let puts = requests.iter().filter(|request| request.kind == Kind::PutObject).count();
    assert!(puts > 40, "50 files are that many objects: {puts}");
    assert!(whole.is_all(&outcomes, "nobody was killed").await);

    let (mut ends, mut uploads, mut tried) = ([0, 0], 0, 0);
    let mut chance = Chance(seed());
    // What the host asked before it was told to begin is in the server's log, too; a sample may lie past the end.
    let all = requests.len() as u64;
    let indices: Vec<u64> = match is_long() {
        true => (0..REQUESTS_MAX).collect(),
        // Some of them before there is a record.
        false => (0..SAMPLE).map(|nth| chance.below(if nth < EARLY.0 { EARLY.1 } else { all })).collect(),
    };
    for index in indices {
        let mut killed = false;
        for when in WHEN {
            let left = Left::by_a_host_killed_at(index, when).await;
            killed |= left.killed;
            let name = format!("seed {}, {when:?} request {index}", seed());
            uploads += left.server.uploads(BUCKET).len();
            ends[usize::from(left.is_all(&outcomes, &name).await)] += 1;
        }
        tried += u64::from(killed);
        if is_long() && !killed {
            break;
        }
    }
    println!(
        "seed {}: killed at {tried} requests of some {all}, before, within and after each: {} times nothing, {} times all; \
         {uploads} uploads were left open",
        seed(),
        ends[0],
        ends[1]
    );
    assert!(tried < REQUESTS_MAX, "a commit of 50 files takes no {REQUESTS_MAX} requests");
    assert!(ends[0] > 0 && ends[1] > 0, "it was killed before and after there was a record: {ends:?}");
}

#[tokio::test]
async fn who_finishes_a_commit_may_be_killed_as_well() {
    let outcomes = outcomes().await;
    let (mut chance, mut ends, mut killed) = (Chance(seed()), [0, 0], 0);
    for _ in 0..if is_long() { TWICE.1 } else { TWICE.0 } {
        // The last requests of the commit, where the record is there, and the first of who finds it.
        let (first, second, when) = (30 + chance.below(60), chance.below(60), WHEN[chance.below(3) as usize]);
        let left = Left::by_a_host_killed_at(first, when).await;
        let again =
            kill_at("killed::a_host_that_only_reads_finds_the_tree", &left.server.endpoint(), second, when).await;
        killed += u32::from(again);
        let name = format!("seed {}, {when:?} requests {first} and {second}", seed());
        ends[usize::from(left.is_all(&outcomes, &name).await)] += 1;
    }
    println!("seed {}: {killed} were killed while they finished or read; {ends:?} found nothing, all", seed());
    assert!(killed > 0);
}
