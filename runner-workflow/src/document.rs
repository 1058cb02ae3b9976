//! Where in a text a JSON pointer leads: the line and column of a complaint.

use std::borrow::Cow;

/// The line and column, both from 1, at which the value of a JSON pointer (RFC 6901) begins. For a member of an object that
/// is where its key begins, since that is what a person looks for. `None` where the text has no such value.
///
/// The text must be JSON, as it was parsed before. Columns count characters.
pub fn locate(text: &str, pointer: &str) -> Option<(usize, usize)> {
    let mut scan = Scan { text: text.as_bytes(), place: 0 };
    scan.space();
    let mut found = scan.place;
    for part in pointer.split('/').skip(1) {
        found = scan.descend(&part.replace("~1", "/").replace("~0", "~"))?;
    }
    let before = &text[..found];
    let line_begins = before.rfind('\n').map_or(0, |place| place + 1);
    Some((before.matches('\n').count() + 1, before[line_begins..].chars().count() + 1))
}

/// One part of a JSON pointer, escaped.
pub(crate) fn pointer_part(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) { name.replace('~', "~0").replace('/', "~1").into() } else { name.into() }
}

struct Scan<'t> {
    text: &'t [u8],
    place: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.place).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.place += 1;
        }
    }

    /// Goes to the value of one key or index, and says where it, or its key, begins.
    fn descend(&mut self, part: &str) -> Option<usize> {
        let object = match self.peek()? {
            b'{' => true,
            b'[' => false,
            _ => return None,
        };
        self.place += 1;
        for index in 0_usize.. {
            self.space();
            let begins = self.place;
            let is_wanted = if object {
                let key = self.string()?;
                self.space();
                self.place += 1;
                self.space();
                key == part
            } else {
                index.to_string() == part
            };
            if is_wanted {
                return (self.peek()? != b']').then_some(begins);
            }
            self.skip()?;
            self.space();
            if self.peek()? != b',' {
                return None;
            }
            self.place += 1;
        }
        None
    }

    fn string(&mut self) -> Option<String> {
        let begins = self.place;
        if self.peek()? != b'"' {
            return None;
        }
        self.skip_string()?;
        serde_json::from_slice(&self.text[begins..self.place]).ok()
    }

    fn skip_string(&mut self) -> Option<()> {
        self.place += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.place += 2,
                _ => self.place += 1,
            }
        }
        self.place += 1;
        Some(())
    }

    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.skip_string()?;
                    if depth == 0 {
                        return Some(());
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => return Some(()),
                b'}' | b']' if depth == 1 => {
                    self.place += 1;
                    return Some(());
                }
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => return Some(()),
                _ => {}
            }
            self.place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_the_key_of_its_value() {
        let text = "{\n  \"StartAt\": \"a\",\n  \"States\": {\"a/b\": [1, {\"Type\": \"Pass\"}], \"\\u0063\": {}}\n}";
        let check = |pointer: &str, place| assert_eq!(locate(text, pointer), place, "{pointer}");
        check("", Some((1, 1)));
        check("/StartAt", Some((2, 3)));
        check("/States/a~1b/1", Some((3, 25)));
        check("/States/a~1b/1/Type", Some((3, 26)));
        check("/States/c", Some((3, 44)));
        check("/States/a~1b/2", None);
        check("/None", None);
    }
}
