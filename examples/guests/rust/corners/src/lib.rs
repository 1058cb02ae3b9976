//! What an author may write that is not what an author mostly writes: names that the attribute uses itself, results under
//! other names, types that contain themselves, types that are read and written differently; and what std lacks on one target.

use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

use runner::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[runner::task]
fn run(arguments: u32) -> u32 {
    arguments + 1
}

#[runner::task]
fn describe(describe: String, run: Option<String>) -> String {
    describe + &run.unwrap_or_default()
}

#[runner::task]
fn arguments(names: Vec<String>) -> usize {
    names.len()
}

/// A tree.
#[derive(Deserialize, Serialize, JsonSchema)]
struct Node {
    name: String,
    #[serde(default)]
    children: Vec<Node>,
}

/// Gives a tree back, below another root.
#[runner::task]
fn planted(deep: u32, tree: Node) -> Node {
    (0..deep).fold(tree, |tree, at| Node { name: format!("root {at}"), children: vec![tree] })
}

/// Is read in other words than it is written in.
#[derive(Deserialize, Serialize, JsonSchema)]
struct Sides {
    #[serde(rename(serialize = "out", deserialize = "in"))]
    count: u32,
    #[serde(default, skip_serializing)]
    secret: Option<String>,
}

#[runner::task]
fn sides(sides: Sides) -> Sides {
    Sides { secret: sides.secret.filter(|secret| !secret.is_empty()), ..sides }
}

type Answer<T> = Result<T, Failure>;

/// Says no by a result under another name.
#[runner::task]
fn aliased(text: String) -> Answer<i64> {
    Ok(text.parse::<i64>()?)
}

/// An error that knows itself what failure it is.
struct Closed(u32);

impl From<Closed> for Failure {
    fn from(Closed(hour): Closed) -> Self {
        Failure::new("closed", format!("at {hour} nobody is there")).retryable()
    }
}

#[runner::task]
async fn opened(hour: u32) -> Result<(), Closed> {
    if hour < 8 { Err(Closed(hour)) } else { Ok(()) }
}

mod shapes {
    use super::{Deserialize, JsonSchema, Serialize};

    /// Has the name of std's, and is another.
    #[derive(Deserialize, Serialize, JsonSchema)]
    pub enum Result<T> {
        Good(T),
        Bad,
    }
}

/// Gives a value of the author's own `Result`, which is an answer like any other.
#[runner::task]
fn graded(points: u32) -> shapes::Result<u32> {
    if points > 50 { shapes::Result::Good(points) } else { shapes::Result::Bad }
}

#[runner::task]
fn doomed(why: String) {
    panic!("so it ends: {why}");
}

/// Whether the wall clock is past 2001, and the other one does not go back.
#[runner::task]
fn clocks() -> bool {
    let (from, now) = (runner::clock::monotonic(), runner::clock::now());
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    since > Duration::from_secs(1_000_000_000) && runner::clock::monotonic() >= from
}

/// Random numbers that are different, of those asked for: all.
#[runner::task]
fn numbers(count: usize) -> usize {
    let numbers: HashSet<_> = (0..count).map(|_| runner::random::number()).collect();
    let texts: HashSet<[u8; 12]> = (0..count).map(|_| runner::random::bytes()).collect();
    numbers.len().min(texts.len())
}
