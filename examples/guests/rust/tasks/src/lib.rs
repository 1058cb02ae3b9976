//! Tasks: ordinary functions on ordinary types, which callers see with their schemas.
//!
//! The same source is built for every target, and behaves the same.

use runner::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is ordered.
#[derive(Deserialize, JsonSchema)]
struct Order {
    /// Who pays.
    customer: String,
    lines: Vec<Line>,
    /// Percent off, for friends.
    #[serde(default)]
    discount: Option<u8>,
}

#[derive(Deserialize, JsonSchema)]
struct Line {
    article: String,
    count: u32,
    /// In cents.
    price: u64,
}

#[derive(Serialize, JsonSchema)]
struct Receipt {
    customer: String,
    /// In cents.
    total: u64,
    articles: Vec<String>,
}

/// Adds up an order.
///
/// An order of nothing is none.
#[runner::task]
fn total(order: Order) -> Result<Receipt, Failure> {
    if order.lines.is_empty() {
        return Err(Failure::new("empty-order", format!("{} ordered nothing", order.customer)));
    }
    let sum: u64 = order.lines.iter().map(|line| u64::from(line.count) * line.price).sum();
    let off = u64::from(order.discount.unwrap_or(0).min(100));
    let articles = order.lines.into_iter().map(|line| line.article).collect();
    Ok(Receipt { customer: order.customer, total: sum * (100 - off) / 100, articles })
}

/// Has two parameters and cannot fail.
#[runner::task(name = "repeat")]
fn say_again(text: String, times: Option<u32>) -> String {
    text.repeat(times.unwrap_or(2) as usize)
}

/// Has nothing to take, and nothing to say.
#[runner::task]
fn nothing() {}

/// Says who asked.
#[runner::task]
fn asked() -> Result<String, Failure> {
    let context = runner::task::context().ok_or_else(|| Failure::new("no-context", "nobody asked"))?;
    let key = context.idempotency_key.as_deref().unwrap_or("-");
    Ok(format!("{key}, attempt {}, within {} ms", context.attempt, context.deadline_ms))
}

/// Passes on an error that is not its own.
#[runner::task]
fn number(text: String) -> Result<i64, Failure> {
    Ok(text.parse::<i64>()?)
}

/// Says no for now.
#[runner::task]
fn busy() -> Result<(), Failure> {
    Err(Failure::new("busy", "come back later").retryable())
}

/// A type whose schema nobody derived.
#[derive(Serialize, Deserialize)]
struct Plain {
    anything: String,
}

/// Takes and gives what has no schema.
#[runner::task]
fn plain(it: Plain) -> Plain {
    it
}
