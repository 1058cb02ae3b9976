//! Random numbers that nobody guesses, also where the usual crates have no source of them: on `wasm32-unknown-unknown`
//! (feature `random`).
//!
//! ```no_run
//! let token: [u8; 16] = runner::random::bytes();
//! let die = runner::random::number() % 6 + 1;
//! ```
//!
//! They are the host's: fit for keys and tokens. A host that runs for replay gives the same ones each time.

use std::array;

/// So many random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let (mut pool, mut left) = ([0; 8], 0_usize);
    array::from_fn(|_| {
        if left == 0 {
            (pool, left) = (number().to_le_bytes(), pool.len());
        }
        left -= 1;
        pool[left]
    })
}

/// Any number of 64 bits.
pub fn number() -> u64 {
    #[cfg(target_arch = "wasm32")]
    {
        wasip2::random::random::get_random_u64()
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        // For native tests alone: std's seeds are the system's.
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(0)
    }
}
