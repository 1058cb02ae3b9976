//! The server's program: reads the command line, opens directories, plugs the parts together, serves until it is told to
//! end. With the hidden command `compile` it is its own compiler: a child that can be killed.

use std::fs;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use clap::{Args, Parser, Subcommand};
use http::HeaderValue;
use runner_core::{Bounds, Builder, Compile, CompilerProcess, Executor, Limits, LocalStore};
use runner_host_config::Config;
use runner_host_fs::{HostFs, S3Cache};
use runner_host_http::{Http, Secrets};
use runner_host_kv::{Kv, MemoryStore, SqliteStore};
use runner_server::{
    Capacity, Flows, Lending, Place, Server, Settings, Store, Token, Traces, app, bounds, limits_max, serve,
};
use runner_workflow::store::SqliteStore as Executions;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Time for requests under way once the server is told to end.
const GRACE: Duration = Duration::from_secs(30);

/// Runs WebAssembly modules for whoever asks over HTTP.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Internal>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Internal {
    /// Compiles one module from standard input to standard output.
    #[command(hide = true)]
    Compile,
}

#[derive(Args)]
struct Options {
    /// Where to listen. Any address but a loopback one wants a token
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where modules and compiled code are kept [default: runner-server in the user's data directory]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What callers must show as `Authorization: Bearer TOKEN`. Others on this machine can read a command line: prefer
    /// the variable or the file
    #[arg(long, env = "RUNNER_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// A file with the token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Secrets that the host fills in for modules that are granted them: a file of lines NAME=value, mode 0600. The
    /// variable RUNNER_SECRET_NAME is the secret NAME, too
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Where the files of modules are kept: dir:PATH, a directory of this machine, or s3://BUCKET/PREFIX?endpoint=URL, a bucket,
    /// with the credentials that other tools for S3 find [default: the directory `files` in the data directory]
    #[arg(long, value_name = "WHERE")]
    files: Option<Place>,
    /// Bytes of a bucket that are kept in the data directory once they were read; 0 for none
    #[arg(long, value_name = "BYTES", default_value_t = S3Cache::default().directory_bytes)]
    files_cache_bytes: u64,
    /// A value that modules may be granted to read by its name. Repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = value)]
    config: Vec<(String, String)>,
    /// A page elsewhere that may call this server, such as https://example.com. Repeatable
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// A name that this server answers to besides its address, such as a proxy's. Repeatable
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// The built page [default: examples/web/dist of the sources, where it was built]
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
    /// Examples built from Rust, each NAME.wasm
    #[arg(long, value_name = "DIR")]
    guests: Option<PathBuf>,
    /// A collector that spans are sent to, OTLP over HTTP, such as http://127.0.0.1:4318. None by default
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp: Option<String>,
    /// A span for each call of a guest into the host, too: many
    #[arg(long, requires = "otlp")]
    otlp_host_calls: bool,
    #[command(flatten)]
    bounds: BoundOptions,
}

#[derive(Args)]
#[command(next_help_heading = "Bounds")]
struct BoundOptions {
    /// Calls at once
    #[arg(long, value_name = "COUNT", default_value_t = bounds().calls)]
    calls: u32,
    /// Calls that wait; the next is refused with 503
    #[arg(long, value_name = "COUNT", default_value_t = bounds().queue)]
    queue: u32,
    /// Time to compile a module; then its compiler is killed
    #[arg(long, value_name = "SECONDS", default_value_t = bounds().compile.as_secs())]
    compile_seconds: u64,
    /// Address space of a compiler; beyond it, it dies
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 30)]
    compile_memory_bytes: u64,
    /// Time to publish what a call wrote, beyond its deadline; then the call is an error
    #[arg(long, value_name = "SECONDS", default_value_t = bounds().close_grace.as_secs())]
    close_seconds: u64,
    /// Bytes of a module
    #[arg(long, value_name = "BYTES", default_value_t = bounds().module_bytes)]
    module_bytes: usize,
    /// Modules kept, each version of a name counted
    #[arg(long, value_name = "COUNT", default_value_t = Capacity::default().modules_max)]
    modules: u64,
    /// Bytes of all modules kept
    #[arg(long, value_name = "BYTES", default_value_t = Capacity::default().bytes_max)]
    store_bytes: u64,
    /// Bytes of compiled code kept on disk
    #[arg(long, value_name = "BYTES", default_value_t = LocalStore::BYTES_MAX)]
    code_bytes: u64,
    /// The longest deadline that a call may ask for
    #[arg(long, value_name = "SECONDS", default_value_t = limits_max().deadline.as_secs())]
    deadline_seconds_max: u64,
    /// The most memory that a call may ask for
    #[arg(long, value_name = "BYTES", default_value_t = limits_max().memory_bytes)]
    memory_bytes_max: u64,
}

fn main() -> Result<()> {
    let Cli { command, options } = Cli::parse();
    match command {
        // Before anything else starts: the child is a compiler and nothing more.
        Some(Internal::Compile) => Ok(runner_core::serve_compile()?),
        None => run(options),
    }
}

#[tokio::main]
async fn run(options: Options) -> Result<()> {
    let traces = options.traces()?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let layers = tracing_subscriber::registry().with(log.with_filter(filter));
    layers.with(traces.as_ref().map(Traces::layer)).init();
    let mut settings = options.settings()?;
    let data = options.data.clone().unwrap_or_else(default_data);
    let secrets = options.secrets()?;
    let secret_names: Vec<_> = secrets.names().map(str::to_owned).collect();
    let builder = options.bounds.builder(&data)?;
    let kv = private(&data.join("kv"))?.join("kv.sqlite");
    let kv = SqliteStore::open(&kv).with_context(|| format!("key-value stores in `{}`", kv.display()))?;
    let kv = Kv::new(kv).backend("memory", MemoryStore::new());
    let config = Config::new(options.config.iter().cloned());
    let files = options.files.clone().unwrap_or_else(|| Place::Directory(data.join("files")));
    if let Place::Directory(folder) = &files {
        private(folder)?;
    }
    let kept_in = format!("files in `{files}`");
    let cache = data.join("files-cache");
    if let Place::Bucket(..) = &files {
        private(&cache)?;
    }
    let files = files.open(&cache, options.files_cache_bytes).await.context(kept_in)?;
    let lent = HostFs::new().volume("files", Arc::clone(&files));
    let executor =
        Lending { http: Http::new().secrets(secrets), kv: kv.clone(), files: lent, config }.to(builder).build()?;
    let accounts = TaskTracker::new();
    let store = Store::open(open(&private(&data.join("modules"))?)?, options.bounds.capacity())
        .with_context(|| format!("modules in `{}`", data.display()))?;
    let kept = private(&data.join("workflows"))?.join("workflows.sqlite");
    let kept = Executions::open(&kept).with_context(|| format!("workflows in `{}`", kept.display()))?;
    let server = |settings, flows| -> Result<Server> {
        Ok(Server {
            settings,
            executor: executor.clone(),
            store: store.clone(),
            flows,
            kv,
            secrets: secret_names,
            files: Some(files),
            page: options.page.clone().or_else(built_page).map(|dir| open(&dir)).transpose()?,
            guests: options.guests.as_deref().map(open).transpose()?,
            accounts: accounts.clone(),
        })
    };

    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("listening on {}", options.listen))?;
    // Port 0 is whatever was free.
    settings.listen = listener.local_addr()?;
    let address = settings.listen;
    let flows = Flows::start(kept, &executor, &store, &settings);
    let app = app(server(settings, flows.clone())?);
    tracing::info!(data = %data.display(), "listening on http://{address}");
    serve(listener, app, ended()?, GRACE).await;
    tracing::info!("ending");
    accounts.close();
    // Tasks under way are dropped, and done again by the next process.
    let calls = async { tokio::join!(flows.shutdown(), executor.shutdown(), accounts.wait()) };
    if timeout(GRACE, calls).await.is_err() {
        tracing::warn!("calls were cut off");
    }
    if let Some(traces) = traces {
        traces.end().await;
    }
    Ok(())
}

impl Options {
    fn traces(&self) -> Result<Option<Traces>> {
        // A variable that is empty is one that is not set.
        let collector = self.otlp.as_deref().filter(|collector| !collector.is_empty());
        collector.map(|collector| Traces::to(collector, self.otlp_host_calls)).transpose()
    }

    /// Those of the file hold where the environment has the same name.
    fn secrets(&self) -> Result<Secrets> {
        let file = self.secrets.as_ref().map(Secrets::from_file).transpose()?;
        Ok(Secrets::from_environment()?.and(file.unwrap_or_default()))
    }

    fn settings(&self) -> Result<Settings> {
        let token = match &self.token_file {
            Some(file) => Some(fs::read_to_string(file).with_context(|| format!("token file `{}`", file.display()))?),
            None => self.token.clone(),
        };
        let token = token.map(|token| Token::new(token.trim_end())).transpose()?;
        let listen = self.listen;
        ensure!(
            listen.ip().is_loopback() || token.is_some(),
            "listening on {listen} lets others run code here: give a token with --token-file FILE or RUNNER_TOKEN, or listen on a loopback address"
        );
        let mut limits = limits_max();
        limits.deadline = Duration::from_secs(self.bounds.deadline_seconds_max);
        limits.memory_bytes = self.bounds.memory_bytes_max;
        Ok(Settings {
            listen,
            hosts: self.hosts.clone(),
            origins: self.allow_origin.iter().map(|origin| parse_origin(origin)).collect::<Result<_>>()?,
            token,
            limits_max: limits,
            ..Settings::new(listen)
        })
    }
}

impl BoundOptions {
    fn builder(&self, data: &Path) -> Result<Builder> {
        private(data)?;
        let program = std::env::current_exe().context("the path of this program")?;
        let compiler = CompilerProcess::new(program, ["compile"]).memory_bytes(self.compile_memory_bytes);
        let bounds = Bounds {
            calls: self.calls,
            queue: self.queue,
            compile: Duration::from_secs(self.compile_seconds),
            close_grace: Duration::from_secs(self.close_seconds),
            module_bytes: self.module_bytes,
            ..bounds()
        };
        let default = Limits::default();
        let limits = Limits {
            deadline: default.deadline.min(Duration::from_secs(self.deadline_seconds_max)),
            memory_bytes: default.memory_bytes.min(self.memory_bytes_max),
            ..default
        };
        Ok(Executor::builder()
            .bounds(bounds)
            .limits(limits)
            .compile(Compile::OutOfProcess(compiler))
            .local_store(LocalStore::open(data.join("code"))?.bytes_max(self.code_bytes)))
    }

    fn capacity(&self) -> Capacity {
        Capacity { modules_max: self.modules, bytes_max: self.store_bytes }
    }
}

/// `NAME=VALUE`; a value may hold further signs.
fn value(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).context("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// An origin as browsers write it: scheme, host, port where it is not the scheme's own, nothing behind.
fn parse_origin(text: &str) -> Result<HeaderValue> {
    let authority = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match authority {
        Some(authority) if !authority.is_empty() && !authority.contains(['/', '?', '#', '@', '*']) => Ok(text.parse()?),
        _ => bail!("origin `{text}`: expected https://HOST or https://HOST:PORT, without a path"),
    }
}

/// A directory that is this user's alone, made where it is not there.
fn private(dir: &Path) -> Result<PathBuf> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("directory `{}`", dir.display()))?;
    Ok(dir.to_owned())
}

fn open(dir: &Path) -> Result<Dir> {
    Dir::open_ambient_dir(dir, ambient_authority()).with_context(|| format!("directory `{}`", dir.display()))
}

fn default_data() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    user.map_or_else(|| PathBuf::from(".runner-server"), |user| user.join("runner-server"))
}

fn built_page() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/dist");
    built.join("index.html").is_file().then_some(built)
}

/// Resolves when the server is told to end; told again, it ends at once.
fn ended() -> Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut told = async move || tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () };
    Ok(async move {
        told().await;
        tokio::spawn(async move {
            told().await;
            std::process::exit(1);
        });
    })
}
