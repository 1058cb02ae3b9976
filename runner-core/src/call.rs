//! One call in a fresh instance: made up, checked, run.

use bytes::Bytes;
use serde_json::Value;

use crate::clock::now;
use crate::error::Result;
use crate::guest::{Arguments, exited_well, instantiate, invoke, weight};
use crate::limits::{LimitKind, Limits};
use crate::outcome::{Ending, Outcome, Usage};
use crate::program::Program;
use crate::session::{Session, Setting, after};
use crate::signature::Entry;

/// What any call may be given.
macro_rules! settings {
    () => {
        /// What the call may use. Default: the executor's limits.
        pub fn limits(mut self, limits: crate::Limits) -> Self {
            self.setting.limits = limits;
            self
        }

        /// Clocks and random numbers that are the same in every run.
        pub fn deterministic(mut self, deterministic: crate::Deterministic) -> Self {
            self.setting.stdio.deterministic = Some(deterministic);
            self
        }

        /// One variable of the guest's environment. It sees no other.
        pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.setting.stdio.env.push((name.into(), value.into()));
            self
        }

        /// The caller's key for work that must not be done twice; capabilities see it.
        pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
            self.setting.idempotency_key = Some(key.into());
            self
        }

        /// Which attempt at the same work this is, from 1.
        pub fn attempt(mut self, attempt: u32) -> Self {
            self.setting.attempt = Some(attempt);
            self
        }
    };
}
pub(crate) use settings;

/// A call of a function, to be made up and run.
#[must_use = "a call does nothing until `run`"]
#[derive(Clone, Debug)]
pub struct Call {
    program: Program,
    function: Chosen,
    args: Value,
    setting: Setting,
}

impl Call {
    pub(crate) fn new(program: Program, function: &str) -> Self {
        let setting = Setting { limits: program.executor().limits().clone(), ..Setting::default() };
        let function = Chosen::of(&program, function);
        Call { program, function, args: Value::Null, setting }
    }

    /// The arguments, as an array in order or as an object by name.
    pub fn args(mut self, args: impl Into<Value>) -> Self {
        self.args = args.into();
        self
    }

    /// What the guest reads from its standard input. Default nothing.
    pub fn stdin(mut self, stdin: impl Into<Bytes>) -> Self {
        self.setting.stdio.stdin = stdin.into();
        self
    }

    settings!();

    /// Runs the call in a fresh instance.
    ///
    /// Dropping the future stops the guest. A guest that fails, traps or meets a limit is `Ok`: see [`Ending`].
    ///
    /// # Errors
    /// `NotFound` for an export that is not there, `Invalid` for arguments that do not fit, `Unavailable` where no place
    /// came free; and what a capability says that cannot open or close, then with the outcome in
    /// [`Error::outcome`](crate::Error::outcome).
    pub async fn run(self) -> Result<Outcome> {
        let entry = self.function.entry(&self.program)?;
        // Weighed before it is read: values take more room than their JSON.
        if weight(&self.args).saturating_add(self.setting.stdio.bytes()) > self.setting.limits.input_bytes {
            return Ok(refused(&self.program, &self.setting.limits));
        }
        let mut args = Arguments::read(entry, &self.args)?;
        if let Arguments::Task(work) = &mut args {
            let Setting { idempotency_key, attempt, limits, .. } = &self.setting;
            work.asked_by(idempotency_key.as_deref(), *attempt, limits.deadline);
        }
        run(&self.program, entry, &args, &self.setting).await
    }
}

/// A function by its place among the entries; by name only where there is none, for the error.
#[derive(Clone, Debug)]
pub(crate) enum Chosen {
    At(usize),
    Unknown(String),
}

impl Chosen {
    pub(crate) fn of(program: &Program, function: &str) -> Self {
        match program.surface().entries.get_index_of(function) {
            Some(at) => Chosen::At(at),
            None => Chosen::Unknown(function.to_owned()),
        }
    }

    pub(crate) fn entry<'a>(&self, program: &'a Program) -> Result<&'a Entry> {
        match self {
            Chosen::At(at) => Ok(&program.surface().entries[*at]),
            Chosen::Unknown(function) => program.entry(function),
        }
    }
}

/// A run of a command, to be made up.
#[must_use = "a command does nothing until `run`"]
#[derive(Clone, Debug)]
pub struct Command {
    program: Program,
    setting: Setting,
}

impl Command {
    pub(crate) fn new(program: Program) -> Self {
        let setting = Setting { limits: program.executor().limits().clone(), ..Setting::default() };
        Command { program, setting }
    }

    /// One more argument. The first, by custom, is the program's name.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.setting.stdio.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.setting.stdio.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// What the guest reads from its standard input. Default nothing.
    pub fn stdin(mut self, stdin: impl Into<Bytes>) -> Self {
        self.setting.stdio.stdin = stdin.into();
        self
    }

    settings!();

    /// Runs the command in a fresh instance. Exit code 0 is `Returned(null)`, any other `Failed` with the code.
    ///
    /// # Errors
    /// As [`Call::run`].
    pub async fn run(self) -> Result<Outcome> {
        let entry = self.program.find_entry("command", |entry| matches!(entry, Entry::Start(_) | Entry::Run(_)))?;
        if self.setting.stdio.bytes() > self.setting.limits.input_bytes {
            return Ok(refused(&self.program, &self.setting.limits));
        }
        run(&self.program, entry, &Arguments::None, &self.setting).await
    }
}

async fn run(program: &Program, entry: &Entry, args: &Arguments, setting: &Setting) -> Result<Outcome> {
    let mut session = Session::open(program, setting).await?;
    session.bound_copies(expansion(entry));
    let mut took = None;
    let ran = session
        .watch(async |store, started| {
            let live = instantiate(program, store).await;
            took = Some(now() - started);
            invoke(live?, store, entry, args, setting.limits.output_bytes).await
        })
        .await;
    session.instantiated(took);
    let ran = ran.map(|ending| within_output(&session, ending));
    match session.end(ran) {
        (ended, None) => ended,
        (ended, Some(closing)) => after(ended, closing).await,
    }
}

/// How much more than its JSON a result of this entry may weigh in the engine's values.
pub(crate) fn expansion(entry: &Entry) -> u64 {
    match entry {
        Entry::Component { expansion, .. } => *expansion,
        _ => 1,
    }
}

/// Holds a result against what the call may put out beside what it printed. A result that was too large to be written
/// down at all is `None`.
pub(crate) fn within_output(session: &Session, ending: Ending<Option<Ending>>) -> Ending {
    let ending = match ending {
        Ending::Returned(Some(inner)) => exited_well(inner),
        Ending::Returned(None) => return session.exhausted(LimitKind::Output),
        other => exited_well(other.map(|_| Value::Null)),
    };
    let weight = match &ending {
        Ending::Returned(Value::Null) => 0,
        Ending::Returned(value) => weight(value),
        Ending::Failed(failure) => {
            (failure.code.len() + failure.message.len()) as u64 + failure.value.as_ref().map_or(0, weight)
        }
        _ => 0,
    };
    match session.tally.output.spend(weight) {
        true => ending,
        false => session.exhausted(LimitKind::Output),
    }
}

/// The outcome of a call whose input is over its limit: nothing ran.
pub(crate) fn refused(program: &Program, limits: &Limits) -> Outcome {
    let limit = limits.allowed(LimitKind::Input, program.executor().bounds());
    Outcome {
        call_id: program.executor().next_call(),
        ending: Ending::Exhausted(limit),
        usage: Usage::default(),
        stdout: Vec::new(),
        stderr: Vec::new(),
    }
}
