//! `tracing`'s events as lines, each after the spans that it is in.
//!
//! A subscriber of our own: `tracing-subscriber` would be several times the size of a small guest.

use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{Level, LevelFilter};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::{Dispatch, Event, Interest, Metadata, Subscriber, callsite, dispatcher};

use super::line::Line;
use super::wit;

/// Leaves another subscriber in its place.
pub(super) fn install() {
    let _ = dispatcher::set_global_default(Dispatch::new(Lines::default()));
}

/// `tracing` remembers what is enabled.
pub(super) fn level_changed() {
    callsite::rebuild_interest_cache();
}

#[derive(Default)]
struct Lines {
    /// The spans that are open, and which are entered. Never held while something of the guest is written down.
    spans: Mutex<Spans>,
}

#[derive(Default)]
struct Spans {
    /// By number, from 1.
    open: Vec<Option<Span>>,
    /// The numbers of those that are entered, the innermost last.
    entered: Vec<u64>,
}

struct Span {
    metadata: &'static Metadata<'static>,
    /// The spans around it, as they were when it was made: `outer{a=1}:`.
    around: String,
    fields: Line,
    /// How many know its number.
    known: usize,
}

impl Span {
    /// `around:name{fields}:`
    fn shown(&self) -> String {
        let (around, name, mut fields) = (&self.around, self.metadata.name(), self.fields.clone());
        match fields.as_str() {
            "" => format!("{around}{name}:"),
            fields => format!("{around}{name}{{{fields}}}:"),
        }
    }
}

impl Spans {
    fn at(&mut self, id: u64) -> Option<&mut Option<Span>> {
        self.open.get_mut(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    fn span(&mut self, id: u64) -> Option<&mut Span> {
        self.at(id)?.as_mut()
    }

    /// What stands before a line, or a span, in that one or in the innermost.
    fn around(&mut self, parent: Option<&Id>, contextual: bool) -> String {
        let innermost = || self.entered.last().copied().filter(|_| contextual);
        let parent = parent.map(Id::into_u64).or_else(innermost);
        parent.and_then(|id| self.span(id)).map(|span| span.shown()).unwrap_or_default()
    }
}

impl Lines {
    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        level(metadata) <= log::max_level()
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.enabled(metadata) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<tracing_core::LevelFilter> {
        Some(match log::max_level() {
            LevelFilter::Off => tracing_core::LevelFilter::OFF,
            LevelFilter::Error => tracing_core::LevelFilter::ERROR,
            LevelFilter::Warn => tracing_core::LevelFilter::WARN,
            LevelFilter::Info => tracing_core::LevelFilter::INFO,
            LevelFilter::Debug => tracing_core::LevelFilter::DEBUG,
            LevelFilter::Trace => tracing_core::LevelFilter::TRACE,
        })
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Line::default();
        attributes.record(&mut fields);
        let mut spans = self.spans();
        let around = spans.around(attributes.parent(), attributes.is_contextual());
        let span = Span { metadata: attributes.metadata(), around, fields, known: 1 };
        let free = spans.open.iter().position(Option::is_none);
        let at = free.unwrap_or_else(|| {
            spans.open.push(None);
            spans.open.len() - 1
        });
        spans.open[at] = Some(span);
        Id::from_u64(at as u64 + 1)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut fields =
            self.spans().span(id.into_u64()).map(|span| std::mem::take(&mut span.fields)).unwrap_or_default();
        values.record(&mut fields);
        if let Some(span) = self.spans().span(id.into_u64()) {
            span.fields = fields;
        }
    }

    fn record_follows_from(&self, _id: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut around = self.spans().around(event.parent(), event.is_contextual());
        let metadata = event.metadata();
        if !around.is_empty() {
            around.push(' ');
        }
        around.push_str(line.as_str());
        wit::log(super::level(level(metadata)), metadata.target(), &around);
    }

    fn enter(&self, id: &Id) {
        self.spans().entered.push(id.into_u64());
    }

    fn exit(&self, id: &Id) {
        let mut spans = self.spans();
        if let Some(at) = spans.entered.iter().rposition(|entered| *entered == id.into_u64()) {
            spans.entered.remove(at);
        }
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(span) = self.spans().span(id.into_u64()) {
            span.known += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut spans = self.spans();
        let Some(at) = spans.at(id.into_u64()) else { return false };
        let last = at.as_mut().is_some_and(|span| {
            span.known -= 1;
            span.known == 0
        });
        if last {
            *at = None;
        }
        last
    }

    fn current_span(&self) -> Current {
        let mut spans = self.spans();
        let innermost = spans.entered.last().copied();
        match innermost.and_then(|id| Some((id, spans.span(id)?.metadata))) {
            Some((id, metadata)) => Current::new(Id::from_u64(id), metadata),
            None => Current::none(),
        }
    }
}

fn level(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing_core::Level::ERROR => Level::Error,
        tracing_core::Level::WARN => Level::Warn,
        tracing_core::Level::INFO => Level::Info,
        tracing_core::Level::DEBUG => Level::Debug,
        tracing_core::Level::TRACE => Level::Trace,
    }
}
