//! One connection of the network under the HTTP client, and the system's own.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One connection.
pub trait Link: Debug + Send + Sync {
    /// Reads some bytes; none at the end.
    fn read(&mut self, buffer: &mut [u8], within: Duration) -> io::Result<usize>;

    /// Writes some of these bytes; within no time, as many as can be taken at once.
    fn write(&mut self, bytes: &[u8], within: Duration) -> io::Result<usize>;

    /// Whether it can carry another request: open, and nothing unread on it.
    fn is_open(&mut self) -> bool;
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

/// A time-out of a socket shows as `WouldBlock`.
fn as_timeout(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        timed_out()
    } else {
        error
    }
}

pub(crate) fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}
