//! A rate limiter: each caller has some tokens, and each token that is taken comes back after a while.
//!
//! It reads no clock. What is kept of a caller is a value that ends when all the tokens are back, so that the store's own
//! clock counts: taking a token puts the end off by one token's time, and a caller who stays away leaves nothing behind.

use std::time::Duration;

use runner::Failure;
use runner::kv::{self, Ends, Entry, Write};
use schemars::JsonSchema;
use serde::Deserialize;

/// How often a caller may come.
#[derive(Deserialize, JsonSchema)]
struct Policy {
    /// Tokens at most: so many may be taken at once.
    #[schemars(range(min = 1))]
    burst: u32,
    /// Milliseconds after which one comes back.
    #[schemars(range(min = 1))]
    refill_ms: u32,
}

/// Takes a token of a caller; how many are left. Without one it fails as `rate-limited`.
#[runner::task]
fn take(who: String, policy: Policy) -> Result<u32, Failure> {
    let Policy { burst, refill_ms } = policy;
    if burst == 0 || refill_ms == 0 {
        return Err(Failure::new("invalid-policy", "expected a burst and a refill of 1 or more, found 0"));
    }
    let (token, full) = (u64::from(refill_ms), u64::from(refill_ms) * u64::from(burst));
    let mut left = 0;
    kv::open("default")?.update_entry(&format!("tokens/{who}"), |found| {
        let away = found.and_then(|Entry { ends_in, .. }| ends_in).unwrap_or_default().as_millis() as u64 + token;
        let Some(rest) = full.checked_sub(away) else {
            let message = format!("`{who}` may try again in {} ms", away - full);
            return Err(Failure::new("rate-limited", message).retryable());
        };
        left = (rest / token) as u32;
        Ok(Write { value: Vec::new(), ends: Ends::After(Duration::from_millis(away)) })
    })?;
    Ok(left)
}

/// Gives a caller all the tokens back; whether any were away.
#[runner::task]
fn forgive(who: String) -> Result<bool, Failure> {
    Ok(kv::open("default")?.delete(&format!("tokens/{who}"))?)
}
