//! A host for tests: the executor and the capabilities that users run, with their backends in memory, and open for the test.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runner_core::{Bounds, Capability, Deterministic, Executor, Grants, Limits, async_trait};
use runner_host_config::Config;
use runner_host_fs::{Grant as FsGrant, HostFs, LocalFs, MemoryFs, MemoryLimits, Mount};
use runner_host_http::{CapsGrant, Grant as HttpGrant, Http, Resolve, Rule, SecretGrant, Secrets};
use runner_host_kv::{Clock, Grant as KvGrant, Kv, ManualClock, MemoryStore, Namespace, StoreGrant};
use runner_host_logging::Logging;
use serde::Serialize;
use serde_json::{Value, json};

use crate::call::Program;
use crate::error::{Error, Result};
use crate::fault::Faulty;
use crate::files::{FileClock, Folder};
use crate::keys::Keys;
use crate::logs::Logs;
use crate::server::Server;

/// A host for tests, to be made up. Everything is closed until it is opened here.
#[must_use = "a builder does nothing until `build`"]
pub struct HostBuilder {
    core: runner_core::Builder,
    stores: Vec<String>,
    /// By the path that guests see them at.
    mounts: BTreeMap<String, Mount>,
    /// Of those the ones that lie in a directory.
    directories: BTreeMap<String, PathBuf>,
    rules: Vec<Rule>,
    caps: CapsGrant,
    names: HashMap<String, Vec<IpAddr>>,
    /// Name, value, and the port of the server that they are for.
    secrets: Vec<(String, String, u16)>,
    config: Option<BTreeMap<String, String>>,
    logs: bool,
    grants: Grants,
    limits: Limits,
    seed: Option<u64>,
}

/// A host for tests. Clones are the same host.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> runner_test::Result<()> {
/// # let wasm = runner_guests::get("kv-counter.wasm");
/// use runner_test::{Host, json};
///
/// let host = Host::builder().kv("default").build()?;
/// host.kv("default").set("visits", "41");
///
/// let program = host.load(wasm).await?;
/// program.call("add", json!(["default", "visits", 1])).await?.assert_returned(json!(42));
/// host.kv("default").assert_holds("visits", "42");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    executor: Executor,
    grants: Grants,
    stores: BTreeMap<String, Keys>,
    folders: BTreeMap<String, Folder>,
    clock: Arc<ManualClock>,
    file_clock: Arc<FileClock>,
    seed: Option<u64>,
    /// Where it is collected.
    logs: Option<Logs>,
    logging: Logging,
}

/// What all clocks of a host say at first, in milliseconds: 2020-01-01, as [`Deterministic::seed`] has it.
const START_MS: u64 = 1_577_836_800_000;

impl HostBuilder {
    /// A key-value store that guests open under a name, empty, in memory: most open `default`.
    pub fn kv(mut self, name: impl Into<String>) -> Self {
        self.stores.push(name.into());
        self
    }

    /// Files that guests see at a path, such as `/data`: a folder in memory, empty, which they may read and write.
    ///
    /// What a guest writes is there once it has returned; what it wrote that failed is discarded.
    pub fn files(self, at: impl Into<String>) -> Self {
        self.mount(at, Mount::default())
    }

    /// The same as a grant says it: read-only, with little room, or each file there once it is closed. The folder is its own,
    /// unless the mount names another's path as its `volume`: then both are one.
    pub fn mount(mut self, at: impl Into<String>, mount: Mount) -> Self {
        self.mounts.insert(at.into(), mount);
        self
    }

    /// The files of a directory of this machine, which has to be there, at a path: as [`files`](HostBuilder::files), or as
    /// [`mount`](HostBuilder::mount) says it of that path. What guests write stays there.
    pub fn directory(mut self, at: impl Into<String>, directory: impl Into<PathBuf>) -> Self {
        let at = at.into();
        self.mounts.entry(at.clone()).or_default();
        self.directories.insert(at, directory.into());
        self
    }

    /// Everything of a server, by its address.
    pub fn http(self, server: &Server) -> Self {
        let rule = server.rule();
        self.http_rule(rule)
    }

    /// Everything of a server by a name, which leads to it: `server.url_as(name, "/path")`.
    ///
    /// # Panics
    /// Where the name is none.
    #[track_caller]
    pub fn http_as(mut self, name: &str, server: &Server) -> Self {
        self.rules.push(server.rule_as(name));
        self.name(name, [IpAddr::V4(Ipv4Addr::LOCALHOST)])
    }

    /// What else may be asked of whom. Addresses that are not public need a range of the rule's, here as everywhere.
    pub fn http_rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Numbers for requests in the place of the host's own, such as shorter time-outs.
    pub fn http_caps(mut self, caps: CapsGrant) -> Self {
        self.caps = caps;
        self
    }

    /// Leads a name to addresses. No other name leads anywhere: the system is not asked.
    pub fn name(mut self, name: impl Into<String>, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.names.insert(name.into(), addresses.into_iter().collect());
        self
    }

    /// A secret, which is filled in for `{{secret:NAME}}` in requests to this server, by its address and by its names.
    pub fn secret(mut self, name: impl Into<String>, value: impl Into<String>, server: &Server) -> Self {
        self.secrets.push((name.into(), value.into(), server.port()));
        self
    }

    /// Values that guests read by `wasi:config`.
    pub fn config<K: Into<String>, V: Into<String>>(mut self, values: impl IntoIterator<Item = (K, V)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.config.get_or_insert_default().extend(values);
        self
    }

    /// Collects what guests log by `wasi:logging`, and what they print; see [`Host::logs`].
    pub fn logging(mut self) -> Self {
        self.logs = true;
        self
    }

    /// A grant as an embedder writes it, in the place of what this builder makes up for that capability.
    pub fn grant(mut self, id: impl Into<String>, grant: impl Into<Value>) -> Self {
        self.grants = self.grants.grant(id, grant);
        self
    }

    /// One more capability, such as your own; guests have it with a [`grant`](HostBuilder::grant).
    pub fn capability(mut self, capability: impl Capability) -> Self {
        self.core = self.core.capability(capability);
        self
    }

    /// What a call may use that says nothing else.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where the random numbers of guests start. Default 0: each call has the same.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Gives guests the machine's clocks and random numbers, in the place of those that are the same in every run.
    pub fn undetermined(mut self) -> Self {
        self.seed = None;
        self
    }

    /// Builds the host.
    ///
    /// # Errors
    /// Where two capabilities have one id, a grant does not fit its capability, the names of stores and secrets are none, a
    /// secret is for a server that was not opened, or a directory does not open.
    pub fn build(self) -> Result<Host> {
        let clock = Arc::new(ManualClock::at_ms(START_MS));
        let told: Arc<dyn Clock> = clock.clone();
        let store = Faulty::new(MemoryStore::with_clock(told));
        let (mut granted, mut stores) = (KvGrant::default(), BTreeMap::new());
        for name in self.stores {
            let refused = |error| Error::host(format!("store `{name}`")).caused_by(error);
            // Its name space has a name, whatever guests call it.
            let namespace = Namespace::new(format!("store {name}")).map_err(refused)?;
            granted.stores.insert(name.clone(), StoreGrant::new(namespace.clone()));
            stores.insert(name.clone(), Keys::new(name, namespace, store.clone()));
        }
        let file_clock = Arc::new(FileClock::at_ms(START_MS));
        let (mut mounted, mut folders, mut files) = (FsGrant::default(), BTreeMap::new(), HostFs::new());
        for (at, mount) in self.mounts {
            if mount.volume.is_none() {
                let folder = match self.directories.get(&at) {
                    Some(directory) => {
                        let refused = |error| Error::host(format!("directory for `{at}`")).caused_by(error);
                        Folder::in_directory(at.clone(), LocalFs::open(directory).map_err(refused)?)
                    }
                    None => {
                        let tree = MemoryFs::with_clock(MemoryLimits::default(), file_clock.clone());
                        Folder::in_memory(at.clone(), tree)
                    }
                };
                files = files.volume(at.clone(), folder.volume());
                folders.insert(at.clone(), folder);
            }
            let volume = mount.volume.clone().or_else(|| Some(at.clone()));
            mounted.mounts.insert(at, Mount { volume, ..mount });
        }
        let secrets = Secrets::new(self.secrets.iter().map(|(name, value, _)| (name.as_str(), value.as_str())))?;
        let http = Http::new().resolver(Names(self.names)).secrets(secrets);
        let mut grants = Grants::none();
        if !stores.is_empty() {
            grants = grants.grant("kv", written(&granted)?);
        }
        if !mounted.mounts.is_empty() {
            grants = grants.grant("fs", written(&mounted)?);
        }
        // Whoever grants `http` himself says there what for.
        if self.grants.get("http").is_none() {
            let is_open = |port: u16| self.rules.iter().any(|rule| rule.port == Some(port));
            if let Some((name, ..)) = self.secrets.iter().find(|(_, _, port)| !is_open(*port)) {
                return Err(Error::host(format!(
                    "secret `{name}` is for a server that guests may not ask: open it with `Host::builder().http(&server)`, or \
                     grant `http`"
                )));
            }
        }
        if !self.rules.is_empty() {
            let hosts_of = |port: u16| {
                let named = self.rules.iter().filter(|rule| rule.port == Some(port)).map(|rule| rule.host.to_string());
                named.chain(["127.0.0.1".to_owned()]).collect::<Vec<_>>()
            };
            let secrets = self.secrets.iter().map(|(name, _, port)| secret(name, &hosts_of(*port)));
            let secrets = secrets.collect::<Result<_>>()?;
            let granted = HttpGrant { allow: self.rules, secrets, caps: self.caps };
            grants = grants.grant("http", written(&granted)?);
        }
        if let Some(values) = &self.config {
            grants = grants.grant("config", json!({ "values": values }));
        }
        if self.logs {
            grants = grants.grant("logging", json!({}));
        }
        for id in self.grants.ids() {
            grants = grants.grant(id, self.grants.get(id).cloned().unwrap_or_default());
        }
        let core = self.core.bounds(bounds()).limits(self.limits);
        let core = core.capability(Kv::new(store)).capability(http).capability(Config::default()).capability(files);
        let (logging, logs) = (Logging::new(), self.logs.then(Logs::default));
        let executor = core.capability(logging.clone()).build()?;
        executor.check(&grants)?;
        Ok(Host(Arc::new(Inner {
            executor,
            grants,
            stores,
            folders,
            clock,
            file_clock,
            seed: self.seed,
            logs,
            logging,
        })))
    }
}

impl Host {
    /// A host to be made up, with everything closed.
    pub fn builder() -> HostBuilder {
        HostBuilder {
            core: Executor::builder(),
            stores: Vec::new(),
            mounts: BTreeMap::new(),
            directories: BTreeMap::new(),
            rules: Vec::new(),
            caps: CapsGrant::default(),
            names: HashMap::new(),
            secrets: Vec::new(),
            config: None,
            logs: false,
            grants: Grants::none(),
            limits: Limits::default(),
            seed: Some(0),
        }
    }

    /// Makes a guest ready to run, with everything that the host has open.
    ///
    /// # Errors
    /// As [`Executor::load`]: what is no module, and an import that nothing was opened for.
    pub async fn load(&self, guest: impl AsRef<[u8]>) -> Result<Program> {
        let program = self.0.executor.load(guest.as_ref(), &self.0.grants).await?;
        Ok(Program::new(program, self.clone()))
    }

    /// A store that was opened.
    ///
    /// # Panics
    /// Where it was not, with those that were.
    #[track_caller]
    pub fn kv(&self, name: &str) -> &Keys {
        self.0.stores.get(name).unwrap_or_else(|| {
            let known: Vec<_> = self.0.stores.keys().collect();
            panic!("the host has no store `{name}`, it has {known:?}: open one with `Host::builder().kv({name:?})`")
        })
    }

    /// The files that guests see at a path, which was opened.
    ///
    /// # Panics
    /// Where it was not, with those that were.
    #[track_caller]
    pub fn files(&self, at: &str) -> &Folder {
        self.0.folders.get(at).unwrap_or_else(|| {
            let known: Vec<_> = self.0.folders.keys().collect();
            panic!("the host has no files at `{at}`, it has {known:?}: open some with `Host::builder().files({at:?})`")
        })
    }

    /// What guests log and print.
    ///
    /// # Panics
    /// Where it is not collected: [`HostBuilder::logging`] does.
    #[track_caller]
    pub fn logs(&self) -> &Logs {
        self.collected().unwrap_or_else(|| panic!("the host collects no log: `Host::builder().logging()` does"))
    }

    pub(crate) fn collected(&self) -> Option<&Logs> {
        self.0.logs.as_ref()
    }

    /// Waits until all that guests have said is where it is collected.
    pub(crate) async fn flush(&self) {
        let logging = self.0.logging.clone();
        // What a runtime that ends has no thread for is not waited for.
        let _ = tokio::task::spawn_blocking(move || logging.flush(PATIENCE)).await;
    }

    /// Winds the clocks on: values in stores end, files are changed later, and the next call finds it later. A call under way does not see it.
    pub fn advance(&self, time: Duration) {
        self.0.clock.advance(time);
        self.0.file_clock.advance(time);
    }

    /// The executor beneath, for what this kit has no word for.
    pub fn executor(&self) -> &Executor {
        &self.0.executor
    }

    /// What guests were granted.
    pub fn grants(&self) -> &Grants {
        &self.0.grants
    }

    pub(crate) fn deterministic(&self) -> Option<Deterministic> {
        let start = Duration::from_millis(self.0.clock.now_ms());
        self.0.seed.map(|seed| Deterministic { seed, start })
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { executor, grants, stores, folders, .. } = &*self.0;
        let mut told = f.debug_struct("Host");
        told.field("executor", executor)
            .field("grants", grants)
            .field("stores", stores)
            .field("folders", folders)
            .finish_non_exhaustive()
    }
}

/// How long a call waits for the thread that writes the log: a subscriber that takes so long for a line stands still.
const PATIENCE: Duration = Duration::from_secs(5);

/// A test has few calls at once, and guests that may not be optimised.
fn bounds() -> Bounds {
    Bounds { calls: 32, queue: 1_000, module_bytes: 256 << 20, body_bytes: 4 << 20, ..Bounds::default() }
}

fn written(grant: &impl Serialize) -> Result<Value> {
    serde_json::to_value(grant).map_err(|error| Error::host("the grant cannot be written as JSON").caused_by(error))
}

fn secret(name: &str, hosts: &[String]) -> Result<SecretGrant> {
    let granted = json!({ "name": name, "hosts": hosts, "plain": true });
    serde_json::from_value(granted).map_err(|error| Error::host(format!("secret `{name}`")).caused_by(error))
}

/// Names that lead where a test says, and no others.
struct Names(HashMap<String, Vec<IpAddr>>);

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let unknown = || io::Error::other("the test leads this name nowhere: `Host::builder().http_as(..)` does");
        self.0.get(name).cloned().ok_or_else(unknown)
    }
}
