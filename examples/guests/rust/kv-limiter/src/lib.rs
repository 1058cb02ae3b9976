//! A rate limiter: a token bucket for each caller in a key-value store, kept right by compare-and-swap.
//!
//! Two calls at once never take the same token: the one whose swap is refused looks again and decides anew.

wit_bindgen::generate!({
    path: ["../../../../runner-host-kv/wit/keyvalue-draft2", "../../wit/demo-kv-limiter"],
    world: "demo:kv-limiter/kv-limiter",
    generate_all,
});

use wasi::keyvalue::atomics::{self, Cas, CasError};
use wasi::keyvalue::store::{self, Error};

struct Limiter;

export!(Limiter);

/// The tokens of one caller at a time.
struct Tokens {
    left: u32,
    /// When the last token came back: what is over of the time since then counts for the next one.
    at_ms: u64,
}

impl Tokens {
    fn parse(text: &[u8]) -> Option<Self> {
        let (left, at_ms) = std::str::from_utf8(text).ok()?.split_once('@')?;
        Some(Tokens { left: left.parse().ok()?, at_ms: at_ms.parse().ok()? })
    }

    fn refilled(self, now_ms: u64, policy: &Policy) -> Self {
        let period = u64::from(policy.refill_ms.max(1));
        let came = now_ms.saturating_sub(self.at_ms) / period;
        match u64::from(self.left) + came {
            all if all >= u64::from(policy.burst) => Tokens { left: policy.burst, at_ms: now_ms },
            some => Tokens { left: some as u32, at_ms: self.at_ms + came * period },
        }
    }
}

impl Guest for Limiter {
    fn take(who: String, now_ms: u64, policy: Policy) -> Result<Option<u32>, String> {
        let bucket = store::open("default").map_err(told)?;
        let key = format!("tokens of {who}");
        let mut handle = Cas::new(&bucket, &key).map_err(told)?;
        loop {
            let tokens = match handle.current().map_err(told)? {
                None => Tokens { left: policy.burst, at_ms: now_ms },
                Some(text) => Tokens::parse(&text).ok_or("the store holds something else than tokens")?,
            };
            let Tokens { left, at_ms } = tokens.refilled(now_ms, &policy);
            let Some(left) = left.checked_sub(1) else { return Ok(None) };
            match atomics::swap(handle, format!("{left}@{at_ms}").as_bytes()) {
                Ok(()) => return Ok(Some(left)),
                Err(CasError::CasFailed(newer)) => handle = newer,
                Err(CasError::StoreError(error)) => return Err(told(error)),
            }
        }
    }
}

fn told(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no-such-store".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::Other(words) => words,
    }
}
