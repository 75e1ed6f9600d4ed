//! The library that speaks HTTP, on connections of ours.
//!
//! What always holds here: every wait of a request, from the look-up of the name to the last byte of the
//! answer, ends by its [`Deadline`](super::connection::Deadline), counted on the network's own clock. The library's
//! timers are not used: they cannot know of another clock, and on Redox some of the calls they rely on do nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout};
use ureq::{Agent, Error};

use super::connection::{Connection, Waits};
use super::network::Network;
use super::settings::Patience;
use super::spares::Spares;
use super::tls::{Tls, Trust};

const USER_AGENT: &str = "safeos";

/// Most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Makes the one agent of a store. It follows no redirects, takes no proxy from the environment, and
/// leaves every status to its caller.
pub(super) fn agent(
    network: &Arc<dyn Network>,
    patience: Patience,
    trust: Trust,
    connections: usize,
    spares: &Arc<Spares>,
) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .accept("")
        .accept_encoding("")
        .user_agent(USER_AGENT)
        .max_response_header_size(HEAD_BYTES_MAX)
        .max_idle_connections(4 * connections)
        .max_idle_connections_per_host(connections)
        .max_idle_age(Duration::from_secs(15))
        .build();
    let waits = Waits {
        network: network.clone(),
        patience,
    };
    let dialer = Dialer {
        waits: waits.clone(),
        spares: spares.clone(),
    };
    let connector = dialer.chain(Tls(trust));
    Agent::with_parts(config, connector, Names(waits))
}

#[derive(Debug)]
struct Names(Waits);

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let within = self.0.next(self.0.patience.connect)?;
        let mut found = self.empty();
        // The library makes room for sixteen.
        for address in self
            .0
            .network
            .resolve(host, port, within)?
            .into_iter()
            .take(8)
        {
            found.push(address);
        }
        Ok(found)
    }
}

#[derive(Debug)]
struct Dialer {
    waits: Waits,
    spares: Arc<Spares>,
}

impl Connector for Dialer {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Connection>, Error> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        let addresses: &[SocketAddr] = &details.addrs;
        for address in addresses {
            let waits = &self.waits;
            let within = waits.next(waits.patience.connect)?;
            let link = match self.spares.take(*address, &*waits.network) {
                Some(link) => Ok(link),
                None => waits.network.connect(*address, within),
            };
            match link {
                Ok(link) => {
                    let with_tls = details.needs_tls();
                    return Ok(Some(Connection::new(link, waits.clone(), with_tls)));
                }
                Err(error) => failure = error,
            }
        }
        Err(failure.into())
    }
}
