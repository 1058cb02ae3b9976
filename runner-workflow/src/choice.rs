//! The rules of a Choice: every operator of the language
//! (<https://states-language.net/spec.html#choice-state>), or a JSONata condition.
//!
//! A value of another type than an operator compares is not equal, not greater and not less: `NumericEquals` on `"42"` does
//! not hold. A path without a value is an error, but for `IsPresent`.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use crate::definition::Language;
use crate::failure::Failure;
use crate::fields::Fields;
use crate::intrinsics::Surroundings as _;
use crate::path::Path;
use crate::scene::Scene;
use crate::template::{Hole, Template};
use crate::time;

/// A rule and where it leads.
#[derive(Debug, Clone)]
pub struct Rule {
    /// When it holds.
    pub condition: Condition,
    /// The state that it leads to.
    pub next: String,
    /// JSONata: what goes out.
    pub output: Option<Template>,
    /// The variables that are set.
    pub assign: Option<Template>,
}

/// When a rule holds.
#[derive(Debug, Clone)]
pub enum Condition {
    /// All of them hold.
    And(Vec<Condition>),
    /// One of them holds.
    Or(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// What a path leads to is of this kind, or is not.
    Is(Path, Test, bool),
    /// What a path leads to compares like this.
    Compare(Path, Operator, Operand),
    /// A JSONata expression is true.
    Expression(Hole),
    /// JSONata: it stands in the definition whether it holds.
    Literal(bool),
}

/// What a value is asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// `IsPresent`
    Present,
    /// `IsNull`
    Null,
    /// `IsNumeric`
    Numeric,
    /// `IsString`
    String,
    /// `IsBoolean`
    Boolean,
    /// `IsTimestamp`
    Timestamp,
}

/// What types are compared, and which order makes it true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    /// What both sides must be.
    pub domain: Domain,
    /// Which order holds.
    pub relation: Relation,
}

/// What both sides of a comparison must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// Texts, by UTF-16 code units.
    String,
    /// Numbers, by value.
    Numeric,
    /// Truth values.
    Boolean,
    /// Instants.
    Timestamp,
}

/// Which order of the two sides holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// They are equal.
    Equal,
    /// The left is less.
    Less,
    /// The left is greater.
    Greater,
    /// The left is less or equal.
    LessOrEqual,
    /// The left is greater or equal.
    GreaterOrEqual,
    /// The left has the shape of the right, in which `*` is any text.
    Matches,
}

/// The right side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// It stands in the rule.
    Literal(Value),
    /// `..Path`: it is somewhere.
    Path(Path),
}

const TESTS: [(&str, Test); 6] = [
    ("IsPresent", Test::Present),
    ("IsNull", Test::Null),
    ("IsNumeric", Test::Numeric),
    ("IsString", Test::String),
    ("IsBoolean", Test::Boolean),
    ("IsTimestamp", Test::Timestamp),
];

const DOMAINS: [(&str, Domain); 4] = [
    ("String", Domain::String),
    ("Numeric", Domain::Numeric),
    ("Boolean", Domain::Boolean),
    ("Timestamp", Domain::Timestamp),
];

const RELATIONS: [(&str, Relation); 6] = [
    ("Equals", Relation::Equal),
    ("LessThan", Relation::Less),
    ("GreaterThan", Relation::Greater),
    ("LessThanEquals", Relation::LessOrEqual),
    ("GreaterThanEquals", Relation::GreaterOrEqual),
    ("Matches", Relation::Matches),
];

impl Rule {
    pub(crate) fn check(fields: &mut Fields<'_, '_>, index: usize) -> Option<Self> {
        fields.require(&["Next"]);
        let is_path = fields.language == Language::JsonPath;
        let field = |name: &str| format!("Choices[{index}]/{name}");
        let condition = if is_path {
            Condition::check(fields)
        } else {
            fields.require(&["Condition"]);
            match fields.jsonata("Condition", &field("Condition")) {
                Some(Template::Hole(hole)) => Some(Condition::Expression(hole)),
                Some(Template::Literal(Value::Bool(holds))) => Some(Condition::Literal(holds)),
                Some(_) => {
                    fields.complain("Condition", "Expected value of type Boolean, or a JSONata expression");
                    None
                }
                None => None,
            }
        };
        let output = if is_path { None } else { fields.jsonata("Output", &field("Output")) };
        let assign = if is_path { fields.template("Assign") } else { fields.jsonata("Assign", &field("Assign")) };
        Some(Self { condition: condition?, next: fields.text("Next").unwrap_or_default(), output, assign })
    }
}

impl Condition {
    fn check(fields: &mut Fields<'_, '_>) -> Option<Self> {
        for (name, combine) in [("And", Self::And as fn(Vec<Self>) -> Self), ("Or", Self::Or)] {
            if fields.has(name) {
                let mut parts = Vec::new();
                fields.list(name, |fields, _| parts.extend(Self::check(fields)));
                if parts.is_empty() {
                    fields.complain(name, "Array must not be empty");
                }
                return Some(combine(parts));
            }
        }
        if let Some(value) = fields.object.get("Not") {
            let pointer = fields.at("Not");
            let inner = fields.within(value, pointer).and_then(|mut fields| Self::check(&mut fields));
            return inner.map(|inner| Self::Not(Box::new(inner)));
        }
        fields.require(&["Variable"]);
        let variable = fields.path("Variable")?;
        for (name, test) in TESTS {
            if fields.has(name) {
                return fields.flag(name).map(|wanted| Self::Is(variable, test, wanted));
            }
        }
        let object = fields.object;
        for (name, value) in object {
            let Some((operator, is_path)) = operator(name) else { continue };
            let operand = if is_path {
                Operand::Path(fields.path(name)?)
            } else {
                if !operator.domain.has(value) {
                    fields.complain(name, format!("Expected value of type {}", operator.domain.shown()));
                }
                Operand::Literal(value.clone())
            };
            return Some(Self::Compare(variable, operator, operand));
        }
        let pointer = fields.pointer.clone();
        fields.complaints.schema(&pointer, "A comparison operator is required");
        None
    }

    /// Whether it holds.
    ///
    /// # Errors
    ///
    /// When a path has no value, or an expression fails or gives no truth value.
    pub(crate) fn holds(&self, scene: &Scene<'_>) -> Result<bool, Failure> {
        match self {
            Self::And(parts) => all(parts, scene, true),
            Self::Or(parts) => all(parts, scene, false).map(|none| !none),
            Self::Not(part) => part.holds(scene).map(|holds| !holds),
            Self::Literal(holds) => Ok(*holds),
            Self::Expression(hole) => scene.fill_as(hole, "boolean").map(|value| value == Value::Bool(true)),
            Self::Is(path, Test::Present, wanted) => Ok(scene.find(path).is_ok() == *wanted),
            Self::Is(path, test, wanted) => Ok(test.holds(&*value(path, scene)?) == *wanted),
            Self::Compare(path, operator, operand) => {
                let left = value(path, scene)?;
                let right = match operand {
                    Operand::Literal(literal) => Cow::Borrowed(literal),
                    Operand::Path(path) => value(path, scene)?,
                };
                Ok(operator.holds(&left, &right))
            }
        }
    }
}

/// Whether every part gives what is wanted; the first that does not decides.
fn all(parts: &[Condition], scene: &Scene<'_>, wanted: bool) -> Result<bool, Failure> {
    for part in parts {
        if part.holds(scene)? != wanted {
            return Ok(false);
        }
    }
    Ok(true)
}

fn value<'s>(path: &Path, scene: &'s Scene<'_>) -> Result<Cow<'s, Value>, Failure> {
    let absent = |_| {
        Failure::runtime(format!(
            "Invalid path '{}': The choice state's condition path references an invalid value.",
            path.within_root()
        ))
    };
    scene.find(path).map_err(absent)
}

/// An operator by its name, and whether its right side is a path.
fn operator(name: &str) -> Option<(Operator, bool)> {
    let (domain, rest) = DOMAINS.into_iter().find_map(|(begin, domain)| Some((domain, name.strip_prefix(begin)?)))?;
    let (rest, is_path) = rest.strip_suffix("Path").map_or((rest, false), |rest| (rest, true));
    let (_, relation) = RELATIONS.into_iter().find(|(known, _)| *known == rest)?;
    let is_known = match relation {
        Relation::Equal => true,
        Relation::Matches => domain == Domain::String && !is_path,
        _ => domain != Domain::Boolean,
    };
    is_known.then_some((Operator { domain, relation }, is_path))
}

impl Test {
    fn holds(self, value: &Value) -> bool {
        match self {
            Self::Present => true,
            Self::Null => value.is_null(),
            Self::Numeric => value.is_number(),
            Self::String => value.is_string(),
            Self::Boolean => value.is_boolean(),
            Self::Timestamp => value.as_str().and_then(time::parse).is_some(),
        }
    }
}

impl Domain {
    fn has(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Numeric => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Timestamp => value.as_str().and_then(time::parse).is_some(),
        }
    }

    const fn shown(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::Numeric => "Number",
            Self::Boolean => "Boolean",
            Self::Timestamp => "RFC3339 timestamp",
        }
    }

    fn order(self, left: &Value, right: &Value) -> Option<Ordering> {
        match self {
            // As Java compares.
            Self::String => Some(left.as_str()?.encode_utf16().cmp(right.as_str()?.encode_utf16())),
            Self::Numeric => left.as_f64()?.partial_cmp(&right.as_f64()?),
            Self::Boolean => Some(left.as_bool()?.cmp(&right.as_bool()?)),
            Self::Timestamp => Some(time::parse(left.as_str()?)?.cmp(&time::parse(right.as_str()?)?)),
        }
    }
}

impl Operator {
    fn holds(self, left: &Value, right: &Value) -> bool {
        if self.relation == Relation::Matches {
            return left.as_str().zip(right.as_str()).is_some_and(|(text, shape)| matches(text, shape));
        }
        self.domain.order(left, right).is_some_and(|order| match self.relation {
            Relation::Equal => order.is_eq(),
            Relation::Less => order.is_lt(),
            Relation::Greater => order.is_gt(),
            Relation::LessOrEqual => order.is_le(),
            Relation::GreaterOrEqual => order.is_ge(),
            Relation::Matches => false,
        })
    }
}

/// Whether a text has a shape, in which `*` is any text, `\*` an asterisk and `\\` a backslash. Takes time in the product of
/// their lengths at most.
fn matches(text: &str, shape: &str) -> bool {
    let mut wanted = Vec::new();
    let mut characters = shape.chars();
    while let Some(c) = characters.next() {
        wanted.push(match c {
            '*' => None,
            '\\' => Some(characters.next().unwrap_or('\\')),
            c => Some(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match wanted.get(place) {
            Some(Some(c)) if *c == text[at] => (at, place) = (at + 1, place + 1),
            Some(None) => {
                star = Some((place, at));
                place += 1;
            }
            _ => match &mut star {
                // The last `*` takes one character more.
                Some((after, taken)) => {
                    *taken += 1;
                    (at, place) = (*taken, *after + 1);
                }
                None => return false,
            },
        }
    }
    wanted[place..].iter().all(Option::is_none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_is_any_text() {
        let check = |text: &str, shape: &str, wanted: bool| assert_eq!(matches(text, shape), wanted, "{text} {shape}");
        check("foo23.log", "foo*.log", true);
        check("zebra.log", "*.log", true);
        check("foobar.zebra", "foo*.*", true);
        check("foo", "foo*", true);
        check("fo", "foo*", false);
        check("a*b", "a\\*b", true);
        check("axb", "a\\*b", false);
        check("a\\b", "a\\\\b", true);
        check("", "", true);
        check("aab", "*ab", true);
    }

    #[test]
    fn an_operator_is_a_domain_and_a_relation() {
        for known in ["StringMatches", "NumericLessThanEqualsPath", "BooleanEquals", "TimestampGreaterThan"] {
            assert!(operator(known).is_some(), "{known}");
        }
        for unknown in ["StringMatchesPath", "BooleanLessThan", "NumericMatches", "Equals", "Numeric"] {
            assert!(operator(unknown).is_none(), "{unknown}");
        }
    }
}
