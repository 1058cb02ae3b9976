//! From a text to the steps of a path.

use super::filter::{self, Filter};
use super::{Function, Path, Root, Step};

pub(super) type Parsed<T> = Result<T, String>;

/// A place in a text, by characters.
pub(super) struct Cursor<'t> {
    text: &'t str,
    pub(super) place: usize,
    pub(super) depth: usize,
}

impl<'t> Cursor<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, place: 0, depth: 0 }
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.place..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let found = self.peek()?;
        self.place += found.len_utf8();
        Some(found)
    }

    pub(super) fn space(&mut self) {
        self.while_true(char::is_whitespace);
    }

    pub(super) fn eat(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        self.place += if found { wanted.len() } else { 0 };
        found
    }

    pub(super) fn must(&mut self, wanted: &str) -> Parsed<()> {
        self.space();
        if self.eat(wanted) { Ok(()) } else { Err(format!("`{wanted}` was expected at character {}", self.place)) }
    }

    pub(super) fn while_true(&mut self, mut is_part: impl FnMut(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.place += end;
        &rest[..end]
    }

    /// A text in quotes of either kind, with `\` before what is meant literally.
    pub(super) fn quoted(&mut self) -> Parsed<String> {
        let quote = self.next().filter(|c| matches!(c, '\'' | '"')).ok_or("a quote was expected")?;
        let mut found = String::new();
        loop {
            match self.next().ok_or("a quote is not closed")? {
                '\\' => found.push(self.next().ok_or("a quote is not closed")?),
                c if c == quote => return Ok(found),
                c => found.push(c),
            }
        }
    }

    fn integer(&mut self) -> Option<i64> {
        let begin = self.place;
        self.eat("-");
        self.while_true(|c| c.is_ascii_digit());
        self.text[begin..self.place].parse().ok().or_else(|| {
            self.place = begin;
            None
        })
    }
}

/// A whole text that is one path.
pub(super) fn path(text: &str) -> Parsed<Path> {
    let mut at = Cursor::new(text);
    if !at.eat("$") {
        return Err("it must begin with `$`".into());
    }
    let root = if at.eat("$") {
        Root::Context
    } else {
        match at.while_true(|c| c.is_alphanumeric() || c == '_') {
            "" => Root::Input,
            name => Root::Variable(name.to_owned()),
        }
    };
    let steps = steps(&mut at)?;
    match at.peek() {
        Some(c) => Err(format!("`{c}` was not expected at character {}", at.place)),
        None => Ok(Path { text: text.to_owned(), root, steps }),
    }
}

/// The steps that follow a root, as many as there are.
pub(super) fn steps(at: &mut Cursor<'_>) -> Parsed<Vec<Step>> {
    let mut steps = Vec::new();
    loop {
        if at.eat("..") {
            steps.push(Step::Deep);
            steps.push(if at.peek() == Some('[') { bracket(at)? } else { dotted(at)? });
        } else if at.eat(".") {
            steps.push(dotted(at)?);
        } else if at.peek() == Some('[') {
            steps.push(bracket(at)?);
        } else {
            return Ok(steps);
        }
    }
}

fn dotted(at: &mut Cursor<'_>) -> Parsed<Step> {
    if at.eat("*") {
        return Ok(Step::Wildcard);
    }
    // Jayway takes a dot before a bracket, and it means nothing.
    if at.peek() == Some('[') {
        return bracket(at);
    }
    let ends =
        |c: char| matches!(c, '.' | '[' | ']' | '(' | ')' | ',' | '\'' | '"' | '=' | '<' | '>' | '!' | '&' | '|');
    match at.while_true(|c| !ends(c) && !c.is_whitespace()) {
        "" => Err("it must not end with a dot".into()),
        name if at.eat("()") => function(name).map(Step::Function).ok_or_else(|| format!("`{name}()` is no function")),
        name => Ok(Step::Name(name.to_owned())),
    }
}

fn function(name: &str) -> Option<Function> {
    Some(match name {
        "length" | "size" => Function::Length,
        "min" => Function::Min,
        "max" => Function::Max,
        "avg" => Function::Avg,
        "sum" => Function::Sum,
        "keys" => Function::Keys,
        "first" => Function::First,
        "last" => Function::Last,
        _ => return None,
    })
}

fn bracket(at: &mut Cursor<'_>) -> Parsed<Step> {
    at.must("[")?;
    at.space();
    let step = match at.peek().ok_or("`[` is not closed")? {
        '*' => {
            at.next();
            Step::Wildcard
        }
        '?' => {
            at.next();
            Step::Filter(filter(at)?)
        }
        '\'' | '"' => {
            let mut names = list(at, |at| at.quoted())?;
            if names.len() == 1 { Step::Name(names.swap_remove(0)) } else { Step::Names(names) }
        }
        _ => numbers(at)?,
    };
    at.must("]")?;
    Ok(step)
}

fn filter(at: &mut Cursor<'_>) -> Parsed<Filter> {
    at.must("(")?;
    let filter = filter::parse(at)?;
    at.must(")")?;
    Ok(filter)
}

fn numbers(at: &mut Cursor<'_>) -> Parsed<Step> {
    let begin = at.integer();
    at.space();
    if at.eat(":") {
        at.space();
        return Ok(Step::Slice(begin, at.integer()));
    }
    let first = begin.ok_or("an index, a name in quotes, `*`, a slice or a filter was expected")?;
    if at.peek() != Some(',') {
        return Ok(Step::Index(first));
    }
    at.next();
    let mut indexes = vec![first];
    indexes.extend(list(at, |at| at.integer().ok_or_else(|| "an index was expected".into()))?);
    Ok(Step::Indexes(indexes))
}

fn list<T>(at: &mut Cursor<'_>, mut one: impl FnMut(&mut Cursor<'_>) -> Parsed<T>) -> Parsed<Vec<T>> {
    let mut items = Vec::new();
    loop {
        at.space();
        items.push(one(at)?);
        at.space();
        if !at.eat(",") {
            return Ok(items);
        }
    }
}
