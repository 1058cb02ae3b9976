//! What a guest prints, as lines. A line that never ends takes no more memory than one message.

use std::sync::{Arc, Mutex, PoisonError};

use runner_core::{Listener, StandardOutput, StandardStreams};

use crate::grant::Level;
use crate::logging::Voice;
use crate::queue::{Place, Source};
use crate::text::lossy;

/// Both streams of one call, listened to until this is dropped.
pub(crate) struct Printed([(Arc<Stream>, Arc<Listener>); 2]);

impl Printed {
    pub(crate) fn listen(voice: &Arc<Voice>, streams: &StandardStreams) -> Self {
        let listen = |name, level, output: &StandardOutput| {
            let stream = Arc::new(Stream { name, level, voice: Arc::clone(voice), line: Mutex::default() });
            let heard = Arc::clone(&stream);
            let listener: Arc<Listener> = Arc::new(move |bytes| heard.hear(bytes));
            output.listen(&listener);
            (stream, listener)
        };
        Printed([listen("stdout", Level::Info, &streams.stdout), listen("stderr", Level::Warn, &streams.stderr)])
    }

    /// Says the lines that were begun.
    pub(crate) fn end(self) {
        for (stream, _) in self.0 {
            let line = std::mem::take(&mut *stream.line.lock().unwrap_or_else(PoisonError::into_inner));
            stream.say(line);
        }
    }
}

struct Stream {
    name: &'static str,
    level: Level,
    voice: Arc<Voice>,
    /// Guards the line that was begun.
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    left_out: u64,
    /// Where it was begun; `None` where it was not.
    place: Option<Place>,
}

impl Stream {
    fn hear(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.voice.is_heard(self.level) {
            *line = Line::default();
            return;
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ended = piece.strip_suffix(b"\n");
            line.add(ended.unwrap_or(piece), self.voice.grant.message_bytes as usize);
            if ended.is_some() {
                self.say(std::mem::take(&mut *line));
            }
        }
    }

    /// Says a line that was begun.
    fn say(&self, line: Line) {
        let Some(place) = line.place else { return };
        let bytes = match line.left_out {
            0 => line.bytes.strip_suffix(b"\r").unwrap_or(&line.bytes),
            _ => &line.bytes,
        };
        let (text, left_out) = lossy(bytes, line.left_out);
        self.voice.say(|| place, self.level, 0, || Source::Printed { stream: self.name }, &text, left_out);
    }
}

impl Line {
    fn add(&mut self, bytes: &[u8], bytes_max: usize) {
        let room = bytes_max - self.bytes.len();
        let (kept, rest) = bytes.split_at(bytes.len().min(room));
        self.bytes.extend_from_slice(kept);
        self.left_out += rest.len() as u64;
        self.place.get_or_insert_with(Place::here);
    }
}
