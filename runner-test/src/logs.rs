//! What guests of a host say, through `runner-host-logging` and the events that it makes.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};
use tracing_core::span::Current;

/// Messages kept of one host; of more than these the first are forgotten.
const MESSAGES_MAX: usize = 10_000;

/// The log of one host. Clones are the same log.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<Vec<Message>>>);

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
    /// The subscriber that guests are run with here: what they say is kept, and all else goes where it went before.
    pub(crate) fn dispatch(&self) -> Dispatch {
        Dispatch::new(Collector { logs: self.clone(), others: dispatcher::get_default(Dispatch::clone) })
    }

    /// What guests have said so far: of every call that has ended, all of it.
    pub fn messages(&self) -> Vec<Message> {
        self.lock().clone()
    }

    /// Expects that a guest has said something, at a level, that holds a text; the first such message.
    ///
    /// # Panics
    /// Where none has: with what they said.
    #[track_caller]
    pub fn assert_logged(&self, level: Level, text: &str) -> Message {
        self.find(level, text).unwrap_or_else(|| self.refuse(&format!("{level} {text:?}")))
    }

    /// Expects that no guest has said anything, at a level, that holds a text, in the calls that have ended.
    ///
    /// # Panics
    /// Where one has: with what they said.
    #[track_caller]
    pub fn assert_not_logged(&self, level: Level, text: &str) {
        if self.find(level, text).is_some() {
            self.refuse(&format!("no {level} {text:?}"));
        }
    }

    fn find(&self, level: Level, text: &str) -> Option<Message> {
        self.lock().iter().find(|message| message.level == level && message.text.contains(text)).cloned()
    }

    #[track_caller]
    fn refuse(&self, expected: &str) -> ! {
        let mut said = String::new();
        for message in self.messages() {
            let _ = write!(said, "\n    {message}");
        }
        let said = if said.is_empty() { " nothing".to_owned() } else { said };
        panic!("the log\n  expected: {expected}\n  found:{said}")
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter()).finish()
    }
}

/// Keeps what guests say, and hands all else on: why the host refused a guest something is for whoever listens to the host.
struct Collector {
    logs: Logs,
    others: Dispatch,
}

/// Whether an event is a guest's.
fn is_said(metadata: &Metadata<'_>) -> bool {
    // Who asks whether an event would be wanted asks with neither kind.
    !metadata.is_span() && metadata.target() == runner_host_logging::TARGET
}

impl Subscriber for Collector {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match is_said(metadata) {
            true => Interest::always(),
            false => self.others.register_callsite(metadata),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_said(metadata) || self.others.enabled(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        if !is_said(event.metadata()) {
            return self.others.event(event);
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { text, context, stream } = fields;
        let message = Message { level: *event.metadata().level(), context, stream, text };
        let mut messages = self.logs.lock();
        if messages.len() >= MESSAGES_MAX {
            messages.remove(0);
        }
        messages.push(message);
    }

    // Spans are the others' altogether, and so are their ids.

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.others.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.others.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.others.record_follows_from(span, follows);
    }

    fn enter(&self, span: &Id) {
        self.others.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.others.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.others.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.others.try_close(id)
    }

    fn current_span(&self) -> Current {
        self.others.current_span()
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
