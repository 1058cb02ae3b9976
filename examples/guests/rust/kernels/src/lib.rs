//! The compute kernels of the benchmark, as plain core exports: hashing, calls, floats,
//! integers, and the work of a typical request.
//!
//! Each returns a value that depends on all of its work, so that nothing of it can be left out
//! and a wrong answer is seen.

use regex::Regex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// Hashes `len` bytes, `rounds` times, each round beginning with the digest before it.
#[unsafe(no_mangle)]
pub extern "C" fn sha256(len: u32, rounds: u32) -> i64 {
    let data: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
    let mut digest = [0u8; 32];
    for _ in 0..rounds {
        digest = Sha256::new().chain_update(digest).chain_update(&data).finalize().into();
    }
    i64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// The n-th Fibonacci number, by two calls for each.
#[unsafe(no_mangle)]
pub extern "C" fn fib(n: u32) -> i64 {
    if n < 2 { n.into() } else { fib(n - 1) + fib(n - 2) }
}

/// Multiplies two n by n matrices; the sum of the product's elements.
#[unsafe(no_mangle)]
pub extern "C" fn matmul(n: u32) -> f64 {
    let n = n as usize;
    let a: Vec<f64> = (0..n * n).map(|i| (i % 7) as f64 + 0.5).collect();
    let b: Vec<f64> = (0..n * n).map(|i| (i % 5) as f64 - 1.5).collect();
    let mut product = vec![0.0; n * n];
    for i in 0..n {
        for k in 0..n {
            let factor = a[i * n + k];
            for j in 0..n {
                product[i * n + j] += factor * b[k * n + j];
            }
        }
    }
    product.iter().sum()
}

/// The state of a 64-bit xorshift generator after n steps.
#[unsafe(no_mangle)]
pub extern "C" fn xorshift(n: u32) -> i64 {
    let mut x = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..n {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x as i64
}

#[derive(Deserialize)]
struct Order {
    id: String,
    customer: String,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    article: String,
    quantity: u32,
    cents: u64,
    note: String,
}

#[derive(Serialize)]
struct Receipt<'a> {
    id: &'a str,
    customer: &'a str,
    total_cents: u64,
    discount_cents: u64,
    articles: Vec<&'a str>,
    rushed: usize,
}

/// An article is two letters, a number of four digits and a variant.
static ARTICLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?-u)^[A-Z]{2}-(\d{4})(?:/([a-z]+))?$").expect("well formed"));
static RUSH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?-u)\b(?:today|by (?:noon|\d{1,2}:\d{2}))\b").expect("well formed"));

/// Answers an order of two KiB, n times; the bytes of all receipts, folded into a number.
#[unsafe(no_mangle)]
pub extern "C" fn request(n: u32) -> i32 {
    let order = order_text();
    (0..n).fold(0, |sum: i32, _| {
        let receipt = answer(&order);
        receipt.bytes().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
    })
}

/// The size of the order that `request` parses, in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn request_bytes() -> i32 {
    order_text().len() as i32
}

fn answer(text: &str) -> String {
    let order: Order = serde_json::from_str(text).expect("the order is well formed");
    let (mut total, mut discount, mut rushed) = (0, 0, 0);
    let mut articles = Vec::with_capacity(order.lines.len());
    for line in &order.lines {
        let Some(parts) = ARTICLE.captures(&line.article) else {
            continue;
        };
        let number: u64 = parts[1].parse().expect("the pattern has digits here");
        let price = line.cents * u64::from(line.quantity);
        total += price;
        if number.is_multiple_of(3) && parts.get(2).is_some() {
            discount += price / 20;
        }
        if RUSH.is_match(&line.note) {
            rushed += 1;
        }
        articles.push(line.article.as_str());
    }
    let receipt = Receipt {
        id: &order.id,
        customer: &order.customer,
        total_cents: total,
        discount_cents: discount,
        articles,
        rushed,
    };
    serde_json::to_string(&receipt).expect("a receipt is plain data")
}

/// Two dozen lines, about two KiB.
fn order_text() -> String {
    let notes = ["please by noon", "leave it at the door", "needed today, second floor", ""];
    let lines: Vec<String> = (0..24u32)
        .map(|i| {
            let variant = if i % 2 == 0 { "/blue" } else { "" };
            let (article, quantity) = (1000 + i * 37, i % 4 + 1);
            let (cents, note) = (199 + i * 250, notes[i as usize % notes.len()]);
            format!(
                r#"{{"article":"AB-{article}{variant}","quantity":{quantity},"cents":{cents},"note":"line {i}: {note}"}}"#
            )
        })
        .collect();
    format!(r#"{{"id":"order-2026-11-22-0042","customer":"Ada \"Countess\" Lovelace","lines":[{}]}}"#, lines.join(","))
}
