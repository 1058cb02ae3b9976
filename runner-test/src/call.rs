//! Calls of a loaded guest, and what came of them, with the words in which a test says what it expects.

use std::fmt::{self, Write};
use std::future::IntoFuture;
use std::pin::Pin;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use runner_core::{CapabilityUsage, Ending, Failure, HttpCall, HttpReply, LimitKind, Limits, Outcome, Trap};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::instrument::WithSubscriber;

use crate::error::Result;
use crate::host::Host;
use crate::server::read;

/// A guest that was loaded. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Program {
    program: runner_core::Program,
    host: Host,
}

impl Program {
    pub(crate) fn new(program: runner_core::Program, host: Host) -> Self {
        Program { program, host }
    }

    /// A call of a function or task, with its arguments as an array in order or as an object by name.
    pub fn call(&self, function: &str, arguments: impl Into<Value>) -> Run {
        let call = Some(self.program.call(function).args(arguments));
        self.run(format!("call of `{function}`"), Made::Call(call))
    }

    /// A run of the guest's command. The program's name is put before the arguments.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Run {
        let command = self.program.command().arg("guest").args(arguments);
        self.run("run of the command".to_owned(), Made::Command(Some(command)))
    }

    /// A request to the guest's HTTP handler; the answer is read whole.
    ///
    /// What the handler logs is not collected: it runs on a task of its own, out of reach of the host's log.
    pub fn request(&self, request: http::Request<impl Into<Bytes>>) -> Run {
        let what = format!("request `{} {}`", request.method(), request.uri());
        let request = request.map(|body| Full::new(body.into()));
        self.run(what, Made::Http(Some(self.program.http(request))))
    }

    /// A GET request to the guest's HTTP handler, by a path.
    ///
    /// # Panics
    /// Where the path is none.
    #[track_caller]
    pub fn get(&self, path: &str) -> Run {
        let request = http::Request::get(path).body(Bytes::new());
        self.request(request.unwrap_or_else(|error| panic!("path `{path}` is none: {error}")))
    }

    /// The program beneath, for what this kit has no word for.
    pub fn core(&self) -> &runner_core::Program {
        &self.program
    }

    fn run(&self, what: String, made: Made) -> Run {
        let run = Run { what, made, host: self.host.clone() };
        match self.host.deterministic() {
            Some(deterministic) => run.map(
                |call| call.deterministic(deterministic),
                |command| command.deterministic(deterministic),
                |http| http.deterministic(deterministic),
            ),
            None => run,
        }
    }
}

/// What is run; `None` only while a setting is made.
enum Made {
    Call(Option<runner_core::Call>),
    Command(Option<runner_core::Command>),
    Http(Option<HttpCall<Full<Bytes>>>),
}

/// A run of a guest, to be made up and awaited: `program.call("add", json!([1])).await?`.
#[must_use = "a run does nothing until it is awaited"]
pub struct Run {
    what: String,
    made: Made,
    host: Host,
}

impl Run {
    fn map(
        mut self,
        call: impl FnOnce(runner_core::Call) -> runner_core::Call,
        command: impl FnOnce(runner_core::Command) -> runner_core::Command,
        http: impl FnOnce(HttpCall<Full<Bytes>>) -> HttpCall<Full<Bytes>>,
    ) -> Self {
        match &mut self.made {
            Made::Call(made) => *made = made.take().map(call),
            Made::Command(made) => *made = made.take().map(command),
            Made::Http(made) => *made = made.take().map(http),
        }
        self
    }

    /// What the run may use. Default: what the host says.
    pub fn limits(self, limits: Limits) -> Self {
        let (one, two) = (limits.clone(), limits.clone());
        self.map(|call| call.limits(limits), |command| command.limits(one), |http| http.limits(two))
    }

    /// One variable of the guest's environment.
    pub fn env(self, name: &str, value: &str) -> Self {
        self.map(|call| call.env(name, value), |command| command.env(name, value), |http| http.env(name, value))
    }

    /// What the guest reads from its standard input; an HTTP handler has none.
    pub fn stdin(self, stdin: impl Into<Bytes>) -> Self {
        let stdin = stdin.into();
        let other = stdin.clone();
        self.map(|call| call.stdin(stdin), |command| command.stdin(other), |http| http)
    }

    /// The caller's key for work that must not be done twice.
    pub fn idempotency_key(self, key: &str) -> Self {
        self.map(
            |call| call.idempotency_key(key),
            |command| command.idempotency_key(key),
            |http| http.idempotency_key(key),
        )
    }

    /// Which attempt at the same work it is, from 1.
    pub fn attempt(self, attempt: u32) -> Self {
        self.map(|call| call.attempt(attempt), |command| command.attempt(attempt), |http| http.attempt(attempt))
    }

    async fn done(self) -> Result<Done> {
        let Run { what, made, host } = self;
        let run = async {
            Ok(match made {
                Made::Call(Some(call)) => (call.run().await?, None),
                Made::Command(Some(command)) => (command.run().await?, None),
                Made::Http(Some(http)) => answered(http.send().await?).await?,
                Made::Call(None) | Made::Command(None) | Made::Http(None) => {
                    unreachable!("it is there between two settings")
                }
            })
        };
        let ran: runner_core::Result<_> = match host.collected() {
            Some(logs) => {
                let ran = run.with_subscriber(logs.dispatch()).await;
                host.flush().await;
                ran
            }
            None => run.await,
        };
        let (outcome, response) = ran?;
        Ok(Done { what, outcome, response })
    }
}

impl IntoFuture for Run {
    type Output = Result<Done>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Done>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.done())
    }
}

/// Reads an answer to its end. A body that breaks off ends as the guest did.
async fn answered(reply: HttpReply) -> runner_core::Result<(Outcome, Option<Response<Bytes>>)> {
    match reply {
        HttpReply::Answered { response, ended } => {
            let (head, body) = response.into_parts();
            let body = body.collect().await;
            let outcome = ended.outcome().await?.map(|()| Value::Null);
            let response = body.ok().map(|body| Response::from_parts(head, body.to_bytes()));
            Ok((outcome, response))
        }
        HttpReply::Unanswered(outcome) => Ok((outcome.map(|()| Value::Null), None)),
        _ => Err(runner_core::Error::new(
            runner_core::ErrorKind::Internal,
            "the reply is of a kind that this kit does not know",
        )),
    }
}

/// What a guest did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Done {
    what: String,
    /// How it ended, what it cost, and what it printed.
    pub outcome: Outcome,
    /// What an HTTP handler has answered, where it came to the end of it.
    pub response: Option<Response<Bytes>>,
}

impl Done {
    /// Holds what the guest returned against what was expected.
    ///
    /// # Panics
    /// Where it returned something else, or ended in another way; with all that is known of the run.
    #[track_caller]
    pub fn assert_returned(&self, expected: impl Into<Value>) -> &Self {
        let expected = expected.into();
        match &self.outcome.ending {
            Ending::Returned(found) if *found == expected => self,
            _ => self.refuse(&format!("returned {expected}")),
        }
    }

    /// What the guest returned, read from JSON.
    ///
    /// # Panics
    /// Where it is of another type, or the guest ended in another way.
    #[track_caller]
    pub fn returned<T: DeserializeOwned>(&self) -> T {
        let expected = format!("returned a `{}`", std::any::type_name::<T>());
        match &self.outcome.ending {
            Ending::Returned(found) => match T::deserialize(found) {
                Ok(value) => value,
                Err(error) => self.refuse(&format!("{expected}: {error}")),
            },
            _ => self.refuse(&expected),
        }
    }

    /// Expects that the guest said no, with a code: that of its failure, the case of its error, `error` where it gave words
    /// alone, `exit` for an exit code.
    ///
    /// # Panics
    /// Where it did not.
    #[track_caller]
    pub fn assert_failed(&self, code: &str) -> &Failure {
        match &self.outcome.ending {
            Ending::Failed(failure) if failure.code == code => failure,
            _ => self.refuse(&format!("failed with code `{code}`")),
        }
    }

    /// Expects that the guest trapped, with a code such as `unreachable`.
    ///
    /// # Panics
    /// Where it did not.
    #[track_caller]
    pub fn assert_trapped(&self, code: &str) -> &Trap {
        match &self.outcome.ending {
            Ending::Trapped(trap) if trap.code == code => trap,
            _ => self.refuse(&format!("trapped with code `{code}`")),
        }
    }

    /// Expects that the guest met a limit.
    ///
    /// # Panics
    /// Where it met none, or another.
    #[track_caller]
    pub fn assert_exhausted(&self, kind: LimitKind) -> &Self {
        match &self.outcome.ending {
            Ending::Exhausted(limit) if limit.kind == kind => self,
            _ => self.refuse(&format!("met its limit on {kind}")),
        }
    }

    /// Holds the status that an HTTP handler answered with against what was expected.
    ///
    /// # Panics
    /// Where it is another, or there was no answer.
    #[track_caller]
    pub fn assert_status(&self, expected: u16) -> &Self {
        match self.response.as_ref().map(Response::status) {
            Some(found) if found.as_u16() == expected => self,
            found => {
                let found = found.as_ref().map_or("no answer", StatusCode::as_str);
                self.refuse(&format!("answered with {expected}, found {found}"))
            }
        }
    }

    /// What an HTTP handler answered.
    ///
    /// # Panics
    /// Where it did not.
    #[track_caller]
    pub fn response(&self) -> &Response<Bytes> {
        match &self.response {
            Some(response) => response,
            None => self.refuse("answered"),
        }
    }

    /// The body of what an HTTP handler answered, as text; of what is not UTF-8 the rest.
    ///
    /// # Panics
    /// Where it did not answer.
    #[track_caller]
    pub fn body(&self) -> String {
        String::from_utf8_lossy(self.response().body()).into_owned()
    }

    /// The body of what an HTTP handler answered, read from JSON.
    ///
    /// # Panics
    /// Where it did not answer, or with something else.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        read(&self.what, self.response().body())
    }

    /// What the guest printed to its standard output.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.outcome.stdout).into_owned()
    }

    /// What the guest printed to its standard error.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.outcome.stderr).into_owned()
    }

    /// Holds the guest's standard output against what was expected, white space around both left out.
    ///
    /// # Panics
    /// Where it is something else.
    #[track_caller]
    pub fn assert_printed(&self, expected: &str) -> &Self {
        match self.stdout().trim() == expected.trim() {
            true => self,
            false => self.refuse(&format!("printed {:?}", expected.trim())),
        }
    }

    /// What a capability did for the guest, by its id: host calls, bytes in and out. Zeros where it was never called.
    pub fn used(&self, capability: &str) -> CapabilityUsage {
        let used = self.outcome.usage.capabilities.iter().find(|(id, _)| id == capability);
        used.map(|(_, usage)| usage.clone()).unwrap_or_default()
    }

    #[track_caller]
    fn refuse(&self, expected: &str) -> ! {
        panic!("{}\n  expected: {expected}\n{self}", self.what)
    }
}

/// What is known of the run, line by line.
impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = match &self.outcome.ending {
            Ending::Returned(value) => format!("returned {value}"),
            Ending::Failed(failure) => format!("failed with code `{}`: {}", failure.code, failure.message),
            Ending::Trapped(trap) => format!("trapped with code `{}`: {trap}", trap.code),
            Ending::Exhausted(limit) => format!("met its limit on {limit}"),
            other => format!("{other:?}"),
        };
        writeln!(f, "  found:    {}", indented(&ending))?;
        if let Some(response) = &self.response {
            let body = String::from_utf8_lossy(response.body());
            writeln!(f, "  answered: {} {}", response.status(), indented(&body))?;
        }
        for (name, text) in [("stdout:  ", self.stdout()), ("stderr:  ", self.stderr())] {
            if !text.is_empty() {
                writeln!(f, "  {name} {}", indented(text.trim_end()))?;
            }
        }
        write!(f, "  usage:    {}", self.outcome.usage)
    }
}

/// Lines that stand below the first.
fn indented(text: &str) -> String {
    /// Lines shown.
    const LINES: usize = 40;
    let mut lines = text.lines();
    let mut shown = lines.next().unwrap_or_default().to_owned();
    for line in lines.by_ref().take(LINES) {
        let _ = write!(shown, "\n            {line}");
    }
    match lines.count() {
        0 => shown,
        more => shown + &format!("\n            and {more} lines more"),
    }
}
