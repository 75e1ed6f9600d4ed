//! The client, connected when it is first needed.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ant_core::data::{ChunkCache, Client, ClientConfig};
use safeos_store::{Error, Result};
use tokio::runtime::Runtime;

use super::failure;
use super::network_config::NetworkConfig;

/// Connecting takes no longer.
const CONNECT_MAX: Duration = Duration::from_secs(60);
/// Attempts to connect before the network counts as out of reach: a peer that is busy for a moment, or a packet that is
/// lost, is no lost network.
const TRIES: usize = 2;
/// A new connection has peers within this time, or has none.
const PEERS_WITHIN: Duration = Duration::from_secs(3);
/// How often a waiting caller checks whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Threads for the network's own work.
const WORKERS: usize = 2;
/// Chunks that the client remembers; there is a cache above this.
const REMEMBERED: usize = 2;

/// A connection to the network, with threads of its own.
pub(crate) struct Link {
    pub place: NetworkConfig,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    client: tokio::sync::Mutex<Option<Arc<Client>>>,
    ended: AtomicBool,
}

impl Link {
    pub fn new(place: NetworkConfig) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("autonomi")
            .enable_all()
            .build()
            .map_err(|error| Error::Broken {
                url: place.url.clone(),
                why: format!("its threads cannot be started: {error}"),
            })?;
        Ok(Self {
            place,
            runtime: Some(runtime),
            client: tokio::sync::Mutex::new(None),
            ended: AtomicBool::new(false),
        })
    }

    fn url(&self) -> &str {
        &self.place.url
    }

    /// Runs this to its end on the calling thread, at most for `limit`, or until `stopped` says so.
    pub fn run<T>(
        &self,
        what: &str,
        limit: Duration,
        stopped: &dyn Fn() -> bool,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Some(runtime) = &self.runtime else {
            return Err(self.stopped());
        };
        let asked = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if stopped() || self.ended.load(Ordering::Relaxed) {
                    return;
                }
            }
        };
        runtime.block_on(async {
            tokio::select! {
                done = work => done,
                () = asked => Err(self.stopped()),
                () = tokio::time::sleep(limit) => Err(failure::late(self.url(), what, limit)),
            }
        })
    }

    fn stopped(&self) -> Error {
        Error::Stopped {
            url: self.url().to_owned(),
        }
    }

    /// The client; connects if it is not connected.
    pub async fn client(&self) -> Result<Arc<Client>> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let connected = tokio::time::timeout(CONNECT_MAX, self.connect())
            .await
            .map_err(|_| failure::late(self.url(), "connecting to the network", CONNECT_MAX))??;
        let connected = Arc::new(connected);
        *client = Some(connected.clone());
        Ok(connected)
    }

    async fn connect(&self) -> Result<Client> {
        for _ in 0..TRIES {
            let config = ClientConfig {
                allow_loopback: self.place.local,
                ipv6: !self.place.local,
                ..ClientConfig::default()
            };
            let connected = Client::connect_multiaddrs(&self.place.seeds, config)
                .await
                .map_err(|error| failure::of(self.url(), &error))?
                .with_evm_network(self.place.chain.clone())
                .with_chunk_cache(ChunkCache::new(REMEMBERED));
            if has_peers(&connected).await {
                return Ok(connected);
            }
            self.close(&connected).await;
        }
        Err(Error::Unreachable {
            url: self.url().to_owned(),
            why: "none of the peers to begin with answers: check the connection (UDP must get through), or that the local network runs".into(),
        })
    }

    async fn close(&self, client: &Client) {
        // Its errors on leaving a network do not matter.
        let _ = client.network().node().stop().await;
    }

    /// Whether there is anybody there at all, for an answer that says that there is no record.
    pub async fn answers(&self, client: &Client) -> Result<()> {
        if client.network_health().await.connected_peers > 0 {
            return Ok(());
        }
        Err(Error::Unreachable {
            url: self.url().to_owned(),
            why: "no peer of the network answers".into(),
        })
    }
}

/// Whether a new connection has a peer. The client counts one a moment after it has answered.
async fn has_peers(client: &Client) -> bool {
    let until = tokio::time::Instant::now() + PEERS_WITHIN;
    while client.network_health().await.connected_peers == 0 {
        if tokio::time::Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}

impl Drop for Link {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: a lookup under way may take long, and the store may be dropped anywhere.
            runtime.shutdown_background();
        }
    }
}
