//! The options of a gateway at its start.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How to serve.
#[derive(Clone)]
pub struct Options {
    /// Where to listen: `ADDRESS:PORT`; port 0 is any free one.
    pub listen: String,
    /// The certificate chain and its key (PEM), for TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// A file of bearer tokens, without one of which nothing but `/health` answers.
    pub token_file: Option<PathBuf>,
    /// Proxies in front of it, `ADDRESS` or `ADDRESS/BITS`: their `X-Forwarded-For` names the client.
    pub proxies: Vec<String>,
    /// Whether chunks may be removed.
    pub allow_delete: bool,
    /// The limits.
    pub limits: Limits,
    /// The receiver of messages for the gateway's operator.
    pub log: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".into(),
            tls: None,
            token_file: None,
            proxies: Vec::new(),
            allow_delete: false,
            limits: Limits::default(),
            log: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The limits of a gateway.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections at once. For another one, that goes which has done nothing for longest; if none does
    /// nothing, it waits to be accepted.
    pub connections: usize,
    /// Most of them from one address (an IPv6 network of /64 is one), but for proxies.
    pub connections_each: usize,
    /// Most requests at once; others are told to come back.
    pub requests: usize,
    /// Most calls of the store at once.
    pub store_calls: usize,
    /// Requests a second from one address with one token, four times as many in a burst; 0 for any number.
    pub rate: u32,
    /// Memory for records on their way in and out, in bytes; half of it for one address.
    pub memory_bytes: usize,
    /// Most bodies at once that come in parts and are not whole; see `memory_bytes`, of which they take half, …
    pub bodies: usize,
    /// … and of one address.
    pub bodies_each: usize,
    /// For the head of a request, from the end of the one before or the start of the connection.
    pub head: Duration,
    /// For a body that does not move; see `slowest`.
    pub stall: Duration,
    /// A line slower than this, in bytes a second, is no line.
    pub slowest: u32,
    /// For a place among the requests, the store's calls and in memory, all together.
    pub wait: Duration,
    /// For requests under way when the gateway is told to end.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_each: 256,
            requests: 512,
            store_calls: 32,
            rate: 1000,
            memory_bytes: 256 << 20,
            bodies: 1024,
            bodies_each: 128,
            head: Duration::from_secs(30),
            stall: Duration::from_secs(20),
            slowest: 16 * 1024,
            wait: Duration::from_secs(15),
            farewell: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// How long this many bytes may take on the slowest line.
    pub(crate) fn for_bytes(&self, bytes: usize) -> Duration {
        Duration::from_micros(bytes as u64 * 1_000_000 / u64::from(self.slowest.max(1)))
    }
}
