//! From a text to a call. A text in quotes knows four escapes: `\'`, `\{`, `\}` and `\\`.

use serde_json::Value;

use super::{Argument, Call, FUNCTIONS};
use crate::limits::INTRINSIC_DEPTH;
use crate::path::Path;

pub(super) fn call(text: &str) -> Result<Call, String> {
    let text = text.trim();
    let mut at = Cursor { text, place: 0, depth: 0 };
    let call = at.call()?;
    if at.place == text.len() { Ok(call) } else { Err(format!("`{}` follows the call", at.rest())) }
}

/// The text that an argument in quotes means.
pub(super) fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = characters.next() {
        plain.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    plain
}

struct Cursor<'t> {
    text: &'t str,
    place: usize,
    depth: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.place..]
    }

    fn space(&mut self) {
        self.place = self.text.len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.rest().starts_with(wanted);
        self.place += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn call(&mut self) -> Result<Call, String> {
        self.depth += 1;
        if self.depth > INTRINSIC_DEPTH {
            return Err(format!("calls may be nested {INTRINSIC_DEPTH} deep"));
        }
        let begin = self.place;
        let open = self.rest().find('(').ok_or("a call needs parentheses")?;
        let name = &self.rest()[..open];
        let known = FUNCTIONS.into_iter().find(|(known, ..)| *known == name);
        let (_, function, least, most) = known.ok_or_else(|| format!("`{name}` is no intrinsic function"))?;
        self.place += open + 1;
        let mut arguments = Vec::new();
        self.space();
        if !self.eat(')') {
            loop {
                self.space();
                arguments.push(self.argument()?);
                self.space();
                if self.eat(')') {
                    break;
                }
                if !self.eat(',') {
                    return Err(format!("`,` or `)` was expected before `{}`", self.rest()));
                }
            }
        }
        if !(least..=most).contains(&arguments.len()) {
            return Err(format!("`{name}` does not take {} arguments", arguments.len()));
        }
        self.depth -= 1;
        Ok(Call { text: self.text[begin..self.place].to_owned(), function, arguments })
    }

    fn argument(&mut self) -> Result<Argument, String> {
        match self.rest().chars().next().ok_or("a call is not closed")? {
            '\'' => self.quoted().map(Argument::Quoted),
            '$' => {
                let end = path_end(self.rest());
                let path = Path::parse(self.rest()[..end].trim_end()).map_err(|error| error.to_string())?;
                self.place += end;
                Ok(Argument::Path(path))
            }
            'S' => self.call().map(Argument::Call),
            _ => {
                let rest = self.rest();
                let end = rest.find([',', ')']).unwrap_or(rest.len());
                let word = rest[..end].trim_end();
                let value: Value = serde_json::from_str(word).map_err(|_| format!("`{word}` is no argument"))?;
                if matches!(value, Value::String(_) | Value::Array(_) | Value::Object(_)) {
                    return Err(format!("`{word}` is no argument"));
                }
                self.place += end;
                Ok(Argument::Literal(value))
            }
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        self.place += 1;
        let begin = self.place;
        let mut characters = self.rest().char_indices();
        while let Some((offset, c)) = characters.next() {
            match c {
                '\'' => {
                    self.place += offset + 1;
                    return Ok(self.text[begin..begin + offset].to_owned());
                }
                '\\' if !matches!(characters.next(), Some((_, '\'' | '{' | '}' | '\\'))) => {
                    return Err("`\\` stands before `'`, `{`, `}` and `\\` alone".into());
                }
                _ => {}
            }
        }
        Err("a text in quotes is not closed".into())
    }
}

/// A path ends at the comma or parenthesis that is in none of its own brackets, parentheses and quotes.
fn path_end(text: &str) -> usize {
    let (mut depth, mut quote) = (0_usize, None);
    for (place, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') if depth > 0 => quote = Some(c),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') if depth > 0 => depth -= 1,
            (None, ',' | ')') if depth == 0 => return place,
            _ => {}
        }
    }
    text.len()
}
