//! By `wasi:filesystem` 0.2: the guest that does with it what it is told, function by function.

use runner_core::{Ending, Limits};
use serde_json::{Value, json};

use super::super::Chance;
use super::{
    Backend, CLOCK_SECONDS, Compared, PATHS, SLOTS, STEPS, TARGETS, any, letters, of_directory, offset, seeds,
};
use crate::support::{RAW, Stock, granted, lines};

/// What is open from the start, so that every slot holds something.
fn before() -> Vec<Value> {
    let open = |slot: u64| json!(["open", format!("s{slot}"), "/data", format!("f{slot}"), "", "c", "rw"]);
    (0..SLOTS).map(open).collect()
}

fn step(chance: &mut Chance, hard_links: bool) -> Value {
    let path = any(chance, &PATHS);
    let slot = format!("s{}", chance.below(SLOTS));
    let follow = any(chance, &["", "f"]);
    let letter = char::from(b'a' + chance.below(26) as u8).to_string();
    let count = if chance.below(12) == 0 { 1_000 + chance.below(3_000) } else { chance.below(20) };
    let text = letter.repeat(count as usize);
    let set = 1 + chance.below(1_000);
    let (accessed, modified) = (json!([set, set * 7]), json!([set + 1, set]));
    match chance.below(62) {
        0..10 => {
            let of = if chance.below(4) == 0 { "cdxt" } else { "cct" };
            let how = letters(chance, of);
            // What is made or cut off can be written on wasmtime, whoever asks: see `table`.
            let rights = any(chance, &["r", "w", "rw", "rw", "rw"]);
            let rights = if how.contains(['c', 't']) && rights == "r" { "rw" } else { rights };
            json!(["open", slot, "/data", path, follow, how, rights])
        }
        10..13 => json!(["read", slot, count + 1, offset(chance)]),
        13..16 => json!(["write", slot, text, offset(chance)]),
        16..19 => json!(["take", slot, offset(chance), count + 1]),
        19..22 => json!(["give", slot, text, 1, offset(chance)]),
        22..25 => json!(["add", slot, text]),
        25..28 => json!(["set-size", slot, offset(chance)]),
        28..30 => json!(["stat", slot]),
        30 => json!(["flags", slot]),
        31 => json!(["type", slot]),
        32 => json!([any(chance, &["sync", "sync-data"]), slot]),
        33 => json!(["times", slot]),
        34..36 => json!(["set-times", slot, accessed, modified]),
        36 => json!(["set-times", slot, null, modified]),
        37 => json!(["set-times-at", "/data", follow, path, accessed, modified]),
        38..41 => json!(["stat-at", "/data", follow, path]),
        41..45 => json!(["mkdir", "/data", path]),
        45 => json!(["rmdir", "/data", path]),
        46..48 => json!(["unlink", "/data", path]),
        48..52 => json!(["rename", "/data", path, "/data", any(chance, &PATHS)]),
        52 => json!(["symlink", "/data", any(chance, &TARGETS), path]),
        53 => json!(["readlink", "/data", path]),
        54 => json!(["ls", slot]),
        55 => json!(["ls", "/data"]),
        56 => json!(["same", slot, format!("s{}", chance.below(SLOTS))]),
        57 => json!(["same-hash-at", slot, "/data", follow, path]),
        58 if hard_links => json!(["link", "/data", "", path, "/data", any(chance, &PATHS)]),
        59 => json!(["mkdir", slot, "a"]),
        60 => json!(["stat-at", slot, follow, "a"]),
        _ => json!(["open", slot, slot, "b", follow, "", "rw"]),
    }
}

/// What was set, and when it was changed last; of the clock's times, that they are the clock's. When a directory was changed is
/// left out, and when something was read last.
fn times(came: &Value, directory: bool) -> Value {
    match came.get(1) {
        Some(_) if directory => json!("a directory's"),
        Some(modified) if modified[0].as_u64() >= Some(CLOCK_SECONDS) => json!("now"),
        Some(modified) => modified.clone(),
        None => came.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_finds_on_each_backend_what_it_finds_on_wasmtime() {
    let server = runner_s3::Server::start();
    let (mut compared, theirs) = (Compared::default(), Stock::new(RAW));
    for seed in seeds() {
        let (mut chance, hard_links) = (Chance(seed), seed % 3 == 2);
        let mut steps = before();
        for _ in 0..STEPS {
            let step = step(&mut chance, hard_links);
            // A file's times are told apart from a directory's.
            if step[0] == "times" {
                steps.push(json!(["type", step[1]]));
            }
            steps.push(step);
        }
        let steps = Value::Array(steps);
        let folder = tempfile::tempdir().expect("a folder");
        let theirs_came = theirs.came(folder.path(), &steps).await;
        let expected = of_directory(folder.path()).await;
        for backend in Backend::all(&server, seed, hard_links).await {
            let grants = granted(json!({ "/data": { "mode": backend.mode } }));
            let program = backend.executor.load(runner_guests::get(RAW), &grants).await.expect("the guest loads");
            let call = program.command().arg("guest").stdin(steps.to_string()).limits(Limits::default());
            let outcome = call.run().await.expect("the host does its part");
            let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
            let ours = lines(&outcome);
            let steps = steps.as_array().expect("steps");
            let mut same = true;
            for (number, (step, (ours, stock))) in steps.iter().zip(ours.iter().zip(&theirs_came)).enumerate() {
                let (mut found, mut expected) = (ours.clone(), stock.clone());
                if step[0] == "times" {
                    let directory = theirs_came[number - 1] == "directory";
                    (found, expected) = (times(&found, directory), times(&expected, directory));
                }
                let words: Vec<String> =
                    step.as_array().expect("words").iter().map(|word| word.to_string().replace('"', "")).collect();
                let pair = (found.to_string(), expected.to_string());
                let at = format!("seed {seed}, step {number}");
                same = compared.step(backend.name, &words.join(" "), (&pair.0, &pair.1), &at);
                if !same {
                    // What comes after it may only follow from it.
                    let opened = |at: &usize| steps[*at][0] == "open" && steps[*at][1] == step[1];
                    let opened = (0..number).rev().filter(opened).find(|at| theirs_came[*at] == "ok");
                    println!("{} is of {:?}", step[1], opened.map(|at| (at, &steps[at])));
                    break;
                }
            }
            if same {
                assert!(
                    matches!(outcome.ending, Ending::Returned(_)),
                    "{}: {:?}\n{said}",
                    backend.name,
                    outcome.ending
                );
                assert_eq!((ours.len(), theirs_came.len()), (steps.len(), steps.len()), "every step was done");
                compared.tree(backend.name, (&backend.tree().await, &expected), &format!("seed {seed}"));
            }
        }
    }
    compared.told("components");
}
