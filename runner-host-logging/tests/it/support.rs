//! What every test needs: a guest with its grant, and a subscriber that keeps what it hears.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use runner_core::{Bounds, Ending, Executor, Grants, Outcome, Program};
use runner_host_logging::Logging;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// An event of a guest as a subscriber hears it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) level: Level,
    pub(crate) message: String,
    /// All other fields.
    pub(crate) fields: BTreeMap<String, Value>,
    /// The spans that it stands in, the outermost first.
    pub(crate) spans: Vec<&'static str>,
}

impl Heard {
    pub(crate) fn field(&self, name: &str) -> &Value {
        self.fields.get(name).unwrap_or(&Value::Null)
    }
}

/// A layer that keeps events of guests.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Heard>>>);

impl Log {
    /// Hears what the rest of this test says, from this level on.
    pub(crate) fn hear(level: LevelFilter) -> (Self, DefaultGuard) {
        let log = Log::default();
        let subscriber = tracing_subscriber::registry().with(log.clone()).with(level);
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn all(&self) -> Vec<Heard> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.all().into_iter().map(|heard| heard.message).collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != runner_host_logging::TARGET {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").expect("every event says something");
        let spans = context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()).map(|span| span.name());
        self.0.lock().unwrap().push(Heard {
            level: *event.metadata().level(),
            message: message.as_str().expect("a text").to_owned(),
            fields: fields.0,
            spans: spans.collect(),
        });
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, Value>);

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), json!(value));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), json!(value));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), json!(format!("{value:?}")));
    }
}

pub(crate) fn executor(logging: Logging) -> Executor {
    let bounds = Bounds { calls: 16, queue: 64, ..Bounds::default() };
    Executor::builder().bounds(bounds).capability(logging).build().expect("it starts")
}

/// A guest that may log.
pub(crate) struct Lent {
    pub(crate) program: Program,
    pub(crate) logging: Logging,
    executor: Executor,
}

impl Lent {
    pub(crate) async fn new(grant: Value) -> Self {
        Self::guest("logger", grant).await
    }

    pub(crate) async fn guest(guest: &str, grant: Value) -> Self {
        let logging = Logging::new();
        let executor = executor(logging.clone());
        let grants = Grants::none().grant("logging", grant);
        let program = executor.load(runner_guests::get(guest), &grants).await.expect("the guest loads");
        Lent { program, logging, executor }
    }

    /// Another program of the same executor.
    pub(crate) async fn beside(&self, module: &[u8], grant: Value) -> Program {
        let grants = Grants::none().grant("logging", grant);
        self.executor.load(module, &grants).await.expect("the guest loads")
    }

    /// Logs one message so many times.
    pub(crate) async fn log(&self, level: &str, context: &str, message: &str, times: u32) -> Outcome {
        let outcome = self.outcome("log", json!([level, context, message, times])).await;
        assert_eq!(outcome.ending, Ending::Returned(json!(null)));
        outcome
    }

    pub(crate) async fn print(&self, out: &[u8], err: &[u8]) -> Outcome {
        let outcome = self.outcome("print", json!([out, err])).await;
        assert_eq!(outcome.ending, Ending::Returned(json!(null)));
        assert_eq!((outcome.stdout.as_slice(), outcome.stderr.as_slice()), (out, err), "the outcome has it all");
        outcome
    }

    pub(crate) async fn outcome(&self, function: &str, args: Value) -> Outcome {
        self.program.call(function).args(args).run().await.expect("the host does its part")
    }

    /// Drops the executor, which waits for what is still to be written.
    pub(crate) fn end(self) {
        drop((self.program, self.logging, self.executor));
    }
}
