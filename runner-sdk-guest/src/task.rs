//! Tasks: who asks for them, and how `#[runner::task]` functions are found, described and run.

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Failure;
use crate::bindings::exports::runner::task::tasks as wit;

/// Who asks for the work that is being done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The caller's key for work that must not be done twice: the same in every attempt.
    pub idempotency_key: Option<String>,
    /// Counts the attempts at the same work, from 1.
    pub attempt: u32,
    /// Milliseconds that the task has from its start.
    pub deadline_ms: u64,
}

thread_local! {
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// Who asks for the task that runs now; `None` outside of one, as in a test that calls the function itself.
pub fn context() -> Option<Context> {
    CURRENT.with_borrow(Clone::clone)
}

/// One function, as the attribute hands it in.
#[doc(hidden)]
pub struct Task {
    pub name: &'static str,
    pub about: &'static str,
    pub describe: fn() -> Described,
    pub run: fn(&str) -> Result<String, Failure>,
}

inventory::collect!(Task);

/// The schemas of one function.
#[doc(hidden)]
pub struct Described {
    pub parameters: Vec<(&'static str, Value)>,
    pub result: Value,
}

pub(crate) struct Tasks;

impl wit::Guest for Tasks {
    fn describe() -> String {
        let mut tasks: Vec<_> = inventory::iter::<Task>.into_iter().collect();
        // In whatever order the linker has them, they come out in this one.
        tasks.sort_by_key(|task| task.name);
        let described = tasks.into_iter().map(|task| {
            let Described { parameters, result } = (task.describe)();
            let parameters = parameters.into_iter().map(|(name, schema)| json!({ "name": name, "schema": schema }));
            let parameters: Vec<_> = parameters.collect();
            json!({ "name": task.name, "about": task.about, "parameters": parameters, "result": result })
        });
        Value::Array(described.collect()).to_string()
    }

    fn run(task: String, arguments: String, context: wit::Context) -> Result<String, wit::Failure> {
        crate::enter();
        let found = inventory::iter::<Task>.into_iter().find(|known| known.name == task);
        let wit::Context { idempotency_key, attempt, deadline_ms } = context;
        CURRENT.set(Some(Context { idempotency_key, attempt, deadline_ms }));
        let ran = match found {
            Some(found) => (found.run)(&arguments),
            None => Err(Failure::new("no-such-task", format!("the module has no task `{task}`"))),
        };
        CURRENT.set(None);
        ran.map_err(|Failure { code, message, retryable }| wit::Failure { code, message, retryable })
    }
}

/// Reads a JSON array into a tuple of the parameters' types.
#[doc(hidden)]
pub fn arguments<T: DeserializeOwned>(names: &[&str], text: &str) -> Result<T, Failure> {
    let invalid = |message: String| Failure::new("invalid-arguments", message);
    let values: Vec<Value> =
        serde_json::from_str(text).map_err(|error| invalid(format!("expected a JSON array: {error}")))?;
    if values.len() != names.len() {
        let (expected, found) = (names.len(), values.len());
        return Err(invalid(format!("expected {expected} arguments ({}), found {found}", names.join(", "))));
    }
    // Serde has no tuple of none, and reads `()` from null.
    let value = if values.is_empty() { Value::Null } else { Value::Array(values) };
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let (at, rest) = match path.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((at, rest)) => (at.parse().ok(), rest.to_owned()),
            None => (None, path),
        };
        let name = at.and_then(|at: usize| names.get(at)).copied().unwrap_or_default();
        invalid(format!("argument `{name}{rest}`: {}", error.into_inner()))
    })
}

/// Writes what a task that cannot fail gives.
#[doc(hidden)]
pub fn plain<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::new("invalid-result", error.to_string()))
}

/// Writes what a task gives that may fail.
#[doc(hidden)]
pub fn fallible<T: Serialize, E: Into<Failure>>(result: Result<T, E>) -> Result<String, Failure> {
    plain(&result.map_err(Into::into)?)
}

/// The schema of a type, where it derives one: method resolution looks at [`WithSchema`] first.
#[doc(hidden)]
pub struct SchemaOf<T>(std::marker::PhantomData<T>);

impl<T> SchemaOf<T> {
    #[allow(clippy::new_without_default, reason = "for the attribute alone")]
    pub const fn new() -> Self {
        SchemaOf(std::marker::PhantomData)
    }
}

#[doc(hidden)]
pub trait WithSchema {
    fn schema(&self) -> Value;
}

impl<T: schemars::JsonSchema> WithSchema for SchemaOf<T> {
    fn schema(&self) -> Value {
        // Whole in its place: a host puts it beside others.
        let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        settings.into_generator().into_root_schema_for::<T>().to_value()
    }
}

#[doc(hidden)]
pub trait WithoutSchema {
    fn schema(&self) -> Value;
}

impl<T> WithoutSchema for &SchemaOf<T> {
    fn schema(&self) -> Value {
        Value::Bool(true)
    }
}
