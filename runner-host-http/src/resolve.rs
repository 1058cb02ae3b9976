//! From names to addresses: once for each connection, and what is dialled is what was checked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolving};
use runner_core::async_trait;

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
    /// It runs within [`Caps::connect`](crate::Caps::connect). An empty answer is a name that is not known.
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

/// A resolver that gives what may be dialled, with the ranges that the rules of one pool grant.
pub(crate) struct Checked {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) granted: Arc<[Range]>,
}

impl reqwest::dns::Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, granted) = (Arc::clone(&self.resolver), Arc::clone(&self.granted));
        Box::pin(async move {
            let name = name.as_str();
            let found = resolver.resolve(name).await.map_err(|error| {
                Error::new(ErrorKind::NameUnknown, format!("host `{name}` could not be resolved: {error}"))
            })?;
            let mut reachable = Policy::reachable(name, &found, &granted)?;
            reachable.truncate(ADDRESSES_MAX);
            let addresses: Addrs = Box::new(reachable.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
