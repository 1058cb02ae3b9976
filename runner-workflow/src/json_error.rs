//! A text that is no JSON, in the words of AWS's parser, which is Jackson. What Jackson's words are not known for is said in
//! serde_json's.

use serde_json::error::Category;

use crate::complaint::{Code, Complaint};

/// How many characters of the text Jackson shows.
const SHOWN_CHARS: usize = 500;

const VALUES: &str = "JSON String, Number, Array, Object or token 'null', 'true' or 'false'";

/// What is wrong with a text, which serde_json has refused.
pub(crate) fn complaint(text: &str, error: &serde_json::Error) -> Complaint {
    let at = Place::of(text, error);
    let rest = &text[at.offset..];
    let token: String = rest.chars().take_while(|character| is_of_token(*character)).collect();
    let (words, line, column) = if error.classify() == Category::Eof {
        let (line, column) = line_and_column(text);
        (format!("Unexpected end-of-input: {}", left_open(text)), line, column)
    } else if !token.is_empty() && token.starts_with(char::is_alphabetic) {
        let after = at.column + token.chars().count();
        (format!("Unrecognized token '{token}': was expecting ({VALUES})"), at.line, after)
    } else if let Some(found) = rest.chars().next() {
        let wanted = expected(error).unwrap_or_else(|| format!("was expecting ({VALUES})"));
        (format!("Unexpected character ('{found}' (code {})): {wanted}", u32::from(found)), at.line, at.column + 1)
    } else {
        (plain(error), at.line, at.column)
    };
    let location = location(text, line, column);
    Complaint {
        code: Code::InvalidJson,
        message: format!("{words}\n at {location}"),
        pointer: Some(location),
        line: Some(error.line().max(1)),
        column: Some(error.column().max(1)),
    }
}

/// What a text that ends too early has begun last.
fn left_open(text: &str) -> String {
    let (mut open, mut in_text, mut is_escaped) = (Vec::new(), false, false);
    for (place, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if in_text => is_escaped = true,
            '"' => in_text = !in_text,
            '{' | '[' if !in_text => open.push((character, place)),
            '}' | ']' if !in_text => {
                open.pop();
            }
            _ => {}
        }
    }
    match open.last() {
        _ if in_text => "was expecting closing quote for a string value".to_owned(),
        Some((character, place)) => {
            let kind = if *character == '{' { "Object" } else { "Array" };
            let (line, column) = line_and_column(&text[..*place]);
            format!("expected close marker for {kind} (start marker at {})", location(text, line, column))
        }
        None => format!("was expecting ({VALUES})"),
    }
}

/// The line and the column behind a text, from 1.
fn line_and_column(text: &str) -> (usize, usize) {
    let line = text.rsplit('\n').next().unwrap_or_default();
    (text.matches('\n').count() + 1, line.chars().count() + 1)
}

/// Where serde_json stopped. It stops behind a character that it does not know, and in the midst of a word.
struct Place {
    offset: usize,
    line: usize,
    column: usize,
}

impl Place {
    fn of(text: &str, error: &serde_json::Error) -> Self {
        let line = error.line().max(1);
        let begin = text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
        let bytes = &text.as_bytes()[begin..];
        // serde_json's columns count bytes, from 1; an error at the end is one past it.
        let mut offset = begin + error.column().saturating_sub(1).min(bytes.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        if error.classify() != Category::Eof {
            let word = text[..offset].trim_end_matches(is_of_token);
            offset = word.len();
        }
        Self { offset, line, column: text[begin.min(offset)..offset].chars().count() + 1 }
    }
}

fn is_of_token(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}

/// What Jackson was waiting for, where serde_json says so too.
fn expected(error: &serde_json::Error) -> Option<String> {
    let words = plain(error);
    let wanted = [
        ("expected `,` or `}`", "was expecting comma to separate Object entries"),
        ("expected `,` or `]`", "was expecting comma to separate Array entries"),
        ("expected `:`", "was expecting a colon to separate field name and value"),
        ("key must be a string", "was expecting double-quote to start field name"),
        ("trailing comma", "was expecting double-quote to start field name"),
    ];
    wanted.iter().find(|(ours, _)| words.contains(ours)).map(|(_, jackson)| (*jackson).to_owned())
}

/// serde_json's words without the place.
fn plain(error: &serde_json::Error) -> String {
    let words = error.to_string();
    words.split_once(" at line ").map_or(words.clone(), |(words, _)| words.to_owned())
}

fn location(text: &str, line: usize, column: usize) -> String {
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    let left = text.chars().count().saturating_sub(SHOWN_CHARS);
    let cut = if left > 0 { format!("[truncated {left} chars]") } else { String::new() };
    format!("[Source: (String)\"{shown}\"{cut}; line: {line}, column: {column}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_json_is_refused_in_the_words_of_jackson() {
        let check = |text: &str, words: &str, line: usize, column: usize| {
            let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
            let complaint = complaint(text, &error);
            let location = format!("[Source: (String)\"{text}\"; line: {line}, column: {column}]");
            assert_eq!(complaint.message, format!("{words}\n at {location}"));
            assert_eq!(complaint.pointer, Some(location));
        };
        let values = format!("was expecting ({VALUES})");
        check("not a definition", &format!("Unrecognized token 'not': {values}"), 1, 4);
        check("nonsense", &format!("Unrecognized token 'nonsense': {values}"), 1, 9);
        check("{\n  \"A\": yes\n}", &format!("Unrecognized token 'yes': {values}"), 2, 11);
        check(
            "{\"A\" 1}",
            "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value",
            1,
            7,
        );
        check(
            "{\"A\": 1 \"B\": 2}",
            "Unexpected character ('\"' (code 34)): was expecting comma to separate Object entries",
            1,
            10,
        );
        check(
            "{\"A\": 1,}",
            "Unexpected character ('}' (code 125)): was expecting double-quote to start field name",
            1,
            10,
        );
        let begun =
            "expected close marker for Array (start marker at [Source: (String)\"{\"A\": [1\"; line: 1, column: 7])";
        check("{\"A\": [1", &format!("Unexpected end-of-input: {begun}"), 1, 9);
        let begun = "was expecting closing quote for a string value";
        check("{\n\"A", &format!("Unexpected end-of-input: {begun}"), 2, 3);
    }
}
