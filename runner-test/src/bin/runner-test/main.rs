//! Runs a program that was built for `wasm32-wasip1` or `wasm32-wasip2`: what `cargo test` calls in place of it.
//!
//! Tests of Rust's own harness run one at a time (`harness.rs`); any other program runs once, with its arguments, its output
//! and its exit code. What it may use stands in `settings.rs`.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

mod console;
mod harness;
mod settings;
mod stores;

use std::fmt;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use runner_core::{Command, Ending, ErrorKind, Executor, Limits, LocalStore, Outcome, Program};
use runner_host_config::Config;
use runner_host_fs::HostFs;
use runner_host_http::{Http, Secrets};
use runner_host_kv::Kv;
use runner_host_logging::Logging;
use tracing_subscriber::EnvFilter;

use crate::console::Console;
use crate::harness::{Asked, Report};
use crate::settings::Settings;
use crate::stores::{Renewed, RenewedFiles};

/// What Rust's harness exits with where a test failed.
const TESTS_FAILED: u8 = 101;

/// A trap, as a shell shows a program that was aborted: 128 and SIGABRT.
const TRAPPED: u8 = 134;
/// A limit, as a shell shows a program that was killed: 128 and SIGKILL.
const EXHAUSTED: u8 = 137;
/// The module could not be run.
const NOT_RUN: u8 = 2;

/// Runs tests of a Runner guest, built for wasm32-wasip1 or wasm32-wasip2.
///
/// For cargo, in `.cargo/config.toml`:
///
///     [target.wasm32-wasip2]
///     runner = ["runner-test", "--grant", "kv"]
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// The file that says what the tests may use [default: `runner-test.toml` beside `Cargo.toml`, where there is one]
    #[arg(long, value_name = "FILE", env = "RUNNER_TEST_CONFIG")]
    config: Option<PathBuf>,
    /// Grants a capability: `kv` (one store in memory, named `default`), `fs` (files in memory, at `/data`), `logging`, or
    /// `ID=JSON`. May be given several times
    #[arg(long = "grant", value_name = "ID[=JSON]", env = "RUNNER_TEST_GRANT")]
    grants: Vec<String>,
    /// Seconds that a test may take [default: 120]
    #[arg(long, value_name = "SECONDS", env = "RUNNER_TEST_DEADLINE")]
    deadline: Option<u64>,
    /// Runs the program once, as it is: a panic then ends it, and the tests after that are not run
    #[arg(long, env = "RUNNER_TEST_WHOLE")]
    whole: bool,
    /// The test program
    #[arg(value_name = "MODULE")]
    module: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Why nothing ran.
#[derive(Debug)]
struct NotRun(String);

impl<E: fmt::Display> From<E> for NotRun {
    fn from(error: E) -> Self {
        NotRun(error.to_string())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // What guests log, and why the host refuses something: as `RUST_LOG` asks for it, which is errors alone by default.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .init();
    run(&arguments).unwrap_or_else(|NotRun(why)| {
        eprintln!("runner-test: {why}");
        ExitCode::from(NOT_RUN)
    })
}

#[tokio::main(flavor = "current_thread")]
async fn run(arguments: &Arguments) -> Result<ExitCode, NotRun> {
    let module = &arguments.module;
    let wasm = std::fs::read(module).map_err(|error| format!("`{}` cannot be read: {error}", module.display()))?;
    let bench = Bench::new(arguments, &wasm).await?;
    let exit = match Asked::read(&arguments.arguments).filter(|_| !arguments.whole && harness::is_in(&wasm)) {
        Some(asked) => bench.each(&asked).await,
        None => bench.whole(&arguments.arguments).await,
    };
    bench.executor.shutdown().await;
    exit
}

/// A program, with what it is run with.
struct Bench {
    executor: Executor,
    program: Program,
    settings: Settings,
    limits: Limits,
    /// The program's name, which says nothing of where on this machine it lies.
    name: String,
    console: Console,
    stores: Renewed,
    files: RenewedFiles,
}

impl Bench {
    async fn new(arguments: &Arguments, wasm: &[u8]) -> Result<Self, NotRun> {
        let settings = settings(arguments)?;
        let (console, stores, files) = (Console::default(), Renewed::default(), RenewedFiles::default());
        let executor = executor(&arguments.module, &console, &stores, &files)?;
        let grants = settings.grants.clone();
        executor.check(&grants)?;
        let program = executor.load(wasm, &grants.grant(Console::ID, ())).await.map_err(|error| {
            let next = match error.kind() {
                ErrorKind::Denied => "\nwrite grants in `runner-test.toml`, or after `--grant`, as in `--grant kv`",
                _ => "",
            };
            format!("{error}{next}")
        })?;
        let mut limits = settings.limits();
        if let Some(seconds) = arguments.deadline {
            limits.deadline = Duration::from_secs(seconds);
        }
        let name = arguments.module.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Bench { executor, program, settings, limits, name, console, stores, files })
    }

    fn command(&self, arguments: &[String]) -> Command {
        let mut command = self.program.command().limits(self.limits.clone()).arg(&self.name).args(arguments);
        // One that is not Unicode is none that a guest could have.
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        for (name, value) in variables {
            if settings::is_for_tests(&name) || self.settings.env.contains(&name) {
                command = command.env(name, value);
            }
        }
        command
    }

    /// Runs the program once, as it is.
    async fn whole(&self, arguments: &[String]) -> Result<ExitCode, NotRun> {
        let mut command = self.command(arguments);
        if self.settings.stdin {
            let mut stdin = Vec::new();
            std::io::stdin().read_to_end(&mut stdin)?;
            command = command.stdin(stdin);
        }
        Ok(exit_code(&command.run().await?))
    }

    /// Runs the tests that are asked for, each in an instance of its own that finds its stores and files empty.
    async fn each(&self, asked: &Asked) -> Result<ExitCode, NotRun> {
        self.console.keep();
        let tests = self.list(&asked.list()).await?;
        let all = match asked.chooses() {
            true => self.list(&Asked::default().list()).await?.len(),
            false => tests.len(),
        };
        println!("\nrunning {} test{}", tests.len(), if tests.len() == 1 { "" } else { "s" });
        let (mut report, mut took) = (Report::default(), Duration::ZERO);
        for test in &tests {
            if !asked.is_quiet {
                print!("test {test} ... ");
                std::io::stdout().flush()?;
            }
            self.stores.renew();
            self.files.renew();
            self.console.keep();
            let outcome = self.command(&asked.one(test)).run().await?;
            took += outcome.usage.wall;
            let (verdict, output) = harness::judge(test, &outcome, &self.console.keep());
            let word = report.add(test, &verdict, output, asked.shows_output);
            match asked.is_quiet {
                true => print!("{}", word.chars().next().map_or('.', |first| if first == 'o' { '.' } else { first })),
                false => println!("{word}"),
            }
        }
        if asked.is_quiet && !tests.is_empty() {
            println!();
        }
        print!("{}", report.end(all.saturating_sub(tests.len()), took.as_secs_f64()));
        Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(TESTS_FAILED) })
    }

    async fn list(&self, arguments: &[String]) -> Result<Vec<String>, NotRun> {
        let outcome = self.command(arguments).run().await?;
        let found = match &outcome.ending {
            Ending::Returned(_) => harness::listed(&outcome.stdout),
            _ => None,
        };
        found.ok_or_else(|| {
            let (ending, said) = (&outcome.ending, String::from_utf8_lossy(&outcome.stderr));
            NotRun(format!("the program does not list its tests ({ending:?}): `--whole` runs it as it is\n{said}"))
        })
    }
}

fn settings(arguments: &Arguments) -> Result<Settings, NotRun> {
    let beside = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default().join(settings::FILE);
    let path = match &arguments.config {
        Some(path) => Some(path),
        None => beside.exists().then_some(&beside),
    };
    let mut settings = match path {
        Some(path) => {
            let shown = path.display();
            let text = std::fs::read_to_string(path).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
            Settings::parse(&text).map_err(|error| format!("`{shown}`: {error}"))?
        }
        None => Settings::default(),
    };
    for grant in &arguments.grants {
        settings.grant(grant)?;
    }
    Ok(settings)
}

/// An executor with what can be granted here.
fn executor(module: &Path, console: &Console, stores: &Renewed, files: &RenewedFiles) -> Result<Executor, NotRun> {
    let mut builder = Executor::builder()
        .bounds(settings::bounds())
        .capability(console.clone())
        .capability(Kv::new(stores.clone()))
        .capability(HostFs::new().volume("tests", files.clone()))
        .capability(Http::new().secrets(Secrets::from_environment()?))
        .capability(Config::default())
        .capability(Logging::new());
    // Tests run again and again; what nobody changed is not compiled again.
    if let Some(folder) = target_folder(module)
        && let Ok(store) = LocalStore::open(folder.join("runner-test"))
    {
        builder = builder.local_store(store.bytes_max(CODE_BYTES_MAX));
    }
    Ok(builder.build()?)
}

/// Compiled tests that are kept in the target folder; each is some times its module's code.
const CODE_BYTES_MAX: u64 = 1 << 30;

/// Cargo's target folder, which is where it marked one.
fn target_folder(module: &Path) -> Option<PathBuf> {
    let module = module.canonicalize().ok()?;
    module.ancestors().skip(1).filter(|folder| folder.join("CACHEDIR.TAG").exists()).last().map(Path::to_owned)
}

/// The program's own exit code; where it came to none, one that says why.
fn exit_code(outcome: &Outcome) -> ExitCode {
    match &outcome.ending {
        Ending::Returned(_) => ExitCode::SUCCESS,
        Ending::Failed(failure) => match failure.exit_code.map(u8::try_from) {
            Some(Ok(code)) => ExitCode::from(code),
            // No system passes on more than a byte.
            _ => ExitCode::FAILURE,
        },
        Ending::Trapped(trap) => {
            eprintln!("runner-test: the guest trapped: {trap}");
            ExitCode::from(TRAPPED)
        }
        Ending::Exhausted(limit) => {
            eprintln!(
                "runner-test: the guest met its limit on {limit}; `[limits]` in `{}` sets another",
                settings::FILE
            );
            ExitCode::from(EXHAUSTED)
        }
        other => {
            eprintln!("runner-test: the guest was stopped: {other:?}");
            ExitCode::from(NOT_RUN)
        }
    }
}
