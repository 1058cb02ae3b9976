//! [`Logging`]: what one call may say, and what becomes of it. It knows no engine; what the core asks of it is in `wasi.rs`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runner_core::CallContext;

use crate::grant::{Grant, Level};
use crate::printed::Printed;
use crate::queue::{Line, Pen, Place, Source, wanted};
use crate::text::{cut, harmless};

/// Makes `tracing` events of what guests log and print: `wasi:logging`, standard output and standard error. Its id is
/// `logging`.
///
/// Events are made on a thread of its own, in the order in which a call says things, in the span in which the guest was:
/// no guest waits for a subscriber. What waits for the thread is at most 8 MiB, and 1 MiB of one program; what is more is left
/// out, and an event says of which program and how many messages that were. When the capability is dropped, with its executor, it waits up to a second for the last
/// of them; [`Logging::flush`] waits when it is asked to. Clones are the same capability.
#[derive(Clone, Default)]
pub struct Logging {
    pen: Arc<Pen>,
}

impl Logging {
    /// A capability for the subscriber that is in place where a guest runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until everything is written that guests have said so far: for tests, and before a process exits. False where
    /// that took longer than so much. It blocks the thread.
    pub fn flush(&self, patience: Duration) -> bool {
        self.pen.flush(patience)
    }

    /// What one call may say.
    pub(crate) fn session(&self, grant: &Grant, call: &CallContext) -> Session {
        let voice = Arc::new(Voice {
            call: call.call_id,
            program: Arc::clone(&call.program),
            grant: *grant,
            said: Mutex::default(),
            pen: Arc::clone(&self.pen),
        });
        let printed = call.streams.as_ref().filter(|_| grant.streams).map(|streams| Printed::listen(&voice, streams));
        Session { voice, printed }
    }
}

/// What one call says.
pub struct Session {
    voice: Arc<Voice>,
    printed: Option<Printed>,
}

impl Session {
    /// A message of the guest's.
    pub(crate) fn log(&self, level: Level, context: &str, message: &str) {
        if self.voice.is_heard(level) {
            let (context, left_out) = cut(context, Grant::CONTEXT_BYTES_MAX);
            let bytes = context.len();
            let source = || Source::Logged { context: harmless(context, left_out) };
            let (message, left_out) = cut(message, self.voice.grant.message_bytes as usize);
            self.voice.say(Place::here, level, bytes, source, message, left_out);
        }
    }

    /// The end of the call: lines that were begun, and how much was left out.
    pub(crate) fn end(self) {
        if let Some(printed) = self.printed {
            printed.end();
        }
        self.voice.end();
    }
}

/// What the messages and the lines of one call share: whose they are, and how much they have said.
pub(crate) struct Voice {
    call: u64,
    program: Arc<str>,
    pub(crate) grant: Grant,
    /// Guards the account of the call.
    said: Mutex<Said>,
    pen: Arc<Pen>,
}

#[derive(Default)]
struct Said {
    messages: u64,
    bytes: u64,
    left_out: u64,
    left_out_bytes: u64,
    /// Who is told of it.
    place: Option<Place>,
}

impl Voice {
    /// Whether anyone wants to hear messages of a level.
    pub(crate) fn is_heard(&self, level: Level) -> bool {
        level >= self.grant.level && wanted(level)
    }

    /// Says something that is heard, within the limits of the call; `left_out` bytes of the text are missing already.
    pub(crate) fn say(
        &self,
        place: impl FnOnce() -> Place,
        level: Level,
        source_bytes: usize,
        source: impl FnOnce() -> Source,
        text: &str,
        left_out: u64,
    ) {
        let bytes = (source_bytes + text.len()) as u64;
        {
            let (mut said, grant) = (self.said(), &self.grant);
            if said.messages >= grant.messages || said.bytes.saturating_add(bytes) > grant.bytes {
                said.left_out += 1;
                said.left_out_bytes = said.left_out_bytes.saturating_add(bytes).saturating_add(left_out);
                said.place.get_or_insert_with(|| place().outside());
                return;
            }
            said.messages += 1;
            said.bytes += bytes;
        }
        self.write(place(), level, source(), harmless(text, left_out));
    }

    fn end(&self) {
        let Said { left_out, left_out_bytes, place, .. } = std::mem::take(&mut *self.said());
        if let Some(place) = place {
            let source = Source::LeftOut { messages: left_out, bytes: left_out_bytes };
            let Grant { messages, bytes, .. } = self.grant;
            let text = format!(
                "messages of the guest were left out: its grant for `logging` allows {messages} of {bytes} bytes in a call"
            );
            self.write(place, Level::Warn, source, text);
        }
    }

    fn write(&self, place: Place, level: Level, source: Source, text: String) {
        self.pen.write(Line { call: self.call, program: Arc::clone(&self.program), level, source, text, place });
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
