//! Events that are lost between a gateway and a session: polling makes up for them.
//!
//! No test says how long that takes, only that it comes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use safeos_gateway::{Options as ServerOptions, Server};
use safeos_gateway_tests::homes::{credentials, far, options, sign_in, write};
use safeos_session::Session;
use safeos_store::MemoryStore;
use tempfile::TempDir;

/// Longer than any pause of a session.
const AT_LAST: Duration = Duration::from_secs(180);

/// A proxy between a session and its gateway.
struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    connections: Mutex<Vec<TcpStream>>,
    /// Whether answers to requests that wait for an event are held back for good.
    buffers: AtomicBool,
    /// Such requests so far.
    watches: AtomicUsize,
}

impl Relay {
    fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(to) else {
                    continue;
                };
                shared.connect(&near, &far);
            }
        });
        Self { address, state }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until so many requests wait for an event, or have.
    fn watched(&self, times: usize) {
        let start = Instant::now();
        while self.state.watches.load(Ordering::SeqCst) < times {
            assert!(start.elapsed() < AT_LAST, "the session waits for no event");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends all connections.
    fn cut(&self) {
        for connection in self.state.connections.lock().unwrap().drain(..) {
            // It may have ended.
            drop(connection.shutdown(Shutdown::Both));
        }
    }
}

impl State {
    fn connect(self: &Arc<Self>, near: &TcpStream, far: &TcpStream) {
        let mut connections = self.connections.lock().unwrap();
        connections.extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
        drop(connections);
        let is_watch = Arc::new(AtomicBool::new(false));
        for (from, to, is_request) in [(near, far, true), (far, near, false)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let (state, is_watch) = (self.clone(), is_watch.clone());
            std::thread::spawn(move || {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    let bytes = &buffer[..count];
                    if is_request {
                        let text = String::from_utf8_lossy(bytes).to_lowercase();
                        let waits = text.contains("prefer: wait");
                        is_watch.store(waits, Ordering::SeqCst);
                        state
                            .watches
                            .fetch_add(usize::from(waits), Ordering::SeqCst);
                    } else if is_watch.load(Ordering::SeqCst)
                        && state.buffers.load(Ordering::SeqCst)
                    {
                        continue;
                    }
                    if to.write_all(bytes).is_err() {
                        break;
                    }
                }
                drop(to.shutdown(Shutdown::Both));
            });
        }
    }
}

fn gateway(store: &Arc<MemoryStore>, listen: &str) -> Server {
    let options = ServerOptions {
        listen: listen.to_owned(),
        ..ServerOptions::default()
    };
    Server::start(store.clone(), &options).unwrap()
}

/// One computer at a gateway, and a second one behind a proxy.
struct Two {
    store: Arc<MemoryStore>,
    server: Server,
    relay: Relay,
    first: Arc<Session>,
    second: Arc<Session>,
    _states: [TempDir; 2],
}

impl Two {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let server = gateway(&store, "127.0.0.1:0");
        let relay = Relay::start(server.address());
        let states = [TempDir::new().unwrap(), TempDir::new().unwrap()];
        let near = options(&far(&server.url()), states[0].path());
        let first = Session::sign_up_small(credentials(), near, &()).unwrap();
        let second = sign_in(&relay.url(), states[1].path());
        relay.watched(1);
        Self {
            store,
            server,
            relay,
            first,
            second,
            _states: states,
        }
    }

    /// What the first computer publishes is on the second.
    fn is_seen(&self, name: &str) {
        let home = self.first.home().unwrap();
        write(&*home, home.root(), name, name.as_bytes());
        let start = Instant::now();
        while let Err(error) = self.first.publish(&()) {
            assert!(error.retry() && start.elapsed() < AT_LAST, "{error:?}");
        }
        let there = self.second.home().unwrap();
        while there.lookup(there.root(), name.as_bytes()).is_err() {
            assert!(start.elapsed() < AT_LAST, "{name} is never seen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(self) {
        for session in [&self.first, &self.second] {
            session.sign_out(false, false, &()).unwrap();
        }
    }
}

#[test]
fn a_gateway_that_is_restarted_loses_no_event() {
    let mut two = Two::new();
    two.is_seen("before");
    let address = two.server.address().to_string();
    let aside = gateway(&two.store, "127.0.0.1:0");
    std::mem::replace(&mut two.server, aside).stop();
    two.server = gateway(&two.store, &address);
    two.is_seen("after");
    two.end();
}

#[test]
fn what_moves_while_a_connection_is_cut_is_seen() {
    let two = Two::new();
    for name in ["once", "twice"] {
        two.relay.cut();
        two.is_seen(name);
    }
    two.end();
}

#[test]
fn a_proxy_that_holds_answers_back_delays_an_event_and_does_not_lose_it() {
    let two = Two::new();
    two.relay.state.buffers.store(true, Ordering::SeqCst);
    two.is_seen("held back");
    two.end();
}
