//! WASI preview 1 and 2, closed: no files, no environment, no sockets, no outgoing HTTP, and output that is captured
//! within its bound. Each closed form answers its interface's own denied code.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::clocks::{MonotonicClock, WallClock};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};
use wasmtime_wasi_http::{RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::host::{Host, Stop};
use crate::limits::LimitKind;
use crate::tally::Tally;

/// Clocks and random numbers that are the same in every run, for replay.
///
/// Sleeping takes real time all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deterministic {
    /// Where random numbers start.
    pub seed: u64,
    /// What the wall clock says at first, since 1970. Each reading of a clock advances it by 1 us.
    pub start: Duration,
}

impl Deterministic {
    /// A seed, and the wall clock at 2020-01-01.
    pub fn seed(seed: u64) -> Self {
        Deterministic { seed, start: Duration::from_secs(1_577_836_800) }
    }
}

/// What a caller gives to a guest's standard environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stdio {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) stdin: Bytes,
    pub(crate) deterministic: Option<Deterministic>,
}

impl Stdio {
    /// Bytes that count against the input limit.
    pub(crate) fn bytes(&self) -> u64 {
        let args: usize = self.args.iter().map(String::len).sum();
        let env: usize = self.env.iter().map(|(name, value)| name.len() + value.len()).sum();
        (args + env + self.stdin.len()) as u64
    }
}

/// Random bytes that a guest may ask for at once; beyond it the call traps. The host holds them before the guest does.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// The WASI state of one store.
pub(crate) struct Wasi {
    face: Face,
    pub(crate) streams: StandardStreams,
    pub(crate) clocks: GuestClocks,
}

enum Face {
    P1(WasiP1Ctx),
    P2 { wasi: WasiCtx, http: WasiHttpCtx, closed: ClosedHttp },
}

impl Wasi {
    /// Builds the context of a core module (preview 1) or of a component (preview 2).
    pub(crate) fn new(component: bool, stdio: &Stdio, tally: &Arc<Tally>) -> Self {
        let streams = StandardStreams {
            stdin: StandardInput(MemoryInputPipe::new(stdio.stdin.clone())),
            stdout: StandardOutput::new(tally),
            stderr: StandardOutput::new(tally),
        };
        let clocks = GuestClocks::new(stdio.deterministic);
        let mut builder = WasiCtxBuilder::new();
        builder
            .args(&stdio.args)
            .envs(&stdio.env)
            .wall_clock(clocks.clone())
            .monotonic_clock(clocks.clone())
            .stdin(streams.stdin.0.clone())
            .stdout(streams.stdout.clone())
            .stderr(streams.stderr.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES_MAX);
        if let Some(Deterministic { seed, .. }) = stdio.deterministic {
            builder
                .secure_random(ChaCha12Rng::seed_from_u64(seed))
                .insecure_random(ChaCha12Rng::seed_from_u64(seed.wrapping_add(1)))
                .insecure_random_seed(u128::from(seed));
        }
        let face = match component {
            true => {
                let mut http = WasiHttpCtx::new();
                http.set_field_size_limit(HTTP_BYTES_EACH);
                Face::P2 { wasi: builder.build(), http, closed: ClosedHttp }
            }
            false => Face::P1(builder.build_p1()),
        };
        Wasi { face, streams, clocks }
    }
}

/// Each WASI function asks for its context once, at its start: that is where it is counted.
impl Host {
    fn wasi(&mut self) -> (&mut Wasi, &mut wasmtime::component::ResourceTable) {
        (self.wasi.as_mut().expect("a program that imports WASI runs with its context"), &mut self.table)
    }

    pub(crate) fn preview1(&mut self) -> &mut WasiP1Ctx {
        self.meter.enter();
        match &mut self.wasi().0.face {
            Face::P1(wasi) => wasi,
            Face::P2 { .. } => unreachable!("a core module runs with the preview 1 face"),
        }
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.meter.enter();
        let (wasi, table) = self.wasi();
        match &mut wasi.face {
            Face::P2 { wasi, .. } => WasiCtxView { ctx: wasi, table },
            Face::P1(_) => unreachable!("a component runs with the preview 2 face"),
        }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.meter.enter();
        self.http_from_outside()
    }
}

impl Host {
    /// The HTTP context for the host's own use: no host call.
    pub(crate) fn http_from_outside(&mut self) -> WasiHttpCtxView<'_> {
        let (wasi, table) = self.wasi();
        match &mut wasi.face {
            Face::P2 { http, closed, .. } => WasiHttpCtxView { ctx: http, table, hooks: closed },
            Face::P1(_) => unreachable!("a component runs with the preview 2 face"),
        }
    }
}

impl Host {
    /// Aborts the outgoing bodies that the guest has not finished. Their readers would take the end of the store for the end
    /// of the body.
    pub(crate) fn abort_bodies(&mut self) {
        for resource in self.table.iter_mut() {
            if let Some(body) = resource.downcast_mut::<HostOutgoingBody>() {
                let (nothing, _) = HostOutgoingBody::new(StreamContext::Response, None, 1, 1);
                std::mem::replace(body, nothing).abort();
            }
        }
    }
}

/// Outgoing HTTP as long as no capability serves it: every request is denied.
struct ClosedHttp;

/// One piece of an HTTP body, of which the host holds two at most that the reader has not taken yet, and one set of headers.
/// A guest may have as many of them as it has handles.
const HTTP_BYTES_EACH: usize = 64 << 10;

/// How much of a request's body is taken for nobody; whoever sends more finds it closed.
const UNSENT_BYTES_MAX: usize = 16 << 20;

type Sent = wasmtime_wasi_http::Result<(
    http::Response<WasiBody>,
    Box<dyn Future<Output = wasmtime_wasi_http::Result<(), wasmtime_wasi_http::Error>> + Send>,
)>;

impl WasiHttpHooks for ClosedHttp {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        // Most libraries send the body and look at the answer then. They should meet the refusal, and not a body that nobody
        // takes, which they tell as a connection that was reset. It ends with the guest at the latest.
        let mut unread = request.into_body();
        tokio::spawn(async move {
            let mut left = UNSENT_BYTES_MAX;
            while let Some(Ok(frame)) = unread.frame().await {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let Some(rest) = left.checked_sub(bytes) else { return };
                left = rest;
            }
        });
        Box::new(std::future::ready(Err(wasmtime_wasi_http::Error::HttpRequestDenied)))
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        1
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        HTTP_BYTES_EACH
    }
}

/// The clocks of one guest, for a capability that waits in WASI's place. Clones are the same clocks.
#[derive(Clone, Debug)]
pub struct GuestClocks(Arc<Clocks>);

enum Clocks {
    Machine(MonotonicClock),
    /// Each advances by a microsecond at each reading.
    Counting {
        wall: AtomicU64,
        monotonic: AtomicU64,
    },
}

/// By how much a reading advances a clock that counts them.
const READING: Duration = Duration::from_micros(1);

impl GuestClocks {
    fn new(deterministic: Option<Deterministic>) -> Self {
        GuestClocks(Arc::new(match deterministic {
            None => Clocks::Machine(MonotonicClock::new()),
            Some(Deterministic { start, .. }) => {
                Clocks::Counting { wall: AtomicU64::new(nanos(start)), monotonic: AtomicU64::new(0) }
            }
        }))
    }

    /// What the guest's wall clock says, in nanoseconds since 1970.
    pub fn wall_ns(&self) -> u64 {
        match &*self.0 {
            Clocks::Machine(_) => nanos(WallClock.now()),
            Clocks::Counting { wall, .. } => wall.fetch_add(nanos(READING), Ordering::Relaxed),
        }
    }

    /// What the guest's monotonic clock says, in nanoseconds since a moment that is its own.
    pub fn monotonic_ns(&self) -> u64 {
        match &*self.0 {
            Clocks::Machine(clock) => clock.now(),
            Clocks::Counting { monotonic, .. } => monotonic.fetch_add(nanos(READING), Ordering::Relaxed),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Clocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Clocks::Machine(_) => "Machine",
            Clocks::Counting { .. } => "Counting",
        })
    }
}

impl HostWallClock for GuestClocks {
    fn resolution(&self) -> Duration {
        match &*self.0 {
            Clocks::Machine(_) => WallClock.resolution(),
            Clocks::Counting { .. } => READING,
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.wall_ns())
    }
}

impl HostMonotonicClock for GuestClocks {
    fn resolution(&self) -> u64 {
        match &*self.0 {
            Clocks::Machine(clock) => clock.resolution(),
            Clocks::Counting { .. } => nanos(READING),
        }
    }

    fn now(&self) -> u64 {
        self.monotonic_ns()
    }
}

/// The standard streams of one guest, for a capability that serves them in WASI's place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StandardStreams {
    /// What the caller gave.
    pub stdin: StandardInput,
    /// What becomes [`Outcome::stdout`](crate::Outcome::stdout).
    pub stdout: StandardOutput,
    /// What becomes [`Outcome::stderr`](crate::Outcome::stderr).
    pub stderr: StandardOutput,
}

/// Standard input, at the place that everybody shares who reads it.
#[derive(Clone, Debug)]
pub struct StandardInput(MemoryInputPipe);

impl StandardInput {
    /// The next bytes, at most so many; none at its end.
    pub fn read(&mut self, bytes_max: usize) -> Bytes {
        InputStream::read(&mut self.0, bytes_max).unwrap_or_default()
    }
}

/// A standard stream kept in memory, within the call's output limit.
#[derive(Clone, Debug)]
pub struct StandardOutput {
    written: Arc<Mutex<Written>>,
    tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    listeners: Vec<Weak<Listener>>,
}

/// Hears what is written, piece by piece.
pub type Listener = dyn Fn(&[u8]) + Send + Sync;

impl StandardOutput {
    fn new(tally: &Arc<Tally>) -> Self {
        StandardOutput { written: Arc::default(), tally: Arc::clone(tally) }
    }

    /// Tells a listener what is written from now on, as it is written, until it is dropped: what is within the output limit,
    /// in pieces as the guest makes them. The guest waits for it, so it should not take long.
    ///
    /// A capability that [listens](crate::Capability::listens) keeps the listener in its state.
    pub fn listen(&self, listener: &Arc<Listener>) {
        let mut written = self.lock();
        written.listeners.retain(|listener| listener.strong_count() > 0);
        written.listeners.push(Arc::downgrade(listener));
    }

    /// Writes all of it.
    ///
    /// Beyond [`Limits::output_bytes`](crate::Limits::output_bytes) only what fits is kept, and the error stops the guest,
    /// once the host function passes it on.
    pub fn write(&self, bytes: &[u8]) -> wasmtime::Result<()> {
        match self.keep(bytes) {
            true => Ok(()),
            false => Err(Stop(LimitKind::Output).into()),
        }
    }

    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().bytes)
    }

    /// Keeps what fits; false where something did not.
    fn keep(&self, bytes: &[u8]) -> bool {
        let kept = &bytes[..self.tally.output.take(bytes.len() as u64) as usize];
        let mut written = self.lock();
        written.bytes.extend_from_slice(kept);
        if !written.listeners.is_empty() {
            let listeners = written.listeners.clone();
            // A listener may write as well.
            drop(written);
            listeners.iter().filter_map(Weak::upgrade).for_each(|listener| listener(kept));
        }
        kept.len() == bytes.len()
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for StandardOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for StandardOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

/// Bytes that a guest may write at once.
const CHUNK_BYTES: usize = 64 << 10;

#[async_trait]
impl OutputStream for StandardOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        StandardOutput::write(self, &bytes).map_err(StreamError::Trap)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK_BYTES)
    }
}

#[async_trait]
impl Pollable for StandardOutput {
    async fn ready(&mut self) {}
}

impl AsyncWrite for StandardOutput {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(match self.keep(bytes) {
            true => Ok(bytes.len()),
            false => Err(std::io::Error::other(Stop(LimitKind::Output))),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
