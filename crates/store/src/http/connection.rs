//! A connection of ours for the library that speaks HTTP, and until when its waits may last.
//!
//! What always holds here: every wait ends by the [`Deadline`] of the request it belongs to.

use std::cell::Cell;
use std::fmt::{self, Debug};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};

use super::link::{Link, timed_out};
use super::mixed::Mixed;
use super::network::Network;
use super::settings::Patience;

/// Bytes read or written with one call of the system.
pub(super) const BUFFER_BYTES: usize = 128 * 1024;

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

#[derive(Clone)]
pub(super) struct Waits {
    pub(super) network: Arc<dyn Network>,
    pub(super) patience: Patience,
}

impl Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)
    }
}

impl Waits {
    /// How long the next step may take.
    pub(super) fn next(&self, step_max: Duration) -> io::Result<Duration> {
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

pub(super) struct Connection {
    link: Box<dyn Link>,
    waits: Waits,
    /// Whether TLS is put on it.
    with_tls: bool,
    /// Whether anything has come in.
    heard: bool,
    buffers: LazyBuffers,
}

impl Connection {
    pub(super) fn new(link: Box<dyn Link>, waits: Waits, with_tls: bool) -> Self {
        Self {
            link,
            waits,
            with_tls,
            heard: false,
            buffers: LazyBuffers::new(BUFFER_BYTES, BUFFER_BYTES),
        }
    }
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
