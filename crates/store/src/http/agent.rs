//! The library that speaks HTTP, on connections of ours.
//!
//! What always holds here: every wait of a request, from the look-up of the name to the last byte of the
//! answer, ends by its [`Deadline`], counted on the network's own clock. The library's timers are not used:
//! they cannot know of another clock, and on Redox some of what they rely on does nothing.

use std::cell::Cell;
use std::fmt::{self, Debug};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Error};

use super::network::{Link, Network, timed_out};
use super::tls::{Mixed, Tls, Trust};
use super::{Patience, USER_AGENT};

/// Bytes read or written with one call of the system.
pub(super) const BUFFER_BYTES: usize = 128 * 1024;
/// Most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

thread_local! {
    /// When the request of this thread has to be done with.
    static DEADLINE: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// When a request has to be done with, on the network's clock.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    /// Moved on by every byte that comes or goes, so that a line may be slow but not dripping.
    pub(super) now: Duration,
    /// Not moved on by anything.
    pub(super) last: Duration,
    /// How much longer than usual the answer may be waited for: the gateway holds it back when asked to.
    pub(super) held: Duration,
}

/// Runs a request whose waits all end by `deadline`.
pub(super) fn until<T>(deadline: Deadline, request: impl FnOnce() -> T) -> T {
    struct Restore(Option<Deadline>);
    impl Drop for Restore {
        fn drop(&mut self) {
            DEADLINE.set(self.0);
        }
    }
    let _restore = Restore(DEADLINE.replace(Some(deadline)));
    request()
}

/// Makes the one agent of a store. It follows no redirects, takes no proxy from the environment, and
/// leaves every status to its caller.
pub(super) fn agent(
    network: &Arc<dyn Network>,
    patience: Patience,
    trust: Trust,
    connections: usize,
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
    let connector = Dialer(waits.clone()).chain(Tls(trust));
    Agent::with_parts(config, connector, Names(waits))
}

#[derive(Clone)]
struct Waits {
    network: Arc<dyn Network>,
    patience: Patience,
}

impl Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)
    }
}

impl Waits {
    /// How long the next step may take.
    fn next(&self, step_max: Duration) -> io::Result<Duration> {
        let Some(deadline) = DEADLINE.get() else {
            return Ok(step_max);
        };
        match deadline.now.saturating_sub(self.network.now()) {
            Duration::ZERO => Err(timed_out()),
            left => Ok(left.min(step_max + deadline.held)),
        }
    }

    /// Takes note of bytes that came or went.
    fn moved(&self, bytes: usize) {
        if let Some(mut deadline) = DEADLINE.get() {
            deadline.now = (deadline.now + self.patience.for_bytes(bytes)).min(deadline.last);
            DEADLINE.set(Some(deadline));
        }
    }
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
struct Dialer(Waits);

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
            let within = self.0.next(self.0.patience.connect)?;
            match self.0.network.connect(*address, within) {
                Ok(link) => {
                    return Ok(Some(Connection {
                        link,
                        waits: self.0.clone(),
                        with_tls: details.needs_tls(),
                        heard: false,
                        buffers: LazyBuffers::new(BUFFER_BYTES, BUFFER_BYTES),
                    }));
                }
                Err(error) => failure = error,
            }
        }
        Err(failure.into())
    }
}

pub(super) struct Connection {
    link: Box<dyn Link>,
    waits: Waits,
    /// Whether TLS is put on it.
    with_tls: bool,
    /// Whether anything has come in.
    heard: bool,
    buffers: LazyBuffers,
}

impl Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.link.fmt(f)
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        let mut output = self.buffers.output().get(..amount).unwrap_or_default();
        while !output.is_empty() {
            let within = self.waits.next(self.waits.patience.stall)?;
            match self.link.write(output, within) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(count) => {
                    self.waits.moved(count);
                    output = output.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        loop {
            let within = self.waits.next(self.waits.patience.stall)?;
            match self.link.read(self.buffers.input_append_buf(), within) {
                Ok(count) => {
                    self.waits.moved(count);
                    self.buffers.input_appended(count);
                    if count > 0 && !self.heard {
                        self.heard = true;
                        let first = self.buffers.input().first();
                        let mixed = first.and_then(|first| Mixed::of(*first, self.with_tls));
                        if let Some(mixed) = mixed {
                            return Err(io::Error::new(io::ErrorKind::InvalidData, mixed).into());
                        }
                    }
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.link.is_open()
    }
}
