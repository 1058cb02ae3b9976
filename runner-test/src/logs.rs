//! What guests of a host say, through `runner-host-logging` and the events that it makes.

use std::fmt::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Messages kept of one host; of more than these the first are forgotten.
const MESSAGES_MAX: usize = 10_000;

/// How long an assertion waits for a message: what guests log goes through a thread of its own.
const PATIENCE: Duration = Duration::from_secs(5);

/// The log of one host. Clones are the same log.
#[derive(Clone)]
pub struct Logs {
    kept: Arc<Kept>,
    dispatch: Dispatch,
}

#[derive(Default)]
struct Kept {
    messages: Mutex<Vec<Message>>,
    grown: Condvar,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// How much it matters.
    pub level: Level,
    /// The guest's context, where it gave one.
    pub context: Option<String>,
    /// `stdout` or `stderr`, where the guest has printed it.
    pub stream: Option<String>,
    /// What is said.
    pub text: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = self.context.as_deref().or(self.stream.as_deref()).unwrap_or_default();
        write!(f, "{} {whose}: {}", self.level, self.text)
    }
}

impl Logs {
    pub(crate) fn new() -> Self {
        let kept = Arc::<Kept>::default();
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(Collector(Arc::clone(&kept))));
        Logs { kept, dispatch }
    }

    /// The subscriber that guests are run with.
    pub(crate) fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }

    /// What guests have said so far. The last of it may still be on its way.
    pub fn messages(&self) -> Vec<Message> {
        self.lock().clone()
    }

    /// Waits for a message of a guest that holds a text, at a level; up to 5 seconds.
    ///
    /// # Panics
    /// Where none comes: with those that came.
    #[track_caller]
    pub fn assert_logged(&self, level: Level, text: &str) -> Message {
        let is_it = |message: &&Message| message.level == level && message.text.contains(text);
        let waited =
            self.kept.grown.wait_timeout_while(self.lock(), PATIENCE, |messages| !messages.iter().any(|it| is_it(&it)));
        let (messages, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let found = messages.iter().find(is_it).cloned();
        drop(messages);
        found.unwrap_or_else(|| {
            let mut said = String::new();
            for message in self.messages() {
                let _ = write!(said, "\n    {message}");
            }
            let said = if said.is_empty() { " nothing".to_owned() } else { said };
            panic!("the log\n  expected: {level} {text:?}\n  found:{said}")
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        self.kept.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter()).finish()
    }
}

struct Collector(Arc<Kept>);

impl<S: Subscriber> Layer<S> for Collector {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _context: Context<'_, S>) -> bool {
        metadata.target() == runner_host_logging::TARGET
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { text, context, stream } = fields;
        let message = Message { level: *event.metadata().level(), context, stream, text };
        let mut messages = self.0.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() >= MESSAGES_MAX {
            messages.remove(0);
        }
        messages.push(message);
        self.0.grown.notify_all();
    }
}

#[derive(Default)]
struct Fields {
    text: String,
    context: Option<String>,
    stream: Option<String>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.text = format!("{value:?}{}", self.text),
            "call" | "program" | "capability" => {}
            name => drop(write!(self.text, " {name}={value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "context" => self.context = Some(value.to_owned()),
            "stream" => self.stream = Some(value.to_owned()),
            _ => self.record_debug(field, &value),
        }
    }
}
