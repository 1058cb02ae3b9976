//! From a request to an outcome: which export is meant, how it is called, within which limits.

use futures::FutureExt;
use runner_core::{Export, ExportKind, Limits, Program};
use tracing::Instrument;

use crate::account::Account;
use crate::api::{Outcome, Problem, Request};
use crate::server::Shared;

/// What is called.
enum Target {
    Function(String),
    Command,
}

impl Target {
    fn as_str(&self) -> &str {
        match self {
            Target::Function(function) => function,
            Target::Command => "_start",
        }
    }
}

/// Exports that a refusal lists.
const SHOWN_MAX: usize = 20;

/// Calls what the request names in a fresh instance. `name` is what a command finds in `argv[0]`.
pub(crate) async fn call(shared: &Shared, program: &Program, name: &str, request: Request) -> Result<Outcome, Problem> {
    request.check()?;
    let limits = request.limits.within(shared.executor.limits(), &shared.settings.limits_max)?;
    let target = target(program.exports(), request.function.as_deref())?;
    let called = target.as_str().to_owned();
    let run = match target {
        Target::Function(function) => run_function(program, function, limits, request)?.left_future(),
        Target::Command => run_command(program, name, limits, request)?.right_future(),
    };
    let account = Account::open(&shared.metrics, &program.id(), &called);
    let ended = run.instrument(account.span()).await;
    account.settle(ended.as_ref());
    Ok((&ended?).into())
}

type Ended = runner_core::Result<runner_core::Outcome>;

fn run_function(
    program: &Program,
    function: String,
    limits: Limits,
    request: Request,
) -> Result<impl Future<Output = Ended> + use<>, Problem> {
    if !request.args_cli.is_empty() {
        return Err(Problem::invalid(format!("export `{function}` is a function, which takes `args`, not `args_cli`")));
    }
    let mut call = program.call(function).args(request.args).limits(limits).stdin(request.stdin);
    for (name, value) in request.env {
        call = call.env(name, value);
    }
    if let Some(deterministic) = request.deterministic {
        call = call.deterministic(deterministic.into());
    }
    if let Some(key) = request.idempotency_key {
        call = call.idempotency_key(key);
    }
    if let Some(attempt) = request.attempt {
        call = call.attempt(attempt.get());
    }
    Ok(call.run())
}

fn run_command(
    program: &Program,
    name: &str,
    limits: Limits,
    request: Request,
) -> Result<impl Future<Output = Ended> + use<>, Problem> {
    let no_args = request.args.is_null() || request.args.as_array().is_some_and(Vec::is_empty);
    if !no_args {
        return Err(Problem::invalid("the export is a command, which takes `args_cli`, not `args`"));
    }
    let mut command = program.command().arg(name).args(request.args_cli).limits(limits).stdin(request.stdin);
    for (name, value) in request.env {
        command = command.env(name, value);
    }
    if let Some(deterministic) = request.deterministic {
        command = command.deterministic(deterministic.into());
    }
    if let Some(key) = request.idempotency_key {
        command = command.idempotency_key(key);
    }
    if let Some(attempt) = request.attempt {
        command = command.attempt(attempt.get());
    }
    Ok(command.run())
}

/// The export that is meant: the one that is named, or the only one that can be called.
fn target(exports: &[Export], named: Option<&str>) -> Result<Target, Problem> {
    let Some(named) = named else { return only_target(exports) };
    // A component's command answers to the name that core modules have for it, too.
    let is_named = |export: &&Export| export.name == named || named == "_start" && export.kind == ExportKind::Command;
    match exports.iter().find(is_named).map(|export| &export.kind) {
        Some(ExportKind::Command) => Ok(Target::Command),
        Some(ExportKind::Http) => Err(Problem::invalid(format!(
            "export `{named}` is an HTTP handler: send it requests at `/v1/modules/{{ref}}/http/`"
        ))),
        // What cannot be called, or is not there, the call itself refuses in better words.
        _ => Ok(Target::Function(named.to_owned())),
    }
}

/// A module's one command, whatever else it exports beside (a C library's `__main_void`); else its one function.
fn only_target(exports: &[Export]) -> Result<Target, Problem> {
    let commands = exports.iter().filter(|export| export.kind == ExportKind::Command).count();
    let functions: Vec<_> = exports.iter().filter(|export| matches!(export.kind, ExportKind::Function(_))).collect();
    match functions.as_slice() {
        _ if commands == 1 => Ok(Target::Command),
        [only] => Ok(Target::Function(only.name.clone())),
        [] if exports.iter().any(|export| export.kind == ExportKind::Http) => Err(Problem::invalid(
            "the module is an HTTP handler: store it, then send it requests at `/v1/modules/{ref}/http/`",
        )),
        [] => Err(Problem::invalid("the module exports nothing that can be called")),
        many => {
            let shown: Vec<_> = many.iter().take(SHOWN_MAX).map(|export| format!("`{}`", export.name)).collect();
            let more = if many.len() > SHOWN_MAX { ", .." } else { "" };
            let (count, shown) = (many.len(), shown.join(", "));
            Err(Problem::invalid(format!("`function` is missing, and there are {count}: {shown}{more}")))
        }
    }
}
