//! What the tests of a guest may use: read from `runner-test.toml`, and from the command line. It runs nothing.

use std::time::Duration;

use runner_core::{Bounds, Grants, Limits};
use serde::Deserialize;
use serde_json::{Value, json};

/// The name of the file beside the guest's `Cargo.toml`.
pub(crate) const FILE: &str = "runner-test.toml";

/// All that the file may say. Nothing is granted without it.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// For each capability what the tests may do with it, as any host of Runner is told.
    pub(crate) grants: Grants,
    /// Further variables of the environment that the tests see, by name.
    pub(crate) env: Vec<String>,
    /// Whether standard input is read to its end, before the tests begin, and given to them.
    pub(crate) stdin: bool,
    /// Numbers in the place of the defaults.
    limits: Numbers,
}

/// Limits of each run, named as in [`Limits`].
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Numbers {
    deadline_ms: Option<u64>,
    memory_bytes: Option<u64>,
    table_elements: Option<u64>,
    host_calls: Option<u64>,
    host_bytes: Option<u64>,
    handles: Option<u32>,
    input_bytes: Option<u64>,
    output_bytes: Option<u64>,
}

impl Settings {
    /// Reads the file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut settings: Settings = toml::from_str(text).map_err(|error| error.to_string())?;
        // What is printed is shown already: it need not be logged, where the file does not say so.
        if let Some(Value::Object(logging)) = settings.grants.get("logging").cloned().as_mut() {
            logging.entry("streams").or_insert(Value::Bool(false));
            settings.grants = settings.grants.grant("logging", logging.clone());
        }
        Ok(settings)
    }

    /// Adds a grant as the command line has it: `kv`, or `kv={"stores":{..}}`.
    pub(crate) fn grant(&mut self, text: &str) -> Result<(), String> {
        let (id, grant) = match text.split_once('=') {
            Some((id, grant)) => {
                let grant =
                    serde_json::from_str(grant).map_err(|error| format!("grant `{id}` is not JSON: {error}"))?;
                (id, grant)
            }
            None => (text, usual(text)?),
        };
        self.grants = std::mem::take(&mut self.grants).grant(id, grant);
        Ok(())
    }

    /// What each run may use: by default enough for tests that nobody optimised.
    pub(crate) fn limits(&self) -> Limits {
        let (numbers, usual) = (&self.limits, limits());
        Limits {
            deadline: numbers.deadline_ms.map_or(usual.deadline, Duration::from_millis),
            memory_bytes: numbers.memory_bytes.unwrap_or(usual.memory_bytes),
            table_elements: numbers.table_elements.unwrap_or(usual.table_elements),
            host_calls: numbers.host_calls.unwrap_or(usual.host_calls),
            host_bytes: numbers.host_bytes.unwrap_or(usual.host_bytes),
            handles: numbers.handles.unwrap_or(usual.handles),
            input_bytes: numbers.input_bytes.unwrap_or(usual.input_bytes),
            output_bytes: numbers.output_bytes.unwrap_or(usual.output_bytes),
            ..usual
        }
    }
}

/// The grant of a capability that is asked for by its name alone.
fn usual(id: &str) -> Result<Value, String> {
    match id {
        "kv" => Ok(json!({ "stores": { "default": { "namespace": "tests" } } })),
        "fs" => Ok(json!({ "mounts": { "/data": {} } })),
        // As in the file: what is printed is shown already.
        "logging" => Ok(json!({ "streams": false })),
        _ => Err(format!(
            "grant `{id}` has to say what it allows: write `--grant '{id}={{..}}'`, or `[grants.{id}]` in `{FILE}`; \
             `kv`, `fs` and `logging` need no more than their names"
        )),
    }
}

/// A test that nobody optimised may take long and print much; one that hangs ends all the same.
fn limits() -> Limits {
    Limits {
        deadline: Duration::from_secs(120),
        memory_bytes: 2 << 30,
        table_elements: 1_000_000,
        host_calls: u64::MAX,
        host_bytes: 64 << 30,
        handles: 10_000,
        input_bytes: 64 << 20,
        output_bytes: 64 << 20,
        ..Limits::default()
    }
}

/// What the executor may use: test programs carry the debug information of all that they link.
pub(crate) fn bounds() -> Bounds {
    Bounds {
        // As much as Rust gives a test's thread elsewhere.
        stack_bytes: 2 << 20,
        // The run, and beside it the question what the tasks of the module are.
        calls: 2,
        queue: 2,
        table_elements: 1_000_000,
        module_bytes: 1 << 30,
        functions: 1_000_000,
        exports: 100_000,
        body_bytes: 16 << 20,
        compile: Duration::from_secs(600),
        ..Bounds::default()
    }
}

/// Whether a variable of this process's environment is for the tests without being named: what libtest and panics read, and
/// what cargo says of the package.
pub(crate) fn is_for_tests(name: &str) -> bool {
    name.starts_with("RUST_") || name.starts_with("CARGO_PKG_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_with_all_that_it_says() {
        let settings = Settings::parse(
            r#"
            env = ["HOME"]
            stdin = true

            [grants.kv.stores.default]
            namespace = "tests"

            [limits]
            deadline_ms = 1500
            memory_bytes = 1048576
            "#,
        )
        .expect("it reads");
        let kv = json!({ "stores": { "default": { "namespace": "tests" } } });
        assert_eq!(settings.grants, Grants::none().grant("kv", kv));
        assert_eq!((settings.env.as_slice(), settings.stdin), (&["HOME".to_owned()][..], true));
        let found = settings.limits();
        assert_eq!((found.deadline, found.memory_bytes), (Duration::from_millis(1500), 1 << 20));
        assert_eq!(found.output_bytes, limits().output_bytes, "what is not named stays");
        assert_eq!(Settings::parse("").expect("it reads"), Settings::default());
        for (text, streams) in [("[grants.logging]", false), ("[grants.logging]\nstreams = true", true)] {
            let settings = Settings::parse(text).expect("it reads");
            assert_eq!(settings.grants.get("logging"), Some(&json!({ "streams": streams })), "{text}");
        }
    }

    #[test]
    fn a_file_that_says_something_else_is_refused_with_the_place() {
        for (text, expected) in [
            ("grant = 1", "unknown field `grant`"),
            ("[limits]\ndeadline = 1", "unknown field `deadline`"),
            ("stdin = 1", "expected a boolean"),
            ("[grants", "TOML parse error at line 1"),
        ] {
            let found = Settings::parse(text).expect_err(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }

    #[test]
    fn a_grant_of_the_command_line_takes_the_place_of_the_file_s() {
        let mut settings = Settings::parse("[grants.kv]\nstores = {}").expect("it reads");
        settings.grant("kv").expect("its name will do");
        assert_eq!(settings.grants.get("kv").expect("granted")["stores"]["default"]["namespace"], "tests");
        settings.grant(r#"kv={"stores":{}}"#).expect("JSON");
        assert_eq!(settings.grants.get("kv"), Some(&json!({ "stores": {} })));
        assert!(settings.grant("kv={").expect_err("cut short").contains("grant `kv` is not JSON"));
        assert!(settings.grant("http").expect_err("to whom?").contains("`--grant 'http={..}'`"));
    }

    #[test]
    fn tests_see_what_is_theirs_of_the_environment() {
        for (name, is_theirs) in [
            ("RUST_BACKTRACE", true),
            ("RUST_TEST_NOCAPTURE", true),
            ("CARGO_PKG_NAME", true),
            ("CARGO_REGISTRY_TOKEN", false),
            ("HOME", false),
            ("RUSTFLAGS", false),
        ] {
            assert_eq!(is_for_tests(name), is_theirs, "{name}");
        }
    }
}
