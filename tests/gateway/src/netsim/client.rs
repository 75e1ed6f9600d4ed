//! The client's end: the network as [`Network`] wants it, for threads that wait.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use safeos_store::{Link, Network};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::wire::{IpAddress, IpEndpoint};

use super::{For, Netsim, Wait};

thread_local! {
    static PRESENT: Cell<bool> = const { Cell::new(false) };
}

/// This thread's presence: while it lasts, and the thread does not wait for the network, time stands still.
pub struct Presence<'a>(&'a Netsim);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        PRESENT.set(false);
        self.0.busy(false);
    }
}

impl fmt::Debug for Netsim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Netsim")
    }
}

impl Netsim {
    /// Says that this thread is part of the run.
    pub fn present(&self) -> Presence<'_> {
        assert!(!PRESENT.replace(true), "already present");
        self.busy(true);
        Presence(self)
    }

    fn busy(&self, more: bool) {
        let mut state = self.state.lock();
        state.busy = if more { state.busy + 1 } else { state.busy - 1 };
        state.changes += 1;
        drop(state);
        self.paused.notify_all();
        self.kicked.notify_one();
    }

    /// Waits; an error when time has run out.
    fn wait(&self, what: For, within: Duration) -> io::Result<()> {
        let mut state = self.state.lock();
        let id = state.next_wait;
        state.next_wait += 1;
        let until = state.now + within;
        let present = PRESENT.get();
        state.waits.push(Wait {
            id,
            what,
            until,
            present,
            woken: false,
        });
        if present {
            state.busy -= 1;
            state.changes += 1;
        }
        self.paused.notify_all();
        self.kicked.notify_one();
        let own = |state: &super::State| state.waits.iter().position(|wait| wait.id == id);
        while !state.ended && own(&state).is_some_and(|place| !state.waits[place].woken) {
            self.woken.wait(&mut state);
        }
        if let Some(place) = own(&state) {
            let wait = state.waits.remove(place);
            if present && !wait.woken {
                state.busy += 1;
            }
        }
        if state.ended {
            return Err(io::Error::other("the network has ended"));
        }
        let out = state.now >= until;
        drop(state);
        if out {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(())
        }
    }
}

/// The network, as the client has it.
#[derive(Debug)]
pub struct Ether(pub Arc<Netsim>);

impl Network for Ether {
    fn resolve(&self, host: &str, port: u16, _: Duration) -> io::Result<Vec<SocketAddr>> {
        let address: IpAddr = host.parse().map_err(io::Error::other)?;
        Ok(vec![SocketAddr::new(address, port)])
    }

    fn connect(&self, to: SocketAddr, within: Duration) -> io::Result<Box<dyn Link>> {
        let IpAddr::V4(host) = to.ip() else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        let air = self.0.clone();
        let handle = {
            let mut state = air.state.lock();
            let state = &mut *state;
            state.next_port = (state.next_port + 1) % 10_000;
            let handle = state.client.socket();
            let client = &mut state.client;
            let socket = client.sockets.get_mut::<tcp::Socket<'_>>(handle);
            let to = IpEndpoint::new(IpAddress::from(host), to.port());
            socket
                .connect(client.interface.context(), to, 40_000 + state.next_port)
                .map_err(|error| io::Error::other(error.to_string()))?;
            handle
        };
        let wire = Wire { air, handle };
        wire.air.wait(For::Connecting(handle), within)?;
        let state = wire.air.state.lock().client.at(handle).state();
        match state {
            tcp::State::Closed => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => Ok(Box::new(wire)),
        }
    }

    fn now(&self) -> Duration {
        self.0.time()
    }

    fn sleep(&self, time: Duration) {
        // Its end is the end of the time.
        drop(self.0.wait(For::Time, time));
    }
}

#[derive(Debug)]
struct Wire {
    air: Arc<Netsim>,
    handle: SocketHandle,
}

impl Link for Wire {
    fn read(&mut self, buffer: &mut [u8], within: Duration) -> io::Result<usize> {
        loop {
            {
                let mut state = self.air.state.lock();
                let socket = state.client.at(self.handle);
                match socket.recv_slice(buffer) {
                    Ok(0) if !buffer.is_empty() => {}
                    Ok(count) => {
                        drop(state);
                        // There is room again, which the other end is to know.
                        self.air.kicked.notify_one();
                        return Ok(count);
                    }
                    Err(tcp::RecvError::Finished) => return Ok(0),
                    Err(tcp::RecvError::InvalidState) => {
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                }
            }
            self.air.wait(For::Reading(self.handle), within)?;
        }
    }

    fn write(&mut self, bytes: &[u8], within: Duration) -> io::Result<usize> {
        loop {
            {
                let mut state = self.air.state.lock();
                match state.client.at(self.handle).send_slice(bytes) {
                    Ok(0) if !bytes.is_empty() => {}
                    Ok(count) => {
                        drop(state);
                        self.air.kicked.notify_one();
                        return Ok(count);
                    }
                    Err(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                }
            }
            self.air.wait(For::Writing(self.handle), within)?;
        }
    }

    fn is_open(&mut self) -> bool {
        let mut state = self.air.state.lock();
        let socket = state.client.at(self.handle);
        socket.state() == tcp::State::Established && !socket.can_recv()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.air.state.lock().client.leave(self.handle);
        self.air.kicked.notify_one();
    }
}
