//! HTTP with a fresh instance for each request: in process, and over a socket with the server on one core and the load on
//! another.

use std::io::{self, Read};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use runner_core::{Executor, Grants, HttpReply};
use tokio::net::{TcpListener, TcpStream};
use wasmtime::Store;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::measure::{Pace, Pairs, median, percentile};
use crate::quiet::{Threads, Watch};
use crate::report::Line;
use crate::{Row, Side, bare, child, each, memory, ours};

/// What is measured in this process.
pub const ROWS: &[Row] = &[
    Row::new("HTTP in process, hello", || in_process(&HELLO)),
    Row::new("HTTP in process, echo 64 KiB", || in_process(&ECHO)),
];

/// Whatever went wrong: nothing here is done about it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is asked.
struct Question {
    name: &'static str,
    method: Method,
    path: &'static str,
    body: &'static [u8],
}

const HELLO: Question = Question { name: "hello", method: Method::GET, path: "/", body: b"" };
const ECHO: Question = Question { name: "echo 64 KiB", method: Method::POST, path: "/echo", body: &[b'x'; 64 << 10] };

impl Question {
    fn request(&self, host: &str) -> Request<Full<Bytes>> {
        let request = Request::builder().method(self.method.clone()).uri(self.path).header("host", host);
        request.body(Full::new(Bytes::from_static(self.body))).expect("it is well formed")
    }

    fn answers(&self, body: &Bytes) -> bool {
        if self.body.is_empty() { body == "Hello from wasm" } else { body.len() == self.body.len() }
    }
}

/// The bare engine's answer, by the book: the guest runs on a task of its own and may go on after the head.
async fn bare_answer<B>(
    pre: &ProxyPre<bare::Host>,
    request: Request<B>,
) -> wasmtime::Result<(Response<HyperOutgoingBody>, Task)>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<wasmtime_wasi_http::Error>,
{
    let mut store = Store::new(pre.engine(), bare::Host::new());
    let (answer, answered) = tokio::sync::oneshot::channel();
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(answer)?;
    let pre = pre.clone();
    let task = tokio::spawn(async move {
        let proxy = pre.instantiate_async(&mut store).await?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
    });
    Ok((answered.await??, task))
}

type Task = tokio::task::JoinHandle<wasmtime::Result<()>>;

/// Both sides take the whole body, and wait for the guest's end.
fn in_process(question: &'static Question) -> (Side, Side) {
    let pre = bare::proxy(bare::engine(), runner_guests::get("http-hello"));
    let bare = each(async move || {
        let (response, task) = bare_answer(&pre, question.request("localhost")).await.expect("it answers");
        let body = response.into_body().collect().await.expect("it has a body").to_bytes();
        assert!(question.answers(&body));
        task.await.expect("no panic").expect("it ends");
    });
    let program = ours::program(runner_guests::get("http-hello"));
    let ours = each(async move || {
        let reply = program.http(question.request("localhost")).send().await.expect("it runs");
        let HttpReply::Answered { response, ended } = reply else { panic!("the guest does not answer") };
        let body = response.into_body().collect().await.expect("it has a body").to_bytes();
        assert!(question.answers(&body));
        assert!(ended.outcome().await.expect("it ends").ending.is_returned());
    });
    (bare, ours)
}

/// Requests at once.
const CONCURRENCY: &[usize] = &[1, 32, 128];

/// The least of the bare server's requests a second that contents us.
const GOAL: f64 = 0.9;

/// The server's core; the load has the other.
pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const LOAD_CORE: usize = 1;

/// Measures the rows over a socket whose names are wanted, then what memory the servers took.
pub fn lines(wanted: impl Fn(&str) -> bool, pace: &Pace) -> Vec<Line> {
    let (rounds, milliseconds) = if pace.pairs_min > 1 { (7, 800) } else { (1, 200) };
    let mut lines = Vec::new();
    let mut servers = None;
    for question in [&HELLO, &ECHO] {
        for connections in CONCURRENCY {
            let name = format!("HTTP over a socket, {}, c={connections}", question.name);
            if !wanted(&name) {
                continue;
            }
            let (bare, ours) = servers.get_or_insert_with(|| (Server::start("bare"), Server::start("ours")));
            let (mut pairs, mut bare_times, mut our_times) = (Pairs::default(), Vec::new(), Vec::new());
            let mut waits: Vec<f64> = Vec::new();
            for round in 0..rounds {
                let mut ask = |server: &Server, times: &mut Vec<[f64; 2]>| {
                    let watch = Watch::over(Threads::Of(server.child.id()));
                    let [rate, p50, p99, load_waited] = server.load(question, *connections, milliseconds);
                    waits.push(watch.share().max(load_waited));
                    times.push([p50, p99]);
                    rate
                };
                if round % 2 == 0 {
                    let first = ask(bare, &mut bare_times);
                    pairs.push(first, ask(ours, &mut our_times));
                } else {
                    let first = ask(ours, &mut our_times);
                    pairs.push(ask(bare, &mut bare_times), first);
                }
            }
            let shown = |rates: &[f64], times: &[[f64; 2]]| {
                let time = |index: usize| median(&times.iter().map(|times| times[index]).collect::<Vec<_>>());
                format!("{:.0}/s, {:.2}/{:.2} ms", median(rates), time(0), time(1))
            };
            let figures = (shown(&pairs.bare, &bare_times), shown(&pairs.ours, &our_times));
            pairs.waited = waits.iter().sum::<f64>() / waits.len() as f64;
            lines.push(Line::rate(name, figures, &pairs, Some(GOAL)));
        }
    }
    if let Some((bare, ours)) = servers {
        let idle = Some(25.0 * 1024.0 * 1024.0);
        lines.push(Line::bytes("HTTP server's memory, idle", Some(bare.idle), ours.idle, idle));
        lines.push(Line::bytes("HTTP server's memory, after load", Some(bare.resident()), ours.resident(), None));
    }
    lines
}

/// A server in a child process, until it is dropped.
struct Server {
    child: Child,
    address: String,
    /// Bytes in memory before the first request.
    idle: f64,
}

impl Server {
    fn start(side: &str) -> Self {
        let mut child = child::start(&["server", side], Some(SERVER_CORE));
        let port = child::heard(&mut child)[0];
        let idle = memory::resident(child.id()).expect("it runs");
        Server { child, address: format!("127.0.0.1:{port}"), idle }
    }

    fn resident(&self) -> f64 {
        memory::resident(self.child.id()).expect("it runs")
    }

    /// Requests a second, the median and 99th percentile of their times in milliseconds, and the share of its time that the
    /// load waited for its core.
    fn load(&self, question: &Question, connections: usize, milliseconds: u64) -> [f64; 4] {
        let (connections, milliseconds) = (connections.to_string(), milliseconds.to_string());
        let args = ["load", &self.address, question.path, &connections, &milliseconds];
        child::answer_on(&args, Some(LOAD_CORE)).try_into().expect("four numbers")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends when its input does; one that does not is no concern of the numbers.
        let _ = self.child.wait();
    }
}

/// The server's part: says its port, and serves until its standard input ends.
///
/// # Errors
/// Where there is no port to listen on.
pub fn serve(side: &str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let port = listener.local_addr()?.port();
    let guest = runner_guests::get("http-hello");
    match side {
        "bare" => {
            let pre = Arc::new(bare::proxy(bare::engine(), guest));
            runtime.spawn(accept(listener, move |request| {
                let pre = Arc::clone(&pre);
                async move { Ok(bare_answer(&pre, request).await?.0) }
            }));
        }
        _ => {
            let executor = Executor::new().map_err(io::Error::other)?;
            let program = runtime.block_on(executor.load(guest, &Grants::none()).into_future());
            let program = program.map_err(io::Error::other)?;
            runtime.spawn(accept(listener, move |request| {
                let program = program.clone();
                async move {
                    match program.http(request).send().await? {
                        HttpReply::Answered { response, .. } => Ok(response),
                        _ => Err("the guest ended without an answer".into()),
                    }
                }
            }));
        }
    }
    child::say(&[f64::from(port)]);
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

pub(crate) async fn accept<F, A, B>(listener: TcpListener, answer: F)
where
    F: Fn(Request<hyper::body::Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Response<B>, Failure>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let service = service_fn(answer.clone());
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Before the clock runs: connections are made, and the server's caches are warm.
const WARM_UP: Duration = Duration::from_millis(100);

/// The load's part: as many connections, each one request after another.
///
/// # Errors
/// Where the server does not answer as it should.
pub fn load(address: &str, path: &str, connections: usize, milliseconds: u64) -> io::Result<Vec<f64>> {
    let question = if path == ECHO.path { &ECHO } else { &HELLO };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let from = Instant::now() + WARM_UP;
    let until = from + Duration::from_millis(milliseconds);
    let watch = Watch::over(Threads::This);
    let times = runtime.block_on(async {
        let tasks: Vec<_> =
            (0..connections).map(|_| tokio::spawn(connection(address.to_owned(), question, from, until))).collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        Ok::<_, Failure>(times)
    });
    let times = times.map_err(io::Error::other)?;
    let rate = times.len() as f64 / (milliseconds as f64 / 1e3);
    Ok(vec![rate, percentile(&times, 0.5), percentile(&times, 0.99), watch.share()])
}

/// The milliseconds that each request took whose answer came in time.
async fn connection(address: String, question: &Question, from: Instant, until: Instant) -> Result<Vec<f64>, Failure> {
    let stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut times = Vec::new();
    loop {
        let asked = Instant::now();
        let response = sender.send_request(question.request(&address)).await?;
        let body = response.into_body().collect().await?.to_bytes();
        if !question.answers(&body) {
            return Err(format!("the server answered {body:?}").into());
        }
        let answered = Instant::now();
        if answered >= until {
            return Ok(times);
        }
        if answered >= from {
            times.push((answered - asked).as_secs_f64() * 1e3);
        }
    }
}
