//! Outgoing HTTP: guests that ask a local server again and again, beside a loop of reqwest without guests, and beside the
//! sender that wasmtime-wasi-http has by default, which opens a connection for each request.
//!
//! The server is on one core, whoever asks on the other, each in a process of its own. The default sender is compiled in with
//! the feature `default-sender`.

use std::io::{self, BufRead, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use runner_core::{Bounds, Executor, Grants, Program, async_trait};
use runner_host_http::Http;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::child;
use crate::http::{LOAD_CORE, SERVER_CORE, accept};
use crate::measure::{Pace, Pairs, median, percentile};
use crate::quiet::{Threads, Watch};
use crate::report::Line;

/// Requests at once: as many guests, each with one after another.
const CONCURRENCY: &[usize] = &[1, 32, 128];

/// The least of reqwest's requests a second that contents us.
const GOAL: f64 = 0.7;

/// The same of the default sender's, in a long run.
const LONG_GOAL: f64 = 3.0;

/// Requests of the long run: more than there are ports to connect from, each of which rests for a minute.
const LONG: u64 = 60_000;

/// After this, a long run is over, whatever was answered.
const LONG_ENDS: Duration = Duration::from_secs(180);

/// Requests of one call of a guest: what the call itself costs is little beside them.
const AT_ONCE: i64 = 100;

const PATH: &str = "/hello";
const ANSWER: &str = "Hello from beyond";

/// Measures the rows whose names are wanted; the long run only where it is asked for.
pub fn lines(wanted: impl Fn(&str) -> bool, pace: &Pace, long: bool) -> Vec<Line> {
    let full = pace.pairs_min > 1;
    let rounds = if full { 5 } else { 1 };
    let mut lines = Vec::new();
    // Five samples of the default sender take fewer ports than there are. Each row has a server, and so ports, of its own.
    let peers = [("reqwest", "native", 12_000, Some(GOAL)), ("the default sender", "bare", 4_000, None)];
    for (peer, side, times, goal) in peers.into_iter().filter(|(_, side, ..)| *side != "bare" || DEFAULT_SENDER) {
        let times = if full { times } else { 500 };
        for connections in CONCURRENCY {
            let name = format!("outgoing HTTP beside {peer}, c={connections}");
            if wanted(&name) {
                lines.push(line(name, (side, *connections), HERE, (rounds, times), goal));
            }
        }
    }
    let name = format!("outgoing HTTP beside the default sender, {LONG} requests");
    if DEFAULT_SENDER && long && wanted(&name) {
        lines.push(line(name, ("bare", 32), own_address(), (1, LONG), Some(LONG_GOAL)));
    }
    lines
}

const DEFAULT_SENDER: bool = cfg!(feature = "default-sender");

/// Where Linux gives a port that was closed a moment ago to a new connection.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The address that this machine has for others, where it has one. A port of a connection with it rests for a minute, as with
/// any other machine.
fn own_address() -> IpAddr {
    let found = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        // It sends nothing: it only asks which way it would be sent.
        socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr())
    });
    found.map_or(HERE, |address| address.ip())
}

fn line(
    name: String,
    (side, connections): (&str, usize),
    host: IpAddr,
    (rounds, times): (usize, u64),
    goal: Option<f64>,
) -> Line {
    let origin = Origin::start(host);
    let mut peer = Asker::start(side, &origin, connections);
    let mut ours = Asker::start("ours", &origin, connections);
    let mut pairs = Pairs::default();
    for round in 0..rounds {
        if round % 2 == 0 {
            let first = peer.ask(times);
            pairs.push(first, ours.ask(times));
        } else {
            let first = ours.ask(times);
            pairs.push(peer.ask(times), first);
        }
    }
    pairs.waited = peer.waited().max(ours.waited());
    let figures = (peer.shown(&pairs.bare), ours.shown(&pairs.ours));
    Line::rate(name, figures, &pairs, goal)
}

/// A server in a child process that answers everyone, until it is dropped.
struct Origin {
    child: Child,
    address: String,
}

impl Origin {
    fn start(host: IpAddr) -> Self {
        let mut child = child::start(&["origin", &host.to_string()], Some(SERVER_CORE));
        let port = child::heard(&mut child)[0];
        Origin { child, address: SocketAddr::new(host, port as u16).to_string() }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Whoever asks, in a child process, until it is dropped.
struct Asker {
    child: Child,
    /// Of each sample: the median and 99th percentile of the requests' times in milliseconds, the share of its time that it
    /// waited for its core, and how often it was not answered.
    samples: Vec<[f64; 4]>,
}

impl Asker {
    fn start(side: &str, origin: &Origin, connections: usize) -> Self {
        let child = child::start(&["asker", side, &origin.address, &connections.to_string()], Some(LOAD_CORE));
        let mut asker = Asker { child, samples: Vec::new() };
        // Connections are made, the guest is compiled and the caches are warm before the clock runs.
        asker.ask(connections as u64 * 2);
        asker.samples.clear();
        asker
    }

    /// Has so many requests answered; how many that were a second.
    fn ask(&mut self, times: u64) -> f64 {
        let input = self.child.stdin.as_mut().expect("its input is piped");
        writeln!(input, "{times}").and_then(|()| input.flush()).expect("the child listens");
        let [rate, sample @ ..]: [f64; 5] = child::heard(&mut self.child).try_into().expect("five numbers");
        self.samples.push(sample);
        rate
    }

    fn all(&self, what: usize) -> Vec<f64> {
        self.samples.iter().map(|sample| sample[what]).collect()
    }

    fn waited(&self) -> f64 {
        self.all(2).iter().sum::<f64>() / self.samples.len() as f64
    }

    fn shown(&self, rates: &[f64]) -> String {
        let failed: f64 = self.all(3).iter().sum();
        let shown = format!("{:.0}/s, {:.2}/{:.2} ms", median(rates), median(&self.all(0)), median(&self.all(1)));
        if failed > 0.0 { format!("{shown}, {failed} refused") } else { shown }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// It ends when its input does; one that does not is no concern of the numbers.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    let _ = child.wait();
}

/// The server's part: says its port, and answers until its standard input ends.
///
/// # Errors
/// Where there is no port to listen on.
pub fn serve_origin(host: &str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind((host, 0)))?;
    let port = listener.local_addr()?.port();
    runtime.spawn(accept(listener, |_| async { Ok(Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())))) }));
    child::say(&[f64::from(port)]);
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Who can ask a server some times, one request after another.
#[async_trait]
trait Ask: Send + Sync + 'static {
    /// The nanoseconds of each request that was answered.
    async fn ask(&self, address: &str, times: u32) -> Vec<u64>;
}

/// The asker's part: for each number on its standard input, has as many requests answered and says what that took.
///
/// # Errors
/// Where the input is not what it should be.
pub fn ask(side: &str, address: &str, connections: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asker: Arc<dyn Ask> = match side {
        "native" => Arc::new(Native::new()),
        #[cfg(feature = "default-sender")]
        "bare" => Arc::new(default_sender::Bare::new()),
        _ => Arc::new(runtime.block_on(Ours::new(address, connections))),
    };
    for line in io::stdin().lock().lines() {
        let times: i64 = line?.trim().parse().map_err(io::Error::other)?;
        let sample = runtime.block_on(sample(&asker, address, connections, times));
        child::say(&sample);
    }
    Ok(())
}

async fn sample(asker: &Arc<dyn Ask>, address: &str, connections: usize, times: i64) -> [f64; 5] {
    let at_once = AT_ONCE.min(times / connections as i64).max(1);
    let (left, failed) = (Arc::new(AtomicI64::new(times)), Arc::new(AtomicU64::new(0)));
    let (from, watch) = (Instant::now(), Watch::over(Threads::This));
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (asker, address) = (Arc::clone(asker), address.to_owned());
        let (left, failed) = (Arc::clone(&left), Arc::clone(&failed));
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while from.elapsed() < LONG_ENDS {
                let now = at_once.min(left.fetch_sub(at_once, Ordering::Relaxed));
                if now <= 0 {
                    break;
                }
                let answered = asker.ask(&address, now as u32).await;
                // What was refused is asked again.
                let refused = now - answered.len() as i64;
                left.fetch_add(refused, Ordering::Relaxed);
                failed.fetch_add(refused as u64, Ordering::Relaxed);
                took.extend(answered.into_iter().map(|nanoseconds| nanoseconds as f64 / 1e6));
            }
            took
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("nobody panics"));
    }
    let rate = took.len() as f64 / from.elapsed().as_secs_f64();
    let failed = failed.load(Ordering::Relaxed) as f64;
    [rate, percentile(&took, 0.5), percentile(&took, 0.99), watch.share(), failed]
}

/// reqwest as its users have it, one client for all.
struct Native(reqwest::Client);

impl Native {
    fn new() -> Self {
        // The client is made for TLS, too; a second call finds the first one's provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Native(reqwest::Client::builder().no_proxy().build().expect("a client"))
    }
}

#[async_trait]
impl Ask for Native {
    async fn ask(&self, address: &str, times: u32) -> Vec<u64> {
        let url = format!("http://{address}{PATH}");
        let mut took = Vec::new();
        for _ in 0..times {
            let from = Instant::now();
            let response = self.0.get(&url).send().await.expect("it answers");
            assert_eq!(response.bytes().await.expect("a body"), ANSWER);
            took.push(from.elapsed().as_nanos() as u64);
        }
        took
    }
}

/// A guest of Runner for each round of requests.
struct Ours(Program);

impl Ours {
    async fn new(address: &str, connections: usize) -> Self {
        let bounds = Bounds { calls: connections as u32, ..Bounds::default() };
        let executor = Executor::builder().bounds(bounds).capability(Http::new()).build().expect("it starts");
        let address: SocketAddr = address.parse().expect("it is an address with a port");
        let (host, port) = (address.ip(), address.port());
        let rule = json!({ "scheme": "http", "host": host, "port": port, "addresses": [host] });
        let caps = json!({ "connections_per_host": connections.max(32) });
        let grants = Grants::none().grant("http", json!({ "allow": [rule], "caps": caps }));
        let program = executor.load(runner_guests::get("http-loop"), &grants).await.expect("it loads");
        Ours(program)
    }
}

#[async_trait]
impl Ask for Ours {
    async fn ask(&self, address: &str, times: u32) -> Vec<u64> {
        let outcome = self.0.call("run").args(json!([address, PATH, times])).run().await.expect("it runs");
        let said = outcome.returned().expect("it returns");
        let took = said[0].as_array().expect("a list").iter().filter_map(Value::as_u64);
        took.collect()
    }
}

/// The same guest on bare wasmtime.
#[cfg(feature = "default-sender")]
mod default_sender {
    use runner_core::async_trait;
    use wasmtime::Store;
    use wasmtime::component::{Component, InstancePre, Linker, ResourceTable};
    use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
    use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView, default_hooks};

    use super::{Ask, PATH};
    use crate::bare;

    pub(super) struct Bare(InstancePre<Host>);

    impl Bare {
        pub(super) fn new() -> Self {
            let component = Component::new(bare::engine(), runner_guests::get("http-loop")).expect("it compiles");
            let mut linker = Linker::new(bare::engine());
            wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("each name is new");
            wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).expect("each name is new");
            Bare(linker.instantiate_pre(&component).expect("WASI is all that it imports"))
        }
    }

    #[async_trait]
    impl Ask for Bare {
        async fn ask(&self, address: &str, times: u32) -> Vec<u64> {
            let host = Host { wasi: WasiCtx::builder().build(), http: WasiHttpCtx::new(), table: ResourceTable::new() };
            let mut store = Store::new(bare::engine(), host);
            let instance = self.0.instantiate_async(&mut store).await.expect("it starts");
            let run = instance.get_typed_func::<(&str, &str, u32), ((Vec<u64>, u32),)>(&mut store, "run");
            let run = run.expect("it is there");
            let ((took, _),) = run.call_async(&mut store, (address, PATH, times)).await.expect("it returns");
            took
        }
    }

    struct Host {
        wasi: WasiCtx,
        http: WasiHttpCtx,
        table: ResourceTable,
    }

    impl WasiView for Host {
        fn ctx(&mut self) -> WasiCtxView<'_> {
            WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
        }
    }

    impl WasiHttpView for Host {
        fn http(&mut self) -> WasiHttpCtxView<'_> {
            WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: default_hooks() }
        }
    }
}
