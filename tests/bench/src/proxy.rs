//! A line that is longer and thinner than this computer's own: a proxy that delays and limits what passes it.
//!
//! In each direction all connections share one rate, and whatever was sent arrives half a round trip later, in order
//! and whole. A new connection costs a round trip before its first byte, as the handshake that this computer's own
//! network does at once would. What is under way is bounded: where nobody reads, the proxy stops reading too. There
//! is no loss, and no slow start of TCP.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::serve::{Listener, Sockets};

/// Time as the proxy sees it.
pub trait Clock: Send + Sync {
    /// Since whenever this clock began.
    fn now(&self) -> Duration;
    /// Returns when it is that late.
    fn sleep_until(&self, at: Duration);
}

/// This computer's own clock.
pub struct RealClock(Instant);

impl RealClock {
    /// Begins now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep_until(&self, at: Duration) {
        let left = at.saturating_sub(self.now());
        if !left.is_zero() {
            thread::sleep(left);
        }
    }
}

/// How long and how thin the line is.
#[derive(Clone, Copy)]
pub struct Line {
    /// There and back.
    pub round_trip: Duration,
    /// In each direction; not 0.
    pub bytes_per_second: u64,
}

impl Line {
    fn half(self) -> Duration {
        self.round_trip / 2
    }

    /// Read at once: what passes in a millisecond, so that connections take turns about as packets do.
    fn piece(self) -> usize {
        (self.bytes_per_second / 1_000).clamp(2 << 10, 64 << 10) as usize
    }

    /// Bytes of one connection that may be under way in one direction: what the line holds, and a little for whoever
    /// wakes up late.
    fn capacity(self) -> usize {
        let millis = self.half().as_millis() as u64 + 20;
        (self.bytes_per_second.saturating_mul(millis) / 1_000) as usize
    }
}

/// How far a direction may be behind its rate and still make up for it. Whoever sleeps wakes up a little late.
const BURST: Duration = Duration::from_millis(5);

/// The rate of one direction (a token bucket, kept as the time when it is empty again).
struct Bucket {
    bytes_per_second: u64,
    free_at: Duration,
}

impl Bucket {
    /// Takes the line for this many bytes; returns when the last of them has been sent.
    fn take(&mut self, bytes: usize, now: Duration) -> Duration {
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
        let lasts = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let begin = self.free_at.max(now.saturating_sub(BURST));
        self.free_at = begin.saturating_add(lasts);
        self.free_at
    }
}

/// One direction of all connections.
struct Direction {
    bucket: Mutex<Bucket>,
    sent: AtomicU64,
}

impl Direction {
    fn new(line: Line) -> Self {
        Self {
            bucket: Mutex::new(Bucket {
                bytes_per_second: line.bytes_per_second,
                free_at: Duration::ZERO,
            }),
            sent: AtomicU64::new(0),
        }
    }
}

/// Pieces and when each arrives, their bytes together, and whether nothing arrives any more.
#[derive(Default)]
struct Pieces {
    pieces: VecDeque<(Duration, Vec<u8>)>,
    bytes: usize,
    ended: bool,
}

/// The bytes of one connection under way in one direction. An empty piece is the end.
#[derive(Default)]
struct UnderWay {
    state: Mutex<Pieces>,
    changed: Condvar,
}

impl UnderWay {
    /// Waits until less than `capacity` bytes are under way; false if nothing arrives any more.
    fn wait_for_room(&self, capacity: usize) -> bool {
        let mut state = self.state.lock();
        while state.bytes >= capacity && !state.ended {
            self.changed.wait(&mut state);
        }
        !state.ended
    }

    fn push(&self, arrives: Duration, piece: Vec<u8>) {
        let mut state = self.state.lock();
        state.bytes += piece.len();
        state.pieces.push_back((arrives, piece));
        self.changed.notify_all();
    }

    fn pop(&self) -> (Duration, Vec<u8>) {
        let mut state = self.state.lock();
        loop {
            if let Some(first) = state.pieces.pop_front() {
                return first;
            }
            self.changed.wait(&mut state);
        }
    }

    /// A piece has left: there is room for another.
    fn arrived(&self, bytes: usize) {
        self.state.lock().bytes -= bytes;
        self.changed.notify_all();
    }

    /// Nothing arrives any more.
    fn refuse(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }
}

struct Shared {
    line: Line,
    clock: Arc<dyn Clock>,
    up: Direction,
    down: Direction,
}

/// The proxy; it ends when it is dropped, with every connection.
pub struct Proxy {
    shared: Arc<Shared>,
    listener: Listener,
}

impl Proxy {
    /// Starts one in front of `server`.
    pub fn start(server: SocketAddr, line: Line, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            line,
            clock,
            up: Direction::new(line),
            down: Direction::new(line),
        });
        let mine = Arc::clone(&shared);
        let listener = Listener::start(move |client, sockets| {
            // A server that is away is a connection that is closed.
            let _ = mine.connection(&client, server, sockets);
        })?;
        Ok(Self { shared, listener })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Bytes that the server has sent over the line.
    pub fn received(&self) -> u64 {
        self.shared.down.sent.load(Ordering::SeqCst)
    }

    /// Bytes that clients have sent over the line.
    pub fn sent(&self) -> u64 {
        self.shared.up.sent.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn connection(
        &self,
        client: &TcpStream,
        server: SocketAddr,
        sockets: &Sockets,
    ) -> io::Result<()> {
        let connected = self.clock.now() + self.line.round_trip;
        let server = TcpStream::connect(server)?;
        sockets.keep(&server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let server = &server;
        thread::scope(|scope| {
            scope.spawn(move || self.pass(client, server, &self.up, connected));
            self.pass(server, client, &self.down, Duration::ZERO);
        });
        Ok(())
    }

    /// Passes on what comes from `from` until it ends.
    fn pass(&self, from: &TcpStream, to: &TcpStream, direction: &Direction, begin: Duration) {
        let under_way = UnderWay::default();
        thread::scope(|scope| {
            let under_way = &under_way;
            scope.spawn(move || self.deliver(from, to, under_way));
            self.clock.sleep_until(begin);
            let mut piece = vec![0; self.line.piece()];
            let mut from = from;
            while under_way.wait_for_room(self.line.capacity()) {
                match from.read(&mut piece) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => break,
                    Ok(bytes) => {
                        let now = self.clock.now();
                        // The bucket may lag behind: a piece is not on the line before it has come.
                        let sent = direction.bucket.lock().take(bytes, now).max(now);
                        self.clock.sleep_until(sent);
                        direction.sent.fetch_add(bytes as u64, Ordering::SeqCst);
                        under_way.push(sent + self.line.half(), piece[..bytes].to_vec());
                    }
                }
            }
            under_way.push(self.clock.now() + self.line.half(), Vec::new());
        });
    }

    fn deliver(&self, from: &TcpStream, mut to: &TcpStream, under_way: &UnderWay) {
        loop {
            let (arrives, piece) = under_way.pop();
            self.clock.sleep_until(arrives);
            if piece.is_empty() {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            if to.write_all(&piece).is_err() {
                // The sender is told, as by a connection that was reset.
                under_way.refuse();
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
            under_way.arrived(piece.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Random;
    use std::net::TcpListener;
    use std::sync::mpsc;

    /// Time that passes only when somebody waits for it.
    #[derive(Default)]
    struct Waited(Mutex<Duration>);

    impl Clock for Waited {
        fn now(&self) -> Duration {
            *self.0.lock()
        }

        fn sleep_until(&self, at: Duration) {
            let mut now = self.0.lock();
            *now = (*now).max(at);
        }
    }

    fn line(round_trip: u64, bytes_per_second: u64) -> Line {
        Line {
            round_trip: Duration::from_millis(round_trip),
            bytes_per_second,
        }
    }

    /// A server that hands out its connections.
    fn server() -> (SocketAddr, mpsc::Receiver<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (give, take) = mpsc::channel();
        thread::spawn(move || {
            while let Ok((connection, _)) = listener.accept() {
                if give.send(connection).is_err() {
                    return;
                }
            }
        });
        (address, take)
    }

    fn bytes(seed: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        Random::new(seed).fill(&mut bytes);
        bytes
    }

    /// Sends and receives at once.
    fn exchange(mut socket: TcpStream, mine: Vec<u8>) -> Vec<u8> {
        let mut out = socket.try_clone().unwrap();
        let sending = thread::spawn(move || {
            out.write_all(&mine).unwrap();
            out.shutdown(Shutdown::Write).unwrap();
        });
        let mut theirs = Vec::new();
        socket.read_to_end(&mut theirs).unwrap();
        sending.join().unwrap();
        theirs
    }

    #[test]
    fn bytes_of_many_connections_arrive_whole_in_both_directions() {
        let (address, connections) = server();
        let clock = Arc::new(Waited::default());
        let proxy = Proxy::start(address, line(50, 2_000_000), clock).unwrap();
        let pairs: Vec<_> = (0..8u64)
            .map(|n| {
                let client = TcpStream::connect(proxy.address()).unwrap();
                let server = connections.recv().unwrap();
                let up = thread::spawn(move || exchange(client, bytes(n, 300_000)));
                let down = thread::spawn(move || exchange(server, bytes(n + 100, 500_000)));
                (n, up, down)
            })
            .collect();
        for (n, client, server) in pairs {
            assert!(client.join().unwrap() == bytes(n + 100, 500_000));
            assert!(server.join().unwrap() == bytes(n, 300_000));
        }
        assert_eq!(proxy.sent(), 8 * 300_000);
        assert_eq!(proxy.received(), 8 * 500_000);
    }

    #[test]
    fn the_rate_is_shared_by_all_connections_and_kept() {
        let (address, connections) = server();
        let clock = Arc::new(Waited::default());
        // A byte each microsecond, and no delay: nobody waits for anything but the rate.
        let proxy = Proxy::start(address, line(0, 1_000_000), Arc::clone(&clock) as _).unwrap();
        let pairs: Vec<_> = (0..4)
            .map(|n| {
                let client = TcpStream::connect(proxy.address()).unwrap();
                let server = connections.recv().unwrap();
                drop(thread::spawn(move || exchange(server, bytes(n, 250_000))));
                thread::spawn(move || exchange(client, Vec::new()))
            })
            .collect();
        for client in pairs {
            assert_eq!(client.join().unwrap().len(), 250_000);
        }
        assert_eq!(proxy.received(), 1_000_000);
        assert_eq!(clock.now(), Duration::from_secs(1));
    }

    #[test]
    fn a_bucket_lets_a_late_one_make_up_for_its_burst_and_no_more() {
        let mut bucket = Bucket {
            bytes_per_second: 1_000_000,
            free_at: Duration::ZERO,
        };
        let ms = Duration::from_millis;
        assert_eq!(bucket.take(10_000, ms(0)), ms(10));
        assert_eq!(bucket.take(10_000, ms(12)), ms(20));
        // 80 ms of nothing: five of them count.
        assert_eq!(bucket.take(10_000, ms(100)), ms(105));
        assert_eq!(bucket.take(10_000, ms(100)), ms(115));
    }

    #[test]
    fn an_answer_takes_the_handshake_and_a_round_trip() {
        let (address, connections) = server();
        let clock = Arc::new(Waited::default());
        let proxy = Proxy::start(address, line(100, 1 << 40), Arc::clone(&clock) as _).unwrap();
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        let mut server = connections.recv().unwrap();
        client.write_all(b"?").unwrap();
        server.read_exact(&mut [0]).unwrap();
        assert_eq!(clock.now(), Duration::from_millis(150));
        server.write_all(b"!").unwrap();
        client.read_exact(&mut [0]).unwrap();
        assert_eq!(clock.now(), Duration::from_millis(200));
    }

    #[test]
    fn where_nobody_reads_the_proxy_stops_reading() {
        const ALL: usize = 256 << 20;
        let (address, connections) = server();
        let clock = Arc::new(Waited::default());
        let proxy = Proxy::start(address, line(0, 20_000_000), clock).unwrap();
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        let mut server = connections.recv().unwrap();
        // The system's own buffers take some megabytes; then nothing goes any more, for however long.
        server
            .set_write_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let part = vec![7; 64 << 10];
        let mut written = 0;
        while written < ALL {
            match server.write(&part) {
                Ok(bytes) => written += bytes,
                Err(_) => break,
            }
        }
        assert!(written > 0 && written < ALL / 2, "{written}");
        assert!(proxy.received() <= written as u64);
        // And goes on when somebody does, with nothing lost.
        server.shutdown(Shutdown::Write).unwrap();
        let read = io::copy(&mut client, &mut io::sink()).unwrap();
        assert_eq!(read, written as u64);
    }

    #[test]
    fn a_proxy_that_ends_closes_both_ends() {
        let (address, connections) = server();
        let proxy = Proxy::start(address, line(0, 1_000_000), Arc::new(RealClock::new())).unwrap();
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        let mut server = connections.recv().unwrap();
        drop(proxy);
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
        assert_eq!(server.read(&mut [0]).unwrap_or(0), 0);
    }

    #[test]
    fn a_server_that_is_away_closes_the_connection() {
        let away = "127.0.0.1:1".parse().unwrap();
        let proxy = Proxy::start(away, line(0, 1_000_000), Arc::new(RealClock::new())).unwrap();
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    }
}
