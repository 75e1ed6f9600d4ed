//! This computer's network with the fault that Redox's has: a write is answered with the length that was asked for,
//! though only what there is room for is taken. And one that loses answers.

use std::fmt::{self, Debug};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use safeos_store::loss::loses;
use safeos_store::{Link, Network};

/// The space for bytes that were sent and not acknowledged yet.
pub const ROOM_BYTES: usize = 0xffff;

/// The network; its events can be looked at.
pub struct Lossy {
    started: Instant,
    /// Room for unacknowledged bytes; `None` on a network that keeps what it takes.
    room: Option<usize>,
    seen: Arc<Seen>,
}

/// The events on it.
#[derive(Default)]
pub struct Seen {
    /// Bytes that were taken and never sent.
    pub lost: AtomicUsize,
    /// Most bytes on one connection before something came back.
    pub unanswered: AtomicUsize,
    /// Connections that were made.
    pub connections: AtomicUsize,
    /// The request lines, of http.
    pub asked: Mutex<Vec<String>>,
    /// How long was slept, which is not done.
    pub slept: Mutex<Vec<Duration>>,
    /// The answer to the next request whose line has this in it does not arrive.
    pub lose_answer: Mutex<Option<String>>,
}

impl Lossy {
    /// A network that loses.
    pub fn new() -> Self {
        Self::with(Some(ROOM_BYTES))
    }

    /// A network that does not.
    pub fn honest() -> Self {
        Self::with(None)
    }

    fn with(room: Option<usize>) -> Self {
        Self {
            started: Instant::now(),
            room,
            seen: Arc::default(),
        }
    }

    /// The events so far.
    pub fn seen(&self) -> Arc<Seen> {
        self.seen.clone()
    }

    fn end(&self, stream: TcpStream) -> End {
        End {
            stream,
            room: self.room,
            seen: self.seen.clone(),
            unacknowledged: 0,
            unanswered: 0,
            loses_answer: false,
        }
    }
}

impl Default for Lossy {
    fn default() -> Self {
        Self::new()
    }
}

impl Debug for Lossy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lossy")
    }
}

impl Network for Lossy {
    fn resolve(&self, host: &str, port: u16, _: Duration) -> io::Result<Vec<SocketAddr>> {
        let host = if host == "localhost" {
            "127.0.0.1"
        } else {
            host
        };
        Ok(vec![SocketAddr::new(
            host.parse().map_err(io::Error::other)?,
            port,
        )])
    }

    fn connect(&self, to: SocketAddr, within: Duration) -> io::Result<Box<dyn Link>> {
        let stream = TcpStream::connect_timeout(&to, within)?;
        stream.set_nodelay(true)?;
        self.seen.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(self.end(stream)))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, time: Duration) {
        self.seen.slept.lock().push(time);
        std::thread::sleep(time.min(Duration::from_millis(20)));
    }

    /// Found out as on a real one.
    fn loses(&self) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let found = loses(&mut self.end(near), &mut self.end(far));
        // That was no upload.
        for count in [&self.seen.lost, &self.seen.unanswered] {
            count.store(0, Ordering::Relaxed);
        }
        found.unwrap()
    }
}

struct End {
    stream: TcpStream,
    room: Option<usize>,
    seen: Arc<Seen>,
    unacknowledged: usize,
    unanswered: usize,
    loses_answer: bool,
}

impl Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("End")
    }
}

impl End {
    fn note(&mut self, bytes: &[u8]) {
        self.unanswered += bytes.len();
        self.seen
            .unanswered
            .fetch_max(self.unanswered, Ordering::Relaxed);
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap();
        let Ok(line) = std::str::from_utf8(&line[..line.len().min(300)]) else {
            return;
        };
        if !line.ends_with(" HTTP/1.1") {
            return;
        }
        self.seen.asked.lock().push(line.to_owned());
        let mut lose = self.seen.lose_answer.lock();
        if lose.as_ref().is_some_and(|lose| line.contains(lose)) {
            *lose = None;
            self.loses_answer = true;
        }
    }
}

impl Link for End {
    fn read(&mut self, buffer: &mut [u8], within: Duration) -> io::Result<usize> {
        self.stream
            .set_read_timeout(Some(within.max(Duration::from_millis(1))))?;
        let read = self.stream.read(buffer);
        let read = read.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })?;
        if self.loses_answer {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.unacknowledged = 0;
        self.unanswered = 0;
        Ok(read)
    }

    fn write(&mut self, bytes: &[u8], within: Duration) -> io::Result<usize> {
        self.note(bytes);
        let Some(all) = self.room else {
            self.stream.set_nonblocking(within.is_zero())?;
            let written = self.stream.write(bytes);
            self.stream.set_nonblocking(false)?;
            return written.map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
                _ => error,
            });
        };
        if self.unacknowledged == all {
            // Here a real one waits, and all is acknowledged some time.
            self.unacknowledged = 0;
        }
        let room = all - self.unacknowledged;
        let kept = &bytes[..bytes.len().min(room)];
        self.stream.write_all(kept)?;
        self.unacknowledged += kept.len();
        self.seen
            .lost
            .fetch_add(bytes.len() - kept.len(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn is_open(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let quiet = self.stream.read(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        quiet.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
