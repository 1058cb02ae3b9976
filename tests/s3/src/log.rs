//! The log of requests, in the order in which they came: the server and the proxy each keep one. Its counts by kind are the
//! gate against regressions, so nothing is ever left out of it unseen.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::kind::{Call, Kind};

/// More than any bench asks for (a million keys, one GET each); some 300 bytes are kept of each request.
pub const REQUESTS_MAX: usize = 2_000_000;

/// A request that came, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its place since the log was last reset, from 0.
    pub index: u64,
    /// What it asked for.
    pub call: Call,
    /// The status of its answer; none as long as there is none, and for ever where the connection was cut.
    pub status: Option<u16>,
    /// Bytes of the answer's body, as its head declares them.
    pub sent: u64,
    /// The fault that the proxy put upon it.
    pub fault: Option<String>,
}

impl std::ops::Deref for Request {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}/{}", self.index, self.kind, self.bucket, self.key)?;
        if !self.prefix.is_empty() {
            write!(f, " prefix={}", self.prefix)?;
        }
        let conditions = [("", &self.range), ("if-match ", &self.if_match), ("if-none-match ", &self.if_none_match)];
        for (name, value) in conditions {
            if let Some(value) = value {
                write!(f, " {name}{value}")?;
            }
        }
        if let Some(part) = self.part {
            write!(f, " part {part}")?;
        }
        match self.status {
            Some(status) => write!(f, " -> {status}")?,
            None => write!(f, " -> no answer")?,
        }
        match &self.fault {
            Some(fault) => write!(f, " [{fault}]"),
            None => Ok(()),
        }
    }
}

/// Requests in the order of their arrival. A clone is the same log.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    requests: Vec<Request>,
    /// Grows with each reset: the answer to a request that came before belongs nowhere any more.
    generation: u64,
}

/// A request that is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    generation: u64,
    /// The request's place.
    pub(crate) index: u64,
}

impl Log {
    /// The requests since the last reset.
    pub fn requests(&self) -> Vec<Request> {
        self.entries().requests.clone()
    }

    /// How many requests there were, by kind. Kinds that nobody asked for are left out.
    pub fn counts(&self) -> BTreeMap<Kind, u64> {
        let mut counts = BTreeMap::new();
        for request in &self.entries().requests {
            *counts.entry(request.kind).or_default() += 1;
        }
        counts
    }

    /// How many requests of one kind there were.
    pub fn count(&self, kind: Kind) -> u64 {
        self.entries().requests.iter().filter(|request| request.kind == kind).count() as u64
    }

    /// Forgets all requests and gives them to the caller; the next one has index 0.
    pub fn reset(&self) -> Vec<Request> {
        let mut entries = self.entries();
        entries.generation += 1;
        std::mem::take(&mut entries.requests)
    }

    /// # Panics
    ///
    /// Past [`REQUESTS_MAX`]: a count that is wrong is worse than none.
    pub(crate) fn begin(&self, call: Call) -> Ticket {
        let mut entries = self.entries();
        assert!(entries.requests.len() < REQUESTS_MAX, "the log holds {REQUESTS_MAX} requests: reset it in between");
        let index = entries.requests.len() as u64;
        entries.requests.push(Request { index, call, status: None, sent: 0, fault: None });
        Ticket { generation: entries.generation, index }
    }

    pub(crate) fn answered(&self, ticket: Ticket, status: u16, sent: u64) {
        self.change(ticket, |request| (request.status, request.sent) = (Some(status), sent));
    }

    pub(crate) fn faulted(&self, ticket: Ticket, fault: String) {
        self.change(ticket, |request| request.fault = Some(fault));
    }

    fn change(&self, ticket: Ticket, change: impl FnOnce(&mut Request)) {
        let mut entries = self.entries();
        if entries.generation == ticket.generation
            && let Some(request) = entries.requests.get_mut(ticket.index as usize)
        {
            change(request);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // A push either happened or did not: the list is whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
