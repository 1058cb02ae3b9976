//! JSONata expressions, behind a trait of our own: the engine's values are neither `Send` nor cheap to make from JSON, so an
//! expression says which variables and which parts of them it reads, and only those are converted.
//!
//! What an expression may not do: run for ever ([`JSONATA_STEPS`](crate::limits::JSONATA_STEPS), counted rather than timed),
//! nest without end, read chance of its own, or run text as code (`$eval`). The time comes from outside as well, but for
//! `$toMillis` with a picture that leaves out the date: the engine takes today's.

mod core;
mod free;
mod prepare;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::random::Random;
use crate::time::Millis;

/// A parsed expression: what stands between `{%` and `%}`.
#[derive(Clone)]
pub struct Jsonata {
    text: String,
    program: Arc<dyn Program>,
}

/// An engine's parsed form of one expression.
trait Program: Send + Sync {
    /// What it reads from around it.
    fn reads(&self) -> &Reads;
    /// Its value, or `None` where it yields nothing.
    fn run(&self, around: &dyn Around) -> Result<Option<Value>, String>;
}

/// What an expression needs from around it.
pub(crate) trait Around {
    /// The value of a variable, of which only `wanted` will be read; `$states` is one of them.
    fn variable(&self, name: &str, wanted: &Wanted) -> Option<Value>;
    fn now(&self) -> Millis;
    fn random(&self, with: &mut dyn FnMut(&mut Random));
}

/// The variables and functions that an expression names.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) variables: BTreeMap<String, Wanted>,
    pub(crate) functions: BTreeSet<String>,
    /// Those of the variables that it does not bind itself.
    pub(crate) free: BTreeSet<String>,
}

/// Which parts of a value are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Whole,
    Parts(BTreeMap<String, Wanted>),
}

impl Wanted {
    pub(crate) const fn nothing() -> Self {
        Self::Parts(BTreeMap::new())
    }

    /// Whether a key is read, and how much of its value.
    pub(crate) fn part(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Whole => Some(self),
            Self::Parts(parts) => parts.get(key),
        }
    }

    /// Adds a path of keys, the last of which is read whole.
    fn add<'k>(&mut self, mut keys: impl Iterator<Item = &'k str>) {
        let Self::Parts(parts) = self else { return };
        match keys.next() {
            None => *self = Self::Whole,
            Some(key) => parts.entry(key.to_owned()).or_insert_with(Self::nothing).add(keys),
        }
    }

    /// The keys down to where the reading divides.
    pub(crate) fn single_path(&self) -> Vec<&str> {
        let (mut keys, mut at) = (Vec::new(), self);
        while let Self::Parts(parts) = at
            && parts.len() == 1
            && let Some((key, next)) = parts.first_key_value()
        {
            keys.push(key.as_str());
            at = next;
        }
        keys
    }

    /// The value with nothing but what is read. Arrays keep their items: a key after an array reads it from each.
    pub(crate) fn of(&self, value: &Value) -> Value {
        match (self, value) {
            (Self::Whole, value) => value.clone(),
            (Self::Parts(parts), Value::Object(object)) => {
                let read = |(key, wanted): (&String, &Self)| Some((key.clone(), wanted.of(object.get(key)?)));
                Value::Object(parts.iter().filter_map(read).collect())
            }
            (Self::Parts(_), Value::Array(items)) => items.iter().map(|item| self.of(item)).collect(),
            (Self::Parts(_), other) => other.clone(),
        }
    }
}

impl Jsonata {
    /// Parses what stands between `{%` and `%}`.
    ///
    /// # Errors
    ///
    /// When it is no JSONata, or calls `$eval`; in the engine's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        Ok(Self { text: text.to_owned(), program: Arc::new(core::Parsed::new(text)?) })
    }

    /// The expression as it was written, without space around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names that it reads and does not bind first, without `$`, in alphabetical order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.program.reads().free.iter().map(String::as_str)
    }

    pub(crate) fn reads(&self) -> &Reads {
        self.program.reads()
    }

    /// Whether it calls a function of this name.
    pub(crate) fn calls(&self, function: &str) -> bool {
        self.program.reads().functions.contains(function)
    }

    pub(crate) fn evaluate(&self, around: &dyn Around) -> Result<Option<Value>, String> {
        self.program.run(around)
    }
}

impl fmt::Debug for Jsonata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Jsonata").field(&self.text).finish()
    }
}

impl PartialEq for Jsonata {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What a text is where JSONata is the language: the part within `{% %}`, or `None` for a plain text.
pub(crate) fn within(text: &str) -> Option<&str> {
    let text = text.trim();
    text.strip_prefix("{%")?.strip_suffix("%}").map(str::trim)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    struct Alone(Value, RefCell<Random>);

    impl Around for Alone {
        fn variable(&self, name: &str, wanted: &Wanted) -> Option<Value> {
            self.0.get(name).map(|value| wanted.of(value))
        }
        fn now(&self) -> Millis {
            1_457_920_740_000
        }
        fn random(&self, with: &mut dyn FnMut(&mut Random)) {
            with(&mut self.1.borrow_mut());
        }
    }

    fn run(text: &str) -> Result<Option<Value>, String> {
        let states = json!({"input": {"a": [{"b": 1, "c": 2}, {"b": 3}], "n": null, "t": "x"}, "context": {"x": 1}});
        let around = Alone(json!({"states": states, "v": [1, 2], "f": 1.5}), RefCell::new(Random::seeded(3)));
        Jsonata::parse(text)?.evaluate(&around)
    }

    #[test]
    fn an_expression_reads_states_and_variables() {
        let check = |text: &str, wanted: Option<Value>| assert_eq!(run(text), Ok(wanted), "{text}");
        check("$states.input.a.b", Some(json!([1, 3])));
        check("$states.input.a[b = 3].b", Some(json!(3)));
        check("$sum($v) + $f", Some(json!(4.5)));
        check("$states.input.n", Some(json!(null)));
        check("$none", None);
        check("$exists($none) ? 1 : 2", Some(json!(2)));
        check("$x := 1", Some(json!(1)));
        check("$contains('hello$world', /^hello\\$/)", Some(json!(true)));
        check("$map($v, function($i) { $i * 2 })", Some(json!([2, 4])));
        check("[]", Some(json!([])));
        check("{'a': $states.context}", Some(json!({"a": {"x": 1}})));
    }

    #[test]
    fn the_functions_of_the_language_are_there() {
        let check = |text: &str, wanted: Value| assert_eq!(run(text), Ok(Some(wanted)), "{text}");
        check("$partition([1,2,3], 2)", json!([[1, 2], [3]]));
        check("$partition([1], 4)", json!([[1]]));
        check("$range(1, 9, 2)", json!([1, 3, 5, 7, 9]));
        check("$hash('input data', 'SHA-1')", json!("aaff4a450a104cd177d28d18d74485e8cae074b7"));
        check("$parse('{\"a\": [1]}')", json!({"a": [1]}));
        check("$parse('-0')", json!(0));
        check("$length($uuid())", json!(36));
        check("$random() < 1 and $random(7) = $random(7)", json!(true));
        check("$now()", json!("2016-03-14T01:59:00.000Z"));
        check("$millis()", json!(1_457_920_740_000_i64));
        check("$count($shuffle([1,2,3]))", json!(3));
        check("$pad('ab', -4, '#!')", json!("#!ab"));
        check("1 & 'a' & $none & true", json!("1atrue"));
        check("[$v, [$v], $none, 3]", json!([1, 2, [1, 2], 3]));
        check("[$states.input.a.b, {'x': [$v[0]]}]", json!([1, 3, {"x": [1]}]));
    }

    #[test]
    fn an_expression_has_an_end() {
        let check = |text: &str, part: &str| {
            let failed = run(text).expect_err(text);
            assert!(failed.contains(part), "{text}: {failed}");
        };
        check("($f := function($x) { $f($x + 1) }; $f(1))", "steps");
        check("[1..100000].($x := $; [1..100000].($x + $))", "steps");
        check("$map([1..100000], function($x) { $map([1..100000], function($y) { $x }) })", "steps");
        check("($f := function($x) { 1 + $f($x) }; $f(1))", "D1011");
        check("[1..1000000]", "D2015");
        check("$reduce([1..40], function($a, $i) { $a & $a }, 'x')", "too large");
        check("$reduce([1..40], function($a, $i) { [$a, $a] }, 'x')", "too large");
        check("$reduce([1..40], function($a, $i) { {'a': $a, 'b': $a} }, 'x')", "too large");
        check("$pad('', 1000000000)", "too large");
        check("$reduce([1..200000], function($a, $i) { {'a': $a} }, 1)", "nested more than 127 deep");
        check("$reduce([1..200000], function($a, $i) { [[$a]] }, 1)", "nested more than 127 deep");
        check("$eval('1')", "$eval");
        check("$map(['1'], $eval)", "$eval");
        assert_eq!(run("($f := function($x) { $x > 50000 ? $x : $f($x + 1) }; $f(1))"), Ok(Some(json!(50001))));
    }

    #[test]
    fn a_name_that_an_expression_binds_itself_is_not_one_that_it_reads() {
        let check = |text: &str, wanted: &[&str]| {
            let expression = Jsonata::parse(text).unwrap();
            assert_eq!(expression.variables().collect::<Vec<_>>(), wanted, "{text}");
        };
        check("$a + $states.input.b[c = $d]", &["a", "d", "states"]);
        check("($x := $y; $x + $z)", &["y", "z"]);
        check("$map($items, function($i, $n) { $i * $n * $rate })", &["items", "rate"]);
        check("($f := function($n) { $n < 1 ? 1 : $n * $f($n - 1) }; $f($start))", &["start"]);
        check("$map($names, $uppercase)", &["names"]);
        check("$states.input.a@$x.b[c = $x.d]", &["states"]);
        check("($x := 1; ($y := 2; $x)) + $y", &["y"]);
        check("$variable := 1", &[]);
    }

    #[test]
    fn only_what_is_named_is_read() {
        let check = |text: &str, wanted: &str| {
            let reads = Jsonata::parse(text).unwrap();
            assert_eq!(format!("{:?}", reads.program.reads().variables["states"]), wanted, "{text}");
        };
        check("$states.input.a.b + 1", "Parts({\"input\": Parts({\"a\": Parts({\"b\": Whole})})})");
        check("$states.input.a[b = 1].c", "Parts({\"input\": Parts({\"a\": Whole})})");
        check("$states.input.a & $states.input", "Parts({\"input\": Whole})");
        check("$states", "Whole");
        check("$states.*", "Whole");
        check("$states.input.a.%", "Whole");
    }
}
