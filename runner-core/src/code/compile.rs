//! Turning a module into machine code, within a time. Compilation cannot be interrupted: it gets a thread of its own, or,
//! for strangers' modules, a process that can be killed.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock::now;
use crate::engine;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{Bounds, Metering};
use crate::load::{Form, translate, wrap};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wasmparser::{Validator, WasmFeatures};

/// Stack of the compiling thread: the compiler recurses over the module's types and blocks.
const STACK_BYTES: usize = 16 << 20;

/// Work whose time and memory a stranger decides by what he sends.
pub(crate) struct CompileJob {
    pub(crate) bytes: Bytes,
    pub(crate) work: Work,
    pub(crate) bounds: Bounds,
}

/// What is made of the bytes.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Work {
    /// A module of WebAssembly text.
    Translate,
    /// Machine code of a module.
    Compile { form: Form, metering: Metering },
}

/// How an executor compiles modules.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Compile {
    /// On a thread of this process, one module at a time. The default.
    ///
    /// A module that takes too long is given up on, but its thread runs to the end and the next module waits for it: for
    /// modules of strangers use [`Compile::OutOfProcess`].
    #[default]
    InProcess,
    /// In a child process, which is killed when it takes too long or too much memory; as many at once as there are cores.
    OutOfProcess(CompilerProcess),
}

/// A program that compiles one module and ends: its `main` calls [`serve_compile`].
#[derive(Clone, Debug)]
pub struct CompilerProcess {
    program: PathBuf,
    args: Vec<String>,
    memory_bytes: u64,
}

impl CompilerProcess {
    /// Names the program and its arguments, usually the embedder's own executable. Its address space is bounded to 4 GiB.
    pub fn new(program: impl Into<PathBuf>, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        CompilerProcess { program: program.into(), args, memory_bytes: 4 << 30 }
    }

    /// Bounds the child's address space.
    #[must_use]
    pub fn memory_bytes(mut self, memory_bytes: u64) -> Self {
        self.memory_bytes = memory_bytes;
        self
    }

    /// Dropping the future kills the child.
    async fn run(&self, job: CompileJob) -> Result<Vec<u8>> {
        let shown = self.program.display();
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Error::unavailable(format!("compiler `{shown}` does not start")).source(error))?;
        let mut input = child.stdin.take().expect("stdin is piped");
        let mut output = child.stdout.take().expect("stdout is piped");
        let mut child = Reaped(Some(child));
        let header = Header::of(&job, self.memory_bytes).to_bytes()?;
        let send = async move {
            // A child that stops reading says why on its output, or dies: both are seen below.
            let _ = input.write_all(&header).await;
            let _ = input.write_all(&job.bytes).await;
        };
        let read = async move {
            let verdict = output.read_u8().await?;
            let mut answer = Vec::new();
            output.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>((verdict, answer))
        };
        let ((), answered) = tokio::join!(send, read);
        let status = child.wait().await;
        // An answer counts only from a child that lived to the end of it.
        match (answered, status) {
            (Ok((OK, artefact)), Ok(status)) if status.success() => Ok(artefact),
            (Ok((REFUSED, message)), Ok(status)) if status.success() => {
                Err(serde_json::from_slice::<Refusal>(&message).map_or_else(
                    |error| Error::internal("the compiler's refusal cannot be read").source(error),
                    Refusal::into_error,
                ))
            }
            (_, status) => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                let memory = self.memory_bytes >> 20;
                let message =
                    format!("the module needs more than {memory} MiB to compile, or crashed its compiler ({status})");
                Err(Error::exceeded(message))
            }
        }
    }
}

/// A child that is killed and reaped where it is not waited for.
struct Reaped(Option<Child>);

impl Reaped {
    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let child = self.0.as_mut().expect("it is taken only when dropped");
        let status = child.wait().await;
        self.0 = None;
        status
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        if let (Some(mut child), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            let _ = child.start_kill();
            runtime.spawn(async move { child.wait().await });
        }
    }
}

/// The largest artefact that is taken from a child.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

const OK: u8 = 0;
const REFUSED: u8 = 1;

/// What the parent tells the child before the module's bytes.
#[derive(Serialize, Deserialize)]
struct Header {
    work: Work,
    stack_bytes: usize,
    memory_bytes: u64,
    table_elements: usize,
    address_space_bytes: u64,
}

impl Header {
    fn of(job: &CompileJob, address_space_bytes: u64) -> Self {
        Header {
            work: job.work,
            stack_bytes: job.bounds.stack_bytes,
            memory_bytes: job.bounds.memory_bytes,
            table_elements: job.bounds.table_elements,
            address_space_bytes,
        }
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self).map_err(|error| Error::internal("no header").source(error))?;
        line.push(b'\n');
        Ok(line)
    }

    fn into_job(self, bytes: Bytes) -> CompileJob {
        let bounds = Bounds {
            stack_bytes: self.stack_bytes,
            memory_bytes: self.memory_bytes,
            table_elements: self.table_elements,
            ..Bounds::default()
        };
        CompileJob { bytes, work: self.work, bounds }
    }
}

/// An error on its way through the pipe.
#[derive(Serialize, Deserialize)]
struct Refusal {
    invalid: bool,
    message: String,
}

impl Refusal {
    fn into_error(self) -> Error {
        Error::new(if self.invalid { ErrorKind::Invalid } else { ErrorKind::Internal }, self.message)
    }
}

/// The whole main of a compiling child: reads one job from standard input, writes the answer to standard output.
///
/// # Errors
/// Where the parent went away.
pub fn serve_compile() -> std::io::Result<()> {
    let mut input = Vec::new();
    std::io::stdin().lock().read_to_end(&mut input)?;
    let answer = match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => serde_json::from_slice::<Header>(&input[..end])
            .map_err(|error| Error::internal("the job's header cannot be read").source(error))
            .and_then(|header| {
                bound_address_space(header.address_space_bytes)?;
                let job = header.into_job(Bytes::from(input).slice(end + 1..));
                // The main thread's stack is whatever the system gives.
                let worker = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || run(&job, true));
                let worker = worker.map_err(|error| Error::unavailable("no compiling thread").source(error))?;
                worker.join().map_err(|_| Error::internal("the compiler panicked"))?
            }),
        None => Err(Error::internal("the job has no header")),
    };
    let mut output = std::io::stdout().lock();
    match answer {
        Ok(artefact) => {
            output.write_all(&[OK])?;
            output.write_all(&artefact)?;
        }
        Err(error) => {
            let refusal = Refusal { invalid: error.kind() == ErrorKind::Invalid, message: error.to_string() };
            output.write_all(&[REFUSED])?;
            output.write_all(&serde_json::to_vec(&refusal)?)?;
        }
    }
    output.flush()
}

fn bound_address_space(bytes: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum: Some(bytes) })
        .map_err(|error| Error::internal("the compiler's memory cannot be bounded").source(error))
}

/// Does the work here and now.
fn run(job: &CompileJob, all_cores: bool) -> Result<Vec<u8>> {
    let (form, metering) = match job.work {
        Work::Translate => return translate(&job.bytes),
        Work::Compile { form, metering } => (form, metering),
    };
    let engine = engine::compiling(&job.bounds, metering, all_cores)?;
    let precompiled = match form {
        Form::Core => engine.precompile_module(&job.bytes),
        Form::Component => engine.precompile_component(&job.bytes),
        Form::Wrapped => engine.precompile_component(&wrap(&job.bytes)?),
    };
    precompiled.map_err(|error| refused(&job.bytes, &error))
}

/// The engine's refusal in our words: a module that is valid in a larger WebAssembly is told from one that is not.
fn refused(bytes: &[u8], error: &wasmtime::Error) -> Error {
    let known = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).is_ok();
    match known {
        true => Error::invalid(format!("the module uses a WebAssembly proposal that is not supported: {error:#}")),
        false => Error::invalid(format!("the module is not valid: {error:#}")),
    }
}

/// What a job made, and how long that took after the queue.
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    pub(crate) took: Duration,
}

/// A way to compile, with its queue: how many compile at once, how many wait, and for how long.
pub(crate) struct Compiler {
    compile: Compile,
    places: Arc<Semaphore>,
    waiting: AtomicU32,
}

impl Compiler {
    pub(crate) fn new(compile: Compile) -> Self {
        let at_once = match &compile {
            Compile::InProcess => 1,
            Compile::OutOfProcess(_) => thread::available_parallelism().map_or(1, usize::from),
        };
        Compiler { compile, places: Arc::new(Semaphore::new(at_once)), waiting: AtomicU32::new(0) }
    }

    /// Compiles, or gives up after [`Bounds::compile`].
    pub(crate) async fn compile(&self, job: CompileJob) -> Result<Made> {
        let limit = job.bounds.compile;
        let place = self.place(&job.bounds).await?;
        let from = now();
        let compiled = async {
            match &self.compile {
                Compile::InProcess => on_thread(job, place).await,
                Compile::OutOfProcess(process) => {
                    let _place = place;
                    process.run(job).await
                }
            }
        };
        let bytes = tokio::time::timeout(limit, compiled)
            .await
            .map_err(|_| Error::exceeded(format!("the module takes longer than {limit:?} to compile")))??;
        Ok(Made { bytes, took: now() - from })
    }

    async fn place(&self, bounds: &Bounds) -> Result<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let waiting = self.waiting.fetch_add(1, Ordering::AcqRel) + 1;
        let _leave = Leave(&self.waiting);
        if waiting > bounds.compile_queue {
            return Err(Error::unavailable(format!("{} modules wait for the compiler already", bounds.compile_queue)));
        }
        match tokio::time::timeout(bounds.compile, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Error::unavailable(format!("the compiler was busy for {:?}", bounds.compile))),
        }
    }
}

/// Compiles on a thread that keeps its place until it is done, whether or not anybody still waits for it.
async fn on_thread(job: CompileJob, place: OwnedSemaphorePermit) -> Result<Vec<u8>> {
    let (answer, answered) = oneshot::channel();
    thread::Builder::new()
        .name("runner-compile".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let compiled = run(&job, false);
            drop(place);
            let _ = answer.send(compiled);
        })
        .map_err(|error| Error::unavailable("the compiling thread does not start").source(error))?;
    answered.await.map_err(|error| Error::internal("the compiler panicked").source(error))?
}

struct Leave<'a>(&'a AtomicU32);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
