//! What the proxy can do to a request, and which request it does it to: by a script, or by a seeded stream of chance.

use std::fmt;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::kind::{Call, Kind};

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The proxy answers, and the store does not hear of it.
    Answer {
        /// The status.
        status: u16,
        /// S3's code, such as `SlowDown`.
        code: &'static str,
    },
    /// The proxy answers 403 `RequestTimeTooSkewed`, by a clock that is so many seconds ahead of the machine's.
    TooSkewed {
        /// Negative for a clock that is behind.
        seconds: i64,
    },
    /// The connection is reset when the request's head has come; the store does not hear of it.
    ResetBefore,
    /// The store has done it and has answered, and the client's connection is reset instead: the client cannot know.
    ResetAfter,
    /// Both connections are reset when so much of the request's body was passed on.
    ResetInUpload {
        /// Of the body.
        bytes: u64,
    },
    /// The connection is reset when the head of the answer and so much of its body was given.
    ResetInBody {
        /// Of the body.
        bytes: u64,
    },
    /// The connection is closed in good order after so much of the answer's body, though the head promised more.
    Truncate {
        /// Of the body.
        bytes: u64,
    },
    /// The answer comes in small pieces.
    Slow {
        /// In each piece.
        bytes: usize,
        /// Between two of them.
        pause: Duration,
    },
    /// The request waits before it is passed on.
    Delay(Duration),
    /// The answer is given twice, one behind the other.
    Twice,
    /// The store does it, and the client is given the answer to the last request of this kind. Where there was none, nothing happens.
    Stale,
    /// The answer's `Date` is shifted by so many seconds.
    Skew {
        /// Negative for a clock that is behind.
        seconds: i64,
    },
}

impl Fault {
    /// 500, which S3 asks its clients to try again.
    pub fn internal_error() -> Self {
        Self::Answer { status: 500, code: "InternalError" }
    }

    /// 503, when the store is asked too often.
    pub fn slow_down() -> Self {
        Self::Answer { status: 503, code: "SlowDown" }
    }

    /// 409, which S3 may answer to a conditional write that meets another one.
    pub fn conflict() -> Self {
        Self::Answer { status: 409, code: "ConditionalRequestConflict" }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A fault, and the requests that it is put upon: those that everything said of them here holds for.
#[derive(Debug, Clone)]
pub struct Rule {
    fault: Fault,
    index: Option<u64>,
    kind: Option<Kind>,
    key: Option<String>,
    skip: u64,
    times: u64,
}

impl Rule {
    /// The fault, upon the first request that comes.
    pub fn new(fault: Fault) -> Self {
        Self { fault, index: None, kind: None, key: None, skip: 0, times: 1 }
    }

    /// Upon the request of this index since the log was last reset.
    pub fn index(self, index: u64) -> Self {
        Self { index: Some(index), ..self }
    }

    /// Upon requests of a kind.
    pub fn kind(self, kind: Kind) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// Upon requests of a key, or of a listing's prefix.
    pub fn key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// The first so many requests that it would be put upon are let through.
    pub fn skip(self, requests: u64) -> Self {
        Self { skip: requests, ..self }
    }

    /// Upon so many requests, not upon one alone.
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Upon all of them.
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    fn fits(&self, index: u64, call: &Call) -> bool {
        self.index.is_none_or(|one| one == index)
            && self.kind.is_none_or(|kind| kind == call.kind)
            && self.key.as_ref().is_none_or(|key| *key == call.key || call.key.is_empty() && *key == call.prefix)
    }

    /// Whether it is put upon this request; counts it.
    fn take(&mut self, index: u64, call: &Call) -> bool {
        if self.times == 0 || !self.fits(index, call) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// Faults by chance. What befalls a request depends on the seed and on its index alone.
#[derive(Debug, Clone)]
pub struct Chance {
    /// Print it, so that a failure can be had again.
    pub seed: u64,
    /// One request in so many has a fault.
    pub one_in: u32,
    /// One of these, each as often.
    pub faults: Vec<Fault>,
}

impl Chance {
    fn decide(&self, index: u64) -> Option<Fault> {
        let mut stream = ChaCha8Rng::seed_from_u64(self.seed);
        stream.set_stream(index);
        if self.faults.is_empty() || stream.next_u32() % self.one_in.max(1) != 0 {
            return None;
        }
        let place = stream.next_u32() as usize % self.faults.len();
        self.faults.get(place).cloned()
    }
}

/// Which request meets which fault: the first rule that fits, or else chance.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) rules: Vec<Rule>,
    pub(crate) chance: Option<Chance>,
}

impl Plan {
    pub(crate) fn decide(&mut self, index: u64, call: &Call) -> Option<Fault> {
        let scripted = self.rules.iter_mut().find_map(|rule| rule.take(index, call).then(|| rule.fault.clone()));
        scripted.or_else(|| self.chance.as_ref()?.decide(index))
    }
}
