//! Counters by name, which many add to at once and none of them loses.

use runner::{Failure, kv};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a counter holds.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
struct Count {
    /// All that was added.
    sum: i64,
    /// How often something was.
    times: u64,
}

/// A counter with its name.
#[derive(Serialize, JsonSchema)]
struct Named {
    name: String,
    #[serde(flatten)]
    count: Count,
}

const PREFIX: &str = "counter/";

/// Adds to a counter: one, where nothing else is said.
#[runner::task]
fn add(name: String, by: Option<i64>) -> Result<Count, Failure> {
    let by = by.unwrap_or(1);
    kv::open("default")?.try_update_json(&format!("{PREFIX}{name}"), |count: Option<Count>| {
        let Count { sum, times } = count.unwrap_or_default();
        let sum = sum.checked_add(by);
        let sum = sum.ok_or_else(|| Failure::new("too-many", format!("counter `{name}` cannot take {by} more")))?;
        Ok(Count { sum, times: times + 1 })
    })
}

/// What a counter holds; nothing, where nobody has added to it.
#[runner::task]
fn read(name: String) -> Result<Option<Count>, Failure> {
    Ok(kv::open("default")?.get_json(&format!("{PREFIX}{name}"))?)
}

/// The counters with the largest sums, at most a hundred.
#[runner::task]
fn top(count: u32) -> Result<Vec<Named>, Failure> {
    let counters = kv::open("default")?;
    let (mut top, most) = (Vec::new(), count.min(100) as usize);
    for key in counters.keys(PREFIX) {
        let key = key?;
        // One that was deleted meanwhile is none.
        let Some(count) = counters.get_json(&key)? else { continue };
        top.push(Named { name: key[PREFIX.len()..].to_owned(), count });
        top.sort_by_key(|named| std::cmp::Reverse(named.count.sum));
        top.truncate(most);
    }
    Ok(top)
}
