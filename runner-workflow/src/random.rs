//! Chance that can be repeated: it begins with a seed from outside and is kept in the run state.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SplitMix64. For jitter and identifiers, not for secrets: who sees one number knows the next ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Takes in what an event brought, in a way that does not tell it: task tokens are made of it too.
    pub(crate) fn stir(&mut self, seed: u128) {
        let digest = Sha256::new().chain_update(b"chance").chain_update(seed.to_le_bytes()).finalize();
        let drop = digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.0 = self.0.rotate_left(17) ^ drop;
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to 1, which it never is.
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits: as many as a double holds.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A version 4 identifier.
    pub(crate) fn uuid(&mut self) -> String {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        let bits = bits & !(0xf << 76) | (4 << 76);
        let bits = bits & !(0x3 << 62) | (2 << 62);
        let text = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_says_that_it_is_random_and_the_same_seed_says_the_same() {
        let (mut one, mut other) = (Random::seeded(7), Random::seeded(7));
        let uuid = one.uuid();
        assert_eq!(uuid, other.uuid());
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    }
}
