//! Servers that note who came, names that lead where a test says, and a guest that asks.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use runner_core::{Bounds, Ending, Executor, Grants, Limits, LocalStore, Outcome, Program, async_trait};
use runner_host_http::{Body, BoxError, Call, Client, Error, Grant, Http, Resolve, Result, Target};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) version: http::Version,
}

#[derive(Default)]
struct Notes {
    connections: AtomicUsize,
    hang_up: Notify,
    go_away: Notify,
    open: AtomicUsize,
    under_way: AtomicUsize,
    under_way_most: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    /// What `/keep` was sent.
    kept: Mutex<Vec<Bytes>>,
    /// Content types and bodies by path.
    pages: Mutex<HashMap<String, (String, Bytes)>>,
}

impl Notes {
    async fn serve<I, S>(&self, connection: auto::Connection<'_, TokioIo<I>, S, TokioExecutor>)
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
        S: Service<Request<Incoming>, Response = Response<Answered>, Error = Infallible>,
        S::Future: 'static,
        TokioExecutor: hyper::rt::bounds::Http2ServerConnExec<S::Future, Answered>,
    {
        let mut connection = pin!(connection);
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                () = self.go_away.notified() => connection.as_mut().graceful_shutdown(),
            }
        }
    }
}

/// A server on a port of its own; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) port: u16,
    notes: Arc<Notes>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::serve(Vec::new(), None).await
    }

    /// A server whose certificate is for these names, and its certificate as PEM.
    pub(crate) async fn tls(names: &[&str], alpn: &[&[u8]]) -> (Self, String) {
        Self::tls_by_turns(names, &[alpn], None).await
    }

    /// The same, where its first connections speak one after the other of these, and the rest the last one; over HTTP/2, so
    /// many streams at once.
    pub(crate) async fn tls_by_turns(names: &[&str], alpns: &[&[&[u8]]], streams: Option<u32>) -> (Self, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptors = alpns.iter().map(|alpn| {
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            TlsAcceptor::from(Arc::new(config.clone()))
        });
        (Self::serve(acceptors.collect(), streams).await, made.cert.pem())
    }

    async fn serve(tls: Vec<TlsAcceptor>, streams: Option<u32>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server { port: listener.local_addr().unwrap().port(), notes: Arc::default() };
        let answering = server.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { break };
                let tls = tls.get(number).or(tls.last()).cloned();
                tokio::spawn(answering.clone().connection(stream, tls, streams));
            }
        });
        server
    }

    async fn connection(self, stream: TcpStream, tls: Option<TlsAcceptor>, streams: Option<u32>) {
        self.notes.connections.fetch_add(1, Ordering::SeqCst);
        self.notes.open.fetch_add(1, Ordering::SeqCst);
        let notes = Arc::clone(&self.notes);
        let service = service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().max_buf_size(1 << 20);
        if streams.is_some() {
            builder.http2().max_concurrent_streams(streams);
        }
        let served = async {
            match tls {
                None => notes.serve(builder.serve_connection(TokioIo::new(stream), service)).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    notes.serve(builder.serve_connection(TokioIo::new(stream), service)).await;
                }
            }
        };
        tokio::select! {
            () = served => {}
            () = notes.hang_up.notified() => {}
        }
        notes.open.fetch_sub(1, Ordering::SeqCst);
    }

    /// Says to all connections that are open that no more is answered there than was asked.
    pub(crate) fn go_away(&self) {
        self.notes.go_away.notify_waiters();
    }

    /// Ends the connections that are open.
    pub(crate) fn hang_up(&self) {
        self.notes.hang_up.notify_waiters();
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.notes.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> usize {
        self.notes.open.load(Ordering::SeqCst)
    }

    /// The most requests that were under way at once.
    pub(crate) fn under_way_most(&self) -> usize {
        self.notes.under_way_most.load(Ordering::SeqCst)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.notes.seen.lock().unwrap().clone()
    }

    /// What was sent to `/keep`, in order.
    pub(crate) fn kept(&self) -> Vec<Bytes> {
        self.notes.kept.lock().unwrap().clone()
    }

    /// Serves a page.
    pub(crate) fn page(&self, path: &str, content_type: &str, body: impl Into<Bytes>) {
        self.notes.pages.lock().unwrap().insert(path.to_owned(), (content_type.to_owned(), body.into()));
    }

    /// The address of a path by the server's number.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The address of a path by a name.
    pub(crate) fn named(&self, name: &str, path: &str) -> String {
        format!("http://{name}:{}{path}", self.port)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Answered> {
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        self.notes.seen.lock().unwrap().push(Seen {
            method: request.method().to_string(),
            path: path.clone(),
            headers: request.headers().clone(),
            version: request.version(),
        });
        let under_way = self.notes.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.notes.under_way_most.fetch_max(under_way, Ordering::SeqCst);
        let page = self.notes.pages.lock().unwrap().get(&path).cloned();
        let response = match (page, path.as_str()) {
            (Some((content_type, body)), _) => {
                Response::builder().header("content-type", content_type).body(text(body)).unwrap()
            }
            (None, "/keep") => {
                let body = request.into_body().collect().await.map(|body| body.to_bytes());
                self.notes.kept.lock().unwrap().push(body.unwrap_or_default());
                Response::builder().status(202).body(text("kept")).unwrap()
            }
            (None, _) => routes(request, &path).await,
        };
        self.notes.under_way.fetch_sub(1, Ordering::SeqCst);
        response
    }
}

type Answered = UnsyncBoxBody<Bytes, BoxError>;

fn text(body: impl Into<Bytes>) -> Answered {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

fn frames(frames: impl futures::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static) -> Answered {
    StreamBody::new(frames).boxed_unsync()
}

async fn routes(request: Request<Incoming>, path_and_query: &str) -> Response<Answered> {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let asked = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.replace("%26", "&").replace("%3D", "="))
    };
    let number = |name: &str| asked(name).and_then(|value| value.parse::<u64>().ok());
    let sleep = |name: &str| tokio::time::sleep(Duration::from_millis(number(name).unwrap_or(0)));
    match path {
        "/echo" => Response::new(request.into_body().map_err(Into::into).boxed_unsync()),
        "/count" => {
            let collected = request.into_body().collect().await;
            let Ok(body) = collected else { return Response::new(text("broke off")) };
            let trailers: Vec<_> =
                body.trailers().into_iter().flatten().map(|(name, value)| format!(" {name}={value:?}")).collect();
            let trailers = trailers.concat();
            Response::new(text(format!("{} bytes{trailers}", body.to_bytes().len())))
        }
        "/redirect" => {
            let status = number("status").unwrap_or(302) as u16;
            let location = asked("to").unwrap_or_default();
            Response::builder().status(status).header("location", location).body(text("elsewhere")).unwrap()
        }
        "/asks" => {
            Response::builder().status(302).header("location", "/hello?k={{secret:KEY}}").body(text("")).unwrap()
        }
        "/loop" => Response::builder().status(302).header("location", "/loop").body(text("")).unwrap(),
        "/slow" => {
            sleep("head").await;
            let (pieces, gap) = (number("pieces").unwrap_or(0), Duration::from_millis(number("gap").unwrap_or(0)));
            Response::new(frames(futures::stream::unfold(0, move |piece| async move {
                if piece >= pieces {
                    return None;
                }
                if piece > 0 {
                    tokio::time::sleep(gap).await;
                }
                Some((Ok(Frame::data(Bytes::from(format!("piece {piece};")))), piece + 1))
            })))
        }
        "/bytes" => {
            let bytes = vec![b'b'; number("n").unwrap_or(0) as usize];
            match asked("chunked") {
                None => Response::new(text(bytes)),
                Some(_) => {
                    let pieces: Vec<_> =
                        bytes.chunks(1000).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
                    Response::new(frames(futures::stream::iter(pieces)))
                }
            }
        }
        "/half" => {
            // `from=1` breaks off before it has begun.
            let from = number("from").unwrap_or(0);
            let body = frames(futures::stream::unfold(from, |piece| async move {
                if piece == 0 {
                    return Some((Ok(Frame::data(Bytes::from("half"))), 1));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Err("broken on purpose".into()), 2))
            }));
            let status = number("status").unwrap_or(200) as u16;
            Response::builder().status(status).header("content-length", 8).body(body).unwrap()
        }
        "/header" => {
            let value = "h".repeat(number("n").unwrap_or(0) as usize);
            Response::builder().header("x-long", value).body(text("")).unwrap()
        }
        "/lines" => {
            let mut response = Response::builder();
            for line in 0..number("n").unwrap_or(0) {
                response = response.header(format!("x-{line}"), "1");
            }
            response.body(text("")).unwrap()
        }
        "/trailers" => {
            let trailers: HeaderMap = [("x-end".parse().unwrap(), "of it".parse().unwrap())].into_iter().collect();
            let all = [Ok(Frame::data(Bytes::from("body"))), Ok(Frame::trailers(trailers))];
            Response::builder().header("trailer", "x-end").body(frames(futures::stream::iter(all))).unwrap()
        }
        "/reflect" => {
            let key = request.headers().get("x-key").cloned();
            let mut response = Response::builder().header("x-query", query);
            if let Some(key) = key {
                response = response
                    .header("x-was", key.clone())
                    .header("set-cookie", [b"k=", key.as_bytes(), b"; a"].concat());
            }
            response.body(text("reflected")).unwrap()
        }
        "/last" => Response::builder().header("connection", "close").body(text("goodbye")).unwrap(),
        "/hello" => Response::builder().header("x-answer", "42").body(text("hello")).unwrap(),
        _ => Response::builder().status(404).body(text("no such route")).unwrap(),
    }
}

/// Names that lead where the test says: each time they are asked for, to the next of their answers.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<HashMap<String, Answers>>>);

#[derive(Default)]
struct Answers {
    answers: Vec<Vec<IpAddr>>,
    asked: usize,
}

impl Names {
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = (&'a str, Vec<Vec<&'a str>>)>) -> Self {
        let all = Names::default();
        for (name, answers) in names {
            let answers =
                answers.into_iter().map(|answer| answer.into_iter().map(|ip| ip.parse().unwrap()).collect()).collect();
            all.0.lock().unwrap().insert(name.to_owned(), Answers { answers, asked: 0 });
        }
        all
    }

    /// Every name leads to this machine.
    pub(crate) fn local(names: &[&str]) -> Self {
        Self::new(names.iter().map(|name| (*name, vec![vec!["127.0.0.1"]])))
    }

    /// How often a name was asked for.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.0.lock().unwrap().get(name).map_or(0, |answers| answers.asked)
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut names = self.0.lock().unwrap();
        let Some(known) = names.get_mut(name) else { return Err(io::Error::other("no such name")) };
        let answer = known.answers[known.asked.min(known.answers.len() - 1)].clone();
        known.asked += 1;
        Ok(answer)
    }
}

pub(crate) fn grant(json: Value) -> Grant {
    Grant::deserialize(json).expect("the grant reads")
}

/// A resolver whose every name leads to this machine.
pub(crate) struct Everywhere;

#[async_trait]
impl Resolve for Everywhere {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

/// `*.many.test`, at one port.
pub(crate) fn many_names(port: u16, scheme: &str, caps: Value) -> Grant {
    let rule = json!({
        "scheme": scheme,
        "host": "*.many.test",
        "port": port,
        "methods": ["*"],
        "addresses": ["127.0.0.1"],
    });
    grant(json!({ "allow": [rule], "caps": caps }))
}

/// Everything of one server, by its number.
pub(crate) fn all_of(server: &Server) -> Value {
    json!({ "scheme": "http", "host": "127.0.0.1", "port": server.port, "methods": ["*"], "addresses": ["127.0.0.1"] })
}

/// Everything of one server, by a name.
pub(crate) fn named(server: &Server, name: &str) -> Value {
    json!({ "scheme": "http", "host": name, "port": server.port, "methods": ["*"], "addresses": ["127.0.0.1"] })
}

pub(crate) fn get(url: &str) -> runner_host_http::Request {
    runner_host_http::Request::new(http::Method::GET, Target::parse(url).expect("the URL is one"))
}

/// Sends by the client alone, without an engine.
pub(crate) async fn send(client: &Client, grant: &Grant, url: &str) -> Result<Response<Body>> {
    client.outlet(grant)?.send(get(url), &Call::default()).await
}

/// All of a response's body.
pub(crate) async fn body(response: Response<Body>) -> Result<String, Error> {
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec()).unwrap())
}

/// An executor that lends this; what it compiles is kept beside the test's program, so that it is compiled once.
pub(crate) fn executor(http: Http) -> Executor {
    let bounds = Bounds { calls: 16, queue: 64, ..Bounds::default() };
    let store = LocalStore::open(format!("{}/code", env!("CARGO_TARGET_TMPDIR"))).expect("the store opens");
    Executor::builder().bounds(bounds).local_store(store).capability(http).build().expect("it starts")
}

/// The guest `http-client.wasm`, with a grant.
pub(crate) struct Guest {
    _executor: Executor,
    program: Program,
}

impl Guest {
    pub(crate) async fn new(http: Http, grant: Value) -> Self {
        let executor = executor(http);
        let program = Self::load(&executor, grant).await;
        Guest { _executor: executor, program }
    }

    pub(crate) async fn load(executor: &Executor, grant: Value) -> Program {
        let grants = Grants::none().grant("http", grant);
        executor.load(runner_guests::get("http-client.wasm"), &grants).await.expect("it loads")
    }

    pub(crate) async fn run(&self, args: &[&str]) -> String {
        said(&run(&self.program, args, Limits::default()).await)
    }

    pub(crate) async fn outcome(&self, args: &[&str], limits: Limits) -> Outcome {
        run(&self.program, args, limits).await
    }
}

pub(crate) async fn run(program: &Program, args: &[&str], limits: Limits) -> Outcome {
    let args = ["http-client"].iter().chain(args).copied();
    program.command().args(args).limits(limits).run().await.expect("the host does its part")
}

/// What a guest that came to its end has said.
#[track_caller]
pub(crate) fn said(outcome: &Outcome) -> String {
    let (out, err) = (String::from_utf8_lossy(&outcome.stdout), String::from_utf8_lossy(&outcome.stderr));
    assert!(matches!(outcome.ending, Ending::Returned(_)), "{:?}: {out}{err}", outcome.ending);
    out.trim_end().to_owned()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: it never came to pass");
}

/// The port of a server that answers each head at once, and never looks at what comes behind it, `/redirect` leads to `/`; and
/// how many of its connections are open.
pub(crate) async fn heads_answered() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, open) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let held = Arc::clone(&open);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let held = Arc::clone(&held);
            held.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while matches!(stream.read(&mut head).await, Ok(1..)) {
                    let answer: &[u8] = match head.starts_with(b"POST /redirect") {
                        true => b"HTTP/1.1 303 See Other\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
                        false => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                    };
                    let _ = stream.write_all(answer).await;
                }
                held.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (port, open)
}

/// A port of this machine that nobody listens on.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
