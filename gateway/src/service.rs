//! One gateway on any connections: those of a listener, or those that a test makes.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use safeos_store::Store;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::Options;
use crate::api::router;
use crate::gate::Gate;
use crate::guard::Client;
use crate::patient::Patient;

/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A gateway that serves connections it is given, on the runtime it is called in.
#[derive(Clone)]
pub struct Service {
    pub(crate) gate: Arc<Gate>,
    router: Router,
    /// Whether it is to end.
    ending: watch::Receiver<bool>,
}

impl Service {
    /// A gateway to this store; an error says what is wrong with the options. It ends its connections
    /// when `ending` becomes true.
    pub fn new(
        store: Arc<dyn Store>,
        options: &Options,
        ending: watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let gate = Arc::new(Gate::new(store, options)?);
        Ok(Self {
            router: router(gate.clone()),
            gate,
            ending,
        })
    }

    /// Serves one connection to its end. What goes wrong on it is the client's affair.
    pub async fn serve<I>(&self, io: I, client: IpAddr)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.gate.limits;
        let io = TokioIo::new(Patient::new(io, limits.clone()));
        let router = self.router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(Client(client));
            router.clone().oneshot(request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_header_size(HEAD_BYTES_MAX);
        let connection = http.serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let mut ending = self.ending.clone();
        let connections = &self.gate.metrics.connections;
        connections.fetch_add(1, Ordering::Relaxed);
        let over = tokio::select! {
            done = &mut connection => { drop(done); true }
            _ = ending.wait_for(|ending| *ending) => false,
        };
        if !over {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
        connections.fetch_sub(1, Ordering::Relaxed);
    }
}
