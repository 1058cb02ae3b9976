//! What happens to executions, one thing after the other for each. Whoever brings the first thing begins a task that takes all
//! that comes until there is nothing left; an execution of which nothing is heard has none.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Done, Inner};
use crate::command::Happened;
use crate::error::{Error, Result};

/// Things that one step takes together.
const TOGETHER_MAX: usize = 256;

/// What there is to take, by execution; an execution is in here as long as somebody takes.
#[derive(Default)]
pub(super) struct Inbox(Mutex<HashMap<String, VecDeque<News>>>);

/// Something about an execution.
pub(super) struct News {
    pub(super) what: What,
    /// Who wants to know when it is committed. It is then a step of its own.
    pub(super) reply: Option<oneshot::Sender<Result<()>>>,
}

pub(super) enum What {
    Happened(Happened),
    /// The task of a token is done, or alive.
    Token {
        token: String,
        done: Option<Done>,
    },
    /// Something is due.
    Due,
    /// What is owed is to be given out, as far as nobody has it in hand.
    Owed,
    /// A child was started.
    ChildStarted {
        task: crate::run::Key,
        child: String,
    },
    /// No child was started for an orphan.
    NoChild {
        task: crate::run::Key,
    },
    /// The parent knows how it ended.
    Told,
    /// A child that was to be stopped is.
    Stopped {
        child: String,
    },
}

impl From<Happened> for News {
    fn from(happened: Happened) -> Self {
        Self { what: What::Happened(happened), reply: None }
    }
}

impl From<What> for News {
    fn from(what: What) -> Self {
        Self { what, reply: None }
    }
}

impl News {
    pub(super) fn by_token(token: &str, done: Option<Done>) -> Self {
        Self::from(What::Token { token: token.to_owned(), done })
    }
}

impl Inbox {
    fn all(&self) -> MutexGuard<'_, HashMap<String, VecDeque<News>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be taken together: one that somebody waits for, or many that nobody does. `None` where there is nothing
    /// left, and nobody takes any more.
    fn take(&self, id: &str) -> Option<Vec<News>> {
        let mut all = self.all();
        let queue = all.get_mut(id)?;
        let first = queue.front().map(|news| news.reply.is_some());
        let count = match first {
            None => {
                all.remove(id);
                return None;
            }
            Some(true) => 1,
            Some(false) => queue.iter().take(TOGETHER_MAX).take_while(|news| news.reply.is_none()).count(),
        };
        Some(queue.drain(..count).collect())
    }
}

impl Inner {
    /// Brings news of an execution. They are taken in the order in which they were brought.
    pub(super) fn send(self: &Arc<Self>, id: &str, news: News) {
        if self.ending.is_cancelled() {
            if let Some(reply) = news.reply {
                drop(reply.send(Err(Error::unavailable("the host is ending"))));
            }
            return;
        }
        match self.inbox.all().entry(id.to_owned()) {
            Entry::Occupied(mut queue) => queue.get_mut().push_back(news),
            Entry::Vacant(place) => {
                place.insert(VecDeque::from([news]));
                let (inner, id) = (self.clone(), id.to_owned());
                self.under_way.spawn(async move {
                    while let Some(together) = inner.inbox.take(&id) {
                        inner.turn(&id, together).await;
                    }
                });
            }
        }
    }
}
