//! Memory: an executor that has served and rests, and instances that stay alive. Each in a process of its own, so that what
//! others left behind does not count.

use std::fs;
use std::io;

use runner_core::{Bounds, Executor, Grants};
use serde_json::json;
use wasmtime::Store;

use crate::report::Line;
use crate::{bare, child, guests, wait};

/// Instances alive at once.
const ALIVE: u32 = 10_000;

/// What is measured here: name, the child's task for each side, the goal in bytes.
const ROWS: &[(&str, &str, f64)] = &[
    ("idle, after one call", "idle", 25.0 * 1024.0 * 1024.0),
    ("each of 10,000 live instances", "live", 12.0 * 1024.0),
    ("each of 10,000 live instances, touching memory", "touched", 12.0 * 1024.0),
];

/// Measures every row whose name is wanted.
pub fn lines(wanted: impl Fn(&str) -> bool) -> Vec<Line> {
    let rows = ROWS.iter().filter(|(name, ..)| wanted(name));
    rows.map(|(name, task, goal)| {
        let measured = |side: &str| child::answer(&["memory", side, task])[0];
        Line::bytes(*name, Some(measured("bare")), measured("ours"), Some(*goal))
    })
    .collect()
}

/// The child's part: does the task and says how many bytes that took.
///
/// # Errors
/// Where the system does not tell.
pub fn serve(side: &str, task: &str) -> io::Result<Vec<f64>> {
    let (guest, function) = match task {
        "touched" => (guests::text("memory_touch"), "touch"),
        _ => (guests::text("sum_of_2_ints"), "sum_of_2_ints"),
    };
    let slots = if task == "idle" { 1_000 } else { ALIVE + 1 };
    let bytes = match side {
        "bare" => bare_bytes(&guest, function, task, slots),
        _ => our_bytes(&guest, function, task, slots),
    };
    Ok(vec![bytes?])
}

fn bare_bytes(guest: &[u8], function: &str, task: &str, slots: u32) -> io::Result<f64> {
    let engine = bare::new(slots, false);
    let pre = bare::linked(&engine, &bare::module(&engine, guest));
    let made = || {
        let mut store = Store::new(&engine, ());
        wait(async {
            let instance = pre.instantiate_async(&mut store).await.expect("it starts");
            let func = instance.get_typed_func::<(i32, i32), i32>(&mut store, function).expect("it is there");
            func.call_async(&mut store, (16, 26)).await.expect("it returns");
        });
        store
    };
    let first = made();
    if task == "idle" {
        drop(first);
        return resident(std::process::id());
    }
    let before = resident(std::process::id())?;
    let kept: Vec<_> = (0..ALIVE).map(|_| made()).collect();
    let each = (resident(std::process::id())? - before) / f64::from(ALIVE);
    drop(kept);
    Ok(each)
}

fn our_bytes(guest: &[u8], function: &str, task: &str, slots: u32) -> io::Result<f64> {
    let bounds = Bounds { calls: slots, ..Bounds::default() };
    let executor = Executor::builder().bounds(bounds).build().expect("it starts");
    let program = wait(executor.load(guest, &Grants::none()).into_future()).expect("it loads");
    let made = || {
        wait(async {
            let mut instance = program.instance().start().await.expect("it starts");
            let outcome = instance.call(function).args(json!([16, 26])).run().await.expect("it runs");
            assert!(outcome.ending.is_returned());
            instance
        })
    };
    let first = made();
    if task == "idle" {
        drop(first);
        return resident(std::process::id());
    }
    let before = resident(std::process::id())?;
    let kept: Vec<_> = (0..ALIVE).map(|_| made()).collect();
    let each = (resident(std::process::id())? - before) / f64::from(ALIVE);
    drop(kept);
    Ok(each)
}

/// Bytes of a process that lie in memory, counted page by page: the cheaper `VmRSS` lags behind.
///
/// # Errors
/// Where the system does not tell.
pub fn resident(process: u32) -> io::Result<f64> {
    let smaps = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let kib = smaps.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map(|kib: f64| kib * 1024.0).ok_or_else(|| io::Error::other("smaps_rollup has no line `Rss:`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_more_than_a_page_and_less_than_a_gigabyte() {
        let resident = resident(std::process::id()).expect("Linux tells");
        assert!((4096.0..1e9).contains(&resident), "{resident}");
    }
}
