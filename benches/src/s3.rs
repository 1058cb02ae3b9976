//! Files in a bucket of S3: what a guest does by plain `std::fs`, beside Amazon's SDK without a guest, or beside the same guest over
//! a local directory on bare wasmtime. And what memory that took.
//!
//! The store is on one core, whoever works on the other, each in a process of its own. Latency is added by a proxy; where there
//! is none, there is no proxy.

use std::io::{self, Read, Write};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use runner_s3::{BUCKET, Generated, Proxy, Server, Settings};
use tempfile::TempDir;

use crate::http::{LOAD_CORE, SERVER_CORE};
use crate::measure::{Pace, Pairs, median};
use crate::report::Line;
use crate::{child, memory};

mod hand;

pub use hand::work;

/// What is added to each request, in milliseconds.
const LATENCIES: [u64; 2] = [0, 20];

/// The most memory above idle that contents us, whatever is done.
const MEMORY_GOAL: f64 = 64.0 * 1024.0 * 1024.0;

/// Between two looks at a child's memory.
const LOOK: Duration = Duration::from_millis(20);

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Its name among a child's arguments.
    name: &'static str,
    /// Of the one large file.
    large_bytes: u64,
    /// Small files that are read.
    files: u64,
    /// Names that are listed.
    names: u64,
    /// Small files that are written.
    written: u64,
    /// Reads here and there in the large file.
    reads: u64,
    /// Small files that the SDK reads where each takes a latency: it takes the same time for each.
    waited_for: u64,
    rounds: usize,
}

const FULL: Scale = Scale {
    name: "full",
    large_bytes: 1 << 30,
    files: 10_000,
    names: 100_000,
    written: 1_000,
    reads: 2_000,
    waited_for: 1_000,
    rounds: 3,
};

const QUICK: Scale = Scale {
    name: "quick",
    large_bytes: 64 << 20,
    files: 500,
    names: 5_000,
    written: 100,
    reads: 100,
    waited_for: 100,
    rounds: 1,
};

/// Bytes of a small file.
const SMALL_BYTES: u64 = 1 << 10;

/// What is read at a time here and there.
const READ_BYTES: u64 = 4 << 10;

impl Scale {
    fn named(name: &str) -> Self {
        if name == FULL.name { FULL } else { QUICK }
    }
}

/// Who does the work: the child's argument.
const OURS: &str = "ours";
/// Ours with a cache on disk beside the one in memory.
const KEPT: &str = "kept";
const SDK: &str = "sdk";
const LOCAL: &str = "local";

/// One row: what is done, who beside, how it is shown.
struct Work {
    name: String,
    verb: &'static str,
    ours: &'static str,
    peer: &'static str,
    /// How much is done in one go by the peer and by us.
    amounts: (u64, u64),
    shown: Shown,
    goal: Option<f64>,
}

/// How a row is shown.
#[derive(Clone, Copy)]
enum Shown {
    /// So many of a unit a second: more is better.
    Rate(&'static str, f64),
    /// The time of one.
    Time,
}

fn works(scale: &Scale, latency: u64) -> Vec<Work> {
    let Scale { large_bytes, files, names, written, reads, waited_for, .. } = *scale;
    let large = crate::report::memory(large_bytes as f64);
    let asked = if latency > 0 { waited_for } else { files };
    let mebibytes = Shown::Rate("MiB/s", 1024.0 * 1024.0);
    let work = |name: String, verb, ours, peer, amounts, shown, goal| {
        let name = format!("S3, {latency} ms, {name}");
        Work { name, verb, ours, peer, amounts, shown, goal }
    };
    vec![
        work(format!("read {large}"), "read", OURS, SDK, (large_bytes, large_bytes), mebibytes, Some(0.9)),
        work(format!("write {large}"), "write", OURS, SDK, (large_bytes, large_bytes), mebibytes, Some(0.9)),
        work(
            format!("{files} small files, cold"),
            "cold",
            OURS,
            SDK,
            (asked, files),
            Shown::Rate("files/s", 1.0),
            Some(if latency > 0 { 8.0 } else { 1.0 }),
        ),
        work(
            format!("{files} small files, warm, beside local ones"),
            "warm",
            OURS,
            LOCAL,
            (files, files),
            Shown::Time,
            Some(2.0),
        ),
        work(format!("list {names} keys"), "list", OURS, SDK, (1, 1), Shown::Time, Some(1.2)),
        work(format!("commit of {written} small files"), "commit", OURS, SDK, (1, 1), Shown::Time, None),
        work(
            format!("4 KiB here and there in {large}, warm, beside a local file"),
            "random",
            KEPT,
            LOCAL,
            (reads, reads),
            Shown::Time,
            None,
        ),
    ]
}

/// Measures the rows whose names are wanted, and the memory of each.
pub fn lines(wanted: impl Fn(&str) -> bool, pace: &Pace) -> Vec<Line> {
    let scale = if pace.pairs_min > 1 { FULL } else { QUICK };
    let code = tempfile::tempdir().expect("a folder");
    let (mut lines, mut store) = (Vec::new(), None);
    for latency in LATENCIES {
        let mut hands = Hands { code: &code, scale, port: 0, found: Vec::new() };
        for work in works(&scale, latency).into_iter().filter(|work| wanted(&work.name)) {
            hands.port = store.get_or_insert_with(|| Store::start(&scale)).port(latency);
            lines.extend(measured(&mut hands, &work));
        }
    }
    lines
}

fn measured(hands: &mut Hands, work: &Work) -> [Line; 2] {
    let mut pairs = Pairs::default();
    let (peer, ours) = (hands.of(work.peer), hands.of(work.ours));
    let (peer_amount, our_amount) = work.amounts;
    let (mut peaks, mut waited) = ([0.0_f64; 2], 0.0);
    for round in 0..hands.scale.rounds {
        let mut figures = [0.0; 2];
        let turns = [(0, peer, peer_amount), (1, ours, our_amount)];
        let turns: Vec<_> = if round % 2 == 0 { turns.into() } else { turns.into_iter().rev().collect() };
        for (side, hand, amount) in turns {
            let done = hands.found[hand].work(work.verb, amount);
            peaks[side] = peaks[side].max(done.peak);
            waited += done.waited / (2 * hands.scale.rounds) as f64;
            figures[side] = match work.shown {
                Shown::Rate(_, unit) => amount as f64 / unit / (done.nanoseconds / 1e9),
                Shown::Time => done.nanoseconds / amount as f64,
            };
        }
        pairs.push(figures[0], figures[1]);
    }
    pairs.waited = waited;
    let line = match work.shown {
        Shown::Rate(unit, _) => {
            let shown = |rates: &[f64]| format!("{:.0} {unit}", median(rates));
            Line::rate(&work.name, (shown(&pairs.bare), shown(&pairs.ours)), &pairs, work.goal)
        }
        Shown::Time => Line::times(&work.name, &pairs, work.goal),
    };
    let name = format!("{}: memory above idle", work.name);
    [line, Line::bytes(name, Some(peaks[0]), peaks[1], Some(MEMORY_GOAL))]
}

/// The store in a child process, until it is dropped.
struct Store {
    child: Child,
    direct: u16,
    delayed: u16,
}

impl Store {
    fn start(scale: &Scale) -> Self {
        let mut child = child::start(&["bucket", scale.name], Some(SERVER_CORE));
        let ports = child::heard(&mut child);
        Store { child, direct: ports[0] as u16, delayed: ports[1] as u16 }
    }

    fn port(&self, latency: u64) -> u16 {
        if latency == 0 { self.direct } else { self.delayed }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// It ends when its input does; one that does not is no concern of the numbers.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    let _ = child.wait();
}

/// The store's part: says its ports, without and with latency, and answers until its standard input ends.
///
/// # Errors
/// Where the input cannot be read.
pub fn serve_bucket(scale: &str) -> io::Result<()> {
    let Scale { large_bytes, files, names, .. } = Scale::named(scale);
    let server = Server::with(Settings { quick_etags: true, ..Settings::default() });
    server.put(BUCKET, "data/large", vec![b'x'; large_bytes as usize]);
    for file in 0..files {
        server.put(BUCKET, &format!("data/small/{file:05}"), vec![b'x'; SMALL_BYTES as usize]);
    }
    server.generate(BUCKET, Generated::numbered("data/many/", names, 3));
    let proxy = Proxy::before(&server.endpoint());
    proxy.latency(Duration::from_millis(LATENCIES[1]));
    child::say(&[f64::from(server.endpoint().address.port()), f64::from(proxy.endpoint().address.port())]);
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Those who work, started when they are first wanted.
struct Hands<'a> {
    /// Where ours finds its guest compiled.
    code: &'a TempDir,
    scale: Scale,
    port: u16,
    found: Vec<Hand>,
}

impl Hands<'_> {
    /// Which one has this side.
    fn of(&mut self, side: &'static str) -> usize {
        if let Some(at) = self.found.iter().position(|hand| hand.side == side) {
            return at;
        }
        let start = || Hand::start(side, self.port, self.scale.name, self.code);
        if side == OURS || side == KEPT {
            // It compiles, which the memory of the next one does not remember.
            drop(start());
        }
        self.found.push(start());
        self.found.len() - 1
    }
}

/// Who works, in a child process, until it is dropped.
struct Hand {
    side: &'static str,
    child: Child,
    /// Its memory when it had served and rested.
    idle: f64,
}

/// What came of some work.
struct Done {
    nanoseconds: f64,
    /// The share of its time that it waited for its core.
    waited: f64,
    /// Its memory above idle, at its most.
    peak: f64,
}

impl Hand {
    fn start(side: &'static str, port: u16, scale: &str, code: &TempDir) -> Self {
        // One that is private: it is made by who opens it.
        let code = code.path().join("code");
        let code = code.to_string_lossy();
        let mut child = child::start(&["hand", side, &port.to_string(), scale, &code], Some(LOAD_CORE));
        child::heard(&mut child);
        let idle = memory::resident(child.id()).expect("Linux tells");
        Hand { side, child, idle }
    }

    fn work(&mut self, verb: &str, amount: u64) -> Done {
        let input = self.child.stdin.as_mut().expect("its input is piped");
        writeln!(input, "{verb} {amount}").and_then(|()| input.flush()).expect("the child listens");
        let (process, done) = (self.child.id(), AtomicBool::new(false));
        let (said, peak) = thread::scope(|scope| {
            let looks = scope.spawn(|| {
                let mut peak = 0.0_f64;
                while !done.load(Ordering::Relaxed) {
                    peak = peak.max(memory::resident(process).unwrap_or(0.0));
                    thread::sleep(LOOK);
                }
                peak
            });
            let said = child::heard(&mut self.child);
            done.store(true, Ordering::Relaxed);
            (said, looks.join().expect("nobody panics"))
        });
        let [nanoseconds, waited]: [f64; 2] = said.try_into().expect("two numbers");
        Done { nanoseconds, waited, peak: (peak - self.idle).max(0.0) }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
