//! A gateway that listens.
//!
//! What always holds here: a server that is stopped or dropped accepts nothing more, finishes what is under
//! way if that takes no longer than it may, and leaves no thread behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use safeos_store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

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
            Some((chain, key)) => Some(tls::acceptor(chain, key).map_err(Error)?),
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
        let connections = Arc::new(Semaphore::new(options.limits.connections.max(1)));
        let listening = runtime.spawn(accept(listener, service, acceptor, connections, ending));
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
        // Nobody listens to it any more: then it has ended.
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

/// Accepts until it is to end, then waits for those who are served.
async fn accept(
    listener: TcpListener,
    service: Service,
    acceptor: Option<TlsAcceptor>,
    connections: Arc<Semaphore>,
    mut ending: watch::Receiver<bool>,
) {
    let all = connections.available_permits();
    loop {
        let Ok(place) = connections.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|ending| *ending) => break,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                service
                    .gate
                    .log(&format!("a connection cannot be accepted: {error}"));
                sleep(PAUSE).await;
                continue;
            }
        };
        let (service, acceptor) = (service.clone(), acceptor.clone());
        tokio::spawn(async move {
            serve(&service, acceptor, stream, client).await;
            drop(place);
        });
    }
    drop(listener);
    // The last place comes back with the last connection.
    let all = u32::try_from(all).unwrap_or(u32::MAX);
    drop(connections.acquire_many(all).await);
}

async fn serve(
    service: &Service,
    acceptor: Option<TlsAcceptor>,
    stream: TcpStream,
    client: SocketAddr,
) {
    // Answers are written whole: waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => service.serve(stream, client.ip()).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
                service.serve(stream, client.ip()).await;
            }
        }
    }
}
