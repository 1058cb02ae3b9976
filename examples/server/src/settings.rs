//! What the operator chose. Values only, each number with its reason; nothing here acts.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderValue;
use runner_core::{Bounds, Limits};
use sha2::{Digest, Sha256};

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens: a `Host` header must name this address, the loopback, or one of `hosts`, with this port.
    pub listen: SocketAddr,
    /// Further names that it answers to, such as that of a proxy before it. They stand with this port or with none.
    pub hosts: Vec<String>,
    /// Pages elsewhere that may call it, such as `https://example.com`.
    pub origins: Vec<HeaderValue>,
    /// What callers must show. Without one, everybody who reaches the address may call.
    pub token: Option<Token>,
    /// What one call may ask for at most.
    pub limits_max: Limits,
    /// What all that is sent here may hold in memory; stored modules on their way from the disk as much again, and
    /// answers that nobody has taken yet.
    pub held_bytes: usize,
}

impl Settings {
    /// A server on an address, open to whoever reaches it, with the usual limits.
    pub fn new(listen: SocketAddr) -> Self {
        Settings {
            listen,
            hosts: Vec::new(),
            origins: Vec::new(),
            token: None,
            limits_max: limits_max(),
            held_bytes: 512 << 20, // four modules of the largest size, or two of the longest answers
        }
    }

    /// The values that a `Host` header may have.
    pub(crate) fn authorities(&self) -> Vec<String> {
        // A listen address that is 0.0.0.0 or [::] is nobody's name.
        let listen = (!self.listen.ip().is_unspecified()).then(|| self.listen.ip().to_string());
        let listen = listen.map(|ip| if ip.contains(':') { format!("[{ip}]") } else { ip });
        let loopback = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let port = self.listen.port();
        let mut authorities = Vec::new();
        for own in loopback.into_iter().chain(listen) {
            authorities.push(format!("{own}:{port}"));
            if port == 80 {
                authorities.push(own);
            }
        }
        for name in &self.hosts {
            // Behind a proxy the port is the proxy's, and mostly left out.
            authorities.extend([format!("{name}:{port}"), name.clone()]);
        }
        authorities.iter_mut().for_each(|authority| authority.make_ascii_lowercase());
        authorities.sort();
        authorities.dedup();
        authorities
    }
}

/// The most that one call may ask for on a small server.
pub fn limits_max() -> Limits {
    Limits {
        deadline: Duration::from_secs(60), // the patience of most clients and proxies
        memory_bytes: 1 << 30,             // 1 GiB: a few such calls fit the machine
        table_elements: 1_000_000,
        instances: 256,
        fuel: 1_000_000_000_000, // about ten minutes of work: the deadline comes first
        host_calls: 100_000_000,
        host_bytes: 4 << 30,
        handles: 1_000, // a handle may stand for 128 KiB: 125 MiB beside the memory
        input_bytes: 64 << 20,
        output_bytes: 32 << 20, // as the guest wrote it; in JSON up to six times that, in memory until it is sent
    }
}

/// The bounds of an executor on a small server.
pub fn bounds() -> Bounds {
    Bounds {
        calls: 64,    // 64 calls of the default 256 MiB fill a machine of 16 GiB
        queue: 1_000, // a few seconds of work for them
        compile: Duration::from_secs(30),
        compile_queue: 16, // each holds its module's bytes
        // What a call wrote to a bucket is committed then: at 20 ms a request, some 30,000 small files.
        close_grace: Duration::from_secs(60),
        ..Bounds::default()
    }
}

/// What callers show. Kept as its digest: comparing digests tells nobody how much of a guess was right.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// A token of visible characters, as they stand in a header.
    ///
    /// # Errors
    /// Where it is empty or has a character that a header cannot carry.
    pub fn new(text: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(!text.is_empty(), "the token is empty");
        anyhow::ensure!(
            text.bytes().all(|byte| byte.is_ascii_graphic()),
            "the token has a character that is not visible ASCII"
        );
        Ok(Token(Sha256::digest(text).into()))
    }

    /// Whether it is the same. Takes the same time wherever the two differ.
    pub(crate) fn matches(&self, shown: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        self.0.iter().zip(shown).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
