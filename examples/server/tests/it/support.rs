//! A server without a port, requests to it, and answers that a test can read.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use runner_core::{Executor, Limits, LocalStore};
use runner_host_config::Config;
use runner_host_fs::{HostFs, LocalFs, Volume};
use runner_host_http::{Http, Secrets};
use runner_host_kv::{Kv, MemoryStore, SqliteStore};
use runner_server::{Capacity, Flows, Lending, Server, Settings, Store, app, bounds};
use runner_workflow::store::SqliteStore as Executions;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

pub(crate) const HOST: &str = "127.0.0.1:8080";

/// The host's secrets.
pub(crate) const SECRETS: [(&str, &str); 2] = [("API_KEY", "s3cr3t-v4lue"), ("WEBHOOK_TOKEN", "another-v4lue")];

/// A server over a directory that goes away with it.
pub(crate) struct Site {
    app: Router,
    flows: Flows,
    data: TempDir,
}

/// What a test wants to be otherwise.
pub(crate) struct Wants {
    pub(crate) settings: Settings,
    pub(crate) capacity: Capacity,
    pub(crate) bounds: runner_core::Bounds,
    pub(crate) limits: Limits,
    /// Bytes of compiled code kept on disk.
    pub(crate) code_bytes: u64,
    pub(crate) page: Option<Dir>,
    pub(crate) guests: Option<Dir>,
    pub(crate) secrets: &'static [(&'static str, &'static str)],
    /// Values that modules may be granted to read.
    pub(crate) config: &'static [(&'static str, &'static str)],
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Wants)) -> Self {
        Self::over(TempDir::new().unwrap(), change)
    }

    /// The same directory, and a server that starts anew.
    pub(crate) async fn restarted(self) -> Self {
        self.restarted_with(|_| {}).await
    }

    pub(crate) async fn restarted_with(self, change: impl FnOnce(&mut Wants)) -> Self {
        let Site { app, flows, data } = self;
        drop(app);
        // Workflows are one process's.
        flows.shutdown().await;
        drop(flows);
        Self::over(data, change)
    }

    fn over(data: TempDir, change: impl FnOnce(&mut Wants)) -> Self {
        let mut wants = Wants {
            settings: Settings::new(HOST.parse().unwrap()),
            capacity: Capacity::default(),
            bounds: runner_core::Bounds { calls: 8, ..bounds() },
            limits: Limits { deadline: Duration::from_secs(5), ..Limits::default() },
            code_bytes: LocalStore::BYTES_MAX,
            page: None,
            guests: None,
            secrets: &SECRETS,
            config: &[("region", "north")],
        };
        change(&mut wants);
        let builder = Executor::builder()
            .bounds(wants.bounds)
            .limits(wants.limits)
            .local_store(LocalStore::open(data.path().join("code")).unwrap().bytes_max(wants.code_bytes));
        let kv =
            Kv::new(SqliteStore::open(data.path().join("kv.sqlite")).unwrap()).backend("memory", MemoryStore::new());
        for folder in ["modules", "files", "workflows"] {
            std::fs::create_dir_all(data.path().join(folder)).unwrap();
        }
        let files: Arc<dyn Volume> = Arc::new(LocalFs::open(data.path().join("files")).unwrap());
        let lending = Lending {
            http: Http::new().secrets(Secrets::new(wants.secrets.iter().copied()).unwrap()),
            kv: kv.clone(),
            files: HostFs::new().volume("files", Arc::clone(&files)),
            config: Config::new(wants.config.iter().copied()),
        };
        let executor = lending.to(builder).build().unwrap();
        let store = Store::open(dir(&data.path().join("modules")), wants.capacity).unwrap();
        let kept = Executions::open(data.path().join("workflows/workflows.sqlite")).unwrap();
        let flows = Flows::start(kept, &executor, &store, &wants.settings);
        let app = app(Server {
            settings: wants.settings,
            executor,
            store,
            flows: flows.clone(),
            kv,
            secrets: wants.secrets.iter().map(|(name, _)| (*name).to_owned()).collect(),
            files: Some(files),
            page: wants.page,
            guests: wants.guests,
            accounts: TaskTracker::new(),
        });
        Site { app, flows, data }
    }

    /// Its routes, for a listener.
    pub(crate) fn app(&self) -> Router {
        self.app.clone()
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Sends a request as it is, and gives the answer with its body still on the way.
    pub(crate) async fn open(&self, mut request: Request<Body>) -> Response {
        request.headers_mut().entry(header::HOST).or_insert(HOST.parse().unwrap());
        self.app.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.open(request).await).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.send(request(method, path, body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Body::empty()).await
    }

    /// Stores a text or binary under a name.
    pub(crate) async fn put(&self, name: &str, module: impl Into<Body>) -> Value {
        let answer = self.ask("PUT", &format!("/v1/modules/{name}"), module).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.json()
    }

    pub(crate) async fn call(&self, reference: &str, request: &Value) -> Answer {
        self.ask("POST", &format!("/v1/modules/{reference}/call"), request.to_string()).await
    }
}

pub(crate) fn dir(path: &Path) -> Dir {
    Dir::open_ambient_dir(path, ambient_authority()).unwrap()
}

pub(crate) fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(path).body(body.into()).unwrap()
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The outcome's ending, where the host did its part.
    #[track_caller]
    pub(crate) fn ending(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.json()["ending"].clone()
    }

    /// The value that the guest returned.
    #[track_caller]
    pub(crate) fn returned(&self) -> Value {
        let ending = self.ending();
        assert_eq!(ending["kind"], "returned", "{self:?}");
        ending["value"].clone()
    }

    /// A problem in the form of RFC 9457, of this status and kind, whose detail has these words.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, kind: &str, words: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank", "{self:?}");
        assert_eq!(problem["title"], self.status.canonical_reason().unwrap(), "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        assert_eq!(problem["kind"], kind, "{self:?}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "expected `{words}`: {self:?}");
    }
}
