//! The network under the HTTP client: names, connections, and the time they take.
//!
//! What always holds here: nothing waits longer than it was told, whatever the system's own time-outs are
//! worth. On Redox a connection that goes nowhere is reported as made, and the time-outs for reading and
//! writing are swapped: both are always set alike.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

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

/// One connection.
pub trait Link: Debug + Send + Sync {
    /// Reads some bytes; none at the end.
    fn read(&mut self, buffer: &mut [u8], within: Duration) -> io::Result<usize>;

    /// Writes some of these bytes; within no time, what can be taken at once.
    fn write(&mut self, bytes: &[u8], within: Duration) -> io::Result<usize>;

    /// Whether it can carry another request: open, and nothing unread on it.
    fn is_open(&mut self) -> bool;
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
                // Nobody listens any more: then nobody is interested.
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
            // Returns at once; what follows has the time-outs.
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

pub(crate) fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

#[derive(Debug)]
pub(super) struct Tcp {
    stream: TcpStream,
    /// The time-out that is set now.
    limit: Duration,
}

impl Tcp {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            limit: Duration::ZERO,
        }
    }

    fn within(&mut self, time: Duration) -> io::Result<()> {
        // Steps of 1/4 s spare a system call or two for each read.
        let millis = (time.as_millis().div_ceil(250) * 250).clamp(250, 3_600_000) as u64;
        let limit = Duration::from_millis(millis);
        if limit != self.limit {
            self.stream.set_read_timeout(Some(limit))?;
            self.stream.set_write_timeout(Some(limit))?;
            self.limit = limit;
        }
        Ok(())
    }
}

/// A time-out of a socket shows as `WouldBlock`.
fn as_timeout(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        timed_out()
    } else {
        error
    }
}

impl Link for Tcp {
    fn read(&mut self, buffer: &mut [u8], within: Duration) -> io::Result<usize> {
        self.within(within)?;
        self.stream.read(buffer).map_err(as_timeout)
    }

    fn write(&mut self, bytes: &[u8], within: Duration) -> io::Result<usize> {
        if within.is_zero() {
            self.stream.set_nonblocking(true)?;
            let written = self.stream.write(bytes).map_err(as_timeout);
            self.stream.set_nonblocking(false)?;
            return written;
        }
        self.within(within)?;
        self.stream.write(bytes).map_err(as_timeout)
    }

    fn is_open(&mut self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return false;
        }
        let quiet = match self.stream.read(&mut [0]) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            // Its end, or an answer to nothing that was asked.
            Ok(_) => false,
        };
        self.stream.set_nonblocking(false).is_ok() && quiet
    }
}
