//! What a guest cannot do to a log that is read as text: `tracing_subscriber`'s own, as most hosts have it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::Lent;

#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is in the file after a guest has logged and printed something, in each of the three formats.
async fn written(context: &str, message: &str) -> Vec<String> {
    let mut files = Vec::new();
    for format in 0..3 {
        let file = File::default();
        let writer = file.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false);
        let _guard = match format {
            0 => tracing::subscriber::set_default(subscriber.finish()),
            1 => tracing::subscriber::set_default(subscriber.compact().finish()),
            _ => tracing::subscriber::set_default(subscriber.pretty().finish()),
        };
        let lent = Lent::new(json!({})).await;
        lent.log("info", context, message, 1).await;
        lent.print(message.as_bytes(), b"").await;
        lent.end();
        files.push(String::from_utf8(file.0.lock().unwrap().clone()).expect("text"));
    }
    files
}

/// What a log line of the host looks like.
const FORGED: &str = "2026-01-01T00:00:00.000000Z  INFO runner_server: admin logged in";

#[tokio::test]
async fn a_guest_cannot_forge_a_line_of_its_host() {
    for line_break in ["\n", "\r\n", "\r", "\u{2028}", "\u{2029}", "\u{85}", "\u{b}", "\u{c}"] {
        let text = format!("hello{line_break}{FORGED}");
        for log in written(&text, &text).await {
            assert!(log.contains("admin logged in"), "it is there to read: {log}");
            for line in log.split(['\n', '\r', '\u{2028}', '\u{2029}', '\u{85}', '\u{b}', '\u{c}']) {
                // Printed, a line feed is the end of a line, and the next one is an event of its own, with all that says so.
                assert!(!line.trim_start().starts_with("2026-01-01"), "{line_break:?} began a line: {log:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_guest_cannot_move_a_terminals_cursor_nor_turn_the_writing() {
    let harmful = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\0\u{8}\u{7f}\t\u{202e}desrever\u{2066}\u{200f}\u{61c}";
    for log in written(harmful, harmful).await {
        let left: Vec<_> = log.chars().filter(|letter| letter.is_control() && *letter != '\n').collect();
        assert!(left.is_empty(), "{left:?} in {log:?}");
        assert!(!log.contains(['\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}']), "{log:?}");
        assert!(log.contains("\\u{1b}[2J") && log.contains("\\u{202e}desrever"), "as escapes: {log}");
    }
}

#[tokio::test]
async fn what_is_harmless_stands_as_it_is() {
    let text = "Grüße, 世界 👋 C:\\temp\\new \"quoted\" 100% {braces} \u{301}";
    for log in written("", text).await {
        assert_eq!(log.matches(text).count(), 2, "{log}");
    }
}
