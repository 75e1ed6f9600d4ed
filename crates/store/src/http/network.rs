//! The network under the HTTP client: names, connections, and the time they take.
//!
//! What always holds here: nothing waits longer than it was told, whatever the system's own time-outs are
//! worth. On Redox a connection that goes nowhere is reported as made, and the time-outs for reading and
//! writing are swapped: both are always set alike.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::link::{Link, Tcp, timed_out};

/// A network and its clock. The one of this computer, unless a test brings another.
pub trait Network: Debug + Send + Sync {
    /// The IPv4 addresses of a host.
    fn resolve(&self, host: &str, port: u16, within: Duration) -> io::Result<Vec<SocketAddr>>;

    /// A new connection.
    fn connect(&self, to: SocketAddr, within: Duration) -> io::Result<Box<dyn Link>>;

    /// Time since some moment; never goes back.
    fn now(&self) -> Duration;

    /// Waits.
    fn sleep(&self, time: Duration);

    /// Whether a write may be answered with a length of which not all was taken. Found out when it is asked for.
    fn loses(&self) -> bool {
        false
    }
}

/// The network of this computer.
#[derive(Debug)]
pub(crate) struct System {
    started: Instant,
}

impl Default for System {
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Network for System {
    fn resolve(&self, host: &str, port: u16, within: Duration) -> io::Result<Vec<SocketAddr>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        // The system's look-up has no time-out of ours. Its thread is left behind if it takes too long.
        let (say, heard) = mpsc::sync_channel(1);
        let name = host.to_owned();
        std::thread::Builder::new()
            .name("look-up".into())
            .spawn(move || {
                let found = (name.as_str(), port).to_socket_addrs();
                // The receiver is gone: then the result is not needed.
                let _ = say.send(found.map(Iterator::collect::<Vec<_>>));
            })?;
        let found: Vec<SocketAddr> = heard.recv_timeout(within).map_err(|_| timed_out())??;
        let found: Vec<_> = found.into_iter().filter(SocketAddr::is_ipv4).collect();
        if found.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the host has no IPv4 address",
            ));
        }
        Ok(found)
    }

    fn connect(&self, to: SocketAddr, within: Duration) -> io::Result<Box<dyn Link>> {
        #[cfg(not(target_os = "redox"))]
        let stream = TcpStream::connect_timeout(&to, within.max(LEAST))?;
        #[cfg(target_os = "redox")]
        let stream = {
            // Returns at once; later calls have the time-outs.
            let _ = within;
            TcpStream::connect(to)?
        };
        // Redox has no such option, and says so for every connection.
        #[cfg(not(target_os = "redox"))]
        let _ = stream.set_nodelay(true);
        Ok(Box::new(Tcp::new(stream)))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn loses(&self) -> bool {
        super::loss::this_system().loses()
    }
}

/// A time-out of zero is refused by the system.
#[cfg(not(target_os = "redox"))]
const LEAST: Duration = Duration::from_millis(1);
