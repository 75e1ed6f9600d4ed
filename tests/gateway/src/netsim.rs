//! A network in this process: two hosts with TCP/IP stacks of their own (smoltcp) and a bad line between
//! them, in simulated time.
//!
//! What always holds here: time passes only while every thread that said it is [`Netsim::present`] waits for the
//! network, and the fate of a packet depends on the seed and the packets before it alone. So a run with one
//! present thread is the same every time.

mod client;
mod line;
mod server;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use safeos_gateway::{Options, Service};
use safeos_store::Store;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration as Micros, Instant as At};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use tokio::sync::{Notify, watch};

pub use self::client::{Ether, Presence};
pub use self::line::{Line, Weather};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PORT: u16 = 80;
const BUFFER_BYTES: usize = 64 * 1024;
/// Connections that may come in at one moment.
const LISTENING: usize = 8;
/// The smallest step of time.
const TICK: Duration = Duration::from_millis(1);
/// A present thread that computes so long while others wait for the network waits for one of them.
const STALLED: Duration = Duration::from_millis(200);

/// The network.
pub struct Netsim {
    state: Mutex<State>,
    /// A waiting thread may go on.
    woken: Condvar,
    /// A present thread has begun or ended to wait.
    paused: Condvar,
    /// Something is to be sent.
    kicked: Notify,
}

struct State {
    now: Duration,
    line: Line,
    client: Host,
    server: Host,
    listening: Vec<SocketHandle>,
    next_port: u16,
    waits: Vec<Wait>,
    next_wait: u64,
    /// Present threads that do not wait.
    busy: usize,
    /// Changes whenever `busy` does.
    changes: u64,
    /// The number of changes at which a present thread was found to wait for another.
    stalled: Option<u64>,
    ended: bool,
}

/// The event that a thread waits for.
#[derive(Clone, Copy)]
enum For {
    Reading(SocketHandle),
    Writing(SocketHandle),
    Connecting(SocketHandle),
    Time,
}

struct Wait {
    id: u64,
    what: For,
    until: Duration,
    present: bool,
    woken: bool,
}

/// One end of the line.
struct Host {
    interface: Interface,
    port: Port,
    sockets: SocketSet<'static>,
    /// Given up by their owners; removed when they have said good-bye.
    leaving: Vec<SocketHandle>,
}

/// Packets that came and are to go.
#[derive(Default)]
struct Port {
    inbox: VecDeque<Vec<u8>>,
    outbox: Vec<Vec<u8>>,
}

impl Host {
    fn new(address: Ipv4Addr, seed: u64) -> Self {
        let mut port = Port::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut port, At::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses
                .push(IpCidr::new(IpAddress::Ipv4(address), 24))
                .unwrap();
        });
        Self {
            interface,
            port,
            sockets: SocketSet::new(Vec::new()),
            leaving: Vec::new(),
        }
    }

    fn socket(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_BYTES]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        // A peer that is gone for good is given up.
        socket.set_timeout(Some(Micros::from_secs(90)));
        self.sockets.add(socket)
    }

    fn at(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Its owner is done with it.
    fn leave(&mut self, handle: SocketHandle) {
        self.at(handle).close();
        self.leaving.push(handle);
    }

    fn poll(&mut self, now: At) {
        self.interface.poll(now, &mut self.port, &mut self.sockets);
        let sockets = &mut self.sockets;
        self.leaving.retain(|handle| {
            let socket = sockets.get::<tcp::Socket<'_>>(*handle);
            let gone = matches!(socket.state(), tcp::State::Closed | tcp::State::TimeWait);
            if gone {
                sockets.remove(*handle);
            }
            !gone
        });
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct ToSend<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut packet = vec![0; len];
        let done = fill(&mut packet);
        self.0.push(packet);
        done
    }
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _: At) -> Option<(Received, ToSend<'_>)> {
        let packet = self.inbox.pop_front()?;
        Some((Received(packet), ToSend(&mut self.outbox)))
    }

    fn transmit(&mut self, _: At) -> Option<ToSend<'_>> {
        Some(ToSend(&mut self.outbox))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

fn at(time: Duration) -> At {
    At::from_micros(time.as_micros() as i64)
}

impl State {
    /// Does what is to be done at this moment: the connections that came in, when there is something to do again, and
    /// whether a thread was woken.
    fn step(&mut self, now: Duration) -> (Vec<SocketHandle>, Option<Duration>, bool) {
        self.now = now;
        while let Some((to_server, packet)) = self.line.arrived(now) {
            let host = if to_server {
                &mut self.server
            } else {
                &mut self.client
            };
            host.port.inbox.push_back(packet);
        }
        for (host, to_server) in [(&mut self.client, true), (&mut self.server, false)] {
            host.poll(at(now));
            for packet in host.port.outbox.drain(..) {
                self.line.send(now, to_server, packet);
            }
        }
        let accepted = self.accept();
        let woken = self.wake();
        let mut next = self.line.next();
        for host in [&mut self.client, &mut self.server] {
            let due = host.interface.poll_at(at(now), &host.sockets);
            let due = due.map(|due| Duration::from_micros(due.total_micros().max(0) as u64));
            next = next.into_iter().chain(due).min();
        }
        let deadline = self.waits.iter().map(|wait| wait.until).min();
        let next = next.into_iter().chain(deadline).min();
        (accepted, next.map(|next| next.max(now)), woken)
    }

    fn accept(&mut self) -> Vec<SocketHandle> {
        let mut accepted = Vec::new();
        let server = &mut self.server;
        self.listening.retain(|handle| {
            let socket = server.sockets.get_mut::<tcp::Socket<'_>>(*handle);
            match socket.state() {
                tcp::State::Listen | tcp::State::SynReceived => true,
                tcp::State::Closed => socket.listen(PORT).is_ok(),
                _ => {
                    accepted.push(*handle);
                    false
                }
            }
        });
        while self.listening.len() < LISTENING {
            let handle = self.server.socket();
            self.server.at(handle).listen(PORT).unwrap();
            self.listening.push(handle);
        }
        accepted
    }

    /// Wakes threads whose wait is over.
    fn wake(&mut self) -> bool {
        let mut any = false;
        for wait in self.waits.iter_mut().filter(|wait| !wait.woken) {
            let socket = |handle| self.client.sockets.get::<tcp::Socket<'_>>(handle);
            let ready = match wait.what {
                For::Reading(handle) => socket(handle).can_recv() || !socket(handle).may_recv(),
                For::Writing(handle) => socket(handle).can_send() || !socket(handle).may_send(),
                For::Connecting(handle) => socket(handle).state() != tcp::State::SynSent,
                For::Time => false,
            };
            if ready || wait.until <= self.now {
                wait.woken = true;
                any = true;
                if wait.present {
                    self.busy += 1;
                    self.changes += 1;
                }
            }
        }
        any
    }
}

impl Netsim {
    /// A line with this weather, and at its other end a gateway to `store` with these options.
    pub fn start(seed: u64, weather: Weather, store: Arc<dyn Store>, options: Options) -> Running {
        let state = State {
            now: Duration::ZERO,
            line: Line::new(seed, weather),
            client: Host::new(CLIENT, seed),
            server: Host::new(SERVER, seed ^ 1),
            listening: Vec::new(),
            next_port: 0,
            waits: Vec::new(),
            next_wait: 0,
            busy: 0,
            changes: 0,
            stalled: None,
            ended: false,
        };
        let air = Arc::new(Self {
            state: Mutex::new(state),
            woken: Condvar::new(),
            paused: Condvar::new(),
            kicked: Notify::new(),
        });
        let world = air.clone();
        let thread = std::thread::Builder::new()
            .name("world".into())
            .spawn(move || world.run(store, &options))
            .unwrap();
        Running {
            air,
            thread: Some(thread),
        }
    }

    /// The gateway's URL on this network.
    pub fn url() -> String {
        format!("http://{}", SocketAddr::from((SERVER, PORT)))
    }

    /// The state of the line; its weather can be changed.
    pub fn line<T>(&self, look: impl FnOnce(&mut Line) -> T) -> T {
        look(&mut self.state.lock().line)
    }

    /// How much time has passed.
    pub fn time(&self) -> Duration {
        self.state.lock().now
    }

    /// Threads that wait for the network now.
    pub fn waiting(&self) -> usize {
        self.state.lock().waits.len()
    }

    fn run(self: Arc<Self>, store: Arc<dyn Store>, options: &Options) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let began = tokio::time::Instant::now();
            let (end, ending) = watch::channel(false);
            let service = Service::new(store, options, ending).unwrap();
            loop {
                // Time stands still while a thread of the blocking kind runs.
                let air = self.clone();
                tokio::task::spawn_blocking(move || air.quiet())
                    .await
                    .unwrap();
                // The clock moves on when nothing is left to do at this moment, in the gateway as in its store.
                tokio::time::sleep(TICK).await;
                let (accepted, next, woken) = {
                    let mut state = self.state.lock();
                    if state.ended {
                        break;
                    }
                    state.step(began.elapsed())
                };
                for handle in accepted {
                    let (service, end) = (service.clone(), server::End::new(&self, handle));
                    tokio::spawn(async move { service.serve(end, IpAddr::V4(CLIENT)).await });
                }
                if woken {
                    self.woken.notify_all();
                    continue;
                }
                tokio::select! {
                    biased;
                    () = self.kicked.notified() => {}
                    () = until(began, next) => {}
                }
            }
            let _ = end.send(true);
        });
        runtime.shutdown_timeout(Duration::from_secs(10));
    }

    /// Waits until no present thread computes, or seems to wait for an absent one.
    // It never runs on Redox.
    #[allow(clippy::disallowed_methods)]
    fn quiet(&self) {
        let mut state = self.state.lock();
        let mut changes = state.changes;
        let mut since = Instant::now();
        while state.busy > 0 && !state.ended {
            if state.changes != changes {
                changes = state.changes;
                since = Instant::now();
            }
            let others = state.waits.iter().any(|wait| !wait.woken);
            if others && since.elapsed() > STALLED {
                state.stalled = Some(changes);
            }
            if others && state.stalled == Some(changes) {
                return;
            }
            self.paused.wait_for(&mut state, Duration::from_millis(20));
        }
    }
}

async fn until(began: tokio::time::Instant, next: Option<Duration>) {
    match next {
        Some(next) => tokio::time::sleep_until(began + next).await,
        None => std::future::pending().await,
    }
}

/// A network that ends when this is dropped.
pub struct Running {
    air: Arc<Netsim>,
    thread: Option<JoinHandle<()>>,
}

impl std::ops::Deref for Running {
    type Target = Arc<Netsim>;

    fn deref(&self) -> &Arc<Netsim> {
        &self.air
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.air.state.lock().ended = true;
        self.air.paused.notify_all();
        self.air.woken.notify_all();
        self.air.kicked.notify_one();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}
