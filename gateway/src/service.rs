//! One gateway on any connections: those of a listener, or those that a test makes.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use http_body::{Frame, SizeHint};
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
use crate::app_state::AppState;
use crate::connections::Connection;
use crate::visit::Peer;
use crate::write_timeout::WriteTimeout;

/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A gateway that serves connections it is given, on the runtime it is called in.
#[derive(Clone)]
pub struct Service {
    pub(crate) app: Arc<AppState>,
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
        let app = Arc::new(AppState::new(store, options, ending.clone())?);
        Ok(Self {
            router: router(app.clone()),
            app,
            ending,
        })
    }

    /// Serves one connection to its end. Failures on it are the client's affair.
    pub async fn serve<I>(&self, io: I, client: IpAddr)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Connection::new();
        let address = client;
        self.serve_peer(
            io,
            Peer {
                address,
                connection,
            },
        )
        .await;
    }

    /// The same, of one whose place may be taken away.
    pub(crate) async fn serve_peer<I>(&self, io: I, peer: Peer)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.app.limits;
        let io = TokioIo::new(WriteTimeout::new(io, self.app.clone(), peer.clone()));
        let router = self.router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            peer.connection.asks();
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(peer.clone());
            let answered = Answered(peer.connection.clone());
            let response = router.clone().oneshot(request);
            async move {
                let response = response.await?;
                Ok::<_, std::convert::Infallible>(response.map(|body| Answering {
                    body,
                    _answered: answered,
                }))
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_header_size(HEAD_BYTES_MAX);
        let connection = http.serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let mut ending = self.ending.clone();
        let _counted = Counted::new(&self.app.metrics.connections);
        let over = tokio::select! {
            done = &mut connection => { drop(done); true }
            _ = ending.wait_for(|ending| *ending) => false,
        };
        if !over {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

/// One of those that are counted, as long as it is there.
struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says that a request is answered, when it is dropped.
struct Answered(Arc<Connection>);

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.is_answered();
    }
}

/// The body of an answer under way.
struct Answering {
    body: axum::body::Body,
    _answered: Answered,
}

impl http_body::Body for Answering {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
