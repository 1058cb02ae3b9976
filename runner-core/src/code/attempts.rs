//! Those that wait for one answer: what the first could not do is told to all of them, not tried by each in turn.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::error::Error;

/// One answer that is waited for; set where it is an error.
pub(crate) type Attempt = OnceLock<Error>;

/// Answers that are waited for, by what they are about. They end with the last that waits.
pub(crate) struct Attempts<K>(Mutex<HashMap<K, Weak<Attempt>>>);

impl<K> Default for Attempts<K> {
    fn default() -> Self {
        Attempts(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Attempts<K> {
    /// The attempt under way, or another where there is none or the last has failed already.
    pub(crate) fn join(&self, key: &K) -> Arc<Attempt> {
        let mut waited_for = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempt) = waited_for.get(key).and_then(Weak::upgrade).filter(|attempt| attempt.get().is_none()) {
            return attempt;
        }
        waited_for.retain(|_, attempt| attempt.strong_count() > 0);
        let attempt = Arc::new(Attempt::new());
        waited_for.insert(key.clone(), Arc::downgrade(&attempt));
        attempt
    }
}
