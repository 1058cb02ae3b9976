//! Task tokens: who has one may say how its task went. One names its execution, so that it is found without a list of tokens,
//! and has a secret that comes of what the event brought.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest, Sha256};

use crate::run::Key;

/// Bytes of a token's secret: more than the 128 bits of chance that it is made of, so that none of them is lost.
const SECRET_BYTES: usize = 24;

/// A token of an execution, for what an event asks for.
pub(crate) fn new(execution: &str, seed: u128, at: &Key) -> String {
    let digest = Sha256::new().chain_update(b"token").chain_update(seed.to_le_bytes()).chain_update(execution);
    let digest = digest.chain_update(at.to_string()).finalize();
    BASE64.encode([&digest[..SECRET_BYTES], execution.as_bytes()].concat())
}

/// The execution that a token belongs to; `None` where the text is no token. Whether it is waited for,
/// [`RunState::task_of`](crate::RunState::task_of) tells.
///
/// ```
/// assert_eq!(runner_workflow::token::execution("no token"), None);
/// ```
#[must_use]
pub fn execution(token: &str) -> Option<String> {
    let bytes = BASE64.decode(token).ok()?;
    let (_, execution) = bytes.split_at_checked(SECRET_BYTES)?;
    String::from_utf8(execution.to_vec()).ok().filter(|execution| !execution.is_empty())
}

/// Whether two tokens are the same. How long it takes does not tell how much of them is.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let differs = one.bytes().zip(other.bytes()).fold(0, |differs, (one, other)| differs | (one ^ other));
    one.len() == other.len() && differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_execution_and_no_two_are_alike() {
        let key = |serial| Key { path: vec![1], serial };
        let token = new("execution 7", 1, &key(1));
        assert_eq!(execution(&token).as_deref(), Some("execution 7"));
        for other in [new("execution 8", 1, &key(1)), new("execution 7", 2, &key(1)), new("execution 7", 1, &key(2))] {
            assert!(!is_same(&token, &other), "{other}");
        }
        assert!(is_same(&token, &new("execution 7", 1, &key(1))) && !is_same(&token, &token[1..]));
        for text in ["", "a", "%", &BASE64.encode([7; SECRET_BYTES])] {
            assert_eq!(execution(text), None, "{text}");
        }
    }
}
