//! The way from guests to whoever reads the log: a bounded queue, and one thread that makes events of it. No guest waits
//! for a subscriber, and nothing is left out in silence.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Dispatch, Span, dispatcher};

use crate::TARGET;
use crate::grant::Level;

/// Bytes that wait for the thread at most: as much as thirty calls may say, with their defaults.
const BYTES_MAX: usize = 8 << 20;

/// What a line weighs beside its texts.
const LINE_BYTES: usize = size_of::<Line>();

/// How long the last owner waits for what is still to be written. Who reads a log that long is not reading it.
const PATIENCE: Duration = Duration::from_secs(1);

/// One event, on its way.
pub(crate) struct Line {
    pub(crate) call: u64,
    /// The module's digest.
    pub(crate) program: Arc<str>,
    pub(crate) level: Level,
    pub(crate) source: Source,
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// Where a guest was when it said something: the event stands in the span of its caller, and goes to its subscriber. A handler
/// of HTTP runs on a task of its own: there it is the subscriber that is set for the process.
#[derive(Clone)]
pub(crate) struct Place {
    span: Span,
    dispatch: Dispatch,
}

impl Place {
    pub(crate) fn here() -> Self {
        Place { span: Span::current(), dispatch: dispatcher::get_default(Dispatch::clone) }
    }

    /// The same subscriber outside of every span: to keep a span is to keep it open.
    pub(crate) fn outside(&self) -> Self {
        Place { span: Span::none(), dispatch: self.dispatch.clone() }
    }
}

/// Where a line comes from.
pub(crate) enum Source {
    /// `wasi:logging`, with the guest's context.
    Logged { context: String },
    /// A standard stream.
    Printed { stream: &'static str },
    /// The host, which left out so many messages of the call, of so many bytes.
    LeftOut { messages: u64, bytes: u64 },
}

impl Line {
    fn weight(&self) -> usize {
        let context = if let Source::Logged { context } = &self.source { context.len() } else { 0 };
        LINE_BYTES + self.text.len() + context
    }

    /// Messages of guests that are lost with it.
    fn messages(&self) -> u64 {
        if let Source::LeftOut { messages, .. } = self.source { messages } else { 1 }
    }

    fn emit(&self) {
        /// Hexadecimal digits of a digest that tell programs apart.
        const DIGITS: usize = 12;
        let program = self.program.get(..DIGITS).unwrap_or(&self.program);
        let (context, stream, left_out, left_out_bytes) = match &self.source {
            Source::Logged { context } => (Some(context.as_str()), None, None, None),
            Source::Printed { stream } => (None, Some(*stream), None, None),
            Source::LeftOut { messages, bytes } => (None, None, Some(*messages), Some(*bytes)),
        };
        let context = context.filter(|context| !context.is_empty());
        let critical = (self.level == Level::Critical).then_some(true);
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: TARGET, parent: &self.place.span, tracing::Level::$level,
                    call = self.call, program, context, stream, critical, left_out, left_out_bytes, "{}", self.text
                )
            };
        }
        match self.level {
            Level::Trace => event!(TRACE),
            Level::Debug => event!(DEBUG),
            Level::Info => event!(INFO),
            Level::Warn => event!(WARN),
            Level::Error | Level::Critical => event!(ERROR),
        }
    }
}

/// Whether the subscriber of this place wants events of a level.
pub(crate) fn wanted(level: Level) -> bool {
    match level {
        Level::Trace => tracing::enabled!(target: TARGET, tracing::Level::TRACE),
        Level::Debug => tracing::enabled!(target: TARGET, tracing::Level::DEBUG),
        Level::Info => tracing::enabled!(target: TARGET, tracing::Level::INFO),
        Level::Warn => tracing::enabled!(target: TARGET, tracing::Level::WARN),
        Level::Error | Level::Critical => tracing::enabled!(target: TARGET, tracing::Level::ERROR),
    }
}

/// What hands lines over. When the last owner drops it, what waits is written, for as long as there is patience.
#[derive(Default)]
pub(crate) struct Pen(Arc<Queue>);

#[derive(Default)]
struct Queue {
    /// Guards all that the guests' threads and the writing one share.
    waiting: Mutex<Waiting>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Messages that found no room, and who is told.
    lost: u64,
    lost_to: Option<Dispatch>,
    /// Whether the thread runs, and whether it is writing a line.
    runs: bool,
    writes: bool,
    ended: bool,
}

impl Pen {
    /// Hands a line over, or counts it where there is no room.
    pub(crate) fn write(&self, line: Line) {
        let mut waiting = self.0.lock();
        if waiting.bytes + line.weight() > BYTES_MAX || !self.runs(&mut waiting) {
            waiting.lost += line.messages();
            waiting.lost_to.get_or_insert(line.place.dispatch);
            return;
        }
        waiting.bytes += line.weight();
        waiting.lines.push_back(line);
        drop(waiting);
        self.0.filled.notify_one();
    }

    /// Starts the thread with the first line. Where there is none to be had, the next line tries again.
    fn runs(&self, waiting: &mut Waiting) -> bool {
        if !waiting.runs {
            let queue = Arc::clone(&self.0);
            let thread = thread::Builder::new().name("runner-guest-log".to_owned());
            waiting.runs = thread.spawn(move || queue.write_all()).is_ok();
        }
        waiting.runs
    }
}

impl Pen {
    /// Waits until what was handed over is written; whether it was, in that time.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let unwritten = |waiting: &mut Waiting| waiting.runs && (!waiting.is_empty() || waiting.writes);
        let waited = self.0.emptied.wait_timeout_while(self.0.lock(), patience, unwritten);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.filled.notify_one();
        self.flush(PATIENCE);
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost == 0
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self) {
        let mut waiting = self.lock();
        loop {
            let to_write: Box<dyn FnOnce()> = if let Some(line) = waiting.lines.pop_front() {
                waiting.bytes -= line.weight();
                Box::new(move || dispatcher::with_default(&line.place.dispatch, || line.emit()))
            } else if waiting.lost > 0 {
                let lost = std::mem::take(&mut waiting.lost);
                let dispatch = waiting.lost_to.take().unwrap_or_else(Dispatch::none);
                Box::new(move || dispatcher::with_default(&dispatch, || told_of_loss(lost)))
            } else {
                self.emptied.notify_all();
                if waiting.ended {
                    return;
                }
                waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            waiting.writes = true;
            drop(waiting);
            // A subscriber that panics loses its line, and no more than that.
            let _ = catch_unwind(AssertUnwindSafe(to_write));
            waiting = self.lock();
            waiting.writes = false;
        }
    }
}

fn told_of_loss(messages: u64) {
    tracing::warn!(
        target: TARGET,
        parent: None,
        left_out = messages,
        "messages of guests were left out: they came faster than the log was written"
    );
}
