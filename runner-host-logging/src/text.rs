//! Texts of guests as they may stand in a log: cut to size, and without what moves a reader's eye or a terminal's cursor.

use std::borrow::Cow;

/// The beginning of a text, of so many bytes at most, and how many bytes are left out.
pub(crate) fn cut(text: &str, bytes_max: usize) -> (&str, u64) {
    let end = text.floor_char_boundary(bytes_max);
    (&text[..end], (text.len() - end) as u64)
}

/// The same of bytes that may be anything: what is no UTF-8 becomes U+FFFD. A letter that the cut went through is left out.
pub(crate) fn lossy(bytes: &[u8], mut left_out: u64) -> (Cow<'_, str>, u64) {
    let mut whole = bytes;
    if left_out > 0
        && let Err(error) = str::from_utf8(bytes)
        && error.error_len().is_none()
    {
        whole = &bytes[..error.valid_up_to()];
        left_out += (bytes.len() - whole.len()) as u64;
    }
    (String::from_utf8_lossy(whole), left_out)
}

/// A text on one line, with escapes in place of control characters and of those that change the direction of writing, and
/// with a mark where something was left out.
///
/// A log is read line by line: with a line feed a guest could forge a line of its host's, with an escape hide one.
pub(crate) fn harmless(text: &str, left_out: u64) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match harmful(letter) {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    if left_out > 0 {
        shown += &format!(" [{left_out} more bytes left out]");
    }
    shown
}

fn harmful(letter: char) -> bool {
    let breaks_lines = ['\u{2028}', '\u{2029}'].contains(&letter);
    let turns =
        matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || breaks_lines || turns
}
