//! A proxy in front of any S3: it counts the requests, and does to them what networks and stores do to requests. It passes on the
//! bytes as they came, so the signature holds that the client made for the proxy's own address.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::endpoint::Endpoint;
use crate::kind::Kind;
use crate::log::{Log, Request};

mod fault;
mod relay;
mod sign;
mod wire;

pub use fault::{Chance, Fault, Rule};
pub(crate) use sign::sign;
pub(crate) use wire::Head;

use fault::Plan;

/// A proxy in front of a store. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    /// Taken when the proxy is dropped.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Shared {
    store: SocketAddr,
    secret_key: String,
    log: Log,
    state: Mutex<State>,
    /// Where the proxy halts.
    halt: watch::Sender<Halt>,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    latency: Duration,
    ignores_preconditions: bool,
    skew_seconds: i64,
    /// The last small answer of each kind, as it stood on the wire.
    answers: HashMap<Kind, Bytes>,
}

/// What the proxy passes on of the request that it halts at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Passes {
    #[default]
    Nothing,
    /// Its head and half of its body.
    Half,
    /// All of it; its answer is held.
    All,
}

/// Whether, and where, the proxy halts.
#[derive(Debug, Clone, Default)]
struct Halt {
    /// This request and all later ones are held.
    at: Option<u64>,
    /// How much of the request itself is passed on.
    passes: Passes,
    /// It has come.
    reached: bool,
    /// Requests that the store may be busy with.
    under_way: u64,
    /// Grows when the proxy goes on: who was held before is let go.
    released: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// A proxy on a free port of loopback that does nothing yet but count.
    pub fn before(store: &Endpoint) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3-proxy")
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
        let endpoint = Endpoint { address, url: format!("http://{address}"), ..store.clone() };
        let shared = Arc::new(Shared {
            store: store.address,
            secret_key: store.secret_key.clone(),
            log: Log::default(),
            state: Mutex::default(),
            halt: watch::Sender::default(),
        });
        runtime.spawn(relay::serve(listener, Arc::clone(&shared)));
        Self { shared, endpoint, runtime: Some(runtime) }
    }

    /// The store's endpoint, by way of the proxy.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// The requests since the last reset, in the order in which their heads came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.requests()
    }

    /// How many requests there were, by kind.
    pub fn counts(&self) -> BTreeMap<Kind, u64> {
        self.shared.log.counts()
    }

    /// The log of requests. The indices of rules and halts count from its last reset.
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// The faults by script, instead of those before. Of the rules that fit a request the first one counts.
    pub fn script(&self, rules: impl IntoIterator<Item = Rule>) {
        self.shared.state().plan.rules = rules.into_iter().collect();
    }

    /// Faults by chance, for requests that no rule fits.
    pub fn chance(&self, chance: Chance) {
        self.shared.state().plan.chance = Some(chance);
    }

    /// No more faults.
    pub fn calm(&self) {
        self.shared.state().plan = Plan::default();
    }

    /// Each request waits so long before it is passed on, beside all others.
    pub fn latency(&self, latency: Duration) {
        self.shared.state().latency = latency;
    }

    /// The `Date` of every answer is shifted by so many seconds.
    pub fn skew(&self, seconds: i64) {
        self.shared.state().skew_seconds = seconds;
    }

    /// Whether conditions are taken out of requests, which are then signed anew: the store behind does as it is asked, and a client
    /// must find that out.
    pub fn ignore_preconditions(&self, ignore: bool) {
        self.shared.state().ignores_preconditions = ignore;
    }

    /// Halts before the request of this index: it and all later ones are held, and the store does not hear of them.
    pub fn halt_before(&self, index: u64) {
        self.halt(index, Passes::Nothing);
    }

    /// Halts within the request of this index: its head and half of its body are passed on, and then nothing more. One without a body
    /// is held before.
    pub fn halt_within(&self, index: u64) {
        self.halt(index, Passes::Half);
    }

    /// Halts after the request of this index: the store has done it, its answer is held, and so are all later requests.
    pub fn halt_after(&self, index: u64) {
        self.halt(index, Passes::All);
    }

    fn halt(&self, index: u64, passes: Passes) {
        self.shared.halt.send_modify(|halt| (halt.at, halt.passes, halt.reached) = (Some(index), passes, false));
    }

    /// Waits until the proxy has halted and the store has answered what came before: from then on it does nothing more.
    pub async fn halted(&self) {
        let mut halt = self.shared.halt.subscribe();
        halt.wait_for(|halt| halt.reached && halt.under_way == 0).await.expect("the proxy is there");
    }

    /// Goes on. What was held is not passed on: its connections are reset.
    pub fn resume(&self) {
        self.shared.halt.send_modify(|halt| {
            (halt.at, halt.passes, halt.reached) = (None, Passes::Nothing, false);
            halt.released += 1;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
