//! Counts, in two ways that lose nothing when many do it at once: by `increment`, and by compare-and-swap.

wit_bindgen::generate!({
    path: ["../../../../runner-host-kv/wit/keyvalue-draft2", "../../wit/demo-kv-counter"],
    world: "demo:kv-counter/kv-counter",
    generate_all,
});

use wasi::keyvalue::atomics::{self, Cas, CasError};
use wasi::keyvalue::store::{self, Error};

struct Counter;

export!(Counter);

/// Times that somebody else may be faster before it is given up.
const TRIES_MAX: u32 = 10_000;

impl Guest for Counter {
    fn add(store: String, key: String, by: i64) -> Result<i64, String> {
        let bucket = store::open(&store).map_err(told)?;
        atomics::increment(&bucket, &key, by).map_err(told)
    }

    fn add_by_swap(store: String, key: String, by: i64) -> Result<i64, String> {
        let bucket = store::open(&store).map_err(told)?;
        let mut handle = Cas::new(&bucket, &key).map_err(told)?;
        for _ in 0..TRIES_MAX {
            let sum = number(handle.current().map_err(told)?)? + by;
            match atomics::swap(handle, sum.to_string().as_bytes()) {
                Ok(()) => return Ok(sum),
                Err(CasError::CasFailed(newer)) => handle = newer,
                Err(CasError::StoreError(error)) => return Err(told(error)),
            }
        }
        Err(format!("`{key}` was changed by someone else {TRIES_MAX} times"))
    }

    fn lose_then_win(store: String, key: String) -> Result<String, String> {
        let bucket = store::open(&store).map_err(told)?;
        let handle = Cas::new(&bucket, &key).map_err(told)?;
        bucket.set(&key, b"someone else").map_err(told)?;
        let newer = match atomics::swap(handle, b"too late") {
            Ok(()) => return Ok("the swap overwrote what someone else wrote".to_owned()),
            Err(CasError::CasFailed(newer)) => newer,
            Err(CasError::StoreError(error)) => return Err(told(error)),
        };
        match atomics::swap(newer, b"mine") {
            Ok(()) => {}
            Err(CasError::CasFailed(_)) => return Ok("the new handle is not up to date".to_owned()),
            Err(CasError::StoreError(error)) => return Err(told(error)),
        }
        let kept = bucket.get(&key).map_err(told)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&kept).into_owned())
    }
}

fn number(value: Option<Vec<u8>>) -> Result<i64, String> {
    match value {
        None => Ok(0),
        Some(digits) => std::str::from_utf8(&digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| format!("expected a number, found {digits:?}")),
    }
}

fn told(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no-such-store".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::Other(words) => words,
    }
}
