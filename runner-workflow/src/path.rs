//! JSONPath as AWS evaluates it: Jayway's dialect (<https://github.com/json-path/JsonPath>) with three habits of its own.
//!
//! A path that can match many places (`[*]`, a slice, a filter, `..`) gives an array and never fails; any other path
//! without a value does. A literal `[n]` at the end of a path that matches many takes the first match out of its array. And
//! a root is the state's input (`$`), the context object (`$$`), or a variable (`$name`).

pub(crate) mod filter;
mod find;
mod parse;

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use filter::Filter;

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    text: String,
    root: Root,
    steps: Vec<Step>,
}

/// What a path begins at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// `$`: the input of the field that the path stands in.
    Input,
    /// `$$`: the context object.
    Context,
    /// `$name`: a variable.
    Variable(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// `.name`, `['name']`
    Name(String),
    /// `['a','b']`
    Names(Vec<String>),
    /// `[0]`, `[-1]`
    Index(i64),
    /// `[0,2]`
    Indexes(Vec<i64>),
    /// `[1:5]`, `[:2]`, `[-2:]`
    Slice(Option<i64>, Option<i64>),
    /// `.*`, `[*]`
    Wildcard,
    /// `..`, before the step that it applies everywhere
    Deep,
    /// `[?(@.price < 10)]`
    Filter(Filter),
    /// `.length()` and its like, last
    Function(Function),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Length,
    Min,
    Max,
    Avg,
    Sum,
    Keys,
    First,
    Last,
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is no path: {reason}")]
pub struct PathError {
    /// The text as it was given.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A definite path had no value, in Jayway's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub(crate) String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    ///
    /// When the text does not begin with `$`, or a step is not one of the dialect's.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        parse::path(text).map_err(|reason| PathError { path: text.to_owned(), reason })
    }

    /// The path as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it begins at.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// The path as AWS prints it where only the part within the root counts: `$$.Execution` is `$.Execution`.
    pub(crate) fn within_root(&self) -> &str {
        if self.root == Root::Context { &self.text[1..] } else { &self.text }
    }

    /// Whether it can lead to one place at most.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Name(_) | Step::Index(_) | Step::Function(_)))
    }

    /// Whether it names exactly one place by keys and indexes alone: the language's reference path, which `ResultPath` needs.
    #[must_use]
    pub fn is_reference(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Name(_) | Step::Index(0..)))
    }

    /// The keys that it begins with, as far as they are plain: what of a large object it may need.
    pub(crate) fn leading_names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map_while(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// How many steps it has.
    pub(crate) const fn step_count(&self) -> usize {
        self.steps.len()
    }

    /// What it leads to in the value of its root.
    ///
    /// # Errors
    ///
    /// When a definite path leads nowhere.
    pub fn find<'v>(&self, root: &'v Value) -> Result<Cow<'v, Value>, Missing> {
        find::find(&self.steps, root)
    }

    /// Puts a value where a reference path leads, making the objects on the way.
    ///
    /// # Errors
    ///
    /// When something on the way is neither absent nor an object, or an index is outside its array; in AWS's words.
    pub(crate) fn put(&self, root: &mut Value, value: Value) -> Result<(), String> {
        let mut place = root;
        for step in &self.steps {
            let refused = || format!("Unable to apply step \"{}\" to input ", bare(step));
            place = match (step, place) {
                (Step::Name(name), Value::Object(object)) => {
                    object.entry(name.as_str()).or_insert_with(|| Value::Object(Map::new()))
                }
                (Step::Index(index), Value::Array(items)) => {
                    let index = usize::try_from(*index).unwrap_or(usize::MAX);
                    if index >= items.len() {
                        return Err(refused() + &Value::Array(std::mem::take(items)).to_string());
                    }
                    &mut items[index]
                }
                (_, other) => return Err(refused() + &other.to_string()),
            };
        }
        *place = value;
        Ok(())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn bare(step: &Step) -> String {
    match step {
        Step::Name(name) => name.clone(),
        Step::Index(index) => index.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definite_path_gives_its_value_and_another_an_array() {
        let value = json!({
            "a": {"b-c": [1, {"d": 2}, [3]], "e f": null},
            "books": [{"t": "x", "p": 8}, {"t": "y", "p": 12, "tags": ["new"]}, {"t": "z"}],
        });
        let check = |path: &str, wanted: Option<Value>| {
            let found = Path::parse(path).unwrap().find(&value).ok().map(Cow::into_owned);
            assert_eq!(found, wanted, "{path}");
        };
        check("$.a.b-c[1].d", Some(json!(2)));
        check("$['a']['e f']", Some(json!(null)));
        check("$.a.['b-c'].[0]", Some(json!(1)));
        check("$.a.b-c[-1][0]", Some(json!(3)));
        check("$.a.b-c[7]", None);
        check("$.a.x", None);
        check("$.books[0].t.q", None);
        check("$.books[*].t", Some(json!(["x", "y", "z"])));
        check("$.books[*].tags", Some(json!([["new"]])));
        check("$.books[1:].t", Some(json!(["y", "z"])));
        check("$.books[:-2].t", Some(json!(["x"])));
        check("$.books[0,2].t", Some(json!(["x", "z"])));
        check("$.books[0]['t','p']", Some(json!({"t": "x", "p": 8})));
        check("$..t", Some(json!(["x", "y", "z"])));
        check("$..d", Some(json!([2])));
        check("$.none[*].t", Some(json!([])));
        check("$.none[1:2]", Some(json!([])));
        check("$.books[?(@.p < 10)].t", Some(json!(["x"])));
        check("$.books[?(@.p >= 8 && !(@.t == 'x'))].t", Some(json!(["y"])));
        check("$.books[?(@.tags)].t", Some(json!(["y"])));
        check("$.books[?(@.t in ['x', \"z\"])].p", Some(json!([8])));
        check("$.books[?(@.t =~ /[XY]/i)].t", Some(json!(["x", "y"])));
        check("$.books[?('new' in @.tags || @.p == $.books[0].p)].t", Some(json!(["x", "y"])));
        check("$.books[?(@.p == 8)][0]", Some(json!([])));
        check("$.books[*]..t", Some(json!(["x", "y", "z"])));
        check("$.books.length()", Some(json!(3)));
        check("$.books[*].p.sum()", Some(json!(20.0)));
        check("$.books[?(!!@.tags)].t", Some(json!(["y"])));
    }

    #[test]
    fn a_path_that_finds_the_same_again_and_again_has_an_end() {
        let deep = (0..100).fold(json!([0, 1]), |inner, _| json!([inner, 0, 0, 0]));
        let path = "$".to_owned() + &"..*".repeat(12);
        assert_eq!(
            Path::parse(&path).unwrap().find(&deep),
            Err(Missing("more than 262144 results for the path".into()))
        );
    }

    #[test]
    fn a_root_is_the_input_the_context_or_a_variable() {
        let check = |path: &str, root: Root| assert_eq!(Path::parse(path).unwrap().root(), &root, "{path}");
        check("$", Root::Input);
        check("$.a", Root::Input);
        check("$$", Root::Context);
        check("$$.Execution.Input", Root::Context);
        check("$var", Root::Variable("var".into()));
        check("$var[0].x", Root::Variable("var".into()));
        assert!(Path::parse(&format!("$[?({}@.a{})]", "(".repeat(40), ")".repeat(40))).is_err());
        for refused in ["", "a", "$.", "$..", "$.a[", "$[?(@.a)", "$.a[1", "$ a", "$.a.b c", "$['a'"] {
            assert!(Path::parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_reference_path_makes_the_objects_on_its_way() {
        let check = |path: &str, root: Value, wanted: Result<Value, &str>| {
            let mut root = root;
            let put = Path::parse(path).unwrap().put(&mut root, json!(1));
            assert_eq!(put.map(|()| root), wanted.map_err(str::to_owned), "{path}");
        };
        check("$", json!({}), Ok(json!(1)));
        check("$.a.b", json!({"c": 2}), Ok(json!({"c": 2, "a": {"b": 1}})));
        check("$.a[1]", json!({"a": [0, 0]}), Ok(json!({"a": [0, 1]})));
        check("$.a.b", json!({"a": 2}), Err("Unable to apply step \"b\" to input 2"));
        check("$.a", json!([2]), Err("Unable to apply step \"a\" to input [2]"));
    }
}
