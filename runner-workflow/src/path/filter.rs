//! The condition of `[?( .. )]`: paths from the item (`@`) or the root (`$`), literals, and Jayway's operators.

use std::borrow::Cow;
use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::parse::{self, Cursor, Parsed};
use super::{Step, find};
use crate::limits::FILTER_DEPTH;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    Or(Vec<Filter>),
    And(Vec<Filter>),
    Not(Box<Filter>),
    /// `@.a`: there is such a value
    Exists(Operand),
    Compare(Operand, Operator, Operand),
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Item(Vec<Step>),
    Root(Vec<Step>),
    Literal(Value),
    Pattern(Regex),
}

impl PartialEq for Operand {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Item(one), Self::Item(other)) | (Self::Root(one), Self::Root(other)) => one == other,
            (Self::Literal(one), Self::Literal(other)) => one == other,
            (Self::Pattern(one), Self::Pattern(other)) => one.as_str() == other.as_str(),
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Like,
    In,
    NotIn,
    SubsetOf,
    AnyOf,
    NoneOf,
    Contains,
    Size,
    Empty,
}

/// Longer spellings before those that they begin with.
const OPERATORS: [(&str, Operator); 15] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessEqual),
    (">=", Operator::GreaterEqual),
    ("=~", Operator::Like),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("nin ", Operator::NotIn),
    ("in ", Operator::In),
    ("subsetof ", Operator::SubsetOf),
    ("anyof ", Operator::AnyOf),
    ("noneof ", Operator::NoneOf),
    ("contains ", Operator::Contains),
    ("size ", Operator::Size),
    ("empty ", Operator::Empty),
];

pub(super) fn parse(at: &mut Cursor<'_>) -> Parsed<Filter> {
    at.depth += 1;
    if at.depth > FILTER_DEPTH {
        return Err(format!("a filter may be nested {FILTER_DEPTH} deep"));
    }
    let mut any = vec![all(at)?];
    loop {
        at.space();
        if !at.eat("||") {
            at.depth -= 1;
            return Ok(if any.len() == 1 { any.swap_remove(0) } else { Filter::Or(any) });
        }
        any.push(all(at)?);
    }
}

fn all(at: &mut Cursor<'_>) -> Parsed<Filter> {
    let mut every = vec![term(at)?];
    loop {
        at.space();
        if !at.eat("&&") {
            return Ok(if every.len() == 1 { every.swap_remove(0) } else { Filter::And(every) });
        }
        every.push(term(at)?);
    }
}

fn term(at: &mut Cursor<'_>) -> Parsed<Filter> {
    at.space();
    let mut is_not = false;
    while at.eat("!") {
        is_not = !is_not;
        at.space();
    }
    if is_not {
        return positive(at).map(|term| Filter::Not(Box::new(term)));
    }
    positive(at)
}

fn positive(at: &mut Cursor<'_>) -> Parsed<Filter> {
    if at.eat("(") {
        let inner = parse(at)?;
        at.must(")")?;
        return Ok(inner);
    }
    let left = operand(at)?;
    at.space();
    for (spelling, operator) in OPERATORS {
        if at.eat(spelling) {
            return Ok(Filter::Compare(left, operator, operand(at)?));
        }
    }
    Ok(Filter::Exists(left))
}

fn operand(at: &mut Cursor<'_>) -> Parsed<Operand> {
    at.space();
    match at.peek().ok_or("a filter is not closed")? {
        '@' => {
            at.next();
            Ok(Operand::Item(parse::steps(at)?))
        }
        '$' => {
            at.next();
            Ok(Operand::Root(parse::steps(at)?))
        }
        '/' => {
            at.next();
            let mut pattern = String::new();
            loop {
                match at.next().ok_or("a pattern is not closed")? {
                    '/' => break,
                    '\\' if at.peek() == Some('/') => {}
                    c => pattern.push(c),
                }
            }
            let flags = at.while_true(char::is_alphabetic);
            let pattern = RegexBuilder::new(&format!("^(?:{pattern})$")).case_insensitive(flags.contains('i')).build();
            pattern.map(Operand::Pattern).map_err(|error| error.to_string())
        }
        _ => literal(at).map(Operand::Literal),
    }
}

fn literal(at: &mut Cursor<'_>) -> Parsed<Value> {
    at.space();
    match at.peek().ok_or("a filter is not closed")? {
        '\'' | '"' => at.quoted().map(Value::String),
        '[' => {
            at.next();
            let mut items = Vec::new();
            loop {
                at.space();
                if at.eat("]") {
                    return Ok(Value::Array(items));
                }
                if at.peek() == Some('[') {
                    return Err("an array of a filter holds no array".into());
                }
                items.push(literal(at)?);
                at.space();
                at.eat(",");
            }
        }
        _ => {
            let word = at.while_true(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '+' | '_'));
            let known = serde_json::from_str(word);
            known.map_err(|_| format!("`{word}` is no value: a text stands in quotes"))
        }
    }
}

impl Filter {
    pub(super) fn holds(&self, item: &Value, root: &Value) -> bool {
        match self {
            Self::Or(any) => any.iter().any(|filter| filter.holds(item, root)),
            Self::And(every) => every.iter().all(|filter| filter.holds(item, root)),
            Self::Not(filter) => !filter.holds(item, root),
            Self::Exists(operand) => operand.value(item, root).is_some(),
            Self::Compare(left, operator, right) => compare(left, *operator, right, item, root),
        }
    }
}

impl Operand {
    fn value<'v>(&'v self, item: &'v Value, root: &'v Value) -> Option<Cow<'v, Value>> {
        match self {
            Self::Item(steps) => find::find(steps, item).ok(),
            Self::Root(steps) => find::find(steps, root).ok(),
            Self::Literal(value) => Some(Cow::Borrowed(value)),
            Self::Pattern(_) => None,
        }
    }
}

fn compare(left: &Operand, operator: Operator, right: &Operand, item: &Value, root: &Value) -> bool {
    if let (Operator::Like, Operand::Pattern(pattern)) = (operator, right) {
        return left.value(item, root).is_some_and(|left| left.as_str().is_some_and(|text| pattern.is_match(text)));
    }
    let (left, right) = (left.value(item, root), right.value(item, root));
    let (Some(left), Some(right)) = (left, right) else { return operator == Operator::NotEqual };
    let has = |items: &Value, wanted: &Value| {
        items.as_array().is_some_and(|items| items.iter().any(|item| equal(item, wanted)))
    };
    let ordered = |is_wanted: fn(Ordering) -> bool| order(&left, &right).is_some_and(is_wanted);
    let each = || left.as_array().into_iter().flatten();
    match operator {
        Operator::Equal => equal(&left, &right),
        Operator::NotEqual => !equal(&left, &right),
        Operator::Less => ordered(Ordering::is_lt),
        Operator::LessEqual => ordered(Ordering::is_le),
        Operator::Greater => ordered(Ordering::is_gt),
        Operator::GreaterEqual => ordered(Ordering::is_ge),
        Operator::In => has(&right, &left),
        Operator::NotIn => !has(&right, &left),
        Operator::SubsetOf => left.is_array() && each().all(|item| has(&right, item)),
        Operator::AnyOf => each().any(|item| has(&right, item)),
        Operator::NoneOf => !each().any(|item| has(&right, item)),
        Operator::Contains => match (left.as_str(), right.as_str()) {
            (Some(text), Some(part)) => text.contains(part),
            _ => has(&left, &right),
        },
        Operator::Size => length(&left).is_some() && length(&left) == right.as_u64(),
        Operator::Empty => length(&left).is_some_and(|length| Some(length == 0) == right.as_bool()),
        Operator::Like => false,
    }
}

fn length(value: &Value) -> Option<u64> {
    match value {
        Value::Array(items) => Some(items.len() as u64),
        Value::String(text) => Some(text.chars().count() as u64),
        _ => None,
    }
}

/// Numbers by value: `1` is `1.0`.
pub(crate) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => one == other,
    }
}

fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => None,
    }
}
