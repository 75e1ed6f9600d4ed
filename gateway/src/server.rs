//! A gateway that listens.
//!
//! What always holds here: a server that is stopped or dropped accepts nothing more, finishes what is under
//! way if that takes no longer than it may, and leaves no thread behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use safeos_store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::clients::network;
use crate::connections::{Admission, ConnectionSlot, Connections};
use crate::visit::Peer;
use crate::watched::Watched;
use crate::{Options, Service, tls};

/// Why a gateway cannot be started; the message says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// For the handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// When the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(50);
/// A runtime with one thread was seen to hang on Redox.
const THREADS_MIN: usize = 2;

/// A running gateway.
pub struct Server {
    address: SocketAddr,
    tls: bool,
    end: watch::Sender<bool>,
    listening: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
    farewell: Duration,
}

impl Server {
    /// Starts a gateway to this store; it serves when this returns.
    pub fn start(store: Arc<dyn Store>, options: &Options) -> Result<Self, Error> {
        let (end, ending) = watch::channel(false);
        let service = Service::new(store, options, ending.clone()).map_err(Error)?;
        let acceptor = match &options.tls {
            Some((chain, key)) => {
                let found = tls::acceptor(chain, key, options.log.clone());
                Some(found.map_err(Error)?)
            }
            None => None,
        };
        let threads = std::thread::available_parallelism().map_or(THREADS_MIN, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(THREADS_MIN))
            .max_blocking_threads(options.limits.store_calls.max(1) + 2)
            .thread_name("gateway")
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Error(format!("the gateway's threads cannot be started: {error}")))?;
        let listen = |error: std::io::Error| {
            Error(format!(
                "cannot listen at {}: {error}; name an address of this computer and a free port",
                options.listen
            ))
        };
        let listener = runtime
            .block_on(TcpListener::bind(&options.listen))
            .map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let tls = acceptor.is_some();
        let listening = runtime.spawn(accept(listener, service, acceptor, ending));
        Ok(Self {
            address,
            tls,
            end,
            listening: Some(listening),
            runtime: Some(runtime),
            farewell: options.limits.farewell,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, as seen from this computer.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Ends it; requests under way are finished.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        // The receiver is gone: then it has ended.
        let _ = self.end.send(true);
        if let Some(listening) = self.listening.take() {
            let farewell = self.farewell;
            drop(runtime.block_on(async move { timeout(farewell, listening).await }));
        }
        runtime.shutdown_timeout(self.farewell);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Accepts until it is to end, then waits for the open connections.
async fn accept(
    listener: TcpListener,
    service: Service,
    acceptor: Option<Watched<TlsAcceptor>>,
    mut ending: watch::Receiver<bool>,
) {
    let limits = &service.app.limits;
    let connections = Connections::new(limits.connections, limits.connections_each);
    // Every connection holds the one end; the other is told when the last one has gone.
    let (open, mut all_gone) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|ending| *ending) => break,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                service
                    .app
                    .log(&format!("a connection cannot be accepted: {error}"));
                sleep(PAUSE).await;
                continue;
            }
        };
        let is_proxy = service.app.proxies.contain(client.ip());
        let sharer = (!is_proxy).then(|| network(client.ip()));
        let entered = tokio::select! {
            entered = connections.enter(sharer) => entered,
            _ = ending.wait_for(|ending| *ending) => break,
        };
        let acceptor = acceptor
            .as_ref()
            .map(|acceptor| acceptor.get(&|line| service.app.log(line)));
        let (service, open, connections) = (service.clone(), open.clone(), connections.clone());
        tokio::spawn(async move {
            let place = match entered {
                Admission::In(slot) => Some(slot),
                _ => connections.enter_later(sharer).await,
            };
            match place {
                Some(slot) => serve(&service, acceptor, stream, client, slot).await,
                None => {
                    let refused = &service.app.metrics.refused_connections;
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            drop(open);
        });
    }
    drop((listener, open));
    all_gone.recv().await;
}

async fn serve(
    service: &Service,
    acceptor: Option<Arc<TlsAcceptor>>,
    stream: TcpStream,
    client: SocketAddr,
    slot: ConnectionSlot,
) {
    // Answers are written whole: waiting for more would only delay them. Redox has no such option, and says so each
    // time.
    #[cfg(not(target_os = "redox"))]
    let _ = stream.set_nodelay(true);
    let peer = Peer {
        address: client.ip(),
        connection: slot.connection.clone(),
    };
    let served = async {
        match acceptor {
            None => service.serve_peer(stream, peer).await,
            Some(acceptor) => {
                if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    service.serve_peer(stream, peer).await;
                }
            }
        }
    };
    tokio::select! {
        () = served => {}
        () = slot.connection.ended() => {
            let ended = &service.app.metrics.ended_connections;
            ended.fetch_add(1, Ordering::Relaxed);
        }
    }
}
