//! Modules to try: text that comes with the server, and those built from Rust where their directory is given.

use cap_std::fs::Dir;
use serde_json::{Value, json};

use crate::api::Example;

/// A text, and a call to begin with.
struct Text {
    file: &'static str,
    text: &'static str,
    function: &'static str,
    args: &'static str,
}

macro_rules! text {
    ($file:literal, $function:literal, $args:literal) => {
        Text {
            file: $file,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../guests/wat/", $file)),
            function: $function,
            args: $args,
        }
    };
}

const TEXTS: &[Text] = &[
    text!("sum_of_2_ints.wat", "sum_of_2_ints", "[20, 22]"),
    text!("max_of_2_ints.wat", "max_of_2_ints", "[7, 3]"),
    text!("gcd.wat", "gcd", "[48, 36]"),
    text!("factorial.wat", "factorial", "[20]"),
    text!("fibonacci.wat", "fibonacci", "[90]"),
    text!("is_prime.wat", "is_prime", "[97]"),
    text!("swap.wat", "swap", "[1, \"9007199254740993\"]"),
    text!("counter.wat", "next", "[]"),
    text!("component_add.wat", "add", "[20, 22]"),
    text!("divide.wat", "divide", "[1, 0]"),
    text!("trap_deep.wat", "outer", "[3]"),
    text!("spin.wat", "spin", "[]"),
];

/// A guest built from Rust: file, title, what it does, a call to begin with.
type Guest = (&'static str, &'static str, &'static str, Option<&'static str>, &'static str);

const GUESTS: &[Guest] = &[
    (
        "greet.wasm",
        "Greet",
        "Strings, records and variants, and functions of an exported interface.",
        Some("greet"),
        r#"["Ada"]"#,
    ),
    (
        "types.wasm",
        "Types",
        "One function for every type, which gives back what it is given.",
        Some("echo-string"),
        r#"["any text"]"#,
    ),
    (
        "command-p1.wasm",
        "Command",
        "A command-line program with many verbs: arguments, environment, streams and exit codes.",
        Some("_start"),
        "[]",
    ),
    ("http-hello.wasm", "HTTP hello", "An HTTP handler: ask it at `/v1/modules/{ref}/http/`.", None, "[]"),
    ("kernels.wasm", "Kernels", "Small computations to measure with.", Some("fib"), "[30]"),
];

/// An example's bytes.
pub(crate) enum Bytes {
    Text(&'static str),
    Binary(Vec<u8>),
}

/// All examples that are there.
pub(crate) fn list(guests: Option<&Dir>) -> Vec<Example> {
    let texts = TEXTS.iter().map(|text| {
        let (title, about) = described(text.text);
        Example { file: text.file, title, about, function: Some(text.function), args: args(text.args) }
    });
    let guests = GUESTS.iter().filter(|(file, ..)| guests.is_some_and(|dir| dir.is_file(file)));
    let guests = guests.map(|&(file, title, about, function, given)| Example {
        file,
        title: title.to_owned(),
        about: about.to_owned(),
        function,
        args: args(given),
    });
    texts.chain(guests).collect()
}

/// The bytes of one example. Only files of the list are read.
pub(crate) fn find(file: &str, guests: Option<&Dir>) -> Option<std::io::Result<Bytes>> {
    if let Some(text) = TEXTS.iter().find(|text| text.file == file) {
        return Some(Ok(Bytes::Text(text.text)));
    }
    let (file, ..) = GUESTS.iter().find(|(known, ..)| *known == file)?;
    let dir = guests.filter(|dir| dir.is_file(file))?;
    Some(dir.read(file).map(Bytes::Binary))
}

fn args(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!([]))
}

/// The first line of a text is `;; Title. What it does.`
fn described(text: &str) -> (String, String) {
    let line = text.lines().next().unwrap_or_default().trim_start_matches(";;").trim();
    match line.split_once(". ") {
        Some((title, about)) => (title.to_owned(), about.to_owned()),
        None => (line.trim_end_matches('.').to_owned(), String::new()),
    }
}
