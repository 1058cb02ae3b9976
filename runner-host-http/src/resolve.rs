//! From names to addresses: once for each connection, and what is dialled is what was checked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolving};
use runner_core::async_trait;
use tokio::sync::Semaphore;

use crate::address::Range;
use crate::error::{Error, ErrorKind};
use crate::policy::Policy;

/// Knows the addresses of names.
///
/// It need not judge them: each answer is checked before it is dialled.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a name (lower case, ASCII, no dot at its end), the preferred first.
    ///
    /// Whoever asks waits for no longer than [`Caps::connect`](crate::Caps::connect); the future is run to its end all the
    /// same, and counts as a look-up until then: 8 may be under way for a grant, 32 for all. So it has to come to an end.
    /// An empty answer is a name that is not known.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the system, with its hosts file and its search domains.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Look-ups under way for all grants. The system's own keeps a thread of the runtime's until it has an answer, whoever still
/// waits for it, and of those there are 512 for all that blocks.
pub(crate) const LOOKUPS_MAX: usize = 32;

/// The same for one grant, so that names whose servers never answer cost the others little.
pub(crate) const LOOKUPS_EACH_MAX: usize = 8;

/// A resolver that gives what may be dialled, with the ranges that rules grant.
#[derive(Clone)]
pub(crate) struct Checked {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) granted: Arc<[Range]>,
    /// Of the grant, and of all.
    pub(crate) lookups: [Arc<Semaphore>; 2],
}

impl Checked {
    /// The same with other ranges.
    pub(crate) fn granting(&self, granted: &[Range]) -> Self {
        Checked { granted: granted.into(), ..self.clone() }
    }

    async fn reachable(&self, name: &str) -> Result<Vec<SocketAddr>, Error> {
        let found = self.look_up(name).await.map_err(|error| {
            Error::new(ErrorKind::NameUnknown, format!("host `{name}` could not be resolved: {error}"))
        })?;
        let mut reachable = self.policy.reachable(name, &found, &self.granted)?;
        reachable.truncate(ADDRESSES_MAX);
        Ok(reachable.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }

    /// On a task of its own: a look-up that nobody waits for any more keeps its place until it is over.
    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let [mine, all] = self.lookups.clone();
        let mine = mine.acquire_owned().await.map_err(io::Error::other)?;
        let all = all.acquire_owned().await.map_err(io::Error::other)?;
        let (resolver, name) = (Arc::clone(&self.resolver), name.to_owned());
        let looking = tokio::spawn(async move {
            let _places = (mine, all);
            resolver.resolve(&name).await
        });
        looking.await.map_err(|_| io::Error::other("the resolver panicked"))?
    }
}

impl reqwest::dns::Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let checked = self.clone();
        Box::pin(async move { Ok(Box::new(checked.reachable(name.as_str()).await?.into_iter()) as Addrs) })
    }
}
