//! The way from guests to whoever reads the log: a bounded queue, and one thread that makes events of it. No guest waits
//! for a subscriber, and nothing is left out in silence.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Dispatch, Span, dispatcher};

use crate::TARGET;
use crate::grant::Level;

/// Bytes that wait for the thread at most: as much as thirty calls may say, with their defaults.
const BYTES_MAX: usize = 8 << 20;

/// The same of one program, so that one that says much costs the others nothing: as much as four of its calls may say.
const PROGRAM_BYTES_MAX: usize = 1 << 20;

/// Programs whose losses are counted apart until they are told; those of others are told together.
const LOSERS_MAX: usize = 64;

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
        let program = shown(&self.program);
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
    /// Those of each program that has lines here.
    bytes_of: HashMap<Arc<str>, usize>,
    /// What found no room, by program; what is of too many programs, under none.
    lost: HashMap<Option<Arc<str>>, Lost>,
    /// Whether the thread runs, and whether it is writing a line.
    runs: bool,
    writes: bool,
    ended: bool,
}

/// Messages that found no room.
struct Lost {
    messages: u64,
    /// The call of the first of them.
    call: u64,
    /// Who is told.
    dispatch: Dispatch,
}

impl Pen {
    /// Hands a line over, or counts it where there is no room.
    pub(crate) fn write(&self, line: Line) {
        let mut waiting = self.0.lock();
        let weight = line.weight();
        let of_program = waiting.bytes_of.get(&line.program).copied().unwrap_or_default();
        let is_full = waiting.bytes + weight > BYTES_MAX || of_program + weight > PROGRAM_BYTES_MAX;
        if is_full || !self.runs(&mut waiting) {
            waiting.lose(line);
        } else {
            waiting.bytes += weight;
            *waiting.bytes_of.entry(Arc::clone(&line.program)).or_default() += weight;
            waiting.lines.push_back(line);
        }
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
        self.lines.is_empty() && self.lost.is_empty()
    }

    /// Counts a line that found no room.
    fn lose(&mut self, line: Line) {
        let messages = line.messages();
        let of_program = Some(line.program);
        let whose = if self.lost.len() < LOSERS_MAX || self.lost.contains_key(&of_program) { of_program } else { None };
        let lost = Lost { messages: 0, call: line.call, dispatch: line.place.dispatch };
        self.lost.entry(whose).or_insert(lost).messages += messages;
    }

    /// The line that waits for longest.
    fn next(&mut self) -> Option<Line> {
        let line = self.lines.pop_front()?;
        let weight = line.weight();
        self.bytes -= weight;
        if let Some(of_program) = self.bytes_of.get_mut(&line.program) {
            *of_program -= weight;
            if *of_program == 0 {
                self.bytes_of.remove(&line.program);
            }
        }
        Some(line)
    }

    /// What was lost, once nothing waits.
    fn next_lost(&mut self) -> Option<(Option<Arc<str>>, Lost)> {
        let whose = self.lost.keys().next().cloned()?;
        self.lost.remove_entry(&whose)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self) {
        let mut waiting = self.lock();
        loop {
            let to_write: Box<dyn FnOnce()> = if let Some(line) = waiting.next() {
                Box::new(move || dispatcher::with_default(&line.place.dispatch, || line.emit()))
            } else if let Some((program, lost)) = waiting.next_lost() {
                Box::new(move || dispatcher::with_default(&lost.dispatch, || lost.emit(program.as_deref())))
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

impl Lost {
    fn emit(&self, program: Option<&str>) {
        // Of several programs, no call stands for all.
        let (call, program) = (program.map(|_| self.call), program.map(shown));
        tracing::warn!(
            target: TARGET,
            parent: None,
            call,
            program,
            left_out = self.messages,
            "messages of guests were left out, from this call on: they came faster than the log was written"
        );
    }
}

/// The digits of a digest that tell programs apart.
fn shown(program: &str) -> &str {
    const DIGITS: usize = 12;
    program.get(..DIGITS).unwrap_or(program)
}
