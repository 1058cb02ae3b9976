//! Tasks: who asks for them, and how `#[runner::task]` functions are found, described and run.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::marker::PhantomData;

use schemars::generate::Contract;
use serde::{Deserialize, Serialize};
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

/// Who asks for the task that runs now; `None` outside of one, as in a test that calls the function itself, and in an HTTP
/// handler: a request has no place for it but headers.
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

/// The arguments of one call, taken one by one.
#[doc(hidden)]
pub struct Arguments {
    names: std::slice::Iter<'static, &'static str>,
    values: std::vec::IntoIter<Value>,
}

impl Arguments {
    /// Reads a JSON array with a value for each name.
    pub fn read(names: &'static [&'static str], text: &str) -> Result<Self, Failure> {
        let values: Vec<Value> =
            serde_json::from_str(text).map_err(|error| invalid(format!("expected a JSON array: {error}")))?;
        if values.len() != names.len() {
            let (expected, found) = (names.len(), values.len());
            return Err(invalid(format!("expected {expected} arguments ({}), found {found}", names.join(", "))));
        }
        Ok(Arguments { names: names.iter(), values: values.into_iter() })
    }

    // Not `DeserializeOwned`, of whose lack the compiler does not say what to write.
    pub fn take<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, Failure> {
        let (name, value) = (self.names.next().copied(), self.values.next());
        serde_path_to_error::deserialize(value.unwrap_or_default()).map_err(|error| {
            let (name, path) = (name.unwrap_or_default(), error.path().to_string());
            let within = match path.as_str() {
                "." => String::new(),
                path if path.starts_with('[') => path.to_owned(),
                path => format!(".{path}"),
            };
            invalid(format!("argument `{name}{within}`: {}", error.into_inner()))
        })
    }
}

fn invalid(message: String) -> Failure {
    Failure::new("invalid-arguments", message)
}

/// Writes what a task gives.
#[doc(hidden)]
pub fn written<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::new("invalid-result", error.to_string()))
}

/// What a task gave: a `Result`, under whatever name, or something else. Method resolution looks at [`MayFail`] first.
#[doc(hidden)]
pub struct Answered<T>(Cell<Option<T>>);

impl<T> Answered<T> {
    pub fn new(answer: T) -> Self {
        Answered(Cell::new(Some(answer)))
    }

    fn take(&self) -> T {
        self.0.take().expect("it is split once")
    }
}

#[doc(hidden)]
pub trait MayFail<T, E> {
    fn split(self) -> Result<T, E>;
}

impl<T, E> MayFail<T, E> for Answered<Result<T, E>> {
    fn split(self) -> Result<T, E> {
        self.take()
    }
}

#[doc(hidden)]
pub trait CannotFail<T> {
    fn split(self) -> Result<T, Infallible>;
}

impl<T> CannotFail<T> for &Answered<T> {
    fn split(self) -> Result<T, Infallible> {
        Ok(self.take())
    }
}

/// The error of a task, on its way to a [`Failure`]. Method resolution looks at [`IsFailure`] first.
#[doc(hidden)]
pub struct Refused<E>(Cell<Option<E>>);

impl<E> Refused<E> {
    pub fn new(error: E) -> Self {
        Refused(Cell::new(Some(error)))
    }
}

/// What it has become: of an `E`, a [`Failure`] or none.
#[doc(hidden)]
pub struct Told<E, F>(F, PhantomData<E>);

#[doc(hidden)]
pub struct NoFailure;

#[doc(hidden)]
pub trait IsFailure<E> {
    fn told(self) -> Told<E, Failure>;
}

impl<E: Into<Failure>> IsFailure<E> for Refused<E> {
    fn told(self) -> Told<E, Failure> {
        Told(self.0.take().expect("it is told once").into(), PhantomData)
    }
}

#[doc(hidden)]
pub trait IsNoFailure<E> {
    fn told(self) -> Told<E, NoFailure>;
}

impl<E> IsNoFailure<E> for &Refused<E> {
    fn told(self) -> Told<E, NoFailure> {
        Told(NoFailure, PhantomData)
    }
}

/// For the words of the compiler alone.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a task says no with a `runner::Failure` or an error, and `{E}` is neither",
    label = "write `runner::Failure` in the place of `{E}`, or implement `std::error::Error` for it",
    note = "`.map_err(|error| Failure::new(\"a-code\", error.to_string()))` makes a failure of anything that has words"
)]
pub trait SaysNo<E> {
    fn failure(self) -> Failure;
}

impl<E> SaysNo<E> for Failure {
    fn failure(self) -> Failure {
        self
    }
}

#[doc(hidden)]
pub fn said_no<E, F: SaysNo<E>>(told: Told<E, F>) -> Failure {
    told.0.failure()
}

/// The schema of a type, where it derives one: method resolution looks at [`WithSchema`] first. One that is taken is
/// another than one that is given, where serde has them differ.
#[doc(hidden)]
pub struct SchemaOf<T>(Contract, PhantomData<T>);

impl<T> SchemaOf<T> {
    pub fn taken() -> Self {
        SchemaOf(Contract::Deserialize, PhantomData)
    }

    pub fn given() -> Self {
        SchemaOf(Contract::Serialize, PhantomData)
    }
}

/// Of what a task gives, what it gives where it does not fail. Method resolution looks at it first.
#[doc(hidden)]
pub trait Successful<T> {
    fn successful(self) -> SchemaOf<T>;
}

impl<T, E> Successful<T> for SchemaOf<Result<T, E>> {
    fn successful(self) -> SchemaOf<T> {
        SchemaOf(self.0, PhantomData)
    }
}

#[doc(hidden)]
pub trait Successfully<T> {
    fn successful(self) -> SchemaOf<T>;
}

impl<T> Successfully<T> for &SchemaOf<T> {
    fn successful(self) -> SchemaOf<T> {
        SchemaOf(self.0.clone(), PhantomData)
    }
}

#[doc(hidden)]
pub trait WithSchema {
    fn schema(&self) -> Value;
}

impl<T: schemars::JsonSchema> WithSchema for SchemaOf<T> {
    fn schema(&self) -> Value {
        // Whole in its place: a host puts it beside others. What contains itself refers to itself all the same.
        let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
            settings.contract = self.0.clone();
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
