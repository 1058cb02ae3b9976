//! By preview 1: a module that exports its functions, driven step by step.

use runner_core::Limits;
use serde_json::json;

use super::super::Chance;
use super::{
    Backend, CLOCK_SECONDS, Compared, PATHS, SLOTS, STEPS, TARGETS, any, letters, of_directory, offset, seeds,
};
use crate::p1::door::Host;
use crate::p1::steps::run;

/// A step as `p1/steps.rs` has it; `$0` stands for the descriptor of a slot.
fn step(chance: &mut Chance, hard_links: bool) -> String {
    let path = any(chance, &PATHS);
    let slot = format!("${}", chance.below(SLOTS));
    let follow = any(chance, &["", "", " follow"]);
    let letter = char::from(b'a' + chance.below(26) as u8);
    let count = if chance.below(12) == 0 { 1_000 + chance.below(3_000) } else { chance.below(20) };
    let set = 1 + chance.below(1_000);
    let seconds = |count: u64| count * 1_000_000_007;
    match chance.below(64) {
        0..10 => {
            let of = if chance.below(4) == 0 { "cdxt" } else { "cct" };
            let how = letters(chance, of);
            let how = if how.is_empty() { "''".to_owned() } else { how };
            // What is made or cut off can be written on wasmtime, whoever asks: see `table`.
            let rights = any(chance, &["r", "w", "rw", "rw", "rw"]);
            let rights = if how.contains(['c', 't']) && rights == "r" { "rw" } else { rights };
            let flags = any(chance, &["''", "''", "''", "a"]);
            format!("open 3 {path} {how} {rights} {flags}{follow}")
        }
        10 => format!("close {slot}"),
        11..16 => format!("read {slot} {}", count + 1),
        16..20 => format!("pread {slot} {} {}", count + 1, offset(chance)),
        // Of nothing: see `what_cannot_be_drawn_is_as_said`.
        20..24 => format!("write {slot} {}*{letter}", count.max(1)),
        24..28 => format!("pwrite {slot} {count}*{letter} {}", offset(chance)),
        28..31 => {
            let to = offset(chance).cast_signed() - any(chance, &[0, 0, 10, 300]);
            format!("seek {slot} {to} {}", any(chance, &["set", "current", "end"]))
        }
        31 => format!("tell {slot}"),
        32..34 => format!("size {slot} {}", offset(chance)),
        34..36 => format!("stat {slot}"),
        36 => format!("fdstat {slot}"),
        37 => format!("{} {slot}", any(chance, &["sync", "datasync"])),
        38 => format!("times {slot}"),
        39..41 => format!("settimes {slot} {} {} {}", seconds(set), seconds(set + 1), any(chance, &[1, 4, 5, 5])),
        41..43 => format!("lsettimes 3 {path} {} {} 5{follow}", seconds(set), seconds(set + 1)),
        43..46 => format!("lstat 3 {path}{follow}"),
        46..50 => format!("mkdir 3 {path}"),
        50 => format!("rmdir 3 {path}"),
        51..53 => format!("unlink 3 {path}"),
        53..57 => format!("rename 3 {path} 3 {}", any(chance, &PATHS)),
        57 => format!("symlink {} 3 {path}", any(chance, &TARGETS)),
        58 => format!("readlink 3 {path} 100"),
        59 => format!("list {slot} 4000"),
        60 => "list 3 4000".to_owned(),
        61 => format!("setflags {slot} {}", any(chance, &["a", "''"])),
        62 if hard_links => format!("link 3 {path} 3 {}", any(chance, &PATHS)),
        _ => format!("same {slot} 3 {path}"),
    }
}

/// A host, with what its slots hold.
struct Driven {
    host: Host,
    /// 99 is nobody's.
    slots: [u64; SLOTS as usize],
}

impl Driven {
    fn new(host: Host) -> Self {
        Driven { host, slots: [99; SLOTS as usize] }
    }

    async fn step(&mut self, step: &str, slot: usize) -> String {
        let mut words: Vec<String> = step.split(' ').map(str::to_owned).collect();
        for word in &mut words {
            if let Some(slot) = word.strip_prefix('$') {
                *word = self.slots[slot.parse::<usize>().expect("a slot")].to_string();
            }
        }
        let came = run(&mut self.host, &words.join(" ")).await;
        match (&*words[0], came.parse()) {
            ("open", Ok(descriptor)) => {
                run(&mut self.host, &format!("close {}", self.slots[slot])).await;
                self.slots[slot] = descriptor;
                "ok".to_owned()
            }
            ("close", _) => {
                // The number may be another slot's next.
                self.slots[step[7..].parse::<usize>().expect("a slot")] = 99;
                came
            }
            ("times", _) => times(&came),
            _ => came,
        }
    }
}

/// What was set, to the nanosecond; of the clock's times, that they are the clock's.
fn times(came: &str) -> String {
    let time = |word: &str| match word.parse::<u64>() {
        Ok(ns) if ns >= CLOCK_SECONDS * 1_000_000_000 => "now".to_owned(),
        _ => word.to_owned(),
    };
    came.split(' ').map(time).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_finds_on_each_backend_what_it_finds_on_wasmtime() {
    let server = runner_s3::Server::start();
    let mut compared = Compared::default();
    for seed in seeds() {
        let (mut chance, hard_links) = (Chance(seed), seed % 3 == 2);
        let backends = Backend::all(&server, seed, hard_links).await;
        let folder = tempfile::tempdir().expect("a folder");
        let mut stock = Driven::new(Host::stock(folder.path(), "").await);
        let mut ours = Vec::new();
        for backend in &backends {
            let mount = json!({ "mode": backend.mode });
            let host = Host::ours(&backend.executor, mount, "", Limits::default()).await;
            ours.push(Some(Driven::new(host)));
        }
        // What a failure is explained with: by the slot, what was done with it.
        let mut told = Vec::new();
        let mut kinds = [const { String::new() }; SLOTS as usize];
        for number in 0..STEPS {
            // From the start every slot holds something.
            let (step, slot) = match number {
                0..4 => (format!("open 3 f{number} c rw ''"), number),
                _ => (step(&mut chance, hard_links), chance.below(SLOTS) as usize),
            };
            let expected = stock.step(&step, slot).await;
            if let Some(word) = step.split(' ').find(|word| word.starts_with('$')) {
                told.push(format!("{word}: step {number}: {step}: {expected}"));
            }
            if step.starts_with("open") && expected == "ok" {
                told.push(format!("${slot}: step {number}: {step}"));
                kinds[slot] = stock.step(&format!("fdstat ${slot}"), slot).await;
            }
            // The times of a directory, and when something was last read, are compared where they were just set.
            for (driven, backend) in ours.iter_mut().zip(&backends) {
                let Some(one) = driven else { continue };
                let found = one.step(&step, slot).await;
                let (mut expected, mut found) = (expected.clone(), found);
                if step.starts_with("times") {
                    let of: usize = step[7..].parse().expect("a slot");
                    let modified = |text: &str| match text.split_once(' ') {
                        Some(_) if kinds[of].starts_with("directory") => "a directory's".to_owned(),
                        Some((_, modified)) => modified.to_owned(),
                        None => text.to_owned(),
                    };
                    (expected, found) = (modified(&expected), modified(&found));
                }
                let at = format!("seed {seed}, step {number}");
                if !compared.step(backend.name, &step, (&found, &expected), &at) {
                    let slot = step.split(' ').find(|word| word.starts_with('$')).unwrap_or("none");
                    for line in told.iter().filter(|line: &&String| line.starts_with(slot)) {
                        println!("    {line}");
                    }
                    println!("{}", of_directory(folder.path()).await);
                    // What comes after it may only follow from it.
                    println!("{} is left out from here on", backend.name);
                    *driven = None;
                }
                if step.starts_with("settimes")
                    && step.ends_with(" 5")
                    && found == "ok"
                    && let Some(one) = driven
                {
                    let times = format!("times {}", step.split(' ').nth(1).expect("a slot"));
                    let pair = (one.step(&times, slot).await, stock.step(&times, slot).await);
                    compared.step(backend.name, &step.replace("settimes", "times after"), (&pair.0, &pair.1), &at);
                }
            }
        }
        let expected = of_directory(folder.path()).await;
        for (one, backend) in ours.into_iter().zip(&backends) {
            if let Some(one) = one {
                one.host.close().await.expect("it is committed");
                compared.tree(backend.name, (&backend.tree().await, &expected), &format!("seed {seed}"));
            }
        }
    }
    compared.told("preview 1");
}

/// What cannot be drawn by chance, since all that comes after it is different. On wasmtime who makes a file, or cuts one off, may
/// write to it, whatever he asked for; and to append nothing is to go to the end, which on Linux it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_drawn_is_as_said() {
    let steps = [
        ("open 3 a c r ''", "ok", "ok"),
        ("write $0 abc", "badf", "3"),
        ("size $0 1", "inval", "ok"),
        ("fdstat $0", "file r-", "file rw"),
        ("open 3 a t r ''", "ok", "ok"),
        ("write $0 x", "badf", "1"),
        ("open 3 b c rw a", "ok", "ok"),
        ("write $0 abc", "3", "3"),
        ("seek $0 1 set", "1", "1"),
        ("write $0 0*x", "0", "0"),
        ("tell $0", "1", "3"),
    ];
    let server = runner_s3::Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let mut stock = Driven::new(Host::stock(folder.path(), "").await);
    for (step, _, expected) in steps {
        assert_eq!(stock.step(step, 0).await, expected, "wasmtime: {step}");
    }
    for backend in Backend::all(&server, 0, false).await {
        let mount = json!({ "mode": backend.mode });
        let mut ours = Driven::new(Host::ours(&backend.executor, mount, "", Limits::default()).await);
        for (step, expected, _) in steps {
            assert_eq!(ours.step(step, 0).await, expected, "{}: {step}", backend.name);
        }
    }
}
