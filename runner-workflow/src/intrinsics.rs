//! The `States.*` functions (<https://states-language.net/spec.html#appendix-b>): a call is parsed once, then answered.
//!
//! AWS prints what is not a text as Java does (`{Arg1=1, Arg2=[]}`), rounds what is added half up, and splits a text at each
//! character of its delimiter, without empty pieces.

mod functions;
mod parse;

use std::borrow::Cow;

use serde_json::Value;

use crate::failure::{Failure, names};
use crate::limits::VALUE_BYTES;
use crate::path::{Missing, Path};
use crate::random::Random;
use crate::weight::json_bytes;

/// A parsed call, such as `States.Format('{} is {}', $.name, States.MathAdd($.age, 1))`.
#[derive(Debug, Clone, PartialEq)]
pub struct Intrinsic {
    text: String,
    call: Call,
}

#[derive(Debug, Clone, PartialEq)]
struct Call {
    text: String,
    function: Function,
    arguments: Vec<Argument>,
}

#[derive(Debug, Clone, PartialEq)]
enum Argument {
    Path(Path),
    /// A text in quotes as it was written: `States.Format` reads its escapes itself.
    Quoted(String),
    Literal(Value),
    Call(Call),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Format,
    StringToJson,
    JsonToString,
    Array,
    ArrayPartition,
    ArrayContains,
    ArrayRange,
    ArrayGetItem,
    ArrayLength,
    ArrayUnique,
    Base64Encode,
    Base64Decode,
    Hash,
    JsonMerge,
    MathRandom,
    MathAdd,
    StringSplit,
    Uuid,
}

/// Name, function, and how many arguments it takes at least and at most.
const FUNCTIONS: [(&str, Function, usize, usize); 18] = [
    ("States.Format", Function::Format, 1, usize::MAX),
    ("States.StringToJson", Function::StringToJson, 1, 1),
    ("States.JsonToString", Function::JsonToString, 1, 1),
    ("States.Array", Function::Array, 0, usize::MAX),
    ("States.ArrayPartition", Function::ArrayPartition, 2, 2),
    ("States.ArrayContains", Function::ArrayContains, 2, 2),
    ("States.ArrayRange", Function::ArrayRange, 3, 3),
    ("States.ArrayGetItem", Function::ArrayGetItem, 2, 2),
    ("States.ArrayLength", Function::ArrayLength, 1, 1),
    ("States.ArrayUnique", Function::ArrayUnique, 1, 1),
    ("States.Base64Encode", Function::Base64Encode, 1, 1),
    ("States.Base64Decode", Function::Base64Decode, 1, 1),
    ("States.Hash", Function::Hash, 2, 2),
    ("States.JsonMerge", Function::JsonMerge, 3, 3),
    ("States.MathRandom", Function::MathRandom, 2, 3),
    ("States.MathAdd", Function::MathAdd, 2, 2),
    ("States.StringSplit", Function::StringSplit, 2, 2),
    ("States.UUID", Function::Uuid, 0, 0),
];

/// What a call needs from around it.
pub(crate) trait Surroundings {
    fn find(&self, path: &Path) -> Result<Cow<'_, Value>, Missing>;
    /// The input as AWS prints it where a path has no value.
    fn input(&self) -> String;
    fn random<T>(&self, with: impl FnOnce(&mut Random) -> T) -> T;
}

impl Intrinsic {
    /// Parses a call.
    ///
    /// # Errors
    ///
    /// When the function is unknown, has too few or too many arguments, or an argument is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse::call(text).map(|call| Self { text: text.to_owned(), call })
    }

    /// The call as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The paths among its arguments, at any depth.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        let mut found = Vec::new();
        self.call.paths(&mut found);
        found
    }

    pub(crate) fn evaluate(&self, around: &impl Surroundings) -> Result<Value, Failure> {
        self.call.evaluate(around)
    }
}

impl Call {
    fn paths<'c>(&'c self, found: &mut Vec<&'c Path>) {
        for argument in &self.arguments {
            match argument {
                Argument::Path(path) => found.push(path),
                Argument::Call(call) => call.paths(found),
                Argument::Quoted(_) | Argument::Literal(_) => {}
            }
        }
    }

    fn evaluate(&self, around: &impl Surroundings) -> Result<Value, Failure> {
        let failed = |reason: String| format!("The function '{}' had the following error: {reason}", self.text);
        let mut arguments = Vec::with_capacity(self.arguments.len());
        // No function gives much more than it takes, so its arguments are weighed, each before the next one.
        let mut left = VALUE_BYTES;
        for argument in &self.arguments {
            let argument = match argument {
                Argument::Literal(value) => Cow::Borrowed(value),
                Argument::Quoted(text) if self.function == Function::Format => Cow::Owned(Value::String(text.clone())),
                Argument::Quoted(text) => Cow::Owned(Value::String(parse::unescaped(text))),
                Argument::Call(call) => Cow::Owned(call.evaluate(around)?),
                Argument::Path(path) => around.find(path).map_err(|_| {
                    let input = around.input();
                    let absent = format!(
                        "The JsonPath argument for the field '{path}' could not be found in the input '{input}'"
                    );
                    Failure::runtime(failed(absent))
                })?,
            };
            let too_large =
                || Failure::new(names::INTRINSIC, failed(format!("the arguments have more than {VALUE_BYTES} bytes")));
            left -= json_bytes(&argument, left).ok_or_else(too_large)?;
            arguments.push(argument);
        }
        functions::answer(self.function, &arguments, around)
            .map_err(|reason| Failure::new(names::INTRINSIC, failed(reason)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    struct Alone(Value, RefCell<Random>);

    impl Surroundings for Alone {
        fn find(&self, path: &Path) -> Result<Cow<'_, Value>, Missing> {
            path.find(&self.0)
        }
        fn input(&self) -> String {
            self.0.to_string()
        }
        fn random<T>(&self, with: impl FnOnce(&mut Random) -> T) -> T {
            with(&mut self.1.borrow_mut())
        }
    }

    #[track_caller]
    fn check(call: &str, input: Value, wanted: Result<Value, &str>) {
        let around = Alone(input, RefCell::new(Random::seeded(1)));
        let answer = Intrinsic::parse(call).unwrap().evaluate(&around);
        match (answer, wanted) {
            (Err(failure), Err(part)) => assert!(failure.to_string().contains(part), "{call}: {failure}"),
            (answer, wanted) => {
                assert_eq!(answer.map_err(|failure| failure.to_string()), wanted.map_err(str::to_owned), "{call}")
            }
        }
    }

    #[test]
    fn every_function_answers_as_it_does_on_aws() {
        let input = json!({"o": {"Arg1": 1, "Arg2": []}, "l": [1, 2, 2, "a"], "t": "a,b", "f": 1.5, "n": null});
        let gives = |call: &str, wanted: Value| check(call, input.clone(), Ok(wanted));
        gives("States.Format('{} {} \\'\\{\\}\\'', $.o, $.l)", json!("{Arg1=1, Arg2=[]} [1, 2, 2, a] '{}'"));
        gives("States.Format($.t)", json!("a,b"));
        gives("States.Format('{}{}', $.n, 1.50)", json!("null1.5"));
        gives("States.StringToJson('')", json!(null));
        gives("States.StringToJson('{\"a\": 1}')", json!({"a": 1}));
        gives("States.JsonToString($.o)", json!("{\"Arg1\":1,\"Arg2\":[]}"));
        gives("States.Array()", json!([]));
        gives("States.Array('Foo', 2020, $.n, true)", json!(["Foo", 2020, null, true]));
        gives("States.ArrayPartition($.l, 3)", json!([[1, 2, 2], ["a"]]));
        gives("States.ArrayContains($.l, 1.0)", json!(true));
        gives("States.ArrayRange(1, 9, 2)", json!([1, 3, 5, 7, 9]));
        gives("States.ArrayRange(3, 0, -2)", json!([3, 1]));
        gives("States.ArrayGetItem($.l, 3)", json!("a"));
        gives("States.ArrayLength($.l)", json!(4));
        gives("States.ArrayUnique($.l)", json!([1, 2, "a"]));
        gives("States.Base64Encode('Data to encode')", json!("RGF0YSB0byBlbmNvZGU="));
        gives("States.Base64Decode('RGF0YSB0byBlbmNvZGU=')", json!("Data to encode"));
        gives("States.Hash('input data', 'SHA-1')", json!("aaff4a450a104cd177d28d18d74485e8cae074b7"));
        gives("States.JsonMerge($.o, States.StringToJson('{\"Arg1\":2}'), false)", json!({"Arg1": 2, "Arg2": []}));
        gives("States.MathAdd($.f, -1.5)", json!(1));
        gives("States.MathAdd(111, -1)", json!(110));
        gives("States.StringSplit('1,2+3', ',+')", json!(["1", "2", "3"]));
        let random = Intrinsic::parse("States.MathRandom(1, 3)").unwrap();
        let around = Alone(json!({}), RefCell::new(Random::seeded(1)));
        assert!((0..50).all(|_| [json!(1), json!(2)].contains(&random.evaluate(&around).unwrap())));
    }

    #[test]
    fn a_call_that_cannot_be_answered_says_which_one_it_was() {
        let fails = |call: &str, part: &str| check(call, json!({"l": [1]}), Err(part));
        fails(
            "States.Format('{}', $.x)",
            "The function 'States.Format('{}', $.x)' had the following error: The JsonPath argument",
        );
        fails(
            "States.ArrayPartition($.l, 0)",
            "States.IntrinsicFailure: The function 'States.ArrayPartition($.l, 0)' had",
        );
        fails("States.ArrayGetItem($.l, 1)", "States.IntrinsicFailure");
        fails("States.ArrayRange(0, 5000, 1)", "1000");
        fails("States.JsonMerge($, $, true)", "States.IntrinsicFailure");
        fails("States.StringToJson('{')", "States.IntrinsicFailure");
    }

    #[test]
    fn what_is_no_call_is_refused_when_it_is_parsed() {
        for refused in [
            "States.None()",
            "States.UUID(1)",
            "States.Array(1",
            "States.Array('a\\\"b')",
            "States.Hash('a')",
            "Array()",
            "States.Array(a)",
            "States.Array('a)",
        ] {
            assert!(Intrinsic::parse(refused).is_err(), "{refused}");
        }
        let nested = |depth: usize| "States.Array(".repeat(depth) + &")".repeat(depth);
        assert!(Intrinsic::parse(&nested(10)).is_ok());
        assert!(Intrinsic::parse(&nested(11)).is_err());
    }
}
