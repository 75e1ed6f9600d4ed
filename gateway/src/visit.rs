//! One request: whose it is, and how long it may wait.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::Limits;
use crate::connections::Connection;
use crate::rate::Client;
use crate::tokens::Access;

/// The other end of a connection.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) connection: Arc<Connection>,
}

/// The client and the limits of a request, for the handlers.
#[derive(Clone)]
pub(crate) struct Visit {
    /// Whose share of the gateway it uses, and the token that was shown.
    pub(crate) client: Client,
    /// The client's rights.
    pub(crate) may: Access,
    /// The body that was sent before, in parts, and belongs to this.
    pub(crate) body: Option<String>,
    pub(crate) connection: Arc<Connection>,
    /// For a place among the requests, the store's calls and in memory, one after another: a client does not wait for
    /// ever for the first sign of an answer.
    pub(crate) until: Instant,
}

impl Visit {
    pub(crate) fn network(&self) -> IpAddr {
        self.client.0
    }

    /// The same, for the time after the answer has begun.
    pub(crate) fn goes_on(&self, limits: &Limits) -> Self {
        Self {
            until: Instant::now() + limits.wait,
            ..self.clone()
        }
    }
}
