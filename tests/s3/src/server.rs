//! The server in process: S3 over HTTP on a port of loopback, on threads of its own, with its state open to the test.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, HeaderValue};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::host::{S3Host, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{HttpError, HttpResponse, S3Result};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::clock::Clock;
use crate::content::Content;
use crate::endpoint::Endpoint;
use crate::generated::Generated;
use crate::kind::{Call, Kind, bucket_of_host};
use crate::log::{Log, Request};
use crate::service::{Service, Shared, hex, uploads_of};
use crate::store::{Conditions, Object, Upload};
use crate::{ACCESS_KEY, BUCKET, SECRET_KEY};

/// How a server is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// ETags are numbers that count up and not MD5, as S3 has it for objects with encryption: for benches, since MD5 is slower than
    /// the rest of the way. Off.
    pub quick_etags: bool,
    /// The threads that serve. Two.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { quick_etags: false, threads: 2 }
    }
}

/// A server of S3 that holds everything in memory. It ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    log: Log,
    address: SocketAddr,
    /// Taken when the server is dropped.
    runtime: Option<Runtime>,
}

/// An upload that is open.
#[derive(Debug, Clone)]
pub struct OpenUpload {
    /// The key that it will become.
    pub key: String,
    /// Its id.
    pub id: String,
    /// What has arrived.
    pub upload: Upload,
}

impl Server {
    /// A server with the bucket [`BUCKET`], on a free port.
    pub fn start() -> Self {
        Self::with(Settings::default())
    }

    /// A server by settings.
    pub fn with(settings: Settings) -> Self {
        let shared = Arc::new(Shared::new(settings.quick_etags));
        let log = Log::default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.threads)
            .thread_name("s3")
            .enable_all()
            .build()
            .expect("a runtime has threads and a reactor");
        // Without waiting: whoever starts it may be in a runtime, where that is forbidden.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be without waiting");
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("the runtime has a reactor");
        drop(entered);
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut builder = S3ServiceBuilder::new(Service(Arc::clone(&shared)));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        builder.set_host(Localhost);
        // A client of Amazon's corrects its own clock by the `Date` of an answer, which here is what a test has wound.
        let mut config = S3Config::default();
        config.presigned_url_max_skew_time_secs = u32::MAX;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        runtime.spawn(serve(listener, builder.build(), log.clone(), shared.clock.clone()));
        let server = Self { shared, log, address, runtime: Some(runtime) };
        server.create_bucket(BUCKET);
        server
    }

    /// Where it listens, and what it lets in.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::of(self.address)
    }

    /// The requests since the last reset, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.log.requests()
    }

    /// How many requests there were, by kind.
    pub fn counts(&self) -> BTreeMap<Kind, u64> {
        self.log.counts()
    }

    /// The log of requests.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The clock behind `LastModified` and `Date`. Signatures are checked by the time of the machine.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Whether writes, deletes and copies do as they are asked whatever their conditions say, and answer that all is well: what
    /// several stores do, and what a client must find out.
    pub fn ignore_preconditions(&self, ignore: bool) {
        self.shared.store().ignores_preconditions = ignore;
    }

    /// Makes a bucket.
    ///
    /// # Panics
    ///
    /// When it is there.
    pub fn create_bucket(&self, bucket: &str) {
        self.shared.store().create_bucket(bucket).expect("the bucket is new");
    }

    /// The objects of a bucket that are stored, by key, without the computed ones.
    ///
    /// # Panics
    ///
    /// This and the rest: when there is no such bucket.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Arc<Object>> {
        self.shared.store().bucket(bucket).expect("the bucket is there").objects.clone()
    }

    /// The object of a key.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Arc<Object>> {
        self.shared.store().bucket(bucket).expect("the bucket is there").find(key)
    }

    /// Stores an object as a stranger would, past Runner and past the log; gives its ETag.
    pub fn put(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) -> String {
        self.put_with(bucket, key, bytes, [])
    }

    /// Stores an object with metadata.
    pub fn put_with<const N: usize>(
        &self,
        bucket: &str,
        key: &str,
        bytes: impl Into<Bytes>,
        metadata: [(&str, &str); N],
    ) -> String {
        let content = Content::from(bytes.into());
        let etag = hex(&self.shared.digest(&content));
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let object = Object { metadata, ..Object::new(content, etag, self.shared.second()) };
        self.put_object(bucket, key, object)
    }

    /// Stores an object of any size whose bytes are the [`pattern`](crate::pattern) of a seed: it takes no memory.
    pub fn put_computed(&self, bucket: &str, key: &str, bytes: u64, seed: u64) -> String {
        let generated = Generated::new(1, bytes, seed, |_| String::new()).object(0);
        let object = Object { modified: self.shared.second(), ..Object::clone(&generated) };
        self.put_object(bucket, key, object)
    }

    fn put_object(&self, bucket: &str, key: &str, object: Object) -> String {
        let etag = object.etag.clone();
        self.shared.store().put(bucket, key, object, &Conditions::default()).expect("the bucket is there");
        etag
    }

    /// Removes an object as a stranger would; tells whether it was there.
    pub fn remove(&self, bucket: &str, key: &str) -> bool {
        self.shared.store().bucket_mut(bucket).expect("the bucket is there").objects.remove(key).is_some()
    }

    /// Removes all objects, computed keys and uploads of a bucket.
    pub fn clear(&self, bucket: &str) {
        let mut store = self.shared.store();
        *store.bucket_mut(bucket).expect("the bucket is there") = crate::store::Bucket::default();
    }

    /// Adds a run of keys that are computed, not stored.
    pub fn generate(&self, bucket: &str, generated: Generated) {
        self.shared.store().bucket_mut(bucket).expect("the bucket is there").generated.push(generated);
    }

    /// The uploads that are neither complete nor aborted.
    pub fn uploads(&self, bucket: &str) -> Vec<OpenUpload> {
        let store = self.shared.store();
        let uploads = uploads_of(store.bucket(bucket).expect("the bucket is there")).into_iter();
        uploads.map(|((key, id), upload)| OpenUpload { key, id, upload }).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A runtime may be dropped where blocking is forbidden only this way.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Buckets by the virtual-host style: `BUCKET.localhost`, whatever the port.
struct Localhost;

impl S3Host for Localhost {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let parsed = VirtualHost::new(host);
        Ok(match bucket_of_host(host) {
            Some(bucket) => parsed.with_bucket(bucket),
            None => parsed,
        })
    }
}

async fn serve(listener: TcpListener, service: S3Service, log: Log, clock: Clock) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // A small answer is not to wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let (service, log, clock) = (service.clone(), log.clone(), clock.clone());
        let one = service_fn(move |request| answer(request, service.clone(), log.clone(), clock.clone()));
        let mut connection = hyper::server::conn::http1::Builder::new();
        connection.timer(TokioTimer::new());
        // A client that goes away is no error of the server's.
        tokio::spawn(async move { drop(connection.serve_connection(TokioIo::new(stream), one).await) });
    }
}

async fn answer(
    request: http::Request<Incoming>,
    service: S3Service,
    log: Log,
    clock: Clock,
) -> Result<HttpResponse, HttpError> {
    let (uri, headers) = (request.uri(), request.headers());
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let call = Call::read(request.method().as_str(), target, |name| headers.get(name)?.to_str().ok());
    let ticket = log.begin(call);
    let mut response = service.call(request.map(Into::into)).await?;
    let mut date = Vec::new();
    Timestamp::from(clock.now()).format(TimestampFormat::HttpDate, &mut date).expect("a date is written to memory");
    response.headers_mut().insert(DATE, HeaderValue::from_bytes(&date).expect("a date is a header's value"));
    let len = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let len = len.or_else(|| hyper::body::Body::size_hint(response.body()).exact());
    log.answered(ticket, response.status().as_u16(), len.unwrap_or(0));
    Ok(response)
}
