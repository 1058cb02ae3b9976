//! Modules to try: text that comes with the server, and those built from Rust where their directory is given.

use cap_std::fs::Dir;
use serde_json::Value;

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

/// A guest built from Rust, and a call to begin with.
struct Guest {
    file: &'static str,
    title: &'static str,
    about: &'static str,
    /// Nothing for an HTTP handler.
    function: Option<&'static str>,
    args: &'static str,
    /// What it wants to be granted, as JSON; empty where it wants nothing.
    grants: &'static str,
}

/// The example that another one asks, by its name in the store.
const ASKED: (&str, &str) = ("http-hello.wasm", "http-hello");

const GUESTS: &[Guest] = &[
    Guest {
        file: "greet.wasm",
        title: "Greet",
        about: "Strings, records and variants, and functions of an exported interface.",
        function: Some("greet"),
        args: r#"["Ada"]"#,
        grants: "",
    },
    Guest {
        file: "types.wasm",
        title: "Types",
        about: "One function for every type, which gives back what it is given.",
        function: Some("echo-string"),
        args: r#"["any text"]"#,
        grants: "",
    },
    Guest {
        file: "command-p1.wasm",
        title: "Command",
        about: "A command-line program with many verbs: arguments, environment, streams and exit codes.",
        function: Some("_start"),
        args: "[]",
        grants: "",
    },
    Guest {
        file: "http-hello.wasm",
        title: "HTTP hello",
        about: "An HTTP handler: ask it at `/v1/modules/{ref}/http/`.",
        function: None,
        args: "[]",
        grants: "",
    },
    Guest {
        file: "kernels.wasm",
        title: "Kernels",
        about: "Small computations to measure with.",
        function: Some("fib"),
        args: "[30]",
        grants: "",
    },
    Guest {
        file: "counter.wasm",
        title: "Counter in a store",
        about: "Counts in a key-value store, by compare-and-swap: a restart of the server loses nothing.",
        function: Some("add"),
        args: r#"["visits", 1]"#,
        grants: r#"{ "kv": { "stores": { "default": { "namespace": "counters" } } } }"#,
    },
    Guest {
        file: "limiter.wasm",
        title: "Rate limiter",
        about: "Gives each caller so many tokens, which come back after a while; without one it says no, and until when.",
        function: Some("take"),
        args: r#"["ada", { "burst": 3, "refill_ms": 10000 }]"#,
        grants: r#"{ "kv": { "stores": { "default": { "namespace": "limits", "backend": "memory" } } } }"#,
    },
    Guest {
        file: "site.wasm",
        title: "Guestbook",
        about: "A small site, an HTTP handler with a key-value store behind it: ask it at `/v1/modules/{ref}/http/`.",
        function: None,
        args: "[]",
        grants: r#"{ "kv": { "stores": { "default": { "namespace": "guestbook" } } } }"#,
    },
    Guest {
        file: "summarise.wasm",
        title: "URL summariser",
        about: "Reads what lies at an address, by outgoing HTTP, and tells its title, its words and the most frequent of them.",
        function: Some("summarise"),
        args: r#"["https://example.com/"]"#,
        grants: r#"{ "http": { "allow": [{ "host": "example.com" }] } }"#,
    },
    Guest {
        file: "webhook.wasm",
        title: "Webhook",
        about: "Posts an event with a secret that it never has. As granted here it asks the example `http-hello`, stored in this \
                server, and the server wants to be started with `RUNNER_SECRET_WEBHOOK_TOKEN`.",
        function: Some("notify"),
        args: r#"[{ "event": "order.paid", "subject": "order 7" }]"#,
        grants: r#"{
            "config": { "values": { "webhook-url": "http://127.0.0.1:8080/v1/modules/http-hello/http/echo" } },
            "http": {
                "allow": [{ "scheme": "http", "host": "127.0.0.1", "port": 8080, "methods": ["POST"],
                            "path": "/v1/modules/http-hello/http", "addresses": ["127.0.0.1"] }],
                "secrets": [{ "name": "WEBHOOK_TOKEN", "hosts": ["127.0.0.1"], "plain": true }]
            }
        }"#,
    },
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
        Example {
            file: text.file,
            title,
            about,
            function: Some(text.function),
            args: json(text.args),
            name: None,
            grants: None,
        }
    });
    let guests = GUESTS.iter().filter(|guest| guests.is_some_and(|dir| dir.is_file(guest.file)));
    let guests = guests.map(|&Guest { file, title, about, function, args, grants }| Example {
        file,
        title: title.to_owned(),
        about: about.to_owned(),
        function,
        args: json(args),
        name: (file == ASKED.0).then_some(ASKED.1),
        grants: (!grants.is_empty()).then(|| json(grants)),
    });
    texts.chain(guests).collect()
}

/// The bytes of one example. Only files of the list are read.
pub(crate) fn find(file: &str, guests: Option<&Dir>) -> Option<std::io::Result<Bytes>> {
    if let Some(text) = TEXTS.iter().find(|text| text.file == file) {
        return Some(Ok(Bytes::Text(text.text)));
    }
    let guest = GUESTS.iter().find(|guest| guest.file == file)?;
    let dir = guests.filter(|dir| dir.is_file(guest.file))?;
    Some(dir.read(guest.file).map(Bytes::Binary))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The first line of a text is `;; Title. What it does.`
fn described(text: &str) -> (String, String) {
    let line = text.lines().next().unwrap_or_default().trim_start_matches(";;").trim();
    match line.split_once(". ") {
        Some((title, about)) => (title.to_owned(), about.to_owned()),
        None => (line.trim_end_matches('.').to_owned(), String::new()),
    }
}
